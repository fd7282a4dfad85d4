/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTPD_PROXY_H
#define CHAPPE_SMTPD_PROXY_H

/*
 * The gate before an SMTP proxy (smtpd_proxy_filter): the client's MAIL, RCPT
 * and DATA are said to the proxy too, and its replies are passed on; the
 * message goes there and not into the queue. With smtpd_proxy_options =
 * speed_adjust the proxy hears nothing before the message is complete.
 */

#include <stdbool.h>

#include "lib/base/err.h"

struct session;
struct service;

/* What session.h points to. */
struct proxy_session;

/* At the service's start. */
int proxy_service_open(struct service *s, struct err *e);

/* Does this session's mail go to a proxy? */
bool proxy_wanted(const struct session *s);

#endif
