/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/ipc/msg.h"

#include <stdio.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/ipc/wire.h"

/* Cuts the field at *at off; false at the end and where it is damaged, which
 * *at short of the end tells apart. */
static bool
field_next(struct span fields, size_t *at, unsigned *out_field,
    struct span *out)
{
	struct span rest = span_skip(fields, *at);
	size_t n;

	if (rest.n < WIRE_TLV)
		return false;
	n = wire_get16(rest.p + 2);
	if (rest.n - WIRE_TLV < n)
		return false;
	*out_field = wire_get16(rest.p);
	*out = span_slice(rest, WIRE_TLV, WIRE_TLV + n);
	*at += WIRE_TLV + n;
	return true;
}

static bool
fields_sound(struct span fields)
{
	struct span value;
	unsigned field;
	size_t at = 0;

	while (field_next(fields, &at, &field, &value))
		continue;
	return at == fields.n;
}

int
msg_parse(struct msg_in *m, struct span datagram, struct err *e)
{
	struct span fields = span_skip(datagram, WIRE_HEAD);

	if (datagram.n < WIRE_HEAD || datagram.n > LIMIT_IPC_MESSAGE ||
	    wire_get16(datagram.p + 2) != 0 || !fields_sound(fields))
		return err_set(e, ERR_TEMP, "4.3.0", "damaged IPC message");
	memset(m, 0, sizeof(*m));
	m->type = (enum msg_type)wire_get16(datagram.p);
	m->id = wire_get32(datagram.p + 4);
	m->trace = wire_get64(datagram.p + 8);
	m->fields = fields;
	return 0;
}

void
msg_in_release(struct msg_in *m)
{
	for (unsigned i = 0; i < m->fd_count; i++)
		if (m->fds[i] >= 0)
			close(m->fds[i]);
	m->fd_count = 0;
}

bool
msg_next_value(const struct msg_in *m, enum msg_field f, size_t *cursor,
    struct span *out)
{
	struct span value;
	unsigned field;

	while (field_next(m->fields, cursor, &field, &value)) {
		if (field == (unsigned)f) {
			*out = value;
			return true;
		}
	}
	return false;
}

bool
msg_has(const struct msg_in *m, enum msg_field f)
{
	struct span value;
	size_t cursor = 0;

	return msg_next_value(m, f, &cursor, &value);
}

struct span
msg_get(struct msg_in *m, enum msg_field f, size_t max)
{
	struct span value;
	size_t cursor = 0;

	if (!msg_next_value(m, f, &cursor, &value))
		return SPAN_EMPTY;
	if (value.n <= max)
		return value;
	m->bad = true;
	return SPAN_EMPTY;
}

struct span
msg_need(struct msg_in *m, enum msg_field f, size_t max)
{
	if (!msg_has(m, f))
		m->bad = true;
	return msg_get(m, f, max);
}

bool
msg_value_u64(struct span value, uint64_t *out)
{
	if (value.n != 8)
		return false;
	*out = wire_get64(value.p);
	return true;
}

uint64_t
msg_get_u64(struct msg_in *m, enum msg_field f)
{
	struct span value;
	size_t cursor = 0;
	uint64_t v = 0;

	if (msg_next_value(m, f, &cursor, &value) &&
	    !msg_value_u64(value, &v))
		m->bad = true;
	return v;
}

uint32_t
msg_get_u32(struct msg_in *m, enum msg_field f)
{
	uint64_t v = msg_get_u64(m, f);

	if (v <= UINT32_MAX)
		return (uint32_t)v;
	m->bad = true;
	return 0;
}

void
msg_get_str(struct msg_in *m, enum msg_field f, char *out, size_t size)
{
	BUG_ON(size == 0);
	out[0] = '\0';
	if (!span_copy(msg_get(m, f, SIZE_MAX), out, size))
		m->bad = true;
}

bool
msg_next(const struct msg_in *m, enum msg_field f, size_t *cursor,
    struct msg_in *out_element)
{
	struct span value;

	if (!msg_next_value(m, f, cursor, &value))
		return false;
	memset(out_element, 0, sizeof(*out_element));
	out_element->type = m->type;
	out_element->id = m->id;
	out_element->trace = m->trace;
	out_element->fields = value;
	out_element->bad = !fields_sound(value);
	return true;
}

int
msg_take_fd(struct msg_in *m)
{
	for (unsigned i = 0; i < m->fd_count; i++) {
		int fd = m->fds[i];

		if (fd >= 0) {
			m->fds[i] = -1;
			return fd;
		}
	}
	m->bad = true;
	return -1;
}

/* Digits and dots, class 4 or 5 (RFC 3463 2): else the general code. */
static void
dsn_check(char dsn[12], enum err_kind kind)
{
	if ((dsn[0] == '4' || dsn[0] == '5') && dsn[1] == '.' &&
	    strspn(dsn, "0123456789.") == strlen(dsn))
		return;
	memcpy(dsn, kind == ERR_PERM ? "5.3.0" : "4.3.0", 6);
}

bool
msg_get_err(struct msg_in *m, struct err *out)
{
	struct span text;
	enum err_kind kind;
	char dsn[sizeof(out->dsn)];

	if (!msg_has(m, F_ERR_KIND))
		return false;
	kind = msg_get_u64(m, F_ERR_KIND) == ERR_PERM ? ERR_PERM : ERR_TEMP;
	msg_get_str(m, F_DSN, dsn, sizeof(dsn));
	dsn_check(dsn, kind);
	text = msg_get(m, F_TEXT, LIMIT_IPC_MESSAGE);
	err_set(out, kind, dsn, "%.*s", SPAN_FMT(text));
	out->sysno = (int)msg_get_u32(m, F_STATUS);
	return true;
}

void
msg_get_range(struct msg_in *m, struct range *out)
{
	*out = (struct range){ .fd = -1,
		.at = msg_get_u64(m, F_CONTENT_AT),
		.size = msg_get_u64(m, F_SIZE),
		.checked = msg_has(m, F_CONTENT_CRC) };
	out->crc = msg_get_u32(m, F_CONTENT_CRC);
	/* Places in files are signed. */
	m->bad |= out->size > INT64_MAX || out->at > INT64_MAX - out->size;
}

int
msg_done(const struct msg_in *m, struct err *e)
{
	const char *name;

	if (!m->bad)
		return 0;
	name = msg_type_name(m->type);
	return err_set(e, ERR_TEMP, "4.3.0", "malformed IPC message %s",
	    name != NULL ? name : "of unknown type");
}
