#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o relayhost=[127.0.0.1]:1 -o recipient_delimiter=+
"""Milters on the wire: what a filter is told at each step, what each of its
answers does there, every modification, several filters in a row, filters
that fail, settings for each, and big messages."""

import os
import re
import smtplib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402
import milter_peer as mp  # noqa: E402
import more_smtpds  # noqa: E402
import smtp_session as ss  # noqa: E402

A, B = mp.Peer(), mp.Peer()
SOCKET = os.path.join(mail.env("INSTANCE_DIR"), "milter.sock")
U = mp.Peer(SOCKET)
DEAD = "inet:127.0.0.1:1"
MAPS = os.path.join(mail.env("CHAPPE_CONFIG"), "milter_maps")
with open(MAPS, "w") as table:
    table.write("127.0.0.1 %s\n" % B.address)
os.chmod(MAPS, 0o644)
CHECKS = os.path.join(mail.env("CHAPPE_CONFIG"), "milter_checks")
with open(CHECKS, "w") as table:
    table.write("/^X-Drop:/ IGNORE\n/^X-Change: (.*)/ REPLACE X-Changed: $1!\n"
                "/^X-Bad:/ REJECT 5.7.9 bad header\n/^X-Hold:/ HOLD odd\n"
                "/^X-Lose:/ DISCARD\n/^X-Warn:/ WARN careful\n"
                "/^X-Front: (.*)/ PREPEND X-Before: $1\n")
os.chmod(CHECKS, 0o644)
PORT = more_smtpds.start({
    "one": {"smtpd_milters": A.address,
            "milter_connect_macros": "j {daemon_name} v _ {client_addr} "
            "{client_name} {client_port} {client_ptr} {client_resolve} "
            "{daemon_addr} {daemon_port} unknown_one",
            "milter_macro_defaults": "unknown_one=x1, {auth_type}=NOBODY",
            "milter_command_timeout": "2s", "milter_content_timeout": "3s",
            "milter_default_action": "tempfail"},
    "two": {"smtpd_milters": "%s, %s" % (A.address, B.address)},
    "unix": {"smtpd_milters": "unix:" + SOCKET},
    "own": {"smtpd_milters": "{ %s, command_timeout=1s, protocol=2, "
            "default_action = accept }, %s" % (A.address, B.address),
            "milter_default_action": "reject"},
    "maps": {"smtpd_milters": A.address,
             "smtpd_milter_maps": "texthash:" + MAPS},
    "broken": {"smtpd_milters": A.address, "smtpd_milter_maps": "fail:all"},
    "accept": {"smtpd_milters": DEAD, "milter_default_action": "accept"},
    "reject": {"smtpd_milters": DEAD, "milter_default_action": "reject"},
    "tempfail": {"smtpd_milters": DEAD,
                 "milter_default_action": "tempfail"},
    "hold": {"smtpd_milters": DEAD, "milter_default_action": "quarantine"},
    "shutdown": {"smtpd_milters": DEAD},
    "checks": {"smtpd_milters": A.address,
               "milter_header_checks": "pcre:" + CHECKS},
    "xclient": {"smtpd_milters": A.address,
                "smtpd_authorized_xclient_hosts": "127.0.0.0/8"},
    "tls": {"smtpd_milters": A.address, "smtpd_sasl_auth_enable": "yes"},
    "many": {"smtpd_milters": A.address},
    "small": {"smtpd_milters": A.address, "message_size_limit": "300000",
              "milter_default_action": "tempfail"},
})


def start_over():
    for peer in (A, B, U):
        peer.reset()


def message(word, body=b"Hello\r\n", more=b""):
    return (b"From: a@elsewhere.test\r\nTo: you@x.test\r\nSubject: " +
            word.encode() + b"\r\n" + more + b"\r\n" + body)


def send(port="one", data=None, to=None, word=None, sender="a@elsewhere.test",
         options=()):
    """(code, text) of the first refusal, or of the end of the message."""
    s = more_smtpds.session(PORT[port])
    try:
        code, text = s.mail(sender, options)
        for rcpt in to or [mail.address(1)]:
            if code == 250:
                code, text = s.rcpt(rcpt)
        if code == 250:
            code, text = s.data(data or message(word or ss.token()))
        return code, text.decode()
    except smtplib.SMTPDataError as e:
        return e.smtp_code, e.smtp_error.decode()
    finally:
        s.close()


def delivered(port="one", n=1, **more):
    """The message as it comes out."""
    word = ss.token()
    code, text = send(port, word=word, **more)
    cases.equal(code, 250, text)
    return arrived(word, n)


def arrived(word, n=1):
    """With CRLF, whatever the mailbox has."""
    raw = ss.delivered(ss.MAILBOXES[n - 1], word)
    return raw.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def held():
    """Queue ids in hold/."""
    return re.findall(r"^([0-9A-F]+)!", cases.run(["postqueue", "-p"]).stdout,
                      re.M)


# ---- what a filter is told ----

def test_all_steps_and_macros():
    start_over()
    body = b"line one\r\n.dot\r\n\r\nlast\r\n"
    word = ss.token()
    code, text = send(
        data=message(word, body, b"X-Fold: a\r\n\tb\r\nX-Tab:\tc\r\n"
                                 b"X-Two:  d\r\n"),
        to=[mail.address(1), mail.address(2)], options=["SIZE=300"])
    cases.equal(code, 250, text)
    qid = text.rsplit(" ", 1)[1]
    s = A.last()
    cases.equal(s.offer, (6, 0x1ff, 0x1fffff), "the offer")
    cases.equal([n for n in s.names() if n not in ("header", "body", "quit")],
                ["connect", "helo", "mail", "rcpt", "rcpt", "data", "eoh",
                 "eom"])
    name, rest = s.of("connect")[0].split(b"\0", 1)
    cases.equal((name, rest[:1], rest[3:]),
                (b"localhost", b"4", b"127.0.0.1\0"))
    port = rest[1] * 256 + rest[2]
    assert port > 1024, port
    cases.equal(s.of("helo")[0], b"client.test\0")
    cases.equal(s.of("mail")[0], b"<a@elsewhere.test>\0SIZE=300\0")
    cases.equal(s.of("rcpt")[1], b"<%s>\0" % mail.address(2).encode())
    cases.equal(s.headers(), [
        ("From", "a@elsewhere.test"), ("To", "you@x.test"), ("Subject", word),
        ("X-Fold", "a\n\tb"), ("X-Tab", "\tc"), ("X-Two", " d")])
    cases.equal(s.body(), body)
    m = s.macros["connect"][0]
    cases.equal(m["j"], mail.DOMAIN)
    cases.equal(m["{daemon_name}"], mail.DOMAIN)
    cases.contains(m["v"], " ")
    cases.equal(m["_"], "localhost [127.0.0.1]")
    cases.equal(m["{client_addr}"], "127.0.0.1")
    cases.equal(m["{client_name}"], "localhost")
    cases.equal(m["{client_ptr}"], "localhost")
    cases.equal(m["{client_port}"], str(port))
    cases.equal(m["{client_resolve}"], "OK")
    cases.equal(m["{daemon_addr}"], "127.0.0.1")
    cases.equal(m["{daemon_port}"], str(PORT["one"]))
    cases.equal(m["{unknown_one}"], "x1")
    cases.equal(s.macros["mail"][0], {
        "{auth_type}": "NOBODY", "{mail_addr}": "a@elsewhere.test",
        "{mail_host}": "[127.0.0.1]:1", "{mail_mailer}": "smtp"})
    cases.equal(s.macros["rcpt"][1], {
        "i": qid, "{rcpt_addr}": mail.address(2),
        "{rcpt_host}": mail.DOMAIN, "{rcpt_mailer}": "local"})
    for step in ("data", "eoh", "eom"):
        cases.equal(s.macros[step][0], {"i": qid}, step)
    cases.contains(arrived(word).decode(), "X-Two:  d")


def test_tls_and_login_macros():
    start_over()
    with smtplib.SMTP("localhost", PORT["tls"], timeout=cases.WAIT_S) as s:
        s.starttls(context=mail.tls())
        s.login(mail.user(1), mail.env("PASS1"))
        cases.equal(s.mail(mail.address(1))[0], 250)
    m = A.last().macros
    # In clear there was nothing to say.
    cases.equal(len(m["helo"]), 1)
    cases.matches(m["helo"][0]["{tls_version}"], r"^TLSv1\.[23]$")
    assert m["helo"][0]["{cipher}"]
    cases.matches(m["helo"][0]["{cipher_bits}"], r"^(128|256)$")
    cases.equal(m["mail"][0]["{auth_authen}"], mail.user(1))
    assert m["mail"][0]["{auth_type}"] in ("PLAIN", "LOGIN")


def test_xclient_is_another_client():
    start_over()
    with more_smtpds.session(PORT["xclient"]) as s:
        code, text = s.docmd("XCLIENT", "NAME=far.test ADDR=192.0.2.7 "
                             "PORT=1234 DESTADDR=192.0.2.9 DESTPORT=25")
        cases.equal(code, 220, text)
        s.ehlo("far.test")
        s.mail("a@elsewhere.test")
    cases.equal(A.last().of("connect"), [b"far.test\0004\x04\xd2192.0.2.7\0"])
    m = A.last().macros["connect"][0]
    cases.contains(m["_"], "[192.0.2.7]")
    cases.equal(m["{daemon_addr}"], "192.0.2.9")


def test_a_filter_chooses_its_macros():
    start_over()
    A.lists = ((0, "{client_addr}"), (2, "{mail_addr}"), (5, "j"))
    delivered()
    m = A.last().macros
    cases.equal(m["connect"][0], {"{client_addr}": "127.0.0.1"})
    cases.equal(m["mail"][0], {"{mail_addr}": "a@elsewhere.test"})
    cases.equal(m["eom"][0], {"j": mail.DOMAIN})


def test_steps_that_are_not_wanted():
    start_over()
    A.protocol = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x20 | 0x40 | 0x100 | 0x200
    delivered()
    cases.equal(A.last().names()[0], "eom")


def test_no_replies():
    start_over()
    A.protocol = 0x80 | 0xff000 | 0x400
    A.edits = [mp.add_header("X-Seen", "yes")]
    cases.contains(delivered(), b"X-Seen: yes\r\n")
    cases.equal(set(A.last().names()), {
        "connect", "helo", "mail", "rcpt", "data", "header", "eoh", "body",
        "eom"} | set(A.last().names()[-1:]))


def test_leading_space():
    start_over()
    A.protocol = 0x100000
    A.edits = [mp.add_header("X-Raw", "\tvalue")]
    cases.contains(delivered(), b"X-Raw:\tvalue\r\n")
    cases.equal(A.last().headers()[1], ("To", " you@x.test"))


def test_old_protocol_and_skip():
    start_over()
    A.version = 2
    delivered()
    cases.equal([n for n in A.last().names() if n in ("data", "unknown")], [])
    start_over()
    A.protocol = 0x400
    A.answers["header"] = A.answers["body"] = mp.SKIP
    delivered(data=None)
    names = A.last().names()
    cases.equal((names.count("header"), names.count("body")), (1, 1))
    assert "eom" in names


def test_refused_recipients_only_when_wanted():
    start_over()
    send(to=["nobody-here@" + mail.DOMAIN])
    cases.equal(A.last().of("rcpt"), [])
    start_over()
    A.protocol = 0x800
    send(to=["nobody-here@" + mail.DOMAIN])
    cases.equal(len(A.last().of("rcpt")), 1)
    m = A.last().macros["rcpt"][0]
    cases.equal((m["{rcpt_mailer}"], m["{rcpt_host}"]), ("error", "5.1.1"))


def test_unknown_command():
    start_over()
    with more_smtpds.session(PORT["one"]) as s:
        cases.equal(s.docmd("FLY", "me")[0], 500)
        s.mail("a@elsewhere.test")
        s.rcpt(mail.address(1))
        cases.equal(A.last().of("unknown"), [b"FLY me\0"])
        cases.equal(s.docmd("SWIM")[0], 500)
        s.rcpt(mail.address(2))
        cases.equal(A.last().of("unknown"), [b"FLY me\0", b"SWIM\0"])
        cases.equal(s.data(message(ss.token()))[0], 250)
    cases.equal(len(A.last().of("unknown")), 2)


def test_abort_and_quit():
    start_over()
    with more_smtpds.session(PORT["one"]) as s:
        s.mail("a@elsewhere.test")
        s.rset()
        s.mail("b@elsewhere.test")
    cases.wait_for("quit", lambda: A.last().of("quit"))
    cases.equal(A.last().names(), ["connect", "helo", "mail", "abort",
                                   "mail", "abort", "quit"])


def test_many_messages_on_one_connection():
    start_over()
    before = len(A.sessions)
    with more_smtpds.session(PORT["one"]) as s:
        for _ in range(3):
            s.sendmail("a@elsewhere.test", mail.address(1),
                       message(ss.token()))
    cases.equal(len(A.sessions), before + 1)
    cases.equal(A.last().names().count("eom"), 3)


# ---- answers ----

STEPS = ("mail", "rcpt", "data", "header", "eoh", "body", "eom")
WHERE = {"mail": "MAIL", "rcpt": "RCPT", "data": "DATA"}


def test_refusals_at_every_step():
    for step in STEPS:
        for answer, code, want in (
                (mp.REJECT, 550, "5.7.1 Command rejected"),
                (mp.TEMPFAIL, 451,
                 "4.7.1 Service unavailable - try again later"),
                (mp.reply("554 5.7.0 100%% no " + step), 554,
                 "5.7.0 100% no " + step)):
            start_over()
            A.answers[step] = answer
            since = len(ss.log())
            got, text = send()
            cases.equal((got, text), (code, want), step)
            said = want if step not in WHERE else "%d %s" % (code, want)
            to = "" if step == "mail" else " to=<%s>" % mail.address(1)
            ss.logged(r"one/smtpd\[\d+\]: (NOQUEUE|[0-9A-F]+): milter-reject:"
                      r" %s from localhost\[127.0.0.1\]: %s; "
                      r"from=<a@elsewhere.test>%s proto=ESMTP "
                      r"helo=<client.test>$" % (
                          WHERE.get(step, "END-OF-MESSAGE"), re.escape(said),
                          to), since)


def test_refusals_at_connect_and_helo():
    start_over()
    A.answers["connect"] = mp.REJECT
    with ss_line("one") as line:
        cases.equal(line.greeting, "554 %s ESMTP not accepting connections" %
                    mail.DOMAIN)
    A.answers["connect"] = mp.SHUTDOWN
    with ss_line("one") as line:
        cases.equal(line.greeting, "421 %s Service unavailable - try again "
                    "later" % mail.DOMAIN)
    A.answers["connect"] = mp.TEMPFAIL
    with ss_line("one") as line:
        cases.matches(line.greeting, "^220 ")
        cases.equal(line.say("EHLO x"), "451 4.7.1 Service unavailable - "
                    "try again later")
    start_over()
    A.answers["helo"] = mp.reply("550 5.7.1 bad name")
    with ss_line("one") as line:
        cases.equal(line.say("EHLO x"), "550 5.7.1 bad name")
        cases.equal(line.say("MAIL FROM:<a@b.test>"), "550 5.7.1 bad name")


class ss_line:
    """A plain session by hand on one of our ports."""

    def __init__(self, port):
        os.environ["MILTER_TEST_PORT"] = str(PORT[port])

    def __enter__(self):
        self.line = ss.Line("milter_test")
        self.line.greeting = self.line.reply()
        return self.line

    def __exit__(self, *_):
        self.line.close()


def test_shutdown_ends_the_session():
    start_over()
    A.answers["mail"] = mp.SHUTDOWN
    with ss_line("one") as line:
        line.say("EHLO x")
        cases.equal(line.say("MAIL FROM:<a@b.test>"),
                    "421 4.7.0 Server closing connection")
        cases.equal(line.reply(), "")


def test_reply_of_several_lines():
    start_over()
    A.answers["eom"] = mp.reply("550-5.7.1 one\r\n550 5.7.1 two")
    with ss_line("one") as line:
        line.say("EHLO x")
        line.say("MAIL FROM:<a@b.test>")
        line.say("RCPT TO:<%s>" % mail.address(1))
        line.say("DATA")
        cases.equal(line.say("Subject: x\r\n\r\nx\r\n."),
                    "550-5.7.1 one\n550 5.7.1 two")


def test_a_refused_recipient_is_one():
    start_over()
    A.answers["rcpt"] = lambda s: mp.REJECT if b"boris" in s.of("rcpt")[-1] \
        else mp.CONTINUE
    with more_smtpds.session(PORT["one"]) as s:
        s.mail("a@elsewhere.test")
        cases.equal(s.rcpt(mail.address(2))[0], 550)
        cases.equal(s.rcpt(mail.address(1))[0], 250)
        word = ss.token()
        cases.equal(s.data(message(word))[0], 250)
    arrived(word)
    cases.equal(ss.with_token(ss.MAILBOXES[1], word), [])


def test_accept_at_every_step():
    for step in ("connect", "helo") + STEPS:
        start_over()
        A.answers[step] = mp.ACCEPT
        delivered()
        cases.equal([n for n in A.last().names()
                     if n not in ("abort", "quit")][-1], step)


def test_discard():
    for step in STEPS:
        start_over()
        A.answers[step] = mp.DISCARD
        word, since = ss.token(), len(ss.log())
        code, text = send(word=word)
        cases.equal(code, 250)
        cases.contains(text, "Ok: queued as ")
        ss.logged(r"milter-discard: %s from localhost\[127.0.0.1\]: milter "
                  r"triggers DISCARD action; from=<a@elsewhere.test>" %
                  WHERE.get(step, "END-OF-MESSAGE"), since)
        delivered("unix")  # what was lost would have come before this
        cases.equal(ss.with_token(ss.MAILBOXES[0], word), [])
    start_over()
    A.answers["helo"] = mp.DISCARD
    delivered()
    ss.logged("DISCARD action is not allowed for connect or helo")


def test_quarantine():
    start_over()
    A.edits = [mp.quarantine("looks odd"), mp.add_header("X-Odd", "1")]
    word, since = ss.token(), len(ss.log())
    code, text = send(word=word)
    cases.equal(code, 250, text)
    qid = text.rsplit(" ", 1)[1]
    ss.logged(qid + r": milter-hold: END-OF-MESSAGE from localhost"
              r"\[127.0.0.1\]: looks odd; from=<a@elsewhere.test> to=<",
              since)
    cases.wait_for("hold", lambda: qid in held())
    cases.run(["postsuper", "-H", qid])
    cases.contains(arrived(word), b"X-Odd: 1\r\n")


# ---- modifications ----

def header(raw):
    return raw.split(b"\r\n\r\n")[0] + b"\r\n" if b"\r\n\r\n" in raw else \
        raw.split(b"\n\n")[0].replace(b"\n", b"\r\n") + b"\r\n"


def names(raw):
    return [line.split(b":")[0].decode() for line in
            header(raw).split(b"\r\n")
            if line and line[:1] not in b" \t"]


def test_very_many_fields():
    start_over()
    for n, want in ((9000, 250), (11000, 552)):
        since = len(ss.log())
        code, text = send(data=message(ss.token(), more=b"a:\r\n" * n))
        cases.equal(code, want, text)
    cases.equal(text, "5.3.4 Error: too many header fields")
    ss.logged(r"one/smtpd\[\d+\]: [0-9A-F]+: reject: END-OF-MESSAGE from "
              r"localhost\[127.0.0.1\]: 552 5.3.4 Error: too many header "
              r"fields; from=<a@elsewhere.test>", since)
    cases.equal(A.last().of("eom"), [])


def test_add_header():
    start_over()
    A.edits = [mp.add_header("X-New", "one"),
               mp.add_header("X-Fold", "two\n\tthree\nfour\n\n five")]
    raw = header(delivered())
    assert raw.endswith(b"X-New: one\r\nX-Fold: two\r\n\tthree\r\n\tfour\r\n"
                        b" five\r\n"), raw


def test_insert_header():
    start_over()
    A.edits = [mp.insert_header(0, "X-Top", "t"),
               mp.insert_header(2, "X-Below", "b"),
               mp.insert_header(100, "X-Last", "l")]
    got = names(delivered())
    at = got.index("X-Top")
    cases.equal(got[at:at + 4], ["X-Top", "Received", "X-Below", "From"])
    cases.equal(got[-1], "X-Last")


def test_change_and_delete_header():
    start_over()
    more = b"X-A: 1\r\nX-B: 1\r\nX-A: 2\r\nX-A: 3\r\nX-C: 1\r\n"
    A.edits = [mp.change_header(2, "x-a", "changed"),
               mp.change_header(1, "X-B", ""),
               mp.change_header(1, "X-None", "added"),
               mp.change_header(7, "X-C", ""),
               # Our own is not to be seen, and this one is not there.
               mp.change_header(1, "Received", "mine")]
    word = ss.token()
    cases.equal(send(data=message(word, more=more))[0], 250)
    raw = header(arrived(word))
    assert raw.endswith(b"X-A: 1\r\nx-a: changed\r\nX-A: 3\r\nX-C: 1\r\n"
                        b"X-None: added\r\nReceived: mine\r\n"), raw


def test_replace_body():
    start_over()
    A.edits = [mp.replace_body(b"new\r\nbo"), mp.replace_body(b"dy\nend"),
               mp.add_header("X-After", "1")]
    raw = delivered()
    assert raw.replace(b"\r\n", b"\n").endswith(
        b"X-After: 1\n\nnew\nbody\nend\n"), raw


def test_big_bodies_both_ways():
    start_over()
    line = b"0123456789" * 7 + b"\r\n"
    big = line * 30000  # 2 MB
    A.protocol = 0x80
    word = ss.token()
    cases.equal(send(data=message(word, big))[0], 250)
    cases.equal(A.last().body(), big)
    assert max(len(b) for b in A.last().of("body")) == 65535
    cases.contains(arrived(word).replace(
        b"\r\n", b"\n"), big.replace(b"\r\n", b"\n"))
    new = line[::-1][2:] + b"\r\n"
    A.edits = [mp.replace_body(new * 800) for _ in range(50)]
    raw = delivered().replace(b"\r\n", b"\n")
    cases.contains(raw, (new * 800 * 50).replace(b"\r\n", b"\n"))


def test_a_new_body_has_a_maximum():
    start_over()
    A.edits = [mp.replace_body(b"12345678\r\n" * 6000) for _ in range(4)]
    word = ss.token()
    assert b"12345678" in delivered("small")[-20:]
    A.edits *= 2
    since = len(ss.log())
    cases.equal(send("small", word=word)[0], 451)
    ss.logged("warning: .*: milter inet:.*: its new body is larger than "
              "message_size_limit", since)


def test_add_and_delete_recipients():
    start_over()
    A.edits = [mp.add_rcpt("<%s>" % mail.address(2)),
               mp.add_rcpt("root@" + mail.DOMAIN),
               mp.delete_rcpt("<root@%s>" % mail.DOMAIN),
               mp.delete_rcpt("<%s>" % mail.address(1)),
               mp.delete_rcpt("<not-there@x.test>")]
    word = ss.token()
    cases.equal(send(word=word)[0], 250)
    arrived(word, 2)
    cases.equal(ss.with_token(ss.MAILBOXES[0], word), [])


def test_all_recipients_taken_away():
    start_over()
    A.edits = [mp.delete_rcpt(mail.address(1))]
    word = ss.token()
    cases.equal(send(word=word)[0], 250)
    delivered("unix")
    cases.equal(ss.with_token(ss.MAILBOXES[0], word), [])


def test_recipient_with_parameters():
    start_over()
    A.edits = [mp.add_rcpt("<far@elsewhere.test>",
                           "NOTIFY=NEVER ORCPT=rfc822;orig+40x.test BAD=1")]
    since = len(ss.log())
    code, text = send()
    cases.equal(code, 250, text)
    ss.logged('ignoring bad ESMTP parameter "BAD=1" in a request to add a '
              'recipient', since)
    qid = text.rsplit(" ", 1)[1]
    ss.logged(qid + ": to=<far@elsewhere.test>.*status=deferred", since)
    shown = cases.run(["postcat", "-eq", qid]).stdout
    cases.contains(shown, "orig@x.test")
    cases.run(["postsuper", "-d", qid])


def test_change_sender():
    start_over()
    A.edits = [mp.change_from("<new@elsewhere.test>",
                              "RET=HDRS ENVID=a+2Bb")]
    since = len(ss.log())
    code, text = send(sender="old@elsewhere.test")
    cases.equal(code, 250, text)
    ss.logged(text.rsplit(" ", 1)[1] + ": from=<new@elsewhere.test>, size=",
              since)
    A.edits = [mp.change_from("<>")]
    since = len(ss.log())
    code, text = send(sender="old@elsewhere.test")
    ss.logged(text.rsplit(" ", 1)[1] + ": from=<>, size=", since)


def test_very_many_recipients():
    start_over()
    A.edits = [mp.add_rcpt("r%d@e.test" % i) for i in range(20000)] + \
        [mp.quarantine("many")]
    code, text = send("many")
    cases.equal(code, 250, text)
    qid = text.rsplit(" ", 1)[1]
    shown = cases.run(["postcat", "-eq", qid]).stdout
    cases.equal(len(re.findall(r"^recipient: r\d+@e.test$", shown, re.M)),
                20000)
    cases.run(["postsuper", "-d", qid])
    A.edits = [mp.add_rcpt("r%d@e.test" % i) for i in range(49000)]
    since = len(ss.log())
    cases.equal(send("many"), (451, "4.3.0 Error: queue file write error"))
    ss.logged("recipient <r[0-9]+@e.test> not added: too many recipients",
              since)


def test_very_many_senders():
    start_over()
    A.edits = [mp.change_from("<s%d@e.test>" % i,
                              "ENVID=%d+40%s" % (i, "x" * 900))
               for i in range(3500)] + \
        [mp.change_from("not an address"), mp.quarantine("many")]
    code, text = send("many")
    cases.equal(code, 250, text)
    qid = text.rsplit(" ", 1)[1]
    shown = cases.run(["postcat", "-eq", qid]).stdout
    cases.contains(shown, "sender: s3499@e.test\n")
    cases.contains(shown, "3499@" + "x" * 900 + "\n")
    cases.run(["postsuper", "-d", qid])


def test_milter_header_checks():
    start_over()
    since = len(ss.log())
    A.edits = [mp.add_header("X-Drop", "1"), mp.add_header("X-Keep", "1"),
               mp.insert_header(1, "X-Change", "it"),
               mp.add_header("X-Warn", "1")]
    raw = header(delivered("checks"))
    assert b"X-Drop" not in raw and b"X-Change:" not in raw, raw
    cases.contains(raw, b"\r\nX-Changed: it!\r\nFrom:")
    assert raw.endswith(b"X-Keep: 1\r\nX-Warn: 1\r\n"), raw
    ss.logged(r": milter-header-warning: header X-Warn: 1 from localhost"
              r"\[127.0.0.1\]; from=<a@elsewhere.test> to=<%s> proto=ESMTP "
              r"helo=<client.test>: careful$" % mail.address(1), since)
    # In front of the field, wherever that goes.
    A.edits = [mp.add_header("X-Front", "last"),
               mp.insert_header(1, "X-Front", "first"),
               mp.change_header(1, "X-Front", "again")]
    raw = header(delivered("checks"))
    cases.contains(raw, b"\r\nX-Before: first\r\nX-Before: again\r\n"
                   b"X-Front: again\r\nFrom:")
    assert raw.endswith(b"\r\nX-Before: last\r\nX-Front: last\r\n"), raw
    A.edits = [mp.change_header(1, "X-Bad", "1")]
    cases.equal(send("checks"), (550, "5.7.9 bad header"))
    ss.logged(": milter-header-reject: header X-Bad: 1 from .*: 5.7.9 bad "
              "header$", since)
    A.edits = [mp.add_header("X-Lose", "1")]
    word = ss.token()
    cases.equal(send("checks", word=word)[0], 250)
    A.edits = [mp.add_header("X-Hold", "1")]
    qid = send("checks")[1].rsplit(" ", 1)[1]
    cases.wait_for("hold", lambda: qid in held())
    cases.run(["postsuper", "-d", qid])
    cases.equal(ss.with_token(ss.MAILBOXES[0], word), [])


def test_progress_and_verdict_after_changes():
    start_over()
    A.before = {"eom": [("p", b"")] * 3}
    A.edits = [mp.add_header("X-P", "1")]
    cases.contains(delivered(), b"X-P: 1\r\n")
    A.answers["eom"] = mp.ACCEPT
    cases.contains(delivered(), b"X-P: 1\r\n")


# ---- several filters ----

def test_the_second_sees_what_the_first_has_done():
    start_over()
    A.edits = [mp.add_header("X-First", "1"),
               mp.change_header(1, "To", "me@x.test"),
               mp.replace_body(b"other\r\n")]
    B.edits = [mp.add_header("X-Second", "2")]
    raw = delivered("two")
    cases.contains(raw, b"X-First: 1\r\nX-Second: 2\r\n")
    got = B.last().headers()
    cases.contains(got, ("X-First", "1"))
    cases.contains(got, ("To", "me@x.test"))
    cases.equal(B.last().body(), b"other\r\n")


def test_the_first_refusal_counts():
    start_over()
    A.answers["eom"] = mp.REJECT
    cases.equal(send("two")[0], 550)
    assert "eom" not in B.last().names()
    start_over()
    A.answers["mail"] = mp.ACCEPT
    B.answers["eom"] = mp.REJECT
    cases.equal(send("two")[0], 550)


def test_unix_socket():
    start_over()
    U.edits = [mp.add_header("X-Unix", "1")]
    cases.contains(delivered("unix"), b"X-Unix: 1\r\n")


def test_maps_choose():
    start_over()
    delivered("maps")
    assert B.sessions and not A.sessions
    with open(MAPS, "w") as f:
        f.write("127.0.0.1 DISABLE\n")
    start_over()
    delivered("maps")
    assert not B.sessions and not A.sessions


def test_maps_that_are_broken():
    with open(MAPS, "w") as f:
        f.write("127.0.0.1 inet:nobody-knows\n")
    start_over()
    since = len(ss.log())
    with ss_line("maps") as line:
        cases.equal(line.greeting, "421 %s Service unavailable - try again "
                    "later" % mail.DOMAIN)
        cases.equal(line.reply(), "")
    ss.logged("warning: smtpd_milter_maps: 127.0.0.1: ", since)
    assert not B.sessions and not A.sessions
    since = len(ss.log())
    delivered("broken")
    ss.logged("warning: smtpd_milter_maps: ", since)
    assert A.sessions


# ---- failures ----

def test_default_actions():
    delivered("accept")
    with ss_line("reject") as line:
        cases.equal(line.greeting, "554 %s ESMTP not accepting connections" %
                    mail.DOMAIN)
    cases.equal(send("tempfail"), (451, "4.7.1 Service unavailable - try "
                                   "again later"))
    with ss_line("shutdown") as line:
        cases.equal(line.greeting, "421 %s Service unavailable - try again "
                    "later" % mail.DOMAIN)
    code, text = send("hold")
    cases.equal(code, 250)
    qid = text.rsplit(" ", 1)[1]
    cases.wait_for("hold", lambda: qid in held())
    ss.logged(": milter-hold: MAIL from localhost.*: default_action; from=<")
    cases.run(["postsuper", "-d", qid])
    ss.logged(r"warning: connect to Milter service inet:127.0.0.1:1: "
              r".*Connection refused")


def test_filter_that_goes_away_or_is_silent():
    for step in STEPS:
        for answer, why in ((mp.HANG_UP, "Connection closed"),
                            (mp.SILENCE, "Connection timed out")):
            if answer == mp.SILENCE and step in ("data", "eoh", "body"):
                continue  # time
            start_over()
            A.answers[step] = answer
            since = len(ss.log())
            cases.equal(send(), (451, "4.7.1 Service unavailable - try again "
                                 "later"), step)
            ss.logged("warning: .*milter inet:127.0.0.1:.*: can't read "
                      "SMFIC_[A-Z]+ reply packet header: " + why, since)


def test_filter_that_talks_nonsense():
    for answer in (("Z", b""), ("c", b"extra"), ("y", b"250 ok\0"),
                   ("h", b"A\0b\0"), mp.CONNFAIL):
        start_over()
        A.answers["rcpt"] = answer
        cases.equal(send(), (451, "4.7.1 Service unavailable - try again "
                             "later"))
    for edit in (("h", b"A\0b"), ("i", b"\0"), ("e", b"x"), ("m", b"")):
        start_over()
        A.edits = [edit]
        cases.equal(send()[0], 451)
    start_over()
    A.negotiation = ("O", b"\0\0\0\x63\0\0\0\0\0\0\0\0")
    cases.equal(send()[0], 451)


def test_dying_in_the_middle_of_a_new_body():
    start_over()
    A.edits = [mp.replace_body(b"half")]
    A.answers["eom"] = mp.HANG_UP
    raw = delivered("own", data=None)
    assert b"half" not in raw
    cases.contains(raw, b"Hello")


def test_settings_of_each():
    start_over()
    A.answers["mail"] = mp.SILENCE  # its own: 1 s, accept
    delivered("own")
    cases.equal(A.last().offer[0], 2)
    cases.equal(B.last().offer[0], 6)
    start_over()
    B.answers["mail"] = mp.HANG_UP
    cases.equal(send("own")[0], 550)


def test_client_that_leaves_while_a_filter_thinks():
    start_over()
    A.answers["mail"] = mp.SILENCE
    with ss_line("one") as line:
        line.say("EHLO x")
        line.send(b"MAIL FROM:<a@b.test>\r\n")
        cases.wait_for("the step", lambda: A.last().of("mail"))
    start_over()
    delivered()


def test_client_that_leaves_in_a_big_message():
    """What is kept of it goes to a file, in a thread."""
    start_over()
    for _ in range(5):
        with ss_line("one") as line:
            line.say("EHLO x")
            line.say("MAIL FROM:<a@b.test>")
            line.say("RCPT TO:<%s>" % mail.address(1))
            line.say("DATA")
            line.send(b"Subject: x\r\n\r\n" + b"0123456789\r\n" * 60000)
    delivered()


cases.main(globals())
