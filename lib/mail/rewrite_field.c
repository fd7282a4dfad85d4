/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/rewrite.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/address.h"

bool
rewrite_field_class(struct span name, enum rewrite_class *out)
{
	static const struct {
		const char *name;
		enum rewrite_class class;
	} fields[] = {
		{ "from", REWRITE_HEADER_SENDER },
		{ "sender", REWRITE_HEADER_SENDER },
		{ "reply-to", REWRITE_HEADER_SENDER },
		{ "errors-to", REWRITE_HEADER_SENDER },
		{ "return-receipt-to", REWRITE_HEADER_SENDER },
		{ "disposition-notification-to", REWRITE_HEADER_SENDER },
		{ "to", REWRITE_HEADER_RECIPIENT },
		{ "cc", REWRITE_HEADER_RECIPIENT },
		{ "bcc", REWRITE_HEADER_RECIPIENT },
		{ "apparently-to", REWRITE_HEADER_RECIPIENT },
	};

	if (span_istarts(name, SPAN("resent-")))
		name = span_skip(name, 7);
	for (size_t i = 0; i < COUNT_OF(fields); i++) {
		if (!span_ieq(name, span_str(fields[i].name)))
			continue;
		*out = fields[i].class;
		return true;
	}
	return false;
}

/* ---- where the address stands in an item ---- */

/* The index behind a quoted string, literal or comment that begins at i. */
static size_t
past_closed(struct span s, size_t i)
{
	const uint8_t open = s.p[i];
	const uint8_t close = open == '(' ? ')' : open == '[' ? ']' : '"';
	unsigned depth = 0;

	for (; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == close && (open != '"' || depth > 0)) {
			if (--depth == 0)
				return i + 1;
		} else if (s.p[i] == open)
			depth++;
	}
	return s.n;
}

static bool
is_white(uint8_t c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Between the angle brackets, or the words that are neither comment nor white
 * space at the ends. */
static void
find_spec(struct span raw, size_t *out_from, size_t *out_to)
{
	size_t from = SIZE_MAX, to = 0;

	for (size_t i = 0; i < raw.n;) {
		const uint8_t c = raw.p[i];
		size_t next = i + 1;

		if (c == '"' || c == '(' || c == '[')
			next = past_closed(raw, i);
		if (c == '<') {
			*out_from = next;
			*out_to = next;
			while (*out_to < raw.n && raw.p[*out_to] != '>')
				*out_to = raw.p[*out_to] == '"' ?
				    past_closed(raw, *out_to) :
				    *out_to + 1;
			return;
		}
		if (c != '(' && !is_white(c)) {
			if (from == SIZE_MAX)
				from = i;
			to = next;
		}
		i = next;
	}
	*out_from = from == SIZE_MAX ? 0 : from;
	*out_to = to;
}

/* ---- one address ---- */

/* Completes a name without domain. False: it stays as it is. */
static bool
complete(const struct rewrite *r, const struct rewrite_header *how,
    const struct address *addr, struct buf *out)
{
	struct buf text;
	bool good = true;

	buf_init(&text, LIMIT_ADDRESS * 2);
	address_print(addr, &text);
	if (addr->domain.n == 0 && !how->local) {
		good = how->domain[0] != '\0' && addr->local.n > 0;
		buf_byte(&text, '@');
		buf_str(&text, how->domain);
	}
	if (good && how->local)
		good = router_qualify(rewrite_router(r), buf_span(&text), out);
	else if (good)
		buf_add(out, buf_span(&text));
	buf_release(&text);
	return good && buf_ok(out) && out->n > 0;
}

/* Does it stay as it is? A domain with a dot in it is complete; a dot at its
 * end goes. */
static bool
is_settled(const struct rewrite *r, enum rewrite_class class, bool mapping,
    struct span domain)
{
	return !(mapping && rewrite_wanted(r, class)) &&
	    span_chr(domain, '.') < domain.n && domain.p[domain.n - 1] != '.';
}

/* 1: *out is what the item's address becomes. */
static int
rewrite_item(struct rewrite *r, enum rewrite_class class,
    const struct rewrite_header *how, bool mapping,
    const struct address_item *item, struct buf *out, struct err *e)
{
	struct buf before, full;
	int rc = 0;

	if (is_settled(r, class, mapping, item->addr.domain))
		return 0;
	buf_init(&before, LIMIT_ADDRESS * 2);
	buf_init(&full, LIMIT_ADDRESS * 2);
	address_print(&item->addr, &before);
	buf_reset(out);
	if (complete(r, how, &item->addr, &full)) {
		if (mapping)
			rc = rewrite_address(r, class, buf_span(&full), out,
			    e);
		else
			buf_add(out, buf_span(&full));
		if (rc == 0)
			rc = !span_eq(buf_span(out), buf_span(&before));
	}
	buf_release(&before);
	buf_release(&full);
	return rc;
}

int
rewrite_field(struct rewrite *r, enum rewrite_class class,
    const struct rewrite_header *how, bool mapping, struct span body,
    struct buf *out, struct err *e)
{
	const size_t before = out->n;
	struct address_list list;
	struct address_item item;
	size_t done = 0, from, to;
	bool changed = false;
	struct buf address;
	int rc = 0;

	buf_init(&address, LIMIT_ADDRESS * 2);
	address_list_init(&list, ADDRESS_LIST_HEADER, body);
	while (rc >= 0 && address_list_next(&list, &item)) {
		size_t at;

		if (item.kind != ADDRESS_MAILBOX)
			continue;
		rc = rewrite_item(r, class, how, mapping, &item, &address,
		    e);
		if (rc <= 0)
			continue;
		at = (size_t)(item.raw.p - body.p);
		find_spec(item.raw, &from, &to);
		buf_add(out, span_slice(body, done, at + from));
		buf_add(out, buf_span(&address));
		done = at + to;
		changed = true;
	}
	address_list_release(&list);
	buf_release(&address);
	if (rc >= 0 && changed) {
		buf_add(out, span_skip(body, done));
		return buf_ok(out) ? 1 : 0;
	}
	buf_truncate(out, before);
	return rc < 0 ? -1 : 0;
}
