/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"

#include <stdarg.h>
#include <stdatomic.h>
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

/* ---- the reserve ---- */
static _Atomic(void *) reserve;
static atomic_size_t reserve_size; /* 0: none was asked for */

void
mem_reserve(size_t n)
{
	void *p = mem_alloc(n);

	/* So that it is there, not only promised. */
	memset(p, 1, n);
	atomic_store(&reserve_size, n);
	free(atomic_exchange(&reserve, p));
}

/* True: there is memory again, so the caller may try once more. */
static bool
use_reserve(void)
{
	void *p = atomic_exchange(&reserve, NULL);

	free(p);
	return p != NULL;
}

bool
mem_low(void)
{
	const size_t n = atomic_load(&reserve_size);
	void *p;

	if (n == 0 || atomic_load(&reserve) != NULL)
		return false;
	/* Half as much again, so that not the next few bytes end it. */
	p = malloc(n + n / 2);
	free(p);
	p = p != NULL ? malloc(n) : NULL;
	if (p == NULL)
		return true;
	memset(p, 1, n);
	free(atomic_exchange(&reserve, p));
	return false;
}

/* ---- memory ---- */
/* Not inlined, or the compiler makes calloc of malloc and memset. */
__attribute__((noinline)) void *
mem_alloc(size_t n)
{
	void *p;

	do
		p = malloc(n > 0 ? n : 1);
	while (p == NULL && use_reserve());
	if (p == NULL)
		out_of_memory(n);
	return p;
}

void *
mem_zalloc(size_t n)
{
	/* The GNU C library keeps freed pieces up to this size at hand for
	 * each thread, but calloc never takes one of them. */
	enum { AT_HAND = 1032 };
	void *p;

	if (n <= AT_HAND)
		return memset(mem_alloc(n), 0, n);
	do
		p = calloc(1, n > 0 ? n : 1);
	while (p == NULL && use_reserve());
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
	do
		q = reallocarray(p, count, size);
	while (q == NULL && count <= SIZE_MAX / size && use_reserve());
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
	int n;

	do {
		va_start(ap, fmt);
		n = vasprintf(&s, fmt, ap);
		va_end(ap);
	} while (n < 0 && use_reserve());
	if (n < 0)
		out_of_memory(0);
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
