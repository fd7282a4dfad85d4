/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/tls.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "lib/base/buf.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/tls_ssl.h"

struct tls_ctx {
	SSL_CTX *ssl;
	unsigned refs;
	bool server;
};

static int
ssl_err(struct err *e, const char *what)
{
	const unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);

	err_set(e, ERR_TEMP, "4.7.5", "%s: %s", what,
	    reason != NULL ? reason : "TLS error");
	ERR_clear_error();
	return -1;
}

/* ---- the transport below an SSL ---- */
/* OpenSSL's own socket BIO would do but for bytes that were read from the
 * socket before TLS began, and for SIGPIPE. */
struct wire {
	int fd;
	struct buf prefix;
};

static int
wire_read(BIO *bio, char *out, int n)
{
	struct wire *w = BIO_get_data(bio);
	const struct span prefix = buf_span(&w->prefix);
	ssize_t got;

	BIO_clear_retry_flags(bio);
	if (n <= 0)
		return 0;
	if (prefix.n > 0) {
		const size_t take = prefix.n < (size_t)n ? prefix.n : (size_t)n;

		memcpy(out, prefix.p, take);
		buf_consume(&w->prefix, take);
		if (w->prefix.n == 0)
			buf_release(&w->prefix);
		return (int)take;
	}
	got = recv(w->fd, out, (size_t)n, 0);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_read(bio);
	return (int)got;
}

static int
wire_write(BIO *bio, const char *p, int n)
{
	struct wire *w = BIO_get_data(bio);
	ssize_t put;

	BIO_clear_retry_flags(bio);
	if (n <= 0)
		return 0;
	put = send(w->fd, p, (size_t)n, MSG_NOSIGNAL);
	if (put < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(bio);
	return (int)put;
}

static long
wire_ctrl(BIO *bio, int cmd, long num, void *ptr)
{
	struct wire *w = BIO_get_data(bio);

	(void)num;
	(void)ptr;
	if (cmd == BIO_CTRL_PENDING)
		return (long)w->prefix.n;
	return cmd == BIO_CTRL_FLUSH ? 1 : 0;
}

static int
wire_destroy(BIO *bio)
{
	struct wire *w = BIO_get_data(bio);

	if (w != NULL)
		buf_wipe(&w->prefix);
	mem_free(w);
	BIO_set_data(bio, NULL);
	return 1;
}

static BIO_METHOD *wire_method;

static void
make_wire_method(void)
{
	BIO_METHOD *m =
	    BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");

	BUG_ON(m == NULL);
	BIO_meth_set_read(m, wire_read);
	BIO_meth_set_write(m, wire_write);
	BIO_meth_set_ctrl(m, wire_ctrl);
	BIO_meth_set_destroy(m, wire_destroy);
	wire_method = m;
}

static BIO *
wire_new(int fd, struct span prefix)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct wire *w = MEM_NEW(w);
	BIO *bio;

	pthread_once(&once, make_wire_method);
	bio = BIO_new(wire_method);
	BUG_ON(bio == NULL);
	w->fd = fd;
	buf_init(&w->prefix, prefix.n);
	buf_add(&w->prefix, prefix);
	BIO_set_data(bio, w);
	BIO_set_init(bio, 1);
	return bio;
}

/* ---- contexts ---- */
static struct tls_ctx *
ctx_new(const SSL_METHOD *method, bool server)
{
	struct tls_ctx *ctx = MEM_NEW(ctx);

	ctx->ssl = SSL_CTX_new(method);
	BUG_ON(ctx->ssl == NULL);
	ctx->refs = 1;
	ctx->server = server;
	SSL_CTX_set_min_proto_version(ctx->ssl, TLS1_2_VERSION);
	/* Mail peers often just close; SMTP and IMAP mark the end of what
	 * they say themselves, so a missing close_notify cuts nothing off. */
	SSL_CTX_set_options(ctx->ssl, SSL_OP_NO_COMPRESSION |
					  SSL_OP_NO_RENEGOTIATION |
					  SSL_OP_IGNORE_UNEXPECTED_EOF);
	SSL_CTX_set_mode(ctx->ssl, SSL_MODE_RELEASE_BUFFERS |
				       SSL_MODE_ENABLE_PARTIAL_WRITE |
				       SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	/* Sessions are resumed by tickets; nothing is kept here. */
	SSL_CTX_set_session_cache_mode(ctx->ssl, SSL_SESS_CACHE_OFF);
	return ctx;
}

struct tls_ctx *
tls_ctx_ref(struct tls_ctx *ctx)
{
	ctx->refs++;
	return ctx;
}

void
tls_ctx_free(struct tls_ctx **ref)
{
	struct tls_ctx *ctx = *ref;

	if (ctx == NULL)
		return;
	*ref = NULL;
	if (--ctx->refs > 0)
		return;
	SSL_CTX_free(ctx->ssl);
	mem_free(ctx);
}

/* A key with a pass phrase is one we cannot use: never ask on a terminal. */
static int
no_passphrase(char *buf, int size, int writing, void *arg)
{
	(void)buf;
	(void)size;
	(void)writing;
	(void)arg;
	return -1;
}

static BIO *
memory_bio(struct span s)
{
	BIO *bio = BIO_new_mem_buf(s.n > 0 ? (const void *)s.p : "", (int)s.n);

	BUG_ON(bio == NULL);
	return bio;
}

/* The first private key in s, or NULL. */
static EVP_PKEY *
read_key(struct span s)
{
	BIO *bio = memory_bio(s);
	EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);

	BIO_free(bio);
	ERR_clear_error();
	return key;
}

/* Gives ctx the certificates in s, the server's own first; their number. */
static int
use_chain(SSL_CTX *ctx, struct span s)
{
	BIO *bio = memory_bio(s);
	int count = 0;

	for (;;) {
		X509 *cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL);

		if (cert == NULL)
			break;
		if (count++ == 0)
			SSL_CTX_use_certificate(ctx, cert);
		else
			SSL_CTX_add1_chain_cert(ctx, cert);
		X509_free(cert);
	}
	ERR_clear_error();
	BIO_free(bio);
	return count;
}

struct tls_ctx *
tls_server_new(struct span chain, struct span key, struct err *e)
{
	struct tls_ctx *ctx = ctx_new(TLS_server_method(), true);
	EVP_PKEY *pkey = read_key(key);
	bool ok = false;

	if (pkey == NULL)
		pkey = read_key(chain);
	if (use_chain(ctx->ssl, chain) == 0 && use_chain(ctx->ssl, key) == 0)
		err_set(e, ERR_TEMP, "4.7.5", "no usable certificate found");
	else if (pkey == NULL)
		err_set(e, ERR_TEMP, "4.7.5", "no usable private key found");
	else if (SSL_CTX_use_PrivateKey(ctx->ssl, pkey) != 1 ||
		 SSL_CTX_check_private_key(ctx->ssl) != 1)
		ssl_err(e, "certificate and private key");
	else
		ok = true;
	EVP_PKEY_free(pkey);
	ERR_clear_error();
	if (!ok)
		tls_ctx_free(&ctx);
	return ctx;
}

struct tls_ctx *
tls_client_new(const char *ca_file, bool verify, struct err *e)
{
	struct tls_ctx *ctx = ctx_new(TLS_client_method(), false);
	int rc;

	if (ca_file != NULL)
		rc = SSL_CTX_load_verify_file(ctx->ssl, ca_file);
	else
		rc = SSL_CTX_set_default_verify_paths(ctx->ssl);
	if (rc != 1) {
		ssl_err(e, ca_file != NULL ? ca_file : "trust anchors");
		tls_ctx_free(&ctx);
		return NULL;
	}
	SSL_CTX_set_verify(
	    ctx->ssl, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	return ctx;
}

/* ---- connections ---- */
static void
expect_name(SSL *ssl, const char *name)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	char host[LIMIT_DOMAIN + 2];

	/* RFC 6066 3: an address literal is never sent as server name. */
	if (X509_VERIFY_PARAM_set1_ip_asc(param, name) == 1)
		return;
	ERR_clear_error();
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	BUG_ON(SSL_set1_host(ssl, name) != 1);
	/* The macro for this casts a const away. */
	snprintf(host, sizeof(host), "%s", name);
	SSL_ctrl(
	    ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, host);
}

SSL *
tls_open(struct tls_ctx *ctx, int fd, struct span prefix, const char *name)
{
	SSL *ssl = SSL_new(ctx->ssl);
	BIO *bio = wire_new(fd, prefix);

	BUG_ON(ssl == NULL);
	BUG_ON(SSL_set_ex_data(ssl, 0, tls_ctx_ref(ctx)) != 1);
	SSL_set_bio(ssl, bio, bio);
	if (ctx->server)
		SSL_set_accept_state(ssl);
	else
		SSL_set_connect_state(ssl);
	if (name != NULL && !ctx->server)
		expect_name(ssl, name);
	return ssl;
}

void
tls_close(SSL **ref)
{
	struct tls_ctx *ctx;

	if (*ref == NULL)
		return;
	ctx = SSL_get_ex_data(*ref, 0);
	SSL_free(*ref);
	*ref = NULL;
	tls_ctx_free(&ctx);
}

int
tls_err(SSL *ssl, int rc, const char *what, struct err *e)
{
	const int sysno = errno;
	const int why = SSL_get_error(ssl, rc);
	const long verify = SSL_get_verify_result(ssl);

	if (why == SSL_ERROR_SSL && verify != X509_V_OK &&
	    SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE) {
		err_set(e, ERR_TEMP, "4.7.5", "%s: %s", what,
		    X509_verify_cert_error_string(verify));
	} else if (why == SSL_ERROR_SYSCALL && sysno != 0) {
		errno = sysno;
		err_sys(e, "%s", what);
		memcpy(e->dsn, "4.4.2", 6);
	} else if (why == SSL_ERROR_SYSCALL || why == SSL_ERROR_ZERO_RETURN) {
		err_set(e, ERR_TEMP, "4.4.2", "%s: connection closed", what);
	} else {
		ssl_err(e, what);
	}
	ERR_clear_error();
	return -1;
}
