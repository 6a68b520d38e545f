"""Compression of what Weir answers itself: files without a coded sibling, and fixed responses.

Bodies are decoded by Python and by the libraries' own decoders (test_compression.py), never by Weir.
"""

import gzip
import os
import subprocess

import pytest

import h2wire
import wire
from harness import merge
from test_compression import CODINGS, DECODE, TEXT, gunzip
from wire import Ended, eventually, head_bytes

MIB = 1 << 20
STYLE = b"body { color: black }\n" * 400
ON = {"compression": "on"}


def site(root, route=ON, files=None, **top):
    return merge({
        "listeners": {"web": {"address": None}},
        "routes": [{"name": "all", "match": {"path": "/*"}, "service": "site", **route}],
        "services": {"site": {"files": {"root": str(root), **(files or {})}}},
    }, top)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("site")
    for name, data in {
        "style.css": STYLE, "text.txt": TEXT, "tiny.css": b"p {}", "empty.txt": b"", "photo.png": STYLE,
        "app.js": b"js" * 5000, "noise.txt": os.urandom(300_000),
    }.items():
        (root / name).write_bytes(data)
    (root / "app.js.gz").write_bytes(gzip.compress(b"js" * 5000))
    return root


@pytest.fixture(scope="module")
def served(shared_weir, root):
    return shared_weir(site(root, files={"precompressed": ["gzip"], "cache": [
        {"path": "*.txt", "expires": "1h"}]}))


def ask(w, target, coding, *fields, method="GET"):
    accept = [("Accept-Encoding", coding)] if coding else []
    return wire.get(w.address, target, fields=[*accept, *fields], method=method)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("name, body", [("style.css", STYLE), ("text.txt", TEXT), ("noise.txt", None)],
                         ids=["style", "text", "noise"])  # pytest puts the name into the environment
def test_a_file_decodes_to_itself(served, root, coding, name, body):
    plain = ask(served, f"/{name}", None)
    body = body or (root / name).read_bytes()
    assert plain.body == body and plain.get("Content-Length") == str(len(body))
    assert plain.get("Accept-Ranges") == "bytes" and plain.get("Vary") == "accept-encoding"
    stream = served.connect()
    for _ in range(2):
        stream.send(head_bytes(f"GET /{name} HTTP/1.1", [("Accept-Encoding", coding)]))
        coded = stream.response()
        assert coded.complete and coded.get("Content-Encoding") == coding
        assert coded.get("Vary") == "accept-encoding"
        assert coded.get("ETag") == "W/" + plain.get("ETag")
        assert coded.get("Last-Modified") == plain.get("Last-Modified")
        assert coded.get("Content-Type") == plain.get("Content-Type")
        assert "Content-Length" not in coded and "Accept-Ranges" not in coded
        if name != "noise.txt":
            assert DECODE[coding](coded.body) == body and len(coded.body) < len(body) / 2
        elif coding == "gzip":
            assert gunzip(coded.body) == body


@pytest.mark.parametrize("target, coding", [
    ("/style.css", None), ("/style.css", "deflate"), ("/style.css", "gzip;q=0"), ("/tiny.css", "gzip"),
    ("/empty.txt", "gzip"), ("/photo.png", "gzip"), ("/style.css", "gzip;q=2"),
])
def test_what_goes_as_it_is(served, root, target, coding):
    response = ask(served, target, coding)
    body = (root / target[1:]).read_bytes()
    assert response.body == body and response.get("Content-Length") == str(len(body))
    assert "Content-Encoding" not in response and response.get("ETag").startswith('"')
    assert response.get("Accept-Ranges") == "bytes"


def test_a_coded_sibling_goes_before(served):
    for accept in ["gzip", "gzip, zstd", "gzip;q=0.1, zstd"]:
        response = ask(served, "/app.js", accept)
        assert response.get("Content-Encoding") == "gzip" and gunzip(response.body) == b"js" * 5000
        assert response.get("Content-Length") and response.get("ETag").endswith('-gzip"')
    # The client takes no gzip: there is no sibling for it.
    assert ask(served, "/app.js", "br").get("Content-Encoding") == "br"


def test_head_says_what_get_says(served):
    for coding in [None, *CODINGS]:
        for name in ["style.css", "tiny.css", "app.js", "text.txt"]:
            stream = served.connect()
            stream.send(head_bytes(f"HEAD /{name} HTTP/1.1", [("Accept-Encoding", coding)] if coding else []))
            head = stream.response("HEAD")
            get = ask(served, f"/{name}", coding)
            for field in ["ETag", "Content-Encoding", "Vary", "Content-Type", "Accept-Ranges", "Last-Modified",
                          "Content-Length", "Cache-Control"]:
                assert head.get(field) == get.get(field), field
            # The connection is good for another.
            stream.send(head_bytes("GET /tiny.css HTTP/1.1"))
            assert stream.response().body == b"p {}"


def test_conditions_know_both_tags(served):
    tag = ask(served, "/style.css", "gzip").get("ETag")
    strong = tag.removeprefix("W/")
    for known in [tag, strong, f'"other", {tag}', "*"]:
        response = ask(served, "/style.css", "gzip", ("If-None-Match", known))
        assert response.status == 304 and response.get("ETag") == tag
        assert response.get("Vary") == "accept-encoding" and "Content-Encoding" not in response
        response = ask(served, "/style.css", None, ("If-None-Match", known))
        assert response.status == 304 and response.get("ETag") == strong
    assert ask(served, "/style.css", "gzip", ("If-None-Match", 'W/"other"')).status == 200
    # If-Match compares strongly: a weak tag matches nothing (RFC 9110 §13.1.1).
    assert ask(served, "/style.css", "gzip", ("If-Match", tag)).status == 412
    assert ask(served, "/style.css", "gzip", ("If-Match", strong)).status == 200


def test_ranges_are_of_the_file(served):
    tag = ask(served, "/style.css", "gzip").get("ETag")
    strong = tag.removeprefix("W/")
    part = ask(served, "/style.css", "gzip", ("Range", "bytes=5-9"))
    assert part.status == 206 and part.body == STYLE[5:10] and part.get("ETag") == strong
    assert "Content-Encoding" not in part and part.get("Content-Range") == f"bytes 5-9/{len(STYLE)}"
    assert part.get("Vary") == "accept-encoding"
    parts = ask(served, "/style.css", "gzip", ("Range", "bytes=0-1,5-6"))
    assert parts.status == 206 and "Content-Encoding" not in parts
    # Whoever holds part of the coded one begins again.
    again = ask(served, "/style.css", "gzip", ("Range", "bytes=5-9"), ("If-Range", tag))
    assert again.status == 200 and gunzip(again.body) == STYLE
    assert ask(served, "/style.css", "gzip", ("Range", "bytes=5-9"), ("If-Range", strong)).status == 206
    assert ask(served, "/style.css", "gzip", ("Range", "bytes=99999-")).status == 416


def test_no_transform(weir, root):
    w = weir(site(root, files={"cache": [{"path": "*.css", "control": "max-age=60, no-transform"}]}))
    response = ask(w, "/style.css", "gzip")
    assert response.body == STYLE and "Content-Encoding" not in response and "Vary" not in response
    assert ask(w, "/text.txt", "gzip").get("Content-Encoding") == "gzip"
    assert ask(w, "/text.txt", "gzip", ("Cache-Control", "no-transform")).body == TEXT


def test_without_the_key_files_go_as_they_are(weir, root):
    response = ask(weir(site(root, route={})), "/style.css", "gzip, br, zstd")
    assert response.body == STYLE and "Vary" not in response and response.get("Accept-Ranges") == "bytes"


def test_header_rules_have_the_last_word(weir, root):
    rules = {"headers": {"response": {"remove": ["ETag", "Vary"], "set": {"Content-Encoding": "mine"}}}}
    response = ask(weir(site(root, route={**ON, **rules})), "/style.css", "gzip")
    # With a Content-Encoding of the route's own, none is made.
    assert response.body == STYLE and response.get("Content-Encoding") == "mine" and "ETag" not in response


@pytest.mark.parametrize("coding", CODINGS)
def test_a_client_of_http_1_0(served, coding):
    stream = served.connect()
    stream.send(head_bytes("GET /text.txt HTTP/1.0", [("Accept-Encoding", coding), ("Connection", "keep-alive")]))
    response = stream.response()
    assert response.framing == "close" and response.get("Connection") == "close"
    assert DECODE[coding](response.body) == TEXT


@pytest.mark.parametrize("coding", CODINGS)
def test_over_http2(served, coding):
    with h2wire.connect(served.address) as session:
        for name, body in [("style.css", STYLE), ("text.txt", TEXT)]:
            state = session.fetch(f"/{name}", fields=[("accept-encoding", coding)])
            assert state.get("content-encoding") == coding and DECODE[coding](bytes(state.body)) == body
            head = session.fetch(f"/{name}", method="HEAD", fields=[("accept-encoding", coding)])
            assert head.get("content-encoding") == coding and not head.body
            assert head.get("etag") == state.get("etag")
        assert not session.violations


@pytest.mark.parametrize("coding", CODINGS)
def test_a_client_that_takes_its_time(weir, tmp_path, coding):
    """What it does not take is not read and not coded: memory stays where it was."""
    with open(tmp_path / "big.txt", "wb") as file:
        for _ in range(40):
            file.write(os.urandom(MIB))
    w = weir(site(tmp_path, workers=1))
    before = w.rss_kib()
    stream = w.connect()
    stream.send(head_bytes("GET /big.txt HTTP/1.1", [("Accept-Encoding", coding)]))
    response = stream.response(body=False)
    assert ask(w, "/", None).status == 404
    assert w.rss_kib() - before < 24 * 1024
    stream.piece = 1 << 20
    total = [0]
    stream.body(response, sink=lambda data: total.__setitem__(0, total[0] + len(data)))
    assert total[0] > 39 * MIB


def test_a_file_that_shrinks_never_looks_complete(weir, tmp_path):
    path = tmp_path / "x.txt"
    with open(path, "wb") as file:
        for _ in range(40):
            file.write(os.urandom(MIB))
    w = weir(site(tmp_path))
    stream = w.connect()
    stream.send(head_bytes("GET /x.txt HTTP/1.1", [("Accept-Encoding", "gzip")]))
    head = stream.response(body=False)
    os.truncate(path, MIB)
    with pytest.raises((Ended, ConnectionError)):
        stream.body(head, sink=lambda data: None)
    assert w.wait_reason("file-truncated")


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_curl_reads_it(served, version):
    host, port = served.address
    for name, body in [("style.css", STYLE), ("text.txt", TEXT)]:
        got = subprocess.run(
            ["curl", "-sS", version, "--compressed", f"http://{host}:{port}/{name}"],
            check=True, capture_output=True, timeout=wire.PATIENCE).stdout
        assert got == body


def test_bytes_are_counted_by_coding(weir, root):
    w = weir(site(root))
    for coding in CODINGS:
        coded = ask(w, "/text.txt", coding)
        eventually(lambda: w.metric("weir_compression_in_bytes_total", coding=coding) == len(TEXT), "counted")
        assert w.metric("weir_compression_out_bytes_total", coding=coding) == len(coded.body)


# fixed responses

def fixed(body, route=ON, **respond):
    return {
        "listeners": {"web": {"address": None}},
        "routes": [{"name": "fixed", "match": {"path": "/*"}, **route,
                    "respond": {"status": 200, "type": "text/plain", "body": body, **respond}}],
    }


WORDS = "one text that is always the same\n" * 100


@pytest.mark.parametrize("coding", CODINGS)
def test_a_fixed_response(weir, coding):
    w = weir(fixed(WORDS))
    plain = ask(w, "/", None)
    assert plain.body == WORDS.encode() and plain.get("Vary") == "Accept-Encoding"
    coded = ask(w, "/", coding)
    assert coded.get("Content-Encoding") == coding and coded.get("Vary") == "Accept-Encoding"
    assert coded.get("Content-Length") == str(len(coded.body)) and len(coded.body) < len(WORDS) / 10
    assert DECODE[coding](coded.body) == WORDS.encode()
    head = ask(w, "/", coding, method="HEAD")
    assert head.get("Content-Length") == str(len(coded.body)) and head.get("Content-Encoding") == coding
    with h2wire.connect(w.address) as session:
        state = session.fetch("/", fields=[("accept-encoding", coding)])
        assert bytes(state.body) == coded.body and state.get("content-encoding") == coding


@pytest.mark.parametrize("config", [
    fixed("short"), fixed(WORDS, type="image/png"), fixed(WORDS, route={}),
    fixed(WORDS, route={"compression": {"encodings": "br"}}),
])
def test_a_fixed_response_that_goes_as_it_is(weir, config):
    response = ask(weir(config), "/", "gzip")
    assert "Content-Encoding" not in response
    assert response.body.decode() == config["routes"][0]["respond"]["body"]
    assert ask(weir(config), "/", "gzip", ("Cache-Control", "no-transform")).status == 200
