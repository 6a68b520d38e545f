"""Large bodies and unequal speeds: everything arrives, and Weir's memory stays bounded."""

import hashlib
import socket
import threading
import time

import pytest

import h2wire
import wire
from backends import Backend
from harness import proxy_to
from wire import eventually, head_bytes

pytestmark = [pytest.mark.threads]

MIB = 1 << 20
PATTERN = bytes(range(251)) * 4178  # a little over 1 MiB, of a period that is no power of two
SIZE = 300 * len(PATTERN)
DIGEST = hashlib.blake2b()
for _ in range(300):
    DIGEST.update(PATTERN)
DIGEST = DIGEST.hexdigest()


class Sum:
    """A sink that keeps a digest instead of the data."""

    def __init__(self):
        self.digest, self.count = hashlib.blake2b(), 0

    def __call__(self, data):
        self.digest.update(data)
        self.count += len(data)


def chunked(data):
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_300_mib_down(weir, backend, framing):
    def script(c):
        c.request()
        if framing == "length":
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
            for _ in range(300):
                c.send(PATTERN)
        else:
            c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(300):
                c.send(chunked(PATTERN))
            c.send(b"0\r\n\r\n")
        c.wait_end()
    w = weir(proxy_to(backend(script)))
    before = w.rss_kib()
    total = Sum()
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1"))
    response = stream.response(sink=total)
    assert response.complete and (total.count, total.digest.hexdigest()) == (SIZE, DIGEST)
    assert w.rss_kib() - before < 16 * 1024


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_300_mib_up(weir, backend, framing):
    total = Sum()
    def script(c):
        c.request(sink=total)
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        c.wait_end()
    w = weir(proxy_to(backend(script)))
    before = w.rss_kib()
    stream = w.connect()
    if framing == "length":
        stream.send(head_bytes("POST / HTTP/1.1", [("Content-Length", SIZE)]))
        for _ in range(300):
            stream.send(PATTERN)
    else:
        stream.send(head_bytes("POST / HTTP/1.1", [("Transfer-Encoding", "chunked")]))
        for _ in range(300):
            stream.send(chunked(PATTERN))
        stream.send(b"0\r\n\r\n")
    assert stream.response().status == 200
    assert (total.count, total.digest.hexdigest()) == (SIZE, DIGEST)
    assert w.rss_kib() - before < 16 * 1024


STALLED = 200


def test_clients_that_do_not_read(weir, backend):
    """200 clients ask for 60 MB each and read none of it: back-pressure reaches the backends."""
    sent = []
    def script(c):
        c.request()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: 60000000\r\n\r\n")
        count = 0
        c.sock.settimeout(None)
        try:
            for _ in range(600):
                c.sock.sendall(b"x" * 100_000)
                count += 100_000
        finally:
            sent.append(count)
    b = backend(script)
    w = weir(proxy_to(b))
    wire.get(w.address, "/warm-up", sink=lambda data: None)
    before = w.rss_kib()
    streams = []
    for n in range(STALLED):
        stream = w.connect()
        stream.send(head_bytes(f"GET /{n} HTTP/1.1"))
        streams.append(stream)
    eventually(lambda: len(b.requests) > STALLED, "all requests at the backend")
    for stream in streams:
        stream.exactly(1)
    stable(w)
    growth = w.rss_kib() - before
    assert growth < 64 * 1024, f"{growth} KiB for {STALLED} stalled connections"
    assert len(sent) == 1, "the backends were stopped, not buffered"
    # One that starts to read again gets all of it.
    rest = Sum()
    one = streams[0]
    while rest.count < 19_000_000 and one.fill():
        rest(one.take(len(one.buffer)))
    assert rest.count >= 19_000_000
    for stream in streams:
        stream.close()


def stable(w):
    """Wait until the memory of the process has stopped to grow."""
    last = [w.rss_kib()]
    eventually(lambda: last.append(w.rss_kib()) or (len(last) > 5 and max(last[-5:]) - min(last[-5:]) < 256),
               "memory stops to grow", every=0.1)


def test_backends_that_do_not_read(weir, backend):
    """200 uploads to backends that take nothing: the clients are stopped, memory stays bounded."""
    def script(c):
        c.backend.requests.append(c.head())
        c.backend.release.wait()
    b = backend(script)
    w = weir(proxy_to(b))
    before = w.rss_kib()
    streams = []
    for n in range(STALLED):
        stream = w.connect()
        stream.send(head_bytes(f"POST /{n} HTTP/1.1", [("Content-Length", 20_000_000)]))
        stream.sock.setblocking(False)
        streams.append(stream)

    def push():
        moved = 0
        for stream in streams:
            try:
                moved += stream.sock.send(b"x" * 1_000_000)
            except BlockingIOError:
                pass
        return not moved

    quiet = []
    eventually(lambda: quiet.append(push()) or (len(quiet) > 10 and all(quiet[-10:])), "the clients are stopped",
               every=0.05)
    growth = w.rss_kib() - before
    assert growth < 64 * 1024, f"{growth} KiB for {STALLED} stalled uploads"
    for stream in streams:
        stream.close()


@pytest.mark.parametrize("protocol", ["http/1.1", "h2"])
def test_endpoint_behind_a_large_kernel_buffer(weir, backend, protocol):
    """An endpoint that reads an upload all the time, and slowly: the sockets hold several times `timeout.idle` of it."""
    def script(c):
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        if protocol == "h2":
            c.send(h2wire.settings(INITIAL_WINDOW_SIZE=1 << 25) + h2wire.settings(ack=True)
                   + h2wire.window_update(0, 1 << 25))
        begun, count = time.monotonic(), 0
        while (passed := time.monotonic() - begun) < 6:
            if count > 400_000 * passed:
                time.sleep(0.02)
            else:
                piece = c.sock.recv(16_384)
                assert piece, "the upload goes on"
                count += len(piece)
        c.send(h2wire.headers(1, [(":status", "200")]) if protocol == "h2"
               else b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        c.wait_end()
    w = weir(proxy_to(backend(script), route={"timeout": {"idle": "1s"}}, service={"protocol": protocol}))
    stream = w.connect()
    stream.send(head_bytes("POST / HTTP/1.1", [("Content-Length", "30000000")]))
    sender = threading.Thread(target=lambda: upload(stream, 30_000_000), daemon=True)
    sender.start()
    assert stream.exactly(13) == b"HTTP/1.1 200 "
    stream.close()
    sender.join(wire.PATIENCE)


def upload(stream, count):
    try:
        for _ in range(count // 100_000):
            stream.send(bytes(100_000))
    except OSError:
        pass  # answered before it was whole


@pytest.mark.parametrize("slow", ["client", "backend"])
def test_unequal_speeds_lose_nothing(weir, backend, slow):
    """One side takes or gives small pieces with pauses of the scheduler's choice."""
    size = 3_000_000
    def script(c):
        c.request()
        c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        body, step = PATTERN * 3, 1777 if slow == "backend" else size
        for at in range(0, size, step):
            c.send(body[at:min(at + step, size)])
        c.wait_end()
    w = weir(proxy_to(backend(script)))
    stream = w.connect()
    if slow == "client":
        stream.piece = 700
    stream.send(head_bytes("GET / HTTP/1.1"))
    total = Sum()
    stream.response(sink=total)
    assert total.digest.digest() == hashlib.blake2b((PATTERN * 3)[:size]).digest()


def test_nginx_as_origin(weir, nginx):
    """A real server behind Weir: static files of many sizes, ranges, conditional requests."""
    w = weir(proxy_to(nginx.endpoint))
    stream = w.connect()
    for name, data in nginx.files.items():
        total = Sum()
        stream.send(head_bytes(f"GET /{name} HTTP/1.1"))
        response = stream.response(sink=total)
        assert response.status == 200 and total.digest.digest() == hashlib.blake2b(data).digest(), name
        stream.send(head_bytes(f"GET /{name} HTTP/1.1", [("If-None-Match", response.get("ETag"))]))
        assert stream.response().status == 304
        if len(data) > 10:
            stream.send(head_bytes(f"GET /{name} HTTP/1.1", [("Range", "bytes=3-9")]))
            response = stream.response()
            assert response.status == 206 and response.body == data[3:10]
        stream.send(head_bytes(f"HEAD /{name} HTTP/1.1"))
        assert stream.response("HEAD").get("Content-Length") == str(len(data))


@pytest.fixture
def nginx(tmp_path):
    """Debian's nginx serving files of sizes around Weir's buffer and splice thresholds."""
    import os
    import subprocess
    from harness import listening_ports
    from ports import free_port

    class Origin:
        files = {f"f{n}": (PATTERN * 8)[:n] for n in
                 (0, 1, 100, 4095, 4096, 4097, 16384, 65535, 65536, 65537, 131073, 1_000_000, 8_000_000)}
        port = free_port()
        endpoint = f"127.0.0.1:{port}"

    (tmp_path / "www").mkdir()
    for name, data in Origin.files.items():
        (tmp_path / "www" / name).write_bytes(data)
    temporary = "".join(f"{k}_temp_path {tmp_path}/{k};" for k in
                        ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (tmp_path / "nginx.conf").write_text(
        f"daemon off; worker_processes 1; pid {tmp_path}/pid; user root; events {{}} "
        f"http {{ access_log off; {temporary} keepalive_requests 100000; "
        f"server {{ listen {Origin.endpoint}; root {tmp_path}/www; }} }}")
    process = subprocess.Popen(["nginx", "-c", str(tmp_path / "nginx.conf"), "-e", str(tmp_path / "error.log")])
    eventually(lambda: Origin.port in listening_ports(), "nginx listens")
    yield Origin
    process.terminate()
    process.wait()


# Talks: both sides say something when they have it, and are silent in between.

def talk_http1(c):
    """Answers at once, then says each chunk back; `watch` in the target: an event now and then instead."""
    head = c.head()
    c.backend.requests.append(head)
    if "quiet" in head.target:
        while c.chunk_size() and c.exactly(2):
            pass
    c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    if "watch" in head.target:
        while not c.backend.release.wait(0.2):
            c.send(chunked(b"tick"))
    while size := c.chunk_size():
        data = c.exactly(size)
        c.exactly(2)
        c.send(chunked(data))
    c.send(b"0\r\n\r\n")
    c.wait_end()


def talk_http2(c):
    """The same in HTTP/2."""
    session, told = h2wire.Session(c.sock, server=True), {}
    while True:
        quiet = [n for n, state in session.streams.items() if n % 2 and state.head and not state.ended]
        watched = any("watch" in session.streams[n].head.get(":path") for n in quiet)
        try:
            if not session.step(0.2 if watched else 600):
                return
        except TimeoutError:
            if not c.backend.release.is_set():
                for number in quiet:
                    session.send(h2wire.data(number, b"tick"))
        for number, state in list(session.streams.items()):
            if number % 2 == 0 or state.head is None or told.get(number) == -1:
                continue
            if number not in told:
                told[number] = 0
                session.send(h2wire.headers(number, [(":status", "200")], False))
            if len(state.body) > told[number]:
                session.send(h2wire.data(number, bytes(state.body[told[number]:])))
                told[number] = len(state.body)
            if state.ended:
                told[number] = -1
                session.send(h2wire.data(number, b"", True))


TALKS = {"http1": talk_http1, "http2": talk_http2}


class Talk:
    """A client in the middle of a request body and its answer, in either version."""

    def __init__(self, w, version, target="/talk", method="POST"):
        self.said = b""
        if version == "http1":
            self.stream = w.connect()
            self.stream.send(head_bytes(f"{method} {target} HTTP/1.1", [("Transfer-Encoding", "chunked")]))
        else:
            self.stream = None
            self.session = h2wire.connect(w.address)
            self.state = self.session.request(target, method=method, end_stream=False)
        self.begun = False

    def say(self, data):
        if self.stream:
            self.stream.send(chunked(data))
        else:
            self.session.send(h2wire.data(self.state.number, data))

    def hear(self, count):
        """The next `count` bytes of the answer."""
        if not self.stream:
            self.session.until(lambda: len(self.state.body) >= count or self.state.over, "the answer")
            data = bytes(self.state.body[:count])
            del self.state.body[:count]
            assert len(data) == count, self.state
            return data
        if not self.begun:
            head = self.stream.head()
            assert head.status == 200, self.stream.rest()
            self.begun = True
        while len(self.said) < count:
            self.said += self.stream.exactly(self.stream.chunk_size())
            self.stream.exactly(2)
        data, self.said = self.said[:count], self.said[count:]
        return data

    def end(self):
        if self.stream:
            self.stream.send(b"0\r\n\r\n")
            while size := self.stream.chunk_size():
                self.stream.exactly(size + 2)
        else:
            self.session.send(h2wire.data(self.state.number, b"", True))
            self.session.until(lambda: self.state.over, "the end")
            assert self.state.ended and self.state.reset is None, self.state

    def close(self):
        (self.stream or self.session).close()


def talking(weir, backend, endpoint, **listener):
    return weir(proxy_to(backend(TALKS[endpoint]), listener=listener, service=(
        {"protocol": "h2"} if endpoint == "http2" else {})))


@pytest.mark.parametrize("endpoint", TALKS)
@pytest.mark.parametrize("client", TALKS)
def test_quiet_talk_goes_on(weir, backend, client, endpoint):
    """Once it is answered a client owes nothing: its silence is the idle timeout's business."""
    w = talking(weir, backend, endpoint, timeout={"body": "1s"})
    talk = Talk(w, client)
    for words in (b"one", b"two"):
        talk.say(words)
        assert talk.hear(3) == words
        time.sleep(1.6)
    talk.end()


@pytest.mark.parametrize("endpoint", TALKS)
@pytest.mark.parametrize("client", TALKS)
def test_silent_client_of_a_watch_hears_all_of_it(weir, backend, client, endpoint):
    """Events keep coming, the request's body does not end and does not go on."""
    b = backend(TALKS[endpoint])
    w = weir(proxy_to(b, listener={"timeout": {"body": "1s"}}, service=(
        {"protocol": "h2"} if endpoint == "http2" else {})))
    talk = Talk(w, client, "/watch")
    talk.say(b"x")
    assert talk.hear(40).replace(b"x", b"").startswith(b"tick"), "two seconds of events"
    b.release.set()
    talk.end()


@pytest.mark.parametrize("client", TALKS)
def test_silence_on_both_sides_ends_by_the_idle_timeout(weir, backend, client):
    w = weir(proxy_to(backend(talk_http1), route={"timeout": {"idle": "600ms"}}))
    talk = Talk(w, client)
    talk.say(b"one")
    assert talk.hear(3) == b"one"
    assert w.wait_reason("upstream-body-timeout")


def test_what_a_client_says_renews_the_idle_timeout(weir, backend):
    """`timeout.idle` is about bytes either way: an endpoint that listens is not idle."""
    def listen(c):
        c.head()
        c.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while size := c.chunk_size():
            c.exactly(size + 2)
        c.send(chunked(b"heard") + b"0\r\n\r\n")
        c.wait_end()
    w = weir(proxy_to(backend(listen), route={"timeout": {"idle": "1s"}}))
    talk = Talk(w, "http1")
    for _ in range(8):
        talk.say(b"x")
        time.sleep(0.25)
    talk.stream.send(b"0\r\n\r\n")
    assert talk.hear(5) == b"heard"


@pytest.mark.parametrize("client", TALKS)
@pytest.mark.parametrize("hold", ["64KiB", "0B"])
def test_unanswered_body_without_a_length(weir, backend, client, hold):
    """Nobody has answered: the client owes the body, unless the route says that bodies stream."""
    w = weir(proxy_to(backend(talk_http1), listener={"timeout": {"body": "700ms"}}, route={"hold": hold}))
    talk = Talk(w, client, "/quiet")
    talk.say(b"one")
    if hold == "0B":
        time.sleep(1.5)
        talk.say(b"two")
        assert not w.access_log()
    else:
        assert w.wait_reason("request-body-timeout")["status"] == 408
    talk.close()


@pytest.mark.parametrize("method", ["POST", "PUT"])
@pytest.mark.parametrize("client", TALKS)
def test_first_words_are_not_held_back(weir, backend, client, method):
    """What has come goes on at once, where waiting for the rest would not buy another attempt."""
    w = talking(weir, backend, "http1")
    times = []
    for _ in range(8):
        talk = Talk(w, client, method=method)
        begin = time.monotonic()
        talk.say(b"one")
        assert talk.hear(3) == b"one"
        times.append(time.monotonic() - begin)
        talk.close()
    waits = client == "http1" and method == "PUT"
    assert waits or min(times) < 0.07, times


def test_small_body_that_comes_with_its_head_is_held_whole(weir, backend):
    """DATA behind HEADERS in the same write are one request: the endpoint is told its length."""
    b = backend()
    w = weir(proxy_to(b))
    with h2wire.connect(w.address) as s:
        state = s.stream(1)
        s.send(h2wire.headers(1, h2wire.pseudo("POST"), False) + h2wire.data(1, b"all of it", True))
        s.until(lambda: state.over, "a response")
        assert state.status == 200
    assert b.requests[0].get("content-length") == "9" and b.requests[0].body == b"all of it"
