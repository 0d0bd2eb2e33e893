"""Answers `/` with its replica's name and `/blob/N` with N bytes, one thread a connection. For bench/routes.py."""

import os
import socketserver
from http.server import BaseHTTPRequestHandler

PIECE = bytes(1 << 16)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def do_GET(self):
        size = int(self.path.split("/")[2]) if self.path.startswith("/blob/") else 0
        body = os.environ.get("HOMEOSTAT_REPLICA", "?").encode() if size == 0 else b""
        self.send_response(200)
        self.send_header("Content-Length", str(size or len(body)))
        self.end_headers()
        self.wfile.write(body)
        while size > 0:
            self.wfile.write(PIECE[:size])
            size -= min(size, len(PIECE))

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 256


Server((os.environ["HOST"], int(os.environ["PORT"])), Handler).serve_forever()
