"""Request bodies that leave their coding on the way: the endpoint gets plain bytes, or the client is told why not.

Bodies are coded by zlib and by the libraries' own one-shot encoders (ctypes) and by curl, never by Weir.
"""

import ctypes
import gzip
import os
import shutil
import subprocess
import threading
import time
import zlib

import pytest

import h2wire
import wire
from backends import answer, hang, serve
from harness import assert_answers, assert_made_by_weir, listening_ports, proxy_to
from ports import free_port
from wire import eventually, head_bytes

pytestmark = [pytest.mark.bytes]

TEXT = b"".join(b'{"id": %d, "name": "endpoint %d"}\n' % (i, i * 7919 % 1000) for i in range(40_000))
MIB = 1 << 20
ON = {"decompress-requests": {"max-size": "64MiB"}}
CODINGS = ["gzip", "br", "zstd", "deflate"]
NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def brotli(data):
    library = ctypes.CDLL("libbrotlienc.so.1")
    room = ctypes.create_string_buffer(len(data) + 1024)
    count = ctypes.c_size_t(len(room))
    assert library.BrotliEncoderCompress(
        5, 22, 0, ctypes.c_size_t(len(data)), data, ctypes.byref(count), room) == 1
    return room.raw[:count.value]


def zstd(data):
    library = ctypes.CDLL("libzstd.so.1")
    library.ZSTD_compress.restype = ctypes.c_size_t
    room = ctypes.create_string_buffer(len(data) + 1024)
    count = library.ZSTD_compress(
        room, ctypes.c_size_t(len(room)), data, ctypes.c_size_t(len(data)), 3)
    return room.raw[:count]


CODE = {"gzip": gzip.compress, "br": brotli, "zstd": zstd, "deflate": zlib.compress}


def post(w, body, coding, *fields, method="POST", chunk=None, stream=None):
    """One request with this body; chunk: in chunks of so many bytes."""
    fields = [("Content-Encoding", coding), *fields] if coding else list(fields)
    stream = stream or w.connect()
    if chunk is None:
        stream.send(head_bytes(f"{method} / HTTP/1.1", [*fields, ("Content-Length", len(body))]) + body)
    else:
        pieces = [body[i:i + chunk] for i in range(0, len(body), chunk)]
        stream.send(head_bytes(f"{method} / HTTP/1.1", [*fields, ("Transfer-Encoding", "chunked")])
                    + b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in pieces) + b"0\r\n\r\n")
    return stream.response()


def endpoint(backend):
    return backend(serve(lambda request: answer(b"%d" % len(request.body))))


# what arrives

@pytest.mark.parametrize("chunk", [None, 7000])
@pytest.mark.parametrize("size", [1, 3000, 50_000, 200_000, len(TEXT)])
@pytest.mark.parametrize("coding", CODINGS)
def test_the_endpoint_gets_the_plain_body(weir, backend, coding, size, chunk):
    b = endpoint(backend)
    w = weir(proxy_to(b, route=ON))
    stream = w.connect()
    coded = CODE[coding](TEXT[:size])
    for _ in range(2):
        response = post(w, coded, coding, ("X-Kept", "yes"), chunk=chunk, stream=stream)
        assert response.status == 200 and response.body == b"%d" % size
    for request in b.requests:
        assert request.body == TEXT[:size]
        assert "Content-Encoding" not in request and request.get("X-Kept") == "yes"
        # Held whole and small when decoded, the length is known.
        assert request.framing == ("length" if size <= 60_000 else "chunked")
    record = w.wait_records(2)[0]
    assert record["bytes_in"] >= len(coded)


@pytest.mark.parametrize("fields", [
    [("Content-Encoding", "GZIP")], [("Content-Encoding", "x-gzip")], [("Content-Encoding", " gzip , ")],
    [("Content-Encoding", "identity, gzip")], [("Content-Encoding", ""), ("Content-Encoding", "gzip")],
])
def test_ways_to_name_one_coding(weir, backend, fields):
    b = endpoint(backend)
    w = weir(proxy_to(b, route=ON))
    assert post(w, gzip.compress(TEXT[:500]), None, *fields).status == 200
    assert b.requests[0].body == TEXT[:500] and "Content-Encoding" not in b.requests[0]


def test_what_is_not_coded_is_not_touched(weir, backend):
    b = endpoint(backend)
    w = weir(proxy_to(b, route=ON))
    for fields in [[], [("Content-Encoding", "identity")], [("Transfer-Encoding", "chunked")]]:
        body = b"5\r\nplain\r\n0\r\n\r\n" if fields and fields[0][0].startswith("T") else b"plain"
        stream = w.connect()
        length = [] if body != b"plain" else [("Content-Length", 5)]
        stream.send(head_bytes("POST / HTTP/1.1", [*fields, *length]) + body)
        assert stream.response().status == 200
        assert b.requests[-1].body == b"plain"
    # Without a body there is nothing to decode, whatever the field says.
    assert w.get(fields=[("Content-Encoding", "gzip")]).status == 200
    assert b.requests[-1].get("Content-Encoding") == "gzip"
    assert w.get(method="POST", fields=[("Content-Encoding", "nonsense"), ("Content-Length", "0")]).status == 200


def test_without_the_key_bodies_go_as_they_come(weir, backend):
    b = endpoint(backend)
    w = weir(proxy_to(b))
    coded = gzip.compress(TEXT)
    assert post(w, coded, "gzip").status == 200
    assert b.requests[0].body == coded and b.requests[0].get("Content-Encoding") == "gzip"
    assert b.requests[0].get("Content-Length") == str(len(coded))


def test_fields_about_the_coded_bytes_go(weir, backend):
    b = endpoint(backend)
    w = weir(proxy_to(b, route=ON))
    digests = [("Content-Digest", "sha-256=:AAAA:"), ("Repr-Digest", "sha-256=:AAAA:"),
               ("Digest", "sha-256=AAAA"), ("Content-MD5", "AAAA")]
    post(w, gzip.compress(b"text"), "gzip", *digests)
    assert not [name for name, _ in digests if name in b.requests[0]]
    post(w, b"text", None, *digests)
    assert all(name in b.requests[1] for name, _ in digests)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [300, 100_000])
def test_byte_by_byte(weir, backend, coding, size):
    b = endpoint(backend)
    w = weir(proxy_to(b, route=ON))
    coded = CODE[coding](TEXT[:size])
    stream = w.connect()
    stream.send(head_bytes("POST / HTTP/1.1", [("Content-Encoding", coding), ("Content-Length", len(coded))]))
    cut = min(len(coded), 400)
    for i in range(cut):
        stream.send(coded[i:i + 1])
    stream.send(coded[cut:])
    assert stream.response().body == b"%d" % size and b.requests[0].body == TEXT[:size]


def test_trailers_stay_behind_the_body(weir, backend):
    b = endpoint(backend)
    w = weir(proxy_to(b, route=ON))
    for size in [100, len(TEXT)]:
        coded = gzip.compress(TEXT[:size])
        stream = w.connect()
        stream.send(head_bytes("POST / HTTP/1.1", [("Content-Encoding", "gzip"), ("Transfer-Encoding", "chunked")])
                    + b"%x\r\n%s\r\n0\r\nContent-Digest: sha-256=:AAAA:\r\nX-Sum: 42\r\n\r\n" % (len(coded), coded))
        assert stream.response().status == 200
        assert b.requests[-1].body == TEXT[:size] and b.requests[-1].trailers.get("X-Sum") == "42"
        assert "Content-Digest" not in b.requests[-1].trailers, "of bytes that nobody sees any more"


@pytest.mark.parametrize("size", [2000, len(TEXT)])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_client_that_asks_first(weir, backend, framing, size):
    b = endpoint(backend)
    w = weir(proxy_to(b, route=ON))
    coded = gzip.compress(TEXT[:size])
    field = ("Content-Length", len(coded)) if framing == "length" else ("Transfer-Encoding", "chunked")
    stream = w.connect()
    stream.send(head_bytes("POST / HTTP/1.1", [("Content-Encoding", "gzip"), field, ("Expect", "100-continue")]))
    assert stream.head().status == 100
    stream.send(coded if framing == "length" else b"%x\r\n%s\r\n0\r\n\r\n" % (len(coded), coded))
    assert stream.response().body == b"%d" % size and b.requests[0].body == TEXT[:size]


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
@pytest.mark.parametrize("size", [2000, len(TEXT)])
def test_an_upgrade_that_is_not_made_changes_nothing(weir, backend, protocol, size):
    """curl offers h2c with each request; nobody gets a coded body past the decoder that way."""
    b = endpoint(backend)
    w = weir(proxy_to(b, route=ON))
    response = post(w, gzip.compress(TEXT[:size]), "gzip", ("Connection", "upgrade"), ("Upgrade", protocol))
    assert response.body == b"%d" % size and b.requests[0].body == TEXT[:size]
    assert "Content-Encoding" not in b.requests[0]


# HTTP/2 on either side

class Origin:
    """An HTTP/2 endpoint that answers with the length of the body, and keeps what it got."""

    def __init__(self):
        self.seen = []

    def __call__(self, c):
        session, served = h2wire.Session(c.sock, server=True), set()
        while session.step(600):
            for number, state in list(session.streams.items()):
                if number % 2 and state.over and state.head is not None and number not in served:
                    served.add(number)
                    self.seen.append(state)
                    session.send(h2wire.headers(number, [(":status", "200")], False)
                                 + h2wire.data(number, b"%d" % len(state.body), True))


@pytest.mark.parametrize("size", [3000, len(TEXT)])
@pytest.mark.parametrize("coding", CODINGS)
def test_over_http2_from_the_client(weir, backend, coding, size):
    b = endpoint(backend)
    w = weir(proxy_to(b, route=ON))
    coded = CODE[coding](TEXT[:size])
    with h2wire.connect(w.address) as session:
        for fields in [[], [("content-length", str(len(coded)))]]:
            state = session.fetch(method="POST", fields=[("content-encoding", coding), *fields], body=coded)
            assert state.status == 200 and bytes(state.body) == b"%d" % size
        bad = session.fetch(method="POST", fields=[("content-encoding", coding)], body=coded[:-3] + b"\xff\xff\xff")
        assert bad.status == 400
        unknown = session.fetch(method="POST", fields=[("content-encoding", "compress")], body=b"x")
        assert unknown.status == 415 and unknown.get("accept-encoding") == "gzip, br, zstd, deflate"
    assert b.requests[0].body == b.requests[1].body == TEXT[:size]


@pytest.mark.parametrize("size", [3000, len(TEXT)])
@pytest.mark.parametrize("coding", CODINGS)
def test_over_http2_to_the_endpoint(weir, backend, coding, size):
    origin = Origin()
    w = weir(proxy_to(backend(origin), route=ON, service={"protocol": "h2"}))
    for chunk in [None, 5000]:
        assert post(w, CODE[coding](TEXT[:size]), coding, chunk=chunk).body == b"%d" % size
    for state in origin.seen:
        assert bytes(state.body) == TEXT[:size] and state.get("content-encoding") is None
        assert state.get("content-length") == (str(size) if size < 60_000 else None)


def test_a_bad_body_resets_the_stream_to_the_endpoint(weir, backend):
    """What was sent of it must not look like all of it."""
    origin = Origin()
    w = weir(proxy_to(backend(origin), route=ON, service={"protocol": "h2"}))
    coded = bytearray(gzip.compress(TEXT))
    coded[-6] ^= 1  # of the checksum, behind everything
    assert post(w, bytes(coded), "gzip").status == 400
    eventually(lambda: origin.seen, "the endpoint saw the stream end")
    assert origin.seen[0].reset is not None and not origin.seen[0].ended


# what is refused

@pytest.mark.parametrize("value", ["compress", "gzip, br", "gzip, gzip", "aes128gcm", "gzip;q=1", "g zip"])
def test_codings_that_are_not_decoded(weir, backend, value):
    b = endpoint(backend)
    w = weir(proxy_to(b, route=ON))
    response = post(w, gzip.compress(b"text"), value)
    assert response.status == 415 and response.get("Accept-Encoding") == "gzip, br, zstd, deflate"
    assert_made_by_weir(response, "request-coding-unsupported")
    assert not b.requests
    # Asking first spares the body.
    stream = w.connect()
    stream.send(head_bytes("POST / HTTP/1.1", [
        ("Content-Encoding", value), ("Content-Length", 5), ("Expect", "100-continue")]))
    assert stream.response().status == 415


def window_bomb():
    """A zstd frame that wants 128 MiB to look back in."""
    return b"\x28\xb5\x2f\xfd\x00\x88" + b"\x01\x00\x00"


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("size", [2000, len(TEXT)])
@pytest.mark.parametrize("damage", ["cut", "trailing", "wrong", "checksum"])
def test_a_body_that_is_not_in_its_coding(weir, backend, coding, size, damage):
    b = endpoint(backend)
    w = weir(proxy_to(b, route=ON))
    coded = CODE[coding](TEXT[:size])
    bad = {"cut": coded[:-1], "trailing": coded + b"garbage", "wrong": b"\x00" + coded,
           "checksum": coded[:-2] + bytes([coded[-2] ^ 1]) + coded[-1:]}[damage]
    if damage == "checksum" and coding in ("br", "zstd"):
        pytest.skip("has none")
    response = post(w, bad, coding)
    assert response.status == 400
    assert_made_by_weir(response, "request-coding-malformed")
    # The endpoint never sees it as a whole request.
    assert not b.requests
    record = w.wait_records(1)[0]
    assert record["reason"] == "request-coding-malformed" and record["side"] == "client"
    # In the hundred of codings (docs/reasons.md): 1 to 99 would be a violation of HTTP/1.1.
    assert record["detail"] in (301, 302, 303)
    if size == 2000:
        assert record["attempts"] == 0
    assert_answers(w)


def test_more_refusals(weir, backend):
    w = weir(proxy_to(endpoint(backend), route=ON))
    for coding, body, words in [
        ("zstd", window_bomb(), b"window"), ("gzip", b"", None), ("deflate", zlib.compress(b"x")[2:-4], b"coding"),
        ("gzip", b"plain text", b"coding"), ("br", gzip.compress(b"x"), b"coding"),
    ]:
        response = post(w, body, coding)
        if words is None:
            assert response.status == 200
        else:
            assert response.status == 400 and words in response.body
    # Chunked, that there is no body is known only at its end.
    assert post(w, b"", "gzip", chunk=1).status == 400


# bombs

def bomb(coding, mebibytes):
    """Zeros: a row of members or frames, for brotli one stream."""
    if coding == "br":
        return brotli(bytes(mebibytes * MIB))
    return CODE[coding](bytes(16 * MIB)) * (mebibytes // 16)


@pytest.mark.parametrize("chunk", [None, 60_000])
@pytest.mark.parametrize("coding, mebibytes", [("gzip", 10 * 1024), ("zstd", 10 * 1024), ("br", 256)])
def test_a_bomb_is_stopped_early(weir, backend, coding, mebibytes, chunk):
    """10 GiB in 10 MiB (gzip): the ratio gives it away after a MiB."""
    b = endpoint(backend)
    w = weir(proxy_to(b, route={"decompress-requests": {"max-size": "100GiB"}}, workers=1))
    before = w.rss_kib()
    body = bomb(coding, mebibytes)
    stream = w.connect()
    framed = body if chunk is None else b"".join(
        b"%x\r\n%s\r\n" % (len(body[i:i + chunk]), body[i:i + chunk]) for i in range(0, len(body), chunk))
    field = ("Content-Length", len(body)) if chunk is None else ("Transfer-Encoding", "chunked")

    def send():
        try:
            stream.send(head_bytes("POST / HTTP/1.1", [("Content-Encoding", coding), field]) + framed)
        except OSError:
            pass  # it was told, and the connection ended
    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    response = stream.response()
    assert response.status == 413 and response.get("Connection") == "close" or len(body) < 60_000
    assert_made_by_weir(response, "request-decoded-too-large")
    assert not b.requests
    assert w.metric("weir_decompression_out_bytes_total", coding=coding) < 40 * MIB
    assert w.rss_kib() - before < 64 * 1024
    stream.close()
    sender.join()


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_the_size_bound(weir, backend, coding):
    b = endpoint(backend)
    w = weir(proxy_to(b, route={"decompress-requests": {"max-size": "1MiB", "max-ratio": 1000000}}))
    assert post(w, CODE[coding](bytes(MIB)), coding).body == b"%d" % MIB
    over = post(w, CODE[coding](bytes(MIB + 1)), coding)
    assert over.status == 413 and b"larger than allowed" in over.body
    tiny = weir(proxy_to(b, route={"decompress-requests": {"max-size": "1KiB"}}))
    assert post(tiny, CODE[coding](TEXT[:1024]), coding).status == 200
    response = post(tiny, CODE[coding](TEXT[:1025]), coding)
    assert response.status == 413
    assert len(b.requests) == 2


def test_a_body_that_expands_does_not_stop_the_others(weir, backend):
    """256 MiB of 256 KiB: the one worker serves others all the while, and memory stays where it was."""
    total = 256 * MIB
    counted = []

    def script(c):
        while True:
            count = [0]
            c.request(sink=lambda data: count.__setitem__(0, count[0] + len(data)))
            counted.append(count[0])
            c.send(answer())
    w = weir(proxy_to(backend(script), workers=1, route={
        "decompress-requests": {"max-size": "1GiB", "max-ratio": 1000000}}))
    assert_answers(w)
    before = w.rss_kib()
    stream = w.connect()
    body = bomb("gzip", 256)
    stream.send(head_bytes("POST / HTTP/1.1", [("Content-Encoding", "gzip"), ("Content-Length", len(body))]) + body)
    served = 0
    while not stream.readable():
        assert_answers(w)
        served += 1
        assert w.rss_kib() - before < 32 * 1024
    assert stream.response().status == 200 and total in counted
    assert served > 3


@pytest.mark.parametrize("coding", ["gzip", "br", "zstd"])
def test_a_slow_endpoint_holds_the_decoder_back(weir, backend, coding):
    """Nothing is decoded for an endpoint that takes nothing."""
    go = threading.Event()
    got = []

    def script(c):
        head = c.head()
        head.framing = "chunked"
        go.wait(60)
        total = [0]
        c.body(head, sink=lambda data: total.__setitem__(0, total[0] + len(data)))
        got.append(total[0])
        c.send(answer())
    w = weir(proxy_to(backend(script), workers=1, route={
        "decompress-requests": {"max-size": "1GiB", "max-ratio": 1000000}}))
    before = w.rss_kib()
    body = bomb(coding, 128)
    stream = w.connect()
    sender = threading.Thread(target=stream.send, args=(head_bytes(
        "POST / HTTP/1.1", [("Content-Encoding", coding), ("Content-Length", len(body))]) + body,))
    sender.start()
    # Quiet: the socket to the endpoint is full, and the worker has nothing to do.
    def turns():
        first = w.metric("weir_worker_busy_seconds_total")
        time.sleep(0.3)
        return w.metric("weir_worker_busy_seconds_total") - first
    eventually(lambda: turns() < 0.1, "the worker rests")
    assert w.rss_kib() - before < 48 * 1024
    go.set()
    sender.join()
    assert stream.response().status == 200 and got == [128 * MIB]


def test_windows_are_bounded_over_all_bodies(weir, backend):
    """Each of these wants 8 MiB to look back in, and stays: together they get the worker's share and no more."""
    frame = b"\x28\xb5\x2f\xfd\x00" + bytes([13 << 3])
    block = (100_000 << 3 | 1 << 1).to_bytes(3, "little") + b"x"  # RLE: 100,000 times one byte
    w = weir(proxy_to(backend(lambda c: (c.head(), c.rest(timeout=60))), workers=1, route={
        "decompress-requests": {"max-size": "1GiB", "max-ratio": 1000000}, "hold": "0B"}))
    before = w.rss_kib()
    streams = []
    for _ in range(40):
        stream = w.connect()
        stream.send(head_bytes("POST / HTTP/1.1", [("Content-Encoding", "zstd"), ("Transfer-Encoding", "chunked")])
                    + b"%x\r\n%s\r\n" % (len(frame + block), frame + block))
        streams.append(stream)
    refused = eventually(lambda: [s for s in streams if s.readable()] if len(
        [s for s in streams if s.readable()]) >= 20 else None, "most are refused")
    for stream in refused:
        response = stream.response()
        assert response.status == 503
        assert_made_by_weir(response, "internal-limit")
    assert len(refused) < 40 and w.rss_kib() - before < 200 * 1024
    for stream in streams:
        stream.close()
    # What the others held is there again.
    eventually(lambda: sum(w.metric("weir_failures_total", reason=reason)
                           for reason in ("internal-limit", "client-closed-during-request")) >= 40, "all have ended")
    again = w.connect()
    again.send(head_bytes("POST / HTTP/1.1", [("Content-Encoding", "zstd"), ("Transfer-Encoding", "chunked")])
               + b"%x\r\n%s\r\n" % (len(frame + block), frame + block))
    assert not again.readable(0.3)


# attempts

@pytest.mark.parametrize("size, chunk", [(3000, None), (3000, 100), (300_000, None)])
def test_another_attempt_sends_the_same_bytes(weir, backend, size, chunk):
    """Decoded and held, or held coded and decoded afresh: 300 kB of text are less than `hold` when coded."""
    coded = gzip.compress(TEXT[:size])
    assert len(coded) < 60_000
    calls = []

    def script(c):
        while True:
            request = c.request()
            calls.append(request.body)
            if len(calls) % 3:
                c.rst()
                return
            c.send(answer(b"%d" % len(request.body)))
    config = proxy_to(backend(script), backend(script), backend(script), route={
        **ON, "retry": {"attempts": 3, "on": ["connect", "reset"]}})
    w = weir(config)
    response = post(w, coded, "gzip", method="PUT", chunk=chunk)
    assert response.status == 200 and calls == [TEXT[:size]] * 3
    assert w.wait_records(1)[0]["attempts"] == 3


def test_a_pooled_connection_that_closes_is_tried_afresh(weir, backend):
    def script(c):
        request = c.request()
        c.send(answer(b"%d" % len(request.body)))
        if c.number == 0:
            c.request(continue_=False)  # and then it goes, as if it had just timed out
            return
        c.wait_end()
    b = backend(script)
    w = weir(proxy_to(b, route=ON, workers=1))
    coded = gzip.compress(TEXT[:200_000])
    assert post(w, coded, "gzip", method="PUT").body == b"200000"
    assert post(w, coded, "gzip", method="PUT").body == b"200000"
    assert [len(r.body) for r in b.requests] == [200_000] * 3


def test_an_endpoint_that_answers_early(weir, backend):
    """Its answer goes through, and what is not decoded yet is nobody's any more."""
    def script(c):
        c.head()
        c.send(answer(b"enough", "403 Forbidden", fields=[("Connection", "close")]))
        c.wait_end()
    w = weir(proxy_to(backend(script), workers=1, route={
        "decompress-requests": {"max-size": "1GiB", "max-ratio": 1000000}}))
    for coding in ["gzip", "zstd"]:
        response = post(w, bomb(coding, 128), coding)
        assert response.status == 403 and response.body == b"enough"


def test_clients_that_leave_take_no_memory_along(weir, backend):
    w = weir(proxy_to(backend(hang), route=ON, workers=1))

    def leave(count):
        for i in range(count):
            coding = CODINGS[i % 4]
            stream = w.connect()
            coded = CODE[coding](TEXT)
            stream.send(head_bytes("POST / HTTP/1.1", [("Content-Encoding", coding), ("Content-Length", len(coded))])
                        + coded[:len(coded) // 2])
            stream.rst()
    leave(20)
    eventually(lambda: len(w.access_log()) >= 20, "they have ended")
    before = w.rss_kib()
    leave(100)
    eventually(lambda: len(w.access_log()) >= 120, "they have ended")
    assert w.rss_kib() - before < 16 * 1024


# real clients, and what is counted

@pytest.mark.parametrize("version", ["--http1.1", "--http2-prior-knowledge"])
def test_curl_sends_it(weir, backend, tmp_path, version):
    b = endpoint(backend)
    w = weir(proxy_to(b, route=ON))
    host, port = w.address
    (tmp_path / "body").write_bytes(gzip.compress(TEXT))
    # On a busy machine curl 7.88 now and then ends an upload over HTTP/2 by itself, with 55 (its issue 10591).
    again = ["--retry", "3", "--retry-all-errors"] if version != "--http1.1" else []
    for extra in [[], ["-H", "Transfer-Encoding: chunked"]] if version == "--http1.1" else [[]]:
        out = subprocess.run(
            ["curl", "-sS", version, *again, "-H", "Content-Encoding: gzip", *extra, "--data-binary",
             f"@{tmp_path}/body", f"http://{host}:{port}/"],
            check=True, capture_output=True, timeout=wire.PATIENCE).stdout
        assert out == b"%d" % len(TEXT) and b.requests[-1].body == TEXT


@pytest.mark.skipif(not NGINX, reason="no nginx")
def test_nginx_stores_the_plain_body(weir, tmp_path):
    """Its own reading of the framing, with and without a length, and its files as the proof."""
    port = free_port()
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = " ".join(f"{name}_temp_path {tmp_path}/{name};" for name in [
        "client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
    (tmp_path / "nginx.conf").write_text(f"""
        daemon off; worker_processes 1; {user} pid {tmp_path}/pid; error_log {tmp_path}/error.log;
        events {{}}
        http {{ access_log off; {temporary} server {{
            listen 127.0.0.1:{port}; root {tmp_path}; client_max_body_size 0; dav_methods PUT;
        }} }}""")
    process = subprocess.Popen([NGINX, "-c", f"{tmp_path}/nginx.conf", "-p", str(tmp_path)],
                               stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: port in listening_ports() or process.poll() is not None, "nginx listens")
        if process.poll() is not None:
            pytest.skip("nginx does not start here")
        w = weir(proxy_to(f"127.0.0.1:{port}", route=ON))
        for coding in CODINGS:
            for size in [5000, len(TEXT)]:
                body = CODE[coding](TEXT[:size])
                response = wire.get(w.address, f"/{coding}-{size}", method="PUT", body=body,
                                    fields=[("Content-Encoding", coding)])
                assert response.status in (201, 204)
                assert (tmp_path / f"{coding}-{size}").read_bytes() == TEXT[:size]
    finally:
        process.terminate()
        process.wait()


def test_bytes_are_counted_by_coding(weir, backend):
    w = weir(proxy_to(endpoint(backend), route=ON))
    for coding in CODINGS:
        before = 0
        # The second is held coded and too large to be held decoded: tried once, decoded again as it is sent.
        for size in (30_000, 600_000):
            coded = CODE[coding](TEXT[:size])
            post(w, coded, coding)
            before += len(coded)
            eventually(lambda: w.metric("weir_decompression_in_bytes_total", coding=coding) == before, "the bytes that came")
        eventually(lambda: w.metric("weir_decompression_out_bytes_total", coding=coding) == 630_000, "what they became")
    eventually(lambda: w.metric("weir_endpoint_sent_bytes_total") == 4 * 630_000, "what was sent on")
