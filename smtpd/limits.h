/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTPD_LIMITS_H
#define CHAPPE_SMTPD_LIMITS_H

/*
 * Limits per client, with Postfix's parameters, replies and log lines: how
 * many connections it has, and how many connections, messages, recipients,
 * TLS sessions and AUTH commands it makes in anvil_rate_time_unit. Counted in
 * the table that all servers of the host share, for each service apart. Those
 * of smtpd_client_event_limit_exceptions are not counted.
 */

#include <stdbool.h>
#include <stdint.h>

struct service;
struct session;

/* What a session keeps for us. */
struct limits_state {
	uint64_t held_key;  /* of its connection */
	uint64_t event_key; /* of its client's events */
	bool held;          /* its connection is counted */
	bool counted;       /* its client's events are */
	char who[80];       /* "smtp:192.0.2.1" */
};

/* The client's address is known (its name not yet): counts the connection.
 * False: it is one too many; that is in the log. */
bool limits_admit(struct session *s);
/* The session is over. */
void limits_release(struct session *s);

/* An AUTH command. False: it is one too many and has been answered. */
bool limits_auth(struct session *s);
/* A STARTTLS command. The same. */
bool limits_starttls(struct session *s);
/* A TLS session was made. False: it is one too many; the client must go. */
bool limits_secured(struct session *s);

/* Statistics in anvil's words, every anvil_status_update_time. */
void limits_start(struct service *s);
/* The process ends: what has not been said yet. */
void limits_finish(struct service *s);

/* The network that a client is counted by: "192.0.2.0" of an address and 24
 * or so bits. out has 48 bytes. */
void limits_network(const char *addr, unsigned v4_bits, unsigned v6_bits,
    char *out);

#endif
