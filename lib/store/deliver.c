/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/deliver.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/header.h"
#include "lib/store/driver.h"

enum { CHUNK = 65536, LINES_MAX = 8192 };

static void
add_address(struct buf *out, struct span a)
{
	for (size_t i = 0; i < a.n; i++)
		buf_byte(out, a.p[i] < ' ' || a.p[i] == 0x7f ? '?' : a.p[i]);
}

void
delivery_lines(const struct delivery *d, struct buf *out)
{
	const struct span orig =
	    d->orig_address.n > 0 ? d->orig_address : d->address;

	buf_str(out, "Return-Path: <");
	add_address(out, d->sender);
	buf_str(out, ">\nX-Original-To: ");
	add_address(out, orig);
	buf_str(out, "\nDelivered-To: ");
	add_address(out, d->address);
	buf_str(out, "\n");
}

/* The header of the content, or as much as may be looked at. */
static int
read_header(const struct delivery *d, struct buf *out, struct err *e)
{
	struct range_reader r;
	size_t end;

	range_begin(&r, &d->content);
	while (out->n < LIMIT_HEADER) {
		uint8_t *room = buf_room(out, CHUNK);
		const ssize_t n = range_read(&r, room, CHUNK, e);

		if (n < 0)
			return -1;
		if (n == 0)
			break;
		buf_grown(out, (size_t)n);
		if (header_end(buf_span(out), &end) == PARSE_OK) {
			buf_truncate(out, end);
			break;
		}
	}
	return 0;
}

int
delivery_loops(const struct delivery *d, struct err *e)
{
	struct header_field f;
	struct span rest;
	struct buf b;
	int loops = -1;

	buf_init(&b, LIMIT_HEADER + CHUNK);
	if (read_header(d, &b, e) == 0) {
		loops = 0;
		rest = buf_span(&b);
		while (loops == 0 && header_next(&rest, &f))
			loops = span_ieq(f.name, SPAN("Delivered-To")) &&
			    span_ieq(span_trim(f.body), d->address);
	}
	buf_release(&b);
	return loops;
}

static int
copy(struct append *a, const struct delivery *d, struct err *e)
{
	uint8_t *chunk = mem_alloc(CHUNK);
	struct range_reader r;
	ssize_t n;

	range_begin(&r, &d->content);
	while ((n = range_read(&r, chunk, CHUNK, e)) > 0) {
		if (append_write(a, span_of(chunk, (size_t)n), e) != 0) {
			n = -1;
			break;
		}
	}
	mem_free(chunk);
	return n < 0 ? -1 : 0;
}

static int
deliver_to(struct store *s, const struct delivery *d, struct err *e)
{
	char id[48];
	const struct append_meta meta = {
		.delivery = true,
		.queue_id = id,
		.envelope_sender = d->sender,
	};
	uint32_t uid, validity;
	struct append *a;
	struct buf lines;
	int rc;

	snprintf(id, sizeof(id), "%.20sR%u", d->queue_id, d->rcpt_index);
	if (append_begin(s, SPAN("INBOX"), &meta, &a, e) != 0)
		return -1;
	buf_init(&lines, LINES_MAX);
	delivery_lines(d, &lines);
	rc = append_write(a, buf_span(&lines), e);
	buf_release(&lines);
	if (rc == 0)
		rc = copy(a, d, e);
	if (rc == 0)
		return append_commit(&a, &uid, &validity, e);
	append_abort(&a);
	return -1;
}

int
deliver_inbox(struct store *s, const struct delivery *d, struct err *e)
{
	return deliver_to(s, d, e);
}

/* A file is the inbox of a store that has nothing else. */
int
deliver_file(const char *path, const struct delivery *d, int64_t size_max,
    struct err *e)
{
	struct store *s;
	int rc;

	if (strcmp(path, "/dev/null") == 0)
		return 0;
	if (store_open_file(path, size_max, &s, e) != 0)
		return -1;
	rc = deliver_to(s, d, e);
	store_close(&s);
	return rc;
}

const char *
deliver_kind(const struct store *s)
{
	return s->driver == &maildir_driver ? "maildir" : "mailbox";
}
