#!/usr/bin/env python3
"""Audit a CA's folder against the certificates that clients hold.

It trusts nothing that hallpass says about itself: rows, tree, mark, list, checkpoint and
certificates are read as bytes and compared with each other. What it proves:

 1. the entries are 0, 1, 2 ... without a gap, each leaf says what its bytes hash to, each
    certificate's serial is its index + 1, and no serial is given twice;
 2. the mark's size is at most the number of entries, and its root is the root of so many;
 3. the same of the checkpoint, which both keys signed;
 4. the signer's list rises strictly, and each line of it is a certificate of the ledger, by hash;
 5. each certificate in a client's hands verifies (the CA's signature, the proof, both signatures
    under the proof's checkpoint), that checkpoint's root is the root of so many of these entries,
    and the certificate is in the ledger and on the signer's list; no two hold one serial.

usage: audit.py CA_FOLDER [HELD_FOLDER]    every file below HELD_FOLDER is one certificate

Exit status: 0 nothing is wrong, 1 something is: a line each. A last line counts.
"""

import hashlib
import re
import sqlite3
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "checker"))

from check_certificate import (  # noqa: E402
    Reader,
    check_authority,
    check_proof,
    load_authority,
    load_certificate,
    load_vkey,
    parse_certificate,
    read_body,
)
from check_export import Ends  # noqa: E402
from formats import (  # noqa: E402
    Invalid,
    check_checkpoint,
    decimal,
    leaf_hash,
    leaf_text,
    node_hash,
    require,
    strict_base64,
)

SLOT = 4096
LEAF = re.compile(r"hallpass\.v1 ([a-z-]+)\n(-|[A-Za-z0-9+/]{43}=)\n([A-Za-z0-9+/]{43}=)\n")


class Roots:
    """The root over the first n leaves, for every n."""

    def __init__(self):
        self.peaks, self.all = [], [hashlib.sha256(b"").digest()]

    def add(self, leaf):
        height, value = 0, leaf
        while self.peaks and self.peaks[-1][0] == height:
            value = node_hash(self.peaks.pop()[1], value)
            height += 1
        self.peaks.append((height, value))
        for _, left in reversed(self.peaks[:-1]):
            value = node_hash(left, value)
        self.all.append(value)

    def check(self, what, size, root):
        require(size < len(self.all), f"{what} has seen {size} entries, there are {self.size()}")
        require(self.all[size] == root, f"{what} has another root for the first {size} entries")

    def size(self):
        return len(self.all) - 1


class Audit:
    def __init__(self, folder):
        self.folder, self.problems = folder, []
        self.roots, self.certificates = Roots(), {}  # index -> SHA-256 of its tbs
        self.signed, self.held, self.ends = {}, {}, Ends()

    def attempt(self, where, check, *arguments):
        try:
            return check(*arguments)
        except (Invalid, OSError, UnicodeDecodeError, sqlite3.Error) as why:
            self.problems.append(f"{where}: {why}")
            return None

    def run(self, held):
        self.attempt("ledger", self.entries)
        keys = self.folder / "keys"
        self.ledger = load_vkey(keys / "ledger.vkey", 0x01)
        self.signer = load_vkey(keys / "signer.vkey", 0x04)
        self.authorities = dict(load_authority(keys / f"{n}.pub") for n in ("user_ca", "bare_ca"))
        self.attempt("mark", self.mark)
        self.attempt("checkpoint", self.checkpoint)
        self.attempt("list", self.list)
        for path in sorted(held.rglob("*")) if held else []:
            if path.is_file():
                self.attempt(path.name, self.certificate, path)

    def entries(self):
        path = self.folder / "state/ledger.db"
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as rows:
            for row in rows.execute("SELECT idx, leaf, tbs, facts FROM entry ORDER BY idx"):
                self.attempt(f"entry {row[0]}", self.entry, *row)
                self.roots.add(leaf_hash(row[1].encode()))

    def entry(self, index, leaf, tbs, facts):
        require(index == self.roots.size(), f"it follows entry {self.roots.size() - 1}")
        match = LEAF.fullmatch(leaf)
        require(match, "the leaf is malformed")
        require(facts is not None, "it has no facts")
        kind, digest = match[1].encode(), hashlib.sha256(facts).digest()
        require((kind == b"certificate") == (tbs is not None), "certificate and kind disagree")
        require(leaf_text(kind, tbs, digest) == leaf.encode(), "the leaf is not of these bytes")
        self.ends.check(match[1], facts)
        if tbs is not None:
            serial = read_body(Reader(tbs, "the certificate")).serial
            require(serial == index + 1, f"the serial is {serial}")
            self.certificates[index] = hashlib.sha256(tbs).digest()

    def mark(self):
        data = (self.folder / "state/signer/mark").read_bytes()
        slots = [read_slot(data[at : at + SLOT]) for at in (0, SLOT)]
        whole = [slot for slot in slots if slot]
        require(whole, "neither slot is whole")
        _, size, root = max(whole)
        self.roots.check("the mark", size, root)

    def checkpoint(self):
        note = (self.folder / "state/checkpoint").read_bytes()
        seen = check_checkpoint(note, self.ledger, [self.signer])
        self.roots.check("the checkpoint", seen.size, seen.root)

    def list(self):
        # A last line that was never durable may be cut short, or read as zeroes where its page was
        # lost: nothing was signed of it, and what clients hold must be in the others.
        data = (self.folder / "state/signer/list").read_bytes().partition(b"\0")[0]
        text = data[: data.rfind(b"\n") + 1].decode("ascii")
        last = -1
        for line in text.splitlines():
            words = line.split(" ")
            require(len(words) == 5, f"a malformed line: {line!r}")
            index, digest = decimal(words[0], "the index"), strict_base64(words[2], "the hash", 32)
            require(index > last, f"index {index} follows {last}")
            require(self.certificates.get(index) == digest, f"the ledger has no certificate {index}")
            self.signed[index], last = digest, index

    def certificate(self, path):
        certificate = parse_certificate(load_certificate(path.read_bytes()))
        check_authority(certificate, self.authorities)
        serial = certificate.body.serial
        proved = check_proof(
            certificate.tbs, serial, certificate.proof, self.ledger, self.signer
        )
        seen, digest = proved.checkpoint, hashlib.sha256(certificate.tbs).digest()
        self.roots.check("its checkpoint", seen.size, seen.root)
        require(self.certificates.get(serial - 1) == digest, f"the ledger lacks serial {serial}")
        require(self.signed.get(serial - 1) == digest, f"the signer's list lacks serial {serial}")
        other = self.held.setdefault(serial, path.name)
        require(other == path.name, f"{other} has serial {serial} too")


def read_slot(data):
    """(sequence, size, root) of a slot of the mark (its third word is the origin); None if it is not whole."""
    try:
        words = data.decode("ascii").split()
        line, check = " ".join(words[:-1]), strict_base64(words[-1], "the check", 32)
        require(len(data) == SLOT and words[0] == "hallpass-mark.v1", "another format")
        require(hashlib.sha256(line.encode()).digest() == check, "the check is wrong")
        sequence, size = decimal(words[1], "the sequence"), decimal(words[3], "the size")
        return sequence, size, strict_base64(words[4], "the root", 32)
    except (Invalid, UnicodeDecodeError, IndexError):
        return None


def main():
    if len(sys.argv) not in (2, 3):
        print(__doc__, file=sys.stderr)
        return 2
    audit = Audit(Path(sys.argv[1]))
    audit.run(Path(sys.argv[2]) if len(sys.argv) == 3 else None)
    for problem in audit.problems:
        print(problem)
    print(
        f"{len(audit.problems)} problems: {audit.roots.size()} entries, "
        f"{len(audit.certificates)} certificates, {len(audit.signed)} signed, "
        f"{len(audit.held)} held"
    )
    return 1 if audit.problems else 0


if __name__ == "__main__":
    sys.exit(main())
