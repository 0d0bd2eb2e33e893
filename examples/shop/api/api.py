"""The shop's API: GET /api/items, GET /api/items/ID, GET /healthz. Listens on $HOST:$PORT, standard library only.

SIGTERM drains: /healthz turns 503, no new connections are taken, requests in flight are finished, then it ends.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ITEMS = [
    {"id": 1, "name": "Bimetal strip", "about": "Bends when it is warm. The original controller.", "cents": 450},
    {"id": 2, "name": "Governor", "about": "Two balls and a steam valve, by Watt.", "cents": 24900},
    {"id": 3, "name": "Float valve", "about": "Fills the tank and stops.", "cents": 1890},
    {"id": 4, "name": "Gyroscope", "about": "Knows which way is up.", "cents": 5900},
    {"id": 5, "name": "Ballast", "about": "Heavy. Keeps you level.", "cents": 990},
    {"id": 6, "name": "Shock absorber", "about": "Gives in at once and comes back slowly.", "cents": 7450},
]

REPLICA = os.environ.get("HOMEOSTAT_REPLICA", f"api-{os.getpid()}")
NODE = os.environ.get("HOMEOSTAT_NODE", socket.gethostname())
CURRENCY = os.environ.get("SHOP_CURRENCY", "EUR")
STARTED = time.time()


class State:
    """Counters and the drain flag, shared by all request threads."""

    def __init__(self):
        self.idle = threading.Condition()
        self.in_flight = 0
        self.served = 0
        self.draining = False

    def enter(self):
        with self.idle:
            self.in_flight += 1

    def leave(self):
        with self.idle:
            self.in_flight -= 1
            self.served += 1
            self.idle.notify_all()

    def wait_idle(self, seconds):
        with self.idle:
            return self.idle.wait_for(lambda: self.in_flight == 0, seconds)


STATE = State()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "shop"
    timeout = 60  # seconds an idle connection is kept
    # Headers and body leave in one packet each, without waiting for the other side's acknowledgement.
    disable_nagle_algorithm = True

    def do_GET(self):
        STATE.enter()
        try:
            self.answer(*self.route())
        finally:
            STATE.leave()

    do_HEAD = do_GET

    def route(self):
        path = self.path.split("?", 1)[0]
        if path == "/healthz":
            return (503, {"status": "draining"}) if STATE.draining else (200, {"status": "ok"})
        if path == "/api/items":
            return 200, self.envelope(items=ITEMS)
        if path.startswith("/api/items/"):
            for item in ITEMS:
                if str(item["id"]) == path.removeprefix("/api/items/"):
                    return 200, self.envelope(items=[item])
        return 404, {"error": f"nothing at {path[:200]}"}

    @staticmethod
    def envelope(**more):
        return {
            "replica": REPLICA,
            "node": NODE,
            "hostname": socket.gethostname(),
            "uptime_s": round(time.time() - STARTED, 1),
            "served": STATE.served,
            "currency": CURRENCY,
            **more,
        }

    def answer(self, status, body):
        text = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("Cache-Control", "no-store")
        if STATE.draining:
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def log_message(self, *_):
        pass  # a line for each request would say nothing that the counters do not


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512

    def __init__(self, host, port):
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), Handler)

    def handle_error(self, request, client_address):
        # A client that went away is everyday life; anything else is worth a trace.
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def main():
    host, port = os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])
    server = Server(host, port)

    def drain(*_):
        STATE.draining = True
        # shutdown() waits for the loop that this handler interrupts, so it needs a thread of its own.
        threading.Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, drain)
    signal.signal(signal.SIGINT, drain)
    print(f"{REPLICA} listens on {host}:{port}", flush=True)
    server.serve_forever(poll_interval=0.1)
    server.socket.close()
    finished = STATE.wait_idle(8)
    print(f"{REPLICA} served {STATE.served} requests; {'drained' if finished else 'some were still open'}", flush=True)


if __name__ == "__main__":
    main()
