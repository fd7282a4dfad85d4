/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_IMAP_CMD_PRIVATE_H
#define CHAPPE_PROTO_IMAP_CMD_PRIVATE_H

/* The parts of the command parser, one file for each of the large verbs.
 * Each reads the arguments that follow the verb, its space included. */

#include "lib/proto/imap_cmd.h"
#include "lib/proto/imap_lex.h"

bool imap_cmd_search(struct imap_lex *x, struct imap_cmd *c);
bool imap_cmd_fetch(struct imap_lex *x, struct imap_cmd *c);
bool imap_cmd_list(struct imap_lex *x, struct imap_cmd *c);
bool imap_cmd_lsub(struct imap_lex *x, struct imap_cmd *c);
bool imap_cmd_status(struct imap_lex *x, struct imap_cmd *c);

/* Shared pieces. */
bool imap_cmd_mailbox(struct imap_lex *x, struct span *out);
bool imap_cmd_set(struct imap_lex *x, struct imap_cmd *c);
bool imap_cmd_status_items(struct imap_lex *x, unsigned *out);

/* A list of spans that grows in an arena. */
void imap_cmd_push(
    struct arena *a, struct span **list, size_t *count, struct span s);

#endif
