"""Stories of too many at once. Each is told in tests/it/stories.rs."""

from raw import *


def gone(connection):
    """Whether the server closed it; `None` if it neither said anything nor did."""
    try:
        return not connection.socket.recv(4096)
    except ConnectionResetError:
        return True
    except (BlockingIOError, TimeoutError):
        return None


def from_one_source(place):
    """Strangers come from another address than ana, who is alone on hers."""
    crowd = []

    def more(number):
        for at in range(number):
            stranger = place.tcp("127.0.0.2")
            if at % 3 == 1:
                stranger.write(b"SSH-2.0-")
            if at % 3 == 2:
                stranger.write(b"SSH-2.0-x\r\n")
            crowd.append(stranger)

    more(200)
    # Between any two of her steps as many come again as there are places.
    ana = place.tcp()
    more(150)
    ana.versions()
    ana.keys(place.door)
    more(150)
    ana.service()
    assert ana.offer("ana", place.key("ana")) == USERAUTH_PK_OK
    more(150)
    assert ana.prove("ana", place.key("ana")) == USERAUTH_SUCCESS
    assert b"hallpass: you are ana, by the " in ana.run("status").err
    # Those who came first had to go, long before the deadline; the last are not in the way.
    for number, stranger in enumerate(crowd[:-150]):
        stranger.socket.settimeout(10)
        while gone(stranger) is False:
            pass
        assert gone(stranger), number
    crowd[-1].socket.setblocking(False)
    while gone(crowd[-1]) is False:
        pass
    assert gone(crowd[-1]) is None
    # Who is in is in nobody's way.
    more(150)
    assert b"hallpass: you are ana, by the " in ana.run("status").err


def of_one_person(place):
    inside = [place.login("bob") for _ in range(64)]
    for _ in range(3):
        connection = place.login("bob")
        messages, reason = connection.ended()
        assert not messages and reason.startswith("you have as many connections here as one may"), (
            reason
        )
    assert b"hallpass: you are ana, by the " in place.login("ana").run("status").err
    # The others are of use, and one that is closed makes room.
    for connection in inside[1:]:
        assert b"hallpass: you are bob, by the " in connection.run("status").err
    inside[0].no_more()
    assert inside[0].ended() == ([], "")
    assert b"hallpass: you are bob, by the " in place.login("bob").run("status").err


tell(globals())
