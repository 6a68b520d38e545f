"""Routes: which request goes where, and the answers that need no backend."""

import json

import pytest

import certs
import h2wire
import wire
from backends import answer, serve
from harness import assert_made_by_weir, merge, proxy_to

pytestmark = [pytest.mark.bytes]


@pytest.fixture
def weir(reused_weir):
    return reused_weir


def named(name):
    """A script that answers with its own name."""
    return serve(lambda request: answer(name.encode()))


def site(weir, backend, routes, names):
    """A Weir with these routes and one service per name, whose backend answers with that name."""
    services = {name: {"endpoints": [backend(named(name)).endpoint]} for name in names}
    return weir({"listeners": {"web": {"address": None}}, "routes": routes, "services": services})


def to(name, **match):
    return {"name": f"to-{name}", "match": match, "service": name}


def test_hosts(weir, backend):
    """Exact host before wildcard before any; case-insensitive; the port does not matter."""
    w = site(weir, backend, [
        to("any", path="/*"),
        to("wildcard", host=["*.example.com"], path="/*"),
        to("exact", host=["www.example.com"], path="/*"),
    ], ["any", "wildcard", "exact"])
    for host, expected in [
        ("www.example.com", "exact"), ("WWW.Example.COM", "exact"), ("www.example.com:8080", "exact"),
        ("api.example.com", "wildcard"), ("example.com", "any"), ("www.example.org", "any"),
        ("notexample.com", "any"), ("[::1]:80", "any"),
    ]:
        assert w.get("/", host=host).body.decode() == expected, host


def test_no_answer(weir, backend):
    """`respond: close`: not a byte, not even of a refusal, and no wait for a body; other streams go on."""
    w = site(weir, backend, [
        {"name": "strangers", "match": {"path": "/closed/*"}, "respond": "close"},
        to("rest", path="/*"),
    ], ["rest"])
    for request in [
        wire.head_bytes("GET /closed/x HTTP/1.1"),
        wire.head_bytes("GET /closed/x HTTP/1.1", [("Upgrade", "websocket"), ("Connection", "upgrade")]),
        # 1000 bytes that never come; it is over all the same.
        wire.head_bytes("POST /closed/x HTTP/1.1", [("Content-Length", 1000)]),
        wire.head_bytes("POST /closed/x HTTP/1.1", [("Content-Length", 10), ("Expect", "100-continue")]),
    ]:
        stream = w.connect()
        stream.send(request)
        assert stream.rest() == b"", request
    with h2wire.connect(w.address) as session:
        refused = session.request("/closed/x")
        served = session.request("/x")
        session.until(lambda: refused.over and served.over, "both end")
        assert refused.reset and not refused.heads, refused
        assert served.status == 200
        assert session.fetch("/y").status == 200 and not session.goaway
    records = [r for r in w.wait_records(7) if r["route"] == "strangers"]
    assert [(r["status"], r["reason"]) for r in records] == [(0, "closed-by-route")] * 5
    assert w.metric("weir_failures_total", reason="closed-by-route", route="strangers") == 5


def test_no_answer_for_connect(weir, backend):
    w = weir({"listeners": {"web": {"address": None}}, "routes": [{"name": "none", "respond": "close"}]})
    stream = w.connect()
    stream.send(b"CONNECT a.example:80 HTTP/1.1\r\nHost: a.example:80\r\n\r\n")
    assert stream.rest() == b""


def test_paths(weir, backend):
    """Exact path before longer prefix before shorter; {name} is one segment; ~ is an expression."""
    w = site(weir, backend, [
        to("root", path="/*"),
        to("api", path="/api/*"),
        to("v1", path="/api/v1/*"),
        to("exact", path="/api/v1/status"),
        to("user", path="/users/{id}"),
        to("posts", path="/users/{id}/posts"),
        to("image", path=r"~^/img/[0-9]+\.png$"),
    ], ["root", "api", "v1", "exact", "user", "posts", "image"])
    for path, expected in [
        ("/", "root"), ("/else", "root"), ("/api/x", "api"), ("/api/v1/x", "v1"), ("/api/v1/status", "exact"),
        ("/api/v1/status/more", "v1"), ("/apix", "root"), ("/users/7", "user"), ("/users/7/posts", "posts"),
        ("/users/7/likes", "root"), ("/img/12.png", "image"), ("/img/x.png", "root"),
        ("/api/v1/status?x=1", "exact"), ("/API/x", "root"),
    ]:
        assert w.get(path).body.decode() == expected, path


def test_methods_headers_queries_cookies(weir, backend):
    w = site(weir, backend, [
        to("plain", path="/*"),
        to("writes", path="/*", method=["POST", "PUT"]),
        to("blue", path="/*", headers={"X-Tenant": "blue"}),
        to("debug", path="/*", query={"debug": "1"}),
        to("beta", path="/*", cookies={"channel": "beta"}),
    ], ["plain", "writes", "blue", "debug", "beta"])
    assert w.get("/").body == b"plain"
    assert w.get("/", method="POST", body=b"x").body == b"writes"
    assert w.get("/", [("X-Tenant", "blue")]).body == b"blue"
    assert w.get("/", [("X-Tenant", "green")]).body == b"plain"
    assert w.get("/?a=b&debug=1").body == b"debug"
    assert w.get("/?debug=10").body == b"plain"
    assert w.get("/", [("Cookie", "a=b; channel=beta")]).body == b"beta"
    assert w.get("/", [("Cookie", "xchannel=beta")]).body == b"plain"


def test_no_route_and_wrong_method(weir, backend):
    w = site(weir, backend, [to("api", path="/api/*", method=["GET"])], ["api"])
    response = w.get("/nowhere")
    assert response.status == 404
    assert_made_by_weir(response, "route-not-found")
    response = w.get("/api/x", method="DELETE")
    assert response.status == 405
    assert_made_by_weir(response, "method-not-allowed")
    assert "GET" in response.get("Allow", ""), "a 405 names the methods allowed (RFC 9110 §15.5.6)"


def test_redirect_and_fixed_response(weir, backend):
    w = weir({
        "listeners": {"web": {"address": None}},
        "routes": [
            {"name": "old", "match": {"path": "/old/*"}, "redirect": {"to": "https://new.example/", "status": 301}},
            {"name": "robots", "match": {"path": "/robots.txt"},
             "respond": {"status": 200, "body": "User-agent: *\n", "type": "text/plain"}},
            {"name": "gone", "match": {"path": "/gone"}, "respond": {"status": 410}},
        ],
        "services": {},
    })
    response = w.get("/old/page")
    assert (response.status, response.get("Location")) == (301, "https://new.example/")
    response = w.get("/robots.txt")
    assert (response.status, response.body, response.get("Content-Type")) == (200, b"User-agent: *\n", "text/plain")
    assert w.get("/robots.txt", method="HEAD").status == 200
    assert w.get("/gone").status == 410
    # A body sent to a route that needs none leaves the connection in a known state.
    stream = w.connect()
    for _ in range(2):
        stream.send(wire.head_bytes("POST /gone HTTP/1.1", [("Content-Length", 5)]) + b"hello")
        response = stream.response()
        assert response.status == 410
        if response.get("Connection", "").lower() == "close":
            stream = w.connect()


def test_a_long_fixed_response(weir, tmp_path):
    """Up to the MiB a body may have, whoever takes it, slowly too, and the connection goes on."""
    ca = certs.CA(tmp_path)
    body = "".join(f"{n:7}\n" for n in range(1 << 17))
    w = weir({
        "listeners": {"web": {"address": None}, "secure": {"address": None, "tls": {
            "certificates": [ca.issue("a.example").pair]}}},
        "routes": [{"name": "long", "match": {"path": "/*"}, "respond": {"body": body}}],
        "services": {},
    })
    stream = w.connect()
    for method in ["GET", "HEAD", "GET"]:
        stream.send(wire.head_bytes(f"{method} / HTTP/1.1"))
        response = stream.response(method)
        assert response.status == 200 and response.get("Content-Length") == str(1 << 20)
        assert response.body.decode() == ("" if method == "HEAD" else body)
    stream.close()
    for name, context in [("web", None), ("secure", ca.context())]:
        with h2wire.connect(w.listener(name), tls=context) as session:
            for method in ["GET", "HEAD", "GET"]:
                got = session.fetch("/", method=method)
                assert got.status == 200 and bytes(got.body).decode() == ("" if method == "HEAD" else body)
    assert [r["bytes_out"] > 1 << 20 for r in w.wait_records(9)] == [True, False, True] * 3


def test_redirect_keeps_what_its_template_names(weir):
    w = weir({"listeners": {"web": {"address": None}}, "services": {}, "routes": [
        {"name": "https", "match": {"path": "/*"},
         "redirect": {"to": "https://{request.host}{request.uri}", "status": 307}}]})
    response = w.get("/a%20b?c=d", host="shop.example:8080")
    assert response.status == 307
    assert response.get("Location") == "https://shop.example/a%20b?c=d"


@pytest.mark.parametrize("rewrite, sent, received", [
    ({"prefix": {"from": "/old", "to": "/new"}}, "/old/a?b=c", "/new/a?b=c"),
    ({"prefix": {"from": "/old", "to": "/new"}}, "/older/a", "/older/a"),
    ({"prefix": {"from": "/old", "to": "/new"}}, "/old", "/new"),
    ({"path": "/fixed"}, "/old/a?b=c", "/fixed?b=c"),
])
def test_rewrite(weir, backend, rewrite, sent, received):
    b = backend()
    w = weir(proxy_to(b, route={"rewrite": rewrite}))
    assert json.loads(w.get(sent).body)["start"] == f"GET {received} HTTP/1.1"


def test_routes_of_one_listener(weir, backend):
    """A route that names a listener is for that one only."""
    b = backend()
    config = merge(proxy_to(b), {"listeners": {"other": {"address": None}}})
    config["routes"][0]["listeners"] = ["web"]
    w = weir(config)
    assert w.get("/").status == 200
    assert wire.get(w.listener("other"), "/").status == 404


def test_unix_listener_and_endpoint(weir, backend, tmp_path):
    """Listeners and endpoints may be Unix sockets."""
    b = backend()
    front = str(tmp_path / "front.sock")
    inner = weir(merge(proxy_to(b), {"listeners": {"local": {"address": f"unix:{front}"}}}))
    outer = weir(proxy_to(f"unix:{front}"))
    wire.eventually(lambda: __import__("os").path.exists(front), "the socket exists")
    assert wire.get(inner.listener("local"), "/x").status == 200
    assert json.loads(outer.get("/y").body)["start"] == "GET /y HTTP/1.1"


def test_ipv6(weir, backend):
    b = backend(host="::1")
    from ports import free_port
    w = weir(proxy_to(b, listener={"address": f"[::1]:{free_port()}"}))
    seen = wire.Fields(map(tuple, json.loads(w.get("/").body)["fields"]))
    assert seen.get("X-Forwarded-For") == "::1"


def test_every_address_of_the_machine(weir, backend):
    """":PORT" is IPv4 and IPv6."""
    from ports import free_port
    port = free_port()
    w = weir(proxy_to(backend(), listener={"address": f":{port}"}))
    for host in ("127.0.0.1", "::1"):
        assert wire.get((host, port), "/").status == 200
    seen = wire.Fields(map(tuple, json.loads(wire.get(("127.0.0.1", port), "/").body)["fields"]))
    assert seen.get("X-Forwarded-For") == "127.0.0.1", "not an IPv4-mapped address"


def guarded(tmp_path, b, **listener):
    """A folder behind a route for everything, a part of it behind a refusal, and the same paths to a backend."""
    (tmp_path / "@admin").mkdir()
    (tmp_path / "@admin" / "s.txt").write_text("secret")
    (tmp_path / "open.txt").write_text("open")
    return {
        "listeners": {"web": {"address": None, **listener}},
        "routes": [
            {"name": "no", "match": {"path": "/@admin/*"}, "respond": {"status": 403}},
            {"name": "files", "match": {"host": "files.example", "path": "/*"}, "service": "folder"},
            {"name": "all", "match": {"path": "/*"}, "service": "origin", "rewrite": {
                "prefix": {"from": "/@old", "to": "/new"}}},
        ],
        "services": {"folder": {"files": str(tmp_path)}, "origin": {"endpoints": [b.endpoint]}},
    }


@pytest.mark.parametrize("target, status", [
    ("/@admin/s.txt", 403), ("/%40admin/s.txt", 403), ("/%40%61dmin/s.txt", 403), ("/x/../%40admin/s.txt", 403),
    ("/./@admin/./s.txt", 403), ("/x/%2e%2e/@admin/s.txt", 400), ("//@admin/s.txt", 400),
    ("/@admin%2Fs.txt", 400), ("/@admin%5cs.txt", 400), ("/@admin/%73.txt", 403), ("/../@admin/s.txt", 400),
    ("/@admin/../open.txt", 200), ("/%6Fpen.txt", 200), ("/x//y", 200), ("/x%2Fy", 200), ("/a;b/..;/c", 400),
])
@pytest.mark.parametrize("host", ["a.example", "files.example"])
def test_every_spelling_meets_its_route(weir, backend, tmp_path, host, target, status):
    config = guarded(tmp_path, backend())
    # The refusal holds for both hosts: the most specific host comes first.
    config["routes"][0]["match"]["host"] = ["files.example", "*"]
    w = weir(config)
    answer = w.get(target, host=host)
    if host == "files.example" and target in ("/x//y", "/x%2Fy"):
        assert answer.status == 404, "no file has such a name"
    else:
        assert answer.status == status
    assert b"secret" not in answer.body
    if status == 400:
        assert_made_by_weir(answer, "request-malformed")


def test_what_an_endpoint_gets(weir, backend, tmp_path):
    """The path itself: dots resolved, unreserved characters decoded, everything else as it came."""
    w = weir(guarded(tmp_path, backend()))
    for sent, received in [
        ("/a/./b/../c?x=/../%7e", "/a/c?x=/../%7e"), ("/%7Ea%2b+%c3%a9", "/~a%2B+%C3%A9"), ("/a%2Fb//c", "/a%2Fb//c"),
        ("/a/..", "/"), ("/%40old/x%20y", "/new/x%20y"), ("/q/../@old", "/new"),
    ]:
        assert json.loads(w.get(sent).body)["start"] == f"GET {received} HTTP/1.1", sent


def test_ambiguous_paths_are_refused_when_asked_for(weir, backend, tmp_path):
    w = weir(guarded(tmp_path, backend(), paths="refuse"))
    for target in ["/a/../b", "/a/.", "//a", "/a//", "/a%2fb", "/a%5Cb"]:
        answer = w.get(target)
        assert answer.status == 400, target
        assert_made_by_weir(answer, "request-malformed")
    assert w.get("/a%7e/b/").status == 200


def test_expressions_see_letters(weir, backend):
    w = site(weir, backend, [to("cafe", path="~^/[cé]afé$"), to("all", path="/*")], ["cafe", "all"])
    assert w.get("/caf%C3%A9").body == b"cafe"
    assert w.get("/%c3%a9af%c3%a9").body == b"cafe"
    assert w.get("/caf%E9").body == b"all"


def test_prefixes_before_expressions(weir, backend):
    w = site(weir, backend, [
        to("php", path=r"~\.php$"), to("static", path="/static/*", before="expressions"),
        to("late", path="/late/*"), to("all", path="/*"),
    ], ["php", "static", "late", "all"])
    for path, expected in [("/static/x.php", "static"), ("/late/x.php", "php"), ("/late/x", "late"), ("/x", "all")]:
        assert w.get(path).body.decode() == expected, path


def redirecting(weir, to, **top):
    return weir({"listeners": {"web": {"address": None}}, "services": {}, **top, "routes": [
        {"name": "all", "match": {"path": "/*"}, "redirect": {"to": to},
         "headers": {"response": {"set": {"X-Origin": "{request.scheme} {request.authority} {request.port}"}}}}]})


@pytest.mark.parametrize("target", [
    "//evil.example", "//evil.example/..%2f", "///evil.example", "/.//evil.example", "/x/..//evil.example/",
    "/%2Fevil.example", "/%5Cevil.example", "//evil.example?x=//y",
])
def test_a_redirect_stays_on_its_host(weir, target):
    from urllib.parse import urljoin, urlsplit
    answer = redirecting(weir, "{request.path}/").get(target, host="a.example")
    if answer.status == 400:
        return  # a path that is refused redirects nowhere
    assert answer.status == 308
    assert urlsplit(urljoin("http://a.example/", answer.get("Location"))).netloc == "a.example"


def test_check_says_where_a_client_could_turn_a_redirect(weir):
    for text in ["{query.next}", "https://www.example.com{path.rest}", "https://{request.header.x-host}/"]:
        w = weir({"listeners": {"web": {"address": None}}, "services": {}, "routes": [
            {"name": "r", "match": {"path": "/{rest*}"}, "redirect": {"to": text}}]}, start=False)
        import subprocess
        from harness import BINARY
        result = subprocess.run([BINARY, "check", "-c", w.config_path], capture_output=True, text=True)
        assert result.returncode == 1
        assert "a client could turn this URL to another host" in result.stdout + result.stderr


def test_scheme_host_and_port(weir):
    """What the connection and the head say, or what a trusted proxy tells, in X-Forwarded-* or Forwarded."""
    w = redirecting(weir, "{request.scheme}://{request.authority}{request.uri}")
    own = w.get("/x", [("X-Forwarded-Proto", "https"), ("Forwarded", "for=192.0.2.1;proto=https;host=evil")],
                host="a.example:8080")
    assert own.get("Location") == "http://a.example:8080/x"
    assert own.get("X-Origin") == "http a.example:8080 8080"
    assert w.get("/x", host="a.example").get("X-Origin") == "http a.example 80"
    w = redirecting(weir, "{request.scheme}://{request.authority}{request.uri}",
                    **{"client-address": {"trusted": ["127.0.0.0/8"]}})
    for fields, origin in [
        ([("Forwarded", "for=192.0.2.1;proto=https;host=shop.example")], "https shop.example 443"),
        ([("Forwarded", "for=6.6.6.6;proto=http;host=evil, for=192.0.2.1;proto=https;host=\"shop.example:8443\"")],
         "https shop.example:8443 8443"),
        ([("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "shop.example")],
         "https shop.example 443"),
        ([("X-Forwarded-Proto", "https"), ("X-Forwarded-Port", "8443")], "https a.example 8443"),
        ([("X-Forwarded-Host", "a b")], "http a.example 80"),
    ]:
        answer = w.get("/x", fields, host="a.example")
        assert answer.get("X-Origin") == origin, fields
        scheme, authority, _ = origin.split()
        assert answer.get("Location") == f"{scheme}://{authority}/x"


def test_what_is_told_on_does_not_contradict(weir, backend):
    b = backend()
    w = weir(proxy_to(b, forwarded={"forwarded": True}, **{"client-address": {"trusted": ["127.0.0.0/8"]}}))

    def seen(*fields):
        return wire.Fields(map(tuple, json.loads(w.get("/", fields, host="in.example").body)["fields"]))

    told = seen(("Forwarded", "for=192.0.2.1;proto=https;host=shop.example"))
    assert told.get("X-Forwarded-For") == "192.0.2.1, 127.0.0.1"
    assert told.get("X-Forwarded-Proto") == "https"
    assert told.get("X-Forwarded-Host") == "shop.example"
    assert told.get("Forwarded").startswith("for=192.0.2.1;proto=https;host=shop.example, for=127.0.0.1;proto=http")
    told = seen(("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "shop.example"))
    assert told.get("X-Forwarded-For") == "192.0.2.1, 127.0.0.1"
    assert told.get("X-Forwarded-Proto") == "https"
    assert told.get("Forwarded").startswith("for=192.0.2.1;proto=https;host=\"shop.example\", for=127.0.0.1;proto=http")


def test_values_in_texts(weir, backend):
    """Parameters are decoded, fields of several lines joined; in a target data is no structure."""
    b = backend()
    w = weir(proxy_to(b, route={
        "rewrite": {"path": "/get/{query.file}{?query}"},
        "headers": {"request": {"set": {"X-A": "{query.file}|{request.header.x-b}|{query}"}}}}))
    answer = json.loads(w.get("/?file=a%2F%3Fb+c", [("X-B", "1"), ("X-B", "2")]).body)
    assert answer["start"] == "GET /get/a%2F%3Fb%20c?file=a%2F%3Fb+c HTTP/1.1"
    assert wire.Fields(map(tuple, answer["fields"])).get("X-A") == "a/?b c|1, 2|file=a%2F%3Fb+c"
    # A value with a line break stands for nothing.
    answer = json.loads(w.get("/?file=a%0d%0aX-Evil:%201").body)
    assert answer["start"].startswith("GET /get/?file=")
    fields = wire.Fields(map(tuple, answer["fields"]))
    assert fields.get("X-A").startswith("|") and "X-Evil" not in fields


@pytest.mark.parametrize("rewrite, sent, received", [
    ({"pattern": "^/user/([0-9]+)", "with": "/u/{match.1}"}, "/user/7/posts?x=1", "/u/7/posts?x=1"),
    ({"pattern": "^/user/([0-9]+)", "with": "/u/{match.1}"}, "/users/7", "/users/7"),
    ({"pattern": "^/é/(?<rest>.*)$", "with": "/e/{match.rest}?from={request.host}"}, "/%C3%A9/a%20b%40?x", "/e/a%20b%40?from=a.example"),
    ({"pattern": "^/old", "with": ""}, "/old/x", "/x"),
    ({"pattern": "^/old/x", "with": ""}, "/old/x", "/"),
    ({"pattern": r"\.php$", "with": " é"}, "/a.php", "/a%20%C3%A9"),
    ({"path": "/a b/é"}, "/x", "/a%20b/%C3%A9"),
    ({"prefix": {"from": "/é", "to": "/ü x"}}, "/%c3%a9/y", "/%C3%BC%20x/y"),
])
def test_rewrite_by_expression_and_escapes(weir, backend, rewrite, sent, received):
    w = weir(proxy_to(backend(), route={"rewrite": rewrite}))
    assert json.loads(w.get(sent).body)["start"] == f"GET {received} HTTP/1.1"


def test_parts_of_fields_are_replaced(weir, backend):
    """WebDAV's Destination names the scheme the client used; a Location the endpoint's own."""
    b = backend()
    w = weir(proxy_to(b, route={"headers": {"request": {
        "replace": {"Destination": {"pattern": "^https:", "with": "http:"},
                    "X-Path": {"pattern": "/([a-z]+)/([0-9]+)", "with": "/{match.2}/{match.1}@{request.host}"}},
        "add": {"X-Last": "1"}}}}))
    seen = wire.Fields(map(tuple, json.loads(w.get("/", [
        ("Destination", "https://h.example/a"), ("X-Path", "x/ab/12/ab/13"), ("X-Other", "https:"),
        ("x-path", "no"), ("X-Path", "/c/1")]).body)["fields"]))
    assert seen.all("Destination") == ["http://h.example/a"]
    assert seen.all("X-Path") == ["x/12/ab@a.example/ab/13", "no", "/1/c@a.example"]
    assert seen.get("X-Other") == "https:" and seen.get("X-Last") == "1"

    origin = backend(serve(lambda request: answer(b"x", fields=[("Location", "http://inner:8080/x")])))
    w = weir(proxy_to(origin, route={"headers": {"response": {"replace": {
        "Location": {"pattern": "^http://inner:8080", "with": "https://{request.host}"}}}}}))
    assert w.get("/").get("Location") == "https://a.example/x"


def test_an_expression_at_its_limits_guesses_nothing(weir, backend):
    b = backend()
    slow = "(?:a+)+$"
    w = weir(proxy_to(b, route={"headers": {"request": {"replace": {"X-A": {"pattern": slow, "with": ""}}}}}))
    seen = wire.Fields(map(tuple, json.loads(w.get("/", [("X-A", "a" * 5000 + "!")]).body)["fields"]))
    assert "X-A" not in seen
    w = weir(proxy_to(b, route={"rewrite": {"pattern": slow, "with": "/"}}))
    assert_made_by_weir(w.get("/" + "a" * 5000 + "!"), "internal-limit")


@pytest.mark.parametrize("rewrite, path, target", [
    ({"pattern": "-v[0-9]+", "with": ""}, "/public/.-v1./admin/x", "/public/.-v1./admin/x"),
    ({"pattern": "^/api", "with": ""}, "/api/*", "/api../secret"),
    ({"path": "/files/{query.f}"}, "/files", "/files?f=../../admin"),
])
def test_a_rewrite_makes_no_dot_segments(weir, backend, rewrite, path, target):
    """Parts that are none become one when they are put together; the endpoint would resolve it."""
    b = backend()
    match = {"path": "~^/api"} if path == "/api/*" else {"path": "/*"}
    w = weir(proxy_to(b, route={"match": match, "rewrite": rewrite}))
    answer = w.get(target)
    assert answer.status == 400, answer
    assert_made_by_weir(answer, "request-malformed")
    assert not b.requests


def test_conditions_on_routes(weir, backend):
    """`when`: besides the other conditions, by the head, the client and what trusted proxies say of it."""
    w = site(weir, backend, [
        to("office", path="/*", when='client.ip in ["203.0.113.0/24"] && listener == "web"'),
        to("blue", path="/*", when='lower(request.header["x-tenant"]) == "blue" && request.method in ["GET", "HEAD"]'),
        to("admin", when='request.path startsWith "/admin/" || request.host matches "^admin[.]"'),
        to("beta", path="/*", when='(request.cookie["group"] ?? request.query["group"]) == "a b"'),
        to("late", path="/*", when='request.scheme == "https" && has(request.header["x-late"])'),
        to("now", path="/now", when='time.iso > "2026-01-01" && request.id matches "^[0-9a-f]{32}$"'),
        to("rest", path="/*"),
    ], ["office", "blue", "admin", "beta", "late", "now", "rest"])
    w.reload({**w.config, "client-address": {"trusted": ["127.0.0.1"]}})
    for target, fields, expected in [
        ("/", [], "rest"),
        ("/", [("X-Forwarded-For", "203.0.113.9")], "office"),
        ("/", [("X-Forwarded-For", "203.0.113.9, 198.51.100.1")], "rest"),
        ("/", [("X-Tenant", "Blue")], "blue"),
        ("/", [("X-Tenant", "blue"), ("x-tenant", "red")], "rest"),
        ("/admin/x", [], "admin"), ("/%61dmin/x", [], "admin"), ("/x/../admin/y", [], "admin"), ("/adminx", [], "rest"),
        ("/", [("Cookie", "x=1; group=a b")], "beta"), ("/?group=a+b", [], "beta"), ("/?group=a%20c", [], "rest"),
        ("/?group=a+b", [("Cookie", "group=c")], "rest"),
        ("/", [("X-Late", "1"), ("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https")], "late"),
        ("/", [("X-Late", "1")], "rest"), ("/now", [], "now"),
    ]:
        assert w.get(target, fields).body.decode() == expected, (target, fields)
    assert w.get("/", host="ADMIN.example").body == b"admin"
    assert w.get("/", [("X-Tenant", "blue")], method="POST").body == b"rest"
    # Read as one slash it is another route.
    assert_made_by_weir(w.get("//admin/x"), "request-malformed")
    w.reload({**w.config, "client-address": {"trusted": []}})
    assert w.get("/", [("X-Forwarded-For", "203.0.113.9")]).body == b"rest", "nobody's word counts"


def test_a_condition_at_its_limits_guesses_nothing(weir, backend):
    w = site(weir, backend, [
        to("slow", when='request.header["x-a"] matches "^(?:a+)+$"'), to("rest", path="/*"),
    ], ["slow", "rest"])
    assert w.get("/", [("X-A", "aaa")]).body == b"slow"
    assert w.get("/", [("X-A", "b")]).body == b"rest"
    assert_made_by_weir(w.get("/", [("X-A", "a" * 5000 + "!")]), "internal-limit")


def test_methods_behind_a_condition(weir, backend):
    w = site(weir, backend, [
        {**to("put", method=["PUT"], when='has(request.header["x-key"])')},
    ], ["put"])
    assert_made_by_weir(w.get("/"), "route-not-found")
    refused = w.get("/", [("X-Key", "1")])
    assert_made_by_weir(refused, "method-not-allowed")
    assert refused.get("Allow") == "PUT"
