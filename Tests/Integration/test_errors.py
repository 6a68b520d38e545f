"""`errors`: what is sent in place of an error, in which form, and whose errors it stands for."""

import gzip
import json
import re
import subprocess

import pytest

import certs
import h2wire
import wire
from backends import answer, closed_port, fixed, once, serve
from harness import BINARY, merge, proxy_to
from test_http2_responses import Origin
from test_tls_upstream import over_tls

pytestmark = [pytest.mark.bytes]

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
HTML = "<!doctype html><title>{error.status}</title><h1>{error.phrase}</h1><p>{request.path} {request.id}\n"
JSON = '{{"status": {error.status}, "error": "{error.reason}", "request": "{request.id}", "path": "{request.path}"}}'
FORMS = {"html": HTML, "json": JSON, "text": "{error.status} {error.reason} {request.id}\n"}


def says(body, **more):
    return {"respond": {"body": body}, **more}


def ask(w, target="/", accept=None, *fields, **options):
    return wire.get(w.address, target, [*fields, *([("Accept", accept)] if accept else [])], **options)


@pytest.fixture(scope="module")
def down(shared_weir):
    """Nobody listens at the only endpoint."""
    return shared_weir(proxy_to(closed_port(), errors={"5xx": {"respond": FORMS}}))


@pytest.mark.parametrize("accept, kind", [
    (BROWSER, "text/html; charset=utf-8"), ("application/json", "application/json"), (None, "text/plain; charset=utf-8"),
    ("*/*", "text/plain; charset=utf-8"), ("image/png", "text/plain; charset=utf-8"),
    ("text/html;q=0.3, application/*;q=0.9", "application/json"), ("text/html;;;q=x", "text/plain; charset=utf-8"),
])
def test_the_form_the_client_takes(down, accept, kind):
    response = ask(down, "/a", accept)
    assert (response.status, response.get("Content-Type"), response.get("Vary")) == (502, kind, "accept")
    # The fields of the error stay.
    assert 'details="connect-refused"' in response.get("Proxy-Status")
    number = response.get("X-Request-Id")
    if "json" in kind:
        assert json.loads(response.body) == {
            "status": 502, "error": "connect-refused", "request": number, "path": "/a"}
    elif "html" in kind:
        assert response.body.decode() == f"<!doctype html><title>502</title><h1>Bad Gateway</h1><p>/a {number}\n"
    else:
        assert response.body.decode() == f"502 connect-refused {number}\n"


@pytest.mark.parametrize("accept, mark", [(BROWSER, b"<h1>Bad Gateway</h1>"), ("application/json", b'"error": "connect-')])
def test_the_same_over_http2(down, accept, mark):
    with h2wire.connect(down.address) as session:
        for method in ["GET", "HEAD"]:
            stream = session.fetch("/", method=method, fields=[("accept", accept)])
            assert stream.status == 502 and stream.get("vary") == "accept" and stream.get("x-request-id")
            assert (mark in stream.body) == (method == "GET")
            if method == "GET":
                assert int(stream.get("content-length")) == len(stream.body)


def test_the_connection_goes_on_and_head_has_no_body(down):
    stream = down.connect()
    for method in ["GET", "HEAD", "GET"]:
        stream.send(wire.head_bytes(f"{method} / HTTP/1.1", [("Accept", "application/json")]))
        response = stream.response(method)
        assert response.status == 502 and int(response.get("Content-Length")) > 50
        assert (response.body == b"") == (method == "HEAD")
    stream.close()


@pytest.mark.parametrize("target", [
    "/<script>alert(1)</script>", "/%3Cscript%3E?\"<script>'&", "/a\"onload=\"x", "/'\\\"<"])
@pytest.mark.parametrize("accept", [BROWSER, "application/json"])
def test_what_a_client_sends_is_no_markup(shared_weir, target, accept):
    """A page may repeat all of a request: nothing of it is a tag, an attribute, or the end of a string."""
    w = shared_weir(proxy_to(closed_port(), errors={"502": {"respond": {
        "html": "<p title=\"{request.uri}\">{request.header.x}|{query.n}|{cookie.c}",
        "json": '["{request.uri}", "{request.header.x}", "{query.n}", "{cookie.c}"]'}}}))
    evil = "<script>\"'&\\"
    response = ask(w, target + ("&" if "?" in target else "?") + "n=%3Cscript%3E%22", accept, ("X", evil),
                   ("Cookie", "c=<script>"))
    if response.status == 400:  # refused before it can be repeated
        assert b"<script" not in response.body
        return
    assert response.status == 502
    body = response.body.decode()
    assert "<script" not in body.lower()
    if accept == BROWSER:
        assert re.fullmatch(r'<p title="[^"<>\']*">[^<>"\']*', body), body
    else:
        assert json.loads(body)[1:] == [evil, "<script>\"", "<script>"]


def test_exact_before_class_and_route_before_listener_before_top(weir, tmp_path):
    w = weir(proxy_to(
        closed_port(),
        listener={"errors": {"502": says("listener 502"), "4xx": says("listener 4xx")}},
        routes=[
            {"name": "own", "match": {"path": "/own"}, "service": "origin", "errors": {"5xx": says("route 5xx")}},
            {"name": "both", "match": {"path": "/both"}, "service": "origin",
             "errors": {"5xx": says("route 5xx"), "502": says("route 502")}},
            {"name": "other", "match": {"path": "/other"}, "service": "origin", "errors": {"503": says("route 503")}},
            {"name": "get", "match": {"path": "/get", "method": "GET"}, "service": "origin"},
        ],
        errors={"502": says("top 502"), "404": says("top 404"), "405": says("top 405"), "5xx": says("top 5xx")}))
    # A class of a narrower place comes before a status of a wider one.
    for target, body in [("/own", b"route 5xx"), ("/both", b"route 502"), ("/other", b"listener 502"),
                         ("/get", b"listener 502"), ("/none", b"listener 4xx")]:
        assert ask(w, target).body == body, target
    response = ask(w, "/get", method="POST")
    assert (response.status, response.body, response.get("Allow")) == (405, b"listener 4xx", "GET, HEAD")


def test_statuses_without_an_entry_say_what_they_always_said(weir):
    w = weir(proxy_to(closed_port(), errors={"404": says("page"), "500": says("page")}))
    response = ask(w)
    assert response.status == 502 and b"This response was made by Weir" in response.body
    assert "Vary" not in response


def test_files_of_a_folder(weir, tmp_path):
    (tmp_path / "www").mkdir()
    (tmp_path / "missing.html").write_text("<h1>{not a variable}</h1>")
    w = weir({
        "listeners": {"web": {"address": None}},
        "routes": [{"name": "all", "service": "site", "errors": {
            "404": {"file": str(tmp_path / "missing.html")}, "405": says("not so")}}],
        "services": {"site": {"files": str(tmp_path / "www")}},
    })
    response = ask(w, "/nothing", "application/json")
    assert (response.status, response.body) == (404, b"<h1>{not a variable}</h1>")
    assert response.get("Content-Type") == "text/html; charset=utf-8" and "Vary" not in response
    response = ask(w, "/nothing", method="DELETE")
    assert (response.status, response.body, response.get("Allow")) == (405, b"not so", "GET, HEAD, OPTIONS")


def test_a_head_that_cannot_be_read(weir):
    """There is no request: what would be of it is empty, and the id is still there."""
    w = weir(proxy_to(closed_port(), listener={"errors": {"4xx": {"respond": {
        "html": "html", "text": "{error.status} {error.reason} [{request.path}{request.host}{query.a}{route}"
                                "{request.header.accept}{?query}{path.x}{request.method}] {request.id} {client.ip} "
                                "{request.scheme}"}}}}))
    stream = w.connect()
    stream.send(b"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html\r\nBad Field: x\r\n\r\n")
    response = stream.response()
    number = response.get("X-Request-Id")
    assert response.status == 400 and response.get("Connection") == "close"
    assert response.body.decode() == f"400 request-malformed [] {number} 127.0.0.1 http"
    assert stream.ended()
    w.wait_reason("request-malformed")


def test_header_rules_and_request_bodies(weir):
    """Rules of the route see the page's answer; a body nobody read ends the connection, as ever."""
    w = weir(proxy_to(closed_port(), route={
        "errors": {"5xx": says("page")}, "headers": {"response": {
            "set": {"X-Frame-Options": "DENY", "Content-Type": "text/x-page"}, "remove": ["Server"]}}}))
    response = ask(w, method="POST", body=b"x" * 1000)
    assert (response.status, response.body) == (502, b"page") and "Server" not in response
    assert response.get("X-Frame-Options") == "DENY" and response.fields.all("Content-Type") == ["text/x-page"]


def test_unavailable_keeps_its_fields(weir):
    w = weir(proxy_to("nowhere.invalid:80", errors={"503": says("later", **{"of-endpoints": True})}))
    response = ask(w)
    assert (response.status, response.body, response.get("Retry-After")) == (503, b"later", "1")


def test_compressed_where_the_route_compresses(weir):
    page = "<p>sorry</p>" * 400
    w = weir(proxy_to(closed_port(), route={
        "compression": "on", "errors": {"502": {"respond": {"html": page, "text": "sorry"}}}}))
    response = ask(w, "/", BROWSER, ("Accept-Encoding", "gzip"))
    assert response.get("Content-Encoding") == "gzip" and gzip.decompress(response.body).decode() == page
    assert {value.lower() for value in response.fields.all("Vary")} == {"accept", "accept-encoding"}
    assert ask(w, "/", BROWSER).body.decode() == page
    assert ask(w, "/", None, ("Accept-Encoding", "gzip")).body == b"sorry"


def test_a_text_that_becomes_too_long_gives_way(weir):
    w = weir(proxy_to(closed_port(), errors={"502": {"respond": {"json": "{request.header.x}" * 10}}}))
    assert ask(w, "/", None, ("X", "<" * 2_000)).body == b"\\u003c" * 20_000
    response = ask(w, "/", None, ("X", "<" * 20_000))
    assert response.status == 502 and b"This response was made by Weir" in response.body


def test_a_long_value_is_not_written_for_ever(weir):
    """What a client sends is looked at as often as there is room for it, not as often as the text wants it: this took
    minutes of the worker."""
    w = weir(proxy_to(closed_port(), workers=1, listener={"limits": {"head": "64KiB"}}, errors={
        "502": {"respond": {"html": "{request.header.x}" * 3_500}}}))
    response = ask(w, "/", None, ("X", "<" * 60_000))
    assert response.status == 502 and b"This response was made by Weir" in response.body


@pytest.mark.parametrize("type", ["text/javascript", "text/javascript\t;charset=utf-8"])
def test_strings_of_javascript(weir, type):
    w = weir(proxy_to(closed_port(), errors={"502": {"respond": {
        "body": "a = '{query.q}'; b = `{query.q}`; c = \"{query.q}\"", "type": type}}}))
    response = ask(w, "/?q=%27%22%60;alert(1)//$%7balert(2)%7d%5c")
    assert response.get("Content-Type") == type
    text = "\\u0027\\\"\\u0060;alert(1)//\\u0024{alert(2)}\\\\"
    assert response.body.decode() == f"a = '{text}'; b = `{text}`; c = \"{text}\""


def test_grpc_calls_are_answered_in_their_own_way(weir):
    w = weir(proxy_to(closed_port(), service={"protocol": "h2"}, errors={
        "5xx": says("page", **{"of-endpoints": True})}))
    with h2wire.connect(w.address) as session:
        stream = session.fetch("/a.B/C", method="POST", body=b"\0\0\0\0\0", fields=[
            ("content-type", "application/grpc"), ("te", "trailers")])
        assert stream.status == 200 and stream.get("grpc-status") == "14" and stream.body == b""


def test_a_reload_changes_texts_and_files(weir, tmp_path):
    file = tmp_path / "page.txt"
    file.write_text("one")
    w = weir(proxy_to(closed_port(), errors={"502": {"file": str(file)}}))
    assert ask(w).body == b"one"
    file.write_text("two")
    w.reload()
    assert ask(w).body == b"two"
    file.unlink()
    w.reload()
    assert ask(w).body == b"two", "a configuration that is wrong changes nothing"
    w.reload({**w.config, "errors": {"502": says("three")}})
    assert ask(w).body == b"three"
    w.reload({key: value for key, value in w.config.items() if key != "errors"})
    assert b"made by Weir" in ask(w).body


# Answers of endpoints

NOT_FOUND = answer(b"their own page", "404 Not Found", [("X-Own", "1"), ("Set-Cookie", "a=b"), ("Content-Type", "text/html")])


def test_answers_of_endpoints_stay_unless_asked_for(weir, backend):
    origin = backend(fixed(NOT_FOUND))
    w = weir(proxy_to(origin, errors={"404": says("ours"), "5xx": says("ours", **{"of-endpoints": True})}))
    response = ask(w)
    assert (response.status, response.body, response.get("X-Own")) == (404, b"their own page", "1")


@pytest.mark.parametrize("http2", [False, True], ids=["http1", "http2"])
def test_answers_of_endpoints_are_replaced(weir, backend, http2):
    """Status stays, the rest is ours; both connections go on."""
    origin = backend(serve(lambda request: NOT_FOUND.partition(b"their")[0] if request.method == "HEAD" else NOT_FOUND))
    w = weir(proxy_to(origin, workers=1, route={"headers": {"response": {"set": {"X-Rule": "ran"}}}}, errors={
        "404": {"respond": {"body": "{error.status} {error.phrase} {error.reason}"}, "of-endpoints": True}}))

    def fetch(session, method):
        if http2:
            return session.fetch("/", method=method)
        session.send(wire.head_bytes(f"{method} / HTTP/1.1"))
        return session.response(method)

    session = h2wire.connect(w.address) if http2 else w.connect()
    for method in ["GET", "HEAD", "GET", "GET"]:
        response = fetch(session, method)
        assert response.status == 404 and bytes(response.body) == (b"" if method == "HEAD" else b"404 Not Found -")
        assert response.get("content-length") == "15" and response.get("x-rule") == "ran"
        assert response.get("proxy-status") == "weir; received-status=404" and response.get("x-request-id")
        assert response.get("x-own") is None and response.get("set-cookie") is None
    session.close()
    assert {r.connection for r in origin.requests} == {origin.requests[0].connection}
    record = w.wait_records(4)[0]
    assert record["status"] == 404 and "reason" not in record, "nothing failed"


@pytest.mark.parametrize("status, kept", [
    ("401 Unauthorized", ("WWW-Authenticate", 'Basic realm="a"')), ("405 Method Not Allowed", ("Allow", "GET")),
    ("429 Too Many Requests", ("Retry-After", "7")), ("503 Service Unavailable", ("Retry-After", "7")),
])
def test_what_the_status_needs_is_kept(weir, backend, status, kept):
    everything = [("WWW-Authenticate", 'Basic realm="a"'), ("Allow", "GET"), ("Retry-After", "7"), ("ETag", '"a"')]
    w = weir(proxy_to(backend(fixed(answer(b"theirs", status, everything))), errors={
        "4xx": says("ours", **{"of-endpoints": True}), "5xx": says("ours", **{"of-endpoints": True})}))
    response = ask(w)
    assert response.body == b"ours" and response.get(kept[0]) == kept[1]
    assert not [name for name, _ in everything if name in response and name != kept[0]]


@pytest.mark.parametrize("body, kept", [
    (b"2\r\nok\r\n0\r\n\r\n", True), (b"0\r\nX-Trailer: a\r\n\r\n", True), (b"2\r\nok\r\n0\r\n", False),
    (b"2\r\nok\r\n0\r\n\r\nHTTP/1.1 ", False), (b"2\r\nokay\r\n0\r\n\r\n", False)],
    ids=["whole", "trailers", "unfinished", "more", "malformed"])
def test_an_answer_that_came_whole_keeps_its_connection(weir, backend, body, kept):
    origin = backend(serve(
        lambda request: wire.head_bytes("HTTP/1.1 404 Not Found", [("Transfer-Encoding", "chunked")], None) + body))
    w = weir(proxy_to(origin, workers=1, errors={"404": says("ours", **{"of-endpoints": True})}))
    assert [ask(w).body for _ in range(3)] == [b"ours"] * 3
    assert len(set(request.connection for request in origin.requests)) == (1 if kept else 3)


@pytest.mark.parametrize("ending", ["length", "chunked", "close"])
def test_a_body_that_is_not_read(weir, backend, ending):
    """An endpoint that has more to say than its head is not listened to; the next request gets another connection."""
    big = b"x" * 5_000_000

    def reply(request):
        if request.target == "/ok":
            return answer(b"fine")
        if ending == "length":
            return answer(big, "500 Internal Server Error")
        fields = [("Transfer-Encoding", "chunked")] if ending == "chunked" else [("Connection", "close")]
        body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(big), big) if ending == "chunked" else big
        return wire.head_bytes("HTTP/1.1 500 Internal Server Error", fields, None) + body

    def script(c):
        while True:
            request = c.request()
            try:
                c.send(reply(request))
            except OSError:
                return
            if request.target == "/" and ending == "close":
                return

    w = weir(proxy_to(backend(script), errors={"500": says("ours", **{"of-endpoints": True})}))
    stream = w.connect()
    for target, body in [("/", b"ours"), ("/ok", b"fine"), ("/", b"ours"), ("/ok", b"fine")]:
        stream.send(wire.head_bytes(f"GET {target} HTTP/1.1"))
        assert stream.response().body == body
    stream.close()


def test_a_head_in_pieces_is_replaced(weir, backend):
    def script(c):
        c.request()
        for at in range(0, len(NOT_FOUND), 7):
            c.send(NOT_FOUND[at:at + 7])
        c.wait_end()

    w = weir(proxy_to(backend(script), errors={"404": says("ours", **{"of-endpoints": True})}))
    response = ask(w)
    assert (response.status, response.body) == (404, b"ours") and "X-Own" not in response


def test_retries_come_before(weir, backend):
    """A status that is tried again is replaced only when there is no try left."""
    origin = backend(fixed(answer(b"theirs", "503 Service Unavailable")))
    w = weir(proxy_to(origin, route={"retry": {"attempts": 2, "on": ["503"]}}, errors={
        "503": says("ours", **{"of-endpoints": True})}))
    response = ask(w)
    assert (response.status, response.body) == (503, b"ours")
    assert len(origin.requests) == 2


def test_the_entry_that_is_found_decides(weir, backend):
    """A route's entry that leaves endpoints alone hides one of the top level that does not."""
    w = weir(proxy_to(backend(fixed(NOT_FOUND)), route={"errors": {"404": says("route")}}, errors={
        "4xx": says("top", **{"of-endpoints": True})}))
    assert ask(w).body == b"their own page"


def test_an_upload_that_is_answered_early(weir, backend):
    """The endpoint refuses before it has the body: its page is replaced, and nothing is mistaken for a request."""
    def script(c):
        c.head()
        c.send(answer(b"theirs", "413 Content Too Large", [("Connection", "close")]))
        c.wait_end()

    w = weir(proxy_to(backend(script), route={"hold": "0B"}, errors={"413": says("ours", **{"of-endpoints": True})}))
    stream = w.connect()
    stream.send(wire.head_bytes("POST / HTTP/1.1", [("Content-Length", 10_000_000)]) + b"x" * 1000)
    response = stream.response()
    assert (response.status, response.body, response.get("Connection")) == (413, b"ours", "close")


def test_an_http2_endpoint(weir):
    """The stream is reset when its body is still to come; the connection is the next one's."""
    def reply(session, number, _):
        session.send(h2wire.headers(number, [(":status", "502"), ("x-own", "1")], end_stream=False))
        session.send(h2wire.data(number, b"their" * 100))

    with Origin(answer=reply) as origin:
        w = weir(proxy_to(origin, workers=1, service={"protocol": "h2"}, errors={
            "502": says("ours", **{"of-endpoints": True})}))
        for _ in range(3):
            response = ask(w)
            assert (response.status, response.body) == (502, b"ours") and "X-Own" not in response


# Pages that a service has

PAGE = [("Content-Type", "text/html"), ("ETag", '"p"'), ("Last-Modified", "Sat, 28 Nov 2026 00:00:00 GMT"),
        ("Accept-Ranges", "bytes"), ("Cache-Control", "max-age=600"), ("Expires", "Sat, 28 Nov 2026 00:10:00 GMT"),
        ("Age", "3"), ("Set-Cookie", "s=1"), ("Proxy-Status", "other"), ("X-Request-Id", "theirs"), ("Allow", "GET"),
        ("Retry-After", "600"), ("Link", "</a.css>; rel=preload"), ("Vary", "accept-language")]


def shown(request):
    """A page that says what was asked for it."""
    body = f"page of {request.target}".encode()
    head = answer(body, fields=PAGE)
    return head.removesuffix(body) if request.method == "HEAD" else head


def asks(name="pages", **more):
    return {"service": name, **more}


def with_pages(origin, pages, errors=None, service=None, **more):
    """What `origin` fails in, `pages` has a page for; both may be lists of endpoints."""
    endpoints = pages if isinstance(pages, list) else [pages]
    return proxy_to(origin, services={
        "pages": {"endpoints": [getattr(e, "endpoint", e) for e in endpoints], **(service or {})}},
        errors=errors or {"5xx": asks()}, **more)


class PageOrigin(Origin):
    """The same page from an HTTP/2 service."""

    def __init__(self):
        super().__init__(answer=self.show)

    def show(self, session, number, state):
        fields = [(name.lower(), value) for name, value in PAGE]
        body = f"page of {state.head.get(':path')}".encode()
        is_head = state.head.get(":method") == "HEAD"
        session.send(h2wire.headers(number, [(":status", "200"), ("content-length", str(len(body))), *fields], is_head))
        if not is_head:
            session.send(h2wire.data(number, body, True))


@pytest.mark.parametrize("client", ["http1", "http2"])
@pytest.mark.parametrize("service", ["http1", "http2"])
def test_a_page_of_a_service(weir, backend, client, service):
    """Status and fields are the error's, the rest is the page's; connections on both sides go on."""
    with PageOrigin() as h2:
        pages = h2 if service == "http2" else backend(serve(shown))
        w = weir(with_pages(
            closed_port(), pages, workers=1, service={"protocol": "h2"} if service == "http2" else None,
            route={"headers": {"response": {"set": {"X-Rule": "ran"}, "remove": ["Link"]}}}))
        session = h2wire.connect(w.address) if client == "http2" else w.connect()
        for method in ["GET", "HEAD", "GET"]:
            if client == "http2":
                response = session.fetch("/a?b", method=method)
            else:
                session.send(wire.head_bytes(f"{method} /a?b HTTP/1.1"))
                response = session.response(method)
            assert response.status == 502
            assert bytes(response.body) == (b"" if method == "HEAD" else b"page of /502.html")
            assert response.get("content-length") == "17" and response.get("content-type") == "text/html"
            assert response.get("proxy-status") == 'weir; error=connection_refused; details="connect-refused"'
            assert response.get("x-request-id") not in (None, "theirs")
            assert response.get("vary") == "accept-language" and response.get("x-rule") == "ran"
            for name in ["etag", "last-modified", "accept-ranges", "cache-control", "expires", "age", "set-cookie",
                         "allow", "retry-after", "link"]:
                assert response.get(name) is None, name
        session.close()
        records = w.wait_records(3)
        assert {(r["status"], r["reason"], r["service"]) for r in records} == {(502, "connect-refused", "origin")}
        assert {r["endpoint"] for r in records} == {w.config["services"]["origin"]["endpoints"][0]}
        assert w.metric("weir_requests_total", service="origin") == 3
        if service == "http1":
            assert {r.connection for r in pages.requests} == {0}, "kept"


def test_what_the_service_is_asked_with(weir, backend):
    """Who the client is to the application, and what it wants of another resource, is not told."""
    pages = backend(serve(shown))
    w = weir(with_pages(
        closed_port(), pages, errors={"502": asks(path="/{error.status}/{error.reason}?{error.phrase}&{request.host}{request.path}")},
        route={"headers": {"request": {"set": {"Authorization": "Basic secret"}}}}))
    response = ask(w, "/a", "text/html", ("Accept-Language", "de"), ("Accept-Encoding", "gzip"), ("User-Agent", "u"),
                   ("Cookie", "a=b"), ("Authorization", "Basic x"), ("If-None-Match", '"p"'), ("Range", "bytes=0-1"),
                   ("If-Modified-Since", "Sat, 28 Nov 2026 00:00:00 GMT"), ("Content-Type", "text/plain"), ("X-Own", "1"),
                   ("Via", "1.0 a"), method="POST", body=b"form")
    assert (response.status, response.get("Connection")) == (502, None)
    request = pages.requests[0]
    assert (request.method, request.target) == ("GET", "/502/connect-refused?Bad%20Gateway&a.example/a")
    assert sorted((name.lower(), value) for name, value in request.fields) == sorted([
        ("host", "a.example"), ("accept", "text/html"), ("accept-language", "de"), ("accept-encoding", "gzip"),
        ("user-agent", "u"), ("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "a.example"), ("via", "1.0 a, 1.1 weir")])
    assert request.body == b""


def plain(response, status, reason):
    return response.status == status and reason.encode() in response.body and b"made by Weir" in response.body


@pytest.mark.parametrize("what", [
    "refused", "404", "500", "204", "206", "101", "closes", "malformed", "early", "loop"])
def test_no_page_no_loop(weir, backend, what):
    """Whatever the service does: one plain answer, for the error there was."""
    replies = {
        "404": answer(b"no page", "404 Not Found"), "500": answer(b"no page", "500 Internal Server Error"),
        "204": wire.head_bytes("HTTP/1.1 204 No Content", [], None), "206": answer(b"part", "206 Partial Content"),
        "101": wire.head_bytes("HTTP/1.1 101 Switching Protocols", [("Connection", "upgrade"), ("Upgrade", "x")], None),
        "malformed": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"}
    if what == "refused":
        pages = closed_port()
    elif what == "closes":
        pages = backend(lambda c: c.request() and None)
    elif what == "early":
        hints = wire.head_bytes("HTTP/1.1 103 Early Hints", [("Link", "</a>")], None)
        pages = backend(fixed(hints + answer(b"no page", "404 Not Found")))
    else:
        pages = backend(fixed(replies.get(what, answer(b"", "502 Bad Gateway"))))
    w = weir(with_pages(closed_port(), pages, errors={"4xx": asks(), "5xx": asks(**{"of-endpoints": True})},
                        route={"retry": {"attempts": 1}}))
    stream = w.connect()
    for _ in range(2):
        stream.send(wire.head_bytes("GET / HTTP/1.1"))
        assert plain(stream.response(), 502, "connect-refused")
    stream.close()
    assert {(r["status"], r["reason"], r["attempts"]) for r in w.wait_records(2)} == {(502, "connect-refused", 1)}
    if what in ("404", "500", "loop"):
        assert len(pages.requests) == 2


def test_another_endpoint_has_the_page(weir, backend):
    """Connects are tried again, on a route and without one."""
    pages = backend(serve(shown))
    w = weir(with_pages(closed_port(), [closed_port(), pages], workers=1, errors={"4xx": asks(), "5xx": asks()},
                        route={"match": {"path": "/a"}}, service={"balance": "round-robin"}))
    for _ in range(2):
        assert ask(w, "/a").body == b"page of /502.html"
        response = ask(w, "/nowhere", None, ("Cookie", "a=b"))
        assert (response.status, response.body) == (404, b"page of /404.html")
        assert "route-not-found" in response.get("Proxy-Status")
    record = w.wait_record(lambda r: r["status"] == 404)
    assert record["reason"] == "route-not-found" and "service" not in record


@pytest.mark.parametrize("client", ["http1", "http2"])
def test_a_body_that_is_not_read_to_its_end(weir, backend, client):
    """The page does not wait for it, and it is not mistaken for a request."""
    pages = backend(serve(shown))
    w = weir(with_pages(closed_port(), pages, route={"hold": "0B"}, workers=1))
    if client == "http2":
        with h2wire.connect(w.address) as session:
            stream = session.request("/", method="POST", fields=[("content-length", "100000")], end_stream=False)
            session.send_body(stream.number, b"x" * 1000, end_stream=False)
            session.until(lambda: stream.ended, "the page")
            assert (stream.status, bytes(stream.body)) == (502, b"page of /502.html")
            session.send_body(stream.number, b"x" * 99_000)
            assert session.fetch("/").status == 502, "the connection goes on"
        return
    for fields, body in [([("Content-Length", 10_000_000)], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
                         ([("Transfer-Encoding", "chunked")], b"5\r\nhello\r\n")]:
        stream = w.connect()
        stream.send(wire.head_bytes("POST / HTTP/1.1", fields) + body)
        response = stream.response()
        assert (response.status, response.body, response.get("Connection")) == (502, b"page of /502.html", "close")
        stream.send(b"x" * 1000)
        assert stream.rest() == b""
    assert all(r.method == "GET" and r.body == b"" for r in pages.requests)


def test_a_held_body_and_a_connection_that_goes_on(weir, backend):
    pages = backend(serve(shown))
    w = weir(with_pages(closed_port(), pages))
    stream = w.connect()
    for fields, body in [([("Content-Length", 5)], b"hello"),
                         ([("Transfer-Encoding", "chunked")], b"5\r\nhello\r\n0\r\nX-T: a\r\n\r\n"), ([], b"")]:
        stream.send(wire.head_bytes("PUT / HTTP/1.1", fields) + body)
        response = stream.response()
        assert (response.status, response.body, response.get("Connection")) == (502, b"page of /502.html", None)
    stream.close()


@pytest.mark.parametrize("deadline", ["head", "total"])
def test_a_page_after_a_timeout(weir, backend, deadline):
    """The deadlines of the route are over: the page has its own."""
    pages = backend(serve(shown))
    w = weir(with_pages(backend(lambda c: c.request() and c.wait_end()), pages,
                        route={"timeout": {deadline: "100ms"}, "retry": {"attempts": 1}}))
    response = ask(w)
    assert (response.status, response.body) == (504, b"page of /504.html")
    record = w.wait_records(1)[0]
    assert record["reason"] == ("upstream-head-timeout" if deadline == "head" else "total-timeout")
    assert (record["service"], record["attempts"]) == ("origin", 1)


def test_a_service_that_hangs(weir, backend):
    """The error is told when the page's own time is over, whatever the route's deadlines are."""
    pages = backend(lambda c: c.request() and c.wait_end())
    w = weir(with_pages(closed_port(), pages, errors={"502": asks(timeout="200ms")}))
    stream = w.connect()
    for _ in range(2):
        stream.send(wire.head_bytes("GET / HTTP/1.1"))
        assert plain(stream.response(), 502, "connect-refused")
    stream.close()


def test_a_connection_that_ended_before_the_page(weir, backend):
    """The race of keep-alive is the service's own: the request for the page can be repeated, whatever the client's was."""
    def script(c):
        c.send(shown(c.request()))
        c.request()

    pages = backend(script)
    w = weir(with_pages(closed_port(), pages, workers=1))
    for _ in range(3):
        response = ask(w, method="POST", body=b"form")
        assert (response.status, response.body) == (502, b"page of /502.html")
    assert [r.connection for r in pages.requests] == [0, 0, 1, 1, 2]


def test_a_client_that_leaves(weir, backend):
    """The page is waited for by nobody."""
    pages = backend(lambda c: c.request() and c.wait_end())
    w = weir(with_pages(closed_port(), pages, errors={"502": asks(timeout="1h")}))
    stream = w.connect()
    stream.send(wire.head_bytes("GET / HTTP/1.1"))
    pages.wait_requests(1)
    stream.close()
    record = w.wait_records(1)[0]
    assert (record["status"], record["reason"], record["service"]) == (0, "connect-refused", "origin")
    wire.eventually(lambda: pages.connections[0].end, "the request for the page is given up")


def test_a_page_over_tls(weir, backend, tmp_path):
    ca = certs.CA(tmp_path)
    pages = backend(over_tls(serve(shown), certs.server_context(ca.issue("127.0.0.1"))))
    w = weir(with_pages(closed_port(), pages, workers=1, service={"tls": {"ca": ca.path}}))
    for _ in range(2):
        assert ask(w, method="POST", body=b"form").body == b"page of /502.html"
    assert {r.connection for r in pages.requests} == {0}
    other = weir(with_pages(closed_port(), pages, service={"tls": {"ca": ca.path, "server-name": "other.example"}}))
    assert plain(ask(other), 502, "connect-refused")


def test_a_page_that_stops_within(weir, backend):
    """It has begun: it is cut, and nobody takes it for whole."""
    w = weir(with_pages(closed_port(), backend(once(answer(b"x" * 100)[:-50])), errors={"502": asks()}))
    stream = w.connect()
    stream.send(wire.head_bytes("GET / HTTP/1.1"))
    with pytest.raises(wire.Ended):
        stream.response()
    record = w.wait_records(1)[0]
    assert (record["status"], record["reason"]) == (502, "connect-refused")


@pytest.mark.parametrize("framing", ["chunked", "close", "large", "dense"])
def test_pages_of_every_framing(weir, backend, framing):
    body = b"page" * (500_000 if framing == "large" else 50)
    fields = {"chunked": [("Transfer-Encoding", "chunked")], "close": [("Connection", "close")],
              "large": [("Content-Length", len(body))], "dense": []}[framing]
    sent = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if framing == "chunked" else body
    head = wire.head_bytes("HTTP/1.1 200 OK", fields, None)
    if framing == "dense":
        # Shorter than it is when it is written.
        many = "".join(f"{number}:{number}\r\n" for number in range(190))
        head = f"HTTP/1.1 200 \r\n{many}Content-Length:{len(body)}\r\n\r\n".encode()
    w = weir(with_pages(closed_port(), backend(once(head + sent))))
    response = ask(w)
    assert (response.status, response.body) == (502, body)
    if framing == "dense":
        assert response.get("189") == "189" and response.get("X-Request-Id")


def test_pages_are_compressed_as_other_responses(weir, backend):
    def reply(request):
        fields = [("Content-Type", "text/html")]
        if "unchanged" in request.target:
            fields.append(("Cache-Control", "no-transform"))
        return answer(b"page " * 1000, fields=fields)

    w = weir(with_pages(closed_port(), backend(serve(reply)), route={"compression": "on"},
                        errors={"502": asks(path="/p{request.path}")}))
    response = ask(w, "/a", None, ("Accept-Encoding", "gzip"))
    assert response.get("Content-Encoding") == "gzip" and gzip.decompress(response.body) == b"page " * 1000
    response = ask(w, "/unchanged", None, ("Accept-Encoding", "gzip"))
    assert response.get("Content-Encoding") is None and response.body == b"page " * 1000


def test_answers_of_endpoints_get_pages_of_services(weir, backend):
    origin = backend(fixed(answer(b"theirs", "429 Too Many Requests", [("Retry-After", "7"), ("X-Own", "1")])))
    pages = backend(serve(shown))
    w = weir(with_pages(origin, pages, workers=1, errors={"4xx": asks(**{"of-endpoints": True})}))
    stream = w.connect()
    for _ in range(2):
        stream.send(wire.head_bytes("POST / HTTP/1.1", [("Content-Length", 1)]) + b"x")
        response = stream.response()
        assert (response.status, response.body, response.get("Retry-After")) == (429, b"page of /429.html", "7")
        assert response.get("Proxy-Status") == "weir; received-status=429" and "X-Own" not in response
    stream.close()
    assert {r.connection for r in origin.requests} == {0} and {r.connection for r in pages.requests} == {0}
    record = w.wait_records(2)[0]
    assert (record["status"], record["service"], record["endpoint"]) == (429, "origin", origin.endpoint)
    assert "reason" not in record, "nothing failed"
    assert w.metric("weir_endpoint_attempts_total", endpoint=pages.endpoint) == 2

    pages.stop()
    response = ask(w)
    assert (response.status, response.body, response.get("Retry-After")) == (429, b"", "7")


@pytest.mark.parametrize("client", ["http1", "http2"])
def test_pages_of_a_folder(weir, tmp_path, client):
    folder = tmp_path / "www"
    folder.mkdir()
    (folder / "502.html").write_text("<h1>down</h1>")
    (folder / "404.html").write_text("<h1>nothing</h1>" * 20_000)
    config = proxy_to(closed_port(), route={"match": {"path": "/a"}, "compression": "on"},
                      errors={"502": asks("site"), "404": asks("site"), "405": asks("site")},
                      routes=None, services={"site": {"files": {"root": str(folder), "cache": [
                          {"path": "*", "control": "max-age=60"}]}}})
    config["routes"] = [{"name": "a", "match": {"path": "/a"}, "service": "origin"},
                        {"name": "b", "match": {"path": "/b", "method": "GET"}, "service": "origin", "compression": "on"}]
    w = weir(config)

    def fetch(target, method="GET", *fields):
        if client == "http1":
            return ask(w, target, None, *fields, method=method)
        with h2wire.connect(w.address) as session:
            return session.fetch(target, method=method, fields=[(name.lower(), value) for name, value in fields])

    for method in ["GET", "HEAD", "POST"]:
        response = fetch("/a", method, ("If-None-Match", "*"), ("Range", "bytes=0-1"))
        assert (response.status, response.get("content-type")) == (502, "text/html; charset=utf-8")
        assert bytes(response.body) == (b"" if method == "HEAD" else b"<h1>down</h1>")
        assert response.get("content-length") == "13" and "connect-refused" in response.get("proxy-status")
        for name in ["etag", "last-modified", "accept-ranges", "cache-control", "expires"]:
            assert response.get(name) is None, name
    response = fetch("/nowhere")
    assert (response.status, bytes(response.body)) == (404, b"<h1>nothing</h1>" * 20_000)
    response = fetch("/b", "DELETE")
    assert response.status == 405 and b"method-not-allowed" in response.body, "there is no such file"
    assert response.get("allow") == "GET, HEAD"
    (folder / "502.html").write_text("<h1>down</h1>" * 1000)
    response = fetch("/b", "GET", ("Accept-Encoding", "gzip"))
    assert response.get("content-encoding") == "gzip" and response.get("vary") == "accept-encoding"
    assert gzip.decompress(bytes(response.body)) == b"<h1>down</h1>" * 1000
    record = w.wait_record(lambda r: r["status"] == 502)
    assert (record["reason"], record["service"]) == ("connect-refused", "origin")


@pytest.mark.parametrize("size", [1, 1000], ids=["plain", "coded"])
def test_a_file_in_place_of_an_answer_that_is_given_up(weir, backend, tmp_path, size):
    """What was made of the body before its fault was seen is no part of the page."""
    page = b"<h1>down</h1>" * size
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "502.html").write_bytes(page)
    head = wire.head_bytes("HTTP/1.1 200 OK", [("Content-Type", "text/html"), ("Transfer-Encoding", "chunked")], None)
    w = weir(proxy_to(backend(once(head + b"5\r\nhello\r\nno chunk\r\n")), route={"compression": "on"},
                      errors={"502": asks("site")}, services={"site": {"files": str(tmp_path / "www")}}))
    response = ask(w, "/", None, ("Accept-Encoding", "gzip"))
    assert (response.status, response.complete) == (502, True)
    coding = response.get("Content-Encoding")
    assert coding == ("gzip" if size > 1 else None)
    assert (gzip.decompress(response.body) if coding else response.body) == page
    assert w.wait_record(lambda r: r["status"] == 502)["reason"] == "upstream-malformed-body"


def test_no_pages_where_there_is_no_request_for_one(weir, backend):
    """Heads that cannot be read, tunnels, upgrades and gRPC calls."""
    pages = backend(serve(shown))
    w = weir(with_pages(closed_port(), pages, errors={"4xx": asks(), "5xx": asks()},
                        route={"upgrades": ["websocket", "connect"]}))
    stream = w.connect()
    stream.send(b"GET / HTTP/1.1\r\nHost: a\r\nBad Field: x\r\n\r\n")
    assert plain(stream.response(), 400, "request-malformed")
    for head in [wire.head_bytes("CONNECT a.example:443 HTTP/1.1", host="a.example:443"),
                 wire.head_bytes("GET / HTTP/1.1", [
                     ("Connection", "upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13"),
                     ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")])]:
        stream = w.connect()
        stream.send(head)
        response = stream.response()
        assert response.status >= 400 and b"made by Weir" in response.body
    response = ask(w, "/", None, ("Content-Type", "application/grpc-web"), method="POST")
    assert response.get("grpc-status") == "14"
    assert pages.requests == []


def test_a_reload_changes_the_service(weir, backend):
    first, second = backend(serve(shown)), backend(fixed(answer(b"second")))
    w = weir(with_pages(closed_port(), first))
    assert ask(w).body == b"page of /502.html"
    w.reload(merge(w.config, {"services": {"pages": {"endpoints": [second.endpoint]}}}))
    assert w.follows_newest() and ask(w).body == b"second"
    w.reload(merge(w.config, {"errors": {"5xx": None}, "services": {"pages": None}}))
    assert plain(ask(w), 502, "connect-refused")


# What check and explain say

def test_check_and_explain(tmp_path):
    file = tmp_path / "weir.yaml"

    def run(text, *arguments):
        file.write_text(text)
        return subprocess.run([BINARY, arguments[0], "-c", str(file), *arguments[1:]], capture_output=True, text=True)

    head = 'listeners: { web: { address: ":8080" } }\nadmin: off\nservices: { a: { endpoints: ["127.0.0.1:1"] } }\n'
    routes = "routes: [{ name: all, match: { path: /a/*, method: GET }, service: a }]\n"
    (tmp_path / "big.html").write_bytes(b"x" * (256 * 1024 + 1))
    result = run(head + routes + (
        "errors:\n"
        "  400: { file: none.html }\n"
        "  401: { file: big.html }\n"
        "  402: { file: weir.yaml2 }\n"
        "  403: { respond: { body: \"a {error.resaon} b\" } }\n"
        "  404: { respond: { json: '{\"a\": 1}' } }\n"
        "  405: { service: a, path: \"/{error.staus}\" }\n"), "check")
    assert result.returncode == 1
    for place, words in [("6:16", "does not exist"), ("7:16", "larger than 256 KiB"), ("8:16", "what type"),
                         ("9:31", "did you mean 'error.reason'"), ("10:28", "written twice: '{{'"),
                         ("11:31", "did you mean 'error.status'")]:
        assert re.search(rf":{place}: error: .*{re.escape(words)}", result.stderr + result.stdout), (place, result)

    text = head + routes + "errors:\n  4xx: { respond: { text: a, html: b } }\n  502: { file: %s }\n  504: { service: a, path: /e }\n" % (
        tmp_path / "p.html")
    (tmp_path / "p.html").write_text("x")
    told = run(text, "explain", "GET", "/nowhere")
    assert re.search(rf"page +4xx: text: 1 bytes, html: 1 bytes +\S+:6\n", told.stdout), told
    told = run(text, "explain", "GET", "/a/b")
    assert re.search(rf"error +502: \S+p.html +\S+:7\n", told.stdout), told
    assert re.search(rf"error +504: service a /e +\S+:8\n", told.stdout), told
    told = json.loads(run(text, "explain", "--format", "json", "POST", "/a/b").stdout)
    assert told["listeners"][0]["refused"]["page"]["statuses"] == "4xx"
