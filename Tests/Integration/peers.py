"""Other proxies in Weir's place, so that a test can be seen to be right before Weir is judged by it.

nginx, HAProxy and nghttpx accept HTTP/2 by prior knowledge on a free port and pass requests on to a
backend as HTTP/1.1 (or, `h2_backend`, nghttpx and HAProxy as HTTP/2). Used by hand, not by the suite:

    python3 -m h2cases nginx haproxy nghttpx
    WEIR_PEER=nghttpx python3 -m pytest test_http2.py      any test file: `weir(config)` starts the peer
"""

import os
import shutil
import subprocess
import tempfile

import harness
import wire
from backends import Backend
from ports import free_port
from wire import eventually


class Peer:
    """A running proxy on `address`; everything it writes is below a folder of its own."""

    def __init__(self, name, backend, h2_backend=False, tls=None):
        self.name, self.folder = name, tempfile.mkdtemp(prefix="peer-")
        self.port = free_port()
        self.address = ("127.0.0.1", self.port)
        command = getattr(self, f"_{name}")(harness.address_of(backend), h2_backend, tls)
        self.log = open(os.path.join(self.folder, "log"), "wb")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT, cwd=self.folder)
        eventually(lambda: self.port in harness.listening_ports(), f"{name} listens; see {self.folder}/log")

    def _write(self, name, text):
        path = os.path.join(self.folder, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def _nginx(self, backend, h2_backend, tls):
        assert not h2_backend
        own = f"ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]};" if tls else ""
        path = self._write("nginx.conf", f"""
            daemon off; master_process off; pid {self.folder}/pid; error_log stderr warn;
            events {{ worker_connections 1024; }}
            http {{
              access_log off;
              client_body_temp_path {self.folder}/b; proxy_temp_path {self.folder}/p;
              fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u; scgi_temp_path {self.folder}/s;
              map $http_upgrade $go {{ default upgrade; "" ""; }}
              server {{
                listen 127.0.0.1:{self.port} {'ssl' if tls else ''} http2; {own}
                location / {{ proxy_pass http://{backend}; proxy_http_version 1.1; proxy_buffering off;
                  proxy_set_header Host $host; proxy_set_header Connection $go; proxy_set_header Upgrade $http_upgrade; }}
              }} }}""")
        return ["nginx", "-p", self.folder, "-c", path]

    def _nginx1(self, backend, h2_backend, tls):
        command = self._nginx(backend, h2_backend, tls)
        text = open(command[-1]).read().replace(" http2;", ";")
        self._write("nginx.conf", text)
        return command

    def _haproxy(self, backend, h2_backend, tls):
        bind = f"ssl crt {tls[2]} alpn h2,http/1.1" if tls else ""
        path = self._write("haproxy.cfg", f"""
global
    expose-experimental-directives
defaults
    mode http
    timeout connect 5s
    timeout client 20s
    timeout server 20s
frontend f
    bind 127.0.0.1:{self.port} {bind}
    default_backend b
backend b
    server s {backend} {'proto h2' if h2_backend else ''}
""")
        return ["haproxy", "-db", "-f", path]

    def _nghttpx(self, backend, h2_backend, tls):
        host, _, port = backend.rpartition(":")
        return ["nghttpx", "--conf=/dev/null", f"-f127.0.0.1,{self.port}" + ("" if tls else ";no-tls"),
                f"-b{host},{port};;{'proto=h2' if h2_backend else 'proto=http/1.1'}", "--no-ocsp", "-n1",
                "--frontend-http2-read-timeout=20", *([tls[1], tls[0]] if tls else [])]

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


PEERS = ("nginx", "haproxy", "nghttpx")


class StandIn(harness.Weir):
    """A peer with the face of harness.Weir: it gets the first endpoint of the configuration, and of the
    listener only whether it has TLS. What only Weir can tell (its log, its metrics) is not there."""

    def __init__(self, config, folder, **_):
        self.folder, self.config = str(folder), config
        listener = next(iter(config["listeners"].values()))
        service = next(iter(config["services"].values()))
        tls = listener.get("tls")
        if tls:
            first = tls["certificates"][0]
            both = os.path.join(self.folder, "both.pem")
            with open(both, "w") as file:
                file.write(open(first["cert"]).read() + open(first["key"]).read())
            tls = (first["cert"], first["key"], both)
        self.peer = Peer(os.environ["WEIR_PEER"], service["endpoints"][0], service.get("protocol") == "h2", tls)
        listener["address"] = "127.0.0.1:%d" % self.peer.port
        self.process, self.output_path = self.peer.process, os.path.join(self.peer.folder, "log")
        open(os.path.join(self.folder, "weir.log"), "w").close()

    def stop(self):
        self.peer.stop()

    def wait_reason(self, reason):
        return {}

    def wait_record(self, condition, what=""):
        return {}


def compare(names):
    """Run every case against every peer; print where they differ from the expectation."""
    import h2cases

    corpus, run, origin = h2cases.load(), h2cases.run, h2cases.origin
    verdicts = {}
    wire.PATIENCE = 3.0
    for name in names:
        with Backend(origin) as backend, Peer(name, backend) as peer:
            for case in corpus:
                backend.requests.clear(), backend.partial.clear(), backend.malformed.clear()
                try:
                    session, result = run(case, peer.address)
                    h2cases.check_backend(case, backend, result)
                    verdicts[case["case"], name] = "ok"
                except Exception as error:  # any way to differ is worth showing
                    verdicts[case["case"], name] = f"{type(error).__name__}: {error}"[:260]
    for case in corpus:
        bad = [n for n in names if verdicts[case["case"], n] != "ok"]
        if bad:
            print(f"{'ALL ' if len(bad) == len(names) > 1 else ''}{case['case']} ({case['rfc']}): expect {case['expect']}")
            for name in bad:
                print(f"    {name}: {verdicts[case['case'], name]}")
    for name in names:
        print(name, sum(verdicts[c["case"], name] == "ok" for c in corpus), "of", len(corpus))
