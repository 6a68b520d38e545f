"""Reloads that change listeners, the admin API and the access log: nothing is lost, and what is said is done."""

import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

import wire
from backends import UDPBackend, answer, fixed, recorder, serve
from harness import BINARY, Load, listening_ports, merge, proxy_to, udp_to
from ports import free_port
from wire import eventually, head_bytes

pytestmark = [pytest.mark.threads, pytest.mark.bytes]


@pytest.fixture
def origin():
    with recorder() as backend:
        yield backend


def at(config, address, name="web", **listener):
    return {**config, "listeners": {name: {"address": address, **listener}}}


def rounds(w, configurations, load):
    """Puts one configuration after the other into effect, with requests between."""
    for config in configurations:
        w.reload(config)
        load.wait_done(20)
        assert not load.failures, load.failures[:3]


# Time-outs of a listener

def cut_by(w, kind):
    """A connection that runs into one time-out of its listener; returns once Weir has ended it."""
    stream = w.connect()
    if kind == "head":
        stream.send(b"GET / HTTP/1.1\r\n")
        assert stream.response().status == 408
    elif kind == "body":
        stream.send(head_bytes("POST / HTTP/1.1", [("Content-Length", 10)]) + b"half")
        assert stream.response().status == 408
    elif kind == "idle":
        stream.send(head_bytes("HEAD / HTTP/1.1"))
        assert stream.response("HEAD").status == 200
        assert stream.rest() == b""
    else:
        stream.send(head_bytes("GET / HTTP/1.1"))
        w.wait_reason("client-too-slow")


@pytest.mark.parametrize("kind", ["head", "idle", "body", "write"])
def test_a_listeners_timeouts_follow(weir, backend, kind):
    """Each of them alone, and for connections that a listener gets after the reload."""
    def reply(request):
        if request.method == "HEAD":
            return head_bytes("HTTP/1.1 200 OK", [("Content-Length", 2)], None)
        return answer(bytes(30_000_000))
    long = {each: "10m" for each in ("head", "idle", "body", "write")}
    config = proxy_to(backend(serve(reply)))
    w = weir(at(config, f"127.0.0.1:{free_port()}", timeout=long))
    address = w.config["listeners"]["web"]["address"]
    w.reload(at(config, address, timeout={**long, kind: "300ms"}))
    cut_by(w, kind)


# Addresses and names of listeners

def test_an_address_that_widens_and_narrows_loses_nothing(weir, origin):
    """New connections all the while, and every one is answered: none reset, none refused."""
    port = free_port()
    config = proxy_to(origin)
    w = weir(at(config, f"127.0.0.1:{port}"))
    with Load(("127.0.0.1", port), threads=4, per_connection=1) as load:
        load.wait_done(20)
        for _ in range(4):
            rounds(w, [at(config, f"{host}:{port}") for host in ("0.0.0.0", "", "127.0.0.1", "[::]", "127.0.0.1")], load)
    assert not load.failures and not load.refused, (load.failures[:3], load.refused)


def test_an_address_that_narrows_is_let_go(weir, origin):
    port = free_port()
    config = proxy_to(origin)
    w = weir(at(config, f":{port}"))
    assert wire.get(("::1", port), "/").status == 200
    # A request under way keeps its snapshot, but not the address.
    held = wire.connect(("127.0.0.1", port))
    held.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
    w.reload(at(config, f"127.0.0.1:{port}"))

    def refused():
        try:
            socket.create_connection(("::1", port), 5).close()
            return False
        except ConnectionRefusedError:
            return True
    eventually(refused, "other addresses are refused")
    assert wire.get(("127.0.0.1", port), "/").status == 200
    held.send(b"b")
    assert held.response().status == 200


def test_somebody_elses_address_is_still_refused(weir, origin):
    """Our own sockets do not hide those of others: a foreign one in the wider address is an error."""
    port = free_port()
    config = proxy_to(origin)
    w = weir(at(config, f"127.0.0.1:{port}"))
    with socket.socket() as other:
        other.bind(("127.0.0.2", port))
        other.listen()
        w.write(at(config, f":{port}"))
        w.signal(signal.SIGHUP)
        w.wait_log("reload refused")
        assert "Address already in use" in w.log()
        assert wire.get(("127.0.0.1", port), "/").status == 200


def link_local():
    """A link-local address of this machine with its interface, or one of the loopback, for which the kernel needs none."""
    with open("/proc/net/if_inet6") as table:
        for line in table:
            digits, _, _, scope, flags, interface = line.split()
            if scope == "20" and not int(flags, 16) & 0x48:  # neither tentative nor a duplicate
                return socket.inet_ntop(socket.AF_INET6, bytes.fromhex(digits)), interface
    return "::1", "lo"


def test_a_zone(weir, origin):
    address, interface = link_local()
    port = free_port()
    config = proxy_to(origin)
    w = weir(at(config, f"[{address}%{interface}]:{port}"))
    connection = socket.socket(socket.AF_INET6)
    connection.settimeout(wire.PATIENCE)
    connection.connect((address, port, 0, socket.if_nametoindex(interface)))
    client = wire.Stream(connection)
    client.send(head_bytes("GET / HTTP/1.1"))
    assert client.response().status == 200
    w.write(at(config, f"[fe80::1%nowhere]:{port}"))
    w.signal(signal.SIGHUP)
    w.wait_log(r"cannot listen on \[fe80::1%nowhere\]:\d+ \(interface: No such device\)")
    w.reload(at(config, f":{port}"))
    assert wire.get(("127.0.0.1", port), "/").status == 200


@pytest.mark.parametrize("per_connection", [1, 20])
def test_a_renamed_listener_loses_nothing(weir, origin, per_connection):
    port = free_port()
    config = proxy_to(origin)
    w = weir(at(config, f"127.0.0.1:{port}", name="n0"))
    with Load(("127.0.0.1", port), threads=4, per_connection=per_connection) as load:
        load.wait_done(20)
        rounds(w, [at(config, f"127.0.0.1:{port}", name=f"n{n % 3}") for n in range(1, 13)], load)
    assert not load.failures and not load.refused, (load.failures[:3], load.refused)


@pytest.mark.parametrize("kind", ["tcp", "unix"])
def test_a_removed_listener_resets_nobody(weir, origin, tmp_path, kind):
    """Whoever is connected is answered; whoever comes later is refused."""
    address = f"127.0.0.1:{free_port()}" if kind == "tcp" else f"unix:{tmp_path}/s"
    config = proxy_to(origin)
    stays = {"stays": {"address": f"127.0.0.1:{free_port()}"}}
    goes = {"goes": {"address": address}}
    w = weir({**config, "listeners": {**stays, **goes}})
    with Load(w.listener("goes"), threads=4, per_connection=1) as load:
        for _ in range(8):
            w.reload({**config, "listeners": {**stays, **goes}})
            load.wait_done(20)
            w.reload({**config, "listeners": stays})
            refused = load.refused
            eventually(lambda: load.refused > refused, "the listener is gone")
            assert not load.failures, load.failures[:3]
    assert not load.failures, load.failures[:3]
    if kind == "unix":
        assert os.listdir(tmp_path) == []


def test_a_removed_listener_answers_as_it_did(weir, origin):
    """What comes on its connections before they have heard is answered by its own last routes, once."""
    config = {**proxy_to(origin), "routes": [
        {"name": "old", "listeners": ["goes"], "match": {"path": "/*"}, "respond": {"body": "old"}},
        {"name": "all", "match": {"path": "/*"}, "respond": {"body": "new"}}]}
    stays = {"stays": {"address": f"127.0.0.1:{free_port()}"}}
    w = weir({**config, "listeners": {**stays, "goes": {"address": f"127.0.0.1:{free_port()}"}}})
    fresh, kept = w.connect("goes"), w.connect("goes")
    kept.send(head_bytes("GET / HTTP/1.1"))
    assert kept.response().body == b"old"
    w.reload({**config, "listeners": stays, "routes": config["routes"][1:]})
    for stream in (kept, fresh):
        stream.send(head_bytes("GET / HTTP/1.1"))
        response = stream.response()
        assert response.body == b"old" and response.get("Connection") == "close"
        assert stream.rest() == b""
    eventually(lambda: w.metric("weir_old_snapshots") == 0, "nobody needs the old snapshot any more")


def test_idle_connections_of_a_removed_listener_are_closed(weir, origin):
    config = proxy_to(origin)
    stays = {"stays": {"address": f"127.0.0.1:{free_port()}"}}
    w = weir({**config, "listeners": {**stays, "goes": {"address": f"127.0.0.1:{free_port()}"}}})
    idle = w.connect("goes")
    idle.send(head_bytes("GET / HTTP/1.1"))
    assert idle.response().status == 200
    w.reload({**config, "listeners": stays})
    assert idle.rest() == b""


def test_datagrams_survive_a_wider_address(weir):
    with UDPBackend(reply=lambda backend, data: None) as backend:
        port = free_port()
        config = udp_to(backend, listener={"address": f"127.0.0.1:{port}"})
        w = weir(config)
        sent, stopping = [], threading.Event()

        def send():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                while not stopping.wait(0.001):
                    client.sendto(b"%d" % len(sent), ("127.0.0.1", port))
                    sent.append(len(sent))
        thread = threading.Thread(target=send)
        thread.start()
        reloads = 0
        for host in ("0.0.0.0", "", "127.0.0.1") * 2:
            before = len(sent)
            w.reload(udp_to(backend, listener={"address": f"{host}:{port}"}))
            reloads += 1
            eventually(lambda: len(sent) > before + 50, "datagrams are sent")
        stopping.set()
        thread.join()
        # One may come to a socket in the moment between its last read and its end.
        eventually(lambda: len(backend.seen) >= len(sent) - 2 * reloads, f"{len(sent)} datagrams arrive")


# The access log, the admin API, workers

@pytest.mark.parametrize("how", ["SIGHUP", "weir reload"])
def test_the_access_log_follows(weir, origin, tmp_path, how):
    w = weir(proxy_to(origin))

    def reload(access_log):
        config = merge(w.config, {})
        config["telemetry"] = {"access-log": access_log}
        w.write_text(json.dumps(config))
        generation = w.metric("weir_snapshot_generation")
        if how == "SIGHUP":
            w.signal(signal.SIGHUP)
        else:
            result = subprocess.run([BINARY, "reload", "--admin", "%s:%d" % w.admin], capture_output=True, text=True)
            assert result.returncode == 0, result.stderr
        eventually(lambda: w.metric("weir_snapshot_generation") > generation and w.follows_newest(), "it is in effect")
    assert w.get("/first").status == 200
    other, text = tmp_path / "other.log", tmp_path / "text.log"
    reload({"path": str(other), "format": "json"})
    assert w.get("/second").status == 200
    eventually(lambda: other.exists() and "/second" in other.read_text(), "the new file has the second request")
    first = w.wait_records(1)
    assert [line["target"] for line in first] == ["/first"] and "/first" not in other.read_text()
    reload({"path": str(text), "format": "text"})
    assert w.get("/third").status == 200
    eventually(lambda: text.exists() and re.search(r'"GET a.example/third|/third', text.read_text()), "text lines")
    reload("off")
    assert w.get("/fourth").status == 200
    reload({"path": w.access_path, "format": "json"})
    assert w.get("/fifth").status == 200
    lines = w.wait_records(2)
    assert [line["target"] for line in lines] == ["/first", "/fifth"]
    for file in (other, text):
        assert "/fourth" not in file.read_text() and "/fifth" not in file.read_text()
    # The files that are no longer written to are closed.
    files = lambda: [os.readlink(f"/proc/{w.pid}/fd/{n}") for n in os.listdir(f"/proc/{w.pid}/fd")]
    eventually(lambda: not {str(other), str(text)} & set(files()), "old logs are closed")


def test_no_line_is_lost_when_the_log_changes_under_load(weir, backend, tmp_path):
    w = weir(proxy_to(backend(fixed(answer(b"x")))))
    logs = [w.access_path, str(tmp_path / "1.log"), str(tmp_path / "2.log")]
    with Load(w.address, threads=4) as load:
        for n in range(1, 13):
            config = merge(w.config, {"telemetry": {"access-log": {"path": logs[n % 3]}}})
            w.write_text(json.dumps(config))
            generation = w.metric("weir_snapshot_generation")
            w.signal(signal.SIGHUP)
            eventually(lambda: w.metric("weir_snapshot_generation") > generation, "it is in effect")
            load.wait_done(20)
    assert not load.failures, load.failures[:3]

    def lines():
        return sum(line.count("/load/") for path in logs if os.path.exists(path) for line in open(path))
    eventually(lambda: lines() == load.done, f"{load.done} lines (have {lines()})")
    assert w.metric("weir_access_log_dropped_total") == 0


def test_a_log_that_cannot_be_opened_refuses_the_reload(weir, origin, tmp_path):
    w = weir(proxy_to(origin))
    w.write_text(json.dumps(merge(w.config, {"telemetry": {"access-log": {"path": str(tmp_path)}}})))
    w.signal(signal.SIGHUP)
    w.wait_log("reload refused")
    assert w.get("/").status == 200 and w.wait_records(1)


def test_the_admin_address_follows(weir, origin):
    w = weir(proxy_to(origin))
    host, port = w.admin
    other = free_port()

    def reload_to(admin):
        """By the admin API itself: the answer comes although its listener may be going."""
        w.write_text(json.dumps({**w.config, "admin": admin}))
        answer = wire.get(w.admin, "/api/v1/reload", [("X-Weir-Request", "1")], method="POST", host="localhost")
        assert answer.status == 200, answer.body
        if admin != "off":
            w.config["admin"] = admin
    reload_to({"address": f"127.0.0.1:{other}"})
    assert wire.get(("127.0.0.1", other), "/healthz").status == 200
    eventually(lambda: port not in listening_ports(), "the old address is let go")
    reload_to({"address": f":{other}"})
    assert wire.get(("127.0.0.1", other), "/healthz").status == 200
    w.config["admin"] = {"address": f"127.0.0.1:{other}"}
    reload_to({"address": f"127.0.0.1:{other}", "hosts": ["weir.ns.svc.cluster.local"]})
    status = lambda name: wire.get(w.admin, "/metrics", host=name).status
    assert status(f"weir.ns.svc.cluster.local:{other}") == 200 and status("WEIR.ns.svc.cluster.local.") == 200
    assert status("other.ns.svc.cluster.local") == 421
    reload_to({"address": f"127.0.0.1:{other}"})
    assert status("weir.ns.svc.cluster.local") == 421
    reload_to("off")
    eventually(lambda: other not in listening_ports(), "no admin listener is left")
    assert w.get("/").status == 200
    # And on again, by signal.
    w.write_text(json.dumps({**w.config, "admin": {"address": f"127.0.0.1:{other}"}}))
    w.signal(signal.SIGHUP)
    eventually(lambda: other in listening_ports(), "the admin listener is back")
    assert wire.get(("127.0.0.1", other), "/healthz").status == 200


def test_an_admin_address_that_is_taken_refuses_the_reload(weir, origin):
    w = weir(proxy_to(origin))
    w.write_text(json.dumps({**w.config, "admin": {"address": origin.endpoint}}))
    w.signal(signal.SIGHUP)
    w.wait_log("reload refused")
    assert "for the admin API" in w.log()
    assert w.ask_admin("/healthz").status == 200


def test_workers_wait_for_the_next_start_and_say_so(weir, origin):
    w = weir(proxy_to(origin, workers=2))
    w.write(merge(w.config, {"workers": 3, "routes": [{"name": "all", "match": {"path": "/*"},
                                                        "respond": {"status": 204}}]}))
    result = subprocess.run([BINARY, "reload", "--admin", "%s:%d" % w.admin], capture_output=True, text=True)
    assert result.returncode == 0, result
    said = "workers takes effect at the next start: 2 now, 3 then"
    assert "reload: ok" in result.stdout and said in result.stdout, result
    assert w.get("/").status == 204, "the rest is in effect"
    assert said in w.log()
    status = json.loads(w.ask_admin("/api/v1/status").body)
    assert len(status["workers"]) == 2 and said in json.dumps(status["configuration"]["last_reload"]["warnings"])
    text = subprocess.run([BINARY, "status", "--admin", "%s:%d" % w.admin], capture_output=True, text=True).stdout
    assert said in text
    w.reload(merge(w.config, {"workers": 2}))
    assert not json.loads(w.ask_admin("/api/v1/status").body)["configuration"]["last_reload"]["warnings"]


def test_snapshots_are_counted_and_timed(weir, origin):
    w = weir(proxy_to(origin))
    for _ in range(2):
        w.reload(w.config)
    configuration = json.loads(w.ask_admin("/api/v1/status").body)["configuration"]
    snapshots = configuration["snapshots"]
    assert configuration["generation"] == 3
    assert snapshots["published"] == {"start": 1, "reload": 2, "change": 0}
    assert snapshots["build"]["count"] == 3 and snapshots["age_seconds"] < 60
    assert sum(sum(count.values()) for count in snapshots["last_plans"].values()) == 3, "a listener, a route, a service"
    page = w.ask_admin("/metrics").body.decode()
    assert 'weir_snapshots_published_total{cause="reload"} 2\n' in page
    assert "weir_snapshot_generation 3\n" in page and "\nweir_snapshot_build_seconds_count 3\n" in page
    age, = [line for line in page.splitlines() if line.startswith("weir_snapshot_age_seconds ")]
    assert 0 <= float(age.split()[1]) < 60
