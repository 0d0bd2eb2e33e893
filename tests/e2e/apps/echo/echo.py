"""A small HTTP server for the tests: every GET is answered with what it was asked and who answers, as JSON.

Plain sockets and few imports, because it is started hundreds of times (run it with `python3 -S -E -u`). One thread. What
it shall do wrong comes by environment: ECHO_MODE=exit ends at once, ECHO_MODE=sick answers its health check with 500.
`/exit` ends the process, `/slow` takes half a second, `/door/NAME/...` is passed through HOMEOSTAT_DOOR to NAME. SIGTERM
finishes what is under way.
"""

import json
import os
import selectors
import signal
import socket
import sys
import time

MODE, VERSION = os.environ.get("ECHO_MODE", ""), os.environ.get("ECHO_VERSION", "1")
ME = os.environ.get("HOMEOSTAT_REPLICA", "?")


def through_door(path):
    """What `/door/NAME/REST` gives: the body that NAME answers to REST, asked at this box's door."""
    _, _, name, rest = path.split("/", 3)
    host, _, port = os.environ["HOMEOSTAT_DOOR"].split("//", 1)[1].partition(":")
    with socket.create_connection((host, int(port)), timeout=5) as peer:
        peer.sendall(f"GET /{rest} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        data = b""
        while piece := peer.recv(65536):
            data += piece
    return data.partition(b"\r\n\r\n")[2]


def answer(head):
    """(status, body) for the head of a request."""
    lines = head.decode("latin-1").split("\r\n")
    words = lines[0].split(" ")
    path = words[1] if len(words) == 3 else "/"
    if path == "/healthz":
        return (500, b"sick\n") if MODE == "sick" else (200, b"ok\n")
    if path == "/exit":
        print(f"{ME} was asked to exit", flush=True)
        os._exit(3)
    if path == "/slow":
        time.sleep(0.5)
    if path.startswith("/door/"):
        return 200, through_door(path)
    headers = dict(line.lower().split(": ", 1) for line in lines[1:] if ": " in line)
    told = {"replica": ME, "service": os.environ.get("HOMEOSTAT_SERVICE"), "node": os.environ.get("HOMEOSTAT_NODE"),
            "version": VERSION, "path": path, "headers": headers, "pid": os.getpid()}
    return 200, json.dumps(told).encode()


def main():
    if MODE == "exit":
        print(f"{ME} cannot work like this", file=sys.stderr, flush=True)
        sys.exit(7)
    stopping = []
    signal.signal(signal.SIGTERM, lambda *_: stopping.append(True))
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.bind((os.environ.get("HOST", "127.0.0.1"), int(os.environ["PORT"])))
    server.listen(512)
    server.setblocking(False)
    print(f"{ME} version {VERSION} listens", flush=True)
    selector, buffers = selectors.DefaultSelector(), {}
    selector.register(server, selectors.EVENT_READ)
    quiet_since = time.monotonic()
    while not stopping or time.monotonic() - quiet_since < 0.2:
        for key, _ in selector.select(0.1):
            quiet_since = time.monotonic()
            if key.fileobj is server:
                try:
                    peer, _ = server.accept()
                except OSError:
                    continue
                selector.register(peer, selectors.EVENT_READ)
                buffers[peer] = b""
                continue
            peer = key.fileobj
            try:
                piece = peer.recv(65536)
                buffers[peer] += piece
                while b"\r\n\r\n" in buffers[peer]:
                    head, _, buffers[peer] = buffers[peer].partition(b"\r\n\r\n")
                    status, body = answer(head)
                    ending = "Connection: close\r\n" if stopping else ""
                    peer.sendall(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n{ending}\r\n".encode() + body)
                    if stopping:
                        piece = b""
            except OSError:
                piece = b""
            if not piece:
                selector.unregister(peer)
                buffers.pop(peer, None)
                peer.close()
    print(f"{ME} ends as asked", flush=True)


main()
