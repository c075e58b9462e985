import json
from datetime import datetime, timedelta, timezone as zone
from unittest import mock

from django.apps import apps
from django.conf import settings
from django.contrib.auth import authenticate
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.forms import SetPasswordForm
from django.contrib.auth.models import User
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import transaction
from django.test import TestCase, override_settings
from django.utils import timezone

from curfew_session.revocation import views
from curfew_session.revocation.admin import sign_out_everywhere
from curfew_session.revocation.models import SessionsEnd, end_sessions

from .edge import Edge

NOW = datetime(2026, 11, 22, 12, 0, 0, 999_000, zone.utc)
SPARED, ALL = "2026-11-22T11:59:58Z", "2026-11-22T12:00:02Z"
OLD, NEW = "an old password", "another password"


class Staff(User):
    class Meta:
        proxy = True
        app_label = "auth"


class FeedTest(TestCase):
    def setUp(self):
        clock = mock.patch.object(timezone, "now", lambda: NOW)
        clock.start()
        self.addCleanup(clock.stop)
        self.user = User.objects.create_user("ada", password=OLD)

    def ask(self, token=f"Bearer {settings.CURFEW_FEED_TOKEN}", **headers):
        return self.client.get("/curfew/revoked", headers={"authorization": token} | headers)

    def feed(self):
        return self.ask().json()

    def only(self, time):
        """Says that the feed has the user alone, and when; and forgets it."""
        self.assertEqual(self.feed(), {"subjects": {str(self.user.pk): time}})
        SessionsEnd.objects.all().delete()


class AnswerTest(FeedTest):
    def test_only_with_the_token(self):
        self.user.delete()
        token = settings.CURFEW_FEED_TOKEN
        for wrong in ("", "Bearer", "Bearer ", token, f"Bearer {token}x", f"Bearer {token[:-1]}", f"Basic {token}", "Bearer \xe9"):
            answer = self.ask(wrong, **{"if-none-match": "*"})
            self.assertEqual((answer.status_code, answer.content, answer["WWW-Authenticate"]), (401, b"", "Bearer"), wrong)
        self.assertEqual(self.client.get("/curfew/revoked").status_code, 401)
        self.assertEqual(self.ask().status_code, 200)
        self.assertEqual(self.client.post("/curfew/revoked", headers={"authorization": f"Bearer {token}"}).status_code, 405)

    def test_without_a_token_nothing_starts(self):
        for token in ("", "short", "x" * 513, "has a space in it", "tab\tand some more"):
            with override_settings(CURFEW_FEED_TOKEN=token), self.assertRaisesMessage(ImproperlyConfigured, "CURFEW_FEED_TOKEN"):
                apps.get_app_config("curfew_revocation").ready()

    def test_etag(self):
        first = self.ask()
        self.assertEqual((first.json(), first["Content-Type"]), ({"subjects": {}}, "application/json"))
        self.assertEqual(first["ETag"][0], '"')
        self.assertEqual(self.ask(**{"if-none-match": first["ETag"]}).status_code, 304)
        self.user.delete()
        second = self.ask(**{"if-none-match": first["ETag"]})
        self.assertEqual(second.status_code, 200)
        self.assertNotEqual(second["ETag"], first["ETag"])
        self.assertEqual(self.ask()["ETag"], second["ETag"])

    def test_one_query(self):
        self.user.delete()
        with self.assertNumQueries(1):
            self.feed()
        with self.assertNumQueries(0):
            self.ask("")

    def test_entries_go_when_no_session_is_that_old(self):
        SessionsEnd.objects.create(subject="old", before=NOW - timedelta(days=401))
        SessionsEnd.objects.create(subject="new", before=NOW - timedelta(days=399))
        self.assertEqual(list(self.feed()["subjects"]), ["new"])
        with override_settings(CURFEW_LONGEST_SESSION=timedelta(days=30)):
            self.assertEqual(self.feed(), {"subjects": {}})

    def test_more_than_curfew_takes(self):
        for n in range(3):
            SessionsEnd.objects.create(subject=str(n), before=NOW - timedelta(hours=n))
        subjects = {str(n): f"2026-11-22T{12 - n}:00:00Z" for n in range(3)}
        with mock.patch.object(views, "MAX_ENTRIES", 3):
            self.assertEqual(self.feed(), {"subjects": subjects})
        with mock.patch.object(views, "MAX_ENTRIES", 2):
            before = subjects.pop("2")
            self.assertEqual(self.feed(), {"before": before, "subjects": subjects})

    def test_migrations(self):
        call_command("makemigrations", "curfew_revocation", check=True, dry_run=True, verbosity=0)


class NoticeTest(FeedTest):
    """Who ends whose sessions, whatever does it."""

    def test_set_password(self):
        self.user.set_password(NEW)
        self.user.save()
        self.only(SPARED)

    def test_set_password_alone(self):
        self.user.set_password(NEW)
        self.user.save(update_fields=["password"])
        self.only(SPARED)

    def test_a_hash_from_elsewhere(self):
        self.user.password = "md5$salt$hash"
        self.user.save()
        self.only(SPARED)

    def test_form(self):
        form = SetPasswordForm(self.user, {"new_password1": NEW, "new_password2": NEW})
        self.assertTrue(form.is_valid(), form.errors)
        form.save()
        self.only(SPARED)

    def test_command(self):
        with mock.patch("getpass.getpass", return_value=NEW):
            call_command("changepassword", "ada", stdout=mock.Mock())
        self.only(SPARED)

    def test_proxy(self):
        staff = Staff.objects.get(pk=self.user.pk)
        staff.set_password(NEW)
        staff.save()
        self.only(SPARED)

    def test_part_of_a_user(self):
        user = User.objects.only("username").get(pk=self.user.pk)
        user.set_password(NEW)
        user.save()
        self.only(SPARED)

    def test_deactivation(self):
        for _ in range(2):  # the second time nothing changes
            self.user.is_active = False
            self.user.save()
        self.only(ALL)
        self.user.is_active = True
        self.user.save()
        self.assertEqual(self.feed(), {"subjects": {}})

    def test_deactivation_with_a_new_password(self):
        self.user.is_active = False
        self.user.set_password(NEW)
        self.user.save()
        self.only(ALL)

    def test_the_latest_time_counts(self):
        end_sessions(self.user)
        self.user.set_password(NEW)
        self.user.save()
        self.only(ALL)
        self.user.set_password(OLD)
        self.user.save()
        end_sessions(self.user)
        self.only(ALL)

    def test_deletion(self):
        pk = self.user.pk
        User.objects.all().delete()
        self.user.pk = pk
        self.only(ALL)

    def test_sign_out_everywhere(self):
        model_admin = mock.Mock(spec=UserAdmin)
        sign_out_everywhere(model_admin, None, User.objects.all())
        self.only(ALL)
        model_admin.message_user.assert_called_once_with(None, "Signed out everywhere: 1.")

    def test_what_ends_nothing(self):
        self.user.first_name = "Ada"
        self.user.save()
        self.user.set_password(NEW)
        with self.assertNumQueries(1):
            self.user.save(update_fields=["last_login"])
        User.objects.create_user("grace", password=NEW)
        self.assertIsNotNone(authenticate(username="ada", password=OLD))
        self.assertEqual(self.feed(), {"subjects": {}})

    def test_a_save_that_failed_says_nothing_later(self):
        self.user.set_password(NEW)
        with mock.patch.object(User, "_save_table", side_effect=OSError), self.assertRaises(OSError), transaction.atomic():
            self.user.save()
        self.user.save(update_fields=["last_login"])
        self.assertEqual(self.feed(), {"subjects": {}})


class PasswordPageTest(FeedTest):
    """The session that changes the password begins anew, where Curfew lets it."""

    def setUp(self):
        super().setUp()
        self.edge = Edge()
        User.objects.filter(pk=self.user.pk).update(is_staff=True, is_superuser=True)
        self.post("/accounts/login/", {"username": "ada", "password": OLD})
        self.edge.document["data"]["cart"] = [1]

    def post(self, path, data):
        answer = self.client.post(path, data, headers={"x-session": self.edge.request()} if self.edge.document else None)
        self.edge.respond(answer.headers.get("X-Session", ""))
        return self.edge.commands

    def change(self, path, old=OLD):
        return self.post(path, {"old_password": old, "new_password1": NEW, "new_password2": NEW})

    def test_begins_anew(self):
        for path in ("/accounts/password_change/", "/admin/password_change/"):
            self.user.refresh_from_db()
            self.user.set_password(OLD)
            self.user.save()
            self.edge.document["data"]["_auth_user_hash"] = self.user.get_session_auth_hash()
            before = self.edge.document
            start = self.change(path)["start"]
            self.assertEqual((start["subject"], start["data"]["cart"]), (str(self.user.pk), [1]), path)
            self.assertNotEqual(start["data"]["_auth_user_hash"], before["data"]["_auth_user_hash"])

    def test_a_wrong_password_begins_nothing(self):
        self.assertEqual(self.change("/accounts/password_change/", old="wrong"), {})

    def test_elsewhere_no_session_may_start(self):
        path = f"/admin/auth/user/{self.user.pk}/password/"
        commands = self.post(path, {"password1": NEW, "password2": NEW, "usable_password": "true"})
        self.assertEqual(commands.keys(), {"set", "rotate"})

    def test_a_new_secret_key_begins_nothing(self):
        fallbacks = {"SECRET_KEY": "the next key, of some length to spare, too", "SECRET_KEY_FALLBACKS": [settings.SECRET_KEY]}
        with override_settings(**fallbacks):
            answer = self.client.get("/accounts/password_change/", headers={"x-session": self.edge.request()})
            self.assertEqual(json.loads(answer["X-Session"]).keys(), {"set", "rotate"})

    def test_without_the_feed_as_ever(self):
        installed = [app for app in settings.INSTALLED_APPS if app != "curfew_session.revocation"]
        with override_settings(INSTALLED_APPS=installed):
            self.assertEqual(self.change("/accounts/password_change/").keys(), {"set", "rotate"})
