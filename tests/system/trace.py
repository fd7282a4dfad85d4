#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance:
"""`chappe trace`: the stages of a mail in order, over all processes, for mail
that was refused too; and the trace id in every record about a mail."""

import glob
import os
import re
import shutil
import smtplib
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import ipc  # noqa: E402
import mail  # noqa: E402

LINE = re.compile(r"^(\d{4}-\d\d-\d\d [\d:]{8}\.\d{6}) +\+\d+\.\d{3} ms "
                  r"([0-9a-f]{16}) ([a-z-]+)\[\d+\] +(\S+) +(.*)$")


def trace(what, status=0):
    """[(time, trace id, program, stage, text)]"""
    done = cases.run(["chappe", "trace", what], status=status)
    lines = [LINE.match(line) for line in done.stdout.splitlines()]
    assert all(lines), done.stdout
    return [m.groups() for m in lines]


def delivered():
    qid = mail.send(mail.text("a mail"))
    mail.wait_for_log(r"qmgr\[\d+\]: %s: removed" % qid)
    return qid


def whole_trace(qid):
    """The trace, once its last record is in the store."""
    return cases.wait_for("the end of the trace", lambda: (lambda t: t if any(
        s == "queue" and x.endswith("removed") for _, _, _, s, x in t)
        else None)(trace(qid)))


def test_stages_of_a_delivered_mail():
    qid = delivered()
    rows = whole_trace(qid)
    times = [r[0] for r in rows]
    cases.equal(times, sorted(times), "order")
    stages = [(r[2], r[3] if r[3] != "log" else
               re.sub(r"^\S+: ", "", r[4]).split("=")[0].split()[0])
              for r in rows]
    at = -1
    for stage in (("smtpd", "connect"), ("smtpd", "client"),
                  ("smtpd", "accept"), ("qmgr", "from"),
                  ("local", "deliver"), ("local", "to"),
                  ("qmgr", "removed")):
        assert stage in stages, (stage, stages)
        assert stages.index(stage) > at, (stage, stages)
        at = stages.index(stage)


def test_one_id_through_all_processes():
    rows = whole_trace(delivered())
    cases.equal(len({r[1][:12] for r in rows}), 1, "connections")
    message = {r[1] for r in rows if not r[1].endswith("0000")}
    cases.equal(len(message), 1, "messages")
    programs = {r[2] for r in rows if r[1] in message}
    assert {"smtpd", "qmgr", "local"} <= programs, programs
    # And by that id the same is found.
    cases.equal([r[4] for r in trace(message.pop())], [r[4] for r in rows])


def test_two_mails_on_one_connection_are_apart():
    with mail.smtp() as s:
        for n in range(2):
            s.sendmail("sender@elsewhere.test", [mail.address(1)],
                       "Subject: %d\r\n\r\nx\r\n" % n)
    mail.wait_for_log(r"disconnect from .* mail=2 rcpt=2 data=2")
    ids = re.findall(r"smtpd\[\d+\]: ([0-9A-F]{11,15}): client",
                     mail.log())[-2:]
    first, second = (whole_trace(qid) for qid in ids)
    assert not any(ids[1] in r[4] for r in first)
    assert not any(ids[0] in r[4] for r in second)
    cases.equal({r[1][:12] for r in first}, {r[1][:12] for r in second})
    connects = [[r[4] for r in rows if r[4].startswith("connect from")]
                for rows in (first, second)]
    cases.equal(len(connects[0]), 1)
    cases.equal(connects[0], connects[1])


def test_refused_mail_is_found_by_address():
    with mail.smtp() as s:
        s.ehlo()
        s.mail("stranger@elsewhere.test")
        code, _ = s.rcpt("nobody-at-all@" + mail.DOMAIN)
        cases.equal(code, 550)
    rows = cases.wait_for("the refusal", lambda: [
        r for r in trace("nobody-at-all@" + mail.DOMAIN, status=None)
        if "reject: RCPT" in r[4]])
    cases.contains(rows[0][4], "550 5.1.1")


def test_found_by_address_of_a_delivered_mail():
    sender = "unusual-sender@elsewhere.test"
    qid = mail.send(mail.text("x"), sender=sender)
    mail.wait_for_log(r"qmgr\[\d+\]: %s: removed" % qid)
    assert any(r[4].startswith(qid) for r in trace(sender))


def test_unknown_is_said():
    done = cases.run(["chappe", "trace", "0123456789ABCDE"], status=None)
    assert done.returncode != 0
    cases.contains(done.stderr, "nothing is known of it")


def test_every_record_about_a_mail_has_an_id():
    delivered()
    try:
        mail.send(mail.text("x"), to="no-such-user@" + mail.DOMAIN)
    except smtplib.SMTPRecipientsRefused:
        pass
    records = []
    for path in sorted(glob.glob(os.path.join(mail.env("QUEUE_DIR"),
                                              "trace", "*.trace"))):
        with open(path, errors="replace") as f:
            records += [line.rstrip("\n").split("\t") for line in f]
    about = [r for r in records if len(r) == 9 and (
        r[2] != "-" or r[8].startswith(("NOQUEUE", "connect from",
                                        "disconnect from")))]
    assert len(about) > 10, len(about)
    without = [r for r in about if r[1] == "0" * 16]
    cases.equal(without, [])


def test_every_request_between_daemons_has_an_id():
    """What a daemon has in hand shows as begin and end of a request: those
    that serve a mail carry its id."""
    qid = delivered()
    begun = {(r[2], r[4]) for r in whole_trace(qid) if r[3] == "begin"}
    for wanted in (("qmgr", "MSG_QMGR_NEW"), ("qmgr", "MSG_DELIVERED")):
        assert wanted in begun, (wanted, begun)


def test_the_store_is_searched_while_the_suite_is_down():
    qid = delivered()
    whole_trace(qid)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(os.path.join(mail.env("QUEUE_DIR"), "trace"),
                        os.path.join(folder, "trace"))
        with open(os.path.join(folder, "main.cf"), "w") as f:
            f.write("queue_directory = %s\n" % folder)
        done = cases.run([os.path.join(ipc.BUILD, "bin", "chappe"), "trace",
                          qid], env={"CHAPPE_CONFIG": folder})
    assert "%s: removed" % qid in done.stdout, done.stdout


cases.main(globals())
