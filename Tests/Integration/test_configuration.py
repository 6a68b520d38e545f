"""The configuration file: what it may name, what `weir check` finds, references, defaults of routes, relative paths."""

import json
import os
import re
import resource
import subprocess

import pytest

import certs
import wire
from backends import recorder
from harness import BINARY, proxy_to
from ports import free_port


def check(path, **options):
    """`weir check`; one that hangs fails by its timeout."""
    return subprocess.run([BINARY, "check", "-c", str(path)], capture_output=True, text=True, timeout=60, **options)


def explain(path, *arguments, **options):
    return subprocess.run([BINARY, "explain", "-c", str(path), *arguments], capture_output=True, text=True, timeout=60,
                          **options)


def write(folder, text, name="weir.yaml"):
    path = folder / name
    path.write_text(text if isinstance(text, str) else json.dumps(text, indent=1))
    return path


@pytest.fixture
def origin():
    with recorder() as backend:
        yield backend


def seen_fields(response):
    return {name.lower(): value for name, value in json.loads(response.body)["fields"]}


# files that are none

@pytest.fixture(params=["fifo", "folder", "device", "link to a fifo"])
def no_file(request, tmp_path):
    path = str(tmp_path / "odd")
    if request.param == "folder":
        os.mkdir(path)
    elif request.param == "device":
        os.symlink("/dev/zero", path)
    elif request.param == "fifo":
        os.mkfifo(path)
    else:
        os.mkfifo(path + ".target")
        os.symlink(path + ".target", path)
    return path, {"fifo": "a FIFO", "folder": "a folder", "device": "a device", "link to a fifo": "a FIFO"}[request.param]


def test_a_configuration_that_is_no_file(no_file):
    path, what = no_file
    for command in ("check", "run", "cert"):
        result = subprocess.run([BINARY, command, "-c", path], capture_output=True, text=True, timeout=60)
        assert result.returncode == 1 and f"it is {what}, not a file" in result.stderr, command


def test_files_named_by_a_configuration_that_are_none(no_file, tmp_path):
    path, what = no_file
    issued = certs.CA(tmp_path).issue("a.example", name="right")
    right = {"cert": issued.cert, "key": issued.key}
    base = proxy_to("127.0.0.1:9", listener={"address": "127.0.0.1:18080"})
    listener_tls = [
        {"certificates": [{**right, "cert": path}]}, {"certificates": [{**right, "key": path}]},
        {"certificates": [{**right, "ocsp": path}]},
        {"certificates": [right], "client-certificates": {"ca": path}},
    ]
    cases = [{**base, "listeners": {"web": {"address": "127.0.0.1:18080", "tls": tls}}} for tls in listener_tls]
    for tls in ({"ca": path}, {"cert": path, "key": issued.key}, {"cert": issued.cert, "key": path}):
        cases.append({**base, "services": {"origin": {"endpoints": ["127.0.0.1:9"], "tls": tls}}})
    cases.append({**base, "drain": "${file:%s}" % path})
    for case in cases:
        result = check(write(tmp_path, case))
        assert result.returncode == 1, case
        assert re.search(rf"weir\.yaml:\d+:\d+: error: {re.escape(path)} is {what}, not a file", result.stderr), case


def test_a_log_nobody_reads_is_no_wait(tmp_path):
    os.mkfifo(tmp_path / "log")
    path = write(tmp_path, {**proxy_to("127.0.0.1:9", listener={"address": f"127.0.0.1:{free_port()}"}), "admin": "off",
                            "telemetry": {"access-log": {"path": "./log"}}})
    result = subprocess.run([BINARY, "run", "-c", str(path)], capture_output=True, text=True, timeout=60)
    assert result.returncode == 1 and f"cannot open {tmp_path}/log" in result.stderr


def test_the_configuration_through_a_pipe():
    text = json.dumps(proxy_to("127.0.0.1:9", listener={"address": "127.0.0.1:18080"}))
    result = subprocess.run([BINARY, "check", "-c", "-"], input=text, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr


# weir check

def test_check_reports_errors_of_every_kind_at_once(tmp_path):
    path = write(tmp_path, """
telemetry: { access-log: { path: none/access.log } }
listeners:
  web: { address: ":18080" }
  secure: { address: ":18443", tls: { certificates: [{ cert: missing.pem, key: missing.key }] } }
routes:
  - { name: one, match: { method: get, host: "exa mple.com" }, service: api }
  - { name: two, match: { path: "/users/{id" }, service: apo }
  - { name: three, match: { path: "~^/(" }, redirect: { to: "{no.such}" } }
  - { name: four, match: { path: /a, query: { x: { regex: "[" } } }, service: api, hold: 10 }
  - { name: five, match: { path: /a/* }, respond: { status: 204 } }
  - { name: six, match: { path: /a/* }, respond: { status: 205 } }
  - { name: seven, service: files, headers: { request: { set: { X-A: "{what}" } } } }
services:
  api: { endpoints: [127.0.0.1:3000] }
  files: { files: no-such-folder }
""")
    result = check(path)
    assert result.returncode == 1
    found = [int(line) for line in re.findall(r"weir\.yaml:(\d+):\d+: error", result.stderr)]
    assert found == sorted(found)
    #          log, cert and key, method and host, path and service, path and target, regex and size, shadowed, ...
    assert found == [2, 5, 5, 7, 7, 8, 8, 9, 9, 10, 10, 12, 13, 16], result.stderr
    for text in ("methods are case-sensitive", 'did you mean "api"', "the folder " + str(tmp_path) + "/none does not exist",
                 'route "six" can never match', "cannot serve files from"):
        assert text in result.stderr, text
    # What a faulty route would match is not guessed: nothing else is unreachable because of it.
    assert result.stderr.count("can never match") == 1


@pytest.mark.parametrize("where, said", [
    ("{folder}/none/access.log", "the folder {folder}/none does not exist"),
    ("{folder}", "it is a folder"),
    ("{folder}/weir.yaml/log", "Not a directory"),
    ("/proc/weir/access.log", "the folder /proc/weir does not exist"),
])
def test_an_access_log_that_cannot_be_written(tmp_path, where, said):
    where, said = where.format(folder=tmp_path), said.format(folder=tmp_path)
    config = {**proxy_to("127.0.0.1:9", listener={"address": ":18080"}), "telemetry": {"access-log": {"path": where}}}
    result = check(write(tmp_path, config))
    assert result.returncode == 1 and f"cannot write the access log to {where}: {said}" in result.stderr
    # Looking creates nothing.
    config["telemetry"]["access-log"]["path"] = f"{tmp_path}/new.log"
    assert check(write(tmp_path, config)).returncode == 0
    assert not os.path.exists(tmp_path / "new.log")


SHAPES = {
    "paths": lambda i: ({"path": f"/p{i}/*"}, "s"),
    "hosts": lambda i: ({"host": f"h{i}.example.com"}, "s"),
    "conditions": lambda i: ({"path": "/*", "headers": {"X-Tenant": f"t{i}", f"X-{i % 7}": "a"}}, "s"),
    "methods": lambda i: ({"path": "/a", "method": [f"M{i}"]}, "s"),
    "expressions": lambda i: ({"path": f"~^/p{i}/x"}, "s"),
    "services": lambda i: ({"path": f"/p{i}"}, f"s{i}"),
    "dangling": lambda i: ({"path": f"/p{i}"}, f"q{i}"),
}


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_many_routes_take_time_by_their_number(tmp_path, shape):
    """20,000 of them took 10 s to minutes of processor time in each of these shapes, when it grew by the square."""
    routes, services = [], {}
    for i in range(20_000):
        match, service = SHAPES[shape](i)
        routes.append({"name": f"r{i}", "match": match, "service": service})
        services[service if shape != "dangling" else f"s{i}"] = {"endpoints": ["127.0.0.1:9"]}
    path = tmp_path / "weir.yaml"
    path.write_text(json.dumps({"listeners": {"web": {"address": ":18080"}}, "routes": routes, "services": services}))
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    result = subprocess.run([BINARY, "check", "-c", str(path)], capture_output=True, text=True, timeout=600)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
    assert result.returncode == (1 if shape == "dangling" else 0), result.stderr[-500:]
    # A debug build needs up to 6 s, a release build half a second.
    assert spent < 12


def test_what_is_wrong_in_a_block_text_has_its_place(tmp_path):
    """The line it stands in, not that of the mark; and braces of style sheets and JSON are told from variables."""
    path = tmp_path / "weir.yaml"
    path.write_text("""listeners: { web: { address: ":18080" } }
errors:
  404:
    respond:
      html: |
        <!doctype html>
        <p>\u00e4 {request.paht}</p>
      json: '{"error": {error.status}}'
  5xx:
      respond:
        body: |

          <style>p { color: red }</style>
routes:
  - name: a
    service: s
    headers:
      response:
        set:
          X-A: |-
            a } b
services: { s: { endpoints: ["127.0.0.1:9"] } }
""")
    said = check(path).stderr
    for place, words in [
        ("7:15", "unknown variable 'request.paht'"), ("8:14", "written twice: '{{'"),
        ("13:20", "written twice: '{{'"), ("21:15", "expected '}}' for a brace that is text"),
    ]:
        assert re.search(rf"weir.yaml:{place}: error: .*{re.escape(words)}", said), said
    assert said.count("error:") == 4


def test_bytes_that_are_no_text_have_a_place(tmp_path):
    text = 'listeners:\n  web: { address: ":18080" }\nroutes: [{ name: a, respond: {} }]\n'
    for content, place, said in [
        (b"\xef\xbb\xbf" + text.encode(), None, None),
        (text.encode("utf-16"), "1:1", "UTF-16"),
        (text.replace("name: a", "name: a\0").encode(), "3:19", "NUL"),
        (text.replace("name: a", "name: \u00fc\0").encode(), "3:19", "NUL"),
        (text.encode().replace(b"name: a", b"name: \xfc"), "3:18", "0xfc is not UTF-8"),
    ]:
        path = tmp_path / "weir.yaml"
        path.write_bytes(content)
        result = check(path)
        assert result.returncode == (0 if place is None else 1), content
        if place:
            assert f"weir.yaml:{place}: error" in result.stderr and said in result.stderr, result.stderr


# references

def test_references_reach_the_endpoint_and_are_not_shown(weir, origin, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("s3cret-{one}\n")
    config = proxy_to(origin.endpoint, route={
        "match": {"path": "/*", "headers": {"X-Key": {"prefix": "${file:%s}" % secret}}},
        "headers": {"request": {"set": {"Authorization": "Bearer ${file:%s}" % secret,
                                        "X-Plain": "$${file:x} {request.path}"}}}})
    config["routes"].append({"name": "fixed", "match": {"path": "/fixed"},
                             "respond": {"body": "${file:%s}" % secret}})
    w = weir(config)
    seen = seen_fields(w.get("/x", {"X-Key": "s3cret-{one}!"}))
    assert seen["authorization"] == "Bearer s3cret-{one}" and seen["x-plain"] == "${file:x} /x"
    assert w.get("/fixed").body == b"s3cret-{one}"
    assert w.get("/x", {"X-Key": "other"}).status == 404
    # A reload reads it again.
    secret.write_text("s3cret-two")
    w.reload()
    assert seen_fields(w.get("/x", {"X-Key": "s3cret-two"}))["authorization"] == "Bearer s3cret-two"
    shown = [
        explain(w.config_path, "GET", "http://a/x", "-H", "X-Key: wrong").stdout,
        explain(w.config_path, "GET", "http://a/fixed", "--format", "json").stdout,
        w.ask_admin("/api/v1/explain?url=http://a/fixed"), w.ask_admin("/api/v1/status"), w.ask_admin("/"), w.log(),
    ]
    right = explain(w.config_path, "GET", "http://a/x", "-H", "X-Key: s3cret-two").stdout
    assert "Bearer ${file:%s}" % secret in right
    for text in [*map(str, shown), right.replace("X-Key: s3cret-two", "")]:
        assert "s3cret" not in text
    # One that cannot be read leaves everything as it was.
    secret.unlink()
    w.reload()
    assert f"{secret} does not exist" in w.log() and w.get("/fixed").body == b"s3cret-two"


def test_environment_variables(tmp_path):
    path = write(tmp_path, """
workers: ${env:WEIR_TEST_WORKERS}
listeners: { web: { address: ":${env:WEIR_TEST_PORT:-18080}" } }
routes: [{ name: all, service: api, timeout: { head: ${env:WEIR_TEST_HEAD} }, rewrite: { path: "/${env:WEIR_TEST_HEAD}" } }]
services: { api: { endpoints: [${env:WEIR_TEST_BACKEND}, "${env:WEIR_TEST_BACKEND}1"] } }
""")
    values = {"WEIR_TEST_WORKERS": "3", "WEIR_TEST_HEAD": "17s", "WEIR_TEST_BACKEND": "127.0.0.1:300"}
    right = explain(path, "GET", "http://a/", env={**os.environ, **values})
    assert right.returncode == 0 and "17s" in right.stdout and "/${env:WEIR_TEST_HEAD}" in right.stdout, right
    wrong = check(path, env={**os.environ, **values, "WEIR_TEST_HEAD": "hunter2", "WEIR_TEST_BACKEND": "hunter3"})
    assert wrong.returncode == 1 and "hunter" not in wrong.stderr and "4:54: error" in wrong.stderr, wrong.stderr
    unset = check(path, env={k: v for k, v in os.environ.items() if k not in values})
    places = re.findall(r"weir\.yaml:(\d+:\d+): error: the environment variable (\w+) is not set", unset.stderr)
    assert places == [("2:10", "WEIR_TEST_WORKERS"), ("4:54", "WEIR_TEST_HEAD"), ("4:98", "WEIR_TEST_HEAD"),
                      ("5:32", "WEIR_TEST_BACKEND"), ("5:59", "WEIR_TEST_BACKEND")], unset.stderr


# what routes share

def test_routes_defaults(weir, origin):
    config = proxy_to(origin.endpoint, route={"headers": {"response": {"set": {"X-Route": "own"}}}})
    config["listeners"]["inner"] = {"address": None, "routes-defaults": {
        "headers": {"request": {"set": {"X-From": "inner"}}, "response": {"set": {"X-Frame-Options": "SAMEORIGIN"}}}}}
    config["routes-defaults"] = {"headers": {
        "request": {"set": {"X-From": "top", "X-Who": "weir"}}, "response": {"set": {
            "X-Frame-Options": "DENY", "X-Route": "default"}}}}
    config["routes"].append({"name": "away", "match": {"path": "/away"}, "redirect": {"to": "/x"}})
    w = weir(config)
    for listener, frame in (("web", "DENY"), ("inner", "SAMEORIGIN")):
        response = wire.get(w.listener(listener), "/")
        seen = seen_fields(response)
        assert seen["x-from"] == {"web": "top"}.get(listener, listener) and seen["x-who"] == "weir"
        assert response.get("x-frame-options") == frame and response.get("x-route") == "own"
        away = wire.get(w.listener(listener), "/away")
        assert away.status == 308 and away.get("x-frame-options") == frame
    w.wait_records(4)
    # It is one route to whoever counts.
    assert w.metric("weir_requests_total", route="all") == 2
    text = explain(w.config_path, "GET", "http://a/").stdout
    assert "SAMEORIGIN" in text and "DENY" in text


# relative paths

def test_paths_start_from_the_folder_of_the_file(weir, tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("home")
    issued = certs.CA(tmp_path).issue("a.example", name="own")
    config = {
        "telemetry": {"access-log": {"path": "logs/access.log"}},
        "listeners": {"web": {"address": "127.0.0.1:18080"}, "secure": {"address": "127.0.0.1:18443", "tls": {
            "certificates": [{"cert": os.path.basename(issued.cert), "key": "./" + os.path.basename(issued.key)}]}}},
        "routes": [{"name": "all", "service": "site"}],
        "services": {"site": {"files": "site"}},
    }
    path = write(tmp_path, config)
    (tmp_path / "logs").mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    for working, name in ((elsewhere, path), (elsewhere, "../weir.yaml"), (tmp_path, "weir.yaml"), (tmp_path, "./weir.yaml")):
        result = check(name, cwd=working)
        assert result.returncode == 0, result.stderr
    (elsewhere / "link.yaml").symlink_to(path)
    result = check("link.yaml", cwd=elsewhere)
    assert result.returncode == 1 and f"{elsewhere}/site" in result.stderr, "the folder is where the file is named"
    # And in a running process, which was started elsewhere.
    w = weir({"listeners": {"web": {"address": None}}, "routes": config["routes"],
              "services": {"site": {"files": "site"}}, "telemetry": {"access-log": {"path": "access.log"}}}, start=False)
    os.symlink(site, os.path.join(w.folder, "site"))
    w.start()
    assert w.get("/").body == b"home"
    w.wait_records(1)
