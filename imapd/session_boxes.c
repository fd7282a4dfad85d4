/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/session.h"

#include <stdlib.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/proto/imap_print.h"
#include "lib/proto/utf7.h"

enum {
	NAMES_MAX = 100000, /* mailboxes listed at most */
	SPECIAL = BOX_DRAFTS | BOX_SENT | BOX_TRASH | BOX_JUNK | BOX_ARCHIVE |
		  BOX_ALL | BOX_FLAGGED,
};

struct name {
	struct span utf8, utf7;
	unsigned attributes;
	bool subscribed;
};

struct listing {
	struct session *s;
	const struct imap_cmd *c;
	struct arena arena;
	struct name *names;
	size_t count, room;
	char separator;
	bool lsub;
};

/* ---- collecting ---- */

static void
add_name(void *arg, struct span name, unsigned attributes)
{
	struct listing *l = arg;
	struct name *n;
	struct buf utf7;

	if (l->count >= NAMES_MAX)
		return;
	if (l->count == l->room) {
		l->room = l->room > 0 ? l->room * 2 : 64;
		l->names = mem_resize(l->names, l->room, sizeof(l->names[0]));
	}
	buf_init(&utf7, 8 * LIMIT_MAILBOX_NAME);
	if (utf7_encode(name, &utf7)) {
		n = &l->names[l->count++];
		n->utf8 = arena_dup(&l->arena, name);
		n->utf7 = arena_dup(&l->arena, buf_span(&utf7));
		n->attributes = attributes;
		n->subscribed = (attributes & BOX_SUBSCRIBED) != 0;
	}
	buf_release(&utf7);
}

static int
by_name(const void *a, const void *b)
{
	const struct name *x = a, *y = b;

	return span_cmp(x->utf7, y->utf7);
}

static bool
has_name(const struct listing *l, size_t known, struct span utf7)
{
	const struct name key = { .utf7 = utf7 };

	return bsearch(&key, l->names, known, sizeof(key), by_name) != NULL;
}

/* Levels of hierarchy that have children but are no mailbox: "%" must show
 * them (RFC 3501 6.3.8). Adds those that are missing, each once. */
static void
add_parents(struct listing *l)
{
	const size_t known = l->count;
	struct span last = SPAN_EMPTY;

	for (size_t i = 0; i < known; i++) {
		const struct span name = l->names[i].utf8;

		for (size_t at = 1; at < name.n; at++) {
			const struct span up = span_slice(name, 0, at);
			struct buf utf7;

			if (name.p[at] != (uint8_t)l->separator ||
			    (last.n >= up.n &&
				span_eq(span_slice(last, 0, up.n), up) &&
				(last.n == up.n ||
				    last.p[up.n] == (uint8_t)l->separator)))
				continue;
			buf_init(&utf7, 8 * LIMIT_MAILBOX_NAME);
			if (utf7_encode(up, &utf7) &&
			    !has_name(l, known, buf_span(&utf7)))
				add_name(l, up, BOX_NOSELECT | BOX_HASCHILDREN);
			buf_release(&utf7);
		}
		last = l->names[i].utf8;
	}
}

/* ---- matching ---- */

static bool
matches(const struct listing *l, const struct name *n)
{
	const bool inbox = span_eq(n->utf8, SPAN("INBOX"));

	for (size_t i = 0; i < l->c->pattern_count; i++) {
		struct buf whole;
		bool yes;

		buf_init(&whole, 4 * LIMIT_MAILBOX_NAME);
		buf_add(&whole, l->c->mailbox);
		buf_add(&whole, l->c->patterns[i]);
		yes =
		    imap_match(buf_span(&whole), n->utf7, l->separator, inbox);
		buf_release(&whole);
		if (yes)
			return true;
	}
	return false;
}

static bool
patterns_have_percent(const struct imap_cmd *c)
{
	for (size_t i = 0; i < c->pattern_count; i++)
		if (span_chr(c->patterns[i], '%') != SIZE_MAX)
			return true;
	return false;
}

/* Do the selection options take this one? */
static bool
selected(const struct listing *l, const struct name *n)
{
	if ((l->c->list & LIST_SUBSCRIBED) != 0 && !n->subscribed)
		return false;
	return (l->c->list & LIST_SPECIAL) == 0 ||
	       (n->attributes & SPECIAL) != 0;
}

/* RECURSIVEMATCH: is there a name below that would be taken, but that the
 * patterns do not match (RFC 5258 3.5)? */
static bool
has_selected_child(const struct listing *l, const struct name *n)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct name *child = &l->names[i];

		if (child->utf8.n > n->utf8.n &&
		    span_starts(child->utf8, n->utf8) &&
		    child->utf8.p[n->utf8.n] == (uint8_t)l->separator &&
		    selected(l, child) && !matches(l, child))
			return true;
	}
	return false;
}

/* ---- printing ---- */

static void
attribute(struct buf *out, bool *space, const char *word)
{
	buf_str(out, *space ? " " : "");
	buf_str(out, word);
	*space = true;
}

static void
print_attributes(const struct listing *l, const struct name *n, struct buf *out)
{
	static const struct {
		unsigned bit;
		const char *word;
	} words[] = {
		{ BOX_NOSELECT, "\\Noselect" },
		{ BOX_NOINFERIORS, "\\NoInferiors" },
		{ BOX_MARKED, "\\Marked" },
		{ BOX_UNMARKED, "\\UnMarked" },
		{ BOX_DRAFTS, "\\Drafts" },
		{ BOX_SENT, "\\Sent" },
		{ BOX_TRASH, "\\Trash" },
		{ BOX_JUNK, "\\Junk" },
		{ BOX_ARCHIVE, "\\Archive" },
		{ BOX_ALL, "\\All" },
		{ BOX_FLAGGED, "\\Flagged" },
	};
	const unsigned list = l->c->list;
	bool space = false;

	for (size_t i = 0; i < COUNT_OF(words); i++)
		if ((n->attributes & words[i].bit) != 0)
			attribute(out, &space, words[i].word);
	if ((n->attributes & BOX_NONEXISTENT) != 0 &&
	    (list & LIST_EXTENDED) != 0)
		attribute(out, &space, "\\NonExistent");
	if (!l->lsub && (n->attributes & BOX_NOINFERIORS) == 0)
		attribute(out, &space,
		    (n->attributes & BOX_HASCHILDREN) != 0 ? "\\HasChildren"
							   : "\\HasNoChildren");
	if ((list & (LIST_SUBSCRIBED | LIST_RETURN_SUBSCRIBED)) != 0 &&
	    n->subscribed)
		attribute(out, &space, "\\Subscribed");
}

static void
print_name(struct listing *l, const struct name *n, bool child_info)
{
	struct buf *out = session_out(l->s);
	struct err e;

	buf_str(out, l->lsub ? "* LSUB (" : "* LIST (");
	print_attributes(l, n, out);
	buf_fmt(out, ") \"%c\" ", l->separator);
	imap_print_mailbox(out, n->utf8);
	if (child_info)
		buf_str(out, " (\"CHILDINFO\" (\"SUBSCRIBED\"))");
	buf_str(out, "\r\n");
	if ((l->c->list & LIST_RETURN_STATUS) != 0 &&
	    (n->attributes & (BOX_NOSELECT | BOX_NONEXISTENT)) == 0 &&
	    session_print_status(l->s, n->utf8, l->c->status, &e) != 0)
		log_info(
		    NULL, "status of %s: %s", log_quote(n->utf8, 100), e.text);
	session_flush_some(l->s);
}

static void
print_matching(struct listing *l)
{
	const bool recursive = (l->c->list & LIST_RECURSIVE) != 0;

	for (size_t i = 0; i < l->count && !l->s->closing; i++) {
		const struct name *n = &l->names[i];
		const bool take = selected(l, n);

		if (!matches(l, n))
			continue;
		if (recursive && has_selected_child(l, n))
			print_name(l, n, true);
		else if (take)
			print_name(l, n, false);
	}
}

static void
mark_subscribed(void *arg, struct span name, unsigned attributes)
{
	struct listing *l = arg;

	(void)attributes;
	for (size_t i = 0; i < l->count; i++) {
		if (span_eq(l->names[i].utf8, name)) {
			l->names[i].subscribed = true;
			return;
		}
	}
	if ((l->c->list & LIST_SUBSCRIBED) == 0)
		return;
	/* Subscribed, but not there. */
	add_name(l, name, BOX_NONEXISTENT);
	if (l->count > 0)
		l->names[l->count - 1].subscribed = true;
}

static int
collect(struct listing *l, struct err *e)
{
	const unsigned about = LIST_SUBSCRIBED | LIST_RETURN_SUBSCRIBED;

	if (store_list(l->s->store, l->lsub, add_name, l, e) != 0)
		return -1;
	if ((l->c->list & about) != 0 &&
	    store_list(l->s->store, true, mark_subscribed, l, e) != 0)
		return -1;
	qsort(l->names, l->count, sizeof(l->names[0]), by_name);
	if (patterns_have_percent(l->c) || (l->c->list & LIST_RECURSIVE) != 0) {
		add_parents(l);
		qsort(l->names, l->count, sizeof(l->names[0]), by_name);
	}
	return 0;
}

/* LIST "" "" asks for the separator only. */
static bool
asks_separator(const struct imap_cmd *c)
{
	return c->verb == IMAP_LIST && c->pattern_count == 1 &&
	       c->patterns[0].n == 0;
}

void
session_list(struct session *s, const struct imap_cmd *c)
{
	struct listing l = {
		.s = s,
		.c = c,
		.separator = store_separator(s->store),
		.lsub = c->verb == IMAP_LSUB,
	};
	struct err e;

	if (asks_separator(c)) {
		buf_fmt(session_out(s), "* LIST (\\Noselect) \"%c\" \"\"\r\n",
		    l.separator);
		session_ok(s, "List completed");
		return;
	}
	arena_init(&l.arena, (size_t)NAMES_MAX * 2 * LIMIT_MAILBOX_NAME);
	if (collect(&l, &e) != 0) {
		session_error(s, &e, NULL);
	} else {
		print_matching(&l);
		session_ok(s, l.lsub ? "Lsub completed" : "List completed");
	}
	mem_free(l.names);
	arena_reset(&l.arena);
}

/* ---- STATUS ---- */

int
session_print_status(
    struct session *s, struct span utf8, unsigned items, struct err *e)
{
	struct buf *out = session_out(s);
	struct mailbox_status st;
	const char *space = "";

	if (store_status(s->store, utf8, &st, e) != 0)
		return -1;
	const struct {
		unsigned bit;
		const char *word;
		uint32_t value;
	} rows[] = {
		{ STATUS_MESSAGES, "MESSAGES", st.messages },
		{ STATUS_RECENT, "RECENT", st.recent },
		{ STATUS_UIDNEXT, "UIDNEXT", st.uid_next },
		{ STATUS_UIDVALIDITY, "UIDVALIDITY", st.uid_validity },
		{ STATUS_UNSEEN, "UNSEEN", st.unseen },
	};

	buf_str(out, "* STATUS ");
	imap_print_mailbox(out, utf8);
	buf_str(out, " (");
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		if ((items & rows[i].bit) == 0)
			continue;
		buf_fmt(out, "%s%s %u", space, rows[i].word, rows[i].value);
		space = " ";
	}
	buf_str(out, ")\r\n");
	return 0;
}

void
session_status(struct session *s, const struct imap_cmd *c)
{
	struct err e = { 0 };
	struct buf name;

	if (!session_name(s, c->mailbox, &name))
		return;
	if (session_print_status(s, buf_span(&name), c->status, &e) != 0)
		session_error(s, &e, "NONEXISTENT");
	else
		session_ok(s, "Status completed");
	buf_release(&name);
}
