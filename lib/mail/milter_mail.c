/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/milter_mail.h"

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/spool.h"
#include "lib/proto/header.h"

enum { MEMORY_MAX = 256 << 10, READ_SIZE = 64 << 10, ADDED_FIELDS = 1000 };

struct milter_mail {
	struct loop *loop;
	char *dir;
	size_t own;
	struct buf header; /* until it is cut into fields; they point here */
	size_t scanned;	   /* of it no empty line was found before this */
	bool in_body;
	struct span gap;    /* the empty line behind the header */
	struct arena arena; /* fields that were changed */
	struct milter_mail_field *fields;
	size_t count, cap;
	bool too_many; /* came */
	struct spool *body, *new_body;
	bool cr;	/* the last byte of new_body is a CR */
	bool line_open; /* its last line has no end yet */
	struct milter_mail_sink sink;
	bool header_sent;
	uint64_t sent_at;
};

struct milter_mail *
milter_mail_new(struct loop *loop, const char *dir, size_t own)
{
	struct milter_mail *c = MEM_NEW(c);

	c->loop = loop;
	c->dir = mem_strdup(dir);
	c->own = own;
	buf_init(&c->header, LIMIT_HEADER);
	arena_init(&c->arena, LIMIT_HEADER);
	c->body = spool_new(loop, dir, MEMORY_MAX);
	return c;
}

void
milter_mail_free(struct milter_mail **ref)
{
	struct milter_mail *c = *ref;

	if (c == NULL)
		return;
	spool_free(&c->body);
	spool_free(&c->new_body);
	buf_release(&c->header);
	arena_reset(&c->arena);
	mem_free(c->fields);
	mem_free(c->dir);
	mem_free(c);
	*ref = NULL;
}

/* ---- taking it ---- */

static void
put_field(struct milter_mail *c, size_t at, const struct milter_mail_field *f)
{
	if (c->count == c->cap) {
		c->cap = c->cap == 0 ? 32 : c->cap * 2;
		c->fields = mem_resize(c->fields, c->cap, sizeof(*c->fields));
	}
	memmove(c->fields + at + 1, c->fields + at,
	    (c->count - at) * sizeof(*c->fields));
	c->fields[at] = *f;
	c->count++;
}

/* The header is the first n bytes: where the fields that are kept end. */
static size_t
cut_header(struct milter_mail *c, size_t n)
{
	struct span rest = span_slice(buf_span(&c->header), 0, n);
	struct header_field f;

	c->in_body = true;
	while (header_next(&rest, &f)) {
		const struct milter_mail_field field = {
			.name = f.name,
			.body = f.body,
			.raw = f.raw,
			.own = c->count == c->own,
		};

		if (c->count == LIMIT_HEADER_FIELDS) {
			c->too_many = true;
			return (size_t)(f.raw.p - c->header.p);
		}
		put_field(c, c->count, &field);
	}
	return n;
}

/* Looks for the empty line among what came; PARSE_OK: the header has *out
 * bytes, and the line follows. */
static enum parse
find_gap(struct milter_mail *c, size_t *out)
{
	const struct span all = buf_span(&c->header);
	size_t at = c->scanned;

	while (at < all.n) {
		const struct span rest = span_skip(all, at);
		const size_t lf = span_chr(rest, '\n');

		if (lf == SIZE_MAX)
			return PARSE_MORE;
		if (lf == 0 || (lf == 1 && rest.p[0] == '\r')) {
			*out = at;
			return PARSE_OK;
		}
		at += lf + 1;
		c->scanned = at;
	}
	return PARSE_MORE;
}

void
milter_mail_feed(struct milter_mail *c, struct span bytes)
{
	size_t n, end;

	if (c->in_body) {
		spool_add(c->body, bytes);
		return;
	}
	if (c->header.n + bytes.n > LIMIT_HEADER) {
		/* No header is that long: what is left of it is body. */
		end = cut_header(c, c->scanned);
		spool_add(c->body, span_skip(buf_span(&c->header), end));
		spool_add(c->body, bytes);
		return;
	}
	buf_add(&c->header, bytes);
	if (find_gap(c, &n) != PARSE_OK)
		return;
	end = cut_header(c, n);
	if (!c->too_many) {
		c->gap = c->header.p[n] == '\r' ? SPAN("\r\n") : SPAN("\n");
		end += c->gap.n;
	}
	spool_add(c->body, span_skip(buf_span(&c->header), end));
}

bool
milter_mail_busy(struct milter_mail *c, void (*ready)(void *arg), void *arg)
{
	return spool_busy(c->body, ready, arg);
}

void
milter_mail_end(struct milter_mail *c)
{
	size_t end;

	if (c->in_body)
		return;
	end = cut_header(c, c->header.n);
	spool_add(c->body, span_skip(buf_span(&c->header), end));
}

bool
milter_mail_too_many(const struct milter_mail *c)
{
	return c->too_many;
}

/* ---- looking at it ---- */

size_t
milter_mail_field_count(const struct milter_mail *c)
{
	return c->count;
}

const struct milter_mail_field *
milter_mail_field(const struct milter_mail *c, size_t i)
{
	BUG_ON(i >= c->count);
	return &c->fields[i];
}

uint64_t
milter_mail_body_size(const struct milter_mail *c)
{
	return spool_size(c->body);
}

void
milter_mail_read_body(struct milter_mail *c, uint64_t at, size_t max,
    milter_mail_read_fn fn, void *arg)
{
	spool_read(c->body, at, max, fn, arg);
}

void
milter_mail_read_cancel(struct milter_mail *c)
{
	spool_read_cancel(c->body);
}

/* ---- changing it ---- */

/* The lines of a value as a header has them. */
static void
put_value(struct buf *b, struct span value)
{
	bool fresh = false; /* at the beginning of a line */

	while (value.n > 0 &&
	       (value.p[value.n - 1] == '\n' || value.p[value.n - 1] == '\r'))
		value.n--;
	for (size_t i = 0; i < value.n; i++) {
		const uint8_t c = value.p[i];

		if (c == '\r' && i + 1 < value.n && value.p[i + 1] == '\n')
			continue;
		if (c == '\n') {
			/* An empty line would end the header. */
			if (fresh || i == 0)
				continue;
			buf_str(b, "\r\n");
			fresh = true;
			continue;
		}
		if (fresh && c != ' ' && c != '\t')
			buf_byte(b, '\t');
		fresh = false;
		buf_byte(b, c == 0 || c == '\r' ? ' ' : c);
	}
}

/* False when it would be too much. */
static bool
make_field(struct milter_mail *c, struct span name, struct span value,
    bool raw_value, struct milter_mail_field *out)
{
	struct buf b;
	struct span rest;
	struct header_field f;
	bool ok;

	buf_init(&b, LIMIT_HEADER / 2);
	for (size_t i = 0; i < name.n; i++)
		buf_byte(
		    &b, name.p[i] > ' ' && name.p[i] != ':' && name.p[i] < 127
			    ? name.p[i]
			    : '_');
	buf_byte(&b, ':');
	if (!raw_value)
		buf_byte(&b, ' ');
	put_value(&b, value);
	buf_str(&b, "\r\n");
	ok = buf_ok(&b) && c->arena.used + b.n <= LIMIT_HEADER;
	rest = ok ? arena_dup(&c->arena, buf_span(&b)) : SPAN_EMPTY;
	buf_release(&b);
	if (!ok || !header_next(&rest, &f))
		return false;
	*out = (struct milter_mail_field){
		.name = f.name, .body = f.body, .raw = f.raw
	};
	return true;
}

bool
milter_mail_insert(struct milter_mail *c, size_t index, struct span name,
    struct span value, bool raw_value)
{
	struct milter_mail_field f;

	if (c->count >= LIMIT_HEADER_FIELDS + ADDED_FIELDS ||
	    !make_field(c, name, value, raw_value, &f))
		return false;
	put_field(c, index < c->count ? index : c->count, &f);
	return true;
}

bool
milter_mail_add(
    struct milter_mail *c, struct span name, struct span value, bool raw_value)
{
	return milter_mail_insert(c, c->count, name, value, raw_value);
}

size_t
milter_mail_find(const struct milter_mail *c, size_t index, struct span name)
{
	for (size_t i = 0; i < c->count; i++) {
		const struct milter_mail_field *f = &c->fields[i];

		if (!f->own && span_ieq(f->name, name) && --index == 0)
			return i;
	}
	return SIZE_MAX;
}

bool
milter_mail_change(struct milter_mail *c, size_t index, struct span name,
    struct span value, bool raw_value)
{
	const size_t at = milter_mail_find(c, index, name);

	if (at == SIZE_MAX)
		return milter_mail_add(c, name, value, raw_value);
	return make_field(c, name, value, raw_value, &c->fields[at]);
}

void
milter_mail_delete(struct milter_mail *c, size_t index, struct span name)
{
	const size_t at = milter_mail_find(c, index, name);

	if (at == SIZE_MAX)
		return;
	c->count--;
	memmove(c->fields + at, c->fields + at + 1,
	    (c->count - at) * sizeof(*c->fields));
}

bool
milter_mail_replace(struct milter_mail *c, struct span bytes, uint64_t max)
{
	size_t from = 0;

	if (c->new_body == NULL) {
		c->new_body = spool_new(c->loop, c->dir, MEMORY_MAX);
		c->cr = c->line_open = false;
	}
	if (max > 0 && spool_size(c->new_body) + bytes.n > max)
		return false;
	for (size_t i = 0; i < bytes.n; i++) {
		if (bytes.p[i] == '\n' && !c->cr) {
			spool_add(c->new_body, span_slice(bytes, from, i));
			spool_add(c->new_body, SPAN("\r"));
			from = i;
		}
		c->cr = bytes.p[i] == '\r';
		c->line_open = bytes.p[i] != '\n';
	}
	spool_add(c->new_body, span_skip(bytes, from));
	return true;
}

bool
milter_mail_replace_busy(
    struct milter_mail *c, void (*ready)(void *arg), void *arg)
{
	return c->new_body != NULL && spool_busy(c->new_body, ready, arg);
}

void
milter_mail_replaced(struct milter_mail *c, bool keep)
{
	if (!keep)
		spool_free(&c->new_body);
	if (c->new_body == NULL)
		return;
	if (c->line_open)
		spool_add(c->new_body, c->cr ? SPAN("\n") : SPAN("\r\n"));
	spool_free(&c->body);
	c->body = c->new_body;
	c->new_body = NULL;
	if (c->gap.n == 0)
		c->gap = SPAN("\r\n");
}

/* ---- giving it away ---- */

static void
on_piece(void *arg, struct span bytes, const struct err *e)
{
	struct milter_mail *c = arg;

	if (e != NULL || bytes.n == 0) {
		c->sink.done(c->sink.arg, e);
		return;
	}
	c->sent_at += bytes.n;
	if (c->sink.out(c->sink.arg, bytes))
		milter_mail_go_on(c);
}

void
milter_mail_go_on(struct milter_mail *c)
{
	bool more = true;

	if (!c->header_sent) {
		struct buf all;

		c->header_sent = true;
		buf_init(&all, 4 * LIMIT_HEADER);
		for (size_t i = 0; i < c->count; i++) {
			buf_add(&all, c->fields[i].raw);
			if (!span_ends(c->fields[i].raw, SPAN("\n")))
				buf_str(&all, "\r\n");
		}
		buf_add(&all, c->gap);
		more = all.n == 0 || c->sink.out(c->sink.arg, buf_span(&all));
		buf_release(&all);
	}
	if (more)
		milter_mail_read_body(c, c->sent_at, READ_SIZE, on_piece, c);
}

void
milter_mail_send(struct milter_mail *c, const struct milter_mail_sink *sink)
{
	c->sink = *sink;
	c->header_sent = false;
	c->sent_at = 0;
	milter_mail_go_on(c);
}
