#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o relayhost=[127.0.0.1]:1
"""An SMTP proxy nobody here wrote (Debian's proxsmtp) before the queue and as
a content filter after it, with re-injection on another port."""

import atexit
import os
import smtplib
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402
import more_smtpds  # noqa: E402
import ports  # noqa: E402
import smtp_session as ss  # noqa: E402

HERE = os.path.join(mail.env("INSTANCE_DIR"), "proxy")
os.mkdir(HERE, 0o755)
PORTS = ports.Ports()
AT = PORTS.take()

FILTER = """#!/bin/sh
# Adds a field, and refuses what holds a certain word.
cat > "%(here)s/$$"
if grep -q refuse-this "%(here)s/$$"; then
	echo 'this was not wanted' >&2
	rm "%(here)s/$$"
	exit 1
fi
printf 'X-Proxsmtp: seen\\r\\n'
cat "%(here)s/$$"
rm "%(here)s/$$"
"""


def write(name, text, mode=0o644):
    path = os.path.join(HERE, name)
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)
    return path


def start_proxy(back):
    program = mail.partner("proxsmtp", "proxsmtpd")
    command = write("filter", FILTER % {"here": HERE}, 0o755)
    conf = write("conf", "OutAddress: 127.0.0.1:%d\nListen: 127.0.0.1:%d\n"
                 "FilterCommand: %s\nTempDirectory: %s\nTimeOut: 60\n" % (
                     back, AT, command, HERE))
    with open(os.path.join(HERE, "log"), "ab") as log:
        child = subprocess.Popen([program, "-d", "3", "-f", conf],
                                 stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=log)
    atexit.register(child.wait)
    atexit.register(child.terminate)

    def listens():
        cases.equal(child.poll(), None, "status of proxsmtpd")
        try:
            socket.create_connection(("127.0.0.1", AT), 5).close()
            return True
        except OSError:
            return False
    cases.wait_for("proxsmtpd to listen", listens)


PORT = more_smtpds.start({
    "live": {"smtpd_proxy_filter": "127.0.0.1:%d" % AT},
    "late": {"smtpd_proxy_filter": "127.0.0.1:%d" % AT,
             "smtpd_proxy_options": "speed_adjust"},
    "after": {"content_filter": "smtp:[127.0.0.1]:%d" % AT},
    "back": {"receive_override_options": "no_unknown_recipient_checks, "
             "no_header_body_checks, no_milters, no_address_mappings"},
})
start_proxy(PORT["back"])


def send(port, word, body="Hello\r\n"):
    with more_smtpds.session(PORT[port]) as s:
        s.mail("a@elsewhere.test")
        s.rcpt(mail.address(1))
        s.rcpt(mail.address(2))
        try:
            code, text = s.data("Subject: %s\r\n\r\n%s" % (word, body))
        except smtplib.SMTPDataError as e:
            code, text = e.smtp_code, e.smtp_error
        return code, text.decode()


def both_have(word):
    for box in ss.MAILBOXES[:2]:
        raw = ss.delivered(box, word).replace(b"\r\n", b"\n")
        cases.contains(raw, b"X-Proxsmtp: seen\n")
        cases.contains(raw, b"\n\nHello\n")


def test_before_the_queue():
    for port in ("live", "late"):
        word, since = ss.token(), len(ss.log())
        code, text = send(port, word)
        cases.equal(code, 250, text)
        both_have(word)
        qid = text.rsplit(" ", 1)[1]
        ss.logged(r"%s/smtpd\[\d+\]: proxy-accept: END-OF-MESSAGE: 250 .*%s"
                  % (port, qid), since)
        ss.logged(r"back/smtpd\[\d+\]: %s: client=" % qid, since)


def test_refused_before_the_queue():
    for port in ("live", "late"):
        since = len(ss.log())
        code, text = send(port, ss.token(), "refuse-this\r\n")
        cases.equal(code, 550, text)
        cases.contains(text, "not wanted")
        ss.logged("proxy-reject: END-OF-MESSAGE: 550 .*not wanted", since)


def test_after_the_queue():
    word, since = ss.token(), len(ss.log())
    code, text = send("after", word)
    cases.equal(code, 250, text)
    both_have(word)
    for n in (1, 2):
        ss.logged(r"%s: to=<%s>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:%d, "
                  r".*status=sent" % (text.rsplit(" ", 1)[1],
                                      mail.address(n), AT), since)


def test_refused_after_the_queue_is_returned():
    word, since = ss.token(), len(ss.log())
    code, text = send("after", word, "refuse-this\r\n")
    cases.equal(code, 250, text)
    ss.logged(r"%s: to=<%s>, .*status=bounced .*not wanted" % (
        text.rsplit(" ", 1)[1], mail.address(1)), since)


cases.main(globals())
