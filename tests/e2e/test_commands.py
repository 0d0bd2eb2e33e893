"""Two nodes and the commands: shapes scripts rely on, exit codes, and every way of finding a node."""

import http.client
import json
import os
import re
import subprocess
import unittest

from support import ClusterCase, PATIENCE, get, run

NODE_KEYS = {"id": str, "name": str, "address": str, "state": str, "roles": list, "labels": dict,
             "drained": bool}
REPLICA_KEYS = {"service": str, "replica": str, "node": str, "state": str, "health": str, "address": str, "pid": int,
                "restarts": int, "error": str}
SERVICE_KEYS = {"service": str, "desired": int, "running": int, "healthy": int}
STATUS_KEYS = {"cluster": str, "node": str, "door": str, "nodes": int, "services": int, "steady": bool,
               "steady_s": (int, float), "pending": list, "short": list}


class TwoNodes(ClusterCase):
    SIZE, FIRST = 2, "127.2.1.1"

    def assert_shape(self, row, shape):
        self.assertEqual(list(row), list(shape))
        for key, kind in shape.items():
            self.assertIsInstance(row[key], kind, key)

    def cli(self, *words, code=0, env=None):
        done = run(self.cluster, *words, env=env)
        self.assertEqual(done.returncode, code, f"{words}: {done.stdout}{done.stderr}")
        return done

    def test_nodes_json_is_an_array_of_exactly_the_promised_keys(self):
        for node in self.cluster.nodes:
            rows = node.cli("nodes", parse=True)
            self.assertEqual([r["name"] for r in rows], ["127.2.1.1", "127.2.1.2"])
            for row in rows:
                # Since when, once it has told.
                since = {key: row.pop(key) for key in ("since", "roles_since") if key in row}
                self.assertLessEqual(set(since.get("roles_since", ())), set(row["roles"]))
                self.assert_shape(row, NODE_KEYS)
                self.assertEqual((row["state"], row["address"]), ("alive", row["name"] + ":7700"))
            self.assertEqual(sum("controller" in r["roles"] for r in rows), 1)

    def test_ps_ls_and_status_have_the_promised_keys(self):
        self.deploy_echo(replicas=2)
        self.wait_healthy("echo", 2)
        self.cluster.wait_steady(PATIENCE)
        for node in self.cluster.nodes:
            rows = node.cli("ps", parse=True)
            self.assertEqual(len(rows), 2)
            for row in rows:
                self.assert_shape(row, REPLICA_KEYS)
                self.assertRegex(row["address"], r"^127\.2\.1\.[12]:\d+$")
                self.assertEqual(row["address"].split(":")[0], row["node"])
                os.kill(row["pid"], 0)  # it is a process of this box
            services = node.cli("ls", parse=True)
            self.assert_shape(services[0], SERVICE_KEYS)
            self.assertEqual(services, [{"service": "echo", "desired": 2, "running": 2, "healthy": 2}])
            status = node.cli("status", parse=True)
            for key, kind in STATUS_KEYS.items():
                self.assertIsInstance(status[key], kind, key)
            self.assertEqual((status["node"], status["door"], status["nodes"], status["services"]),
                             (node.name, node.door, 2, 1))
            self.assertEqual((status["steady"], status["pending"], status["short"]), (True, [], []))

    def test_token_show_prints_the_token_and_nothing_else(self):
        for node in self.cluster.nodes:
            self.assertRegex(node.cli("token", "show"), r"\Ahs1\.[A-Za-z0-9_-]+\n\Z")

    def test_version_needs_no_node(self):
        text = self.cli("version").stdout
        self.assertRegex(text, r"\Ahomeostat \d+\.\d+\.\d+")
        self.assertIn(json.loads(self.cli("version", "--json").stdout)["version"], text)

    def test_a_node_is_found_by_socket_by_data_and_by_environment(self):
        node = self.cluster.nodes[1]
        socket_path = os.path.join(node.data, "api.sock")
        asked = [self.cli("status", "--json", "--addr", socket_path), self.cli("status", "--json", "--data", node.data),
                 self.cli("status", "--json", env={"HOMEOSTAT_ADDR": socket_path}),
                 self.cli("--data", node.data, "status", "--json")]
        for done in asked:
            self.assertEqual(json.loads(done.stdout)["node"], node.name)

    def test_over_the_network_an_api_token_is_needed_and_enough(self):
        token = self.cluster.nodes[0].cli("token", "create", "--api").strip()
        for node in self.cluster.nodes:  # any node answers for the whole cluster, whichever made the token
            env = {"HOMEOSTAT_TOKEN": token}
            self.cluster.wait(lambda: run(self.cluster, "status", "--addr", node.address, env=env).returncode == 0, PATIENCE,
                              "the token is known everywhere")
            done = self.cli("nodes", "--json", env={**env, "HOMEOSTAT_ADDR": node.address})
            self.assertEqual(len(json.loads(done.stdout)), 2)
        refused = self.cli("nodes", "--addr", node.address, code=1)
        self.assertIn("token", refused.stderr.lower())
        self.assertEqual(refused.stdout, "")
        join = self.cluster.token
        refused = self.cli("nodes", "--addr", self.cluster.nodes[0].address, env={"HOMEOSTAT_TOKEN": join}, code=1)
        self.assertIn("for joining, not for the API", refused.stderr)

    def test_a_revoked_api_token_is_refused_everywhere(self):
        node = self.cluster.nodes[0]
        before = {t["id"] for t in node.cli("token", "ls", parse=True)}
        env = {"HOMEOSTAT_TOKEN": node.cli("token", "create", "--api").strip()}
        new = {t["id"] for t in node.cli("token", "ls", parse=True)} - before
        self.assertEqual(len(new), 1)
        node.cli("token", "revoke", new.pop())
        for other in self.cluster.nodes:
            self.cluster.wait(lambda: run(self.cluster, "status", "--addr", other.address, env=env).returncode == 1, PATIENCE,
                              "the revocation is known everywhere")

    def test_errors_exit_with_1_and_name_what_is_there(self):
        data = self.cluster.nodes[0].data
        for words, expected in ((("scale", "nothing=3"), "no service 'nothing'"), (("scale", "web=x"), "web=x"),
                                (("rm", "nothing"), "no stack 'nothing'"), (("drain", "nothing"), "127.2.1.1"),
                                (("why", "nothing"), "nothing"), (("logs", "nothing"), "nothing"),
                                (("token", "revoke", "nothing"), "nothing"), (("deploy", "-f", "/nothing.yaml"), "/nothing.yaml"),
                                (("frobnicate",), "frobnicate"), (("ps", "--nonsense"), "--nonsense")):
            with self.subTest(words=words):
                done = self.cli(*words, "--data", data, code=1)
                self.assertIn(expected, done.stderr)
                self.assertEqual(done.stdout, "")

    def test_of_several_wishes_all_are_carried_out_or_none(self):
        self.deploy_echo(replicas=1)
        self.wait_healthy("echo", 1)
        data = self.cluster.nodes[0].data
        for words in (("scale", "echo=2", "nothing=3"), ("rm", "test", "nothing")):
            done = self.cli(*words, "--data", data, code=1)
            self.assertIn("'nothing'", done.stderr)
            self.assertEqual(done.stdout, "")
        self.assertEqual([s["desired"] for s in self.cluster.nodes[0].cli("ls", parse=True)], [1])

    def test_a_node_that_does_not_run_is_said_to_be_missing(self):
        done = self.cli("status", "--data", os.path.join(self.cluster.directory, "nowhere"), code=1)
        self.assertIn("nowhere", done.stderr)
        self.assertTrue(self.cli("status", "--addr", "127.2.1.99:7700", code=1).stderr.strip())

    def test_more_than_fits_is_accepted_with_exit_code_2_and_the_reason(self):
        path = self.compose(self.echo_service(replicas=1, more="x-http: {path: /}").replace(
            "deploy: {replicas: 1}", "deploy: {replicas: 1, resources: {reservations: {memory: 900000G}}}"))
        done = run(self.cluster, "deploy", "-f", path, "--data", self.cluster.nodes[0].data)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertIn("echo", done.stderr)
        short = self.cluster.status()["short"]
        self.assertEqual([s["service"] for s in short], ["echo"])
        self.assertRegex(short[0]["reason"], re.compile("memory", re.I))

    def test_logs_events_and_why_tell_the_story(self):
        self.deploy_echo(replicas=2)
        self.wait_healthy("echo", 2)
        node, names = self.cluster.nodes[1], sorted(self.pids())
        lines = self.cluster.wait(lambda: [x for x in node.cli("logs", "echo").splitlines() if "listens" in x][1:] and
                                  node.cli("logs", "echo").splitlines(), PATIENCE, "both replicas' first lines")
        self.assertTrue(all(any(name in line for line in lines) for name in names), lines)
        self.assertEqual(len(node.cli("logs", "echo", "-n", "1").splitlines()), 1)
        self.assertTrue(all(names[0] in line for line in node.cli("logs", names[0]).splitlines()))
        self.assertIn("listens", node.cli("logs", "echo", "--since", "15m"))
        self.assertEqual(node.cli("logs", "echo", "--since", "2099-01-01T00:00:00").strip(), "")
        kinds = {e["kind"] for e in self.events()}
        self.assertLessEqual({"intent.deploy", "plan.start", "replica.starting", "replica.running"}, kinds)
        self.assertTrue(all(e["cause"] for e in self.events()), "every decision has a cause")
        self.assertTrue(all(names[0] in json.dumps(e) for e in self.events(names[0])))
        for subject, words in (("echo", "all 2 replicas are healthy"), (names[0], "runs and is healthy"),
                               ("127.2.1.2", "alive")):
            first = node.cli("why", subject).splitlines()[0]
            self.assertIn(subject, first)
            self.assertIn(words, first)

    def test_followed_events_bring_new_ones_from_any_node_as_they_come(self):
        self.deploy_echo(replicas=1)
        self.wait_healthy("echo", 1)
        follower = subprocess.Popen([self.cluster.binary, "events", "-f", "echo", "--data", self.cluster.nodes[1].data],
                                    stdout=subprocess.PIPE, text=True, cwd="/")
        try:
            for level in (2, 1):
                self.cluster.nodes[0].cli("scale", f"echo={level}")
                line = follower.stdout.readline()
                while f"asked for {level} replicas" not in line:
                    self.assertRegex(line, r" echo(-[0-9a-f]{8})?: ", "only what was asked for")
                    line = follower.stdout.readline()
                self.assertIn("intent.scale echo: ", line)
        finally:
            follower.kill()
            follower.wait()
            follower.stdout.close()

    def test_followed_logs_bring_new_lines_as_they_come(self):
        self.deploy_echo(replicas=2)
        self.wait_healthy("echo", 2)
        self.wait_door(self.cluster.nodes[0])
        follower = subprocess.Popen([self.cluster.binary, "logs", "-f", "echo", "--data", self.cluster.nodes[1].data],
                                    stdout=subprocess.PIPE, text=True, cwd="/")
        try:
            seen = [follower.stdout.readline(), follower.stdout.readline()]
            self.assertTrue(all("listens" in line for line in seen), seen)
            victim = self.cluster.replicas("echo")[0]
            try:
                get(victim["address"], "/exit")
            except (OSError, http.client.HTTPException):
                pass
            new = [follower.stdout.readline(), follower.stdout.readline()]
            self.assertIn(f"{victim['replica']} was asked to exit", new[0])
            self.assertIn(f"{victim['replica']} version 1 listens", new[1])
        finally:
            follower.kill()
            follower.wait()
            follower.stdout.close()


if __name__ == "__main__":
    unittest.main()
