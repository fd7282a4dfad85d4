/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_BASE_ERR_H
#define CHAPPE_BASE_ERR_H

/*
 * What failed in the world, in the form that mail needs: whether trying
 * again may help, the enhanced status code (RFC 3463) and a text. It becomes
 * the SMTP reply or the delivery status without translation. A function that
 * fails fills a struct err and returns -1; it does not log as well.
 */

#include <stdbool.h>

enum err_kind { ERR_TEMP, ERR_PERM };

struct err {
	enum err_kind kind;
	int sysno;      /* errno of the cause, 0 if none */
	char dsn[12];   /* "4.3.0" */
	char text[240]; /* one line, printable, ended by NUL */
};

/* Fills e (NULL legal); dsn is a code such as "5.1.1". Always -1. Text that
 * does not fit is cut; control bytes become '?'. */
int err_set(struct err *e, enum err_kind kind, const char *dsn,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* The same from errno, as "what: strerror": always temporary (a local fault
 * never bounces mail), 4.3.1 for a full disk or quota, else 4.3.0. */
int err_sys(struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Puts "context: " in front of the text. Always -1. */
int err_wrap(struct err *e, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* What a parser of peers' bytes says. */
enum parse { PARSE_OK, PARSE_MORE, PARSE_BAD };

#endif
