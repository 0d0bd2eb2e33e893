"""Levels that follow what is measured, on real processes: by the door's counts, by requests in flight, by the app's own
number with everything that can be wrong with it; and the wishes that are refused."""

import os
import shutil
import time
import unittest

from load import failures_after
from support import ClusterCase, HERE, PATIENCE, metric, settle

UP = 30  # seconds. A fall waits for a window of 30 to 300 s: bench/scaling.py waits for it, and the simulator's tests


class Scaling(ClusterCase):
    SIZE, FIRST = 2, "127.2.7.1"
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

    def metrics_file(self):
        return os.path.join(self.cluster.directory, "metrics.txt")

    def tell(self, text):
        """What every replica's /metrics answers from now on."""
        with open(self.metrics_file() + ".new", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(self.metrics_file() + ".new", self.metrics_file())

    def level(self, node=None):
        rows = (node or self.cluster.any_node()).cli("top", parse=True)["services"]
        return next(row for row in rows if row["service"] == self.service)["desired"]

    def wait_level(self, holds, seconds, what):
        return self.cluster.wait(lambda: holds(self.level()) and self.level(), seconds, what, every=0.3)

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

    def test_requests_in_flight_move_the_level(self):
        self.service = "flight"
        self.cluster.deploy(self.sleeper("{min: 1, max: 8, target: {in-flight: 4}}", slots=50, service_ms=100))
        node = self.cluster.nodes[1]
        self.wait_door(node)
        with self.load(node, rate=100) as load:  # ten at once, four a replica
            self.wait_level(lambda level: level >= 3, UP, "three replicas")
            settle(5)
            # Both sides share two cores here, so requests queue for them at times and more are in flight than ten.
            self.assertLessEqual(self.level(), 6)
            load.stop()

    def test_the_apps_own_number_moves_the_level_and_a_wrong_one_never_lowers_it(self):
        self.service = "jobs"
        self.tell("# TYPE jobs gauge\njobs 5\n")
        self.cluster.deploy(self.sleeper("{min: 1, max: 6, target: {metric: jobs, value: 10}}"))
        settle(3)
        self.assertEqual(self.level(), 1)
        self.tell('jobs{queue="a"} 20\njobs{queue="b"} 9\n')  # each replica says 29, so the level runs to its maximum
        self.wait_level(lambda level: level == 6, UP, "the level rises")
        self.wait_healthy(self.service, 6)
        for text, words in (("jobs NaN\n", "is 'NaN'"), ("", "the answer is empty"), ("hang", "no answer")):
            seen = len([e for e in self.events(self.service) if e["kind"] == "metric.missing"])
            self.tell(text)
            self.cluster.wait(lambda: any(words in e["cause"] for e in self.events(self.service)
                                          if e["kind"] == "metric.missing"), PATIENCE, f"{words} is named in events")
            why = self.cluster.cli("why", self.service)
            self.assertIn("the level holds, since jobs is not told", why)
            settle(4)
            now = len([e for e in self.events(self.service) if e["kind"] == "metric.missing"])
            self.assertLessEqual(now - seen, len(self.cluster.nodes), "said once by each box, not each second")
            self.assertEqual(self.level(), 6, text)
            self.tell("jobs 29\n")
            # After ten seconds of good numbers each box says so.
            self.cluster.wait(lambda: "the level holds, since" not in self.cluster.cli("why", self.service), 60, "it is told again")
        self.assertEqual(len(self.cluster.healthy(self.service)), 6)

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


if __name__ == "__main__":
    unittest.main()
