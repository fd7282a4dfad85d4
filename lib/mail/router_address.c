/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/router_impl.h"

#include "lib/base/limits.h"

struct span
router_folded(struct arena *a, struct span s)
{
	uint8_t *p = arena_alloc(a, s.n + 1);

	for (size_t i = 0; i < s.n; i++)
		p[i] = ascii_lower(s.p[i]);
	return span_of(p, s.n);
}

struct span
router_text(struct arena *a, const struct address *addr)
{
	struct buf b;

	buf_init(&b, LIMIT_ADDRESS * 3);
	address_print(addr, &b);
	const struct span text = arena_dup(a, buf_span(&b));
	buf_release(&b);
	return text;
}

bool
router_is_routed(struct span local)
{
	return span_chr(local, '%') != SIZE_MAX ||
	       span_chr(local, '!') != SIZE_MAX ||
	       span_chr(local, '@') != SIZE_MAX;
}

/* An address without "@": site!user, user%site, or a user of ours. */
static void
complete_bare(const struct router *r, struct arena *a, struct address *addr)
{
	const struct span local = addr->local;
	const size_t bang = span_chr(local, '!');
	const size_t percent = span_rchr(local, '%');

	if (r->common.swap_bangpath && bang != SIZE_MAX &&
	    domain_valid(span_slice(local, 0, bang)) && bang + 1 < local.n) {
		addr->domain = span_slice(local, 0, bang);
		addr->local = span_skip(local, bang + 1);
	} else if (r->common.allow_percent_hack && percent != SIZE_MAX &&
		   percent > 0 && domain_valid(span_skip(local, percent + 1))) {
		addr->domain = span_skip(local, percent + 1);
		addr->local = span_slice(local, 0, percent);
	} else if (r->common.append_at_myorigin) {
		addr->domain = arena_dup(a, span_str(r->common.myorigin));
	}
}

bool
router_complete(const struct router *r, struct span text, struct arena *a,
    struct address *out)
{
	struct address addr;

	if (!address_parse(text, a, &addr))
		return false;
	if (addr.domain.n == 0)
		complete_bare(r, a, &addr);
	if (r->common.append_dot_mydomain && addr.domain.n > 0 &&
	    addr.domain.p[0] != '[' && span_chr(addr.domain, '.') == SIZE_MAX) {
		struct buf b;
		buf_init(&b, LIMIT_ADDRESS);
		buf_add(&b, addr.domain);
		buf_byte(&b, '.');
		buf_str(&b, r->common.mydomain);
		addr.domain = arena_dup(a, buf_span(&b));
		buf_release(&b);
	}
	*out = addr;
	return addr.domain.n <= LIMIT_DOMAIN;
}

bool
router_qualify(const struct router *r, struct span address, struct buf *out)
{
	struct address addr;
	struct arena a;

	if (address.n == 0)
		return true;
	arena_init(&a, 16 * LIMIT_ADDRESS);
	const bool good = router_complete(r, address, &a, &addr);
	if (good)
		address_print(&addr, out);
	arena_reset(&a);
	return good && buf_ok(out);
}
