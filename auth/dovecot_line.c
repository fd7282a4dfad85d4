/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/dovecot_line.h"

#include "lib/base/mem.h"

static struct span
take(struct span *rest)
{
	const size_t tab = span_chr(*rest, '\t');
	const struct span field = span_slice(*rest, 0, tab);

	*rest = tab == SIZE_MAX ? SPAN_EMPTY : span_skip(*rest, tab + 1);
	return field;
}

static bool
take_number(struct span *rest, uint32_t *out)
{
	uint64_t n;

	if (!span_u64(take(rest), UINT32_MAX, &n))
		return false;
	*out = (uint32_t)n;
	return true;
}

/* "name=value" or "name": the value, or SPAN_EMPTY. */
static bool
is_field(struct span field, const char *name, struct span *out_value)
{
	const struct span n = span_str(name);

	if (!span_starts(field, n))
		return false;
	*out_value = SPAN_EMPTY;
	if (field.n == n.n)
		return true;
	if (field.p[n.n] != '=')
		return false;
	*out_value = span_skip(field, n.n + 1);
	return true;
}

/* The parameters of AUTH; those not known are passed over. */
static void
take_parameters(struct span rest, struct dovecot_line *out)
{
	while (rest.n > 0) {
		const struct span field = take(&rest);
		struct span value;

		if (span_starts(field, SPAN("resp="))) {
			/* The last one: all that follows belongs to it. */
			out->has_resp = true;
			out->resp = span_skip(field, 5);
			return;
		}
		if (is_field(field, "service", &value))
			out->service = value;
		else if (is_field(field, "rip", &value))
			out->rip = value;
		else if (is_field(field, "secured", &value) ||
		    is_field(field, "transport_security", &value))
			out->secured = true;
		else if (is_field(field, "valid-client-cert", &value))
			out->cert = true;
		else if (is_field(field, "cert_username", &value))
			out->cert_user = value;
	}
}

static bool
parse_command(struct span command, struct span rest, struct dovecot_line *out)
{
	if (span_eq(command, SPAN("VERSION"))) {
		out->command = DOVECOT_VERSION;
		return take_number(&rest, &out->major);
	}
	if (span_eq(command, SPAN("CPID"))) {
		out->command = DOVECOT_CPID;
		return take_number(&rest, &out->pid);
	}
	if (span_eq(command, SPAN("CANCEL"))) {
		out->command = DOVECOT_CANCEL;
		return take_number(&rest, &out->id);
	}
	if (span_eq(command, SPAN("CONT"))) {
		out->command = DOVECOT_CONT;
		out->has_resp = true;
		if (!take_number(&rest, &out->id))
			return false;
		out->resp = rest;
		return true;
	}
	if (span_eq(command, SPAN("AUTH"))) {
		out->command = DOVECOT_AUTH;
		if (!take_number(&rest, &out->id))
			return false;
		out->mechanism = take(&rest);
		take_parameters(rest, out);
		return out->mechanism.n > 0;
	}
	out->command = DOVECOT_OTHER;
	return command.n > 0;
}

void
dovecot_line_parse(struct span line, struct dovecot_line *out)
{
	*out = (struct dovecot_line){ .command = DOVECOT_BAD };
	if (span_chr(line, '\0') != SIZE_MAX ||
	    !parse_command(take(&line), line, out))
		out->command = DOVECOT_BAD;
}

/* 001 begins an escape: what stands for NUL, itself, tab, CR and LF. */
static const struct {
	uint8_t byte, as;
} escapes[] = { { '\0', '0' }, { '\001', '1' }, { '\t', 't' }, { '\r', 'r' },
	{ '\n', 'n' } };

void
dovecot_escape(struct span value, struct buf *out)
{
	for (size_t i = 0; i < value.n; i++) {
		size_t e = 0;

		while (e < COUNT_OF(escapes) && escapes[e].byte != value.p[i])
			e++;
		if (e < COUNT_OF(escapes)) {
			buf_byte(out, '\001');
			buf_byte(out, escapes[e].as);
		} else {
			buf_byte(out, value.p[i]);
		}
	}
}

void
dovecot_unescape(struct span value, struct buf *out)
{
	for (size_t i = 0; i < value.n; i++) {
		uint8_t c = value.p[i];

		if (c == '\001' && i + 1 < value.n) {
			c = value.p[++i];
			for (size_t e = 0; e < COUNT_OF(escapes); e++)
				if (escapes[e].as == c) {
					c = escapes[e].byte;
					break;
				}
		}
		buf_byte(out, c);
	}
}
