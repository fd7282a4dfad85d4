/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void
gives_memory(void **state)
{
	char *p = mem_alloc(0), *text;
	struct { int a, b; } *zero = MEM_NEW(zero);

	(void)state;
	assert_non_null(p);
	assert_int_equal(zero->a | zero->b, 0);
	mem_free(p);
	mem_free(zero);
	mem_free(NULL);
	assert_null(mem_strdup(NULL));
	p = mem_strdup("abc");
	p = mem_resize(p, 10, 2);
	assert_string_equal(p, "abc");
	text = mem_printf("%s-%d", p, 7);
	assert_string_equal(text, "abc-7");
	mem_free(text);
	mem_free(p);
}

/* Runs fn in a child without core files; its wait status. */
static int
status_of(void (*fn)(void))
{
	const struct rlimit none = { 0, 0 };
	int status;
	const pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &none);
		signal(SIGABRT, SIG_DFL);
		close(STDERR_FILENO);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

/* With little memory: takes all there is, in small pieces. */
static void
use_all_memory(void)
{
	const struct rlimit little = { 64 << 20, 64 << 20 };
	void *pieces[20000];
	size_t n = 0;

	setrlimit(RLIMIT_AS, &little);
	mem_reserve(4 << 20);
	if (mem_low())
		_exit(10);
	while (!mem_low()) {
		if (n == COUNT_OF(pieces))
			_exit(11);
		pieces[n++] = mem_alloc(16384);
	}
	/* There is some left to go on with. */
	for (int i = 0; i < 100 && n < COUNT_OF(pieces); i++)
		pieces[n++] = mem_alloc(16384);
	if (!mem_low())
		_exit(12);
	while (n > 0)
		mem_free(pieces[--n]);
	_exit(mem_low() ? 13 : 42);
}

static void
a_reserve_for_the_first_failure(void **state)
{
	const int status = status_of(use_all_memory);

	(void)state;
#ifdef __SANITIZE_ADDRESS__
	skip(); /* it needs more address space than any limit */
#endif
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 42);
}

/* The address sanitizer would end the process itself. */
const char *__asan_default_options(void);

const char *
__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

static void
overflow(void)
{
	volatile size_t many = SIZE_MAX / 2;

	mem_free(mem_resize(NULL, many, 3));
}

static void
bug(void)
{
	BUG_ON(getpid() > 0);
}

static void
no_memory_is_status_75(void **state)
{
	const int status = status_of(overflow);

	(void)state;
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 75);
}

static void
a_bug_aborts(void **state)
{
	const int status = status_of(bug);

	(void)state;
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_memory),
		cmocka_unit_test(a_reserve_for_the_first_failure),
		cmocka_unit_test(no_memory_is_status_75),
		cmocka_unit_test(a_bug_aborts),
	};

	return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
