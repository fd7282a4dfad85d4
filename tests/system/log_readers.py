#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o smtpd_error_sleep_time=0
# timeout: 240
"""Programs that read mail logs, from Debian: fail2ban-regex with its own
filter and pflogsumm count exactly what was sent here."""

import collections
import os
import re
import smtplib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402
import smtp_session as smtp  # noqa: E402

# Who does what, by address; each so often.
RELAY, UNKNOWN, LOGIN, SYNC, ERRORS, GONE = (
    "127.0.0.%d" % n for n in range(2, 8))
TIMES = {RELAY: 4, UNKNOWN: 5, LOGIN: 3, SYNC: 2, ERRORS: 1, GONE: 2}
MAILS = 3      # for one
BOTH = 2       # for two users at once
BOUNCED = 2
DEFERRED = 1


def session(source=None, service="smtp"):
    s = smtplib.SMTP("127.0.0.1", smtp.port(service), timeout=cases.WAIT_S,
                     local_hostname="reader.test",
                     source_address=(source, 0) if source else None)
    s.ehlo()
    return s


def send(rcpts, subject, sender="s@elsewhere.test"):
    with session() as s:
        s.sendmail(sender, rcpts, "Subject: %s\r\n\r\nHello.\r\n" % subject)


def refused(source, rcpt):
    for _ in range(TIMES[source]):
        with session(source) as s:
            s.mail("spammer@elsewhere.test")
            code, _ = s.rcpt(rcpt)
            assert code >= 500, code


def wrong_passwords():
    for _ in range(TIMES[LOGIN]):
        with session(LOGIN, "submission") as s:
            context = smtp.tls_context()
            context.check_hostname = False
            s.starttls(context=context)
            s.ehlo()
            s.user, s.password = mail.user(1), "wrong"
            try:
                s.auth("PLAIN", s.auth_plain)
                raise AssertionError("logged in")
            except smtplib.SMTPAuthenticationError:
                pass


def rude():
    for _ in range(TIMES[SYNC]):
        s = smtp.Line(source=SYNC)
        s.reply()
        s.sock.sendall(b"HELO reader.test\r\nMAIL FROM:<a@b.test>\r\n")
        while s.reply():
            pass
    for _ in range(TIMES[ERRORS]):
        s = smtp.Line(source=ERRORS)
        s.reply()
        while s.say("NONSENSE").startswith("5"):
            pass
    for _ in range(TIMES[GONE]):
        s = smtp.Line(source=GONE)
        s.reply()
        s.say("EHLO reader.test")
        s.sock.close()
        s.file.close()


def refuse(verb, _line):
    return "550 5.1.1 nobody here" if verb == "RCPT" else None


def do_everything():
    with mail.Sink(reply=refuse) as sink:
        mail.set_option("transport_maps", "inline:{gone.test=smtp:[127.0.0.1]"
                        ":%d, later.test=smtp:[127.0.0.1]:1}" % sink.port)
        happen()


def happen():
    domain = "@" + mail.env("MAIL_DOMAIN")
    for n in range(MAILS):
        send([mail.address(1)], "single %d" % n)
    for n in range(BOTH):
        send([mail.address(1), mail.address(2)], "both %d" % n)
    for n in range(BOUNCED):
        send(["x%d@gone.test" % n], "bounced", "")
    for n in range(DEFERRED):
        send(["x@later.test"], "deferred", "")
    refused(RELAY, "victim@far-away.test")
    refused(UNKNOWN, "nobody-there" + domain)
    wrong_passwords()
    rude()

    def complete():
        text = smtp.log()
        return text.count("status=sent") == MAILS + 2 * BOTH and \
            text.count("status=bounced") == BOUNCED and \
            text.count("status=deferred") >= DEFERRED and \
            text.count("lost connection after EHLO") == TIMES[GONE] and \
            text.count("too many errors after") == TIMES[ERRORS] and \
            len(re.findall(r"disconnect from \S+\[127\.0\.0\.[2-7]\]",
                           text)) == sum(TIMES.values())
    cases.wait_for("all that happened in the log", complete)


# ---- fail2ban ----

def matched(mode):
    """How often the filter in this mode finds each address."""
    program = mail.partner("fail2ban", "fail2ban-regex")
    conf = os.path.join(os.path.dirname(os.path.dirname(program)), "root",
                        "etc", "fail2ban")
    assert os.path.isdir(conf), conf
    out = cases.run([program, "-c", conf, "--out", "ip",
                     mail.env("MAIL_LOG"), "postfix[mode=%s]" % mode]).stdout
    return dict(collections.Counter(out.split()))


def test_fail2ban():
    normal = {a: TIMES[a] for a in (RELAY, UNKNOWN, SYNC, ERRORS)}
    for mode, wanted in (
            ("normal", normal),
            ("more", normal),
            ("auth", {LOGIN: TIMES[LOGIN]}),
            ("errors", {ERRORS: TIMES[ERRORS]}),
            ("extra", dict(normal, **{LOGIN: TIMES[LOGIN]}))):
        cases.equal(matched(mode), wanted, mode)
    # "disconnect ... auth=0/1" and lost connections count here too.
    ddos = matched("ddos")
    cases.equal(ddos.get(GONE), TIMES[GONE])
    cases.equal(ddos.get(LOGIN), TIMES[LOGIN])
    assert "127.0.0.1" not in ddos, ddos


# ---- pflogsumm ----

def summary():
    out = cases.run([mail.partner("pflogsumm"), mail.env("MAIL_LOG")])
    cases.equal(out.stderr, "")
    totals = dict((name, value) for value, name in re.findall(
        r"^ +(\d+[kmg]?) +([a-z][a-z ]*?)(?: +\(.*)?$",
        out.stdout.split("Per-Hour")[0], re.M))
    return totals, out.stdout


def test_pflogsumm():
    totals, text = summary()
    for name, wanted in (
            ("received", MAILS + BOTH + BOUNCED + DEFERRED),
            ("delivered", MAILS + 2 * BOTH),
            ("deferred", DEFERRED),
            ("bounced", BOUNCED),
            ("rejected", TIMES[RELAY] + TIMES[UNKNOWN]),
            ("held", 0), ("discarded", 0), ("recipients", 2)):
        cases.equal(totals.get(name), str(wanted), name + "\n" + text)
    cases.matches(text, r"Relay access denied \(total: %d\)" % TIMES[RELAY])
    cases.matches(text, r"User unknown in local recipient table "
                  r"\(total: %d\)|User unknown.*\(total: %d\)" % (
                      TIMES[UNKNOWN], TIMES[UNKNOWN]))
    # Its own sections for who sent and who got mail.
    for n, count in ((1, MAILS + BOTH), (2, BOTH)):
        cases.matches(text, r"(?m)^ +%d +%s$" % (count, mail.address(n)))
    cases.matches(text, r"(?s)Warnings.*SASL PLAIN authentication failed")


if __name__ == "__main__":
    do_everything()
    cases.main(globals())
