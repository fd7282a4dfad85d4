/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "master/master.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "lib/os/log.h"

/*
 * What children say on stderr: the reasons of those that could not start, and
 * the last words of those that crashed. All goes to our own stderr, which is
 * a terminal while somebody waits for us to start; what did not go to the log
 * by itself goes there too.
 */
static void
take_line(struct master *m, struct span line)
{
	char tag[80];
	ssize_t put;

	if (line.n == 0)
		return;
	put = write(STDERR_FILENO, line.p, line.n);
	put = write(STDERR_FILENO, "\n", 1);
	(void)put;
	/* A line with the log's own tag is in the log already. */
	if (!span_copy(
		span_str(m->config->common.syslog_name), tag, sizeof(tag) - 1))
		return;
	if (!span_starts(line, span_str(tag)))
		log_warning(NULL, "on stderr: %s", log_quote(line, 900));
}

static void
on_stderr(void *arg, int events)
{
	struct master *m = arg;
	char chunk[4096];
	struct span rest;
	ssize_t n;

	(void)events;
	/* A line is written in one go and is shorter than the chunk. */
	n = read(m->stderr_pipe[0], chunk, sizeof(chunk));
	if (n <= 0)
		return;
	rest = span_of(chunk, (size_t)n);
	while (rest.n > 0) {
		const size_t end = span_chr(rest, '\n');

		take_line(m, span_slice(rest, 0, end));
		rest = end == SIZE_MAX ? SPAN_EMPTY : span_skip(rest, end + 1);
	}
}

int
stderr_start(struct master *m, struct err *e)
{
	if (pipe2(m->stderr_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
		return err_sys(e, "pipe");
	m->stderr_watch = watch_new(m->loop, m->stderr_pipe[0], on_stderr, m);
	watch_set(m->stderr_watch, WATCH_READ);
	return 0;
}
