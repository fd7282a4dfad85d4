/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_APP_USES_H
#define CHAPPE_AUTH_APP_USES_H

/*
 * When each app password was last used: remembered here, and written to
 * queue_directory/auth/last-use at most every few seconds, in a thread. The
 * file is not synced for each login: a power cut may forget the last ones.
 */

#include "auth/auth.h"

struct app_uses;
/* Reads what is there; a file that can't be read is an empty one, with a
 * warning. dir_fd: of the directory, -1: nothing is written. It is kept. */
struct app_uses *app_uses_new(struct loop *loop, int dir_fd);
/* Notes a use now. */
void app_uses_note(struct app_uses *u, const struct login_facts *f);
/* Writes what is new, unless it is on its way. True: all is written. */
bool app_uses_flush(struct app_uses *u);

#endif
