/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "qmgr/qmgr.h"

/*
 * Probes (lib/queue/queue.h): messages of verify that ask whether an address
 * can be delivered to. They are tried once; what came of it is told to verify
 * as well as may be: an answer that is lost means another probe.
 */

enum { TOLD_MS = 60 * 1000 };

static void
told(void *arg, struct msg_in *in, const struct err *e)
{
	struct qmgr *q = arg;

	(void)in;
	if (e != NULL)
		log_warning(NULL, "verify did not hear of a probe: %s",
		    e->text);
	q->bouncing--;
}

void
probe_result(const struct message *m, const struct rcpt *r)
{
	struct qmgr *q = m->q;
	struct msg_out out;

	if (q->verify == NULL)
		q->verify = daemon_connect(q->daemon, "verify");
	msg_begin(&out, MSG_PROBED, 0, m->log.trace);
	msg_put_str(&out, F_QID, m->log.qid);
	msg_put(&out, F_ADDRESS,
	    r->orig_address.n > 0 ? r->orig_address : r->address);
	/* An agent that died under an earlier qmgr has found out nothing. */
	if (!m->retry_now)
		msg_put_u64(&out, F_ACTION, r->action);
	msg_put_str(&out, F_DSN, r->dsn);
	msg_put_str(&out, F_TEXT, r->text);
	/* As with notifications: wait for the answer before leaving. */
	q->bouncing++;
	client_ask(q->verify, &out, TOLD_MS, told, q);
	msg_out_release(&out);
}
