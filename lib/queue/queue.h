/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QUEUE_QUEUE_H
#define CHAPPE_QUEUE_QUEUE_H

/*
 * The queue on disk: one file a message, in hashed directories below
 *   incoming/  being accepted, or accepted and durable only in the journal
 *              (not yet sealed; with queue_commit = file never after a 250)
 *   active/    sealed, due or being delivered
 *   deferred/  sealed, waiting; notes in the file say until when
 *   hold/      sealed, waiting for the administrator
 *   corrupt/   sealed files that do not verify
 * Of a short message that is in the journal there is no file until somebody
 * needs one ("unfiled").
 * Sealing makes a file durable on its own: fsync, rename to its sealed place,
 * fsync of that directory. docs/FORMATS.md has the bytes and the table of
 * states. The writer is asynchronous, so that group commit can stand behind
 * the same interface; everything else here blocks and is called from
 * lib/os/work or from tools. Result -1 always has a temporary err.
 */

#include <stdint.h>
#include <sys/types.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/os/loop.h"
#include "lib/os/range.h"
#include "lib/queue/queue_id.h"

enum queue_dir {
	QUEUE_INCOMING,
	QUEUE_ACTIVE,
	QUEUE_DEFERRED,
	QUEUE_HOLD,
	QUEUE_CORRUPT,
	QUEUE_DIRS
};
const char *queue_dir_name(enum queue_dir d);

/* RFC 3461 4.1. */
enum {
	DSN_NOTIFY_NEVER = 1,
	DSN_NOTIFY_SUCCESS = 2,
	DSN_NOTIFY_FAILURE = 4,
	DSN_NOTIFY_DELAY = 8
};
enum dsn_ret { DSN_RET_UNSET, DSN_RET_FULL, DSN_RET_HDRS };

enum { RCPT_ALIAS = 1 /* local part is in alias_maps */ };

/* A recipient, with what routing found at acceptance. */
struct queue_rcpt {
	struct span address;	  /* to be delivered to */
	struct span orig_address; /* as the client gave it; may equal address */
	struct span transport, nexthop;
	struct span dsn_orcpt; /* xtext-decoded "rfc822;a@b" or empty */
	uint32_t dsn_notify;   /* DSN_NOTIFY_* or 0: default */
	uint32_t flags;	       /* RCPT_* */
};

struct queue_envelope {
	uint64_t trace; /* message-level trace id */
	int64_t arrival_us;
	struct span sender; /* empty: null */
	struct span dsn_envid;
	enum dsn_ret dsn_ret;
	struct span encoding;		      /* "7BIT", "8BITMIME" or empty */
	struct span client_name, client_addr; /* log and XFORWARD facts */
	struct span helo, protocol, sasl_user, sasl_method;
	struct span message_id; /* for logs; may be empty */
	int64_t uid;		/* local submitter, or -1 */
	struct span filter;	/* "transport:nexthop" that goes before the
				   recipients' own (content_filter, FILTER);
				   empty: none */
	int64_t release_at_s;	/* not to be delivered before (RFC 4865); 0 */
	bool smtputf8;		/* RFC 6531: the next hop must offer it */
	bool requiretls;	/* RFC 8689: only over verified TLS */
	bool tls_optional; /* RFC 8689 5: TLS-Required: No; not both */
	bool probe;		/* asks only whether its recipients can be
				   delivered to: is tried once, never is */
	enum queue_dir birth; /* QUEUE_ACTIVE, or QUEUE_HOLD */
};

struct queue;
/* loop may be NULL for tools that use only the blocking part. Missing
 * directories are an error of the step that needs them: queue_make_dirs. */
int queue_open(const char *queue_directory, struct loop *loop,
    struct queue **out, struct err *e);
void queue_close(struct queue **q);
/* Makes the directories that are missing (mode 02770, as the caller; master
 * corrects the owners). */
int queue_make_dirs(struct queue *q, struct err *e);

/* ---- writing a message (on the loop, asynchronous) ---- */
struct queue_writer;
/* Issues the id at once; nothing touches the disk before the first flush.
 * The slot of q must be set. The envelope is copied. */
void queue_set_slot(struct queue *q, uint8_t slot);
struct queue_writer *queue_writer_open(
    struct queue *q, const struct queue_envelope *env);
struct queue_id queue_writer_id(const struct queue_writer *w);
/* Recipients may come at any time before commit (they are written in front
 * of the content all the same). */
void queue_writer_rcpt(struct queue_writer *w, const struct queue_rcpt *r);
/* Forgets the recipients given so far. */
void queue_writer_clear_rcpts(struct queue_writer *w);
/* The envelope as it will be written: may be changed until the commit, with
 * spans from queue_writer_keep (or such that outlive the writer). */
struct queue_envelope *queue_writer_envelope(struct queue_writer *w);
struct span queue_writer_keep(struct queue_writer *w, struct span bytes);
/* The Message-ID, when the header came by (before commit). */
void queue_writer_message_id(struct queue_writer *w, struct span message_id);
/* Content bytes, stored as they are. */
void queue_writer_body(struct queue_writer *w, struct span bytes);
/* True when so much waits for the disk that the caller should pause its
 * input until `ready` is called. */
typedef void (*queue_ready_fn)(void *arg);
bool queue_writer_busy(struct queue_writer *w, queue_ready_fn ready, void *arg);
uint64_t queue_writer_size(const struct queue_writer *w); /* content */
/* Makes it durable; done is called once with e NULL when the message would
 * survive a power cut, else with why not (then nothing is left behind). *w is
 * NULL at once. */
typedef void (*queue_commit_fn)(
    void *arg, struct queue_id id, const struct err *e);
void queue_writer_commit(
    struct queue_writer **w, queue_commit_fn done, void *arg);
void queue_writer_abort(struct queue_writer **w);
/* Blocking form of commit, for tools and processes without a loop: the queue
 * was opened with loop NULL. */
int queue_writer_commit_sync(
    struct queue_writer **w, struct queue_id *out, struct err *e);

/* ---- group commit (on the loop) ----
 * Once a process has called queue_group, its commits of messages that fit
 * (some hundred KB, born in active/) go into a journal segment that qmgr has
 * given it, together with all others that wait: docs/DESIGN.md, "Group
 * commit". Without a segment each message is sealed by itself; one is asked
 * for when the first message begins. */
struct queue_segment {
	int fd; /* write-only; owned by the queue once given */
	uint32_t number;
	uint64_t generation, size;
};
/* Where a message stands in the journal. */
struct queue_place {
	uint32_t segment;
	uint64_t generation, at, end;
	bool unfiled; /* its record is all there is of it */
};
struct queue_group_ops {
	/* A segment is wanted: one of queue_group_give, _none and _forget is
	 * called then, not from inside. */
	void (*want)(void *arg);
	/* Nothing more is written to that one; its records end there.
	 * refused: the disk did not take some; nobody should use it again. */
	void (*full)(void *arg, uint32_t number, uint64_t generation,
	    uint64_t end, bool refused);
};
void queue_group(
    struct queue *q, const struct queue_group_ops *ops, void *arg);
void queue_group_give(struct queue *q, const struct queue_segment *s);
/* qmgr has none: until it has one again and what is left is full, commits
 * fail with 4.3.1. */
void queue_group_none(struct queue *q);
/* qmgr could not be asked, or knows no group commit: asked again later. */
void queue_group_forget(struct queue *q);
/* The segments this process holds, for qmgr; returns how many. */
size_t queue_group_held(const struct queue *q, struct queue_place out[2]);
/* Inside queue_commit_fn: where the message is; false: it is sealed. */
bool queue_commit_place(
    const struct queue *q, struct queue_id id, struct queue_place *out);
/* Inside queue_commit_fn, for queue_message_from_head: the file's bytes up to
 * the content. Empty: they are too many, or not at hand; never of an unfiled
 * message. */
struct span queue_commit_head(const struct queue *q);
/* Ids of this process are later than this time. */
void queue_set_bound(struct queue *q, int64_t bound_us);

/* ---- files of long messages used again (group commit only) ---- */
/* qmgr: the file of a finished message in incoming/ or active/ becomes a spare
 * of its maker. In active/: not before its REMOVED record is durable, or a
 * power cut could show another message under its name. Blocks. */
int queue_spare_make(struct queue *q, enum queue_dir dir, struct queue_id id,
    struct err *e);
/* Its maker may fill it again, with a message that does not fit into one chunk;
 * false: it has enough, or did not make it. */
bool queue_spare_give(struct queue *q, struct queue_id id);
/* The next of those that were given and are none any more, for qmgr: filled, or
 * lost. Within queue_commit_fn that message's is among them. */
bool queue_spare_gone(struct queue *q, struct queue_id *out);
/* Removes one. Blocks. */
void queue_spare_remove(struct queue *q, struct queue_id id);
/* qmgr: removes the spares of a slot (-1: all) that nobody is filling.
 * Blocks. */
void queue_spare_clean(struct queue *q, int slot);

/* ---- room kept back (qmgr only; blocks) ---- */
/* journal/reserve has size bytes of its own on the disk, or is empty and -1. */
int queue_reserve_make(struct queue *q, uint64_t size, struct err *e);
int queue_reserve_free(struct queue *q, struct err *e);

/* This process's messages are about mail that is in the queue already: where
 * qmgr has no segment for them they are sealed by themselves, not refused. */
void queue_never_refuse(struct queue *q);

/* Bytes and inodes free on the queue's file system, for 452 4.3.1. */
int queue_free_space(
    struct queue *q, uint64_t *out_bytes, uint64_t *out_inodes, struct err *e);

/* ---- reading ---- */
enum rcpt_state { RCPT_TODO, RCPT_DONE, RCPT_BOUNCED /* and reported */ };

struct queue_rcpt_status {
	enum rcpt_state state;
	int64_t last_try_us;		 /* 0: never */
	struct span dsn, reason, remote; /* of the last failure */
	uint64_t mark_at; /* place of the mark byte, for queue_mark_at */
};

/* The last failure of one recipient. */
struct queue_note {
	uint32_t rcpt_index;
	int64_t at_us;
	struct span dsn, reason, remote;
};

/* An opened message. All spans of the envelope live in its arena. */
struct queue_message {
	struct queue_id id;
	struct queue_envelope env;
	uint32_t rcpt_count, todo_count;
	uint64_t content_at, content_size; /* in the file */
	uint32_t content_crc;
	int64_t next_try_s; /* 0: at once */
	uint32_t tries;
	int fd; /* read-write for qmgr, else read-only; -1: not opened */
	struct arena arena;
	/* private */
	struct span head; /* the file up to the content, or empty */
	struct arena page;
	struct queue_note *notes; /* by recipient index */
	size_t note_count;
	uint64_t *group_at; /* where each RECORD_GROUP-th recipient is */
	uint64_t end_at;    /* behind the end record: the notes */
	uint64_t envelope_end, more_at, more_end;
};
/* Opens and verifies (frame, id, length; the content's checksum only with
 * check_content). A damaged file: permanent err; the caller moves it to
 * corrupt/. ENOENT: e->sysno. */
int queue_message_open(struct queue *q, enum queue_dir dir, struct queue_id id,
    int flags /* O_RDONLY, O_RDWR */, bool check_content,
    struct queue_message **out, struct err *e);
/* The same from a descriptor, for agents and tools. */
int queue_message_from_fd(
    int fd, bool check_content, struct queue_message **out, struct err *e);
/* The same from what the acceptor told: the file's first bytes, up to the
 * content or further. Nothing is opened. A temporary err: they do not hold the
 * whole envelope. */
int queue_message_from_head(
    struct span head, struct queue_message **out, struct err *e);
void queue_message_close(struct queue_message **m);
/* Where its content is, for those who read it from another descriptor (fd is
 * -1). */
struct range queue_message_content(const struct queue_message *m);
/* Another descriptor of a message's file; nothing is checked. */
int queue_open_file(struct queue *q, enum queue_dir dir, struct queue_id id,
    int flags, int *out_fd, struct err *e);
/* Recipients in pages: fills up to max from index `from`; spans live until
 * the next call or the close. out_status may be NULL. Returns how many, or
 * -1. */
int queue_message_rcpts(struct queue_message *m, uint32_t from, uint32_t max,
    struct queue_rcpt *out, struct queue_rcpt_status *out_status,
    struct err *e);

/* ---- changing (one owner: qmgr, or a tool that holds qmgr's lock) ---- */
/* Marks a recipient in place (one byte); durable only after
 * queue_message_sync. */
int queue_message_mark(struct queue_message *m, uint32_t rcpt_index,
    enum rcpt_state state, struct err *e);
/* The same with the place known from queue_rcpt_status. */
int queue_mark_at(
    int fd, uint64_t mark_at, enum rcpt_state state, struct err *e);
/* Records the last failures beside those of other recipients that stand
 * there; counts one more try. n is in order of rcpt_index. */
int queue_message_notes(struct queue_message *m, const struct queue_note *n,
    size_t count, int64_t next_try_s, struct err *e);
int queue_message_sync(struct queue_message *m, struct err *e);
/* Durable rename between sealed places. */
int queue_move(struct queue *q, struct queue_id id, enum queue_dir from,
    enum queue_dir to, struct err *e);
/* The steps of queue_seal apart: the file's flush, the rename, and the flush
 * of the directory that it is in then. */
int queue_flush(struct queue *q, struct queue_id id, enum queue_dir dir,
    struct err *e);
int queue_rename(struct queue *q, struct queue_id id, enum queue_dir from,
    enum queue_dir to, struct err *e);
int queue_sync(struct queue *q, enum queue_dir dir, struct queue_id id,
    struct err *e);
/* All of the queue's file system; for the holder of queue_lock. */
int queue_sync_all(struct queue *q, struct err *e);
int queue_remove(
    struct queue *q, struct queue_id id, enum queue_dir dir, struct err *e);
/* The same, durably: for what is answered to somebody. */
int queue_remove_synced(
    struct queue *q, struct queue_id id, enum queue_dir dir, struct err *e);
/* Calls fn for each id in a directory (0 on), in no order; fn returning
 * false ends it. mtime_s, for deferred/ only (else 0), is about when the last
 * try ended: notes are written then, and nobody sets it. Names that are no
 * ids are skipped. */
typedef bool (*queue_scan_fn)(void *arg, struct queue_id id, int64_t mtime_s);
int queue_scan(struct queue *q, enum queue_dir dir, queue_scan_fn fn, void *arg,
    struct err *e);
/* What a scan does with incoming/: removes what was never answered: all
 * files of slots not in living (bit set of 256), see the table of states. */
int queue_recover_incoming(struct queue *q, const uint8_t living[32],
    unsigned *out_removed, struct err *e);
/* Makes a file of incoming/ durable on its own: flushes it, moves it to its
 * sealed place `to`, flushes that directory. */
int queue_seal(struct queue *q, struct queue_id id, enum queue_dir to,
    struct err *e);

/* qmgr's lock on the whole queue (pid/qmgr.lock): -1 EAGAIN when held. */
int queue_lock(struct queue *q, bool wait, int *out_fd, struct err *e);

#endif
