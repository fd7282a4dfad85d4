/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/date.h"

#include "lib/base/mem.h"

enum { DAY = 86400, YEAR_MAX = 9999, OFFSET_MAX = 5999 };

static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun",
	"Jul", "Aug", "Sep", "Oct", "Nov", "Dec" };
static const char weekdays[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri",
	"Sat" };

/* Days from 1970-01-01 to a date of the Gregorian calendar, counted in years
 * that begin in March, so that the leap day comes last. */
static int64_t
days_from_civil(int year, int month, int day)
{
	const int64_t y = month <= 2 ? year - 1 : year;
	const int64_t era = (y >= 0 ? y : y - 399) / 400;
	const int64_t of_era = y - era * 400;
	const int64_t of_year =
	    (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 +
	       of_year - 719468;
}

static void
civil_from_days(int64_t days, struct date *out)
{
	const int64_t z = days + 719468;
	const int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	const int64_t doe = z - era * 146097;
	const int64_t yoe =
	    (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	const int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	const int64_t mp = (5 * doy + 2) / 153;

	out->day = (int)(doy - (153 * mp + 2) / 5 + 1);
	out->month = (int)(mp < 10 ? mp + 3 : mp - 9);
	out->year = (int)(yoe + era * 400 + (out->month <= 2));
}

static int64_t
clamp(int64_t v, int64_t low, int64_t high)
{
	return v < low ? low : v > high ? high : v;
}

void
date_from_time(int64_t t, int offset_min, struct date *out)
{
	const int64_t low = days_from_civil(0, 1, 1) * DAY;
	const int64_t high = days_from_civil(YEAR_MAX + 1, 1, 1) * DAY - 1;
	const int offset = (int)clamp(offset_min, -OFFSET_MAX, OFFSET_MAX);
	const int64_t local =
	    clamp(clamp(t, low, high) + offset * 60, low, high);
	int64_t days = local / DAY;
	int64_t rest = local % DAY;

	if (rest < 0) {
		rest += DAY;
		days--;
	}
	civil_from_days(days, out);
	out->hour = (int)(rest / 3600);
	out->minute = (int)(rest / 60 % 60);
	out->second = (int)(rest % 60);
	out->weekday = (int)(((days + 4) % 7 + 7) % 7);
	out->offset_min = offset;
}

int64_t
date_to_time(const struct date *d)
{
	return days_from_civil(d->year, d->month, d->day) * DAY +
	       d->hour * 3600 + d->minute * 60 + d->second -
	       (int64_t)d->offset_min * 60;
}

static void
print_offset(struct buf *out, int offset_min)
{
	const int abs = offset_min < 0 ? -offset_min : offset_min;

	buf_fmt(
	    out, "%c%02d%02d", offset_min < 0 ? '-' : '+', abs / 60, abs % 60);
}

void
date_print_rfc5322(struct buf *out, int64_t t, int offset_min, const char *zone)
{
	struct date d;

	date_from_time(t, offset_min, &d);
	buf_fmt(out, "%s, %d %s %04d %02d:%02d:%02d ", weekdays[d.weekday],
	    d.day, months[d.month - 1], d.year, d.hour, d.minute, d.second);
	print_offset(out, d.offset_min);
	if (zone != NULL)
		buf_fmt(out, " (%s)", zone);
}

void
date_print_imap(struct buf *out, int64_t t, int offset_min)
{
	struct date d;

	date_from_time(t, offset_min, &d);
	buf_fmt(out, "%2d-%s-%04d %02d:%02d:%02d ", d.day, months[d.month - 1],
	    d.year, d.hour, d.minute, d.second);
	print_offset(out, d.offset_min);
}

void
date_print_asctime(struct buf *out, int64_t t, int offset_min)
{
	struct date d;

	date_from_time(t, offset_min, &d);
	buf_fmt(out, "%s %s %2d %02d:%02d:%02d %04d", weekdays[d.weekday],
	    months[d.month - 1], d.day, d.hour, d.minute, d.second, d.year);
}

/* ---- parsing: a cursor over the text, taking one element at a time ---- */

/* Skips white space and comments; an unclosed comment runs to the end. */
static void
skip_cfws(struct span *s)
{
	size_t depth = 0;
	size_t i = 0;

	for (; i < s->n; i++) {
		const uint8_t c = s->p[i];

		if (c == '(')
			depth++;
		else if (depth > 0 && c == ')')
			depth--;
		else if (depth > 0 && c == '\\')
			i++;
		else if (depth == 0 && c != ' ' && c != '\t' && c != '\r' &&
			 c != '\n')
			break;
	}
	*s = span_skip(*s, i);
}

static bool
take_byte(struct span *s, uint8_t c)
{
	if (s->n == 0 || s->p[0] != c)
		return false;
	*s = span_skip(*s, 1);
	return true;
}

/* Between min and max digits; the number of them is returned, 0 for none. */
static size_t
take_number(struct span *s, size_t min, size_t max, int *out)
{
	size_t n = 0;
	int v = 0;

	while (n < s->n && n < max && ascii_digit(s->p[n]))
		v = v * 10 + s->p[n++] - '0';
	if (n < min || (n < s->n && ascii_digit(s->p[n])))
		return 0;
	*s = span_skip(*s, n);
	*out = v;
	return n;
}

static struct span
take_word(struct span *s)
{
	size_t n = 0;

	while (n < s->n && ascii_alpha(s->p[n]))
		n++;

	const struct span word = span_slice(*s, 0, n);

	*s = span_skip(*s, n);
	return word;
}

static bool
take_month(struct span *s, int *out)
{
	const struct span word = take_word(s);

	for (int i = 0; i < 12; i++) {
		if (span_ieq(word, span_str(months[i]))) {
			*out = i + 1;
			return true;
		}
	}
	return false;
}

/* "hh:mm[:ss]", white space allowed around the colons. */
static bool
take_clock(struct span *s, struct date *d)
{
	if (take_number(s, 1, 2, &d->hour) == 0)
		return false;
	skip_cfws(s);
	if (!take_byte(s, ':'))
		return false;
	skip_cfws(s);
	if (take_number(s, 1, 2, &d->minute) == 0)
		return false;
	skip_cfws(s);
	d->second = 0;
	if (!take_byte(s, ':'))
		return true;
	skip_cfws(s);
	return take_number(s, 1, 2, &d->second) != 0;
}

static bool
take_offset(struct span *s, int *out_min)
{
	struct span rest = *s;
	const bool west = take_byte(&rest, '-');
	int hhmm;

	if (!west && !take_byte(&rest, '+'))
		return false;
	if (take_number(&rest, 4, 4, &hhmm) == 0 || hhmm % 100 > 59)
		return false;
	*out_min = (hhmm / 100 * 60 + hhmm % 100) * (west ? -1 : 1);
	*s = rest;
	return true;
}

/* The named zones of RFC 5322 4.3; all others mean that nothing is known. */
static int
named_offset(struct span name)
{
	static const struct {
		const char *name;
		int hours;
	} zones[] = { { "EDT", -4 }, { "EST", -5 }, { "CDT", -5 },
		{ "CST", -6 }, { "MDT", -6 }, { "MST", -7 }, { "PDT", -7 },
		{ "PST", -8 } };

	for (size_t i = 0; i < COUNT_OF(zones); i++)
		if (span_ieq(name, span_str(zones[i].name)))
			return zones[i].hours * 60;
	return 0;
}

static bool
in_range(const struct date *d)
{
	return d->year >= 0 && d->year <= YEAR_MAX && d->day >= 1 &&
	       d->day <= 31 && d->hour <= 23 && d->minute <= 59 &&
	       d->second <= 60;
}

/* RFC 5322 4.3: 00-49 is 20xx, 50-99 and three digits count from 1900. */
static bool
take_year(struct span *s, int *out)
{
	const size_t n = take_number(s, 2, 4, out);

	if (n == 0)
		return false;
	if (n == 2 && *out < 50)
		*out += 2000;
	else if (n < 4)
		*out += 1900;
	return true;
}

bool
date_parse_rfc5322(struct span s, int64_t *out_t, int *out_offset_min)
{
	struct date d = { .year = 0 };

	skip_cfws(&s);
	if (take_word(&s).n > 0) {
		skip_cfws(&s);
		take_byte(&s, ',');
		skip_cfws(&s);
	}
	if (take_number(&s, 1, 2, &d.day) == 0)
		return false;
	skip_cfws(&s);
	if (!take_month(&s, &d.month))
		return false;
	skip_cfws(&s);
	if (!take_year(&s, &d.year))
		return false;
	skip_cfws(&s);
	if (!take_clock(&s, &d))
		return false;
	skip_cfws(&s);
	if (!take_offset(&s, &d.offset_min))
		d.offset_min = named_offset(take_word(&s));
	if (!in_range(&d))
		return false;
	*out_t = date_to_time(&d);
	*out_offset_min = d.offset_min;
	return true;
}

static bool
take_imap_day(struct span *s, struct date *d)
{
	return take_number(s, 1, 2, &d->day) != 0 && take_byte(s, '-') &&
	       take_month(s, &d->month) && take_byte(s, '-') &&
	       take_number(s, 4, 4, &d->year) != 0;
}

bool
date_parse_imap(struct span s, int64_t *out_t, int *out_offset_min)
{
	struct date d = { .year = 0 };

	if (s.n != 26)
		return false;
	take_byte(&s, ' ');
	if (!take_imap_day(&s, &d) || !take_byte(&s, ' ') ||
	    take_number(&s, 2, 2, &d.hour) == 0 || !take_byte(&s, ':') ||
	    take_number(&s, 2, 2, &d.minute) == 0 || !take_byte(&s, ':') ||
	    take_number(&s, 2, 2, &d.second) == 0 || !take_byte(&s, ' ') ||
	    !take_offset(&s, &d.offset_min) || s.n != 0 || !in_range(&d))
		return false;
	*out_t = date_to_time(&d);
	*out_offset_min = d.offset_min;
	return true;
}

bool
date_parse_imap_day(struct span s, int64_t *out_t)
{
	struct date d = { .year = 0 };

	if (!take_imap_day(&s, &d) || s.n != 0 || !in_range(&d))
		return false;
	*out_t = date_to_time(&d);
	return true;
}

/* A zone of any kind, if there is one. */
static void
take_zone(struct span *s, struct date *d)
{
	skip_cfws(s);
	if (!take_offset(s, &d->offset_min))
		take_word(s);
	skip_cfws(s);
}

bool
date_parse_asctime(struct span s, int64_t *out_t)
{
	struct date d = { .year = 0 };

	skip_cfws(&s);
	if (take_word(&s).n == 0)
		return false;
	skip_cfws(&s);
	if (!take_month(&s, &d.month))
		return false;
	skip_cfws(&s);
	if (take_number(&s, 1, 2, &d.day) == 0)
		return false;
	skip_cfws(&s);
	if (!take_clock(&s, &d))
		return false;
	take_zone(&s, &d);
	if (take_number(&s, 4, 4, &d.year) == 0 || !in_range(&d))
		return false;
	take_zone(&s, &d);
	*out_t = date_to_time(&d);
	return true;
}
