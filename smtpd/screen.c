/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/screen.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/mail/screen_sites.h"
#include "smtpd/screen_access.h"
#include "smtpd/session.h"

enum { TEXT_SHOWN = 100 };

enum test { PREGREET, DNSBL, TESTS };

struct screen_rules {
	struct screen_sites *sites;
	struct maps *reply_map;
	struct screen_access *access;
};

/* A list being asked about a client. */
struct asked {
	struct session *session;
	size_t list;
	struct dns_query *query;
};

struct screen {
	char client[64]; /* "[192.0.2.1]:4711" */
	uint64_t key;    /* in the shared table */
	uint64_t begun_ms;
	struct timer *timer;
	bool waiting;
	bool known;             /* the table knew it */
	bool todo[TESTS], passed[TESTS];
	bool talked;            /* before it was greeted */
	bool failed;            /* to be refused */
	struct asked asked[SCREEN_LISTS_MAX];
	size_t asked_count, unanswered;
	int score;
	int worst;              /* of one list's, and which list it was */
	size_t worst_list;
	uint32_t ttl_s;         /* how long the lists' answers hold */
	char reply[400];        /* to RCPT, of a client that failed */
	char dsn[8];
};

static int64_t
now_s(void)
{
	return clock_wall_us() / 1000000;
}

/* Lines about screening are known under this name. */
static void __attribute__((format(printf, 2, 3)))
say(struct session *s, const char *fmt, ...)
{
	const struct log_ctx ctx = { .trace = s->log.trace };
	char tag[120], text[1500];
	char *old_tag = mem_strdup(log_tag());
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(tag, sizeof(tag), "%s/postscreen",
	    s->service->common->syslog_name);
	log_set_tag(tag);
	log_info(&ctx, "%s", text);
	log_set_tag(old_tag);
	mem_free(old_tag);
}

/* "0.05", "5.8", "12": two digits, as postscreen has times. */
static const char *
elapsed(const struct session *s, char out[24])
{
	const uint64_t ms =
	    loop_now_ms(s->service->loop) - s->screen->begun_ms;

	if (ms < 1000)
		snprintf(out, 24, "0.%02u", (unsigned)(ms / 10));
	else if (ms < 10000)
		snprintf(out, 24, "%u.%u", (unsigned)(ms / 1000),
		    (unsigned)(ms % 1000 / 100));
	else
		snprintf(out, 24, "%llu", (unsigned long long)(ms / 1000));
	return out;
}

/* ---- the end of the tests ---- */
static void
stop(struct screen *c)
{
	c->waiting = false;
	timer_free(&c->timer);
	for (size_t i = 0; i < c->asked_count; i++)
		dns_cancel(&c->asked[i].query);
}

static void
remember(struct session *s)
{
	const struct smtpd_conf *conf = s->service->conf;
	const int64_t keep = conf->postscreen_cache_retention_time / 1000;
	const int64_t until[TESTS] = {
		[PREGREET] = now_s() + conf->postscreen_greet_ttl / 1000,
		[DNSBL] = now_s() + s->screen->ttl_s,
	};

	for (unsigned i = 0; i < TESTS; i++)
		if (s->screen->passed[i])
			shared_table_put(s->service->shared, SHARED_SCREEN,
			    s->screen->key, i, (uint64_t)until[i], now_s(),
			    keep);
}

/* The session goes on, whether all is well or it is to be refused later. */
static void
conclude(struct session *s)
{
	struct screen *c = s->screen;
	bool all = true;

	stop(c);
	for (int i = 0; i < TESTS; i++)
		all = all && (!c->todo[i] || c->passed[i]);
	remember(s);
	if (all && !c->failed)
		say(s, "PASS %s %s", c->known ? "OLD" : "NEW", c->client);
	session_greet(s);
}

static void
drop(struct session *s, const char *dsn, const char *text)
{
	stop(s->screen);
	s->screen->failed = true; /* DISCONNECT is said */
	session_turn_away(s, 521, dsn, span_str(text));
}

static void
fail(struct session *s, const char *dsn, const char *text)
{
	struct screen *c = s->screen;

	if (c->failed)
		return;
	c->failed = true;
	snprintf(c->dsn, sizeof(c->dsn), "%s", dsn);
	snprintf(c->reply, sizeof(c->reply), "%s", text);
}

/* ---- DNS lists ---- */
/* How the list is called to the client. */
static void
list_name(const struct session *s, size_t list, char out[DNS_NAME_MAX])
{
	const struct screen_rules *r = s->service->screen;
	const char *name = screen_sites_name(r->sites, list);
	struct buf value;
	struct err e;

	snprintf(out, DNS_NAME_MAX, "%s", name);
	buf_init(&value, LIMIT_TABLE_VALUE);
	switch (maps_get(r->reply_map, span_str(name), &value, &e)) {
	case MAP_FOUND:
		snprintf(out, DNS_NAME_MAX, "%s",
		    log_quote(buf_span(&value), DNS_NAME_MAX - 1));
		break;
	case MAP_FAILED:
		log_warning(&s->log, "postscreen_dnsbl_reply_map: %s", e.text);
		break;
	case MAP_ABSENT:
		break;
	}
	buf_release(&value);
}

/* The action was: enforce, drop or ignore. */
static void
judge_dnsbl(struct session *s)
{
	const struct smtpd_conf *conf = s->service->conf;
	struct screen *c = s->screen;
	char name[DNS_NAME_MAX], text[400];

	if (!c->todo[DNSBL])
		return;
	if (c->score < conf->postscreen_dnsbl_threshold) {
		c->passed[DNSBL] = true;
		return;
	}
	say(s, "DNSBL rank %d for %s", c->score, c->client);
	list_name(s, c->worst_list, name);
	snprintf(text, sizeof(text), "Service unavailable; client [%s] "
	    "blocked using %s", s->addr, name);
	if (conf->postscreen_dnsbl_action != SCREEN_IGNORE)
		fail(s, "5.7.1", text);
}

/* The time is up, or all is known that has to be. */
static void
judge(struct session *s)
{
	const struct smtpd_conf *conf = s->service->conf;
	struct screen *c = s->screen;
	const bool failed_before = c->failed;

	judge_dnsbl(s);
	if (c->failed && !failed_before &&
	    conf->postscreen_dnsbl_action == SCREEN_DROP) {
		char text[400];

		snprintf(text, sizeof(text), "%s", c->reply);
		drop(s, "5.7.1", text);
		return;
	}
	conclude(s);
}

static void
on_time(void *arg)
{
	struct session *s = arg;

	s->screen->passed[PREGREET] =
	    s->screen->todo[PREGREET] && !s->screen->talked;
	judge(s);
}

/* Lists that speak well of a client save it the wait. */
static void
all_answered(struct session *s)
{
	const int64_t low =
	    s->service->conf->postscreen_dnsbl_allowlist_threshold;
	struct screen *c = s->screen;

	if (low < 0 && c->score <= low && !c->failed && !c->talked) {
		c->todo[PREGREET] = false;
		judge(s);
	}
}

static void
list_answered(void *arg, const struct dns_answer *answer)
{
	struct asked *a = arg;
	struct session *s = a->session;
	struct screen *c = s->screen;
	const struct smtpd_conf *conf = s->service->conf;
	const uint32_t low = (uint32_t)(conf->postscreen_dnsbl_min_ttl / 1000);
	const uint32_t high =
	    (uint32_t)(conf->postscreen_dnsbl_max_ttl / 1000);
	uint32_t ttl = answer->ttl;
	int score;

	a->query = NULL;
	ttl = ttl < low ? low : ttl > high ? high : ttl;
	c->ttl_s = ttl < c->ttl_s ? ttl : c->ttl_s;
	if (answer->status == DNS_OK) {
		score = screen_sites_score(s->service->screen->sites, a->list,
		    answer->addresses, answer->address_count);
		c->score += score;
		if (score > c->worst) {
			c->worst = score;
			c->worst_list = a->list;
		}
	}
	if (--c->unanswered == 0)
		all_answered(s);
}

static void
ask_lists(struct session *s, const struct sockaddr *addr)
{
	const struct screen_sites *sites = s->service->screen->sites;
	struct screen *c = s->screen;
	char name[DNS_NAME_MAX];

	c->asked_count = screen_sites_count(sites);
	for (size_t i = 0; i < c->asked_count; i++) {
		struct asked *a = &c->asked[i];

		*a = (struct asked){ .session = s, .list = i };
		if (!screen_sites_query(sites, i, addr, name, sizeof(name)))
			continue;
		c->unanswered++;
		a->query = dns_query_addresses(s->service->resolver, name,
		    DNS_INET, 0, s->trace, list_answered, a);
	}
}

/* ---- talking before the greeting ---- */
/* "EHLO x\r\n", as postscreen shows what it has read. */
static void
show_text(struct span text, char *out, size_t size)
{
	size_t n = 0;

	text = span_slice(text, 0, TEXT_SHOWN);
	for (size_t i = 0; i < text.n && n + 5 < size; i++) {
		const uint8_t c = text.p[i];

		if (c == '\r' || c == '\n' || c == '\t' || c == '\\')
			n += (size_t)snprintf(out + n, size - n, "\\%c",
			    c == '\r' ? 'r' : c == '\n' ? 'n' :
			    c == '\t' ? 't' : '\\');
		else if (c < ' ' || c > '~')
			n += (size_t)snprintf(out + n, size - n, "\\%03o", c);
		else
			out[n++] = (char)c;
	}
	out[n] = '\0';
}

void
screen_input(struct session *s)
{
	const struct span text = stream_input(s->stream);
	struct screen *c = s->screen;
	char shown[TEXT_SHOWN * 4 + 8], time[24];

	if (text.n == 0 || !c->todo[PREGREET] || c->talked)
		return;
	c->talked = true;
	show_text(text, shown, sizeof(shown));
	say(s, "PREGREET %zu after %s from %s: %s", text.n, elapsed(s, time),
	    c->client, shown);
	switch ((enum screen_action)s->service->conf
		    ->postscreen_greet_action) {
	case SCREEN_IGNORE:
		break;
	case SCREEN_ENFORCE:
		fail(s, "5.5.1", "Protocol error");
		break;
	case SCREEN_DROP:
		drop(s, "5.5.1", "Protocol error");
		break;
	}
}

void
screen_hangup(struct session *s)
{
	char time[24];

	say(s, "HANGUP after %s from %s in tests before SMTP handshake",
	    elapsed(s, time), s->screen->client);
	say(s, "DISCONNECT %s", s->screen->client);
	s->screen->failed = false;
	stop(s->screen);
}

/* ---- the beginning ---- */
static void
say_connect(struct session *s)
{
	struct sockaddr_storage own = { 0 };
	socklen_t len = sizeof(own);
	char addr[SOCK_ADDR_TEXT] = "unknown";
	unsigned port = 0;

	if (s->dest_addr != NULL) {
		snprintf(addr, sizeof(addr), "%s", s->dest_addr);
		port = s->dest_port;
	} else if (getsockname(stream_fd(s->stream), (struct sockaddr *)&own,
		&len) == 0) {
		sock_addr_text((struct sockaddr *)&own, addr);
		port = sock_addr_port((struct sockaddr *)&own);
	}
	say(s, "CONNECT from %s to [%s]:%u", s->screen->client, addr, port);
}

/* Which tests are due? False: none. */
static bool
find_todo(struct session *s)
{
	const struct service *service = s->service;
	struct screen *c = s->screen;
	uint64_t until[SHARED_WORDS] = { 0 };

	c->known = shared_table_get(service->shared, SHARED_SCREEN, c->key,
	    now_s(), until);
	c->todo[PREGREET] = service->conf->postscreen_greet_wait > 0 &&
	    (int64_t)until[PREGREET] <= now_s();
	c->todo[DNSBL] = screen_sites_count(service->screen->sites) > 0 &&
	    (int64_t)until[DNSBL] <= now_s();
	return c->todo[PREGREET] || c->todo[DNSBL];
}

/* The first line of a greeting of two: who can't wait talks now. */
static void
tease(struct session *s)
{
	const char *banner = s->service->conf->postscreen_greet_banner;
	char line[600];
	int n;

	if (banner[0] == '\0')
		return;
	n = snprintf(line, sizeof(line), "220-%.500s\r\n", banner);
	stream_write(s->stream, span_of(line, (size_t)n));
}

/* False: the session is ended. */
static bool
denied(struct session *s)
{
	static const char text[] = "Service currently unavailable";

	say(s, "DENYLISTED %s", s->screen->client);
	switch ((enum screen_action)s->service->conf
		    ->postscreen_denylist_action) {
	case SCREEN_IGNORE:
		break;
	case SCREEN_ENFORCE:
		fail(s, "5.3.2", text);
		break;
	case SCREEN_DROP:
		drop(s, "5.3.2", text);
		return false;
	}
	return true;
}

bool
screen_begin(struct session *s, const struct sockaddr *addr)
{
	const struct smtpd_conf *conf = s->service->conf;
	struct screen *c;

	if (!conf->smtpd_screen || conf->smtpd_tls_wrappermode)
		return true;
	s->screen = c = MEM_NEW(c);
	snprintf(c->client, sizeof(c->client), "[%s]:%u", s->addr, s->port);
	c->key = shared_table_key(s->service->shared, "screen",
	    span_str(s->addr));
	c->begun_ms = loop_now_ms(s->service->loop);
	c->ttl_s = (uint32_t)(conf->postscreen_dnsbl_max_ttl / 1000);
	say_connect(s);
	switch (screen_access_ask(s->service->screen->access, s->addr,
	    s->trusted, &s->log)) {
	case SCREEN_ACCESS_YES:
		say(s, "ALLOWLISTED %s", c->client);
		return true;
	case SCREEN_ACCESS_NO:
		if (!denied(s))
			return false;
		break;
	case SCREEN_ACCESS_NONE:
		break;
	}
	if (!find_todo(s)) {
		if (!c->failed)
			say(s, "PASS OLD %s", c->client);
		return true;
	}
	c->waiting = true;
	c->timer = timer_new(s->service->loop, on_time, s);
	timer_start(c->timer, (uint64_t)(conf->postscreen_greet_wait > 0 ?
	    conf->postscreen_greet_wait : conf->postscreen_dnsbl_timeout));
	if (c->todo[PREGREET])
		tease(s);
	if (c->todo[DNSBL])
		ask_lists(s, addr);
	return true;
}

bool
screen_waits(const struct session *s)
{
	return s->screen != NULL && s->screen->waiting;
}

/* ---- the gate ---- */
/* A client that failed may talk, so that the log tells who wrote to whom. */
static void
ask(struct session *s, enum stage stage)
{
	struct screen *c = s->screen;
	char from[520], to[520];

	if (stage != STAGE_RCPT || c == NULL || !c->failed ||
	    c->reply[0] == '\0') {
		stage_pass(s);
		return;
	}
	snprintf(from, sizeof(from), "%s", log_quote(s->tx->env.sender, 500));
	snprintf(to, sizeof(to), "%s", log_quote(s->tx->rcpt, 500));
	say(s, "NOQUEUE: reject: RCPT from %s: 550 %s %s; from=<%s>, to=<%s>, "
	    "proto=%s, helo=<%s>", c->client, c->dsn, c->reply, from, to,
	    session_protocol(s), s->helo != NULL ?
	    log_quote(span_str(s->helo), 200) : "");
	stage_refuse(s, &(struct refusal){ .code = 550,
			    .dsn = c->dsn,
			    .text = span_str(c->reply) });
}

static void
end(struct session *s)
{
	struct screen *c = s->screen;

	if (c == NULL)
		return;
	stop(c);
	if (c->failed)
		say(s, "DISCONNECT %s", c->client);
	mem_free(c);
	s->screen = NULL;
}

const struct gate screen_gate = { .name = "screen", .ask = ask, .end = end };

/* ---- parameters ---- */
int
screen_start(struct service *s, struct err *e)
{
	struct screen_rules *r = MEM_NEW(r);

	s->screen = r;
	if (screen_access_open(s->conf->postscreen_access_list, &r->access,
		e) != 0)
		return err_wrap(e, "postscreen_access_list");
	if (screen_sites_open(s->conf->postscreen_dnsbl_sites, &r->sites,
		e) != 0)
		return err_wrap(e, "postscreen_dnsbl_sites");
	if (maps_open(s->conf->postscreen_dnsbl_reply_map, &r->reply_map,
		e) != 0)
		return err_wrap(e, "postscreen_dnsbl_reply_map");
	return 0;
}
