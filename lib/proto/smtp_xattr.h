/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_SMTP_XATTR_H
#define CHAPPE_PROTO_SMTP_XATTR_H

/*
 * The attributes of XCLIENT and XFORWARD, Postfix's commands by which a proxy
 * or a filter says who its client is: "NAME=value ..." with values in xtext.
 * Values are checked, decoded and copied; nothing is allocated.
 */

#include "lib/base/buf.h"
#include "lib/proto/smtp_cmd.h"

enum smtp_xattr {
	XATTR_NAME,
	XATTR_REVERSE_NAME, /* XCLIENT */
	XATTR_ADDR,	    /* "192.0.2.1", "2001:db8::1" */
	XATTR_PORT,
	XATTR_PROTO, /* XCLIENT: "SMTP" or "ESMTP" */
	XATTR_HELO,
	XATTR_LOGIN,	/* XCLIENT */
	XATTR_DESTADDR, /* XCLIENT */
	XATTR_DESTPORT, /* XCLIENT */
	XATTR_IDENT,	/* XFORWARD */
	XATTR_SOURCE,	/* XFORWARD: "LOCAL" or "REMOTE" */
	XATTR_COUNT,
};

enum smtp_xattr_state {
	XATTR_ABSENT,
	XATTR_TEXT,
	XATTR_UNAVAILABLE, /* [UNAVAILABLE] */
	XATTR_TEMPUNAVAIL, /* [TEMPUNAVAIL] */
};

enum { XATTR_VALUE_MAX = 255 };

struct smtp_xattrs {
	struct {
		enum smtp_xattr_state state;
		char text[XATTR_VALUE_MAX + 1]; /* TEXT; printable */
	} v[XATTR_COUNT];
	char bad[XATTR_VALUE_MAX + 1]; /* what a refusal points to */
};

/* Reads the command's argument (cmd->arg of XCLIENT or XFORWARD). An
 * attribute that stands twice counts as it stands last. BAD: *out_why is the
 * reply; its detail points into cmd or *out. Never MORE. */
enum parse smtp_xattr_parse(const struct smtp_cmd *cmd,
    struct smtp_xattrs *out, struct smtp_reject *out_why);

/* The value, or NULL when it is absent or not available. */
const char *smtp_xattr_text(const struct smtp_xattrs *x, enum smtp_xattr a);

/* What is said of a client by XFORWARD; empty or "unknown": not known. */
struct smtp_forward {
	struct span name, addr, port, helo, ident, proto, source;
};
/* Appends the commands for those attributes that a server offers (the words
 * behind XFORWARD in its reply to EHLO): lines that end in LF, of at most 500
 * bytes each. */
void smtp_xforward_print(const struct smtp_forward *f, struct span offered,
    struct buf *out);

/* The names as the reply to EHLO lists them, separated by spaces. */
const char *smtp_xattr_names(enum smtp_verb verb);

#endif
