#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 200
"""qmgr by itself, with stand-ins for all others: what happens in a whole
instance only by bad luck."""

import contextlib
import os
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import queue_file  # noqa: E402
from qmgr_alone import (DEFERRED, DONE, FAILED, PARTS, REFUSED,  # noqa: E402
                        SENT, Acceptor, Agent, House, append, recipients)

SENDER = "alice@chappe.test"
DISCARD = ("gone@away.test", "discard", "", 0)
RETRY = ("far@away.test", "retry", "4.4.1 it is far", 0)


def test_held_mail_is_not_taken_from_what_its_acceptor_tells():
    with House() as h:
        h.start()
        held = queue_file.File(SENDER, [DISCARD], birth=queue_file.HOLD)
        held.put(h.queue, "hold")
        a = Acceptor(h)
        cases.equal(a.tell(held, head=True).name, "MSG_OK")
        after = queue_file.File(SENDER, [DISCARD])
        after.put(h.queue)
        a.tell(after, head=True)
        h.said("%s: removed" % after.qid)
        assert "%s: to=" % held.qid not in h.log(), "delivered"
        h.qmgr.kill()
        h.start()
        h.said("journal: 0 messages")
        cases.equal(h.files("hold"), [held.qid])


class Bounce:
    """Answers when it is told to, with what it is told."""

    def __init__(self, reply=DONE):
        self.reply, self.asked = reply, 0
        self.go = threading.Event()
        self.go.set()

    def __call__(self, m):
        for fd in m.fds:
            os.close(fd)
        self.asked += 1
        self.go.wait()
        return self.reply


def test_a_bounce_that_is_refused_waits_for_the_next_try():
    bounce = Bounce(REFUSED)
    with House(bounce, maximal_queue_lifetime="5s",
               minimal_backoff_time="2s", maximal_backoff_time="2s") as h:
        old = queue_file.File(SENDER, [RETRY], age_s=60)
        old.put(h.queue)
        h.start()
        cases.wait_for("it to be deferred", lambda: h.files("deferred"))
        cases.equal(bounce.asked, 1, "asked for a notification")
        bounce.reply = DONE
        h.said("%s: removed" % old.qid)
        cases.equal(bounce.asked, 2, "asked for a notification")


def test_mail_said_to_be_expired_stays_so_until_its_sender_hears():
    bounce = Bounce(REFUSED)
    with House(bounce, minimal_backoff_time="1s") as h:
        sent = queue_file.File(SENDER, [RETRY])
        sent.put(h.queue)
        h.start()
        cases.wait_for("it to be deferred", lambda: h.files("deferred"))
        cases.equal(h.edit("expire-now", sent.qid), 1)
        cases.wait_for("a notification", lambda: bounce.asked)
        bounce.reply = DONE
        h.said("%s: removed" % sent.qid)


def test_a_flush_reaches_mail_of_which_a_part_has_failed():
    with House(smtp_destination_recipient_limit="1",
               default_destination_recipient_limit="1") as h:
        two = queue_file.File(SENDER, [
            ("u%d@away.test" % i, "smtp", "away.test", 0) for i in range(2)])
        two.put(h.queue)
        h.start()
        agent = Agent(h, credit=1)
        first = agent.delivery()
        agent.all(first, DEFERRED, "4.2.0", "not now")
        # With the next one it is known that the first has failed.
        second = agent.delivery()
        asking = h.qmgr.connect_public()
        cases.equal(asking.call("MSG_QUEUE_FLUSH").name, "MSG_OK")
        asking.close()
        agent.all(second, DEFERRED, "4.2.0", "not now")
        # Not after minimal_backoff_time.
        again = agent.delivery()
        agent.all(again, SENT, "2.0.0", "taken")
        agent.all(agent.delivery(), SENT, "2.0.0", "taken")
        h.said("%s: removed" % two.qid)


def test_the_rest_is_read_after_an_early_bounce_that_is_refused():
    bounce = Bounce(REFUSED)
    with House(bounce, smtp_destination_recipient_limit="1000",
               default_destination_recipient_limit="1000") as h:
        many = queue_file.File(SENDER, [
            ("u%d@away.test" % i, "smtp", "away.test", 0)
            for i in range(1500)])
        many.put(h.queue)
        h.start()
        agent = Agent(h)
        first = agent.delivery()
        bounce.go.clear()
        cases.equal(len(recipients(first)) >= 500, True, "in one delivery")
        agent.all(first, FAILED, "5.1.1", "no such user")
        cases.wait_for("a notification", lambda: bounce.asked)
        seen = set(recipients(first))
        while len(seen) < 1000:
            d = agent.delivery()
            seen |= set(recipients(d))
            agent.all(d, DEFERRED, "4.2.0", "not now")
        # The next page is asked for by now.
        bounce.go.set()
        while len(seen) < 1500:
            d = agent.delivery()
            seen |= set(recipients(d))
            agent.all(d, DEFERRED, "4.2.0", "not now")
        cases.wait_for("it to be deferred", lambda: h.files("deferred"))


def test_what_a_dead_process_did_not_tell_is_found_though_another_is_there():
    """The next process with its slot is heard of before its end."""
    with House() as h:
        h.start()
        first = Acceptor(h)
        untold = queue_file.File(SENDER, [DISCARD], slot=first.slot)
        untold.put(h.queue, "incoming")
        append(first.segment(), untold)
        first.dies(later=True)
        second = Acceptor(h)
        second.segment()
        first.channel.close()
        h.said("%s: removed" % untold.qid)


def test_what_is_told_twice_is_not_delivered_twice():
    with House() as h:
        h.start()
        a, agent = Acceptor(h), Agent(h)
        f = queue_file.File(SENDER, [
            ("u%d@away.test" % i, "smtp", "away.test", 0) for i in range(2)],
            slot=a.slot)
        f.put(h.queue, "incoming")
        place = append(a.segment(), f)
        a.tell(f, place, head=True)
        d = agent.delivery()
        cases.equal(recipients(d), [0, 1])
        agent.result(d, 0, SENT, "2.0.0", "taken")
        agent.result(d, 1, DEFERRED, "4.2.0", "not now")
        agent.over(d)
        cases.wait_for("it to be deferred", lambda: h.files("deferred"))
        a.tell(f, place, head=True)
        a.channel.call("MSG_QUEUE_FLUSH")
        cases.equal(recipients(agent.delivery()), [1])


def test_a_segment_that_could_not_be_read_is_read_again():
    with House() as h:
        h.start()
        a = Acceptor(h)
        segment = a.segment()
        untold, told = (queue_file.File(SENDER, [DISCARD], slot=a.slot)
                        for _ in range(2))
        told.put(h.queue, "incoming")
        place = append(segment, untold)
        place = append(segment, told, at=place[3])
        # It is to be made anew, which cannot be.
        folder = os.path.dirname(untold.path(h.queue, "incoming"))
        os.chmod(folder, 0o500)
        a.tell(told, place, wait=False)
        h.said("journal segment %d: " % segment[0])
        os.chmod(folder, 0o770)
        for f in (untold, told):
            h.said("%s: removed" % f.qid)


def unsealed(h, acceptor, segment, at=queue_file.RECORDS, transport="smtp"):
    """A message told of: itself, its place, its file's number."""
    f = queue_file.File(SENDER, [("u@away.test", transport, "away.test", 0)],
                        slot=acceptor.slot)
    f.put(h.queue, "incoming")
    place = append(segment, f, at)
    cases.equal(acceptor.tell(f, place).name, "MSG_OK")
    return f, place, os.stat(f.path(h.queue, "incoming")).st_ino


def test_what_an_earlier_one_had_unsealed_is_made_anew():
    """The disk may have told that one what it tells nobody twice."""
    with House() as h:
        h.start()
        a = Acceptor(h)
        f, _, inode = unsealed(h, a, a.segment())
        h.qmgr.kill()
        a.dies()
        h.start()
        now = cases.wait_for("the seal", lambda: h.files("active") and
                             os.stat(f.path(h.queue)))
        cases.equal(now.st_ino == inode, False, "the same file")
        with open(f.path(h.queue), "rb") as got:
            cases.equal(got.read(), f.bytes)


@contextlib.contextmanager
def fault(step):
    """That step of qmgr fails."""
    os.environ.update(CHAPPE_FAULT_PROC="qmgr", CHAPPE_FAULT="%d:EIO" % step)
    try:
        yield
    finally:
        del os.environ["CHAPPE_FAULT"], os.environ["CHAPPE_FAULT_PROC"]


def test_a_file_whose_flush_failed_for_a_tool_is_made_anew():
    for step in range(15, 21):
        with fault(step), House(
                qmgr_message_active_limit="1", queue_reserve_size="0",
                queue_journal_segment_size="1048576") as h:
            h.start()
            a, agent = Acceptor(h), Agent(h)
            segment = a.segment()
            _, place, _ = unsealed(h, a, segment)
            agent.delivery()  # and no other one is begun
            f, _, inode = unsealed(h, a, segment, at=place[3])
            if h.edit("hold", f.qid) == 1:
                continue
            h.said("%s: hold: " % f.qid)
            if "hold: fsync: Input/output error" not in h.log():
                continue
            cases.equal(h.edit("hold", f.qid), 1)
            now = os.stat(f.path(h.queue, "hold"))
            cases.equal(now.st_ino == inode, False, "the same file")
            return
    raise AssertionError("no step was the file's flush")


def test_a_delete_is_answered_when_it_is_durable():
    """Without a journal: the unlink is its first step, its flush the second.
    The flush fails, and so nobody is told that it is gone."""
    with fault(2), House(queue_commit="file", queue_reserve_size="0") as h:
        f = queue_file.File(SENDER, [("u@away.test", "smtp", "away.test", 0)])
        f.put(h.queue)
        h.start()
        agent = Agent(h)
        d = agent.delivery()
        asked = h.ask("delete", f.qid)
        agent.all(d, DEFERRED, "4.2.0", "not now")
        h.said("%s: active/%s: fsync directory: Input/output error" % (
            f.qid, f.folder))
        cases.equal(asked.answer(), 1)
        h.said("%s: removed" % f.qid)


def test_a_delete_of_what_is_set_aside_removed_nothing():
    with House() as h:
        f = queue_file.File(SENDER, [("u@away.test", "smtp", "away.test", 0)])
        f.put(h.queue)
        h.start()
        agent = Agent(h)
        d = agent.delivery()
        with open(f.path(h.queue), "r+b") as file:
            file.seek(len(f.head))
            file.write(b"!")
        asked = h.ask("delete", f.qid)
        agent.result(d, 0, DEFERRED, "4.3.0", "it is damaged", F_DAMAGED=1)
        agent.over(d)
        h.said("%s: damaged: moved to corrupt/" % f.qid)
        cases.equal(asked.answer(), 0)


# ---- what has no file but its record ----
def unfiled(h, acceptor, segment, at=queue_file.RECORDS, count=1):
    """Such a message, told of: itself and its place."""
    f = queue_file.File(SENDER, [
        ("u%d@away.test" % i, "smtp", "away.test", 0) for i in range(count)],
        slot=acceptor.slot)
    place = append(segment, f, at)
    cases.equal(acceptor.tell(f, place, unfiled=True).name, "MSG_OK")
    return f, place


def all_files(h):
    return [f for part in PARTS for f in h.files(part)]


def content(h, f, part):
    with open(f.path(h.queue, part), "rb") as file:
        return file.read()


def test_what_is_delivered_at_once_never_has_a_file():
    with House() as h:
        h.start()
        a, agent = Acceptor(h), Agent(h)
        f, _ = unfiled(h, a, a.segment(), count=3)
        d = agent.delivery()
        cases.equal(d.file, f.bytes)
        cases.equal(all_files(h), [])
        agent.all(d, SENT, "2.0.0", "taken")
        h.said("%s: removed" % f.qid)
        cases.equal(all_files(h), [])
        h.qmgr.kill()
        h.start()
        h.said("journal: 0 messages, 0 of them made anew")


def test_what_is_deferred_gets_one():
    with House(minimal_backoff_time="1s", maximal_backoff_time="1s") as h:
        h.start()
        a, agent = Acceptor(h), Agent(h)
        f, _ = unfiled(h, a, a.segment())
        agent.all(agent.delivery(), DEFERRED, "4.2.0", "not now")
        cases.wait_for("it to be deferred", lambda: h.files("deferred"))
        cases.equal(content(h, f, "deferred")[:len(f.bytes)], f.bytes)
        cases.equal(all_files(h), [f.qid])
        again = agent.delivery()
        cases.equal(again.file[:len(f.bytes)], f.bytes)
        agent.all(again, SENT, "2.0.0", "taken")
        h.said("%s: removed" % f.qid)
        cases.equal(all_files(h), [])


def test_who_has_it_does_not_get_it_again():
    """Killed after one of two recipients was marked."""
    with House(smtp_destination_recipient_limit="1",
               default_destination_recipient_limit="1") as h:
        h.start()
        a, agent = Acceptor(h), Agent(h)
        f, _ = unfiled(h, a, a.segment(), count=2)
        first, second = agent.delivery(), agent.delivery()
        agent.all(first, SENT, "2.0.0", "taken")
        cases.wait_for("the mark", lambda: h.files("incoming") == [f.qid] and
                       b"D" in bytes(
                           x for x, y in zip(content(h, f, "incoming"),
                                             f.bytes) if x != y))
        h.qmgr.kill()
        # Nor when the file was lost with what was not flushed.
        os.unlink(f.path(h.queue, "incoming"))
        agent.channel.close()
        h.start()
        agent = Agent(h)
        d = agent.delivery()
        cases.equal(recipients(d), recipients(second))
        agent.all(d, SENT, "2.0.0", "taken")
        h.said("%s: removed" % f.qid)


def test_what_nobody_told_gets_one():
    """Its acceptor died before it could: the record is found."""
    with House() as h:
        h.start()
        a, agent = Acceptor(h), Agent(h)
        f = queue_file.File(SENDER, [("u@away.test", "smtp", "away.test", 0)],
                            slot=a.slot)
        append(a.segment(), f)
        a.dies()
        d = agent.delivery()
        cases.equal(d.file, f.bytes)
        agent.all(d, SENT, "2.0.0", "taken")
        h.said("%s: removed" % f.qid)


def test_tools_reach_what_has_no_file():
    with House(qmgr_message_active_limit="1") as h:
        h.start()
        a, agent = Acceptor(h), Agent(h)
        segment = a.segment()
        busy, place = unfiled(h, a, segment)
        d = agent.delivery()  # and no other one is begun
        held, place = unfiled(h, a, segment, at=place[3])
        gone, place = unfiled(h, a, segment, at=place[3])
        cases.equal(h.edit("hold", held.qid), 1)
        cases.equal(content(h, held, "hold"), held.bytes)
        cases.equal(h.edit("delete", gone.qid), 1)
        deleting = h.ask("delete", busy.qid)
        agent.all(d, DEFERRED, "4.2.0", "not now")
        cases.equal(deleting.answer(), 1)
        cases.equal(all_files(h), [held.qid])
        h.qmgr.kill()
        h.start()
        h.said("journal: 0 messages, 0 of them made anew")
        cases.equal(all_files(h), [held.qid])


def test_a_file_that_cannot_be_made_is_tried_again():
    failed = 0
    for step in range(17, 21):
        with fault(step), House(queue_reserve_size="0",
                                queue_journal_segment_size="1048576") as h:
            h.start()
            a, agent = Acceptor(h), Agent(h)
            f, _ = unfiled(h, a, a.segment())
            agent.all(agent.delivery(), DEFERRED, "4.2.0", "not now")
            cases.wait_for("it to be deferred", lambda: h.files("deferred"))
            cases.equal(content(h, f, "deferred")[:len(f.bytes)], f.bytes)
            failed += "warning: %s: " % f.qid in h.log()
    cases.equal(failed > 1, True, "steps that failed: %d" % failed)


cases.main(globals())
