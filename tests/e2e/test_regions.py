"""A cluster of more members than one region holds: what people ask is answered for all regions, from any node."""

import unittest

from cluster import Cluster
from support import ClusterCase, PATIENCE


class Regions(unittest.TestCase):
    def test_every_node_answers_for_all_regions_and_a_lost_one_is_replaced_by_the_others(self):
        with Cluster(6, first="127.2.19.1", extra=("--set", "region_max=4", "--set", "drain_wait=300")) as cluster:
            case = ClusterCase()
            case.cluster = cluster.start()
            cluster.wait_members(6, PATIENCE)
            case.deploy_echo(replicas=6)
            case.wait_healthy("echo", 6)
            first, last = cluster.nodes[0], cluster.nodes[-1]
            cluster.wait(lambda: all(cluster.status(n)["regions"] > 1 and cluster.status(n)["steady"]
                                     for n in cluster.nodes), PATIENCE, "several regions, all steady")
            controllers = [m["name"] for m in cluster.members(first) if "controller" in m["roles"]]
            self.assertEqual(len(controllers), cluster.status(first)["regions"], "one controller for each region")

            for node in (first, last):
                rows = cluster.replicas("echo", node)
                self.assertEqual({r["node"] for r in rows}, {n.name for n in cluster.nodes}, "ps, from any node")
                self.assertIn("6", node.cli("ls"))
                for row in rows:
                    self.assertTrue(node.cli("why", row["replica"]).strip())
                    self.assertIn(row["node"], node.cli("inspect", row["replica"]))
                logs = node.cli("logs", "echo")
                for row in rows:
                    self.assertIn(row["replica"], logs, "logs of replicas in every region")

            # Of one region all boxes go at once.
            regions = {m["name"]: m["region"] for m in cluster.members(first)}
            gone = [n for n in cluster.nodes if regions[n.name] != regions[first.name]]
            names = {n.name for n in cluster.nodes if n not in gone}
            for node in gone:
                node.kill_box()
            cluster.wait(lambda: len([r for r in cluster.replicas("echo", first)
                                      if r["health"] == "healthy" and r["node"] in names]) == 6,
                         PATIENCE, "the others have taken over its share")


if __name__ == "__main__":
    unittest.main()
