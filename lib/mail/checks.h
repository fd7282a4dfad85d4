/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_CHECKS_H
#define CHAPPE_MAIL_CHECKS_H

/*
 * header_checks, mime_header_checks, nested_header_checks and body_checks
 * (Postfix's header_checks(5)): each field, as it stands with its folds (line
 * ends as LF), and each line of text is looked up; what the table says is
 * done to it, or is told to the caller, who does it to the message.
 *
 *	PREPEND, REPLACE, STRIP, IGNORE		change what goes on
 *	REJECT, DISCARD, HOLD, FILTER,
 *	REDIRECT, BCC, WARN, INFO		are told (so are PREPEND,
 *						REPLACE and STRIP, for the log)
 *	DUNNO, OK				nothing
 *
 * Tables are asked at once: types that may block do not belong here.
 */

#include "lib/conf/conf.h"
#include "lib/mail/fixup.h"
#include "lib/map/map.h"
#include "lib/proto/header.h"

/* ---- tables, once a process ---- */
struct checks_tables;
int checks_open(const struct common_conf *c, struct checks_tables **out,
    struct err *e);
void checks_free(struct checks_tables **t);
/* Is there any table at all? */
bool checks_wanted(const struct checks_tables *t);

/* ---- what a table says ---- */
enum check_action {
	CHECK_REJECT,
	CHECK_DISCARD,
	CHECK_HOLD,
	CHECK_FILTER,
	CHECK_REDIRECT,
	CHECK_BCC,
	CHECK_WARN,
	CHECK_INFO,
	CHECK_PREPEND,
	CHECK_REPLACE,
	CHECK_STRIP,
	CHECK_IGNORE,
	CHECK_NOTHING,
	CHECK_FAILED, /* a table could not be read: the message must wait */
};
/* As the log says it: "reject", "warning"; "" for those without a line. */
const char *check_action_name(enum check_action a);

/* Lives during the call. */
struct check_hit {
	enum check_action action;
	const char *kind; /* "header" or "body" */
	struct span line; /* what was looked up */
	char dsn[12];     /* REJECT: "5.7.1" unless the table has another */
	struct span text; /* what stands behind the word; FAILED: why */
};
typedef void (*check_fn)(void *arg, const struct check_hit *hit);

/* Takes a table's value apart. False: no such action (out is CHECK_NOTHING),
 * or its argument is missing. */
bool check_parse(struct span value, struct check_hit *out);

/* milter_header_checks (a table of this kind) of a field that a filter adds or
 * changes: fn is told what is said of it. False: it is left out. instead:
 * "name: value" that goes in its place; before: another one, that goes in
 * front of it; each stays as it is when there is none. */
bool checks_filter_field(struct maps *m, struct span name, struct span value,
    check_fn fn, void *arg, struct buf *instead, struct buf *before);

/* ---- one message ---- */
struct checks;
/* t must outlive it. fn is told; out gets the body. */
struct checks *checks_new(struct checks_tables *t, check_fn fn,
    fixup_out_fn out, void *arg);
void checks_end(struct checks *c); /* the body is complete */
void checks_close(struct checks **c);

/* A field of the message's own header. True: what was appended to instead
 * (maybe nothing) goes in its place. */
bool checks_header(struct checks *c, const struct header_field *field,
    struct buf *instead);
/* Bytes of the body, behind the empty line. */
void checks_body(struct checks *c, struct span bytes);

#endif
