"""A story of messages that are almost right: bytes changed, lost and doubled, lengths that lie, keys
and certificates that no mathematician would accept. The same ones each time. Told in
tests/it/stories.rs."""

import random

from raw import *

CHANCE = random.Random(4253)
LIES = [u32(0), u32(1), u32(0x7FFFFFFF), u32(0x80000000), u32(0xFFFFFFFF)]
KEY_TYPES = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
    "ssh-dss",
    "ed448@example.org",
]


def some(*choices):
    return CHANCE.choice(choices)


def junk(*sizes):
    return CHANCE.randbytes(CHANCE.choice(sizes))


def bend(message):
    """One to five small changes."""
    message = bytearray(message)
    for _ in range(some(1, 1, 1, 2, 5)):
        at = CHANCE.randrange(len(message) + 1)
        change = some("set", "set", "lose", "add", "lie", "cut")
        if change == "set":
            message[at : at + 1] = junk(1)
        elif change == "lose":
            del message[at : at + some(1, 4, 9)]
        elif change == "add":
            message[at:at] = junk(1, 4, 9)
        elif change == "lie":
            message[at : at + 4] = some(*LIES)
        else:
            del message[max(at, 1) :]
    return bytes(message)


def number():
    """A number as RSA has them: none, negative, padded, even, too long."""
    return string(
        some(b"", b"\0", b"\1", b"\2", b"\x80", b"\0\0\1", junk(1, 32, 128, 384, 1025, 4096))
    )


def key_body(kind):
    """What follows a key's type."""
    if "ed25519" in kind:
        point = some(bytes(32), b"\1" + bytes(31), b"\xff" * 32, junk(32), junk(0, 31, 33))
        return string(point) + (string("ssh:") if kind.startswith("sk") else b"")
    if "ecdsa" in kind:
        curve = some("nistp256", "nistp384", "nistp521", "nistp999")
        return (
            string(curve)
            + string(some(b"", b"\0", b"\2", b"\4") + junk(0, 32, 64, 96, 132))
            + string("ssh:")
        )
    return number() + number() if kind == "ssh-rsa" else number() * 4


def key_blob(place):
    kind = some(*KEY_TYPES)
    return some(string(kind) + key_body(kind), place.key("ana").blob)


def signature():
    kind = some(*KEY_TYPES, "rsa-sha2-256", "rsa-sha2-512")
    made = some(b"", bytes(64), junk(64), junk(256, 384, 5000), number() + number())
    return string(string(kind) + string(made) + some(b"", b"\1" + u32(5), b"\1"))


def certificate(place):
    """Signed by nobody, or by a key of a CA that is none."""
    plain = some(*KEY_TYPES[:6])
    kind = plain.replace("@openssh.com", "") + "-cert-v01@openssh.com"
    times = [struct.pack(">Q", some(0, 1, 1 << 63, (1 << 64) - 1)) for _ in range(3)]
    lists = [
        string(some(b"", string("ana"), junk(1, 3, 30), string("ana") + string("")))
        for _ in range(4)
    ]
    body = string(junk(0, 32)) + key_body(plain) + times[0] + u32(some(0, 1, 2, 99)) + string("id")
    body += lists[0] + times[1] + times[2] + lists[1] + lists[2] + lists[3]
    return kind, string(kind) + body + string(key_blob(place)) + signature()


def before_the_login(place):
    what = some("certificate", "proved certificate", "key", "bent", "bent", "any")
    if what == "any":
        return bytes([CHANCE.randrange(256)]) + junk(0, 8, 60)
    if what == "bent":
        method = some("none", "password", "keyboard-interactive", "hostbased", "publickey")
        return bend(
            auth("ana", method, b"\0" + string("ssh-ed25519") + string(place.key("ana").blob))
        )
    kind, blob = certificate(place)
    if what == "key":
        kind, blob = some(*KEY_TYPES, "rsa-sha2-512"), key_blob(place)
    named = string(kind) + string(blob)
    return auth(
        "ana", "publickey", b"\0" + named if what == "certificate" else b"\1" + named + signature()
    )


def after_the_login():
    at = u32(some(0, 1, 2, 3))
    size, text = some(*LIES), string(junk(0, 3, 40))
    kind = some(
        "session",
        "session",
        "x11",
        "direct-tcpip",
        "direct-streamlocal@openssh.com",
        "tun@openssh.com",
    )
    asked = [
        ("exec", some(text, string("status"))),
        ("shell", b""),
        ("pty-req", string("xterm") + size * 4 + text),
        ("env", text * 2),
        ("subsystem", text),
        ("window-change", size * 4),
        ("signal", text),
        ("x11-req", b"\0" + text * 2 + size),
        ("auth-agent-req@openssh.com", b""),
        ("exit-signal", text + b"\0" + text * 2),
    ]
    kind_asked, body = some(*asked)
    message = some(
        bytes([CHANNEL_OPEN])
        + string(kind)
        + at
        + size
        + some(*LIES)
        + some(b"", text + size + text + size),
        bytes([CHANCE.randrange(CHANNEL_OPEN_CONFIRMATION, CHANNEL_FAILURE + 1)])
        + at
        + some(b"", size, text, size + text),
        bytes([CHANNEL_REQUEST]) + at + string(kind_asked) + some(b"\0", b"\1") + body,
        bytes([GLOBAL_REQUEST]) + some(string("tcpip-forward"), text) + b"\1" + text + size,
        bytes([some(REQUEST_SUCCESS, REQUEST_FAILURE)]) + some(b"", size),
    )
    return some(message, bend(message))


def answers(connections):
    """All of it was sent; what came back on each, to the end."""
    for connection in connections:
        connection.no_more()
    return [message for connection in connections for message in connection.ended()[0]]


def bent(place):
    ana = place.key("ana")
    # Each byte of a request with ana's own good signature, changed: it is another request.
    changed = []
    length = len(place.connect().signed("ana", ana))
    for start in range(0, length, 100):
        batch = [place.connect() for _ in range(start, min(start + 100, length))]
        for at, connection in enumerate(batch, start):
            request = bytearray(connection.signed("ana", ana))
            request[at] ^= CHANCE.randrange(1, 256)
            connection.send(bytes(request))
        changed += answers(batch)
    assert {message[0] for message in changed} == {USERAUTH_FAILURE}

    strangers = [place.connect() for _ in range(100)]
    for connection in strangers:
        connection.send(*(before_the_login(place) for _ in range(5)))
    assert {message[0] for message in answers(strangers)} <= {USERAUTH_FAILURE, USERAUTH_PK_OK}

    for kex in ("curve25519-sha256", "mlkem768x25519-sha256"):
        exchanges = [place.clear() for _ in range(100)]
        for connection in exchanges:
            kexinit = connection.kexinit(kex)
            init = bytes([KEX_INIT]) + string(junk(32 if kex.startswith("c") else 1216))
            connection.send(*some([bend(kexinit), init], [kexinit, bend(init)]))
        assert {message[0] for message in answers(exchanges)} <= {KEXINIT, KEX_REPLY, NEWKEYS}

    for _ in range(60):
        connection = place.login("bob")
        for _ in range(30):
            connection.send(after_the_login())
        answers([connection])


tell(globals())
