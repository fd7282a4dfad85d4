/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_LOGIN_OWNER_H
#define CHAPPE_MAIL_LOGIN_OWNER_H

/*
 * Which addresses a login may send as. With a table (smtpd_sender_login_maps)
 * it says: the logins that own an address, looked up as Postfix does. Without
 * one the rule is our own: an address of ours is owned by the login of that
 * name (login@ one of mydestination, or the whole address for virtual users,
 * with or without an extension), and by every login that virtual_alias_maps
 * and alias_maps lead it to.
 */

#include "lib/mail/router.h"
#include "lib/map/map.h"

/* May the login send as this address (canonical or not)? 1 it owns it; 0
 * others do; 2 nobody here does; -1 a table failed. login NULL, nobody: with
 * a table 0 where there is an owner, without always 2. maps NULL or empty:
 * our own rule. Never waits. */
int login_owner_check(struct router *r, struct maps *maps, struct span sender,
    const char *login, struct err *e);

/* The first address in a From field's body (or several, separated by commas)
 * that is not the login's: 1 all are, at least one; 0 and *out_address (its
 * text, appended; empty: there is none), -1 a table failed. */
int login_owner_from(struct router *r, struct maps *maps, struct span body,
    const char *login, struct buf *out_address, struct err *e);

#endif
