#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o relayhost=[127.0.0.1]:2 -o minimal_backoff_time=1s -o maximal_backoff_time=1s
"""Mail for elsewhere: relayhost, replies in the log, TLS, one connection for
many mails, hosts that refuse, defer, hang up, or are not there."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402

TO = "friend@elsewhere.test"


def relay_to(sink):
    mail.set_option("relayhost", "[127.0.0.1]:%d" % sink.port)


def logged(qid, pattern):
    return mail.wait_for_log(r"smtp\[\d+\]: %s: %s" % (qid, pattern))


def test_message_arrives_as_sent():
    body = b"To: x@elsewhere.test\r\nSubject: s\r\n\r\n.\r\n..\r\n.x\r\nGr\xc3\xbc\xc3\x9fe\r\n"
    with mail.Sink() as sink:
        relay_to(sink)
        qid = mail.send(body, TO)
        logged(qid, r"to=<%s>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:%d, "
               r"delay=\S+, delays=\S+, dsn=2\.0\.0, status=sent "
               r"\(250 2\.0\.0 Ok: queued as SINK\)$" % (TO, sink.port))
        mail.wait_for_log(r"qmgr\[\d+\]: %s: removed" % qid)
        got = sink.messages[0]
        cases.equal(got["sender"], "sender@elsewhere.test")
        cases.equal(got["rcpts"], [TO])
        assert got["data"].startswith(b"Received: from "), got["data"]
        assert got["data"].endswith(body), got["data"]


def test_one_connection_for_many_mails():
    with mail.Sink() as sink:
        relay_to(sink)
        for i in range(5):
            mail.send(mail.text("number %d" % i, to=TO), TO)
            cases.wait_for("mail %d" % i,
                           lambda n=i + 1: len(sink.messages) == n)
        cases.equal(sink.connections, 1, "connections")
    mail.wait_for_log(r"conn_use=5, .*status=sent")


def test_lost_behind_the_end_of_a_mail_waits():
    """The server may have it: on a connection that was used before no less
    than on a new one another copy is not sent at once."""
    hung = []

    def reply(verb, _):
        if verb == "END" and sink.messages and not hung:
            hung.append(sink.connections)
            raise OSError("hang up")
        return None
    with mail.Sink(reply=reply) as sink:
        relay_to(sink)
        logged(mail.send(mail.text("first", to=TO), TO), ".*status=sent")
        qid = mail.send(mail.text("second", to=TO), TO)
        line = logged(qid, r"to=<%s>, (.*status=.*)$" % TO).group(1)
        cases.equal(hung, [1], "the connection")
        cases.matches(line, r"status=deferred \(lost connection "
                      r"with \S+ while sending end of data -- message may be "
                      r"sent more than once\)$")
        logged(qid, ".*status=sent")


def test_a_connection_of_which_the_server_has_enough():
    """Nothing was refused: the mail goes over a new one at once."""
    def reply(verb, _):
        if verb == "MAIL" and len(sink.messages) == 1 and \
                sink.connections == 1:
            return "421 4.7.0 enough for one connection"
        return None
    with mail.Sink(reply=reply) as sink:
        relay_to(sink)
        logged(mail.send(mail.text("first", to=TO), TO), ".*status=sent")
        qid = mail.send(mail.text("second", to=TO), TO)
        cases.matches(logged(qid, r"to=<%s>, (.*)$" % TO).group(1),
                      "status=sent")
        cases.equal(sink.connections, 2)


def test_xforward_tells_who_the_client_was():
    def reply(verb, _):
        return "550 5.7.1 not from you" if verb == "XFORWARD" else None
    mail.set_option("smtp_send_xforward_command", "yes")
    for special in (None, reply):
        with mail.Sink(offers=["PIPELINING", "XFORWARD NAME ADDR PORT PROTO "
                               "HELO IDENT SOURCE"], reply=special) as sink:
            relay_to(sink)
            qid = mail.send(mail.text("forward", to=TO), TO)
            cases.wait_for("the mail", lambda: sink.messages)
            cases.equal([c for c in sink.commands if "XFORWARD" in c][0],
                        "XFORWARD NAME=localhost ADDR=127.0.0.1 "
                        "PORT=[UNAVAILABLE] HELO=%s IDENT=%s PROTO=ESMTP "
                        "SOURCE=REMOTE" % (own_name(), qid))
            assert "XFORWARD" in sink.commands[1], sink.commands
    with mail.Sink() as sink:
        relay_to(sink)
        mail.send(mail.text("unoffered", to=TO), TO)
        cases.wait_for("the mail", lambda: sink.messages)
        assert "XFORWARD" not in " ".join(sink.commands)
    mail.set_option("smtp_send_xforward_command", "no")


def own_name():
    """As smtplib calls itself."""
    with mail.smtp() as s:
        return s.local_hostname


def test_starttls_where_offered():
    with mail.Sink(context=mail.server_tls()) as sink:
        relay_to(sink)
        mail.send(mail.text("secret", to=TO), TO)
        cases.wait_for("the mail", lambda: sink.messages)
        assert sink.messages[0]["tls"], "not under TLS"


def test_plain_text_when_tls_is_refused():
    def reply(verb, _):
        return "454 4.7.0 TLS not available" if verb == "STARTTLS" else None
    with mail.Sink(context=mail.server_tls(), reply=reply) as sink:
        relay_to(sink)
        mail.send(mail.text("open", to=TO), TO)
        cases.wait_for("the mail", lambda: sink.messages)
        assert not sink.messages[0]["tls"]


def test_many_recipients_one_refused():
    def reply(verb, line):
        if verb == "RCPT" and "nobody" in line:
            return "550 5.1.1 no such user"
        return None
    with mail.Sink(reply=reply) as sink:
        relay_to(sink)
        qid = mail.send(mail.text("three", to=TO), [
            "a@elsewhere.test", "nobody@elsewhere.test",
            "b@elsewhere.test"])
        logged(qid, r"to=<nobody@elsewhere\.test>, relay=\S+, .*"
               r"dsn=5\.1\.1, status=bounced \(host 127\.0\.0\.1"
               r"\[127\.0\.0\.1\] said: 550 5\.1\.1 no such user "
               r"\(in reply to RCPT TO command\)\)$")
        logged(qid, r"to=<b@elsewhere\.test>, .*status=sent")
        cases.equal(sink.messages[0]["rcpts"],
                    ["a@elsewhere.test", "b@elsewhere.test"])


def test_temporary_refusal_is_tried_again():
    times = []

    def reply(verb, _):
        if verb == "END":
            times.append(1)
            if len(times) < 3:
                return "451 4.3.0 not now"
        return None
    with mail.Sink(reply=reply) as sink:
        relay_to(sink)
        qid = mail.send(mail.text("later", to=TO), TO)
        logged(qid, r"to=<%s>, .*dsn=4\.3\.0, status=deferred \(host \S+ "
               r"said: 451 4\.3\.0 not now \(in reply to end of DATA "
               r"command\)\)$" % TO)
        logged(qid, r"to=<%s>, .*status=sent" % TO)
        cases.equal(len(sink.messages), 1)


def test_lost_connection_defers():
    hung = []

    def reply(verb, _):
        if verb == "DATA" and not hung:
            hung.append(1)
            raise OSError("hang up")
        return None
    with mail.Sink(reply=reply) as sink:
        relay_to(sink)
        qid = mail.send(mail.text("lost", to=TO), TO)
        logged(qid, r"to=<%s>, .*status=deferred \(lost connection with "
               r"127\.0\.0\.1\[127\.0\.0\.1\] while sending DATA command\)$"
               % TO)
        logged(qid, r"to=<%s>, .*status=sent" % TO)


def test_greeting_that_refuses_defers():
    refused = []

    def reply(verb, _):
        if verb == "CONNECT" and not refused:
            refused.append(1)
            return "554 5.7.1 go away"
        return None
    with mail.Sink(reply=reply) as sink:
        relay_to(sink)
        qid = mail.send(mail.text("greeting", to=TO), TO)
        logged(qid, r"to=<%s>, .*status=deferred \(host 127\.0\.0\.1"
               r"\[127\.0\.0\.1\] refused to talk to me: 554 5\.7\.1 go "
               r"away\)$" % TO)
        logged(qid, r"to=<%s>, .*status=sent" % TO)


def test_large_message():
    lines = [b"%07d " % i + b"x" * 60 for i in range(70000)]
    body = b"Subject: large\r\n\r\n" + b"\r\n".join(lines) + b"\r\n"
    with mail.Sink() as sink:
        relay_to(sink)
        mail.send(body, TO)
        cases.wait_for("the mail", lambda: sink.messages)
        assert sink.messages[0]["data"].endswith(body), "changed"


def test_login_at_the_next_hop():
    with mail.Sink(context=mail.server_tls(), login=("me", "my:word")) as sink:
        mail.set_option("smtp_sasl_auth_enable", "yes")
        mail.set_option("smtp_sasl_password_maps",
                        "inline:{[127.0.0.1]:%d=me:my:word}" % sink.port)
        relay_to(sink)
        mail.send(mail.text("login", to=TO), TO)
        cases.wait_for("the mail", lambda: sink.messages)
        assert any(c.startswith("AUTH PLAIN") for c in sink.commands)


def test_no_password_in_clear():
    with mail.Sink(login=("me", "word")) as sink:
        mail.set_option("smtp_sasl_password_maps",
                        "inline:{[127.0.0.1]:%d=me:word}" % sink.port)
        relay_to(sink)
        qid = mail.send(mail.text("in clear", to=TO), TO)
        logged(qid, r"to=<%s>, .*status=deferred \(.*TLS" % TO)
        assert not any(c.startswith("AUTH") for c in sink.commands)
        mail.set_option("smtp_sasl_auth_enable", "no")
        cases.run(["postsuper", "-d", qid])


def test_nobody_there():
    sink = mail.Sink()
    relay_to(sink)
    sink.close()
    qid = mail.send(mail.text("nobody", to=TO), TO)
    reason = r"connect to 127\.0\.0\.1\[127\.0\.0\.1\]:%d: " \
        r"Connection refused" % sink.port
    mail.wait_for_log(r"smtp\[\d+\]: %s$" % reason)
    logged(qid, r"to=<%s>, relay=none, .*dsn=4\.4\.1, status=deferred "
           r"\(%s\)$" % (TO, reason))
    with mail.Sink(port=sink.port) as sink:
        logged(qid, r"to=<%s>, .*status=sent" % TO)


cases.main(globals())
