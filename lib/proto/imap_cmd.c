/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/imap_cmd.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/date.h"
#include "lib/proto/imap_cmd_private.h"

typedef bool args_fn(struct imap_lex *x, struct imap_cmd *c);

void
imap_cmd_push(struct arena *a, struct span **list, size_t *count, struct span s)
{
	/* Room doubles at each power of two. */
	if ((*count & (*count - 1)) == 0) {
		const size_t room = *count > 0 ? *count * 2 : 1;
		struct span *grown = arena_alloc(a, room * sizeof(*grown));

		if (*count > 0)
			memcpy(grown, *list, *count * sizeof(*grown));
		*list = grown;
	}
	(*list)[(*count)++] = s;
}

bool
imap_cmd_mailbox(struct imap_lex *x, struct span *out)
{
	if (!imap_lex_sp(x) || !imap_lex_astring(x, out))
		return false;
	if (out->n > LIMIT_MAILBOX_NAME)
		return imap_lex_fail(x, "Mailbox name too long");
	if (span_ieq(*out, SPAN("INBOX")))
		*out = SPAN("INBOX");
	return true;
}

bool
imap_cmd_set(struct imap_lex *x, struct imap_cmd *c)
{
	if (!imap_lex_sp(x) || !imap_lex_set(x, &c->set_text))
		return false;
	if (!seqset_parse(c->set_text, x->arena, &c->set))
		return imap_lex_fail(x, "Invalid message set");
	return true;
}

static bool
no_args(struct imap_lex *x, struct imap_cmd *c)
{
	(void)x;
	(void)c;
	return true;
}

static bool
mailbox_args(struct imap_lex *x, struct imap_cmd *c)
{
	return imap_cmd_mailbox(x, &c->mailbox);
}

static bool
rename_args(struct imap_lex *x, struct imap_cmd *c)
{
	return imap_cmd_mailbox(x, &c->mailbox) &&
	       imap_cmd_mailbox(x, &c->mailbox2);
}

static bool
copy_args(struct imap_lex *x, struct imap_cmd *c)
{
	return imap_cmd_set(x, c) && imap_cmd_mailbox(x, &c->mailbox);
}

static bool
expunge_args(struct imap_lex *x, struct imap_cmd *c)
{
	return !c->uid || imap_cmd_set(x, c);
}

static bool
login_args(struct imap_lex *x, struct imap_cmd *c)
{
	return imap_lex_sp(x) && imap_lex_astring(x, &c->user) &&
	       imap_lex_sp(x) && imap_lex_astring(x, &c->password);
}

/* The initial response is base64, or "=" for an empty one (RFC 4959 3); it is
 * decoded by whoever knows the mechanism. */
static bool
authenticate_args(struct imap_lex *x, struct imap_cmd *c)
{
	if (!imap_lex_sp(x) || !imap_lex_atom(x, &c->mechanism))
		return false;
	if (imap_lex_end(x))
		return true;
	if (!imap_lex_sp(x))
		return false;
	c->has_initial = true;
	c->initial = x->in;
	x->in = SPAN_EMPTY;
	if (c->initial.n == 0)
		return imap_lex_fail(x, "Initial response expected");
	if (span_eq(c->initial, SPAN("=")))
		c->initial = SPAN_EMPTY;
	return true;
}

/* "NIL" or a list of at most 30 pairs of string and nstring (RFC 2971 3.1),
 * which nobody needs. */
static bool
id_args(struct imap_lex *x, struct imap_cmd *c)
{
	struct span s;
	bool nil;

	(void)c;
	if (!imap_lex_sp(x))
		return false;
	if (imap_lex_peek(x) != '(')
		return imap_lex_nstring(x, &s, &nil) &&
		       (nil || imap_lex_fail(x, "NIL expected"));
	if (!imap_lex_open(x))
		return false;
	for (int i = 0; imap_lex_peek(x) != ')'; i++) {
		if (i >= 30)
			return imap_lex_fail(x, "Too many ID fields");
		if (i > 0 && !imap_lex_sp(x))
			return false;
		if (!imap_lex_string(x, &s) || !imap_lex_sp(x) ||
		    !imap_lex_nstring(x, &s, &nil))
			return false;
	}
	return imap_lex_close(x);
}

static bool
flag(struct imap_lex *x, struct imap_flags *f)
{
	static const struct {
		const char *name;
		enum imap_flag_bit bit;
	} known[] = {
		{ "Seen", IMAP_SEEN },
		{ "Answered", IMAP_ANSWERED },
		{ "Flagged", IMAP_FLAGGED },
		{ "Deleted", IMAP_DELETED },
		{ "Draft", IMAP_DRAFT },
	};
	struct span name;

	if (!imap_lex_opt(x, '\\')) {
		if (!imap_lex_atom(x, &name))
			return false;
		imap_cmd_push(x->arena, &f->keywords, &f->keyword_count, name);
		return arena_ok(x->arena) || imap_lex_fail(x, "Too many flags");
	}
	if (!imap_lex_atom(x, &name))
		return false;
	for (size_t i = 0; i < COUNT_OF(known); i++) {
		if (span_ieq(name, span_str(known[i].name))) {
			f->system |= known[i].bit;
			return true;
		}
	}
	return imap_lex_fail(x, "Invalid system flag");
}

/* "(" [flag *(SP flag)] ")" */
static bool
flag_list(struct imap_lex *x, struct imap_flags *f)
{
	if (!imap_lex_open(x))
		return false;
	for (bool first = true; imap_lex_peek(x) != ')'; first = false) {
		if ((!first && !imap_lex_sp(x)) || !flag(x, f))
			return false;
	}
	return imap_lex_close(x);
}

static bool
store_args(struct imap_lex *x, struct imap_cmd *c)
{
	struct span what;

	if (!imap_cmd_set(x, c) || !imap_lex_sp(x))
		return false;
	c->store_mode = STORE_SET;
	if (imap_lex_opt(x, '+'))
		c->store_mode = STORE_ADD;
	else if (imap_lex_opt(x, '-'))
		c->store_mode = STORE_REMOVE;
	if (!imap_lex_word(x, &what))
		return false;
	c->silent = span_ieq(what, SPAN("FLAGS.SILENT"));
	if (!c->silent && !span_ieq(what, SPAN("FLAGS")))
		return imap_lex_fail(x, "Unknown item to store");
	if (!imap_lex_sp(x))
		return false;
	if (imap_lex_peek(x) == '(')
		return flag_list(x, &c->flags);
	if (!flag(x, &c->flags))
		return false;
	while (imap_lex_opt(x, ' ')) {
		if (!flag(x, &c->flags))
			return false;
	}
	return true;
}

static bool
append_args(struct imap_lex *x, struct imap_cmd *c)
{
	struct span date;

	if (!imap_cmd_mailbox(x, &c->mailbox) || !imap_lex_sp(x))
		return false;
	if (imap_lex_peek(x) == '(' &&
	    (!flag_list(x, &c->flags) || !imap_lex_sp(x)))
		return false;
	if (imap_lex_peek(x) == '"') {
		if (!imap_lex_string(x, &date) || !imap_lex_sp(x))
			return false;
		if (!date_parse_imap(date, &c->date, &c->date_zone))
			return imap_lex_fail(x, "Invalid date-time");
		c->has_date = true;
	}
	return imap_lex_literal_ahead(x, &c->append_size, &c->append_plus);
}

enum {
	ANY = IMAP_NOT_AUTHENTICATED | IMAP_AUTHENTICATED | IMAP_SELECTED,
	BEFORE = IMAP_NOT_AUTHENTICATED,
	AFTER = IMAP_AUTHENTICATED | IMAP_SELECTED,
	IN = IMAP_SELECTED,
};

static const struct verb {
	const char *name;
	enum imap_verb verb;
	unsigned states;
	bool uid; /* may stand after UID */
	args_fn *args;
} verbs[] = {
	{ "APPEND", IMAP_APPEND, AFTER, false, append_args },
	{ "AUTHENTICATE", IMAP_AUTHENTICATE, BEFORE, false, authenticate_args },
	{ "CAPABILITY", IMAP_CAPABILITY, ANY, false, no_args },
	{ "CHECK", IMAP_CHECK, IN, false, no_args },
	{ "CLOSE", IMAP_CLOSE, IN, false, no_args },
	{ "COPY", IMAP_COPY, IN, true, copy_args },
	{ "CREATE", IMAP_CREATE, AFTER, false, mailbox_args },
	{ "DELETE", IMAP_DELETE, AFTER, false, mailbox_args },
	{ "EXAMINE", IMAP_EXAMINE, AFTER, false, mailbox_args },
	{ "EXPUNGE", IMAP_EXPUNGE, IN, true, expunge_args },
	{ "FETCH", IMAP_FETCH, IN, true, imap_cmd_fetch },
	{ "ID", IMAP_ID, ANY, false, id_args },
	{ "IDLE", IMAP_IDLE, AFTER, false, no_args },
	{ "LIST", IMAP_LIST, AFTER, false, imap_cmd_list },
	{ "LOGIN", IMAP_LOGIN, BEFORE, false, login_args },
	{ "LOGOUT", IMAP_LOGOUT, ANY, false, no_args },
	{ "LSUB", IMAP_LSUB, AFTER, false, imap_cmd_lsub },
	{ "MOVE", IMAP_MOVE, IN, true, copy_args },
	{ "NAMESPACE", IMAP_NAMESPACE, AFTER, false, no_args },
	{ "NOOP", IMAP_NOOP, ANY, false, no_args },
	{ "RENAME", IMAP_RENAME, AFTER, false, rename_args },
	{ "SEARCH", IMAP_SEARCH, IN, true, imap_cmd_search },
	{ "SELECT", IMAP_SELECT, AFTER, false, mailbox_args },
	{ "STARTTLS", IMAP_STARTTLS, BEFORE, false, no_args },
	{ "STATUS", IMAP_STATUS, AFTER, false, imap_cmd_status },
	{ "STORE", IMAP_STORE, IN, true, store_args },
	{ "SUBSCRIBE", IMAP_SUBSCRIBE, AFTER, false, mailbox_args },
	{ "UNSELECT", IMAP_UNSELECT, IN, false, no_args },
	{ "UNSUBSCRIBE", IMAP_UNSUBSCRIBE, AFTER, false, mailbox_args },
};

static const struct verb *
find_verb(struct span word)
{
	for (size_t i = 0; i < COUNT_OF(verbs); i++) {
		if (span_ieq(word, span_str(verbs[i].name)))
			return &verbs[i];
	}
	return NULL;
}

static const struct verb *
read_verb(struct imap_lex *x, struct imap_cmd *c)
{
	const struct verb *v;
	struct span word;

	if (!imap_lex_tag(x, &c->tag) || !imap_lex_sp(x))
		return NULL;
	if (imap_lex_end(x))
		imap_lex_fail(x, "Missing command");
	if (!imap_lex_atom(x, &word))
		return NULL;
	c->uid = span_ieq(word, SPAN("UID"));
	if (c->uid && (!imap_lex_sp(x) || !imap_lex_atom(x, &word)))
		return NULL;
	v = find_verb(word);
	if (v == NULL || (c->uid && !v->uid)) {
		imap_lex_fail(x, "Unknown command");
		return NULL;
	}
	c->verb = v->verb;
	c->name = v->name;
	return v;
}

static const char *
out_of_place(const struct verb *v, enum imap_state state)
{
	if ((v->states & state) != 0)
		return NULL;
	if (state == IMAP_NOT_AUTHENTICATED)
		return "Please log in first";
	if (v->states == BEFORE)
		return "Already logged in";
	return "No mailbox selected";
}

enum parse
imap_cmd_parse(struct span in, enum imap_state state, struct arena *a,
    struct imap_cmd *out, const char **out_why)
{
	struct imap_cmd c = { 0 };
	const struct verb *v;
	struct imap_lex x;

	imap_lex_init(&x, in, a);
	v = read_verb(&x, &c);
	if (v != NULL) {
		const char *why = out_of_place(v, state);

		if (why != NULL)
			imap_lex_fail(&x, why);
		else if (v->args(&x, &c) && !imap_lex_end(&x))
			imap_lex_fail(&x, "Too many arguments");
		if (!arena_ok(a))
			imap_lex_fail(&x, "Command too complex");
	}
	if (x.why != NULL) {
		out->tag = c.tag;
		*out_why = x.why;
		return PARSE_BAD;
	}
	*out = c;
	return PARSE_OK;
}

bool
imap_cmd_is_append(struct span in, struct arena *a)
{
	struct imap_cmd c = { 0 };
	const struct verb *v;
	struct imap_lex x;

	imap_lex_init(&x, in, a);
	v = read_verb(&x, &c);
	return v != NULL && v->verb == IMAP_APPEND && v->args(&x, &c);
}
