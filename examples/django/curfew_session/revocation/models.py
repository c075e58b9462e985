from datetime import timedelta

from django.db import models
from django.db.models.functions import Greatest
from django.utils import timezone

# How far off Envoy's clock may be is one second; whole seconds, in which sessions start, take up the other.
CLOCKS_APART = timedelta(seconds=2)


class SessionsEnd(models.Model):
    """A person's sessions that started before are over.

    subject is no foreign key: the word must outlive the user whom it is about.
    """

    subject = models.CharField(max_length=256, primary_key=True)
    before = models.DateTimeField(db_index=True)

    def __str__(self):
        return f"{self.subject} before {self.before}"


def end_sessions(user):
    """Ends all sessions of the user, on every Envoy: by a time late enough to catch those of a clock that is ahead."""
    _end(user, timezone.now() + CLOCKS_APART)


def end_other_sessions(user):
    """Ends the user's sessions but the one that this response begins: by a time early enough to spare it on a clock that is behind."""
    _end(user, timezone.now() - CLOCKS_APART)


def _end(user, before):
    subject = user._meta.pk.value_to_string(user)  # as login() has it
    latest = Greatest("before", models.Value(before))  # a new password right after end_sessions() takes nothing back
    SessionsEnd.objects.update_or_create(subject=subject, defaults={"before": latest}, create_defaults={"before": before})
