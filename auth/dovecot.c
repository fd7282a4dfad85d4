/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/dovecot.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "auth/dovecot_line.h"
#include "auth/exchange.h"
#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/os/sock.h"
#include "lib/os/stream.h"
#include "lib/proto/base64.h"

enum {
	USERS_MAX = 16,
	CONNECTIONS_MAX = 1000,
	EXCHANGES_MAX = 1000, /* of one connection */
	VERSION_MAJOR = 1,
	VERSION_MINOR = 1,
};

struct dovecot {
	struct auth *a;
	uid_t uids[USERS_MAX];
	size_t uid_count;
	struct list connections;
	size_t connection_count;
	unsigned last_cuid;
	bool leaving;
};

struct connection {
	struct list link;
	struct dovecot *d;
	struct stream *stream;
	struct table lines; /* id -> struct inquiry */
	uint32_t cuid;
	bool greeted;
};

/* One exchange of a connection. */
struct inquiry {
	struct connection *c;
	uint32_t id;
	struct exchange *exchange;
	bool thinks; /* the client's answer is waited for */
	struct timer *timer;
};

/* ---- connections ---- */

static struct span
key_of(const uint32_t *id)
{
	return span_of(id, sizeof(*id));
}

static void
inquiry_free(struct inquiry *q)
{
	table_remove(&q->c->lines, key_of(&q->id));
	exchange_abandon(&q->exchange);
	timer_free(&q->timer);
	mem_free(q);
}

static void
connection_free(struct connection *c)
{
	struct table_iter it;
	struct span key;
	void *value;

	table_iter_init(&c->lines, &it);
	while (table_iter_next(&c->lines, &it, &key, &value))
		inquiry_free(value);
	table_release(&c->lines);
	stream_free(&c->stream);
	list_remove(&c->link);
	c->d->connection_count--;
	mem_free(c);
}

static void
say(struct connection *c, struct buf *line)
{
	buf_byte(line, '\n');
	if (buf_ok(line) && c->stream != NULL)
		stream_write(c->stream, buf_span(line));
	buf_wipe(line);
}

static void
greet(struct connection *c)
{
	struct span rest =
	    span_str(c->d->a->conf->auth_dovecot_mechanisms), word;
	uint8_t cookie[16];
	struct buf out;

	BUG_ON(RAND_bytes(cookie, sizeof(cookie)) != 1);
	buf_init(&out, 8192);
	buf_fmt(&out, "VERSION\t%d\t%d\n", VERSION_MAJOR, VERSION_MINOR);
	while (span_token(&rest, ", \t", &word)) {
		buf_str(&out, "MECH\t");
		for (size_t i = 0; i < word.n; i++)
			buf_byte(&out, ascii_upper(word.p[i]));
		if (span_ieq(word, SPAN("PLAIN")) ||
		    span_ieq(word, SPAN("LOGIN")))
			buf_str(&out, "\tplaintext");
		else if (span_istarts(word, SPAN("SCRAM-")))
			buf_str(&out, "\tmutual-auth");
		buf_byte(&out, '\n');
	}
	buf_fmt(&out, "SPID\t%lu\nCUID\t%u\nCOOKIE\t",
	    (unsigned long)getpid(), c->cuid);
	for (size_t i = 0; i < sizeof(cookie); i++)
		buf_fmt(&out, "%02x", cookie[i]);
	buf_str(&out, "\nDONE");
	say(c, &out);
}

/* ---- what the exchange says ---- */

static void
on_challenge(void *arg, struct span data)
{
	struct inquiry *q = arg;
	struct buf out;

	buf_init(&out, 2 * DOVECOT_LINE_MAX);
	buf_fmt(&out, "CONT\t%u\t", q->id);
	base64_encode(data, &out);
	q->thinks = true;
	timer_start(q->timer, AUTH_SESSION_MS);
	say(q->c, &out);
}

static void
on_done(void *arg, const struct login_facts *f)
{
	struct inquiry *q = arg;
	struct buf out;

	q->exchange = NULL;
	buf_init(&out, DOVECOT_LINE_MAX);
	buf_fmt(&out, "OK\t%u\tuser=", q->id);
	dovecot_escape(span_str(f->user), &out);
	say(q->c, &out);
	inquiry_free(q);
}

static void
on_failed(void *arg, const struct login_facts *f, const struct err *e)
{
	struct inquiry *q = arg;
	struct buf out;

	q->exchange = NULL;
	buf_init(&out, DOVECOT_LINE_MAX);
	buf_fmt(&out, "FAIL\t%u", q->id);
	if (f->user[0] != '\0') {
		buf_str(&out, "\tuser=");
		dovecot_escape(span_str(f->user), &out);
	}
	if (e->kind == ERR_TEMP)
		buf_str(&out, "\ttemp\tcode=temp_fail");
	say(q->c, &out);
	inquiry_free(q);
}

static const struct exchange_handler exchange_handler = { on_challenge,
	on_done, on_failed };

static void
too_slow(void *arg)
{
	struct inquiry *q = arg;
	struct buf out;

	buf_init(&out, 100);
	buf_fmt(&out, "FAIL\t%u", q->id);
	say(q->c, &out);
	inquiry_free(q);
}

/* ---- what the client says ---- */

static bool
bad_line(const char *why)
{
	log_warning(NULL, "dovecot-auth: %s: closing the connection", why);
	return false;
}

/* At once, for what never became an exchange. */
static void
refuse(struct connection *c, uint32_t id, bool temporary, const char *reason)
{
	struct buf out;

	buf_init(&out, 300);
	buf_fmt(&out, "FAIL\t%u\treason=%s%s", id, reason,
	    temporary ? "\ttemp" : "");
	say(c, &out);
}

static bool
offered(const struct auth *a, struct span mechanism)
{
	struct span rest = span_str(a->conf->auth_dovecot_mechanisms), word;

	while (span_token(&rest, ", \t", &word))
		if (span_ieq(word, mechanism))
			return true;
	return false;
}

static struct inquiry *
inquiry_new(struct connection *c, const struct dovecot_line *line)
{
	struct exchange_client client = { .binding = { .plus_offered = false } };
	struct inquiry *q = MEM_NEW(q);
	struct login_facts f = { .pid = 0 };
	struct buf cert;

	q->c = c;
	q->id = line->id;
	f.secured = line->secured;
	span_copy(line->service, f.service, sizeof(f.service));
	span_copy(line->rip, f.addr, sizeof(f.addr));
	buf_init(&cert, AUTH_NAME_MAX);
	if (line->cert)
		dovecot_unescape(line->cert_user, &cert);
	client.cert_name = buf_span(&cert);
	q->exchange = exchange_new(c->d->a, line->mechanism, &f, &client,
	    log_trace_new(), &exchange_handler, q);
	buf_release(&cert);
	if (q->exchange == NULL) {
		mem_free(q);
		return NULL;
	}
	q->timer = timer_new(c->d->a->loop, too_slow, q);
	table_put(&c->lines, key_of(&q->id), q);
	return q;
}

static bool
begin(struct connection *c, const struct dovecot_line *line)
{
	struct inquiry *q;
	struct buf raw;

	if (table_get(&c->lines, key_of(&line->id)) != NULL)
		return bad_line("an id that is in use");
	if (c->lines.count >= EXCHANGES_MAX || c->d->leaving ||
	    c->d->a->exchange_count >= AUTH_SESSIONS_MAX) {
		refuse(c, line->id, true, "too many logins");
		return true;
	}
	buf_init(&raw, LIMIT_SASL_LINE);
	if (line->has_resp && !base64_decode(line->resp, &raw)) {
		refuse(c, line->id, false, "invalid base64 data");
	} else {
		q = offered(c->d->a, line->mechanism) ?
		    inquiry_new(c, line) : NULL;
		if (q == NULL)
			refuse(c, line->id, false,
			    "unsupported authentication mechanism");
		else
			exchange_start(
			    q->exchange, line->has_resp, buf_span(&raw));
	}
	buf_wipe(&raw);
	return true;
}

static bool
go_on(struct connection *c, const struct dovecot_line *line)
{
	struct inquiry *q = table_get(&c->lines, key_of(&line->id));
	struct buf raw;

	if (q == NULL || !q->thinks) {
		refuse(c, line->id, true, "no such exchange");
		return true;
	}
	q->thinks = false;
	timer_stop(q->timer);
	buf_init(&raw, LIMIT_SASL_LINE);
	if (base64_decode(line->resp, &raw)) {
		exchange_step(q->exchange, buf_span(&raw));
	} else {
		inquiry_free(q);
		refuse(c, line->id, false, "invalid base64 data");
	}
	buf_wipe(&raw);
	return true;
}

static bool
cancel(struct connection *c, const struct dovecot_line *line)
{
	struct inquiry *q = table_get(&c->lines, key_of(&line->id));

	if (q != NULL)
		inquiry_free(q);
	return true;
}

/* False: the connection is to be closed. */
static bool
take_line(struct connection *c, struct span text)
{
	struct dovecot_line line;

	dovecot_line_parse(text, &line);
	switch (line.command) {
	case DOVECOT_VERSION:
		return line.major == VERSION_MAJOR ? true :
		    bad_line("another version of the protocol");
	case DOVECOT_CPID:
		c->greeted = true;
		return true;
	case DOVECOT_AUTH:
		return c->greeted ? begin(c, &line) :
				    bad_line("AUTH before CPID");
	case DOVECOT_CONT:
		return go_on(c, &line);
	case DOVECOT_CANCEL:
		return cancel(c, &line);
	case DOVECOT_OTHER:
		return true;
	case DOVECOT_BAD:
		break;
	}
	return bad_line("a malformed line");
}

static void
on_input(void *arg)
{
	struct connection *c = arg;

	for (;;) {
		const struct span in = stream_input(c->stream);
		const size_t lf = span_chr(in, '\n');
		bool good = true;

		if (lf == SIZE_MAX && in.n < DOVECOT_LINE_MAX)
			return;
		good = lf == SIZE_MAX ? bad_line("a line without end") :
		    take_line(c, span_slice(in, 0, lf));
		if (!good) {
			connection_free(c);
			return;
		}
		stream_consume(c->stream, lf + 1);
	}
}

static void
on_closed(void *arg, enum stream_end end, const struct err *e)
{
	(void)end;
	(void)e;
	connection_free(arg);
}

/* ---- who may come ---- */

static bool
may_use(const struct dovecot *d, int fd)
{
	struct peer peer;

	if (sock_peer(fd, &peer, NULL) != 0)
		return false;
	if (peer.uid == 0 || peer.uid == geteuid())
		return true;
	for (size_t i = 0; i < d->uid_count; i++)
		if (d->uids[i] == peer.uid)
			return true;
	log_warning(NULL, "dovecot-auth: uid %lu is not in auth_dovecot_users",
	    (unsigned long)peer.uid);
	return false;
}

void
dovecot_client(struct dovecot *d, int fd)
{
	static const struct stream_limits limits = { DOVECOT_LINE_MAX + 1,
		1 << 20 };
	static const struct stream_handler handler = { .input = on_input,
		.closed = on_closed };
	struct connection *c;

	if (d->connection_count >= CONNECTIONS_MAX || !may_use(d, fd)) {
		close(fd);
		return;
	}
	c = MEM_NEW(c);
	c->d = d;
	c->cuid = ++d->last_cuid;
	table_init(&c->lines);
	list_push(&d->connections, &c->link);
	d->connection_count++;
	c->stream = stream_new(d->a->loop, fd, &limits, &handler, c);
	greet(c);
}

struct dovecot *
dovecot_new(struct auth *a, struct err *e)
{
	struct dovecot *d = MEM_NEW(d);
	struct span rest = span_str(a->conf->auth_dovecot_users), word;
	struct priv_user user;

	d->a = a;
	list_init(&d->connections);
	while (span_token(&rest, ", \t", &word) && d->uid_count < USERS_MAX) {
		uint64_t uid;
		if (span_u64(word, UINT32_MAX - 1, &uid)) {
			d->uids[d->uid_count++] = (uid_t)uid;
			continue;
		}
		char *name = span_dup(word);
		const int rc = priv_lookup(name, &user, e);
		mem_free(name);
		if (rc < 0) {
			mem_free(d);
			err_wrap(e, "auth_dovecot_users");
			return NULL;
		}
		d->uids[d->uid_count++] = user.uid;
	}
	return d;
}

void
dovecot_leave(struct dovecot *d)
{
	d->leaving = true;
}
