/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_DOVECOT_H
#define CHAPPE_AUTH_DOVECOT_H

/*
 * Dovecot's authentication protocol, the client's side of it, as a server:
 * so other programs that know it (Postfix, Exim) check our users' logins. The
 * socket may be reached by anyone; who may use it is decided by the peer's
 * uid: root, our own user, and auth_dovecot_users.
 */

#include "auth/auth.h"

struct dovecot;
/* NULL and e: auth_dovecot_users names a user who does not exist. */
struct dovecot *dovecot_new(struct auth *a, struct err *e);
/* Takes over an accepted stream socket. */
void dovecot_client(struct dovecot *d, int fd);
/* Accepts no exchange more. */
void dovecot_leave(struct dovecot *d);

#endif
