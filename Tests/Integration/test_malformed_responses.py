"""The response corpus (malformed-responses/*.case): what a backend may send instead of a response.

The backend reads one request, sends the bytes of `send`, then ends as `end` says: close (default),
rst, fin (half-close and wait) or hold (stay open). `expect` is what the client must see:

    502            a response made by Weir, whose Proxy-Status names `reason`
    200 (other)    a complete response with `body`, when the bytes began with a good one
    abort          a started response that is visibly cut: never a complete message

In every case the bytes are not relayed raw, the upstream connection is not used again (unless
`reuse: yes`), and the next client gets its own response and nothing else.
"""

import pytest

import cases
import wire
from backends import Backend, answer
from harness import assert_made_by_weir, proxy_to

CORPUS = cases.load("malformed-responses")
BY_NAME = {case["case"]: case for case in CORPUS}


def script(c):
    while True:
        request = c.request()
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


@pytest.fixture(scope="module")
def site(shared_weir):
    with Backend(script) as backend:
        yield shared_weir(proxy_to(backend, route={"timeout": {"head": "2s", "idle": "2s"}})), backend


@pytest.mark.parametrize("case", CORPUS, ids=repr)
def test_response(site, case):
    weir, backend = site
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
