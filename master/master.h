/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MASTER_MASTER_H
#define CHAPPE_MASTER_MASTER_H

/*
 * What the parts of master share. plan.c turns the configuration into plans,
 * one for each service; listeners.c binds sockets, once; service.c decides
 * when a process is started; child.c starts it, talks to it and buries it;
 * reload.c puts new plans in the place of old ones; admin.c answers chappe.
 * master parses no network data. All runs on one thread.
 */

#include <stdbool.h>
#include <sys/types.h>
#include <time.h>

#include "lib/base/arena.h"
#include "lib/base/list.h"
#include "lib/conf/conf.h"
#include "lib/conf/master_cf.h"
#include "lib/daemon/programs.h"
#include "lib/ipc/channel.h"
#include "lib/os/loop.h"
#include "lib/os/priv.h"

enum {
	SLOTS = 256,	     /* numbers for queue ids */
	GROUPS_MAX = 32,     /* of one user of ours */
	GENERATIONS_OLD = 4, /* of one service, leaving, before MSG_HURRY */
	START_MS = 15000,    /* chappe start, reload: wait for processes */
	STOP_MS = 10000,     /* then processes are killed */
	THROTTLE_FIRST_MS = 1000,
	THROTTLE_MAX_MS = 60000,
	DEATHS_WINDOW_MS = 60000,
	DEATHS_MAX = 30, /* in the window, before we throttle */
	KEYS_CHECK_MS = 60000,
};

/* ---- what the configuration asks for ---- */
struct socket_spec {
	struct list link;
	char *key;     /* "unix:PATH", "inet:[ADDRESS]:PORT" */
	char kind[8];  /* for -l */
	bool optional; /* one of several: may be missing on this host */
};

enum {
	KEYS_CHAIN = 'C',   /* keys and certificates, read as one */
	KEYS_NAMES = 'N',   /* tables: server name -> such files */
	KEYS_CA_FILE = 'F', /* authorities for clients' certificates */
	KEYS_CA_DIR = 'D',
};

struct plan {
	struct list link;
	const char *name; /* for -n and the log */
	char *key;	  /* tells it from others at a reload */
	const struct program *program;
	char *path;
	const char **overrides; /* NULL-ended */
	const char **args;	/* NULL-ended */
	struct list sockets;	/* struct socket_spec */
	int limit;		/* processes; 0: none */
	int company;		/* so many share clients before one is full */
	int wakeup_s;
	bool wakeup_if_used;
	bool boot;		    /* started with the suite */
	char *fingerprint;	    /* everything that its processes read */
	/* Where certificates and keys are: lines of a KEYS_ letter, a blank
	 * and file names with tabs between. "": no TLS */
	char *keys;
	struct priv_user user;	    /* when master is root */
	gid_t groups[GROUPS_MAX];
	size_t group_count;
	const char *file;
	unsigned line;
};

struct config {
	struct conf *conf;
	struct common_conf common;
	struct arena arena;
	struct list plans;
};

/* Reads everything and checks it. */
int config_load(const char *dir, struct config **out, struct err *e);
/* The plan of that key, or NULL. */
struct plan *plan_by_key(struct config *c, const char *key);
void config_free(struct config **c);
/* A warning for each parameter that is set and does nothing any more. */
void config_warn(const struct config *c);

/* Adds the sockets of an inet line ("smtp", "host:port") or of imap-login. */
int plan_add_inet(struct plan *p, const struct common_conf *common,
    const char *name, struct err *e);
int plan_add_imap(
    struct plan *p, const struct common_conf *common, struct err *e);

/* ---- sockets ---- */
struct listener {
	struct list link;
	char *key;
	char kind[8];
	int fd;
	bool wanted; /* while the listeners of a configuration are gathered */
};

/* Binds what the configuration needs and is not bound; on failure nothing
 * has changed. Sockets that none needs stay until listeners_trim. */
struct master;
int listeners_bind(struct master *m, struct config *c, struct err *e);
void listeners_trim(struct master *m);
struct listener *listeners_find(struct master *m, const char *key);

/* ---- running ---- */
enum child_state {
	CHILD_STARTING,
	CHILD_READY,
	CHILD_LEAVING,
};

struct child {
	struct list link; /* in its service */
	struct service *service;
	struct channel *channel; /* NULL: closed */
	pid_t pid;
	unsigned generation;
	enum child_state state;
	bool current; /* of the plan that holds now */
	bool was_ready;
	bool standby; /* another one was the first when it started */
	int slot, slot_fd; /* -1: none */
	uint64_t started_ms;
	char status[128]; /* its own words, for chappe status */
};

struct service {
	struct list link;
	struct master *master;
	struct plan *plan;
	struct listener **listeners;
	struct watch **watches;
	size_t listener_count;
	struct list children;
	unsigned generation;
	struct timer *wakeup, *throttle;
	uint64_t throttle_ms; /* the last pause, 0: none lately */
	uint64_t deaths_since_ms;
	unsigned deaths;
	uint64_t complained_ms; /* of the process limit */
	bool used;		/* a process was started */
	bool due;		/* start one as soon as it may be */
	bool removed;		/* no longer in the configuration */
	struct keys *keys;
};

struct master {
	struct loop *loop;
	const char *dir;
	struct config *config;
	struct list services;
	struct list listeners;
	struct server *admin;
	int admin_fd;
	struct watch *admin_watch;
	struct list keys;    /* struct keys */
	struct tickets *tickets;
	struct list waiting; /* requests to be answered when settled */
	struct timer *settle_timer, *stop_timer, *keys_timer;
	struct watch *stderr_watch, *inotify;
	int inotify_fd;
	int stderr_pipe[2];
	int lock_fd;  /* pid/master.pid */
	int shared_fd; /* lib/os/shared_table.h; ours to hand on only */
	int ready_fd; /* chappe start waits; -1: told */
	bool root, started, reloading, stopping, log_last;
	unsigned generation;
	int exit_status;
};

/* child.c */
/* Has a plan's program look at its configuration (-t), as the user it will
 * be. What is wrong is appended to out, a line each; nothing: it is right. -1:
 * it could not be asked. */
int child_check(
    const struct plan *p, const char *dir, struct buf *out, struct err *e);
int child_start(struct service *s, struct err *e);
/* A child of this pid ended; false when it is none of ours. */
bool child_ended(struct master *m, pid_t pid, int status);
void child_leave(struct child *c);
void child_hurry(struct child *c);
void child_tell(struct child *c, enum msg_type type);
void child_send_keys(struct child *c);
void child_send_tickets(struct child *c);
void child_kill(struct child *c, int signo);

/* service.c */
struct service *service_new(struct master *m, struct plan *plan);
void service_free(struct service **s);
void service_listen(struct service *s); /* takes its listeners */
void service_unlisten(struct service *s);
unsigned service_running(const struct service *s); /* current, not leaving */
/* Looks at what is and does what is due: starts, watches, throttles. */
void service_tend(struct service *s);
void service_replace(struct service *s); /* a new generation */
void service_child_ready(struct service *s);
/* in_order: it left because it was told to, or of its own will. */
void service_child_ended(
    struct service *s, const struct child *c, bool in_order);
void service_full(struct service *s);
/* One of its processes could share its work: another starts, up to one for
 * each core. */
void service_company(struct service *s);
/* Nothing more to come from the last start or reload. */
bool service_settled(const struct service *s);

/* reload.c */
int reload(struct master *m, const char *only, struct err *e);
void settle(struct master *m); /* called whenever things change */

/* keys.c */
/* Sets s->keys from its plan; services with the same files share them. */
void keys_load(struct service *s);
/* A sealed memory file (lib/os/tls_keys.h), or -1: no certificate. */
int keys_fd(const struct service *s);
/* Reads and checks everything; for chappe check. */
int keys_verify(const struct plan *p, struct err *e);
void keys_free(struct keys **k);
void keys_check_all(struct master *m); /* pushes what changed */
void keys_watch(struct master *m);

/* tickets.c */
void tickets_start(struct master *m);
void tickets_reload(struct master *m); /* the configuration is another */
int tickets_fd(const struct master *m);	/* -1: no tickets */
void tickets_stop(struct master *m);

/* tree.c: the queue directory's parts, owners and modes. */
int tree_make(const struct config *c, bool root, struct err *e);

/* As root: log files that are missing. */
int tree_make_logs(const struct config *c, struct err *e);

/* slots.c: a number for a process that accepts mail, or -1; it is taken for
 * as long as anybody has the descriptor open. */
int slot_take(const struct master *m, int *out_fd, struct err *e);

/* admin.c */
int admin_start(struct master *m, struct err *e);
void admin_stop(struct master *m);
void admin_answer_waiting(struct master *m);

/* failure.c: a start that failed, on stderr and in the log. */
void failure_report(const char *dir, const char *text);

/* stderr.c: what children say on stderr. */
int stderr_start(struct master *m, struct err *e);

/* master.c */
void master_started(struct master *m);
void master_stop(struct master *m, bool at_once);
void master_quit_if_done(struct master *m);

#endif
