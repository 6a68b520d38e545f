"""What Weir must survive: floods, slow clients, no descriptors, reloads and stops under load."""

import copy
import os
import resource
import signal
import subprocess
import threading
import time

import pytest

import certs
import wire
from backends import answer, fixed, hang, serve
from harness import BINARY, FULL, Load, assert_answers, assert_made_by_weir, listening_ports, merge, proxy_to
from ports import free_port
from wire import Ended, eventually, head_bytes

pytestmark = [pytest.mark.threads, pytest.mark.bytes]


# Clients that misbehave

def test_10000_connections_abandoned(weir, backend):
    """10,000 clients connect, most say nothing or half a head, all leave without a word."""
    count = 10_000
    w = weir(proxy_to(backend()))
    assert_answers(w)
    descriptors, memory = w.descriptors(), w.rss_kib()
    streams = []
    for n in range(count):
        stream = w.connect()
        if n % 4 == 1:
            stream.send(b"GET / HTTP/1.1\r\nHost: a.exa")
        elif n % 4 == 2:
            stream.send(b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 10\r\n\r\nabc")
        streams.append(stream)
    eventually(lambda: w.descriptors() > descriptors + count - 8, "all are accepted")
    assert_answers(w)
    growth = w.rss_kib() - memory
    assert growth < 100 * 1024, f"{growth} KiB for {count} connections"
    for n, stream in enumerate(streams):
        stream.rst() if n % 2 else stream.close()
    eventually(lambda: w.descriptors() <= descriptors + 8, "every descriptor is given back")
    assert_answers(w)


@pytest.mark.parametrize("manner", ["silent", "trickle"])
def test_slow_head_is_cut(weir, backend, manner):
    """The deadline is for the whole head: a byte now and then does not extend it."""
    w = weir(proxy_to(backend(), listener={"timeout": {"head": "500ms"}}))
    stream = w.connect()
    stream.send(b"GET / HTTP/1.1\r\nHost: a.example\r\nX-A: ")
    deadline = time.monotonic() + wire.PATIENCE
    while not stream.readable(0.05):
        assert time.monotonic() < deadline
        if manner == "trickle":
            stream.send(b"a")
    response = stream.response()
    assert response.status == 408
    assert_made_by_weir(response, "request-head-timeout")
    stream.rest()
    assert_answers(w)


def test_silent_connection_is_closed_without_an_answer(weir, backend):
    w = weir(proxy_to(backend(), listener={"timeout": {"head": "300ms"}}))
    assert w.connect().rest() == b""


def test_idle_kept_connection_is_closed_without_an_answer(weir, backend):
    w = weir(proxy_to(backend(), listener={"timeout": {"idle": "300ms"}}))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    assert stream.response().status == 200
    assert stream.rest() == b""


@pytest.mark.parametrize("size", [1000, 1_000_000])
def test_slow_body_is_cut(weir, backend, size):
    w = weir(proxy_to(backend(), listener={"timeout": {"body": "400ms"}}))
    stream = w.connect()
    stream.send(head_bytes("POST / HTTP/1.1", [("Content-Length", size)]) + b"x" * (size // 2))
    response = stream.response()
    assert response.status == 408
    assert_made_by_weir(response, "request-body-timeout")
    stream.rest()
    assert_answers(w)


def test_trickling_body_is_cut_by_the_minimum_rate(weir, backend):
    """Bytes keep coming, so no idle timeout strikes; the average rate is what is too low (after 10 s)."""
    w = weir(proxy_to(backend(), listener={"min-body-rate": "10KiB/s"}))
    slow, fair = w.connect(), w.connect()
    for stream in (slow, fair):
        stream.send(head_bytes("POST / HTTP/1.1", [("Content-Length", 100_000_000)]))
    deadline = time.monotonic() + 30
    while not slow.readable(0.05):
        assert time.monotonic() < deadline, "a trickle of a hundred bytes a second went on"
        slow.send(b"x" * 5)
        fair.send(b"x" * 5_000)
    response = slow.response()
    assert response.status == 408
    assert_made_by_weir(response, "request-body-timeout")
    assert not fair.readable(0.5), "the faster one goes on"


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    ca = certs.CA(tmp_path_factory.mktemp("pki"))
    ca.server = ca.issue("a.example")
    return ca


# What moves the body: a pipe in the kernel, our own memory, or TLS.
BODIES = {
    "length": ("Content-Length: 30000000\r\n\r\n", 30_000_000),
    "chunked": ("Transfer-Encoding: chunked\r\n\r\n", None),
    "until-close": ("Connection: close\r\n\r\n", None),
}


@pytest.mark.parametrize("scheme", ["plain", "tls"])
@pytest.mark.parametrize("body", BODIES)
def test_client_that_does_not_read_is_cut(weir, backend, pki, body, scheme):
    head, size = BODIES[body]

    def script(c):
        c.request()
        c.send(b"HTTP/1.1 200 OK\r\n" + head.encode())
        piece = bytes(100_000)
        while True:  # until Weir leaves
            c.send(b"%x\r\n%s\r\n" % (len(piece), piece) if body == "chunked" else piece)
    secure = {"tls": {"certificates": [pki.server.pair]}} if scheme == "tls" else {}
    b = backend(script)
    w = weir(proxy_to(b, listener={"timeout": {"write": "500ms"}, **secure}))
    stream = w.connect()
    if secure:
        context = pki.context(alpn=["http/1.1"])
        stream = wire.Stream(context.wrap_socket(stream.sock, server_hostname="a.example"))
    stream.send(head_bytes("GET / HTTP/1.1"))
    line = w.wait_reason("client-too-slow")
    assert line["bytes_out"] > 0
    eventually(lambda: b.connections[0].sock.fileno() < 0, "the endpoint is let go")
    with pytest.raises((Ended, OSError)):
        stream.response(sink=lambda data: None)


def test_connection_limit_of_a_listener(weir, backend):
    """Connections beyond the limit are refused at once; those below are served, and room is found again."""
    w = weir(proxy_to(backend(), workers=1, listener={"limits": {"connections": 10}}))
    streams = [w.connect() for _ in range(10)]
    for stream in streams:
        stream.send(head_bytes("GET / HTTP/1.1"))
        assert stream.response().status == 200

    def served():
        try:
            return w.get("/").status == 200
        except (Ended, OSError):
            return False  # a refused connection is reset, as early as in connect()

    assert not served()
    assert w.metric("weir_listener_rejected_total") >= 1
    streams.pop().close()
    eventually(served, "room is found again")


def test_descriptors_run_out(weir, backend):
    """Accept pauses, says so, and resumes; nobody is refused."""
    w = weir(proxy_to(backend()), limits={resource.RLIMIT_NOFILE: (100, 100)})
    streams = []
    for _ in range(200):
        streams.append(w.connect())  # the backlog takes what Weir cannot
    w.wait_log(r"accept paused")
    assert w.process.poll() is None
    waiting = streams.pop()
    waiting.send(head_bytes("GET / HTTP/1.1"))
    for stream in streams:
        stream.close()
    assert waiting.response().status == 200, "a connection that waited in the backlog is served"
    assert_answers(w)


# Reload

def variant(config, n):
    """The same site with something changed that touches routes, services and listeners."""
    config = copy.deepcopy(config)
    config["routes"][0]["headers"] = {"response": {"set": {"X-Generation": str(n)}}}
    config["services"]["origin"]["balance"] = ["round-robin", "random", "least-request"][n % 3]
    if n % 2:
        config["services"]["spare"] = {"endpoints": ["127.0.0.1:9"]}
        config["routes"].append({"name": "spare", "match": {"path": f"/spare{n}"}, "service": "spare"})
    return config


def test_reload_every_100_ms_under_load(weir, backend):
    """60 s with WEIR_FULL=1, else 15 s: not one request fails, and each reload takes effect."""
    seconds = 60 if FULL else 15
    b, c = backend(fixed(answer(b"x" * 500))), backend(fixed(answer(b"y" * 20_000)))
    config = proxy_to(b, c)
    w = weir(config)
    ours = merge(config, {"listeners": w.config["listeners"]})
    with Load(w.address, threads=3) as load, Load(w.address, threads=1, body=b"z" * 70_000) as uploads:
        end, n = time.monotonic() + seconds, 0
        while time.monotonic() < end:
            n += 1
            w.write(variant(ours, n))
            w.signal(signal.SIGHUP)
            load.stopping.wait(0.1)
            assert not load.failures and not uploads.failures, (load.failures + uploads.failures)[:3]
        eventually(lambda: w.get("/").get("X-Generation") == str(n), "the last file is in effect")
    assert load.done > 100 and uploads.done > 10
    assert not load.failures and not uploads.failures, (load.failures + uploads.failures)[:3]
    assert w.metric("weir_reloads_total") >= n / 2, "reloads may coalesce, but not vanish"
    eventually(lambda: w.metric("weir_old_snapshots") <= 1, "old snapshots are released")


@pytest.mark.parametrize("text, complaint", [
    ("listeners: [", r"weir\.yaml:\d+:\d+"),
    ("listenres: {}\n", r"listenres(.|\n)*listeners"),
    ('listeners: { web: { address: ":0x" } }\n', r"weir\.yaml:1:\d+"),
    ("", r"weir\.yaml"),
])
def test_bad_file_leaves_the_old_running(weir, backend, text, complaint):
    w = weir(proxy_to(backend()))
    w.reload(text=text)
    w.wait_log(r"reload refused")
    w.wait_log(complaint)
    assert_answers(w)
    assert w.metric("weir_reloads_total", result="failed") + w.metric("weir_reloads_total", result="refused") >= 1


def test_file_that_is_gone_leaves_the_old_running(weir, backend):
    w = weir(proxy_to(backend()))
    os.unlink(w.config_path)
    w.signal(signal.SIGHUP)
    w.wait_log(r"reload refused")
    assert_answers(w)


def test_port_in_use_on_reload(weir, backend):
    """A new listener whose port is taken: all or nothing, and the reason says which."""
    b = backend()
    config = proxy_to(b)
    w = weir(config)
    config = merge(config, {"listeners": {**w.config["listeners"], "second": {"address": b.endpoint}}})
    w.write(config)
    w.signal(signal.SIGHUP)
    w.wait_log(r"reload refused")
    assert str(b.port) in w.log()
    assert_answers(w)


def test_listeners_come_and_go_on_reload(weir, backend):
    config = proxy_to(backend())
    w = weir(config)
    kept = w.connect()
    kept.send(head_bytes("GET / HTTP/1.1"))
    assert kept.response().status == 200
    first = w.config["listeners"]["web"]["address"]
    both = merge(config, {"listeners": {"web": {"address": first}, "more": {"address": None}}})
    w.reload(both)
    assert wire.get(w.listener("more"), "/").status == 200
    port = w.listener("more")[1]
    w.reload(merge(config, {"listeners": {"web": {"address": first}}}))
    eventually(lambda: port not in listening_ports(), "the removed listener is closed")
    kept.send(head_bytes("GET / HTTP/1.1"))
    assert kept.response().status == 200, "connections of untouched listeners live on"


def test_removed_service_finishes_what_it_began(weir, backend):
    """A request in flight keeps its old snapshot, service and endpoint until it ends."""
    b, other = backend(serve(lambda r: b.release.wait(30) and answer(b"old") or b"")), backend(fixed(answer(b"new")))
    w = weir(proxy_to(b))
    web = w.config["listeners"]["web"]["address"]
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    b.wait_requests(1)
    w.reload(proxy_to(other, listener={"address": web}))
    eventually(lambda: w.get("/").body == b"new", "new requests see the new file")
    b.release.set()
    assert stream.response().body == b"old"


def test_reload_command(weir, backend):
    config = proxy_to(backend())
    w = weir(config)
    admin = w.config["admin"]["address"]
    w.write(merge(config, {"listeners": w.config["listeners"],
                           "routes": [{"name": "all", "match": {"path": "/*"}, "respond": {"status": 204}}]}))
    assert subprocess.run([BINARY, "reload", "--admin", admin], capture_output=True).returncode == 0
    assert w.get("/").status == 204
    w.write_text("nonsense: [")
    failed = subprocess.run([BINARY, "reload", "--admin", admin], capture_output=True, text=True)
    assert failed.returncode == 1 and "weir.yaml:2:1" in failed.stdout + failed.stderr
    assert w.get("/").status == 204


def test_check_command(tmp_path):
    path = tmp_path / "weir.yaml"
    good = 'listeners: { web: { address: ":8080" } }\nroutes:\n  - { name: a, match: { path: "/*" }, respond: { status: 204 } }\n'
    for text, code in [(good, 0), (good.replace("respond", "respnod"), 1)]:
        path.write_text(text)
        result = subprocess.run([BINARY, "check", "-c", str(path)], capture_output=True, text=True)
        assert result.returncode == code, result
        if code:
            assert "weir.yaml:3:" in result.stdout + result.stderr and "respond" in result.stdout + result.stderr
    assert subprocess.run([BINARY, "chekc"], capture_output=True).returncode == 2
    assert subprocess.run([BINARY, "run", "-c", str(tmp_path / "missing")], capture_output=True).returncode == 1


# Stopping

@pytest.mark.parametrize("per_connection", [1, 20])
def test_sigterm_under_load_fails_nothing(weir, backend, per_connection):
    """Every request the backend saw is answered in full, also over connections that are just being made; the process
    ends by itself with 0."""
    b = backend(fixed(answer(b"x" * 2000)))
    w = weir(proxy_to(b, drain="10s"))
    with Load(w.address, threads=4, per_connection=per_connection) as load:
        load.wait_done(200)
        w.signal(signal.SIGTERM)
        assert w.wait_exit() == 0
        load.stopping.set()
    assert not load.failures, load.failures[:3]
    # What was answered is what the clients got: nothing was lost between backend and client.
    lines = [line for line in w.access_log() if line["target"].startswith("/load")]
    assert len(lines) == load.done and all(line["status"] == 200 and "reason" not in line for line in lines)


def test_sigterm_waits_for_requests_in_flight(weir, backend):
    b = backend(serve(lambda r: b.release.wait(30) and answer(b"finished") or b""))
    w = weir(proxy_to(b, drain="20s"))
    idle = w.connect()
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    b.wait_requests(1)
    w.signal(signal.SIGTERM)
    eventually(lambda: w.address[1] not in listening_ports(), "no longer listening")
    assert idle.rest() == b"", "idle connections are closed"
    assert w.process.poll() is None
    b.release.set()
    response = stream.response()
    assert response.body == b"finished" and response.get("Connection") == "close"
    assert w.wait_exit() == 0


def test_sigterm_lets_a_long_body_finish(weir, backend):
    def script(c):
        c.request()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 1_000_000)
        c.backend.release.wait(20)
        c.send(b"x" * 1_000_000)
        c.wait_end()
    b = backend(script)
    w = weir(proxy_to(b, drain="20s"))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    stream.exactly(1000)
    w.signal(signal.SIGTERM)
    eventually(lambda: w.address[1] not in listening_ports(), "no longer listening")
    b.release.set()
    assert len(stream.rest()) > 1_999_000
    assert w.wait_exit() == 0


def test_drain_deadline(weir, backend):
    b = backend(hang)
    w = weir(proxy_to(b, drain="300ms"))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    b.wait_requests(1)
    w.signal(signal.SIGTERM)
    assert w.wait_exit() == 0
    stream.rest()
    assert "drain deadline" in w.log()
    assert w.wait_reason("drain-deadline")


def test_second_sigterm_stops_now(weir, backend):
    b = backend(hang)
    w = weir(proxy_to(b, drain="60s"))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    b.wait_requests(1)
    w.signal(signal.SIGTERM)
    eventually(lambda: w.address[1] not in listening_ports(), "draining")
    w.signal(signal.SIGTERM)
    w.wait_exit(5)
    stream.rest()


def test_ready_says_no_while_draining(weir, backend):
    b = backend(hang)
    w = weir(proxy_to(b, drain="60s"))
    assert w.ask_admin("/readyz").status == 200 and w.ask_admin("/healthz").status == 200
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    b.wait_requests(1)
    w.signal(signal.SIGTERM)
    eventually(lambda: w.ask_admin("/readyz").status == 503, "not ready while draining")
    assert w.ask_admin("/healthz").status == 200
