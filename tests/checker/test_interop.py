#!/usr/bin/env python3
"""Shows what issuer.py makes to programs that know nothing of hallpass.

ssh-keygen, AsyncSSH and Paramiko (parse_others.py), and the three commands of
../go. When they accept what the checkers accept, the checkers and their issuer
do not merely agree with each other. A test whose tool is not installed is
skipped. Run: python3 -m unittest, in this folder.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import formats
import issuer
from issuer import CA, LEDGER, Key, Plan, b64, issue

GO = Path(__file__).resolve().parent.parent / "go"
PRINCIPAL = "deploy@web01"
HAVE_LIBRARIES = all(importlib.util.find_spec(name) for name in ("asyncssh", "paramiko"))


def run(*command, **more):
    return subprocess.run([str(each) for each in command], capture_output=True, text=True, **more)


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def certificate(self, blob):
        return self.write("cert.pub", issuer.certificate_line(blob))


@unittest.skipUnless(shutil.which("ssh-keygen"), "no ssh-keygen")
class OpenSsh(Folder):
    def test_every_subject_type(self):
        for kind in issuer.SUBJECT_TYPES:
            with self.subTest(kind):
                file = self.certificate(issue(plan=Plan(4, kind)))
                listed = run("ssh-keygen", "-L", "-f", file, env={**os.environ, "TZ": "UTC"})
                self.assertEqual(listed.returncode, 0, listed.stderr)
                self.assertIn("Serial: 5\n", listed.stdout)
                self.assertIn(issuer.KEY_ID.decode(), listed.stdout)
                self.assertIn("log-proof@hallpass UNKNOWN OPTION: ", listed.stdout)

    def test_a_bad_signature(self):
        blob = issue(bend={"frame": lambda frame: frame[:-64] + bytes(64)})
        listed = run("ssh-keygen", "-L", "-f", self.certificate(blob))
        self.assertNotEqual(listed.returncode, 0)


@unittest.skipUnless(HAVE_LIBRARIES, "no asyncssh or no paramiko")
class Libraries(Folder):
    def ask(self, blob, at=issuer.FIRST_SECOND):
        script = Path(__file__).with_name("parse_others.py")
        return run(sys.executable, script, "--at", at, self.certificate(blob))

    def test_every_subject_type(self):
        for kind in issuer.SUBJECT_TYPES:
            with self.subTest(kind):
                asked = self.ask(issue(plan=Plan(4, kind)))
                self.assertEqual(asked.returncode, 0, asked.stdout + asked.stderr)
                self.assertEqual(asked.stdout.count(": accepted "), 2)

    def test_refusals(self):
        bad_signature = issue(bend={"frame": lambda frame: frame[:-64] + bytes(64)})
        host = Plan(4)
        host.role = 2
        nobody = Plan(4)
        nobody.principals = []
        for blob in (bad_signature, issue(plan=host), issue(plan=nobody)):
            self.assertEqual(self.ask(blob).returncode, 1)
        self.assertEqual(self.ask(issue(), issuer.FIRST_SECOND - 1).returncode, 1)
        self.assertEqual(self.ask(issue(), issuer.LAST_SECOND).returncode, 1)


@unittest.skipUnless(shutil.which("go"), "no go")
class GoLibraries(Folder):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.bin = Path(folder.name)
        built = run("go", "build", "-o", f"{cls.bin}{os.sep}", "./...", cwd=GO)
        if built.returncode:
            raise AssertionError(built.stderr)

    def cert(self, blob, principal=PRINCIPAL, at=issuer.FIRST_SECOND, ca=CA):
        authority = self.write("ca.pub", ca.pub)
        asked = run(self.bin / "cert", self.certificate(blob), authority, principal, at)
        return asked.returncode, asked.stdout

    def test_every_subject_type(self):
        for kind in issuer.SUBJECT_TYPES:
            with self.subTest(kind):
                asked = self.cert(issue(plan=Plan(4, kind)))
                self.assertEqual(asked, (0, "go: accepted serial 5\n"))

    def test_refused_certificates(self):
        def refused(reason, *arguments, **more):
            with self.subTest(reason):
                status, out = self.cert(*arguments, **more)
                self.assertEqual(status, 1)
                self.assertIn(reason, out)

        bend = {"frame": lambda frame: frame[:-64] + bytes(64)}
        refused("signature", issue(bend=bend))
        refused("principal", issue(), principal="deploy")
        refused("authority", issue(), ca=Key("other CA"))
        refused("not yet valid", issue(), at=issuer.FIRST_SECOND - 1)
        refused("has expired", issue(), at=issuer.LAST_SECOND)
        bend = {"extensions": lambda pairs: pairs[1:]}
        refused("no extension log-proof@hallpass", issue(bend=bend))
        bend = {"data": lambda data: data[4:]}
        refused("cert.pub", issue(bend=bend))

    def test_trees(self):
        leaves = [issuer.other_leaf(i) for i in range(130)]
        lines = "".join(json.dumps({"leaf": b64(leaf)}) + "\n" for leaf in leaves)
        sizes = [*range(1, 36), 63, 64, 65, 127, 128, 129, 130]
        oracle = run(self.bin / "tlog", *sizes, input=lines)
        self.assertEqual(oracle.returncode, 0, oracle.stderr)
        printed = [json.loads(line) for line in oracle.stdout.splitlines()]
        self.assertEqual(len(printed), sum(2 * size for size in sizes))
        root = None
        for line in printed:
            some = leaves[: line["size"]]
            if "root" in line:
                root = issuer.tree_hash(some)
                self.assertEqual(line["root"], b64(root))
            elif "inclusion" in line:
                path = [formats.strict_base64(each, "hash", 32) for each in line["inclusion"]]
                leaf = formats.leaf_hash(leaves[line["index"]])
                climbed = formats.root_from_path(line["index"], line["size"], leaf, path)
                self.assertEqual(climbed, root)
            elif line["size"] < 36:
                made = issuer.consistency(line["from"], some)
                self.assertEqual(line["consistency"], [b64(each) for each in made])

    def test_usage_of_the_tree_oracle(self):
        leaf = json.dumps({"leaf": b64(b"x")})
        self.assertEqual(run(self.bin / "tlog", input=leaf).returncode, 2)
        for size in ("0", "2", "-1", "x"):
            self.assertEqual(run(self.bin / "tlog", size, input=leaf).returncode, 1)
        for line in ("{}", '{"leaf":"?"}', '{"lief":""}', "x"):
            self.assertEqual(run(self.bin / "tlog", "1", input=line).returncode, 1)

    def test_notes(self):
        leaves = [issuer.other_leaf(i) for i in range(5)]
        note = issuer.checkpoint_text(leaves)
        file, vkey = self.write("checkpoint", note), self.write("ledger.vkey", LEDGER.vkey + "\n")
        for key in (LEDGER.vkey, vkey):
            opened = run(self.bin / "note", file, key)
            self.assertEqual(opened.returncode, 0, opened.stderr)
            self.assertEqual(opened.stdout.encode(), note[: note.index(b"\n\n") + 1])
            self.assertEqual(opened.stderr, "not verified: ca.example/signer\n")
        changed = self.write("changed", note.replace(b"\n5\n", b"\n6\n"))
        opened = run(self.bin / "note", changed, LEDGER.vkey)
        self.assertEqual((opened.returncode, opened.stdout), (1, ""))
        other = Key("other ledger", issuer.ORIGIN, 0x01)
        opened = run(self.bin / "note", file, other.vkey)
        self.assertEqual((opened.returncode, opened.stdout), (1, ""))


if __name__ == "__main__":
    unittest.main()
