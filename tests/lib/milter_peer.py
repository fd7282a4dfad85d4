# SPDX-License-Identifier: GPL-3.0-or-later
"""A filter that speaks the milter protocol on the wire and does what a test
tells it to: what it answers at each step, what it changes at the end, and
when it falls silent, talks nonsense or goes away."""

import os
import socket
import struct
import threading

NAMES = {"C": "connect", "H": "helo", "M": "mail", "R": "rcpt", "T": "data",
         "U": "unknown", "L": "header", "N": "eoh", "B": "body", "E": "eom",
         "A": "abort", "Q": "quit", "K": "quit_nc", "O": "optneg"}
LETTERS = {name: letter for letter, name in NAMES.items()}
# What SMFIP_* says about replies that do not come.
NO_REPLY = {"C": 0x1000, "H": 0x2000, "M": 0x4000, "R": 0x8000,
            "T": 0x10000, "U": 0x20000, "N": 0x40000, "B": 0x80000,
            "L": 0x80}
CONTINUE, ACCEPT, REJECT, DISCARD, TEMPFAIL, SKIP, SHUTDOWN, CONNFAIL = (
    (c, b"") for c in "cardts4f")
SILENCE, HANG_UP = ("", "silence"), ("", "hang up")


def reply(text):
    return ("y", text.encode() + b"\0")


def _texts(*texts):
    return b"".join(t.encode("utf-8", "surrogateescape") + b"\0"
                    for t in texts)


def add_header(name, value):
    return ("h", _texts(name, value))


def insert_header(index, name, value):
    return ("i", struct.pack(">I", index) + _texts(name, value))


def change_header(index, name, value):
    return ("m", struct.pack(">I", index) + _texts(name, value))


def replace_body(data):
    return ("b", data)


def add_rcpt(address, args=None):
    return ("+", _texts(address)) if args is None else \
        ("2", _texts(address, args))


def delete_rcpt(address):
    return ("-", _texts(address))


def change_from(address, args=None):
    return ("e", _texts(address) if args is None else
            _texts(address, args))


def quarantine(why):
    return ("q", _texts(why))


class Session:
    """What one connection has brought: steps as (name, text or bytes)."""

    def __init__(self):
        self.steps, self.macros, self.offer = [], {}, None
        self.ended = False

    def of(self, name):
        return [data for step, data in self.steps if step == name]

    def names(self):
        return [step for step, _ in self.steps]

    def headers(self):
        return [tuple(d.decode("utf-8", "surrogateescape").split("\0")[:2])
                for d in self.of("header")]

    def body(self):
        return b"".join(self.of("body"))


class Peer:
    """On a port of its own (peer.address: for the configuration), or on the
    UNIX socket path."""

    def __init__(self, path=None, version=6, actions=0x1ff, protocol=0,
                 macros=()):
        self.version, self.actions, self.protocol = version, actions, protocol
        self.lists = macros
        self.sessions, self.lock = [], threading.Lock()
        self.calm()
        if path is None:
            self.listener = socket.create_server(("127.0.0.1", 0))
            self.address = "inet:127.0.0.1:%d" % \
                self.listener.getsockname()[1]
        else:
            self.listener = socket.socket(socket.AF_UNIX)
            self.listener.bind(path)
            os.chmod(path, 0o777)
            self.listener.listen(50)
            self.address = "unix:" + path
        threading.Thread(target=self._accept, daemon=True).start()

    def calm(self):
        """From now on: continue at every step."""
        self.answers, self.edits, self.before = {}, [], {}
        self.negotiation = None

    def reset(self):
        self.calm()
        self.version, self.actions, self.protocol = 6, 0x1ff, 0
        self.lists = ()
        self.sessions = []

    def last(self):
        return self.sessions[-1]

    def close(self):
        self.listener.close()

    # ---- the wire ----

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,),
                             daemon=True).start()

    def _serve(self, sock):
        session = Session()
        self.sessions.append(session)
        try:
            with sock, sock.makefile("rb") as f:
                while self._packet(sock, f, session):
                    pass
        except (OSError, struct.error):
            pass
        session.ended = True

    @staticmethod
    def _send(sock, letter, data):
        sock.sendall(struct.pack(">I", len(data) + 1) + letter.encode() +
                     data)

    def _packet(self, sock, f, session):
        head = f.read(4)
        if len(head) < 4:
            return False
        n, = struct.unpack(">I", head)
        data = f.read(n)
        letter, data = data[:1].decode(), data[1:]
        if letter == "D":
            parts = data[1:].split(b"\0")[:-1]
            session.macros.setdefault(NAMES[data[:1].decode()], []).append(
                {k.decode(): v.decode("utf-8", "surrogateescape")
                 for k, v in zip(parts[::2], parts[1::2])})
            return True
        if letter == "O":
            return self._negotiate(sock, session, data)
        name = NAMES[letter]
        session.steps.append((name, data))
        if letter in "AK":
            return True
        if letter == "Q":
            return False
        return self._answer(sock, letter, name, session)

    def _negotiate(self, sock, session, data):
        session.offer = struct.unpack(">III", data)
        if self.negotiation is not None:
            return self._say(sock, self.negotiation)
        extra = b"".join(struct.pack(">I", stage) + _texts(names)
                         for stage, names in self.lists)
        self._send(sock, "O", struct.pack(
            ">III", self.version, self.actions, self.protocol) + extra)
        return True

    def _say(self, sock, answer):
        letter, data = answer
        if answer == HANG_UP:
            return False
        if answer != SILENCE:
            self._send(sock, letter, data)
        return True

    def _answer(self, sock, letter, name, session):
        if self.protocol & NO_REPLY.get(letter, 0):
            return True
        answer = self.answers.get(name, CONTINUE)
        if callable(answer):
            answer = answer(session)
        if letter == "E":
            for edit in self.edits:
                self._send(sock, *edit)
        for packet in self.before.get(name, ()):
            self._send(sock, *packet)
        return self._say(sock, answer)
