#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o soft_bounce=yes -o minimal_backoff_time=1s -o maximal_backoff_time=1s -o maximal_queue_lifetime=1s -o smtpd_relay_restrictions=reject_unauth_destination
"""Refusals: soft_bounce, with which nothing is refused or returned for good,
and what stands below a refusal (smtpd_reject_footer and its tables)."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402

TO = "friend@elsewhere.test"
footers = os.path.join(os.environ["CHAPPE_CONFIG"], "footers")


def refusal(rcpt):
    with mail.smtp() as s:
        s.ehlo()
        s.mail("sender@elsewhere.test")
        code, text = s.rcpt(rcpt)
        return code, text.decode()


def kept(qid):
    """It is in the queue, and nobody was told."""
    mail.wait_for_log(r"%s: .*status=SOFTBOUNCE[^$]*%s: .*status=SOFTBOUNCE" %
                      (qid, qid))
    cases.contains(mail.queue(), qid)
    assert not re.search(r"bounce\[\d+\]: %s:|%s: .*returned to sender" %
                         (qid, qid), mail.log())


def test_smtpd_refuses_for_now():
    code, text = refusal("nobody-here@" + mail.DOMAIN)
    cases.equal(code, 450)
    cases.matches(text, r"^4\.1\.1 <nobody-here@\S+>: Recipient address "
                  "rejected: User unknown")
    cases.equal(refusal(TO)[0], 454)
    with mail.smtp() as s:
        code, text = s.docmd("NONSENSE")
        cases.equal((code, text[:5]), (400, b"4.5.2"))


def test_what_the_next_hop_refuses_stays():
    def reply(verb, _):
        return "550 5.1.1 no such user" if verb == "RCPT" else None
    with mail.Sink(reply=reply) as sink:
        mail.set_option("relayhost", "[127.0.0.1]:%d" % sink.port)
        mail.set_option("smtpd_relay_restrictions", "permit_mynetworks,reject")
        qid = mail.send(mail.text("x", to=TO), TO)
        mail.wait_for_log(r"smtp\[\d+\]: %s: to=<%s>, .*dsn=5\.1\.1, "
                          r"status=SOFTBOUNCE \(host \S+ said: 550 5\.1\.1 no "
                          "such user" % (qid, TO))
        kept(qid)
        sink.reply = None
        mail.wait_for_log(r"%s: .*status=sent" % qid)
        mail.wait_for_log(r"qmgr\[\d+\]: %s: removed" % qid)


def test_what_nobody_takes_stays():
    path = os.path.join(os.environ["CHAPPE_CONFIG"], "aliases")
    with open(path, "a") as f:
        f.write("round: nobody-here\n")
    cases.run(["newaliases"])
    qid = mail.send(mail.text("x"), "round@" + mail.DOMAIN)
    # What it was forwarded as goes to the service error, and stays.
    text = mail.wait_for_log(r"%s: .*forwarded as (\w+)" % qid).group(1)
    kept(text)
    cases.run(["postsuper", "-d", text])


def test_without_it_they_go():
    mail.set_option("soft_bounce", "no")
    cases.equal(refusal("nobody-here@" + mail.DOMAIN)[0], 550)


def test_footers():
    with open(footers, "w") as f:
        f.write("/^554 5\\.7\\.1 .*Relay access/ \\c; see $server_name\n"
                "/^502/ Call $client_address\n")
    mail.set_option("smtpd_relay_restrictions", "reject_unauth_destination")
    mail.set_option("smtpd_reject_footer", "Any other: ${client_name}")
    mail.set_option("smtpd_reject_footer_maps", "regexp:" + footers)
    code, text = refusal(TO)
    cases.equal((code, text), (
        554, "5.7.1 <%s>: Relay access denied; see %s" %
        (TO, cases.run(["postconf", "-h", "myhostname"]).stdout.strip())))
    code, text = refusal("nobody-here@" + mail.DOMAIN)
    cases.equal(code, 550)
    cases.matches(text, r"\n5\.1\.1 Any other: localhost$")


cases.main(globals())
