/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_AUTH_DOVECOT_LINE_H
#define CHAPPE_AUTH_DOVECOT_LINE_H

/*
 * Lines of Dovecot's authentication protocol 1.x, as clients send them: a
 * command and fields, separated by tabs. Bytes in, values out.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/span.h"

enum { DOVECOT_LINE_MAX = 16384 };

enum dovecot_command {
	DOVECOT_VERSION, /* major, minor */
	DOVECOT_CPID,	 /* pid */
	DOVECOT_AUTH,	 /* id, mechanism, parameters */
	DOVECOT_CONT,	 /* id, response */
	DOVECOT_CANCEL,	 /* id */
	DOVECOT_OTHER,	 /* to be passed over */
	DOVECOT_BAD,
};

struct dovecot_line {
	enum dovecot_command command;
	uint32_t id;		 /* AUTH, CONT, CANCEL */
	uint32_t major, pid;
	struct span mechanism, service, rip;
	bool secured;		 /* "secured", or TLS as Postfix says it */
	bool cert;		 /* valid-client-cert */
	struct span cert_user;	 /* cert_username, still escaped */
	bool has_resp;
	struct span resp;	 /* base 64, as it stands */
};

/* Reads one line without its end; spans are within it. */
void dovecot_line_parse(struct span line, struct dovecot_line *out);

/* Appends a value with the bytes escaped that would end it. */
void dovecot_escape(struct span value, struct buf *out);
/* Appends an escaped value as it was. */
void dovecot_unescape(struct span value, struct buf *out);

#endif
