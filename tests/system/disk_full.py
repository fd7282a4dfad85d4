#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The queue's disk is full to the last block. New mail has to wait, but what
is in the queue is deferred, with its reasons, and returned to its senders:
there is a reserve for that. With both settings of queue_commit."""

import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "lib"))
import cases  # noqa: E402
import crash  # noqa: E402
import mail  # noqa: E402

RESERVE = 12582912
COUNT = 24


class Filler:
    """Takes all blocks that are left."""

    def __init__(self, disk):
        self.path = os.path.join(disk.mount, "filler")
        self.mount = disk.mount
        self.fd = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o600)

    def fill(self):
        size = os.fstat(self.fd).st_size
        for step in (1 << 24, 1 << 20, 1 << 16, 1 << 12):
            while True:
                try:
                    os.posix_fallocate(self.fd, size, step)
                    size += step
                except OSError:
                    break

    def free(self):
        s = os.statvfs(self.mount)
        return s.f_bavail * s.f_frsize

    def remove(self):
        os.close(self.fd)
        os.unlink(self.path)


def taken():
    """Would smtpd take a mail?"""
    with mail.smtp() as s:
        s.ehlo()
        return s.mail("sender@elsewhere.test")[0] == 250


def reasons(text):
    return mail.queue().count(text)


def all_returned():
    returned = b"".join(mail.mailbox_texts(1)).decode()
    return all("<bad%d@away.test>" % n in returned for n in range(COUNT))


def new_disk():
    disk = crash.Disk("ext4", 400)
    # No blocks for root only.
    disk.detach()
    subprocess.run(["tune2fs", "-m", "0", disk.image], check=True,
                   capture_output=True)
    disk.attach()
    os.chmod(disk.mount, 0o777)
    return disk


def run(setting):
    disk = new_disk()
    away = crash.Away()
    suite = crash.Instance(
        ["queue_commit=" + setting, "minimal_backoff_time=1h",
         "initial_destination_concurrency=100", away.option(),
         "default_destination_concurrency_limit=100"], disk=disk)
    ok = False
    try:
        suite.start()
        filler = Filler(disk)
        # Their notes begin everywhere in a block.
        for n in range(COUNT):
            mail.send(mail.text("waits %d" % n, "x" * 70 + "\n" + "y\n" *
                                (n * 4096 // COUNT // 3),
                                to="b%d@away.test" % n),
                      ["b%d@away.test" % n, "bad%d@away.test" % n],
                      sender=mail.address(1))
        cases.wait_for("the reserve", lambda: os.path.getsize(
            suite.queue + "/journal/reserve") == RESERVE)
        filler.fill()
        cases.equal(filler.free() < 65536, True, "room on the disk")
        # What smtpd knows of the disk may be some seconds old.
        cases.wait_for("mail to be refused", lambda: not taken())

        def reply(verb, line):
            if verb == "RCPT" and "bad" in line:
                return "550 5.1.1 nobody"
            return "451 4.2.0 later" if verb == "RCPT" else None
        away.listener.close()
        with mail.Sink(port=away.port, reply=reply) as sink:
            away.sink = sink
            cases.run(["postqueue", "-f"])
            cases.wait_for("a reason for each", lambda: reasons(
                "4.2.0 later") == COUNT, 60)
            # The mailboxes may be full; who is told of is done with here.
            cases.wait_for("notifications", lambda: not reasons("bad"), 60)
            away.sink = None
        mail.wait_for_log("the disk is full: the reserve of %d bytes is used"
                          % RESERVE)
        cases.equal(len(suite.part("deferred")) >= COUNT, True, "deferred")
        cases.equal(taken(), False, "mail is taken")
        filler.remove()
        mail.wait_for_log("the reserve of room on the disk is there again")
        cases.equal(os.path.getsize(suite.queue + "/journal/reserve"),
                    RESERVE)
        cases.wait_for("mail to be taken", taken)
        with mail.Sink(port=away.port) as sink:
            cases.run(["postqueue", "-f"])
            mail.wait_until_empty()
            cases.equal(len(sink.messages), COUNT)
        cases.equal(all_returned(), True)
        ok = True
    finally:
        if not ok:
            print("\n".join(line for line in mail.log().split("\n") if
                            "No space" in line or "the disk" in line))
            print(mail.queue()[-2000:])
            print(mail.log()[-4000:])
            print(subprocess.run("df %s; ls -lsR %s/journal" % (
                disk.mount, suite.queue), shell=True, capture_output=True,
                text=True).stdout)
        faults = suite.stop()
        disk.remove()
    cases.equal(faults if ok else [], [], "faults of the suite")


def test_group():
    run("group")


def test_file():
    run("file")


def test_a_start():
    """Mail that has no file yet gets one when qmgr starts, out of the
    reserve."""
    disk, away = new_disk(), crash.Away()
    suite = crash.Instance(["queue_commit=group", "minimal_backoff_time=1s",
                            away.option()], disk=disk)
    try:
        suite.start()
        filler = Filler(disk)
        cases.wait_for("the reserve", lambda: os.path.getsize(
            suite.queue + "/journal/reserve") == RESERVE)
        mail.send(mail.text("first"), mail.address(1))
        cases.wait_for("it", lambda: mail.mailbox_texts(1))
        filler.fill()
        # The disk is looked at from time to time: some are still taken.
        qids = [mail.send(mail.text("kept %d" % n, to="b@away.test"),
                          "b@away.test") for n in range(8)]
        suite.kill_all()
        cases.equal(suite.part("incoming"), [])
        suite.start_again()
        mail.wait_for_log(r"journal: 8 messages, 8 of them made anew")
        for qid in qids:
            cases.contains(mail.queue(), qid)
        away.answers()
        cases.wait_for("all", lambda: len(away.sink.messages) == 8)
        filler.remove()
        cases.wait_for("mail to be taken", taken)
    finally:
        faults = suite.stop()
        away.close()
        disk.remove()
    cases.equal(faults, [], "faults of the suite")


def bounced_without_a_reserve(setting):
    away = crash.Away()
    suite = crash.Instance(["queue_commit=" + setting, "queue_reserve_size=0",
                            "minimal_backoff_time=1h", away.option()])
    try:
        suite.start()
        away.listener.close()
        with mail.Sink(port=away.port, reply=lambda verb, line:
                       "550 5.1.1 no" if verb == "RCPT" else None) as sink:
            away.sink = sink
            qid = mail.send(mail.text("fails", to="bad@away.test"),
                            "bad@away.test", sender=mail.address(1))
            mail.wait_for_log(qid + ": no notification: .*No space left")
            mail.wait_until_empty()
            away.sink = None
        cases.equal(len(re.findall(qid + ": to=<bad@away.test>",
                                   mail.log())), 1)
        cases.contains(b"".join(mail.mailbox_texts(1)).decode(),
                       "<bad@away.test>")
    finally:
        faults = suite.stop()
        suite.remove()
    cases.equal(faults, [], "faults of the suite")


def test_without_a_reserve():
    """The first step of bounce finds no room. The notification is tried again,
    and soon, not the delivery."""
    os.environ["CHAPPE_FAULT_PROC"] = "bounce"
    os.environ["CHAPPE_FAULT"] = "1:ENOSPC"
    try:
        for setting in "group", "file":
            bounced_without_a_reserve(setting)
    finally:
        del os.environ["CHAPPE_FAULT"], os.environ["CHAPPE_FAULT_PROC"]


cases.main(globals())
