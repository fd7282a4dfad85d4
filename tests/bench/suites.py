# SPDX-License-Identifier: GPL-3.0-or-later
"""The two suites that are measured beside each other.

Both are whole and private, in one directory: Chappe as installed, Postfix as
Debian packages it (unpacked by tests/partners), tuned for throughput. Each
says in `changed` what differs from its installed configuration. `domain`
names: discard.test goes to the discard service, sample.test into Maildirs of
the user bob.
"""

import contextlib
import os
import re
import signal
import shutil
import socket
import subprocess
import time

import instance
import privileged

ROOT = instance.ROOT
SAMPLE_USER = "bob"
START_S = 30


def make_rsa(folder):
    """folder/rsa.pem and folder/rsa.key, signed by themselves."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days",
         "30", "-subj", "/CN=localhost", "-keyout",
         os.path.join(folder, "rsa.key"), "-out",
         os.path.join(folder, "rsa.pem")],
        check=True, capture_output=True, stdin=subprocess.DEVNULL)


def processes_below(folders, but=()):
    """Pids of the living processes whose program lies below a folder, and
    not below one of `but`."""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            exe = os.readlink("/proc/%s/exe" % name)
            with open("/proc/%s/stat" % name) as f:
                state = f.read().rsplit(")", 1)[1].split()[0]
        except (OSError, IndexError):
            continue
        if state != "Z" and exe.startswith(tuple(folders)) and \
                not exe.startswith(tuple(but)):
            found.append(int(name))
    return found


def wait_for_greeting(port):
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), 5) as s:
                s.settimeout(10)
                if s.recv(512).startswith(b"220 "):
                    s.sendall(b"QUIT\r\n")
                    return
        except OSError:
            pass
        time.sleep(0.05)
    raise instance.Failed("no greeting on port %d" % port)


class Chappe(instance.Instance):
    """The configuration as installed; `extra`: lines for main.cf."""

    name = "chappe"

    def __init__(self, extra=(), rsa=False):
        self.rsa = rsa
        super().__init__(options=extra,
                         privileged_=os.geteuid() == 0)
        self.changed = []

    def _settings(self):
        """Ports, paths, users, where mail goes; no more."""
        cert = "rsa" if self.rsa else "localhost"
        settings = {
            "daemon_directory": os.path.join(self.build, "libexec"),
            "command_directory": self.bin,
            "myhostname": "bench.test",
            "mydestination": "bench.test, sample.test",
            "relay_domains": "discard.test",
            "transport_maps": "hash:" + os.path.join(self.conf, "transport"),
            "inet_interfaces": "127.0.0.1",
            "mynetworks": "127.0.0.0/8",
            "listen": "127.0.0.1",
            "imap_port": self.port["IMAP_PORT"],
            "imaps_port": self.port["IMAPS_PORT"],
            "smtpd_tls_cert_file": os.path.join(self.tls, cert + ".pem"),
            "smtpd_tls_key_file": os.path.join(self.tls, cert + ".key"),
            "maillog_file": self.log,
            "mail_location": "maildir:~/Maildir",
        }
        if not self.privileged:
            users = "passwd-file:" + os.path.join(self.conf, "users")
            aliases = "hash:" + os.path.join(self.conf, "aliases")
            settings.update({
                "queue_directory": self.queue, "alias_maps": aliases,
                "alias_database": aliases, "auth_passdb": users,
                "auth_userdb": users})
        return settings

    def _master_cf(self):
        """The installed one with other ports, and no LMTP listener."""
        lines = super()._master_cf().splitlines(True)
        return "".join(line for line in lines if not
                       line.startswith("%d inet" % self.port["LMTP_PORT"]))

    def _make_conf(self):
        super()._make_conf()
        make_rsa(self.tls)
        with open(os.path.join(self.conf, "transport"), "w") as f:
            f.write("discard.test discard:\n")
        for name in ("50-instance.cf", "90-options.cf"):
            with open(os.path.join(self.conf, "conf.d", name)) as f:
                self.changed += f.read().splitlines()
        if self.privileged:
            with open("/etc/resolv.conf", "w") as f:
                f.write("nameserver 127.0.0.1\n")

    def _command(self, argv):
        if argv == ["newaliases"]:
            super()._command(["postmap", "hash:" + os.path.join(
                self.conf, "transport")])
        super()._command(argv)

    def start(self):
        self.prepare()
        self.launch()

    def prepare(self):
        self._make()
        del self.port["LMTP_PORT"]

    def launch(self):
        self._launch()
        end = time.monotonic() + instance.READY_S
        for name, port in self.port.items():
            self._wait_for(name, port, end)

    def smtp_port(self):
        return self.port["SMTP_PORT"]

    def pids(self):
        """Not the load generator, which is built beside the suite."""
        return processes_below({self.build + "/", instance.BUILD + "/"},
                               {os.path.join(instance.BUILD, "tests/")})

    def queue_dir(self):
        return self.queue

    def maildir(self):
        return os.path.join(self.users[0].home, "Maildir")

    def sample_address(self):
        return "%s@sample.test" % self.users[0].name


PF_TUNED = """
default_process_limit = 300
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_connection_rate_limit = 0
smtpd_client_event_limit_exceptions = static:all
smtpd_delay_reject = no
smtpd_helo_required = no
in_flow_delay = 0
local_recipient_maps =
local_header_rewrite_clients =
append_dot_mydomain = no
append_at_myorigin = no
swap_bangpath = no
allow_percent_hack = no
biff = no
smtp_dns_support_level = disabled
qmgr_message_active_limit = 100000
qmgr_message_recipient_limit = 200000
initial_destination_concurrency = 50
default_destination_concurrency_limit = 100
local_destination_concurrency_limit = 20
max_use = 10000
max_idle = 300s
"""

PF_MAIN = """compatibility_level = 3.6
command_directory = {root}/usr/sbin
daemon_directory = {root}/usr/lib/postfix/sbin
shlib_directory = {root}/usr/lib/postfix
meta_directory = {root}/etc/postfix
sendmail_path = {root}/usr/sbin/sendmail
newaliases_path = {root}/usr/bin/newaliases
mailq_path = {root}/usr/bin/mailq
queue_directory = {dir}/spool
data_directory = {dir}/data
maillog_file = {log}
maillog_file_prefixes = /var, {dir}
import_environment = MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ LANG=C
 LD_LIBRARY_PATH={libraries}
mail_owner = postfix
setgid_group = postdrop
myhostname = bench.test
mydestination = bench.test, sample.test
relay_domains = discard.test
transport_maps = inline:{{discard.test=discard:}}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
home_mailbox = Maildir-postfix/
mailbox_command =
alias_maps =
alias_database =
smtpd_tls_cert_file = {cert}.pem
smtpd_tls_key_file = {cert}.key
smtpd_tls_security_level = may
smtpd_relay_restrictions = permit_mynetworks defer_unauth_destination
"""


class Postfix:
    """Needs root; made inside the directory of a made Chappe instance, whose
    private /etc it then shares."""

    name = "postfix"

    def __init__(self, chappe, bin_dir, port, rsa=False):
        self.dir = os.path.join(chappe.dir, "postfix")
        self.port = port
        self.rsa = rsa
        self.tls = chappe.tls
        self.conf = os.path.join(self.dir, "etc")
        self.log = os.path.join(self.dir, "maillog")
        # Where every user can reach it.
        self.root = privileged.show(
            chappe.dir, "postfix.root",
            os.path.join(os.path.dirname(bin_dir), "root"))
        self.libraries = ":".join(
            self.root + p for p in ("/usr/lib/postfix",
                                    "/usr/lib/x86_64-linux-gnu",
                                    "/usr/lib/aarch64-linux-gnu"))
        self.changed = []

    def prepare(self):
        for path, mode in ((self.dir, 0o755), (self.conf, 0o755),
                           (self.dir + "/spool", 0o755),
                           (self.dir + "/data", 0o700)):
            os.mkdir(path)
            os.chmod(path, mode)
        with open("/etc/passwd", "a") as f:
            f.write("postfix:x:7301:7301::/nonexistent:/usr/sbin/nologin\n")
        with open("/etc/group", "a") as f:
            f.write("postfix:x:7301:\npostdrop:x:7302:\n")
        os.chown(self.dir + "/data", 7301, 7301)
        share = self.root + "/usr/share/postfix"
        shutil.copyfile(share + "/dynamicmaps.cf",
                        self.conf + "/dynamicmaps.cf")
        cert = os.path.join(self.tls, "rsa" if self.rsa else "localhost")
        main = PF_MAIN.format(root=self.root, dir=self.dir, log=self.log,
                              libraries=self.libraries, cert=cert)
        with open(self.conf + "/main.cf", "w") as f:
            f.write(main + PF_TUNED)
        self.changed = (main + PF_TUNED).splitlines()
        with open(share + "/master.cf.dist") as f:
            text = f.read()
        with open(self.conf + "/master.cf", "w") as f:
            f.write(self._master_cf(text))

    def _master_cf(self, text):
        """Nothing in a chroot; its own port."""
        lines = []
        for line in text.splitlines():
            words = line.split()
            if len(words) >= 8 and not line[0].isspace() and \
                    line[0] != "#":
                words[4] = "n"
                if words[:2] == ["smtp", "inet"]:
                    words[0] = "127.0.0.1:%d" % self.port
                line = " ".join(words)
            lines.append(line)
        return "\n".join(lines) + "\n"

    @contextlib.contextmanager
    def sink(self, port):
        """Postfix's smtp-sink, which takes mail and stores nothing."""
        child = subprocess.Popen(
            [self.root + "/usr/sbin/smtp-sink", "-u", "nobody",
             "127.0.0.1:%d" % port, "1000"], cwd="/",
            env={"LD_LIBRARY_PATH": self.libraries},
            stdin=subprocess.DEVNULL)
        try:
            wait_for_greeting(port)
            yield child.pid
        finally:
            child.terminate()
            child.wait()

    def _run(self, *argv):
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C",
               "LD_LIBRARY_PATH": self.libraries}
        done = subprocess.run(
            [self.root + "/usr/sbin/postfix", "-c", self.conf] + list(argv),
            env=env, capture_output=True, text=True, check=False,
            stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise instance.Failed("postfix %s: status %d: %s" % (
                " ".join(argv), done.returncode,
                (done.stdout + done.stderr).strip()))

    def launch(self):
        self._run("start")
        wait_for_greeting(self.port)

    def stop(self):
        pids = self.pids()
        if not pids:
            return []
        try:
            self._run("stop")
        except instance.Failed as e:
            return [str(e)]
        finally:
            end = time.monotonic() + 10
            while self.pids() and time.monotonic() < end:
                time.sleep(0.05)
            for pid in self.pids():
                os.kill(pid, signal.SIGKILL)
        return []

    def smtp_port(self):
        return self.port

    def pids(self):
        return processes_below({self.root + "/",
                                os.path.join(ROOT, "build/partners/postfix/")})

    def queue_dir(self):
        return self.dir + "/spool"

    def maildir(self):
        return os.path.join("/home", SAMPLE_USER, "Maildir-postfix")

    def sample_address(self):
        return SAMPLE_USER + "@sample.test"


LINE = re.compile(
    r"/(?:qmgr|cleanup|smtpd)\[\d+\]: ([0-9A-Za-z]+): "
    r"(?:from=<[^>]*>, size=(\d+), nrcpt=|(removed)$)", re.M)


def read_log(path, offset):
    """(new offset, {size: number of messages that came into the queue},
    number of messages that left it) since the offset."""
    sizes, removed = {}, 0
    with open(path, "rb") as f:
        f.seek(offset)
        data = f.read()
    data = data[:data.rfind(b"\n") + 1]
    for m in LINE.finditer(data.decode(errors="replace")):
        if m.group(3):
            removed += 1
        else:
            size = int(m.group(2))
            sizes[size] = sizes.get(size, 0) + 1
    return offset + len(data), sizes, removed
