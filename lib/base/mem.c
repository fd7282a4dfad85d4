/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

static noreturn void
out_of_memory(size_t n)
{
	char line[80];
	const int len =
	    snprintf(line, sizeof(line), "fatal: out of memory (%zu)\n", n);
	const ssize_t put = write(STDERR_FILENO, line, (size_t)len);

	(void)put;
	_exit(EX_TEMPFAIL);
}

void *
mem_alloc(size_t n)
{
	void *p = malloc(n > 0 ? n : 1);

	if (p == NULL)
		out_of_memory(n);
	return p;
}

void *
mem_zalloc(size_t n)
{
	void *p = calloc(1, n > 0 ? n : 1);

	if (p == NULL)
		out_of_memory(n);
	return p;
}

void *
mem_resize(void *p, size_t count, size_t size)
{
	void *q;

	if (count == 0 || size == 0)
		count = size = 1;
	q = reallocarray(p, count, size);
	if (q == NULL)
		out_of_memory(count > SIZE_MAX / size ? SIZE_MAX : count * size);
	return q;
}

char *
mem_strdup(const char *s)
{
	size_t n;

	if (s == NULL)
		return NULL;
	n = strlen(s) + 1;
	return memcpy(mem_alloc(n), s, n);
}

char *
mem_printf(const char *fmt, ...)
{
	va_list ap;
	char *s = NULL;

	va_start(ap, fmt);
	if (vasprintf(&s, fmt, ap) < 0)
		out_of_memory(0);
	va_end(ap);
	return s;
}

void
mem_free(void *p)
{
	free(p);
}

void
mem_bug(const char *file, int line, const char *what)
{
	fprintf(stderr, "panic: %s:%d: %s\n", file, line, what);
	abort();
}
