/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/limits.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/base/mem.h"
#include "smtpd/session.h"

/* Values of a client's record, and statistics, in this order. */
enum event { CONNECTIONS, MESSAGES, RECIPIENTS, TLS_SESSIONS, AUTHS, EVENTS };

enum { HELD = EVENTS }; /* statistic of connections at a time */

static int64_t
now_s(void)
{
	return clock_wall_us() / 1000000;
}

static int64_t
unit_s(const struct session *s)
{
	const int64_t unit = s->service->conf->anvil_rate_time_unit / 1000;

	return unit < 1 ? 1 : unit > SHARED_UNIT_MAX ? SHARED_UNIT_MAX : unit;
}

/* Counts an event of the client. True: the limit is passed, which is in the
 * log. */
static bool
too_many(struct session *s, enum event event, int64_t limit, const char *what)
{
	const struct log_ctx ctx = { .trace = s->log.trace };
	struct service *service = s->service;
	uint32_t n;

	if (!s->limits.counted)
		return false;
	shared_table_count(service->shared, SHARED_RATES,
	    s->limits.event_key, (unsigned)event, 1, 0, now_s(), unit_s(s),
	    &n);
	shared_table_peak(service->shared, (unsigned)event, n, now_s(),
	    s->limits.who);
	if (limit == 0 || (int64_t)n <= limit)
		return false;
	/* Without queue id, as in Postfix: it is about the client. */
	log_warning(&ctx, "%s rate limit exceeded: %u from %s for service "
	    "%s", what, n, session_client(s),
	    daemon_service(service->daemon));
	return true;
}

/* ---- connections ---- */
void
limits_network(const char *addr, unsigned v4_bits, unsigned v6_bits,
    char *out)
{
	struct sockaddr_storage net;
	socklen_t len;
	uint8_t *bytes;
	unsigned size, bits;

	snprintf(out, SOCK_ADDR_TEXT, "%s", addr);
	if (!sock_addr_parse(addr, 0, &net, &len))
		return;
	if (net.ss_family == AF_INET) {
		bytes = (uint8_t *)&((struct sockaddr_in *)&net)->sin_addr;
		size = 4;
		bits = v4_bits;
	} else {
		bytes = ((struct sockaddr_in6 *)&net)->sin6_addr.s6_addr;
		size = 16;
		bits = v6_bits;
	}
	for (unsigned i = 0; i < size; i++, bits -= bits < 8 ? bits : 8)
		if (bits < 8)
			bytes[i] &= (uint8_t)~(0xffu >> bits);
	sock_addr_text((struct sockaddr *)&net, out);
}

/* What the client is counted by. */
static void
name_client(struct session *s)
{
	const struct smtpd_conf *c = s->service->conf;
	const struct shared_table *t = s->service->shared;
	char net[SOCK_ADDR_TEXT];

	limits_network(s->addr, (unsigned)c->smtpd_client_ipv4_prefix_length,
	    (unsigned)c->smtpd_client_ipv6_prefix_length, net);
	snprintf(s->limits.who, sizeof(s->limits.who), "%s:%.47s",
	    daemon_service(s->service->daemon), net);
	s->limits.event_key =
	    shared_table_key(t, "events", span_str(s->limits.who));
	s->limits.held_key =
	    shared_table_key(t, "held", span_str(s->limits.who));
}

static bool
hold(struct session *s, int64_t limit)
{
	struct shared_table *t = s->service->shared;
	const unsigned n = shared_table_hold(t, s->limits.held_key,
	    (unsigned)limit, &s->limits.held);

	shared_table_peak(t, HELD, n, now_s(), s->limits.who);
	if (limit == 0 || n <= limit)
		return true;
	log_warning(&s->log, "Connection concurrency limit exceeded: %u from "
	    "%s for service %s", n, session_client(s),
	    daemon_service(s->service->daemon));
	return false;
}

static bool
admit_local(struct session *s)
{
	snprintf(s->limits.who, sizeof(s->limits.who), "%s:uid=%lu",
	    daemon_service(s->service->daemon), (unsigned long)s->uid);
	s->limits.held_key = shared_table_key(s->service->shared, "held",
	    span_str(s->limits.who));
	return hold(s, s->service->conf->smtpd_local_connection_limit);
}

bool
limits_admit(struct session *s)
{
	const struct smtpd_conf *c = s->service->conf;

	if (!s->inet)
		return admit_local(s);
	/* A list that fails is in the log by mynetworks, or exempts nobody. */
	if (match_list_address(s->service->exceptions, s->addr, NULL) > 0)
		return true;
	name_client(s);
	s->limits.counted = true;
	if (!hold(s, c->smtpd_client_connection_count_limit))
		return false;
	return !too_many(s, CONNECTIONS,
	    c->smtpd_client_connection_rate_limit, "Connection");
}

void
limits_release(struct session *s)
{
	if (s->limits.held)
		shared_table_drop(s->service->shared, s->limits.held_key);
	s->limits.held = false;
}

/* ---- events ---- */
bool
limits_auth(struct session *s)
{
	if (!too_many(s, AUTHS,
		s->service->conf->smtpd_client_auth_rate_limit,
		"AUTH command"))
		return true;
	session_answer(s, 450, "4.7.1",
	    "Error: too many AUTH commands from %s", s->addr);
	return false;
}

bool
limits_starttls(struct session *s)
{
	const int64_t limit =
	    s->service->conf->smtpd_client_new_tls_session_rate_limit;
	uint32_t n;

	if (!s->limits.counted || limit == 0)
		return true;
	/* One that is refused is no session. */
	shared_table_count(s->service->shared, SHARED_RATES,
	    s->limits.event_key, TLS_SESSIONS, 0, 0, now_s(), unit_s(s), &n);
	if ((int64_t)n <= limit)
		return true;
	log_warning(&s->log, "Refusing STARTTLS request from %s for service "
	    "%s", session_client(s), daemon_service(s->service->daemon));
	session_answer(s, 454, "4.7.0",
	    "Error: too many new TLS sessions from %s", session_client(s));
	return false;
}

bool
limits_secured(struct session *s)
{
	return !too_many(s, TLS_SESSIONS,
	    s->service->conf->smtpd_client_new_tls_session_rate_limit,
	    "New TLS session");
}

static void
refuse(struct session *s, const char *what)
{
	char text[120];

	snprintf(text, sizeof(text), "Error: too %s from %s", what, s->addr);
	stage_refuse(s, &(struct refusal){ .code = 450,
			    .dsn = "4.7.1",
			    .text = span_str(text) });
}

static void
ask(struct session *s, enum stage stage)
{
	const struct smtpd_conf *c = s->service->conf;

	if (stage == STAGE_MAIL && too_many(s, MESSAGES,
		c->smtpd_client_message_rate_limit,
		"Message delivery request"))
		refuse(s, "much mail");
	else if (stage == STAGE_RCPT && too_many(s, RECIPIENTS,
		c->smtpd_client_recipient_rate_limit, "Recipient address"))
		refuse(s, "many recipients");
	else
		stage_pass(s);
}

const struct gate limits_gate = { .name = "limits", .ask = ask };

/* ---- statistics ---- */
/* "Nov 22 19:30:39", as anvil has it. */
static void
time_text(int64_t time_s, char out[32])
{
	const time_t t = (time_t)time_s;
	struct tm tm;

	localtime_r(&t, &tm);
	strftime(out, 32, "%b %e %H:%M:%S", &tm);
}

static void
say_statistics(struct service *s)
{
	static const char *const names[EVENTS] = {
		[CONNECTIONS] = "connection",
		[MESSAGES] = "message",
		[RECIPIENTS] = "recipient",
		[TLS_SESSIONS] = "newtls",
		[AUTHS] = "auth",
	};
	const int64_t unit = s->conf->anvil_rate_time_unit / 1000;
	struct shared_peak peaks[SHARED_PEAKS];
	char tag[100], when[32];
	char *old_tag = mem_strdup(log_tag());

	shared_table_peaks(s->shared, peaks);
	/* These lines are known under anvil's name. */
	snprintf(tag, sizeof(tag), "%s/anvil", s->common->syslog_name);
	log_set_tag(tag);
	for (int i = 0; i < EVENTS; i++) {
		if (peaks[i].value > 0) {
			time_text(peaks[i].time_s, when);
			log_info(NULL, "statistics: max %s rate %u/%llds for "
			    "(%s) at %s", names[i], peaks[i].value,
			    (long long)unit, peaks[i].who, when);
		}
		if (i != CONNECTIONS || peaks[HELD].value == 0)
			continue;
		time_text(peaks[HELD].time_s, when);
		log_info(NULL, "statistics: max connection count %u for (%s) "
		    "at %s", peaks[HELD].value, peaks[HELD].who, when);
	}
	log_set_tag(old_tag);
	mem_free(old_tag);
}

static void
on_statistics(void *arg)
{
	struct service *s = arg;
	const int64_t period = s->conf->anvil_status_update_time;

	timer_start(s->statistics, (uint64_t)period);
	/* The processes' timers don't go at the same instant. */
	if (shared_table_turn(s->shared, SERVER_JOB_STATISTICS, now_s(),
		period / 1000 * 9 / 10))
		say_statistics(s);
}

void
limits_start(struct service *s)
{
	const int64_t period = s->conf->anvil_status_update_time;

	s->statistics = timer_new(s->loop, on_statistics, s);
	if (period > 0)
		timer_start(s->statistics, (uint64_t)period);
}

void
limits_finish(struct service *s)
{
	timer_free(&s->statistics);
	if (s->conf->anvil_status_update_time > 0)
		say_statistics(s);
}
