/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_IPC_WIRE_H
#define CHAPPE_IPC_WIRE_H

/*
 * Private to lib/ipc: the byte layout of a message (docs/FORMATS.md), numbers
 * least significant byte first, and whole messages on a socket.
 */

#include "lib/base/list.h"
#include "lib/ipc/msg.h"

enum {
	WIRE_HEAD = 16, /* u16 type, u16 0, u32 id, u64 trace */
	WIRE_TLV = 4,   /* u16 field, u16 length */
};

static inline void
wire_put16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)v;
	p[1] = (uint8_t)(v >> 8);
}

static inline void
wire_put32(uint8_t *p, uint32_t v)
{
	wire_put16(p, (uint16_t)v);
	wire_put16(p + 2, (uint16_t)(v >> 16));
}

static inline void
wire_put64(uint8_t *p, uint64_t v)
{
	wire_put32(p, (uint32_t)v);
	wire_put32(p + 4, (uint32_t)(v >> 32));
}

static inline uint16_t
wire_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t
wire_get32(const uint8_t *p)
{
	return wire_get16(p) | (uint32_t)wire_get16(p + 2) << 16;
}

static inline uint64_t
wire_get64(const uint8_t *p)
{
	return wire_get32(p) | (uint64_t)wire_get32(p + 4) << 32;
}

/* Writes the id into a message that was begun with another. */
static inline void
wire_set_id(struct msg_out *m, uint32_t id)
{
	wire_put32(m->bytes.p + 4, id);
}

/* What a send or receive came to. */
enum wire_io {
	WIRE_DONE,
	WIRE_WAIT,   /* when the socket is ready again */
	WIRE_LATER,  /* the kernel lacks something: in a few milliseconds */
	WIRE_CLOSED, /* the other end is gone */
	WIRE_FAILED, /* see err; the connection is of no use any more */
};

/* Sends the whole message, without waiting. */
enum wire_io wire_send(int fd, const struct msg_out *m, struct err *e);

/* Receives one message, without waiting, into store (LIMIT_IPC_MESSAGE
 * bytes, which *out borrows); release *out with msg_in_release. */
enum wire_io wire_receive(int fd, uint8_t *store, struct msg_in *out,
    struct err *e);

/* A copy of a message that owns its bytes and descriptors. */
struct packet {
	struct list link;
	struct msg_out msg;
};

/* NULL when the descriptors can't be duplicated or m is too large. */
struct packet *packet_new(const struct msg_out *m, struct err *e);
void packet_free(struct packet **p);

#endif
