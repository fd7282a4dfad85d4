/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/rewrite.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/map/map.h"
#include "lib/os/log.h"
#include "lib/proto/address.h"

enum { NESTING_MAX = 1000 };

struct rewrite {
	const struct common_conf *conf;
	const struct router *router;
	struct maps *canonical, *sender, *recipient;
	unsigned canonical_classes, sender_classes, recipient_classes;
	unsigned masquerade_classes;
	struct match_list *ours; /* where bare keys count */
	struct match_list *exceptions;
	bool propagate;
};

/* ---- parameters ---- */

static const char *const class_names[] = { "envelope_sender",
	"envelope_recipient", "header_sender", "header_recipient" };

static int
read_classes(const char *name, const char *list, unsigned *out, struct err *e)
{
	struct span rest = span_str(list), word;

	*out = 0;
	while (span_token(&rest, ", \t\r\n", &word)) {
		size_t i = 0;

		while (i < COUNT_OF(class_names) &&
		       !span_ieq(word, span_str(class_names[i])))
			i++;
		if (i == COUNT_OF(class_names))
			return err_set(e, ERR_PERM, "4.3.5",
			    "%s: unknown class \"%.*s\"", name,
			    SPAN_FMT(span_slice(word, 0, 60)));
		*out |= 1U << i;
	}
	return 0;
}

static int
open_lists(struct rewrite *r, const struct common_conf *c, struct err *e)
{
	char *ours = mem_printf("%s %s", c->mydestination, c->myorigin);
	const int rc = match_list_open(ours, &r->ours, e);

	mem_free(ours);
	if (rc != 0)
		return -1;
	return match_list_open(c->masquerade_exceptions, &r->exceptions, e);
}

static int
open_all(struct rewrite *r, const struct common_conf *c, struct err *e)
{
	if (maps_open(c->canonical_maps, &r->canonical, e) != 0 ||
	    maps_open(c->sender_canonical_maps, &r->sender, e) != 0 ||
	    maps_open(c->recipient_canonical_maps, &r->recipient, e) != 0 ||
	    open_lists(r, c, e) != 0)
		return -1;
	if (read_classes("canonical_classes", c->canonical_classes,
		&r->canonical_classes, e) != 0 ||
	    read_classes("sender_canonical_classes",
		c->sender_canonical_classes, &r->sender_classes, e) != 0 ||
	    read_classes("recipient_canonical_classes",
		c->recipient_canonical_classes, &r->recipient_classes,
		e) != 0)
		return -1;
	return read_classes("masquerade_classes", c->masquerade_classes,
	    &r->masquerade_classes, e);
}

int
rewrite_open(const struct common_conf *c, const struct router *router,
    struct rewrite **out, struct err *e)
{
	struct rewrite *r = MEM_NEW(r);

	r->conf = c;
	r->router = router;
	r->propagate =
	    conf_list_has(c->propagate_unmatched_extensions, "canonical");
	if (open_all(r, c, e) != 0) {
		rewrite_free(&r);
		return -1;
	}
	*out = r;
	return 0;
}

void
rewrite_free(struct rewrite **r)
{
	if (*r == NULL)
		return;
	maps_free(&(*r)->canonical);
	maps_free(&(*r)->sender);
	maps_free(&(*r)->recipient);
	match_list_free(&(*r)->ours);
	match_list_free(&(*r)->exceptions);
	mem_free(*r);
	*r = NULL;
}

const struct router *
rewrite_router(const struct rewrite *r)
{
	return r->router;
}

static bool
is_sender(enum rewrite_class class)
{
	return class == REWRITE_ENVELOPE_SENDER ||
	       class == REWRITE_HEADER_SENDER;
}

/* The maps that an address of this class goes through, in order. */
static size_t
maps_for(const struct rewrite *r, enum rewrite_class class,
    struct maps *out[2])
{
	const unsigned bit = 1U << class;
	size_t n = 0;

	if (is_sender(class) && (r->sender_classes & bit) != 0 &&
	    !maps_empty(r->sender))
		out[n++] = r->sender;
	if (!is_sender(class) && (r->recipient_classes & bit) != 0 &&
	    !maps_empty(r->recipient))
		out[n++] = r->recipient;
	if ((r->canonical_classes & bit) != 0 && !maps_empty(r->canonical))
		out[n++] = r->canonical;
	return n;
}

static bool
masquerades(const struct rewrite *r, enum rewrite_class class)
{
	return (r->masquerade_classes & (1U << class)) != 0 &&
	       r->conf->masquerade_domains[0] != '\0';
}

bool
rewrite_wanted(const struct rewrite *r, enum rewrite_class class)
{
	struct maps *ignored[2];

	return maps_for(r, class, ignored) > 0 || masquerades(r, class);
}

/* ---- canonical maps ---- */

/* Was the entry found without the address's extension? Then that is kept. */
static struct span
kept_extension(struct rewrite *r, struct maps *m, struct span address,
    bool ours)
{
	const struct span local = address_local_of(address);
	const size_t split =
	    map_split_extension(local, r->conf->recipient_delimiter);
	enum map_result whole;
	struct buf ignored;

	if (split == SIZE_MAX || !r->propagate)
		return SPAN_EMPTY;
	buf_init(&ignored, LIMIT_TABLE_VALUE);
	whole = maps_get_address(m, address, "", ours, &ignored, NULL);
	buf_release(&ignored);
	return whole == MAP_FOUND ? SPAN_EMPTY : span_skip(local, split);
}

/* What an entry says the address becomes. */
static bool
read_value(struct rewrite *r, struct span value, struct span address,
    struct span extension, struct buf *out)
{
	struct buf text;
	size_t at;
	bool good;

	value = span_trim(value);
	buf_init(&text, LIMIT_ADDRESS * 2);
	at = span_rchr(value, '@');
	if (at == 0) {
		buf_add(&text, address_local_of(address));
		buf_add(&text, value);
	} else {
		buf_add(&text, span_slice(value, 0, at));
		buf_add(&text, extension);
		buf_add(&text, span_skip(value, at));
	}
	buf_reset(out);
	good = buf_ok(&text) && text.n > 0 &&
	       router_qualify(r->router, buf_span(&text), out);
	buf_release(&text);
	return good;
}

/* One round: 1 *out is what the entry says, 0 no entry. */
static int
map_once(struct rewrite *r, struct maps *m, struct span address,
    struct buf *out, struct err *e)
{
	const struct span domain = address_domain_of(address);
	const int ours = match_list_domain(r->ours, domain, e);
	enum map_result found;
	struct buf value;
	int rc = 0;

	if (ours < 0)
		return -1;
	buf_init(&value, LIMIT_TABLE_VALUE);
	found = maps_get_address(m, address, r->conf->recipient_delimiter,
	    ours > 0, &value, e);
	if (found == MAP_FAILED) {
		rc = -1;
	} else if (found == MAP_FOUND) {
		rc = 1;
		if (!read_value(r, buf_span(&value), address,
			kept_extension(r, m, address, ours > 0), out)) {
			log_warning(NULL, "%s: \"%s\" is not an address",
			    maps_where(m), log_quote(buf_span(&value), 100));
			rc = 0;
		}
	}
	buf_release(&value);
	return rc;
}

/* Until nothing changes. text holds the address and gets the result. */
static int
map_address(struct rewrite *r, struct maps *m, struct buf *text,
    struct err *e)
{
	struct buf next;
	int rc = 1;

	buf_init(&next, LIMIT_ADDRESS * 2);
	for (unsigned i = 0; rc > 0 && i < NESTING_MAX; i++) {
		rc = map_once(r, m, buf_span(text), &next, e);
		if (rc <= 0)
			break;
		rc = !span_ieq(buf_span(text), buf_span(&next));
		buf_reset(text);
		buf_add(text, buf_span(&next));
	}
	buf_release(&next);
	return rc < 0 ? -1 : 0;
}

/* ---- masquerading ---- */

static bool
is_below(struct span domain, struct span parent)
{
	return domain.n > parent.n && span_iends(domain, parent) &&
	       domain.p[domain.n - parent.n - 1] == '.';
}

/* The first name that the domain is or lies below decides; "!name": it stays
 * as it is. */
static struct span
masquerade_as(const struct rewrite *r, struct span domain)
{
	struct span rest = span_str(r->conf->masquerade_domains), word;

	while (span_token(&rest, ", \t\r\n", &word)) {
		const bool not = word.p[0] == '!';

		if (not)
			word = span_skip(word, 1);
		if (word.n == 0)
			continue;
		if (span_ieq(domain, word))
			return domain;
		if (is_below(domain, word))
			return not ? domain : word;
	}
	return domain;
}

static int
masquerade(struct rewrite *r, struct buf *text, struct err *e)
{
	const struct span local = address_local_of(buf_span(text));
	const struct span domain = address_domain_of(buf_span(text));
	const struct span as = masquerade_as(r, domain);
	int excepted;

	if (span_ieq(as, domain))
		return 0;
	excepted = match_list_domain(r->exceptions, local, e);
	if (excepted != 0)
		return excepted < 0 ? -1 : 0;
	buf_truncate(text, text->n - domain.n);
	buf_add(text, as);
	return 0;
}

int
rewrite_address(struct rewrite *r, enum rewrite_class class,
    struct span address, struct buf *out, struct err *e)
{
	struct maps *maps[2];
	const size_t n = maps_for(r, class, maps);
	struct buf text;
	int rc = 0;

	buf_init(&text, LIMIT_ADDRESS * 2);
	buf_add(&text, address);
	for (size_t i = 0; rc == 0 && i < n && address.n > 0; i++)
		rc = map_address(r, maps[i], &text, e);
	if (rc == 0 && address.n > 0 && masquerades(r, class))
		rc = masquerade(r, &text, e);
	if (rc == 0) {
		rc = !span_eq(buf_span(&text), address);
		buf_add(out, buf_span(&text));
	}
	buf_release(&text);
	return rc;
}
