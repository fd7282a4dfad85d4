/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/ipc/schema.h"

#include <stddef.h>

#include "lib/base/mem.h"

struct number_name {
	unsigned number;
	const char *name;
};

#define MSG_NAME(name, number) { number, #name },
static const struct number_name types[] = { MSG_TYPES(MSG_NAME) };
static const struct number_name fields[] = { MSG_FIELDS(MSG_NAME) };

static const char *
find(const struct number_name *rows, size_t count, unsigned number)
{
	for (size_t i = 0; i < count; i++)
		if (rows[i].number == number)
			return rows[i].name;
	return NULL;
}

const char *
msg_type_name(unsigned number)
{
	return find(types, COUNT_OF(types), number);
}

const char *
msg_field_name(unsigned number)
{
	return find(fields, COUNT_OF(fields), number);
}
