#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bounce service by itself: what notifications hold, and when there is
none."""
# timeout: 120

import contextlib
import email
import os
import re
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import ipc  # noqa: E402
import ring  # noqa: E402,F401

SENT, DEFERRED, FAILED = 1, 2, 3
NEVER, SUCCESS, FAILURE, DELAY = 1, 2, 4, 8
ORIGINAL = (b"From: alice@chappe.test\r\nSubject: hello\r\n"
            b"Message-Id: <1@chappe.test>\r\n\r\nThe body.\r\n")


@contextlib.contextmanager
def house(**conf):
    h = ipc.House()
    for part in ("incoming", "active", "deferred", "hold", "corrupt"):
        for x in "0123456789ABCDEF":
            os.makedirs(os.path.join(h.queue, part, x), exist_ok=True)
            os.chown(os.path.join(h.queue, part, x), ipc.UID, -1)
        os.chown(os.path.join(h.queue, part), ipc.UID, -1)
    h.configure(myhostname="mx.chappe.test", mydestination="chappe.test",
                maillog_file=h.path("mail.log"), alias_maps="", **conf)
    h.log = ipc.Daemon("log", h)
    h.daemon = ipc.Daemon("bounce", h, messages=[
        ("MSG_SLOT", [("F_SLOT", 7)])])
    h.channel = h.daemon.connect()
    try:
        yield h
    finally:
        h.daemon.close()
        h.log.close()
        h.remove()


def rcpt(address="bob@far.test", dsn="5.1.1", notify=0, **more):
    fields = [("F_ADDRESS", address), ("F_DSN", dsn),
              ("F_TEXT", "host far.test[192.0.2.1] said: 550 no such user"),
              ("F_DSN_NOTIFY", notify)]
    return ("F_RCPT", fields + [("F_" + k, v) for k, v in more.items()])


def bounce(h, rcpts, content=ORIGINAL, action=FAILED,
           sender="alice@chappe.test", **more):
    with tempfile.TemporaryFile() as f:
        f.write(b"x" * 100 + content + b"after the end")
        f.flush()
        return h.channel.call("MSG_BOUNCE", [
            ("F_QID", "5F1B2C3D4E5F600"), ("F_SENDER", sender),
            ("F_ARRIVAL_US", 1700000000000000), ("F_SIZE", len(content)),
            ("F_CONTENT_AT", 100), ("F_ACTION", action)] +
            [("F_" + k, v) for k, v in more.items()] + rcpts,
            trace=0x50001, fds=[f.fileno()])


def queued(h):
    """The messages in the queue: id -> bytes of the file."""
    found = {}
    for folder, _, files in os.walk(os.path.join(h.queue, "active")):
        for name in files:
            with open(os.path.join(folder, name), "rb") as f:
                found[name] = f.read()
    return found


def the_report(h, m):
    """The notification that an answer names, parsed."""
    cases.equal(m.name, "MSG_OK")
    data = queued(h)[m.text("F_QID")]
    start = data.index(b"Received: by mx.chappe.test")
    return email.message_from_bytes(data[start:]), data[:start]


def log_text(h):
    with open(h.path("mail.log")) as f:
        return f.read()


def test_failure():
    with house() as h:
        m = bounce(h, [rcpt(REMOTE="far.test",
                            DIAGNOSTIC="550 no such user",
                            ORIG_ADDRESS="robert@chappe.test"),
                       rcpt("carol@far.test", "5.2.2")],
                   DSN_ENVID="abc")
        report, envelope = the_report(h, m)
        cases.contains(envelope, b"alice@chappe.test", "envelope")
        cases.equal(report.get_content_type(), "multipart/report")
        cases.equal(report.get_param("report-type"), "delivery-status")
        cases.equal(report["To"], "alice@chappe.test")
        cases.equal(report["From"],
                    "Mail Delivery System <MAILER-DAEMON@mx.chappe.test>")
        cases.matches(report["Message-Id"], r"^<\d{14}\.%s@mx" %
                      m.text("F_QID"))
        text, status, original = report.get_payload()
        cases.contains(text.get_payload(), "<bob@far.test> (expanded from")
        cases.contains(text.get_payload(), "550 no such user")
        about, bob, carol = status.get_payload()
        cases.equal(about["Reporting-MTA"], "dns; mx.chappe.test")
        cases.equal(about["Original-Envelope-Id"], "abc")
        cases.equal(bob["Final-Recipient"], "rfc822; bob@far.test")
        cases.equal((bob["Action"], bob["Status"], carol["Status"]),
                    ("failed", "5.1.1", "5.2.2"))
        cases.equal(original.get_content_type(), "message/rfc822")
        inner = original.get_payload()[0]
        cases.equal(inner["Subject"], "hello")
        cases.contains(inner.get_payload(), "The body.")
        assert "after the end" not in report.as_string()
        cases.wait_for("log line", lambda: re.search(
            r"postfix/bounce\[\d+\]: 5F1B2C3D4E5F600: sender non-delivery "
            "notification: %s$" % m.text("F_QID"), log_text(h), re.M))


def test_headers_only():
    with house(bounce_size_limit="2000") as h:
        report, _ = the_report(h, bounce(h, [rcpt()], DSN_RET=2))
        part = report.get_payload()[2]
        cases.equal(part.get_content_type(), "text/rfc822-headers")
        cases.contains(part.get_payload(), "Subject: hello")
        assert "The body." not in report.as_string()
        big = ORIGINAL + b"line\r\n" * 1000
        report, _ = the_report(h, bounce(h, [rcpt()], content=big))
        part = report.get_payload()[2]
        cases.equal(part.get_content_type(), "text/rfc822-headers")
        cases.contains(part.get_payload(), "<1@chappe.test>")


def test_eight_bit_original():
    with house() as h:
        report, _ = the_report(h, bounce(
            h, [rcpt()], content=ORIGINAL + "caf\u00e9\r\n".encode()))
        cases.equal(report["Content-Transfer-Encoding"], "8bit")
        cases.contains(report.as_bytes(), "caf\u00e9".encode())


def test_delay_and_success():
    with house() as h:
        m = bounce(h, [rcpt(dsn="4.4.1", notify=DELAY)], action=DEFERRED)
        report, _ = the_report(h, m)
        cases.contains(report["Subject"], "Delayed")
        about, bob = report.get_payload()[1].get_payload()
        cases.equal(bob["Action"], "delayed")
        cases.contains(bob["Will-Retry-Until"], "2023")
        m = bounce(h, [rcpt(dsn="2.0.0", notify=SUCCESS)], action=SENT)
        report, _ = the_report(h, m)
        cases.equal(report.get_payload()[1].get_payload()[1]["Action"],
                    "delivered")
        cases.wait_for("log lines", lambda:
                       "sender delay notification: " in log_text(h) and
                       "sender delivery status notification: " in log_text(h))


def test_nobody_to_tell():
    with house() as h:
        for m in (bounce(h, [rcpt()], sender=""),
                  bounce(h, [rcpt(notify=NEVER)]),
                  bounce(h, [rcpt(notify=SUCCESS)]),
                  bounce(h, [rcpt(notify=FAILURE)], action=DEFERRED),
                  bounce(h, [rcpt()], action=SENT)):
            cases.equal((m.name, m.get("F_QID")), ("MSG_OK", None))
        cases.equal(queued(h), {})
        m = bounce(h, [rcpt("a@far.test", notify=NEVER),
                       rcpt("b@far.test", notify=FAILURE)])
        report, _ = the_report(h, m)
        status = report.get_payload()[1].get_payload()
        cases.equal([s["Final-Recipient"] for s in status[1:]],
                    ["rfc822; b@far.test"])


def test_local_faults_are_answered_and_leave_nothing():
    with house() as h:
        short = [("F_QID", "5F1B2C3D4E5F600"), ("F_SENDER", "a@b"),
                 ("F_SIZE", 5000), ("F_CONTENT_AT", 0), ("F_ACTION", FAILED),
                 rcpt()]
        with tempfile.TemporaryFile() as f:
            m = h.channel.call("MSG_BOUNCE", short, fds=[f.fileno()])
        cases.equal((m.name, m.number("F_ERR_KIND")), ("MSG_ERROR", 0))
        for fields, fds in (([], [0]), (short, []),
                            (short[:-1], [0])):
            bad = h.daemon.connect()
            bad.send("MSG_BOUNCE", fields, ident=1, fds=fds)
            cases.equal(bad.receive(), None)
        cases.equal(queued(h), {})
        cases.equal(bounce(h, [rcpt()]).name, "MSG_OK")


def test_leaves_in_order():
    with house() as h:
        bounce(h, [rcpt()])
        cases.equal(h.daemon.leave(), 0)


cases.main(globals())
