#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o relayhost=[127.0.0.1]:2 -o minimal_backoff_time=1s -o maximal_backoff_time=1s
"""Mail that fails comes back to its sender as a multipart/report, read over
IMAPS; a notification that fails does not."""

import email
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402

SUBJECT = "Undelivered Mail Returned to Sender"


def refuse(verb, line):
    if verb == "RCPT" and "gone@" in line:
        return "550 5.1.1 <gone@elsewhere.test>: no such user here"
    return None


def test_a_failure_comes_back():
    body = "Gr\u00fc\u00dfe, the text.\r\n"
    message = ("From: %s\r\nTo: x\r\nSubject: the original\r\n"
               "Message-Id: <original@x.test>\r\n"
               "Content-Type: text/plain; charset=utf-8\r\n\r\n%s" %
               (mail.address(1), body)).encode()
    with mail.Sink(reply=refuse) as sink:
        mail.set_option("relayhost", "[127.0.0.1]:%d" % sink.port)
        qid = mail.send(message, ["gone@elsewhere.test",
                                  "there@elsewhere.test"],
                        sender=mail.address(1))
        raw = mail.wait_for_mail(SUBJECT)
        cases.equal([m["rcpts"] for m in sink.messages],
                    [["there@elsewhere.test"]])
    found = mail.wait_for_log(r"bounce\[\d+\]: %s: sender non-delivery "
                              r"notification: ([0-9A-F]+)$" % qid)
    mail.wait_for_log(r"qmgr\[\d+\]: %s: from=<>, size=\d+, nrcpt=1" %
                      found.group(1))
    mail.wait_for_log(r"qmgr\[\d+\]: %s: removed" % qid)
    mail.wait_for_log(r"qmgr\[\d+\]: %s: removed" % found.group(1))

    report = email.message_from_bytes(raw)
    cases.equal(report["Return-Path"], "<>")
    cases.equal(report.get_content_type(), "multipart/report")
    cases.equal(report["To"], mail.address(1))
    text, status, original = report.get_payload()
    cases.contains(text.get_payload(), "<gone@elsewhere.test>: ")
    cases.contains(text.get_payload(), "no such user here")
    about, rcpt = status.get_payload()
    cases.matches(about["Reporting-MTA"], "^dns; ")
    cases.matches(str(about), r"^X-\w+-Queue-ID: %s$" % qid)
    cases.equal(rcpt["Final-Recipient"], "rfc822; gone@elsewhere.test")
    cases.equal((rcpt["Action"], rcpt["Status"]), ("failed", "5.1.1"))
    cases.matches(rcpt["Diagnostic-Code"], "^smtp; 550 5.1.1 ")
    inner = original.get_payload()[0]
    cases.equal(inner["Subject"], "the original")
    cases.equal(inner["Message-Id"], "<original@x.test>")
    cases.contains(raw, body.encode())
    mail.wait_until_empty()


def test_a_failed_notification_is_the_end():
    with mail.Sink(reply=refuse) as sink:
        mail.set_option("relayhost", "[127.0.0.1]:%d" % sink.port)
        # The sender is as unknown as the recipient.
        qid = mail.send(mail.text("x"), "gone@elsewhere.test",
                        sender="gone@elsewhere.test")
        notice = mail.wait_for_log(
            r"%s: sender non-delivery notification: ([0-9A-F]+)$" % qid)
        mail.wait_for_log(r"%s: to=<gone@elsewhere.test>, .*status=bounced" %
                          notice.group(1))
        mail.wait_for_log(r"qmgr\[\d+\]: %s: removed" % notice.group(1))
        mail.wait_until_empty()
        assert not re.search(r"%s: sender non-delivery" % notice.group(1),
                             mail.log())


def test_mail_from_nobody_fails_in_silence():
    with mail.Sink(reply=refuse) as sink:
        mail.set_option("relayhost", "[127.0.0.1]:%d" % sink.port)
        qid = mail.send(mail.text("x"), "gone@elsewhere.test", sender="")
        mail.wait_for_log(r"qmgr\[\d+\]: %s: removed" % qid)
        assert "%s: sender non-delivery" % qid not in mail.log()


cases.main(globals())
