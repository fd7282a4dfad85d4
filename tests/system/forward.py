#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o relayhost=[127.0.0.1]:1
"""~/.forward: set, with a copy kept, to elsewhere, in a circle, not to be
trusted, and removed."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402


def home(n):
    return os.path.dirname(mail.env("MAILBOX%d" % n))


def forward(n, text, mode=0o644, owner=True):
    path = os.path.join(home(n), ".forward")
    if text is None:
        os.unlink(path)
        return
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)
    if owner:
        st = os.stat(home(n))
        os.chown(path, st.st_uid, st.st_gid)


def count(subject, n):
    return sum(("Subject: %s\n" % subject).encode() in t
               for t in mail.mailbox_texts(n))


def send(subject, n=1):
    qid = mail.send(mail.text(subject), mail.address(n))
    mail.wait_for_log("%s: removed" % qid)
    mail.wait_until_empty()


def test_to_another_user():
    forward(1, mail.address(2) + "\n")
    send("one")
    cases.equal((count("one", 1), count("one", 2)), (0, 1))


def test_with_a_copy_kept():
    forward(1, "\\%s, %s\n" % (mail.user(1), mail.address(2)))
    send("two")
    cases.equal((count("two", 1), count("two", 2)), (1, 1))


def test_to_elsewhere():
    with mail.Sink() as sink:
        mail.set_option("relayhost", "[127.0.0.1]:%d" % sink.port)
        forward(1, "far@elsewhere.test\n")
        send("three")
        cases.wait_for("the remote copy", lambda: sink.messages)
        got = sink.messages[0]
        cases.equal(got["rcpts"], ["far@elsewhere.test"])
        assert b"Delivered-To: " + mail.address(1).encode() in got["data"]
    cases.equal(count("three", 1), 0)


def test_circle_ends():
    forward(1, mail.address(2) + "\n")
    forward(2, mail.address(1) + "\n")
    mail.send(mail.text("circle"), mail.address(1), sender="")
    mail.wait_for_log(r"dsn=5\.4\.6, status=bounced \(mail forwarding loop")
    mail.wait_until_empty()
    forward(2, None)


def test_not_trusted_when_others_may_write():
    forward(1, mail.address(2) + "\n", mode=0o666)
    send("four")
    cases.equal((count("four", 1), count("four", 2)), (1, 0))
    forward(1, None)


def test_removed():
    send("five")
    cases.equal((count("five", 1), count("five", 2)), (1, 0))


cases.main(globals())
