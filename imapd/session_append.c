/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/session.h"

#include <stdio.h>

#include "lib/base/mem.h"

/* NULL-ended copies of the keywords, in one allocation for the array. */
static char **
keyword_list(const struct imap_flags *f)
{
	char **list = mem_zalloc((f->keyword_count + 1) * sizeof(*list));

	for (size_t i = 0; i < f->keyword_count; i++)
		list[i] = span_dup(f->keywords[i]);
	return list;
}

static void
keyword_list_free(char **list)
{
	for (size_t i = 0; list[i] != NULL; i++)
		mem_free(list[i]);
	mem_free(list);
}

static int
begin(struct session *s, const struct imap_cmd *c, struct span name,
    struct err *e)
{
	char **keywords = keyword_list(&c->flags);
	const struct append_meta meta = {
		.flags = (uint8_t)c->flags.system,
		.keywords = (const char *const *)keywords,
		.internal_s = c->has_date ? c->date : 0,
		.internal_zone_min = (int16_t)c->date_zone,
	};
	const int result = append_begin(s->store, name, &meta, &s->append, e);

	keyword_list_free(keywords);
	return result;
}

void
session_append_begin(struct session *s, const struct imap_cmd *c)
{
	struct err e = { 0 };
	struct buf name;

	if (s->user.message_size_max > 0 &&
	    c->append_size > s->user.message_size_max) {
		session_no(s, "TOOBIG", "Message too large");
		return;
	}
	if (c->append_size == 0) {
		session_no(s, NULL, "A message cannot be empty");
		return;
	}
	if (!session_name(s, c->mailbox, &name))
		return;
	s->append_failed = false;
	if (begin(s, c, buf_span(&name), &e) != 0)
		session_error(s, &e, "TRYCREATE");
	else
		imap_server_go(s->server);
	buf_release(&name);
}

void
session_append_data(struct session *s, struct span bytes)
{
	if (s->append == NULL)
		return;
	if (append_write(s->append, bytes, &s->append_error) != 0) {
		append_abort(&s->append);
		session_error(s, &s->append_error, "TRYCREATE");
	}
}

void
session_append_end(struct session *s)
{
	uint32_t uid, validity;
	struct err e = { 0 };
	char code[64];

	if (append_commit(&s->append, &uid, &validity, &e) != 0) {
		append_abort(&s->append);
		session_error(s, &e, "TRYCREATE");
		return;
	}
	snprintf(code, sizeof(code), "APPENDUID %u %u", validity, uid);
	session_quota(s);
	session_ok_code(s, uid > 0 ? code : NULL, "Append completed");
}

void
session_append_drop(struct session *s)
{
	append_abort(&s->append);
}
