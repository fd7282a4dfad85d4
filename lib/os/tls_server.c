/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>

#include "lib/base/mem.h"
#include "lib/os/memfd.h"
#include "lib/os/tls_keys.h"
#include "lib/os/tls_policy.h"
#include "lib/os/tls_ssl.h"

enum {
	NAMES_READ_MAX = 1000, /* server names whose keys are kept parsed */
	GROUPS_MAX = 32,
	PEM_MAX = 4 << 20,
	TICKETS_S = 3600,
};

void
tls_server_release(struct tls_ctx *ctx)
{
	struct table_iter it;
	struct span name;
	void *value;

	table_iter_init(&ctx->by_name, &it);
	while (table_iter_next(&ctx->by_name, &it, &name, &value)) {
		struct tls_chains *c = value;

		tls_chains_free(&c);
	}
	table_release(&ctx->by_name);
	tls_keys_free(&ctx->keys);
}

/* ---- server names (RFC 6066 3) ---- */
/* The chains of a name, which are read when first asked for. */
static struct tls_chains *
chains_of(struct tls_ctx *ctx, struct span pem)
{
	/* The place of the text tells names that share it. */
	const struct span key = span_of((const uint8_t *)&pem.p, sizeof(pem.p));
	struct tls_chains *c = table_get(&ctx->by_name, key);

	if (c != NULL)
		return c;
	if (ctx->by_name.count >= NAMES_READ_MAX) {
		struct tls_keys *keys = tls_keys_ref(ctx->keys);

		tls_server_release(ctx);
		table_init(&ctx->by_name);
		ctx->keys = keys;
	}
	c = tls_chains_read(pem, NULL);
	if (c != NULL)
		table_put(&ctx->by_name, key, c);
	return c;
}

static int
on_server_name(SSL *ssl, int *alert, void *arg)
{
	struct tls_ctx *ctx = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct tls_chains *c;
	struct span pem;

	if (name == NULL || !tls_keys_by_name(ctx->keys, span_str(name), &pem))
		return SSL_TLSEXT_ERR_NOACK;
	c = chains_of(ctx, pem);
	if (c == NULL || !tls_chains_use_here(c, ssl)) {
		*alert = SSL_AD_INTERNAL_ERROR;
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	}
	return SSL_TLSEXT_ERR_OK;
}

const char *
tls_server_asked(const SSL *ssl, bool *out_matched)
{
	const struct tls_ctx *ctx = tls_ctx_of(ssl);
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
	struct span pem;

	if (name == NULL || ctx->keys == NULL || !tls_keys_has_names(ctx->keys))
		return NULL;
	*out_matched = tls_keys_by_name(ctx->keys, span_str(name), &pem);
	return name;
}

/* ---- client certificates ---- */
/* Whether a chain is to be believed is asked later: the handshake goes on
 * with any, and the result stays with the session. */
static int
take_any(int ok, X509_STORE_CTX *store)
{
	(void)ok;
	(void)store;
	return 1;
}

static void
ask_certificates(struct tls_ctx *ctx, const struct tls_server_options *o)
{
	STACK_OF(X509_NAME) *names = sk_X509_NAME_new_null();
	enum tls_item kind;
	struct span name, pem;

	for (size_t at = 0; tls_keys_next(ctx->keys, &at, &kind, &name, &pem);)
		/* Those of a directory would be too many to name. */
		if (kind == TLS_ITEM_CA && name.n > 0 &&
		    name.p[name.n - 1] != '/')
			(void)tls_anchors_read(pem, NULL, names, NULL);
	SSL_CTX_set_client_CA_list(ctx->ssl, names);
	SSL_CTX_set_verify(
	    ctx->ssl, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE, take_any);
	if (o->verify_depth > 0)
		SSL_CTX_set_verify_depth(ctx->ssl, o->verify_depth + 1);
	ctx->asks_cert = true;
}

/* ---- certificates ---- */
static int
load_items(struct tls_ctx *ctx, struct err *e)
{
	X509_STORE *store = SSL_CTX_get_cert_store(ctx->ssl);
	enum tls_item kind;
	struct span name, pem;
	unsigned used = 0;

	for (size_t at = 0;
	     tls_keys_next(ctx->keys, &at, &kind, &name, &pem);) {
		struct tls_chains *c;
		int ret;

		if (kind == TLS_ITEM_CA)
			(void)tls_anchors_read(pem, store, NULL, NULL);
		if (kind != TLS_ITEM_CHAIN)
			continue;
		c = tls_chains_read(pem, e);
		ret = c == NULL ? -1 : tls_chains_use(c, ctx->ssl, e);
		tls_chains_free(&c);
		if (ret != 0)
			return -1;
		used++;
	}
	if (used == 0)
		return err_set(
		    e, ERR_TEMP, "4.7.5", "no usable certificate found");
	return 0;
}

/* Certificates that came alone are completed from the authorities, as
 * smtpd_tls_CAfile promises; once, and not in each handshake. */
static void
complete_chains(struct tls_ctx *ctx)
{
	SSL_CTX *c = ctx->ssl;

	for (long more = SSL_CTX_set_current_cert(c, SSL_CERT_SET_FIRST);
	     more == 1; more = SSL_CTX_set_current_cert(c, SSL_CERT_SET_NEXT)) {
		STACK_OF(X509) *chain = NULL;

		SSL_CTX_get0_chain_certs(c, &chain);
		if (sk_X509_num(chain) <= 0)
			SSL_CTX_build_cert_chain(
			    c, SSL_BUILD_CHAIN_FLAG_NO_ROOT |
				   SSL_BUILD_CHAIN_FLAG_IGNORE_ERROR |
				   SSL_BUILD_CHAIN_FLAG_CLEAR_ERROR);
	}
	ERR_clear_error();
	SSL_CTX_set_mode(c, SSL_MODE_NO_AUTO_CHAIN);
}

/* ---- options ---- */
static int
set_protocols(struct tls_ctx *ctx, const char *list, struct err *e)
{
	struct tls_versions v;

	if (tls_protocols_parse(list != NULL ? list : ">=TLSv1.2", &v, e) != 0)
		return -1;
	SSL_CTX_set_min_proto_version(ctx->ssl, v.min);
	SSL_CTX_set_max_proto_version(ctx->ssl, v.max);
	SSL_CTX_set_options(ctx->ssl, v.excluded);
	/* TLS 1.0 and 1.1 can't do without SHA-1. */
	SSL_CTX_set_security_level(ctx->ssl, v.min < TLS1_2_VERSION ? 0 : 1);
	return 0;
}

/* Those of the list that this OpenSSL has. */
static void
set_groups(struct tls_ctx *ctx, const char *list)
{
	char all[1024] = "", one[64];
	size_t n = 0;

	for (const char *at = list; *at != '\0';) {
		const size_t skip = strspn(at, " \t,:");
		const size_t len = strcspn(at + skip, " \t,:");

		at += skip;
		snprintf(one, sizeof(one), "%.*s", (int)len, at);
		at += len;
		if (len == 0 || n + len + 2 > sizeof(all) ||
		    SSL_CTX_set1_groups_list(ctx->ssl, one) != 1)
			continue;
		n += (size_t)snprintf(
		    all + n, sizeof(all) - n, "%s%s", n > 0 ? ":" : "", one);
	}
	ERR_clear_error();
	if (n > 0)
		SSL_CTX_set1_groups_list(ctx->ssl, all);
}

static int
set_options(
    struct tls_ctx *ctx, const struct tls_server_options *o, struct err *e)
{
	uint64_t on, off;

	if (tls_options_parse(
		o->workarounds != NULL ? o->workarounds : "", &off, e) != 0 ||
	    tls_options_parse(o->options != NULL ? o->options : "", &on, e) !=
		0)
		return -1;
	SSL_CTX_set_options(ctx->ssl, (SSL_OP_ALL & ~off) | on);
	if (!o->client_order)
		SSL_CTX_set_options(ctx->ssl, SSL_OP_CIPHER_SERVER_PREFERENCE);
	SSL_CTX_set_dh_auto(ctx->ssl, 1);
	set_groups(ctx,
	    o->groups != NULL ? o->groups : "X25519 P-256 X448 P-521 P-384");
	if (o->ciphers != NULL &&
	    SSL_CTX_set_cipher_list(ctx->ssl, o->ciphers) != 1)
		return tls_ssl_err(e, o->ciphers);
	return set_protocols(ctx, o->protocols, e);
}

static void
set_sessions(struct tls_ctx *ctx, const struct tls_server_options *o)
{
	const char *context =
	    o->session_context != NULL ? o->session_context : "";
	uint8_t id[SSL_MAX_SID_CTX_LENGTH];
	unsigned n;

	if (o->ticket_lifetime_s <= 0) {
		SSL_CTX_set_options(ctx->ssl, SSL_OP_NO_TICKET);
		SSL_CTX_set_num_tickets(ctx->ssl, 0);
	} else {
		SSL_CTX_set_timeout(ctx->ssl, (long)o->ticket_lifetime_s);
		SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx->ssl, tls_ticket_key);
		tls_binding_keep(ctx->ssl);
		/* Mail clients keep one session, if any. */
		SSL_CTX_set_num_tickets(ctx->ssl, 1);
	}
	if (o->always_session_ids)
		SSL_CTX_set_session_cache_mode(ctx->ssl,
		    SSL_SESS_CACHE_SERVER | SSL_SESS_CACHE_NO_INTERNAL |
			SSL_SESS_CACHE_NO_AUTO_CLEAR);
	/* A name may be longer than what OpenSSL takes. */
	BUG_ON(EVP_Digest(
		   context, strlen(context), id, &n, EVP_sha256(), NULL) != 1);
	SSL_CTX_set_session_id_context(ctx->ssl, id, n);
}

struct tls_ctx *
tls_server_open(
    struct tls_keys *keys, const struct tls_server_options *o, struct err *e)
{
	struct tls_ctx *ctx = tls_ctx_new(TLS_server_method(), true);

	ctx->keys = tls_keys_ref(keys);
	if (set_options(ctx, o, e) != 0 || load_items(ctx, e) != 0) {
		tls_ctx_free(&ctx);
		return NULL;
	}
	complete_chains(ctx);
	set_sessions(ctx, o);
	if (o->ask_cert)
		ask_certificates(ctx, o);
	if (tls_keys_has_names(keys)) {
		SSL_CTX_set_tlsext_servername_callback(
		    ctx->ssl, on_server_name);
		SSL_CTX_set_tlsext_servername_arg(ctx->ssl, ctx);
	}
	return ctx;
}

const char *
tls_default_anchors(void)
{
	return X509_get_default_cert_dir();
}

int
tls_pem_check(struct span pem, bool authorities, struct err *e)
{
	struct tls_chains *c;
	int ret = -1;
	SSL_CTX *ctx;

	if (authorities)
		return tls_anchors_read(pem, NULL, NULL, e);
	c = tls_chains_read(pem, e);
	ctx = SSL_CTX_new(TLS_server_method());
	BUG_ON(ctx == NULL);
	SSL_CTX_set_security_level(ctx, 0);
	if (c != NULL)
		ret = tls_chains_use(c, ctx, e);
	tls_chains_free(&c);
	SSL_CTX_free(ctx);
	return ret;
}

struct tls_ctx *
tls_server_new(struct span chain, struct span key, struct err *e)
{
	const struct tls_server_options o = { .ticket_lifetime_s = TICKETS_S };
	struct tls_ctx *ctx = NULL;
	struct tls_keys *keys;
	struct buf pem, all;
	int fd;

	buf_init(&pem, PEM_MAX);
	buf_init(&all, PEM_MAX);
	buf_add(&pem, key);
	buf_byte(&pem, '\n');
	if (!span_eq(chain, key))
		buf_add(&pem, chain);
	tls_keys_begin(&all);
	tls_keys_add(&all, TLS_ITEM_CHAIN, SPAN("memory"), buf_span(&pem));
	if (!buf_ok(&pem) || !buf_ok(&all)) {
		err_set(e, ERR_PERM, "5.3.5", "certificate too large");
	} else if (memfd_seal("keys", buf_span(&all), &fd, e) == 0) {
		if (tls_keys_open(fd, &keys, e) == 0) {
			ctx = tls_server_open(keys, &o, e);
			tls_keys_free(&keys);
		}
		close(fd);
	}
	buf_wipe(&pem);
	buf_wipe(&all);
	return ctx;
}
