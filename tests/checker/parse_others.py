#!/usr/bin/env python3
"""Show a certificate to two SSH libraries that know nothing of hallpass.

AsyncSSH reads it, verifies the CA's signature and validates it as a user
certificate for each of its principals. Paramiko, which reads no more of a
certificate than it needs to offer it to a server, loads it, finds the subject's
key in it, and loads it again onto that key.

Prints one line for each. Exit status: 0 both accept it, 1 one does not, 2 usage.
Paramiko knows no security keys: for the types `sk-...` it is asked for the type
and the blob alone, and the line says so. With --at SECONDS the validity is
judged at that Unix time.
"""

import argparse
import sys
import unittest.mock

import asyncssh
import paramiko

PARAMIKO_KEYS = {
    "ssh-ed25519": paramiko.Ed25519Key,
    "ssh-rsa": paramiko.RSAKey,
    "ecdsa-sha2-nistp256": paramiko.ECDSAKey,
    "ecdsa-sha2-nistp384": paramiko.ECDSAKey,
}


def ask_asyncssh(line):
    certificate = asyncssh.import_certificate(line)
    if not certificate.principals:
        raise ValueError("no principals")
    for principal in certificate.principals:
        certificate.validate(asyncssh.public_key.CERT_TYPE_USER, principal)
    subject = certificate.key.public_data
    return "user certificate for " + ",".join(certificate.principals), subject


def ask_paramiko(line, subject):
    blob = paramiko.pkey.PublicBlob.from_string(line)
    kind = blob.key_type.removesuffix("-cert-v01@openssh.com")
    if kind == blob.key_type:
        raise ValueError("not a certificate type")
    if kind.startswith("sk-"):
        return f"{blob.key_type} (type and blob only, no security keys here)"
    key = PARAMIKO_KEYS[kind](msg=paramiko.Message(blob.key_blob))
    if key.public_blob != blob:
        raise ValueError("the key has another certificate than was given")
    if key.asbytes() != subject:
        raise ValueError("the certificate is for another key")
    plain = PARAMIKO_KEYS[kind](msg=paramiko.Message(subject))
    plain.load_certificate(line)
    if plain.public_blob != blob:
        raise ValueError("the plain key did not take the certificate")
    return f"{blob.key_type} for {plain.fingerprint}"


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Parse a certificate with other libraries.")
    parser.add_argument("--at", type=int, metavar="SECONDS")
    parser.add_argument("certificate", metavar="CERT-FILE")
    options = parser.parse_args(arguments)
    try:
        with open(options.certificate, encoding="utf-8") as file:
            line = file.read()
    except (OSError, UnicodeDecodeError) as error:
        print(error, file=sys.stderr)
        return 2

    subject = None
    try:
        if options.at is None:
            said, subject = ask_asyncssh(line)
        else:
            with unittest.mock.patch("time.time", return_value=options.at):
                said, subject = ask_asyncssh(line)
        print(f"asyncssh {asyncssh.__version__}: accepted {said}")
        status = 0
    except Exception as error:  # whatever a library raises is a refusal
        print(f"asyncssh {asyncssh.__version__}: refused: {error!r}")
        status = 1
    try:
        print(f"paramiko {paramiko.__version__}: accepted {ask_paramiko(line, subject)}")
    except Exception as error:
        print(f"paramiko {paramiko.__version__}: refused: {error!r}")
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
