"""Boxes that find each other by asking the local network, in network namespaces: no address leads to anybody."""

import base64
import hashlib
import os
import random
import socket
import time
import unittest

from namespaces import Net, NetCluster
from support import PATIENCE, settle

GROUP = ("239.255.119.107", 7701)
CHECKSUM = 4  # bytes at a token's end


def rewritten(token, secret=None, address=None):
    """The token with another secret, or with one address that is IP:7700 instead of its own."""
    encoded = token.removeprefix("hs1.")
    raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
    body = raw[1:1 + raw[0]]
    ca, token_id, kept, addresses = body[:16], body[16:21], body[21:37], body[37:]
    if address:
        addresses = bytes([4]) + socket.inet_aton(address) + (7700).to_bytes(2, "big")
    body = ca + token_id + (secret or kept) + addresses
    body = bytes([len(body)]) + body
    return "hs1." + base64.urlsafe_b64encode(body + hashlib.sha256(body).digest()[:CHECKSUM]).decode().rstrip("=")


@unittest.skipUnless(os.geteuid() == 0, "network namespaces need root")
class Discovery(unittest.TestCase):
    def setUp(self):
        self.net = Net(4)
        self.net.__enter__()
        self.addCleanup(self.net.close)
        self.cluster = NetCluster(self.net)
        self.addCleanup(self.cluster.close)

    def start(self, count):
        nodes = self.cluster.nodes
        nodes[0].start()
        self.cluster.wait(nodes[0].answers, PATIENCE, "the first node answers")
        self.token = nodes[0].cli("token", "show").strip()
        for node in nodes[1:count]:
            node.start(join=self.token)
        self.cluster.wait(lambda: all(node.answers() for node in nodes[:count]), PATIENCE, "all answer")
        self.cluster.wait_members(count, PATIENCE)

    def renumber(self, box, address):
        self.net.renumber(box, address)
        self.cluster.nodes[box].moves_to(address)

    def capture(self, box):
        """What is said to the group on a box's network from now on, without a join of its own: a raw look."""
        with self.net.inside(box):
            ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        ear.bind(GROUP)
        ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP,
                       socket.inet_aton(GROUP[0]) + socket.inet_aton(self.net.address(box)))
        ear.settimeout(1)
        self.addCleanup(ear.close)
        return ear

    def test_a_token_with_wrong_addresses_lets_a_box_in(self):
        self.start(2)
        began = time.monotonic()
        third = self.cluster.nodes[2].start(join=rewritten(self.token, address="10.77.0.200"))
        self.cluster.wait(third.answers, PATIENCE, "the third box is in", every=0.02)
        print(f"let in after {time.monotonic() - began:.2f} s", flush=True)
        self.cluster.wait_members(3, PATIENCE)

    def test_a_wrong_or_revoked_secret_gets_nothing(self):
        self.start(1)
        ear = self.capture(2)
        wrong = self.cluster.nodes[2].start(join=rewritten(self.token, secret=b"x" * 16, address="10.77.0.200"))
        revoked = self.cluster.nodes[0].cli("token", "create", parse=True)
        self.cluster.nodes[0].cli("token", "revoke", revoked["id"])
        gone = self.cluster.nodes[3].start(join=rewritten(revoked["token"], address="10.77.0.200"))
        self.assertTrue(ear.recv(2048), "somebody asks")
        settle(4)
        for box in (wrong, gone):
            self.assertTrue(box.is_up(), "it goes on trying")
            self.assertFalse(box.answers())
            self.assertNotIn("local network answers", box.log(100))

    def test_who_asks_for_nothing_is_silent_and_deaf(self):
        self.start(1)
        quiet = self.cluster.nodes[1].start(join=rewritten(self.token, address="10.77.0.200"), extra=("--no-discovery",))
        settle(3)
        self.assertFalse(quiet.answers())
        quiet.kill_agent()
        ear = self.capture(2)
        self.cluster.nodes[2].start(join=self.token)
        self.cluster.wait_members(2, PATIENCE)
        with self.assertRaises(TimeoutError):
            ear.recv(2048)  # a cluster that is whole says nothing

    def test_four_boxes_with_new_addresses_find_each_other(self):
        self.start(4)
        for node in self.cluster.nodes:
            node.kill_box()
        for box in range(4):
            self.renumber(box, f"10.77.0.{101 + box}")
        self.shout_garbage(3)
        began = time.monotonic()
        for node in self.cluster.nodes:
            node.start()
        self.cluster.wait(lambda: all(len([m for m in self.cluster.members(n) if m["state"] == "alive"]) == 4
                                      for n in self.cluster.nodes), PATIENCE, "all see all", every=0.02)
        print(f"all see all after {time.monotonic() - began:.2f} s", flush=True)
        self.assertEqual({m["address"] for m in self.cluster.members()}, {f"10.77.0.{101 + box}:7700" for box in range(4)})

    def shout_garbage(self, box):
        """To the group, and to a box's gossip port: of all sizes, and some that begin as the real ones do."""
        draw = random.Random(1)
        with self.net.inside(box):
            mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(f"10.77.0.{101 + box}"))
        for i in range(500):
            mouth.sendto(bytes([1, 1 + i % 4]) + draw.randbytes(draw.randrange(1400)), GROUP)
        mouth.close()

    def test_two_clusters_on_one_network_keep_apart(self):
        self.start(2)
        other = self.cluster.nodes[2].start()
        self.cluster.wait(other.answers, PATIENCE, "another cluster forms")
        token = other.cli("token", "show").strip()
        fourth = self.cluster.nodes[3].start(join=rewritten(token, address=self.net.address(0)))
        self.cluster.wait(fourth.answers, PATIENCE, "it is let in by its own cluster, not the one at the token's address")
        self.cluster.wait(lambda: len(self.cluster.members(fourth)) == 2 and len(self.cluster.members(other)) == 2, PATIENCE,
                          "two and two")
        self.assertEqual(len(self.cluster.members(self.cluster.nodes[0])), 2)


if __name__ == "__main__":
    unittest.main()
