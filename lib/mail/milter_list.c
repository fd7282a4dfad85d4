/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/milter_list.h"

#include <stdio.h>

#include "lib/base/mem.h"

static const char separators[] = ", \t\r\n";

/* ---- values ---------------------------------------------------------------
 */

/* "10s", "5m", "100": seconds when no unit is named. */
static int
parse_time(struct span s, uint64_t *out, struct err *e)
{
	static const struct {
		uint8_t unit;
		uint64_t ms;
	} units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 },
		{ 'd', 86400000 }, { 'w', 604800000 } };
	struct span digits = s;
	uint64_t n, ms = 1000;

	if (s.n > 0 && !ascii_digit(s.p[s.n - 1])) {
		digits.n--;
		ms = 0;
		for (size_t i = 0; i < COUNT_OF(units); i++)
			if (units[i].unit == ascii_lower(s.p[s.n - 1]))
				ms = units[i].ms;
	}
	if (ms == 0 || !span_u64(digits, 100000000, &n))
		return err_set(e, ERR_PERM, "5.3.5", "bad time \"%.*s\"",
		    SPAN_FMT(span_slice(s, 0, 60)));
	*out = n * ms;
	return 0;
}

static int
parse_action(struct span s, enum milter_default *out, struct err *e)
{
	static const char *const words[] = {
		[MILTER_DEFAULT_ACCEPT] = "accept",
		[MILTER_DEFAULT_REJECT] = "reject",
		[MILTER_DEFAULT_TEMPFAIL] = "tempfail",
		[MILTER_DEFAULT_QUARANTINE] = "quarantine",
		[MILTER_DEFAULT_SHUTDOWN] = "shutdown",
	};

	for (size_t i = 0; i < COUNT_OF(words); i++) {
		if (span_ieq(s, span_str(words[i]))) {
			*out = (enum milter_default)i;
			return 0;
		}
	}
	return err_set(e, ERR_PERM, "5.3.5",
	    "milter_default_action \"%.*s\" is none of accept, reject, "
	    "tempfail, quarantine, shutdown",
	    SPAN_FMT(span_slice(s, 0, 60)));
}

/* One version, and perhaps no_header_reply. */
static int
parse_protocol(struct span s, struct milter_conf *out, struct err *e)
{
	struct milter_conf conf = { 0 };
	struct span word, rest = s;
	uint64_t n;

	while (span_token(&rest, separators, &word)) {
		if (span_ieq(word, SPAN("no_header_reply")))
			conf.no_header_reply = true;
		else if (conf.version == 0 && span_u64(word, 6, &n) && n >= 2 &&
			 n != 5)
			conf.version = (unsigned)n;
		else
			goto bad;
	}
	if (conf.version == 0)
		goto bad;
	*out = conf;
	return 0;
bad:
	return err_set(e, ERR_PERM, "5.3.5",
	    "milter_protocol \"%.*s\": wanted is 2, 3, 4 or 6, and perhaps "
	    "no_header_reply",
	    SPAN_FMT(span_slice(s, 0, 60)));
}

/* ---- one filter -----------------------------------------------------------
 */

static int
parse_inet(struct span s, struct milter_spec *out, struct err *e)
{
	const size_t at = span_rchr(s, '@');
	const size_t colon = span_rchr(s, ':');
	struct span host, port;
	uint64_t number;

	if (at != SIZE_MAX) {
		port = span_slice(s, 0, at);
		host = span_skip(s, at + 1);
	} else if (colon != SIZE_MAX) {
		host = span_slice(s, 0, colon);
		port = span_skip(s, colon + 1);
	} else {
		host = SPAN_EMPTY;
		port = s;
	}
	if (host.n > 1 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = span_slice(host, 1, host.n - 1);
	if (host.n == 0)
		host = SPAN("localhost");
	if (!span_u64(port, 65535, &number) || number == 0)
		return err_set(e, ERR_PERM, "5.3.5",
		    "\"%s\" needs a host and the number of a port", out->name);
	out->host = span_dup(host);
	out->port = (unsigned)number;
	return 0;
}

static int
parse_address(struct span s, const char *queue_directory,
    struct milter_spec *out, struct err *e)
{
	const size_t colon = span_chr(s, ':');
	const struct span kind = span_slice(s, 0, colon);
	const struct span rest =
	    colon == SIZE_MAX ? SPAN_EMPTY : span_skip(s, colon + 1);

	out->name = span_dup(s);
	if (rest.n > 0 && span_ieq(kind, SPAN("inet")))
		return parse_inet(rest, out, e);
	if (rest.n == 0 ||
	    (!span_ieq(kind, SPAN("unix")) && !span_ieq(kind, SPAN("local"))))
		return err_set(e, ERR_PERM, "5.3.5",
		    "\"%s\" is no address of a filter: wanted is "
		    "inet:HOST:PORT or unix:PATH",
		    out->name);
	if (rest.p[0] == '/')
		out->path = span_dup(rest);
	else
		out->path =
		    mem_printf("%s/%.*s", queue_directory, SPAN_FMT(rest));
	return 0;
}

/* "connect_timeout=10s" */
static int
parse_setting(
    struct span name, struct span value, struct milter_spec *out, struct err *e)
{
	if (span_eq(name, SPAN("connect_timeout")))
		return parse_time(value, &out->connect_ms, e);
	if (span_eq(name, SPAN("command_timeout")))
		return parse_time(value, &out->command_ms, e);
	if (span_eq(name, SPAN("content_timeout")))
		return parse_time(value, &out->content_ms, e);
	if (span_eq(name, SPAN("protocol")))
		return parse_protocol(value, &out->protocol, e);
	if (span_eq(name, SPAN("default_action")))
		return parse_action(value, &out->default_action, e);
	return err_set(e, ERR_PERM, "5.3.5", "unknown setting \"%.*s\"",
	    SPAN_FMT(span_slice(name, 0, 60)));
}

/* Where the brace that stands first is closed, or SIZE_MAX. */
static size_t
closing(struct span s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '{')
			depth++;
		else if (s.p[i] == '}' && --depth == 0)
			return i;
	}
	return SIZE_MAX;
}

/* The next word, or the text between braces. */
static bool
next_item(struct span *rest, struct span *out, bool *out_braces, struct err *e,
    int *out_bad)
{
	size_t end;

	while (rest->n > 0 && strchr(separators, rest->p[0]) != NULL)
		*rest = span_skip(*rest, 1);
	if (rest->n == 0)
		return false;
	*out_braces = rest->p[0] == '{';
	if (!*out_braces)
		return span_token(rest, separators, out);
	end = closing(*rest);
	if (end == SIZE_MAX) {
		*out_bad =
		    err_set(e, ERR_PERM, "5.3.5", "a \"{\" without \"}\"");
		return false;
	}
	*out = span_trim(span_slice(*rest, 1, end));
	*rest = span_skip(*rest, end + 1);
	return true;
}

/* Takes the value behind "NAME=": the next word, what stands in braces, or for
 * `protocol` all the words that it may have. */
static struct span
take_value(struct span name, struct span *rest)
{
	struct span word, ahead, all;
	size_t end;

	*rest = span_trim(*rest);
	if (rest->n > 0 && rest->p[0] == '{' &&
	    (end = span_chr(*rest, '}')) != SIZE_MAX) {
		word = span_trim(span_slice(*rest, 1, end));
		*rest = span_skip(*rest, end + 1);
		return word;
	}
	all = *rest;
	if (!span_token(rest, separators, &word))
		return SPAN_EMPTY;
	if (!span_eq(name, SPAN("protocol")))
		return word;
	ahead = *rest;
	while (span_token(&ahead, separators, &word) &&
	    (span_ieq(word, SPAN("no_header_reply")) ||
		ascii_digit(word.p[0])))
		*rest = ahead;
	return span_trim(span_slice(all, 0, all.n - rest->n));
}

/* "inet:localhost:8891, connect_timeout=10s" */
static int
parse_braces(struct span text, const char *queue_directory,
    struct milter_spec *out, struct err *e)
{
	struct span word, rest = text;

	if (!span_token(&rest, separators, &word))
		return err_set(e, ERR_PERM, "5.3.5", "empty braces");
	if (parse_address(word, queue_directory, out, e) != 0)
		return -1;
	while (rest.n > 0) {
		const size_t eq = span_chr(rest, '=');
		struct span name = span_slice(rest, 0, eq);

		while (name.n > 0 && strchr(separators, name.p[0]) != NULL)
			name = span_skip(name, 1);
		name = span_trim(name);
		if (eq == SIZE_MAX && name.n == 0)
			break;
		if (eq == SIZE_MAX)
			return err_set(e, ERR_PERM, "5.3.5",
			    "%s: \"%.*s\": wanted is NAME=VALUE", out->name,
			    SPAN_FMT(span_slice(name, 0, 60)));
		rest = span_skip(rest, eq + 1);
		if (parse_setting(name, take_value(name, &rest), out, e) != 0)
			return err_wrap(e, "%s", out->name);
	}
	return 0;
}

static int
set_defaults(
    const struct milter_settings *c, struct milter_spec *out, struct err *e)
{
	*out = (struct milter_spec){
		.connect_ms = (uint64_t)c->milter_connect_timeout,
		.command_ms = (uint64_t)c->milter_command_timeout,
		.content_ms = (uint64_t)c->milter_content_timeout,
	};
	if (parse_protocol(span_str(c->milter_protocol), &out->protocol, e) !=
	    0)
		return -1;
	return parse_action(
	    span_str(c->milter_default_action), &out->default_action, e);
}

static int
add(struct milter_list *l, struct span item, bool braces,
    const char *queue_directory, struct err *e)
{
	struct milter_spec *spec;

	l->specs = mem_resize(l->specs, l->count + 1, sizeof(*l->specs));
	spec = &l->specs[l->count];
	if (set_defaults(l->settings, spec, e) != 0)
		return -1;
	l->count++;
	return braces ? parse_braces(item, queue_directory, spec, e)
		      : parse_address(item, queue_directory, spec, e);
}

int
milter_list_open(const struct milter_settings *settings, const char *text,
    const char *queue_directory, struct milter_list **out, struct err *e)
{
	struct milter_list *l = MEM_NEW(l);
	struct span item, rest = span_str(text);
	bool braces;
	int r = 0;

	l->settings = settings;
	while (r == 0 && next_item(&rest, &item, &braces, e, &r))
		r = add(l, item, braces, queue_directory, e);
	if (r != 0)
		milter_list_free(&l);
	else
		*out = l;
	return r;
}

void
milter_list_free(struct milter_list **ref)
{
	struct milter_list *l = *ref;

	if (l == NULL)
		return;
	for (size_t i = 0; i < l->count; i++) {
		mem_free(l->specs[i].name);
		mem_free(l->specs[i].host);
		mem_free(l->specs[i].path);
	}
	mem_free(l->specs);
	mem_free(l);
	*ref = NULL;
}

/* ---- macros ---------------------------------------------------------------
 */

const char *
milter_list_macros(const struct milter_list *l, enum milter_step step)
{
	const struct milter_settings *c = l->settings;

	switch (step) {
	case MILTER_CONNECT:
		return c->milter_connect_macros;
	case MILTER_HELO:
		return c->milter_helo_macros;
	case MILTER_MAIL:
		return c->milter_mail_macros;
	case MILTER_RCPT:
		return c->milter_rcpt_macros;
	case MILTER_DATA:
		return c->milter_data_macros;
	case MILTER_UNKNOWN:
		return c->milter_unknown_command_macros;
	case MILTER_EOH:
		return c->milter_end_of_header_macros;
	case MILTER_EOM:
		return c->milter_end_of_data_macros;
	case MILTER_HEADER:
	case MILTER_BODY:
	case MILTER_STEPS:
		break;
	}
	return "";
}

static struct span
bare(struct span name)
{
	name = span_trim(name);
	if (name.n > 2 && name.p[0] == '{' && name.p[name.n - 1] == '}')
		return span_slice(name, 1, name.n - 1);
	return name;
}

bool
milter_list_macro_default(
    const struct milter_list *l, struct span name, struct span *out)
{
	struct span item, rest = span_str(l->settings->milter_macro_defaults);

	/* Items are "name=value", "{name}=value" or "{ name = value }". */
	while (span_token(&rest, ", \t\r\n", &item)) {
		size_t eq;

		if (item.p[0] == '{' && item.n == 1) {
			const size_t end = span_chr(rest, '}');

			item = span_slice(rest, 0, end);
			rest = end == SIZE_MAX ? SPAN_EMPTY
					       : span_skip(rest, end + 1);
		}
		eq = span_chr(item, '=');
		if (eq == SIZE_MAX ||
		    !span_eq(bare(span_slice(item, 0, eq)), bare(name)))
			continue;
		*out = span_trim(span_skip(item, eq + 1));
		return true;
	}
	return false;
}
