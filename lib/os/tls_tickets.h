/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_TLS_TICKETS_H
#define CHAPPE_OS_TLS_TICKETS_H

/*
 * The keys of session tickets (RFC 5077, RFC 8446 4.6.1). All processes of a
 * mail system have the same from master, so that a client resumes with
 * whichever process takes its next connection. They are a process's one
 * state: every server context uses them. Without keys no tickets are given
 * out, and none are read.
 */

#include <stdint.h>

#include "lib/base/err.h"
#include "lib/base/span.h"

enum {
	TLS_TICKET_KEY_SIZE = 80, /* bytes: name 16, cipher 32, MAC 32 */
	TLS_TICKET_KEYS_MAX = 3,
};

/* Takes keys, one behind the other: the first is the one that tickets are
 * made with; all are good for reading, and a ticket of the last of three, the
 * one before the present, is renewed. None: no tickets any more. False: not
 * a number of whole keys up to the maximum; nothing changes. */
bool tls_tickets_set(struct span keys);

/* The cipher of the tickets; "aes-256-cbc" at the start. Must be one in CBC
 * mode with a block of 16 bytes and a key of 16 to 32. */
int tls_tickets_cipher(const char *name, struct err *e);

#endif
