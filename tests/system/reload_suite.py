#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reloads of the whole suite while mail flows and users read: no connection
is dropped, no mail refused or lost, and what did not change is not
replaced."""
# instance:
# timeout: 240

import imaplib
import os
import re
import smtplib
import ssl
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402

ENV = os.environ
RELOADS = 5


def set_parameter(name, value):
    path = os.path.join(ENV["CHAPPE_CONFIG"], "conf.d", "95-reload.cf")
    with open(path, "w") as f:
        f.write("%s = %s\n" % (name, value))
    os.chmod(path, 0o644)


def reload():
    cases.run(["chappe", "reload"])


def processes():
    text = cases.run(["chappe", "status"]).stdout
    return re.findall(r"^(\S+) (\S+) (\d+) (\w+)", text, re.M)


def running(program):
    return {int(pid) for _, name, pid, state in processes()
            if name == program and state != "leaving"}


def smtp():
    return smtplib.SMTP("localhost", int(ENV["SMTP_PORT"]),
                        timeout=cases.WAIT_S)


def imap():
    tls = ssl.create_default_context(cafile=ENV["CA_FILE"])
    m = imaplib.IMAP4_SSL("localhost", int(ENV["IMAPS_PORT"]),
                          ssl_context=tls, timeout=cases.WAIT_S)
    m.login(ENV["USER1"], ENV["PASS1"])
    m.select()
    return m


def to():
    return "%s@%s" % (ENV["USER1"], ENV["MAIL_DOMAIN"])


class Sender(threading.Thread):
    """Mail after mail, two on a connection."""

    def __init__(self, name, stop):
        super().__init__()
        self.who, self.stop = name, stop
        self.sent, self.faults = [], []

    def run(self):
        while not self.stop.is_set():
            try:
                with smtp() as s:
                    for _ in range(2):
                        subject = "%s-%d" % (self.who, len(self.sent))
                        s.sendmail("a@example.test", [to()], (
                            "Subject: %s\r\n\r\nx\r\n" % subject).encode())
                        self.sent.append(subject)
            except (OSError, smtplib.SMTPException) as e:
                self.faults.append(repr(e))


def subjects(m):
    m.noop()
    m.select()
    data = m.fetch("1:*", "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
    return re.findall(r"Subject: (\S+)", " ".join(
        part[1].decode() for part in data if isinstance(part, tuple)))


def test_mail_flows_through_reloads():
    stop = threading.Event()
    senders = [Sender("s%d" % i, stop) for i in range(3)]
    reader = imap()
    for s in senders:
        s.start()
    try:
        for i in range(RELOADS):
            had = sum(len(s.sent) for s in senders)
            set_parameter("message_size_limit", 6000000 + i)
            reload()
            cases.wait_for("more mail", lambda n=had: sum(
                len(s.sent) for s in senders) > n + 15)
            cases.equal(reader.noop()[0], "OK")
    finally:
        stop.set()
        for s in senders:
            s.join()
    cases.equal([f for s in senders for f in s.faults], [])
    sent = sorted(x for s in senders for x in s.sent)
    cases.wait_for("all mails", lambda: len(subjects(reader)) >= len(sent),
                   cases.WAIT_S * 2)
    cases.equal(sorted(subjects(reader)), sent)
    reader.logout()


def test_sessions_outlive_a_reload():
    m, s = imap(), smtp()
    s.ehlo()
    s.mail("a@example.test")
    set_parameter("message_size_limit", 7000000)
    reload()
    cases.equal(s.rcpt(to())[0], 250)
    cases.equal(s.data(b"Subject: over\r\n\r\nx\r\n")[0], 250)
    s.quit()
    cases.wait_for("the mail", lambda: "over" in subjects(m))
    m.logout()
    with smtp() as t:
        t.ehlo()
        cases.equal(t.esmtp_features["size"], "7000000")


def test_only_what_changed_is_replaced():
    with smtp() as s:
        s.ehlo()
        before = {p: running(p) for p in
                  ("smtpd", "qmgr", "log", "imap-login", "auth")}
        # Parameters that were set go back to their defaults: once more.
        set_parameter("smtpd_helo_required", "no")
        reload()
        before = {p: running(p) for p in before}
        set_parameter("smtpd_helo_required", "yes")
        started = time.monotonic()
        reload()
        assert time.monotonic() - started < cases.WAIT_S
        after = {p: running(p) for p in before}
    assert not before["smtpd"] & after["smtpd"], (before, after)
    for program in ("qmgr", "log", "imap-login", "auth"):
        cases.equal(after[program], before[program], program)


cases.main(globals())
