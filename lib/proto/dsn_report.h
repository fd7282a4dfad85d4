/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_DSN_REPORT_H
#define CHAPPE_PROTO_DSN_REPORT_H

/*
 * The text of a delivery status notification: a multipart/report (RFC 6522)
 * of an explanation for people, a message/delivery-status (RFC 3464) and the
 * original, composed from values into a sink. Lines end in CRLF. Whatever a
 * remote host or a sender put into a value, it cannot add a field or a line:
 * control bytes become '?', and long texts are folded.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/span.h"

enum dsn_kind { DSN_FAILED, DSN_DELAYED, DSN_DELIVERED };

struct dsn_report_rcpt {
	struct span address;	  /* canonical */
	struct span orig_address; /* as first given, if different; or empty */
	struct span orcpt;	  /* "rfc822;a@b" of RCPT's ORCPT=, or empty */
	const char *action;	/* "failed", "delayed", "delivered", "relayed",
				   "expanded" */
	struct span status;	/* "5.1.1" */
	struct span reason;	/* our text, as logged */
	struct span remote;	/* remote host's name, or empty */
	struct span diagnostic; /* its reply, or empty */
};

struct dsn_report {
	enum dsn_kind kind;
	const char *hostname;	/* ours: Reporting-MTA and MAILER-DAEMON@ */
	const char *mail_name;	/* "Postfix": X-Postfix-... fields */
	struct span to;		/* whom the report goes to */
	const char *message_id; /* of the report, with brackets; NULL: none */
	const char *boundary;	/* printable, no space or quote, at most 70 */
	int64_t now_s;		/* Date; Unix epoch */
	int offset_min;		/* local zone */
	const char *qid;	/* of the original */
	struct span sender;	/* of the original */
	struct span envid;	/* decoded, or empty */
	int64_t arrival_s;	/* of the original */
	int64_t give_up_s;	/* DSN_DELAYED: when trying ends; 0 unknown */
	bool eight_bit;		/* the original has bytes above 127 */
	bool headers_only;	/* only the original's header follows */
	const struct dsn_report_rcpt *rcpts;
	size_t rcpt_count;
};

typedef void (*dsn_sink_fn)(void *arg, struct span bytes);

/* Writes all up to where the original message begins. */
void dsn_report_begin(const struct dsn_report *r, dsn_sink_fn sink, void *arg);

/* After the original (its bytes go to the same sink by the caller; with
 * headers_only the header without the empty line): writes the end. */
void dsn_report_end(const struct dsn_report *r, dsn_sink_fn sink, void *arg);

#endif
