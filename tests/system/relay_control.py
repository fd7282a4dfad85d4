#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nobody outside mynetworks gets mail for elsewhere through us, in whatever
form he writes the address; clients inside and users logged in do."""
# instance: -o relayhost=[127.0.0.1]:1
# timeout: 180

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import smtp_session as mail  # noqa: E402

OURS, FAR = mail.DOMAIN, "elsewhere.test"
USER = mail.USERS[0]

# Forms in which relays have been asked for. Each must be refused, either as
# relaying, as an unknown user of ours or as bad syntax.
FORMS = [
    "x@" + FAR, "x@[192.0.2.1]", "x@192.0.2.1", "x@[IPv6:2001:db8::1]",
    "x%{f}@{o}", "x%{f}", "{f}!x", "{f}!x@{o}", "x@{f}@{o}", "x@{o}@{f}",
    '"x@{f}"', '"x@{f}"@{o}', '"x%{f}"@{o}', '"{f}!x"@{o}', "@{o}:x@{f}",
    "@{f}:x@{o}.{f}", "@{o},@{f}:x@{f}", "x%{f}@[127.0.0.1]",
    "x%{f}@localhost", "x@{f}%{o}", "x%{f}%{o}", "x%{f}%{o}@{o}",
    "{o}!{f}!x", "{o}!x@{f}", "{f}!x%{o}", "{u}%{f}@{o}", "{f}!{u}@{o}",
    "{u}@{o}.{f}", "{u}@{f}.{o}", "{u}@x{o}", "{u}@sub.{o}", "{u}@{o}{f}",
    "x@{f}.", "x@.{f}", "x@{f}..", "x {f}@{o}", "x\t@{f}", "x@{f} {o}",
    "x@{f},{u}@{o}", "{u}@{o},x@{f}", "{u}@{o};x@{f}", "x@{f}\\@{o}",
    "x\\@{f}@{o}", "x\uff20{f}@{o}", "x\uff05{f}@{o}", "x@{f}\u3002",
    "x@{o}\u3002{f}", "x(@{o})@{f}", "<x@{f}>@{o}", "x@{f}:25",
    "x@@{f}", "@{f}", "x@", "x%@{f}", "%{f}@{o}", '""@{f}',
    "x@[{f}]", "x@#12345", "postmaster@{f}", "x@{f}!{o}",
]


def form(text):
    return text.replace("{o}", OURS).replace("{f}", FAR).replace("{u}", USER)


def session(source):
    line = mail.Line("smtp", source)
    cases.equal(line.reply()[:4], "220 ")
    line.say("EHLO client.test")
    return line


def ask(line, address):
    cases.equal(line.say("MAIL FROM:<a@b.test>")[:4], "250 ")
    line.send(b"RCPT TO:<" + address.encode("utf-8") + b">\r\n")
    reply = line.reply()
    cases.equal(line.say("RSET")[:4], "250 ")
    return reply


def test_every_form_is_refused():
    assert len(FORMS) >= 55
    for n, text in enumerate(FORMS):
        # Few on one session: each refusal counts as an error.
        if n % 5 == 0:
            line = session(mail.STRANGER)
        reply = ask(line, form(text))
        cases.equal(reply[:1], "5", "%s: %s" % (form(text), reply))
        if n % 5 == 4:
            line.close()


def test_bytes_in_addresses():
    for byte in (0, 1, 7, 8, 27, 127, 128, 255):
        line = session(mail.STRANGER)
        cases.equal(line.say("MAIL FROM:<a@b.test>")[:4], "250 ")
        line.send(b"RCPT TO:<x@" + bytes([byte]) + FAR.encode() + b">\r\n")
        cases.equal(line.reply()[:1], "5", "byte %d" % byte)
        line.close()


def test_text_of_the_refusal():
    line = session(mail.STRANGER)
    cases.equal(ask(line, "x@" + FAR),
                "554 5.7.1 <x@%s>: Relay access denied" % FAR)
    line.close()
    mail.logged(r"NOQUEUE: reject: RCPT from \S+\[127\.0\.0\.2\]: 554 5\.7\.1 "
                r"<x@%s>: Relay access denied; from=<a@b\.test> to=<x@%s> "
                r"proto=ESMTP helo=<client\.test>$" % (FAR, FAR))


def test_claiming_to_be_local_does_not_help():
    for helo, sender in ((OURS, USER + "@" + OURS), ("localhost", ""),
                         ("[127.0.0.1]", "postmaster@" + OURS),
                         ("127.0.0.1", "root")):
        line = mail.Line("smtp", mail.STRANGER)
        line.reply()
        cases.equal(line.say("EHLO " + helo)[:3], "250")
        cases.equal(line.say("MAIL FROM:<%s>" % sender)[:4], "250 ")
        cases.equal(line.say("RCPT TO:<x@%s>" % FAR)[:10], "554 5.7.1 ")
        line.close()


def test_our_own_are_taken_from_strangers():
    line = session(mail.STRANGER)
    cases.equal(ask(line, mail.ADDRESSES[0])[:10], "250 2.1.5 ")
    cases.equal(ask(line, "@%s:%s" % (OURS, mail.ADDRESSES[0]))[:4], "250 ")
    line.close()


def test_mynetworks_may_relay():
    line = session("127.0.0.1")
    cases.equal(ask(line, "x@" + FAR)[:10], "250 2.1.5 ")
    line.close()


cases.main(globals())
