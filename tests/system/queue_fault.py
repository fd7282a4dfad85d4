#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""qmgr with a disk that fails: each durable step in turn fails once, and
nothing is lost, bounced or sent twice. An instance for each fault."""
# timeout: 240

import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402

COUNT = 6


def inside():
    """In the instance: mails go in, all come out once."""
    import mail
    subjects = ["fault %d" % n for n in range(COUNT)]
    for n, subject in enumerate(subjects):
        to = mail.address(1 + n % 2)
        mail.send(mail.text(subject, to=to), to)
    mail.wait_until_empty()
    got = []
    for n in (1, 2):
        for text in mail.mailbox_texts(n):
            got += [line[9:] for line in text.decode().splitlines()
                    if line.startswith("Subject: ")]
    cases.equal(sorted(got), subjects, "delivered once each")
    assert "status=bounced" not in mail.log(), "bounced"
    mail.wait_for_log(r"qmgr\[\d+\]: (warning: )?\w+: .*" +
                      os.environ["FAULT_TEXT"])


def run(fault, text):
    env = dict(os.environ, CHAPPE_FAULT=fault, CHAPPE_FAULT_PROC="qmgr",
               FAULT_TEXT=text)
    done = subprocess.run(
        [os.path.join(cases.ROOT, "tests", "instance"), "--",
         sys.executable, os.path.abspath(__file__), "inside"],
        env=env, capture_output=True, text=True, check=False)
    cases.equal(done.returncode, 0, "%s: %s%s" % (fault, done.stdout,
                                                  done.stderr))


def test_each_step_fails_once():
    for n in range(1, 5):
        run("%d:EIO" % n, "Input/output error")


def test_the_disk_is_full_once():
    run("2:ENOSPC", "No space left on device")


if sys.argv[1:] == ["inside"]:
    inside()
else:
    cases.main(globals())
