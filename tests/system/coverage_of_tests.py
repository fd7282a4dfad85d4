#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""That nothing is without a test: each module of lib/ has a unit test that
calls it, each parser a fuzz target, each target a corpus; each
program and each file format its page."""

import glob
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402

os.chdir(cases.ROOT)
# Headers without code of their own to test: lists of numbers, and inline
# functions that every other test runs through.
# lib/daemon/daemon.h is the main function of each daemon: every system test
# runs through it.
NO_CODE = {"lib/daemon/daemon.h", "lib/base/limits.h", "lib/base/list.h",
           "lib/base/mem.h", "lib/ipc/schema.h", "lib/daemon/programs.h"}
# What reads bytes that others wrote.
PARSERS = {"proxy_header", "smtp_xattr", "downgrade", "address", "header", "mime", "smtp_cmd", "smtp_server",
           "smtp_client", "imap_server", "base64", "date", "record"}
# Where each of them is fed byte by byte: its unit test, and what does it.
BY_BYTE = {
    "lib/proto/smtp_cmd": "cut_anywhere(void",
    "lib/proto/smtp_server": "smtp_server_play.h",
    "lib/proto/smtp_client": "bytewise < 2",
    "lib/proto/imap_lex": "reads_byte_by_byte(void",
    "lib/proto/imap_cmd": "cut_anywhere(void",
    "lib/proto/imap_server": "steps[] = { SIZE_MAX, 1,",
    "lib/proto/address": "cut_anywhere(void",
    "lib/proto/header": "end_is_found_byte_by_byte(void",
    "lib/proto/mime": "cut_anywhere(void",
    "lib/queue/record": "for (size_t n = 0; n < b->n; n++)",
}
# Parts of daemons that are all sockets, processes and PAM: what they do is
# shown by a system test only.
BY_SYSTEM_TEST = {
    "auth/pam": "privileged", "auth/pool": "auth", "auth/worker": "auth",
    "auth/setup": "auth", "auth/exchange": "auth",
    "auth/app_uses": "auth_clients", "auth/oauth": "auth_clients",
    "auth/quotas": "quota", "auth/dovecot": "auth_dovecot", "imapd/login": "imap", "imapd/spawn": "imap",
    "local/aliases": "aliases", "local/forker": "privileged",
    "pickup/intake": "milter_local", "smtpd/milter": "milter",
    "smtpd/proxy": "proxy_filter",
    "local/job": "forward", "local/pool": "privileged",
    "pickup/intake": "content",
    "qmgr/journal": "queue_fault", "qmgr/seal": "group_commit",
    "qmgr/segments": "group_commit", "qmgr/reserve": "disk_full", "qmgr/settle_steps": "disk_errors",
    "qmgr/scheduler_dest": "queue", "smtpd/arrival": "smtp",
    "smtpd/screen_access": "screen", "smtpd/session_log": "smtp",
    "qmgr/agents": "queue", "smtpd/service": "smtpd",
    "smtpd/session": "smtp", "smtpd/protocol": "talk",
    "smtpd/milter": "milter", "smtpd/proxy": "proxy_filter",
    "smtpd/recipients": "content", "smtpd/stage": "restrictions",
    "smtpd/limits": "limits_clients", "smtpd/outbound": "outbound",
    "smtpd/overload": "overload", "smtpd/screen": "screen",
    "smtpd/xclient": "talk", "local/binary": "next_hop", "smtpd/tls": "tls",
}


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def public_headers():
    """Headers of lib/ that another folder includes."""
    used = set()
    for path in glob.glob("**/*.[ch]", recursive=True):
        if path.startswith(("build/", "tests/")):
            continue
        for name in re.findall(r'#include "(lib/[^"]+)"', read(path)):
            if os.path.dirname(name) != os.path.dirname(path):
                used.add(name)
    return used - NO_CODE


def functions(header):
    """The names that a header declares."""
    text = re.sub(r"/\*.*?\*/", "", read(header), flags=re.S)
    return set(re.findall(r"^[a-z][\w *]*?\b\*?(\w+)\(", text, re.M))


def test_each_module_has_a_unit_test():
    tests = "".join(read(p) for p in glob.glob("tests/unit/**/*.[ch]",
                                               recursive=True))
    called = set(re.findall(r"\b(\w+)\(", tests))
    untested = [h for h in sorted(public_headers())
                if functions(h) and not functions(h) & called]
    cases.equal(untested, [], "without a test")


def test_each_part_of_a_daemon_has_a_test():
    folders = {os.path.dirname(p) for p in glob.glob("*/*_params.c")} | {
        "auth", "bounce", "log", "master", "pickup", "resolver"}
    parts = {p[:-2] for d in folders for p in glob.glob(d + "/*.c")
             if os.path.exists(p[:-2] + ".h")}
    mains = {p for p in parts
             if re.search(r"^main\(", read(p + ".c"), re.M)}
    without = [p for p in sorted(parts - mains)
               if not p.endswith("_params") and p not in BY_SYSTEM_TEST
               and not os.path.exists("tests/unit/%s_test.c" % p)]
    cases.equal(without, [], "without a test")
    for part, name in BY_SYSTEM_TEST.items():
        assert part in parts, "%s is gone" % part
        assert os.path.exists("tests/system/%s.py" % name), name


def test_parsers_are_fed_byte_by_byte():
    cases.contains(read("tests/unit/lib/proto/smtp_server_play.h"),
                   "bytewise < 2")
    for module, does in BY_BYTE.items():
        cases.contains(read("tests/unit/%s_test.c" % module), does)


def test_each_parser_is_fuzzed():
    targets = {os.path.basename(p)[:-len("_fuzz.c")]
               for p in glob.glob("tests/fuzz/*_fuzz.c")}
    cases.equal(sorted(PARSERS - targets), [], "without a fuzz target")


def test_each_fuzz_target_has_a_corpus():
    for path in glob.glob("tests/fuzz/*_fuzz.c"):
        name = os.path.basename(path)[:-len("_fuzz.c")]
        assert os.listdir("tests/fuzz/corpus/" + name), name


def test_each_program_has_its_page():
    rows = re.search(r"PROGRAM_ROWS := ((?:.*\\\n)*.*)",
                     read("Makefile")).group(1).replace("\\\n", " ")
    names = [r.split(":")[0] for r in rows.split()] + [
        os.path.basename(p)[:-2] for p in glob.glob("tools/*.c")]
    pages = {os.path.basename(p).rsplit(".", 1)[0]
             for p in glob.glob("*/*.[158]")}
    cases.equal(sorted(set(names) - pages), [], "without a manual page")


cases.main(globals())
