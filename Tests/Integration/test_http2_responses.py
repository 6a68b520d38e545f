"""What an HTTP/2 endpoint may send instead of a response (http2-responses/*.case).

The client speaks HTTP/1.1, so that only the upstream side is under test. The origin performs the
actions of the case (h2cases.py; `{s}` is the request's stream) when the request is complete; with
`greeting: none` it has not sent SETTINGS before. `expect` is what the client must see:

    502            a response made by Weir, whose Proxy-Status names a reason that begins with `reason`
    200 (other)    a complete response with `body`, and with `trailer`
    abort          a started response that is visibly cut: never a complete message
"""

import gzip
import os
import socket
import threading
import time

import pytest

import h2cases
import h2wire
import wire
from backends import Backend
from harness import assert_made_by_weir, proxy_to
from wire import eventually

pytestmark = [pytest.mark.bytes]


@pytest.fixture
def weir(reused_weir):
    return reused_weir

CORPUS = h2cases.load("http2-responses")
BY_NAME = {case["case"]: case for case in CORPUS}


class Origin(Backend):
    """A frame-level HTTP/2 origin: performs cases, and answers every other request with "next"."""

    def __init__(self, greeting=True, answer=None):
        self.greeting, self.answer, self.seen, self.violations = greeting, answer, [], []
        super().__init__(self.serve)

    def serve(self, c):
        session = h2wire.Session(c.sock, server=True, preface=self.greeting)
        served = set()
        # What came while a case was performed is looked at before the next wait.
        while session.step(600):
            while any(state.over and state.head is not None and number % 2 and number not in served
                      for number, state in session.streams.items()):
                if not self.look(session, served):
                    return
            self.violations += session.violations
            session.violations.clear()

    def look(self, session, served):
        """Answer what has arrived; False when the connection is gone."""
        for number, state in list(session.streams.items()):
            if number % 2 and state.head is not None and number not in served and state.over:
                served.add(number)
                self.respond(session, number, state)
                if session.sock.fileno() < 0:
                    return False
        return True

    def respond(self, session, number, state):
        target = state.head.get(":path")
        self.seen.append((session, number, state))
        case = BY_NAME.get(target.removeprefix("/case/").removeprefix("/quiet/"))
        if case:
            h2cases.perform(session, [line.replace("{s}", str(number)) for line in h2cases.script(case["text"])])
        elif self.answer:
            self.answer(session, number, state)
        else:
            session.send(h2wire.headers(number, [(":status", "200")], False) + h2wire.data(number, b"next", True))


@pytest.fixture(scope="module")
def site(shared_weir):
    with Origin() as origin, Origin(greeting=False) as quiet:
        yield shared_weir(proxy_to(
            origin, service={"protocol": "h2"},
            routes=[{"name": "all", "match": {"path": "/*"}, "service": "origin",
                     "timeout": {"head": "1s", "idle": "1s"}},
                    {"name": "quiet", "match": {"path": "/quiet/*"}, "service": "quiet",
                     "timeout": {"head": "1s", "idle": "1s"}}],
            services={"quiet": {"endpoints": [quiet.endpoint], "protocol": "h2"}})), origin


@pytest.mark.harness_only
def test_corpus_is_large_and_balanced():
    assert len(CORPUS) >= 70
    assert sum(case["expect"] == "200" for case in CORPUS) >= 12


@pytest.mark.parametrize("case", CORPUS, ids=repr)
def test_response(site, case):
    weir, origin = site
    target = ("/quiet/" if case.get("greeting") else "/case/") + case["case"]
    allowed = case["expect"].split("|")
    stream = weir.connect()
    stream.send(wire.head_bytes(f"GET {target} HTTP/1.1", [("TE", "trailers"), ("Connection", "TE")]))
    try:
        response = stream.response()
    except wire.Ended as end:
        assert "abort" in allowed, f"the message was cut: {end}"
        assert end.message is not None and end.message.status == 200, "cut before a head"
    else:
        assert str(response.status) in allowed, (response, response.body[:300])
        if response.status >= 500:
            assert_made_by_weir(response, case.get("reason", "upstream-"))
        elif "body" in case:
            assert response.body.decode() == case["body"]
        if "trailer" in case:
            name, _, value = case["trailer"].partition("=")
            assert response.trailers.get(name) == value, response.trailers
        assert "set-cookie" not in response.fields or case["case"] == "set-cookie-twice"
        if case["case"] == "set-cookie-twice":
            assert response.fields.all("set-cookie") == ["a=1", "b=2"]
    stream.close()
    for _ in range(2):
        assert weir.get("/next").body == b"next", "the next client gets its own response"
    assert not origin.violations, f"Weir broke the protocol upstream: {origin.violations}"


# What the corpus cannot say

def test_no_request_is_held_back(weir):
    """Requests one after another on one connection: each goes out at once, not with the next event."""
    with Origin() as origin:
        w = weir(proxy_to(origin, service={"protocol": "h2"}, workers=1))
        for n in range(300):
            begin = time.monotonic()
            assert w.get("/case/plain" if n % 3 == 0 else f"/next/{n}").status == 200
            assert time.monotonic() - begin < 2, f"request {n}"


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("count", [1, 2, 12, 40])
def test_each_request_is_sent_once(weir, count, method):
    """Also those that wait for the connection to be made: a request that goes out twice is two orders."""
    with Origin(answer=lambda *_: None) as origin:
        w = weir(proxy_to(origin, service={"protocol": "h2"}, workers=1))
        streams = [w.connect() for _ in range(count)]
        for n, stream in enumerate(streams):
            body = b"body" if method == "POST" else b""
            stream.send(wire.head_bytes(f"{method} /{n} HTTP/1.1", [("Content-Length", 4)] if body else []) + body)
        eventually(lambda: len({state.head.get(":path") for _, _, state in origin.seen}) == count, "all arrive")
        time.sleep(0.2)
        assert sorted(state.head.get(":path") for _, _, state in origin.seen) == sorted(f"/{n}" for n in range(count))


def test_requests_share_a_connection(weir):
    """Requests at the same time become streams of one connection, not connections (RFC 9113 §9.1)."""
    together = threading.Event()

    def answer(session, number, state):
        session.waiting = getattr(session, "waiting", []) + [number]
        if len(session.waiting) == 20:
            for each in session.waiting:
                session.send(h2wire.headers(each, [(":status", "204")]))
            together.set()
    with Origin(answer=answer) as origin:
        w = weir(proxy_to(origin, service={"protocol": "h2"}, workers=1))
        streams = [w.connect() for _ in range(20)]
        for stream in streams:
            stream.send(wire.head_bytes("GET / HTTP/1.1"))
        assert [stream.response().status for stream in streams] == [204] * 20
        assert together.wait(wire.PATIENCE) and len(origin.connections) <= 2


def test_max_concurrent_streams_of_the_endpoint_is_kept(weir):
    """What is over the endpoint's limit waits or takes another connection; it is not sent (§5.1.2)."""
    open_now, most = {}, []
    lock = threading.Lock()

    def answer(session, number, state):
        with lock:
            open_now.setdefault(session, set()).add(number)
            most.append(len(open_now[session]))
        threading.Timer(0.05, finish, (session, number)).start()

    def finish(session, number):
        with lock:
            open_now[session].discard(number)
            session.send(h2wire.headers(number, [(":status", "204")]))

    class Limited(Origin):
        def serve(self, c):
            c.send(h2wire.settings(MAX_CONCURRENT_STREAMS=3))
            super().serve(c)
    with Limited(greeting=False, answer=answer) as origin:
        w = weir(proxy_to(origin, service={"protocol": "h2"}, workers=1))
        assert w.get("/first").status == 204  # its SETTINGS are known from here on
        streams = [w.connect() for _ in range(12)]
        for stream in streams:
            stream.send(wire.head_bytes("GET / HTTP/1.1"))
        assert [stream.response().status for stream in streams] == [204] * 12
        assert max(most) <= 3


def test_refused_stream_is_tried_again(weir):
    """REFUSED_STREAM says that nothing was processed: any method may be repeated (§8.7)."""
    refused = []

    def answer(session, number, state):
        if not refused:
            refused.append(number)
            session.send(h2wire.frame("RST_STREAM", 0, number, b"\0\0\0\x07"))
        else:
            session.send(h2wire.headers(number, [(":status", "204")]))
    with Origin(answer=answer) as one, Origin() as two:
        w = weir(proxy_to(one, two, service={"protocol": "h2", "balance": "round-robin"}, workers=1))
        statuses = [w.get("/", method="POST", body=b"x").status for _ in range(4)]
        assert refused and set(statuses) <= {200, 204}


def test_goaway_moves_requests_elsewhere(weir):
    """Streams over GOAWAY's last number were not processed and go to another connection (§6.8)."""
    said = []

    def answer(session, number, state):
        if not said:
            said.append(number)
            session.send(h2wire.frame("GOAWAY", 0, 0, (0).to_bytes(4, "big") + b"\0\0\0\0"))
        else:
            session.send(h2wire.headers(number, [(":status", "204")]))
    with Origin(answer=answer) as origin:
        w = weir(proxy_to(origin, service={"protocol": "h2"}))
        assert w.get("/", method="POST", body=b"x").status == 204
        assert len(origin.connections) == 2, "the connection that said GOAWAY gets no new stream"


@pytest.mark.parametrize("coded", [False, True], ids=["plain", "coded"])
@pytest.mark.parametrize("kind", ["whole", "cut"])
def test_a_connection_that_ends_while_the_client_takes_nothing(weir, kind, coded):
    """What has come by then is the client's, all of it; what has not makes a cut; and nobody else's bytes are among it."""
    sent, gone = bytearray(), threading.Event()

    def answer(session, number, state):
        if state.head.get(":path") != "/long":
            session.send(h2wire.headers(number, [(":status", "200")], False) + h2wire.data(number, b"next", True))
            return
        session.send(h2wire.headers(number, [(":status", "200"), ("content-type", "text/plain")], False))
        while True:
            room = min(16_384, session.send_window, session.window_to(number))
            if room <= 0:
                try:
                    session.step(1)
                except TimeoutError:
                    break  # neither the client nor Weir takes more
                continue
            block = os.urandom(room)
            session.send_window -= room
            session.send_windows[number] -= room
            session.send(h2wire.data(number, block))
            sent.extend(block)
        if kind == "whole":
            session.send(h2wire.data(number, b"", True))
        session.sock.shutdown(socket.SHUT_RDWR)
        session.sock.close()
        gone.set()

    with Origin(answer=answer) as origin:
        w = weir(proxy_to(origin, service={"protocol": "h2"}, workers=1,
                          route={"compression": {"encodings": ["gzip"]}} if coded else {}))
        ended = lambda: w.metric("weir_endpoint_connections_closed_total")
        before = ended()
        stream = w.connect()
        stream.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        stream.send(wire.head_bytes("GET /long HTTP/1.1", [("Accept-Encoding", "gzip")]))
        assert gone.wait(wire.PATIENCE)
        eventually(lambda: ended() > before, "Weir has seen its end")
        assert [w.get("/next").body for _ in range(3)] == [b"next"] * 3, "others take its place"
        try:
            response = stream.response()
        except wire.Ended as end:
            assert kind == "cut", end
            assert coded or bytes(sent).startswith(bytes(end.message.body))
        else:
            assert kind == "whole"
            body = gzip.decompress(response.body) if coded else response.body
            assert body == bytes(sent)
            assert (response.get("Content-Encoding") == "gzip") == coded


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_upload_keeps_to_the_endpoints_windows(weir, framing):
    """The body goes out within the windows, and completely once they open."""
    size = 300_000

    def answer(session, number, state):
        session.send(h2wire.headers(number, [(":status", "200")], False)
                     + h2wire.data(number, str(state.count).encode(), True))

    class Stingy(Origin):
        def serve(self, c):
            session = h2wire.Session(c.sock, server=True, credit=False, INITIAL_WINDOW_SIZE=1000)
            session.until(lambda: session.stream(1).over, "a first request, so that the window is known")
            self.answer(session, 1, session.stream(1))
            session.until(lambda: session.stream(3).count == 1000, "a full window")
            assert session.ping()
            self.used = session.stream(3).count
            session.give(0, 1 << 20)
            session.give(3, 1 << 20)
            session.until(lambda: session.stream(3).over, "the rest")
            self.violations += session.violations
            self.answer(session, 3, session.stream(3))
            session.until_closed()
    with Stingy(answer=answer) as origin:
        w = weir(proxy_to(origin, service={"protocol": "h2"}, workers=1))
        assert w.get("/").status == 200
        stream = w.connect()
        if framing == "length":
            stream.send(wire.head_bytes("POST / HTTP/1.1", [("Content-Length", size)]) + b"x" * size)
        else:
            stream.send(wire.head_bytes("POST / HTTP/1.1", [("Transfer-Encoding", "chunked")])
                        + (b"3e8\r\n" + b"x" * 1000 + b"\r\n") * (size // 1000) + b"0\r\n\r\n")
        assert stream.response().body == str(size).encode()
        assert origin.used in (1000, 65535) and not origin.violations


def test_requests_are_well_formed(weir):
    """Fields of the connection stay here; Host becomes :authority; names are lower case; trailers pass."""
    heads = []

    def answer(session, number, state):
        heads.append((state.head, state.trailers))
        session.send(h2wire.headers(number, [(":status", "204")]))
    with Origin(answer=answer) as origin:
        w = weir(proxy_to(origin, service={"protocol": "h2"}))
        stream = w.connect()
        stream.send(b"POST /a?b HTTP/1.1\r\nHost: Site.example:81\r\nX-Mixed: 1\r\nConnection: keep-alive, X-Hop\r\n"
                    b"X-Hop: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\nCookie: a=1; b=2\r\nTransfer-Encoding: chunked\r\n"
                    b"\r\n4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n")
        assert stream.response().status == 204
        head, trailers = heads[0]
        assert (head.get(":method"), head.get(":path"), head.get(":scheme")) == ("POST", "/a?b", "http")
        assert head.get(":authority").lower() == "site.example:81" and "host" not in head
        assert head.get("x-mixed") == "1" and "x-hop" not in head and "keep-alive" not in head
        assert dict(trailers) == {"x-sum": "42"} and not origin.violations


@pytest.mark.parametrize("body", [b"", b"x" * 100, b"x" * 100_000], ids=len)
@pytest.mark.parametrize("version", ["h1", "h2"])
def test_head_alone_is_an_answer(weir, version, body):
    """HEADERS with END_STREAM, with and without a request body before it: gRPC's way to say what failed."""
    def answer(session, number, state):
        session.send(h2wire.headers(number, [(":status", "200"), ("grpc-status", "5")]))
    with Origin(answer=answer) as origin:
        w = weir(proxy_to(origin, service={"protocol": "h2"}))
        if version == "h1":
            response = w.get("/", method="POST", body=body)
            assert response.status == 200 and response.get("grpc-status") == "5" and response.body == b""
        else:
            with h2wire.connect(w.address) as s:
                state = s.fetch(method="POST", body=body)
                assert state.status == 200 and state.ended and state.get("grpc-status") == "5", state
                assert state.reset is None and not s.violations


@pytest.mark.parametrize("body", [b"", b"x" * 100, b"x" * 100_000], ids=len)
def test_trailers_behind_a_body_of_known_length(weir, body):
    """A length does not end a request: its stream does, and trailers may stand before that (§8.1)."""
    with Origin() as origin:
        w = weir(proxy_to(origin, service={"protocol": "h2"}))
        with h2wire.connect(w.address) as s:
            state = s.fetch(method="POST", fields=[("content-length", str(len(body)))], body=body,
                            trailers=[("x-sum", "42")])
            assert state.status == 200 and not s.violations
        _, _, seen = origin.seen[0]
        assert seen.body == body and dict(seen.trailers) == {"x-sum": "42"} and not origin.violations


@pytest.mark.parametrize("version", ["h1", "h2"])
@pytest.mark.parametrize("rest", [b"", b"body"], ids=["end", "data"])
def test_response_to_head_is_whole_when_its_stream_is(weir, version, rest):
    """HEAD: the length of what is not sent, and then an end, or DATA that makes it malformed (§8.1.1)."""
    def respond(session, number, state):
        session.send(h2wire.headers(number, [(":status", "200"), ("content-length", "4")], False))
        assert session.ping()
        session.send(h2wire.data(number, rest, True))
    with Origin(answer=respond) as origin:
        w = weir(proxy_to(origin, service={"protocol": "h2"}))
        if version == "h1":
            response = w.get("/", method="HEAD")
            status, length, reason = response.status, response.get("content-length"), response.get("proxy-status", "")
        else:
            with h2wire.connect(w.address) as s:
                state = s.fetch(method="HEAD")
                assert state.ended and not state.body and not s.violations
                status, length, reason = state.status, state.get("content-length"), state.get("proxy-status", "")
        if rest:
            assert status == 502 and "upstream-malformed-head" in reason
        else:
            assert status == 200 and length == "4"


def test_client_that_leaves_resets_only_its_stream(weir):
    with Origin(answer=lambda session, number, state: None) as origin:
        w = weir(proxy_to(origin, service={"protocol": "h2"}, workers=1))
        first, second = w.connect(), w.connect()
        for stream in (first, second):
            stream.send(wire.head_bytes("GET / HTTP/1.1"))
        eventually(lambda: len(origin.seen) >= 2, "both arrive")
        first.close()
        eventually(lambda: any(state.reset for _, _, state in origin.seen), "one stream is reset")
        left = [(session, number) for session, number, state in origin.seen if not state.reset]
        assert len(left) == 1
        # The other one is answered as if nothing had happened.
        left[0][0].send(h2wire.headers(left[0][1], [(":status", "204")]))
        assert second.response().status == 204


@pytest.mark.slow
def test_endless_interim_and_control_frames_of_an_endpoint_are_bounded(weir):
    """An endpoint may flood as well: PING, SETTINGS, empty DATA without an end cost no memory."""
    import itertools

    def answer(session, number, state):
        kinds = [h2wire.frame("PING", 0, 0, b"12345678"), h2wire.settings(HEADER_TABLE_SIZE=100),
                 h2wire.data(number, b"")]
        session.send(h2wire.headers(number, [(":status", "200")], False))
        for kind in itertools.islice(itertools.cycle(kinds), 600):
            if not session.send(kind * 100):
                return
            session.drain()
    with Origin(answer=answer) as origin:
        w = weir(proxy_to(origin, service={"protocol": "h2"}, route={"timeout": {"idle": "2s"}}))
        before = w.rss_kib()
        stream = w.connect()
        stream.send(wire.head_bytes("GET / HTTP/1.1"))
        try:
            stream.response()
        except wire.Ended:
            pass
        assert w.rss_kib() - before < 16 * 1024


def test_rules_see_every_field_of_a_request(weir):
    """Rules run over the fields Weir writes before they become a stream's (test_fields.py has the rest)."""
    with Origin() as origin:
        w = weir(proxy_to(origin, service={"protocol": "h2"}, route={"headers": {"request": {
            "set": {"X-Forwarded-Proto": "https", "X-Forwarded-For": "rule", "Host": "b.example"}, "remove": ["Via"]}}}))
        assert w.get("/", [("X-Forwarded-Proto", "wss")]).status == 200
        head = origin.seen[0][2].head
    assert head.all("x-forwarded-proto") == ["https"] and head.all("x-forwarded-for") == ["rule"]
    assert head.all(":authority") == ["b.example"] and "via" not in head and "host" not in head
