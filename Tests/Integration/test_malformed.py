"""The request corpus (malformed/*.case) through Weir to a backend that records what it received.

Every case is sent twice: in one write, and byte by byte; the outcome must not depend on how the
bytes arrive. After each, a fresh connection must work, and no backend may ever see /smuggled.
"""

import pytest

import cases
import wire
from backends import recorder
from harness import assert_made_by_weir, proxy_to

CORPUS = cases.load("malformed")
REASONS = {
    400: ("request-malformed", "request-body-malformed"), 408: ("request-body-timeout",),
    414: ("request-target-too-long",), 417: ("request-expectation-unknown",),
    431: ("request-head-too-large",), 501: ("connect-not-allowed", "request-malformed"),
    505: ("request-version-unsupported",), 404: ("route-not-found",), 413: ("request-malformed",),
}


@pytest.fixture(scope="module")
def site(shared_weir):
    with recorder() as backend:
        weir = shared_weir(proxy_to(backend, listener={
            "limits": {"head": "16KiB", "fields": 100, "target": "4KiB"}}))
        yield weir, backend


def pump(stream: wire.Stream, data: bytes, piecewise: bool):
    """Send data, reading meanwhile, so that an early answer is not lost to a later reset."""
    size = len(data) if not piecewise else 1 if len(data) < 3000 else 499
    for at in range(0, len(data), size):
        try:
            stream.send(data[at:at + size])
        except OSError:
            return
        while not stream.finished and len(stream.buffer) < 1 << 20 and stream.sock.fileno() >= 0 \
                and wire.select.select([stream.sock], [], [], 0)[0]:
            if not stream.fill():
                return


def check_response(response, allowed):
    assert str(response.status) in allowed, f"{response.status} instead of {allowed}: {response.body[:300]!r}"
    if response.status >= 400:
        assert any(reason in response.get("Proxy-Status", "") for reason in REASONS[response.status]), \
            response.get("Proxy-Status")
        assert_made_by_weir(response, "")


@pytest.mark.harness_only
def test_corpus_is_large_and_balanced():
    """Enough cases, and enough well-formed ones among them that strictness is not blanket refusal."""
    assert len(CORPUS) >= 300
    assert sum(case["expect"].startswith("200") for case in CORPUS) >= 50


@pytest.mark.parametrize("arrival", ["whole", "bytes"])
@pytest.mark.parametrize("case", CORPUS, ids=repr)
def test_request(site, case, arrival):
    weir, backend = site
    backend.requests.clear(), backend.partial.clear(), backend.malformed.clear()
    stream = weir.connect()
    stream.patience = 8
    pump(stream, case["send"], arrival == "bytes")
    if case.get("finish") == "fin":
        stream.half_close()

    for expected in case["expect"].split():
        allowed = expected.split("|")
        try:
            response = stream.response(case.get("method", "GET"))
        except (wire.Ended, ConnectionError) as end:
            assert "none" in allowed and not getattr(end, "partial", b""), f"no response: {end}"
            break
        check_response(response, allowed)
    if case.get("close") == "yes":
        assert stream.rest() == b"", "bytes behind the last response"
    elif case.get("close") == "no":
        stream.send(wire.head_bytes("GET /after HTTP/1.1"))
        assert stream.response().status == 200
    stream.close()

    assert weir.get("/canary").status == 200, "a fresh connection works"
    assert not backend.malformed, f"Weir sent malformed bytes upstream: {backend.malformed}"
    seen = [r for r in backend.requests if r.target not in ("/canary", "/after")]
    starts = [r.start for r in seen]
    assert "/smuggled" not in " ".join(starts), starts
    wanted = case.get("backend", "any")
    if wanted in ("none", "partial"):
        assert not seen, f"the backend saw {starts}"
    if wanted == "none":
        assert not backend.partial, f"the backend saw part of it: {backend.partial}"
    if wanted.isdigit():
        assert len(seen) == int(wanted), starts
    if "seen" in case:
        assert starts[0].startswith(case["seen"]), starts
    if "body" in case:
        assert seen[-1].body.decode() == case["body"]
