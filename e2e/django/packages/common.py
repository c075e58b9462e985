"""Settings that both sides of the comparison share."""

from pathlib import Path

from mysite.settings import *  # noqa: F403

ROOT_URLCONF = "packages.urls"
STATIC_URL = "/static/"
MEDIA_URL = "/media/"
TEMPLATES[0]["DIRS"].append(Path(__file__).parent / "templates")  # noqa: F405

# Tests log in often, and how a password is kept is not what they ask.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Only one of the set-ups has the package that reads it.
AUTO_LOGOUT = {}
