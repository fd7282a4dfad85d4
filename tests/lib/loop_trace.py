# SPDX-License-Identifier: GPL-3.0-or-later
"""Does an event loop's thread block anywhere but in epoll_wait? Read from
strace's record of all its calls (-f -y -T), and from what is known of its
descriptors."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "bench"))
import measure  # noqa: E402

NONBLOCK = 0o4000
LINE = re.compile(r"^(\d+) +([\d.]+) (\w+)\((.*)$")
RESUMED = re.compile(r"^(\d+) +([\d.]+) <\.\.\. (\w+) resumed>(.*)$")
FD = re.compile(r"^(\d+)<([^>]*)>?")
TOOK = re.compile(r" <([\d.]+)>$")
MADE = ("socket", "accept4", "accept", "eventfd2", "openat", "memfd_create",
        "pipe2", "epoll_create1", "socketpair", "dup", "dup2", "dup3")
# Calls that wait for the descriptor that comes first.
TRANSFERS = ("read", "readv", "recvfrom", "recvmsg", "recvmmsg", "write",
             "writev", "sendto", "sendmsg", "sendmmsg", "connect", "accept",
             "accept4", "pread64", "preadv", "pwrite64", "pwritev",
             "pwritev2", "sendfile", "splice")
# What may wait for the disk, whatever it is told.
DISK = ("fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "rename",
        "renameat", "renameat2", "unlink", "unlinkat", "link", "linkat",
        "ftruncate", "fallocate", "mkdir", "mkdirat", "rmdir")
WAITS = ("poll", "ppoll", "select", "pselect6", "nanosleep",
         "clock_nanosleep", "wait4", "waitid", "pause", "rt_sigtimedwait",
         "sigsuspend", "rt_sigsuspend")
LONGEST_S = 0.5  # of any one call but epoll_wait


def descriptors(pid):
    """fd -> is it non-blocking? as they are now."""
    found = {}
    folder = "/proc/%d/fdinfo" % pid
    for name in os.listdir(folder):
        try:
            with open(os.path.join(folder, name)) as f:
                flags = re.search(r"^flags:\s*([0-7]+)", f.read(), re.M)
        except OSError:
            continue
        found[int(name)] = bool(int(flags.group(1), 8) & NONBLOCK)
    return found


class Recorder:
    """Records all calls of the process from now until calls()."""

    def __init__(self, pid, path):
        self.pid, self.path = pid, path
        self.strace = measure.Strace([pid], path, "-ttt", "-T", "-y", "-s",
                                     "40")
        self.known = descriptors(pid)

    def stop(self):
        self.strace.stop()


def read(path):
    """[(thread, name, arguments and result, seconds)] in order of begin; the
    seconds of a call that did not end are None."""
    calls, open_calls = [], {}
    with open(path, errors="replace") as f:
        for line in f:
            line = line.rstrip("\n")
            m = RESUMED.match(line)
            if m and (m[1], m[3]) in open_calls:
                n = open_calls.pop((m[1], m[3]))
                calls[n] = _call(int(m[1]), m[3], calls[n][2] + m[4])
                continue
            m = LINE.match(line)
            if not m:
                continue
            if m[4].endswith("<unfinished ...>"):
                open_calls[m[1], m[3]] = len(calls)
                calls.append((int(m[1]), m[3], m[4][:-16], None))
            else:
                calls.append(_call(int(m[1]), m[3], m[4]))
    return calls


def _call(thread, name, rest):
    took = TOOK.search(rest)
    return (thread, name, TOOK.sub("", rest),
            float(took[1]) if took else None)


class Descriptors:
    """Which are non-blocking, as the calls of all threads change them."""

    def __init__(self, known):
        self.known = dict(known)

    def see(self, name, rest):
        arguments, _, result = rest.rpartition(" = ")
        fd = FD.match(result)
        if name in MADE and fd:
            self.known[int(fd[1])] = "NONBLOCK" in arguments
        elif name in ("socketpair", "pipe2"):
            for n in re.findall(r"(\d+)<", arguments):
                self.known[int(n)] = "NONBLOCK" in arguments
        elif name == "fcntl" and "F_SETFL" in arguments:
            self.known[int(FD.match(arguments)[1])] = \
                "O_NONBLOCK" in arguments
        elif name == "recvmsg":
            for n in re.findall(r"cmsg_data=\[([^\]]*)\]", arguments):
                for one in re.findall(r"(\d+)<", n):
                    self.known[int(one)] = False
        elif name == "close" and FD.match(arguments):
            self.known.pop(int(FD.match(arguments)[1]), None)

    def blocks(self, rest):
        m = FD.match(rest)
        return m and not self.known.get(int(m[1]), False)


def _no_timeout(name, rest):
    arguments = rest.rpartition(" = ")[0].rstrip(")")
    if name == "poll":
        return arguments.endswith(", 0")
    if name in ("ppoll", "select", "pselect6"):
        return "{tv_sec=0, tv_" in arguments and "sec=0}" in arguments
    return "WNOHANG" in arguments


def _why(name, rest, fds):
    if name in DISK:
        return "waits for the disk"
    if name in WAITS and not _no_timeout(name, rest):
        return "waits"
    if name == "flock" and "LOCK_NB" not in rest and "LOCK_UN" not in rest:
        return "waits for a lock"
    if name == "fcntl" and "SETLKW" in rest:
        return "waits for a lock"
    if name not in TRANSFERS:
        return None
    m = FD.match(rest)
    if m and m[2].startswith("/") and "socket" not in m[2]:
        return "writes to a file" if "write" in name else None
    if "MSG_DONTWAIT" in rest or not fds.blocks(rest):
        return None
    return "the descriptor is a blocking one"


def faults(calls, thread, known):
    """What the thread did that may block: [text]."""
    fds, found = Descriptors(known), []
    for who, name, rest, took in calls:
        if who == thread and not name.startswith("epoll_"):
            why = _why(name, rest, fds)
            if why is None and took is not None and took > LONGEST_S:
                why = "took %.1f s" % took
            # What was cut off by the end of the trace tells nothing.
            if why is None and took is None and "<detached" not in rest \
                    and name not in ("exit", "exit_group"):
                why = "did not return"
            if why:
                found.append("%s: %s(%s" % (why, name, rest[:150]))
        fds.see(name, rest)
    return found
