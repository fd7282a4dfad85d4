/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "local/aliases.h"

#include "lib/base/limits.h"
#include "lib/proto/address.h"

/* The local part without quotes: what tables have. */
static struct span
bare_local(struct arena *a, struct span address)
{
	struct address addr;

	if (!address_parse(address, a, &addr))
		return address_local_of(address);
	return addr.local;
}

void
alias_result_init(
    struct alias_result *r, struct span address, const struct log_ctx *log)
{
	*r = (struct alias_result){ .address = address };
	expansion_init(&r->expansion, SPAN_EMPTY, address_domain_of(address));
	r->expansion.own_name = bare_local(&r->expansion.arena, address);
	r->expansion.log = log;
	buf_init(&r->owner, LIMIT_ADDRESS);
}

void
alias_result_release(struct alias_result *r)
{
	expansion_release(&r->expansion);
	buf_release(&r->owner);
}

static enum map_result
look_up(struct maps *maps, struct span name, struct buf *out, struct err *e)
{
	struct buf key;
	enum map_result result;

	buf_init(&key, LIMIT_ADDRESS);
	for (size_t i = 0; i < name.n; i++)
		buf_byte(&key, ascii_lower(name.p[i]));
	result = buf_ok(&key) ? maps_get(maps, buf_span(&key), out, e) :
				MAP_ABSENT;
	buf_release(&key);
	return result;
}

/* owner-NAME gets the bounces of what NAME sends on. */
static enum map_result
find_owner(struct maps *maps, struct alias_result *r, struct span name,
    struct err *e)
{
	const struct span domain = address_domain_of(r->address);
	struct buf owner, value;
	enum map_result result;

	buf_init(&owner, LIMIT_ADDRESS);
	buf_init(&value, LIMIT_TABLE_VALUE);
	buf_str(&owner, "owner-");
	for (size_t i = 0; i < name.n; i++)
		buf_byte(&owner, ascii_lower(name.p[i]));
	result = look_up(maps, buf_span(&owner), &value, e);
	if (result == MAP_FOUND) {
		address_quote_local(buf_span(&owner), &r->owner);
		if (domain.n > 0) {
			buf_byte(&r->owner, '@');
			buf_add(&r->owner, domain);
		}
	}
	buf_release(&owner);
	buf_release(&value);
	return result;
}

static int
unavailable(struct err *e)
{
	return err_set(
	    e, ERR_TEMP, "4.3.0", "alias database unavailable");
}

int
alias_expand(struct maps *maps, const char *delimiter, struct alias_result *r,
    struct err *e)
{
	struct span name = r->expansion.own_name;
	const size_t at = map_split_extension(name, delimiter);
	enum map_result result;
	struct buf value;
	int rc = 0;

	buf_init(&value, LIMIT_TABLE_VALUE);
	result = look_up(maps, name, &value, e);
	if (result == MAP_ABSENT && at != SIZE_MAX) {
		name = span_slice(name, 0, at);
		result = look_up(maps, name, &value, e);
	}
	if (result == MAP_FOUND) {
		r->found = true;
		r->expansion.own_name = name;
		result = find_owner(maps, r, name, e);
	}
	if (result == MAP_FAILED)
		rc = unavailable(e);
	else if (r->found)
		rc = expansion_add(&r->expansion,
		    arena_dup(&r->expansion.arena, buf_span(&value)), e);
	buf_release(&value);
	return rc;
}
