"""The command line and the admin API of the real binary: what is said, and with which exit code."""

import http.client
import json
import os
import re
import signal
import subprocess

import pytest

import wire
from backends import recorder
from harness import BINARY, proxy_to
from ports import free_port
from wire import eventually


def run(*arguments, timeout=30, env=None):
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=timeout, env=env)


def config_file(folder, config, name="weir.yaml"):
    path = folder / name
    path.write_text(json.dumps(config, indent=2))
    return str(path)


def good(*endpoints):
    return proxy_to(*(endpoints or ("127.0.0.1:9",)), listener={"address": "127.0.0.1:18080"})


EXPLAINED = {
    "listeners": {"web": {"address": "127.0.0.1:18080"}},
    "client-address": {"trusted": ["10.0.0.0/8"]},
    "routes": [
        {"name": "api", "match": {"host": ["api.example"], "path": "/v1/*", "method": ["POST"]}, "service": "origin"},
        {"name": "users", "match": {"path": "/users/{id}"}, "service": "origin",
         "rewrite": {"path": "/people/{path.id}"},
         "headers": {"request": {"set": {"X-Client": "{client.ip}"}}}},
        {"name": "old", "match": {"path": "/old/*"}, "redirect": {"to": "https://{request.host}{request.path}"}},
        {"name": "gone", "match": {"path": "/gone"}, "respond": {"status": 410}},
    ],
    "services": {"origin": {"endpoints": ["127.0.0.1:9"]}},
}


def admin_get(weir, target, method="GET", headers=None, host=None):
    connection = http.client.HTTPConnection(*weir.admin, timeout=wire.PATIENCE)
    fields = dict(headers or {})
    if host is not None:
        fields["Host"] = host
    connection.request(method, target, headers=fields)
    answer = connection.getresponse()
    answer.text = answer.read().decode()
    connection.close()
    return answer


@pytest.fixture
def origin():
    with recorder() as backend:
        yield backend


# without a process

def test_version_help_and_usage():
    assert re.fullmatch(r"weir \d+\.\d+\.\d+\n", run("version").stdout)
    overview = run("help")
    assert overview.returncode == 0 and "weir run" in overview.stdout and overview.stderr == ""
    for command in ("run", "check", "explain", "reload", "status", "schema", "proxy", "version"):
        told = run("help", command)
        assert told.returncode == 0 and f"weir {command}" in told.stdout


@pytest.mark.parametrize("arguments, said", [
    ([], "say what to do"),
    (["statsu"], "did you mean 'status'?"),
    (["run", "--live"], "not a flag of 'weir run'"),
    (["explain"], "an argument is missing"),
    (["check", "--format", "xml"], "expected 'text' or 'json'"),
])
def test_wrong_arguments_end_with_2(arguments, said):
    result = run(*arguments)
    assert result.returncode == 2 and said in result.stderr and result.stdout == ""


def test_schema_is_json():
    result = run("schema")
    assert result.returncode == 0
    assert isinstance(json.loads(result.stdout), dict)


def test_check_good(tmp_path):
    path = config_file(tmp_path, good())
    result = run("check", "-c", path)
    assert (result.returncode, result.stdout) == (0, f"{path}: ok\n")
    report = json.loads(run("check", path, "--format", "json").stdout)
    assert report == {"file": path, "ok": True, "problems": []}


def test_check_bad(tmp_path):
    path = config_file(tmp_path, {**good(), "lisseners": {}})
    result = run("check", "-c", path)
    assert result.returncode == 1 and "lisseners" in result.stderr and "1 error" in result.stderr
    result = run("check", "-c", path, "--format", "json")
    assert result.returncode == 1 and result.stderr == ""
    report = json.loads(result.stdout)
    assert not report["ok"]
    problem = report["problems"][0]
    assert problem["severity"] == "error" and problem["line"] > 0 and "lisseners" in problem["message"]


def test_check_missing_file(tmp_path):
    result = run("check", "-c", str(tmp_path / "none.yaml"))
    assert result.returncode == 1 and "none.yaml" in result.stderr


# explain

def explain(folder, *arguments):
    path = config_file(folder, EXPLAINED)
    result = run("explain", "-c", path, "--format", "json", *arguments)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)["listeners"][0]


def test_explain_a_service(tmp_path):
    told = explain(tmp_path, "GET", "http://x.example/users/7?full", "--client", "10.0.0.1",
                   "-H", "X-Forwarded-For: 203.0.113.7")
    assert told["client"]["address"] == "203.0.113.7"
    assert told["route"]["name"] == "users" and told["route"]["captures"] == {"id": "7"}
    assert told["route"]["service"]["target"] == "/people/7?full"
    assert [(c["name"], c["value"]) for c in told["route"]["request_changes"]] == [("X-Client", "203.0.113.7")]
    lost = {trial["route"]: trial["why"] for trial in told["tried"] if not trial["won"]}
    assert lost["api"] == "host does not match" and set(lost) == {"api", "old", "gone"}


def test_explain_where_a_file_is_looked_for(tmp_path):
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.css").write_text("a")
    path = config_file(tmp_path, {
        "listeners": {"web": {"address": ":8080"}},
        "routes": [{"name": "site", "service": "site", "other-upgrades": "refuse"}],
        "services": {"app": {"endpoints": ["127.0.0.1:3000"]},
                     "site": {"files": {"root": str(root), "try": ["{path}", "{path}/", {"service": "app"}]}}}})

    def service(*arguments):
        result = run("explain", "-c", path, "--format", "json", *arguments)
        return json.loads(result.stdout)["listeners"][0]["route"]["service"]
    found = service("/a.css?x")
    assert [(t["candidate"], t["text"]) for t in found["tried"]] == [("{path}", f"{root}/a.css")]
    assert found["next"] == []
    assert service("/a.css", "-H", "Connection: upgrade", "-H", "Upgrade: spdy")["tried"], "a file changes no protocol"
    passed = service("/b.css?x")
    assert [t["candidate"] for t in passed["tried"]] == ["{path}", "{path}/", "none"]
    assert passed["next"][0]["name"] == "app" and passed["next"][0]["target"] == "/b.css?x"
    assert service("POST", "/a.css")["next"][0]["name"] == "app"
    text = run("explain", "-c", path, "GET", "/b.css").stdout
    assert "try       none: service app" in text and "endpoint  127.0.0.1:3000" in text


def test_explain_a_redirect_and_a_response(tmp_path):
    told = explain(tmp_path, "http://x.example/old/a")
    assert told["route"]["redirect"]["location"] == "https://x.example/old/a"
    assert explain(tmp_path, "/gone")["route"]["respond"]["status"] == 410


def test_explain_refusals(tmp_path):
    told = explain(tmp_path, "GET", "http://api.example/v1/x")["refused"]
    assert (told["status"], told["reason"], told["allow"]) == (405, "method-not-allowed", ["POST"])
    told = explain(tmp_path, "GET", "/a/%2e%2e/b")["refused"]
    assert (told["status"], told["section"]) == (400, "RFC 3986 §3.3")
    told = explain(tmp_path, "GET", "/nowhere")["refused"]
    assert (told["status"], told["reason"]) == (404, "route-not-found")


def test_explain_text_and_bad_file(tmp_path):
    path = config_file(tmp_path, EXPLAINED)
    result = run("explain", "-c", path, "/users/7")
    assert result.returncode == 0
    assert "-> " in result.stdout and "/people/7  (rewritten)" in result.stdout
    bad = config_file(tmp_path, {"listen": 1}, "bad.yaml")
    result = run("explain", "-c", bad, "/")
    assert result.returncode == 1 and result.stdout == "" and "bad.yaml" in result.stderr


def test_explained_is_what_is_sent(weir, origin):
    """The target and the header an explanation promises are those the backend gets."""
    config = {**EXPLAINED, "listeners": {"web": {"address": None}},
              "services": {"origin": {"endpoints": [origin.endpoint]}}}
    running = weir(config)
    admin = "%s:%d" % running.admin
    told = run("explain", "--live", "--admin", admin, "--format", "json", "/users/7?a=b")
    route = json.loads(told.stdout)["listeners"][0]["route"]
    assert running.get("/users/7?a=b").status == 200
    request = origin.requests[-1]
    assert request.target == route["service"]["target"]
    for change in route["request_changes"]:
        assert request.get(change["name"]) == change["value"]


# asking the running process

def test_nobody_listens():
    for command in (["status"], ["reload"], ["explain", "--live", "/"]):
        address = f"127.0.0.1:{free_port()}"
        result = run(*command, "--admin", address)
        assert result.returncode == 1 and result.stdout == ""
        assert f"nobody listens on {address}" in result.stderr and "--admin" in result.stderr


def test_not_weir_behind_admin(origin):
    result = run("status", "--admin", origin.endpoint)
    assert result.returncode == 1 and result.stdout == "" and result.stderr.startswith("weir: ")


def test_status(weir, origin):
    running = weir(proxy_to(origin))
    for _ in range(3):
        assert running.get("/").status == 200
    admin = "%s:%d" % running.admin
    text = run("status", "--admin", admin)
    assert text.returncode == 0
    assert f"pid {running.pid}" in text.stdout and "service origin" in text.stdout and origin.endpoint in text.stdout
    status = json.loads(run("status", "--admin", admin, "--format", "json").stdout)
    assert status["state"] == "ready" and status["configuration"]["generation"] == 1
    assert [l["address"] for l in status["listeners"]] == ["%s:%d" % running.address]
    assert status["routes"][0]["requests"]["2xx"] == 3
    assert status["services"][0]["endpoints"][0]["attempts"] == 3
    limits = {limit["name"]: limit for limit in status["limits"]}
    assert 0 < limits["file-descriptors"]["used"] < limits["file-descriptors"]["max"]
    assert "listeners.web.connections" in limits
    one = run("status", "origin", "--admin", admin)
    assert one.returncode == 0 and "service origin" in one.stdout and "LISTENER" not in one.stdout
    none = run("status", "orgin", "--admin", admin)
    assert none.returncode == 1 and "There is no service 'orgin'. Services: origin." in none.stderr


def test_reload(weir, origin):
    running = weir(proxy_to(origin))
    admin = "%s:%d" % running.admin
    result = run("reload", "--admin", admin)
    assert (result.returncode, result.stdout) == (0, "reload: ok, generation 2\n")
    running.write_text('{"listeners": {}, "lisseners": {}}')
    result = run("reload", "--admin", admin)
    assert result.returncode == 1 and result.stdout == ""
    assert "refused, generation 2 still serves" in result.stderr and "lisseners" in result.stderr
    last = json.loads(admin_get(running, "/api/v1/status").text)["configuration"]["last_reload"]
    assert not last["ok"] and last["generation"] == 2 and last["problems"]
    assert running.get("/").status == 200


def test_a_refused_sighup_is_remembered(weir, origin):
    running = weir(proxy_to(origin))
    running.reload(text='{"lisseners": {}}')
    last = lambda: json.loads(admin_get(running, "/api/v1/status").text)["configuration"]["last_reload"]
    eventually(last, "the reload shows in the status")
    assert not last()["ok"] and "lisseners" in json.dumps(last()["problems"])


# the admin API

def test_admin_refuses_foreign_hosts(weir, origin):
    running = weir(proxy_to(origin))
    for target in ("/", "/metrics", "/api/v1/status", "/api/v1/explain?url=/"):
        assert admin_get(running, target, host="evil.example").status == 421
        assert admin_get(running, target, host="localhost:1").status == 200
    assert admin_get(running, "/healthz", host="evil.example").status == 200


def test_admin_changes_need_the_header(weir, origin):
    running = weir(proxy_to(origin))
    post = lambda **options: admin_get(running, "/api/v1/reload", method="POST", **options).status
    assert post() == 403
    assert post(headers={"Origin": "http://evil.example", "X-Weir-Request": "1"}) == 403
    assert post(headers={"Sec-Fetch-Site": "cross-site", "X-Weir-Request": "1"}) == 403
    assert json.loads(admin_get(running, "/api/v1/status").text)["configuration"]["generation"] == 1
    assert post(headers={"X-Weir-Request": "1"}) == 200
    assert admin_get(running, "/api/v1/reload").status == 405


def test_explain_over_http(weir, origin):
    running = weir(proxy_to(origin))
    told = json.loads(admin_get(running, "/api/v1/explain?url=%2Fa%3Fb&header=X-A:%201").text)
    assert told["listeners"][0]["route"]["service"]["target"] == "/a?b"
    assert told["generation"] == 1 and "X-A: 1" in told["request"]
    assert admin_get(running, "/api/v1/explain").status == 400
    assert admin_get(running, "/api/v1/explain?url=/&header=A:%0D%0AB:1").status == 400
    assert admin_get(running, "/api/v1/explain?url=/&client=nobody").status == 400


def test_probes(weir, origin):
    running = weir(proxy_to(origin))
    assert admin_get(running, "/healthz").status == 200
    assert admin_get(running, "/readyz").status == 200
    # A request under way keeps the process in its drain.
    stream = running.connect()
    stream.send(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
    active = lambda: json.loads(admin_get(running, "/api/v1/status").text)["listeners"][0]["active"]
    eventually(lambda: active() >= 1, "the connection is served")
    running.signal(signal.SIGTERM)
    eventually(lambda: admin_get(running, "/readyz").status == 503, "not ready while draining")
    assert admin_get(running, "/healthz").status == 200
    assert json.loads(admin_get(running, "/api/v1/status").text)["state"] == "draining"
    stream.send(b"cde")
    assert stream.response().status == 200
    stream.close()
    assert running.wait_exit() == 0


def test_dashboard(weir, origin):
    running = weir(proxy_to(origin))
    page = admin_get(running, "/")
    assert page.status == 200 and page.getheader("Content-Type").startswith("text/html")
    assert "default-src 'none'" in page.getheader("Content-Security-Policy")
    for path, kind in re.findall(r'(?:href|src)="(/dashboard\.(\w+))"', page.text):
        asset = admin_get(running, path)
        assert asset.status == 200 and asset.text
        assert {"css": "text/css", "js": "text/javascript"}[kind] in asset.getheader("Content-Type")
    status = json.loads(admin_get(running, "/api/v1/status").text)
    # Every member the script reads of the top level is there.
    script = admin_get(running, "/dashboard.js").text
    for member in set(re.findall(r"\bnow\.([a-z_]+)", script)) - {"at", "totals"}:
        assert member in status, member


def test_the_admin_address_is_not_shared(weir, origin, tmp_path):
    running = weir(proxy_to(origin))
    path = config_file(tmp_path, {**proxy_to(origin, listener={"address": f"127.0.0.1:{free_port()}"}),
                                  "admin": running.config["admin"]})
    result = run("run", "-c", path)
    assert result.returncode == 1 and "cannot listen on" in result.stderr
    assert running.config["admin"]["address"] in result.stderr


# without a file

def started(*arguments):
    return subprocess.Popen([BINARY, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def listens(port):
    try:
        return wire.get(("127.0.0.1", port), "/").status == 200
    except OSError:
        return False


def test_two_without_a_file(origin, tmp_path):
    """A second `weir proxy` says how it can be had, and can; `weir serve` has an admin API where one is asked for."""
    admin, ports = free_port(), [free_port() for _ in range(4)]
    proxy = lambda port, *more: ("proxy", "--listen", f"127.0.0.1:{port}", "--to", origin.endpoint, *more)
    running = []
    try:
        running.append(started(*proxy(ports[0], "--admin", f"127.0.0.1:{admin}")))
        eventually(lambda: listens(ports[0]), "the first serves")
        assert run("status", "--admin", f"127.0.0.1:{admin}").returncode == 0
        second = run(*proxy(ports[1], "--admin", f"127.0.0.1:{admin}"))
        assert second.returncode == 1 and f"cannot listen on 127.0.0.1:{admin} for the admin API" in second.stderr
        assert "`--admin ADDRESS`" in second.stderr and "`--admin off`" in second.stderr, second.stderr
        running.append(started(*proxy(ports[1], "--admin", "off")))
        eventually(lambda: listens(ports[1]), "the second serves without an admin API")
        (tmp_path / "index.html").write_text("hello")
        running.append(started("serve", str(tmp_path), "--listen", f"127.0.0.1:{ports[2]}",
                               "--admin", f"127.0.0.1:{ports[3]}"))
        eventually(lambda: listens(ports[2]), "files are served")
        assert run("status", "--admin", f":{ports[3]}").returncode == 0
    finally:
        for process in running:
            process.send_signal(signal.SIGQUIT)
        codes = [process.wait(30) for process in running]
    assert codes == [0] * len(running), "SIGQUIT drains"


def test_explain_a_condition(tmp_path):
    """Why it holds or does not; what a reference stands for is not shown."""
    path = config_file(tmp_path, {
        "listeners": {"web": {"address": ":8080"}},
        "routes": [
            {"name": "office", "match": {"when": 'client.ip in ["10.0.0.0/8"] && !(request.path startsWith "/x")'}, "service": "app"},
            {"name": "key", "match": {"when": 'request.header["x-key"] == "${env:KEY}"'}, "service": "app"},
            {"name": "all", "service": "app"}],
        "services": {"app": {"endpoints": ["127.0.0.1:3000"]}}})

    def told(*arguments):
        result = run("explain", "-c", path, "--format", "json", *arguments, env={**os.environ, "KEY": 'se"cret'})
        listener = json.loads(result.stdout)["listeners"][0]
        return listener["route"]["name"], {trial["route"]: trial["when"] for trial in listener["tried"] if "when" in trial}
    name, whens = told("/x", "--client", "10.1.2.3")
    assert name == "all"
    assert whens["office"]["holds"] is False
    assert whens["office"]["why"] == \
        'client.ip in ["10.0.0.0/8"] is true (client.ip is "10.1.2.3"); request.path startsWith "/x" is true (request.path is "/x")'
    assert whens["key"] == {"line": whens["key"]["line"], "text": 'request.header["x-key"] == "${env:KEY}"', "holds": False, "why": ""}
    assert told("/", "--client", "10.1.2.3")[0] == "office"
    name, whens = told("/", "-H", 'X-Key: se"cret')
    assert name == "key" and whens["key"]["holds"] is True and "se" not in whens["key"]["why"]
    text = run("explain", "-c", path, "/y", "--client", "10.1.2.3", env={**os.environ, "KEY": "k"}).stdout
    assert 'when      office: holds: client.ip in ["10.0.0.0/8"] is true' in text
    assert "when does not hold" in run("explain", "-c", path, "/y", env={**os.environ, "KEY": "k"}).stdout
