#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real Postfix, from Debian, unpacked, alone on loopback in namespaces of its
own, answers the rows of tests/lib/restriction_cases.py: as it is written down
there, and as our smtpd does (system/restrictions). With --record the answers
are written down anew. Needs root for the namespaces."""
# timeout: 600
# full: it starts a Postfix with a listener for each of 300 configurations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import dns_server  # noqa: E402
import privileged  # noqa: E402
import restriction_cases as table  # noqa: E402

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
FIRST_PORT = 2600
UIDS = {"postfix": 7901, "postdrop": 7902}


def braces(text):
    return "{ %s }" % text


class Postfix:
    """One instance with a listener for each row."""

    def __init__(self, partner, folder, rows):
        self.root = os.path.join(os.path.dirname(partner), "root")
        self.folder, self.rows = folder, rows
        self.conf = os.path.join(folder, "etc")
        os.makedirs(self.conf)
        for name in ("spool", "data"):
            os.mkdir(os.path.join(folder, name))
        self._users()
        table.write_tables(folder)
        self._main_cf()
        self._master_cf()

    def _users(self):
        for name, line in (
                ("passwd", "postfix:x:%d:%d::/nonexistent:/bin/false\n"
                 % (UIDS["postfix"], UIDS["postfix"])),
                ("group", "postfix:x:%d:\npostdrop:x:%d:\n"
                 % (UIDS["postfix"], UIDS["postdrop"]))):
            with open("/etc/" + name) as f:
                text = f.read()
            copy = os.path.join(self.folder, name)
            with open(copy, "w") as f:
                f.write(text + line)
            os.chmod(copy, 0o644)
            subprocess.run(["mount", "--bind", copy, "/etc/" + name],
                           check=True)
        os.chown(os.path.join(self.folder, "data"), UIDS["postfix"],
                 UIDS["postfix"])

    def _main_cf(self):
        f = self.folder
        lib = os.path.join(self.root, "usr/lib/postfix")
        settings = dict(
            table.COMMON, queue_directory=f + "/spool",
            data_directory=f + "/data",
            command_directory=os.path.join(self.root, "usr/sbin"),
            daemon_directory=os.path.join(lib, "sbin"),
            meta_directory=self.conf, shlib_directory=lib,
            maillog_file=f + "/log", maillog_file_prefixes="/tmp, /var",
            local_recipient_maps="inline:{alice=x, boris=x}",
            alias_maps="", alias_database="", inet_protocols="ipv4",
            default_process_limit="5",
            import_environment="MAIL_CONFIG TZ LANG=C POSTLOG_SERVICE "
                               "POSTLOG_HOSTNAME LD_LIBRARY_PATH",
            smtpd_peername_lookup="yes", mail_owner="postfix",
            setgid_group="postdrop", sendmail_path="/x",
            newaliases_path="/x", mailq_path="/x", manpage_directory="/x",
            sample_directory="/x", readme_directory="/x",
            html_directory="no", process_id_directory="pid")
        with open(self.conf + "/main.cf", "w") as out:
            for pair in settings.items():
                out.write("%s = %s\n" % pair)

    def _master_cf(self):
        source = os.path.join(self.root, "usr/share/postfix/master.cf.dist")
        lines = []
        with open(source) as f:
            for line in f:
                if not line.startswith(("#", "smtp ", "smtp\t")) and \
                        line.strip():
                    words = line.split()
                    if len(words) > 4 and not line[0].isspace():
                        words[4] = "n"
                        line = " ".join(words) + "\n"
                    lines.append(line)
        lines = [line for line in lines if not line[0].isspace()
                 and line.split()[-1] != "pipe"]
        # smtp(8), which the first filter took with smtpd's line
        lines.append("smtp unix - - n - - smtp\n")
        for n, row in enumerate(self.rows):
            lines.append("127.0.0.1:%d inet n - n - - smtpd\n"
                         % (FIRST_PORT + n))
            for pair in table.settings(row, self.folder).items():
                lines.append("  -o %s\n" % braces("%s = %s" % pair))
        with open(self.conf + "/master.cf", "w") as out:
            out.write("".join(lines))

    def run(self, *words):
        env = dict(os.environ, MAIL_CONFIG=self.conf,
                   LD_LIBRARY_PATH=":".join(
                       os.path.join(self.root, p) for p in (
                           "usr/lib/postfix", "usr/lib/x86_64-linux-gnu",
                           "lib/x86_64-linux-gnu")))
        program = os.path.join(self.root, "usr/lib/postfix/sbin/master")
        return subprocess.Popen([program, "-c", self.conf, "-d", *words],
                                env=env)

    def start(self):
        for name in ("active", "bounce", "corrupt", "defer", "deferred",
                     "flush", "hold", "incoming", "private", "saved",
                     "trace", "maildrop", "public", "pid"):
            path = os.path.join(self.folder, "spool", name)
            os.makedirs(path, exist_ok=True)
            if name != "pid":
                os.chown(path, UIDS["postfix"], UIDS["postdrop"]
                         if name in ("maildrop", "public") else -1)
        self.master = self.run()

    def stop(self):
        self.master.terminate()
        self.master.wait(30)


def in_namespace():
    """Goes on in a network with nothing but loopback."""
    if os.environ.get("RESTRICTIONS_ORACLE") == "inside":
        return
    if os.geteuid() != 0:
        return
    env = dict(os.environ, RESTRICTIONS_ORACLE="inside")
    os.execvpe("unshare", ["unshare", "--mount", "--net", "--pid", "--fork",
                           "--mount-proc", sys.executable] + sys.argv, env)


def all_answers():
    partner = subprocess.run(
        [os.path.join(ROOT, "tests/partners"), "postfix"], check=True,
        capture_output=True, text=True).stdout.strip()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    folder = tempfile.mkdtemp(prefix="oracle-")
    os.chmod(folder, 0o755)
    resolv = os.path.join(folder, "resolv.conf")
    with open(resolv, "w") as f:
        f.write("nameserver 127.0.0.1\n")
    os.chmod(resolv, 0o644)
    subprocess.run(["mount", "--bind", resolv,
                    os.path.realpath("/etc/resolv.conf")], check=True)
    rows = list(table.rows())
    p = Postfix(partner, folder, rows)
    with dns_server.Server(table.ZONE, port=53):
        p.start()
        try:
            answers = {}
            for n, row in enumerate(rows):
                answers[row[0]] = table.without_ids(cases.wait_for(
                    "port %d" % (FIRST_PORT + n),
                    lambda: try_ask(row, FIRST_PORT + n)))
            return answers
        finally:
            p.stop()
            if os.environ.get("KEEP"):
                print("kept: " + folder, file=sys.stderr)
            else:
                shutil.rmtree(folder)


def try_ask(row, port):
    try:
        return table.ask(row, port)
    except ConnectionRefusedError:
        return None


def test_postfix_answers_so():
    if os.geteuid() != 0:
        raise cases.Skip("needs root, for namespaces and Postfix")
    answers, wanted = all_answers(), table.recorded()
    wrong = ["%s: %s, written down: %s" % (n, a, wanted.get(n))
             for n, a in answers.items() if wanted.get(n) != a]
    assert not wrong, "\n".join(wrong)
    cases.equal(sorted(answers), sorted(wanted))


if __name__ == "__main__":
    if "--record" not in sys.argv:
        # Packages come from outside: before the network is left.
        if os.geteuid() == 0:
            subprocess.run([os.path.join(ROOT, "tests/partners"), "postfix"],
                           check=True, capture_output=True)
        in_namespace()
        cases.main(globals())
    else:
        in_namespace()
        with open(table.REPLIES, "w") as out:
            for pair in all_answers().items():
                out.write("%s: %s\n" % pair)
