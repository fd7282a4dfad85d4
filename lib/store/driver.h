/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_STORE_DRIVER_H
#define CHAPPE_STORE_DRIVER_H

/*
 * Private to lib/store: what a mailbox format must be able to do. The files
 * are the truth; `merge` brings the index into line with them, and all else
 * (views, STATUS, copying) works from the index. Functions named "under the
 * lock" are called between index_lock and index_unlock.
 */

#include "lib/store/index.h"
#include "lib/store/keywords.h"
#include "lib/store/location.h"
#include "lib/store/quota.h"
#include "lib/store/store.h"

struct store_driver;

struct store {
	struct store_user user; /* its strings are copies */
	struct location location;
	struct quota quota; /* of a Maildir */
	const struct store_driver *driver;
};

struct mailbox {
	struct store *store;
	const struct store_driver *driver;
	char *name; /* as given; "INBOX" in upper case */
	bool read_only;
	bool delivery; /* ATTACH_DELIVERY */
	bool moving;   /* what is added here goes elsewhere: no quota */
	struct index *index;
	struct keywords keywords;
	void *state; /* the driver's */
	/* The view. */
	uint32_t validity;
	struct message *messages;
	uint32_t count, cap;
	const char *watch[4]; /* the driver's strings */
};

/* How a change of flags is meant for each message. */
struct flag_change {
	enum flag_op op;
	uint8_t flags;
	uint64_t keywords;
};
/* The flags after the change, from those before. */
void flag_change_apply(const struct flag_change *c, uint8_t *flags,
    uint64_t *keywords);

struct save; /* messages being added, the driver's */

struct store_driver {
	char separator;

	/* Opens the mailbox's place: mb->state, mb->index, mb->watch. create:
	 * the inbox is made when it is not there; others are ENOENT. */
	int (*open)(struct mailbox *mb, struct err *e);
	void (*close)(struct mailbox *mb);
	/* Cheap: did the files change since the last merge? */
	bool (*changed)(struct mailbox *mb);
	/* Under the lock: files -> index. Sets head->uid_validity. */
	int (*merge)(struct mailbox *mb, struct err *e);
	/* The message's bytes with CRLF. ENOENT: not there (any more). */
	int (*text)(struct mailbox *mb, uint32_t uid, struct buf *out,
	    struct err *e);
	/* Under the lock, after a merge; uids that are not there are passed
	 * over. Files, then index; durable. */
	int (*set_flags)(struct mailbox *mb, const uint32_t *uids,
	    size_t count, const struct flag_change *change, struct err *e);
	int (*expunge)(struct mailbox *mb, const uint32_t *uids, size_t count,
	    struct err *e);

	/* Makes mb->keywords durable. Under the lock. */
	int (*keywords_save)(struct mailbox *mb, struct err *e);

	/* Adding messages to mb, which is open but perhaps never merged.
	 * save_commit: all become visible, or none; durable. With delivery
	 * no uids are given. */
	int (*save_begin)(struct mailbox *mb, bool delivery,
	    struct save **out, struct err *e);
	int (*save_message)(struct save *sv, const struct append_meta *meta,
	    struct err *e);
	int (*save_write)(struct save *sv, struct span bytes, struct err *e);
	int (*save_end)(struct save *sv, struct err *e);
	int (*save_commit)(struct save **sv, uint32_t *out_uids,
	    uint32_t *out_validity, struct err *e);
	void (*save_abort)(struct save **sv);

	/* Folders. list: every mailbox but INBOX, in any order; a name that is
	 * only a parent comes with BOX_NOSELECT. */
	int (*list)(struct store *s, store_list_fn fn, void *arg,
	    struct err *e);
	int (*create)(struct store *s, struct span name, struct err *e);
	/* A name that will only have children. NULL: as create, where a
	 * mailbox may have children itself. */
	int (*create_parent)(struct store *s, struct span name, struct err *e);
	int (*remove)(struct store *s, struct span name, struct err *e);
	int (*rename)(struct store *s, struct span from, struct span to,
	    struct err *e);
	/* The file with the subscriptions, in the directory of the root. */
	const char *subscriptions;
	/* The file with what store_validity has to be above, there too. */
	const char *validity;
};

extern const struct store_driver maildir_driver;
extern const struct store_driver mbox_driver;

/* A mailbox without a view (mailbox_open without its first sync). */
enum attach {
	ATTACH_WRITE,
	ATTACH_READ_ONLY,
	ATTACH_DELIVERY, /* no index is made where there is none */
};
int mailbox_attach(struct store *s, struct span name, enum attach how,
    struct mailbox **out, struct err *e);
/* index_lock and merge; on 0 the lock is held. */
int mailbox_lock(struct mailbox *mb, struct err *e);
/* Number for a keyword, made if needed. Under the lock. -1: no room. */
int mailbox_keyword_make(struct mailbox *mb, struct span name, struct err *e);

/* A store of one mbox, INBOX, at an absolute path, with its index in memory. */
int store_open_file(const char *path, int64_t size_max, struct store **out,
    struct err *e);

/* ---- names ---- */
/* Is it INBOX, in any case? */
bool name_is_inbox(struct span name);
/* Refuses what can't be a mailbox: empty parts, too long or deep, control
 * bytes, no UTF-8, what the file system would take for something else.
 * Permanent error. */
int name_check(const struct store *s, struct span name, struct err *e);
/* The root directory; made if `create`. ENOENT (sysno) otherwise. */
int store_root_open(const struct store *s, bool create, int *out_fd,
    struct err *e);

/* A UIDVALIDITY for a mailbox that is new: the time, and above that of every
 * mailbox of this store that was removed or renamed. */
uint32_t store_validity(const struct store *s);

/* *to = *from, where to may be NULL. */
static inline void
err_copy(struct err *to, const struct err *from)
{
	if (to != NULL)
		*to = *from;
}

/* The name of the keyword file beside the index. */
extern const char keywords_file[];

#endif
