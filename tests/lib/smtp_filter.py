# SPDX-License-Identifier: GPL-3.0-or-later
"""An SMTP proxy or content filter that does what a test tells it to: it hands
on what it takes to another server (with XFORWARD there, if that offers it),
with a header field of its own, and says what that server said."""

import re
import smtplib
import socket
import threading

import cases


class Filter:
    def __init__(self, reinject=None):
        self.reinject = reinject  # a port, or None: it keeps what it takes
        self.answers = {}         # verb -> reply, or None: hang up
        self.sessions, self.messages = [], []
        self.offers = ["PIPELINING", "SIZE", "8BITMIME",
                       "XFORWARD NAME ADDR PORT PROTO HELO SOURCE"]
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def last(self):
        return self.sessions[-1]

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,),
                             daemon=True).start()

    def _say(self, f, verb, default):
        reply = self.answers.get(verb, default)
        if callable(reply):
            reply = reply()
        if reply is None:
            raise OSError("hang up")
        f.write(reply.encode() + b"\r\n")
        f.flush()
        return reply[:1] in "23"

    def _serve(self, sock):
        session = []
        self.sessions.append(session)
        try:
            with sock, sock.makefile("rwb") as f:
                self._talk(f, session)
        except OSError:
            pass

    def _talk(self, f, session):
        self._say(f, "CONNECT", "220 filter ESMTP")
        sender, rcpts, seen = "", [], {}
        while True:
            line = f.readline().decode()
            if not line:
                return
            line = line.rstrip("\r\n")
            session.append(line)
            verb = line.split(" ")[0].split(":")[0].upper()
            if verb == "EHLO":
                self._say(f, verb, "\r\n".join(
                    ["250-filter"] + ["250-" + o for o in self.offers[:-1]] +
                    ["250 " + self.offers[-1]]))
            elif verb == "XFORWARD":
                seen.update(w.split("=", 1) for w in line.split()[1:])
                self._say(f, verb, "250 2.0.0 Ok")
            elif verb == "MAIL":
                sender, rcpts = re.search("<(.*?)>", line).group(1), []
                self._say(f, verb, "250 2.1.0 Ok")
            elif verb == "RCPT":
                if self._say(f, verb, "250 2.1.5 Ok"):
                    rcpts.append(re.search("<(.*?)>", line).group(1))
            elif verb == "DATA":
                if self._say(f, verb, "354 go"):
                    self._message(f, sender, rcpts, seen)
            elif verb == "QUIT":
                self._say(f, verb, "221 2.0.0 Bye")
                return
            else:
                self._say(f, verb, "250 2.0.0 Ok")

    def _message(self, f, sender, rcpts, seen):
        lines = []
        while True:
            line = f.readline()
            if not line:
                return
            if line == b".\r\n":
                break
            lines.append(line[1:] if line[:1] == b"." else line)
        data = b"".join(lines)
        self.messages.append((sender, rcpts, data, seen))
        reply = "250 2.0.0 Ok: kept"
        if self.reinject and "END" not in self.answers:
            reply = self._hand_on(sender, rcpts, data, seen)
        self._say(f, "END", reply)

    def _hand_on(self, sender, rcpts, data, seen):
        with smtplib.SMTP("127.0.0.1", self.reinject, timeout=cases.WAIT_S,
                          local_hostname="filter.test") as s:
            s.ehlo()
            if s.has_extn("xforward") and seen:
                words = " ".join("%s=%s" % p for p in seen.items()
                                 if p[0] in ("NAME", "ADDR", "HELO",
                                             "PROTO"))
                s.docmd("XFORWARD", words)
            s.mail(sender)
            for rcpt in rcpts:
                s.rcpt(rcpt)
            code, text = s.data(b"X-Filtered: yes\r\n" + data)
            return "%d %s" % (code, text.decode())
