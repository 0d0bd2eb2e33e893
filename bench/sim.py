#!/usr/bin/env python3
"""How fast the simulator runs. See bench/README.md.

    bench/sim.py            # 100 nodes for a virtual hour of faults, few and many; 200 seeds of 5 to 9 nodes, each run twice
"""

import argparse
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from fleet import Table, binary_path  # noqa: E402


def measure(words):
    """(seconds, whether it passed, its last lines)."""
    began = time.monotonic()
    done = subprocess.run([binary_path(), "sim", *words], capture_output=True, text=True, check=False)
    seconds = time.monotonic() - began
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    return seconds, done.returncode == 0, lines[-1:] if done.returncode == 0 else lines[-12:]


def main():
    parser = argparse.ArgumentParser(description="speed of the simulator")
    parser.add_argument("--seed", type=int, default=1, help="first seed")
    parser.add_argument("--only", choices=("hour", "seeds"))
    parser.add_argument("--json", action="store_true", help="one object per row")
    options = parser.parse_args()
    table, failed = Table(options.json), False
    hour = ["--nodes", "100", "--nodes-max", "100", "--for", "1h", "--seeds", "1", "--once"]
    runs = (("hour", "100 nodes, one virtual hour, a fault every 30 s", "<=60", [*hour, "--fault-gap", "30s"]),
            ("hour", "the same, a fault every 3 s", "<=60", hour),
            ("seeds", "200 seeds of 5 to 9 nodes, each twice", "<=180", ["--seeds", "200"]))
    for name, what, bar, words in runs:
        if options.only not in (None, name):
            continue
        seconds, passed, last = measure([*words, "--seed", str(options.seed)])
        table.row(what, round(seconds, 1), "s", bar, passed=passed)
        if not passed:
            failed = True
            print(*last, sep="\n", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
