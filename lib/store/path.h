/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_STORE_PATH_H
#define CHAPPE_STORE_PATH_H

/* Directories that lead to a mailbox. */

#include <sys/types.h>

#include "lib/base/err.h"

/* Opens the directory at an absolute path, making what is missing of it,
 * durably. */
int path_make_dir(const char *path, mode_t mode, int *out_fd, struct err *e);

#endif
