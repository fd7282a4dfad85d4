/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_IMAP_LEX_H
#define CHAPPE_PROTO_IMAP_LEX_H

/*
 * The tokens of IMAP (RFC 3501 9) read from one whole command: its lines and
 * the literals between them, as they came, without the last CRLF. Spans point
 * into the command, or into the arena for quoted strings with a backslash.
 * Each reader returns false when the token does not stand there, and then
 * sets `why` (the first reason stays).
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/span.h"

struct imap_lex {
	struct span in; /* what is still to be read */
	struct arena *arena;
	const char *why; /* first thing wrong, a constant; NULL so far */
	unsigned depth;	 /* parentheses open, for LIMIT_IMAP_NESTING */
};

void imap_lex_init(struct imap_lex *x, struct span in, struct arena *a);

/* Sets `why` unless it is set; always false. */
bool imap_lex_fail(struct imap_lex *x, const char *why);

bool imap_lex_end(const struct imap_lex *x);

/* The next byte, 0 at the end. */
uint8_t imap_lex_peek(const struct imap_lex *x);

/* Takes the byte c if it is next. The first form sets no reason. */
bool imap_lex_opt(struct imap_lex *x, uint8_t c);
bool imap_lex_char(struct imap_lex *x, uint8_t c, const char *why);

/* One space. */
bool imap_lex_sp(struct imap_lex *x);

/* Opens and closes a parenthesis; nesting is limited. */
bool imap_lex_open(struct imap_lex *x);
bool imap_lex_close(struct imap_lex *x);

/* 1*ATOM-CHAR. */
bool imap_lex_atom(struct imap_lex *x, struct span *out);

/* A quoted string or a literal. Neither may hold a NUL. */
bool imap_lex_string(struct imap_lex *x, struct span *out);

/* astring: ASTRING-CHARs or a string. */
bool imap_lex_astring(struct imap_lex *x, struct span *out);

/* The mailbox pattern of LIST: wildcards are legal without quotes. */
bool imap_lex_pattern(struct imap_lex *x, struct span *out);

/* nstring; *out_nil says that it was NIL. */
bool imap_lex_nstring(struct imap_lex *x, struct span *out, bool *out_nil);

/* Letters, digits, "." and "-": a keyword such as RFC822.SIZE. */
bool imap_lex_word(struct imap_lex *x, struct span *out);

/* A decimal number of at most 2^32-1; the nz form refuses 0. */
bool imap_lex_number(struct imap_lex *x, uint32_t *out);
bool imap_lex_nz(struct imap_lex *x, uint32_t *out);

/* The text of a sequence set, unparsed. */
bool imap_lex_set(struct imap_lex *x, struct span *out);

/* Takes "{n}" or "{n+}" at the very end of the input: a literal whose bytes
 * are not there yet. */
bool imap_lex_literal_ahead(
    struct imap_lex *x, uint64_t *out_size, bool *out_plus);

/* A tag: ASTRING-CHARs without "+". */
bool imap_lex_tag(struct imap_lex *x, struct span *out);

#endif
