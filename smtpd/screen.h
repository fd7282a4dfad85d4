/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTPD_SCREEN_H
#define CHAPPE_SMTPD_SCREEN_H

/*
 * What Postfix's postscreen does before the handshake, here in the event
 * loop: a client that talks before it is greeted is no mail server, and one
 * that DNS lists know well enough is not wanted. Parameters, replies and log
 * lines are postscreen's; a service is screened when smtpd_screen is yes.
 * Clients that have passed are remembered in the shared table; those in
 * postscreen_access_list (mynetworks) don't wait. The tests that postscreen
 * makes within the SMTP conversation are not made.
 */

#include <stdbool.h>
#include <sys/socket.h>

#include "lib/base/err.h"

struct service;
struct session;
/* Reads the parameters that are lists. */
int screen_start(struct service *s, struct err *e);

/* The client's address is known: begins the tests. False: the client is sent
 * away, and the session gone. While screen_waits the session is not greeted;
 * session_greet is called when it may be. */
bool screen_begin(struct session *s, const struct sockaddr *addr);
bool screen_waits(const struct session *s);
/* The client has said something, or has gone, while the tests run. */
void screen_input(struct session *s);
void screen_hangup(struct session *s);

#endif
