/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "local/targets.h"

#include "lib/base/limits.h"
#include "lib/map/map.h"
#include "lib/proto/address.h"

#define INCLUDE_PREFIX SPAN(":include:")

/* Without one pair of double quotes around it. */
static struct span
unquote(struct span s)
{
	if (s.n >= 2 && s.p[0] == '"' && s.p[s.n - 1] == '"')
		return span_slice(s, 1, s.n - 1);
	return s;
}

static bool
is_path(struct span s)
{
	return s.n > 1 && s.p[0] == '/' && span_chr(s, 0) == SIZE_MAX;
}

static void
set(struct target *t, struct arena *a, enum target_kind kind,
    struct span text)
{
	t->kind = kind;
	t->text = arena_dup(a, text);
}

static void
classify_include(struct span s, struct arena *a, struct target *out)
{
	const struct span path = span_trim(span_skip(s, INCLUDE_PREFIX.n));

	if (is_path(path))
		set(out, a, TARGET_INCLUDE, path);
	else
		set(out, a, TARGET_BAD, s);
}

/* A local part, perhaps a file or a command that looks like one. */
static void
classify_mailbox(
    const struct address_item *it, struct arena *a, struct target *out)
{
	const struct span local = it->addr.local;
	struct buf b;

	if (span_starts(unquote(it->raw), SPAN("\\")) &&
	    it->addr.domain.n == 0 && local.n > 0) {
		set(out, a, TARGET_USER, local);
		return;
	}
	if (it->addr.domain.n == 0 && is_path(local)) {
		set(out, a, TARGET_FILE, local);
		return;
	}
	if (it->addr.domain.n == 0 && span_istarts(local, INCLUDE_PREFIX)) {
		classify_include(local, a, out);
		return;
	}
	if (it->addr.domain.n == 0 && span_starts(local, SPAN("|"))) {
		set(out, a, TARGET_COMMAND, span_trim(span_skip(local, 1)));
		return;
	}
	buf_init(&b, LIMIT_ADDRESS);
	address_print(&it->addr, &b);
	if (buf_ok(&b) && b.n > 0 && local.n > 0)
		set(out, a, TARGET_ADDRESS, buf_span(&b));
	else
		set(out, a, TARGET_BAD, it->raw);
	buf_release(&b);
}

static bool
classify(const struct address_item *it, struct arena *a, struct target *out)
{
	switch (it->kind) {
	case ADDRESS_MAILBOX:
		classify_mailbox(it, a, out);
		return true;
	case ADDRESS_INCLUDE:
		classify_include(unquote(it->raw), a, out);
		return true;
	case ADDRESS_BAD:
		if (span_starts(it->raw, SPAN("|")))
			set(out, a, TARGET_COMMAND,
			    span_trim(span_skip(it->raw, 1)));
		else if (span_istarts(unquote(it->raw), INCLUDE_PREFIX))
			classify_include(unquote(it->raw), a, out);
		else
			set(out, a, TARGET_BAD, it->raw);
		return true;
	case ADDRESS_NULL:
	case ADDRESS_GROUP_START:
	case ADDRESS_GROUP_END:
		return false;
	}
	return false;
}

static int
parse_row(struct span row, struct arena *a, target_fn fn, void *arg,
    struct err *e)
{
	struct address_list l;
	struct address_item it;
	struct target t;
	int rc = 0;

	address_list_init(&l, ADDRESS_LIST_ALIASES, row);
	while (rc == 0 && address_list_next(&l, &it))
		if (classify(&it, a, &t))
			rc = fn(arg, &t, e);
	address_list_release(&l);
	return rc;
}

int
targets_parse(struct span text, struct arena *a, target_fn fn, void *arg,
    struct err *e)
{
	struct table_text rows;
	struct span row;
	int rc = 0;

	table_text_init(&rows, text);
	while (rc == 0 && table_text_next(&rows, &row))
		rc = parse_row(row, a, fn, arg, e);
	table_text_release(&rows);
	return rc;
}
