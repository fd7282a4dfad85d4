/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_STORE_DOTLOCK_H
#define CHAPPE_STORE_DOTLOCK_H

/*
 * Lock files beside what they protect, as other mail programs know them. The
 * first line is the owner's process id, as liblockfile has it. One that was
 * left behind by a program that died is removed: any when it did not change
 * for two minutes; one of ours, whose second line says which boot and process
 * id space made it, as soon as there is no such process.
 */

#include <stdbool.h>
#include <sys/types.h>

#include "lib/base/err.h"

enum { DOTLOCK_STALE_S = 120, DOTLOCK_STEP_MS = 50 };

/* Makes it for the process (readable for all). -1 with e->sysno EEXIST:
 * someone has it. */
int dotlock_make(int dir_fd, const char *name, pid_t owner, struct err *e);

/* Was it left behind? */
bool dotlock_stale(int dir_fd, const char *name);

/* Makes it for this process, waiting at most wait_ms for another's. -1 with
 * e->sysno EEXIST: someone else has it. */
int dotlock_take(int dir_fd, const char *name, int wait_ms, struct err *e);
void dotlock_release(int dir_fd, const char *name);

#endif
