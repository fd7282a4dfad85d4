/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_IMAP_CMD_H
#define CHAPPE_PROTO_IMAP_CMD_H

/*
 * One IMAP command as a value: RFC 3501 6 and 9, with IDLE (RFC 2177),
 * NAMESPACE (RFC 2342), UIDPLUS (RFC 4315), UNSELECT (RFC 3691), ID (RFC
 * 2971), MOVE (RFC 6851), SASL-IR (RFC 4959), the options of LIST (RFC 5258,
 * RFC 5819, RFC 6154). Everything a command points at lives in the arena it
 * was parsed into, or in the command's own bytes.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/span.h"
#include "lib/proto/seqset.h"

enum imap_verb {
	IMAP_APPEND,
	IMAP_AUTHENTICATE,
	IMAP_CAPABILITY,
	IMAP_CHECK,
	IMAP_CLOSE,
	IMAP_COPY,
	IMAP_CREATE,
	IMAP_DELETE,
	IMAP_EXAMINE,
	IMAP_EXPUNGE,
	IMAP_FETCH,
	IMAP_ID,
	IMAP_IDLE,
	IMAP_LIST,
	IMAP_LOGIN,
	IMAP_LOGOUT,
	IMAP_LSUB,
	IMAP_MOVE,
	IMAP_NAMESPACE,
	IMAP_NOOP,
	IMAP_RENAME,
	IMAP_SEARCH,
	IMAP_SELECT,
	IMAP_STARTTLS,
	IMAP_STATUS,
	IMAP_STORE,
	IMAP_SUBSCRIBE,
	IMAP_UNSELECT,
	IMAP_UNSUBSCRIBE,
};

/* The connection's states, as a mask of where a command is legal. */
enum imap_state {
	IMAP_NOT_AUTHENTICATED = 1,
	IMAP_AUTHENTICATED = 2,
	IMAP_SELECTED = 4,
	IMAP_LOGGED_OUT = 8,
};

/* The values are those of lib/store's FLAG_*. */
enum imap_flag_bit {
	IMAP_ANSWERED = 1,
	IMAP_FLAGGED = 2,
	IMAP_DELETED = 4,
	IMAP_SEEN = 8,
	IMAP_DRAFT = 16,
	IMAP_RECENT = 32,
};

struct imap_flags {
	unsigned system; /* enum imap_flag_bit */
	struct span *keywords;
	size_t keyword_count;
};

enum imap_search_op {
	SEARCH_AND, /* child: the list; an empty one matches */
	SEARCH_OR,  /* child: two or more */
	SEARCH_ALL,
	SEARCH_SET,	/* set of sequence numbers, unresolved */
	SEARCH_UID,	/* set of UIDs, unresolved */
	SEARCH_FLAG,	/* number: an enum imap_flag_bit */
	SEARCH_KEYWORD, /* text */
	SEARCH_HEADER,	/* field contains text; empty text: field present */
	SEARCH_BODY,	/* text */
	SEARCH_TEXT,	/* text, header or body */
	SEARCH_BEFORE,	/* day since 1970-01-01, of INTERNALDATE */
	SEARCH_ON,
	SEARCH_SINCE,
	SEARCH_SENTBEFORE, /* day, of the Date field */
	SEARCH_SENTON,
	SEARCH_SENTSINCE,
	SEARCH_LARGER, /* number */
	SEARCH_SMALLER,
};

struct imap_search {
	enum imap_search_op op;
	bool negate;
	struct imap_search *child; /* first of a list */
	struct imap_search *next;  /* sibling */
	struct span field, text;
	struct seqset set;
	int32_t day;
	uint32_t number;
};

enum imap_section_kind {
	SECTION_ALL,
	SECTION_HEADER,
	SECTION_FIELDS,
	SECTION_FIELDS_NOT,
	SECTION_TEXT,
	SECTION_MIME,
};

struct imap_section {
	uint32_t *part; /* numbers of "1.2.3" */
	size_t part_count;
	enum imap_section_kind kind;
	struct span *fields;
	size_t field_count;
	struct span text; /* as the client wrote it, "1.2.MIME" */
};

enum imap_fetch_kind {
	FETCH_BODY_SECTION,
	FETCH_BODY, /* the short body structure */
	FETCH_BODYSTRUCTURE,
	FETCH_ENVELOPE,
	FETCH_FLAGS,
	FETCH_INTERNALDATE,
	FETCH_RFC822,
	FETCH_RFC822_HEADER,
	FETCH_RFC822_SIZE,
	FETCH_RFC822_TEXT,
	FETCH_UID,
};

struct imap_fetch {
	enum imap_fetch_kind kind;
	struct imap_fetch *next;
	bool peek;
	struct imap_section section;
	bool partial;
	uint32_t from, count; /* of a partial: octet and length */
};

enum imap_store_mode { STORE_SET, STORE_ADD, STORE_REMOVE };

enum imap_status_bit {
	STATUS_MESSAGES = 1,
	STATUS_RECENT = 2,
	STATUS_UIDNEXT = 4,
	STATUS_UIDVALIDITY = 8,
	STATUS_UNSEEN = 16,
};

enum imap_list_bit {
	LIST_SUBSCRIBED = 1, /* selection options */
	LIST_REMOTE = 2,
	LIST_RECURSIVE = 4,
	LIST_SPECIAL = 8,
	LIST_RETURN_SUBSCRIBED = 16, /* return options */
	LIST_RETURN_CHILDREN = 32,
	LIST_RETURN_SPECIAL = 64,
	LIST_RETURN_STATUS = 128,
	LIST_EXTENDED = 256, /* any option at all, or several patterns */
};

struct imap_cmd {
	struct span tag;
	enum imap_verb verb;
	const char *name;	       /* the verb in capitals, a constant */
	bool uid;		       /* said with the UID prefix */
	struct span mailbox, mailbox2; /* INBOX in capitals; 2: new name */
	struct seqset set;
	struct span set_text;	 /* the set as the client wrote it */
	struct imap_flags flags; /* STORE, APPEND */
	enum imap_store_mode store_mode;
	bool silent;
	struct imap_fetch *fetch;
	struct imap_search *search;
	struct span charset; /* empty: none given */
	unsigned status;     /* enum imap_status_bit; also LIST's */
	unsigned list;	     /* enum imap_list_bit */
	struct span *patterns;
	size_t pattern_count;
	struct span user, password;	/* LOGIN */
	struct span mechanism, initial; /* AUTHENTICATE; "=" gives empty */
	bool has_initial;
	uint64_t append_size;
	bool append_plus; /* the literal needs no "+" */
	bool has_date;
	int64_t date; /* APPEND's INTERNALDATE, seconds; zone in minutes */
	int date_zone;
};

/*
 * Parses one whole command (without its last CRLF; literals inside as they
 * came). PARSE_BAD: *out_why says what is wrong, and out->tag is the tag, or
 * empty when not even that was there. An APPEND is only parsed as far as the
 * mark of its message literal, which must end the input. state is where the
 * connection is; a command out of place is PARSE_BAD too.
 */
enum parse imap_cmd_parse(struct span in, enum imap_state state,
    struct arena *a, struct imap_cmd *out, const char **out_why);

/* Is `in`, which ends in a literal mark, the beginning of an APPEND whose
 * next literal is the message? Cheap for other commands. */
bool imap_cmd_is_append(struct span in, struct arena *a);

#endif
