"""The rows of the benchmark: what is asked, of whom, and what was promised about the answer.

A row has `measure(running, context)`, which returns a sample: a dictionary with the row's metric and whatever else is
worth keeping. The caller adds CPU time and how the cores were used.
"""

import time

from . import load, machine
from .peers import Setup
from .udp import UDP

HTTP = ("weir", "nginx", "haproxy", "haproxy28")
SPLICING = HTTP + ("haproxy-splice",)
PROTOCOLS = HTTP + ("envoy", "caddy")
WEB_SERVERS = ("weir", "nginx", "caddy")


class Context:
    """What a measurement needs to know about the run."""

    def __init__(self, seconds, warmup, idle_connections, start_tries, proxy_core):
        self.seconds = seconds
        self.warmup = warmup
        self.idle_connections = idle_connections
        self.start_tries = start_tries
        self.proxy_core = proxy_core


class Row:
    """Base: rows measured with 64 connections that ask as fast as they are answered."""

    metric = "cpu_us"
    unit = "CPU µs/request"
    digits = 1
    timed = True  # CPU time and core use are measured around `measure`
    chart = "cpu.svg"

    def __init__(self, name, title, path="/128", peers=HTTP, setup=None, targets=(), post_bytes=0, close=False,
                 resume=False):
        self.name, self.title, self.path = name, title, path
        self.peers, self.setup, self.post_bytes, self.close = peers, setup or Setup(), post_bytes, close
        self.resume = resume  # TLS: each connection resumes a session
        if self.setup.tls or self.setup.http2 or self.setup.compressed or self.setup.files:
            self.chart = "protocols.svg"
        self.targets = dict(targets)  # peer name -> highest allowed ratio weir / peer

    def options(self):
        """Arguments of closed.c."""
        found = ["--close"] if self.close else []
        if self.post_bytes:
            found += ["--post", self.post_bytes]
        if self.setup.routes:
            found += ["--routes", self.setup.routes, self.setup.hosts]
        if self.setup.tls:
            found.append("--resume" if self.resume else "--tls")
        if self.setup.compressed:
            found += ["--field", "Accept-Encoding: gzip", "--expect", "content-encoding: gzip"]
        return found

    def check(self, running):
        body = load.RULER * (self.post_bytes // len(load.RULER)) if self.post_bytes else None
        table = self.setup.table()
        for host, prefix in (table[0], table[len(table) // 2], table[-1]) if table else [(None, "/")]:
            load.check_answer(running.port, prefix + self.path[1:], host=host, body=body, tls=self.setup.tls,
                              compressed=self.setup.compressed)

    def warm_up(self, running, context):
        load.closed(running.port, self.path, context.warmup, options=self.options())

    def measure(self, running, context):
        figures = load.closed(running.port, self.path, context.seconds, options=self.options())
        return self.sample(figures)

    def sample(self, figures):
        size = len(load.BODIES[self.path[1:]])
        if self.setup.compressed:
            size = figures["bytes"] // figures["requests"]  # the same for all, and what `check` has unpacked
        if figures["bytes"] != figures["requests"] * size:
            raise load.Failed(f"{figures['bytes']} bytes for {figures['requests']} answers of {size}")
        return {
            "requests": figures["requests"], "requests_per_s": figures["requests"] / figures["seconds"],
            "body_bytes": size, "p50_us": figures["p50_us"], "p90_us": figures["p90_us"], "p99_us": figures["p99_us"]}


class Streams(Row):
    """HTTP/2 in cleartext: few connections, many streams, as fast as they are answered."""

    connections = 8
    streams = 32

    def check(self, running):
        load.check_http2_answer(running.port, self.path)

    def warm_up(self, running, context):
        load.streams(running.port, self.path, context.warmup, self.connections, self.streams)

    def measure(self, running, context):
        return self.sample(load.streams(running.port, self.path, context.seconds, self.connections, self.streams))


class Handshake(Row):
    """A connection, a TLS handshake and one request, over and over."""

    unit = "CPU µs/handshake"
    digits = 0


class Paced(Row):
    """Open loop at a low rate: what a request costs when there is nothing to batch it with."""

    rate = 2000
    connections = 32

    def warm_up(self, running, context):
        load.client("count", running.port, self.path, 2000, self.connections)

    def measure(self, running, context):
        figures = load.client("paced", running.port, self.path, self.rate, context.seconds, self.connections)
        return {
            "requests": figures["requests"], "requests_per_s": figures["requests"] / context.seconds,
            "p50_us": figures["p50_us"], "p99_us": figures["p99_us"]}


class Idle(Row):
    """User-space memory of keep-alive connections that made one request and wait; kernel memory is not counted."""

    metric = "bytes_per_connection"
    unit = "bytes/connection (PSS)"
    digits = 0
    timed = False

    def warm_up(self, running, context):
        load.closed(running.port, self.path, 0.2, options=self.options())
        time.sleep(0.3)

    def measure(self, running, context):
        count = context.idle_connections
        rss_before, pss_before = machine.memory(running.pids)
        connections = load.IdleConnections(running.port, self.path, count, self.options())
        time.sleep(1)
        rss, pss = machine.memory(running.pids)
        connections.release()
        return {
            "requests": count, "bytes_per_connection": (pss - pss_before) / count,
            "rss_per_connection": (rss - rss_before) / count, "pss_total": pss, "rss_total": rss,
            "pss_before": pss_before}


class Start(Row):
    """From fork and exec to the first proxied answer; the median of some tries is one sample."""

    metric = "ms"
    unit = "ms to first answer"
    timed = False
    limit_ms = 25.0

    def measure_start(self, peer, folder, origin, context, port):
        command = peer.command(folder, port, origin, self.setup)
        before = self.others(context.proxy_core)
        times = [
            load.client("start", port, self.path, context.proxy_core, *command)["ms"]
            for _ in range(context.start_tries)]
        use = max(before, self.others(context.proxy_core), key=lambda each: each["foreign"])
        return {"requests": len(times), "ms": sorted(times)[len(times) // 2], "lowest_ms": min(times),
                "proxy_core": use}

    @staticmethod
    def others(core):
        """Use of the proxy's core while nothing of ours runs there: the tries are too short to be told apart."""
        before = machine.Core(core)
        time.sleep(0.4)
        return machine.core_use(before, machine.Core(core), 0)


TLS = Setup(tls=True)

# The targets are those of the project's milestones (docs/performance.md).
ROWS = [
    Row("small", "128 B, keep-alive", targets={"nginx": 0.85, "haproxy": 0.80}),
    Row("16k", "16 KiB", path="/16k", targets={"nginx": 0.70}),
    Row("1m", "1 MiB", path="/1m", peers=SPLICING, targets={"nginx": 0.45, "haproxy-splice": 0.80}),
    Row("new-connection", "new connection per request", close=True, targets={"nginx": 1.0}),
    Row("post-64k", "POST of 64 KiB", post_bytes=64 * 1024, targets={"haproxy": 0.95}),
    Row("tcp", "TCP, 128 B", setup=Setup("tcp"), targets={"haproxy": 1.0}),
    Row("tcp-1m", "TCP, 1 MiB", path="/1m", setup=Setup("tcp"), peers=SPLICING),
    UDP("udp", "UDP, 128 B, 64 sessions", "udp", targets={"nginx": 1.0}),
    UDP("udp-dns", "UDP, 128 B, a session for each", "udp-dns", targets={"nginx": 1.0}),
    Row("routes-10", "10 routes", setup=Setup(routes=10, hosts=2)),
    Row("routes-1000", "1,000 routes", setup=Setup(routes=1000, hosts=50)),
    Paced("paced", "128 B at 2,000/s, open loop"),
    Idle("idle", "10,000 idle connections", targets={"nginx": 1.0}),
    Start("start", "start to first answer", targets={"nginx": 1.0}),
    Row("tls-small", "TLS 1.3, 128 B, keep-alive", peers=PROTOCOLS, setup=TLS, targets={"nginx": 0.90}),
    Row("tls-1m", "TLS 1.3, 1 MiB", path="/1m", peers=PROTOCOLS, setup=TLS, targets={"nginx": 0.90}),
    Handshake("tls-handshake", "TLS 1.3, full handshake", close=True, peers=PROTOCOLS, setup=TLS,
              targets={"nginx": 1.05}),
    Handshake("tls-resumed", "TLS 1.3, resumed", close=True, resume=True, peers=PROTOCOLS, setup=TLS,
              targets={"nginx": 1.0}),
    Idle("idle-tls", "10,000 idle TLS connections", setup=TLS, targets={"nginx": 1.0}),
    Streams("h2-small", "HTTP/2, 8 × 32 streams, 128 B", peers=PROTOCOLS, setup=Setup(http2=True),
            targets={"nginx": 0.75, "envoy": 0.60}),
    Row("gzip", "gzip of 32 KiB of JSON", path="/json", peers=WEB_SERVERS, setup=Setup(compressed=True),
        targets={"nginx": 1.1}),
    Row("files-small", "file of 128 B", peers=WEB_SERVERS, setup=Setup(files=True)),
    Row("files-1m", "file of 1 MiB", path="/1m", peers=WEB_SERVERS, setup=Setup(files=True)),
]
BY_NAME = {row.name: row for row in ROWS}

# Weir against itself: (row, row it is compared with, highest allowed ratio).
OWN_RATIOS = [("routes-1000", "routes-10", 1.05)]
