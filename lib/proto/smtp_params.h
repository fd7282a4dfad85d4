/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_SMTP_PARAMS_H
#define CHAPPE_PROTO_SMTP_PARAMS_H

/*
 * What the parameters of MAIL and RCPT mean (RFC 5321 4.1.2): SIZE, BODY
 * (RFC 6152, RFC 3030), AUTH (RFC 4954 5), RET, ENVID, NOTIFY and ORCPT (RFC
 * 3461), SMTPUTF8 (RFC 6531), REQUIRETLS (RFC 8689), HOLDFOR and HOLDUNTIL
 * (RFC 4865). A parameter may stand once; SIZE and BODY, which programs add
 * behind their callers' backs, count as they stand last. Spans point into the
 * command's line; nothing is allocated.
 */

#include "lib/proto/smtp_cmd.h"

enum smtp_body { SMTP_BODY_UNSET, SMTP_BODY_7BIT, SMTP_BODY_8BIT,
	SMTP_BODY_BINARY };

/* RFC 3461 4.1; the bits are those of lib/queue. */
enum {
	SMTP_NOTIFY_NEVER = 1,
	SMTP_NOTIFY_SUCCESS = 2,
	SMTP_NOTIFY_FAILURE = 4,
	SMTP_NOTIFY_DELAY = 8,
};

struct smtp_mail_params {
	uint64_t size; /* declared; 0: not */
	enum smtp_body body;
	struct span auth;  /* value of AUTH, xtext; empty: not given */
	bool ret_full, ret_hdrs;
	struct span envid; /* xtext, 100 bytes at most; empty: not given */
	bool smtputf8, requiretls;
	uint32_t hold_for_s;  /* 0: not given */
	int64_t hold_until_s; /* Unix epoch; 0: not given */
};

struct smtp_rcpt_params {
	unsigned notify;   /* SMTP_NOTIFY_*; 0: not given */
	struct span orcpt; /* "type;xtext"; empty: not given */
};

/* Reads cmd's parameters; caps are those offered (enum smtp_caps,
 * lib/proto/smtp_server.h). OK: *out is filled. BAD: *out_why is, with the
 * reply. Never MORE. */
enum parse smtp_params_mail(const struct smtp_cmd *cmd, unsigned caps,
    struct smtp_mail_params *out, struct smtp_reject *out_why);
enum parse smtp_params_rcpt(const struct smtp_cmd *cmd, unsigned caps,
    struct smtp_rcpt_params *out, struct smtp_reject *out_why);

/* An RFC 3339 date and time, "2026-11-22T19:00:00Z" or with "+01:00" or a
 * fraction, which is dropped. */
bool smtp_date_time(struct span text, int64_t *out_s);

/* Is it well-formed xtext (RFC 3461 4), at least one byte? And is what it
 * stands for printable ASCII? */
bool smtp_xtext_valid(struct span text);

#endif
