/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_UTF8_H
#define CHAPPE_PROTO_UTF8_H

/* Well-formedness of UTF-8 (RFC 3629 4). */

#include <stdbool.h>

#include "lib/base/span.h"

/* Only well-formed sequences: no overlong form, no surrogate, nothing above
 * U+10FFFF. */
bool utf8_valid(struct span s);

/* Only bytes below 128. */
bool utf8_is_ascii(struct span s);

#endif
