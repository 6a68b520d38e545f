"""Who the client is: its certificate in templates, routes and the access log, over every version of HTTP.

The handshakes themselves, and which certificates are refused, are in test_tls.py.
"""

import hashlib
import json
import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization

import certs
import h2wire
import harness
import wire
from backends import mirror, recorder, serve
from harness import proxy_to, tcp_to
from wire import head_bytes

PARTS = ("subject", "issuer", "san", "fingerprint", "serial", "verified")
TOLD = {f"X-{part}": "{client.certificate.%s}" % part for part in PARTS}


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return certs.CA(tmp_path_factory.mktemp("clients"))


@pytest.fixture(scope="module")
def people(ca):
    return {
        "ann": ca.issue(
            "ann.example", x509.UniformResourceIdentifier("spiffe://example/ann"), "10.1.2.3",
            x509.RFC822Name("ann@mail.example"), name="ann", common="Ann", unit="Ops", client=True),
        "bob": ca.issue("Bob.Example", name="bob", common="Bob", unit="Batch", client=True),
        "evil": ca.issue(
            x509.UniformResourceIdentifier("spiffe://example/eve, DNS:ann.example"), name="evil",
            common='Eve,OU=Ops"\\\r\nX-Admin: yes\u00e9', client=True),
    }


def site(b, ca, required=False, listener=None, **more):
    return proxy_to(b, listener=harness.merge({"tls": {
        "certificates": [ca.issue("a.example").pair],
        "client-certificates": {"ca": ca.path, "require": required}}}, listener or {}), **more)


def telling(b, ca, **more):
    return site(b, ca, route={"headers": {"request": {"set": TOLD}}}, **more)


def ask(w, ca, who=None, fields=(), method="GET", target="/", http="http/1.1"):
    """One request on a connection of its own: status and body."""
    context = ca.context(alpn=[http], client=who)
    if http == "h2":
        with h2wire.connect(w.address, context) as s:
            state = s.fetch(target, fields=[(n.lower(), v) for n, v in fields], method=method, scheme="https")
            return state.status, bytes(state.body)
    with h2wire.dial(w.address) as sock, context.wrap_socket(sock, server_hostname="a.example") as secured:
        stream = wire.Stream(secured)
        stream.send(head_bytes(f"{method} {target} HTTP/1.1", fields))
        response = stream.response(method)
        return response.status, response.body


def seen(body) -> dict:
    """Fields at the backend; one that came twice is a list."""
    fields = {}
    for name, value in json.loads(body)["fields"]:
        name = name.lower()
        fields[name] = value if name not in fields else [fields[name], value]
    return fields


def expected(ca, issued, subject, san):
    der = issued.certificate.public_bytes(serialization.Encoding.DER)
    return {"x-subject": subject, "x-issuer": f"CN={ca.name}", "x-san": san, "x-verified": "true",
            "x-fingerprint": hashlib.sha256(der).hexdigest(), "x-serial": "%x" % issued.serial}


def same(got, wanted):
    got = {name: got.get(name) for name in wanted}
    # A hexadecimal number may have a zero in front.
    return {**got, "x-serial": (got["x-serial"] or "").lstrip("0")} == {
        **wanted, "x-serial": wanted["x-serial"].lstrip("0")} or got


NOBODY = {**{f"x-{part}": "" for part in PARTS}, "x-verified": "false"}


@pytest.mark.parametrize("http", ["http/1.1", "h2"])
@pytest.mark.parametrize("upstream", ["http/1.1", "h2"])
def test_templates(weir, backend, ca, people, http, upstream):
    if upstream == "h2":
        from test_http2_responses import Origin
        heads = []

        def answer(session, number, state):
            heads.append(dict(state.head))
            session.send(h2wire.headers(number, [(":status", "200")], True))
        with Origin(answer=answer) as origin:
            w = weir(telling(origin, ca, service={"protocol": "h2"}))
            status, _ = ask(w, ca, people["bob"], http=http)
            assert status == 200
            assert same(heads[0], expected(ca, people["bob"], "CN=Bob,OU=Batch,O=Weir Tests", "DNS:bob.example")) is True
        return
    w = weir(telling(backend(serve(mirror)), ca))
    status, body = ask(w, ca, people["ann"], http=http)
    assert status == 200
    assert same(seen(body), expected(
        ca, people["ann"], "CN=Ann,OU=Ops,O=Weir Tests",
        "DNS:ann.example, URI:spiffe://example/ann, IP:10.1.2.3, email:ann@mail.example")) is True
    status, body = ask(w, ca, http=http)
    got = seen(body)
    assert {name: got.get(name) for name in NOBODY} == NOBODY


@pytest.mark.parametrize("http", ["http/1.1", "h2"])
@pytest.mark.parametrize("who", ["ann", None])
def test_no_client_can_say_it_itself(weir, backend, ca, people, http, who):
    """`set` replaces what came, in any case and number, also with nothing."""
    w = weir(telling(backend(serve(mirror)), ca))
    forged = [("X-Subject", "CN=Forged"), ("x-subject", "CN=Forged"), ("X-SAN", "DNS:forged"),
              ("X-Verified", "true"), ("X-Fingerprint", "00")]
    status, body = ask(w, ca, people.get(who), forged, http=http)
    assert status == 200 and b"orged" not in body
    got = seen(body)
    assert got["x-subject"] == ("CN=Ann,OU=Ops,O=Weir Tests" if who else "")
    assert got["x-verified"] == ("true" if who else "false")
    assert got["x-fingerprint"] != "00"


def test_a_certificate_cannot_break_out(weir, backend, ca, people):
    """Commas, quotes, line breaks and other languages in names signed by the CA."""
    w = weir(telling(backend(serve(mirror)), ca))
    status, body = ask(w, ca, people["evil"])
    got = seen(body)
    assert "x-admin" not in got
    assert got["x-subject"] == r'CN=Eve\,OU=Ops\"\\\0D\0AX-Admin: yes\C3\A9,O=Weir Tests'
    assert got["x-san"] == r"URI:spiffe://example/eve\2C DNS:ann.example"
    line = w.wait_records(1)[0]
    assert line["client_certificate_subject"] == got["x-subject"]
    assert line["client_certificate_san"] == got["x-san"]


def routed(b, ca, *routes, **more):
    return site(b, ca, routes=[
        {"name": f"r{i}", "match": {"path": "/*", "client-certificate": match},
         "respond": {"body": f"{i}"}} for i, match in enumerate(routes)] + [
        {"name": "rest", "match": {"path": "/*"}, "respond": {"body": "rest"}}], services={
            "origin": None}, **more)


@pytest.mark.parametrize("http", ["http/1.1", "h2"])
@pytest.mark.parametrize("match, who", [
    ({"present": True}, {"ann", "bob", "evil"}), ({"present": False}, {None}),
    ({"subject": "CN=Ann,OU=Ops,O=Weir Tests"}, {"ann"}), ({"subject": {"prefix": "CN=B"}}, {"bob"}),
    # The comma within Eve's name is not one between two parts.
    ({"subject": {"regex": r"(^|[^\\],)OU=Ops(,|$)"}}, {"ann"}), ({"issuer": "CN=Test Root"}, {"ann", "bob", "evil"}),
    ({"san": "DNS:ann.example"}, {"ann"}), ({"san": "DNS:BOB.example"}, {"bob"}),
    ({"san": {"prefix": "URI:spiffe://example/"}}, {"ann", "evil"}), ({"san": {"regex": "^IP:10[.]"}}, {"ann"}),
    ({"san": {"present": False}}, {None}), ({"san": "IP:10.1.2.3", "subject": {"prefix": "CN=Bob"}}, set()),
], ids=lambda value: str(sorted(map(str, value)) if isinstance(value, set) else value))
def test_routes(weir, backend, ca, people, http, match, who):
    w = weir(routed(backend(), ca, match))
    for name in (None, *people):
        status, body = ask(w, ca, people.get(name), http=http)
        assert (status, body) == (200, b"0" if name in who else b"rest"), name


def test_route_by_fingerprint(weir, backend, ca, people):
    der = people["bob"].certificate.public_bytes(serialization.Encoding.DER)
    digits = hashlib.sha256(der).hexdigest().upper()
    w = weir(routed(backend(), ca, {"fingerprint": ":".join(digits[i:i + 2] for i in range(0, 64, 2))}))
    assert ask(w, ca, people["bob"])[1] == b"0" and ask(w, ca, people["ann"])[1] == b"rest"


def test_methods_allowed_are_those_of_the_client(weir, backend, ca, people):
    w = weir(site(backend(), ca, routes=[
        {"name": "put", "match": {"path": "/*", "method": ["PUT"], "client-certificate": {"present": True}},
         "respond": {"body": "put"}}], services={"origin": None}))
    assert ask(w, ca)[0] == 404
    assert ask(w, ca, people["ann"])[0] == 405
    assert ask(w, ca, people["ann"], method="PUT")[1] == b"put"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_resumed_session_is_the_same_client(weir, backend, ca, people, version):
    w = weir(routed(recorder(), ca, {"subject": {"prefix": "CN=Ann,"}}))
    context = ca.context(alpn=["http/1.1"], client=people["ann"], low=version, high=version)
    session = None
    for reused in (False, True):
        with h2wire.dial(w.address) as sock, context.wrap_socket(
                sock, server_hostname="a.example", session=session) as secured:
            stream = wire.Stream(secured)
            stream.send(head_bytes("GET / HTTP/1.1"))
            assert stream.response().body == b"0"
            assert secured.session_reused == reused
            session = secured.session
    for line in w.wait_records(2):
        assert line["client_certificate_subject"] == "CN=Ann,OU=Ops,O=Weir Tests"


@pytest.mark.parametrize("http", ["http/1.1", "h2"])
def test_access_log(weir, backend, ca, people, http):
    w = weir(site(backend(), ca))
    assert ask(w, ca, people["ann"], target="/ann", http=http)[0] == 200
    assert ask(w, ca, target="/nobody", http=http)[0] == 200
    lines = {line["target"]: line for line in w.wait_records(2)}
    members = {"client_certificate_subject", "client_certificate_san", "client_certificate_fingerprint",
               "client_certificate_serial"}
    assert members <= lines["/ann"].keys() and not members & lines["/nobody"].keys()
    assert lines["/ann"]["client_certificate_subject"] == "CN=Ann,OU=Ops,O=Weir Tests"
    assert int(lines["/ann"]["client_certificate_serial"], 16) == people["ann"].serial


def test_streams_of_a_connection_that_breaks_are_recorded_with_it(weir, backend, ca, people):
    """The records are made while the connection goes down."""
    b = backend(lambda c: (c.request(), c.wait_end()))
    w = weir(site(b, ca))
    s = h2wire.connect(w.address, ca.context(alpn=["h2"], client=people["ann"]))
    for _ in range(3):
        s.request("/", scheme="https")
    b.wait_requests(3)
    s.close()
    for line in w.wait_records(3):
        assert line["reason"] == "client-closed-during-request"
        assert line["client_certificate_subject"] == "CN=Ann,OU=Ops,O=Weir Tests"


def test_a_refused_certificate_names_nobody(weir, backend, ca, tmp_path):
    stranger = certs.CA(tmp_path).issue("ann.example", common="Ann", client=True)
    w = weir(site(backend(), ca, required=True))
    with pytest.raises((ssl.SSLError, OSError, wire.Ended)):
        ask(w, ca, stranger)
    line = w.wait_reason("tls-client-certificate-untrusted")
    assert "Ann" not in str(line) and "client_certificate_fingerprint" not in line


def test_tcp_connections_are_recorded_with_it(weir, backend, ca, people):
    def echo(c):
        while c.fill():
            c.send(c.take(len(c.buffer)))
    w = weir(tcp_to(backend(echo), listener={"tls": {
        "certificates": [ca.issue("db.example").pair], "client-certificates": {"ca": ca.path}}}))
    with h2wire.dial(w.address) as sock, ca.context(alpn=(), client=people["bob"]).wrap_socket(
            sock, server_hostname="db.example") as secured:
        secured.sendall(b"x")
        assert secured.recv(1) == b"x"
    line = w.wait_records(1)[0]
    assert line["client_certificate_subject"] == "CN=Bob,OU=Batch,O=Weir Tests"
    assert line["server_name"] == "db.example"


def test_text_log(weir, backend, ca, people):
    config = site(backend(), ca)
    w = weir(harness.merge(config, {"telemetry": {"access-log": {"format": "text"}}}))
    ask(w, ca, people["bob"])
    text = wire.eventually(lambda: open(w.access_path).read(), "a line")
    assert ' certificate="CN=Bob,OU=Batch,O=Weir Tests" san="DNS:bob.example" fingerprint="' in text
