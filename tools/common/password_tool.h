/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_TOOLS_PASSWORD_TOOL_H
#define CHAPPE_TOOLS_PASSWORD_TOOL_H

/* chappe app-password and chappe password. Both print, and return the exit
 * status; a wrong call is 64 with a line of usage. */

#include "lib/conf/conf.h"

/* add [-s scopes] USER NAME, list [USER], remove USER NAME; in the first
 * passwd-file of auth_passdb, or with -f in another. */
int tool_app_password(
    struct conf *conf, const struct common_conf *common, char *args[]);

/* [SCHEME]: reads a password from standard input, prints it hashed. */
int tool_password(char *args[]);

#endif
