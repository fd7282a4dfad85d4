/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/milter.h"

#include <netinet/in.h>
#include <strings.h>

#include "lib/base/mem.h"
#include "smtpd/session.h"

/*
 * The macros that filters know from Sendmail and Postfix.
 */

typedef bool (*macro_fn)(struct session *s, struct buf *out);

static bool
text(struct buf *out, const char *value)
{
	if (value == NULL || value[0] == '\0')
		return false;
	buf_str(out, value);
	return true;
}

static const char *
client_name(const struct session *s)
{
	return s->local ? "localhost" : s->name != NULL ? s->name : "unknown";
}

static const char *
client_addr(const struct session *s)
{
	return s->local ? "127.0.0.1" : s->addr;
}

static const char *
client_ptr(const struct session *s)
{
	return s->local			 ? "localhost"
	       : s->reverse_name != NULL ? s->reverse_name
					 : "unknown";
}

/* Our own end of the connection, as XCLIENT or the PROXY header have it. */
static bool
own_end(struct session *s, struct sockaddr_storage *out)
{
	socklen_t len = sizeof(*out);

	if (getsockname(stream_fd(s->stream), (struct sockaddr *)out, &len) !=
	    0)
		return false;
	return out->ss_family == AF_INET || out->ss_family == AF_INET6;
}

static bool
macro_queue_id(struct session *s, struct buf *out)
{
	return text(out, s->log.qid);
}

static bool
macro_hostname(struct session *s, struct buf *out)
{
	return text(out, s->service->common->myhostname);
}

static bool
macro_version(struct session *s, struct buf *out)
{
	return text(out, s->service->conf->milter.milter_macro_v);
}

static bool
macro_daemon_name(struct session *s, struct buf *out)
{
	return text(out, s->service->conf->milter.milter_macro_daemon_name);
}

static bool
macro_client(struct session *s, struct buf *out)
{
	const char *ptr = client_ptr(s);

	buf_fmt(out, "%s [%s]%s", ptr, client_addr(s),
	    strcasecmp(ptr, client_name(s)) != 0 ? " (may be forged)" : "");
	return true;
}

static bool
macro_client_addr(struct session *s, struct buf *out)
{
	const char *addr = client_addr(s);

	buf_fmt(out, "%s%s", strchr(addr, ':') != NULL ? "IPv6:" : "", addr);
	return true;
}

static bool
macro_client_name(struct session *s, struct buf *out)
{
	return text(out, client_name(s));
}

static bool
macro_client_ptr(struct session *s, struct buf *out)
{
	return text(out, client_ptr(s));
}

static bool
macro_client_port(struct session *s, struct buf *out)
{
	buf_fmt(out, "%u", s->port);
	return true;
}

static bool
macro_client_resolve(struct session *s, struct buf *out)
{
	const char *words[] = { [RESTRICT_NAME_OK] = "OK",
		[RESTRICT_NAME_TEMP] = "TEMP",
		[RESTRICT_NAME_PERM] = "FAIL",
		[RESTRICT_NAME_FORGED] = "FORGED" };

	return text(out, s->local ? "OK" : words[s->name_status]);
}

static bool
macro_daemon_addr(struct session *s, struct buf *out)
{
	struct sockaddr_storage addr;
	char buf[SOCK_ADDR_TEXT];

	if (s->dest_addr != NULL)
		return text(out, s->dest_addr);
	if (!own_end(s, &addr))
		return false;
	sock_addr_text((struct sockaddr *)&addr, buf);
	return text(out, buf);
}

static bool
macro_daemon_port(struct session *s, struct buf *out)
{
	struct sockaddr_storage addr;
	unsigned port = s->dest_port;

	if (port == 0 && own_end(s, &addr))
		port = sock_addr_port((struct sockaddr *)&addr);
	buf_fmt(out, "%u", port);
	return true;
}

static bool
macro_cert_subject(struct session *s, struct buf *out)
{
	return s->ccert != NULL && s->ccert->trusted &&
	       text(out, s->ccert->subject);
}

static bool
macro_cert_issuer(struct session *s, struct buf *out)
{
	return s->ccert != NULL && s->ccert->trusted &&
	       text(out, s->ccert->issuer);
}

static bool
macro_tls_version(struct session *s, struct buf *out)
{
	struct tls_facts tls;

	return stream_tls_facts(s->stream, &tls) && text(out, tls.protocol);
}

static bool
macro_cipher(struct session *s, struct buf *out)
{
	struct tls_facts tls;

	return stream_tls_facts(s->stream, &tls) && text(out, tls.cipher);
}

static bool
macro_cipher_bits(struct session *s, struct buf *out)
{
	struct tls_facts tls;

	if (!stream_tls_facts(s->stream, &tls))
		return false;
	buf_fmt(out, "%d", tls.bits_used);
	return true;
}

static bool
macro_auth_type(struct session *s, struct buf *out)
{
	return text(out, s->sasl_method);
}

static bool
macro_auth_authen(struct session *s, struct buf *out)
{
	return text(out, s->sasl_user);
}

static bool
macro_auth_author(struct session *s, struct buf *out)
{
	if (s->tx == NULL || s->tx->sasl_sender.n == 0)
		return false;
	buf_add(out, s->tx->sasl_sender);
	return true;
}

/* The null sender's address is there, and empty. */
static bool
macro_mail_addr(struct session *s, struct buf *out)
{
	if (s->tx == NULL)
		return false;
	buf_add(out, s->tx->env.sender);
	return true;
}

static bool
macro_mail_host(struct session *s, struct buf *out)
{
	return s->tx != NULL && text(out, s->milter->host);
}

static bool
macro_mail_mailer(struct session *s, struct buf *out)
{
	return s->tx != NULL && text(out, s->milter->mailer);
}

/* NULL: no recipient is spoken of. */
static const struct route_result *
rcpt_route(const struct session *s)
{
	return s->tx != NULL && s->stage.stage == STAGE_RCPT ? s->tx->route
							     : NULL;
}

static bool
macro_rcpt_addr(struct session *s, struct buf *out)
{
	const struct route_result *r = rcpt_route(s);

	if (r == NULL)
		return false;
	if (!s->milter->refused_rcpt)
		buf_add(out, r->count > 0 ? r->routes[0].address : r->address);
	else if (s->stage.code != 0)
		buf_add(out, buf_span(&s->stage.text));
	else
		buf_str(
		    out, r->code != 0 ? r->err.text : "Relay access denied");
	return true;
}

static bool
macro_rcpt_host(struct session *s, struct buf *out)
{
	const struct route_result *r = rcpt_route(s);

	if (r == NULL)
		return false;
	if (s->milter->refused_rcpt && s->stage.code != 0)
		return text(out, s->stage.dsn);
	if (s->milter->refused_rcpt)
		return text(out, r->code != 0 ? r->err.dsn : "5.7.1");
	if (r->count > 0)
		buf_add(out, r->routes[0].nexthop);
	return r->count > 0;
}

static bool
macro_rcpt_mailer(struct session *s, struct buf *out)
{
	const struct route_result *r = rcpt_route(s);

	if (r == NULL)
		return false;
	if (s->milter->refused_rcpt)
		return text(out, "error");
	if (r->count > 0)
		buf_add(out, r->routes[0].transport);
	return r->count > 0;
}

static const struct {
	const char *name;
	macro_fn value;
} macros[] = {
	{ "i", macro_queue_id },
	{ "j", macro_hostname },
	{ "v", macro_version },
	{ "_", macro_client },
	{ "daemon_name", macro_daemon_name },
	{ "daemon_addr", macro_daemon_addr },
	{ "daemon_port", macro_daemon_port },
	{ "client_addr", macro_client_addr },
	{ "client_name", macro_client_name },
	{ "client_ptr", macro_client_ptr },
	{ "client_port", macro_client_port },
	{ "client_resolve", macro_client_resolve },
	{ "tls_version", macro_tls_version },
	{ "cipher", macro_cipher },
	{ "cipher_bits", macro_cipher_bits },
	{ "cert_subject", macro_cert_subject },
	{ "cert_issuer", macro_cert_issuer },
	{ "auth_type", macro_auth_type },
	{ "auth_authen", macro_auth_authen },
	{ "auth_author", macro_auth_author },
	{ "mail_addr", macro_mail_addr },
	{ "mail_host", macro_mail_host },
	{ "mail_mailer", macro_mail_mailer },
	{ "rcpt_addr", macro_rcpt_addr },
	{ "rcpt_host", macro_rcpt_host },
	{ "rcpt_mailer", macro_rcpt_mailer },
};

bool
milter_macro_value(void *arg, struct span name, struct buf *out)
{
	for (size_t i = 0; i < COUNT_OF(macros); i++)
		if (span_eq(name, span_str(macros[i].name)))
			return macros[i].value(arg, out);
	return false;
}
