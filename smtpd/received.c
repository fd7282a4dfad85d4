/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/session.h"

#include <time.h>

#include "lib/base/mem.h"
#include "lib/proto/date.h"
#include "lib/proto/smtp_server.h"

/*
 * The trace field (RFC 5321 4.4) in Postfix's form.
 */

static int
zone_min(int64_t time_s)
{
	const time_t t = (time_t)time_s;
	struct tm local;

	return localtime_r(&t, &local) == NULL ? 0 :
						 (int)(local.tm_gmtoff / 60);
}

const struct received_date *
received_date(struct service *service, int64_t time_s)
{
	struct received_date *d = &service->date;
	struct buf text;

	if (d->text[0] != '\0' && d->time_s == time_s)
		return d;
	d->time_s = time_s;
	d->zone_min = zone_min(time_s);
	buf_init(&text, sizeof(d->text));
	date_print_rfc5322(&text, time_s, d->zone_min, NULL);
	BUG_ON(!span_copy(buf_span(&text), d->text, sizeof(d->text)));
	buf_release(&text);
	return d;
}

static void
from_part(const struct session *s, struct buf *out)
{
	if (s->local) {
		buf_fmt(out, "Received: by %s (%s, from userid %lu)\r\n",
		    s->service->common->myhostname,
		    s->service->common->mail_name, (unsigned long)s->uid);
		return;
	}
	buf_strs(out, "Received: from ", s->helo != NULL ? s->helo : s->addr,
	    " (", s->name != NULL ? s->name : "unknown", " [",
	    strchr(s->addr, ':') != NULL ? "IPv6:" : "", s->addr, "])\r\n",
	    NULL);
	tls_received(s, out);
	if (s->sasl_user != NULL &&
	    s->service->conf->smtpd_sasl_authenticated_header)
		buf_strs(out, "\t(Authenticated sender: ",
		    log_quote(span_str(s->sasl_user), 200), ")\r\n", NULL);
	buf_strs(out, "\tby ", s->service->common->myhostname, " (",
	    s->service->common->mail_name, ") with ", session_protocol(s),
	    NULL);
}

void
received_field(const struct session *s, struct span rcpt, const char *qid,
    int64_t time_s, struct buf *out)
{
	from_part(s, out);
	if (qid[0] != '\0')
		buf_strs(out, s->local ? "\t" : " ", "id ", qid, NULL);
	if (rcpt.n > 0 && !s->local)
		buf_strs(out, "\r\n\tfor <", log_quote(rcpt, 500), ">",
		    NULL);
	buf_str(out, "; ");
	buf_str(out, received_date(s->service, time_s)->text);
	buf_str(out, "\r\n");
}
