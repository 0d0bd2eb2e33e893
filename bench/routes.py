#!/usr/bin/env python3
"""What a partial cut costs: three boxes in network namespaces, work on one, people at the door of another, and the wire
between these two cut while the third reaches both. See bench/README.md."""

import argparse
import http.client
import json
import os
import shutil
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fleet import ROOT, Table, binary_path, summary  # noqa: E402
from cluster import CommandFailed  # noqa: E402
from load import Load  # noqa: E402
from namespaces import Net, NetCluster  # noqa: E402

APP = os.path.join(ROOT, "bench", "routes_app")
DOOR, WORK, RELAY = 0, 1, 2


def deploy(cluster):
    directory = tempfile.mkdtemp(prefix="compose-", dir=cluster.directory)
    shutil.copytree(APP, os.path.join(directory, "blob"))
    with open(os.path.join(directory, "compose.yaml"), "w", encoding="utf-8") as file:
        file.write("name: bench\nservices:\n  blob:\n"
                   '    x-process: {bundle: blob, command: ["python3", "-S", "-E", "-u", "blob.py"]}\n'
                   "    x-http: {path: /}\n    x-health: {http: /, interval: 1s, timeout: 1s}\n"
                   "    deploy:\n      replicas: 1\n"
                   f'      placement: {{constraints: ["node.hostname == {cluster.nodes[WORK].name}"]}}\n')
    cluster.deploy(file.name)
    cluster.wait_steady()


def way(cluster, a, b):
    rows = cluster.nodes[a].get("/v1/links")
    names = cluster.nodes[a].name, cluster.nodes[b].name
    return next((row["way"] for row in rows if (row["from"], row["to"]) == names), None)


def get(net, cluster, path, timeout):
    """(seconds, bytes) of one request at the door, made on its box."""
    began = time.monotonic()
    with net.inside(DOOR):
        connection = http.client.HTTPConnection(*cluster.nodes[DOOR].door.split(":"), timeout=timeout)
        connection.connect()
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        size = 0
        while piece := answer.read(1 << 18):
            size += len(piece)
        if answer.status != 200:
            raise OSError(f"status {answer.status}")
        return time.monotonic() - began, size
    finally:
        connection.close()


class Asker:
    """A request every 10 ms, each on a connection and thread of its own: when the first that was sent after a moment
    was answered."""

    def __init__(self, net, cluster):
        self.net, self.cluster, self.answered, self.ended = net, cluster, [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def one(self):
        began = time.monotonic()
        try:
            get(self.net, self.cluster, "/", 2)
            self.answered.append((began, time.monotonic()))
        except (OSError, http.client.HTTPException):
            pass

    def run(self):
        while not self.ended.wait(0.01):
            threading.Thread(target=self.one, daemon=True).start()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()

    def first_after(self, moment, patience=20):
        """Seconds from the moment until a request is answered that was sent from now on."""
        now = time.monotonic()
        while time.monotonic() < now + patience:
            done = [end for began, end in list(self.answered) if began > now]
            if done:
                return min(done) - moment
            time.sleep(0.002)
        raise TimeoutError("no answer any more")


def until(what, patience=30):
    """Seconds until it holds."""
    began = time.monotonic()
    while time.monotonic() - began < patience:
        try:
            if what():
                return time.monotonic() - began
        except (OSError, ValueError, CommandFailed, http.client.HTTPException):
            pass
        time.sleep(0.005)
    raise TimeoutError("it does not come true")


def spread(net, cluster, number):
    """Seconds until a wish told to one side of the cut is known on the other."""
    began = time.monotonic()
    cluster.nodes[DOOR].cli("quota", "set", "services", "--replicas", str(1000 + number))
    until(lambda: any(q["replicas"] == 1000 + number for q in cluster.nodes[WORK].get("/v1/quotas")))
    return time.monotonic() - began


def cuts(options, table, one_way):
    again, told, healed, failed, sent = [], [], [], 0, 0
    with Net(3) as net, NetCluster(net) as cluster:
        cluster.start()
        cluster.wait_members(3)
        deploy(cluster)
        for number in range(options.runs):
            cluster.wait_steady()
            until(lambda: way(cluster, DOOR, WORK) == "direct" and way(cluster, WORK, DOOR) == "direct")
            # Beside the asker, an open loop whose requests wait for their answers: what people would notice.
            load = Load(f"http://{cluster.nodes[DOOR].door}/", rate=100, timeout=5)
            load.argv = net.prefix(DOOR) + load.argv
            with Asker(net, cluster) as asker, load:
                asker.first_after(time.monotonic())
                moment = time.monotonic()
                if one_way:
                    net.cut(DOOR, WORK)
                else:
                    net.cut_both(DOOR, WORK)
                again.append(asker.first_after(moment))
                told.append(spread(net, cluster, number + 500 * one_way))
                until(lambda: way(cluster, DOOR, WORK) != "direct")
                time.sleep(1)
                net.mend()
                healed.append(until(lambda: way(cluster, DOOR, WORK) == "direct"))
                asker.first_after(time.monotonic())
                result = load.stop()
                failed += result["failed"]
                sent += result["sent"]
                if options.verbose:
                    print(f"  run {number}: again {again[-1]:.3f} s, healed {healed[-1]:.3f} s, "
                          f"{result['failed']} of {result['sent']} failed {result['reasons']}, since {moment:.1f}",
                          file=sys.stderr)
    name = "one direction cut" if one_way else "pair cut"
    table.row(f"{name}: requests flow again", summary(again)["median"], "s", 1, note=f"max {max(again):.3f}, {len(again)} runs")
    table.row(f"{name}: a wish of one side known on the other", summary(told)["median"], "s", 1, note=f"max {max(told):.3f}")
    table.row(f"{name}: direct path taken again after healing", summary(healed)["median"], "s", 5, note=f"max {max(healed):.3f}")
    table.row(f"{name}: failed requests of 100/s", failed / options.runs, "a cut", None, note=f"{failed} of {sent}")


def throughput(options, table):
    rates = {}
    with Net(3, rate_mbit=options.mbit) as net, NetCluster(net) as cluster:
        cluster.start()
        cluster.wait_members(3)
        deploy(cluster)
        size = options.mbit * 1_000_000 // 8 * options.seconds
        for name in ("direct", "one relay"):
            if name != "direct":
                net.cut_both(DOOR, WORK)
                until(lambda: way(cluster, DOOR, WORK) != "direct")
                until(lambda: get(net, cluster, "/", 2))
            runs = []
            for _ in range(3):
                seconds, got = get(net, cluster, f"/blob/{size}", 120)
                if got != size:
                    raise OSError(f"{got} of {size} bytes")
                runs.append(got * 8 / seconds / 1e6)
            rates[name] = summary(runs)["median"]
            table.row(f"{options.mbit} Mbit/s links, {name}", rates[name], "Mbit/s", None, note="one connection, median of 3")
            pings = [get(net, cluster, "/", 5)[0] * 1000 for _ in range(200)]
            table.row(f"small request, {name}", summary(pings)["median"], "ms", None, note=f"p99 {sorted(pings)[197]:.1f}")
    table.row("one relay / direct", rates["one relay"] / rates["direct"], "", 0.9, note="at least")


def main():
    parser = argparse.ArgumentParser(description="partial cuts in network namespaces")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--mbit", type=int, default=100)
    parser.add_argument("--seconds", type=int, default=4, help="of transfer at full rate")
    parser.add_argument("--only", default="pair,one-way,throughput")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    binary_path()
    table = Table(options.json)
    parts = options.only.split(",")
    if "pair" in parts:
        cuts(options, table, False)
    if "one-way" in parts:
        cuts(options, table, True)
    if "throughput" in parts:
        throughput(options, table)


if __name__ == "__main__":
    main()
