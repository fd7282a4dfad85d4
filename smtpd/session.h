/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_SMTPD_SESSION_H
#define CHAPPE_SMTPD_SESSION_H

/*
 * One client's session. arrival.c finds out whose it is; then session.c
 * moves bytes between the stream and the protocol engine and hands each event
 * to the part that answers it:
 * hello.c (HELO, EHLO, STARTTLS, VRFY), envelope.c (MAIL, RCPT),
 * message.c (DATA to 250), auth.c; before they answer they ask the gates of
 * stage.h, who say no for reasons of policy. Whatever waits for another daemon or for
 * the disk goes on in the background and answers the engine when it comes
 * back; the session may be gone by then, so each such wait is cancelled, or
 * (a message on its way to the disk) lives on its own.
 */

#include "lib/base/arena.h"
#include "lib/base/list.h"
#include "lib/mail/content.h"
#include "lib/mail/fixup.h"
#include "lib/os/log.h"
#include "lib/os/stream.h"
#include "lib/proto/newline.h"
#include "smtpd/arrival.h"
#include "lib/mail/check_actions.h"
#include "smtpd/limits.h"
#include "smtpd/milter.h"
#include "smtpd/proxy.h"
#include "smtpd/outbound.h"
#include "smtpd/recipients.h"
#include "smtpd/screen.h"
#include "smtpd/service.h"
#include "smtpd/session_log.h"
#include "smtpd/stage.h"
#include "smtpd/tls.h"
#include "smtpd/xclient.h"

/* What is to be answered at the end of data; code 0: 250. */
struct verdict {
	unsigned code;
	char dsn[12], text[256];
};

/* From MAIL to the end of data. */
struct transaction {
	struct arena arena;
	struct queue_envelope env;  /* spans live in the arena */
	uint64_t size;              /* declared with SIZE=, or 0 */
	struct span sasl_sender;    /* said with AUTH=, or empty */
	struct queue_writer *writer; /* from the first recipient on; its
				       envelope is what counts then */
	struct span first_rcpt;     /* for Received, with one recipient only */
	struct span sender;         /* as given */
	struct span rcpt;           /* being looked up, as given */
	const struct route_result *first_route;
	struct queue_rcpt given;    /* what the client said with it */
	unsigned rcpt_flags;        /* of the look-up under way */
	const struct smtp_cmd *rcpt_cmd;  /* until RCPT is answered */
	struct route_result *route; /* of rcpt: class and address as given,
				       routes as rewritten */
	struct span rcpt_as;        /* what recipient_canonical_maps and
				       canonical_maps make of it */
	recipients_fn rcpt_added;
	struct adding *adding;      /* of recipients_add, while it is on the
				       stack */
	uint32_t added_notify;
	struct recipients rcpts;
	unsigned rcpt_count;        /* accepted from the client */
	struct check_actions act;
	struct buf prepend;         /* header lines, with CRLF; until DATA */
	bool proxied;               /* a proxy has it, and said with 250: */
	struct span taken;
	struct verdict verdict;     /* of what saw the content go by */
	struct content *content;    /* from DATA on; NULL: no table asks */
	struct fixup *fixup;        /* from DATA on */
	struct milter_mail *mail;   /* its content, while filters want it;
				       else it goes to the writer */
	struct fixup_conf fixup_conf;
	struct buf received;
	struct newline newline;     /* where line ends are put right */
	bool chunked;               /* it comes by BDAT */
};

struct session {
	struct list link; /* in service.sessions */
	struct service *service;
	struct stream *stream;
	struct smtp_server *engine;
	struct log_ctx log;      /* trace of the connection or message, qid */
	uint64_t trace;          /* of the connection */
	unsigned message_count;
	char addr[SOCK_ADDR_TEXT]; /* "192.0.2.1"; "local" of a UNIX socket */
	char *name;              /* looked up and leads back; else NULL */
	char *reverse_name;      /* looked up; NULL: none */
	enum restrict_name_status name_status, reverse_status;
	unsigned port;           /* of the client; 0: none */
	bool inet;               /* else a UNIX socket */
	struct dns_query *name_query;
	struct limits_state limits;
	struct outbound_state outbound;
	struct screen *screen;   /* NULL: it is not screened */
	bool trusted;            /* in mynetworks, or local */
	bool local;              /* on the submission socket: uid is known */
	uid_t uid;
	char *helo;              /* NULL before */
	char *sasl_user, *sasl_method; /* NULL: not logged in */
	char *sasl_offer;        /* mechanisms; NULL: none */
	bool sasl_plus;          /* one with channel binding is offered */
	char *sasl_refusal;      /* the client was told why and has to answer;
				    for the log */
	char *sasl_mech;         /* while AUTH is under way */
	uint64_t sasl_session;
	enum smtpd_bare bare;    /* what is done about bare newlines */
	struct smtp_server_hooks hooks;
	char *dest_addr;         /* as XCLIENT or the PROXY header said; NULL:
				    not known */
	unsigned dest_port;
	struct xforward *xforward; /* NULL: nothing was said */
	bool proxying;           /* the PROXY header is waited for */
	struct tls_cert *ccert;  /* what the client showed; NULL: none */
	bool ccert_listed;       /* relay_clientcerts has it */
	bool tls_unsaid;         /* the handshake is not in the log yet */
	struct transaction *tx;
	struct stage_state stage;
	struct restrictions *restrictions; /* restrict.c */
	struct milter_session *milter; /* NULL: no filters */
	struct proxy_session *proxy;
	struct commit *committing; /* a message on its way to the disk */
	struct timer *patience;  /* how long the client may take */
	bool progress;           /* it is to be set anew */
	uint64_t chunk_bytes;    /* of the message since it was set */
	struct timer *delay;     /* a reply held back after many errors */
	unsigned delayed_code;
	const char *delayed_dsn;
	struct buf delayed_text;
	bool connected;          /* "connect from" is in the log */
	bool greeted;
	bool securing;           /* a TLS handshake is due or under way */
	bool not_reading;        /* the stream is paused */
	bool paused;             /* the queue writer is full */
	bool running;            /* session_run is on the stack */
	bool again;              /* it was asked for meanwhile */
	bool leaving;            /* no further transaction */
	bool quit;               /* the client said so */
	bool ended;              /* to be freed when session_run returns */
	const char *end_note;    /* "lost connection", ...; for the log */
};

/* Takes over an accepted descriptor. inet: else a UNIX socket. */
void session_new(struct service *s, int fd, bool inet);

/* The service is leaving: 421 at the next pause; now: at once unless a
 * message is being taken. */
void session_leave(struct list *link, bool now);

/* The limits of time have changed: they begin anew. */
void session_stress(struct list *link);

/* ---- for the parts ---- */

/* Answers the event that waits, after a delay if the client has made many
 * errors, and goes on. dsn must be a literal or outlive the call. */
void session_answer(struct session *s, unsigned code, const char *dsn,
    const char *fmt, ...) __attribute__((format(printf, 4, 5)));

/* Feeds the engine what there is; call after anything that lets it go on. */
void session_run(struct session *s);

/* Says so in place of the greeting and ends the session. */
void session_turn_away(struct session *s, unsigned code, const char *dsn,
    struct span text);

/* 421 DSN HOSTNAME TEXT (RFC 5321 4.2.1); the session ends at the next
 * session_run. */
void session_goodbye(struct session *s, const char *dsn, const char *text);

/* Logs the client and greets it, unless something is still waited for: its
 * name, TLS if that comes first, the tests of screen.c. Who has ended such a
 * wait calls it. */
void session_greet(struct session *s);

/* The time that the client may take begins anew. */
void session_be_patient(struct session *s);

/* Ends the session, from outside of session_run: what it waits for is
 * cancelled, what was said to the client is still sent. */
void session_free(struct session *s);

/* What is offered to EHLO now. */
void session_offer(struct session *s);

const char *session_protocol(const struct session *s); /* "ESMTPSA" */
bool session_tls(const struct session *s);

/* hello.c */
void hello_event(struct session *s, const struct smtp_event *ev);
/* Starts the handshake that `securing` announces; may end the session, then
 * the engine is closing. */
void hello_secure(struct session *s);
/* It is complete. */
void hello_secured(struct session *s);
/* envelope.c */
void envelope_mail(struct session *s, const struct smtp_event *ev);
void envelope_rcpt(struct session *s, const struct smtp_event *ev);
/* Ends the transaction, whatever it was doing. */
void envelope_abort(struct session *s);
void transaction_free(struct session *s, struct transaction *tx);
/* message.c */
void message_data(struct session *s, const struct smtp_event *ev);
void message_chunk(struct session *s, struct span bytes);
void message_end(struct session *s);
/* Refuses the message that was read whole; the transaction is over. */
void message_refuse(struct session *s, unsigned code, const char *dsn,
    struct span text);
/* The session is ending: what is on its way goes on without it. */
void message_forget(struct session *s);
/* More of the message, as it shall be stored. */
void message_out(struct transaction *tx, struct span bytes);
/* content.c */
/* The flags for routing this session's recipients. */
unsigned content_route_flags(const struct session *s);
/* *out is what the address becomes (in the transaction's arena): 1 another,
 * 0 the same, -1 a table failed. */
int content_envelope(struct session *s, enum rewrite_class class,
    struct span address, struct span *out, struct err *e);
/* Notes who gets a copy of mail from (to) the address; -1 a table failed. */
int content_copies(struct session *s, bool sender, struct span address,
    struct err *e);
/* Sets the hooks in tx->fixup_conf. */
void content_begin(struct session *s);
/* Logs and notes what a check says; whose: "", or "milter-header-". */
void content_hit(struct session *s, const char *whose,
    const struct check_hit *hit);
/* The message is complete: true when it was refused (and answered). */
bool content_refuses(struct session *s);
/* etrn.c */
void etrn_event(struct session *s, const struct smtp_event *ev);
void etrn_forget(struct session *s);
/* auth.c */
/* The mechanisms to offer now, or NULL; lives until it is asked again. */
const char *auth_offer(struct session *s);
void auth_begin(struct session *s, const struct smtp_event *ev);
void auth_line(struct session *s, struct span line);
/* Forgets an exchange under way. */
void auth_abort(struct session *s);

/* restrict.c: compiles the lists and connects to policy services. */
int restrictions_open(struct service *s, struct err *e);

/* received.c: the time in the local zone; until it is asked again. */
const struct received_date *received_date(struct service *service,
    int64_t time_s);
/* The Received field, with CRLF, appended to out. */
void received_field(const struct session *s, struct span rcpt,
    const char *qid, int64_t time_s, struct buf *out);

#endif
