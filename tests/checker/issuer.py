"""A tiny issuer for the checkers' tests: keys, a tree, proofs, certificates.

It shares no code with the checkers (only `cryptography`'s Ed25519), and each
step can be bent: `bend` maps the name of a step to a function that gets what the
step made and returns what is used instead. So a test can break one rule and have
everything after it signed as if nothing had happened.
"""

import base64
import hashlib
import json
import struct

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NAME = "ca.example"
ORIGIN = NAME + "/1"
COSIGNED = 1_795_000_000
FIRST_SECOND = 1_795_000_000
LAST_SECOND = FIRST_SECOND + 600
KEY_ID = b"r0123456789ab/ana/OPS-17/20261118T115640Z"
SUBJECT_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-rsa",
)


def b64(data):
    return base64.b64encode(data).decode()


def sha256(data):
    return hashlib.sha256(data).digest()


def string(data):
    return struct.pack(">I", len(data)) + data


def u64(number):
    return struct.pack(">Q", number)


def mpint(number):
    return string(number.to_bytes(number.bit_length() // 8 + 1, "big"))


# --- keys ----------------------------------------------------------------------


class Key:
    """An Ed25519 key made from its label, so that a run can be repeated."""

    def __init__(self, label, name="", kind=0):
        self.private = Ed25519PrivateKey.from_private_bytes(sha256(label.encode()))
        self.public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.blob = string(b"ssh-ed25519") + string(self.public)
        self.name, self.kind = name, kind
        self.typed = bytes([kind]) + self.public
        self.key_id = sha256(name.encode() + b"\n" + self.typed)[:4]
        self.vkey = f"{name}+{self.key_id.hex()}+{b64(self.typed)}"
        self.pub = f"ssh-ed25519 {b64(self.blob)} {label}\n"

    def sign(self, message):
        return self.private.sign(message)

    def note_line(self, text, time=COSIGNED):
        if self.kind == 0x01:
            signature = self.sign(text)
        else:
            signature = u64(time) + self.sign(b"cosignature/v1\ntime %d\n" % time + text)
        return f"— {self.name} {b64(self.key_id + signature)}\n".encode()


CA = Key("user CA")
LEDGER = Key("ledger", ORIGIN, 0x01)
SIGNER = Key("signer", NAME + "/signer", 0x04)


def witness(number):
    return Key(f"witness {number}", f"witness{number}.example", 0x04)


def point(curve):
    public = ec.generate_private_key(curve).public_key()
    return public.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def subject_fields(kind):
    """The strings of a new public key, as they stand in key and certificate."""
    if kind == "ssh-ed25519":
        return string(Key("subject").public)
    if kind == "sk-ssh-ed25519@openssh.com":
        return string(Key("subject").public) + string(b"ssh:")
    if kind == "ecdsa-sha2-nistp256":
        return string(b"nistp256") + string(point(ec.SECP256R1()))
    if kind == "ecdsa-sha2-nistp384":
        return string(b"nistp384") + string(point(ec.SECP384R1()))
    if kind == "sk-ecdsa-sha2-nistp256@openssh.com":
        return string(b"nistp256") + string(point(ec.SECP256R1())) + string(b"ssh:")
    numbers = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
    return mpint(numbers.e) + mpint(numbers.n)


# --- the tree: RFC 6962 section 2.1, word by word --------------------------------


def tree_hash(leaves):
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0])
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\1" + tree_hash(leaves[:k]) + tree_hash(leaves[k:]))


def path(m, leaves):
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m < k:
        return path(m, leaves[:k]) + [tree_hash(leaves[k:])]
    return path(m - k, leaves[k:]) + [tree_hash(leaves[:k])]


def consistency(m, leaves, whole=True):
    """PROOF(m, D[n]), section 2.1.2."""
    if m == len(leaves):
        return [] if whole else [tree_hash(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if m <= k:
        return consistency(m, leaves[:k], whole) + [tree_hash(leaves[k:])]
    return consistency(m - k, leaves[k:], False) + [tree_hash(leaves[:k])]


# --- one certificate -------------------------------------------------------------


def facts_text(kind, index):
    salt = b64(sha256(b"salt %d" % index)[:16])
    return json.dumps({"v": 1, "kind": kind, "salt": salt, "entry": index}).encode()


def leaf_text(kind, tbs, facts):
    middle = "-" if tbs is None else b64(sha256(tbs))
    return f"hallpass.v1 {kind}\n{middle}\n{b64(sha256(facts))}\n".encode()


def options(pairs):
    return b"".join(string(name) + string(data) for name, data in pairs)


class Plan:
    """What goes into a certificate before its proof exists."""

    def __init__(self, index, kind="ssh-ed25519", subject=None):
        self.kind = kind.removesuffix("@openssh.com").encode() + b"-cert-v01@openssh.com"
        self.nonce = sha256(b"nonce %d" % index)
        self.subject = subject_fields(kind) if subject is None else subject
        self.serial = index + 1
        self.role = 1
        self.key_id = KEY_ID
        self.principals = [b"deploy@web01"]
        self.valid = (FIRST_SECOND, LAST_SECOND)
        self.critical = []
        self.extensions = [(b"permit-pty", b"")]
        self.reserved = b""
        self.authority = CA.blob

    def encode(self, extensions):
        return b"".join(
            (
                string(self.kind),
                string(self.nonce),
                self.subject,
                u64(self.serial),
                struct.pack(">I", self.role),
                string(self.key_id),
                string(b"".join(string(name) for name in self.principals)),
                u64(self.valid[0]),
                u64(self.valid[1]),
                string(options(self.critical)),
                string(options(extensions)),
                string(self.reserved),
                string(self.authority),
            )
        )


def checkpoint_text(leaves, bend=None):
    step = (bend or {}).get
    body = f"{ORIGIN}\n{len(leaves)}\n{b64(tree_hash(leaves))}\n".encode()
    body = step("checkpoint", lambda x: x)(body)
    lines = [LEDGER.note_line(body), SIGNER.note_line(body)]
    lines = step("signatures", lambda lines, _body: lines)(lines, body)
    return step("note", lambda x: x)(body + b"\n" + b"".join(lines))


def other_leaf(index):
    return leaf_text("request", None, facts_text("request", index))


def issue(index=4, size=8, plan=None, bend=None):
    """A certificate blob for the entry `index` of a tree of `size` leaves."""
    bend = bend or {}

    def step(name, made):
        return bend.get(name, lambda x: x)(made)

    plan = plan or Plan(index)
    tbs = step("tbs", plan.encode(plan.extensions))
    facts = facts_text("certificate", index)
    leaves = [other_leaf(i) for i in range(size)]
    leaves[index] = step("leaf", leaf_text("certificate", tbs, facts))
    head = [
        "c2sp.org/tlog-proof@v1",
        "extra " + b64(sha256(facts)),
        f"index {index}",
        *(b64(node) for node in path(index, leaves)),
    ]
    head = step("head", head)
    note = checkpoint_text(leaves, bend)
    proof = step("proof", "\n".join(head).encode() + b"\n\n" + note)
    data = step("data", string(proof))
    with_proof = step("extensions", sorted([*plan.extensions, (b"log-proof@hallpass", data)]))
    signed = step("signed", plan.encode(with_proof))
    frame = step("frame", string(b"ssh-ed25519") + string(CA.sign(signed)))
    return step("blob", signed + string(frame))


def certificate_line(blob):
    length = struct.unpack(">I", blob[:4])[0]
    return blob[4 : 4 + length] + b" " + base64.b64encode(blob) + b" comment\n"


# --- a ledger export ---------------------------------------------------------------

CERTIFICATES = (1, 4)  # the indexes of certificates in an export; the rest are requests


def export_entries(count=6, facts_of=facts_text, serial_of=lambda index: index + 1):
    entries = []
    for index in range(count):
        kind = "certificate" if index in CERTIFICATES else "request"
        facts, tbs = facts_of(kind, index), None
        if kind == "certificate":
            plan = Plan(index)
            plan.serial = serial_of(index)
            tbs = plan.encode(plan.extensions)
        leaf = leaf_text(kind, tbs, facts).decode()
        encoded = None if tbs is None else b64(tbs)
        entries.append({"index": index, "leaf": leaf, "tbs": encoded, "facts": b64(facts)})
    return entries


def export_lines(entries, leaves=None, bend=None):
    """`leaves` is what the checkpoint is made of: those of the entries unless given."""
    if leaves is None:
        leaves = [entry["leaf"].encode() for entry in entries]
    note = checkpoint_text(leaves, bend).decode()
    objects = [{"checkpoint": note}, *entries]
    return [json.dumps(each).encode() + b"\n" for each in objects]
