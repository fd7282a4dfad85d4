#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bench of the SMTP server with few mails: it counts what arrives, and a
flush precedes each 250. Figures are no matter here: make bench-smtp."""
# timeout: 300

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import instance  # noqa: E402

BENCH = os.path.join(cases.ROOT, "tests", "bench", "smtp.py")


def test_counts_and_order():
    done = cases.run([BENCH, "--smoke"])
    cases.matches(done.stdout, r"flushed before the 250 +chappe +4 of 4$")
    if os.geteuid() == 0:
        cases.matches(done.stdout,
                      r"flushed before the 250 +postfix +4 of 4$")
    if not instance.BUILD.endswith("asan"):
        cases.contains(done.stdout, "an idle plain session: at most 15 kB")
        cases.contains(done.stdout, "an idle TLS session: at most 50 kB")


def test_postfix_beside_it():
    if os.geteuid() != 0:
        raise cases.Skip("needs root")


def test_cells_are_known():
    done = cases.run([BENCH, "no-such-cell"], status=1)
    cases.contains(done.stderr, "no such cell: no-such-cell")
    cases.contains(done.stdout, "accept-10x100-1k")


if __name__ == "__main__":
    cases.main(globals())
