"""What Curfew does with its two headers, as far as tests of the engine need it. The real one is tested in e2e/."""

import json
import secrets


class Edge:
    """Curfew and one browser: the document stands for the cookie."""

    def __init__(self):
        self.document = {}
        self.commands = {}

    def request(self):
        """The x-session of a request; "" without a session."""
        return json.dumps(self.document) if self.document else ""

    def respond(self, header):
        """Takes the x-session of a response; "" for none."""
        assert header.isascii() and header.isprintable() and len(header) <= 8192, header
        commands = self.commands = json.loads(header or "{}", object_pairs_hook=_unique)
        match sorted(commands):
            case []:
                return
            case ["end"]:
                self.document = {}
                return
            case ["start"] | ["expire_in", "start"]:
                start = commands["start"]
                assert start["subject"] and isinstance(start["subject"], str)
                self.document = {"id": _new_id(), "subject": start["subject"], "data": start["data"]}
                return
        assert commands.keys() <= {"set", "rotate", "expire_in"}, commands
        assert self.document or commands.get("set"), f"nothing begins a session: {commands}"
        before = self.document or {"id": _new_id(), "subject": "", "data": {}}
        new_id = {"id": _new_id()} if "rotate" in commands else {}
        self.document = before | new_id | {"data": merge(before["data"], commands.get("set", {}))}


def merge(target, patch):
    """RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def _new_id():
    return secrets.token_urlsafe(16)


def _unique(pairs):
    members = dict(pairs)
    assert len(members) == len(pairs), "a name stands twice in an object"
    return members
