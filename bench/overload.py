#!/usr/bin/env python3
"""Ten times the load a service can carry, for a minute, over three doors, with nothing configured. See bench/README.md.

Three nodes, one replica of overload_app on each: two workers of 40 ms, so 150 requests/s in all and no CPU. Open-loop
clients with a timeout of 1 s: 10 s at 70 %, 60 s at 1000 %, then 70 % again. Rows for clients that give up, for clients
that try three times more at once, and for a share of urgent requests ("Priority: u=0"). Beside it, in the same run,
../shared/peers/haproxy/overload_bench.py if it is there.
"""

import argparse
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fleet import ROOT, Table, alone, binary_path, percentile  # noqa: E402
from cluster import Cluster  # noqa: E402

PEER = os.path.join(os.path.dirname(ROOT), "shared", "peers", "haproxy")
WORKERS, SERVICE_MS, NODES = 2, 40, 3
CAPACITY = NODES * WORKERS * 1000 // SERVICE_MS
BEFORE_S, AFTER_S, EDGE_S = 10, 15, 2
USUAL = 0.7


def built(name):
    return os.path.join(os.path.dirname(binary_path("release")), name)


def deploy(cluster):
    """One replica on each box; each reserves more than half of what a box has left of a nominal share."""
    directory = tempfile.mkdtemp(prefix="compose-", dir=cluster.directory)
    os.mkdir(os.path.join(directory, "app"))
    shutil.copy(built("overload_app"), os.path.join(directory, "app"))
    with open(os.path.join(directory, "compose.yaml"), "w", encoding="utf-8") as file:
        file.write("name: bench\nservices:\n  app:\n"
                   f"    x-process: {{bundle: app, command: [./overload_app, '{WORKERS}', '{SERVICE_MS}']}}\n"
                   f"    deploy: {{replicas: {NODES}}}\n"
                   "    x-http: {path: /}\n    x-health: {http: /healthz, interval: 1s, timeout: 1s}\n")
    cluster.deploy(file.name)
    cluster.wait(lambda: len({row["node"] for row in cluster.healthy("app")}) == NODES, 30, "a replica on each node")
    cluster.wait_steady()


def drive(doors, factor, seconds, *words):
    phases = [f"{USUAL * CAPACITY}:{BEFORE_S}", f"{factor * CAPACITY}:{seconds}", f"{USUAL * CAPACITY}:{AFTER_S}"]
    done = subprocess.run([built("overload_load"), "--doors", ",".join(doors), *words, *phases], capture_output=True,
                          text=True, check=True, timeout=600)
    return [json.loads(line) for line in done.stdout.splitlines()]


def per_second(rows, key, urgent=None):
    sums = {}
    for row in rows:
        if urgent is None or row["urgent"] == urgent:
            sums[row["second"]] = sums.get(row["second"], 0) + row[key]
    return sums


def recovery_s(rows, end):
    """Seconds after the load dropped until clients are served again: 99 % of those who come, in three seconds on end."""
    offered, served = per_second(rows, "offered"), per_second(rows, "born_served")
    for second in range(end, max(offered) - 2):
        if all(served.get(s, 0) >= 0.99 * offered.get(s, 0) for s in range(second, second + 3)):
            return second - end
    return None


def door_counts(node):
    """(requests, attempts made again) of the service at a door, as HAProxy counts them."""
    with socket.socket(socket.AF_UNIX) as asked:
        asked.connect(os.path.join(node.data, "door", "haproxy.sock"))
        asked.sendall(b"@1 show stat b_app 2 -1\n")
        asked.shutdown(socket.SHUT_WR)
        text = b"".join(iter(lambda: asked.recv(65536), b"")).decode()
    head, row = (line.lstrip("# ").split(",") for line in text.splitlines() if "," in line)
    counts = dict(zip(head, row))
    return int(counts["stot"]), int(counts["wretr"])


class Bench:
    def __init__(self, cluster, options, table):
        self.cluster, self.options, self.table = cluster, options, table
        self.doors = [node.door for node in cluster.nodes]

    def run(self, what, *words):
        options = self.options
        before = [door_counts(node) for node in self.cluster.nodes]
        rows = drive(self.doors, options.factor, options.seconds, *words)
        first, last = BEFORE_S, BEFORE_S + options.seconds
        over = range(first, last)
        ok = per_second(rows, "ok")
        times = [ms for row in rows if row["second"] in over for ms in row["answered_ms"]]
        refused = [row for row in rows if row["second"] in over and row["refused"]]
        good = [ok.get(s, 0) for s in over]
        attempts = sum(per_second(rows, "attempts").get(s, 0) for s in over) / options.seconds
        share = 100 / CAPACITY
        self.table.row(f"{what}: served in time, mean", round(statistics.mean(good) * share, 1), "%", "97",
                       attempts_s=round(attempts))
        self.table.row(f"{what}: served in time, worst second", round(min(good) * share, 1), "%", "90")
        self.table.row(f"{what}: answered, p50", round(percentile(times, 0.5)) if times else None, "ms")
        self.table.row(f"{what}: answered, p99", round(percentile(times, 0.99)) if times else None, "ms", "200")
        self.table.row(f"{what}: refused within, worst p99 of a second",
                       max((row["refused_p99_ms"] for row in refused), default=None), "ms")
        for kind in ("timeouts", "other"):
            self.table.row(f"{what}: {kind}", sum(row[kind] for row in rows if row["second"] in over), "")
        self.table.row(f"{what}: normal again after", recovery_s(rows, last), "s", "1")
        asked, again = (sum(now[i] - was[i] for now, was in zip(map(door_counts, self.cluster.nodes), before))
                        for i in (0, 1))
        self.table.row(f"{what}: attempts made again by doors", round(100 * again / asked, 1), "%", "10", requests=asked)
        if "--urgent" in words:
            offered, served = (sum(per_second(rows, key, True).get(s, 0) for s in over) for key in ("offered", "born_served"))
            self.table.row(f"{what}: urgent clients served", round(100 * served / offered, 2), "%", "99", clients=offered)
        if options.verbose:
            for second in range(max(ok) + 1):
                print(second, [(row["urgent"], row["offered"], row["ok"], row["attempts"], row["refused"],
                                row["timeouts"], row["other"], row["p50_ms"], row["p99_ms"]) for row in rows
                               if row["second"] == second], file=sys.stderr)


def peer(table):
    """The same question to HAProxy alone, plain and tuned by hand for this backend, in a copy of its folder."""
    script = os.path.join(PEER, "overload_bench.py")
    if not os.path.exists(script):
        return
    with tempfile.TemporaryDirectory(prefix="hs-peer-") as directory:
        for name in os.listdir(PEER):
            shutil.copy(os.path.join(PEER, name), directory)
        for name, more in (("backend", ["-pthread"]), ("openload", ["-lm"])):
            subprocess.run(["gcc", "-O2", "-o", name, name + ".c", *more], cwd=directory, check=True,
                           stderr=subprocess.DEVNULL)
        done = subprocess.run([sys.executable, os.path.join(directory, "overload_bench.py"), "--k", "10", "--cfgs",
                               "plain,limits", "--clients", "none,retry3", "--recov", "20", "--par", "2"],
                              capture_output=True, text=True, check=True, timeout=400)
    for result in json.loads(done.stdout)["results"]:
        what = f"HAProxy, {'tuned by hand' if result['cfg'] == 'limits' else 'plain'}, clients {result['clients']}"
        table.row(f"{what}: served in time, mean", result["goodput_during_mean"], "%",
                  worst_second=result["goodput_during_min"], p50_ms=result["p50_ms_during"],
                  p99_ms=result["p99_ms_during"], normal_after_s=result["recovery_s"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--factor", type=float, default=10)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--urgent", type=float, default=0.05, help="share of urgent clients")
    parser.add_argument("--only", default="plain,retries,urgent,peer")
    parser.add_argument("--verbose", action="store_true", help="every second on stderr")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    alone()
    table, parts = Table(options.json), options.only.split(",")
    with Cluster(size=NODES, first="127.1.0.11") as cluster:
        cluster.start()
        cluster.wait_members(NODES)
        deploy(cluster)
        bench = Bench(cluster, options, table)
        if "plain" in parts:
            bench.run("no retries")
        if "retries" in parts:
            bench.run("three retries", "--retries", "3")
        if "urgent" in parts:
            bench.run("urgent share", "--urgent", str(options.urgent))
            bench.run("urgent share, three retries", "--urgent", str(options.urgent), "--retries", "3")
        if options.verbose:
            print(cluster.cli("events"), file=sys.stderr)
    if "peer" in parts:
        peer(table)


if __name__ == "__main__":
    main()
