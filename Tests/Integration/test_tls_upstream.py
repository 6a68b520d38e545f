"""TLS with endpoints: verified by default, and each way to fail has its own reason."""

import socket
import ssl

import pytest

import certs
import h2wire
import harness
import wire
from backends import OK, Backend, answer, fixed, mirror, serve
from harness import assert_made_by_weir, proxy_to
from wire import eventually, head_bytes


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return certs.CA(tmp_path_factory.mktemp("upstream"))


def over_tls(script, context):
    """The script of a backend behind TLS; failed handshakes collect in backend.handshakes."""

    def run(c):
        c.backend.handshakes = getattr(c.backend, "handshakes", [])
        try:
            c.sock = context.wrap_socket(c.sock, server_side=True)
        except (ssl.SSLError, OSError) as error:
            c.backend.handshakes.append(str(error))
            return
        c.name = getattr(context, "asked", None)
        script(c)
    return run


@pytest.fixture
def secure(backend, ca):
    def start(*names, script=None, alpn=("http/1.1",), clients=None, issued=None, **options):
        issued = issued or ca.issue(*(names or ("api.example",)), **options)
        context = certs.server_context(issued, clients, alpn)
        context.sni_callback = lambda sock, name, _: setattr(context, "asked", name)
        return backend(over_tls(script or serve(mirror), context))
    return start


def to(b, ca, **tls):
    return proxy_to(b, service={"tls": {"ca": ca.path, "server-name": "api.example", **tls}})


def test_verified_endpoint(weir, secure, ca):
    b = secure("api.example")
    w = weir(harness.merge(to(b, ca), {"workers": 1}))
    for _ in range(5):
        assert w.get("/").status == 200
    assert {r.connection for r in b.requests} == {0}, "the connection is kept"
    assert b.connections[0].name == "api.example", "the name is asked for (SNI)"


def test_endpoint_by_address(weir, secure, ca):
    """Without a server-name the address itself must be in the certificate, and no name is asked for."""
    b = secure("127.0.0.1")
    w = weir(proxy_to(b, service={"tls": {"ca": ca.path}}))
    assert w.get("/").status == 200
    assert b.connections[0].name is None, "an address is no server name (RFC 6066 §3)"


def test_wildcard_of_the_endpoint(weir, secure, ca):
    w = weir(to(secure("*.in.example"), ca, **{"server-name": "api.in.example"}))
    assert w.get("/").status == 200


@pytest.mark.parametrize("case", ["bad-name", "self-signed", "unknown-ca", "expired", "future", "client-only",
                                  "address-not-in-certificate", "system-cas"])
def test_endpoint_that_cannot_prove_who_it_is(weir, secure, ca, tmp_path, case):
    """502 with a reason, nothing of the request sent, and no second attempt at the same endpoint."""
    other = certs.CA(tmp_path, "Other")
    tls = {"ca": ca.path, "server-name": "api.example"}
    if case == "bad-name":
        b = secure("wrong.example")
    elif case == "self-signed":
        b = secure(issued=self_signed(tmp_path))
    elif case == "unknown-ca":
        b = secure(issued=other.issue("api.example"))
    elif case == "expired":
        b = secure("api.example", start=-20, end=-1, name="expired")
    elif case == "future":
        b = secure("api.example", start=1, end=9, name="future")
    elif case == "client-only":
        b = secure("api.example", client=True, name="client")
    elif case == "address-not-in-certificate":
        b, tls = secure("api.example"), {"ca": ca.path}
    else:
        b, tls = secure("api.example"), {"server-name": "api.example"}
    w = weir(proxy_to(b, service={"tls": tls}))
    response = w.get("/secret")
    assert response.status == 502
    assert_made_by_weir(response, "")
    status = response.get("Proxy-Status", "")
    assert "tls_" in status or "certificate" in status, status
    assert not b.requests and not b.partial
    line = w.wait_record(lambda line: line["target"] == "/secret")
    assert line["side"] == "upstream" and ("tls" in line["reason"] or "certificate" in line["reason"]), line


def self_signed(folder):
    ca = certs.CA(folder, "api.example")
    issued = ca.issue("api.example", name="self")
    certs.write(issued.cert, ca.pem, 0o644)
    certs.write(issued.key, certs.pem_key(ca.key))
    return issued


def test_without_verification_anything_goes(weir, secure, tmp_path):
    w = weir(proxy_to(secure(issued=self_signed(tmp_path)), service={"tls": {"verify": False}}))
    assert w.get("/").status == 200
    assert "verif" in w.log().lower() or "who answers" in w.log(), "and it is said at start"


def test_certificate_shown_to_the_endpoint(weir, secure, ca):
    me = ca.issue("weir.example", name="me", client=True)
    b = secure("api.example", clients=ca)
    assert weir(to(b, ca, cert=me.cert, key=me.key)).get("/").status == 200
    response = weir(to(b, ca)).get("/")
    assert response.status == 502
    assert_made_by_weir(response, "")


@pytest.mark.parametrize("script", ["plain-http", "garbage", "close", "silence", "alert"])
def test_endpoint_that_speaks_no_tls(weir, backend, ca, script):
    scripts = {
        "plain-http": lambda c: (c.sock.recv(100), c.send(OK)),
        "garbage": lambda c: (c.sock.recv(100), c.send(b"\xff" * 300)),
        "close": lambda c: c.sock.recv(100),
        "silence": lambda c: c.backend.release.wait(),
        "alert": lambda c: (c.sock.recv(1000), c.send(b"\x15\x03\x03\x00\x02\x02\x28")),
    }
    b = backend(scripts[script])
    w = weir(proxy_to(b, route={"retry": {"attempts": 1}}, service={
        "tls": {"ca": ca.path, "server-name": "api.example"}, "timeout": {"connect": "500ms"}}))
    response = w.get("/")
    assert response.status == (504 if script == "silence" else 502), response
    assert_made_by_weir(response, "")


def test_another_endpoint_is_tried(weir, secure, ca):
    """A handshake that failed sent nothing: any method may go to the next endpoint."""
    bad, good = secure("wrong.example"), secure("api.example")
    w = weir(proxy_to(bad, good, service={"tls": {"ca": ca.path, "server-name": "api.example"}}))
    assert [w.get("/", method="POST", body=b"x").status for _ in range(6)] == [200] * 6


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_versions_of_the_endpoint(weir, backend, ca, version):
    context = certs.server_context(ca.issue("api.example"))
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    assert weir(to(backend(over_tls(fixed(), context)), ca)).get("/").status == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_endpoint_with_tls_1_1_only(weir, backend, ca):
    context = certs.server_context(ca.issue("api.example"))
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    assert weir(to(backend(over_tls(fixed(), context)), ca)).get("/").status == 502


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("end", ["with-the-response", "later", "close-notify"])
def test_sessions_of_endpoints_are_resumed(weir, backend, ca, end, version):
    """Every connection after the first saves the handshake's public-key work, however the one before ended."""
    reused = []
    context = certs.server_context(ca.issue("api.example"))
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version]

    def script(c):
        reused.append(c.sock.session_reused)
        c.request()
        if end == "with-the-response":
            # One packet holds both, so that one read of Weir's finds the end behind the response.
            c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        c.send(answer(fields=[("Connection", "close")]))
        if end == "close-notify":
            c.sock = c.sock.unwrap()
        elif end == "later":
            assert c.sock.recv(1) == b"", "Weir closes after the response"
    w = weir(harness.merge(to(backend(over_tls(script, context)), ca), {"workers": 1}))
    for _ in range(10):
        assert w.get("/").status == 200
    assert reused == [False] + [True] * 9


@pytest.mark.parametrize("manner", ["length", "close", "chunked"])
def test_end_without_close_notify_is_a_cut(weir, backend, ca, manner):
    """Whoever cuts the TCP connection must not be able to shorten a body unnoticed (RFC 9112 §9.8)."""
    heads = {"length": b"Content-Length: 10\r\n\r\nhalf", "close": b"\r\nhalf",
             "chunked": b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"}

    def script(c):
        c.request()
        c.send(b"HTTP/1.1 200 OK\r\n" + heads[manner])
        c.sock.shutdown(2)  # the socket below, without close_notify
    context = certs.server_context(ca.issue("api.example"))
    w = weir(to(backend(over_tls(script, context)), ca))
    with pytest.raises(wire.Ended):
        response = w.get("/")
        assert response.status != 200, "a cut body looks complete"
        raise wire.Ended(b"", False)


def test_end_with_close_notify_is_the_end(weir, backend, ca):
    def script(c):
        c.request()
        c.send(b"HTTP/1.1 200 OK\r\n\r\nall of it")
        c.sock = c.sock.unwrap()
    context = certs.server_context(ca.issue("api.example"))
    assert weir(to(backend(over_tls(script, context)), ca)).get("/").body == b"all of it"


@pytest.mark.parametrize("size", [1, 100_000, 20_000_000])
def test_bodies(weir, backend, ca, size):
    import hashlib

    def echo(c):
        while True:
            total = hashlib.blake2b()
            c.request(sink=total.update)
            c.send(answer(total.hexdigest().encode() + b"x" * size))
    context = certs.server_context(ca.issue("api.example"))
    w = weir(to(backend(over_tls(echo, context)), ca))
    body = (bytes(range(251)) * (size // 251 + 1))[:size]
    before = w.rss_kib()
    response = w.get("/", method="POST", body=body)
    assert response.body[:128].decode() == hashlib.blake2b(body).hexdigest() and len(response.body) == size + 128
    assert w.rss_kib() - before < 16 * 1024


# HTTP/2 by ALPN

class SecureOrigin(Backend):
    """An HTTP/2 origin over TLS."""

    def __init__(self, context):
        self.context, self.sessions = context, []
        super().__init__(over_tls(self.serve, context))

    def serve(self, c):
        session = h2wire.Session(c.sock, server=True)
        self.sessions.append((session, c.sock.selected_alpn_protocol()))
        served = set()
        while session.step(600):
            for number, state in list(session.streams.items()):
                if number % 2 and state.head is not None and number not in served and state.over:
                    served.add(number)
                    session.send(h2wire.headers(number, [(":status", "200")], False)
                                 + h2wire.data(number, state.head.get(":scheme").encode(), True))


def test_h2_is_agreed_on_by_alpn(weir, ca):
    with SecureOrigin(certs.server_context(ca.issue("api.example"), alpn=("h2",))) as origin:
        w = weir(proxy_to(origin, workers=1, service={
            "protocol": "h2", "tls": {"ca": ca.path, "server-name": "api.example"}}))
        for _ in range(5):
            assert w.get("/").body == b"https"
        assert [protocol for _, protocol in origin.sessions] == ["h2"]
        assert not origin.sessions[0][0].violations


@pytest.mark.parametrize("alpn", [("http/1.1",), ()])
def test_endpoint_without_h2(weir, secure, ca, alpn):
    """protocol: h2 is not quietly something else: 502 with a reason, and no HTTP/2 sent to who does not know it."""
    b = secure("api.example", alpn=alpn)
    w = weir(proxy_to(b, service={"protocol": "h2", "tls": {"ca": ca.path, "server-name": "api.example"}}))
    response = w.get("/")
    assert response.status == 502
    assert_made_by_weir(response, "")
    assert not b.requests and not b.malformed


def test_http1_service_does_not_offer_h2(weir, backend, ca):
    chosen = []

    def script(c):
        chosen.append(c.sock.selected_alpn_protocol())
        fixed()(c)
    context = certs.server_context(ca.issue("api.example"), alpn=("h2", "http/1.1"))
    assert weir(to(backend(over_tls(script, context)), ca)).get("/").status == 200
    assert chosen[0] in ("http/1.1", None)


def test_tls_on_both_sides(weir, secure, ca):
    b = secure("api.example")
    front = ca.issue("front.example")
    w = weir(harness.merge(to(b, ca), {"listeners": {"web": {"tls": {"certificates": [front.pair]}}}}))
    sock = ca.context(alpn=["http/1.1"]).wrap_socket(h2wire.dial(w.address), server_hostname="front.example")
    stream = wire.Stream(sock)
    stream.send(head_bytes("GET / HTTP/1.1", host="front.example"))
    assert stream.response().status == 200
    assert b.requests[0].get("X-Forwarded-Proto") in ("https", None)
    sock.close()
