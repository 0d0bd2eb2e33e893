"""Growing, shrinking and replacing the whole cluster under load, and what a cut-off, skewed or poisoned box can do."""

import contextlib
import os
import random
import shutil
import sqlite3
import unittest

from cluster import Cluster
from skew import Clocks
from support import ClusterCase, PATIENCE, get, run, settle


def counts(cluster, service, node=None):
    """Replicas by node, of the nodes that run."""
    per_node = {n.name: 0 for n in cluster.up_nodes()}
    for row in cluster.replicas(service, node):
        per_node[row["node"]] = per_node.get(row["node"], 0) + 1
    return per_node


class Balance(ClusterCase):
    SIZE, FIRST = 3, "127.2.12.1"

    def test_a_box_that_may_take_work_is_used_without_a_failed_request_and_says_why(self):
        self.deploy_echo(replicas=6)
        self.wait_healthy("echo", 6)
        empty, asked = self.cluster.nodes[2], self.cluster.nodes[0]
        self.cluster.cli("drain", empty.name)
        self.cluster.wait(lambda: counts(self.cluster, "echo")[empty.name] == 0, PATIENCE, "the box is empty")
        self.wait_healthy("echo", 6)
        self.wait_door(asked)
        with self.load(asked) as load:
            self.cluster.cli("drain", "--undo", empty.name)
            self.cluster.wait(lambda: set(counts(self.cluster, "echo").values()) == {2} and
                              len(self.cluster.healthy("echo")) == 6, PATIENCE, "two replicas on each box")
            self.cluster.wait_steady()
            result = load.stop()
        self.assert_none_failed(result)
        moves = [e for e in self.events() if e["kind"] == "plan.move"]
        self.assertEqual(len(moves), 2, moves)
        for move in moves:
            self.assertIn("moved here from", move["cause"])
        moved = next(r["replica"] for r in self.cluster.replicas("echo") if r["node"] == empty.name)
        self.assertIn("moved here from", self.cluster.cli("why", moved))

    def test_a_box_that_returns_serves_with_what_it_brings_back(self):
        self.deploy_echo(replicas=6)
        self.wait_healthy("echo", 6)
        away, asked = self.cluster.nodes[2], self.cluster.nodes[0]
        away.kill_box()
        self.cluster.wait(lambda: len([r for r in self.cluster.healthy("echo", asked) if r["node"] != away.name]) == 6,
                          PATIENCE, "its work is replaced")
        self.wait_door(asked)
        with self.load(asked) as load:
            away.start()
            self.cluster.wait_members(3, PATIENCE)
            self.cluster.wait(lambda: set(counts(self.cluster, "echo").values()) == {2} and
                              len(self.cluster.healthy("echo")) == 6, PATIENCE, "two replicas on each box")
            self.cluster.wait_steady()
            self.assert_none_failed(load.stop())

    def test_work_that_is_not_to_move_stays(self):
        self.deploy_echo(replicas=6, more="x-move: never\n")
        self.wait_healthy("echo", 6)
        empty = self.cluster.nodes[2]
        self.cluster.cli("drain", empty.name)
        self.cluster.wait(lambda: counts(self.cluster, "echo")[empty.name] == 0, PATIENCE, "the box is empty")
        self.wait_healthy("echo", 6)
        before = self.pids("echo")
        self.cluster.cli("drain", "--undo", empty.name)
        self.deploy_canary()
        self.assertEqual(self.pids("echo"), before)

    def deploy_canary(self):
        """Something else that the returned box gets: the controller has looked at it by then."""
        self.cluster.deploy(self.compose(self.echo_service("canary", 3), name="canary"))
        self.wait_healthy("canary", 3)
        self.cluster.wait_steady()


class ReplacedOneByOne(unittest.TestCase):
    """Every box of the cluster is replaced by a new one, with its work and documents, while requests go on."""

    def test_no_box_of_the_first_ones_is_needed(self):
        with Cluster(6, first="127.2.12.11", extra=("--set", "drain_wait=300")) as cluster:
            old, new = cluster.nodes[:3], cluster.nodes[3:]
            cluster.nodes = old
            cluster.start()
            cluster.wait_members(3, PATIENCE)
            helper = ClusterCase()
            helper.cluster = cluster
            helper.deploy_echo(replicas=4)
            helper.wait_healthy("echo", 4)
            key = cluster.cli("token", "create", "--api").strip()
            for going, coming in zip(old, new):
                cluster.nodes = cluster.nodes + [coming]
                # The first token names boxes that have left by now.
                coming.start(join=cluster.cli("token", "create", node=cluster.nodes[0]).strip())
                cluster.wait_members(4, PATIENCE)
                cluster.wait_steady()
                helper.wait_door(coming)
                with helper.load(coming) as load:
                    cluster.cli("leave", node=going)
                    cluster.wait(lambda g=going: not g.is_up(), PATIENCE, "it has left")
                    cluster.nodes = [n for n in cluster.nodes if n is not going]
                    cluster.wait_members(3, PATIENCE)
                    helper.wait_healthy("echo", 4)
                    helper.assert_none_failed(load.stop())
            self.assertEqual(cluster.nodes, new)
            cluster.wait_steady()
            # The first boxes' documents are here: a token they made opens the API of a box that came last.
            done = run(cluster, "ls", "--addr", new[-1].address, env={"HOMEOSTAT_TOKEN": key})
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn("echo", done.stdout)
            cluster.cli("scale", "echo=2", node=new[-1])
            helper.wait_healthy("echo", 2)


class PowerCycle(unittest.TestCase):
    def test_all_boxes_go_off_and_on_in_random_order(self):
        rng = random.Random(7)
        with Cluster(4, first="127.2.12.21", extra=("--set", "drain_wait=300")) as cluster:
            cluster.start()
            cluster.wait_members(4, PATIENCE)
            helper = ClusterCase()
            helper.cluster = cluster
            helper.deploy_echo(replicas=4)
            helper.wait_healthy("echo", 4)
            for _ in range(2):
                for node in rng.sample(cluster.nodes, 4):
                    node.kill_box()
                for node in rng.sample(cluster.nodes, 4):
                    node.start()
                    cluster.wait(node.answers, PATIENCE, f"{node.name} answers")
                cluster.wait_members(4, PATIENCE)
                helper.wait_healthy("echo", 4)
                cluster.wait_steady()
            self.assertEqual(set(counts(cluster, "echo").values()), {1})


class Skewed(unittest.TestCase):
    def test_neither_a_clock_a_year_ahead_nor_one_a_day_behind_wins(self):
        with Cluster(4, first="127.2.12.31", extra=("--set", "drain_wait=300")) as cluster:
            clocks = Clocks(cluster.directory)
            good, ahead, behind = cluster.nodes[:2], cluster.nodes[2], cluster.nodes[3]
            cluster.nodes = good
            cluster.start()
            cluster.nodes = [*good, ahead, behind]
            for node, skew in ((ahead, 365 * 86400), (behind, -86400)):
                clocks.set(node.name, skew)
                node.env = clocks.env(node.name)
                node.start(join=cluster.token)
                cluster.wait(node.answers, PATIENCE, f"{node.name} answers")
            cluster.wait_members(4, PATIENCE)
            helper = ClusterCase()
            helper.cluster = cluster
            helper.deploy_echo(replicas=1)
            helper.wait_healthy("echo", 1)
            # Each word is the last one said, wherever it was said and whatever that box's calendar says.
            for node, count in ((ahead, 3), (good[0], 2), (behind, 4), (good[1], 1), (behind, 2), (ahead, 1), (good[0], 3)):
                cluster.cli("scale", f"echo={count}", node=node)
                helper.wait_healthy("echo", count)
            self.assertEqual(cluster.cli("inspect", "echo", parse=True).get("conflicts", []), [])


class LongAway(unittest.TestCase):
    """A box comes back after three months with a dead clock battery: all others' calendars have gone on, its own went back
    to the year 2000. Certificates have no dates (docs/decisions/certificates-without-dates.md), so none has expired."""

    DAYS = 90

    def test_it_is_let_in_and_what_was_removed_meanwhile_stays_removed(self):
        with Cluster(3, first="127.2.12.61", extra=("--set", "drain_wait=300")) as cluster:
            clocks = Clocks(cluster.directory)
            for node in cluster.nodes:
                node.env = clocks.env(node.name)
            cluster.start()
            cluster.wait_members(3, PATIENCE)
            helper = ClusterCase()
            helper.cluster = cluster
            helper.deploy_echo(replicas=3)
            cluster.deploy(helper.compose(helper.echo_service("gone", 2), name="old"))
            helper.wait_healthy("gone", 2)
            here, away = cluster.nodes[:2], cluster.nodes[2]
            away.kill_box()
            cluster.nodes = here
            cluster.cli("rm", "old")
            cluster.cli("scale", "echo=2")
            helper.wait_healthy("echo", 2)
            for node in here:
                node.stop_agent()
                clocks.set(node.name, self.DAYS * 86400)
                node.start()
            cluster.wait_members(2, PATIENCE)
            helper.deploy_echo(replicas=3, version="2")
            clocks.set(away.name, -25 * 365 * 86400)
            cluster.nodes = [*here, away]
            away.start()
            cluster.wait_members(3, PATIENCE)
            cluster.wait(lambda: {s["stack"] for s in away.get("/v1/stacks")} == {"test"}, PATIENCE,
                         "it forgets what was removed")
            cluster.wait_steady(PATIENCE)
            helper.wait_healthy("echo", 2)
            self.assertEqual(cluster.replicas("gone"), [])
            for node in cluster.nodes:
                self.assertEqual({s["stack"] for s in node.get("/v1/stacks")}, {"test"})
                self.assertEqual(helper.echo(node)["version"], "2")


class WiredTogether(unittest.TestCase):
    def test_two_clusters_that_find_each_other_at_known_addresses_stay_apart(self):
        with Cluster(2, first="127.2.12.71", extra=("--set", "drain_wait=300")) as ours, \
             Cluster(2, first="127.2.12.81", extra=("--set", "drain_wait=300")) as theirs:
            for cluster, name in ((ours, "ours"), (theirs, "theirs")):
                cluster.start()
                cluster.wait_members(2, PATIENCE)
                helper = ClusterCase()
                helper.cluster = cluster
                cluster.deploy(helper.compose(helper.echo_service(name, 2), name=name))
                helper.wait_healthy(name, 2)
            # One of theirs now has the address at which we know one of ours, and is told of us as well.
            missing, stranger = ours.nodes[1], theirs.nodes[1]
            missing.kill_box()
            stranger.kill_box()
            stranger.address = missing.address
            stranger.start(join=ours.nodes[0].address)
            theirs.wait(stranger.answers, PATIENCE, "it runs")
            theirs.wait_members(2, PATIENCE)
            theirs.wait_steady(PATIENCE)
            settle(3)
            for cluster, nodes, name in ((ours, ours.nodes[:1], "ours"), (theirs, theirs.nodes, "theirs")):
                for node in nodes:
                    self.assertEqual([s["stack"] for s in node.get("/v1/stacks")], [name])
                    alive = {m["address"] for m in cluster.members(node) if m["state"] == "alive"}
                    self.assertEqual(alive, {n.address for n in nodes})
            self.assertNotEqual(ours.status(ours.nodes[0])["cluster"], theirs.status(stranger)["cluster"])


class Poison(unittest.TestCase):
    """What one box cannot take harms that box at most; it says so, and the others go on."""

    def test_a_configuration_that_one_haproxy_refuses_leaves_its_old_table_and_disturbs_nobody(self):
        with Cluster(3, first="127.2.12.41", extra=("--set", "drain_wait=300")) as cluster:
            plain = cluster.binary
            good, picky = cluster.nodes[:2], cluster.nodes[2]
            cluster.nodes = good
            cluster.start()
            cluster.nodes = [*good, picky]
            cluster.binary = self.binary_with_picky_haproxy(cluster)
            picky.start(join=cluster.token)
            cluster.binary = plain
            cluster.wait_members(3, PATIENCE)
            helper = ClusterCase()
            helper.cluster = cluster
            helper.deploy_echo(replicas=3)
            for node in cluster.nodes:
                helper.wait_door(node)
            path = helper.compose(helper.echo_service("poison", 3, more="x-http: {path: /poison}\n"), name="other")
            done = run(plain, "deploy", "-f", path, "--data", good[0].data)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            for node in good:
                helper.wait_door(node, "/poison")
            cluster.wait(lambda: any(picky.name in t["nodes"] for t in cluster.status()["trouble"]), PATIENCE,
                         "status names the box")
            self.assertIn("door", cluster.cli("why", picky.name))
            for node in cluster.nodes:  # what it took before it still serves
                self.assertEqual([get(node.door)[0] for _ in range(10)], [200] * 10)
            cluster.cli("rm", "other")
            cluster.wait(lambda: not cluster.status()["trouble"], PATIENCE, "without the poison it is well again")

    def binary_with_picky_haproxy(self, cluster):
        """A wrapper whose HAProxy refuses every configuration with the word poison, in a mount namespace of its own."""
        found = next(filter(None, (shutil.which("haproxy", path=folder) for folder in
                                   os.environ["PATH"].split(":") + ["/usr/sbin", "/usr/local/sbin"])), None)
        if found is None:
            self.skipTest("HAProxy is not installed")
        real, picky = os.path.join(cluster.directory, "haproxy-real"), os.path.join(cluster.directory, "haproxy-picky")
        shutil.copy(os.path.realpath(found), real)
        with open(picky, "w", encoding="utf-8") as file:
            file.write(f"""#!/bin/sh
for word in "$@"; do
  if [ -f "$word" ] && grep -q poison "$word"; then echo "[ALERT] unknown keyword 'poison' in $word" >&2; exit 1; fi
done
exec {real} "$@"
""")
        wrapper = os.path.join(cluster.directory, "homeostat-picky")
        with open(wrapper, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\nexec unshare -m sh -c 'mount --bind {picky} {os.path.realpath(found)} && "
                       f"exec \"$@\"' sh {cluster.binary} \"$@\"\n")
        for path in (picky, wrapper):
            os.chmod(path, 0o755)
        tried = run(wrapper, "version")
        if tried.returncode != 0:
            self.skipTest(f"HAProxy cannot be replaced here: {tried.stderr.strip()}")
        return wrapper

    def test_a_document_that_cannot_be_read_back_is_named_and_fetched_from_the_others(self):
        with Cluster(3, first="127.2.12.51", extra=("--set", "drain_wait=300")) as cluster:
            cluster.start()
            cluster.wait_members(3, PATIENCE)
            helper = ClusterCase()
            helper.cluster = cluster
            helper.deploy_echo(replicas=3)
            helper.wait_healthy("echo", 3)
            hurt = cluster.nodes[2]
            hurt.stop_agent()
            with contextlib.closing(sqlite3.connect(os.path.join(hurt.data, "state.db"))) as database, database:
                database.execute("update documents set body = x'666f6f' where key like 'stack/%'")
            hurt.start()
            cluster.wait(hurt.answers, PATIENCE, "it runs")
            cluster.wait_members(3, PATIENCE)
            cluster.wait(lambda: any(hurt.name in t["nodes"] and "its own disk" in t["what"]
                                     for t in cluster.status()["trouble"]), PATIENCE, "status names the box")
            helper.wait_healthy("echo", 3)
            cluster.wait_steady()


if __name__ == "__main__":
    unittest.main()
