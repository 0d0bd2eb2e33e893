#!/usr/bin/env python3
"""What users notice when a box dies, is cut off, or loses its agent. See bench/README.md.

Five nodes on loopback addresses, a tiny app, 500 requests/s that leave at a fixed rate at another node's door. "The
replacement answers" when a replica that did not exist before answers a request through that door; the time includes the
app's own start, which is measured too.
"""

import argparse
import collections
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fleet import ROOT, Table, alone, binary_path, cut, summary, uncut  # noqa: E402
from cluster import Cluster, is_running, processes_of  # noqa: E402
from load import Load, failures_after  # noqa: E402

APP = os.path.join(ROOT, "tests", "e2e", "apps", "echo")
COMMAND = ["python3", "-S", "-E", "-u", "echo.py"]
GRACE_S = 0.1


class DoorWatch:
    """Asks a door again and again, and notes when each replica answered for the first time."""

    def __init__(self, door):
        self.door, self.first, self.ended = door, {}, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        while not self.ended.wait(0.004):
            connection = http.client.HTTPConnection(*self.door.split(":"), timeout=2)
            try:
                connection.request("GET", "/")
                answer = connection.getresponse()
                if answer.status == 200:
                    self.first.setdefault(json.loads(answer.read())["replica"], time.monotonic())
            except (OSError, ValueError, http.client.HTTPException):
                pass
            finally:
                connection.close()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def app_start_s():
    """Median time from the app's start until it answers, without anything of ours."""
    times = []
    for port in range(20001, 20008):
        environment = {**os.environ, "PORT": str(port), "HOST": "127.0.0.1"}
        began = time.monotonic()
        with subprocess.Popen(COMMAND, cwd=APP, env=environment, stdout=subprocess.DEVNULL) as app:
            while time.monotonic() - began < 10:
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=1)
                try:
                    connection.request("GET", "/healthz")
                    if connection.getresponse().status == 200:
                        times.append(time.monotonic() - began)
                        break
                except OSError:
                    time.sleep(0.0005)
                finally:
                    connection.close()
            app.kill()
    return summary(times)["median"]


def deploy(cluster, replicas, more=""):
    directory = tempfile.mkdtemp(prefix="compose-", dir=cluster.directory)
    shutil.copytree(APP, os.path.join(directory, "echo"))
    with open(os.path.join(directory, "compose.yaml"), "w", encoding="utf-8") as file:
        file.write("name: bench\nservices:\n  echo:\n"
                   f"    x-process: {{bundle: echo, command: {json.dumps(COMMAND)}}}\n"
                   f"    deploy: {{replicas: {replicas}{more}}}\n"
                   "    x-http: {path: /}\n    x-health: {http: /healthz, interval: 1s, timeout: 1s}\n")
    cluster.deploy(file.name)
    settled(cluster, replicas)


def settled(cluster, replicas):
    cluster.wait(lambda: all(len(cluster.healthy("echo", n)) == replicas == len(cluster.replicas("echo", n))
                             for n in cluster.up_nodes()), 60, f"{replicas} healthy replicas everywhere")
    cluster.wait_steady()


def show_buckets(result, moment):
    """Where requests failed or were slow, in seconds after the deed."""
    for b in result["buckets"]:
        if b["failed"] or b["max_ms"] > 100:
            print(f"  {b['t'] - moment:+.1f} s: {b['failed']} of {b['sent']} failed, at most {b['max_ms']} ms",
                  file=sys.stderr)


def controller_name(cluster):
    for member in cluster.members():
        if "controller" in json.dumps(member["roles"]):
            return member["name"]
    return None


class Heal:
    def __init__(self, cluster, options, table):
        self.cluster, self.options, self.table = cluster, options, table
        self.start_s = app_start_s()

    def choose(self, run):
        """(whose door is asked, who is harmed): in turn the controller and others, with work, never the one asked."""
        leads = controller_name(self.cluster)
        work = collections.Counter(row["node"] for row in self.cluster.replicas())
        nodes = sorted((n for n in self.cluster.nodes if work[n.name]), key=lambda n: (n.name == leads) != (run % 2 == 1))
        victim = nodes[0]
        asked = next(n for n in self.cluster.nodes if n is not victim and n.name != leads)
        return asked, victim, victim.name == leads

    def harm(self, how, run, replicas):
        asked, victim, led = self.choose(run)
        before = {row["replica"] for row in self.cluster.replicas()}
        lost = sum(row["node"] == victim.name for row in self.cluster.replicas())
        with DoorWatch(asked.door) as watch, Load(f"http://{asked.door}/", self.options.rate) as load:
            time.sleep(2)
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
            if how == "killed":
                moment = victim.kill_box()
            else:
                moment = time.monotonic()
                cut(victim.ip)
            self.cluster.wait(lambda: len(set(watch.first) - before) >= lost, 60, "the replacements answer")
            time.sleep(2)
            result = load.stop()
        if self.options.verbose:
            print(f"harmed {victim.name} (led: {led}) at {stamp}, asked {asked.name}", file=sys.stderr)
            print(self.cluster.cli("events", node=asked), file=sys.stderr)
            show_buckets(result, moment)
        new = sorted(at - moment for name, at in watch.first.items() if name not in before)
        if how == "killed":
            victim.start()
        else:
            uncut()
        self.cluster.wait_members(len(self.cluster.nodes), 60)
        settled(self.cluster, replicas)
        return {"answers": new[0], "last_answers": new[-1], "failed": result["failed"], "led": led,
                "failed_late": failures_after(result, moment, GRACE_S), "reasons": result["reasons"],
                "late_start_ms": result["late_start_ms_max"], "p99_ms": result["p99_ms"], "max_ms": result["max_ms"]}

    def boxes(self, how, bar_s, replicas=4):
        deploy(self.cluster, replicas)
        rows = []
        for run in range(self.options.runs):
            row = self.harm(how, run, replicas)
            rows.append(row)
            if self.options.verbose:
                print(row, file=sys.stderr)
        late = sum(row["failed_late"] for row in rows)
        self.table.row(f"box {how}: failed after the first 100 ms, all runs", late, "requests", "0",
                       failed_before=sum(row["failed"] for row in rows) - late, runs=len(rows),
                       reasons=dict(sum((collections.Counter(row["reasons"]) for row in rows), collections.Counter())),
                       worst_ms=max(row["max_ms"] for row in rows),
                       load_left_late_ms=max(row["late_start_ms"] for row in rows))
        for led in (False, True):
            whole = summary([row["answers"] for row in rows if row["led"] == led])
            if whole["n"]:
                self.table.row(f"box {how}: replacement answers, {'controller' if led else 'other'} box, median",
                               whole["median"], "s", f"<={bar_s + self.start_s:.3f}", max=whole["max"],
                               app_start=self.start_s, runs=whole["n"],
                               all_replaced=summary([row["last_answers"] for row in rows if row["led"] == led])["median"])
        self.cluster.cli("rm", "bench")
        self.cluster.wait(lambda: not self.cluster.replicas(), 30, "everything is stopped")

    def agent(self, replicas=50):
        """The agent of a box with many replicas dies and comes again; the work must not notice."""
        box, asked = self.cluster.nodes[-1], self.cluster.nodes[1]
        deploy(self.cluster, replicas, ', placement: {constraints: ["node.labels.box == full"]}')
        adopted, failed, restarted, doubled = [], 0, 0, 0
        for _ in range(self.options.runs):
            before = {row["replica"]: row["pid"] for row in self.cluster.replicas("echo")}
            with Load(f"http://{asked.door}/", self.options.rate) as load:
                time.sleep(1)
                box.kill_agent()
                time.sleep(0.5)
                began = time.monotonic()
                box.start()
                def all_there():
                    rows = self.cluster.healthy("echo", box)
                    return {r["replica"]: r["pid"] for r in rows} == before
                self.cluster.wait(all_there, 30, "all adopted", every=0.01)
                adopted.append(time.monotonic() - began)
                self.cluster.wait_members(len(self.cluster.nodes), 30)
                settled(self.cluster, replicas)
                time.sleep(1)
                result = load.stop()
            failed += result["failed"]
            after = {row["replica"]: row for row in self.cluster.replicas("echo")}
            restarted += sum(row["restarts"] > 0 or before.get(name) != row["pid"] for name, row in after.items())
            doubled += abs(self.running_apps() - replicas)
            if self.options.verbose:
                print(f"adopted after {adopted[-1]:.3f} s, {result['reasons']}, at most {result['max_ms']} ms",
                      file=sys.stderr)
                show_buckets(result, began)
        whole = summary(adopted)
        self.table.row(f"agent restarted, {replicas} replicas: all adopted, median", whole["median"], "s", "<=1",
                       max=whole["max"], runs=whole["n"])
        self.table.row(f"agent restarted, {replicas} replicas: failed", failed, "requests", "0")
        self.table.row(f"agent restarted, {replicas} replicas: restarted", restarted, "replicas", "0")
        self.table.row(f"agent restarted, {replicas} replicas: processes too many or few", doubled, "", "0")

    def running_apps(self):
        count = 0
        for pid in processes_of(self.cluster.directory):
            try:
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    words = file.read().split(b"\0")
            except OSError:
                continue
            count += os.path.basename(words[0]).startswith(b"python3") and b"echo.py" in words and is_running(pid)
        return count


def main():
    parser = argparse.ArgumentParser(description="a box dies, is cut off, or loses its agent, under load")
    parser.add_argument("--runs", type=int, default=6, help="of each; every second one harms the controller's box")
    parser.add_argument("--rate", type=float, default=500, help="requests per second")
    parser.add_argument("--only", choices=("killed", "cut", "agent"))
    parser.add_argument("--verbose", action="store_true", help="each run on stderr")
    parser.add_argument("--json", action="store_true", help="one object per row")
    options = parser.parse_args()
    alone()
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    table = Table(options.json)
    with tempfile.TemporaryDirectory(prefix="hs-bench-bin-") as copy:
        # A copy: a build that ends meanwhile must not change what is measured.
        shutil.copytree(os.path.dirname(binary_path()), copy, dirs_exist_ok=True)
        with Cluster(size=5, first="127.1.0.11", binary=os.path.join(copy, "homeostat"),
                     labels=lambda number: {"box": "full" if number == 4 else "plain"}) as cluster:
            cluster.start()
            cluster.wait_members(5)
            heal = Heal(cluster, options, table)
            table.row("the app's own start, median", heal.start_s, "s")
            if options.only in (None, "killed"):
                heal.boxes("killed", 0.3)
            if options.only in (None, "cut"):
                heal.boxes("cut", 2.5)
            if options.only in (None, "agent"):
                heal.agent()


if __name__ == "__main__":
    main()
