/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_NOTIFY_H
#define CHAPPE_OS_NOTIFY_H

/*
 * Tells the service manager how we are: datagrams to $NOTIFY_SOCKET as
 * sd_notify(3) describes. Without that variable nothing happens; what cannot
 * be sent is lost, for nobody could do anything about it.
 */

/* status: one line for `systemctl status`. */
void notify_ready(const char *status);
void notify_status(const char *status);
/* A reload begins; notify_ready ends it. */
void notify_reloading(void);
void notify_stopping(void);

#endif
