"""Deploying, changing and removing work: pages through every door, redeploys, scaling, draining, bad compose files."""

import glob
import json
import os
import re
import socket
import time
import unittest

from support import ClusterCase, PATIENCE, get, run, settle


class Shop(ClusterCase):
    """The example people try first: nginx and Python, which nobody here wrote."""

    FIRST = "127.2.3.1"

    def test_the_shop_serves_its_pages_through_every_door(self):
        self.cluster.deploy("examples/shop/compose.yaml")
        for node in self.cluster.nodes:
            status, headers, body = get(node.door, "/")
            self.assertEqual(status, 200)
            self.assertIn(b"<!doctype html>", body)
            self.assertTrue(headers["x-served-by"].startswith("web-"), headers)
            # nginx asks the API through its own box's door, by name.
            status, _, body = get(node.door, "/api/items")
            self.assertEqual(status, 200)
            told = json.loads(body)
            self.assertTrue(told["replica"].startswith("api-"))
            self.assertEqual(len(told["items"]), 6)
        served = {json.loads(get(n.door, "/api/items")[2])["node"] for n in self.cluster.nodes for _ in range(6)}
        self.assertGreater(len(served), 1, "the load is spread over boxes")
        self.assertEqual({r["node"] for r in self.cluster.replicas("web")}, {n.name for n in self.cluster.nodes})


class Drains(ClusterCase):
    FIRST, EXTRA = "127.2.3.21", ("--set", "drain_wait=15000")

    def test_a_drain_ends_when_nothing_is_left_on_the_replica_and_not_when_the_longest_wait_is_over(self):
        self.deploy_echo(replicas=3)
        self.wait_healthy("echo", 3)
        door = self.cluster.nodes[0]
        self.wait_door(door)
        with self.load(door) as load:
            began = time.monotonic()
            self.cluster.cli("scale", "echo=1")
            self.cluster.wait(lambda: len(self.cluster.replicas("echo")) == 1, 12, "two of three are gone")
            self.assertGreater(time.monotonic() - began, 1, "nobody looked for a second")
            result = load.stop()
        self.assert_none_failed(result)
        self.assertIn("drained, nothing was left on it", self.cluster.cli("events"))


class Doors(ClusterCase):
    FIRST = "127.2.3.11"

    def test_requests_are_routed_by_host_and_path_and_the_rest_is_404(self):
        self.cluster.deploy(self.compose(
            self.echo_service("one", 1, more="x-http: {host: one.test}\n"),
            self.echo_service("two", 1, more="x-http: {path: /two}\n"),
            self.echo_service("both", 1, more="x-http: {host: one.test, path: /both}\n")))
        for node in self.cluster.nodes:
            self.wait_door(node, "/", "one.test")
            self.wait_door(node, "/two")
            self.wait_door(node, "/both", "one.test")
            for host, path, service in (("one.test", "/", "one"), ("one.test", "/any", "one"), ("one.test", "/both/x", "both"),
                                        ("else.test", "/two", "two"), ("else.test", "/two/x?y=1", "two"),
                                        ("one.internal", "/", "one")):
                with self.subTest(node=node.name, host=host, path=path):
                    told = self.echo(node, path, host)
                    self.assertEqual((told["service"], told["path"]), (service, path))
            status, _, body = get(node.door, "/", "else.test")
            self.assertEqual((status, body), (404, b"no service is reached by this host and path\n"))
            self.assertEqual(get(node.door, "/", "nobody.internal")[0], 404)

    def test_services_reach_each_other_by_name_through_their_own_door(self):
        self.cluster.deploy(self.compose(self.echo_service("front", 3, more="x-http: {path: /}\n"),
                                         self.echo_service("back", 2)))
        for node in self.cluster.nodes:
            told = self.cluster.wait(lambda n=node: self.echo(n, "/door/back.internal/hello"), PATIENCE, "the other service answers")
            self.assertEqual((told["service"], told["path"]), ("back", "/hello"))

    def test_the_client_s_address_is_told_and_cannot_be_made_up(self):
        self.deploy_echo(replicas=1)
        for node in self.cluster.nodes:  # also where the replica is on another box, two proxies away
            self.wait_door(node)
            told = self.echo(node, headers={"X-Forwarded-For": "203.0.113.7"})["headers"]["x-forwarded-for"]
            # The door appends what it saw itself: the last entry is the truth.
            self.assertTrue(told.split(",")[-1].strip().startswith("127."), told)
            self.assertNotEqual(told.split(",")[-1].strip(), "203.0.113.7")

    def test_a_published_port_is_open_at_every_door_address(self):
        self.cluster.deploy(self.compose(self.echo_service("echo", 2, more='ports: ["9123:80"]\n')))
        for node in self.cluster.nodes:
            def answered(at=f"{node.ip}:9123"):
                return json.loads(get(at, "/p")[2])["path"] == "/p"
            self.cluster.wait(answered, PATIENCE, "the published port answers")
        # Another port alone, which no replica has to change for: healthy means that it is open.
        self.cluster.deploy(self.compose(self.echo_service("echo", 2, more='ports: ["9124:80"]\n')))
        self.assertEqual([get(f"{node.ip}:9124", "/p")[0] for node in self.cluster.nodes], [200] * 3)
        taken = self.cluster.nodes[1]
        with socket.create_server((str(taken.ip), 9125)):
            path = self.compose(self.echo_service("echo", 2, more='ports: ["9125:80"]\n'))
            done = run(self.cluster, "deploy", "-f", path, "--data", self.cluster.nodes[0].data)
            self.assertRegex(done.stderr, f"{taken.name}: .*{taken.ip}:9125")
        self.cluster.deploy(self.compose(self.echo_service("echo", 2, more='ports: ["9123:80"]\n')))
        self.cluster.cli("rm", "test")
        for node in self.cluster.nodes:
            def closed(at=f"{node.ip}:9123"):
                try:
                    get(at, "/p", timeout=2)
                    return False
                except OSError:
                    return True
            self.cluster.wait(closed, PATIENCE, "the published port is closed again")

    def test_a_service_without_a_healthy_replica_is_503_and_says_to_try_again(self):
        self.cluster.deploy(self.compose(self.echo_service(replicas=1, more="x-http: {path: /}\n")))
        self.cluster.cli("scale", "echo=0")
        self.wait_healthy("echo", 0)
        for node in self.cluster.nodes:
            self.wait_door(node, status=503)
            status, headers, body = get(node.door, "/")
            self.assertEqual((status, headers.get("retry-after")), (503, "1"))
            self.assertIn(b"try again", body)


class Changes(ClusterCase):
    FIRST, EXTRA = "127.2.3.21", ClusterCase.EXTRA + ("--set", "rollout_deadline=8000")

    def versions(self):
        return {self.echo(node)["version"] for node in self.cluster.nodes for _ in range(4)}

    def test_a_damaged_bundle_is_fetched_again_from_another_node(self):
        self.deploy_echo(replicas=3)
        self.wait_healthy("echo", 3)
        (path,) = glob.glob(os.path.join(self.cluster.nodes[2].data, "bundles", "*.tar.zst"))
        with open(path, "r+b") as file:
            whole = file.read()
            file.seek(len(whole) // 2)
            file.write(bytes([whole[len(whole) // 2] ^ 255]))
        self.cluster.cli("scale", "echo=6")
        self.wait_healthy("echo", 6)
        with open(path, "rb") as file:
            self.assertEqual(file.read(), whole)
        self.assertIn("bundle.lost", [event["kind"] for event in self.events()])

    def test_a_new_version_takes_over_one_by_one_without_a_failed_request(self):
        self.deploy_echo(replicas=3)
        self.wait_healthy("echo", 3)
        self.wait_door(self.cluster.nodes[0])
        before = self.pids()
        with self.load(self.cluster.nodes[0]) as load:
            self.cluster.deploy(self.compose(self.echo_service(version="2", more="x-http: {path: /}\n")))
            self.wait_healthy("echo", 3)
            result = load.stop()
        self.assert_none_failed(result)
        self.assertEqual(self.versions(), {"2"})
        self.assertFalse(set(before) & set(self.pids()), "every replica is new")
        # One after the other: by the events there never was a second start of the rollout before the first was healthy.
        new, starting = set(self.pids()), 0
        for event in self.events():
            name = event.get("subject", "")
            if name in new and event["kind"] == "replica.starting":
                starting += 1
                self.assertLessEqual(starting, 1, "two replicas of the new version started at the same time")
            if name in new and event["kind"] == "replica.running":
                starting -= 1

    def test_a_deploy_is_waited_for_also_when_the_oldest_revision_goes_with_it(self):
        for version in ("1", "2", "3", "4", "5"):
            self.deploy_echo(replicas=1, version=version)
        self.assertEqual(self.versions(), {"5"})

    def test_a_bad_version_stops_at_its_first_replica_and_the_next_good_one_passes(self):
        self.deploy_echo(replicas=3)
        self.wait_healthy("echo", 3)
        self.wait_door(self.cluster.nodes[0])
        before = self.pids()
        with self.load(self.cluster.nodes[0]) as load:
            done = self.deploy_fails(self.compose(self.echo_service(version="2", mode="sick", more="x-http: {path: /}\n")))
            self.assertEqual(done.returncode, 1)
            self.assertIn("echo", done.stderr)
            now = self.pids()
            self.assertLessEqual(set(before.items()), set(now.items()), "an old replica was touched")
            self.assertLessEqual(len(now), 4, "it went on to a second replica")
            self.assertEqual(self.versions(), {"1"})
            self.cluster.deploy(self.compose(self.echo_service(version="3", more="x-http: {path: /}\n")))
            self.wait_healthy("echo", 3)
            result = load.stop()
        self.assert_none_failed(result)
        self.assertEqual(self.versions(), {"3"})

    def test_scaling_up_and_down_and_removing_do_as_asked_without_a_failed_request(self):
        self.deploy_echo(replicas=1)
        self.wait_healthy("echo", 1)
        self.wait_door(self.cluster.nodes[1])
        first = self.pids()
        with self.load(self.cluster.nodes[1]) as load:
            self.cluster.cli("scale", "echo=5")
            self.wait_healthy("echo", 5)
            self.assertLessEqual(set(first.items()), set(self.pids().items()), "the first replica was touched")
            spread = [sum(r["node"] == n.name for r in self.cluster.replicas("echo")) for n in self.cluster.nodes]
            self.assertEqual(sorted(spread), [1, 2, 2])
            self.cluster.cli("scale", "echo=2")
            self.wait_healthy("echo", 2)
            result = load.stop()
        self.assert_none_failed(result)
        self.cluster.wait_steady(PATIENCE)
        self.assertEqual([s["desired"] for s in self.cluster.cli("ls", parse=True)], [2])
        pids = self.pids()
        self.cluster.cli("rm", "test")
        self.cluster.wait(lambda: not self.cluster.replicas(), PATIENCE, "nothing runs any more")
        self.assertEqual(self.cluster.cli("ls", parse=True), [])
        self.cluster.wait(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in pids.values()), PATIENCE, "the processes are gone")
        self.wait_door(self.cluster.nodes[0], status=404)

    def test_a_drained_node_empties_without_a_failed_request_and_gets_work_again_when_asked(self):
        self.deploy_echo(replicas=3)
        self.wait_healthy("echo", 3)
        drained = self.cluster.nodes[2]
        self.wait_door(drained)
        with self.load(drained) as load:  # its door goes on serving
            self.cluster.cli("drain", drained.name)
            self.cluster.wait(lambda: not [r for r in self.cluster.replicas() if r["node"] == drained.name], PATIENCE,
                              "the drained node is empty")
            self.wait_healthy("echo", 3)
            self.cluster.wait_steady(PATIENCE)
            result = load.stop()
        self.assert_none_failed(result)
        self.assertIn("drained", self.cluster.cli("why", drained.name).splitlines()[0])
        self.cluster.cli("scale", "echo=6")
        self.wait_healthy("echo", 6)
        self.assertNotIn(drained.name, {r["node"] for r in self.cluster.replicas()})
        self.cluster.cli("drain", "--undo", drained.name)
        self.cluster.cli("scale", "echo=9")
        self.wait_healthy("echo", 9)
        self.assertIn(drained.name, {r["node"] for r in self.cluster.replicas()})

    # -------------------------------------------------------------------------------------------------- bad work

    def test_a_command_that_does_not_exist_is_told_and_disturbs_nobody(self):
        self.deploy_echo(replicas=3)
        self.wait_healthy("echo", 3)
        before = self.pids()
        path = self.compose(self.echo_service("ghost", 1, command="[no-such-program]"), name="other")
        done = self.deploy_fails(path, "--timeout", "6s")
        self.assertIn("no-such-program", done.stderr)
        ghost = self.cluster.wait(lambda: [r for r in self.cluster.replicas("ghost") if r["state"] == "backoff"], PATIENCE,
                                  "the ghost waits to be tried again")[0]
        self.assertIn("no-such-program", self.cluster.cli("why", "ghost").splitlines()[0])
        self.assertIn("no-such-program", self.cluster.cli("why", ghost["replica"]).splitlines()[0])
        self.assertIn("ghost", self.cluster.cli("ps"))
        self.assertEqual(self.pids("echo"), before)

    def test_a_program_that_ends_at_once_is_tried_ever_more_slowly_and_its_last_words_are_kept(self):
        path = self.compose(self.echo_service("hasty", 1, mode="exit"))
        done = self.deploy_fails(path, timeout=PATIENCE)
        self.assertEqual(done.returncode, 1)
        self.assertIn("every replica of hasty ended 3 times and more", done.stderr)
        self.assertIn("it stays deployed and is tried further", done.stderr)
        self.cluster.wait(lambda: [r for r in self.cluster.replicas("hasty") if r["restarts"] >= 3 and r["state"] == "backoff"],
                          PATIENCE, "it was tried several times and waits to be tried again")
        self.assertEqual(len(self.cluster.replicas("hasty")), 1)
        self.assertIn("7", self.cluster.cli("why", "hasty").splitlines()[0])
        self.assertIn("cannot work like this", self.cluster.cli("logs", "hasty"))
        self.assertRegex(self.cluster.replicas("hasty")[0]["error"], "7")
        self.assertRegex(self.cluster.cli("ps"), r"(?s)RESTARTS +ERROR\n.*hasty.* 7")
        starts = [e["at_ms"] for e in self.events() if e["kind"] == "replica.starting" and "hasty" in e["subject"]]
        gaps = [b - a for a, b in zip(starts, starts[1:])]
        self.assertGreater(gaps[-1], gaps[0], "the waits grow")

    # -------------------------------------------------------------------------------------------------- bad files

    def test_a_bad_compose_file_is_told_with_line_and_column_and_changes_nothing(self):
        self.deploy_echo(replicas=1)
        good = self.echo_service("fine", 1)
        rows = [
            (good.replace("replicas: 1", "replicas: many"), r"compose\.yaml:\d+:\d+: .*replicas.*many"),
            (good + "    colour: blue\n", r"compose\.yaml:\d+:\d+: .*colour"),
            (good.replace("bundle: echo", "bundle: missing"), r"compose\.yaml:\d+:\d+: .*missing"),
            (good + "    image: nginx\n", r"compose\.yaml:\d+:\d+: .*image"),
            (good + "  fine: {}\n", r"compose\.yaml:\d+:\d+: .*fine"),
            (good + "    ports: [\"99999:80\"]\n", r"compose\.yaml:\d+:\d+: .*99999"),
            (good + "   [broken\n", r"compose\.yaml:\d+:\d+"),
            (good.replace("500ms", "soon"), r"compose\.yaml:\d+:\d+: .*soon"),
        ]
        before = (self.pids(), self.cluster.any_node().get("/v1/stacks"))
        for text, pattern in rows:
            with self.subTest(pattern=pattern):
                done = self.deploy_fails(self.compose(text, name="bad"))
                self.assertEqual((done.returncode, done.stdout), (1, ""))
                self.assertRegex(done.stderr, pattern)
        self.assertEqual((self.pids(), self.cluster.any_node().get("/v1/stacks")), before)

    def test_a_service_name_of_another_stack_is_refused(self):
        self.deploy_echo(replicas=1)
        before = self.pids()
        done = self.deploy_fails(self.compose(self.echo_service("other", 1), self.echo_service("echo", 1), name="second"))
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "echo.*(test|second)")
        self.assertEqual(self.pids(), before)
        self.assertEqual([s["service"] for s in self.cluster.cli("ls", parse=True)], ["echo"])


if __name__ == "__main__":
    unittest.main()
