import os
import time

from django.http import StreamingHttpResponse
from django.urls import path

from curfew_session.revocation.views import revoked

from .urls import urlpatterns as project


def events(request):
    """Goes on until the client is gone."""

    def tell():
        while True:
            yield b"data: on\n\n"
            time.sleep(0.1)

    return StreamingHttpResponse(tell(), content_type="text/event-stream")


urlpatterns = [
    path("curfew/revoked", revoked),
    path("events/", events),
    path("die/", lambda request: os._exit(0)),
    *project,
]
