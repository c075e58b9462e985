"""A session is persistent or browser-length, as its own key says."""

from packages.common import *  # noqa: F403

MIDDLEWARE = [
    "packages.dual.DualSessionMiddleware" if name.endswith(".SessionMiddleware") else name
    for name in MIDDLEWARE  # noqa: F405
]
PERSISTENT_SESSION_KEY = "session_persistent"
SESSION_COOKIE_AGE = REMEMBER_ME_AGE  # noqa: F405
