#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real Postfix, from Debian, unpacked, alone on loopback in namespaces of its
own, verifies the addresses of tests/lib/verify_cases.py: with the replies that
are written down there, as ours does (system/address_verify). Needs root for
the namespaces."""
# timeout: 300
# full: it starts a Postfix, and waits as Postfix waits

import os
import shutil
import subprocess
import sys
import tempfile
import threading

sys.path[:0] = [os.path.join(os.path.dirname(os.path.abspath(__file__)),
                             "..", "lib"),
                os.path.dirname(os.path.abspath(__file__))]
import cases  # noqa: E402
import dns_server  # noqa: E402
import mail  # noqa: E402
import restriction_cases  # noqa: E402
import restrictions_oracle as oracle  # noqa: E402
import verify_cases  # noqa: E402

PORT = 2600


class Postfix(oracle.Postfix):
    """One with one listener, whose next hops are ours."""

    def __init__(self, partner, folder, port, dead_port):
        with open(os.path.join(folder, "transport"), "w") as f:
            f.write(verify_cases.transport(port, dead_port))
        super().__init__(partner, folder, [])

    def _users(self):
        super()._users()
        with open("/etc/passwd", "a") as f:
            f.write("alice:x:7903:7903::/nonexistent:/bin/false\n")

    def _main_cf(self):
        super()._main_cf()
        more = dict(verify_cases.SETTINGS, myorigin=verify_cases.DOMAIN,
                    transport_maps="texthash:%s/transport" % self.folder)
        with open(self.conf + "/main.cf", "a") as out:
            for pair in more.items():
                out.write("%s = %s\n" % pair)

    def _master_cf(self):
        super()._master_cf()
        with open(self.conf + "/master.cf", "a") as out:
            out.write("127.0.0.1:%d inet n - n - - smtpd\n" % PORT)


def greets():
    try:
        return verify_cases.ask("127.0.0.1", PORT, "postmaster")
    except OSError:
        return None


def answers(folder, partner):
    slow = threading.Event()
    sink = mail.Sink(reply=verify_cases.answer(slow))
    dead = mail.Sink()
    dead.close()
    p = Postfix(partner, folder, sink.port, dead.port)
    with dns_server.Server(restriction_cases.ZONE, port=53):
        p.start()
        try:
            cases.wait_for("Postfix", greets)
            return verify_cases.wrong("127.0.0.1", PORT, dead.port)
        finally:
            slow.set()
            p.stop()
            sink.close()


def test_postfix_answers_so():
    if os.geteuid() != 0:
        raise cases.Skip("needs root, for namespaces and Postfix")
    partner = subprocess.run(
        [os.path.join(oracle.ROOT, "tests/partners"), "postfix"], check=True,
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
    try:
        lines = answers(folder, partner)
    finally:
        if os.environ.get("KEEP"):
            print("kept: " + folder, file=sys.stderr)
        else:
            shutil.rmtree(folder)
    assert not lines, "\n".join(lines)


if __name__ == "__main__":
    # Packages come from outside: before the network is left.
    if os.geteuid() == 0:
        subprocess.run([os.path.join(oracle.ROOT, "tests/partners"),
                        "postfix"], check=True, capture_output=True)
    oracle.in_namespace()
    cases.main(globals())
