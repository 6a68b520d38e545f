"""What an operator says of endpoints: weights and states that count at once and without another snapshot."""

import json

import pytest

import wire
from backends import answer, serve
from harness import address_of, proxy_to, tcp_to, udp_to
from wire import eventually


def named(name):
    return serve(lambda request: answer(name.encode()))


@pytest.fixture
def pair(backend):
    return backend(named("one")), backend(named("two"))


def counts(w, picks=60):
    bodies = [w.get("/").body.decode() for _ in range(picks)]
    return bodies.count("one"), bodies.count("two")


def status(w):
    return json.loads(w.ask_admin("/api/v1/status").body)


def endpoints(w):
    return {e["address"]: e for e in status(w)["services"][0]["endpoints"]}


def generation(w):
    return status(w)["configuration"]["generation"]


def two(pair, **more):
    return proxy_to(*pair, service={"balance": "round-robin"}, workers=2, **more)


def test_a_drained_endpoint_gets_nothing_until_it_is_active_again(weir, pair):
    w = weir(two(pair))
    before = generation(w)
    changed = json.loads(w.administer(address_of(pair[0]), state="drain").body)["endpoints"]
    assert [e["state"] for e in changed] == ["drain"]
    assert counts(w) == (0, 60)
    assert endpoints(w)[address_of(pair[0])]["state"] == "drain"
    assert "drain" in w.ask_admin("/api/v1/status?format=text").body.decode()
    w.administer(address_of(pair[0]), state="active")
    assert counts(w)[0] > 20
    assert generation(w) == before


@pytest.mark.parametrize("balance", ["round-robin", "random", "least-request"])
def test_a_weight_counts_at_once(weir, pair, balance):
    w = weir(proxy_to(*pair, service={"balance": balance}, workers=2))
    before = generation(w)
    assert w.administer(address_of(pair[0]), weight=0).status == 200
    assert counts(w) == (0, 60)
    w.administer(address_of(pair[0]), weight=1000)
    # Each worker hears of it with its next turn.
    eventually(lambda: counts(w)[0] > 50, "the heavier one gets nearly all")
    w.administer(address_of(pair[0]), weight="configured")
    eventually(lambda: counts(w)[1] > 15, "as the file says")
    assert generation(w) == before


def test_a_reload_keeps_what_the_operator_said(weir, pair):
    config = two(pair)
    w = weir(config)
    one, other = map(address_of, pair)
    w.administer(one, state="down")
    w.administer(other, weight=7)
    w.reload(config)
    assert endpoints(w)[one]["state"] == "down"
    assert endpoints(w)[other]["weight"] == 7 and endpoints(w)[other]["configured_weight"] == 1
    assert counts(w) == (0, 60)
    # The newest word about a weight counts; pools and counters live on.
    attempts = endpoints(w)[other]["attempts"]
    w.reload(proxy_to(one, {"address": other, "weight": 3}, service={"balance": "round-robin"}, workers=2))
    assert endpoints(w)[other]["weight"] == 3
    assert endpoints(w)[other]["attempts"] >= attempts > 0


def test_nobody_is_picked_who_was_taken_out_even_when_all_are(weir, pair):
    w = weir(two(pair))
    w.administer(address_of(pair[0]), state="down")
    w.administer(address_of(pair[1]), weight=0)
    assert w.get("/").status == 503
    w.wait_reason("no-endpoint")
    w.administer(address_of(pair[1]), weight=1)
    eventually(lambda: w.get("/").body == b"two", "it is back")


def test_connections_follow(weir, pair):
    w = weir(tcp_to(*pair, service={"balance": "round-robin"}))
    w.administer(address_of(pair[1]), state="drain")
    assert {wire.get(w.address).body for _ in range(20)} == {b"one"}


def test_datagrams_follow(weir, udp_backend):
    one, other = udp_backend(), udp_backend()
    w = weir(udp_to(one, other, service={"balance": "round-robin"}, listener={"udp": {"per": "packet"}}))
    w.administer(address_of(one), state="drain")
    client = wire.datagrams(w.address)
    for n in range(20):
        client.send(b"%d" % n)
        client.recv(100)
    assert len(one.seen) == 0 and len(other.seen) == 20


def test_an_endpoint_that_is_not_there(weir, pair):
    w = weir(two(pair))
    assert w.administer("127.0.0.1:1", state="drain").status == 404
    assert w.administer(address_of(pair[0]), service="other", state="drain").status == 404
    assert w.administer(address_of(pair[0]), state="asleep").status == 400
