#!/usr/bin/env python3
"""Nine nodes, eight killed at once, and their return with stale state. See bench/README.md.

Three small services run on nine nodes, with 200 requests/s at the door of the one that will survive. The other eight lose
agent, HAProxy and all work in one sweep, the controller, the standby and all monitors but chance among them. The survivor
must accept a deploy and serve what fits; then the eight come back with the data directories they died with, and know
nothing of that deploy.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fleet import ROOT, Table, alone, binary_path, summary  # noqa: E402
from cluster import Cluster, kill_all_of, processes_of  # noqa: E402
from load import Load  # noqa: E402

APP = os.path.join(ROOT, "tests", "e2e", "apps", "echo")
COMMAND = ["python3", "-S", "-E", "-u", "echo.py"]
NODES = 9
SERVICES = {"one": 9, "two": 4, "three": 2}


def compose(cluster, stack, services):
    directory = tempfile.mkdtemp(prefix="compose-", dir=cluster.directory)
    shutil.copytree(APP, os.path.join(directory, "echo"))
    path = os.path.join(directory, "compose.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"name: {stack}\nservices:\n")
        for name, replicas in services.items():
            file.write(f"  {name}:\n    x-process: {{bundle: echo, command: {json.dumps(COMMAND)}}}\n"
                       f"    deploy: {{replicas: {replicas}}}\n    x-http: {{path: /{name}}}\n"
                       "    x-health: {http: /healthz, interval: 1s, timeout: 1s}\n")
    return path


def kill_boxes(nodes):
    """All of them in one sweep, as a power failure would. Returns the moment it began."""
    pids = [pid for node in nodes for pid in processes_of(node.data)]
    began = time.monotonic()
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for node in nodes:
        kill_all_of(node.data)
        node.process.wait(10)
    return began


def counts(cluster, node):
    """Healthy replicas of each service as a node sees them, and how many run in all."""
    rows = cluster.replicas(node=node)
    healthy = {}
    for row in rows:
        if row["state"] == "running" and row["health"] == "healthy":
            healthy[row["service"]] = healthy.get(row["service"], 0) + 1
    return healthy, len(rows)


def spread_of(cluster, node, service):
    per_node = {n.name: 0 for n in cluster.nodes}
    for row in cluster.replicas(service, node):
        per_node[row["node"]] += 1
    return max(per_node.values()) - min(per_node.values())


def as_before(cluster, services):
    """Every node sees everything asked for, no more, spread within one, and says that it is steady."""
    for node in cluster.nodes:
        if counts(cluster, node) != (services, sum(services.values())) or not cluster.status(node)["steady"]:
            return False
    return all(spread_of(cluster, cluster.nodes[0], service) <= 1 for service in services)


class Regrow:
    def __init__(self, cluster, options):
        self.cluster, self.options = cluster, options

    def run(self, survivor):
        cluster, others = self.cluster, [n for n in self.cluster.nodes if n is not survivor]
        services = {**SERVICES, "extra": 1}
        with Load(f"http://{survivor.door}/one", self.options.rate) as load:
            time.sleep(2)
            died = kill_boxes(others)
            deployed = self.deploy(survivor, died, compose(cluster, "late", {"extra": 1}))
            cluster.wait(lambda: counts(cluster, survivor)[0] == services, 60, "the survivor serves everything")
            serves = time.monotonic() - died
            time.sleep(max(1, self.options.grace + 1 - serves))
            returned = time.monotonic()
            for node in others:
                node.start()
            cluster.wait(lambda: as_before(cluster, services), 120, "the same steady state as before")
            same = time.monotonic() - returned
            time.sleep(1)
            result = load.stop()
        lost = [n.name for n in cluster.nodes if not cluster.replicas("extra", n)]
        failed = [(b["t"], b["failed"]) for b in result["buckets"] if b["failed"]]
        row = {"deployed": deployed, "serves": serves, "same": same, "lost": len(lost),
               "failed_alone": sum(count for at, count in failed if died + self.options.grace <= at < returned),
               "failed_back": sum(count for at, count in failed if at >= returned), "reasons": result["reasons"],
               "failed_after_return_s": [round(at - returned, 1) for at, _ in failed if at >= returned]}
        if self.options.verbose:
            print(row, file=sys.stderr)
            print(cluster.cli("events", node=survivor), file=sys.stderr)
        cluster.cli("rm", "late")
        cluster.wait(lambda: as_before(cluster, SERVICES), 120, "ready for the next run")
        return row

    def deploy(self, survivor, died, path):
        """Seconds from the deaths until the survivor acknowledges a deploy; how it goes on is measured apart."""
        with subprocess.Popen([self.cluster.binary, "deploy", "-f", path, "--data", survivor.data], cwd="/",
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as deploy:
            first = deploy.stdout.readline()
            at = time.monotonic() - died
            deploy.stdout.read()
        if "accepted" not in first:
            raise RuntimeError(f"the deploy was not accepted: {first!r}")
        return at


def main():
    parser = argparse.ArgumentParser(description="nine nodes, eight killed at once, and their return")
    parser.add_argument("--runs", type=int, default=3, help="the survivor is another node in each")
    parser.add_argument("--rate", type=float, default=200, help="requests per second at the survivor's door")
    parser.add_argument("--grace", type=float, default=3.0, help="seconds after the deaths in which requests may fail")
    parser.add_argument("--verbose", action="store_true", help="each run on stderr")
    parser.add_argument("--json", action="store_true", help="one object per row")
    options = parser.parse_args()
    alone()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    table = Table(options.json)
    with tempfile.TemporaryDirectory(prefix="hs-bench-bin-") as copy:
        shutil.copytree(os.path.dirname(binary_path()), copy, dirs_exist_ok=True)
        with Cluster(size=NODES, first="127.1.0.11", binary=os.path.join(copy, "homeostat")) as cluster:
            cluster.start(60)
            cluster.wait_members(NODES, 60)
            cluster.deploy(compose(cluster, "bench", SERVICES))
            cluster.wait(lambda: as_before(cluster, SERVICES), 120, "the steady state to come back to")
            regrow = Regrow(cluster, options)
            rows = [regrow.run(cluster.nodes[(4 * run) % NODES]) for run in range(options.runs)]
    deployed, serves, same = (summary([row[key] for row in rows]) for key in ("deployed", "serves", "same"))
    table.row("8 of 9 killed: the survivor accepts a deploy, median", deployed["median"], "s", "<=3",
              max=deployed["max"], runs=len(rows))
    table.row("8 of 9 killed: the survivor serves what fits, median", serves["median"], "s", "<=3", max=serves["max"])
    table.row(f"8 of 9 killed: failed at the survivor later than {options.grace} s", sum(r["failed_alone"] for r in rows),
              "requests", "0")
    table.row("the 8 return stale: same steady state, median", same["median"], "s", "<=10", max=same["max"])
    table.row("the 8 return stale: failed at the survivor", sum(r["failed_back"] for r in rows), "requests", "0",
              reasons=[r["reasons"] for r in rows])
    table.row("nodes that lost the acknowledged deploy", sum(r["lost"] for r in rows), "nodes", "0")


if __name__ == "__main__":
    main()
