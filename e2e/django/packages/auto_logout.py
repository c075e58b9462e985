"""django-auto-logout, both timeouts, with all that it offers."""

from datetime import timedelta

from packages.common import *  # noqa: F403

MIDDLEWARE = MIDDLEWARE + ["django_auto_logout.middleware.auto_logout"]  # noqa: F405
TEMPLATES[0]["OPTIONS"]["context_processors"].append(  # noqa: F405
    "django_auto_logout.context_processors.auto_logout_client"
)
AUTO_LOGOUT = {
    "IDLE_TIME": 15 * 60,
    "SESSION_TIME": timedelta(hours=1),
    "MESSAGE": "Your session has expired. Please log in again.",
    "REDIRECT_TO_LOGIN_IMMEDIATELY": True,
}
