"""What is true in a chaos run, seen from outside: no agent is asked.

A replica serves when a process of it runs (and is not stopped), and its port listens in its box's network namespace. Ten
times a second the watcher counts those, for each part of the network whose boxes reach each other, and compares with each
service's minimum. Where capacity was just taken away, time is set aside for as long as the design promises to need:
that is announced loss. What is below the minimum at any other time counts against the bar.
"""

import collections
import os
import threading
import time

STARTUP_S = 1.5  # what this app takes on a busy machine from the order to its first answer
KILLED_S = 0.3 + STARTUP_S  # agent and work of a box are gone, the machine still answers
SILENT_S = 2.0 + STARTUP_S  # a box, or everything on the other side of a cut, says nothing any more
STARTED_S = 3.0 + SILENT_S  # nobody's agent was here; start_patience comes first
HEARD_S = 3.0  # after a cut or an absence, everybody has what was asked for meanwhile
EVERY_S = 0.1


class Timeline:
    """One line for everything that happened, with seconds since the start."""

    def __init__(self, path):
        self.began, self.path, self._lock, self._lines = time.monotonic(), path, threading.Lock(), []
        self.wall_began = time.time()
        self._file = open(path, "w", encoding="utf-8", buffering=1)

    def add(self, kind, text, at=None):
        at = (time.monotonic() if at is None else at) - self.began
        line = f"{at:9.3f} {kind:8} {text}"
        with self._lock:
            self._lines.append((at, line))
            if not self._file.closed:
                self._file.write(line + "\n")

    def finish(self):
        """Once more, in order of time: events of nodes and requests became known late."""
        with self._lock:
            self._file.close()
            with open(self.path, "w", encoding="utf-8") as file:
                file.writelines(line + "\n" for _, line in sorted(self._lines))


class State:
    """What was done to the boxes and wires: written by whoever does it, read by all."""

    def __init__(self, size):
        self.size, self.lock = size, threading.RLock()
        self.box_down = set()  # no power, or all stopped
        self.agent_down = set()  # killed or stopped, with or without the work
        self.agent_since = [time.monotonic()] * size
        self.cuts = set()  # (from, to)
        self.parted_at = 0.0  # when wires were last cut or joined
        self.no_new_work = collections.Counter()  # box -> reasons: disk full, drained
        self.undrained = {}  # box that takes work again -> who was told so: it may not have heard yet
        self.excused_until = 0.0
        self.announced = []  # [from, to] of capacity that was lost
        self.down = collections.defaultdict(list)  # box -> [[from, to]]: its door is gone or stopped
        self.alone = collections.defaultdict(list)  # box -> [[from, to]]: its door serves, but no agent tells it the news

    def excuse(self, seconds):
        with self.lock:
            self.announced.append((time.monotonic(), time.monotonic() + seconds))
            self.excused_until = max(self.excused_until, self.announced[-1][1])

    def agents_gone(self, boxes, with_work):
        with self.lock:
            self.agent_down.update(boxes)
            if with_work:
                self.box_down.update(boxes)
            for box in boxes:
                (self.down if with_work else self.alone)[box].append([time.monotonic(), None])

    def agents_back(self, boxes):
        with self.lock:
            for box in boxes:
                self.agent_down.discard(box)
                self.agent_since[box] = time.monotonic()
                (self.down if box in self.box_down else self.alone)[box][-1][1] = time.monotonic()
                self.box_down.discard(box)

    def can_be_asked(self):
        """Boxes whose agents run."""
        with self.lock:
            return [i for i in range(self.size) if i not in self.agent_down and i not in self.box_down]

    def parts(self):
        """Boxes with power, in groups that reach each other: both ways, over others where needed."""
        left, parts = set(range(self.size)) - self.box_down, []
        while left:
            part, edge = set(), [left.pop()]
            while edge:
                box = edge.pop()
                part.add(box)
                near = {o for o in left if (box, o) not in self.cuts and (o, box) not in self.cuts}
                left -= near
                edge += near
            parts.append(frozenset(part))
        return parts

    def hear(self, now, parts):
        """Boxes that were told by now that they take work again."""
        for box, teller in list(self.undrained.items()):
            heard = any({box, teller} <= part for part in parts) and box not in self.agent_down
            if heard and now - self.agent_since[box] > HEARD_S and now - self.parted_at > HEARD_S:
                del self.undrained[box]
                self.no_new_work[box] -= 1

    def is_excused(self, part, now):
        """Whether this part of the network may be below a minimum now, by what was announced."""
        if now < self.excused_until:
            return True
        fit = [i for i in part if i not in self.agent_down and not self.no_new_work[i]]
        return not fit or now - min(self.agent_since[i] for i in fit) < STARTED_S


class Watcher(threading.Thread):
    def __init__(self, cluster, net, state, timeline, minimums):
        super().__init__(daemon=True)
        self.cluster, self.net, self.state, self.timeline, self.minimums = cluster, net, state, timeline, minimums
        self.stopping, self.failed = threading.Event(), None
        self.watched_s = collections.Counter()  # service -> seconds, all
        self.below_s = collections.Counter()
        self.judged_s = collections.Counter()  # outside announced loss
        self.broken_s = collections.Counter()
        self.late_s_max = 0.0
        self._known, self._looks = {}, collections.Counter()  # (pid, start) -> replica; pid -> looks that found none
        self._below = {}  # (service, part) -> since when, and whether it was announced
        self.longest = (0.0, "never")  # below a minimum in one piece, announced or not

    def run(self):
        try:
            last = time.monotonic()
            while not self.stopping.wait(EVERY_S):
                now = time.monotonic()
                self.late_s_max = max(self.late_s_max, now - last - EVERY_S)
                self._judge(self._serving(), now, now - last)
                last = now
        except Exception as error:  # noqa: BLE001 - the run must not pass unwatched
            self.failed = error

    def counts(self):
        """Service -> serving replicas as (box, id), now."""
        found = collections.defaultdict(list)
        for box, service, replica in self._serving():
            found[service].append((box, replica))
        return found

    def _replica_of(self, pid):
        """(box, service, replica, port) of a process that belongs to a replica of this cluster, else None."""
        try:
            if not os.readlink(f"/proc/{pid}/cwd").startswith(self.cluster.directory + "/n"):
                return None
            with open(f"/proc/{pid}/environ", "rb") as file:
                env = dict(p.split(b"=", 1) for p in file.read().split(b"\0") if b"=" in p)
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if b"echo.py" not in file.read():
                    return None
            box = next(n.number for n in self.cluster.nodes if n.name == env[b"HOMEOSTAT_NODE"].decode())
            return box, env[b"HOMEOSTAT_SERVICE"].decode(), env[b"HOMEOSTAT_REPLICA"].decode(), int(env[b"PORT"])
        except (OSError, KeyError, ValueError, StopIteration):
            return None

    @staticmethod
    def _stat(pid):
        try:
            with open(f"/proc/{pid}/stat", "rb") as file:
                words = file.read().rpartition(b")")[2].split()
            return words[0], words[19]
        except (OSError, IndexError):
            return None

    def _listening(self, box):
        ports = set()
        with self.net.inside(box), open("/proc/thread-self/net/tcp", encoding="ascii") as file:
            for line in file:
                words = line.split()
                if words[3] == "0A":
                    ports.add(int(words[1].rpartition(":")[2], 16))
        return ports

    def _serving(self):
        if len(self._looks) > 2000:  # numbers of processes come again
            self._looks.clear()
        alive = {}
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or self._looks[entry] > 5:
                continue
            stat = self._stat(entry)
            if stat is None or stat[0] in b"ZX":
                continue
            key = (entry, stat[1])
            replica = self._known.get(key) or self._replica_of(entry)
            if replica is None:
                self._looks[entry] += 1
                continue
            self._known[key] = replica
            if stat[0] not in b"Tt":
                alive[key] = replica
        self._known = {key: self._known[key] for key in self._known if os.path.exists(f"/proc/{key[0]}")}
        ports = {box: self._listening(box) for box in {r[0] for r in alive.values()}}
        return {(box, service, replica) for box, service, replica, port in alive.values() if port in ports[box]}

    def _judge(self, serving, now, passed):
        with self.state.lock:
            parts = self.state.parts()
            self.state.hear(now, parts)
            excused = {part: self.state.is_excused(part, now) for part in parts}
            agents = set(self.state.can_be_asked())
        seen = set()  # a part that was cut or joined meanwhile begins anew
        for part in parts:
            if not part & agents:
                continue
            for service, minimum in self.minimums.items():
                here = sum(1 for box, name, _ in serving if name == service and box in part)
                self.watched_s[service] += passed
                self.judged_s[service] += 0 if excused[part] else passed
                if here >= minimum:
                    continue
                self.below_s[service] += passed
                self.broken_s[service] += 0 if excused[part] else passed
                seen.add((service, part))
                since, said = self._below.get((service, part), (now, None))
                self._below[service, part] = since, excused[part]
                if said != excused[part]:
                    word, what = ("below", ", announced") if excused[part] else ("BROKEN", "")
                    self.timeline.add(word, f"{service}: {here} of {minimum} serve on {names(part)} since {now - since:.1f} s{what}")
        for key in [k for k in self._below if k not in seen]:
            lasted = now - self._below.pop(key)[0]
            self.longest = max(self.longest, (lasted, f"{key[0]} on {names(key[1])}"))
            self.timeline.add("above", f"{key[0]} on {names(key[1])} after {lasted:.1f} s")


def names(boxes):
    return ",".join(f"n{i}" for i in sorted(boxes))
