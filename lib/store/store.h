/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_STORE_STORE_H
#define CHAPPE_STORE_STORE_H

/*
 * One user's mail: a tree of mailboxes in Maildir++ or mbox, found by
 * mail_location in Dovecot's syntax. All of it runs as the user, blocks, and
 * treats the mail files as the truth: other programs (mutt, mailx, procmail)
 * may change them at any time under the usual locks. Each mailbox has an
 * index that only lib/store touches; it can always be rebuilt, and UIDs
 * survive that wherever the format can hold them (Maildir: uidlist; mbox:
 * X-UID and X-IMAPbase). Mailbox names are UTF-8 with the store's separator;
 * "INBOX" in any case is the inbox. Results: -1 with err; a permanent err
 * becomes NO, with e->dsn "5.2.0"-like codes; sysno ENOENT: no such mailbox,
 * EEXIST: it exists.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/span.h"

/* ---- the user's store ---- */
struct store_user {
	const char *name; /* login name: %u; %n and %d are its parts */
	const char *home; /* %h and ~; may be NULL */
	const char *location;     /* mail_location; NULL or "": by the next two */
	const char *home_mailbox; /* "Maildir/" or "mbox", relative to home */
	const char *mail_spool_directory; /* "/var/mail" */
	int64_t size_max;         /* of an mbox (mailbox_size_limit); 0 none */
	const char *quota_rule;   /* of a Maildir's folders together, as
				     lib/store/quota.h has it; NULL none */
	/* Makes ("make", non-blocking: -1 with sysno EEXIST if there), touches
	 * ("touch") or removes ("remove") the dotlock path, or creates an empty
	 * mailbox file 0600 ("create"), where the user itself may not write to
	 * the spool directory. NULL: done directly. */
	int (*lockfile)(void *arg, const char *op, const char *path,
	    struct err *e);
	void *lockfile_arg;
};

struct store;
/* Nothing is created yet but on first use. The user struct is copied. */
int store_open(const struct store_user *user, struct store **out,
    struct err *e);
void store_close(struct store **s);
char store_separator(const struct store *s); /* '.' Maildir++, '/' mbox */
/* Is there a quota, and if so, is it full? -1: it could not be counted. */
int store_quota(struct store *s, bool *out_limited, bool *out_full,
    struct err *e);

enum { /* attributes of a listed name */
	BOX_NOSELECT = 1, BOX_HASCHILDREN = 2, BOX_NOINFERIORS = 4,
	BOX_SUBSCRIBED = 8, BOX_NONEXISTENT = 16, BOX_MARKED = 32,
	BOX_UNMARKED = 64,
	BOX_DRAFTS = 256, BOX_SENT = 512, BOX_TRASH = 1024, BOX_JUNK = 2048,
	BOX_ARCHIVE = 4096, BOX_ALL = 8192, BOX_FLAGGED = 16384,
};
/* Calls fn for every mailbox (and, with subscribed_only, every subscribed
 * name whether it exists or not), sorted by name. */
typedef void (*store_list_fn)(void *arg, struct span name,
    unsigned attributes);
int store_list(struct store *s, bool subscribed_only, store_list_fn fn,
    void *arg, struct err *e);
int store_create(struct store *s, struct span name, struct err *e);
int store_delete(struct store *s, struct span name, struct err *e);
/* Renaming INBOX moves its messages to a new mailbox (RFC 3501 6.3.5). */
int store_rename(struct store *s, struct span from, struct span to,
    struct err *e);
int store_subscribe(struct store *s, struct span name, bool on,
    struct err *e);

/* ---- a mailbox ---- */
enum {
	FLAG_ANSWERED = 1, FLAG_FLAGGED = 2, FLAG_DELETED = 4, FLAG_SEEN = 8,
	FLAG_DRAFT = 16, FLAG_RECENT = 32 /* per session, never stored */
};
enum { KEYWORDS_MAX = 64 };

struct message {
	uint32_t uid;
	uint8_t flags;       /* FLAG_* */
	uint64_t keywords;   /* bit n: keyword n of the mailbox */
	int64_t internal_s;  /* INTERNALDATE, Unix seconds */
	int16_t internal_zone_min; /* its zone */
	uint32_t size;       /* RFC822.SIZE: with CRLF line ends */
	uint64_t modseq;     /* reserved for CONDSTORE; >= 1 */
};

struct mailbox_status {
	uint32_t messages, recent, unseen, uid_next, uid_validity;
	uint64_t highest_modseq, bytes;
};

struct mailbox;
int mailbox_open(struct store *s, struct span name, bool read_only,
    struct mailbox **out, struct err *e);
void mailbox_close(struct mailbox **mb);
/* STATUS of a mailbox that need not be open. */
int store_status(struct store *s, struct span name,
    struct mailbox_status *out, struct err *e);

/* The view: messages 1..count as this session has announced them. It
 * changes only in mailbox_sync. */
uint32_t mailbox_count(const struct mailbox *mb);
const struct message *mailbox_message(const struct mailbox *mb,
    uint32_t seq);
/* The sequence number of a uid, 0 if it is not in the view; or of the first
 * message with a uid of at least that (0: none). */
uint32_t mailbox_seq(const struct mailbox *mb, uint32_t uid);
uint32_t mailbox_seq_from(const struct mailbox *mb, uint32_t uid);
void mailbox_get_status(const struct mailbox *mb,
    struct mailbox_status *out);
bool mailbox_read_only(const struct mailbox *mb);
/* Name of keyword n (0..KEYWORDS_MAX-1), or NULL. */
const char *mailbox_keyword(const struct mailbox *mb, unsigned n);
/* Its number, made if `create` and room; -1 none. Names compare without
 * case. */
int mailbox_keyword_find(struct mailbox *mb, struct span name, bool create);

/* Looks at the files and brings the view up to date. Calls in this order:
 * expunged(seq) from high to low (not at all unless with_expunge), exists
 * (once, if the count grew), flags(seq) for each changed message. */
struct mailbox_sync_handler {
	void (*expunged)(void *arg, uint32_t seq, uint32_t uid);
	void (*exists)(void *arg, uint32_t count, uint32_t recent);
	void (*flags)(void *arg, uint32_t seq);
};
int mailbox_sync(struct mailbox *mb, bool with_expunge,
    const struct mailbox_sync_handler *h, void *arg, struct err *e);

/* The whole message with CRLF line ends. ENOENT (sysno): expunged meanwhile.
 * Release with message_text_release. */
struct message_text {
	struct span bytes;
	void *map; /* private to the store */
	size_t map_size;
	void *heap;
};
int mailbox_text(struct mailbox *mb, uint32_t seq, struct message_text *out,
    struct err *e);
void message_text_release(struct message_text *t);

enum flag_op { FLAGS_SET, FLAGS_ADD, FLAGS_REMOVE };
/* Changes the flags of the messages (sequence numbers, any order); durable
 * before it returns. The view has the new flags; own changes are not
 * reported again by mailbox_sync. */
int mailbox_set_flags(struct mailbox *mb, const uint32_t *seqs, size_t count,
    enum flag_op op, uint8_t flags, uint64_t keywords, struct err *e);
/* Removes the files of the messages named by uid; they leave the view by the
 * next mailbox_sync with expunges. Durable before it returns. */
int mailbox_expunge(struct mailbox *mb, const uint32_t *uids, size_t count,
    struct err *e);
/* Copies (moves) messages to another mailbox in one go: all or none.
 * out_uids gets the new uids, in the order of seqs; *out_validity the
 * target's UIDVALIDITY. A move expunges here afterwards. ENOENT: no target. */
int mailbox_copy(struct mailbox *mb, const uint32_t *seqs, size_t count,
    struct span target, bool move, uint32_t *out_uids,
    uint32_t *out_validity, struct err *e);

/* Paths to watch with inotify for foreign changes (directories or files);
 * NULL-ended, owned by the mailbox. */
const char *const *mailbox_watch_paths(const struct mailbox *mb);

/* ---- adding ---- */
struct append_meta {
	uint8_t flags;
	const char *const *keywords; /* NULL-ended, or NULL */
	int64_t internal_s;          /* 0: now */
	int16_t internal_zone_min;
	/* Deliveries only: */
	const char *queue_id; /* for recognising a repeated delivery, or NULL */
	struct span envelope_sender; /* mbox From_ line */
	bool delivery;        /* new/ and \Recent; else an APPEND */
};
struct append;
int append_begin(struct store *s, struct span mailbox,
    const struct append_meta *meta, struct append **out, struct err *e);
/* Bytes as they come; CRLF becomes LF in the file. */
int append_write(struct append *a, struct span bytes, struct err *e);
/* 0: survives power loss, with its directory. *out_uid 0 when the uid will
 * be given later (deliveries). */
int append_commit(struct append **a, uint32_t *out_uid,
    uint32_t *out_validity, struct err *e);
void append_abort(struct append **a);

#endif
