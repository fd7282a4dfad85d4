#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Limits of what a login, a user of this host and a sender may send: refused
for now or for good, or held with one line in the log; over a restart."""
# instance: -o smtpd_outbound_message_limit=3 -o smtpd_outbound_recipient_limit=5 -o 'smtpd_outbound_limit_maps=inline:{{boris=messages=1 action=hold},{alice@chappe.test=messages=2 action=reject}}' -o recipient_delimiter=+
# timeout: 120

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import smtp_session as mail  # noqa: E402

ALICE, BORIS = mail.ADDRESSES
CHAPPE = ["chappe", "-c", os.environ.get("CHAPPE_CONFIG", "")]


def login(user):
    s = mail.smtp("submission")
    s.starttls(context=mail.tls_context())
    s.login(mail.USERS[user], os.environ["PASS%d" % (user + 1)])
    return s


def refused(s, sender, *recipients):
    """The answer to the last recipient."""
    s.mail(sender)
    answers = [s.rcpt(r) for r in recipients]
    s.rset()
    return "%d %s" % (answers[-1][0], answers[-1][1].decode())


def test_sender_and_login():
    start = len(mail.log())
    with login(0) as s:
        for _ in range(2):
            cases.equal(s.sendmail(ALICE, [BORIS], "Subject: x"), {})
        cases.equal(refused(s, ALICE, BORIS),
                    "550 5.7.1 <%s>: Outbound limit exceeded: more than 2 "
                    "messages in 3600s from this sender" % ALICE)
        # That was the third attempt of the login: there is no fourth.
        cases.equal(refused(s, ALICE.replace("@", "+x@"), BORIS),
                    "450 4.7.1 <alice>: Outbound limit exceeded: more than 3 "
                    "messages in 3600s from this login")
    mail.logged(r"NOQUEUE: reject: RCPT from \S+: 450 4\.7\.1 <alice>: "
                r"Outbound limit exceeded: more than 3 messages in 3600s from "
                r"this login; from=<\S+> to=<\S+> proto=ESMTPSA", start)


def test_recipients_of_a_user_of_this_host():
    text = "Subject: %s\n\nx\n"
    word = mail.token()
    cases.run(["sendmail", ALICE, BORIS, "root", "postmaster"], text % word)
    cases.run(["sendmail", ALICE], text % word)
    mail.delivered(mail.MAILBOXES[0], word)
    # The fifth recipient was the last.
    start = len(mail.log())
    word = mail.token()
    cases.run(["sendmail", ALICE], text % word)
    mail.logged(r"NOQUEUE: reject: RCPT from localhost\[local\]: 450 4\.7\.1 "
                r"<uid:%d>: Outbound limit exceeded: more than 5 recipients "
                r"in 3600s from this login" % os.getuid(), start)
    # sendmail has put it into maildrop/, from where it comes no further.
    held(word, mail.logged(
        r"pickup\[\d+\]: ([0-9A-F]+): hold: maildrop: <uid:%d>: Outbound "
        r"limit exceeded: more than 3 messages" % os.getuid(), start)[1])


def held(word, qid=""):
    """The one mail on hold has the word; it is released."""
    listing = cases.wait_for("the held mail", lambda: re.search(
        "^(%s[0-9A-F]*)! " % qid, cases.run(["postqueue", "-p"]).stdout,
        re.M))
    cases.equal(mail.with_token(mail.MAILBOXES[0], word), [])
    cases.run(["postsuper", "-H", listing.group(1)])
    mail.delivered(mail.MAILBOXES[0], word)


def test_held():
    start = len(mail.log())
    words = [mail.token() for _ in range(2)]
    with login(1) as s:
        for word in words:
            cases.equal(s.sendmail(BORIS, [ALICE, BORIS],
                                   "Subject: " + word), {})
    mail.delivered(mail.MAILBOXES[0], words[0])
    mail.logged(r"NOQUEUE: hold: RCPT from \S+: <boris>: Outbound limit "
                r"exceeded: more than 1 messages in 3600s from this login; "
                r"from=<%s> to=<%s>" % (re.escape(BORIS), re.escape(ALICE)),
                start)
    cases.equal(mail.log()[start:].count(": hold: "), 1)
    held(words[1])


def as_owner():
    """Called by root, the suite belongs to an ordinary user."""
    st = os.stat(os.environ["CHAPPE_CONFIG"])
    if os.geteuid() != 0 or st.st_uid == 0:
        return {}
    return {"user": st.st_uid, "group": st.st_gid, "extra_groups": []}


def test_over_a_restart():
    cases.run(CHAPPE + ["stop"])
    cases.run(CHAPPE + ["start"], **as_owner())
    with login(0) as s:
        cases.contains(refused(s, ALICE.replace("@", "+y@"), BORIS),
                       "450 4.7.1 <alice>: Outbound limit exceeded")


cases.main(globals())
