/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/ip_pattern.h"

static bool
octet(struct span *rest, unsigned *out)
{
	unsigned n = 0;
	size_t i = 0;

	for (; i < rest->n && i < 3 && ascii_digit(rest->p[i]); i++)
		n = n * 10 + rest->p[i] - '0';
	if (i == 0 || n > 255 || (i < rest->n && ascii_digit(rest->p[i])))
		return false;
	*rest = span_skip(*rest, i);
	*out = n;
	return true;
}

static bool
take(struct span *rest, struct span what)
{
	if (!span_starts(*rest, what))
		return false;
	*rest = span_skip(*rest, what.n);
	return true;
}

/* "n" or "n..m" */
static bool
member(struct span *rest, uint64_t bits[4], const char **out_why)
{
	unsigned from, to;

	*out_why = "a number from 0 to 255 must stand here";
	if (!octet(rest, &from))
		return false;
	to = from;
	if (take(rest, SPAN("..")) && !octet(rest, &to))
		return false;
	*out_why = "a range must go upwards";
	if (to < from)
		return false;
	for (unsigned n = from; n <= to; n++)
		bits[n / 64] |= UINT64_C(1) << n % 64;
	return true;
}

static bool
field(struct span *rest, uint64_t bits[4], const char **out_why)
{
	unsigned n;

	if (!take(rest, SPAN("["))) {
		*out_why = "a number from 0 to 255 must stand here";
		if (!octet(rest, &n))
			return false;
		bits[n / 64] |= UINT64_C(1) << n % 64;
		return true;
	}
	do {
		if (!member(rest, bits, out_why))
			return false;
	} while (take(rest, SPAN(";")));
	*out_why = "\"[\" without \"]\"";
	return take(rest, SPAN("]"));
}

bool
ip_pattern_parse(struct span s, struct ip_pattern *out, const char **out_why)
{
	struct ip_pattern p = { 0 };

	for (unsigned i = 0; i < 4; i++) {
		*out_why = "four fields with dots between are needed";
		if (i > 0 && !take(&s, SPAN(".")))
			return false;
		if (!field(&s, p.octets[i], out_why))
			return false;
	}
	*out_why = "something stands behind the last field";
	if (s.n > 0)
		return false;
	*out = p;
	return true;
}

bool
ip_pattern_match(const struct ip_pattern *p, const uint8_t address[4])
{
	for (unsigned i = 0; i < 4; i++)
		if ((p->octets[i][address[i] / 64] >> address[i] % 64 & 1) ==
		    0)
			return false;
	return true;
}
