/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_PASSWD_EDIT_H
#define CHAPPE_MAIL_PASSWD_EDIT_H

/*
 * Changes to the text of a passwd-file (user:password:uid:gid:gecos:home:
 * shell:extra fields, one a line), for the tools: all that is not changed
 * stays byte for byte.
 */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"

/* The first line of that user, without its end, within text. False: there is
 * none. */
bool passwd_edit_find(
    struct span text, struct span user, struct span *out_line);

/* The password field of a line, and its extra fields (perhaps empty). */
struct span passwd_edit_password(struct span line);
struct span passwd_edit_extra(struct span line);

/* Steps through values of extra fields "app_password=VALUE". *extra is cut;
 * out_field is the whole word. */
bool passwd_edit_next_app(
    struct span *extra, struct span *out_field, struct span *out_value);

/* Appends text with a further extra field at the end of the user's line.
 * False: no such user. */
bool passwd_edit_add(struct span text, struct span user, struct span field,
    struct buf *out);
/* Appends text without a word of the line that stands at `field`, which is
 * within text, and the blank before it. */
void passwd_edit_remove(struct span text, struct span field, struct buf *out);

#endif
