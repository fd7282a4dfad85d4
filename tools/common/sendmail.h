/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_TOOLS_SENDMAIL_H
#define CHAPPE_TOOLS_SENDMAIL_H

/*
 * The parts of the sendmail command: its options, the message it reads, and
 * the two ways the message can go: over public/submission, or as a file into
 * maildrop/. Everything here belongs to one run of one command: it may exit
 * through tool_fatal, and what it allocates is not freed.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/mail/maildrop.h"
#include "tools/common/tool.h"

/* ---- options (sendmail_options.c) ---- */
enum sendmail_mode {
	SENDMAIL_DELIVER,    /* -bm */
	SENDMAIL_SMTP,       /* -bs */
	SENDMAIL_LIST,       /* -bp, mailq */
	SENDMAIL_ALIASES,    /* -bi, -I, newaliases */
	SENDMAIL_DAEMON,     /* -bd, -bl */
	SENDMAIL_FLUSH,      /* -q */
	SENDMAIL_FLUSH_ID,   /* -qIid */
	SENDMAIL_FLUSH_SITE, /* -qRsite */
	SENDMAIL_NOTHING,    /* -bh, -bH, -q30m */
};

struct sendmail_options {
	enum sendmail_mode mode;
	const char *conf_dir;  /* -C, or NULL */
	const char *sender;    /* -f, -r; NULL: the login name */
	const char *full_name; /* -F, or NULL */
	const char *flush;     /* the id or site */
	const char *aliases;   /* -oA, or NULL */
	bool extract;          /* -t */
	bool dot_is_data;      /* -i, -oi */
	bool eight_bit;        /* -B 8BITMIME */
	uint32_t dsn_notify;   /* -N */
	enum dsn_ret dsn_ret;  /* -R */
	const char *dsn_envid; /* -V, or NULL */
	char *const *rcpts;    /* what follows the options, NULL-ended */
};

/* Reads the command line; a wrong one is fatal. Handles the names mailq and
 * newaliases. */
void sendmail_options(int argc, char *argv[], struct sendmail_options *out);

/* ---- the message (sendmail_message.c) ---- */
struct sendmail_message {
	struct maildrop_envelope env;
	int fd;        /* memory file: the content, lines ending in LF */
	uint64_t size;
};

/* Reads the message from standard input: a leading "From " line, CRs and NULs
 * go, blind copies too; From is added if missing. Recipients come from the
 * command line and, with -t, from the header. Fatal: no recipient, an address
 * that is none, more than message_size_limit. */
void sendmail_read(const struct sendmail_options *o, struct conf *c,
    const struct common_conf *common, struct sendmail_message *out);

/* ---- submission (sendmail_smtp.c) ---- */
enum sendmail_result {
	SENDMAIL_SENT,
	SENDMAIL_REFUSED, /* the suite said 5xx */
	SENDMAIL_DOWN,    /* nobody there, or 4xx: spool it */
};
/* Speaks SMTP over the UNIX socket at path. err tells about the last two. */
enum sendmail_result sendmail_submit(const char *path,
    const struct sendmail_message *m, struct err *e);
/* -bs: joins standard input and output to the socket until either ends. */
int sendmail_join(const char *path, struct err *e);

#endif
