"""A replica whose capacity is bounded by waiting, not by CPU: SLOTS requests at once, each for SERVICE_MS.

So it answers SLOTS / SERVICE_MS * 1000 requests a second, whatever box it is on, and what comes above that waits in it,
first come first served. It listens START_MS after its start. `/healthz` answers at once. `/metrics` answers what the
file METRICS_FILE holds, at once as well; when the file says `hang`, never; when it is empty, with an empty body.
Run it with `python3 -S -E -u`. SIGTERM finishes what is under way.
"""

import collections
import heapq
import os
import selectors
import signal
import socket
import time

BEGAN = time.monotonic()
SLOTS = int(os.environ.get("SLOTS", "5"))
SERVICE_S = float(os.environ.get("SERVICE_MS", "50")) / 1000
START_S = float(os.environ.get("START_MS", "100")) / 1000
METRICS_FILE = os.environ.get("METRICS_FILE", "")


def response(body, status="200 OK"):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nContent-Type: text/plain\r\n\r\n".encode() + body


def metrics():
    """The answer to /metrics; None for none."""
    try:
        with open(METRICS_FILE, "rb") as file:
            body = file.read()
    except OSError:
        return response(b"no metrics\n", "404 Not Found")
    return None if body.strip() == b"hang" else response(body)


class Server:
    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.buffers, self.waiting, self.busy = {}, collections.deque(), []
        self.stopping = False
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])))

    def close(self, peer):
        if self.buffers.pop(peer, None) is not None:
            self.selector.unregister(peer)
            peer.close()

    def send(self, peer, data):
        if peer in self.buffers:
            try:
                peer.send(data)
            except OSError:
                self.close(peer)

    def begin(self, now):
        while self.waiting and len(self.busy) < SLOTS:
            peer = self.waiting.popleft()
            if peer in self.buffers:  # it has not gone meanwhile
                heapq.heappush(self.busy, (now + SERVICE_S, id(peer), peer))

    def asked(self, peer, head):
        words = head.split(b" ", 2)
        path = words[1] if len(words) == 3 else b"/"
        if path == b"/healthz":
            self.send(peer, response(b"ok\n"))
        elif path == b"/metrics":
            data = metrics()
            if data is not None:
                self.send(peer, data)
        else:
            self.waiting.append(peer)

    def read(self, peer):
        try:
            data = peer.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close(peer)
            return
        self.buffers[peer] += data
        while peer in self.buffers and b"\r\n\r\n" in self.buffers[peer]:
            head, _, self.buffers[peer] = self.buffers[peer].partition(b"\r\n\r\n")
            self.asked(peer, head)

    def accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            peer.setblocking(False)
            self.buffers[peer] = b""
            self.selector.register(peer, selectors.EVENT_READ)

    def run(self):
        self.listener.listen(1024)
        self.listener.setblocking(False)
        self.selector.register(self.listener, selectors.EVENT_READ)
        quiet_since = time.monotonic()
        while not self.stopping or self.busy or self.waiting or time.monotonic() - quiet_since < 0.2:
            pause = max(0.0, self.busy[0][0] - time.monotonic()) if self.busy else 0.1
            for key, _ in self.selector.select(min(pause, 0.1)):
                quiet_since = time.monotonic()
                self.accept() if key.fileobj is self.listener else self.read(key.fileobj)
            now = time.monotonic()
            while self.busy and self.busy[0][0] <= now:
                self.send(heapq.heappop(self.busy)[2], response(b"done\n"))
            self.begin(now)


def main():
    server = Server()
    signal.signal(signal.SIGTERM, lambda *_: setattr(server, "stopping", True))
    time.sleep(max(0.0, START_S - (time.monotonic() - BEGAN)))
    server.run()


if __name__ == "__main__":
    main()
