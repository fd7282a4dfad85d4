/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/conf/conf_impl.h"

#include <inttypes.h>
#include <stdlib.h>

#include "lib/base/mem.h"
#include "lib/base/span.h"

static int
bad(const struct param *row, const char *text, const char *why, struct err *e)
{
	return err_set(
	    e, ERR_PERM, "4.3.5", "%s = %.60s: %s", row->name, text, why);
}

static int
parse_bool(const struct param *row, const char *text, bool *out, struct err *e)
{
	const struct span s = span_str(text);

	if (span_ieq(s, SPAN("yes")) || span_ieq(s, SPAN("true")))
		*out = true;
	else if (span_ieq(s, SPAN("no")) || span_ieq(s, SPAN("false")))
		*out = false;
	else
		return bad(row, text, "must be yes or no", e);
	return 0;
}

/* Splits "-12k" into number and unit letter (0: none). */
static bool
split_number(const char *text, int64_t *out, char *out_unit)
{
	struct span s = span_str(text);
	const bool negative = s.n > 0 && s.p[0] == '-';
	uint64_t n;
	char unit = 0;

	if (negative)
		s = span_skip(s, 1);
	if (s.n > 1 && ascii_alpha(s.p[s.n - 1])) {
		unit = (char)ascii_lower(s.p[s.n - 1]);
		s.n--;
	}
	if (!span_u64(s, INT64_MAX, &n))
		return false;
	*out = negative ? -(int64_t)n : (int64_t)n;
	*out_unit = unit;
	return true;
}

static int
check_bounds(
    const struct param *row, const char *text, int64_t n, struct err *e)
{
	if (n >= row->min && n <= row->max)
		return 0;
	return err_set(e, ERR_PERM, "4.3.5",
	    "%s = %.60s: must be from %" PRId64 " to %" PRId64 "%s", row->name,
	    text, row->min, row->max,
	    row->type == PARAM_T_TIME ? " milliseconds" : "");
}

static int
parse_int(
    const struct param *row, const char *text, int64_t *out, struct err *e)
{
	int64_t n, factor;
	char unit;

	if (!split_number(text, &n, &unit))
		return bad(row, text, "must be a number", e);
	switch (unit) {
	case 0:
		factor = 1;
		break;
	case 'k':
		factor = 1 << 10;
		break;
	case 'm':
		factor = 1 << 20;
		break;
	case 'g':
		factor = 1 << 30;
		break;
	default:
		return bad(row, text, "unknown unit; k, m or g", e);
	}
	if (__builtin_mul_overflow(n, factor, &n))
		return bad(row, text, "too large", e);
	if (check_bounds(row, text, n, e) < 0)
		return -1;
	*out = n;
	return 0;
}

/* Milliseconds in a unit, 0 if there is no such unit. */
static int64_t
unit_ms(char unit)
{
	switch (unit) {
	case 's':
		return 1000;
	case 'm':
		return 60 * 1000;
	case 'h':
		return 3600 * 1000;
	case 'd':
		return 86400 * 1000;
	case 'w':
		return 7 * 86400 * 1000;
	default:
		return 0;
	}
}

/* The unit of bare numbers is the one the default is written in. */
static char
default_unit(const struct param *row)
{
	const struct span def = span_str(row->def);

	if (def.n > 0 && ascii_alpha(def.p[def.n - 1]))
		return (char)def.p[def.n - 1];
	return 's';
}

static int
parse_time(
    const struct param *row, const char *text, int64_t *out, struct err *e)
{
	int64_t n;
	char unit;

	if (!split_number(text, &n, &unit) || n < 0)
		return bad(
		    row, text, "must be a time such as 300s, 5m or 2d", e);
	const int64_t factor = unit_ms(unit == 0 ? default_unit(row) : unit);
	if (factor == 0)
		return bad(row, text, "unknown unit; s, m, h, d or w", e);
	if (__builtin_mul_overflow(n, factor, &n))
		return bad(row, text, "too large", e);
	if (check_bounds(row, text, n, e) < 0)
		return -1;
	*out = n;
	return 0;
}

static int
parse_word(const struct param *row, const char *text, int *out, struct err *e)
{
	struct span rest = span_str(row->words), word;

	for (int i = 0; span_token(&rest, " ", &word); i++)
		if (span_ieq(word, span_str(text))) {
			*out = i;
			return 0;
		}
	return err_set(e, ERR_PERM, "4.3.5", "%s = %.60s: must be one of: %s",
	    row->name, text, row->words);
}

int
conf_parse(const struct param *row, const char *text, union conf_parsed *out,
    struct err *e)
{
	switch (row->type) {
	case PARAM_T_STR:
	case PARAM_T_RAW:
		return 0;
	case PARAM_T_BOOL:
		return parse_bool(row, text, &out->yes, e);
	case PARAM_T_INT:
		return parse_int(row, text, &out->number, e);
	case PARAM_T_TIME:
		return parse_time(row, text, &out->number, e);
	case PARAM_T_ENUM:
		return parse_word(row, text, &out->word, e);
	}
	BUG_ON(true);
	return -1;
}
