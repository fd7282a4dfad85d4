#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance:
"""A mail goes in by SMTP and comes out of IMAP byte for byte, with clients
that nobody here wrote: smtplib, imaplib, curl."""

import email
import email.policy
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402


def body_of(raw, first):
    """From the first field that was sent on; the rest was put in front."""
    at = raw.find(first)
    assert at >= 0, raw[:2000]
    return raw[at:]


def with_attachment():
    m = email.message.EmailMessage(policy=email.policy.SMTP.clone(
        cte_type="8bit"))
    m["Subject"] = "attachment"
    m["From"] = "a@elsewhere.test"
    m["To"] = mail.address(1)
    m["Date"] = "Sun, 22 Nov 2026 14:34:22 +0000"
    m["Message-ID"] = "<roundtrip@elsewhere.test>"
    m.set_content("Grüße aus Köln\n\n.\n..\nFrom the start\n", cte="8bit")
    m.add_attachment(bytes(range(256)) * 40, maintype="application",
                     subtype="octet-stream", filename="Übersicht.bin")
    return m.as_bytes()


def test_eight_bit_and_attachment_by_imaps():
    sent = with_attachment()
    assert any(b > 127 for b in sent), "8-bit"
    mail.send(sent)
    raw = mail.wait_for_mail("attachment")
    cases.equal(body_of(raw, b"Subject: attachment"), sent)
    m = email.message_from_bytes(raw, policy=email.policy.default)
    part = list(m.iter_attachments())[0]
    cases.equal(part.get_content(), bytes(range(256)) * 40)
    cases.equal(part.get_filename(), "Übersicht.bin")
    cases.equal(m["Return-Path"], "<sender@elsewhere.test>")
    cases.equal(m["Delivered-To"], mail.address(1))


def test_odd_bytes():
    lines = [b"x" * 998, b" " * 50, b"", b".", b"..", b"=20", b"\xff\xfe\x80",
             b"From here", b">From there", b"\ttab ", b"last"]
    sent = b"Subject: odd\r\nX-Long: " + b"y" * 900 + b"\r\n\r\n" + \
        b"\r\n".join(lines) + b"\r\n"
    mail.send(sent)
    raw = mail.wait_for_mail("odd")
    cases.equal(body_of(raw, b"Subject: odd"), sent)


def test_by_curl_in_and_out():
    sent = "Subject: by curl\r\nFrom: c@elsewhere.test\r\n\r\nGr\u00fc\u00dfe\r\n"
    path = os.path.join(mail.env("INSTANCE_DIR"), "curl.eml")
    with open(path, "wb") as f:
        f.write(sent.encode())
    cases.run(["curl", "-sS", "--ssl-reqd", "--cacert", mail.env("CA_FILE"),
               "smtp://localhost:" + mail.env("SMTP_PORT"), "--mail-from",
               "c@elsewhere.test", "--mail-rcpt", mail.address(1),
               "--upload-file", path])
    mail.wait_for_mail("by curl")
    out = cases.run(["curl", "-sS", "--cacert", mail.env("CA_FILE"),
                     "--user", "%s:%s" % (mail.user(1), mail.env("PASS1")),
                     "imaps://localhost:%s/INBOX?SUBJECT%%20%%22by%%20curl"
                     "%%22" % mail.env("IMAPS_PORT")]).stdout
    number = cases.matches(out, r"^\* SEARCH (\d+)").group(1)
    got = os.path.join(mail.env("INSTANCE_DIR"), "curl.out")
    cases.run(["curl", "-sS", "--ssl-reqd", "--cacert", mail.env("CA_FILE"),
               "--user", "%s:%s" % (mail.user(1), mail.env("PASS1")),
               "imap://localhost:%s/INBOX;MAILINDEX=%s" % (
                   mail.env("IMAP_PORT"), number), "-o", got])
    with open(got, "rb") as f:
        cases.equal(body_of(f.read(), b"Subject: by curl"), sent.encode())


def test_submission_adds_what_lacks():
    with mail.submission(2) as s:
        s.sendmail(mail.address(2), [mail.address(1)],
                   b"Subject: bare\r\n\r\nx\r\n")
    m = email.message_from_bytes(mail.wait_for_mail("bare"))
    for name in ("Message-Id", "Date", "From"):
        cases.equal(len(m.get_all(name) or []), 1, name)
    cases.matches(m["Received"], r"with ESMTPSA id [0-9A-F]+")


def test_several_recipients_one_message():
    mail.send(mail.text("both", to="all"), [mail.address(1),
                                            mail.address(2)])
    one, two = (mail.wait_for_mail("both", n) for n in (1, 2))
    cases.equal(body_of(one, b"From: "), body_of(two, b"From: "))


def test_deletion_is_seen_on_both_sides():
    mail.send(mail.text("delete by imap"))
    mail.wait_for_mail("delete by imap")
    c = mail.imap()
    n = c.search(None, '(SUBJECT "delete by imap")')[1][0].split()[0]
    before = len(mail.mailbox_texts())
    c.store(n, "+FLAGS", r"(\Deleted)")
    c.expunge()
    cases.equal(len(mail.mailbox_texts()), before - 1, "files left")
    assert not any(b"delete by imap" in t for t in mail.mailbox_texts())
    mail.send(mail.text("delete the file"))
    cases.wait_for("the mail in the session", lambda: c.noop() and c.search(
        None, '(SUBJECT "delete the file")')[1][0])
    for path in mail.maildir_files(mail.env("MAILBOX1")):
        with open(path, "rb") as f:
            if b"delete the file" in f.read():
                os.unlink(path)
    cases.wait_for("its end in the session", lambda: c.noop() and not
                   c.search(None, '(SUBJECT "delete the file")')[1][0])
    c.logout()


cases.main(globals())
