/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_IMAPD_SESSION_H
#define CHAPPE_IMAPD_SESSION_H

/*
 * One user's IMAP session: a process of its own, under the user's uid, with
 * the client's bytes on one descriptor and the spawner on another. It may
 * block on its user's disks and locks; nobody else waits for it. The protocol
 * is lib/proto/imap_server.h, the mail lib/store/store.h; here they meet. One
 * handler for each command; a handler ends its command with session_ok or one
 * of the others, unless it said that lines or data are to come.
 */

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/os/log.h"
#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/proto/imap_server.h"
#include "lib/proto/mime.h"
#include "lib/store/store.h"

enum {
	SESSION_CLIENT_FD = 4,
	SESSION_CONTROL_FD = 3,
	SESSION_FLUSH = 65536,	      /* output is sent when so much waits */
	SESSION_READ = 65536,	      /* input is read in such pieces */
	SESSION_IDLE_MS = 30 * 60000, /* RFC 3501 5.4: 30 minutes at least */
	SESSION_WRITE_MS = 5 * 60000, /* a client that takes nothing */
	SESSION_LOOK_MS = 5000, /* in IDLE, where inotify is not to be had */
};

/* What the spawner said about the user. */
struct session_user {
	char *name, *home, *location, *home_mailbox, *spool_directory;
	char *quota_rule;
	char *tag;     /* of the command that logged in */
	char *address; /* the client's */
	uint64_t mailbox_size_max, message_size_max, idle_notify_ms;
};

struct session {
	struct session_user user;
	struct log_ctx log; /* the trace id of the connection */
	struct imap_server *server;
	struct store *store;
	struct mailbox *box; /* NULL: none selected */
	char *box_name;	     /* UTF-8, of box */
	uint64_t keywords;   /* those the client was told of */
	bool uid_in_sync;    /* unsolicited FETCHes carry the UID */
	struct buf in;	     /* read from the client, not yet consumed */
	struct append *append;
	struct err append_error;
	bool append_failed;
	bool idling;
	bool control_lost;	/* the spawner is gone */
	bool quota_told, quota_full; /* what it was told last */
	bool changed;		/* it said that mail came */
	bool closing;		/* send what waits and end */
	const char *end_reason; /* for the log */
	uint64_t bytes_in, bytes_out;
	int watch_fd; /* inotify, or -1 */
	/* The message fetched last: clients ask piece by piece. */
	uint32_t text_uid; /* 0: none */
	struct message_text text;
	bool mime_ready;
	struct mime mime;
};

/* ---- session.c: the loop ---- */
/* Runs until the end; returns the exit status. */
int session_run(struct session *s);
/* Sends what waits. False: the client is gone (closing is set). */
bool session_flush(struct session *s);
/* Sends if SESSION_FLUSH bytes wait: for handlers that produce much. */
bool session_flush_some(struct session *s);
/* Sends bytes that need no copy, behind what waits. */
bool session_send(struct session *s, struct span bytes);

/* ---- session_confine.c ---- */
/* Landlock and seccomp: the user's mail and nothing else, for good. */
int session_confine(const struct store_user *user, struct err *e);

/* ---- session_command.c: dispatch and the simple commands ---- */
void session_command(struct session *s, const struct imap_cmd *c);
void session_line(struct session *s, struct span line);
extern const char session_capabilities[];

/* Ends the command: brings the view up to date, then the tagged answer. */
void session_ok(struct session *s, const char *text);
void session_ok_code(struct session *s, const char *code, const char *text);
void session_no(struct session *s, const char *code, const char *text);
void session_bad(struct session *s, const char *text);
/* NO with the code that fits; no_target: the code for a mailbox that is not
 * there (TRYCREATE or NONEXISTENT). */
void session_error(
    struct session *s, const struct err *e, const char *no_target);

/* A mailbox name of the client's as UTF-8 in out; false: it was answered. */
bool session_name(struct session *s, struct span name, struct buf *out);

/* Printf-like untagged text. */
struct buf *session_out(struct session *s);

/* ---- session_select.c ---- */
void session_select(struct session *s, const struct imap_cmd *c);
void session_unselect(struct session *s);
/* Brings the view up to date and tells the client what changed. */
void session_sync(struct session *s, bool with_expunge);
void session_print_flags(
    struct session *s, const struct message *m, struct buf *out);
/* Announces keywords among these that the client does not know. */
void session_announce(struct session *s, uint64_t keywords);

/* ---- session_boxes.c ---- */
void session_list(struct session *s, const struct imap_cmd *c);
void session_status(struct session *s, const struct imap_cmd *c);
/* The STATUS response of one mailbox; -1 with e. */
int session_print_status(
    struct session *s, struct span utf8, unsigned items, struct err *e);

/* ---- session_fetch.c ---- */
void session_fetch(struct session *s, const struct imap_cmd *c);
void session_forget_text(struct session *s);
/* The message's text, and with `structure` its MIME parts in s->mime. */
int session_text(
    struct session *s, uint32_t seq, bool structure, struct err *e);

/* ---- session_messages.c ---- */
void session_store(struct session *s, const struct imap_cmd *c);
void session_copy(struct session *s, const struct imap_cmd *c);
void session_expunge(struct session *s, const struct imap_cmd *c);
/* The sequence numbers that a command names, in memory of mem_alloc, or
 * NULL when the set is no set of this mailbox: it was answered with BAD. */
uint32_t *session_seqs(
    struct session *s, const struct imap_cmd *c, size_t *out_count);

/* ---- session_search.c ---- */
void session_search(struct session *s, const struct imap_cmd *c);

/* ---- session_append.c ---- */
void session_append_begin(struct session *s, const struct imap_cmd *c);
void session_append_data(struct session *s, struct span bytes);
void session_append_end(struct session *s);
void session_append_drop(struct session *s);

/* ---- session_idle.c ---- */
/* Descriptors that tell of foreign changes while IDLE lasts. */
void session_idle_begin(struct session *s);
void session_idle_end(struct session *s);
/* The watched paths said something. */
void session_idle_drain(struct session *s);

/* ---- session_control.c: the spawner ---- */
/* Reads the first message, which says who the user is. */
int session_control_start(struct session *s, struct err *e);
/* Reads what is there now; sets changed, closing or control_lost. */
void session_control_read(struct session *s);
int session_lockfile(
    void *arg, const char *op, const char *path, struct err *e);
/* Mail was added or went: says whether the quota is full, if that changed. */
void session_quota(struct session *s);

#endif
