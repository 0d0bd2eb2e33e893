"""What is measured: /metrics, the hour of history, and `top` in a terminal."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
import unittest

from support import ClusterCase, PATIENCE, metric, run

BUSY = '["sh", "-c", "while :; do :; done"]'


class Screen:
    """`homeostat top` in a terminal of its own."""

    def __init__(self, binary, data, columns=80, rows=24):
        self.master, self.slave = pty.openpty()
        self.resize(columns, rows)
        self.before = termios.tcgetattr(self.slave)
        self.text = ""
        self.process = subprocess.Popen([binary, "top", "--data", data], stdin=self.slave, stdout=self.slave,
                                        stderr=self.slave, start_new_session=True, env={**os.environ, "TERM": "xterm"})

    def resize(self, columns, rows):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def wait(self, pattern, seconds=PATIENCE):
        """Until what was written since the last wait matches."""
        until = time.monotonic() + seconds
        while True:
            found = re.search(pattern, self.text, re.DOTALL)
            if found:
                self.text = self.text[found.end():]
                return found
            if time.monotonic() > until:
                raise AssertionError(f"{pattern} is not in {self.text[-3000:]!r}")
            if select.select([self.master], [], [], 0.2)[0]:
                self.text += os.read(self.master, 65536).decode(errors="replace")

    def press(self, key):
        os.write(self.master, key.encode())

    def is_as_before(self):
        return termios.tcgetattr(self.slave) == self.before

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self.master)
        os.close(self.slave)


class Loads(ClusterCase):
    SIZE, FIRST = 2, "127.2.16.1"

    def deploy_busy(self):
        self.cluster.deploy(self.write_compose(f"""
            name: test
            services:
              busy: {{command: {BUSY}, healthcheck: {{disable: true}}}}
        """))

    def screen(self, **size):
        node = self.cluster.nodes[0]
        screen = Screen(self.cluster.binary, node.data, **size)
        self.addCleanup(screen.close)
        screen.wait(r"\x1b\[\?1049h.*NODE .*SERVICE ")
        return screen

    def test_a_busy_replica_shows_in_metrics_top_and_history(self):
        self.deploy_busy()
        replica = self.cluster.wait(lambda: self.cluster.replicas("busy"), PATIENCE, "it runs")[0]
        home = next(n for n in self.cluster.nodes if n.name == replica["node"])
        self.cluster.wait(lambda: (metric(home, "homeostat_replica_cpu_seconds_total") or 0) > 0.3, PATIENCE,
                          "its CPU is counted")
        for name in ("homeostat_node_cpu_seconds_total", "homeostat_node_memory_available_bytes",
                     "homeostat_replica_memory_bytes", "process_resident_memory_bytes"):
            self.assertGreater(metric(home, name), 0, name)
        # Any node answers for all.
        for node in self.cluster.nodes:
            def seen(node=node):
                top = node.cli("top", parse=True)
                row = next((s for s in top["services"] if s["service"] == "busy"), {})
                return top["cluster"]["measured"] == 2 and row.get("cpu", 0) > 0.05
            self.cluster.wait(seen, PATIENCE, f"{node.name} shows the load of both nodes and of the service")
        series = f"replica.{replica['replica']}.cpu_cores"
        self.assertIn(series, home.get("/v1/history")["series"])
        def past():
            return home.get(f"/v1/history?series={series},node.cpu_cores&since=60&step=1")["series"]
        self.cluster.wait(lambda: len(past()[1]["points"]) > 1, PATIENCE, "two seconds of history")
        self.assertEqual([s["name"] for s in past()], [series, "node.cpu_cores"])
        times = [point[0] for point in past()[1]["points"]]
        self.assertTrue(all(b - a >= 999 for a, b in zip(times, times[1:])), times)

    def test_top_without_a_terminal_is_one_plain_page(self):
        done = run(self.cluster, "top", "--data", self.cluster.nodes[0].data)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("2/2 nodes", done.stdout)
        self.assertIn(self.cluster.nodes[1].name, done.stdout)
        self.assertNotIn("\x1b", done.stdout)

    def test_q_ends_top_and_gives_the_terminal_back(self):
        screen = self.screen()
        self.assertFalse(screen.is_as_before(), "keys come without Enter")
        screen.press("q")
        screen.wait(r"\x1b\[\?1049l")
        self.assertEqual(screen.process.wait(10), 0)
        self.assertTrue(screen.is_as_before())

    def test_a_signal_ends_top_and_gives_the_terminal_back(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGSEGV):
            screen = self.screen()
            screen.process.send_signal(number)
            screen.wait(r"\x1b\[\?1049l")
            self.assertEqual(screen.process.wait(10), -number)
            self.assertTrue(screen.is_as_before(), number)

    def test_top_follows_the_size_of_its_window(self):
        screen = self.screen(columns=80, rows=24)
        screen.resize(200, 50)
        screen.process.send_signal(signal.SIGWINCH)
        screen.wait("DISK/s  +FREE")
        screen.resize(30, 8)
        screen.process.send_signal(signal.SIGWINCH)
        screen.wait(r"\x1b\[J")  # of the page under way
        page = screen.wait(r"\x1b\[H(.*?)\x1b\[J").group(1)
        lines = re.sub(r"\x1b\[[0-9]*[mK]", "", page).replace("\r", "").split("\n")
        self.assertLessEqual(len(lines), 8)
        self.assertLessEqual(max(map(len, lines)), 30)
        self.assertIn("2/2 nodes", lines[0])

    def test_top_asleep_gives_the_terminal_back_and_wakes_on_its_page(self):
        screen = self.screen()
        screen.process.send_signal(signal.SIGTSTP)
        screen.wait(r"\x1b\[\?1049l")
        self.cluster.wait(screen.is_as_before, PATIENCE, "the terminal is the shell's")
        screen.process.send_signal(signal.SIGCONT)
        screen.wait(r"\x1b\[\?1049h.*NODE ")
        screen.press("q")
        self.assertEqual(screen.process.wait(10), 0)

    def test_top_goes_on_when_its_node_does_not_answer(self):
        screen = self.screen(columns=120)
        node = self.cluster.nodes[0]
        node.kill_agent()
        screen.wait("no answer, this is old")
        node.start()
        screen.wait("steady")
        screen.press("q")
        self.assertEqual(screen.process.wait(10), 0)


if __name__ == "__main__":
    unittest.main()
