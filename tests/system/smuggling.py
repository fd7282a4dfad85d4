#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""No form of end of data but CRLF.CRLF makes two messages of one
(CVE-2023-51764 and its kin), in the body and in the header, whole and byte
by byte."""
# instance:
# timeout: 300

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import smtp_session as mail  # noqa: E402

# What stands around a dot; {B} is tried as each byte below.
SEQUENCES = [
    "\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r\n.\r", "\r.\n",
    "\n.\r", "\n\n.\n\n", "\r\n\n.\r\n", "\r\r\n.\r\r\n", "\r\n.\r\r\n",
    "\n\r.\n\r", "\r\n\r.\r\n", "\n.\r\r\n", "\r\r.\r\n",
]
AROUND = ["\0", " ", "\t", "\v", "\f", "\x7f", "\x85", "\u2028", "\xa0",
          "\x1a", "\b"]
SEQUENCES += ["\r\n%s.\r\n" % b for b in AROUND]
SEQUENCES += ["\r\n.%s\r\n" % b for b in AROUND]


def smuggle(sequence, in_header, bytewise):
    """Sends one message with a second one hidden in it; what came back after
    the end of data, and the words of the two."""
    outer, inner = mail.token(), mail.token()
    data = "Subject: %s%s" % (outer, "" if in_header else "\r\n\r\ntext")
    data += sequence
    data += "MAIL FROM:<evil@b.test>\r\nRCPT TO:<%s>\r\nDATA\r\n" % \
        mail.ADDRESSES[1]
    data += "Subject: %s\r\n\r\nevil\r\n.\r\n" % inner
    line = mail.Line()
    line.reply()
    line.say("EHLO client.test")
    cases.equal(line.say("MAIL FROM:<a@b.test>")[:3], "250")
    cases.equal(line.say("RCPT TO:<%s>" % mail.ADDRESSES[0])[:3], "250")
    cases.equal(line.say("DATA")[:3], "354")
    raw = data.encode("utf-8")
    for i in range(0, len(raw), 1 if bytewise else len(raw)):
        line.send(raw[i:i + (1 if bytewise else len(raw))])
    line.send(b"QUIT\r\n")
    replies = []
    while True:
        reply = line.reply()
        if not reply:
            break
        replies.append(reply)
    line.close()
    return replies, outer, inner


def check(sequence, in_header, bytewise):
    replies, outer, inner = smuggle(sequence, in_header, bytewise)
    what = "%r header %s bytewise %s: %r" % (sequence, in_header, bytewise,
                                             replies)
    # One reply for all of the text; then 221, or the end.
    if not 1 <= len(replies) <= 2:
        raise AssertionError("not one reply: " + what)
    assert replies[1:] in ([], ["221 2.0.0 Bye"]), what
    assert replies[0][:4] in ("250 ", "550 "), what
    if replies[0][:4] == "550 ":
        cases.contains(replies[0], "5.5.2", what)
        return None
    return outer, inner


def check_all(in_header, bytewise):
    assert len(SEQUENCES) >= 31
    taken = [check(s, in_header, bytewise) for s in SEQUENCES]
    taken = [t for t in taken if t]
    assert taken, "not one was taken"
    for outer, inner in taken:
        # What was taken is one message, with all the text in it.
        message = mail.delivered(mail.MAILBOXES[0], outer)
        cases.contains(message, inner.encode())
        cases.equal(mail.with_token(mail.MAILBOXES[1], inner), [])


def test_in_the_body():
    check_all(False, False)


def test_in_the_body_byte_by_byte():
    check_all(False, True)


def test_in_the_header():
    check_all(True, False)


def test_in_the_header_byte_by_byte():
    check_all(True, True)


def test_nothing_was_smuggled():
    for message in mail.maildir(mail.MAILBOXES[1]).values():
        assert b"evil" not in message, message


cases.main(globals())
