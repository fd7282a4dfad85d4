# SPDX-License-Identifier: GPL-3.0-or-later
"""An instance whose processes, or whose disk, can be cut off at any moment,
and which is then started again; and mails that are counted afterwards."""

import collections
import fcntl
import os
import re
import shutil
import signal
import smtplib
import socket
import struct
import subprocess
import tempfile
import threading
import time

import cases
import instance
import mail

EXT4_IOC_SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32)
NO_LOG_FLUSH = 2


class Disk:
    """A file system of its own, in a file, whose power can be cut."""

    def __init__(self, kind="ext4", megabytes=700):
        if os.geteuid() != 0:
            raise cases.Skip("only root mounts file systems")
        with open("/proc/filesystems") as f:
            if kind not in f.read().split():
                raise cases.Skip("this kernel has no %s" % kind)
        self.kind = kind
        self.folder = tempfile.mkdtemp(prefix="chappe-disk-")
        self.image = os.path.join(self.folder, "image")
        self.mount = os.path.join(self.folder, "mount")
        os.mkdir(self.mount)
        with open(self.image, "wb") as f:
            f.truncate(megabytes << 20)
        mkfs = "mkfs." + kind
        if shutil.which(mkfs) is None:
            mkfs = mail.partner(
                "xfsprogs" if kind == "xfs" else "e2fsprogs", mkfs)
        subprocess.run([mkfs, "-q", self.image], check=True,
                       capture_output=True)
        self.attach()
        os.chmod(self.folder, 0o755)
        os.chmod(self.mount, 0o777)

    def attach(self):
        subprocess.run(["mount", "-o", "loop", self.image, self.mount],
                       check=True, capture_output=True)

    def detach(self):
        def gone():
            return subprocess.run(["umount", self.mount], check=False,
                                  capture_output=True).returncode == 0
        cases.wait_for("the file system to be free", gone)

    def cut(self):
        """Nothing that is not on the disk gets there any more."""
        fd = os.open(self.mount, os.O_RDONLY)
        fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        os.close(fd)

    def remove(self):
        subprocess.run(["umount", "-l", self.mount], check=False,
                       capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)


class Instance(instance.Instance):
    """With start_again(), after kill_all() or a cut of its disk."""

    def __init__(self, options=(), disk=None, **more):
        self.disk, before = disk, tempfile.tempdir
        if disk:
            tempfile.tempdir = disk.mount
        try:
            super().__init__(options, **more)
        finally:
            tempfile.tempdir = before

    def start(self):
        super().start()
        os.environ.update(self.environment())
        mail.DOMAIN = instance.DOMAIN
        if self.disk:
            os.sync()

    def kill_all(self):
        """kill -9 of all processes, none of which sees another's death."""
        def each(signo):
            for pid in self._ours():
                try:
                    os.kill(pid, signo)
                except ProcessLookupError:
                    pass
        self.master.send_signal(signal.SIGSTOP)
        each(signal.SIGSTOP)
        while self._ours():
            each(signal.SIGKILL)
            self.master.wait()
            self._reap()

    def cut_power(self):
        self.disk.cut()
        self.kill_all()
        self.disk.detach()
        self.disk.attach()

    def start_again(self):
        open(self.stderr_path, "w").close()
        self._launch()
        deadline = time.monotonic() + instance.READY_S
        for name, port in self.port.items():
            self._wait_for(name, port, deadline)

    def part(self, name):
        """Names of the messages in a part of the queue."""
        return [f for _, _, files in os.walk(os.path.join(self.queue, name))
                for f in files if f[0] not in ".s"]


class Away:
    """A next hop that takes connections and says nothing, so that mail for
    it stays in delivery, unsealed, until the checkpoint; later one that takes
    the mail."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        self.port = self.listener.getsockname()[1]
        self.sink = None

    def option(self):
        return "relayhost=[127.0.0.1]:%d" % self.port

    def answers(self):
        self.listener.close()
        self.sink = mail.Sink(port=self.port)
        self.sink.__enter__()

    def close(self):
        if self.sink:
            self.sink.__exit__(None, None, None)
        else:
            self.listener.close()

    def subjects(self):
        return sorted(re.search(rb"^Subject: (.*?)\r?$", m["data"],
                                re.M).group(1).decode()
                      for m in self.sink.messages)


class Sender:
    """Mails with a number each, over some connections, until stopped;
    `promised` are those that were answered 250."""

    def __init__(self, connections=8, to=1, size=200, pause_s=0):
        self.to, self.size, self.pause_s = to, size, pause_s
        self.promised, self.count = set(), 0
        self.lock, self.stopped = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self._run)
                        for _ in range(connections)]

    def __enter__(self):
        self.stopped.clear()
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, *unused):
        self.stopped.set()
        for t in self.threads:
            t.join()
        self.threads = [threading.Thread(target=self._run)
                        for _ in self.threads]

    def _run(self):
        while not self.stopped.is_set():
            try:
                self._session()
            except (OSError, smtplib.SMTPException):
                time.sleep(0.01)

    def _session(self):
        with smtplib.SMTP("localhost", int(mail.env("SMTP_PORT")),
                          timeout=20) as s:
            while not self.stopped.is_set():
                with self.lock:
                    self.count += 1
                    token = "token-%06d" % self.count
                self.stopped.wait(self.pause_s)
                to = self.to if isinstance(self.to, str) else \
                    mail.address(self.to)
                s.sendmail("sender@elsewhere.test", [to],
                           "Subject: %s\r\n\r\n%s\r\n" % (
                               token, ("x" * 70 + "\r\n") * (self.size // 72)))
                with self.lock:
                    self.promised.add(token)

    def missing_of(self, got):
        """Those promised that are not in a list."""
        return sorted(self.promised - set(got))

    def arrived(self):
        """token -> how often it is in the mailbox."""
        got = collections.Counter()
        for text in mail.mailbox_texts(self.to):
            got.update(re.findall(rb"^Subject: (token-\d+)", text, re.M))
        return {k.decode(): n for k, n in got.items()}

    def missing(self):
        return sorted(self.promised - set(self.arrived()))

    def twice(self):
        return sorted(k for k, n in self.arrived().items() if n > 1)
