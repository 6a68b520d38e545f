"""TLS with clients: versions, certificates, names, ALPN, resumption, reload, and everything that is not TLS.

Clients are Python's ssl module, which is OpenSSL with all its checks, `openssl s_client` where an
option is missing there, and raw sockets for what no library would send.
"""

import hashlib
import json
import os
import re
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest
from cryptography import x509

import certs
import h2wire
import harness
import wire
from backends import answer, fixed, recorder, serve
from harness import BINARY, proxy_to
from wire import eventually, head_bytes

pytestmark = [pytest.mark.bytes]

# What templates call the client certificate's subject; more of it in test_client_certificates.py.
SUBJECT_VARIABLE = "{client.certificate.subject}"


class Site:
    """A CA, an intermediate, and certificates of both kinds."""

    def __init__(self, folder):
        self.root = certs.CA(folder)
        self.ca = certs.CA(folder, "Test Intermediate", self.root)
        self.other = certs.CA(folder, "Other Root")
        self.ecdsa = self.ca.issue("a.example")
        self.rsa = self.ca.issue("a.example", kind="rsa")
        self.wild = self.ca.issue("*.w.example")
        self.exact = self.ca.issue("x.w.example")


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    return Site(tmp_path_factory.mktemp("pki"))


def tls_to(endpoint, *certificates, listener=None, tls=None, **more):
    """A configuration of one listener with TLS."""
    return proxy_to(endpoint, listener=harness.merge(
        {"tls": {"certificates": [c.pair for c in certificates], **(tls or {})}}, listener or {}), **more)


def handshake(address, context, name="a.example", session=None, ragged=False):
    sock = h2wire.dial(address)
    try:
        return context.wrap_socket(sock, server_hostname=name, session=session, suppress_ragged_eofs=not ragged)
    except BaseException:
        sock.close()
        raise


def by_hand(address, context):
    """A handshake whose records pass through our hands; its Finished still lies in `outgoing`."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_hostname="a.example")
    sock = h2wire.dial(address)
    while True:
        try:
            connection.do_handshake()
            return connection, sock, incoming, outgoing
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(65536))


def serial(sock) -> int:
    return x509.load_der_x509_certificate(sock.getpeercert(True)).serial_number


def ask(sock, target="/", close=False) -> wire.Message:
    stream = wire.Stream(sock)
    stream.send(head_bytes(f"GET {target} HTTP/1.1", [("Connection", "close")] if close else []))
    return stream.response()


def fetch(address, context, target="/", name="a.example"):
    with handshake(address, context, name) as sock:
        return ask(sock, target)


def failure(address, context, name="a.example") -> str:
    """The words of the error a client meets: in the handshake, or (TLS 1.3) when it first reads."""
    try:
        with handshake(address, context, name, ragged=True) as sock:
            ask(sock)
    except (ssl.SSLError, ConnectionError, wire.Ended) as error:
        return str(error).lower().replace("_", " ")
    return "none"


def s_client(address, *options, send=b"", timeout=15):
    """Everything `openssl s_client` prints."""
    run = subprocess.run(
        ["openssl", "s_client", "-connect", "%s:%d" % address, "-servername", "a.example", *options],
        input=send, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout)
    return run.stdout.decode("latin-1")


CLOSING = b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n"


# Versions and ciphers

@pytest.mark.parametrize("profile, version, served", [
    ("intermediate", "TLSv1_3", True), ("intermediate", "TLSv1_2", True), ("intermediate", "TLSv1_1", False),
    ("intermediate", "TLSv1", False), ("modern", "TLSv1_3", True), ("modern", "TLSv1_2", False),
    ("old", "TLSv1_3", True), ("old", "TLSv1_2", True), ("old", "TLSv1", True)])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_versions(weir, backend, pki, profile, version, served):
    w = weir(tls_to(backend(), pki.ecdsa, pki.rsa, tls={"profile": profile}))
    context = pki.ca.context(low=ssl.TLSVersion[version], high=ssl.TLSVersion[version])
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.set_alpn_protocols(["http/1.1"])
    if served:
        with handshake(w.address, context) as sock:
            assert sock.version().replace(".", "_") == version and ask(sock).status == 200
    else:
        error = failure(w.address, context)
        assert "protocol version" in error or "version too low" in error, error


@pytest.mark.parametrize("cipher", ["AES128-SHA", "AES128-GCM-SHA256", "DHE-RSA-AES128-GCM-SHA256",
                                    "ECDHE-RSA-AES128-SHA256", "NULL-SHA256", "aNULL", "3DES", "RC4"])
def test_ciphers_without_forward_secrecy_or_aead_are_refused(weir, backend, pki, cipher):
    w = weir(tls_to(backend(), pki.ecdsa, pki.rsa))
    context = pki.ca.context(high=ssl.TLSVersion.TLSv1_2)
    try:
        context.set_ciphers(cipher + ":@SECLEVEL=0")
    except ssl.SSLError:
        pytest.skip("the client's library does not have it either")
    assert "handshake failure" in failure(w.address, context)


def test_compression_is_off_and_secure_renegotiation_on(weir, backend, pki):
    w = weir(tls_to(backend(), pki.ecdsa))
    said = s_client(w.address, "-tls1_2", "-alpn", "http/1.1", send=CLOSING)
    assert "Compression: NONE" in said and "Secure Renegotiation IS supported" in said


def test_the_scheme_of_a_tls_listener(weir, backend, pki):
    """One scheme for texts in both directions, redirects, what endpoints are told, and the log."""
    config = tls_to(backend(), pki.ecdsa, forwarded={"forwarded": True}, route={"headers": {
        "request": {"set": {"X-S": "{request.scheme}:{request.port}"}},
        "response": {"set": {"X-S": "{request.scheme}"}}}})
    config["routes"].append({"name": "up", "match": {"path": "/up"}, "redirect": {
        "to": "{request.scheme}://{request.authority}/x"}})
    w = weir(config)
    answer = fetch(w.address, pki.ca.context(alpn=["http/1.1"]))
    seen = wire.Fields(map(tuple, json.loads(answer.body)["fields"]))
    assert (seen.get("X-S"), answer.get("X-S")) == ("https:443", "https")
    assert seen.get("X-Forwarded-Proto") == "https" and "proto=https" in seen.get("Forwarded")
    assert fetch(w.address, pki.ca.context(alpn=["http/1.1"]), "/up").get("Location") == "https://a.example/x"
    with h2wire.Session(handshake(w.address, pki.ca.context(alpn=["h2"]))) as s:
        state = s.fetch("/%75p", scheme="https")
        assert state.heads[-1].get("location") == "https://a.example/x"
    assert {line["scheme"] for line in w.wait_records(3)} == {"https"}


# ALPN

@pytest.mark.parametrize("server, client, chosen", [
    (None, ["h2", "http/1.1"], "h2"), (None, ["http/1.1", "h2"], "h2"), (None, ["http/1.1"], "http/1.1"),
    (None, ["h2"], "h2"), (None, [], None), (["http/1.1"], ["h2", "http/1.1"], "http/1.1"),
    (["http/1.1", "h2"], ["h2", "http/1.1"], "http/1.1"), (None, ["unknown", "http/1.1"], "http/1.1")])
def test_alpn(weir, backend, pki, server, client, chosen):
    w = weir(tls_to(backend(), pki.ecdsa, tls={"alpn": server} if server else None))
    sock = handshake(w.address, pki.ca.context(alpn=client))
    assert sock.selected_alpn_protocol() == chosen
    if chosen == "h2":
        with h2wire.Session(sock) as s:
            assert s.fetch(scheme="https").status == 200 and not s.violations
    else:
        assert ask(sock).status == 200
    sock.close()


@pytest.mark.parametrize("server, client", [(None, ["spdy/3"]), (["http/1.1"], ["h2"]), (["h2"], ["http/1.1"])])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_alpn_without_a_common_protocol_is_an_alert(weir, backend, pki, server, client, version):
    """RFC 7301 §3.2: no_application_protocol, not a handshake that goes on without."""
    w = weir(tls_to(backend(), pki.ecdsa, tls={"alpn": server} if server else None))
    context = pki.ca.context(alpn=client, low=ssl.TLSVersion[version], high=ssl.TLSVersion[version])
    assert "no application protocol" in failure(w.address, context)


def test_http1_bytes_on_an_h2_connection(weir, backend, pki):
    """What ALPN agreed on is what is spoken."""
    w = weir(tls_to(backend(), pki.ecdsa))
    sock = handshake(w.address, pki.ca.context(alpn=["h2"]))
    sock.sendall(head_bytes("GET /smuggled HTTP/1.1"))
    stream = wire.Stream(sock)
    assert b"HTTP/1.1 200" not in stream.rest()


def test_h2_preface_after_http1_was_agreed(weir, backend, pki):
    w = weir(tls_to(backend(), pki.ecdsa))
    sock = handshake(w.address, pki.ca.context(alpn=["http/1.1"]))
    sock.sendall(h2wire.PREFACE + h2wire.settings())
    assert wire.Stream(sock).rest().startswith(b"HTTP/1.1 ")


# Certificates and names

@pytest.mark.parametrize("name, expected", [
    ("a.example", "ecdsa"), ("A.EXAMPLE", "ecdsa"), ("x.w.example", "exact"), ("y.w.example", "wild"),
    ("Y.W.Example", "wild"), ("a.y.w.example", "ecdsa"), ("w.example", "ecdsa"), ("unknown.example", "ecdsa"),
    (None, "ecdsa")])
def test_server_name_selects_the_certificate(weir, backend, pki, name, expected):
    """Exact before wildcard, a wildcard stands for one label, and the first is the default."""
    w = weir(tls_to(backend(), pki.ecdsa, pki.wild, pki.exact))
    context = pki.ca.context(alpn=["http/1.1"])
    context.check_hostname = False
    with handshake(w.address, context, name) as sock:
        assert serial(sock) == getattr(pki, expected).serial


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_both_kinds_of_key_side_by_side(weir, backend, pki, kind, version):
    w = weir(tls_to(backend(), pki.rsa, pki.ecdsa))
    algorithms = {"ecdsa": "ECDSA+SHA256", "rsa": "RSA-PSS+SHA256:RSA+SHA256"}[kind]
    said = s_client(w.address, "-" + version.lower().replace("v", ""), "-sigalgs", algorithms, "-alpn", "http/1.1",
                    send=CLOSING)
    assert f"Server public key is {256 if kind == 'ecdsa' else 2048} bit" in said, said[-1500:]
    assert "HTTP/1.1 200" in said or "Cipher is" in said


def test_client_with_both_kinds_gets_ecdsa(weir, backend, pki):
    w = weir(tls_to(backend(), pki.rsa, pki.ecdsa))
    with handshake(w.address, pki.ca.context(alpn=["http/1.1"])) as sock:
        assert serial(sock) == pki.ecdsa.serial


def test_newest_valid_certificate_wins(weir, backend, pki):
    """An expired one, or one of tomorrow, is not shown while a valid one for the name is there."""
    expired = pki.ca.issue("n.example", name="expired", start=-20, end=-1)
    older = pki.ca.issue("n.example", name="older", start=-15, end=5)
    newer = pki.ca.issue("n.example", name="newer", start=-2, end=20)
    future = pki.ca.issue("n.example", name="future", start=1, end=40)
    w = weir(tls_to(backend(), pki.ecdsa, expired, older, newer, future))
    with handshake(w.address, pki.ca.context(alpn=["http/1.1"]), "n.example") as sock:
        assert serial(sock) == newer.serial


def test_the_chain_is_sent(weir, backend, pki):
    """The client knows the root only; the intermediate comes with the certificate."""
    w = weir(tls_to(backend(), pki.ecdsa))
    assert fetch(w.address, pki.root.context(alpn=["http/1.1"])).status == 200


# Client certificates

def mutual(pki, required=True):
    return {"client-certificates": {"ca": pki.root.path, "require": required}}


@pytest.fixture(scope="module")
def people(pki):
    return {
        "known": pki.ca.issue("client.example", name="known", common="Ann", client=True),
        "expired": pki.ca.issue("client.example", name="old", common="Old", client=True, start=-20, end=-1),
        "stranger": pki.other.issue("client.example", name="stranger", common="Eve", client=True),
        "server": pki.ca.issue("client.example", name="server-only", common="Srv"),
    }


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("required, who, served", [
    (True, "known", True), (True, None, False), (True, "stranger", False), (True, "expired", False),
    (True, "server", False), (False, "known", True), (False, None, True), (False, "stranger", False),
    (False, "expired", False)])
def test_client_certificates(weir, backend, pki, people, required, who, served, version):
    w = weir(tls_to(backend(), pki.ecdsa, tls=mutual(pki, required)))
    context = pki.ca.context(alpn=["http/1.1"], client=people.get(who), low=ssl.TLSVersion[version],
                             high=ssl.TLSVersion[version])
    if served:
        assert fetch(w.address, context).status == 200
        return
    error = failure(w.address, context)
    words = {None: ("certificate required", "handshake failure"), "stranger": ("unknown ca", "bad certificate"),
             "expired": ("certificate expired", "bad certificate"),
             "server": ("unsupported certificate", "bad certificate", "unknown ca")}[who]
    assert any(word in error for word in words), error
    reason = eventually(lambda: re.search(r"client-certificate-\w+|tls-[\w-]+", "\n".join(
        [line.get("reason", "") for line in w.access_log()] + [str(k) for k, v in w.metrics().items() if v] + [w.log()])),
        "a reason in log or metrics")
    assert reason


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_subject_of_the_client_is_known(weir, backend, pki, people, version):
    """Templates and the log have the subject; a client without a certificate has an empty one."""
    b = recorder()
    w = weir(tls_to(b, pki.ecdsa, tls=mutual(pki, False), route={
        "headers": {"request": {"set": {"X-Subject": SUBJECT_VARIABLE}}}}))
    versions = {"low": ssl.TLSVersion[version], "high": ssl.TLSVersion[version]}
    assert fetch(w.address, pki.ca.context(alpn=["http/1.1"], client=people["known"], **versions)).status == 200
    assert "Ann" in b.requests[-1].get("X-Subject")
    assert fetch(w.address, pki.ca.context(alpn=["http/1.1"], **versions), "/nobody").status == 200
    assert "Ann" not in (b.requests[-1].get("X-Subject") or "")
    assert "Ann" in str(w.wait_record(lambda line: "Ann" in str(line), "the subject in the access log"))
    b.stop()


def test_client_cannot_set_the_subject_itself(weir, backend, pki):
    b = backend()
    w = weir(tls_to(b, pki.ecdsa, tls=mutual(pki, False), route={
        "headers": {"request": {"set": {"X-Subject": SUBJECT_VARIABLE}}}}))
    sock = handshake(w.address, pki.ca.context(alpn=["http/1.1"]))
    stream = wire.Stream(sock)
    stream.send(head_bytes("GET / HTTP/1.1", [("X-Subject", "CN=Forged")]))
    assert stream.response().status == 200
    assert "Forged" not in str(b.requests[-1].fields)
    sock.close()


# Resumption

def resumed(w, context, first=None):
    """(session, whether it was reused) of one connection with one request."""
    with handshake(w.address, context, session=first) as sock:
        assert ask(sock).status == 200
        return sock.session, sock.session_reused


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("event", ["nothing", "reload"])
def test_resumption(weir, backend, pki, version, event):
    """A ticket of one worker is good for each, and survives a reload."""
    config = tls_to(backend(), pki.ecdsa)
    w = weir(config)
    context = pki.ca.context(alpn=["http/1.1"], low=ssl.TLSVersion[version], high=ssl.TLSVersion[version])
    session, reused = resumed(w, context)
    assert not reused
    if event == "reload":
        w.reload(harness.merge(config, {"listeners": w.config["listeners"], "routes": [
            {"name": "changed", "match": {"path": "/*"}, "service": "origin"}]}))
    for _ in range(8):
        session, reused = resumed(w, context, session)
        assert reused


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_resumption_with_openssl(weir, backend, pki, version, tmp_path):
    w = weir(tls_to(backend(), pki.ecdsa))
    file = str(tmp_path / "session")
    said = s_client(w.address, version, "-alpn", "http/1.1", "-ign_eof", "-sess_out", file, send=CLOSING)
    assert "New, TLSv1" in said
    said = s_client(w.address, version, "-alpn", "http/1.1", "-ign_eof", "-sess_in", file, send=CLOSING)
    assert "Reused, TLSv1" in said and "HTTP/1.1 200" in said


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_tickets_off(weir, backend, pki, version):
    w = weir(tls_to(backend(), pki.ecdsa, tls={"tickets": "off"}))
    context = pki.ca.context(alpn=["http/1.1"], low=ssl.TLSVersion[version], high=ssl.TLSVersion[version])
    session, _ = resumed(w, context)
    if session is not None:
        assert not resumed(w, context, session)[1]


def test_ticket_of_one_listener_does_not_skip_the_certificate_check_of_another(weir, backend, pki, people):
    """A session begun where no client certificate is asked for must not be resumed where one is required."""
    config = tls_to(backend(), pki.ecdsa)
    config["listeners"]["strict"] = {"address": None, "tls": {
        "certificates": [pki.ecdsa.pair], **mutual(pki)}}
    w = weir(config)
    for version in ("TLSv1_2", "TLSv1_3"):
        context = pki.ca.context(alpn=["http/1.1"], low=ssl.TLSVersion[version], high=ssl.TLSVersion[version])
        session, _ = resumed(w, context)
        try:
            with handshake(w.listener("strict"), context, session=session, ragged=True) as sock:
                status = ask(sock).status
        except (ssl.SSLError, ConnectionError, wire.Ended):
            continue
        assert status != 200, f"{version}: served without a certificate"


# Files that change, and files that are wrong

class TLSLoad(harness.Load):
    """Load over TLS: each connection a full handshake, so that every certificate in between is met."""

    def __init__(self, address, context, **options):
        super().__init__(address, per_connection=3, **options)
        self.context = context

    def _run(self, number):
        while not self.stopping.is_set():
            try:
                with handshake(self.address, self.context) as sock:
                    for _ in range(self.per_connection):
                        response = ask(sock)
                        if response.status != 200:
                            raise AssertionError(response.status)
                        with self.lock:
                            self.done += 1
            except (OSError, AssertionError, wire.Ended, wire.Malformed) as error:
                self.failures.append(repr(error))


@pytest.mark.slow
def test_changed_certificate_is_noticed_under_load(weir, backend, pki, tmp_path):
    """New files, no signal: the new certificate is shown, and no request fails meanwhile."""
    ca = certs.CA(tmp_path, "Own Root")
    issued = ca.issue("a.example", name="live")
    w = weir(tls_to(backend(), issued))
    context = ca.context(alpn=["http/1.1"])
    with TLSLoad(w.address, context, threads=2) as load:
        load.wait_done(20)
        for _ in range(2):
            fresh = ca.issue("a.example", name="live", end=15)

            def noticed():
                with handshake(w.address, context) as sock:
                    return serial(sock) == fresh.serial
            eventually(noticed, "the changed files are noticed", 30, 0.2)
            load.wait_done(20)
    assert not load.failures, load.failures[:3]


def test_changed_certificate_after_reload(weir, backend, pki, tmp_path):
    ca = certs.CA(tmp_path, "Own Root")
    issued = ca.issue("a.example", name="live")
    w = weir(tls_to(backend(), issued))
    context = ca.context(alpn=["http/1.1"])
    idle = handshake(w.address, context)
    fresh = ca.issue("a.example", name="live", end=15)
    w.reload()

    def noticed():
        with handshake(w.address, context) as sock:
            return serial(sock) == fresh.serial
    eventually(noticed, "the changed files are in use")
    assert ask(idle).status == 200, "a connection of before goes on"


@pytest.mark.slow
def test_broken_renewal_keeps_the_certificate_that_works(weir, backend, tmp_path):
    """A new certificate whose key does not fit: said in the log, and the old one stays."""
    ca = certs.CA(tmp_path, "Own Root")
    issued = ca.issue("a.example", name="live")
    w = weir(tls_to(backend(), issued))
    stranger = ca.issue("a.example", name="stranger")
    certs.write(issued.cert, stranger.cert_bytes, 0o644)
    w.wait_log(r"live\.(pem|key)", 30)
    with handshake(w.address, ca.context(alpn=["http/1.1"])) as sock:
        assert serial(sock) == issued.serial and ask(sock).status == 200


def wrong_key(pki, folder):
    a, b = pki.ca.issue("a.example", name="one"), pki.ca.issue("a.example", name="two")
    return {"cert": a.cert, "key": b.key}, r"key"


def world_readable(pki, folder):
    issued = pki.ca.issue("a.example", name="open")
    os.chmod(issued.key, 0o644)
    return issued.pair, r"open\.key.*(everybody|world|readable|mode)"


def missing(pki, folder):
    return {"cert": str(folder / "none.pem"), "key": str(folder / "none.key")}, r"none\.(pem|key)"


def not_pem(pki, folder):
    issued = pki.ca.issue("a.example", name="der")
    certs.write(issued.cert, b"\x30\x82\x01\x02\x03garbage", 0o644)
    return issued.pair, r"der\.pem"


def swapped(pki, folder):
    issued = pki.ca.issue("a.example", name="swapped")
    return {"cert": issued.key, "key": issued.cert}, r"swapped\.(key|pem)"


def encrypted(pki, folder):
    issued = pki.ca.issue("a.example", name="secret")
    locked = subprocess.run(["openssl", "pkey", "-in", issued.key, "-aes128", "-passout", "pass:x"],
                            check=True, capture_output=True).stdout
    certs.write(issued.key, locked)
    return issued.pair, r"secret\.key.*(encrypt|passphrase)"


def chain_in_wrong_order(pki, folder):
    issued = pki.ca.issue("a.example", name="order")
    parts = issued.cert_bytes.split(b"-----BEGIN")[1:]
    certs.write(issued.cert, b"".join(b"-----BEGIN" + part for part in reversed(parts)), 0o644)
    return issued.pair, r"order\.(pem|key)"


def empty(pki, folder):
    issued = pki.ca.issue("a.example", name="empty")
    certs.write(issued.cert, b"", 0o644)
    return issued.pair, r"empty\.pem"


def bad_client_ca(pki, folder):
    certs.write(str(folder / "clients.pem"), b"nonsense", 0o644)
    return None, r"clients\.pem"


@pytest.mark.parametrize("what", [wrong_key, world_readable, missing, not_pem, swapped, encrypted,
                                  chain_in_wrong_order, empty, bad_client_ca], ids=lambda f: f.__name__)
def test_unusable_files_are_refused_with_a_clear_message(pki, tmp_path, what):
    """`weir run` does not start, and says which file and why."""
    pair, pattern = what(pki, tmp_path)
    config = tls_to("127.0.0.1:9", pki.ecdsa)
    if pair:
        config["listeners"]["web"]["tls"]["certificates"] = [pair]
    else:
        config["listeners"]["web"]["tls"]["client-certificates"] = {"ca": str(tmp_path / "clients.pem")}
    w = harness.Weir(config, tmp_path, start=False)
    run = subprocess.run([BINARY, "run", "-c", w.config_path], capture_output=True, text=True, timeout=20)
    assert run.returncode != 0
    assert re.search(pattern, run.stdout + run.stderr), run.stdout + run.stderr


def test_expired_certificate_is_told(pki, tmp_path, backend, weir):
    """An expired certificate does not keep Weir from starting (the others matter too), but is never silent."""
    expired = pki.ca.issue("a.example", name="yesterday", start=-20, end=-1)
    config = tls_to("127.0.0.1:9", expired)
    w = harness.Weir(config, tmp_path, start=False)
    check = subprocess.run([BINARY, "check", "-c", w.config_path], capture_output=True, text=True, timeout=20)
    if check.returncode == 0 and not re.search(r"expired", check.stdout + check.stderr):
        running = weir(tls_to(backend(), expired))
        running.wait_log(r"expired")


def test_reload_with_an_unusable_file_changes_nothing(weir, backend, pki, tmp_path):
    b = backend()
    config = tls_to(b, pki.ecdsa)
    w = weir(config)
    broken = harness.merge(config, {"listeners": {"web": {"address": w.config["listeners"]["web"]["address"], "tls": {
        "certificates": [{"cert": str(tmp_path / "gone.pem"), "key": str(tmp_path / "gone.key")}]}}}})
    kept = w.config
    w.reload(broken)
    w.config = kept
    w.wait_log(r"gone\.(pem|key)")
    assert fetch(w.address, pki.ca.context(alpn=["http/1.1"])).status == 200


# What is not TLS, and TLS that is wrong

def client_hello(context=None, name="a.example") -> bytes:
    """The bytes of a ClientHello."""
    context = context or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    connection = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        connection.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()


HELLO = client_hello()
NOISE = {
    "random": bytes(range(256)) * 8,
    "zeros": b"\0" * 2000,
    "ssl-2-hello": b"\x80\x2e\x01\x00\x02" + b"\0" * 43,
    "record-too-long": b"\x16\x03\x01\xff\xff" + b"\0" * 70_000,
    "record-of-0": b"\x16\x03\x01\x00\x00" * 50,
    "wrong-type": b"\x99" + HELLO[1:],
    "wrong-version": HELLO[:1] + b"\x07\x07" + HELLO[3:],
    "alert-first": b"\x15\x03\x03\x00\x02\x02\x28",
    "data-first": b"\x17\x03\x03\x00\x10" + b"x" * 16,
    "length-lies": HELLO[:5] + b"\x01\xff\xff\xff" + HELLO[9:],
    "hello-twice": HELLO + HELLO,
    "hello-then-noise": HELLO + b"\xff" * 500,
    "extension-lies": HELLO[:-40] + b"\xff" * 40,
    "session-id-lies": HELLO[:43] + b"\xff" + HELLO[44:],
    "change-cipher-spec-flood": HELLO + b"\x14\x03\x03\x00\x01\x01" * 100,
    "heartbeat": b"\x18\x03\x02\x00\x03\x01\x40\x00",
    "proxy-protocol-unasked": b"PROXY TCP4 192.0.2.1 192.0.2.2 1000 443\r\n" + HELLO,
}


@pytest.fixture(scope="module")
def noisy(shared_weir, pki):
    with recorder() as backend:
        yield shared_weir(tls_to(backend, pki.ecdsa, listener={"timeout": {"head": "400ms"}}))


@pytest.mark.parametrize("kind", sorted(NOISE))
@pytest.mark.parametrize("arrival", ["whole", "bytes"])
def test_what_is_not_tls(noisy, pki, kind, arrival):
    """An alert or a plain close, at the latest by the deadline of the head; the next client is served."""
    sock = h2wire.dial(noisy.address)
    noise = NOISE[kind]
    try:
        for at in range(0, len(noise), 1 if arrival == "bytes" and len(noise) < 3000 else 70_000):
            sock.sendall(noise[at:at + (1 if arrival == "bytes" and len(noise) < 3000 else 70_000)])
    except OSError:
        pass
    stream = wire.Stream(sock)
    said = stream.rest()
    assert said == b"" or said[0] in (0x15, 0x16) or said.startswith(b"HTTP/1.1 400"), said[:40]
    sock.close()
    assert fetch(noisy.address, pki.ca.context(alpn=["http/1.1"])).status == 200


@pytest.mark.parametrize("cut", [1, 4, 5, 6, 11, 60, len(HELLO) - 1])
@pytest.mark.parametrize("end", ["close", "rst", "stay"])
def test_handshake_that_stops(noisy, pki, cut, end):
    sock = h2wire.dial(noisy.address)
    sock.sendall(HELLO[:cut])
    stream = wire.Stream(sock)
    if end == "close":
        sock.close()
    elif end == "rst":
        stream.rst()
    else:
        said = stream.rest()
        assert said == b"" or said[0] == 0x15
    assert fetch(noisy.address, pki.ca.context(alpn=["http/1.1"])).status == 200


def test_plain_http_to_the_tls_port(noisy):
    """A clear 400 in HTTP, or an alert; never a redirect loop, never silence."""
    stream = wire.connect(noisy.address)
    stream.send(head_bytes("GET / HTTP/1.1"))
    said = stream.rest()
    assert said.startswith(b"HTTP/1.1 400 ") or said[:1] == b"\x15", said[:100]


def test_handshake_byte_by_byte(noisy, pki):
    """Each byte of the client in a packet of its own, through the handshake and the request."""
    for version in ("TLSv1_2", "TLSv1_3"):
        context = pki.ca.context(alpn=["http/1.1"], low=ssl.TLSVersion[version], high=ssl.TLSVersion[version])
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        connection = context.wrap_bio(incoming, outgoing, server_hostname="a.example")
        sock = h2wire.dial(noisy.address)

        def pump(step):
            while True:
                try:
                    result = step()
                    wants = False
                except ssl.SSLWantReadError:
                    result, wants = None, True
                for byte in outgoing.read():
                    sock.sendall(bytes([byte]))
                if not wants:
                    return result
                incoming.write(sock.recv(65536))
        pump(connection.do_handshake)
        pump(lambda: connection.write(head_bytes("GET / HTTP/1.1")))
        assert pump(lambda: connection.read(100)).startswith(b"HTTP/1.1 200 OK")
        sock.close()


def test_slow_handshake_is_cut_by_its_deadline(noisy, pki):
    """A byte now and then does not extend it."""
    sock = h2wire.dial(noisy.address)
    begin, sent = time.monotonic(), 0
    stream = wire.Stream(sock)
    while not stream.readable(0.1) and sent < len(HELLO) - 1:
        try:
            sock.sendall(HELLO[sent:sent + 1])
        except OSError:
            break
        sent += 1
    assert sent < len(HELLO) - 1 and time.monotonic() - begin < 5
    assert stream.rest()[:1] in (b"", b"\x15")


def test_handshake_failures_have_reasons(weir, backend, pki):
    w = weir(tls_to(backend(), pki.ecdsa))
    failure(w.address, pki.ca.context(alpn=["nothing"]))
    sock = h2wire.dial(w.address)
    sock.sendall(NOISE["random"])
    wire.Stream(sock).rest()
    context = pki.other.context(alpn=["http/1.1"])  # a client that does not trust us says so by an alert
    with pytest.raises(ssl.SSLError):
        handshake(w.address, context)
    eventually(lambda: w.metric("weir_failures_total") + len(
        [line for line in w.access_log() if line.get("phase") == "handshake"]) >= 2, "failures are counted")


def converse(address, *options, lines, timeout=10):
    """`openssl s_client` with its one-letter commands, each line after the one before was taken."""
    process = subprocess.Popen(["openssl", "s_client", "-connect", "%s:%d" % address, *options],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    said = bytearray()

    def listen():
        while piece := process.stdout.read1(65536):
            said.extend(piece)
    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    eventually(lambda: b"---\nNew" in said or process.poll() is not None, "the handshake", timeout)
    for line in lines:
        before = len(said)
        try:
            process.stdin.write(line)
            process.stdin.flush()
        except BrokenPipeError:
            break
        deadline = time.monotonic() + 1
        while len(said) == before and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.01)
    try:
        process.stdin.close()
    except BrokenPipeError:
        pass
    try:
        process.wait(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
    thread.join(timeout)
    return said.decode("latin-1")


def test_renegotiation_is_refused(weir, backend, pki):
    """TLS 1.2 renegotiation started by the client: refused, and the server does not hang on it."""
    w = weir(tls_to(backend(), pki.ecdsa))
    said = converse(w.address, "-tls1_2", "-alpn", "http/1.1", lines=[b"R\n", b"Q\n"])
    assert "RENEGOTIATING" in said
    assert said.count("verify return") <= 4, f"a second handshake: {said[-500:]}"
    assert fetch(w.address, pki.ca.context(alpn=["http/1.1"])).status == 200


def test_key_update_flood(weir, backend, pki):
    """TLS 1.3 key updates cost work on both sides: a few are normal, thousands are not."""
    w = weir(tls_to(backend(), pki.ecdsa))
    said = converse(w.address, "-tls1_3", "-alpn", "http/1.1", lines=[b"K\n"] * 5 + [b"Q\n"])
    assert said.count("KEYUPDATE") >= 5
    assert fetch(w.address, pki.ca.context(alpn=["http/1.1"])).status == 200


@pytest.mark.parametrize("what", ["cut", "flipped", "garbage"])
@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
def test_broken_records_after_the_handshake(weir, backend, pki, what, version):
    """What does not decrypt ends the connection; nothing of it reaches the endpoint."""
    b = backend()
    w = weir(tls_to(b, pki.ecdsa))
    context = pki.ca.context(alpn=["http/1.1"], low=ssl.TLSVersion[version], high=ssl.TLSVersion[version])
    connection, sock, incoming, outgoing = by_hand(w.address, context)
    sock.sendall(outgoing.read())
    connection.write(head_bytes("GET /never HTTP/1.1"))
    record = bytearray(outgoing.read())
    if what == "cut":
        del record[-5:]
    elif what == "flipped":
        record[-3] ^= 1
    else:
        record = bytearray(b"\x16\x03\x09" + os.urandom(300))
    sock.sendall(record)
    if what == "cut":
        sock.shutdown(socket.SHUT_WR)
    wire.Stream(sock).rest()
    assert fetch(w.address, pki.ca.context(alpn=["http/1.1"]), "/next").status == 200
    assert not b.saw("/never")


def test_alert_behind_the_tickets_arrives(weir, backend, pki):
    """A bad record right behind the Finished meets tickets that have not left yet: the alert leaves with them
    (RFC 8446 §5.2: bad_record_mac)."""
    w = weir(tls_to(backend(), pki.ecdsa))
    context = pki.ca.context(alpn=["http/1.1"], low=ssl.TLSVersion.TLSv1_3)
    for _ in range(20):
        connection, sock, incoming, outgoing = by_hand(w.address, context)
        sock.sendall(outgoing.read() + b"\x17\x03\x03\x00\x20" + bytes(32))
        incoming.write(wire.Stream(sock).rest())
        incoming.write_eof()
        with pytest.raises(ssl.SSLError, match="(?i)bad.record.mac"):
            connection.read(1)
        sock.close()


def test_proxy_protocol_before_tls(weir, backend, pki):
    b = backend()
    w = weir(tls_to(b, pki.ecdsa, listener={"proxy-protocol": "required"}))
    sock = h2wire.dial(w.address)
    sock.sendall(b"PROXY TCP4 192.0.2.7 192.0.2.8 1234 443\r\n")
    with pki.ca.context(alpn=["http/1.1"]).wrap_socket(sock, server_hostname="a.example") as secure:
        assert ask(secure).status == 200
    assert "192.0.2.7" in str(w.wait_records(1)[0])


# Data

MIB = 1 << 20
PATTERN = bytes(range(251)) * 4178


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
def test_large_download_and_upload(weir, backend, pki, version, alpn):
    """60 MiB each way, checked by hash, in bounded memory."""
    count = 60
    total = hashlib.blake2b(PATTERN * count).hexdigest()

    def script(c):
        while True:
            digest = hashlib.blake2b()
            request = c.request(sink=digest.update)
            if request.method == "POST":
                c.send(answer(digest.hexdigest().encode()))
                continue
            c.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(PATTERN) * count))
            for _ in range(count):
                c.send(PATTERN)
    w = weir(tls_to(backend(script), pki.ecdsa))
    context = pki.ca.context(alpn=[alpn], low=ssl.TLSVersion[version], high=ssl.TLSVersion[version])
    before, digest = w.rss_kib(), hashlib.blake2b()
    sock = handshake(w.address, context)
    if alpn == "h2":
        with h2wire.Session(sock, window=16 << 20, INITIAL_WINDOW_SIZE=4 << 20) as s:
            state = s.request()
            state.sink = digest.update
            s.until(lambda: state.over, "the download", 60)
            assert state.ended
            assert s.fetch(method="POST", body=PATTERN * count).body.decode() == total
            assert not s.violations
    else:
        stream = wire.Stream(sock)
        stream.send(head_bytes("GET / HTTP/1.1"))
        assert stream.response(sink=digest.update).complete
        stream.send(head_bytes("POST / HTTP/1.1", [("Content-Length", len(PATTERN) * count)]))
        for _ in range(count):
            stream.send(PATTERN)
        assert stream.response().body.decode() == total
    assert digest.hexdigest() == total
    assert w.rss_kib() - before < 16 * 1024


@pytest.mark.parametrize("alpn", ["http/1.1", "h2"])
@pytest.mark.parametrize("size", [0, 1, 16_384, 65_000, 65_536, 100_000, 262_144, 1_000_000, 3_000_000])
def test_responses_of_all_sizes(weir, backend, pki, size, alpn):
    """Around every buffer's size nothing is left behind, with the head and body of the endpoint in one write."""
    body = (bytes(range(251)) * (size // 251 + 1))[:size]
    w = weir(tls_to(backend(fixed(answer(body))), pki.ecdsa))
    sock = handshake(w.address, pki.ca.context(alpn=[alpn]))
    stream = wire.Stream(sock)
    stream.patience = 5
    for _ in range(3):
        if alpn == "h2":
            with h2wire.Session(handshake(w.address, pki.ca.context(alpn=["h2"]))) as s:
                assert s.fetch().body == body
        else:
            stream.send(head_bytes("GET / HTTP/1.1"))
            assert stream.response().body == body
    sock.close()


def test_pipelining(weir, backend, pki):
    """Several requests in one record, and one request over many records."""
    w = weir(tls_to(backend(serve(lambda r: answer(r.target.encode()))), pki.ecdsa))
    with handshake(w.address, pki.ca.context(alpn=["http/1.1"])) as sock:
        stream = wire.Stream(sock)
        stream.send(b"".join(head_bytes(f"GET /{n} HTTP/1.1") for n in range(20)))
        assert [stream.response().body for _ in range(20)] == [b"/%d" % n for n in range(20)]
        for byte in head_bytes("GET /slowly HTTP/1.1"):
            stream.send(bytes([byte]))
        assert stream.response().body == b"/slowly"


def test_close_notify_comes_before_the_end(weir, backend, pki):
    """Connection: close ends with close_notify, so that the end is authentic (RFC 8446 §6.1)."""
    w = weir(tls_to(backend(), pki.ecdsa))
    for version in ("TLSv1_2", "TLSv1_3"):
        context = pki.ca.context(alpn=["http/1.1"], low=ssl.TLSVersion[version], high=ssl.TLSVersion[version])
        with handshake(w.address, context, ragged=True) as sock:
            assert ask(sock, close=True).status == 200
            assert sock.recv(10) == b"", "close_notify"  # SSLEOFError without one


def test_response_cut_by_the_endpoint_has_no_close_notify_or_is_incomplete(weir, backend, pki):
    """A client must be able to tell: the announced length is not reached."""
    from backends import once
    w = weir(tls_to(backend(once(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")), pki.ecdsa))
    with handshake(w.address, pki.ca.context(alpn=["http/1.1"])) as sock:
        with pytest.raises(wire.Ended):
            ask(sock)


def test_client_closes_properly_and_improperly(weir, backend, pki):
    w = weir(tls_to(backend(), pki.ecdsa))
    descriptors = w.descriptors()
    for end in ("close_notify", "fin", "rst") * 5:
        sock = handshake(w.address, pki.ca.context(alpn=["http/1.1"]))
        assert ask(sock).status == 200
        if end == "close_notify":
            sock.unwrap().close()
        elif end == "fin":
            sock.close()
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()
    eventually(lambda: w.descriptors() <= descriptors + 6, "every descriptor is given back")


def test_thousand_handshakes_leave_nothing(weir, backend, pki):
    w = weir(tls_to(backend(), pki.ecdsa))
    context = pki.ca.context(alpn=["http/1.1"])
    for _ in range(100):
        fetch(w.address, context)
    descriptors, memory = w.descriptors(), w.rss_kib()
    for n in range(900):
        sock = handshake(w.address, context)
        if n % 3:
            ask(sock)
        sock.close()
    eventually(lambda: w.descriptors() <= descriptors + 4, "every descriptor is given back")
    assert w.rss_kib() - memory < 6 * 1024


def test_idle_tls_connections_are_closed(weir, backend, pki):
    w = weir(tls_to(backend(), pki.ecdsa, listener={"timeout": {"idle": "300ms"}}))
    with handshake(w.address, pki.ca.context(alpn=["http/1.1"]), ragged=True) as sock:
        assert ask(sock).status == 200
        assert sock.recv(10) == b"", "close_notify"


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("testssl"), reason="testssl.sh is not installed")
def test_testssl_finds_nothing_above_low(weir, backend, pki, tmp_path):
    """The default profile, as testssl.sh sees it (Debian package testssl.sh)."""
    import json
    w = weir(tls_to(backend(), pki.ecdsa, pki.rsa))
    report = str(tmp_path / "testssl.json")
    subprocess.run(
        ["testssl", "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", "--ip", "127.0.0.1",
         "--add-ca", pki.root.path, "--severity", "LOW", "--jsonfile", report, "--openssl-timeout", "5",
         "-p", "-s", "-f", "-U", "-S", "-P", "a.example:%d" % w.address[1]],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=200)
    bad = [f for f in json.load(open(report)) if f["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")]
    # These say something about certificates of a private CA, not about the server.
    own = ("cert_chain_of_trust", "cert_revocation", "cert_crlDistributionPoints", "cert_ocspURL",
           "cert_expirationStatus", "cert_validityPeriod", "DNS_CAArecord", "cert_notAfter")
    bad = [f for f in bad if not f["id"].startswith(own)]
    assert not bad, bad
