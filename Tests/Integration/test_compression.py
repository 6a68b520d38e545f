"""Compressed responses: the bytes decode to what the endpoint sent, and the fields tell the truth.

Bodies are decoded by the libraries' own one-shot decoders (ctypes) and by curl, never by Weir's code.
"""

import ctypes
import subprocess
import zlib

import pytest

import wire
from backends import answer, serve
from harness import proxy_to
from wire import Ended, eventually, head_bytes

pytestmark = [pytest.mark.threads]


@pytest.fixture
def weir(reused_weir):
    return reused_weir

TEXT = b"".join(b'{"id": %d, "name": "endpoint %d", "state": "active"}\n' % (i, i * 7919 % 1000) for i in range(60000))
CODINGS = ["gzip", "br", "zstd"]
ON = {"compression": "on"}
HTML = ("Content-Type", "text/html")


def gunzip(data):
    decoder = zlib.decompressobj(31)
    body = decoder.decompress(data)
    assert decoder.eof and not decoder.unused_data
    return body


def unbrotli(data):
    library = ctypes.CDLL("libbrotlidec.so.1")
    room = ctypes.create_string_buffer(len(TEXT) + 1)
    count = ctypes.c_size_t(len(room))
    result = library.BrotliDecoderDecompress(
        ctypes.c_size_t(len(data)), data, ctypes.byref(count), room)
    assert result == 1
    return room.raw[:count.value]


def unzstd(data):
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_decompress.restype = ctypes.c_size_t
    room = ctypes.create_string_buffer(len(TEXT) + 1)
    count = library.ZSTD_decompress(
        room, ctypes.c_size_t(len(room)), data, ctypes.c_size_t(len(data)))
    assert not library.ZSTD_isError(ctypes.c_size_t(count))
    return room.raw[:count]


DECODE = {"gzip": gunzip, "br": unbrotli, "zstd": unzstd}


def framed(body, framing):
    if framing == "length":
        return answer(body, fields=[HTML])
    if framing == "chunked":
        pieces = [body[i:i + 7000] for i in range(0, len(body), 7000)]
        return (head_bytes("HTTP/1.1 200 OK", [HTML, ("Transfer-Encoding", "chunked")], None)
                + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n")
    return head_bytes("HTTP/1.1 200 OK", [HTML, ("Connection", "close")], None) + body


def responds(reply):
    """A script that answers each request with these bytes, and closes when it says so."""
    def script(c):
        while True:
            c.request()
            c.send(reply)
            if b"Connection: close" in reply[:200]:
                return
    return script


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("coding", CODINGS)
def test_the_body_decodes_to_what_was_sent(weir, backend, coding, framing):
    for size in [1024, 30_000, len(TEXT)]:
        w = weir(proxy_to(backend(responds(framed(TEXT[:size], framing))), route=ON))
        stream = w.connect()
        for _ in range(2):
            stream.send(head_bytes("GET / HTTP/1.1", [("Accept-Encoding", coding)]))
            response = stream.response()
            assert response.complete and response.status == 200
            assert response.get("Content-Encoding") == coding
            assert response.get("Vary") == "Accept-Encoding"
            assert "Content-Length" not in response
            assert DECODE[coding](response.body) == TEXT[:size]
            assert len(response.body) < size / 2


@pytest.mark.parametrize("coding", CODINGS)
def test_a_client_of_http_1_0_gets_it_until_the_end(weir, backend, coding):
    w = weir(proxy_to(backend(responds(answer(TEXT[:50_000], fields=[HTML]))), route=ON))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.0", [("Accept-Encoding", coding), ("Connection", "keep-alive")]))
    response = stream.response()
    assert response.get("Connection") == "close" and "Transfer-Encoding" not in response
    assert DECODE[coding](response.body) == TEXT[:50_000]


def test_the_fields_of_a_compressed_response(weir, backend):
    fields = [HTML, ("ETag", '"v1"'), ("Accept-Ranges", "bytes"), ("Vary", "Origin"), ("X-Kept", "yes")]
    w = weir(proxy_to(backend(serve(lambda _: answer(TEXT[:5000], fields=fields))), route=ON))
    coded = wire.get(w.address, fields=[("Accept-Encoding", "gzip")])
    assert coded.get("ETag") == 'W/"v1"' and coded.get("Vary") == "Origin, Accept-Encoding"
    assert "Accept-Ranges" not in coded and coded.get("X-Kept") == "yes"
    plain = wire.get(w.address)
    assert plain.get("ETag") == '"v1"' and plain.get("Vary") == "Origin, Accept-Encoding"
    assert plain.get("Accept-Ranges") == "bytes" and plain.body == TEXT[:5000]
    assert "Content-Encoding" not in plain and plain.get("Content-Length") == "5000"


@pytest.mark.parametrize("fields, status, size", [
    ([("Content-Type", "image/png")], "200 OK", 5000),
    ([HTML, ("Content-Encoding", "br")], "200 OK", 5000),
    ([HTML, ("Cache-Control", "max-age=1, no-transform")], "200 OK", 5000),
    ([HTML, ("Content-Range", "bytes 0-4999/9000")], "206 Partial Content", 5000),
    ([HTML, ("Content-Digest", "sha-256=:AAAA:")], "200 OK", 5000),
    ([HTML], "200 OK", 1023),
    ([("Content-Type", "text/event-stream")], "200 OK", 5000),
    ([], "200 OK", 5000),
])
def test_what_is_not_compressed_is_not_touched(weir, backend, fields, status, size):
    w = weir(proxy_to(backend(serve(lambda _: answer(TEXT[:size], status, fields))), route=ON))
    response = wire.get(w.address, fields=[("Accept-Encoding", "gzip, br, zstd")])
    assert response.body == TEXT[:size] and response.get("Content-Length") == str(size)
    assert response.get("Content-Encoding") == dict(fields).get("Content-Encoding")
    assert "Vary" not in response


def test_without_the_key_nothing_is_compressed(weir, backend):
    w = weir(proxy_to(backend(serve(lambda _: answer(TEXT[:5000], fields=[HTML])))))
    response = wire.get(w.address, fields=[("Accept-Encoding", "gzip, br, zstd")])
    assert response.body == TEXT[:5000] and "Vary" not in response


def test_head_and_304_have_no_body_to_code(weir, backend):
    def reply(request):
        if request.get("If-None-Match"):
            return head_bytes("HTTP/1.1 304 Not Modified", [("ETag", '"v1"')], None)
        head = answer(TEXT[:5000], fields=[HTML, ("ETag", '"v1"')])
        return head[:head.index(b"\r\n\r\n") + 4] if request.method == "HEAD" else head
    w = weir(proxy_to(backend(serve(reply)), route=ON))
    accept = ("Accept-Encoding", "gzip")
    head = wire.get(w.address, method="HEAD", fields=[accept])
    assert head.get("Content-Length") == "5000" and head.get("Vary") == "Accept-Encoding"
    assert "Content-Encoding" not in head
    tag = wire.get(w.address, fields=[accept]).get("ETag")
    same = wire.get(w.address, fields=[accept, ("If-None-Match", tag)])
    assert same.status == 304 and same.get("ETag") == tag == 'W/"v1"'


def test_weights_and_the_route_s_order(weir, backend):
    b = backend(serve(lambda _: answer(TEXT[:5000], fields=[HTML])))
    w = weir(proxy_to(b, route={"compression": {"encodings": ["br", "gzip"], "types": "text/html"}}))

    def chosen(accept):
        return wire.get(w.address, fields=[("Accept-Encoding", accept)]).get("Content-Encoding")
    assert chosen("gzip, br, zstd") == "br"
    assert chosen("gzip, br;q=0.5") == "gzip"
    assert chosen("zstd") is None
    assert chosen("*;q=0.1") == "br"
    assert chosen("br;q=2") is None


def test_header_rules_have_the_last_word(weir, backend):
    rules = {"headers": {"response": {"remove": ["ETag"], "set": {"Vary": "Cookie"}}}}
    b = backend(serve(lambda _: answer(TEXT[:5000], fields=[HTML, ("ETag", '"v1"'), ("Vary", "Origin")])))
    w = weir(proxy_to(b, route={**ON, **rules}))
    response = wire.get(w.address, fields=[("Accept-Encoding", "gzip")])
    assert "ETag" not in response and sorted(response.fields.all("Vary")) == ["Accept-Encoding", "Cookie"]
    assert gunzip(response.body) == TEXT[:5000]


@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_a_live_stream_is_passed_as_it_comes(weir, backend, framing):
    seen = []

    def script(c):
        c.request()
        field = ("Transfer-Encoding", "chunked") if framing == "chunked" else ("Connection", "close")
        c.send(head_bytes("HTTP/1.1 200 OK", [("Content-Type", "text/event-stream"), field], None))
        for i in range(5):
            event = b"data: event %d\n\n" % i
            c.send(b"%x\r\n%s\r\n" % (len(event), event) if framing == "chunked" else event)
            # The next one only after the client has this one.
            eventually(lambda: len(seen) > i, f"event {i} arrived")
        if framing == "chunked":
            c.send(b"0\r\n\r\n")
    w = weir(proxy_to(backend(script), route={"compression": {"types": ["text/event-stream"]}}))
    decoder = zlib.decompressobj(31)
    text = b""

    def sink(data):
        nonlocal text
        text += decoder.decompress(data)
        seen[:] = text.split(b"\n\n")[:-1]
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1", [("Accept-Encoding", "gzip")]))
    response = stream.response(sink=sink)
    assert response.complete and seen == [b"data: event %d" % i for i in range(5)] and decoder.eof


def test_trailers_follow_a_coded_body(weir, backend):
    def script(c):
        c.request()
        c.send(head_bytes("HTTP/1.1 200 OK", [HTML, ("Transfer-Encoding", "chunked")], None)
               + b"1388\r\n" + TEXT[:5000] + b"\r\n0\r\nX-Sum: 42\r\n\r\n")
        c.wait_end()
    w = weir(proxy_to(backend(script), route=ON))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1", [("Accept-Encoding", "gzip"), ("TE", "trailers")]))
    response = stream.response()
    assert gunzip(response.body) == TEXT[:5000] and response.trailers.get("X-Sum") == "42"


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_body_cut_short_never_looks_complete(weir, backend, framing):
    whole = framed(TEXT[:100_000], framing)

    def script(c):
        c.request()
        c.send(whole[:60_000])
    w = weir(proxy_to(backend(script), route=ON))
    stream = w.connect()
    stream.send(head_bytes("GET / HTTP/1.1", [("Accept-Encoding", "gzip")]))
    with pytest.raises(Ended):
        stream.response()
    assert w.wait_records(1)[0]["reason"] == "upstream-closed-mid-body"


@pytest.mark.parametrize("coding", CODINGS)
def test_clients_that_leave_take_no_memory_along(weir, backend, coding):
    w = weir(proxy_to(backend(responds(framed(TEXT, "chunked"))), route=ON, workers=1))

    def leave(count):
        for _ in range(count):
            stream = w.connect()
            stream.send(head_bytes("GET / HTTP/1.1", [("Accept-Encoding", coding)]))
            stream.exactly(1000)
            stream.rst()
    leave(20)
    before = w.rss_kib()
    leave(100)
    assert w.rss_kib() - before < 16 * 1024
    assert DECODE[coding](wire.get(w.address, fields=[("Accept-Encoding", coding)]).body) == TEXT


@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
@pytest.mark.parametrize("coding", CODINGS)
def test_curl_reads_it(weir, backend, tmp_path, coding, version):
    w = weir(proxy_to(backend(responds(framed(TEXT, "length"))), route={"compression": {"encodings": [coding]}}))
    host, port = w.address
    head = tmp_path / "head"
    body = subprocess.run(
        ["curl", "-sS", version, "--compressed", "-D", head, f"http://{host}:{port}/"],
        check=True, capture_output=True, timeout=wire.PATIENCE).stdout
    assert body == TEXT
    assert f"content-encoding: {coding}" in head.read_text().lower()
