/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/milter_client_impl.h"

#include <netinet/in.h>
#include <sys/un.h>

#include "lib/base/mem.h"
#include "lib/os/sock.h"

enum { INPUT_MAX = 256 << 10, OUTPUT_MAX = 32 << 20, FINISH_MS = 5000 };

const char *
filter_step_name(enum milter_step step)
{
	switch (step) {
	case MILTER_CONNECT:
		return "SMFIC_CONNECT";
	case MILTER_HELO:
		return "SMFIC_HELO";
	case MILTER_MAIL:
		return "SMFIC_MAIL";
	case MILTER_RCPT:
		return "SMFIC_RCPT";
	case MILTER_DATA:
		return "SMFIC_DATA";
	case MILTER_UNKNOWN:
		return "SMFIC_UNKNOWN";
	case MILTER_HEADER:
		return "SMFIC_HEADER";
	case MILTER_EOH:
		return "SMFIC_EOH";
	case MILTER_BODY:
		return "SMFIC_BODY";
	case MILTER_EOM:
		return "SMFIC_BODYEOB";
	case MILTER_STEPS:
		break;
	}
	return "SMFIC_OPTNEG";
}

/* What it is to answer now, as the log calls it. */
static const char *
awaited(const struct filter *f)
{
	if (f->state == FILTER_OPENING)
		return filter_step_name(MILTER_STEPS);
	if (f->client->step != MILTER_EOM)
		return filter_step_name(f->client->step);
	switch (f->phase) {
	case PHASE_HEADER:
		return filter_step_name(MILTER_HEADER);
	case PHASE_EOH:
		return filter_step_name(MILTER_EOH);
	case PHASE_BODY:
		return filter_step_name(MILTER_BODY);
	case PHASE_EOM:
		break;
	}
	return filter_step_name(MILTER_EOM);
}

static uint64_t
patience(const struct filter *f)
{
	const bool content =
	    f->state == FILTER_OPEN && f->client->step == MILTER_EOM;

	return content ? f->spec->content_ms : f->spec->command_ms;
}

void
filter_flush(struct filter *f)
{
	const struct span out = milter_output(f->engine);

	if (out.n == 0)
		return;
	stream_write(f->stream, out);
	milter_sent(f->engine, out.n);
}

void
filter_wait(struct filter *f)
{
	filter_flush(f);
	stream_timeout(f->stream, patience(f));
}

void
filter_close(struct filter *f, bool polite)
{
	dns_cancel(&f->query);
	timer_free(&f->timer);
	connect_free(&f->connecting);
	if (f->stream != NULL && polite && !milter_waiting(f->engine)) {
		milter_quit(f->engine);
		filter_flush(f);
		stream_finish(&f->stream, FINISH_MS);
	}
	stream_free(&f->stream);
	milter_free(&f->engine);
	f->waiting = f->blocked = f->in_message = false;
}

/* ---- bytes ----------------------------------------------------------------
 */

static void
body_taken(void *arg)
{
	struct filter *f = arg;

	stream_timeout(f->stream, patience(f));
	stream_resume(f->stream);
}

/* One event; false: the filter may be gone. */
static bool
event(struct filter *f, const struct milter_event *ev)
{
	switch (ev->type) {
	case MILTER_NONE:
		return true;
	case MILTER_READY:
		stream_timeout(f->stream, 0);
		f->state = FILTER_OPEN;
		filter_ready(f);
		return false;
	case MILTER_PROGRESS:
		stream_timeout(f->stream, patience(f));
		return true;
	case MILTER_EDIT:
		stream_timeout(f->stream, patience(f));
		return message_edit(f, ev);
	case MILTER_VERDICT:
		stream_timeout(f->stream, 0);
		f->waiting = false;
		filter_verdict(f, ev);
		return false;
	case MILTER_FAILED:
		filter_fail(f, "milter %s: %s reply: %s", f->spec->name,
		    awaited(f), ev->why);
		return false;
	}
	return true;
}

/* What came behind a verdict stays and is read with the next one's: then the
 * engine finds that nobody had asked. */
static void
on_input(void *arg)
{
	struct filter *f = arg;
	struct milter_event ev;
	size_t n;

	do {
		n = milter_feed(f->engine, stream_input(f->stream), &ev);
		if ((ev.type == MILTER_VERDICT || ev.type == MILTER_READY) &&
		    n < stream_input(f->stream).n) {
			filter_fail(f, "milter %s: data behind its %s reply",
			    f->spec->name, awaited(f));
			return;
		}
		stream_consume(f->stream, n);
		if (!event(f, &ev))
			return;
		if (f->client->mail != NULL &&
		    milter_mail_replace_busy(f->client->mail, body_taken, f)) {
			stream_timeout(f->stream, 0);
			stream_pause(f->stream);
			return;
		}
	} while (n > 0 || ev.type != MILTER_NONE);
}

static void
on_drained(void *arg)
{
	struct filter *f = arg;

	if (!f->blocked)
		return;
	f->blocked = false;
	stream_timeout(f->stream, 0);
	message_go(f);
}

static void
on_closed(void *arg, enum stream_end end, const struct err *e)
{
	struct filter *f = arg;
	const char *why = end == STREAM_TIMEOUT ? "Connection timed out"
			  : end == STREAM_EOF	? "Connection closed"
						: e->text;

	if (f->waiting || f->blocked || f->state == FILTER_OPENING)
		filter_fail(f,
		    "milter %s: can't read %s reply packet "
		    "header: %s",
		    f->spec->name, awaited(f), why);
	else
		filter_fail(
		    f, "milter %s: lost connection: %s", f->spec->name, why);
}

/* ---- opening --------------------------------------------------------------
 */

static void
connected(void *arg, int fd, const struct err *e)
{
	static const struct stream_limits limits = { INPUT_MAX, OUTPUT_MAX };
	static const struct stream_handler handler = { on_input, on_drained,
		NULL, on_closed };
	struct filter *f = arg;

	connect_free(&f->connecting);
	if (e != NULL) {
		filter_fail(f, "connect to Milter service %s: %s",
		    f->spec->name,
		    e->sysno != 0 ? strerror(e->sysno) : e->text);
		return;
	}
	f->stream = stream_new(f->client->conf.loop, fd, &limits, &handler, f);
	f->engine = milter_new(&f->spec->protocol);
	filter_wait(f);
}

static void
connect_to(struct filter *f, const struct sockaddr *to, socklen_t len)
{
	f->connecting = connect_start(f->client->conf.loop, to, len, NULL, 0,
	    f->spec->connect_ms, connected, f);
}

static void
looked_up(void *arg, const struct dns_answer *answer)
{
	struct filter *f = arg;
	struct sockaddr_storage to;
	socklen_t len = sizeof(struct sockaddr_in);

	f->query = NULL;
	timer_free(&f->timer);
	if (answer->status != DNS_OK) {
		filter_fail(f, "connect to Milter service %s: %s",
		    f->spec->name, answer->err.text);
		return;
	}
	/* Prefer what most filters listen on. */
	to = answer->addresses[0];
	for (size_t i = 0; i < answer->address_count; i++) {
		if (answer->addresses[i].ss_family == AF_INET) {
			to = answer->addresses[i];
			break;
		}
	}
	if (to.ss_family == AF_INET6) {
		len = sizeof(struct sockaddr_in6);
		((struct sockaddr_in6 *)&to)->sin6_port =
		    htons((uint16_t)f->spec->port);
	} else {
		((struct sockaddr_in *)&to)->sin_port =
		    htons((uint16_t)f->spec->port);
	}
	connect_to(f, (struct sockaddr *)&to, len);
}

static void
look_up_failed(void *arg)
{
	struct filter *f = arg;

	filter_fail(f, "connect to Milter service %s: Connection timed out",
	    f->spec->name);
}

static void
open_unix(struct filter *f)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };

	if (!span_copy(
		span_str(f->spec->path), un.sun_path, sizeof(un.sun_path))) {
		filter_fail(f,
		    "connect to Milter service %s: the path is too "
		    "long",
		    f->spec->name);
		return;
	}
	connect_to(f, (struct sockaddr *)&un, sizeof(un));
}

void
filter_open(struct filter *f)
{
	struct sockaddr_storage to;
	socklen_t len;

	f->state = FILTER_OPENING;
	if (f->spec->path != NULL) {
		open_unix(f);
		return;
	}
	if (sock_addr_parse(f->spec->host, f->spec->port, &to, &len)) {
		connect_to(f, (struct sockaddr *)&to, len);
		return;
	}
	f->timer = timer_new(f->client->conf.loop, look_up_failed, f);
	timer_start(f->timer, f->spec->connect_ms);
	f->query = dns_query_addresses(f->client->conf.resolver, f->spec->host,
	    DNS_INET | DNS_INET6, DNS_HOSTS_FIRST, f->client->conf.log->trace,
	    looked_up, f);
}
