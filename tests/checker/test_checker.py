#!/usr/bin/env python3
"""Tests of the checkers against certificates and exports made by issuer.py.

Each rule has a test in which that rule alone is broken and everything around it
is signed as if nothing had happened. Run: python3 -m unittest, in this folder.
"""

import base64
import contextlib
import io
import re
import struct
import tempfile
import unittest
from pathlib import Path

import check_certificate
import check_export
import formats
import issuer
from issuer import CA, LEDGER, SIGNER, Key, Plan, b64, issue, string, witness

CURVE_OFF = string(b"nistp384") + string(b"\4" + bytes(64))


def run(main, *arguments):
    """Exit status, standard output and standard error of a command."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            status = main([str(each) for each in arguments])
        except SystemExit as stop:
            status = stop.code
    return status, out.getvalue(), err.getvalue()


class Folder(unittest.TestCase):
    """A folder with the public keys in files."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.ca = self.write("ca.pub", CA.pub)
        self.ledger = self.write("ledger.vkey", LEDGER.vkey + "\n")
        self.signer = self.write("signer.vkey", SIGNER.vkey + "\n")

    def write(self, name, content):
        path = self.folder / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    def check(self, blob, *more):
        file = self.write("cert.pub", issuer.certificate_line(blob))
        return self.check_file(file, *more)

    def check_file(self, file, *more):
        keys = ("--ca", self.ca, "--ledger", self.ledger, "--signer", self.signer)
        return run(check_certificate.main, *keys, *more, file)

    def refused(self, reason, blob, *more):
        status, out, _ = self.check(blob, *more)
        self.assertEqual((status, out), (1, f"invalid: {reason}\n"))

    def refused_bend(self, reason, step, change, *more, **issued):
        self.refused(reason, issue(bend={step: change}, **issued), *more)


class Accepted(Folder):
    def test_every_index_of_several_trees(self):
        for size in (1, 2, 3, 5, 8, 9):
            for index in range(size):
                with self.subTest(size=size, index=index):
                    status, out, _ = self.check(issue(index, size))
                    self.assertEqual(status, 0, out)
                    start = f"valid: serial {index + 1} is entry {index} of ca.example/1, "
                    self.assertTrue(out.startswith(start + f"checkpoint size {size}, "), out)

    def test_the_line_says_what_was_proved(self):
        plan = Plan(4)
        plan.principals = [b"deploy@web01", b"deploy@web02"]
        plan.critical = [(b"source-address", string(b"192.0.2.0/24")), (b"verify-required", b"")]
        _, out, _ = self.check(issue(plan=plan))
        self.assertEqual(
            out,
            "valid: serial 5 is entry 4 of ca.example/1, checkpoint size 8, "
            "cosigned 2026-11-18T11:06:40Z, principals deploy@web01,deploy@web02, "
            "key id r0123456789ab/ana/OPS-17/20261118T115640Z, "
            "valid after 2026-11-18T11:06:40Z before 2026-11-18T11:16:40Z\n",
        )

    def test_every_subject_type(self):
        for kind in issuer.SUBJECT_TYPES:
            with self.subTest(kind):
                status, out, _ = self.check(issue(plan=Plan(4, kind)))
                self.assertEqual(status, 0, out)

    def test_the_place_of_the_extension_does_not_matter(self):
        for extensions in ([], [(b"aaa", b"")], [(b"permit-pty", b""), (b"zzz", string(b"x"))]):
            plan = Plan(4)
            plan.extensions = extensions
            with self.subTest(extensions=extensions):
                self.assertEqual(self.check(issue(plan=plan))[0], 0)

    def test_one_of_several_authorities(self):
        other = self.write("other.pub", Key("other CA").pub)
        self.assertEqual(self.check(issue(), "--ca", other)[0], 0)

    def test_signatures_in_any_order(self):
        blob = issue(bend={"signatures": lambda lines, body: lines[::-1]})
        self.assertEqual(self.check(blob)[0], 0)

    def test_known_witnesses(self):
        keys = [witness(i) for i in range(3)]
        more = []
        for i, key in enumerate(keys):
            more += ["--witness", self.write(f"w{i}.vkey", key.vkey)]

        def cosign(lines, body):
            return lines + [key.note_line(body) for key in keys]

        self.assertEqual(self.check(issue(bend={"signatures": cosign}), *more)[0], 0)
        self.assertEqual(self.check(issue(), *more)[0], 0)

    def test_extension_lines_of_a_checkpoint_are_covered(self):
        blob = issue(bend={"checkpoint": lambda body: body + b"something more\n"})
        self.assertEqual(self.check(blob)[0], 0)

    def test_largest_proof(self):
        self.assertEqual(self.check(issue(bend=self.padded(8192)))[0], 0)

    def padded(self, size):
        """A checkpoint with an extension line that makes the proof `size` bytes."""
        made = []
        issue(bend={"proof": lambda proof: made.append(len(proof)) or proof})
        line = b"x" * (size - made[0] - 1) + b"\n"
        return {"checkpoint": lambda body: body + line}

    def test_a_larger_proof(self):
        self.refused("the proof is larger than 8 KiB", issue(bend=self.padded(8193)))


class RefusedCertificate(Folder):
    def test_another_authority(self):
        self.ca = self.write("ca.pub", Key("other CA").pub)
        self.refused("the certificate's CA is not one of those trusted", issue())

    def test_signature_of_the_authority(self):
        def other(frame):
            return frame[:-64] + Key("other CA").sign(b"something")

        self.refused_bend("the CA's signature does not verify", "frame", other)

    def test_a_proof_put_in_after_signing(self):
        def sign_without(frame):
            plan = Plan(4)
            return frame[:-64] + CA.sign(plan.encode(plan.extensions))

        self.refused_bend("the CA's signature does not verify", "frame", sign_without)

    def test_malleable_signature(self):
        order = 2**252 + 27742317777372353535851937790883648493

        def plus_order(frame):
            number = int.from_bytes(frame[-32:], "little") + order
            return frame[:-32] + number.to_bytes(32, "little")

        self.refused_bend("the CA's signature does not verify", "frame", plus_order)

    def test_frame_of_the_signature(self):
        cases = (
            ("the CA's signature is not ssh-ed25519", lambda f: string(b"ssh-rsa") + f[15:]),
            ("the CA's signature is not 64 bytes", lambda f: f[:15] + string(f[19:-1])),
            ("the signature has trailing bytes", lambda f: f + b"\0"),
            ("the signature is cut short", lambda f: f[:-1]),
        )
        for reason, change in cases:
            with self.subTest(reason):
                self.refused_bend(reason, "frame", change)

    def test_trailing_and_missing_bytes(self):
        trailing, short = "the certificate has trailing bytes", "the certificate is cut short"
        self.refused_bend(trailing, "blob", lambda blob: blob + b"\0")
        self.refused_bend(short, "blob", lambda blob: blob[:-1])
        self.refused_bend(short, "blob", lambda blob: blob[:300])

    def plan(self, reason, **changes):
        plan = Plan(4)
        for name, value in changes.items():
            self.assertTrue(hasattr(plan, name))
            setattr(plan, name, value)
        with self.subTest(reason, **changes):
            self.refused(reason, issue(plan=plan))

    def test_types(self):
        reason = "the certificate's type is not one of those supported"
        self.plan(reason, kind=b"ssh-dss-cert-v01@openssh.com")
        self.plan(reason, kind=b"ssh-ed25519")
        self.plan("it is not a user certificate", role=2)
        self.plan("it is not a user certificate", role=0)

    def test_subject_keys(self):
        reason = "the subject's public key is malformed"
        self.plan(reason, subject=string(bytes(31)))
        p256 = b"ecdsa-sha2-nistp256-cert-v01@openssh.com"
        self.plan(reason, kind=p256, subject=CURVE_OFF)
        compressed = string(b"nistp256") + string(b"\2" + bytes(32))
        self.plan(reason, kind=p256, subject=compressed)
        rsa = b"ssh-rsa-cert-v01@openssh.com"
        for e in (b"", b"\x80", b"\0", b"\0\x01"):
            self.plan(reason, kind=rsa, subject=string(e) + string(b"\x7f" * 256))

    def test_key_id(self):
        reason = "the key ID is not REQUEST/PERSON/TICKET/END"
        for key_id in (
            b"",
            b"ana",
            b"r0123456789ab/ana/OPS-17",
            b"r0123456789ab/ana//20261118T115640Z",
            b"r0123456789ab/a na/-/20261118T115640Z",
            b"r0123456789ab/ana/-/x/20261118T115640Z",
            b"r0123456789ab/ana/-/20261118T115640Z\n",
            b"r0123456789aB/ana/-/20261118T115640Z",
            b"r0123456789al/ana/-/20261118T115640Z",
            b"r0123456789a/ana/-/20261118T115640Z",
            b"r0123456789ab/ana/-/2026-11-18T11:56:40Z",
            b"r0123456789ab/" + b"a" * 129 + b"/-/20261118T115640Z",
        ):
            self.plan(reason, key_id=key_id)
        bad = b"r0123456789ab/ana/-/20261318T115640Z"
        self.plan("the key ID's END is not a time", key_id=bad)
        plan = Plan(4)
        plan.key_id = b"r0123456789ab/" + b"a" * 128 + b"/-/20261118T115640Z"
        self.assertEqual(len(plan.key_id), 161)
        self.refused(reason, issue(plan=plan))
        plan.key_id = plan.key_id.replace(b"aa", b"a", 1)
        self.assertEqual(self.check(issue(plan=plan))[0], 0)

    def test_principals(self):
        count = "there is no principal, or there are too many"
        self.plan(count, principals=[])
        self.plan(count, principals=[b"deploy@web%03d" % i for i in range(257)])
        for name in (b"", b"a,b", b"a b", b"a\n", b"a\xc3\xa9"):
            self.plan("a principal is not printable ASCII", principals=[name])

        def long_name(signed):
            good, long = string(b"deploy@web01"), b"\0\0\0\x0ddeploy@web01"
            return signed.replace(string(good), string(long))

        blob = issue(bend={"signed": long_name})
        self.refused("the list of principals is cut short", blob)

    def test_times(self):
        self.plan("the certificate is valid at no time", valid=(5, 5))
        self.plan("the certificate is valid at no time", valid=(6, 5))

    def test_options(self):
        unsorted = "are not sorted and unique"
        force, source = (b"force-command", string(b"ls")), (b"source-address", string(b"::/0"))
        self.plan(f"critical options {unsorted}", critical=[source, force])
        self.plan(f"critical options {unsorted}", critical=[force, force])
        self.plan("a critical option is unknown", critical=[(b"x@example", b"")])
        proof = (b"log-proof@hallpass", string(b"x"))
        self.plan("a critical option is unknown", critical=[proof])
        what = "the data of one of the critical options"
        self.plan(f"{what} has trailing bytes", critical=[(b"force-command", string(b"ls") + b"!")])
        self.plan(f"{what} is cut short", critical=[(b"force-command", b"ls")])
        what = "the data of one of the extensions"
        self.plan(f"{what} is cut short", extensions=[(b"x@example", b"ls")])

    def test_order_and_number_of_extensions(self):
        unsorted = "extensions are not sorted and unique"
        self.refused_bend(unsorted, "extensions", lambda pairs: pairs[::-1])
        self.refused_bend(unsorted, "extensions", lambda pairs: [pairs[0], *pairs])
        none = "there is no extension log-proof@hallpass"
        self.refused_bend(none, "extensions", lambda pairs: pairs[1:])

    def test_a_tuple_cut_short(self):
        def cut(signed):
            name = string(b"permit-pty")
            return signed.replace(name + string(b""), name + b"\0\0\0\1")

        self.refused("extensions is cut short", issue(bend={"signed": cut}))

    def test_data_of_the_extension(self):
        what = "the data of one of the extensions"
        self.refused_bend(f"{what} has trailing bytes", "data", lambda data: data + b"\n")
        self.refused_bend(f"{what} is cut short", "data", lambda data: data[:-1])
        self.refused_bend(f"{what} is cut short", "data", lambda data: data[4:])
        self.refused_bend("the log-proof extension is cut short", "data", lambda _: b"")
        self.refused_bend("the proof has no checkpoint", "data", lambda _: string(b""))


class RefusedProof(Folder):
    def test_serial(self):
        for serial in (0, 4, 6, 2**64 - 1):
            plan = Plan(4)
            plan.serial = serial
            with self.subTest(serial=serial):
                self.refused("the serial is not index + 1", issue(plan=plan))

    def test_first_line(self):
        reason = "the proof's first line is not tlog-proof@v1"
        for line in ("c2sp.org/tlog-proof@v2", "c2sp.org/tlog-proof@v1 ", ""):
            with self.subTest(line):
                self.refused_bend(reason, "head", lambda head, line=line: [line, *head[1:]])
        self.refused_bend(reason, "proof", lambda proof: b"x" + proof)

    def test_extra(self):
        self.refused_bend("the proof has no line `extra`", "head", lambda h: [h[0], *h[2:]])
        self.refused_bend("the proof has no line `extra`", "head", lambda h: [h[0], h[2], h[1]])
        self.line(1, "the entry is not in the tree", "extra " + b64(bytes(32)))
        self.line(1, "extra is not 32 bytes", "extra " + b64(bytes(31)))
        self.line(1, "extra is not 32 bytes", "extra " + b64(bytes(33)))
        self.line(1, "extra is not 32 bytes", "extra ")

    def line(self, number, reason, line):
        def change(head):
            return [*head[:number], line, *head[number + 1 :]]

        with self.subTest(line=line):
            self.refused_bend(reason, "head", change)

    def test_index(self):
        self.line(2, "the proof has no line `index`", "Index 4")
        self.refused_bend("the proof has no line `index`", "head", lambda head: head[:2])
        for text in ("", "04", "+4", "-4", "4 ", " 4", "4.0", "0x4", "9" * 20, "٤"):
            reason = "the index is not a canonical decimal"
            if not text.isascii():
                reason = "the proof's head is not ASCII"
            self.line(2, reason, f"index {text}")
        self.line(2, "the index is too large", f"index {2**63}")
        self.line(2, "the serial is not index + 1", "index 3")

    def test_index_outside_the_tree(self):
        plan = Plan(4)
        plan.serial = 9
        change = {"head": lambda head: [*head[:2], "index 8", *head[3:]]}
        self.refused("the index is not in the tree", issue(plan=plan, bend=change))

    def test_inclusion_hashes(self):
        zero = b64(bytes(32))
        self.refused_bend("the inclusion proof is too short", "head", lambda head: head[:-1])
        self.refused_bend("the inclusion proof is too long", "head", lambda head: [*head, zero])
        self.refused_bend(
            "the inclusion proof is too long", "head", lambda head: [*head, zero], index=0, size=1
        )
        swapped = "the entry is not in the tree"
        self.refused_bend(swapped, "head", lambda h: [*h[:3], h[4], h[3], *h[5:]])
        self.line(3, swapped, zero)
        self.line(3, "an inclusion hash is not 32 bytes", b64(bytes(31)))
        self.line(3, "an inclusion hash is not base64", "?")

    def test_base64_is_strict(self):
        good = b64(bytes(range(32)))
        for text in (
            good[:-1],
            good + "=",
            good + " ",
            " " + good,
            good + "\r",
            good[:-2] + "9=",
            "-_" + good[2:],
            good[:20] + "\t" + good[20:],
            good[:4] + "=" + good[5:],
        ):
            self.line_matches(3, r"an inclusion hash is not (canonical )?base64", text)
            self.line_matches(1, r"extra is not (canonical )?base64", "extra " + text)

    def line_matches(self, number, pattern, line):
        def change(head):
            return [*head[:number], line, *head[number + 1 :]]

        with self.subTest(line=line):
            status, out, _ = self.check(issue(bend={"head": change}))
            self.assertEqual(status, 1)
            self.assertRegex(out, rf"\Ainvalid: {pattern}\n\Z")

    def test_trailing_zero_bits(self):
        def loose(head):
            raw = base64.b64decode(head[3])
            last = head[3][-2]
            alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
            text = head[3][:-2] + alphabet[alphabet.index(last) + 1] + "="
            assert base64.b64decode(text) == raw
            return [*head[:3], text, *head[4:]]

        self.refused_bend("an inclusion hash is not canonical base64", "head", loose)

    def test_leaf(self):
        reason = "the entry is not in the tree"
        for change in (
            lambda leaf: leaf.replace(b"certificate", b"request"),
            lambda leaf: leaf.replace(b"v1", b"v2"),
            lambda leaf: leaf[:-1],
            lambda leaf: leaf + b"\n",
            lambda leaf: b"\n".join([leaf.split(b"\n")[0], b"-", *leaf.split(b"\n")[2:]]),
        ):
            self.refused_bend(reason, "leaf", change)

    def test_another_certificate_with_the_same_proof(self):
        plan = Plan(4)
        kept = []
        issue(plan=plan, bend={"data": lambda data: kept.append(data) or data})
        plan.principals = [b"root@web01"]
        blob = issue(plan=plan, bend={"data": lambda _: kept[0]})
        self.refused("the entry is not in the tree", blob)

    def test_line_ends(self):
        self.refused_bend("the checkpoint has no signatures", "proof", lambda proof: proof[:-1])
        self.refused_bend(
            "the proof's first line is not tlog-proof@v1",
            "proof",
            lambda proof: proof.replace(b"@v1\n", b"@v1\r\n", 1),
        )
        self.refused_bend(
            "the checkpoint has no signatures", "proof", lambda proof: proof + b"\n"
        )
        self.refused_bend("a signature line is malformed", "proof", lambda proof: proof + b"x\n")
        self.refused_bend(
            "the proof has no checkpoint", "proof", lambda proof: proof.split(b"\n\n")[0] + b"\n"
        )


class RefusedCheckpoint(Folder):
    def lines(self, reason, change):
        """`change` gets the checkpoint's lines; what it returns is signed."""

        def bend(body):
            return b"".join(line + b"\n" for line in change(body[:-1].split(b"\n")))

        with self.subTest(reason):
            self.refused_bend(reason, "checkpoint", bend)

    def test_body(self):
        self.lines(
            "the checkpoint's origin is not the ledger's name",
            lambda lines: [b"ca.example/2", *lines[1:]],
        )
        self.lines("the checkpoint has too few or empty lines", lambda lines: lines[:2])
        self.lines("the checkpoint has too few or empty lines", lambda lines: [*lines, b"", b"x"])
        for size in (b"", b"08", b"+8", b"8 ", b"x", b"-8"):
            reason = "the checkpoint's size is not a canonical decimal"
            if not size:
                reason = "the checkpoint has too few or empty lines"
            self.lines(reason, lambda lines, size=size: [lines[0], size, *lines[2:]])
        self.lines("the entry is not in the tree", lambda l: [l[0], l[1], b64(bytes(32)).encode()])
        self.lines(
            "the checkpoint's root is not 32 bytes", lambda l: [l[0], l[1], b64(b"x").encode()]
        )
        self.lines("the index is not in the tree", lambda lines: [lines[0], b"4", *lines[2:]])
        self.lines("the index is not in the tree", lambda lines: [lines[0], b"0", *lines[2:]])

    def test_characters(self):
        self.lines("the checkpoint has control characters", lambda lines: [*lines, b"\t"])
        self.lines("the checkpoint has control characters", lambda lines: [*lines, b"x\r"])
        self.lines("the checkpoint has control characters", lambda lines: [*lines, b"\0"])
        self.lines("the checkpoint is not UTF-8", lambda lines: [*lines, b"\xff"])

    def signatures(self, reason, change, *more):
        with self.subTest(reason):
            self.refused_bend(reason, "signatures", change, *more)

    def test_both_must_sign(self):
        self.signatures("the signature by ca.example/1 is missing", lambda lines, _: lines[1:])
        self.signatures(
            "the signature by ca.example/signer is missing", lambda lines, _: lines[:1]
        )
        self.signatures("the checkpoint has no signatures", lambda lines, _: [])

    def test_each_signature_must_verify(self):
        other = b"ca.example/1\n8\n" + b64(bytes(32)).encode() + b"\n"
        self.signatures(
            "the signature by ca.example/1 does not verify",
            lambda lines, _: [LEDGER.note_line(other), lines[1]],
        )
        self.signatures(
            "the signature by ca.example/signer does not verify",
            lambda lines, _: [lines[0], SIGNER.note_line(other)],
        )

    def test_the_time_is_signed(self):
        def earlier(lines, body):
            raw = bytearray(base64.b64decode(lines[1].split()[2]))
            raw[4:12] = issuer.u64(issuer.COSIGNED - 1)
            return [lines[0], f"— {SIGNER.name} {b64(raw)}\n".encode()]

        self.signatures("the signature by ca.example/signer does not verify", earlier)
        self.signatures(
            "the time of the cosignature by ca.example/signer is too large",
            lambda lines, body: [lines[0], SIGNER.note_line(body, 1 << 63)],
        )

    def test_a_plain_signature_is_no_cosignature(self):
        def plain(lines, body):
            raw = SIGNER.key_id + SIGNER.sign(body)
            return [lines[0], f"— {SIGNER.name} {b64(raw)}\n".encode()]

        self.signatures("the signature by ca.example/signer is not 72 bytes", plain)

    def test_unknown_and_repeated_lines(self):
        unknown = "there is a signature by an unknown key"
        self.signatures(unknown, lambda lines, body: lines + [witness(0).note_line(body)])
        same_name = Key("somebody", LEDGER.name, 0x01)
        self.signatures(unknown, lambda lines, body: lines + [same_name.note_line(body)])
        self.signatures("ca.example/1 signed twice", lambda lines, _: [lines[0], *lines])
        self.signatures("ca.example/signer signed twice", lambda lines, _: [*lines, lines[1]])

    def test_malformed_lines(self):
        line = b"\xe2\x80\x94 ca.example/1 "
        malformed, name = "a signature line is malformed", "a key name is empty or has a space, "
        name += "plus or control character"
        for reason, wrong in (
            (malformed, b"- ca.example/1 AAAAAAA=\n"),
            (malformed, line + b"\n"),
            (malformed, line + b"AAAAAAA= \n"),
            (malformed, line + b" AAAAAAA=\n"),
            (malformed, b" " + line + b"AAAAAAA=\n"),
            (name, "— ca+example AAAAAAA=\n".encode()),
            (name, "— ca\u00a0example AAAAAAA=\n".encode()),
            ("a signature is too short", line + b"AAAAAA==\n"),
            ("a signature is not base64", line + b"AAAAA\n"),
            ("a signature is not canonical base64", line + b"AAAAAAB=\n"),
        ):
            self.signatures(reason, lambda lines, _, wrong=wrong: [*lines, wrong])

    def test_witnesses(self):
        keys = [witness(i) for i in range(4)]
        more = []
        for i, key in enumerate(keys):
            more += ["--witness", self.write(f"w{i}.vkey", key.vkey)]
        self.signatures(
            "there are too many witnesses",
            lambda lines, body: lines + [key.note_line(body) for key in keys],
            *more,
        )
        self.signatures(
            "the signature by witness0.example does not verify",
            lambda lines, body: lines + [keys[0].note_line(b"x" + body)],
            *more,
        )


class Command(Folder):
    def usage(self, *arguments):
        status, out, err = run(check_certificate.main, *arguments)
        self.assertEqual((status, out), (2, ""))
        self.assertTrue(err)

    def test_usage(self):
        keys = ["--ca", self.ca, "--ledger", self.ledger, "--signer", self.signer]
        good = self.write("cert.pub", issuer.certificate_line(issue()))
        self.usage()
        self.usage(*keys)
        self.usage(*keys, good, good)
        self.usage(*keys[2:], good)
        self.usage(*keys[:4], good)
        self.usage(*keys, self.folder / "absent")
        self.usage("--ca", self.folder / "absent", *keys[2:], good)
        self.usage("--ca", good, *keys[2:], good)
        self.usage(*keys[:2], "--ledger", self.signer, "--signer", self.signer, good)
        self.usage(*keys[:2], "--ledger", self.ledger, "--signer", self.ledger, good)

    def test_verifier_keys(self):
        def parse(text, kind=0x01):
            return formats.VerifierKey.parse(text, kind)

        name, key_id, key = LEDGER.vkey.split("+", 2)
        self.assertEqual(parse(LEDGER.vkey).key_id.hex(), key_id)
        self.assertEqual(parse(SIGNER.vkey, 0x04).name, "ca.example/signer")
        example = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
        self.assertEqual(parse(example).key_id.hex(), "530d903a")
        short = b64(b"\1" + bytes(31))
        for text in (
            f"{name}+{key_id}",
            f"{name}x+{key_id}+{key}",
            f"{name}+{key_id[:-1]}+{key}",
            f"{name}+{int(key_id, 16) ^ 1:08x}+{key}",
            f"{name}+{key_id[:-1]}G+{key}",
            f"+{key_id}+{key}",
            f"a b+{key_id}+{key}",
            f"{name}+{key_id}+{key} ",
            f"{name}+{key_id}+{short}",
        ):
            with self.subTest(text), self.assertRaises(formats.Invalid):
                parse(text)

    def test_names_of_verifier_keys(self):
        for name in ("", "a b", "a\u2003b", "a\tb"):
            with self.subTest(name), self.assertRaises(formats.Invalid):
                formats.VerifierKey.parse(Key("ledger", name, 0x01).vkey, 0x01)

    def test_authorities(self):
        good = self.write("cert.pub", issuer.certificate_line(issue()))
        kind, key = string(b"ssh-ed25519"), string(CA.public)
        for text in (
            "",
            "ssh-ed25519",
            f"ssh-rsa {b64(CA.blob)}",
            f"ssh-ed25519 {b64(string(b'ssh-rsa') + key)}",
            f"ssh-ed25519 {b64(kind + key + b'x')}",
            f"ssh-ed25519 {b64(kind + string(CA.public[:31]))}",
            f"ssh-ed25519 {b64(kind + key[:-1])}",
            f"ssh-ed25519 {b64(CA.blob)[:-1]}",
        ):
            with self.subTest(text):
                ca = self.write("bad.pub", text + "\n")
                self.usage("--ca", ca, "--ledger", self.ledger, "--signer", self.signer, good)
        more = self.write("more.pub", CA.pub + Key("other CA").pub)
        keys = ("--ca", more, "--ledger", self.ledger, "--signer", self.signer)
        self.assertEqual(run(check_certificate.main, *keys, good)[0], 0)

    def test_note_of_the_specification(self):
        vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
        signature = (
            "Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Zt"
            "g1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM="
        )
        key = formats.VerifierKey.parse(vkey, 0x01)
        raw = base64.b64decode(signature)
        self.assertEqual(raw[:4], key.key_id)
        key.verify(b"This is an example message.\n", raw[4:])
        with self.assertRaises(formats.Invalid):
            key.verify(b"This is an example message!\n", raw[4:])

    def test_certificate_file(self):
        line = issuer.certificate_line(issue())
        kind, encoded, _ = line.split(b" ")
        for good in (kind + b" " + encoded, line[:-1], line[:-1] + b"\r\n", line[:-1] + b" more\n"):
            self.assertEqual(self.check_file(self.write("cert.pub", good))[0], 0)
        for reason, bad in (
            ("the file is not one line", line + line),
            ("the file is not one line", line + b"\n"),
            ("the file is not TYPE BASE64 [COMMENT]", encoded),
            ("the file is not TYPE BASE64 [COMMENT]", b""),
            ("the certificate is not base64", kind + b" " + encoded[:-1] + b"!"),
            ("the certificate is cut short", kind + b"  " + encoded),
            ("the file names another type", b"ssh-rsa-cert-v01@openssh.com " + encoded),
            ("the certificate is cut short", kind + b" AAAA"),
        ):
            with self.subTest(reason, bad=bad[-20:]):
                status, out, _ = self.check_file(self.write("cert.pub", bad))
                self.assertEqual((status, out), (1, f"invalid: {reason}\n"))


class Flips(Folder):
    def test_every_bit_of_a_certificate(self):
        blob = issue()
        status, out, _ = self.check(blob, "--flip-all")
        bits = 8 * len(blob)
        self.assertEqual(out.splitlines()[1:], [f"flipped {bits} bits: {bits} rejected"])
        self.assertEqual(status, 0)

    def test_every_bit_of_a_proof(self):
        kept = []
        bend = {
            "tbs": lambda tbs: kept.append(tbs) or tbs,
            "proof": lambda proof: kept.append(proof) or proof,
        }
        status, out, _ = self.check(issue(bend=bend), "--flip-proof")
        bits = 8 * sum(map(len, kept))
        self.assertEqual(out.splitlines()[1:], [f"flipped {bits} bits: {bits} rejected"])
        self.assertEqual(status, 0)

    def test_no_flips_of_an_invalid_certificate(self):
        plan = Plan(4)
        plan.serial = 6
        status, out, _ = self.check(issue(plan=plan), "--flip-all", "--flip-proof")
        self.assertEqual((status, out), (1, "invalid: the serial is not index + 1\n"))

    def test_accepted_bits_are_named(self):
        def lenient(data):
            if data[0] & 0x7F != 1 or data[1] != 2:
                raise formats.Invalid("no")

        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = check_certificate.report_flips([("data", b"\1\2", lenient)])
        self.assertEqual(status, 1)
        self.assertRegex(out.getvalue(), r"\Aflipped 16 bits: 15 rejected\n.*: data 0\.0\n\Z")


class Export(Folder):
    def verdict(self, lines, *more, signer=True):
        file = self.write("export.jsonl", b"".join(lines))
        more = ("--signer", self.signer, *more) if signer else more
        status, out, _ = run(check_export.main, file, "--ledger", self.ledger, *more)
        return status, out

    def refused(self, reason, lines, **more):
        with self.subTest(reason):
            self.assertEqual(self.verdict(lines, **more), (1, f"invalid: {reason}\n"))

    def test_valid(self):
        for count in (0, 1, 2, 3, 5, 8, 9, 33):
            with self.subTest(count=count):
                lines = issuer.export_lines(issuer.export_entries(count))
                self.assertEqual(self.verdict(lines), (0, f"valid {count} entries\n"))
                self.assertEqual(self.verdict(lines, signer=False)[0], 0)

    def test_unknown_cosignatures_are_ignored(self):
        bend = {"signatures": lambda lines, body: lines + [witness(0).note_line(body)]}
        lines = issuer.export_lines(issuer.export_entries(), bend=bend)
        self.assertEqual(self.verdict(lines)[0], 0)

    def test_signatures(self):
        entries = issuer.export_entries()
        only = {"signatures": lambda lines, body: lines[:1]}
        lines = issuer.export_lines(entries, bend=only)
        self.assertEqual(self.verdict(lines, signer=False)[0], 0)
        self.refused("checkpoint: the signature by ca.example/signer is missing", lines)
        only = {"signatures": lambda lines, body: lines[1:]}
        lines = issuer.export_lines(entries, bend=only)
        self.refused("checkpoint: the signature by ca.example/1 is missing", lines)
        bend = {"note": lambda note: note.replace(b"\n6\n", b"\n7\n")}
        lines = issuer.export_lines(entries, bend=bend)
        self.refused("checkpoint: the signature by ca.example/1 does not verify", lines)

    def test_redacted(self):
        entries = issuer.export_entries()
        for members in (("facts",), ("tbs",), ("tbs", "facts")):
            changed = [dict(entry) for entry in entries]
            changed[4].update(dict.fromkeys(members))
            with self.subTest(members):
                lines = issuer.export_lines(changed)
                self.assertEqual(self.verdict(lines), (3, "redacted 1 of 6 entries\n"))
        changed[0]["facts"] = None
        lines = issuer.export_lines(changed)
        self.assertEqual(self.verdict(lines), (3, "redacted 2 of 6 entries\n"))

    def test_a_redacted_leaf_is_still_bound(self):
        entries = issuer.export_entries()
        leaves = [entry["leaf"].encode() for entry in entries]
        entries[4].update(tbs=None, facts=None, leaf=entries[1]["leaf"])
        self.refused(
            "checkpoint: its root is not the root of the entries",
            issuer.export_lines(entries, leaves),
        )

    def test_number_and_order_of_entries(self):
        entries = issuer.export_entries()
        lines = issuer.export_lines(entries)
        self.refused("checkpoint: its size is not 5, the number of entries", lines[:-1])
        swapped = [*lines[:2], lines[3], lines[2], *lines[4:]]
        self.refused("entry 1: the index is out of order", swapped)
        more = [*lines, lines[-1].replace(b'"index": 5', b'"index": 6')]
        self.refused("entry 6: the checkpoint knows nothing of it", more)
        self.refused("entry 5: the line has no end", [*lines[:-1], lines[-1][:-1]])

    def test_another_root(self):
        entries = issuer.export_entries()
        leaves = [entry["leaf"].encode() for entry in entries]
        lines = issuer.export_lines(entries, leaves[::-1])
        self.refused("checkpoint: its root is not the root of the entries", lines)

    def entry(self, reason, index=4, **changes):
        """One entry is changed and the tree made of the leaves as they then are."""
        entries = issuer.export_entries()
        entries[index].update(changes)
        leaves = [str(entry["leaf"]).encode() for entry in entries]
        self.refused(f"entry {index}: {reason}", issuer.export_lines(entries, leaves))

    def test_entries(self):
        entries = issuer.export_entries()
        self.entry("the facts are not the leaf's", facts=entries[1]["facts"])
        self.entry("the to-be-signed certificate is not the leaf's", tbs=entries[1]["tbs"])
        self.entry("facts is not base64", facts="?")
        self.entry("tbs is neither text nor null", tbs=5)
        self.entry("tbs is not base64", tbs="\ud800AAA")
        self.entry("there is a tbs the leaf knows nothing of", index=3, tbs="AAAA")
        self.entry("it is not an object of index, leaf, tbs, facts", more=1)

    def test_index(self):
        for wrong in (3, 4.0, "4", True, None):
            entries = issuer.export_entries()
            entries[4]["index"] = wrong
            self.refused("entry 4: the index is out of order", issuer.export_lines(entries))

    def test_leaves(self):
        leaf = issuer.export_entries()[4]["leaf"]
        lines = leaf.split("\n")
        for wrong in (
            None,
            "",
            leaf[:-1],
            leaf + "\n",
            leaf.replace("v1", "v2"),
            leaf.replace("certificate", "Certificate"),
            leaf.replace("certificate", "certificate "),
            leaf.replace("\n", "\r\n"),
            "\n".join([lines[0], lines[1], "-", ""]),
            "\n".join([lines[0], lines[1][:-1], lines[2], ""]),
        ):
            self.entry("the leaf is malformed", leaf=wrong)
        no_tbs = "\n".join([lines[0], "-", lines[2], ""])
        self.entry("a certificate's leaf has no certificate", leaf=no_tbs, tbs=None)
        loose = "\n".join([lines[0], "A" * 42 + "B=", lines[2], ""])
        self.entry("the leaf's first hash is not canonical base64", leaf=loose, tbs=None)
        loose = "\n".join([lines[0], lines[1], "A" * 42 + "B=", ""])
        self.entry("the leaf's second hash is not canonical base64", leaf=loose, facts=None)

    def test_serials(self):
        for number in (4, 6):
            entries = issuer.export_entries(serial_of=lambda i, n=number: n if i == 4 else i + 1)
            lines = issuer.export_lines(entries)
            self.refused("entry 4: the serial is not index + 1", lines)

    def tbs(self, reason, tbs):
        facts = issuer.facts_text("certificate", 4)
        leaf = issuer.leaf_text("certificate", tbs, facts).decode()
        self.entry(reason, leaf=leaf, tbs=b64(tbs))

    def test_certificates(self):
        plan = Plan(4)
        good = plan.encode(plan.extensions)
        self.tbs("the to-be-signed certificate has trailing bytes", good + string(b""))
        self.tbs("the to-be-signed certificate is cut short", good[:-1])
        with_proof = [(b"log-proof@hallpass", string(b"x"))]
        self.tbs("the to-be-signed certificate has a log proof", plan.encode(with_proof))

    def facts(self, reason, change):
        def facts_of(kind, index):
            facts = issuer.facts_text(kind, index)
            return change(facts) if index == 4 else facts

        lines = issuer.export_lines(issuer.export_entries(facts_of=facts_of))
        self.refused(f"entry 4: {reason}", lines)

    def test_facts(self):
        self.facts("the facts are larger than 64 KiB", lambda f: f + b" " * (65537 - len(f)))
        self.facts("the facts are not JSON", lambda facts: facts[:-1])
        self.facts("the facts are not JSON", lambda facts: facts.replace(b"4}", b"NaN}"))
        self.facts("the facts are not JSON", lambda facts: facts.replace(b"entry", b"\xff"))
        self.facts("the facts are not JSON", lambda facts: b"[" * 60000)
        self.facts("the facts are not an object", lambda facts: b"[1,2,3]")
        order = "the facts do not begin with v, kind, salt"
        self.facts(order, lambda facts: b'{"v":1,"kind":"certificate"}')
        self.facts(order, lambda facts: facts.replace(b'"v"', b'"w"'))
        self.facts("the facts' v is not 1", lambda facts: facts.replace(b'"v": 1', b'"v": 2'))
        self.facts("the facts' v is not 1", lambda facts: facts.replace(b'"v": 1', b'"v": true'))
        other = "the facts name another kind than the leaf"
        self.facts(other, lambda facts: facts.replace(b"certificate", b"request"))
        for reason, salt in (
            ("the facts' salt is not 16 bytes", b'"AAAA"'),
            ("the facts' salt is not base64", b'"\\ud800"'),
            ("the facts' salt is not a string", b"16"),
        ):
            change = b'"salt": ' + salt.replace(b"\\", b"\\\\")
            self.facts(reason, lambda f, change=change: re.sub(rb'"salt": "[^"]*"', change, f))

    def test_ends(self):
        """A CA that was taken over goes on issuing from a grant that it had to end."""

        def lines(ended):
            def facts_of(kind, index):
                kind = "end" if index == 2 else kind
                request = ended if index == 2 else "r00000000000a"
                facts = issuer.facts_text(kind, index)
                return facts[:-1] + f', "request": "{request}"}}'.encode()

            entries = issuer.export_entries(facts_of=facts_of)
            entries[2]["leaf"] = issuer.leaf_text("end", None, facts_of("end", 2)).decode()
            return issuer.export_lines(entries)

        self.assertEqual(self.verdict(lines("r00000000000b"))[0], 0)
        self.refused("entry 4: it is of r00000000000a, which had ended", lines("r00000000000a"))

    def test_json(self):
        lines = issuer.export_lines(issuer.export_entries())
        self.refused("checkpoint: it is not JSON", [])
        self.refused("checkpoint: it is not an object of checkpoint", lines[1:])
        self.refused("checkpoint: it is not text", [b'{"checkpoint":null}\n', *lines[1:]])
        self.refused("entry 0: it is not JSON", [lines[0], b"\n", *lines[1:]])
        self.refused("entry 0: it is not JSON", [lines[0], b"\xff\n", *lines[1:]])
        twice = lines[1].replace(b"{", b'{"index": 0, ')
        names = "it is not an object of index, leaf, tbs, facts"
        self.refused(f"entry 0: {names}", [lines[0], twice, *lines[2:]])
        self.refused(f"entry 0: {names}", [lines[0], b"[]\n", *lines[2:]])

    def test_usage(self):
        file = self.write("export.jsonl", b"")
        self.assertEqual(run(check_export.main, file)[0], 2)
        absent = self.folder / "absent"
        self.assertEqual(run(check_export.main, absent, "--ledger", self.ledger)[0], 2)
        self.assertEqual(run(check_export.main, file, "--ledger", self.signer)[0], 2)


class Trees(unittest.TestCase):
    def test_roots_and_paths_of_all_small_trees(self):
        leaves = [b"leaf %d" % i for i in range(40)]
        tree = check_export.Tree()
        for size in range(len(leaves) + 1):
            root = issuer.tree_hash(leaves[:size])
            self.assertEqual(tree.root(), root)
            for index in range(size):
                path = issuer.path(index, leaves[:size])
                leaf = formats.leaf_hash(leaves[index])
                self.assertEqual(formats.root_from_path(index, size, leaf, path), root)
            if size < len(leaves):
                tree.add(leaves[size])

    def test_the_largest_tree(self):
        with self.assertRaises(formats.Invalid):
            formats.root_from_path(2**62, 2**63 - 1, bytes(32), [bytes(32)] * 70)


class TbsRule(unittest.TestCase):
    def test_only_the_option_and_the_length_are_touched(self):
        for more in ([], [(b"aaa", b"")], [(b"aaa", b""), (b"zzz", string(b"z"))]):
            plan = Plan(4)
            plan.extensions = more
            certificate = check_certificate.parse_certificate(issue(plan=plan))
            self.assertEqual(certificate.tbs, plan.encode(more))
            self.assertEqual(struct.unpack(">I", certificate.signed[:4])[0], len(plan.kind))


if __name__ == "__main__":
    unittest.main()
