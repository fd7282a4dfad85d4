/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTPD_SCREEN_ACCESS_H
#define CHAPPE_SMTPD_SCREEN_ACCESS_H

/*
 * postscreen_access_list: which clients are not tested, and which are not
 * wanted. Entries are permit_mynetworks, permit, reject, and tables that say
 * permit, reject or dunno for an address; the first that says something
 * counts. Tables are read in the event loop, as all of smtpd's are.
 */

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/os/log.h"

enum screen_access_result {
	SCREEN_ACCESS_NONE, /* nothing is said: the tests decide */
	SCREEN_ACCESS_YES,
	SCREEN_ACCESS_NO,
};

/* Reads the parameter's value, at most 32 entries, and opens its tables. The
 * list lives as long as the process. */
struct screen_access;
int screen_access_open(
    const char *value, struct screen_access **out_list, struct err *e);

/* addr: of the client, as text; trusted: it is in mynetworks. A table that
 * fails, or says another word, is logged and has said nothing. */
enum screen_access_result screen_access_ask(const struct screen_access *l,
    const char *addr, bool trusted, const struct log_ctx *log);

#endif
