/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/spawn.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/os/sock.h"

enum {
	PEERS_MAX = 1000,
	CREDIT = 100, /* requests that a login process may have waiting */
	ANSWER_MS = 1000,
	REAP_MS = 1000, /* a child is looked for this often at least */
	ACCEPTS = 16,
};

/* ---- connections ---- */

static void
peer_free(struct spawner *sp, struct spawn_peer *p)
{
	list_remove(&p->link);
	sp->peer_count--;
	close(p->fd);
	mem_free(p);
}

static bool
trusted(const struct spawner *sp, const struct peer *peer)
{
	return peer->uid == 0 || peer->uid == sp->trusted[0] ||
	       peer->uid == sp->trusted[1];
}

static void
welcome(struct spawner *sp, int fd)
{
	struct spawn_peer *p;
	struct msg_out m;
	struct peer peer;
	struct err e;

	if (sp->peer_count >= PEERS_MAX || sock_peer(fd, &peer, &e) != 0 ||
	    !trusted(sp, &peer)) {
		close(fd);
		return;
	}
	p = MEM_NEW(p);
	p->fd = fd;
	p->pid = peer.pid;
	list_push(&sp->peers, &p->link);
	sp->peer_count++;
	msg_begin(&m, MSG_HELLO, 0, 0);
	msg_put_u64(&m, F_CREDIT, CREDIT);
	if (sync_send(fd, &m, ANSWER_MS, &e) != 0)
		peer_free(sp, p);
	msg_out_release(&m);
}

static void
accept_peers(struct spawner *sp, int listener)
{
	struct err e;

	for (int i = 0; i < ACCEPTS; i++) {
		int fd;
		const int n = sock_accept(listener, &fd, NULL, &e);

		if (n < 0)
			log_warning(NULL, "%s", e.text);
		if (n <= 0)
			return;
		welcome(sp, fd);
	}
}

static void
read_peer(struct spawner *sp, struct spawn_peer *p)
{
	struct buf store;
	struct msg_in m;
	struct err e;
	int bad = 0;

	buf_init(&store, LIMIT_IPC_MESSAGE);
	if (sync_receive(p->fd, &store, &m, 0, &e) != 1) {
		peer_free(sp, p);
		buf_release(&store);
		return;
	}
	if (m.type == MSG_SESSION && m.id != 0)
		bad = spawn_session(sp, p, &m);
	else if (m.type == MSG_NOTIFY)
		spawn_notify(sp, &m);
	msg_in_release(&m);
	buf_release(&store);
	if (bad != 0)
		peer_free(sp, p);
}

static void
read_session(struct spawner *sp, struct spawned *s)
{
	struct buf store;
	struct msg_in m;
	struct err e;
	int bad;

	buf_init(&store, LIMIT_IPC_MESSAGE);
	if (sync_receive(s->control, &store, &m, 0, &e) != 1) {
		spawned_free(sp, s);
	} else {
		bad = m.type == MSG_LOCKFILE ? spawn_lockfile(sp, s, &m) :
		    m.type == MSG_QUOTA	     ? spawn_quota(sp, s, &m) :
					       -1;
		msg_in_release(&m);
		if (bad != 0)
			spawned_free(sp, s);
	}
	buf_release(&store);
}

static void
read_control(struct spawner *sp)
{
	struct buf store;
	struct msg_in m;
	int n;

	buf_init(&store, LIMIT_IPC_MESSAGE);
	n = daemon_control_receive(sp->daemon, &store, &m);
	if (n < 0 || (n == 1 && m.type == MSG_LEAVE))
		sp->leaving = true;
	else if (n == 1 && m.type == MSG_HURRY)
		spawn_hurry(sp);
	if (n == 1)
		msg_in_release(&m);
	buf_release(&store);
}

static void
reap(void)
{
	int status;

	for (;;) {
		const pid_t pid = waitpid(-1, &status, WNOHANG);

		if (pid <= 0)
			return;
		if (WIFSIGNALED(status))
			log_warning(NULL, "session %d: killed by signal %d",
			    (int)pid, WTERMSIG(status));
		else if (WEXITSTATUS(status) != 0)
			log_warning(NULL, "session %d: exit status %d",
			    (int)pid, WEXITSTATUS(status));
	}
}

/* ---- the loop ---- */

/* Control, listeners, peers, sessions: in this order in the set. */
static struct pollfd *
poll_set(struct spawner *sp, size_t *out_count)
{
	const struct daemon_listener *l;
	struct pollfd *set;
	size_t listeners, n = 0;

	l = daemon_listeners(sp->daemon, &listeners);
	set = mem_zalloc((1 + listeners + sp->peer_count + sp->session_count) *
			 sizeof(*set));
	set[n++].fd = daemon_control_fd(sp->daemon);
	for (size_t i = 0; i < listeners; i++)
		set[n++].fd = l[i].fd;
	LIST_EACH(&sp->peers, link)
	set[n++].fd = CONTAINER_OF(link, struct spawn_peer, link)->fd;
	LIST_EACH(&sp->sessions, link)
	set[n++].fd = CONTAINER_OF(link, struct spawned, link)->control;
	for (size_t i = 0; i < n; i++)
		set[i].events = POLLIN;
	*out_count = n;
	return set;
}

/* Sessions first: what the others do may add to the lists, at their ends. */
static void
dispatch(struct spawner *sp, const struct pollfd *set)
{
	const struct daemon_listener *l;
	size_t listeners, at, peers = sp->peer_count;

	l = daemon_listeners(sp->daemon, &listeners);
	at = 1 + listeners + peers;
	LIST_EACH(&sp->sessions, link)
	if (set[at++].revents != 0)
		read_session(sp, CONTAINER_OF(link, struct spawned, link));
	at = 1 + listeners;
	LIST_EACH(&sp->peers, link)
	if (set[at++].revents != 0)
		read_peer(sp, CONTAINER_OF(link, struct spawn_peer, link));
	for (size_t i = 0; i < listeners; i++)
		if (set[1 + i].revents != 0)
			accept_peers(sp, l[i].fd);
	if (set[0].revents != 0)
		read_control(sp);
}

static void
turn(struct spawner *sp)
{
	size_t count;
	struct pollfd *set = poll_set(sp, &count);

	if (poll(set, count, REAP_MS) > 0)
		dispatch(sp, set);
	mem_free(set);
	reap();
}

int
spawn_run(struct daemon *d, const struct imapd_conf *conf)
{
	struct spawner sp = {
		.daemon = d,
		.conf = conf,
		.auth = -1,
		.trusted = { geteuid(), geteuid() },
	};
	struct priv_user login;
	struct err e;

	signal(SIGPIPE, SIG_IGN);
	list_init(&sp.peers);
	list_init(&sp.sessions);
	if (!daemon_private(d)) {
		if (priv_lookup(daemon_common(d)->login_owner, &login, &e) != 0)
			log_fatal(1, "%s", e.text);
		sp.trusted[0] = login.uid;
	}
	daemon_ready(d);
	while (!sp.leaving)
		turn(&sp);
	/* The sessions go on without: see session_control_read. */
	return 0;
}
