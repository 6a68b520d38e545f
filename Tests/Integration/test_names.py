"""Endpoints by name: resolved by a real DNS server, re-resolved, and never lost to an outage."""

import os
import signal
import socket
import subprocess

import pytest

import wire
from backends import answer, serve
from harness import assert_made_by_weir, proxy_to, tcp_to
from ports import free_port
from wire import eventually

pytestmark = [pytest.mark.threads]


class Names:
    """A dnsmasq of our own with records that change."""

    def __init__(self, folder):
        self.port, self.hosts = free_port(), os.path.join(folder, "hosts")
        self.process = None
        self.set({})

    def set(self, records: dict[str, list[str]]):
        with open(self.hosts, "w") as file:
            for name, addresses in records.items():
                for address in addresses:
                    file.write(f"{address} {name}\n")
        if self.process:
            self.process.send_signal(signal.SIGHUP)

    def start(self):
        self.process = subprocess.Popen([
            "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", f"--port={self.port}", "--user=root",
            "--listen-address=127.0.0.1", "--bind-interfaces", "--no-resolv", "--no-hosts", "--local=/test/",
            f"--addn-hosts={self.hosts}", "--local-ttl=1", "--log-facility=/dev/null", "--pid-file="])
        wire.eventually(self.listens, "dnsmasq listens")

    def listens(self):
        with open("/proc/net/udp") as table:
            return f":{self.port:04X} " in table.read()

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


@pytest.fixture
def names(tmp_path):
    server = Names(str(tmp_path))
    server.start()
    yield server
    server.stop()


def resolver(names):
    return {"servers": [f"127.0.0.1:{names.port}"], "ttl-min": "100ms", "timeout": "300ms"}


def named(name):
    return serve(lambda request: answer(name.encode()))


@pytest.fixture
def pair(backend):
    """Two backends on one port of two loopback addresses."""
    one = backend(named("one"), host="127.0.0.1")
    two = backend(named("two"), host="127.0.0.2", port=one.port)
    return one, two


def answered_by(w, count=8):
    seen = set()
    for _ in range(count):
        response = w.get("/")
        seen.add(response.body.decode() if response.status == 200 else response.status)
    return seen


def test_a_change_of_records_is_followed(weir, names, pair):
    one, two = pair
    names.set({"app.test": ["127.0.0.1"]})
    w = weir(proxy_to(f"app.test:{one.port}", resolver=resolver(names)))
    eventually(lambda: answered_by(w) == {"one"}, "the first address")
    names.set({"app.test": ["127.0.0.2"]})
    eventually(lambda: answered_by(w) == {"two"}, "the second address")
    names.set({"app.test": ["127.0.0.1", "127.0.0.2"]})
    eventually(lambda: answered_by(w, 20) == {"one", "two"}, "both addresses are endpoints")


def test_an_outage_keeps_the_addresses(weir, names, pair):
    one, _ = pair
    names.set({"app.test": ["127.0.0.1"]})
    w = weir(proxy_to(f"app.test:{one.port}", resolver=resolver(names)))
    eventually(lambda: answered_by(w) == {"one"}, "resolved")
    names.stop()
    w.wait_log(r"name not resolved")
    assert answered_by(w) == {"one"}
    names.start()


def test_a_name_that_vanishes_keeps_its_addresses(weir, names, pair):
    """DNS failure never removes an endpoint (law 8)."""
    one, _ = pair
    names.set({"app.test": ["127.0.0.1"]})
    w = weir(proxy_to(f"app.test:{one.port}", resolver=resolver(names)))
    eventually(lambda: answered_by(w) == {"one"}, "resolved")
    names.set({})
    w.wait_log(r"name not resolved")
    assert answered_by(w) == {"one"}


def test_start_up_does_not_depend_on_names(weir, names, pair):
    """Weir listens at once; requests say why they cannot be served; later they are."""
    one, _ = pair
    w = weir(proxy_to(f"app.test:{one.port}", resolver=resolver(names)))
    response = w.get("/")
    assert response.status == 503
    assert_made_by_weir(response, "name-unresolved")
    names.set({"app.test": ["127.0.0.1"]})
    eventually(lambda: answered_by(w, 1) == {"one"}, "resolved at last")


def test_start_up_without_any_resolver(weir, backend, names):
    """The DNS server is down and one service has plain addresses: that one works."""
    names.stop()
    b = backend(named("plain"))
    w = weir({
        "listeners": {"web": {"address": None}}, "resolver": resolver(names),
        "routes": [{"name": "named", "match": {"path": "/named/*"}, "service": "named"},
                   {"name": "plain", "match": {"path": "/*"}, "service": "plain"}],
        "services": {"named": {"endpoints": ["app.test:80"]}, "plain": {"endpoints": [b.endpoint]}},
    })
    assert w.get("/").body == b"plain"
    assert w.get("/named/x").status == 503


def test_tcp_endpoints_by_name(weir, names, backend):
    b = backend(lambda c: (c.send(b"hello"), c.wait_end()))
    names.set({"db.test": ["127.0.0.1"]})
    w = weir(tcp_to(f"db.test:{b.port}", resolver=resolver(names)))

    def greeted():
        try:
            with w.connect().sock as sock:
                return wire.Stream(sock).exactly(5) == b"hello"
        except (wire.Ended, OSError):  # a reset may come before connect() has returned
            return False
    eventually(greeted, "the name is resolved")
