"""`errors`: what is sent in place of an error, in which form, and whose errors it stands for."""

import gzip
import json
import re
import subprocess

import pytest

import h2wire
import wire
from backends import answer, closed_port, fixed, serve
from harness import BINARY, proxy_to
from test_http2_responses import Origin

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
        "  404: { respond: { json: '{\"a\": 1}' } }\n"), "check")
    assert result.returncode == 1
    for place, words in [("6:16", "does not exist"), ("7:16", "larger than 256 KiB"), ("8:16", "what type"),
                         ("9:30", "did you mean 'error.reason'"), ("10:28", "unknown variable '\"a\": 1'")]:
        assert re.search(rf":{place}: error: .*{re.escape(words)}", result.stderr + result.stdout), (place, result)

    text = head + routes + "errors:\n  4xx: { respond: { text: a, html: b } }\n  502: { file: %s }\n" % (tmp_path / "p.html")
    (tmp_path / "p.html").write_text("x")
    told = run(text, "explain", "GET", "/nowhere")
    assert re.search(rf"page +4xx: text: 1 bytes, html: 1 bytes +\S+:6\n", told.stdout), told
    told = run(text, "explain", "GET", "/a/b")
    assert re.search(rf"error +502: \S+p.html +\S+:7\n", told.stdout), told
    told = json.loads(run(text, "explain", "--format", "json", "POST", "/a/b").stdout)
    assert told["listeners"][0]["refused"]["page"]["statuses"] == "4xx"
