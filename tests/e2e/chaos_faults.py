"""The faults of a chaos run, drawn from a seed: each is done to boxes or wires, and healed after a time of its own.

At most two boxes are hurt at a time and one fault is on the network, so that what capacity is left is known. A box that
is off or silent is replaced within a promised time; that time is announced to the watcher (chaos_watch.py).
"""

import collections
import os
import signal
import time

from chaos_watch import KILLED_S, SILENT_S, names

BOXES_HURT_MAX = 2
RESTART_ALL_GAP_S = 60
SKEWS_S = (-86400, -3600, -30, 20, 120, 3600, 365 * 86400)


class Fault:
    def __init__(self, kind, boxes, until, heal, network=False):
        self.kind, self.boxes, self.until, self.heal, self.network = kind, boxes, until, heal, network


class Injector:
    def __init__(self, cluster, net, state, timeline, clocks, rng):
        self.cluster, self.net, self.state, self.timeline = cluster, net, state, timeline
        self.clocks, self.rng = clocks, rng
        self.active, self.counts = [], collections.Counter()
        self.crashes = []  # agents that ended though nobody ended them
        self._all_restarted = time.monotonic()
        self._kinds = {  # kind -> (weight, what does it)
            "kill-agent": (4, self.kill_agent), "kill-box": (4, self.kill_box), "stop-agent": (3, self.stop_agent),
            "stop-box": (3, self.stop_box), "cut": (3, self.cut), "one-way-cut": (3, self.one_way_cut),
            "isolate": (2, self.isolate), "partition": (2, self.partition), "skew": (3, self.skew),
            "disk-full": (2, self.disk_full), "restart": (2, self.restart), "restart-all": (1, self.restart_all)}

    # ---------------------------------------------------------------------------------------------- which and when

    def span(self):
        """Mostly moments, sometimes long enough for everything to be replaced."""
        return self.rng.uniform(0.3, 3) if self.rng.random() < 0.5 else self.rng.uniform(5, 25)

    def hurt(self):
        return {box for fault in self.active if not fault.network for box in fault.boxes}

    def well(self):
        return sorted(set(range(self.state.size)) - self.hurt())

    def inject(self):
        """One fault, if there is room for it."""
        kinds = list(self._kinds)
        kind = self.rng.choices(kinds, [self._kinds[k][0] for k in kinds])[0]
        network = any(fault.network for fault in self.active)
        if kind in ("cut", "one-way-cut", "isolate", "partition"):
            if network:
                return
        elif kind == "restart-all":
            if self.active or time.monotonic() - self._all_restarted < RESTART_ALL_GAP_S:
                return
        elif kind != "skew" and len(self.hurt()) >= BOXES_HURT_MAX:
            return
        fault = self._kinds[kind][1]()
        if fault is None:
            return
        fault.kind, fault.network = kind, kind in ("cut", "one-way-cut", "isolate", "partition")
        self.counts[kind] += 1
        self.active.append(fault)

    def tick(self, everything=False):
        """Heals what is due, and looks whether agents ended by themselves."""
        for fault in [f for f in self.active if everything or time.monotonic() >= f.until]:
            self.active.remove(fault)
            fault.heal()
        for node in self.cluster.nodes:
            if node.number in self.state.agent_down or node.process.poll() is None:
                continue
            self.crashes.append(f"n{node.number} ended with {node.process.returncode}")
            self.timeline.add("CRASH", f"{self.crashes[-1]}:\n{node.log(30)}")
            self.state.agents_gone([node.number], with_work=False)
            self._start(node.number)

    def _say(self, text):
        self.timeline.add("inject", text)

    def _fault(self, boxes, heal, span=None):
        span = self.span() if span is None else span
        return Fault(None, set(boxes), time.monotonic() + span, heal)

    def _start(self, box):
        self.timeline.add("heal", f"start n{box}")
        self.cluster.nodes[box].start()
        self.state.agents_back([box])

    # ---------------------------------------------------------------------------------------------- to boxes

    def kill_agent(self):
        box = self.rng.choice(self.well())
        self._say(f"kill -9 the agent of n{box}")
        self.state.agents_gone([box], with_work=False)
        self.cluster.nodes[box].kill_agent()
        # Longer than agent_patience its work counts as lost; until then it must go on.
        return self._fault([box], lambda: self._start(box))

    def kill_box(self):
        box = self.rng.choice(self.well())
        self._say(f"kill -9 agent and work of n{box}")
        self.state.excuse(KILLED_S)
        self.state.agents_gone([box], with_work=True)
        self.cluster.nodes[box].kill_box()
        self.state.excuse(KILLED_S)  # from the last of its processes on
        return self._fault([box], lambda: self._start(box))

    def stop_agent(self):
        box = self.rng.choice(self.well())
        self._say(f"SIGSTOP the agent of n{box}")
        self.state.agents_gone([box], with_work=False)
        self.cluster.nodes[box].signal_agent(signal.SIGSTOP)

        def heal():
            self.timeline.add("heal", f"SIGCONT the agent of n{box}")
            self.cluster.nodes[box].signal_agent(signal.SIGCONT)
            self.state.agents_back([box])
        return self._fault([box], heal)

    def stop_box(self):
        box = self.rng.choice(self.well())
        self._say(f"SIGSTOP everything on n{box}")
        self.state.excuse(SILENT_S)
        self.state.agents_gone([box], with_work=True)
        self.cluster.nodes[box].signal_agent(signal.SIGSTOP)
        self.cluster.nodes[box].signal_box(signal.SIGSTOP)

        def heal():
            self.timeline.add("heal", f"SIGCONT everything on n{box}")
            self.cluster.nodes[box].signal_box(signal.SIGCONT)
            self.state.agents_back([box])
        return self._fault([box], heal)

    def restart(self):
        box = self.rng.choice(self.well())
        self._say(f"SIGTERM the agent of n{box} and start it again")
        self.state.agents_gone([box], with_work=False)
        self.cluster.nodes[box].stop_agent()
        return self._fault([box], lambda: self._start(box), self.rng.uniform(0, 1))

    def restart_all(self):
        self._all_restarted = time.monotonic()
        order = self.rng.sample(range(self.state.size), self.state.size)
        self._say("kill -9 everything on all boxes")
        self.state.agents_gone(order, with_work=True)
        for box in order:
            self.cluster.nodes[box].kill_box()

        def heal():
            for box in self.rng.sample(order, len(order)):
                self._start(box)
        return self._fault(order, heal, self.rng.uniform(0, 3))

    def skew(self):
        free = sorted(set(range(self.state.size)) - {b for f in self.active if f.kind == "skew" for b in f.boxes} -
                      self.hurt())
        if not free or sum(f.kind == "skew" for f in self.active) >= 1:
            return None
        box, seconds = self.rng.choice(free), self.rng.choice(SKEWS_S)
        self._say(f"the calendar of n{box} goes {seconds:+} s")
        self.clocks.set(f"n{box}", seconds)

        def heal():
            self.timeline.add("heal", f"the calendar of n{box} is right")
            self.clocks.set(f"n{box}", 0)
        return self._fault([box], heal)

    def disk_full(self):
        box = self.rng.choice(self.well())
        ballast = os.path.join(self.cluster.nodes[box].data, "ballast")
        self._say(f"the disk of n{box} is full")
        self.state.no_new_work[box] += 1
        with open(ballast, "wb", buffering=0) as file:
            for size in (1 << 20, 4096, 512, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    pass

        def heal():
            self.timeline.add("heal", f"the disk of n{box} has room")
            os.remove(ballast)
            self.state.no_new_work[box] -= 1
        return self._fault([box], heal)

    # ---------------------------------------------------------------------------------------------- to wires

    def _cut(self, pairs, words, silent):
        self._say(words)
        with self.state.lock:
            self.state.cuts |= pairs
            self.state.parted_at = time.monotonic()
            if silent:
                self.state.excuse(SILENT_S)
        self.net.cut_pairs(pairs)
        if silent:  # the last box is cut off now
            with self.state.lock:
                self.state.parted_at = time.monotonic()
                self.state.excuse(SILENT_S)

        def heal():
            self.timeline.add("heal", f"no more {words}")
            self.net.mend()
            with self.state.lock:
                self.state.cuts -= pairs
                self.state.parted_at = time.monotonic()
        return self._fault([], heal)

    def cut(self):
        a, b = self.rng.sample(range(self.state.size), 2)
        return self._cut({(a, b), (b, a)}, f"cut between n{a} and n{b}", silent=False)

    def one_way_cut(self):
        a, b = self.rng.sample(range(self.state.size), 2)
        return self._cut({(a, b)}, f"cut from n{a} to n{b}", silent=False)

    def _apart(self, some, words):
        others = set(range(self.state.size)) - some
        return self._cut({(a, b) for a in some for b in others} | {(b, a) for a in some for b in others}, words, silent=True)

    def isolate(self):
        box = self.rng.randrange(self.state.size)
        return self._apart({box}, f"cut of n{box} from all")

    def partition(self):
        some = set(self.rng.sample(range(self.state.size), self.rng.randint(2, self.state.size // 2)))
        return self._apart(some, f"partition of {names(some)} from the others")
