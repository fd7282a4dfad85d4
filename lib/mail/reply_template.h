/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_REPLY_TEMPLATE_H
#define CHAPPE_MAIL_REPLY_TEMPLATE_H

/*
 * Texts of replies with $name, ${name}, $(name), ${name?text}, ${name:text},
 * ${name?{text}:{text}} and $$, as default_rbl_reply has them. The texts may
 * hold further names.
 */

#include "lib/base/buf.h"
#include "lib/base/err.h"

/* The value of a name; false for an unknown one. It must live until the next
 * call. */
typedef bool (*reply_lookup_fn)(
    void *arg, struct span name, struct span *out_value);

/* Appends the expansion. Bytes of values that are not printable ASCII become
 * "_". -1 (permanent) for a template that is malformed, nested more than 20
 * deep, or has an unknown name. */
int reply_template_expand(struct span text, reply_lookup_fn lookup, void *arg,
    struct buf *out, struct err *e);

#endif
