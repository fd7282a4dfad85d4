/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/address.h"

#include <string.h>

enum { PART_MAX = 8192 };

/* ---- tokens (RFC 5322 3.2) ---- */

enum token_kind {
	TOKEN_END,
	TOKEN_WORD,    /* an atom */
	TOKEN_QUOTED,  /* a quoted string */
	TOKEN_LITERAL, /* [...] */
	TOKEN_SPECIAL, /* one of @.,:;<> */
	TOKEN_BAD,     /* unclosed, or a byte that can't stand here */
};

struct token {
	enum token_kind kind;
	uint8_t special;
	bool space;	  /* white space or a comment stood before it */
	struct span text; /* until the next token */
};

static bool
is_white(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
is_special(uint8_t c)
{
	return c != 0 && strchr("()<>[]:;@,.\"", c) != NULL;
}

/* Takes one comment, nested ones within it; keeps what it says. */
static void
take_comment(struct address_list *l)
{
	struct span s = l->rest;
	size_t depth = 0;
	size_t i = 0;

	buf_reset(&l->comment);
	for (; i < s.n; i++) {
		if (s.p[i] == '(' && depth++ == 0)
			continue;
		if (s.p[i] == ')' && --depth == 0)
			break;
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		if (s.p[i] != '\r' && s.p[i] != '\n')
			buf_byte(&l->comment, s.p[i]);
	}
	l->rest = span_skip(s, i + 1);
}

static bool
skip_white(struct address_list *l)
{
	const size_t before = l->rest.n;

	while (l->rest.n > 0) {
		if (l->rest.p[0] == '(')
			take_comment(l);
		else if (is_white(l->rest.p[0]))
			l->rest = span_skip(l->rest, 1);
		else
			break;
	}
	return l->rest.n != before;
}

/* A quoted string or a literal: up to the closing byte, pairs resolved. */
static void
take_closed(struct address_list *l, uint8_t close, struct token *out)
{
	const struct span s = l->rest;
	size_t i = 1;

	if (close == ']')
		buf_byte(&l->word, '[');
	for (; i < s.n && s.p[i] != close; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		if (s.p[i] != '\r' && s.p[i] != '\n')
			buf_byte(&l->word, s.p[i]);
	}
	if (close == ']')
		buf_byte(&l->word, ']');
	out->kind = i >= s.n	   ? TOKEN_BAD
		    : close == ']' ? TOKEN_LITERAL
				   : TOKEN_QUOTED;
	l->rest = span_skip(s, i + 1);
}

static void
take_atom(struct address_list *l, struct token *out)
{
	const struct span s = l->rest;
	size_t i = 0;

	out->kind = TOKEN_WORD;
	for (; i < s.n && !is_special(s.p[i]) && !is_white(s.p[i]); i++) {
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
		if (s.p[i] < ' ' || s.p[i] == 127)
			out->kind = TOKEN_BAD;
		buf_byte(&l->word, s.p[i]);
	}
	l->rest = span_skip(s, i);
}

static void
next_token(struct address_list *l, struct token *out)
{
	uint8_t c;

	*out = (struct token){ .kind = TOKEN_END };
	out->space = skip_white(l);
	buf_reset(&l->word);
	if (l->rest.n == 0)
		return;
	c = l->rest.p[0];
	if (c == '"') {
		take_closed(l, '"', out);
	} else if (c == '[') {
		take_closed(l, ']', out);
	} else if (is_special(c)) {
		out->kind = c == ')' || c == ']' ? TOKEN_BAD : TOKEN_SPECIAL;
		out->special = c;
		l->rest = span_skip(l->rest, 1);
	} else {
		take_atom(l, out);
	}
	if (!buf_ok(&l->word))
		out->kind = TOKEN_BAD;
	out->text = buf_span(&l->word);
}

/* ---- items ---- */

/* What the tokens of one item make so far: read as an address and as a
 * phrase at the same time, since "<", ":" or the end decides which it was. */
struct spec {
	bool any;   /* some token was seen */
	bool at;    /* "@" was seen: the domain is being read */
	bool word;  /* the last token was a word: a dot or "@" must follow */
	bool local; /* there is a local part, perhaps the empty one ("") */
	bool bad;   /* it is no address; it may be a phrase */
};

static void
spec_begin(struct address_list *l, struct spec *sp)
{
	*sp = (struct spec){ .any = false };
	buf_reset(&l->local);
	buf_reset(&l->domain);
}

static void
spec_word(struct address_list *l, struct spec *sp, const struct token *t)
{
	sp->any = true;
	if (sp->word || (t->kind == TOKEN_LITERAL && !sp->at) ||
	    (t->kind == TOKEN_QUOTED && sp->at))
		sp->bad = true;
	if (!sp->at)
		sp->local = true;
	buf_add(sp->at ? &l->domain : &l->local, t->text);
	sp->word = true;
}

static void
spec_special(struct address_list *l, struct spec *sp, uint8_t c)
{
	sp->any = true;
	sp->word = false;
	if (c == '.') {
		sp->local |= !sp->at;
		buf_byte(sp->at ? &l->domain : &l->local, '.');
		return;
	}
	sp->bad |= sp->at || !sp->local;
	sp->at = true;
}

/* Is it an address? Sticky failures of the buffers count too. */
static bool
spec_ok(const struct address_list *l, const struct spec *sp)
{
	return !sp->bad && sp->local && buf_ok(&l->local) &&
	       buf_ok(&l->domain) &&
	       (sp->at ? l->domain.n > 0 : l->local.n > 0);
}

static void
phrase_add(struct address_list *l, const struct token *t)
{
	if (t->space && l->name.n > 0)
		buf_byte(&l->name, ' ');
	if (t->kind == TOKEN_SPECIAL)
		buf_byte(&l->name, t->special);
	else
		buf_add(&l->name, t->text);
}

static bool
ends_item(const struct token *t)
{
	return t->kind == TOKEN_END ||
	       (t->kind == TOKEN_SPECIAL &&
		   (t->special == ',' || t->special == ';'));
}

/* Reads on to the end of the item; false if anything stood there. */
static bool
skip_item(struct address_list *l, struct token *t)
{
	bool clean = true;

	while (!ends_item(t)) {
		next_token(l, t);
		clean &= ends_item(t);
	}
	return clean;
}

/* The obsolete route "@a,@b:" (RFC 5322 4.4), its first "@" already taken. */
static bool
take_route(struct address_list *l, struct token *t)
{
	do {
		if (t->kind == TOKEN_SPECIAL)
			buf_byte(&l->route, t->special);
		else
			buf_add(&l->route, t->text);
		next_token(l, t);
		if (t->kind == TOKEN_END || t->kind == TOKEN_BAD)
			return false;
	} while (t->kind != TOKEN_SPECIAL || t->special != ':');
	next_token(l, t);
	return true;
}

/* What stands between "<" and ">". On return *t is the item's last token. */
static enum address_kind
take_angle(struct address_list *l, struct token *t)
{
	struct spec sp;

	spec_begin(l, &sp);
	next_token(l, t);
	if (t->kind == TOKEN_SPECIAL && t->special == '@' &&
	    !take_route(l, t)) {
		skip_item(l, t);
		return ADDRESS_BAD;
	}
	for (; t->kind != TOKEN_END; next_token(l, t)) {
		if (t->kind == TOKEN_BAD)
			sp.bad = true;
		else if (t->kind != TOKEN_SPECIAL)
			spec_word(l, &sp, t);
		else if (t->special == '.' || t->special == '@')
			spec_special(l, &sp, t->special);
		else
			break;
	}
	if (t->kind != TOKEN_SPECIAL || t->special != '>') {
		skip_item(l, t);
		return ADDRESS_BAD;
	}
	if (!skip_item(l, t))
		return ADDRESS_BAD;
	if (!sp.any && l->route.n == 0)
		return ADDRESS_NULL;
	return spec_ok(l, &sp) ? ADDRESS_MAILBOX : ADDRESS_BAD;
}

/* Reads one item up to and with its delimiter, which is left in *t. False
 * when there was nothing before the delimiter. */
static bool
take_item(struct address_list *l, struct token *t, enum address_kind *out)
{
	struct spec sp;

	spec_begin(l, &sp);
	for (next_token(l, t); !ends_item(t); next_token(l, t)) {
		if (t->kind == TOKEN_BAD) {
			skip_item(l, t);
			*out = ADDRESS_BAD;
			return true;
		}
		phrase_add(l, t);
		if (t->kind != TOKEN_SPECIAL) {
			spec_word(l, &sp, t);
		} else if (t->special == '<') {
			buf_truncate(&l->name, l->name.n - 1);
			*out = take_angle(l, t);
			return true;
		} else if (t->special == ':' && sp.any && !sp.at &&
			   !l->in_group) {
			buf_truncate(&l->name, l->name.n - 1);
			*out = ADDRESS_GROUP_START;
			return true;
		} else if (t->special == '@' || t->special == '.') {
			spec_special(l, &sp, t->special);
		} else {
			sp.any = sp.bad = true;
		}
	}
	*out = spec_ok(l, &sp) ? ADDRESS_MAILBOX : ADDRESS_BAD;
	if (*out == ADDRESS_MAILBOX)
		buf_reset(&l->name);
	return sp.any;
}

void
address_list_init(
    struct address_list *l, enum address_list_kind kind, struct span text)
{
	*l = (struct address_list){ .kind = kind, .rest = text };
	buf_init(&l->word, PART_MAX);
	buf_init(&l->name, PART_MAX);
	buf_init(&l->local, PART_MAX);
	buf_init(&l->domain, PART_MAX);
	buf_init(&l->comment, PART_MAX);
	buf_init(&l->route, PART_MAX);
}

void
address_list_release(struct address_list *l)
{
	buf_release(&l->word);
	buf_release(&l->name);
	buf_release(&l->local);
	buf_release(&l->domain);
	buf_release(&l->comment);
	buf_release(&l->route);
}

static void
fill_item(
    struct address_list *l, enum address_kind kind, struct address_item *out)
{
	if (kind == ADDRESS_MAILBOX || kind == ADDRESS_NULL) {
		while (l->name.n > 0 && is_white(l->name.p[l->name.n - 1]))
			l->name.n--;
		if (l->name.n == 0)
			buf_add(&l->name, buf_span(&l->comment));
	}
	if (kind == ADDRESS_GROUP_START)
		buf_reset(&l->local);
	out->kind = kind;
	if (!buf_ok(&l->name) || !buf_ok(&l->route))
		out->kind = ADDRESS_BAD;
	out->name = buf_span(&l->name);
	out->addr.local = buf_span(&l->local);
	out->addr.domain = buf_span(&l->domain);
	out->route = buf_span(&l->route);
}

/* ":include:name", up to the comma: not RFC 5322 at all. */
static bool
take_include(struct address_list *l, struct address_item *out)
{
	size_t comma;

	skip_white(l);
	if (l->kind != ADDRESS_LIST_ALIASES ||
	    !span_istarts(l->rest, SPAN(":include:")))
		return false;
	comma = span_chr(l->rest, ',');
	*out = (struct address_item){ .kind = ADDRESS_INCLUDE,
		.raw = span_trim(span_slice(l->rest, 0, comma)) };
	l->rest =
	    comma == SIZE_MAX ? SPAN_EMPTY : span_skip(l->rest, comma + 1);
	return true;
}

static bool
take_group_end(struct address_list *l, struct address_item *out)
{
	l->end_pending = false;
	l->in_group = false;
	*out = (struct address_item){ .kind = ADDRESS_GROUP_END };
	return true;
}

bool
address_list_next(struct address_list *l, struct address_item *out)
{
	enum address_kind kind;
	struct token t;
	bool some;

	if (l->end_pending)
		return take_group_end(l, out);
	do {
		buf_reset(&l->name);
		buf_reset(&l->comment);
		buf_reset(&l->route);
		if (take_include(l, out))
			return true;

		const struct span before = l->rest;

		some = take_item(l, &t, &kind);
		out->raw = span_trim(span_slice(before, 0,
		    before.n - l->rest.n - (t.kind == TOKEN_SPECIAL)));
		l->end_pending =
		    l->in_group &&
		    (t.kind == TOKEN_END ||
			(t.kind == TOKEN_SPECIAL && t.special == ';'));
	} while (!some && t.kind != TOKEN_END && !l->end_pending);
	if (!some)
		return l->end_pending && take_group_end(l, out);
	fill_item(l, kind, out);
	if (kind == ADDRESS_GROUP_START)
		l->in_group = true;
	return true;
}
