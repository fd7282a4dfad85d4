/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QUEUE_QUEUE_ID_H
#define CHAPPE_QUEUE_QUEUE_ID_H

/*
 * Queue ids: time-ordered, never reused. Microseconds since the Unix epoch
 * (never less than the last one used plus one), then the slot of the
 * accepting process: 13 + 2 upper-case hexadecimal digits until the year
 * 2112. Readers take 11 to 15 digits.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/span.h"

enum {
	QUEUE_ID_TEXT = 16 /* with NUL */,
	QUEUE_SLOTS = 256,
	QUEUE_HASH_DIRS = 16
};

struct queue_id {
	uint64_t n; /* us << 8 | slot; 0: none */
};

/* Makes ids of one slot. */
struct queue_id_source {
	uint64_t last_us;
	uint8_t slot;
};
struct queue_id queue_id_next(struct queue_id_source *s, int64_t now_us);

bool queue_id_parse(struct span text, struct queue_id *out);
void queue_id_text(struct queue_id id, char out[QUEUE_ID_TEXT]);
int64_t queue_id_us(struct queue_id id);
uint8_t queue_id_slot(struct queue_id id);

/* The hashed directory ("0".."F") that a message lives in: low digit of the
 * microseconds. */
char queue_id_dir(struct queue_id id);

#endif
