# SPDX-License-Identifier: GPL-3.0-or-later
"""Queue files and records of the journal, written by docs/FORMATS.md and not
by our code."""

import os
import struct
import time

ACTIVE, HOLD = 1, 3
RECORDS = 8192  # where they begin in a segment


def _table():
    rows = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
        rows.append(crc)
    return rows


TABLE = _table()


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


def record(kind, data, mark=0):
    head = struct.pack("<BBHI", ord(kind), 0, 0, len(data))
    return (struct.pack("<BBHII", ord(kind), mark, 0, len(data),
                        crc32c(head + data)) + data)


def field(number, value):
    if isinstance(value, int):
        value = struct.pack("<Q", value)
    elif isinstance(value, str):
        value = value.encode()
    return struct.pack("<BH", number, len(value)) + value


class File:
    """One message. to: (address, transport, next hop, NOTIFY) each."""

    def __init__(self, sender, to, content=b"Subject: x\r\n\r\n", slot=0xee,
                 age_s=0, birth=ACTIVE):
        now_us = time.time_ns() // 1000 - age_s * 1000000
        self.number = number = now_us << 8 | slot
        self.qid = "%X" % number
        self.folder = "%X" % (now_us & 15)
        envelope = record("S", field(2, now_us) + field(3, sender) +
                          field(16, birth) +
                          field(250, b"of a newer release"))
        for address, transport, nexthop, notify in to:
            envelope += record("R", field(1, address) + field(3, transport) +
                               field(4, nexthop) + field(6, notify),
                               ord(" "))
        at = 72 + len(envelope)
        head = struct.pack("<8sHHIQQQQQIII", b"chappeQ\n", 1, 72, len(to),
                           number, len(envelope), at, len(content), 0,
                           crc32c(content), 0, 0)
        head += struct.pack("<I", crc32c(head))
        end = record("E", struct.pack("<QQ", number, at + len(content) + 28))
        self.head = head + envelope
        self.bytes = self.head + content + end

    def path(self, queue, part="active"):
        return os.path.join(queue, part, self.folder, self.qid)

    def put(self, queue, part="active"):
        """Into the queue, as one of its files."""
        name = self.path(queue, part)
        with open(name, "wb") as f:
            f.write(self.bytes)
        st = os.stat(os.path.dirname(name))
        os.chown(name, st.st_uid, st.st_gid)
        os.chmod(name, 0o660)
        return self.qid

    def record(self, generation, place):
        """Of the journal, for that place."""
        frame = struct.pack("<BBHIQQQI", ord("M"), 0, 0, len(self.bytes),
                            generation, place, self.number, 0)
        data = frame + struct.pack("<I", crc32c(frame + self.bytes))
        return (data + self.bytes).ljust(
            len(data) + (len(self.bytes) + 7) // 8 * 8, b"\0")
