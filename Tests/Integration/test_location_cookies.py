"""What endpoints say about where they are, turned back to what clients see: `location` and `cookies`."""

import json
import shutil
import subprocess

import pytest

import certs
import h2wire
from backends import Backend, answer, closed_port, fixed, serve
from harness import assert_made_by_weir, proxy_to
from wire import head_bytes

pytestmark = [pytest.mark.bytes]


@pytest.fixture
def weir(reused_weir):
    return reused_weir

REWRITES = {"location": "rewrite"}
STRIPS = {"match": {"path": "/shop/*"}, "rewrite": {"prefix": {"from": "/shop", "to": "/"}}}


def saying(*fields, status="302 Found", body=b""):
    """A script that answers with these fields; "{self}" in a value is the endpoint's own address."""

    def script(c):
        own = c.backend.endpoint
        c.backend.script = serve(lambda request: answer(
            body, status, [(name, value.replace("{self}", own)) for name, value in fields]))
        c.backend.script(c)

    return script


class H2Origin(Backend):
    """An HTTP/2 origin that answers every request with these fields."""

    def __init__(self, status="302", fields=()):
        self.status, self.fields = status, fields
        super().__init__(self.serve)

    def serve(self, c):
        session, served = h2wire.Session(c.sock, server=True), set()
        while session.step(600):
            for number, state in list(session.streams.items()):
                if number % 2 and state.over and state.head is not None and number not in served:
                    served.add(number)
                    session.say(h2wire.headers(number, [
                        (":status", self.status), *((n.lower(), v.replace("{self}", self.endpoint))
                                                    for n, v in self.fields)]))


@pytest.mark.parametrize("said, seen", [
    ("http://{self}/x?q=http://{self}/#f", "http://shop.example:81/x?q=http://{self}/#f"),
    ("http://shop.example:81/x", "http://shop.example:81/x"),
    ("//{self}/x", "//shop.example:81/x"),
    ("https://shop.example:81/x", "https://shop.example:81/x"),
    ("https://login.example/x", "https://login.example/x"),
    ("http://user@{self}/x", "http://user@{self}/x"),
    ("/x", "/x"), ("x", "x"), ("", ""),
])
@pytest.mark.parametrize("field", ["Location", "content-location", "Refresh"])
def test_addresses_of_endpoints(weir, backend, field, said, seen):
    prefix = "3; url=" if field == "Refresh" and said else ""
    b = backend(saying((field, prefix + said)))
    response = weir(proxy_to(b, route=REWRITES)).get("/", host="shop.example:81")
    assert response.status == 302
    assert response.fields.all(field) == [prefix + seen.replace("{self}", b.endpoint)]


def test_nothing_is_turned_back_unasked(weir, backend):
    b = backend(saying(("Location", "http://{self}/x"), ("Set-Cookie", "a=b; Path=/")))
    response = weir(proxy_to(b, route=STRIPS)).get("/shop/")
    assert response.get("Location") == f"http://{b.endpoint}/x"
    assert response.get("Set-Cookie") == "a=b; Path=/"


@pytest.mark.parametrize("said, seen", [
    ("/login?next=/x", "/shop/login?next=/x"), ("http://{self}", "http://a.example/shop/"),
    ("next", "/shop/a/next"), ("../x/../y", "/shop/y"), ("?page=2", "?page=2"), ("//evil.example/x", "//evil.example/x"),
    ("/%2e%2e/x", "/%2e%2e/x"), ("http://{self}/%2e%2e/x", "http://{self}/%2e%2e/x"),
    ("https://{self}/login", "https://{self}/login"), ("http://{self}//x", "http://a.example/shop//x"),
])
def test_paths_get_back_what_the_rewrite_took_off(weir, backend, said, seen):
    b = backend(saying(("Location", said)))
    response = weir(proxy_to(b, route={**STRIPS, **REWRITES})).get("/shop/a/b")
    assert b.requests[0].target == "/a/b"
    assert response.fields.all("Location") == [seen.replace("{self}", b.endpoint)]


@pytest.mark.parametrize("said, seen", [
    ("0; /x", "0; /shop/x"), ("0 url=/x", "0 url=/shop/x"), ("0,URL='/x'", "0,URL='/shop/x'"),
])
def test_refresh_as_browsers_read_it(weir, backend, said, seen):
    b = backend(saying(("Refresh", said), status="200 OK"))
    assert weir(proxy_to(b, route={**STRIPS, **REWRITES})).get("/shop/").fields.all("Refresh") == [seen]


def test_the_host_that_a_rule_sent(weir, backend):
    b = backend(saying(("Location", "http://app.internal/x")))
    w = weir(proxy_to(b, route={**REWRITES, "headers": {"request": {"set": {"Host": "app.internal"}}}}))
    response = w.get("/", host="shop.example")
    assert b.requests[0].get("Host") == "app.internal"
    assert response.get("Location") == "http://shop.example/x"


def test_scheme_and_authority_of_trusted_proxies(weir, backend):
    b = backend(saying(("Location", "http://{self}/x")))
    config = proxy_to(b, route=REWRITES)
    claims = [("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "www.example")]
    assert weir(config).get("/", claims).get("Location") == "http://a.example/x", "nobody trusts this client"
    trusting = weir({**config, "client-address": {"trusted": ["127.0.0.1"]}})
    assert trusting.get("/", claims).get("Location") == "https://www.example/x"


def test_rules_of_the_route_run_last(weir, backend):
    b = backend(saying(("Location", "http://{self}/x"), ("Set-Cookie", "a=b")))
    w = weir(proxy_to(b, route={**REWRITES, "cookies": {"secure": "on"}, "headers": {"response": {
        "replace": {"Location": {"pattern": "^http://a\\.example", "with": "https://b.example"},
                    "Set-Cookie": {"pattern": "; Secure$", "with": "; Secure; Partitioned"}}}}}))
    response = w.get("/")
    assert response.get("Location") == "https://b.example/x"
    assert response.get("Set-Cookie") == "a=b; Secure; Partitioned"


def test_answers_of_weir_are_the_clients_view_already(weir, tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "index.html").write_text("x")
    nobody = closed_port()
    w = weir({
        "routes-defaults": {"location": "rewrite", "cookies": {"path": {"from": "/", "to": "/x"}}},
        "listeners": {"web": {"address": None}},
        "routes": [
            {"name": "files", "match": {"path": "/site/*"}, "service": "files",
             "rewrite": {"prefix": {"from": "/site"}}},
            {"name": "away", "match": {"path": "/away"}, "redirect": {"to": f"http://{nobody}/"}},
            {"name": "down", "match": {"path": "/down/*"}, "service": "down",
             "rewrite": {"prefix": {"from": "/down"}},
             "headers": {"response": {"set": {"Location": "/y", "Set-Cookie": "a=b; Path=/"}}}},
        ],
        "services": {"files": {"files": str(tmp_path)}, "down": {"endpoints": [nobody]}},
    })
    assert w.get("/site/folder").get("Location") == "/site/folder/"
    assert w.get("/away").get("Location") == f"http://{nobody}/"
    response = w.get("/down/")
    assert_made_by_weir(response, "connect-refused")
    assert (response.get("Location"), response.get("Set-Cookie")) == ("/y", "a=b; Path=/")


def test_where_files_have_none_the_endpoint_is_turned_back(weir, backend, tmp_path):
    b = backend(saying(("Location", "http://{self}/login")))
    w = weir({
        "listeners": {"web": {"address": None}},
        "routes": [{"name": "site", "service": "files", "location": "rewrite", "match": {"path": "/site/*"},
                    "rewrite": {"prefix": {"from": "/site"}}}],
        "services": {"files": {"files": {"root": str(tmp_path), "try": ["{path}", {"service": "app"}]}},
                     "app": {"endpoints": [b.endpoint]}},
    })
    assert w.get("/site/x").get("Location") == "http://a.example/site/login"


COOKIES = [
    ("Set-Cookie", "sid=\"a;b\"; Path=/; HttpOnly"), ("Set-Cookie", "cart=1=2; path=/cart; Domain=.app.internal"),
    ("Set-Cookie", "__Host-x=1; Path=/; Secure"), ("Set-Cookie", "u=1; Priority=High; SameSite=None; Secure"),
]
RULES = {"path": "rewrite", "domain": {"from": "app.internal", "to": "example.com"}, "secure": "off",
         "same-site": "lax", "http-only": "on"}
CHANGED = [
    "sid=\"a;b\"; Path=/shop; HttpOnly; SameSite=Lax",
    "cart=1=2; path=/shop/cart; Domain=example.com; HttpOnly; SameSite=Lax",
    "__Host-x=1; Path=/; Secure; HttpOnly; SameSite=Lax",
    "u=1; Priority=High; SameSite=Lax; HttpOnly",
]


def test_cookies_line_by_line(weir, backend):
    b = backend(saying(*COOKIES[:2], ("X-Between", "1"), *COOKIES[2:], status="200 OK", body=b"page"))
    response = weir(proxy_to(b, route={**STRIPS, "cookies": RULES})).get("/shop/")
    assert (response.status, response.body) == (200, b"page")
    assert response.fields.all("Set-Cookie") == CHANGED


@pytest.mark.parametrize("upstream", ["http1", "h2"])
@pytest.mark.parametrize("client", ["http1", "h2"])
def test_every_pairing_of_versions(weir, backend, client, upstream):
    fields = [("Location", "http://{self}/login"), *COOKIES]
    route = {**STRIPS, **REWRITES, "cookies": RULES}
    if upstream == "h2":
        with H2Origin(fields=fields) as origin:
            check_pairing(weir(proxy_to(origin, route=route, service={"protocol": "h2"})), client)
    else:
        check_pairing(weir(proxy_to(backend(saying(*fields)), route=route)), client)


def check_pairing(w, client):
    if client == "http1":
        response = w.get("/shop/x", host="shop.example")
        seen = response.fields.all
    else:
        with h2wire.connect(w.listener()) as session:
            state = session.fetch("/shop/x", authority="shop.example")
            assert not session.violations
            head = list(state.head)

        def seen(name):
            return [value for key, value in head if key == name.lower()]

    assert seen("Location") == ["http://shop.example/shop/login"]
    assert seen("Set-Cookie") == CHANGED


def test_cookies_for_other_sites_are_secure(weir, backend):
    b = backend(saying(("Set-Cookie", "a=1"), ("Set-Cookie", "b=1; Secure; SameSite=Lax")))
    response = weir(proxy_to(b, route={"cookies": {"same-site": "none"}})).get("/")
    assert response.fields.all("Set-Cookie") == ["a=1; Secure; SameSite=None", "b=1; Secure; SameSite=None"]


def test_upgrades_have_their_cookies_changed(weir, backend):
    def script(c):
        c.request()
        c.send(head_bytes("HTTP/1.1 101 Switching Protocols", [
            ("Upgrade", "echo"), ("Connection", "upgrade"), ("Set-Cookie", "a=b; Path=/")], host=None))
        c.wait_end()

    w = weir(proxy_to(backend(script), route={**STRIPS, "upgrades": ["echo"], "cookies": {"path": "rewrite"}}))
    stream = w.connect()
    stream.send(head_bytes("GET /shop/ HTTP/1.1", [("Upgrade", "echo"), ("Connection", "upgrade")]))
    head = stream.head()
    assert (head.status, head.get("Set-Cookie")) == (101, "a=b; Path=/shop")


class App(Backend):
    """An application below / that knows its own address only: a login sets a cookie and leads on."""

    def __init__(self):
        super().__init__(serve(self.reply))

    def reply(self, request):
        own = f"http://{request.get('Host')}"
        if request.target == "/login":
            return answer(b"", "302 Found", [("Location", f"{own}/home"), ("Set-Cookie", "sid=1; Path=/; HttpOnly"),
                                             ("Set-Cookie", "lang=en; Path=/home; Domain=app.internal")])
        if request.target == "/home" and "sid=1" in request.get("Cookie", ""):
            return answer(json.dumps(sorted(request.get("Cookie").split("; "))).encode())
        return answer(b"", "302 Found", [("Location", "/login")])


@pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")
def test_curl_follows_and_keeps_cookies(weir, tmp_path):
    """The client's view: a browser's jar and its redirects, through TLS and a prefix."""
    ca = certs.CA(tmp_path)
    with App() as app:
        w = weir(proxy_to(app, listener={"tls": {"certificates": [ca.issue("shop.example").pair]}}, route={
            **STRIPS, **REWRITES, "cookies": {"path": "rewrite", "domain": "remove", "secure": "on"},
            "headers": {"request": {"set": {"Host": "app.internal"}}}}))
        jar = tmp_path / "jar"
        done = subprocess.run(
            ["curl", "-sS", "-L", "--max-redirs", "5", "--cacert", ca.path, "-c", jar, "-b", jar,
             "--connect-to", f"shop.example:443:127.0.0.1:{w.listener()[1]}", "-w", "\n%{url_effective}",
             "https://shop.example/shop/home"], capture_output=True, timeout=60, text=True)
    assert done.returncode == 0, done.stderr
    body, _, url = done.stdout.rpartition("\n")
    assert (json.loads(body), url) == (["lang=en", "sid=1"], "https://shop.example/shop/home")
    cookies = {line.split("\t")[5]: line.split("\t") for line in jar.read_text().splitlines() if line.count("\t") == 6}
    assert {name: (c[0].removeprefix("#HttpOnly_"), c[2], c[3]) for name, c in cookies.items()} == {
        "sid": ("shop.example", "/shop", "TRUE"), "lang": ("shop.example", "/shop/home", "TRUE")}


def test_explain_says_so(weir, backend):
    w = weir(proxy_to(backend(fixed(answer(b"x"))), route={**STRIPS, **REWRITES, "cookies": {"secure": "on"}}))
    told = json.loads(w.ask_admin("/api/v1/explain?method=GET&url=/shop/").body)["listeners"][0]["route"]
    settings = {setting["name"]: setting["value"] for setting in told["settings"]}
    assert (settings["location"], settings["cookies"]) == ("rewrite", "secure=on")
