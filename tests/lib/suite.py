# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests that there are, and how one is run and counted."""

import glob
import os
import re
import signal
import subprocess
import sys
import time

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(TESTS)
MODE = os.environ.get("MODE", "debug")
B = os.environ.get("B") or "build/%s" % MODE
SLOWER = 3 if MODE == "asan" else 1
CASE = re.compile(r"^(ok|not ok|skip)\b[ \d]*(?:- )?(.*)$")


class Result:
    def __init__(self, name, log):
        self.name, self.log = name, log
        self.passed, self.failed, self.skipped = 0, [], []
        self.seconds, self.tail = 0.0, []


class Test:
    """One program; argv is run in ROOT with its output going to a log."""

    def __init__(self, name, argv, timeout=120, cases=False, env=None):
        self.name, self.argv, self.cases = name, argv, cases
        self.timeout = timeout * SLOWER
        self.env = env or {}
        self.alone = self.full = self.skip = ""

    def run(self):
        log = os.path.join(ROOT, B, "log", self.name + ".log")
        os.makedirs(os.path.dirname(log), exist_ok=True)
        result = Result(self.name, log)
        if self.skip:
            result.skipped.append(("all of it", self.skip))
            return result
        start = time.monotonic()
        with open(log, "wb") as out:
            status, late = self._execute(out)
        result.seconds = time.monotonic() - start
        with open(log, errors="replace") as f:
            lines = f.read().splitlines()
        self._count(result, lines, status, late)
        if result.failed:
            result.tail = lines[-25:]
        return result

    def _execute(self, out):
        try:
            child = subprocess.Popen(
                self.argv, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out,
                stderr=subprocess.STDOUT, env=dict(os.environ, **self.env),
                start_new_session=True)
        except OSError as e:
            out.write(("%s\n" % e).encode())
            return 127, False
        try:
            return child.wait(self.timeout), False
        except subprocess.TimeoutExpired:
            # First kindly: an instance then stops what it started.
            os.killpg(child.pid, signal.SIGTERM)
            try:
                child.wait(40)
            except subprocess.TimeoutExpired:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
            return child.returncode, True

    def _count(self, result, lines, status, late):
        if self.cases:
            for line in lines:
                self._count_line(result, line)
        if late:
            result.failed.append("not done after %d s" % self.timeout)
        elif status != 0 and not result.failed:
            result.failed.append("exit status %d" % status)
        elif not self.cases:
            result.passed += status == 0
        elif result.passed + len(result.failed) + len(result.skipped) == 0:
            result.passed += 1

    @staticmethod
    def _count_line(result, line):
        m = CASE.match(line)
        if not m:
            return
        state, name = m.groups()
        if "# SKIP" in name:
            state, name = "skip", name.replace("# SKIP", "").strip()
        if state == "ok":
            result.passed += 1
        elif state == "not ok":
            result.failed.append(name)
        else:
            name, _, reason = name.partition(": ")
            result.skipped.append((name, reason or "no reason given"))


def _make(name, *argv):
    return Test(name, ["make", "-s", "-j%d" % (os.cpu_count() or 2)] +
                list(argv), timeout=900)


def builds():
    """What must succeed before anything can be tested."""
    here = ["MODE=" + MODE, "B=" + B]
    yield _make("build/" + MODE, *here, "all", "unit-build", "fuzz-build")
    yield _make("system/build_clang", "MODE=debug", "CC=clang",
                "B=build/clang", "all", "unit-build", "fuzz-build")


def _unit_tests():
    for source in sorted(glob.glob("tests/unit/**/*_test.c",
                                   recursive=True)):
        name = source[len("tests/"):-len(".c")]
        yield Test(name, [os.path.join(B, "tests", name)], timeout=120,
                   cases=True, env={"CMOCKA_MESSAGE_OUTPUT": "TAP"})


def _fuzz_replays():
    for source in sorted(glob.glob("tests/fuzz/*_fuzz.c")):
        name = os.path.basename(source)[:-len(".c")]
        corpus = "tests/fuzz/corpus/" + name[:-len("_fuzz")]
        files = sorted(glob.glob(corpus + "/*"))
        if not files:
            yield Test("fuzz/" + name, ["sh", "-c",
                                        "echo no corpus: %s; false" % corpus])
            continue
        yield Test("fuzz/" + name, [os.path.join(B, "tests/fuzz", name)] +
                   files)


def _source_checks():
    for name in ("layers", "banned", "manpages", "spdx"):
        yield Test("lint/" + name, [sys.executable, "tests/lint", name])
    yield _make("lint/headers", "MODE=" + MODE, "B=" + B, "check-headers")


def _head(path):
    values = {}
    with open(path, errors="replace") as f:
        for line in f.read(4000).splitlines():
            m = re.match(r"# (instance|timeout|full|alone):(.*)$", line)
            if m:
                values[m.group(1)] = m.group(2).strip()
    return values


def _system_tests():
    for path in sorted(glob.glob("tests/system/*.py") +
                       glob.glob("tests/system/*.sh")):
        head = _head(path)
        name = os.path.splitext(path[len("tests/"):])[0]
        if not os.access(path, os.X_OK):
            yield Test(name, ["sh", "-c", "echo %s: not executable; false" %
                              path])
            continue
        argv = [path]
        if "instance" in head:
            argv = ["tests/instance"] + _words(head["instance"]) + \
                ["--", path]
        test = Test(name, argv, timeout=int(head.get("timeout", 120)),
                    cases=True, env={"MODE": MODE, "B": B})
        if "--privileged" in argv and os.geteuid() != 0:
            test.skip = "needs root"
        test.alone, test.full = head.get("alone", ""), head.get("full", "")
        yield test


def _words(text):
    import shlex
    return shlex.split(text)


def find(full):
    """(tests to run, tests left out)."""
    every = list(_source_checks()) + list(_unit_tests()) + \
        list(_fuzz_replays()) + list(_system_tests())
    if full:
        return every, []
    return ([t for t in every if not t.full], [t for t in every if t.full])
