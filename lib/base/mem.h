/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_BASE_MEM_H
#define CHAPPE_BASE_MEM_H

/*
 * Heap memory that is never NULL: when none is left the process says so on
 * stderr and exits with status 75 (EX_TEMPFAIL), and master starts it anew.
 * That is sound because every size a peer can influence has a ceiling
 * (lib/base/limits.h) and the queue is safe at every instant. A server keeps a
 * reserve (the module's one state): it is what the first failure is answered
 * from, and until it is whole again no more work should be taken. Also here:
 * the assertion for our own bugs, always compiled in.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdnoreturn.h>

/* n bytes, uninitialised; n 0 gives a valid pointer. Release: mem_free. */
void *mem_alloc(size_t n);

/* n bytes of zero. */
void *mem_zalloc(size_t n);

/* Grows or shrinks p (which may be NULL) to count elements of size bytes
 * each; an overflow of the product counts as out of memory. */
void *mem_resize(void *p, size_t count, size_t size);

/* A copy of a C string; NULL gives NULL. */
char *mem_strdup(const char *s);

/* A formatted heap string. */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* NULL is legal. */
void mem_free(void *p);

/* Keeps n bytes back. */
void mem_reserve(size_t n);

/* Has the reserve been used, and is there not enough to make it whole? For
 * any thread; cheap while all is well. */
bool mem_low(void);

/* One zeroed struct of the pointer's type: T *p = MEM_NEW(p); */
#define MEM_NEW(p) mem_zalloc(sizeof(*(p)))

/* A bug of ours: prints "panic: FILE:LINE: WHAT" on stderr and aborts. */
noreturn void mem_bug(const char *file, int line, const char *what);

#define BUG_ON(cond)                                                           \
	do {                                                                   \
		if (__builtin_expect(!!(cond), 0))                             \
			mem_bug(__FILE__, __LINE__, #cond);                    \
	} while (0)

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* The struct of which ptr is the named member. */
#define CONTAINER_OF(ptr, type, member)                                        \
	((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#endif
