#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the processes of a suite that root started may still do."""
# instance: --privileged
# timeout: 120

import grp
import os
import pwd
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402

# linux/capability.h
DAC_READ_SEARCH, KILL, SETGID, SETUID, BIND = 2, 5, 6, 7, 10
# docs/DESIGN.md: user, capabilities.
ROWS = {
    "smtpd": ("chappe-smtpd", ()),
    "pickup": ("chappe", ()),
    "qmgr": ("chappe", ()),
    "bounce": ("chappe", ()),
    "verify": ("chappe", ()),
    "smtp": ("chappe-net", ()),
    "resolver": ("chappe-net", ()),
    "log": ("chappe-log", ()),
    "imap-login": ("chappe-login", ()),
    "imap-spawn": ("root", (SETUID, SETGID)),
    # Having forked their workers, which keep a few.
    "local": ("chappe", ()),
    "auth": ("chappe-auth", ()),
}


def status_of(pid):
    with open("/proc/%d/status" % pid) as f:
        return dict(line.rstrip("\n").split(":\t", 1) for line in f
                    if ":\t" in line)


def children():
    master = int(os.environ["MASTER_PID"])
    found = {}
    for name in os.listdir("/proc"):
        try:
            pid = int(name)
            if int(status_of(pid)["PPid"]) != master:
                continue
            with open("/proc/%d/cmdline" % pid) as f:
                program = os.path.basename(f.read().split("\0")[0])
        except (ValueError, OSError, KeyError):
            continue
        found.setdefault(program, []).append(pid)
    return found


def mask(caps):
    return "%016x" % sum(1 << c for c in caps)


def test_each_daemon_has_its_own_user_and_few_rights():
    found = cases.wait_for(
        "the daemons", lambda: (lambda c: c if {
            "smtpd", "qmgr", "log", "pickup"} <= set(c) else None)(
                children()))
    for program, pids in sorted(found.items()):
        if program not in ROWS:
            continue
        user, caps = ROWS[program]
        uid = str(pwd.getpwnam(user).pw_uid)
        for pid in pids:
            s = status_of(pid)
            cases.equal(s["Uid"].split(), [uid] * 4, program)
            for kind in ("CapPrm", "CapEff"):
                cases.equal(s[kind], mask(caps), program + " " + kind)
            for kind in ("CapInh", "CapAmb"):
                cases.equal(s[kind], mask(()), program + " " + kind)
            cases.equal(s["NoNewPrivs"], "1", program)
            cases.equal(s["Seccomp"], "2", program)


def test_our_users_may_enter_private():
    gid = grp.getgrnam("chappe-ipc").gr_gid
    for program, pids in children().items():
        if ROWS.get(program, ("root",))[0] != "root":
            for pid in pids:
                assert str(gid) in status_of(pid)["Groups"].split(), program


def test_master_keeps_few_capabilities():
    s = status_of(int(os.environ["MASTER_PID"]))
    wanted = mask((BIND, SETUID, SETGID, KILL, DAC_READ_SEARCH))
    cases.equal((s["CapPrm"], s["CapEff"]), (wanted, wanted))


def test_the_queue_has_owners_and_modes():
    rows = {
        "": ("root", "chappe", 0o755),
        "maildrop": ("chappe", "chappe", 0o3773),
        "incoming": ("chappe-smtpd", "chappe", 0o2770),
        "incoming/F": ("chappe-smtpd", "chappe", 0o2770),
        "active/0": ("chappe-smtpd", "chappe", 0o2770),
        "deferred/A": ("chappe", "chappe", 0o2770),
        "hold/9": ("chappe-smtpd", "chappe", 0o2770),
        "corrupt": ("chappe", "chappe", 0o2770),
        "public": ("root", "root", 0o755),
        "private": ("root", "chappe-ipc", 0o750),
        "pid": ("root", "chappe", 0o775),
        "trace": ("chappe-log", "chappe-adm", 0o2750),
        "memory": ("chappe-smtpd", "chappe", 0o2770),
    }
    for name, (user, group, mode) in rows.items():
        st = os.stat(os.path.join(os.environ["QUEUE_DIR"], name))
        cases.equal((pwd.getpwuid(st.st_uid).pw_name,
                     grp.getgrgid(st.st_gid).gr_name, st.st_mode & 0o7777),
                    (user, group, mode), name)


def test_masters_socket_is_for_root():
    st = os.stat(os.path.join(os.environ["QUEUE_DIR"], "public", "master"))
    cases.equal((st.st_uid, st.st_mode & 0o777), (0, 0o600))


cases.main(globals())
