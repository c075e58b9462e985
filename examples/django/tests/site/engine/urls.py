import json
from datetime import timedelta

from django.contrib import admin
from django.contrib.auth.signals import user_logged_in
from django.db import connection
from django.dispatch import receiver
from django.http import HttpResponse, JsonResponse
from django.urls import include, path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt


@receiver(user_logged_in)
def remember_staff(request, user, **kwargs):
    request.session["staff"] = user.is_staff


def visits(session):
    session["visits"] = session.get("visits", 0) + 1


def drop(session, keys):
    for key in keys:
        del session[key]


def append(session, key, value):
    session[key].append(value)


def log_in_for(session, seconds):
    session.set_expiry(timezone.now() + timedelta(seconds=seconds))


ACTIONS = {
    "visits": visits,
    "update": lambda session, values: session.update(values),
    "append": append,
    "drop": drop,
    "flush": lambda session: session.flush(),
    "cycle_key": lambda session: session.cycle_key(),
    "set_expiry": lambda session, expiry: session.set_expiry(expiry),
    "log_in_for": log_in_for,
    "set_test_cookie": lambda session: session.set_test_cookie(),
    "delete_test_cookie": lambda session: session.delete_test_cookie(),
}


@csrf_exempt
def do(request):
    """Does to the session what the body lists: ["name", argument, ...]; then tells what the session is."""
    session = request.session
    if request.body:
        action, *arguments = json.loads(request.body)
        ACTIONS[action](session, *arguments)
    return JsonResponse(
        {
            "user": request.user.get_username(),
            "key": session.session_key,
            "data": dict(session.items()),
            "error": session.error,
            "age": session.get_expiry_age(),
            "browser": session.get_expire_at_browser_close(),
            "test": session.test_cookie_worked(),
            "idle_in": session.document.get("idle_in"),
            "cookies": sorted(request.COOKIES),
            "tables": connection.introspection.table_names(),
        }
    )


urlpatterns = [
    path("do/", do),
    path("plain/", lambda request: HttpResponse("no word of the session")),
    path("admin/", admin.site.urls),
    path("", include("mysite.urls")),
]
