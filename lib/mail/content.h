/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_CONTENT_H
#define CHAPPE_MAIL_CONTENT_H

/*
 * What tables do to a message on its way into the queue, the same in smtpd
 * and pickup: content checks (lib/mail/checks.h), addresses in the header
 * rewritten (lib/mail/rewrite.h), copies for others (BCC). It hangs in the
 * hooks of lib/mail/fixup.h:
 *
 *	m = content_new(rules, &conf, out, arg);
 *	fixup_conf.field = content_field; .body = content_body; .hook_arg = m;
 *	... fixup_feed, fixup_end ...
 *	content_end(m); content_fault(m) tells if a table failed
 */

#include "lib/mail/checks.h"
#include "lib/mail/rewrite.h"

/* ---- tables, once a process ---- */
struct content_rules {
	struct checks_tables *checks;
	struct rewrite *rewrite;
	struct maps *sender_bcc, *recipient_bcc;
	const struct common_conf *conf;
};
/* conf and router must outlive it. */
int content_rules_open(const struct common_conf *conf,
    const struct router *router, struct content_rules **out, struct err *e);
void content_rules_free(struct content_rules **r);

/* Appends who gets a copy of mail from (to) this address: 1, nobody 0, a table
 * failed -1. address in canonical form. */
int content_bcc(struct content_rules *r, bool sender, struct span address,
    struct buf *out, struct err *e);

/* ---- one message ---- */
struct content_conf {
	bool checks;  /* ask header_checks and the others */
	bool mapping; /* rewrite by canonical maps and masquerade_domains */
	struct rewrite_header how;
	check_fn hit; /* told what a check says; arg as for out */
};
struct content;
/* rules and conf's domain must outlive it. NULL: nothing is asked for, the
 * message may go as it is. */
struct content *content_new(struct content_rules *rules,
    const struct content_conf *conf, fixup_out_fn out, void *arg);
void content_free(struct content **m);

/* For fixup_conf; arg is the content. */
bool content_field(void *arg, const struct header_field *field,
    struct buf *instead);
void content_body(void *arg, struct span bytes);

/* The message is complete. */
void content_end(struct content *m);
/* Why a table could not be asked (the message must wait), or NULL. */
const struct err *content_fault(const struct content *m);

#endif
