"""Stories of messages at the wrong time, and of bytes that are no messages. Each is told in
tests/it/stories.rs."""

import select
import time

from raw import *

SESSION = bytes([CHANNEL_OPEN]) + string("session") + u32(0) + u32(1 << 20) + u32(32768)
COMMANDS = [request(number, "exec", string("root@db01 OPS-8")) for number in range(32)]


def every_message(place):
    for number in range(256):
        if number == KEXINIT:
            continue
        for content in (b"", string("session") + u32(0) + u32(1 << 20) + u32(32768)):
            message = bytes([number]) + content
            # In the clear, in the place of the key exchange: only such as do nothing are read over.
            connection = place.clear()
            connection.send(message, SESSION)
            messages, _ = connection.ended()
            assert [message[0] for message in messages] == [KEXINIT], number
            # Encrypted, before and after the service was asked for: nothing, or the end.
            for asked in (False, True):
                connection = place.connect(service=asked)
                connection.send(message, SESSION, *COMMANDS)
                expected = {USERAUTH_FAILURE}
                if not asked:
                    expected = {SERVICE_ACCEPT}
                    connection.send(bytes([SERVICE_REQUEST]) + string("ssh-userauth"))
                else:
                    connection.send(auth("ana", "none"))
                try:
                    assert connection.receive()[0] in expected, (number, content, asked)
                except Closed:
                    pass


def channels_before_the_login(place):
    ana, mallory = place.key("ana"), place.key("mallory")
    forward = string("tcpip-forward") + b"\1" + string("") + u32(8022)
    confirmed = bytes([CHANNEL_OPEN_CONFIRMATION]) + u32(0) * 2 + u32(1 << 20) + u32(32768)
    connection = place.connect()
    connection.send(
        bytes([USERAUTH_SUCCESS]),
        bytes([SERVICE_REQUEST]) + string("ssh-connection"),
        bytes([SERVICE_ACCEPT]) + string("ssh-connection"),
        bytes([GLOBAL_REQUEST]) + forward,
        SESSION,
        confirmed,
        *COMMANDS,
        bytes([CHANNEL_DATA]) + u32(0) + string("status\n"),
    )
    assert connection.answer(auth("ana", "none")) == USERAUTH_FAILURE
    # After all that a stranger is one still,
    assert connection.prove("ana", mallory) == USERAUTH_FAILURE
    # and who does log in has no channel: what was sent too early did not wait for its time.
    assert connection.prove("ana", ana) == USERAUTH_SUCCESS
    connection.send(*COMMANDS)
    connection.in_step()
    assert b"hallpass: you are ana, by the " in connection.run("status").err


def no_shared_secret(place):
    # Points of small order: whatever the server's secret is, the result is the same (RFC 7748,
    # section 6.1). A panic here was CVE-2026-73430.
    low = [
        bytes(32),
        b"\1" + bytes(31),
        b"\xec" + b"\xff" * 30 + b"\x7f",
        b"\xed" + b"\xff" * 30 + b"\x7f",
    ]
    low.append(bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"))
    for kex, head in [("curve25519-sha256", b""), ("mlkem768x25519-sha256", bytes(1184))]:
        # Of these the ML-KEM half is in order: a polynomial of zeros is one.
        wrong = [head + point for point in low] + [b"", head, head + bytes(31), head + bytes(33)]
        wrong.append(head + bytes(1 << 16))
        for share in wrong:
            connection = place.clear()
            connection.send(connection.kexinit(kex), bytes([KEX_INIT]) + string(share))
            messages, _ = connection.ended()
            assert [message[0] for message in messages] == [KEXINIT], (kex, len(share))
        # A length that claims more than there is, and no share at all.
        for body in (u32(0xFFFFFFFF), u32(32), b""):
            connection = place.clear()
            connection.send(connection.kexinit(kex), bytes([KEX_INIT]) + body)
            assert len(connection.ended()[0]) == 1


def weaker_algorithms(place):
    for offer in [
        {"kex": "diffie-hellman-group14-sha256"},
        {"kex": "diffie-hellman-group-exchange-sha256"},
        {"kex": "diffie-hellman-group1-sha1"},
        {"kex": "ecdh-sha2-nistp256"},
        {"kex": "none"},
        {"kex": ""},
        {"cipher": "aes256-ctr"},
        {"cipher": "aes128-cbc"},
        {"cipher": "none"},
        {"compression": "zlib"},
        {"compression": "zlib@openssh.com"},
    ]:
        connection = place.clear()
        connection.send(connection.kexinit(**offer))
        messages, _ = connection.ended()
        assert [message[0] for message in messages] == [KEXINIT], offer
        named = b"".join(messages)
        for name in offer.values():
            assert not name or name == "none" or name.encode() not in named, name


def cut_off(place):
    # Strict key exchange (Terrapin, CVE-2023-48795): nothing may stand between its messages, or the
    # messages that a man in the middle swallows later would not be missed.
    share = bytes([KEX_INIT]) + string(X25519PrivateKey.generate().public_key().public_bytes_raw())
    nothing = bytes([IGNORE]) + string("")
    for messages, answered in [
        ((nothing, 0, share), 1),
        ((0, nothing, share), 1),
        ((0, share, nothing, bytes([NEWKEYS])), 3),
        ((0, share, bytes([DEBUG, 0]) + string("") * 2), 3),
        ((0, 0, share), 1),
    ]:
        connection = place.clear()
        kexinit = connection.kexinit(STRICT)
        connection.send(*(message or kexinit for message in messages))
        messages, _ = connection.ended()
        assert len(messages) == answered, (messages, answered)
        assert b"kex-strict-s-v00@openssh.com" in messages[0]
    place.connect()  # speaks the same without the guest


def not_even_ssh(place):
    def swallowed(connection, *pieces):
        """Sends until the server does not want more; it must hang up, and say nothing but its name."""
        for piece in pieces:
            if not connection.write(piece):
                break
        try:
            connection.versions()
            connection.ended()
        except Closed:
            pass

    lines = place.tcp()
    swallowed(lines, *([b"Welcome to this server, please wait ...\r\n" * 100] * 100))
    line = place.tcp()
    swallowed(line, *([b"SSH-2.0-" + b"x" * 10000] * 100))
    for hello in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\3\1\2\0\1\0\1\xfc\3\3" + bytes(500),
        b"SSH-1.5-x\r\n",
        bytes(4096),
    ):
        swallowed(place.tcp(), hello)
    # Lengths that are none, before there are keys,
    for length in (0, 1, 4, 5, 11, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 19):
        connection = place.clear()
        connection.write(u32(length) + bytes(16))
        connection.no_more()
        assert [message[0] for message in connection.ended()[0]] == [KEXINIT], length
    # and after, where they stand in the clear as well, for this cipher.
    for length in (0, 1, 15, 16, 17, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 19):
        connection = place.connect()
        connection.write(u32(length) + bytes(64))
        connection.no_more()
        assert connection.ended()[0] == [], length
    # More padding than packet, no padding, no payload: in the clear and encrypted.
    for body in (
        b"\xff" + bytes(15),
        b"\x0f" + bytes(15),
        b"\x00" + b"\x14" * 15,
        b"\x0e\x14" + bytes(14),
    ):
        connection = place.clear()
        connection.write(u32(len(body)) + body)
        connection.no_more()
        assert [message[0] for message in connection.ended()[0]] == [KEXINIT], body
        connection = place.connect()
        connection.write(u32(len(body)) + connection.seal(body, u32(len(body))))
        connection.no_more()
        assert connection.ended()[0] == [], body
    # A packet that was changed on its way.
    connection = place.connect()
    packet = bytearray(connection.packet(auth("ana", "none")))
    packet[-1] ^= 1
    connection.write(packet)
    assert connection.ended()[0] == []


def lists_without_end(place):
    def closed(connection, *messages):
        connection.send(*messages)
        connection.no_more()
        return connection.ended()[0]

    most = 240_000
    for name in ("x" * most, ",".join(["curve25519-sha256"] * (most // 18)), "," * most):
        connection = place.clear()
        closed(connection, connection.kexinit(name))
    claim = u32(0xFFFFFFF0)
    for message in [
        bytes([KEXINIT]) + bytes(16) + claim,
        bytes([SERVICE_REQUEST]) + claim,
        bytes([SERVICE_REQUEST]) + string("x" * most),
        bytes([USERAUTH_REQUEST]) + claim,
        bytes([USERAUTH_REQUEST]) + string("ana") + claim,
        bytes([USERAUTH_REQUEST]) + string("ana") + string("ssh-connection") + claim,
        auth("ana", "x" * most),
        auth("ana", "publickey", b"\0" + string("ssh-ed25519") + claim),
        auth("ana", "publickey", b"\0" + string("ssh-ed25519") + string("x" * most)),
        auth("ana", "publickey", b"\0" + string("x" * most) + string("x")),
        auth(
            "ana",
            "publickey",
            b"\0" + string("ssh-rsa") + string(string("ssh-rsa") + string(b"\1" * 100_000) * 2),
        ),
        auth(
            "ana",
            "publickey",
            b"\0" + string(CERTIFICATE) + string(string(CERTIFICATE) + string("x" * most)),
        ),
        auth("ana", "keyboard-interactive", string("") + string("x" * most)),
        bytes([USERAUTH_INFO_RESPONSE]) + claim,
    ]:
        for answer in closed(place.connect(), message):
            assert answer[0] == USERAUTH_FAILURE, message[:60]


def after_two_seconds(place):
    """The door's deadline is two seconds after it accepted a connection."""
    deadline = 2
    begun = time.monotonic()
    late = {name: place.tcp() for name in ("silent", "trickling")}
    late |= {name: place.clear() for name in ("version", "half")}
    late["half"].send(late["half"].kexinit())
    late["encrypted"] = place.connect(service=False)
    late |= {
        name: place.connect() for name in ("asked", "welcomed", "refused", "rekeying", "talking")
    }
    assert late["welcomed"].offer("ana", place.key("ana")) == USERAUTH_PK_OK
    assert late["refused"].prove("ana", place.key("mallory")) == USERAUTH_FAILURE
    late["rekeying"].send(late["rekeying"].kexinit())
    trickling, talking = late["trickling"], late["talking"]
    inside = place.login("ana")
    while late:
        assert time.monotonic() - begun < deadline + 5, list(late)
        trickling.write(b"S")
        talking.send(bytes([IGNORE]) + string("still here"))
        readable = select.select(late.values(), [], [], 0.05)[0]
        for name in [name for name, connection in late.items() if connection in readable]:
            try:
                # What it said so far does not matter.
                gone = not late[name].socket.recv(1 << 16)
            except ConnectionResetError:
                gone = True
            if gone:
                assert time.monotonic() - begun >= deadline, name
                del late[name]
    # Who is logged in stays.
    assert b"hallpass: you are ana, by the " in inside.run("status").err


tell(globals())
