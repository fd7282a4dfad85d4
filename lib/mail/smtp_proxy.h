/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_SMTP_PROXY_H
#define CHAPPE_MAIL_SMTP_PROXY_H

/*
 * A conversation with an SMTP proxy before the queue (smtpd_proxy_filter), one
 * connection a message: commands are said one by one as the caller words them,
 * and replies come back as they are. All in the loop.
 */

#include <stdbool.h>

#include "lib/base/err.h"
#include "lib/base/span.h"
#include "lib/ipc/channel.h"
#include "lib/mail/milter_mail.h"
#include "lib/os/loop.h"

/* HOST:PORT, inet:HOST:PORT or unix:PATH; taken apart once. */
struct smtp_proxy_place;
int smtp_proxy_place_open(const char *text, const char *queue_directory,
    struct smtp_proxy_place **out, struct err *e);
void smtp_proxy_place_free(struct smtp_proxy_place **p);

struct smtp_proxy;
/* code 0: there was no reply, text says why ("lost connection", ...); then
 * the conversation is over. The text lives during the call; fn may free the
 * proxy. */
typedef void (*smtp_proxy_fn)(void *arg, unsigned code, struct span text);

/* Connects; fn gets the greeting. timeout_ms: for connecting, and for each
 * reply. */
struct smtp_proxy *smtp_proxy_open(struct loop *loop, struct client *resolver,
    const struct smtp_proxy_place *place, uint64_t timeout_ms, uint64_t trace,
    smtp_proxy_fn fn, void *arg);
void smtp_proxy_free(struct smtp_proxy **p);

/* Says a command (without CRLF); one at a time. */
void smtp_proxy_say(
    struct smtp_proxy *p, struct span command, smtp_proxy_fn fn, void *arg);
/* After 354: sends the message and its end. A reply before its end is over is
 * passed on if it refuses, and else none. mail: until fn is called, or the
 * proxy freed; then it is whole, and may be read anew. */
void smtp_proxy_send(struct smtp_proxy *p, struct milter_mail *mail,
    smtp_proxy_fn fn, void *arg);
/* QUIT, and no more. *p is NULL at once. */
void smtp_proxy_quit(struct smtp_proxy **p);

#endif
