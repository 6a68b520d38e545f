"""Upstream connections: pools, retries and their budget, timeouts, balancing, killed backends."""

import collections
import signal
import socket
import struct
import threading

import pytest

import wire
from backends import (Blackhole, ProcessBackend, answer, closed_port, drop, fixed, hang, once, serve)
from harness import Load, assert_answers, assert_made_by_weir, proxy_to
from wire import Ended, eventually, head_bytes

pytestmark = [pytest.mark.threads, pytest.mark.bytes]


def test_connections_are_kept_and_shared(weir, backend):
    """Sequential clients use one upstream connection."""
    b = backend()
    w = weir(proxy_to(b, workers=1))
    for _ in range(10):
        assert w.get("/").status == 200
    assert len(b.connections) == 1
    assert all(line["reused"] == (n > 0) for n, line in enumerate(w.wait_records(10)))


def test_idle_connections_are_bounded(weir, backend):
    """No more idle connections than `connections.idle` are kept."""
    gate = threading.Event()
    def reply(request):
        if request.target == "/wait":
            gate.wait(10)
        return answer()
    b = backend(serve(reply))
    w = weir(proxy_to(b, workers=1, service={"connections": {"idle": 2}}))
    streams = [w.connect() for _ in range(6)]
    for stream in streams:
        stream.send(head_bytes("GET /wait HTTP/1.1"))
    b.wait_requests(6)
    gate.set()
    for stream in streams:
        assert stream.response().status == 200
    eventually(lambda: sum(c.end is None and c.sock.fileno() >= 0 for c in b.connections) == 2, "two stay open")


def test_connection_refused_goes_to_another_endpoint(weir, backend):
    b = backend()
    w = weir(proxy_to(closed_port(), b, service={"balance": "round-robin"}))
    for n in range(10):
        assert w.get("/", method="POST", body=b"hello").status == 200, "nothing was sent: any method may be repeated"
    assert any(line["attempts"] == 2 for line in w.wait_records(10))


def test_all_endpoints_refuse(weir):
    w = weir(proxy_to(closed_port(), closed_port()))
    response = w.get("/")
    assert response.status == 502
    assert_made_by_weir(response, "connect-refused")


def test_free_retry_when_a_kept_connection_was_closed(weir, backend):
    """The keep-alive race: the endpoint closes a kept connection as the next request comes."""
    def script(c):
        c.request()
        c.send(answer())
        c.request(continue_=False)  # read the next request, and close without a word
    b = backend(script)
    w = weir(proxy_to(b, workers=1, route={"retry": {"attempts": 1}}))
    stream = w.connect()
    for n in range(10):
        stream.send(head_bytes(f"GET /{n} HTTP/1.1"))
        assert stream.response().status == 200, "an idempotent request is repeated on a fresh connection"


def test_free_retry_does_not_take_another_kept_connection(weir, backend):
    """An endpoint that has gone away and come back has left every kept connection: one is found out, not all."""
    left = []
    gate = threading.Event()
    def script(c):
        request = c.request()
        if request.target == "/wait":
            gate.wait(wire.PATIENCE)
        c.send(answer())
        c.request(continue_=False)
        left.append(c.number)  # read the next request, and close without a word
    b = backend(script)
    w = weir(proxy_to(b, workers=1, route={"retry": {"attempts": 1}}, service=IDLE_FOR_EVER))
    streams = [w.connect() for _ in range(4)]
    for stream in streams:
        stream.send(head_bytes("GET /wait HTTP/1.1"))
    b.wait_requests(4)
    gate.set()
    assert all(stream.response().status == 200 for stream in streams)
    eventually(lambda: idle_connections(w) == 4, "all are kept")
    assert w.get("/after").status == 200
    assert len(left) == 1 and len(b.connections) == 5


def test_connection_the_endpoint_ends_is_not_kept(weir, backend):
    """`Connection: close` in a response, and an endpoint that is slow to do it: nothing is sent there again."""
    def script(c):
        while True:
            c.request()
            c.send(answer(fields=[("Connection", "close")]))
    b = backend(script)
    w = weir(proxy_to(b, workers=1, service=IDLE_FOR_EVER))
    for _ in range(3):
        assert w.get("/").status == 200
    assert [request.connection for request in b.requests] == [0, 1, 2]


def test_post_is_not_repeated_once_sent(weir, backend):
    """A POST that reached the endpoint may have been done: 502, never a second time."""
    def script(c):
        request = c.request()
        if request.method == "POST":
            return
        c.send(answer())
        c.request()
    b = backend(script)
    w = weir(proxy_to(b, workers=1, route={"retry": {"attempts": 3}}))
    assert w.get("/warm").status == 200
    response = w.get("/post", method="POST", body=b"x")
    assert response.status == 502
    assert_made_by_weir(response, "upstream-closed")
    assert len(b.saw("/post")) == 1


def test_get_is_repeated_on_reset(weir, backend):
    first = []
    def script(c):
        c.request()
        if not first:
            first.append(c)
            return c.rst()
        c.send(answer(b"second"))
        c.wait_end()
    w = weir(proxy_to(backend(script), route={"retry": {"attempts": 2, "on": ["connect", "reset"]}}))
    assert w.get("/").body == b"second"
    assert w.wait_records(1)[0]["attempts"] == 2


@pytest.mark.parametrize("status", [500, 503, 599])
def test_retry_on_status(weir, backend, status):
    """`on: [503]` repeats an idempotent request elsewhere; attempts bounds it."""
    good, bad = backend(fixed(answer(b"good"))), backend(fixed(answer(b"bad", f"{status} No")))
    w = weir(proxy_to(bad, good, service={"balance": "round-robin"}, route={"retry": {"attempts": 2, "on": [status]}}))
    assert {w.get("/").body for _ in range(6)} == {b"good"}
    only = weir(proxy_to(bad, route={"retry": {"attempts": 2, "on": [status]}}))
    response = only.get("/")
    assert response.status == status and response.body == b"bad", "the endpoint's own answer, when tries are spent"


def test_retry_budget_bounds_amplification(weir, backend):
    """An endpoint that fails everything gets no more than the budget on top of the requests."""
    b = backend(lambda c: c.request())
    w = weir(proxy_to(b, route={"retry": {"attempts": 5}},
                      service={"retry-budget": {"ratio": "10%", "floor": "1/s"}}))
    count = 300
    statuses = collections.Counter(w.get("/").status for _ in range(count))
    assert set(statuses) <= {502, 503}, statuses
    tries = len(b.requests)
    seconds = 1 + sum(line["total_us"] for line in w.wait_records(count)) / 1e6
    # 10 % of the requests, one per second for as long as the test ran (generously), and the burst.
    assert tries <= count * 1.1 + 11 + 2 * seconds + 10, f"{tries} tries for {count} requests"
    assert any(line["reason"] == "retry-budget-spent" for line in w.access_log()) or tries < count * 1.2


def test_a_changed_retry_budget_takes_effect(weir, backend):
    """The budget of a service that lives on follows a reload, and goes on with what it has counted."""
    b = backend(fixed(answer(b"no", "503 Service Unavailable")))
    config = lambda ratio: proxy_to(b, workers=1, route={"retry": {"on": [503]}},
                                    service={"retry-budget": {"ratio": ratio, "floor": "0/s"}})
    w = weir(config("0%"))
    listeners = w.config["listeners"]
    for _ in range(20):
        assert w.get("/").status == 503
    assert len(b.requests) == 20, "nothing is retried without a budget"
    w.reload({**config("100%"), "listeners": listeners})
    for _ in range(10):
        assert w.get("/").status == 503
    assert len(b.requests) == 20 + 2 * 10, "each is retried once"
    w.reload({**config("0%"), "listeners": listeners})
    assert w.get("/").status == 503
    assert len(b.requests) == 20 + 2 * 10 + 1


def test_large_body_is_not_held_for_retry(weir, backend):
    """Beyond `hold` a body streams and cannot be sent again; below it is."""
    b = backend(lambda c: c.request())
    good = backend()
    w = weir(proxy_to(b, good, workers=1, service={"balance": "round-robin"},
                      route={"retry": {"attempts": 2}, "hold": "64KiB"}))
    for n in range(4):
        assert w.get(f"/small/{n}", method="PUT", body=b"x" * 60_000).status == 200
    results = [w.get(f"/large/{n}", method="PUT", body=b"x" * 600_000).status for n in range(4)]
    assert sorted(results) == [200, 200, 502, 502]


def test_accepts_and_never_answers(weir, backend):
    b = backend(hang)
    w = weir(proxy_to(b, route={"timeout": {"head": "300ms"}}))
    response = w.get("/")
    assert response.status == 504
    assert_made_by_weir(response, "upstream-head-timeout")
    eventually(lambda: b.connections[0].end, "the attempt is cancelled at the backend")


def test_total_timeout(weir, backend):
    """A body that trickles for ever is progress; `timeout.total` is for those who ask."""
    def script(c):
        c.request()
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not c.backend.release.wait(0.02):
            c.send(b"1\r\nx\r\n")
    w = weir(proxy_to(backend(script), route={"timeout": {"total": "400ms"}}))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    with pytest.raises(Ended):
        stream.response()


def test_closes_at_once(weir, backend):
    w = weir(proxy_to(backend(drop)))
    response = w.get("/")
    assert response.status == 502
    assert "upstream-closed" in response.get("Proxy-Status") or "upstream-reset" in response.get("Proxy-Status")


def test_blackhole_connect(weir, backend):
    with Blackhole() as hole:
        w = weir(proxy_to(hole, service={"timeout": {"connect": "300ms"}}))
        response = w.get("/")
        assert response.status == 504
        assert_made_by_weir(response, "connect-timeout")
        b = backend()
        both = weir(proxy_to(hole, b, service={"timeout": {"connect": "300ms"}, "balance": "round-robin"}))
        assert {both.get("/").status for _ in range(4)} == {200}


def test_unroutable_endpoint(weir):
    w = weir(proxy_to("255.255.255.255:9"))
    response = w.get("/")
    assert response.status == 502
    assert_made_by_weir(response, "connect-failed")


def test_kill_9_mid_response(weir):
    with ProcessBackend() as b:
        w = weir(proxy_to(b))
        stream = w.connect()
        stream.send(head_bytes("GET /half HTTP/1.1"))
        response = stream.response(body=False)
        stream.exactly(100)
        b.kill()
        with pytest.raises(Ended):
            stream.body(response)
        assert w.wait_records(1)[0]["reason"] in ("upstream-closed-mid-body", "upstream-reset")
        assert w.get("/").status == 502, "Weir lives on and says what is wrong"


IDLE_FOR_EVER = {"connections": {"idle-timeout": "10m"}}


def idle_connections(w):
    return w.metric("weir_endpoint_idle_connections")


@pytest.mark.parametrize("end", ["bytes", "close"])
def test_kept_connection_that_speaks_or_ends_is_not_used_again(weir, backend, end):
    """What comes on an idle connection belongs to no request, least of all to the next (response splitting)."""
    told = threading.Event()
    def script(c):
        while True:
            request = c.request()
            c.send(answer(request.target.encode()))
            if c.number == 0:
                told.wait(wire.PATIENCE)
                if end == "close":
                    return
                c.send(answer(b"nobody asked"))
    b = backend(script)
    w = weir(proxy_to(b, workers=1, service=IDLE_FOR_EVER))
    assert w.get("/first").body == b"/first"
    eventually(lambda: idle_connections(w) == 1, "the connection is kept")
    told.set()
    eventually(lambda: idle_connections(w) == 0, "it is closed for what came, not for its age")
    assert w.get("/second").body == b"/second" and len(b.connections) == 2


def test_kept_connection_is_asked_before_a_request_that_cannot_be_repeated(weir, backend):
    """A POST and the end of the connection it would have gone to, both there when the worker looks."""
    going = threading.Event()
    def script(c):
        c.request()
        c.send(answer())
        if c.number % 2 == 0:
            going.wait(wire.PATIENCE)  # and leaves
        else:
            c.request()
            c.send(answer(b"posted"))
    b = backend(script)
    w = weir(proxy_to(b, workers=1, service=IDLE_FOR_EVER))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    assert stream.response().status == 200
    eventually(lambda: idle_connections(w) == 1, "the connection is kept")
    w.signal(signal.SIGSTOP)
    try:
        eventually(lambda: stopped(w.pid), "no worker runs")
        # In this order: the worker hears of the request first.
        stream.send(head_bytes("POST / HTTP/1.1", [("Content-Length", 1)]) + b"x")
        going.set()
        eventually(lambda: b.connections[0].sock.fileno() < 0, "the endpoint has closed it")
    finally:
        w.signal(signal.SIGCONT)
    assert stream.response().status == 200
    assert len(b.connections) == 2 and b.requests[-1].connection == 1


def stopped(pid):
    with open(f"/proc/{pid}/status") as status:
        return "\nState:\tT" in status.read()


def test_kill_9_between_requests(weir):
    """Kept connections to a killed process are noticed; its successor is used at once."""
    first = ProcessBackend()
    w = weir(proxy_to(first))
    streams = [w.connect() for _ in range(4)]
    for stream in streams:
        stream.send(head_bytes("GET / HTTP/1.1"))
        assert stream.response().body == b"alive"
    first.kill()
    # On a busy loopback (other tests flood it) the kernel can lose a FIN and send it again 200 ms later.
    eventually(lambda: w.metric("weir_endpoint_idle_connections") == 0, "the kept connections are closed")
    with ProcessBackend(port=first.port):
        for stream in streams:
            stream.send(head_bytes("POST / HTTP/1.1", [("Content-Length", 0)]))
            assert stream.response().body == b"alive", "a FIN is noticed before the connection is used again"


def test_kill_9_under_load(weir, backend):
    """With another endpoint alive, idempotent requests that had not begun to be answered succeed."""
    steady = backend(fixed(answer(b"alive")))
    with ProcessBackend() as victim:
        w = weir(proxy_to(victim, steady, service={"retry-budget": {"ratio": "100%", "floor": "1000/s"}}))
        with Load(w.address) as load:
            load.wait_done(300)
            victim.kill()
            load.wait_done(300)
        assert not load.failures, load.failures[:3]


# Balancing

def counted(weir, backends, count, balance, weights=None, **options):
    endpoints = [{"address": b.endpoint, "weight": weight} for b, weight in zip(backends, weights or [1] * 9)]
    w = weir(proxy_to(*endpoints, workers=1, service={"balance": balance}, **options))
    for n in range(count):
        assert w.get("/").status == 200
    return [len(b.requests) for b in backends]


def test_weighted_round_robin_is_exact(weir, backend):
    assert counted(weir, [backend(), backend(), backend()], 120, "round-robin", [1, 2, 3]) == [20, 40, 60]


def test_random_follows_weights(weir, backend):
    """400 draws with weights 1:3; bounds of more than six standard deviations."""
    one, three = counted(weir, [backend(), backend()], 400, "random", [1, 3])
    assert 45 <= one <= 155 and one + three == 400


def test_least_request_avoids_the_busy_endpoint(weir, backend):
    busy = backend(serve(lambda r: b"" if busy.release.wait(20) else b""))
    idle = backend()
    w = weir(proxy_to(busy, idle, workers=1, service={"balance": "least-request"}))
    waiting = []
    while not busy.requests:
        stream = w.connect()
        stream.send(head_bytes("GET /wait HTTP/1.1"))
        waiting.append(stream)
        eventually(lambda: len(busy.requests) + len(idle.requests) >= len(waiting), "the request is somewhere")
    before = len(busy.requests)
    for _ in range(30):
        assert w.get("/").status == 200
    assert len(busy.requests) == before, "every draw of two endpoints sees the busy one"


def test_connection_maximum(weir, backend):
    """`connections.max`: further requests wait for or are refused a connection, never exceed it."""
    b = backend(hang)
    w = weir(proxy_to(b, workers=1, service={"connections": {"max": 2}}, route={"timeout": {"head": "2s"}}))
    streams = [w.connect() for _ in range(5)]
    for stream in streams:
        stream.send(head_bytes("GET / HTTP/1.1"))
    statuses = [stream.response().status for stream in streams]
    assert set(statuses) <= {503, 504} and len(b.connections) <= 4, (statuses, len(b.connections))
    assert max(concurrent(b)) <= 2


def test_connection_maximum_is_reached_and_not_passed(weir, backend):
    b = backend(hang)
    w = weir(proxy_to(b, workers=1, service={"connections": {"max": 2}}))
    streams = [w.connect() for _ in range(2)]
    for stream in streams:
        stream.send(head_bytes("GET / HTTP/1.1"))
    b.wait_requests(2)
    assert_made_by_weir(w.get("/"), "connection-limit")
    assert len(b.connections) == 2


def concurrent(b):
    """Connections open at the same time can only be bounded from the backend's list."""
    return [sum(1 for c in b.connections if c.end is None)] or [0]
