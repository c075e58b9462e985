"""The names that the packages' users have in views and templates, out of Curfew's x-session header."""

import json
from datetime import datetime, timezone

from django.http import JsonResponse
from django.urls import path
from django.utils.safestring import mark_safe

from . import urls

# At the end of its time a page asks whether another tab went on. Asking keeps nobody in: the path
# is passive in Curfew's rules. (A browser's timers cannot wait for more than 24 days.)
LEAVE = """<script>
(function wait(seconds) {
  setTimeout(function () {
    fetch("/left/").then(function (answer) {
      if (answer.status === 401) location.reload(); else answer.json().then(wait);
    }).catch(function () { wait(60); });
  }, (Math.min(seconds, 86400) + 1) * 1000);
})(%d);
</script>"""


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


def seconds_left(request):
    return min(request.curfew["idle_in"], request.curfew["expires_in"])


def times(request):
    if not request.curfew:
        return {}
    return {
        "seconds_until_idle_end": request.curfew["idle_in"],
        "seconds_until_session_end": request.curfew["expires_in"],
        "redirect_to_login_immediately": mark_safe(LEAVE % seconds_left(request)),
    }


def left(request):
    return JsonResponse(seconds_left(request), safe=False)


urlpatterns = [path("left/", left), *urls.urlpatterns]
