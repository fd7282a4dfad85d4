/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "log/log_impl.h"

#include "lib/base/mem.h"
#include "lib/mail/trace.h"
#include "lib/os/work.h"

/* A search, which reads the whole store: in a thread. */
struct job {
	struct work work;
	struct request *request;
	int dir_fd;
	struct trace_query query;
	uint8_t text[LIMIT_ADDRESS];
	struct buf result;
	bool failed;
	struct err err;
};

static void
job_run(struct work *w)
{
	struct job *j = CONTAINER_OF(w, struct job, work);

	j->failed = trace_search(j->dir_fd, &j->query, &j->result,
	    &j->err) != 0;
}

/* Adds as many lines as fit; returns those left. */
static struct span
fill_page(struct msg_out *m, struct span lines)
{
	while (lines.n > 0) {
		size_t end = span_chr(lines, '\n');
		struct span line = span_slice(lines, 0, end);

		/* Room for the cursor too. */
		if (msg_space(m) < line.n + 32)
			break;
		msg_put(m, F_LINE, line);
		lines = span_skip(lines, end == SIZE_MAX ? lines.n : end + 1);
	}
	return lines;
}

static void
job_answer(struct job *j)
{
	struct span lines = buf_span(&j->result);
	struct msg_out m;

	do {
		request_begin(j->request, &m, MSG_OK);
		lines = fill_page(&m, lines);
		if (lines.n > 0) {
			msg_put_u64(&m, F_CURSOR, lines.n);
			request_send(j->request, &m);
		} else {
			request_answer(&j->request, &m);
		}
		msg_out_release(&m);
	} while (lines.n > 0);
}

static void
job_done(struct work *w)
{
	struct job *j = CONTAINER_OF(w, struct job, work);

	if (j->failed)
		request_error(&j->request, &j->err);
	else
		job_answer(j);
	buf_release(&j->result);
	mem_free(j);
}

/* A copy of the span that lives with the job. */
static struct span
keep(struct job *j, struct span s)
{
	memcpy(j->text, s.p, s.n);
	return span_of(j->text, s.n);
}

int
query_handle(struct request *r, struct msg_in *m, struct querier *q)
{
	struct span qid = msg_get(m, F_QID, 15);
	struct span address = msg_get(m, F_ADDRESS, LIMIT_ADDRESS);
	uint64_t trace = msg_get_u64(m, F_TRACE);
	struct job *j;

	if (msg_done(m, NULL) != 0 || request_id(r) == 0 ||
	    (qid.n == 0 && address.n == 0 && trace == 0))
		return -1;
	j = MEM_NEW(j);
	j->work.run = job_run;
	j->work.done = job_done;
	j->request = r;
	j->dir_fd = q->dir_fd;
	j->query.trace = trace;
	if (qid.n > 0)
		j->query.qid = keep(j, qid);
	else if (address.n > 0)
		j->query.address = keep(j, address);
	buf_init(&j->result, TRACE_RESULT_MAX);
	work_submit(q->loop, WORK_OTHER, &j->work);
	return 0;
}
