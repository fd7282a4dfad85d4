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


def limit_memory(pid, more):
    """Sets the process's address space to what it has and so much more, as
    its own user; -1: no limit."""
    with open("/proc/%s/status" % pid) as f:
        status = f.read()
    uid, gid, size = (
        int(re.search(r"^%s:\s+(\d+)" % name, status, re.M).group(1))
        for name in ("Uid", "Gid", "VmSize"))
    user = {"user": uid, "group": gid, "extra_groups": []} \
        if os.geteuid() == 0 else {}
    limit = "unlimited" if more < 0 else str(size * 1024 + more)
    cases.run(["prlimit", "--pid", str(pid), "--as=%s:" % limit], **user)


def heavy(source):
    """A client in the middle of a message: its session has buffers. None: it
    was turned away."""
    line = mail.Line("smtp", source)
    if not line.reply().startswith("220 "):
        line.close()
        return None
    line.say("EHLO client.test")
    if line.say("MAIL FROM:<a@b.test>")[:3] == "250" and \
            line.say("RCPT TO:<%s>" % mail.ADDRESSES[0])[:3] == "250":
        line.say("DATA")
        line.send(b"Subject: x\r\n\r\n" + b"y" * 900 + b"\r\n")
    return line


def test_out_of_memory():
    if os.environ.get("MODE") == "asan":
        raise cases.Skip("the sanitizer reserves all address space")
    # First of all, while there is no free memory left over from others.
    honest.whole_session("127.0.0.1")
    start = len(mail.log())
    pids = set(smtpd_limits())
    for pid in pids:
        limit_memory(pid, 1 << 20)
    lines, busy = [], 0
    while busy < 3:
        assert len(lines) < 190, "memory lasted"
        line = heavy("127.1.9.%d" % (len(lines) // 40 + 1))
        if line is None:
            busy += 1
        else:
            lines.append(line)
    mail.logged(r"warning: memory is low with \d+ sessions: \d+ clients "
                r"turned away", start)
    # Those who are there are served on.
    cases.matches(lines[0].say("."), r"^250 2\.0\.0 Ok: queued")
    for line in lines:
        line.close()
    for pid in pids:
        limit_memory(pid, -1)
    cases.wait_for("clients to be served at once",
                   lambda: persistent("127.0.0.1")[0] < honest.LIMIT_S)
    cases.equal(pids - set(smtpd_limits()), set(), "a server died")


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
    cases.wait_for("clients to be served at once", lambda:
                   honest.whole_session("127.0.0.1")[0] < honest.LIMIT_S)


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
