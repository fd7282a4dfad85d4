#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""postmap, postalias and postconf, as scripts call them."""
# timeout: 120

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import ipc  # noqa: E402
import manual  # noqa: E402

BIN = os.path.join(ipc.BUILD, "bin")


@contextlib.contextmanager
def folder(**files):
    """An empty directory, or one with files NAME=TEXT (x_cf is x.cf)."""
    path = tempfile.mkdtemp(prefix="chappe-tables-")
    try:
        for name, text in files.items():
            write(os.path.join(path, name.replace("_cf", ".cf")), text)
        yield path
    finally:
        shutil.rmtree(path)


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def read(path):
    with open(path) as f:
        return f.read()


def tool(name, *args, status=0, input=None):
    return cases.run([os.path.join(BIN, name)] + list(args), input=input,
                     status=status)


ALIASES = """\
# who is who
postmaster: root
Root: joe
list: a, b,
   c@example.test
# in between
   , d
"quoted name": x
"""


def test_postalias_builds_and_answers():
    with folder(aliases=ALIASES) as d:
        table = "hash:%s/aliases" % d
        done = tool("postalias", table)
        cases.equal((done.stdout, done.stderr), ("", ""))
        cases.equal(tool("postalias", "-q", "list", table).stdout,
                    "a, b,   c@example.test   , d\n")
        cases.equal(tool("postalias", "-q", "ROOT", table).stdout, "joe\n")
        cases.equal(tool("postalias", "-q", "nobody", table,
                         status=1).stdout, "")
        cases.equal(tool("postalias", "-q", "-", table,
                         input="root\nnobody\nquoted name\n").stdout,
                    "root:\tjoe\nquoted name:\tx\n")
        cases.equal(sorted(tool("postalias", "-s", table).stdout
                           .splitlines()),
                    ["list:\ta, b,   c@example.test   , d",
                     "postmaster:\troot", "quoted name:\tx", "root:\tjoe"])


def test_postalias_warns_and_goes_on():
    with folder(aliases="good: one\nno colon here\nx@y: z\nempty:\n"
                "good: two\n") as d:
        done = tool("postalias", d + "/aliases")
        cases.equal(done.stderr,
                    "postalias: warning: %(d)s/aliases, line 2: need "
                    "name:value pair\n"
                    "postalias: warning: %(d)s/aliases, line 3: name must "
                    "be local\n"
                    "postalias: warning: %(d)s/aliases, line 4: need "
                    "name:value pair\n"
                    "postalias: warning: %(d)s/aliases.gdbm: duplicate "
                    "entry: \"good\"\n" % {"d": d})
        cases.equal(tool("postalias", "-q", "good", d + "/aliases").stdout,
                    "one\n")
        cases.equal(tool("postalias", "-w", d + "/aliases").stderr.count(
            "duplicate"), 0)
        tool("postalias", "-r", d + "/aliases")
        cases.equal(tool("postalias", "-q", "good", d + "/aliases").stdout,
                    "two\n")


def test_postmap_edits_in_place():
    with folder(t="Key value of it\nother x\n") as d:
        t = d + "/t"
        tool("postmap", t)
        cases.equal(tool("postmap", "-q", "key", t).stdout, "value of it\n")
        tool("postmap", "-i", t, input="third 3\nkey no\n")
        cases.equal(tool("postmap", "-q", "third", t).stdout, "3\n")
        cases.equal(tool("postmap", "-q", "key", t).stdout, "value of it\n")
        tool("postmap", "-ir", t, input="key yes\n")
        cases.equal(tool("postmap", "-q", "key", t).stdout, "yes\n")
        tool("postmap", "-d", "other", t)
        tool("postmap", "-d", "other", t, status=1)
        tool("postmap", "-q", "other", t, status=1)
        cases.equal(sorted(tool("postmap", "-s", t).stdout.splitlines()),
                    ["key\tyes", "third\t3"])
        tool("postmap", "-d", "-", t, input="key\nthird\n")
        cases.equal(tool("postmap", "-s", t).stdout, "")


def test_postmap_asks_any_table():
    with folder(re="/^(.*)@old$/ $1@new\n", net="10.0.0.0/8 ten\n",
                text="k v\n") as d:
        for spec, key, value in (
                ("pcre:%s/re" % d, "x@old", "x@new"),
                ("regexp:%s/re" % d, "x@old", "x@new"),
                ("cidr:%s/net" % d, "10.2.3.4", "ten"),
                ("texthash:%s/text" % d, "k", "v"),
                ("static:all", "z", "all"),
                ("inline:{a=b}", "a", "b")):
            cases.equal(tool("postmap", "-q", key, spec).stdout, value + "\n")
        # The first table that has it.
        cases.equal(tool("postmap", "-q", "a", "texthash:%s/text" % d,
                         "inline:{a=b}").stdout, "b\n")


def test_table_tools_fail_clearly():
    with folder() as d:
        for args, text in (
                (["%s/none" % d], "open %s/none: No such file" % d),
                (["foo:%s/t" % d], "no table type \"foo\""),
                (["pcre:%s/none" % d], "No such file"),
                (["-q", "x", "hash:%s/none" % d], "No such file"),
                (["-q", "x", "-s", "static:y"], "only one of"),
                ([], "usage: postmap"),
                (["-Z"], "usage: postmap")):
            done = tool("postmap", *args, status=1)
            cases.contains(done.stderr, "postmap: fatal: ")
            cases.contains(done.stderr, text)


def test_the_index_keeps_the_texts_mode():
    with folder(t="k v\n") as d:
        for mode, args, wanted in ((0o640, [], 0o640), (0o600, [], 0o600),
                                   (0o600, ["-p"], 0o644)):
            os.chmod(d + "/t", mode)
            tool("postmap", *args, d + "/t")
            cases.equal(os.stat(d + "/t.gdbm").st_mode & 0o777, wanted)


def test_readers_never_see_half_an_index():
    with folder(t="".join("key%d value\n" % i for i in range(2000))) as d:
        tool("postmap", d + "/t")
        end = time.monotonic() + 3
        rebuild = subprocess.Popen(
            ["/bin/sh", "-c", "while :; do \"$1\" \"$2\"; done", "sh",
             os.path.join(BIN, "postmap"), d + "/t"],
            stderr=subprocess.DEVNULL)
        try:
            asked = 0
            while time.monotonic() < end:
                cases.equal(tool("postmap", "-q", "key1999", d + "/t").stdout,
                            "value\n")
                asked += 1
            assert asked > 10, asked
        finally:
            rebuild.kill()
            rebuild.wait()


MAIN = """\
# first comment
myhostname = mx.test
mydestination = $myhostname,
# inside
    localhost
relayhost =
my_own = x
virtual_alias_maps = inline:{$my_own=y}
"""


def postconf(d, *args, **more):
    return tool("postconf", "-c", d, *args, **more)


def test_postconf_prints():
    with folder(main_cf=MAIN) as d:
        for args, out in (
                (["myhostname"], "myhostname = mx.test\n"),
                (["-h", "myhostname"], "mx.test\n"),
                (["-H", "myhostname"], "myhostname\n"),
                (["-d", "relayhost"], "relayhost = \n"),
                (["-d", "syslog_name"], "syslog_name = postfix\n"),
                (["mydestination"],
                 "mydestination = $myhostname,    localhost\n"),
                (["-x", "mydestination"],
                 "mydestination = mx.test,    localhost\n"),
                (["-xh", "mydomain", "myhostname"], "test\nmx.test\n"),
                (["-o", "relayhost=[x]", "relayhost"],
                 "relayhost = [x]\n"),
                (["-n", "syslog_name"], ""),
                (["-n"], "my_own = x\n"
                 "mydestination = $myhostname,    localhost\n"
                 "myhostname = mx.test\nrelayhost = \n"
                 "virtual_alias_maps = inline:{$my_own=y}\n")):
            done = postconf(d, *args)
            cases.equal((done.stdout, done.stderr), (out, ""), str(args))
        everything = postconf(d).stdout.splitlines()
        cases.equal([x.split(" = ")[0] for x in everything],
                    sorted(x.split(" = ")[0] for x in everything))
        assert len(everything) > 100
        cases.contains(postconf(d, "-m").stdout, "hash\n")


def test_postconf_folds():
    words = " ".join("word%02d" % i for i in range(20))
    with folder(main_cf="my_list = %s\nrelayhost = $my_list\n" % words) as d:
        out = postconf(d, "-nf", "my_list").stdout
        cases.equal(" ".join(out.split()), "my_list = " + words)
        assert max(map(len, out.splitlines())) <= 80
        assert all(x.startswith("    ") for x in out.splitlines()[1:])


def test_postconf_says_what_is_unknown():
    with folder(main_cf="mynetwork = 10.0.0.0/8\n") as d:
        done = postconf(d, "bad")
        cases.equal((done.stdout, done.stderr),
                    ("", "postconf: warning: bad: unknown parameter\n"))
        done = postconf(d, "-n")
        cases.equal((done.stdout, done.stderr),
                    ("mynetwork = 10.0.0.0/8\n",
                     "postconf: warning: %s/main.cf: line 1: unknown "
                     "parameter \"mynetwork\"; the nearest known is "
                     "\"mynetworks\"\n" % d))
        done = postconf(d + "/none", status=1)
        cases.contains(done.stderr, "postconf: fatal: open %s/none/main.cf"
                       % d)


def test_postconf_edits():
    with folder(main_cf=MAIN) as d:
        main = d + "/main.cf"
        os.chmod(main, 0o640)
        postconf(d, "-e", "mydestination = here, there", "relayhost=[r]:25")
        postconf(d, "syslog_name=mail")
        cases.equal(read(main),
                    "# first comment\nmyhostname = mx.test\n"
                    "mydestination = here, there\n# inside\n"
                    "relayhost = [r]:25\nmy_own = x\n"
                    "virtual_alias_maps = inline:{$my_own=y}\n"
                    "syslog_name = mail\n")
        cases.equal(os.stat(main).st_mode & 0o777, 0o640)
        postconf(d, "-X", "syslog_name", "my_own")
        postconf(d, "-#", "mydestination")
        cases.equal(read(main),
                    "# first comment\nmyhostname = mx.test\n"
                    "#mydestination = here, there\n# inside\n"
                    "relayhost = [r]:25\n"
                    "virtual_alias_maps = inline:{$my_own=y}\n")
        for args, text in ((["-e", "novalue"], "missing '='"),
                           (["-e", "a=b\nc=d"], "multi-line"),
                           (["-X", "a=b"], "without value")):
            cases.contains(postconf(d, *args, status=1).stderr, text)
        cases.equal(os.listdir(d), ["main.cf"])


def test_postconf_edits_what_a_link_points_to():
    with folder(real="a = b\n") as d:
        os.symlink("real", d + "/main.cf")
        postconf(d, "relayhost=[x]")
        assert os.path.islink(d + "/main.cf")
        cases.equal(read(d + "/real"), "a = b\nrelayhost = [x]\n")


def test_postconf_warns_of_drop_ins():
    with folder(main_cf="relayhost = [a]\n") as d:
        os.mkdir(d + "/conf.d")
        write(d + "/conf.d/10-x.cf", "\nrelayhost = [b]\n")
        cases.contains(postconf(d, "relayhost=[c]").stderr,
                       "relayhost is also set in %s/conf.d/10-x.cf: line 2, "
                       "which wins over main.cf" % d)
        cases.equal(postconf(d, "-h", "relayhost").stdout, "[b]\n")


MASTER = """\
# service
smtp inet n - y - - smtpd
submission inet n - y - 5 smtpd -v
  -o syslog_name=postfix/submission
  -o { mynetworks = 10.0.0.0/8, ::1 }
pickup unix n - n 60 1 pickup
"""


def test_postconf_prints_services():
    with folder(main_cf="", master_cf=MASTER) as d:
        cases.equal(postconf(d, "-M").stdout,
                    "smtp       inet  n       -       y       -       -"
                    "       smtpd\n"
                    "submission inet  n       -       y       -       5"
                    "       smtpd -v -o syslog_name=postfix/submission -o "
                    "{ mynetworks = 10.0.0.0/8, ::1 }\n"
                    "pickup     unix  n       -       n       60      1"
                    "       pickup\n")
        cases.equal(postconf(d, "-M", "pickup/unix").stdout.split()[0],
                    "pickup")
        cases.equal(postconf(d, "-P").stdout,
                    "submission/inet/syslog_name = postfix/submission\n"
                    "submission/inet/mynetworks = 10.0.0.0/8, ::1\n")
        cases.equal(postconf(d, "-hP", "*/inet/mynetworks").stdout,
                    "10.0.0.0/8, ::1\n")
        cases.equal(postconf(d, "-F", "pickup/unix/wakeup").stdout,
                    "pickup/unix/wakeup = 60\n")
        write(d + "/master.cf", "smtp inet n - y\n")
        cases.contains(postconf(d, "-M", status=1).stderr,
                       "master.cf: line 1: only 5 of 8 columns")


def test_postconf_edits_services():
    with folder(main_cf="", master_cf=MASTER + "# end\n") as d:
        master = d + "/master.cf"
        os.chmod(master, 0o640)

        def services():
            return postconf(d, "-M").stdout.splitlines()

        postconf(d, "-P", "smtp/inet/mynetworks=10.0.0.0/8",
                 "submission/inet/syslog_name=x y",
                 "smtp/inet/syslog_name=z")
        cases.equal(postconf(d, "-P").stdout,
                    "smtp/inet/mynetworks = 10.0.0.0/8\n"
                    "smtp/inet/syslog_name = z\n"
                    "submission/inet/mynetworks = 10.0.0.0/8, ::1\n"
                    "submission/inet/syslog_name = x y\n")
        postconf(d, "-PX", "smtp/inet/mynetworks",
                 "submission/inet/mynetworks")
        postconf(d, "-F", "pickup/unix/wakeup=30",
                 "smtp/inet/command=smtpd -v")
        cases.equal(read(master),
                    "# service\n"
                    "smtp       inet  n       -       y       -       -"
                    "       smtpd -v\n"
                    "submission inet  n       -       y       -       5"
                    "       smtpd -v\n"
                    "    -o { syslog_name = x y }\n"
                    "pickup     unix  n       -       n       30      1"
                    "       pickup\n"
                    "# end\n")
        postconf(d, "-M", "new/unix=new unix - - n - 3 local -o a=b")
        postconf(d, "-Me", "smtp/inet=2525 inet n - n - - smtpd")
        cases.equal([s.split()[0] for s in services()],
                    ["2525", "submission", "pickup", "new"])
        postconf(d, "-M#", "submission/inet")
        postconf(d, "-MX", "pickup/unix")
        cases.equal([s.split()[0] for s in services()], ["2525", "new"])
        cases.contains(read(master), "\n#submission inet  n ")
        cases.contains(read(master), "\n#    -o { syslog_name = x y }\n"
                       "# end\nnew ")
        cases.equal(os.stat(master).st_mode & 0o777, 0o640)
        before = read(master)
        for args, text in (
                (["-M", "x/inet=x inet n -"], "8 columns"),
                (["-MX", "nothing/inet"], "no service nothing/inet"),
                (["-P", "2525/inet=x"], "not service/type/parameter"),
                (["-F", "2525/inet/color=red"], 'no field "color"'),
                (["-F", "2525/inet/wakeup=soon"], "bad wakeup"),
                (["-MX", "2525/inet=x"], "names without value")):
            cases.contains(postconf(d, *args, status=1).stderr, text)
        cases.equal(read(master), before)


def test_the_manual_lists_every_parameter():
    if manual.wanted() != manual.page():
        raise AssertionError("conf/main.cf.5 is not what the code says: run "
                             "tests/lib/manual.py")


cases.main(globals())
