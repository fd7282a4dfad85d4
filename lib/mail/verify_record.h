/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_VERIFY_RECORD_H
#define CHAPPE_MAIL_VERIFY_RECORD_H

/*
 * What verify remembers of an address: whether it can be delivered to, since
 * when, and why not; and for how long that counts. Pure.
 */

#include "lib/base/buf.h"

/* F_STATUS of MSG_VERIFY_ANSWER, and the first number of a record. */
enum verify_status {
	VERIFY_OK = 0,
	VERIFY_DEFERRED = 1, /* a probe failed for now */
	VERIFY_REFUSED = 2,
	VERIFY_TODO = 3, /* nothing is known yet */
};

struct verify_record {
	enum verify_status status;
	int64_t probed_s;  /* Postfix's; always 0 here */
	int64_t updated_s; /* when that was found out, Unix time */
	struct span text;  /* what the probe was told */
};

/* Appends "STATUS:PROBED:UPDATED:TEXT" (docs/FORMATS.md). */
void verify_record_put(const struct verify_record *r, struct buf *out);
/* False, with *out untouched, for what is none. text points into s. */
bool verify_record_get(struct span s, struct verify_record *out);

/* The parameters address_verify_..., in seconds. */
struct verify_times {
	int64_t positive_expire, positive_refresh;
	int64_t negative_expire, negative_refresh;
};
/* It counts no more. So does one from the future: the clock was wrong. */
bool verify_record_expired(const struct verify_record *r,
    const struct verify_times *t, int64_t now_s);
/* It counts, but another probe is due. */
bool verify_record_stale(const struct verify_record *r,
    const struct verify_times *t, int64_t now_s);

/* Is a probe's result to be remembered? old: what is, and counts, or NULL. One
 * failed probe does not take away what was found good: that expires. */
bool verify_record_takes(const struct verify_record *old,
    enum verify_status status, bool negative_cache);

#endif
