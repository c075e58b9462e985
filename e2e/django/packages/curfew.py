"""None of the packages: Curfew stands in front, with `wrap`."""

from packages.common import *  # noqa: F403

MIDDLEWARE = MIDDLEWARE + ["packages.from_header.session"]  # noqa: F405
TEMPLATES[0]["OPTIONS"]["context_processors"].append("packages.from_header.times")  # noqa: F405

# Curfew ends sessions now. Django's own limits only have to lie behind Curfew's.
SESSION_COOKIE_AGE = REMEMBER_ME_AGE = 60 * 24 * 60 * 60
