# SPDX-License-Identifier: GPL-3.0-or-later
"""qmgr without the rest of the suite: stand-ins for accepting processes,
delivery agents and bounce, which do what a whole instance does only by
chance."""

import fcntl
import os
import struct

import cases
import ipc
import queue_file
import smtpd_alone

SENT, DEFERRED, FAILED = 1, 2, 3
PARTS = ("incoming", "active", "deferred", "hold")
REFUSED = "MSG_ERROR", [("F_ERR_KIND", 0), ("F_DSN", "4.3.0"),
                        ("F_TEXT", "not now")]
DONE = "MSG_OK", [("F_QID", "5F1B2C3D4E5F600")]


class House(ipc.House):
    """answer: bounce's, to a request."""

    def __init__(self, answer=lambda m: DONE, **conf):
        super().__init__()
        for part in PARTS:
            for x in "0123456789ABCDEF":
                self._folder(os.path.join(part, x))
        for part in PARTS + ("corrupt", "journal", "pid"):
            self._folder(part)
        self.configure(maillog_file=self.path("mail.log"), alias_maps="",
                       **conf)
        self.bounce = smtpd_alone.Neighbour(self, "bounce", answer)
        self.logger = ipc.Daemon("log", self)
        # As master's, who would start an agent.
        self.agents = ipc.Daemon.listen(
            os.path.join(self.queue, "private", "smtp"))
        self.qmgr = None

    def _folder(self, name):
        path = os.path.join(self.queue, name)
        os.makedirs(path, exist_ok=True)
        os.chown(path, ipc.UID, -1)

    def __enter__(self):
        return self

    def start(self):
        """qmgr, which finds what is in the queue."""
        if self.qmgr is None:
            self.qmgr = ipc.Daemon("qmgr", self, both=True)
        else:
            self.qmgr.start()
        # No agents of an earlier one are waited for.
        self.qmgr.control.send("MSG_PIDS")

    def __exit__(self, kind, *_):
        for d in (self.qmgr, self.logger, self.bounce, self.agents):
            if d is not None:
                d.close()
        if kind is None:
            self.remove()
        else:
            print("kept: %s" % self.dir)

    def edit(self, op, *qids):
        """postsuper's request; how many it was done to."""
        return self.ask(op, *qids).answer()

    def ask(self, op, *qids):
        return Edit(self.qmgr.connect_public(), op, qids)

    def log(self):
        try:
            with open(self.path("mail.log")) as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def said(self, what, seconds=None):
        cases.wait_for(repr(what), lambda: what in self.log(), seconds)

    def files(self, part):
        return [f for _, _, names in os.walk(os.path.join(self.queue, part))
                for f in names]


class Edit:
    """A request of postsuper's, of which qmgr has heard."""

    def __init__(self, channel, op, qids):
        self.channel = channel
        channel.send("MSG_QUEUE_EDIT", [("F_OP", op)] + [
            ("F_QID", qid) for qid in qids], 1)
        # A question after it, about nothing.
        channel.send("MSG_QUEUE_FLUSH", [("F_QID", "-")], 2)
        self.answers = {}
        self._until(2)

    def _until(self, ident):
        while ident not in self.answers:
            m = self.channel.receive()
            self.answers[m.ident] = m
        return self.answers[ident]

    def answer(self):
        m = self._until(1)
        self.channel.close()
        return m.number("F_COUNT")


class Acceptor:
    """A process that accepts mail."""

    def __init__(self, house, slot=7, living=True, held=()):
        self.house, self.slot = house, slot
        self.lock = None
        if living:
            self.lives()
        self.channel = house.qmgr.connect()
        self.channel.send("MSG_QMGR_ACCEPTOR", [("F_SLOT", slot)] + [
            ("F_HELD", [("F_SEGMENT", n), ("F_GENERATION", g)])
            for n, g in held])

    def lives(self):
        """As master sees it: the slot's byte is locked."""
        path = os.path.join(self.house.queue, "pid", "slots")
        self.lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        os.chown(path, ipc.UID, -1)
        fcntl.fcntl(self.lock, 37,  # F_OFD_SETLK
                    struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, self.slot, 1, 0))

    def dies(self, later=False):
        """Its lock goes; later: its connection is still there then."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None
        if not later:
            self.channel.close()

    def segment(self):
        """One of the journal: (number, generation, descriptor)."""
        m = cases.wait_for("a segment", self._ask)
        return m.number("F_SEGMENT"), m.number("F_GENERATION"), m.fds[0]

    def _ask(self):
        m = self.channel.call("MSG_SEGMENT_WANT")
        return m if m.name == "MSG_SEGMENT" else None

    def tell(self, f, place=None, head=False, wait=True, unfiled=False):
        """Of a message; place: (number, generation, at, end)."""
        fields = [("F_QID", f.qid), ("F_SIZE", 1), ("F_RCPT_COUNT", 1)]
        if place:
            fields += zip(("F_SEGMENT", "F_GENERATION", "F_PLACE",
                           "F_PLACE_END"), place)
        if head or unfiled:
            fields.append(("F_HEAD", f.head))
        if unfiled:
            fields.append(("F_UNFILED", 1))
        if wait:
            return self.channel.call("MSG_QMGR_NEW", fields)
        self.channel.last += 1
        return self.channel.send("MSG_QMGR_NEW", fields, self.channel.last)


def append(segment, f, at=queue_file.RECORDS):
    """Writes its record; its place."""
    number, generation, fd = segment
    data = f.record(generation, at)
    os.pwrite(fd, data, at)
    return number, generation, at, at + len(data)


class Agent:
    """A delivery agent."""

    def __init__(self, house, service="smtp", credit=1000):
        self.channel = house.qmgr.connect()
        self.channel.send("MSG_AGENT", [
            ("F_SERVICE", service), ("F_PID", os.getpid()),
            ("F_CREDIT", credit)])

    def delivery(self):
        """The next one; its `file` is what may be read there."""
        while True:
            m = self.channel.receive()
            if m.name == "MSG_DELIVER":
                m.file = os.pread(m.fds[0], 1 << 20, 0)
                for fd in m.fds:
                    os.close(fd)
                return m

    def result(self, m, index, action, dsn, text, **more):
        self.channel.send("MSG_RESULT", [
            ("F_RCPT_INDEX", index), ("F_ACTION", action), ("F_DSN", dsn),
            ("F_TEXT", text)] + list(more.items()), m.ident, m.trace)

    def all(self, m, action, dsn, text):
        """The same result for all its recipients."""
        for index in recipients(m):
            self.result(m, index, action, dsn, text)
        self.over(m)

    def over(self, m):
        self.channel.send("MSG_DELIVERED", [], m.ident, m.trace)


def recipients(m):
    """Of a delivery: their numbers."""
    found = []
    for group in m.all("F_RCPT"):
        for name, value in ipc.decode_fields(group):
            if name == "F_RCPT_INDEX":
                found.append(struct.unpack("<Q", value)[0])
    return found
