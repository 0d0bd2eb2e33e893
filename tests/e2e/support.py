"""What the end-to-end tests share: a cluster kept for all tests of a class, small compose files, requests at a door.

    class Scaling(ClusterCase):
        SIZE, FIRST = 3, "127.2.1.1"
        def test_more(self):
            self.deploy_echo(replicas=2)
            self.cluster.cli("scale", "echo=4")
            self.wait_healthy("echo", 4)

Waits are generous and on conditions; nothing asserts how fast something was. Addresses are of 127.2.0.0/16 only, one
range for each class, so that two files may run at the same time.
"""

import http.client
import json
import os
import shutil
import socket
import subprocess
import tempfile
import textwrap
import time
import unittest

from cluster import Cluster, UnixConnection
from load import Load

HERE = os.path.dirname(os.path.abspath(__file__))
PATIENCE = 45  # seconds for anything that takes a moment on a quiet box


def get(address, path="/", host=None, method="GET", headers=None, timeout=10):
    """(status, headers in small letters, body) of one request to `IP:PORT`."""
    ip, _, port = address.rpartition(":")
    connection = http.client.HTTPConnection(ip, int(port), timeout=timeout)
    try:
        connection.request(method, path, headers={**(headers or {}), **({"Host": host} if host else {})})
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def metric(node, name):
    """The sum of a metric's rows at a node, or None where it is not told."""
    connection = UnixConnection(os.path.join(node.data, "api.sock"), 5)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    rows = [line for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name]
    return sum(float(row.rpartition(" ")[2]) for row in rows) if rows else None


def run(cluster, *words, env=None, timeout=60):
    """The program with exactly these words: a finished process with code, stdout and stderr."""
    return subprocess.run([cluster if isinstance(cluster, str) else cluster.binary, *words], capture_output=True,
                          text=True, timeout=timeout, cwd="/", check=False, env={**os.environ, **(env or {})})


class ClusterCase(unittest.TestCase):
    """One started cluster for all tests of the class, with waits of no more than a moment between a stop's steps."""

    SIZE, FIRST, EXTRA = 3, "127.2.0.11", ("--set", "drain_wait=300")
    cluster = None

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(cls.SIZE, first=cls.FIRST, extra=cls.EXTRA)
        cls.addClassCleanup(cls.cluster.close)
        cls.cluster.start()
        cls.cluster.wait_members(cls.SIZE, PATIENCE)

    def tearDown(self):
        """The next test finds all agents running and no stack."""
        for node in self.cluster.nodes:
            if not node.is_up():
                node.start(join=self.cluster.token)
        self.cluster.wait_members(self.SIZE, PATIENCE)
        for stack in {s["stack"] for s in self.stacks()}:
            self.cluster.cli("rm", stack)
        self.cluster.wait(lambda: not self.cluster.replicas(), PATIENCE, "everything is stopped")

    def stacks(self):
        rows = self.cluster.any_node().get("/v1/stacks")
        return [{"stack": row["stack"] if "stack" in row else row["name"]} for row in rows]

    def write_compose(self, text):
        """A compose file beside a copy of the echo app's bundle. Returns its path."""
        directory = tempfile.mkdtemp(prefix="compose-", dir=self.cluster.directory)
        shutil.copytree(os.path.join(HERE, "apps", "echo"), os.path.join(directory, "echo"))
        path = os.path.join(directory, "compose.yaml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(textwrap.dedent(text))
        return path

    @staticmethod
    def echo_service(name="echo", replicas=3, mode="", version="1", more="", command=None):
        """The lines of one service that runs the echo app."""
        command = command or '["python3", "-S", "-E", "-u", "echo.py"]'
        lines = f"""
  {name}:
    x-process: {{bundle: echo, command: {command}}}
    environment: {{ECHO_MODE: "{mode}", ECHO_VERSION: "{version}"}}
    deploy: {{replicas: {replicas}}}
    x-health: {{http: /healthz, interval: 500ms, timeout: 2s}}
    stop_grace_period: 5s
"""
        return lines + textwrap.indent(textwrap.dedent(more), "    ")

    def compose(self, *services, name="test"):
        return self.write_compose(f"name: {name}\nservices:" + "".join(services))

    def deploy_echo(self, replicas=3, **more):
        more.setdefault("more", "x-http: {path: /}\n")
        self.cluster.deploy(self.compose(self.echo_service(replicas=replicas, **more)))

    def deploy_fails(self, path, *more, timeout=90):
        """Deploys and returns the finished process, which must not have succeeded."""
        done = run(self.cluster, "deploy", "-f", path, "--data", self.cluster.any_node().data, *more, timeout=timeout)
        self.assertIn(done.returncode, (1, 2), done.stdout + done.stderr)
        return done

    def wait_healthy(self, service, count, seconds=PATIENCE):
        """Until every running agent lists exactly `count` replicas of a service and all are healthy."""
        def there():
            for node in self.cluster.up_nodes():
                if len(self.cluster.replicas(service, node)) != count:
                    return False
                if len(self.cluster.healthy(service, node)) != count:
                    return False
            return True
        self.cluster.wait(there, seconds, f"{count} healthy replicas of {service}")

    def wait_door(self, node, path="/", host=None, status=200, seconds=PATIENCE):
        return self.cluster.wait(lambda: get(node.door, path, host)[0] == status, seconds,
                                 f"{status} for {path} at the door of {node.name}")

    def echo(self, node, path="/", host=None, headers=None):
        """What the echo app saw of a request at a node's door."""
        status, _, body = get(node.door, path, host, headers=headers)
        if status != 200:
            raise OSError(f"{node.name}: {host or ''}{path}: {status} {body[:200]!r}")  # a wait asks again
        return json.loads(body)

    def load(self, node, rate=60, path="/"):
        return Load(f"http://{node.door}{path}", rate=rate, timeout=10)

    def assert_none_failed(self, result, least=20):
        self.assertGreaterEqual(result["sent"], least, "the load did not run")
        self.assertEqual(result["failed"], 0, {k: v for k, v in result.items() if k != "buckets"})

    def pids(self, service=None):
        return {r["replica"]: r["pid"] for r in self.cluster.replicas(service)}

    def events(self, *words):
        """Oldest first."""
        return self.cluster.cli("events", "-n", "1000", *words, parse=True)


def free_of(port_owner_ip, port):
    """A listening socket that keeps a port in use until closed."""
    server = socket.socket()
    server.bind((port_owner_ip, port))
    server.listen(1)
    return server


def settle(seconds):
    """A span in which something must NOT happen."""
    time.sleep(seconds)
