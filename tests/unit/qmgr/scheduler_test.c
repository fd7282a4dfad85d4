/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/scheduler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "lib/base/mem.h"

/* ---- a small world around the scheduler ---- */
struct rcpt {
	struct sched_entry entry;
	unsigned number;
};

struct message {
	struct sched_message sched;
	unsigned rcpts, loaded, answered;
	/* The next hop of the i-th recipient is "dI", I = first + i % spread.
	 */
	unsigned first, spread;
};

struct world {
	struct scheduler *s;
	struct sched_limits limits;
	uint64_t now_ms, next_id;
	unsigned live_rcpts, most_rcpts, most_active;
};

static void
get_limits(void *arg, struct span transport, struct sched_limits *out)
{
	const struct world *w = arg;

	(void)transport;
	*out = w->limits;
}

static struct world
world_new(uint32_t batch)
{
	struct world w = { .limits = { 5, 20, batch }, .now_ms = 1000000 };

	return w;
}

static void
world_start(
    struct world *w, uint32_t messages_max, uint32_t rcpts_max, uint32_t page)
{
	w->s = scheduler_new(&(struct sched_options){
	    .messages_max = messages_max,
	    .rcpts_max = rcpts_max,
	    .page = page,
	    .dead_ms = 300000,
	    .limits = get_limits,
	    .arg = w,
	});
}

static struct message *
add(struct world *w, unsigned rcpts, unsigned first, unsigned spread,
    uint64_t due_ms)
{
	struct message *m = MEM_NEW(m);

	m->sched.id.n = ++w->next_id << 8;
	m->rcpts = rcpts;
	m->first = first;
	m->spread = spread;
	assert_true(scheduler_add(w->s, &m->sched, due_ms));
	return m;
}

static void
load_page(struct world *w, struct message *m)
{
	unsigned n = scheduler_page(w->s);
	char nexthop[32];

	for (; n > 0 && m->loaded < m->rcpts; n--, m->loaded++) {
		struct rcpt *r = MEM_NEW(r);

		r->number = m->loaded;
		snprintf(nexthop, sizeof(nexthop), "d%u",
		    m->first + m->loaded % m->spread);
		w->live_rcpts++;
		scheduler_rcpt(w->s, &m->sched, &r->entry, SPAN("smtp"),
		    span_str(nexthop), SPAN("a@b"));
	}
	scheduler_loaded(w->s, &m->sched, m->loaded < m->rcpts);
	if (w->live_rcpts > w->most_rcpts)
		w->most_rcpts = w->live_rcpts;
	if (scheduler_active(w->s) > w->most_active)
		w->most_active = (unsigned)scheduler_active(w->s);
}

static void
load_all(struct world *w)
{
	struct sched_message *m;
	uint64_t wake;

	while ((m = scheduler_load(w->s, w->now_ms, &wake)) != NULL ||
	       (m = scheduler_refill(w->s)) != NULL)
		load_page(w, CONTAINER_OF(m, struct message, sched));
}

/* Ends a batch with all its recipients answered. */
static void
finish(struct world *w, struct sched_batch *b, enum sched_feedback f)
{
	struct list *link;

	while ((link = list_first(&b->entries)) != NULL) {
		struct sched_entry *e =
		    CONTAINER_OF(link, struct sched_entry, link);

		CONTAINER_OF(b->message, struct message, sched)->answered++;
		scheduler_entry_done(w->s, b, e);
		w->live_rcpts--;
		mem_free(CONTAINER_OF(e, struct rcpt, entry));
	}
	scheduler_batch_done(w->s, &b, f, "no route", w->now_ms);
}

static unsigned
reap(struct world *w)
{
	struct sched_message *m;
	unsigned n = 0;

	while ((m = scheduler_finished(w->s)) != NULL) {
		struct message *own = CONTAINER_OF(m, struct message, sched);

		assert_int_equal(own->answered, own->rcpts);
		scheduler_forget(w->s, m);
		mem_free(own);
		n++;
	}
	return n;
}

static struct sched_batch *
next(struct world *w)
{
	return scheduler_next(
	    w->s, scheduler_transport(w->s, SPAN("smtp")), w->now_ms);
}

static void
drain(struct world *w)
{
	struct sched_batch *b;
	bool some;

	do {
		some = false;
		load_all(w);
		while ((b = next(w)) != NULL) {
			finish(w, b, SCHED_OK);
			some = true;
		}
		reap(w);
	} while (some);
	assert_int_equal(scheduler_count(w->s), 0);
	assert_int_equal(w->live_rcpts, 0);
}

/* ---- tests ---- */
static void
nothing_before_its_time(void **state)
{
	struct world w = world_new(50);
	uint64_t wake;

	(void)state;
	world_start(&w, 10, 100, 50);
	assert_null(scheduler_load(w.s, w.now_ms, &wake));
	assert_true(wake == UINT64_MAX);
	add(&w, 1, 0, 1, w.now_ms + 5000);
	add(&w, 1, 0, 1, w.now_ms + 3000);
	assert_null(scheduler_load(w.s, w.now_ms, &wake));
	assert_int_equal(wake, w.now_ms + 3000);
	assert_null(scheduler_load(w.s, w.now_ms + 2999, &wake));
	w.now_ms += 3000;
	load_all(&w);
	assert_int_equal(scheduler_active(w.s), 1);
	w.now_ms += 2000;
	drain(&w);
	scheduler_free(&w.s);
}

static void
an_id_is_known_once(void **state)
{
	struct world w = world_new(50);
	struct sched_message twin = { 0 };
	struct message *m;

	(void)state;
	world_start(&w, 10, 100, 50);
	m = add(&w, 1, 0, 1, 0);
	twin.id = m->sched.id;
	assert_false(scheduler_add(w.s, &twin, 0));
	assert_ptr_equal(scheduler_find(w.s, twin.id), &m->sched);
	scheduler_forget(w.s, &m->sched);
	assert_null(scheduler_find(w.s, twin.id));
	mem_free(m);
	scheduler_free(&w.s);
}

/* A mail with one recipient, queued behind one with ten thousand domains,
 * goes as one of the next few. */
static void
small_mail_passes_bulk(void **state)
{
	struct world w = world_new(50);
	struct sched_batch *b;
	struct message *small;
	unsigned turns = 0;

	(void)state;
	world_start(&w, 100, 20000, 20000);
	add(&w, 10000, 0, 10000, 0);
	load_all(&w);
	for (int i = 0; i < 500; i++)
		finish(&w, next(&w), SCHED_OK);
	small = add(&w, 1, 777777, 1, 0);
	load_all(&w);
	while ((b = next(&w)) != NULL) {
		const bool ours = b->message == &small->sched;

		finish(&w, b, SCHED_OK);
		if (ours)
			break;
		turns++;
	}
	assert_true(turns <= 2);
	reap(&w);
	drain(&w);
	scheduler_free(&w.s);
}

/* The same where both go to one destination in many batches. */
static void
small_mail_passes_bulk_at_one_destination(void **state)
{
	struct world w = world_new(50);
	struct message *small;
	unsigned turns = 0;

	(void)state;
	world_start(&w, 100, 20000, 20000);
	add(&w, 10000, 0, 1, 0);
	load_all(&w);
	for (int i = 0; i < 20; i++)
		finish(&w, next(&w), SCHED_OK);
	small = add(&w, 1, 0, 1, 0);
	load_all(&w);
	while (small->answered == 0) {
		finish(&w, next(&w), SCHED_OK);
		turns++;
	}
	assert_true(turns <= 3);
	reap(&w);
	drain(&w);
	scheduler_free(&w.s);
}

/* A destination that many mails wait for does not keep others back. */
static void
destinations_take_turns(void **state)
{
	struct world w = world_new(50);
	struct sched_batch *b[10];
	unsigned other = 0;

	(void)state;
	world_start(&w, 20000, 20000, 1000);
	for (int i = 0; i < 5000; i++)
		add(&w, 1, 1, 1, 0);
	for (unsigned i = 0; i < 5; i++)
		add(&w, 1, 100 + i, 1, 0);
	load_all(&w);
	for (int i = 0; i < 10; i++) {
		b[i] = next(&w);
		assert_non_null(b[i]);
		other += !span_eq(sched_dest_nexthop(b[i]->dest), SPAN("d1"));
	}
	assert_int_equal(other, 5);
	for (int i = 0; i < 10; i++)
		finish(&w, b[i], SCHED_OK);
	drain(&w);
	scheduler_free(&w.s);
}

static unsigned
take_window(struct world *w, struct sched_batch **b, unsigned max)
{
	unsigned n = 0;

	while (n < max && (b[n] = next(w)) != NULL)
		n++;
	return n;
}

static void
the_window_grows_to_its_limit(void **state)
{
	struct world w = world_new(50);
	struct sched_batch *b[64];
	unsigned last = 5;

	(void)state;
	world_start(&w, 20000, 20000, 1000);
	for (int i = 0; i < 3000; i++)
		add(&w, 1, 1, 1, 0);
	load_all(&w);
	assert_int_equal(take_window(&w, b, 64), 5);
	for (int round = 0; round < 20; round++) {
		unsigned n;

		for (unsigned i = 0; i < last; i++)
			finish(&w, b[i], SCHED_OK);
		n = take_window(&w, b, 64);
		assert_true(n >= last && n <= 20);
		last = n;
	}
	assert_int_equal(last, 20);
	for (unsigned i = 0; i < last; i++)
		finish(&w, b[i], SCHED_OK);
	reap(&w);
	drain(&w);
	scheduler_free(&w.s);
}

static void
a_dead_destination_rests(void **state)
{
	struct world w = world_new(50);
	struct sched_batch *b;
	const char *reason = NULL;
	unsigned tried = 0, spared = 0;

	(void)state;
	world_start(&w, 20000, 20000, 1000);
	for (int i = 0; i < 100; i++)
		add(&w, 1, 1, 1, 0);
	load_all(&w);
	while ((b = next(&w)) != NULL) {
		finish(&w, b, SCHED_FAILED);
		tried++;
	}
	assert_true(tried >= 2 && tried <= 6);
	while ((b = scheduler_next_suspended(w.s, w.now_ms, &reason)) != NULL) {
		assert_string_equal(reason, "no route");
		finish(&w, b, SCHED_NEUTRAL);
		spared++;
	}
	assert_int_equal(tried + spared, 100);
	assert_int_equal(reap(&w), 100);
	/* A newcomer meanwhile is not tried either, later ones are. */
	add(&w, 1, 1, 1, 0);
	load_all(&w);
	assert_null(next(&w));
	b = scheduler_next_suspended(w.s, w.now_ms, &reason);
	assert_non_null(b);
	finish(&w, b, SCHED_NEUTRAL);
	reap(&w);
	w.now_ms += 300000;
	add(&w, 1, 1, 1, 0);
	drain(&w);
	/* So are all after a flush. */
	for (int i = 0; i < 10; i++)
		add(&w, 1, 1, 1, 0);
	load_all(&w);
	while ((b = next(&w)) != NULL)
		finish(&w, b, SCHED_FAILED);
	scheduler_revive(w.s);
	drain(&w);
	scheduler_free(&w.s);
}

static void
a_suspended_transport(void **state)
{
	struct world w = world_new(50);
	struct sched_batch *b;
	const char *reason = NULL;

	(void)state;
	world_start(&w, 100, 100, 100);
	add(&w, 10, 1, 10, 0);
	load_all(&w);
	scheduler_suspend(w.s, scheduler_transport(w.s, SPAN("smtp")),
	    w.now_ms + 1000, "mail transport unavailable");
	assert_null(next(&w));
	for (int i = 0; i < 10; i++) {
		b = scheduler_next_suspended(w.s, w.now_ms, &reason);
		assert_non_null(b);
		assert_string_equal(reason, "mail transport unavailable");
		finish(&w, b, SCHED_NEUTRAL);
	}
	assert_int_equal(reap(&w), 1);
	add(&w, 10, 1, 10, 0);
	w.now_ms += 1000;
	drain(&w);
	scheduler_free(&w.s);
}

static void
batches_and_pages(void **state)
{
	struct world w = world_new(50);
	struct sched_batch *b;
	unsigned batches = 0;

	(void)state;
	world_start(&w, 100, 500, 200);
	add(&w, 10000, 1, 1, 0);
	add(&w, 10000, 1, 3, 0);
	for (;;) {
		load_all(&w);
		b = next(&w);
		if (b == NULL)
			break;
		assert_true(b->count <= 50);
		finish(&w, b, SCHED_OK);
		batches++;
	}
	assert_int_equal(reap(&w), 2);
	assert_true(w.most_rcpts <= 500);
	assert_true(batches >= 400 && batches < 800);
	scheduler_free(&w.s);
}

static void
withdrawn_and_again(void **state)
{
	struct world w = world_new(2);
	struct sched_batch *b;
	struct sched_entry *e;
	struct message *m;
	unsigned taken = 0;

	(void)state;
	world_start(&w, 100, 500, 200);
	m = add(&w, 1000, 1, 7, 0);
	load_all(&w);
	b = next(&w);
	assert_int_equal(b->count, 2);
	e = CONTAINER_OF(b->entries.next, struct sched_entry, link);
	scheduler_entry_again(w.s, b, e);
	while ((e = scheduler_withdraw(w.s, &m->sched)) != NULL) {
		mem_free(CONTAINER_OF(e, struct rcpt, entry));
		w.live_rcpts--;
		taken++;
	}
	assert_int_equal(taken, 199);
	assert_null(scheduler_finished(w.s));
	finish(&w, b, SCHED_NEUTRAL);
	assert_null(next(&w));
	assert_ptr_equal(scheduler_finished(w.s), &m->sched);
	/* It may wait for another time. */
	scheduler_wait(w.s, &m->sched, w.now_ms);
	m->loaded = m->answered = 0;
	drain(&w);
	scheduler_free(&w.s);
}

static void
a_million_messages(void **state)
{
	struct world w = world_new(50);
	uint32_t random = 1;

	(void)state;
	world_start(&w, 20000, 20000, 1000);
	for (unsigned i = 0; i < 1000000; i++) {
		random = random * 1664525 + 1013904223;
		add(&w, i % 1000 == 0 ? 500 : 1, random >> 16 & 0x3fff,
		    i % 1000 == 0 ? 300 : 1, i);
	}
	w.now_ms = 2000000;
	drain(&w);
	assert_true(w.most_active <= 20000);
	assert_true(w.most_rcpts <= 20000 + 1000);
	scheduler_free(&w.s);
}

static void
back_off(void **state)
{
	(void)state;
	assert_int_equal(scheduler_backoff(1000, 900, 300, 4000), 1300);
	assert_int_equal(scheduler_backoff(2000, 1000, 300, 4000), 3000);
	assert_int_equal(scheduler_backoff(9000, 1000, 300, 4000), 13000);
	assert_int_equal(scheduler_backoff(1000, 5000, 300, 4000), 1300);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_before_its_time),
		cmocka_unit_test(an_id_is_known_once),
		cmocka_unit_test(small_mail_passes_bulk),
		cmocka_unit_test(small_mail_passes_bulk_at_one_destination),
		cmocka_unit_test(destinations_take_turns),
		cmocka_unit_test(the_window_grows_to_its_limit),
		cmocka_unit_test(a_dead_destination_rests),
		cmocka_unit_test(a_suspended_transport),
		cmocka_unit_test(batches_and_pages),
		cmocka_unit_test(withdrawn_and_again),
		cmocka_unit_test(a_million_messages),
		cmocka_unit_test(back_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
