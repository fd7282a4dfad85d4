/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/ipc/msg.h"

#include "lib/base/mem.h"
#include "lib/ipc/wire.h"

void
msg_begin(struct msg_out *m, enum msg_type type, uint32_t id, uint64_t trace)
{
	uint8_t head[WIRE_HEAD];

	memset(m, 0, sizeof(*m));
	buf_init(&m->bytes, LIMIT_IPC_MESSAGE);
	wire_put16(head, (uint16_t)type);
	wire_put16(head + 2, 0);
	wire_put32(head + 4, id);
	wire_put64(head + 8, trace);
	buf_add(&m->bytes, span_of(head, sizeof(head)));
}

void
msg_out_release(struct msg_out *m)
{
	buf_wipe(&m->bytes); /* it may hold a password */
	m->fd_count = 0;
}

void
msg_put(struct msg_out *m, enum msg_field f, struct span s)
{
	uint8_t *p;

	if (s.n > UINT16_MAX) {
		m->bytes.spilt = true;
		return;
	}
	p = buf_room(&m->bytes, WIRE_TLV + s.n);
	if (p == NULL)
		return;
	wire_put16(p, (uint16_t)f);
	wire_put16(p + 2, (uint16_t)s.n);
	if (s.n > 0)
		memcpy(p + WIRE_TLV, s.p, s.n);
	buf_grown(&m->bytes, WIRE_TLV + s.n);
}

void
msg_put_str(struct msg_out *m, enum msg_field f, const char *s)
{
	msg_put(m, f, span_str(s));
}

void
msg_put_u64(struct msg_out *m, enum msg_field f, uint64_t v)
{
	uint8_t bytes[8];

	wire_put64(bytes, v);
	msg_put(m, f, span_of(bytes, sizeof(bytes)));
}

void
msg_put_fd(struct msg_out *m, int fd)
{
	BUG_ON(fd < 0);
	BUG_ON(m->fd_count == LIMIT_IPC_FDS);
	m->fds[m->fd_count++] = fd;
}

void
msg_group_begin(struct msg_out *m, enum msg_field f)
{
	BUG_ON(m->group_depth == COUNT_OF(m->group_at));
	m->group_at[m->group_depth++] = m->bytes.n;
	msg_put(m, f, SPAN_EMPTY);
}

void
msg_group_end(struct msg_out *m)
{
	size_t at, n;

	BUG_ON(m->group_depth == 0);
	at = m->group_at[--m->group_depth];
	if (!buf_ok(&m->bytes))
		return;
	n = m->bytes.n - at - WIRE_TLV;
	if (n > UINT16_MAX)
		m->bytes.spilt = true;
	else
		wire_put16(m->bytes.p + at + 2, (uint16_t)n);
}

void
msg_put_err(struct msg_out *m, const struct err *e)
{
	msg_put_u64(m, F_ERR_KIND, e->kind);
	msg_put_str(m, F_DSN, e->dsn);
	msg_put_str(m, F_TEXT, e->text);
	if (e->sysno != 0)
		msg_put_u64(m, F_STATUS, (uint64_t)e->sysno);
}

void
msg_put_range(struct msg_out *m, const struct range *r)
{
	msg_put_u64(m, F_SIZE, r->size);
	msg_put_u64(m, F_CONTENT_AT, r->at);
	if (r->checked)
		msg_put_u64(m, F_CONTENT_CRC, r->crc);
}

bool
msg_ok(const struct msg_out *m)
{
	return buf_ok(&m->bytes);
}

size_t
msg_space(const struct msg_out *m)
{
	return buf_ok(&m->bytes) ? m->bytes.max - m->bytes.n : 0;
}
