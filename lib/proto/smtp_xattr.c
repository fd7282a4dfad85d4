/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/smtp_xattr.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/proto/address.h"
#include "lib/proto/xtext.h"

enum { PROTO_MAX = 64, PORT_DIGITS = 5, COMMAND_MAX = 500 };

static bool
hostname_ok(char *text)
{
	return domain_valid(span_str(text)) ||
	       domain_literal_valid(span_str(text));
}

/* Writes an address as inet_ntop does; "IPV6:" may stand in front. */
static bool
addr_ok(char *text)
{
	const struct span s = span_str(text);
	const char *bare = text + (span_istarts(s, SPAN("IPV6:")) ? 5 : 0);
	char clean[INET6_ADDRSTRLEN];
	struct in6_addr ip6;
	struct in_addr ip4;

	if (inet_pton(AF_INET6, bare, &ip6) == 1)
		inet_ntop(AF_INET6, &ip6, clean, sizeof(clean));
	else if (bare == text && inet_pton(AF_INET, bare, &ip4) == 1)
		inet_ntop(AF_INET, &ip4, clean, sizeof(clean));
	else
		return false;
	snprintf(text, XATTR_VALUE_MAX + 1, "%s", clean);
	return true;
}

static bool
port_ok(char *text)
{
	uint64_t port;

	return strlen(text) <= PORT_DIGITS &&
	       span_u64(span_str(text), 65535, &port);
}

static bool
proto_ok(char *text)
{
	for (char *p = text; *p != '\0'; p++)
		*p = (char)ascii_upper((uint8_t)*p);
	return strcmp(text, "SMTP") == 0 || strcmp(text, "ESMTP") == 0;
}

/* Takes the sting out of what would change a header or a log line. */
static bool
mask(char *text)
{
	for (char *p = text; *p != '\0'; p++)
		if (strchr(" <>()\\\";@", *p) != NULL)
			*p = '?';
	return true;
}

static bool
short_mask(char *text)
{
	return strlen(text) <= PROTO_MAX && mask(text);
}

static bool
source_ok(char *text)
{
	for (char *p = text; *p != '\0'; p++)
		*p = (char)ascii_upper((uint8_t)*p);
	return strcmp(text, "LOCAL") == 0 || strcmp(text, "REMOTE") == 0;
}

static bool
any(char *text)
{
	return text[0] != '\0';
}

/* What each command knows. A check may bring the text into form. */
static const struct row {
	const char *name, *bad;
	bool (*xclient)(char *text), (*xforward)(char *text);
} rows[] = {
	[XATTR_NAME] = { "NAME", "Bad NAME syntax: ", hostname_ok,
	    hostname_ok },
	[XATTR_REVERSE_NAME] = { "REVERSE_NAME", "Bad REVERSE_NAME syntax: ",
	    hostname_ok, NULL },
	[XATTR_ADDR] = { "ADDR", "Bad ADDR syntax: ", addr_ok, addr_ok },
	[XATTR_PORT] = { "PORT", "Bad PORT syntax: ", port_ok, port_ok },
	[XATTR_PROTO] = { "PROTO", "Bad PROTO syntax: ", proto_ok,
	    short_mask },
	[XATTR_HELO] = { "HELO", "Bad HELO syntax: ", mask, mask },
	[XATTR_LOGIN] = { "LOGIN", "Bad LOGIN syntax: ", any, NULL },
	[XATTR_DESTADDR] = { "DESTADDR", "Bad DESTADDR syntax: ", addr_ok,
	    NULL },
	[XATTR_DESTPORT] = { "DESTPORT", "Bad DESTPORT syntax: ", port_ok,
	    NULL },
	[XATTR_IDENT] = { "IDENT", "Bad IDENT syntax: ", NULL, mask },
	[XATTR_SOURCE] = { "SOURCE", "Bad SOURCE syntax: ", NULL, source_ok },
};

const char *
smtp_xattr_names(enum smtp_verb verb)
{
	return verb == SMTP_XCLIENT ? "NAME ADDR PROTO HELO REVERSE_NAME PORT "
				      "LOGIN DESTADDR DESTPORT"
				    : "NAME ADDR PROTO HELO SOURCE PORT IDENT";
}

static enum parse
reject(struct smtp_reject *why, const char *text, struct span detail)
{
	why->code = 501;
	why->dsn = "5.5.4";
	why->text = text;
	why->detail = detail;
	return PARSE_BAD;
}

/* Decodes xtext; older proxies send the text as it is. */
static void
decode(struct span value, char *out)
{
	struct buf b;
	struct span text = value;

	buf_init(&b, XATTR_VALUE_MAX);
	if (xtext_decode(value, &b))
		text = buf_span(&b);
	for (size_t i = 0; i < text.n; i++)
		out[i] = text.p[i] < ' ' || text.p[i] > 126 ? '?'
							    : (char)text.p[i];
	out[text.n] = '\0';
	buf_release(&b);
}

static enum parse
take(enum smtp_verb verb, struct span word, struct smtp_xattrs *out,
    struct smtp_reject *why)
{
	const size_t eq = span_chr(word, '=');
	const struct span name = span_slice(word, 0, eq);
	const struct span value = span_skip(word, eq == SIZE_MAX ? word.n
								 : eq + 1);
	size_t a = 0;
	char *text;

	if (value.n == 0)
		return reject(
		    why, "Error: attribute=value expected", SPAN_EMPTY);
	if (value.n > XATTR_VALUE_MAX)
		return reject(
		    why, "Error: attribute value too long", SPAN_EMPTY);
	while (a < XATTR_COUNT && !span_ieq(name, span_str(rows[a].name)))
		a++;
	if (a == XATTR_COUNT ||
	    (verb == SMTP_XCLIENT ? rows[a].xclient : rows[a].xforward) == NULL)
		return reject(why,
		    verb == SMTP_XCLIENT ? "Bad XCLIENT attribute name: "
					 : "Bad XFORWARD attribute name: ",
		    name);
	text = out->v[a].text;
	decode(value, text);
	if (span_ieq(span_str(text), SPAN("[UNAVAILABLE]"))) {
		out->v[a].state = XATTR_UNAVAILABLE;
	} else if (span_ieq(span_str(text), SPAN("[TEMPUNAVAIL]"))) {
		out->v[a].state = XATTR_TEMPUNAVAIL;
	} else if (!(verb == SMTP_XCLIENT ? rows[a].xclient
					  : rows[a].xforward)(text)) {
		snprintf(out->bad, sizeof(out->bad), "%s", text);
		return reject(why, rows[a].bad, span_str(out->bad));
	} else {
		out->v[a].state = XATTR_TEXT;
	}
	return PARSE_OK;
}

enum parse
smtp_xattr_parse(const struct smtp_cmd *cmd, struct smtp_xattrs *out,
    struct smtp_reject *out_why)
{
	struct span rest = cmd->arg, word;
	bool some = false;

	*out_why = (struct smtp_reject){ .verb = cmd->verb };
	for (size_t a = 0; a < XATTR_COUNT; a++) {
		out->v[a].state = XATTR_ABSENT;
		out->v[a].text[0] = '\0';
	}
	out->bad[0] = '\0';
	while (span_token(&rest, " \t", &word)) {
		some = true;
		if (take(cmd->verb, word, out, out_why) != PARSE_OK)
			return PARSE_BAD;
	}
	if (!some)
		return reject(out_why,
		    cmd->verb == SMTP_XCLIENT
			? "Syntax: XCLIENT attribute=value..."
			: "Syntax: XFORWARD attribute=value...",
		    SPAN_EMPTY);
	return PARSE_OK;
}

const char *
smtp_xattr_text(const struct smtp_xattrs *x, enum smtp_xattr a)
{
	return x->v[a].state == XATTR_TEXT ? x->v[a].text : NULL;
}

/* ---- saying it ---- */

static bool
offers(struct span offered, const char *name)
{
	struct span word;

	while (span_token(&offered, " ", &word))
		if (span_ieq(word, span_str(name)))
			return true;
	return false;
}

void
smtp_xforward_print(const struct smtp_forward *f, struct span offered,
    struct buf *out)
{
	const struct {
		const char *name;
		struct span value;
	} all[] = {
		{ "NAME", f->name }, { "ADDR", f->addr }, { "PORT", f->port },
		{ "HELO", f->helo }, { "IDENT", f->ident },
		{ "PROTO", f->proto }, { "SOURCE", f->source },
	};
	const size_t begin = out->n;
	size_t line = begin;
	struct buf one;

	buf_init(&one, COMMAND_MAX - sizeof("XFORWARD"));
	for (size_t i = 0; i < COUNT_OF(all); i++) {
		if (!offers(offered, all[i].name))
			continue;
		buf_reset(&one);
		buf_fmt(&one, " %s=", all[i].name);
		if (all[i].value.n == 0 ||
		    span_eq(all[i].value, SPAN("unknown")))
			buf_str(&one, "[UNAVAILABLE]");
		else
			xtext_encode(all[i].value, &one);
		if (!buf_ok(&one))
			continue; /* nobody would believe it */
		if (out->n == begin || out->n - line + one.n >= COMMAND_MAX) {
			buf_str(out, out->n > begin ? "\n" : "");
			line = out->n;
			buf_str(out, "XFORWARD");
		}
		buf_add(out, buf_span(&one));
	}
	buf_str(out, out->n > begin ? "\n" : "");
	buf_release(&one);
}
