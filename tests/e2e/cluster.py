"""A cluster of real `homeostat` agents on loopback addresses, for end-to-end tests, benches and the demo.

    with Cluster(size=5, first="127.0.0.11") as cluster:
        cluster.start()
        cluster.wait_members(5)
        cluster.deploy("examples/shop/compose.yaml")
        cluster.nodes[2].kill_box()
        cluster.wait(lambda: cluster.status()["steady"], 20, "the cluster settled")

Every node has a data directory of its own below one temporary directory, and everything that belongs to a node (agent,
HAProxy, shims, replicas) is found by that directory in its command line, environment or working directory. So a whole
"box" can be killed at once, and leaving the `with` block ends everything that was started, whatever happened inside.

Standard library only. Nothing here decides whether a test passed: conditions raise Timeout with what was seen last.
"""

import glob
import http.client
import ipaddress
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class Timeout(Exception):
    """A condition did not come true in time."""


class CommandFailed(Exception):
    """A CLI command ended with another exit code than 0."""

    def __init__(self, argv, code, stdout, stderr):
        super().__init__(f"{' '.join(argv)}: exit {code}: {(stderr or stdout).strip()[-800:]}")
        self.code, self.stdout, self.stderr = code, stdout, stderr


def binary_path(preset=None):
    """The program under test: HOMEOSTAT_BIN, else build/PRESET/bin/homeostat (HOMEOSTAT_PRESET, default release)."""
    given = os.environ.get("HOMEOSTAT_BIN")
    if given and preset is None:
        return given
    preset = preset or os.environ.get("HOMEOSTAT_PRESET", "release")
    return os.path.join(ROOT, "build", preset, "bin", "homeostat")


def processes_of(directory):
    """Pids of all processes that name `directory` in their command line, environment or working directory."""
    needle, found = os.fsencode(directory), []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        try:
            if os.readlink(f"/proc/{entry}/cwd").startswith(directory):
                found.append(int(entry))
                continue
            for name in ("cmdline", "environ"):
                with open(f"/proc/{entry}/{name}", "rb") as file:
                    if needle in file.read():
                        found.append(int(entry))
                        break
        except OSError:
            continue  # it ended meanwhile, or belongs to somebody else
    return found


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] not in (b"Z", b"X")
    except OSError:
        return False


def kill_all_of(directory, deadline_s=10):
    """SIGKILL to everything of a data directory, again and again until nothing is left. Returns how many there were."""
    killed, until = set(), time.monotonic() + deadline_s
    while True:
        left = [pid for pid in processes_of(directory) if is_running(pid)]
        if not left:
            return len(killed)
        if time.monotonic() > until:
            raise Timeout(f"processes of {directory} that do not end: {left}")
        for pid in left:
            try:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            except ProcessLookupError:
                pass


def remove_cgroups_of(data):
    """The empty cgroups of a killed box: its agent would remove them, but nobody starts it again."""
    try:
        with open(os.path.join(data, "identity"), encoding="utf-8") as file:
            node = re.search(r"^node ([0-9a-f]{8})", file.read(), re.M).group(1)
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            own = re.search(r"^0::/(.*)$", file.read(), re.M).group(1)
        with open("/proc/mounts", encoding="utf-8") as file:
            mount = re.search(r"^\S+ (\S+) cgroup2 ", file.read(), re.M).group(1)
    except (OSError, AttributeError):
        return  # no node ever lived there, or there are no cgroups
    base = os.path.join(mount, own, f"homeostat-{node}")
    for folder in [*glob.glob(os.path.join(base, "*/")), base]:
        try:
            os.rmdir(folder)
        except OSError:
            pass


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Node:
    """One box: an agent with its data directory. Its name is its address."""

    def __init__(self, cluster, number, ip, labels):
        self.cluster, self.number, self.labels = cluster, number, labels
        self.data = os.path.join(cluster.directory, f"n{number}")
        self.moves_to(ip)
        self.log_path = os.path.join(cluster.directory, f"n{number}.log")
        self.process = None
        self.prefix = []  # words before the program's own: where it runs
        self.env = {}  # more of it for the agent, beside this process's own
        self.words = []  # more of them for its `up`

    def moves_to(self, ip):
        """From its next start on."""
        self.ip, self.name = ip, str(ip)
        self.address, self.door = f"{ip}:{self.cluster.port}", f"{ip}:{self.cluster.door_port}"

    def start(self, join=None, extra=()):
        """Starts the agent (again). `join`: a token, or the address of a member."""
        argv = [*self.prefix, self.cluster.binary, "up", "--data", self.data, "--listen", self.address, "--advertise", self.address]
        argv += ["--door", self.door] + list(self.cluster.extra) + self.words + list(extra)
        for key, value in self.labels.items():
            argv += ["--label", f"{key}={value}"]
        if join:
            argv += ["--join", join]
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
                                            start_new_session=True, env={**os.environ, **self.env})
        return self

    def is_up(self):
        return self.process is not None and self.process.poll() is None

    def signal_agent(self, number):
        """To the agent alone: SIGSTOP, SIGCONT, SIGTERM, SIGKILL, ..."""
        self.process.send_signal(number)
        if number in (signal.SIGKILL, signal.SIGTERM):
            self.process.wait(30)

    def kill_agent(self):
        self.signal_agent(signal.SIGKILL)

    def stop_agent(self):
        self.signal_agent(signal.SIGTERM)

    def signal_box(self, number):
        """To the agent and all its work: SIGSTOP makes the box silent, SIGCONT wakes it."""
        for pid in processes_of(self.data):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass  # it ended by itself meanwhile

    def kill_box(self):
        """The agent and all its work, as if the box lost power. Returns the monotonic time at which it began."""
        # Everything is found first and killed in one sweep; the data directory stays.
        pids, began = processes_of(self.data), time.monotonic()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        kill_all_of(self.data)
        if self.process is not None:
            self.process.wait(10)
        return began

    def get(self, target, timeout=5):
        """GET of the API over the box's own socket, parsed."""
        connection = UnixConnection(os.path.join(self.data, "api.sock"), timeout)
        try:
            connection.request("GET", target)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        if response.status != 200:
            raise OSError(f"{self.name}: GET {target}: {response.status} {body[:200]!r}")
        return json.loads(body)

    def answers(self):
        try:
            return bool(self.get("/v1/status", timeout=1))
        except (OSError, ValueError, http.client.HTTPException):
            return False

    def cli(self, *words, timeout=60, check=True, parse=False):
        return self.cluster.cli(*words, node=self, timeout=timeout, check=check, parse=parse)

    def log(self, lines=20):
        try:
            with open(self.log_path, encoding="utf-8", errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except OSError:
            return ""


class Cluster:
    def __init__(self, size, first="127.0.0.11", port=7700, door_port=8080, binary=None, labels=None, keep=False,
                 directory=None, extra=()):
        """`labels`: a function from a node's number (0..) to its labels. `keep`: leave the directory for a look.
        `extra`: more words for the `up` of every node, such as ("--set", "drain_wait=300")."""
        self.binary = binary or binary_path()
        if not os.access(self.binary, os.X_OK):
            raise FileNotFoundError(f"{self.binary}: not built; run tools/build")
        self.port, self.door_port, self.keep, self.extra = port, door_port, keep, tuple(extra)
        self.directory = directory or tempfile.mkdtemp(prefix="hs-", dir="/tmp")
        start = ipaddress.ip_address(first)
        self.nodes = [Node(self, i, start + i, labels(i) if labels else {}) for i in range(size)]
        self.token = None

    def __enter__(self):
        # Ctrl-C raises by itself; a plain kill of the test must clean up as well.
        self._former = signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        return self

    def __exit__(self, *_):
        self.close()
        signal.signal(signal.SIGTERM, self._former)

    def close(self):
        """Ends everything that was started and removes the directory. May be called twice."""
        former = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
        try:
            kill_all_of(self.directory)
            for node in self.nodes:
                if node.process is not None:
                    node.process.wait(10)
                remove_cgroups_of(node.data)
            if not self.keep:
                shutil.rmtree(self.directory, ignore_errors=True)
        finally:
            signal.signal(signal.SIGINT, former)

    # -------------------------------------------------------------------------------------------------- life

    def start(self, timeout=30):
        """The first node forms the cluster, the others join it all at once."""
        first = self.nodes[0].start()
        self.wait(first.answers, timeout, "the first node answers")
        self.token = self.wait(lambda: first.cli("token", "show").strip(), timeout, "the first node has a join token")
        for node in self.nodes[1:]:
            node.start(join=self.token)
        for node in self.nodes[1:]:
            self.wait(node.answers, timeout, f"{node.name} answers")
        return self

    def up_nodes(self):
        return [node for node in self.nodes if node.is_up()]

    def any_node(self):
        up = self.up_nodes()
        if not up:
            raise RuntimeError("no agent runs")
        return up[0]

    # -------------------------------------------------------------------------------------------------- asking

    def cli(self, *words, node=None, timeout=60, check=True, parse=False):
        """Runs a command. Returns its output, parsed when `parse` (which adds --json). Raises CommandFailed."""
        # --data leads, so that words may hold a program's own arguments at the end.
        argv = [self.binary, *words, "--data", (node or self.any_node()).data] + (["--json"] if parse else [])
        done = subprocess.run(argv, capture_output=True, text=True, timeout=timeout, cwd="/", check=False)
        if check and done.returncode != 0:
            raise CommandFailed(argv, done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout) if parse else done.stdout

    def status(self, node=None):
        return (node or self.any_node()).get("/v1/status")

    def members(self, node=None):
        return (node or self.any_node()).get("/v1/nodes")

    def replicas(self, service=None, node=None):
        rows = (node or self.any_node()).get("/v1/replicas")
        return [row for row in rows if service in (None, row["service"])]

    def healthy(self, service, node=None):
        return [r for r in self.replicas(service, node) if r["state"] == "running" and r["health"] == "healthy"]

    # -------------------------------------------------------------------------------------------------- waiting

    def wait(self, condition, seconds, what, every=0.05):
        """Waits until `condition` holds and returns its value; errors of asking count as "not yet"."""
        until, last = time.monotonic() + seconds, None
        while True:
            try:
                value = condition()
                if value:
                    return value
                last = value
            except (OSError, ValueError, KeyError, CommandFailed, http.client.HTTPException) as error:
                last = error
            for node in self.nodes:
                if node.process is not None and node.process.poll() not in (None, -signal.SIGKILL, 0, -signal.SIGTERM):
                    raise RuntimeError(f"agent {node.name} ended with {node.process.returncode}:\n{node.log()}")
            if time.monotonic() > until:
                raise Timeout(f"not within {seconds} s: {what} (last: {last!r})\n{self.describe()}")
            time.sleep(every)

    def wait_members(self, count, seconds=20):
        """Until every running agent sees exactly `count` members alive."""
        def agreed():
            return all(sum(m["state"] == "alive" for m in self.members(n)) == count for n in self.up_nodes())
        return self.wait(agreed, seconds, f"all see {count} members alive")

    def wait_steady(self, seconds=60):
        return self.wait(lambda: all(self.status(n)["steady"] for n in self.up_nodes()), seconds, "all say steady")

    def deploy(self, path, timeout=120):
        path = path if os.path.isabs(path) else os.path.join(ROOT, path)
        return self.cli("deploy", "-f", path, timeout=timeout)

    def describe(self):
        """What the cluster says of itself, for the message of a failed wait."""
        parts = []
        for node in self.up_nodes():
            try:
                status = self.status(node)
                parts.append(f"{node.name}: steady={status.get('steady')} pending={status.get('pending')} "
                             f"short={status.get('short')}")
            except (OSError, ValueError, http.client.HTTPException) as error:
                parts.append(f"{node.name}: {error}\n{node.log(5)}")
        return "\n".join(parts)
