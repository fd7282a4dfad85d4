# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole suite in a directory of its own: made, started, stopped, removed."""

import ctypes
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

import certificate
import ports
import privileged

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
MODE = os.environ.get("MODE", "debug")
BUILD = os.path.join(ROOT, os.environ.get("B") or "build/%s" % MODE)
DOMAIN = "chappe.test"
READY_S = 60
STOP_S = 30
# The ordinary user whom the suite runs as when root calls: in no password
# file, and of no service.
MADE_UP_UID = 61473
TOOLS = ("sendmail", "mailq", "newaliases", "postqueue", "postsuper",
         "postcat", "postmap", "postalias", "postconf", "chappe")
PR_SET_CHILD_SUBREAPER = 36


class Failed(Exception):
    """The instance could not be made or started."""


class User:
    """A login name, its password and where its mail lies."""

    def __init__(self, name, password, home, mailbox, uid, gid):
        self.name, self.password, self.home = name, password, home
        self.mailbox, self.uid, self.gid = mailbox, uid, gid


def _write(path, text, mode=0o644):
    with open(path, "w") as f:
        f.write(text)
    os.chmod(path, mode)


def _chown_tree(path, uid, gid):
    os.chown(path, uid, gid)
    for folder, dirs, files in os.walk(path):
        for name in dirs + files:
            os.lchown(os.path.join(folder, name), uid, gid)


def _process_table():
    """pid -> (parent, exe path) of all processes that can be seen."""
    table = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open("/proc/%s/stat" % name) as f:
                fields = f.read().rsplit(")", 1)[1].split()
            try:
                exe = os.readlink("/proc/%s/exe" % name)
            except OSError:
                exe = ""
            if fields[0] != "Z":
                table[int(name)] = (int(fields[1]), exe)
        except (OSError, IndexError):
            continue
    return table


def _lines(services):
    """Service lines; "@FILE" stands for those of a file of the repository,
    without its comments."""
    lines = []
    for line in services:
        if line[:1] != "@":
            lines.append(line)
            continue
        with open(os.path.join(ROOT, line[1:])) as f:
            lines += [w.rstrip() for w in f if w.strip() and w[0] != "#"]
    return lines


class Instance:
    """Use: start(), environment(), stop(), remove()."""

    def __init__(self, options=(), services=(), mailbox="maildir",
                 privileged_=False):
        self.options, self.services = list(options), _lines(services)
        self.mailbox, self.privileged = mailbox, privileged_
        self.master = None
        self.ports = ports.Ports()
        self.dir = tempfile.mkdtemp(prefix="chappe-")
        os.chmod(self.dir, 0o755)
        self.uid, self.gid = os.geteuid(), os.getegid()
        if self.uid == 0 and not privileged_:
            self.uid = self.gid = MADE_UP_UID
        self.build, self.partners = BUILD, ""
        self.tls = os.path.join(self.dir, "tls")
        self.conf = os.path.join(self.dir, "etc")
        self.queue = os.path.join(self.dir, "queue")
        self.log = os.path.join(self.dir, "log", "mail.log")
        if privileged_:
            self.conf, self.queue = "/etc/chappe", "/var/spool/chappe"
        self.bin = os.path.join(self.dir, "bin")
        self.stderr_path = os.path.join(self.dir, "log", "stderr")
        self.port, self.extra = {}, {}
        self.users = []

    # ---- making ----

    def _make_binaries(self):
        """The programs, where the suite's user can reach them."""
        if not os.path.isdir(os.path.join(BUILD, "libexec")):
            raise Failed("%s: nothing is built there; run make" % BUILD)
        if self.privileged:
            self.build = privileged.show(self.dir, "build", BUILD)
            partners = os.path.join(ROOT, "build", "partners")
            os.makedirs(partners, exist_ok=True)
            self.partners = privileged.show(self.dir, "partners", partners)
        elif self.uid != os.geteuid() and not self._reachable(BUILD):
            self.build = os.path.join(self.dir, "build")
            for part in ("bin", "libexec"):
                shutil.copytree(os.path.join(BUILD, part),
                                os.path.join(self.build, part),
                                symlinks=True)
        os.mkdir(self.bin)
        for tool in TOOLS:
            target = os.path.join(self.build, "bin", tool)
            if not os.path.exists(target):
                continue
            _write(os.path.join(self.bin, tool),
                   "#!/bin/sh\nCHAPPE_CONFIG=%s exec %s \"$@\"\n"
                   % (self.conf, target), 0o755)

    def _reachable(self, path):
        return subprocess.run(
            ["setpriv", "--reuid=%d" % self.uid, "--regid=%d" % self.gid,
             "--clear-groups", "test", "-x", os.path.join(path, "libexec")],
            check=False).returncode == 0

    def _take_ports(self):
        for name in ("SMTP_PORT", "SUBMISSION_PORT", "SUBMISSIONS_PORT",
                     "LMTP_PORT", "IMAP_PORT", "IMAPS_PORT"):
            self.port[name] = self.ports.take()
        # A service may be named NAME_PORT: it gets a port of its own.
        for i, line in enumerate(self.services):
            name = line.split()[0]
            if name.endswith("_PORT"):
                self.extra[name] = self.ports.take()
                self.services[i] = line.replace(
                    name, str(self.extra[name]), 1)

    def _make_users(self):
        if self.privileged:
            self.users = privileged.make_users(self.mailbox)
            return
        for name in ("alice", "boris"):
            home = os.path.join(self.dir, "home", name)
            os.makedirs(home)
            if self.mailbox == "maildir":
                mailbox = os.path.join(home, "Maildir")
                for part in ("", "cur", "new", "tmp"):
                    os.mkdir(os.path.join(mailbox, part), 0o700)
            else:
                os.makedirs(os.path.join(self.dir, "mail"), exist_ok=True)
                mailbox = os.path.join(self.dir, "mail", name)
                _write(mailbox, "", 0o600)
            self.users.append(User(name, secrets.token_hex(10), home,
                                   mailbox, self.uid, self.gid))
        lines = []
        for u in self.users:
            digest = subprocess.run(
                ["openssl", "passwd", "-6", "-stdin"], input=u.password,
                capture_output=True, text=True, check=True).stdout.strip()
            lines.append("%s:{SHA512-CRYPT}%s:%d:%d::%s:/bin/sh::\n" % (
                u.name, digest, u.uid, u.gid, u.home))
        _write(os.path.join(self.conf, "users"), "".join(lines), 0o600)

    def _settings(self):
        common = {
            "daemon_directory": os.path.join(self.build, "libexec"),
            "command_directory": self.bin,
            "myhostname": DOMAIN,
            "mynetworks": "127.0.0.1/32 [::1]/128",
            "inet_interfaces": "loopback-only",
            "listen": "127.0.0.1, ::1",
            "imap_port": self.port["IMAP_PORT"],
            "imaps_port": self.port["IMAPS_PORT"],
            "smtpd_tls_cert_file": os.path.join(self.tls, "localhost.pem"),
            "smtpd_tls_key_file": os.path.join(self.tls, "localhost.key"),
            "maillog_file": self.log,
            "data_directory": os.path.join(self.dir, "data"),
        }
        if not self.privileged:
            aliases = "hash:" + os.path.join(self.conf, "aliases")
            common.update({
                "queue_directory": self.queue,
                "alias_maps": aliases,
                "alias_database": aliases,
            })
            if os.path.exists(os.path.join(self.build, "libexec", "auth")):
                users = "passwd-file:" + os.path.join(self.conf, "users")
                common.update({"auth_passdb": users, "auth_userdb": users})
        if self.mailbox == "maildir":
            common["mail_location"] = "maildir:~/Maildir"
        elif self.privileged:
            common["mail_location"] = "mbox:~/mail:INBOX=/var/mail/%u"
        else:
            common["mail_location"] = "mbox:~/mail:INBOX=%s/mail/%%u" % \
                self.dir
        return common

    def _master_cf(self):
        """The installed one, with this instance's ports for the names."""
        names = {"smtp": "SMTP_PORT", "submission": "SUBMISSION_PORT",
                 "submissions": "SUBMISSIONS_PORT"}
        seen, lines = set(), []
        with open(os.path.join(ROOT, "conf", "master.cf")) as f:
            for line in f:
                words = line.split()
                if len(words) > 2 and words[1] == "inet" and \
                        not line[0].isspace() and words[0] in names:
                    seen.add(words[0])
                    line = line.replace(
                        words[0], str(self.port[names[words[0]]]), 1)
                lines.append(line)
        missing = set(names) - seen
        if missing:
            raise Failed("conf/master.cf has no inet line for %s" %
                         ", ".join(sorted(missing)))
        lines.append("%d inet n - n - - smtpd -o smtpd_lmtp=yes "
                     "-o syslog_name=postfix/lmtp-in\n" %
                     self.port["LMTP_PORT"])
        lines += [s + "\n" for s in self.services]
        return "".join(lines)

    def _make_conf(self):
        os.makedirs(os.path.join(self.conf, "conf.d"), exist_ok=True)
        for name in ("main.cf", "aliases"):
            source = os.path.join(ROOT, "conf", name)
            target = os.path.join(self.conf, name)
            if os.path.exists(source):
                shutil.copyfile(source, target)
            else:
                _write(target, "")
            os.chmod(target, 0o644)
        # The private copy: the host itself may have none.
        if self.privileged and not os.path.exists("/etc/aliases"):
            shutil.copyfile(os.path.join(self.conf, "aliases"),
                            "/etc/aliases")
        _write(os.path.join(self.conf, "master.cf"), self._master_cf())
        _write(os.path.join(self.conf, "conf.d", "50-instance.cf"), "".join(
            "%s = %s\n" % pair for pair in self._settings().items()))
        _write(os.path.join(self.conf, "conf.d", "90-options.cf"), "".join(
            "%s = %s\n" % tuple(o.split("=", 1))
            for o in self._commit_option() + self.options))

    def _make(self):
        os.mkdir(os.path.join(self.dir, "log"))
        if self.privileged:
            privileged.private_host(self.dir)
        self._make_binaries()
        self._take_ports()
        certificate.make(self.tls)
        if not self.privileged:
            os.makedirs(self.queue)
        self._make_conf()
        self._make_users()
        if self.privileged:
            privileged.finish(self)
        elif self.uid != os.geteuid():
            _chown_tree(self.dir, self.uid, self.gid)
        self._command(["newaliases"])

    # ---- starting and stopping ----

    @staticmethod
    def _commit_option():
        """QUEUE_COMMIT in the environment: any test with either setting."""
        setting = os.environ.get("QUEUE_COMMIT")
        return ["queue_commit=" + setting] if setting else []

    def _identity(self):
        """setpriv's options for the user that the suite runs as."""
        if self.uid == os.geteuid():
            return []
        return ["--reuid=%d" % self.uid, "--regid=%d" % self.gid,
                "--clear-groups"]

    def _as_suite(self, argv):
        options = self._identity()
        return ["setpriv"] + options + argv if options else argv

    def _environment_of_suite(self):
        env = {"PATH": self.bin + ":/usr/sbin:/usr/bin:/sbin:/bin",
               "CHAPPE_CONFIG": self.conf,
               "HOME": self.dir, "LANG": "C.UTF-8"}
        for name in os.environ:
            if name in ("TZ", "LD_LIBRARY_PATH") or name.startswith(
                    ("CHAPPE_FAULT", "CHAPPE_CLOCK", "ASAN_", "UBSAN_")):
                env[name] = os.environ[name]
        # The daemons are not dumpable, so leaks can't be looked for in them.
        env.setdefault("ASAN_OPTIONS", "detect_leaks=0")
        env.setdefault("UBSAN_OPTIONS", "print_stacktrace=1")
        return env

    def _command(self, argv):
        done = subprocess.run(
            self._as_suite([os.path.join(self.bin, argv[0])] + argv[1:]),
            env=self._environment_of_suite(), capture_output=True, text=True,
            stdin=subprocess.DEVNULL, check=False)
        if done.returncode != 0:
            raise Failed("%s: status %d: %s" % (
                " ".join(argv), done.returncode, done.stderr.strip()))

    def _launch(self):
        argv = [os.path.join(self.bin, "chappe"), "start-fg"]
        # Whatever ends this process ends the suite.
        argv = ["setpriv", "--pdeathsig", "TERM"] + self._identity() + argv
        with open(self.stderr_path, "ab") as err:
            if self.uid != os.geteuid():
                os.chown(self.stderr_path, self.uid, self.gid)
            self.master = subprocess.Popen(
                argv, env=self._environment_of_suite(), cwd="/", stdout=err,
                stdin=subprocess.DEVNULL, stderr=err,
                start_new_session=True)

    def _port_in_use(self):
        with open(self.stderr_path) as f:
            return "Address already in use" in f.read()

    def start(self):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self._make()
        self._launch()
        deadline = time.monotonic() + READY_S
        for name, port in self.port.items():
            self._wait_for(name, port, deadline)

    def _wait_for(self, name, port, deadline):
        """Until the service greets."""
        why = "no answer"
        while time.monotonic() < deadline:
            if self.master.poll() is not None:
                with open(self.stderr_path) as f:
                    raise Failed("the suite ended with status %d while "
                                 "starting: %s" % (self.master.returncode,
                                                   f.read().strip()))
            try:
                self._greeting(name, port)
                return
            except (OSError, ValueError) as e:
                why = str(e) or type(e).__name__
                time.sleep(0.02)
        raise Failed("%s (port %d) is not ready after %d s: %s" %
                     (name, port, READY_S, why))

    def _greeting(self, name, port):
        with socket.create_connection(("localhost", port), 10) as s:
            if name in ("SUBMISSIONS_PORT", "IMAPS_PORT"):
                context = ssl.create_default_context(
                    cafile=os.path.join(self.tls, "ca.pem"))
                s = context.wrap_socket(s, server_hostname="localhost")
            with s, s.makefile("rb") as f:
                line = f.readline(1000)
                if not line.startswith((b"220 ", b"* OK")):
                    raise ValueError("greeting %r" % line)
                s.sendall(b"a LOGOUT\r\n" if line[:1] == b"*" else
                          b"QUIT\r\n")
                while f.readline(1000):
                    pass

    def environment(self):
        env = dict(os.environ)
        env.update({
            "PATH": self.bin + ":" + env.get("PATH", "/usr/bin:/bin"),
            "SMTP_HOST": "localhost", "IMAP_HOST": "localhost",
            "MAIL_DOMAIN": DOMAIN,
            "CA_FILE": os.path.join(self.tls, "ca.pem"),
            "QUEUE_DIR": self.queue, "CHAPPE_CONFIG": self.conf,
            "MAIL_LOG": self.log, "INSTANCE_DIR": self.dir,
            "MASTER_PID": str(self.master.pid),
            "PARTNERS_DIR": self.partners,
        })
        env.setdefault("ASAN_OPTIONS", "detect_leaks=0")
        for name, port in list(self.port.items()) + list(self.extra.items()):
            env[name] = str(port)
        for number, user in enumerate(self.users[:2], 1):
            env["USER%d" % number] = user.name
            env["PASS%d" % number] = user.password
            env["MAILBOX%d" % number] = user.mailbox
        return env

    def _ours(self):
        """Living processes of this suite: pid -> program."""
        return {pid: name for pid, (_, name) in self.processes().items()}

    def processes(self):
        """The same with their parents: pid -> (parent, program)."""
        found = {}
        folders = (self.build + "/", BUILD + "/")
        table = _process_table()
        for pid, (_, exe) in table.items():
            at = pid
            while at in table and at != os.getpid():
                at = table[at][0]
            exe = exe.replace(" (deleted)", "")
            if at == os.getpid() and exe.startswith(folders):
                found[pid] = table[pid][0], os.path.basename(exe)
        return found

    def stop(self):
        """Stops all; returns what was wrong, a list of lines."""
        faults = []
        if self.master is not None:
            faults = self._stop_master()
        end = time.monotonic() + STOP_S
        strays = self._ours()
        while strays and time.monotonic() < end:
            time.sleep(0.02)
            self._reap()
            strays = self._ours()
        for pid, program in strays.items():
            faults.append("stray process %d (%s) after the stop" %
                          (pid, program))
            os.kill(pid, signal.SIGKILL)
        self._reap()
        self.ports.release()
        return faults + self._faults_on_stderr()

    def _later_master(self):
        """The pid of a master that COMMAND started after the first, or 0."""
        try:
            with open(os.path.join(self.queue, "pid", "master.pid")) as f:
                pid = int(f.read())
        except (OSError, ValueError):
            return 0
        ours = self._ours().get(pid) == "master"
        return pid if ours and pid != self.master.pid else 0

    def _stop_master(self):
        """A master that ended in order, or has a successor, is no fault."""
        later = self._later_master()
        if self.master.poll() is None:
            self.master.terminate()
            try:
                self.master.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.master.kill()
                self.master.wait()
                return ["master did not stop within %d s" % STOP_S]
        elif self.master.returncode != 0 and not later:
            return ["the suite ended by itself with status %d" %
                    self.master.returncode]
        if later:
            os.kill(later, signal.SIGTERM)
        elif self.master.returncode != 0:
            return ["master stopped with status %d" % self.master.returncode]
        return []

    def _reap(self):
        try:
            while os.waitpid(-1, os.WNOHANG)[0] > 0:
                pass
        except ChildProcessError:
            pass

    def _faults_on_stderr(self):
        marks = ("panic: ", "ERROR: AddressSanitizer", "runtime error: ",
                 "DEADLYSIGNAL")
        try:
            with open(self.stderr_path, errors="replace") as f:
                return ["on stderr: " + line.strip() for line in f
                        if any(m in line for m in marks)]
        except OSError:
            return []

    def remove(self):
        if self.privileged:
            privileged.remove_later(self.dir)
        else:
            shutil.rmtree(self.dir, ignore_errors=True)
