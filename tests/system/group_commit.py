#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 300
"""Group commit on whole instances: what was answered is there after kill -9
of single daemons and of all at once, whatever became of files that were never
flushed; a full journal refuses mail and delivers on; tools see it all."""

import os
import re
import signal
import smtplib
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "lib"))
import cases  # noqa: E402
import crash  # noqa: E402
import mail  # noqa: E402

GROUP = ["queue_commit=group", "smtpd_client_connection_count_limit=0"]


class House:
    """An instance that is stopped and removed when all is well."""

    def __init__(self, *options, **more):
        self.suite = crash.Instance(GROUP + list(options), **more)

    def __enter__(self):
        self.suite.start()
        return self.suite

    def __exit__(self, kind, value, trace):
        faults = self.suite.stop()
        if kind is None:
            self.suite.remove()
            cases.equal(faults, [], "faults of the suite")
        else:
            print("kept: %s" % self.suite.dir)


def kill(suite, program):
    # Mail is taken while qmgr is being started again.
    pids = cases.wait_for("a %s" % program, lambda: [
        p for p, name in suite._ours().items() if name == program])
    os.kill(pids[0], signal.SIGKILL)


def send(subject, n=1):
    mail.send(mail.text(subject, to=mail.address(n)), mail.address(n))


def subjects(n=1):
    found = []
    for text in mail.mailbox_texts(n):
        found += re.findall(rb"^Subject: (.*?)\r?$", text, re.M)
    return sorted(s.decode() for s in found)


def journal(suite):
    return sorted(os.listdir(os.path.join(suite.queue, "journal")))


def headed(suite):
    """How many segments are in use."""
    count = 0
    for name in journal(suite):
        with open(os.path.join(suite.queue, "journal", name), "rb") as f:
            first = f.read(1024)
            count += b"chappeJ\n" in first
    return count


def test_mail_goes_through_the_journal():
    with House() as suite:
        for n in range(5):
            send("journal %d" % n)
        cases.wait_for("all", lambda: len(subjects()) == 5)
        cases.equal(len(journal(suite)) >= 2, True, "segments: qmgr's and "
                    "smtpd's")
        cases.equal(suite.part("active"), [], "sealed files")


def test_kill_single_daemons():
    with House() as suite:
        # Not more than a mailbox takes while qmgr is away.
        sender = crash.Sender(pause_s=0.02)
        with sender:
            for program in ["smtpd", "qmgr"] * 4:
                before = len(sender.promised)
                cases.wait_for("some mail", lambda: len(sender.promised) >
                               before + 20)
                kill(suite, program)
        cases.wait_for("all mail", lambda: not sender.missing())
        mail.wait_until_empty()
        print("%d mails, %d twice" % (len(sender.promised),
                                      len(sender.twice())))
        cases.equal(len(sender.twice()) <= len(sender.promised) // 50, True,
                    "few come twice: %s" % sender.twice())


class Unsealed(House):
    """A house with such a next hop, and mails for it, by one smtpd that has
    its segment: the mails that come before are sealed. Short mails have no
    file then, long ones have."""

    def __init__(self, count, *options, long=False):
        self.away, self.count, self.long = crash.Away(), count, long
        super().__init__(self.away.option(), "minimal_backoff_time=1s",
                         *options)

    def __enter__(self):
        suite = super().__enter__()
        with smtplib.SMTP("localhost", int(mail.env("SMTP_PORT"))) as s:
            s.sendmail("a@elsewhere.test", [mail.address(1)],
                       "Subject: first\r\n\r\n")
            cases.wait_for("smtpd's segment", lambda: headed(suite) == 2)
            # Its answer comes after the segment.
            s.sendmail("a@elsewhere.test", [mail.address(1)],
                       "Subject: second\r\n\r\n")
            cases.wait_for("both", lambda: len(subjects()) == 2)
            for n in range(self.count):
                s.sendmail("a@elsewhere.test", ["b@away.test"],
                           "Subject: kept %d\r\n\r\n%s" % (
                               n, "text\r\n" * (30000 if self.long else 100)))
        return suite

    def crash(self):
        self.suite.kill_all()
        names = self.suite.part("incoming")
        cases.equal(len(names) >= self.count if self.long else names == [],
                    True, "unsealed: %s" % names)
        cases.equal(self.suite.part("active"), [])

    def all_come(self, but=0):
        """The suite is started again, and all mails come, each once."""
        self.away.answers()
        self.suite.start_again()
        self.await_all(but)

    def await_all(self, but=0):
        cases.wait_for("the mails", lambda: len(self.away.sink.messages) >=
                       self.count - but)
        mail.wait_until_empty()
        got = self.away.subjects()
        cases.equal(len(set(got)), self.count - but, got)
        cases.equal(len(got), self.count - but, "each once: %s" % got)

    def __exit__(self, *about):
        super().__exit__(*about)
        self.away.close()


def paths(suite):
    top = os.path.join(suite.queue, "incoming")
    return [os.path.join(folder, f) for folder, _, files in os.walk(top)
            for f in files if f[0] not in ".s"]


def damage(suite, how):
    for n, path in enumerate(sorted(paths(suite))):
        if how == "gone" or (how == "all kinds" and n % 4 == 0):
            os.unlink(path)
        elif how == "empty" or (how == "all kinds" and n % 4 == 1):
            os.truncate(path, 0)
        elif how == "all kinds" and n % 4 == 2:
            os.truncate(path, os.path.getsize(path) - 100)


def test_files_that_were_lost_come_from_the_journal():
    for how in ("gone", "empty", "all kinds"):
        house = Unsealed(8, long=True)
        with house as suite:
            house.crash()
            damage(suite, how)
            house.all_come()


def test_what_had_no_file_comes_from_the_journal():
    house = Unsealed(8)
    with house:
        house.crash()
        house.all_come()


def test_files_of_long_mail_are_used_again():
    with House() as suite:
        top = os.path.join(suite.queue, "incoming")
        seen = set()
        with smtplib.SMTP("localhost", int(mail.env("SMTP_PORT"))) as s:
            for n in range(8):
                s.sendmail("a@elsewhere.test", [mail.address(1)],
                           "Subject: long %d\r\n\r\n%s" % (
                               n, ("%d" % n * 70 + "\r\n") * 8000))
                mail.wait_until_empty()
                seen |= {e.inode() for x in os.scandir(top)
                         for e in os.scandir(x.path) if e.name[0] == "s"}
        cases.equal(0 < len(seen) < 5, True, "files of 8 mails: %s" % seen)
        # They go with the process that made them.
        kill(suite, "smtpd")
        kill(suite, "smtpd")
        cases.wait_for("the sweep", lambda: not [
            e for x in os.scandir(top) for e in os.scandir(x.path)])
        texts = sorted(mail.mailbox_texts(1))
        cases.equal(len(texts), 8)
        for text in texts:
            n = re.search(rb"Subject: long (\d)", text)[1]
            cases.equal(text.count((n * 70) + b"\n"), 8000)


def test_what_is_done_does_not_come_back():
    with House() as suite:
        for n in range(6):
            send("once %d" % n)
        cases.wait_for("all", lambda: len(subjects()) == 6)
        mail.wait_until_empty()
        suite.kill_all()
        suite.start_again()
        mail.wait_for_log(r"qmgr\[\d+\]: journal: 0 messages")
        send("afterwards")
        cases.wait_for("the next", lambda: "afterwards" in subjects())
        cases.equal(len(subjects()), 7)


def test_checkpoint_seals_after_five_seconds():
    house = Unsealed(3)
    with house as suite:
        begun = time.monotonic()
        cases.wait_for("the seal", lambda: len(suite.part("active")) == 3)
        cases.equal(time.monotonic() - begun < 9, True, "in time")
        cases.equal(suite.part("incoming"), [])
        suite.kill_all()
        house.all_come()


def test_without_a_segment_mail_is_refused():
    # The one that there may be is qmgr's own.
    with House("queue_journal_segment_limit=1") as suite:
        def try_one():
            with smtplib.SMTP("localhost", int(mail.env("SMTP_PORT"))) as s:
                try:
                    s.sendmail("a@elsewhere.test", [mail.address(1)],
                               "Subject: refused?\r\n\r\n")
                except smtplib.SMTPResponseException as e:
                    return e.smtp_code, e.smtp_error
            return None
        code, text = cases.wait_for("a refusal", try_one)
        cases.equal(code, 452)
        cases.matches(text.decode(), r"^4\.3\.1 ")
        mail.wait_until_empty()
        del suite


def tool(suite, *argv):
    return subprocess.run(
        suite._as_suite([os.path.join(suite.bin, argv[0])] + list(argv[1:])),
        env=suite._environment_of_suite(), capture_output=True, text=True,
        check=True).stdout


def listed(text):
    """The ids of a listing."""
    return re.findall(r"^([0-9A-F]+)[*!]? ", text, re.M)


def test_tools_while_it_is_down():
    for long in (False, True):
        house = Unsealed(4, long=long)
        with house as suite:
            house.crash()
            for path in paths(suite)[:2]:
                os.unlink(path)
            cases.equal(len(listed(tool(suite, "postqueue", "-p"))), 4)
            tool(suite, "postsuper", "-h", "ALL")
            cases.equal(len(suite.part("hold")), 4, "held")
            tool(suite, "postsuper", "-d", sorted(suite.part("hold"))[1])
            tool(suite, "postsuper", "-H", "ALL")
            cases.matches(tool(suite, "postqueue", "-p"),
                          r"-- \S+ Kbytes in 3 Requests\.")
            house.all_come(but=1)


def test_tools_show_what_has_no_file():
    with Unsealed(3) as suite:
        shown = mail.queue()
        cases.matches(shown, r"-- \S+ Kbytes in 3 Requests\.")
        cases.contains(shown, "a@elsewhere.test")
        cases.equal(shown.count("b@away.test"), 3)
        for qid in listed(shown):
            text = cases.run(["postcat", "-q", qid]).stdout
            cases.matches(text, r"^Subject: kept \d$")
            cases.contains(text, "recipient: b@away.test\n")
        cases.equal(suite.part("incoming") + suite.part("active"), [])


def test_mailq_shows_what_is_unsealed():
    with Unsealed(3, long=True) as suite:
        cases.matches(mail.queue(), r"-- \S+ Kbytes in 3 Requests\.")
        cases.equal(len(suite.part("incoming")) >= 3, True)


def test_what_was_deleted_stays_away():
    house = Unsealed(4)
    with house as suite:
        # Two are in delivery: their end comes with their connections'.
        deleting = subprocess.Popen(["postsuper", "-d", "ALL"],
                                    stderr=subprocess.PIPE, text=True)
        house.away.answers()
        said = deleting.communicate(timeout=cases.WAIT_S)[1]
        count = int(re.search(r"Deleted: (\d+) message", said).group(1))
        suite.kill_all()
        suite.start_again()
        mail.wait_for_log(r"qmgr\[\d+\]: journal: ")
        mail.wait_until_empty()
        cases.equal(count + len(house.away.subjects()) >= 4, True, said)
        cases.equal(len(set(house.away.subjects())),
                    len(house.away.subjects()))


def test_the_other_setting_takes_over():
    house = Unsealed(4)
    with house as suite:
        house.crash()
        for path in paths(suite):
            os.unlink(path)
        with open(os.path.join(suite.conf, "conf.d", "95-commit.cf"),
                  "w") as f:
            f.write("queue_commit = file\n")
        house.all_come()
        suite.kill_all()
        suite.start_again()
        mail.wait_for_log(r"qmgr\[\d+\]: journal: 0 messages")


if __name__ == "__main__":
    cases.main(globals())
