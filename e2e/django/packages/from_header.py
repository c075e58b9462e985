"""The names that the packages' users have in views and templates, out of Curfew's x-session header."""

import json
from datetime import datetime, timezone

from django.utils.safestring import mark_safe

# Curfew serves it: it leaves the page at the end, unless another tab went on.
LEAVE = '<script src="/.session/session.js" defer></script>'


def session(get_response):
    def middleware(request):
        request.curfew = json.loads(request.headers.get("x-session", "{}"))
        if request.curfew.get("refreshed"):
            at = datetime.fromtimestamp(request.curfew["touched_at"], timezone.utc)
            request.django_session_refresh = {"refreshed": True, "refreshed_at": at}
        response = get_response(request)
        if request.curfew and request.user.is_authenticated:
            # For rules on session data. Saying the same again writes nothing.
            roles = {"staff": request.user.is_staff, "superuser": request.user.is_superuser}
            response["x-session"] = json.dumps({"set": roles})
        return response

    return middleware


def times(request):
    if not request.curfew:
        return {}
    return {
        "seconds_until_idle_end": request.curfew["idle_in"],
        "seconds_until_session_end": request.curfew["expires_in"],
        "redirect_to_login_immediately": mark_safe(LEAVE),
    }
