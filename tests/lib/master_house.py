# SPDX-License-Identifier: GPL-3.0-or-later
"""A suite under a real master, with the real log daemon, whose other daemons
are fake_daemon.py."""

import json
import os
import shutil
import signal
import socket
import subprocess

import cases
import ipc
import ports

FAKES = ("smtpd", "qmgr", "pickup", "auth", "local", "imap-login")
MASTER_CF = """
log unix - - n - 1 log
qmgr unix n - n 300 1 qmgr
"""


class MasterHouse(ipc.House):
    def __init__(self, master_cf="", **conf):
        self.ports = ports.Ports()
        super().__init__()
        self.log_path = self.path("mail.log")
        self.settings = dict({
            "daemon_directory": self.libexec, "myhostname": "mx.example.test",
            "maillog_file": self.log_path}, **conf)
        self.bin = self.path("bin")
        shutil.copytree(os.path.join(ipc.BUILD, "bin"), self.bin,
                        symlinks=True)
        for name in FAKES:
            self._fake(name)
        os.mkdir(os.path.join(self.conf, "conf.d"))
        self.configure(**self.settings)
        self.write_master_cf(MASTER_CF + master_cf)
        self._own(self.dir)
        self.process = None
        self.pids = []

    def _fake(self, name):
        with open(os.path.join(os.path.dirname(__file__),
                               "fake_daemon.py")) as f:
            text = f.read().replace("NUMBER = {}", "NUMBER = %r" % ipc.NUMBER,
                                    1)
        path = os.path.join(self.libexec, name)
        if os.path.exists(path):
            os.unlink(path)
        with open(path, "w") as f:
            f.write(text)
        os.chmod(path, 0o755)

    def _own(self, top):
        if os.geteuid() != 0:
            return
        for folder, _, files in os.walk(top):
            for name in [folder] + [os.path.join(folder, f) for f in files]:
                os.lchown(name, ipc.UID, ipc.UID)

    def configure(self, **conf):
        super().configure(**conf)
        self._own(self.conf)

    def change(self, **conf):
        self.settings.update(conf)
        self.configure(**self.settings)

    def write_master_cf(self, text):
        with open(os.path.join(self.conf, "master.cf"), "w") as f:
            f.write(text)
        self._own(self.conf)

    def mode(self, program, mode):
        with open(self.path(program + ".mode"), "w") as f:
            f.write(mode)

    # ---- running it ----

    def command(self, *args, **env):
        """chappe's arguments, as the suite's user."""
        argv = [os.path.join(self.bin, "chappe")] + list(args)
        if os.geteuid() == 0:
            argv = ["setpriv", "--reuid=%d" % ipc.UID, "--regid=%d" % ipc.UID,
                    "--clear-groups"] + argv
        env = dict({"CHAPPE_CONFIG": self.conf, "PATH": os.environ["PATH"],
                    "ASAN_OPTIONS": "detect_leaks=0"}, **env)
        return argv, env

    def chappe(self, *args, status=0):
        argv, env = self.command(*args)
        done = subprocess.run(argv, env=env, stdin=subprocess.DEVNULL,
                              capture_output=True, text=True, check=False,
                              timeout=cases.WAIT_S * 2)
        cases.equal(done.returncode, status, "status of %s (%s)" % (
            args, done.stdout + done.stderr))
        return done

    def start(self):
        self.chappe("start")

    def stop(self):
        return self.chappe("stop")

    def master_pid(self):
        with open(os.path.join(self.queue, "pid", "master.pid")) as f:
            return int(f.read())

    def end(self):
        """For sure, however the test ended."""
        try:
            if subprocess.run(
                    self.command("status")[0], env=self.command("status")[1],
                    capture_output=True, check=False).returncode == 0:
                self.pids.append(self.master_pid())
        except (OSError, ValueError):
            pass
        self.pids += [e["pid"] for e in self.events("start")]
        for pid in self.pids:
            try:
                with open("/proc/%d/cmdline" % pid) as f:
                    ours = self.dir in f.read()
                if ours:
                    os.kill(pid, signal.SIGKILL)
            except OSError:
                pass
        self.ports.release()
        self.remove()

    # ---- looking ----

    def events(self, event=None, program=None, **more):
        try:
            with open(self.path("events")) as f:
                found = [json.loads(line) for line in f]
        except FileNotFoundError:
            return []
        return [e for e in found
                if (event is None or e["event"] == event) and
                (program is None or e["program"] == program) and
                all(e.get(k) == v for k, v in more.items())]

    def wait_event(self, event, program, count=1, **more):
        return cases.wait_for(
            "%d of event %s of %s" % (count, event, program),
            lambda: (lambda f: f if len(f) >= count else None)(
                self.events(event, program, **more)))

    def log(self):
        try:
            with open(self.log_path) as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def wait_log(self, text):
        return cases.wait_for("log line %r" % text,
                              lambda: text in self.log() and self.log())


class Client:
    """Connected to a fake daemon, which has told who it is."""

    def __init__(self, port, timeout=None):
        self.sock = socket.create_connection(("127.0.0.1", port),
                                             timeout or cases.WAIT_S)
        self.file = self.sock.makefile("rb")
        words = self.file.readline().split()
        assert len(words) == 2, "connection closed without a greeting"
        self.pid, self.generation = int(words[0]), int(words[1])

    def works(self):
        self.sock.sendall(b"ping\n")
        return self.file.readline() == b"ping\n"

    def close(self):
        self.file.close()
        self.sock.close()
