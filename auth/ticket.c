/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/ticket.h"

#include <sys/random.h>

#include "lib/base/mem.h"
#include "lib/base/table.h"

struct ticket {
	char *user;
	pid_t pid;
	uint64_t until_ms;
};

struct tickets {
	struct table all;
};

static void
ticket_free(struct ticket *ticket)
{
	if (ticket == NULL)
		return;
	mem_free(ticket->user);
	mem_free(ticket);
}

static void
drop_old(struct tickets *t, uint64_t now_ms)
{
	struct table_iter it;
	struct span key;
	void *value;

	table_iter_init(&t->all, &it);
	while (table_iter_next(&t->all, &it, &key, &value)) {
		struct ticket *ticket = value;
		if (now_ms >= ticket->until_ms) {
			table_remove(&t->all, key);
			ticket_free(ticket);
		}
	}
}

bool
tickets_issue(struct tickets *t, const char *user, pid_t pid, uint64_t now_ms,
    uint8_t out[TICKET_SIZE])
{
	/* Cleared now and then, for a login need not come for its ticket. */
	if (t->all.count >= 1000)
		drop_old(t, now_ms);
	if (t->all.count >= TICKETS_MAX)
		return false;
	BUG_ON(getrandom(out, TICKET_SIZE, 0) != TICKET_SIZE);
	struct ticket *ticket = MEM_NEW(ticket);
	ticket->user = mem_strdup(user);
	ticket->pid = pid;
	ticket->until_ms = now_ms + TICKET_MS;
	ticket_free(table_put(&t->all, span_of(out, TICKET_SIZE), ticket));
	return true;
}

char *
tickets_redeem(struct tickets *t, struct span text, pid_t pid, uint64_t now_ms)
{
	struct ticket *ticket = table_remove(&t->all, text);
	char *user = NULL;

	if (ticket == NULL)
		return NULL;
	if (ticket->pid == pid && now_ms < ticket->until_ms) {
		user = ticket->user;
		ticket->user = NULL;
	}
	ticket_free(ticket);
	return user;
}

struct tickets *
tickets_new(void)
{
	struct tickets *t = MEM_NEW(t);

	table_init(&t->all);
	return t;
}

void
tickets_free(struct tickets **t)
{
	if (*t == NULL)
		return;
	drop_old(*t, UINT64_MAX);
	table_release(&(*t)->all);
	mem_free(*t);
	*t = NULL;
}
