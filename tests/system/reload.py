#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reload by generation: nothing is dropped, what did not change stays."""
# timeout: 180

import contextlib
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import master_house  # noqa: E402

PLAIN = "127.0.0.1:%d inet n - n - 5 smtpd\n"


@contextlib.contextmanager
def house():
    h = master_house.MasterHouse()
    try:
        h.port, h.other = h.ports.take(), h.ports.take()
        set_services(h, PLAIN % h.port)
        h.start()
        yield h
        h.stop()
    finally:
        h.end()


def set_services(h, text):
    h.write_master_cf(master_house.MASTER_CF + text)


def change(h, n):
    set_services(h, "127.0.0.1:%d inet n - n - 5 smtpd -o "
                 "message_size_limit=%d\n" % (h.port, n))


def test_unchanged_services_stay():
    with house() as h:
        c = master_house.Client(h.port)
        before = h.events("start")
        h.chappe("reload")
        cases.equal(h.events("start"), before)
        change(h, 1000)
        h.chappe("reload")
        d = master_house.Client(h.port)
        assert d.pid != c.pid and d.generation > c.generation
        cases.equal(len(h.events("start", "qmgr")), 1, "qmgr unchanged")
        assert c.works() and d.works(), "both generations serve"
        c.close()
        h.wait_event("exit", "smtpd", pid=c.pid)
        h.wait_log("reload -- version")
        h.chappe("reload", "qmgr")
        h.wait_event("start", "qmgr", 2)
        cases.equal(len(h.events("start", "smtpd")), 2)
        h.chappe("reload", "nosuch", status=1)


def test_single_programs_never_overlap():
    with house() as h:
        first = h.wait_event("start", "qmgr")[0]["pid"]
        for i in range(3):
            h.change(message_size_limit=str(2000 + i))
            h.chappe("reload")
        alive = 0
        for e in h.events(program="qmgr"):
            alive += {"start": 1, "exit": -1}.get(e["event"], 0)
            assert alive <= 1, "two at a time"
        cases.equal(len(h.events("start", "qmgr")), 4)
        h.wait_event("exit", "qmgr", pid=first)


def hammer(port, stop, faults, served):
    while not stop.is_set():
        try:
            c = master_house.Client(port, timeout=20)
            if not c.works():
                faults.append("no echo")
            served.append(c.generation)
            c.close()
        except (OSError, AssertionError) as e:
            faults.append(repr(e))


def test_no_connection_is_dropped():
    with house() as h:
        stop, faults, served = threading.Event(), [], []
        threads = [threading.Thread(target=hammer, args=(
            h.port, stop, faults, served)) for _ in range(4)]
        for t in threads:
            t.start()
        try:
            cases.wait_for("the first clients", lambda: served)
            # A generation is new for its clients once it has started.
            for i in range(6):
                known = set(served)
                change(h, 3000 + i)
                h.chappe("reload")
                cases.wait_for("clients of a new generation",
                               lambda seen=known: set(served) - seen)
                had = len(served)
                cases.wait_for("more clients of it",
                               lambda n=had: len(served) > n + 10)
        finally:
            stop.set()
            for t in threads:
                t.join()
        cases.equal(faults, [])
        assert len(set(served)) == 7, sorted(set(served))


def test_errors_change_nothing():
    with house() as h:
        c = master_house.Client(h.port)
        set_services(h, "nonsense\n")
        text = h.chappe("reload", status=1).stderr
        cases.contains(text, "master.cf: line 4")
        h.wait_log("the old configuration stays")
        d = master_house.Client(h.port)
        cases.equal(d.pid, c.pid)
        set_services(h, PLAIN % h.port)
        h.chappe("reload")


def test_a_bad_new_generation_leaves_the_old_one_serving():
    with house() as h:
        c = master_house.Client(h.port)
        h.mode("smtpd", "die")
        change(h, 4000)
        h.chappe("reload")
        d = master_house.Client(h.port)
        cases.equal(d.pid, c.pid)
        h.mode("smtpd", "serve")
        cases.wait_for("the new generation",
                       lambda: master_house.Client(h.port).pid != c.pid)


def test_services_come_and_go():
    with house() as h:
        c = master_house.Client(h.port)
        set_services(h, PLAIN % h.other)
        h.chappe("reload")
        master_house.Client(h.other).close()
        with contextlib.suppress(ConnectionRefusedError):
            master_house.Client(h.port, timeout=5)
            raise AssertionError("the old port still answers")
        assert c.works(), "the session under way goes on"
        c.close()
        h.wait_event("exit", "smtpd", pid=c.pid)
        set_services(h, PLAIN % h.port)
        h.chappe("reload")
        master_house.Client(h.port).close()


def test_at_most_four_old_generations():
    with house() as h:
        clients = []
        for i in range(6):
            clients.append(master_house.Client(h.port))
            change(h, 5000 + i)
            h.chappe("reload")
        h.wait_event("MSG_HURRY", "smtpd", pid=clients[0].pid)
        h.wait_event("exit", "smtpd", pid=clients[0].pid)
        assert all(c.works() for c in clients[2:])


cases.main(globals())
