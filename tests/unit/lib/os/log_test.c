/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/limits.h"

struct seen {
	struct log_record record;
	char what[64];
	char qid[16];
	char text[LIMIT_LOG_LINE + 1];
	unsigned count;
};

static void
remember(const struct log_record *r, void *arg)
{
	struct seen *s = arg;

	s->record = *r;
	snprintf(s->what, sizeof(s->what), "%s", r->what);
	snprintf(s->qid, sizeof(s->qid), "%s", r->ctx->qid);
	snprintf(s->text, sizeof(s->text), "%s", r->text);
	s->count++;
}

static void
hands_records_to_the_sink(void **state)
{
	const struct log_ctx ctx = { .trace = 7, .qid = "4F1A2B3C4D500" };
	struct seen s = { 0 };

	(void)state;
	log_set_sink(remember, &s);
	log_warning(&ctx, "a %d\n b", 5);
	assert_int_equal(s.record.level, LOG_L_WARNING);
	assert_int_equal(s.record.kind, LOG_K_LINE);
	assert_string_equal(s.text, "a 5  b");
	assert_string_equal(s.qid, "4F1A2B3C4D500");
	assert_true(s.record.time_us > 1600000000 * (int64_t)1000000);
	log_event(NULL, "accept", "size=%d", 3);
	assert_int_equal(s.record.kind, LOG_K_EVENT);
	assert_string_equal(s.what, "accept");
	assert_string_equal(s.qid, "");
	assert_int_equal(s.count, 2);
	log_set_sink(NULL, NULL);
}

static void
cuts_long_lines(void **state)
{
	static char longer[LIMIT_LOG_LINE * 2];
	struct seen s = { 0 };

	(void)state;
	memset(longer, 'x', sizeof(longer) - 1);
	log_set_sink(remember, &s);
	log_info(NULL, "%s", longer);
	assert_int_equal(strlen(s.text), LIMIT_LOG_LINE);
	log_set_sink(NULL, NULL);
}

static void
keeps_debug_quiet(void **state)
{
	struct seen s = { 0 };

	(void)state;
	log_set_sink(remember, &s);
	log_debug(NULL, "smtp", "no");
	log_set_debug("ipc,smtp");
	log_debug(NULL, "smtp", "yes");
	log_debug(NULL, "smt", "no");
	assert_int_equal(s.count, 1);
	log_set_debug("all");
	assert_true(log_debug_on("queue"));
	log_set_debug("");
	assert_false(log_debug_on("queue"));
	log_set_sink(NULL, NULL);
}

/* Runs fn in a child whose stderr is read; returns its exit status. */
static int
stderr_of(void (*fn)(void), char *out, size_t size)
{
	int pipe_fd[2], status;
	ssize_t n;
	pid_t pid;

	assert_int_equal(pipe(pipe_fd), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(pipe_fd[1], STDERR_FILENO);
		fn();
		_exit(0);
	}
	close(pipe_fd[1]);
	n = read(pipe_fd[0], out, size - 1);
	assert_true(n >= 0);
	out[n] = '\0';
	close(pipe_fd[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WEXITSTATUS(status);
}

static void
warn_with_qid(void)
{
	const struct log_ctx ctx = { .qid = "ABC" };

	log_set_tag("postfix/qmgr");
	log_event(&ctx, "unseen", "x");
	log_warning(&ctx, "hm");
}

static void
die(void)
{
	log_fatal(69, "no %s", "way");
}

static void
writes_postfix_shapes_to_stderr(void **state)
{
	char line[256];

	(void)state;
	assert_int_equal(stderr_of(warn_with_qid, line, sizeof(line)), 0);
	assert_ptr_equal(strstr(line, "postfix/qmgr["), line);
	assert_non_null(strstr(line, "]: warning: ABC: hm\n"));
	assert_null(strstr(line, "unseen"));
	assert_int_equal(stderr_of(die, line, sizeof(line)), 69);
	assert_non_null(strstr(line, ": fatal: no way\n"));
}

static void
quotes_what_peers_send(void **state)
{
	const struct {
		struct span in;
		size_t max;
		const char *out;
	} rows[] = {
		{ SPAN("plain <a@b>"), 100, "plain <a@b>" },
		{ SPAN("a\r\nb\0c\177"), 100, "a\\015\\012b\\000c\\177" },
		{ SPAN("gr\xc3\xbc\xc3\x9f"), 100, "gr\xc3\xbc\xc3\x9f" },
		{ SPAN("\xc3\xe2\x82\xac"), 100, "\\303\xe2\x82\xac" },
		{ SPAN("\xc0\xaf\xed\xa0\x80"), 100,
		    "\\300\\257\\355\\240\\200" },
		{ SPAN("\xc2\x85"), 100, "\\302\\205" },
		{ SPAN("abcdef"), 3, "abc" },
		{ SPAN("ab\n"), 5, "ab" },
		{ SPAN(""), 5, "" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_string_equal(
		    log_quote(rows[i].in, rows[i].max), rows[i].out);
}

static void
makes_trace_ids(void **state)
{
	const uint64_t a = log_trace_new(), b = log_trace_new();

	(void)state;
	assert_true(a != b);
	assert_true(a != 0 && (a & 0xffff) == 0 && (b & 0xffff) == 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(hands_records_to_the_sink),
		cmocka_unit_test(cuts_long_lines),
		cmocka_unit_test(keeps_debug_quiet),
		cmocka_unit_test(writes_postfix_shapes_to_stderr),
		cmocka_unit_test(quotes_what_peers_send),
		cmocka_unit_test(makes_trace_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
