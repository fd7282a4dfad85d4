/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_POLICY_CLIENT_H
#define CHAPPE_MAIL_POLICY_CLIENT_H

/*
 * Connections to one policy service (lib/proto/policy.h). A connection takes
 * one request at a time; as many as there are requests are open, up to
 * POLICY_CONNECTIONS, beyond which requests wait. A connection is kept and
 * used again. All requests about one message (its `instance`) go over one
 * connection as long as there are enough: some services count on that.
 *
 * What fails: a service that closes without an answer, or answers rubbish, is
 * asked again after retry_delay_ms, try_limit times in all; one that can't be
 * reached or says nothing in time is not. Then one warning is logged, and
 * there is no answer.
 */

#include "lib/ipc/channel.h"
#include "lib/mail/restrict.h"

enum { POLICY_CONNECTIONS = 100 };

struct policy_client;
/* p must outlive it. resolver: for host names; base: the directory of relative
 * unix: paths. */
struct policy_client *policy_client_new(struct loop *loop,
    const struct restrict_policy *p, struct client *resolver,
    const char *base);
/* Calls under way are forgotten. */
void policy_client_free(struct policy_client **c);

/* One request, complete with its empty line; copied. instance: of the message,
 * or "". fn is called once, never from inside; then the call is gone. */
struct policy_call;
struct policy_call *policy_client_ask(struct policy_client *c,
    const char *instance, struct span request, restrict_policy_fn fn,
    void *arg);
/* Forgets it: fn is not called. NULL legal. */
void policy_call_cancel(struct policy_call **call);

/* The message is done: its connection is anyone's. */
void policy_client_release(struct policy_client *c, const char *instance);

/* Connections open, for tests. */
size_t policy_client_connections(const struct policy_client *c);

#endif
