/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_EXTERNAL_H
#define CHAPPE_AUTH_EXTERNAL_H

/* Whose a client's certificate is. */

#include "auth/auth.h"

/* With maps: what the tables say of the fingerprint, else of the name of a
 * verified certificate, both in lower case. Without (maps empty): the name.
 * Both may be "". 1 and *out_user, 0 and *out_why (for the log), -1 a table
 * failed. */
int external_user(struct maps *maps, const char *name, const char *print,
    char out_user[AUTH_NAME_MAX + 1], const char **out_why, struct err *e);

#endif
