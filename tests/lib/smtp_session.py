# SPDX-License-Identifier: GPL-3.0-or-later
"""Sending and finding mail in an instance: sessions of Python's smtplib, the
messages in a Maildir, the lines of the log."""

import os
import re
import secrets
import smtplib
import socket
import ssl

import cases

DOMAIN = os.environ.get("MAIL_DOMAIN", "")
USERS = [os.environ.get("USER1", ""), os.environ.get("USER2", "")]
MAILBOXES = [os.environ.get("MAILBOX1", ""), os.environ.get("MAILBOX2", "")]
ADDRESSES = ["%s@%s" % (u, DOMAIN) for u in USERS]
STRANGER = "127.0.0.2"  # an address of this host outside mynetworks


def port(name):
    return int(os.environ[name.upper() + "_PORT"])


def tls_context():
    return ssl.create_default_context(cafile=os.environ["CA_FILE"])


def smtp(service="smtp", source=None):
    """A session, not yet greeted with EHLO."""
    where = ("127.0.0.1" if source else os.environ["SMTP_HOST"],
             port(service))
    if service == "submissions":
        return smtplib.SMTP_SSL(*where, timeout=cases.WAIT_S,
                                local_hostname="client.test",
                                context=tls_context())
    return smtplib.SMTP(*where, timeout=cases.WAIT_S,
                        local_hostname="client.test",
                        source_address=(source, 0) if source else None)


def plain_socket(service="smtp", source="127.0.0.1"):
    s = socket.create_connection(("127.0.0.1", port(service)), cases.WAIT_S,
                                 (source, 0))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


class Line:
    """A plain session by hand: say() returns the reply's lines joined."""

    def __init__(self, service="smtp", source="127.0.0.1"):
        self.sock = plain_socket(service, source)
        self.file = self.sock.makefile("rb")

    def reply(self):
        """One reply, all lines; "" at the end of the connection."""
        lines = []
        while True:
            try:
                line = self.file.readline(100000)
            except ConnectionResetError:
                line = b""
            lines.append(line.decode("latin-1").rstrip("\r\n"))
            if not line or line[3:4] != b"-":
                return "\n".join(lines)

    def say(self, text):
        self.send(text.encode("latin-1") + b"\r\n")
        return self.reply()

    def send(self, data):
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass

    def close(self):
        self.file.close()
        self.sock.close()


def token():
    """A word that is in no other mail."""
    return "t" + secrets.token_hex(8)


def maildir(path):
    """File name -> content of all messages in a Maildir."""
    found = {}
    for part in ("new", "cur"):
        folder = os.path.join(path, part)
        for name in os.listdir(folder):
            try:
                with open(os.path.join(folder, name), "rb") as f:
                    found[name] = f.read()
            except FileNotFoundError:
                pass  # moved to cur meanwhile
    return found


def with_token(path, word):
    return [m for m in maildir(path).values() if word.encode() in m]


def delivered(path, word):
    """Waits for the message with the word; its bytes."""
    return cases.wait_for("the mail with %s" % word,
                          lambda: with_token(path, word))[0]


def log():
    with open(os.environ["MAIL_LOG"], errors="replace") as f:
        return f.read()


def logged(pattern, since=0):
    """Waits for a log line; the match."""
    return cases.wait_for(
        "a log line like %s" % pattern,
        lambda: re.search(pattern, log()[since:], re.M))
