"""The formats the checkers read: strict encodings, signed notes, the tree.

From RFC 4648 (base64), RFC 4251 (SSH's binary types), c2sp.org/signed-note,
c2sp.org/tlog-checkpoint, c2sp.org/tlog-cosignature (Ed25519) and RFC 6962
section 2.1. Python's standard library, and `cryptography` for Ed25519 alone.
"""

import base64
import binascii
import hashlib
import re
import struct
from typing import NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

MAX_WITNESSES = 3


class Invalid(Exception):
    """What is checked is not what it should be; the text says why."""


def require(condition, reason):
    if not condition:
        raise Invalid(reason)


# --- small encodings ---------------------------------------------------------


def strict_base64(text, what, size=None):
    """Standard alphabet, canonical padding, zero trailing bits, nothing else."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid(f"{what} is not base64") from None
    encoded = text if isinstance(text, bytes) else text.encode("ascii")
    require(base64.b64encode(data) == encoded, f"{what} is not canonical base64")
    require(size in (None, len(data)), f"{what} is not {size} bytes")
    return data


def decimal(text, what):
    require(re.fullmatch(r"0|[1-9][0-9]{0,18}", text), f"{what} is not a canonical decimal")
    require(int(text) < 1 << 63, f"{what} is too large")
    return int(text)


class Reader:
    """Reads SSH's binary types and knows where it stands."""

    def __init__(self, data, what):
        self.data, self.pos, self.what = data, 0, what

    def take(self, count):
        start, self.pos = self.pos, self.pos + count
        require(self.pos <= len(self.data), f"{self.what} is cut short")
        return self.data[start : self.pos]

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def u64(self):
        return struct.unpack(">Q", self.take(8))[0]

    def string(self):
        return self.take(self.u32())

    def more(self):
        return self.pos < len(self.data)

    def end(self):
        require(not self.more(), f"{self.what} has trailing bytes")


def one_string(data, what):
    reader = Reader(data, what)
    value = reader.string()
    reader.end()
    return value


def ed25519_verify(public, signature, message, reason):
    try:
        public.verify(signature, message)
    except InvalidSignature:
        raise Invalid(reason) from None


# --- signed notes, checkpoints, cosignatures -----------------------------------


class VerifierKey(NamedTuple):
    name: str
    key_id: bytes
    kind: int  # 0x01: Ed25519 over the text; 0x04: cosignature with a time
    public: Ed25519PublicKey

    @classmethod
    def parse(cls, text, kind):
        parts = text.split("+", 2)
        require(len(parts) == 3, "it is not NAME+ID+KEY")
        name, key_id, key = parts[0], parts[1], strict_base64(parts[2], "the key", 33)
        require_key_name(name)
        require(key[0] == kind, f"the key's signature type is not {kind:#04x}")
        expected = hashlib.sha256(name.encode() + b"\n" + key).digest()[:4]
        require(key_id == expected.hex(), "the key ID does not match the key")
        return cls(name, expected, kind, Ed25519PublicKey.from_public_bytes(key[1:]))

    def verify(self, text, signature):
        """Returns the time of a cosignature, None for a plain signature."""
        reason, size = f"the signature by {self.name} does not verify", 64
        if self.kind == 0x04:
            size += 8
        require(len(signature) == size, f"the signature by {self.name} is not {size} bytes")
        if self.kind == 0x01:
            ed25519_verify(self.public, signature, text, reason)
            return None
        time = struct.unpack(">Q", signature[:8])[0]
        require(time < 1 << 63, f"the time of the cosignature by {self.name} is too large")
        message = b"cosignature/v1\ntime %d\n" % time + text
        ed25519_verify(self.public, signature[8:], message, reason)
        return time


def require_key_name(name):
    bad = re.search(r"[\s+\x00-\x1f]", name)
    require(name and not bad, "a key name is empty or has a space, plus or control character")


class Checkpoint(NamedTuple):
    origin: str
    size: int
    root: bytes
    times: dict  # cosigner's name -> time


def check_checkpoint(note, ledger, cosigners, optional=(), ignore_unknown=False):
    """Every key of `cosigners` must have signed; those of `optional` may have."""
    try:
        text = note.decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid("the checkpoint is not UTF-8") from None
    require(not re.search(r"[\x00-\x09\x0b-\x1f]", text), "the checkpoint has control characters")
    body, blank, tail = text.rpartition("\n\n")
    require(blank and tail.endswith("\n"), "the checkpoint has no signatures")
    body += "\n"

    lines = body[:-1].split("\n")
    require(len(lines) >= 3 and all(lines), "the checkpoint has too few or empty lines")
    require(lines[0] == ledger.name, "the checkpoint's origin is not the ledger's name")
    size = decimal(lines[1], "the checkpoint's size")
    root = strict_base64(lines[2].encode(), "the checkpoint's root", 32)

    known = {(key.name, key.key_id): key for key in (ledger, *cosigners, *optional)}
    seen, times = set(), {}  # `seen` holds names with key IDs
    for line in tail[:-1].split("\n"):
        match = re.fullmatch(r"— ([^ ]+) ([^ ]+)", line)
        require(match, "a signature line is malformed")
        require_key_name(match[1])
        signature = strict_base64(match[2].encode(), "a signature")
        require(len(signature) > 4, "a signature is too short")
        key = known.get((match[1], signature[:4]))
        if key is None:
            require(ignore_unknown, "there is a signature by an unknown key")
            continue
        require(key[:2] not in seen, f"{key.name} signed twice")
        seen.add(key[:2])
        times[key.name] = key.verify(body.encode(), signature[4:])
    for key in (ledger, *cosigners):
        require(key[:2] in seen, f"the signature by {key.name} is missing")
    witnesses = sum(key[:2] in seen for key in optional)
    require(witnesses <= MAX_WITNESSES, "there are too many witnesses")
    return Checkpoint(lines[0], size, root, times)


# --- the tree ---------------------------------------------------------------


def leaf_text(kind, tbs, facts_hash):
    """`tbs` is None for an entry without a certificate."""
    tbs_hash = b"-" if tbs is None else base64.b64encode(hashlib.sha256(tbs).digest())
    return b"hallpass.v1 %s\n%s\n%s\n" % (kind, tbs_hash, base64.b64encode(facts_hash))


def leaf_hash(leaf):
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def root_from_path(index, size, leaf, path):
    """RFC 6962 section 2.1.1 read backwards: PATH(m, D[n]) gives MTH(D[n])."""
    if size == 1:
        require(not path, "the inclusion proof is too long")
        return leaf
    require(path, "the inclusion proof is too short")
    split = 1 << ((size - 1).bit_length() - 1)  # the largest power of two below size
    if index < split:
        return node_hash(root_from_path(index, split, leaf, path[:-1]), path[-1])
    return node_hash(path[-1], root_from_path(index - split, size - split, leaf, path[:-1]))
