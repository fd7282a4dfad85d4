#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The extensions that IMAP offers, each as its RFC says it."""
# instance:
# timeout: 240

import os
import re
import socket
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import base64  # noqa: E402
import cases  # noqa: E402
import mail  # noqa: E402


class Talk:
    """Lines out, lines in."""

    def __init__(self, login=True):
        s = socket.create_connection((mail.env("IMAP_HOST"),
                                      int(mail.env("IMAPS_PORT"))),
                                     timeout=cases.WAIT_S)
        self.s = mail.tls().wrap_socket(s, server_hostname="localhost")
        self.f = self.s.makefile("rb")
        self.greeting = self.line()
        if login:
            self.ok('LOGIN "%s" "%s"' % (mail.user(1), mail.env("PASS1")))

    def line(self):
        return self.f.readline().decode()

    def send(self, text):
        self.s.sendall(text if isinstance(text, bytes) else text.encode())

    def command(self, text):
        """All lines up to the tagged one."""
        self.send("t " + text + "\r\n")
        return self.answer()

    def answer(self):
        got = ""
        while True:
            line = self.line()
            assert line, "connection closed after %r" % got
            got += line
            if line.startswith("t "):
                return got

    def ok(self, text):
        got = self.command(text)
        cases.matches(got, r"^t OK", text)
        return got

    def append(self, box, text):
        return self.ok("APPEND %s {%d+}\r\n%s" % (box, len(text), text))

    def close(self):
        self.s.close()


def test_capabilities():
    t = Talk(login=False)
    cases.matches(t.greeting, r"^\* OK \[CAPABILITY IMAP4rev1 LITERAL\+ "
                  r"SASL-IR ")
    t.ok('LOGIN "%s" "%s"' % (mail.user(1), mail.env("PASS1")))
    got = t.ok("CAPABILITY")
    for word in ("IDLE", "UIDPLUS", "LITERAL+", "SASL-IR", "NAMESPACE",
                 "UNSELECT", "MOVE", "SPECIAL-USE"):
        cases.contains(got.split(), word)
    t.close()


def test_sasl_ir():
    t = Talk(login=False)
    word = base64.b64encode(("\0%s\0%s" % (
        mail.user(1), mail.env("PASS1"))).encode()).decode()
    t.ok("AUTHENTICATE PLAIN " + word)
    t.close()


def test_literal_plus():
    t = Talk(login=False)
    t.ok("LOGIN {%d+}\r\n%s {%d+}\r\n%s" % (
        len(mail.user(1)), mail.user(1), len(mail.env("PASS1")),
        mail.env("PASS1")))
    t.append("INBOX", "Subject: l\r\n\r\nx\r\n")
    t.close()


def test_namespace_unselect():
    t = Talk()
    cases.matches(t.ok("NAMESPACE"),
                  r'^\* NAMESPACE \(\("" "\."\)\) NIL NIL\r$')
    t.ok("SELECT INBOX")
    t.ok("STORE * +FLAGS (\\Deleted)")
    t.ok("UNSELECT")
    cases.matches(t.command("FETCH 1 FLAGS"), "^t BAD")
    t.ok("SELECT INBOX")
    got = t.ok("SEARCH DELETED")
    assert re.search(r"^\* SEARCH \d", got, re.M), got
    t.ok("CLOSE")
    t.close()


def test_uidplus_and_move():
    t = Talk()
    for box in ("ext", "ext2"):
        t.ok("CREATE " + box)
    validity = cases.matches(t.append("ext", "Subject: 1\r\n\r\nx\r\n"),
                             r"\[APPENDUID (\d+) 1\]").group(1)
    t.append("ext", "Subject: 2\r\n\r\nx\r\n")
    t.append("ext", "Subject: 3\r\n\r\nx\r\n")
    cases.contains(t.ok("SELECT ext"), "[UIDVALIDITY %s]" % validity)
    cases.matches(t.ok("UID COPY 1,3 ext2"),
                  r"^t OK \[COPYUID \d+ 1,3 1:2\]")
    cases.contains(t.command("COPY 1 nowhere"), "t NO [TRYCREATE]")
    got = t.ok("MOVE 2 ext2")
    cases.matches(got, r"^\* OK \[COPYUID \d+ 2 3\][^\n]*\n\* 2 EXPUNGE\r$")
    t.ok("STORE 1:2 +FLAGS.SILENT (\\Deleted)")
    got = t.ok("UID EXPUNGE 3")
    cases.contains(got, "* 2 EXPUNGE")
    assert "* 1 EXPUNGE" not in got
    cases.contains(t.ok("STATUS ext2 (MESSAGES)"), "(MESSAGES 3)")
    t.close()


def test_special_use():
    t = Talk()
    for name in ("Drafts", "Sent", "Junk", "Trash", "Archive", "Other"):
        t.ok("CREATE " + name)
    got = t.ok('LIST "" *')
    for name in ("Drafts", "Sent", "Junk", "Trash", "Archive"):
        cases.matches(got, r'^\* LIST \(\\%s [^)]*\) "\." "%s"' % (name,
                                                                  name))
    got = t.ok('LIST (SPECIAL-USE) "" "*" RETURN (SPECIAL-USE)')
    assert '"Other"' not in got and '"INBOX"' not in got
    cases.contains(got, '"Sent"')
    t.ok("SUBSCRIBE Sent")
    got = t.ok('list (subscribed) "" "*" return (special-use)')
    cases.matches(got, r'^\* LIST \(.*\\Sent.*\\Subscribed\) "\." "Sent"')
    got = t.ok('LIST "" (Sent Oth%) RETURN (STATUS (MESSAGES UNSEEN))')
    cases.contains(got, '* STATUS "Sent" (MESSAGES 0 UNSEEN 0)')
    t.close()


def test_idle():
    idle, other = Talk(), Talk()
    idle.ok("SELECT INBOX")
    count = int(cases.matches(other.ok("SELECT INBOX"),
                              r"^\* (\d+) EXISTS").group(1))
    idle.send("t IDLE\r\n")
    cases.matches(idle.line(), r"^\+ ")
    other.append("INBOX", "Subject: i\r\n\r\nx\r\n")
    cases.equal(idle.line(), "* %d EXISTS\r\n" % (count + 1))
    cases.matches(idle.line(), r"^\* \d+ RECENT")
    other.ok("STORE %d +FLAGS (\\Deleted)" % (count + 1))
    cases.matches(idle.line(), r"^\* %d FETCH \(.*\\Deleted" % (count + 1))
    other.ok("EXPUNGE")
    cases.equal(idle.line(), "* %d EXPUNGE\r\n" % (count + 1))
    mail.send(mail.text("while idle"))
    cases.equal(idle.line(), "* %d EXISTS\r\n" % (count + 1))
    idle.line()
    idle.send("DONE\r\n")
    cases.matches(idle.answer(), "^t OK")
    idle.send("t IDLE\r\n")
    idle.line()
    idle.send("nonsense\r\n")
    cases.matches(idle.answer(), "^t BAD")
    idle.close()
    other.close()


if __name__ == "__main__":
    cases.main(globals())
