/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_BASE_LIMITS_H
#define CHAPPE_BASE_LIMITS_H

/*
 * Every maximum that is not a parameter, in one place; where an RFC asks for
 * a minimum it stands beside. Units are bytes unless the name says otherwise.
 */

enum {
	/* SMTP */
	LIMIT_SMTP_LINE = 8192,       /* command line; RFC 5321 4.5.3.1.4: 512,
	                                 more with AUTH (RFC 4954: 12288 for
	                                 LIMIT_SASL_LINE) */
	LIMIT_SMTP_TEXT_LINE = 65536, /* kept whole when writing the queue;
	                                 RFC 5321 4.5.3.1.6: 1000 */
	LIMIT_SMTP_REPLY_LINE = 2048, /* from a server; 4.5.3.1.5: 512 */
	LIMIT_SMTP_REPLY = 16384,     /* all lines of one reply */
	LIMIT_ADDRESS = 1024,         /* RFC 5321 4.5.3.1.3: path 256 */
	LIMIT_LOCAL_PART = 512,       /* 4.5.3.1.1: 64 */
	LIMIT_DOMAIN = 255,           /* 4.5.3.1.2: 255 */
	LIMIT_SASL_LINE = 12288,      /* RFC 4954 4 */
	LIMIT_SMTP_TRANSACTION = 1 << 25, /* arena of one transaction: all
	                                     recipients with their routes */
	LIMIT_RCPT = 50000,           /* recipients of one message at most,
	                                 whatever the parameters say */

	/* IMAP */
	LIMIT_IMAP_LINE = 65536,      /* RFC 7162 4: 8192 */
	LIMIT_IMAP_PRELOGIN = 36864,  /* one command before login; RFC 2971
	                                 3.3: ID with 30 fields of 1054 */
	LIMIT_IMAP_NESTING = 32,      /* parentheses in a command */
	LIMIT_IMAP_COMMAND = 1 << 20, /* arena of one command */
	LIMIT_MAILBOX_NAME = 1000,
	LIMIT_MAILBOX_DEPTH = 32,

	/* Messages */
	LIMIT_HEADER = 4 << 20,       /* bytes of header that are parsed */
	LIMIT_HEADER_FIELD = 102400,  /* header_size_limit's default */
	LIMIT_HEADER_FIELDS = 10000,  /* that filters are shown */
	LIMIT_MIME_DEPTH = 100,
	LIMIT_MIME_PARTS = 10000,

	/* Inside */
	LIMIT_IPC_MESSAGE = 65536,    /* one datagram */
	LIMIT_IPC_FDS = 4,
	LIMIT_IPC_BACKLOG = 16 << 20, /* queued to a peer that does not read */
	LIMIT_LOG_LINE = 4096,
	LIMIT_CONFIG_LINE = 65536,
	LIMIT_TABLE_VALUE = 65536,
	LIMIT_TABLE_ROW = 1 << 20,    /* one row of a table's text */
	LIMIT_PATH = 4096,
};

#endif
