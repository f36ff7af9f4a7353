"""An SSH client that says what it is told, in any order.

A well-behaved library cannot attack: it checks, sorts and repeats what it sends, and runs a thread
of its own. This one sends exactly the given message and reads exactly the next one, so a story is
a sequence, and what the server did is known after each step.

From RFC 4251 to 4254, RFC 8731 (curve25519-sha256), RFC 5647 and OpenSSH's PROTOCOL
(aes256-gcm@openssh.com). Python's standard library, and `cryptography` for the primitives alone.
"""

import base64
import hashlib
import os
import pathlib
import socket
import struct
import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import load_ssh_private_key

DISCONNECT, IGNORE, DEBUG = 1, 2, 4
SERVICE_REQUEST, SERVICE_ACCEPT = 5, 6
KEXINIT, NEWKEYS, KEX_INIT, KEX_REPLY = 20, 21, 30, 31
USERAUTH_REQUEST, USERAUTH_FAILURE, USERAUTH_SUCCESS = 50, 51, 52
USERAUTH_PK_OK, USERAUTH_INFO_RESPONSE = 60, 61
GLOBAL_REQUEST, REQUEST_SUCCESS, REQUEST_FAILURE = 80, 81, 82
CHANNEL_OPEN, CHANNEL_OPEN_CONFIRMATION, CHANNEL_OPEN_FAILURE = 90, 91, 92
CHANNEL_WINDOW_ADJUST, CHANNEL_DATA, CHANNEL_EXTENDED_DATA = 93, 94, 95
CHANNEL_EOF, CHANNEL_CLOSE = 96, 97
CHANNEL_REQUEST, CHANNEL_SUCCESS, CHANNEL_FAILURE = 98, 99, 100

# A server that neither answers nor hangs up within these seconds has failed the story.
PATIENCE = 10

# The key exchange that is spoken here, in which nothing may stand between its messages.
STRICT = "curve25519-sha256,kex-strict-c-v00@openssh.com"

CERTIFICATE = "ssh-ed25519-cert-v01@openssh.com"


class Closed(Exception):
    """The server ended the connection; the text is its reason, empty if it gave none."""


# --- SSH's binary types ------------------------------------------------------


def u32(number):
    return struct.pack(">I", number)


def string(data):
    data = data.encode() if isinstance(data, str) else data
    return u32(len(data)) + data


def mpint(data):
    data = data.lstrip(b"\0")
    return string(b"\0" + data if data[:1] > b"\x7f" else data)


class Reader:
    def __init__(self, data):
        self.data = data

    def take(self, count):
        assert count <= len(self.data), "the server's message is cut short"
        head, self.data = self.data[:count], self.data[count:]
        return head

    def u32(self):
        return struct.unpack(">I", self.take(4))[0]

    def string(self):
        return self.take(self.u32())


# --- keys --------------------------------------------------------------------


class Key:
    """A key pair as `ssh-keygen` wrote it; `blob` is the public half."""

    def __init__(self, path):
        self.private = load_ssh_private_key(path.read_bytes(), None)
        self.blob = public_blob(path.with_name(path.name + ".pub"))
        self.rsa = isinstance(self.private, RSAPrivateKey)
        self.algorithm = "rsa-sha2-512" if self.rsa else "ssh-ed25519"

    def sign(self, data, algorithm=None, labelled=None):
        """A signature as SSH encodes it, made by one algorithm and labelled with any name."""
        algorithm = algorithm or self.algorithm
        if self.rsa:
            sizes = {"ssh-rsa": hashes.SHA1(), "rsa-sha2-256": hashes.SHA256()}
            size = sizes.get(algorithm, hashes.SHA512())
            signature = self.private.sign(data, padding.PKCS1v15(), size)
        else:
            signature = self.private.sign(data)
        return string(labelled or algorithm) + string(signature)


def public_blob(path):
    """The bytes in a file of the form `TYPE BASE64 COMMENT`: a public key or a certificate."""
    return base64.b64decode(path.read_text().split()[1])


# --- one connection ----------------------------------------------------------


class Channel:
    """What arrived on one session channel."""

    def __init__(self, number):
        self.number, self.status, self.closed = number, None, False
        self.out, self.err = b"", b""


class Connection:
    """One connection from its first byte on. Nothing is sent that was not asked for."""

    VERSION = b"SSH-2.0-story"

    def __init__(self, port, source=""):
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.seal = self.open = None
        self.session_id = None
        self.channels = []

    # Bytes.

    def write(self, data):
        """Sends bytes. That the server is gone is for the next read to find, with its reason."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError):
            return False

    def read(self, count):
        data = b""
        while len(data) < count:
            try:
                piece = self.socket.recv(count - len(data))
            except ConnectionResetError:
                piece = b""
            if not piece:
                raise Closed("")
            data += piece
        return data

    def line(self):
        data = b""
        while not data.endswith(b"\n"):
            data += self.read(1)
        return data.rstrip(b"\r\n")

    # Packets.

    def packet(self, payload):
        """A packet as it goes over the wire, with the next nonce once there are keys."""
        head, block = (4, 8) if self.seal is None else (0, 16)
        pad = 4 + -(head + 1 + len(payload) + 4) % block
        body = bytes([pad]) + payload + os.urandom(pad)
        if self.seal is None:
            return u32(len(body)) + body
        return u32(len(body)) + self.seal(body, u32(len(body)))

    def send(self, *payloads):
        return self.write(b"".join(self.packet(payload) for payload in payloads))

    def receive(self):
        """The next message."""
        head = self.read(4)
        (length,) = struct.unpack(">I", head)
        assert length < 1 << 20, f"a packet of {length} bytes"
        body = self.read(length) if self.open is None else self.open(self.read(length + 16), head)
        payload = body[1 : len(body) - body[0]]
        if payload[0] == DISCONNECT:
            raise Closed(Reader(payload[5:]).string().decode())
        return payload

    def fileno(self):
        return self.socket.fileno()

    def no_more(self):
        """Nothing more will be sent, as the server finds at the end of what it has read."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # The server was first.

    def ended(self):
        """Reads to the end of the connection; the messages before it, and the server's reason."""
        messages = []
        try:
            while True:
                messages.append(self.receive())
        except Closed as closed:
            return messages, str(closed)

    # The key exchange.

    def versions(self):
        self.write(self.VERSION + b"\r\n")
        self.server_version = self.line()

    def kexinit(self, kex=STRICT, cipher="aes256-gcm@openssh.com", compression="none"):
        lists = [kex, "ssh-ed25519"] + [cipher] * 2 + ["hmac-sha2-256-etm@openssh.com"] * 2
        lists += [compression] * 2 + ["", ""]
        return bytes([KEXINIT]) + os.urandom(16) + b"".join(map(string, lists)) + bytes(5)

    def keys(self, host_key=None):
        """The whole exchange, and from then on everything is encrypted."""
        ours = self.kexinit()
        self.send(ours)
        theirs = self.receive()
        secret = X25519PrivateKey.generate()
        share = secret.public_key().public_bytes_raw()
        self.send(bytes([KEX_INIT]) + string(share))
        reply = self.receive()
        assert reply[0] == KEX_REPLY, reply[0]
        reply = Reader(reply[1:])
        blob, their_share, signature = reply.string(), reply.string(), reply.string()
        shared = mpint(secret.exchange(X25519PublicKey.from_public_bytes(their_share)))
        said = [self.VERSION, self.server_version, ours, theirs, blob, share, their_share]
        exchange = hashlib.sha256(b"".join(map(string, said)) + shared).digest()
        assert host_key in (None, blob), "another door's key"
        Ed25519PublicKey.from_public_bytes(blob[-32:]).verify(signature[-64:], exchange)
        assert self.receive() == bytes([NEWKEYS])
        self.send(bytes([NEWKEYS]))
        self.session_id = exchange

        def derive(letter, size):
            return hashlib.sha256(shared + exchange + letter + exchange).digest()[:size]

        def counter(start):
            fixed, count = start[:4], int.from_bytes(start[4:], "big")
            while True:
                yield fixed + count.to_bytes(8, "big")
                count = (count + 1) % (1 << 64)

        here, there = counter(derive(b"A", 12)), counter(derive(b"B", 12))
        to, back = AESGCM(derive(b"C", 32)), AESGCM(derive(b"D", 32))
        self.seal = lambda body, head: to.encrypt(next(here), body, head)
        self.open = lambda body, head: back.decrypt(next(there), body, head)

    def service(self):
        self.send(bytes([SERVICE_REQUEST]) + string("ssh-userauth"))
        assert self.receive()[0] == SERVICE_ACCEPT

    # Logging in.

    def answer(self, *payloads):
        """Sends; the number of the one message that comes back."""
        self.send(*payloads)
        return self.receive()[0]

    def offer(self, user, key, algorithm=None, blob=None):
        """Asks whether a key would do, without holding it."""
        body = b"\0" + string(algorithm or key.algorithm) + string(blob or key.blob)
        return self.answer(auth(user, "publickey", body))

    def signed(
        self,
        user,
        key,
        *,
        algorithm=None,
        blob=None,
        signed_user=None,
        session_id=None,
        made=None,
        labelled=None,
    ):
        """A request with a signature. What is signed, and how, can differ from what is said."""

        def body(user):
            named = string(algorithm or key.algorithm) + string(blob or key.blob)
            return auth(user, "publickey", b"\1" + named)

        data = string(session_id or self.session_id) + body(signed_user or user)
        return body(user) + string(key.sign(data, made, labelled))

    def prove(self, user, key, **bent):
        return self.answer(self.signed(user, key, **bent))

    # After the login.

    def pump(self):
        """Takes one message; what belongs to a channel is kept with it."""
        message = self.receive()
        number, body = message[0], Reader(message[1:])
        if number == CHANNEL_OPEN_CONFIRMATION:
            at = body.u32()
            assert self.channels[at] is None, f"channel {at} was opened twice"
            self.channels[at] = Channel(body.u32())
        elif CHANNEL_WINDOW_ADJUST <= number <= CHANNEL_FAILURE:
            at = body.u32()
            assert at < len(self.channels) and self.channels[at], f"message {number} for {at}"
            channel = self.channels[at]
            assert not channel.closed, f"message {number} after the channel's end"
            if number == CHANNEL_DATA:
                channel.out += body.string()
            elif number == CHANNEL_EXTENDED_DATA:
                assert body.u32() == 1
                channel.err += body.string()
            elif number == CHANNEL_REQUEST and body.string() == b"exit-status":
                assert body.take(1) == b"\0"
                channel.status = body.u32()
            elif number == CHANNEL_CLOSE:
                channel.closed = True
        return message

    def channel(self, kind="session", rest=b"", window=1 << 30):
        """Opens a channel; the reason, a number, if the server does not want it."""
        at = len(self.channels)
        self.channels.append(None)
        self.send(bytes([CHANNEL_OPEN]) + string(kind) + u32(at) + u32(window) + u32(32768) + rest)
        while True:
            message = self.pump()
            if message[0] in (CHANNEL_OPEN_CONFIRMATION, CHANNEL_OPEN_FAILURE):
                body = Reader(message[1:])
                number = body.u32()
                if message[0] == CHANNEL_OPEN_FAILURE and number < at:
                    # The library (russh 0.65.1) refuses twice what it does not know.
                    continue
                if message[0] == CHANNEL_OPEN_CONFIRMATION and number < at:
                    # One that waited for its turn.
                    continue
                assert number == at, number
                if message[0] == CHANNEL_OPEN_FAILURE:
                    return body.u32()
                return self.channels[at]

    def ask_for_channel(self):
        """Asks for a channel, and does not wait for the answer."""
        at = len(self.channels)
        self.channels.append(None)
        size = u32(1 << 30) + u32(32768)
        self.send(bytes([CHANNEL_OPEN]) + string("session") + u32(at) + size)
        return at

    def opened(self, at):
        """A channel that was asked for, as soon as it is open."""
        while self.channels[at] is None:
            self.pump()
        return self.channels[at]

    def ask(self, channel, kind, body=b""):
        """A request on a channel; whether the server granted it."""
        self.send(request(channel.number, kind, body))
        while True:
            number = self.pump()[0]
            if number in (CHANNEL_SUCCESS, CHANNEL_FAILURE):
                return number == CHANNEL_SUCCESS

    def wait(self, channel):
        """Until the server has closed the channel, which is then closed here too."""
        while not channel.closed:
            self.pump()
        self.send(bytes([CHANNEL_CLOSE]) + u32(channel.number))
        return channel

    def run(self, words):
        """`ssh ca WORDS` on a channel of its own."""
        channel = self.channel()
        assert isinstance(channel, Channel), f"no channel: {channel}"
        assert self.ask(channel, "exec", string(words))
        return self.wait(channel)

    def in_step(self):
        """Everything that was sent so far has been read: the server answers what comes after."""
        self.send(bytes([GLOBAL_REQUEST]) + string("are-you-there@story") + b"\1")
        while self.pump()[0] != REQUEST_FAILURE:
            pass


def auth(user, method, body=b""):
    """A request to log in."""
    return (
        bytes([USERAUTH_REQUEST]) + string(user) + string("ssh-connection") + string(method) + body
    )


def request(number, kind, body=b"", reply=True):
    """A request on the channel that the server knows by this number."""
    return bytes([CHANNEL_REQUEST]) + u32(number) + string(kind) + bytes([reply]) + body


# --- stories -----------------------------------------------------------------


class Place:
    """Where a story happens: the door, and the folder with everybody's keys."""

    def __init__(self, port, folder):
        self.port, self.folder, self.visits = port, pathlib.Path(folder), 0
        self.door = public_blob(self.folder / "ca/keys/ssh_host_ed25519.pub")

    def key(self, name):
        return Key(self.folder / name)

    def tcp(self, source="127.0.0.1"):
        """Connected, and nothing said yet."""
        self.visits += 1
        return Connection(self.port, source)

    def clear(self):
        """The versions are exchanged, nothing is encrypted yet."""
        connection = self.tcp()
        connection.versions()
        return connection

    def connect(self, service=True):
        """Encrypted, and nobody yet."""
        connection = self.clear()
        connection.keys(self.door)
        if service:
            connection.service()
        return connection

    def login(self, person, user="somebody"):
        """Logged in with a person's key."""
        connection = self.connect()
        assert connection.prove(user, self.key(person)) == USERAUTH_SUCCESS, person
        return connection


def tell(stories):
    """The command line of a file of stories: NAME PORT FOLDER. Says how many connections it took."""
    name, port, folder = sys.argv[1:]
    place = Place(int(port), folder)
    stories[name](place)
    print(place.visits)
