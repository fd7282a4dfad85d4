/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/xclient.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "lib/base/mem.h"
#include "lib/proto/smtp_xattr.h"
#include "smtpd/session.h"

bool
xclient_sockaddr(const char *addr, uint16_t port,
    struct sockaddr_storage *out)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
		.sin6_port = htons(port) };
	struct sockaddr_in in4 = { .sin_family = AF_INET,
		.sin_port = htons(port) };

	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET6, addr, &in6.sin6_addr) == 1)
		memcpy(out, &in6, sizeof(in6));
	else if (inet_pton(AF_INET, addr, &in4.sin_addr) == 1)
		memcpy(out, &in4, sizeof(in4));
	else
		return false;
	return true;
}

static void
set(char **field, const char *value)
{
	mem_free(*field);
	*field = value != NULL ? mem_strdup(value) : NULL;
}

/* ---- XCLIENT ---- */

static enum restrict_name_status
name_status(enum smtp_xattr_state state)
{
	return state == XATTR_TEXT	? RESTRICT_NAME_OK :
	    state == XATTR_TEMPUNAVAIL ? RESTRICT_NAME_TEMP :
					 RESTRICT_NAME_PERM;
}

/* A name that is known is the reverse name too, unless that is said as
 * well. */
static void
take_names(struct session *s, const struct smtp_xattrs *x)
{
	const char *name = smtp_xattr_text(x, XATTR_NAME);

	if (x->v[XATTR_NAME].state != XATTR_ABSENT) {
		set(&s->name, name);
		s->name_status = name_status(x->v[XATTR_NAME].state);
	}
	if (name != NULL) {
		set(&s->reverse_name, name);
		s->reverse_status = RESTRICT_NAME_OK;
	}
	if (x->v[XATTR_REVERSE_NAME].state != XATTR_ABSENT) {
		set(&s->reverse_name,
		    smtp_xattr_text(x, XATTR_REVERSE_NAME));
		s->reverse_status =
		    name_status(x->v[XATTR_REVERSE_NAME].state);
	}
}

static unsigned
port_of(const struct smtp_xattrs *x, enum smtp_xattr attr)
{
	const char *text = smtp_xattr_text(x, attr);
	uint64_t port = 0;

	if (text != NULL)
		span_u64(span_str(text), 65535, &port);
	return (unsigned)port;
}

static void
take_client(struct session *s, const struct smtp_xattrs *x)
{
	const char *addr = smtp_xattr_text(x, XATTR_ADDR);

	take_names(s, x);
	if (addr != NULL)
		snprintf(s->addr, sizeof(s->addr), "%s", addr);
	else if (x->v[XATTR_ADDR].state != XATTR_ABSENT)
		snprintf(s->addr, sizeof(s->addr), "unknown");
	if (x->v[XATTR_ADDR].state != XATTR_ABSENT)
		s->trusted = service_trusts(s->service, s->addr);
	if (x->v[XATTR_PORT].state != XATTR_ABSENT)
		s->port = port_of(x, XATTR_PORT);
	if (x->v[XATTR_DESTADDR].state != XATTR_ABSENT)
		set(&s->dest_addr, smtp_xattr_text(x, XATTR_DESTADDR));
	if (x->v[XATTR_DESTPORT].state != XATTR_ABSENT)
		s->dest_port = port_of(x, XATTR_DESTPORT);
	protocol_client(s);
}

/* What is not said of the login and HELO name is not so (as in Postfix). */
static void
take_state(struct session *s, const struct smtp_xattrs *x)
{
	const char *proto = smtp_xattr_text(x, XATTR_PROTO);
	const char *login = smtp_xattr_text(x, XATTR_LOGIN);

	set(&s->helo, smtp_xattr_text(x, XATTR_HELO));
	set(&s->sasl_user, login);
	set(&s->sasl_method, login != NULL ? "XCLIENT" : NULL);
	smtp_server_assume(s->engine, s->helo != NULL,
	    proto != NULL && strcmp(proto, "ESMTP") == 0, login != NULL);
}

static void
greet_again(struct session *s)
{
	session_offer(s);
	session_answer(s, 220, "", "%s", s->service->conf->smtpd_banner);
}

static void
xclient(struct session *s, const struct smtp_xattrs *x)
{
	envelope_abort(s);
	xforward_forget(s);
	take_client(s, x);
	take_state(s, x);
	log_event(&s->log, "xclient", "the client is %s", session_client(s));
	stage_begin(s, STAGE_CONNECT, NULL, greet_again);
}

/* ---- XFORWARD ---- */

void
xforward_forget(struct session *s)
{
	struct xforward *f = s->xforward;

	if (f == NULL)
		return;
	mem_free(f->name);
	mem_free(f->addr);
	mem_free(f->port);
	mem_free(f->proto);
	mem_free(f->helo);
	mem_free(f->ident);
	mem_free(f->source);
	mem_free(f);
	s->xforward = NULL;
}

static void
xforward(struct session *s, const struct smtp_xattrs *x)
{
	struct xforward *f = s->xforward;

	if (f == NULL)
		f = s->xforward = MEM_NEW(f);
	const struct {
		enum smtp_xattr attr;
		char **field;
	} fields[] = { { XATTR_NAME, &f->name }, { XATTR_ADDR, &f->addr },
		{ XATTR_PORT, &f->port }, { XATTR_PROTO, &f->proto },
		{ XATTR_HELO, &f->helo }, { XATTR_IDENT, &f->ident },
		{ XATTR_SOURCE, &f->source } };

	for (size_t i = 0; i < COUNT_OF(fields); i++)
		if (x->v[fields[i].attr].state != XATTR_ABSENT)
			set(fields[i].field,
			    smtp_xattr_text(x, fields[i].attr));
	session_answer(s, 250, "2.0.0", "Ok");
}

void
xforward_log(const struct session *s, struct buf *out)
{
	const struct xforward *f = s->xforward;

	if (f == NULL)
		return;
	if (f->ident != NULL)
		buf_fmt(out, ", orig_queue_id=%s",
		    log_quote(span_str(f->ident), 100));
	if (f->name == NULL && f->addr == NULL)
		return;
	buf_fmt(out, ", orig_client=%s",
	    f->name != NULL ? log_quote(span_str(f->name), 255) : "unknown");
	if (f->addr != NULL)
		buf_fmt(out, "[%s]", f->addr);
}

void
xclient_event(struct session *s, const struct smtp_event *ev)
{
	struct smtp_xattrs x;
	struct smtp_reject why;

	/* The engine has read it once already. */
	BUG_ON(smtp_xattr_parse(ev->cmd, &x, &why) != PARSE_OK);
	if (ev->type == SMTP_EVENT_XCLIENT)
		xclient(s, &x);
	else
		xforward(s, &x);
}
