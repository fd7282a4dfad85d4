/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_SETUP_H
#define CHAPPE_AUTH_SETUP_H

/* From parameters to the state that auth starts with. */

#include "auth/auth.h"

/* Reads auth_passdb and auth_userdb and resolves mail_uid and mail_gid. */
int auth_setup(struct auth *a, struct err *e);
void auth_setup_release(struct auth *a);
/* Are the lists well-formed? Touches no file. */
int auth_verify(const struct auth_conf *conf, struct err *e);
/* The directories of the passwd-files. */
void auth_sandbox_files(const struct auth_conf *conf, struct sandbox *s);
/* queue_directory/auth, where it writes. */
void auth_sandbox_own(const struct common_conf *common, struct sandbox *s);
/* The loop gives up what only the workers need: root becomes auth_owner, and
 * files and system calls beyond its own few are closed to it. */
int auth_drop_rights(struct auth *a, struct err *e);
/* Afterwards: opens queue_directory/auth, reads or makes the secret there,
 * and reads when app passwords were used. Where the directory is missing or
 * not ours the secret lives as long as the process, with a warning. */
int auth_open_own(struct auth *a, struct err *e);

#endif
