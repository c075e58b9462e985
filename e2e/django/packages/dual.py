"""What Django's wiki calls DualSessionMiddleware, for a Django of today; no package has it."""

from django.conf import settings
from django.contrib.sessions.middleware import SessionMiddleware


class DualSessionMiddleware(SessionMiddleware):
    def process_response(self, request, response):
        session = request.session
        if session.modified:
            persistent = session.get(settings.PERSISTENT_SESSION_KEY, False)
            session.get_expire_at_browser_close = lambda: not persistent
        return super().process_response(request, response)
