"""Unix sockets: what stands in their place is never harmed, who may connect, and who their clients are."""

import json
import os
import signal
import socket
import stat
import subprocess
import threading

import pytest

import wire
from backends import recorder
from harness import BINARY, merge, proxy_to
from wire import eventually

pytestmark = [pytest.mark.threads]


@pytest.fixture
def origin():
    with recorder() as backend:
        yield backend


def configuration(folder, config):
    path = folder / "own.yaml"
    path.write_text(json.dumps({"workers": 2, **config}))
    return str(path)


def place(what, path, origin):
    """A configuration that listens at the path: as a listener or with the admin API."""
    if what == "admin":
        return {**proxy_to(origin, listener={"address": f"unix:{path}.other"}), "admin": {"address": f"unix:{path}"}}
    return {**proxy_to(origin, listener={"address": f"unix:{path}"}), "admin": "off"}


def start(path):
    return subprocess.Popen([BINARY, "run", "-c", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def answers(path):
    try:
        return wire.get(str(path), "/healthz").status in (200, 404)
    except OSError:
        return False


@pytest.mark.parametrize("what", ["listener", "admin"])
@pytest.mark.parametrize("kind", ["regular file", "symbolic link", "FIFO", "folder"])
def test_what_is_no_socket_is_left_alone(tmp_path, origin, what, kind):
    path = tmp_path / "s"
    target = tmp_path / "target"
    target.write_text("precious")
    {"regular file": lambda: path.write_text("precious"), "symbolic link": lambda: path.symlink_to(target),
     "FIFO": lambda: os.mkfifo(path), "folder": path.mkdir}[kind]()
    before = os.lstat(path)
    result = subprocess.run([BINARY, "run", "-c", configuration(tmp_path, place(what, path, origin))],
                            capture_output=True, text=True, timeout=30)
    assert result.returncode == 1
    assert f"cannot listen on unix:{path}" in result.stderr and f"{kind} has this name" in result.stderr
    after = os.lstat(path)
    assert (after.st_ino, after.st_mode, after.st_size) == (before.st_ino, before.st_mode, before.st_size)
    assert target.read_text() == "precious"


@pytest.mark.parametrize("what", ["listener", "admin"])
def test_a_socket_of_the_living_is_left_alone(tmp_path, origin, what):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as somebody:
        somebody.bind(str(path))
        somebody.listen()
        result = subprocess.run([BINARY, "run", "-c", configuration(tmp_path, place(what, path, origin))],
                                capture_output=True, text=True, timeout=30)
        assert result.returncode == 1 and "Address already in use" in result.stderr
        assert stat.S_ISSOCK(os.lstat(path).st_mode)


@pytest.mark.parametrize("what", ["listener", "admin"])
def test_a_socket_of_the_dead_is_replaced_and_ours_removed_at_the_end(tmp_path, origin, what):
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(path))
    config = configuration(tmp_path, place(what, path, origin))
    for end in (signal.SIGTERM, signal.SIGQUIT):
        process = start(config)
        eventually(lambda: answers(path), "somebody answers on the socket")
        process.send_signal(end)
        assert process.wait(30) == 0, process.stdout.read()
        assert sorted(os.listdir(tmp_path)) == ["own.yaml"]
    # After a death without an end the file is still there, and the next start takes it.
    process = start(config)
    eventually(lambda: answers(path), "somebody answers on the socket")
    process.kill()
    process.wait()
    assert stat.S_ISSOCK(os.lstat(path).st_mode)
    process = start(config)
    eventually(lambda: answers(path), "somebody answers on the socket")
    process.terminate()
    assert process.wait(30) == 0


def test_a_successor_keeps_its_socket(tmp_path, origin):
    """A process that drains gives its name up at once; the one that takes it does not lose it to our end."""
    path = tmp_path / "s"
    config = configuration(tmp_path, place("listener", path, origin))
    first = start(config)
    eventually(lambda: answers(path), "the first serves")
    held = wire.connect(str(path))
    held.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\na")
    first.terminate()
    eventually(lambda: not path.exists(), "the name is free")
    second = start(config)
    eventually(lambda: answers(path), "the second serves")
    held.send(b"b")
    assert held.response().status == 200
    assert first.wait(30) == 0
    assert answers(path), "the second still has its name"
    second.terminate()
    assert second.wait(30) == 0 and not path.exists()


def test_of_two_starters_one_serves(tmp_path, origin):
    path = tmp_path / "s"
    config = configuration(tmp_path, place("listener", path, origin))
    for _ in range(3):
        with socket.socket(socket.AF_UNIX) as gone:
            gone.bind(str(path))
        both = [start(config) for _ in range(3)]
        eventually(lambda: sum(p.poll() is None for p in both) == 1, "two of three have given up")
        eventually(lambda: answers(path), "the one that is left answers")
        alive = [p for p in both if p.poll() is None]
        assert len(alive) == 1
        assert all(p.returncode == 1 and "Address already in use" in p.stdout.read() for p in both if p not in alive)
        alive[0].terminate()
        assert alive[0].wait(30) == 0


@pytest.mark.parametrize("what", ["listeners.web", "admin"])
def test_mode_owner_and_group(weir, origin, tmp_path, what):
    path = tmp_path / "s"
    w = weir(proxy_to(origin))
    if what == "admin":
        first = {**w.config, "admin": {"address": [w.config["admin"]["address"], f"unix:{path}"]}}
    else:
        first = merge(w.config, {"listeners": {"unix": {"address": f"unix:{path}"}}})
    section = lambda c: c["admin"] if what == "admin" else c["listeners"]["unix"]
    def reload(**access):
        changed = json.loads(json.dumps(first))
        section(changed).update(access)
        w.write_text(json.dumps(changed))
        generation = w.metric("weir_snapshot_generation")
        w.signal(signal.SIGHUP)
        eventually(lambda: w.metric("weir_snapshot_generation") > generation, "the reload is in effect")
        return os.stat(path)
    root = os.getuid() == 0
    found = reload(mode="0600", **({"owner": "nobody"} if root else {}))
    assert stat.S_IMODE(found.st_mode) == 0o600 and stat.S_ISSOCK(found.st_mode)
    if root:
        assert found.st_uid == int(subprocess.check_output(["id", "-u", "nobody"]))
    # A kept socket follows, too.
    again = reload(mode="0660", **({"group": "12345"} if root else {}))
    assert stat.S_IMODE(again.st_mode) == 0o660 and again.st_ino == found.st_ino
    if root:
        assert again.st_gid == 12345
    assert answers(path)


def test_abstract_sockets(weir, origin):
    name = f"weir-test-{os.getpid()}"
    config = merge(proxy_to(origin), {"listeners": {"hidden": {"address": f"unix:@{name}"}}})
    w = weir(config)
    assert wire.get("\0" + name, "/").status == 200
    assert w.wait_record(lambda line: line["listener"] == "hidden")["client"] == "unix:"
    # An endpoint may have such a name, too, and so may who is asked for the status.
    w.reload(merge({**config, "services": {"origin": {"endpoints": [f"unix:@{name}-origin"]}}},
                   {"listeners": w.config["listeners"]}))
    with socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind("\0" + name + "-origin")
        endpoint.listen()
        def serve():
            peer, _ = endpoint.accept()
            peer.recv(65536)
            peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nabstract")
            peer.close()
        thread = threading.Thread(target=serve)
        thread.start()
        assert w.get("/").body == b"abstract"
        thread.join()


# Who clients of Unix sockets are

def heard(origin):
    return origin.requests[-1]


def test_clients_have_an_address(weir, origin, tmp_path):
    path = str(tmp_path / "s")
    w = weir(proxy_to(origin, listener={"address": f"unix:{path}"},
                      route={"headers": {"request": {"set": {"X-Client": "{client.ip}"}}}},
                      forwarded={"forwarded": True}))
    assert wire.get(path, "/", [("X-Forwarded-For", "203.0.113.9")]).status == 200
    request = heard(origin)
    assert request.get("X-Client") == "unix:"
    assert request.get("X-Forwarded-For") == "unix:", "nobody trusts a client that is not said to be trusted"
    assert "for=_unix" in request.get("Forwarded")
    assert w.wait_records(1)[0]["client"] == "unix:"


@pytest.mark.parametrize("field, value, client", [
    ("X-Forwarded-For", "203.0.113.9", "203.0.113.9"),
    ("X-Forwarded-For", "198.51.100.1, unix:", "198.51.100.1"),
    ("X-Forwarded-For", "unix:", "unix:"),
    ("Forwarded", "for=198.51.100.1, for=_unix", "198.51.100.1"),
])
def test_clients_can_be_trusted(weir, origin, tmp_path, field, value, client):
    path = str(tmp_path / "s")
    w = weir(proxy_to(origin, listener={"address": f"unix:{path}"},
                      route={"headers": {"request": {"set": {"X-Client": "{client.ip}"}}}},
                      **{"client-address": {"trusted": ["unix"]}}))
    assert wire.get(path, "/", [(field, value)]).status == 200
    request = heard(origin)
    assert request.get("X-Client") == client
    if field == "X-Forwarded-For":
        assert request.get("X-Forwarded-For") == f"{value}, unix:"
    assert w.wait_records(1)[0]["client"] == client


def test_nobody_else_is_trusted_by_that(weir, origin):
    w = weir(proxy_to(origin, route={"headers": {"request": {"set": {"X-Client": "{client.ip}"}}}},
                      **{"client-address": {"trusted": "unix"}}))
    assert w.get("/", [("X-Forwarded-For", "203.0.113.9, unix:")]).status == 200
    assert heard(origin).get("X-Client") == "127.0.0.1"


def test_explain_as_a_client_of_a_unix_socket(tmp_path, origin):
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps(proxy_to(origin, listener={"address": f"unix:{tmp_path}/s"},
                                        **{"client-address": {"trusted": ["unix"]}})))
    result = subprocess.run([BINARY, "explain", "-c", str(path), "--client", "unix", "/", "-H", "X-Forwarded-For: 192.0.2.1"],
                            capture_output=True, text=True)
    assert "client    192.0.2.1  (told by trusted proxies; the peer is unix:)" in result.stdout, result
