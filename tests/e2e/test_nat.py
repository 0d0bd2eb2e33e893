"""A box behind a router with masquerading NAT: nobody can connect to it, and it is a member like the others."""

import http.client
import socket
import threading
import time
import unittest

from netcase import NetCase
from support import PATIENCE

HIDDEN = 5  # the box behind NAT


class BehindNat(NetCase):
    SIZE, NAT = 6, 1

    def relays(self):
        """Numbers of the boxes to which the hidden one keeps lines."""
        rows = self.cluster.nodes[HIDDEN].get("/v1/links")
        names = {row["from"] for row in rows if row["to"] == self.hidden.name and row["way"] == "line"}
        return [node.number for node in self.cluster.nodes if node.name in names]

    def wait_relays(self):
        return self.cluster.wait(lambda: len(self.relays()) == 3 and self.relays(), PATIENCE, "three relays")

    def relay_between(self, box):
        """The list of the relay over which a box reaches the hidden one, or an empty one."""
        return [r for r in self.relays() if self.way(box, HIDDEN) == f"through {self.cluster.nodes[r].name}"]

    @property
    def hidden(self):
        return self.cluster.nodes[HIDDEN]

    def gone_by(self, box, since):
        """What is known on a box of others that took the hidden one for gone."""
        events = self.cluster.cli("events", "-n", "1000", node=self.cluster.nodes[box], parse=True)
        return [e for e in events if e["at_ms"] >= since and e["subject"] == self.hidden.name and
                e["kind"] in ("member.unreachable", "member.agent-down", "member.dead")]

    def test_nobody_can_connect_to_it(self):
        with self.net.inside(0):
            stranger = socket.socket()
        stranger.settimeout(1)
        with stranger, self.assertRaises(OSError):
            stranger.connect((self.hidden.name, self.cluster.port))

    def test_its_work_serves_at_all_doors_and_its_door_reaches_all_work(self):
        since = self.newest_event()
        self.deploy_on(HIDDEN)
        for box in range(self.SIZE):
            self.cluster.wait(lambda: self.ask(box)["node"] == self.hidden.name, PATIENCE, f"the door of {box} serves")
        self.deploy_on(1, version="2")
        self.cluster.wait(lambda: self.ask(HIDDEN)["version"] == "2", PATIENCE, "its own door reaches the work on 1")
        self.cluster.wait_steady(PATIENCE)
        self.assertEqual(self.gone_by(HIDDEN, since), [])

    def test_what_is_said_of_ways_to_it(self):
        relays = self.wait_relays()
        for box in range(HIDDEN):
            way = "line" if box in relays else "through "
            self.cluster.wait(lambda: self.way(box, HIDDEN).startswith(way), PATIENCE, f"{box} goes {way}")
            self.assertEqual(self.way(HIDDEN, box), "direct")
        shown = self.cluster.nodes[0].cli("nodes", "--links")
        self.assertEqual(sum(" line " in line for line in shown.splitlines()), 3, shown)

    def test_calls_logs_bundles_and_wishes_get_through(self):
        far = next(box for box in range(HIDDEN) if box not in self.wait_relays())
        node = self.cluster.nodes[far]
        # Code that only the hidden box has at first goes to the one that runs it.
        where = f'x-http: {{path: /}}\ndeploy:\n  replicas: 2\n  placement: {{constraints: ["node.hostname != {node.name}"]}}\n'
        service = self.echo_service(replicas=2, version="nat", more=where).replace("    deploy: {replicas: 2}\n", "")
        self.cluster.cli("deploy", "-f", self.compose(service), node=self.hidden, timeout=120)
        self.cluster.wait(lambda: self.ask(far)["version"] == "nat", PATIENCE, "code from the hidden box runs elsewhere")
        self.deploy_on(HIDDEN)
        self.cluster.wait(lambda: "listens" in node.cli("logs", "echo", "-n", "50"), PATIENCE, "its replica's log, elsewhere")
        self.cluster.wait(lambda: all("round_trip_ms" in row for row in node.get(f"/v1/links?node={self.hidden.name}")), PATIENCE,
                          "it tells what it measured itself")
        for asked, told, wish in ((node, self.hidden, 71), (self.hidden, node, 72)):
            asked.cli("quota", "set", "services", "--replicas", str(wish))
            self.cluster.wait(lambda: [q["replicas"] for q in told.get("/v1/quotas")] == [wish], PATIENCE, "it is known there")

    def test_another_relay_takes_over_when_one_is_unplugged(self):
        self.deploy_on(HIDDEN)
        far = next(box for box in range(HIDDEN) if box not in self.wait_relays())
        self.cluster.wait(lambda: self.ask(far), PATIENCE, "the door serves")
        self.cluster.wait_steady(PATIENCE)
        [relay] = self.cluster.wait(lambda: self.relay_between(far), PATIENCE, "a way over one relay")
        through = self.way(far, HIDDEN)
        since, served, ends = self.newest_event(), [], threading.Event()

        def keep_asking():
            while not ends.is_set():
                try:
                    self.ask(far, timeout=0.3)
                    served.append(time.monotonic())
                except (OSError, http.client.HTTPException):
                    pass
                time.sleep(0.02)

        asker = threading.Thread(target=keep_asking)
        asker.start()
        try:
            time.sleep(1)
            self.net.unplug(relay)
            others = [box for box in range(self.SIZE) if box != relay]
            self.cluster.wait(lambda: relay not in self.relays() and len(self.relays()) == 3, PATIENCE, "a new relay")
            self.cluster.wait(lambda: self.way(far, HIDDEN) not in ("direct", through), PATIENCE, "another way")
            time.sleep(1)
        finally:
            ends.set()
            asker.join()
        gaps = sorted(b - a for a, b in zip(served, served[1:]))
        print(f"(longest without an answer: {gaps[-1]:.2f} s) ", end="")
        self.assertLess(gaps[-1], 10)
        for box in others:
            states = {m["name"]: m["state"] for m in self.cluster.members(self.cluster.nodes[box])}
            self.assertEqual(states[self.hidden.name], "alive", box)
        self.assertEqual(self.gone_by(far, since), [])


if __name__ == "__main__":
    unittest.main()
