/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "master/master.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/os/memfd.h"
#include "lib/os/tls_tickets.h"

/*
 * The keys of TLS session tickets: the present one, the next one (so that
 * all processes know it before the first makes tickets with it), and the one
 * before. They change places after each smtpd_tls_session_cache_timeout, and
 * outlive reloads.
 */

enum { PRESENT, NEXT, BEFORE };

struct tickets {
	uint8_t keys[TLS_TICKET_KEYS_MAX][TLS_TICKET_KEY_SIZE];
	int fd; /* sealed memory with them; -1: no tickets */
	struct master *master;
	struct timer *timer;
	uint64_t period_ms;
};

static int
make_key(uint8_t key[TLS_TICKET_KEY_SIZE], struct err *e)
{
	ssize_t n;

	do
		n = getrandom(key, TLS_TICKET_KEY_SIZE, 0);
	while (n < 0 && errno == EINTR);
	return n == TLS_TICKET_KEY_SIZE ? 0 : err_sys(e, "getrandom");
}

static void
close_memory(struct tickets *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
}

static int
seal(struct tickets *t, struct err *e)
{
	close_memory(t);
	return memfd_seal(
	    "tickets", span_of(t->keys[0], sizeof(t->keys)), &t->fd, e);
}

static void
hand_out(struct master *m)
{
	LIST_EACH(&m->services, link)
	{
		struct service *s = CONTAINER_OF(link, struct service, link);

		if (!s->plan->program->needs_keys)
			continue;
		LIST_EACH(&s->children, one)
		child_send_tickets(CONTAINER_OF(one, struct child, link));
	}
}

static void
on_timer(void *arg)
{
	struct tickets *t = arg;
	struct err e;

	memcpy(t->keys[BEFORE], t->keys[PRESENT], TLS_TICKET_KEY_SIZE);
	memcpy(t->keys[PRESENT], t->keys[NEXT], TLS_TICKET_KEY_SIZE);
	if (make_key(t->keys[NEXT], &e) != 0 || seal(t, &e) != 0)
		log_error(NULL, "TLS session tickets: %s", e.text);
	hand_out(t->master);
	timer_start(t->timer, t->period_ms);
}

/* The parameter belongs to smtpd; its default is written there. */
static uint64_t
period_of(struct config *c)
{
	struct {
		int64_t smtpd_tls_session_cache_timeout;
	} value = { 0 };
	struct param row[2] = { 0 };
	const struct param *known =
	    conf_row(c->conf, "smtpd_tls_session_cache_timeout");
	struct err e;

	BUG_ON(known == NULL);
	row[0] = *known;
	row[0].offset = 0;
	if (conf_fill(c->conf, row, &value, &e) != 0)
		return 0; /* conf_check has complained */
	return (uint64_t)value.smtpd_tls_session_cache_timeout;
}

void
tickets_start(struct master *m)
{
	struct tickets *t = MEM_NEW(t);
	struct err e = { 0 };
	int ret = 0;

	m->tickets = t;
	t->master = m;
	t->fd = -1;
	t->timer = timer_new(m->loop, on_timer, t);
	for (size_t i = 0; i < TLS_TICKET_KEYS_MAX && ret == 0; i++)
		ret = make_key(t->keys[i], &e);
	if (ret != 0 || seal(t, &e) != 0)
		log_error(NULL, "TLS session tickets: %s", e.text);
	tickets_reload(m);
}

void
tickets_reload(struct master *m)
{
	struct tickets *t = m->tickets;
	const uint64_t period = period_of(m->config);

	if (period == t->period_ms)
		return;
	t->period_ms = period;
	if (period > 0)
		timer_start(t->timer, period);
	else
		timer_stop(t->timer);
}

int
tickets_fd(const struct master *m)
{
	return m->tickets->period_ms > 0 ? m->tickets->fd : -1;
}

void
tickets_stop(struct master *m)
{
	struct tickets *t = m->tickets;

	if (t == NULL)
		return;
	m->tickets = NULL;
	timer_free(&t->timer);
	close_memory(t);
	explicit_bzero(t->keys, sizeof(t->keys));
	mem_free(t);
}
