/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/imap_cmd_private.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/date.h"

/* What follows a search key's word. */
enum argument { NONE, TEXT, DATE, NUMBER, UIDS, FIELD };

static const struct key {
	const char *name;
	enum imap_search_op op;
	enum argument argument;
	bool negate;
	uint32_t number; /* a flag */
	const char *field;
} keys[] = {
	{ "ALL", SEARCH_ALL, NONE, false, 0, NULL },
	{ "ANSWERED", SEARCH_FLAG, NONE, false, IMAP_ANSWERED, NULL },
	{ "BCC", SEARCH_HEADER, TEXT, false, 0, "Bcc" },
	{ "BEFORE", SEARCH_BEFORE, DATE, false, 0, NULL },
	{ "BODY", SEARCH_BODY, TEXT, false, 0, NULL },
	{ "CC", SEARCH_HEADER, TEXT, false, 0, "Cc" },
	{ "DELETED", SEARCH_FLAG, NONE, false, IMAP_DELETED, NULL },
	{ "DRAFT", SEARCH_FLAG, NONE, false, IMAP_DRAFT, NULL },
	{ "FLAGGED", SEARCH_FLAG, NONE, false, IMAP_FLAGGED, NULL },
	{ "FROM", SEARCH_HEADER, TEXT, false, 0, "From" },
	{ "HEADER", SEARCH_HEADER, FIELD, false, 0, NULL },
	{ "KEYWORD", SEARCH_KEYWORD, TEXT, false, 0, NULL },
	{ "LARGER", SEARCH_LARGER, NUMBER, false, 0, NULL },
	{ "OLD", SEARCH_FLAG, NONE, true, IMAP_RECENT, NULL },
	{ "ON", SEARCH_ON, DATE, false, 0, NULL },
	{ "RECENT", SEARCH_FLAG, NONE, false, IMAP_RECENT, NULL },
	{ "SEEN", SEARCH_FLAG, NONE, false, IMAP_SEEN, NULL },
	{ "SENTBEFORE", SEARCH_SENTBEFORE, DATE, false, 0, NULL },
	{ "SENTON", SEARCH_SENTON, DATE, false, 0, NULL },
	{ "SENTSINCE", SEARCH_SENTSINCE, DATE, false, 0, NULL },
	{ "SINCE", SEARCH_SINCE, DATE, false, 0, NULL },
	{ "SMALLER", SEARCH_SMALLER, NUMBER, false, 0, NULL },
	{ "SUBJECT", SEARCH_HEADER, TEXT, false, 0, "Subject" },
	{ "TEXT", SEARCH_TEXT, TEXT, false, 0, NULL },
	{ "TO", SEARCH_HEADER, TEXT, false, 0, "To" },
	{ "UID", SEARCH_UID, UIDS, false, 0, NULL },
	{ "UNANSWERED", SEARCH_FLAG, NONE, true, IMAP_ANSWERED, NULL },
	{ "UNDELETED", SEARCH_FLAG, NONE, true, IMAP_DELETED, NULL },
	{ "UNDRAFT", SEARCH_FLAG, NONE, true, IMAP_DRAFT, NULL },
	{ "UNFLAGGED", SEARCH_FLAG, NONE, true, IMAP_FLAGGED, NULL },
	{ "UNKEYWORD", SEARCH_KEYWORD, TEXT, true, 0, NULL },
	{ "UNSEEN", SEARCH_FLAG, NONE, true, IMAP_SEEN, NULL },
};

static struct imap_search *search_key(struct imap_lex *x);

static bool
date(struct imap_lex *x, int32_t *out_day)
{
	struct span s;
	int64_t t;

	if (!imap_lex_sp(x) || !imap_lex_astring(x, &s))
		return false;
	if (!date_parse_imap_day(s, &t))
		return imap_lex_fail(x, "Invalid search date");
	/* Midnight: no rest, whatever the sign. */
	*out_day = (int32_t)(t / 86400);
	return true;
}

static bool
set(struct imap_lex *x, struct imap_search *n)
{
	struct span text;

	return imap_lex_set(x, &text) &&
	       (seqset_parse(text, x->arena, &n->set) ||
		   imap_lex_fail(x, "Invalid message set"));
}

static bool
argument(struct imap_lex *x, enum argument kind, struct imap_search *n)
{
	switch (kind) {
	case NONE:
		return true;
	case TEXT:
		return imap_lex_sp(x) && imap_lex_astring(x, &n->text);
	case DATE:
		return date(x, &n->day);
	case NUMBER:
		return imap_lex_sp(x) && imap_lex_number(x, &n->number);
	case UIDS:
		return imap_lex_sp(x) && set(x, n);
	case FIELD:
		return imap_lex_sp(x) && imap_lex_astring(x, &n->field) &&
		       imap_lex_sp(x) && imap_lex_astring(x, &n->text);
	}
	return false;
}

/* NEW is RECENT UNSEEN. */
static void
make_new(struct imap_lex *x, struct imap_search *n)
{
	n->op = SEARCH_AND;
	n->child = ARENA_NEW(x->arena, n->child);
	n->child->op = SEARCH_FLAG;
	n->child->number = IMAP_RECENT;
	n->child->next = ARENA_NEW(x->arena, n->child);
	n->child->next->op = SEARCH_FLAG;
	n->child->next->number = IMAP_SEEN;
	n->child->next->negate = true;
}

/* The operands of OR; "OR a OR b c" is one list of three, so that the long
 * chains that clients make need no depth. */
static bool
or_keys(struct imap_lex *x, struct imap_search *n)
{
	struct imap_search **end = &n->child;

	n->op = SEARCH_OR;
	do {
		if (!imap_lex_sp(x) || (*end = search_key(x)) == NULL)
			return false;
		end = &(*end)->next;
		if (!imap_lex_sp(x))
			return false;
		if (x->in.n < 3 ||
		    !span_ieq(span_slice(x->in, 0, 3), SPAN("OR ")))
			break;
		x->in = span_skip(x->in, 2);
	} while (arena_ok(x->arena));
	*end = search_key(x);
	return *end != NULL;
}

static bool
word_key(struct imap_lex *x, struct span word, struct imap_search *n)
{
	if (span_ieq(word, SPAN("NEW"))) {
		make_new(x, n);
		return true;
	}
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		if (!span_ieq(word, span_str(keys[i].name)))
			continue;
		n->op = keys[i].op;
		n->negate ^= keys[i].negate;
		n->number = keys[i].number;
		n->field = span_str(keys[i].field);
		return argument(x, keys[i].argument, n);
	}
	return imap_lex_fail(x, "Unknown search key");
}

/* search-key *(SP search-key) up to `stop`, which is not taken. */
static bool
key_list(struct imap_lex *x, struct imap_search *n)
{
	struct imap_search **end = &n->child;

	n->op = SEARCH_AND;
	do {
		*end = search_key(x);
		if (*end == NULL)
			return false;
		end = &(*end)->next;
	} while (imap_lex_opt(x, ' '));
	return true;
}

static bool
nested(struct imap_lex *x, struct imap_search *n)
{
	return imap_lex_open(x) && key_list(x, n) && imap_lex_close(x);
}

static bool
starts_set(uint8_t c)
{
	return ascii_digit(c) || c == '*';
}

/* The recursion is bounded: imap_lex_open limits parentheses, and the first
 * operand of OR is counted with them. */
static struct imap_search *
search_key(struct imap_lex *x)
{
	struct imap_search *n = ARENA_NEW(x->arena, n);
	struct span word = SPAN_EMPTY;
	bool ok = arena_ok(x->arena);

	if (!ok)
		imap_lex_fail(x, "Search too complex");
	while (ok && ascii_alpha(imap_lex_peek(x))) {
		ok = imap_lex_word(x, &word);
		if (!ok || !span_ieq(word, SPAN("NOT")))
			break;
		n->negate = !n->negate;
		word = SPAN_EMPTY;
		ok = imap_lex_sp(x);
	}
	if (!ok)
		return NULL;
	if (span_ieq(word, SPAN("OR"))) {
		if (++x->depth > LIMIT_IMAP_NESTING)
			ok = imap_lex_fail(x, "Search too deep");
		ok = ok && or_keys(x, n);
		x->depth--;
	} else if (word.n > 0) {
		ok = word_key(x, word, n);
	} else if (imap_lex_peek(x) == '(') {
		ok = nested(x, n);
	} else if (starts_set(imap_lex_peek(x))) {
		n->op = SEARCH_SET;
		ok = set(x, n);
	} else {
		ok = imap_lex_fail(x, "Search key expected");
	}
	return ok ? n : NULL;
}

bool
imap_cmd_search(struct imap_lex *x, struct imap_cmd *c)
{
	if (!imap_lex_sp(x))
		return false;
	if (span_istarts(x->in, SPAN("CHARSET "))) {
		x->in = span_skip(x->in, 8);
		if (!imap_lex_astring(x, &c->charset) || !imap_lex_sp(x))
			return false;
	}
	c->search = ARENA_NEW(x->arena, c->search);
	return key_list(x, c->search);
}
