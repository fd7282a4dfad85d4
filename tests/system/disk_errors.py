#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 200
"""What the disk refused once is not believed afterwards, since a second flush
of the same file may go well without having written anything: a segment of the
journal is not used again, its mails are answered with 4xx, and a queue file
is made anew before it is sealed."""

import glob
import os
import signal
import smtplib
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), "lib"))
import cases  # noqa: E402
import crash  # noqa: E402
import mail  # noqa: E402

TO = "b@away.test"
ERROR = "Input/output error"
GONE = r"qmgr\[\d+\]: journal segment (\d+) is not used again$"


class House:
    """An instance in which one step of one program fails, and whose next hop
    says nothing."""

    def __init__(self, program, step):
        os.environ["CHAPPE_FAULT_PROC"] = program
        os.environ["CHAPPE_FAULT"] = "%d:EIO" % step
        self.away = crash.Away()
        self.suite = crash.Instance(["queue_commit=group",
                                     self.away.option()])

    def __enter__(self):
        self.suite.start()
        return self.suite

    def __exit__(self, *_):
        self.suite.stop()
        self.suite.remove()
        self.away.close()
        del os.environ["CHAPPE_FAULT"], os.environ["CHAPPE_FAULT_PROC"]


def sent(to=TO, lines=1):
    """Its id, or the code of the refusal."""
    try:
        return mail.send(mail.text("waits", ("x" * 70 + "\n") * lines, to=to),
                         to)
    except (smtplib.SMTPException, AssertionError) as e:
        assert "250" not in str(e).split("wanted")[0], e
        return None


def unsealed(suite):
    """Sends until one is in the journal; its file, which long ones have."""
    def one():
        sent(lines=3000)
        return glob.glob(suite.queue + "/incoming/?/[0-9A-F]*")
    return cases.wait_for("an unsealed mail", one)[0]


def unfiled(suite):
    """The same with one that has no file; its id."""
    def one():
        qid = sent()
        return not glob.glob("%s/*/?/%s" % (suite.queue, qid)) and qid
    return cases.wait_for("an unfiled mail", one)


def sealed(suite, qid):
    return cases.wait_for("%s to be sealed" % qid, lambda: glob.glob(
        "%s/active/?/%s" % (suite.queue, qid)))[0]


def removed(suite):
    """The segment that is said to be, and is."""
    number = int(mail.wait_for_log(GONE)[1])
    assert not os.path.exists("%s/journal/%08d" % (suite.queue, number))
    return number


def test_a_file_whose_flush_failed_is_made_anew():
    for step in (31, 30, 32):
        with House("qmgr", step) as suite:
            name = unsealed(suite)
            inode, qid = os.stat(name).st_ino, os.path.basename(name)
            now = sealed(suite, qid)
            if "sealing: fsync: " + ERROR not in mail.log():
                continue
            cases.equal(os.stat(now).st_ino == inode, False, "the same file")
            cases.contains(cases.run(["postcat", "-q", qid]).stdout,
                           "Subject: waits")
            return
    raise AssertionError("no step was the file's flush")


def test_a_file_that_was_just_made_is_made_anew_too():
    for step in (35, 34, 36):
        with House("qmgr", step) as suite:
            qid = unfiled(suite)
            now = sealed(suite, qid)
            if "sealing: fsync: " + ERROR not in mail.log():
                continue
            cases.contains(cases.run(["postcat", "-q", qid]).stdout,
                           "Subject: waits")
            assert not glob.glob(suite.queue + "/incoming/?/.*"), now
            return
    raise AssertionError("no step was the file's flush")


def test_a_segment_that_an_acceptor_could_not_flush():
    for step in range(9, 14):
        with House("smtpd", step) as suite:
            cases.wait_for("a refusal", lambda: sent(
                mail.address(1)) is None)
            why = mail.wait_for_log(r"message not queued: (.*): " + ERROR)[1]
            if why != "fdatasync":
                continue
            cases.equal(removed(suite) > 1, True, "not qmgr's own")
            cases.wait_for("mail to be taken", lambda: sent(mail.address(1)))
            mail.wait_until_empty()
            return
    raise AssertionError("no step was the segment's flush")


def test_a_segment_whose_mark_could_not_be_written():
    with House("qmgr", 34) as suite:
        qid = os.path.basename(unsealed(suite))
        sealed(suite, qid)
        number = int(mail.wait_for_log(r"journal segment (\d+): .*" + ERROR)[1])
        # It goes when its process has done with it.
        for pid, name in suite._ours().items():
            if name == "smtpd":
                os.kill(pid, signal.SIGTERM)
        cases.wait_for("the end of the segment", lambda: not os.path.exists(
            "%s/journal/%08d" % (suite.queue, number)))


def test_the_queue_managers_own():
    """What was recorded in it stands in the next one."""
    for step in range(27, 34):
        with House("qmgr", step) as suite:
            for _ in range(3):
                sent(mail.address(1))
            mail.wait_until_empty()
            cases.wait_for("the fault", lambda: ERROR in mail.log())
            if "the queue manager's journal" not in mail.log():
                continue
            removed(suite)
            return
    raise AssertionError("no step was the journal's")


def test_segments_of_an_earlier_queue_manager():
    """The disk may have told that one what it tells nobody twice."""
    with House("nobody", 1) as suite:
        unsealed(suite)
        before = set(glob.glob(suite.queue + "/journal/0*"))
        for pid, name in suite._ours().items():
            if name == "qmgr":
                os.kill(pid, signal.SIGKILL)
        cases.wait_for("another segment of its own", lambda: set(glob.glob(
            suite.queue + "/journal/0*")) - before)
        removed(suite)


cases.main(globals())
