"""UDP: sessions by source, balancing, answers, ends, limits; with DNS servers and clients people use."""

import json
import os
import random
import resource
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

import pytest

import wire
from backends import closed_port
from harness import BINARY, proxy_to, tcp_to, udp_to
from ports import free_port
from wire import eventually

pytestmark = [pytest.mark.threads]

SOON = {"timeout": {"idle": "300ms"}}


def ask(sock, data):
    sock.send(data)
    return sock.recv(65536)


def silent_for(sock, seconds=0.3):
    sock.settimeout(seconds)
    try:
        return not sock.recv(65536)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(5)


def dropped(w, reason):
    return w.metric("weir_listener_datagrams_dropped_total", reason=reason)


# Sessions

def test_echo_and_its_record(weir, udp_backend):
    b = udp_backend()
    w = weir(udp_to(b, listener=SOON))
    client = wire.datagrams(w.address)
    for n in range(20):
        assert ask(client, b"ping %d" % n) == b"ping %d" % n
    assert w.metric("weir_listener_active_connections") == 1
    line = w.wait_records(1)[0]
    size = sum(len(b"ping %d" % n) for n in range(20))
    expected = {"protocol": "udp", "listener": "udp", "service": "origin", "endpoint": b.endpoint, "client": "127.0.0.1",
                "client_port": client.getsockname()[1], "attempts": 1, "bytes_in": size, "bytes_out": size,
                "datagrams_in": 20, "datagrams_out": 20, "status": 0}
    assert {key: line.get(key) for key in expected} == expected
    assert "reason" not in line, "a session that was answered and went quiet is no failure"
    assert len(b.sources) == 1
    assert w.metric("weir_listener_datagrams_received_total") == 20 == w.metric("weir_listener_datagrams_sent_total")
    assert w.metric("weir_listener_stream_received_bytes_total") == size
    assert w.metric("weir_listener_streams_total") == 1 == w.metric("weir_listener_accepted_total")
    assert w.metric("weir_listener_active_connections") == 0 == w.metric("weir_endpoint_active_attempts")
    assert w.metric("weir_endpoint_sent_bytes_total") == size == w.metric("weir_endpoint_received_bytes_total")
    assert w.metric("weir_failures_total") == 0


def test_text_log_shows_datagrams(weir, udp_backend):
    w = weir(udp_to(udp_backend(), listener=SOON, telemetry={"access-log": {"format": "text"}}))
    ask(wire.datagrams(w.address), b"x")
    eventually(lambda: os.path.exists(w.access_path) and "\n" in open(w.access_path).read(), "a line")
    assert "datagrams-in=1 datagrams-out=1" in open(w.access_path).read()


def test_a_client_stays_with_its_endpoint(weir, udp_backend):
    backends = [udp_backend(name=b"a"), udp_backend(name=b"b")]
    w = weir(udp_to(*backends, service={"balance": "round-robin"}))
    clients = [wire.datagrams(w.address) for _ in range(8)]
    for client in clients:
        assert len({ask(client, b"x") for _ in range(5)}) == 1
    assert all(len(b.sources) >= 2 for b in backends), "sessions are shared out"
    assert sum(len(b.sources) for b in backends) == 8


def test_balancing_per_packet(weir, udp_backend):
    backends = [udp_backend(name=name) for name in (b"a", b"b", b"c")]
    w = weir(udp_to(*backends, service={"balance": "round-robin"}, listener={"udp": {"per": "packet"}}))
    client = wire.datagrams(w.address)
    assert [ask(client, b"x") for _ in range(30)].count(b"ax") == 10
    assert {len(b.seen) for b in backends} == {10}
    assert {len(b.sources) for b in backends} == {1}, "one socket for each endpoint, kept"


def test_per_packet_avoids_who_refused(weir, udp_backend):
    b = udp_backend()
    w = weir(udp_to(closed_port(), b, service={"balance": "round-robin"}, listener={"udp": {"per": "packet"}}))
    client = wire.datagrams(w.address, timeout=0.3)
    answered = 0
    for _ in range(20):
        try:
            answered += ask(client, b"x") == b"x"
        except TimeoutError:
            pass
    assert answered >= 18


def test_many_clients_at_once_get_their_own_answers(weir, udp_backend):
    backends = [udp_backend() for _ in range(3)]
    w = weir(udp_to(*backends))
    wrong, done = [], []

    def run(number):
        client = wire.datagrams(w.address)
        for n in range(150):
            data = b"%d/%d/" % (number, n) + os.urandom(random.randrange(600))
            answer = ask(client, data)
            if answer != data:
                wrong.append((data[:20], answer[:20]))
        done.append(number)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(20)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    assert not wrong and len(done) == 20
    eventually(lambda: w.metric("weir_listener_datagrams_sent_total") == 3000, "the last ones are counted, too")
    assert not w.metric("weir_listener_datagrams_dropped_total")


def test_bursts_keep_their_order(weir, udp_backend):
    """Batches are sorted by session; within one nothing changes places."""
    b = udp_backend()
    w = weir(udp_to(b))
    clients = [wire.datagrams(w.address) for _ in range(4)]
    for round in range(10):
        for n in range(15):
            for client in clients:
                client.send(b"%d %d" % (round, n))
        for client in clients:
            assert [client.recv(100) for _ in range(15)] == [b"%d %d" % (round, n) for n in range(15)]


def assert_bursts_pass(w, sizes):
    """Bursts arrive whole and in order, whatever the lengths in them: equal ones travel together."""
    client = wire.datagrams(w.address)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    for _ in range(5):
        burst = [os.urandom(size) for size in sizes]
        for data in burst:
            client.send(data)
        assert [client.recv(65536) for _ in burst] == burst
    assert not w.metric("weir_listener_datagrams_dropped_total")


@pytest.mark.parametrize("address", [None, ":0"])
@pytest.mark.parametrize("sizes", [
    [1200] * 40, [1200] * 10 + [300], [1200, 300] * 10, [100, 0, 100, 0, 0, 100, 100], [0] * 5, [1, 2, 3, 3, 3, 2, 1],
    [20_000] * 4, [65_507, 65_507], [8] * 64], ids=str)
def test_bursts_of_equal_and_unequal_lengths(weir, udp_backend, sizes, address):
    b = udp_backend()
    w = weir(udp_to(b, listener={"address": address and f":{free_port()}"}, workers=1))
    assert_bursts_pass(w, sizes)
    assert len(b.seen) == 5 * len(sizes)


def test_longer_than_the_way_allows_in_segments(weir, udp_backend):
    """Datagrams that IP has to fragment cannot be handed over together: they go one by one."""
    if os.environ.get("WEIR_TEST_MTU"):
        w = weir(udp_to(udp_backend(), workers=1))
        return assert_bursts_pass(w, [1450] * 8 + [100] * 8)
    if os.geteuid() != 0 or subprocess.run(["unshare", "-n", "true"], stderr=subprocess.DEVNULL).returncode:
        pytest.skip("needs a network of its own")
    small_loopback = (
        "import fcntl, os, socket, struct, sys; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "fcntl.ioctl(s, 0x8922, struct.pack('16si', b'lo', 1400))\n"  # SIOCSIFMTU
        "fcntl.ioctl(s, 0x8914, struct.pack('16sh', b'lo', 0x41))\n"  # SIOCSIFFLAGS: up and running
        "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n")
    inner = subprocess.run(
        ["unshare", "-n", sys.executable, "-c", small_loopback, "-m", "pytest", __file__, "-k", "longer_than_the_way"],
        env={**os.environ, "WEIR_TEST_MTU": "1400"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert inner.returncode == 0 and "1 passed" in inner.stdout or inner.stdout.startswith("."), inner.stdout


def test_several_answers_and_none_at_all(weir, udp_backend):
    w = weir(udp_to(udp_backend(lambda b, data: [data + b"%d" % n for n in range(50)])))
    client = wire.datagrams(w.address)
    client.send(b"x")
    assert [client.recv(100) for _ in range(50)] == [b"x%d" % n for n in range(50)]


def test_empty_datagrams_are_datagrams(weir, udp_backend):
    w = weir(udp_to(udp_backend()))
    client = wire.datagrams(w.address)
    assert ask(client, b"") == b""
    assert ask(client, b"after") == b"after"


# Ends

def test_idle_sessions_end_and_begin_anew(weir, udp_backend):
    b = udp_backend()
    w = weir(udp_to(b, listener=SOON))
    client = wire.datagrams(w.address)
    for _ in range(6):  # longer than the timeout in all: datagrams keep it
        ask(client, b"x")
        time.sleep(0.1)
    assert len(b.sources) == 1
    eventually(lambda: w.metric("weir_listener_active_connections") == 0, "the session ends")
    ask(client, b"x")
    assert len(b.sources) == 2


def test_expected_answers_end_a_session_at_once(weir, udp_backend):
    b = udp_backend()
    w = weir(udp_to(b, listener={"udp": {"responses": 1}}))
    client = wire.datagrams(w.address)
    for n in range(3):
        assert ask(client, b"x") == b"x"
        assert "reason" not in w.wait_records(n + 1)[n]
    assert len(b.sources) == 3 and w.metric("weir_listener_active_connections") == 0


def test_two_questions_from_one_port_both_get_answers(weir, udp_backend):
    """Answers are expected for each of the client's datagrams, so the first does not end it for the second."""
    pending = []

    def later(backend, data):
        pending.append(data)
        return pending if len(pending) == 2 else None
    w = weir(udp_to(udp_backend(later), listener={"udp": {"responses": 1}}))
    client = wire.datagrams(w.address)
    client.send(b"one")
    client.send(b"two")
    assert {client.recv(10), client.recv(10)} == {b"one", b"two"}
    line = w.wait_records(1)[0]
    assert line["datagrams_in"] == line["datagrams_out"] == 2


def test_no_answer_is_a_failure_of_the_endpoint(weir, udp_backend):
    w = weir(udp_to(udp_backend(lambda b, data: None), listener=SOON))
    wire.datagrams(w.address).send(b"x")
    line = w.wait_reason("upstream-silent")
    assert line["side"] == "upstream" and line["datagrams_out"] == 0
    eventually(lambda: w.metric("weir_endpoint_failures_total", reason="upstream-silent") == 1, "counted")


def test_no_answer_expected(weir, udp_backend):
    b = udp_backend(lambda b, data: None)
    w = weir(udp_to(b, listener={**SOON, "udp": {"responses": 0}}))
    client = wire.datagrams(w.address)
    for n in range(10):
        client.send(b"%d" % n)
    line = w.wait_records(1)[0]
    assert line["datagrams_in"] == 10 and "reason" not in line
    assert w.metric("weir_endpoint_failures_total") == 0


def test_asking_again_does_not_keep_a_silent_endpoint(weir, udp_backend):
    w = weir(udp_to(udp_backend(lambda b, data: None), listener={**SOON, "udp": {"responses": 1}}))
    client = wire.datagrams(w.address)
    for _ in range(8):
        client.send(b"x")
        time.sleep(0.1)
    w.wait_reason("upstream-silent")


# Endpoints that fail

def test_a_refused_datagram_is_followed_by_another_endpoint(weir, udp_backend):
    b = udp_backend()
    w = weir(udp_to(closed_port(), b, service={"balance": "round-robin"}, listener=SOON, workers=1))
    for _ in range(4):
        client = wire.datagrams(w.address, timeout=0.2)
        for attempt in range(2):
            try:
                assert ask(client, b"x") == b"x"
                break
            except TimeoutError:
                assert attempt == 0, "the second datagram goes elsewhere"
    lines = w.wait_records(4)
    assert 2 in {line["attempts"] for line in lines} and not any("reason" in line for line in lines)
    assert w.metric("weir_endpoint_failures_total", reason="connect-refused") >= 1


def test_a_lost_question_is_not_owed_by_the_next_endpoint(weir, udp_backend):
    w = weir(udp_to(closed_port(), udp_backend(), service={"balance": "round-robin"}, listener={"udp": {"responses": 1}},
                    workers=1))
    # Where the round begins is left to chance: of the first two sessions one meets the closed port.
    for _ in range(2):
        client = wire.datagrams(w.address, timeout=0.2)
        for _ in range(2):
            try:
                assert ask(client, b"x") == b"x"
                break
            except TimeoutError:
                pass
    lines = w.wait_records(2)
    assert all("reason" not in line for line in lines)
    assert sorted((line["attempts"], line["datagrams_in"]) for line in lines) == [(1, 1), (2, 2)]


def test_one_refusal_is_enough_for_all(weir, udp_backend):
    """A client finds out that an endpoint is gone; for a moment the others need not."""
    w = weir(udp_to(closed_port(), udp_backend(), service={"balance": "round-robin"}))
    lost, begin = 0, time.monotonic()
    for _ in range(20):
        try:
            assert ask(wire.datagrams(w.address, timeout=0.5), b"x") == b"x"
        except TimeoutError:
            lost += 1
    # Whoever finds out loses a datagram, in each worker at once; nobody else does for a second.
    assert lost <= 2 + 2 * int(time.monotonic() - begin), lost


def test_nobody_listens(weir):
    w = weir(udp_to(closed_port(), listener=SOON))
    client = wire.datagrams(w.address)
    for _ in range(5):
        client.send(b"x")
        time.sleep(0.02)
    line = w.wait_reason("connect-refused")
    assert line["errno"] == 111 and line["datagrams_out"] == 0
    assert silent_for(client), "nothing is made up for the client"


def test_backend_killed_under_traffic(weir):
    """Clients that ask again get on; when the backend is back it is used again."""
    program = ("import socket,sys; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('127.0.0.1',int(sys.argv[1])));"
               "print('up',flush=True)\nwhile 1:\n d,a=s.recvfrom(2000); s.sendto(d,a)")

    def start(port):
        process = subprocess.Popen([sys.executable, "-c", program, str(port)], stdout=subprocess.PIPE)
        process.stdout.readline()
        return process

    ports = [free_port(), free_port()]
    processes = [start(port) for port in ports]
    w = weir(udp_to(*(f"127.0.0.1:{port}" for port in ports), service={"balance": "round-robin"}))
    clients = [wire.datagrams(w.address, timeout=0.3) for _ in range(6)]

    def all_answered():
        for client in clients:
            for attempt in range(3):
                try:
                    assert ask(client, b"x") == b"x"
                    break
                except TimeoutError:
                    assert attempt < 2, "two datagrams lost in a row"
    try:
        all_answered()
        processes[0].kill()
        processes[0].wait()
        all_answered()
        all_answered()
        processes[0] = start(ports[0])
        processes[1].kill()
        processes[1].wait()
        all_answered()
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()


def test_stopped_backend(weir, udp_backend):
    """A backend that hangs costs its own sessions their answers, nothing else."""
    program = ("import socket,sys; s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('127.0.0.1',int(sys.argv[1])));"
               "print('up',flush=True)\nwhile 1:\n d,a=s.recvfrom(2000); s.sendto(b's'+d,a)")
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", program, str(port)], stdout=subprocess.PIPE)
    process.stdout.readline()
    try:
        w = weir(udp_to(f"127.0.0.1:{port}", udp_backend(name=b"l"), service={"balance": "round-robin"},
                        listener={**SOON, "udp": {"responses": 1}}, workers=1))
        process.send_signal(signal.SIGSTOP)
        answers = []
        for _ in range(10):
            client = wire.datagrams(w.address, timeout=0.2)
            try:
                answers.append(ask(client, b"x"))
            except TimeoutError:
                pass
        assert answers == [b"lx"] * 5
        for _ in range(3000):  # into a receive queue that nobody empties
            client.send(b"y" * 1000)
        lines = eventually(lambda: (found := [l for l in w.access_log() if l.get("reason") == "upstream-silent"])
                           and len(found) >= 5 and found, "the silent sessions end")
        assert all(line["endpoint"].endswith(str(port)) for line in lines)
        process.send_signal(signal.SIGCONT)
        # Until its queue is empty, the kernel drops what else is sent to it.
        answers = set()
        def again():
            try:
                answers.add(ask(wire.datagrams(w.address, timeout=0.2), b"x"))
            except TimeoutError:
                pass
            return answers >= {b"sx", b"lx"}
        eventually(again, "both answer")
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_name_without_an_address(weir):
    w = weir(udp_to("name.invalid:53", resolver={"servers": [closed_port()], "timeout": "200ms"}))
    wire.datagrams(w.address).send(b"x")
    eventually(lambda: dropped(w, "no-endpoint") == 1, "dropped and counted")
    assert w.metric("weir_listener_active_connections") == 0 == w.metric("weir_listener_accepted_total")


# Sizes

def test_largest_datagrams(weir, udp_backend):
    w = weir(udp_to(udp_backend()))
    client = wire.datagrams(w.address)
    for size in (1, 1472, 1500, 9000, 65507):
        data = os.urandom(size)
        assert ask(client, data) == data


def test_oversize_is_dropped_both_ways(weir, udp_backend):
    w = weir(udp_to(udp_backend(lambda b, data: data if len(data) > 3 else b"y" * 513), listener={"limits": {"datagram": "512B"}}))
    client = wire.datagrams(w.address)
    assert len(ask(client, b"x" * 512)) == 512
    client.send(b"x" * 513)
    client.send(b"x")  # whose answer is too large
    assert silent_for(client)
    eventually(lambda: dropped(w, "too-large") == 2, "both are counted")
    assert ask(client, b"fine") == b"fine"


# Addresses

def test_ipv6(weir, udp_backend):
    b = udp_backend(host="::1")
    w = weir(udp_to(b, listener={**SOON, "address": f"[::1]:{free_port()}"}))
    assert ask(wire.datagrams(w.address), b"x") == b"x"
    assert w.wait_records(1)[0]["client"] == "::1"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2", "127.9.8.7", "::1"])
def test_wildcard_answers_from_the_address_asked(weir, udp_backend, address):
    """The client's socket is connected: an answer from any other address would never reach it."""
    w = weir(udp_to(udp_backend(), listener={"address": f":{free_port()}"}))
    assert ask(wire.datagrams((address, w.address[1])), b"x") == b"x"


def test_one_source_asking_two_addresses(weir, udp_backend):
    w = weir(udp_to(udp_backend(), listener={"address": f":{free_port()}"}))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.settimeout(5)
    for address in ("127.0.0.2", "127.0.0.3", "127.0.0.2"):
        sock.sendto(address.encode(), (address, w.address[1]))
        assert sock.recvfrom(100) == (address.encode(), (address, w.address[1]))
    assert w.metric("weir_listener_active_connections") == 2


def test_ipv4_only_wildcard(weir, udp_backend):
    w = weir(udp_to(udp_backend(), listener={"address": f"0.0.0.0:{free_port()}"}))
    assert ask(wire.datagrams(("127.0.0.2", w.address[1])), b"x") == b"x"


def test_tcp_and_udp_on_one_port(weir, backend, udp_backend):
    port = free_port()
    config = udp_to(udp_backend(), listener={"address": f"127.0.0.1:{port}"})
    config["listeners"]["tcp"] = {"address": f"127.0.0.1:{port}", "protocol": "tcp", "service": "stream"}
    config["services"]["stream"] = {"endpoints": [backend(lambda c: (c.fill(), c.send(b"stream"))).endpoint]}
    w = weir(config)
    assert ask(wire.datagrams(w.address), b"x") == b"x"
    stream = w.connect("tcp")
    stream.send(b"x")
    assert stream.exactly(6) == b"stream"


def test_forged_own_address_does_not_loop(weir, udp_backend):
    if os.geteuid() != 0:
        pytest.skip("raw sockets need root")
    b = udp_backend()
    w = weir(udp_to(b))
    host, port = w.address
    udp = struct.pack("!HHHH", port, port, 9, 0) + b"x"
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw.sendto(struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0, *[socket.inet_aton(host)] * 2) + udp,
               (host, 0))
    eventually(lambda: dropped(w, "own-address") == 1, "dropped and counted")
    assert not b.seen


# Limits

def test_session_limit(weir, udp_backend):
    w = weir(udp_to(udp_backend(), listener={"limits": {"sessions": 10}}, workers=1))
    clients = [wire.datagrams(w.address) for _ in range(10)]
    for client in clients:
        assert ask(client, b"x") == b"x"
    late = wire.datagrams(w.address)
    late.send(b"x")
    assert silent_for(late)
    assert dropped(w, "session-limit") == 1
    for client in clients:
        assert ask(client, b"y") == b"y", "those who are there stay"
    assert "no room for another UDP session" in w.log()


def test_without_descriptors(weir, udp_backend):
    w = weir(udp_to(udp_backend(), workers=1), limits={resource.RLIMIT_NOFILE: (64, 64)})
    clients = [wire.datagrams(w.address, timeout=0.2) for _ in range(100)]
    for client in clients:
        client.send(b"x")
    eventually(lambda: dropped(w, "no-socket") > 20, "dropped and counted")
    first = wire.datagrams(w.address)
    assert ask(clients[0], b"still") in (b"x", b"still")
    assert w.log().count("no socket for a UDP session") == 1, "said once, not a hundred times"
    assert w.ask_admin("/healthz").status == 200, "descriptors are left for everything else"
    first.close()


def test_memory_is_bounded_with_100_000_sources(weir, udp_backend):
    b = udp_backend()
    w = weir(udp_to(b, listener={"limits": {"sessions": 2000}}, telemetry=None, workers=1))
    ask(wire.datagrams(w.address), b"x")
    before, descriptors = w.rss_kib(), w.descriptors()
    sent = 0
    for host in range(2, 6):
        for port in range(1024, 26024):
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                sock.bind((f"127.0.0.{host}", port))
                sock.sendto(b"x", w.address)
                sent += 1
            except OSError:
                pass
            sock.close()
    assert sent > 95_000
    counted = lambda: dropped(w, "session-limit") + dropped(w, "receive-queue-full") + w.metric("weir_listener_accepted_total")
    eventually(lambda: counted() > sent * 0.9, "all are counted")
    assert w.metric("weir_listener_active_connections") <= 2000
    assert w.descriptors() <= descriptors + 2000
    # 8 KiB for each of the 2,000 sessions there may be, however many ask; a sanitizer build takes most of it.
    assert w.rss_kib() - before < 16 * 1024


# Reload and drain

def test_reload_under_traffic_keeps_sessions(weir, udp_backend):
    b, other = udp_backend(), udp_backend()
    w = weir(udp_to(b))
    clients = [wire.datagrams(w.address) for _ in range(6)]
    for client in clients:
        ask(client, b"x")
    stop, failures, asked = threading.Event(), [], [0]

    def traffic():
        while not stop.is_set():
            for client in clients:
                try:
                    assert ask(client, b"%d" % asked[0]) == b"%d" % asked[0]
                    asked[0] += 1
                except (TimeoutError, AssertionError) as wrong:
                    failures.append(repr(wrong))
                    return
    thread = threading.Thread(target=traffic)
    thread.start()
    for weight in (2, 3, 2):
        goal = asked[0] + 50
        w.reload(udp_to({"address": b.endpoint, "weight": weight}, other.endpoint, listener=w.config["listeners"]["udp"]))
        eventually(lambda: asked[0] > goal or failures, "traffic goes on")
    stop.set()
    thread.join()
    assert not failures and len(b.sources) == 6 and not other.seen
    status = w.ask_admin("/api/v1/status")
    assert b'"held_snapshots":[]' in status.body, "sessions hold no old configuration"
    assert w.metric("weir_endpoint_active_attempts") == 6


def test_sessions_of_a_removed_endpoint_end(weir, udp_backend):
    a, b = udp_backend(name=b"a"), udp_backend(name=b"b")
    w = weir(udp_to(a))
    client = wire.datagrams(w.address)
    assert ask(client, b"x") == b"ax"
    w.reload(udp_to(b, listener=w.config["listeners"]["udp"]))
    line = w.wait_reason("configuration-changed")
    assert line["endpoint"] == a.endpoint and line["datagrams_in"] == 1
    assert ask(client, b"x") == b"bx"
    assert w.metric("weir_listener_active_connections") == 1


def test_removed_listener(weir, udp_backend):
    b = udp_backend()
    w = weir(udp_to(b))
    address = w.address
    client = wire.datagrams(address)
    ask(client, b"x")
    w.reload({"listeners": {"other": {"address": None, "protocol": "udp", "service": "origin"}}, "services": w.config["services"]})
    w.wait_reason("configuration-changed")

    def refused():
        try:
            client.send(b"x")
            return False
        except ConnectionRefusedError:
            return True
    eventually(refused, "its port is free")
    assert ask(wire.datagrams(w.listener("other")), b"x") == b"x"


def test_drain(weir, udp_backend):
    """What waits for an answer gets it; new sources get none; quiet sessions do not hold the end up."""
    answer = threading.Event()
    b = udp_backend(lambda b, data: (answer.wait(4), data)[1] if data == b"slow" else data)
    w = weir(udp_to(b, drain="20s", workers=1))
    busy, quiet = wire.datagrams(w.address), wire.datagrams(w.address)
    ask(busy, b"x")
    ask(quiet, b"x")
    busy.send(b"slow")
    eventually(lambda: (b"slow" in [data for data, _ in b.seen]), "the question arrives")
    w.signal(signal.SIGTERM)
    w.wait_log("draining")
    # The worker hears of it a moment later. From the first source on that it turns away, it takes none.
    eventually(lambda: (wire.datagrams(w.address).send(b"early"), dropped(w, "draining"))[1], "a source is turned away")
    started = time.monotonic()
    wire.datagrams(w.address).send(b"late")
    answer.set()
    assert busy.recv(100) == b"slow"
    assert w.wait_exit() == 0
    assert time.monotonic() - started < 8
    assert b"late" not in [data for data, _ in b.seen]
    assert len(w.wait_records(2)) >= 2 and not any("reason" in line for line in w.access_log())


# Seeing it

def test_status_shows_sessions(weir, udp_backend):
    w = weir(udp_to(udp_backend()))
    client = wire.datagrams(w.address)
    for _ in range(3):
        ask(client, b"x")
    # Answers are counted once they have been sent.
    eventually(lambda: w.metric("weir_listener_datagrams_sent_total") == 3, "three answers are counted")
    status = json.loads(w.ask_admin("/api/v1/status").body)
    listener = status["listeners"][0]
    assert listener["protocol"] == "udp" and listener["active"] == 1
    assert listener["datagrams_in"] == listener["datagrams_out"] == 3 and listener["datagrams_dropped"] == {}
    limits = {limit["name"]: limit for limit in status["limits"]}
    assert limits["listeners.udp.sessions"] == {"name": "listeners.udp.sessions", "used": 1, "max": 10000}
    text = w.ask_admin("/api/v1/status?format=text").body.decode()
    assert "DATAGRAMS IN" in text


def test_labels_never_come_from_the_wire(weir, udp_backend):
    w = weir(udp_to(udp_backend(), listener=SOON))
    # Open together, or two of them might have one port and be one session.
    clients = [wire.datagrams(w.address) for _ in range(51)]
    ask(clients[0], b"x")
    w.wait_records(1)
    before = set(w.metrics())
    for client in clients[1:]:
        ask(client, os.urandom(20))
    w.wait_records(51)
    assert set(w.metrics()) == before


# DNS, with the programs people use

def dig(address, name, *options):
    result = subprocess.run(["dig", f"@{address[0]}", "-p", str(address[1]), "+short", "+tries=3", "+time=1", *options, name],
                            stdout=subprocess.PIPE, text=True, timeout=20)
    # Lines about tries that failed come before the answer.
    return [word for line in result.stdout.splitlines() if not line.startswith(";") for word in line.split()]


class Dnsmasq:
    def __init__(self, answer):
        self.port = free_port()
        self.endpoint = f"127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            ["dnsmasq", "--keep-in-foreground", "--no-resolv", "--no-hosts", f"--port={self.port}", "--listen-address=127.0.0.1",
             "--bind-interfaces", f"--address=/a.test/{answer}", f"--txt-record=big.test,{','.join(['x' * 200] * 4)}",
             "--edns-packet-max=4096", "--conf-file=/dev/null", "--pid-file=", "--user=root", "--log-facility=-"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def kill(self):
        self.process.kill()
        self.process.wait()


needs_dns = pytest.mark.skipif(not (shutil.which("dig") and shutil.which("dnsmasq")), reason="needs dig and dnsmasq")


@needs_dns
def test_dns(weir):
    servers = [Dnsmasq("192.0.2.1"), Dnsmasq("192.0.2.2")]
    try:
        w = weir(udp_to(*servers, service={"balance": "round-robin"}, listener={"udp": {"responses": 1}, "address": f":{free_port()}"}))
        eventually(lambda: dig(w.address, "a.test"), "the servers answer")
        assert {dig(w.address, "a.test")[0] for _ in range(8)} == {"192.0.2.1", "192.0.2.2"}
        assert dig(("127.0.0.2", w.address[1]), "a.test"), "asked at another address of the machine"
        assert dig(("::1", w.address[1]), "a.test")
        assert len(" ".join(dig(w.address, "big.test", "TXT", "+bufsize=4096", "+ignore"))) > 800
        servers[0].kill()
        for _ in range(6):
            assert dig(w.address, "a.test") == ["192.0.2.2"], "dig asks again and is served"
        eventually(lambda: w.metric("weir_listener_active_connections") <= 6, "answered sessions are over")
        assert w.metric("weir_endpoint_failures_total", reason="connect-refused") >= 1
    finally:
        for server in servers:
            server.kill()


@pytest.mark.skipif(not (shutil.which("dig") and shutil.which("knotd")), reason="needs dig and knotd")
def test_dns_with_knot(weir, tmp_path):
    port = free_port()
    (tmp_path / "a.test.zone").write_text(
        "$ORIGIN a.test.\n@ 60 SOA ns hostmaster 1 60 60 60 60\n@ 60 NS ns\nns 60 A 192.0.2.9\nwww 60 AAAA 2001:db8::1\n")
    (tmp_path / "knot.conf").write_text(
        f"server:\n  listen: 127.0.0.1@{port}\n  rundir: {tmp_path}\n  user: root\ndatabase:\n  storage: {tmp_path}\n"
        f"log:\n  - target: stderr\n    any: error\nzone:\n  - domain: a.test\n    file: {tmp_path}/a.test.zone\n    zonefile-sync: -1\n")
    knot = subprocess.Popen(["knotd", "-c", str(tmp_path / "knot.conf")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        w = weir(udp_to(f"127.0.0.1:{port}", listener={"udp": {"responses": 1}}))
        eventually(lambda: dig(w.address, "www.a.test", "AAAA") == ["2001:db8::1"], "knot answers through Weir")
    finally:
        knot.kill()
        knot.wait()
