/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtpd/overload.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "smtpd/service.h"
#include "smtpd/session.h"

enum {
	/* Descriptors that are not for clients: the queue, other daemons, a
	 * file per message being written. */
	FDS_KEPT = 64,
	MEMORY_KEPT = 4 << 20, /* for the sessions there are */
	AGAIN_MS = 100, /* a process that is full looks at the others again */
	FILES_MS = 1000,
	ASK_MS = 1000,  /* between requests for company */
	COMPLAIN_MS = 10000,
};

/* Every descriptor but a few may be a client's. An administrator may change
 * their number while we run. */
static size_t
descriptors(struct service *s)
{
	const uint64_t now = loop_now_ms(s->loop);
	struct rlimit files;

	if (s->overload.files > 0 && now - s->overload.files_ms < FILES_MS)
		return s->overload.files;
	s->overload.files_ms = now;
	if (getrlimit(RLIMIT_NOFILE, &files) != 0)
		s->overload.files = SIZE_MAX;
	else if (files.rlim_cur <= FDS_KEPT * 2)
		s->overload.files = files.rlim_cur / 2;
	else
		s->overload.files = files.rlim_cur - FDS_KEPT;
	return s->overload.files;
}

static size_t
session_limit(struct service *s)
{
	const size_t limit = (size_t)s->conf->smtpd_session_limit;
	const size_t files = descriptors(s);

	return files < limit ? files : limit;
}

/* One session of twenty is kept for those in mynetworks. */
static size_t
public_limit(struct service *s)
{
	const size_t limit = session_limit(s);

	return limit - limit / 20;
}

static unsigned
others_room(const struct service *s)
{
	return shared_table_others_room(s->shared, s->overload.room_key);
}

/* ---- stress ---- */
static void
set_stress(struct service *s, bool on)
{
	s->overload.stress = on;
	s->conf = on ? &s->overload.stressed : s->overload.calm;
	service_set_engine(s);
	if (on)
		log_warning(NULL, "service \"%s\" is under stress: %zu "
		    "sessions, limits of time are short now",
		    daemon_service(s->daemon), s->session_count);
	else
		log_info(NULL, "service \"%s\" is no longer under stress",
		    daemon_service(s->daemon));
	/* Who has not been heard of for long has no longer to wait for. */
	LIST_EACH (&s->sessions, link)
		session_stress(link);
}

/* As in Postfix it begins when no process has room to spare. */
static void
consider_stress(struct service *s, size_t limit)
{
	const size_t n = s->session_count;

	if (!s->overload.stress && n >= limit - limit / 5 &&
	    others_room(s) == 0)
		set_stress(s, true);
	else if (s->overload.stress &&
	    (n < limit - limit / 2 || others_room(s) > limit / 5))
		set_stress(s, false);
}

/* ---- room ---- */
/* Nearly full: master may start another process. */
static void
ask_for_company(struct service *s)
{
	const uint64_t now = loop_now_ms(s->loop);

	if (s->overload.asked_ms != 0 && now - s->overload.asked_ms < ASK_MS)
		return;
	s->overload.asked_ms = now;
	daemon_full(s->daemon);
}

static void
on_again(void *arg)
{
	overload_changed(arg);
}

/* A process that is full leaves the next client to one that is not. When all
 * are full it goes on accepting, and says no: the newest has to go. */
static void
update_accepting(struct service *s, size_t limit)
{
	const bool pause = s->session_count >= limit && others_room(s) > 0;

	if (pause != s->overload.paused)
		daemon_accept(s->daemon, !pause);
	s->overload.paused = pause;
	if (pause)
		timer_start(s->overload.again, AGAIN_MS);
}

void
overload_changed(struct service *s)
{
	const size_t limit = public_limit(s);
	const size_t n = s->session_count;

	if (s->leaving || daemon_leaving(s->daemon)) {
		shared_table_set_room(s->shared, 0, 0);
		return;
	}
	shared_table_set_room(s->shared, s->overload.room_key,
	    n < limit ? (uint32_t)(limit - n) : 0);
	if (n >= limit - limit / 4 && others_room(s) == 0)
		ask_for_company(s);
	consider_stress(s, limit);
	update_accepting(s, limit);
}

/* 421 to one that finds no room; it is not worth waiting for. */
void
overload_turn_away(struct service *s, int fd)
{
	char line[512];
	ssize_t put;
	const int n = snprintf(line, sizeof(line),
	    "421 4.3.2 %s Error: too many connections\r\n",
	    s->common->myhostname);

	if (!s->conf->smtpd_tls_wrappermode) {
		put = send(fd, line, (size_t)n, MSG_DONTWAIT | MSG_NOSIGNAL);
		(void)put;
	}
	close(fd);
	s->overload.turned_away++;
	if (s->overload.complained_ms != 0 &&
	    loop_now_ms(s->loop) - s->overload.complained_ms < COMPLAIN_MS)
		return;
	s->overload.complained_ms = loop_now_ms(s->loop);
	log_warning(NULL, mem_low() ? "memory is low with %zu sessions: %llu "
	    "clients turned away" : "all %zu sessions are in use: %llu "
	    "clients turned away", s->session_count,
	    (unsigned long long)s->overload.turned_away);
	s->overload.turned_away = 0;
}

bool
overload_has_room(struct service *s, int fd)
{
	const size_t limit = session_limit(s);
	struct sockaddr_storage addr = { 0 };
	socklen_t len = sizeof(addr);
	char text[SOCK_ADDR_TEXT];

	if (mem_low())
		return false;
	if (s->session_count < public_limit(s))
		return true;
	if (s->session_count >= limit ||
	    getpeername(fd, (struct sockaddr *)&addr, &len) != 0)
		return false;
	if (addr.ss_family == AF_UNIX)
		return true;
	sock_addr_text((struct sockaddr *)&addr, text);
	return service_trusts(s, text);
}

int
overload_start(struct service *s, struct err *e)
{
	struct overload *o = &s->overload;

	o->calm = s->conf;
	mem_reserve(MEMORY_KEPT);
	if (daemon_fill_with(s->daemon, "stress=yes", &o->stressed, e) != 0)
		return -1;
	o->again = timer_new(s->loop, on_again, s);
	o->room_key = shared_table_key(s->shared, "room",
	    span_str(daemon_service(s->daemon)));
	overload_changed(s);
	return 0;
}
