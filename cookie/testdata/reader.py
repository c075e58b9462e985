"""A second reader of token format 1, written from docs/format.md alone.

usage: python3 reader.py vectors.json

Prints how many vectors it agrees with; names each that it does not, and exits 1.
"""

import base64
import hashlib
import hmac
import json
import re
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

MAX_PAIR = 4096
MAX_SUBJECT = 256
MAX_OVERRIDE = 400 * 24 * 3600


class Bad(Exception):
    """A token that is refused; its text is the failure class."""


def sub_key(secret, purpose, name, audience):
    """HKDF-SHA256 (RFC 5869) without salt; 32 bytes are one block of its expansion."""
    info = b""
    for part in (purpose, name, audience):
        raw = part.encode()
        info += struct.pack(">H", len(raw)) + raw
    prk = hmac.digest(bytes(32), secret, hashlib.sha256)
    return hmac.digest(prk, info + b"\x01", hashlib.sha256)


def quarter_round(x, a, b, c, d):
    for left, right, target, bits in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        x[left] = (x[left] + x[right]) & 0xFFFFFFFF
        mixed = x[target] ^ x[left]
        x[target] = ((mixed << bits) | (mixed >> (32 - bits))) & 0xFFFFFFFF


def hchacha20(key, nonce16):
    x = list(struct.unpack("<4I", b"expand 32-byte k") + struct.unpack("<8I", key) + struct.unpack("<4I", nonce16))
    for _ in range(10):
        for column in range(4):
            quarter_round(x, column, 4 + column, 8 + column, 12 + column)
        for i in range(4):
            quarter_round(x, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<8I", *x[:4], *x[12:])


def decode(body):
    """Canonical base64url only: what is decoded must encode to the same text."""
    if not re.fullmatch(rb"[A-Za-z0-9_-]*", body) or len(body) % 4 == 1:
        raise Bad("encoding")
    raw = base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4))
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != body:
        raise Bad("encoding")
    return raw


def verifies(key, now):
    return key["verify_until"] == 0 or now <= key["verify_until"]


def signing_key(keys, now):
    best = None
    for key in keys:
        if key["sign_from"] <= now and verifies(key, now) and (best is None or key["sign_from"] > best["sign_from"]):
            best = key
    return best


def split(vector, token, tag):
    """Steps 1 to 3: the key, the prefix, the body."""
    if len(vector["options"]["name"].encode()) + len(token) > MAX_PAIR or len(token) < 3:
        raise Bad("length")
    if token[:3] != tag:
        raise Bad("version")
    kid, dot, body = token[3:].partition(b".")
    if not dot or not 1 <= len(kid) <= 16:
        raise Bad("key")
    for key in vector["keys"]:
        if key["id"].encode() == kid and verifies(key, vector["now"]):
            return key, tag + kid + b".", body
    raise Bad("key")


def key_for(vector, key, purpose):
    return sub_key(bytes.fromhex(key["secret"]), purpose, vector["options"]["name"], vector["options"]["audience"])


def authenticate_signed(key, prefix, raw):
    payload, mac = raw[:-32], raw[-32:]
    if len(raw) < 32 or not hmac.compare_digest(mac, hmac.digest(key, prefix + payload, hashlib.sha256)):
        raise Bad("mac")
    return payload


def authenticate_sealed(key, prefix, raw):
    if len(raw) < 24 + 16:
        raise Bad("mac")
    cipher = ChaCha20Poly1305(hchacha20(key, raw[:16]))
    try:
        return cipher.decrypt(bytes(4) + raw[16:24], raw[24:], prefix)
    except InvalidTag:
        raise Bad("mac") from None


class Fields:
    """Takes fields off the front of a payload."""

    def __init__(self, raw):
        self.raw = raw

    def take(self, size):
        if len(self.raw) < size:
            raise Bad("payload")
        field, self.raw = self.raw[:size], self.raw[size:]
        return field

    def number(self, size):
        return int.from_bytes(self.take(size), "big")

    def subject(self):
        try:
            return self.take(self.number(2)).decode()
        except UnicodeDecodeError:
            raise Bad("payload") from None

    def data(self):
        # The format does not ask a reader to look inside.
        return self.take(self.number(2)).decode(errors="replace")


def parse(payload):
    fields = Fields(payload)
    flags = fields.number(1)
    session = {
        "remember": flags & 1 == 1,
        "id": fields.take(16).hex(),
        "started_at": fields.number(5),
        "authenticated_at": fields.number(5),
        "issued_at": fields.number(5),
        "idle": fields.number(4),
        "absolute": fields.number(4),
        "revision": fields.number(4),
        "subject": fields.subject(),
        "data": fields.data(),
    }
    wrapped = fields.number(2)
    if flags > 1 or wrapped != 0 or fields.raw or not fits(session):
        raise Bad("payload")
    return session


def fits(s):
    subject, data = s["subject"], s["data"]
    if subject:
        authenticated = s["started_at"] <= s["authenticated_at"] <= s["issued_at"]
    else:
        authenticated = s["authenticated_at"] == 0
    return (
        authenticated
        and s["started_at"] <= s["issued_at"]
        and max(s["idle"], s["absolute"]) <= MAX_OVERRIDE
        and len(subject.encode()) <= MAX_SUBJECT
        and not any(ord(c) < 0x20 or ord(c) == 0x7F for c in subject)
        and not subject.startswith(" ")
        and not subject.endswith(" ")
        and (data == "" or (len(data) >= 2 and data[0] == "{" and data[-1] == "}"))
    )


def open_session(vector, token):
    sealed = vector["options"]["mode"] == "sealed"
    key, prefix, body = split(vector, token, b"1e." if sealed else b"1s.")
    raw = decode(body)
    if sealed:
        payload = authenticate_sealed(key_for(vector, key, "sealed"), prefix, raw)
    else:
        payload = authenticate_signed(key_for(vector, key, "signed"), prefix, raw)
    session = parse(payload)
    if session["issued_at"] > vector["now"] + vector["options"]["skew"]:
        raise Bad("time")
    return dict(session, current=key is signing_key(vector["keys"], vector["now"]))


def open_touch(vector, token):
    key, prefix, body = split(vector, token, b"1t.")
    if len(body) != 28:
        raise Bad("length")
    raw = decode(body)
    message = prefix + bytes.fromhex(vector["session_id"]) + raw[:5]
    if not hmac.compare_digest(raw[5:], hmac.digest(key_for(vector, key, "touch"), message, hashlib.sha256)[:16]):
        raise Bad("mac")
    seen = int.from_bytes(raw[:5], "big")
    if seen > vector["now"] + vector["options"]["skew"]:
        raise Bad("time")
    return {"seen": seen, "current": key is signing_key(vector["keys"], vector["now"])}


def result(vector):
    """What this reader makes of a vector: ("good", fields) or ("bad", class)."""
    reader = open_touch if vector["kind"] == "touch" else open_session
    try:
        return "good", reader(vector, vector["token"].encode())
    except Bad as bad:
        return "bad", str(bad)


def main(path):
    with open(path, encoding="utf-8") as f:
        vectors = json.load(f)["vectors"]
    disagree = 0
    for vector in vectors:
        want = ("good", vector["fields"]) if "fields" in vector else ("bad", vector["class"])
        got = result(vector)
        if got != want:
            disagree += 1
            print(f"disagree: {vector['name']}: this reader says {got}, the file {want}")
    print(f"{len(vectors) - disagree} of {len(vectors)} vectors agree")
    return 1 if disagree or not vectors else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1]))
