# SPDX-License-Identifier: GPL-3.0-or-later
"""A conversation player: transcripts in the notation of the RFCs.

A transcript is a text file. Its lines:

    # anything               a comment
    ! connect NAME [ADDR]    connect to SMTP_PORT, SUBMISSION_PORT, ... by its
                             name in lower case without _PORT, from ADDR
    ! tls                    shake hands (after STARTTLS, or on SUBMISSIONS)
    ! close                  the client hangs up
    ! end                    the server must hang up, after which nothing comes
    ! gone                   the same, but bytes that are no reply may come
    ! begin NAME [ADDR]      connect, and EHLO (on LMTP: LHLO)
    ! rcpt                   MAIL and RCPT to the first user
    ! data                   the same, and DATA
    ! quit                   QUIT, and the server hangs up
    ! delivered TEXT         one message with $WORD comes to the first user,
                             and it has TEXT in it, written as behind C|
    ! nothing                no message with $WORD came
    ! log REGEX              a line of the log matches
    ! whole                  not to be played byte by byte
    C: TEXT                  the client sends TEXT and CRLF; lines that follow
                             each other go out in one piece
    C| TEXT                  the same without CRLF
    S: TEXT                  the server must send TEXT as its next line
    S: ...                   any number of lines, up to the next S: line

In C: and C| the escapes \\r \\n \\t \\0 \\xHH and \\\\ stand for bytes. In both,
$NAME is a variable of the environment or one set by the caller, $WORD another
one in each playing; in S:, {RE} is a regular expression. Each transcript is played twice: once in pieces as
above, once byte by byte, which must make no difference.
"""

import base64
import glob
import os
import re
import secrets
import socket
import ssl

import cases


class Mismatch(AssertionError):
    """The server did not say what the transcript has."""


def _variables(text, values):
    def value(m):
        name = m.group(1)
        if name not in values:
            raise Mismatch("$%s is not set" % name)
        return values[name]
    return re.sub(r"\$([A-Z_][A-Z0-9_]*)", value, text)


def _bytes(text):
    def escape(m):
        code = m.group(1)
        if code[0] == "x":
            return chr(int(code[1:], 16))
        return {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}[code]
    raw = text.encode("utf-8").decode("latin-1")
    return re.sub(r"\\(x[0-9A-Fa-f]{2}|[rnt0\\])", escape,
                  raw).encode("latin-1")


def _pattern(text, values):
    parts = re.split(r"(\{[^{}]*\})", text)
    return "".join(p[1:-1] if p[:1] == "{" and p[-1:] == "}" else
                   re.escape(_variables(p, values)) for p in parts)


class Player:
    """Plays one transcript once."""

    def __init__(self, path, bytewise, values):
        self.path, self.bytewise, self.values = path, bytewise, values
        values["WORD"] = "w" + secrets.token_hex(6)
        self.sock = None
        self.received = b""
        self.ended = False
        self.skipping = False

    def play(self):
        try:
            self._play()
        finally:
            if self.sock is not None:
                self.sock.close()

    def _play(self):
        sending = b""
        with open(self.path, encoding="utf-8") as f:
            lines = f.read().splitlines()
        for number, line in enumerate(lines, 1):
            self.where = "%s:%d" % (os.path.basename(self.path), number)
            kind, text = line[:2], line[3:]
            if kind in ("C:", "C|"):
                text = _bytes(_variables(text, self.values))
                sending += text + (b"\r\n" if kind == "C:" else b"")
                continue
            if sending and kind in ("S:", "! "):
                self._send(sending)
                sending = b""
            if kind == "S:":
                self._expect(text)
            elif kind == "! ":
                self._command(line[2:].split(), line[2:])
            elif line.strip() and not line.startswith("#"):
                raise Mismatch("%s: not a line of a transcript: %r" %
                               (self.where, line))
        if sending:
            self._send(sending)

    def _steps(self, text):
        """Lines of a transcript in a string."""
        for line in text.split("\n"):
            if line[0] == "C":
                self._send(_bytes(_variables(line[3:], self.values)) +
                           b"\r\n")
            else:
                self._expect(line[3:])

    def _prelude(self, words):
        """What most conversations begin or end with."""
        if words[0] == "begin":
            self._connect(*words[1:])
            self._steps("S: 220 {.+}\nC: %s client.test\nS: ...\nS: 250 {.+}"
                        % ("LHLO" if words[1] == "lmtp" else "EHLO"))
        elif words[0] == "quit":
            self._steps("C: QUIT\nS: 221 2.0.0 Bye")
            self._command(["end"], "end")
        else:
            self._steps("C: MAIL FROM:<sender@b.test>\nS: 250 2.1.0 Ok\n"
                        "C: RCPT TO:<$USER1@$MAIL_DOMAIN>\nS: 250 2.1.5 Ok")
        if words[0] == "data":
            self._steps("C: DATA\n"
                        "S: 354 End data with <CR><LF>.<CR><LF>")

    def _delivered(self, text):
        """The only message with our word in it, which has the text."""
        got = cases.wait_for("%s: the message" % self.where, self._messages)
        if len(got) != 1:
            raise Mismatch("%s: %d messages" % (self.where, len(got)))
        wanted = _bytes(_variables(text, self.values))
        if wanted not in got[0].replace(b"\r\n", b"\n"):
            raise Mismatch("%s: %r is not in %r" % (self.where, wanted,
                                                    got[0]))

    def _messages(self):
        word = self.values["WORD"].encode()
        found = []
        for path in glob.glob(self.values["MAILBOX1"] + "/new/*"):
            with open(path, "rb") as f:
                text = f.read()
            if word in text:
                found.append(text)
        return found

    def _logged(self, text):
        pattern = re.compile(_variables(text, self.values))

        def look():
            with open(self.values["MAIL_LOG"], errors="replace") as f:
                return pattern.search(f.read())
        cases.wait_for("%s: a line of the log" % self.where, look)

    def _command(self, words, line):
        if words[0] in ("begin", "rcpt", "data", "quit"):
            self._prelude(words)
        elif words[0] == "delivered":
            self._delivered(line[10:])
        elif words[0] == "nothing":
            if self._messages():
                raise Mismatch("%s: a message came" % self.where)
        elif words[0] == "log":
            self._logged(line[4:])
        elif words[0] == "connect":
            self._connect(*words[1:])
        elif words[0] == "tls":
            context = ssl.create_default_context(
                cafile=self.values["CA_FILE"])
            self.sock = context.wrap_socket(self.sock,
                                            server_hostname="localhost")
        elif words[0] == "close":
            self.sock.close()
        elif words[0] == "gone":
            while not self.ended:
                self._receive()
            if re.search(rb"^\d\d\d[ -]", self.received, re.M):
                raise Mismatch("%s: it said %r" % (self.where,
                                                   self.received))
        elif words[0] == "end":
            line = self._line()
            if line is not None:
                raise Mismatch("%s: the end was expected, not %r" %
                               (self.where, line))
        elif words[0] != "whole":
            raise Mismatch("%s: no such command" % self.where)

    def _connect(self, name, source="127.0.0.1"):
        if self.sock is not None:
            self.sock.close()
        port = int(self.values[name.upper() + "_PORT"])
        self.sock = socket.create_connection(
            ("127.0.0.1", port), cases.WAIT_S, (source, 0))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received, self.ended = b"", False

    def _send(self, data):
        try:
            if not self.bytewise:
                self.sock.sendall(data)
                return
            for i in range(len(data)):
                self.sock.sendall(data[i:i + 1])
        except (BrokenPipeError, ConnectionResetError):
            self.ended = True

    def _receive(self):
        try:
            more = self.sock.recv(65536)
        except (ConnectionResetError, ssl.SSLError):
            more = b""
        except socket.timeout:
            raise Mismatch("%s: the server says nothing" % self.where)
        self.ended = not more
        self.received += more

    def _line(self):
        """The server's next line without its end; None at its end."""
        while b"\n" not in self.received and not self.ended:
            self._receive()
        if not self.received:
            return None
        line, _, self.received = self.received.partition(b"\n")
        if line[-1:] != b"\r":
            raise Mismatch("%s: a line without CRLF: %r" % (self.where, line))
        return line[:-1].decode("latin-1")

    def _expect(self, text):
        if text == "...":
            self.skipping = True
            return
        pattern = _pattern(text, self.values)
        seen = []
        while True:
            line = self._line()
            seen.append(line)
            if line is None or not self.skipping:
                break
            if re.fullmatch(pattern, line):
                break
        self.skipping = False
        if seen[-1] is None or not re.fullmatch(pattern, seen[-1]):
            raise Mismatch("%s: wanted %r, got %r" % (self.where, text, seen))


def values(**more):
    """The environment, and what transcripts want made of it."""
    v = dict(os.environ)
    for n in ("1", "2"):
        user, password = v["USER" + n], v["PASS" + n]
        v["PLAIN" + n] = base64.b64encode(
            ("\0%s\0%s" % (user, password)).encode()).decode()
        v["B64USER" + n] = base64.b64encode(user.encode()).decode()
        v["B64PASS" + n] = base64.b64encode(password.encode()).decode()
    v.update(more)
    return v


def play(path, **more):
    """Plays a transcript in both ways."""
    with open(path, encoding="utf-8") as f:
        whole_only = re.search(r"^! whole$", f.read(), re.M)
    Player(path, False, values(**more)).play()
    if not whole_only:
        Player(path, True, values(**more)).play()
