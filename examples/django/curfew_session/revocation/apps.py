from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class RevocationConfig(AppConfig):
    name = "curfew_session.revocation"
    label = "curfew_revocation"
    verbose_name = "Ended sessions"

    def ready(self):
        # Without a token the feed would be open to everybody, so nothing starts. Curfew holds it to the same rule.
        token = getattr(settings, "CURFEW_FEED_TOKEN", "")
        if not 16 <= len(token) <= 512 or not all("!" <= c <= "~" for c in token):
            raise ImproperlyConfigured(
                "CURFEW_FEED_TOKEN: must be 16 to 512 visible ASCII characters, the same as Curfew's revoke.feed has: openssl rand -base64 32"
            )
        from . import signals  # noqa: F401 (it needs the models)
