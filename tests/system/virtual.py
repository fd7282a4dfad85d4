#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A virtual user: known only to the passwd-file, by address."""
# instance: -o virtual_mailbox_domains=virtual.test -o recipient_delimiter=+
# timeout: 120

import email
import imaplib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402

CAROL = "carol@virtual.test"


def test_unknown_before_and_known_after():
    with mail.smtp() as s:
        s.ehlo()
        s.mail("a@b.test")
        code, text = s.rcpt("dave@virtual.test")
        cases.equal(code, 550)
        cases.contains(text.decode(), "User unknown in virtual mailbox table")
    home = os.path.join(os.path.dirname(os.environ["QUEUE_DIR"]), "carol")
    os.mkdir(home, 0o700)
    owner = os.stat(os.environ["QUEUE_DIR"])
    if os.geteuid() == 0:
        os.chown(home, owner.st_uid, owner.st_gid)
    with open(os.environ["CHAPPE_CONFIG"] + "/users", "a") as f:
        f.write("%s:{PLAIN}pw:::gecos:%s::userdb_mail=maildir:~/Maildir\n"
                % (CAROL, home))
    qid = mail.send(mail.text("virtual", to=CAROL), "Carol+x@Virtual.test")
    mail.wait_for_log(r"%s: to=<Carol\+x@Virtual.test>, relay=virtual, .*"
                      "status=sent" % qid)


def test_reads_it_with_the_password_of_the_file():
    c = imaplib.IMAP4_SSL(mail.env("IMAP_HOST"), int(mail.env("IMAPS_PORT")),
                          ssl_context=mail.tls(), timeout=cases.WAIT_S)
    try:
        c.login(CAROL, "wrong")
        raise AssertionError("a wrong password is let in")
    except imaplib.IMAP4.error as e:
        cases.contains(str(e), "AUTHENTICATIONFAILED")
    c.login("Carol@Virtual.Test", "pw")
    raw, = mail.fetch_all(c)
    cases.equal(email.message_from_bytes(raw)["Subject"], "virtual")
    c.logout()


cases.main(globals())
