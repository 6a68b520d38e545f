"""Origins that behave like three well-known applications, for the recipes in docs/recipes.

Each does what such an application is known to do behind a proxy: it decides on the scheme and the host it is
told, redirects to its canonical address, sets cookies, answers to its own internal address, counts the
clients it is told of, and fails while it is being deployed. What it was asked is kept in `requests`.
"""

import hashlib
import json
import os
import re
import subprocess
import urllib.parse

import wswire
from backends import Backend, answer


class Application(Backend):
    """A keep-alive origin whose `reply(request)` gives bytes, or None when it took the connection over."""

    def __init__(self, **options):
        super().__init__(self._serve, **options)

    def _serve(self, c):
        while True:
            request = c.request()
            if request.get("Upgrade", "").lower() == "websocket":
                return self.upgrade(c, request)
            c.send(self.reply(request))

    def upgrade(self, c, request):
        """A WebSocket that answers every message with itself."""
        c.send(wswire.agree(request))
        wswire.echo_frames(c)

    def scheme(self, request) -> str:
        return "https" if request.get("X-Forwarded-Proto") == "https" else "http"

    def redirect(self, to, status="302 Found", fields=()) -> bytes:
        return answer(b"", status, [("Location", to), *fields])


def page(text, status="200 OK", fields=(), type="text/html; charset=utf-8") -> bytes:
    return answer(text.encode() if isinstance(text, str) else text, status, [("Content-Type", type), *fields])


class WordPressLike(Application):
    """A PHP application whose site URL is https://blog.example, with pretty links and a login."""

    site = "https://blog.example"

    def reply(self, request):
        path = request.target.partition("?")[0]
        told = f"{self.scheme(request)}://{request.get('Host')}"
        if told != self.site:
            # redirect_canonical: a proxy that does not tell the scheme makes this a loop.
            return self.redirect(self.site + request.target, "301 Moved Permanently",
                                 [("X-Redirect-By", "WordPress")])
        if path == "/wp-login.php" and request.method == "POST":
            return self.redirect(f"{self.site}/wp-admin/", fields=[
                ("Set-Cookie", "wordpress_logged_in_x=ann; path=/; HttpOnly"),
                ("Set-Cookie", "wordpress_sec_x=ann; path=/wp-admin; HttpOnly")])
        if path in ("/wp-admin/", "/wp-admin/index.php"):
            cookies = "; ".join(request.fields.all("Cookie"))
            if "wordpress_logged_in_x" not in cookies:
                return self.redirect(f"{self.site}/wp-login.php?redirect_to="
                                     + urllib.parse.quote(self.site + request.target, ""))
            return page("Dashboard")
        if path == "/wp-admin/admin-ajax.php":
            return page(json.dumps({"bytes": len(request.body)}), type="application/json")
        if path == "/feed/":
            return page("<rss/>", type="application/rss+xml")
        if path.endswith("/missing/"):
            return page("Not found, says WordPress", "404 Not Found")
        return page(f"Post {urllib.parse.unquote(request.target)} for {request.get('X-Forwarded-For')}")


class NextcloudLike(Application):
    """A WebDAV server with chunked uploads that takes itself for http://cloud.example; clients speak https."""

    domain = "cloud.example"

    def __init__(self, **options):
        self.files, self.parts = {}, {}
        super().__init__(**options)

    def upgrade(self, c, request):
        if request.target != "/push/ws":
            c.send(page("no WebSocket here", "400 Bad Request"))
            return
        super().upgrade(c, request)

    def reply(self, request):
        path = urllib.parse.unquote(request.target.partition("?")[0])
        if request.get("Host") != self.domain:
            return page("Access through untrusted domain", "400 Bad Request")
        if path == "/status.php":
            return page(json.dumps({"installed": True, "maintenance": False, "client": self.client(request)}),
                        type="application/json")
        if path.startswith("/remote.php/dav/"):
            return self.dav(request, path)
        if path == "/index.php/login":
            return page("<form>", fields=[("Set-Cookie", "nc_session=1; path=/; HttpOnly; SameSite=Lax")])
        if path == "/index.php/apps/notes":
            # A page of the application that knows its own address only.
            return self.redirect(f"http://{self.domain}/index.php/apps/notes/")
        return page(f"Files {request.target}")

    def client(self, request) -> str:
        """The rightmost address, as with one trusted proxy."""
        return request.get("X-Forwarded-For", "").split(",")[-1].strip()

    def dav(self, request, path):
        if request.method == "PROPFIND":
            if request.get("Depth") not in ("0", "1"):
                return page("Depth", "400 Bad Request")
            names = "".join(f"<d:href>{name}</d:href>" for name in sorted(self.files) if name.startswith(path))
            return page(f"<d:multistatus xmlns:d='DAV:'>{names}</d:multistatus>", "207 Multi-Status",
                        type="application/xml")
        if request.method == "MKCOL":
            self.parts[path] = {}
            return answer(b"", "201 Created")
        if request.method == "PUT":
            folder, _, name = path.rpartition("/")
            (self.parts[folder] if folder in self.parts else self.files)[
                name if folder in self.parts else path] = request.body
            return answer(b"", "201 Created", [("OC-FileId", "1"), ("ETag", '"1"')])
        if request.method == "MOVE":
            # sabre/dav compares with its own base address and refuses what is outside of it.
            base = f"http://{self.domain}/remote.php/dav/"
            destination = request.get("Destination", "")
            if not destination.startswith(base):
                return page(f"Destination {destination} is out of base {base}", "403 Forbidden")
            whole = self.parts.pop(path.rpartition("/")[0])
            name = urllib.parse.unquote(urllib.parse.urlsplit(destination).path)
            self.files[name] = b"".join(whole[part] for part in sorted(whole))
            return answer(b"", "201 Created")
        if request.method == "GET":
            return page(self.files[path]) if path in self.files else page("gone", "404 Not Found")
        if request.method == "DELETE":
            self.files.pop(path, None)
            return answer(b"", "204 No Content")
        return page("method", "405 Method Not Allowed")


class GitLabLike(Application):
    """A forge: an API with encoded slashes, Git over HTTP by git's own http-backend, and a WebSocket that
    checks where the page came from."""

    def __init__(self, repositories, **options):
        self.repositories = str(repositories)
        self.deploying = False
        super().__init__(**options)

    def upgrade(self, c, request):
        own = f"{self.scheme(request)}://{request.get('Host')}"
        if request.target != "/-/cable" or request.get("Origin") != own:
            c.send(page(f"Request origin not allowed: {request.get('Origin')} is not {own}", "404 Not Found"))
            return
        super().upgrade(c, request)

    def reply(self, request):
        if self.deploying:
            return page("upstream of workhorse is away", "502 Bad Gateway")
        path, _, query = request.target.partition("?")
        own = f"{self.scheme(request)}://{request.get('Host')}"
        if project := re.fullmatch(r"/api/v4/projects/([^/]+)", path):
            # The project's name is one segment: a proxy that decodes its slash makes this a 404.
            return page(json.dumps({"path_with_namespace": urllib.parse.unquote(project[1])}),
                        type="application/json")
        if path == "/users/sign_in":
            return page("Sign in", fields=[("Set-Cookie", f"_session=1; path=/; HttpOnly{'; secure' * (own[4] == 's')}")])
        if re.fullmatch(r"/.*\.git/(info/refs|git-upload-pack|git-receive-pack)", path):
            return self.git(request, path, query)
        if path == "/":
            return self.redirect(f"{own}/users/sign_in")
        return page("404, says the forge", "404 Not Found")

    def git(self, request, path, query):
        environment = {
            **os.environ, "GIT_PROJECT_ROOT": self.repositories, "GIT_HTTP_EXPORT_ALL": "1", "PATH_INFO": path,
            "QUERY_STRING": query, "REQUEST_METHOD": request.method, "REMOTE_USER": "ann",
            "CONTENT_TYPE": request.get("Content-Type", ""), "CONTENT_LENGTH": str(len(request.body)),
            "HTTP_CONTENT_ENCODING": request.get("Content-Encoding", ""),
            "HTTP_GIT_PROTOCOL": request.get("Git-Protocol", "")}
        output = subprocess.run(["git", "http-backend"], input=request.body, env=environment, capture_output=True,
                                check=True).stdout
        head, _, body = output.partition(b"\r\n\r\n")
        fields = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        status = next((value for name, value in fields if name == "Status"), "200 OK")
        return answer(body, status, [(n, v) for n, v in fields if n != "Status"])


class RegistryLike(Application):
    """A container registry that writes its own internal address into Location."""

    def __init__(self, **options):
        self.blobs = {}
        super().__init__(**options)

    def reply(self, request):
        path, _, query = request.target.partition("?")
        own = f"http://{self.endpoint}"
        if path == "/v2/":
            return answer(b"{}", fields=[("Docker-Distribution-Api-Version", "registry/2.0")])
        if request.method == "POST" and path.endswith("/blobs/uploads/"):
            return answer(b"", "202 Accepted", [("Location", f"{own}{path}1?_state=x"), ("Range", "0-0")])
        if request.method == "PATCH":
            self.upload = request.body
            return answer(b"", "202 Accepted", [("Location", f"{own}{path}?_state=y"),
                                                ("Range", f"0-{len(request.body) - 1}")])
        if request.method == "PUT":
            digest = urllib.parse.parse_qs(query)["digest"][0]
            if digest != "sha256:" + hashlib.sha256(self.upload).hexdigest():
                return page("digest", "400 Bad Request")
            self.blobs[digest] = self.upload
            return answer(b"", "201 Created", [("Location", f"{own}{path.rpartition('/blobs')[0]}/blobs/{digest}")])
        blob = self.blobs.get(path.rpartition("/")[2])
        if blob is None:
            return page("unknown", "404 Not Found")
        return answer(blob)
