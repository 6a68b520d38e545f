"""gRPC-Web through Weir to gRPC servers: what a browser's library sends and reads, as bytes; and a browser.

Servers are grpcio's, or frame-level origins where the server has to misbehave. Bodies are made and read
here, strictly: a frame that is cut, a message behind the trailers or base64 that is not whole fails.
"""

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import threading
import time

import pytest

import h2wire
import harness
import wire
from backends import answer, closed_port, serve
from harness import proxy_to
from test_grpc import CODE, Client, Served, code_of, grpc_to, served, told
from test_http2_responses import Origin
from wire import Ended, eventually, head_bytes

BINARY, TEXT = "application/grpc-web+proto", "application/grpc-web-text+proto"
KINDS = [BINARY, "application/grpc-web", TEXT, "application/grpc-web-text"]
ON = {"grpc-web": True}
MIB = 1 << 20


def web_to(*endpoints, **more):
    return harness.merge(proxy_to(*endpoints, route=ON, service={"protocol": "h2"}), more)


@pytest.fixture
def bridge(weir, served):
    w = weir(web_to(served))
    w.service = served.service
    return w


def message(payload: bytes, flags=0) -> bytes:
    return struct.pack(">BI", flags, len(payload)) + payload


def coded(body: bytes, kind: str) -> bytes:
    return base64.b64encode(body) if "text" in kind else body


def plain(body: bytes, kind: str) -> bytes:
    """The bytes; base64 may be padded at the end of each piece."""
    if "text" not in kind:
        return body
    assert len(body) % 4 == 0, body[-20:]
    out, start = b"", 0
    while start < len(body):
        end = body.find(b"=", start)
        end = len(body) if end < 0 else (end + 4) // 4 * 4
        out += base64.b64decode(body[start:end], validate=True)
        start = end
    return out


def frames(body: bytes):
    """(messages, trailers) of a body; trailers is None when no frame holds them."""
    messages, trailers = [], None
    while body:
        assert trailers is None, "something behind the trailers"
        flags, size = struct.unpack(">BI", body[:5])
        payload, body = body[5:5 + size], body[5 + size:]
        assert len(payload) == size, "a cut frame"
        if flags & 0x80:
            lines = [line.partition(": ") for line in payload.decode().removesuffix("\r\n").split("\r\n")]
            trailers = {name: value for name, _, value in lines}
            assert all(name == name.lower() for name in trailers)
        else:
            messages.append(payload)
    return messages, trailers


class Answer:
    """A whole response, from either version of HTTP."""

    def __init__(self, status, fields, body, trailers):
        self.status, self.fields, self.body = status, fields, body
        self.kind = fields.get("content-type", "")
        assert not trailers, "HTTP trailers, which no browser shows"
        self.messages, self.trailers = frames(plain(body, self.kind))

    @property
    def code(self):
        """The gRPC status: in the head of a response without a body, in the trailer frame of any other."""
        number = self.fields.get("grpc-status") if self.trailers is None else self.trailers.get("grpc-status")
        assert number is not None, (self.fields, self.trailers)
        return next(c for c in CODE if c.value[0] == int(number))


def over_h1(address, method, body, kind, fields=(), pieces=None):
    """One call; `pieces` sends the body in chunks of so many bytes."""
    fields = [("Content-Type", kind), ("X-Grpc-Web", "1"), *fields]
    stream = wire.connect(address)
    if pieces:
        stream.send(head_bytes(f"POST /t.S/{method} HTTP/1.1", [*fields, ("Transfer-Encoding", "chunked")]))
        for at in range(0, len(body), pieces):
            piece = body[at:at + pieces]
            stream.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        stream.send(b"0\r\n\r\n")
    else:
        stream.send(head_bytes(f"POST /t.S/{method} HTTP/1.1", [*fields, ("Content-Length", len(body))]) + body)
    response = stream.response("POST")
    stream.close()
    return Answer(response.status, response.fields, response.body, response.trailers)


def over_h2(address, method, body, kind, fields=(), pieces=None):
    with h2wire.connect(address) as s:
        fields = [("content-type", kind), ("x-grpc-web", "1"), *fields]
        state = s.request(f"/t.S/{method}", method="POST", fields=fields, end_stream=not body)
        for at in range(0, len(body), pieces or len(body) or 1):
            s.send_body(state.number, body[at:at + (pieces or len(body))], False)
        if body:
            s.send(h2wire.data(state.number, b"", True))
        s.until(lambda: state.over, "the answer")
        assert state.ended and not s.violations, (state, s.violations)
        return Answer(state.status, state.head, bytes(state.body), state.trailers)


CALL = {"h1": over_h1, "h2": over_h2}
both_versions = pytest.mark.parametrize("version", CALL)
both_kinds = pytest.mark.parametrize("kind", [BINARY, TEXT])


def call(w, method, payload=b"", kind=BINARY, version="h1", **options):
    return CALL[version](w.address, method, coded(message(payload), kind), kind, **options)


# What works

@both_versions
@pytest.mark.parametrize("kind", KINDS)
def test_unary(bridge, kind, version):
    got = call(bridge, "Unary", b"hello", kind, version)
    assert got.status == 200 and got.kind.startswith(kind.partition("+")[0])
    assert ("text" in got.kind) == ("text" in kind)
    assert got.messages == [b"hello"] and got.code == CODE.OK
    assert got.trailers["x-last"] == "2" and got.trailers["x-bin-bin"].rstrip("=") == "AP8"
    assert got.fields.get("x-first") == "1" and "x-last" not in got.fields
    name, metadata = bridge.service.calls[0]
    assert name == "unary" and metadata["x-grpc-web"] == "1"


@both_versions
@both_kinds
def test_server_streaming(bridge, kind, version):
    got = call(bridge, "Down", b"500 1001", kind, version)
    assert got.messages == [bytes([n % 256]) * 1001 for n in range(500)] and got.code == CODE.OK
    assert call(bridge, "Down", b"0 1", kind, version).messages == []


@both_versions
@both_kinds
def test_large_messages_both_ways(bridge, kind, version):
    for size in (0, 1, 2, 48_000, 65_536, MIB, 6 * MIB):
        got = call(bridge, "Unary", b"x" * size, kind, version)
        assert got.messages == [b"x" * size] and got.code == CODE.OK


@both_versions
@both_kinds
@pytest.mark.parametrize("pieces", [1, 2, 3, 5, 7])
def test_bodies_in_pieces(bridge, kind, version, pieces):
    """However the body is cut, in base64 in the middle of a quantum as well."""
    payload = bytes(range(256))
    got = call(bridge, "Unary", payload, kind, version, pieces=pieces)
    assert got.messages == [payload] and got.code == CODE.OK


@both_versions
def test_base64_in_pieces_of_its_own(bridge, version):
    """Each part encoded by itself, so that padding stands in the middle."""
    parts = message(b"one") + message(b"three")[:6], message(b"three")[6:], message(b"")
    body = b"".join(base64.b64encode(part) for part in parts)
    assert b"=" in body[:-4]
    for pieces in (None, 1, 4):
        got = CALL[version](bridge.address, "Up", body, TEXT, pieces=pieces)
        assert got.messages == [b"3 8"] and got.code == CODE.OK


@both_versions
@both_kinds
def test_bodies_that_are_not_held(weir, served, kind, version):
    w = weir(web_to(served, routes=[{"name": "all", "service": "origin", "hold": "0B", **ON}]))
    payload = os.urandom(300_000)
    for pieces in (None, 9_999):
        assert call(w, "Unary", payload, kind, version, pieces=pieces).messages == [payload]


@pytest.mark.parametrize("kind, accept, expected", [
    (BINARY, "application/grpc-web-text", "application/grpc-web-text"),
    (TEXT, "application/grpc-web+proto", "application/grpc-web"),
    (TEXT, "*/*", "application/grpc-web-text"),
])
def test_the_form_of_the_answer_is_what_is_accepted(bridge, kind, accept, expected):
    got = call(bridge, "Unary", b"hello", kind, fields=[("Accept", accept)])
    assert got.kind.partition("+")[0] == expected
    assert got.messages == [b"hello"] and got.code == CODE.OK


@both_kinds
def test_messages_arrive_one_by_one(bridge, kind):
    stream = bridge.connect()
    body = coded(message(b""), kind)
    stream.send(head_bytes("POST /t.S/Slowly HTTP/1.1", [
        ("Content-Type", kind), ("Content-Length", len(body))]) + body)
    begin = time.monotonic()
    stream.until(coded(message(b"0"), kind))
    stream.until(coded(message(b"1"), kind))
    assert time.monotonic() - begin < 2
    stream.close()
    assert bridge.service.cancelled.wait(5), "a browser that leaves cancels the call"


def test_calls_on_one_connection(bridge):
    stream = bridge.connect()
    for n in range(5):
        kind = KINDS[n % 4]
        body = coded(message(b"%d" % n), kind)
        stream.send(head_bytes("POST /t.S/Unary HTTP/1.1", [
            ("Content-Type", kind), ("Content-Length", len(body))]) + body)
        response = stream.response("POST")
        assert frames(plain(response.body, kind))[0] == [b"%d" % n]
        assert "connection" not in response.fields


def test_a_client_of_http_1_0(bridge):
    stream = bridge.connect()
    body = message(b"old")
    stream.send(head_bytes("POST /t.S/Unary HTTP/1.0", [
        ("Content-Type", BINARY), ("Content-Length", len(body)), ("Connection", "keep-alive")]) + body)
    response = stream.response("POST")
    assert response.framing == "close" and frames(response.body)[0] == [b"old"]


def test_gzip_of_the_route_leaves_it_alone(weir, served):
    w = weir(web_to(served, routes=[
        {"name": "all", "service": "origin", "compression": {"types": "*/*", "min-size": "0B"}, **ON}]))
    got = call(w, "Unary", b"x" * 5000, fields=[("Accept-Encoding", "gzip, br")])
    assert got.messages == [b"x" * 5000] and "content-encoding" not in got.fields


def test_rules_of_the_route_hold(weir, served):
    w = weir(web_to(served, routes=[{"name": "all", "service": "origin", **ON, "headers": {
        "request": {"set": {"X-Tenant": "blue"}}, "response": {"set": {"Access-Control-Allow-Origin": "*"}}}}]))
    got = call(w, "Unary", b"x")
    assert got.fields.get("access-control-allow-origin") == "*" and got.kind == "application/grpc-web"
    assert served.service.calls[0][1]["x-tenant"] == "blue"


# What the endpoint gets

def ok(session, number, state):
    session.send(
        h2wire.headers(number, [(":status", "200"), ("content-type", "application/grpc+proto"),
                                ("content-length", "7"), ("trailer", "grpc-status")], False)
        + h2wire.data(number, message(b"ok")) + h2wire.headers(number, [("grpc-status", "0")]))


@both_versions
@both_kinds
def test_the_request_an_endpoint_gets(weir, kind, version):
    with Origin(answer=ok) as origin:
        w = weir(web_to(origin))
        added = [("x-user-agent", "grpc-web-javascript/0.1"), ("origin", "https://app.example"), ("x-mine", "1")]
        for pieces in (None, 3):
            got = call(w, "Unary", b"hello", kind, version, fields=added, pieces=pieces)
            assert got.messages == [b"ok"] and got.code == CODE.OK
            assert got.kind == kind and "content-length" not in got.fields and "trailer" not in got.fields
            state = origin.seen[-1][2]
            assert state.head.all("content-type") == ["application/grpc+proto"]
            assert state.head.all("te") == ["trailers"] and "content-length" not in state.head
            assert bytes(state.body) == message(b"hello") and not state.trailers
            assert state.head.get("x-grpc-web") == "1"
            assert {(name, state.head.get(name)) for name, _ in added} == set(added)
        assert not origin.violations


@both_versions
def test_deadline_is_kept_and_passed_on(weir, version):
    def never(session, number, state):
        session.send(h2wire.headers(number, [(":status", "200"), ("content-type", "application/grpc")], False)
                     + h2wire.data(number, message(b"one")))
    with Origin(answer=never) as origin:
        w = weir(web_to(origin))
        got = call(w, "Hang", b"", version=version, fields=[("grpc-timeout", "500m")])
        assert got.messages == [b"one"] and got.code == CODE.DEADLINE_EXCEEDED
        assert 0 < told(origin.seen[0][2]) <= 0.5
        eventually(lambda: origin.seen[0][2].reset, "the call is cancelled upstream")
        assert call(w, "Hang", b"", version=version, fields=[("grpc-timeout", "0S")]).code == CODE.DEADLINE_EXCEEDED
        assert len(origin.seen) == 1


# Statuses

@both_versions
@both_kinds
def test_a_status_without_messages_stays_in_the_head(bridge, kind, version):
    """Trailers-only, as grpc-web libraries expect it: readable where CORS exposes the fields."""
    got = call(bridge, "Status", "5 nöt here".encode(), kind, version)
    assert got.code == CODE.NOT_FOUND and got.body == b"" and got.trailers is None
    assert got.fields.get("grpc-message") == "n%C3%B6t here"
    assert got.kind.startswith(kind.partition("+")[0]) and got.fields.get("content-length", "0") == "0"


@both_versions
@both_kinds
def test_a_status_behind_messages(bridge, kind, version):
    got = call(bridge, "FailMidway", b"", kind, version)
    assert got.messages == [b"one", b"two"] and got.code == CODE.RESOURCE_EXHAUSTED
    assert got.trailers["x-why"] == "midway" and "grpc-status" not in got.fields


@both_kinds
def test_an_endpoint_that_says_no_status(weir, kind):
    def no_status(session, number, state):
        body = b"" if state.head.get(":path").endswith("Empty") else message(b"one")
        session.send(h2wire.headers(number, [(":status", "200"), ("content-type", "application/grpc")], not body))
        if body:
            session.send(h2wire.data(number, body, True))
    with Origin(answer=no_status) as origin:
        w = weir(web_to(origin))
        assert call(w, "Unary", kind=kind).code == CODE.UNKNOWN
        got = call(w, "Empty", kind=kind)
        assert got.code == CODE.UNKNOWN and got.body == b""


@both_versions
@both_kinds
def test_a_call_without_a_message(weir, kind, version):
    """No body at all is a call like any other: the endpoint is asked in gRPC."""
    def done(session, number, state):
        session.send(h2wire.headers(number, [(":status", "200"), ("content-type", state.head.get("content-type")),
                                             ("grpc-status", "9" if state.head.get("te") else "3")], True))
    with Origin(answer=done) as origin:
        got = CALL[version](weir(web_to(origin)).address, "None", b"", kind)
        assert got.code == CODE.FAILED_PRECONDITION and got.kind.startswith(kind.partition("+")[0])


@both_kinds
def test_a_status_in_the_head_before_an_empty_body(weir, kind):
    def late_end(session, number, state):
        session.send(h2wire.headers(number, [(":status", "200"), ("content-type", "application/grpc"),
                                             ("grpc-status", "9")], False) + h2wire.data(number, b"", True))
    with Origin(answer=late_end) as origin:
        assert call(weir(web_to(origin)), "Unary", kind=kind).code == CODE.FAILED_PRECONDITION


@both_versions
@both_kinds
def test_failures_of_weir(weir, kind, version):
    w = weir(web_to(closed_port(), routes=[{"name": "all", "match": {"path": "/t.S/Unary"}, "service": "origin", **ON}]))
    got = call(w, "Unary", b"x", kind, version)
    assert got.status == 200 and got.code == CODE.UNAVAILABLE and got.body == b""
    assert "connect-refused" in got.fields.get("grpc-message") and "connect-refused" in got.fields.get("proxy-status")
    assert got.kind == kind.partition("+")[0]
    assert call(w, "Nowhere", b"x", kind, version).code == CODE.UNIMPLEMENTED


# Requests that are wrong

TWO = message(b"one") + message(b"two")
BROKEN = {
    "alphabet": (TEXT, b"!!!!", "base64"),
    "padding": (TEXT, b"AAAA=AAA", "base64"),
    "binary as text": (TEXT, b"\0\0\0\0\1x", "base64"),
    "cut quantum": (TEXT, base64.b64encode(TWO)[:-1], "base64"),
    "line end": (TEXT, base64.b64encode(TWO) + b"\r\n", "base64"),
    "text as binary": (BINARY, base64.b64encode(TWO), "not a message"),
    "trailer frame": (BINARY, TWO + message(b"a: b\r\n", 0x80), "not a message"),
    "trailer frame in text": (TEXT, base64.b64encode(TWO + message(b"", 0x80)), "not a message"),
    "cut message": (BINARY, TWO[:-1], "within a message"),
    "cut prefix": (BINARY, TWO + b"\0\0", "within a message"),
    "cut message in text": (TEXT, base64.b64encode(TWO[:-1]), "within a message"),
}


@both_versions
@pytest.mark.parametrize("case", BROKEN)
def test_broken_bodies_are_refused(bridge, case, version):
    """Held whole, so no endpoint hears of it, in one piece and in pieces."""
    kind, body, words = BROKEN[case]
    for pieces in (None, 1):
        got = CALL[version](bridge.address, "Up", body, kind, pieces=pieces)
        assert got.status == 200 and got.code == CODE.INTERNAL and got.kind == kind.partition("+")[0]
        assert got.fields.get("grpc-message").startswith("grpc-web-malformed: ")
        assert words in got.fields.get("grpc-message")
    line = bridge.wait_reason("grpc-web-malformed")
    assert line["side"] == "client" and line["detail"] in (201, 202, 203)
    assert not bridge.service.calls
    assert call(bridge, "Unary", b"x", kind, version).code == CODE.OK


@both_versions
@pytest.mark.parametrize("case", BROKEN)
def test_broken_bodies_on_the_way(weir, served, case, version):
    """Not held: the endpoint has begun, and its call is cancelled before it looks whole."""
    kind, body, _ = BROKEN[case]
    w = weir(web_to(served, routes=[{"name": "all", "service": "origin", "hold": "0B", **ON}]))
    got = CALL[version](w.address, "Up", body, kind)
    assert got.code == CODE.INTERNAL
    assert w.wait_reason("grpc-web-malformed")["phase"] in ("forward", "respond")
    # A whole call would have been answered with a count.
    assert not got.messages


@both_kinds
def test_a_request_that_breaks_while_it_is_answered(bridge, kind):
    """The status of a stream that runs is said in the trailer frame."""
    stream = bridge.connect()
    stream.send(head_bytes("POST /t.S/Chat HTTP/1.1", [("Content-Type", kind), ("Transfer-Encoding", "chunked")]))

    def say(piece):
        stream.send(b"%x\r\n%s\r\n" % (len(piece), piece))
    say(coded(message(b"hello"), kind))
    head = stream.response("POST", body=False)
    first = coded(message(b"hello"), kind)
    assert stream.chunk_size() == len(first) and stream.exactly(len(first) + 2) == first + b"\r\n"
    say(b"\xff\xff\xff\xff")
    stream.body(head)
    messages, trailers = frames(plain(head.body, kind))
    assert messages == [] and trailers["grpc-status"] == "13"
    assert bridge.wait_reason("grpc-web-malformed")["phase"] == "respond"

    with h2wire.connect(bridge.address) as s:
        state = s.request("/t.S/Chat", method="POST", fields=[("content-type", kind)], end_stream=False)
        s.send_body(state.number, first, False)
        s.until(lambda: state.body == first, "the echo")
        s.send_body(state.number, b"\xff\xff\xff\xff", False)
        s.until(lambda: state.over, "the end")
        assert state.ended and frames(plain(bytes(state.body), kind)) == ([b"hello"], trailers)
        assert s.ping() and not s.violations


@both_versions
@both_kinds
def test_an_answer_before_the_request_is_whole(bridge, kind, version):
    got = call(bridge, "Nothing", b"x" * 500_000, kind, version)
    assert got.code == CODE.UNIMPLEMENTED


# Endpoints that fail

def dying(beginning, end):
    """Answers with a head and these bytes; then ends the stream or the connection."""
    def reply(session, number, state):
        session.send(h2wire.headers(number, [(":status", "200"), ("content-type", "application/grpc")], False)
                     + (h2wire.data(number, beginning) if beginning else b""))
        if end == "reset":
            session.send(h2wire.frame("RST_STREAM", 0, number, h2wire.CODES["INTERNAL_ERROR"].to_bytes(4, "big")))
        else:
            session.sock.shutdown(socket.SHUT_RDWR)
    return reply


@both_versions
@both_kinds
@pytest.mark.parametrize("end", ["reset", "close"])
@pytest.mark.parametrize("beginning", [b"", message(b"one"), TWO])
def test_an_endpoint_that_dies_between_messages(weir, beginning, end, kind, version):
    with Origin(answer=dying(beginning, end)) as origin:
        w = weir(web_to(origin))
        got = call(w, "Down", b"", kind, version)
        assert got.messages == frames(beginning)[0] and got.code == CODE.UNAVAILABLE
        line = w.wait_reason("upstream-closed-mid-body")
        assert line["status"] == 200 and got.trailers["grpc-message"] == "upstream-closed-mid-body"


@both_kinds
@pytest.mark.parametrize("beginning", [message(b"one")[:-1], message(b"one") + b"\0", b"\0\0\0"])
def test_an_endpoint_that_dies_within_a_message(weir, beginning, kind):
    """Nothing can be said in the middle of a message: the response is cut, and cannot be taken for whole."""
    with Origin(answer=dying(beginning, "reset")) as origin:
        w = weir(web_to(origin))
        with pytest.raises(Ended):
            call(w, "Down", b"", kind)
        with h2wire.connect(w.address) as s:
            state = s.fetch("/t.S/Down", method="POST", body=coded(message(b""), kind), fields=[("content-type", kind)])
            assert state.reset is not None and not state.ended
        assert len(w.wait_records(2)) == 2


def test_an_endpoint_that_is_silent_midway(weir):
    def silent(session, number, state):
        session.send(h2wire.headers(number, [(":status", "200"), ("content-type", "application/grpc")], False)
                     + h2wire.data(number, message(b"one")))
    with Origin(answer=silent) as origin:
        w = weir(web_to(origin, routes=[{"name": "all", "service": "origin", "timeout": {"idle": "300ms"}, **ON}]))
        got = call(w, "Down", b"")
        assert got.messages == [b"one"] and got.code == CODE.DEADLINE_EXCEEDED
        assert w.wait_reason("upstream-body-timeout")["status"] == 200


@both_versions
@both_kinds
def test_attempts_are_repeated(weir, kind, version):
    """A refused stream and an endpoint that is not there: the call is sent again, decoded once."""
    def refuse_first(session, number, state):
        if len(origin.seen) % 2:
            session.send(h2wire.frame("RST_STREAM", 0, number, h2wire.CODES["REFUSED_STREAM"].to_bytes(4, "big")))
        else:
            ok(session, number, state)
    with Origin(answer=refuse_first) as origin:
        w = weir(web_to(origin))
        got = call(w, "Unary", b"again", kind, version)
        assert got.messages == [b"ok"] and got.code == CODE.OK
        assert [bytes(state.body) for _, _, state in origin.seen] == [message(b"again")] * 2
    with Served() as s:
        w = weir(web_to(closed_port(), s, workers=1))
        for n in range(10):
            assert call(w, "Unary", b"%d" % n, kind, version).messages == [b"%d" % n]


# Back-pressure

@both_kinds
def test_a_slow_client_of_a_large_stream(bridge, kind):
    """20 MiB for a client that reads bit by bit: Weir holds a block, not the stream."""
    call(bridge, "Down", b"4 1000000", kind)
    before, most, size = bridge.rss_kib(), 0, 0
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
    sock.connect(bridge.address)
    stream = wire.Stream(sock)
    body = coded(message(b"20 1048576"), kind)
    stream.send(head_bytes("POST /t.S/Down HTTP/1.1", [("Content-Type", kind), ("Content-Length", len(body))]) + body)
    got = bytearray()
    response = stream.response("POST", body=False)

    def take(data):
        nonlocal most, size
        got.extend(data)
        if len(got) > size + 300_000:
            # Long enough for all of it to have come, were it taken from the endpoint.
            time.sleep(0.02)
            size, most = len(got), max(most, bridge.rss_kib() - before)
    stream.body(response, sink=take)
    messages, trailers = frames(plain(bytes(got), kind))
    assert [len(m) for m in messages] == [MIB] * 20 and trailers["grpc-status"] == "0"
    assert most < 12 * 1024, f"{most} KiB more"


@both_kinds
def test_clients_that_leave_take_no_memory_along(bridge, kind):
    body = coded(message(b"20 100000"), kind)

    def leave(count):
        for _ in range(count):
            stream = bridge.connect()
            stream.send(head_bytes("POST /t.S/Down HTTP/1.1", [
                ("Content-Type", kind), ("Content-Length", len(body))]) + body)
            stream.exactly(1000)
            stream.rst()
    leave(20)
    before = bridge.rss_kib()
    leave(100)
    assert bridge.rss_kib() - before < 16 * 1024
    assert call(bridge, "Unary", b"x", kind).messages == [b"x"]


# What is not bridged

def mirror(session, number, state):
    head = json.dumps([list(pair) for pair in state.head])
    session.send(h2wire.headers(number, [(":status", "200"), ("content-type", "application/json"), ("x-body", str(len(state.body)))], False)
                 + h2wire.data(number, head.encode()) + h2wire.headers(number, [("x-last", "1")]))


def test_other_requests_are_not_touched(weir):
    with Origin(answer=mirror) as origin:
        w = weir(web_to(origin))
        for method, kind, body in [
                ("POST", "application/json", b"{}"), ("POST", "application/grpc", message(b"x")), ("GET", BINARY, b""),
                ("PUT", BINARY, b"!!"), ("OPTIONS", "", b""), ("POST", "application/grpc-webber", b"AAA")]:
            response = wire.get(w.address, "/t.S/Unary", [("Content-Type", kind)] if kind else [], method=method, body=body)
            seen = dict(json.loads(response.body))
            assert seen.get("content-type", "") == kind and "te" not in seen
            assert seen.get("content-length", "0") == str(len(body)) and response.get("x-body") == str(len(body))
            assert response.trailers.get("x-last") == "1" and response.get("content-type") == "application/json"


def test_grpc_on_the_same_route(bridge):
    with Client(bridge.address) as c:
        assert c.Unary(b"hello", timeout=10) == b"hello"
        assert code_of(lambda: c.FailMidway(b"", timeout=10)).code() == CODE.RESOURCE_EXHAUSTED


def test_without_the_key_nothing_is_bridged(weir):
    with Origin(answer=mirror) as origin:
        w = weir(web_to(origin, routes=[{"name": "all", "service": "origin"}]))
        response = wire.get(w.address, "/t.S/Unary", [("Content-Type", TEXT)], method="POST", body=b"AAAA")
        assert dict(json.loads(response.body))["content-type"] == TEXT and bytes(origin.seen[0][2].body) == b"AAAA"


@both_kinds
def test_an_answer_that_is_no_grpc(weir, kind):
    """A page of an endpoint that is no gRPC server is the client's to judge, by its status."""
    def page(session, number, state):
        session.send(h2wire.headers(number, [(":status", "503"), ("content-type", "text/html")], False)
                     + h2wire.data(number, b"<p>no", True))
    with Origin(answer=page) as origin:
        w = weir(web_to(origin))
        body = coded(message(b"x"), kind)
        response = wire.get(w.address, "/t.S/Unary", [("Content-Type", kind)], method="POST", body=body)
        assert response.status == 503 and response.body == b"<p>no" and response.get("content-type") == "text/html"


# A browser, from a page of another origin

CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": "content-type, x-grpc-web, x-user-agent, grpc-timeout",
    "Access-Control-Expose-Headers": "grpc-status, grpc-message",
    "Access-Control-Max-Age": "7200",
}
PAGE = """<!doctype html><meta charset=utf-8><title>test</title><img src="/hold-the-load-event"><script>
const api = "API";
const frame = bytes => { const f = new Uint8Array(5 + bytes.length); new DataView(f.buffer).setUint32(1, bytes.length); f.set(bytes, 5); return f; };
const utf8 = text => new TextEncoder().encode(text), back = bytes => new TextDecoder().decode(bytes);
const parse = bytes => {
  const out = {messages: [], trailers: null};
  for (let at = 0; at < bytes.length;) {
    const size = new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(1), payload = bytes.slice(at + 5, at + 5 + size);
    if (bytes[at] & 128) out.trailers = back(payload); else out.messages.push(back(payload));
    at += 5 + size;
  }
  return out;
};
const binary = async (method, text) => {
  const response = await fetch(api + "/t.S/" + method, {method: "POST", body: frame(utf8(text)), headers: {
    "content-type": "application/grpc-web+proto", "x-grpc-web": "1", "x-user-agent": "test", "grpc-timeout": "20S"}});
  const all = parse(new Uint8Array(await response.arrayBuffer()));
  return {...all, type: response.headers.get("content-type"), status: response.headers.get("grpc-status")};
};
const text = async (method, words) => {
  const response = await fetch(api + "/t.S/" + method, {method: "POST", body: btoa(String.fromCharCode(...frame(utf8(words)))),
    headers: {"content-type": "application/grpc-web-text", "accept": "application/grpc-web-text", "x-grpc-web": "1"}});
  const pieces = (await response.text()).match(/[^=]+=*/g) || [];
  const bytes = pieces.map(piece => Uint8Array.from(atob(piece), c => c.charCodeAt(0)));
  const whole = new Uint8Array(bytes.reduce((n, b) => n + b.length, 0));
  bytes.reduce((at, b) => { whole.set(b, at); return at + b.length; }, 0);
  return {...parse(whole), type: response.headers.get("content-type")};
};
(async () => {
  const results = {};
  try {
    results.unary = await binary("Unary", "hello");
    results.stream = await binary("Down", "20 3");
    results.missing = await binary("Status", "5 gone");
    results.text = await text("Unary", "text");
    results.textStream = await text("FailMidway", "");
  } catch (e) { results.error = String(e); }
  await fetch("/finished", {method: "POST", body: JSON.stringify(results)});
})();
</script>"""


def cors_to(endpoint):
    """What docs/grpc.md shows: the preflight is answered by a route of its own."""
    return web_to(endpoint, routes=[
        {"name": "preflight", "match": {"path": "/t.S/*", "method": "OPTIONS"}, "respond": {"status": 204},
         "headers": {"response": {"set": CORS}}},
        {"name": "calls", "match": {"path": "/t.S/*"}, "service": "origin", **ON, "headers": {"response": {"set": {
            name: CORS[name] for name in ("Access-Control-Allow-Origin", "Access-Control-Expose-Headers")}}}}])


def test_failures_of_weir_can_be_read_from_another_origin(weir):
    got = call(weir(cors_to(closed_port())), "Unary", b"x")
    assert got.code == CODE.UNAVAILABLE and got.fields.get("access-control-allow-origin") == "*"
    assert got.fields.get("access-control-expose-headers") == "grpc-status, grpc-message"


def test_preflight(weir, served):
    w = weir(cors_to(served))
    response = wire.get(w.address, "/t.S/Unary", [
        ("Origin", "https://app.example"), ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type,x-grpc-web")], method="OPTIONS")
    assert response.status == 204 and {name: response.get(name) for name in CORS} == CORS
    got = call(w, "Status", b"5 gone", fields=[("Origin", "https://app.example")])
    assert got.code == CODE.NOT_FOUND and got.fields.get("access-control-allow-origin") == "*"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_browser(weir, served, backend, tmp_path):
    """Calls of a page in headless Chromium, from another origin: preflights, binary, text, statuses."""
    w = weir(cors_to(served))
    results = []
    finished = threading.Event()

    def site(request):
        if request.target == "/page":
            return answer(PAGE.replace("API", "http://%s:%d" % w.address).encode(), fields=[("Content-Type", "text/html")])
        if request.target == "/finished":
            results.append(json.loads(request.body))
            finished.set()
        if request.target == "/hold-the-load-event":
            finished.wait(30)
        return answer(b"", "204 No Content") if request.method == "GET" else answer()
    page = backend(serve(site))
    done = subprocess.run(
        ["chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
         f"--user-data-dir={tmp_path}/profile", "--disable-background-networking", "--disable-component-update",
         "--dump-dom", f"http://{page.endpoint}/page"], capture_output=True, timeout=90)
    assert results, done.stderr.decode()[-1000:]
    got = results[0]
    assert "error" not in got, got
    assert got["unary"]["messages"] == ["hello"] and "grpc-status: 0" in got["unary"]["trailers"]
    assert got["unary"]["type"].startswith("application/grpc-web")
    assert got["stream"]["messages"] == [chr(n) * 3 for n in range(20)]
    assert got["missing"]["status"] == "5" and got["missing"]["messages"] == []
    assert got["text"]["messages"] == ["text"] and got["text"]["type"].startswith("application/grpc-web-text")
    assert got["textStream"]["messages"] == ["one", "two"] and "grpc-status: 8" in got["textStream"]["trailers"]


@pytest.mark.parametrize("kind", [BINARY, TEXT])
def test_calls_behind_files(weir, served, tmp_path, kind):
    """Pages of a folder, and calls that no file answers: judged as requests to the service that gets them."""
    (tmp_path / "index.html").write_text("page")
    w = weir(proxy_to(served, route={**ON, "service": "site"}, service={"protocol": "h2"}, services={
        "site": {"files": {"root": str(tmp_path), "try": ["{path}", "{path}/", {"service": "origin"}]}}}))
    assert w.get("/").body == b"page"
    answer = over_h1(w.listener(), "Unary", coded(message(b"hello"), kind), kind)
    assert (answer.status, answer.messages, answer.trailers["grpc-status"]) == (200, [b"hello"], "0")
    with Client(w.listener()) as c:
        assert c.Unary(b"plain", timeout=10) == b"plain"
