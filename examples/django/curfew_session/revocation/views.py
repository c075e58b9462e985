from datetime import timedelta, timezone as zone

from django.conf import settings
from django.http import HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page, require_GET

from .models import SessionsEnd

MAX_ENTRIES = 10_000  # that Curfew takes
LONGEST_SESSION = timedelta(days=400)  # that Curfew takes


@require_GET
@conditional_page  # an ETag by content, and 304 while nothing changes
@cache_control(private=True, no_cache=True)
def revoked(request):
    """Curfew's revoke.feed. Only who has the token may ask."""
    if not constant_time_compare(request.headers.get("Authorization", ""), f"Bearer {settings.CURFEW_FEED_TOKEN}"):
        return HttpResponse(status=401, headers={"WWW-Authenticate": "Bearer"})
    return JsonResponse(revocations())


def revocations():
    """The feed's answer, newest first.

    Where there are more entries than Curfew takes, everybody's sessions end that started before the newest one left out: no word is lost.
    """
    longest = getattr(settings, "CURFEW_LONGEST_SESSION", LONGEST_SESSION)
    rows = SessionsEnd.objects.filter(before__gte=timezone.now() - longest).order_by("-before", "subject")
    listed = rows.values_list("subject", "before")[: MAX_ENTRIES + 1]
    subjects = {subject: _text(before) for subject, before in listed}
    if len(subjects) <= MAX_ENTRIES:
        return {"subjects": subjects}
    return {"before": subjects.popitem()[1], "subjects": subjects}


def _text(time):
    return time.astimezone(zone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
