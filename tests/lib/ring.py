# SPDX-License-Identifier: GPL-3.0-or-later
"""The writer's side of a log ring, from docs/FORMATS.md."""

import fcntl
import mmap
import os
import struct
import time

F_ADD_SEALS, SEALS = 1033, 1 | 2 | 4
HEAD, TAIL, SLEEPING, LOST = 64, 128, 136, 140


class Ring:
    def __init__(self, size=65536, seals=SEALS):
        self.size = size
        self.memory = os.memfd_create("ring", os.MFD_ALLOW_SEALING)
        self.event = os.eventfd(0, os.EFD_NONBLOCK)
        os.ftruncate(self.memory, 4096 + size)
        fcntl.fcntl(self.memory, F_ADD_SEALS, seals)
        self.map = mmap.mmap(self.memory, 4096 + size)
        self.map[0:16] = struct.pack("<8sQ", b"CHAPLOG1", size)

    def _get(self, at):
        return struct.unpack("<Q", self.map[at:at + 8])[0]

    def put(self, text, qid="", trace=0, what="", kind=0, level=1,
            tag="postfix/test", time_us=None):
        """False when there is no room: then counted as lost."""
        parts = [p.encode() for p in (qid, what, tag, text)]
        n = 32 + sum(map(len, parts))
        length = (n + 7) & ~7
        if time_us is None:
            time_us = int(time.time() * 1e6)
        record = struct.pack("<IBBBBqQHHI", length, kind, level,
                             len(parts[0]), len(parts[1]), time_us, trace,
                             len(parts[2]), len(parts[3]), 0)
        record = (record + b"".join(parts)).ljust(length, b"\0")
        head = self._get(HEAD)
        if head - self._get(TAIL) + length > self.size:
            lost = struct.unpack("<I", self.map[LOST:LOST + 4])[0]
            self.map[LOST:LOST + 4] = struct.pack("<I", lost + 1)
            return False
        for i, byte in enumerate(record):
            self.map[4096 + (head + i) % self.size] = byte
        self.map[HEAD:HEAD + 8] = struct.pack("<Q", head + length)
        if self.map[SLEEPING] == 1:
            self.map[SLEEPING] = 0
            os.eventfd_write(self.event, 1)
        return True

    def event_(self, what, text, **more):
        return self.put(text, what=what, kind=1, **more)

    def empty(self):
        return self._get(HEAD) == self._get(TAIL)

    def attach(self, channel):
        channel.send("MSG_LOG_ATTACH", [("F_SERVICE", "test"),
                                        ("F_PID", os.getpid())],
                     fds=[self.memory, self.event])
