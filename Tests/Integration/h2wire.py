"""HTTP/2 frame by frame, for tests that must send what no library would and see every frame.

What it is for: clients and fake origins that send exactly the frames they are given (RFC 9113) and
check everything that comes back: the first frame, frame sizes, flow-control windows, the order of
pseudo-header fields, forbidden fields. What the peer does against the standard collects in
`violations`, which tests assert to be empty. Field blocks are written by the literal encoder below,
which can say anything (RFC 7541 §6.2.2), and read with the hpack library. What it does not do:
retries, priorities, anything behind the caller's back except acknowledging SETTINGS and PING.
"""

import re
import select
import socket
import ssl
import struct
import time

import hpack

import wire
from wire import Fields

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
TYPES = {"DATA": 0, "HEADERS": 1, "PRIORITY": 2, "RST_STREAM": 3, "SETTINGS": 4, "PUSH_PROMISE": 5, "PING": 6,
         "GOAWAY": 7, "WINDOW_UPDATE": 8, "CONTINUATION": 9, "PRIORITY_UPDATE": 16}
NAMES = {number: name for name, number in TYPES.items()}
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 32
SETTINGS = {"HEADER_TABLE_SIZE": 1, "ENABLE_PUSH": 2, "MAX_CONCURRENT_STREAMS": 3, "INITIAL_WINDOW_SIZE": 4,
            "MAX_FRAME_SIZE": 5, "MAX_HEADER_LIST_SIZE": 6, "ENABLE_CONNECT_PROTOCOL": 8, "NO_RFC7540_PRIORITIES": 9}
CODES = {"NO_ERROR": 0, "PROTOCOL_ERROR": 1, "INTERNAL_ERROR": 2, "FLOW_CONTROL_ERROR": 3, "SETTINGS_TIMEOUT": 4,
         "STREAM_CLOSED": 5, "FRAME_SIZE_ERROR": 6, "REFUSED_STREAM": 7, "CANCEL": 8, "COMPRESSION_ERROR": 9,
         "CONNECT_ERROR": 10, "ENHANCE_YOUR_CALM": 11, "INADEQUATE_SECURITY": 12, "HTTP_1_1_REQUIRED": 13}
CODE_NAMES = {number: name for name, number in CODES.items()}
FORBIDDEN = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
WINDOW = 65_535


def frame(kind, flags=0, stream=0, payload=b"", length=None) -> bytes:
    """The bytes of one frame; `length` may lie, and the reserved bit may be part of `stream`."""
    kind = TYPES.get(kind, kind)
    return struct.pack(">I", len(payload) if length is None else length)[1:] \
        + struct.pack(">BBI", kind, flags, stream) + payload


def settings(ack=False, **values) -> bytes:
    payload = b"".join(struct.pack(">HI", SETTINGS[name], value) for name, value in values.items())
    return frame("SETTINGS", ACK if ack else 0, 0, payload)


def window_update(stream, increment) -> bytes:
    return frame("WINDOW_UPDATE", 0, stream, struct.pack(">I", increment))


def integer(value, prefix, first=0) -> bytes:
    """An integer of RFC 7541 §5.1 with `prefix` bits, the other bits from `first`."""
    limit = (1 << prefix) - 1
    if value < limit:
        return bytes([first | value])
    out, value = bytearray([first | limit]), value - limit
    while value >= 128:
        out.append(value % 128 | 128)
        value //= 128
    out.append(value)
    return bytes(out)


def literal(name, value) -> bytes:
    """A field line: literal, not indexed, name and value plain (RFC 7541 §6.2.2)."""
    name, value = (v.encode("latin-1") if isinstance(v, str) else v for v in (name, value))
    return b"\0" + integer(len(name), 7) + name + integer(len(value), 7) + value


def block(fields) -> bytes:
    return b"".join(literal(name, value) for name, value in fields)


def pseudo(method="GET", path="/", authority="a.example", scheme="http"):
    fields = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
    return [(name, value) for name, value in fields if value is not None]


def padded(payload, pad):
    return payload if pad is None else bytes([pad]) + payload + b"\0" * pad


def headers(stream, fields, end_stream=True, end_headers=True, pad=None, flags=0, priority=None) -> bytes:
    """One HEADERS frame. `fields` are pairs or the bytes of a field block; `priority` 5 bytes."""
    payload = (priority or b"") + (fields if isinstance(fields, bytes) else block(fields))
    flags |= (END_STREAM if end_stream else 0) | (END_HEADERS if end_headers else 0)
    flags |= (PADDED if pad is not None else 0) | (PRIORITY if priority else 0)
    return frame("HEADERS", flags, stream, padded(payload, pad))


def data(stream, payload=b"", end_stream=False, pad=None) -> bytes:
    flags = (END_STREAM if end_stream else 0) | (PADDED if pad is not None else 0)
    return frame("DATA", flags, stream, padded(payload, pad))


class Frame:
    def __init__(self, kind, flags, stream, payload):
        self.kind, self.flags, self.stream, self.payload = kind, flags, stream, payload

    def __repr__(self):
        return f"{NAMES.get(self.kind, self.kind)}(stream {self.stream}, flags {self.flags:#x}, {self.payload[:40]!r})"


class StreamState:
    """What came back on one stream."""

    def __init__(self, number, window):
        self.number, self.window = number, window  # window: what the peer may still send us
        self.heads: list[Fields] = []
        self.body, self.sizes = bytearray(), []
        self.count = 0
        self.ended, self.reset = False, None
        self.sink = None

    @property
    def interim(self):
        return [h for h in self.heads if h.get(":status", "").startswith("1")]

    @property
    def head(self):
        """The final response's fields (or the request's, at an origin); None before they came."""
        for fields in self.heads:
            if not fields.get(":status", "").startswith("1"):
                return fields
        return None

    @property
    def trailers(self):
        at = len(self.interim) + 1
        return self.heads[at] if len(self.heads) > at else Fields()

    @property
    def status(self):
        return int(self.head.get(":status")) if self.head is not None else None

    @property
    def over(self):
        return self.ended or self.reset is not None

    def get(self, name, default=None):
        return self.head.get(name, default)

    def __repr__(self):
        return f"stream {self.number}: {self.heads} {bytes(self.body[:80])!r} ended={self.ended} reset={self.reset}"


class Session:
    """One HTTP/2 connection, client side or (server=True) origin side, on a connected socket.

    With auto=True SETTINGS and PING are acknowledged; with credit=True what DATA used of our windows
    is given back at once, so that bodies of any size arrive.
    """

    def __init__(self, sock, server=False, preface=True, auto=True, credit=True, window=None, **values):
        self.sock, self.server, self.auto, self.credit = sock, server, auto, credit
        sock.settimeout(wire.PATIENCE)
        self.buffer = bytearray()
        self.decoder = hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 26
        self.frames: list[Frame] = []
        self.streams: dict[int, StreamState] = {}
        self.peer: dict[int, int] = {}  # the peer's settings by number
        self.acks, self.pings, self.violations = 0, [], []
        self.goaway = None  # (last stream, code, debug data)
        self.closed = self.was_reset = False
        self.got_settings = False
        # What the peer may send on a stream: the standard's window until it has acknowledged ours (§6.9.2).
        self.initial_window, self.asked_window = WINDOW, values.get("INITIAL_WINDOW_SIZE", WINDOW)
        self.max_frame = values.get("MAX_FRAME_SIZE", 16_384)
        self.window = WINDOW  # what the peer may still send us on the connection
        self.send_window, self.send_windows = WINDOW, {}
        self.collecting = None
        self.corked = None  # what waits to be said by ourselves while a test is in the middle of a frame
        self.next = 2 if server else 1
        if preface:
            first = (b"" if server else PREFACE) + settings(**values)
            if window:
                first += window_update(0, window - WINDOW)
                self.window = window
            self.send(first)

    # writing
    def send(self, data: bytes) -> bool:
        """Send; False when the peer has gone (what it said before can still be read)."""
        try:
            self.sock.sendall(data)
            return True
        except (OSError, ssl.SSLError):
            return False

    def say(self, data: bytes):
        """Send a whole frame, but never inside another one that goes out in pieces."""
        if self.corked is None:
            self.send(data)
        else:
            self.corked += data

    def request(self, path="/", fields=(), method="GET", body=None, authority="a.example", scheme="http",
                end_stream=None, trailers=None) -> StreamState:
        """Open a stream with one request; the body is sent within the peer's windows."""
        number, self.next = self.next, self.next + 2
        state = self.stream(number)
        last = body is None and trailers is None if end_stream is None else end_stream
        self.send(headers(number, pseudo(method, path, authority, scheme) + list(fields), last))
        if body is not None:
            self.send_body(number, body, trailers is None and end_stream is None)
        if trailers is not None:
            self.send(headers(number, list(trailers)))
        return state

    def send_body(self, number, body, end_stream=True):
        size = self.peer.get(SETTINGS["MAX_FRAME_SIZE"], 16_384)
        if not body and end_stream:
            self.send(data(number, b"", True))
        at = 0
        while at < len(body):
            room = min(size, len(body) - at, self.send_window, self.window_to(number))
            if room <= 0:
                if self.stream(number).over or not self.step():
                    return
                continue
            self.send_window -= room
            self.send_windows[number] = self.window_to(number) - room
            self.send(data(number, body[at:at + room], end_stream and at + room == len(body)))
            at += room
            while self.pending():
                if not self.step():
                    return

    def window_to(self, number):
        return self.send_windows.setdefault(number, self.peer.get(SETTINGS["INITIAL_WINDOW_SIZE"], WINDOW))

    def fetch(self, path="/", **options) -> StreamState:
        """One request and its whole response."""
        state = self.request(path, **options)
        self.until(lambda: state.over or self.goaway, f"a response to {path}")
        return state

    def ping(self, payload=b"weirping", timeout=None) -> bool:
        """Whether the connection is alive: a PING comes back."""
        before = self.pings.count(payload)
        self.send(frame("PING", 0, 0, payload))
        return self.until(lambda: self.pings.count(payload) > before, None, timeout)

    # reading
    def stream(self, number) -> StreamState:
        if number not in self.streams:
            self.streams[number] = StreamState(number, self.initial_window)
        return self.streams[number]

    def pending(self) -> bool:
        """Whether a step would not block."""
        if self.closed:
            return False
        if len(self.buffer) >= 9 and len(self.buffer) >= 9 + int.from_bytes(self.buffer[:3], "big"):
            return True
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return True
        return self.sock.fileno() >= 0 and bool(select.select([self.sock], [], [], 0)[0])

    def fill(self, count, timeout) -> bool:
        while len(self.buffer) < count:
            self.sock.settimeout(max(0.001, timeout))
            try:
                piece = self.sock.recv(262_144)
            except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
                self.closed = self.was_reset = True
                return False
            except (ssl.SSLWantReadError, TimeoutError):
                raise TimeoutError from None
            finally:
                self.sock.settimeout(wire.PATIENCE)
            if not piece:
                self.closed = True
                return False
            self.buffer += piece
        return True

    def step(self, timeout=wire.PATIENCE) -> bool:
        """Read and account for one frame; False at the end of the connection."""
        if not self.fill(9, timeout):
            return False
        length = int.from_bytes(self.buffer[:3], "big")
        if self.server and not self.frames and self.buffer.startswith(b"PRI * HT"):
            if not self.fill(len(PREFACE), timeout):
                return False
            if self.buffer[:len(PREFACE)] != PREFACE:
                self.wrong(f"preface {bytes(self.buffer[:24])!r}")
            del self.buffer[:len(PREFACE)]
            return self.step(timeout)
        if length > self.max_frame and not self.frames:
            raise wire.Malformed(f"not HTTP/2: {bytes(self.buffer[:200])!r}")
        if not self.fill(9 + length, timeout):
            return False
        kind, flags, number = struct.unpack(">BBI", self.buffer[3:9])
        got = Frame(kind, flags, number, bytes(self.buffer[9:9 + length]))
        del self.buffer[:9 + length]
        self.account(got)
        self.frames.append(got)
        return True

    def until(self, condition, what="condition", timeout=None) -> bool:
        """Read until condition() holds; without `what` answer False instead of failing."""
        deadline = time.monotonic() + (wire.PATIENCE if timeout is None else timeout)
        while not condition():
            left = deadline - time.monotonic()
            try:
                if left <= 0:
                    raise TimeoutError
                if not self.step(left):
                    if condition():
                        return True
                    if what is None:
                        return False
                    raise wire.Ended(bytes(self.buffer), self.was_reset, None)
            except TimeoutError:
                if what is None:
                    return False
                raise AssertionError(f"not within {wire.PATIENCE:g} s: {what}; got {self.frames[-8:]}") from None
        return True

    def until_closed(self, timeout=None) -> bool:
        return self.until(lambda: self.closed, None, timeout) or self.closed

    def drain(self):
        """Read what is there already."""
        while self.pending() and self.step():
            pass

    def wrong(self, what):
        self.violations.append(what)

    def account(self, got: Frame):
        payload, number = got.payload, got.stream
        if not self.got_settings:
            self.got_settings = True
            if got.kind != TYPES["SETTINGS"] or got.flags & ACK:
                self.wrong(f"the first frame is {got}")
        if len(payload) > self.max_frame:
            self.wrong(f"frame of {len(payload)} bytes")
        if self.collecting and (got.kind != TYPES["CONTINUATION"] or number != self.collecting[0]):
            self.wrong(f"{got} inside a field block")
        if got.kind == TYPES["DATA"]:
            self.account_data(got)
        elif got.kind == TYPES["HEADERS"]:
            if got.flags & PADDED:
                payload = payload[1:len(payload) - payload[0]]
            if got.flags & PRIORITY:
                payload = payload[5:]
            self.collecting = (number, bytearray(payload), bool(got.flags & END_STREAM))
        elif got.kind == TYPES["CONTINUATION"] and self.collecting:
            self.collecting[1].extend(payload)
        elif got.kind == TYPES["RST_STREAM"]:
            state = self.stream(number)
            state.reset = CODE_NAMES.get(struct.unpack(">I", payload)[0], payload)
        elif got.kind == TYPES["SETTINGS"]:
            self.account_settings(got)
        elif got.kind == TYPES["PUSH_PROMISE"]:
            self.wrong("a PUSH_PROMISE")
        elif got.kind == TYPES["PING"]:
            if got.flags & ACK:
                self.pings.append(payload)
            elif self.auto:
                self.say(frame("PING", ACK, 0, payload))
        elif got.kind == TYPES["GOAWAY"]:
            last, code = struct.unpack(">II", payload[:8])
            self.goaway = (last, CODE_NAMES.get(code, code), payload[8:])
        elif got.kind == TYPES["WINDOW_UPDATE"]:
            increment = struct.unpack(">I", payload)[0]
            if not 0 < increment < 1 << 31:
                self.wrong(f"WINDOW_UPDATE by {increment}")
            if number == 0:
                self.send_window += increment
            else:
                self.send_windows[number] = self.window_to(number) + increment
        if got.kind in (TYPES["HEADERS"], TYPES["CONTINUATION"]) and got.flags & END_HEADERS and self.collecting:
            self.account_head()

    def account_data(self, got: Frame):
        state, payload, used = self.stream(got.stream), got.payload, len(got.payload)
        if got.flags & PADDED:
            payload = payload[1:used - payload[0]]
        state.window -= used
        self.window -= used
        if state.window < 0 or self.window < 0:
            self.wrong(f"DATA beyond the window of stream {got.stream}: {state.window}, connection {self.window}")
        if state.ended:
            self.wrong(f"DATA behind the end of stream {got.stream}")
        if state.head is None:
            self.wrong(f"DATA before a head on stream {got.stream}")
        state.sizes.append(used)
        state.count += len(payload)
        if state.sink:
            state.sink(payload)
        else:
            state.body += payload
        state.ended |= bool(got.flags & END_STREAM)
        if self.credit and used:
            self.give(0, used)
            if not state.ended:
                self.give(got.stream, used)

    def give(self, number, increment):
        """Widen a window of ours: what the peer may send."""
        if number == 0:
            self.window += increment
        else:
            self.stream(number).window += increment
        self.say(window_update(number, increment))

    def account_settings(self, got: Frame):
        if got.stream or len(got.payload) % 6:
            self.wrong(f"{got}")
        if got.flags & ACK:
            self.acks += 1
            if self.acks == 1:
                for state in self.streams.values():
                    state.window += self.asked_window - self.initial_window
                self.initial_window = self.asked_window
            return
        old = self.peer.get(SETTINGS["INITIAL_WINDOW_SIZE"], WINDOW)
        for at in range(0, len(got.payload), 6):
            key, value = struct.unpack(">HI", got.payload[at:at + 6])
            self.peer[key] = value
        change = self.peer.get(SETTINGS["INITIAL_WINDOW_SIZE"], WINDOW) - old
        self.send_windows = {number: window + change for number, window in self.send_windows.items()}
        if self.auto:
            self.say(settings(ack=True))

    def account_head(self):
        number, raw, last = self.collecting
        self.collecting = None
        try:
            pairs = self.decoder.decode(bytes(raw), raw=True)
        except hpack.HPACKError as error:
            raise wire.Malformed(f"field block of stream {number}: {error!r}") from None
        fields = Fields((n.decode("latin-1"), v.decode("latin-1")) for n, v in pairs)
        state = self.stream(number)
        self.check_fields(fields, state)
        if state.ended:
            self.wrong(f"HEADERS behind the end of stream {number}")
        state.heads.append(fields)
        state.ended |= last

    def check_fields(self, fields, state):
        regular = False
        first = [n for n, _ in fields if n.startswith(":")]
        for name, value in fields:
            if name.startswith(":"):
                if regular:
                    self.wrong(f"{name} behind regular fields")
            else:
                regular = True
                if not wire.TOKEN.match(name.encode("latin-1")) or name != name.lower():
                    self.wrong(f"field name {name!r}")
            if name in FORBIDDEN or (name == "te" and value != "trailers"):
                self.wrong(f"connection-specific field {name}: {value}")
            if re.search(r"[\0\r\n]", value) or value != value.strip(" \t"):
                self.wrong(f"value of {name}: {value!r}")
        if state.head is not None:
            if first:
                self.wrong(f"pseudo-header fields in trailers: {fields}")
        elif self.server:
            wanted = {":method", ":scheme", ":path"}
            if fields.get(":method") == "CONNECT" and ":protocol" not in fields:
                wanted = {":method", ":authority"}
            if not wanted <= set(first) or len(set(first)) != len(first) \
                    or not set(first) <= {":method", ":scheme", ":path", ":authority", ":protocol"}:
                self.wrong(f"request pseudo-header fields {first}")
            if ":authority" not in first and "host" not in fields:
                self.wrong("neither :authority nor host")
        elif first != [":status"]:
            self.wrong(f"response pseudo-header fields {first}")

    def close(self):
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def dial(address, timeout=wire.PATIENCE):
    sock = socket.create_connection(address, timeout)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def connect(address, tls=None, server_name="a.example", **options) -> Session:
    """A client session by prior knowledge, or over TLS with the given context (RFC 9113 §3)."""
    sock = dial(address)
    if tls:
        sock = tls.wrap_socket(sock, server_hostname=server_name)
        assert sock.selected_alpn_protocol() == "h2", sock.selected_alpn_protocol()
    return Session(sock, **options)
