# SPDX-License-Identifier: GPL-3.0-or-later
"""Talking to the instance: sending, reading, its log, and a fake next hop."""

import base64
import email.message
import glob
import imaplib
import os
import re
import shutil
import smtplib
import socket
import socketserver
import ssl
import subprocess
import threading

import cases

HOST = os.environ.get("SMTP_HOST", "localhost")
DOMAIN = os.environ.get("MAIL_DOMAIN", "")


def env(name):
    return os.environ[name]


def user(n):
    return env("USER%d" % n)


def address(n):
    return "%s@%s" % (user(n), DOMAIN)


def tls():
    return ssl.create_default_context(cafile=env("CA_FILE"))


# ---- sending ----

def smtp(port="SMTP_PORT"):
    return smtplib.SMTP(HOST, int(env(port)), timeout=cases.WAIT_S)


def submission(n=1, port="SUBMISSION_PORT"):
    s = smtp(port)
    s.starttls(context=tls())
    s.login(user(n), env("PASS%d" % n))
    return s


def text(subject, body="Hello.\n", to=None, sender=None, **more):
    m = email.message.EmailMessage()
    m["From"] = sender or "sender@elsewhere.test"
    m["To"] = to or address(1)
    m["Subject"] = subject
    for name, value in more.items():
        m[name.replace("_", "-")] = value
    m.set_content(body)
    return m


def send(message, to=None, sender=None):
    """By SMTP; returns the queue id."""
    to = [to] if isinstance(to, str) else to
    with smtp() as s:
        s.ehlo()
        s.mail(sender if sender is not None else "sender@elsewhere.test")
        for one in to or [address(1)]:
            code, reply = s.rcpt(one)
            if code != 250:
                raise smtplib.SMTPRecipientsRefused({one: (code, reply)})
        data = message if isinstance(message, bytes) else message.as_bytes(
            policy=message.policy.clone(linesep="\r\n"))
        code, reply = s.data(data)
        cases.equal(code, 250, "reply to DATA: %r" % reply)
        return reply.decode().rsplit(" ", 1)[1]


# ---- reading ----

def imap(n=1, port="IMAPS_PORT"):
    """Logged in, INBOX selected."""
    c = imaplib.IMAP4_SSL(env("IMAP_HOST"), int(env(port)),
                          ssl_context=tls(), timeout=cases.WAIT_S)
    c.login(user(n), env("PASS%d" % n))
    c.select("INBOX")
    return c


def fetch_all(c):
    """Every message of the selected mailbox, as bytes."""
    c.noop()
    count = int(c.select("INBOX")[1][0])
    if count == 0:
        return []
    _, parts = c.fetch("1:*", "(BODY.PEEK[])")
    return [p[1] for p in parts if isinstance(p, tuple)]


def wait_for_mail(subject, n=1):
    """The message with that subject, read over IMAPS."""
    def look():
        c = imap(n)
        try:
            for raw in fetch_all(c):
                m = email.message_from_bytes(raw)
                if m["Subject"] == subject:
                    return raw
        finally:
            c.logout()
        return None
    return cases.wait_for("mail %r for user %d" % (subject, n), look)


def maildir_files(path):
    return sorted(glob.glob(path + "/new/*") + glob.glob(path + "/cur/*"))


def mailbox_texts(n=1):
    """The messages in a user's Maildir, as bytes."""
    found = []
    for path in maildir_files(env("MAILBOX%d" % n)):
        try:
            with open(path, "rb") as f:
                found.append(f.read())
        except FileNotFoundError:
            pass
    return found


# ---- log and queue ----

def log():
    try:
        with open(env("MAIL_LOG"), errors="replace") as f:
            return f.read()
    except FileNotFoundError:
        return ""


def wait_for_log(pattern, seconds=None):
    """The match of a pattern in the log."""
    return cases.wait_for("log line %r" % pattern,
                          lambda: re.search(pattern, log(), re.M), seconds)


def queue():
    return subprocess.run(["postqueue", "-p"], capture_output=True,
                          text=True, check=True).stdout


def queue_empty():
    return queue() == "Mail queue is empty\n"


def wait_until_empty():
    cases.wait_for("an empty queue", queue_empty)


# ---- a next hop ----

class Sink:
    """An SMTP (LMTP) server that keeps what it gets. reply(verb, argument)
    may give another answer than the usual; `connections` counts."""

    def __init__(self, port=0, lmtp=False, context=None, reply=None,
                 host="127.0.0.1", login=None, offers=None):
        # What EHLO is told, beside STARTTLS and AUTH.
        self.offers = ["PIPELINING", "8BITMIME", "SIZE 1000000000"] \
            if offers is None else offers
        self.messages, self.connections, self.commands = [], 0, []
        self.lmtp, self.context, self.reply = lmtp, context, reply
        self.login = login  # (user, password) to be asked for
        self.lock = threading.Lock()
        self.sockets = []
        sink = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self):
                sink._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            # With the usual 5 the kernel drops the last packet of a
            # handshake under load, and the client waits for a greeting.
            request_queue_size = 200

        self.server = Server((host, port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever,
                         kwargs={"poll_interval": 0.02},
                         daemon=True).start()

    def close(self):
        """Also hangs up on whoever is still connected."""
        self.server.shutdown()
        self.server.server_close()
        with self.lock:
            for sock in self.sockets:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _answer(self, f, verb, line, usual, taken=None):
        """taken: called before a good answer goes out."""
        special = self.reply(verb, line) if self.reply else None
        good = special is None or special.startswith(("2", "3"))
        if good and taken:
            taken()
        f.write(((special or usual) + "\r\n").encode())
        f.flush()
        return good

    def _serve(self, sock):
        with self.lock:
            self.connections += 1
            self.sockets.append(sock)
        try:
            self._talk(sock)
        except OSError:
            pass

    def _talk(self, sock):
        f = sock.makefile("rwb")
        secured = False
        if not self._answer(f, "CONNECT", "", "220 sink ESMTP"):
            return
        sender, rcpts = "", []
        while True:
            line = f.readline()
            if not line:
                return
            text_line = line.decode("utf-8", "replace").rstrip("\r\n")
            verb = text_line.split(" ")[0].split(":")[0].upper()
            with self.lock:
                self.commands.append(text_line)
            if verb in ("EHLO", "LHLO"):
                offers = ["sink"] + self.offers
                if self.context and not secured:
                    offers.append("STARTTLS")
                if self.login:
                    offers.append("AUTH PLAIN")
                self._answer(f, verb, text_line, "\r\n".join(
                    "250%s%s" % (" " if o is offers[-1] else "-", o)
                    for o in offers))
            elif verb == "STARTTLS" and self.context:
                if self._answer(f, verb, text_line, "220 go"):
                    sock = self.context.wrap_socket(sock, server_side=True)
                    f = sock.makefile("rwb")
                    secured = True
            elif verb == "AUTH":
                given = base64.b64decode(text_line.split()[2]).split(b"\0")
                right = given[1:] == [w.encode() for w in self.login]
                self._answer(f, verb, text_line, "235 2.7.0 Ok" if right
                             else "535 5.7.8 no")
            elif verb == "MAIL":
                sender, rcpts = text_line, []
                self._answer(f, verb, text_line, "250 2.1.0 Ok")
            elif verb == "RCPT":
                if self._answer(f, verb, text_line, "250 2.1.5 Ok"):
                    rcpts.append(re.search("<(.*?)>", text_line).group(1))
            elif verb == "DATA":
                if not rcpts:
                    self._answer(f, verb, text_line,
                                 "554 5.5.1 no valid recipients")
                elif self._answer(f, verb, text_line, "354 go"):
                    self._data(f, sender, rcpts, secured)
            elif verb == "BDAT":
                size = int(text_line.split()[1])
                data = f.read(size)
                if len(data) < size:
                    return
                self._answer(f, "END", rcpts[0],
                             "250 2.0.0 Ok: queued as SINK",
                             lambda d=data: self._keep(sender, rcpts, d,
                                                       secured))
            elif verb == "QUIT":
                self._answer(f, verb, text_line, "221 2.0.0 Bye")
                return
            else:
                self._answer(f, verb, text_line, "250 2.0.0 Ok")

    def _data(self, f, sender, rcpts, secured):
        lines = []
        while True:
            line = f.readline()
            if not line:
                return
            if line == b".\r\n":
                break
            lines.append(line[1:] if line[:1] == b"." else line)
        kept = []

        def keep():
            if not kept:
                self._keep(sender, rcpts, b"".join(lines), secured)
            kept.append(True)
        for i in range(len(rcpts) if self.lmtp else 1):
            self._answer(f, "END", rcpts[i], "250 2.0.0 Ok: queued as SINK",
                         keep)

    def _keep(self, sender, rcpts, data, secured):
        with self.lock:
            self.messages.append({
                "sender": re.search("<(.*?)>", sender).group(1),
                "rcpts": rcpts, "data": data, "tls": secured})


def server_tls():
    """A server's context with the instance's own certificate."""
    folder = os.path.dirname(env("CA_FILE"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(folder, "localhost.pem"),
                            os.path.join(folder, "localhost.key"))
    return context


def partner(package, program=None):
    """The path of an unpacked program."""
    if shutil.which("apt-get") is None:
        raise cases.Skip("no apt-get here to fetch %s with" % package)
    out = cases.run([os.path.join(cases.ROOT, "tests", "partners"),
                     package]).stdout.strip()
    if os.environ.get("PARTNERS_DIR"):
        # Where other users can reach it too.
        out = os.path.join(env("PARTNERS_DIR"), package, "bin")
    return os.path.join(out, program or package)


def set_option(name, value):
    """Changes main.cf of the instance and reloads it."""
    path = os.path.join(env("CHAPPE_CONFIG"), "conf.d", "95-test.cf")
    with open(path, "a") as f:
        f.write("%s = %s\n" % (name, value))
    cases.run(["chappe", "reload"])
