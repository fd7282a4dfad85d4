/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/tls.h"

#include <errno.h>
#include <stdio.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/tls_ssl.h"

int
tls_ssl_err(struct err *e, const char *what)
{
	const unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);

	err_set(e, ERR_TEMP, "4.7.5", "%s: %s", what,
	    reason != NULL ? reason : "TLS error");
	ERR_clear_error();
	return -1;
}

/* ---- contexts ---- */
struct tls_ctx *
tls_ctx_new(const SSL_METHOD *method, bool server)
{
	struct tls_ctx *ctx = MEM_NEW(ctx);

	ctx->ssl = SSL_CTX_new(method);
	BUG_ON(ctx->ssl == NULL);
	ctx->refs = 1;
	ctx->server = server;
	table_init(&ctx->by_name);
	SSL_CTX_set_min_proto_version(ctx->ssl, TLS1_2_VERSION);
	/* Mail peers often just close; SMTP and IMAP mark the end of what
	 * they say themselves, so a missing close_notify cuts nothing off.
	 * What was decrypted may be a password: no copy is left. */
	SSL_CTX_set_options(ctx->ssl, SSL_OP_NO_COMPRESSION |
					  SSL_OP_CLEANSE_PLAINTEXT |
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
	tls_server_release(ctx);
	SSL_CTX_free(ctx->ssl);
	mem_free(ctx);
}

struct tls_ctx *
tls_client_new(const struct tls_client_options *o, struct err *e)
{
	struct tls_ctx *ctx = tls_ctx_new(TLS_client_method(), false);
	const char *from = NULL;

	if (o->ca_file != NULL &&
	    SSL_CTX_load_verify_file(ctx->ssl, o->ca_file) != 1)
		from = o->ca_file;
	else if (o->ca_dir != NULL &&
		 SSL_CTX_load_verify_dir(ctx->ssl, o->ca_dir) != 1)
		from = o->ca_dir;
	else if (o->ca_file == NULL && o->ca_dir == NULL &&
		 SSL_CTX_set_default_verify_paths(ctx->ssl) != 1)
		from = "trust anchors";
	if (from != NULL) {
		tls_ssl_err(e, from);
		tls_ctx_free(&ctx);
		return NULL;
	}
	SSL_CTX_set_verify(
	    ctx->ssl, o->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
	return ctx;
}

/* ---- connections ---- */
static bool
is_address(const char *name)
{
	ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);

	ERR_clear_error();
	ASN1_OCTET_STRING_free(ip);
	return ip != NULL;
}

static void
expect_name(SSL *ssl, const char *name)
{
	const bool verify = SSL_get_verify_mode(ssl) != SSL_VERIFY_NONE;
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
	char host[LIMIT_DOMAIN + 2];

	/* RFC 6066 3: an address literal is never sent as server name. */
	if (is_address(name)) {
		if (verify)
			X509_VERIFY_PARAM_set1_ip_asc(param, name);
		return;
	}
	if (verify) {
		SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
		BUG_ON(SSL_set1_host(ssl, name) != 1);
	}
	/* The macro for this casts a const away. */
	snprintf(host, sizeof(host), "%s", name);
	SSL_ctrl(
	    ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, host);
}

SSL *
tls_open(struct tls_ctx *ctx, int fd, struct span prefix, const char *name)
{
	SSL *ssl = SSL_new(ctx->ssl);
	BIO *bio = tls_wire_new(fd, prefix);

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

struct tls_ctx *
tls_ctx_of(const SSL *ssl)
{
	return SSL_get_ex_data(ssl, 0);
}

void
tls_close(SSL **ref)
{
	struct tls_ctx *ctx;

	if (*ref == NULL)
		return;
	ctx = tls_ctx_of(*ref);
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
		tls_ssl_err(e, what);
	}
	ERR_clear_error();
	return -1;
}
