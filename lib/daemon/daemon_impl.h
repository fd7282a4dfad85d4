/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_DAEMON_DAEMON_IMPL_H
#define CHAPPE_DAEMON_DAEMON_IMPL_H

/* Private to lib/daemon: the state of the skeleton. */

#include "lib/base/list.h"
#include "lib/daemon/daemon.h"
#include "lib/daemon/programs.h"

enum {
	CONTROL_FD = 3, /* then the listeners */
	LISTENERS_MAX = 64,
	FD_MAX = 255,
	OVERRIDES_MAX = 256,
};

struct daemon_options {
	const char *conf_dir;
	const char *service;
	const char *generation;
	const char *debug; /* classes, or NULL */
	const char *overrides[OVERRIDES_MAX];
	size_t override_count;
	struct daemon_listener listeners[LISTENERS_MAX];
	size_t listener_count;
	int shared_fd; /* -1: none */
	bool test;     /* -t: only look whether the configuration is right */
	bool standby;  /* -w: another process of the service is the first */
	char *const *args;
};

/* Parses the command line that master gives; the listeners' descriptors are
 * numbered, not yet looked at. */
int daemon_options_parse(int argc, char *argv[], struct daemon_options *out,
    struct err *e);

struct daemon {
	const struct daemon_spec *spec;
	const struct program *program;
	struct daemon_options options;
	struct conf *conf;
	struct common_conf common;
	struct loop *loop;
	struct channel *control;
	struct list early; /* messages that came before start */
	struct watch *watches[LISTENERS_MAX];
	struct timer *accept_again;
	struct timer *standby, *patrol; /* listen.c */
	uint64_t duty_until_ms; /* until then it does not stand by */
	bool sharing;		/* daemon_share */
	bool root;         /* not a private instance */
	bool accepting, leaving;
	uint64_t ask_again_ms; /* daemon_ask_company: not before */
	int reserve_fd; /* see listen.c */
	bool keys_seen;
	int slot;
	int status;
};

/* ---- control.c ---- */
/* Reads what master sent beforehand: waits for a slot and keys if the program
 * needs them. */
int daemon_control_early(struct daemon *d, struct err *e);
/* Puts the channel on the loop and acts on what came early. */
void daemon_control_start(struct daemon *d);
/* MSG_READY. */
void daemon_control_ready(struct daemon *d);
/* Ends accepting and tells the daemon to leave; again: nothing. */
void daemon_leave(struct daemon *d);

/* ---- listen.c ---- */
void daemon_listen_start(struct daemon *d);
/* Closes the listeners, so that a master that comes after one that was killed
 * can bind them. */
void daemon_listen_stop(struct daemon *d);

#endif
