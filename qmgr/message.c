/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "qmgr/qmgr.h"

#include <errno.h>
#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/memfd.h"
#include "lib/proto/address.h"
#include "lib/queue/recover.h"
#include "qmgr/reserve.h"
#include "qmgr/segments.h"
#include "qmgr/settle_steps.h"

/* A message becomes known, is opened page by page, and is forgotten. */

enum {
	HEADS_MAX = 16 << 20,  /* bytes kept of all messages */
	COPIES_MAX = 64 << 20, /* bytes of unfiled messages' copies, */
	COPY_UNIT = 4096,      /* which come in pages */
	HEAD_RCPTS = 50,       /* more are read in a thread */
};

/* ---- time ---- */
static uint64_t clock_offset_ms;

static uint64_t
steady_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void
clock_start(void)
{
	clock_offset_ms = wall_ms() - steady_ms();
}

uint64_t
now_ms(void)
{
	return steady_ms() + clock_offset_ms;
}

uint64_t
wall_ms(void)
{
	return (uint64_t)clock_wall_us() / 1000;
}

uint64_t
due_of_wall(const struct qmgr *q, uint64_t at_ms)
{
	const uint64_t wall = wall_ms();
	const uint64_t max = (uint64_t)q->conf->maximal_backoff_time;
	const uint64_t wait = at_ms > wall ? at_ms - wall : 0;

	return now_ms() + (wait < max ? wait : max);
}

/* ---- messages ---- */

struct message *
message_add(
    struct qmgr *q, struct queue_id id, enum queue_dir dir, uint64_t due_ms)
{
	struct message *m;

	if (scheduler_find(q->sched, id) != NULL)
		return NULL;
	m = MEM_NEW(m);
	m->q = q;
	m->sched.id = id;
	m->dir = dir;
	m->read_fd = -1;
	queue_id_text(id, m->log.qid);
	list_init(&m->seg_link);
	if (queue_id_us(id) > q->bound_us)
		q->bound_us = queue_id_us(id);
	list_init(&m->sent);
	list_init(&m->failed);
	list_init(&m->told);
	list_init(&m->deferred);
	list_init(&m->held);
	list_init(&m->writing);
	list_init(&m->edit_waiters);
	BUG_ON(!scheduler_add(q->sched, &m->sched, due_ms));
	qmgr_pump_soon(q);
	return m;
}

struct span
message_take_head(struct message *m)
{
	const struct span head = m->head;

	m->q->head_bytes -= head.n;
	m->head = SPAN_EMPTY;
	return head;
}

void
message_drop_head(struct message *m)
{
	mem_free((void *)(uintptr_t)message_take_head(m).p);
}

void
message_head(struct message *m, struct span head)
{
	if (m->head.n > 0 || m->open != NULL || m->busy || head.n == 0 ||
	    (!m->unfiled && m->q->head_bytes + head.n > HEADS_MAX))
		return;
	m->head = span_of(span_dup(head), head.n);
	m->q->head_bytes += head.n;
}

void
message_close(struct message *m)
{
	queue_message_close(&m->open);
	if (m->read_fd >= 0)
		close(m->read_fd);
	m->read_fd = -1;
	m->q->copied_bytes -= m->copied;
	m->copied = 0;
	m->next_page = 0;
	m->done_count = 0;
	m->verdict = VERDICT_NONE;
	m->retry_now = m->untold = false;
}

bool
message_expired(const struct sched_message *s)
{
	const uint8_t *p = (const uint8_t *)s;

	return (
	    (const struct message *)(const void *)(p - offsetof(struct message,
							   sched)))
	    ->expire;
}

void
message_forget(struct message *m)
{
	BUG_ON(m->busy || !list_empty(&m->sent) || !list_empty(&m->failed) ||
	    !list_empty(&m->told) ||
	       !list_empty(&m->deferred) || !list_empty(&m->held));
	segment_left(m);
	scheduler_forget(m->q->sched, &m->sched);
	message_close(m);
	qmgr_pump_soon(m->q);
	mem_free(m);
}

/* ---- recipients ---- */
struct rcpt *
rcpt_new(const struct queue_rcpt *from, const struct queue_rcpt_status *s,
    uint32_t index)
{
	const struct span in[] = { from->address, from->orig_address,
		from->dsn_orcpt, from->transport, from->nexthop };
	struct rcpt *r;
	size_t room = 0;
	uint8_t *text;

	for (size_t i = 0; i < COUNT_OF(in); i++)
		room += in[i].n;
	r = mem_zalloc(sizeof(*r) + room);
	text = (uint8_t *)(r + 1);
	struct span *const to[] = { &r->address, &r->orig_address, &r->orcpt,
		&r->transport, &r->nexthop };
	for (size_t i = 0; i < COUNT_OF(in); i++) {
		if (in[i].n > 0)
			memcpy(text, in[i].p, in[i].n);
		*to[i] = span_of(text, in[i].n);
		text += in[i].n;
	}
	r->index = index;
	r->mark_at = s->mark_at;
	r->notify = from->dsn_notify;
	r->flags = from->flags;
	list_init(&r->link);
	list_init(&r->entry.link);
	return r;
}

void
rcpt_free(struct rcpt *r)
{
	list_remove(&r->link);
	mem_free(r->dsn);
	mem_free(r->text);
	mem_free(r->remote);
	mem_free(r->diagnostic);
	mem_free(r);
}

bool
message_unreleased(const struct message *m)
{
	return m->open != NULL &&
	       m->open->env.release_at_s > (int64_t)(wall_ms() / 1000);
}

/* Which bit of message.domains stands for a domain. */
static uint64_t
domain_bit(struct span domain)
{
	uint64_t h = 5381;

	for (size_t i = 0; i < domain.n; i++)
		h = h * 33 + ascii_lower(domain.p[i]);
	return (uint64_t)1 << (h ^ h >> 17) % 64;
}

bool
message_may_be_for(const struct message *m, struct span domain)
{
	return m->domains == 0 || (m->domains & domain_bit(domain)) != 0;
}

/* ---- a page, in a thread ---- */
/* For agents a file is not worth making: most mail is delivered at once. */
static int
copy_record(struct message *m)
{
	struct buf data;
	int ret;

	buf_init(&data, m->copied);
	ret = queue_read_record(
	    &m->seg->file, m->seg_at, m->sched.id, &data, &m->e);
	if (ret == 0)
		ret = memfd_seal(
		    m->log.qid, buf_span(&data), &m->read_fd, &m->e);
	buf_release(&data);
	return ret;
}

static int
open_for_agents(struct message *m)
{
	if (m->read_fd >= 0 ||
	    (m->unfiled && m->copied > 0 && copy_record(m) == 0) ||
	    (settle_file(m, &m->e) == 0 &&
		queue_open_file(m->q->queue, m->dir, m->sched.id, O_RDONLY,
		    &m->read_fd, &m->e) == 0))
		return 0;
	queue_message_close(&m->open);
	return -1;
}

static int
open_files(struct message *m)
{
	int64_t wait;

	if (m->open != NULL)
		return open_for_agents(m);
	if (settle_file(m, &m->e) != 0 ||
	    queue_message_open(m->q->queue, m->dir, m->sched.id, O_RDWR, false,
		&m->open, &m->e) != 0 ||
	    open_for_agents(m) != 0)
		return -1;
	/* Notes from farther in the future than anyone waits are wrong. */
	wait = m->open->next_try_s - (int64_t)(wall_ms() / 1000);
	m->not_yet = !m->forced && m->dir == QUEUE_DEFERRED && wait > 1 &&
		     wait <= m->q->conf->maximal_backoff_time / 1000;
	/* Nobody but its sender says when it goes (RFC 4865). */
	if (message_unreleased(m))
		m->not_yet = true;
	return 0;
}

/* Room for what there is: most messages have one recipient. */
static void
read_rcpts(struct message *m)
{
	uint32_t left = m->open->rcpt_count - m->next_page;

	m->page_count = 0;
	if (m->not_yet || left == 0)
		return;
	if (left > m->page_max)
		left = m->page_max;
	m->page = mem_alloc(left * sizeof(*m->page));
	m->page_status = mem_alloc(left * sizeof(*m->page_status));
	m->page_count = queue_message_rcpts(m->open, m->next_page, left,
	    m->page, m->page_status, &m->e);
}

static void
read_page(struct work *work)
{
	struct message *m = CONTAINER_OF(work, struct message, work);

	if (open_files(m) != 0)
		m->page_count = -1;
	else if (m->page == NULL)
		read_rcpts(m);
}

/* ---- and back on the loop ---- */
static void
page_failed(struct message *m)
{
	if (m->open == NULL && m->e.sysno == ENOENT) {
		/* Born in hold/, or removed by somebody. */
		m->verdict = VERDICT_GONE;
	} else if (m->e.kind == ERR_PERM) {
		log_warning(&m->log, "%s", m->e.text);
		m->verdict = VERDICT_CORRUPT;
	} else {
		log_warning(&m->log, "%s", m->e.text);
		m->verdict = VERDICT_RETRY;
		/* A file was to be made for it. */
		m->no_room = reserve_wanted(&m->e);
		if (m->no_room)
			reserve_use(m->q, &m->e, m->emptied);
	}
}

static void
announce(struct message *m)
{
	m->log.trace = m->open->env.trace;
	m->active_us = clock_wall_us();
	log_info(&m->log, "from=<%s>, size=%llu, nrcpt=%u (queue active)",
	    log_quote(m->open->env.sender, LIMIT_ADDRESS),
	    (unsigned long long)m->open->content_size, m->open->rcpt_count);
	log_event(&m->log, "queue", "active, %u of %u recipients to do",
	    m->open->todo_count, m->open->rcpt_count);
}

/* A content filter goes before what routing found; without a next hop it is
 * the recipient's domain. */
static void
apply_filter(const struct message *m, struct queue_rcpt *rcpt)
{
	const struct span filter = m->open->env.filter;
	const size_t colon = span_chr(filter, ':');

	if (filter.n == 0)
		return;
	rcpt->transport = span_slice(filter, 0, colon);
	rcpt->nexthop =
	    colon == SIZE_MAX ? SPAN_EMPTY : span_skip(filter, colon + 1);
	if (rcpt->nexthop.n == 0)
		rcpt->nexthop = address_domain_of(rcpt->address);
}

static void
take_rcpt(struct message *m, size_t i)
{
	struct queue_rcpt *from = &m->page[i];
	struct rcpt *r;

	if (m->page_status[i].state != RCPT_TODO) {
		m->done_count++;
		return;
	}
	m->domains |= domain_bit(address_domain_of(from->address));
	apply_filter(m, from);
	r = rcpt_new(from, &m->page_status[i], m->next_page + (uint32_t)i);
	if (foreign_claim(m, r))
		return;
	if (r->transport.n == 0) {
		r->transport = SPAN("retry");
		r->nexthop = SPAN("4.3.5 no transport for this recipient");
	}
	scheduler_rcpt(m->q->sched, &m->sched, &r->entry, r->transport,
	    r->nexthop, r->address);
}

static void
page_read(struct work *work)
{
	struct message *m = CONTAINER_OF(work, struct message, work);
	struct qmgr *q = m->q;
	bool more = false;

	m->busy = false;
	if (m->page_count < 0) {
		page_failed(m);
	} else if (m->not_yet) {
		m->verdict = VERDICT_LATER;
	} else {
		if (m->next_page == 0)
			announce(m);
		for (int i = 0; i < m->page_count; i++)
			take_rcpt(m, (size_t)i);
		m->next_page += (uint32_t)m->page_count;
		more = m->page_count > 0 && m->next_page < m->open->rcpt_count;
	}
	mem_free(m->page);
	mem_free(m->page_status);
	m->page = NULL;
	m->page_status = NULL;
	scheduler_loaded(m->q->sched, &m->sched, more);
	if (m->edit != EDIT_NONE)
		message_withdraw(m);
	message_step(m); /* which may be its end */
	qmgr_pump_soon(q);
}

/* ---- without the file ---- */
/* Will discarding be all, which nobody wants to hear of? */
static bool
needs_no_file(const struct message *m)
{
	if (m->open->env.filter.n > 0 ||
	    m->page_count != (int)m->open->rcpt_count)
		return false;
	for (int i = 0; i < m->page_count; i++)
		if (!span_eq(m->page[i].transport, SPAN("discard")) ||
		    m->page[i].dsn_notify != 0)
			return false;
	return true;
}

static void
page_at_hand(void *arg)
{
	struct message *m = arg;

	page_read(&m->work);
}

/* Takes the envelope and the recipients from the head, when they are few;
 * true when no more is needed. */
static bool
load_head(struct message *m)
{
	if (m->head.n == 0 || m->made || m->open != NULL ||
	    queue_message_from_head(m->head, &m->open, NULL) != 0)
		return false;
	/* Mail that was born in hold/ is not ours: there is no such file in
	 * active/. */
	if (m->open->id.n != m->sched.id.n ||
	    m->open->env.birth != QUEUE_ACTIVE ||
	    m->open->rcpt_count > HEAD_RCPTS) {
		queue_message_close(&m->open);
		return false;
	}
	m->not_yet = message_unreleased(m);
	read_rcpts(m);
	return needs_no_file(m);
}

/* Its record may be copied for agents, if there is room. */
static void
allow_copy(struct message *m)
{
	const size_t size = (size_t)(m->seg_end - m->seg_at + COPY_UNIT - 1) /
	    COPY_UNIT * COPY_UNIT;

	if (!m->unfiled || m->copied > 0 ||
	    m->q->copied_bytes + size > COPIES_MAX)
		return;
	m->copied = size;
	m->q->copied_bytes += size;
}

void
message_load(struct message *m)
{
	bool loaded;

	m->page_max = scheduler_page(m->q->sched);
	if (m->busy) {
		/* Marks are being written: this page waits for them. */
		m->load_next = true;
		return;
	}
	m->busy = true;
	loaded = load_head(m);
	if (!m->unfiled)
		message_drop_head(m);
	if (loaded) {
		loop_later(m->q->loop, page_at_hand, m);
		return;
	}
	allow_copy(m);
	m->emptied = reserve_emptied(m->q);
	m->no_room = false;
	m->work = (struct work){ .run = read_page, .done = page_read };
	work_submit(m->q->loop, WORK_NAME, &m->work);
}

void
message_idle(struct message *m)
{
	m->busy = false;
	if (m->load_next) {
		m->load_next = false;
		message_load(m);
	} else if (m->edit != EDIT_NONE && m->sched.state == SCHED_WAITING) {
		edit_ready(m);
	} else {
		message_step(m);
	}
}

void
message_withdraw(struct message *m)
{
	struct sched_entry *e;

	while ((e = scheduler_withdraw(m->q->sched, &m->sched)) != NULL)
		rcpt_free(CONTAINER_OF(e, struct rcpt, entry));
}
