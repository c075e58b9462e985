"""django-session-refresh, with every SKIP on: a session lives an hour from its last refresh."""

from packages.common import *  # noqa: F403

MIDDLEWARE = MIDDLEWARE + ["django_session_refresh.middleware.SessionRefreshMiddleware"]  # noqa: F405
SESSION_EXPIRE_AT_BROWSER_CLOSE = False
SESSION_COOKIE_AGE = 60 * 60
DJANGO_SESSION_REFRESH = {
    "REFRESH_INTERVAL": 10 * 60,
    "SKIP_STAFF_USERS": True,
    "SKIP_SUPERUSER_USERS": True,
    "SKIP_STATIC_AND_MEDIA": True,
    "SKIP_UNAUTHENTICATED_USERS": True,
}
