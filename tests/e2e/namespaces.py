"""Boxes with network namespaces of their own, on one switch, whose wires can be cut one direction at a time.

    with Net(3) as net, NetCluster(net) as cluster:
        cluster.start()
        net.cut(0, 1)          # what 0 sends to 1 is dropped
        net.mend()

    with Net(4, nat=1) ...     # box 3 has a router of its own, with masquerading NAT: nobody can connect to it

Needs root. Everything lives in namespaces of this process's name; leaving the `with` block removes them, and with them
all interfaces and rules. Nothing of the machine's own network is touched.
"""

import contextlib
import ctypes
import os
import subprocess

from cluster import Cluster

CLONE_NEWNET = 0x40000000


def _ip(*words):
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


class Net:
    """`size` namespaces with one interface each, 10.77.0.1 and up, on a bridge in a namespace of its own.

    The last `nat` of them are not on the bridge: 10.99.I.2, behind a router that is."""

    def __init__(self, size, rate_mbit=None, nat=0):
        """`rate_mbit`: what each box can send (tbf)."""
        self.base = f"hs{os.getpid()}"
        self.switch = f"{self.base}-sw"
        self.names = [f"{self.base}-{i}" for i in range(size)]
        self.routers = {i: f"{self.base}-r{i}" for i in range(size - nat, size)}
        self.rate_mbit = rate_mbit

    def __enter__(self):
        try:
            self._build()
        except subprocess.CalledProcessError as error:
            self.close()
            raise RuntimeError(f"{error.cmd}: {error.stderr}") from error
        return self

    def __exit__(self, *_):
        self.close()

    def _build(self):
        _ip("netns", "add", self.switch)
        _ip("-n", self.switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", self.switch, "link", "set", "br0", "up")
        for i, name in enumerate(self.names):
            _ip("netns", "add", name)
            if i in self.routers:
                self._build_router(i)
            else:
                self._plug(name, "eth0", self.address(i), f"p{i}", self.switch)
                _ip("-n", self.switch, "link", "set", f"p{i}", "master", "br0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
            self._nft(i, "add table inet cuts\nadd chain inet cuts input { type filter hook input priority 0; }\n"
                      "add chain inet cuts output { type filter hook output priority 0; }\n")
            if self.rate_mbit:
                self.run(i, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", f"{self.rate_mbit}mbit", "burst",
                         "64kb", "latency", "50ms")

        # Boxes do send to addresses behind a router; there the packets end, as on the way to a private network.
        for i, name in enumerate(self.names if self.routers else []):
            if i not in self.routers:
                _ip("-n", name, "route", "add", "10.99.0.0/16", "via", f"10.77.0.{101 + min(self.routers)}")

    @staticmethod
    def _plug(name, interface, address, far, far_name):
        _ip("link", "add", interface, "netns", name, "type", "veth", "peer", "name", far, "netns", far_name)
        _ip("-n", name, "addr", "add", f"{address}/24", "dev", interface)
        _ip("-n", name, "link", "set", interface, "up")

    def _build_router(self, i):
        name, router = self.names[i], self.routers[i]
        _ip("netns", "add", router)
        self._plug(router, "wan", f"10.77.0.{101 + i}", f"p{i}", self.switch)
        _ip("-n", self.switch, "link", "set", f"p{i}", "master", "br0", "up")
        self._plug(router, "lan", f"10.99.{i}.1", "eth0", name)
        _ip("-n", name, "addr", "add", f"{self.address(i)}/24", "dev", "eth0")
        _ip("-n", name, "link", "set", "eth0", "up")
        _ip("-n", name, "route", "add", "default", "via", f"10.99.{i}.1")
        inside = ["ip", "netns", "exec", router]
        subprocess.run([*inside, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"], check=True, capture_output=True)
        subprocess.run([*inside, "nft", "-f", "-"], check=True, capture_output=True, text=True, input="""
            table ip nat {
              chain out { type nat hook postrouting priority 100; oifname "wan" masquerade; }
              chain through { type filter hook forward priority 0; policy drop;
                iifname "lan" accept; ct state established,related accept; }
            }""")

    def close(self):
        for name in [*self.names, *self.routers.values(), self.switch]:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)

    def address(self, i):
        return f"10.99.{i}.2" if i in self.routers else f"10.77.0.{i + 1}"

    def renumber(self, i, address):
        """Box `i` has this address now, and its old one no more."""
        _ip("-n", self.names[i], "addr", "flush", "dev", "eth0")
        _ip("-n", self.names[i], "addr", "add", f"{address}/24", "dev", "eth0")

    def add_client(self):
        """Somebody on the switch who is no box and whom no cut concerns."""
        _ip("-n", self.switch, "addr", "add", "10.77.0.254/24", "dev", "br0")

    def client_prefix(self):
        return ["ip", "netns", "exec", self.switch]

    def prefix(self, i):
        return ["ip", "netns", "exec", self.names[i]]

    def run(self, i, *words):
        done = subprocess.run([*self.prefix(i), *words], check=True, capture_output=True, text=True)
        return done.stdout

    def _nft(self, i, rules):
        subprocess.run([*self.prefix(i), "nft", "-f", "-"], input=rules, check=True, capture_output=True, text=True)

    def cut(self, a, b):
        """What box `a` sends to box `b` is dropped from now on."""
        self._nft(b, f"add rule inet cuts input ip saddr {self.address(a)} drop")

    def cut_pairs(self, pairs):
        """Many at once: one command for each box that hears no more, all of them together."""
        running = []
        for b in sorted({b for _, b in pairs}):
            rules = "".join(f"add rule inet cuts input ip saddr {self.address(a)} drop\n" for a, to in sorted(pairs) if to == b)
            nft = subprocess.Popen([*self.prefix(b), "nft", "-f", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            nft.stdin.write(rules)
            nft.stdin.close()
            running.append(nft)
        for nft in running:
            problem = nft.stderr.read()
            nft.stderr.close()
            if nft.wait() != 0:
                raise RuntimeError(f"nft: {problem}")

    def cut_both(self, a, b):
        self.cut(a, b)
        self.cut(b, a)

    def unplug(self, i):
        """Box `i` hears nobody and nobody hears it, until mend()."""
        self._nft(i, "add rule inet cuts input iifname eth0 drop\nadd rule inet cuts output oifname eth0 drop\n")

    def mend(self):
        for i in range(len(self.names)):
            self._nft(i, "flush chain inet cuts input\nflush chain inet cuts output\n")

    @contextlib.contextmanager
    def inside(self, i):
        """Sockets that this thread makes meanwhile are box `i`'s."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{self.names[i]}", "rb") as there:
            if libc.setns(there.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            try:
                yield
            finally:
                libc.setns(home.fileno(), CLONE_NEWNET)


class NetCluster(Cluster):
    """One node in each namespace."""

    def __init__(self, net, **more):
        super().__init__(len(net.names), first=net.address(0), **more)
        for node in self.nodes:
            node.prefix = net.prefix(node.number)
            node.moves_to(net.address(node.number))
            if node.number in net.routers:
                node.words = ["--dial-out"]
