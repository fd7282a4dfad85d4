/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_SHARED_TABLE_H
#define CHAPPE_OS_SHARED_TABLE_H

/*
 * What all server processes of a host know together about clients and
 * senders: memory that master makes once and every process maps. No daemon
 * keeps it and no message is sent for it. Its size is fixed: under pressure
 * the record goes that was longest not in use.
 *
 * No lock can stay held, whichever process is killed at whatever instruction:
 * a record is taken by one compare-and-swap, a place half made counts as free
 * after a moment, and each value is one word that also carries a part of its
 * key, so a late write never lands in a record that has a new owner. What is
 * held (connections) each process counts in memory of its own; a dead
 * process's counts for nothing, and the kernel tells who is dead, by a lock
 * of a byte that ends with the process. Design: docs/DESIGN.md.
 *
 * Values are 48 bits wide. Times are seconds of the wall clock. A key that
 * finds no room is simply not counted.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/span.h"

/* Each area has its own room, so that a flood in one drives nothing out of
 * another. The first is not kept on disk. */
enum shared_area {
	SHARED_RATES,  /* events of clients, per unit of time */
	SHARED_SCREEN, /* results of tests of clients */
	SHARED_GREY,   /* greylisting */
	SHARED_QUOTA,  /* what senders have sent */
	SHARED_AREAS
};

enum {
	SHARED_WORDS = 6,             /* values of one record */
	SHARED_TTL_MAX = 300 * 86400, /* seconds */
	SHARED_UNIT_MAX = 90 * 86400,
	SHARED_COUNT_MAX = (1 << 24) - 1,
	SHARED_FILE_MAX = 40 << 20,
};

struct shared_table;

/* Makes the memory: a descriptor for shared_table_attach, here or elsewhere.
 * It is of use until the last process that has it is gone. */
int shared_table_create(int *out_fd, struct err *e);

/* Maps it, and takes a place among its (at most 256) users. The descriptor
 * becomes the table's; a process has one table of each memory at most. */
int shared_table_attach(int fd, struct shared_table **out, struct err *e);
void shared_table_free(struct shared_table **t);

/* A key from parts: what it is about ("conn smtp"), and of whom. */
uint64_t shared_table_key(const struct shared_table *t, const char *what,
    struct span whom);

/* ---- events per unit of time ---- */
/* Counts n events in value i (0..SHARED_WORDS-1) of the key's record, in a
 * unit of unit_s seconds that begins with the first event. With a limit (0:
 * none), events that would pass it are not counted, and it returns false. The
 * count, with these events whether counted or not, in *out_count (NULL
 * allowed). n 0 only reads. */
bool shared_table_count(struct shared_table *t, enum shared_area area,
    uint64_t key, unsigned i, uint32_t n, uint32_t limit, int64_t now_s,
    int64_t unit_s, uint32_t *out_count);

/* ---- memories ---- */
/* Sets value i; the record then lives for ttl_s. New records are of zeros. */
void shared_table_put(struct shared_table *t, enum shared_area area,
    uint64_t key, unsigned i, uint64_t value, int64_t now_s, int64_t ttl_s);
/* All values of a living record; false: there is none. */
bool shared_table_get(struct shared_table *t, enum shared_area area,
    uint64_t key, int64_t now_s, uint64_t out[SHARED_WORDS]);
void shared_table_forget(struct shared_table *t, enum shared_area area,
    uint64_t key);

/* ---- what is held ---- */
/* Counts one more of the key for this process; returns how many all living
 * processes hold. When that passes limit (0: none) it looks closely at who is
 * alive. *out_held: it was counted, so shared_table_drop is due later. */
unsigned shared_table_hold(struct shared_table *t, uint64_t key,
    unsigned limit, bool *out_held);
void shared_table_drop(struct shared_table *t, uint64_t key);

/* ---- peaks, for statistics ---- */
enum { SHARED_PEAKS = 8, SHARED_PEAK_TEXT = 80 };
struct shared_peak {
	uint32_t value; /* 0: none */
	int64_t time_s;
	char who[SHARED_PEAK_TEXT];
};
/* Notes a value of the i-th statistic if it is the highest of this process
 * since the last collection. */
void shared_table_peak(struct shared_table *t, unsigned i, uint32_t value,
    int64_t now_s, const char *who);
/* The highest of all processes since the last collection; a new time of
 * collection begins. */
void shared_table_peaks(struct shared_table *t,
    struct shared_peak out[SHARED_PEAKS]);

/* ---- who has room ---- */
/* What this process could still take, of the kind of the key. */
void shared_table_set_room(struct shared_table *t, uint64_t key,
    uint32_t room);
/* What the other living processes could take of it, added up. */
uint32_t shared_table_others_room(struct shared_table *t, uint64_t key);

/* ---- one for all ---- */
/* True for one process in each period: it does the job numbered 0..7. */
bool shared_table_turn(struct shared_table *t, unsigned job, int64_t now_s,
    int64_t period_s);

/* ---- keeping it over a restart ---- */
/* True for the first process that asks, which then calls shared_table_load
 * (with an empty span when there is nothing); the others wait here, a few
 * seconds at most, until it has (or was killed: then it is their turn). */
bool shared_table_must_load(struct shared_table *t);
/* Takes the records of a file made by shared_table_save. Of a damaged one
 * nothing is taken, and -1 returned. */
int shared_table_load(struct shared_table *t, struct span file, int64_t now_s,
    struct err *e);
/* Has anything changed that shared_table_save would write? Asking resets
 * it. */
bool shared_table_changed(struct shared_table *t);
/* All living records that are to be kept, as a file's bytes, appended to out
 * (initialised, room for SHARED_FILE_MAX). For any thread. */
void shared_table_save(struct shared_table *t, int64_t now_s,
    struct buf *out);

#endif
