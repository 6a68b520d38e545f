"""The other side of the proxy: builds the C tools, runs the origin, makes load, checks answers."""

import http.client
import json
import os
import signal
import subprocess

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(HERE, "build")
RULER = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n"
SIZES = {"128": 128, "16k": 16 * 1024, "1m": 1024 * 1024}


class Failed(Exception):
    """A benchmark could not be run or its answers were wrong."""


def build():
    """Compiles origin, load and the allocation counter when their sources are newer."""
    os.makedirs(BUILD, exist_ok=True)
    compiler = os.environ.get("CC", "gcc")
    for name, flags, out in (
        ("origin", [], "origin"),
        ("client", [], "client"),
        ("udp", [], "udp"),
        ("closed", [], "closed"),
        ("allocations", ["-shared", "-fPIC"], "allocations.so"),
    ):
        source, target = os.path.join(HERE, name + ".c"), os.path.join(BUILD, out)
        if os.path.exists(target) and os.path.getmtime(target) >= os.path.getmtime(source):
            continue
        subprocess.run([compiler, "-O2", "-Wall", "-Wextra", *flags, "-o", target, source], check=True)


def tool(name):
    return os.path.join(BUILD, name)


def on_core(core):
    """For Popen's preexec_fn: its own process group, one core, defaults for signals."""

    def prepare():
        os.setpgid(0, 0)
        os.sched_setaffinity(0, {core})
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)

    return prepare


class Origin:
    """The origin process, on the load's core."""

    def __init__(self, core):
        self.process = subprocess.Popen(
            [tool("origin"), "0"], stdout=subprocess.PIPE, text=True, preexec_fn=on_core(core))
        line = self.process.stdout.readline().split()
        if not line:
            raise Failed("the origin did not start")
        self.port = int(line[1])
        self.pid = self.process.pid

    def stop(self):
        self.process.kill()
        self.process.wait()


def closed(port, path, seconds, connections=64, options=()):
    """Runs closed.c, as fast as the proxy answers; returns its figures, or raises when any request went wrong."""
    return _figures("closed", [port, path, seconds, connections, *options], timeout=seconds + 60)


def client(mode, *arguments):
    """Runs one mode of client.c to its end and returns its figures."""
    return _figures("client", [mode, *arguments], timeout=600)


def _figures(program, arguments, timeout):
    try:
        result = subprocess.run(
            [tool(program), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            timeout=timeout)
        figures = json.loads(result.stdout.splitlines()[-1])
    except subprocess.TimeoutExpired:
        raise Failed(f"{program}: not finished after {timeout} s") from None
    except (IndexError, ValueError):
        raise Failed(f"{program}: {result.stderr.strip() or 'no answer'}") from None
    if figures["errors"] or not figures["requests"]:
        raise Failed(f"{program}: {figures['errors']} errors in {figures['requests']} requests: {result.stderr.strip()}")
    return figures


class IdleConnections:
    """Keep-alive connections that made one request each and now wait."""

    def __init__(self, port, path, count):
        self.count = count
        self.process = subprocess.Popen(
            [tool("client"), "idle", str(port), path, str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True)
        if self.process.stdout.readline().strip() != "ready":
            self.process.wait()
            raise Failed(f"could not open {count} idle connections")

    def release(self):
        """Closes them; raises unless all were still held open by the proxy."""
        out, _ = self.process.communicate()
        figures = json.loads(out.splitlines()[-1])
        if figures["errors"] or figures["open"] != self.count:
            raise Failed(f"idle: only {figures['open']} of {self.count} connections were still open")


def check_answer(port, path, host=None, body=None):
    """One request whose whole answer is compared; raises when anything is not as the origin said it."""
    size = SIZES[path.rsplit("/", 1)[1]]
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"Host": host} if host else {}
        connection.request("POST" if body else "GET", path, body=body, headers=headers)
        answer = connection.getresponse()
        received = answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Failed(f"{path}: {error!r}") from None
    finally:
        connection.close()
    if answer.version != 11 or answer.status != 200:
        raise Failed(f"{path}: status {answer.status}, version {answer.version}")
    if received != RULER * (size // 64):
        raise Failed(f"{path}: {len(received)} bytes that are not the origin's {size}")
