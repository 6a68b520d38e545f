"""Weir's own Pings on WebSockets (RFC 6455 §5.5.2): who gets them, where they stand, what silence means.

They go to a client that has been silent, between two frames of the endpoint; the answer stays in Weir, and
nothing else does. Each case watches both ends frame by frame.
"""

import asyncio
import socket
import ssl
import subprocess
import threading
import time

import pytest
import websockets

import certs
import h2wire
import harness
import wire
import wswire
from harness import proxy_to
from test_clients import Tunnel
from wire import eventually
from wswire import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame, read_frame

PINGS = {"ping": "200ms"}


def config(backend, timeout=None, listener=None, **pings):
    return proxy_to(backend, route={"websocket": {**PINGS, **pings}, "timeout": timeout or {}}, listener=listener)


def recorder(c):
    """An endpoint that remembers every frame it is sent, answers texts with themselves, and pings as little as asked."""
    message = c.request()
    c.send(wswire.agree(message))
    c.seen = []
    while True:
        fin, rsv, opcode, payload = read_frame(c.exactly)
        c.seen.append((opcode, payload))
        if opcode == TEXT:
            c.send(frame(TEXT, payload, mask=False))


def opened(w):
    stream = w.connect()
    wswire.opened(stream)
    return stream


def pinged(exactly):
    """The next frame is one of Weir's Pings; its payload."""
    fin, rsv, opcode, payload = read_frame(exactly)
    assert (fin, rsv, opcode) == (True, 0, PING) and payload.startswith(b"weir") and len(payload) == 8, (opcode, payload)
    return payload


def test_answers_do_not_reach_the_endpoint(weir, backend):
    b = backend(recorder)
    stream = opened(weir(config(b)))
    first = pinged(stream.exactly)
    stream.send(frame(PONG, first))
    assert pinged(stream.exactly) == first
    stream.send(frame(PONG, first) + frame(TEXT, b"behind"))
    assert read_frame(stream.exactly)[2:] == (TEXT, b"behind")
    assert b.connections[0].seen == [(TEXT, b"behind")]


def test_answer_in_pieces(weir, backend):
    """Held back as long as it may be one, and not longer."""
    b = backend(recorder)
    stream = opened(weir(config(b)))
    answer = frame(PONG, pinged(stream.exactly))
    for byte in frame(TEXT, b"1") + answer + frame(TEXT, b"2") + answer[:9]:
        stream.send(bytes([byte]))
        time.sleep(0.002)
    assert read_frame(stream.exactly)[3] == b"1" and read_frame(stream.exactly)[3] == b"2"
    stream.send(answer[9:] + frame(TEXT, b"3"))
    assert read_frame(stream.exactly)[3] == b"3"
    assert [payload for _, payload in b.connections[0].seen] == [b"1", b"2", b"3"]


def test_other_pongs_pass(weir, backend):
    """Unasked ones, those of the endpoint's own Pings, and what only looks like an answer."""
    b = backend(recorder)
    stream = opened(weir(config(b)))
    ours = pinged(stream.exactly)
    other = ours[:7] + bytes([ours[7] ^ 1])
    sent = [(PONG, b""), (PONG, other), (PONG, ours[:7]), (PONG, ours + b"x"), (PING, ours), (BINARY, frame(PONG, ours))]
    stream.send(b"".join(frame(opcode, payload) for opcode, payload in sent) + frame(TEXT, b"end"))
    assert read_frame(stream.exactly)[3] == b"end"
    assert b.connections[0].seen == [*sent, (TEXT, b"end")]


def test_pings_of_the_endpoint_are_its_own(weir, backend):
    def script(c):
        c.send(wswire.agree(c.request()) + frame(PING, b"theirs", mask=False))
        c.pong = read_frame(c.exactly)[2:]
        c.wait_end()
    b = backend(script)
    stream = opened(weir(config(b)))
    assert read_frame(stream.exactly)[2:] == (PING, b"theirs")
    stream.send(frame(PONG, b"theirs"))
    eventually(lambda: getattr(b.connections[0], "pong", None) == (PONG, b"theirs"), "the endpoint's answer")


def test_off_unless_asked_for(weir, backend):
    w = weir(proxy_to(backend(recorder)))
    stream = opened(w)
    assert not stream.readable(0.8)
    stream.send(frame(PONG, b"weirabcd") + frame(TEXT, b"x"))
    assert read_frame(stream.exactly)[3] == b"x"


def test_silence_ends_the_connection(weir, backend):
    b = backend(recorder)
    w = weir(config(b, **{"pong-timeout": "300ms"}))
    stream = opened(w)
    pinged(stream.exactly)
    stream.rest()
    assert w.wait_reason("pong-timeout")["status"] == 101
    eventually(lambda: b.connections[0].sock.fileno() < 0, "the endpoint sees the end")


def test_anything_is_an_answer(weir, backend):
    """The Pong may be late or never come, as long as there is something else to be heard."""
    stream = opened(weir(config(backend(recorder), **{"pong-timeout": "2s"})))
    for n in range(3):
        pinged(stream.exactly)
        stream.send(frame(TEXT, b"%d" % n))
        assert read_frame(stream.exactly)[3] == b"%d" % n


def test_never_inside_a_frame(weir, backend):
    """The endpoint stops in the middle of a frame for longer than the silence allowed: the Ping stands behind it."""
    def script(c):
        c.send(wswire.agree(c.request()))
        whole = frame(BINARY, b"z" * 1000, mask=False)
        c.send(whole[:3])
        c.backend.release.wait(0.7)
        c.send(whole[3:500])
        c.backend.release.wait(0.7)
        c.send(whole[500:] + frame(TEXT, b"next", mask=False))
        c.wait_end()
    stream = opened(weir(config(backend(script))))
    assert read_frame(stream.exactly) == (True, 0, BINARY, b"z" * 1000)
    seen = [read_frame(stream.exactly), read_frame(stream.exactly)]
    assert sorted(opcode for _, _, opcode, _ in seen) == [TEXT, PING]


def test_between_the_pieces_of_a_message(weir, backend):
    """A control frame may stand inside a fragmented message (§5.4)."""
    def script(c):
        c.send(wswire.agree(c.request()) + frame(TEXT, b"hal", fin=False, mask=False))
        c.backend.release.wait()
        c.send(frame(CONT, b"lo", mask=False))
        c.wait_end()
    b = backend(script)
    stream = opened(weir(config(b)))
    assert read_frame(stream.exactly) == (False, 0, TEXT, b"hal")
    stream.send(frame(PONG, pinged(stream.exactly)))
    b.release.set()
    while (got := read_frame(stream.exactly))[2] == PING:
        pass
    assert got == (True, 0, CONT, b"lo")


def test_among_frames_that_never_stop(weir, backend):
    """An endpoint that always has more: a place is found where one of its frames ends."""
    def script(c):
        c.send(wswire.agree(c.request()))
        data = frame(BINARY, bytes(range(256)) * 300, mask=False)
        while not c.backend.release.is_set():
            c.send(data)
    b = backend(script)
    stream = opened(weir(config(b)))
    pings, end = 0, time.monotonic() + wire.PATIENCE
    while pings < 3 and time.monotonic() < end:
        fin, rsv, opcode, payload = read_frame(stream.exactly)
        if opcode == PING:
            pings += 1
            stream.send(frame(PONG, payload))
        else:
            assert (fin, rsv, opcode, len(payload)) == (True, 0, BINARY, 256 * 300)
    b.release.set()
    assert pings == 3


def test_no_ping_behind_a_close_frame(weir, backend):
    def script(c):
        c.send(wswire.agree(c.request()) + wswire.close_frame(1000, mask=False))
        c.backend.release.wait(1)
    stream = opened(weir(config(backend(script))))
    assert read_frame(stream.exactly)[2] == CLOSE
    assert stream.rest() == b""


def test_no_ping_behind_the_clients_close_frame(weir, backend):
    """It need not answer any more (§5.5.2): what is left is the endpoint's to say."""
    def script(c):
        c.send(wswire.agree(c.request()))
        code = read_frame(c.exactly)[3]
        c.backend.release.wait(1)
        c.send(frame(CLOSE, code, mask=False))
    w = weir(config(backend(script), **{"pong-timeout": "200ms"}))
    stream = opened(w)
    stream.send(wswire.close_frame(1000))
    assert read_frame(stream.exactly)[2] == CLOSE
    assert stream.rest() == b""
    assert not w.wait_record(lambda line: line["status"] == 101).get("reason")


def test_pings_do_not_keep_a_silent_connection(weir, backend):
    """`timeout.upgraded` is about what the two sides say to each other."""
    w = weir(config(backend(recorder), timeout={"upgraded": "1s"}))
    stream = opened(w)
    try:
        while True:
            stream.send(frame(PONG, pinged(stream.exactly)))
    except Exception:
        pass
    assert w.wait_reason("idle-timeout")


def test_endpoint_that_takes_nothing_makes_no_client_silent(weir, backend):
    """While Weir does not read the client, its answers cannot be heard."""
    def script(c):
        c.send(wswire.agree(c.request()))
        c.backend.release.wait()
        c.count = 0
        while c.count < 300:
            read_frame(c.exactly)
            c.count += 1
        c.send(frame(TEXT, b"all", mask=False))
        c.wait_end()
    b = backend(script)
    w = weir(config(b, **{"pong-timeout": "1s"}))
    stream = opened(w)
    data = frame(BINARY, b"x" * 65_000)
    sender = threading.Thread(target=lambda: [stream.send(data) for _ in range(300)], daemon=True)
    sender.start()
    time.sleep(2.5)  # longer than that
    assert sender.is_alive(), "19 MB do not fit anywhere"
    b.release.set()
    sender.join(wire.PATIENCE)
    # From here on nothing but an answer shows that the client is alive.
    while (got := read_frame(stream.exactly))[2] == PING:
        stream.send(frame(PONG, got[3]))
    assert got[3] == b"all"
    assert not [line for line in w.access_log() if line.get("reason") == "pong-timeout"]


def test_slow_reader_on_its_way_to_the_ping(weir, backend):
    """Megabytes stand before the Ping: a client that works through them is not taken for dead."""
    def script(c):
        c.send(wswire.agree(c.request()))
        for _ in range(60):
            c.send(frame(BINARY, b"x" * 65_000, mask=False))
        c.wait_end()
    w = weir(config(backend(script), **{"pong-timeout": "2s"}))
    stream = opened(w)
    # What its kernel has taken is taken, for Weir: that must be less than it reads within the timeout.
    stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
    count = 0
    while count < 60:
        fin, rsv, opcode, payload = read_frame(stream.exactly)
        if opcode == PING:
            stream.send(frame(PONG, payload))
        else:
            count += 1
            time.sleep(0.08)
    stream.send(frame(PONG, pinged(stream.exactly)))
    pinged(stream.exactly)


def test_over_http2(weir, backend):
    b = backend(recorder)
    w = weir(config(b, **{"pong-timeout": "2s"}))
    with h2wire.connect(w.address) as s:
        one, other = Tunnel(s), Tunnel(s)
        payload = pinged(one.exactly)
        assert pinged(other.exactly) != payload, "each has its own"
        one.send(frame(PONG, payload) + frame(TEXT, b"hello"))
        while (got := read_frame(one.exactly))[2] == PING:
            one.send(frame(PONG, got[3]))
        assert got[3] == b"hello"
        s.until(lambda: other.state.reset or other.state.over, "the silent one is cut off")
        assert s.ping() and not s.violations, "and nothing else"
    assert w.wait_reason("pong-timeout")
    assert [(TEXT, b"hello")] in [c.seen for c in b.connections if hasattr(c, "seen")]


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("compression", [None, "deflate"])
def test_websockets_library_on_both_sides(weir, tmp_path, secure, compression):
    """Compressed or not, in the clear or not: messages arrive, and the server is never shown a Pong."""
    pongs = []

    class Watching(websockets.WebSocketServerProtocol):
        async def read_frame(self, max_size):
            got = await super().read_frame(max_size)
            if int(got.opcode) == PONG:
                pongs.append(bytes(got.data))
            return got

    async def echo(ws):
        async for message in ws:
            await ws.send(message)

    async def talk():
        async with websockets.serve(echo, "127.0.0.1", 0, compression=compression, ping_interval=None,
                                    create_protocol=Watching) as server:
            listener, context = None, None
            if secure:
                ca = certs.CA(tmp_path)
                site = ca.issue("localhost", "127.0.0.1")
                listener = {"tls": {"certificates": [site.pair]}}
                context = ssl.create_default_context(cafile=ca.path)
            w = weir(config("127.0.0.1:%d" % server.sockets[0].getsockname()[1], listener=listener,
                            **{"pong-timeout": "5s"}))
            url = f"{'wss' if secure else 'ws'}://{w.address[0]}:{w.address[1]}/ws"
            async with websockets.connect(url, ssl=context, compression=compression, ping_interval=None) as ws:
                for n in range(6):
                    text = f"message {n} " * 2_000
                    await ws.send(text)
                    assert await asyncio.wait_for(ws.recv(), 20) == text
                    await asyncio.sleep(0.3)
            return w

    w = asyncio.run(talk())
    assert pongs == []
    line = w.wait_record(lambda line: line["target"] == "/ws")
    assert line["status"] == 101 and not line.get("reason")


def test_counted_and_listed(weir, backend):
    w = weir(proxy_to(backend(wswire.echo)))
    assert not [name for name, _ in w.metrics() if name == "weir_websockets_open"], "nothing of routes that have none"
    streams = [opened(w) for _ in range(3)]
    with h2wire.connect(w.address) as s:
        tunnel = Tunnel(s)
        assert tunnel.state.status == 200
        assert w.metric("weir_websockets_open") == 4 and w.metric("weir_websockets_total") == 4
        table = subprocess.run([harness.BINARY, "status", "--admin", "%s:%d" % w.admin], capture_output=True, text=True)
        assert any(line.split()[-2:] == ["4", "4"] for line in table.stdout.splitlines()), table
    for stream in streams:
        stream.close()
    eventually(lambda: w.metric("weir_websockets_open") == 0, "all are gone")
    assert w.metric("weir_websockets_total") == 4
