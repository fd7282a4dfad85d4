/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/verify_client.h"

enum { MORE_MS = 10 * 1000 };

void
verify_ask(struct client *c, struct span address, uint64_t wait_ms,
    uint64_t trace, client_fn fn, void *arg)
{
	struct msg_out m;

	msg_begin(&m, MSG_VERIFY, 0, trace);
	msg_put(&m, F_ADDRESS, address);
	msg_put_u64(&m, F_WAIT_MS, wait_ms);
	client_ask(c, &m, wait_ms + MORE_MS, fn, arg);
	msg_out_release(&m);
}

bool
verify_answer_read(struct msg_in *m, struct verify_answer *out)
{
	const uint64_t status = msg_get_u64(m, F_STATUS);
	const struct span text = msg_get(m, F_TEXT, LIMIT_IPC_MESSAGE);

	if (m->type != MSG_VERIFY_ANSWER || m->bad || status > VERIFY_TODO)
		return false;
	*out = (struct verify_answer){ .status = (enum verify_status)status,
		.text = text };
	return true;
}
