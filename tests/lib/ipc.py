# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemons' messages (docs/FORMATS.md), with the numbers read from
lib/ipc/schema.h, and a stand-in for master that runs a single daemon in a
private instance: as an ordinary user, also when called by root."""

import array
import fcntl
import os
import re
import shutil
import socket
import struct
import subprocess
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BUILD = os.path.join(ROOT, os.environ.get("B") or
                     "build/%s" % os.environ.get("MODE", "debug"))
TIMEOUT_S = 30
# Of no password database; of the instance when root runs the tests.
UID = os.geteuid() or 61999


def _numbers():
    with open(os.path.join(ROOT, "lib/ipc/schema.h")) as f:
        return {name: int(number) for name, number in
                re.findall(r"X\((\w+), (\d+)\)", f.read())}


NUMBER = _numbers()
NAME = {n: name for name, n in NUMBER.items() if name.startswith("MSG_")}
FIELD = {n: name for name, n in NUMBER.items() if name.startswith("F_")}


def encode_fields(fields):
    """fields: (name, value) pairs; an int, str, bytes or list of pairs."""
    out = b""
    for name, value in fields:
        if isinstance(value, int):
            value = struct.pack("<Q", value)
        elif isinstance(value, str):
            value = value.encode()
        elif isinstance(value, (list, tuple)):
            value = encode_fields(value)
        out += struct.pack("<HH", NUMBER[name], len(value)) + value
    return out


def decode_fields(data):
    fields = []
    while data:
        number, n = struct.unpack("<HH", data[:4])
        fields.append((FIELD.get(number, str(number)), data[4:4 + n]))
        data = data[4 + n:]
    return fields


class Message:
    def __init__(self, name, ident, trace, fields, fds):
        self.name, self.ident, self.trace = name, ident, trace
        self.fields, self.fds = fields, fds

    def all(self, name):
        return [value for key, value in self.fields if key == name]

    def get(self, name):
        return (self.all(name) or [None])[0]

    def number(self, name):
        value = self.get(name)
        return None if value is None else struct.unpack("<Q", value)[0]

    def text(self, name):
        value = self.get(name)
        return None if value is None else value.decode()


class Channel:
    """One connection. call() returns the answer to a request."""

    def __init__(self, sock, greet=True):
        self.sock = sock
        self.sock.settimeout(TIMEOUT_S)
        self.last = 0
        if greet:
            assert self.receive().name == "MSG_HELLO"

    @classmethod
    def connect(cls, path, greet=True):
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        sock.connect(path)
        return cls(sock, greet)

    def send(self, name, fields=(), ident=0, trace=0, fds=()):
        data = struct.pack("<HHIQ", NUMBER[name], 0, ident, trace)
        data += encode_fields(fields)
        control = [(socket.SOL_SOCKET, socket.SCM_RIGHTS,
                    array.array("i", fds))] if fds else []
        self.sock.sendmsg([data], control)

    def receive(self):
        """The next message; None at the end of the connection."""
        data, control, _, _ = self.sock.recvmsg(
            65536, socket.CMSG_SPACE(4 * array.array("i").itemsize))
        if not data:
            return None
        fds = array.array("i")
        for level, kind, value in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                fds.frombytes(value)
        number, _, ident, trace = struct.unpack("<HHIQ", data[:16])
        return Message(NAME.get(number, str(number)), ident, trace,
                       decode_fields(data[16:]), list(fds))

    def call(self, name, fields=(), trace=0, fds=()):
        self.last += 1
        self.send(name, fields, self.last, trace, fds)
        while True:
            m = self.receive()
            assert m is not None, "connection closed"
            if m.ident == self.last:
                return m

    def close(self):
        self.sock.close()


class House:
    """A queue and a configuration directory of their own."""

    def __init__(self, **conf):
        self.dir = tempfile.mkdtemp(prefix="chappe-daemon-")
        self.conf = os.path.join(self.dir, "conf")
        self.queue = os.path.join(self.dir, "queue")
        self.libexec = os.path.join(self.dir, "libexec")
        for path in (self.conf, self.queue, self.queue + "/private",
                     self.queue + "/public"):
            os.mkdir(path)
        # Where the user can reach it, whatever the mode of our own folder.
        shutil.copytree(os.path.join(BUILD, "libexec"), self.libexec)
        self.configure(**conf)
        if os.geteuid() == 0:
            for folder, names, files in os.walk(self.dir):
                for name in [folder] + [os.path.join(folder, f)
                                        for f in files]:
                    os.chown(name, UID, UID)

    def configure(self, **conf):
        conf.setdefault("queue_directory", self.queue)
        with open(os.path.join(self.conf, "main.cf"), "w") as f:
            for name, value in conf.items():
                f.write("%s = %s\n" % (name, value))

    def path(self, name):
        return os.path.join(self.dir, name)

    def remove(self):
        shutil.rmtree(self.dir)


def _become():
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(UID)
        os.setuid(UID)


class Daemon:
    """One daemon under a stand-in for master, with its private socket."""

    second = None  # another listener

    def __init__(self, program, house, service=None, public=False, both=False,
                 **more):
        """both: it has a public socket besides."""
        self.program, self.house = program, house
        self.service = service or program
        self.path = self._name("public" if public else "private")
        self.listener = self.listen(self.path)
        self.second = self.listen(self._name("public")) if both else None
        self.start(**more)

    def _name(self, folder):
        return os.path.join(self.house.queue, folder, self.service)

    @staticmethod
    def listen(path):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(path)
        os.chmod(path, 0o666)
        listener.listen(100)
        return listener

    def start(self, overrides=(), messages=(), wait=True, kind="unix",
              before=None):
        """Starts it, the next one too: the listener stays. kind is that of
        the listener; before is called with the control channel first."""
        # Made by the user: the daemon looks at who master is.
        ours, theirs = self._pair()
        self.control = Channel(ours, greet=False)
        if before:
            before(self.control)
        for name, fields in messages:
            self.control.send(name, fields)
        argv = [os.path.join(self.house.libexec, self.program), "-c",
                self.house.conf, "-n", self.service, "-g", "1"]
        for o in overrides:
            argv += ["-o", o]
        argv += ["-l", kind if self.second is None else kind + "," + kind]
        # The daemon's descriptors 3 and on, whatever they are here.
        fds = [s.fileno() for s in (theirs, self.listener, self.second) if s]
        high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 200) for fd in fds]
        shell = ["/bin/bash", "-c", 'exec "$@" %s %s' % (
            " ".join("%d<&%d" % at for at in enumerate(high, 3)),
            " ".join("%d<&-" % fd for fd in high)), "sh"]
        self.process = subprocess.Popen(
            shell + argv, pass_fds=high, preexec_fn=_become,
            # The leak checker would trace itself, which seccomp refuses.
            env=dict({"ASAN_OPTIONS": "detect_leaks=0"}, **os.environ), stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, errors="replace")
        for fd in high:
            os.close(fd)
        theirs.close()
        if wait:
            self.ready()

    @staticmethod
    def _pair():
        euid = os.geteuid()
        if euid == 0:
            os.seteuid(UID)
        pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if euid == 0:
            os.seteuid(0)
        return pair

    def ready(self):
        m = self.control.receive()
        if m is None:
            raise AssertionError("%s ended: %s" % (
                self.service, self.process.communicate()[1]))
        assert m.name == "MSG_READY", m.name

    def connect(self):
        return Channel.connect(self.path)

    def connect_public(self):
        return Channel.connect(self._name("public"))

    def leave(self):
        """Orderly end; returns the exit status."""
        self.control.send("MSG_LEAVE")
        return self.wait()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.control.close()

    def wait(self):
        _, self.stderr = self.process.communicate(timeout=TIMEOUT_S)
        self.control.close()
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self.listener.close()
        if self.second:
            self.second.close()
