"""OCSP stapling: asked from the certificate's responder, verified, renewed, and never trusted blindly.

The responder is `openssl ocsp`, or a small one of our own where that cannot lie well enough; the client is
`openssl s_client -status`, which also verifies what is stapled.
"""

import datetime
import http.server
import json
import os
import re
import subprocess
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

import certs
import harness
from harness import BINARY
from ports import free_port
from test_tls import CLOSING, s_client, tls_to
from wire import eventually

HOUR = datetime.timedelta(hours=1)
# Retries begin seconds apart; a noisy machine adds to that.
RETRY = 60


@pytest.fixture
def ca(tmp_path):
    return certs.CA(tmp_path)


class OpenSSL:
    """`openssl ocsp` as the responder of a CA, on a port that stays the same."""

    def __init__(self, ca, signer=None):
        self.ca, self.signer, self.port, self.process = ca, signer, free_port(), None
        self.index = os.path.join(ca.folder, "index.txt")
        open(self.index, "w").close()
        self.key = certs.write(os.path.join(ca.folder, "ca.key"), certs.pem_key(ca.key))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def knows(self, *issued, revoked=False):
        with open(self.index, "a") as file:
            for one in issued:
                since = "261120120000Z,keyCompromise" if revoked else ""
                file.write(f"{'R' if revoked else 'V'}\t361120120000Z\t{since}\t{one.serial:X}\tunknown\t/CN={one.serial}\n")

    def start(self, *options):
        signer = (self.signer.cert, self.signer.key) if self.signer else (self.ca.path, self.key)
        self.process = subprocess.Popen(
            ["openssl", "ocsp", "-port", str(self.port), "-index", self.index, "-CA", self.ca.path,
             "-rsigner", signer[0], "-rkey", signer[1], "-nmin", "60", *options],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda: self.port in harness.listening_ports(), "the responder listens")
        return self

    def stop(self):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None


class Liar:
    """A responder that answers what a test wants: `answer(request)` gives (status, bytes)."""

    def __init__(self):
        liar, self.requests = self, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                liar.requests.append((self.path, dict(self.headers), body))
                status, der = liar.answer(body)
                self.send_response(status)
                self.send_header("Content-Type", "application/ocsp-response")
                self.send_header("Content-Length", str(len(der)))
                self.end_headers()
                self.wfile.write(der)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.handle_error = lambda *_: None  # Weir may be gone before the answer
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}/sign?x=1"

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def liar():
    liar = Liar()
    yield liar
    liar.stop()


@pytest.fixture
def responder(ca):
    responder = OpenSSL(ca)
    yield responder
    responder.stop()


def response(issued, ca, status=ocsp.OCSPCertStatus.GOOD, start=-1, end=1, signer=None, key=None, about=None):
    """An OCSP response in DER, valid from `start` to `end` hours from now."""
    now = datetime.datetime.utcnow()
    revoked = status == ocsp.OCSPCertStatus.REVOKED
    certificate = signer or ca.certificate
    builder = ocsp.OCSPResponseBuilder().add_response(
        cert=(about or issued).certificate, issuer=ca.certificate, algorithm=hashes.SHA1(), cert_status=status,
        this_update=now + start * HOUR, next_update=now + end * HOUR,
        revocation_time=now - 2 * HOUR if revoked else None, revocation_reason=None)
    builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, certificate)
    if signer:
        builder = builder.certificates([signer])
    return builder.sign(key or ca.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def issue(ca, url, name="a.example", **more):
    """A certificate with a responder, its issuer behind it in the file."""
    issued = ca.issue(name, responder=url, **more)
    certs.write(issued.cert, issued.cert_bytes + ca.pem, 0o644)
    return issued


def stapling(*issued):
    """As `certificates` in a listener's tls."""
    return {"certificates": [{**one.pair, "ocsp": "responder"} for one in issued]}


def config(*issued, **more):
    return tls_to("127.0.0.1:1", tls=stapling(*issued),
                  routes=[{"name": "all", "match": {"path": "/*"}, "respond": {}}], **more)


def status(w, ca, name="a.example"):
    """(what s_client says about the staple's certificate, or None without one; whether it verified it)."""
    text = s_client(w.address, "-status", "-CAfile", ca.path, "-servername", name, send=CLOSING)
    if "OCSP response: no response sent" in text:
        return None
    found = re.search(r"Cert Status: (\w+)", text)
    assert found, text
    return found[1]


def wait_staple(w, ca, wanted, name="a.example"):
    eventually(lambda: status(w, ca, name) == wanted, f"{wanted} is stapled", RETRY)


def staple_metric(w):
    return w.metric("weir_certificate_staple_not_after_seconds")


def test_good(weir, ca, responder):
    issued = issue(ca, responder.url)
    responder.knows(issued)
    responder.start()
    w = weir(config(issued))
    w.wait_log(rf"OCSP response stapled certificate={re.escape(issued.cert)} status=good until=20\d\d-")
    assert status(w, ca) == "good"
    left = staple_metric(w) - datetime.datetime.now().timestamp()
    assert 3_000 < left <= 3_660
    assert w.metric("weir_certificate_revoked", certificate=issued.cert) == 0
    assert w.metric("weir_ocsp_requests_total", outcome="taken") == 1
    assert w.metric("weir_http_client_requests_total", purpose="ocsp", outcome="answered") == 1
    # Only who asks gets it.
    assert "OCSP response: no response sent" not in s_client(w.address, send=CLOSING)


def test_revoked(weir, ca, responder):
    """Clients shall learn of it, and the operator at once."""
    issued = issue(ca, responder.url)
    responder.knows(issued, revoked=True)
    responder.start()
    w = weir(config(issued))
    w.wait_log(rf"error CERTIFICATE REVOKED.* certificate={re.escape(issued.cert)} revoked=2026-11-20T12:00:00Z")
    wait_staple(w, ca, "revoked")
    assert w.metric("weir_certificate_revoked", certificate=issued.cert) == 1


def test_responder_down_and_back(weir, ca, responder):
    issued = issue(ca, responder.url)
    responder.knows(issued)
    w = weir(config(issued))
    w.wait_log(r"warning OCSP response not taken .*error=\"cannot connect to .*Connection refused\" stapled=none retry=")
    assert status(w, ca) is None, "served without a staple"
    assert staple_metric(w) == 0
    responder.start()
    w.wait_log(r"OCSP response stapled", RETRY)
    assert status(w, ca) == "good"
    assert w.metric("weir_ocsp_requests_total", outcome="failed") >= 1


def test_signed_by_a_delegate(weir, ca):
    signer = ca.issue("signer.example", usage=ExtendedKeyUsageOID.OCSP_SIGNING)
    responder = OpenSSL(ca, signer)
    try:
        issued = issue(ca, responder.url)
        responder.knows(issued)
        responder.start()
        wait_staple(weir(config(issued)), ca, "good")
    finally:
        responder.stop()


def test_by_name_and_from_an_intermediate(weir, ca, tmp_path):
    """The file ends with the intermediate: nothing is known of the root."""
    between = certs.CA(tmp_path, "Between", ca)
    responder = OpenSSL(between)
    try:
        issued = between.issue("a.example", responder=responder.url.replace("127.0.0.1", "localhost"))
        responder.knows(issued)
        responder.start()
        wait_staple(weir(config(issued)), ca, "good")
    finally:
        responder.stop()


REFUSED = {
    "wrong-signer": "not signed by the issuer",
    "not-a-signer": "not signed by the issuer",
    "expired": "the response has expired",
    "future": "the response is from the future",
    "other-certificate": "about another certificate",
    "unknown": "does not know the certificate",
    "try-later": "the responder refuses: trylater",
    "status-500": "answers with status 500",
    "redirect": "answers with status 302",
    "not-ocsp": "not an OCSP response",
    "empty": "not an OCSP response",
    "too-large": "larger than 64 KiB",
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_stapled(weir, ca, liar, tmp_path, case):
    issued, other = issue(ca, liar.url), ca.issue("b.example")
    stranger = certs.CA(tmp_path, "Stranger")
    answers = {
        "wrong-signer": lambda: (200, response(issued, ca, signer=stranger.certificate, key=stranger.key)),
        # Any customer of the CA has a certificate from it.
        "not-a-signer": lambda: (200, response(
            issued, ca, signer=other.certificate,
            key=serialization.load_pem_private_key(other.key_bytes, None))),
        "expired": lambda: (200, response(issued, ca, start=-2, end=-1)),
        "future": lambda: (200, response(issued, ca, start=1, end=2)),
        "other-certificate": lambda: (200, response(issued, ca, about=other)),
        "unknown": lambda: (200, response(issued, ca, ocsp.OCSPCertStatus.UNKNOWN)),
        "try-later": lambda: (200, ocsp.OCSPResponseBuilder.build_unsuccessful(
            ocsp.OCSPResponseStatus.TRY_LATER).public_bytes(serialization.Encoding.DER)),
        "status-500": lambda: (500, b"no"),
        "redirect": lambda: (302, b""),
        "not-ocsp": lambda: (200, b"<html>Welcome to the hotel</html>"),
        "empty": lambda: (200, b""),
        "too-large": lambda: (200, b"\x30" * 70_000),
    }
    liar.answer = lambda request: answers[case]()
    w = weir(config(issued))
    w.wait_log(r"OCSP response not taken .*" + REFUSED[case])
    assert status(w, ca) is None
    assert staple_metric(w) == 0
    # The next answer is right, and the wait for it bounded.
    liar.answer = lambda request: (200, response(issued, ca))
    wait_staple(w, ca, "good")


def test_what_is_asked(weir, ca, liar):
    issued = issue(ca, liar.url)
    liar.answer = lambda request: (200, response(issued, ca))
    wait_staple(weir(config(issued)), ca, "good")
    path, fields, body = liar.requests[0]
    assert path == "/sign?x=1" and fields["Content-Type"] == "application/ocsp-request"
    assert fields["Host"] == liar.url.split("/")[2]
    asked = ocsp.load_der_ocsp_request(body)
    assert asked.serial_number == issued.serial and not list(asked.extensions)
    assert len(liar.requests) == 1, "one question while the answer is fresh"


def test_expires_and_is_not_stapled_any_more(weir, ca, liar):
    """A responder that gives no new answer: the old one is shown to its end, then none."""
    issued = issue(ca, liar.url)
    liar.answer = lambda request: (200, response(issued, ca, end=20 / 3_600))
    w = weir(config(issued))
    wait_staple(w, ca, "good")
    liar.answer = lambda request: (503, b"")
    w.wait_log(r"OCSP response not taken .*status 503.* stapled=\"until 20", RETRY)
    w.wait_log(r"OCSP response has expired, none is stapled", RETRY)
    assert status(w, ca) is None
    assert staple_metric(w) == 0
    liar.answer = lambda request: (200, response(issued, ca))
    wait_staple(w, ca, "good")


def test_replay_from_before_a_revocation(weir, ca, liar):
    """Half of the answer's life is over at once, so it is asked again soon; what is older does not count."""
    issued = issue(ca, liar.url)
    old = response(issued, ca, start=-2)
    revoked = response(issued, ca, ocsp.OCSPCertStatus.REVOKED, start=-1, end=15 / 3_600)
    liar.answer = lambda request: (200, revoked)
    w = weir(config(issued))
    wait_staple(w, ca, "revoked")
    liar.answer = lambda request: (200, old)
    w.wait_log(r"OCSP response not taken .*older than the one known", RETRY)


def test_reload_keeps_the_staple(weir, ca, responder):
    """Also when the listener changes and its contexts are made anew; nobody is asked again."""
    issued = issue(ca, responder.url)
    responder.knows(issued)
    responder.start()
    w = weir(config(issued))
    wait_staple(w, ca, "good")
    responder.stop()
    w.reload(harness.merge(w.config, {"listeners": {"web": {"tls": {"alpn": ["http/1.1"], "profile": "modern"}}}}))
    assert status(w, ca) == "good"
    second = issue(ca, responder.url, "b.example")
    w.reload(harness.merge(w.config, {"listeners": {"web": {"tls": stapling(second, issued)}}}))
    assert status(w, ca) == "good"
    w.wait_log(rf"OCSP response not taken certificate={re.escape(second.cert)}")
    assert status(w, ca, "b.example") is None
    assert w.metric("weir_ocsp_requests_total", outcome="taken") == 1
    # And one that is not to be stapled any more is not.
    w.reload(harness.merge(w.config, {"listeners": {"web": {"tls": {"certificates": [issued.pair]}}}}))
    assert status(w, ca) is None


def test_renewed_certificate(weir, ca, responder):
    """Another certificate in the same file: the old staple does not go with it."""
    issued = issue(ca, responder.url)
    responder.knows(issued)
    responder.start()
    w = weir(config(issued))
    wait_staple(w, ca, "good")
    responder.stop()
    renewed = issue(ca, responder.url)
    w.wait_log(r"certificates taken up", RETRY)
    assert status(w, ca) is None
    responder.knows(renewed)
    responder.start()
    wait_staple(w, ca, "good")


def test_shared_by_listeners(weir, ca, liar):
    """One certificate in two listeners and of two kinds of keys: one question for each certificate."""
    first, second = issue(ca, liar.url), issue(ca, liar.url, kind="rsa")
    by_serial = {one.serial: one for one in (first, second)}

    def answer(request):
        return 200, response(by_serial[ocsp.load_der_ocsp_request(request).serial_number], ca)
    liar.answer = answer
    w = weir(harness.merge(config(first, second), {"listeners": {"other": {
        "address": None, "tls": stapling(first, second)}}}))
    wait_staple(w, ca, "good")
    eventually(lambda: w.metric("weir_ocsp_requests_total", outcome="taken") == 2, "both are asked for")
    for name in ("web", "other"):
        for kind in ("ECDSA+SHA256", "RSA-PSS+SHA256"):
            text = s_client(w.listener(name), "-status", "-CAfile", ca.path, "-sigalgs", kind, send=CLOSING)
            assert "Cert Status: good" in text, (name, kind, text)
    assert len(liar.requests) == 2


def test_responder_that_hangs(weir, ca, liar):
    """Neither the start nor a stop waits for it."""
    issued = issue(ca, liar.url)
    asked, done = threading.Event(), threading.Event()

    def answer(request):
        asked.set()
        done.wait(RETRY)
        return 200, b""
    liar.answer = answer
    try:
        w = weir(config(issued))
        assert asked.wait(RETRY)
        assert status(w, ca) is None
        w.reload()
        w.process.terminate()
        assert w.wait_exit(8) == 0, "less than the deadline of the question"
    finally:
        done.set()


def weir_cert(w, *options):
    return subprocess.run([BINARY, "cert", "-c", w.config_path, *options], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, timeout=15).stdout.decode()


def test_nobody_to_ask(weir, ca):
    """A CA that has no responder (any more) must not stop a renewal: a warning, and no staple."""
    bare, alone = ca.issue("a.example"), ca.issue("b.example", responder="http://ocsp.example/")
    w = weir(config(bare, alone))
    assert re.search(r"warning: nothing is stapled: the certificate names no OCSP responder", w.log())
    assert re.search(r"warning: nothing is stapled: the issuer's certificate is not in the file", w.log())
    assert status(w, ca) is None
    shown = weir_cert(w)
    assert "no responder" in shown and "no issuer" in shown


def test_weir_cert(weir, ca, liar, tmp_path):
    liar.answer = lambda request: (503, b"")
    asks, from_file = issue(ca, liar.url), ca.issue("b.example")
    path = certs.write(str(tmp_path / "b.ocsp"), response(from_file, ca))
    w = weir(tls_to("127.0.0.1:1", tls={"certificates": [
        {**asks.pair, "ocsp": "responder"}, {**from_file.pair, "ocsp": path}]}))
    shown = weir_cert(w)
    assert f"asks {liar.url}" in shown and "good until 20" in shown
    rows = json.loads(weir_cert(w, "--format", "json"))["certificates"]
    assert rows[0]["ocsp"] == {"responder": liar.url}
    assert rows[1]["ocsp"]["status"] == "good"
    # The file's staple has its metrics too.
    assert w.metric("weir_certificate_staple_not_after_seconds", certificate=from_file.cert) > 0
