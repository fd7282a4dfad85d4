/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_PROBE_SENDER_H
#define CHAPPE_MAIL_PROBE_SENDER_H

/*
 * The sender of probes for addresses (address_verify_sender). With a life
 * (address_verify_sender_ttl) its local part ends in the number of the
 * present period, as digits and consonants, so that an address which somebody
 * collected stops existing; as Postfix writes it. Pure.
 */

#include "lib/base/buf.h"

/* Appends the sender to be used now; nothing for the null sender ("", "<>").
 * sender: as configured, with or without domain. ttl_s: seconds, 0: it never
 * changes. now_s: Unix time. */
void probe_sender_make(
    struct span sender, uint64_t ttl_s, uint64_t now_s, struct buf *out);

/* Is this the local part of such a sender of the present period, or the one
 * before or after it? False when it never changes. */
bool probe_sender_is(struct span sender, uint64_t ttl_s, uint64_t now_s,
    struct span local);

/* Can the value be used: it neither begins nor ends with "@". */
bool probe_sender_good(struct span sender);

#endif
