"""The recipes of docs/recipes, as they stand there, against origins that behave like the applications.

The configuration is read out of the page; what belongs to the machine (addresses, certificates, folders) is
exchanged for what the test has. Clients are curl, git and the websockets library.
"""

import asyncio
import hashlib
import json
import os
import re
import shutil
import ssl
import subprocess

import pytest
import websockets
import yaml

import certs
import wire
from applications import GitLabLike, NextcloudLike, RegistryLike, WordPressLike
from harness import ROOT, assert_made_by_weir
from ports import free_port

pytestmark = pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed")


def recipe(name, pair, endpoints, root=None) -> dict:
    """The configuration on a page, on this machine."""
    with open(os.path.join(ROOT, "docs", "recipes", name + ".md"), encoding="utf-8") as file:
        text = re.search(r"^```yaml\n(# weir\.yaml.*?)^```", file.read(), re.M | re.S)[1]
    for there, here in endpoints.items():
        assert text.count(there) >= 1 and re.escape(there) or there
        # In expressions a dot is escaped.
        text = text.replace(there, here).replace(there.replace(".", r"\\."), here.replace(".", r"\\."))
    config = yaml.load(text.replace("/srv/www", str(root)), Loader=yaml.BaseLoader)
    for listener in config["listeners"].values():
        listener["address"] = None
        if "tls" in listener:
            listener["tls"]["certificates"] = [pair]
    return config


class Site:
    """A running recipe, and curl that takes its names for this machine."""

    def __init__(self, weir, ca, *names):
        self.weir, self.ca, self.names = weir, ca, names
        self.port = weir.listener("https")[1]

    def curl(self, *arguments, check=True):
        resolve = [word for name in self.names for word in ("--connect-to", f"{name}:443:127.0.0.1:{self.port}")]
        done = subprocess.run(["curl", "-sS", "--cacert", self.ca.path, *resolve, *arguments], capture_output=True,
                              timeout=60)
        assert not check or done.returncode == 0, done.stderr
        return done

    def ask(self, *arguments):
        """(status, fields by name in lower case, body)"""
        head, _, body = self.curl("-i", *arguments).stdout.rpartition(b"\r\n\r\n")
        *_, last = head.split(b"\r\n\r\n")
        start, *lines = last.decode().split("\r\n")
        fields = {}
        for line in lines:
            fields.setdefault(line.partition(":")[0].lower(), []).append(line.partition(":")[2].strip())
        return int(start.split()[1]), fields, body

    def websocket(self, url, origin=None):
        """Sends a word over a WebSocket and gives what comes back."""

        async def talk():
            async with websockets.connect(url, host="127.0.0.1", port=self.port, ssl=self.ca.context(alpn=None),
                                          server_hostname=url.split("/")[2], origin=origin) as ws:
                await ws.send("word")
                return await asyncio.wait_for(ws.recv(), 20)

        return asyncio.run(talk())


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    ca = certs.CA(tmp_path_factory.mktemp("recipes"))
    ca.site = ca.issue("blog.example", "cloud.example", "forge.example", "registry.example")
    return ca


@pytest.fixture
def blog(weir, pki, tmp_path):
    root = tmp_path / "www"
    for name, text in {
        "index.php": "<?php secret", "wp-config.php": "<?php password", "wp-admin/index.php": "<?php secret",
        "wp-content/themes/a/style.css": "body { color: red }\n" * 200, "wp-content/uploads/shell.php": "<?php shell",
        "wp-content/uploads/photo.jpg": "jpeg", "backup.sql": "DROP", "about/index.html": "static",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    with WordPressLike() as application:
        site = Site(weir(recipe("wordpress-like", pki.site.pair, {"127.0.0.1:9000": application.endpoint}, root)),
                    pki, "blog.example")
        site.application = application
        yield site


def test_wordpress_pages_and_files(blog):
    status, fields, body = blog.ask("https://blog.example/2026/11/hello-world/?page=2")
    assert (status, body) == (200, b"Post /2026/11/hello-world/?page=2 for 127.0.0.1")
    assert fields["strict-transport-security"] == ["max-age=31536000"]
    # A proxy that does not tell the scheme sends people in circles; so would one that believes everybody.
    status, _, _ = blog.ask("-H", "X-Forwarded-Proto: http", "-H", "X_Forwarded_Proto: http", "https://blog.example/")
    assert status == 200

    before = len(blog.application.requests)
    status, fields, body = blog.ask("--compressed", "https://blog.example/wp-content/themes/a/style.css?ver=6")
    assert (status, fields["cache-control"]) == (200, ["public, max-age=604800"])
    assert "content-encoding" in fields
    status, _, body = blog.ask("-r", "0-1", "https://blog.example/wp-content/uploads/photo.jpg")
    assert (status, body) == (206, b"jp")
    assert blog.ask("https://blog.example/about/")[2] == b"static"
    assert len(blog.application.requests) == before, "files did not reach the application"

    status, fields, body = blog.ask("https://blog.example/missing/")
    assert (status, body) == (404, b"Not found, says WordPress")
    assert fields["strict-transport-security"] == ["max-age=31536000"]


def test_wordpress_programs_and_secrets(blog):
    for path in ["/index.php", "/%69ndex.php", "/x/../index.php", "/wp-admin/", "/wp-content/../wp-admin/index.php"]:
        status, _, body = blog.ask("--path-as-is", f"https://blog.example{path}")
        assert status in (200, 302) and b"<?php" not in body, path
    for path in ["/wp-config.php", "/%77p-config.php", "/backup.sql", "/a/../backup%2Esql"]:
        status, fields, body = blog.ask("--path-as-is", f"https://blog.example{path}")
        assert (status, body) == (404, b""), path
        assert fields["strict-transport-security"] == ["max-age=31536000"]
    for path in ["/xmlrpc.php", "/wp-content/uploads/shell.php", "/wp-content/uploads/shell%2ephp/x"]:
        done = blog.curl("--http1.1", f"https://blog.example{path}", check=False)
        assert (done.returncode, done.stdout) == (52, b""), (path, done)  # 52: an empty reply
    assert not [r for r in blog.application.requests if "shell" in r.target or "xmlrpc" in r.target]


def test_wordpress_login_and_uploads(blog, tmp_path):
    status, fields, _ = blog.ask("https://blog.example/wp-admin/")
    assert fields["location"] == ["https://blog.example/wp-login.php?redirect_to=https%3A%2F%2Fblog.example%2Fwp-admin%2F"]
    jar = str(tmp_path / "jar")
    status, fields, _ = blog.ask("-c", jar, "-d", "log=ann&pwd=x", "https://blog.example/wp-login.php")
    assert (status, len(fields["set-cookie"])) == (302, 2)
    assert all(line.endswith("; Secure; SameSite=Lax") for line in fields["set-cookie"]), fields
    status, _, body = blog.ask("-b", jar, fields["location"][0])
    assert (status, body) == (200, b"Dashboard")

    (tmp_path / "photo").write_bytes(b"x" * 3_000_000)
    status, _, body = blog.ask("--data-binary", f"@{tmp_path}/photo", "https://blog.example/wp-admin/admin-ajax.php")
    assert (status, json.loads(body)) == (200, {"bytes": 3_000_000})
    with open(tmp_path / "film", "wb") as file:
        file.truncate((64 << 20) + 1)
    before = len(blog.application.requests)
    # Asked first (curl does so over HTTP/1.1), it is refused before a byte of it is sent.
    status, fields, body = blog.ask("--http1.1", "--data-binary", f"@{tmp_path}/film", "-H", "Expect: 100-continue",
                                    "https://blog.example/wp-admin/admin-ajax.php")
    assert status == 413 and b"request-body-too-large" in body
    assert fields["strict-transport-security"] == ["max-age=31536000"]
    assert len(blog.application.requests) == before


def test_wordpress_away(blog):
    blog.application.stop()
    status, fields, body = blog.ask("https://blog.example/hello/")
    assert status == 502 and fields["strict-transport-security"] == ["max-age=31536000"]
    assert blog.ask("https://blog.example/wp-content/uploads/photo.jpg")[0] == 200
    answer = wire.get(blog.weir.listener("http"), "//evil.example/%2e", host="blog.example")
    assert answer.status == 400
    answer = wire.get(blog.weir.listener("http"), "/a?b=c", host="blog.example")
    assert (answer.status, answer.get("Location")) == (308, "https://blog.example/a?b=c")


@pytest.fixture
def cloud(weir, pki):
    with NextcloudLike() as application:
        site = Site(weir(recipe("nextcloud-like", pki.site.pair, {
            "127.0.0.1:8080": application.endpoint, "127.0.0.1:7867": application.endpoint})), pki, "cloud.example")
        site.application = application
        yield site


def test_nextcloud_upload_in_pieces(cloud, tmp_path):
    dav, pieces = "https://cloud.example/remote.php/dav", []
    status, _, body = cloud.ask("-X", "MKCOL", f"{dav}/uploads/ann/1")
    assert status == 201, body
    for number in (1, 2):
        pieces.append(os.urandom(2_000_000))
        (tmp_path / "piece").write_bytes(pieces[-1])
        # Of unknown length, as clients send what they read from a pipe.
        status, _, _ = cloud.ask("--http1.1", "-H", "Transfer-Encoding: chunked", "-T", f"{tmp_path}/piece",
                                 f"{dav}/uploads/ann/1/{number:05}")
        assert status == 201
    status, _, body = cloud.ask("-X", "MOVE", "-H", f"Destination: {dav}/files/ann/two%20words.bin",
                                f"{dav}/uploads/ann/1/.file")
    assert status == 201, body
    assert cloud.application.files["/remote.php/dav/files/ann/two words.bin"] == b"".join(pieces)
    assert cloud.curl(f"{dav}/files/ann/two%20words.bin").stdout == b"".join(pieces)
    status, _, body = cloud.ask("-X", "PROPFIND", "-H", "Depth: 1", f"{dav}/files/ann/")
    assert status == 207 and b"two words.bin" in body


def test_nextcloud_names_and_addresses(cloud):
    for name in ("carddav", "caldav"):
        status, fields, _ = cloud.ask(f"https://cloud.example/.well-known/{name}")
        assert (status, fields["location"]) == (301, ["https://cloud.example/remote.php/dav/"])
    assert cloud.ask("https://cloud.example/.well-known/webfinger")[0] == 200
    status, fields, _ = cloud.ask("https://cloud.example/index.php/apps/notes")
    assert (status, fields["location"]) == (302, ["https://cloud.example/index.php/apps/notes/"])
    for path in ["/config/config.php", "/data/nextcloud.log", "/%64ata/ann/secret", "/x/../data/x", "/.git/config",
                 "/occ", "/lib/base.php"]:
        status, fields, _ = cloud.ask("--path-as-is", f"https://cloud.example{path}")
        assert status == 404 and "strict-transport-security" in fields, path
    status, _, body = cloud.ask("-H", "X-Forwarded-For: 198.51.100.7", "https://cloud.example/status.php")
    assert (status, json.loads(body)["client"]) == (200, "127.0.0.1"), "a client does not name its own address"


def test_nextcloud_push(cloud):
    assert cloud.websocket("wss://cloud.example/push/ws") == "word"


@pytest.fixture
def forge(weir, pki, tmp_path):
    (tmp_path / "repositories").mkdir()
    (tmp_path / "502.html").write_text("<h1>Whoops</h1>")
    with GitLabLike(tmp_path / "repositories") as application, RegistryLike() as registry:
        site = Site(weir(recipe("gitlab-like", pki.site.pair, {
            "127.0.0.1:8181": application.endpoint, "127.0.0.1:5000": registry.endpoint}, tmp_path)),
            pki, "forge.example", "registry.example")
        site.application, site.registry, site.folder = application, registry, tmp_path
        yield site


def test_gitlab_pages_and_api(forge):
    status, _, body = forge.ask("https://forge.example/api/v4/projects/group%2Fproject")
    assert (status, json.loads(body)) == (200, {"path_with_namespace": "group/project"})
    status, fields, _ = forge.ask("https://forge.example/")
    assert (status, fields["location"]) == (302, ["https://forge.example/users/sign_in"])
    assert "secure" in forge.ask("https://forge.example/users/sign_in")[1]["set-cookie"][0]
    assert forge.websocket("wss://forge.example/-/cable", origin="https://forge.example") == "word"
    with pytest.raises(websockets.InvalidStatusCode):
        forge.websocket("wss://forge.example/-/cable", origin="https://evil.example")


@pytest.mark.skipif(not shutil.which("git"), reason="git is not installed")
def test_gitlab_git(forge):
    def git(*arguments, cwd=forge.folder):
        done = subprocess.run(
            ["git", "-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main",
             "-c", "http.postBuffer=65536",
             "-c", f"http.curloptResolve=forge.example:{forge.port}:127.0.0.1", *arguments],
            cwd=cwd, capture_output=True, timeout=120, env={**os.environ, "GIT_SSL_CAINFO": forge.ca.path})
        assert done.returncode == 0, done.stderr
        return done.stdout

    git("init", "-q", "--bare", "repositories/project.git")
    git("-C", "repositories/project.git", "config", "http.receivepack", "true")
    url = f"https://forge.example:{forge.port}/project.git"
    git("clone", "-q", url, "work")
    work = forge.folder / "work"

    def push(name, size, version):
        (work / name).write_bytes(os.urandom(size))
        git("add", name, cwd=work)
        git("commit", "-q", "-m", name, cwd=work)
        git("-c", f"http.version={version}", "push", "-q", "origin", "HEAD:main", cwd=work)
        # With a buffer this small git streams every pack and does not say how long it is.
        pack = forge.application.requests[-1]
        assert (pack.target, pack.framing) == ("/project.git/git-receive-pack", "chunked") and len(pack.body) > size
        forge.weir.wait_record(lambda line: line["protocol"] == version and line["bytes_in"] > size, f"{name} by {version}")

    # HTTP/1.1: over HTTP/2, libcurl 7.84 to 8.4 asks for more of a body that has ended when the window leaves less than
    # 2 KiB of its last piece unsent (curl's #12363), and git then waits for itself; behind nginx as well, where it streams.
    push("large", 1_500_000, "HTTP/1.1")
    # What fits into the first window is sent as it comes, and nothing is left.
    push("small", 20_000, "HTTP/2")
    git("clone", "-q", url, "again")
    for name in ("large", "small"):
        assert (forge.folder / "again" / name).read_bytes() == (work / name).read_bytes()


def test_gitlab_registry(forge, tmp_path):
    layer = os.urandom(3_000_000)
    (tmp_path / "layer").write_bytes(layer)
    digest = "sha256:" + hashlib.sha256(layer).hexdigest()
    status, fields, _ = forge.ask("-X", "POST", "https://registry.example/v2/app/blobs/uploads/")
    assert (status, fields["location"]) == (202, ["https://registry.example/v2/app/blobs/uploads/1?_state=x"])
    status, fields, _ = forge.ask("-X", "PATCH", "--data-binary", f"@{tmp_path}/layer", fields["location"][0])
    assert status == 202
    status, fields, _ = forge.ask("-X", "PUT", f"{fields['location'][0]}&digest={digest}")
    assert (status, fields["location"]) == (201, [f"https://registry.example/v2/app/blobs/{digest}"])
    assert forge.curl(fields["location"][0]).stdout == layer


def test_gitlab_deploys(forge):
    forge.application.stop()
    # The forge's own page for people; for programs, and for git, something they can read.
    status, fields, body = forge.ask("-H", "Accept: text/html", "https://forge.example/group/project")
    assert (status, body) == (502, b"<h1>Whoops</h1>") and "connect-refused" in fields["proxy-status"][0]
    _, fields, body = forge.ask("-H", "Accept: application/json", "https://forge.example/api/v4/projects/1")
    assert json.loads(body) == {"message": "502 Bad Gateway", "request": fields["x-request-id"][0]}
    assert forge.ask("https://forge.example/project.git/info/refs?service=git-upload-pack")[2].startswith(b"502 Bad")
    assert forge.ask("https://registry.example/v2/")[0] == 200, "the other service goes on"
