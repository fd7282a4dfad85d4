/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_DATE_H
#define CHAPPE_PROTO_DATE_H

/*
 * The date forms of mail. There is no clock and no time zone here: an
 * instant is given as seconds since 1970-01-01 00:00:00 UTC, with the offset
 * of the local zone from UTC in minutes (east positive). Years run from 0 to
 * 9999; an instant outside is shown as the nearest one inside.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"

struct date {
	int year;	/* 0..9999 */
	int month;	/* 1..12 */
	int day;	/* 1..31 */
	int hour;	/* 0..23 */
	int minute;	/* 0..59 */
	int second;	/* 0..60, 60 for a leap second as written */
	int weekday;	/* 0 Sunday .. 6; ignored by date_to_time */
	int offset_min; /* -5999..5999 */
};

/* The calendar date of an instant in the zone offset_min. */
void date_from_time(int64_t t, int offset_min, struct date *out);

/* The instant of a date; its fields must be in range, except that a day past
 * the month's end counts on into the next month. */
int64_t date_to_time(const struct date *d);

/* Appends "Sun, 22 Nov 2026 14:34:22 +0000" (RFC 5322 3.3); with zone not
 * NULL also " (zone)". */
void date_print_rfc5322(
    struct buf *out, int64_t t, int offset_min, const char *zone);

/* Parses the same, as tolerantly as RFC 5322 4.3 asks: no or any weekday,
 * comments, two- and three-digit years, seconds missing, named zones (an
 * unknown one counts as +0000); a missing zone is UTC too. False, with
 * nothing written, when it is no date. */
bool date_parse_rfc5322(struct span s, int64_t *out_t, int *out_offset_min);

/* Appends "22-Nov-2026 14:34:22 +0000", the day with a leading space when it
 * has one digit: IMAP's date-time without its quotes (RFC 3501 9). */
void date_print_imap(struct buf *out, int64_t t, int offset_min);

/* Parses exactly that form. */
bool date_parse_imap(struct span s, int64_t *out_t, int *out_offset_min);

/* Parses IMAP's search date "1-Nov-2026" or "01-Nov-2026": the instant of
 * that day's midnight in UTC. */
bool date_parse_imap_day(struct span s, int64_t *out_t);

/* Appends "Sun Nov 22 14:34:22 2026", as asctime(3) without its line end. */
void date_print_asctime(struct buf *out, int64_t t, int offset_min);

/* Parses that form, as a separator line of an mbox has it, read as UTC;
 * seconds may be missing and a zone word may stand before or after the
 * year: it is ignored, unless it is numeric (+hhmm). */
bool date_parse_asctime(struct span s, int64_t *out_t);

#endif
