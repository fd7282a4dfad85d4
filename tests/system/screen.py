#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""smtpd_screen: clients are tested before they are greeted, with postscreen's
parameters, replies and log lines."""
# timeout: 240

import contextlib
import os
import re
import socket
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import dns_server  # noqa: E402
import ipc  # noqa: E402
import smtpd_alone  # noqa: E402

ALICE = "alice@" + smtpd_alone.DOMAIN
ZONE = """
9.0.0.127.bl.test A 127.0.0.2
9.0.0.127.heavy.test A 127.0.0.10
8.0.0.127.bl.test A 127.0.0.2
7.0.0.127.white.test A 127.0.1.3
7.0.0.127.bl.test NXDOMAIN
"""


@contextlib.contextmanager
def place(access=None, **conf):
    dns = dns_server.Server(ZONE.strip().splitlines()).start()
    settings = dict(smtpd_screen="yes", postscreen_greet_wait="1s",
                    resolver_forward="127.0.0.1@%d" % dns.port,
                    resolver_trust_anchor="")
    settings.update(conf)
    p = smtpd_alone.Place(**settings)
    try:
        p.resolver = ipc.Daemon("resolver", p.house)
        more = []
        if access:
            path = p.house.path("conf/access.cidr")
            with open(path, "w") as f:
                f.write(access)
            os.chmod(path, 0o644)
            more = ["postscreen_access_list=permit_mynetworks, cidr:" + path]
        p.daemon = p.smtpd(*more)
        yield p
        cases.equal(p.daemon.process.poll(), None, "smtpd died")
    finally:
        p.resolver.close()
        p.close()
        dns.stop()


class Client:
    def __init__(self, p, source):
        self.sock = socket.create_connection(
            ("127.0.0.1", p.daemon.port), cases.WAIT_S, (source, 0))
        self.begun = time.monotonic()
        self.file = self.sock.makefile("rb")
        self.name = r"\[%s\]:%d" % (re.escape(source),
                                    self.sock.getsockname()[1])

    def line(self):
        try:
            return self.file.readline().decode().rstrip("\r\n")
        except ConnectionResetError:
            return ""

    def reply(self):
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return lines

    def send(self, text):
        self.sock.sendall(text.encode())

    def say(self, text):
        self.send(text + "\r\n")
        return self.reply()[-1]

    def close(self):
        self.file.close()
        self.sock.close()


def logged(p, *patterns):
    for pattern in patterns:
        cases.wait_for("a line like %s" % pattern, lambda: re.search(
            r"postfix/postscreen\[\d+\]: " + pattern + "$", p.log_text(),
            re.M))


def greeted(p, source):
    """How long it took, and the lines of the greeting."""
    c = Client(p, source)
    lines = c.reply()
    took = time.monotonic() - c.begun
    c.say("QUIT")
    c.close()
    return took, lines, c.name


BANNER = "%s ESMTP Chappe" % smtpd_alone.DOMAIN


def test_who_waits_passes_and_is_remembered():
    with place() as p:
        took, lines, name = greeted(p, "127.0.0.2")
        assert took >= 0.9, took
        cases.equal(len(lines), 2)
        cases.equal(lines[0], lines[1].replace("220 ", "220-", 1))
        logged(p, r"CONNECT from %s to \[127\.0\.0\.1\]:%d" % (
            name, p.daemon.port), "PASS NEW " + name)
        # Who doesn't wait gets no teaser.
        _, lines, name = greeted(p, "127.0.0.2")
        cases.equal(len(lines), 1)
        logged(p, "PASS OLD " + name)
        # Those of mynetworks don't wait.
        _, lines, name = greeted(p, "127.0.0.1")
        cases.equal(len(lines), 1)
        logged(p, "ALLOWLISTED " + name)
        assert "DISCONNECT" not in p.log_text()


def test_remembered_over_a_restart():
    with place() as p:
        greeted(p, "127.0.0.2")
        p.daemon.control.send("MSG_LEAVE")
        cases.equal(p.daemon.process.wait(cases.WAIT_S), 0)
        p.daemon = p.smtpd()
        _, lines, name = greeted(p, "127.0.0.2")
        cases.equal(len(lines), 1)
        logged(p, "PASS OLD " + name)


def test_pregreet_is_ignored_dropped_or_refused():
    for action in ("ignore", "drop", "enforce"):
        with place(postscreen_greet_action=action,
                   postscreen_greet_wait="4s") as p:
            c = Client(p, "127.0.0.2")
            c.line()  # the teaser
            c.send("EHLO spam.test\r\n")
            logged(p, r"PREGREET 16 after [0-3](\.\d\d)? from %s: EHLO spam\.test"
                   r"\\r\\n" % c.name)
            if action == "drop":
                cases.equal(c.line(), "521 5.5.1 Protocol error")
                cases.equal(c.line(), "")
                assert time.monotonic() - c.begun < 3.9
                logged(p, "DISCONNECT " + c.name)
                continue
            cases.equal(c.line()[:4], "220 ")
            while c.line()[3:4] == "-":
                pass
            cases.equal(c.say("MAIL FROM:<s@spam.test>"), "250 2.1.0 Ok")
            answer = c.say("RCPT TO:<%s>" % ALICE)
            if action == "ignore":
                cases.equal(answer, "250 2.1.5 Ok")
            else:
                cases.equal(answer, "550 5.5.1 Protocol error")
                logged(p, r"NOQUEUE: reject: RCPT from %s: 550 5\.5\.1 "
                       r"Protocol error; from=<s@spam\.test>, "
                       r"to=<alice@chappe\.test>, proto=ESMTP, "
                       r"helo=<spam\.test>" % c.name)
            c.say("QUIT")
            c.close()
            # It has not passed: it has to wait again.
            assert greeted(p, "127.0.0.2")[0] >= 3.9
            text = p.log_text()
            assert "PASS NEW " + c.name not in text
            cases.equal(text.count("DISCONNECT"), action == "enforce")


def test_hangup():
    with place() as p:
        c = Client(p, "127.0.0.2")
        c.line()
        c.close()
        logged(p, r"HANGUP after [01](\.\d\d)? from %s in tests before SMTP "
               r"handshake" % c.name, "DISCONNECT " + c.name)


LISTS = dict(postscreen_dnsbl_sites="bl.test=127.0.0.2*2 heavy.test*3 "
             "white.test=127.0.[0..1].[2..5]*-4",
             postscreen_dnsbl_threshold="3",
             postscreen_dnsbl_reply_map="inline:{{heavy.test = some list}}")


def test_weighted_lists():
    for action in ("ignore", "drop", "enforce"):
        with place(postscreen_dnsbl_action=action, **LISTS) as p:
            c = Client(p, "127.0.0.9")
            c.line()
            reply = "Service unavailable; client [127.0.0.9] blocked " \
                "using some list"
            if action == "drop":
                cases.equal(c.line(), "521 5.7.1 " + reply)
                cases.equal(c.line(), "")
            else:
                cases.equal(c.line()[:4], "220 ")
                c.say("HELO spam.test")
                c.say("MAIL FROM:<s@spam.test>")
                cases.equal(c.say("RCPT TO:<%s>" % ALICE),
                            "250 2.1.5 Ok" if action == "ignore" else
                            "550 5.7.1 " + reply)
                c.say("QUIT")
            logged(p, "DNSBL rank 5 for " + c.name)
            if action == "enforce":
                logged(p, r"NOQUEUE: reject: RCPT from %s: 550 5\.7\.1 %s; "
                       r"from=<s@spam\.test>, to=<alice@chappe\.test>, "
                       r"proto=SMTP, helo=<spam\.test>" % (
                           c.name, re.escape(reply)))
            if action != "ignore":
                logged(p, "DISCONNECT " + c.name)
            c.close()
            # Not heavy enough.
            name = greeted(p, "127.0.0.8")[2]
            logged(p, "PASS NEW " + name)


def test_a_good_name_saves_the_wait():
    with place(postscreen_dnsbl_allowlist_threshold="-2",
               postscreen_greet_wait="20s", **LISTS) as p:
        took, _, name = greeted(p, "127.0.0.7")
        assert took < 15, took
        logged(p, "PASS NEW " + name)


def test_access_list():
    for action, first in (("drop", "521 5.3.2 Service currently unavailable"),
                          ("enforce", "220-")):
        with place(access="127.0.0.4 permit\n127.0.0.0/24 reject\n",
                   postscreen_denylist_action=action) as p:
            cases.equal(len(greeted(p, "127.0.0.4")[1]), 1)
            c = Client(p, "127.0.0.5")
            line = c.line()
            cases.equal(line[:len(first)], first)
            logged(p, "DENYLISTED " + c.name)
            if action == "enforce":
                c.line()
                c.say("HELO x")
                c.say("MAIL FROM:<>")
                cases.equal(c.say("RCPT TO:<%s>" % ALICE),
                            "550 5.3.2 Service currently unavailable")
            c.close()
            logged(p, "DISCONNECT " + c.name)


def test_many_wait_together():
    # The process waits for none of them.
    with place(smtpd_client_connection_count_limit="0",
               postscreen_greet_wait="4s") as p:
        clients = [Client(p, "127.0.2.%d" % (i % 200 + 1))
                   for i in range(300)]
        begun = time.monotonic()
        took = greeted(p, "127.0.0.1")[0]
        assert took < 3.9, took
        for c in clients:
            cases.equal(c.reply()[-1][:4], "220 ")
        assert time.monotonic() - begun < 60  # not 300 times 4 s
        for c in clients:
            c.close()


cases.main(globals())
