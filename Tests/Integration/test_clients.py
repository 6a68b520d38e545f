"""Clients people use, through Weir: curl, nghttp, h2load, the websockets library, raw RFC 8441, a browser.

Everything runs over TLS with a CA of our own where the client can, and in cleartext by prior knowledge.
"""

import asyncio
import hashlib
import html
import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import threading
import time

import pytest
import websockets

import certs
import h2wire
import harness
import wire
import wswire
from backends import Backend, answer, serve
from harness import proxy_to
from wire import eventually, head_bytes

needs = lambda tool: pytest.mark.skipif(not shutil.which(tool), reason=f"{tool} is not installed")


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    ca = certs.CA(tmp_path_factory.mktemp("clients"))
    ca.site = ca.issue("a.example", "localhost", "127.0.0.1")
    return ca


def origin(c):
    """An endpoint with everything: WebSocket echo, events, long polling, bodies."""
    while True:
        message = c.request()
        if message.get("Upgrade", "").lower() == "websocket":
            return wswire_echo(c, message)
        if message.target == "/events":
            c.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n"
                   b"Transfer-Encoding: chunked\r\n\r\n")
            for n in range(5):
                event = b"id: %d\ndata: event %d\n\n" % (n, n)
                c.send(b"%x\r\n%s\r\n" % (len(event), event))
                # The next event follows when the client has told that it has this one, or after a while.
                c.backend.steps.acquire(timeout=0.5)
            c.send(b"0\r\n\r\n")
        elif message.target == "/poll":
            c.backend.polls.append(c)
            c.backend.news.wait(10)
            c.send(answer(b"news"))
        elif message.target == "/page":
            c.send(answer(PAGE.encode(), fields=[("Content-Type", "text/html; charset=utf-8")]))
        elif message.target == "/finished":
            c.backend.finished.set()
            c.send(answer())
        elif message.target == "/hold-the-load-event":
            c.backend.finished.wait(20)
            c.send(answer(b"", "204 No Content"))
        elif message.method == "POST":
            c.send(answer(hashlib.sha256(message.body).hexdigest().encode()))
        elif message.target.startswith("/bytes/"):
            c.send(answer(b"x" * int(message.target[7:])))
        else:
            c.send(answer(json.dumps([message.target, message.version, list(message.fields)]).encode()))


def wswire_echo(c, message):
    c.send(wswire.agree(message))
    while True:
        fin, rsv, opcode, payload = wswire.read_frame(c.exactly)
        if opcode == wswire.CLOSE:
            return c.send(wswire.frame(wswire.CLOSE, payload, mask=False))
        c.send(wswire.frame(wswire.PONG if opcode == wswire.PING else opcode, payload, fin, mask=False))


@pytest.fixture
def site(weir, pki):
    """Weir with a cleartext and a TLS listener in front of the endpoint above."""
    with Backend(origin) as backend:
        backend.steps, backend.news, backend.polls = threading.Semaphore(0), threading.Event(), []
        backend.finished = threading.Event()
        w = weir(harness.merge(proxy_to(backend), {"listeners": {
            "secure": {"address": None, "tls": {"certificates": [pki.site.pair]}}}}))
        w.backend = backend
        w.plain = "http://127.0.0.1:%d" % w.listener("web")[1]
        w.secure = "https://localhost:%d" % w.listener("secure")[1]
        yield w


def run(*command, timeout=30, **options):
    return subprocess.run(command, capture_output=True, timeout=timeout, **options)


# curl

@pytest.mark.parametrize("options, version", [
    (["--http1.1"], "1.1"), (["--http2-prior-knowledge"], "2"), (["--http1.0"], "1.1"), ([], "1.1"),
    (["--http2"], "1.1")])
def test_curl_in_cleartext(site, options, version):
    """--http2 offers an upgrade to h2c, which is ignored: the request is served in HTTP/1.1."""
    done = run("curl", "-sS", *options, "-w", "\n%{http_code} %{http_version}", site.plain + "/x")
    status = done.stdout.decode().splitlines()[-1]
    assert status == f"200 {version}", (status, done.stderr)


@pytest.mark.parametrize("options, version", [
    (["--http2"], "2"), (["--http1.1"], "1.1"), (["--no-alpn", "--http1.1"], "1.1"), (["--tls-max", "1.2"], "2")])
def test_curl_over_tls(site, pki, options, version):
    done = run("curl", "-sS", "--cacert", pki.path, *options, "-w", "\n%{http_code} %{http_version}", site.secure + "/x")
    assert done.stdout.decode().splitlines()[-1] == f"200 {version}", done.stderr


@pytest.mark.parametrize("version", ["--http1.1", "--http2"])
def test_curl_uploads_and_downloads(site, pki, tmp_path, version):
    body = os.urandom(3_000_000)
    (tmp_path / "body").write_bytes(body)
    curl = ["curl", "-sS", "--cacert", pki.path, version]
    for extra in ([], ["-H", "Expect: 100-continue"], ["-H", "Transfer-Encoding: chunked"] if "1.1" in version else []):
        done = run(*curl, *extra, "--data-binary", f"@{tmp_path}/body", site.secure + "/up")
        assert done.stdout.decode() == hashlib.sha256(body).hexdigest(), done.stderr
    done = run(*curl, site.secure + "/bytes/5000000")
    assert len(done.stdout) == 5_000_000, done.stderr


def test_curl_parallel_on_one_connection(site, pki):
    urls = [f"{site.secure}/bytes/{n * 1000}" for n in range(40)]
    done = run("curl", "-sS", "--cacert", pki.path, "--http2", "--parallel", "-Z", "--parallel-max", "40",
               *[x for url in urls for x in ("-o", "/dev/null", url)], "-w", "%{http_code} %{size_download}\n")
    assert sorted(int(line.split()[1]) for line in done.stdout.decode().splitlines()) == [n * 1000 for n in range(40)]
    assert all(line.startswith("200 ") for line in done.stdout.decode().splitlines())


@pytest.fixture(scope="module")
def refusing(shared_weir, pki):
    """Answers to uploads before they are whole."""
    respond = lambda path, status: {"name": path[1:], "match": {"path": path}, "respond": {"status": status, "body": "enough"}}
    w = shared_weir({"listeners": {"web": {"address": None},
                                   "secure": {"address": None, "tls": {"certificates": [pki.site.pair]}}},
                     "routes": [respond("/403", 403), respond("/200", 200),
                                {**respond("/413", 200), "limits": {"body": "1KiB"}}]})
    w.url = {"http": "http://127.0.0.1:%d" % w.listener("web")[1],
             "https": "https://localhost:%d" % w.listener("secure")[1]}
    return w


@pytest.mark.parametrize("scheme, version, statuses", [
    # curl 7.88 stops reading behind a successful answer of HTTP/2, and waits for a window it will not see.
    ("https", "--http2", (413, 403)), ("http", "--http2-prior-knowledge", (413, 403)),
    ("https", "--http1.1", (413, 403, 200)), ("http", "--http1.1", (413, 403, 200))])
def test_curl_is_told_why_its_upload_is_refused(refusing, pki, tmp_path, scheme, version, statuses):
    """The answer reaches it each time, and no reset in its place, however much is on its way already."""
    with open(tmp_path / "body", "wb") as file:
        file.truncate(8 << 20)
    for status in statuses:
        for _ in range(30):
            done = run("curl", "-sS", "--cacert", pki.path, version, "-H", "Expect:", "--data-binary", f"@{tmp_path}/body",
                       "-o", os.devnull, "-w", "%{http_code}", f"{refusing.url[scheme]}/{status}")
            assert (done.returncode, done.stdout) == (0, b"%d" % status), done.stderr


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_client_that_reads_the_answer_behind_its_upload(refusing, pki, scheme):
    """HTTP/1.1: all of the body is taken off its hands before the connection closes."""
    port = int(refusing.url[scheme].rsplit(":", 1)[1])
    for _ in range(5):
        connection = http.client.HTTPConnection("127.0.0.1", port) if scheme == "http" else \
            http.client.HTTPSConnection("localhost", port, context=ssl.create_default_context(cafile=pki.path))
        connection.request("POST", "/403", body=b"x" * (8 << 20))
        response = connection.getresponse()
        assert (response.status, response.read()) == (403, b"enough")
        connection.close()


def test_curl_head_and_trailers(site, weir, backend, pki):
    assert b"200" in run("curl", "-sS", "--cacert", pki.path, "--http2", "-I", site.secure + "/x").stdout
    b = backend(lambda c: (c.request(), c.send(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n")))
    w = weir(proxy_to(b))
    done = run("curl", "-sSv", "--http2-prior-knowledge", "http://127.0.0.1:%d/" % w.address[1])
    assert done.stdout == b"body" and b"42" in done.stderr


# nghttp2's own

@needs("nghttp")
def test_nghttp(site):
    done = run("nghttp", "-nv", site.plain + "/x", site.plain + "/bytes/100000")
    text = re.sub(r"\x1b\[[\d;]*m", "", done.stdout.decode())
    assert done.returncode == 0 and text.count(":status: 200") == 2
    assert "[ERROR]" not in text and "error_code=NO_ERROR" in text


@needs("nghttp")
def test_nghttp_with_trailers_padding_and_priorities(site, tmp_path):
    (tmp_path / "body").write_bytes(b"x" * 100_000)
    done = run("nghttp", "-nv", "--no-content-length", "--trailer=x-sum: 42", "--padding=100", "--weight=200", "--continuation", "-d",
               str(tmp_path / "body"), site.plain + "/up")
    assert ":status: 200" in done.stdout.decode() and done.returncode == 0
    request = [r for r in site.backend.requests if r.target == "/up"][0]
    assert request.body == b"x" * 100_000 and request.trailers.get("x-sum") == "42"


@needs("nghttp")
def test_nghttp_with_small_windows(site):
    done = run("nghttp", "-n", "-s", "--window-bits=10", "--connection-window-bits=10", "--max-concurrent-streams=3",
               site.plain + "/bytes/1000000")
    assert done.returncode == 0 and b"200" in done.stdout


@needs("h2load")
@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("options", [["-m32"], ["-m1"], ["-m100", "-w10"], ["--h1"]])
def test_h2load(site, secure, options):
    done = run("h2load", "-n3000", "-c8", *options, (site.secure if secure else site.plain) + "/x", timeout=60)
    text = done.stdout.decode()
    assert "3000 succeeded, 0 failed, 0 errored, 0 timeout" in text, text[-800:]
    assert "status codes: 3000 2xx" in text


@needs("h2load")
def test_h2load_with_bodies(site, tmp_path):
    (tmp_path / "body").write_bytes(b"x" * 100_000)
    done = run("h2load", "-n400", "-c4", "-m10", "-d", str(tmp_path / "body"), site.plain + "/up", timeout=60)
    assert "400 succeeded" in done.stdout.decode(), done.stdout.decode()[-800:]


# Python's own HTTP client

def test_python_http_client(site, pki):
    context = ssl.create_default_context(cafile=pki.path)
    connection = http.client.HTTPSConnection("localhost", site.listener("secure")[1], context=context)
    for n in range(5):
        connection.request("POST", f"/{n}", body=b"x" * n * 50_000)
        assert connection.getresponse().read().decode() == hashlib.sha256(b"x" * n * 50_000).hexdigest()
    connection.close()


# WebSocket: the websockets library, and RFC 8441

@pytest.mark.parametrize("secure", [False, True])
def test_websockets_library(site, pki, secure):
    url = (site.secure if secure else site.plain).replace("http", "ws", 1) + "/ws"
    context = ssl.create_default_context(cafile=pki.path) if secure else None

    async def talk():
        async with websockets.connect(url, ssl=context, max_size=None, compression=None) as ws:
            for message in ("", "text", "ä€😀", b"", b"\0\xff", b"x" * 200_000, "y" * 200_000):
                await ws.send(message)
                assert await ws.recv() == message
            await (await ws.ping())
            await ws.send(["in ", "three ", "pieces"])
            got = ""
            while got != "in three pieces":
                got += await ws.recv()
        return ws.close_code
    assert asyncio.run(asyncio.wait_for(talk(), 20)) == 1000


class Tunnel:
    """The bytes of an extended CONNECT stream, with the face of wire.Stream that WebSocket tests use."""

    def __init__(self, session, fields=(), path="/ws", protocol="websocket"):
        self.session, self.taken = session, 0
        session.until(lambda: session.acks, "the first exchange of SETTINGS")
        assert session.peer.get(h2wire.SETTINGS["ENABLE_CONNECT_PROTOCOL"]) == 1, "RFC 8441 §3"
        number, session.next = session.next, session.next + 2
        self.state = session.stream(number)
        session.send(h2wire.headers(number, [
            (":method", "CONNECT"), (":protocol", protocol), (":scheme", "https"), (":path", path),
            (":authority", "a.example"), ("sec-websocket-version", "13"), ("origin", "http://a.example"), *fields], False))
        session.until(lambda: self.state.head is not None or self.state.over, "an answer to CONNECT")

    def send(self, data):
        self.session.send_body(self.state.number, data, False)

    def exactly(self, count):
        self.session.until(lambda: self.state.count >= self.taken + count or self.state.over, f"{count} bytes")
        self.taken += count
        data = bytes(self.state.body[self.taken - count:self.taken])
        assert len(data) == count, f"ended: {self.state}"
        return data

    def finish(self):
        self.session.send(h2wire.data(self.state.number, b"", True))


@pytest.mark.parametrize("secure", [False, True])
def test_websocket_over_h2(site, pki, secure):
    """Extended CONNECT to an HTTP/1.1 endpoint: the key is made and the 101 checked by Weir."""
    tls = pki.context(alpn=["h2"]) if secure else None
    with h2wire.connect(site.listener("secure" if secure else "web"), tls) as s:
        tunnel = Tunnel(s, [("sec-websocket-protocol", "chat")])
        assert tunnel.state.status == 200 and not tunnel.state.ended
        for payload in (b"", b"hello", b"x" * 70_000):
            tunnel.send(wswire.frame(wswire.BINARY, payload))
            assert wswire.read_frame(tunnel.exactly) == (True, 0, wswire.BINARY, payload)
        other = s.fetch("/while-it-is-open", scheme="https" if secure else "http")
        assert other.status == 200
        tunnel.send(wswire.close_frame(1000))
        assert wswire.read_frame(tunnel.exactly)[2] == wswire.CLOSE
        tunnel.finish()
        s.until(lambda: tunnel.state.over, "the end of the stream")
        assert not s.violations and s.ping()
    request = [r for r in site.backend.requests if r.target == "/ws"][0]
    assert request.method == "GET" and request.get("Upgrade").lower() == "websocket"
    assert len(request.get("Sec-WebSocket-Key")) == 24 and request.get("Sec-WebSocket-Protocol") == "chat"


def test_fields_of_the_http1_handshake_stay_there(site):
    """Sec-WebSocket-Accept answers a key that the HTTP/2 client never sent (RFC 8441 §5)."""
    with h2wire.connect(site.address) as s:
        tunnel = Tunnel(s)
        assert tunnel.state.status == 200 and tunnel.state.get("sec-websocket-accept") is None


def test_several_websockets_on_one_h2_connection(site):
    with h2wire.connect(site.address) as s:
        tunnels = [Tunnel(s) for _ in range(20)]
        for n, tunnel in enumerate(tunnels):
            tunnel.send(wswire.frame(wswire.TEXT, b"%d" % n))
        for n, tunnel in enumerate(tunnels):
            assert wswire.read_frame(tunnel.exactly)[3] == b"%d" % n
        assert not s.violations


@pytest.mark.parametrize("status", ["200 OK", "403 Forbidden"])
def test_refused_websocket_over_h2(weir, backend, status):
    w = weir(proxy_to(backend(serve(lambda r: answer(b"no", status)))))
    with h2wire.connect(w.address) as s:
        tunnel = Tunnel(s)
        s.until(lambda: tunnel.state.over, "the end")
        # A 200 would mean that the tunnel is open: an endpoint that did not switch must not look like that.
        assert tunnel.state.status == (403 if status.startswith("403") else 502)
        assert s.fetch("/next").status == int(status[:3])


def test_websocket_over_h2_cancelled(site):
    with h2wire.connect(site.address) as s:
        tunnel = Tunnel(s)
        s.send(h2wire.frame("RST_STREAM", 0, tunnel.state.number, b"\0\0\0\x08"))
        eventually(lambda: all(c.sock.fileno() < 0 for c in site.backend.connections), "the endpoint's connection ends")
        assert s.ping()


def test_websocket_over_h2_where_not_allowed(weir, backend):
    b = backend()
    w = weir(proxy_to(b, route={"upgrades": []}))
    with h2wire.connect(w.address) as s:
        tunnel = Tunnel(s)
        assert tunnel.state.status == 403 and not b.requests


# Server-sent events and long polling

@pytest.mark.parametrize("version", ["h1", "h2"])
def test_events_arrive_one_by_one(site, version):
    """Each event is there before the next is sent."""
    if version == "h1":
        stream = site.connect()
        stream.send(head_bytes("GET /events HTTP/1.1"))
        message = stream.head()
        assert message.get("Content-Type") == "text/event-stream"
        arrived = lambda n: stream.until(b"data: event %d\n\n" % n)
    else:
        s = h2wire.connect(site.address)
        state = s.request("/events")
        arrived = lambda n: s.until(lambda: b"data: event %d\n\n" % n in state.body, f"event {n}")
    begin = time.monotonic()
    for n in range(5):
        arrived(n)
        assert time.monotonic() - begin < 0.45, f"event {n} was held back"
        begin = time.monotonic()
        site.backend.steps.release()


@pytest.mark.parametrize("version", ["h1", "h2"])
def test_long_polling(site, version):
    """A request that waits does not hold up others, and its answer arrives when it is there."""
    if version == "h1":
        stream = site.connect()
        stream.send(head_bytes("GET /poll HTTP/1.1"))
    else:
        s = h2wire.connect(site.address)
        state = s.request("/poll")
    eventually(lambda: site.backend.polls, "the poll arrives")
    assert site.get("/other").status == 200
    site.backend.news.set()
    if version == "h1":
        assert stream.response().body == b"news"
    else:
        s.until(lambda: state.over, "the news")
        assert state.body == b"news"


# A browser

PAGE = """<!doctype html><meta charset=utf-8><title>test</title><pre id=out></pre><img src="/hold-the-load-event"><script>
const results = {};
const show = () => { document.getElementById("out").textContent = JSON.stringify(results); };
const get = async () => {
  const all = await Promise.all([...Array(30).keys()].map(n => fetch("/bytes/" + n * 1000).then(r => r.text())));
  results.sizes = all.every((text, n) => text.length == n * 1000);
  results.protocol = performance.getEntriesByType("resource").map(e => e.nextHopProtocol).find(p => p);
  const sum = await (await fetch("/up", {method: "POST", body: "x".repeat(300000)})).text();
  results.upload = sum;
};
const socket = () => new Promise(done => {
  const ws = new WebSocket((location.protocol == "https:" ? "wss://" : "ws://") + location.host + "/ws");
  ws.onopen = () => ws.send("hello");
  ws.onmessage = e => { results.socket = e.data; ws.close(1000); };
  ws.onclose = e => { results.closed = e.code; done(); };
  ws.onerror = () => { results.socket = "error"; done(); };
});
const events = () => new Promise(done => {
  const source = new EventSource("/events"); const seen = [];
  source.onmessage = e => { seen.push(e.data); if (seen.length == 5) { source.close(); results.events = seen; done(); } };
  source.onerror = () => { results.events = seen; source.close(); done(); };
});
Promise.all([get(), socket(), events()]).catch(e => { results.error = String(e); }).then(() => { results.done = true; show(); fetch("/finished"); });
</script>"""


@pytest.mark.slow
@needs("chromium")
@pytest.mark.parametrize("secure", [True, False])
def test_browser(site, secure, tmp_path):
    """A page with fetches, an upload, a WebSocket and events, in headless Chromium: h2 over TLS, h1 without.

    The page's load event waits for an image that is answered when the script is done; then the DOM is dumped.
    """
    url = (site.secure if secure else site.plain) + "/page"
    done = run("chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
               "--ignore-certificate-errors", f"--user-data-dir={tmp_path}/profile", "--no-first-run",
               "--disable-background-networking",
               "--disable-component-update", "--dump-dom", url, timeout=90)
    page = done.stdout.decode()
    found = re.search(r'<pre id="out">(.*?)</pre>', page, re.S)
    assert found and found[1], (page[-500:], done.stderr.decode()[-500:])
    results = json.loads(html.unescape(found[1]))
    assert results.get("error") is None and results["done"], results
    assert results["sizes"] and results["upload"] == hashlib.sha256(b"x" * 300_000).hexdigest()
    assert results["socket"] == "hello" and results["closed"] == 1000
    assert results["events"] == [f"event {n}" for n in range(5)]
    assert results["protocol"] == ("h2" if secure else "http/1.1")
