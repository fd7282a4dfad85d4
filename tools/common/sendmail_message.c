/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/common/sendmail.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/fixup.h"
#include "lib/proto/address.h"
#include "lib/proto/base64.h"
#include "lib/proto/header.h"

enum { CHUNK = 65536, NAME_MAX_SHOWN = 200 };

/* Everything while the message is read. */
struct reader {
	const struct sendmail_options *o;
	const struct common_conf *common;
	struct arena arena;
	struct maildrop_envelope env;
	size_t rcpt_room;
	const char *login, *gecos;
	struct span origin;
	/* the bytes */
	int fd;
	uint64_t size;
	struct buf header; /* until it has ended */
	struct buf out;    /* to be written to fd */
	size_t line_at;    /* in the header: where the current line begins */
	bool in_body, pending_cr, pending_dot, at_start;
};

/* ---- addresses -------------------------------------------------------------- */

/* $myorigin; a path means that file's first line. */
static struct span
origin_of(const struct common_conf *common, struct arena *a)
{
	char line[LIMIT_DOMAIN + 2] = "";
	FILE *f;

	if (common->myorigin[0] != '/')
		return span_str(common->myorigin);
	f = fopen(common->myorigin, "re");
	if (f == NULL || fgets(line, sizeof(line), f) == NULL)
		tool_fatal("%s: can't read the domain", common->myorigin);
	fclose(f);
	return arena_dup(a, span_trim(span_str(line)));
}

static struct span
qualified(struct reader *r, const struct address *addr)
{
	struct address full = *addr;
	struct buf text;
	struct span result;

	if (full.domain.n == 0)
		full.domain = r->origin;
	buf_init(&text, LIMIT_ADDRESS);
	address_print(&full, &text);
	if (!buf_ok(&text))
		tool_fatal("%s(%ld): an address is too long", r->login,
		    (long)getuid());
	result = arena_dup(&r->arena, buf_span(&text));
	buf_release(&text);
	return result;
}

static void
add_rcpt(struct reader *r, struct span address)
{
	struct maildrop_envelope *env = &r->env;

	if (env->rcpt_count == LIMIT_RCPT)
		tool_fatal("%s(%ld): too many recipients", r->login,
		    (long)getuid());
	if (env->rcpt_count == r->rcpt_room) {
		r->rcpt_room = r->rcpt_room * 2 + 16;
		env->rcpts = mem_resize(env->rcpts, r->rcpt_room,
		    sizeof(*env->rcpts));
	}
	env->rcpts[env->rcpt_count++] = address;
}

/* Every mailbox of a list, with or without names around. */
static void
add_rcpts(struct reader *r, struct span list)
{
	struct address_item item;
	struct address_list l;

	address_list_init(&l, ADDRESS_LIST_HEADER, list);
	while (address_list_next(&l, &item)) {
		switch (item.kind) {
		case ADDRESS_MAILBOX:
			add_rcpt(r, qualified(r, &item.addr));
			break;
		case ADDRESS_NULL:
		case ADDRESS_GROUP_START:
		case ADDRESS_GROUP_END:
			break;
		case ADDRESS_INCLUDE:
		case ADDRESS_BAD:
			tool_fatal("%s(%ld): bad recipient address: %.*s",
			    r->login, (long)getuid(),
			    (int)(item.raw.n < 100 ? item.raw.n : 100),
			    (const char *)item.raw.p);
		}
	}
	address_list_release(&l);
}

static struct span
sender_of(struct reader *r)
{
	struct address login = { .local = span_str(r->login) };
	struct span result = SPAN_EMPTY;
	struct address_item item;
	struct address_list l;

	if (r->o->sender == NULL)
		return qualified(r, &login);
	address_list_init(&l, ADDRESS_LIST_HEADER, span_str(r->o->sender));
	while (address_list_next(&l, &item) && result.n == 0) {
		if (item.kind == ADDRESS_BAD)
			tool_fatal("%s(%ld): bad sender address: %s",
			    r->login, (long)getuid(), r->o->sender);
		if (item.kind == ADDRESS_MAILBOX)
			result = qualified(r, &item.addr);
	}
	address_list_release(&l);
	return result;
}

/* ---- who calls ------------------------------------------------------------- */

static void
find_login(struct reader *r)
{
	const uid_t uid = getuid();
	const struct passwd *pw = getpwuid(uid);
	const char *logname = getenv("LOGNAME");

	/* Several names may share a uid: the environment may choose. */
	if (logname != NULL && logname[0] != '\0') {
		const struct passwd *named = getpwnam(logname);

		if (named != NULL && named->pw_uid == uid)
			pw = named;
		else
			pw = getpwuid(uid);
	}
	if (pw != NULL) {
		r->login = mem_strdup(pw->pw_name);
		r->gecos = mem_strdup(pw->pw_gecos);
	} else {
		r->login = mem_printf("uid%ld", (long)uid);
		r->gecos = "";
	}
}

/* The gecos field up to its first comma, "&" being the login name. */
static void
gecos_name(const struct reader *r, struct buf *out)
{
	for (const char *p = r->gecos; *p != '\0' && *p != ','; p++) {
		if (*p == '&') {
			buf_byte(out, ascii_upper((uint8_t)r->login[0]));
			buf_str(out, r->login + 1);
		} else {
			buf_byte(out, (uint8_t)*p);
		}
	}
}

/* A display name (RFC 5322 3.2.3), encoded where it is not ASCII (RFC 2047). */
static void
put_name(struct buf *out, struct span name)
{
	bool quote = false, encode = false;

	for (size_t i = 0; i < name.n; i++) {
		encode |= name.p[i] >= 0x7F || name.p[i] < ' ';
		quote |= memchr("()<>[]:;@\\,.\"", name.p[i], 13) != NULL;
	}
	if (encode) {
		buf_str(out, "=?utf-8?B?");
		base64_encode(name, out);
		buf_str(out, "?=");
		return;
	}
	if (quote)
		buf_byte(out, '"');
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '"' || name.p[i] == '\\')
			buf_byte(out, '\\');
		buf_byte(out, name.p[i]);
	}
	if (quote)
		buf_byte(out, '"');
}

static void
put_from(struct reader *r, struct buf *out)
{
	const char *given = r->o->full_name;
	struct buf name;

	buf_init(&name, NAME_MAX_SHOWN);
	if (given == NULL)
		given = getenv("NAME");
	if (given != NULL)
		buf_str(&name, given);
	else
		gecos_name(r, &name);
	if (name.n > 0 && buf_ok(&name)) {
		put_name(out, buf_span(&name));
		buf_str(out, " <");
		buf_add(out, r->env.sender);
		buf_str(out, ">");
	} else {
		buf_add(out, r->env.sender);
	}
	buf_release(&name);
}

/* ---- the header ------------------------------------------------------------- */

static bool
is_one_of(struct span name, bool resent, const char *const list[])
{
	if (resent) {
		if (!span_istarts(name, SPAN("resent-")))
			return false;
		name = span_skip(name, 7);
	}
	for (size_t i = 0; list[i] != NULL; i++)
		if (span_ieq(name, span_str(list[i])))
			return true;
	return false;
}

static const char *const rcpt_fields[] = { "to", "cc", "bcc", NULL };
static const char *const blind_fields[] = { "bcc", NULL };
static const char *const from_fields[] = { "from", NULL };

static bool
has_field(struct span header, bool resent, const char *const list[])
{
	struct header_field field;

	while (header_next(&header, &field))
		if (is_one_of(field.name, resent, list))
			return true;
	return false;
}

static void
extract_rcpts(struct reader *r, struct span header)
{
	const bool resent = has_field(header, true, rcpt_fields);
	struct header_field field;

	while (header_next(&header, &field))
		if (is_one_of(field.name, resent, rcpt_fields))
			add_rcpts(r, field.body);
}

static void
flush_out(struct reader *r)
{
	struct span rest = buf_span(&r->out);

	r->size += rest.n;
	if (r->common->message_size_limit > 0 &&
	    r->size > (uint64_t)r->common->message_size_limit)
		tool_fatal("%s(%ld): message file too big", r->login,
		    (long)getuid());
	while (rest.n > 0) {
		const ssize_t n = write(r->fd, rest.p, rest.n);

		if (n <= 0)
			tool_fatal("%s(%ld): no memory for the message",
			    r->login, (long)getuid());
		rest = span_skip(rest, (size_t)n);
	}
	buf_reset(&r->out);
}

static void
put_out(struct reader *r, struct span bytes)
{
	if (r->out.n + bytes.n > CHUNK)
		flush_out(r);
	for (; bytes.n > CHUNK; bytes = span_skip(bytes, CHUNK)) {
		buf_add(&r->out, span_slice(bytes, 0, CHUNK));
		flush_out(r);
	}
	buf_add(&r->out, bytes);
}

/* The header is `end` bytes of r->header; what is behind begins the body. */
static void
finish_header(struct reader *r, size_t end)
{
	struct span all = buf_span(&r->header);
	struct span header = span_slice(all, 0, end), rest = header;
	const bool resent = has_field(header, true, rcpt_fields);
	struct header_field field;

	r->in_body = true;
	if (r->o->extract)
		extract_rcpts(r, header);
	while (header_next(&rest, &field))
		if (!is_one_of(field.name, false, blind_fields) &&
		    !is_one_of(field.name, true, blind_fields))
			put_out(r, field.raw);
	if (!has_field(header, resent, from_fields) && r->env.sender.n > 0) {
		struct buf from;

		buf_init(&from, LIMIT_ADDRESS + 2 * NAME_MAX_SHOWN + 100);
		buf_str(&from, resent ? "Resent-From: " : "From: ");
		put_from(r, &from);
		buf_byte(&from, '\n');
		put_out(r, buf_span(&from));
		buf_release(&from);
	}
	put_out(r, SPAN("\n"));
	put_out(r, span_skip(all, end));
	buf_release(&r->header);
}

static bool
is_mailbox_line(struct span line)
{
	return span_starts(line, SPAN("From ")) ||
	    span_starts(line, SPAN(">From "));
}

/* A line of the header is complete. */
static void
header_line(struct reader *r)
{
	struct span line = span_skip(buf_span(&r->header), r->line_at);

	if (r->line_at == 0 && is_mailbox_line(line)) {
		buf_reset(&r->header);
		return;
	}
	if (span_eq(line, SPAN("\n"))) {
		buf_truncate(&r->header, r->line_at);
		finish_header(r, r->line_at);
	} else if (!fixup_is_header_line(line, r->line_at == 0)) {
		finish_header(r, r->line_at);
	} else {
		r->line_at = r->header.n;
	}
}

/* ---- the bytes --------------------------------------------------------------- */

static void
take_byte(struct reader *r, uint8_t c)
{
	r->env.eight_bit |= c >= 0x80;
	r->at_start = c == '\n';
	if (r->in_body) {
		if (r->out.n >= CHUNK)
			flush_out(r);
		buf_byte(&r->out, c);
		return;
	}
	buf_byte(&r->header, c);
	if (r->header.n == LIMIT_HEADER)
		finish_header(r, r->line_at); /* no header goes on so long */
	else if (c == '\n')
		header_line(r);
}

/* False when the line that ends here was a lone dot: the message is over. */
static bool
take_dotted(struct reader *r, uint8_t c)
{
	if (r->pending_dot) {
		r->pending_dot = false;
		if (c == '\n')
			return false;
		take_byte(r, '.');
	} else if (c == '.' && r->at_start && !r->o->dot_is_data) {
		r->pending_dot = true;
		return true;
	}
	take_byte(r, c);
	return true;
}

/* CRLF becomes LF. A CR alone can't travel by SMTP: it becomes a line end in
 * the body (a program's progress bar), and in the header, where that would
 * make fields, a space. A NUL goes. */
static bool
take_raw(struct reader *r, int c)
{
	if (r->pending_cr) {
		r->pending_cr = false;
		if (c != '\n' &&
		    !take_dotted(r, r->in_body ? '\n' : ' '))
			return false;
	}
	if (c == '\r') {
		r->pending_cr = true;
		return true;
	}
	return c == '\0' || take_dotted(r, (uint8_t)c);
}

static void
read_all(struct reader *r)
{
	int c;

	r->at_start = true;
	while ((c = getc_unlocked(stdin)) != EOF)
		if (!take_raw(r, c))
			break;
	if (ferror(stdin))
		tool_fatal("%s(%ld): can't read the message", r->login,
		    (long)getuid());
	if (c == EOF && r->pending_dot)
		take_byte(r, '.');
	if (!r->at_start)
		take_byte(r, '\n');
	if (!r->in_body)
		finish_header(r, r->header.n);
	flush_out(r);
}

static void
require_rcpts(const struct reader *r)
{
	if (r->env.rcpt_count > 0)
		return;
	if (r->o->extract)
		tool_fatal("%s(%ld): No recipient addresses found in message "
		    "header", r->login, (long)getuid());
	tool_fatal("%s(%ld): Recipient addresses must be specified on the "
	    "command line or via the -t option", r->login, (long)getuid());
}

void
sendmail_read(const struct sendmail_options *o, struct conf *c,
    const struct common_conf *common, struct sendmail_message *out)
{
	struct reader r = { .o = o, .common = common };

	(void)c;
	arena_init(&r.arena, MAILDROP_ENVELOPE_MAX);
	buf_init(&r.header, LIMIT_HEADER);
	buf_init(&r.out, CHUNK);
	find_login(&r);
	r.origin = origin_of(common, &r.arena);
	r.env.sender = sender_of(&r);
	for (size_t i = 0; o->rcpts[i] != NULL; i++)
		add_rcpts(&r, span_str(o->rcpts[i]));
	if (!o->extract)
		require_rcpts(&r);
	r.fd = memfd_create("message", MFD_CLOEXEC);
	if (r.fd < 0)
		tool_fatal("%s(%ld): no memory for the message", r.login,
		    (long)getuid());
	read_all(&r);
	require_rcpts(&r);
	r.env.dsn_notify = o->dsn_notify;
	r.env.dsn_ret = o->dsn_ret;
	r.env.dsn_envid = span_str(o->dsn_envid);
	r.env.eight_bit |= o->eight_bit;
	out->env = r.env;
	out->fd = r.fd;
	out->size = r.size;
}
