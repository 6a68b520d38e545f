"""Messages on their way through: bodies, trailers, interim and early responses, aborts, HTTP/1.0."""

import json
import threading

import pytest

import h2wire
import wire
from backends import answer, fixed, once, serve
from harness import FULL, assert_made_by_weir, proxy_to
from wire import Ended, eventually, head_bytes

pytestmark = [pytest.mark.threads, pytest.mark.bytes]


@pytest.fixture
def weir(reused_weir):
    return reused_weir


def chunks(*parts: bytes, trailers=b"") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in parts) + b"0\r\n" + trailers + b"\r\n"


def post(stream, data: bytes, fields, target="/"):
    stream.send(head_bytes(f"POST {target} HTTP/1.1", fields) + data)


CHUNKED = [("Transfer-Encoding", "chunked")]


def test_request_trailers_pass(weir, backend):
    w = weir(proxy_to(backend()))
    stream = w.connect()
    post(stream, chunks(b"hello", b" world", trailers=b"X-Sum: 42\r\nX-Other: a\r\n"),
         CHUNKED + [("Trailer", "X-Sum, X-Other")])
    seen = json.loads(stream.response().body)
    assert seen["body"] == "hello world"
    assert ["X-Sum", "42"] in seen["trailers"] and ["X-Other", "a"] in seen["trailers"]


def test_response_trailers_pass(weir, backend):
    data = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
            + chunks(b"hello", trailers=b"X-Sum: 42\r\n"))
    w = weir(proxy_to(backend(fixed(data))))
    response = w.get("/", [("TE", "trailers"), ("Connection", "TE")])
    assert response.body == b"hello" and list(response.trailers) == [("X-Sum", "42")]


def test_trailers_of_one_hop_end_there(weir, backend):
    """RFC 9110 §6.5.1: what is for the connection means nothing behind it."""
    own = b"Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\nUpgrade: x\r\n"
    b = backend(serve(lambda r: b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                      + chunks(b"hello", trailers=own + b"X-Sum: 42\r\n")))
    stream = weir(proxy_to(b)).connect()
    post(stream, chunks(b"hello", trailers=own + b"X-Sum: 43\r\n"),
         CHUNKED + [("TE", "trailers"), ("Connection", "TE")])
    assert list(stream.response().trailers) == [("X-Sum", "42")]
    assert list(b.requests[0].trailers) == [("X-Sum", "43")]


@pytest.mark.parametrize("head", [
    b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: x, CLOSE\r\n\r\n",
    b"GET / HTTP/1.0\r\nHost: a.example\r\n\r\n",
])
def test_a_client_that_asks_for_the_end_gets_it(weir, backend, head):
    stream = weir(proxy_to(backend(fixed(answer(b"last"))))).connect()
    stream.send(head)
    response = stream.response()
    assert response.body == b"last" and response.get("Connection") == "close"
    assert stream.ended()


def test_http10_client_gets_no_chunks(weir, backend):
    """An HTTP/1.0 client cannot read chunked: the body ends with the connection."""
    data = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks(b"hello", b" world")
    w = weir(proxy_to(backend(fixed(data))))
    stream = w.connect()
    stream.send(b"GET / HTTP/1.0\r\nHost: a.example\r\nConnection: keep-alive\r\n\r\n")
    response = stream.response()
    assert response.framing == "close" and response.body == b"hello world"
    assert "Transfer-Encoding" not in response


def test_http10_backend(weir, backend):
    """A body that ends with the upstream connection becomes chunked on a kept-alive one."""
    w = weir(proxy_to(backend(once(b"HTTP/1.0 200 OK\r\n\r\nhello"))))
    stream = w.connect()
    for _ in range(2):
        stream.send(head_bytes("GET / HTTP/1.1"))
        response = stream.response()
        assert response.body == b"hello" and response.framing == "chunked"
        assert response.version == "HTTP/1.1"


@pytest.mark.parametrize("method, data, framing", [
    ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "none"),
    ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", "none"),
    ("GET", b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 1000\r\n\r\n", "none"),
    ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "length"),
])
def test_responses_without_body_keep_both_connections(weir, backend, method, data, framing):
    b = backend(fixed(data))
    w = weir(proxy_to(b, workers=1))
    stream = w.connect()
    for _ in range(3):
        stream.send(head_bytes(f"{method} / HTTP/1.1"))
        response = stream.response(method)
        assert response.framing == framing
        if b"1000" in data:
            assert response.get("Content-Length") == "1000", "the length of the body there would have been"
        assert response.status != 204 or "Content-Length" not in response
    assert len({r.connection for r in b.requests}) == 1


def test_interim_responses_are_forwarded(weir, backend):
    data = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    def script(c):
        c.request()
        c.send(data)
        c.backend.release.wait()
        c.send(answer(b"done"))
        c.wait_end()
    b = backend(script)
    w = weir(proxy_to(b))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    early = stream.head()  # arrives before the final response exists
    assert early.status == 103 and early.get("Link") == "</a.css>"
    b.release.set()
    assert stream.response().body == b"done"


@pytest.mark.parametrize("count, status", [(32, 200), (33, 502)])
def test_interim_responses_are_bounded(weir, backend, count, status):
    """An endpoint that never comes to an answer is not waited for."""
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    w = weir(proxy_to(backend(once(interim * count + answer(b"done")))))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    response = stream.response()
    assert response.status == status
    assert [m.status for m in response.interim] == [103] * 32
    if status == 502:
        assert w.wait_records(1)[0]["reason"] == "upstream-malformed-head"


def test_interim_responses_never_reach_http10(weir, backend):
    w = weir(proxy_to(backend(once(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + answer(b"done")))))
    stream = w.connect()
    stream.send(b"GET / HTTP/1.0\r\n\r\n")
    response = stream.response()
    assert not response.interim and response.body == b"done"


def test_a_100_nobody_asked_for_is_forwarded(weir, backend):
    """A proxy keeps only the 1xx it has asked for itself (RFC 9110 §15.2)."""
    w = weir(proxy_to(backend(once(b"HTTP/1.1 100 Continue\r\nX-A: 1\r\n\r\n" + answer(b"done"), "hold"))))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    response = stream.response()
    assert [m.status for m in response.interim] == [100] and response.body == b"done"


@pytest.mark.parametrize("size", [5, 3_000_000])
def test_expect_continue(weir, backend, size):
    """The client waits for 100 before it sends; small (held) and large (streamed) bodies alike."""
    w = weir(proxy_to(backend(serve(lambda r: answer(str(len(r.body)).encode())))))
    stream = w.connect()
    stream.send(head_bytes("POST / HTTP/1.1", [("Content-Length", size), ("Expect", "100-continue")]))
    assert stream.head().status == 100
    stream.send(b"x" * size)
    response = stream.response()
    assert response.status == 200 and response.body == str(size).encode()


@pytest.mark.parametrize("expect", [True, False], ids=["expect", "no-expect"])
@pytest.mark.parametrize("status", ["413 Content Too Large", "401 Unauthorized"])
def test_early_final_response_reaches_the_client(weir, backend, status, expect):
    """A backend that refuses a large upload after its head: the client gets the refusal."""
    def script(c):
        request = c.head()
        c.backend.requests.append(request)
        c.send(answer(b"refused", status, [("Connection", "close")]))
        c.backend.release.wait()
    b = backend(script)
    w = weir(proxy_to(b))
    stream = w.connect()
    fields = [("Content-Length", 50_000_000)] + ([("Expect", "100-continue")] if expect else [])
    stream.send(head_bytes("POST / HTTP/1.1", fields))

    def upload():
        try:
            for _ in range(500):
                stream.sock.sendall(b"x" * 100_000)
        except OSError:
            pass

    if not expect:
        threading.Thread(target=upload, daemon=True).start()
    response = stream.response()
    assert f"{response.status}" in status and response.body == b"refused"
    assert not response.interim, "nobody invited the body"
    assert response.get("Connection") == "close", "what the client still sends is nobody's"


def test_early_response_while_upload_continues(weir, backend):
    """A final response may come, and be read, while the upload still runs (RFC 9112 §7.5 of old)."""
    def script(c):
        head = c.head()
        head.framing = "length"
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        c.body(head, sink=lambda data: None)
        c.send(b"4\r\nlast\r\n0\r\n\r\n")
        c.wait_end()
    w = weir(proxy_to(backend(script)))
    stream = w.connect()
    stream.send(head_bytes("POST / HTTP/1.1", [("Content-Length", 2_000_000)]) + b"x" * 1_000_000)
    response = stream.response(body=False)
    assert stream.chunk_size() == 5 and stream.exactly(7) == b"first\r\n"
    stream.send(b"x" * 1_000_000)
    assert stream.chunk_size() == 4 and stream.exactly(6) == b"last\r\n"
    assert response.status == 200


def test_pipelined_answers_come_in_order(weir, backend):
    """The second answer is ready first; it waits for its turn."""
    def reply(request):
        if request.target == "/0":
            b.release.wait(0.3)
        return answer(request.target.encode())
    b = backend(serve(reply))
    w = weir(proxy_to(b))
    stream = w.connect()
    stream.send(b"".join(head_bytes(f"GET /{n} HTTP/1.1") for n in range(20)))
    assert [stream.response().body for _ in range(20)] == [f"/{n}".encode() for n in range(20)]


def test_requests_per_connection(weir, backend):
    w = weir(proxy_to(backend(), listener={"limits": {"requests-per-connection": 3}}))
    stream = w.connect()
    for n in range(3):
        stream.send(head_bytes("GET / HTTP/1.1"))
        response = stream.response()
        assert response.status == 200
        assert ("close" in (response.get("Connection") or "")) == (n == 2)
    assert stream.ended()


ABORTED = {
    "content-length": b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 5000,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n" + b"x" * 5000 + b"\r\n",
    "chunked-in-chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n" + b"x" * 5000,
    "large": b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + b"x" * 5_000_000,
}


@pytest.mark.parametrize("end", ["close", "rst"])
@pytest.mark.parametrize("shape", ABORTED)
def test_abort_is_visible(weir, backend, shape, end):
    """An upstream that ends mid-body is an aborted message, never a complete one."""
    w = weir(proxy_to(backend(once(ABORTED[shape], end))))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    with pytest.raises(Ended):
        stream.response(sink=lambda data: None)
    line = w.wait_records(1)[0]
    assert line["reason"] in ("upstream-closed-mid-body", "upstream-reset")


@pytest.mark.parametrize("shape", ["chunked", "until-close"])
def test_abort_is_visible_to_http10(weir, backend, shape):
    """Without a length or chunks only a reset can tell a cut body from a complete one."""
    data = ABORTED["chunked"] if shape == "chunked" else b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000
    w = weir(proxy_to(backend(once(data, "rst"))))
    stream = w.connect()
    stream.send(b"GET / HTTP/1.0\r\n\r\n")
    try:
        response = stream.response(sink=lambda data: None)
    except Ended as end:
        assert end.reset
    else:
        # A reset may overtake the head: then Weir could still answer for itself.
        assert response.status == 502, "a cut body ended cleanly"


def test_reset_of_until_close_body_is_visible_to_http11(weir, backend):
    w = weir(proxy_to(backend(once(b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 5000, "rst"))))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    try:
        assert stream.response(sink=lambda data: None).status == 502
    except Ended:
        pass


def test_client_that_leaves_cancels_the_upstream(weir, backend):
    """The backend sees its connection end when nobody waits for the answer any more."""
    def script(c):
        c.request()
        c.wait_end()
    b = backend(script)
    w = weir(proxy_to(b))
    for leave in ("close", "rst"):
        stream = w.connect()
        stream.send(head_bytes(f"GET /{leave} HTTP/1.1"))
        eventually(lambda: b.saw(f"/{leave}"), "the backend has the request")
        getattr(stream, leave)()
        connection = b.connections[b.saw(f"/{leave}")[0].connection]
        eventually(lambda: connection.end, "the backend's connection ends")
    reasons = [line["reason"] for line in w.wait_records(2)]
    assert set(reasons) == {"client-closed-during-response"} or \
        set(reasons) == {"client-closed-during-request"}, reasons


def test_client_that_leaves_mid_body_cancels_the_upstream(weir, backend):
    def script(c):
        c.request()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        try:
            while True:
                c.send(b"x" * 65536)
        except OSError:
            c.end = "reset"
            raise
    b = backend(script)
    w = weir(proxy_to(b))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    stream.exactly(100_000)
    stream.close()
    eventually(lambda: b.connections[0].end, "the backend is told to stop")
    assert w.wait_records(1)[0]["reason"] == "client-closed-during-response"


def test_upload_abandoned_midway_never_looks_complete(weir, backend):
    b = backend()
    w = weir(proxy_to(b))
    for data in (b"x" * 1000, b"x" * 500_000):
        stream = w.connect()
        stream.send(head_bytes("POST / HTTP/1.1", [("Content-Length", 1_000_000)]) + data)
        stream.close()
    assert {line["reason"] for line in w.wait_records(2)} == {"client-closed-during-request"}
    assert not b.requests


# The limit of bodies

LIMITED = {"limits": {"body": "10KiB"}}


def refused(response):
    assert response.status == 413
    assert_made_by_weir(response, "request-body-too-large")
    assert b"limits.body is 10240 bytes" in response.body


@pytest.mark.parametrize("place", ["listener", "route"])
@pytest.mark.parametrize("expect", [False, True])
def test_a_length_over_the_limit_is_refused_unread(weir, backend, place, expect):
    """No byte of it is waited for, and 100 is never said."""
    b = backend()
    w = weir(proxy_to(b, **{place: LIMITED}))
    stream = w.connect()
    fields = [("Content-Length", 10_241)] + ([("Expect", "100-continue")] if expect else [])
    stream.send(head_bytes("POST / HTTP/1.1", fields))
    response = stream.response()
    refused(response)
    assert not response.interim and response.get("Connection") == "close"
    assert stream.ended() and not stream.reset and not b.requests
    assert w.get("/", method="POST", body=b"x" * 10_240).status == 200, "as much as the limit passes"
    line = w.wait_reason("request-body-too-large")
    assert line["status"] == 413 and line["limit"] == 10_240


@pytest.mark.parametrize("hold", ["64KiB", "1KiB", "0B"])
def test_a_body_without_a_length_is_cut_at_the_limit(weir, backend, hold):
    """Its end never reaches the endpoint."""
    b = backend()
    w = weir(proxy_to(b, route={**LIMITED, "hold": hold}))
    for body in (b"x" * 10_241, b"x" * 500_000):
        stream = w.connect()
        stream.send(head_bytes("POST / HTTP/1.1", [("Transfer-Encoding", "chunked")]) + b"2\r\nxx\r\n")
        stream.send(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body) - 2, body[2:]))
        refused(stream.response())
        stream.rest()
        assert not stream.reset
    assert not b.requests, "no complete request reached it"
    stream = w.connect()
    stream.send(head_bytes("POST / HTTP/1.1", [("Transfer-Encoding", "chunked")]))
    stream.send(b"%x\r\n%s\r\n0\r\n\r\n" % (10_240, b"x" * 10_240))
    assert stream.response().status == 200


@pytest.mark.parametrize("length", [True, False])
def test_limit_of_bodies_over_http2(weir, backend, length):
    b = backend()
    w = weir(proxy_to(b, listener=LIMITED))
    with h2wire.connect(w.address) as s:
        fields = [("content-length", "10241")] if length else []
        state = s.request(method="POST", fields=fields, end_stream=False)
        if not length:
            s.send(h2wire.data(1, b"x" * 10_241, True))
        s.until(lambda: state.over, "a response")
        assert state.status == 413 and b"limits.body is 10240" in state.body
        assert s.fetch("/next").status == 200, "the connection goes on"
    assert [r.target for r in b.requests] == ["/next"]


def test_an_answered_body_over_the_limit_is_cut(weir, backend):
    """The response has begun: it must not look complete."""
    def script(c):
        c.head()
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        c.rest(timeout=60)
    w = weir(proxy_to(backend(script), listener=LIMITED))
    stream = w.connect()
    stream.send(head_bytes("POST / HTTP/1.1", [("Transfer-Encoding", "chunked")]) + b"1\r\nx\r\n")
    assert stream.head().status == 200
    stream.send(b"%x\r\n%s\r\n" % (20_000, b"x" * 20_000))
    stream.rest()
    assert stream.reset
    assert w.wait_reason("request-body-too-large")


def test_the_limit_of_the_route_wins(weir, backend):
    routes = [{"name": name, "match": {"path": f"/{name}"}, "service": "origin", **more} for name, more in (
        ("more", {"limits": {"body": "20KiB"}}), ("none", {"limits": {"body": "none"}}),
        ("less", {"limits": {"body": "10B"}}), ("same", {}))]
    w = weir(proxy_to(backend(), listener=LIMITED, routes=routes))

    def status(name, size):
        return w.get(f"/{name}", method="POST", body=b"x" * size).status
    assert (status("more", 20_480), status("more", 20_481)) == (200, 413)
    assert status("none", 100_000) == 200
    assert (status("less", 10), status("less", 11)) == (200, 413)
    assert (status("same", 10_240), status("same", 10_241)) == (200, 413)


def test_the_limit_is_for_answers_of_weir_too(weir):
    w = weir(proxy_to("127.0.0.1:1", routes=[
        {"name": "fixed", "match": {"path": "/*"}, "respond": {"body": "here"}, **LIMITED}]))
    assert w.get("/", method="POST", body=b"x" * 10_240).body == b"here"
    refused(w.get("/", method="POST", body=b"x" * 10_241))
