/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/milter.h"

#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/proto/milter_impl.h"

enum {
	OUTPUT_MAX = 16 << 20,
	HEAD = 5, /* length and letter of a packet */
	MACRO_LIST_MAX = 4096,
	ACTIONS_ALL = (1 << 9) - 1,
	NEGOTIATING = MILTER_STEPS,
	NOTHING = MILTER_STEPS + 1,
	VERSION_MIN = 2,
};

/* Which letter, which bits, and since which version. `lists` is the number
 * under which a filter names its macros, or -1. */
static const struct step_facts {
	const char *name;
	char letter;
	uint32_t no, no_reply;
	unsigned since;
	int lists;
} facts[MILTER_STEPS] = {
	[MILTER_CONNECT] = { "connect", 'C', MILTER_NO_CONNECT,
	    MILTER_NR_CONNECT, 2, 0 },
	[MILTER_HELO] = { "helo", 'H', MILTER_NO_HELO, MILTER_NR_HELO, 2, 1 },
	[MILTER_MAIL] = { "mail", 'M', MILTER_NO_MAIL, MILTER_NR_MAIL, 2, 2 },
	[MILTER_RCPT] = { "rcpt", 'R', MILTER_NO_RCPT, MILTER_NR_RCPT, 2, 3 },
	[MILTER_DATA] = { "data", 'T', MILTER_NO_DATA, MILTER_NR_DATA, 4, 4 },
	[MILTER_UNKNOWN] = { "unknown", 'U', MILTER_NO_UNKNOWN,
	    MILTER_NR_UNKNOWN, 3, -1 },
	[MILTER_HEADER] = { "header", 'L', MILTER_NO_HEADERS, MILTER_NR_HEADER,
	    2, -1 },
	[MILTER_EOH] = { "end of header", 'N', MILTER_NO_EOH, MILTER_NR_EOH, 2,
	    6 },
	[MILTER_BODY] = { "body", 'B', MILTER_NO_BODY, MILTER_NR_BODY, 2, -1 },
	[MILTER_EOM] = { "end of message", 'E', 0, 0, 2, 5 },
};

struct milter {
	unsigned offered; /* version */
	unsigned version; /* agreed upon; 0 before */
	uint32_t protocol, actions;
	int at;	     /* the step that waits, NEGOTIATING or NOTHING */
	int skipped; /* its kind of step, or NOTHING */
	bool failed;
	struct buf packet; /* not yet complete, or just handed out */
	bool handed_out;
	struct buf output, text;
	struct buf lists[MILTER_STEPS];
	bool listed[MILTER_STEPS];
};

const char *
milter_step_name(enum milter_step step)
{
	return facts[step].name;
}

/* ---- what is sent ---- */

static void
put_u32(struct buf *b, uint32_t n)
{
	const uint8_t bytes[4] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16),
		(uint8_t)(n >> 8), (uint8_t)n };

	buf_add(b, span_of(bytes, 4));
}

/* Text ended by NUL, so it may hold none. */
static void
put_text(struct buf *b, struct span s)
{
	size_t nul;

	while ((nul = span_chr(s, 0)) != SIZE_MAX) {
		buf_add(b, span_slice(s, 0, nul));
		buf_byte(b, ' ');
		s = span_skip(s, nul + 1);
	}
	buf_add(b, s);
	buf_byte(b, 0);
}

/* The length is set by packet_end. */
static size_t
packet_begin(struct milter *m, char letter)
{
	const size_t at = m->output.n;

	put_u32(&m->output, 0);
	buf_byte(&m->output, (uint8_t)letter);
	return at;
}

static void
packet_end(struct milter *m, size_t at)
{
	uint32_t n;

	if (!buf_ok(&m->output))
		return;
	n = (uint32_t)(m->output.n - at - 4);
	for (int i = 0; i < 4; i++)
		m->output.p[at + (size_t)i] = (uint8_t)(n >> (24 - 8 * i));
}

static uint32_t
offered_protocol(const struct milter_conf *conf)
{
	uint32_t p = MILTER_NO_CONNECT | MILTER_NO_HELO | MILTER_NO_MAIL |
		     MILTER_NO_RCPT | MILTER_NO_BODY | MILTER_NO_HEADERS |
		     MILTER_NO_EOH;

	if (conf->version >= 3)
		p |= MILTER_NO_UNKNOWN;
	if (conf->version >= 4)
		p |= MILTER_NO_DATA;
	if (conf->version >= 6)
		p |= MILTER_CAN_SKIP | MILTER_RCPT_REJECTED | MILTER_NR_HEADER |
		     MILTER_NR_CONNECT | MILTER_NR_HELO | MILTER_NR_MAIL |
		     MILTER_NR_RCPT | MILTER_NR_DATA | MILTER_NR_UNKNOWN |
		     MILTER_NR_EOH | MILTER_NR_BODY | MILTER_LEADING_SPACE;
	if (conf->no_header_reply)
		p |= MILTER_NR_HEADER;
	return p;
}

struct milter *
milter_new(const struct milter_conf *conf)
{
	struct milter *m = MEM_NEW(m);
	size_t at;

	BUG_ON(conf->version < VERSION_MIN || conf->version > 6);
	m->offered = conf->version;
	m->at = NEGOTIATING;
	m->skipped = NOTHING;
	buf_init(&m->packet, MILTER_REPLY_MAX + HEAD);
	buf_init(&m->output, OUTPUT_MAX);
	buf_init(&m->text, MILTER_REPLY_MAX);
	for (int i = 0; i < MILTER_STEPS; i++)
		buf_init(&m->lists[i], MACRO_LIST_MAX);
	at = packet_begin(m, 'O');
	put_u32(&m->output, conf->version);
	put_u32(&m->output, ACTIONS_ALL);
	put_u32(&m->output, offered_protocol(conf));
	packet_end(m, at);
	return m;
}

void
milter_free(struct milter **ref)
{
	struct milter *m = *ref;

	if (m == NULL)
		return;
	buf_release(&m->packet);
	buf_release(&m->output);
	buf_release(&m->text);
	for (int i = 0; i < MILTER_STEPS; i++)
		buf_release(&m->lists[i]);
	mem_free(m);
	*ref = NULL;
}

struct span
milter_output(const struct milter *m)
{
	return buf_span(&m->output);
}

void
milter_sent(struct milter *m, size_t n)
{
	buf_consume(&m->output, n);
	if (m->output.n == 0)
		buf_release(&m->output);
}

bool
milter_waiting(const struct milter *m)
{
	return m->at != NOTHING;
}

uint32_t
milter_protocol(const struct milter *m)
{
	return m->protocol;
}

uint32_t
milter_actions(const struct milter *m)
{
	return m->actions;
}

static bool
version_has(const struct milter *m, enum milter_step step)
{
	return m->version >= facts[step].since;
}

bool
milter_wants(const struct milter *m, enum milter_step step)
{
	return version_has(m, step) && (m->protocol & facts[step].no) == 0 &&
	       m->skipped != (int)step;
}

const char *
milter_macro_list(struct milter *m, enum milter_step step)
{
	return m->listed[step] ? buf_cstr(&m->lists[step]) : NULL;
}

void
milter_macro(struct buf *macros, const char *name, struct span value)
{
	const size_t before = macros->n;

	put_text(macros, span_str(name));
	put_text(macros, value);
	if (!buf_ok(macros))
		buf_truncate(macros, before);
}

/* ---- steps ---- */

/* Another kind of step ends the skipping of the last. The macros go even
 * where the step itself is not wanted: later ones may refer to them. */
static bool
step_begin(
    struct milter *m, enum milter_step step, struct span macros, size_t *out_at)
{
	BUG_ON(m->at != NOTHING || m->version == 0);
	if (m->failed || !version_has(m, step))
		return false;
	if (m->skipped == (int)step)
		return false;
	m->skipped = NOTHING;
	if (macros.n > 0) {
		const size_t at = packet_begin(m, 'D');

		buf_byte(&m->output, (uint8_t)facts[step].letter);
		buf_add(&m->output, macros);
		packet_end(m, at);
	}
	if ((m->protocol & facts[step].no) != 0)
		return false;
	*out_at = packet_begin(m, facts[step].letter);
	return true;
}

static bool
step_end(struct milter *m, enum milter_step step, size_t at)
{
	packet_end(m, at);
	if ((m->protocol & facts[step].no_reply) != 0 &&
	    facts[step].no_reply != 0)
		return false;
	m->at = (int)step;
	return true;
}

bool
milter_connect(struct milter *m, struct span macros, struct span name,
    enum milter_family family, unsigned port, struct span addr)
{
	size_t at;

	if (!step_begin(m, MILTER_CONNECT, macros, &at))
		return false;
	put_text(&m->output, name);
	buf_byte(&m->output, (uint8_t)family);
	if (family != MILTER_FAMILY_UNKNOWN) {
		buf_byte(&m->output, (uint8_t)(port >> 8));
		buf_byte(&m->output, (uint8_t)port);
		put_text(&m->output, addr);
	}
	return step_end(m, MILTER_CONNECT, at);
}

bool
milter_helo(struct milter *m, struct span macros, struct span name)
{
	size_t at;

	if (!step_begin(m, MILTER_HELO, macros, &at))
		return false;
	put_text(&m->output, name);
	return step_end(m, MILTER_HELO, at);
}

static bool
with_args(struct milter *m, enum milter_step step, struct span macros,
    const struct span *args, size_t count)
{
	size_t at;

	if (!step_begin(m, step, macros, &at))
		return false;
	for (size_t i = 0; i < count; i++)
		put_text(&m->output, args[i]);
	return step_end(m, step, at);
}

bool
milter_mail(
    struct milter *m, struct span macros, const struct span *args, size_t count)
{
	return with_args(m, MILTER_MAIL, macros, args, count);
}

bool
milter_rcpt(
    struct milter *m, struct span macros, const struct span *args, size_t count)
{
	return with_args(m, MILTER_RCPT, macros, args, count);
}

bool
milter_data(struct milter *m, struct span macros)
{
	return with_args(m, MILTER_DATA, macros, NULL, 0);
}

bool
milter_unknown(struct milter *m, struct span macros, struct span line)
{
	return with_args(m, MILTER_UNKNOWN, macros, &line, 1);
}

/* A header's body with its folds as LF, cut at max bytes. */
static void
put_body(struct buf *b, struct span body, size_t max)
{
	const size_t end = b->n + max;

	for (size_t i = 0; i < body.n && b->n < end; i++) {
		const uint8_t c = body.p[i];

		if (c == '\r' && i + 1 < body.n && body.p[i + 1] == '\n')
			continue;
		buf_byte(b, c == 0 ? ' ' : c);
	}
	buf_byte(b, 0);
}

bool
milter_header(struct milter *m, struct span name, struct span body)
{
	size_t at;

	if (!step_begin(m, MILTER_HEADER, SPAN_EMPTY, &at))
		return false;
	name = span_slice(name, 0, MILTER_CHUNK / 2);
	if ((m->protocol & MILTER_LEADING_SPACE) == 0 && body.n > 0 &&
	    body.p[0] == ' ')
		body = span_skip(body, 1);
	put_text(&m->output, name);
	put_body(&m->output, body, MILTER_CHUNK - name.n - 2);
	return step_end(m, MILTER_HEADER, at);
}

bool
milter_eoh(struct milter *m, struct span macros)
{
	return with_args(m, MILTER_EOH, macros, NULL, 0);
}

bool
milter_body(struct milter *m, struct span bytes)
{
	size_t at;

	BUG_ON(bytes.n > MILTER_CHUNK);
	if (!step_begin(m, MILTER_BODY, SPAN_EMPTY, &at))
		return false;
	buf_add(&m->output, bytes);
	return step_end(m, MILTER_BODY, at);
}

bool
milter_eom(struct milter *m, struct span macros)
{
	return with_args(m, MILTER_EOM, macros, NULL, 0);
}

static void
word(struct milter *m, char letter)
{
	packet_end(m, packet_begin(m, letter));
}

void
milter_abort(struct milter *m)
{
	BUG_ON(m->at != NOTHING);
	m->skipped = NOTHING;
	word(m, 'A');
}

void
milter_quit(struct milter *m)
{
	word(m, 'Q');
}

void
milter_quit_nc(struct milter *m)
{
	m->skipped = NOTHING;
	word(m, 'K');
}

/* ---- what comes back ---- */

static void
fail(struct milter *m, struct milter_event *out, const char *why)
{
	m->failed = true;
	*out = (struct milter_event){ .type = MILTER_FAILED, .why = why };
}

static bool
take_lists(struct milter *m, struct span rest)
{
	while (rest.n > 0) {
		struct span names;
		uint32_t number;

		if (!milter_take_u32(&rest, &number) ||
		    !milter_take_text(&rest, &names))
			return false;
		for (int i = 0; i < MILTER_STEPS; i++) {
			if (facts[i].lists < 0 ||
			    (uint32_t)facts[i].lists != number)
				continue;
			buf_reset(&m->lists[i]);
			buf_add(&m->lists[i], names);
			m->listed[i] = true;
		}
	}
	return true;
}

static void
negotiated(struct milter *m, uint8_t letter, struct span data,
    struct milter_event *out)
{
	uint32_t version, actions, protocol;

	if (letter != 'O' || !milter_take_u32(&data, &version) ||
	    !milter_take_u32(&data, &actions) ||
	    !milter_take_u32(&data, &protocol)) {
		fail(m, out, "bad reply to the offer of options");
		return;
	}
	if (version > m->offered || version < VERSION_MIN) {
		fail(m, out,
		    "its protocol version is not one that was "
		    "offered");
		return;
	}
	if ((actions & ~(uint32_t)ACTIONS_ALL) != 0) {
		fail(m, out, "it wants actions that were not offered");
		return;
	}
	if (!take_lists(m, data)) {
		fail(m, out, "malformed list of macros");
		return;
	}
	m->version = version;
	m->actions = actions;
	m->protocol = protocol;
	m->at = NOTHING;
	out->type = MILTER_READY;
}

static void
verdict(struct milter *m, struct milter_event *out)
{
	out->type = MILTER_VERDICT;
	if (out->verdict == MILTER_SKIP)
		m->skipped = m->at;
	m->at = NOTHING;
}

static void
packet(struct milter *m, uint8_t letter, struct span data,
    struct milter_event *out)
{
	if (m->at == NOTHING) {
		fail(m, out, "it speaks unasked");
	} else if (m->at == NEGOTIATING) {
		negotiated(m, letter, data, out);
	} else if (letter == 'p') {
		out->type = MILTER_PROGRESS;
	} else if (letter == 'y') {
		/* Ends in NUL. */
		if (data.n > 0 && data.p[data.n - 1] == 0)
			data.n--;
		out->verdict = MILTER_REPLY;
		if (milter_take_reply(data, &m->text, out))
			verdict(m, out);
		else
			fail(m, out, "malformed reply code");
	} else if (milter_take_verdict(letter, &out->verdict)) {
		if (data.n > 0)
			fail(m, out, "data behind a verdict");
		else
			verdict(m, out);
	} else if (m->at != MILTER_EOM) {
		fail(m, out, "a reply that does not fit the step");
	} else {
		switch (milter_take_edit(letter, data, out)) {
		case PARSE_OK:
			break;
		case PARSE_MORE:
			fail(m, out, "an unknown reply");
			break;
		case PARSE_BAD:
			fail(m, out, "a malformed modification");
			break;
		}
	}
}

/* Moves what the packet lacks of its first `want` bytes. */
static bool
gather(struct milter *m, struct span *in, size_t want)
{
	const size_t lacks = want - m->packet.n;
	const size_t n = in->n < lacks ? in->n : lacks;

	buf_add(&m->packet, span_slice(*in, 0, n));
	*in = span_skip(*in, n);
	return n == lacks;
}

size_t
milter_feed(struct milter *m, struct span in, struct milter_event *out)
{
	const size_t before = in.n;
	struct span data;
	uint32_t n;

	*out = (struct milter_event){ .type = MILTER_NONE };
	if (m->handed_out) {
		buf_release(&m->packet);
		m->handed_out = false;
	}
	if (m->failed)
		return in.n;
	if (m->packet.n < HEAD && !gather(m, &in, HEAD))
		return before - in.n;
	data = buf_span(&m->packet);
	milter_take_u32(&data, &n);
	if (n < 1 || n > MILTER_REPLY_MAX) {
		fail(m, out, "bad length of a packet");
		return before - in.n;
	}
	if (!gather(m, &in, (size_t)n + 4))
		return before - in.n;
	data = span_skip(buf_span(&m->packet), HEAD);
	m->handed_out = true;
	packet(m, m->packet.p[4], data, out);
	return before - in.n;
}
