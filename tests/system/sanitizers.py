#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 900
# alone: it builds everything once more
"""The suite under AddressSanitizer and UBSan: all unit tests, and a whole
instance that takes mail, delivers it and serves it. `make check MODE=asan`
runs every test so; this is what `make check` itself shows of it."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "lib"))
import cases  # noqa: E402

BUILD = "build/asan"


def command(argv, seconds):
    """Runs it with its output in this test's log."""
    env = dict(os.environ, MODE="asan", B=BUILD, MAKEFLAGS="")
    status = subprocess.run(argv, cwd=cases.ROOT, env=env, timeout=seconds,
                            stdin=subprocess.DEVNULL, check=False).returncode
    cases.equal(status, 0, " ".join(argv))


def make(*targets):
    command(["make", "-s", "-j%d" % (os.cpu_count() or 2), "MODE=asan",
             "B=" + BUILD, "DEPS=no"] + list(targets), 800)


def test_everything_builds():
    make("all", "unit-build")


def test_unit_tests():
    make("unit")


def test_mail_goes_through_and_comes_out():
    for name in ("roundtrip", "imap_abuse"):
        command(["tests/instance", "--", sys.executable,
                 "tests/system/%s.py" % name], 400)


if __name__ == "__main__":
    cases.main(globals())
