#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""smtpd's limits: lines, errors, recipients, connections and descriptors
(time is in smtpd.py). After each the service still takes mail."""
# instance: -o smtpd_recipient_limit=10 -o smtpd_client_connection_count_limit=5 -o smtpd_error_sleep_time=0
# timeout: 240
# alone: it uses up descriptors

import glob
import os
import re
import resource
import select
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import smtp_session as mail  # noqa: E402

HOST = re.escape(mail.DOMAIN)


def still_serves():
    word = mail.token()
    with mail.smtp() as s:
        s.sendmail("a@b.test", [mail.ADDRESSES[0]], "Subject: " + word)
    mail.delivered(mail.MAILBOXES[0], word)


def greeted(source="127.0.0.1"):
    line = mail.Line("smtp", source)
    cases.equal(line.reply()[:4], "220 ")
    return line


def smtpd_pids():
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"libexec/smtpd") and \
                os.environ["CHAPPE_CONFIG"].encode() in words:
            found.append(int(path.split("/")[2]))
    return found


def limit_descriptors(pid, count):
    """Sets the soft limit of a process, as its own user: root may lack the
    capability for another's."""
    with open("/proc/%d/status" % pid) as f:
        status = f.read()
    uid, gid = (int(re.search(r"^%s:\s+(\d+)" % name, status, re.M).group(1))
                for name in ("Uid", "Gid"))
    more = {"user": uid, "group": gid, "extra_groups": []} \
        if os.geteuid() == 0 else {}
    cases.run(["prlimit", "--pid", str(pid), "--nofile=%d:" % count], **more)


# What was freed is kept for a while under the address sanitizer, and what is
# in use lies between zones that are not: measured, 60 KB a session.
ASAN = os.environ.get("MODE") == "asan"


def memory_kb():
    total = 0
    for pid in smtpd_pids():
        with open("/proc/%d/status" % pid) as f:
            total += int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1))
    return total


def test_long_lines_take_no_memory():
    line = greeted()
    before = memory_kb()
    for _ in range(500):
        line.send(b"x" * 100000)
    line.send(b"\r\n")
    cases.equal(line.reply(), "500 5.5.2 Error: line too long")
    assert memory_kb() < before + (90000 if ASAN else 20000), \
        (before, memory_kb())
    cases.equal(line.say("NOOP"), "250 2.0.0 Ok")
    line.close()


def test_long_lines_in_a_message_are_kept():
    word = mail.token()
    line = greeted()
    line.say("EHLO client.test")
    line.say("MAIL FROM:<a@b.test>")
    line.say("RCPT TO:<%s>" % mail.ADDRESSES[0])
    line.say("DATA")
    line.send(b"Subject: %s\r\n\r\n" % word.encode())
    line.send(b"y" * 200000 + b"\r\nend of it\r\n.\r\n")
    cases.equal(line.reply()[:4], "250 ")
    line.close()
    got = mail.delivered(mail.MAILBOXES[0], word)
    cases.contains(got, b"y" * 200000)
    cases.contains(got, b"end of it")


def test_too_many_errors():
    start = len(mail.log())
    line = greeted()
    replies = []
    while replies[-1:] != [""]:
        replies.append(line.say("FOO"))
    cases.equal(replies[:20],
                ["500 5.5.2 Error: command not recognized"] * 20)
    cases.matches(replies[20],
                  "^421 4.7.0 %s Error: too many errors$" % HOST)
    line.close()
    mail.logged(r"too many errors after UNKNOWN from \S+\[127", start)
    still_serves()


def test_too_many_recipients():
    line = greeted()
    line.say("EHLO client.test")
    line.say("MAIL FROM:<a@b.test>")
    for _ in range(10):
        cases.equal(line.say("RCPT TO:<%s>" % mail.ADDRESSES[0])[:3], "250")
    cases.equal(line.say("RCPT TO:<%s>" % mail.ADDRESSES[0]),
                "452 4.5.3 Error: too many recipients")
    line.close()


def test_connections_of_one_client():
    lines = [greeted(mail.STRANGER) for _ in range(5)]
    sixth = mail.Line("smtp", mail.STRANGER)
    cases.matches(sixth.reply(), "^421 4.7.0 %s Error: too many connections "
                  r"from 127\.0\.0\.2$" % HOST)
    cases.equal(sixth.reply(), "")
    sixth.close()
    # Others are not concerned, and one place is free again when one goes.
    greeted("127.0.0.3").close()
    lines.pop().close()
    cases.wait_for("a place", lambda: place_is_free())
    for line in lines:
        line.close()


def place_is_free():
    line = mail.Line("smtp", mail.STRANGER)
    reply = line.reply()
    line.close()
    return reply.startswith("220 ")


def test_many_idle_sessions():
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    count = min(1000, soft - 100)
    before = memory_kb()
    lines = [greeted() for _ in range(count)]
    used = memory_kb() - before
    # 4 KB and what malloc needs: nothing big waits with an idle session.
    assert used < count * (100 if ASAN else 16), "%d KB for %d sessions" % (used, count)
    for line in lines:
        line.close()
    still_serves()


def test_descriptors_exhausted():
    still_serves()
    before = {}
    for pid in smtpd_pids():
        with open("/proc/%d/limits" % pid) as f:
            before[pid] = int(re.search(r"Max open files\s+(\d+)",
                                        f.read()).group(1))
        limit_descriptors(pid, len(os.listdir("/proc/%d/fd" % pid)) + 20)
    # Not read one after the other: nobody answers those in the queue.
    lines = [mail.Line() for _ in range(150)]
    seen = [line for line in lines if answered(line)]
    replies = [line.reply() for line in seen]
    for reply in replies:
        assert re.match(r"220 |421 4\.\d\.\d |$", reply), reply
    assert sum(r.startswith("220 ") for r in replies) < len(lines), \
        "the limit had no effect"
    for line in lines:
        line.close()
    for pid, count in before.items():
        limit_descriptors(pid, count)
    cases.wait_for("it to accept again", place_is_free)
    still_serves()


def unused(pid):
    """Numbers of descriptors, rising."""
    used = {int(n) for n in os.listdir("/proc/%d/fd" % pid)}
    return [n for n in range(max(used) + 3) if n not in used]


def test_the_reserve_comes_back():
    """The descriptor that is kept for saying no, after a time in which not
    even that one could be had."""
    still_serves()
    before = dict.fromkeys(smtpd_pids())
    for pid in before:
        with open("/proc/%d/limits" % pid) as f:
            before[pid] = int(re.search(r"Max open files\s+(\d+)",
                                        f.read()).group(1))
        limit_descriptors(pid, 5)
    start = len(mail.log())
    lines = [mail.Line() for _ in range(20)]
    for pid in before:
        cases.wait_for("the failure of %d" % pid, lambda p=pid: re.search(
            r"smtpd\[%d\]: .*Too many open files" % p, mail.log()[start:]))
        # Room for one: that is not for a client.
        limit_descriptors(pid, unused(pid)[1])
    for line in lines:
        cases.matches(line.reply(), r"421 4\.3\.2 ")
        line.close()
    for pid, count in before.items():
        limit_descriptors(pid, count)
    cases.wait_for("it to accept again", place_is_free)
    still_serves()


def answered(line):
    return bool(select.select([line.sock], [], [], 0.1)[0])


cases.main(globals())
