#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""smtpd on the MX port, driven by Python's smtplib."""
# instance: -o message_size_limit=100000
# timeout: 240

import os
import re
import smtplib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import smtp_session as mail  # noqa: E402

SENDER = "someone@elsewhere.test"


def refused(fn, *args):
    """(code, text) of the reply that refuses."""
    try:
        fn(*args)
    except smtplib.SMTPResponseException as e:
        return e.smtp_code, e.smtp_error.decode()
    except smtplib.SMTPRecipientsRefused as e:
        (code, text), = e.recipients.values()
        return code, text.decode()
    raise AssertionError("not refused")


def test_what_is_offered():
    with mail.smtp() as s:
        code, text = s.ehlo()
        cases.equal(code, 250)
        cases.equal(text.decode().split("\n")[0], mail.DOMAIN)
        for word in ("pipelining", "size", "8bitmime", "starttls",
                     "enhancedstatuscodes"):
            cases.contains(s.esmtp_features, word)
        cases.equal(s.esmtp_features["size"], "100000")
        assert "auth" not in s.esmtp_features


def test_delivers_with_a_received_field():
    word = mail.token()
    with mail.smtp() as s:
        s.sendmail(SENDER, [mail.ADDRESSES[0]],
                   "Subject: %s\r\n\r\ntext\r\n" % word)
    text = mail.delivered(mail.MAILBOXES[0], word).decode()
    cases.matches(text, r"^Received: from client\.test \(\S+ \[(127\.0\.0\.1"
                  r"|IPv6:::1)\]\)\r?\n\tby %s \(\w+\) with ESMTP "
                  r"id [0-9A-F]{11,15}\r?\n\tfor <%s>; \w{3}, \d+ \w{3} "
                  r"20\d\d \d\d:\d\d:\d\d [+-]\d{4}" %
                  (re.escape(mail.DOMAIN), re.escape(mail.ADDRESSES[0])))
    # A stranger's mail is not completed: it came without a Date.
    assert not re.search("^(Date|Message-Id|From):", text, re.M | re.I), text


def test_log_lines():
    start = len(mail.log())
    word = mail.token()
    with mail.smtp() as s:
        s.sendmail(SENDER, [mail.ADDRESSES[0]],
                   "Subject: x\r\nMessage-ID: <%s@x>\r\n\r\n" % word)
        refused(s.sendmail, SENDER, ["no-such-user@" + mail.DOMAIN], "")
    m = mail.logged(r"/smtpd\[\d+\]: ([0-9A-F]+): message-id=<%s@x>" % word,
                    start)
    qid = m.group(1)
    client = r"\S+\[(127\.0\.0\.1|::1)\]"
    mail.logged(r"postfix/smtpd\[\d+\]: connect from " + client, start)
    mail.logged(r"postfix/smtpd\[\d+\]: %s: client=%s$" % (qid, client),
                start)
    mail.logged(r"NOQUEUE: reject: RCPT from %s: 550 5\.1\.1 "
                r"<no-such-user@%s>: Recipient address rejected: User "
                r"unknown in local recipient table; from=<%s> "
                r"to=<no-such-user@%s> proto=ESMTP helo=<client\.test>$" %
                (client, mail.DOMAIN, SENDER, mail.DOMAIN), start)
    mail.logged(r"postfix/smtpd\[\d+\]: disconnect from %s ehlo=1 mail=2 "
                r"rcpt=1/2 data=1 (rset=1 )?quit=1 commands=\d/\d$" % client,
                start)


def test_bytes_arrive_as_they_were():
    word = mail.token()
    body = b"".join(b"%d \xe9\xff..\r\n.\r\n..x\r\n \r\n" % i
                    for i in range(300)) + b"a" * 5000 + b"\r\nend\r\n"
    head = b"Subject: %s\r\nX-8: \xc3\xa4\r\n\r\n" % word.encode()
    with mail.smtp() as s:
        s.sendmail(SENDER, [mail.ADDRESSES[0]], head + body,
                   ["body=8bitmime", "size=%d" % len(head + body)])
    got = mail.delivered(mail.MAILBOXES[0], word)
    got = got.replace(b"\r\n", b"\n")
    assert got[got.index(b"Subject: "):] == \
        (head + body).replace(b"\r\n", b"\n"), "the bytes differ"


def test_size_limit():
    with mail.smtp() as s:
        s.ehlo()
        cases.equal(s.docmd("MAIL", "FROM:<a@b.test> SIZE=100001"),
                    (552, b"5.3.4 Message size exceeds fixed limit"))
        line = b"x" * 98 + b"\r\n"
        s.mail(SENDER)
        s.rcpt(mail.ADDRESSES[0])
        cases.equal(s.data(b"\r\n" + line * 1001)[0], 552)
        # The session goes on, and what is smaller is taken.
        s.mail(SENDER)
        s.rcpt(mail.ADDRESSES[0])
        cases.equal(s.data(b"\r\n" + line * 990)[0], 250)


def test_unknown_recipients():
    with mail.smtp() as s:
        for local in ("no-such-user", "no.such", '"no such"', "root%x",
                      "a" * 64):
            address = "%s@%s" % (local, mail.DOMAIN)
            code, text = refused(s.sendmail, SENDER, [address], "")
            cases.equal((code, text[:5]), (550, "5.1.1"), address)
        # One unknown among known ones does not harm them.
        word = mail.token()
        bad = s.sendmail(SENDER, ["no-such-user@" + mail.DOMAIN,
                                  mail.ADDRESSES[1]], "Subject: " + word)
        cases.equal(list(bad), ["no-such-user@" + mail.DOMAIN])
    mail.delivered(mail.MAILBOXES[1], word)


def test_case_of_users_and_postmaster():
    with mail.smtp() as s:
        s.ehlo()
        s.mail(SENDER)
        cases.equal(s.rcpt(mail.ADDRESSES[0].upper())[0], 250)
        cases.equal(s.rcpt("postmaster")[0], 250)
        cases.equal(s.rcpt("Postmaster@" + mail.DOMAIN)[0], 250)


def test_starttls():
    word = mail.token()
    with mail.smtp() as s:
        s.starttls(context=mail.tls_context())
        s.ehlo()
        assert "starttls" not in s.esmtp_features
        s.sendmail(SENDER, [mail.ADDRESSES[0]], "Subject: " + word)
    text = mail.delivered(mail.MAILBOXES[0], word).decode()
    cases.matches(text, r"\(using TLSv1\.[23] with cipher \S+ "
                  r"\(\d+/\d+ bits\)")
    cases.contains(text, "with ESMTPS id")
    mail.logged(r"Anonymous TLS connection established from \S+: TLSv1\.[23] "
                r"with cipher \S+ \(\d+/\d+ bits\)")


def test_implicit_tls():
    with mail.smtp("submissions") as s:
        s.ehlo()
        assert "starttls" not in s.esmtp_features
        cases.contains(s.esmtp_features["auth"], "PLAIN")


def test_queue_id_in_reply_is_the_one_in_the_log():
    with mail.smtp() as s:
        s.ehlo()
        s.mail(SENDER)
        s.rcpt(mail.ADDRESSES[0])
        code, text = s.data("Subject: x\r\n\r\n")
        cases.equal(code, 250)
        m = cases.matches(text.decode(),
                          r"^2\.0\.0 Ok: queued as ([0-9A-F]{11,15})$")
    mail.logged(r"/qmgr\[\d+\]: %s: from=<%s>, size=\d+, nrcpt=1 "
                r"\(queue active\)" % (m.group(1), SENDER))
    mail.logged(r"/qmgr\[\d+\]: %s: removed" % m.group(1))


def test_many_messages_on_one_connection():
    words = [mail.token() for _ in range(50)]
    with mail.smtp() as s:
        for word in words:
            s.sendmail(SENDER, [mail.ADDRESSES[1]], "Subject: " + word)
    for word in words:
        mail.delivered(mail.MAILBOXES[1], word)


def test_a_client_that_goes_away_leaves_nothing():
    word = mail.token()
    start = len(mail.log())
    line = mail.Line()
    line.reply()
    line.say("EHLO client.test")
    line.say("MAIL FROM:<a@b.test>")
    line.say("RCPT TO:<%s>" % mail.ADDRESSES[0])
    line.say("DATA")
    line.send(b"Subject: %s\r\n\r\nno end" % word.encode())
    line.close()
    mail.logged(r"lost connection after DATA \(\d+ bytes\) from", start)
    with mail.smtp() as s:
        s.sendmail(SENDER, [mail.ADDRESSES[0]], "Subject: after " + word[1:])
    mail.delivered(mail.MAILBOXES[0], "after " + word[1:])
    cases.equal(mail.with_token(mail.MAILBOXES[0], word), [])


cases.main(globals())
