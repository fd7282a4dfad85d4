/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/session.h"

#include <sys/inotify.h>
#include <unistd.h>

#include "lib/os/log.h"

enum {
	WATCHED = IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO |
		  IN_CLOSE_WRITE | IN_MODIFY,
};

void
session_idle_begin(struct session *s)
{
	if (s->box == NULL)
		return;
	s->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->watch_fd < 0) {
		/* No instance left: the regular look must do. */
		log_info(&s->log, "no inotify instance left");
		return;
	}
	for (const char *const *p = mailbox_watch_paths(s->box);
	     p != NULL && *p != NULL; p++)
		(void)inotify_add_watch(s->watch_fd, *p, WATCHED);
	/* What changed before the watch was there. */
	session_sync(s, true);
}

void
session_idle_end(struct session *s)
{
	if (s->watch_fd >= 0)
		close(s->watch_fd);
	s->watch_fd = -1;
}

void
session_idle_drain(struct session *s)
{
	uint8_t events[4096];

	while (read(s->watch_fd, events, sizeof(events)) > 0)
		continue;
}
