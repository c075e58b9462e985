"""Tells Curfew whose sessions are over: the feed for its `revoke.feed`, out of the user table."""
