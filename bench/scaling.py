#!/usr/bin/env python3
"""How soon real replicas follow a real step of load, and how soon they go again. See bench/README.md.

Three nodes, an `automatic` service of the app tests/e2e/apps/sleeper: a replica answers 100 requests/s (5 at once, 50 ms
each, which it spends asleep, so that the load generator and the boxes share two cores without disturbing it) and listens
100 ms after its start. Open-loop load at one door: a base that one replica carries, then ten times that, then nothing.
"""

import argparse
import os
import shutil
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fleet import ROOT, Table, alone, binary_path, summary  # noqa: E402
from cluster import Cluster  # noqa: E402
from load import Load  # noqa: E402

APP = os.path.join(ROOT, "tests", "e2e", "apps", "sleeper")
PER_REPLICA = 100.0  # requests/s: SLOTS / SERVICE_MS
IN_TIME_MS = 250


class LevelWatch:
    """Notes each change of the number of healthy replicas, as a node tells it, and when."""

    def __init__(self, cluster, node):
        self.cluster, self.node, self.changes, self.ended = cluster, node, [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.ended.wait(0.05):
            try:
                healthy = len(self.cluster.healthy("web", self.node))
            except (OSError, ValueError):
                continue
            if not self.changes or self.changes[-1][1] != healthy:
                self.changes.append((time.monotonic(), healthy))

    def first(self, moment, holds):
        """Seconds from `moment` until the number held; None when it did not."""
        for i, (at, healthy) in enumerate(self.changes):
            until = self.changes[i + 1][0] if i + 1 < len(self.changes) else time.monotonic()
            if holds(healthy) and until > moment:
                return max(0.0, at - moment)
        return None

    def highest(self, moment):
        return max([h for at, h in self.changes if at > moment], default=None)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def deploy(cluster):
    directory = tempfile.mkdtemp(prefix="compose-", dir=cluster.directory)
    shutil.copytree(APP, os.path.join(directory, "sleeper"))
    with open(os.path.join(directory, "compose.yaml"), "w", encoding="utf-8") as file:
        file.write("""
name: bench
services:
  web:
    x-process: {bundle: sleeper, command: [python3, -S, -E, -u, sleeper.py]}
    environment: {SLOTS: "5", SERVICE_MS: "50", START_MS: "100"}
    x-scale: {min: 1, max: 20}
    x-http: {path: /}
    x-health: {http: /healthz, interval: 1s, timeout: 1s}
""")
    cluster.deploy(file.name)
    cluster.wait(lambda: len(cluster.healthy("web")) == 1, 60, "one replica is healthy")
    cluster.wait_steady()


def late_until(result, moment):
    """Seconds after `moment` from which on no request failed or took longer than IN_TIME_MS."""
    bad = [b["t"] for b in result["buckets"] if b["t"] >= moment and (b["failed"] or b["max_ms"] > IN_TIME_MS)]
    return round(max(bad) + 0.1 - moment, 2) if bad else 0.0


def run(cluster, options, number):
    """One base, step and rest. The door asked is another each time, so the controller's own is among them."""
    node = cluster.nodes[number % len(cluster.nodes)]
    rate = options.base * 10
    needed = -(-rate // PER_REPLICA)
    url = f"http://{node.door}/"
    with LevelWatch(cluster, node) as watch:
        with Load(url, rate=options.base) as load:
            time.sleep(options.warm)
            calm = load.stop()
        # Not a part of the step's second, so that the moment within the second differs from run to run.
        with Load(url, rate=rate) as load:
            step = time.monotonic()
            time.sleep(options.hold)
            result = load.stop()
        end = time.monotonic()
        cluster.wait(lambda: len(cluster.healthy("web", node)) == 1, 420, "back to the minimum", every=0.2)
        back = time.monotonic() - end
        row = {"enough": watch.first(step, lambda healthy: healthy >= needed), "back": back,
               "highest": watch.highest(step), "all_in_time_after": late_until(result, step), "failed": result["failed"],
               "sent": result["sent"], "reasons": result["reasons"], "calm_p99_ms": calm["p99_ms"], "p50_ms": result["p50_ms"],
               "late_start_ms": result["late_start_ms_max"]}
    if options.verbose:
        print(row, [(round(at - step, 2), n) for at, n in watch.changes], file=sys.stderr)
        print(cluster.cli("events", "web", node=node), file=sys.stderr)
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--base", type=float, default=40, help="requests per second before the step")
    parser.add_argument("--warm", type=float, default=45, help="seconds of the base")
    parser.add_argument("--hold", type=float, default=30, help="seconds of ten times the base")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    alone()
    table = Table(options.json)
    with tempfile.TemporaryDirectory(prefix="hs-bench-bin-", dir="/tmp") as place:
        source = binary_path()
        for name in ("homeostat", "homeostat-shim", "homeostat-bundle"):
            shutil.copy2(os.path.join(os.path.dirname(source), name), place)
        with Cluster(3, first="127.1.0.1", binary=os.path.join(place, "homeostat"), extra=("--set", "drain_wait=300")) as cluster:
            cluster.start()
            cluster.wait_members(3, 60)
            deploy(cluster)
            rows = [run(cluster, options, number) for number in range(options.runs)]
    enough = summary([row["enough"] for row in rows])
    back = summary([row["back"] for row in rows], 1)
    table.row("step x10: enough capacity after, worst run", enough["max"], "s", "<=2", median=enough["median"],
              runs=len(rows), missed=enough["missed"], highest=max(row["highest"] or 0 for row in rows))
    table.row("back to the minimum after the load ends, worst run", back["max"], "s", "<=180", median=back["median"])
    table.row(f"all answers within {IN_TIME_MS} ms from, worst run", max(row["all_in_time_after"] for row in rows), "s",
              failed=sum(row["failed"] for row in rows), sent=sum(row["sent"] for row in rows),
              p50_ms=max(row["p50_ms"] or 0 for row in rows), calm_p99_ms=max(row["calm_p99_ms"] or 0 for row in rows),
              load_left_late_ms=max(row["late_start_ms"] for row in rows))


if __name__ == "__main__":
    main()
