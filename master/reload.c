/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "master/master.h"

#include <stdio.h>
#include <string.h>

#include "lib/os/log.h"
#include "lib/os/notify.h"

static struct service *
service_by_key(struct master *m, const char *key)
{
	LIST_EACH(&m->services, link)
	{
		struct service *s = CONTAINER_OF(link, struct service, link);

		if (!s->removed && strcmp(s->plan->key, key) == 0)
			return s;
	}
	return NULL;
}

/* ---- taking the new plans ---- */
static void
remove_missing(struct master *m, struct config *next)
{
	LIST_EACH(&m->services, link)
	{
		struct service *s = CONTAINER_OF(link, struct service, link);

		if (s->removed || plan_by_key(next, s->plan->key) != NULL)
			continue;
		s->removed = true;
		service_unlisten(s);
		timer_stop(s->wakeup);
		timer_stop(s->throttle);
		LIST_EACH(&s->children, one)
		child_leave(CONTAINER_OF(one, struct child, link));
		if (list_empty(&s->children))
			service_free(&s);
	}
}

static void
take_plan(struct master *m, struct plan *p)
{
	struct service *s = service_by_key(m, p->key);
	bool changed;

	if (s == NULL) {
		service_tend(service_new(m, p));
		return;
	}
	changed = strcmp(s->plan->fingerprint, p->fingerprint) != 0 ||
		  s->plan->user.uid != p->user.uid;
	s->plan = p;
	service_listen(s);
	keys_load(s);
	if (p->wakeup_s > 0)
		timer_start(s->wakeup, (uint64_t)p->wakeup_s * 1000);
	else
		timer_stop(s->wakeup);
	if (changed)
		service_replace(s);
	else
		service_tend(s);
}

/* Services that leave still name plans of the old configuration. */
static bool
still_used(struct master *m, const struct config *old)
{
	LIST_EACH(&m->services, link)
	{
		struct service *s = CONTAINER_OF(link, struct service, link);
		const struct list *plans = &old->plans;

		if (!s->removed)
			continue;
		for (const struct list *l = plans->next; l != plans;
		     l = l->next)
			if (l == &s->plan->link)
				return true;
	}
	return false;
}

static int
replace_all(struct master *m, struct err *e)
{
	struct config *next, *old = m->config;

	if (config_load(m->dir, &next, e) != 0)
		return -1;
	if (strcmp(next->common.queue_directory, old->common.queue_directory) !=
	    0) {
		config_free(&next);
		return err_set(e, ERR_PERM, "5.3.5",
		    "queue_directory changes only with a restart");
	}
	if (listeners_bind(m, next, e) != 0) {
		config_free(&next);
		return -1;
	}
	m->generation++;
	m->config = next;
	config_warn(next);
	tickets_reload(m);
	remove_missing(m, next);
	LIST_EACH(&next->plans, link)
	take_plan(m, CONTAINER_OF(link, struct plan, link));
	listeners_trim(m);
	keys_check_all(m);
	keys_watch(m);
	/* A few kilobytes; only a reload while a removed service still has
	 * sessions keeps them. */
	if (!still_used(m, old))
		config_free(&old);
	return 0;
}

/* One service, whatever its parameters: new processes for it. */
static int
replace_one(struct master *m, const char *name, struct err *e)
{
	bool found = false;

	m->generation++;
	LIST_EACH(&m->services, link)
	{
		struct service *s = CONTAINER_OF(link, struct service, link);

		if (s->removed || strcmp(s->plan->name, name) != 0)
			continue;
		found = true;
		service_replace(s);
	}
	if (!found)
		return err_set(
		    e, ERR_PERM, "5.3.5", "no such service: %s", name);
	return 0;
}

static void
settle_later(void *arg)
{
	settle(arg);
}

int
reload(struct master *m, const char *only, struct err *e)
{
	int ret;

	if (m->stopping)
		return err_set(e, ERR_TEMP, "4.3.2", "the system is stopping");
	log_info(NULL, "reload -- version %s, configuration %s",
	    m->config->common.mail_version, m->dir);
	notify_reloading();
	m->reloading = true;
	ret = only != NULL ? replace_one(m, only, e) : replace_all(m, e);
	timer_start(m->settle_timer, START_MS);
	if (ret != 0)
		log_error(
		    NULL, "reload: %s -- the old configuration stays", e->text);
	/* Not from in here: the caller may yet put itself on the list of
	 * those who wait. */
	loop_later(m->loop, settle_later, m);
	return ret;
}

/* ---- when all is in place ---- */
static bool
settled(struct master *m)
{
	if (!timer_active(m->settle_timer))
		return true;
	LIST_EACH(&m->services, link)
	if (!service_settled(CONTAINER_OF(link, struct service, link)))
		return false;
	return true;
}

static unsigned
count_services(struct master *m)
{
	unsigned n = 0;

	LIST_EACH(&m->services, link)
	n += !CONTAINER_OF(link, struct service, link)->removed;
	return n;
}

void
settle(struct master *m)
{
	char status[64];

	if (m->stopping || (m->started && !m->reloading) || !settled(m))
		return;
	timer_stop(m->settle_timer);
	m->reloading = false;
	snprintf(status, sizeof(status), "%u services", count_services(m));
	notify_ready(status);
	if (!m->started)
		master_started(m);
	admin_answer_waiting(m);
}
