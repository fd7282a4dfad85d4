#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# instance: -o relayhost=[127.0.0.1]:1 -o virtual_mailbox_domains=v.test -o recipient_delimiter=+
"""What aliases and local delivery can besides: :include:, owner-, files,
\\user, an alias that names itself, commands (deferred), address extensions,
virtual mailboxes."""

import glob
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import mail  # noqa: E402

CONF = os.environ["CHAPPE_CONFIG"]
HOME = os.path.dirname(os.environ["MAILBOX1"])


def owner(path):
    st = os.stat(HOME)
    os.chown(path, st.st_uid, st.st_gid)


def write(path, text):
    with open(path, "w") as f:
        f.write(text)
    owner(path)


def alias(line):
    with open(os.path.join(CONF, "aliases"), "a") as f:
        f.write(line + "\n")
    cases.run(["newaliases"])
    name = line.split(":")[0]

    def known():
        with mail.smtp() as s:
            s.ehlo()
            s.mail("a@elsewhere.test")
            return s.rcpt("%s@%s" % (name, mail.DOMAIN))[0] == 250
    cases.wait_for("alias %s" % name, known)


def send(subject, name):
    to = name if "@" in name else "%s@%s" % (name, mail.DOMAIN)
    return mail.send(mail.text(subject), to)


def count(subject, n=1):
    return sum(("Subject: %s\n" % subject).encode() in t
               for t in mail.mailbox_texts(n))


def test_include_and_owner():
    with mail.Sink() as sink:
        mail.set_option("relayhost", "[127.0.0.1]:%d" % sink.port)
        path = os.path.join(HOME, "members")
        write(path, "# members\n%s\nfar@elsewhere.test\n" % mail.user(2))
        os.chmod(path, 0o644)
        os.chmod(HOME, 0o755)
        alias("list: :include:%s" % path)
        alias("owner-list: %s" % mail.user(1))
        send("to the list", "list")
        mail.wait_for_mail("to the list", 2)
        cases.wait_for("the remote copy", lambda: sink.messages)
        cases.contains("".join(sink.commands),
                       "MAIL FROM:<owner-list@%s>" % mail.DOMAIN)
    mail.wait_until_empty()


def test_include_that_is_missing_defers():
    alias("later: :include:/no/such/file")
    qid = send("later", "later")
    mail.wait_for_log("%s: to=<later@.*dsn=4.*status=deferred .*include file"
                      % qid)
    cases.run(["postsuper", "-d", qid])


def test_alias_of_its_own_name():
    alias("%s: %s, %s" % (mail.user(1), mail.user(1), mail.user(2)))
    send("own name", mail.user(1))
    for n in (1, 2):
        mail.wait_for_mail("own name", n)
    mail.wait_until_empty()
    cases.equal((count("own name", 1), count("own name", 2)), (1, 1))


def test_backslash_skips_forward():
    write(os.path.join(HOME, ".forward"), "nobody@elsewhere.test\n")
    alias("direct: \\%s" % mail.user(1))
    send("direct", "direct")
    mail.wait_for_mail("direct", 1)
    os.unlink(os.path.join(HOME, ".forward"))
    mail.wait_until_empty()


def test_files():
    path = os.path.join(HOME, "archive")
    write(path, "")
    alias("archive: %s" % path)
    qid = send("kept", "archive")
    mail.wait_for_log(r"%s: .*status=sent \(delivered to file: %s\)"
                      % (qid, path))
    with open(path) as f:
        text = f.read()
    cases.contains(text, "\nSubject: kept\n")
    cases.equal(text.startswith("From sender@elsewhere.test  "), True)


def test_commands_wait():
    alias('command: "|/bin/touch %s/ran"' % HOME)
    qid = send("command", "command")
    mail.wait_for_log(r"%s: .*dsn=4\.3\.5, status=deferred .*command" % qid)
    cases.equal(os.path.exists(os.path.join(HOME, "ran")), False)
    cases.run(["postsuper", "-d", qid])


def test_extension_has_its_own_forward():
    write(os.path.join(HOME, ".forward+news"), mail.user(2) + "\n")
    send("news", mail.user(2) + "+anything")
    mail.wait_for_mail("news", 2)
    before = count("more news", 2)
    alias("x-%s: \\%s" % (mail.user(1), mail.user(1)))
    send("more news", mail.user(1) + "+news")
    cases.wait_for("the copy", lambda: count("more news", 2) > before)
    mail.wait_until_empty()


def test_virtual():
    home = os.path.join(HOME, "virtual")
    os.mkdir(home)
    owner(home)
    st = os.stat(HOME)
    with open(os.path.join(CONF, "users"), "a") as f:
        f.write("zoe@v.test:{PLAIN}x:%d:%d::%s::userdb_mail=maildir:~/M\n"
                % (st.st_uid, st.st_gid, home))

    def accepted():
        with mail.smtp() as s:
            s.ehlo()
            s.mail("a@elsewhere.test")
            return s.rcpt("zoe@v.test")[0] == 250
    cases.wait_for("the new user", accepted, 30)
    qid = send("virtual", "zoe@v.test")
    mail.wait_for_log(r"%s: to=<zoe@v.test>, relay=virtual, .*status=sent "
                      r"\(delivered to maildir\)" % qid)
    cases.equal(len(glob.glob(home + "/M/new/*")), 1)


cases.main(globals())
