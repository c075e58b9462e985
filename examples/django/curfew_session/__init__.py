"""Django sessions in Curfew's cookie: Django keeps no table of them and sets no cookie."""

import json

from django.apps import apps
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY as HASH
from django.contrib.auth import SESSION_KEY as USER
from django.contrib.auth.signals import user_logged_in
from django.contrib.sessions import middleware
from django.contrib.sessions.backends.base import SessionBase
from django.dispatch import receiver
from django.utils.cache import patch_vary_headers

from .values import compact, merge_patch, pack, unpack

EXPIRY = "_session_expiry"  # where SessionBase.set_expiry keeps its value
MAX_COMMAND = 8192  # bytes that Curfew takes in a response's x-session
MAX_SECONDS = 9600 * 3600  # the longest time that Curfew takes: 400 days


class SessionStore(SessionBase):
    """The session of one request. session_key is its id; None in the request that begins it or gives it a new id.

    document is what the request's x-session says, the times too: session.document["idle_in"].
    error is "too_large" where the last change did not fit into the cookie and was dropped, else "".
    """

    def __init__(self, document="", error=""):
        """document is the request's x-session, error its x-session-error."""
        self.document = json.loads(document or "{}")
        self.error = error
        super().__init__(self.document.get("id"))
        self.logged_in = self._new_id = self._flushed = False
        # To Curfew a timeout slides; a point in time that set_expiry was given does not.
        if self._expired(self._saved.get(EXPIRY)):
            self.flush()

    @property
    def _saved(self):
        return self.document.get("data", {})

    def load(self):
        text = compact(unpack(self._saved))
        return self.serializer().loads(text.encode("latin-1"))

    def exists(self, session_key):
        """There is no store to ask: the session that one can know of is this one."""
        return bool(session_key) and session_key == self.session_key

    def create(self):
        self.clear()
        self._session_key = None
        self._new_id = True

    def save(self, must_create=False):
        """The middleware saves, with the response."""
        self.modified = True

    def delete(self, session_key=None):
        if session_key in (None, self.session_key):
            self.create()
            self._flushed = True

    @classmethod
    def clear_expired(cls):
        """Nothing lies anywhere."""

    def command(self):
        """What Curfew is to do with the session: an object for the response's x-session; {} for nothing."""
        if not self.modified:
            return {}
        data = pack(json.loads(self.serializer().dumps(self._session)))
        login = USER in data and (self.logged_in or data[USER] != self._saved.get(USER))
        if self._expired(self.get(EXPIRY)) or not login and self._is_over(data):
            return {"end": True} if self.document else {}
        return self._start(data) if login else self._changes(data)

    def _expired(self, expiry):
        return bool(expiry) and self.get_expiry_age(expiry=expiry) <= 0

    def _is_over(self, data):
        """A session that somebody was logged in to never becomes one of nobody."""
        was_flushed = self._flushed and (self.document.get("subject") or not data)
        return was_flushed or (USER in self._saved and USER not in data)

    def _start(self, data):
        start = {"start": {"subject": str(data[USER]), "data": data}}
        return start | {"expire_in": self._expire_in()} if EXPIRY in data else start

    def _changes(self, data):
        changes = {}
        if patch := merge_patch(self._saved, data):
            changes["set"] = patch
        if self._new_id and self.document:
            changes["rotate"] = True
        if data.get(EXPIRY) != self._saved.get(EXPIRY):
            changes["expire_in"] = self._expire_in()
        return changes

    def _expire_in(self):
        expiry = self.get(EXPIRY)
        if not expiry:
            return None if expiry is None else "browser"
        seconds = min(max(int(self.get_expiry_age()), 1), MAX_SECONDS)
        return f"{seconds // 3600}h{seconds % 3600}s"


@receiver(user_logged_in)
def _logged_in(request, **kwargs):
    """Who logs in again as the same person changes nothing in the data, but has authenticated anew."""
    if session := getattr(request, "session", None):
        session.logged_in = True


class SessionMiddleware(middleware.SessionMiddleware):
    """Takes the place of Django's own: sessions come and go in Curfew's headers."""

    def process_request(self, request):
        meta = request.META
        session = request.session = self.SessionStore(meta.get("HTTP_X_SESSION"), meta.get("HTTP_X_SESSION_ERROR", ""))
        # Django's cache tells people apart by their Cookie line, from which Curfew took the session. Its id goes last,
        # so that nobody can send a line that looks like another's.
        if session.session_key or "HTTP_COOKIE" in meta:
            meta["HTTP_COOKIE"] = f"{meta.get('HTTP_COOKIE', '')}; {settings.SESSION_COOKIE_NAME}={session.session_key or ''}"

    def process_response(self, request, response):
        if _changes_password(request):
            request.session.logged_in = True
        if request.session.accessed:
            patch_vary_headers(response, ("Cookie",))
        command = request.session.command()
        # Like Django, save nothing after a failure; but what is over is over.
        if command and (response.status_code < 500 or "end" in command):
            response.headers["X-Session"] = _header(command)
        return response


def _changes_password(request):
    """The feed ends a person's sessions by when they started, so the one that changes the password begins anew.

    Django calls that page by this name, the admin's too. Elsewhere the hash also changes with SECRET_KEY, and no session may start.
    """
    if not apps.is_installed("curfew_session.revocation") or request.method != "POST":
        return False
    match, session = request.resolver_match, request.session
    return bool(match) and match.url_name == "password_change" and session.get(HASH) != session._saved.get(HASH)


def _header(command):
    text = compact(command)
    if len(text) > MAX_COMMAND:
        raise ValueError(f"session: the change is {len(text)} bytes and Curfew takes {MAX_COMMAND}: keep large values in the database")
    return text
