#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authenticated submission on 587 and 465, by Python's smtplib."""
# instance: -o recipient_delimiter=+ -o auth_failure_delay=1s
# timeout: 180

import os
import re
import smtplib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import smtp_session as mail  # noqa: E402

PASSWORDS = [os.environ["PASS1"], os.environ["PASS2"]]


def session(service):
    s = mail.smtp(service)
    if service == "submission":
        s.starttls(context=mail.tls_context())
    s.ehlo()
    return s


def login(service, mechanism, user, password):
    s = session(service)
    s.user, s.password = user, password
    s.auth(mechanism, getattr(s, "auth_" + mechanism.lower()))
    return s


def submit_by(service, mechanism):
    word = mail.token()
    start = len(mail.log())
    with login(service, mechanism, mail.USERS[0], PASSWORDS[0]) as s:
        s.sendmail(mail.ADDRESSES[0], [mail.ADDRESSES[1]],
                   "Subject: %s\r\n\r\ntext\r\n" % word)
    text = mail.delivered(mail.MAILBOXES[1], word).decode()
    cases.contains(text, "with ESMTPSA id")
    m = mail.logged(r"/(submissions?/)?smtpd\[\d+\]: ([0-9A-F]+): client=\S+, "
                    r"sasl_method=%s, sasl_username=%s$" %
                    (mechanism, mail.USERS[0]), start)
    return text, m.group(2)


def test_plain_on_587():
    submit_by("submission", "PLAIN")


def test_login_on_587():
    submit_by("submission", "LOGIN")


def test_plain_on_465():
    submit_by("submissions", "PLAIN")


def test_login_on_465():
    submit_by("submissions", "LOGIN")


def test_missing_fields_are_added():
    text, qid = submit_by("submissions", "PLAIN")
    cases.matches(text, r"^Date: \w{3}, \d+ \w{3} 20\d\d \d\d:\d\d:\d\d "
                  r"[+-]\d{4}")
    cases.matches(text, r"^From: .*%s" % re.escape(mail.ADDRESSES[0]))
    cases.matches(text, r"(?i)^Message-Id: <\d{14}\.%s@%s>" %
                  (qid, re.escape(mail.DOMAIN)))


def test_fields_that_are_there_stay():
    word = mail.token()
    with login("submissions", "PLAIN", mail.USERS[0], PASSWORDS[0]) as s:
        s.sendmail(mail.ADDRESSES[0], [mail.ADDRESSES[1]],
                   "From: X <%s>\r\nDate: yesterday\r\n"
                   "Message-Id: <1@y>\r\nBcc: z@y.test\r\n"
                   "Subject: %s\r\n\r\n" % (mail.ADDRESSES[0], word))
    text = mail.delivered(mail.MAILBOXES[1], word).decode()
    for name, value in (("From", "X <%s>" % mail.ADDRESSES[0]),
                        ("Date", "yesterday"),
                        ("Message-Id", "<1@y>")):
        cases.equal(re.findall("(?im)^%s: (.*?)\r?$" % name, text), [value])
    assert "z@y.test" not in text, text


def test_the_sender_is_the_login_s():
    """MAIL FROM as Postfix refuses it, and what stands in From."""
    me, other = mail.ADDRESSES[0], mail.ADDRESSES[1]
    for service in ("submission", "submissions"):
        with login(service, "PLAIN", mail.USERS[0], PASSWORDS[0]) as s:
            for sender in (other, "x@elsewhere.test", "info@" + mail.DOMAIN):
                cases.equal(s.mail(sender)[0], 250)
                code, text = s.rcpt(other)
                cases.equal((code, text), (553, (
                    "5.7.1 <%s>: Sender address rejected: not owned by user "
                    "%s" % (sender, mail.USERS[0])).encode()))
                s.rset()
            for field, named in (
                    ("From: <%s>" % other, other),
                    ("from : X <x@elsewhere.test>", "x@elsewhere.test"),
                    ("From: %s, %s" % (me, other), other),
                    ("From: %s\r\nFrom: %s" % (me, other), other),
                    ('From: "%s" <%s>' % (me, other), other),
                    ("From: %s\r\nResent-From: %s" % (other, me), other),
                    ("From: us:;", "")):
                s.mail(me)
                s.rcpt(other)
                start = len(mail.log())
                code, text = s.data("%s\r\nSubject: x\r\n\r\n" % field)
                cases.equal((code, text), (550, (
                    "5.7.1 <%s>: From header address rejected: not owned by "
                    "user %s" % (named, mail.USERS[0])).encode()))
                mail.logged(r"[0-9A-F]+: reject: END-OF-MESSAGE from \S+: "
                            r"550 5\.7\.1 <.*>: From header address "
                            r"rejected", start)


def test_senders_that_are_the_login_s():
    """With an extension, and an alias that leads to the user."""
    name = mail.USERS[0]
    with open(os.path.join(os.environ["CHAPPE_CONFIG"], "aliases"),
              "a") as f:
        f.write("mine-%s: %s\n" % (name, name))
    cases.run(["newaliases"])
    with login("submissions", "PLAIN", name, PASSWORDS[0]) as s:
        for sender in ("%s+list@%s" % (name, mail.DOMAIN), name,
                       "mine-%s@%s" % (name, mail.DOMAIN)):
            word = mail.token()
            s.sendmail(sender, [mail.ADDRESSES[1]],
                       "From: Me <%s>\r\nSubject: %s\r\n\r\n" %
                       (sender, word))
            mail.delivered(mail.MAILBOXES[1], word)
        # The null sender is everybody's.
        cases.equal(s.mail("")[0], 250)
        cases.equal(s.rcpt(mail.ADDRESSES[1])[0], 250)


def test_the_auth_parameter_is_logged():
    with login("submissions", "PLAIN", mail.USERS[0], PASSWORDS[0]) as s:
        start = len(mail.log())
        s.mail(mail.ADDRESSES[0], ["AUTH=e+3Dmc2@example.com"])
        s.rcpt(mail.ADDRESSES[1])
        mail.logged(r"client=\S+, sasl_method=PLAIN, sasl_username=%s, "
                    r"sasl_sender=e=mc2@example\.com$" % mail.USERS[0],
                    start)


def fails(service, mechanism, user, password):
    start = len(mail.log())
    try:
        login(service, mechanism, user, password)
    except smtplib.SMTPAuthenticationError as e:
        cases.equal(e.smtp_code, 535)
        cases.equal(e.smtp_error[:6], b"5.7.8 ")
    else:
        raise AssertionError("logged in as %r with %r" % (user, password))
    # fail2ban's shape, with the reason and the name.
    mail.logged(r"warning: \S+\[(127\.0\.0\.1|::1)\]: SASL %s authentication "
                r"failed: (password mismatch|unknown user|malformed response)"
                r"(, sasl_username=%s)?$" % (
                    mechanism, re.escape(user.split("\0")[0])), start)


def test_wrong_passwords():
    for mechanism in ("PLAIN", "LOGIN"):
        fails("submissions", mechanism, mail.USERS[0], "wrong")
        fails("submissions", mechanism, mail.USERS[0], PASSWORDS[1])
        fails("submissions", mechanism, "no-such-user", PASSWORDS[0])
        fails("submissions", mechanism, mail.USERS[0] + "\0x", PASSWORDS[0])


def test_not_in_the_clear():
    with mail.smtp("submission") as s:
        s.ehlo()
        assert "auth" not in s.esmtp_features
        cases.equal(s.docmd("MAIL", "FROM:<a@b.test>")[0], 530)
        cases.equal(s.docmd("AUTH", "PLAIN AGEAYg==")[0], 530)


def test_not_without_login():
    with session("submissions") as s:
        s.mail(mail.ADDRESSES[0])
        for address in ("a@elsewhere.test", mail.ADDRESSES[1]):
            code, text = s.rcpt(address)
            cases.equal(code // 100, 5, text)


def test_a_stranger_may_submit_when_logged_in():
    s = mail.smtp("submission", mail.STRANGER)
    with s:
        s._host = "localhost"  # the name that the certificate has
        s.starttls(context=mail.tls_context())
        s.login(mail.USERS[0], PASSWORDS[0])
        s.mail(mail.ADDRESSES[0])
        cases.equal(s.rcpt("someone@elsewhere.test")[0], 250)
        s.rset()


cases.main(globals())
