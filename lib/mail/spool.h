/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_SPOOL_H
#define CHAPPE_MAIL_SPOOL_H

/*
 * Bytes that are kept for a while, in memory as long as they are few and else
 * in a file without a name, which threads write and read: nothing here waits
 * in the loop. Nothing is durable, and nothing is left when the process ends.
 * First everything is added, then it is read, as often as wanted.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/span.h"
#include "lib/os/loop.h"

struct spool;

/* dir: where the file is made, if one is needed; is copied. */
struct spool *spool_new(struct loop *loop, const char *dir, size_t memory_max);
/* Also while something is under way; its function is not called then. */
void spool_free(struct spool **s);

/* Not after the first spool_read. */
void spool_add(struct spool *s, struct span bytes);

/* True when so much waits to be written that the caller should pause until
 * `ready` is called, from the loop. */
typedef void (*spool_ready_fn)(void *arg);
bool spool_busy(struct spool *s, spool_ready_fn ready, void *arg);

uint64_t spool_size(const struct spool *s);

/* Hands over at most max bytes from place `at`, fewer or none only at the
 * end or where memory begins; they live during the call. e: a step failed
 * (then or before), and bytes are empty. Calls fn once, maybe before it
 * returns. One at a time; from within fn only when it is through with the
 * bytes. */
typedef void (*spool_read_fn)(
    void *arg, struct span bytes, const struct err *e);
void spool_read(
    struct spool *s, uint64_t at, size_t max, spool_read_fn fn, void *arg);
/* The one who reads, if any, is not called any more; another may read. */
void spool_read_cancel(struct spool *s);

#endif
