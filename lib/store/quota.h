/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_STORE_QUOTA_H
#define CHAPPE_STORE_QUOTA_H

/*
 * How much mail a user may keep: Maildir++'s quota. The file maildirsize in
 * the root of the Maildir has the limit in its first line ("1000000S,500C")
 * and a line "BYTES MESSAGES" for each change since it was counted; other
 * programs (Dovecot, Courier, maildrop) keep it, too. Their sum is believed
 * until the limit changes, the file is longer than 5120 bytes, or the sum is
 * beyond the limit and the file is not fresh: then all folders are counted
 * again and the file is replaced. It is not flushed: after a power cut, too,
 * the next count puts it right.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/span.h"

/* 0: no limit. */
struct quota {
	uint64_t bytes, messages;
};

/* A rule as Dovecot's quota_rule has it: "*:storage=1G:messages=1000", with
 * storage in KB without a suffix (b, k, M, G, T), or bytes=N; "*:ignore" and
 * the empty text: no limit. False: neither. */
bool quota_parse(const char *rule, struct quota *out);
bool quota_limited(const struct quota *q);

/* What is kept below the Maildir, counted anew if need be. */
int quota_usage(int root_fd, const struct quota *limit, struct quota *out,
    struct err *e);
/* Would so much more be too much? */
bool quota_exceeds(const struct quota *limit, const struct quota *usage,
    uint64_t bytes, uint64_t messages);
/* Is there no room for even one more message? */
bool quota_full(const struct quota *limit, const struct quota *usage);

/* Forgets what was counted. */
void quota_forget(int root_fd);

/* Records a change. A file that is not there is left so: it is counted when
 * it is wanted. */
void quota_change(int root_fd, int64_t bytes, int64_t messages);

#endif
