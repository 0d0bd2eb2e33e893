"""What people do in a chaos run: they change what is asked for, at whichever node they happen to ask.

One write at a time, so that of two on one thing the later is known. Each is `acknowledged`, `refused` (with a reason that
says nothing was done) or `unknown` (an error or no answer: it may have been done, now or when disks and wires are back).
In the end, of everything written the value must be that of the last acknowledged write or of an unknown one after it; a
thing never written twice (a token) must be there if its making was acknowledged.
"""

import http.client
import json
import os
import subprocess
import threading
import time

from cluster import UnixConnection

ACKED, REFUSED, UNKNOWN = "acknowledged", "refused", "unknown"
ABSENT = "absent"
SHOP = ("web", "api", "one", "solo")


class Register:
    """One thing that has a value: what it may be in the end."""

    def __init__(self, first=ABSENT):
        self.acked, self.later = first, []

    def wrote(self, value, outcome):
        if outcome == ACKED:
            self.acked, self.later = value, []
        elif outcome == UNKNOWN:
            self.later.append(value)

    def allows(self, value):
        return value == self.acked or value in self.later


class Writer(threading.Thread):
    def __init__(self, cluster, state, timeline, compose, rng, pause_s):
        """`compose`: (stack, version, bad) -> path of a compose file."""
        super().__init__(daemon=True)
        self.cluster, self.state, self.timeline, self.compose, self.rng = cluster, state, timeline, compose, rng
        self.pause_s, self.stopping, self.failed = pause_s, threading.Event(), None
        self.registers = {name: Register() for name in ("shop", "extra", "scale api", "quota service.web", "quota services")}
        self.tokens = {}  # id -> acknowledged
        self.drained = None
        self.version = 0
        self.outcomes = {ACKED: 0, REFUSED: 0, UNKNOWN: 0}
        self.slowest_s = 0.0
        self._ops = [(self.deploy_shop, 2), (self.deploy_extra, 3), (self.remove_extra, 2), (self.scale, 5), (self.quota, 4),
                     (self.token, 5), (self.drain, 2)]

    def run(self):
        try:
            while not self.stopping.wait(self.rng.uniform(0.3, 1.7) * self.pause_s):
                open_to = self.state.can_be_asked()
                if open_to:
                    operation = self.rng.choices([o for o, _ in self._ops], [w for _, w in self._ops])[0]
                    operation(self.cluster.nodes[self.rng.choice(open_to)])
        except Exception as error:  # noqa: BLE001 - the run must not pass unwritten
            self.failed = error

    # ---------------------------------------------------------------------------------------------- one write

    def _note(self, node, words, outcome, began, why=""):
        took = time.monotonic() - began
        self.outcomes[outcome] += 1
        if outcome == ACKED:
            self.slowest_s = max(self.slowest_s, took)
        self.timeline.add("write", f"at n{node.number}: {words}: {outcome} after {took:.2f} s{': ' if why else ''}{why[:300]}")
        return outcome

    def _ask(self, node, method, target, body=None):
        connection = UnixConnection(os.path.join(node.data, "api.sock"), 10)
        try:
            connection.request(method, target, body=None if body is None else json.dumps(body))
            response = connection.getresponse()
            return response.status, response.read().decode(errors="replace")
        finally:
            connection.close()

    def write(self, node, words, method, target, body=None):
        """Returns (outcome, answer)."""
        began = time.monotonic()
        try:
            status, answer = self._ask(node, method, target, body)
        except ConnectionRefusedError:
            return self._note(node, words, REFUSED, began, "nobody listens"), ""
        except (OSError, http.client.HTTPException) as error:
            return self._note(node, words, UNKNOWN, began, repr(error)), ""
        outcome = ACKED if status == 200 else REFUSED if status < 500 else UNKNOWN
        return self._note(node, words, outcome, began, "" if status == 200 else f"{status} {answer}"), answer

    def deploy(self, node, stack, bad=False):
        self.version += 1
        value, began = f"{self.version}{'-bad' if bad else ''}", time.monotonic()
        words = f"deploy {stack} version {value}"
        argv = [self.cluster.binary, "deploy", "-f", self.compose(stack, value, bad), "--no-wait", "--data", node.data]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=30, cwd="/", check=False)
            outcome = ACKED if done.returncode == 0 else UNKNOWN
            self._note(node, words, outcome, began, "" if outcome == ACKED else f"exit {done.returncode} {done.stderr.strip()}")
        except subprocess.TimeoutExpired:
            outcome = self._note(node, words, UNKNOWN, began, "no end within 30 s")
        self.registers[stack].wrote(value, outcome)
        return outcome

    # ---------------------------------------------------------------------------------------------- what they do

    def deploy_shop(self, node):
        self.deploy(node, "shop", bad=self.rng.random() < 0.15)

    def deploy_extra(self, node):
        self.deploy(node, "extra")

    def remove_extra(self, node):
        """Only somebody who sees the last revision can mean to remove it."""
        register = self.registers["extra"]
        if register.later or register.acked == ABSENT or version_of(node, "extra") != register.acked:
            return
        outcome, _ = self.write(node, "rm extra", "DELETE", "/v1/stacks/extra")
        register.wrote(ABSENT, outcome)

    def scale(self, node):
        count = self.rng.randint(2, 5)
        outcome, _ = self.write(node, f"scale api={count}", "PUT", "/v1/services/api/scale", {"replicas": count})
        self.registers["scale api"].wrote(count, outcome)

    def quota(self, node):
        subject, count = self.rng.choice(["service.web", "services"]), self.rng.randint(40, 90)
        outcome, _ = self.write(node, f"quota {subject}={count}", "PUT", f"/v1/quotas/{subject}", {"replicas": count})
        self.registers[f"quota {subject}"].wrote(count, outcome)

    def token(self, node):
        outcome, answer = self.write(node, "make a token", "POST", "/v1/tokens", {"use": "api", "ttl_s": 86400})
        if outcome == ACKED:
            self.tokens[json.loads(answer)["id"]] = True

    def drain(self, node):
        """One box at a time; while it is drained its own part of a cut has nowhere to put anything."""
        if self.drained is None:
            box = self.rng.randrange(self.state.size)
            if box in self.state.undrained:
                return
            with self.state.lock:
                self.state.no_new_work[box] += 1
            self.drained = box
            self.write(node, f"drain n{box}", "PUT", f"/v1/nodes/{self.cluster.nodes[box].name}/drain")
        else:
            outcome, _ = self.write(node, f"undrain n{self.drained}", "DELETE",
                                    f"/v1/nodes/{self.cluster.nodes[self.drained].name}/drain")
            if outcome == ACKED:
                with self.state.lock:
                    self.state.undrained[self.drained] = node.number
                self.drained = None

    # ---------------------------------------------------------------------------------------------- the end

    def lost(self, node):
        """What of the acknowledged this node does not have, in words."""
        documents = [d for d in node.get("/v1/documents") if d["kind"] != "tombstone"]
        found = {"shop": version_of(node, "shop"), "extra": version_of(node, "extra"), "scale api": ABSENT,
                 "quota service.web": ABSENT, "quota services": ABSENT}
        for document in documents:
            if document["key"] == "scale/api":
                found["scale api"] = document["replicas"]
            elif document["kind"] == "quota":
                found[f"quota {document['subject']}"] = document["replicas"]
        wrong = [f"{name} is {found[name]}, acknowledged was {r.acked}{f', unknown {r.later}' if r.later else ''}"
                 for name, r in self.registers.items() if not r.allows(found[name])]
        here = {d["id"] for d in documents if d["kind"] == "token"}
        return wrong + [f"token {token} is not there" for token in sorted(set(self.tokens) - here)]


def version_of(node, stack):
    """The version that a stack's present revision asks for."""
    rows = [row for row in node.get("/v1/stacks") if row.get("stack", row.get("name")) == stack]
    if not rows:
        return ABSENT
    services = node.get(f"/v1/stacks/{stack}")["services"]
    return dict(services[0]["environment"])["ECHO_VERSION"]
