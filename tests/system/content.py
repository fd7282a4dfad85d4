#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o header_checks=pcre:$config_directory/header -o body_checks=pcre:$config_directory/body -o nested_header_checks=pcre:$config_directory/nested -o canonical_maps=texthash:$config_directory/canonical -o sender_bcc_maps=texthash:$config_directory/sender_bcc -o recipient_bcc_maps=texthash:$config_directory/recipient_bcc -o masquerade_domains=chappe.test
"""What tables do to messages on their way in: header and body checks with all
their actions, canonical maps, masquerading, copies, completed headers."""

import email
import email.policy
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402

TABLES = {
    "header": r"""
/^X-Test: reject$/ REJECT 5.6.9 not this one
/^X-Test: plain reject$/ REJECT
/^X-Test: discard$/ DISCARD
/^X-Test: hold$/ HOLD look at it
/^X-Test: filter$/ FILTER smtp:[127.0.0.1]:@SINK@
/^X-Test: redirect$/ REDIRECT @USER2@
/^X-Test: astray$/ REDIRECT not an@@DOMAIN@@address
/^X-Test: bcc$/ BCC @USER2@
/^X-Test: prepend$/ PREPEND X-Before: yes
/^X-Test: replace$/ REPLACE X-Replaced: yes
/^X-Test: strip$/ STRIP
/^X-Test: ignore$/ IGNORE
/^X-Test: warn$/ WARN seen
/^X-Test: info$/ INFO noted
/^Received: from hidden\.example / IGNORE
""",
    "nested": "/^X-Test: reject$/ REJECT within\n",
    "body": "/^a bad line$/ REJECT bad\n/^a line to change$/ REPLACE changed\n",
    "canonical": "old@@DOMAIN@ @USER1@@@DOMAIN@\n"
                 "alias@elsewhere.test given.name@elsewhere.test\n",
    "sender_bcc": "watched@elsewhere.test @USER2@@@DOMAIN@\n",
    "recipient_bcc": "",
}


def write_tables(sink_port):
    for name, text in TABLES.items():
        for key, value in (("@SINK@", str(sink_port)),
                           ("@USER1@", mail.user(1)),
                           ("@USER2@", mail.user(2)),
                           ("@DOMAIN@", mail.DOMAIN)):
            text = text.replace(key, value)
        with open(os.path.join(mail.env("CHAPPE_CONFIG"), name), "w") as f:
            f.write(text)


def tested(subject, value, **more):
    return mail.text(subject, X_Test=value, **more)


def wire(message):
    return message.as_bytes(policy=email.policy.SMTP)


def received(subject, n=1):
    return email.message_from_bytes(mail.wait_for_mail(subject, n),
                                    policy=email.policy.default)


def has(subject, n=1):
    return any(email.message_from_bytes(raw)["Subject"] == subject
               for raw in mail.mailbox_texts(n))


def refused(message, to=None, sender=None):
    """The reply to a message that is not taken."""
    with mail.smtp() as s:
        s.ehlo()
        s.mail(sender or "sender@elsewhere.test")
        s.rcpt(to or mail.address(1))
        return s.data(wire(message))


def test_reject():
    code, text = refused(tested("rejected", "reject"))
    cases.equal((code, text), (550, b"5.6.9 not this one"))
    mail.wait_for_log(r"smtpd\[\d+\]: [0-9A-F]+: reject: header X-Test: "
                      r"reject from localhost\[\S+\]; "
                      r"from=<sender@elsewhere\.test> to=<\S+> proto=ESMTP "
                      r"helo=<\S+>: 5\.6\.9 not this one$")
    cases.equal(refused(tested("rejected", "plain reject")),
                (550, b"5.7.1 message content rejected"))


def test_reject_in_a_message_within_and_in_text():
    inner = tested("inner", "reject")
    outer = mail.text("outer")
    outer.add_attachment(inner)
    cases.equal(refused(outer), (550, b"5.7.1 within"))
    cases.equal(refused(mail.text("bad", body="one\na bad line\n")),
                (550, b"5.7.1 bad"))
    mail.wait_for_log(r"reject: body a bad line from ")


def test_the_session_goes_on_after_a_reject():
    with mail.smtp() as s:
        s.ehlo()
        for value, wanted in (("reject", 550), ("fine", 250)):
            s.mail("sender@elsewhere.test")
            s.rcpt(mail.address(1))
            code, _ = s.data(wire(tested("goes on " + value, value)))
            cases.equal(code, wanted)
    mail.wait_for_mail("goes on fine")


def test_discard():
    qid = mail.send(tested("discarded", "discard"))
    mail.wait_for_log(r"%s: discard: header X-Test: discard" % qid)
    mail.send(mail.text("after the discarded"))
    mail.wait_for_mail("after the discarded")
    cases.equal(has("discarded"), False)


def test_hold():
    qid = mail.send(tested("held", "hold"))
    mail.wait_for_log(r"%s: hold: header X-Test: hold .*: look at it" % qid)
    cases.contains(mail.queue(), qid + "!")
    subprocess.run(["postsuper", "-H", qid], check=True, capture_output=True)
    mail.wait_for_mail("held")


def test_filter():
    qid = mail.send(tested("filtered", "filter"))
    cases.wait_for("the filter", lambda: SINK.messages)
    cases.equal(SINK.messages[-1]["rcpts"], [mail.address(1)])
    mail.wait_for_log(r"%s: filter: header X-Test: filter" % qid)


def test_redirect():
    mail.send(tested("redirected", "redirect"), to=[mail.address(1)])
    mail.wait_for_mail("redirected", 2)
    mail.wait_until_empty()
    cases.equal(has("redirected", 1), False)


def test_bcc():
    mail.send(tested("copied", "bcc"))
    mail.wait_for_mail("copied", 1)
    mail.wait_for_mail("copied", 2)


def test_changes():
    mail.send(tested("prepended", "prepend"))
    got = received("prepended")
    cases.equal((got["X-Before"], got["X-Test"]), ("yes", "prepend"))
    mail.send(tested("replaced", "replace"))
    got = received("replaced")
    cases.equal((got["X-Replaced"], got["X-Test"]), ("yes", None))
    for word in ("strip", "ignore"):
        mail.send(tested("without by " + word, word))
        cases.equal(received("without by " + word)["X-Test"], None)
    mail.send(mail.text("changed text", body="a line to change\nend\n"))
    cases.equal(received("changed text").get_content(), "changed\r\nend\r\n")


def test_our_own_received_is_checked():
    with mail.smtp() as s:
        s.ehlo("hidden.example")
        s.mail("sender@elsewhere.test")
        s.rcpt(mail.address(1))
        s.data(wire(mail.text("without Received")))
    cases.equal(received("without Received")["Received"], None)


def test_warn_and_info_only_log():
    for word, kind in (("warn", "warning"), ("info", "info")):
        mail.send(tested("logged by " + word, word))
        mail.wait_for_mail("logged by " + word)
        mail.wait_for_log(r"%s: header X-Test: %s from" % (kind, word))


def test_canonical_recipient():
    qid = mail.send(mail.text("canonical", to="old@" + mail.DOMAIN,
                              sender="alias@elsewhere.test"),
                    to="old@" + mail.DOMAIN, sender="alias@elsewhere.test")
    got = received("canonical")
    cases.equal(got["To"], mail.address(1))
    cases.equal(got["From"], "given.name@elsewhere.test")
    cases.equal(got["Return-Path"], "<given.name@elsewhere.test>")
    mail.wait_for_log(r"%s: to=<%s>, orig_to=<old@%s>" %
                      (qid, mail.address(1), mail.DOMAIN))


def test_relaying_is_judged_by_the_address_that_was_given():
    """Not by what canonical maps make of it."""
    with mail.smtp() as s:
        s.ehlo()
        s.mail("a@elsewhere.test")
        cases.equal(s.rcpt("unknown@" + mail.DOMAIN)[0], 550)
        cases.equal(s.rcpt("old@" + mail.DOMAIN)[0], 250)


def test_masquerading():
    sender = "a@host.%s" % mail.DOMAIN
    mail.send(mail.text("masked", sender=sender), sender=sender)
    got = received("masked")
    cases.equal(got["From"], "a@" + mail.DOMAIN)
    cases.equal(got["Return-Path"], "<a@%s>" % mail.DOMAIN)


def test_sender_bcc():
    mail.send(mail.text("watched", sender="watched@elsewhere.test"),
              sender="watched@elsewhere.test")
    mail.wait_for_mail("watched", 1)
    mail.wait_for_mail("watched", 2)


def test_bare_names_of_local_mail_are_completed():
    subprocess.run(["sendmail", "-t", "-i"], check=True, text=True,
                   input="From: Bob <bob>\nTo: %s\nCc: other\n"
                         "Subject: bare\n\nhi\n" % mail.user(1))
    got = received("bare")
    cases.equal(got["To"], mail.address(1))
    cases.equal(got["From"], "Bob <bob@%s>" % mail.DOMAIN)


def test_a_table_that_fails_defers():
    mail.set_option("recipient_canonical_maps", "fail:oops")
    with mail.smtp() as s:
        s.ehlo()
        s.mail("a@elsewhere.test")
        cases.equal(s.rcpt(mail.address(1))[0], 451)
    mail.set_option("recipient_canonical_maps", "")
    mail.set_option("header_checks", "fail:oops")
    cases.equal(refused(mail.text("must wait"))[0], 451)
    mail.set_option("header_checks", "pcre:$config_directory/header")
    mail.send(mail.text("table is back"))
    mail.wait_for_mail("table is back")


# ---- what pickup takes in; last, for the suite is started anew ----

def as_suite():
    """The words that run a command as the user of the suite."""
    uid = os.stat(mail.env("QUEUE_DIR")).st_uid
    if uid == os.getuid():
        return []
    return ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid,
            "--clear-groups"]


def spool(subject, value, to=None):
    subprocess.run(
        ["sendmail", "-i", "-f", mail.address(2), to or mail.address(1)],
        check=True, text=True,
        input="To: %s\nSubject: %s\nX-Test: %s\n\na line to change\n" %
        (to or mail.user(1), subject, value))


def test_pickup_does_the_same():
    cases.run(["chappe", "stop"])
    for value in ("reject", "discard", "hold", "redirect", "bcc", "replace",
                  "astray"):
        spool("dropped " + value, value)
    spool("dropped canonical", "none", to="old@" + mail.DOMAIN)
    cases.run(as_suite() + [os.path.join(
        mail.env("PATH").split(":")[0], "chappe"), "start"])
    got = received("dropped canonical")
    cases.equal(got["To"], mail.address(1))
    cases.equal(got.get_content(), "changed\r\n")
    got = received("dropped replace")
    cases.equal((got["X-Replaced"], got["X-Test"]), ("yes", None))
    cases.equal(got["To"], mail.address(1))
    for n in (1, 2):
        mail.wait_for_mail("dropped bcc", n)
    mail.wait_for_mail("dropped redirect", 2)
    cases.equal(has("dropped redirect", 1), False)
    cases.wait_for("the returned mail", lambda: any(
        b"not this one" in raw and b"Status: 5.6.9" in raw and
        b"Subject: Undelivered Mail Returned to Sender" in raw
        for raw in mail.mailbox_texts(2)))
    mail.wait_for_log(r"pickup\[\d+\]: [0-9A-F]+: reject: header X-Test: "
                      r"reject from local; from=<\S+>: 5\.6\.9 not this")
    mail.wait_for_log(r"pickup\[\d+\]: ([0-9A-F]+): hold: header")
    cases.contains(mail.queue(), "!")
    cases.equal(has("dropped discard"), False)
    # Redirected to what is no address: not lost, but returned.
    qid = mail.wait_for_log(r"pickup\[\d+\]: warning: ([0-9A-F]+): "
                            r"recipient <not an.*> not added"
                            r"|pickup\[\d+\]: ([0-9A-F]+): warning: "
                            r"recipient <not an.*> not added")
    mail.wait_for_log(r"%s: to=<%s>.*status=bounced" %
                      (qid.group(1) or qid.group(2), mail.address(1)))


if __name__ == "__main__":
    with mail.Sink() as SINK:
        write_tables(SINK.port)
        cases.main(globals())
