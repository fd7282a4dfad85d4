/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_TLS_H
#define CHAPPE_OS_TLS_H

/*
 * TLS contexts over OpenSSL: what streams need to become encrypted. TLS 1.2
 * and 1.3 unless the options say otherwise. Certificates and keys come as PEM
 * bytes, since the daemons that use them may not open the files: master hands
 * them over.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/span.h"

struct tls_ctx; /* shared by reference by many streams; freed last */

/* What a server does; members left 0 or NULL mean the value behind. Words as
 * Postfix's parameters have them. */
struct tls_server_options {
	const char *protocols;	 /* ">=TLSv1.2" */
	const char *ciphers;	 /* of TLS 1.2; OpenSSL's own */
	const char *groups;	 /* "X25519 P-256"; unknown ones are left out */
	const char *options;	 /* as tls_ssl_options: none */
	const char *workarounds; /* as tls_disable_workarounds: none */
	const char
	    *session_context;	   /* sessions resume within it: one for all */
	int64_t ticket_lifetime_s; /* no tickets */
	int verify_depth;	   /* of clients' chains: no limit of ours */
	bool client_order;	   /* the client's preference of ciphers wins */
	bool always_session_ids;   /* also where no ticket is given */
	bool ask_cert;		   /* ask clients for a certificate */
};

/* A server context from what master gave (tls_keys.h). Fails when there is no
 * usable certificate, or on an option that means nothing. */
struct tls_keys;
struct tls_ctx *tls_server_open(
    struct tls_keys *keys, const struct tls_server_options *o, struct err *e);

/* The directory with the system's authorities, named as for CApath. */
const char *tls_default_anchors(void);

/* Is there a digest of this name, for fingerprints? */
int tls_digest_check(const char *name, struct err *e);

/* Is this, PEM, a set of private keys with certificates to serve with
 * (authorities: certificates to check others with)? */
int tls_pem_check(struct span pem, bool authorities, struct err *e);

/* A server context from a certificate chain and its private key, both PEM
 * (either order, or both in one), with the defaults and tickets. Fails when
 * they do not fit together. */
struct tls_ctx *tls_server_new(
    struct span chain, struct span key, struct err *e);

/* What a client trusts. */
struct tls_client_options {
	/* PEM file of trust anchors, and a directory of such, named by hash as
	 * for CApath; both NULL: the system's. */
	const char *ca_file, *ca_dir;
	/* Refuse servers whose chain or name does not verify. Else every
	 * handshake goes on, and tls_facts say what the chain was worth. */
	bool verify;
};
struct tls_ctx *tls_client_new(
    const struct tls_client_options *o, struct err *e);

/* Drops the caller's reference. */
void tls_ctx_free(struct tls_ctx **ctx);

/* How somebody signed, or how keys were exchanged. */
struct tls_method {
	const char *name;   /* "ECDSA", "X25519"; NULL: unknown */
	const char *curve;  /* "P-256", or NULL */
	int bits;	    /* without a curve; 0: nothing to say */
	const char *digest; /* "SHA256", or NULL */
};

/* Facts of an established connection, for Received and the log. Strings
 * live as long as the stream's TLS. */
struct tls_facts {
	const char *protocol; /* "TLSv1.3" */
	const char *cipher;   /* "TLS_AES_256_GCM_SHA384" */
	int bits_used, bits_total;
	bool verified;	 /* the peer's chain verified (and its name, where the
			    context is a client's that refuses others) */
	bool has_cert;	 /* the peer showed a certificate */
	bool asked_cert; /* as a server: we asked for one */
	bool resumed;	 /* an earlier session went on */
	/* Of TLS 1.3 only, before it the cipher says it. */
	struct tls_method exchange, server_signature, client_signature;
	/* As a server with certificates for names: the one asked for, or
	 * NULL; and whether it has a certificate of its own. */
	const char *asked_name;
	bool name_matched;
};

/* Appends them as Postfix's log and Received fields have them: "TLSv1.3 with
 * cipher C (256/256 bits) key-exchange X25519 server-signature ...", with gap
 * (" ", or a fold) before what belongs together. */
void tls_facts_print(
    const struct tls_facts *f, const char *gap, struct buf *out);

/* A peer's certificate, printable. */
struct tls_cert {
	bool trusted;	   /* an authority of ours vouches for it */
	char subject[256]; /* common name, "" without */
	char issuer[256];  /* common name, else organisation */
	/* "AB:CD:...", in upper case; "" when it can't be had. */
	char fingerprint[200];	    /* of the whole */
	char pkey_fingerprint[200]; /* of the public key (SPKI) */
	char reason[120];	    /* why it is not trusted */
};

/* Kinds of channel binding, for SASL mechanisms that end in -PLUS. */
enum tls_binding {
	TLS_BINDING_EXPORTER,  /* "tls-exporter", RFC 9266 */
	TLS_BINDING_END_POINT, /* "tls-server-end-point", RFC 5929 4 */
};

#endif
