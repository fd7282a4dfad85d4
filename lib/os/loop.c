/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/loop.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

#include "lib/os/loop_uv.h"

/* Watches of descriptors below this number are kept for the next descriptor
 * with the same number. */
enum { KEPT_FDS = 1024 };

struct loop {
	uv_loop_t uv;
	uv_async_t wake; /* also keeps an otherwise empty loop running */
	uv_idle_t idle;	 /* runs while there is something deferred */
	uv_check_t check; /* runs while a shared watch is to be made one */
	uv_idle_t hurry;  /* that long the loop does not sleep */
	struct list unshared; /* those, struct watch */
	struct list deferred;
	struct list signals;
	struct list orphans;
	loop_later_fn on_wake;
	bool stopping;
	struct watch *kept[KEPT_FDS]; /* by descriptor; NULL: none */
};

struct timer {
	uv_timer_t uv;
	timer_fn fn;
	void *arg;
	uint64_t due_ms, armed_ms; /* see timer_start */
};

struct watch {
	uv_poll_t uv;
	struct loop *loop;
	int fd;
	watch_fn fn;
	void *arg;
	int events;
	bool shared;
	struct list unshared; /* in the loop's list, or alone */
};

struct signal_watch {
	uv_signal_t uv;
	struct list link;
	loop_signal_fn fn;
	void *arg;
};

struct later {
	struct deferred d;
	loop_later_fn fn;
	void *arg;
};

/* libuv fails these calls only for arguments that we got wrong, or when the
 * process is out of descriptors at its very start. */
static void
must(int rc)
{
	BUG_ON(rc != 0);
}

/* ---- the loop ---- */
static void
on_wake(uv_async_t *h)
{
	struct loop *loop = h->data;

	if (loop->on_wake != NULL)
		loop->on_wake(loop);
}

/* Runs what was deferred before this round; what those calls defer comes in
 * the next one, so that nobody starves the sockets. */
static void
on_idle(uv_idle_t *h)
{
	struct loop *loop = h->data;
	struct list now;
	struct list *link;

	list_init(&now);
	if (!list_empty(&loop->deferred)) {
		list_insert(&loop->deferred, &now);
		list_remove(&loop->deferred);
	}
	while ((link = list_first(&now)) != NULL) {
		struct deferred *d = CONTAINER_OF(link, struct deferred, link);

		list_remove(link);
		d->fn(d->arg);
	}
	if (list_empty(&loop->deferred))
		uv_idle_stop(&loop->idle);
}

static void *
library_resize(void *p, size_t n)
{
	return mem_resize(p, n, 1);
}

static void *
library_zalloc(size_t count, size_t size)
{
	BUG_ON(size > 0 && count > SIZE_MAX / size);
	return mem_zalloc(count * size);
}

struct loop *
loop_new(void)
{
	struct loop *loop = MEM_NEW(loop);

	/* io_uring would run file operations past our seccomp filter. */
	setenv("UV_USE_IO_URING", "0", 1);
	signal(SIGPIPE, SIG_IGN);
	list_init(&loop->deferred);
	list_init(&loop->signals);
	list_init(&loop->orphans);
	/* Where the library finds no memory it aborts. */
	must(uv_replace_allocator(mem_alloc, library_resize, library_zalloc,
	    mem_free));
	must(uv_loop_init(&loop->uv));
	must(uv_async_init(&loop->uv, &loop->wake, on_wake));
	must(uv_idle_init(&loop->uv, &loop->idle));
	must(uv_check_init(&loop->uv, &loop->check));
	must(uv_idle_init(&loop->uv, &loop->hurry));
	list_init(&loop->unshared);
	loop->wake.data = loop->idle.data = loop->check.data = loop;
	return loop;
}

static void
free_handle(uv_handle_t *h)
{
	mem_free(h->data);
}

static void
close_any(uv_handle_t *h, void *arg)
{
	(void)arg;
	if (!uv_is_closing(h))
		uv_close(h, NULL);
}

static void
later_free(struct later *l)
{
	list_remove(&l->d.link);
	mem_free(l);
}

static void
run_later(void *arg)
{
	struct later *l = arg;
	const loop_later_fn fn = l->fn;
	void *fn_arg = l->arg;

	later_free(l);
	fn(fn_arg);
}

void
loop_free(struct loop **ref)
{
	struct loop *loop = *ref;

	if (loop == NULL)
		return;
	*ref = NULL;
	LIST_EACH(&loop->deferred, link)
	{
		struct deferred *d = CONTAINER_OF(link, struct deferred, link);

		list_remove(link);
		if (d->fn == run_later)
			later_free(d->arg);
	}
	LIST_EACH(&loop->orphans, link)
	{
		struct deferred *d = CONTAINER_OF(link, struct deferred, link);

		list_remove(link);
		d->fn(d->arg);
	}
	for (int fd = 0; fd < KEPT_FDS; fd++)
		if (loop->kept[fd] != NULL)
			uv_close(
			    (uv_handle_t *)&loop->kept[fd]->uv, free_handle);
	uv_walk(&loop->uv, close_any, NULL);
	while (uv_run(&loop->uv, UV_RUN_DEFAULT) != 0)
		;
	must(uv_loop_close(&loop->uv));
	LIST_EACH(&loop->signals, link)
	mem_free(CONTAINER_OF(link, struct signal_watch, link));
	mem_free(loop);
}

void
loop_forget(void)
{
	uv_library_shutdown();
}

void
loop_run(struct loop *loop)
{
	while (!loop->stopping)
		uv_run(&loop->uv, UV_RUN_DEFAULT);
	loop->stopping = false;
}

void
loop_stop(struct loop *loop)
{
	loop->stopping = true;
	uv_stop(&loop->uv);
}

uint64_t
loop_now_ms(const struct loop *loop)
{
	return uv_now(&loop->uv);
}

uv_loop_t *
loop_uv(struct loop *loop)
{
	return &loop->uv;
}

void
loop_set_wake(struct loop *loop, loop_later_fn fn)
{
	loop->on_wake = fn;
}

void
loop_wake(struct loop *loop)
{
	must(uv_async_send(&loop->wake));
}

/* ---- the wall clock ---- */
static int64_t clock_offset_us;

static void
read_clock_offset(void)
{
	const char *text = getenv("CHAPPE_CLOCK_OFFSET_S");

	if (text != NULL)
		clock_offset_us = strtoll(text, NULL, 10) * 1000000;
}

int64_t
clock_wall_us(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct timespec ts;

	pthread_once(&once, read_clock_offset);
	clock_gettime(CLOCK_REALTIME, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000 +
	       clock_offset_us;
}

/* ---- timers ---- */
static void on_timer(uv_timer_t *h);

static void
arm_timer(struct timer *t)
{
	const uint64_t now = uv_now(t->uv.loop);

	t->armed_ms = t->due_ms;
	must(uv_timer_start(&t->uv, on_timer, t->due_ms - now, 0));
}

static void
on_timer(uv_timer_t *h)
{
	struct timer *t = h->data;

	if (t->due_ms > uv_now(h->loop))
		arm_timer(t);
	else
		t->fn(t->arg);
}

struct timer *
timer_new(struct loop *loop, timer_fn fn, void *arg)
{
	struct timer *t = MEM_NEW(t);

	must(uv_timer_init(&loop->uv, &t->uv));
	t->uv.data = t;
	t->fn = fn;
	t->arg = arg;
	return t;
}

void
timer_start(struct timer *t, uint64_t ms)
{
	/* From now, not from when this round began: a round may be long. */
	uv_update_time(t->uv.loop);
	t->due_ms = uv_now(t->uv.loop) + ms;
	if (t->due_ms < ms)
		t->due_ms = UINT64_MAX;
	/* Most timers are put off time and again and never fire: one that does
	 * looks whether it was. */
	if (!timer_active(t) || t->due_ms < t->armed_ms)
		arm_timer(t);
}

void
timer_stop(struct timer *t)
{
	uv_timer_stop(&t->uv);
}

bool
timer_active(const struct timer *t)
{
	return uv_is_active((const uv_handle_t *)&t->uv);
}

void
timer_free(struct timer **ref)
{
	struct timer *t = *ref;

	if (t == NULL)
		return;
	*ref = NULL;
	uv_close((uv_handle_t *)&t->uv, free_handle);
}

/* ---- descriptors ---- */
static void on_poll(uv_poll_t *h, int status, int events);

/* ---- those that several processes watch ---- */

/* libuv has no EPOLLEXCLUSIVE, which can't be set on a descriptor that is
 * watched already: it is taken out of libuv's epoll descriptor and put in
 * anew, behind libuv's back, which never changes what it waits for of such a
 * descriptor and takes it out by its number. As it goes in last, the other
 * processes are woken first the next time. */
static bool
enter_shared(struct watch *w, struct loop *loop)
{
	const int epoll = uv_backend_fd(&loop->uv);
	struct epoll_event e = { .events = EPOLLIN | EPOLLEXCLUSIVE };

	e.data.fd = w->fd;
	/* Not there: libuv has not got to it yet. */
	if (epoll_ctl(epoll, EPOLL_CTL_DEL, w->fd, &e) != 0)
		return false;
	BUG_ON(epoll_ctl(epoll, EPOLL_CTL_ADD, w->fd, &e) != 0);
	return true;
}

/* libuv has waited, and so has put all watches in, but for those that were
 * set in this very round. */
static void
on_check(uv_check_t *h)
{
	struct loop *loop = h->data;

	LIST_EACH(&loop->unshared, link)
	{
		if (enter_shared(
			CONTAINER_OF(link, struct watch, unshared), loop))
			list_remove(link);
	}
	if (!list_empty(&loop->unshared))
		return;
	uv_check_stop(h);
	uv_idle_stop(&loop->hurry);
}

static void
on_hurry(uv_idle_t *h)
{
	(void)h;
}

static void
share_later(struct watch *w)
{
	struct loop *loop = w->loop;

	list_remove(&w->unshared);
	list_push(&loop->unshared, &w->unshared);
	must(uv_check_start(&loop->check, on_check));
	must(uv_idle_start(&loop->hurry, on_hurry));
}

void
watch_shared(struct watch *w)
{
	w->shared = true;
}

void
watch_yield(struct watch *w)
{
	if (w->shared && w->events != 0 && list_empty(&w->unshared))
		enter_shared(w, w->loop);
}

static void
arm(struct watch *w)
{
	int events = 0;

	BUG_ON(w->shared && (w->events & WATCH_WRITE));

	if (w->events & WATCH_READ)
		events |= UV_READABLE;
	if (w->events & WATCH_WRITE)
		events |= UV_WRITABLE;
	list_remove(&w->unshared);
	if (events == 0) {
		uv_poll_stop(&w->uv);
		return;
	}
	must(uv_poll_start(&w->uv, events, on_poll));
	if (w->shared)
		share_later(w);
}

static void
on_poll(uv_poll_t *h, int status, int events)
{
	struct watch *w = h->data;
	int seen = 0;

	if (status < 0) {
		/* libuv stopped the handle: set it again, for who asked for
		 * events gets them until it says otherwise. */
		arm(w);
		seen = WATCH_READ | WATCH_WRITE;
	}
	if (events & UV_READABLE)
		seen |= WATCH_READ;
	if (events & UV_WRITABLE)
		seen |= WATCH_WRITE;
	if (seen != 0)
		w->fn(w->arg, seen);
}

/* libuv tries each new descriptor, which takes three system calls; one that it
 * knows by its number it believes to be of the same kind. */
static struct watch *
take_kept(struct loop *loop, int fd)
{
	struct watch *w = fd < KEPT_FDS ? loop->kept[fd] : NULL;

	if (w != NULL)
		loop->kept[fd] = NULL;
	return w;
}

static bool
keep(struct watch *w)
{
	if (w->fd >= KEPT_FDS || w->loop->kept[w->fd] != NULL)
		return false;
	uv_poll_stop(&w->uv);
	w->loop->kept[w->fd] = w;
	return true;
}

struct watch *
watch_new(struct loop *loop, int fd, watch_fn fn, void *arg)
{
	struct watch *w = take_kept(loop, fd);

	if (w == NULL) {
		w = MEM_NEW(w);
		must(uv_poll_init(&loop->uv, &w->uv, fd));
		w->uv.data = w;
		w->loop = loop;
		w->fd = fd;
		list_init(&w->unshared);
	}
	w->events = 0;
	w->shared = false;
	w->fn = fn;
	w->arg = arg;
	return w;
}

void
watch_set(struct watch *w, int events)
{
	if (events == w->events)
		return;
	w->events = events;
	arm(w);
}

void
watch_free(struct watch **ref)
{
	struct watch *w = *ref;

	if (w == NULL)
		return;
	*ref = NULL;
	list_remove(&w->unshared);
	if (!keep(w))
		uv_close((uv_handle_t *)&w->uv, free_handle);
}

/* ---- signals and later ---- */
static void
on_signal(uv_signal_t *h, int signo)
{
	struct signal_watch *s = h->data;

	s->fn(signo, s->arg);
}

void
loop_signal(struct loop *loop, int signo, loop_signal_fn fn, void *arg)
{
	struct signal_watch *s = MEM_NEW(s);

	must(uv_signal_init(&loop->uv, &s->uv));
	s->uv.data = s;
	s->fn = fn;
	s->arg = arg;
	list_push(&loop->signals, &s->link);
	must(uv_signal_start(&s->uv, on_signal, signo));
}

void
deferred_init(struct deferred *d, loop_later_fn fn, void *arg)
{
	list_init(&d->link);
	d->fn = fn;
	d->arg = arg;
}

void
deferred_set(struct loop *loop, struct deferred *d)
{
	if (!list_empty(&d->link))
		return;
	list_push(&loop->deferred, &d->link);
	must(uv_idle_start(&loop->idle, on_idle));
}

void
deferred_cancel(struct deferred *d)
{
	list_remove(&d->link);
}

void
loop_orphan(struct loop *loop, struct deferred *d, loop_later_fn fn)
{
	list_remove(&d->link);
	d->fn = fn;
	list_push(&loop->orphans, &d->link);
}

void
loop_later(struct loop *loop, loop_later_fn fn, void *arg)
{
	struct later *l = MEM_NEW(l);

	l->fn = fn;
	l->arg = arg;
	deferred_init(&l->d, run_later, l);
	deferred_set(loop, &l->d);
}
