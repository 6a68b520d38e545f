"""Large bodies and unequal speeds: everything arrives, and Weir's memory stays bounded."""

import hashlib
import threading

import pytest

import wire
from backends import Backend
from harness import proxy_to
from wire import eventually, head_bytes

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
