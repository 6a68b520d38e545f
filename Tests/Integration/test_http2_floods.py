"""What one HTTP/2 client can do without end, and what it may cost: little, and not for long.

Each flood must end in GOAWAY or a closed connection after a bounded number of frames, Weir's memory
must not grow with it, other connections are served meanwhile, and logs or metrics say why
(RFC 9113 §10.5; CVE-2019-9511 to 9518, CVE-2023-44487, CVE-2024-27316, CVE-2025-8671).
"""

import os
import re
import signal
import socket
import threading
import time

import pytest

import h2wire
import wire
from backends import answer, fixed, hang
from h2wire import END_HEADERS, frame, headers, pseudo
from harness import proxy_to
from wire import eventually

pytestmark = [pytest.mark.threads, pytest.mark.bytes]

MIB = 1024  # KiB
# Requests for /hang get no answer, all others get one from Weir itself.
HANG = [{"name": "hang", "match": {"path": "/hang"}, "service": "origin"},
        {"name": "rest", "match": {"path": "/*"}, "respond": {"status": 200}}]
GROWTH = 12 * MIB  # of the whole process; one connection may cost a fraction of it


class Canary:
    """Requests on connections of their own, all the time; the slowest is remembered."""

    def __init__(self, weir):
        self.weir, self.done, self.slowest, self.wrong = weir, 0, 0.0, []
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.stopping.is_set():
            begin = time.monotonic()
            try:
                response = self.weir.get("/canary")
                if response.status != 200:
                    self.wrong.append(response.status)
            except (OSError, wire.Ended) as error:
                self.wrong.append(repr(error))
            self.slowest = max(self.slowest, time.monotonic() - begin)
            self.done += 1
            self.stopping.wait(0.01)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.thread.join(wire.PATIENCE)


def flood(w, pieces, warm=True, most=None, **options):
    """Send `pieces` (an iterator of bytes) until Weir ends the connection; how many could be sent.

    That says little of how many Weir took: a fast client fills buffers ahead of a slow build. What is judged
    is that an end comes at all before the pieces run out, and, with `most`, how many frames Weir sent in
    answer until then. Budgets refill by a few dozen a second, so `most` leaves room for a minute.
    """
    for _ in range(3 if warm else 0):
        with h2wire.connect(w.address) as s:
            s.fetch("/warm")
    before, sent, answers = w.rss_kib(), 0, 0
    with Canary(w) as canary, h2wire.connect(w.address, **options) as s:
        s.until(lambda: s.acks, "the first exchange of SETTINGS")
        for piece in pieces:
            if s.closed or s.goaway or not s.send(piece):
                break
            sent += 1
            s.drain()
            answers += len(s.frames)
            s.frames.clear()
        s.until(lambda: s.goaway or s.closed, f"an end after {sent} pieces")
        growth = w.rss_kib() - before
        ended = s.goaway and s.goaway[1]
        assert s.until_closed(), "closed, not only told"
        answers += len(s.frames)
        eventually(lambda: canary.done >= 3, "canaries")
    assert ended != "NO_ERROR", "the client is told that it did something wrong"
    assert growth < GROWTH, f"{growth} KiB"
    assert most is None or answers <= most, f"{answers} frames in answer to {sent} pieces"
    assert not canary.wrong and canary.slowest < 10, (canary.wrong[:3], canary.slowest)
    seen(w)
    return sent


def seen(w, pattern=r"session-violation"):
    """Logs or metrics tell of it, with a word for why."""
    def said():
        reasons = [line.get("reason", "") for line in w.access_log()]
        samples = [name + str(sorted(labels)) for (name, labels), value in w.metrics().items() if value]
        return re.search(pattern, "\n".join(reasons + samples + [w.log()]))
    if "WEIR_PEER" in os.environ:  # what another proxy logs is not our affair
        return
    eventually(said, f"a reason like {pattern!r} in log or metrics", 5)


def streams():
    """Odd numbers."""
    return iter(range(1, 1 << 31, 2))


@pytest.fixture
def site(weir, backend):
    return lambda script=None, **options: weir(proxy_to(backend(script or fixed(answer(b"ok"))), **options))


# How soon is counted in frames sent: not for a slow build.
@pytest.mark.slow
def test_rapid_reset(site):
    """10,000 requests, each cancelled at once: over long before the last."""
    w = site()
    cancel = b"\0\0\0\x08"
    pieces = (headers(n, pseudo()) + frame("RST_STREAM", 0, n, cancel) for n, _ in zip(streams(), range(10_000)))
    assert flood(w, pieces) < 5_000


# How soon is counted in frames sent: not for a slow build.
@pytest.mark.slow
def test_rapid_reset_with_requests_that_hang(site):
    """The endpoint never answers: what was cancelled must not stay open there either."""
    w = site(hang, routes=HANG)
    descriptors = w.descriptors()
    pieces = (headers(n, pseudo(path="/hang")) + frame("RST_STREAM", 0, n, b"\0\0\0\x08")
              for n, _ in zip(streams(), range(10_000)))
    assert flood(w, pieces) < 5_000
    eventually(lambda: w.descriptors() <= descriptors + 16, "connections to the endpoint are given back")


CANCEL = b"\0\0\0\x08"


def reset(number):
    return frame("RST_STREAM", 0, number, CANCEL)


@pytest.mark.parametrize("apart", [False, True], ids=["in-one-write", "in-writes-of-their-own"])
def test_few_attempts_of_a_rapid_reset_reach_the_endpoint(weir, backend, apart):
    """Cancelled before it was looked at: not forwarded. Just after: a few dozen, then the connection ends."""
    b = backend(hang)
    w = weir(proxy_to(b))
    with h2wire.connect(w.address) as s:
        s.until(lambda: s.acks, "the first exchange of SETTINGS")
        for n, _ in zip(streams(), range(4_000)):
            if apart:
                s.send(headers(n, pseudo()))
                s.send(reset(n))
            else:
                s.send(headers(n, pseudo()) + reset(n))
            s.drain()
            if s.goaway or s.closed:
                break
        s.until(lambda: s.goaway or s.closed, "an end")
    # A build that is slow, or a machine that is, gives the budget time to fill: 16 a second.
    assert len(b.requests) + len(b.partial) <= (128 if apart else 32), len(b.requests)


def each_message_acknowledged(s):
    state = s.request("/messages")
    s.until(lambda: state.count == 500 * 11, "all messages")
    return b"".join(h2wire.window_update(1, 11) + h2wire.window_update(0, 11) for _ in range(500))


def a_page_is_left(s):
    states = [s.request(f"/hang/{n}") for n in range(120)]
    assert s.ping() and not any(state.over for state in states)
    return b"".join(reset(state.number) for state in states)


def calls_with_deadlines(s):
    """300 calls, a hundred each second; ten are under way at a time, and none is answered in time."""
    first, s.next = s.next, s.next + 600
    calls = range(first, first + 600, 2)
    return b"".join(headers(n, pseudo(path="/hang/call")) + (reset(n - 20) if n - 20 in calls else b"")
                    for n in calls)


HONEST = {
    "messages": each_message_acknowledged, "page": a_page_is_left, "calls": calls_with_deadlines,
    "pings": lambda s: frame("PING", 0, 0, b"alive..?") * 100,
    "settings": lambda s: h2wire.settings(INITIAL_WINDOW_SIZE=1 << 20) * 20,
    "priorities": lambda s: b"".join(
        frame("PRIORITY_UPDATE", 0, 0, (2 * n + 1).to_bytes(4, "big") + b"u=1") for n in range(250)),
    "unknown": lambda s: frame(0x2b, 0, 0, b"grease") * 100,
}


@pytest.mark.parametrize("kind", HONEST)
def test_honest_client_of_a_machine_that_stood_still(weir, backend, kind):
    """What a client did at its own pace arrives all at once, and is no flood (docs/http2.md: what is counted)."""
    def origin(c):
        while True:
            request = c.request()
            if request.target == "/messages":
                c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for n in range(500):
                    c.send(b"b\r\nmessage %03d\r\n" % n)
                    time.sleep(0.001)
                return c.wait_end()
            if request.target.startswith("/hang"):
                return c.wait_end()
            c.send(answer(b"ok"))
    w = weir(proxy_to(backend(origin)))
    with h2wire.connect(w.address, credit=False) as s:
        s.until(lambda: s.acks, "the first exchange of SETTINGS")
        pile = HONEST[kind](s)
        os.kill(w.pid, signal.SIGSTOP)
        try:
            # It is stopped when all its threads have heard of it, and until then may still read.
            eventually(lambda: "\nState:\tT" in open(f"/proc/{w.pid}/status").read(), "it stands still")
            assert s.send(pile)
            time.sleep(3 if kind == "calls" else 1)
        finally:
            os.kill(w.pid, signal.SIGCONT)
        assert s.ping(), s.goaway
        assert s.fetch("/after").status == 200 and not s.goaway


@pytest.mark.parametrize("how", ["window-0", "data-behind-end", "malformed", "overflow"])
def test_provoked_resets(site, how):
    """MadeYouReset: the client makes Weir reset the streams, which count as the client's all the same."""
    w = site()
    provoke = {
        "window-0": lambda n: headers(n, pseudo()) + frame("WINDOW_UPDATE", 0, n, b"\0\0\0\0"),
        "data-behind-end": lambda n: headers(n, pseudo()) + h2wire.data(n, b"x"),
        "malformed": lambda n: headers(n, pseudo() + [("connection", "close")]),
        "overflow": lambda n: headers(n, pseudo()) + h2wire.window_update(n, (1 << 31) - 1),
    }[how]
    flood(w, (provoke(n) for n, _ in zip(streams(), range(10_000))), most=4_000)


def test_streams_beyond_the_limit_again_and_again(site):
    """REFUSED_STREAM is cheap, and still not for ever."""
    w = site(hang, routes=HANG)
    flood(w, (headers(n, pseudo(path="/hang")) for n, _ in zip(streams(), range(20_000))), most=4_000)


@pytest.mark.parametrize("size", [0, 1, 16_384])
def test_continuation_flood(site, size):
    """A field block without an end (CVE-2024-27316): neither memory nor processor."""
    w = site()

    def pieces():
        yield headers(1, pseudo(), end_headers=False)
        fields = h2wire.literal("x-a", "a" * (size - 9)) if size > 20 else b""
        for n in range(100_000):
            yield frame("CONTINUATION", 0, 1, fields if size > 20 else b"\0" * size)
    flood(w, pieces(), most=100)


FLOODS = {
    "ping": lambda n: frame("PING", 0, 0, n.to_bytes(8, "big")),
    "settings": lambda n: h2wire.settings(INITIAL_WINDOW_SIZE=65_535),
    "empty-settings": lambda n: h2wire.settings(),
    "priority": lambda n: frame("PRIORITY", 0, 2 * n + 1, b"\0\0\0\0\x0f"),
    "priority-update": lambda n: frame("PRIORITY_UPDATE", 0, 0, (2 * n + 1).to_bytes(4, "big") + b"u=1"),
    "window-update": lambda n: h2wire.window_update(0, 1),
    "unknown": lambda n: frame(0x77, 0, 0),
    "unknown-on-a-stream": lambda n: frame(0xfa, 0xff, 2 * n + 1),
    "unknown-with-payload": lambda n: frame(0x0b, 0, 0, b"grease"),
}


@pytest.mark.parametrize("kind", sorted(FLOODS))
def test_control_frames(site, kind):
    w = site()
    flood(w, (FLOODS[kind](n) * 10 for n in range(10_000)), most=4_000)


def test_a_frame_of_unknown_type_beside_each_request(site):
    """Some clients send one, so that nobody comes to rely on there being none (RFC 9113 §5.5)."""
    w = site()
    with h2wire.connect(w.address) as s:
        for n in range(600):
            s.send(frame(0x0b + 31 * (n % 7), 0, 0, b"x" * (n % 3)))
            assert s.fetch(f"/{n}").status == 200, s.goaway


@pytest.mark.parametrize("kind", ["ping", "settings"])
def test_control_frames_whose_answers_nobody_reads(site, kind):
    """Acknowledgements pile up behind a client that does not read (CVE-2019-9512, 9515)."""
    w = site()
    before = w.rss_kib()
    with h2wire.connect(w.address) as s:
        sent = 0
        try:
            s.sock.settimeout(2)
            while sent < 64 << 20:
                s.sock.sendall(FLOODS[kind](0) * 1000)
                sent += 1000 * len(FLOODS[kind](0))
        except OSError:
            pass
        assert w.rss_kib() - before < GROWTH
        assert w.get("/").status == 200
    assert sent < 64 << 20, "Weir went on taking them"


def test_empty_data(site):
    """DATA without data and without an end (CVE-2019-9518)."""
    w = site()

    def pieces():
        yield headers(1, pseudo("POST"), False)
        for _ in range(10_000):
            yield h2wire.data(1) * 10
    flood(w, pieces(), most=100)


def test_empty_padded_data(site):
    """Padding only: the window moves, nothing else does."""
    w = site()

    def pieces():
        yield headers(1, pseudo("POST"), False)
        for _ in range(10_000):
            yield h2wire.data(1, pad=0) * 10
    flood(w, pieces(), most=4_000)


def test_empty_headers(site):
    """HEADERS and CONTINUATION without a byte of a block."""
    w = site()

    def pieces():
        yield frame("HEADERS", 1, 1)
        for _ in range(10_000):
            yield frame("CONTINUATION", 0, 1) * 10
    flood(w, pieces(), most=100)


def test_malformed_requests_one_after_another(site):
    """Complete, refused requests cost an answer each; a client that sends nothing else is cut off."""
    w = site()
    flood(w, (headers(n, []) for n, _ in zip(streams(), range(10_000))), most=4_000)


def test_hpack_bomb(site):
    """An entry of 4,000 bytes, named 16,000 times per frame: 64 MB out of 16 KB (RFC 7541 §7.3)."""
    w = site()
    big = b"\x40\x01x" + h2wire.integer(3_900, 7) + b"a" * 3_900

    def pieces():
        yield headers(1, h2wire.block(pseudo()) + big)
        for n, _ in zip(iter(range(3, 1 << 31, 2)), range(2_000)):
            yield headers(n, h2wire.block(pseudo()) + b"\xbe" * 16_000)
    flood(w, pieces(), most=500)


def test_many_cookie_crumbs(site):
    """Thousands of crumbs of one byte: each costs 32 bytes of the limit (RFC 9113 §10.5.1)."""
    w = site()
    crumb = b"\x0f\x11\x01a"  # cookie by static name index 32, literal value "a"
    with h2wire.connect(w.address) as s:
        before = w.rss_kib()
        for n in range(20):
            state = s.stream(s.next)
            s.send(headers(s.next, h2wire.block(pseudo()) + crumb * 4_000))
            s.next += 2
            s.until(lambda: state.over or s.goaway or s.closed, "a refusal")
            if s.goaway or s.closed:
                break
            assert state.status in (400, 431) or state.reset, state
        assert w.rss_kib() - before < GROWTH
    assert w.get("/").status == 200


def test_indexed_fields_without_number(site):
    """One byte per field line in the frame, hundreds in memory."""
    w = site()
    with h2wire.connect(w.address) as s:
        before = w.rss_kib()
        for n in range(30):
            state = s.stream(s.next)
            s.send(headers(s.next, h2wire.block(pseudo()) + b"\x90" * 15_000))  # accept-encoding: gzip, deflate
            s.next += 2
            s.until(lambda: state.over or s.goaway or s.closed, "a refusal")
            if s.goaway or s.closed:
                break
            assert state.status in (400, 431) or state.reset, state
        assert w.rss_kib() - before < GROWTH


def test_window_stall(site):
    """Streams whose window never opens: large responses are not read into memory, and end in time."""
    w = site(fixed(answer(b"x" * 5_000_000)), listener={"timeout": {"write": "1s", "idle": "1s"}})
    before = w.rss_kib()
    sessions = [h2wire.connect(w.address, INITIAL_WINDOW_SIZE=0) for _ in range(10)]
    for s in sessions:
        for n in range(20):
            s.request(f"/{n}")
    for s in sessions:
        s.until(lambda: all(state.over for state in s.streams.values()) or s.goaway or s.closed,
                "stalled streams are reaped")
        s.close()
    assert w.rss_kib() - before < 64 * MIB
    assert w.get("/").status == 200
    assert w.wait_reason("client-too-slow")


@pytest.mark.parametrize("size", [10_000, 5_000_000], ids=["waits-whole", "waits-at-the-endpoint"])
def test_streams_that_stand_still_beside_one_that_is_read(site, size):
    """Each is reset in time and its memory given back; the connection, and what is read on it, goes on."""
    w = site(fixed(answer(b"x" * size)), listener={"timeout": {"write": "1s"}})
    with h2wire.connect(w.address, credit=False, window=1 << 24, INITIAL_WINDOW_SIZE=0) as s:
        states = [s.request(f"/{n}") for n in range(21)]
        read = states.pop(10)
        given = 0
        # Slower than the others' end takes, and never silent for as long.
        while not all(state.over for state in states) or given < size // 2:
            assert not s.goaway and not s.closed and not read.reset, "the connection goes on"
            step = min(size // 200, size - given - 1)
            given += step
            if step:
                s.give(read.number, step)
            s.until(lambda: read.count >= given, "what there was a window for")
            time.sleep(0.02)
        assert {state.reset for state in states} == {"ENHANCE_YOUR_CALM"} and not any(state.ended for state in states)
        s.give(read.number, size - given)
        s.until(lambda: read.over, "the end of the one that is read")
        assert read.ended and read.count == size and not s.violations
        assert s.ping() and not s.goaway
    if size > 1_000_000:
        assert w.wait_reason("client-too-slow")


def test_connection_on_which_all_stands_still(site):
    """Answers that wait whole inside of Weir, none of them read: the connection ends."""
    w = site(fixed(answer(b"x" * 10_000)), listener={"timeout": {"write": "500ms"}})
    with h2wire.connect(w.address, INITIAL_WINDOW_SIZE=0) as s:
        states = [s.request(f"/{n}") for n in range(20)]
        s.until(lambda: s.goaway, "an end")
        assert s.goaway[1] == "ENHANCE_YOUR_CALM"
        assert {state.reset for state in states} <= {"ENHANCE_YOUR_CALM", None}
        assert s.until_closed()


@pytest.mark.parametrize("size", [100_000, 5_000_000])
def test_client_that_never_reads(site, size):
    """Windows wide open, and nothing taken off the socket: the connection ends, whatever has been answered."""
    w = site(fixed(answer(b"x" * size)), listener={"timeout": {"write": "500ms"}})
    with h2wire.connect(w.address, window=(1 << 31) - 1, INITIAL_WINDOW_SIZE=(1 << 31) - 1) as s:
        for n in range(128):
            s.request(f"/{n}")
        w.wait_reason("client-too-slow")
        eventually(lambda: w.metric("weir_listener_active_connections") == 0, "the connection ends")


@pytest.mark.parametrize("how", ["windows", "socket"])
def test_client_that_reads_slowly(site, how):
    """For several times `timeout.write`, and never idle for as long: served to the end."""
    size = 16_000_000
    w = site(fixed(answer(b"x" * size)), listener={"timeout": {"write": "2s"}})
    options = {"window": 1 << 30, "INITIAL_WINDOW_SIZE": 65_536 if how == "windows" else 1 << 24}
    with h2wire.connect(w.address, credit=False, **options) as s:
        states = [s.request(f"/{n}") for n in range(3)]
        while not all(state.over for state in states):
            assert s.step(), s.goaway
            # Kernels open their windows by the megabyte: fast enough for that to be much less than the timeout.
            time.sleep(0.002)
            if how == "windows":
                for state in states:
                    if state.window < 32_768 and not state.over:
                        s.give(state.number, 32_768)
        assert all(state.ended and state.count == size for state in states) and not s.goaway and not s.violations


@pytest.mark.parametrize("streams, window", [(1, 1 << 24), (8, 1 << 20), (20, 65_535), (0, 0)], ids=[
    "one stream", "eight streams", "windows that lie unread", "HTTP/1.1"])
def test_client_behind_a_large_kernel_buffer(site, streams, window):
    """What lies in the socket takes several times `timeout.write` to be read, with no event of it: all of it is served."""
    seconds = 2
    w = site(fixed(answer(b"x" * 8_000_000)), listener={"timeout": {"write": f"{seconds}s"}})
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        sock.settimeout(wire.PATIENCE)
        sock.connect(w.address)
        sock.sendall(h2wire.PREFACE + h2wire.settings(INITIAL_WINDOW_SIZE=window)
                     + h2wire.window_update(0, (1 << 25) - 65_535)
                     + b"".join(headers(1 + 2 * n, pseudo()) for n in range(streams))
                     if streams else wire.head_bytes("GET / HTTP/1.1"))
        begun, count, rate = time.monotonic(), 0, 400_000
        buffer, used = bytearray(), {}
        while (passed := time.monotonic() - begun) < 4 * seconds:
            if count > rate * passed:
                time.sleep(0.02)
                continue
            piece = sock.recv(16_384)
            assert piece, "the connection goes on"
            count += len(piece)
            if not streams:
                continue
            buffer += piece
            while len(buffer) >= 9 and len(buffer) >= 9 + (size := int.from_bytes(buffer[:3], "big")):
                kind, number = h2wire.NAMES[buffer[3]], int.from_bytes(buffer[5:9], "big")
                assert kind not in ("RST_STREAM", "GOAWAY"), kind
                del buffer[:9 + size]
                if kind == "DATA":
                    used[number] = used.get(number, 0) + size
                    if used[number] > window // 2:
                        sock.sendall(h2wire.window_update(number, used.pop(number)))
        assert not [line for line in w.access_log() if line.get("reason") == "client-too-slow"]


def test_window_by_drops(site):
    """A byte of window at a time (CVE-2019-9511): ended, or as cheap as any slow reader."""
    w = site(fixed(answer(b"x" * 5_000_000)))
    before = w.rss_kib()
    sessions = [h2wire.connect(w.address, credit=False, INITIAL_WINDOW_SIZE=1) for _ in range(10)]
    for s in sessions:
        for n in range(10):
            s.request(f"/{n}")
    for _ in range(200):
        for s in sessions:
            for n, state in s.streams.items():
                if not state.over and not s.closed:
                    s.give(n, 1)
            s.drain()
    assert w.rss_kib() - before < 32 * MIB
    assert w.get("/").status == 200
    for s in sessions:
        assert not s.violations
        s.close()


def test_connection_window_stall(site):
    """Wide streams on a connection whose window stays shut."""
    w = site(fixed(answer(b"x" * 5_000_000)), listener={"timeout": {"write": "1s"}})
    before = w.rss_kib()
    with h2wire.connect(w.address, credit=False, INITIAL_WINDOW_SIZE=(1 << 31) - 1) as s:
        for n in range(50):
            s.request(f"/{n}")
        s.until(lambda: all(state.over for state in s.streams.values()) or s.goaway or s.closed, "an end")
    assert w.rss_kib() - before < 48 * MIB


def test_open_streams_that_never_end(site):
    """Requests without an end: the body's deadline is each stream's own."""
    w = site(listener={"timeout": {"body": "500ms"}})
    with h2wire.connect(w.address) as s:
        states = [s.request(method="POST", end_stream=False, fields=[("content-length", "10")]) for _ in range(30)]
        s.until(lambda: all(state.over for state in states) or s.closed, "each is ended")
        assert all(state.status == 408 or state.reset for state in states)
        assert s.closed or s.fetch("/after").status == 200


def test_headers_without_end_are_cut(site):
    """A field block that never ends meets the deadline of heads."""
    w = site(listener={"timeout": {"head": "500ms"}})
    with h2wire.connect(w.address) as s:
        s.send(headers(1, pseudo(), end_headers=False))
        s.until(lambda: s.goaway or s.closed, "an end")
        assert s.until_closed()


@pytest.mark.slow
def test_hundred_connections_with_hundred_streams(site):
    """10,000 open streams: memory per stream stays small, and all of it comes back."""
    w = site()
    sessions = [h2wire.connect(w.address) for _ in range(100)]
    before = w.rss_kib()
    for s in sessions:
        for n in range(100):
            s.request(method="POST", end_stream=False)
    for s in sessions:
        assert s.ping()
    growth = w.rss_kib() - before
    assert growth < 200 * MIB, f"{growth} KiB for 10,000 streams"
    for s in sessions:
        s.close()
    eventually(lambda: w.get("/").status == 200, "served on")
