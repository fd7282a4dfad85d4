/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/user_client.h"

#include "lib/base/limits.h"
#include "lib/base/list.h"
#include "lib/base/mem.h"
#include "lib/base/table.h"
#include "lib/ipc/channel.h"

struct remembered {
	struct user_info info; /* texts are heap */
	uint64_t until_ms;
};

/* One question under way. */
struct question {
	struct list link;
	struct user_client *c;
	struct span name;  /* heap */
	user_client_fn fn; /* or: */
	router_user_fn by_router;
	void *arg;
};

struct user_client {
	struct loop *loop;
	struct client *client;
	struct table cache;
	struct list questions;
	struct router_users users;
	uint64_t present_ms, absent_ms;
};

/* ---- the cache ------------------------------------------------------------
 */

static void
free_text(const char *s)
{
	union {
		const char *from;
		void *to;
	} p = { .from = s };

	mem_free(p.to);
}

static void
remembered_free(struct remembered *r)
{
	if (r == NULL)
		return;
	free_text(r->info.name);
	free_text(r->info.home);
	free_text(r->info.mail);
	free_text(r->info.quota);
	mem_free(r);
}

static void
forget_all(struct user_client *c)
{
	struct table_iter it;
	struct span key;
	void *value;

	table_iter_init(&c->cache, &it);
	while (table_iter_next(&c->cache, &it, &key, &value))
		remembered_free(value);
	table_release(&c->cache);
	table_init(&c->cache);
}

static const struct remembered *
recall(struct user_client *c, struct span name)
{
	struct remembered *r = table_get(&c->cache, name);

	if (r == NULL || loop_now_ms(c->loop) < r->until_ms)
		return r;
	remembered_free(table_remove(&c->cache, name));
	return NULL;
}

static void
remember(struct user_client *c, struct span name, const struct user_info *u)
{
	struct remembered *r = MEM_NEW(r);

	/* Full of names that are asked once: start anew. */
	if (c->cache.count >= USER_CACHE_MAX)
		forget_all(c);
	r->info = *u;
	r->info.name = mem_strdup(u->name);
	r->info.home = mem_strdup(u->home);
	r->info.mail = mem_strdup(u->mail);
	r->info.quota = mem_strdup(u->quota);
	r->until_ms =
	    loop_now_ms(c->loop) + (u->found ? c->present_ms : c->absent_ms);
	remembered_free(table_put(&c->cache, name, r));
}

void
user_client_forget(struct user_client *c, struct span name)
{
	remembered_free(table_remove(&c->cache, name));
}

void
user_client_quota(struct user_client *c, const char *name, bool full)
{
	struct msg_out m;

	user_client_forget(c, span_str(name));
	msg_begin(&m, MSG_QUOTA, 0, 0);
	msg_put_str(&m, F_USER, name);
	msg_put_u64(&m, F_OVER_QUOTA, full);
	client_notify(c->client, &m);
	msg_out_release(&m);
}

/* ---- questions ------------------------------------------------------------
 */

static void
question_free(struct question *q)
{
	union {
		const uint8_t *from;
		void *to;
	} p = { .from = q->name.p };

	list_remove(&q->link);
	mem_free(p.to);
	mem_free(q);
}

/* Tells the one who asked; that may free the client. */
static void
tell(user_client_fn fn, router_user_fn by_router, void *arg,
    const struct user_info *u, const struct err *e)
{
	if (fn != NULL) {
		fn(arg, u, e);
	} else if (u != NULL) {
		const struct router_user user = { .found = u->found,
			.over_quota = u->over_quota };
		by_router(arg, &user, NULL);
	} else {
		by_router(arg, NULL, e);
	}
}

/* The texts of an answer. */
struct answer {
	char name[LIMIT_ADDRESS], home[LIMIT_PATH], mail[LIMIT_PATH];
	char quota[200];
};

static int
read_answer(
    struct msg_in *m, struct answer *a, struct user_info *u, struct err *e)
{
	*u = (struct user_info){ .uid = (uid_t)-1, .gid = (gid_t)-1,
		.name = a->name, .home = a->home, .mail = a->mail,
		.quota = a->quota };
	u->found = msg_get_u64(m, F_FOUND) == 1;
	u->over_quota = msg_get_u64(m, F_OVER_QUOTA) == 1;
	if (u->found) {
		u->uid = (uid_t)msg_get_u32(m, F_UID);
		u->gid = (gid_t)msg_get_u32(m, F_GID);
	}
	msg_get_str(m, F_USER, a->name, sizeof(a->name));
	msg_get_str(m, F_HOME, a->home, sizeof(a->home));
	msg_get_str(m, F_MAIL, a->mail, sizeof(a->mail));
	msg_get_str(m, F_QUOTA, a->quota, sizeof(a->quota));
	if (m->type != MSG_USER_INFO)
		return err_set(e, ERR_TEMP, "4.3.0", "unexpected answer");
	return msg_done(m, e);
}

static void
got_answer(void *arg, struct msg_in *m, const struct err *failure)
{
	struct question *q = arg;
	struct answer texts;
	struct user_info u;
	struct err e, said;

	if (m != NULL && read_answer(m, &texts, &u, &e) < 0)
		failure = &e;
	/* Whatever went wrong: nobody said "unknown". */
	if (failure != NULL)
		err_set(&said, ERR_TEMP, "4.3.0",
		    "user database is unavailable (%s)", failure->text);
	else
		remember(q->c, q->name, &u);
	const user_client_fn fn = q->fn;
	const router_user_fn by_router = q->by_router;
	void *const whose = q->arg;
	question_free(q);
	tell(fn, by_router, whose, failure == NULL ? &u : NULL, &said);
}

static void
ask(struct user_client *c, struct span name, uint64_t trace,
    user_client_fn fn, router_user_fn by_router, void *arg)
{
	const struct remembered *r = recall(c, name);
	struct msg_out m;

	if (r != NULL) {
		tell(fn, by_router, arg, &r->info, NULL);
		return;
	}
	struct question *q = MEM_NEW(q);
	*q = (struct question){ .c = c,
		.name = span_of(span_dup(name), name.n),
		.fn = fn,
		.by_router = by_router,
		.arg = arg };
	list_push(&c->questions, &q->link);
	msg_begin(&m, MSG_USER, 0, trace);
	msg_put(&m, F_USER, name);
	client_ask(c->client, &m, USER_TIMEOUT_MS, got_answer, q);
	msg_out_release(&m);
}

void
user_client_ask(
    struct user_client *c, struct span name, uint64_t trace,
    user_client_fn fn, void *arg)
{
	ask(c, name, trace, fn, NULL, arg);
}

void
user_client_cancel(struct user_client *c, const void *arg)
{
	LIST_EACH(&c->questions, link)
	{
		struct question *q = CONTAINER_OF(link, struct question, link);
		if (q->arg == arg) {
			client_cancel(c->client, q);
			question_free(q);
		}
	}
}

/* ---- for the router -------------------------------------------------------
 */

static void
router_lookup(void *ctx, struct span name, uint64_t trace, router_user_fn fn,
    void *arg)
{
	ask(ctx, name, trace, NULL, fn, arg);
}

static void
router_forget(void *ctx, const void *arg)
{
	user_client_cancel(ctx, arg);
}

const struct router_users *
user_client_users(struct user_client *c)
{
	return &c->users;
}

void
user_client_set_times(
    struct user_client *c, uint64_t present_ms, uint64_t absent_ms)
{
	c->present_ms = present_ms;
	c->absent_ms = absent_ms;
}

/* ---- new and free ---------------------------------------------------------
 */

struct user_client *
user_client_new(struct loop *loop, const char *path)
{
	const struct client_options o = { .path = path, .peer = "auth" };
	struct user_client *c = MEM_NEW(c);

	c->loop = loop;
	c->present_ms = USER_PRESENT_MS;
	c->absent_ms = USER_ABSENT_MS;
	c->client = client_new(loop, &o);
	c->users = (struct router_users){ router_lookup, router_forget, c };
	table_init(&c->cache);
	list_init(&c->questions);
	return c;
}

void
user_client_free(struct user_client **c)
{
	struct user_client *self = *c;

	if (self == NULL)
		return;
	LIST_EACH(&self->questions, link)
	{
		struct question *q = CONTAINER_OF(link, struct question, link);
		client_cancel(self->client, q);
		question_free(q);
	}
	client_free(&self->client);
	forget_all(self);
	table_release(&self->cache);
	mem_free(self);
	*c = NULL;
}
