/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_DAEMON_DAEMON_H
#define CHAPPE_DAEMON_DAEMON_H

/*
 * The skeleton every daemon starts from. A daemon's main file is data (struct
 * daemon_spec); daemon_main does, in this order and nowhere else: options,
 * configuration, inherited descriptors, identity and capabilities,
 * no_new_privs, Landlock, seccomp, then loop and threads. In a private
 * instance (not started as root) the privilege steps are skipped.
 *
 * How master starts a daemon (nothing else may start one):
 *   PROGRAM -c CONFDIR -n SERVICE -g GENERATION [-o name=value]...
 *           -l KIND[,KIND...] [-m DESCRIPTOR] [-w] [ARGUMENT...]
 * KIND is "inet", "unix", "imap" or "imaps" (inet listeners that master made
 * from protocols, listen, imap_port and imaps_port), one for each inherited
 * listener. Descriptor 3 is
 * the control channel to master (SOCK_SEQPACKET), 4 and up the listeners in
 * that order, DESCRIPTOR the memory of lib/os/shared_table.h for programs that
 * have a use for it; -w: another process of the service is its first, see
 * `gathers`. All else is closed but 0-2 (/dev/null, and stderr). master has
 * already set the user for programs that do not run as root. A daemon sends
 * MSG_READY when it serves, ends when the control channel closes (master
 * died) after finishing what it holds, and gives its last status by its exit
 * code: 0 in order.
 */

#include "lib/conf/conf.h"
#include "lib/ipc/channel.h"
#include "lib/os/loop.h"
#include "lib/os/priv.h"

struct daemon;

struct daemon_listener {
	int fd;
	bool inet;       /* else unix */
	char kind[8];    /* the KIND: tells imaps from imap */
	unsigned index;  /* 0.. */
};

struct tls_keys;

struct daemon_spec {
	const char *name;
	const struct param *params; /* own table, or NULL */
	void *conf;                 /* filled from it */
	/* Checks across parameters. Optional. */
	int (*verify)(const struct daemon *d, struct err *e);
	/* Compiles what start would of the configuration, without effects:
	 * for chappe check, which runs the program with -t. Optional. */
	int (*check)(const struct daemon *d, struct err *e);
	/* Adds the paths and system calls it needs; the skeleton has added
	 * what all need. Optional. */
	void (*sandbox)(const struct daemon *d, struct sandbox *s);
	/* The rest for daemons with a loop. start: make state; -1 ends the
	 * process with the reason logged. */
	int (*start)(struct daemon *d, struct err *e);
	/* One accepted connection: takes the descriptor. NULL: the skeleton
	 * leaves the listeners alone. */
	void (*client)(struct daemon *d, int fd,
	    const struct daemon_listener *l);
	/* Clients from the network gather in one process of the service as
	 * long as it takes them at once; see daemon_share. */
	bool gathers;
	/* One accepted with the descriptor that is kept in reserve, since
	 * there was no other: says no and closes it. Optional; without it
	 * such a client waits. */
	void (*refuse)(struct daemon *d, int fd,
	    const struct daemon_listener *l);
	void (*wake)(struct daemon *d);  /* MSG_WAKE. Optional. */
	/* MSG_LEAVE or master's death: accept nothing more (the skeleton has
	 * stopped the listeners), finish, then daemon_exit. NULL: exit at
	 * once. */
	void (*leave)(struct daemon *d);
	void (*hurry)(struct daemon *d); /* MSG_HURRY. Optional. */
	/* Certificates and keys to serve with, at the start (after start)
	 * and each time they are renewed; the skeleton drops its reference
	 * after the call. Programs with needs_keys. */
	void (*keys)(struct daemon *d, struct tls_keys *k);
	/* Other messages from master (MSG_PIDS). Optional. */
	void (*control)(struct daemon *d, struct msg_in *m);
	/* Instead of all callbacks above but verify and sandbox: runs without
	 * loop and threads (local's parent, the spawner, command). Returns
	 * the exit status. */
	int (*run)(struct daemon *d);
};

/* Everything; returns the exit status. */
int daemon_main(const struct daemon_spec *spec, int argc, char *argv[]);

struct loop *daemon_loop(const struct daemon *d);
struct conf *daemon_conf(const struct daemon *d);
const struct common_conf *daemon_common(const struct daemon *d);
const char *daemon_service(const struct daemon *d);  /* "submission" */
/* The arguments after the options, NULL-ended. */
char *const *daemon_args(const struct daemon *d);
bool daemon_private(const struct daemon *d); /* an unprivileged instance */
bool daemon_leaving(const struct daemon *d);
int daemon_control_fd(const struct daemon *d); /* for run() */
const struct daemon_listener *daemon_listeners(const struct daemon *d,
    size_t *out_count);
/* Queue-id slot given by master (MSG_SLOT came before start), or -1. */
int daemon_slot(const struct daemon *d);
/* The memory that the servers share, for shared_table_attach; -1: master gave
 * none. */
int daemon_shared_fd(const struct daemon *d);

/* Path of a service's socket: queue_directory/private/NAME (public/NAME). */
const char *daemon_socket(const struct daemon *d, const char *name,
    bool public_, char out[LIMIT_PATH]);
/* A client for the private service NAME (free with client_free). */
struct client *daemon_connect(struct daemon *d, const char *name);

/* For the sandbox callback: the directory that the file is in, since the file
 * may be replaced. Paths that are not absolute are left out. */
void daemon_sandbox_file(struct sandbox *s, const char *path, int rights);

/* Fills a struct of the daemon's own parameters as they would be with one more
 * setting "name=value"; what it points to lives as long as the process. */
int daemon_fill_with(const struct daemon *d, const char *setting, void *out,
    struct err *e);

/* Another process of this service would be welcome: master starts one if it
 * may. */
void daemon_full(struct daemon *d);
/* Stops (starts again) accepting: for a daemon that is full. */
void daemon_accept(struct daemon *d, bool on);
/* Of a process in which clients gather: it has so many (few again) that the
 * next ones are for whoever takes them. */
void daemon_share(struct daemon *d, bool on);
/* There is work for another process of the service: master starts one, up to
 * one for each core, and to the limit. To be called as often as one likes. */
void daemon_ask_company(struct daemon *d);
/* Ends the loop and the process. */
void daemon_exit(struct daemon *d, int status);

/* ---- for processes without a loop ---- */
/* Reads one control message, not blocking. 1 one, 0 none, -1 master is gone.
 * run() handlers poll daemon_control_fd. */
int daemon_control_receive(struct daemon *d, struct buf *store,
    struct msg_in *out);
/* Tells master that run() serves. */
void daemon_ready(struct daemon *d);

#endif
