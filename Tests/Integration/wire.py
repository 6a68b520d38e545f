"""HTTP/1.1 on raw sockets, for tests that must see and send every byte.

What it is for: clients that send exactly the bytes they are given and tell a clean end of a message
from a cut one (RFC 9112 §8), and the reading half of the scripted backends. The parser is strict: a
message Weir emits that is not well-formed fails the test that reads it. What it does not do: TLS,
HTTP/2, connection reuse behind the caller's back.
"""

import os
import re
import select
import socket
import struct
import time

# Seconds; how long a test waits for anything before it is called a failure. Long, because a loopback that other
# tests flood loses segments, and a kernel that paces (BBR) then takes a connection for a line of 2 Mbit/s.
PATIENCE = float(os.environ.get("WEIR_PATIENCE", 60))

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")


class Ended(Exception):
    """The peer ended the connection before the message was complete."""

    def __init__(self, partial: bytes, reset: bool, message=None):
        super().__init__(f"{'reset' if reset else 'closed'} after {bytes(partial[:200])!r}")
        self.partial, self.reset, self.message = bytes(partial), reset, message


class Malformed(Exception):
    """The peer sent something that is not HTTP/1.1."""


class Fields(list):
    """Field lines in the order received, as (name, value) strings."""

    def all(self, name: str) -> list[str]:
        return [v for n, v in self if n.lower() == name.lower()]

    def get(self, name: str, default=None):
        values = self.all(name)
        return ", ".join(values) if values else default

    def __contains__(self, name) -> bool:
        return bool(self.all(name)) if isinstance(name, str) else super().__contains__(name)


class Message:
    """A request or response as it stood on the wire."""

    def __init__(self, start: str, fields: Fields):
        self.start, self.fields = start, fields
        self.body, self.trailers = b"", Fields()
        self.framing = "none"
        self.complete = False
        self.interim: list["Message"] = []
        self.last_chunk_sizes: list[int] = []

    # responses
    @property
    def status(self) -> int:
        return int(self.start.split(" ", 2)[1])

    # requests
    @property
    def method(self) -> str:
        return self.start.split(" ")[0]

    @property
    def target(self) -> str:
        return self.start.split(" ")[1]

    @property
    def version(self) -> str:
        parts = self.start.split(" ")
        return parts[0] if parts[0].startswith("HTTP/") else parts[-1]

    def get(self, name, default=None):
        return self.fields.get(name, default)

    def __contains__(self, name):
        return name in self.fields

    def __repr__(self):
        return f"<{self.start!r} {list(self.fields)} body={len(self.body)}B complete={self.complete}>"


def parse_head(head: bytes) -> Message:
    """Parse a complete head (with its final empty line); raise Malformed on any deviation."""
    if not head.endswith(b"\r\n\r\n"):
        raise Malformed(f"head does not end in an empty line: {head[-40:]!r}")
    lines = head[:-4].split(b"\r\n")
    fields = Fields()
    for line in lines:
        if b"\r" in line or b"\n" in line or b"\0" in line:
            raise Malformed(f"bare CR, LF or NUL in {line!r}")
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name):
            raise Malformed(f"field line {line!r}")
        fields.append((name.decode(), value.strip(b" \t").decode("latin-1")))
    return Message(lines[0].decode("latin-1"), fields)


class Stream:
    """A socket with a read buffer and conditions to wait for."""

    def __init__(self, sock: socket.socket):
        self.sock, self.buffer = sock, bytearray()
        self.finished = self.reset = False
        self.patience = PATIENCE
        self.piece = 65536  # most bytes taken in one read
        sock.settimeout(PATIENCE)

    # writing
    def send(self, data: bytes):
        self.sock.sendall(data)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def rst(self):
        """Close with a reset instead of a FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    # reading
    def fill(self, timeout: float = None) -> bool:
        """Read once; False at the end of the stream (self.reset says of which kind)."""
        if self.finished:
            return False
        self.sock.settimeout(self.patience if timeout is None else timeout)
        try:
            data = self.sock.recv(self.piece)
        except (ConnectionResetError, BrokenPipeError):
            self.finished = self.reset = True
            return False
        if not data:
            self.finished = True
            return False
        self.buffer += data
        return True

    def until(self, mark: bytes) -> bytes:
        start = 0
        while (at := self.buffer.find(mark, start)) < 0:
            start = max(0, len(self.buffer) - len(mark))
            if not self.fill():
                raise Ended(self.buffer, self.reset)
        return self.take(at + len(mark))

    def exactly(self, count: int) -> bytes:
        while len(self.buffer) < count:
            if not self.fill():
                raise Ended(self.buffer, self.reset)
        return self.take(count)

    def take(self, count: int) -> bytes:
        data = bytes(self.buffer[:count])
        del self.buffer[:count]
        return data

    def rest(self, timeout: float = None) -> bytes:
        """Everything up to the end of the stream."""
        deadline = time.monotonic() + (timeout or self.patience)
        try:
            while self.fill(timeout=max(0.01, deadline - time.monotonic())):
                pass
        except TimeoutError:
            raise AssertionError(f"the connection stays open, after {bytes(self.buffer[:200])!r}") from None
        return self.take(len(self.buffer))

    def readable(self, timeout: float = 0.0) -> bool:
        return bool(self.buffer) or bool(select.select([self.sock], [], [], timeout)[0])

    def ended(self, timeout: float = PATIENCE) -> bool:
        """Wait for the peer to end the connection with nothing further sent."""
        try:
            return not self.fill(timeout=timeout)
        except TimeoutError:
            return False

    # messages
    def head(self) -> Message:
        raw = self.until(b"\r\n\r\n")
        message = parse_head(raw)
        message.raw = raw
        return message

    def body(self, message: Message, sink=None):
        """Read the body that message.framing announces into message.body, or into sink(bytes)."""
        keep = sink or (lambda data: setattr(message, "body", message.body + data))
        try:
            if message.framing == "length":
                left = int(message.get("Content-Length"))
                while left:
                    if not self.buffer and not self.fill():
                        raise Ended(message.body, self.reset, message)
                    data = self.take(min(left, len(self.buffer)))
                    left -= len(data)
                    keep(data)
            elif message.framing == "chunked":
                while (size := self.chunk_size()) > 0:
                    keep(self.exactly(size))
                    if self.exactly(2) != b"\r\n":
                        raise Malformed("no CRLF after chunk data")
                block = b"x\r\n"
                while not block.endswith(b"\r\n\r\n") and block != b"x\r\n\r\n":
                    block += self.until(b"\r\n")
                message.trailers = parse_head(block).fields if block != b"x\r\n\r\n" else Fields()
            elif message.framing == "close":
                while self.buffer or self.fill():
                    keep(self.take(len(self.buffer)))
                if self.reset:
                    raise Ended(message.body, True, message)
        except Ended as end:
            raise Ended(message.body, end.reset, message) from None
        message.complete = True

    def chunk_size(self) -> int:
        line = self.until(b"\r\n")[:-2]
        size = line.partition(b";")[0]
        if not re.fullmatch(rb"[0-9A-Fa-f]+", size):
            raise Malformed(f"chunk size {line!r}")
        return int(size, 16)

    def request(self, continue_=True, sink=None) -> Message:
        """Read one request, answering Expect: 100-continue."""
        message = self.head()
        if not re.fullmatch(r"\S+ \S+ HTTP/1\.[01]", message.start):
            raise Malformed(message.start)
        lengths, codings = message.fields.all("Content-Length"), message.fields.all("Transfer-Encoding")
        if len(lengths) + len(codings) > 1 or (codings and codings[0].lower() != "chunked"):
            raise Malformed(f"ambiguous framing {message.fields}")
        message.framing = "chunked" if codings else "length" if lengths else "none"
        if continue_ and message.get("Expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.body(message, sink)
        return message

    def response(self, method="GET", sink=None, body=True) -> Message:
        """Read one final response; interim (1xx) ones are collected in .interim."""
        interim = []
        while True:
            message = self.head()
            if not re.fullmatch(r"HTTP/1\.[01] [1-9][0-9][0-9] .*", message.start):
                raise Malformed(message.start)
            if message.status // 100 != 1 or message.status == 101:
                break
            interim.append(message)
        message.interim = interim
        lengths, codings = message.fields.all("Content-Length"), message.fields.all("Transfer-Encoding")
        if len(lengths) > 1 or len(codings) > 1 or (lengths and codings):
            raise Malformed(f"ambiguous framing {message.fields}")
        if method == "HEAD" or message.status in (101, 204, 304):
            message.framing = "none"
        elif codings:
            if codings[0].lower() != "chunked":
                raise Malformed(f"Transfer-Encoding {codings}")
            message.framing = "chunked"
        else:
            message.framing = "length" if lengths else "close"
        if body:
            self.body(message, sink)
        return message


def connect(address, timeout: float = PATIENCE) -> Stream:
    """A client connection to (host, port) or the path of a Unix socket."""
    if isinstance(address, str):
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(timeout)
        sock.connect(address)
    else:
        sock = socket.create_connection(address, timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return Stream(sock)


def head_bytes(start: str, fields=(), host="a.example") -> bytes:
    lines = [start] + ([f"Host: {host}"] if host is not None else [])
    lines += [f"{n}: {v}" for n, v in (fields.items() if isinstance(fields, dict) else fields)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def get(address, target="/", fields=(), method="GET", body=b"", host="a.example", **more) -> Message:
    """One request on a fresh connection, its whole response, and the connection closed."""
    fields = list(fields.items() if isinstance(fields, dict) else fields)
    if body:
        fields.append(("Content-Length", str(len(body))))
    stream = connect(address)
    try:
        stream.send(head_bytes(f"{method} {target} HTTP/1.1", fields, host) + body)
        return stream.response(method, **more)
    finally:
        stream.close()


def eventually(condition, what="condition", timeout: float = PATIENCE, every: float = 0.01):
    """Wait until condition() is true and return its value."""
    deadline = time.monotonic() + timeout
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {timeout:g} s: {what}")
        time.sleep(every)
    return value


def datagrams(address, timeout=5.0, source=None) -> socket.socket:
    """A UDP socket that hears only this address."""
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
    if source:
        sock.bind(source)
    sock.settimeout(timeout)
    sock.connect(address)
    return sock
