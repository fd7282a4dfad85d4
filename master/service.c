/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "master/master.h"

#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"

enum { COMPLAIN_MS = 60000 };

/* ---- counting ---- */
unsigned
service_running(const struct service *s)
{
	unsigned n = 0;

	for (const struct list *l = s->children.next; l != &s->children;
	     l = l->next) {
		const struct child *c = (const struct child *)(const void *)l;

		n += c->current && c->state != CHILD_LEAVING;
	}
	return n;
}

_Static_assert(offsetof(struct child, link) == 0,
    "service_running steps through the links");

static bool
has_old(struct service *s)
{
	LIST_EACH(&s->children, link)
	{
		struct child *c = CONTAINER_OF(link, struct child, link);

		if (!c->current || c->state == CHILD_LEAVING)
			return true;
	}
	return false;
}

static bool
has_starting(const struct service *s)
{
	for (const struct list *l = s->children.next; l != &s->children;
	     l = l->next) {
		const struct child *c = (const struct child *)(const void *)l;

		if (c->state == CHILD_STARTING)
			return true;
	}
	return false;
}

static bool
at_limit(const struct service *s)
{
	return s->plan->limit > 0 &&
	       service_running(s) >= (unsigned)s->plan->limit;
}

/* ---- watching for clients ---- */
static void
watch_listeners(struct service *s, bool on)
{
	for (size_t i = 0; i < s->listener_count; i++)
		watch_set(s->watches[i], on ? WATCH_READ : 0);
}

static void
on_listener(void *arg, int events)
{
	struct service *s = arg;

	(void)events;
	s->due = true;
	service_tend(s);
}

void
service_unlisten(struct service *s)
{
	for (size_t i = 0; i < s->listener_count; i++)
		watch_free(&s->watches[i]);
	mem_free(s->watches);
	mem_free(s->listeners);
	s->watches = NULL;
	s->listeners = NULL;
	s->listener_count = 0;
}

void
service_listen(struct service *s)
{
	size_t n = 0;

	service_unlisten(s);
	LIST_EACH(&s->plan->sockets, link)
	n++;
	s->listeners = mem_zalloc(n * sizeof(*s->listeners));
	s->watches = mem_zalloc(n * sizeof(struct watch *));
	LIST_EACH(&s->plan->sockets, link)
	{
		const struct socket_spec *spec =
		    CONTAINER_OF(link, struct socket_spec, link);
		struct listener *l = listeners_find(s->master, spec->key);

		if (l == NULL) /* an optional one, not there */
			continue;
		s->listeners[s->listener_count] = l;
		s->watches[s->listener_count] =
		    watch_new(s->master->loop, l->fd, on_listener, s);
		s->listener_count++;
	}
}

/* ---- starting, and not starting too often ---- */
static void
on_throttle(void *arg)
{
	struct service *s = arg;

	s->due |= s->plan->boot;
	service_tend(s);
	settle(s->master);
}

static void
throttle(struct service *s)
{
	s->throttle_ms =
	    s->throttle_ms == 0 ? THROTTLE_FIRST_MS : s->throttle_ms * 2;
	if (s->throttle_ms > THROTTLE_MAX_MS)
		s->throttle_ms = THROTTLE_MAX_MS;
	log_warning(
	    NULL, "%s: bad command startup -- throttling", s->plan->path);
	timer_start(s->throttle, s->throttle_ms);
	watch_listeners(s, false);
}

static void
start(struct service *s)
{
	struct err e;

	s->due = false;
	s->used = true;
	if (child_start(s, &e) == 0)
		return;
	log_warning(NULL, "service %s: %s", s->plan->name, e.text);
	throttle(s);
}

void
service_tend(struct service *s)
{
	const bool may = !s->master->stopping && !s->removed &&
			 !timer_active(s->throttle) &&
			 !(s->plan->program->single && has_old(s));

	if (may && service_running(s) == 0 && s->due)
		start(s);
	watch_listeners(
	    s, may && service_running(s) == 0 && !timer_active(s->throttle));
}

static void
on_wakeup(void *arg)
{
	struct service *s = arg;
	bool told = false;

	timer_start(s->wakeup, (uint64_t)s->plan->wakeup_s * 1000);
	LIST_EACH(&s->children, link)
	{
		struct child *c = CONTAINER_OF(link, struct child, link);

		if (told || !c->current || c->state != CHILD_READY)
			continue;
		child_tell(c, MSG_WAKE);
		told = true;
	}
	if (told || service_running(s) > 0 ||
	    (s->plan->wakeup_if_used && !s->used))
		return;
	s->due = true;
	service_tend(s);
}

struct service *
service_new(struct master *m, struct plan *plan)
{
	struct service *s = MEM_NEW(s);

	s->master = m;
	s->plan = plan;
	s->generation = m->generation;
	list_init(&s->children);
	s->wakeup = timer_new(m->loop, on_wakeup, s);
	s->throttle = timer_new(m->loop, on_throttle, s);
	s->due = plan->boot;
	list_push(&m->services, &s->link);
	service_listen(s);
	keys_load(s);
	if (plan->wakeup_s > 0)
		timer_start(s->wakeup, (uint64_t)plan->wakeup_s * 1000);
	return s;
}

void
service_free(struct service **ref)
{
	struct service *s = *ref;

	*ref = NULL;
	BUG_ON(!list_empty(&s->children));
	service_unlisten(s);
	timer_free(&s->wakeup);
	timer_free(&s->throttle);
	keys_free(&s->keys);
	list_remove(&s->link);
	mem_free(s);
}

/* ---- generations ---- */
/* Of too many generations that are leaving the oldest must end its sessions
 * at their next pause. */
static void
hurry_oldest(struct service *s)
{
	unsigned oldest = UINT32_MAX, count = 0, last = 0;

	LIST_EACH(&s->children, link)
	{
		struct child *c = CONTAINER_OF(link, struct child, link);

		if (c->current)
			continue;
		/* Children stand in the order of their start. */
		count += c->generation != last;
		last = c->generation;
		if (c->generation < oldest)
			oldest = c->generation;
	}
	if (count <= GENERATIONS_OLD)
		return;
	LIST_EACH(&s->children, link)
	{
		struct child *c = CONTAINER_OF(link, struct child, link);

		if (!c->current && c->generation == oldest)
			child_hurry(c);
	}
}

static void
leave_old(struct service *s)
{
	LIST_EACH(&s->children, link)
	{
		struct child *c = CONTAINER_OF(link, struct child, link);

		if (!c->current)
			child_leave(c);
	}
	hurry_oldest(s);
}

void
service_replace(struct service *s)
{
	const bool ran = service_running(s) > 0;

	s->generation = s->master->generation;
	s->throttle_ms = 0;
	timer_stop(s->throttle);
	LIST_EACH(&s->children, link)
	CONTAINER_OF(link, struct child, link)->current = false;
	s->due = ran || s->plan->boot;
	/* Others serve until their successor is ready. */
	if (s->plan->program->single)
		leave_old(s);
	service_tend(s);
}

void
service_child_ready(struct service *s)
{
	leave_old(s);
	settle(s->master);
}

/* ---- deaths ---- */
static void
count_death(struct service *s, const struct child *c)
{
	const uint64_t now = loop_now_ms(s->master->loop);

	if (now - c->started_ms > DEATHS_WINDOW_MS)
		s->throttle_ms = 0;
	if (now - s->deaths_since_ms > DEATHS_WINDOW_MS) {
		s->deaths_since_ms = now;
		s->deaths = 0;
	}
	if (++s->deaths > DEATHS_MAX || !c->was_ready)
		throttle(s);
}

void
service_child_ended(struct service *s, const struct child *c, bool in_order)
{
	struct master *m = s->master;

	if (!in_order && !m->stopping && c->state != CHILD_LEAVING &&
	    c->current) {
		count_death(s, c);
		s->due |= s->plan->boot;
	}
	if (s->removed && list_empty(&s->children))
		service_free(&s);
	else
		service_tend(s);
	settle(m);
	master_quit_if_done(m);
}

static bool
may_grow(const struct service *s)
{
	return !s->master->stopping && !s->removed &&
	       !timer_active(s->throttle) && !has_starting(s);
}

void
service_company(struct service *s)
{
	if (may_grow(s) &&
	    service_running(s) < (unsigned)s->plan->company)
		start(s);
}

void
service_full(struct service *s)
{
	const uint64_t now = loop_now_ms(s->master->loop);

	if (!may_grow(s))
		return;
	if (!at_limit(s)) {
		start(s);
		return;
	}
	if (s->complained_ms != 0 && now - s->complained_ms < COMPLAIN_MS)
		return;
	s->complained_ms = now;
	log_warning(NULL,
	    "service \"%s\" has reached its process limit "
	    "\"%d\": new clients may experience noticeable delays",
	    s->plan->name, s->plan->limit);
}

bool
service_settled(const struct service *s)
{
	if (s->removed || timer_active(s->throttle))
		return true;
	return !s->due && !has_starting(s);
}
