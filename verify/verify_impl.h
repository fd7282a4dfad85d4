/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_VERIFY_VERIFY_IMPL_H
#define CHAPPE_VERIFY_VERIFY_IMPL_H

/*
 * verify finds out whether addresses exist, for smtpd: it routes an address
 * as mail for it would be routed, and when that does not answer it already
 * sends a probe: a message in the queue that agents take as far as RCPT TO
 * and no farther (queue_envelope.probe). qmgr tells what came of it. Answers
 * are remembered in memory, and now and then written to a table. Losing any
 * of it means more probes, nothing else.
 *
 * cache.c remembers; probe.c finds out; service.c answers.
 */

#include "lib/base/list.h"
#include "lib/base/table.h"
#include "lib/daemon/daemon.h"
#include "lib/mail/qmgr_client.h"
#include "lib/mail/router.h"
#include "lib/mail/user_client.h"
#include "lib/mail/verify_record.h"
#include "lib/queue/queue.h"

struct verify_conf {
	const char *address_verify_map;
	int64_t address_verify_positive_expire_time;
	int64_t address_verify_positive_refresh_time;
	int64_t address_verify_negative_expire_time;
	int64_t address_verify_negative_refresh_time;
	bool address_verify_negative_cache;
	int64_t address_verify_cache_cleanup_interval;
	int64_t address_verify_pending_request_limit;
	const char *address_verify_local_transport;
	const char *address_verify_virtual_transport;
	const char *address_verify_relay_transport;
	const char *address_verify_default_transport;
	const char *address_verify_relayhost;
	const char *address_verify_transport_maps;
};
extern const struct param verify_params[];

struct cache;
struct verify {
	struct daemon *daemon;
	struct loop *loop;
	const struct verify_conf *conf;
	const struct common_conf *common;
	struct conf *routes; /* the configuration as probes are routed by */
	struct queue *queue;
	struct user_client *users;
	struct router *router;
	struct qmgr_client *qmgr;
	struct server *server;
	struct cache *cache;
	struct table probes;  /* struct probe, by address */
	struct timer *tick;   /* forgets those that nobody answers */
	unsigned commits;     /* probes on their way to the disk */
	bool said_full;
};

/* ---- cache.c ---- */
/* Reads the table that the parameter names ("type:file"; "": none), as far
 * as it can be read. -1: it is no such name. */
int cache_open(struct loop *loop, const struct verify_conf *conf,
    struct cache **out, struct err *e);
/* What is remembered and counts; false: nothing. text lives until the next
 * call. stale: another probe is due. */
bool cache_get(struct cache *c, struct span address, struct verify_record *out,
    bool *out_stale);
void cache_put(struct cache *c, struct span address, enum verify_status status,
    struct span text);
/* Writes what is not written yet, blocking: for the end. */
void cache_close(struct cache **c);
/* The directory of its file, for the sandbox. */
void cache_sandbox(const char *spec, struct sandbox *s);

/* ---- probe.c ---- */
/* The address as it is remembered, or false: it is none that could be. */
bool probe_key(struct span address, struct buf *out);
struct probe;
/* The probe that is under way for the address, or a new one (not begun);
 * NULL: there are too many. */
struct probe *probe_for(struct verify *v, struct span key, bool *out_new);
/* Somebody waits for its result. */
void probe_wait(struct probe *p, struct list *link);
/* Begins a new one, which may be at its end at once. */
void probe_begin(struct probe *p, uint64_t trace);
/* What came of a probe for this address, of whichever process. */
void probe_answered(struct verify *v, struct span key,
    enum verify_status status, struct span text);
void probes_start(struct verify *v);
/* All who wait are told that nothing is known; nothing is begun any more. */
void probes_leave(struct verify *v);

/* ---- service.c ---- */
extern const struct server_handler verify_handlers[];
extern const struct span verify_in_progress;
/* Tells one who waits, and forgets it. */
void waiter_answer(struct list *link, enum verify_status status,
    struct span text);

/* Ends the process when it leaves and nothing is under way. */
void verify_maybe_exit(struct verify *v);

#endif
