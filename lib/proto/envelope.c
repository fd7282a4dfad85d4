/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/envelope.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/address.h"
#include "lib/proto/header.h"
#include "lib/proto/imap_print.h"

/* In the order of the response. */
enum field {
	DATE,
	SUBJECT,
	FROM,
	SENDER,
	REPLY_TO,
	TO,
	CC,
	BCC,
	IN_REPLY_TO,
	MESSAGE_ID,
	FIELDS
};

static const char *const names[FIELDS] = { "Date", "Subject", "From", "Sender",
	"Reply-To", "To", "Cc", "Bcc", "In-Reply-To", "Message-ID" };

static void
collect(struct span header, struct span *bodies)
{
	struct header_field f;

	while (header_next(&header, &f)) {
		for (int i = 0; i < FIELDS; i++) {
			if (bodies[i].p != NULL ||
			    !span_ieq(f.name, span_str(names[i])))
				continue;
			/* Empty is not absent. */
			bodies[i] = f.body.n == 0 ? SPAN("")
						  : span_slice(f.body, 0,
							LIMIT_HEADER_FIELD);
		}
	}
}

static void
print_text(struct span body, struct buf *out)
{
	struct buf line;

	if (body.p == NULL) {
		buf_str(out, "NIL");
		return;
	}
	buf_init(&line, LIMIT_HEADER_FIELD + 1);
	header_unfold(body, &line);
	imap_print_string(out, buf_span(&line));
	buf_release(&line);
}

/* An empty part is NIL. */
static void
print_part(struct span s, struct buf *out)
{
	imap_print_nstring(out, s.n > 0 ? s : SPAN_EMPTY);
}

/* A host that is NIL would make a group of it, so there is always one. */
static void
print_mailbox(const struct address_item *item, struct buf *out)
{
	const bool bad = item->kind == ADDRESS_BAD;

	buf_byte(out, '(');
	print_part(bad ? item->raw : item->name, out);
	buf_byte(out, ' ');
	print_part(item->route, out);
	buf_byte(out, ' ');
	imap_print_string(out, item->addr.local.n > 0
				   ? item->addr.local
				   : SPAN("MISSING_MAILBOX"));
	buf_byte(out, ' ');
	imap_print_string(out, item->addr.domain.n > 0
				   ? item->addr.domain
				   : SPAN("MISSING_DOMAIN"));
	buf_byte(out, ')');
}

static void
print_item(const struct address_item *item, struct buf *out)
{
	switch (item->kind) {
	case ADDRESS_MAILBOX:
	case ADDRESS_NULL:
	case ADDRESS_BAD:
	case ADDRESS_INCLUDE:
		print_mailbox(item, out);
		return;
	case ADDRESS_GROUP_START:
		buf_str(out, "(NIL NIL ");
		imap_print_string(out, item->name);
		buf_str(out, " NIL)");
		return;
	case ADDRESS_GROUP_END:
		buf_str(out, "(NIL NIL NIL NIL)");
		return;
	}
}

static void
print_addresses(struct span body, struct buf *out)
{
	struct address_list list;
	struct address_item item;
	bool any = false;

	address_list_init(&list, ADDRESS_LIST_HEADER, body);
	while (address_list_next(&list, &item)) {
		if (!any)
			buf_byte(out, '(');
		any = true;
		print_item(&item, out);
	}
	address_list_release(&list);
	buf_str(out, any ? ")" : "NIL");
}

void
envelope_print(struct span header, struct buf *out)
{
	struct span bodies[FIELDS] = { { NULL, 0 } };

	collect(header, bodies);
	if (span_trim(bodies[SENDER]).n == 0)
		bodies[SENDER] = bodies[FROM];
	if (span_trim(bodies[REPLY_TO]).n == 0)
		bodies[REPLY_TO] = bodies[FROM];
	buf_byte(out, '(');
	for (int i = 0; i < FIELDS; i++) {
		if (i > 0)
			buf_byte(out, ' ');
		if (i >= FROM && i <= BCC)
			print_addresses(bodies[i], out);
		else
			print_text(bodies[i], out);
	}
	buf_byte(out, ')');
}
