"""WebSocket at the level of frames: no case may go worse through Weir than direct (RFC 6455).

The cases follow the order of the Autobahn testsuite (which itself needs Python 2): framing, pings,
reserved bits, opcodes, fragmentation, UTF-8, closing, limits, compression. Each runs against the echo
server below, direct and through Weir over HTTP/1.1 and HTTP/2; the transcripts (every
frame that came back, the close code, how the connection ended) must be the same.
"""

import struct
import threading
import zlib

import pytest
from wsproto import ConnectionType, WSConnection, events
from wsproto.extensions import PerMessageDeflate
from wsproto.utilities import LocalProtocolError

import h2wire
import wire
import wswire
from backends import Backend
from harness import proxy_to
from test_clients import Tunnel
from wswire import BINARY, CLOSE, CONT, PING, PONG, TEXT, close_frame, frame

pytestmark = [pytest.mark.bytes]


@pytest.fixture
def weir(reused_weir):
    return reused_weir

CASES = {}


def case(name, *pieces, chop=0, extensions=None):
    """A case: what is sent, in writes of `chop` bytes (0: each piece at once)."""
    assert name not in CASES, name
    CASES[name] = (pieces, chop, extensions)


def build():
    end = close_frame(1000)
    for opcode, kind in ((TEXT, "text"), (BINARY, "binary")):
        for size in (0, 1, 125, 126, 127, 128, 65_535, 65_536, 65_537):
            for chop in (0, 997) if size > 1000 else (0, 1):
                case(f"1-{kind}-{size}-chop-{chop}", frame(opcode, b"*" * size), end, chop=chop)
        case(f"1-{kind}-long-form-of-length", b"%c\xfe\x00\x05" % (0x80 | opcode) + b"\0\0\0\0hello", end)
    for name, payload in (("empty", b""), ("text", b"hello"), ("binary", b"\0\xff\xfe"), ("125", b"x" * 125),
                          ("126", b"x" * 126)):
        case(f"2-ping-{name}", frame(PING, payload), end)
        case(f"2-pong-unasked-{name}", frame(PONG, payload), frame(PING, b"after"), end)
        case(f"2-ping-{name}-by-bytes", frame(PING, payload), end, chop=1)
    case("2-ten-pings", *[frame(PING, b"%d" % n) for n in range(10)], end)
    for rsv in range(1, 8):
        case(f"3-reserved-bits-{rsv}-text", frame(TEXT, b"x", rsv=rsv))
        case(f"3-reserved-bits-{rsv}-ping", frame(TEXT, b"first"), frame(PING, b"x", rsv=rsv))
        case(f"3-reserved-bits-{rsv}-close", frame(CLOSE, b"\x03\xe8", rsv=rsv))
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        case(f"4-opcode-{opcode}", frame(opcode, b""))
        case(f"4-opcode-{opcode}-behind-text", frame(TEXT, b"first"), frame(opcode, b"x"), frame(PING, b""))
    for opcode in (PING, PONG, CLOSE):
        case(f"5-fragmented-control-{opcode}", frame(opcode, b"", fin=False), frame(CONT, b"x"))
    for chop in (0, 1):
        case(f"5-two-pieces-chop-{chop}", frame(TEXT, b"one", fin=False), frame(CONT, b"two"), end, chop=chop)
        case(f"5-ping-between-chop-{chop}", frame(TEXT, b"one", fin=False), frame(PING, b"p"), frame(CONT, b"two"), end,
             chop=chop)
    case("5-hundred-pieces", frame(BINARY, b"0", fin=False), *[frame(CONT, b"x", fin=False) for _ in range(100)],
         frame(CONT, b""), end)
    case("5-empty-pieces", frame(TEXT, b"", fin=False), frame(CONT, b"", fin=False), frame(CONT, b""), end)
    case("5-continuation-of-nothing", frame(CONT, b"x"), frame(TEXT, b"y"))
    case("5-continuation-of-nothing-unfinished", frame(CONT, b"x", fin=False), frame(TEXT, b"y"))
    case("5-text-inside-message", frame(TEXT, b"one", fin=False), frame(TEXT, b"two"))
    case("5-never-finished", frame(TEXT, b"one", fin=False), end)
    case("5-data-behind-close", end, frame(TEXT, b"late"))
    good = {"ascii": b"hello", "accents": "äöüß€".encode(), "four-bytes": "😀𝒳".encode(), "zero": b"\0",
            "largest": "\U0010ffff".encode(), "bom": b"\xef\xbb\xbfx", "noncharacter": "\ufffe".encode()}
    bad = {"overlong": b"\xc0\xaf", "overlong-3": b"\xe0\x80\xaf", "surrogate": b"\xed\xa0\x80",
           "too-large": b"\xf4\x90\x80\x80", "cut": b"abc\xe2\x82", "lonely": b"\x80", "never": b"\xff\xfe"}
    for name, payload in good.items():
        case(f"6-utf8-{name}", frame(TEXT, payload), end)
        half = len(payload) // 2
        case(f"6-utf8-{name}-in-two", frame(TEXT, payload[:half], fin=False), frame(CONT, payload[half:]), end)
    for name, payload in bad.items():
        case(f"6-not-utf8-{name}", frame(TEXT, payload))
        case(f"6-not-utf8-{name}-in-two", frame(TEXT, b"ok" + payload[:1], fin=False), frame(CONT, payload[1:]))
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999):
        case(f"7-close-{code}", close_frame(code, b"reason"))
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535):
        case(f"7-close-forbidden-{code}", frame(CLOSE, struct.pack(">H", code)))
    case("7-close-empty", frame(CLOSE))
    case("7-close-of-one-byte", frame(CLOSE, b"\x03"))
    case("7-close-reason-of-123", close_frame(1000, b"r" * 123))
    case("7-close-reason-of-124", frame(CLOSE, b"\x03\xe8" + b"r" * 124))
    case("7-close-reason-not-utf8", close_frame(1000, b"\xff"))
    case("7-close-twice", end, end)
    case("7-ping-behind-close", end, frame(PING, b"x"))
    case("8-not-masked", frame(TEXT, b"x", mask=False))
    case("8-length-lies", b"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\0\0\0\0x")
    case("9-message-of-1-mib", frame(BINARY, bytes(range(256)) * 4096), end)
    case("9-message-of-1-mib-in-pieces", frame(BINARY, b"x" * 4096, fin=False),
         *[frame(CONT, b"x" * 4096, fin=False) for _ in range(254)], frame(CONT, b"x" * 4096), end)
    case("9-message-of-4-mib", frame(BINARY, b"x" * (4 << 20)), end)
    case("10-five-hundred-messages", *[frame(TEXT, b"message %d" % n) for n in range(500)], end)
    deflate = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    for name, payload in (("short", b"Hello"), ("empty", b""), ("long", b"compress me " * 5_000)):
        packer = zlib.compressobj(wbits=-15)
        packed = packer.compress(payload) + packer.flush(zlib.Z_SYNC_FLUSH)
        case(f"12-deflate-{name}", frame(TEXT, packed[:-4], rsv=4), end, extensions=deflate)
        case(f"12-deflate-{name}-in-two", frame(TEXT, packed[:2], fin=False, rsv=4), frame(CONT, packed[2:-4]), end,
             extensions=deflate)
    case("12-deflate-garbage", frame(TEXT, b"\xff\xff\xff\xff", rsv=4), extensions=deflate)
    case("12-deflate-bit-on-continuation", frame(TEXT, b"x", fin=False), frame(CONT, b"y", rsv=4), extensions=deflate)
    case("12-deflate-not-used", frame(TEXT, b"plain"), end, extensions=deflate)


build()


def script(c):
    """An echo server on wsproto, which checks everything and answers in the order of what came."""
    ws, parts = WSConnection(ConnectionType.SERVER), []
    while data := c.sock.recv(65_536):
        ws.receive_data(data)
        for event in ws.events():
            if isinstance(event, events.Request):
                offered = [PerMessageDeflate()] if event.extensions else []
                c.send(ws.send(events.AcceptConnection(extensions=offered)))
            elif isinstance(event, events.Message):
                parts.append(event.data)
                if event.message_finished:
                    whole = parts[0][:0].join(parts)
                    c.send(ws.send(events.Message(data=whole)))
                    parts.clear()
            elif isinstance(event, events.Ping):
                c.send(ws.send(event.response()))
            elif isinstance(event, events.CloseConnection):
                try:
                    c.send(ws.send(event.response()))
                except LocalProtocolError:
                    pass  # a code that must not be sent back
                c.half_close()
                return c.wait_end()


@pytest.fixture(scope="module")
def echo():
    with Backend(script) as server:
        server.address = (server.host, server.port)
        yield server


@pytest.fixture(scope="module")
def site(shared_weir, echo):
    return shared_weir(proxy_to(echo))


def transcript(stream, pieces, chop):
    """Send the pieces and read to the end: the frames, with the fragments of messages put together."""
    def push():
        try:
            for piece in pieces:
                for at in range(0, len(piece), chop or len(piece) or 1):
                    stream.send(piece[at:at + (chop or len(piece))])
        except OSError:
            pass
    thread = threading.Thread(target=push, daemon=True)
    thread.start()
    got, partial = [], b""
    try:
        while True:
            fin, rsv, opcode, payload = wswire.read_frame(stream.exactly)
            if opcode < 8 and not fin or opcode == CONT:
                partial += payload
                if fin:
                    got.append(("message", partial))
                    partial = b""
                continue
            got.append((rsv, opcode, payload[:2] if opcode == CLOSE else payload))
            if opcode == CLOSE:
                break
    except (wire.Ended, AssertionError):
        pass
    thread.join(10)
    return got


def over_h1(address, pieces, chop, extensions):
    stream = wire.connect(address)
    try:
        wswire.opened(stream, fields=[("Sec-WebSocket-Extensions", extensions)] if extensions else [])
        return transcript(stream, pieces, chop)
    finally:
        stream.close()


def over_h2(address, pieces, chop, extensions):
    with h2wire.connect(address, window=1 << 24, INITIAL_WINDOW_SIZE=1 << 22) as s:
        tunnel = Tunnel(s, [("sec-websocket-extensions", extensions)] if extensions else [])
        assert tunnel.state.status == 200
        # One thread both sends and reads: an h2 session is not to be shared.
        for piece in pieces:
            for at in range(0, len(piece), chop or len(piece) or 1):
                tunnel.send(piece[at:at + (chop or len(piece))])
        got = transcript(tunnel, (), 0)
        assert not s.violations
        return got


@pytest.mark.harness_only
def test_there_are_enough_cases():
    assert len(CASES) >= 180


@pytest.mark.parametrize("name", CASES)
def test_case(echo, site, name):
    direct = over_h1(echo.address, *CASES[name])
    assert over_h1(site.address, *CASES[name]) == direct
    if CASES[name][1] != 1:
        assert over_h2(site.address, *CASES[name]) == direct
