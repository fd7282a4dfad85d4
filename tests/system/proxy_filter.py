#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o relayhost=[127.0.0.1]:1
"""smtpd_proxy_filter: mail passes an SMTP proxy before the queue and comes
back on another port; content_filter and FILTER: after the queue."""

import os
import re
import smtplib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402
import more_smtpds  # noqa: E402
import smtp_filter  # noqa: E402
import smtp_session as ss  # noqa: E402

P = smtp_filter.Filter()
CONF = mail.env("CHAPPE_CONFIG")


def write(name, text):
    path = os.path.join(CONF, name)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, 0o644)
    return path


BACK = {"content_filter": "", "smtpd_proxy_filter": "",
        "smtpd_authorized_xforward_hosts": "127.0.0.0/8",
        "receive_override_options": "no_unknown_recipient_checks, "
        "no_header_body_checks, no_milters, no_address_mappings"}
PLACE = "127.0.0.1:%d" % P.port
FILTER = "smtp:[127.0.0.1]:%d" % P.port
PORT = more_smtpds.start({
    "live": {"smtpd_proxy_filter": PLACE, "smtpd_proxy_timeout": "3s"},
    "late": {"smtpd_proxy_filter": "inet:localhost:%d" % P.port,
             "smtpd_proxy_options": "speed_adjust",
             "smtpd_proxy_ehlo": "me.test"},
    "dead": {"smtpd_proxy_filter": "127.0.0.1:1"},
    "after": {"content_filter": FILTER},
    "table": {"smtpd_sender_restrictions": "check_sender_access inline:{ "
              "{ filtered@elsewhere.test = FILTER %s } }" % FILTER},
    "back": BACK,
})
P.reinject = PORT["back"]


def start_over():
    P.answers, P.sessions[:], P.messages[:] = {}, [], []


def send(port, word, to=None, sender="a@elsewhere.test",
         body=b".dot\r\nend\r\n"):
    with more_smtpds.session(PORT[port]) as s:
        code, text = s.mail(sender)
        for rcpt in to or [mail.address(1)]:
            if code == 250:
                code, text = s.rcpt(rcpt)
        if code != 250:
            return code, text.decode()
        try:
            code, text = s.data(b"From: a@elsewhere.test\r\nSubject: " +
                                word.encode() + b"\r\n\r\n" + body)
        except smtplib.SMTPDataError as e:
            code, text = e.smtp_code, e.smtp_error
        return code, text.decode()


def accepted(port):
    start_over()
    word, since = ss.token(), len(ss.log())
    code, text = send(port, word)
    cases.equal(code, 250, text)
    m = cases.matches(text, r"^2\.0\.0 Ok: queued as ([0-9A-F]+)$")
    raw = ss.delivered(ss.MAILBOXES[0], word)
    cases.contains(raw, b"X-Filtered: yes")
    assert raw.replace(b"\r\n", b"\n").endswith(b"\n\n.dot\nend\n"), raw
    cases.equal(len(re.findall(rb"^Received:", raw, re.M)), 2)
    ss.logged(r"%s/smtpd\[\d+\]: NOQUEUE: client=localhost\[127.0.0.1\]$" %
              port, since)
    ss.logged(r"%s/smtpd\[\d+\]: proxy-accept: END-OF-MESSAGE: 250 2\.0\.0 "
              r"Ok: queued as %s; from=<a@elsewhere.test> to=<%s> proto=ESMTP"
              r" helo=<client.test>$" % (port, m.group(1), mail.address(1)),
              since)
    ss.logged(r"back/smtpd\[\d+\]: %s: client=localhost\[127.0.0.1\], "
              r"orig_client=localhost\[127.0.0.1\]" % m.group(1), since)
    return P.last()


def test_live():
    said = accepted("live")
    cases.equal(said[0], "EHLO " + mail.DOMAIN)
    x = " ".join(s for s in said if s.startswith("XFORWARD"))
    cases.matches(x, r"^XFORWARD NAME=localhost ADDR=127\.0\.0\.1 "
                  r"PORT=\d+ HELO=client\.test PROTO=ESMTP SOURCE=LOCAL$")
    cases.equal([s for s in said if s[:8] not in ("XFORWARD",)][1:], [
        "MAIL FROM:<a@elsewhere.test>", "RCPT TO:<%s>" % mail.address(1),
        "DATA", "QUIT"])


def test_late():
    cases.equal(accepted("late")[0], "EHLO me.test")
    start_over()
    with more_smtpds.session(PORT["late"]) as s:
        s.mail("a@elsewhere.test")
        s.rcpt(mail.address(1))
        s.rset()
    cases.equal(P.sessions, [])


def test_replies_are_passed_on():
    for port in ("live", "late"):
        for verb, reply in (("MAIL", "553 5.7.1 not you"),
                            ("RCPT", "550 5.1.1 nobody"),
                            ("DATA", "451 4.5.0 later"),
                            ("END", "554 5.7.1 spam")):
            start_over()
            P.answers[verb] = reply
            since = len(ss.log())
            cases.equal("%d %s" % send(port, ss.token()), reply)
            if verb == "END" or port == "late":
                ss.logged("proxy-reject: END-OF-MESSAGE: %s; from=<a@" %
                          reply, since)
            if verb != "END":
                ss.logged('warning: proxy .* rejected "%s.*": "%s"' % (
                    verb, reply), since)


def test_a_reply_without_text():
    """It is taken by the proxy, and by nobody else."""
    for port in ("live", "late"):
        for reply in ("250", "250 "):
            start_over()
            P.answers["END"] = reply
            since = len(ss.log())
            cases.equal(send(port, ss.token()), (250, "Ok"))
            ss.logged("proxy-accept: END-OF-MESSAGE: 250 Ok; from=<a@", since)
            cases.equal(len(P.messages), 1)


def test_a_refused_recipient_leaves_the_others():
    start_over()
    replies = iter(["550 5.1.1 nobody", "250 2.1.5 Ok"])
    P.answers["RCPT"] = lambda: next(replies)
    with more_smtpds.session(PORT["live"]) as s:
        s.mail("a@elsewhere.test")
        cases.equal(s.rcpt(mail.address(2))[0], 550)
        cases.equal(s.rcpt(mail.address(1))[0], 250)
        cases.equal(s.data(b"Subject: x\r\n\r\nx\r\n")[0], 250)
    cases.equal(P.messages[-1][1], [mail.address(1)])


def test_failures_of_the_proxy():
    ours = (451, "4.3.0 Error: queue file write error")
    cases.equal(send("dead", ss.token()), ours)
    ss.logged("warning: proxy 127.0.0.1:1: .*Connection refused")
    for port in ("live", "late"):
        for verb, reply in (("CONNECT", "554 go away"), ("EHLO", "500 what"),
                            ("XFORWARD", "550 no"), ("CONNECT", None),
                            ("MAIL", None), ("RCPT", None), ("DATA", None),
                            ("END", None), ("RCPT", "nonsense"),
                            ("DATA", "250 odd")):
            start_over()
            P.answers[verb] = reply
            cases.equal(send(port, ss.token()), ours, "%s %s" % (verb,
                                                                 reply))


def test_our_own_refusals_come_first():
    start_over()
    cases.equal(send("live", ss.token(), to=["nobody@" + mail.DOMAIN])[0],
                550)
    cases.equal(P.sessions, [])


def test_very_many_fields():
    start_over()
    cases.equal(send("live", ss.token() + "\r\na:" * 11000),
                (552, "5.3.4 Error: too many header fields"))
    cases.equal(P.messages, [])


def test_big_message():
    for port in ("live", "late"):
        start_over()
        word = ss.token()
        body = b"." + b"x" * 70 + b"\r\n"
        cases.equal(send(port, word, body=body * 20000)[0], 250)
        cases.contains(ss.delivered(ss.MAILBOXES[0], word).replace(
            b"\r\n", b"\n"), (body * 20000).replace(b"\r\n", b"\n"))


def test_content_filter():
    for port, sender in (("after", "a@elsewhere.test"),
                         ("table", "filtered@elsewhere.test")):
        start_over()
        word, since = ss.token(), len(ss.log())
        code, text = send(port, word, [mail.address(1), mail.address(2)],
                          sender)
        cases.equal(code, 250, text)
        qid = text.rsplit(" ", 1)[1]
        for n in (0, 1):
            cases.contains(ss.delivered(ss.MAILBOXES[n], word),
                           b"X-Filtered: yes")
        for n in (1, 2):
            ss.logged(r"%s: to=<%s>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:%d, "
                      r".*status=sent \(250 2\.0\.0 Ok: queued as" % (
                          qid, mail.address(n), P.port), since)
        cases.equal(P.messages[0][1], [mail.address(1), mail.address(2)])
    start_over()
    word = ss.token()
    cases.equal(send("table", word)[0], 250)
    assert b"X-Filtered" not in ss.delivered(ss.MAILBOXES[0], word)
    cases.equal(P.sessions, [])


cases.main(globals())
