/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTPD_ARRIVAL_H
#define CHAPPE_SMTPD_ARRIVAL_H

/*
 * From an accepted connection to a session that may be greeted: whose it is
 * (its address, or what a load balancer's PROXY header says; its name by
 * DNS; on a UNIX socket the user), whether there may be one more of them,
 * and what has to come before the greeting (tests, TLS). Fills in the
 * session's addr, port, name, trusted and the like. Waits of its own: the
 * header (smtpd_upstream_proxy_timeout) and the name (10 s, then none is
 * known), both without blocking.
 */

#include <stdbool.h>

struct session;

/* The session is new, fd its client's; inet: not a UNIX socket. Ends in
 * session_greet, now or later, or the session is refused or gone when it
 * returns. */
void arrival_begin(struct session *s, int fd, bool inet);

/* While session.proxying: there are bytes. May end the session. */
void arrival_input(struct session *s);

/* The session is ending: no name is waited for any more. */
void arrival_forget(struct session *s);

#endif
