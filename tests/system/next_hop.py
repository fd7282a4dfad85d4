#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o relayhost=[127.0.0.1]:2 -o minimal_backoff_time=1h -o maximal_backoff_time=1h -o fast_flush_domains=elsewhere.test
"""What a client asked for goes on to the next hop, or is made good here, or
comes back: DSN, 8-bit and binary parts, SMTPUTF8, REQUIRETLS; and mail that
is to wait: future release, ETRN."""

import email
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402

TO = "friend@elsewhere.test"
ALL = ["PIPELINING", "8BITMIME", "SIZE 1000000", "DSN", "SMTPUTF8",
       "CHUNKING", "BINARYMIME"]


def relay_to(sink):
    mail.set_option("relayhost", "[127.0.0.1]:%d" % sink.port)


def submit(data, mail_params="", rcpt_params="", to=TO, sender=None,
           secure=False):
    """Hands data over by BDAT; the queue id."""
    with mail.smtp() as s:
        s.ehlo()
        if secure:
            s.starttls(context=mail.tls())
            s.ehlo()
        s.command_encoding = "utf-8"
        for command in ("MAIL FROM:<%s> %s" % (sender or mail.address(1),
                                               mail_params),
                        "RCPT TO:<%s> %s" % (to, rcpt_params)):
            code, text = s.docmd(command)
            cases.equal(code, 250, "%s: %r" % (command, text))
        s.send(b"BDAT %d LAST\r\n" % len(data) + data)
        code, text = s.getreply()
        cases.equal(code, 250, text)
        return text.decode().split()[-1]


def commands(sink, verb):
    return [c for c in sink.commands if c.startswith(verb)]


def arrived(sink):
    cases.wait_for("the mail", lambda: sink.messages)
    return sink.messages[0]["data"]


def head(word):
    return b"Subject: %s\r\n" % word.encode()


def notification(qid, wanted):
    """The message about qid in the first user's mailbox."""
    def look():
        for text in mail.mailbox_texts(1):
            text = text.decode("utf-8", "replace")
            if qid in text and wanted in text:
                return text
        return None
    return cases.wait_for("a notification about " + qid, look)


def test_dsn_goes_on():
    with mail.Sink(offers=ALL) as sink:
        relay_to(sink)
        qid = submit(head("x") + b"\r\n", "RET=HDRS ENVID=a+2Bb",
                     "NOTIFY=SUCCESS,DELAY ORCPT=rfc822;first+2B@b.test")
        arrived(sink)
        assert commands(sink, "MAIL")[0].endswith(" RET=HDRS ENVID=a+2Bb")
        assert commands(sink, "RCPT")[0].endswith(
            " NOTIFY=SUCCESS,DELAY ORCPT=rfc822;first+2B@b.test"), \
            sink.commands
        mail.wait_for_log(r"qmgr\[\d+\]: %s: removed" % qid)
        assert "bounce[" not in "".join(
            line for line in mail.log().splitlines() if qid in line)


def test_dsn_is_made_good():
    with mail.Sink(offers=[]) as sink:
        relay_to(sink)
        qid = submit(head("x") + b"\r\n", "ENVID=mine", "NOTIFY=SUCCESS")
        arrived(sink)
        assert " NOTIFY" not in commands(sink, "RCPT")[0]
        text = notification(qid, "Action: relayed")
        cases.contains(text, "Original-Envelope-Id: mine")


def test_local_success_is_told():
    qid = submit(head("x") + b"\r\n", "ENVID=here", "NOTIFY=SUCCESS",
                 to=mail.address(2))
    text = notification(qid, "Action: delivered")
    cases.contains(text, "Original-Envelope-Id: here")


def test_notify_never():
    def reply(verb, _):
        return "550 5.1.1 no" if verb == "RCPT" else None
    with mail.Sink(reply=reply) as sink:
        relay_to(sink)
        qid = submit(head("x") + b"\r\n", "", "NOTIFY=NEVER")
        mail.wait_for_log(r"%s: to=<%s>.*status=bounced" % (qid, TO))
        mail.wait_for_log(r"qmgr\[\d+\]: %s: removed" % qid)
        assert not re.search(r"bounce\[\d+\]: %s:" % qid, mail.log())


EIGHT = (b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n"
         b"Content-Transfer-Encoding: 8bit\r\n\r\nGr\xc3\xbc\xc3\x9fe =\r\n")


def test_eight_bit_goes_on():
    with mail.Sink(offers=ALL) as sink:
        relay_to(sink)
        submit(head("x") + EIGHT, "BODY=8BITMIME")
        assert arrived(sink).endswith(EIGHT)
        cases.contains(commands(sink, "MAIL")[0], "BODY=8BITMIME")


def test_eight_bit_is_encoded():
    with mail.Sink(offers=["PIPELINING"]) as sink:
        relay_to(sink)
        submit(head("x") + EIGHT, "BODY=8BITMIME")
        got = arrived(sink)
        assert "BODY" not in commands(sink, "MAIL")[0]
        assert max(got) < 128, got
        cases.contains(got, b"Content-Transfer-Encoding: quoted-printable")
        assert email.message_from_bytes(got).get_payload(decode=True) == \
            b"Gr\xc3\xbc\xc3\x9fe =\r\n"


BYTES = bytes(range(256)) + b"\n.\n\r\r\n.\r\n\0end"
BINARY = (b"MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n"
          b"Content-Transfer-Encoding: binary\r\n\r\n" + BYTES)


def test_binary_goes_on_byte_for_byte():
    with mail.Sink(offers=ALL) as sink:
        relay_to(sink)
        submit(head("x") + BINARY, "BODY=BINARYMIME")
        assert arrived(sink).endswith(BINARY), arrived(sink)
        cases.contains(commands(sink, "MAIL")[0], "BODY=BINARYMIME")
        assert not commands(sink, "DATA")


def test_binary_is_encoded_for_a_mailbox():
    word = "x%d" % time.time_ns()
    submit(head(word) + BINARY, "BODY=BINARYMIME", to=mail.address(2))

    def look():
        return [t for t in mail.mailbox_texts(2) if word.encode() in t]
    got = email.message_from_bytes(cases.wait_for("the mail", look)[0])
    cases.equal(got["Content-Transfer-Encoding"], "base64")
    assert got.get_payload(decode=True) == BYTES


def test_binary_is_encoded():
    with mail.Sink() as sink:
        relay_to(sink)
        submit(head("x") + BINARY, "BODY=BINARYMIME")
        got = arrived(sink)
        cases.contains(got, b"Content-Transfer-Encoding: base64")
        assert email.message_from_bytes(got).get_payload(decode=True) == BYTES


def test_binary_comes_back_where_nothing_is_encoded():
    mail.set_option("disable_mime_output_conversion", "yes")
    with mail.Sink() as sink:
        relay_to(sink)
        qid = submit(head("x") + BINARY, "BODY=BINARYMIME")
        mail.wait_for_log(r"%s: to=<%s>.*dsn=5\.6\.1, status=bounced "
                          r"\(BINARYMIME is required, but was not offered" %
                          (qid, TO))
    mail.set_option("disable_mime_output_conversion", "no")


def test_smtputf8_goes_on_or_comes_back():
    to = "fr\u00e9d@elsewhere.test"
    with mail.Sink(offers=ALL) as sink:
        relay_to(sink)
        submit(head("x") + b"\r\n", "SMTPUTF8", to=to)
        arrived(sink)
        cases.contains(commands(sink, "MAIL")[0], " SMTPUTF8")
        cases.equal(sink.messages[0]["rcpts"], [to])
    with mail.Sink(offers=["PIPELINING"]) as sink:
        relay_to(sink)
        qid = submit(head("x") + b"\r\n", "SMTPUTF8")
        mail.wait_for_log(r"%s: to=<%s>.*dsn=5\.6\.7, status=bounced "
                          r"\(SMTPUTF8 is required, but was not offered" %
                          (qid, TO))


def test_requiretls_goes_on_or_comes_back():
    mail.set_option("smtp_tls_CAfile", os.environ["CA_FILE"])
    with mail.Sink(context=mail.server_tls(), offers=["REQUIRETLS"]) as sink:
        relay_to(sink)
        submit(head("x") + b"\r\n", "REQUIRETLS", secure=True)
        arrived(sink)
        assert sink.messages[0]["tls"]
        cases.contains(commands(sink, "MAIL")[0], " REQUIRETLS")
    with mail.Sink(context=mail.server_tls(), offers=[]) as sink:
        relay_to(sink)
        qid = submit(head("x") + b"\r\n", "REQUIRETLS", secure=True)
        mail.wait_for_log(r"%s: to=<%s>.*dsn=5\.7\.30, status=bounced "
                          r"\(REQUIRETLS is required, but was not offered" %
                          (qid, TO))
        assert not sink.messages
    with mail.Sink(offers=["REQUIRETLS"]) as sink:
        relay_to(sink)
        qid = submit(head("x") + b"\r\n", "REQUIRETLS", secure=True)
        mail.wait_for_log(r"%s: to=<%s>.*dsn=5\.7\.10, status=bounced "
                          r"\(.*TLS is required" % (qid, TO))
        assert not sink.messages


def test_etrn_makes_a_domain_due():
    tries = []

    def reply(verb, _):
        if verb == "RCPT":
            tries.append(verb)
            return "450 4.3.0 not now" if len(tries) == 1 else None
        return None
    with mail.Sink(reply=reply) as sink:
        relay_to(sink)
        qid = submit(head("x") + b"\r\n")
        mail.wait_for_log(r"%s: to=<%s>.*status=deferred" % (qid, TO))
        with mail.smtp() as s:
            s.ehlo()
            cases.equal(s.docmd("ETRN", "other.test")[0], 459)
            cases.equal(s.docmd("ETRN", "elsewhere.test"),
                        (250, b"Queuing started"))
        arrived(sink)
        cases.equal(len(tries), 2)


def test_delay_is_told_once():
    mail.set_option("delay_warning_time", "1s")
    mail.set_option("relayhost", "[127.0.0.1]:2")
    qid = submit(head("x") + b"\r\n", "", "NOTIFY=DELAY")
    other = submit(head("x") + b"\r\n", "", "NOTIFY=FAILURE")
    told = r"bounce\[\d+\]: %s: sender delay notification: "

    def tried():
        cases.run(["postqueue", "-f"])
        return re.search(told % qid, mail.log())
    cases.wait_for("a delay notification", tried)
    cases.contains(notification(qid, "Action: delayed"), "Status: 4.4.1")
    # Further tries say nothing more, and who did not ask hears nothing.
    tries = len(re.findall(qid + ".*status=deferred", mail.log()))
    cases.wait_for("more tries", lambda: tried() and len(re.findall(
        qid + ".*status=deferred", mail.log())) > tries + 1)
    cases.equal(len(re.findall(told % qid, mail.log())), 1)
    assert not re.search(told % other, mail.log())
    cases.run(["postsuper", "-d", qid, "-d", other])
    mail.set_option("delay_warning_time", "0")


def test_raw_utf8_from_a_program_is_delivered():
    text = ("Subject: Gr\u00fc\u00dfe \U0001f600 raw\n"
            "From: \u00e4 <a@b.test>\n\nna\u00efve\n").encode()
    for to in (mail.address(2), mail.user(2)):
        p = subprocess.run(["sendmail", "-f", "me@b.test", to], input=text,
                           check=False)
        cases.equal(p.returncode, 0)
    cases.wait_for("both", lambda: sum(
        text.split(b"\n")[0] in t for t in mail.mailbox_texts(2)) == 2)


def test_future_release():
    wait_s = 4
    with mail.Sink() as sink:
        relay_to(sink)
        began = time.time()
        qid = submit(head("x") + b"\r\n", "HOLDFOR=%d" % wait_s)
        # It lies in the queue, and a flush does not hurry it.
        cases.wait_for("it in deferred/", lambda: qid in os.popen(
            "find %s/deferred -name %s" % (mail.env("QUEUE_DIR"), qid)).read())
        cases.run(["postqueue", "-f"])
        cases.contains(cases.run(["postqueue", "-p"]).stdout, qid)
        assert not sink.messages
        arrived(sink)
        assert time.time() - began >= wait_s - 1, time.time() - began


cases.main(globals())
