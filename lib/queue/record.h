/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QUEUE_RECORD_H
#define CHAPPE_QUEUE_RECORD_H

/*
 * The bytes of a queue file, without any input or output: docs/FORMATS.md,
 * "Queue file". Numbers are little-endian. Writers append to a buf; readers
 * take a span and return PARSE_OK, PARSE_MORE (the bytes end too early) or
 * PARSE_BAD (they cannot be a prefix of a valid one); what they return points
 * into the span.
 */

#include "lib/base/buf.h"
#include "lib/queue/queue.h"

enum {
	RECORD_VERSION = 1,
	RECORD_HEADER = 72, /* bytes of the file's fixed head */
	RECORD_FRAME = 12,  /* bytes in front of a record's data */
	RECORD_END = RECORD_FRAME + 16,
	RECORD_DATA_MAX = 1 << 20, /* of records but the notes */
	RECORD_NOTES_MAX = 1 << 25,
	RECORD_GROUP = 64, /* recipients between two known places */
};

enum record_type {
	RECORD_T_ENVELOPE = 'S',
	RECORD_T_RCPT = 'R',
	RECORD_T_END = 'E',
	RECORD_T_NOTES = 'N',
};

/* The fixed head, written last. Sections follow each other: head, envelope
 * records, room, content, more envelope records, end record, notes. */
struct record_header {
	struct queue_id id;
	uint64_t envelope_size;
	uint64_t content_at, content_size;
	uint64_t more_size;
	uint32_t content_crc;
	uint32_t rcpt_count;
};
void record_header_put(struct buf *b, const struct record_header *h);
enum parse record_header_get(struct span in, struct record_header *out);
/* Where the notes begin: behind the end record. */
uint64_t record_header_end(const struct record_header *h);

struct record {
	uint8_t type; /* enum record_type, or one of a newer release */
	uint8_t mark;
	struct span data;
};
/* The record at the beginning of in; its checksum fits. data_max bounds the
 * length it may claim. */
enum parse record_get(
    struct span in, size_t data_max, struct record *out, size_t *out_used);

void record_envelope_put(struct buf *b, const struct queue_envelope *env);
bool record_envelope_get(const struct record *r, struct queue_envelope *out);

void record_rcpt_put(struct buf *b, const struct queue_rcpt *rcpt);
bool record_rcpt_get(const struct record *r, struct queue_rcpt *out);
/* The state that a recipient's mark byte means: an unknown one is "to do",
 * since a repetition is better than a loss. */
enum rcpt_state record_mark_state(uint8_t mark);
uint8_t record_mark_byte(enum rcpt_state state);
enum { RECORD_MARK_AT = 1 /* in the record */ };

void record_end_put(struct buf *b, const struct record_header *h);
bool record_end_get(const struct record *r, const struct record_header *h);

struct record_notes {
	int64_t next_try_s;
	uint32_t tries;
	uint32_t count;
	struct span entries;
};
void record_notes_put(struct buf *b, int64_t next_try_s, uint32_t tries,
    const struct queue_note *n, size_t count);
bool record_notes_get(const struct record *r, struct record_notes *out);
/* The next entry; *state starts zeroed. False at the end or when damaged. */
struct record_notes_iter {
	size_t at;
	struct queue_note last;
};
bool record_notes_next(const struct record_notes *n,
    struct record_notes_iter *it, struct queue_note *out);

#endif
