"""The built binary as a fixture: start it on free ports, watch it, read its records, stop it.

WEIR_BIN names the binary (default .build/release/weir). Configurations are Python mappings in the
shape of weir.yaml (design: the contract users see) and are written as JSON, which is YAML. Every
wait is for a condition.
"""

import copy
import json
import os
import re
import signal
import socket
import subprocess
import threading
import time

import wire
from ports import free_port
from wire import eventually

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
BINARY = os.path.abspath(os.environ.get("WEIR_BIN", os.path.join(ROOT, ".build/release/weir")))
FULL = os.environ.get("WEIR_FULL") == "1"


def merge(base, over):
    """Maps merge by key, lists replace, None removes: the configuration's own rule."""
    if not (isinstance(base, dict) and isinstance(over, dict)):
        return copy.deepcopy(over)
    result = dict(base)
    for key, value in over.items():
        result[key] = merge(base.get(key), value)
        if value is None:
            del result[key]
    return result


def address_of(backend):
    """Backends, "host:port" strings and endpoint mappings may all stand in an endpoint list."""
    if isinstance(backend, dict):
        return backend
    return getattr(backend, "endpoint", backend)


def proxy_to(*endpoints, listener=None, route=None, service=None, **top) -> dict:
    """A configuration with one HTTP listener, one route for everything and one service."""
    return merge({
        "listeners": {"web": {"address": None, **(listener or {})}},
        "routes": [{"name": "all", "match": {"path": "/*"}, "service": "origin", **(route or {})}],
        "services": {"origin": {"endpoints": [address_of(e) for e in endpoints], **(service or {})}},
    }, top)


def tcp_to(*endpoints, listener=None, service=None, **top) -> dict:
    """A configuration with one TCP listener and one service."""
    return merge({
        "listeners": {"tcp": {"address": None, "protocol": "tcp", "service": "origin", **(listener or {})}},
        "services": {"origin": {"endpoints": [address_of(e) for e in endpoints], **(service or {})}},
    }, top)


def udp_to(*endpoints, listener=None, service=None, **top) -> dict:
    """A configuration with one UDP listener and one service."""
    return merge({
        "listeners": {"udp": {"address": None, "protocol": "udp", "service": "origin", **(listener or {})}},
        "services": {"origin": {"endpoints": [address_of(e) for e in endpoints], **(service or {})}},
    }, top)


class Weir:
    """A running `weir run -c FILE`."""

    def __init__(self, config: dict, folder, arguments=(), limits=None, start=True):
        self.folder = str(folder)
        self.config_path = os.path.join(self.folder, "weir.yaml")
        self.access_path = os.path.join(self.folder, "access.log")
        self.output_path = os.path.join(self.folder, "weir.log")
        self.arguments, self.limits = list(arguments), limits
        self.process = None
        self.said_before = 0  # bytes of output that belong to earlier tests
        self.config = self.write(config)
        if start:
            self.start()

    # configuration
    def write(self, config: dict) -> dict:
        """Fill in free ports, admin and access log, and write the file."""
        base = {
            "workers": 2,
            "telemetry": {"access-log": {"path": self.access_path, "format": "json"}},
            "admin": {"address": f"127.0.0.1:{free_port()}"} if not hasattr(self, "config")
            else self.config["admin"],
        }
        config = merge(base, config)
        for listener in config["listeners"].values():
            if listener.get("address") is None:
                listener["address"] = f"127.0.0.1:{free_port()}"
        self.write_text(json.dumps(config, indent=2))
        return config

    def write_text(self, text: str):
        """Replace the file atomically, as a deployment would."""
        with open(self.config_path + ".new", "w") as file:
            file.write(text)
        os.replace(self.config_path + ".new", self.config_path)

    def listener(self, name=None):
        """(host, port) of a listener, or the path of a Unix socket."""
        listeners = self.config["listeners"]
        address = listeners[name or next(iter(listeners))]["address"]
        if address.startswith("unix:"):
            return address[5:]
        host, _, port = address.rpartition(":")
        return (host.strip("[]") or "127.0.0.1", int(port))

    @property
    def address(self):
        return self.listener()

    @property
    def admin(self):
        host, _, port = self.config["admin"]["address"].rpartition(":")
        return (host, int(port))

    # the process
    def start(self):
        self.output = open(self.output_path, "ab")

        def prepare():
            import resource
            for which, value in (self.limits or {}).items():
                resource.setrlimit(which, value)

        self.process = subprocess.Popen(
            [BINARY, "run", "-c", self.config_path, *self.arguments],
            stdout=self.output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            preexec_fn=prepare if self.limits else None)
        self.wait_ready()

    def take_over(self, config: dict, folder):
        """Serve another test: a new file, a new access log, and nothing of what was said before."""
        self.said_before = os.path.getsize(self.output_path)
        self.folder = str(folder)
        self.access_path = os.path.join(self.folder, "access.log")
        self.reload(config)
        self.wait_ready()

    def is_left_alone(self) -> bool:
        """Whether it runs and neither a connection nor an attempt of the test before is left."""
        if self.process.poll() is not None:
            return False
        left = ("weir_listener_active_connections", "weir_endpoint_active_attempts")
        quiet = lambda: not any(self.metric(name) for name in left)
        try:
            return eventually(quiet, "nothing is left", timeout=0.5)
        except (AssertionError, OSError):
            return False

    def wait_ready(self):
        wanted, datagrams = {self.admin[1]}, set()
        for name, listener in self.config["listeners"].items():
            address = self.listener(name)
            if isinstance(address, tuple):
                (datagrams if listener.get("protocol") == "udp" else wanted).add(address[1])

        def ready():
            if self.process.poll() is not None:
                raise AssertionError(f"weir exited with {self.process.returncode}:\n{self.log()}")
            return wanted <= listening_ports() and datagrams <= listening_ports("udp", state="07")

        eventually(ready, f"weir listens on {wanted | datagrams}")

    def log(self) -> str:
        with open(self.output_path, errors="replace") as file:
            file.seek(self.said_before)
            return file.read()

    def wait_log(self, pattern: str, timeout=wire.PATIENCE) -> re.Match:
        return eventually(lambda: re.search(pattern, self.log()), f"log matches {pattern!r}", timeout)

    @property
    def pid(self) -> int:
        return self.process.pid

    def signal(self, number):
        self.process.send_signal(number)

    def reload(self, config=None, text=None):
        """Write a new file and SIGHUP; returns once the log speaks of one more reload, and all workers follow."""
        before = self.log().lower().count("reload")
        if config is not None:
            self.config = self.write(config)
        if text is not None:
            self.write_text(text)
        self.signal(signal.SIGHUP)
        eventually(lambda: self.log().lower().count("reload") > before, "the log tells of the reload")
        eventually(self.follows_newest, "every worker is at the newest configuration")

    def follows_newest(self) -> bool:
        samples = self.metrics()
        newest = samples["weir_snapshot_generation", frozenset()]
        return all(value == newest for (name, _), value in samples.items() if name == "weir_worker_snapshot_generation")

    def wait_exit(self, timeout=wire.PATIENCE) -> int:
        return self.process.wait(timeout)

    def stop(self):
        """Stop now (two SIGTERMs); returns the exit code, -9 when it had to be killed, or None when it never ran."""
        if self.process is None:
            return None
        if self.process.poll() is None:
            for _ in range(2):
                self.process.send_signal(signal.SIGTERM)
                try:
                    self.process.wait(2)
                    break
                except subprocess.TimeoutExpired:
                    continue
            else:
                self.process.kill()
                self.process.wait()
        self.output.close()
        return self.process.returncode

    # what it uses
    def rss_kib(self) -> int:
        with open(f"/proc/{self.pid}/status") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read())[1])

    def descriptors(self) -> int:
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    # what it says
    def get(self, target="/", *fields, **options):
        return wire.get(self.address, target, *fields, **options)

    def connect(self, name=None):
        return wire.connect(self.listener(name))

    def access_log(self) -> list[dict]:
        if not os.path.exists(self.access_path):
            return []
        with open(self.access_path) as file:
            # At once: a line that is read in two pieces, as it is being written, would look like two.
            whole, _, _ = file.read().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def wait_records(self, count: int) -> list[dict]:
        return eventually(lambda: (lines := self.access_log()) and len(lines) >= count and lines,
                          f"{count} access-log lines (have {len(self.access_log())})")

    def wait_record(self, condition, what="a certain access-log line") -> dict:
        """The first access-log line for which condition(line) holds."""
        return eventually(lambda: [line for line in self.access_log() if condition(line)], what)[0]

    def wait_reason(self, reason: str) -> dict:
        return self.wait_record(lambda line: line.get("reason") == reason, f"a log line with reason {reason}")

    def ask_admin(self, target: str):
        return wire.get(self.admin, target, host=self.config["admin"]["address"])

    def administer(self, endpoint, service="origin", **order):
        query = "&".join(f"{key}={value}" for key, value in order.items())
        return wire.get(self.admin, f"/api/v1/endpoints?service={service}&endpoint={endpoint}&{query}",
                        [("X-Weir-Request", "1")], method="POST", host="localhost")

    def metrics(self) -> dict[tuple, float]:
        """Samples of /metrics: {(name, frozenset(labels)): value}."""
        return parse_metrics(self.ask_admin("/metrics").body.decode())

    def metric(self, name: str, **labels) -> float:
        """The sum of all samples of this name that carry these labels."""
        wanted = {(key.rstrip("_"), value) for key, value in labels.items()}
        return sum(value for (n, l), value in self.metrics().items() if n == name and wanted <= l)


def parse_metrics(text: str) -> dict[tuple, float]:
    samples = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = re.fullmatch(r'([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)', line)
        assert match, f"not a Prometheus sample: {line!r}"
        labels = frozenset(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
        assert (match[1], labels) not in samples, f"sample twice: {line!r}"
        samples[match[1], labels] = float(match[3])
    return samples


def listening_ports(protocol="tcp", state="0A") -> set[int]:
    ports = set()
    for table in (f"/proc/net/{protocol}", f"/proc/net/{protocol}6"):
        with open(table) as file:
            for line in file:
                columns = line.split()
                if columns[3] == state:
                    ports.add(int(columns[1].rpartition(":")[2], 16))
    return ports


def assert_made_by_weir(response, reason: str):
    """Every response Weir makes itself says so, with the reason and a request id (law 3)."""
    if "WEIR_PEER" in os.environ:  # another proxy is tested, to test the tests
        return
    status = response.get("Proxy-Status", "")
    assert re.match(r"weir\b", status), f"Proxy-Status: {status!r}"
    assert re.search(rf'details="[^"]*\b{re.escape(reason)}\b', status), f"{status!r} lacks {reason}"
    assert "error=" in status, status
    assert response.get("X-Request-Id"), f"no request id in {response}"
    if response.framing != "none":
        assert reason.encode() in response.body, response.body


def assert_answers(weir, target="/"):
    """A fresh connection is served."""
    assert weir.get(target).status == 200


class Load:
    """Threads that send requests on keep-alive connections until stopped, and account for each.

    A request counts as failed unless a complete 200 came back; the one exception is a reused
    connection that ended before the first byte of a response (the keep-alive race every client must
    handle, RFC 9112 §9.5), which is repeated on a fresh connection.
    """

    def __init__(self, address, threads=4, per_connection=50, body=b"", target="/load"):
        self.address, self.per_connection, self.target = address, per_connection, target
        self.body = body
        self.done, self.raced, self.failures, self.refused = 0, 0, [], 0
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, args=(n,), daemon=True) for n in range(threads)]

    def _run(self, number):
        sequence = 0
        while not self.stopping.is_set():
            try:
                stream = wire.connect(self.address)
            except OSError:
                self.refused += 1
                if self.stopping.wait(0.01):
                    return
                continue
            for use in range(self.per_connection):
                if self.stopping.is_set():
                    break
                sequence += 1
                target = f"{self.target}/{number}/{sequence}"
                try:
                    method = "POST" if self.body else "GET"
                    fields = [("Content-Length", len(self.body))] if self.body else []
                    stream.send(wire.head_bytes(f"{method} {target} HTTP/1.1", fields) + self.body)
                    response = stream.response()
                    if response.status != 200:
                        raise AssertionError(f"{response.status} {response.body[:200]!r}")
                    with self.lock:
                        self.done += 1
                    if response.get("Connection", "").lower() == "close":
                        break
                except (wire.Ended, OSError) as end:
                    if use > 0 and not getattr(end, "partial", b"") and not getattr(end, "message", None):
                        with self.lock:
                            self.raced += 1
                    else:
                        self.failures.append(f"{target} (use {use}): {end!r}")
                    break
                except (AssertionError, wire.Malformed) as wrong:
                    self.failures.append(f"{target}: {wrong!r}")
                    break
            stream.close()

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(wire.PATIENCE)

    def wait_done(self, more: int, timeout=wire.PATIENCE):
        goal = self.done + more
        eventually(lambda: self.done >= goal or self.failures, f"{more} more requests served", timeout)
        assert not self.failures, self.failures[:3]


def timed(function):
    start = time.monotonic()
    result = function()
    return result, time.monotonic() - start
