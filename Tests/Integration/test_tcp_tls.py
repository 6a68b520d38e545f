"""TLS around TCP: ended at a tcp listener, begun towards the endpoint, or both; bytes pass unchanged."""

import contextlib
import hashlib
import os
import select
import ssl
import time

import pytest

import certs
import h2wire
from harness import tcp_to
from test_tcp import echo
from test_tls_upstream import over_tls


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return certs.CA(tmp_path_factory.mktemp("tcp-tls"))


def site(b, ca, listener=True, service=True, **more):
    """A configuration with TLS on either side of a TCP listener."""
    certificate = ca.issue("db.example")
    return tcp_to(
        b, listener={"tls": {"certificates": [certificate.pair]}, **more} if listener else more,
        service={"tls": {"ca": ca.path, "server-name": "db.example"}} if service else {}, workers=1)


def dial(w, ca, listener=True):
    sock = h2wire.dial(w.address)
    sock.settimeout(20)
    if listener:
        sock = ca.context(alpn=()).wrap_socket(sock, server_hostname="db.example")
    return sock


@pytest.mark.parametrize("listener, service", [(True, False), (False, True), (True, True)])
def test_bytes_pass_both_ways(weir, backend, ca, listener, service):
    script = over_tls(echo, certs.server_context(ca.issue("db.example"), alpn=())) if service else echo
    w = weir(site(backend(script), ca, listener, service))
    sock = dial(w, ca, listener)
    for size in (1, 100, 20_000):
        sent = os.urandom(size)
        sock.sendall(sent)
        got = b""
        while len(got) < size:
            got += sock.recv(65536)
        assert got == sent
    # In bulk, with both directions full at once.
    sent = os.urandom(1 << 20) * 8
    # One thread for both: a TLS connection of Python is not for two at a time.
    sock.setblocking(False)
    digest, written, left = hashlib.blake2b(), 0, len(sent)
    deadline = time.monotonic() + 180
    while left:
        assert time.monotonic() < deadline, f"stuck with {left} bytes left"
        moved = 0
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            moved = sock.send(sent[written:written + (1 << 18)]) if written < len(sent) else 0
            written += moved
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            block = sock.recv(1 << 18)
            assert block, f"cut with {left} bytes left"
            digest.update(block)
            left -= len(block)
            moved += len(block)
        if not moved:
            select.select([sock], [sock] if written < len(sent) else [], [], 1)
    assert digest.digest() == hashlib.blake2b(sent).digest()
    sock.close()
    line = w.wait_records(1)[0]
    assert line["protocol"] == "tcp" and line["bytes_in"] == line["bytes_out"] == len(sent) + 20_101


def test_the_server_may_speak_first(weir, backend, ca):
    script = over_tls(lambda c: (c.send(b"220 ready\r\n"), c.wait_end()), certs.server_context(ca.issue("db.example"), alpn=()))
    w = weir(site(backend(script), ca))
    assert dial(w, ca).recv(100) == b"220 ready\r\n"


def test_proxy_headers_stand_outside_of_tls(weir, backend, ca):
    seen = []

    def script(c):
        while b"\r\n" not in c.buffer:
            c.fill()
        seen.append(bytes(c.take(c.buffer.index(b"\r\n") + 2)))
        if c.buffer:
            c.send(c.take(len(c.buffer)))
        echo(c)
    w = weir(tcp_to(
        backend(script), listener={"tls": {"certificates": [ca.issue("db.example").pair]}, "proxy-protocol": "required"},
        service={"proxy-protocol": "v1"}, workers=1))
    sock = h2wire.dial(w.address)
    sock.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.8 5555 5432\r\n")
    sock = ca.context(alpn=()).wrap_socket(sock, server_hostname="db.example")
    sock.sendall(b"hello")
    assert sock.recv(100) == b"hello"
    assert seen[0].startswith(b"PROXY TCP4 192.0.2.7 ")


def test_plain_bytes_are_no_handshake(weir, backend, ca):
    b = backend(echo)
    w = weir(site(b, ca, service=False))
    sock = h2wire.dial(w.address)
    sock.sendall(b"\x00\x01\x02\x03 no handshake at all")
    assert w.wait_reason("tls-handshake-malformed")["protocol"] == "tcp"
    assert not b.connections, "nothing reached the endpoint"


def test_untrusted_endpoint_is_not_spoken_to(weir, backend, ca, tmp_path):
    other = certs.CA(tmp_path)
    b = backend(over_tls(echo, certs.server_context(other.issue("db.example"), alpn=())))
    w = weir(site(b, ca, listener=False))
    # It may end before the client has looked at it once.
    with pytest.raises((ConnectionError, ssl.SSLError)):
        sock = dial(w, ca, listener=False)
        sock.sendall(b"secret")
        if sock.recv(100) == b"":
            raise ConnectionError
    assert w.wait_reason("upstream-certificate-untrusted")["phase"] == "forward"
