/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_MILTER_MAIL_H
#define CHAPPE_MAIL_MILTER_MAIL_H

/*
 * A message that filters look at and change before it goes into the queue:
 * its header as a list of fields in memory, its body in a spool. What nobody
 * changes comes out byte for byte. The field that we put in front ourselves
 * (Received) is there, but filters are not shown it, as Sendmail and Postfix
 * have it: changes count fields without it, insertions with it.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/span.h"
#include "lib/os/loop.h"

struct milter_mail;

/* own: the index of the field that is ours; SIZE_MAX for none. dir: for
 * lib/mail/spool.h; is copied. */
struct milter_mail *milter_mail_new(
    struct loop *loop, const char *dir, size_t own);
void milter_mail_free(struct milter_mail **c);

/* ---- taking it ---- */
/* The next bytes, cut anywhere, as they come out of lib/mail/fixup.h. */
void milter_mail_feed(struct milter_mail *c, struct span bytes);
bool milter_mail_busy(
    struct milter_mail *c, void (*ready)(void *arg), void *arg);
/* There are no more. */
void milter_mail_end(struct milter_mail *c);
/* Then: the header has more than LIMIT_HEADER_FIELDS fields, and what is left
 * of it counts as body: no filter should see it so. */
bool milter_mail_too_many(const struct milter_mail *c);

/* ---- looking at it, after milter_mail_end ---- */
struct milter_mail_field {
	struct span name, body; /* as struct header_field's */
	struct span raw;	/* with its CRLF */
	bool own;
};
size_t milter_mail_field_count(const struct milter_mail *c);
const struct milter_mail_field *milter_mail_field(
    const struct milter_mail *c, size_t i);

/* The body, or the next piece of it from place `at`; as spool_read. */
uint64_t milter_mail_body_size(const struct milter_mail *c);
typedef void (*milter_mail_read_fn)(
    void *arg, struct span bytes, const struct err *e);
void milter_mail_read_body(struct milter_mail *c, uint64_t at, size_t max,
    milter_mail_read_fn fn, void *arg);
void milter_mail_read_cancel(struct milter_mail *c);

/* ---- changing it ---- */
/* Values may have folds as LF or CRLF; a line that does not begin with white
 * space gets a tab, bytes that no header can have become spaces. raw_value:
 * else a space goes in front. False when there is no room for more header:
 * LIMIT_HEADER, and some fields more than LIMIT_HEADER_FIELDS. */
bool milter_mail_add(
    struct milter_mail *c, struct span name, struct span value, bool raw_value);
/* index 0: in front of all, ours included. */
bool milter_mail_insert(struct milter_mail *c, size_t index, struct span name,
    struct span value, bool raw_value);
/* The index-th (from 1) field of that name that is not ours; one that is not
 * there is added. */
bool milter_mail_change(struct milter_mail *c, size_t index, struct span name,
    struct span value, bool raw_value);
/* Where that field is: what milter_mail_insert would put in front of it
 * gets this index. SIZE_MAX: there is none. */
size_t milter_mail_find(
    const struct milter_mail *c, size_t index, struct span name);
/* One that is not there: nothing happens. */
void milter_mail_delete(struct milter_mail *c, size_t index, struct span name);

/* A new body, in pieces; bare LF becomes CRLF, and so does a missing last
 * line end. It takes the old one's place at milter_mail_replaced,
 * or is dropped there; without one nothing happens. False: it has more than
 * max bytes (0: any), and these were not taken. */
bool milter_mail_replace(
    struct milter_mail *c, struct span bytes, uint64_t max);
bool milter_mail_replace_busy(
    struct milter_mail *c, void (*ready)(void *arg), void *arg);
void milter_mail_replaced(struct milter_mail *c, bool keep);

/* ---- giving it away ---- */
/* Calls out with the whole message, piece by piece, then done (e: a step
 * failed). out answers false when it wants a pause: then milter_mail_go_on is
 * to be called. Maybe all before it returns. */
struct milter_mail_sink {
	bool (*out)(void *arg, struct span bytes);
	void (*done)(void *arg, const struct err *e);
	void *arg;
};
void milter_mail_send(
    struct milter_mail *c, const struct milter_mail_sink *sink);
void milter_mail_go_on(struct milter_mail *c);

#endif
