"""Stories of those who want to be somebody else. Each is told in tests/it/stories.rs."""

import time

from raw import *

SESSION = bytes([CHANNEL_OPEN]) + string("session") + u32(0) + u32(1 << 20) + u32(32768)
STATUS = string("status")
ROOT = "root@db01 OPS-8"


def still_nobody(connection):
    """Asks for a command as if logged in. The next answer is that to another try to log in."""
    connection.send(SESSION, *(request(number, "exec", string(ROOT)) for number in range(4)))
    assert connection.answer(auth("ana", "none")) == USERAUTH_FAILURE


def subject(channel):
    """The key inside the certificate that was printed."""
    assert channel.status == 0, channel.err
    certificate = Reader(base64.b64decode(channel.out.split()[1]))
    assert certificate.string() == CERTIFICATE.encode()
    certificate.string()  # the nonce
    return string("ssh-ed25519") + string(certificate.string())


def only_offered(place):
    ana, mallory = place.key("ana"), place.key("mallory")
    connection = place.connect()
    assert connection.offer("ana", ana) == USERAUTH_PK_OK
    still_nobody(connection)
    # The same in one go: the answers show that nothing came between.
    connection.send(bytes([USERAUTH_SUCCESS]), SESSION, request(0, "exec", STATUS))
    assert connection.offer("ana", ana) == USERAUTH_PK_OK
    # Her own signature below Ana's key, below no key that was welcomed, and below her own.
    assert connection.prove("ana", mallory, blob=ana.blob) == USERAUTH_FAILURE
    assert connection.prove("ana", mallory) == USERAUTH_FAILURE
    assert connection.offer("ana", mallory) == USERAUTH_FAILURE
    still_nobody(connection)


def offered_beside_her_own(place):
    ana, bob = place.key("ana"), place.key("bob")
    for offers in ([ana], [ana, bob], [bob, ana], [ana, bob, ana]):
        connection = place.connect()
        for key in offers:
            assert connection.offer("ana-or-bob", key) == USERAUTH_PK_OK
        assert connection.prove("ana-or-bob", bob) == USERAUTH_SUCCESS
        # Once more when it is too late: nothing may come of it, not even an answer.
        body = b"\0" + string(ana.algorithm) + string(ana.blob)
        connection.send(auth("ana-or-bob", "publickey", body))
        connection.in_step()
        assert b"hallpass: you are bob, by the " in connection.run("status").err
        refused = connection.run("deploy@web01 OPS-7")
        assert refused.status == 1 and b"ticket OPS-7 is ana's, not yours" in refused.err, (
            refused.err
        )
        assert subject(connection.run("logs@web01")) == bob.blob


def under_another_name(place):
    ana = place.key("ana")
    connection = place.connect()
    # Welcome under one name, signed for that name, and sent under another.
    assert connection.offer("ana", ana) == USERAUTH_PK_OK
    assert connection.prove("root-admin", ana, signed_user="ana") == USERAUTH_FAILURE
    assert connection.prove("bob", ana, signed_user="ana") == USERAUTH_FAILURE
    still_nobody(connection)
    # With a signature for the other name she is herself, whatever the name.
    assert connection.offer("ana", ana) == USERAUTH_PK_OK
    assert connection.prove("root-admin", ana) == USERAUTH_SUCCESS
    assert b"hallpass: you are ana, by the " in connection.run("status").err
    # After that no name makes a difference.
    connection.send(auth("bob", "none"), connection.signed("bob", ana))
    connection.in_step()
    assert b"hallpass: you are ana, by the " in connection.run("status").err
    assert subject(connection.run("deploy@web01 OPS-7")) == ana.blob


def as_another_person(place):
    connection = place.login("ana", user="bob")
    refused = connection.run("deploy@web01 OPS-7")
    assert refused.status == 1 and refused.out == b"", refused.err
    sentence = (
        b"hallpass: refused: your key is ana's, the SSH user name is bob's\nhint: ssh -l ana ca ..."
    )
    assert refused.err.startswith(sentence), refused.err


def other_methods(place):
    ana, mallory = place.key("ana"), place.key("mallory")
    host = string("ssh-ed25519") + string(ana.blob) + string("laptop.example") + string("ana")
    tries = [
        auth("ana", "none"),
        auth("ana", "password", b"\0" + string("correct horse")),
        auth("ana", "password", b"\1" + string("old") + string("new")),
        auth("ana", "keyboard-interactive", string("") + string("")),
        bytes([USERAUTH_INFO_RESPONSE]) + u32(1) + string("123456"),
        # As many answers as a server would run out of memory for (CVE-2026-42189).
        bytes([USERAUTH_INFO_RESPONSE]) + u32(0x10000000),
        auth("ana", "hostbased", host + string(mallory.sign(b"me"))),
        auth("ana", "gssapi-with-mic", u32(1) + string(b"\6\1\52")),
    ]
    for welcomed in (False, True):
        connection = place.connect()
        for number, method in enumerate(tries):
            # Six welcomes are as many as there are.
            if welcomed and number < 6:
                assert connection.offer("ana", ana) == USERAUTH_PK_OK
            connection.send(method)
            failure = Reader(connection.receive())
            assert failure.take(1) == bytes([USERAUTH_FAILURE])
            # Only keys are of use, and no step is done.
            assert failure.string() == b"publickey" and failure.data == b"\0"
        still_nobody(connection)


def another_session(place):
    ana = place.key("ana")
    recorded = place.connect()
    theirs = recorded.signed("ana", ana)
    assert recorded.answer(theirs) == USERAUTH_SUCCESS
    mallorys = place.connect()
    assert mallorys.answer(theirs) == USERAUTH_FAILURE
    assert mallorys.offer("ana", ana) == USERAUTH_PK_OK
    assert mallorys.answer(theirs) == USERAUTH_FAILURE
    # What she could learn of the other connection does not help either.
    empty = mallorys.prove("ana", ana, session_id=recorded.session_id)
    assert empty == USERAUTH_FAILURE
    still_nobody(mallorys)


def another_algorithm(place):
    rsa, ana = place.key("ana-rsa"), place.key("ana")
    connection = place.connect()
    assert connection.offer("ana", rsa, "ssh-rsa") == USERAUTH_FAILURE
    for announced, made, labelled in [
        ("ssh-rsa", "ssh-rsa", None),
        ("rsa-sha2-512", "ssh-rsa", None),
        ("rsa-sha2-256", "ssh-rsa", None),
        ("rsa-sha2-512", "rsa-sha2-256", None),
        ("ssh-rsa", "rsa-sha2-512", None),
        ("rsa-sha2-512", "ssh-rsa", "rsa-sha2-512"),
    ]:
        bent = {"algorithm": announced, "made": made, "labelled": labelled}
        assert connection.prove("ana", rsa, **bent) == USERAUTH_FAILURE, bent
    assert connection.offer("ana", rsa) == USERAUTH_PK_OK
    assert connection.prove("ana", rsa, made="ssh-rsa") == USERAUTH_FAILURE
    still_nobody(connection)
    # A key under another type's name: no, or the end of the connection.
    for key, name in [
        (rsa, "ssh-ed25519"),
        (ana, "rsa-sha2-512"),
        (ana, CERTIFICATE),
        (ana, "ssh-dss"),
    ]:
        mixed = place.connect()
        mixed.send(mixed.signed("ana", key, algorithm=name))
        try:
            assert mixed.receive()[0] == USERAUTH_FAILURE, name
        except Closed:
            pass
    # Both ways that are meant to work do.
    for algorithm in ("rsa-sha2-512", "rsa-sha2-256"):
        good = place.connect()
        assert good.offer("ana", rsa, algorithm) == USERAUTH_PK_OK
        answer = good.prove("ana", rsa, algorithm=algorithm, made=algorithm)
        assert answer == USERAUTH_SUCCESS, algorithm


def certificates(place):
    # From this CA for Ana's key; and three that Mallory signed herself: for Ana's key, for her own
    # key in Ana's name, and one that says it is a CA's.
    for file, person in [
        ("ana-deploy-web01.cert", "ana"),
        ("rogue-ana-cert.pub", "ana"),
        ("rogue-mallory-cert.pub", "mallory"),
        ("rogue-host-cert.pub", "mallory"),
    ]:
        key, blob = place.key(person), public_blob(place.folder / file)
        connection = place.connect()
        # A welcome is no harm (the library asks about the key inside), a login would be.
        welcome = connection.offer(person, key, CERTIFICATE, blob)
        assert welcome == (USERAUTH_PK_OK if person == "ana" else USERAUTH_FAILURE), file
        for _ in range(2):
            assert (
                connection.prove(person, key, algorithm=CERTIFICATE, blob=blob) == USERAUTH_FAILURE
            ), file
        still_nobody(connection)
        # The plain key is judged as ever.
        plain = connection.prove(person, key)
        assert plain == (USERAUTH_SUCCESS if person == "ana" else USERAUTH_FAILURE), file
        if person == "ana":
            assert b"hallpass: you are ana, by the ssh-ed25519 key " in connection.run("status").err


def too_many_offers(place):
    connection = place.connect()
    nobodys = place.key("mallory")
    for number in range(32):
        # Another key each time, as somebody would who has a list of public keys to try.
        blob = nobodys.blob[:-4] + u32(number)
        assert connection.offer("ana", nobodys, blob=blob) == USERAUTH_FAILURE, number
    connection.send(
        auth("ana", "publickey", b"\0" + string("ssh-ed25519") + string(place.key("ana").blob))
    )
    messages, reason = connection.ended()
    assert [message[0] for message in messages] in ([], [USERAUTH_FAILURE]), messages
    assert reason.startswith("too many keys were offered; name one with "), reason


def too_many_proofs(place):
    ana, mallory = place.key("ana"), place.key("mallory")
    connection = place.connect()
    for number in range(6):
        assert connection.prove("ana", mallory, blob=ana.blob) == USERAUTH_FAILURE, number
    # The right signature comes one too late.
    connection.send(connection.signed("ana", ana))
    messages, reason = connection.ended()
    assert [message[0] for message in messages] in ([], [USERAUTH_FAILURE]), messages
    assert reason == "too many attempts to prove a key", reason


def who_is_there(place):
    mallory, ana = place.key("mallory"), place.key("ana")
    answers = set()
    for user in ("ana", "bob", "nobody-of-that-name", "root", ""):
        connection = place.connect()
        assert connection.answer(auth(user, "none")) == USERAUTH_FAILURE
        for body in (b"\0" + string("ssh-ed25519") + string(mallory.blob), None, b"signed"):
            begun = time.monotonic()
            if body is None:
                connection.send(auth(user, "password", b"\0" + string("x")))
            elif body == b"signed":
                connection.send(connection.signed(user, mallory))
            else:
                connection.send(auth(user, "publickey", body))
            answers.add(connection.receive())
            # Whatever it took to find out, it is told after a tenth of a second.
            assert time.monotonic() - begun >= 0.1
        # A key that is enrolled is welcome under every name alike: SSH asks for the public key.
        assert connection.offer(user, ana) == USERAUTH_PK_OK
    assert len(answers) == 1, answers


tell(globals())
