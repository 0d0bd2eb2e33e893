"""Who does what: roles that labels bar, and what happens when the node that has one dies."""

import unittest

from cluster import Cluster
from support import ClusterCase, PATIENCE

# n0 may do anything, n1 must not control, n2 is for work elsewhere, n3 has no door and watches nobody.
LABELS = [{}, {"homeostat.controller": "never"}, {"homeostat.worker": "never"},
          {"homeostat.door": "never", "homeostat.monitor": "never"}]


class Roles(unittest.TestCase):
    def test_labels_bar_roles_and_a_dead_controllers_are_taken_over_without_touching_work(self):
        with Cluster(4, first="127.2.14.1", labels=lambda i: LABELS[i], extra=("--set", "drain_wait=300")) as cluster:
            case = ClusterCase()
            case.cluster = cluster.start()
            cluster.wait_members(4, PATIENCE)
            case.deploy_echo(replicas=6)
            case.wait_healthy("echo", 6)

            def node(name, at):
                return next(m for m in cluster.members(at) if m["name"] == name)

            def holder(role, at):
                return next((m for m in cluster.members(at) if m["state"] == "alive" and role in m["roles"]), None)

            first, second, third, fourth = cluster.nodes
            self.assertEqual({r["node"] for r in cluster.replicas("echo", first)}, {n.name for n in (first, second, fourth)})
            cluster.wait(lambda: "worker" not in node(third.name, first)["roles"], PATIENCE, "it knows what it is not")
            self.assertNotIn("door", node(fourth.name, first)["roles"])
            self.assertNotIn("monitor", node(fourth.name, first)["roles"])

            def settled():
                controller, standby = holder("controller", second), holder("standby", second)
                told = controller and standby and set(controller["roles"]) == set(controller.get("roles_since", ()))
                return told and (controller, standby)
            controller, standby = cluster.wait(settled, PATIENCE, "control and its stand-by are told with their times")
            self.assertNotIn(second.name, (controller["name"], standby["name"]))
            self.assertIn("took control of region 0", second.cli("why", controller["name"]).splitlines()[0])
            self.assertIn(controller["since"], second.cli("nodes"))
            self.assertIn("1 of 1 controller", second.cli("status"))

            lost = next(n for n in cluster.nodes if n.name == controller["name"])
            before = {(r["replica"], r["pid"]) for r in cluster.replicas("echo", second) if r["node"] != lost.name}
            lost.kill_agent()
            cluster.wait(lambda: (holder("controller", second) or {}).get("name") == standby["name"], PATIENCE,
                         "the stand-by controls")
            why = second.cli("why", standby["name"]).splitlines()[0]
            self.assertIn(f"was standing by; {controller['name']}, which had it, is agent-down", why)
            cluster.wait(lambda: "first plan of term" in second.cli("events", standby["name"]), PATIENCE, "it has planned")
            cluster.cli("scale", "echo=7", node=second)
            lost.start()
            cluster.wait_members(4, PATIENCE)
            case.wait_healthy("echo", 7)
            after = {(r["replica"], r["pid"]) for r in cluster.replicas("echo", second)}
            self.assertLessEqual(before, after, "nothing was restarted or moved by the change of control")


if __name__ == "__main__":
    unittest.main()
