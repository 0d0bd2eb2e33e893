"""Boxes that do not reach each other, in network namespaces: a third box carries what they have to say."""

import contextlib
import http.client
import unittest

from netcase import NetCase
from support import PATIENCE, settle


class PartialCuts(NetCase):
    SIZE = 3
    wish = 100  # a different one each time

    def losses(self, since):
        return [e for e in self.events() if e["at_ms"] >= since and
                (e["kind"].startswith("member.") or e["kind"].startswith("plan.")) and e["kind"] != "member.alive"]

    def check_all_flows(self, through):
        """Between boxes 0 and 1, over box 2: requests, API calls, logs, wishes."""
        a, b = self.cluster.nodes[0], self.cluster.nodes[1]
        self.cluster.wait(lambda: self.ask(0)["node"] == b.name, PATIENCE, "the door of 0 reaches the work on 1")
        self.cluster.wait(lambda: self.way(0, 1) == through and self.way(1, 0) == through, PATIENCE, f"both go {through}")
        rows = self.cluster.wait(lambda: (told := a.get(f"/v1/links?node={b.name}")) and len(told) == 2 and
                                 all("round_trip_ms" in r for r in told) and told, PATIENCE,
                                 "1 tells 0 what it measured itself")
        self.assertEqual({r["to"]: r["way"] for r in rows}, {a.name: through, self.cluster.nodes[2].name: "direct"})
        self.cluster.wait(lambda: "listens" in a.cli("logs", "echo", "-n", "50"), PATIENCE, "0 shows the log of 1's replica")
        PartialCuts.wish += 1
        a.cli("quota", "set", "services", "--replicas", str(self.wish))
        self.cluster.wait(lambda: [q["replicas"] for q in b.get("/v1/quotas")] == [self.wish], PATIENCE,
                          "1 hears what was asked for at 0")

    def test_a_cut_pair_is_joined_by_the_third_box_and_healed(self):
        self.deploy_on(1)
        self.cluster.wait(lambda: self.ask(0), PATIENCE, "the door of 0 serves")
        self.cluster.wait_steady(PATIENCE)
        pids, since = self.pids(), self.newest_event()
        third = self.cluster.nodes[2].name
        self.net.cut_both(0, 1)
        self.check_all_flows(f"through {third}")
        # Code gets through too, and a rollout goes on.
        self.assertEqual(self.losses(since), [])
        self.deploy_on(1, version="2")
        self.cluster.wait(lambda: self.ask(0)["version"] == "2", PATIENCE, "the new version serves")
        shown = self.cluster.nodes[0].cli("nodes", "--links")
        self.assertIn(f"through {third}", shown)
        self.assertEqual(len(shown.splitlines()), 1 + 6, shown)
        since, pids = self.newest_event(), self.pids()
        self.net.mend()
        self.cluster.wait(lambda: self.way(0, 1) == "direct" and self.way(1, 0) == "direct", PATIENCE, "direct again")
        self.cluster.wait(lambda: self.ask(0), PATIENCE, "the door serves on")
        self.cluster.wait_steady(PATIENCE)
        self.assertEqual(self.losses(since), [])
        self.assertEqual(self.pids(), pids)

    def test_names_of_services_are_for_processes_on_the_boxes(self):
        self.deploy_on(1)
        self.cluster.wait(lambda: self.ask(0), PATIENCE, "the door of 0 serves")

        def status(source, host, path="/", door=1):
            with self.net.inside(source):
                connection = http.client.HTTPConnection(*self.cluster.nodes[door].door.split(":"), timeout=2)
                connection.connect()
            with contextlib.closing(connection):
                connection.request("GET", path, headers={"Host": host})
                return connection.getresponse().status

        self.assertEqual(status(1, "echo.internal"), 200)
        self.assertEqual(status(2, "echo.internal", door=2), 200, "its own, though it has no work yet")
        # A box without work is a stranger to this door, as a client anywhere is.
        self.assertEqual(status(2, "anything"), 200)
        self.assertEqual(status(2, "echo.internal"), 404)
        self.assertEqual(status(2, "ECHO.internal:80"), 404)
        self.assertEqual(status(2, "echo.internal/x"), 400)

    def test_one_direction_is_enough_to_go_round(self):
        self.deploy_on(1)
        self.cluster.wait(lambda: self.ask(0), PATIENCE, "the door of 0 serves")
        self.cluster.wait_steady(PATIENCE)
        for a, b in ((0, 1), (1, 0)):
            with self.subTest(cut=f"{a} to {b}"):
                since = self.newest_event()
                self.net.cut(a, b)
                self.check_all_flows(f"through {self.cluster.nodes[2].name}")
                names = self.cluster.nodes[a].name, self.cluster.nodes[b].name
                self.cluster.wait(lambda: next(r for r in self.cluster.nodes[a].get("/v1/links") if
                                               (r["from"], r["to"]) == names).get("one_way"), PATIENCE,
                                  "what comes back arrives directly")
                self.assertEqual(self.losses(since), [])
                self.net.mend()
                self.cluster.wait(lambda: self.way(0, 1) == "direct" and self.way(1, 0) == "direct", PATIENCE, "healed")

    def test_a_relay_that_dies_leaves_each_side_governing_itself_and_its_return_joins_them(self):
        self.deploy_on(1)
        self.cluster.wait_steady(PATIENCE)
        self.net.cut_both(0, 1)
        self.cluster.wait(lambda: self.way(0, 1) != "direct", PATIENCE, "a detour")
        self.cluster.nodes[2].kill_box()
        settle(3)
        self.cluster.nodes[2].start()
        self.cluster.wait_members(3, PATIENCE)
        self.cluster.wait(lambda: self.ask(0), PATIENCE, "the door of 0 reaches 1 over the box that is back")


if __name__ == "__main__":
    unittest.main()
