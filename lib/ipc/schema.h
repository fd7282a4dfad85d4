/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_IPC_SCHEMA_H
#define CHAPPE_IPC_SCHEMA_H

/*
 * Every message between our daemons and every field in it: one table that
 * the code, the decoder (chappe dump ipc) and the tests share. Numbers are
 * never reused; new ones go to the end of their group. Direction and fields
 * of each message: docs/FORMATS.md.
 */

/* X(name, number) */
#define MSG_TYPES(X)                                                           \
	/* any service */                                                      \
	X(MSG_HELLO, 1)         /* server: F_CREDIT; first on a connection */  \
	X(MSG_OK, 2)            /* answer: done */                             \
	X(MSG_ERROR, 3)         /* answer: F_ERR_KIND F_DSN F_TEXT */          \
	X(MSG_FAREWELL, 4)      /* I leave in order; nothing is lost */        \
	/* master <-> its child, on the control channel */                     \
	X(MSG_READY, 10)        /* child: I serve */                           \
	X(MSG_LEAVE, 11)        /* master: accept nothing more, finish, exit */\
	X(MSG_HURRY, 12)        /* master: say 421 or BYE at the next pause */ \
	X(MSG_WAKE, 13)         /* master: the wakeup timer fired */           \
	X(MSG_KEYS, 14)         /* master: fd (tls_keys.h); none: no TLS */    \
	X(MSG_PIDS, 15)         /* master: F_SERVICE groups {F_SERVICE F_PID} */\
	X(MSG_SLOT, 16)         /* master: F_SLOT for queue ids */             \
	X(MSG_FULL, 17)         /* child: start another process if allowed */  \
	X(MSG_CHILD_STATUS, 18) /* child: F_TEXT, for chappe status */         \
	X(MSG_COMPANY, 190)     /* child: another process would have work */   \
	/* qmgr, from accepting processes */                                   \
	X(MSG_QMGR_NEW, 30)     /* a durable message is in the queue */        \
	X(MSG_QMGR_ACCEPTOR, 31)/* I accept mail: F_SLOT, F_HELD groups */     \
	X(MSG_SEGMENT_WANT, 120)/* a journal segment is wanted */              \
	X(MSG_SEGMENT, 121)     /* answer: fd, F_SEGMENT F_GENERATION F_SIZE */\
	X(MSG_SEGMENT_FULL, 122)/* F_SEGMENT F_GENERATION F_PLACE: its end */  \
	/* qmgr, from delivery agents */                                       \
	X(MSG_AGENT, 40)        /* I am F_SERVICE, F_CREDIT; F_RUNNING groups */\
	X(MSG_DELIVER, 41)      /* qmgr: a message and recipients */           \
	X(MSG_RESULT, 42)       /* agent: one recipient's result */            \
	X(MSG_DELIVERED, 43)    /* agent: the answer to MSG_DELIVER, last */   \
	X(MSG_ON_DISK, 44)      /* agent: landing, earlier results are safe */ \
	/* qmgr, from tools */                                                 \
	X(MSG_QUEUE_LIST, 50)   /* tool: F_CURSOR; answer: F_MESSAGE groups */ \
	X(MSG_QUEUE_PAGE, 51)   /* answer; F_CURSOR set: ask on */             \
	X(MSG_QUEUE_EDIT, 52)   /* tool: F_OP F_QID...; answer MSG_OK F_COUNT*/\
	X(MSG_QUEUE_FLUSH, 53)  /* tool: F_QID, F_DOMAIN, or neither: all */   \
	/* bounce, pickup */                                                   \
	X(MSG_BOUNCE, 60)       /* qmgr: fd message, F_RCPT groups; MSG_OK F_QID*/\
	X(MSG_FORWARD, 61)      /* local: fd message, F_SENDER, F_RCPT groups */\
	/* auth */                                                             \
	X(MSG_USER, 70)         /* F_USER: who is it */                        \
	X(MSG_USER_INFO, 71)    /* F_FOUND F_UID F_GID F_HOME F_MAIL ... */    \
	X(MSG_AUTH, 72)         /* F_MECH F_SERVICE F_ADDR [F_DATA] */         \
	X(MSG_AUTH_STEP, 73)    /* client's next response: F_DATA F_SESSION */ \
	X(MSG_AUTH_CHALLENGE, 74)/* F_DATA F_SESSION */                        \
	X(MSG_AUTH_DONE, 75)    /* F_USER [F_TICKET]; failures: MSG_ERROR */   \
	X(MSG_TICKET, 76)       /* spawner: F_TICKET F_PID; MSG_USER_INFO */   \
	X(MSG_AUTH_CANCEL, 77)  /* F_SESSION: the client gave up */            \
	X(MSG_QUOTA, 200)       /* notice: F_USER F_OVER_QUOTA changed */      \
	X(MSG_AUTH_WORK, 78)    /* auth to its worker: F_OP ... */             \
	X(MSG_AUTH_WORK_DONE, 79)/* worker: MSG_AUTH_WORK is done */           \
	/* resolver */                                                         \
	X(MSG_DNS, 80)          /* F_NAME F_RRTYPE */                          \
	X(MSG_DNS_ANSWER, 81)   /* F_RCODE F_SECURE F_TTL F_RR groups */       \
	/* imapd, local */                                                     \
	X(MSG_SESSION, 90)      /* login: fd client, F_TICKET, F_DATA ... */   \
	X(MSG_NOTIFY, 91)       /* local, spawner: F_USER F_MAILBOX changed */ \
	X(MSG_LOCKFILE, 92)     /* child: F_OP make|touch|remove|create */     \
	/* worker of local */                                                  \
	X(MSG_WORK, 95)         /* parent: fd message, one recipient */        \
	X(MSG_WORK_DONE, 96)    /* worker: result, or F_ADDRESS... to forward*/\
	X(MSG_FORK, 97)         /* dispatcher: fd worker's, F_USER F_UID F_GID */\
	/* log */                                                              \
	X(MSG_LOG_ATTACH, 100)  /* fd ring, F_SERVICE F_PID */                 \
	X(MSG_TRACE_QUERY, 102) /* tool: F_QID | F_TRACE | F_ADDRESS */        \
	/* master, from tools */                                               \
	X(MSG_MASTER_STATUS, 110) /* answer: MSG_OK F_LINE... */              \
	X(MSG_MASTER_RELOAD, 111) /* [F_SERVICE]; MSG_OK when it is done */   \
	X(MSG_MASTER_STOP, 112)   /* F_OP stop, abort; MSG_OK at once */      \
	/* auth, continued */                                                  \
	X(MSG_AUTH_FAILED, 150)   /* F_ERR_KIND F_DSN F_TEXT why, F_USER */    \
	X(MSG_TICKET_KEYS, 160)   /* master: fd (tls_tickets.h) */             \
	/* verify */                                                           \
	X(MSG_VERIFY, 880)        /* F_ADDRESS [F_WAIT_MS]: does it exist? */  \
	X(MSG_VERIFY_ANSWER, 881) /* F_STATUS (verify_record.h) F_TEXT */      \
	X(MSG_PROBED, 882)        /* qmgr: F_ADDRESS [F_ACTION] F_DSN F_TEXT */

#define MSG_FIELDS(X)                                                          \
	X(F_ERR_KIND, 1)   /* u64: enum err_kind */                            \
	X(F_DSN, 2)        /* text: enhanced status code */                    \
	X(F_TEXT, 3)       /* text */                                          \
	X(F_CREDIT, 4)     /* u64: requests taken at a time */                 \
	X(F_SERVICE, 5)    /* text: name in master.cf */                       \
	X(F_PID, 6)        /* u64 */                                           \
	X(F_SLOT, 7)       /* u64: 0..255 */                                   \
	X(F_COUNT, 8)      /* u64 */                                           \
	X(F_CURSOR, 9)     /* bytes: opaque */                                 \
	X(F_OP, 10)        /* text */                                          \
	X(F_DATA, 11)      /* bytes */                                         \
	X(F_SESSION, 12)   /* u64 */                                           \
	X(F_STATUS, 13)    /* u64 */                                           \
	X(F_FLAGS, 14)     /* u64 */                                           \
	X(F_QID, 20)       /* text: queue id; may repeat */                    \
	X(F_SIZE, 21)      /* u64: content bytes */                            \
	X(F_ARRIVAL_US, 22)/* u64: Unix epoch, microseconds */                 \
	X(F_SENDER, 23)    /* text: address, empty for null */                 \
	X(F_RCPT, 24)      /* group: one recipient */                          \
	X(F_RCPT_INDEX, 25)/* u64: number in the queue file, from 0 */         \
	X(F_ADDRESS, 26)   /* text */                                          \
	X(F_ORIG_ADDRESS, 27)/* text: as given, when different */              \
	X(F_TRANSPORT, 28) /* text: service name */                            \
	X(F_NEXTHOP, 29)   /* text */                                          \
	X(F_DSN_NOTIFY, 30)/* u64: DSN_NOTIFY_* */                             \
	X(F_DSN_ORCPT, 31) /* text */                                          \
	X(F_DSN_ENVID, 32) /* text */                                          \
	X(F_DSN_RET, 33)   /* u64 */                                           \
	X(F_CONTENT_AT, 34)/* u64: offset of the content in the file */        \
	X(F_RCPT_COUNT, 35)/* u64 */                                           \
	X(F_QUEUE_NAME, 36)/* text: active, deferred, hold ... */              \
	X(F_MESSAGE, 37)   /* group: one queued message */                     \
	X(F_RELAY, 38)     /* text: "local", "host[addr]:25" */                \
	X(F_DELAYS_US, 39) /* u64 twice: connection set-up, transmission */    \
	X(F_CONN_USE, 40)  /* u64 */                                           \
	X(F_RUNNING, 41)   /* group: F_QID, F_RCPT_INDEX, maybe a result */    \
	X(F_REASON, 42)    /* text */                                          \
	X(F_DOMAIN, 43)    /* text */                                          \
	X(F_ENCODING, 44)  /* text: 7BIT, 8BITMIME */                          \
	X(F_ATTEMPT_AT, 45)/* u64: next try, Unix seconds */                   \
	X(F_REMOTE, 46)    /* text: remote MTA for a DSN */                    \
	X(F_DIAGNOSTIC, 47)/* text: remote reply for a DSN */                  \
	X(F_ACTION, 48)    /* u64: enum of rcpt_action */                      \
	X(F_ACTIVE_US, 49) /* u64: when the message became active */           \
	X(F_SEGMENT, 100)  /* u64: number of a journal segment */              \
	X(F_GENERATION, 101) /* u64: of its use */                             \
	X(F_PLACE, 102)    /* u64: of a record in it */                        \
	X(F_PLACE_END, 103)/* u64: behind the record */                        \
	X(F_BOUND_US, 104) /* u64: ids must be later */                        \
	X(F_SPARE, 171)    /* bytes: queue id, whose file is used again */     \
	X(F_UNFILED, 174)  /* u64: 1: the record is its only copy */           \
	X(F_HEAD, 170)     /* bytes: a queue file up to its content */         \
	X(F_HELD, 105)     /* group: F_SEGMENT F_GENERATION */                 \
	X(F_CONTENT_CRC, 106) /* u64: CRC-32C of the content */                \
	X(F_DAMAGED, 107)  /* u64: 1: the content does not fit; disk refused */ \
	X(F_USER, 60)      /* text: login name */                              \
	X(F_FOUND, 61)     /* u64: 1 yes */                                    \
	X(F_UID, 62)       /* u64 */                                           \
	X(F_GID, 63)       /* u64 */                                           \
	X(F_HOME, 64)      /* text: path */                                    \
	X(F_MAIL, 65)      /* text: mail_location of this user */              \
	X(F_OVER_QUOTA, 66)/* u64 */                                           \
	X(F_QUOTA, 200)    /* text: quota_rule of this user */                 \
	X(F_MECH, 67)      /* text: SASL mechanism */                          \
	X(F_ADDR, 68)      /* text: client's address */                        \
	X(F_TICKET, 69)    /* bytes: 16 */                                     \
	X(F_LADDR, 70)     /* text: own address */                             \
	X(F_SECURED, 71)   /* u64: 1 if the client's connection is TLS */      \
	X(F_MAILBOX, 72)   /* text */                                          \
	X(F_GROUPS, 73)    /* u64, repeats */                                  \
	X(F_TAG, 74)       /* text: IMAP tag of the login command */           \
	X(F_NAME, 80)      /* text: DNS name */                                \
	X(F_RRTYPE, 81)    /* u64: RR type number */                           \
	X(F_RCODE, 82)     /* u64 */                                           \
	X(F_SECURE, 83)    /* u64: validated by DNSSEC */                      \
	X(F_TTL, 84)       /* u64: seconds */                                  \
	X(F_RR, 85)        /* bytes: RDATA, repeats */                         \
	X(F_TRACE, 90)     /* u64 */                                           \
	X(F_LINE, 91)      /* text, repeats */                                 \
	X(F_PATH, 92)      /* text */                                          \
	X(F_MODE, 93)      /* u64 */                                           \
	X(F_TLS_EXPORTER, 130) /* bytes: tls-exporter, RFC 9266 */             \
	X(F_TLS_END_POINT, 131) /* bytes: tls-server-end-point, RFC 5929 */    \
	X(F_PLUS_OFFERED, 132) /* u64: 1 if a -PLUS mechanism was offered */   \
	X(F_CERT_NAME, 133) /* text: CN of a verified client certificate */    \
	X(F_CERT_PRINT, 134) /* text: fingerprint of a client certificate */   \
	X(F_SMTPUTF8, 160) /* u64: 1 if the message needs RFC 6531 */          \
	X(F_REQUIRETLS, 161) /* u64: 1 if RFC 8689 was asked for */            \
	X(F_PASSED_ON, 162) /* u64: 1: the next hop tells of success */        \
	X(F_TLS_OPTIONAL, 163) /* u64: 1 for TLS-Required: No (RFC 8689) */    \
	X(F_CLIENT_NAME, 164) /* text: where the message came from */          \
	X(F_CLIENT_ADDR, 165) /* text: its address */                          \
	X(F_HELO, 166)     /* text: as it called itself */                     \
	X(F_PROTOCOL, 167) /* text: "ESMTP", ... */                            \
	X(F_PROBE, 880)    /* u64: 1: only whether it could be delivered */    \
	X(F_WAIT_MS, 881)  /* u64: how long the answer may take */

#define MSG_ENUM(name, number) name = number,
enum msg_type { MSG_TYPES(MSG_ENUM) };
enum msg_field { MSG_FIELDS(MSG_ENUM) };

/* The names, for dumps; NULL for a number that is not in the table. */
const char *msg_type_name(unsigned number);
const char *msg_field_name(unsigned number);

#endif
