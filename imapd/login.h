/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_IMAPD_LOGIN_H
#define CHAPPE_IMAPD_LOGIN_H

/*
 * The login stage: event-driven, without files. It carries TLS, speaks the
 * commands before login, asks auth about passwords, and after login passes
 * bytes between the client and the session. What it knows of a user is a
 * ticket, which it cannot make.
 */

#include <stdbool.h>
#include <stdint.h>

#include "imapd/imapd_conf.h"
#include "lib/base/list.h"
#include "lib/daemon/daemon.h"
#include "lib/os/log.h"
#include "lib/os/stream.h"
#include "lib/os/tls.h"
#include "lib/proto/imap_server.h"

struct login_stage {
	struct daemon *daemon;
	const struct imapd_conf *conf;
	struct tls_ctx *tls; /* NULL: no certificate yet */
	struct client *auth, *spawn;
	struct list logins;
	size_t count;
	bool full;
};

enum login_phase {
	LOGIN_COMMANDS, /* before login, or between two commands */
	LOGIN_TLS,	/* STARTTLS answered, handshake runs */
	LOGIN_AUTH,	/* auth is asked */
	LOGIN_SPAWN,	/* the spawner is asked */
	LOGIN_PROXY,	/* bytes go through */
};

struct login {
	struct list link;
	struct login_stage *stage;
	struct log_ctx log;
	struct stream *client, *session;
	struct imap_server *server; /* until the proxy begins */
	enum login_phase phase;
	bool implicit_tls;
	bool tls;     /* the handshake is complete */
	bool secured; /* a password may be said */
	char remote[SOCK_ADDR_TEXT], local[SOCK_ADDR_TEXT];
	uint64_t started_ms;
	unsigned attempts; /* failed ones */
	bool tried_plain;  /* a password where none may be said */
	bool quit;	   /* LOGOUT */
	bool hurried;	   /* the session is to end: it gets no more input */
	char mechanism[32];
	char user[128]; /* as the client said, quoted for the log */
	uint64_t auth_session;
	int session_fd; /* our end, while the spawner is asked */
};

/* ---- login.c: connections ---- */
void login_new(struct login_stage *st, int fd, bool implicit_tls);
/* Logs why and ends it. Frees l. */
void login_end(struct login *l, const char *reason);
/* Sends what the engine has to say. */
void login_send(struct login *l);
/* Goes on with input that waited. */
void login_resume(struct login *l);
bool login_empty(const struct login_stage *st);

/* ---- login_command.c ---- */
void login_greet(struct login *l);
void login_command(struct login *l, const struct imap_cmd *c);

/* ---- login_auth.c ---- */
void login_by_password(struct login *l, const struct imap_cmd *c);
/* Appends the SASL mechanisms that this connection may use, separated by
 * spaces. True: one with channel binding is among them. */
bool login_mechanisms(const struct login *l, struct buf *out);
void login_by_sasl(struct login *l, const struct imap_cmd *c);
/* The client's line in an AUTHENTICATE exchange. */
void login_sasl_line(struct login *l, struct span line);
/* The connection ends: nothing may answer to it any more. */
void login_auth_cancel(struct login *l);

/* ---- login_proxy.c ---- */
/* auth gave a ticket: asks the spawner for a session. */
void login_spawn(struct login *l, struct span ticket, struct span user);
/* Bytes from the client, after login. */
void login_proxy_input(struct login *l);
/* Lets the session end at its next idle moment, with a BYE: its input ends
 * once it has all that came so far. */
void login_proxy_hurry(struct login *l);

#endif
