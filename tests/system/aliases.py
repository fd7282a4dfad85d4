#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o relayhost=[127.0.0.1]:1
"""Aliases: without effect before newaliases, with effect after; to several
people, one of them elsewhere; unknown users."""

import os
import smtplib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402


def add(line):
    with open(os.path.join(mail.env("CHAPPE_CONFIG"), "aliases"), "a") as f:
        f.write(line + "\n")


def accepted(name):
    with mail.smtp() as s:
        s.ehlo()
        s.mail("a@elsewhere.test")
        return s.rcpt("%s@%s" % (name, mail.DOMAIN))


def test_no_effect_before_newaliases():
    add("contact: %s, %s" % (mail.user(1), mail.user(2)))
    code, text = accepted("contact")
    cases.equal(code, 550)
    cases.contains(text.decode(), "User unknown in local recipient table")


def test_effect_after():
    cases.equal(cases.run(["newaliases"]).stdout, "")
    cases.wait_for("acceptance", lambda: accepted("contact")[0] == 250)
    mail.send(mail.text("to contact"), "contact@" + mail.DOMAIN)
    for n in (1, 2):
        mail.wait_for_mail("to contact", n)


def test_three_people_one_elsewhere():
    with mail.Sink() as sink:
        mail.set_option("relayhost", "[127.0.0.1]:%d" % sink.port)
        add("team: %s,\n\t%s, third@elsewhere.test" % (mail.user(1),
                                                       mail.user(2)))
        cases.run(["newaliases"])
        cases.wait_for("acceptance", lambda: accepted("team")[0] == 250)
        qid = mail.send(mail.text("to the team"), "team@" + mail.DOMAIN)
        for n in (1, 2):
            mail.wait_for_mail("to the team", n)
        cases.wait_for("the remote copy", lambda: sink.messages)
        cases.equal(sink.messages[0]["rcpts"], ["third@elsewhere.test"])
        mail.wait_for_log("local.*%s: to=<team@%s>, .*status=sent "
                          r"\(forwarded as [0-9A-F]+\)" % (qid, mail.DOMAIN))
    mail.wait_until_empty()


def test_alias_of_an_alias_and_case():
    add("Chief: contact")
    cases.run(["newaliases"])
    cases.wait_for("acceptance", lambda: accepted("chief")[0] == 250)
    mail.send(mail.text("to the chief"), "CHIEF@" + mail.DOMAIN)
    for n in (1, 2):
        mail.wait_for_mail("to the chief", n)


def test_alias_to_an_address_elsewhere_alone():
    with mail.Sink() as sink:
        mail.set_option("relayhost", "[127.0.0.1]:%d" % sink.port)
        add("advertising: aaron@somewebsite.test")
        cases.run(["newaliases"])
        cases.wait_for("acceptance", lambda: accepted("advertising")[0] == 250)
        mail.send(mail.text("ad"), "advertising@" + mail.DOMAIN)
        cases.wait_for("the remote copy", lambda: sink.messages)
        cases.equal(sink.messages[0]["rcpts"], ["aaron@somewebsite.test"])
    mail.wait_until_empty()


def test_unknown_user_is_refused():
    for name in ("nobody-at-all", "alice.x", ""):
        try:
            mail.send(mail.text("x"), "%s@%s" % (name, mail.DOMAIN))
            raise AssertionError("%r was accepted" % name)
        except smtplib.SMTPRecipientsRefused as e:
            code = list(e.recipients.values())[0][0]
            assert 500 <= code < 600, code


def test_removed_alias_is_gone():
    path = os.path.join(mail.env("CHAPPE_CONFIG"), "aliases")
    with open(path) as f:
        text = f.read()
    with open(path, "w") as f:
        f.write(text.replace("contact:", "no-contact:"))
    cases.run(["newaliases"])
    cases.wait_for("refusal", lambda: accepted("contact")[0] == 550)


cases.main(globals())
