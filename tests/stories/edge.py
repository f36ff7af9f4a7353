"""Stories of those who want nothing but the door to themselves. Each is told in tests/it/edge.rs."""

import contextlib
import time

from raw import *


def from_elsewhere(place, source):
    """A connection from another address of the loopback network; whether the door greets it."""
    place.visits += 1
    connection = Connection(place.port, source)
    try:
        connection.versions()
        return connection
    except Closed:
        return None


def a_list_of_keys(place):
    """Mallory fails until she is kept out; others are not."""
    mallory, source = place.key("mallory"), "127.0.0.66"
    for _ in range(12):
        connection = from_elsewhere(place, source)
        connection.keys(place.door)
        connection.service()
        assert connection.prove("ana", mallory) == USERAUTH_FAILURE
        connection.socket.close()
    # The thirteenth failure is one too many, whatever it was.
    deadline = time.monotonic() + PATIENCE
    while connection := from_elsewhere(place, source):
        assert time.monotonic() < deadline
        connection.write(b"\0" * 64)
        connection.ended()
    place.visits -= 1  # Turned away: not one of the visits.
    assert from_elsewhere(place, "127.0.0.67")
    assert place.login("ana").run("status").status == 0


def two_at_most(place):
    """The CA's limit is two connections of a person."""
    first, second = place.login("bob"), place.login("bob")
    third = place.connect()
    third.send(third.signed("bob", place.key("bob")))
    _, why = third.ended()
    assert why == "you have too many connections open; close one and try again", why
    # Ana is not bob, and who leaves makes room.
    assert place.login("ana").run("status").status == 0
    first.socket.close()
    deadline = time.monotonic() + PATIENCE
    while True:
        again = place.connect()
        again.send(again.signed("bob", place.key("bob")))
        with contextlib.suppress(Closed):
            assert again.receive()[0] == USERAUTH_SUCCESS
            again.in_step()
            break
        assert time.monotonic() < deadline
    assert second.run("status").status == 0


def too_much(place):
    """Messages that mean nothing, without end: before the login, after it, and in the middle of a
    second key exchange that never ends."""
    ignored = bytes([IGNORE]) + string(bytes(30000))
    stranger, bob, rekeying = place.connect(), place.login("bob"), place.login("bob")
    rekeying.send(rekeying.kexinit())
    for connection, most in ((stranger, 256 << 10), (bob, 8 << 20), (rekeying, 8 << 20)):
        sent = 0
        while connection.send(ignored):
            sent += len(ignored)
            # What the kernels hold between us is not what the server has read.
            assert sent < most + (16 << 20)
        messages, why = connection.ended()
        # Who is in the middle of a key exchange cannot be told.
        assert why in ("this connection sent too much", "") and (why or connection is not bob), why
        assert [message[0] for message in messages] in ([], [KEXINIT]), messages
    # Whoever asks for something may go on: each command earns 64 kB.
    busy = place.login("bob")
    for _ in range(20):
        busy.send(*[bytes([IGNORE]) + string(bytes(20000))] * 20)
        assert busy.run("status").status == 0
    busy.in_step()


tell(globals())
