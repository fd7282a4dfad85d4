/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "imapd/session.h"
#include "lib/base/mem.h"
#include "lib/daemon/logsink.h"
#include "lib/os/log.h"

enum {
	AUTH_MS = 10000,
	ANSWER_MS = 1000,
	GROUPS_MAX = 64,
	TEXT_MAX = 4096,
};

/* Whose session it is, as auth says. */
struct identity {
	struct priv_user user;
	gid_t groups[GROUPS_MAX];
	size_t group_count;
	char name[512], home[LIMIT_PATH], mail[LIMIT_PATH];
	char quota[200]; /* quota_rule */
};

static void
take_groups(struct msg_in *m, struct identity *out)
{
	struct span value;
	size_t cursor = 0;
	uint64_t gid;

	while (out->group_count < GROUPS_MAX &&
	       msg_next_value(m, F_GROUPS, &cursor, &value))
		if (msg_value_u64(value, &gid))
			out->groups[out->group_count++] = (gid_t)gid;
}

static int
take_identity(
    struct spawner *sp, struct msg_in *m, struct identity *out, struct err *e)
{
	if (m->type != MSG_USER_INFO || msg_get_u64(m, F_FOUND) != 1)
		return err_set(e, ERR_TEMP, "4.7.0", "ticket not valid");
	out->user.uid = (uid_t)msg_get_u32(m, F_UID);
	out->user.gid = (gid_t)msg_get_u32(m, F_GID);
	take_groups(m, out);
	msg_get_str(m, F_USER, out->name, sizeof(out->name));
	msg_get_str(m, F_HOME, out->home, sizeof(out->home));
	msg_get_str(m, F_MAIL, out->mail, sizeof(out->mail));
	msg_get_str(m, F_QUOTA, out->quota, sizeof(out->quota));
	if (msg_done(m, e) != 0)
		return -1;
	if (daemon_private(sp->daemon)) {
		out->user = (struct priv_user){ geteuid(), getegid() };
		return 0;
	}
	if (out->user.uid == 0 || out->user.gid == 0)
		return err_set(
		    e, ERR_PERM, "5.7.0", "root has no mail session");
	return 0;
}

static int
ask_auth(struct spawner *sp, struct msg_out *m, struct buf *store,
    struct msg_in *out, struct err *e)
{
	char path[LIMIT_PATH];

	daemon_socket(sp->daemon, "auth", false, path);
	if (sp->auth < 0 && sync_connect(path, AUTH_MS, &sp->auth, e) != 0) {
		sp->auth = -1;
		return -1;
	}
	if (sync_call(sp->auth, m, store, out, AUTH_MS, e) == 0)
		return 0;
	/* An error of auth's own, or a lost connection: a new one next time
	 * does no harm. */
	close(sp->auth);
	sp->auth = -1;
	return -1;
}

int
spawn_quota(struct spawner *sp, struct spawned *s, struct msg_in *m)
{
	const uint64_t full = msg_get_u64(m, F_OVER_QUOTA);
	struct msg_out ask;
	struct msg_in answer;
	struct buf store;
	struct err e;

	if (msg_done(m, &e) != 0)
		return -1;
	msg_begin(&ask, MSG_QUOTA, 1, m->trace);
	msg_put_str(&ask, F_USER, s->user);
	msg_put_u64(&ask, F_OVER_QUOTA, full);
	buf_init(&store, LIMIT_IPC_MESSAGE);
	if (ask_auth(sp, &ask, &store, &answer, &e) == 0)
		msg_in_release(&answer);
	else
		log_warning(NULL, "quota of user=<%s>: %s", s->user, e.text);
	msg_out_release(&ask);
	buf_release(&store);
	return 0;
}

/* Redeems the ticket that the login process was given. */
static int
redeem(struct spawner *sp, struct span ticket, pid_t login, uint64_t trace,
    struct identity *out, struct err *e)
{
	struct msg_out ask;
	struct msg_in m;
	struct buf store;
	int result;

	msg_begin(&ask, MSG_TICKET, 1, trace);
	msg_put(&ask, F_TICKET, ticket);
	msg_put_u64(&ask, F_PID, (uint64_t)login);
	buf_init(&store, LIMIT_IPC_MESSAGE);
	result = ask_auth(sp, &ask, &store, &m, e);
	/* auth may have been restarted since: once more. */
	if (result != 0 && e->kind == ERR_TEMP)
		result = ask_auth(sp, &ask, &store, &m, e);
	if (result == 0) {
		result = take_identity(sp, &m, out, e);
		msg_in_release(&m);
	}
	msg_out_release(&ask);
	buf_release(&store);
	return result;
}

static int
check_limits(struct spawner *sp, const struct identity *id, const char *address,
    struct err *e)
{
	int64_t same = 0;

	LIST_EACH(&sp->sessions, link)
	{
		const struct spawned *s =
		    CONTAINER_OF(link, struct spawned, link);

		same += strcmp(s->user, id->name) == 0 &&
			strcmp(s->address, address) == 0;
	}
	if (same >= sp->conf->mail_max_userip_connections)
		return err_set(e, ERR_TEMP, "4.7.0",
		    "Maximum number of connections from user+IP exceeded");
	if ((int64_t)sp->session_count >= sp->conf->imap_session_limit)
		return err_set(e, ERR_TEMP, "4.3.2", "Too many sessions");
	return 0;
}

/* In the child: never returns. */
_Noreturn static void
become_session(
    struct spawner *sp, const struct identity *id, int control, int client)
{
	const struct common_conf *c = daemon_common(sp->daemon);
	char path[LIMIT_PATH], log[LOGSINK_TEXT], tag[128];
	char *argv[] = { path, log, tag, NULL };
	struct err e;

	signal(SIGPIPE, SIG_DFL);
	setsid();
	umask(0077);
	snprintf(path, sizeof(path), "%s/imap-session", c->daemon_directory);
	snprintf(tag, sizeof(tag), "%s/imap-session", c->syslog_name);
	if (logsink_child(&e) != 0)
		log_fatal(1, "%s", e.text);
	if (!daemon_private(sp->daemon) &&
	    priv_become(&id->user, id->groups, id->group_count, NULL, 0, &e) !=
		0)
		log_fatal(1, "%s", e.text);
	if (dup2(control, SESSION_CONTROL_FD) < 0 ||
	    dup2(client, SESSION_CLIENT_FD) < 0)
		log_fatal(1, "descriptors of a session");
	logsink_pass(log);
	execv(path, argv);
	err_sys(&e, "exec %s", path);
	log_fatal(1, "%s", e.text);
}

/* What a session must know, in the one message that it reads first. */
static int
brief(struct spawner *sp, const struct identity *id, int control,
    struct span tag, const char *address, uint64_t trace, struct err *e)
{
	const struct common_conf *c = daemon_common(sp->daemon);
	struct msg_out m;
	int result;

	msg_begin(&m, MSG_SESSION, 0, trace);
	msg_put_str(&m, F_USER, id->name);
	msg_put_str(&m, F_HOME, id->home);
	msg_put_str(
	    &m, F_MAIL, id->mail[0] != '\0' ? id->mail : c->mail_location);
	msg_put_str(&m, F_QUOTA,
	    id->quota[0] != '\0' ? id->quota : c->quota_rule);
	msg_put_str(&m, F_MAILBOX, c->home_mailbox);
	msg_put_str(&m, F_PATH, c->mail_spool_directory);
	msg_put(&m, F_TAG, tag);
	msg_put_str(&m, F_ADDR, address);
	msg_put_u64(&m, F_SIZE, (uint64_t)c->mailbox_size_limit);
	msg_put_u64(&m, F_COUNT, (uint64_t)c->message_size_limit);
	msg_put_u64(&m, F_TTL, (uint64_t)sp->conf->imap_idle_notify_interval);
	result = sync_send(control, &m, ANSWER_MS, e);
	msg_out_release(&m);
	return result;
}

static int
start(struct spawner *sp, const struct identity *id, int client,
    struct span tag, const char *address, uint64_t trace, pid_t *out_pid,
    struct err *e)
{
	struct spawned *s;
	int pair[2];
	pid_t pid;

	if (sock_pair(SOCK_SEQPACKET, pair, e) != 0)
		return -1;
	pid = fork();
	if (pid == 0)
		become_session(sp, id, pair[1], client);
	close(pair[1]);
	if (pid < 0) {
		close(pair[0]);
		return err_sys(e, "fork");
	}
	if (brief(sp, id, pair[0], tag, address, trace, e) != 0) {
		close(pair[0]);
		return -1;
	}
	s = MEM_NEW(s);
	s->pid = pid;
	s->control = pair[0];
	s->uid = id->user.uid;
	s->gid = id->user.gid;
	s->trace = trace;
	s->user = mem_strdup(id->name);
	s->address = mem_strdup(address);
	list_push(&sp->sessions, &s->link);
	sp->session_count++;
	log_event(&(struct log_ctx){ .trace = trace }, "begin",
	    "session of %s", s->user);
	*out_pid = pid;
	return 0;
}

void
spawned_free(struct spawner *sp, struct spawned *s)
{
	log_event(&(struct log_ctx){ .trace = s->trace }, "end",
	    "session of %s", s->user);
	list_remove(&s->link);
	sp->session_count--;
	close(s->control);
	mem_free(s->user);
	mem_free(s->address);
	mem_free(s);
}

static void
respond(struct spawn_peer *peer, const struct msg_in *m, pid_t pid,
    const struct err *e)
{
	struct msg_out out;
	struct err ignored;

	msg_begin(&out, e != NULL ? MSG_ERROR : MSG_OK, m->id, m->trace);
	if (e != NULL)
		msg_put_err(&out, e);
	else
		msg_put_u64(&out, F_PID, (uint64_t)pid);
	if (sync_send(peer->fd, &out, ANSWER_MS, &ignored) != 0)
		log_warning(NULL, "answer to imap-login: %s", ignored.text);
	msg_out_release(&out);
}

int
spawn_session(struct spawner *sp, struct spawn_peer *peer, struct msg_in *m)
{
	struct identity *id = MEM_NEW(id);
	const struct span ticket = msg_need(m, F_TICKET, 64);
	const struct span tag = msg_need(m, F_TAG, LIMIT_IMAP_PRELOGIN);
	char address[SOCK_ADDR_TEXT];
	const int client = msg_take_fd(m);
	struct err e = { 0 };
	pid_t pid = 0;
	int bad;

	msg_get_str(m, F_ADDR, address, sizeof(address));
	bad = msg_done(m, &e);
	if (bad == 0) {
		const bool ok =
		    redeem(sp, ticket, peer->pid, m->trace, id, &e) == 0 &&
		    check_limits(sp, id, address, &e) == 0 &&
		    start(sp, id, client, tag, address, m->trace, &pid,
			&e) == 0;

		if (!ok)
			log_info(&(struct log_ctx){ .trace = m->trace },
			    "no session for %s: %s",
			    id->name[0] != '\0'
				? log_quote(span_str(id->name), 100)
				: "?",
			    e.text);
		respond(peer, m, pid, ok ? NULL : &e);
	}
	if (client >= 0)
		close(client);
	mem_free(id);
	return bad;
}

void
spawn_notify(struct spawner *sp, struct msg_in *m)
{
	const struct span user = msg_get(m, F_USER, TEXT_MAX);
	const struct span box = msg_get(m, F_MAILBOX, LIMIT_MAILBOX_NAME);

	LIST_EACH(&sp->sessions, link)
	{
		struct spawned *s = CONTAINER_OF(link, struct spawned, link);
		struct msg_out out;
		struct err e;

		if (!span_eq(user, span_str(s->user)))
			continue;
		msg_begin(&out, MSG_NOTIFY, 0, m->trace);
		msg_put(&out, F_MAILBOX, box);
		/* One that does not read has notices enough. */
		(void)sync_send(s->control, &out, 0, &e);
		msg_out_release(&out);
	}
}

void
spawn_hurry(struct spawner *sp)
{
	LIST_EACH(&sp->sessions, link)
	{
		struct spawned *s = CONTAINER_OF(link, struct spawned, link);
		struct msg_out out;
		struct err e;

		msg_begin(&out, MSG_HURRY, 0, 0);
		(void)sync_send(s->control, &out, 0, &e);
		msg_out_release(&out);
	}
}
