/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/external.h"

#include <string.h>

/* Tables have their keys in lower case. */
static int
look_up(struct maps *maps, const char *key, char *out, struct err *e)
{
	uint8_t folded[512];
	const size_t n = strlen(key);
	struct buf value;
	int rc = 0;

	if (n == 0 || n > sizeof(folded))
		return 0;
	for (size_t i = 0; i < n; i++)
		folded[i] = ascii_lower((uint8_t)key[i]);
	buf_init(&value, LIMIT_TABLE_VALUE);
	switch (maps_get(maps, span_of(folded, n), &value, e)) {
	case MAP_FOUND:
		rc = span_copy(span_trim(buf_span(&value)), out,
		    AUTH_NAME_MAX + 1);
		break;
	case MAP_ABSENT:
		break;
	case MAP_FAILED:
		rc = -1;
		break;
	}
	buf_release(&value);
	return rc;
}

int
external_user(struct maps *maps, const char *name, const char *print,
    char out_user[AUTH_NAME_MAX + 1], const char **out_why, struct err *e)
{
	int rc;

	*out_why = "no client certificate";
	if (name[0] == '\0' && print[0] == '\0')
		return 0;
	if (maps_empty(maps)) {
		*out_why = "no verified client certificate";
		return span_copy(
		    span_str(name), out_user, AUTH_NAME_MAX + 1) &&
		    name[0] != '\0';
	}
	*out_why = "the client's certificate is nobody's";
	rc = look_up(maps, print, out_user, e);
	return rc != 0 ? rc : look_up(maps, name, out_user, e);
}
