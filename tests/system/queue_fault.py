#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""qmgr with a disk that fails: each durable step in turn fails once, and
nothing is lost, bounced or sent twice. An instance for each fault."""
# timeout: 300

import os
import smtplib
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402

COUNT = 6


def arrived():
    import mail
    got = []
    for n in (1, 2):
        for text in mail.mailbox_texts(n):
            got += [line[9:] for line in text.decode().splitlines()
                    if line.startswith("Subject: ")]
    return got


def taken(subject, to):
    """Sends; without a place in the journal it is 452 for a second."""
    with smtplib.SMTP("localhost", int(os.environ["SMTP_PORT"])) as s:
        try:
            s.sendmail("sender@elsewhere.test", [to],
                       "Subject: %s\r\n\r\n" % subject)
        except smtplib.SMTPResponseException as e:
            cases.equal(e.smtp_code, 452, "reply")
            return False
    return True


def inside():
    """In the instance: mails go in, all come out once."""
    import mail
    subjects = ["fault %d" % n for n in range(COUNT)]
    for n, subject in enumerate(subjects):
        to = mail.address(1 + n % 2)
        cases.wait_for("an answer", lambda: taken(subject, to))
    if not os.environ["CHAPPE_FAULT"].endswith(":kill"):
        mail.wait_until_empty()
    cases.wait_for("the mails", lambda: len(arrived()) >= COUNT)
    got = arrived()
    cases.equal(sorted(got), subjects, "delivered once each")
    assert "status=bounced" not in mail.log(), "bounced"
    mail.wait_for_log(os.environ["FAULT_TEXT"])


def run(fault, text, setting="file"):
    env = dict(os.environ, CHAPPE_FAULT=fault, CHAPPE_FAULT_PROC="qmgr",
               FAULT_TEXT=text)
    env.pop("QUEUE_COMMIT", None)
    done = subprocess.run(
        [os.path.join(cases.ROOT, "tests", "instance"),
         "-o", "queue_commit=" + setting, "--", sys.executable, os.path.abspath(__file__), "inside"],
        env=env, capture_output=True, text=True, check=False)
    cases.equal(done.returncode, 0, "%s: %s%s" % (fault, done.stdout,
                                                  done.stderr))


SAID = r"qmgr\[\d+\]: (warning: )?\w+: .*"


def test_each_step_fails_once():
    for n in range(1, 5):
        run("%d:EIO" % n, SAID + "Input/output error")


def test_the_disk_is_full_once():
    run("2:ENOSPC", SAID + "No space left on device")


def test_group_commit_each_kind_of_step_fails_once():
    """The first 13 make the segment of qmgr's own journal; then come one for
    smtpd, records, flushes and unlinks."""
    for n in (1, 5, 10, 11, 12, 13, 14, 24, 26, 27, 28, 29, 30, 31):
        run("%d:EIO" % n, SAID + "Input/output error", "group")


def test_group_commit_and_no_room_for_a_segment():
    run("3:ENOSPC", SAID + "No space left on device", "group")
    run("17:ENOSPC", SAID + "No space left on device", "group")


def test_group_commit_killed_at_the_same_step_again_and_again():
    for n in (20, 28, 31):
        run("%d:kill" % n, r"qmgr\[\d+\]: journal: ", "group")


if sys.argv[1:] == ["inside"]:
    inside()
else:
    cases.main(globals())
