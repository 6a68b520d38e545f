"""Who is told why a connection ends can read it, also a client that is still sending: our direction ends, and what comes
is thrown away for a while, where a close would answer it with a reset (RFC 9112 §9.6, RFC 8446 §6.1)."""

import socket
import ssl
import time

import pytest

import certs
import h2wire
import wire
from harness import proxy_to, tcp_to
from test_tls import by_hand
from test_tcp import echo
from test_tcp_sni import hello_of, passing
from wire import eventually, head_bytes

pytestmark = [pytest.mark.bytes]

BAD_RECORD = b"\x17\x03\x03\x00\x20" + bytes(32)
UNRECOGNIZED_NAME = b"\x15\x03\x03\x00\x02\x02\x70"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return certs.CA(tmp_path_factory.mktemp("endings"))


def told(sock, last: bytes, junk=b"j" * 4096) -> bytes:
    """Sends what ends the connection, goes on sending, and reads only then: all up to an orderly end."""
    sock.settimeout(wire.PATIENCE)
    sock.sendall(last + junk)
    for _ in range(16):
        time.sleep(0.005)
        sock.sendall(junk)
    said = bytearray()
    while piece := sock.recv(65536):
        said += piece
    sock.sendall(junk)  # after the end as well
    sock.close()
    return bytes(said)


def raises_bad_record(connection, incoming, said):
    incoming.write(said)
    incoming.write_eof()
    with pytest.raises(ssl.SSLError, match="(?i)bad.record.mac"):
        while connection.read(65536):
            pass


def tls(ca):
    return {"tls": {"certificates": [ca.issue("a.example").pair]}}


def context(ca, alpn=("http/1.1",)):
    return ca.context(alpn=alpn, low=ssl.TLSVersion.TLSv1_3)


@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_a_bad_record_behind_the_handshake(weir, backend, ca, kind):
    w = weir(proxy_to(backend(), listener=tls(ca)) if kind == "http" else tcp_to(backend(echo), listener=tls(ca)))
    for _ in range(5):
        connection, sock, incoming, outgoing = by_hand(w.address, context(ca, ("http/1.1",) if kind == "http" else ()))
        raises_bad_record(connection, incoming, told(sock, outgoing.read() + BAD_RECORD))
    eventually(lambda: w.metric("weir_listener_active_connections") == 0, "nobody is waited for any more")


@pytest.mark.parametrize("where", ["between requests", "in a request's body", "in a session", "in a tunnel"])
def test_a_bad_record_on_an_open_connection(weir, backend, ca, where):
    w = weir(tcp_to(backend(echo), listener=tls(ca)) if where == "in a tunnel"
             else proxy_to(backend(), listener=tls(ca)))
    alpn = {"in a session": ("h2",), "in a tunnel": ()}.get(where, ("http/1.1",))
    connection, sock, incoming, outgoing = by_hand(w.address, context(ca, alpn))
    request = {
        "between requests": head_bytes("GET / HTTP/1.1"), "in a tunnel": b"hello",
        "in a request's body": head_bytes("POST / HTTP/1.1", [("Content-Length", "1000000")]) + b"some",
        "in a session": h2wire.PREFACE + h2wire.settings(),
    }[where]
    connection.write(request)
    sock.sendall(outgoing.read())
    if where != "in a request's body":  # which is not answered before it is whole
        while True:
            try:
                assert connection.read(65536)
                break
            except ssl.SSLWantReadError:
                incoming.write(sock.recv(65536))
    raises_bad_record(connection, incoming, told(sock, BAD_RECORD))


def test_plain_http_to_the_tls_port(weir, backend, ca):
    w = weir(proxy_to(backend(), listener=tls(ca)))
    said = told(h2wire.dial(w.address), head_bytes("POST / HTTP/1.1", [("Content-Length", "69632")]))
    assert said.startswith(b"HTTP/1.1 400 ") and b"use https://" in said


def test_no_version_in_common(weir, backend, ca):
    w = weir(proxy_to(backend(), listener={"tls": {**tls(ca)["tls"], "profile": "modern"}}))
    old = ca.context(alpn=["http/1.1"], high=ssl.TLSVersion.TLSv1_2)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = old.wrap_bio(incoming, outgoing, server_hostname="a.example")
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    said = told(h2wire.dial(w.address), outgoing.read())
    assert said == b"\x15\x03\x03\x00\x02\x02\x46"  # protocol_version


def test_a_name_nobody_has(weir, backend, ca):
    w = weir(passing({"api.example": "api"}, {"api": backend(echo)}))
    assert told(h2wire.dial(w.address), hello_of("other.example"), bytes(65536)) == UNRECOGNIZED_NAME
    line = w.wait_reason("sni-unknown")
    assert line["protocol"] == "tcp"
    eventually(lambda: w.metric("weir_listener_active_connections") == 0, "nobody is waited for any more")


@pytest.mark.parametrize("last", [
    h2wire.frame("DATA", 0, 0, b"on no stream"), h2wire.frame("PING", 0, 0, b"short"),
    h2wire.frame("PRIORITY", 0, 1, b"\0\0\0\1\0")], ids=["data", "ping", "priority"])
def test_goaway(weir, backend, last):
    w = weir(proxy_to(backend()))
    said, kinds = told(h2wire.dial(w.address), h2wire.PREFACE + h2wire.settings() + last), []
    while said:
        kinds.append(h2wire.NAMES[said[3]])
        said = said[9 + int.from_bytes(said[:3], "big"):]
    assert kinds[-1] == "GOAWAY", kinds


def test_a_head_that_cannot_be_read(weir, backend):
    w = weir(proxy_to(backend()))
    said = told(h2wire.dial(w.address), b"GET / HTTP/1.1\r\nHost: a\r\nbad line\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 400 ")


def floods_early(c):
    """Answers an upload before it is whole, with more than all buffers hold."""
    c.head()
    c.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
    for _ in range(90):
        c.send(bytes(1_000_000))
        c.backend.sent += 1


def answer_that_waits(w, origin, ca):
    """A TLS connection on which Weir has a response for the client that its socket does not take, and owes it a read."""
    origin.sent = 0
    connection, sock, incoming, outgoing = by_hand(w.address, context(ca))
    connection.write(head_bytes("POST / HTTP/1.1", [("Content-Length", "1000000")]) + b"some")
    sock.sendall(outgoing.read())
    seen = []
    eventually(lambda: seen.append(origin.sent) or (len(seen) > 5 and seen[-1] == seen[-5] > 0), "all buffers are full",
               every=0.1)
    return connection, sock, incoming


@pytest.mark.parametrize("reads", [True, False], ids=["reads", "does not read"])
def test_a_bad_record_while_the_answer_waits(weir, backend, ca, reads):
    """What waits cannot be sent any more; neither that nor a trickle keeps the connection."""
    origin = backend(floods_early)
    w = weir(proxy_to(origin, listener=tls(ca)))
    connection, sock, incoming = answer_that_waits(w, origin, ca)
    sock.sendall(BAD_RECORD)
    w.wait_reason("client-closed-during-response")
    sock.setblocking(False)
    said, begun, isOver = bytearray(), time.monotonic(), False
    while not isOver:
        assert time.monotonic() - begun < wire.PATIENCE, "the connection ends"
        try:
            sock.send(b"x")
            while reads and not isOver:
                piece = sock.recv(1 << 20)
                said += piece
                isOver = not piece
        except BlockingIOError:
            time.sleep(0.1)
        except ConnectionError:
            isOver = True
        if not reads:
            time.sleep(0.1)
    if reads:
        raises_bad_record(connection, incoming, said)
    eventually(lambda: w.metric("weir_listener_active_connections") == 0, "nobody is waited for any more")


def test_a_truncated_connection_is_cut(weir, backend, ca):
    """Nobody was told anything: what had been sent of the answer must not be taken for all of it."""
    origin = backend(floods_early)
    w = weir(proxy_to(origin, listener=tls(ca)))
    _, sock, _ = answer_that_waits(w, origin, ca)
    sock.shutdown(socket.SHUT_WR)
    w.wait_reason("client-closed-during-response")
    sock.settimeout(wire.PATIENCE)
    with pytest.raises(ConnectionResetError):
        while sock.recv(1 << 20):
            pass


def test_a_quiet_session_that_knows_is_not_waited_for(weir, backend):
    """A client that has read our GOAWAY, and has nothing open, loses nothing by a close."""
    w = weir(proxy_to(backend(), listener={"timeout": {"idle": "300ms"}}))
    with h2wire.connect(w.address) as s:
        assert s.until_closed() and s.goaway[1] == "NO_ERROR"
        begun = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - begun < 1.5:
                s.sock.sendall(h2wire.frame("PING", 0, 0, bytes(8)))
                time.sleep(0.02)


def test_who_never_leaves_is_not_waited_for(weir, backend, ca):
    """Two seconds of silence, and a bound on what is thrown away."""
    w = weir(proxy_to(backend(), listener=tls(ca)))
    stays = h2wire.dial(w.address)
    stays.sendall(head_bytes("GET / HTTP/1.1"))
    assert stays.recv(65536).startswith(b"HTTP/1.1 400 ")
    pours = h2wire.dial(w.address)
    with pytest.raises(ConnectionError):
        for _ in range(4096):
            pours.sendall(bytes(65536))
    eventually(lambda: w.metric("weir_listener_active_connections") == 0, "nobody is waited for any more")
    stays.close()
