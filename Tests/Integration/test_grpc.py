"""gRPC through Weir: grpcio's own client and server in all four modes, statuses, deadlines.

Messages are plain bytes (no protobuf compiler is needed); each call is made direct as well where what
is right is in doubt. Client and server speak HTTP/2 with Weir, in cleartext by prior knowledge or TLS.
"""

import concurrent.futures
import re
import socket
import threading
import time

import grpc
import pytest

import certs
import h2wire
import harness
from backends import closed_port, fixed, hang
from harness import proxy_to
from test_http2_responses import Origin
from wire import eventually

pytestmark = [pytest.mark.bytes]

CODE = grpc.StatusCode


class Service:
    """The test service: what it was asked, and what it does, by the name of the method."""

    def __init__(self):
        self.calls, self.cancelled, self.release = [], threading.Event(), threading.Event()
        self.deadlines = []

    def note(self, name, context):
        self.calls.append((name, dict(context.invocation_metadata())))
        self.deadlines.append(context.time_remaining())

    def unary(self, request, context):
        self.note("unary", context)
        context.send_initial_metadata((("x-first", "1"),))
        context.set_trailing_metadata((("x-last", "2"), ("x-bin-bin", b"\0\xff")))
        return request

    def status(self, request, context):
        """Ends with the status and message that the request names: b"5 not here"."""
        number, _, words = request.decode().partition(" ")
        code = next(c for c in CODE if c.value[0] == int(number))
        context.abort(code, words)

    def hang(self, request, context):
        self.note("hang", context)
        context.add_callback(self.cancelled.set)
        self.release.wait(20)
        return request

    def up(self, requests, context):
        self.note("up", context)
        count = total = 0
        for request in requests:
            count, total = count + 1, total + len(request)
        return f"{count} {total}".encode()

    def down(self, request, context):
        self.note("down", context)
        count, size = map(int, request.split())
        context.add_callback(self.cancelled.set)
        for n in range(count):
            yield bytes([n % 256]) * size

    def fail_midway(self, request, context):
        yield b"one"
        yield b"two"
        context.set_trailing_metadata((("x-why", "midway"),))
        context.abort(CODE.RESOURCE_EXHAUSTED, "enough: ä%")

    def slowly(self, request, context):
        context.add_callback(self.cancelled.set)
        for n in range(100):
            if not context.is_active():
                return
            yield b"%d" % n
            self.release.wait(0.05)

    def chat(self, requests, context):
        self.note("chat", context)
        for request in requests:
            if request == b"quit":
                return
            yield request

    def handler(self):
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        return grpc.method_handlers_generic_handler("t.S", {
            "Unary": unary(self.unary), "Status": unary(self.status), "Hang": unary(self.hang),
            "Up": grpc.stream_unary_rpc_method_handler(self.up), "Down": stream(self.down),
            "FailMidway": stream(self.fail_midway), "Slowly": stream(self.slowly),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat)})


LARGE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Served:
    """The service on a free port, in cleartext or with the certificate `tls`."""

    def __init__(self, tls=None):
        self.service = Service()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(16), options=LARGE)
        self.server.add_generic_rpc_handlers((self.service.handler(),))
        self.port = self.server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials(
            [(tls.key_bytes, tls.cert_bytes)])) if tls else self.server.add_insecure_port("127.0.0.1:0")
        self.endpoint = f"127.0.0.1:{self.port}"
        self.server.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.service.release.set()
        self.server.stop(0).wait()


class Client:
    def __init__(self, address, credentials=None):
        target = "%s:%d" % address
        options = LARGE + [("grpc.ssl_target_name_override", "a.example"), ("grpc.use_local_subchannel_pool", 1)]
        self.channel = grpc.secure_channel(target, credentials, options) if credentials \
            else grpc.insecure_channel(target, options)

    def __getattr__(self, name):
        if not name[0].isupper():
            raise AttributeError(name)
        kind = {"Up": "stream_unary", "Down": "unary_stream", "FailMidway": "unary_stream",
                "Slowly": "unary_stream", "Chat": "stream_stream"}.get(name, "unary_unary")
        return getattr(self.channel, kind)(f"/t.S/{name}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()


def grpc_to(*endpoints, **more):
    return harness.merge(proxy_to(*endpoints, service={"protocol": "h2"}), more)


@pytest.fixture
def served():
    with Served() as s:
        yield s


@pytest.fixture
def client(weir, served):
    """A client through Weir to the service."""
    w = weir(grpc_to(served))
    with Client(w.address) as c:
        c.weir, c.service = w, served.service
        yield c


def code_of(call):
    with pytest.raises(grpc.RpcError) as caught:
        result = call()
        if hasattr(result, "__iter__") and not isinstance(result, bytes):
            list(result)
    return caught.value


def test_unary(client):
    response, call = client.Unary.with_call(b"hello", metadata=(("x-mine", "7"), ("x-mine-bin", b"\1\2")), timeout=10)
    assert response == b"hello" and call.code() == CODE.OK
    assert ("x-first", "1") in call.initial_metadata()
    assert {("x-last", "2"), ("x-bin-bin", b"\0\xff")} <= set(call.trailing_metadata())
    seen = client.service.calls[0][1]
    assert seen["x-mine"] == "7" and seen["x-mine-bin"] == b"\1\2"


def test_empty_and_large_messages(client):
    for size in (0, 1, 16_384, 65_536, 1 << 20, 12 << 20):
        assert client.Unary(b"x" * size, timeout=30) == b"x" * size


def test_client_streaming(client):
    assert client.Up((b"x" * n for n in range(1000)), timeout=20) == b"1000 499500"
    assert client.Up(iter(()), timeout=10) == b"0 0"


def test_server_streaming(client):
    messages = list(client.Down(b"500 1000", timeout=20))
    assert messages == [bytes([n % 256]) * 1000 for n in range(500)]
    assert list(client.Down(b"0 1", timeout=10)) == []
    assert sum(len(m) for m in client.Down(b"100 300000", timeout=30)) == 30_000_000


def test_bidirectional_streaming_message_by_message(client):
    """Each answer arrives before the next question is asked: nothing is held back."""
    questions, answered = [b"a", b"bb", b"", b"x" * 100_000, b"quit"], threading.Semaphore(1)

    def ask():
        for question in questions:
            assert answered.acquire(timeout=10)
            yield question
    answers = []
    for reply in client.Chat(ask(), timeout=30):
        answers.append(reply)
        answered.release()
    assert answers == questions[:-1]


def paused(*steps):
    """Messages, and silences between them in seconds."""
    for step in steps:
        if isinstance(step, bytes):
            yield step
        else:
            time.sleep(step)


@pytest.mark.parametrize("method", ["Chat", "Up"])
def test_quiet_call_goes_on(weir, served, method):
    """A call says something when it has something to say, answered (Chat) or not yet (Up)."""
    w = weir(grpc_to(served, listeners={"web": {"timeout": {"body": "1s"}}}))
    with Client(w.address) as c:
        call = getattr(c, method)(paused(b"a", 2.0, b"b"), timeout=20)
        assert (list(call) == [b"a", b"b"]) if method == "Chat" else call == b"2 2"


def test_quiet_call_on_the_default_settings(client):
    """Longer than a window of the minimum rate."""
    assert list(client.Chat(paused(b"a", 11.0, b"b"), timeout=30)) == [b"a", b"b"]


def test_first_message_of_a_stream_is_not_held_back(client):
    stream = client.Slowly(b"", timeout=20)
    begin = time.monotonic()
    assert next(stream) == b"0" and time.monotonic() - begin < 2
    stream.cancel()


@pytest.mark.parametrize("number", range(1, 17))
def test_statuses_pass(client, number):
    error = code_of(lambda: client.Status(f"{number} wörds 100%".encode(), timeout=10))
    assert error.code().value[0] == number and error.details() == "wörds 100%"


def test_status_in_the_middle_of_a_stream(client):
    """The status comes behind data: the messages before it arrive, and its trailers are intact."""
    got = []
    with pytest.raises(grpc.RpcError) as caught:
        for message in client.FailMidway(b"", timeout=10):
            got.append(message)
    error = caught.value
    assert got == [b"one", b"two"] and error.code() == CODE.RESOURCE_EXHAUSTED
    assert error.details() == "enough: ä%" and ("x-why", "midway") in error.trailing_metadata()


def test_unknown_method(client):
    assert code_of(lambda: client.channel.unary_unary("/t.S/Nothing")(b"", timeout=10)).code() == CODE.UNIMPLEMENTED


def test_deadline_is_passed_on_and_kept(client):
    begin = time.monotonic()
    error = code_of(lambda: client.Hang(b"", timeout=0.8))
    assert error.code() == CODE.DEADLINE_EXCEEDED and time.monotonic() - begin < 3
    # grpcio rounds what is left up, to three digits.
    assert 0 < client.service.deadlines[0] < 0.81
    assert client.service.cancelled.wait(5), "the server learns that nobody waits any more"


def test_deadline_is_kept_by_weir_itself(weir):
    """A client without a clock of its own: Weir ends the call when grpc-timeout has passed."""
    with Origin(answer=lambda *_: None) as origin:
        w = weir(grpc_to(origin))
        with h2wire.connect(w.address) as s:
            begin = time.monotonic()
            state = s.fetch("/t.S/Hang", method="POST", body=b"\0\0\0\0\0", fields=[
                ("content-type", "application/grpc"), ("te", "trailers"), ("grpc-timeout", "300m")])
            assert 0.2 < time.monotonic() - begin < 3
            assert status_of(state) == CODE.DEADLINE_EXCEEDED
        eventually(lambda: origin.seen and origin.seen[0][2].reset, "the call is cancelled upstream")


CALL = [("content-type", "application/grpc"), ("te", "trailers")]
NANOSECONDS = {"n": 1, "u": 1_000, "m": 10**6, "S": 10**9, "M": 60 * 10**9, "H": 3600 * 10**9}


def told(state):
    """The deadline an endpoint was told, in seconds."""
    text = state.head.get("grpc-timeout")
    assert re.fullmatch(r"\d{1,8}[HMSmun]", text), text
    return int(text[:-1]) * NANOSECONDS[text[-1]] / 1e9


def ok(session, number, state):
    session.send(h2wire.headers(number, [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "0")]))


def call(session, timeout, **options):
    return session.fetch("/t.S/Unary", method="POST", body=b"\0\0\0\0\0", fields=CALL + [("grpc-timeout", timeout)],
                         **options)


def test_deadline_is_lowered_by_the_time_that_has_passed(weir):
    """The body of a call comes late and is waited for: the endpoint is told what is left."""
    with Origin(answer=ok) as origin:
        w = weir(grpc_to(origin))
        with h2wire.connect(w.address) as s:
            state = s.request("/t.S/Unary", method="POST", end_stream=False, fields=CALL + [
                ("grpc-timeout", "20S"), ("content-length", "5")])
            assert s.ping(), "the head has been read"
            begin = time.monotonic()
            time.sleep(0.3)
            late = time.monotonic() - begin
            s.send_body(state.number, b"\0\0\0\0\0")
            s.until(lambda: state.over, "the answer")
        # Weir reads its clock once a turn of the loop.
        assert 1 < told(origin.seen[0][2]) <= 20 - late + 0.05


def test_deadline_is_lowered_to_that_of_the_route(weir):
    with Origin(answer=ok) as origin:
        w = weir(grpc_to(origin, routes=[
            {"name": "all", "match": {"path": "/*"}, "service": "origin", "timeout": {"total": "15s"}}]))
        with h2wire.connect(w.address) as s:
            for timeout, most in (("1H", 15), ("99999999H", 15), ("10S", 10), ("9000m", 9)):
                assert status_of(call(s, timeout)) == CODE.OK
                assert most - 5 < told(origin.seen[-1][2]) <= most
            assert s.fetch("/t.S/Unary", method="POST", body=b"\0\0\0\0\0", fields=CALL).status == 200
            assert "grpc-timeout" not in origin.seen[-1][2].head, "a client that said nothing"
            call(s, "1s")
            assert origin.seen[-1][2].head.get("grpc-timeout") == "1s", "malformed: the endpoint's to refuse"


def test_deadline_without_a_limit_of_the_route(weir):
    with Origin(answer=ok) as origin:
        w = weir(grpc_to(origin))
        with h2wire.connect(w.address) as s:
            for timeout, least in (("99999999H", 1e9), ("1000000M", 5e7), ("100S", 90)):
                call(s, timeout)
                assert told(origin.seen[-1][2]) > least


def test_deadline_is_lowered_for_each_attempt(weir):
    """The endpoint refuses the first attempt after a while: the second has less time."""
    def late_refusal(session, number, state):
        if len(origin.seen) > 1:
            ok(session, number, state)
        else:
            time.sleep(0.3)
            session.send(h2wire.frame("RST_STREAM", 0, number, h2wire.CODES["REFUSED_STREAM"].to_bytes(4, "big")))
    with Origin(answer=late_refusal) as origin:
        w = weir(grpc_to(origin))
        with h2wire.connect(w.address) as s:
            # In one piece: what comes with the head is held, and can be sent again.
            s.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            state = s.request("/t.S/Unary", method="POST", body=b"\0\0\0\0\0", fields=CALL + [("grpc-timeout", "20S")])
            s.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
            s.until(lambda: state.over, "the answer")
            assert status_of(state) == CODE.OK
        first, second = (told(seen[2]) for seen in origin.seen)
        # Weir reads its clock once a turn of the loop.
        assert second <= first - 0.25


@pytest.mark.parametrize("timeout", ["0S", "0n", "00000000H"])
def test_deadline_that_is_over_asks_no_endpoint(weir, timeout):
    with Origin(answer=ok) as origin:
        w = weir(grpc_to(origin))
        with h2wire.connect(w.address) as s:
            assert status_of(call(s, timeout)) == CODE.DEADLINE_EXCEEDED
            line = w.wait_reason("total-timeout")
            assert line["attempts"] == 0 and not origin.seen
            assert status_of(call(s, "20S")) == CODE.OK


def test_cancellation_reaches_the_server(client):
    call = client.Hang.future(b"", timeout=30)
    eventually(lambda: client.service.calls, "the call arrives")
    call.cancel()
    assert client.service.cancelled.wait(5)


def test_cancellation_of_a_stream(client):
    stream = client.Slowly(b"", timeout=30)
    next(stream)
    stream.cancel()
    assert client.service.cancelled.wait(5)


def test_hundred_calls_at_once(client):
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        sizes = [n * 997 % 50_000 for n in range(300)]
        assert list(pool.map(lambda n: len(client.Unary(b"x" * n, timeout=30)), sizes)) == sizes


def test_balanced_per_call(weir):
    """One connection of the client, two servers: calls are shared out, not connections."""
    with Served() as one, Served() as two:
        w = weir(grpc_to(one, two))
        with Client(w.address) as c:
            for _ in range(20):
                c.Unary(b"x", timeout=10)
        assert len(one.service.calls) >= 5 and len(two.service.calls) >= 5


def test_over_tls(weir, served, tmp_path):
    ca = certs.CA(tmp_path)
    w = weir(grpc_to(served, listeners={"web": {"tls": {"certificates": [ca.issue("a.example").pair]}}}))
    with Client(w.address, grpc.ssl_channel_credentials(ca.pem)) as c:
        assert c.Unary(b"secret", timeout=10) == b"secret"
        assert len(list(c.Down(b"10 10", timeout=10))) == 10


def test_to_a_server_behind_tls(weir, tmp_path):
    ca = certs.CA(tmp_path)
    with Served(ca.issue("a.example")) as s:
        w = weir(grpc_to(s, services={"origin": {"tls": {"ca": ca.path, "server-name": "a.example"}}}))
        with Client(w.address) as c:
            assert c.Unary(b"x", timeout=10) == b"x"


def test_server_that_stops_and_comes_back(weir):
    """GOAWAY of the server: calls go on as soon as there is one again."""
    with Served() as s:
        w = weir(grpc_to(s))
        with Client(w.address) as c:
            assert c.Unary(b"1", timeout=10) == b"1"
            s.server.stop(0).wait()
            error = code_of(lambda: c.Unary(b"2", timeout=10))
            assert error.code() == CODE.UNAVAILABLE
            again = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
            again.add_generic_rpc_handlers((s.service.handler(),))
            again.add_insecure_port(s.endpoint)
            again.start()

            def works():
                try:
                    return c.Unary(b"3", timeout=5) == b"3"
                except grpc.RpcError:
                    return False
            eventually(works, "the call succeeds again")
            again.stop(0).wait()


# Weir's own failures as gRPC statuses

def status_of(state):
    """The gRPC status of a raw response: in the head (trailers-only) or the trailers."""
    assert state.status == 200, f"a gRPC client wants 200 and grpc-status: {state}"
    number = state.trailers.get("grpc-status") or state.head.get("grpc-status")
    assert number is not None, state
    return next(c for c in CODE if c.value[0] == int(number))


def no_route(weir):
    return weir(grpc_to(closed_port(), routes=[{"name": "x", "match": {"path": "/x"}, "service": "origin"}]))


FAILURES = {
    "connect-refused": (lambda weir: weir(grpc_to(closed_port())), CODE.UNAVAILABLE),
    "route-not-found": (no_route, CODE.UNIMPLEMENTED),
    "head-timeout": (None, CODE.DEADLINE_EXCEEDED),
    "closed": (None, CODE.UNAVAILABLE),
    "forbidden": (lambda weir: weir(grpc_to(closed_port(), routes=[
        {"name": "x", "match": {"path": "/*"}, "respond": {"status": 403}}])), CODE.PERMISSION_DENIED),
}


@pytest.mark.parametrize("kind", sorted(FAILURES))
def test_failures_of_weir_are_grpc_statuses(weir, backend, kind):
    start, expected = FAILURES[kind]
    if kind == "head-timeout":
        start = lambda weir: weir(harness.merge(proxy_to(backend(hang), route={"timeout": {"head": "300ms"}}), {}))
    if kind == "closed":
        start = lambda weir: weir(proxy_to(backend(lambda c: c.head())))
    w = start(weir)
    with Client(w.address) as c:
        error = code_of(lambda: c.Unary(b"x", timeout=10))
        assert error.code() == expected, (error.code(), error.details())
    if kind == "connect-refused":
        with h2wire.connect(w.address) as s:
            state = s.fetch("/t.S/Unary", method="POST", body=b"\0\0\0\0\0",
                            fields=[("content-type", "application/grpc"), ("te", "trailers")])
            assert status_of(state) == CODE.UNAVAILABLE
            assert "connect-refused" in (state.trailers.get("grpc-message") or state.head.get("grpc-message"))
            assert state.head.get("content-type").startswith("application/grpc")


def test_http_failures_of_the_endpoint_are_left_alone(weir, backend):
    """A 503 page of an endpoint that is no gRPC server: the client maps it itself (UNAVAILABLE)."""
    w = weir(proxy_to(backend(fixed(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno"))))
    with Client(w.address) as c:
        assert code_of(lambda: c.Unary(b"x", timeout=10)).code() == CODE.UNAVAILABLE

