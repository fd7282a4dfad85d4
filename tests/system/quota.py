#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: --mailbox maildir -o quota_rule=*:messages=3
"""Quota: a full mailbox is refused at RCPT, not after; there is room again as
soon as mail was removed; clients are told."""

import os
import re
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402


def rcpt(to):
    with mail.smtp() as s:
        s.ehlo()
        s.mail("a@elsewhere.test")
        return s.rcpt(to)


def forget():
    """smtpd remembers for a while who exists; a new one does not."""
    forget.count += 1
    mail.set_option("smtpd_timeout", "%ds" % (200 + forget.count))


forget.count = 0


def fill():
    for n in range(3):
        mail.send(mail.text("message %d" % n))
        mail.wait_for_mail("message %d" % n)


def test_full_is_refused_at_rcpt():
    fill()
    mail.wait_for_log(r"auth\[\d+\]: user=<%s>: quota: the mailbox is full" %
                      mail.user(1))
    forget()
    code, text = rcpt(mail.address(1))
    cases.equal(code, 452)
    cases.contains(text.decode(), "4.2.2 <%s>: Recipient address rejected: "
                   % mail.address(1))
    cases.equal(rcpt(mail.address(2))[0], 250)


def test_a_client_that_adds_is_told():
    c = mail.imap()
    try:
        ok, text = c.append("INBOX", None, None, b"Subject: x\r\n\r\nx\r\n")
        cases.equal(ok, "NO")
        cases.contains(text[0].decode(), "[OVERQUOTA]")
        cases.equal(c.copy("1", "INBOX")[0], "NO")
    finally:
        c.logout()


def test_known_after_a_restart():
    pid = re.findall(r"auth\[(\d+)\]", mail.log())[-1]
    os.kill(int(pid), signal.SIGKILL)
    forget()
    cases.wait_for("the refusal",
                   lambda: rcpt(mail.address(1))[0] == 452)


def test_room_again_after_an_expunge():
    c = mail.imap()
    c.store("1", "+FLAGS", "\\Deleted")
    c.expunge()
    mail.wait_for_log(r"user=<%s>: quota: there is room again" %
                      mail.user(1))
    forget()
    cases.wait_for("acceptance", lambda: rcpt(mail.address(1))[0] == 250)
    ok, _ = c.append("INBOX", None, None, b"Subject: fits\r\n\r\nx\r\n")
    cases.equal(ok, "OK")
    c.logout()


def test_what_came_through_is_returned():
    """Accepted while there was room for another, then too many."""
    qid = mail.send(mail.text("one too many"))
    mail.wait_for_log(r"%s: to=<%s>.*dsn=5\.2\.2, status=bounced "
                      r"\(Quota exceeded" % (qid, mail.address(1)))
    maildir = mail.env("MAILBOX1")
    with open(os.path.join(maildir, "maildirsize")) as f:
        lines = f.read().splitlines()
    cases.equal(lines[0], "3C")
    cases.equal(sum(int(re.split(r"\s+", x)[1]) for x in lines[1:]), 3)


if __name__ == "__main__":
    cases.main(globals())
