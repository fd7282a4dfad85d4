# SPDX-License-Identifier: GPL-3.0-or-later
"""The memory files by which master hands out certificates and keys."""

import fcntl
import os
import struct

MAGIC = b"CHPKEYS1"
CHAIN, CA, NAME = 1, 2, 3
SEALS = 15  # seal, shrink, grow, write


def encode(*items):
    """items: (kind, name, bytes)."""
    return MAGIC + b"".join(
        struct.pack("<III", kind, len(name), len(pem)) + name.encode() + pem
        for kind, name, pem in items)


def decode(data):
    assert data.startswith(MAGIC)
    at, items = len(MAGIC), []
    while at < len(data):
        kind, name, pem = struct.unpack_from("<III", data, at)
        at += 12
        items.append((kind, data[at:at + name].decode(),
                      data[at + name:at + name + pem].decode()))
        at += name + pem
    return items


def memory(data, name="keys"):
    """A sealed memory file; its descriptor."""
    fd = os.memfd_create(name, os.MFD_ALLOW_SEALING)
    os.write(fd, data)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, SEALS)
    return fd


def read(fd):
    return os.pread(fd, os.fstat(fd).st_size, 0)
