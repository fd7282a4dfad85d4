#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""More clients than a server has sessions: the newest are told to come again,
the slow have less time, and mail keeps flowing; with 256 descriptors a process
says 421 and lives."""
# instance: -o smtpd_session_limit=100 -o smtpd_timeout=${stress?{3}:{300}}s
# timeout: 180
# alone: it holds all sessions, and gives servers few descriptors

import os
import re
import resource
import smtplib
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import honest  # noqa: E402
import slow_clients  # noqa: E402
import smtp_session as mail  # noqa: E402

BUSY = r"^421 4\.3\.2 %s Error: too many connections\r\n$" % re.escape(
    mail.DOMAIN)
FEW = 256


def persistent(source):
    """As any mail server does: when it is told to come again it does so.
    Seconds until its mail was taken."""
    begun = time.monotonic()
    while True:
        try:
            return time.monotonic() - begun, honest.whole_session(source)[1]
        except (smtplib.SMTPException, ConnectionError) as e:
            assert time.monotonic() - begun < 30, e
            time.sleep(0.1)


def test_more_clients_than_sessions():
    start = len(mail.log())
    with slow_clients.Crowd(mail.port("smtp"), 600) as crowd:
        crowd.wait("some are turned away", lambda c: c.refused > 100, 60)
        mail.logged(r'warning: service "\d+" is under stress', start)
        mail.logged(r"warning: all \d+ sessions are in use: \d+ clients "
                    r"turned away", start)
        # No client keeps its session for long.
        before = crowd.sent_away
        crowd.wait("the slow are sent away",
                   lambda c: c.sent_away > before + 100, 60)
        mail.logged(r"timeout after \S+ from", start)
        word = None
        for i in range(5):
            took, word = persistent(("127.0.0.1", mail.STRANGER)[i % 2])
            print("taken after %.2f s" % took, flush=True)
        mail.delivered(mail.MAILBOXES[0], word)
        # Other services are not concerned.
        mail.smtp("submission").quit()
    mail.logged(r'service "\d+" is no longer under stress', start)
    cases.wait_for("the crowd's end", lambda: persistent("127.0.0.1"))
    assert honest.whole_session("127.0.0.1")[0] < honest.LIMIT_S


def transaction(line):
    cases.equal(line.say("MAIL FROM:<a@b.test>"), "250 2.1.0 Ok")
    cases.equal(line.say("RCPT TO:<%s>" % mail.ADDRESSES[0]), "250 2.1.5 Ok")
    cases.equal(line.say("DATA")[:4], "354 ")
    cases.matches(line.say("Subject: x\r\n\r\nx\r\n."), "^250 2.0.0 Ok: queue")


def test_no_session_is_lost_to_stress():
    # Whoever goes on is not sent away.
    line = mail.Line("smtp", mail.STRANGER)
    cases.equal(line.reply()[:4], "220 ")
    line.say("EHLO client.test")
    start = len(mail.log())
    with slow_clients.Crowd(mail.port("smtp"), 600) as crowd:
        mail.logged("is under stress", start)
        before = crowd.sent_away
        while crowd.sent_away < before + 200:
            crowd.look()
            transaction(line)
    line.close()


def few_descriptors():
    resource.setrlimit(resource.RLIMIT_NOFILE, (FEW, FEW))


def test_256_descriptors():
    """A whole suite with so few. The command below is in it."""
    cases.run([os.path.join(cases.ROOT, "tests", "instance"), "--",
               sys.executable, os.path.abspath(__file__), "--inside"],
              preexec_fn=few_descriptors)


def smtpd_limits():
    found = {}
    for pid in os.listdir("/proc"):
        try:
            with open("/proc/%s/cmdline" % pid, "rb") as f:
                words = f.read().split(b"\0")
            with open("/proc/%s/limits" % pid) as f:
                limits = f.read()
        except OSError:
            continue
        if words[0].endswith(b"libexec/smtpd") and \
                os.environ["CHAPPE_CONFIG"].encode() in words:
            found[pid] = int(re.search(r"Max open files\s+(\d+)",
                                       limits).group(1))
    return found


HOLD = """
import sys
sys.path.insert(0, %r)
import slow_clients
socks, lines = slow_clients.connect_many(%d, 150)
print(repr(lines), flush=True)
sys.stdin.read()
"""


def holder():
    """A process with 150 connections, since none may have more than 256."""
    lib = os.path.dirname(os.path.abspath(slow_clients.__file__))
    return subprocess.Popen(
        [sys.executable, "-c", HOLD % (lib, mail.port("smtp"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def inside():
    honest.whole_session("127.0.0.1")
    for pid, limit in smtpd_limits().items():
        cases.equal(limit, FEW, pid)
    holders, lines = [], []
    for _ in range(5):
        holders.append(holder())
        lines += eval(holders[-1].stdout.readline())
    pids = set(smtpd_limits())
    served = [line for line in lines if line.startswith("220 ")]
    for line in lines:
        assert line.startswith("220 ") or re.match(BUSY, line), line
    # All have been answered, most of the descriptors were of use.
    cases.equal(len(lines), 750)
    assert len(served) < 750 and len(served) >= FEW // 2, len(served)
    print("%d served, %d told to come again" % (
        len(served), len(lines) - len(served)), flush=True)
    for h in holders:
        h.stdin.close()
        h.wait()
    word = persistent("127.0.0.1")[1]
    mail.delivered(mail.MAILBOXES[0], word)
    cases.equal(pids - set(smtpd_limits()), set(), "a server died")


if "--inside" in sys.argv:
    inside()
    sys.exit(0)
cases.main(globals())
