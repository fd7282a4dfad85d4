/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_SCREEN_SITES_H
#define CHAPPE_MAIL_SCREEN_SITES_H

/*
 * postscreen_dnsbl_sites: DNS lists with filters and weights,
 * "zen.example=127.0.0.[2..11]*3, white.example*-2". A list may stand there
 * several times; it is asked once. The score of a client is the sum of the
 * weights of all entries that match an address of the list's answer.
 */

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "lib/base/err.h"

struct screen_sites;

enum { SCREEN_LISTS_MAX = 64 };

/* Fails (permanently, naming the entry) for what can't be understood. */
int screen_sites_open(const char *text, struct screen_sites **out,
    struct err *e);
void screen_sites_free(struct screen_sites **s);

/* The lists to be asked, 0..count-1. */
size_t screen_sites_count(const struct screen_sites *s);
const char *screen_sites_name(const struct screen_sites *s, size_t list);

/* The name to be asked for, of a client's address: "2.0.0.127.zen.example".
 * False when it would be too long. */
bool screen_sites_query(const struct screen_sites *s, size_t list,
    const struct sockaddr *client, char *out, size_t size);

/* What an answer of the list, of IPv4 addresses, adds to the score. */
int screen_sites_score(const struct screen_sites *s, size_t list,
    const struct sockaddr_storage *answers, size_t count);

#endif
