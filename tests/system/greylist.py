#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""smtpd_greylist: who is not known has to come again; what is known is known
to all processes, and after a restart."""
# instance: -o smtpd_greylist=yes -o smtpd_greylist_delay=2s -o smtpd_greylist_auto_allow=3 -o smtpd_greylist_exceptions=$mynetworks,127.0.7.0/24
# timeout: 120

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import smtp_session as mail  # noqa: E402

SEE = "Greylisted, see https://www.rfc-editor.org/rfc/rfc6647"
BOB = mail.ADDRESSES[0]


def rcpt(source, sender="a@b.test", to=BOB):
    line = mail.Line("smtp", source)
    cases.equal(line.reply()[:4], "220 ")
    line.say("EHLO client.test")
    line.say("MAIL FROM:<%s>" % sender)
    answer = line.say("RCPT TO:<%s>" % to)
    line.say("QUIT")
    line.close()
    return answer


OK = "250 2.1.5 Ok"
WAIT = "450 4.2.0 <%s>: Recipient address rejected: %s"


def comes_through(source, sender="a@b.test", to=BOB):
    cases.equal(rcpt(source, sender, to), WAIT % (to, SEE))
    cases.wait_for("the mail to be taken",
                   lambda: rcpt(source, sender, to) == OK)


def test_the_first_time_and_the_second():
    start = len(mail.log())
    comes_through("127.0.2.5")
    mail.logged(r"NOQUEUE: reject: RCPT from \S+\[127\.0\.2\.5\]: 450 4\.2\.0 "
                r"<%s>: Recipient address rejected: %s; from=<a@b\.test> "
                r"to=<%s> proto=ESMTP helo=<client\.test>" % (
                    re.escape(BOB), re.escape(SEE), re.escape(BOB)), start)
    # Known, also from its neighbour.
    cases.equal(rcpt("127.0.2.5"), OK)
    cases.equal(rcpt("127.0.2.77"), OK)
    cases.equal(rcpt("127.0.2.5", "c@b.test"), WAIT % (BOB, SEE))
    cases.equal(rcpt("127.0.3.5"), WAIT % (BOB, SEE))


def test_who_is_not_asked():
    cases.equal(rcpt("127.0.0.1"), OK)
    cases.equal(rcpt("127.0.7.9"), OK)
    # Recipients that would not be taken later either are told so.
    cases.equal(rcpt("127.0.4.1", to="nobody@" + mail.DOMAIN)[:10],
                "550 5.1.1 ")
    cases.equal(rcpt("127.0.4.1", to="x@elsewhere.test")[:10], "554 5.7.1 ")
    with mail.smtp("submission") as s:
        s.starttls(context=mail.tls_context())
        s.login(mail.USERS[0], os.environ["PASS1"])
        s.sendmail(BOB, [BOB], "Subject: x")


def test_a_client_that_comes_back_is_known():
    for n in range(3):
        comes_through("127.0.5.1", "%s@b.test" % "xyz"[n])
    cases.equal(rcpt("127.0.5.1", "new@b.test"), OK)


def as_owner():
    """Called by root, the suite belongs to an ordinary user."""
    st = os.stat(os.environ["CHAPPE_CONFIG"])
    if os.geteuid() != 0 or st.st_uid == 0:
        return {}
    return {"user": st.st_uid, "group": st.st_gid, "extra_groups": []}


def test_known_after_a_restart():
    comes_through("127.0.6.1")
    chappe = ["chappe", "-c", os.environ["CHAPPE_CONFIG"]]
    cases.run(chappe + ["reload"])
    cases.equal(rcpt("127.0.6.1"), OK)
    cases.run(chappe + ["stop"])
    assert os.path.getsize(os.path.join(
        os.environ["QUEUE_DIR"], "memory", "table")) > 48
    cases.run(chappe + ["start"], **as_owner())
    cases.equal(rcpt("127.0.6.1"), OK)
    cases.equal(rcpt("127.0.6.1", "other@b.test"), WAIT % (BOB, SEE))


cases.main(globals())
