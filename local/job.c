/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "local/job.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/map/map.h"
#include "lib/proto/address.h"

enum {
	PICKUP_MS = 120000,
	ARENA_MAX = 16 << 20,
	FORWARD_SPACE = 4 * LIMIT_ADDRESS, /* one recipient of MSG_FORWARD */
};

struct names {
	struct span *at;
	size_t count, cap, next;
};

struct job {
	struct dispatcher *d;
	struct agent_request *r;
	size_t i; /* the recipient */
	struct arena arena;
	int64_t started_us;
	/* What is left to do. */
	struct names users;     /* to deliver to; "\name": no .forward */
	struct names addresses; /* to send on to */
	struct span sender;     /* of what is sent on */
	bool expanded;          /* an alias: its users are not the address */
	/* The user being looked for or delivered to. */
	struct span user;
	char login[LIMIT_ADDRESS + 1];
	bool over_quota; /* as auth has it */
	bool stripped; /* the extension was taken off already */
	uint64_t work_flags;
	/* The verdict so far. */
	struct agent_result result;
	char dsn[12];
	bool decided;
};

static void next_step(struct job *j);

static const struct agent_rcpt *
rcpt(const struct job *j)
{
	return &j->r->rcpts[j->i];
}

static void
names_add(struct job *j, struct names *n, struct span s)
{
	if (n->count == n->cap) {
		n->cap = n->cap * 2 + 8;
		n->at = mem_resize(n->at, n->cap, sizeof(*n->at));
	}
	n->at[n->count++] = arena_dup(&j->arena, s);
}

/* ---- the verdict ---- */
static int
severity(enum rcpt_action a)
{
	switch (a) {
	case RCPT_SENT:
		return 0;
	case RCPT_FAILED:
		return 1;
	case RCPT_DEFERRED:
		return 2;
	}
	return 2;
}

/* The worst counts; of equals the last. */
static void
decide(struct job *j, enum rcpt_action action, const char *dsn,
    struct span text)
{
	if (j->decided && severity(action) < severity(j->result.action))
		return;
	j->decided = true;
	j->result.action = action;
	snprintf(j->dsn, sizeof(j->dsn), "%s", dsn);
	j->result.dsn = j->dsn;
	j->result.text = arena_dup(&j->arena, text);
}

static void
decide_err(struct job *j, const struct err *e)
{
	decide(j, e->kind == ERR_PERM ? RCPT_FAILED : RCPT_DEFERRED, e->dsn,
	    span_str(e->text));
	j->result.damaged |= e->sysno == EBADMSG;
}

static bool
all_answered(const struct agent_request *r)
{
	for (size_t i = 0; i < r->rcpt_count; i++)
		if (!r->rcpts[i].answered)
			return false;
	return true;
}

static void
finish(struct job *j)
{
	struct agent_request *r = j->r;

	if (!j->decided)
		decide(j, RCPT_SENT, "2.0.0", SPAN("discarded"));
	j->result.relay = span_str(j->d->setting.service);
	j->result.transmit_us = clock_wall_us() - j->started_us;
	agent_result(r, j->i, &j->result);
	mem_free(j->users.at);
	mem_free(j->addresses.at);
	arena_reset(&j->arena);
	mem_free(j);
	if (all_answered(r))
		agent_done(&r);
}

/* ---- sending on ---- */
static void
on_forwarded(void *arg, struct msg_in *m, const struct err *e)
{
	struct job *j = arg;
	char text[64];

	if (m == NULL) {
		decide_err(j, e);
		j->addresses.next = j->addresses.count;
	} else {
		snprintf(text, sizeof(text), "forwarded as %.*s",
		    SPAN_FMT(msg_get(m, F_QID, 20)));
		decide(j, RCPT_SENT, "2.0.0", span_str(text));
	}
	next_step(j);
}

/* The lines that go in front: they end the circle when the mail comes back. */
static void
put_header(struct job *j, struct msg_out *m)
{
	struct buf b;

	buf_init(&b, 2 * LIMIT_ADDRESS);
	buf_str(&b, "Delivered-To: ");
	buf_add(&b, rcpt(j)->address);
	buf_str(&b, "\r\n");
	if (buf_ok(&b))
		msg_put(m, F_TEXT, buf_span(&b));
	buf_release(&b);
}

/* As many addresses as one message takes; the rest in another one. */
static void
forward(struct job *j)
{
	struct names *a = &j->addresses;
	const struct agent_rcpt *to = rcpt(j);
	struct msg_out m;

	msg_begin(&m, MSG_FORWARD, 0, j->r->log.trace);
	msg_put_fd(&m, j->r->content.fd);
	msg_put_str(&m, F_QID, j->r->log.qid);
	msg_put_range(&m, &j->r->content);
	msg_put(&m, F_SENDER, j->sender.n > 0 ? j->sender : j->r->sender);
	msg_put(&m, F_ENCODING, j->r->encoding);
	if (j->r->requiretls)
		msg_put_u64(&m, F_REQUIRETLS, 1);
	put_header(j, &m);
	do {
		msg_group_begin(&m, F_RCPT);
		msg_put(&m, F_ADDRESS, a->at[a->next++]);
		msg_put(&m, F_ORIG_ADDRESS,
		    to->orig_address.n > 0 ? to->orig_address : to->address);
		msg_group_end(&m);
	} while (a->next < a->count && msg_space(&m) > FORWARD_SPACE);
	client_call(j->d->pickup, &m, PICKUP_MS, on_forwarded, j);
	msg_out_release(&m);
}

/* ---- work ---- */
static void
tell_imap(struct job *j)
{
	struct msg_out m;

	if (j->d->imap == NULL)
		return;
	msg_begin(&m, MSG_NOTIFY, 0, j->r->log.trace);
	msg_put_str(&m, F_USER, j->login);
	msg_put_str(&m, F_MAILBOX, "INBOX");
	client_notify(j->d->imap, &m);
	msg_out_release(&m);
}

static void
take_strings(struct job *j, struct msg_in *m, enum msg_field f,
    struct names *out, const char *prefix)
{
	size_t cursor = 0;
	struct span s;
	struct buf b;

	while (msg_next_value(m, f, &cursor, &s)) {
		buf_init(&b, LIMIT_IPC_MESSAGE);
		buf_str(&b, prefix);
		buf_add(&b, s);
		names_add(j, out, buf_span(&b));
		buf_release(&b);
	}
}

static void
take_verdict(struct job *j, struct msg_in *m)
{
	const uint64_t flags = msg_get_u64(m, F_FLAGS);
	const struct span text = msg_get(m, F_TEXT, LIMIT_IPC_MESSAGE);
	const uint64_t action = msg_get_u64(m, F_ACTION);
	char dsn[12];

	msg_get_str(m, F_DSN, dsn, sizeof(dsn));
	if (m->bad || action < RCPT_SENT || action > RCPT_FAILED) {
		decide(j, RCPT_DEFERRED, "4.3.0",
		    SPAN("delivery process sent rubbish"));
		return;
	}
	if (action != RCPT_SENT || (flags & DONE_DELIVERED) != 0)
		decide(j, (enum rcpt_action)action, dsn, text);
	if ((flags & DONE_DELIVERED) != 0)
		tell_imap(j);
	j->result.damaged |= (flags & DONE_DAMAGED) != 0;
	if ((flags & DONE_QUOTA) != 0 &&
	    j->over_quota != ((flags & DONE_FULL) != 0))
		user_client_quota(j->d->users, j->login, !j->over_quota);
}

static void
begin_work(struct job *j, struct msg_out *m)
{
	const struct agent_rcpt *to = rcpt(j);

	BUG_ON(j->r->probe);
	msg_begin(m, MSG_WORK, 1, j->r->log.trace);
	msg_put_fd(m, j->r->content.fd);
	msg_put_str(m, F_QID, j->r->log.qid);
	msg_put_u64(m, F_RCPT_INDEX, to->index);
	msg_put_range(m, &j->r->content);
	msg_put(m, F_ENCODING, j->r->encoding);
	msg_put(m, F_SENDER, j->r->sender);
	msg_put(m, F_ADDRESS, to->address);
	msg_put(m, F_ORIG_ADDRESS, to->orig_address);
	msg_put_u64(m, F_FLAGS, j->work_flags);
}

static void
on_delivered(void *arg, struct msg_in *m, bool more, const struct err *e)
{
	struct job *j = arg;

	if (m == NULL) {
		decide_err(j, e);
	} else {
		take_strings(j, m, F_ADDRESS, &j->addresses, "");
		/* \other in a .forward: an address like any other. */
		take_strings(j, m, F_USER, &j->addresses, "");
		if (more)
			return;
		take_verdict(j, m);
	}
	next_step(j);
}

static void
deliver(struct job *j, const struct user_info *u)
{
	struct msg_out m;

	snprintf(j->login, sizeof(j->login), "%s", u->name);
	j->over_quota = u->over_quota;
	begin_work(j, &m);
	msg_put_str(&m, F_USER, u->name);
	msg_put_str(&m, F_HOME, u->home);
	msg_put_str(&m, F_MAIL, u->mail);
	msg_put_str(&m, F_QUOTA, u->quota);
	pool_submit(j->d->pool, u->uid, u->gid, u->name, &m, on_delivered, j);
}

/* ---- users ---- */
static void ask_user(struct job *j);

/* Takes the extension off the user's name; of a virtual one, which is a whole
 * address, off its local part. False: there is none. */
static bool
strip_extension(struct job *j)
{
	const struct span domain =
	    j->d->virtual ? address_domain_of(j->user) : SPAN_EMPTY;
	const struct span local = span_slice(
	    j->user, 0, j->user.n - (domain.n > 0 ? domain.n + 1 : 0));
	const size_t at = map_split_extension(
	    local, j->d->setting.common->recipient_delimiter);
	uint8_t *name;

	if (at == SIZE_MAX)
		return false;
	if (domain.n == 0) {
		j->user = span_slice(local, 0, at);
		return true;
	}
	name = arena_alloc(&j->arena, at + 1 + domain.n);
	memcpy(name, local.p, at);
	memcpy(name + at, domain.p - 1, 1 + domain.n);
	j->user = span_of(name, at + 1 + domain.n);
	return true;
}

static void
on_user(void *arg, const struct user_info *u, const struct err *e)
{
	struct job *j = arg;
	char text[LIMIT_ADDRESS + 64];

	if (u == NULL) {
		decide_err(j, e);
		next_step(j);
		return;
	}
	if (u->found) {
		if (!j->r->probe) {
			deliver(j, u);
			return;
		}
		decide(j, RCPT_SENT, "2.0.0", SPAN("delivers to mailbox"));
		next_step(j);
		return;
	}
	if (!j->stripped && strip_extension(j)) {
		j->stripped = true;
		ask_user(j);
		return;
	}
	snprintf(text, sizeof(text), "unknown user: \"%s\"",
	    log_quote(j->user, LIMIT_ADDRESS));
	decide(j, RCPT_FAILED, "5.1.1", span_str(text));
	next_step(j);
}

static void
ask_user(struct job *j)
{
	struct buf name;

	buf_init(&name, LIMIT_ADDRESS);
	for (size_t i = 0; i < j->user.n && i < LIMIT_ADDRESS; i++)
		buf_byte(&name, ascii_lower(j->user.p[i]));
	user_client_ask(j->d->users, buf_span(&name), j->r->log.trace, on_user, j);
	buf_release(&name);
}

static void
begin_user(struct job *j, struct span user)
{
	j->stripped = false;
	j->work_flags = j->d->virtual ? WORK_VIRTUAL : 0;
	if (user.n > 0 && user.p[0] == '\\') {
		j->work_flags |= WORK_NO_FORWARD;
		user = span_skip(user, 1);
	}
	j->user = user;
	ask_user(j);
}

/* ---- aliases ---- */
static void
own_user(struct job *j)
{
	struct address a;

	if (j->d->virtual)
		names_add(j, &j->users, rcpt(j)->address);
	else if (address_parse(rcpt(j)->address, &j->arena, &a))
		names_add(j, &j->users, a.local);
	else
		names_add(j, &j->users, address_local_of(rcpt(j)->address));
}

static void
on_alias(void *arg, struct msg_in *m, bool more, const struct err *e)
{
	struct job *j = arg;

	if (m == NULL) {
		decide_err(j, e);
		next_step(j);
		return;
	}
	take_strings(j, m, F_ADDRESS, &j->addresses, "");
	take_strings(j, m, F_USER, &j->users, "\\");
	take_strings(j, m, F_NAME, &j->users, "");
	if (more)
		return;
	if ((msg_get_u64(m, F_FLAGS) & DONE_ABSENT) != 0) {
		own_user(j);
	} else {
		j->sender = arena_dup(
		    &j->arena, msg_get(m, F_SENDER, LIMIT_IPC_MESSAGE));
		take_verdict(j, m);
	}
	next_step(j);
}

static void
expand_alias(struct job *j)
{
	struct msg_out m;

	j->work_flags = WORK_ALIAS;
	begin_work(j, &m);
	pool_submit(j->d->pool, j->d->default_uid, j->d->default_gid,
	    j->d->setting.common->default_privs, &m, on_alias, j);
}

/* ---- the order of things ---- */
/* Mailboxes first; sending on is what can't be done twice unnoticed, so it
 * comes last, and not when the rest will be tried again. */
static void
next_step(struct job *j)
{
	const bool again = j->decided && j->result.action == RCPT_DEFERRED;

	if (!again && j->users.next < j->users.count)
		begin_user(j, j->users.at[j->users.next++]);
	else if (!again && j->addresses.next < j->addresses.count)
		forward(j);
	else
		finish(j);
}

static void
start_one(struct dispatcher *d, struct agent_request *r, size_t i)
{
	struct job *j = MEM_NEW(j);

	j->d = d;
	j->r = r;
	j->i = i;
	j->started_us = clock_wall_us();
	arena_init(&j->arena, ARENA_MAX);
	if (!d->virtual && (rcpt(j)->flags & RCPT_ALIAS) != 0 && r->probe) {
		decide(j, RCPT_SENT, "2.0.0", SPAN("aliased"));
		next_step(j);
		return;
	}
	if (!d->virtual && (rcpt(j)->flags & RCPT_ALIAS) != 0) {
		expand_alias(j);
		return;
	}
	own_user(j);
	next_step(j);
}

void
job_start(struct dispatcher *d, struct agent_request *r)
{
	const size_t count = r->rcpt_count;

	/* The last answer frees the request, maybe in the last turn. */
	for (size_t i = 0; i < count; i++)
		start_one(d, r, i);
}
