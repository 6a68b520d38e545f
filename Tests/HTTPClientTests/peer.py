"""Servers that a client must bear with, for the tests beside it: python3 peer.py FOLDER

Prints the ports of a plain one, of http.server, and of one with TLS that asks for a client's certificate; ends
with its standard input. What the plain one does stands in the path.
"""

import gzip
import http.server
import os
import socket
import ssl
import sys
import threading

folder = sys.argv[1]
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
hold = threading.Event()


def endless(connection, head, block):
    connection.sendall(head)
    while True:
        connection.sendall(block)


def serve(connection, plain_port):
    with connection:
        buffered = b""
        while True:
            while b"\r\n\r\n" not in buffered:
                more = connection.recv(65536)
                if not more:
                    return
                buffered += more
            head, _, buffered = buffered.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            method, target, _ = lines[0].split(" ")
            fields = {line.split(":")[0].lower(): line.split(":", 1)[1].strip() for line in lines[1:]}
            length = int(fields.get("content-length", 0))
            while len(buffered) < length:
                buffered += connection.recv(65536)
            body, buffered = buffered[:length], buffered[length:]
            path, _, query = target.partition("?")
            if path == "/ok":
                connection.sendall(OK if method != "HEAD" else OK[:-2])
            elif path == "/echo":
                text = head + b"\r\n\r\n" + body
                connection.sendall(b"HTTP/1.1 200 OK\r\nX-Two: a\r\nX-Two: b\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
            elif path == "/head-huge-length":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
            elif path == "/body":
                size = int(query)
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % size + b"x" * size + b"\r\n0\r\n\r\n")
            elif path == "/announced":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n" % query.encode())
                hold.wait()
            elif path == "/endless-body":
                endless(connection, b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4096)
            elif path == "/endless-head":
                endless(connection, b"HTTP/1.1 200 OK\r\n", b"X-More: 0123456789\r\n")
            elif path == "/endless-line":
                endless(connection, b"HTTP/1.1 200 OK\r\nX: ", b"x" * 4096)
            elif path == "/endless-interim":
                endless(connection, b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            elif path == "/endless-trailers":
                endless(connection, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-More: 0123456789\r\n")
            elif path == "/interim":
                connection.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK)
            elif path == "/trailers":
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n")
            elif path == "/silent":
                hold.wait()
            elif path == "/slow":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx")
                hold.wait()
            elif path == "/cut":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx")
                return
            elif path == "/nothing":
                return
            elif path == "/ssh":
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")
                return
            elif path == "/two-lengths":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokx")
            elif path == "/folded":
                connection.sendall(b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n")
            elif path == "/bad-chunk":
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n")
            elif path == "/bomb":
                data = gzip.compress(b"\0" * 50_000_000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
            elif path == "/gzip":
                data = gzip.compress(b"small")
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
            elif path == "/to":
                connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % query.encode())
            elif path == "/round":
                connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /round\r\nContent-Length: 0\r\n\r\n")
            else:
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


def guarded(connection, port):
    try:
        serve(connection, port)
    except (OSError, ValueError):
        pass


def accept(listening):
    while True:
        try:
            connection, _ = listening.accept()
        except OSError:
            continue  # a handshake that failed
        threading.Thread(target=guarded, args=(connection, 0), daemon=True).start()


def listen(tls=None):
    listening = socket.create_server(("127.0.0.1", 0), backlog=100)
    port = listening.getsockname()[1]
    if tls:
        # The handshake in the connection's own thread.
        listening = tls.wrap_socket(listening, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=accept, args=(listening,), daemon=True).start()
    return port


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
tls.load_cert_chain(f"{folder}/server.pem", f"{folder}/server.key")
tls.load_verify_locations(f"{folder}/server.pem")
tls.verify_mode = ssl.CERT_REQUIRED
os.chdir(folder)
files = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
threading.Thread(target=files.serve_forever, daemon=True).start()
# A proxy of the environment: whoever asks it has listened to the environment.
unix = socket.socket(socket.AF_UNIX)
unix.bind(f"{folder}/peer.sock")
unix.listen(100)
threading.Thread(target=accept, args=(unix,), daemon=True).start()
print(listen(), files.server_port, listen(tls), flush=True)
sys.stdin.read()
