#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 300
"""The power goes while mail flows: the file system, with queue and mailboxes
on it, loses all that was not flushed, and everything is killed. What was
answered is there after the next start, and only what was done in the last
moment before comes twice. With both settings of queue_commit. Some of the
mail is for a next hop that does not answer: by group commit its files are
lost, and come back from the journal. Some is long: it is sealed by itself,
and by group commit into files of such mail that is finished."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "lib"))
import cases  # noqa: E402
import crash  # noqa: E402
import mail  # noqa: E402

CUTS = 3
MAILS = 150  # between two cuts, at least


def run(setting, kind="ext4"):
    disk = crash.Disk(kind)
    away = crash.Away()
    suite = crash.Instance(
        ["queue_commit=" + setting, "minimal_backoff_time=1s",
         away.option(), "initial_destination_concurrency=20",
         "smtpd_client_connection_count_limit=0"], disk=disk)
    ok = False
    try:
        suite.start()
        sender = crash.Sender(to=1)
        waiting = crash.Sender(connections=1, to="b@away.test", pause_s=0.02)
        long = crash.Sender(connections=2, to=2, size=600000, pause_s=0.05)
        for _ in range(CUTS):
            with sender, waiting, long:
                before = [len(s.promised) for s in (sender, waiting, long)]
                for s, n, more in zip((sender, waiting, long), before,
                                      (MAILS, 4, 4)):
                    cases.wait_for("mail", lambda s=s, least=n + more:
                                   len(s.promised) > least)
                disk.cut()
            # (The senders end by errors: nothing is durable any more.)
            suite.kill_all()
            disk.detach()
            disk.attach()
            suite.start_again()
        cases.wait_for("all mail", lambda: not sender.missing(), 60)
        cases.wait_for("all long mail", lambda: not long.missing(), 60)
        away.answers()
        cases.wait_for("the mail for elsewhere", lambda:
                       not waiting.missing_of(away.subjects()), 60)
        mail.wait_until_empty()
        if setting == "group":
            mail.wait_for_log(r"journal: \d+ messages, [1-9]\d* of them made "
                              "anew", 1)
        cases.equal(len(waiting.promised) > 10, True, "mail for elsewhere")
        print("%s: %d mails, %d long ones, %d cuts, %d came twice" % (
            setting, len(sender.promised), len(long.promised), CUTS,
            len(sender.twice())), flush=True)
        cases.equal(os.listdir(os.path.join(suite.queue, "corrupt")), [])
        cases.equal(len(sender.twice()) <= len(sender.promised) // 10, True,
                    "few come twice")
        ok = True
    except AssertionError:
        print("missing: %s" % sender.missing()[:20])
        print("missing, long: %s" % long.missing()[:20])
        if away.sink:
            print("missing elsewhere: %s" %
                  waiting.missing_of(away.subjects())[:20])
        waits = mail.queue()
        print(waits[-3000:])
        ids = re.findall(r"^([0-9A-F]{11,15})", waits, re.M)
        print("".join(line for line in mail.log().splitlines(True)
                      if any(i in line for i in ids))[-3000:])
        print(mail.log()[-3000:])
        raise
    finally:
        faults = suite.stop()
        disk.remove()
        away.close()
    cases.equal(faults if ok else [], [], "faults of the suite")


def test_group_on_ext4():
    run("group")


def test_group_on_xfs():
    run("group", "xfs")


def test_file_on_ext4():
    run("file")


if __name__ == "__main__":
    cases.main(globals())
