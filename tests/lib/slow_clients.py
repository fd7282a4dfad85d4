# SPDX-License-Identifier: GPL-3.0-or-later
"""A crowd of clients that hold an SMTP server's sessions: each sends a byte
now and then, never a whole conversation. They run in a process of their own,
since an honest client beside them is to be timed.

    with Crowd(port, 1000) as crowd: ...

Those whom the server sends away come back after a second."""

import errno
import os
import selectors
import socket
import subprocess
import sys
import time

# What they say, a byte at a time, over and over; nothing of it ends.
TALK = (b"EHLO slow.example.test",
        b"EHLO slow.example.test\r\nMAIL FROM:<slow@example.test>\r\nRCPT TO:<",
        b"NOOP\r\nNOOP",
        b"EHLO x\r\nMAIL FROM:<a@example.test>\r\n"
        b"RCPT TO:<postmaster>\r\nDATA\r\nSubject: slow\r\n\r\nline\r\nli",
        b"\x16\x03\x01\x02",
        b"")
PER_ADDRESS = 40  # the default limit of one client is 50
BYTE_EACH_S = 5
PAUSE_S = 1


class Slow:
    def __init__(self, number, port):
        self.source = "127.1.%d.%d" % (number // PER_ADDRESS // 250,
                                       number // PER_ADDRESS % 250 + 1)
        self.text = TALK[number % len(TALK)]
        self.port, self.sock = port, None
        self.sent = self.got = 0

    def connect(self):
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_IP, 24, 1)  # BIND_ADDRESS_NO_PORT
        self.sock.bind((self.source, 0))
        self.sock.connect_ex(("127.0.0.1", self.port))
        self.sent = self.got = 0

    def trickle(self):
        try:
            if self.got and self.sent < len(self.text):
                self.sent += self.sock.send(
                    self.text[self.sent:self.sent + 1])
        except OSError:
            pass

    def read(self):
        """False: the server has ended it."""
        try:
            data = self.sock.recv(4096)
        except BlockingIOError:
            return True
        except OSError:
            return False
        if data and not self.got:
            self.got = int(data[:1])
        return bool(data)


def run(port, count):
    selector = selectors.EpollSelector()
    clients = [Slow(i, port) for i in range(count)]
    for c in clients:
        c.connect()
        selector.register(c.sock, selectors.EVENT_READ, c)
    waiting = []
    counts = {"sent away": 0, "refused": 0}
    told = turn = 0
    begun = time.monotonic()
    while True:
        for key, _ in selector.select(0.02):
            c = key.data
            if c.read():
                continue
            selector.unregister(c.sock)
            c.sock.close()
            counts["sent away" if c.got == 2 else "refused"] += 1
            c.sock, c.got = None, 0
            waiting.append((time.monotonic() + PAUSE_S, c))
        while waiting and waiting[0][0] < time.monotonic():
            c = waiting.pop(0)[1]
            c.connect()
            selector.register(c.sock, selectors.EVENT_READ, c)
        until = int((time.monotonic() - begun) / BYTE_EACH_S * count)
        while turn < until:
            clients[turn % count].trickle()
            turn += 1
        if time.monotonic() - told > 0.5:
            told = time.monotonic()
            print("%d %d %d" % (sum(c.got == 2 for c in clients),
                                counts["sent away"], counts["refused"]),
                  flush=True)


class Crowd:
    """in_session: how many have been greeted; sent_away: were, and then the
    server closed; refused: heard something else than a greeting."""

    def __init__(self, port, count):
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), str(port),
             str(count)], stdout=subprocess.PIPE, text=True)
        self.in_session = self.sent_away = self.refused = 0

    def look(self):
        line = self.process.stdout.readline()
        assert line, "the crowd ended"
        self.in_session, self.sent_away, self.refused = map(int, line.split())
        return self.in_session

    def wait(self, what, done, seconds):
        deadline = time.monotonic() + seconds
        while not done(self):
            assert time.monotonic() < deadline, "%s: %s" % (what, vars(self))
            self.look()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


def connect_many(port, count, source="127.0.0.1"):
    """Opens connections one after the other and keeps them; the first line
    that each heard, or "" for none."""
    socks, lines = [], []
    for _ in range(count):
        try:
            s = socket.create_connection(("127.0.0.1", port), 10, (source, 0))
        except OSError as e:
            if e.errno == errno.EMFILE:
                raise
            lines.append("")
            continue
        socks.append(s)
        try:
            lines.append(s.recv(1000).decode("latin-1"))
        except OSError:
            lines.append("")
    return socks, lines


if __name__ == "__main__":
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        run(int(sys.argv[1]), int(sys.argv[2]))
    except (KeyboardInterrupt, BrokenPipeError):
        pass
