/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_SMTP_CMD_H
#define CHAPPE_PROTO_SMTP_CMD_H

/*
 * One SMTP or LMTP command line (RFC 5321 4.1.1, RFC 2033) taken apart. All
 * spans point into the line; nothing is allocated. What a wrong line is to be
 * answered stands beside: the texts are those that clients and log readers
 * know from Postfix.
 */

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/span.h"

enum smtp_verb {
	SMTP_HELO,
	SMTP_EHLO,
	SMTP_LHLO,
	SMTP_MAIL,
	SMTP_RCPT,
	SMTP_DATA,
	SMTP_BDAT,
	SMTP_RSET,
	SMTP_NOOP,
	SMTP_VRFY,
	SMTP_EXPN,
	SMTP_QUIT,
	SMTP_HELP,
	SMTP_STARTTLS,
	SMTP_AUTH,
	SMTP_XCLIENT,
	SMTP_XFORWARD,
	SMTP_ETRN,
	SMTP_UNKNOWN, /* last: also the number of known verbs */
};

enum { SMTP_PARAM_MAX = 16 };

/* An ESMTP parameter, "KEY" or "KEY=VALUE" (RFC 5321 4.1.2). */
struct smtp_param {
	struct span key;
	struct span value; /* empty, and has_value false, without "=" */
	bool has_value;
};

/* The path of MAIL or RCPT, without brackets and source route. */
struct smtp_path {
	struct span text;   /* the mailbox as written; empty for "<>" */
	struct span local;  /* as written, perhaps quoted */
	struct span domain; /* empty when there is none */
	bool null;	    /* "<>" */
	bool bare;	    /* without angle brackets */
	bool routed;	    /* a source route was dropped */
};

struct smtp_cmd {
	enum smtp_verb verb;
	struct span arg;  /* all after the verb, trimmed; for AUTH what follows
			     the mechanism */
	struct span mech; /* AUTH */
	struct smtp_path path; /* MAIL, RCPT */
	struct smtp_param params[SMTP_PARAM_MAX];
	size_t param_count;
	uint64_t bdat_size; /* BDAT: bytes that follow */
	bool bdat_last;
	bool utf8; /* VRFY: SMTPUTF8 stood behind the address; arg is without */
};

/* The reply to a line that is refused: code, enhanced code ("" for none), and
 * text followed by detail. */
struct smtp_reject {
	enum smtp_verb verb; /* as far as it could be told */
	unsigned code;
	const char *dsn;
	const char *text;
	struct span detail; /* within the line */
};

/* Of BDAT with an argument it can't have: what follows is not known to be a
 * command. */
enum { SMTP_CODE_BAD_BDAT = 521 };

/* Parses a line without its line end. OK: *out is filled. BAD: *out_why is.
 * Never MORE. Commands with an argument they must not have are BAD as well;
 * whether a command makes sense now, and which parameters are offered, is
 * for the caller (lib/proto/smtp_server.h). A path without a domain, and
 * bytes above 127 in a path, are OK. A path need not have brackets. The
 * attributes of XCLIENT and XFORWARD: lib/proto/smtp_xattr.h. */
enum parse smtp_cmd_parse(
    struct span line, struct smtp_cmd *out, struct smtp_reject *out_why);

/* The parameter of that key, ignoring case; NULL if it was not given. */
const struct smtp_param *smtp_cmd_param(
    const struct smtp_cmd *cmd, const char *key);

/* "MAIL" ("mail" in the lower form); "UNKNOWN" ("unknown"). */
const char *smtp_verb_name(enum smtp_verb verb);
const char *smtp_verb_lower(enum smtp_verb verb);

#endif
