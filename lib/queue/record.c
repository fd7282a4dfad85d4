/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/record.h"

#include <endian.h>

#include "lib/base/crc.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

static const uint8_t magic[8] = { 'c', 'h', 'a', 'p', 'p', 'e', 'Q', '\n' };

enum { MARK_TODO = ' ', MARK_DONE = 'D', MARK_BOUNCED = 'B' };

/* Fields of the envelope and of a recipient: never reuse a number. */
enum envelope_field {
	ENV_TRACE = 1,
	ENV_ARRIVAL,
	ENV_SENDER,
	ENV_ENVID,
	ENV_RET,
	ENV_ENCODING,
	ENV_CLIENT_NAME,
	ENV_CLIENT_ADDR,
	ENV_HELO,
	ENV_PROTOCOL,
	ENV_SASL_USER,
	ENV_SASL_METHOD,
	ENV_MESSAGE_ID,
	ENV_UID,
	ENV_SMTPUTF8,
	ENV_BIRTH,
	ENV_FILTER,
	ENV_RELEASE_AT,
	ENV_REQUIRETLS,
	ENV_TLS_OPTIONAL,
	ENV_PROBE,
};
enum rcpt_field {
	RCPT_ADDRESS = 1,
	RCPT_ORIG_ADDRESS,
	RCPT_TRANSPORT,
	RCPT_NEXTHOP,
	RCPT_ORCPT,
	RCPT_NOTIFY,
	RCPT_FLAGS,
};

/* ---- numbers ---- */
static void
put16(struct buf *b, uint16_t v)
{
	v = htole16(v);
	buf_add(b, span_of(&v, sizeof(v)));
}

static void
put32(struct buf *b, uint32_t v)
{
	v = htole32(v);
	buf_add(b, span_of(&v, sizeof(v)));
}

static void
put64(struct buf *b, uint64_t v)
{
	v = htole64(v);
	buf_add(b, span_of(&v, sizeof(v)));
}

static uint16_t
get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t
get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return le32toh(v);
}

static uint64_t
get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return le64toh(v);
}

/* ---- the head ---- */
void
record_header_put(struct buf *b, const struct record_header *h)
{
	const size_t at = b->n;

	buf_add(b, span_of(magic, sizeof(magic)));
	put16(b, RECORD_VERSION);
	put16(b, RECORD_HEADER);
	put32(b, h->rcpt_count);
	put64(b, h->id.n);
	put64(b, h->envelope_size);
	put64(b, h->content_at);
	put64(b, h->content_size);
	put64(b, h->more_size);
	put32(b, h->content_crc);
	put32(b, 0);
	put32(b, 0);
	put32(b, crc32c(0, span_skip(buf_span(b), at)));
}

uint64_t
record_header_end(const struct record_header *h)
{
	return h->content_at + h->content_size + h->more_size + RECORD_END;
}

/* Sizes that no sum can overflow with. */
static bool
header_plausible(const struct record_header *h)
{
	const uint64_t max = (uint64_t)1 << 48;

	return h->id.n != 0 && h->envelope_size < max && h->content_at < max &&
	       h->content_size < max && h->more_size < max &&
	       h->content_at >= RECORD_HEADER + h->envelope_size &&
	       h->rcpt_count <= LIMIT_RCPT &&
	       h->rcpt_count <=
		   (h->envelope_size + h->more_size) / RECORD_FRAME;
}

enum parse
record_header_get(struct span in, struct record_header *out)
{
	struct record_header h;
	const size_t known = in.n < sizeof(magic) ? in.n : sizeof(magic);

	if (known > 0 && memcmp(in.p, magic, known) != 0)
		return PARSE_BAD;
	if (in.n < RECORD_HEADER)
		return PARSE_MORE;
	if (get16(in.p + 8) != RECORD_VERSION ||
	    get16(in.p + 10) != RECORD_HEADER ||
	    get32(in.p + 68) != crc32c(0, span_slice(in, 0, 68)))
		return PARSE_BAD;
	h = (struct record_header){
		.rcpt_count = get32(in.p + 12),
		.id = { get64(in.p + 16) },
		.envelope_size = get64(in.p + 24),
		.content_at = get64(in.p + 32),
		.content_size = get64(in.p + 40),
		.more_size = get64(in.p + 48),
		.content_crc = get32(in.p + 56),
	};
	if (!header_plausible(&h))
		return PARSE_BAD;
	*out = h;
	return PARSE_OK;
}

/* ---- records ---- */
/* Begins a record; returns where it stands. */
static size_t
begin(struct buf *b, enum record_type type)
{
	const uint8_t frame[RECORD_FRAME] = { (uint8_t)type };
	const size_t at = b->n;

	buf_add(b, span_of(frame, sizeof(frame)));
	return at;
}

/* The checksum leaves the mark byte out. */
static uint32_t
frame_crc(const uint8_t *frame, struct span data)
{
	uint8_t head[8];

	memcpy(head, frame, sizeof(head));
	head[RECORD_MARK_AT] = 0;
	return crc32c(crc32c(0, span_of(head, sizeof(head))), data);
}

static void
finish(struct buf *b, size_t at)
{
	uint8_t *frame;
	struct span data;
	uint32_t v;

	if (!buf_ok(b))
		return;
	frame = b->p + at;
	data = span_of(frame + RECORD_FRAME, b->n - at - RECORD_FRAME);
	v = htole32((uint32_t)data.n);
	memcpy(frame + 4, &v, sizeof(v));
	v = htole32(frame_crc(frame, data));
	memcpy(frame + 8, &v, sizeof(v));
}

enum parse
record_get(
    struct span in, size_t data_max, struct record *out, size_t *out_used)
{
	struct span data;
	size_t n;

	if (in.n < RECORD_FRAME)
		return PARSE_MORE;
	n = get32(in.p + 4);
	if (n > data_max)
		return PARSE_BAD;
	if (in.n - RECORD_FRAME < n)
		return PARSE_MORE;
	data = span_of(in.p + RECORD_FRAME, n);
	if (get32(in.p + 8) != frame_crc(in.p, data))
		return PARSE_BAD;
	*out = (struct record){ in.p[0], in.p[RECORD_MARK_AT], data };
	*out_used = RECORD_FRAME + n;
	return PARSE_OK;
}

/* ---- fields: number, length, bytes; empty ones are left out ---- */
static void
put_field(struct buf *b, unsigned field, struct span s)
{
	if (s.n == 0)
		return;
	BUG_ON(s.n > UINT16_MAX);
	buf_byte(b, (uint8_t)field);
	put16(b, (uint16_t)s.n);
	buf_add(b, s);
}

static void
put_number(struct buf *b, unsigned field, uint64_t v)
{
	if (v == 0)
		return;
	v = htole64(v);
	put_field(b, field, span_of(&v, sizeof(v)));
}

struct field {
	unsigned number;
	struct span value;
};

/* 1 one, 0 the end, -1 damaged. */
static int
next_field(struct span *rest, struct field *out)
{
	size_t n;

	if (rest->n == 0)
		return 0;
	if (rest->n < 3)
		return -1;
	n = get16(rest->p + 1);
	if (rest->n - 3 < n)
		return -1;
	*out = (struct field){ rest->p[0], span_of(rest->p + 3, n) };
	*rest = span_skip(*rest, 3 + n);
	return 1;
}

static uint64_t
number(const struct field *f)
{
	return f->value.n == 8 ? get64(f->value.p) : 0;
}

void
record_envelope_put(struct buf *b, const struct queue_envelope *env)
{
	const size_t at = begin(b, RECORD_T_ENVELOPE);

	put_number(b, ENV_TRACE, env->trace);
	put_number(b, ENV_ARRIVAL, (uint64_t)env->arrival_us);
	put_field(b, ENV_SENDER, env->sender);
	put_field(b, ENV_ENVID, env->dsn_envid);
	put_number(b, ENV_RET, env->dsn_ret);
	put_field(b, ENV_ENCODING, env->encoding);
	put_field(b, ENV_CLIENT_NAME, env->client_name);
	put_field(b, ENV_CLIENT_ADDR, env->client_addr);
	put_field(b, ENV_HELO, env->helo);
	put_field(b, ENV_PROTOCOL, env->protocol);
	put_field(b, ENV_SASL_USER, env->sasl_user);
	put_field(b, ENV_SASL_METHOD, env->sasl_method);
	put_field(b, ENV_MESSAGE_ID, env->message_id);
	/* 0 is root, and 0 is left out: so one more. */
	put_number(b, ENV_UID, (uint64_t)(env->uid + 1));
	put_number(b, ENV_SMTPUTF8, env->smtputf8);
	put_number(b, ENV_BIRTH, env->birth);
	put_field(b, ENV_FILTER, env->filter);
	put_number(b, ENV_RELEASE_AT, (uint64_t)env->release_at_s);
	put_number(b, ENV_REQUIRETLS, env->requiretls);
	put_number(b, ENV_TLS_OPTIONAL, env->tls_optional);
	put_number(b, ENV_PROBE, env->probe);
	finish(b, at);
}

static void
envelope_field(struct queue_envelope *env, const struct field *f)
{
	switch (f->number) {
	case ENV_TRACE:
		env->trace = number(f);
		break;
	case ENV_ARRIVAL:
		env->arrival_us = (int64_t)number(f);
		break;
	case ENV_SENDER:
		env->sender = f->value;
		break;
	case ENV_ENVID:
		env->dsn_envid = f->value;
		break;
	case ENV_RET:
		env->dsn_ret =
		    number(f) == DSN_RET_FULL ? DSN_RET_FULL : DSN_RET_HDRS;
		break;
	case ENV_ENCODING:
		env->encoding = f->value;
		break;
	case ENV_CLIENT_NAME:
		env->client_name = f->value;
		break;
	case ENV_CLIENT_ADDR:
		env->client_addr = f->value;
		break;
	case ENV_HELO:
		env->helo = f->value;
		break;
	case ENV_PROTOCOL:
		env->protocol = f->value;
		break;
	case ENV_SASL_USER:
		env->sasl_user = f->value;
		break;
	case ENV_SASL_METHOD:
		env->sasl_method = f->value;
		break;
	case ENV_MESSAGE_ID:
		env->message_id = f->value;
		break;
	case ENV_UID:
		env->uid = (int64_t)number(f) - 1;
		break;
	case ENV_SMTPUTF8:
		env->smtputf8 = number(f) != 0;
		break;
	case ENV_BIRTH:
		env->birth =
		    number(f) == QUEUE_HOLD ? QUEUE_HOLD : QUEUE_ACTIVE;
		break;
	case ENV_FILTER:
		env->filter = f->value;
		break;
	case ENV_RELEASE_AT:
		env->release_at_s = (int64_t)number(f);
		break;
	case ENV_REQUIRETLS:
		env->requiretls = number(f) != 0;
		break;
	case ENV_TLS_OPTIONAL:
		env->tls_optional = number(f) != 0;
		break;
	case ENV_PROBE:
		env->probe = number(f) != 0;
		break;
	}
}

bool
record_envelope_get(const struct record *r, struct queue_envelope *out)
{
	struct queue_envelope env = { .uid = -1, .birth = QUEUE_ACTIVE };
	struct span rest = r->data;
	struct field f;
	int got;

	if (r->type != RECORD_T_ENVELOPE)
		return false;
	while ((got = next_field(&rest, &f)) > 0)
		envelope_field(&env, &f);
	if (got < 0 || env.arrival_us < 0)
		return false;
	*out = env;
	return true;
}

void
record_rcpt_put(struct buf *b, const struct queue_rcpt *rcpt)
{
	const size_t at = begin(b, RECORD_T_RCPT);

	put_field(b, RCPT_ADDRESS, rcpt->address);
	if (!span_eq(rcpt->orig_address, rcpt->address))
		put_field(b, RCPT_ORIG_ADDRESS, rcpt->orig_address);
	put_field(b, RCPT_TRANSPORT, rcpt->transport);
	put_field(b, RCPT_NEXTHOP, rcpt->nexthop);
	put_field(b, RCPT_ORCPT, rcpt->dsn_orcpt);
	put_number(b, RCPT_NOTIFY, rcpt->dsn_notify);
	put_number(b, RCPT_FLAGS, rcpt->flags);
	if (buf_ok(b))
		b->p[at + RECORD_MARK_AT] = MARK_TODO;
	finish(b, at);
}

static void
rcpt_field(struct queue_rcpt *rcpt, const struct field *f)
{
	switch (f->number) {
	case RCPT_ADDRESS:
		rcpt->address = f->value;
		break;
	case RCPT_ORIG_ADDRESS:
		rcpt->orig_address = f->value;
		break;
	case RCPT_TRANSPORT:
		rcpt->transport = f->value;
		break;
	case RCPT_NEXTHOP:
		rcpt->nexthop = f->value;
		break;
	case RCPT_ORCPT:
		rcpt->dsn_orcpt = f->value;
		break;
	case RCPT_NOTIFY:
		rcpt->dsn_notify = (uint32_t)number(f);
		break;
	case RCPT_FLAGS:
		rcpt->flags = (uint32_t)number(f);
		break;
	}
}

bool
record_rcpt_get(const struct record *r, struct queue_rcpt *out)
{
	struct queue_rcpt rcpt = { 0 };
	struct span rest = r->data;
	struct field f;
	int got;

	if (r->type != RECORD_T_RCPT)
		return false;
	while ((got = next_field(&rest, &f)) > 0)
		rcpt_field(&rcpt, &f);
	if (got < 0 || rcpt.address.n == 0)
		return false;
	if (rcpt.orig_address.n == 0)
		rcpt.orig_address = rcpt.address;
	*out = rcpt;
	return true;
}

enum rcpt_state
record_mark_state(uint8_t mark)
{
	if (mark == MARK_DONE)
		return RCPT_DONE;
	return mark == MARK_BOUNCED ? RCPT_BOUNCED : RCPT_TODO;
}

uint8_t
record_mark_byte(enum rcpt_state state)
{
	switch (state) {
	case RCPT_TODO:
		return MARK_TODO;
	case RCPT_DONE:
		return MARK_DONE;
	case RCPT_BOUNCED:
		return MARK_BOUNCED;
	}
	BUG_ON(true);
}

void
record_end_put(struct buf *b, const struct record_header *h)
{
	const size_t at = begin(b, RECORD_T_END);

	put64(b, h->id.n);
	put64(b, record_header_end(h));
	finish(b, at);
}

bool
record_end_get(const struct record *r, const struct record_header *h)
{
	return r->type == RECORD_T_END && r->data.n == 16 &&
	       get64(r->data.p) == h->id.n &&
	       get64(r->data.p + 8) == record_header_end(h);
}

/* ---- notes ---- */
enum { NOTES_HEAD = 16, NOTE_HEAD = 13 };

static struct span
cut(struct span s)
{
	return span_slice(s, 0, UINT16_MAX);
}

static void
put_text(struct buf *b, struct span s)
{
	s = cut(s);
	put16(b, (uint16_t)s.n);
	buf_add(b, s);
}

static bool
same_texts(const struct queue_note *a, const struct queue_note *b)
{
	return span_eq(cut(a->dsn), cut(b->dsn)) &&
	       span_eq(cut(a->reason), cut(b->reason)) &&
	       span_eq(cut(a->remote), cut(b->remote));
}

void
record_notes_put(struct buf *b, int64_t next_try_s, uint32_t tries,
    const struct queue_note *n, size_t count)
{
	const size_t at = begin(b, RECORD_T_NOTES);

	put64(b, (uint64_t)next_try_s);
	put32(b, tries);
	put32(b, (uint32_t)count);
	for (size_t i = 0; i < count; i++) {
		/* Many recipients fail for one reason: it stands once. */
		const bool same = i > 0 && same_texts(&n[i], &n[i - 1]);

		put32(b, n[i].rcpt_index);
		put64(b, (uint64_t)n[i].at_us);
		buf_byte(b, same);
		if (same)
			continue;
		put_text(b, n[i].dsn);
		put_text(b, n[i].reason);
		put_text(b, n[i].remote);
	}
	finish(b, at);
}

bool
record_notes_get(const struct record *r, struct record_notes *out)
{
	if (r->type != RECORD_T_NOTES || r->data.n < NOTES_HEAD)
		return false;
	*out = (struct record_notes){
		.next_try_s = (int64_t)get64(r->data.p),
		.tries = get32(r->data.p + 8),
		.count = get32(r->data.p + 12),
		.entries = span_skip(r->data, NOTES_HEAD),
	};
	return out->count <= out->entries.n / NOTE_HEAD;
}

static bool
get_text(struct span *rest, struct span *out)
{
	size_t n;

	if (rest->n < 2)
		return false;
	n = get16(rest->p);
	if (rest->n - 2 < n)
		return false;
	*out = span_slice(*rest, 2, 2 + n);
	*rest = span_skip(*rest, 2 + n);
	return true;
}

bool
record_notes_next(const struct record_notes *n, struct record_notes_iter *it,
    struct queue_note *out)
{
	struct span rest = span_skip(n->entries, it->at);
	struct queue_note note = it->last;
	bool same;

	if (rest.n < NOTE_HEAD)
		return false;
	note.rcpt_index = get32(rest.p);
	note.at_us = (int64_t)get64(rest.p + 4);
	same = rest.p[12] != 0;
	rest = span_skip(rest, NOTE_HEAD);
	if (!same &&
	    (!get_text(&rest, &note.dsn) || !get_text(&rest, &note.reason) ||
		!get_text(&rest, &note.remote)))
		return false;
	it->at = n->entries.n - rest.n;
	it->last = note;
	*out = note;
	return true;
}
