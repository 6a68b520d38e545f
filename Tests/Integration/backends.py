"""Scripted backends: servers that do on each connection exactly what a test says.

A script is a function of one connection. It reads requests, sends bytes, waits for events, closes,
resets or half-closes; the backend records every request it saw, complete or not, and how each
connection ended. A script that returns closes its connection.

    def half(c):
        c.request()
        c.send(b"HTTP/1.1 200 OK\\r\\nContent-Length: 10\\r\\n\\r\\n12345")
    with Backend(half) as b: ...
"""

import json
import os
import signal
import socket
import subprocess
import sys
import threading

from ports import free_port
from wire import Ended, Malformed, Stream, eventually, head_bytes

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def answer(body=b"ok", status="200 OK", fields=(), version="1.1") -> bytes:
    """A well-formed response with a Content-Length."""
    return head_bytes(f"HTTP/{version} {status}", [*fields, ("Content-Length", len(body))], None) + body


class Connection(Stream):
    """One accepted connection, as a script sees it."""

    def __init__(self, sock, backend, number):
        super().__init__(sock)
        self.backend, self.number = backend, number
        self.served = 0  # complete requests read on this connection
        self.end = None  # "closed" or "reset" once the peer ended it

    def request(self, **options):
        try:
            message = super().request(**options)
        except Ended as end:
            self.end = "reset" if end.reset else "closed"
            if end.partial or end.message:
                self.backend.partial.append(end.message or end.partial)
            raise
        except Malformed as bad:
            self.backend.malformed.append(str(bad))
            raise
        message.connection = self.number
        self.served += 1
        self.backend.requests.append(message)
        return message

    def wait_end(self):
        """Wait until the peer ends the connection."""
        self.rest(timeout=600)
        self.end = "reset" if self.reset else "closed"


class Backend:
    """A threaded raw-socket server on a free port of the loopback."""

    def __init__(self, script, host="127.0.0.1", port=None, backlog=1024, name="backend"):
        self.script, self.name = script, name
        self.requests, self.partial, self.malformed = [], [], []
        self.connections: list[Connection] = []
        self.release = threading.Event()  # what scripts wait for
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.socket(family)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((host, port or free_port()))
        self.listener.listen(backlog)
        self.host, self.port = self.listener.getsockname()[:2]
        self.stopped = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def _accept(self):
        while not self.stopped:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock, self, len(self.connections))
            self.connections.append(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        try:
            self.script(connection)
        except (Ended, Malformed, OSError):
            pass  # recorded by request(); the peer leaving is a normal end of a script
        except ValueError:
            if not self.stopped:  # what Python says of a socket that stop() has closed
                raise
        finally:
            connection.close()

    def stop(self):
        """Stop listening and close every connection."""
        self.stopped = True
        self.release.set()
        for sock in [self.listener, *(c.sock for c in self.connections)]:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def saw(self, target: str):
        return [r for r in self.requests if r.target == target]

    def wait_requests(self, count: int):
        eventually(lambda: len(self.requests) >= count, f"{self.name} saw {count} requests")
        return self.requests


def serve(reply):
    """A keep-alive script: reply(request) gives the bytes of each response."""

    def script(c):
        while True:
            request = c.request()
            c.send(reply(request))
            if request.get("Connection", "").lower() == "close":
                return

    return script


def fixed(data: bytes = OK):
    return serve(lambda request: data)


def once(data: bytes, end="close"):
    """Read one request, send these bytes, end the connection: close, rst, fin or hold."""

    def script(c):
        c.request()
        c.send(data)
        if end == "rst":
            c.rst()
        elif end == "fin":
            c.half_close()
            c.wait_end()
        elif end == "hold":
            c.wait_end()

    return script


def mirror(request) -> bytes:
    """A response whose body says, as JSON, what the backend received."""
    seen = {
        "start": request.start,
        "fields": list(request.fields),
        "body": request.body.decode("latin-1"),
        "framing": request.framing,
        "trailers": list(request.trailers),
        "connection": request.connection,
    }
    return answer(b"" if request.method == "HEAD" else json.dumps(seen).encode(),
                  fields=[("Content-Type", "application/json")])


def recorder(**options) -> Backend:
    return Backend(serve(mirror), **options)


def hang(c):
    """Accept, read everything, never answer."""
    c.request()
    c.wait_end()


def silent(c):
    """Accept and do nothing at all: do not even read."""
    c.backend.release.wait()


def drop(c):
    """Close at once, before any byte is read."""


class ProcessBackend:
    """A backend in its own process, so that it can be killed with SIGKILL."""

    SOURCE = (
        "import sys,time; sys.path.insert(0, sys.argv[1]); from backends import *\n"
        "def reply(c):\n"
        "    while True:\n"
        "        r = c.request()\n"
        "        if r.target == '/half':\n"
        "            c.send(b'HTTP/1.1 200 OK\\r\\nContent-Length: 1000\\r\\n\\r\\n' + b'x' * 100); time.sleep(600)\n"
        "        c.send(answer(b'alive'))\n"
        "b = Backend(reply, port=int(sys.argv[2])); print(b.port, flush=True); time.sleep(3600)\n"
    )

    def __init__(self, port=None):
        self.process = subprocess.Popen(
            [sys.executable, "-c", self.SOURCE, os.path.dirname(__file__), str(port or free_port())], stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline())
        self.endpoint = f"127.0.0.1:{self.port}"

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.process.stdout.close()


class UDPBackend:
    """A UDP server in a thread: reply(backend, data) gives the answer, or None, or a list of answers."""

    def __init__(self, reply=None, host="127.0.0.1", port=None, name=b""):
        self.reply = reply or (lambda backend, data: backend.name + data)
        self.name = name
        self.seen: list[tuple[bytes, tuple]] = []  # data and where it came from
        self.sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self.sock.bind((host, port or free_port()))
        self.host, self.port = self.sock.getsockname()[:2]
        self.endpoint = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        self.stopped = False
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        self.sock.settimeout(0.2)
        while not self.stopped:
            try:
                data, source = self.sock.recvfrom(65536)
            except TimeoutError:
                continue
            except OSError:
                return
            self.seen.append((data, source))
            answers = self.reply(self, data)
            for answer in answers if isinstance(answers, list) else [answers]:
                if answer is not None:
                    try:
                        self.sock.sendto(answer, source)
                    except OSError:
                        pass

    @property
    def sources(self):
        """The ports datagrams came from: one for each session of Weir's."""
        return {source[1] for _, source in self.seen}

    def stop(self):
        self.stopped = True
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def closed_port() -> str:
    """An address nothing listens on (connections are refused)."""
    return f"127.0.0.1:{free_port()}"


class Blackhole:
    """A listener whose full backlog makes the kernel drop further SYNs: connects never finish."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", free_port()))
        self.listener.listen(0)
        self.endpoint = "%s:%d" % self.listener.getsockname()
        self.fillers = []
        for _ in range(8):  # backlog 0 admits one or two; the others stay in SYN-SENT
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(self.listener.getsockname())
            self.fillers.append(filler)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for sock in [*self.fillers, self.listener]:
            sock.close()
