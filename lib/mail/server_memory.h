/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_SERVER_MEMORY_H
#define CHAPPE_MAIL_SERVER_MEMORY_H

/*
 * The shared table of the servers (lib/os/shared_table.h) with its file,
 * memory/table in the queue directory: read by the first process after a
 * start of the suite, written by one of the processes 30 s after a change, in
 * a thread, and when a process leaves. A file that can't be read or written
 * is a line in the log: the servers do without.
 */

#include "lib/os/loop.h"
#include "lib/os/shared_table.h"

struct server_memory;

/* The jobs of shared_table_turn. */
enum { SERVER_JOB_SAVE, SERVER_JOB_STATISTICS };

/* fd: from master, becomes the table's; -1: none, then the process remembers
 * for itself. writes: it may write the file (smtpd, whose directory it is).
 * Blocks while the file is read: for the start of a daemon. */
int server_memory_open(struct loop *loop, int fd, const char *queue_directory,
    bool writes, struct server_memory **out, struct err *e);

struct shared_table *server_memory_table(const struct server_memory *m);

/* At the end of the process: writes what has changed, and blocks for it. */
void server_memory_close(struct server_memory **m);

#endif
