"""The part of tools/demo that runs after the build: five nodes, a shop, load, and one box less."""

import argparse
import os
import signal
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

from cluster import Cluster, CommandFailed, Timeout  # noqa: E402
from load import Load, failures_after  # noqa: E402

GONE = ("agent-down", "unreachable", "dead", "left")
GRACE_S = 0.1  # the promise: no failed idempotent request later than this after the kill


def say(text=""):
    print(text, flush=True)


def replicas(count):
    return f"{count} replica{'' if count == 1 else 's'}"


class Clock:
    """Steps with the time they took."""

    def __init__(self):
        self.last = time.monotonic()

    def step(self, text):
        now = time.monotonic()
        say(f"  {text} ({now - self.last:.1f} s)")
        self.last = now


class Watch:
    """When each living node said that `victim` is gone, and when every service was whole again without it."""

    def __init__(self, cluster, victim):
        self.cluster, self.victim, self.noticed, self.replaced = cluster, victim, {}, None
        self.others = [node for node in cluster.nodes if node is not victim]
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self.see, args=(node,), daemon=True) for node in self.others]
        self.threads.append(threading.Thread(target=self.count, daemon=True))

    def start(self):
        for thread in self.threads:
            thread.start()

    def see(self, node):
        while not self.ended.is_set():
            try:
                state = next((m["state"] for m in node.get("/v1/nodes", 1) if m["name"] == self.victim.name), "left")
            except (OSError, ValueError):
                state = "?"
            if state in GONE:
                self.noticed[node.name] = time.monotonic()
                return
            time.sleep(0.02)  # asking more often would itself be load

    def count(self):
        node = self.others[0]
        while not self.ended.is_set():
            try:
                wanted = {s["service"]: s["desired"] for s in node.get("/v1/services", 1)}
                healthy = {}
                for row in node.get("/v1/replicas", 1):
                    if row["node"] != self.victim.name and row["state"] == "running" and row["health"] == "healthy":
                        healthy[row["service"]] = healthy.get(row["service"], 0) + 1
                if wanted and all(healthy.get(name, 0) >= count for name, count in wanted.items()):
                    self.replaced = time.monotonic()
                    return
            except (OSError, ValueError):
                pass
            time.sleep(0.02)

    def is_done(self):
        return len(self.noticed) == len(self.others) and self.replaced is not None

    def stop(self):
        self.ended.set()
        for thread in self.threads:
            if thread.ident:
                thread.join()


def show_replicas(cluster):
    for row in sorted(cluster.replicas(), key=lambda r: (r["service"], r["node"])):
        say(f"    {row['service']:<6} {row['replica']:<16} {row['node']:<12} {row['state']:<10} {row['health']}")


def choose_victim(cluster):
    """Not the box whose door is under load; among the rest the one with the most work."""
    work = {node.name: 0 for node in cluster.nodes[1:]}
    for row in cluster.replicas():
        if row["node"] in work:
            work[row["node"]] += 1
    name = max(work, key=lambda n: work[n])
    return next(node for node in cluster.nodes if node.name == name), work[name]


def bring_up(cluster):
    clock = Clock()
    say("starting five nodes")
    cluster.start()
    cluster.wait_members(len(cluster.nodes))
    clock.step("all five see each other")
    say("deploying examples/shop/compose.yaml")
    cluster.deploy("examples/shop/compose.yaml")
    clock.step("every replica is healthy")
    cluster.wait_steady()
    clock.step("steady")
    show_replicas(cluster)


def kill_under_load(cluster, url, rate, seconds):
    """Returns (load's result, watch, moment of the kill, how many replicas were killed, whether it got steady)."""
    say(f"load: {rate:g} requests/s at {url}, whether or not they are answered")
    with Load(url, rate=rate) as load:
        time.sleep(seconds)
        victim, lost = choose_victim(cluster)
        watch = Watch(cluster, victim)
        say(f"SIGKILL to the box {victim.name}: its agent, its HAProxy and its {replicas(lost)}")
        watch.start()
        killed_ms = int(time.time() * 1000)
        moment = victim.kill_box()
        steady = True
        try:
            cluster.wait(watch.is_done, 60, "noticed by all and replaced")
            cluster.wait_steady(60)
        except Timeout as error:
            say(f"  {error}")
            steady = False
        watch.stop()
        time.sleep(seconds)
        result = load.stop()
    tell(cluster, killed_ms)
    say(f"    {cluster.cli('why', victim.name).splitlines()[0]}")
    return result, watch, moment, lost, steady


TOLD = ("member.", "plan.lost", "plan.start", "replica.running", "role.")


def tell(cluster, since_ms, lines=12):
    """What the cluster itself says of the loss, by its events."""
    say("  in the cluster's own words (homeostat events, homeostat why):")
    events = [e for e in cluster.any_node().get(f"/v1/events?n=200&since_ms={since_ms}") if e["kind"].startswith(TOLD)]
    for event in events[:lines]:
        say(f"    +{event['at_ms'] - since_ms:4} ms  {event['kind']:<16} {event['subject']}: {event['cause']}")


def serves(url, rate, patience_s=60):
    """Whether a whole second of load goes without an error, now or soon: a starved box needs a moment."""
    until = time.monotonic() + patience_s
    while True:
        with Load(url, rate=rate) as load:
            time.sleep(1)
            result = load.stop()
        if result["ok"] and not result["failed"]:
            return True
        if time.monotonic() > until:
            return False


def report(cluster, result, watch, moment, lost, steady, serving):
    """Prints the figures. Returns whether the cluster healed."""
    def after(at):
        return "never" if at is None else f"{(at - moment) * 1000:.0f} ms"

    last = max(watch.noticed.values()) if len(watch.noticed) == len(watch.others) else None
    late = failures_after(result, moment, GRACE_S)
    say()
    say(f"  requests                {result['sent']}  (p50 {result['p50_ms']} ms, p99 {result['p99_ms']} ms, "
        f"max {result['max_ms']} ms)")
    say(f"  errors                  {result['failed']}  {result['reasons'] or ''}")
    say(f"  errors later than {GRACE_S * 1000:.0f} ms  {late}")
    say(f"  noticed by all          {after(last)}")
    say(f"  {replicas(lost) + ' replaced':<22}  {after(watch.replaced)}")
    if result["late_start_ms_max"] > 50:
        say(f"  (this box was too busy: the load left up to {result['late_start_ms_max']:.0f} ms late)")
    show_replicas(cluster)
    say(f"  serving without error   {'yes' if serving else 'NO'}")
    healed = steady and last is not None and watch.replaced is not None and serving
    say()
    say("the cluster healed" if healed else "THE CLUSTER DID NOT HEAL")
    return healed


def stay(cluster, url):
    node = cluster.nodes[0]
    say()
    say(f"  the shop       {url}   (any living node: port {cluster.door_port})")
    say(f"  ask a node     {cluster.binary} status --data {node.data}")
    say(f"                 {cluster.binary} events --data {node.data}")
    say("Ctrl-C ends it all")
    while True:
        signal.pause()


def main():
    parser = argparse.ArgumentParser(description="five nodes, a shop, load, and one box less")
    parser.add_argument("--once", action="store_true", help="end by itself; exit code 0 only if the cluster healed")
    parser.add_argument("--rate", type=float, default=200, help="requests per second")
    parser.add_argument("--seconds", type=float, default=4, help="of load before the kill and after the healing")
    options = parser.parse_args()
    try:
        with Cluster(size=5, first="127.0.0.11") as cluster:
            bring_up(cluster)
            url = f"http://{cluster.nodes[0].door}/"
            items = url + "api/items"
            outcome = kill_under_load(cluster, items, options.rate, options.seconds)
            healed = report(cluster, *outcome, serves(items, options.rate))
            if not options.once:
                stay(cluster, url)
            return 0 if healed else 1
    except (Timeout, CommandFailed, FileNotFoundError, RuntimeError) as error:
        say(f"the demo failed: {error}")
        return 1
    except KeyboardInterrupt:
        say("ended")
        return 130


if __name__ == "__main__":
    sys.exit(main())
