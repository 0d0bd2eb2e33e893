"""Runs the end-to-end tests: real agents, HAProxy and work, on loopback addresses.

    python3 tests/e2e/run.py                      # all of tests/e2e/test_*.py
    python3 tests/e2e/run.py changes faults       # files by name
    python3 tests/e2e/run.py faults.BoxLost       # a class or a single test, as unittest names it
    --jobs N    files at a time (default 2: they mostly wait)

Each file runs in a process of its own. Prints each file's output when it has ended, then unittest's closing lines over
all of them, then "N passed, N failed" as the last line. Exits with 1 when anything failed. Needs tools/build first.
"""

import argparse
import glob
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)


class TimedResult(unittest.TextTestResult):
    """Says how long each test took, since the whole has to stay below four minutes, and counts what passed."""

    passed = 0

    def startTest(self, test):
        self.began = time.monotonic()
        super().startTest(test)

    def addSuccess(self, test):
        self.passed += 1
        self.stream.write(f"({time.monotonic() - self.began:.1f} s) ")
        super().addSuccess(test)


def run_one(names, report):
    """In the child: runs the tests and leaves the counts in `report`."""
    suite = unittest.defaultTestLoader.loadTestsFromNames(names)
    result = unittest.TextTestRunner(verbosity=2, resultclass=TimedResult, stream=sys.stdout).run(suite)
    counts = {"run": result.testsRun, "passed": result.passed, "failures": len(result.failures) + len(result.unexpectedSuccesses),
              "errors": len(result.errors), "skipped": len(result.skipped)}
    with open(report, "w", encoding="utf-8") as file:
        json.dump(counts, file)
    return 0 if result.wasSuccessful() else 1


def groups_of(names):
    """File -> unittest names in it, in a fixed order."""
    files = sorted(os.path.basename(path)[:-3] for path in glob.glob(os.path.join(HERE, "test_*.py")))
    if not names:
        return {file: [file] for file in files}
    groups = {}
    for name in names:
        full = name if name.startswith("test_") else "test_" + name
        groups.setdefault(full.split(".")[0], []).append(full)
    unknown = [file for file in groups if file not in files]
    if unknown:
        sys.exit(f"no such file: {', '.join(unknown)}; there are: {', '.join(files)}")
    return groups


class Child:
    """One file under way. Its output waits in a file until it has ended."""

    def __init__(self, file, names, directory):
        self.file, self.report = file, os.path.join(directory, file + ".json")
        self.output = open(os.path.join(directory, file + ".out"), "w+", encoding="utf-8", errors="replace")
        argv = [sys.executable, os.path.abspath(__file__), "--report", self.report, *names]
        self.process = subprocess.Popen(argv, stdout=self.output, stderr=subprocess.STDOUT, cwd=HERE)

    def finish(self):
        """Prints what it said and returns its counts."""
        self.output.seek(0)
        print(f"== {self.file}", self.output.read().rstrip(), sep="\n", flush=True)
        self.output.close()
        try:
            with open(self.report, encoding="utf-8") as file:
                return json.load(file)
        except (OSError, ValueError):  # it did not live to say
            return {"run": 1, "passed": 0, "failures": 0, "errors": 1, "skipped": 0}


def run_all(groups, jobs, directory):
    total = {"run": 0, "passed": 0, "failures": 0, "errors": 0, "skipped": 0}
    waiting, under_way = list(groups.items()), []
    try:
        while waiting or under_way:
            while waiting and len(under_way) < jobs:
                under_way.append(Child(*waiting.pop(0), directory))
            for child in [c for c in under_way if c.process.poll() is not None]:
                under_way.remove(child)
                for key, value in child.finish().items():
                    total[key] += value
            time.sleep(0.1)
    finally:
        for child in under_way:
            child.process.send_signal(signal.SIGTERM)  # it ends its clusters
            child.process.wait(60)
    return total


def main():
    parser = argparse.ArgumentParser(description="end-to-end tests")
    parser.add_argument("names", nargs="*", help="files, classes or tests; all without")
    parser.add_argument("--jobs", type=int, default=2, help="files at a time")
    parser.add_argument("--report", help=argparse.SUPPRESS)
    options = parser.parse_args()
    # A plain kill must clean up as Ctrl-C does.
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    if options.report:
        sys.exit(run_one(options.names, options.report))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="hs-e2e-") as directory:
        total = run_all(groups_of(options.names), options.jobs, directory)
    bad = total["failures"] + total["errors"]
    print("-" * 70)
    print(f"Ran {total['run']} tests in {time.monotonic() - began:.3f}s\n")
    notes = [f"{key}={total[key]}" for key in ("failures", "errors", "skipped") if total[key]]
    print(("FAILED" if bad else "OK") + (f" ({', '.join(notes)})" if notes else ""))
    print(f"{total['passed']} passed, {bad} failed")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
