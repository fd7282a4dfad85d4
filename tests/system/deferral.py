#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o relayhost=[127.0.0.1]:1 -o minimal_backoff_time=2s -o maximal_backoff_time=2s
"""A dead next hop: the mail waits, shows in every listing with its reason,
and goes when the host is back."""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402

TO = "friend@elsewhere.test"


def test_defers_shows_and_delivers():
    dead = mail.Sink()
    dead.close()
    mail.set_option("relayhost", "[127.0.0.1]:%d" % dead.port)
    qid = mail.send(mail.text("waits", to=TO), TO)
    reason = "connect to 127.0.0.1[127.0.0.1]:%d: Connection refused" % \
        dead.port
    cases.wait_for("the reason", lambda: reason in mail.queue())
    listing = mail.queue()
    lines = listing.splitlines()
    cases.equal(lines[0], "----Queue ID----- --Size-- ---Arrival Time---- "
                "--Sender/Recipient------")
    cases.matches(lines[1], r"^%-17s +\d+ \w{3} \w{3} [ \d]\d "
                  r"\d\d:\d\d:\d\d sender@elsewhere\.test$" % qid)
    cases.equal(lines[2].strip(), "(%s)" % reason)
    cases.equal(lines[3].strip(), TO)
    cases.matches(listing, r"^-- \d+ Kbytes in 1 Request\.$")
    for argv in (["mailq"], ["sendmail", "-bp"]):
        cases.equal(cases.run(argv).stdout, listing, argv)
    row = json.loads(cases.run(["postqueue", "-j"]).stdout)
    cases.equal(row["queue_name"], "deferred")
    cases.equal(row["recipients"][0]["address"], TO)
    cases.equal(row["recipients"][0]["delay_reason"], reason)
    with mail.Sink(port=dead.port) as sink:
        cases.wait_for("delivery by itself", lambda: sink.messages)
        mail.wait_until_empty()
        cases.equal(len(sink.messages), 1)


def test_flush_delivers_at_once():
    dead = mail.Sink()
    dead.close()
    mail.set_option("relayhost", "[127.0.0.1]:%d" % dead.port)
    mail.set_option("minimal_backoff_time", "1h")
    mail.set_option("maximal_backoff_time", "1h")
    qid = mail.send(mail.text("flush", to=TO), TO)
    cases.wait_for("the reason", lambda: "refused" in mail.queue())
    with mail.Sink(port=dead.port) as sink:
        cases.run(["postqueue", "-i", qid])
        cases.wait_for("delivery", lambda: sink.messages)
    mail.wait_until_empty()
    mail.send(mail.text("flush all", to=TO), TO)
    cases.wait_for("the reason", lambda: "refused" in mail.queue())
    with mail.Sink(port=dead.port) as sink:
        cases.run(["postqueue", "-f"])
        cases.wait_for("delivery", lambda: sink.messages)
    mail.wait_until_empty()


cases.main(globals())
