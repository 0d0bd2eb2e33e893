"""Open-loop HTTP load: requests leave at a fixed rate whether or not earlier ones were answered.

A closed loop (send, wait, send) slows down together with the server and hides an outage; here every millisecond without
an answer shows as failed or late requests. Latency counts from the moment a request was due, not from when it left.

    python3 tests/e2e/load.py --url http://127.0.0.11:8080/ --rate 500 --seconds 10       # prints JSON
    load = Load("http://127.0.0.11:8080/", rate=500).start(); ...; result = load.stop()

The result: {"sent", "ok", "failed", "late_start_ms_max", "p50_ms", "p99_ms", "max_ms", "reasons": {words: count},
"failures": the first 5,000 as [due, seconds, reason, path], "buckets": [{"t": monotonic seconds of its start, "sent", "ok",
"failed", "max_ms"}, ...] of 100 ms each, by the time at which requests were due}. CLOCK_MONOTONIC is the same for all processes of a box, so t can be compared with a caller's own.
"""

import argparse
import collections
import errno
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import urllib.parse

BUCKET_S = 0.1
FAILURES_MAX = 5000


class Exchange:
    """One connection: at most one request under way; idle between requests."""

    __slots__ = ("sock", "due", "path", "data", "body_at", "body_end", "reused", "connected")

    def __init__(self, sock):
        self.sock, self.reused, self.connected = sock, False, False
        self.begin(None)

    def begin(self, due, path=None):
        self.due, self.path, self.data, self.body_at, self.body_end = due, path, bytearray(), 0, None

    def is_whole(self, at_end=False):
        """Whether the answer is complete; without a length it ends with the connection."""
        if not self.body_at:
            found = self.data.find(b"\r\n\r\n")
            if found < 0:
                return False
            self.body_at = found + 4
            for line in bytes(self.data[:found]).lower().split(b"\r\n")[1:]:
                if line.startswith(b"content-length:"):
                    self.body_end = self.body_at + int(line[15:])
                elif line.startswith(b"transfer-encoding:"):
                    self.body_end = -1
        if self.body_end == -1:
            return self.data.endswith(b"0\r\n\r\n")
        return at_end if self.body_end is None else len(self.data) >= self.body_end

    def reason(self):
        """None when it was answered well, else why not."""
        words = bytes(self.data[:16]).split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/"):
            return "not HTTP"
        return None if words[1] == b"200" else "status " + words[1].decode("ascii", "replace")

    def may_stay(self):
        head = bytes(self.data[:self.body_at]).lower()
        return self.body_end is not None and b"connection: close" not in head


class Generator:
    """One thread over epoll, with kept connections: about 50 us of CPU per request."""

    def __init__(self, url, rate, seconds, timeout, method="GET", more_paths=()):
        parts = urllib.parse.urlsplit(url)
        self.address = (parts.hostname, parts.port or 80)
        self.paths = [(parts.path or "/") + ("?" + parts.query if parts.query else ""), *more_paths]  # in turn
        self.requests = {path: f"{method} {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Length: 0\r\n\r\n".encode()
                         for path in self.paths}
        self.rate, self.seconds, self.timeout = rate, seconds, timeout
        self.rows = []  # (due, latency, reason or None, path)
        self.late_start = 0.0
        self.stopping = False
        self.epoll, self.open, self.idle = select.epoll(), {}, []
        self.waiting = collections.deque()  # exchanges in the order they were due

    def close(self, exchange):
        number = exchange.sock.fileno()
        if number >= 0:
            self.open.pop(number, None)
            exchange.sock.close()
        if exchange in self.idle:
            self.idle.remove(exchange)

    def finish(self, exchange, reason, keep=False):
        self.rows.append((exchange.due, time.monotonic() - exchange.due, reason, exchange.path))
        exchange.begin(None)
        if keep:
            exchange.reused = True
            self.idle.append(exchange)
        else:
            self.close(exchange)

    def launch(self, due, path, fresh=False):
        if self.idle and not fresh:
            exchange = self.idle.pop()
            exchange.begin(due, path)
            try:
                exchange.sock.send(self.requests[path])
            except OSError:  # closed by the other side while idle: nothing was sent
                self.close(exchange)
                self.launch(due, path, fresh=True)
                return
        else:
            exchange = Exchange(socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK))
            exchange.begin(due, path)
            error = exchange.sock.connect_ex(self.address)
            if error not in (0, errno.EINPROGRESS):
                self.finish(exchange, errno.errorcode.get(error, str(error)))
                return
            self.open[exchange.sock.fileno()] = exchange
            self.epoll.register(exchange.sock.fileno(), select.EPOLLIN | select.EPOLLOUT)
        self.waiting.append((due, exchange))

    def lost(self, exchange, reason):
        """The connection ended. An idle one that was closed as its next request left is tried again, as clients do."""
        if exchange.due is None:
            self.close(exchange)
        elif exchange.reused and not exchange.data:
            due, path = exchange.due, exchange.path
            exchange.begin(None)
            self.close(exchange)
            self.launch(due, path, fresh=True)
        else:
            self.finish(exchange, reason)

    def handle(self, exchange, events):
        try:
            if not exchange.connected and events & (select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP):
                error = exchange.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if error:
                    self.lost(exchange, errno.errorcode.get(error, str(error)))
                    return
                exchange.connected = True
                exchange.sock.send(self.requests[exchange.path])
                self.epoll.modify(exchange.sock.fileno(), select.EPOLLIN)
            if not events & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
                return
            data = exchange.sock.recv(262144)
        except BlockingIOError:
            return
        except OSError as error:
            self.lost(exchange, errno.errorcode.get(error.errno, str(error)))
            return
        exchange.data += data
        if exchange.due is not None and exchange.is_whole(at_end=not data):
            self.finish(exchange, exchange.reason(), keep=bool(data) and exchange.may_stay())
        elif not data:
            self.lost(exchange, "cut short" if exchange.data else "closed without an answer")

    def expire(self, now):
        while self.waiting:
            due, exchange = self.waiting[0]
            if exchange.due == due:  # still under way
                if now - due < self.timeout:
                    return
                self.finish(exchange, "timeout")
            self.waiting.popleft()

    def run(self):
        start, number = time.monotonic(), 0
        while True:
            now = time.monotonic()
            self.expire(now)
            ended = self.stopping or (self.seconds and number / self.rate >= self.seconds)
            if ended and not self.waiting:
                return
            pause = 0.05
            if not ended:
                while start + number / self.rate <= now and not (self.seconds and number / self.rate >= self.seconds):
                    self.late_start = max(self.late_start, now - start - number / self.rate)
                    self.launch(start + number / self.rate, self.paths[number % len(self.paths)])
                    number += 1
                pause = max(0.0, min(pause, start + number / self.rate - time.monotonic()))
            for descriptor, events in self.epoll.poll(pause):
                if descriptor in self.open:
                    self.handle(self.open[descriptor], events)

    def result(self):
        buckets, reasons = collections.OrderedDict(), collections.Counter()
        for due, latency, reason, _ in sorted(self.rows, key=lambda row: row[0]):
            key = int(due / BUCKET_S)
            bucket = buckets.setdefault(key, {"t": round(key * BUCKET_S, 3), "sent": 0, "ok": 0, "failed": 0, "max_ms": 0.0})
            bucket["sent"] += 1
            bucket["ok" if reason is None else "failed"] += 1
            bucket["max_ms"] = round(max(bucket["max_ms"], latency * 1000), 1)
            if reason is not None:
                reasons[reason] += 1
        good = sorted(latency for _, latency, reason, _ in self.rows if reason is None)

        def at(share):
            return round(good[min(len(good) - 1, int(share * len(good)))] * 1000, 2) if good else None

        return {"sent": len(self.rows), "ok": len(good), "failed": len(self.rows) - len(good),
                "late_start_ms_max": round(self.late_start * 1000, 1), "p50_ms": at(0.5), "p99_ms": at(0.99),
                "max_ms": at(1.0), "reasons": dict(reasons),
                "failures": [row for row in self.rows if row[2] is not None][:FAILURES_MAX], "buckets": list(buckets.values())}


class Load:
    """The generator in a process of its own, so that the caller's work does not delay it."""

    def __init__(self, url, rate=500, timeout=5, method="GET", more_paths=(), prefix=()):
        """`prefix`: words before the program's own, such as those that enter a network namespace."""
        self.argv = [*prefix, sys.executable, os.path.abspath(__file__), "--url", url, "--rate", str(rate), "--timeout",
                     str(timeout), "--method", method]
        for path in more_paths:
            self.argv += ["--path", path]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                                        start_new_session=True)
        self.process.stdout.readline()  # it says when it begins
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        output, _ = self.process.communicate(timeout=60)
        return json.loads(output)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def failures_after(result, moment, grace_s=0.0):
    """Failed requests that were due later than `grace_s` after `moment` (monotonic), by whole buckets."""
    return sum(b["failed"] for b in result["buckets"] if b["t"] >= moment + grace_s)


def main():
    parser = argparse.ArgumentParser(description="open-loop HTTP load")
    parser.add_argument("--url", required=True)
    parser.add_argument("--rate", type=float, default=500, help="requests per second")
    parser.add_argument("--seconds", type=float, default=0, help="0: until SIGTERM or SIGINT")
    parser.add_argument("--timeout", type=float, default=5, help="seconds after which a request counts as failed")
    parser.add_argument("--method", default="GET")
    parser.add_argument("--path", action="append", default=[], help="another path beside the URL's, in turn; may be repeated")
    options = parser.parse_args()
    generator = Generator(options.url, options.rate, options.seconds, options.timeout, options.method,
                          options.path)

    def stop(*_):
        generator.stopping = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    print("started", flush=True)
    generator.run()
    print(json.dumps(generator.result()))


if __name__ == "__main__":
    main()
