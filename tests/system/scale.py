#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""smtpd grows to a process for each core, and clients are shared out."""
# instance: -o smtpd_session_limit=1000
# timeout: 120

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import smtp_session as mail  # noqa: E402

CORES = min(len(os.sched_getaffinity(0)), 32)


def processes(start):
    """{pid of smtpd: clients that it took} since a place in the log."""
    found = {}
    for pid in re.findall(r"postfix/smtpd\[(\d+)\]: connect from",
                          mail.log()[start:]):
        found[pid] = found.get(pid, 0) + 1
    return found


def test_a_process_for_each_core():
    start = len(mail.log())
    held = []

    def all_there():
        held.append(mail.smtp())
        return len(processes(start)) >= CORES

    try:
        cases.wait_for("%d processes" % CORES, all_there)
        assert len(processes(start)) == CORES, processes(start)
        cases.wait_for("all of them in the log", lambda: sum(
            processes(start).values()) == len(held))
        # Now that all run, each has its share of new ones.
        second = len(mail.log())
        for _ in range(20 * CORES):
            held.append(mail.smtp())
        cases.wait_for("all connections in the log", lambda: sum(
            processes(second).values()) == 20 * CORES)
        shares = processes(second)
        assert len(shares) == CORES and min(shares.values()) >= 4, shares
    finally:
        for s in held:
            s.close()


if __name__ == "__main__":
    cases.main(globals())
