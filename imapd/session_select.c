/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/session.h"

#include <errno.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/proto/imap_print.h"

_Static_assert((int)FLAG_ANSWERED == (int)IMAP_ANSWERED &&
		   (int)FLAG_FLAGGED == (int)IMAP_FLAGGED &&
		   (int)FLAG_DELETED == (int)IMAP_DELETED &&
		   (int)FLAG_SEEN == (int)IMAP_SEEN &&
		   (int)FLAG_DRAFT == (int)IMAP_DRAFT &&
		   (int)FLAG_RECENT == (int)IMAP_RECENT,
    "the store and the protocol number flags alike");

enum {
	SETTABLE =
	    IMAP_ANSWERED | IMAP_FLAGGED | IMAP_DELETED | IMAP_SEEN | IMAP_DRAFT
};

static void
print_keywords(struct session *s, uint64_t which, bool space, struct buf *out)
{
	for (unsigned n = 0; n < KEYWORDS_MAX; n++) {
		const char *name;

		if ((which >> n & 1) == 0)
			continue;
		name = mailbox_keyword(s->box, n);
		if (name == NULL)
			continue;
		buf_fmt(out, space ? " %s" : "%s", name);
		space = true;
	}
}

void
session_print_flags(struct session *s, const struct message *m, struct buf *out)
{
	buf_byte(out, '(');
	print_keywords(
	    s, m->keywords, imap_print_flags(out, m->flags, false), out);
	buf_byte(out, ')');
}

static uint64_t
all_keywords(const struct session *s)
{
	uint64_t all = 0;

	for (unsigned n = 0; n < KEYWORDS_MAX; n++)
		if (mailbox_keyword(s->box, n) != NULL)
			all |= UINT64_C(1) << n;
	return all;
}

/* FLAGS and PERMANENTFLAGS as they are now. */
static void
print_flag_lists(struct session *s)
{
	struct buf *out = session_out(s);

	s->keywords = all_keywords(s);
	buf_str(out, "* FLAGS (");
	print_keywords(
	    s, s->keywords, imap_print_flags(out, SETTABLE, false), out);
	buf_str(out, ")\r\n* OK [PERMANENTFLAGS (");
	if (!mailbox_read_only(s->box)) {
		print_keywords(s, s->keywords,
		    imap_print_flags(out, SETTABLE, false), out);
		buf_str(out, " \\*");
	}
	buf_str(out, ")] Flags permitted\r\n");
}

void
session_announce(struct session *s, uint64_t keywords)
{
	if ((keywords & ~s->keywords) != 0)
		print_flag_lists(s);
}

static uint32_t
first_unseen(const struct session *s)
{
	const uint32_t count = mailbox_count(s->box);

	for (uint32_t seq = 1; seq <= count; seq++)
		if ((mailbox_message(s->box, seq)->flags & FLAG_SEEN) == 0)
			return seq;
	return 0;
}

static void
print_selected(struct session *s)
{
	struct buf *out = session_out(s);
	struct mailbox_status st;
	uint32_t unseen;

	mailbox_get_status(s->box, &st);
	print_flag_lists(s);
	buf_fmt(out, "* %u EXISTS\r\n* %u RECENT\r\n", mailbox_count(s->box),
	    st.recent);
	unseen = first_unseen(s);
	if (unseen > 0)
		buf_fmt(out, "* OK [UNSEEN %u] First unseen\r\n", unseen);
	buf_fmt(out,
	    "* OK [UIDVALIDITY %u] UIDs valid\r\n"
	    "* OK [UIDNEXT %u] Predicted next UID\r\n",
	    st.uid_validity, st.uid_next);
}

void
session_select(struct session *s, const struct imap_cmd *c)
{
	const bool read_only = c->verb == IMAP_EXAMINE;
	struct err e = { 0 };
	struct buf name;

	/* A failed SELECT leaves none selected (RFC 3501 6.3.1). */
	session_unselect(s);
	if (!session_name(s, c->mailbox, &name))
		return;
	if (mailbox_open(s->store, buf_span(&name), read_only, &s->box, &e) !=
	    0) {
		session_error(s, &e, "NONEXISTENT");
	} else {
		s->box_name = span_dup(buf_span(&name));
		imap_server_set_state(s->server, IMAP_SELECTED);
		print_selected(s);
		imap_server_done(s->server, IMAP_OK,
		    mailbox_read_only(s->box) ? "READ-ONLY" : "READ-WRITE",
		    read_only ? "Examine completed" : "Select completed");
	}
	buf_release(&name);
}

void
session_unselect(struct session *s)
{
	if (s->box == NULL)
		return;
	session_forget_text(s);
	mailbox_close(&s->box);
	mem_free(s->box_name);
	s->box_name = NULL;
	if (s->server != NULL)
		imap_server_set_state(s->server, IMAP_AUTHENTICATED);
}

static void
on_expunged(void *arg, uint32_t seq, uint32_t uid)
{
	struct session *s = arg;

	if (uid == s->text_uid)
		session_forget_text(s);
	buf_fmt(session_out(s), "* %u EXPUNGE\r\n", seq);
	session_flush_some(s);
}

static void
on_exists(void *arg, uint32_t count, uint32_t recent)
{
	struct session *s = arg;

	buf_fmt(
	    session_out(s), "* %u EXISTS\r\n* %u RECENT\r\n", count, recent);
}

static void
on_flags(void *arg, uint32_t seq)
{
	struct session *s = arg;
	const struct message *m = mailbox_message(s->box, seq);
	struct buf *out = session_out(s);

	session_announce(s, m->keywords);
	buf_fmt(out, "* %u FETCH (", seq);
	if (s->uid_in_sync)
		buf_fmt(out, "UID %u ", m->uid);
	buf_str(out, "FLAGS ");
	session_print_flags(s, m, out);
	buf_str(out, ")\r\n");
	session_flush_some(s);
}

void
session_sync(struct session *s, bool with_expunge)
{
	static const struct mailbox_sync_handler handler = {
		.expunged = on_expunged,
		.exists = on_exists,
		.flags = on_flags,
	};
	struct err e;

	if (s->box == NULL)
		return;
	if (mailbox_sync(s->box, with_expunge, &handler, s, &e) == 0)
		return;
	/* The command itself went well: this failure is only told, and one
	 * that is no failure, the mailbox having been renamed or deleted, not
	 * even that. */
	log_warning(&s->log, "user=<%s>: mailbox %s: %s", s->user.name,
	    log_quote(span_str(s->box_name), 100), e.text);
	if (e.sysno != ENOENT)
		buf_str(session_out(s),
		    "* NO [UNAVAILABLE] The mailbox could not be read anew; "
		    "the server's log says more\r\n");
}
