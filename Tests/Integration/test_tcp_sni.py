"""SNI passthrough: a TCP listener chooses a service by the ClientHello and passes every byte on unchanged.

Hellos are those of real libraries (Python's ssl, openssl, curl), sent whole, byte by byte and cut into
records of other sizes, or written by hand where no library would send them.
"""

import contextlib
import os
import shutil
import ssl
import struct
import subprocess

import pytest

import certs
import h2wire
import harness
import wire
from backends import answer, closed_port, fixed
from harness import address_of
from test_tls_upstream import over_tls
from wire import eventually

pytestmark = [pytest.mark.bytes]

UNRECOGNIZED_NAME = b"\x15\x03\x03\x00\x02\x02\x70"
OPENSSL = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed")
CURL = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return certs.CA(tmp_path_factory.mktemp("sni"))


def passing(names, backends, listener=None, services=None, **more):
    """One listener: names → keys of `backends`."""
    return harness.merge({
        "listeners": {"secure": {"address": None, "protocol": "tcp", "sni": names, **(listener or {})}},
        "services": {name: {"endpoints": [address_of(b)], **((services or {}).get(name, {}))}
                     for name, b in backends.items()},
        "workers": 1,
    }, more)


def keep(c):
    """Take everything, answer with a byte for each read, as it comes."""
    while c.fill():
        c.send(b".")


def tls_site(backend, ca, *names):
    """A backend that ends TLS itself and says its first name."""
    issued = ca.issue(*names, name="sni-" + names[0].replace("*", "_"))
    return backend(over_tls(fixed(answer(names[0].encode())), certs.server_context(issued)))


def hello_of(name, alpn=("http/1.1",)) -> bytes:
    """The first flight of Python's ssl, without a connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(list(alpn))
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


def made_hello(name=None, padding=0) -> bytes:
    """A hello written by hand: one record, as large as wanted."""
    extensions = b""
    if name:
        entry = b"\0" + struct.pack(">H", len(name)) + name
        extensions += struct.pack(">HHH", 0, len(entry) + 2, len(entry)) + entry
    if padding:
        extensions += struct.pack(">HH", 21, padding) + bytes(padding)
    body = b"\3\3" + bytes(32) + b"\0" + b"\0\2\x13\1" + b"\1\0" + struct.pack(">H", len(extensions)) + extensions
    message = b"\1" + len(body).to_bytes(3, "big") + body
    return b"\x16\3\1" + struct.pack(">H", len(message)) + message


def in_records(hello: bytes, size: int) -> bytes:
    """The same handshake message in records of at most `size` bytes."""
    message = hello[5:]
    return b"".join(b"\x16\3\1" + struct.pack(">H", len(message[i:i + size])) + message[i:i + size]
                    for i in range(0, len(message), size))


def received(b, count=1):
    eventually(lambda: len(b.connections) >= count, "the endpoint is connected")
    return b.connections[count - 1]


def fetch(w, ca, name):
    context = ca.context(alpn=["http/1.1"])
    with h2wire.dial(w.address) as sock, context.wrap_socket(sock, server_hostname=name) as secured:
        stream = wire.Stream(secured)
        stream.send(wire.head_bytes("GET / HTTP/1.1", host=name))
        return stream.response().body


def test_each_name_reaches_its_service(weir, backend, ca):
    """The certificate comes from the endpoint: Weir has none, and the handshake is the endpoint's."""
    sites = {
        "api": tls_site(backend, ca, "api.example"),
        "shops": tls_site(backend, ca, "one.shop.example", "a.b.shop.example", "eu.shop.example"),
        "europe": tls_site(backend, ca, "one.eu.shop.example"),
        "rest": tls_site(backend, ca, "other.example", "shop.example"),
    }
    w = weir(passing({
        "api.example": "api", "*.shop.example": "shops", "*.EU.shop.example": "europe", "*": "rest"}, sites))
    for name, expected in [
            ("api.example", b"api.example"), ("API.Example", b"api.example"),
            ("one.shop.example", b"one.shop.example"), ("a.b.shop.example", b"one.shop.example"),
            # The longer of two wildcards; a wildcard is not the name it stands below.
            ("one.eu.shop.example", b"one.eu.shop.example"), ("eu.shop.example", b"one.shop.example"),
            ("shop.example", b"other.example"), ("other.example", b"other.example")]:
        assert fetch(w, ca, name) == expected, name
    line = w.wait_record(lambda r: r.get("server_name") == "one.eu.shop.example")
    assert line["protocol"] == "tcp" and line["service"] == "europe" and "reason" not in line
    assert w.wait_record(lambda r: r.get("server_name") == "api.example")["service"] == "api"


@OPENSSL
def test_openssl_through_it(weir, backend, ca):
    w = weir(passing({"api.example": "api"}, {"api": tls_site(backend, ca, "api.example")}))
    for name, served in [("api.example", True), ("nobody.example", False)]:
        run = subprocess.run(
            ["openssl", "s_client", "-connect", "%s:%d" % w.address, "-servername", name, "-CAfile", ca.path,
             "-verify_return_error"], input=b"", capture_output=True, timeout=30)
        assert (run.returncode == 0) == served, run.stderr.decode()
        if not served:
            assert b"unrecognized name" in run.stderr


@CURL
@pytest.mark.parametrize("version", ["--tlsv1.2", "--tlsv1.3"])
def test_curl_through_it(weir, backend, ca, version):
    w = weir(passing({"*.example": "api"}, {"api": tls_site(backend, ca, "api.example")}))
    run = subprocess.run(
        ["curl", "-sS", version, "--cacert", ca.path, "--resolve", "api.example:%d:%s" % (w.address[1], w.address[0]),
         "https://api.example:%d/" % w.address[1]], capture_output=True, timeout=30)
    assert run.stdout == b"api.example", run.stderr


@pytest.mark.parametrize("make", [
    lambda: hello_of("api.example"), lambda: in_records(hello_of("api.example"), 100),
    lambda: in_records(hello_of("api.example"), 3), lambda: made_hello(b"api.example", 15_000),
    lambda: made_hello(b"aPi.eXaMpLe")], ids=["whole", "records", "tiny-records", "huge", "hand-made"])
@pytest.mark.parametrize("step", [1, 7, None], ids=["byte-by-byte", "sevens", "at-once"])
def test_the_hello_arrives_unchanged(weir, backend, make, step):
    """However it is cut, on the way in or into records, and with what follows it."""
    b = backend(keep)
    w = weir(passing({"api.example": "api"}, {"api": b}))
    hello = make()
    sent = hello + os.urandom(200)
    stream = w.connect()
    if step == 1 and len(hello) > 4_000:
        step = 61  # the same, sooner
    for i in range(0, len(sent), step or len(sent)):
        stream.send(sent[i:i + (step or len(sent))])
    c = received(b)
    eventually(lambda: len(c.buffer) == len(sent), "all bytes at the endpoint")
    assert bytes(c.buffer) == sent
    stream.close()
    line = w.wait_records(1)[0]
    assert line["bytes_in"] == len(sent) and line["server_name"] == "api.example"


def test_hello_and_end_in_one_go(weir, backend):
    b = backend(lambda c: c.send(b"got %d" % len(c.rest())))
    w = weir(passing({"api.example": "api"}, {"api": b}))
    stream = w.connect()
    hello = hello_of("api.example")
    stream.send(hello)
    stream.half_close()
    assert stream.rest() == b"got %d" % len(hello)


def refused(w, data, reason, phase="handshake", reply=b""):
    stream = w.connect()
    with contextlib.suppress(ConnectionResetError):  # refused before all was sent
        stream.send(data)
    assert stream.rest() == reply
    line = w.wait_reason(reason)
    assert line["protocol"] == "tcp" and line["phase"] == phase and line["attempts"] == 0
    assert "service" not in line and "endpoint" not in line
    assert w.metric("weir_failures_total", reason=reason) == 1
    return line


@pytest.mark.parametrize("hello, name", [
    (lambda: hello_of("other.example"), "other.example"), (made_hello, None),
    (lambda: hello_of("notapi.example"), "notapi.example"), (lambda: hello_of("w.example"), "w.example")],
    ids=["unknown", "without", "longer", "parent-of-wildcard"])
def test_nobody_of_that_name(weir, backend, hello, name):
    """The alert unrecognized_name (RFC 6066 §3) reaches the client before the end of the connection."""
    b = backend(keep)
    w = weir(passing({"api.example": "api", "*.w.example": "api"}, {"api": b}))
    data = hello()
    line = refused(w, data, "sni-unknown", "route", UNRECOGNIZED_NAME)
    assert line.get("server_name") == name
    assert line["bytes_in"] == len(data) and not b.connections


def test_alert_is_understood(weir, backend, ca):
    w = weir(passing({"api.example": "api"}, {"api": backend(keep)}))
    with h2wire.dial(w.address) as sock, pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        ca.context().wrap_socket(sock, server_hostname="other.example")


@pytest.mark.parametrize("hello", [made_hello, lambda: hello_of("x.example"), lambda: b"SSH-2.0-client\r\n",
                                   lambda: wire.head_bytes("GET / HTTP/1.1"), lambda: b"\x16\x16"],
                         ids=["no-name", "other-name", "ssh", "http", "almost"])
def test_everything_else_goes_to_the_default(weir, backend, hello):
    """Also what is no TLS at all."""
    api, rest = backend(keep), backend(keep)
    w = weir(passing({"api.example": "api", "*": "rest"}, {"api": api, "rest": rest}))
    stream, data = w.connect(), hello()
    stream.send(data)
    c = received(rest)
    eventually(lambda: bytes(c.buffer) == data, "the bytes at the default")
    assert not api.connections
    stream.close()
    assert w.wait_records(1)[0]["service"] == "rest"


@pytest.mark.parametrize("data, reason", [
    (wire.head_bytes("GET / HTTP/1.1"), "tls-plain-http"), (b"SSH-2.0-client\r\n", "tls-handshake-malformed"),
    (b"\x00\x01\x02\x03", "tls-handshake-malformed"), (b"\x17\x03\x03\x00\x02ab", "tls-handshake-malformed")])
def test_what_is_no_tls(weir, backend, data, reason):
    b = backend(keep)
    w = weir(passing({"api.example": "api"}, {"api": b}))
    assert refused(w, data, reason)["position"] == 0
    assert not b.connections


@pytest.mark.parametrize("data", [
    b"\x16\x03\x01\x00\x00", b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", made_hello(b"api.example", 16_384),
    made_hello(b"api example"), in_records(made_hello(b"api.example", 16_000), 1)],
    ids=["empty-record", "server-hello", "too-large", "bad-name", "too-many-records"])
@pytest.mark.parametrize("names", [{"api.example": "api"}, {"api.example": "api", "*": "api"}], ids=["", "default"])
def test_a_broken_hello_is_nobodys(weir, backend, data, names):
    """It begins as TLS and breaks the rules: whom it means cannot be known, so not even the default has it."""
    b = backend(keep)
    w = weir(passing(names, {"api": b}))
    assert refused(w, data, "tls-handshake-malformed")["position"] > 1
    assert not b.connections


def speaks_first(c):
    c.send(b"220 ready\r\n")
    while c.fill():
        c.send(c.take(len(c.buffer)))


@pytest.mark.parametrize("header", [False, True])
def test_a_silent_client_goes_to_the_default(weir, backend, ca, header):
    """The server speaks first: it is connected to without a word of the client's."""
    listener = {"proxy-protocol": "required"} if header else {"timeout": {"hello": "200ms"}}
    w = weir(passing({"a.example": "tls", "*": "mail"}, {"mail": backend(speaks_first), "tls": tls_site(
        backend, ca, "a.example")}, listener=listener))
    stream = w.connect()
    if header:
        stream.send(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n")
    assert stream.until(b"\n") == b"220 ready\r\n"
    stream.send(b"EHLO me\r\n")
    assert stream.until(b"\n") == b"EHLO me\r\n"


def test_a_hello_that_has_begun_is_waited_for(weir, backend, ca):
    """Whoever has begun to speak TLS is no silent client, however slow."""
    w = weir(passing({"a.example": "tls", "*": "mail"}, {"mail": backend(speaks_first), "tls": backend(keep)},
                     listener={"timeout": {"hello": "100ms", "head": "30s"}}))
    stream, hello = w.connect(), hello_of("a.example")
    stream.send(hello[:1])
    assert not stream.readable(0.5)
    stream.send(hello[1:])
    assert stream.exactly(1) == b"."


def test_a_silent_client_without_a_default(weir, backend):
    w = weir(passing({"a.example": "tls"}, {"tls": backend(keep)}, listener={"timeout": {"head": "300ms"}}))
    stream = w.connect()
    assert stream.ended()
    assert w.wait_reason("tls-handshake-timeout")


def test_a_hello_that_never_ends(weir, backend):
    w = weir(passing({"api.example": "api"}, {"api": backend(keep)}, {"timeout": {"head": "300ms"}}))
    refused(w, hello_of("api.example")[:-1], "tls-handshake-timeout")


@pytest.mark.parametrize("count", [0, 1, 40])
def test_a_client_that_leaves(weir, backend, count):
    w = weir(passing({"api.example": "api"}, {"api": backend(keep)}))
    stream = w.connect()
    stream.send(hello_of("api.example")[:count])
    stream.close()
    assert w.wait_reason("tls-closed-during-handshake")["phase"] == "handshake"


@pytest.mark.parametrize("together", [True, False])
def test_proxy_headers_in_and_out(weir, backend, together):
    b = backend(keep)
    w = weir(passing({"api.example": "api"}, {"api": b}, {"proxy-protocol": "required"},
                     {"api": {"proxy-protocol": "v1"}}))
    head = b"PROXY TCP4 192.0.2.7 192.0.2.8 5555 443\r\n"
    hello = hello_of("api.example")
    stream = w.connect()
    if together:
        stream.send(head + hello)
    else:
        for byte in head:
            stream.send(bytes([byte]))
        stream.send(hello[:50])
        stream.send(hello[50:])
    c = received(b)
    eventually(lambda: bytes(c.buffer).endswith(hello), "the hello at the endpoint")
    told = bytes(c.buffer)[:-len(hello)]
    assert told.startswith(b"PROXY TCP4 192.0.2.7 ") and told.count(b"\r\n") == 1
    stream.close()
    line = w.wait_records(1)[0]
    assert line["client"] == "192.0.2.7" and line["server_name"] == "api.example"


def test_proxy_header_and_a_large_hello_at_once(weir, backend):
    """More than the room a PROXY header is read into."""
    b = backend(keep)
    w = weir(passing({"api.example": "api"}, {"api": b}, {"proxy-protocol": "required"}))
    hello = made_hello(b"api.example", 15_500)
    w.connect().send(b"PROXY TCP4 192.0.2.7 192.0.2.8 5555 443\r\n" + hello)
    c = received(b)
    eventually(lambda: bytes(c.buffer) == hello, "the hello at the endpoint")


def test_endpoint_that_refuses(weir, backend):
    """The service's other endpoint is tried with the same hello."""
    b = backend(keep)
    config = passing({"api.example": "api"}, {"api": b})
    config["services"]["api"] |= {"endpoints": [closed_port(), address_of(b)], "balance": "round-robin"}
    w = weir(config)
    hello = hello_of("api.example")
    for number in (1, 2):
        w.connect().send(hello)
        c = received(b, number)
        eventually(lambda: bytes(c.buffer) == hello, "the hello at the endpoint")


def test_names_change_with_a_reload(weir, backend):
    old, new = backend(keep), backend(keep)
    config = passing({"api.example": "old"}, {"old": old, "new": new})
    config["listeners"]["secure"]["sni"]["new.example"] = "new"
    w = weir(config)
    first = w.connect()
    first.send(hello_of("api.example"))
    c = received(old)
    config["listeners"]["secure"]["sni"]["api.example"] = "new"
    config["listeners"]["secure"]["sni"]["old.example"] = "old"
    w.reload(config)
    w.connect().send(hello_of("api.example"))
    received(new)
    # The one under way stays where it is.
    first.send(b"more")
    eventually(lambda: c.buffer.endswith(b"more"), "bytes on the old connection")


def test_name_of_a_listener_that_ends_tls(weir, backend, ca):
    """The log has the name there too."""
    w = weir(harness.tcp_to(backend(keep), listener={"tls": {"certificates": [ca.issue("db.example").pair]}}))
    with h2wire.dial(w.address) as sock, ca.context(alpn=()).wrap_socket(sock, server_hostname="db.example") as s:
        s.sendall(b"x")
        assert s.recv(1) == b"."
    assert w.wait_records(1)[0]["server_name"] == "db.example"


def test_bulk_both_ways(weir, backend, ca):
    """What follows the hello is moved like on any TCP listener."""
    def echo(c):
        while c.fill():
            c.send(c.take(len(c.buffer)))
    w = weir(passing({"db.example": "db"}, {"db": backend(over_tls(
        echo, certs.server_context(ca.issue("db.example"), alpn=())))}))
    with h2wire.dial(w.address) as sock, ca.context(alpn=()).wrap_socket(sock, server_hostname="db.example") as s:
        block = os.urandom(1 << 16)
        for _ in range(64):
            s.sendall(block)
            got = b""
            while len(got) < len(block):
                got += s.recv(1 << 16)
            assert got == block
