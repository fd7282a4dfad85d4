/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/session.h"

#include <errno.h>

#include "lib/base/mem.h"
#include "lib/proto/date.h"
#include "lib/proto/envelope.h"
#include "lib/proto/header.h"
#include "lib/proto/imap_body.h"
#include "lib/proto/imap_print.h"

enum {
	SECTION_SCRATCH = 8 << 20, /* fields put together: a header at most */
	COPY_MAX = 16384,	   /* longer literals go out uncopied */
};

/* ---- the message in hand ---- */

void
session_forget_text(struct session *s)
{
	if (s->text_uid == 0)
		return;
	if (s->mime_ready)
		mime_release(&s->mime);
	s->mime_ready = false;
	message_text_release(&s->text);
	s->text_uid = 0;
}

int
session_text(struct session *s, uint32_t seq, bool structure, struct err *e)
{
	const uint32_t uid = mailbox_message(s->box, seq)->uid;

	if (s->text_uid != uid) {
		session_forget_text(s);
		if (mailbox_text(s->box, seq, &s->text, e) != 0)
			return -1;
		s->text_uid = uid;
	}
	if (structure && !s->mime_ready) {
		mime_parse(s->text.bytes, &s->mime);
		s->mime_ready = true;
	}
	return 0;
}

static struct span
header_of(struct span message)
{
	size_t end;

	if (header_end(message, &end) != PARSE_OK)
		return message;
	return span_slice(message, 0, end);
}

/* ---- items ---- */

static bool
needs_structure(const struct imap_fetch *f)
{
	return f->kind == FETCH_BODY || f->kind == FETCH_BODYSTRUCTURE ||
	       (f->kind == FETCH_BODY_SECTION && f->section.part_count > 0);
}

static bool
needs_text(const struct imap_fetch *f)
{
	return f->kind != FETCH_FLAGS && f->kind != FETCH_INTERNALDATE &&
	       f->kind != FETCH_RFC822_SIZE && f->kind != FETCH_UID;
}

/* A section without part numbers needs no structure, only the header's
 * end. */
static bool
top_section(struct session *s, const struct imap_section *section,
    struct buf *scratch, struct span *out)
{
	const struct span message = s->text.bytes;
	const struct span header = header_of(message);

	switch (section->kind) {
	case SECTION_ALL:
		*out = message;
		return true;
	case SECTION_HEADER:
		*out = header;
		return true;
	case SECTION_TEXT:
		*out = span_skip(message, header.n);
		return true;
	case SECTION_FIELDS:
	case SECTION_FIELDS_NOT:
		imap_body_fields(header, section, scratch);
		*out = buf_span(scratch);
		return true;
	case SECTION_MIME:
		break;
	}
	return false;
}

static void
print_literal(struct session *s, struct span bytes)
{
	struct buf *out = session_out(s);

	buf_fmt(out, "{%zu}\r\n", bytes.n);
	if (bytes.n <= COPY_MAX)
		buf_add(out, bytes);
	else
		session_send(s, bytes);
}

static void
print_section(struct session *s, const struct imap_fetch *f)
{
	const struct imap_section *section = &f->section;
	struct buf scratch, *out = session_out(s);
	struct span bytes;
	bool there;

	buf_init(&scratch, SECTION_SCRATCH);
	there = section->part_count == 0
		    ? top_section(s, section, &scratch, &bytes)
		    : imap_body_section(&s->mime, section, &scratch, &bytes);
	buf_fmt(out, "BODY[%.*s]", SPAN_FMT(section->text));
	if (f->partial)
		buf_fmt(out, "<%u>", f->from);
	buf_byte(out, ' ');
	if (there && f->partial)
		bytes = span_slice(bytes, f->from, (size_t)f->from + f->count);
	if (there)
		print_literal(s, bytes);
	else
		buf_str(out, "NIL");
	buf_release(&scratch);
}

static void
print_date(const struct message *m, struct buf *out)
{
	buf_str(out, "INTERNALDATE \"");
	date_print_imap(out, m->internal_s, m->internal_zone_min);
	buf_byte(out, '"');
}

static void
print_item(
    struct session *s, const struct message *m, const struct imap_fetch *f)
{
	struct buf *out = session_out(s);
	const struct span text = s->text.bytes;

	switch (f->kind) {
	case FETCH_BODY_SECTION:
		print_section(s, f);
		return;
	case FETCH_BODY:
	case FETCH_BODYSTRUCTURE:
		buf_str(
		    out, f->kind == FETCH_BODY ? "BODY " : "BODYSTRUCTURE ");
		imap_body_structure(
		    &s->mime, f->kind == FETCH_BODYSTRUCTURE, out);
		return;
	case FETCH_ENVELOPE:
		buf_str(out, "ENVELOPE ");
		envelope_print(header_of(text), out);
		return;
	case FETCH_FLAGS:
		buf_str(out, "FLAGS ");
		session_print_flags(s, m, out);
		return;
	case FETCH_INTERNALDATE:
		print_date(m, out);
		return;
	case FETCH_RFC822:
		buf_str(out, "RFC822 ");
		print_literal(s, text);
		return;
	case FETCH_RFC822_HEADER:
		buf_str(out, "RFC822.HEADER ");
		print_literal(s, header_of(text));
		return;
	case FETCH_RFC822_SIZE:
		buf_fmt(out, "RFC822.SIZE %u", m->size);
		return;
	case FETCH_RFC822_TEXT:
		buf_str(out, "RFC822.TEXT ");
		print_literal(s, span_skip(text, header_of(text).n));
		return;
	case FETCH_UID:
		buf_fmt(out, "UID %u", m->uid);
		return;
	}
}

/* ---- the command ---- */

struct plan {
	bool text, structure, flags, uid, marks_seen;
};

static struct plan
make_plan(const struct imap_cmd *c)
{
	struct plan p = { 0 };

	for (const struct imap_fetch *f = c->fetch; f != NULL; f = f->next) {
		p.text |= needs_text(f);
		p.structure |= needs_structure(f);
		p.flags |= f->kind == FETCH_FLAGS;
		p.uid |= f->kind == FETCH_UID;
		p.marks_seen |= !f->peek;
	}
	return p;
}

/* Reading a body sets \Seen; all of them at once, before the answers that
 * tell. *out_marked has a bit for each of seqs. */
static int
mark_seen(struct session *s, const uint32_t *seqs, size_t count,
    bool *out_marked, struct err *e)
{
	uint32_t *unseen = mem_alloc((count + 1) * sizeof(*unseen));
	size_t n = 0;
	int result = 0;

	for (size_t i = 0; i < count; i++) {
		const struct message *m = mailbox_message(s->box, seqs[i]);

		out_marked[i] = (m->flags & FLAG_SEEN) == 0;
		if (out_marked[i])
			unseen[n++] = seqs[i];
	}
	if (n > 0)
		result = mailbox_set_flags(
		    s->box, unseen, n, FLAGS_ADD, FLAG_SEEN, 0, e);
	mem_free(unseen);
	return result;
}

static void
print_message(struct session *s, const struct imap_cmd *c, uint32_t seq,
    const struct plan *p, bool marked)
{
	const struct message *m = mailbox_message(s->box, seq);
	struct buf *out = session_out(s);
	const char *space = "";

	session_announce(s, m->keywords);
	buf_fmt(out, "* %u FETCH (", seq);
	if (c->uid && !p->uid) {
		buf_fmt(out, "UID %u", m->uid);
		space = " ";
	}
	for (const struct imap_fetch *f = c->fetch; f != NULL; f = f->next) {
		buf_str(out, space);
		print_item(s, m, f);
		space = " ";
	}
	if (marked && !p->flags) {
		buf_str(out, " FLAGS ");
		session_print_flags(s, m, out);
	}
	buf_str(out, ")\r\n");
}

/* 1: one message less; it was removed by someone else meanwhile. */
static int
fetch_one(struct session *s, const struct imap_cmd *c, uint32_t seq,
    const struct plan *p, bool marked, struct err *e)
{
	if (p->text && session_text(s, seq, p->structure, e) != 0)
		return e->sysno == ENOENT ? 1 : -1;
	print_message(s, c, seq, p, marked);
	session_flush_some(s);
	return 0;
}

static void
fetch_all(struct session *s, const struct imap_cmd *c, const uint32_t *seqs,
    size_t count)
{
	bool *marked = mem_zalloc((count + 1) * sizeof(*marked));
	const struct plan p = make_plan(c);
	struct err e = { 0 };
	size_t gone = 0;
	int result = 0;

	if (p.marks_seen && !mailbox_read_only(s->box))
		result = mark_seen(s, seqs, count, marked, &e);
	for (size_t i = 0; i < count && result >= 0 && !s->closing; i++) {
		result = fetch_one(s, c, seqs[i], &p, marked[i], &e);
		gone += result == 1;
	}
	mem_free(marked);
	if (result < 0)
		session_error(s, &e, NULL);
	else if (gone > 0)
		session_ok_code(
		    s, "EXPUNGEISSUED", "Some of the messages are gone");
	else
		session_ok(s, "Fetch completed");
}

void
session_fetch(struct session *s, const struct imap_cmd *c)
{
	size_t count;
	uint32_t *seqs = session_seqs(s, c, &count);

	if (seqs == NULL)
		return;
	fetch_all(s, c, seqs, count);
	mem_free(seqs);
}
