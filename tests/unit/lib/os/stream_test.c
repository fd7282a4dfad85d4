/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/stream.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "lib/os/sock.h"

/* ---- two ends of a connection ---- */
struct side {
	struct loop *loop;
	struct stream *stream;
	struct buf got;
	unsigned inputs, drains, secures, closes;
	enum stream_end end;
	struct err err;
	bool keep; /* do not consume */
	bool free_on_input;
	size_t stop_at; /* stop the loop when so many bytes came */
	bool stop_secured, stop_drained, stop_closed;
};

static void
on_input(void *arg)
{
	struct side *s = arg;

	s->inputs++;
	if (!s->keep) {
		const struct span in = stream_input(s->stream);

		buf_add(&s->got, in);
		stream_consume(s->stream, in.n);
	}
	if (s->free_on_input)
		stream_free(&s->stream);
	if (s->free_on_input || (s->stop_at > 0 && s->got.n >= s->stop_at))
		loop_stop(s->loop);
}

static void
on_drained(void *arg)
{
	struct side *s = arg;

	s->drains++;
	if (s->stop_drained)
		loop_stop(s->loop);
}

static void
on_secured(void *arg)
{
	struct side *s = arg;

	s->secures++;
	if (s->stop_secured)
		loop_stop(s->loop);
}

static void
on_closed(void *arg, enum stream_end end, const struct err *e)
{
	struct side *s = arg;

	s->closes++;
	s->end = end;
	s->err = *e;
	stream_free(&s->stream);
	if (s->stop_closed)
		loop_stop(s->loop);
}

static const struct stream_handler handler = {
	.input = on_input,
	.drained = on_drained,
	.secured = on_secured,
	.closed = on_closed,
};

struct world {
	struct loop *loop;
	struct side a, b;
	struct timer *guard;
};

static void
on_guard(void *arg)
{
	(void)arg;
	fail_msg("nothing happened for 20 seconds");
}

static void
open_side(struct world *w, struct side *s, int fd)
{
	const struct stream_limits limits = { 10000, 20000 };
	struct err e;

	s->loop = w->loop;
	buf_init(&s->got, 10 << 20);
	assert_int_equal(sock_set_nonblock(fd, true, &e), 0);
	s->stream = stream_new(w->loop, fd, &limits, &handler, s);
}

static int
setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));
	int pair[2];
	struct err e;

	w->loop = loop_new();
	assert_int_equal(sock_pair(SOCK_STREAM, pair, &e), 0);
	open_side(w, &w->a, pair[0]);
	open_side(w, &w->b, pair[1]);
	w->guard = timer_new(w->loop, on_guard, w);
	timer_start(w->guard, 20000);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	stream_free(&w->a.stream);
	stream_free(&w->b.stream);
	buf_release(&w->a.got);
	buf_release(&w->b.got);
	timer_free(&w->guard);
	loop_free(&w->loop);
	free(w);
	return 0;
}

static void
stop(void *arg)
{
	struct world *w = arg;

	loop_stop(w->loop);
}

/* Lets the loop turn a few rounds without waiting for anything. */
static void
turn(struct world *w)
{
	for (int i = 0; i < 5; i++) {
		loop_later(w->loop, stop, w);
		loop_run(w->loop);
	}
}

static void
says(struct stream *s, const char *text)
{
	stream_write(s, span_str(text));
}

static bool
got(const struct side *s, const char *text)
{
	return span_eq(buf_span(&s->got), span_str(text));
}

/* ---- plain ---- */
static void
carries_bytes_and_the_end(void **state)
{
	struct world *w = *state;

	says(w->a.stream, "one ");
	says(w->a.stream, "two");
	assert_int_equal(stream_pending(w->a.stream), 7);
	w->b.stop_at = 7;
	loop_run(w->loop);
	assert_true(got(&w->b, "one two"));
	assert_int_equal(w->b.inputs, 1);
	assert_int_equal(w->a.drains, 1);
	assert_int_equal(stream_pending(w->a.stream), 0);
	stream_free(&w->a.stream);
	w->b.stop_closed = true;
	loop_run(w->loop);
	assert_int_equal(w->b.end, STREAM_EOF);
	assert_int_equal(w->b.closes, 1);
}

static void
stops_reading_when_full(void **state)
{
	static uint8_t lot[30000];
	struct world *w = *state;

	memset(lot, 'x', sizeof(lot));
	w->b.keep = true;
	stream_write(w->a.stream, span_of(lot, sizeof(lot)));
	turn(w);
	assert_int_equal(stream_input(w->b.stream).n, 10000);
	w->b.keep = false;
	w->b.stop_at = sizeof(lot);
	stream_resume(w->b.stream);
	loop_run(w->loop);
	assert_int_equal(w->b.got.n, sizeof(lot));
}

static void
consuming_later_reads_on(void **state)
{
	static uint8_t lot[15000];
	struct world *w = *state;

	w->b.keep = true;
	stream_write(w->a.stream, span_of(lot, sizeof(lot)));
	turn(w);
	assert_int_equal(stream_input(w->b.stream).n, 10000);
	stream_consume(w->b.stream, 9999);
	turn(w);
	assert_int_equal(stream_input(w->b.stream).n, 5001);
	assert_true(w->b.inputs >= 2);
}

static void
a_paused_stream_is_silent(void **state)
{
	struct world *w = *state;

	stream_pause(w->b.stream);
	says(w->a.stream, "hello");
	turn(w);
	stream_free(&w->a.stream);
	turn(w);
	assert_int_equal(w->b.inputs + w->b.closes, 0);
	stream_resume(w->b.stream);
	w->b.stop_closed = true;
	loop_run(w->loop);
	assert_true(got(&w->b, "hello"));
	assert_int_equal(w->b.end, STREAM_EOF);
}

static void
resume_tells_of_what_was_left(void **state)
{
	struct world *w = *state;

	w->b.keep = true;
	says(w->a.stream, "left");
	turn(w);
	assert_int_equal(w->b.inputs, 1);
	turn(w);
	assert_int_equal(w->b.inputs, 1);
	stream_pause(w->b.stream);
	stream_resume(w->b.stream);
	assert_int_equal(w->b.inputs, 1);
	turn(w);
	assert_int_equal(w->b.inputs, 2);
}

static void
fails_when_the_peer_does_not_read(void **state)
{
	static uint8_t lot[20000];
	struct world *w = *state;

	stream_pause(w->b.stream);
	for (int i = 0; i < 100 && w->a.closes == 0; i++) {
		stream_write(w->a.stream, span_of(lot, sizeof(lot)));
		turn(w);
	}
	assert_int_equal(w->a.closes, 1);
	assert_int_equal(w->a.end, STREAM_LOST);
	assert_string_equal(w->a.err.dsn, "4.4.2");
}

static void
tells_of_loss(void **state)
{
	struct world *w = *state;

	stream_free(&w->b.stream);
	stream_pause(w->a.stream);
	says(w->a.stream, "x");
	w->a.stop_closed = true;
	loop_run(w->loop);
	assert_int_equal(w->a.end, STREAM_LOST);
	assert_int_equal(w->a.err.sysno, EPIPE);
}

static void
times_out(void **state)
{
	struct world *w = *state;

	stream_timeout(w->a.stream, 10000);
	stream_timeout(w->a.stream, 0);
	stream_timeout(w->a.stream, 5);
	w->a.stop_closed = true;
	loop_run(w->loop);
	assert_int_equal(w->a.end, STREAM_TIMEOUT);
	assert_int_equal(w->a.closes, 1);
}

static void
may_be_freed_in_a_callback(void **state)
{
	struct world *w = *state;

	says(w->a.stream, "x");
	says(w->b.stream, "never sent");
	w->b.free_on_input = true;
	loop_run(w->loop);
	assert_null(w->b.stream);
	assert_int_equal(w->b.closes, 0);
}

static void
last_words(struct world *w, void (*end)(struct stream **, uint64_t))
{
	static uint8_t lot[39000];

	says(w->a.stream, "unread by b");
	stream_pause(w->b.stream);
	turn(w);
	stream_write(w->b.stream, span_of(lot, sizeof(lot)));
	end(&w->b.stream, 5000);
	assert_null(w->b.stream);
	w->a.stop_closed = true;
	loop_run(w->loop);
	assert_int_equal(w->a.got.n, sizeof(lot));
	assert_int_equal(w->a.end, STREAM_EOF);
}

/* The last words arrive although the peer goes on talking. */
static void
finishes_in_order(void **state)
{
	last_words(*state, stream_finish);
}

/* Whom nothing more comes from is not waited for. */
static void
concludes_at_once(void **state)
{
	struct world *w = *state;
	const int fd = stream_fd(w->b.stream);

	stream_pause(w->a.stream);
	says(w->b.stream, "221 bye");
	stream_conclude(&w->b.stream, 5000);
	assert_null(w->b.stream);
	assert_int_equal(fcntl(fd, F_GETFD), -1);
	stream_resume(w->a.stream);
	w->a.stop_closed = true;
	loop_run(w->loop);
	assert_true(got(&w->a, "221 bye"));
	assert_int_equal(w->a.end, STREAM_EOF);
}

/* What it said after all does not cost it the last words. */
static void
concludes_with_who_goes_on(void **state)
{
	last_words(*state, stream_conclude);
}

/* Nor does it cost them to be slow in taking them. */
static void
concludes_with_who_is_slow(void **state)
{
	static uint8_t lot[39000];
	struct world *w = *state;
	const int fd = stream_fd(w->b.stream), small = 4096;

	assert_int_equal(
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)), 0);
	stream_write(w->b.stream, span_of(lot, sizeof(lot)));
	stream_conclude(&w->b.stream, 5000);
	assert_int_not_equal(fcntl(fd, F_GETFD), -1);
	w->a.stop_closed = true;
	loop_run(w->loop);
	assert_int_equal(w->a.got.n, sizeof(lot));
	assert_int_equal(w->a.end, STREAM_EOF);
}

static void
an_unfinished_farewell_ends_with_the_loop(void **state)
{
	struct world *w = *state;

	says(w->b.stream, "bye");
	stream_finish(&w->b.stream, 60000);
	turn(w);
	assert_int_equal(w->a.closes, 1);
	assert_true(got(&w->a, "bye"));
}

/* ---- TLS ---- */
static struct buf cert_pem, key_pem, other_key_pem;
static char ca_path[] = "/tmp/chappe-ca-XXXXXX";

static void
pem_of(BIO *bio, struct buf *out)
{
	char *p;
	const long n = BIO_get_mem_data(bio, &p);

	buf_init(out, 100000);
	buf_add(out, span_of(p, (size_t)n));
	BIO_free(bio);
}

static EVP_PKEY *
make_key(struct buf *out)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	BIO *bio = BIO_new(BIO_s_mem());

	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	pem_of(bio, out);
	return key;
}

static int
make_certificate(void **state)
{
	X509 *x = X509_new();
	EVP_PKEY *key = make_key(&key_pem);
	BIO *bio = BIO_new(BIO_s_mem());
	X509_NAME *name = X509_get_subject_name(x);
	X509_EXTENSION *san;
	FILE *f;

	(void)state;
	EVP_PKEY_free(make_key(&other_key_pem));
	X509_set_version(x, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), -60);
	X509_gmtime_adj(X509_getm_notAfter(x), 3600);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)"mx.example.test", -1, -1, 0);
	X509_set_issuer_name(x, name);
	X509_set_pubkey(x, key);
	san = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name,
	    "DNS:mx.example.test,IP:127.0.0.1");
	X509_add_ext(x, san, -1);
	X509_EXTENSION_free(san);
	X509_sign(x, key, EVP_sha256());
	PEM_write_bio_X509(bio, x);
	pem_of(bio, &cert_pem);
	X509_free(x);
	EVP_PKEY_free(key);
	f = fdopen(mkstemp(ca_path), "w");
	fwrite(cert_pem.p, 1, cert_pem.n, f);
	fclose(f);
	return 0;
}

static int
drop_certificate(void **state)
{
	(void)state;
	buf_release(&cert_pem);
	buf_release(&key_pem);
	buf_release(&other_key_pem);
	return unlink(ca_path);
}

struct tls_pair {
	struct tls_ctx *server, *client;
};

static struct tls_pair
contexts(bool verify)
{
	struct tls_pair p;
	struct err e;

	p.server = tls_server_new(buf_span(&cert_pem), buf_span(&key_pem), &e);
	p.client = tls_client_new(
	    &(struct tls_client_options){ .ca_file = ca_path,
		.verify = verify }, &e);
	assert_non_null(p.server);
	assert_non_null(p.client);
	return p;
}

static void
drop(struct tls_pair *p)
{
	tls_ctx_free(&p->server);
	tls_ctx_free(&p->client);
}

static void
secure(struct world *w, const char *name, bool verify)
{
	struct tls_pair p = contexts(verify);

	stream_tls_server(w->a.stream, p.server, false);
	stream_tls_client(w->b.stream, p.client, name);
	drop(&p);
}

static void
speaks_tls(void **state)
{
	static uint8_t lot[36000];
	struct world *w = *state;
	struct tls_facts f;

	assert_false(stream_tls_facts(w->b.stream, &f));
	secure(w, "mx.example.test", true);
	says(w->a.stream, "220 hello");
	w->b.stop_at = 9;
	loop_run(w->loop);
	assert_true(got(&w->b, "220 hello"));
	assert_int_equal(w->a.secures, 1);
	assert_int_equal(w->b.secures, 1);
	assert_true(stream_tls_facts(w->b.stream, &f));
	assert_string_equal(f.protocol, "TLSv1.3");
	assert_true(strncmp(f.cipher, "TLS_", 4) == 0);
	assert_true(f.bits_used >= 128);
	assert_true(f.verified);
	stream_write(w->b.stream, span_of(lot, sizeof(lot)));
	w->a.stop_at = sizeof(lot);
	loop_run(w->loop);
	stream_finish(&w->b.stream, 5000);
	w->a.stop_closed = true;
	loop_run(w->loop);
	assert_int_equal(w->a.end, STREAM_EOF);
}

static void
verifies_names_and_addresses(void **state)
{
	static const struct {
		const char *name;
		bool verify, works, verified;
	} rows[] = {
		{ "127.0.0.1", true, true, true },
		{ "127.0.0.2", true, false, false },
		{ "other.example.test", true, false, false },
		/* Looked at, and told, but nothing more. */
		{ "other.example.test", false, true, true },
		{ "mx.example.test", false, true, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct world *w;
		struct tls_facts f = { 0 };

		setup((void **)&w);
		secure(w, rows[i].name, rows[i].verify);
		w->b.stop_secured = w->b.stop_closed = true;
		loop_run(w->loop);
		assert_int_equal(w->b.secures, rows[i].works);
		assert_int_equal(w->b.closes, !rows[i].works);
		if (rows[i].works)
			assert_true(stream_tls_facts(w->b.stream, &f));
		else
			assert_non_null(strstr(w->b.err.text, "mismatch"));
		assert_int_equal(f.verified, rows[i].verified);
		teardown((void **)&w);
	}
}

/* What a certificate is for, apart from who vouches for it. */
static void
tells_what_a_certificate_covers(void **state)
{
	static const struct {
		const char *name;
		bool covered;
	} rows[] = {
		{ "mx.example.test", true },
		{ "MX.example.test", true },
		{ ".example.test", true },
		{ ".test", true },
		{ ".mx.example.test", false },
		{ "example.test", false },
		{ "127.0.0.1", true },
		{ "127.0.0.2", false },
		{ "::1", false },
		{ "", false },
	};
	struct world *w = *state;

	assert_false(stream_tls_covers(w->b.stream, SPAN("mx.example.test")));
	secure(w, NULL, false);
	w->b.stop_secured = true;
	loop_run(w->loop);
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_int_equal(stream_tls_covers(w->b.stream,
		    span_str(rows[i].name)), rows[i].covered);
	assert_false(stream_tls_covers(w->a.stream, SPAN("mx.example.test")));
}

/* Both ends see the same, and another connection has another secret. */
static void
binds_channels(void **state)
{
	static const enum tls_binding kinds[] = { TLS_BINDING_EXPORTER,
		TLS_BINDING_END_POINT };
	struct buf a[2], b[2], earlier;

	(void)state;
	buf_init(&earlier, 64);
	for (int round = 0; round < 2; round++) {
		struct world *w;

		setup((void **)&w);
		secure(w, NULL, false);
		for (int i = 0; i < 2; i++) {
			buf_init(&a[i], 64);
			buf_init(&b[i], 64);
			assert_false(stream_tls_binding(
			    w->a.stream, kinds[i], &a[i]));
		}
		/* Over TLS 1.3 the client is through before the server. */
		w->a.stop_secured = true;
		loop_run(w->loop);
		for (int i = 0; i < 2; i++) {
			assert_true(stream_tls_binding(
			    w->a.stream, kinds[i], &a[i]));
			assert_true(stream_tls_binding(
			    w->b.stream, kinds[i], &b[i]));
			assert_int_equal(a[i].n, 32);
			assert_true(
			    span_eq(buf_span(&a[i]), buf_span(&b[i])));
		}
		assert_false(span_eq(buf_span(&a[0]), buf_span(&a[1])));
		assert_false(span_eq(buf_span(&a[0]), buf_span(&earlier)));
		buf_add(&earlier, buf_span(&a[0]));
		for (int i = 0; i < 2; i++) {
			buf_release(&a[i]);
			buf_release(&b[i]);
		}
		teardown((void **)&w);
	}
	buf_release(&earlier);
}

/* 220 in plain text goes first; what is said after asking for TLS does not
 * go out in plain text. */
static void
starts_tls_in_the_middle(void **state)
{
	struct world *w = *state;
	struct tls_pair p = contexts(true);

	says(w->a.stream, "220 go\r\n");
	stream_tls_server(w->a.stream, p.server, false);
	says(w->a.stream, "secret");
	w->b.stop_at = 8;
	loop_run(w->loop);
	turn(w);
	assert_true(got(&w->b, "220 go\r\n"));
	stream_tls_client(w->b.stream, p.client, NULL);
	w->b.stop_at = 14;
	loop_run(w->loop);
	assert_true(got(&w->b, "220 go\r\nsecret"));
	drop(&p);
}

static void
refuses_plain_text_before_tls(void **state)
{
	struct world *w = *state;
	struct tls_pair p = contexts(true);

	w->a.keep = true;
	says(w->b.stream, "MAIL FROM:<injected@example.test>\r\n");
	turn(w);
	stream_tls_server(w->a.stream, p.server, false);
	w->a.stop_closed = true;
	loop_run(w->loop);
	assert_int_equal(w->a.end, STREAM_LOST);
	assert_string_equal(w->a.err.dsn, "5.5.1");
	drop(&p);
}

static void
takes_buffered_bytes_as_tls(void **state)
{
	struct world *w = *state;
	struct tls_pair p = contexts(true);

	w->a.keep = true;
	stream_tls_client(w->b.stream, p.client, "mx.example.test");
	turn(w);
	assert_true(stream_input(w->a.stream).n > 50);
	w->a.keep = false;
	stream_tls_server(w->a.stream, p.server, true);
	w->b.stop_secured = true;
	loop_run(w->loop);
	says(w->b.stream, "EHLO");
	w->a.stop_at = 4;
	loop_run(w->loop);
	assert_true(got(&w->a, "EHLO"));
	drop(&p);
}

static void
survives_rubbish_instead_of_tls(void **state)
{
	struct world *w = *state;
	struct tls_pair p = contexts(true);

	says(w->b.stream, "EHLO this is no TLS at all\r\n");
	stream_tls_server(w->a.stream, p.server, false);
	w->a.stop_closed = true;
	loop_run(w->loop);
	assert_int_equal(w->a.end, STREAM_LOST);
	assert_string_equal(w->a.err.dsn, "4.7.5");
	drop(&p);
}

static void
reads_pem_in_any_order(void **state)
{
	const struct span cert = buf_span(&cert_pem), key = buf_span(&key_pem);
	struct buf both;
	struct tls_ctx *ctx;
	struct err e;

	(void)state;
	buf_init(&both, 100000);
	buf_add(&both, key);
	buf_add(&both, cert);
	ctx = tls_server_new(key, cert, &e);
	assert_non_null(ctx);
	tls_ctx_free(&ctx);
	ctx = tls_server_new(buf_span(&both), SPAN_EMPTY, &e);
	assert_non_null(ctx);
	tls_ctx_free(&ctx);
	ctx = tls_server_new(buf_span(&both), buf_span(&both), &e);
	assert_non_null(ctx);
	tls_ctx_free(&ctx);
	assert_null(tls_server_new(cert, buf_span(&other_key_pem), &e));
	assert_non_null(strstr(e.text, "certificate and private key"));
	assert_null(tls_server_new(cert, SPAN_EMPTY, &e));
	assert_null(tls_server_new(SPAN("rubbish"), key, &e));
	assert_null(tls_client_new(
	    &(struct tls_client_options){ .ca_file = "/nonexistent/ca.pem" },
	    &e));
	buf_release(&both);
}

/* ---- connecting ---- */
struct outcome {
	struct loop *loop;
	struct connecting *c;
	int calls, fd;
	struct err err;
};

static void
on_connect(void *arg, int fd, const struct err *e)
{
	struct outcome *o = arg;

	o->calls++;
	o->fd = fd;
	if (e != NULL)
		o->err = *e;
	connect_free(&o->c);
	loop_stop(o->loop);
}

static void
connects_or_says_why(void **state)
{
	struct world *w = *state;
	struct outcome o = { .loop = w->loop };
	struct sockaddr_storage addr;
	struct sockaddr *to = (struct sockaddr *)&addr;
	socklen_t len;
	struct err e;
	int l;

	assert_true(sock_addr_parse("127.0.0.1", 0, &addr, &len));
	assert_int_equal(sock_listen_tcp(to, len, 5, &l, &e), 0);
	assert_int_equal(getsockname(l, to, &len), 0);
	o.c = connect_start(w->loop, to, len, NULL, 0, 5000, on_connect, &o);
	assert_int_equal(o.calls, 0);
	loop_run(w->loop);
	assert_int_equal(o.calls, 1);
	assert_true(o.fd >= 0);
	close(o.fd);
	close(l);
	o.c = connect_start(w->loop, to, len, NULL, 0, 5000, on_connect, &o);
	loop_run(w->loop);
	assert_int_equal(o.calls, 2);
	assert_int_equal(o.fd, -1);
	assert_int_equal(o.err.sysno, ECONNREFUSED);
	assert_string_equal(o.err.dsn, "4.4.1");
	o.c = connect_start(w->loop, to, len, NULL, 0, 5000, on_connect, &o);
	connect_free(&o.c);
	turn(w);
	assert_int_equal(o.calls, 2);
}

#define STREAM_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		STREAM_TEST(carries_bytes_and_the_end),
		STREAM_TEST(stops_reading_when_full),
		STREAM_TEST(consuming_later_reads_on),
		STREAM_TEST(a_paused_stream_is_silent),
		STREAM_TEST(resume_tells_of_what_was_left),
		STREAM_TEST(fails_when_the_peer_does_not_read),
		STREAM_TEST(tells_of_loss),
		STREAM_TEST(times_out),
		STREAM_TEST(may_be_freed_in_a_callback),
		STREAM_TEST(finishes_in_order),
		STREAM_TEST(concludes_at_once),
		STREAM_TEST(concludes_with_who_goes_on),
		STREAM_TEST(concludes_with_who_is_slow),
		STREAM_TEST(an_unfinished_farewell_ends_with_the_loop),
		STREAM_TEST(speaks_tls),
		cmocka_unit_test(verifies_names_and_addresses),
		STREAM_TEST(tells_what_a_certificate_covers),
		cmocka_unit_test(binds_channels),
		STREAM_TEST(starts_tls_in_the_middle),
		STREAM_TEST(refuses_plain_text_before_tls),
		STREAM_TEST(takes_buffered_bytes_as_tls),
		STREAM_TEST(survives_rubbish_instead_of_tls),
		cmocka_unit_test(reads_pem_in_any_order),
		STREAM_TEST(connects_or_says_why),
	};

	return cmocka_run_group_tests(
	    tests, make_certificate, drop_certificate);
}
