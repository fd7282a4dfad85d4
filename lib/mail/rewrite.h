/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_REWRITE_H
#define CHAPPE_MAIL_REWRITE_H

/*
 * Addresses on their way into the queue, in envelope and header, in Postfix's
 * order: completed (a bare name gets a domain), sender_canonical_maps or
 * recipient_canonical_maps, canonical_maps, masquerade_domains. Which of them
 * apply to what is said by the *_classes parameters.
 *
 * canonical(5): an entry is found by user+ext@domain, user@domain, user (at
 * domains of ours), @domain; its value is an address, or @domain, which keeps
 * the local part; an extension that the entry did not name is kept
 * (propagate_unmatched_extensions). It is looked up again until nothing
 * changes.
 */

#include <stdbool.h>

#include "lib/mail/router.h"

enum rewrite_class {
	REWRITE_ENVELOPE_SENDER,
	REWRITE_ENVELOPE_RECIPIENT,
	REWRITE_HEADER_SENDER,
	REWRITE_HEADER_RECIPIENT,
};

struct rewrite;
/* Opens the tables; c and router must outlive it. */
int rewrite_open(const struct common_conf *c, const struct router *router,
    struct rewrite **out, struct err *e);
void rewrite_free(struct rewrite **r);
const struct router *rewrite_router(const struct rewrite *r);
/* Could rewrite_address change anything of this class? */
bool rewrite_wanted(const struct rewrite *r, enum rewrite_class class);

/* Appends what the address (in canonical form, with its domain) becomes. 1 it
 * changed, 0 not, -1 a table failed (temporary; nothing appended). */
int rewrite_address(struct rewrite *r, enum rewrite_class class,
    struct span address, struct buf *out, struct err *e);

/* ---- headers ---- */

/* Whose addresses does the field hold? False: none that are rewritten. */
bool rewrite_field_class(struct span name, enum rewrite_class *out);

/* How addresses in headers without a domain are completed. */
struct rewrite_header {
	bool local;         /* as our own: $myorigin, $mydomain */
	const char *domain; /* else, if not empty: this domain
			       (remote_header_rewrite_domain) */
};

/* Appends the body of a field of addresses with each of them completed and
 * (mapping) rewritten, and everything else (names, comments, folds) as it was. 1, 0, -1 as above;
 * with 0 and -1 nothing is appended. */
int rewrite_field(struct rewrite *r, enum rewrite_class class,
    const struct rewrite_header *how, bool mapping, struct span body,
    struct buf *out, struct err *e);

#endif
