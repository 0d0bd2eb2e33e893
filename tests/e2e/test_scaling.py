"""Levels that follow what is measured, on real processes: by the door's counts, by requests in flight, by the app's own
number with everything that can be wrong with it; and the wishes that are refused."""

import os
import shutil
import tempfile
import time
import unittest

from cluster import binary_path
from load import failures_after
from support import ClusterCase, HERE, PATIENCE, metric, run, settle

UP = 30  # seconds. A fall waits for a window of 30 to 300 s: bench/scaling.py waits for it, and the simulator's tests


class ScalingCase(ClusterCase):
    service = "web"  # a level is remembered for a moment longer than a stack lives: tests that begin low use a name of their own

    def sleeper(self, scale, slots=5, service_ms=50, more=""):
        """One service whose replicas each answer slots / service_ms * 1000 requests a second."""
        path = self.write_compose(f"""
            name: test
            services:
              {self.service}:
                x-process: {{bundle: sleeper, command: [python3, -S, -E, -u, sleeper.py]}}
                environment: {{SLOTS: "{slots}", SERVICE_MS: "{service_ms}", METRICS_FILE: "{self.metrics_file()}"}}
                x-scale: {scale}
                x-http: {{path: /}}
                x-health: {{http: /healthz, interval: 500ms, timeout: 2s}}
                {more}
        """)
        shutil.copytree(os.path.join(HERE, "apps", "sleeper"), os.path.join(os.path.dirname(path), "sleeper"))
        return path

    def metrics_file(self, service="web"):
        return os.path.join(self.cluster.directory, f"metrics-{service}.txt")

    def tell(self, text, service="web"):
        """What the /metrics of every replica of a service answers from now on."""
        path = self.metrics_file(service)
        with open(path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(path + ".new", path)

    def level(self, node=None):
        rows = (node or self.cluster.any_node()).cli("top", parse=True)["services"]
        return next(row for row in rows if row["service"] == self.service)["desired"]

    def levels(self, names, node=None):
        rows = (node or self.cluster.any_node()).cli("top", parse=True)["services"]
        return {row["service"]: row["desired"] for row in rows if row["service"] in names}

    def wait_level(self, holds, seconds, what):
        return self.cluster.wait(lambda: holds(self.level()) and self.level(), seconds, what, every=0.3)


class Scaling(ScalingCase):
    SIZE, FIRST = 2, "127.2.7.1"

    def test_an_automatic_service_goes_up_with_its_load(self):
        self.cluster.deploy(self.sleeper("{min: 1, max: 8}"))
        node = self.cluster.nodes[0]
        self.wait_door(node)
        with self.load(node, rate=4) as load:
            settle(8)
            self.assertEqual(self.level(), 1, "little load moves nothing")
            load.stop()
        with self.load(node, rate=150) as load:
            self.wait_level(lambda level: level >= 2, UP, "the level rises")
            self.cluster.wait(lambda: len(self.cluster.healthy("web")) >= 2, UP, "more replicas serve")
            enough = time.monotonic()
            # Numbers of the door, told by any node, in units people know.
            def told():
                row = next(s for s in self.cluster.nodes[1].cli("top", parse=True)["services"])
                return 100 < row["arrivals_s"] < 200 and row["p50_ms"] > 40 and row["in_flight"] > 3
            self.cluster.wait(told, PATIENCE, "top shows the traffic")
            counted = [metric(n, "homeostat_service_arrivals_per_second") for n in self.cluster.nodes]
            self.assertTrue(any(c and 100 < c < 200 for c in counted), counted)
            settle(5)
            result = load.stop()
        # What came before there was room for it was refused.
        self.assertLess(failures_after(result, enough, 3), 0.01 * result["sent"], result["reasons"])
        up = [e for e in self.events("web") if e["kind"] == "scale.up"]
        self.assertIn("need", up[0]["cause"])

    def test_requests_in_flight_move_the_level_and_a_steady_load_moves_nothing(self):
        self.service = "flight"
        self.cluster.deploy(self.sleeper("{min: 1, max: 8, target: {in-flight: 4}}", slots=50, service_ms=100))
        node = self.cluster.nodes[1]
        self.wait_door(node)
        with self.load(node, rate=100) as load:  # ten at once, four a replica
            # The first second of a load is mostly its beginning: one that looked like more is taken back a window later.
            self.wait_level(lambda level: level == 3, 90, "three replicas")
            self.wait_healthy(self.service, 3)
            settle(5)
            self.wait_level(lambda level: level == 3, 90, "three replicas")
            before = self.moves()
            settle(25)
            self.assertEqual((self.level(), self.moves()), (3, before))
            self.assert_none_failed(load.stop())

    def moves(self):
        return [e["cause"] for e in self.events(self.service) if e["kind"].startswith("scale.")]

    def jobs(self, names):
        """Services that follow numbers of their own, each read from a file beside the cluster."""
        services = "".join(f"""
              {name}:
                x-process: {{bundle: sleeper, command: [python3, -S, -E, -u, sleeper.py]}}
                environment: {{METRICS_FILE: "{self.metrics_file(name)}"}}
                x-scale: {{min: 1, max: 2, target: {{metric: jobs, value: 10}}}}
                x-health: {{http: /healthz, interval: 500ms, timeout: 2s}}""" for name in names)
        path = self.write_compose(f"""
            name: test
            services:{services}
        """)
        shutil.copytree(os.path.join(HERE, "apps", "sleeper"), os.path.join(os.path.dirname(path), "sleeper"))
        return path

    def test_the_apps_own_number_moves_the_level_and_a_wrong_one_never_lowers_it(self):
        wrong = {"other": ("tasks 5\n", "there is no metric jobs"), "nan": ("jobs NaN\n", "is 'NaN'"),
                 "text": ("jobs many\n", "is 'many'"), "nothing": ("", "the answer is empty"), "hangs": ("hang", "no answer"),
                 "good": ("jobs 1\n", None)}
        for name in wrong:
            self.tell("# TYPE jobs gauge\njobs 5\n", name)
        self.cluster.deploy(self.jobs(wrong))
        settle(3)
        self.assertEqual(self.levels(wrong), dict.fromkeys(wrong, 1))
        for name in wrong:  # each replica says 19, so the level runs to its maximum
            self.tell('jobs{queue="a"} 10\njobs{queue="b"} 9\n', name)
        self.cluster.wait(lambda: set(self.levels(wrong).values()) == {2}, UP, "the levels rise")
        for name in wrong:
            self.wait_healthy(name, 2)
        for name, (text, _) in wrong.items():
            self.tell(text, name)
        def missing(name):
            return [e["cause"] for e in self.events(name) if e["kind"] == "metric.missing"]
        for name, (_, words) in wrong.items():
            if words:
                self.cluster.wait(lambda name=name, words=words: any(words in cause for cause in missing(name)), PATIENCE,
                                  f"{words} is named in events")
                self.assertIn("the level holds, since jobs is not told", self.cluster.cli("why", name))
        # The one whose number is good falls, so there was time for the others to fall as well.
        self.cluster.wait(lambda: self.levels(wrong)["good"] == 1, 90, "a small number that is told lowers the level")
        settle(2)
        self.assertEqual(self.levels(wrong), {**dict.fromkeys(wrong, 2), "good": 1})
        for name, (_, words) in wrong.items():
            self.assertLessEqual(len(missing(name)), len(self.cluster.nodes) if words else 0,
                                 "said once by each box, not each second")
            self.tell("jobs 19\n", name)
        # After ten seconds of good numbers each box says so.
        for name in wrong:
            self.cluster.wait(lambda name=name: "the level holds, since" not in self.cluster.cli("why", name), 60, "it is told again")

    def test_wishes_that_make_no_sense_are_refused_in_clear_words(self):
        for scale, words in (("{min: 5, max: 2}", "max 2 is below min 5"), ("{min: 0, max: 2}", "x-scale.min"),
                             ("{min: one, max: 2}", "x-scale.min"), ("{max: 2, target: latency}", "is not a target"),
                             ("{max: 2, target: {metric: jobs}}", "needs a value")):
            done = self.deploy_fails(self.sleeper(scale))
            self.assertIn(words, done.stderr)
            self.assertIn("x-scale", done.stderr)
        self.assertEqual(self.stacks(), [])
        self.cluster.cli("quota", "set", "services", "--replicas", "3")
        try:
            done = self.deploy_fails(self.sleeper("{min: 4, max: 9}"))
            self.assertIn("4", done.stderr)
            self.assertIn("quota", done.stderr)
            self.assertEqual(self.stacks(), [])
            # A quota above the minimums is kept by what is measured, too, and `why` says what to do about it.
            self.tell("jobs 5\n")
            self.cluster.deploy(self.sleeper("{min: 1, max: 9, target: {metric: jobs, value: 10}}"))
            self.tell("jobs 90\n")
            self.wait_level(lambda level: level == 9, UP, "nine are wanted")
            self.wait_healthy("web", 3)
            why = self.cluster.wait(lambda: "homeostat quota set services" in self.cluster.cli("why", "web")
                                    and self.cluster.cli("why", "web"), PATIENCE, "why names the quota")
            self.assertNotIn("homeostat scale", why)
            row = next(s for s in self.cluster.any_node().cli("top", parse=True)["services"])
            self.assertEqual((row["desired"], row["granted"]), (9, 3))
        finally:
            self.cluster.cli("quota", "rm", "services")


class Rehearsals(unittest.TestCase):
    """The loads that `homeostat sim` is given: nothing is guessed."""

    COMPOSE = "name: t\nservices:\n  web:\n    command: [sleep, '9']\n    x-scale: {min: 1, max: 4}\n    x-http: {path: /}\n"

    def test_a_load_with_gaps_or_text_is_refused_with_its_line(self):
        with tempfile.TemporaryDirectory(prefix="hs-rehearse-", dir="/tmp") as directory:
            compose, trace = os.path.join(directory, "compose.yaml"), os.path.join(directory, "load.csv")
            with open(compose, "w", encoding="utf-8") as file:
                file.write(self.COMPOSE)
            for rows, words in (("0,1\n1,1\n4,1\n", "load.csv:4: a gap: seconds 2 to 3 are missing"),
                                ("0,1\n1,many\n", "load.csv:3: requests_per_second 'many' is not a number"),
                                ("0,1\n1,nan\n", "load.csv:3"), ("0,1\n1,-4\n", "is negative"), ("", "holds no load"),
                                ("1,1\n0,1\n", "does not follow"), ("0,1,2\n1,1\n", "load.csv:2: must be two numbers")):
                with open(trace, "w", encoding="utf-8") as file:
                    file.write("second,requests_per_second\n" + rows)
                done = run(binary_path(), "sim", "--compose", compose, "--trace", trace, "--nodes", "2")
                self.assertEqual(done.returncode, 1, rows)
                self.assertIn(words, done.stderr)
                self.assertEqual(done.stdout, "")
            done = run(binary_path(), "sim", "--compose", compose, "--trace", trace + ".none", "--nodes", "2")
            self.assertEqual((done.returncode, "cannot be read" in done.stderr), (1, True))


class MonitorsLost(ScalingCase):
    """The same service while those who add up what is measured die, with all their work."""

    SIZE, FIRST = 4, "127.2.18.1"

    def holder(self, role, at):
        return next((m["name"] for m in self.cluster.members(at) if m["state"] == "alive" and role in m["roles"]), None)

    def test_the_level_does_not_fall_and_nothing_fails(self):
        self.service = "watched"
        self.cluster.deploy(self.sleeper("{min: 1, max: 8}"))
        def monitors():
            roles = [self.holder(role, self.cluster.any_node()) for role in ("controller", "standby")]
            return all(roles) and roles
        controller, standby = self.cluster.wait(monitors, PATIENCE, "control and its stand-by are told")
        asked = next(n for n in self.cluster.nodes if n.name not in (controller, standby))
        self.wait_door(asked)
        with self.load(asked, rate=220) as load:
            self.wait_level(lambda level: level >= 3, UP, "the level rises")
            level = self.level(asked)
            self.cluster.wait(lambda: len(self.cluster.healthy(self.service, asked)) >= level, PATIENCE, "enough serve")
            settle(3)
            level, enough = self.level(asked), time.monotonic()
            deaths = []
            for name in (standby, controller):  # each watches a part of the others; the second is all that is left of the first
                deaths.append(next(n for n in self.cluster.nodes if n.name == name).kill_box())
                until = time.monotonic() + 20
                while time.monotonic() < until:
                    self.assertGreaterEqual(self.level(asked), level, f"after the death of {name}")
                    time.sleep(0.5)
            self.cluster.wait(lambda: len(self.cluster.healthy(self.service, asked)) >= level, PATIENCE, "they are replaced")
            result = load.stop()
        # While a third of the replicas is gone there may be too few of them: what is refused then is no loss of requests.
        lost = {reason: n for reason, n in result["reasons"].items() if reason != "status 503"}
        self.assertEqual(lost, {})
        for since, until in zip([enough, *[d + 5 for d in deaths]], [*deaths, time.monotonic()]):
            failed = sum(b["failed"] for b in result["buckets"] if since <= b["t"] < until)
            self.assertEqual(failed, 0, result["reasons"])


if __name__ == "__main__":
    unittest.main()
