/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/queue_id.h"

enum { ID_DIGITS_MIN = 11, ID_DIGITS_MAX = 15, SLOT_BITS = 8 };

struct queue_id
queue_id_next(struct queue_id_source *s, int64_t now_us)
{
	uint64_t us = now_us > 0 ? (uint64_t)now_us : 1;

	if (us <= s->last_us)
		us = s->last_us + 1;
	s->last_us = us;
	return (struct queue_id){ us << SLOT_BITS | s->slot };
}

bool
queue_id_parse(struct span text, struct queue_id *out)
{
	uint64_t n;

	if (text.n < ID_DIGITS_MIN || text.n > ID_DIGITS_MAX)
		return false;
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] >= 'a' && text.p[i] <= 'f')
			return false;
	if (!span_hex64(text, &n) || n >> SLOT_BITS == 0)
		return false;
	/* One name for one id: no leading zero beyond the shortest form. */
	if (text.n > ID_DIGITS_MIN && text.p[0] == '0')
		return false;
	out->n = n;
	return true;
}

void
queue_id_text(struct queue_id id, char out[QUEUE_ID_TEXT])
{
	const uint64_t n = id.n & 0xfffffffffffffffULL;
	int digits = ID_DIGITS_MIN;

	while (digits < ID_DIGITS_MAX && n >> 4 * digits != 0)
		digits++;
	out[digits] = '\0';
	for (int i = 0; i < digits; i++)
		out[digits - 1 - i] = "0123456789ABCDEF"[n >> 4 * i & 0xf];
}

int64_t
queue_id_us(struct queue_id id)
{
	return (int64_t)(id.n >> SLOT_BITS);
}

uint8_t
queue_id_slot(struct queue_id id)
{
	return (uint8_t)(id.n & 0xff);
}

char
queue_id_dir(struct queue_id id)
{
	return "0123456789ABCDEF"[id.n >> SLOT_BITS & 0xf];
}
