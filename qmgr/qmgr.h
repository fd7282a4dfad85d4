/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_QMGR_QMGR_H
#define CHAPPE_QMGR_QMGR_H

/*
 * What the parts of the queue manager share. One struct qmgr holds all state;
 * everything runs on the loop, and every step on a file in a thread
 * (lib/os/work), one at a time for a message: while `busy` nothing else is
 * started for it, and message_step goes on when the step is done.
 */

#include "lib/base/list.h"
#include "lib/daemon/daemon.h"
#include "lib/mail/agent_msg.h"
#include "lib/mail/delivery_log.h"
#include "lib/os/log.h"
#include "lib/os/work.h"
#include "lib/queue/queue.h"
#include "qmgr/journal.h"
#include "qmgr/qmgr_conf.h"
#include "qmgr/scheduler.h"

struct message;
struct delivery;
struct journal;
struct journal_segment;
struct reserve;

struct qmgr {
	struct daemon *daemon;
	struct loop *loop;
	const struct qmgr_conf *conf;
	struct queue *queue;
	int lock_fd;
	struct scheduler *sched;
	struct server *private, *public;
	struct client *bounce, *pickup;
	struct client *verify; /* NULL: no probe was met yet */
	struct timer *due;   /* the next message's time */
	struct timer *stuck; /* when to try failed steps again */
	struct reserve *reserve;
	bool pump_planned;
	/* start */
	unsigned scans;	  /* under way */
	bool dispatching; /* agents have reported, or 2 s */
	struct timer *grace;
	struct timer *incoming; /* when to look into incoming/ */
	struct table expected;	/* pids of agents, not yet registered */
	bool pids_known;
	uint8_t slots[32]; /* of acceptors that are connected */
	struct conn *acceptors[QUEUE_SLOTS]; /* the same; or NULL */
	/* agents */
	struct list agents;
	uint32_t last_id;    /* of MSG_DELIVER */
	struct list foreign; /* struct foreign, foreign.c */
	/* the journal (segments.c, journal.c) */
	struct list segments; /* struct journal_segment */
	size_t segment_count;
	uint32_t segment_number; /* the highest of all */
	uint64_t segment_generation;
	size_t head_bytes;	 /* of all messages' heads */
	size_t copied_bytes;	 /* of unfiled messages, for agents */
	int64_t bound_us;	 /* no id known is later */
	struct journal *journal; /* NULL: all is sealed, nothing is recorded */
	struct timer *tick;
	bool releasing;	  /* old segments of our own */
	bool sweep_again; /* incoming/ is to be looked through once more */
	unsigned bouncing;   /* calls to bounce under way */
	bool peer_is_admin;  /* of the connection being accepted */
	bool admin_group_known;
	gid_t admin_group;
	bool leaving;
	uint64_t leave_ms; /* at the latest */
};

/* ---- messages (message.c, settle.c) ---- */

/* A recipient of an active message, then its result. One block of memory
 * with the envelope's texts. */
struct rcpt {
	struct sched_entry entry;
	struct list link; /* in a list of results, or held */
	uint32_t index;
	uint64_t mark_at;
	uint32_t notify, flags, lost;
	struct span address, orig_address, orcpt, transport, nexthop;
	/* the result */
	enum rcpt_action action;
	char *dsn, *text, *remote, *diagnostic;
	int64_t at_us;
	struct delivery *delivery; /* that waits for it to be written */
};

/* What becomes of a message for another reason than its recipients. */
enum verdict {
	VERDICT_NONE,
	VERDICT_GONE,	 /* no such file */
	VERDICT_CORRUPT, /* it does not verify */
	VERDICT_RETRY,	 /* it could not be read */
	VERDICT_LATER,	 /* not due yet */
};

enum edit_op { EDIT_NONE, EDIT_DELETE, EDIT_HOLD, EDIT_REQUEUE };

struct message {
	struct sched_message sched;
	struct qmgr *q;
	struct work work;
	struct journal_step step; /* instead of work, with a record */
	bool busy;
	enum queue_dir dir;
	struct journal_segment *seg; /* has its record; NULL: it is sealed */
	struct list seg_link;
	uint64_t seg_at, seg_end; /* the record */
	bool unfiled; /* its file is not made yet: settle_file */
	bool made;    /* it was made later: its head is not all by now */
	bool rebuilt; /* from its record */
	bool unsure;  /* a flush of its file failed: the disk has what it has */
	bool suspect; /* an agent says that its content is damaged */
	bool moved;   /* to deferred/, and that is not flushed */
	struct log_ctx log;
	bool flushed; /* while it was being deferred */
	bool forced;		    /* try now, whatever the notes say */
	uint64_t domains; /* of recipients seen so far; see message_may_be_for */
	bool warned, warned_known; /* that it is late */
	bool expire;		    /* postsuper -e: at its next failure */
	bool untold; /* bounce did not take this round's failures: no more of
			them before the next one */
	struct queue_message *open; /* while active */
	int read_fd;		    /* of the same file, for agents; or -1 */
	size_t copied;		    /* bytes of it when it is a copy; or 0 */
	struct span head; /* what the acceptor told of the file; or empty. Of
			     an unfiled one until it is sealed or finished */
	int64_t active_us;
	uint32_t done_count; /* recipients that are done, in all */
	enum verdict verdict;
	bool retry_now; /* an agent died with its recipients */
	bool load_next; /* a page is to be read after this step */
	/* a page, between thread and loop */
	uint32_t next_page, page_max;
	struct queue_rcpt *page;
	struct queue_rcpt_status *page_status;
	int page_count; /* -1: e says why not */
	struct err e;
	bool not_yet;
	/* results of this round */
	struct list sent, failed, deferred; /* struct rcpt, by rcpt.link */
	struct list held; /* another qmgr gave them to an agent */
	size_t failed_count;
	struct list told;           /* sent, and the sender wants to hear it */
	size_t told_count;
	struct list writing; /* being written by the thread */
	struct queue_note *notes;
	size_t note_count;
	int64_t next_try_s;
	bool step_failed; /* e says why */
	bool no_room;	  /* it could not be loaded for want of it */
	bool spare;	  /* its file is to be used again */
	bool stuck;	  /* tried again by the timer */
	uint32_t emptied; /* reserve_emptied when the last step began */
	struct list stuck_link;
	enum edit_op edit;
	struct list edit_waiters; /* struct edit_one, admin.c */
};

/* A message of that id lies in dir: known from now on, due at that time
 * (ms). NULL: it was known. */
struct message *message_add(
    struct qmgr *q, struct queue_id id, enum queue_dir dir, uint64_t due_ms);
/* The beginning of its file as the acceptor wrote it (F_HEAD), if there is
 * room to keep it: then the file is opened for those only who need it. Of an
 * unfiled message it is always kept. */
void message_head(struct message *m, struct span head);
/* It is sealed: its file says all. */
void message_drop_head(struct message *m);
/* Takes the head out of it, with the memory; message_head gives one back. */
struct span message_take_head(struct message *m);
void message_forget(struct message *m);
/* Its sender asked that it be delivered later (RFC 4865)? */
bool message_unreleased(const struct message *m);
/* May it have recipients of this domain? Yes is sure only where no is not:
 * each domain seen sets one of 64 bits, and none is set before it was opened. */
bool message_may_be_for(const struct message *m, struct span domain);
/* Loads what is due, sends out what can go; from the loop, soon. */
void qmgr_pump_soon(void *q);
/* A page or the first one is to be read. */
void message_load(struct message *m);
/* Goes on with a message: writes results, bounces, ends. */
void message_step(struct message *m);
/* A step on its file, that was not one of its round, is over. */
void message_idle(struct message *m);
/* Takes all queued recipients out, so that the message comes to its end. */
void message_withdraw(struct message *m);
void message_close(struct message *m);
/* postsuper -e was said about it. */
bool message_expired(const struct sched_message *s);
void qmgr_unstick(void *q); /* timer_fn */

struct rcpt *rcpt_new(const struct queue_rcpt *r,
    const struct queue_rcpt_status *s, uint32_t index);
void rcpt_free(struct rcpt *r);
struct rcpt_result {
	enum rcpt_action action;
	struct span dsn, text, remote, diagnostic;
	bool passed_on; /* the next hop tells the sender of success */
	bool damaged;	/* the agent found that the content is */
};
/* Takes the result of a recipient that is in no batch and no queue. */
void message_result(
    struct message *m, struct rcpt *r, const struct rcpt_result *res);
/* The same with the log line, for what qmgr answers itself. */
void message_result_own(struct message *m, struct rcpt *r,
    enum rcpt_action action, const char *dsn, const char *text);
/* A recipient's result is on file. */
void rcpt_written(struct rcpt *r);

/* ---- bounces (bounces.c): asks the bounce service for a notification about
 * the failed recipients, or those to be told about, then puts them where they
 * are marked from. */
bool wants_success(const struct message *m, const struct rcpt *r);
void message_bounce(struct message *m);
/* Is the sender to hear, once, that the deferred recipients are late? Then
 * message_warn tells. */
bool message_warning_due(struct message *m);
void message_warn(struct message *m);
/* When its lifetime began: its arrival, or its release; microseconds. */
int64_t message_begin_us(const struct message *m);

/* ---- probes.c: tells verify what became of a probe's recipient. */
void probe_result(const struct message *m, const struct rcpt *r);

/* ---- agents (agents.c, dispatch.c, foreign.c) ---- */
/* What an agent reported of an earlier qmgr's requests: if recipient index of
 * id is still in delivery there, or its result is known, takes r over and
 * returns true. */
bool foreign_claim(struct message *m, struct rcpt *r);
void foreign_release(struct qmgr *q);
/* A result need not be waited for any more. */
void delivery_release(struct rcpt *r);

/* ---- start and acceptors (start.c) ---- */
/* Which slots have a living process: a bit set. */
void slots_living(struct qmgr *q, uint8_t out[32]);
int qmgr_recover(struct qmgr *q, struct err *e);
void qmgr_scan(struct qmgr *q, enum queue_dir dir, int slot);
void qmgr_expect_pids(struct qmgr *q, struct msg_in *m);
void qmgr_registered(struct qmgr *q, uint32_t pid);

/* ---- tools (admin.c, list.c) ---- */
extern const struct server_handler admin_handlers[];
int on_flush(struct request *r, struct msg_in *in, void *arg);
struct conn;
/* May the peer of this socket change the queue? */
bool admin_allowed(const struct qmgr *q, int fd);
int on_list(struct request *r, struct msg_in *in, void *arg);
void list_closed(struct conn *c);
/* The message came to its end, or is idle: the edits asked for may go on. */
void edit_ready(struct message *m);
/* It is not in the queue any more; removed: nor anywhere else. */
void edit_gone(struct message *m, bool removed);

/* ---- requeue.c: makes a new message, with routes as they are now, of what is
 * left to do of an idle one; e NULL: it is durable, and the old one may go. */
typedef void (*requeue_fn)(void *arg, const struct err *e);
void requeue_start(struct qmgr *q, struct queue_id id, enum queue_dir dir,
    requeue_fn done, void *arg);

/* The scheduler's time, in ms: begins as wall-clock time and then runs on
 * steadily, so that setting the clock neither delays nor hurries mail. Any
 * thread. State: its offset, set once at the start. */
void clock_start(void);
uint64_t now_ms(void);
uint64_t wall_ms(void);
/* The scheduler's time for a wall-clock time: not before now, and not later
 * than maximal_backoff_time from now (then the clock was set back). */
uint64_t due_of_wall(const struct qmgr *q, uint64_t at_ms);

#endif
