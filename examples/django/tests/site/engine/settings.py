"""A project as README.md says it should be: mysite on the engine."""

import os
from datetime import datetime, timezone as zone
from pathlib import Path

from django.utils import timezone
from mysite.settings import *

SESSION_ENGINE = "curfew_session"
MIDDLEWARE = [
    "curfew_session.SessionMiddleware" if m == "django.contrib.sessions.middleware.SessionMiddleware" else m for m in MIDDLEWARE
]
INSTALLED_APPS = [app for app in INSTALLED_APPS if app != "django.contrib.sessions"] + ["django.contrib.admin"]
TEMPLATES[0]["APP_DIRS"] = True
ROOT_URLCONF = "engine.urls"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # fast, for tests alone


def now():
    """What Envoy takes for the time of day: the file of scripts/clock.c. The server's own time goes on."""
    seconds = int.from_bytes(Path(os.environ["CURFEW_CLOCK_FILE"]).read_bytes()[:8], "little")
    return datetime.fromtimestamp(seconds, zone.utc)


timezone.now = now
