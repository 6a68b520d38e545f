"""L4: bytes pass both ways unchanged, and the ends of a connection mean the same on both sides."""

import hashlib
import socket
import struct
import threading

import pytest

import wire
from backends import Blackhole, answer, closed_port
from harness import assert_answers, proxy_to, tcp_to
from wire import eventually

pytestmark = [pytest.mark.threads]


def echo(c):
    while c.fill():
        c.send(c.take(len(c.buffer)))


def test_echo(weir, backend):
    w = weir(tcp_to(backend(echo)))
    stream = w.connect()
    for n in range(50):
        stream.send(b"ping %d" % n)
        assert stream.exactly(len(b"ping %d" % n)) == b"ping %d" % n
    stream.close()
    line = w.wait_records(1)[0]
    assert line["protocol"] == "tcp" and line["bytes_in"] == line["bytes_out"] > 0 and "reason" not in line


def test_the_server_may_speak_first(weir, backend):
    w = weir(tcp_to(backend(lambda c: (c.send(b"220 ready\r\n"), c.wait_end()))))
    assert w.connect().until(b"\r\n") == b"220 ready\r\n"


def test_large_transfer_both_ways_at_once(weir, backend):
    """64 MiB in each direction, at the same time, to the byte."""
    block, count = bytes(range(253)) * 1036, 256  # of a length that is no power of two
    sent = hashlib.blake2b(block * count).digest()
    digests = {}

    def copy(stream, name):
        def send():
            for _ in range(count):
                stream.send(block)
            stream.half_close()
        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        digest = hashlib.blake2b()
        while stream.fill():
            digest.update(stream.take(len(stream.buffer)))
        thread.join()
        digests[name] = digest.digest()

    w = weir(tcp_to(backend(lambda c: copy(c, "backend"))))
    before = w.rss_kib()
    copy(w.connect(), "client")
    eventually(lambda: len(digests) == 2, "both directions end")
    assert digests == {"backend": sent, "client": sent}
    assert w.rss_kib() - before < 16 * 1024


def test_half_close_by_the_client(weir, backend):
    """The client says all it has and ends its direction; the answer still comes."""
    def script(c):
        question = c.rest()
        c.send(b"answer to " + question)
    w = weir(tcp_to(backend(script)))
    stream = w.connect()
    stream.send(b"question")
    stream.half_close()
    assert stream.rest() == b"answer to question" and not stream.reset


def test_half_close_by_the_server(weir, backend):
    got = []
    def script(c):
        c.send(b"all I have to say")
        c.half_close()
        got.append(c.rest())
    w = weir(tcp_to(backend(script)))
    stream = w.connect()
    assert stream.rest() == b"all I have to say" and not stream.reset
    stream.send(b"and I go on")
    stream.half_close()
    eventually(lambda: got == [b"and I go on"], "the backend reads on after its FIN")


def test_reset_by_the_client(weir, backend):
    b = backend(lambda c: (c.fill(), c.wait_end()))
    w = weir(tcp_to(b))
    stream = w.connect()
    stream.send(b"x")
    eventually(lambda: b.connections and b.connections[0].buffer, "the byte arrives")
    stream.rst()
    eventually(lambda: b.connections[0].end, "the end arrives")
    assert b.connections[0].end == "reset"


def test_reset_by_the_server(weir, backend):
    w = weir(tcp_to(backend(lambda c: (c.fill(), c.rst()))))
    stream = w.connect()
    stream.send(b"x")
    stream.rest()
    assert stream.reset
    assert w.wait_records(1)[0]["reason"] == "upstream-reset"


def test_idle_timeout(weir, backend):
    b = backend(echo)
    w = weir(tcp_to(b, listener={"timeout": {"idle": "400ms"}}))
    stream = w.connect()
    for _ in range(8):  # as long as bytes move the connection lives
        stream.send(b"x")
        assert stream.exactly(1)
        threading.Event().wait(0.1)
    stream.rest()
    assert w.wait_records(1)[0]["reason"] == "idle-timeout"
    eventually(lambda: b.connections[0].finished, "the backend's side ends too")


def test_connect_failure_tries_another_endpoint(weir, backend):
    w = weir(tcp_to(closed_port(), backend(echo), service={"balance": "round-robin"}))
    for _ in range(4):
        stream = w.connect()
        stream.send(b"x")
        assert stream.exactly(1) == b"x"
        stream.close()
    assert 2 in {line["attempts"] for line in w.wait_records(4)}


def test_connect_timeout_tries_another_endpoint(weir, backend):
    with Blackhole() as hole:
        w = weir(tcp_to(hole, backend(echo), service={"balance": "round-robin", "timeout": {"connect": "200ms"}}))
        for _ in range(2):
            stream = w.connect()
            stream.send(b"x")
            assert stream.exactly(1) == b"x"


def test_no_endpoint_left_resets(weir):
    """A client must not take a connection that never was for one that ended well."""
    w = weir(tcp_to(closed_port()))
    try:
        stream = w.connect()
        stream.rest()
        assert stream.reset
    except ConnectionResetError:
        pass  # as early as that
    assert w.wait_records(1)[0]["reason"] == "connect-refused"


# PROXY protocol, byte for byte (the specification of HAProxy, versions 1 and 2)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def v2(command, family, addresses, extra=b""):
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(addresses) + len(extra)) + addresses + extra


def ip4(source, destination, ports):
    return socket.inet_aton(source) + socket.inet_aton(destination) + struct.pack("!HH", *ports)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_proxy_header_sent(weir, backend, version):
    def script(c):
        c.backend.requests.append(c.rest())
    b = backend(script)
    w = weir(tcp_to(b, service={"proxy-protocol": version}))
    stream = w.connect()
    ports = (stream.sock.getsockname()[1], w.address[1])
    stream.send(b"payload")
    stream.half_close()
    b.wait_requests(1)
    expected = (b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % ports if version == "v1"
                else v2(1, 0x11, ip4("127.0.0.1", "127.0.0.1", ports)))
    assert b.requests[0] == expected + b"payload"


@pytest.mark.parametrize("version, expected", [
    ("v1", b"PROXY TCP6 ::1 ::1 %d %d\r\n"), ("v2", None)])
def test_proxy_header_sent_ipv6(weir, backend, version, expected):
    from ports import free_port
    b = backend(lambda c: c.backend.requests.append(c.rest()))
    w = weir(tcp_to(b, service={"proxy-protocol": version}, listener={"address": f"[::1]:{free_port()}"}))
    stream = w.connect()
    ports = (stream.sock.getsockname()[1], w.address[1])
    stream.half_close()
    b.wait_requests(1)
    loopback = socket.inet_pton(socket.AF_INET6, "::1")
    assert b.requests[0] == (expected % ports if expected
                             else v2(1, 0x21, loopback * 2 + struct.pack("!HH", *ports)))


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_proxy_header_sent_by_http_services(weir, backend, version):
    """Each request reaches the endpoint on a connection whose header names the client it is from."""
    def script(c):
        if version == "v1":
            source = c.until(b"\r\n").split()[2].decode()
        else:
            source = socket.inet_ntoa(c.exactly(28)[16:20])
        while True:
            c.request()
            c.send(answer(source.encode()))
    w = weir(proxy_to(backend(script), workers=1, service={"proxy-protocol": version}))
    for n in range(12):
        source = f"127.0.0.{1 + n % 3}"
        sock = socket.create_connection(w.address, wire.PATIENCE, (source, 0))
        stream = wire.Stream(sock)
        for _ in range(2):
            stream.send(wire.head_bytes("GET / HTTP/1.1"))
            assert stream.response().body.decode() == source
        stream.close()


HEADERS = {
    "v1": (b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 80\r\n", "203.0.113.9"),
    "v1-ipv6": (b"PROXY TCP6 2001:db8::9 2001:db8::1 4711 80\r\n", "2001:db8::9"),
    "v1-unknown": (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    "v2": (v2(1, 0x11, ip4("203.0.113.9", "192.0.2.1", (4711, 80))), "203.0.113.9"),
    "v2-tlvs": (v2(1, 0x11, ip4("203.0.113.9", "192.0.2.1", (4711, 80)), b"\x04\x00\x03abc"), "203.0.113.9"),
    "v2-local": (v2(0, 0x00, b""), "127.0.0.1"),
    "v2-ipv6": (v2(1, 0x21, socket.inet_pton(socket.AF_INET6, "2001:db8::9") * 2 + struct.pack("!HH", 1, 2)),
                "2001:db8::9"),
}


@pytest.mark.parametrize("pieces", ["whole", "bytes"])
@pytest.mark.parametrize("name", HEADERS)
def test_proxy_header_received(weir, backend, name, pieces):
    """The header names the client, on TCP and HTTP listeners, however it arrives."""
    header, client = HEADERS[name]
    step = len(header) if pieces == "whole" else 1
    b = backend(lambda c: c.backend.requests.append(c.rest()))
    w = weir(tcp_to(b, listener={"proxy-protocol": "required"}))
    stream = w.connect()
    for at in range(0, len(header), step):
        stream.send(header[at:at + step])
    stream.send(b"payload")
    stream.half_close()
    stream.rest()
    assert w.wait_records(1)[0]["client"] == client
    assert b.wait_requests(1)[0] == b"payload", "the header itself goes no further"

    w = weir(proxy_to(backend(), listener={"proxy-protocol": "required"}))
    stream = w.connect()
    stream.send(header + wire.head_bytes("GET / HTTP/1.1"))
    assert stream.response().status == 200
    assert w.wait_records(1)[0]["client"] == client


@pytest.mark.parametrize("bad", [
    b"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n",
    b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n", b"PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n", b"PROXY TCP5 a b 1 2\r\n",
    b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n" + b"x" * 100,
    b"PROXY " + b"x" * 200, b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
    SIGNATURE + b"\x31\x11\x00\x0c" + b"x" * 12, SIGNATURE + b"\x21\x11\x00\x04" + b"x" * 4,
    SIGNATURE + b"\x22\x11\x00\x0c" + b"x" * 12, SIGNATURE + b"\x21\x41\x00\x0c" + b"x" * 12,
])
@pytest.mark.parametrize("protocol", ["tcp", "http"])
def test_proxy_header_malformed(weir, backend, protocol, bad):
    """A connection without a proper header is closed unanswered; the next one is fine."""
    b = backend()
    make = tcp_to if protocol == "tcp" else proxy_to
    w = weir(make(b, listener={"proxy-protocol": "required", "timeout": {"head": "3s"}}))
    stream = w.connect()
    stream.send(bad)
    assert stream.rest() == b""
    assert not b.requests and not b.partial
    assert w.wait_records(1)[0]["reason"] == "proxy-header-malformed"
    good = w.connect()
    good.send(HEADERS["v1"][0] + wire.head_bytes("GET / HTTP/1.1"))
    assert good.response().status == 200
