#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Few clients gather in one smtpd; many are shared out over a process for each
core, and so are those that the first leaves waiting."""
# instance: -o smtpd_session_limit=1000
# timeout: 120

import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import smtp_session as mail  # noqa: E402

COMPANY_FROM, SHARED_FROM = 4, 64  # as in smtpd/service.c
CORES = min(len(os.sched_getaffinity(0)), 32)


def processes(start):
    """{pid of smtpd: clients that it took} since a place in the log."""
    found = {}
    for pid in re.findall(r"postfix/smtpd\[(\d+)\]: connect from",
                          mail.log()[start:]):
        found[pid] = found.get(pid, 0) + 1
    return found


def connect(held, count):
    """So many more clients: {pid: those that it took}."""
    start = len(mail.log())
    for _ in range(count):
        held.append(mail.smtp())
    cases.wait_for("all in the log",
                   lambda: sum(processes(start).values()) == count)
    return processes(start)


def gathered():
    """Did one take all of a few clients? On a busy machine it may be late
    for one of them."""
    held = []
    try:
        connect(held, COMPANY_FROM)  # asks for company, if there is none
        return len(connect(held, 12)) == 1
    finally:
        for s in held:
            s.close()


def test_few_are_served_by_one():
    cases.wait_for("one that takes all", gathered)


def test_a_process_for_each_core():
    held = []
    try:
        connect(held, 2 * SHARED_FROM)
        taken = {}

        def all_there():
            taken.update(connect(held, 1))
            return len(taken) >= CORES

        cases.wait_for("%d processes" % CORES, all_there)
        # Now that all run, each has its share of new ones.
        shares = connect(held, 20 * CORES)
        assert len(shares) == CORES and min(shares.values()) >= 4, shares
    finally:
        for s in held:
            s.close()


def test_others_step_in():
    """Also for a client for whom the first is just being woken as it stops."""
    if CORES == 1:
        raise cases.Skip("one core: one process")
    held = []
    taken = connect(held, 12)
    first = max(taken, key=taken.get)
    os.kill(int(first), signal.SIGSTOP)
    try:
        others = connect(held, 5)
        assert first not in others, (first, others)
    finally:
        os.kill(int(first), signal.SIGCONT)
        for s in held:
            s.close()


if __name__ == "__main__":
    cases.main(globals())
