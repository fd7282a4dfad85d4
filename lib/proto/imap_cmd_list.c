/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/imap_cmd_private.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"

struct word_bit {
	const char *word;
	unsigned bit;
};

static unsigned
lookup(const struct word_bit *words, size_t count, struct span w)
{
	for (size_t i = 0; i < count; i++) {
		if (span_ieq(w, span_str(words[i].word)))
			return words[i].bit;
	}
	return 0;
}

/* status-att in parentheses, at least one (RFC 3501 9). */
bool
imap_cmd_status_items(struct imap_lex *x, unsigned *out)
{
	static const struct word_bit items[] = {
		{ "MESSAGES", STATUS_MESSAGES },
		{ "RECENT", STATUS_RECENT },
		{ "UIDNEXT", STATUS_UIDNEXT },
		{ "UIDVALIDITY", STATUS_UIDVALIDITY },
		{ "UNSEEN", STATUS_UNSEEN },
	};
	struct span word;

	if (!imap_lex_open(x))
		return false;
	do {
		unsigned bit;

		if (!imap_lex_word(x, &word))
			return false;
		bit = lookup(items, COUNT_OF(items), word);
		if (bit == 0)
			return imap_lex_fail(x, "Unknown status item");
		*out |= bit;
	} while (imap_lex_opt(x, ' '));
	return imap_lex_close(x);
}

bool
imap_cmd_status(struct imap_lex *x, struct imap_cmd *c)
{
	return imap_cmd_mailbox(x, &c->mailbox) && imap_lex_sp(x) &&
	       imap_cmd_status_items(x, &c->status);
}

static bool
reference(struct imap_lex *x, struct imap_cmd *c)
{
	if (!imap_lex_astring(x, &c->mailbox))
		return false;
	return c->mailbox.n <= LIMIT_MAILBOX_NAME ||
	       imap_lex_fail(x, "Reference too long");
}

static bool
pattern(struct imap_lex *x, struct imap_cmd *c)
{
	struct span s;

	if (!imap_lex_pattern(x, &s))
		return false;
	/* Wildcards may make a pattern longer than a name, not by much. */
	if (s.n > 2 * LIMIT_MAILBOX_NAME)
		return imap_lex_fail(x, "Pattern too long");
	if (c->pattern_count >= 64)
		return imap_lex_fail(x, "Too many patterns");
	imap_cmd_push(x->arena, &c->patterns, &c->pattern_count, s);
	return true;
}

bool
imap_cmd_lsub(struct imap_lex *x, struct imap_cmd *c)
{
	return imap_lex_sp(x) && reference(x, c) && imap_lex_sp(x) &&
	       pattern(x, c);
}

/* "(" [option *(SP option)] ")" before the reference (RFC 5258 6). */
static bool
selection_options(struct imap_lex *x, struct imap_cmd *c)
{
	static const struct word_bit options[] = {
		{ "SUBSCRIBED", LIST_SUBSCRIBED },
		{ "REMOTE", LIST_REMOTE },
		{ "RECURSIVEMATCH", LIST_RECURSIVE },
		{ "SPECIAL-USE", LIST_SPECIAL },
	};
	struct span word;

	c->list |= LIST_EXTENDED;
	if (!imap_lex_open(x))
		return false;
	for (bool first = true; imap_lex_peek(x) != ')'; first = false) {
		unsigned bit;

		if ((!first && !imap_lex_sp(x)) || !imap_lex_word(x, &word))
			return false;
		bit = lookup(options, COUNT_OF(options), word);
		if (bit == 0)
			return imap_lex_fail(x, "Unknown selection option");
		c->list |= bit;
	}
	if ((c->list & LIST_RECURSIVE) != 0 &&
	    (c->list & (LIST_SUBSCRIBED | LIST_SPECIAL)) == 0)
		return imap_lex_fail(
		    x, "RECURSIVEMATCH needs another selection option");
	return imap_lex_close(x) && imap_lex_sp(x);
}

static bool
return_option(struct imap_lex *x, struct imap_cmd *c)
{
	static const struct word_bit options[] = {
		{ "SUBSCRIBED", LIST_RETURN_SUBSCRIBED },
		{ "CHILDREN", LIST_RETURN_CHILDREN },
		{ "SPECIAL-USE", LIST_RETURN_SPECIAL },
		{ "STATUS", LIST_RETURN_STATUS },
	};
	struct span word;
	unsigned bit;

	if (!imap_lex_word(x, &word))
		return false;
	bit = lookup(options, COUNT_OF(options), word);
	if (bit == 0)
		return imap_lex_fail(x, "Unknown return option");
	c->list |= bit;
	return bit != LIST_RETURN_STATUS ||
	       (imap_lex_sp(x) && imap_cmd_status_items(x, &c->status));
}

static bool
return_options(struct imap_lex *x, struct imap_cmd *c)
{
	struct span word;

	c->list |= LIST_EXTENDED;
	if (!imap_lex_word(x, &word) || !span_ieq(word, SPAN("RETURN")))
		return imap_lex_fail(x, "RETURN expected");
	if (!imap_lex_sp(x) || !imap_lex_open(x))
		return false;
	for (bool first = true; imap_lex_peek(x) != ')'; first = false) {
		if ((!first && !imap_lex_sp(x)) || !return_option(x, c))
			return false;
	}
	return imap_lex_close(x);
}

static bool
pattern_list(struct imap_lex *x, struct imap_cmd *c)
{
	c->list |= LIST_EXTENDED;
	if (!imap_lex_open(x))
		return false;
	do {
		if (!pattern(x, c))
			return false;
	} while (imap_lex_opt(x, ' '));
	return imap_lex_close(x);
}

bool
imap_cmd_list(struct imap_lex *x, struct imap_cmd *c)
{
	if (!imap_lex_sp(x))
		return false;
	if (imap_lex_peek(x) == '(' && !selection_options(x, c))
		return false;
	if (!reference(x, c) || !imap_lex_sp(x))
		return false;
	if (imap_lex_peek(x) == '(' ? !pattern_list(x, c) : !pattern(x, c))
		return false;
	return !imap_lex_opt(x, ' ') || return_options(x, c);
}
