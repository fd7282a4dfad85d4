/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/session.h"

#include <errno.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/proto/utf7.h"

const char session_capabilities[] =
    "IMAP4rev1 LITERAL+ SASL-IR ID IDLE NAMESPACE UIDPLUS UNSELECT CHILDREN "
    "MOVE SPECIAL-USE LIST-EXTENDED LIST-STATUS";

typedef void command_fn(struct session *s, const struct imap_cmd *c);

/* ---- ends of commands ---- */

/* No EXPUNGE may come while sequence numbers are in the air (RFC 3501
 * 7.4.1). */
static bool
may_expunge(const struct imap_cmd *c)
{
	if (c->uid)
		return true;
	return c->verb != IMAP_FETCH && c->verb != IMAP_STORE &&
	       c->verb != IMAP_SEARCH;
}

static void
finish(struct session *s, enum imap_result result, const char *code,
    const char *text)
{
	if (s->box != NULL)
		session_sync(s, may_expunge(imap_server_cmd(s->server)));
	imap_server_done(s->server, result, code, text);
}

void
session_ok(struct session *s, const char *text)
{
	finish(s, IMAP_OK, NULL, text);
}

void
session_ok_code(struct session *s, const char *code, const char *text)
{
	finish(s, IMAP_OK, code, text);
}

void
session_no(struct session *s, const char *code, const char *text)
{
	finish(s, IMAP_NO, code, text);
}

void
session_bad(struct session *s, const char *text)
{
	imap_server_done(s->server, IMAP_BAD, NULL, text);
}

/* The client learns what it can act upon; the rest, with paths in it, is for
 * the log. */
void
session_error(struct session *s, const struct err *e, const char *no_target)
{
	if (e->sysno == ENOENT) {
		session_no(s, no_target, "Mailbox does not exist");
	} else if (e->sysno == EEXIST) {
		session_no(s, "ALREADYEXISTS", "Mailbox exists already");
	} else if (e->sysno == ENOSPC || e->sysno == EDQUOT) {
		session_no(s, "OVERQUOTA", "No space left");
	} else if (strcmp(e->dsn, "5.2.2") == 0) {
		session_no(s, "OVERQUOTA", e->text);
		return;
	} else if (e->sysno == EACCES || e->sysno == EPERM) {
		session_no(s, "NOPERM", "Permission denied");
	} else if (e->sysno != 0 || e->kind == ERR_TEMP) {
		session_no(s, "UNAVAILABLE",
		    "Temporary failure; "
		    "the server's log says more");
	} else {
		session_no(s, "CANNOT", e->text);
		return;
	}
	if (e->sysno != ENOENT && e->sysno != EEXIST)
		log_warning(&s->log, "user=<%s>: %s", s->user.name, e->text);
}

bool
session_name(struct session *s, struct span name, struct buf *out)
{
	char separator = store_separator(s->store);

	buf_init(out, 4 * LIMIT_MAILBOX_NAME);
	if (!utf7_decode(name, out)) {
		buf_release(out);
		session_no(s, "CANNOT", "Mailbox name is not modified UTF-7");
		return false;
	}
	/* "a/" says that "a" will have children (RFC 3501 6.3.3). */
	if (out->n > 1 && out->p[out->n - 1] == (uint8_t)separator)
		buf_truncate(out, out->n - 1);
	return true;
}

/* ---- the simple commands ---- */

static void
capability(struct session *s, const struct imap_cmd *c)
{
	(void)c;
	buf_fmt(session_out(s), "* CAPABILITY %s\r\n", session_capabilities);
	session_ok(s, "Capability completed");
}

static void
noop(struct session *s, const struct imap_cmd *c)
{
	(void)c;
	session_ok(s, "NOOP completed");
}

static void
check(struct session *s, const struct imap_cmd *c)
{
	(void)c;
	session_ok(s, "Check completed");
}

static void
id(struct session *s, const struct imap_cmd *c)
{
	(void)c;
	buf_str(session_out(s), "* ID (\"name\" \"Chappe\")\r\n");
	session_ok(s, "ID completed");
}

static void
logout(struct session *s, const struct imap_cmd *c)
{
	(void)c;
	buf_str(session_out(s), "* BYE Logging out\r\n");
	imap_server_done(s->server, IMAP_OK, NULL, "Logout completed");
	session_flush(s);
	s->closing = true;
}

static void namespace(struct session *s, const struct imap_cmd *c)
{
	(void)c;
	buf_fmt(session_out(s), "* NAMESPACE ((\"\" \"%c\")) NIL NIL\r\n",
	    store_separator(s->store));
	session_ok(s, "Namespace completed");
}

static void
idle(struct session *s, const struct imap_cmd *c)
{
	(void)c;
	if (s->box != NULL)
		session_sync(s, true);
	imap_server_continue(s->server, SPAN("idling"));
	session_idle_begin(s);
	s->idling = true;
}

void
session_line(struct session *s, struct span line)
{
	BUG_ON(!s->idling);
	s->idling = false;
	session_idle_end(s);
	if (span_ieq(line, SPAN("DONE")))
		session_ok(s, "Idle completed");
	else
		session_bad(s, "Expected DONE");
}

/* CLOSE removes what is marked \Deleted, without a word (RFC 3501 6.4.2). */
static void
close_box(struct session *s, const struct imap_cmd *c)
{
	const uint32_t count = mailbox_count(s->box);
	uint32_t *uids = mem_alloc((count + (size_t)1) * sizeof(*uids));
	struct err e = { 0 };
	size_t n = 0;

	(void)c;
	for (uint32_t seq = 1; seq <= count; seq++) {
		const struct message *m = mailbox_message(s->box, seq);

		if ((m->flags & FLAG_DELETED) != 0)
			uids[n++] = m->uid;
	}
	if (n > 0 && !mailbox_read_only(s->box) &&
	    mailbox_expunge(s->box, uids, n, &e) != 0)
		session_no(s, NULL, e.text);
	else {
		session_quota(s);
		session_unselect(s);
		session_ok(s, "Close completed");
	}
	mem_free(uids);
}

static void
unselect(struct session *s, const struct imap_cmd *c)
{
	(void)c;
	session_unselect(s);
	session_ok(s, "Unselect completed");
}

/* ---- mailboxes by name ---- */

static void
answer(struct session *s, int result, const struct err *e, const char *text)
{
	if (result != 0)
		session_error(s, e, "NONEXISTENT");
	else
		session_ok(s, text);
}

static void
create(struct session *s, const struct imap_cmd *c)
{
	const char separator = store_separator(s->store);
	struct err e = { 0 };
	struct buf name;

	if (!session_name(s, c->mailbox, &name))
		return;
	/* Here the separator at the end means something. */
	if (span_ends(c->mailbox, span_of(&separator, 1)))
		buf_byte(&name, (uint8_t)separator);
	answer(s, store_create(s->store, buf_span(&name), &e), &e,
	    "Create completed");
	buf_release(&name);
}

static bool
is_selected(const struct session *s, struct span name)
{
	return s->box != NULL && span_eq(name, span_str(s->box_name));
}

static void
delete_box(struct session *s, const struct imap_cmd *c)
{
	struct err e = { 0 };
	struct buf name;
	int result;

	if (!session_name(s, c->mailbox, &name))
		return;
	if (span_ieq(buf_span(&name), SPAN("INBOX"))) {
		session_no(s, "CANNOT", "INBOX cannot be deleted");
	} else {
		result = store_delete(s->store, buf_span(&name), &e);
		if (result == 0 && is_selected(s, buf_span(&name)))
			session_unselect(s);
		session_quota(s);
		answer(s, result, &e, "Delete completed");
	}
	buf_release(&name);
}

static void
rename_box(struct session *s, const struct imap_cmd *c)
{
	struct err e = { 0 };
	struct buf from, to;

	if (!session_name(s, c->mailbox, &from))
		return;
	if (session_name(s, c->mailbox2, &to)) {
		answer(s,
		    store_rename(s->store, buf_span(&from), buf_span(&to), &e),
		    &e, "Rename completed");
		buf_release(&to);
	}
	buf_release(&from);
}

static void
subscribe(struct session *s, const struct imap_cmd *c)
{
	const bool on = c->verb == IMAP_SUBSCRIBE;
	struct err e = { 0 };
	struct buf name;

	if (!session_name(s, c->mailbox, &name))
		return;
	answer(s, store_subscribe(s->store, buf_span(&name), on, &e), &e,
	    on ? "Subscribe completed" : "Unsubscribe completed");
	buf_release(&name);
}

/* By enum imap_verb; the engine does not let the others through. */
static command_fn *const commands[] = {
	[IMAP_CAPABILITY] = capability,
	[IMAP_CHECK] = check,
	[IMAP_CLOSE] = close_box,
	[IMAP_COPY] = session_copy,
	[IMAP_CREATE] = create,
	[IMAP_DELETE] = delete_box,
	[IMAP_EXAMINE] = session_select,
	[IMAP_EXPUNGE] = session_expunge,
	[IMAP_FETCH] = session_fetch,
	[IMAP_ID] = id,
	[IMAP_IDLE] = idle,
	[IMAP_LIST] = session_list,
	[IMAP_LOGOUT] = logout,
	[IMAP_LSUB] = session_list,
	[IMAP_MOVE] = session_copy,
	[IMAP_NAMESPACE] = namespace,
	[IMAP_NOOP] = noop,
	[IMAP_RENAME] = rename_box,
	[IMAP_SEARCH] = session_search,
	[IMAP_SELECT] = session_select,
	[IMAP_STATUS] = session_status,
	[IMAP_STORE] = session_store,
	[IMAP_SUBSCRIBE] = subscribe,
	[IMAP_UNSELECT] = unselect,
	[IMAP_UNSUBSCRIBE] = subscribe,
};

void
session_command(struct session *s, const struct imap_cmd *c)
{
	BUG_ON(c->verb >= COUNT_OF(commands) || commands[c->verb] == NULL);
	s->uid_in_sync = c->uid;
	commands[c->verb](s, c);
}
