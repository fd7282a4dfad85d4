#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o relayhost=[127.0.0.1]:1
"""Filters nobody here wrote, unpacked from Debian: opendkim signs and
verifies (with a key in a name server of its own), clamav-milter finds what
a signature made here describes, rspamd's proxy refuses and marks what its test
patterns say, and a filter over libmilter (python3-milter) makes every
modification that it can ask for."""

import atexit
import os
import re
import signal
import smtplib
import socket
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import dns_server  # noqa: E402
import mail  # noqa: E402
import more_smtpds  # noqa: E402
import ports  # noqa: E402
import smtp_session as ss  # noqa: E402

HERE = os.path.join(mail.env("INSTANCE_DIR"), "filters")
os.mkdir(HERE, 0o755)
NAMES = ("sign", "verify", "virus", "spam", "python")
PORTS = ports.Ports()
AT = {name: PORTS.take() for name in NAMES}
CHILDREN = []
VIRUS = b"this-is-no-virus-but-a-signature-says-so"


def path(name, text=None):
    name = os.path.join(HERE, name)
    if text is not None:
        with open(name, "w") as f:
            f.write(text)
    return name


@atexit.register
def stop():
    for child in CHILDREN:
        if child.poll() is None:
            child.send_signal(signal.SIGTERM)
    for child in CHILDREN:
        try:
            child.wait(10)
        except subprocess.TimeoutExpired:
            child.kill()


def start(argv, listens=None, **env):
    with open(path("log"), "ab") as log:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=log, env=dict(os.environ, **env))
    CHILDREN.append(child)

    def ready():
        if child.poll() is not None:
            with open(path("log"), errors="replace") as f:
                raise AssertionError("%s ended: %s" % (argv[0], f.read()))
        if isinstance(listens, str):
            return os.path.exists(listens)
        try:
            socket.create_connection(("127.0.0.1", listens), 5).close()
            return True
        except OSError:
            return False
    cases.wait_for("%s to listen" % argv[0], ready)


def other_program(wrapper, program):
    """A wrapper like that one, for another program of the same folder."""
    with open(wrapper) as f:
        text = f.read().replace("r=${0%/*}/../root", "r=%s/../root" %
                                os.path.dirname(wrapper))
    new = path(os.path.basename(program),
               re.sub(r'exec "\$r[^"]*"', 'exec "$r%s"' % program, text))
    os.chmod(new, 0o755)
    return new


def send(port, data, sender="a@elsewhere.test"):
    with more_smtpds.session(PORT[port]) as s:
        s.mail(sender)
        s.rcpt(mail.address(1))
        try:
            code, text = s.data(data)
        except smtplib.SMTPDataError as e:
            code, text = e.smtp_code, e.smtp_error
        return code, text.decode()


def message(word, more="", body="Hello\r\n"):
    return ("From: %s\r\nTo: %s\r\nSubject: %s\r\n%s\r\n%s" % (
        mail.address(1), mail.address(2), word, more, body)).encode()


def arrived(word):
    return ss.delivered(ss.MAILBOXES[0], word).replace(b"\r\n", b"\n")


# ---- opendkim ----

def key():
    """A key pair; the public half as a DKIM record."""
    private = path("dkim.pem")
    subprocess.run(["openssl", "genrsa", "-out", private, "2048"],
                   check=True, capture_output=True)
    os.chmod(private, 0o600)
    public = subprocess.run(["openssl", "rsa", "-in", private, "-pubout"],
                            check=True, capture_output=True, text=True)
    return "v=DKIM1; k=rsa; p=" + "".join(
        line for line in public.stdout.split("\n")
        if line and "-----" not in line)


def start_opendkim():
    program = mail.partner("opendkim")
    record = key()
    zone = dns_server.Server(["s1._domainkey.%s TXT %s" % (
        mail.DOMAIN, record)]).start()
    unbound = path("unbound.conf", "server:\n do-not-query-localhost: no\n"
                   " local-zone: \"test.\" nodefault\n"
                   "forward-zone:\n name: \".\"\n forward-addr: "
                   "127.0.0.1@%d\n" % zone.port)
    for mode, inside in (("sign", "127.0.0.1"), ("verify", "192.0.2.1")):
        conf = path(mode + ".conf", "\n".join((
            "Socket inet:%d@127.0.0.1" % AT[mode], "Mode sv",
            "Syslog no", "Domain " + mail.DOMAIN, "Selector s1",
            "KeyFile " + path("dkim.pem"), "Canonicalization relaxed/simple",
            "RequireSafeKeys no", "ResolverConfiguration " + unbound,
            "TrustAnchorFile /dev/null",
            "InternalHosts " + path(mode + ".hosts", inside + "\n"),
            "AlwaysAddARHeader yes", "OversignHeaders From", "")))
        start([program, "-f", "-x", conf], AT[mode])
    return zone


def signed(word):
    cases.equal(send("sign", message(word))[0], 250)
    raw = arrived(word)
    return raw


def test_opendkim_signs():
    raw = signed(ss.token())
    cases.matches(raw.decode(), r"^DKIM-Signature: v=1; a=rsa-sha256; "
                  r"c=relaxed/simple; d=%s;\s+s=s1;" %
                  mail.DOMAIN.replace(".", r"\."))
    # In front of what it signs, above our own Received or right below it.
    names = re.findall(r"^([A-Za-z-]+):", raw.decode(), re.M)
    assert names.index("DKIM-Signature") < names.index("From"), names


def resend(raw, old, new):
    """Through the one that verifies."""
    raw = raw[raw.index(b"DKIM-Signature:"):]
    raw = re.sub(rb"^Received:.*\n([ \t].*\n)*", b"", raw, flags=re.M)
    raw = raw.replace(old, new).replace(b"\n", b"\r\n")
    cases.equal(send("verify", raw)[0], 250)


def test_opendkim_verifies():
    word = ss.token()
    raw = signed(word)
    # The word is in the signed Subject: look for a mark of our own.
    for old, new, result in ((b"Hello", b"Hello", "pass"),
                             (b"Hello", b"Hallo", "fail")):
        mark = ss.token()
        resend(raw, old + b"\n", new + b"\n" if result == "pass" else
               new + mark.encode() + b"\n")
        found = cases.wait_for("the %s mail" % result, lambda r=result: [
            m for m in ss.with_token(ss.MAILBOXES[0], word)
            if b"dkim=" + r.encode() in m])
        cases.matches(found[0].decode(), r"^Authentication-Results: \S+;"
                      r"\s+dkim=%s" % result)


# ---- clamav ----

def start_clamav():
    program = mail.partner("clamav-milter+clamav-daemon", "clamav-milter")
    clamd = other_program(program, "/usr/sbin/clamd")
    os.mkdir(path("db"))
    path("db/test.ndb", "Test.Made.Here:0:*:%s\n" % VIRUS.hex())
    sock = path("clamd.sock")
    conf = path("clamd.conf", "LocalSocket %s\nDatabaseDirectory %s\n"
                "Foreground yes\nTemporaryDirectory %s\nLogFile %s\n" % (
                    sock, path("db"), HERE, path("clamd.log")))
    start([clamd, "-c", conf], sock)
    conf = path("clamav-milter.conf", "MilterSocket inet:%d@127.0.0.1\n"
                "ClamdSocket unix:%s\nOnInfected Reject\n"
                "RejectMsg 5.7.1 infected: %%v\nAddHeader Replace\n"
                "Foreground yes\nLogFile %s\n" % (
                    AT["virus"], sock, path("clamav-milter.log")))
    start([program, "-c", conf], AT["virus"])


def test_clamav_lets_pass():
    word = ss.token()
    cases.equal(send("virus", message(word, "X-Virus-Status: forged\r\n"))[0],
                250)
    raw = arrived(word)
    cases.contains(raw, b"X-Virus-Scanned: clamav-milter")
    cases.equal(re.findall(rb"^X-Virus-Status: (.*)", raw, re.M), [b"Clean"])


def test_clamav_refuses():
    since = len(ss.log())
    code, text = send("virus", message(ss.token(), body="x\r\n%s\r\n" %
                                       VIRUS.decode()))
    cases.equal(code, 550)
    cases.contains(text, "infected: Test.Made.Here")
    ss.logged(r"milter-reject: END-OF-MESSAGE from localhost\[127.0.0.1\]: "
              r"5.7.1 .*Test.Made.Here.*; from=<a@elsewhere.test> to=<",
              since)


# ---- rspamd, whose proxy speaks the protocol by an engine of its own ----

RSPAMD = """
options {
  pidfile = "@HERE@/rspamd.pid";
  filters = "regexp";
  enable_test_patterns = true;
  url_tld = "@HERE@/tld";
  tempdir = "@HERE@";
  control_socket = "@HERE@/rspamd.control mode=0600";
  dns { nameserver = ["127.0.0.1:1"]; }
}
logging { type = "file"; filename = "@HERE@/rspamd.log"; }
actions { reject = 15; add_header = 6; }
worker "rspamd_proxy" {
  bind_socket = "127.0.0.1:@PORT@";
  milter = yes;
  count = 1;
  spam_header = "X-Marked";
  upstream "local" { default = yes; self_scan = yes; }
}
"""
GTUBE = "%s*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X"


def start_rspamd():
    program = mail.partner("rspamd")
    share = os.path.join(os.path.dirname(program), "..", "root", "usr",
                         "share", "rspamd")
    path("tld", "com\ntest\n")
    conf = path("rspamd.conf", RSPAMD.replace("@HERE@", HERE).replace(
        "@PORT@", str(AT["spam"])))
    where = {name: HERE for name in ("CONFDIR", "LOCAL_CONFDIR", "DBDIR",
                                     "RUNDIR", "LOGDIR")}
    where.update(SHAREDIR=share, RULESDIR=share + "/rules",
                 LUALIBDIR=share + "/lualib", PLUGINSDIR=share + "/plugins",
                 WWWDIR=share + "/www")
    start([program, "-f", "-i", "-c", conf] +
          ["--var=%s=%s" % pair for pair in where.items()], AT["spam"])


def test_rspamd_lets_pass():
    word = ss.token()
    cases.equal(send("spam", message(word))[0], 250)
    raw = arrived(word)
    assert b"X-Marked" not in raw, raw


def test_rspamd_refuses():
    since = len(ss.log())
    code, text = send("spam", message(ss.token(), body=GTUBE % "XJS" +
                                      "\r\n"))
    cases.equal((code, text), (554, "5.7.1 Gtube pattern"))
    ss.logged(r"milter-reject: END-OF-MESSAGE from localhost\[127.0.0.1\]: "
              r"5.7.1 Gtube pattern; from=<a@elsewhere.test> to=<", since)


def test_rspamd_marks():
    word = ss.token()
    cases.equal(send("spam", message(word, body=GTUBE % "YJS" + "\r\n"))[0],
                250)
    cases.matches(arrived(word).decode(), "^X-Marked: ")


# ---- libmilter by python3-milter ----

FILTER = '''
import sys
import Milter


class Filter(Milter.Base):
    def connect(self, name, family, addr):
        self.seen = ["connect %s %s" % (name, addr[0])]
        return Milter.CONTINUE

    def hello(self, name):
        self.seen.append("helo " + name)
        return Milter.CONTINUE

    def envfrom(self, sender, *args):
        self.seen.append("mail %s %s" % (sender, " ".join(args)))
        if sender == "<tempfail@elsewhere.test>":
            self.setreply("451", "4.7.1", "not now: 100%%", "second line")
            return Milter.TEMPFAIL
        return Milter.CONTINUE

    def envrcpt(self, rcpt, *args):
        self.seen.append("rcpt %s %s" % (rcpt,
                                         self.getsymval("{rcpt_mailer}")))
        return Milter.CONTINUE

    def data(self):
        self.seen.append("data " + self.getsymval("i"))
        return Milter.CONTINUE

    def header(self, name, value):
        self.seen.append("header " + name)
        return Milter.CONTINUE

    def eoh(self):
        self.seen.append("eoh")
        return Milter.CONTINUE

    def body(self, chunk):
        self.seen.append("body %d" % len(chunk))
        return Milter.CONTINUE

    def eom(self):
        self.progress()
        for n, what in enumerate(self.seen):
            self.addheader("X-Seen-%d" % n, what)
        self.addheader("X-Top", "top", 0)
        self.chgheader("X-Old", 1, "changed")
        self.chgheader("X-Gone", 1, "")
        self.chgfrom("<changed@elsewhere.test>")
        self.addrcpt("<@ADD@>")
        self.delrcpt("<@DELETE@>")
        self.replacebody(b"a new body\\r\\n")
        return Milter.ACCEPT


Milter.factory = Filter
Milter.set_flags(Milter.ADDHDRS + Milter.CHGBODY + Milter.ADDRCPT +
                 Milter.DELRCPT + Milter.CHGHDRS + Milter.CHGFROM +
                 Milter.QUARANTINE)
Milter.runmilter("test", "inet:@PORT@@127.0.0.1", 60)
'''


def start_python():
    root = os.path.join(os.path.dirname(mail.partner("python3-milter")),
                        "..", "root", "usr", "lib")
    libs = [os.path.join(root, name) for name in os.listdir(root)
            if name.endswith("-linux-gnu")]
    start(["/usr/bin/python3", path("filter.py", FILTER.replace(
        "@ADD@", mail.address(2)).replace("@DELETE@", mail.address(1))
        .replace("@PORT@", str(AT["python"])))], AT["python"],
        PYTHONPATH=os.path.join(root, "python3", "dist-packages"),
        LD_LIBRARY_PATH=":".join(libs))


def test_libmilter_changes_everything():
    word = ss.token()
    since = len(ss.log())
    code, text = send("python", message(word, "X-Old: 1\r\nX-Gone: 1\r\n"))
    cases.equal(code, 250, text)
    qid = text.rsplit(" ", 1)[1]
    raw = ss.delivered(ss.MAILBOXES[1], word).replace(b"\r\n",
                                                      b"\n").decode()
    cases.equal(ss.with_token(ss.MAILBOXES[0], word), [])
    header, body = raw.split("\n\n", 1)
    cases.equal(body, "a new body\n")
    cases.contains(header, "\nX-Top: top\nReceived: from client.test ")
    cases.contains(header, "\nX-Old: changed\n")
    assert "\nX-Gone:" not in header
    cases.matches(header, r"^Return-Path: <changed@elsewhere\.test>")
    cases.equal(re.findall(r"^X-Seen-\d+: (.*)$", header, re.M), [
        "connect localhost 127.0.0.1", "helo client.test",
        "mail <a@elsewhere.test> ", "rcpt <%s> local" % mail.address(1),
        "data " + qid, "header From", "header To", "header Subject",
        "header X-Old", "header X-Gone", "eoh", "body 7"])
    ss.logged(qid + ": from=<changed@elsewhere.test>", since)


def test_libmilter_reply():
    with more_smtpds.session(PORT["python"]) as s:
        cases.equal(s.mail("tempfail@elsewhere.test"), (
            451, b"4.7.1 not now: 100%\n4.7.1 second line"))


DNS = start_opendkim()
start_clamav()
start_rspamd()
start_python()
PORT = more_smtpds.start({name: {
    "smtpd_milters": "inet:127.0.0.1:%d" % AT[name]} for name in NAMES})
cases.main(globals())
