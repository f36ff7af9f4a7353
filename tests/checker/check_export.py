#!/usr/bin/env python3
"""Check a ledger export as a whole.

An export is JSON lines: first `{"checkpoint":TEXT}`, then in order
`{"index":N,"leaf":TEXT,"tbs":BASE64|null,"facts":BASE64|null}`. This program
rebuilds every leaf from the to-be-signed certificate and the facts, the root
(RFC 6962 section 2.1) from all leaves, and compares it with the checkpoint;
verifies the ledger's signature, and the signer's where --signer is given; and
checks that each certificate's serial is its index + 1, and that no grant and no
certificate is of a request that an `end` before it names.

It prints one line: `valid N entries`, or `redacted K of N entries` when tbs or
facts of K entries were taken out (their leaves are then taken as written, and
the root still binds them), or `invalid: entry I: REASON`,
`invalid: checkpoint: REASON`.

Exit status: 0 valid, 1 invalid, 2 usage, 3 redacted.
"""

import argparse
import hashlib
import json
import re
import sys

from check_certificate import EXTENSION, load_vkey, read_body
from formats import (
    Invalid,
    Reader,
    check_checkpoint,
    leaf_hash,
    leaf_text,
    node_hash,
    require,
    strict_base64,
)

MAX_FACTS = 65536
HASH = "[A-Za-z0-9+/=]{44}"
LEAF = re.compile(rf"hallpass\.v1 ([a-z]+(?:-[a-z]+)*)\n(-|{HASH})\n({HASH})\n")


class Tree:
    """The root over leaves that come one by one: full subtrees, largest first."""

    def __init__(self):
        self.size, self.subtrees = 0, []  # (height, hash)

    def add(self, leaf):
        height, value = 0, leaf_hash(leaf)
        while self.subtrees and self.subtrees[-1][0] == height:
            value = node_hash(self.subtrees.pop()[1], value)
            height += 1
        self.subtrees.append((height, value))
        self.size += 1

    def root(self):
        if not self.subtrees:
            return hashlib.sha256(b"").digest()
        value = self.subtrees[-1][1]
        for _, left in reversed(self.subtrees[:-1]):
            value = node_hash(left, value)
        return value


class Members(list):
    """A JSON object as (name, value) pairs in the order written."""


def no_constant(name):
    raise ValueError(name)  # NaN and Infinity are not JSON


def parse_json(data, what):
    try:
        text = data.decode("utf-8")
        return json.loads(text, object_pairs_hook=Members, parse_constant=no_constant)
    except (ValueError, RecursionError):
        raise Invalid(f"{what} not JSON") from None


def parse_object(line, names):
    members = parse_json(line, "it is")
    fits = isinstance(members, Members) and sorted(names) == sorted(name for name, _ in members)
    require(fits, "it is not an object of " + ", ".join(names))
    return dict(members)


def check_facts(facts, kind):
    require(len(facts) <= MAX_FACTS, "the facts are larger than 64 KiB")
    members = parse_json(facts, "the facts are")
    require(isinstance(members, Members), "the facts are not an object")
    first = [name for name, _ in members[:3]]
    require(first == ["v", "kind", "salt"], "the facts do not begin with v, kind, salt")
    (_, version), (_, named), (_, salt) = members[:3]
    require(type(version) is int and version == 1, "the facts' v is not 1")
    require(named == kind, "the facts name another kind than the leaf")
    require(isinstance(salt, str), "the facts' salt is not a string")
    strict_base64(salt.encode("utf-8", "replace"), "the facts' salt", 16)


def check_tbs(tbs, index):
    reader = Reader(tbs, "the to-be-signed certificate")
    body = read_body(reader)
    reader.end()
    with_proof = any(option[0] == EXTENSION for option in body.extensions)
    require(not with_proof, "the to-be-signed certificate has a log proof")
    require(body.serial == index + 1, "the serial is not index + 1")


def field_bytes(value, what):
    if value is None:
        return None
    require(isinstance(value, str), f"{what} is neither text nor null")
    return strict_base64(value.encode("utf-8", "replace"), what)


class Ends:
    """Of a grant that ended no certificate is issued any more: requests that an `end` named."""

    def __init__(self):
        self.requests = set()

    def check(self, kind, facts):
        request = dict(parse_json(facts, "the facts are")).get("request")
        if kind == "end":
            require(isinstance(request, str), "the end names no request")
            self.requests.add(request)
        elif kind in ("grant", "certificate") and isinstance(request, str):
            require(request not in self.requests, f"it is of {request}, which had ended")


def check_entry(line, index, ends):
    """Returns the leaf's bytes and whether something was taken out of the entry."""
    entry = parse_object(line, ("index", "leaf", "tbs", "facts"))
    require(type(entry["index"]) is int and entry["index"] == index, "the index is out of order")
    match = isinstance(entry["leaf"], str) and LEAF.fullmatch(entry["leaf"])
    require(match, "the leaf is malformed")
    kind, tbs_hash, facts_hash = match.groups()
    require(kind != "certificate" or tbs_hash != "-", "a certificate's leaf has no certificate")
    if tbs_hash != "-":
        strict_base64(tbs_hash.encode(), "the leaf's first hash", 32)
    expected_facts = strict_base64(facts_hash.encode(), "the leaf's second hash", 32)
    leaf = entry["leaf"].encode()

    tbs, facts = field_bytes(entry["tbs"], "tbs"), field_bytes(entry["facts"], "facts")
    require(tbs is None or tbs_hash != "-", "there is a tbs the leaf knows nothing of")
    if facts is not None:
        require(hashlib.sha256(facts).digest() == expected_facts, "the facts are not the leaf's")
        check_facts(facts, kind)
        ends.check(kind, facts)
    if tbs is not None:
        rebuilt = leaf_text(kind.encode(), tbs, expected_facts)
        require(rebuilt == leaf, "the to-be-signed certificate is not the leaf's")
        check_tbs(tbs, index)
    return leaf, facts is None or (tbs is None and tbs_hash != "-")


def check_export(lines, ledger, signer):
    """`lines` are bytes, each with its LF; returns the verdict and the exit status."""
    lines, tree, redacted, ends = iter(lines), Tree(), 0, Ends()
    where = "checkpoint"
    try:
        note = parse_object(next(lines, b""), ("checkpoint",))["checkpoint"]
        require(isinstance(note, str), "it is not text")
        cosigners = [signer] if signer else []
        note = note.encode("utf-8", "surrogatepass")
        checkpoint = check_checkpoint(note, ledger, cosigners, ignore_unknown=True)
        for line in lines:
            where = f"entry {tree.size}"
            require(line.endswith(b"\n"), "the line has no end")
            require(tree.size < checkpoint.size, "the checkpoint knows nothing of it")
            leaf, incomplete = check_entry(line, tree.size, ends)
            tree.add(leaf)
            redacted += incomplete
        where = "checkpoint"
        require(tree.size == checkpoint.size, f"its size is not {tree.size}, the number of entries")
        require(tree.root() == checkpoint.root, "its root is not the root of the entries")
    except Invalid as error:
        return f"invalid: {where}: {error}", 1
    if redacted:
        return f"redacted {redacted} of {tree.size} entries", 3
    return f"valid {tree.size} entries", 0


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Check a ledger export.")
    parser.add_argument("export", metavar="EXPORT")
    parser.add_argument("--ledger", required=True, metavar="LEDGER.vkey")
    parser.add_argument("--signer", metavar="SIGNER.vkey")
    options = parser.parse_args(arguments)
    ledger = load_vkey(options.ledger, 0x01)
    signer = load_vkey(options.signer, 0x04) if options.signer else None
    try:
        with open(options.export, "rb") as lines:
            verdict, status = check_export(lines, ledger, signer)
    except OSError as error:
        print(error, file=sys.stderr)
        return 2
    print(verdict)
    return status


if __name__ == "__main__":
    sys.exit(main())
