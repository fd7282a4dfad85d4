/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_MILTER_IMPL_H
#define CHAPPE_PROTO_MILTER_IMPL_H

/*
 * What milter.c asks of milter_reply.c; nobody else includes it.
 */

#include "lib/base/err.h"
#include "lib/proto/milter.h"

/* Take the next number, the next text ended by NUL, off *s. */
bool milter_take_u32(struct span *s, uint32_t *out);
bool milter_take_text(struct span *s, struct span *out);

/* "550 5.7.1 text", or several such lines, each but the last with "-": code,
 * dsn and text of *out; text holds the latter. */
bool milter_take_reply(struct span all, struct buf *text,
    struct milter_event *out);

/* PARSE_MORE: it is no modification. */
enum parse milter_take_edit(uint8_t letter, struct span data,
    struct milter_event *out);

/* False: it is no verdict. */
bool milter_take_verdict(uint8_t letter, enum milter_verdict *out);

#endif
