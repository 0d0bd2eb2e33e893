"""More requests than can be answered: the rest is answered in time, the urgent first, and all is well again afterwards."""

import json
import os
import shutil
import subprocess
import tempfile
import unittest

from cluster import binary_path
from support import ClusterCase, PATIENCE, get

WORKERS, SERVICE_MS = 2, 40
CAPACITY = 2 * WORKERS * 1000 // SERVICE_MS  # of two replicas: requests a second
USUAL, OVER, SECONDS = CAPACITY // 2, 6 * CAPACITY, 8


def built(name):
    return os.path.join(os.path.dirname(binary_path()), name)


class Overload(ClusterCase):
    SIZE, FIRST = 2, "127.2.15.1"

    def deploy_app(self):
        """The bench's app: its capacity is known and needs no CPU."""
        directory = tempfile.mkdtemp(prefix="compose-", dir=self.cluster.directory)
        os.mkdir(os.path.join(directory, "app"))
        shutil.copy(built("overload_app"), os.path.join(directory, "app"))
        path = os.path.join(directory, "compose.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write("name: test\nservices:\n  app:\n"
                       f"    x-process: {{bundle: app, command: [./overload_app, '{WORKERS}', '{SERVICE_MS}']}}\n"
                       "    deploy: {replicas: 2}\n"
                       "    x-http: {path: /}\n    x-health: {http: /healthz, interval: 500ms, timeout: 2s}\n")
        self.cluster.deploy(path)
        self.wait_healthy("app", 2)
        for node in self.cluster.nodes:
            self.wait_door(node)

    def drive(self, *words):
        """(while it lasted, afterwards): sums over seconds, by class."""
        doors = ",".join(node.door for node in self.cluster.nodes)
        done = subprocess.run([built("overload_load"), "--doors", doors, *words, f"{USUAL}:4", f"{OVER}:{SECONDS}",
                               f"{USUAL}:5"], capture_output=True, text=True, check=True, timeout=PATIENCE)
        rows = [json.loads(line) for line in done.stdout.splitlines()]

        def total(seconds, key, urgent=None):
            return sum(row[key] for row in rows if row["second"] in seconds and urgent in (None, row["urgent"]))
        return range(4, 4 + SECONDS), range(4 + SECONDS + 2, 4 + SECONDS + 5), total

    def test_what_is_too_much_is_refused_and_the_rest_served_in_time(self):
        self.deploy_app()
        over, after, total = self.drive()
        self.assertGreater(total(over, "ok"), 0.7 * CAPACITY * SECONDS)
        self.assertGreater(total(over, "refused"), 3 * CAPACITY * SECONDS)
        self.assertLess(total(over, "timeouts") + total(over, "other"), 0.05 * total(over, "offered"))
        self.assertGreaterEqual(total(after, "born_served"), 0.95 * total(after, "offered"), "it did not recover")

    def test_the_refused_are_told_when_to_come_back_and_the_urgent_are_served(self):
        self.deploy_app()
        doors = ",".join(node.door for node in self.cluster.nodes)
        with subprocess.Popen([built("overload_load"), "--doors", doors, f"{OVER}:6"], stdout=subprocess.DEVNULL) as load:
            def refused():
                status, headers, body = get(self.cluster.nodes[0].door)
                return status == 503 and (headers, body)
            headers, body = self.cluster.wait(refused, 6, "somebody is refused", every=0.01)
            self.assertEqual(headers.get("retry-after"), "1")
            self.assertNotIn("x-homeostat-refused", headers)
            self.assertIn(b"try again", body)
            load.wait(PATIENCE)
        over, after, total = self.drive("--urgent", "0.05", "--retries", "3")
        self.assertGreater(total(over, "born_served", True), 0.95 * total(over, "offered", True))
        self.assertLess(total(over, "born_served", False), 0.5 * total(over, "offered", False))
        self.assertGreaterEqual(total(after, "born_served"), 0.95 * total(after, "offered"), "it did not recover")


if __name__ == "__main__":
    unittest.main()
