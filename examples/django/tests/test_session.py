from datetime import timedelta

from asgiref.sync import async_to_sync
from django.contrib.auth import alogin, login, logout, update_session_auth_hash
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection
from django.http import HttpResponse
from django.test import RequestFactory, TestCase
from django.utils import timezone
from django.views.decorators.cache import cache_page
from django.views.decorators.vary import vary_on_cookie

from curfew_session import SessionMiddleware

from .edge import Edge


class SessionTest(TestCase):
    def setUp(self):
        self.edge = Edge()
        self.user = User.objects.create(username="ada")

    def visit(self, view=lambda session: None, status=200, **headers):
        """One request, to a view of the session alone; returns what it told Curfew."""

        def respond(request):
            request.user = self.user
            self.result = view(request.session)
            return HttpResponse(status=status)

        self.answer(respond, **headers)
        return self.edge.commands

    def answer(self, respond, **headers):
        if self.edge.document:
            headers["x-session"] = self.edge.request()
        self.request = RequestFactory().get("/", headers=headers)
        self.response = SessionMiddleware(respond)(self.request)
        self.assertEqual(self.response.cookies, {})
        self.edge.respond(self.response.headers.get("X-Session", ""))
        return self.response

    def login(self, user=None, view=lambda session: None):
        def respond(request):
            login(request, user or self.user)
            view(request.session)
            return HttpResponse()

        self.answer(respond)
        return self.edge.commands

    def assign(self, **values):
        return self.visit(lambda session: session.update(values))

    def test_no_table(self):
        self.assertNotIn("django_session", connection.introspection.table_names())
        call_command("check", fail_level="WARNING")

    def test_data(self):
        self.assertEqual(self.assign(theme="dark", cart={"a": 1, "b": 2}), {"set": {"theme": "dark", "cart": {"a": 1, "b": 2}}})

        def change(session):
            session["cart"]["b"] += 1
            session["none"] = None
            del session["theme"]
            session.modified = True

        self.assertEqual(self.visit(change), {"set": {"cart": {"b": 3}, "none": [None], "theme": None}})
        self.visit(lambda session: dict(session.items()))
        self.assertEqual(self.result, {"cart": {"a": 1, "b": 3}, "none": None})

    def test_keys_become_strings(self):
        self.visit(lambda session: session.update({1: "a", "1": "b"}))
        self.visit(lambda session: session["1"])
        self.assertEqual(self.result, "b")

    def test_unmodified_writes_nothing(self):
        self.assign(cart={"a": 1})
        self.assertEqual(self.visit(), {})
        self.assertNotIn("Vary", self.response.headers)
        self.assertEqual(self.visit(lambda session: session["cart"]), {})
        self.assertEqual(self.response.headers["Vary"], "Cookie")
        # As in Django: a change inside a value counts once modified is set.
        self.assertEqual(self.visit(lambda session: session["cart"].update(a=2)), {})
        self.assertEqual(self.assign(cart={"a": 1}), {})

    def test_failed_response_writes_nothing(self):
        self.assertEqual(self.visit(lambda session: session.update({"a": 1}), status=500), {})
        self.assertEqual(self.visit(lambda session: session.update({"a": 1}), status=404), {"set": {"a": 1}})
        self.assertEqual(self.visit(lambda session: session.flush(), status=500), {"end": True})

    def test_login(self):
        self.assign(cart=[1])
        anonymous = self.edge.document["id"]
        commands = self.login()
        self.assertEqual(commands.keys(), {"start"})
        self.assertEqual(commands["start"]["subject"], str(self.user.pk))
        self.assertEqual(commands["start"]["data"]["cart"], [1])
        self.assertNotEqual(self.edge.document["id"], anonymous)
        self.assertEqual(self.visit(lambda session: (session.session_key, session["_auth_user_id"])), {})
        self.assertEqual(self.result, (self.edge.document["id"], str(self.user.pk)))

    def test_login_again(self):
        self.login()
        first = self.edge.document
        self.assertEqual(self.login().keys(), {"start"})
        self.assertEqual(self.edge.document | {"id": first["id"]}, first)
        self.assertNotEqual(self.edge.document["id"], first["id"])

    def test_login_as_another_drops_the_data(self):
        self.login()
        self.assign(secret="of ada")
        other = User.objects.create(username="grace")
        start = self.login(other)["start"]
        self.assertEqual(start["subject"], str(other.pk))
        self.assertNotIn("secret", start["data"])

    def test_login_with_expiry(self):
        self.assertEqual(self.login(view=lambda session: session.set_expiry(0))["expire_in"], "browser")
        self.assertEqual(self.login(view=lambda session: session.set_expiry(1209600))["expire_in"], "336h0s")
        self.assertNotIn("expire_in", self.login(view=lambda session: session.set_expiry(None)))

    def test_async(self):
        async def respond(request):
            await alogin(request, self.user)
            await request.session.aset("a", 1)
            return HttpResponse()

        self.answer(async_to_sync(respond))
        self.assertEqual(self.edge.commands["start"]["data"]["a"], 1)

        async def cycle(request):
            await request.session.acycle_key()
            return HttpResponse()

        self.answer(async_to_sync(cycle))
        self.assertEqual(self.edge.commands, {"rotate": True})

        async def flush(request):
            await request.session.aflush()
            return HttpResponse()

        self.answer(async_to_sync(flush))
        self.assertEqual(self.edge.commands, {"end": True})

    def test_logout(self):
        self.login()

        def respond(request):
            logout(request)
            request.session["after"] = "logout"
            return HttpResponse()

        self.answer(respond)
        self.assertEqual(self.edge.commands, {"end": True})
        self.assertEqual(self.visit(lambda session: session.flush()), {})

    def test_no_session_of_nobody_after_a_login(self):
        for out in (lambda session: session.clear(), lambda session: session.pop("_auth_user_id"), lambda session: session.delete()):
            self.login()
            self.assertEqual(self.visit(out), {"end": True})

    def test_flush_of_nobody(self):
        self.assign(a=1)
        self.assertEqual(self.visit(lambda session: session.flush()), {"end": True})
        self.assign(a=1)

        def flush_and_go_on(session):
            session.flush()
            session["b"] = 2

        self.assertEqual(self.visit(flush_and_go_on), {"set": {"a": None, "b": 2}, "rotate": True})

    def test_cycle_key(self):
        self.assertEqual(self.visit(lambda session: session.cycle_key()), {})
        self.assign(a=1)
        before = self.edge.document["id"]
        self.assertEqual(self.visit(lambda session: session.cycle_key()), {"rotate": True})
        self.assertEqual(self.edge.document["data"], {"a": 1})
        self.assertNotEqual(self.edge.document["id"], before)

    def test_password_change(self):
        self.login()
        self.user.set_password("new")

        def respond(request):
            request.user = self.user
            update_session_auth_hash(request, self.user)
            return HttpResponse()

        self.answer(respond)
        self.assertEqual(self.edge.commands, {"rotate": True, "set": {"_auth_user_hash": self.user.get_session_auth_hash()}})

    def test_set_expiry(self):
        for expiry, expire_in in (
            (300, "0h300s"),
            (0, "browser"),
            (1209600, "336h0s"),
            (10**9, "9600h0s"),
            (0.5, "0h1s"),
            (None, None),
        ):
            self.assertEqual(self.visit(lambda session: session.set_expiry(expiry))["expire_in"], expire_in)
            self.assertEqual(self.visit(lambda session: session.get_expire_at_browser_close()), {})
            self.assertEqual(self.result, expiry == 0)
        self.assertEqual(self.visit(lambda session: session.set_expiry(None)), {})

    def test_set_expiry_to_a_point_in_time(self):
        for past in (-1, -timedelta(seconds=1), timezone.now()):
            self.assign(a=1)
            self.assertEqual(self.visit(lambda session: session.set_expiry(past)), {"end": True})
        self.visit(lambda session: session.set_expiry(timezone.now() + timedelta(hours=1)))
        self.assertIn(self.edge.commands["expire_in"], ("0h3599s", "1h0s"))
        self.assertEqual(self.visit(), {})
        # To Curfew it slides; here the hour is over.
        self.edge.document["data"]["_session_expiry"] = (timezone.now() - timedelta(seconds=1)).isoformat()
        self.assertEqual(self.visit(lambda session: (session.session_key, list(session.keys()))), {"end": True})
        self.assertEqual(self.result, (None, []))

    def test_test_cookie(self):
        self.visit(lambda session: session.set_test_cookie())
        self.visit(lambda session: session.test_cookie_worked())
        self.assertIs(self.result, True)
        self.assertEqual(self.visit(lambda session: session.delete_test_cookie()), {"set": {"testcookie": None}})
        self.visit(lambda session: session.test_cookie_worked())
        self.assertIs(self.result, False)

    def test_too_large(self):
        with self.assertRaisesMessage(ValueError, "bytes and Curfew takes 8192"):
            self.assign(a="x" * 9000)
        self.visit(lambda session: session.error)
        self.assertEqual(self.result, "")
        self.visit(lambda session: session.error, **{"x-session-error": "too_large"})
        self.assertEqual(self.result, "too_large")

    def test_the_cache_tells_people_apart(self):
        made = []

        def view(request):
            made.append(request.session.get("name", "nobody"))
            return HttpResponse(made[-1])

        page = cache_page(60)(vary_on_cookie(view))
        ada, grace, nobody = Edge(), Edge(), Edge()
        for self.edge, name in ((ada, "ada"), (grace, "grace")):
            self.assign(name=name)
        for _ in range(2):
            for self.edge, name in ((ada, "ada"), (grace, "grace"), (nobody, "nobody")):
                self.assertEqual(self.answer(page).content.decode(), name)
        self.assertEqual(made, ["ada", "grace", "nobody"])
        # Nobody who sends what ada's line looks like gets ada's page.
        self.assertEqual(self.answer(page, cookie=f"; sessionid={ada.document['id']}").content.decode(), "nobody")
