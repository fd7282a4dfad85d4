/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/imap_cmd_private.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"

/* What one FETCH may ask for of each message: answers are large, so the list
 * is short. */
enum { FETCH_ITEMS_MAX = 100, FIELDS_MAX = 200 };

/* "1.2.3" and, when a word follows, the dot before it. */
static bool
section_part(struct imap_lex *x, struct imap_section *s)
{
	s->part = arena_alloc(x->arena, LIMIT_MIME_DEPTH * sizeof(s->part[0]));
	do {
		if (!ascii_digit(imap_lex_peek(x)))
			return true;
		if (s->part_count >= LIMIT_MIME_DEPTH)
			return imap_lex_fail(x, "Section too deep");
		if (!imap_lex_nz(x, &s->part[s->part_count]))
			return false;
		s->part_count++;
	} while (imap_lex_opt(x, '.'));
	return true;
}

static bool
field_list(struct imap_lex *x, struct imap_section *s)
{
	struct span name;

	if (!imap_lex_sp(x) || !imap_lex_open(x))
		return false;
	do {
		if (!imap_lex_astring(x, &name))
			return false;
		imap_cmd_push(x->arena, &s->fields, &s->field_count, name);
		if (s->field_count > FIELDS_MAX)
			return imap_lex_fail(x, "Too many header fields");
	} while (imap_lex_opt(x, ' '));
	return imap_lex_close(x);
}

static bool
section_text(struct imap_lex *x, struct imap_section *s)
{
	static const struct {
		const char *name;
		enum imap_section_kind kind;
	} kinds[] = {
		{ "HEADER", SECTION_HEADER },
		{ "HEADER.FIELDS", SECTION_FIELDS },
		{ "HEADER.FIELDS.NOT", SECTION_FIELDS_NOT },
		{ "TEXT", SECTION_TEXT },
		{ "MIME", SECTION_MIME },
	};
	struct span word;

	if (!imap_lex_word(x, &word))
		return false;
	for (size_t i = 0; i < COUNT_OF(kinds); i++) {
		if (!span_ieq(word, span_str(kinds[i].name)))
			continue;
		s->kind = kinds[i].kind;
		if (s->kind == SECTION_MIME && s->part_count == 0)
			return imap_lex_fail(x, "MIME needs a part number");
		return (s->kind != SECTION_FIELDS &&
			   s->kind != SECTION_FIELDS_NOT) ||
		       field_list(x, s);
	}
	return imap_lex_fail(x, "Unknown section");
}

/* "[" [section-spec] "]" ["<" number "." nz-number ">"] */
static bool
body_section(struct imap_lex *x, struct imap_fetch *f)
{
	struct imap_section *s = &f->section;
	struct span from;

	if (!imap_lex_char(x, '[', "Section expected"))
		return false;
	from = x->in;
	if (ascii_digit(imap_lex_peek(x)) && !section_part(x, s))
		return false;
	/* After "1." a word must follow, after "1" none may. */
	if (s->part_count > 0 ? from.p[from.n - x->in.n - 1] == '.'
			      : imap_lex_peek(x) != ']') {
		if (!section_text(x, s))
			return false;
	}
	s->text = span_slice(from, 0, from.n - x->in.n);
	if (!imap_lex_char(x, ']', "Closing bracket expected"))
		return false;
	if (!imap_lex_opt(x, '<'))
		return true;
	f->partial = true;
	return imap_lex_number(x, &f->from) &&
	       imap_lex_char(x, '.', "Partial range expected") &&
	       imap_lex_nz(x, &f->count) &&
	       imap_lex_char(x, '>', "Partial range expected");
}

static bool
fetch_item(struct imap_lex *x, struct imap_fetch *f)
{
	static const struct {
		const char *name;
		enum imap_fetch_kind kind;
		bool peek;
	} items[] = {
		{ "BODY", FETCH_BODY, true },
		{ "BODY.PEEK", FETCH_BODY_SECTION, true },
		{ "BODYSTRUCTURE", FETCH_BODYSTRUCTURE, true },
		{ "ENVELOPE", FETCH_ENVELOPE, true },
		{ "FLAGS", FETCH_FLAGS, true },
		{ "INTERNALDATE", FETCH_INTERNALDATE, true },
		{ "RFC822", FETCH_RFC822, false },
		{ "RFC822.HEADER", FETCH_RFC822_HEADER, true },
		{ "RFC822.SIZE", FETCH_RFC822_SIZE, true },
		{ "RFC822.TEXT", FETCH_RFC822_TEXT, false },
		{ "UID", FETCH_UID, true },
	};
	struct span word;

	if (!imap_lex_word(x, &word))
		return false;
	for (size_t i = 0; i < COUNT_OF(items); i++) {
		if (!span_ieq(word, span_str(items[i].name)))
			continue;
		f->kind = items[i].kind;
		f->peek = items[i].peek;
		if (f->kind == FETCH_BODY && imap_lex_peek(x) == '[') {
			f->kind = FETCH_BODY_SECTION;
			f->peek = false;
		}
		return f->kind != FETCH_BODY_SECTION || body_section(x, f);
	}
	return imap_lex_fail(x, "Unknown item to fetch");
}

static struct imap_fetch **
append(struct imap_lex *x, struct imap_fetch **end, enum imap_fetch_kind kind)
{
	struct imap_fetch *f = ARENA_NEW(x->arena, f);

	f->kind = kind;
	f->peek = true;
	*end = f;
	return &f->next;
}

/* ALL, FAST and FULL stand alone (RFC 3501 6.4.5). */
static bool
macro(struct imap_lex *x, struct imap_cmd *c)
{
	static const char *const names[] = { "FAST", "ALL", "FULL" };
	struct imap_fetch **end = &c->fetch;

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		if (!span_ieq(x->in, span_str(names[i])))
			continue;
		end = append(x, end, FETCH_FLAGS);
		end = append(x, end, FETCH_INTERNALDATE);
		end = append(x, end, FETCH_RFC822_SIZE);
		if (i > 0)
			end = append(x, end, FETCH_ENVELOPE);
		if (i > 1)
			append(x, end, FETCH_BODY);
		x->in = SPAN_EMPTY;
		return true;
	}
	return false;
}

static bool
item_list(struct imap_lex *x, struct imap_cmd *c)
{
	struct imap_fetch **end = &c->fetch;
	int count = 0;

	if (!imap_lex_open(x))
		return false;
	do {
		if (++count > FETCH_ITEMS_MAX)
			return imap_lex_fail(x, "Too many items to fetch");
		*end = ARENA_NEW(x->arena, *end);
		if (!fetch_item(x, *end))
			return false;
		end = &(*end)->next;
	} while (imap_lex_opt(x, ' '));
	return imap_lex_close(x);
}

bool
imap_cmd_fetch(struct imap_lex *x, struct imap_cmd *c)
{
	if (!imap_cmd_set(x, c) || !imap_lex_sp(x))
		return false;
	if (imap_lex_peek(x) == '(')
		return item_list(x, c);
	if (macro(x, c))
		return true;
	c->fetch = ARENA_NEW(x->arena, c->fetch);
	return fetch_item(x, c->fetch);
}
