/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_OWN_ADDRESS_H
#define CHAPPE_MAIL_OWN_ADDRESS_H

/*
 * The addresses of this host's interfaces, read from /proc/net: a daemon
 * whose sandbox allows no netlink socket can see them, too.
 */

#include "lib/base/buf.h"

/* Appends " ADDRESS" for each to a list; always 127.0.0.1 and ::1. */
void own_address_list(struct buf *out);

/* The two parsers behind it. fib_trie: the leaves "|-- A.B.C.D" whose next
 * lines say "/32 host LOCAL". if_inet6: 32 hexadecimal digits at the front of
 * each line. What is not of this form is passed over. */
void own_address_fib_trie(struct span text, struct buf *out);
void own_address_if_inet6(struct span text, struct buf *out);

#endif
