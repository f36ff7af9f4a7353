#!/usr/bin/env python3
"""Check that an SSH certificate was logged before it was signed.

A second implementation, which shares no line with the authority's own: this file
and formats.py use Python's standard library, and `cryptography` for Ed25519 alone.
For one OpenSSH user certificate it proves that

 1. a trusted CA signed the whole certificate, the proof inside it included
    (PROTOCOL.certkeys of OpenSSH, RFC 8032);
 2. the extension `log-proof@hallpass` holds one `c2sp.org/tlog-proof@v1` text,
    and the certificate without that extension, together with the hash of its
    facts, is the leaf at `index` of the tree whose root the checkpoint names
    (c2sp.org/tlog-proof, RFC 6962 section 2.1), and its serial is index + 1;
 3. the ledger signed that checkpoint (c2sp.org/tlog-checkpoint and
    c2sp.org/signed-note, type 0x01) and so did the signer, at a stated time
    (c2sp.org/tlog-cosignature, type 0x04).

It does not compare any time with the clock, and it knows no revocations.

Stricter than the C2SP texts in one thing: a signature line by an unknown key is
refused, so that no bit of the proof can change unseen. A witness that is meant
to be there is named with --witness.

Exit status: 0 valid, 1 invalid, 2 the command line or a key file is at fault.
"""

import argparse
import re
import struct
import sys
from datetime import datetime, timezone
from typing import NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from formats import (
    Checkpoint,
    Invalid,
    Reader,
    VerifierKey,
    check_checkpoint,
    decimal,
    ed25519_verify,
    leaf_hash,
    leaf_text,
    one_string,
    require,
    root_from_path,
    strict_base64,
)

EXTENSION = b"log-proof@hallpass"
MAX_PROOF = 8192
CRITICAL_OPTIONS = (b"force-command", b"source-address", b"verify-required")


# --- the certificate ---------------------------------------------------------


def _size(size):
    return lambda value: len(value) == size


def _point(size):
    return lambda value: len(value) == 2 * size + 1 and value[0] == 4


def _positive_mpint(value):
    shortest = value[:1] != b"\0" or (len(value) > 1 and value[1] >= 0x80)
    return len(value) > 0 and value[0] < 0x80 and shortest


def _anything(_value):
    return True


# Certificate type -> a test for each string of the subject's public key.
SUBJECTS = {
    b"ssh-ed25519-cert-v01@openssh.com": (_size(32),),
    b"ecdsa-sha2-nistp256-cert-v01@openssh.com": (b"nistp256".__eq__, _point(32)),
    b"ecdsa-sha2-nistp384-cert-v01@openssh.com": (b"nistp384".__eq__, _point(48)),
    b"sk-ssh-ed25519-cert-v01@openssh.com": (_size(32), _anything),
    b"sk-ecdsa-sha2-nistp256-cert-v01@openssh.com": (b"nistp256".__eq__, _point(32), _anything),
    b"ssh-rsa-cert-v01@openssh.com": (_positive_mpint, _positive_mpint),
}

KEY_ID = re.compile(
    rb"r[0-9abcdefghjkmnpqrstvwxyz]{12}/[A-Za-z0-9._:-]+/[A-Za-z0-9._:-]+/([0-9]{8}T[0-9]{6}Z)"
)


class Body(NamedTuple):
    """What a certificate says, up to (not including) its signature field."""

    serial: int
    key_id: str
    principals: list
    valid_after: int
    valid_before: int
    extensions: list  # (name, data, start, end), offsets into the extensions field
    extensions_at: int  # where the extensions field's length stands
    authority: bytes  # the CA's key blob


def read_options(field, what):
    reader, options = Reader(field, what), []
    while reader.more():
        start = reader.pos
        name, data = reader.string(), reader.string()
        require(not options or options[-1][0] < name, f"{what} are not sorted and unique")
        if data:
            one_string(data, f"the data of one of the {what}")
        options.append((name, data, start, reader.pos))
    return options


def check_key_id(key_id):
    match = KEY_ID.fullmatch(key_id)
    require(match and len(key_id) <= 160, "the key ID is not REQUEST/PERSON/TICKET/END")
    try:
        datetime.strptime(match[1].decode(), "%Y%m%dT%H%M%SZ")
    except ValueError:
        raise Invalid("the key ID's END is not a time") from None
    return key_id.decode()


def read_body(reader):
    kind = reader.string()
    require(kind in SUBJECTS, "the certificate's type is not one of those supported")
    reader.string()  # nonce
    for fits in SUBJECTS[kind]:
        require(fits(reader.string()), "the subject's public key is malformed")
    serial = reader.u64()
    require(reader.u32() == 1, "it is not a user certificate")
    key_id = check_key_id(reader.string())
    names, principals = Reader(reader.string(), "the list of principals"), []
    while names.more():
        name = names.string()
        require(re.fullmatch(rb"[!-+\--~]+", name), "a principal is not printable ASCII")
        principals.append(name.decode())
    require(1 <= len(principals) <= 256, "there is no principal, or there are too many")
    valid_after, valid_before = reader.u64(), reader.u64()
    require(valid_after < valid_before, "the certificate is valid at no time")
    for name, *_ in read_options(reader.string(), "critical options"):
        require(name in CRITICAL_OPTIONS, "a critical option is unknown")
    extensions_at = reader.pos
    extensions = read_options(reader.string(), "extensions")
    reader.string()  # reserved; PROTOCOL.certkeys says to ignore it
    authority = reader.string()
    period = (valid_after, valid_before)
    return Body(serial, key_id, principals, *period, extensions, extensions_at, authority)


class Certificate(NamedTuple):
    body: Body
    tbs: bytes  # to be signed: without signature field and without log-proof
    proof: bytes  # the tlog-proof text
    signed: bytes  # what the CA signed: everything up to the signature field
    signature: bytes  # the 64 bytes


def parse_certificate(blob):
    reader = Reader(blob, "the certificate")
    body = read_body(reader)
    signed = blob[: reader.pos]
    frame = Reader(reader.string(), "the signature")
    reader.end()
    require(frame.string() == b"ssh-ed25519", "the CA's signature is not ssh-ed25519")
    signature = frame.string()
    frame.end()
    require(len(signature) == 64, "the CA's signature is not 64 bytes")

    found = [option for option in body.extensions if option[0] == EXTENSION]
    require(len(found) == 1, "there is no extension log-proof@hallpass")
    _, data, start, end = found[0]
    at, first = body.extensions_at, body.extensions_at + 4
    length = struct.unpack(">I", blob[at:first])[0] - (end - start)
    tbs = signed[:at] + struct.pack(">I", length) + signed[first : first + start]
    tbs += signed[first + end :]
    return Certificate(body, tbs, one_string(data, "the log-proof extension"), signed, signature)


def check_authority(certificate, authorities):
    """`authorities` maps a key blob to its Ed25519PublicKey."""
    public = authorities.get(certificate.body.authority)
    require(public is not None, "the certificate's CA is not one of those trusted")
    reason = "the CA's signature does not verify"
    ed25519_verify(public, certificate.signature, certificate.signed, reason)


# --- the proof --------------------------------------------------------------


class Proved(NamedTuple):
    index: int
    checkpoint: Checkpoint


def check_proof(tbs, serial, proof, ledger, signer, witnesses=()):
    """The proof part alone: nothing here looks at the CA's signature."""
    require(len(proof) <= MAX_PROOF, "the proof is larger than 8 KiB")
    head, blank, note = proof.partition(b"\n\n")
    require(blank, "the proof has no checkpoint")
    require(head.isascii(), "the proof's head is not ASCII")
    lines = head.decode().split("\n")
    require(lines[0] == "c2sp.org/tlog-proof@v1", "the proof's first line is not tlog-proof@v1")
    require(len(lines) > 1 and lines[1].startswith("extra "), "the proof has no line `extra`")
    facts_hash = strict_base64(lines[1][6:], "extra", 32)
    require(len(lines) > 2 and lines[2].startswith("index "), "the proof has no line `index`")
    index = decimal(lines[2][6:], "the index")
    path = [strict_base64(line, "an inclusion hash", 32) for line in lines[3:]]
    require(serial == index + 1, "the serial is not index + 1")

    checkpoint = check_checkpoint(note, ledger, [signer], witnesses)
    require(index < checkpoint.size, "the index is not in the tree")
    leaf = leaf_hash(leaf_text(b"certificate", tbs, facts_hash))
    root = root_from_path(index, checkpoint.size, leaf, path)
    require(root == checkpoint.root, "the entry is not in the tree")
    return Proved(index, checkpoint)


# --- every bit -----------------------------------------------------------------


def accepted_flips(data, check):
    """The bits of `data` that can be flipped without `check` raising Invalid."""
    accepted, copy = [], bytearray(data)
    for bit in range(8 * len(data)):
        copy[bit // 8] ^= 0x80 >> bit % 8
        try:
            check(bytes(copy))
            accepted.append(bit)
        except Invalid:
            pass
        copy[bit // 8] ^= 0x80 >> bit % 8
    return accepted


def report_flips(parts):
    """`parts` are (what, data, check); says how many bits were flipped."""
    total, named = 0, []
    for what, data, check in parts:
        total += 8 * len(data)
        named += [f"{what} {bit // 8}.{bit % 8}" for bit in accepted_flips(data, check)]
    print(f"flipped {total} bits: {total - len(named)} rejected")
    if named:
        print("accepted (byte.bit, the highest bit is 0): " + ", ".join(named))
    return 1 if named else 0


# --- the command ---------------------------------------------------------------


def utc(seconds):
    if seconds == (1 << 64) - 1:
        return "forever"
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"@{seconds}"


def first_line(path):
    with open(path, "rb") as file:
        return file.readline(65536).decode("utf-8").rstrip("\r\n")


def load_authority(path):
    fields = first_line(path).split()
    require(len(fields) >= 2 and fields[0] == "ssh-ed25519", "it is not an ssh-ed25519 key")
    blob = strict_base64(fields[1].encode(), "the key")
    reader = Reader(blob, "the key")
    require(reader.string() == b"ssh-ed25519", "it is not an ssh-ed25519 key")
    key = reader.string()
    reader.end()
    require(len(key) == 32, "the key is not 32 bytes")
    return blob, Ed25519PublicKey.from_public_bytes(key)


def load_key(path, load):
    """Usage errors, not verdicts: a key file is the caller's own."""
    try:
        return load(path)
    except (OSError, UnicodeDecodeError, Invalid) as error:
        print(f"{path}: {error}", file=sys.stderr)
        raise SystemExit(2) from None


def load_vkey(path, kind):
    return load_key(path, lambda path: VerifierKey.parse(first_line(path), kind))


def load_certificate(text):
    require(text.count(b"\n") == text.endswith(b"\n"), "the file is not one line")
    fields = text.rstrip(b"\r\n").split(b" ", 2)
    require(len(fields) >= 2, "the file is not TYPE BASE64 [COMMENT]")
    blob = strict_base64(fields[1], "the certificate")
    require(Reader(blob, "the certificate").string() == fields[0], "the file names another type")
    return blob


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Check a certificate and its log proof.")
    parser.add_argument("--ca", action="append", required=True, metavar="USER_CA.pub")
    parser.add_argument("--ledger", required=True, metavar="LEDGER.vkey")
    parser.add_argument("--signer", required=True, metavar="SIGNER.vkey")
    parser.add_argument("--witness", action="append", default=[], metavar="WITNESS.vkey")
    flips = "flip each bit of the certificate and check it again"
    parser.add_argument("--flip-all", action="store_true", help=flips)
    flips = "flip each bit of the proof and of the to-be-signed certificate, check the proof alone"
    parser.add_argument("--flip-proof", action="store_true", help=flips)
    parser.add_argument("certificate", metavar="CERT-FILE")
    options = parser.parse_args(arguments)
    authorities = dict(load_key(path, load_authority) for path in options.ca)
    ledger, signer = load_vkey(options.ledger, 0x01), load_vkey(options.signer, 0x04)
    keys = (ledger, signer, [load_vkey(path, 0x04) for path in options.witness])
    try:
        with open(options.certificate, "rb") as file:
            text = file.read(1 << 17)
    except OSError as error:
        print(error, file=sys.stderr)
        return 2

    def check(blob):
        certificate = parse_certificate(blob)
        check_authority(certificate, authorities)
        serial = certificate.body.serial
        return certificate, check_proof(certificate.tbs, serial, certificate.proof, *keys)

    try:
        blob = load_certificate(text)
        certificate, proved = check(blob)
    except Invalid as error:
        print(f"invalid: {error}")
        return 1

    body, checkpoint = certificate.body, proved.checkpoint
    print(
        f"valid: serial {body.serial} is entry {proved.index} of {checkpoint.origin}, "
        f"checkpoint size {checkpoint.size}, cosigned {utc(checkpoint.times[signer.name])}, "
        f"principals {','.join(body.principals)}, key id {body.key_id}, "
        f"valid after {utc(body.valid_after)} before {utc(body.valid_before)}"
    )
    status = 0
    if options.flip_all:
        status |= report_flips([("certificate", blob, check)])
    if options.flip_proof:
        tbs, serial, proof = certificate.tbs, body.serial, certificate.proof
        of_proof = ("proof", proof, lambda flipped: check_proof(tbs, serial, flipped, *keys))
        of_tbs = ("tbs", tbs, lambda flipped: check_proof(flipped, serial, proof, *keys))
        status |= report_flips([of_proof, of_tbs])
    return status


if __name__ == "__main__":
    sys.exit(main())
