"""A disk that is full: writes are refused with a reason, roles and new work go to others, and it is noticed when there
is room again."""

import contextlib
import os
import signal
import subprocess
import unittest

from cluster import Cluster
from support import ClusterCase, PATIENCE, run


@contextlib.contextmanager
def small_disk(test, node, size):
    """The node's data directory is a file system of its own of this size."""
    os.mkdir(node.data)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "homeostat-test", node.data],
                             capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        test.skipTest(f"no mount here: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        node.kill_box()
        subprocess.run(["umount", node.data], check=False)


def fill(node, but=0):
    """To the last byte but so many, with a file whose path is returned."""
    ballast = os.path.join(node.data, "ballast")
    with open(ballast, "wb", buffering=0) as file:
        for size in (65536, 4096, 512, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass
    os.truncate(ballast, os.path.getsize(ballast) - but)
    return ballast


class FullDisk(unittest.TestCase):
    def test_a_cluster_whose_first_documents_do_not_fit_is_not_formed_and_can_be_later(self):
        with Cluster(1, first="127.2.5.35") as cluster:
            node = cluster.nodes[0]
            with small_disk(self, node, "64k"):
                node.start()
                self.assertEqual(node.process.wait(20), 1, node.log())
                self.assertIn("no cluster could be formed", node.log())
                subprocess.run(["mount", "-o", "remount,size=60m", node.data], check=True)
                cluster.start()
                self.assertTrue(node.cli("token", "show").startswith("hs1."))

    def test_a_first_start_that_is_cut_short_by_a_full_disk_is_finished_by_the_next(self):
        with Cluster(1, first="127.2.5.36") as cluster:
            node = cluster.nodes[0]
            with small_disk(self, node, "2m"):
                ballast = fill(node, but=48 * 1024)
                node.start()
                self.assertEqual(node.process.wait(20), 1, node.log())
                self.assertIn("state.db: database or disk is full", node.log())
                os.remove(ballast)
                cluster.start()
                self.assertIn("A new cluster", node.log())
                self.assertTrue(node.cli("token", "show").startswith("hs1."))
                self.assertIn("intent.node-admitted", node.cli("events"))

    def test_a_joiner_whose_disk_is_full_changes_nothing_and_joins_when_there_is_room(self):
        with Cluster(2, first="127.2.5.37") as cluster:
            first, joiner = cluster.nodes
            first.start()
            cluster.wait(first.answers, PATIENCE, "it has formed a cluster")
            token = first.cli("token", "show").strip()
            with small_disk(self, joiner, "2m"):
                ballast = fill(joiner, but=24 * 1024)
                before = first.get("/v1/documents")
                for _ in range(2):
                    joiner.start(join=token)
                    self.assertEqual(joiner.process.wait(20), 1, joiner.log())
                self.assertIn("No space left on device; free some space", joiner.log())
                self.assertEqual(first.get("/v1/documents"), before)
                os.truncate(ballast, os.path.getsize(ballast) - 256 * 1024)
                joiner.start(join=token)
                cluster.wait_members(2, PATIENCE)

    def test_a_full_disk_refuses_writes_with_a_reason_and_recovers_when_there_is_room(self):
        with Cluster(1, first="127.2.5.31") as cluster:
            with small_disk(self, cluster.nodes[0], "3m"):
                self.fill_and_free(cluster, cluster.nodes[0])

    def fill_and_free(self, cluster, node):
        cluster.start()
        before = node.get("/v1/tokens")
        ballast = fill(node)
        # What fits into pages that the database owns already may still succeed; sooner or later a write is refused.
        refused, accepted = None, 0
        for _ in range(200):
            done = run(cluster, "token", "create", "--data", node.data)
            if done.returncode != 0:
                refused = done
                break
            accepted += 1
        self.assertIsNotNone(refused, f"{accepted} writes were accepted on a full disk")
        self.assertRegex(refused.stderr.lower(), "full|space")
        self.assertTrue(node.is_up())
        self.assertEqual(len(node.get("/v1/tokens")), len(before) + accepted, "a refused write left a trace")
        os.remove(ballast)
        cluster.wait(lambda: run(cluster, "token", "create", "--data", node.data).returncode == 0, PATIENCE,
                     "writes are taken again")
        told = len(node.get("/v1/tokens"))
        node.kill_box()
        node.start()
        cluster.wait(node.answers, PATIENCE, "it starts again")
        self.assertEqual(len(node.get("/v1/tokens")), told)


class FullDiskAmongOthers(unittest.TestCase):
    """Four boxes: what three keep is acknowledged."""

    def test_the_controller_with_a_full_disk_gives_way_and_governs_by_what_it_cannot_keep(self):
        with Cluster(4, first="127.2.5.41", extra=("--set", "drain_wait=300")) as cluster:
            with small_disk(self, cluster.nodes[0], "24m"):
                self.case = ClusterCase()
                self.case.cluster = cluster.start()
                cluster.wait_members(4, PATIENCE)
                self.fill_and_free(cluster, *cluster.nodes[:2])

    def fill_and_free(self, cluster, full, other):
        def on_full(service):
            return [r for r in cluster.replicas(service, other) if r["node"] == full.name]

        def seen(at):
            return next(m for m in cluster.members(at) if m["name"] == full.name)

        self.case.deploy_echo(replicas=4)
        self.case.wait_healthy("echo", 4)
        cluster.wait_steady(PATIENCE)
        self.assertIn("controller", seen(other)["roles"], "the first one has not changed yet")
        before = on_full("echo")
        self.assertEqual(len(before), 1)

        ballast = fill(full)
        for node in cluster.nodes:
            cluster.wait(lambda node=node: seen(node).get("trouble") == "its disk is full" and
                         not {"controller", "standby", "monitor"} & set(seen(node)["roles"]), PATIENCE,
                         f"{node.name} knows of the full disk, and who has its roles")
        why = other.cli("why", full.name)
        self.assertIn("its disk is full: 0 of 24 MiB are free", why)
        self.assertIn("free space on the disk", why)
        self.assertIn("its disk is full", other.cli("status"))
        self.assertIn("its disk is full", other.cli("nodes"))
        self.assertIn("out of disk space", full.cli("events", full.name))

        cluster.cli("scale", "echo=7", node=other)
        self.case.wait_healthy("echo", 7)
        self.assertEqual({r["pid"] for r in on_full("echo")}, {r["pid"] for r in before})
        cluster.cli("rm", "test", node=other)
        cluster.wait(lambda: not cluster.replicas("echo", full), PATIENCE, "the removal counts on the full disk too")
        cluster.wait(lambda: full.get("/v1/documents") == other.get("/v1/documents"), PATIENCE, "it has all documents")

        os.remove(ballast)
        cluster.wait(lambda: "trouble" not in seen(other), PATIENCE, "there is room again")
        self.assertIn("takes writes again", other.cli("events", full.name))
        full.kill_box()
        for node in cluster.nodes[1:]:
            node.stop_agent()
        full.start()
        cluster.wait(full.answers, PATIENCE, "it starts alone")
        self.assertEqual(full.get("/v1/services"), [], "the removal is on its own disk now")

    def test_a_removed_box_is_cut_off_though_the_removal_cannot_be_kept(self):
        with Cluster(5, first="127.2.5.51") as cluster:
            with small_disk(self, cluster.nodes[0], "24m"):
                cluster.start()
                cluster.wait_members(5, PATIENCE)
                self.remove_last(cluster, cluster.nodes[0], cluster.nodes[1], cluster.nodes[-1])

    def remove_last(self, cluster, full, other, last):
        def linked():
            shown = subprocess.run(["ss", "-Htnp", "state", "established", "src", full.address.split(":")[0], "dst",
                                    last.address.split(":")[0]], capture_output=True, text=True, check=True)
            return f"pid={full.process.pid}," in shown.stdout

        self.assertTrue(linked(), "the controller has links to all")
        last.signal_agent(signal.SIGSTOP)  # so that it does not end them itself
        fill(full)
        cluster.cli("nodes", "rm", "--force", last.name, node=other)
        cluster.wait(lambda: last.name not in {m["name"] for m in cluster.members(full)}, PATIENCE, "it is told")
        cluster.wait(lambda: not linked(), 10, "its link is ended, sooner than one that is idle")


if __name__ == "__main__":
    unittest.main()
