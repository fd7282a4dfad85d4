/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/session.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/date.h"
#include "lib/proto/header.h"
#include "lib/proto/rfc2047.h"
#include "lib/proto/text_search.h"

struct search {
	struct session *s;
	uint32_t seq;
	const struct message *m;
	struct arena arena; /* folded needles */
	bool gone;	    /* the message's text could not be read */
};

/* ---- before the first message ---- */

static struct span
folded(struct search *q, struct span charset, struct span text)
{
	struct buf utf8, fold;
	struct span kept;

	buf_init(&utf8, 4 * text.n + 16);
	charset_to_utf8(charset, text, &utf8);
	buf_init(&fold, 2 * utf8.n + 16);
	text_fold(buf_span(&utf8), &fold);
	kept = arena_dup(&q->arena, buf_span(&fold));
	buf_release(&utf8);
	buf_release(&fold);
	return kept;
}

/* Resolves sets and folds texts, all over the program. The parser bounded its
 * depth. */
static void
prepare(struct search *q, struct imap_search *n, struct span charset)
{
	const uint32_t count = mailbox_count(q->s->box);

	for (; n != NULL; n = n->next) {
		if (n->op == SEARCH_SET)
			seqset_resolve(&n->set, count);
		else if (n->op == SEARCH_UID)
			seqset_resolve(&n->set,
			    count > 0 ? mailbox_message(q->s->box, count)->uid
				      : 0);
		else if (n->op == SEARCH_HEADER || n->op == SEARCH_BODY ||
			 n->op == SEARCH_TEXT)
			n->text = folded(q, charset, n->text);
		prepare(q, n->child, charset);
	}
}

/* ---- one message ---- */

static bool
reads_text(const struct imap_search *n)
{
	switch (n->op) {
	case SEARCH_HEADER:
	case SEARCH_BODY:
	case SEARCH_TEXT:
	case SEARCH_SENTBEFORE:
	case SEARCH_SENTON:
	case SEARCH_SENTSINCE:
		return true;
	case SEARCH_AND:
	case SEARCH_OR:
		for (n = n->child; n != NULL; n = n->next)
			if (reads_text(n))
				return true;
		return false;
	case SEARCH_ALL:
	case SEARCH_SET:
	case SEARCH_UID:
	case SEARCH_FLAG:
	case SEARCH_KEYWORD:
	case SEARCH_BEFORE:
	case SEARCH_ON:
	case SEARCH_SINCE:
	case SEARCH_LARGER:
	case SEARCH_SMALLER:
		break;
	}
	return false;
}

static bool
load(struct search *q, bool structure)
{
	struct err e;

	if (session_text(q->s, q->seq, structure, &e) == 0)
		return true;
	q->gone = true;
	return false;
}

static struct span
header(struct search *q)
{
	size_t end;

	if (header_end(q->s->text.bytes, &end) != PARSE_OK)
		return q->s->text.bytes;
	return span_slice(q->s->text.bytes, 0, end);
}

static int32_t
day_of(int64_t time, int zone_min)
{
	const int64_t local = time + (int64_t)zone_min * 60;

	return (int32_t)(local / 86400 - (local % 86400 < 0));
}

/* The day that the Date field says, in its own zone. */
static bool
sent_day(struct search *q, int32_t *out)
{
	struct header_field f;
	int64_t t;
	int zone;

	if (!load(q, false) || !header_find(header(q), SPAN("Date"), &f) ||
	    !date_parse_rfc5322(f.body, &t, &zone))
		return false;
	*out = day_of(t, zone);
	return true;
}

static bool
matches_keyword(struct search *q, struct span name)
{
	const int n = mailbox_keyword_find(q->s->box, name, false);

	return n >= 0 && (q->m->keywords >> n & 1) != 0;
}

static bool matches(struct search *q, const struct imap_search *n);

/* What needs no reading is asked first. */
static bool
all_match(struct search *q, const struct imap_search *child)
{
	for (const struct imap_search *n = child; n != NULL; n = n->next)
		if (!reads_text(n) && !matches(q, n))
			return false;
	for (const struct imap_search *n = child; n != NULL; n = n->next)
		if (reads_text(n) && !matches(q, n))
			return false;
	return true;
}

static bool
any_matches(struct search *q, const struct imap_search *child)
{
	for (const struct imap_search *n = child; n != NULL; n = n->next)
		if (!reads_text(n) && matches(q, n))
			return true;
	for (const struct imap_search *n = child; n != NULL; n = n->next)
		if (reads_text(n) && matches(q, n))
			return true;
	return false;
}

static bool
matches_text(struct search *q, const struct imap_search *n)
{
	if (n->op == SEARCH_HEADER)
		return load(q, false) &&
		       text_in_field(header(q), n->field, n->text);
	if (!load(q, true))
		return false;
	if (n->op == SEARCH_TEXT && text_in_header(header(q), n->text))
		return true;
	return text_in_body(&q->s->mime, n->text);
}

static bool
matches_key(struct search *q, const struct imap_search *n)
{
	const struct message *m = q->m;
	int32_t day = day_of(m->internal_s, m->internal_zone_min);

	switch (n->op) {
	case SEARCH_AND:
		return all_match(q, n->child);
	case SEARCH_OR:
		return any_matches(q, n->child);
	case SEARCH_ALL:
		return true;
	case SEARCH_SET:
		return seqset_has(&n->set, q->seq);
	case SEARCH_UID:
		return seqset_has(&n->set, m->uid);
	case SEARCH_FLAG:
		return (m->flags & n->number) != 0;
	case SEARCH_KEYWORD:
		return matches_keyword(q, n->text);
	case SEARCH_HEADER:
	case SEARCH_BODY:
	case SEARCH_TEXT:
		return matches_text(q, n);
	case SEARCH_BEFORE:
		return day < n->day;
	case SEARCH_ON:
		return day == n->day;
	case SEARCH_SINCE:
		return day >= n->day;
	case SEARCH_SENTBEFORE:
		return sent_day(q, &day) && day < n->day;
	case SEARCH_SENTON:
		return sent_day(q, &day) && day == n->day;
	case SEARCH_SENTSINCE:
		return sent_day(q, &day) && day >= n->day;
	case SEARCH_LARGER:
		return m->size > n->number;
	case SEARCH_SMALLER:
		return m->size < n->number;
	}
	return false;
}

static bool
matches(struct search *q, const struct imap_search *n)
{
	return matches_key(q, n) != n->negate;
}

/* ---- the command ---- */

static void
run(struct search *q, const struct imap_cmd *c)
{
	const uint32_t count = mailbox_count(q->s->box);
	struct buf *out = session_out(q->s);

	buf_str(out, "* SEARCH");
	for (q->seq = 1; q->seq <= count && !q->s->closing; q->seq++) {
		q->m = mailbox_message(q->s->box, q->seq);
		q->gone = false;
		/* What is gone matches nothing, not even NOT. */
		if (!matches(q, c->search) || q->gone)
			continue;
		buf_fmt(out, " %u", c->uid ? q->m->uid : q->seq);
		session_flush_some(q->s);
	}
	buf_str(out, "\r\n");
}

void
session_search(struct session *s, const struct imap_cmd *c)
{
	struct search q = { .s = s };

	if (c->charset.n > 0 && !charset_known(c->charset)) {
		session_no(s, "BADCHARSET (US-ASCII UTF-8)", "Unknown charset");
		return;
	}
	arena_init(&q.arena, 16 * LIMIT_IMAP_LINE);
	prepare(&q, c->search, c->charset);
	run(&q, c);
	arena_reset(&q.arena);
	session_ok(s, "Search completed");
}
