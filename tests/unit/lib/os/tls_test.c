/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/tls.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "lib/base/mem.h"
#include "lib/os/memfd.h"
#include "lib/os/sock.h"
#include "lib/os/stream.h"
#include "lib/os/tls_keys.h"
#include "lib/os/tls_tickets.h"

/* ---- certificates ---- */
enum { RSA_CERT, EC_CERT, NAME_CERT, CLIENT_CERT, CERTS };

static struct made {
	EVP_PKEY *key;
	X509 *cert;
	struct buf pem; /* key and certificate */
} made[CERTS];

static void
add_pem(struct buf *out, BIO *bio)
{
	char *p;
	const long n = BIO_get_mem_data(bio, &p);

	buf_add(out, span_of(p, (size_t)n));
	BIO_free(bio);
}

static void
make(struct made *m, EVP_PKEY *key, const char *cn)
{
	X509_NAME *name;
	BIO *bio;

	assert_non_null(key);
	m->key = key;
	m->cert = X509_new();
	X509_set_version(m->cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(m->cert), 1);
	X509_gmtime_adj(X509_getm_notBefore(m->cert), -60);
	X509_gmtime_adj(X509_getm_notAfter(m->cert), 3600);
	name = X509_get_subject_name(m->cert);
	X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC,
	    (const unsigned char *)"Telegraph", -1, -1, 0);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)cn, -1, -1, 0);
	X509_set_issuer_name(m->cert, name);
	X509_set_pubkey(m->cert, key);
	X509_sign(m->cert, key, EVP_sha256());
	buf_init(&m->pem, 100000);
	bio = BIO_new(BIO_s_mem());
	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	add_pem(&m->pem, bio);
	bio = BIO_new(BIO_s_mem());
	PEM_write_bio_X509(bio, m->cert);
	add_pem(&m->pem, bio);
}

static int
make_all(void **state)
{
	(void)state;
	make(&made[RSA_CERT], EVP_RSA_gen(2048), "rsa.example.test");
	make(&made[EC_CERT], EVP_EC_gen("P-256"), "ec.example.test");
	make(&made[NAME_CERT], EVP_EC_gen("P-384"), "name.example.test");
	make(&made[CLIENT_CERT], EVP_EC_gen("P-256"), "a (strange) client");
	return 0;
}

static int
drop_all(void **state)
{
	(void)state;
	for (int i = 0; i < CERTS; i++) {
		EVP_PKEY_free(made[i].key);
		X509_free(made[i].cert);
		buf_wipe(&made[i].pem);
	}
	return 0;
}

/* ---- a server on the loop, and OpenSSL's own client ---- */
struct world {
	struct loop *loop;
	struct stream *server;
	struct tls_ctx *ctx;
	SSL_CTX *client_ctx;
	SSL *client;
	SSL_SESSION *session;
	unsigned secured, closed;
	struct err err;
};

static void
on_input(void *arg)
{
	(void)arg;
}

static void
on_secured(void *arg)
{
	struct world *w = arg;

	w->secured++;
	stream_write(w->server, SPAN("x"));
}

static void
on_closed(void *arg, enum stream_end end, const struct err *e)
{
	struct world *w = arg;

	(void)end;
	w->closed++;
	w->err = *e;
	stream_free(&w->server);
}

static int
on_session(SSL *ssl, SSL_SESSION *session)
{
	struct world *w = SSL_get_app_data(ssl);

	SSL_SESSION_free(w->session);
	w->session = session;
	return 1;
}

static void
stop(void *arg)
{
	struct world *w = arg;

	loop_stop(w->loop);
}

static void
turn(struct world *w)
{
	loop_later(w->loop, stop, w);
	loop_run(w->loop);
}

static struct tls_ctx *
server_of(const struct tls_server_options *o, struct err *e)
{
	struct tls_ctx *ctx;
	struct tls_keys *keys;
	struct buf b;
	int fd;

	buf_init(&b, 1000000);
	tls_keys_begin(&b);
	tls_keys_add(&b, TLS_ITEM_CHAIN, SPAN("rsa"),
	    buf_span(&made[RSA_CERT].pem));
	tls_keys_add(
	    &b, TLS_ITEM_CHAIN, SPAN("ec"), buf_span(&made[EC_CERT].pem));
	tls_keys_add(&b, TLS_ITEM_NAME, SPAN(".example.test"),
	    buf_span(&made[NAME_CERT].pem));
	tls_keys_add(
	    &b, TLS_ITEM_CA, SPAN("ca"), buf_span(&made[CLIENT_CERT].pem));
	assert_int_equal(memfd_seal("keys", buf_span(&b), &fd, e), 0);
	assert_int_equal(tls_keys_open(fd, &keys, e), 0);
	close(fd);
	buf_wipe(&b);
	ctx = tls_server_open(keys, o, e);
	tls_keys_free(&keys);
	return ctx;
}

static int
setup(void **state)
{
	static uint8_t keys[3 * TLS_TICKET_KEY_SIZE] = { 1 };
	struct world *w = MEM_NEW(w);

	w->loop = loop_new();
	w->client_ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_session_cache_mode(w->client_ctx,
	    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(w->client_ctx, on_session);
	for (size_t i = 0; i < 3; i++)
		memset(keys + i * TLS_TICKET_KEY_SIZE, (int)('a' + i),
		    TLS_TICKET_KEY_SIZE);
	assert_true(tls_tickets_set(span_of(keys, sizeof(keys))));
	*state = w;
	return 0;
}

static void
disconnect(struct world *w)
{
	if (w->client != NULL) {
		close(SSL_get_fd(w->client));
		/* An end without this makes the session a bad one. */
		SSL_set_shutdown(
		    w->client, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	}
	SSL_free(w->client);
	w->client = NULL;
	stream_free(&w->server);
	tls_ctx_free(&w->ctx);
	w->secured = w->closed = 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	disconnect(w);
	SSL_SESSION_free(w->session);
	SSL_CTX_free(w->client_ctx);
	loop_free(&w->loop);
	mem_free(w);
	return 0;
}

static void
forget_session(struct world *w)
{
	SSL_SESSION_free(w->session);
	w->session = NULL;
}

/* True when both sides are through, and the client has read something. */
static bool
connect_to(struct world *w, const struct tls_server_options *o,
    const char *name)
{
	static const struct stream_limits limits = { 10000, 20000 };
	static const struct stream_handler handler = {
		.input = on_input,
		.secured = on_secured,
		.closed = on_closed,
	};
	int pair[2];
	struct err e;
	char byte;

	disconnect(w);
	w->ctx = server_of(o, &e);
	if (w->ctx == NULL)
		fail_msg("%s", e.text);
	assert_int_equal(sock_pair(SOCK_STREAM, pair, &e), 0);
	sock_set_nonblock(pair[0], true, &e);
	sock_set_nonblock(pair[1], true, &e);
	w->server = stream_new(w->loop, pair[0], &limits, &handler, w);
	stream_tls_server(w->server, w->ctx, true);
	w->client = SSL_new(w->client_ctx);
	SSL_set_app_data(w->client, w);
	SSL_set_fd(w->client, pair[1]);
	if (name != NULL) {
		char copy[100];

		snprintf(copy, sizeof(copy), "%s", name);
		SSL_ctrl(w->client, SSL_CTRL_SET_TLSEXT_HOSTNAME,
		    TLSEXT_NAMETYPE_host_name, copy);
	}
	if (w->session != NULL)
		SSL_set_session(w->client, w->session);
	SSL_set_connect_state(w->client);
	for (int i = 0; i < 1000; i++) {
		if (SSL_read(w->client, &byte, 1) == 1)
			return true;
		turn(w);
		if (w->closed > 0)
			return false;
	}
	fail_msg("no end of the handshake");
	return false;
}

static bool
served_with(const struct world *w, int which)
{
	return X509_cmp(SSL_get0_peer_certificate(w->client),
		   made[which].cert) == 0;
}

static const struct tls_server_options plain = { .ticket_lifetime_s = 100 };

/* ---- tests ---- */
static void
serves_rsa_and_ecdsa_side_by_side(void **state)
{
	/* OpenSSL's macros cast a const away. */
	char rsa[] = "RSA-PSS+SHA256", ecdsa[] = "ECDSA+SHA256", p256[] = "P-256";
	struct world *w = *state;
	struct tls_facts f;

	forget_session(w);
	assert_true(connect_to(w, &plain, NULL));
	assert_true(served_with(w, EC_CERT) || served_with(w, RSA_CERT));
	SSL_CTX_set1_sigalgs_list(w->client_ctx, rsa);
	forget_session(w);
	assert_true(connect_to(w, &plain, NULL));
	assert_true(served_with(w, RSA_CERT));
	assert_true(stream_tls_facts(w->server, &f));
	assert_string_equal(f.server_signature.name, "RSA-PSS");
	assert_int_equal(f.server_signature.bits, 2048);
	SSL_CTX_set1_sigalgs_list(w->client_ctx, ecdsa);
	SSL_CTX_set1_groups_list(w->client_ctx, p256);
	forget_session(w);
	assert_true(connect_to(w, &plain, NULL));
	assert_true(served_with(w, EC_CERT));
	assert_true(stream_tls_facts(w->server, &f));
	assert_string_equal(f.protocol, "TLSv1.3");
	assert_string_equal(f.exchange.name, "ECDHE");
	assert_string_equal(f.exchange.curve, "P-256");
	assert_string_equal(f.server_signature.name, "ECDSA");
	assert_string_equal(f.server_signature.curve, "P-256");
	assert_string_equal(f.server_signature.digest, "SHA256");
	assert_null(f.client_signature.name);
	assert_false(f.has_cert || f.verified || f.resumed || f.asked_cert);
	SSL_CTX_set_max_proto_version(w->client_ctx, TLS1_2_VERSION);
	forget_session(w);
	assert_true(connect_to(w, &plain, NULL));
	assert_true(stream_tls_facts(w->server, &f));
	assert_string_equal(f.protocol, "TLSv1.2");
	assert_null(f.exchange.name);
}

static void
serves_names(void **state)
{
	struct world *w = *state;
	struct tls_facts f;

	forget_session(w);
	assert_true(connect_to(w, &plain, "www.EXAMPLE.test"));
	assert_true(served_with(w, NAME_CERT));
	assert_true(stream_tls_facts(w->server, &f));
	assert_true(f.name_matched);
	assert_string_equal(f.asked_name, "www.EXAMPLE.test");
	assert_string_equal(f.exchange.name, "X25519");
	assert_string_equal(f.server_signature.curve, "P-384");
	forget_session(w);
	assert_true(connect_to(w, &plain, "www.example.org"));
	assert_false(served_with(w, NAME_CERT));
	assert_true(stream_tls_facts(w->server, &f));
	assert_false(f.name_matched);
	assert_string_equal(f.asked_name, "www.example.org");
}

static void
refuses_old_protocols_by_default(void **state)
{
	struct world *w = *state;
	const struct tls_server_options old = { .protocols = ">=TLSv1" },
					only13 = { .protocols = "TLSv1.3" };
	struct tls_facts f;

	SSL_CTX_set_security_level(w->client_ctx, 0);
	SSL_CTX_set_min_proto_version(w->client_ctx, TLS1_VERSION);
	SSL_CTX_set_max_proto_version(w->client_ctx, TLS1_1_VERSION);
	assert_false(connect_to(w, &plain, NULL));
	assert_non_null(strstr(w->err.text, "unsupported protocol"));
	forget_session(w);
	assert_true(connect_to(w, &old, NULL));
	assert_true(stream_tls_facts(w->server, &f));
	assert_string_equal(f.protocol, "TLSv1.1");
	SSL_CTX_set_max_proto_version(w->client_ctx, TLS1_2_VERSION);
	forget_session(w);
	assert_true(connect_to(w, &plain, NULL));
	assert_false(connect_to(w, &only13, NULL));
}

static void
refuses_options_that_mean_nothing(void **state)
{
	static const struct tls_server_options rows[] = {
		{ .protocols = "TLSv9" },
		{ .options = "NONSENSE" },
		{ .workarounds = "NONSENSE" },
		{ .ciphers = "NONSENSE" },
	};
	struct err e;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++)
		assert_null(server_of(&rows[i], &e));
}

static bool
resumed(struct world *w)
{
	struct tls_facts f;

	assert_true(stream_tls_facts(w->server, &f));
	assert_int_equal(f.resumed, SSL_session_reused(w->client));
	return f.resumed;
}

/* Each connection has a context of its own, as if another process took it. */
static void
resumes_by_tickets(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	const struct tls_server_options other = { .ticket_lifetime_s = 100,
		.session_context = "other" },
					none = { 0 };
	struct world *w = *state;

	for (size_t i = 0; i < COUNT_OF(versions); i++) {
		SSL_CTX_set_min_proto_version(w->client_ctx, versions[i]);
		SSL_CTX_set_max_proto_version(w->client_ctx, versions[i]);
		forget_session(w);
		assert_true(connect_to(w, &plain, NULL));
		assert_false(resumed(w));
		assert_non_null(w->session);
		assert_true(connect_to(w, &plain, NULL));
		assert_true(resumed(w));
		assert_true(connect_to(w, &plain, NULL));
		assert_true(resumed(w));
		assert_true(connect_to(w, &other, NULL));
		assert_false(resumed(w));
		forget_session(w);
		assert_true(connect_to(w, &none, NULL));
		assert_false(resumed(w));
		assert_true(connect_to(w, &plain, NULL));
		assert_false(resumed(w));
	}
}

/* The same end point as in the session's first connection, by whichever
 * certificate that was. */
static void
resumed_sessions_keep_their_end_point(void **state)
{
	static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
	struct world *w = *state;
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned n;
	struct buf b;

	buf_init(&b, 64);
	for (size_t i = 0; i < COUNT_OF(versions); i++) {
		char sigalgs[] = "RSA-PSS+SHA256";

		SSL_CTX_set_min_proto_version(w->client_ctx, versions[i]);
		SSL_CTX_set_max_proto_version(w->client_ctx, versions[i]);
		SSL_CTX_set1_sigalgs_list(w->client_ctx, sigalgs);
		X509_digest(made[RSA_CERT].cert, EVP_sha256(), digest, &n);
		forget_session(w);
		for (int round = 0; round < 3; round++) {
			assert_true(connect_to(w, &plain, NULL));
			assert_int_equal(resumed(w), round > 0);
			buf_reset(&b);
			assert_true(stream_tls_binding(
			    w->server, TLS_BINDING_END_POINT, &b));
			assert_true(
			    span_eq(buf_span(&b), span_of(digest, n)));
		}
	}
	buf_release(&b);
}

/* keys: a letter for each. */
static void
set_keys(const char *letters)
{
	uint8_t keys[3 * TLS_TICKET_KEY_SIZE];
	const size_t n = strlen(letters);

	for (size_t i = 0; i < n; i++)
		memset(keys + i * TLS_TICKET_KEY_SIZE, letters[i],
		    TLS_TICKET_KEY_SIZE);
	assert_true(tls_tickets_set(span_of(keys, n * TLS_TICKET_KEY_SIZE)));
}

/* Present, next, before: a process that has heard of a change and one that
 * has not yet understand each other. */
static void
keys_of_tickets_change_places(void **state)
{
	static const struct {
		const char *made, *read;
		bool resumes;
	} rows[] = {
		{ "abz", "abz", true },
		{ "abz", "bca", true }, /* it is renewed */
		{ "bca", "abz", true },
		{ "abz", "cdb", false },
		{ "abz", "", false },
		{ "a", "a", true },
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		forget_session(w);
		set_keys(rows[i].made);
		assert_true(connect_to(w, &plain, NULL));
		set_keys(rows[i].read);
		assert_true(connect_to(w, &plain, NULL));
		if (resumed(w) != rows[i].resumes)
			fail_msg("%s then %s", rows[i].made, rows[i].read);
	}
	/* A renewed one outlives the key it was first made with. */
	set_keys("abz");
	assert_true(connect_to(w, &plain, NULL));
	set_keys("bca");
	assert_true(connect_to(w, &plain, NULL));
	assert_true(resumed(w));
	set_keys("cdb");
	assert_true(connect_to(w, &plain, NULL));
	assert_true(resumed(w));
}

static void
checks_ticket_keys_and_ciphers(void **state)
{
	static const uint8_t many[4 * TLS_TICKET_KEY_SIZE];
	struct err e;

	(void)state;
	assert_false(tls_tickets_set(span_of(many, sizeof(many))));
	assert_false(tls_tickets_set(span_of(many, 79)));
	assert_int_equal(tls_tickets_cipher("aes-128-cbc", &e), 0);
	assert_int_equal(tls_tickets_cipher("aes-256-gcm", &e), -1);
	assert_int_equal(tls_tickets_cipher("nonsense", &e), -1);
	assert_non_null(strstr(e.text, "nonsense"));
	assert_int_equal(tls_tickets_cipher("aes-256-cbc", &e), 0);
}

static void
knows_client_certificates(void **state)
{
	const struct tls_server_options ask = { .ask_cert = true,
		.ticket_lifetime_s = 100 };
	struct world *w = *state;
	struct tls_facts f;
	struct tls_cert c;

	assert_true(connect_to(w, &ask, NULL));
	assert_true(stream_tls_facts(w->server, &f));
	assert_true(f.asked_cert);
	assert_false(f.has_cert || f.verified);
	assert_false(stream_tls_cert(w->server, "sha256", &c));

	SSL_CTX_use_certificate(w->client_ctx, made[EC_CERT].cert);
	SSL_CTX_use_PrivateKey(w->client_ctx, made[EC_CERT].key);
	forget_session(w);
	assert_true(connect_to(w, &ask, NULL));
	assert_true(stream_tls_cert(w->server, "sha256", &c));
	assert_false(c.trusted);
	assert_non_null(strstr(c.reason, "self"));
	assert_string_equal(c.subject, "ec.example.test");

	SSL_CTX_use_certificate(w->client_ctx, made[CLIENT_CERT].cert);
	SSL_CTX_use_PrivateKey(w->client_ctx, made[CLIENT_CERT].key);
	forget_session(w);
	for (int round = 0; round < 2; round++) {
		/* A resumed session keeps the certificate. */
		assert_true(connect_to(w, &ask, NULL));
		assert_int_equal(resumed(w), round == 1);
		assert_true(stream_tls_cert(w->server, "md5", &c));
		assert_true(c.trusted);
		assert_string_equal(c.subject, "a (strange) client");
		assert_string_equal(c.issuer, "a (strange) client");
		assert_int_equal(strlen(c.fingerprint), 16 * 3 - 1);
		assert_int_equal(strlen(c.pkey_fingerprint), 16 * 3 - 1);
		assert_string_not_equal(c.fingerprint, c.pkey_fingerprint);
		assert_true(stream_tls_facts(w->server, &f));
		assert_true(f.verified && f.has_cert);
		if (round == 0)
			assert_string_equal(
			    f.client_signature.name, "ECDSA");
	}
	assert_int_equal(tls_digest_check("sha256", NULL), 0);
	assert_int_equal(tls_digest_check("nonsense", NULL), -1);
}

static void
checks_what_may_be_served(void **state)
{
	const struct span rsa = buf_span(&made[RSA_CERT].pem);
	const struct span ec = buf_span(&made[EC_CERT].pem);
	const struct span cert =
	    span_skip(ec, (size_t)(strstr((const char *)ec.p, "-----BEGIN C") -
			      (const char *)ec.p));
	struct buf b;
	struct err e;

	(void)state;
	buf_init(&b, 100000);
	buf_add(&b, rsa);
	buf_add(&b, ec);
	assert_int_equal(tls_pem_check(rsa, false, &e), 0);
	assert_int_equal(tls_pem_check(buf_span(&b), false, &e), 0);
	assert_int_equal(tls_pem_check(cert, true, &e), 0);
	assert_int_equal(tls_pem_check(cert, false, &e), -1);
	assert_non_null(strstr(e.text, "no usable private key"));
	assert_int_equal(tls_pem_check(SPAN_EMPTY, false, &e), -1);
	assert_int_equal(tls_pem_check(SPAN_EMPTY, true, &e), -1);
	/* Half of a file that is being written. */
	assert_int_equal(
	    tls_pem_check(span_slice(rsa, 0, rsa.n / 3), false, &e), -1);
	assert_int_equal(
	    tls_pem_check(span_slice(rsa, 0, rsa.n - 100), false, &e), -1);
	buf_reset(&b);
	buf_add(&b, span_slice(rsa, 0, 1710));
	assert_int_equal(tls_pem_check(buf_span(&b), false, &e), -1);
	buf_wipe(&b);
}

#define TLS_TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TLS_TEST(serves_rsa_and_ecdsa_side_by_side),
		TLS_TEST(serves_names),
		TLS_TEST(refuses_old_protocols_by_default),
		cmocka_unit_test(refuses_options_that_mean_nothing),
		TLS_TEST(resumes_by_tickets),
		TLS_TEST(resumed_sessions_keep_their_end_point),
		TLS_TEST(keys_of_tickets_change_places),
		cmocka_unit_test(checks_ticket_keys_and_ciphers),
		TLS_TEST(knows_client_certificates),
		cmocka_unit_test(checks_what_may_be_served),
	};

	return cmocka_run_group_tests(tests, make_all, drop_all);
}
