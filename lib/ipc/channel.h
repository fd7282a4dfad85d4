/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_IPC_CHANNEL_H
#define CHAPPE_IPC_CHANNEL_H

/*
 * A SOCK_SEQPACKET connection on the loop. Requests carry an id and many may
 * be in flight; answers carry the same id. The receiving side grants credit
 * for requests in its MSG_HELLO; requests beyond it wait here, answers are
 * always sent, so two full sockets cannot deadlock. EAGAIN and ETOOMANYREFS
 * mean wait. A damaged message closes the connection; it never ends the
 * process.
 *
 * Three layers: channel (either end), client (connects by path, reconnects,
 * matches answers), server (accepts, dispatches by a table).
 */

#include <sys/types.h>

#include "lib/ipc/msg.h"
#include "lib/os/loop.h"
#include "lib/os/sock.h"

/* ---- channel ---- */
struct channel;
struct channel_handler {
	/* A message; fields live during the call, descriptors not taken are
	 * closed after it. */
	void (*message)(void *arg, struct msg_in *m);
	/* The other end is gone or sent rubbish; free the channel. */
	void (*closed)(void *arg, const struct err *e);
};
/* Takes over a connected SEQPACKET socket. */
struct channel *channel_new(struct loop *loop, int fd,
    const struct channel_handler *handler, void *arg);
void channel_free(struct channel **c);
/* Sends, or queues a copy (with duplicates of the descriptors). After the
 * end of the connection it does nothing. */
void channel_send(struct channel *c, struct msg_out *m);
/* Messages queued and not yet sent. */
size_t channel_backlog(const struct channel *c);
int channel_fd(const struct channel *c);

/* ---- client ---- */
struct client;
/* The answer to one call: m, or NULL with e (connection lost, no answer in
 * time, MSG_ERROR received, too much waiting). Called exactly once. Several
 * answers to one request (MSG_RESULT ...) come through `more` first. */
typedef void (*client_fn)(void *arg, struct msg_in *m, const struct err *e);

struct client_options {
	const char *path;     /* the service's socket */
	const char *peer;     /* name for error texts: "auth" */
	unsigned waiting_max; /* calls waiting or in flight; default 10000 */
	/* On each (re)connection, before anything else; may send. */
	void (*connected)(void *arg, struct channel *c);
	/* A message with id 0 (a notice) or that no call waits for. */
	void (*notice)(void *arg, struct msg_in *m);
	void (*lost)(void *arg);
	bool stay;            /* connect now and reconnect when lost (back-off
	                         50 ms doubling to 1 s); else on demand */
	void *arg;
};
/* The options' strings are copied. */
struct client *client_new(struct loop *loop, const struct client_options *o);
/* Forgets all calls: their functions are not called. */
void client_free(struct client **c);
/* Calls: m (its id is set here) is sent when there is a connection and
 * credit. Calls in flight when the connection is lost fail at once with a
 * temporary error; those not yet sent wait for the next connection, until
 * timeout_ms. m is copied; the caller releases it. */
void client_call(struct client *c, struct msg_out *m, uint64_t timeout_ms,
    client_fn fn, void *arg);
/* As client_call, for questions that change nothing: when the connection is
 * lost they are asked again over the next one, until timeout_ms. */
void client_ask(struct client *c, struct msg_out *m, uint64_t timeout_ms,
    client_fn fn, void *arg);
/* As client_call, for requests that are answered by several messages: `more`
 * is called for each answer whose type is not `last` (and not MSG_ERROR). */
void client_call_many(struct client *c, struct msg_out *m,
    enum msg_type last, uint64_t timeout_ms, client_fn more, client_fn fn,
    void *arg);
/* Forgets all calls with this arg; their functions are not called. */
void client_cancel(struct client *c, const void *arg);
/* Sends a notice (id 0). Dropped when there is no connection: false. */
bool client_notify(struct client *c, struct msg_out *m);

/* ---- server ---- */
struct server;
struct server_conn; /* one client of ours */
struct request;     /* one request to be answered, now or later */

struct server_handler {
	enum msg_type type;
	/* Owns *r: answers it now or keeps it. Notices come with r's id 0 and
	 * need no answer (request_drop). A malformed message: return -1
	 * without keeping r (dropping it is legal): the connection is closed,
	 * with a warning. */
	int (*handle)(struct request *r, struct msg_in *m, void *arg);
};
struct server_options {
	const struct server_handler *handlers; /* ends with handle NULL */
	unsigned credit;                       /* requests a connection has
	                                          open at most; 0: 100. More
	                                          close it */
	unsigned connections_max;              /* 0: 1000 */
	/* Who may connect; NULL: only our own daemons' users, root, and in a
	 * private instance the one user. */
	bool (*allow)(const struct peer *peer, void *arg);
	void (*opened)(struct server_conn *conn, void *arg);
	/* Exactly once for each opened one, also from server_conn_close and
	 * server_free; conn and what its owner set end with it. */
	void (*closed)(struct server_conn *conn, void *arg);
	void *arg;
};
struct server *server_new(struct loop *loop, const struct server_options *o);
void server_free(struct server **s);
/* Takes over an accepted SEQPACKET socket. */
void server_client(struct server *s, int fd);
/* Takes over a connection that this process made itself but on which it
 * answers requests (a delivery agent's connection to qmgr). */
struct server_conn *server_adopt(struct server *s, int fd);
/* (No MSG_HELLO is sent there, and no credit enforced: what this end takes
 * it says in a message of its own.) */
size_t server_conn_count(const struct server *s);
/* Requests not answered yet, over all connections. */
size_t server_open_requests(const struct server *s);
/* Tells every client, those to come included, that this process leaves:
 * clients send nothing more, wait for their answers and connect anew. */
void server_leave(struct server *s);
/* The users that `allow` NULL lets in besides root and the own one: for the
 * whole process, set once by lib/daemon. At most 32. */
void server_allow_uids(const uid_t *uids, size_t count);

/* A place for the owner's data of a connection; the peer. */
void server_conn_set(struct server_conn *c, void *data);
void *server_conn_data(const struct server_conn *c);
const struct peer *server_conn_peer(const struct server_conn *c);
void server_conn_send(struct server_conn *c, struct msg_out *m);
void server_conn_close(struct server_conn *c);

/* The request's connection, or NULL when it is gone meanwhile (answers are
 * then dropped quietly). */
struct server_conn *request_conn(const struct request *r);
uint64_t request_trace(const struct request *r);
uint32_t request_id(const struct request *r);
/* Starts an answer; then request_send for all but the last, request_answer
 * for the last, which frees *r. */
void request_begin(const struct request *r, struct msg_out *m,
    enum msg_type type);
void request_send(struct request *r, struct msg_out *m);
void request_answer(struct request **r, struct msg_out *m);
void request_ok(struct request **r);
void request_error(struct request **r, const struct err *e);
void request_drop(struct request **r);

/* ---- without a loop: tools, workers, the spawner ---- */
/* Connects; reads the MSG_HELLO. The descriptor is blocking. */
int sync_connect(const char *path, int timeout_ms, int *out_fd,
    struct err *e);
/* Sends one message, waiting at most timeout_ms. */
int sync_send(int fd, struct msg_out *m, int timeout_ms, struct err *e);
/* Receives one; bytes live in *store (initialised by the caller with a
 * maximum of LIMIT_IPC_MESSAGE). 1 one, 0 the other end closed, -1 error. */
int sync_receive(int fd, struct buf *store, struct msg_in *out,
    int timeout_ms, struct err *e);
/* Sends and receives the answer with the same id; MSG_ERROR becomes -1. */
int sync_call(int fd, struct msg_out *m, struct buf *store,
    struct msg_in *out, int timeout_ms, struct err *e);

#endif
