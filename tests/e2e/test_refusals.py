"""What a node refuses at its start, and what it does without: tokens, data directories, ports, flags, HAProxy."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest

from cluster import Cluster, kill_all_of
from support import ClusterCase, PATIENCE, free_of, get, run


class Refusals(unittest.TestCase):
    """A cluster of one at 127.2.2.1; whatever is refused is tried at 127.2.2.9."""

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(1, first="127.2.2.1")
        cls.addClassCleanup(cls.cluster.close)
        cls.cluster.start()

    def setUp(self):
        self.data = tempfile.mkdtemp(prefix="new-", dir=self.cluster.directory)
        self.addCleanup(kill_all_of, self.data)

    def up(self, *words, listen="127.2.2.9:7700", data=None, timeout=20):
        """`up` that is expected to end by itself."""
        return run(self.cluster, "up", "--data", data or self.data, "--listen", listen, *words, timeout=timeout)

    def assert_refused(self, done, pattern):
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        self.assertRegex(done.stdout + done.stderr, re.compile(pattern, re.I))

    def assert_token_refused(self, token, pattern):
        began = time.monotonic()
        self.assert_refused(self.up("--join", token), pattern)
        self.assertLess(time.monotonic() - began, 5, "a refused token is told within 5 s")
        self.assertEqual(len(self.cluster.members()), 1)

    def start(self, *words, listen="127.2.2.9:7700", env=None):
        """`up` in the background. Returns (process, path of its output)."""
        path = os.path.join(self.data, "..", os.path.basename(self.data) + ".log")
        with open(path, "ab") as log:
            process = subprocess.Popen([self.cluster.binary, "up", "--data", self.data, "--listen", listen, *words],
                                       stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd="/",
                                       env={**os.environ, **(env or {})}, start_new_session=True)
        self.addCleanup(process.wait, 20)
        self.addCleanup(kill_all_of, self.data)
        return process, path

    def wait_text(self, path, pattern):
        def there():
            with open(path, encoding="utf-8", errors="replace") as file:
                return re.search(pattern, file.read(), re.I)
        return self.cluster.wait(there, PATIENCE, f"'{pattern}' in the output")

    # -------------------------------------------------------------------------------------------------- tokens

    def test_what_is_no_token_is_refused_at_once(self):
        self.assert_token_refused("garbage", "token")

    def test_a_truncated_token_is_refused(self):
        self.assert_token_refused(self.cluster.token[:-5], "token")

    def test_a_token_with_a_changed_character_is_refused(self):
        changed = self.cluster.token[:20] + ("a" if self.cluster.token[20] != "a" else "b") + self.cluster.token[21:]
        self.assert_token_refused(changed, "token")

    def test_a_revoked_token_is_refused(self):
        node = self.cluster.nodes[0]
        before = {t["id"] for t in node.cli("token", "ls", parse=True)}
        token = node.cli("token", "create").strip()
        node.cli("token", "revoke", ({t["id"] for t in node.cli("token", "ls", parse=True)} - before).pop())
        self.assert_token_refused(token, "revoked|not known|unknown")

    def test_an_expired_token_is_refused(self):
        token = self.cluster.nodes[0].cli("token", "create", "--ttl", "1s").strip()
        time.sleep(1.5)
        self.assert_token_refused(token, "expired")

    def test_an_api_token_does_not_let_a_box_in(self):
        self.assert_token_refused(self.cluster.nodes[0].cli("token", "create", "--api").strip(), "token")

    def test_the_token_of_another_cluster_at_the_same_address_is_refused(self):
        with Cluster(1, first="127.2.2.1", port=7790, door_port=8090) as other:
            other.start()
            own = other.token
        # The other cluster is gone, and its address is now of a new one with other keys.
        with Cluster(1, first="127.2.2.1", port=7790, door_port=8090) as again:
            again.start()
            self.assert_token_refused(own, "another cluster|certificate|other cluster")
            self.assertEqual(len(again.members()), 1)

    def test_a_member_of_one_cluster_does_not_enter_another(self):
        with Cluster(1, first="127.2.2.9", port=7791, door_port=8091) as other:
            other.start()
            other.nodes[0].kill_box()
            done = self.up("--join", self.cluster.token, data=other.nodes[0].data, listen="127.2.2.9:7791")
            self.assert_refused(done, "another cluster")
            # A bare address may just be wrong: the box goes on with its own work, and says so.
            self.data = other.nodes[0].data
            process, output = self.start("--join", "127.2.2.1:7700", "--door", "none", listen="127.2.2.9:7791")
            self.wait_text(output, r"nobody of this cluster is at 127\.2\.2\.1:7700.*another cluster")
            self.assertIsNone(process.poll())
            kill_all_of(self.data)
        self.assertEqual(len(self.cluster.members()), 1)

    def test_an_unreachable_peer_is_tried_until_it_appears(self):
        with Cluster(1, first="127.2.2.5") as late:
            node = late.start().nodes[0]
            node.kill_box()
            process, output = self.start("--join", late.token, "--door", "none")
            self.wait_text(output, r"cannot join at 127\.2\.2\.5:7700.*still trying")
            self.assertIsNone(process.poll())
            node.start()
            late.wait(lambda: len(late.members(node)) == 2, PATIENCE, "the box joined")
            self.assertIsNone(process.poll())

    # -------------------------------------------------------------------------------------------------- this box

    def test_a_data_directory_in_use_is_refused_and_names_the_process(self):
        node = self.cluster.nodes[0]
        done = self.up(data=node.data)
        self.assert_refused(done, "in use")
        self.assertIn(str(node.process.pid), done.stderr)
        self.assertTrue(node.answers())

    def test_a_data_directory_that_is_a_file_is_refused(self):
        path = os.path.join(self.data, "file")
        with open(path, "w", encoding="utf-8") as file:
            file.write("mine")
        self.assert_refused(self.up(data=path), re.escape(path))
        with open(path, encoding="utf-8") as file:
            self.assertEqual(file.read(), "mine")

    def test_a_read_only_data_directory_is_refused(self):
        if os.geteuid() == 0:
            mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "homeostat-test", self.data],
                                     capture_output=True, text=True, check=False)
            if mounted.returncode != 0:
                self.skipTest(f"no mount here: {mounted.stderr.strip()}")
            self.addCleanup(subprocess.run, ["umount", self.data], check=False)
        else:
            os.chmod(self.data, 0o500)
            self.addCleanup(os.chmod, self.data, 0o700)
        self.assert_refused(self.up(), "read-only|permission denied")

    def test_a_damaged_identity_is_told_and_not_replaced(self):
        with Cluster(1, first="127.2.2.9", port=7792, door_port=8092) as other:
            node = other.start().nodes[0]
            node.kill_box()
            path = os.path.join(node.data, "node.crt")
            with open(path, "wb") as file:
                file.write(b"not a certificate")
            self.assert_refused(self.up(data=node.data, listen="127.2.2.9:7792"), "damaged")
            with open(path, "rb") as file:
                self.assertEqual(file.read(), b"not a certificate")

    def test_a_lost_identity_is_told_and_does_not_make_another_cluster(self):
        with Cluster(1, first="127.2.2.9", port=7793, door_port=8093) as other:
            node = other.start().nodes[0]
            node.kill_box()
            os.remove(os.path.join(node.data, "identity"))
            self.assert_refused(self.up(data=node.data, listen="127.2.2.9:7793"), "identity is missing")
            self.assert_refused(self.up("--join", self.cluster.token, data=node.data, listen="127.2.2.9:7793"),
                                "identity is missing")
            self.assertFalse(os.path.exists(os.path.join(node.data, "identity")))
        self.assertEqual(len(self.cluster.members()), 1)

    def test_a_port_in_use_is_refused_and_names_the_process(self):
        server = free_of("127.2.2.9", 7700)
        self.addCleanup(server.close)
        done = self.up()
        self.assert_refused(done, r"127\.2\.2\.9:7700")
        self.assertIn(str(os.getpid()), done.stderr)

    def test_a_udp_port_in_use_is_refused_too(self):
        taken = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(taken.close)
        taken.bind(("127.2.2.9", 7700))
        self.assert_refused(self.up(), r"127\.2\.2\.9:7700")

    def test_all_bad_flags_are_told_at_once(self):
        done = run(self.cluster, "up", "--data", self.data, "--listen", "nowhere:x", "--label", "zone", "--label", "=1",
                   "--set", "probe_interval=1", "--set", "no_such_thing=3", "--advertise", "0.0.0.0:7700",
                   "--door", "127.2.2.9:7700")
        self.assertEqual(done.returncode, 1)
        for word in ("--listen", "nowhere:x", "'zone'", "'=1'", "probe_interval", "no_such_thing", "--advertise", "--door"):
            self.assertIn(word, done.stderr)
        self.assertEqual(os.listdir(self.data), [], "nothing was changed")

    def test_a_door_port_in_use_is_told_with_the_process_and_taken_when_it_is_free(self):
        server = free_of("127.2.2.9", 8094)
        self.addCleanup(server.close)
        with Cluster(1, first="127.2.2.9", port=7794, door_port=8094) as other:
            node = other.start().nodes[0]
            case = ClusterCase()
            case.cluster = other
            path = case.compose(case.echo_service(replicas=1, more="x-http: {path: /}\n"))
            done = run(other, "deploy", "-f", path, "--data", node.data)
            self.assertEqual(done.returncode, 1, "nobody can reach it")
            self.assertIn(f"(pid {os.getpid()}) has it", done.stderr)
            server.close()
            case.wait_door(node)

    def test_an_address_alone_lets_no_new_box_in(self):
        self.assert_refused(self.up("--join", "127.2.2.1:7700"), "needs a token")
        self.assertEqual(len(self.cluster.members()), 1)

    def test_a_token_that_is_empty_forms_no_cluster(self):
        self.assert_refused(self.up("--join", ""), "--join: it is empty")

    def test_a_box_that_nobody_reaches_forms_no_cluster(self):
        self.assert_refused(self.up("--dial-out"), "--dial-out without --join")

    def test_an_agent_whose_log_nobody_reads_any_more_lives_on(self):
        read, write = os.pipe()
        process = subprocess.Popen([self.cluster.binary, "up", "--data", self.data, "--listen", "127.2.2.9:7700", "--door",
                                    "none"], stdout=write, stderr=write, stdin=subprocess.DEVNULL, cwd="/")
        self.addCleanup(process.wait, 20)
        self.addCleanup(kill_all_of, self.data)
        os.close(write)
        self.assertTrue(os.read(read, 1))
        os.close(read)
        self.cluster.wait(lambda: run(self.cluster, "token", "create", "--data", self.data).returncode == 0, PATIENCE,
                          "it logs an event and answers")
        self.assertIsNone(process.poll())

    def test_an_address_of_another_box_is_refused(self):
        self.assert_refused(self.up(listen="192.0.2.1:7700"), r"192\.0\.2\.1:7700")


class WithoutHaproxy(unittest.TestCase):
    def test_a_node_without_haproxy_works_says_so_and_disturbs_nobody(self):
        with Cluster(2, first="127.2.2.21") as cluster:
            cluster.nodes[0].start()
            cluster.wait(cluster.nodes[0].answers, PATIENCE, "the first node answers")
            cluster.token = cluster.wait(lambda: cluster.nodes[0].cli("token", "show").strip(), PATIENCE, "a join token")
            bare, cluster.binary = cluster.nodes[1], self.binary_without_haproxy(cluster)
            bare.start(join=cluster.token)
            cluster.wait_members(2, PATIENCE)
            cluster.wait(lambda: "haproxy is not installed" in bare.log(100), PATIENCE, "the log says so")
            cluster.wait(lambda: "haproxy is not installed" in cluster.cli("why", bare.name), PATIENCE, "`why` says so")
            self.assertNotIn("haproxy", cluster.cli("why", cluster.nodes[0].name))
            for words in ("status", "nodes"):
                told = [line for line in cluster.cli(words).splitlines() if "haproxy is not installed: apt-get" in line]
                self.assertEqual(len(told), 1, words)
                self.assertIn(bare.name, told[0])
            # Work that runs on the bare box cannot be reached from outside; the other door does not stumble over it.
            case = ClusterCase()
            case.cluster = cluster
            path = case.compose(case.echo_service(replicas=2, more="x-http: {path: /}\n"))
            done = run(cluster.binary, "deploy", "-f", path, "--data", cluster.nodes[0].data)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertIn(f"{bare.name}: the door does not work: haproxy is not installed", done.stderr)
            case.wait_door(cluster.nodes[0])
            self.assertEqual([get(cluster.nodes[0].door)[0] for _ in range(20)], [200] * 20)
            self.assertTrue(bare.is_up())

    def test_a_deploy_that_no_door_can_serve_does_not_claim_success(self):
        with Cluster(1, first="127.2.2.31") as cluster:
            plain = cluster.binary
            cluster.binary = self.binary_without_haproxy(cluster)
            cluster.start()
            cluster.wait_members(1, PATIENCE)
            cluster.wait(lambda: cluster.status()["trouble"], PATIENCE, "status says so")
            case = ClusterCase()
            case.cluster = cluster
            path = case.compose(case.echo_service(replicas=1, more="x-http: {path: /}\n"))
            done = run(plain, "deploy", "-f", path, "--data", cluster.nodes[0].data)
            self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
            self.assertIn("nobody can reach it: no door of the cluster works", done.stderr)
            self.assertIn("apt-get install haproxy", done.stderr)
            self.assertNotIn("is healthy", done.stdout)
            case.wait_healthy("echo", 1)
            path = case.compose(case.echo_service("inner", replicas=1), name="inner")  # nobody is to reach this one
            self.assertEqual(run(plain, "deploy", "-f", path, "--data", cluster.nodes[0].data).returncode, 0)

    def binary_without_haproxy(self, cluster):
        """A wrapper that starts the program where no HAProxy is to be seen, in a mount namespace of its own."""
        wrapper = os.path.join(cluster.directory, "homeostat-alone")
        found = {shutil.which("haproxy", path=folder) for folder in
                 os.environ["PATH"].split(":") + ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/sbin"]} - {None}
        hide = " && ".join(f"mount --bind /dev/null {path}" for path in {os.path.realpath(p) for p in found}) or "true"
        with open(wrapper, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\nexec unshare -m sh -c '{hide} && exec \"$@\"' sh {cluster.binary} \"$@\"\n")
        os.chmod(wrapper, 0o755)
        tried = run(wrapper, "version")
        if tried.returncode != 0:
            self.skipTest(f"HAProxy cannot be hidden here: {tried.stderr.strip()}")
        return wrapper


if __name__ == "__main__":
    unittest.main()
