/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_POLICY_H
#define CHAPPE_PROTO_POLICY_H

/*
 * The policy delegation protocol (Postfix's SMTPD_POLICY_README): requests
 * and replies are lines "name=value", ended by an empty line. The server
 * answers one request after the other over a connection that both may keep.
 */

#include "lib/base/buf.h"
#include "lib/base/err.h"

enum { POLICY_REPLY_MAX = 16384 /* bytes of a reply, all lines */ };

/* Appends "name=value" and LF. Bytes that a value can't hold (LF, CR, NUL)
 * become "?", so that no value becomes two attributes. */
void policy_attr(struct buf *out, const char *name, struct span value);
void policy_attr_str(struct buf *out, const char *name, const char *value);
void policy_attr_u64(struct buf *out, const char *name, uint64_t value);
/* The empty line behind the last one. */
void policy_end(struct buf *out);

/* Reads the reply at the start of in. PARSE_OK: *out_used bytes make it up
 * and *out_action, within in, is the value of its first attribute `action`;
 * other attributes are passed over, as is a CR before LF. PARSE_MORE: its end
 * has not come yet. PARSE_BAD: a line without "=", no action, or more than
 * POLICY_REPLY_MAX bytes. Whether it comes whole or byte by byte, the result
 * is the same. */
enum parse policy_reply_parse(
    struct span in, size_t *out_used, struct span *out_action);

#endif
