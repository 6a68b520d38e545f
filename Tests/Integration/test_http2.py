"""HTTP/2 from clients, frame by frame, in cleartext by prior knowledge (RFC 9113 §3.3).

The corpus (http2/*.case, see h2cases.py) runs as one write and byte by byte; behind it are tests of
what is no single outcome: flow control in both directions, concurrency, trailers and 1xx across the
bridge to HTTP/1.1, GOAWAY at a drain.
"""

import collections
import json
import os
import signal
import time

import pytest

import h2cases
import h2wire
import wire
from backends import answer, fixed, hang, mirror, once, serve
from h2wire import SETTINGS, WINDOW, frame
from harness import ROOT, proxy_to
from wire import eventually

pytestmark = [pytest.mark.bytes]

CORPUS = h2cases.load()
LIMITS = {"limits": {"head": "16KiB", "fields": 100, "target": "4KiB"}}


@pytest.fixture(scope="module")
def site(shared_weir):
    with h2cases.Backend(h2cases.origin) as backend:
        yield shared_weir(proxy_to(backend, listener=LIMITS)), backend


@pytest.mark.harness_only
def test_corpus_is_large_and_balanced():
    """Enough cases, and enough well-formed ones among them that strictness is not blanket refusal."""
    assert len(CORPUS) >= 300
    assert sum(case["expect"] == "200" for case in CORPUS) >= 80


@pytest.mark.harness_only
@pytest.mark.parametrize("folder", ["http2", "http2-responses"])
def test_the_document_counts_the_cases(folder):
    page = open(os.path.join(ROOT, "docs/conformance.md")).read()
    counts = collections.Counter(case["file"].removesuffix(".case") for case in h2cases.load(folder))
    for name, count in counts.items():
        assert f"| `{folder}/{name}` | {count} |" in page, f"docs/conformance.md: {folder}/{name} has {count} cases"


@pytest.mark.parametrize("arrival", ["whole", "bytes"])
@pytest.mark.parametrize("case", CORPUS, ids=repr)
def test_case(site, case, arrival):
    weir, backend = site
    backend.requests.clear(), backend.partial.clear(), backend.malformed.clear()
    session, result = h2cases.run(case, weir.address, arrival)
    with h2wire.connect(weir.address) as other:
        assert other.fetch("/canary").status == 200, "a fresh connection works"
    h2cases.check_backend(case, backend, result)


# Flow control

@pytest.mark.parametrize("window", [1, 1000, WINDOW, 1 << 20])
def test_response_keeps_to_the_window_of_its_stream(weir, backend, window):
    """DATA stop at the window and go on with each credit (RFC 9113 §6.9)."""
    body = bytes(range(256)) * 1024
    w = weir(proxy_to(backend(once(answer(body), "hold"))))
    with h2wire.connect(w.address, credit=False, window=1 << 24, INITIAL_WINDOW_SIZE=window) as s:
        state = s.request()
        got = 0
        for step in (0, 1, 3, 100_000, len(body)):
            if step:
                s.give(1, step)
            got = min(got + (step or window), len(body))
            s.until(lambda: state.count >= got, f"{got} bytes")
            assert s.ping() and state.count == got, "no byte beyond the window"
        s.until(lambda: state.ended, "the end")
        assert state.body == body and not s.violations


def test_response_keeps_to_the_window_of_the_connection(weir, backend):
    """Several streams together use no more than the connection's window, and all end when it opens."""
    body = b"x" * 50_000
    w = weir(proxy_to(backend(fixed(answer(body)))))
    with h2wire.connect(w.address, credit=False, INITIAL_WINDOW_SIZE=1 << 20) as s:
        states = [s.request(f"/{n}") for n in range(4)]
        s.until(lambda: sum(state.count for state in states) == WINDOW, "the whole window is used")
        assert s.ping() and sum(state.count for state in states) == WINDOW
        s.give(0, 1 << 20)
        s.until(lambda: all(state.ended for state in states), "all end")
        assert all(state.body == body for state in states) and not s.violations


def test_window_made_negative_by_settings(weir, backend):
    """A smaller INITIAL_WINDOW_SIZE takes back what was given; DATA resume when it is positive (§6.9.2)."""
    body = b"x" * 100_000
    w = weir(proxy_to(backend(once(answer(body), "hold"))))
    with h2wire.connect(w.address, credit=False, window=1 << 20) as s:
        state = s.request()
        s.until(lambda: state.count == WINDOW, "the first window is used")
        s.send(h2wire.settings(INITIAL_WINDOW_SIZE=0))
        s.until(lambda: s.acks == 2, "the acknowledgement")
        s.give(1, 10_000)  # pays a part of the debt of 65,535
        state.window -= WINDOW
        assert s.ping() and state.count == WINDOW
        s.give(1, WINDOW)
        s.until(lambda: state.count == WINDOW + 10_000, "what the window now allows")
        assert s.ping() and state.count == WINDOW + 10_000 and not s.violations


def test_response_frames_keep_to_the_clients_frame_size(weir, backend):
    w = weir(proxy_to(backend(once(answer(b"x" * 300_000), "hold"))))
    with h2wire.connect(w.address, window=1 << 20, INITIAL_WINDOW_SIZE=1 << 20) as s:
        state = s.fetch()
        assert state.count == 300_000 and max(state.sizes) <= 16_384 and not s.violations


def test_request_beyond_the_window_is_a_flow_control_error(weir, backend):
    """Weir's windows are real: who sends more than it granted is refused (§6.9.1)."""
    w = weir(proxy_to(backend(hang)))
    with h2wire.connect(w.address) as s:
        s.until(lambda: s.acks, "the first exchange of SETTINGS")
        state = s.request(method="POST", end_stream=False)
        granted = s.window_to(1)
        assert granted <= 1 << 20, "a window for one stream should not be the size of a disk"
        sent = 0
        while not s.closed and not s.goaway and not state.over and sent < 64 << 20:
            if not s.send(h2wire.data(1, b"x" * 16_384)):
                break
            sent += 16_384
            s.drain()
        s.until(lambda: s.goaway or state.over or s.closed, "an end")
        # What was on its way behind the stream's end may have ended the connection since.
        code = state.reset or s.goaway[1]
        assert code == "FLOW_CONTROL_ERROR", (code, state, sent)


def test_upload_is_held_back_while_the_backend_does_not_read(weir, backend):
    """Back-pressure reaches the client as windows that stay shut, for that stream only."""
    slow = backend(lambda c: (c.head(), c.backend.release.wait()))
    fast = backend()
    w = weir(proxy_to(slow, routes=[
        {"name": "slow", "match": {"path": "/slow"}, "service": "origin"},
        {"name": "fast", "match": {"path": "/fast"}, "service": "quick"},
    ], services={"quick": {"endpoints": [fast.endpoint]}}))
    before = w.rss_kib()
    with h2wire.connect(w.address) as s:
        s.until(lambda: s.acks, "the first exchange of SETTINGS")
        s.request("/slow", method="POST", end_stream=False)
        sent, quiet = 0, 0
        while quiet < 3:
            room = min(16_384, s.send_window, s.window_to(1))
            if room <= 0:
                s.until(lambda: s.window_to(1) > 0 and s.send_window > 0, None, 0.3)
                quiet = quiet + 1 if s.window_to(1) <= 0 or s.send_window <= 0 else 0
                continue
            s.send(h2wire.data(1, b"x" * room))
            s.send_window, s.send_windows[1], sent = s.send_window - room, s.window_to(1) - room, sent + room
            assert sent < 64 << 20, "Weir takes everything"
        assert s.fetch("/fast").status == 200, "another stream is not held back"
        assert w.rss_kib() - before < 24 * 1024
        assert not s.violations


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 1_000_000, 20_000_000])
def test_upload_and_download(weir, backend, size):
    import hashlib

    def echo(c):
        while True:
            total = hashlib.blake2b()
            c.request(sink=total.update)
            c.send(answer(total.hexdigest().encode() + b"x" * size))
    w = weir(proxy_to(backend(echo)))
    body = (bytes(range(251)) * (size // 251 + 1))[:size]
    with h2wire.connect(w.address, window=1 << 20, INITIAL_WINDOW_SIZE=1 << 20) as s:
        for fields in ([], [("content-length", str(size))]):
            state = s.fetch(method="POST", body=body, fields=fields)
            assert state.status == 200 and state.count == size + 128
            assert state.body[:128].decode() == hashlib.blake2b(body).hexdigest()
        assert not s.violations


@pytest.mark.parametrize("rest", [b"", b"more"], ids=["end", "data"])
def test_large_upload_is_complete_when_its_stream_is(weir, backend, rest):
    """All of the content is here and goes on as it comes: what shows too late that it was more, reaches nobody whole (§8.1.1)."""
    size = 300_000
    b = backend()
    w = weir(proxy_to(b))
    with h2wire.connect(w.address) as s:
        s.until(lambda: s.acks, "the first exchange of SETTINGS")
        state = s.request(method="POST", fields=[("content-length", str(size))], end_stream=False)
        s.send_body(state.number, b"x" * size, end_stream=False)
        assert s.ping() and not state.over and not b.requests
        s.send(h2wire.data(state.number, rest, end_stream=True))
        s.until(lambda: state.over, "an outcome")
        if rest:
            assert state.reset == "PROTOCOL_ERROR" and state.head is None
            eventually(lambda: b.partial, "the endpoint sees it cut")
            assert not b.requests and w.wait_reason("request-malformed")
        else:
            assert state.status == 200 and b.requests[0].body == b"x" * size
        assert s.fetch("/after").status == 200


def test_padding_counts_against_the_windows(weir, backend):
    """Padding uses the window, and Weir gives it back, or a padding client would stall (§6.9.1)."""
    w = weir(proxy_to(backend()))
    with h2wire.connect(w.address) as s:
        s.until(lambda: s.acks, "the first exchange of SETTINGS")
        state = s.request(method="POST", end_stream=False)
        for n in range(2000):
            s.until(lambda: min(s.send_window, s.window_to(1)) >= 257 or state.over, "windows for padding")
            s.send(h2wire.data(1, b"y", pad=255))
            s.send_window, s.send_windows[1] = s.send_window - 257, s.window_to(1) - 257
        s.send(h2wire.data(1, b"", True))
        s.until(lambda: state.over, "the response")
        assert json.loads(state.body)["body"] == "y" * 2000


# Concurrency

def test_streams_beyond_the_announced_limit_are_refused(weir, backend):
    """Weir announces its limit and refuses what is over it, unprocessed, so that it may be repeated (§5.1.2)."""
    b = backend(hang)
    w = weir(proxy_to(b, listener={"limits": {"streams": 10}}))
    with h2wire.connect(w.address) as s:
        s.until(lambda: s.acks, "the first exchange of SETTINGS")
        assert s.peer[SETTINGS["MAX_CONCURRENT_STREAMS"]] == 10
        states = [s.request(f"/{n}") for n in range(12)]
        s.until(lambda: states[11].over or s.goaway, "a refusal")
        assert [state.reset for state in states[10:]] == ["REFUSED_STREAM"] * 2
        eventually(lambda: len(b.requests) == 10, "the others reach the backend")
        assert not any(state.over for state in states[:10])
        s.send(h2wire.frame("RST_STREAM", 0, 1, b"\0\0\0\x08"))
        s.ping()
        more = s.request("/more")
        eventually(lambda: len(b.requests) == 11, "a free place is used")
        assert not more.over and not s.violations


def test_limit_of_streams_by_default(weir, backend):
    w = weir(proxy_to(backend()))
    with h2wire.connect(w.address) as s:
        s.until(lambda: s.got_settings, "SETTINGS")
        assert 32 <= s.peer[SETTINGS["MAX_CONCURRENT_STREAMS"]] <= 256


def test_slow_stream_does_not_hold_up_another(weir, backend):
    def script(c):
        while True:
            request = c.request()
            if request.target == "/slow":
                c.backend.release.wait()
            c.send(answer(request.target.encode()))
    b = backend(script)
    w = weir(proxy_to(b))
    with h2wire.connect(w.address) as s:
        slow = s.request("/slow")
        for n in range(20):
            assert s.fetch(f"/{n}").body == f"/{n}".encode()
        assert not slow.over
        b.release.set()
        s.until(lambda: slow.ended, "the slow one")
        assert slow.body == b"/slow"


def test_5000_requests_on_one_connection(weir, backend):
    w = weir(proxy_to(backend()))
    with h2wire.connect(w.address) as s:
        window, done = [], 0
        while done < 5000:
            while len(window) < 32 and done + len(window) < 5000:
                window.append(s.request(f"/{done + len(window)}"))
            first = window.pop(0)
            s.until(lambda: first.over or s.goaway, "a response")
            if s.goaway and not first.over:
                pytest.fail(f"GOAWAY {s.goaway} after {done} requests")
            assert first.status == 200
            done += 1
        assert not s.violations


# The bridge to HTTP/1.1

def test_response_trailers(weir, backend):
    w = weir(proxy_to(backend(once(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        b"4\r\nbody\r\n0\r\nX-Sum: 42\r\nX-Two: b\r\n\r\n", "hold"))))
    with h2wire.connect(w.address) as s:
        state = s.fetch(fields=[("te", "trailers")])
        assert state.body == b"body" and dict(state.trailers) == {"x-sum": "42", "x-two": "b"}
        assert state.ended and not s.violations


def test_response_trailers_without_body(weir, backend):
    w = weir(proxy_to(backend(once(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 42\r\n\r\n", "hold"))))
    with h2wire.connect(w.address) as s:
        state = s.fetch()
        assert dict(state.trailers) == {"x-sum": "42"} and state.body == b""


def test_request_trailers(weir, backend):
    b = backend()
    w = weir(proxy_to(b))
    with h2wire.connect(w.address) as s:
        state = s.fetch(method="POST", body=b"body", trailers=[("x-sum", "42")])
        seen = json.loads(state.body)
        assert seen["body"] == "body" and [n.lower() for n, _ in seen["trailers"]] == ["x-sum"]


def test_interim_responses(weir, backend):
    w = weir(proxy_to(backend(once(
        b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + answer(), "hold"))))
    with h2wire.connect(w.address) as s:
        state = s.fetch()
        assert [h.get(":status") for h in state.interim] == ["103", "102"]
        assert state.interim[0].get("link") == "</a.css>" and state.status == 200 and not s.violations


def test_expect_100_continue(weir, backend):
    w = weir(proxy_to(backend()))
    with h2wire.connect(w.address) as s:
        state = s.request(method="POST", end_stream=False, fields=[("expect", "100-continue"), ("content-length", "4")])
        s.until(lambda: state.interim or state.over, "100")
        assert state.interim[0].get(":status") == "100"
        s.send(h2wire.data(1, b"body", True))
        s.until(lambda: state.over, "the response")
        assert state.status == 200 and json.loads(state.body)["body"] == "body"


def test_endpoint_that_switches_protocols_unasked(weir, backend):
    w = weir(proxy_to(backend(once(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "hold"))))
    with h2wire.connect(w.address) as s:
        assert s.fetch().status == 502


def test_hop_by_hop_fields_of_the_endpoint_end_at_weir(weir, backend):
    w = weir(proxy_to(backend(once(
        b"HTTP/1.1 200 Fine\r\nConnection: keep-alive, X-Hop\r\nKeep-Alive: timeout=5\r\nX-Hop: 1\r\nX-Stay: 1\r\n"
        b"Upgrade: h2c\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"))))
    with h2wire.connect(w.address) as s:
        state = s.fetch()
        assert state.get("x-stay") == "1" and state.get("x-hop") is None
        assert not s.violations


@pytest.mark.parametrize("head, body", [
    (b"HTTP/1.1 204 No Content\r\n\r\n", b""), (b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", b""),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b""), (b"HTTP/1.0 200 OK\r\n\r\nto the end", b"to the end"),
    (b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n", b""),
])
def test_framing_of_responses(weir, backend, head, body):
    w = weir(proxy_to(backend(once(head))))
    with h2wire.connect(w.address) as s:
        state = s.fetch()
        assert state.ended and state.body == body and state.reset is None
        if b"Set-Cookie" in head:
            assert state.head.all("set-cookie") == ["a=1", "b=2"], "Set-Cookie is never joined"
        assert not s.violations


def test_head_has_no_data(weir, backend):
    w = weir(proxy_to(backend(once(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "hold"))))
    with h2wire.connect(w.address) as s:
        state = s.fetch(method="HEAD")
        assert state.get("content-length") == "1000" and not state.body and state.ended


def test_response_cut_by_the_endpoint_is_a_reset(weir, backend):
    """A body cut short must not look complete (RFC 9113 §8.1.1)."""
    w = weir(proxy_to(backend(once(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"))))
    with h2wire.connect(w.address) as s:
        state = s.fetch()
        assert state.reset and not state.ended and not s.goaway
        assert w.wait_reason("upstream-closed-mid-body")


def test_response_broken_from_its_first_chunk_is_a_reset(weir, backend):
    """The head is with the stream by then: no second one, and the connection goes on."""
    w = weir(proxy_to(backend(once(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"))))
    with h2wire.connect(w.address) as s:
        state = s.fetch()
        assert (state.reset and not state.ended) or state.status == 502, state
        assert len(state.heads) <= 1 and s.ping() and not s.violations
    assert w.wait_reason("upstream-malformed-body")["side"] == "upstream"


def test_malformed_request_stands_in_the_log(weir, backend):
    """No exchange comes of it, a record does."""
    w = weir(proxy_to(backend()))
    with h2wire.connect(w.address) as s:
        assert s.fetch(fields=[("X-Upper", "1")]).reset == "PROTOCOL_ERROR"
        assert s.ping()
    line = w.wait_reason("request-malformed")
    assert (line["client"], line["protocol"], line["listener"]) == ("127.0.0.1", "HTTP/2", "web")
    assert len(w.access_log()) == 1


def test_answers_made_by_weir(weir, backend):
    from backends import closed_port
    w = weir(proxy_to(closed_port()))
    with h2wire.connect(w.address) as s:
        state = s.fetch()
        assert state.status == 502 and "connect-refused" in state.get("proxy-status", "")
        assert state.get("x-request-id") and not s.violations


UPLOAD = 8 << 20


def enough(c):
    c.head()
    c.send(answer(b"enough", "413 Content Too Large"))
    c.wait_end()


def sends_on(s, state, count):
    """DATA behind the answer as the windows allow it, until as much is out or the stream is reset. How much."""
    sent = 0
    while sent < count and not state.reset and not s.closed and not s.goaway:
        room = min(16_384, count - sent, s.send_window, s.window_to(state.number))
        if room <= 0:
            assert s.step()
            continue
        s.send_window -= room
        s.send_windows[state.number] -= room
        s.send(h2wire.data(state.number, b"x" * room))
        sent += room
        s.drain()
    return sent


def test_early_answer_stops_the_upload(weir, backend):
    """A client that sends nothing more behind its answer: NO_ERROR (§8.1), after a while; others go on."""
    w = weir(proxy_to(backend(enough)))
    with h2wire.connect(w.address) as s:
        state = s.request(method="POST", end_stream=False)
        s.send(h2wire.data(1, b"x" * 1000))
        s.until(lambda: state.ended, "the answer")
        assert state.status == 413 and s.ping() and not state.reset
        s.until(lambda: state.reset, "the request to stop")
        assert state.reset == "NO_ERROR"
        assert s.ping()


@pytest.mark.parametrize("how", ["endpoint", "body-over-limit", "respond", "head-over-limit"])
def test_early_answer_lets_the_upload_end(weir, backend, how):
    """Clients that look at the answer when all of their body is out: served, and nothing is cut."""
    config = proxy_to(backend(enough), listener={"limits": {"head": "4KiB"}},
                      route={"limits": {"body": "1KiB"}} if how == "body-over-limit" else {})
    if how == "respond":
        config["routes"] = [{"name": "all", "respond": {"status": 200, "body": "enough"}}]
        del config["services"]
    w = weir(config)
    status = {"respond": 200, "head-over-limit": 431}.get(how, 413)
    with h2wire.connect(w.address) as s:
        s.until(lambda: s.acks, "the first exchange of SETTINGS")
        fields = [("content-length", str(UPLOAD))] + [("x-large", "x" * 5_000)] * (how == "head-over-limit")
        state = s.request(method="POST", fields=fields, end_stream=False)
        s.until(lambda: state.ended, "the answer")
        assert state.status == status
        assert sends_on(s, state, UPLOAD) == UPLOAD
        s.send(h2wire.data(1, b"", end_stream=True))
        assert s.ping() and not state.reset and not s.goaway and not s.violations
        assert s.fetch(method="POST", body=b"").status == (200 if how == "respond" else 413)


def test_client_that_sends_for_ever_behind_its_answer_is_reset(weir, backend):
    """At 16 MiB, or 2 s; what is thrown away is kept nowhere meanwhile."""
    w = weir(proxy_to(backend(enough)))
    with h2wire.connect(w.address) as s:
        s.until(lambda: s.acks, "the first exchange of SETTINGS")
        state = s.request(method="POST", end_stream=False)
        s.until(lambda: state.ended, "the answer")
        assert sends_on(s, state, 4 << 20) == 4 << 20 or state.reset
        assert w.metric("weir_worker_buffers_in_use") < 1 << 20
        assert sends_on(s, state, 64 << 20) <= 16 << 20
        assert state.reset == "NO_ERROR"
        assert s.ping() and not s.violations


def test_stop_waits_for_an_upload_that_is_answered(weir, backend):
    """An answered stream is still open for a GOAWAY, as long as it would have been without."""
    w = weir(proxy_to(backend(enough)))
    with h2wire.connect(w.address) as s:
        s.until(lambda: s.acks, "the first exchange of SETTINGS")
        state = s.request(method="POST", end_stream=False)
        s.until(lambda: state.ended, "the answer")
        w.signal(signal.SIGTERM)
        s.until(lambda: s.goaway, "GOAWAY")
        s.send(h2wire.data(1, b"x", end_stream=True))
        assert s.until_closed() and not state.reset and s.goaway[1] == "NO_ERROR"
    assert w.wait_exit() == 0


def test_cancelled_request_is_cancelled_upstream(weir, backend):
    b = backend(hang)
    w = weir(proxy_to(b))
    with h2wire.connect(w.address) as s:
        s.request("/a")
        b.wait_requests(1)
        s.send(h2wire.frame("RST_STREAM", 0, 1, b"\0\0\0\x08"))
        eventually(lambda: b.connections[0].end, "the connection to the endpoint ends")
        assert s.ping()


def test_client_that_leaves_cancels_all(weir, backend):
    b = backend(hang)
    w = weir(proxy_to(b))
    s = h2wire.connect(w.address)
    for n in range(5):
        s.request(f"/{n}")
    b.wait_requests(5)
    s.close()
    eventually(lambda: all(c.end for c in b.connections), "every connection to the endpoint ends")


def test_log_names_the_version(weir, backend):
    w = weir(proxy_to(backend()))
    with h2wire.connect(w.address) as s:
        s.fetch("/logged")
    line = w.wait_record(lambda line: line["target"] == "/logged")
    assert "HTTP/2" in json.dumps(line)


def test_both_versions_on_one_cleartext_listener(weir, backend):
    w = weir(proxy_to(backend()))
    assert w.get("/one").status == 200
    with h2wire.connect(w.address) as s:
        assert s.fetch("/two").status == 200


def test_fields_of_a_refused_request_count_in_the_table(weir, backend):
    """They are decompressed all the same: the table is the connection's (RFC 7541 §2.2)."""
    w = weir(proxy_to(backend(serve(mirror)), listener={"limits": {"streams": 1}}))
    indexed = b"\x40\x03x-a\x05first"  # literal with incremental indexing: entry 62
    with h2wire.connect(w.address) as s:
        s.until(lambda: s.acks, "the first exchange of SETTINGS")
        first = s.request("/open", method="POST", end_stream=False)
        refused = s.stream(s.next)
        s.send(h2wire.headers(s.next, h2wire.block(h2wire.pseudo()) + indexed))
        s.next += 2
        s.until(lambda: refused.over, "a refusal")
        assert refused.reset == "REFUSED_STREAM"
        s.send(h2wire.data(first.number, b"", True))
        s.until(lambda: first.over, "the first one's end")
        last = s.stream(s.next)
        s.send(h2wire.headers(s.next, h2wire.block(h2wire.pseudo()) + b"\xbe"))
        s.next += 2
        s.until(lambda: last.over or s.goaway, "an answer")
        assert last.status == 200 and b"first" in bytes(last.body), (last, s.goaway)


# Endings

def test_drain_says_goaway_and_finishes(weir, backend):
    """SIGTERM: GOAWAY NO_ERROR, the request under way is finished, then the connection ends (§6.8)."""
    def script(c):
        c.request()
        c.backend.release.wait()
        c.send(answer(b"late"))
    b = backend(script)
    w = weir(proxy_to(b))
    with h2wire.connect(w.address) as s:
        state = s.request()
        b.wait_requests(1)
        w.signal(signal.SIGTERM)
        s.until(lambda: s.goaway, "GOAWAY")
        assert s.goaway[1] == "NO_ERROR" and s.goaway[0] >= 1
        b.release.set()
        s.until(lambda: state.over, "the response")
        assert state.ended and state.body == b"late"
        assert s.until_closed()
    assert w.wait_exit() == 0


def test_request_that_crosses_the_goaway_is_served(weir, backend):
    """The first GOAWAY of a drain names the highest stream number, so that what is in flight still counts."""
    b = backend(hang)
    w = weir(proxy_to(b))
    with h2wire.connect(w.address) as s:
        s.request("/hold")
        b.wait_requests(1)
        w.signal(signal.SIGTERM)
        s.until(lambda: s.goaway, "GOAWAY")
        first = s.goaway[0]
        s.request("/crossing")
        if first > 1:
            b.wait_requests(2)
        else:
            assert first == 1


def test_idle_connection_is_closed_with_goaway(weir, backend):
    w = weir(proxy_to(backend(), listener={"timeout": {"idle": "300ms"}}))
    with h2wire.connect(w.address) as s:
        assert s.fetch().status == 200
        s.until(lambda: s.goaway, "GOAWAY")
        assert s.goaway[1] == "NO_ERROR"
        assert s.until_closed()


def test_silent_client_is_closed(weir, backend):
    """A preface that never comes, and one that comes and nothing after it."""
    w = weir(proxy_to(backend(), listener={"timeout": {"head": "300ms", "idle": "300ms"}}))
    half = h2wire.dial(w.address)
    half.sendall(h2wire.PREFACE[:20])
    with h2wire.connect(w.address) as s:
        assert s.until_closed()
    assert wire.Stream(half).rest() is not None


def test_clients_leave_as_the_stop_begins(weir, backend):
    """Both in the same turn of the loop: a connection that has just ended is told nothing any more."""
    w = weir(proxy_to(backend(), routes=[{"name": "all", "match": {"path": "/*"}, "respond": {"status": 200}}],
                      workers=1))
    sessions = [h2wire.connect(w.address) for _ in range(8)]
    for s in sessions:
        assert s.fetch("/").status == 200
    # Turns of the loop that are long enough for the end of a connection and the stop to meet in one.
    busy = [w.connect() for _ in range(100)]
    for stream in busy:
        stream.send(wire.head_bytes("GET / HTTP/1.1") * 200)
    for s in sessions:
        s.close()
    w.process.send_signal(signal.SIGTERM)
    for stream in busy:
        stream.close()
    assert w.wait_exit() == 0


# Age

def test_connection_is_retired_in_two_steps(weir, backend):
    """`max-connection-age`: streams are no longer asked for, then, a round trip later, no longer served (§6.8)."""
    b = backend(hang)
    w = weir(proxy_to(b, listener={"http2": {"max-connection-age": "1s"}},
                      routes=[{"name": "hang", "match": {"path": "/hang"}, "service": "origin"},
                              {"name": "rest", "respond": {"status": 200}}]))
    with h2wire.connect(w.address, auto=False) as s:
        s.until(lambda: s.got_settings, "SETTINGS")
        s.send(h2wire.settings(ack=True))
        assert s.fetch("/").status == 200
        held = s.request("/hang")
        b.wait_requests(1)
        s.until(lambda: s.goaway, "the first GOAWAY")
        assert s.goaway[:2] == ((1 << 31) - 1, "NO_ERROR")
        crossing = s.request("/crossing")
        s.until(lambda: crossing.over, "what crossed the first GOAWAY is served")
        assert crossing.status == 200 and not held.over
        kinds = [f.kind for f in s.frames]
        pings = [f for f in s.frames if f.kind == h2wire.TYPES["PING"]]
        assert pings and kinds.index(h2wire.TYPES["GOAWAY"]) < kinds.index(h2wire.TYPES["PING"]), \
            "the round trip is measured, behind the first GOAWAY"
        s.send(frame("PING", h2wire.ACK, 0, pings[0].payload))
        s.until(lambda: s.goaway[0] != (1 << 31) - 1, "the second GOAWAY")
        assert s.goaway[:2] == (crossing.number, "NO_ERROR")
        late = s.request("/late")
        assert not s.until(lambda: late.over or s.closed, None, 0.3), "not served, and nothing else happens"
        s.send(frame("RST_STREAM", 0, held.number, b"\0\0\0\x08"))
        assert s.until_closed(), "closed with its last stream"
        assert not late.over


def test_retired_connection_of_a_client_that_answers_no_ping(weir, backend):
    w = weir(proxy_to(backend(), listener={"http2": {"max-connection-age": "1s"}}))
    with h2wire.connect(w.address, auto=False) as s:
        s.send(h2wire.settings(ack=True))
        assert s.fetch("/").status == 200
        assert s.until_closed() and s.goaway[:2] == (1, "NO_ERROR")


def test_connections_do_not_age_by_themselves(weir, backend):
    w = weir(proxy_to(backend(), listener={"http2": {"max-connection-age": "none"}}))
    with h2wire.connect(w.address) as s:
        assert s.fetch("/").status == 200
        assert not s.until(lambda: s.goaway or s.closed, None, 1.5)


def test_requests_go_on_while_connections_are_retired(weir, backend):
    """A client that opens a new connection when told to loses nothing."""
    w = weir(proxy_to(backend(), listener={"http2": {"max-connection-age": "1s"}}))
    connections, done = 1, 0
    s = h2wire.connect(w.address)
    while connections < 3:
        if s.goaway or s.closed:
            s.close()
            s, connections = h2wire.connect(w.address), connections + 1
        state = s.request(f"/{done}")
        s.until(lambda: state.over or s.closed, "a response")
        if not state.over:  # behind the second GOAWAY: never processed, to be asked again
            assert s.goaway and state.number > s.goaway[0]
            continue
        assert state.status == 200
        done += 1
    s.close()


# Settings

def test_settings_that_are_never_acknowledged(weir, backend):
    """A client that leaves our SETTINGS unanswered is told SETTINGS_TIMEOUT (§6.5.3)."""
    w = weir(proxy_to(backend(), listener={"timeout": {"head": "500ms"}}))
    with h2wire.connect(w.address, auto=False) as s:
        assert s.fetch("/").status == 200, "nothing waits for it"
        s.until(lambda: s.goaway, "an end")
        assert s.goaway[1] == "SETTINGS_TIMEOUT"
        assert s.until_closed()
    assert w.wait_reason("session-violation")
    assert w.wait_log("SETTINGS not acknowledged in time")
