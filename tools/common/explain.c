/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/common/explain.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/ipc/channel.h"
#include "lib/mail/router.h"
#include "lib/os/log.h"
#include "lib/queue/queue.h"
#include "tools/common/tool.h"

enum { ASK_MS = 10000 };

/* ---- users, without a loop ------------------------------------------------
 */

struct asker {
	const struct common_conf *common;
	char unasked[300]; /* why nobody could be asked, or "" */
};

static int
ask_auth(const struct asker *a, struct span name, uint64_t trace,
    struct router_user *out, struct err *e)
{
	char *path = mem_printf("%s/private/auth", a->common->queue_directory);
	struct msg_out m;
	struct msg_in answer;
	struct buf store;
	int fd = -1;

	int rc = sync_connect(path, ASK_MS, &fd, e);
	mem_free(path);
	if (rc < 0)
		return -1;
	buf_init(&store, LIMIT_IPC_MESSAGE);
	msg_begin(&m, MSG_USER, 1, trace);
	msg_put(&m, F_USER, name);
	rc = sync_call(fd, &m, &store, &answer, ASK_MS, e);
	if (rc == 0) {
		out->found = msg_get_u64(&answer, F_FOUND) == 1;
		out->over_quota = msg_get_u64(&answer, F_OVER_QUOTA) == 1;
		msg_in_release(&answer);
	}
	msg_out_release(&m);
	buf_release(&store);
	close(fd);
	return rc;
}

static void
lookup(
    void *ctx, struct span name, uint64_t trace, router_user_fn fn, void *arg)
{
	struct asker *a = ctx;
	struct router_user u = { .found = false };
	struct err e;

	if (ask_auth(a, name, trace, &u, &e) < 0) {
		snprintf(a->unasked, sizeof(a->unasked), "%s", e.text);
		fn(arg, NULL, &e);
		return;
	}
	printf("  user %s: %s\n", log_quote(name, LIMIT_ADDRESS),
	    u.found ? u.over_quota ? "there, over quota" : "there" : "unknown");
	fn(arg, &u, NULL);
}

static void
cancel(void *ctx, const void *arg)
{
	(void)ctx;
	(void)arg;
}

/* ---- printing -------------------------------------------------------------
 */

static const char *
shown(struct span s)
{
	return log_quote(s, 1000);
}

static void
print_result(void *arg, const struct route_result *r)
{
	unsigned *code = arg;

	*code = r->code;
	if (r->class_known)
		printf("  %s: %s%s\n", route_class_name(r->class),
		    r->reason.n > 0 ? shown(r->reason)
				    : "no parameter names its domain",
		    r->ours ? "" : "; only for those who may relay");
	for (size_t i = 0; i < r->count; i++) {
		const struct route *t = &r->routes[i];
		printf("  -> %s by %s to %s%s\n", shown(t->address),
		    shown(t->transport), shown(t->nexthop),
		    t->flags & RCPT_ALIAS ? ", an alias" : "");
		if (t->reason.n > 0)
			printf("     %s\n", shown(t->reason));
	}
	if (r->code != 0)
		printf(
		    "  refused: %u %s %s\n", r->code, r->err.dsn, r->err.text);
}

int
explain_address(
    struct conf *c, const struct common_conf *common, const char *address)
{
	struct asker asker = { .common = common };
	const struct router_users users = { lookup, cancel, &asker };
	const uint64_t trace = log_trace_new();
	struct router *r = NULL;
	unsigned code = 0;
	struct err e;

	if (router_open(c, &users, &r, &e) < 0)
		tool_fatal("%s", e.text);
	printf("%s\n", shown(span_str(address)));
	router_resolve(r, span_str(address), ROUTER_CHECK_USER, trace,
	    print_result, &code);
	if (asker.unasked[0] != '\0') {
		printf("  users can't be asked (%s); without that:\n",
		    asker.unasked);
		router_resolve(
		    r, span_str(address), 0, trace, print_result, &code);
	}
	router_free(&r);
	return code == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
