"""Stories of what somebody does who is in. Bob has a key and next to no rights. Each is told in
tests/it/stories.rs."""

import json

from raw import *

TOO_MANY, PROHIBITED, UNKNOWN = 4, 1, 3

# More bytes than the server may grow by.
FLOOD = 80 << 20


def proper(channel, status):
    """The answer is text: no byte of it could move a cursor or start a second line in a log."""
    said = channel.out + channel.err
    assert all(byte == 0x0A or 0x20 <= byte <= 0x7E for byte in said), said
    assert channel.status == status, (channel.status, said)
    if status == 2 and not channel.out:
        assert channel.err.startswith(b"hallpass: ") and b"\nhint: " in channel.err, said


def never_opened(place):
    for opened in (False, True):
        connection = place.login("bob")
        if opened:
            # One that was, and is closed; its number must not come back to life.
            connection.run("status")
        for number in range(32):
            connection.send(
                request(number, "pty-req", string("xterm") + u32(80) * 4 + string(b"\0"))
            )
            connection.send(request(number, "shell"), request(number, "exec", string("status")))
            connection.send(bytes([CHANNEL_DATA]) + u32(number) + string("\3"))
            connection.send(
                bytes([CHANNEL_EOF]) + u32(number), bytes([CHANNEL_CLOSE]) + u32(number)
            )
            connection.send(bytes([CHANNEL_WINDOW_ADJUST]) + u32(number) + u32(0xFFFFFFFF))
        # The server says nothing to all that, and lives.
        connection.in_step()
        assert b"hallpass: you are bob, by the " in connection.run("status").err


def one_command_each(place):
    connection = place.login("bob")
    channel = connection.channel()
    assert connection.ask(channel, "pty-req", string("xterm") + u32(80) * 4 + string(b"\0"))
    connection.send(
        request(channel.number, "exec", string("status")),
        request(channel.number, "exec", string("trust --user")),
        request(channel.number, "shell"),
        request(channel.number, "pty-req", string("xterm") + u32(80) * 4 + string(b"\0")),
        request(channel.number, "subsystem", string("sftp")),
    )
    answers = []
    while not channel.closed:
        answers.append(connection.pump()[0])
    connection.in_step()
    # At most what was still open when it came was answered, and only the first with yes.
    granted = [answer for answer in answers if answer in (CHANNEL_SUCCESS, CHANNEL_FAILURE)]
    assert granted[0] == CHANNEL_SUCCESS and CHANNEL_SUCCESS not in granted[1:], answers
    assert channel.err.count(b"hallpass: you are bob") == 1 and channel.out == b"", channel.err


def eleven(place):
    connection = place.login("bob")
    channels = [connection.channel() for _ in range(10)]
    assert all(isinstance(channel, Channel) for channel in channels)
    # The eleventh is neither granted nor refused. Its number is not known yet; whatever he guesses,
    # nothing runs on it.
    waiting = [connection.ask_for_channel() for _ in range(64)]
    connection.in_step()
    assert connection.channels[10:] == [None] * 64
    # As many wait as may.
    assert connection.channel() == TOO_MANY
    # One that is answered makes room for the first that waits, and one that is given up does.
    assert connection.ask(channels[0], "exec", string("status"))
    connection.wait(channels[0])
    first = connection.opened(waiting[0])
    connection.send(bytes([CHANNEL_CLOSE]) + u32(channels[1].number))
    second = connection.opened(waiting[1])
    connection.in_step()
    assert connection.channels[12:74] == [None] * 62
    # Those that are open are of use, and so are those whose turn comes by that.
    answered = channels[2:] + [first, second]
    while answered:
        channel = answered.pop(0)
        assert connection.ask(channel, "exec", string("status"))
        assert b"hallpass: you are bob" in connection.wait(channel).err
        if waiting[2:]:
            answered.append(connection.opened(waiting.pop(2)))


def guessed(place):
    """Bob guesses the numbers of channels that wait for their turn."""
    connection = place.login("bob")
    channels = [connection.channel() for _ in range(10)]
    for _ in range(3):
        connection.ask_for_channel()
    numbers = range(channels[-1].number + 1, channels[-1].number + 4)
    for number in numbers:
        connection.send(request(number, "exec", string("status")))
    # The server says nothing to that, and lives; what waited is opened when its turn comes, as new.
    connection.in_step()
    assert connection.channels[10:] == [None] * 3
    connection.send(bytes([CHANNEL_CLOSE]) + u32(channels[0].number))
    channel = connection.opened(10)
    connection.in_step()
    assert (channel.out, channel.err, channel.closed) == (b"", b"", False)


def other_services(place):
    connection = place.login("bob")
    port, far = string("127.0.0.1") + u32(22), string("localhost") + u32(1024)
    for kind, rest, reason in [
        ("x11", far, PROHIBITED),
        ("direct-tcpip", port + far, PROHIBITED),
        ("forwarded-tcpip", port + far, PROHIBITED),
        (
            "direct-streamlocal@openssh.com",
            string("state/signer.sock") + string("") + u32(0),
            PROHIBITED,
        ),
        ("forwarded-streamlocal@openssh.com", string("/tmp/x") + string(""), PROHIBITED),
        ("auth-agent@openssh.com", b"", PROHIBITED),
        ("tun@openssh.com", u32(1) + u32(0x7FFFFFFF), UNKNOWN),
        ("shell", b"", UNKNOWN),
        ("", b"", UNKNOWN),
    ]:
        assert connection.channel(kind, rest) == reason, kind
    connection.in_step()
    for kind, rest in [
        ("tcpip-forward", string("") + u32(8022)),
        ("tcpip-forward", string("0.0.0.0") + u32(0)),
        ("cancel-tcpip-forward", string("") + u32(8022)),
        ("streamlocal-forward@openssh.com", string("/tmp/hallpass-forwarded")),
        ("cancel-streamlocal-forward@openssh.com", string("/tmp/hallpass-forwarded")),
        ("hostkeys-prove-00@openssh.com", string("x")),
        ("no-such-thing", b""),
    ]:
        connection.send(bytes([GLOBAL_REQUEST]) + string(kind) + b"\1" + rest)
        assert connection.receive()[0] == REQUEST_FAILURE, kind
    channel = connection.channel()
    for kind, body in [
        ("x11-req", b"\0" + string("MIT-MAGIC-COOKIE-1") + string("00" * 16) + u32(0)),
        ("subsystem", string("sftp")),
        ("subsystem", string("netconf")),
        ("env", string("LD_PRELOAD") + string("/tmp/evil.so")),
        ("env", string("HALLPASS_LOG") + string("trace")),
        ("no-such-thing", b""),
    ]:
        assert not connection.ask(channel, kind, body), kind
    # An agent may be forwarded: nothing is asked of it before a certificate is to be put into it.
    assert connection.ask(channel, "auth-agent-req@openssh.com", b"")
    # None of them was the channel's one command.
    assert connection.ask(channel, "exec", string("status"))
    assert connection.wait(channel).status == 0


def strange_words(place):
    connection = place.login("bob")
    account = "deploy@web01 OPS-9"
    strange = [
        b"\xff\xfe",
        b"\0",
        b"status\0",
        b"frob\x1b[2J\x1b]0;owned\x07",
        b"frob\x9b1m",
        b"frob\r\nhallpass: issued serial 1",
        b"frob\x7f\x08\x08",
        "frob\u202elamron".encode(),
        "d\u0435ploy@web01".encode(),
        b"deploy@web01\x1b[31m OPS-7",
        b"deploy@\x1b[31m OPS-7",
        b"deploy@web01 OPS-7\n",
        b"deploy@web01 'OPS-7\nforged'",
        b"deploy@web01 OPS-7 --reason '\x1b[2J'",
        b"deploy@web01 OPS-7 --offer '\x1b[2J'",
        b"deploy@web01 OPS-7 --for '\x1b[2J'",
        b"deploy@web01 --ticket ../../keys/user_ca",
        b"deploy@web01 $(id) `id` ; id | id && id",
        b"help '\x1b[2J'",
        b"--\x1b[2J",
        b"'",
        b"a" * 4096,
        b"' " * 2048,
        b"\\" * 4095,
        b"x " * 2048,
        b"--json " * 500,
        b"a" * 4097,
        b"a" * 5000,
        b"deploy@web01 OPS-7 " + b" " * 5000,
        b"a" * 200_000,
    ]
    for words in strange:
        for more in [b"", b" --json"] if len(words) < 4000 else [b""]:
            channel = connection.run(words + more)
            assert channel.status in (1, 2), (words, channel.status, channel.out, channel.err)
            proper(channel, channel.status)
            if channel.out:
                answer = json.loads(channel.out)
                assert answer["outcome"] in ("usage", "refused") and answer["hint"], answer
            else:
                assert b"\nhint: " in channel.err, channel.err
            assert b"\nhallpass: issued" not in channel.err
    proper(connection.run(account), 1)


FORGED = '{"level":"INFO","forged":true}'


def strange_names(place):
    ana, bob = place.key("ana"), place.key("bob")
    # Too long or with control characters: the key is not even welcome.
    for user in [
        "x" * 65,
        "x" * 32768,
        "ana\0",
        "\0",
        "ana\r\n" + FORGED + "\r\n",
        "\n" + FORGED + "\n",
        "\x1b[2J",
        "\x9b1m",
        "ana\x7f",
    ]:
        connection = place.connect()
        assert connection.offer(user, ana) == USERAUTH_FAILURE, user[:80]
        assert connection.prove(user, ana) == USERAUTH_FAILURE, user[:80]
    # No text at all ends the connection.
    for user in (b"\xff\xfe", b"ana\x80", b"\xed\xa0\x80", b"\xc0\x80"):
        for method in ("none", "publickey", "password"):
            connection = place.connect()
            connection.send(auth(user, method, b"\0" + string("ssh-ed25519") + string(ana.blob)))
            assert connection.ended()[0] == [], user
    # Another service, or a method with a name that wants to be a line in the journal.
    connection = place.connect()
    service = string("ana") + string("\r\n" + FORGED + "\r\n") + string("none")
    connection.send(bytes([USERAUTH_REQUEST]) + service)
    assert connection.ended()[0] == []
    connection = place.connect()
    assert connection.answer(auth("ana", "\r\n" + FORGED + "\r\n")) == USERAUTH_FAILURE
    # Names that are strange and no more are anybody's; they are said nowhere.
    for user in [
        "",
        " ",
        "x" * 64,
        "CORP\\bob",
        "bob\u202e",
        "../../etc/passwd",
        '"}',
        "$(id)",
        "\u0430na",
    ]:
        connection = place.connect()
        assert connection.offer(user, bob) == USERAUTH_PK_OK, user
        assert connection.prove(user, bob) == USERAUTH_SUCCESS, user
        proper(connection.run("status"), 0)
        proper(connection.run("deploy@web01 OPS-7"), 1)


def too_large(place):
    """What a channel can be filled with. The connection may end; the server must not."""
    size = u32(0xFFFFFFFF)
    pty = string("xterm") + size * 4

    def then(*messages, want=None):
        """Whether the connection lives is as good as said; `None` is either."""
        connection = place.login("bob")
        channel = connection.channel()
        connection.send(*(message(channel.number) for message in messages))
        connection.send(bytes([GLOBAL_REQUEST]) + string("are-you-there@story") + b"\1")
        try:
            while connection.pump()[0] != REQUEST_FAILURE:
                pass
            alive = True
        except Closed:
            alive = False
        assert want in (None, alive), (alive, messages)

    def modes(count, end=b"\0"):
        body = pty + string(b"".join(bytes([code % 159 + 1]) + size for code in range(count)) + end)
        return lambda number: request(number, "pty-req", body)

    def adjust(number):
        return bytes([CHANNEL_WINDOW_ADJUST]) + u32(number) + size

    def data(number, count=16384):
        return bytes([CHANNEL_DATA]) + u32(number) + string(bytes(count))

    then(modes(130), want=True)
    for count in (131, 132, 1000, 40000):
        then(modes(count), want=False)
    for end in (b"", b"\1", b"\0\0", b"\1\0\0"):
        then(modes(3, end))
    then(adjust, adjust, want=True)
    then(*[adjust] * 100, lambda number: request(number, "exec", string("status")), want=True)
    then(lambda number: request(number, "window-change", size * 4), want=True)
    then(lambda number: request(number, "signal", string("KILL")), want=True)
    then(lambda number: request(number, "exit-status", u32(0)), want=True)
    # Far more than the window of 64 kB, before and after the command, and more than one packet's.
    then(*[data] * 200)
    then(lambda number: request(number, "exec", string("status")), *[data] * 200)
    then(lambda number: data(number, 200_000))
    then(
        *[lambda number: request(number, "env", string("X" * 1000) + string("y" * 15000), False)]
        * 200,
        want=True,
    )
    then(*[lambda number: request(number, "exec", string("status" + " " * 5000))] * 100, want=True)
    then(lambda number: request(number, "x" * 200_000))
    then(lambda number: request(number, "exec", u32(0xFFFFFFF0)), want=False)
    then(lambda number: bytes([CHANNEL_DATA]) + u32(number) + u32(0xFFFFFFF0), want=False)
    then(lambda number: bytes([CHANNEL_OPEN_CONFIRMATION]) + u32(number) + size * 3)
    then(lambda number: bytes([CHANNEL_OPEN_CONFIRMATION]) + u32(77) + size * 3)
    then(lambda number: bytes([CHANNEL_OPEN_FAILURE]) + u32(number) + size + string("") * 2)
    then(*[lambda number: bytes([REQUEST_SUCCESS])] * 100)
    # A window of nothing: the answer waits, and others' do not.
    connection = place.login("bob")
    for _ in range(10):
        channel = connection.channel(window=0)
        assert connection.ask(channel, "exec", string("trust"))
    assert place.login("bob").run("status").status == 0


def half_a_rekey(place):
    # Both sides announce new keys, and then she does not finish (CVE-2026-102821): what she sends
    # meanwhile must not be kept for later.
    for inside in (True, False):
        for flood in (
            [bytes([CHANNEL_OPEN]) + string("session") + u32(7) + u32(1 << 20) + u32(32768)],
            [request(0, "exec", string("status"))],
            [auth("ana", "none")],
        ):
            connection = place.login("bob") if inside else place.connect()
            connection.send(connection.kexinit())
            for _ in range(1000):
                if not connection.send(*flood * 100):
                    break
            messages, _ = connection.ended()
            assert [message[0] for message in messages] == [KEXINIT], (inside, messages)


def floods(place):
    """More than the server may keep, of what it has no use for. None of it is answered or read."""
    asking = bytes([GLOBAL_REQUEST]) + string("are-you-there@story") + b"\1"
    ignored = bytes([IGNORE]) + string(bytes(30000))
    stranger, asker, typist = place.connect(), place.login("bob"), place.login("bob")
    channel = typist.channel()
    data = bytes([CHANNEL_DATA]) + u32(channel.number) + string(bytes(16000))
    for connection, message in [(stranger, ignored), (asker, asking), (typist, data)]:
        connection.socket.settimeout(0.3)
        left = FLOOD
        try:
            # A server whose answers are not read stops reading, which is as good as an end.
            while left > 0 and connection.send(*[message] * 100):
                left -= 100 * len(message)
        except TimeoutError:
            pass
        connection.socket.close()


tell(globals())
