# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures about a set of processes: CPU time, memory, system calls, and in
which order the disk and the network were used."""

import os
import re
import signal
import subprocess
import time

TRACE_CALLS = ("write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,"
               "sendto,sendmsg,send,rename,renameat,renameat2")


# ---- CPU ----

def _cgroup_root():
    with open("/proc/mounts") as f:
        for line in f:
            words = line.split()
            if words[2] == "cgroup2":
                return words[1]
    return ""


class Group:
    """A control group for one suite: its CPU time counts every process,
    also those that are gone."""

    def __init__(self, name):
        root = _cgroup_root()
        self.root, self.path = root, os.path.join(
            root, "chappe-bench-%d-%s" % (os.getpid(), name))
        self.usable = False
        if not root:
            return
        try:
            os.mkdir(self.path)
            with open(self.path + "/cpu.stat") as f:
                self.usable = "usage_usec" in f.read()
        except OSError:
            pass

    def enter(self):
        """This process, and what it starts from now on, is in the group."""
        self._move(self.path)

    def leave(self):
        self._move(self.root)

    def _move(self, path):
        if self.usable:
            with open(path + "/cgroup.procs", "w") as f:
                f.write(str(os.getpid()))

    def cpu_s(self):
        with open(self.path + "/cpu.stat") as f:
            return int(f.readline().split()[1]) / 1e6

    def remove(self):
        for _ in range(50):
            try:
                os.rmdir(self.path)
                return
            except FileNotFoundError:
                return
            except OSError:
                time.sleep(0.1)


def cpu_of_pids(pids):
    """Seconds, with those of children that were waited for."""
    ticks = 0
    for pid in pids:
        try:
            with open("/proc/%d/stat" % pid) as f:
                fields = f.read().rsplit(")", 1)[1].split()
            ticks += sum(int(n) for n in fields[11:15])
        except OSError:
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


# ---- memory ----

def pss_mb(pids):
    """Proportional set size of all, in MB (10^6)."""
    total = 0
    for pid in pids:
        try:
            with open("/proc/%d/smaps_rollup" % pid) as f:
                for line in f:
                    if line.startswith("Pss:"):
                        total += int(line.split()[1])
        except OSError:
            pass
    return total * 1024 / 1e6


# ---- system calls ----

class Strace:
    """strace on all the processes, and on what they start."""

    def __init__(self, pids, path, *options):
        self.path = path
        for last in (False, False, False, True):
            self.child = subprocess.Popen(
                self._argv(pids, path, options), stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE)
            if self._attached(pids):
                return
            said = self._end()
            if last:
                raise OSError("strace did not attach: %s" % said)

    @staticmethod
    def _argv(pids, path, options):
        argv = ["strace", "-f", "-qq", "-o", path] + list(options)
        for pid in pids:
            if os.path.exists("/proc/%d" % pid):
                argv += ["-p", str(pid)]
        return argv

    def _attached(self, pids):
        """False also when strace ended: it gives up when a thread begins
        or ends while it attaches."""
        end = time.monotonic() + 20
        while time.monotonic() < end and self.child.poll() is None:
            if all(self._traced(pid) for pid in pids):
                return True
            time.sleep(0.02)
        return False

    def _end(self):
        if self.child.poll() is None:
            self.child.kill()
        return self.child.communicate()[1].decode()

    @staticmethod
    def _traced(pid):
        try:
            tasks = os.listdir("/proc/%d/task" % pid)
            for task in tasks:
                with open("/proc/%d/task/%s/status" % (pid, task)) as f:
                    if "TracerPid:\t0\n" in f.read():
                        return False
        except OSError:
            pass  # gone meanwhile
        return True

    def stop(self):
        self.child.send_signal(signal.SIGINT)
        self.child.communicate()


def read_counts(path):
    """strace -c's table: {call: number}."""
    counts = {}
    with open(path) as f:
        for line in f:
            words = line.split()
            if len(words) >= 5 and re.match(r"^[\d.]+$", words[0]) and \
                    words[-1] != "total":
                counts[words[-1]] = int(words[3])
    return counts


# ---- what a flush covers ----

CALL = re.compile(r"^(\d+) +(\d+\.\d+) (\w+)\((.*)$")
RESUMED = re.compile(r"^(\d+) +(\d+\.\d+) <\.\.\. (\w+) resumed>(.*)$")
PATH = re.compile(r"^\d+<([^>]*)>")


def read_trace(path):
    """Of strace -f -ttt -y: [(begin, end, call, file, arguments, result)],
    times in seconds."""
    calls, open_calls = [], {}
    with open(path, errors="replace") as f:
        for line in f:
            line = line.rstrip("\n")
            m = RESUMED.match(line)
            if m:
                pid, at, name, rest = m.groups()
                began, head = open_calls.pop((pid, name), (None, ""))
                if began is not None:
                    calls.append(_call(began, float(at), name, head + rest))
                continue
            m = CALL.match(line)
            if not m:
                continue
            pid, at, name, rest = m.groups()
            if rest.endswith("<unfinished ...>"):
                open_calls[pid, name] = (float(at),
                                         rest[:-len("<unfinished ...>")])
            else:
                # The time is that of the call's begin; -T tells how long.
                took = re.search(r" <([\d.]+)>$", rest)
                end = float(at) + (float(took.group(1)) if took else 0)
                calls.append(_call(float(at), end, name, rest))
    return calls


def _call(began, ended, name, rest):
    rest = re.sub(r" <[\d.]+>$", "", rest)
    m = PATH.match(rest)
    arguments, _, result = rest.rpartition(" = ")
    return (began, ended, name, m.group(1) if m else "", arguments,
            result.split(" ")[0].split("<")[0])


def uncovered(calls, tokens):
    """Of the messages, {a text in it: its queue id}, those whose 250 was not
    preceded by a completed flush of a file that held all of the text: [why]."""
    flushes = [c for c in calls if c[2] in ("fsync", "fdatasync") and
               c[5] == "0"]
    faults = []
    for token, qid in tokens.items():
        replies = [c for c in calls if c[2].startswith("send") or
                   c[2].startswith("write") if "queued as " + qid in c[4]]
        writes = [c for c in calls if c[3].startswith("/") and
                  "write" in c[2] and token in c[4]]
        if len(replies) != 1:
            faults.append("%s: %d replies in the trace" % (qid, len(replies)))
        elif not any(w[3] == f[3] and f[0] >= w[1] and
                     f[1] <= replies[0][0]
                     for w in writes for f in flushes):
            faults.append("%s: no flush between its %d writes and the 250" %
                          (qid, len(writes)))
    return faults
