"""Boxes, agents and replicas that die: what is lost (nothing that was acknowledged) and what comes back (all of it)."""

import ipaddress
import os
import re
import shutil
import signal
import subprocess
import unittest

from cluster import Cluster, Node, is_running
from load import failures_after
from support import ClusterCase, PATIENCE, settle


class Losses(ClusterCase):
    FIRST = "127.2.4.1"

    def test_a_killed_box_is_replaced_under_load_and_comes_back_without_doubles(self):
        self.deploy_echo(replicas=3)
        self.wait_healthy("echo", 3)
        asked, victim = self.cluster.nodes[0], self.cluster.nodes[2]
        self.wait_door(asked)
        with self.load(asked) as load:
            settle(0.5)
            killed = victim.kill_box()
            self.cluster.wait(lambda: len({r["replica"] for r in self.cluster.healthy("echo", asked)
                                           if r["node"] != victim.name}) == 3, PATIENCE, "the lost replica is replaced")
            self.cluster.wait(lambda: self.cluster.status(asked)["nodes"] != 3 or any(
                m["state"] != "alive" for m in self.cluster.members(asked)), PATIENCE, "the loss is told")
            settle(0.5)
            result = load.stop()
        # "The first moments": until the loss is known. Idempotent requests are retried, so usually there is none at all.
        self.assertEqual(failures_after(result, killed, 0.3), 0, result["reasons"])
        self.assertGreater(result["ok"], 30)
        self.assertIn(victim.name, asked.cli("why", victim.name).splitlines()[0])
        victim.start()
        self.cluster.wait_members(3, PATIENCE)
        self.wait_healthy("echo", 3)
        self.cluster.wait_steady(PATIENCE)
        settle(1)
        self.wait_healthy("echo", 3)
        self.assertEqual(len(set(self.pids().values())), 3)

    def test_an_agent_that_is_killed_and_restarted_disturbs_no_replica_and_no_request(self):
        self.deploy_echo(replicas=6)
        self.wait_healthy("echo", 6)
        # A box that the tests before this one took away may still be in quarantine: it is used when that has ended.
        nodes = [n.name for n in self.cluster.nodes]
        self.cluster.wait(lambda: sorted(r["node"] for r in self.cluster.healthy("echo")) == sorted(nodes * 2), 90,
                          "two replicas on each box")
        self.wait_healthy("echo", 6)
        for number in (0, 1, 2):  # one of them is the controller
            node, asked = self.cluster.nodes[number], self.cluster.nodes[(number + 1) % 3]
            self.wait_door(asked)
            before = self.pids()
            with self.subTest(node=node.name), self.load(asked, rate=40) as load, self.load(node, rate=20) as own:
                node.kill_agent()
                settle(0.3)
                node.start()
                self.cluster.wait_members(3, PATIENCE)
                self.wait_healthy("echo", 6)
                self.cluster.wait_steady(PATIENCE)
                self.assert_none_failed(load.stop(), 5)
                self.assert_none_failed(own.stop(), 5)  # the door outlives the agent
                self.assertEqual(self.pids(), before)
                self.assertEqual({r["restarts"] for r in self.cluster.replicas()}, {0})

    def test_the_door_of_a_box_without_replicas_serves_on_while_its_agent_restarts(self):
        self.deploy_echo(replicas=1)
        self.wait_healthy("echo", 1)
        node = next(n for n in self.cluster.nodes if n.name != self.cluster.replicas()[0]["node"])
        self.wait_door(node)
        with self.load(node) as load:
            node.kill_agent()
            node.start()
            self.cluster.wait_members(3, PATIENCE)
            self.cluster.wait_steady(PATIENCE)
            settle(1)
            self.assert_none_failed(load.stop())

    def test_an_agent_whose_documents_are_lost_finds_the_others_and_stops_nothing(self):
        self.deploy_echo(replicas=6)
        self.wait_healthy("echo", 6)
        self.cluster.wait_steady(PATIENCE)
        before, node = self.pids(), self.cluster.nodes[2]
        node.kill_agent()
        for name in os.listdir(node.data):
            if name.startswith("state.db"):
                os.remove(os.path.join(node.data, name))
        node.start()
        self.cluster.wait_members(3, PATIENCE)
        self.cluster.wait_steady(PATIENCE)
        self.wait_healthy("echo", 6)
        self.assertEqual(self.pids(), before)
        stops = [e for e in self.events() if e["kind"] in ("plan.stop", "replica.draining") and
                 any(name in e["subject"] for name in before)]
        self.assertEqual(stops, [], "not even for a moment")

    def test_an_old_copy_of_a_box_s_identity_that_is_put_back_is_heard_again(self):
        self.deploy_echo(replicas=6)
        self.wait_healthy("echo", 6)
        before, node = self.pids(), self.cluster.nodes[2]
        path = os.path.join(node.data, "identity")
        with open(path, "rb") as file:
            old = file.read()

        def restart(until):
            node.kill_agent()
            self.cluster.wait(lambda: [m["state"] for m in self.cluster.members(self.cluster.nodes[0])
                                       if m["name"] == node.name] == ["agent-down"], PATIENCE, "its end is noticed")
            until()
            node.start()
            self.cluster.wait_members(3, PATIENCE)

        def put_back():
            with open(path, "wb") as file:
                file.write(old)

        def starts(text):
            return int(re.search(rb"^boot (\d+)$", text, re.M).group(1))

        def starts_now():
            with open(path, "rb") as file:
                return starts(file.read())
        restart(lambda: None)
        restart(put_back)
        self.cluster.wait_steady(PATIENCE)
        self.wait_healthy("echo", 6)
        self.assertEqual(self.pids(), before)
        self.cluster.wait(lambda: starts_now() > starts(old) + 1, PATIENCE, "its disk counts on from what others know")

    def test_of_a_copied_data_directory_the_newcomer_takes_another_id(self):
        # A box that was restarted a moment ago may have got none of them, and the fourth would get one.
        self.deploy_echo(replicas=3, more="x-http: {path: /}\nx-move: never\n")
        self.wait_healthy("echo", 3)
        self.cluster.wait_steady(PATIENCE)
        before = self.pids()
        leads = self.cluster.wait(lambda: [m["name"] for m in self.cluster.members() if "controller" in m["roles"]],
                                  PATIENCE, "one controls")
        original = next(n for n in self.cluster.nodes if n.name in leads)
        copy = Node(self.cluster, 9, ipaddress.ip_address(self.FIRST) + 14, {})
        subprocess.run(["cp", "-a", original.data, copy.data], check=True)
        self.cluster.nodes.append(copy)
        try:
            copy.start()
            self.cluster.wait_members(4, PATIENCE)
            self.cluster.wait_steady(PATIENCE)
            settle(2)
            self.wait_healthy("echo", 3)
            self.assertIn("this one takes a new id", copy.log())
            self.assertNotIn("takes a new id", original.log(1000))
            self.assertEqual([m["name"] for m in self.cluster.members() if "controller" in m["roles"]], leads)
            self.assertEqual(self.pids(), before)
            self.assertEqual({r["restarts"] for r in self.cluster.replicas()}, {0})
            copy.cli("leave", "--now", timeout=90)
        finally:
            copy.kill_box()
            self.cluster.nodes.remove(copy)

    def test_a_killed_replica_is_restarted_by_its_own_node_and_counted(self):
        self.deploy_echo(replicas=3)
        self.wait_healthy("echo", 3)
        self.wait_door(self.cluster.nodes[0])
        self.cluster.wait_steady(PATIENCE)
        before = {r["replica"]: r for r in self.cluster.replicas()}
        victim = self.cluster.replicas()[0]
        with self.load(self.cluster.nodes[0], rate=40) as load:
            os.kill(victim["pid"], signal.SIGKILL)

            def back():
                row = next(r for r in self.cluster.replicas() if r["replica"] == victim["replica"])
                return row["health"] == "healthy" and row["pid"] != victim["pid"] and row
            row = self.cluster.wait(back, PATIENCE, "the replica is back")
            result = load.stop()
        self.assertLessEqual(result["failed"], 1, result["reasons"])  # what was in flight on it
        self.assertEqual((row["node"], row["restarts"]), (victim["node"], 1))
        others = {r["replica"]: r for r in self.cluster.replicas() if r["replica"] != victim["replica"]}
        self.assertEqual(others, {name: r for name, r in before.items() if name != victim["replica"]})
        told = self.cluster.cli("why", victim["replica"])
        self.assertIn(victim["replica"], told.splitlines()[0])
        self.assertRegex(told, "(?i)signal 9|SIGKILL|killed")

    def test_a_stopped_agent_hands_its_work_over_or_keeps_it_but_loses_no_request(self):
        self.deploy_echo(replicas=3)
        self.wait_healthy("echo", 3)
        self.wait_door(self.cluster.nodes[0])
        with self.load(self.cluster.nodes[0], rate=40) as load:
            self.cluster.nodes[2].stop_agent()
            self.cluster.wait(lambda: [m["state"] for m in self.cluster.members(self.cluster.nodes[0])
                                       if m["name"] == self.cluster.nodes[2].name] != ["alive"], PATIENCE, "it has left")
            self.cluster.nodes[2].start()
            self.cluster.wait_members(3, PATIENCE)
            self.wait_healthy("echo", 3)
            settle(1)  # all that may be over in a quarter of a second
            self.assert_none_failed(load.stop())

    def test_requests_that_hang_on_a_box_that_fell_silent_are_answered_by_another(self):
        self.deploy_echo(replicas=3)
        self.wait_healthy("echo", 3)
        first, _, silent = self.cluster.nodes
        self.wait_door(first)
        with self.load(first, rate=40) as load:  # each request has 10 s
            settle(1)
            try:
                silent.signal_box(signal.SIGSTOP)
                self.cluster.wait(lambda: [m["state"] for m in self.cluster.members(first) if m["name"] == silent.name] ==
                                  ["unreachable"], PATIENCE, "its silence is noticed")
                settle(1)
                result = load.stop()
            finally:
                silent.signal_box(signal.SIGCONT)
        self.assert_none_failed(result)
        self.cluster.wait_members(3, PATIENCE)


class AllAtOnce(unittest.TestCase):
    def documents(self, node):
        return sorted((d["key"], d["stamp"]) for d in node.get("/v1/documents"))

    def test_all_boxes_killed_at_once_come_back_with_the_same_documents_also_at_new_addresses(self):
        case = ClusterCase()
        with Cluster(3, first="127.2.4.21", extra=("--set", "drain_wait=300")) as cluster:
            case.cluster = cluster
            cluster.start()
            cluster.wait_members(3, PATIENCE)
            case.deploy_echo(replicas=3)
            cluster.cli("scale", "echo=4")
            case.wait_healthy("echo", 4)
            cluster.wait(lambda: len({str(self.documents(n)) for n in cluster.nodes}) == 1, PATIENCE, "same documents")
            before = self.documents(cluster.nodes[0])
            for node in cluster.nodes:
                node.kill_agent()
            for node in cluster.nodes:
                node.kill_box()
            # The first two come back where they were, the third elsewhere and told of one member only.
            moved = cluster.nodes[2]
            moved.ip += 6
            moved.name = str(moved.ip)
            moved.address, moved.door = f"{moved.ip}:7700", f"{moved.ip}:8080"
            cluster.nodes[0].start()
            cluster.nodes[1].start()
            moved.start(join=cluster.nodes[0].address)
            cluster.wait_members(3, PATIENCE)
            for node in cluster.nodes:
                cluster.wait(lambda n=node: set(before) <= set(self.documents(n)), PATIENCE, "all documents are back")
                self.assertIn(moved.address, {m["address"] for m in cluster.members(node)})
                self.assertEqual(len(cluster.members(node)), 3, "the moved box is the same member")
            case.wait_healthy("echo", 4)
            cluster.wait_steady(PATIENCE)
            settle(1)
            case.wait_healthy("echo", 4)
            for row in cluster.replicas():
                self.assertTrue(is_running(row["pid"]))
            for node in cluster.nodes:
                case.wait_door(node)

    def test_all_agents_killed_at_once_find_their_work_and_start_none_though_one_comes_late(self):
        case = ClusterCase()
        with Cluster(3, first="127.2.4.41") as cluster:
            case.cluster = cluster
            cluster.start()
            cluster.wait_members(3, PATIENCE)
            case.deploy_echo(replicas=3)
            case.wait_healthy("echo", 3)
            cluster.wait_steady()
            settle(2.5)  # peers are kept lazily
            before = case.pids("echo")
            for node in cluster.nodes:
                node.kill_agent()
            cluster.nodes[0].start()
            cluster.nodes[1].start()
            settle(1.5)
            cluster.nodes[2].start()
            cluster.wait_members(3, PATIENCE)
            cluster.wait_steady(PATIENCE)
            self.assertEqual(case.pids("echo"), before)
            for node in cluster.nodes:
                # Its whole log: the deploy's three starts, and nothing that was too many.
                self.assertNotIn("plan.stop echo", node.log(10_000))

    def test_an_acknowledged_write_survives_the_box_that_took_it_and_its_disk(self):
        case = ClusterCase()
        with Cluster(3, first="127.2.4.31", extra=("--set", "drain_wait=300")) as cluster:
            case.cluster = cluster
            cluster.start()
            cluster.wait_members(3, PATIENCE)
            path = case.compose(case.echo_service(replicas=2, more="x-http: {path: /}\n"))
            taker = cluster.nodes[0]
            taker.cli("deploy", "-f", path, "--no-wait")
            taker.cli("scale", "echo=3")
            taker.kill_box()
            shutil.rmtree(taker.data)
            rest = cluster.nodes[1:]
            for node in rest:
                self.assertEqual([s["desired"] for s in node.cli("ls", parse=True)], [3])
            cluster.wait(lambda: len([r for r in cluster.healthy("echo", rest[0]) if r["node"] != taker.name]) == 3, PATIENCE,
                         "what was asked for runs on the others")
            # All of the rest die as well: it is on their disks.
            for node in rest:
                node.kill_box()
            for node in rest:
                node.start()
            cluster.wait(lambda: [s["desired"] for s in rest[1].cli("ls", parse=True)] == [3], PATIENCE, "still asked for")


if __name__ == "__main__":
    unittest.main()
