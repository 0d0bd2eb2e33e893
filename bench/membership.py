#!/usr/bin/env python3
"""How fast real agents learn of each other's fate, and what being a member costs. See bench/README.md.

    bench/membership.py 64 --runs 10            # joins, kills, silence, cuts, steady cost
    bench/membership.py 16 --serf               # the same beside Serf, with the ratios
    bench/membership.py 16 --only stops         # members that stop and go on: is anybody healthy accused?

Times are from the deed (or, for joins, from the joiner's process start) until the last member says so.
"""

import argparse
import random
import shutil
import signal
import sys
import time

from fleet import GONE, Agents, SerfAgents, Table, alone, cpu_seconds, cut, memory_mb, sent_bytes, summary, uncut

PARTS = ("steady", "join", "kill", "stop", "cut", "stops")
# (stopped at once, of how many, seconds stopped, period); the patterns
PATTERNS = ((1, 16, 5, 15), (4, 16, 10, 20), (16, 64, 10, 20))


def bars(size):
    """What the project holds itself to, for the rows that have a bar at this size."""
    silence = {16: "<=1.2", 64: "<=1.5"}.get(size)
    return {"kill": "<=0.030" if size == 64 else None, "kill max": "<=0.250" if size == 64 else None,
            "stop": silence, "cut": silence, "stop p99": "<=3" if size == 64 else None,
            "cut p99": "<=3" if size == 64 else None, "join": "<=0.200" if size == 64 else None,
            "rss": "<=15" if size == 16 else None}


class Bench:
    def __init__(self, fleet, names, options, table):
        self.fleet, self.names, self.options, self.table = fleet, list(names), options, table
        self.random = random.Random(options.seed)
        self.bars = bars(len(names)) if fleet.tool == "homeostat" else {}
        self.figures = {}

    def say(self, what, value, unit, bar=None, **more):
        self.table.row(f"{self.fleet.tool} {self.options.size}: {what}", value, unit, self.bars.get(bar), **more)

    def steady(self):
        """The cost of being there while nothing happens."""
        self.fleet.pump(self.options.quiet)
        pids = self.fleet.pids()
        cpu, (bytes_before, packets_before) = {n: cpu_seconds(p) for n, p in pids.items()}, sent_bytes()
        began = time.monotonic()
        self.fleet.pump(self.options.steady)
        seconds = time.monotonic() - began
        (bytes_after, packets_after) = sent_bytes()
        minutes = [(cpu_seconds(p) - cpu[n]) * 60 / seconds for n, p in pids.items()]
        memory = [memory_mb(p) for p in pids.values()]
        count = len(pids)
        self.figures["bytes"] = round((bytes_after - bytes_before) / seconds / count, 1)
        self.figures["cpu"] = sum(minutes) / count
        self.say("sent per node", self.figures["bytes"], "B/s",
                 packets_per_s=round((packets_after - packets_before) / seconds / count, 2))
        cost = summary(minutes)
        self.say("CPU per node, mean", round(self.figures["cpu"], 3), "s/min", median=cost["median"], max=cost["max"])
        resident, share = summary([m[0] for m in memory], 1), summary([m[1] for m in memory], 1)
        self.figures["rss"] = resident["median"]
        self.say("resident, median", resident["median"], "MB", "rss", max=resident["max"], pss=share["median"])

    def join(self):
        """Fresh nodes, one after the other, in the place of one that was there: each makes the cluster whole again."""
        from_start, from_first = [], []
        for _ in range(self.options.runs):
            began, leaver = time.monotonic(), self.names.pop()
            self.fleet.kill(leaver)
            self.fleet.until_all(leaver, GONE, began, self.names, 60)
            self.fleet.pump(self.random.uniform(2.0, 2.5))
            began = time.monotonic()
            name = self.fleet.start()
            times = self.fleet.until_all(name, ("alive",), began, self.names, 30)
            from_start.append(times and max(times) - began)
            from_first.append(times and max(times) - min(times))
            self.names.append(name)
            self.fleet.pump(0.5)
        whole, spread = summary(from_start), summary(from_first)
        self.say("join known to all, from process start", whole["median"], "s", "join", p99=whole["p99"],
                 missed=whole["missed"])
        self.say("join known to all, from the first who knows", spread["median"], "s", p99=spread["p99"])

    def detect(self, how):
        """Something happens to one member: when do all the others know?"""
        all_known, first_known, each, wrong = [], [], [], []
        victims = [n for n in self.names[1:] if n in self.fleet.running]
        self.random.shuffle(victims)
        for victim in victims[:self.options.runs]:
            self.fleet.pump(self.random.uniform(0.5, 1.5))
            began, others = time.monotonic(), [n for n in self.names if n in self.fleet.running and n != victim]
            self.harm(how, victim)
            times = self.fleet.until_all(victim, GONE, began, others, 60)
            all_known.append(times and max(times) - began)
            first_known.append(times and min(times) - began)
            each += [t - began for t in times or ()]
            if not times:
                print(f"{how} of {victim}: known to {len(self.fleet.who(victim, GONE, began))} of {len(others)}",
                      file=sys.stderr)
            wrong += [row for row in self.fleet.accused(began, (victim,)) if row[0] != victim]
            self.heal(how, victim, others)
        whole = summary(all_known)
        self.figures[how] = whole["median"]
        self.say(f"{how} known to all, median", whole["median"], "s", how, first=summary(first_known)["median"],
                 runs=whole["n"], missed=whole["missed"])
        self.say(f"{how} known to all, max", whole["max"], "s", f"{how} max" if how == "kill" else f"{how} p99",
                 p99_of_each_observer=summary(each)["p99"])
        self.say(f"{how}: others accused", len(wrong), "times", who=wrong[:3] or None)

    def harm(self, how, victim):
        if how == "kill":
            self.fleet.kill(victim)
            self.names.remove(victim)
        elif how == "stop":
            self.fleet.signal(victim, signal.SIGSTOP)
        else:
            cut(self.fleet.ip(victim))

    def heal(self, how, victim, others):
        began = time.monotonic()
        if how == "kill":
            fresh = self.fleet.start()
            if not self.fleet.until_all(fresh, ("alive",), began, others, 30):
                raise RuntimeError(f"{fresh} did not get in\n{self.fleet.last_words()}")
            self.names.append(fresh)
            return
        if how == "stop":
            self.fleet.signal(victim, signal.SIGCONT)
        else:
            uncut()
        if not self.fleet.until_all(victim, ("alive",), began, others, 60):
            back = self.fleet.who(victim, ("alive",), began)
            print(f"{victim} is not back for all after its {how}: {len(back)} of {len(others)}", file=sys.stderr)
        # It may have lost sight of others as well.
        self.fleet.pump(1.0)

    def stops(self, count, stop_s, period_s):
        """Some members stop and go on, each at its own phase. Nobody else may be blamed."""
        victims = self.random.sample([n for n in self.names[1:] if n in self.fleet.running], count)
        self.fleet.pump(5)
        began = time.monotonic()
        ends = began + self.options.stops
        for victim in victims:
            moment = began + self.random.uniform(0, period_s)
            while moment < ends:
                self.fleet.at(moment, lambda v=victim: self.fleet.signal(v, signal.SIGSTOP))
                self.fleet.at(moment + stop_s, lambda v=victim: self.fleet.signal(v, signal.SIGCONT))
                moment += period_s
        self.fleet.pump(self.options.stops + stop_s + 10)
        wrong = self.fleet.accused(began, victims)
        noticed = sum(1 for v in victims for row in self.fleet.events.get(v, ())
                      if row[0] >= began and row[2] in GONE and row[1] not in victims)
        by_stopped = [row for row in wrong if row[0] in victims]
        self.say(f"{count} stopped {stop_s} s of {period_s} s: healthy accused", len({row[1] for row in wrong}),
                 "members", times=len(wrong), by_the_stopped=len(by_stopped), stopped_declared=noticed,
                 seconds=round(time.monotonic() - began), who=wrong[:3] or None)


def run(fleet, options, table):
    parts = options.only.split(",") if options.only else list(PARTS)
    with fleet:
        began = time.monotonic()
        names = fleet.boot(options.size, options.gap)
        table.row(f"{fleet.tool} {options.size}: all started and known to all", round(time.monotonic() - began, 1), "s")
        bench = Bench(fleet, names, options, table)
        for part in parts:
            if part == "steady":
                bench.steady()
            elif part == "join":
                bench.join()
            elif part == "stops":
                for count, of, stop_s, period_s in PATTERNS:
                    if of == options.size:
                        bench.stops(count, stop_s, period_s)
            else:
                bench.detect(part)
        return bench.figures


def compare(ours, serf, size, table):
    def ratio(get):
        try:
            return round(get(ours) / get(serf), 3)
        except (KeyError, TypeError, ZeroDivisionError):
            return None
    table.row(f"{size}: bytes, ours to Serf's", ratio(lambda f: f["bytes"]), "ratio")
    table.row(f"{size}: bytes x silence, ours to Serf's", ratio(lambda f: f["bytes"] * f["stop"]), "ratio", "<=0.5")
    table.row(f"{size}: CPU, ours to Serf's", ratio(lambda f: f["cpu"]), "ratio", "<=1")
    table.row(f"{size}: resident, ours to Serf's", ratio(lambda f: f["rss"]), "ratio")


def main():
    parser = argparse.ArgumentParser(description="membership of real agents: speed and cost")
    parser.add_argument("size", type=int, help="how many agents")
    parser.add_argument("--runs", type=int, default=10, help="joins, kills, stops and cuts each")
    parser.add_argument("--steady", type=float, default=60, help="seconds for which the steady cost is measured")
    parser.add_argument("--quiet", type=float, default=40, help="seconds of rest before that: those who just joined still compare notes")
    parser.add_argument("--stops", type=float, default=90, help="seconds of each stop pattern")
    parser.add_argument("--gap", type=float, default=0.1, help="seconds between starts")
    parser.add_argument("--only", default="", help=f"parts, separated by commas: {', '.join(PARTS)}")
    parser.add_argument("--serf", action="store_true", help="Serf after it in the same run, and the ratios")
    parser.add_argument("--seed", type=int, default=1, help="chooses victims and pauses")
    parser.add_argument("--set", action="append", default=[], help="NAME=VALUE of a tunable (repeatable)")
    parser.add_argument("--json", action="store_true", help="one object per row")
    options = parser.parse_args()
    alone()
    table = Table(options.json)
    ours = run(Agents([word for setting in options.set for word in ("--set", setting)]), options, table)
    if options.serf:
        if not shutil.which("serf"):
            sys.exit("--serf: no serf here; apt-get install serf")
        compare(ours, run(SerfAgents(), options, table), options.size, table)


if __name__ == "__main__":
    main()
