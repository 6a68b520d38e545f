"""Header fields on their way through: rules, forwarding fields, hop-by-hop fields, Host."""

import json

import pytest

import wire
from backends import answer, fixed, serve
from harness import proxy_to


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


def test_untrusted_clients_cannot_forge_their_address(weir, backend):
    """Without trusted CIDRs, what a client claims about itself is replaced."""
    w = weir(proxy_to(backend()))
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
    w = weir(proxy_to(b))
    response = w.get("/", [("Connection", "Upgrade"), ("Upgrade", "spdy")])
    assert response.status == 403
    assert_made_by_weir(response, "upgrade-not-allowed")
    stream = w.connect()
    stream.send(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n")
    response = stream.response()
    assert response.status == 501
    assert_made_by_weir(response, "connect-not-allowed")
    assert not b.requests


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
