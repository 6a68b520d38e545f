"""One record per request, one reason per failure, labels from the configuration only.

PROVOKE holds for each reason of Sources/Resilience/Failure.swift a function that makes it happen; a
reason without one fails test_every_reason_has_a_provocation. What a reason promises (its name,
status and Proxy-Status error) is read from the source and checked against the wire and the log.
"""

import functools
import gzip
import os
import random
import re
import signal
import ssl
import string
import tempfile

import pytest

import certs
import h2wire
import wire
import wswire
from backends import Blackhole, UDPBackend, answer, closed_port, drop, fixed, hang, once, serve, silent
from harness import ROOT, Load, address_of, assert_made_by_weir, merge, proxy_to, tcp_to, udp_to
from test_http2_responses import Origin
from test_tls_upstream import over_tls
from wire import Ended, eventually, head_bytes

pytestmark = [pytest.mark.threads]

SOURCE = open(os.path.join(ROOT, "Sources/Resilience/Failure.swift")).read()
FACTS = {
    name: {"side": side, "status": int(status), "error": error}
    for name, side, status, error in re.findall(
        r'case \.\w+:\s*\("([a-z-]{2,})", \.(\w+), (\d+), "(\w*)", \.\w+\)', SOURCE)
}


def ask(w, data):
    """Send bytes; the response, or None when the connection ended without one."""
    stream = w.connect()
    try:
        stream.send(data)
        return stream.response()
    except (Ended, OSError):
        return None


def get(w, target="/", fields=(), method="GET"):
    return ask(w, head_bytes(f"{method} {target} HTTP/1.1", fields))


# Each provocation gets the fixtures `weir` and `backend` and returns (weir, response or None).

def request(data, **config):
    def provoke(weir, backend):
        w = weir(proxy_to(backend(), **config))
        return w, ask(w, data)
    return provoke


def upstream(script, data=head_bytes("GET / HTTP/1.1"), **config):
    def provoke(weir, backend):
        w = weir(proxy_to(backend(script), **config))
        return w, ask(w, data)
    return provoke


def client_closes_during_request(weir, backend):
    w = weir(proxy_to(backend()))
    stream = w.connect()
    stream.send(head_bytes("POST / HTTP/1.1", [("Content-Length", 10)]) + b"half")
    stream.close()
    return w, None


def client_closes_during_response(weir, backend):
    b = backend(once(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "hold"))
    w = weir(proxy_to(b))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    stream.until(b"half")
    stream.close()
    return w, None


def client_too_slow(weir, backend):
    w = weir(proxy_to(backend(fixed(answer(b"x" * 30_000_000))), listener={"timeout": {"write": "300ms"}}))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    w.wait_reason("client-too-slow")
    return w, None


def pong_timeout(weir, backend):
    w = weir(proxy_to(backend(wswire.echo), route={"websocket": {"ping": "100ms", "pong-timeout": "100ms"}}))
    stream = w.connect()
    wswire.opened(stream)
    stream.rest()
    return w, None


def proxy_header_malformed(weir, backend):
    w = weir(proxy_to(backend(), listener={"proxy-protocol": "required"}))
    return w, ask(w, head_bytes("GET / HTTP/1.1"))


def route_not_found(weir, backend):
    w = weir(proxy_to(backend(), route={"match": {"path": "/only"}}))
    return w, get(w, "/other")


def method_not_allowed(weir, backend):
    w = weir(proxy_to(backend(), route={"match": {"path": "/*", "method": ["GET"]}}))
    return w, get(w, method="DELETE")


def closed_by_route(weir, backend):
    w = weir({"listeners": {"web": {"address": None}}, "routes": [{"name": "none", "respond": "close"}]})
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    assert stream.rest() == b""
    return w, None


def name_unresolved(weir, backend):
    w = weir(proxy_to("name.invalid:80", resolver={"servers": [closed_port()], "timeout": "200ms"}))
    return w, get(w)


def no_endpoint(weir, backend):
    endpoint = backend(fixed())
    w = weir(proxy_to(endpoint))
    assert w.administer(address_of(endpoint), state="drain").status == 200
    return w, get(w)


def retry_budget_spent(weir, backend):
    w = weir(proxy_to(backend(lambda c: c.request()), workers=1, route={"retry": {"attempts": 3}},
                      service={"retry-budget": {"ratio": "1%", "floor": "1/s"}}))
    for _ in range(100):
        response = get(w)
        if "retry-budget-spent" in response.get("Proxy-Status", ""):
            return w, response
    raise AssertionError("100 failures did not spend the budget")


def connection_limit(weir, backend):
    b = backend(hang)
    w = weir(proxy_to(b, workers=1, service={"connections": {"max": 1}}))
    first = w.connect()
    first.send(head_bytes("GET / HTTP/1.1"))
    b.wait_requests(1)
    return w, get(w)


def drain_deadline(weir, backend):
    b = backend(hang)
    w = weir(proxy_to(b, drain="200ms"))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    b.wait_requests(1)
    w.signal(signal.SIGTERM)
    assert w.wait_exit() == 0
    return w, None


def internal_limit(weir, backend):
    """A head that outgrows its buffer through the route's own rules."""
    rules = {"set": {f"X-Copy-{n}": "{request.header.x-large}" for n in range(40)}}
    w = weir(proxy_to(backend(), route={"headers": {"request": rules}}))
    return w, get(w, fields=[("X-Large", "x" * 50_000)])


def connect_timeout(weir, backend):
    with Blackhole() as hole:
        w = weir(proxy_to(hole, service={"timeout": {"connect": "200ms"}}))
        return w, get(w)


def upstream_write_timeout(weir, backend):
    w = weir(proxy_to(backend(silent), route={"timeout": {"idle": "400ms"}}))
    stream = w.connect()
    size = 50_000_000
    stream.send(head_bytes("POST / HTTP/1.1", [("Content-Length", size)]))
    import threading

    def push():
        try:
            stream.sock.sendall(b"x" * size)
        except OSError:
            pass
    threading.Thread(target=push, daemon=True).start()
    try:
        return w, stream.response()
    except Ended:
        return w, None


def idle_timeout(weir, backend):
    w = weir(tcp_to(backend(silent), listener={"timeout": {"idle": "200ms"}}))
    w.connect().rest()
    return w, None


def udp(after, reply=None, **listener):
    """One datagram through a UDP listener, then `after(w)`."""
    def provoke(weir, backend):
        with UDPBackend(reply) as b:
            w = weir(udp_to(b, listener=listener))
            client = wire.datagrams(w.address)
            client.send(b"x")
            eventually(lambda: b.seen, "the datagram arrives")
            after(w)
            w.wait_records(1)
        return w, None
    return provoke


def take_listener_away(w):
    w.reload({"listeners": {"other": {"address": None, "protocol": "udp", "service": "origin"}},
              "services": w.config["services"]})


# TLS

class Papers:
    """An authority that is trusted, one that is not, and a server's certificate."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="weir-records-")
        self.ca, self.other = certs.CA(self.folder.name), certs.CA(self.folder.name, "Other")
        self.server = self.ca.issue("a.example")


papers = functools.cache(Papers)


def secure(weir, backend, tls=None, **listener):
    p = papers()
    return weir(proxy_to(backend(), listener=merge(
        {"tls": {"certificates": [p.server.pair], **(tls or {})}}, listener)))


def mutual():
    return {"client-certificates": {"ca": papers().ca.path, "require": True}}


def handshake(context, tls=lambda: {}):
    """A handshake as `context(papers)` makes it, which fails on one of the two sides."""
    def provoke(weir, backend):
        w = secure(weir, backend, tls())
        with wire.connect(w.address).sock as sock, pytest.raises((ssl.SSLError, OSError)):
            # In TLS 1.3 the client is done before the server has looked at its certificate.
            with context(papers()).wrap_socket(sock, server_hostname="a.example") as secured:
                if not secured.recv(1):
                    raise OSError("closed")
        return w, None
    return provoke


def rsa_only(p):
    context = p.ca.context(high=ssl.TLSVersion.TLSv1_2)
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    return context


def sni_unknown(weir, backend):
    w = weir(tcp_to(backend(), listeners={"tcp": {"service": None, "sni": {"a.example": "origin"}}}))
    with wire.connect(w.address).sock as sock, pytest.raises(ssl.SSLError):
        papers().ca.context().wrap_socket(sock, server_hostname="b.example")
    return w, None


def instead_of_tls(data, then=lambda stream: stream.rest(), **listener):
    def provoke(weir, backend):
        w = secure(weir, backend, **listener)
        stream = w.connect()
        stream.send(data)
        then(stream)
        return w, None
    return provoke


def told_in_plain(stream):
    assert stream.response().status == 400


def endpoint_over_tls(names=("api.example",), issuer="ca", script=serve(lambda request: answer()), service=None,
                      **issue):
    """A request to an endpoint with such a certificate."""
    def provoke(weir, backend):
        p = papers()
        issued = getattr(p, issuer).issue(*names, name="endpoint", **issue)
        b = backend(over_tls(script, certs.server_context(issued)))
        w = weir(proxy_to(b, service={"tls": {"ca": p.ca.path, "server-name": "api.example"}, **(service or {})}))
        return w, get(w)
    return provoke


def endpoint_without_tls(weir, backend):
    b = backend(lambda c: (c.sock.recv(100), c.send(b"\xff" * 300)))
    w = weir(proxy_to(b, service={"tls": {"ca": papers().ca.path, "server-name": "api.example"}}))
    return w, get(w)


# HTTP/2

def session_violation(weir, backend):
    w = weir(proxy_to(backend()))
    with h2wire.connect(w.address) as session:
        session.send(h2wire.data(0, b"of no stream"))
        session.until_closed()
        assert session.goaway and session.goaway[1] == "PROTOCOL_ERROR", session.goaway
    return w, None


def grpc_web_malformed(weir, backend):
    w = weir(proxy_to(backend(), route={"grpc-web": True}, service={"protocol": "h2"}))
    fields = [("Content-Type", "application/grpc-web-text"), ("Content-Length", 4)]
    response = ask(w, head_bytes("POST /a.B/C HTTP/1.1", fields) + b"????")
    assert response.get("Grpc-Status") == "13" and response.get("X-Request-Id")
    return w, response


def stream_refused(weir, backend):
    def refuse(session, number, state):
        session.send(h2wire.frame("RST_STREAM", 0, number, h2wire.CODES["REFUSED_STREAM"].to_bytes(4, "big")))
    with Origin(answer=refuse) as origin:
        w = weir(proxy_to(origin, service={"protocol": "h2"}))
        return w, get(w)


def upstream_session_violation(weir, backend):
    # Flow control for a stream that nobody has opened.
    def break_rules(session, number, state):
        session.send(h2wire.window_update(number + 1000, 1))
    with Origin(answer=break_rules) as origin:
        w = weir(proxy_to(origin, service={"protocol": "h2"}))
        return w, get(w)


class OverHTTP2:
    """A response that came on a stream, as the checks below ask for one."""

    framing = "length"

    def __init__(self, state):
        self.status, self.body, self.head = state.status, bytes(state.body), state.head

    def get(self, name, default=None):
        return self.head.get(name.lower(), default)


def upgrade_declined(weir, backend):
    w = weir(proxy_to(backend(fixed(answer(b"no")))))
    with h2wire.connect(w.address) as s:
        s.until(lambda: s.acks, "SETTINGS")
        state = s.stream(1)
        s.send(h2wire.headers(1, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                                  (":path", "/"), (":authority", "a.example")], False))
        s.until(lambda: state.over, "an answer")
        return w, OverHTTP2(state)


# Files

def file(make, target="/x", method="GET", **files):
    """A request for a file below a folder that `make(folder)` has filled."""
    def provoke(weir, backend):
        folder = tempfile.TemporaryDirectory(prefix="weir-files-")
        make(folder.name)
        w = weir(proxy_to(services={"origin": {"endpoints": None, "files": {"root": folder.name, **files}}}))
        w.site = folder
        return w, get(w, target, method=method)
    return provoke


def file_truncated(weir, backend):
    w, _ = file(lambda folder: open(os.path.join(folder, "x"), "wb").truncate(64 << 20), "/absent")(weir, backend)
    stream = w.connect()
    stream.send(head_bytes("GET /x HTTP/1.1"))
    head = stream.response(body=False)
    os.truncate(os.path.join(w.site.name, "x"), 1 << 20)
    with pytest.raises((Ended, ConnectionError)):
        stream.body(head, sink=lambda data: None)
    return w, None


HEAD_200 = b"HTTP/1.1 200 OK\r\n"
LONG = {"limits": {"head": "8KiB", "target": "1KiB"}}
DECODES = {"decompress-requests": {"max-size": "1KiB"}}


def coded(coding, body):
    fields = [("Content-Encoding", coding), ("Content-Length", len(body))]
    return head_bytes("POST / HTTP/1.1", fields) + body


PROVOKE = {
    "request-malformed": request(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n"),
    "request-head-too-large": request(head_bytes("GET / HTTP/1.1", [("X-A", "x" * 9000)]), listener=LONG),
    "request-target-too-long": request(head_bytes("GET /" + "x" * 2000 + " HTTP/1.1"), listener=LONG),
    "request-head-timeout": request(b"GET / HTTP/1.1\r\nHost:", listener={"timeout": {"head": "200ms"}}),
    "request-body-malformed": request(
        head_bytes("POST / HTTP/1.1", [("Transfer-Encoding", "chunked")]) + b"zz\r\n"),
    "grpc-web-malformed": grpc_web_malformed,
    "request-coding-malformed": request(coded("gzip", b"plain"), route=DECODES),
    "request-coding-unsupported": request(coded("compress", b"plain"), route=DECODES),
    "request-decoded-too-large": request(coded("gzip", gzip.compress(bytes(1025))), route=DECODES),
    "request-body-timeout": request(
        head_bytes("POST / HTTP/1.1", [("Content-Length", 5)]), listener={"timeout": {"body": "200ms"}}),
    "request-body-too-large": request(
        head_bytes("POST / HTTP/1.1", [("Content-Length", 5)]), route={"limits": {"body": "4B"}}),
    "request-version-unsupported": request(head_bytes("GET / HTTP/2.0")),
    "request-expectation-unknown": request(head_bytes("GET / HTTP/1.1", [("Expect", "miracles")])),
    "client-closed-during-request": client_closes_during_request,
    "client-closed-during-response": client_closes_during_response,
    "client-too-slow": client_too_slow,
    "pong-timeout": pong_timeout,
    "proxy-header-malformed": proxy_header_malformed,
    "session-violation": session_violation,
    "tls-no-shared-cipher": handshake(rsa_only),
    "tls-version-unsupported": handshake(
        lambda p: p.ca.context(high=ssl.TLSVersion.TLSv1_2), lambda: {"profile": "modern"}),
    "tls-no-application-protocol": handshake(lambda p: p.ca.context(alpn=["imap"])),
    "tls-client-certificate-missing": handshake(lambda p: p.ca.context(), mutual),
    "tls-client-certificate-untrusted": handshake(
        lambda p: p.ca.context(client=p.other.issue("client.example", client=True)), mutual),
    "tls-client-certificate-expired": handshake(
        lambda p: p.ca.context(client=p.ca.issue("client.example", client=True, start=-20, end=-1)), mutual),
    "tls-certificate-refused": handshake(lambda p: p.other.context()),
    "tls-plain-http": instead_of_tls(head_bytes("GET / HTTP/1.1"), told_in_plain),
    "tls-closed-during-handshake": instead_of_tls(b"\x16\x03\x01\x02", lambda stream: stream.close()),
    "tls-handshake-malformed": instead_of_tls(b"\xff" * 300),
    "tls-handshake-timeout": instead_of_tls(b"\x16\x03\x01\x02", timeout={"head": "200ms"}),
    "sni-unknown": sni_unknown,
    "route-not-found": route_not_found,
    "method-not-allowed": method_not_allowed,
    "closed-by-route": closed_by_route,
    "upgrade-not-allowed": request(
        head_bytes("GET / HTTP/1.1", [("Connection", "upgrade"), ("Upgrade", "spdy")]),
        route={"other-upgrades": "refuse"}),
    "connect-not-allowed": request(b"CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n"),
    "file-not-found": file(lambda folder: None),
    "file-forbidden": file(lambda folder: os.symlink("/etc/passwd", os.path.join(folder, "x"))),
    "file-method-not-allowed": file(lambda folder: open(os.path.join(folder, "x"), "w").close(), method="DELETE"),
    # The loopback has no speed to tell: the file opens, has a size, and cannot be read.
    "file-read-failed": file(
        lambda folder: os.symlink("/sys/class/net/lo/speed", os.path.join(folder, "x")), symlinks="anywhere"),
    "file-truncated": file_truncated,
    "name-unresolved": name_unresolved,
    "no-endpoint": no_endpoint,
    "retry-budget-spent": retry_budget_spent,
    "connection-limit": connection_limit,
    "drain-deadline": drain_deadline,
    "internal-limit": internal_limit,
    "total-timeout": upstream(hang, route={"timeout": {"total": "200ms"}}),
    "connect-refused": lambda weir, backend: (w := weir(proxy_to(closed_port())), get(w)),
    "connect-timeout": connect_timeout,
    "connect-failed": lambda weir, backend: (w := weir(proxy_to("255.255.255.255:9")), get(w)),
    "upstream-closed": upstream(lambda c: c.request()),
    "upstream-reset": upstream(lambda c: (c.request(), c.rst())),
    "upstream-head-timeout": upstream(hang, route={"timeout": {"head": "200ms"}}),
    "upstream-body-timeout": upstream(
        once(HEAD_200 + b"Content-Length: 5\r\n\r\nab", "hold"), route={"timeout": {"idle": "200ms"}}),
    "upstream-malformed-head": upstream(once(b"nonsense\r\n\r\n")),
    "upstream-head-too-large": upstream(once(HEAD_200 + b"X-A: " + b"x" * 300_000 + b"\r\n\r\n")),
    "upstream-malformed-body": upstream(once(HEAD_200 + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n")),
    "upstream-closed-mid-body": upstream(once(HEAD_200 + b"Content-Length: 5\r\n\r\nab")),
    "upstream-unsolicited-upgrade": upstream(
        once(b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")),
    "upstream-write-timeout": upstream_write_timeout,
    "upstream-certificate-untrusted": endpoint_over_tls(issuer="other"),
    "upstream-certificate-name": endpoint_over_tls(names=("wrong.example",)),
    "upstream-certificate-expired": endpoint_over_tls(start=-20, end=-1),
    "upstream-handshake-failed": endpoint_without_tls,
    "upstream-protocol-mismatch": endpoint_over_tls(service={"protocol": "h2"}),
    "upstream-stream-refused": stream_refused,
    "upstream-session-violation": upstream_session_violation,
    "upstream-upgrade-declined": upgrade_declined,
    "idle-timeout": idle_timeout,
    "upstream-silent": udp(lambda w: None, lambda b, data: None, timeout={"idle": "200ms"}),
    "configuration-changed": udp(take_listener_away),
}


def test_every_reason_has_a_provocation():
    declared = set(re.findall(r'case \.\w+:\s*\("([a-z-]{2,})"', SOURCE))
    assert len(FACTS) > 30 and declared == FACTS.keys(), "the table of facts could not be read"
    assert FACTS.keys() == PROVOKE.keys()


@pytest.mark.parametrize("reason", PROVOKE)
def test_reason(weir, backend, reason):
    """The client is told, the log says it, the metric counts it; all from the same failure."""
    w, response = PROVOKE[reason](weir, backend)
    facts = FACTS[reason]
    line = w.wait_reason(reason)
    assert line["side"] == facts["side"]
    if reason.endswith("session-violation"):
        assert line["detail"] > 100, "the number of an HTTP/2 violation (docs/conformance.md)"
    assert line["client"] == "127.0.0.1"
    assert line["phase"] in ("accept", "handshake", "read", "route", "admit", "lookup", "select", "forward",
                             "respond", "record")
    if response is not None and response.status >= 400:
        assert response.status == facts["status"]
        assert_made_by_weir(response, reason)
        assert f"error={facts['error']}" in response.get("Proxy-Status")
        assert line["status"] == facts["status"] and line["id"] == response.get("X-Request-Id")
    elif facts["status"]:
        assert line["status"] in (0, 200), "a response that could not be sent any more"
    if w.process.poll() is None:
        counted = lambda: w.metric("weir_failures_total", reason=reason)
        eventually(lambda: counted() >= 1, f"weir_failures_total has {reason}")


# Access log

def test_access_log_of_a_plain_request(weir, backend):
    b = backend(fixed(answer(b"x" * 1000)))
    w = weir(proxy_to(b))
    stream = w.connect()
    sent = head_bytes("GET /a?b=c HTTP/1.1", [("User-Agent", 'quo"te\xe9'), ("Referer", "http://r/")], "shop.example:80")
    stream.send(sent)
    port = stream.sock.getsockname()[1]
    response = stream.response()
    line = w.wait_records(1)[0]
    expected = {
        "listener": "web", "client": "127.0.0.1", "client_port": port, "protocol": "HTTP/1.1", "method": "GET", "scheme": "http",
        "target": "/a?b=c", "status": 200, "route": "all", "service": "origin", "endpoint": b.endpoint,
        "attempts": 1, "reused": False, "bytes_in": len(sent), "bytes_out": len(response.raw) + 1000,
        "user_agent": 'quo"te\xe9', "referer": "http://r/",
    }
    assert {key: line.get(key) for key in expected} == expected
    assert line["host"].startswith("shop.example")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", line["time"])
    assert re.fullmatch(r"[0-9a-f]{16,32}", line["id"])
    assert line["total_us"] >= line["first_byte_us"] >= 0
    assert not {"phase", "reason", "side", "errno"} & line.keys(), "nothing failed"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_bytes_of_large_bodies_are_counted(weir, backend, framing):
    """Both ways and to the byte, however a body is moved: one of known length never enters our memory."""
    size = 1_000_000
    field = ("Content-Length", size) if framing == "length" else ("Transfer-Encoding", "chunked")
    body = bytes(size) if framing == "length" else b"10000\r\n%s\r\n" % bytes(65_536) * 16 + b"0\r\n\r\n"
    sent = head_bytes("POST / HTTP/1.1", [field, ("Connection", "close")]) + body
    w = weir(proxy_to(backend(fixed(head_bytes("HTTP/1.1 200 OK", [field], None) + body))))
    stream = w.connect()
    stream.send(sent)
    taken = len(stream.rest())
    line = w.wait_records(1)[0]
    assert line["status"] == 200 and (line["bytes_in"], line["bytes_out"]) == (len(sent), taken)
    counted = lambda: (w.metric("weir_request_bytes_total"), w.metric("weir_response_bytes_total"))
    eventually(lambda: counted() == (len(sent), taken), f"{len(sent)} and {taken} are counted")


def test_nothing_from_the_wire_forges_a_line(weir, backend):
    w = weir(proxy_to(backend()))
    for text in ('"}\\', "\x1b[31m", "{}", "\\u000a", "%0a{"):
        ask(w, head_bytes("GET /%22%0A HTTP/1.1", [("User-Agent", text), ("Referer", text)]))
    assert len(w.wait_records(5)) == 5
    raw = open(w.access_path, "rb").read()
    assert b"\x1b" not in raw and raw.count(b"\n") == 5


def test_text_access_log(weir, backend):
    w = weir(proxy_to(backend(), telemetry={"access-log": {"format": "text"}}))
    w.get("/a")
    eventually(lambda: os.path.exists(w.access_path) and "\n" in open(w.access_path).read(), "a line")
    line = open(w.access_path).read()
    assert re.match(r'\S+Z 127\.0\.0\.1:\d+ "GET a\.example /a HTTP/1\.1" 200 .*route=all service=origin', line), line


def test_access_log_is_reopened(weir, backend):
    """After a rename and SIGUSR1, lines go to a new file and none is lost (logrotate)."""
    w = weir(proxy_to(backend()))
    w.get("/one")
    w.wait_records(1)
    os.rename(w.access_path, w.access_path + ".1")
    w.signal(signal.SIGUSR1)
    eventually(lambda: os.path.exists(w.access_path), "a new file")
    w.get("/two")
    assert [line["target"] for line in w.wait_records(1)] == ["/two"]


def test_durations_measure_the_backend(weir, backend):
    def reply(request):
        import time
        time.sleep(0.1)
        return answer()
    w = weir(proxy_to(backend(serve(reply))))
    w.get("/")
    line = w.wait_records(1)[0]
    assert line["first_byte_us"] >= 90_000 and line["total_us"] >= line["first_byte_us"]


# Metrics

def by_class(w):
    return {labels_of(l).get("class") or labels_of(l).get("status"): v
            for (n, l), v in w.metrics().items() if n == "weir_requests_total" and v}


def labels_of(labels):
    return dict(labels)


def test_requests_are_counted_once_and_sums_agree(weir, backend):
    """Counters, histogram counts and log lines tell one story."""
    def reply(request):
        status = request.target.split("/")[1]
        return answer(b"x" * 100, f"{status} Any")
    w = weir(proxy_to(backend(serve(reply))))
    plan = {"200": 40, "301": 5, "404": 7, "503": 3}
    streams = [w.connect() for _ in range(5)]
    for status, count in plan.items():
        for n in range(count):
            stream = streams[n % 5]
            stream.send(head_bytes(f"GET /{status} HTTP/1.1"))
            assert stream.response().status == int(status)
    total = sum(plan.values())
    lines = w.wait_records(total)
    eventually(lambda: w.metric("weir_requests_total") == total, "all are counted")
    assert sorted(by_class(w).values()) == sorted(plan.values())
    assert w.metric("weir_requests_total", route="all", service="origin") == total
    assert w.metric("weir_request_duration_seconds_count") == total
    assert w.metric("weir_listener_requests_total") == total
    assert w.metric("weir_endpoint_attempts_total") == sum(line["attempts"] for line in lines)
    assert w.metric("weir_response_bytes_total") == sum(line["bytes_out"] for line in lines)
    assert w.metric("weir_request_bytes_total") == sum(line["bytes_in"] for line in lines)
    assert w.metric("weir_failures_total") == 0
    assert w.metric("weir_listener_accepted_total") == 5
    assert w.metric("weir_listener_active_connections") == 5
    for stream in streams:
        stream.close()
    eventually(lambda: w.metric("weir_listener_active_connections") == 0, "closed connections are counted out")
    eventually(lambda: w.metric("weir_endpoint_active_attempts") == 0, "no attempt is left in flight")


def test_histograms_are_well_formed(weir, backend):
    w = weir(proxy_to(backend()))
    for _ in range(20):
        w.get("/")
    eventually(lambda: w.metric("weir_request_duration_seconds_count") == 20, "counted")
    samples = w.metrics()
    series = {}
    for (name, labels), value in samples.items():
        if name.endswith("_bucket"):
            key = (name, frozenset(kv for kv in labels if kv[0] != "le"))
            bound = dict(labels)["le"]
            series.setdefault(key, []).append((float("inf") if bound == "+Inf" else float(bound), value))
    assert series
    for (name, labels), buckets in series.items():
        values = [value for _, value in sorted(buckets)]
        assert values == sorted(values), f"{name} is not cumulative"
        assert samples[name.replace("_bucket", "_count"), labels] == values[-1]


def test_labels_never_come_from_the_wire(weir, backend):
    """Random hosts, paths, methods and fields: the number of series stays the same."""
    w = weir(proxy_to(backend()))
    shot = lambda: {(name, labels) for name, labels in w.metrics()}

    def noise(n):
        word = lambda: "".join(random.choices(string.ascii_lowercase, k=8))
        for _ in range(n):
            get(w, f"/{word()}?{word()}", [(f"X-{word()}", word()), ("User-Agent", word())], method=word().upper())
            ask(w, head_bytes(f"GET /{word()} HTTP/1.1", host=f"{word()}.example"))
            ask(w, head_bytes(f"GET /{word()} HTTP/1.1", [("Expect", word())]))
            ask(w, f"{word()}\r\n\r\n".encode())

    noise(20)
    w.wait_records(80)
    before = shot()
    noise(100)
    w.wait_records(480)
    assert shot() == before


def test_metrics_agree_under_load(weir, backend):
    w = weir(proxy_to(backend(fixed(answer(b"x" * 100)))))
    with Load(w.address, threads=4) as load:
        load.wait_done(1000)
    assert not load.failures
    eventually(lambda: w.metric("weir_requests_total") == load.done == len(w.access_log()),
               f"counter, log and clients agree on {load.done}")


def test_which_records_are_written(weir, backend):
    """`access-log: when`: by the request and what became of it; all are counted; a reload changes it."""
    def reply(request):
        return answer(b"x" * 5000, f"{request.target.split('/')[1]} Any")

    def wanted(condition):
        return {"telemetry": {"access-log": {"when": condition}}}
    config = proxy_to(backend(serve(reply)))
    w = weir(merge(config, wanted('response.status >= 400 || request.header["x-trace"] == "1"')))
    for target, fields in [("/200/a", []), ("/200/b", [("X-Trace", "1")]), ("/404/c", []), ("/200/d", []), ("/500/e", [])]:
        w.get(target, fields)
    # Each worker writes its own lines.
    targets = lambda count: sorted(line["target"] for line in w.wait_records(count))
    assert targets(3) == ["/200/b", "/404/c", "/500/e"]
    eventually(lambda: w.metric("weir_requests_total") == 5, "all are counted")
    # What is not a request, and what none came of.
    w.reload(merge(config, wanted(
        'request.id matches "^[0-9a-f]{32}$" && has(error.reason) && error.reason != "request-malformed" '
        '|| route == "all" && service == "origin" && response.bytes > 4KiB && request.bytes < 1KiB && attempts == 1 '
        '&& request.duration < 1h && client.ip == "127.0.0.1" && endpoint contains ":" && request.path endsWith "/f"')))
    assert w.get("/200/f").status == 200
    assert w.get("/200/g").status == 200
    ask(w, b"GET / HTTP/1.1\r\n broken\r\n\r\n")
    assert w.get("/200/f").status == 200
    assert targets(5) == ["/200/b", "/200/f", "/200/f", "/404/c", "/500/e"]
    w.reload(merge(config, wanted('request.path startsWith "/nothing"')))
    w.get("/200/h")
    w.reload(config)
    w.get("/200/i")
    assert targets(6) == ["/200/b", "/200/f", "/200/f", "/200/i", "/404/c", "/500/e"]


@pytest.mark.parametrize("condition, written", [
    ('request.protocol == "tcp" && service == "origin"', True), ("!has(request.method) && !has(response.status)", True),
    ('client.ip in ["127.0.0.0/8"] && listener == "tcp"', True), ("has(request.path)", False),
    ("request.bytes > 1MiB", False),
])
def test_which_records_of_connections_are_written(weir, backend, condition, written):
    w = weir(tcp_to(backend(once(b"hello")), telemetry={"access-log": {"when": condition}}))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    assert stream.rest() == b"hello"
    stream.close()
    eventually(lambda: w.metric("weir_listener_active_connections") == 0, "it is over")
    if written:
        assert w.wait_records(1)[0]["protocol"] == "tcp"
    else:
        w.reload(tcp_to("127.0.0.1:1"))
        assert w.access_log() == []
