"""The UDP rows: datagrams echoed through a proxy; see udp.c.

A request is a round trip: one datagram to the endpoint and one back. The echo server runs only while it is measured,
so that its CPU time is accounted to the load's core when it is waited for.
"""

import json
import os
import socket
import subprocess

from . import load
from .load import Failed
from .peers import Setup


class Echo:
    """An echo server on the UDP port with the number of the origin's."""

    def __init__(self, port):
        self.process = subprocess.Popen([load.tool("udp"), "echo", str(port)], stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ready":
            raise Failed("the UDP echo server did not start")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def run(mode, *arguments):
    result = subprocess.run([load.tool("udp"), mode, *map(str, arguments)], stdout=subprocess.PIPE, text=True, timeout=600)
    try:
        figures = json.loads(result.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        raise Failed(f"udp {mode}: no answer") from None
    if figures["errors"] or not figures["requests"] or figures["lost"] > figures["requests"] // 1000:
        raise Failed(f"udp {mode}: {figures}")
    return figures


class UDP:
    """64 clients with one datagram of 128 bytes under way each. With mode "udp-dns" every answer ends its session."""

    metric = "cpu_us"
    unit = "CPU µs/round trip"
    chart = "protocols.svg"
    digits = 1
    timed = True
    clients = 64
    bytes = 128

    def __init__(self, name, title, mode, targets):
        self.name, self.title, self.setup = name, title, Setup(mode)
        self.peers, self.targets = ("weir", "nginx"), dict(targets)

    def check(self, running):
        with Echo(running.origin), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(1)
            client.connect(("127.0.0.1", running.port))
            for size in (1, 128, 1472, 9000):
                data = os.urandom(size)
                client.send(data)
                if client.recv(65536) != data:
                    raise Failed(f"{running.name}: not what was sent")

    def warm_up(self, running, context):
        with Echo(running.origin):
            run("load", running.port, context.warmup, self.clients, self.bytes)

    def measure(self, running, context):
        with Echo(running.origin):
            figures = run("load", running.port, context.seconds, self.clients, self.bytes)
        return {
            "requests": figures["requests"], "requests_per_s": figures["requests"] / figures["duration_us"] * 1e6,
            "lost": figures["lost"], "p50_us": figures["p50_us"], "p99_us": figures["p99_us"]}
