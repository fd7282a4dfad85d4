/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTPD_OVERLOAD_H
#define CHAPPE_SMTPD_OVERLOAD_H

/*
 * What a process does with more clients than it can serve. At three quarters
 * of its sessions it asks master for another process of its service; full, it
 * leaves new clients to one that has room; when none has, it tells the newest
 * to come again later (those in mynetworks last), and parameters are those with $stress set to "yes", so
 * that the slow make room. Descriptors are kept back for the queue and the
 * other daemons.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/err.h"
#include "smtpd/smtpd_params.h"

struct service;
struct timer;

/* What the service keeps for us. */
struct overload {
	const struct smtpd_conf *calm;
	struct smtpd_conf stressed; /* the same with stress=yes */
	struct timer *again;
	uint64_t room_key;
	size_t files; /* descriptors that may be clients', as of files_ms */
	uint64_t files_ms;
	uint64_t asked_ms, complained_ms;
	uint64_t turned_away; /* since the last line about it */
	bool stress, paused;
};

int overload_start(struct service *s, struct err *e);
/* Is there room for this client? */
bool overload_has_room(struct service *s, int fd);
/* There is none: says so and closes. */
void overload_turn_away(struct service *s, int fd);
/* The number of sessions has changed. */
void overload_changed(struct service *s);

#endif
