#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
# timeout: 200
"""qmgr by itself, with stand-ins for all others: what happens in a whole
instance only by bad luck."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)),
                                "..", "lib"))
import cases  # noqa: E402
import queue_file  # noqa: E402
from qmgr_alone import Acceptor, House  # noqa: E402

SENDER = "alice@chappe.test"
DISCARD = ("gone@away.test", "discard", "", 0)


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


cases.main(globals())
