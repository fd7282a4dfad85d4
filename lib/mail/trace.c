/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/trace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/ipc/channel.h"

enum { ASK_TIMEOUT_MS = 30000 };

/* ---- lines ---- */

static const char *const levels[] = { "debug", "info", "warning", "error",
	"fatal", "panic" };

/* Tab and line end separate; nothing else has a meaning. */
static void
add_field(struct buf *out, struct span s)
{
	if (s.n == 0)
		buf_byte(out, '-');
	else
		buf_clean(out, s);
	buf_byte(out, '\t');
}

void
trace_format(struct buf *out, const struct ring_record *record, uint64_t pid)
{
	/* Before 1970 nobody logs: a clock that says so is as good as 0. */
	buf_u64(out, record->time_us > 0 ? (uint64_t)record->time_us : 0);
	buf_byte(out, '\t');
	buf_hex(out, record->trace, 16);
	buf_byte(out, '\t');
	add_field(out, record->qid);
	buf_str(out, record->kind == LOG_K_EVENT ? "event" :
	    levels[record->level]);
	buf_byte(out, '\t');
	add_field(out, record->tag);
	buf_u64(out, pid);
	buf_byte(out, '\t');
	buf_hex(out, record->at, 1);
	buf_byte(out, '\t');
	add_field(out, record->what);
	buf_clean(out, record->text);
	buf_byte(out, '\n');
}

/* Cuts what stands before the next tab off *rest. */
static bool
field(struct span *rest, struct span *out)
{
	size_t tab = span_chr(*rest, '\t');

	if (tab == SIZE_MAX)
		return false;
	*out = span_slice(*rest, 0, tab);
	*rest = span_skip(*rest, tab + 1);
	if (span_eq(*out, SPAN("-")))
		*out = SPAN_EMPTY;
	return true;
}

bool
trace_parse(struct span line, struct trace_line *out)
{
	struct trace_line t;
	struct span at, time, trace, pid;
	uint64_t us;

	if (!field(&line, &time) || !field(&line, &trace) ||
	    !field(&line, &t.qid) || !field(&line, &t.level) ||
	    !field(&line, &t.tag) || !field(&line, &pid) ||
	    !field(&line, &at) || !field(&line, &t.what) ||
	    !span_u64(time, INT64_MAX, &us) ||
	    !span_hex64(trace, &t.trace) ||
	    !span_u64(pid, UINT64_MAX, &t.pid) || !span_hex64(at, &t.at))
		return false;
	t.time_us = (int64_t)us;
	t.text = line;
	*out = t;
	return true;
}

/* ---- segments ---- */

void
trace_segment_name(uint64_t number, char out[TRACE_SEGMENT_NAME])
{
	snprintf(out, TRACE_SEGMENT_NAME, "%010" PRIu64 ".trace", number);
}

bool
trace_segment_number(const char *name, uint64_t *out)
{
	struct span s = span_str(name);

	return s.n == 16 && span_ends(s, SPAN(".trace")) &&
	    span_u64(span_slice(s, 0, 10), UINT64_MAX, out);
}

static int
by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int
trace_segments(int dir_fd, uint64_t **out, size_t *out_count, struct err *e)
{
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	uint64_t *numbers = NULL;
	size_t count = 0;
	const struct dirent *entry;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return err_sys(e, "read trace directory");
	}
	while ((entry = readdir(dir)) != NULL) {
		uint64_t number;

		if (!trace_segment_number(entry->d_name, &number))
			continue;
		numbers = mem_resize(numbers, count + 1, sizeof(*numbers));
		numbers[count++] = number;
	}
	closedir(dir);
	if (count > 0)
		qsort(numbers, count, sizeof(*numbers), by_number);
	*out = numbers;
	*out_count = count;
	return 0;
}

/* ---- asking the daemon ---- */

static void
take_lines(struct msg_in *m, struct buf *out)
{
	struct span line;
	size_t cursor = 0;

	while (msg_next_value(m, F_LINE, &cursor, &line)) {
		buf_add(out, line);
		buf_byte(out, '\n');
	}
}

static void
put_query(struct msg_out *m, const struct trace_query *q)
{
	if (q->qid.n > 0)
		msg_put(m, F_QID, q->qid);
	else if (q->address.n > 0)
		msg_put(m, F_ADDRESS, q->address);
	else
		msg_put_u64(m, F_TRACE, q->trace);
}

int
trace_ask(const char *socket_path, const struct trace_query *q,
    struct buf *out, struct err *e)
{
	struct msg_out m;
	struct msg_in in;
	struct buf store;
	bool more = true;
	int fd, got;

	if (sync_connect(socket_path, ASK_TIMEOUT_MS, &fd, e) != 0)
		return -1;
	buf_init(&store, LIMIT_IPC_MESSAGE);
	msg_begin(&m, MSG_TRACE_QUERY, 1, 0);
	put_query(&m, q);
	got = sync_call(fd, &m, &store, &in, ASK_TIMEOUT_MS, e) == 0 ? 1 : -1;
	while (got == 1) {
		take_lines(&in, out);
		more = msg_has(&in, F_CURSOR);
		msg_in_release(&in);
		if (!more)
			break;
		got = sync_receive(fd, &store, &in, ASK_TIMEOUT_MS, e);
	}
	if (got == 0)
		err_set(e, ERR_TEMP, "4.3.0", "trace: connection closed");
	msg_out_release(&m);
	buf_release(&store);
	close(fd);
	return got == 1 ? 0 : -1;
}

/* ---- printing ---- */

static void
print_line(FILE *f, const struct trace_line *t, int64_t first_us)
{
	time_t seconds = (time_t)(t->time_us / 1000000);
	struct span program = t->tag;
	size_t slash = span_rchr(program, '/');
	char when[32], name[48];
	struct tm tm;

	if (slash != SIZE_MAX)
		program = span_skip(program, slash + 1);
	program = span_slice(program, 0, 24);
	snprintf(name, sizeof(name), "%.*s[%" PRIu64 "]", SPAN_FMT(program),
	    t->pid);
	localtime_r(&seconds, &tm);
	strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S", &tm);
	fprintf(f, "%s.%06d %+10.3f ms %016" PRIx64 " %-18s %-12.*s ",
	    when, (int)(t->time_us % 1000000),
	    (double)(t->time_us - first_us) / 1000.0, t->trace, name,
	    SPAN_FMT(t->what.n > 0 ? t->what : SPAN("log")));
	if (t->qid.n > 0)
		fprintf(f, "%.*s: ", SPAN_FMT(t->qid));
	if (!span_eq(t->level, SPAN("event")) &&
	    !span_eq(t->level, SPAN("info")))
		fprintf(f, "%.*s: ", SPAN_FMT(t->level));
	fprintf(f, "%.*s\n", SPAN_FMT(t->text));
}

size_t
trace_print(FILE *f, struct span lines)
{
	int64_t first_us = INT64_MIN;
	size_t count = 0;

	while (lines.n > 0) {
		size_t end = span_chr(lines, '\n');
		struct trace_line t;

		if (trace_parse(span_slice(lines, 0, end), &t)) {
			if (first_us == INT64_MIN)
				first_us = t.time_us;
			print_line(f, &t, first_us);
			count++;
		}
		lines = span_skip(lines, end == SIZE_MAX ? lines.n : end + 1);
	}
	return count;
}
