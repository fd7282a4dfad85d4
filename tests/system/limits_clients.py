#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits per client: what a client does with one process of a service counts
with all of them; what a killed process held is free; replies and log lines
are those of Postfix and its anvil."""
# instance: -o smtpd_client_connection_count_limit=5 -o smtpd_client_connection_rate_limit=20 -o smtpd_client_message_rate_limit=3 -o smtpd_client_recipient_rate_limit=4 -o smtpd_client_new_tls_session_rate_limit=2 -o smtpd_client_auth_rate_limit=3 -o anvil_status_update_time=1s -o smtpd_session_limit=12 -o smtpd_client_ipv4_prefix_length=31 -o smtpd_error_sleep_time=0
# timeout: 120

import glob
import os
import re
import signal
import smtplib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import smtp_session as mail  # noqa: E402

HOST = re.escape(mail.DOMAIN)
# The name of the service in master.cf is its port here.
SMTP, SUBMISSION = str(mail.port("smtp")), str(mail.port("submission"))
UNIT = r"/60s for \(" + SMTP + r":%s\) at [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d"


def smtpd_pids(service=SMTP):
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as f:
                words = f.read().split(b"\0")
        except OSError:
            continue
        if words[0].endswith(b"libexec/smtpd") and \
                os.environ["CHAPPE_CONFIG"].encode() in words and \
                words[words.index(b"-n") + 1] == service.encode():
            found.append(int(path.split("/")[2]))
    return found


def serving(pid):
    """Sessions of a process: its sockets connected over the Internet."""
    inodes = set()
    try:
        for name in os.listdir("/proc/%d/fd" % pid):
            try:
                m = re.match(r"socket:\[(\d+)\]",
                             os.readlink("/proc/%d/fd/%s" % (pid, name)))
            except FileNotFoundError:
                continue
            if m:
                inodes.add(m.group(1))
        with open("/proc/%d/net/tcp" % pid) as f:
            rows = [line.split() for line in f.readlines()[1:]]
    except FileNotFoundError:
        return 0
    return sum(row[3] == "01" and row[9] in inodes for row in rows)


def opened(source):
    """A session that found room: a process may just be full, and the next
    one not up yet."""
    def attempt():
        line = mail.Line("smtp", source)
        reply = line.reply()
        if not reply.startswith("421 4.3.2"):
            return line, reply
        line.close()
        return None
    return cases.wait_for("room", attempt)


def closed(lines):
    for line in lines:
        line.close()
    cases.wait_for("sessions to end", lambda: not sum(
        serving(p) for p in smtpd_pids()))


def full(pid):
    """Sessions of other clients, until the process takes no more, and there
    is another one."""
    lines = []
    while serving(pid) < 12 or len(smtpd_pids()) < 2:
        assert len(lines) < 23, "no second process"
        line, reply = opened("127.0.3.%d" % (2 * len(lines) + 2))
        cases.equal(reply[:4], "220 ")
        lines.append(line)
    return lines


def test_connections_over_two_processes():
    mine = [opened("127.0.4.2") for _ in range(2)]
    pid = cases.wait_for("the first process", lambda: [
        p for p in smtpd_pids() if serving(p)])[0]
    others = full(pid)
    start = len(mail.log())
    mine += [opened("127.0.4.2") for _ in range(3)]
    for _, reply in mine:
        cases.equal(reply[:4], "220 ")
    mine = [line for line, _ in mine]
    # An address of the same network of 31 bits is the same client.
    line, reply = opened("127.0.4.3")
    cases.matches(reply, "^421 4.7.0 %s Error: too many connections from "
                  r"127\.0\.4\.3$" % HOST)
    line.close()
    line, reply = opened("127.0.4.4")
    cases.equal(reply[:4], "220 ")
    line.close()
    mail.logged(r"smtpd\[\d+\]: warning: Connection concurrency limit "
                r"exceeded: 6 from unknown\[127\.0\.4\.3\] for service %s$" % SMTP,
                start)
    # The first process is killed: its share of the five is free.
    os.kill(pid, signal.SIGKILL)
    cases.wait_for("its end", lambda: pid not in smtpd_pids())
    alive = [line for line in mine if line.say("NOOP")]
    cases.equal(len(alive), 3)
    for _ in range(5 - len(alive)):
        line, reply = opened("127.0.4.2")
        cases.equal(reply[:4], "220 ")
        alive.append(line)
    line, reply = opened("127.0.4.2")
    cases.equal(reply[:4], "421 ")
    line.close()
    closed(mine + alive + others)


def test_connection_rate():
    start = len(mail.log())
    for _ in range(20):
        line, reply = opened("127.0.5.2")
        cases.equal(reply[:4], "220 ")
        line.say("QUIT")
        line.close()
    line, reply = opened("127.0.5.2")
    cases.matches(reply, "^421 4.7.0 %s Error: too many connections from "
                  r"127\.0\.5\.2$" % HOST)
    line.close()
    mail.logged(r"warning: Connection rate limit exceeded: 21 from "
                r"unknown\[127\.0\.5\.2\] for service %s$" % SMTP, start)


def test_messages_and_recipients():
    start = len(mail.log())
    line, reply = opened("127.0.6.2")
    line.say("EHLO client.test")
    for _ in range(3):
        cases.equal(line.say("MAIL FROM:<a@b.test>"), "250 2.1.0 Ok")
        line.say("RSET")
    cases.equal(line.say("MAIL FROM:<a@b.test>"),
                "450 4.7.1 Error: too much mail from 127.0.6.2")
    line.close()
    mail.logged(r"warning: Message delivery request rate limit exceeded: 4 "
                r"from \S+\[127\.0\.6\.2\] for service %s$" % SMTP, start)
    line, reply = opened("127.0.6.4")
    line.say("EHLO client.test")
    line.say("MAIL FROM:<a@b.test>")
    for _ in range(4):
        cases.equal(line.say("RCPT TO:<%s>" % mail.ADDRESSES[0]),
                    "250 2.1.5 Ok")
    cases.equal(line.say("RCPT TO:<%s>" % mail.ADDRESSES[0]),
                "450 4.7.1 Error: too many recipients from 127.0.6.4")
    line.close()
    mail.logged(r"warning: Recipient address rate limit exceeded: 5 from "
                r"\S+\[127\.0\.6\.4\] for service %s$" % SMTP, start)
    # Those of mynetworks are not counted.
    with mail.smtp(source="127.0.0.1") as s:
        for _ in range(6):
            s.sendmail("a@b.test", [mail.ADDRESSES[0]] * 2, "Subject: x")


def test_auth():
    start = len(mail.log())
    s = smtplib.SMTP("127.0.0.1", mail.port("submission"),
                     timeout=cases.WAIT_S, source_address=("127.0.7.2", 0))
    s.starttls(context=no_names())
    s.ehlo()
    for _ in range(3):
        cases.equal(s.docmd("AUTH", "PLAIN AGEAYg==")[0], 535)
    cases.equal(s.docmd("AUTH", "PLAIN AGEAYg=="), (
        450, b"4.7.1 Error: too many AUTH commands from 127.0.7.2"))
    s.close()
    mail.logged(r"warning: AUTH command rate limit exceeded: 4 from "
                r"\S+\[127\.0\.7\.2\] for service %s$" % SUBMISSION, start)


def no_names():
    context = mail.tls_context()
    context.check_hostname = False
    return context


def starttls(source):
    s = smtplib.SMTP("127.0.0.1", mail.port("smtp"), timeout=cases.WAIT_S,
                     source_address=(source, 0))
    s.starttls(context=no_names())
    return s


def test_tls_sessions():
    start = len(mail.log())
    for _ in range(2):
        with starttls("127.0.8.2") as s:
            s.ehlo()
    s = starttls("127.0.8.2")
    code, text = s.getreply()
    cases.matches("%d %s" % (code, text.decode()), "^421 4.7.0 %s Error: too "
                  r"many new TLS sessions from \S+\[127\.0\.8\.2\]$" % HOST)
    s.close()
    mail.logged(r"warning: New TLS session rate limit exceeded: 3 from "
                r"\S+\[127\.0\.8\.2\] for service %s$" % SMTP, start)
    line, reply = opened("127.0.8.2")
    line.say("EHLO x")
    cases.matches(line.say("STARTTLS"), r"^454 4\.7\.0 Error: too many new "
                  r"TLS sessions from \S+\[127\.0\.8\.2\]$")
    # And it goes on in clear.
    cases.equal(line.say("NOOP"), "250 2.0.0 Ok")
    line.close()
    mail.logged(r"warning: Refusing STARTTLS request from "
                r"\S+\[127\.0\.8\.2\] for service %s$" % SMTP, start)


def test_statistics():
    # What the tests before did shall have been said.
    start = len(mail.log())
    opened("127.0.9.4")[0].close()
    mail.logged(r"statistics: max connection rate", start)
    start = len(mail.log())
    line, reply = opened("127.0.9.2")
    second = opened("127.0.9.2")[0]
    line.say("EHLO client.test")
    for _ in range(2):
        line.say("MAIL FROM:<a@b.test>")
        line.say("RCPT TO:<%s>" % mail.ADDRESSES[0])
        line.say("RSET")
    net = r"127\.0\.9\.2"
    for text in ("connection rate 2" + UNIT % net,
                 r"connection count 2 for \(%s:%s\) at .*" % (SMTP, net),
                 "message rate [12]" + UNIT % net,
                 "recipient rate [12]" + UNIT % net):
        mail.logged(r"/anvil\[\d+\]: statistics: max %s$" % text, start)
    line.close()
    second.close()


cases.main(globals())
