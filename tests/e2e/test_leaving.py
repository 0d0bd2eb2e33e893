"""Nodes that go: by their own wish, by others' wish, and two that have one name."""

import subprocess
import unittest

from cluster import Cluster, processes_of
from support import ClusterCase, PATIENCE, get, run


def states(cluster, node):
    return {m["name"]: m["state"] for m in cluster.members(node)}


class Leaving(ClusterCase):
    FIRST = "127.2.6.1"

    def test_a_node_that_leaves_gives_its_work_away_without_a_failed_request_and_ends(self):
        self.deploy_echo(replicas=3)
        self.wait_healthy("echo", 3)
        first, _, last = self.cluster.nodes
        self.wait_door(first)
        with self.load(first) as load:
            done = run(self.cluster, "leave", "--data", last.data, timeout=90)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"{last.name} has left the cluster", done.stdout)
            self.assertEqual(last.process.wait(PATIENCE), 0, last.log())
            self.wait_healthy("echo", 3)
            self.assert_none_failed(load.stop())
        self.assertEqual(processes_of(last.data), [], "neither work nor HAProxy is left there")
        self.cluster.wait(lambda: states(self.cluster, first)[last.name] == "left", PATIENCE, "the others know")
        self.assertIn("said goodbye", first.cli("why", last.name).splitlines()[0])
        last.start()
        self.cluster.wait_members(3, PATIENCE)
        self.cluster.cli("scale", "echo=6")
        self.cluster.wait(lambda: any(r["node"] == last.name for r in self.cluster.healthy("echo")), PATIENCE,
                          "it gets work again")


class NotLeaving(unittest.TestCase):
    def leaving(self, cluster):
        """A node that was asked to leave and cannot, since its work goes nowhere else."""
        case = ClusterCase()
        case.cluster = cluster.start()
        case.deploy_echo(replicas=1)
        node = cluster.nodes[0]
        asked = subprocess.Popen([cluster.binary, "leave", "--data", node.data], stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE, text=True)
        self.addCleanup(asked.kill)
        cluster.wait(lambda: node.get(f"/v1/inspect/{node.name}")["drained"], PATIENCE, "it is drained")
        return node, asked

    def test_a_node_that_is_killed_before_it_could_go_did_not_leave(self):
        with Cluster(1, first="127.2.6.51", extra=("--set", "drain_wait=300")) as cluster:
            node, asked = self.leaving(cluster)
            node.kill_agent()
            out, err = asked.communicate(timeout=PATIENCE)
            self.assertEqual(asked.returncode, 1, out + err)
            self.assertIn("it said no goodbye", err)

    def test_a_node_whose_drain_is_taken_back_stays(self):
        with Cluster(1, first="127.2.6.61", extra=("--set", "drain_wait=300")) as cluster:
            node, asked = self.leaving(cluster)
            node.cli("drain", "--undo", node.name)
            out, err = asked.communicate(timeout=PATIENCE)
            self.assertEqual(asked.returncode, 1, out + err)
            self.assertIn("its drain was taken back", err)


class Alone(unittest.TestCase):
    def test_the_last_node_leaves_when_told_to_stop_its_work(self):
        with Cluster(1, first="127.2.6.11", extra=("--set", "drain_wait=300")) as cluster:
            case = ClusterCase()
            case.cluster = cluster.start()
            case.deploy_echo(replicas=2)
            done = run(cluster, "leave", "--now", "--data", cluster.nodes[0].data)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(cluster.nodes[0].process.wait(PATIENCE), 0, cluster.nodes[0].log())
            self.assertEqual(processes_of(cluster.nodes[0].data), [])


class Removed(unittest.TestCase):
    def case(self, cluster):
        case = ClusterCase()
        case.cluster = cluster.start()
        cluster.wait_members(3, PATIENCE)
        case.deploy_echo(replicas=3)
        case.wait_healthy("echo", 3)
        return case

    def test_a_removed_box_is_heard_no_more_and_its_door_is_turned_away(self):
        with Cluster(3, first="127.2.6.21") as cluster:
            case = self.case(cluster)
            first, second, last = cluster.nodes
            case.wait_door(last)
            refused = run(cluster, "nodes", "rm", last.name, "--data", first.data)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("--force", refused.stderr)
            self.assertEqual(set(states(cluster, first).values()), {"alive"}, "nothing was changed")

            last.kill_agent()  # its HAProxy and its work go on
            cluster.wait(lambda: states(cluster, first)[last.name] != "alive", PATIENCE, "it is missed")
            self.assertEqual({get(last.door)[0] for _ in range(9)}, {200}, "its door serves on")
            removed = run(cluster, "nodes", "rm", last.name, "--data", first.data)
            self.assertEqual(removed.returncode, 0, removed.stderr)
            for node in (first, second):
                cluster.wait(lambda n=node: set(states(cluster, n)) == {first.name, second.name}, PATIENCE,
                             "it is listed no more")
            # It may still ask a replica of its own; the other boxes turn its door away.
            cluster.wait(lambda: 403 in {get(last.door)[0] for _ in range(9)}, PATIENCE, "its door is turned away")
            case.wait_door(first)

            last.start()  # its disk does not know: the others tell it, and it stops what it ran
            self.assertEqual(last.process.wait(PATIENCE), 1, last.log())
            self.assertIn("was removed from cluster", last.log())
            self.assertEqual(processes_of(last.data), [])
            last.process = None
            cluster.wait(lambda: len(cluster.healthy("echo", first)) == 3, PATIENCE, "its work was replaced")
            for node in (first, second):
                self.assertNotIn(last.name, states(cluster, node))
                self.assertNotIn(last.name, {r["node"] for r in cluster.replicas("echo", node)})

    def test_a_removed_node_that_is_here_stops_its_work_and_ends_saying_why(self):
        with Cluster(3, first="127.2.6.31", extra=("--set", "drain_wait=300")) as cluster:
            case = self.case(cluster)
            first, second, last = cluster.nodes
            cluster.cli("nodes", "rm", "--force", last.name, node=first)
            self.assertEqual(last.process.wait(PATIENCE), 1, last.log())
            self.assertIn("was removed from cluster", last.log())
            self.assertEqual(processes_of(last.data), [])
            last.process = None
            case.wait_healthy("echo", 3)
            self.assertEqual({r["node"] for r in cluster.replicas("echo")}, {first.name, second.name})
            again = run(cluster, "up", "--data", last.data, "--listen", last.address, "--door", last.door)
            self.assertEqual(again.returncode, 1)
            self.assertIn("was removed from cluster", again.stderr)


class Names(unittest.TestCase):
    def test_of_two_nodes_with_one_name_the_second_gets_another_and_says_so(self):
        with Cluster(2, first="127.2.6.41", extra=("--name", "box")) as cluster:
            cluster.start()
            cluster.wait_members(2, PATIENCE)
            first, second = cluster.nodes

            def names():
                return {m["address"].split(":")[0]: m["name"] for m in cluster.members(first)}
            cluster.wait(lambda: len(set(names().values())) == 2, PATIENCE, "the names differ")
            self.assertEqual(names()[first.name], "box")
            self.assertRegex(names()[second.name], r"^box-[0-9a-f]{8}$")
            self.assertIn(f"the name box belongs to the node at {first.address}", second.log(100))
