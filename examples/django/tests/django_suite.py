"""Runs Django's own tests of session engines against this one and prints what passes and what cannot, with the reason.

usage: python -m tests.django_suite SOURCE    (in the folder above; SOURCE is where Django's source lies)
"""

import re
import sys
import unittest
from pathlib import Path

import django
from django.conf import settings
from django.test import SimpleTestCase
from django.test.runner import DiscoverRunner

from curfew_session import SessionMiddleware, SessionStore, compact

from . import settings as ours
from .edge import Edge

README = Path(__file__).parent.parent / "README.md"


class EdgeSession(SessionStore):
    """What a request of that browser has which holds the session of that id; saving it is the response's part."""

    browsers = {}

    def __init__(self, session_key=None):
        self.browser = self.browsers.get(session_key) or Edge()
        super().__init__(self.browser.request())

    def exists(self, session_key):
        return session_key in self.browsers

    def save(self, must_create=False):
        """The response is sent, and the browser comes again."""
        super().save(must_create)
        self._respond()
        super().__init__(self.browser.request())

    def delete(self, session_key=None):
        super().delete(session_key)
        self._respond()

    def _respond(self):
        self.browsers.pop(self.document.get("id"), None)
        # What the cookie was when the request began counts, whatever other responses did since.
        self.browser.document = self.document
        command = self.command()
        self.browser.respond(compact(command) if command else "")
        if self.browser.document:
            self.browsers[self.browser.document["id"]] = self.browser


def suite():
    from sessions_tests import tests

    # Their middleware tests name Django's own; here it is this one, raw, with no edge before it.
    tests.SessionMiddleware = SessionMiddleware
    tests.DatabaseSession = EdgeSession
    engine = type("SessionTestsMixin", (tests.SessionTestsMixin, SimpleTestCase), {"backend": EdgeSession})
    load = unittest.defaultTestLoader.loadTestsFromTestCase
    return unittest.TestSuite([load(engine), load(tests.SessionMiddlewareTests)])


class Result(unittest.TestResult):
    """Knows of every test whether it passed."""

    def __init__(self):
        super().__init__()
        self.passed = set()

    def addSuccess(self, test):
        self.passed.add(name(test))


def name(test):
    return f"{type(test).__name__}.{test._testMethodName}"


def run():
    names = {key: getattr(ours, key) for key in dir(ours) if key.isupper()}
    names["INSTALLED_APPS"] = ["django.contrib.sessions", "sessions_tests"]
    settings.configure(**names)
    django.setup()
    runner = DiscoverRunner(verbosity=0)
    databases = runner.setup_databases()
    result, tests = Result(), suite()
    every = {name(test) for part in tests for test in part}
    tests.run(result)
    runner.teardown_databases(databases)
    return result, every


def reasons():
    """README.md's table: test, reason. A row for a test with an async twin is for both."""
    found = {}
    for test, twin, reason in re.findall(r"^\| `(\w+\.test_\w+)`( and `_async`)? \| (.+) \|$", README.read_text(), re.MULTILINE):
        found[test] = reason
        if twin:
            found[test + "_async"] = reason
    return found


def main():
    sys.path.insert(0, str(Path(sys.argv[1]) / "tests"))
    result, every = run()
    known, failed = reasons(), every - result.passed
    for test in sorted(every):
        print("passes ", test) if test in result.passed else print("cannot ", test, "--", known.get(test, "README.md has no reason"))
    print(f"{len(result.passed)} pass, {len(failed)} cannot")
    if "-v" in sys.argv:
        for test, trace in result.failures + result.errors:
            print(trace)
    return failed != set(known)


if __name__ == "__main__":
    sys.exit(main())
