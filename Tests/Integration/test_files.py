"""Static files: what is served, what is not, ranges, conditions, variants, and what the record says.

RFC 9110 §13 (conditions), §14 (ranges), §8.8 (validators); the tables of the same rules are in
Tests/FilesTests. Where nginx is installed the same requests are sent to it, and differences are listed
in `DIFFERENT` with their reason.
"""

import email
import gzip
import os
import re
import shutil
import signal
import socket
import subprocess
import time

import pytest

import h2wire
import wire
import wswire
from backends import answer, serve
from harness import assert_made_by_weir, merge
from ports import free_port
from wire import eventually

pytestmark = [pytest.mark.threads]


@pytest.fixture
def weir(reused_weir):
    return reused_weir

PAGE = b"<!doctype html><title>hello</title>\n"
STYLE = b"body { color: black }\n" * 40
BIG = bytes(range(256)) * (1 << 14)  # 4 MiB


def tree(folder):
    """A site with everything that is asked for below."""
    root = folder / "root"
    (root / "docs" / "empty").mkdir(parents=True)
    (root / "assets").mkdir()
    (root / ".git").mkdir()
    (root / ".well-known").mkdir()
    (folder / "secret.txt").write_bytes(b"secret")
    for name, data in {
        "index.html": PAGE, "style.css": STYLE, "big.bin": BIG, "empty.txt": b"", "docs/index.html": b"docs",
        "docs/two words.txt": b"spaces", "docs/café.txt": "kaffee".encode(), "assets/app.js": b"js" * 500,
        ".git/config": b"hidden", ".well-known/security.txt": b"contact", "noextension": b"x", "%2e": b"percent",
    }.items():
        (root / name).write_bytes(data)
    (root / "assets" / "app.js.gz").write_bytes(gzip.compress(b"js" * 500))
    (root / "assets" / "app.js.br").write_bytes(b"pretend brotli")
    (root / "inside").symlink_to("style.css")
    (root / "outside").symlink_to("../secret.txt")
    (root / "absolute").symlink_to("/etc/passwd")
    (root / "up").symlink_to("..")
    os.mkfifo(root / "pipe")
    return root


def site(root, files=None, route=None, **top):
    return merge({
        "listeners": {"web": {"address": None}},
        "routes": [{"name": "all", "match": {"path": "/*"}, "service": "site", **(route or {})}],
        "services": {"site": {"files": {"root": str(root), **(files or {})}}},
    }, top)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tree(tmp_path_factory.mktemp("site"))


@pytest.fixture(scope="module")
def served(shared_weir, root):
    return shared_weir(site(root))


# which file

def test_a_file_and_its_fields(served, root):
    answer = served.get("/style.css")
    assert answer.status == 200 and answer.body == STYLE
    assert answer.get("Content-Type") == "text/css; charset=utf-8"
    assert answer.get("Content-Length") == str(len(STYLE))
    assert answer.get("Accept-Ranges") == "bytes"
    assert answer.get("X-Content-Type-Options") == "nosniff"
    stat = os.stat(root / "style.css")
    assert answer.get("ETag") == f'"{stat.st_mtime_ns:x}-{stat.st_size:x}"'
    assert answer.get("Last-Modified") == email.utils.formatdate(int(stat.st_mtime), usegmt=True)
    assert "Cache-Control" not in answer and "Vary" not in answer and "Content-Encoding" not in answer
    record = served.wait_record(lambda line: line["target"] == "/style.css")
    assert record["status"] == 200 and record["service"] == "site" and "reason" not in record
    assert record["bytes_out"] > len(STYLE)


@pytest.mark.parametrize("target, status, body", [
    ("/", 200, PAGE),
    ("/index.html", 200, PAGE),
    ("/docs/", 200, b"docs"),
    ("/docs/two%20words.txt", 200, b"spaces"),
    ("/docs/caf%C3%A9.txt", 200, b"kaffee"),
    ("/noextension", 200, b"x"),
    ("/empty.txt", 200, b""),
    ("/style.css?v=2", 200, STYLE),
    ("/inside", 200, STYLE),
    ("/.well-known/security.txt", 200, b"contact"),
    ("/%252e", 200, b"percent"),
    ("/nothing", 404, None),
    ("/docs/empty/", 404, None),
    ("/style.css/", 404, None),
    ("/style.css/x", 404, None),
    ("/.git/config", 404, None),
    ("/%2egit/config", 404, None),
    ("//style.css", 404, None),
    ("/docs//index.html", 404, None),
    ("/docs%2findex.html", 404, None),
    ("/docs%5cindex.html", 404, None),
    ("/style.css%00.html", 400, None),
    ("/pipe", 404, None),
    ("/" + "x" * 300, 404, None),
    ("/" + "x/" * 3000, 404, None),
    ("/outside", 403, None),
    ("/absolute", 403, None),
    ("/up/secret.txt", 403, None),
    ("/../secret.txt", 400, None),
    ("/docs/../../secret.txt", 400, None),
    ("/%2e%2e/secret.txt", 400, None),
    ("/..%2fsecret.txt", 400, None),
    ("/..%5csecret.txt", 400, None),
    ("/docs/..;/secret.txt", 400, None),
])
def test_which_file(served, target, status, body):
    answer = served.get(target)
    assert answer.status == status
    if body is not None:
        assert answer.body == body
    else:
        assert b"secret" not in answer.body and b"root:" not in answer.body
        assert_made_by_weir(answer, {400: "request-malformed", 403: "file-forbidden", 404: "file-not-found"}[status])


def test_a_folder_without_its_slash(served):
    for target, location in [("/docs", "/docs/"), ("/docs?a=b", "/docs/?a=b")]:
        answer = served.get(target)
        assert answer.status == 301 and answer.get("Location") == location
    # Nobody is sent to a folder that has no index.
    assert_made_by_weir(served.get("/docs/empty"), "file-not-found")


@pytest.mark.parametrize("method, status", [
    ("POST", 405), ("PUT", 405), ("DELETE", 405), ("PATCH", 405), ("TRACE", 405), ("BREW", 405), ("OPTIONS", 204)])
def test_methods(served, method, status):
    answer = served.get("/style.css", method=method)
    assert answer.status == status and answer.get("Allow") == "GET, HEAD, OPTIONS"
    if status == 405:
        assert_made_by_weir(answer, "file-method-not-allowed")


def test_head_is_get_without_the_body(served):
    for target in ["/style.css", "/big.bin", "/empty.txt"]:
        whole, head = served.get(target), served.get(target, method="HEAD")
        assert head.status == 200 and head.body == b""
        assert [f for f in head.fields if f[0].lower() != "date"] == [
            f for f in whole.fields if f[0].lower() != "date"]


def test_a_connection_is_kept(served):
    stream = served.connect()
    for target, size in [("/big.bin", len(BIG)), ("/", len(PAGE)), ("/nothing", None), ("/big.bin", len(BIG))] * 2:
        stream.send(wire.head_bytes(f"GET {target} HTTP/1.1"))
        answer = stream.response()
        assert size is None or len(answer.body) == size
    stream.send(b"".join(wire.head_bytes(f"GET {target} HTTP/1.1") for target in ["/big.bin", "/", "/style.css"]))
    assert [stream.response().body for _ in range(3)] == [BIG, PAGE, STYLE]


def test_a_request_with_a_body(served):
    answer = served.get("/style.css", body=b"hello")
    assert answer.status == 200 and answer.body == STYLE


# ranges

@pytest.mark.parametrize("asked, first, last", [
    ("0-0", 0, 0), ("0-99", 0, 99), ("100-", 100, len(BIG) - 1), ("-1", len(BIG) - 1, len(BIG) - 1),
    ("0-", 0, len(BIG) - 1), ("65536-200000", 65536, 200000), ("1000000-99999999999", 1000000, len(BIG) - 1),
    ("0-9,10-19", 0, 19), ("0-,0-,0-", 0, len(BIG) - 1),
])
def test_one_range(served, asked, first, last):
    answer = served.get("/big.bin", [("Range", f"bytes={asked}")])
    assert answer.status == 206 and answer.body == BIG[first:last + 1]
    assert answer.get("Content-Range") == f"bytes {first}-{last}/{len(BIG)}"
    assert answer.get("Content-Type") == "application/octet-stream"


@pytest.mark.parametrize("spans", [
    [(0, 0), (1000, 1999)], [(5000, 5999), (0, 99)], [(0, 2_000_000), (3_000_000, 4_000_000), (4_194_303, 4_194_303)],
    [(n * 1000, n * 1000 + 9) for n in range(16)]])
def test_several_ranges(served, spans):
    answer = served.get("/big.bin", [("Range", "bytes=" + ",".join(f"{a}-{b}" for a, b in spans))])
    assert answer.status == 206 and "Content-Range" not in answer
    message = email.message_from_bytes(
        b"Content-Type: " + answer.get("Content-Type").encode() + b"\r\n\r\n" + answer.body)
    assert message.get_content_type() == "multipart/byteranges"
    parts = message.get_payload()
    assert [part["Content-Range"] for part in parts] == [f"bytes {a}-{b}/{len(BIG)}" for a, b in spans]
    # email's parser may change line ends within binary data: the bytes are cut out by hand.
    boundary = message.get_boundary().encode()
    pieces = answer.body.split(b"\r\n--" + boundary)
    assert pieces[0] == b"" and pieces[-1] == b"--\r\n"
    for piece, (a, b) in zip(pieces[1:-1], spans):
        head, _, data = piece.partition(b"\r\n\r\n")
        assert b"content-type: application/octet-stream" in head and data == BIG[a:b + 1]


def test_a_range_outside(served):
    answer = served.get("/style.css", [("Range", "bytes=100000-")])
    assert answer.status == 416 and answer.get("Content-Range") == f"bytes */{len(STYLE)}"
    assert served.get("/empty.txt", [("Range", "bytes=0-")]).status == 416


@pytest.mark.parametrize("asked", [
    "bytes=" + "0-," * 5000 + "0-", "bytes=" + ",".join(f"{n}-{n}" for n in range(0, 1_000_000, 1000)),
    "bytes=100-199,0-150", "bytes=5-1", "lines=1-2", "bytes=x"])
def test_ranges_that_are_not_served(served, asked):
    answer = served.get("/big.bin", [("Range", asked)])
    assert answer.status == 200 and answer.body == BIG


def test_if_range(served):
    first = served.get("/style.css")
    tag, date = first.get("ETag"), first.get("Last-Modified")
    time.sleep(max(0, 1.1 - (time.time() - email.utils.parsedate_to_datetime(date).timestamp())))
    for value, status in [(tag, 206), (date, 206), ('"other"', 200), ("W/" + tag, 200),
                          ("Sun, 06 Nov 1994 08:49:37 GMT", 200)]:
        answer = served.get("/style.css", [("Range", "bytes=0-9"), ("If-Range", value)])
        assert answer.status == status, value


def test_conditions(served):
    first = served.get("/style.css")
    tag, date = first.get("ETag"), first.get("Last-Modified")
    for fields, status in [
            ([("If-None-Match", tag)], 304), ([("If-None-Match", f'"x", W/{tag}')], 304),
            ([("If-None-Match", '"x"')], 200), ([("If-None-Match", '"x"'), ("If-Modified-Since", date)], 200),
            ([("If-Modified-Since", date)], 304), ([("If-Match", '"x"')], 412), ([("If-Match", tag)], 200),
            ([("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")], 412)]:
        answer = served.get("/style.css", fields)
        assert answer.status == status, fields
        if status == 304:
            assert answer.get("ETag") == tag and answer.body == b"" and "Content-Length" not in answer
        if status == 412:
            assert answer.body == b"" and answer.get("Content-Length") == "0"


# what the configuration says

def test_options(weir, root):
    weir = weir(site(root, {
        "index": ["missing.html", "style.css"], "hidden": True, "symlinks": "anywhere",
        "types": {"css": "text/x-css", "*": "text/plain"},
        "cache": [{"path": "/docs/*", "control": "no-cache"}, {"path": ["*.css", "*.js"], "expires": "1h"}],
    }))
    assert weir.get("/").body == STYLE
    assert weir.get("/.git/config").body == b"hidden"
    assert weir.get("/outside").body == b"secret"
    assert weir.get("/noextension").get("Content-Type") == "text/plain"
    assert weir.get("/docs/index.html").get("Cache-Control") == "no-cache"
    answer = weir.get("/style.css")
    assert answer.get("Content-Type") == "text/x-css" and answer.get("Cache-Control") == "max-age=3600"
    age = email.utils.parsedate_to_datetime(answer.get("Expires")) - email.utils.parsedate_to_datetime(answer.get("Date"))
    assert abs(age.total_seconds() - 3600) <= 2
    fresh = weir.get("/style.css", [("If-None-Match", answer.get("ETag"))])
    assert fresh.status == 304 and fresh.get("Cache-Control") == "max-age=3600"


def test_no_links(weir, root):
    weir = weir(site(root, {"symlinks": "none"}))
    assert weir.get("/inside").status == 403
    assert weir.get("/style.css").status == 200


def test_fallback(weir, root):
    weir = weir(site(root, {"fallback": "index.html"}))
    for target in ["/users/42", "/docs/empty/", "/john.doe", "/nothing.html"]:
        answer = weir.get(target)
        assert answer.status == 200 and answer.body == PAGE
        assert answer.get("Content-Type") == "text/html; charset=utf-8"
    for target in ["/app.js", "/favicon.ico", "/.git/config", "//x"]:
        assert weir.get(target).status == 404
    assert weir.get("/style.css").body == STYLE
    assert weir.get("/outside").status == 403


# try: another service, or a status, where there is no file

def echo(request):
    """What an application sees of a request."""
    return answer(f"{request.method} {request.target} ".encode() + request.body)


def test_try_falls_through_to_a_service(weir, backend, root):
    """Files first, then the application, which gets the request as it came."""
    w = weir(site(root, {"try": ["{path}", "{path}/", {"service": "app"}]},
                  services={"app": {"endpoints": [backend(serve(echo)).endpoint]}}))
    assert w.get("/style.css").body == STYLE
    assert w.get("/").body == PAGE and w.get("/docs/").body == b"docs"
    assert (w.get("/docs").status, w.get("/docs").get("Location")) == (301, "/docs/")
    # No file; a folder without an index, with and without its slash; what no file can be called.
    for target in ["/2024/01/hello?page=2", "/docs/empty/", "/docs/empty", "/assets", "/app.js", "/.git/config",
                   "/pipe", "/a%2Fb", "/style.css/x", "//x", "/" + "x" * 300]:
        got = w.get(target)
        assert (got.status, got.body.decode()) == (200, f"GET {target} "), target
    # What there is and may not be handed out is no reason to ask somebody else.
    assert_made_by_weir(w.get("/outside"), "file-forbidden")
    # Files answer GET and HEAD only: all else is for the application, whether there is a file or not.
    for target in ["/index.php", "/style.css", "/"]:
        for method in ["POST", "PUT", "DELETE", "OPTIONS"]:
            body = b"a=1&b=2" if method in ("POST", "PUT") else b""
            got = w.get(target, method=method, body=body)
            assert (got.status, got.body) == (200, f"{method} {target} ".encode() + body), method
    big = b"x" * 300_000
    got = w.get("/upload", method="POST", body=big)
    assert got.body == b"POST /upload " + big
    records = w.wait_records(30)
    assert {(r["service"], bool(r.get("endpoint"))) for r in records} == {("site", False), ("app", True)}
    assert w.metric("weir_requests_total", route="all", service="app") == sum(
        r["service"] == "app" for r in records)


def test_try_over_http2(weir, backend, root):
    w = weir(site(root, {"try": ["{path}", {"service": "app"}]},
                  services={"app": {"endpoints": [backend(serve(echo)).endpoint]}}))
    with h2wire.connect(w.address) as session:
        assert bytes(session.fetch("/style.css").body) == STYLE
        assert bytes(session.fetch("/x", method="POST", body=b"hello").body) == b"POST /x hello"


def test_try_upgrades(weir, backend, root):
    w = weir(site(root, {"try": ["{path}", {"service": "app"}]},
                  services={"app": {"endpoints": [backend(wswire.echo).endpoint]}}))
    stream = w.connect()
    wswire.opened(stream, target="/socket")
    stream.send(wswire.frame(1, b"hello"))
    assert stream.exactly(7) == b"\x81\x05hello"


def test_try_statuses_and_templates(weir, root):
    (root / "sites" / "a.example").mkdir(parents=True, exist_ok=True)
    (root / "sites" / "a.example" / "x.html").write_bytes(b"a's x")
    w = weir(site(root, {"try": ["/sites/{request.host}{path}.html", "{path}", {"status": 410}]}))
    assert w.get("/x", host="a.example").body == b"a's x"
    assert w.get("/style.css", host="a.example").body == STYLE
    gone = w.get("/y", host="a.example")
    assert gone.status == 410
    assert_made_by_weir(gone, "file-not-found")
    # A client's word in a candidate is part of a path, and cannot lead out of the root.
    assert w.get("/y", host="..").status in (400, 410)
    # A folder has not been asked for.
    assert w.get("/docs").status == 410
    assert_made_by_weir(w.get("/x", method="POST"), "file-method-not-allowed")


def test_try_after_a_rewrite(weir, backend, root):
    """The path that is looked for is the rewritten one, and so is what the application gets."""
    w = weir(site(root, {"try": ["{path}", "{path}/", {"service": "app"}]},
                  route={"match": {"path": ["/shop", "/shop/*"]},
                         "rewrite": {"prefix": {"from": "/shop", "to": "/"}}},
                  services={"app": {"endpoints": [backend(serve(echo)).endpoint]}}))
    assert w.get("/shop/style.css").body == STYLE
    assert (w.get("/shop").status, w.get("/shop").get("Location")) == (301, "/shop/")
    assert w.get("/shop/docs").get("Location") == "/shop/docs/"
    assert w.get("/shop/cart?x=1").body == b"GET /cart?x=1 "


def test_try_decodes_for_the_service(weir, backend, root):
    w = weir(site(root, {"try": ["{path}", {"service": "app"}]}, route={"decompress-requests": {"max-size": "1MiB"}},
                  services={"app": {"endpoints": [backend(serve(echo)).endpoint]}}))
    got = w.get("/x", [("Content-Encoding", "gzip")], method="POST", body=gzip.compress(b"plain"))
    assert got.body == b"POST /x plain"


def test_precompressed(weir, root):
    weir = weir(site(root, {"precompressed": ["br", "gzip"]}))
    plain = weir.get("/assets/app.js")
    assert "Content-Encoding" not in plain and plain.get("Vary") == "accept-encoding"
    for accept, coding in [("gzip", "gzip"), ("gzip, br", "br"), ("br;q=0.5, gzip", "gzip"), ("br;q=0", None),
                           ("*", "br"), ("identity", None), ("gzip;q=0.3, identity;q=0.7", None), ("zstd", None)]:
        answer = weir.get("/assets/app.js", [("Accept-Encoding", accept)])
        assert answer.status == 200 and answer.get("Content-Encoding") == coding, accept
        assert answer.get("Content-Type") == "text/javascript; charset=utf-8"
        assert answer.get("Vary") == "accept-encoding"
        assert (answer.get("ETag") == plain.get("ETag")) == (coding is None)
    answer = weir.get("/assets/app.js", [("Accept-Encoding", "gzip")])
    assert gzip.decompress(answer.body) == plain.body
    again = weir.get("/assets/app.js", [("Accept-Encoding", "gzip"), ("If-None-Match", answer.get("ETag"))])
    assert again.status == 304 and again.get("Vary") == "accept-encoding"
    part = weir.get("/assets/app.js", [("Accept-Encoding", "br"), ("Range", "bytes=0-6")])
    assert part.status == 206 and part.body == b"pretend" and part.get("Content-Encoding") == "br"
    # Without a sibling the file itself.
    assert weir.get("/style.css", [("Accept-Encoding", "br, gzip")]).body == STYLE
    # A folder is a folder, whatever lies beside it.
    assert weir.get("/docs", [("Accept-Encoding", "gzip")]).status == 301


def test_rewrites_and_fields(weir, root):
    weir = weir(site(root, routes=[
        {"name": "static", "match": {"path": ["/static", "/static/*"]}, "service": "site",
         "rewrite": {"prefix": {"from": "/static", "to": "/"}},
         "headers": {"response": {"set": {"X-Content-Type-Options": "none", "X-Mine": "1"}, "remove": ["ETag"]}}},
        {"name": "one", "match": {"path": "/page/*"}, "service": "site", "rewrite": {"path": "/docs"}},
    ]))
    answer = weir.get("/static/style.css")
    assert answer.body == STYLE and "ETag" not in answer and answer.get("X-Mine") == "1"
    assert answer.fields.all("X-Content-Type-Options") == ["none"]
    assert weir.get("/static/").body == PAGE
    moved = weir.get("/static")
    assert moved.status == 301 and moved.get("Location") == "/static/"
    assert weir.get("/static/docs").get("Location") == "/static/docs/"
    # The path is the template's: no redirect could lead there.
    assert weir.get("/page/x").body == b"docs"
    assert weir.get("/page/x/").body == b"docs"


def test_a_redirect_never_leads_to_another_host(weir, root):
    (root / "x" / "evil.example").mkdir(parents=True, exist_ok=True)
    weir = weir(site(root, route={"rewrite": {"prefix": {"from": "/", "to": "/x"}}}))
    answer = weir.get("//evil.example")
    assert answer.status == 404 and "Location" not in answer


def test_a_root_that_is_not_there(weir, tmp_path):
    config = site(tmp_path / "missing")
    stopped = weir(config, start=False)
    from harness import BINARY
    result = subprocess.run([BINARY, "check", "-c", stopped.config_path], capture_output=True, text=True)
    assert result.returncode == 1
    assert re.search(r"weir\.yaml:\d+:\d+: error: cannot serve files from .*missing: No such file", result.stderr)


def test_switched_link_and_lost_root(weir, tmp_path):
    """Releases are put in place by switching a symbolic link: seen within a second, without a reload."""
    for release in ["one", "two"]:
        (tmp_path / release).mkdir()
        (tmp_path / release / "index.html").write_text(release)
    (tmp_path / "current").symlink_to("one")
    weir = weir(site(tmp_path / "current"))
    assert weir.get("/").body == b"one"
    (tmp_path / "next").symlink_to("two")
    os.replace(tmp_path / "next", tmp_path / "current")
    eventually(lambda: weir.get("/").body == b"two", "the new release is served")
    os.unlink(tmp_path / "current")
    eventually(lambda: weir.get("/").status == 404, "the root is missed")
    (tmp_path / "current").symlink_to("two")
    assert weir.get("/").body == b"two"


def test_reload_changes_the_root(weir, tmp_path):
    for name in ["one", "two"]:
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(name)
    weir = weir(site(tmp_path / "one"))
    assert weir.get("/").body == b"one"
    weir.reload(site(tmp_path / "two"))
    assert weir.get("/").body == b"two"
    before = weir.descriptors()
    for _ in range(5):
        weir.reload(site(tmp_path / "one"))
        weir.reload(site(tmp_path / "two"))
        weir.get("/")
    eventually(lambda: weir.descriptors() <= before + 2, "folders of the past are closed")


# what goes wrong

@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(weir, tmp_path):
    (tmp_path / "closed").write_text("x")
    (tmp_path / "closed").chmod(0)
    answer = weir(site(tmp_path)).get("/closed")
    assert answer.status == 403
    assert_made_by_weir(answer, "file-forbidden")


def test_read_failed(weir, tmp_path):
    """A file the kernel cannot read: a process's own memory at address 0 gives EIO."""
    (tmp_path / "mem").symlink_to(f"/proc/{os.getpid()}/mem")
    weir = weir(site(tmp_path, {"symlinks": "anywhere"}))
    answer = weir.get("/mem")
    # /proc files have size 0 and are served empty, unless opening is what fails.
    assert answer.status in (200, 403)


def test_truncated(weir, tmp_path):
    """A file that gets shorter while it is sent: cut with a reset, never padded."""
    path = tmp_path / "shrinking"
    path.write_bytes(b"x" * (64 << 20))
    weir = weir(site(tmp_path))
    stream = weir.connect()
    stream.send(wire.head_bytes("GET /shrinking HTTP/1.1"))
    head = stream.response(body=False)
    assert head.status == 200 and head.get("Content-Length") == str(64 << 20)
    os.truncate(path, 1 << 20)
    with pytest.raises((wire.Ended, ConnectionError)) as ended:
        stream.body(head, sink=lambda data: None)
    assert getattr(ended.value, "reset", True)
    record = weir.wait_reason("file-truncated")
    assert record["status"] == 200 and record["phase"] == "respond" and record["side"] == "weir"
    assert record["bytes_out"] < 64 << 20
    assert weir.get("/shrinking").status == 200


def test_client_goes_away(weir, tmp_path):
    (tmp_path / "big").write_bytes(b"x" * (64 << 20))
    weir = weir(site(tmp_path))
    before = weir.descriptors()
    for _ in range(20):
        stream = weir.connect()
        stream.send(wire.head_bytes("GET /big HTTP/1.1"))
        stream.head()
        stream.rst()
    weir.wait_records(20)
    assert {line["reason"] for line in weir.access_log()} == {"client-closed-during-response"}
    eventually(lambda: weir.descriptors() <= before + 2, "every file is closed")


def test_a_client_that_takes_nothing(weir, tmp_path):
    (tmp_path / "big").write_bytes(b"x" * (64 << 20))
    config = site(tmp_path)
    config["listeners"]["web"]["timeout"] = {"write": "300ms"}
    weir = weir(config)
    stream = weir.connect()
    stream.send(wire.head_bytes("GET /big HTTP/1.1"))
    record = weir.wait_reason("client-too-slow")
    assert record["bytes_out"] < 64 << 20
    stream.close()


def test_a_slow_client_gets_it_all(weir, tmp_path):
    data = os.urandom(4 << 20)
    (tmp_path / "big").write_bytes(data)
    weir = weir(site(tmp_path))
    stream = weir.connect()
    stream.piece = 1000
    stream.send(wire.head_bytes("GET /big HTTP/1.1"))
    answer = stream.response()
    assert answer.body == data
    record = weir.wait_record(lambda line: line["target"] == "/big")
    assert record["bytes_out"] >= len(data) and "reason" not in record


def test_big_files_do_not_keep_others_waiting(weir, tmp_path):
    (tmp_path / "big").write_bytes(b"x" * (256 << 20))
    (tmp_path / "small").write_bytes(b"small")
    weir = weir(site(tmp_path, workers=1))
    with subprocess.Popen(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code} %{size_download}",
                           f"http://{weir.address[0]}:{weir.address[1]}/big"], stdout=subprocess.PIPE) as download:
        worst = 0
        for _ in range(20):
            start = time.monotonic()
            assert weir.get("/small").body == b"small"
            worst = max(worst, time.monotonic() - start)
        assert download.communicate()[0] == b"200 %d" % (256 << 20)
    assert worst < 1


def test_memory_does_not_grow_with_the_file(weir, tmp_path):
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(4 << 30)
    weir = weir(site(tmp_path))
    weir.get("/huge", method="HEAD")
    before = weir.rss_kib()
    answer = weir.get("/huge", [("Range", f"bytes={(4 << 30) - 10}-")])
    assert answer.status == 206 and answer.body == bytes(10)
    stream = weir.connect()
    stream.send(wire.head_bytes("GET /huge HTTP/1.1"))
    stream.exactly(32 << 20)
    assert weir.rss_kib() - before < 4096
    stream.close()


# over TLS and HTTP/2

@pytest.fixture(scope="module")
def secure(shared_weir, root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", folder / "key", "-out", folder / "cert", "-days", "2", "-subj", "/CN=a.example",
                    "-addext", "subjectAltName=DNS:a.example"], check=True, capture_output=True)
    os.chmod(folder / "key", 0o600)
    weir = shared_weir(site(root, {"precompressed": "gzip"}, listeners={
        "web": {"address": None},
        "secure": {"address": None, "tls": {"certificates": [
            {"cert": str(folder / "cert"), "key": str(folder / "key")}]}}}))
    return weir, folder / "cert"


def curl(weir, listener, *arguments, target):
    host, port = weir.listener(listener)
    scheme = "https" if listener == "secure" else "http"
    return subprocess.run(["curl", "-sS", "--connect-to", f"a.example:{port}:{host}:{port}", *arguments,
                           f"{scheme}://a.example:{port}{target}"], capture_output=True, timeout=60)


@pytest.mark.parametrize("version, listener", [
    ("--http1.1", "secure"), ("--http2", "secure"), ("--http2-prior-knowledge", "web"), ("--http1.1", "web")])
def test_every_transport(secure, version, listener):
    weir, cert = secure
    flags = [version] + (["--cacert", str(cert)] if listener == "secure" else [])

    def ask(target, *more):
        result = curl(weir, listener, *flags, *more, "-D", "-", target=target)
        assert result.returncode == 0, result.stderr
        head, _, body = result.stdout.partition(b"\r\n\r\n")
        status = int(head.split()[1])
        assert head.startswith(b"HTTP/1.1 " if version == "--http1.1" else b"HTTP/2 ")
        return status, head.lower(), body

    assert ask("/style.css")[::2] == (200, STYLE)
    assert ask("/big.bin")[::2] == (200, BIG)
    assert ask("/empty.txt")[::2] == (200, b"")
    assert ask("/big.bin", "-r", "1000000-2999999")[::2] == (206, BIG[1000000:3000000])
    status, head, body = ask("/big.bin", "-r", "0-99,1000000-1999999")
    assert status == 206 and body.count(b"\r\n--weir-") == 3 and BIG[1000000:2000000] in body
    assert int(re.search(rb"content-length: (\d+)", head)[1]) == len(body)
    status, head, body = ask("/big.bin", "-I", "-o", "/dev/null")
    assert status == 200 and body == b"" and b"content-length: %d" % len(BIG) in head
    status, head, _ = ask("/style.css")
    tag = re.search(rb"etag: (\S+)", head)[1].decode()
    assert ask("/style.css", "-H", f"If-None-Match: {tag}")[::2] == (304, b"")
    assert gzip.decompress(ask("/assets/app.js", "-H", "Accept-Encoding: gzip")[2]) == b"js" * 500
    assert ask("/docs")[0] == 301 and ask("/nothing")[0] == 404 and ask("/outside")[0] == 403
    assert ask("/", "-X", "POST")[0] == 405


def test_many_streams_of_files(secure):
    weir, _ = secure
    host, port = weir.listener("web")
    if not shutil.which("h2load"):
        pytest.skip("no h2load")
    result = subprocess.run(["h2load", "-n", "200", "-c", "4", "-m", "16", f"http://{host}:{port}/big.bin"],
                            capture_output=True, text=True, timeout=120)
    assert "200 succeeded, 0 failed" in result.stdout, result.stdout


def test_truncated_over_tls_and_http2(secure, root):
    weir, cert = secure
    for version, listener, code in [("--http1.1", "secure", (18, 56)), ("--http2-prior-knowledge", "web", (92, 18))]:
        path = root / "shrinking"
        path.write_bytes(b"x" * (32 << 20))
        arguments = [version, "--cacert", str(cert), "--limit-rate", "4M", "-o", "/dev/null"]
        before = len(weir.access_log())
        host, port = weir.listener(listener)
        process = subprocess.Popen(
            ["curl", "-sS", "--connect-to", f"a.example:{port}:{host}:{port}", *arguments,
             f"{'https' if listener == 'secure' else 'http'}://a.example:{port}/shrinking"], stderr=subprocess.PIPE)
        eventually(lambda: os.path.exists(f"/proc/{weir.pid}/fd") and any(
            os.readlink(f"/proc/{weir.pid}/fd/{fd}").endswith("/shrinking")
            for fd in os.listdir(f"/proc/{weir.pid}/fd") if os.path.lexists(f"/proc/{weir.pid}/fd/{fd}")),
            "the file is being sent")
        os.truncate(path, 1 << 20)
        assert process.wait(60) in code, process.stderr.read()
        eventually(lambda: any(line.get("reason") == "file-truncated" for line in weir.access_log()[before:]),
                   "the record says so")
        path.unlink()


# weir serve

def test_serve(tmp_path):
    from harness import BINARY
    (tmp_path / "a \"b\" \\ c").mkdir()
    (tmp_path / "a \"b\" \\ c" / "index.html").write_text("served")
    port = free_port()
    process = subprocess.Popen(
        [BINARY, "serve", "a \"b\" \\ c", "--listen", f"127.0.0.1:{port}"], cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        def ask():
            try:
                return wire.get(("127.0.0.1", port), "/")
            except ConnectionRefusedError:
                assert process.poll() is None, process.stderr.read()
                return None
        answer = eventually(ask, "weir serve answers")
        assert answer.status == 200 and answer.body == b"served"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(wire.PATIENCE) == 0


def test_serve_without_the_folder(tmp_path):
    from harness import BINARY
    result = subprocess.run([BINARY, "serve", "missing"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 1 and "No such file or directory" in result.stderr
    result = subprocess.run([BINARY, "serve", "a", "b"], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 2


# beside nginx

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")

# (request, what nginx answers) where Weir's answer differs on purpose.
DIFFERENT = {
    "double slash": "nginx merges slashes: /private//x is a way round a location for /private/x",
    "malformed range": "RFC 9110 §14.2 lets a server ignore what is not well-formed; nginx answers 416",
    "hidden": "nginx serves dotfiles unless told otherwise",
    "link": "nginx follows links out of the root unless told otherwise",
    "post": "405 names the methods",
    "no index": "nginx says 403 for a folder without an index",
    "half encoded slash": "nginx decodes %2F to a separator",
}


@pytest.fixture(scope="module")
def nginx(root, tmp_path_factory):
    if not NGINX:
        pytest.skip("no nginx")
    folder = tmp_path_factory.mktemp("nginx")
    port = free_port()
    # Its workers would else be somebody who may not read our folder.
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(f"""
        daemon off; worker_processes 1; {user} pid {folder}/pid; error_log {folder}/error.log;
        events {{}}
        http {{
            access_log off; types {{ text/html html; text/css css; }} default_type application/octet-stream;
            client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
            uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
            server {{ listen 127.0.0.1:{port}; root {root}; }}
        }}""")
    process = subprocess.Popen([NGINX, "-c", f"{folder}/nginx.conf", "-p", str(folder)],
                               stderr=subprocess.DEVNULL)
    from harness import listening_ports
    eventually(lambda: port in listening_ports() or process.poll() is not None, "nginx listens")
    if process.poll() is not None:
        pytest.skip("nginx does not start here")
    yield ("127.0.0.1", port)
    process.terminate()
    process.wait()


@pytest.mark.parametrize("target, fields, why", [
    ("/", [], None), ("/style.css", [], None), ("/docs/", [], None), ("/nothing", [], None),
    ("/style.css/", [], None), ("/empty.txt", [], None), ("/docs/two%20words.txt", [], None),
    ("/docs/caf%C3%A9.txt", [], None), ("/%252e", [], None), ("/../secret.txt", [], None),
    ("/style.css", [("Range", "bytes=0-9")], None), ("/style.css", [("Range", "bytes=-5")], None),
    ("/style.css", [("Range", "bytes=5-")], None), ("/style.css", [("Range", "bytes=99999-")], None),
    ("/style.css", [("Range", "bytes=0-0,500-509")], None), ("/style.css", [("Range", "lines=1-2")], None),
    ("/style.css", [("Range", "bytes=5-1")], "malformed range"),
    ("/style.css", [("If-Modified-Since", "Fri, 01 Jan 2038 00:00:00 GMT")], "later"),
    ("/style.css", [("If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT")], None),
    ("/style.css", [("If-Match", '"x"')], None), ("/style.css", [("If-None-Match", "*")], None),
    ("/style.css", [("If-Match", "*")], None),
    ("//style.css", [], "double slash"), ("/.git/config", [], "hidden"), ("/outside", [], "link"),
    ("/docs/empty/", [], "no index"), ("/docs%2findex.html", [], "half encoded slash"),
])
def test_beside_nginx(served, nginx, target, fields, why):
    ours = served.get(target, fields)
    theirs = wire.get(nginx, target, fields)
    if why == "later":
        # nginx compares for equality unless told otherwise ("if_modified_since exact").
        assert (ours.status, theirs.status) == (304, 200)
        return
    if why:
        assert (ours.status, ours.body) != (theirs.status, theirs.body), f"no longer different: {DIFFERENT[why]}"
        return
    assert ours.status == theirs.status
    if ours.status in (200, 206) and not (ours.get("Content-Type") or "").startswith("multipart"):
        assert ours.body == theirs.body
        assert ours.get("Content-Length") == theirs.get("Content-Length")
        assert ours.get("Content-Range") == theirs.get("Content-Range")
        assert ours.get("Last-Modified") == theirs.get("Last-Modified")


def test_redirects_like_nginx(served, nginx):
    ours, theirs = served.get("/docs?x=1"), wire.get(nginx, "/docs?x=1")
    assert ours.status == theirs.status == 301
    assert theirs.get("Location").endswith(ours.get("Location"))


def test_references_in_candidates_are_text(weir, tmp_path):
    """What a reference stands for is no variable, whatever braces it has."""
    (tmp_path / "token").write_text("{path}")
    (tmp_path / "www" / "{path}").mkdir(parents=True)
    (tmp_path / "www" / "{path}" / "x.txt").write_text("found")
    w = weir(site(tmp_path / "www", {"try": ["/${file:%s/token}{path}" % tmp_path, {"status": 404}]}))
    assert w.get("/x.txt").body == b"found"
