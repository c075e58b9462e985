"""Notices whose sessions are over, whoever ends them: a form, the admin, a command, a shell."""

from django.contrib.auth import get_user_model
from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import receiver

from .models import end_other_sessions, end_sessions

WATCHED = {"password", "is_active"}
THEN = "_curfew_then"  # what a user object is to do once it is saved


# No sender: a proxy of the user model sends signals of its own.
@receiver(pre_save)
def compare(sender, instance, raw, using, update_fields, **kwargs):
    """Holds what is to be saved against the table, since no user object knows what it was."""
    if not isinstance(instance, get_user_model()):
        return
    instance.__dict__.pop(THEN, None)  # of a save that failed
    if raw or update_fields is not None and WATCHED.isdisjoint(update_fields):
        return
    old = sender._base_manager.using(using).filter(pk=instance.pk).first()
    if old and old.is_active and not instance.is_active:
        instance.__dict__[THEN] = end_sessions
    elif old and old.password != instance.password:
        instance.__dict__[THEN] = end_other_sessions


@receiver(post_save)
def record(instance, **kwargs):
    """Records it once the old password is good no more."""
    if isinstance(instance, get_user_model()) and (end := instance.__dict__.pop(THEN, None)):
        end(instance)


@receiver(post_delete)
def deleted(instance, **kwargs):
    if isinstance(instance, get_user_model()):
        end_sessions(instance)
