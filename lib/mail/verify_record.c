/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/verify_record.h"

enum { SKEW_S = 600 };

void
verify_record_put(const struct verify_record *r, struct buf *out)
{
	buf_fmt(out, "%d:%lld:%lld:", (int)r->status, (long long)r->probed_s,
	    (long long)r->updated_s);
	buf_add(out, r->text);
}

/* Cuts "NUMBER:" off. */
static bool
next_number(struct span *rest, uint64_t max, uint64_t *out)
{
	const size_t colon = span_chr(*rest, ':');

	if (colon == SIZE_MAX ||
	    !span_u64(span_slice(*rest, 0, colon), max, out))
		return false;
	*rest = span_skip(*rest, colon + 1);
	return true;
}

bool
verify_record_get(struct span s, struct verify_record *out)
{
	uint64_t status, probed, updated;

	if (!next_number(&s, VERIFY_TODO, &status) ||
	    !next_number(&s, INT64_MAX, &probed) ||
	    !next_number(&s, INT64_MAX, &updated))
		return false;
	*out = (struct verify_record){ .status = (enum verify_status)status,
		.probed_s = (int64_t)probed,
		.updated_s = (int64_t)updated,
		.text = s };
	return true;
}

/* How old it is; negative from the future. */
static int64_t
age(const struct verify_record *r, int64_t now_s)
{
	return now_s - r->updated_s;
}

bool
verify_record_expired(const struct verify_record *r,
    const struct verify_times *t, int64_t now_s)
{
	if (r->status == VERIFY_TODO || age(r, now_s) < -SKEW_S)
		return true;
	return age(r, now_s) > (r->status == VERIFY_OK ? t->positive_expire :
							 t->negative_expire);
}

bool
verify_record_stale(const struct verify_record *r,
    const struct verify_times *t, int64_t now_s)
{
	return age(r, now_s) > (r->status == VERIFY_OK ? t->positive_refresh :
							 t->negative_refresh);
}

bool
verify_record_takes(const struct verify_record *old,
    enum verify_status status, bool negative_cache)
{
	if (status == VERIFY_OK)
		return true;
	return status != VERIFY_TODO && negative_cache &&
	    (old == NULL || old->status != VERIFY_OK);
}
