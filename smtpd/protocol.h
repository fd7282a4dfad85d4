/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTPD_PROTOCOL_H
#define CHAPPE_SMTPD_PROTOCOL_H

/*
 * Which parts of the protocol a client gets to see: what is offered to EHLO,
 * who may speak for others (XCLIENT, XFORWARD), whose line ends are minded,
 * what stands below refusals, and which commands are read as others.
 */

#include "lib/map/map.h"
#include "lib/proto/smtp_server.h"
#include "smtpd/smtpd_params.h"

struct session;
struct service;

/* One for a process. */
struct protocol {
	struct match_list *xclient_hosts, *xforward_hosts, *bare_exclusions;
	struct match_list *flush_domains;
	struct maps *discard_maps, *command_filter, *reject_footers;
	unsigned discard; /* bits of smtp_caps that are not offered */
	int64_t until_s;  /* FUTURERELEASE's latest date, as last offered */
	char until[32];
};

int protocol_open(struct service *s, struct err *e);
/* Fills what the engine's settings have of it. */
void protocol_engine(const struct smtpd_conf *c, struct smtp_server_conf *out);

/* The client's address is known, or is another one now. */
void protocol_client(struct session *s);

/* What is offered now: caps as TLS and AUTH have it, more and less. */
unsigned protocol_caps(struct session *s, unsigned caps);

/* " notes=bare_lf", or "". */
const char *protocol_notes(const struct session *s);

#endif
