#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log daemon by itself: shapes, the trace store, rotation, crashes."""
# timeout: 180

import contextlib
import json
import os
import random
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import ipc  # noqa: E402
import ring  # noqa: E402


@contextlib.contextmanager
def house(**conf):
    h = ipc.House()
    h.configure(maillog_file=h.path("mail.log"), **conf)
    h.daemon = ipc.Daemon("log", h)
    try:
        yield h
    finally:
        h.daemon.close()
        h.remove()


def log_text(h, name="mail.log"):
    with open(h.path(name)) as f:
        return f.read()


def attached(h, **more):
    r = ring.Ring(**more)
    r.channel = h.daemon.connect()
    r.attach(r.channel)
    return r


def wait_empty(r):
    cases.wait_for("the ring to be read", r.empty)


def query(h, **what):
    """Lines of the trace, split into fields."""
    (name, value), = what.items()
    channel = h.daemon.connect()
    m = channel.call("MSG_TRACE_QUERY", [("F_" + name.upper(), value)])
    lines = m.all("F_LINE")
    while m.get("F_CURSOR") is not None:
        m = channel.receive()
        lines += m.all("F_LINE")
    channel.close()
    return [line.decode().split("\t") for line in lines]


def test_line_shapes():
    with house() as h:
        r = attached(h)
        r.put("connect from localhost[127.0.0.1]", tag="postfix/smtpd")
        r.put("removed", qid="5F1B2C3D4E5F600", tag="postfix/qmgr")
        r.put("it may fail", level=2)
        r.put("it failed", qid="ABC", level=3)
        r.event_("accept", "not for this file")
        r.put("a\x1bb")
        wait_empty(r)
        host = re.escape(os.uname().nodename.split(".")[0])
        stamp = r"[A-Z][a-z]{2} [ 0-3]\d \d\d:\d\d:\d\d " + host + " "
        pid = r"\[%d\]: " % os.getpid()
        lines = log_text(h).splitlines()
        for line, wanted in zip(lines, [
                "postfix/smtpd" + pid + r"connect from localhost\[127.*",
                "postfix/qmgr" + pid + "5F1B2C3D4E5F600: removed",
                "postfix/test" + pid + "warning: it may fail",
                "postfix/test" + pid + "error: ABC: it failed",
                "postfix/test" + pid + r"a\?b"]):
            cases.matches(line, "^" + stamp + wanted + "$")
        cases.equal(len(lines), 5)


def test_processes_are_merged_by_time():
    with house() as h:
        a, b = attached(h), attached(h)
        base = int(time.time() * 1e6) + 200000
        for i in range(20):
            a.put("number %d." % (2 * i + 1), time_us=base + 2 * i + 1)
        for i in range(20):
            b.put("number %d." % (2 * i), time_us=base + 2 * i)
        cases.wait_for("all", lambda: log_text(h).count("number") == 40)
        got = [int(n) for n in re.findall(r"number (\d+)\.", log_text(h))]
        cases.equal(got, list(range(40)))


def test_json_lines():
    with house() as h:
        h.daemon.leave()
        h.daemon.start(overrides=["maillog_json_file=" + h.path("j")])
        r = attached(h)
        r.put('say "hi" \\ \u00e9', qid="ABC", trace=0x1234, level=2)
        r.event_("accept", "decided", trace=0x1234)
        wait_empty(r)
        cases.wait_for("both lines", lambda: log_text(h, "j").count("\n") == 2)
        line, event = [json.loads(x) for x in log_text(h, "j").splitlines()]
        cases.equal(line["text"], 'say "hi" \\ \u00e9')
        cases.equal((line["queue_id"], line["trace"], line["level"]),
                    ("ABC", "0000000000001234", "warning"))
        cases.equal((event["event"], event["text"]), ("accept", "decided"))
        cases.matches(line["time"], r"^20\d\d-\d\d-\d\dT[\d:]{8}\.\d{6}Z$")


def test_trace_of_one_mail():
    with house() as h:
        a, b = attached(h), attached(h)
        base = 0xABCDEF012345 << 16
        b.event_("deliver", "to local", trace=base | 1, qid="ID1", time_us=50)
        a.event_("connect", "from x", trace=base, time_us=10)
        a.event_("rcpt", "ok", trace=base | 1, time_us=20)
        a.put("client=x", trace=base | 1, qid="ID1", time_us=30)
        a.put("client=x", trace=base | 2, qid="ID2", time_us=40)
        a.put("to=<bob@b>, relay", trace=base | 2, qid="ID2", time_us=45)
        a.put("other", trace=base ^ 1 << 20, qid="ID3", time_us=41)
        wait_empty(a)
        wait_empty(b)
        cases.equal([(f[0], f[8]) for f in query(h, qid="ID1")],
                    [("10", "from x"), ("20", "ok"), ("30", "client=x"),
                     ("50", "to local")])
        cases.equal([f[0] for f in query(h, qid="ID2")], ["10", "40", "45"])
        cases.equal([f[0] for f in query(h, address="BOB@b")],
                    ["10", "40", "45"])
        cases.equal(len(query(h, trace=base)), 6)
        cases.equal(query(h, qid="ID4"), [])


def test_trace_store_is_bounded_and_pages():
    with house(trace_size_limit="1m") as h:
        r = attached(h)
        for i in range(4000):
            while not r.put("%06d " % i + "x" * 500, trace=0x10000 | i & 1):
                wait_empty(r)
        wait_empty(r)
        folder = os.path.join(h.queue, "trace")
        size = sum(os.path.getsize(os.path.join(folder, n))
                   for n in os.listdir(folder))
        assert 400000 < size < 1400000, size
        lines = query(h, trace=0x10000)
        numbers = [int(f[8][:6]) for f in lines]
        assert len(numbers) > 500, len(numbers)
        cases.equal(numbers[-1], 3999)
        cases.equal(numbers, list(range(numbers[0], 4000)))


def test_rotation_is_noticed():
    with house() as h:
        r = attached(h)
        r.put("one")
        cases.wait_for("line", lambda: "one" in log_text(h))
        os.rename(h.path("mail.log"), h.path("mail.log.1"))
        cases.wait_for("a new file", lambda: r.put("two") and
                       os.path.exists(h.path("mail.log")))
        cases.contains(log_text(h, "mail.log.1"), "one")
        os.rename(h.path("mail.log"), h.path("mail.log.2"))
        h.daemon.process.send_signal(10)
        cases.wait_for("a new file", lambda:
                       os.path.exists(h.path("mail.log")))
        r.put("three")
        cases.wait_for("line", lambda: "three" in log_text(h))


def test_lost_lines_are_counted():
    with house() as h:
        h.daemon.leave()
        r = ring.Ring(size=4096)
        kept = sum(r.put("line %d" % i) for i in range(200))
        assert kept < 200
        h.daemon.start()
        r.channel = h.daemon.connect()
        r.attach(r.channel)
        cases.wait_for("the count", lambda: "lines lost" in log_text(h))
        cases.matches(log_text(h), "postfix/test.*warning: %d lines lost" %
                      (200 - kept))
        cases.equal(len(re.findall("line [0-9]", log_text(h))), kept)


def test_last_lines_of_a_dead_process():
    with house() as h:
        r = ring.Ring()
        for i in range(100):
            r.put("line %d." % i)
        channel = h.daemon.connect()
        r.attach(channel)
        channel.close()
        cases.wait_for("the last line", lambda: "line 99." in log_text(h))


def test_rubbish_closes_only_that_peer():
    with house() as h:
        good = attached(h)
        for fds in ([], [0], [0, 0]):
            bad = h.daemon.connect()
            bad.send("MSG_LOG_ATTACH", fds=fds)
            cases.equal(bad.receive(), None)
        unsealed = ring.Ring(seals=4)
        channel = h.daemon.connect()
        unsealed.attach(channel)
        cases.equal(channel.receive(), None)
        broken = attached(h)
        broken.map[4096:4096 + 64] = b"\xff" * 64
        broken.map[ring.HEAD:ring.HEAD + 8] = b"\x40" + b"\0" * 7
        os.eventfd_write(broken.event, 1)
        good.put("still here")
        cases.wait_for("line", lambda: "still here" in log_text(h))
        cases.equal(h.daemon.process.poll(), None)


def test_killed_and_restarted_neither_loses_nor_repeats():
    random.seed(2)
    with house() as h:
        r = attached(h)
        sent, deaths = 0, 0
        while deaths < 25:
            for _ in range(random.randrange(1, 400)):
                if r.put("number %d." % sent):
                    sent += 1
            time.sleep(random.random() * 0.03)
            h.daemon.kill()
            deaths += 1
            for _ in range(20):
                if r.put("number %d." % sent):
                    sent += 1
            h.daemon.start()
            r.channel.close()
            r.channel = h.daemon.connect()
            r.attach(r.channel)
        wait_empty(r)
        cases.wait_for("the last one", lambda:
                       "number %d." % (sent - 1) in log_text(h))
        got = [int(n) for n in re.findall(r"number (\d+)\.", log_text(h))]
        cases.equal(got, list(range(sent)))
        assert sent > 1000, sent


def test_replaced_in_order():
    with house() as h:
        r = attached(h)
        for i in range(500):
            r.put("number %d." % i)
        cases.equal(h.daemon.leave(), 0)
        for i in range(500, 600):
            r.put("number %d." % i)
        h.daemon.start()
        r.channel = h.daemon.connect()
        r.attach(r.channel)
        cases.wait_for("all", lambda: "number 599." in log_text(h))
        got = [int(n) for n in re.findall(r"number (\d+)\.", log_text(h))]
        cases.equal(got, list(range(600)))


cases.main(globals())
