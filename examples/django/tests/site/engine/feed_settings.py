"""The same project, which also tells Curfew whose sessions are over."""

from .settings import *

INSTALLED_APPS = INSTALLED_APPS + ["curfew_session.revocation", "engine"]
CURFEW_FEED_TOKEN = os.environ["CURFEW_FEED_TOKEN"]
ROOT_URLCONF = "engine.feed_urls"
