#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A daemon for the tests of master: does what the file PROGRAM.mode beside
the folder it lies in says, tells each event in the file events there.

Modes: serve; die (before it is ready); crash (after it is ready); full (says
so with each client); company (asks for some with each); once (exits in order
after its first client).
A client is told "PID GENERATION" and then gets its lines back.
"""

import fcntl
import json
import os
import select
import socket
import struct
import sys

NUMBER = {}  # filled in when this is installed
HOUSE = os.path.dirname(os.path.dirname(os.path.abspath(sys.argv[0])))
PROGRAM = os.path.basename(sys.argv[0])
CONTROL = 3


def tell(event, **more):
    more.update(event=event, program=PROGRAM, pid=os.getpid(),
                service=OPTION["-n"], generation=int(OPTION["-g"]))
    line = json.dumps(more) + "\n"
    fd = os.open(os.path.join(HOUSE, "events"),
                 os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(fd, line.encode())
    os.close(fd)


def options(argv):
    found, rest = {"-o": []}, list(argv)
    while rest and rest[0].startswith("-"):
        if rest[0] in ("-t", "-w"):
            found[rest.pop(0)] = True
            continue
        name, value = rest[0], rest[1]
        rest = rest[2:]
        if name == "-o":
            found["-o"].append(value)
        else:
            found[name] = value
    found["args"] = rest
    return found


def mode():
    try:
        with open(os.path.join(HOUSE, PROGRAM + ".mode")) as f:
            return f.read().strip()
    except FileNotFoundError:
        return "serve"


OPTION = options(sys.argv[1:])
if "-t" in OPTION:
    sys.exit(0)  # nothing is wrong with its configuration


class Daemon:
    def __init__(self):
        self.control = socket.socket(fileno=CONTROL)
        kinds = OPTION.get("-l", "").split(",") if "-l" in OPTION else []
        self.listeners = [socket.socket(fileno=4 + i)
                          for i in range(len(kinds))]
        self.clients = []
        self.leaving = False
        self.master = True  # lives
        self.descriptors = sorted(int(n) for n in os.listdir("/proc/self/fd"))

    def send(self, name):
        self.control.send(struct.pack("<HHIQ", NUMBER[name], 0, 0, 0))

    def receive(self):
        try:
            data, control, _, _ = self.control.recvmsg(65536, 100)
        except ConnectionResetError:  # it was killed with messages unread
            data = b""
        if not data:
            return None, [], b""
        number = struct.unpack("<H", data[:2])[0]
        fds = []
        for _, _, value in control:
            fds += struct.unpack("%di" % (len(value) // 4), value)
        name = [k for k, v in NUMBER.items()
                if v == number and k.startswith("MSG_")][0]
        return name, fds, data[16:]

    def leave(self):
        self.leaving = True
        for s in self.listeners:
            s.close()
        self.listeners = []

    def hear(self):
        name, fds, body = self.receive()
        more = {}
        if name == "MSG_SLOT":
            more["slot"] = body[4]
        elif name == "MSG_KEYS":
            more["keys"] = [os.pread(fd, 1000000, 0).hex() for fd in fds]
            more["seals"] = [fcntl.fcntl(fd, 1034) for fd in fds]
        elif name == "MSG_TICKET_KEYS":
            more["tickets"] = [os.pread(fd, 1000, 0).hex() for fd in fds]
        elif name == "MSG_PIDS":
            more["body"] = body.hex()
        for fd in fds:
            os.close(fd)
        tell(name or "master is gone", **more)
        self.master = name is not None
        if name in (None, "MSG_LEAVE"):
            self.leave()
        elif name == "MSG_HURRY":
            for s in self.clients:
                s.close()
            self.clients = []

    def accept(self, listener):
        try:
            client = listener.accept()[0]
        except BlockingIOError:
            return
        client.setblocking(True)
        client.sendall(b"%d %s\n" % (os.getpid(), OPTION["-g"].encode()))
        self.clients.append(client)
        tell("client")
        if mode() == "full":
            self.send("MSG_FULL")
        if mode() == "company":
            self.send("MSG_COMPANY")
        if mode() == "once":
            sys.exit(0)

    def echo(self, client):
        try:
            data = client.recv(4096)
        except ConnectionError:
            data = b""
        if data:
            client.sendall(data)
        else:
            client.close()
            self.clients.remove(client)

    def run(self):
        tell("start", options=OPTION["-o"], args=OPTION["args"],
             kinds=OPTION.get("-l", ""), uid=os.geteuid(),
             descriptors=self.descriptors, environment=sorted(os.environ),
             groups=sorted(os.getgroups()))
        if mode() == "die":
            sys.exit("%s[%d]: fatal: told to die" % (PROGRAM, os.getpid()))
        for s in self.listeners:
            s.setblocking(False)
        self.send("MSG_READY")
        if mode() == "crash":
            os.abort()
        while not self.leaving or self.clients:
            control = [self.control] if self.master else []
            ready = select.select(control + self.listeners + self.clients,
                                  [], [])[0]
            for s in ready:
                if s is self.control:
                    self.hear()
                elif s in self.listeners:
                    self.accept(s)
                elif s in self.clients:
                    self.echo(s)
        tell("exit")


if __name__ == "__main__":
    Daemon().run()
