"""A second reader of token format 1, written from docs/format.md alone.

    python3 reader.py vectors.json

opens every test vector, prints how many agree, names each one that does not, and then exits with 1.
It needs the package `cryptography`. It is here to test the format's description, not to be used: it is slow and
says nothing of timeouts.

In the comments, "step" is a step of the section "Opening" of docs/format.md.
"""

import hashlib
import hmac
import json
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAX_LENGTH = 4096  # of the session cookie's name and the token together
MAX_KEY_ID = 16
MAX_SUBJECT = 256
MAX_TIMEOUT = 400 * 24 * 60 * 60
MAX_WRAPPED = 16
MAX_WRAPPED_NAME = 64
TAG_SIZE = 3
MAC_SIZE = 32
NONCE_SIZE = 24
POLY1305_SIZE = 16
SEEN_SIZE = 5
TOUCH_MAC_SIZE = 16
TOUCH_BODY = 28  # characters of base64url

FLAGS = {"remember": 1, "persistent": 2, "browser": 4, "refused": 8}
AUTHENTICATES = 1

TAGS = {"signed": b"1s.", "sealed": b"1e.", "touch": b"1t."}
ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


class Refused(Exception):
    """The token is refused; the argument is the class of the first check that failed."""


def require(condition, refusal):
    if not condition:
        raise Refused(refusal)


# Keys


def derive(key, purpose, options):
    """The sub-key for one purpose, cookie name and audience."""
    parts = [part.encode() for part in (purpose, options["name"], options["audience"])]
    info = b"".join(struct.pack(">H", len(part)) + part for part in parts)
    kdf = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info)
    return kdf.derive(bytes.fromhex(key["secret"]))


def expired(key, now):
    return key["verify_until"] != 0 and now > key["verify_until"]


def signing_key(keys, now):
    """The key to sign with at this second, None if there is none. Of equals, max returns the first."""
    usable = [key for key in keys if key["sign_from"] <= now and not expired(key, now)]
    return max(usable, key=lambda key: key["sign_from"], default=None)


def find_key(keys, key_id, now):
    for key in keys:
        if key["id"].encode() == key_id and not expired(key, now):
            return key
    raise Refused("key")


# Base64url and XChaCha20-Poly1305


def decode_base64url(text):
    """Canonical base64url without padding: one text for each value."""
    require(len(text) % 4 != 1, "encoding")
    value = 0
    for char in text:
        digit = ALPHABET.find(char)
        require(digit >= 0, "encoding")
        value = value << 6 | digit
    size, unused = divmod(len(text) * 6, 8)
    require(value & ((1 << unused) - 1) == 0, "encoding")
    return (value >> unused).to_bytes(size, "big")


def quarter_round(x, a, b, c, d):
    for first, second, other, left in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
        x[first] = (x[first] + x[second]) & 0xFFFFFFFF
        mixed = x[other] ^ x[first]
        x[other] = (mixed << left | mixed >> (32 - left)) & 0xFFFFFFFF


def hchacha20(key, nonce):
    """ChaCha20's block function (RFC 8439) without the final addition; words 0 to 3 and 12 to 15."""
    x = list(struct.unpack("<16I", b"expand 32-byte k" + key + nonce))
    for _ in range(10):
        for column in range(4):
            quarter_round(x, column, column + 4, column + 8, column + 12)
        for i in range(4):
            quarter_round(x, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4)
    return struct.pack("<8I", *x[:4], *x[12:])


def xchacha20poly1305_open(key, nonce, sealed, associated_data):
    """The plaintext; raises InvalidTag."""
    cipher = ChaCha20Poly1305(hchacha20(key, nonce[:16]))
    return cipher.decrypt(bytes(4) + nonce[16:], sealed, associated_data)


# The three bodies: each is authenticated before anything is returned (step 6)


def check_mac(key, message, mac):
    """The MAC may be truncated: as many bytes are compared as there are, the caller takes care of how many."""
    want = hmac.new(key, message, hashlib.sha256).digest()[: len(mac)]
    require(hmac.compare_digest(want, mac), "mac")


def open_signed(key, prefix, body):
    require(len(body) >= MAC_SIZE, "mac")
    payload, mac = body[:-MAC_SIZE], body[-MAC_SIZE:]
    check_mac(key, prefix + payload, mac)
    return payload


def open_sealed(key, prefix, body):
    require(len(body) >= NONCE_SIZE + POLY1305_SIZE, "mac")
    try:
        return xchacha20poly1305_open(key, body[:NONCE_SIZE], body[NONCE_SIZE:], prefix)
    except InvalidTag:
        raise Refused("mac") from None


def open_touch(key, prefix, body, session_id):
    require(len(body) == SEEN_SIZE + TOUCH_MAC_SIZE, "mac")
    seen, mac = body[:SEEN_SIZE], body[SEEN_SIZE:]
    check_mac(key, prefix + session_id + seen, mac)
    return int.from_bytes(seen, "big")


# The session payload


class Cursor:
    """Takes bytes off the front of a payload."""

    def __init__(self, payload):
        self.rest = payload

    def take(self, size):
        require(len(self.rest) >= size, "payload")
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken

    def integer(self, size):
        return int.from_bytes(self.take(size), "big")


def parse_payload(payload):
    cursor = Cursor(payload)
    flags = cursor.integer(1)
    session = {
        "id": cursor.take(16).hex(),
        **{name: flags & bit != 0 for name, bit in FLAGS.items()},
        "started_at": cursor.integer(5),
        "authenticated_at": cursor.integer(5),
        "issued_at": cursor.integer(5),
        "idle": cursor.integer(4),
        "absolute": cursor.integer(4),
        "revision": cursor.integer(4),
    }
    subject = cursor.take(cursor.integer(2))
    data = cursor.take(cursor.integer(2))
    wrapped = parse_wrapped(cursor.take(cursor.integer(2)))
    require(not cursor.rest, "payload")
    require(flags <= sum(FLAGS.values()), "payload")
    require(not (session["persistent"] and session["browser"]), "payload")
    check_times(session, authenticated=subject or any(cookie["authenticates"] for cookie in wrapped))
    session["subject"] = check_subject(subject)
    session["data"] = check_data(data)
    session["wrapped"] = wrapped
    return session


def parse_wrapped(section):
    """The app's own cookies, as vectors have them; they are told apart as bytes."""
    cursor, cookies, seen = Cursor(section), [], set()
    while cursor.rest:
        flags = cursor.integer(1)
        name = cursor.take(cursor.integer(1))
        path = cursor.take(cursor.integer(1))
        expires = cursor.integer(5)
        value = cursor.take(cursor.integer(2))
        require(flags <= AUTHENTICATES, "payload")
        require(1 <= len(name) <= MAX_WRAPPED_NAME and b"=" not in name, "payload")
        require(path[:1] == b"/", "payload")
        require((name, path) not in seen, "payload")
        seen.add((name, path))
        cookie = {"name": check_text(name), "path": check_text(path), "value": check_text(value)}
        cookies.append({**cookie, "expires": expires, "authenticates": flags == AUTHENTICATES})
    require(len(cookies) <= MAX_WRAPPED, "payload")
    return cookies


def check_text(text):
    require(all(byte >= 0x20 and byte not in b"\x7f;" for byte in text), "payload")
    require(text == text.strip(b" "), "payload")
    return text.decode("utf-8", "replace")


def check_times(session, authenticated):
    started, at, issued = session["started_at"], session["authenticated_at"], session["issued_at"]
    require(started <= issued, "payload")
    require(started <= at <= issued if authenticated else at == 0, "payload")
    require(session["idle"] <= MAX_TIMEOUT and session["absolute"] <= MAX_TIMEOUT, "payload")


def check_subject(subject):
    require(len(subject) <= MAX_SUBJECT, "payload")
    require(all(byte >= 0x20 and byte != 0x7F for byte in subject), "payload")
    require(subject == subject.strip(b" "), "payload")
    try:
        return subject.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("payload") from None


def check_data(data):
    """Data is not parsed; it is text here only to be compared with a vector's."""
    require(not data or (len(data) >= 2 and data[:1] == b"{" and data[-1:] == b"}"), "payload")
    return data.decode("utf-8", "replace")


# Opening


def open_token(token, purpose, options, keys, now, session_id=None):
    """The fields of a token; raises Refused."""
    require(TAG_SIZE <= len(token) <= MAX_LENGTH - len(options["name"].encode()), "length")  # step 1
    require(token[:TAG_SIZE] == TAGS[purpose], "version")  # step 2

    dot = token.find(b".", TAG_SIZE)  # step 3
    require(1 <= dot - TAG_SIZE <= MAX_KEY_ID, "key")
    key = find_key(keys, token[TAG_SIZE:dot], now)
    prefix, text = token[: dot + 1], token[dot + 1 :]

    require(purpose != "touch" or len(text) == TOUCH_BODY, "length")  # step 4
    body = decode_base64url(text)  # step 5

    sub_key = derive(key, purpose, options)  # steps 6 and 7
    if purpose == "touch":
        fields = {"seen": open_touch(sub_key, prefix, body, session_id)}
    else:
        open_body = {"signed": open_signed, "sealed": open_sealed}[purpose]
        fields = parse_payload(open_body(sub_key, prefix, body))

    made_at = fields["seen"] if purpose == "touch" else fields["issued_at"]  # step 8
    require(made_at <= now + options["skew"], "time")
    fields["current"] = key is signing_key(keys, now)
    return fields


# Vectors


def open_vector(vector):
    """What this reader makes of a vector: the same member, fields or class, as the vector has."""
    options = vector["options"]
    purpose = "touch" if vector["kind"] == "touch" else options["mode"]
    session_id = bytes.fromhex(vector.get("session_id", ""))
    try:
        fields = open_token(vector["token"].encode(), purpose, options, vector["keys"], vector["now"], session_id)
    except Refused as refused:
        return {"class": str(refused)}
    return {"fields": fields}


def as_json(value):
    """JSON, so that true and 1 differ when compared."""
    return json.dumps(value, sort_keys=True)


def main(path):
    with open(path, encoding="utf-8") as file:
        vectors = json.load(file)["vectors"]
    agreed = 0
    for vector in vectors:
        want = as_json({name: vector[name] for name in ("fields", "class") if name in vector})
        got = as_json(open_vector(vector))
        if got == want:
            agreed += 1
        else:
            print(f"disagree: {vector['name']}: want {want}, got {got}")
    print(f"{agreed} of {len(vectors)} vectors agree")
    return 0 if vectors and agreed == len(vectors) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
