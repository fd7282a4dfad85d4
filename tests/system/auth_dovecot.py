#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -M @tests/system/auth_dovecot.services -o auth_dovecot_users=7901 -o auth_dovecot_mechanisms=PLAIN,LOGIN,SCRAM-SHA-256,XOAUTH2 -o auth_passdb=passwd-file:$config_directory/people -o auth_userdb=passwd-file:$config_directory/people -o auth_failure_delay=1s
# timeout: 180
"""Dovecot's authentication protocol: by hand, and for a real Postfix, which
lets its own clients log in through us."""

import base64
import os
import shutil
import smtplib
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import smtp_session as mail  # noqa: E402

SOCKET = os.path.join(os.environ["QUEUE_DIR"], "public", "dovecot-auth")
POSTFIX_UID = 7901


def write_people():
    conf = os.environ["CHAPPE_CONFIG"]
    with open(os.path.join(conf, "users")) as f:
        uid, gid = f.readline().split(":")[2:4]
    path = os.path.join(conf, "people")
    with open(path + ".new", "w") as f:
        f.write("al:{PLAIN}secret:%s:%s::/::\n" % (uid, gid))
    st = os.stat(os.path.join(conf, "users"))
    os.chown(path + ".new", st.st_uid, st.st_gid)
    os.chmod(path + ".new", 0o600)
    os.rename(path + ".new", path)


if os.environ.get("AUTH_DOVECOT") != "inside":
    write_people()


class Client:
    def __init__(self, greet=True):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(cases.WAIT_S)
        self.sock.connect(SOCKET)
        self.file = self.sock.makefile("rb")
        self.hello = []
        while not self.hello or self.hello[-1] != ["DONE"]:
            self.hello.append(self.line())
        if greet:
            self.say("VERSION\t1\t1", "CPID\t%d" % os.getpid())

    def line(self):
        try:
            text = self.file.readline(20000).decode()
        except ConnectionResetError:  # closed with something unread
            text = ""
        return text.rstrip("\n").split("\t") if text else None

    def say(self, *lines):
        self.sock.sendall("".join(x + "\n" for x in lines).encode())

    def auth(self, ident, mechanism, *more):
        self.say("\t".join(["AUTH", str(ident), mechanism, "service=smtp",
                            "lip=127.0.0.1", "rip=192.0.2.7", "secured"] +
                           list(more)))
        return self.line()

    def close(self):
        self.file.close()
        self.sock.close()


def b64(text):
    return base64.b64encode(text.encode()).decode()


def test_the_handshake():
    c = Client()
    words = [line[0] for line in c.hello]
    cases.equal(c.hello[0][:2], ["VERSION", "1"])
    cases.equal([line for line in c.hello if line[0] == "MECH"], [
        ["MECH", "PLAIN", "plaintext"], ["MECH", "LOGIN", "plaintext"],
        ["MECH", "SCRAM-SHA-256", "mutual-auth"], ["MECH", "XOAUTH2"]])
    for word in ("SPID", "CUID", "COOKIE", "DONE"):
        cases.contains(words, word)
    other = Client()
    assert [x for x in c.hello if x[0] == "CUID"] != \
        [x for x in other.hello if x[0] == "CUID"]


def test_plain_and_login():
    c = Client()
    cases.equal(c.auth(1, "PLAIN", "resp=" + b64("\0al\0secret")),
                ["OK", "1", "user=al"])
    cases.equal(c.auth(2, "plain"), ["CONT", "2", ""])
    c.say("CONT\t2\t" + b64("\0al\0secret"))
    cases.equal(c.line(), ["OK", "2", "user=al"])
    cases.equal(c.auth(3, "LOGIN"), ["CONT", "3", b64("Username:")])
    c.say("CONT\t3\t" + b64("al"))
    cases.equal(c.line(), ["CONT", "3", b64("Password:")])
    c.say("CONT\t3\t" + b64("secret"))
    cases.equal(c.line(), ["OK", "3", "user=al"])
    mail.logged(r"auth\[\d+\]: login: user=<al>, method=LOGIN, "
                r"rip=192\.0\.2\.7, service=smtp, TLS$")


def test_failures():
    c = Client()
    start = time.monotonic()
    cases.equal(c.auth(1, "PLAIN", "resp=" + b64("\0al\0wrong")),
                ["FAIL", "1", "user=al"])
    assert time.monotonic() - start > 0.9
    # Many at a time, and what fails holds up nobody.
    for ident, password in ((2, "wrong"), (3, "secret")):
        c.say("AUTH\t%d\tPLAIN\tservice=smtp\trip=192.0.2.8\tresp=%s" %
              (ident, b64("\0al\0" + password)))
    cases.equal([c.line()[:2], c.line()[:2]], [["OK", "3"], ["FAIL", "2"]])
    cases.equal(c.auth(4, "GSSAPI")[:2], ["FAIL", "4"])
    cases.equal(c.auth(5, "PLAIN", "resp=!")[:2], ["FAIL", "5"])
    cases.equal(c.auth(6, "LOGIN")[:2], ["CONT", "6"])
    c.say("CANCEL\t6", "CONT\t6\t" + b64("al"))
    cases.equal(c.line()[:2], ["FAIL", "6"])
    cases.equal(c.auth(7, "PLAIN", "resp=" + b64("\0al\0secret"))[:2],
                ["OK", "7"])


def test_rubbish_closes_only_its_connection():
    good = Client()
    for text in ("AUTH\tx\n", "\n", "VERSION\t2\t0\n", "x" * 20000):
        c = Client()
        c.sock.sendall(text.encode())
        cases.equal(c.line(), None, text[:20])
        c.close()
    c = Client(greet=False)
    c.say("AUTH\t1\tPLAIN\tservice=smtp\tresp=" + b64("\0al\0secret"))
    cases.equal(c.line(), None)
    cases.equal(good.auth(1, "PLAIN", "resp=" + b64("\0al\0secret"))[0],
                "OK")


def test_who_may_use_it():
    if os.geteuid() != 0:
        raise cases.Skip("needs root, to be other users")
    for uid, may in ((POSTFIX_UID, True), (7999, False)):
        out = subprocess.run(
            ["setpriv", "--reuid=%d" % uid, "--regid=%d" % uid,
             "--clear-groups", sys.executable, "-c",
             "import socket\ns = socket.socket(socket.AF_UNIX)\n"
             "s.connect(%r)\nprint(s.recv(7))" % SOCKET],
            capture_output=True, text=True).stdout.strip()
        cases.equal(out, "b'VERSION'" if may else "b''")
    mail.logged(r"dovecot-auth: uid 7999 is not in auth_dovecot_users")


# ---- Postfix ----

class Postfix:
    """An smtpd of its own in a mount namespace that has its users."""

    def __init__(self, root, port):
        self.root, self.port = root, port
        self.folder = tempfile.mkdtemp(prefix="postfix-")
        os.chmod(self.folder, 0o755)
        for name, line in (
                ("passwd", "postfix:x:%d:%d::/nonexistent:/bin/false\n" %
                 (POSTFIX_UID, POSTFIX_UID)),
                ("group", "postfix:x:%d:\npostdrop:x:%d:\n" %
                 (POSTFIX_UID, POSTFIX_UID + 1))):
            with open("/etc/" + name) as f:
                text = f.read()
            copy = os.path.join(self.folder, name)
            with open(copy, "w") as f:
                f.write(text + line)
            os.chmod(copy, 0o644)
            subprocess.run(["mount", "--bind", copy, "/etc/" + name],
                           check=True)
        for name in ("etc", "data", "spool"):
            os.mkdir(os.path.join(self.folder, name))
        os.chown(os.path.join(self.folder, "data"), POSTFIX_UID, POSTFIX_UID)
        self._spool()
        self._conf()

    def _spool(self):
        for name in ("active", "bounce", "corrupt", "defer", "deferred",
                     "flush", "hold", "incoming", "private", "saved",
                     "trace", "maildrop", "public", "pid"):
            path = os.path.join(self.folder, "spool", name)
            os.mkdir(path)
            if name != "pid":
                os.chown(path, POSTFIX_UID, POSTFIX_UID + 1
                         if name in ("maildrop", "public") else -1)

    def _conf(self):
        lib = os.path.join(self.root, "usr/lib/postfix")
        settings = {
            "compatibility_level": "3.6", "inet_protocols": "ipv4",
            "inet_interfaces": "127.0.0.1", "myhostname": "postfix.test",
            "mydestination": "", "alias_maps": "", "alias_database": "",
            "local_recipient_maps": "", "mynetworks": "192.0.2.0/32",
            "queue_directory": self.folder + "/spool",
            "data_directory": self.folder + "/data",
            "command_directory": os.path.join(self.root, "usr/sbin"),
            "daemon_directory": lib + "/sbin", "shlib_directory": lib,
            "meta_directory": self.folder + "/etc",
            "maillog_file": self.folder + "/log",
            "maillog_file_prefixes": "/tmp, /var",
            "import_environment": "MAIL_CONFIG TZ LANG=C POSTLOG_SERVICE "
                                  "POSTLOG_HOSTNAME LD_LIBRARY_PATH",
            "smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": SOCKET, "smtpd_peername_lookup": "no",
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject"}
        with open(self.folder + "/etc/main.cf", "w") as f:
            for pair in settings.items():
                f.write("%s = %s\n" % pair)
        with open(self.folder + "/etc/master.cf", "w") as f:
            f.write("127.0.0.1:%d inet n - n - - smtpd\n"
                    "cleanup unix n - n - 0 cleanup\n"
                    "rewrite unix - - n - - trivial-rewrite\n"
                    "anvil unix - - n - 1 anvil\n"
                    "proxymap unix - - n - - proxymap\n"
                    "tlsmgr unix - - n - 1 tlsmgr\n"
                    "qmgr unix n - n - 1 qmgr\n"
                    "bounce unix - - n - 0 bounce\n"
                    "smtp unix - - n - - smtp\n"
                    "postlog unix-dgram n - n - 1 postlogd\n" % self.port)

    def start(self):
        env = dict(os.environ, MAIL_CONFIG=self.folder + "/etc",
                   LD_LIBRARY_PATH=":".join(os.path.join(self.root, p)
                                            for p in (
                       "usr/lib/postfix", "usr/lib/x86_64-linux-gnu",
                       "lib/x86_64-linux-gnu")))
        self.master = subprocess.Popen(
            [os.path.join(self.root, "usr/lib/postfix/sbin/master"), "-c",
             self.folder + "/etc", "-d"], env=env)

    def stop(self):
        self.master.terminate()
        self.master.wait(30)

    def log(self):
        try:
            with open(self.folder + "/log") as f:
                return f.read()
        except OSError:
            return ""


def session(port):
    try:
        return smtplib.SMTP("127.0.0.1", port, timeout=cases.WAIT_S)
    except (ConnectionRefusedError, smtplib.SMTPServerDisconnected):
        return None


def attempt(port, mechanism, password):
    with session(port) as s:
        s.ehlo()
        cases.contains(s.esmtp_features["auth"].split(), mechanism)
        s.user, s.password = "al", password
        try:
            s.auth(mechanism, getattr(s, "auth_" + mechanism.lower()))
        except smtplib.SMTPAuthenticationError as e:
            return e.smtp_code
        cases.equal(s.mail("al@postfix.test")[0], 250)
        return s.rcpt("x@elsewhere.test")[0]


def inside(root, port):
    p = Postfix(root, port)
    p.start()
    try:
        cases.wait_for("Postfix", lambda: session(port))
        for mechanism in ("PLAIN", "LOGIN"):
            cases.equal(attempt(port, mechanism, "secret"), 250)
            cases.equal(attempt(port, mechanism, "wrong"), 535)
        with session(port) as s:
            s.ehlo()
            cases.equal(s.mail("al@postfix.test")[0], 250)
            cases.equal(s.rcpt("x@elsewhere.test")[0], 554)
        cases.matches(p.log(), r"sasl_method=PLAIN, sasl_username=al")
    except BaseException:
        print(p.log(), file=sys.stderr)
        raise
    finally:
        p.stop()
        shutil.rmtree(p.folder, ignore_errors=True)


def test_postfix():
    if os.geteuid() != 0:
        raise cases.Skip("needs root, for a namespace and Postfix")
    out = cases.run([os.path.join(cases.ROOT, "tests", "partners"),
                     "postfix"]).stdout.strip()
    port = free_port()
    done = subprocess.run(
        ["unshare", "--mount", sys.executable, os.path.abspath(__file__),
         os.path.join(os.path.dirname(out), "root"), str(port)],
        env=dict(os.environ, AUTH_DOVECOT="inside"), capture_output=True,
        text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    mail.logged(r"auth\[\d+\]: login: user=<al>, method=PLAIN, "
                r"rip=127\.0\.0\.1, service=smtp$")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


if __name__ == "__main__":
    if os.environ.get("AUTH_DOVECOT") == "inside":
        inside(sys.argv[1], int(sys.argv[2]))
    else:
        cases.main(globals())
