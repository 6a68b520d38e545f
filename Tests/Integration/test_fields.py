"""Header fields on their way through: rules, forwarding fields, hop-by-hop fields, Host."""

import json

import pytest

import h2wire
import wire
import wswire
from backends import answer, closed_port, fixed, serve
from harness import proxy_to
from wire import head_bytes

pytestmark = [pytest.mark.bytes]


@pytest.fixture
def weir(reused_weir):
    return reused_weir


def received(response) -> wire.Fields:
    """What the mirroring backend got."""
    assert response.status == 200, response
    return wire.Fields(map(tuple, json.loads(response.body)["fields"]))


def test_header_rules(weir, backend):
    w = weir(proxy_to(backend(), route={"headers": {
        "request": {"set": {"X-Tenant": "blue"}, "add": {"X-Trail": "weir"}, "remove": ["X-Debug"]},
        "response": {"set": {"X-Frame-Options": "DENY"}, "remove": ["Content-Type"]},
    }}))
    response = w.get("/", [("X-Tenant", "red"), ("X-Tenant", "green"), ("X-Debug", "1"), ("X-Trail", "client")])
    seen = received(response)
    assert seen.all("X-Tenant") == ["blue"]
    assert seen.all("X-Trail") == ["client", "weir"]
    assert "X-Debug" not in seen
    assert response.fields.all("X-Frame-Options") == ["DENY"]
    assert "Content-Type" not in response


def test_forwarding_fields(weir, backend):
    w = weir(proxy_to(backend(), forwarded={"x-forwarded": True, "forwarded": True, "via": True}))
    response = w.get("/", host="shop.example:8080")
    seen = received(response)
    assert seen.get("X-Forwarded-For") == "127.0.0.1"
    assert seen.get("X-Forwarded-Proto") == "http"
    assert seen.get("X-Forwarded-Host") == "shop.example:8080"
    assert "for=127.0.0.1" in seen.get("Forwarded") and "proto=http" in seen.get("Forwarded")
    assert 'host="shop.example:8080"' in seen.get("Forwarded")
    assert seen.get("Via").startswith("1.1 ")
    assert seen.get("Host") == "shop.example:8080", "Host passes as the client sent it"


@pytest.mark.parametrize("trusted", [[], ["10.0.0.0/8"]], ids=["nobody-trusted", "others-trusted"])
def test_untrusted_clients_cannot_forge_their_address(weir, backend, trusted):
    """What a client claims about itself is replaced, unless it comes from a trusted address."""
    w = weir(proxy_to(backend(), **{"client-address": {"trusted": trusted}}))
    seen = received(w.get("/", [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "https"),
                                ("X-Forwarded-Host", "evil.example"), ("Forwarded", "for=203.0.113.9")]))
    assert seen.all("X-Forwarded-For") == ["127.0.0.1"]
    assert seen.all("X-Forwarded-Proto") == ["http"]
    assert seen.all("X-Forwarded-Host") == ["a.example"]
    assert "203.0.113.9" not in (seen.get("Forwarded") or "")
    assert w.wait_records(1)[0]["client"] == "127.0.0.1"


@pytest.mark.parametrize("claimed, client", [
    ("203.0.113.9", "203.0.113.9"),
    ("198.51.100.1, 203.0.113.9", "203.0.113.9"),
    ("198.51.100.1, 203.0.113.9, 10.1.2.3", "203.0.113.9"),
    ("not an address, 10.1.2.3", "10.1.2.3"),
    ("2001:db8::5", "2001:db8::5"),
])
def test_client_address_right_to_left_through_trusted(weir, backend, claimed, client):
    w = weir(proxy_to(backend(), **{"client-address": {"trusted": ["127.0.0.0/8", "10.0.0.0/8"]}}))
    seen = received(w.get("/", [("X-Forwarded-For", claimed)]))
    assert seen.get("X-Forwarded-For").split(", ")[-1] == "127.0.0.1", "the peer is appended"
    assert w.wait_records(1)[0]["client"] == client


HOP_BY_HOP = [("Keep-Alive", "timeout=5"), ("Proxy-Connection", "keep-alive"), ("Upgrade", "h2c"),
              ("X-Private", "1"), ("X-Also", "2")]


def test_hop_by_hop_fields_of_requests(weir, backend):
    """Connection and every field it names stay on this hop (RFC 9110 §7.6.1)."""
    w = weir(proxy_to(backend()))
    seen = received(w.get("/", [("Connection", "keep-alive, X-Private"), ("connection", "x-also"),
                                ("X-End", "to-end")] + [f for f in HOP_BY_HOP if f[0] != "Upgrade"]))
    assert not {n.lower() for n, _ in seen} & {n.lower() for n, _ in HOP_BY_HOP}
    assert seen.get("X-End") == "to-end"
    assert "x-private" not in (seen.get("Connection") or "").lower()


def test_hop_by_hop_fields_of_responses(weir, backend):
    data = answer(b"ok", fields=[("Connection", "X-Private, x-also"), ("X-End", "to-end"), *HOP_BY_HOP])
    w = weir(proxy_to(backend(fixed(data))))
    response = w.get("/")
    assert not {n.lower() for n, _ in response.fields} & {n.lower() for n, _ in HOP_BY_HOP}
    assert response.get("X-End") == "to-end"
    assert "x-private" not in (response.get("Connection") or "").lower()


def test_field_order_case_and_repetition_are_kept(weir, backend):
    sent = [("X-One", "1"), ("x-TWO", "a"), ("X-Two", "b"), ("Accept", "a/b"), ("Cookie", "a=1"), ("X-Empty", "")]
    w = weir(proxy_to(backend()))
    seen = received(w.get("/", sent))
    assert [f for f in seen if f in sent] == sent


def test_set_cookie_lines_stay_apart(weir, backend):
    w = weir(proxy_to(backend(fixed(answer(fields=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])))))
    assert w.get("/").fields.all("Set-Cookie") == ["a=1", "b=2"]


def test_upgrade_and_connect_are_refused_clearly(weir, backend):
    from harness import assert_made_by_weir
    b = backend()
    w = weir(proxy_to(b, route={"other-upgrades": "refuse"}))
    response = w.get("/", [("Connection", "Upgrade"), ("Upgrade", "spdy")])
    assert response.status == 403
    assert_made_by_weir(response, "upgrade-not-allowed")
    stream = w.connect()
    stream.send(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
    response = stream.response()
    assert response.status == 501
    assert_made_by_weir(response, "connect-not-allowed")
    assert not b.requests


@pytest.mark.parametrize("protocol", ["TLS/1.2", "spdy", "h2c", "foo/1, bar"])
def test_an_upgrade_that_is_not_allowed_is_ignored(weir, backend, protocol):
    """The request is served as if it had not asked (RFC 9110 §7.8)."""
    b = backend()
    w = weir(proxy_to(b))
    response = w.get("/", [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", protocol), ("HTTP2-Settings", "AAMAAABk")])
    assert response.status == 200
    assert not {"upgrade", "http2-settings", "connection"} & {name.lower() for name, _ in b.requests[0].fields}


def test_extended_connect_for_another_protocol_is_refused(weir, backend):
    """It is nothing but the question: a 200 would be the agreement."""
    b = backend()
    w = weir(proxy_to(b, route={"upgrades": []}))
    with h2wire.connect(w.address) as s:
        s.until(lambda: s.got_settings, "settings")
        state = s.request("/", [(":protocol", "websocket")], method="CONNECT", end_stream=False)
        s.until(lambda: state.head is not None or state.over, "a response")
        assert state.status == 403 and not b.requests


@pytest.mark.parametrize("fields", ["Upgrade: websocket\r\nConnection: upgrade\r\n", "Upgrade: foo/1\r\nUpgrade: bar\r\n"])
def test_426_keeps_its_upgrade_field(weir, backend, fields):
    """RFC 9110 §15.5.22: it is what the status is about."""
    data = f"HTTP/1.1 426 Upgrade Required\r\n{fields}Content-Length: 0\r\n\r\n".encode()
    w = weir(proxy_to(backend(fixed(data))))
    wanted = [line[9:] for line in fields.split("\r\n") if line.startswith("Upgrade")]
    response = w.get("/")
    assert response.status == 426 and response.fields.all("Upgrade") == wanted
    assert response.fields.all("Connection")[0].lower() == "upgrade"
    with h2wire.connect(w.address) as s:
        state = s.fetch("/")
        assert state.status == 426 and state.get("upgrade") is None and state.get("connection") is None
        assert not s.violations


@pytest.mark.parametrize("version", ["1.2", "1.9"])
def test_minor_versions_above_1_are_1_1(weir, backend, version):
    """RFC 9110 §2.5, of clients and of endpoints."""
    b = backend(fixed(answer(b"new", version=version)))
    w = weir(proxy_to(b))
    stream = w.connect()
    for target in ("/one", "/two"):
        stream.send(b"GET %s HTTP/%s\r\nHost: a.example\r\n\r\n" % (target.encode(), version.encode()))
        response = stream.response()
        assert response.status == 200 and response.body == b"new" and response.version == "HTTP/1.1"
    assert [r.version for r in b.requests] == ["HTTP/1.1"] * 2


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE"])
def test_max_forwards(weir, backend, method):
    """RFC 9110 §7.6.2: one less with each hop, and at 0 the answer is Weir's."""
    b = backend()
    w = weir(proxy_to(b))
    for sent, seen in (("5", "4"), ("1", "0"), ("99999999999", "4294967294"), ("x", "x")):
        assert w.get("/", [("Max-Forwards", sent)], method=method).status == 200
        assert b.requests[-1].get("Max-Forwards") == seen
    count = len(b.requests)
    response = w.get("/last?x", [("Max-Forwards", "0"), ("X-Mine", "1"), ("Cookie", "a=b"), ("Authorization", "c")],
                     method=method)
    assert response.status == 200 and response.get("Server") == "weir" and len(b.requests) == count
    if method == "TRACE":
        assert response.get("Content-Type") == "message/http"
        assert response.body.startswith(b"TRACE /last?x HTTP/1.1\r\n") and b"X-Mine: 1\r\n" in response.body
        assert b"a=b" not in response.body and b"Authorization" not in response.body
    assert w.get("/", [("Max-Forwards", "0")]).status == 200
    assert b.requests[-1].get("Max-Forwards") == "0", "other methods do not count"


def test_options_of_the_server(weir, backend):
    """An absolute target without a path asks about the server (RFC 9112 §3.2.4)."""
    b = backend()
    w = weir(proxy_to(b, route={"match": {}}))
    for target, seen in (("http://a.example", "*"), ("http://a.example/", "/"), ("http://a.example?q", "/?q"), ("*", "*")):
        stream = w.connect()
        stream.send(head_bytes(f"OPTIONS {target} HTTP/1.1"))
        assert stream.response().status == 200
        assert b.requests[-1].target == seen
    stream = w.connect()
    stream.send(head_bytes("GET http://a.example HTTP/1.1"))
    assert stream.response().status == 200 and b.requests[-1].target == "/"


def test_date_is_present_once(weir, backend):
    """A recipient with a clock adds Date where it is missing (RFC 9110 §6.6.1)."""
    w = weir(proxy_to(backend(serve(lambda r: answer(
        fields=[("Date", "Sat, 21 Nov 2026 04:00:00 GMT")] if r.target == "/dated" else [])))))
    assert w.get("/dated").fields.all("Date") == ["Sat, 21 Nov 2026 04:00:00 GMT"]
    assert len(w.get("/undated").fields.all("Date")) == 1


def test_request_id_reaches_log_and_client(weir, backend):
    """The id of a response Weir made is the id of its log line."""
    from backends import closed_port
    w = weir(proxy_to(closed_port()))
    response = w.get("/")
    assert response.get("X-Request-Id") == w.wait_records(1)[0]["id"]


# Rules run last, over every field of a head, whoever wrote it.

OURS = {"X-Forwarded-For": "rule", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "rule", "Forwarded": "for=rule",
        "X-Real-IP": "rule"}
FORGED = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-Proto", "wss"), ("forwarded", "for=203.0.113.9")]
ALL_FORWARDED = {"forwarded": {"x-forwarded": True, "forwarded": True, "via": True}}


def request_rules(**changes):
    return {"route": {"headers": {"request": changes}}, **ALL_FORWARDED}


@pytest.mark.parametrize("client", ["http1", "http2"])
@pytest.mark.parametrize("trusted", [[], ["127.0.0.0/8"]])
def test_request_rules_see_what_weir_writes(weir, backend, client, trusted):
    w = weir(proxy_to(backend(), **request_rules(set=OURS, remove=["Via", "User-Agent"]),
                      **{"client-address": {"trusted": trusted}}))
    sent = [("User-Agent", "u"), ("Via", "1.0 other"), ("X-Real-IP", "203.0.113.9"), *FORGED]
    if client == "http1":
        seen = received(w.get("/", sent))
    else:
        with h2wire.connect(w.address) as session:
            state = session.fetch("/", fields=[(n.lower(), v) for n, v in sent])
            seen = wire.Fields(map(tuple, json.loads(state.body)["fields"]))
    for name, value in OURS.items():
        assert seen.all(name) == [value], name
    assert "Via" not in seen and "User-Agent" not in seen


DATED = ("Date", "Sat, 21 Nov 2026 04:00:00 GMT")
CHANGES = {"set": {"Server": "mine", "Location": "/y", "Content-Type": "text/x"}, "remove": ["Date", "X-Powered-By"],
           "add": {"Vary": "Origin", "Strict-Transport-Security": "max-age=1"}}


def answering(kind, backend, folder):
    """A configuration whose one route answers in the given way."""
    (folder / "f.txt").write_text("file\n" * 400)
    (folder / "d").mkdir(exist_ok=True)
    (folder / "d" / "index.html").write_text("index")
    endpoint = backend(fixed(answer(b"x" * 2000, fields=[
        DATED, ("Server", "origin"), ("Content-Type", "text/plain"), ("Location", "/z"), ("X-Powered-By", "p"),
        ("Strict-Transport-Security", "max-age=2")])))
    route = {
        "endpoint": {"service": "origin"},
        "compressed": {"service": "origin", "compression": "on"},
        "respond": {"respond": {"status": 200, "body": "hello", "type": "text/plain"}},
        "redirect": {"redirect": {"to": "/x"}},
        "refused": {"service": "gone"},
        **dict.fromkeys(["file", "file-compressed", "file-missing", "file-method", "folder", "range"],
                        {"service": "files"}),
    }[kind]
    if kind == "file-compressed":
        route = {**route, "compression": "on"}
    config = {
        "listeners": {"web": {"address": None}},
        "routes": [{"name": "all", "match": {"path": "/*"}, **route, "headers": {"response": CHANGES}}],
        "services": {"origin": {"endpoints": [endpoint.endpoint]}, "files": {"files": {"root": str(folder)}},
                     "gone": {"endpoints": [closed_port()]}}}
    return config


ANSWERS = {"endpoint": 200, "compressed": 200, "respond": 200, "redirect": 308, "refused": 502, "file": 200,
           "file-compressed": 200, "file-missing": 404, "file-method": 405, "folder": 301, "range": 206}


@pytest.mark.parametrize("client", ["http1", "http2"])
@pytest.mark.parametrize("kind", ANSWERS)
def test_response_rules_see_every_field(weir, backend, tmp_path, kind, client):
    w = weir(answering(kind, backend, tmp_path))
    target = {"folder": "/d", "file-missing": "/no"}.get(kind, "/f.txt")
    method = "POST" if kind == "file-method" else "GET"
    fields = [("accept-encoding", "gzip")] + ([("range", "bytes=1-2")] if kind == "range" else [])
    if client == "http1":
        response = w.get(target, fields, method=method)
        status, got = response.status, response.fields
    else:
        with h2wire.connect(w.address) as session:
            state = session.fetch(target, fields=fields, method=method)
        status, got = state.status, wire.Fields(f for f in state.head if not f[0].startswith(":"))
    assert status == ANSWERS[kind]
    assert got.all("Server") == ["mine"]
    assert got.all("Location") == ["/y"]
    assert got.all("Content-Type") == ["text/x"]
    assert got.all("Strict-Transport-Security") == ["max-age=1"]
    assert "Origin" in got.all("Vary")
    assert "Date" not in got and "X-Powered-By" not in got
    if "compressed" in kind:
        assert got.get("Content-Encoding") == "gzip" and "accept-encoding" in map(str.lower, got.all("Vary"))
    if kind == "file-method":
        assert got.get("Allow") == "GET, HEAD, OPTIONS"


def test_weirs_diagnosis_can_be_taken_out(weir):
    """Proxy-Status and X-Request-Id are fields like any other; the log says it all the same."""
    w = weir(proxy_to(closed_port(), route={"headers": {"response": {"remove": ["Proxy-Status", "X-Request-Id"]}}}))
    response = w.get("/")
    assert response.status == 502
    assert "Proxy-Status" not in response.fields and "X-Request-Id" not in response.fields
    assert w.wait_records(1)[0]["reason"] == "connect-refused"


def test_several_ranges_and_a_type_of_the_rules(weir, tmp_path):
    """Parts need the type that says where they begin: with another one the file goes whole."""
    (tmp_path / "f").write_bytes(b"0123456789" * 1000)
    w = weir({"listeners": {"web": {"address": None}}, "services": {"files": {"files": {"root": str(tmp_path)}}},
              "routes": [{"name": "all", "service": "files",
                          "headers": {"response": {"set": {"Content-Type": "text/x"}}}}]})
    response = w.get("/f", [("Range", "bytes=0-0,5000-5001")])
    assert (response.status, response.body) == (200, b"0123456789" * 1000)
    assert response.fields.all("Content-Type") == ["text/x"]


def test_no_compression_where_rules_name_the_coding(weir, backend):
    w = weir(proxy_to(backend(fixed(answer(b"a" * 5000, fields=[("Content-Type", "text/plain")]))),
                      route={"compression": "on", "headers": {"response": {"remove": ["Content-Encoding"]}}}))
    response = w.get("/", [("Accept-Encoding", "gzip")])
    assert response.body == b"a" * 5000 and "Content-Encoding" not in response.fields


def test_rules_and_interim_responses(weir, backend):
    """What is not for the client does not reach it in a 103 either; nothing is added to one."""
    data = (b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nX-Secret: 1\r\n\r\n" + answer(fields=[("X-Secret", "2")]))
    w = weir(proxy_to(backend(fixed(data)), route={"headers": {"response": {
        "remove": ["X-Secret"], "set": {"X-Frame-Options": "DENY"}}}}))
    response = w.get("/")
    assert [(m.status, list(m.fields)) for m in response.interim] == [(103, [("Link", "</a.css>")])]
    assert "X-Secret" not in response.fields and response.get("X-Frame-Options") == "DENY"


def test_rules_and_websockets(weir, backend):
    """Upgrade and Connection are Weir's; everything else about a handshake can be changed."""
    heads = []

    def script(c):
        heads.append(c.request())
        c.send(wswire.agree(heads[0], [("X-Powered-By", "p"), ("Server", "origin")]))
        c.wait_end()
    w = weir(proxy_to(backend(script), route={"headers": {
        "request": {"set": {"X-Forwarded-Proto": "wss"}, "remove": ["Via"]}, "response": CHANGES}}))
    response = wswire.opened(w.connect())
    assert heads[0].fields.all("X-Forwarded-Proto") == ["wss"] and "Via" not in heads[0].fields
    for message in (heads[0], response):
        assert len(message.fields.all("Upgrade")) == len(message.fields.all("Connection")) == 1
    assert response.fields.all("Server") == ["mine"] and "X-Powered-By" not in response.fields


@pytest.mark.parametrize("headers, host", [([("X-Host", "b.example")], "b.example"), ([], "a.example"),
                                           ([("X-Host", "")], "a.example")])
def test_host_of_a_template_is_never_empty(weir, backend, headers, host):
    w = weir(proxy_to(backend(), route={"headers": {"request": {"set": {"Host": "{request.header.x-host}"}}}}))
    assert received(w.get("/", headers)).all("Host") == [host]


# Names that somebody takes for others.

def variables(fields) -> dict:
    """The fields as CGI and WSGI give them to an application."""
    result = {}
    for name, value in fields:
        result.setdefault("HTTP_" + name.upper().replace("-", "_"), []).append(value)
    return result


CLIENTS_WORD = ["X-Real-IP", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Server", "X-Forwarded-Ssl",
                "X-Forwarded-Scheme", "x-forwarded-by", "X-FORWARDED-USER"]


@pytest.mark.parametrize("own", [True, False], ids=["x-forwarded", "no x-forwarded"])
@pytest.mark.parametrize("trusted", [[], ["127.0.0.0/8"]], ids=["untrusted", "trusted"])
@pytest.mark.parametrize("client", ["http1", "http2"])
def test_what_is_said_about_the_client(weir, backend, client, trusted, own):
    """Every field that says who the client is follows one rule: from trusted peers it stays."""
    w = weir(proxy_to(backend(), **{"client-address": {"trusted": trusted}, "forwarded": {"x-forwarded": own}}))
    sent = [(n, "word") for n in CLIENTS_WORD] + [("X-Forward", "1"), ("X-Forwardeds", "2"), ("X-Forwarded-", "3")]
    if not own:
        sent += [("X-Forwarded-For", "word"), ("X-Forwarded-Proto", "word"), ("X-Forwarded-Host", "word")]
    seen = asked(w, client, sent)
    for name, _ in sent[len(CLIENTS_WORD):len(CLIENTS_WORD) + 3]:
        assert name in seen, "other names"
    for name in CLIENTS_WORD + ([] if own else ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"]):
        assert seen.all(name) == (["word"] if trusted else []), name


def asked(w, client, sent):
    """What a mirroring backend got of a request in either version."""
    if client == "http1":
        return received(w.get("/", sent))
    with h2wire.connect(w.address) as session:
        state = session.fetch("/", fields=[(n.lower(), v) for n, v in sent])
    return wire.Fields(map(tuple, json.loads(state.body)["fields"]))


ALIASES = ["X_Forwarded_For", "x-forwarded_proto", "X_FORWARDED-Host", "X_Real_IP", "X-Forwarded_User",
           "Content_Length", "transfer_encoding", "X_Client_Subject", "X-Client_Subject", "x_client-SUBJECT", "X_Debug"]


@pytest.mark.parametrize("trusted", [[], ["127.0.0.0/8"]], ids=["untrusted", "trusted"])
@pytest.mark.parametrize("client", ["http1", "http2"])
def test_underscores_do_not_stand_for_fields_of_trust(weir, backend, client, trusted):
    """An application that gets variables sees what Weir says, whatever the client spells (RFC 9110 §17.10)."""
    w = weir(proxy_to(backend(), **{"client-address": {"trusted": trusted}}, route={"headers": {"request": {
        "set": {"X-Client-Subject": "CN=Weir", "X_Set": "Weir"}, "remove": ["X-Debug"]}}}))
    seen = asked(w, client, [(n, "root") for n in ALIASES] + [("X-Set", "root"), ("x-SET", "root"), ("X_Other", "1"), ("_", "2")])
    found = variables(seen)
    assert found["HTTP_X_CLIENT_SUBJECT"] == ["CN=Weir"] and found["HTTP_X_SET"] == ["Weir"]
    assert "root" not in [v for values in found.values() for v in values]
    assert seen.get("X_Other") == "1" and seen.get("_") == "2", "other names pass"


@pytest.mark.parametrize("client", ["http1", "http2"])
def test_underscores_of_listeners(weir, backend, client):
    b = backend()
    w = weir(proxy_to(b, listeners={"drop": {"address": None, "underscores": "drop"},
                                    "refuse": {"address": None, "underscores": "refuse"}}))

    def ask(listener, *names):
        address = w.listener(listener)
        if client == "http1":
            response = wire.get(address, "/", [(n, "1") for n in names])
            return response.status, response.body
        with h2wire.connect(address) as session:
            state = session.fetch("/", fields=[(n.lower(), "1") for n in names])
            assert session.fetch("/").status == 200, "the connection goes on"
            return state.status, bytes(state.body)
    assert ask("web", "X_A", "X-A")[0] == 200
    status, body = ask("drop", "X_A", "a_", "X-A", "a_long_name_of_more_than_16_bytes", "no-underscore-in-this-long-name")
    seen = wire.Fields(map(tuple, json.loads(body)["fields"]))
    assert not [n for n, _ in seen if "_" in n] and seen.get("X-A") == seen.get("no-underscore-in-this-long-name") == "1"
    count = len(b.requests)
    for name in ("X_A", "a_long_name_of_more_than_16_bytes", "ends-with-an-underscore_"):
        status, body = ask("refuse", "X-A", name)
        assert status == 400 and b"underscore" in body, (name, body)
    assert ask("refuse", "X-A")[0] == 200
    assert all("_" not in n for r in b.requests[count:] for n, _ in r.fields)
