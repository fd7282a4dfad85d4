/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/tls_policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/ssl.h>

#include "lib/base/mem.h"

#define SEPARATORS " \t\r\n,:"

enum { WORD_MAX = 64 };

/* Copies the next word; false at the end of the list. A word that does not
 * fit is cut, and then known to nobody. */
static bool
next_word(const char **at, char out[WORD_MAX])
{
	const char *word = *at + strspn(*at, SEPARATORS);
	const size_t n = strcspn(word, SEPARATORS);
	const size_t kept = n < WORD_MAX ? n : WORD_MAX - 1;

	*at = word + n;
	memcpy(out, word, kept);
	out[kept] = '\0';
	return n > 0;
}

static int
unknown(const char *what, const char *word, struct err *e)
{
	return err_set(e, ERR_PERM, "5.3.5", "unknown %s: %s", what, word);
}

static bool
hex_number(const char *word, uint64_t *out)
{
	char *end;

	if (strncasecmp(word, "0x", 2) != 0 || word[2] == '\0')
		return false;
	errno = 0;
	*out = strtoull(word + 2, &end, 16);
	return errno == 0 && *end == '\0';
}

/* ---- protocol versions ---- */
static const struct version {
	const char *name;
	int number;
	uint64_t option;
} versions[] = {
	{ "SSLv2", 2, 0 },
	{ "SSLv3", SSL3_VERSION, SSL_OP_NO_SSLv3 },
	{ "TLSv1", TLS1_VERSION, SSL_OP_NO_TLSv1 },
	{ "TLSv1.1", TLS1_1_VERSION, SSL_OP_NO_TLSv1_1 },
	{ "TLSv1.2", TLS1_2_VERSION, SSL_OP_NO_TLSv1_2 },
	{ "TLSv1.3", TLS1_3_VERSION, SSL_OP_NO_TLSv1_3 },
};

static const struct version *
version_by_name(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(versions); i++)
		if (strcasecmp(versions[i].name, name) == 0)
			return &versions[i];
	return NULL;
}

static int
bound_of(const char *word, int *out, struct err *e)
{
	const struct version *v = version_by_name(word);
	uint64_t number;

	if (v != NULL)
		*out = v->number;
	else if (hex_number(word, &number) && number >= SSL3_VERSION &&
		 number <= 0xffff)
		*out = (int)number;
	else
		return unknown("protocol", word, e);
	return 0;
}

static uint64_t
all_but(uint64_t included)
{
	uint64_t all = 0;

	for (size_t i = 0; i < COUNT_OF(versions); i++)
		all |= versions[i].option;
	return all & ~included;
}

static bool
any_left(const struct tls_versions *v)
{
	for (size_t i = 0; i < COUNT_OF(versions); i++)
		if (versions[i].number >= TLS1_VERSION &&
		    versions[i].number >= v->min &&
		    (v->max == 0 || versions[i].number <= v->max) &&
		    (versions[i].option & v->excluded) == 0)
			return true;
	return false;
}

static int
add_protocol(
    const char *word, struct tls_versions *v, uint64_t *included, struct err *e)
{
	const bool no = word[0] == '!';
	const struct version *version;

	if (strncmp(word, ">=", 2) == 0)
		return bound_of(word + 2, &v->min, e);
	if (strncmp(word, "<=", 2) == 0)
		return bound_of(word + 2, &v->max, e);
	version = version_by_name(word + no);
	if (version == NULL)
		return unknown("protocol", word, e);
	*(no ? &v->excluded : included) |= version->option;
	return 0;
}

int
tls_protocols_parse(const char *list, struct tls_versions *out, struct err *e)
{
	struct tls_versions v = { 0 };
	uint64_t included = 0;
	char word[WORD_MAX];

	for (const char *at = list; next_word(&at, word);)
		if (add_protocol(word, &v, &included, e) != 0)
			return -1;
	if (included != 0)
		v.excluded |= all_but(included);
	if (v.min < TLS1_VERSION)
		v.min = TLS1_VERSION;
	if (!any_left(&v))
		return err_set(
		    e, ERR_PERM, "5.3.5", "no protocol is left of: %s", list);
	*out = v;
	return 0;
}

/* ---- ciphers ---- */
void
tls_cipher_list(const char *base, const char *const *exclusions, size_t count,
    struct buf *out)
{
	char word[WORD_MAX];

	buf_str(out, base);
	for (size_t i = 0; i < count; i++)
		for (const char *at = exclusions[i]; next_word(&at, word);)
			buf_fmt(out, ":!%s", word);
}

/* ---- options ---- */
static const struct option {
	const char *name;
	uint64_t bits;
} options[] = {
	{ "NO_TICKET", SSL_OP_NO_TICKET },
	{ "NO_COMPRESSION", SSL_OP_NO_COMPRESSION },
	{ "NO_RENEGOTIATION", SSL_OP_NO_RENEGOTIATION },
	{ "NO_SESSION_RESUMPTION_ON_RENEGOTIATION",
	    SSL_OP_NO_SESSION_RESUMPTION_ON_RENEGOTIATION },
	{ "PRIORITIZE_CHACHA", SSL_OP_PRIORITIZE_CHACHA },
	{ "ENABLE_MIDDLEBOX_COMPAT", SSL_OP_ENABLE_MIDDLEBOX_COMPAT },
	{ "LEGACY_SERVER_CONNECT", SSL_OP_LEGACY_SERVER_CONNECT },
	{ "CIPHER_SERVER_PREFERENCE", SSL_OP_CIPHER_SERVER_PREFERENCE },
	{ "NO_ENCRYPT_THEN_MAC", SSL_OP_NO_ENCRYPT_THEN_MAC },
	{ "NO_EXTENDED_MASTER_SECRET", SSL_OP_NO_EXTENDED_MASTER_SECRET },
	{ "ALLOW_NO_DHE_KEX", SSL_OP_ALLOW_NO_DHE_KEX },
	{ "NO_ANTI_REPLAY", SSL_OP_NO_ANTI_REPLAY },
	{ "DONT_INSERT_EMPTY_FRAGMENTS", SSL_OP_DONT_INSERT_EMPTY_FRAGMENTS },
	{ "CRYPTOPRO_TLSEXT_BUG", SSL_OP_CRYPTOPRO_TLSEXT_BUG },
	{ "TLSEXT_PADDING", SSL_OP_TLSEXT_PADDING },
	{ "TLS_ROLLBACK_BUG", SSL_OP_TLS_ROLLBACK_BUG },
	/* Of older OpenSSL; there is nothing left to switch. */
	{ "MICROSOFT_SESS_ID_BUG", 0 },
	{ "NETSCAPE_CHALLENGE_BUG", 0 },
	{ "NETSCAPE_REUSE_CIPHER_CHANGE_BUG", 0 },
	{ "SSLREF2_REUSE_CERT_TYPE_BUG", 0 },
	{ "MICROSOFT_BIG_SSLV3_BUFFER", 0 },
	{ "MSIE_SSLV2_RSA_PADDING", 0 },
	{ "SSLEAY_080_CLIENT_DH_BUG", 0 },
	{ "TLS_D5_BUG", 0 },
	{ "TLS_BLOCK_PADDING_BUG", 0 },
};

static bool
option_bits(const char *word, uint64_t *out)
{
	for (size_t i = 0; i < COUNT_OF(options); i++) {
		if (strcasecmp(options[i].name, word) != 0)
			continue;
		*out = options[i].bits;
		return true;
	}
	return hex_number(word, out);
}

int
tls_options_parse(const char *list, uint64_t *out, struct err *e)
{
	uint64_t all = 0, bits;
	char word[WORD_MAX];

	for (const char *at = list; next_word(&at, word); all |= bits)
		if (!option_bits(word, &bits))
			return unknown("TLS option", word, e);
	*out = all;
	return 0;
}
