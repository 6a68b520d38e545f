"""The response corpus (malformed-responses/*.case): what a backend may send instead of a response.

The backend reads one request, sends the bytes of `send`, then ends as `end` says: close (default),
rst, fin (half-close and wait) or hold (stay open). `expect` is what the client must see:

    502            a response made by Weir, whose Proxy-Status names `reason`
    200 (other)    a complete response with `body`, when the bytes began with a good one
    abort          a started response that is visibly cut: never a complete message

`quirk` names what makes it a response with `body` when the service allows it, and only then.

In every case the bytes are not relayed raw, the upstream connection is not used again (unless
`reuse: yes`), and the next client gets its own response and nothing else.
"""

import time

import pytest

import cases
import wire
from backends import Backend, answer
from harness import assert_made_by_weir, proxy_to
from wire import eventually

pytestmark = [pytest.mark.bytes]


@pytest.fixture
def weir(reused_weir):
    return reused_weir

CORPUS = cases.load("malformed-responses")
BY_NAME = {case["case"]: case for case in CORPUS}


PIECES = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2", b"\r\nContent-Length: 2\r\n", b"\r\n", b"ok"]


def script(c):
    while True:
        request = c.request()
        if request.target == "/pieces":
            for piece in PIECES:
                c.send(piece)
                time.sleep(0.02)
            continue
        case = BY_NAME.get(request.target.removeprefix("/case/"))
        if not case:
            c.send(answer(b"next"))
            continue
        c.send(case["send"])
        end = case.get("end", "close")
        if end == "close":
            return
        if end == "rst":
            return c.rst()
        if end == "fin":
            c.half_close()


QUIRKS = ["padded-chunk-size", "duplicate-length", "te-identity"]


def start(shared_weir, backend, quirks):
    return shared_weir(proxy_to(
        backend, route={"timeout": {"head": "2s", "idle": "2s"}}, service={"quirks": quirks} if quirks else {}))


@pytest.fixture(scope="module")
def site(shared_weir):
    with Backend(script) as backend:
        yield start(shared_weir, backend, []), backend


@pytest.fixture(scope="module")
def lenient_site(shared_weir):
    with Backend(script) as backend:
        yield start(shared_weir, backend, QUIRKS), backend


@pytest.mark.parametrize("case", CORPUS, ids=repr)
def test_response(site, case):
    check(*site, case)


@pytest.mark.parametrize("case", [case for case in CORPUS if "quirk" not in case], ids=repr)
def test_quirks_change_nothing_else(lenient_site, case):
    weir, backend = lenient_site
    before = weir.metric("weir_endpoint_quirks_total")
    check(weir, backend, case)
    if "200" not in case["expect"] and "abort" not in case["expect"]:
        assert weir.metric("weir_endpoint_quirks_total") == before


@pytest.fixture(scope="module", params=QUIRKS)
def one_quirk(request, shared_weir):
    with Backend(script) as backend:
        yield request.param, start(shared_weir, backend, [request.param]), backend


@pytest.mark.parametrize("case", [case for case in CORPUS if "quirk" in case], ids=repr)
def test_one_quirk(one_quirk, case):
    quirk, weir, backend = one_quirk
    if case["quirk"] == quirk:
        check_lenient(weir, backend, case)
    else:
        check(weir, backend, case)


@pytest.mark.parametrize("case", [case for case in CORPUS if "quirk" in case], ids=repr)
def test_all_quirks(lenient_site, case):
    check_lenient(*lenient_site, case)


def check_lenient(weir, backend, case):
    """It reaches the client, framed afresh, and is counted by each name and told in the log."""
    target = f"/case/{case['case']}"
    labels = {"service": "origin", "endpoint": backend.endpoint}
    counts = lambda: [weir.metric("weir_endpoint_quirks_total", quirk=name, **labels) for name in QUIRKS]
    before = counts()
    backend.requests.clear()
    stream = weir.connect()
    stream.send(wire.head_bytes(f"GET {target} HTTP/1.1"))
    response = stream.response()
    assert response.status == 200 and response.body.decode() == case["body"]
    coding, length = response.fields.all("Transfer-Encoding"), response.fields.all("Content-Length")
    assert (coding, length) in [(["chunked"], []), ([], [str(len(case["body"]))])]
    after = [count + (name in case["quirk"].split()) for name, count in zip(QUIRKS, before)]
    eventually(lambda: counts() == after, f"counts of {after}")
    weir.wait_log("response read leniently.*service=origin.*endpoint=.*quirks=")
    # On the same connection: pools are per worker.
    stream.send(wire.head_bytes("GET /next HTTP/1.1"))
    assert stream.response().body == b"next"
    stream.close()
    assert weir.get("/next").body == b"next", "the next client gets its own response"
    used = [r.connection for r in backend.requests if r.target == target]
    again = [r for r in backend.requests if r.target == "/next" and r.connection in used]
    assert bool(again) == ("te-identity" not in case["quirk"])
    assert not backend.malformed


def test_a_head_with_quirks_may_come_in_pieces(lenient_site):
    """The strict reading refuses at the second length, before the head is whole: the lenient one waits for it."""
    weir, _ = lenient_site
    assert weir.get("/pieces").body == b"ok"


def check(weir, backend, case):
    backend.requests.clear()
    target = f"/case/{case['case']}"
    method = case.get("method", "GET")
    stream = weir.connect()
    stream.patience = 10
    stream.send(wire.head_bytes(f"{method} {target} HTTP/1.1"))
    try:
        response = stream.response(method)
    except wire.Ended as end:
        assert "abort" in case["expect"], f"the message was cut: {end}"
        assert end.message is not None and end.message.status == 200, "cut before a head"
        assert weir.wait_record(lambda line: line["target"] == target)["reason"].startswith(case["reason"])
    else:
        assert str(response.status) in case["expect"].split("|"), (response, response.body[:300])
        if response.status >= 500:
            assert_made_by_weir(response, case["reason"])
        elif "body" in case:
            assert response.body.decode() == case["body"]
        # A connection that stays open serves the next request with its own response.
        if response.get("Connection", "").lower() != "close":
            stream.send(wire.head_bytes("GET /next HTTP/1.1"))
            assert stream.response().body == b"next"
        else:
            assert stream.rest() == b""
    stream.close()

    for _ in range(2):
        assert weir.get("/next").body == b"next", "the next client gets its own response"
    assert not backend.malformed
    used = [r.connection for r in backend.requests if r.target == target]
    again = [r for r in backend.requests if r.target == "/next" and r.connection in used]
    if case.get("reuse") == "yes":
        assert again, "a healthy upstream connection was thrown away"
    else:
        assert case.get("reuse") == "any" or not again, "the upstream connection was used again"
