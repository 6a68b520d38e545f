"""WebSocket over HTTP/1.1 (RFC 6455, RFC 9110 §7.8): what passes, when, and how it ends."""

import hashlib
import signal
import threading
import time

import pytest

import wswire
from backends import answer, hang, once
from harness import assert_made_by_weir, proxy_to
from wire import eventually, head_bytes
from wswire import BINARY, CLOSE, PING, PONG, TEXT, frame, read_frame

pytestmark = [pytest.mark.bytes]


@pytest.fixture
def weir(reused_weir):
    return reused_weir


def test_messages_of_all_sizes(weir, backend):
    w = weir(proxy_to(backend(wswire.echo)))
    stream = w.connect()
    wswire.opened(stream)
    for size in (0, 1, 125, 126, 127, 65_535, 65_536, 1_000_000):
        payload = b"x" * size
        stream.send(frame(BINARY, payload))
        assert read_frame(stream.exactly) == (True, 0, BINARY, payload)
    stream.send(frame(TEXT, b"hal", fin=False) + frame(0, b"lo"))
    assert read_frame(stream.exactly)[3] + read_frame(stream.exactly)[3] == b"hallo"


def test_frames_in_pieces_and_together(weir, backend):
    """Weir carries bytes: where frames begin and end in packets means nothing."""
    w = weir(proxy_to(backend(wswire.echo)))
    stream = w.connect()
    wswire.opened(stream)
    for byte in frame(TEXT, b"slowly") + frame(PING, b"p"):
        stream.send(bytes([byte]))
    assert read_frame(stream.exactly)[3] == b"slowly" and read_frame(stream.exactly)[2] == PONG
    stream.send(b"".join(frame(TEXT, b"%d" % n) for n in range(500)))
    assert [read_frame(stream.exactly)[3] for _ in range(500)] == [b"%d" % n for n in range(500)]


def test_frame_behind_the_request_waits_for_the_101(weir, backend):
    """Bytes sent with the handshake are not "upgraded" before the endpoint agreed: it must not see them before."""
    seen = []

    def script(c):
        message = c.request()
        time.sleep(0.2)  # long enough for early bytes to have come, if they were sent
        seen.append(c.readable())
        c.send(wswire.agree(message))
        seen.append(read_frame(c.exactly)[3])
        c.send(frame(TEXT, b"late", mask=False))
        c.wait_end()
    w = weir(proxy_to(backend(script)))
    stream = w.connect()
    stream.send(wswire.request() + frame(TEXT, b"early"))
    assert stream.response().status == 101
    assert read_frame(stream.exactly)[3] == b"late"
    assert seen == [False, b"early"]


@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden", "426 Upgrade Required", "503 Service Unavailable"])
def test_refused_upgrade_is_a_normal_response(weir, backend, status):
    """The endpoint says no: its response passes, and the connection serves the next request."""
    def script(c):
        while True:
            c.request()
            c.send(answer(b"no", status, [("X-Why", "because")]))
    w = weir(proxy_to(backend(script)))
    stream = w.connect()
    stream.send(wswire.request())
    response = stream.response()
    assert response.start.split(" ", 1)[1] == status and response.body == b"no" and response.get("X-Why") == "because"
    stream.send(head_bytes("GET /next HTTP/1.1"))
    assert stream.response().body == b"no"


def test_frame_behind_a_refused_request_is_never_sent_on(weir, backend):
    """After a 200 the bytes that follow are the next request, and a frame is no request."""
    b = backend(lambda c: [c.send(answer()) for _ in iter(c.request, None)])
    w = weir(proxy_to(b))
    stream = w.connect()
    stream.send(wswire.request() + frame(TEXT, b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"))
    assert stream.response().status == 200
    stream.rest()
    assert [r.target for r in b.requests] == ["/ws"]
    assert not b.malformed and not b.partial


def test_handshake_fields_reach_both_sides(weir, backend):
    def script(c):
        message = c.request()
        c.send(wswire.agree(message, [("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Extensions", "x-none")]))
        c.wait_end()
    b = backend(script)
    w = weir(proxy_to(b))
    stream = w.connect()
    response = wswire.opened(stream, fields=[("Sec-WebSocket-Protocol", "chat, other"), ("Origin", "http://a.example")])
    assert response.get("Sec-WebSocket-Protocol") == "chat"
    assert response.get("Upgrade").lower() == "websocket" and "upgrade" in response.get("Connection").lower()
    request = b.requests[0]
    assert request.get("Upgrade").lower() == "websocket" and "upgrade" in request.get("Connection").lower()
    assert request.get("Origin") == "http://a.example" and request.get("Sec-WebSocket-Protocol") == "chat, other"


@pytest.mark.parametrize("upgrades", [[], ["connect"]])
@pytest.mark.parametrize("others", ["ignore", "refuse"])
def test_route_that_allows_no_upgrade(weir, backend, upgrades, others):
    """The request is served as if it did not ask (RFC 9110 §7.8), or refused where the route says so."""
    b = backend()
    w = weir(proxy_to(b, route={"upgrades": upgrades, "other-upgrades": others}))
    stream = w.connect()
    stream.send(wswire.request())
    response = stream.response()
    if others == "ignore":
        assert response.status == 200 and "Upgrade" not in b.requests[0]
    else:
        assert response.status == 403 and not b.requests
        assert_made_by_weir(response, "upgrade-not-allowed")


@pytest.mark.parametrize("data", [
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket, h2c\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello"])
def test_wrong_101_of_the_endpoint(weir, backend, data):
    """Agreement to something else than what was asked for."""
    w = weir(proxy_to(backend(once(data, "hold"))))
    stream = w.connect()
    stream.send(wswire.request())
    response = stream.response()
    assert response.status in (101, 502)
    if response.status == 502:
        assert_made_by_weir(response, "upstream-")
    else:
        assert b"Content-Length: 5" in data, "only a superfluous length may be overlooked"


@pytest.mark.parametrize("fields", [[], [("Connection", "Upgrade"), ("Upgrade", "websocket")]],
                         ids=["not-asked", "not-passed-on"])
def test_101_without_a_question(weir, backend, fields):
    """What the client asked for and the route does not allow is no question either."""
    w = weir(proxy_to(backend(once(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nx", "hold")),
        route={"upgrades": [], "other-upgrades": "ignore"}))
    response = w.get("/", fields)
    assert response.status == 502
    assert_made_by_weir(response, "upstream-unsolicited-upgrade")


def test_only_the_idle_deadline_runs_after_101(weir, backend):
    """Deadlines for heads, bodies and the whole are over; silence of `upgraded` is what ends it."""
    w = weir(proxy_to(
        backend(wswire.echo), listener={"timeout": {"head": "300ms", "body": "300ms", "idle": "300ms"}},
        route={"timeout": {"head": "300ms", "idle": "300ms", "total": "400ms", "upgraded": "1500ms"}}))
    stream = w.connect()
    wswire.opened(stream)
    for _ in range(3):  # 1.8 s, with pauses longer than every deadline but the one
        time.sleep(0.6)
        stream.send(frame(PING, b"."))
        assert read_frame(stream.exactly)[2] == PONG
    begin = time.monotonic()
    stream.rest()
    assert 1 < time.monotonic() - begin < 5
    assert w.wait_reason("idle-timeout")


def test_bytes_of_either_side_keep_it_alive(weir, backend):
    def script(c):
        c.send(wswire.agree(c.request()))
        for _ in range(8):
            c.send(frame(PING, mask=False))
            if c.backend.release.wait(0.3):
                return
        c.wait_end()
    w = weir(proxy_to(backend(script), route={"timeout": {"upgraded": "1s"}}))
    stream = w.connect()
    wswire.opened(stream)
    for _ in range(8):
        assert read_frame(stream.exactly)[2] == PING
    stream.rest()


@pytest.mark.parametrize("how", ["close", "rst", "frame", "half"])
def test_client_leaves(weir, backend, how):
    b = backend(wswire.echo)
    w = weir(proxy_to(b))
    descriptors = w.descriptors()
    stream = w.connect()
    wswire.opened(stream)
    if how == "close":
        stream.close()
    elif how == "rst":
        stream.rst()
    elif how == "half":
        stream.half_close()
        assert stream.rest() == b""
    else:
        stream.send(wswire.close_frame(1001, b"bye"))
        assert read_frame(stream.exactly) == (True, 0, CLOSE, b"\x03\xe9bye")
        assert stream.rest() == b""
        assert b.connections[0].closing == b"\x03\xe9bye", "close frames pass as they are"
    eventually(lambda: b.connections[0].sock.fileno() < 0, "the endpoint sees the end")
    eventually(lambda: w.descriptors() <= descriptors + 1, "both descriptors are given back")


@pytest.mark.parametrize("how", ["close", "rst", "frame", "middle"])
def test_endpoint_leaves(weir, backend, how):
    def script(c):
        c.send(wswire.agree(c.request()))
        c.send(frame(TEXT, b"one", mask=False))
        c.backend.release.wait()
        if how == "frame":
            c.send(wswire.close_frame(1011, b"oops", mask=False))
        elif how == "middle":
            c.send(frame(BINARY, b"half", mask=False, length=100))
        elif how == "rst":
            c.rst()
    b = backend(script)
    w = weir(proxy_to(b))
    stream = w.connect()
    wswire.opened(stream)
    assert read_frame(stream.exactly)[3] == b"one"
    b.release.set()
    if how == "frame":
        assert read_frame(stream.exactly) == (True, 0, CLOSE, b"\x03\xf3oops")
    rest = stream.rest()
    assert rest in (b"", wswire.close_frame(1006, mask=False)) or how == "middle"


def test_end_before_the_101(weir, backend):
    w = weir(proxy_to(backend(lambda c: c.request())))
    stream = w.connect()
    stream.send(wswire.request())
    response = stream.response()
    assert response.status == 502
    assert_made_by_weir(response, "upstream-closed")


def test_endpoint_that_never_answers(weir, backend):
    """Before the 101 the deadline of heads runs as for any request."""
    w = weir(proxy_to(backend(hang), route={"timeout": {"head": "300ms"}}))
    stream = w.connect()
    stream.send(wswire.request())
    assert stream.response().status == 504


def test_drain_closes_with_1001(weir, backend):
    """SIGTERM: both ends of a quiet WebSocket get a close frame "going away", at a frame boundary."""
    b = backend(wswire.echo)
    w = weir(proxy_to(b))
    stream = w.connect()
    wswire.opened(stream)
    stream.send(frame(TEXT, b"before"))
    assert read_frame(stream.exactly)[3] == b"before"
    w.signal(signal.SIGTERM)
    fin, rsv, opcode, payload = read_frame(stream.exactly)
    assert opcode == CLOSE and payload[:2] == b"\x03\xe9", (opcode, payload)
    stream.send(wswire.close_frame(1001))
    stream.rest()
    assert w.wait_exit() == 0


def test_reload_leaves_open_ones_alone(weir, backend):
    config = proxy_to(backend(wswire.echo))
    w = weir(config)
    stream = w.connect()
    wswire.opened(stream)
    w.reload()
    stream.send(frame(TEXT, b"still"))
    assert read_frame(stream.exactly)[3] == b"still"


def test_one_record_when_it_is_over(weir, backend):
    w = weir(proxy_to(backend(wswire.echo)))
    stream = w.connect()
    wswire.opened(stream, target="/logged")
    stream.send(frame(BINARY, b"x" * 10_000))
    read_frame(stream.exactly)
    assert not [line for line in w.access_log() if line["target"] == "/logged"], "not before its end"
    stream.send(wswire.close_frame())
    stream.rest()
    line = w.wait_record(lambda line: line["target"] == "/logged")
    assert line["status"] == 101
    assert len([line for line in w.access_log() if line["target"] == "/logged"]) == 1


def test_megabytes_both_ways_at_once(weir, backend):
    """50 MB through an echo, sender and reader in parallel; memory stays bounded."""
    w = weir(proxy_to(backend(wswire.echo)))
    stream = w.connect()
    wswire.opened(stream)
    before = w.rss_kib()
    payload, count = bytes(range(256)) * 1024, 200
    sent, got = hashlib.blake2b(payload * count), hashlib.blake2b()
    data = frame(BINARY, payload)

    def push():
        for _ in range(count):
            stream.send(data)
    thread = threading.Thread(target=push, daemon=True)
    thread.start()
    for _ in range(count):
        got.update(read_frame(stream.exactly)[3])
    thread.join()
    assert got.digest() == sent.digest()
    assert w.rss_kib() - before < 16 * 1024


def test_reader_that_stops_holds_up_the_sender(weir, backend):
    """Back-pressure passes through: neither side's bytes collect in Weir."""
    pushed = []

    def script(c):
        c.send(wswire.agree(c.request()))
        data = frame(BINARY, b"x" * 65_000, mask=False)
        c.sock.settimeout(1)
        try:
            while len(pushed) < 5_000:
                c.sock.sendall(data)
                pushed.append(1)
        except OSError:
            pass
    w = weir(proxy_to(backend(script)))
    before = w.rss_kib()
    stream = w.connect()
    stream.send(wswire.request())
    assert stream.head().status == 101
    eventually(lambda: pushed, "the first frames")
    time.sleep(1.5)
    assert len(pushed) < 2_000 and w.rss_kib() - before < 16 * 1024


def test_many_at_once(weir, backend):
    w = weir(proxy_to(backend(wswire.echo)))
    streams = [w.connect() for _ in range(300)]
    for stream in streams:
        wswire.opened(stream)
    for n, stream in enumerate(streams):
        stream.send(frame(TEXT, b"%d" % n))
    for n, stream in enumerate(streams):
        assert read_frame(stream.exactly)[3] == b"%d" % n
    for stream in streams:
        stream.close()


@pytest.mark.parametrize("fields", [
    [("Upgrade", "websocket")],  # without Connection: upgrade
    [("Connection", "upgrade")],  # without Upgrade
])
def test_half_an_upgrade_is_a_plain_request(weir, backend, fields):
    b = backend()
    w = weir(proxy_to(b))
    stream = w.connect()
    stream.send(head_bytes("GET /plain HTTP/1.1", fields))
    assert stream.response().status in (200, 400)
    assert all(r.get("Upgrade") is None for r in b.requests)


def test_upgrade_in_http_1_0_is_ignored(weir, backend):
    b = backend()
    w = weir(proxy_to(b))
    stream = w.connect()
    stream.send(wswire.request().replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert stream.response().status in (200, 400)
    assert all(r.get("Upgrade") is None for r in b.requests)


def test_upgrade_with_a_body(weir, backend):
    """A POST with a body that asks for an upgrade: the body first, then, if agreed, the other protocol."""
    b = backend()
    w = weir(proxy_to(b))
    stream = w.connect()
    stream.send(head_bytes("POST /ws HTTP/1.1", [
        ("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Content-Length", "4")]) + b"body")
    response = stream.response()
    assert response.status in (200, 400, 403, 501)
    if response.status == 200:
        assert b.requests[0].body == b"body"


def test_tunnel_by_connect(weir, backend):
    """CONNECT where a route allows it: bytes both ways from the 200 on."""
    def script(c):
        c.send(b"welcome\n")
        while (line := c.until(b"\n")) != b"quit\n":
            c.send(line.upper())
    w = weir(proxy_to(backend(script), route={"upgrades": ["connect"]}))
    stream = w.connect()
    stream.send(b"CONNECT a.example:25 HTTP/1.1\r\nHost: a.example:25\r\n\r\n")
    assert stream.head().status == 200
    assert stream.until(b"\n") == b"welcome\n"
    stream.send(b"hello\n")
    assert stream.until(b"\n") == b"HELLO\n"
    stream.send(b"quit\n")
    assert stream.rest() == b""


@pytest.mark.parametrize("target", ["a.example:25", "other.example:25"])
def test_connect_is_no_open_proxy(weir, backend, target):
    """A tunnel leads to the route's service, whatever the client names; without permission to nowhere."""
    b = backend()
    w = weir(proxy_to(b))
    stream = w.connect()
    stream.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    response = stream.response()
    assert response.status == 501 and not b.connections
    assert_made_by_weir(response, "connect-not-allowed")
