/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void
make_printable(char *s)
{
	for (; *s != '\0'; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
}

static void
fill(struct err *e, enum err_kind kind, int sysno, const char *dsn)
{
	e->kind = kind;
	e->sysno = sysno;
	snprintf(e->dsn, sizeof(e->dsn), "%s", dsn);
}

int
err_set(struct err *e, enum err_kind kind, const char *dsn, const char *fmt,
    ...)
{
	va_list ap;

	if (e == NULL)
		return -1;
	fill(e, kind, 0, dsn);
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	make_printable(e->text);
	return -1;
}

int
err_sys(struct err *e, const char *fmt, ...)
{
	const int sysno = errno;
	const bool full =
	    sysno == ENOSPC || sysno == EDQUOT || sysno == EFBIG;
	va_list ap;
	size_t n;

	if (e == NULL)
		return -1;
	fill(e, ERR_TEMP, sysno, full ? "4.3.1" : "4.3.0");
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	snprintf(e->text + n, sizeof(e->text) - n, ": %s", strerror(sysno));
	make_printable(e->text);
	return -1;
}

int
err_wrap(struct err *e, const char *fmt, ...)
{
	char old[sizeof(e->text)];
	va_list ap;
	size_t n;

	if (e == NULL)
		return -1;
	memcpy(old, e->text, sizeof(old));
	va_start(ap, fmt);
	vsnprintf(e->text, sizeof(e->text), fmt, ap);
	va_end(ap);
	n = strlen(e->text);
	snprintf(e->text + n, sizeof(e->text) - n, ": %s", old);
	make_printable(e->text);
	return -1;
}
