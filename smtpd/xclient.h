/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTPD_XCLIENT_H
#define CHAPPE_SMTPD_XCLIENT_H

/*
 * Clients that speak for others: XCLIENT (the session is that client's from
 * then on), XFORWARD (what the log and later filters should say of one
 * message), and HAProxy's PROXY header in front of the connection.
 */

#include <sys/socket.h>

#include "lib/base/buf.h"
#include "lib/proto/proxy_header.h"
#include "lib/proto/smtp_server.h"

struct session;

/* What XFORWARD said; NULL for what it did not. */
struct xforward {
	char *name, *addr, *port, *proto, *helo, *ident, *source;
};

/* XCLIENT, XFORWARD: answers the event. */
void xclient_event(struct session *s, const struct smtp_event *ev);
/* Of XFORWARD nothing holds any more. */
void xforward_forget(struct session *s);
/* The address of the client as XCLIENT or the PROXY header gave it, in the
 * form of a socket's; false if it is not known. */
bool xclient_sockaddr(const char *addr, uint16_t port,
    struct sockaddr_storage *out);

/* Appends ", orig_queue_id=Q, orig_client=N[A]" as XFORWARD said. */
void xforward_log(const struct session *s, struct buf *out);

#endif
