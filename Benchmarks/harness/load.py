"""The other side of the proxy: builds the C tools, runs the origin, makes load, checks answers."""

import glob
import gzip
import http.client
import json
import os
import signal
import ssl
import subprocess
import time

HERE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(HERE, "build")
RULER = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n"
BODIES = {"128": RULER * 2, "16k": RULER * 256, "1m": RULER * 16384}  # and "json", once an origin runs
CERTIFICATE = os.path.join(BUILD, "tls", "cert.pem")
KEY = os.path.join(BUILD, "tls", "key.pem")
CERTIFICATE_AND_KEY = os.path.join(BUILD, "tls", "both.pem")
FILES = os.path.join(BUILD, "files")


class Failed(Exception):
    """A benchmark could not be run or its answers were wrong."""


class Unsupported(Exception):
    """A proxy cannot do what a row asks of it."""


def build():
    """Compiles origin, load and the allocation counter when their sources are newer."""
    os.makedirs(BUILD, exist_ok=True)
    compiler = os.environ.get("CC", "gcc")
    for name, flags, out in (
        ("origin", [], "origin"),
        ("client", [], "client"),
        ("closed", ["-lssl", "-lcrypto"], "closed"),
        ("streams", [], "streams"),
        ("udp", [], "udp"),
        ("allocations", ["-shared", "-fPIC"], "allocations.so"),
    ):
        source, target = os.path.join(HERE, name + ".c"), os.path.join(BUILD, out)
        newest = max(map(os.path.getmtime, [source, *glob.glob(os.path.join(HERE, "*.h"))]))
        if os.path.exists(target) and os.path.getmtime(target) >= newest:
            continue
        subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", target, source, *flags], check=True)
    _make_certificate()
    os.makedirs(FILES, exist_ok=True)
    for name, body in BODIES.items():
        with open(os.path.join(FILES, name), "wb") as file:
            file.write(body)


def _make_certificate():
    """A self-signed ECDSA P-256 certificate for bench.test and 127.0.0.1, made anew each day."""
    if os.path.exists(CERTIFICATE_AND_KEY) and time.time() - os.path.getmtime(CERTIFICATE_AND_KEY) < 86400:
        return
    os.makedirs(os.path.dirname(KEY), exist_ok=True)
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
         "-subj", "/CN=bench.test", "-addext", "subjectAltName=DNS:bench.test,IP:127.0.0.1", "-keyout", KEY,
         "-out", CERTIFICATE], check=True, stderr=subprocess.DEVNULL)
    with open(CERTIFICATE) as certificate, open(KEY) as key, open(CERTIFICATE_AND_KEY, "w") as both:
        both.write(certificate.read() + key.read())
    for path in (KEY, CERTIFICATE_AND_KEY):
        os.chmod(path, 0o600)


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
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/json")
        BODIES["json"] = connection.getresponse().read()
        connection.close()

    def stop(self):
        self.process.kill()
        self.process.wait()


def closed(port, path, seconds, connections=64, options=()):
    """Runs closed.c, as fast as the proxy answers; returns its figures, or raises when any request went wrong."""
    return _figures("closed", [port, path, seconds, connections, *options], timeout=seconds + 60)


def streams(port, path, seconds, connections, count):
    """Runs streams.c: HTTP/2 in cleartext, `count` requests in flight on each connection."""
    size = len(BODIES[path[1:]])
    return _figures("streams", [port, path, size, seconds, connections, count], timeout=seconds + 60)


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

    def __init__(self, port, path, count, options=()):
        self.count = count
        self.process = subprocess.Popen(
            [tool("closed"), str(port), path, "0", str(count), "--hold", *options], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline().strip() != "ready":
            self.process.wait()
            raise Failed(f"could not open {count} idle connections")

    def release(self):
        """Closes them; raises unless all were still held open by the proxy."""
        out, _ = self.process.communicate()
        figures = json.loads(out.splitlines()[-1])
        if figures["errors"] or figures["open"] != self.count:
            raise Failed(f"idle: only {figures['open']} of {self.count} connections were still open")


def check_answer(port, path, host=None, body=None, tls=False, compressed=False):
    """One request whose whole answer is compared; raises when anything is not as the origin said it."""
    if tls:
        trust = ssl.create_default_context(cafile=CERTIFICATE)
        trust.minimum_version = ssl.TLSVersion.TLSv1_3
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=trust)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        headers = {"Host": host} if host else {}
        if compressed:
            headers["Accept-Encoding"] = "gzip"
        connection.request("POST" if body else "GET", path, body=body, headers=headers)
        answer = connection.getresponse()
        received = answer.read()
        if compressed:
            if answer.headers["Content-Encoding"] != "gzip":
                raise Failed(f"{path}: Content-Encoding is {answer.headers['Content-Encoding']}")
            received = gzip.decompress(received)
    except (OSError, EOFError, http.client.HTTPException) as error:
        raise Failed(f"{path}: {error!r}") from None
    finally:
        connection.close()
    if answer.version != 11 or answer.status != 200:
        raise Failed(f"{path}: status {answer.status}, version {answer.version}")
    _compare(path, received)


def check_http2_answer(port, path):
    """The same over cleartext HTTP/2 with prior knowledge."""
    result = subprocess.run(
        ["curl", "-sS", "--max-time", "10", "--http2-prior-knowledge", "-w", "%{stderr}%{http_version} %{http_code}",
         f"http://127.0.0.1:{port}{path}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = result.stderr.decode(errors="replace").strip()
    if said != "2 200":
        raise Failed(f"{path}: {said}")
    _compare(path, result.stdout)


def _compare(path, received):
    expected = BODIES[path.rsplit("/", 1)[1]]
    if received != expected:
        raise Failed(f"{path}: {len(received)} bytes that are not the {len(expected)} expected")
