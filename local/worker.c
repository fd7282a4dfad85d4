/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "local/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/ipc/channel.h"
#include "lib/mail/delivery_log.h"
#include "lib/map/map.h"
#include "lib/os/log.h"
#include "lib/proto/address.h"
#include "lib/store/deliver.h"
#include "local/aliases.h"
#include "local/binary.h"
#include "local/expand.h"

enum { WAIT_MS = 1 << 30, ANSWER_MS = 60000, NAME_LENGTH = 512,
	GROUP_SPACE = 2 * LIMIT_ADDRESS };

struct worker {
	const struct local_setting *setting;
	int fd, lock_fd;
	struct maps *aliases; /* opened when first needed */
};

/* One request; what it says lives in store. */
struct work {
	struct worker *w;
	struct msg_in *in;
	struct log_ctx log;
	struct delivery d;
	bool binary; /* it came with BODY=BINARYMIME */
	uint64_t flags;
	char user[NAME_LENGTH], home[LIMIT_PATH], mail[LIMIT_PATH];
	char quota[200]; /* quota_rule */
};

/* What came of it. */
struct verdict {
	enum rcpt_action action;
	char dsn[12];
	char text[300];
	uint64_t flags; /* DONE_* */
};

static void
verdict_err(struct verdict *v, const struct err *e)
{
	v->action = e->kind == ERR_PERM ? RCPT_FAILED : RCPT_DEFERRED;
	snprintf(v->dsn, sizeof(v->dsn), "%s", e->dsn);
	snprintf(v->text, sizeof(v->text), "%s", e->text);
	if (e->sysno == EBADMSG)
		v->flags |= DONE_DAMAGED;
}

static void
verdict_sent(struct verdict *v, const char *text)
{
	v->action = RCPT_SENT;
	v->flags |= DONE_DELIVERED;
	snprintf(v->dsn, sizeof(v->dsn), "2.0.0");
	snprintf(v->text, sizeof(v->text), "%s", text);
}

/* ---- answers ---- */
static void
begin_answer(const struct work *k, struct msg_out *m)
{
	msg_begin(m, MSG_WORK_DONE, k->in->id, k->in->trace);
}

static void
send_answer(const struct work *k, struct msg_out *m)
{
	struct err e;

	if (sync_send(k->w->fd, m, ANSWER_MS, &e) != 0)
		log_fatal(75, "answer to the dispatcher: %s", e.text);
	msg_out_release(m);
}

/* A list can be longer than a message: the last part has the verdict. */
static void
put_strings(const struct work *k, struct msg_out *m, enum msg_field f,
    const struct strings *s)
{
	for (size_t i = 0; i < s->count; i++) {
		if (msg_space(m) < GROUP_SPACE + s->at[i].n) {
			msg_put_u64(m, F_FLAGS, DONE_MORE);
			send_answer(k, m);
			begin_answer(k, m);
		}
		msg_put(m, f, s->at[i]);
	}
}

static void
answer(const struct work *k, const struct verdict *v,
    const struct expansion *x, struct span sender)
{
	struct msg_out m;

	begin_answer(k, &m);
	if (x != NULL && v->action == RCPT_SENT) {
		put_strings(k, &m, F_ADDRESS, &x->addresses);
		put_strings(k, &m, F_USER, &x->users);
		if ((k->flags & WORK_ALIAS) != 0 && x->own)
			msg_put(&m, x->own_direct ? F_USER : F_NAME,
			    x->own_name);
	}
	if (sender.n > 0)
		msg_put(&m, F_SENDER, sender);
	msg_put_u64(&m, F_ACTION, v->action);
	msg_put_str(&m, F_DSN, v->dsn);
	msg_put_str(&m, F_TEXT, v->text);
	msg_put_u64(&m, F_FLAGS, v->flags);
	send_answer(k, &m);
}

/* ---- lock files ---- */
/* The forker makes the name itself, from the user's: so ours must be that. */
static int
lockfile(void *arg, const char *op, const char *path, struct err *e)
{
	const struct work *k = arg;
	const char *spool = k->w->setting->common->mail_spool_directory;
	char want[LIMIT_PATH];
	struct msg_out m;
	struct msg_in in;
	struct buf store;
	int sysno, rc;

	snprintf(want, sizeof(want), "%s/%s%s", spool, k->user,
	    strcmp(op, "create") == 0 ? "" : ".lock");
	if (strcmp(want, path) != 0)
		return err_set(e, ERR_TEMP, "4.2.0",
		    "%s is not in the mail spool", path);
	buf_init(&store, LIMIT_IPC_MESSAGE);
	msg_begin(&m, MSG_LOCKFILE, 1, k->in->trace);
	msg_put_str(&m, F_OP, op);
	rc = sync_call(k->w->lock_fd, &m, &store, &in, ANSWER_MS, e);
	msg_out_release(&m);
	if (rc == 0) {
		sysno = (int)msg_get_u32(&in, F_STATUS);
		msg_in_release(&in);
		if (sysno != 0) {
			errno = sysno;
			rc = err_sys(e, "%s %s", op, path);
		}
	}
	buf_release(&store);
	return rc;
}

/* ---- delivery ---- */
static int
open_store(struct work *k, struct store **out, struct err *e)
{
	const struct common_conf *c = k->w->setting->common;
	const struct store_user user = {
		.name = k->user,
		.home = k->home[0] != '\0' ? k->home : NULL,
		.location = k->mail[0] != '\0' ? k->mail : c->mail_location,
		.home_mailbox = c->home_mailbox,
		.mail_spool_directory = c->mail_spool_directory,
		.size_max = c->mailbox_size_limit,
		.quota_rule = k->quota[0] != '\0' ? k->quota : c->quota_rule,
		.lockfile = k->w->setting->private_instance ? NULL : lockfile,
		.lockfile_arg = k,
	};

	return store_open(&user, out, e);
}

/* The queue is told whether there is room for the next one. */
static void
note_quota(struct store *s, struct verdict *v)
{
	bool limited, full;
	struct err e;

	if (store_quota(s, &limited, &full, &e) != 0)
		log_warning(NULL, "quota: %s", e.text);
	else if (limited)
		v->flags |= DONE_QUOTA | (full ? DONE_FULL : 0);
}

static void
to_mailbox(struct work *k, struct verdict *v)
{
	char text[40];
	struct store *s;
	struct err e;

	if (open_store(k, &s, &e) != 0) {
		/* A mistake in the configuration is no reason to bounce. */
		e.kind = ERR_TEMP;
		e.dsn[0] = '4';
		verdict_err(v, &e);
		return;
	}
	if (deliver_inbox(s, &k->d, &e) != 0) {
		verdict_err(v, &e);
	} else {
		snprintf(text, sizeof(text), "delivered to %s",
		    deliver_kind(s));
		verdict_sent(v, text);
	}
	note_quota(s, v);
	store_close(&s);
}

static void
no_commands(struct verdict *v, const struct expansion *x)
{
	struct err e;

	err_set(&e, ERR_TEMP, "4.3.5",
	    "delivery to a command is not supported yet: \"|%.*s\"",
	    SPAN_FMT(span_slice(x->commands.at[0], 0, 100)));
	verdict_err(v, &e);
}

static void
to_files(struct work *k, const struct expansion *x, struct verdict *v)
{
	struct err e;

	for (size_t i = 0; i < x->files.count; i++) {
		char *path = span_dup(x->files.at[i]);
		char text[200];

		if (deliver_file(path, &k->d,
			k->w->setting->common->mailbox_size_limit, &e) != 0) {
			verdict_err(v, &e);
		} else {
			snprintf(text, sizeof(text),
			    "delivered to file: %s", path);
			verdict_sent(v, text);
		}
		mem_free(path);
		if (v->action != RCPT_SENT)
			return;
	}
}

/* What stays on this host is done before the rest is sent on. */
static void
follow(struct work *k, const struct expansion *x, struct verdict *v)
{
	v->action = RCPT_SENT;
	snprintf(v->dsn, sizeof(v->dsn), "2.0.0");
	if (x->commands.count > 0)
		no_commands(v, x);
	if (v->action == RCPT_SENT)
		to_files(k, x, v);
	if (v->action == RCPT_SENT && x->own && !(k->flags & WORK_ALIAS))
		to_mailbox(k, v);
}

/* True when the message can't be stored, since it has been here before, or
 * can't be made what mailboxes hold: the verdict says so. */
static bool
unfit(struct work *k, struct verdict *v)
{
	struct err e;
	int rc = delivery_loops(&k->d, &e);

	if (rc == 0 && k->binary)
		rc = binary_encode(&k->d, &e);
	if (rc > 0)
		err_set(&e, ERR_PERM, "5.4.6", "mail forwarding loop for %s",
		    log_quote(k->d.address, LIMIT_ADDRESS));
	if (rc != 0)
		verdict_err(v, &e);
	return rc != 0;
}

static void
deliver(struct work *k)
{
	const struct common_conf *c = k->w->setting->common;
	const struct span local = address_local_of(k->d.address);
	const size_t at = map_split_extension(local, c->recipient_delimiter);
	const struct span extension =
	    at == SIZE_MAX ? SPAN_EMPTY : span_skip(local, at + 1);
	struct verdict v = { .action = RCPT_DEFERRED };
	struct expansion x;
	struct err e;
	int found = 0;

	expansion_init(
	    &x, span_str(k->user), address_domain_of(k->d.address));
	x.log = &k->log;
	if (unfit(k, &v))
		goto out;
	if ((k->flags & (WORK_NO_FORWARD | WORK_VIRTUAL)) == 0 &&
	    k->home[0] == '/')
		found = expansion_forward(&x, k->home, geteuid(),
		    c->recipient_delimiter, extension, &e);
	if (found < 0)
		verdict_err(&v, &e);
	else if (found > 0)
		follow(k, &x, &v);
	else
		to_mailbox(k, &v);
out:
	answer(k, &v, &x, SPAN_EMPTY);
	expansion_release(&x);
}

/* ---- aliases ---- */
static void
alias(struct work *k)
{
	const struct common_conf *c = k->w->setting->common;
	struct verdict v = { .action = RCPT_DEFERRED };
	struct alias_result r;
	struct err e;

	alias_result_init(&r, k->d.address, &k->log);
	if (k->w->aliases == NULL &&
	    maps_open(c->alias_maps, &k->w->aliases, &e) != 0)
		verdict_err(&v, &e);
	else if (alias_expand(k->w->aliases, c->recipient_delimiter, &r, &e))
		verdict_err(&v, &e);
	else if (!r.found)
		v = (struct verdict){ .action = RCPT_SENT,
			.flags = DONE_ABSENT };
	else if (!unfit(k, &v))
		follow(k, &r.expansion, &v);
	answer(k, &v, &r.expansion, buf_span(&r.owner));
	alias_result_release(&r);
}

/* ---- requests ---- */
static int
read_work(struct work *k, struct msg_in *m, struct err *e)
{
	k->in = m;
	k->log.trace = m->trace;
	msg_get_str(m, F_QID, k->log.qid, sizeof(k->log.qid));
	msg_get_str(m, F_USER, k->user, sizeof(k->user));
	msg_get_str(m, F_HOME, k->home, sizeof(k->home));
	msg_get_str(m, F_MAIL, k->mail, sizeof(k->mail));
	msg_get_str(m, F_QUOTA, k->quota, sizeof(k->quota));
	k->flags = msg_get_u64(m, F_FLAGS);
	k->binary = span_eq(msg_get(m, F_ENCODING, 40), SPAN("BINARYMIME"));
	k->d = (struct delivery){
		.sender = msg_get(m, F_SENDER, LIMIT_IPC_MESSAGE),
		.address = msg_need(m, F_ADDRESS, LIMIT_IPC_MESSAGE),
		.orig_address = msg_get(m, F_ORIG_ADDRESS, LIMIT_IPC_MESSAGE),
		.queue_id = k->log.qid,
		.rcpt_index = msg_get_u32(m, F_RCPT_INDEX),
	};
	msg_get_range(m, &k->d.content);
	k->d.content.fd = msg_take_fd(m);
	return msg_done(m, e);
}

static void
serve_one(struct worker *w, struct msg_in *m)
{
	struct work *k = MEM_NEW(k);
	struct err e;

	k->w = w;
	if (m->type != MSG_WORK || read_work(k, m, &e) != 0)
		log_fatal(75, "the dispatcher sent rubbish");
	if ((k->flags & WORK_ALIAS) != 0)
		alias(k);
	else
		deliver(k);
	close(k->d.content.fd);
	mem_free(k);
}

void
worker_run(int fd, int lock_fd, const struct local_setting *setting)
{
	struct worker w = { .setting = setting, .fd = fd, .lock_fd = lock_fd };
	struct msg_in m;
	struct buf store;
	struct err e;

	buf_init(&store, LIMIT_IPC_MESSAGE);
	while (sync_receive(fd, &store, &m, WAIT_MS, &e) == 1) {
		serve_one(&w, &m);
		msg_in_release(&m);
	}
	maps_free(&w.aliases);
	buf_release(&store);
}
