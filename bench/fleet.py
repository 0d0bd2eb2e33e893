"""What the benches share: an own network namespace, many agents watched through their logs, and counters of /proc.

A bench runs itself again inside a fresh network namespace (`alone()`): lo there carries the cluster's traffic and nothing
else, so its byte counters are the cluster's, and rules that cut a node off touch nobody else. The namespace goes away
with its last process.

A `Fleet` is N agents with their logs on pipes, read by one loop in the bench's own thread, which stamps each line when it
is read. Every node logs what it sees itself, so "known to all" is the moment the last node's line arrives. The harness's
own delay counts against what is measured. `Agents` are Homeostat's, `SerfAgents` are Serf's, for figures side by side.
"""

import heapq
import json
import math
import os
import re
import selectors
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
from cluster import binary_path, kill_all_of  # noqa: E402

INSIDE = "HOMEOSTAT_BENCH_INSIDE"
GONE = ("agent-down", "unreachable", "dead")  # any of them: this member does not count on the other


def alone():
    """Runs this program again in a network namespace of its own and does not return; inside, prepares it."""
    if os.environ.get(INSIDE):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        for words in ("add table ip cut", "add chain ip cut in { type filter hook input priority 0; }"):
            subprocess.run(["nft", *words.split(" ")] if "{" not in words else ["nft", words], check=True)
        # Whoever stamps the lines must not wait for a CPU behind those who write them. Children are as all others are.
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        return
    missing = [tool for tool in ("unshare", "ip", "nft") if not shutil.which(tool)]
    if missing or os.geteuid() != 0:
        sys.exit(f"this bench needs root and {', '.join(missing) or 'its own network namespace'}: tools/deps test")
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", "--net", sys.executable, *sys.argv])


def cut(ip):
    """Nothing reaches the address any more, nor does anything it sends arrive."""
    for side in ("saddr", "daddr"):
        subprocess.run(["nft", f"add rule ip cut in ip {side} {ip} drop"], check=True)


def uncut():
    subprocess.run(["nft", "flush chain ip cut in"], check=True)


def sent_bytes():
    """(bytes, packets) that lo has sent, headers included."""
    with open("/proc/self/net/dev", encoding="ascii") as file:
        for line in file:
            if line.strip().startswith("lo:"):
                fields = line.split(":")[1].split()
                return int(fields[8]), int(fields[9])
    raise RuntimeError("no lo")


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mb(pid):
    """Resident, and proportional (shared pages divided among their users), in MB of 10^6 bytes."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        rows = dict(line.split(":") for line in file if ":" in line and line[0] in "RPS")
    return tuple(int(rows[name].split()[0]) * 1024 / 1e6 for name in ("Rss", "Pss"))


def load_average():
    return round(os.getloadavg()[0], 2)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summary(values, digits=3):
    """Median, p99 (nearest rank) and extremes; None where nothing was measured."""
    good = [value for value in values if value is not None]
    if not good:
        return {"n": 0, "missed": len(values), "median": None, "p99": None, "min": None, "max": None}
    return {"n": len(good), "missed": len(values) - len(good), "median": round(statistics.median(good), digits),
            "p99": round(percentile(good, 0.99), digits), "min": round(min(good), digits),
            "max": round(max(good), digits)}


class Table:
    """Rows of figures: printed as they come, as text or with --json one object per line."""

    def __init__(self, as_json):
        self.as_json, self.rows, self.header_done = as_json, [], False

    def row(self, what, value, unit, bar=None, **more):
        entry = {"what": what, "value": value, "unit": unit, "bar": bar, "load": load_average(), **more}
        self.rows.append(entry)
        if self.as_json:
            print(json.dumps(entry), flush=True)
            return
        if not self.header_done:
            print(f"{'what':<52} {'value':>10} {'unit':<8} {'bar':<12} {'load':>5}  more")
            self.header_done = True
        shown = "-" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        rest = ", ".join(f"{key} {item}" for key, item in more.items() if item is not None)
        print(f"{what:<52} {shown:>10} {unit:<8} {bar or '':<12} {entry['load']:>5}  {rest}", flush=True)


class Fleet:
    """N watched processes on addresses 127.1.x.y. Subclasses say how one starts and what its lines mean."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="hs-bench-", dir="/tmp")
        self.selector = selectors.DefaultSelector()
        self.events = {}  # subject -> [(t, observer, kind, cause)]
        self.running = {}  # name -> (process, ip)
        self.buffers, self.tails = {}, {}
        self.actions, self.made = [], 0
        self.ending = {}  # name -> process that was killed and not yet waited for

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process, _ in self.running.values():
            process.kill()
        for process in (*(process for process, _ in self.running.values()), *self.ending.values()):
            process.wait()
        kill_all_of(self.directory)
        shutil.rmtree(self.directory, ignore_errors=True)

    # -------------------------------------------------------------------------------------------------- processes

    def start(self):
        """One more node, with an address and a name that were never used. Returns its name."""
        self.made += 1
        name, ip = f"n{self.made}", f"127.1.{self.made // 200}.{self.made % 200 + 1}"
        self.launch(name, ip)
        return name

    def launch(self, name, ip):
        """Also one that ended: with the address and the data it had."""
        if name in self.ending:
            self.ending.pop(name).wait()
        process = subprocess.Popen(self.command(name, ip), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, cwd="/", env=self.environment())
        os.set_blocking(process.stdout.fileno(), False)
        self.selector.register(process.stdout, selectors.EVENT_READ, name)
        self.running[name] = (process, ip)

    def boot(self, size, gap_s):
        names = [self.start()]
        self.after_first(names[0])
        for _ in range(size - 1):
            self.pump(gap_s)
            names.append(self.start())
        self.settle(names, 60 + size)
        return names

    def settle(self, names, timeout_s):
        """Until everybody knows everybody."""
        def complete():
            return all(len(self.who(name, ("alive",), 0)) >= len(names) - 1 for name in names)
        if not self.wait(complete, timeout_s):
            missing = {name: len(names) - 1 - len(self.who(name, ("alive",), 0)) for name in names}
            raise RuntimeError(f"not all know all: {({n: m for n, m in missing.items() if m})}\n{self.last_words()}")

    def signal(self, name, number):
        self.running[name][0].send_signal(number)

    def kill(self, name):
        """Does not wait for the end: lines that come meanwhile are to be stamped when they come."""
        self.ending[name], _ = self.running.pop(name)
        began = time.monotonic()
        self.ending[name].kill()
        return began

    def ip(self, name):
        return self.running[name][1]

    def pids(self):
        return {name: process.pid for name, (process, _) in self.running.items()}

    def last_words(self):
        return "\n".join(f"{name}: {' | '.join(lines[-3:])}" for name, lines in list(self.tails.items())[-8:])

    # -------------------------------------------------------------------------------------------------- watching

    def pump(self, seconds):
        """Reads and stamps lines, and does what was planned (`at`), for this long."""
        self.wait(lambda: False, seconds)

    def at(self, moment, action):
        heapq.heappush(self.actions, (moment, len(self.actions), action))

    def wait(self, condition, seconds):
        until, dirty = time.monotonic() + seconds, True
        while True:
            now = time.monotonic()
            while self.actions and self.actions[0][0] <= now:
                heapq.heappop(self.actions)[2]()
            if dirty and condition():
                return True
            if now >= until:
                return False
            pause = until - now
            if self.actions:
                pause = max(0.0, min(pause, self.actions[0][0] - now))
            dirty = self.read(pause)

    def read(self, pause):
        told = False
        for key, _ in self.selector.select(pause):
            stamp = time.monotonic()
            data = key.fileobj.read(1 << 16)
            if not data:
                if data is not None:
                    self.selector.unregister(key.fileobj)
                continue
            *lines, rest = (self.buffers.get(key.data, b"") + data).split(b"\n")
            self.buffers[key.data] = rest
            tail = self.tails.setdefault(key.data, [])
            for line in lines:
                text = line.decode("utf-8", "replace")
                tail.append(text)
                seen = self.meaning(text)
                if seen:
                    kind, subject, cause = seen
                    self.events.setdefault(subject, []).append((stamp, key.data, kind, cause))
                    told = True
            del tail[:-20]
        return told

    def who(self, subject, kinds, since):
        """{observer: when it first said one of `kinds` about `subject`}, from the moment `since` on."""
        first = {}
        for stamp, observer, kind, _ in self.events.get(subject, ()):
            if stamp >= since and kind in kinds and observer != subject and observer in self.running:
                first.setdefault(observer, stamp)
        return first

    def until_all(self, subject, kinds, since, observers, seconds):
        """Times at which each of `observers` said so, or None when not all of them did within `seconds`."""
        observers = set(observers) - {subject}
        if self.wait(lambda: observers <= self.who(subject, kinds, since).keys(), seconds):
            return [stamp for name, stamp in self.who(subject, kinds, since).items() if name in observers]
        return None

    def accused(self, since, guilty=()):
        """[(observer, subject, kind, cause)] of members that were declared gone although nothing was done to them."""
        return [(observer, subject, kind, cause) for subject, rows in self.events.items() if subject not in guilty
                for stamp, observer, kind, cause in rows if stamp >= since and kind in GONE]


class Agents(Fleet):
    """Homeostat without a door: membership, intent and observation alone."""

    EVENT = re.compile(r"^\S+Z member\.(\S+) (\S+): (.*)$")
    tool = "homeostat"

    def __init__(self, extra=()):
        super().__init__()
        self.token, self.extra = None, list(extra)
        # A copy: a build that ends meanwhile must not change what is measured.
        self.binary = os.path.join(shutil.copytree(os.path.dirname(binary_path()), os.path.join(self.directory, "bin")),
                                   "homeostat")

    def environment(self):
        return None

    def command(self, name, ip):
        join = ["--join", self.token] if self.token else []
        return [self.binary, "up", "--data", os.path.join(self.directory, name), "--listen", f"{ip}:7700", "--door",
                "none", "--name", name, *join, *self.extra]

    def after_first(self, name):
        argv = [self.binary, "token", "show", "--data", os.path.join(self.directory, name)]
        for _ in range(100):
            self.pump(0.1)
            shown = subprocess.run(argv, capture_output=True, text=True, check=False)
            if shown.returncode == 0:
                self.token = shown.stdout.strip()
                return
        raise RuntimeError(f"no token: {shown.stderr}")

    def meaning(self, line):
        found = self.EVENT.match(line)
        return found.groups() if found else None


class SerfAgents(Fleet):
    """Serf (memberlist) with its LAN profile."""

    WORDS = {"EventMemberFailed: ": "dead", "EventMemberJoin: ": "alive"}
    tool = "serf"

    def __init__(self):
        super().__init__()
        self.first = None

    def environment(self):
        return {**os.environ, "GOMAXPROCS": "2"}

    def command(self, name, ip):
        join = [f"-join={self.first}"] if self.first else []
        return ["serf", "agent", f"-node={name}", f"-bind={ip}:7946", f"-rpc-addr={ip}:7373", "-profile=lan",
                "-log-level=info", *join]

    def after_first(self, name):
        self.pump(0.5)
        self.first = self.ip(name)

    def meaning(self, line):
        for words, kind in self.WORDS.items():
            at = line.find(words)
            if at >= 0:
                return kind, line[at + len(words):].split(" ")[0], ""
        return None
