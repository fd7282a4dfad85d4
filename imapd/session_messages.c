/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/session.h"

#include "lib/base/mem.h"
#include "lib/proto/seqset.h"

enum { UIDS_TEXT_MAX = 8 << 20 };

/* ---- sets ---- */

static uint32_t *
by_uid(struct session *s, struct seqset set, size_t *out_count)
{
	const uint32_t count = mailbox_count(s->box);
	uint32_t *seqs = mem_alloc((count + (size_t)1) * sizeof(*seqs));
	size_t n = 0;

	seqset_resolve(
	    &set, count > 0 ? mailbox_message(s->box, count)->uid : 0);
	for (size_t i = 0; i < set.count; i++) {
		uint32_t seq = mailbox_seq_from(s->box, set.ranges[i].from);

		for (; seq > 0 && seq <= count &&
		       mailbox_message(s->box, seq)->uid <= set.ranges[i].to;
		     seq++)
			seqs[n++] = seq;
	}
	*out_count = n;
	return seqs;
}

/* Numbers must name messages (RFC 3501 9, seq-number); but "1:*" in an empty
 * mailbox is asked by so many that it means nothing rather than an error. */
static uint32_t *
by_number(struct session *s, const struct imap_cmd *c, size_t *out_count)
{
	const uint32_t count = mailbox_count(s->box);
	struct seqset set = c->set;
	uint32_t *seqs;
	size_t n = 0;

	seqset_resolve(&set, count);
	if (count == 0 && span_chr(c->set_text, '*') != SIZE_MAX)
		set.count = 0;
	if (set.count > 0 && set.ranges[set.count - 1].to > count) {
		session_bad(s, "Message number out of range");
		return NULL;
	}
	seqs = mem_alloc((count + (size_t)1) * sizeof(*seqs));
	for (size_t i = 0; i < set.count; i++)
		for (uint32_t q = set.ranges[i].from; q <= set.ranges[i].to;
		     q++)
			seqs[n++] = q;
	*out_count = n;
	return seqs;
}

uint32_t *
session_seqs(struct session *s, const struct imap_cmd *c, size_t *out_count)
{
	return c->uid ? by_uid(s, c->set, out_count)
		      : by_number(s, c, out_count);
}

/* ---- STORE ---- */

/* False: it was answered. */
static bool
keyword_bits(struct session *s, const struct imap_cmd *c, uint64_t *out)
{
	const bool create = c->store_mode != STORE_REMOVE;
	uint64_t bits = 0;

	for (size_t i = 0; i < c->flags.keyword_count; i++) {
		const int n =
		    mailbox_keyword_find(s->box, c->flags.keywords[i], create);

		if (n >= 0) {
			bits |= UINT64_C(1) << n;
		} else if (create) {
			session_no(s, "LIMIT", "Too many keywords");
			return false;
		}
	}
	*out = bits;
	return true;
}

static enum flag_op
flag_op(enum imap_store_mode mode)
{
	switch (mode) {
	case STORE_SET:
		return FLAGS_SET;
	case STORE_ADD:
		return FLAGS_ADD;
	case STORE_REMOVE:
		break;
	}
	return FLAGS_REMOVE;
}

static void
print_stored(struct session *s, const struct imap_cmd *c, const uint32_t *seqs,
    size_t count)
{
	struct buf *out = session_out(s);

	for (size_t i = 0; i < count && !s->closing; i++) {
		const struct message *m = mailbox_message(s->box, seqs[i]);

		session_announce(s, m->keywords);
		buf_fmt(out, "* %u FETCH (", seqs[i]);
		if (c->uid)
			buf_fmt(out, "UID %u ", m->uid);
		buf_str(out, "FLAGS ");
		session_print_flags(s, m, out);
		buf_str(out, ")\r\n");
		session_flush_some(s);
	}
}

/* False (and answered) when the mailbox was only EXAMINEd. */
static bool
writable(struct session *s)
{
	if (!mailbox_read_only(s->box))
		return true;
	session_no(s, "READ-ONLY", "Mailbox is read-only");
	return false;
}

void
session_store(struct session *s, const struct imap_cmd *c)
{
	struct err e = { 0 };
	uint64_t keywords;
	uint32_t *seqs;
	size_t count;

	if (!writable(s) || !keyword_bits(s, c, &keywords))
		return;
	seqs = session_seqs(s, c, &count);
	if (seqs == NULL)
		return;
	if (count > 0 &&
	    mailbox_set_flags(s->box, seqs, count, flag_op(c->store_mode),
		(uint8_t)c->flags.system, keywords, &e) != 0) {
		session_error(s, &e, NULL);
	} else {
		if (!c->silent)
			print_stored(s, c, seqs, count);
		else
			session_announce(s, keywords);
		session_ok(s, "Store completed");
	}
	mem_free(seqs);
}

/* ---- COPY, MOVE ---- */

/* "COPYUID validity from to" (RFC 4315 3). Both sets are in the order of the
 * messages; the new uids ascend, as they were given in that order. */
static void
print_copyuid(struct buf *b, uint32_t validity, const uint32_t *from,
    const uint32_t *to, size_t count)
{
	struct seqset_writer w;

	buf_fmt(b, "COPYUID %u ", validity);
	seqset_writer_init(&w, b);
	for (size_t i = 0; i < count; i++)
		seqset_writer_add(&w, from[i]);
	seqset_writer_finish(&w);
	buf_byte(b, ' ');
	seqset_writer_init(&w, b);
	for (size_t i = 0; i < count; i++)
		seqset_writer_add(&w, to[i]);
	seqset_writer_finish(&w);
}

static void
copied(struct session *s, const struct imap_cmd *c, const char *code)
{
	if (c->verb != IMAP_MOVE) {
		session_ok_code(s, code, "Copy completed");
		return;
	}
	/* The code comes before the EXPUNGEs (RFC 6851 4.3). */
	if (code != NULL)
		buf_fmt(session_out(s), "* OK [%s] Moved\r\n", code);
	session_sync(s, true);
	session_ok(s, "Move completed");
}

static void
copy(struct session *s, const struct imap_cmd *c, struct span target,
    const uint32_t *seqs, size_t count)
{
	uint32_t *from = mem_alloc(count * sizeof(*from));
	uint32_t *to = mem_zalloc(count * sizeof(*to));
	struct err e = { 0 };
	uint32_t validity;
	struct buf code;

	buf_init(&code, UIDS_TEXT_MAX);
	for (size_t i = 0; i < count; i++)
		from[i] = mailbox_message(s->box, seqs[i])->uid;
	if (mailbox_copy(s->box, seqs, count, target, c->verb == IMAP_MOVE, to,
		&validity, &e) != 0) {
		session_error(s, &e, "TRYCREATE");
	} else {
		session_quota(s);
		print_copyuid(&code, validity, from, to, count);
		copied(s, c, buf_ok(&code) ? buf_cstr(&code) : NULL);
	}
	buf_release(&code);
	mem_free(from);
	mem_free(to);
}

void
session_copy(struct session *s, const struct imap_cmd *c)
{
	struct buf target;
	uint32_t *seqs;
	size_t count;

	if (c->verb == IMAP_MOVE && !writable(s))
		return;
	if (!session_name(s, c->mailbox, &target))
		return;
	seqs = session_seqs(s, c, &count);
	if (seqs != NULL && count == 0)
		session_ok(s, "No messages to copy");
	else if (seqs != NULL)
		copy(s, c, buf_span(&target), seqs, count);
	mem_free(seqs);
	buf_release(&target);
}

/* ---- EXPUNGE ---- */

void
session_expunge(struct session *s, const struct imap_cmd *c)
{
	const uint32_t total = mailbox_count(s->box);
	struct seqset set = c->set;
	struct err e = { 0 };
	uint32_t *uids;
	size_t n = 0;

	if (!writable(s))
		return;
	uids = mem_alloc((total + (size_t)1) * sizeof(*uids));
	seqset_resolve(
	    &set, total > 0 ? mailbox_message(s->box, total)->uid : 0);
	for (uint32_t seq = 1; seq <= total; seq++) {
		const struct message *m = mailbox_message(s->box, seq);

		if ((m->flags & FLAG_DELETED) != 0 &&
		    (!c->uid || seqset_has(&set, m->uid)))
			uids[n++] = m->uid;
	}
	if (n > 0 && mailbox_expunge(s->box, uids, n, &e) != 0) {
		session_error(s, &e, NULL);
	} else {
		session_quota(s);
		session_ok(s, "Expunge completed");
	}
	mem_free(uids);
}
