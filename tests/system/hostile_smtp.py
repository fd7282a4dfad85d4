#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clients that mean harm to smtpd: rubbish, TLS at the wrong place, huge
arguments, injection into log and header, guessing of passwords, slowness.
After each case an honest client is served."""
# timeout: 240

import base64
import contextlib
import os
import random
import re
import smtplib
import socket
import ssl
import struct
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import smtpd_alone  # noqa: E402

ALICE = "alice@" + smtpd_alone.DOMAIN
AUTH = ("smtpd_sasl_auth_enable=yes", "smtpd_tls_auth_only=no",
        "smtpd_error_sleep_time=0")


@contextlib.contextmanager
def place(*overrides, **conf):
    p = smtpd_alone.Place(**conf)
    try:
        p.daemon = p.smtpd(*overrides)
        yield p
        serve_honest(p, "smtpd_tls_wrappermode=yes" in overrides)
        for d in p.daemons:
            cases.equal(d.process.poll(), None, "smtpd died")
    finally:
        p.close()


def context(p):
    return ssl.create_default_context(cafile=os.path.join(p.tls, "ca.pem"))


def serve_honest(p, tls):
    begun = time.monotonic()
    if tls:
        s = smtplib.SMTP_SSL("localhost", p.daemon.port,
                             timeout=cases.WAIT_S, context=context(p))
    else:
        s = smtplib.SMTP("127.0.0.1", p.daemon.port, timeout=cases.WAIT_S)
    with s:
        s.sendmail("honest@b.test", [ALICE], "Subject: honest\r\n\r\n")
    assert time.monotonic() - begun < 5


def connect(p):
    s = socket.create_connection(("127.0.0.1", p.daemon.port), cases.WAIT_S)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def drain(s):
    """All that comes until the end."""
    got = b""
    try:
        while True:
            more = s.recv(65536)
            if not more:
                return got
            got += more
    except (ConnectionResetError, ssl.SSLError, TimeoutError):
        return got


def pour(s, data):
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        s.sendall(data)


def reset(s):
    """Ends a connection by RST."""
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                 struct.pack("ii", 1, 0))
    s.close()


class Talk:
    def __init__(self, p):
        self.sock = connect(p)
        self.file = self.sock.makefile("rb")
        self.reply()

    def reply(self):
        while True:
            line = self.file.readline(100000)
            if line[3:4] != b"-":
                return line.decode("latin-1").rstrip("\r\n")

    def say(self, data):
        if isinstance(data, str):
            data = data.encode("latin-1")
        pour(self.sock, data + b"\r\n")
        return self.reply()

    def close(self):
        self.file.close()
        self.sock.close()


def test_rubbish():
    random.seed(5)
    words = [b"EHLO x\r\n", b"MAIL FROM:<>\r\n", b"DATA\r\n", b".\r\n",
             b"RCPT TO:<alice>\r\n", b"AUTH PLAIN\r\n", b"RSET\r\n",
             b"STARTTLS\r\n", b"\r\n", b"\n", b"\0", b"BDAT 5\r\n", b"*\r\n"]
    with place(*AUTH) as p:
        for n in range(200):
            s = connect(p)
            data = b"".join(
                random.choice(words) if random.random() < 0.7 else
                random.randbytes(random.randrange(1, 50))
                for _ in range(random.randrange(1, 60)))
            pour(s, data)
            if n % 3 == 0:
                reset(s)
            else:
                with contextlib.suppress(OSError):
                    s.shutdown(socket.SHUT_WR)
                drain(s)
                s.close()


def test_plain_text_on_the_tls_port():
    with place("smtpd_tls_wrappermode=yes") as p:
        s = connect(p)
        pour(s, b"EHLO x\r\nMAIL FROM:<>\r\n")
        got = drain(s)
        assert b"220" not in got and b"250" not in got, got
        s.close()
        for _ in range(50):
            s = connect(p)
            pour(s, b"\x16\x03\x01" + os.urandom(200))
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_WR)
            drain(s)
            s.close()


def test_tls_where_plain_text_is_expected():
    with place() as p:
        s = connect(p)
        hello = b"\x16\x03\x01\x00\xf4\x01\x00\x00\xf0\x03\x03" + bytes(240)
        pour(s, hello + b"\n" * 30)
        with contextlib.suppress(OSError):
            s.shutdown(socket.SHUT_WR)
        drain(s)
        s.close()


def test_cut_in_the_handshake_and_in_data():
    with place() as p:
        for _ in range(20):
            t = Talk(p)
            t.say("EHLO x")
            cases.equal(t.say("STARTTLS")[:4], "220 ")
            pour(t.sock, b"\x16\x03\x01\x02\x00\x01")
            t.file.close()
            reset(t.sock)
        for ending in ("reset", "shutdown", "close"):
            s = smtplib.SMTP("localhost", p.daemon.port)
            s.starttls(context=context(p))
            s.ehlo()
            s.mail("a@b.test")
            cases.equal(s.rcpt(ALICE)[0], 250)
            cases.equal(s.docmd("DATA")[0], 354)
            s.send("Subject: half a message\r\n\r\nand then\r\n")
            if ending == "reset":
                reset(s.sock)
            elif ending == "shutdown":
                with contextlib.suppress(OSError):
                    s.sock.unwrap()
            s.close()
        cases.equal(p.queued(), [])


def test_handshake_has_a_time_limit():
    with place("smtpd_starttls_timeout=1s") as p:
        t = Talk(p)
        t.say("EHLO x")
        t.say("STARTTLS")
        begun = time.monotonic()
        cases.equal(drain(t.sock), b"")
        assert time.monotonic() - begun < 20
        t.close()


def test_huge_arguments():
    with place(*AUTH) as p:
        for line in (b"EHLO " + b"x" * 5000, b"HELO " + b"(" * 8000,
                     b"MAIL FROM:<" + b"a" * 3000 + b"@b.test>",
                     b"MAIL FROM:<" + b'"' + b"\\" * 7000 + b'">',
                     b"MAIL FROM:<a@b.test> " + b"X=1 " * 1900,
                     b"MAIL FROM:<a@b.test> SIZE=" + b"9" * 4000,
                     b"MAIL FROM:<" + b"@a," * 2500 + b"a@b.test>",
                     b"RCPT TO:<" + b"(" * 8000 + b">",
                     b"VRFY " + b"%s%n" * 1500,
                     b"AUTH PLAIN " + b"A" * 12000,
                     b"AUTH " + b"X" * 8000,
                     b"NOOP " + b"\xff" * 8000):
            t = Talk(p)
            t.say("EHLO x")
            reply = t.say(line)
            cases.matches(reply, r"^[245]\d\d ", repr(line[:40]))
            assert len(reply) < 2000, len(reply)
            cases.equal(t.say("NOOP"), "250 2.0.0 Ok")
            t.close()


def test_nothing_is_injected_into_log_or_header():
    with place() as p:
        evil = "x\x1b[31m\x07%s%n\x7f\x80fake\x0b"
        t = Talk(p)
        t.say("EHLO " + evil)
        t.say("MAIL FROM:<\"%s\"@b.test>" % evil)
        t.say("MAIL FROM:<a@b.test>")
        t.say("RCPT TO:<\"%s\"@elsewhere.test>" % evil)
        cases.equal(t.say("RCPT TO:<%s>" % ALICE)[:4], "250 ")
        t.say("DATA")
        cases.equal(t.say("Message-Id: <%s>\r\n\r\n." % evil)[:4], "250 ")
        t.say(evil)
        t.close()
        cases.wait_for("the log", lambda: "disconnect from" in p.log_text())
        for c in p.log_text():
            assert c == "\n" or " " <= c <= "~" or c > "\xa0", \
                "byte %r is in the log" % c
        with open(p.queued()[0], "rb") as f:
            text = f.read()
        received = text[text.index(b"Received: "):text.index(b"Message-Id")]
        assert not re.search(rb"[^\r\n\t -~]", received), received


def test_guessing_of_passwords():
    with place(*AUTH) as p:
        t = Talk(p)
        t.say("EHLO x")
        replies = []
        for _ in range(60):
            replies.append(t.say("AUTH PLAIN AGFsaWNlAHdyb25n"))
            if not replies[-1] or replies[-1].startswith("421"):
                break
        assert len(replies) <= 21, "it may guess for ever"
        cases.equal({r[:10] for r in replies[:-1]}, {"535 5.7.8 "})
        t.close()
        # A name that exists and one that does not are told nothing apart.
        said = set()
        for user in (b"alice", b"nobody"):
            t = Talk(p)
            t.say("EHLO x")
            said.add(t.say(b"AUTH PLAIN " + base64.b64encode(
                b"\0" + user + b"\0wrong")))
            t.close()
        cases.equal(len(said), 1)


def test_identity_with_a_nul():
    with place(*AUTH) as p:
        password = p.users.passwords["alice"].encode()
        for response in (b"\0alice\0" + password + b"\0",
                         b"\0alice\0x\0" + password,
                         b"alice\0" + password, b"\0\0" + password,
                         b"\0alice\0"):
            t = Talk(p)
            t.say("EHLO x")
            reply = t.say(b"AUTH PLAIN " + base64.b64encode(response))
            cases.equal(reply[:1], "5", repr(response))
            t.close()


def test_slow_clients_do_not_keep_others_waiting():
    with place("smtpd_client_connection_count_limit=0") as p:
        socks = [connect(p) for _ in range(800)]
        for _ in range(5):
            for s in socks:
                pour(s, b"E")
        begun = time.monotonic()
        serve_honest(p, False)
        assert time.monotonic() - begun < 5
        for s in socks:
            s.close()


cases.main(globals())
