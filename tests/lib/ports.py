# SPDX-License-Identifier: GPL-3.0-or-later
"""Free loopback ports that no two instances can get at the same time.

Ports come from below the kernel's range for outgoing connections, so nothing
takes one by chance, and each is guarded by a lock on a file of its name that
is held as long as the instance lives.
"""

import fcntl
import os
import random
import socket

LOCKS = "/tmp/chappe-test-ports"


def _range():
    with open("/proc/sys/net/ipv4/ip_local_port_range") as f:
        low = int(f.read().split()[0])
    if low > 12000:
        return range(10240, low)
    return range(20000, 32000)


def _is_free(port):
    pairs = ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1"))
    for family, address in pairs:
        try:
            s = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue
        with s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((address, port))
            except OSError as e:
                if e.errno != 99:  # EADDRNOTAVAIL: no IPv6 here
                    return False
    return True


def _lock(port):
    """A locked descriptor, or None when another instance has the port."""
    path = "%s/%d" % (LOCKS, port)
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    try:
        fd = os.open(path, flags, 0o666)
    except OSError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fchmod(fd, 0o666)
    except BlockingIOError:
        os.close(fd)
        return None
    except OSError:
        pass  # another user's file: the lock is what counts
    return fd


class Ports:
    """Takes ports; gives them back with release()."""

    def __init__(self):
        self._fds = []
        try:
            os.mkdir(LOCKS)
            os.chmod(LOCKS, 0o1777)
        except FileExistsError:
            pass

    def take(self):
        candidates = list(_range())
        random.shuffle(candidates)
        for port in candidates:
            fd = _lock(port)
            if fd is None:
                continue
            if _is_free(port):
                self._fds.append(fd)
                return port
            os.close(fd)
        raise OSError("no free port")

    def release(self):
        for fd in self._fds:
            os.close(fd)
        self._fds = []
