"""WebSocket frames on any byte stream (RFC 6455), for tests that send what libraries refuse to.

What it is for: the opening handshake by hand, frames with any bit set, masked or not, and a strict
reader. What it does not do: fragmentation or pings behind the caller's back.
"""

import base64
import hashlib
import os
import struct

import wire

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(opcode, payload=b"", fin=True, mask=True, rsv=0, length=None) -> bytes:
    size = len(payload) if length is None else length
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if mask else 0
    if size < 126:
        head = struct.pack(">BB", first, bit | size)
    elif size < 65_536:
        head = struct.pack(">BBH", first, bit | 126, size)
    else:
        head = struct.pack(">BBQ", first, bit | 127, size)
    if not mask:
        return head + payload
    key = os.urandom(4)
    pad = (key * (len(payload) // 4 + 1))[:len(payload)]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(len(payload), "big")
    return head + key + masked


def close_frame(code=1000, reason=b"", mask=True) -> bytes:
    return frame(CLOSE, struct.pack(">H", code) + reason if code else b"", mask=mask)


def read_frame(exactly):
    """(fin, rsv, opcode, payload) of the next frame; `exactly(n)` gives n bytes."""
    first, second = exactly(2)
    size = second & 0x7F
    if size == 126:
        size = struct.unpack(">H", exactly(2))[0]
    elif size == 127:
        size = struct.unpack(">Q", exactly(8))[0]
    key = exactly(4) if second & 0x80 else None
    payload = exactly(size)
    if key:
        payload = bytes(b ^ key[n % 4] for n, b in enumerate(payload))
    return bool(first & 0x80), first >> 4 & 7, first & 15, payload


def accept_key(key: str) -> str:
    return base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()


def request(target="/ws", fields=(), host="a.example", key="dGhlIHNhbXBsZSBub25jZQ==") -> bytes:
    return wire.head_bytes(f"GET {target} HTTP/1.1", [
        ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", key), *fields], host)


def agree(message, fields=()) -> bytes:
    """The 101 to an opening handshake."""
    return wire.head_bytes("HTTP/1.1 101 Switching Protocols", [
        ("Connection", "Upgrade"), ("Upgrade", "websocket"),
        ("Sec-WebSocket-Accept", accept_key(message.get("Sec-WebSocket-Key"))), *fields], None)


def opened(stream, **options):
    """Open a WebSocket on a connection; the 101."""
    stream.send(request(**options))
    response = stream.response()
    assert response.status == 101, (response, response.body[:200])
    assert response.get("Sec-WebSocket-Accept") == accept_key("dGhlIHNhbXBsZSBub25jZQ==")
    return response


def echo(c):
    """A backend's script: agrees, echoes data frames and pings, answers a close frame and ends."""
    message = c.request()
    c.send(agree(message))
    c.opened = True
    echo_frames(c)


def echo_frames(c):
    """The same once the WebSocket is open."""
    while True:
        fin, rsv, opcode, payload = read_frame(c.exactly)
        if opcode == CLOSE:
            c.closing = payload
            c.send(frame(CLOSE, payload, mask=False))
            return
        c.send(frame(PONG if opcode == PING else opcode, payload, fin, mask=False))
