"""What a session's data is in JSON, and what changed in it."""

import json


def compact(value):
    """JSON text that may stand in a header: printable ASCII alone."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


def pack(value):
    """A value in which no member of an object is null: to a merge patch null means "delete".

    None stands as [null], and what looks like that, [null] or [[null]], has one more pair of brackets.
    """
    if isinstance(value, dict):
        return {k: [v] if _nested_none(v) else pack(v) for k, v in value.items()}
    return [pack(v) for v in value] if isinstance(value, list) else value


def unpack(value):
    """The value that pack was given."""
    if isinstance(value, dict):
        return {k: v[0] if v is not None and _nested_none(v) else unpack(v) for k, v in value.items()}
    return [unpack(v) for v in value] if isinstance(value, list) else value


def _nested_none(value):
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    return value is None


def merge_patch(old, new):
    """The JSON merge patch (RFC 7396) that makes the dict new of the dict old; {} where they are equal."""
    patch = {k: None for k in old if k not in new}
    for key, value in new.items():
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            if changed := merge_patch(before, value):
                patch[key] = changed
        # As text: to Python 1, 1.0 and True are equal.
        elif key not in old or compact(before) != compact(value):
            patch[key] = value
    return patch
