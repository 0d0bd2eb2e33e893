#!/usr/bin/env python3
"""How fast control passes on when the controller is killed, and what that does to work and to writes. See bench/README.md.

    bench/control.py 64 --runs 20

Times are from the SIGKILL until the successor's own lines are read: its claim (role.controller) and its first plan.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time

from fleet import GONE, Agents, Table, alone, cpu_seconds, sent_bytes, summary  # noqa: E402
from cluster import processes_of  # noqa: E402

COMPOSE = """name: work
services:
  sleep:
    x-process: {{command: ["sleep", "1000000"]}}
    healthcheck: {{disable: true}}
    deploy: {{replicas: {count}}}
"""


class Controlled(Agents):
    """Agents whose words on roles, plans and replicas are read as well."""

    LINE = re.compile(r"^\S+Z (role|plan|replica)\.(\S+) (\S+): (.*)$")

    def meaning(self, line):
        found = self.LINE.match(line)
        if not found:
            return super().meaning(line)
        kind, what, subject, cause = found.groups()
        return f"{kind}.{what}", f"{kind}s", f"{subject}: {cause}"

    def cli(self, name, *words):
        argv = [self.binary, *words, "--data", os.path.join(self.directory, name)]
        return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)

    def said(self, kind, since, text=""):
        """(when, who) first said so since then, or None."""
        for stamp, observer, said, words in self.events.get(kind.split(".")[0] + "s", ()):
            if stamp >= since and said == kind and text in words:
                return stamp, observer
        return None


def controller_of(fleet, name):
    """Control may just be changing hands: asked for a while."""
    for _ in range(20):
        for node in json.loads(fleet.cli(name, "nodes", "--json").stdout or "[]"):
            if node["state"] == "alive" and "controller" in node["roles"] and node["name"] in fleet.running:
                return node["name"]
        fleet.pump(0.25)
    sys.exit(f"nobody controls, says {name}\n{fleet.last_words()}")


def cost_at_rest(fleet, options, table):
    """CPU of all agents, and of all that belongs to them: HAProxy, shims, the work itself."""
    agents = list(fleet.pids().values())
    others = [pid for pid in processes_of(fleet.directory) if pid not in agents and pid != os.getpid()]
    seconds = lambda pids: sum(cpu_seconds(pid) for pid in pids if os.path.exists(f"/proc/{pid}/stat"))  # noqa: E731
    before, (sent, _), began = (seconds(agents), seconds(others)), sent_bytes(), time.monotonic()
    fleet.pump(options.steady)
    per_node = 60 / (time.monotonic() - began) / options.size
    table.row(f"{options.size}: at rest, CPU of an agent", round((seconds(agents) - before[0]) * per_node, 3), "s/min",
              of_its_haproxy_and_work=round((seconds(others) - before[1]) * per_node, 3),
              sent_bytes_per_s=round((sent_bytes()[0] - sent) * per_node / 60))


def write_during(fleet, name, seconds, took):
    """One write of intent after the other, each with the time it took."""
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        number += 1
        began = time.monotonic()
        done = fleet.cli(name, "quota", "set", "services", "--replicas", str(1000 + number))
        took.append((time.monotonic() - began, done.returncode, done.stderr.strip()))
        time.sleep(0.1)


def tell(fleet, old, began):
    gone = sorted(fleet.who(old, GONE, began).values())
    print(f"{old} killed; its end known to {len(gone)} from {gone[0] - began:.3f} to {gone[-1] - began:.3f}" if gone else
          f"{old} killed; nobody noticed", file=sys.stderr)
    for stamp, observer, kind, words in sorted(row for subject in ("roles", "plans", "replicas")
                                               for row in fleet.events.get(subject, ()) if row[0] >= began):
        print(f"  {stamp - began:7.3f} {observer} {kind} {words[:150]}", file=sys.stderr)


def measure(fleet, options, table):
    names = fleet.boot(options.size, options.gap)
    table.row(f"{options.size}: all known to all", len(names), "nodes")
    path = os.path.join(fleet.directory, "compose.yaml")
    with open(path, "w", encoding="utf-8") as file:
        file.write(COMPOSE.format(count=options.size))
    deployed = fleet.cli(names[0], "deploy", "-f", path)
    if deployed.returncode != 0:
        sys.exit(f"deploy: {deployed.stderr}")
    fleet.pump(options.quiet)
    cost_at_rest(fleet, options, table)
    claims, plans, writes, touched = [], [], [], 0
    for _ in range(options.runs):
        alive = [name for name in names if name in fleet.running]
        old = controller_of(fleet, alive[0])
        witness, took = next(name for name in alive if name != old), []
        writer = threading.Thread(target=write_during, args=(fleet, witness, options.writes, took))
        writer.start()
        fleet.pump(0.5)
        began, address = time.monotonic(), fleet.ip(old)
        fleet.kill(old)
        found = fleet.wait(lambda: fleet.said("plan.first", began), 10)
        claim, plan = fleet.said("role.controller", began), fleet.said("plan.first", began)
        claims.append(claim and claim[0] - began)
        plans.append(plan and plan[0] - began)
        if not found:
            print(f"after the end of {old} nobody planned\n{fleet.last_words()}", file=sys.stderr)
        fleet.pump(options.rest)
        writer.join()
        writes += took
        # The dead agent's work lives on, and until its patience is over nobody may have touched any of it.
        touched += sum(1 for stamp, _, kind, _ in fleet.events.get("plans", ())
                       if stamp >= began and kind in ("plan.start", "plan.stop", "plan.move", "plan.keep"))
        fleet.launch(old, address)
        fleet.pump(options.rest)
        if options.verbose:
            tell(fleet, old, began)
    claimed, planned = summary(claims), summary(plans)
    table.row(f"{options.size}: controller killed: the next one claims", claimed["median"], "s", max=claimed["max"],
              missed=claimed["missed"])
    table.row(f"{options.size}: controller killed: the next one has planned", planned["median"], "s", "<=0.100",
              max=planned["max"], runs=planned["n"], missed=planned["missed"])
    table.row(f"{options.size}: replicas started, stopped or moved by it", touched, "times", "0")
    failed = [words for _, code, words in writes if code != 0]
    took = summary([seconds for seconds, _, _ in writes])
    table.row(f"{options.size}: write of intent meanwhile", took["median"], "s", max=took["max"], writes=took["n"],
              failed=len(failed), why=failed[0] if failed else None)


def main():
    parser = argparse.ArgumentParser(description="control passes on")
    parser.add_argument("size", type=int, help="how many agents")
    parser.add_argument("--runs", type=int, default=10, help="controllers killed, one after the other")
    parser.add_argument("--quiet", type=float, default=30, help="seconds of rest before the first")
    parser.add_argument("--steady", type=float, default=10, help="seconds for which the cost at rest is measured")
    parser.add_argument("--verbose", action="store_true", help="what roles and plans did after each kill, on stderr")
    parser.add_argument("--rest", type=float, default=4, help="seconds after each kill and each return")
    parser.add_argument("--writes", type=float, default=2, help="seconds of writing around each kill; 0: none")
    parser.add_argument("--gap", type=float, default=0.1, help="seconds between starts")
    parser.add_argument("--json", action="store_true", help="one object per row")
    options = parser.parse_args()
    alone()
    with Controlled() as fleet:
        measure(fleet, options, Table(options.json))


if __name__ == "__main__":
    main()
