"""Bytes that no honest peer sends: the process lives, says what is wrong, and goes on."""

import json
import os
import random
import socket
import ssl
import time
import unittest

from cluster import UnixConnection
from support import ClusterCase, PATIENCE, get


class Garbage(ClusterCase):
    SIZE, FIRST = 3, "127.2.5.1"

    def setUp(self):
        self.deploy_echo(replicas=3)
        self.wait_healthy("echo", 3)
        self.before = self.work()
        self.target = self.cluster.nodes[1]
        self.wait_door(self.target)
        self.agent = self.target.process.pid
        self.random = random.Random(7)

    def work(self):
        return {r["replica"]: (r["pid"], r["restarts"]) for r in self.cluster.replicas()}

    def assert_unharmed(self):
        self.assertTrue(self.target.is_up())
        self.assertEqual(self.target.process.pid, self.agent)
        self.cluster.wait_members(3, PATIENCE)
        self.cluster.wait_steady(PATIENCE)
        self.assertEqual(self.work(), self.before)
        self.assertEqual(get(self.target.door, "/")[0], 200)

    def send_tcp(self, address, *pieces, close=True):
        """Sends what can be sent; the other side may hang up whenever it likes. Returns the socket when not closed."""
        ip, _, port = address.rpartition(":")
        peer = socket.create_connection((ip, int(port)), timeout=3)
        try:
            for piece in pieces:
                peer.sendall(piece)
        except OSError:
            pass
        if close:
            peer.close()
        return peer

    def test_random_empty_and_oversized_datagrams_change_nothing(self):
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(sender.close)
        at = (str(self.target.ip), self.cluster.port)
        for size in (0, 1, 2, 15, 16, 17, 31, 32, 33, 64, 1200, 1400, 1500, 9000, 65000, 65507):
            for _ in range(20):
                sender.sendto(self.random.randbytes(size), at)
        for byte in (b"\x00", b"\xff"):
            sender.sendto(byte * 1400, at)
        self.assert_unharmed()

    def test_real_datagrams_that_are_replayed_or_damaged_change_nothing(self):
        try:
            tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        except PermissionError as error:
            self.skipTest(f"no packets can be seen here: {error}")
        self.addCleanup(tap.close)
        tap.bind(("lo", 0))
        seen, until = [], time.monotonic() + PATIENCE
        while len(seen) < 30 and time.monotonic() < until:
            packet = tap.recv(70000)
            header = 4 * (packet[0] & 15)
            if packet[9] == 17 and packet[16:20] == self.target.ip.packed and packet[header + 2:header + 4] == b"\x1e\x14":
                seen.append((packet[12:16], packet[header + 8:]))
        self.assertGreaterEqual(len(seen), 30, "no gossip was seen")
        for source, content in seen:
            sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.addCleanup(sender.close)
            sender.bind((socket.inet_ntoa(source), 0))  # from the very address, though not the port
            at = (str(self.target.ip), self.cluster.port)
            for _ in range(30):
                sender.sendto(content, at)
            for cut in (1, len(content) // 2, len(content) - 1):
                sender.sendto(content[:cut], at)
            flipped = bytearray(content)
            flipped[self.random.randrange(len(flipped))] ^= 1
            sender.sendto(flipped, at)
        self.assert_unharmed()

    def test_random_bytes_and_half_open_tls_at_the_port_change_nothing(self):
        held = [self.send_tcp(self.target.address, close=False) for _ in range(30)]  # says nothing and stays
        for size in (1, 5, 100, 100_000):
            for _ in range(5):
                self.send_tcp(self.target.address, self.random.randbytes(size))
        # A TLS record that promises more than comes, and one of the greatest length.
        held += [self.send_tcp(self.target.address, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", close=False),
                 self.send_tcp(self.target.address, b"\x16\x03\x01\xff\xff" + self.random.randbytes(70000), close=False)]
        self.send_tcp(self.target.address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            self.assert_unharmed()
        finally:
            for peer in held:
                peer.close()

    def tls(self, certificate_of=None):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        if certificate_of:
            context.load_cert_chain(os.path.join(certificate_of.data, "node.crt"),
                                    os.path.join(certificate_of.data, "node.key"))
        raw = socket.create_connection((str(self.target.ip), self.cluster.port), timeout=5)
        return context.wrap_socket(raw)

    def test_garbage_inside_tls_at_the_api_is_refused_and_changes_nothing(self):
        pieces = [self.random.randbytes(5000), b"GET /v1/status", b"GET /v1/status HTTP/9.9\r\n\r\n",
                  b"PUT /v1/stacks/x HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999\r\n\r\n{",
                  b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
                  b"PUT /v1/bundles/zz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
                  b"GET /v1/documents HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer hs1.AAAA\r\n\r\n",
                  b"\x00" * 4096, b"\r\n" * 10_000]
        for piece in pieces:
            try:
                with self.tls() as peer:
                    peer.sendall(piece)
                    peer.settimeout(0.3)
                    answer = peer.recv(4096)
                    self.assertFalse(answer.startswith(b"HTTP/1.1 200"), answer)
            except OSError:
                pass  # hung up on us, which is an answer
        self.assert_unharmed()

    def test_nothing_is_changed_over_the_network_without_a_token(self):
        for method, path in (("PUT", "/v1/stacks/x"), ("DELETE", "/v1/stacks/test"), ("GET", "/v1/tokens/join"),
                             ("GET", "/v1/documents"), ("PUT", "/v1/services/echo/scale"), ("POST", "/v1/tokens")):
            with self.subTest(path=path), self.tls() as peer:
                body = b'{"replicas": 0}'
                peer.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
                self.assertRegex(peer.recv(4096), rb"^HTTP/1\.1 40[13] ")
        self.assert_unharmed()

    def test_a_node_s_certificate_reads_in_the_api_and_changes_nothing(self):
        other = self.cluster.nodes[2]
        for method, path, status in (("GET", "/v1/status", 200), ("POST", "/v1/leave", 403), ("POST", "/v1/tokens", 403),
                                     ("GET", "/v1/tokens/join", 403), ("DELETE", "/v1/stacks/test", 403)):
            with self.subTest(path=path), self.tls(other) as peer:
                peer.sendall(f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
                self.assertRegex(peer.recv(4096).decode(), f"^HTTP/1.1 {status} ")
        self.assert_unharmed()

    @staticmethod
    def stack(**service):
        """What decodes, but no compose file makes: it would be acknowledged, and gone at the next start."""
        return json.dumps({"name": "x", "services": [{"name": "web", "command": ["true"], **service}]}).encode()

    def test_bad_bodies_at_the_own_socket_are_refused_with_a_reason(self):
        for method, path, body in (("PUT", "/v1/stacks/x", b"{"), ("PUT", "/v1/stacks/x", b"[]"),
                                   ("PUT", "/v1/stacks/x", self.random.randbytes(300)),
                                   ("PUT", "/v1/stacks/x", b'{"name": "x", "services": [{"name": "../../etc"}]}'),
                                   ("PUT", "/v1/stacks/x", self.stack(name="Web")),
                                   ("PUT", "/v1/stacks/x", self.stack(stop_signal="TERM")),
                                   ("PUT", "/v1/services/echo/scale", b'{"replicas": -1}'),
                                   ("PUT", "/v1/services/echo/scale", b'{"replicas": 1e99}'),
                                   ("PUT", "/v1/bundles/" + "0" * 64, b"not that"), ("PUT", "/v1/bundles/..", b"x"),
                                   ("POST", "/v1/tokens", b'{"use": "everything"}'), ("BREW", "/v1/status", b""),
                                   ("GET", "/v1/nothing", b""), ("GET", "/../../etc/passwd", b""),
                                   ("PUT", "/v1/stacks/x", b"[" * 100_000)):
            with self.subTest(method=method, path=path, body=body[:20]):
                connection = UnixConnection(os.path.join(self.target.data, "api.sock"), 5)
                try:
                    connection.request(method, path, body=body)
                    response = connection.getresponse()
                    told = response.read()
                finally:
                    connection.close()
                self.assertIn(response.status, range(400, 500), told)
                self.assertTrue(json.loads(told)["error"]["message"])
        self.assert_unharmed()

    def test_http_garbage_at_the_door_changes_nothing(self):
        for piece in (self.random.randbytes(20_000), b"GET / HTTP/1.1\r\n" + b"A" * 70_000, b"GET",
                      b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nzz\r\n",
                      b"\x16\x03\x01\x02\x00", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + self.random.randbytes(500)):
            self.send_tcp(self.target.door, piece)
        self.assert_unharmed()


if __name__ == "__main__":
    unittest.main()
