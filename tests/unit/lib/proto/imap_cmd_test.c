/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/imap_cmd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

/* The search program as text: "(and (flag 8) (not (header From bob)))". */
static void
show_search(const struct imap_search *n, struct buf *b)
{
	static const char *const names[] = { "and", "or", "all", "set", "uid",
		"flag", "keyword", "header", "body", "text", "before", "on",
		"since", "sentbefore", "senton", "sentsince", "larger",
		"smaller" };

	buf_str(b, n->negate ? "(not " : "(");
	buf_str(b, names[n->op]);
	for (const struct imap_search *c = n->child; c != NULL; c = c->next) {
		buf_byte(b, ' ');
		show_search(c, b);
	}
	if (n->op == SEARCH_FLAG || n->op >= SEARCH_LARGER)
		buf_fmt(b, " %u", n->number);
	if (n->op >= SEARCH_BEFORE && n->op <= SEARCH_SENTSINCE)
		buf_fmt(b, " %d", n->day);
	if (n->field.n > 0)
		buf_fmt(b, " %.*s", SPAN_FMT(n->field));
	if (n->text.n > 0)
		buf_fmt(b, " %.*s", SPAN_FMT(n->text));
	for (size_t i = 0; i < n->set.count; i++)
		buf_fmt(
		    b, " %u:%u", n->set.ranges[i].from, n->set.ranges[i].to);
	buf_byte(b, ')');
}

static void
show_fetch(const struct imap_fetch *f, struct buf *b)
{
	for (; f != NULL; f = f->next) {
		buf_fmt(b, " %d%s", f->kind, f->peek ? "" : "!");
		if (f->kind != FETCH_BODY_SECTION)
			continue;
		buf_fmt(b, "[%.*s|", SPAN_FMT(f->section.text));
		for (size_t i = 0; i < f->section.part_count; i++)
			buf_fmt(b, "%u.", f->section.part[i]);
		buf_fmt(b, "%d|%zu]", f->section.kind, f->section.field_count);
		if (f->partial)
			buf_fmt(b, "<%u.%u>", f->from, f->count);
	}
}

static void
show_spans(const struct span *s, size_t n, struct buf *b)
{
	for (size_t i = 0; i < n; i++)
		buf_fmt(b, " <%.*s>", SPAN_FMT(s[i]));
}

static void
show(const struct imap_cmd *c, struct buf *b)
{
	buf_fmt(
	    b, "%.*s %s%s", SPAN_FMT(c->tag), c->uid ? "UID " : "", c->name);
	if (c->mailbox.n > 0 || c->verb == IMAP_LIST || c->verb == IMAP_LSUB)
		buf_fmt(b, " m=%.*s", SPAN_FMT(c->mailbox));
	if (c->mailbox2.n > 0)
		buf_fmt(b, " m2=%.*s", SPAN_FMT(c->mailbox2));
	if (c->set_text.n > 0)
		buf_fmt(b, " set=%.*s", SPAN_FMT(c->set_text));
	if (c->verb == IMAP_LOGIN)
		buf_fmt(b, " u=%.*s p=%.*s", SPAN_FMT(c->user),
		    SPAN_FMT(c->password));
	if (c->mechanism.n > 0)
		buf_fmt(b, " %.*s%s%.*s", SPAN_FMT(c->mechanism),
		    c->has_initial ? "=" : "", SPAN_FMT(c->initial));
	if (c->verb == IMAP_STORE)
		buf_fmt(b, " mode=%d%s", c->store_mode, c->silent ? "s" : "");
	if (c->flags.system != 0 || c->flags.keyword_count > 0)
		buf_fmt(b, " flags=%u", c->flags.system);
	show_spans(c->flags.keywords, c->flags.keyword_count, b);
	if (c->status != 0)
		buf_fmt(b, " status=%u", c->status);
	if (c->list != 0)
		buf_fmt(b, " list=%u", c->list);
	show_spans(c->patterns, c->pattern_count, b);
	if (c->has_date)
		buf_fmt(b, " date=%lld%+d", (long long)c->date, c->date_zone);
	if (c->verb == IMAP_APPEND)
		buf_fmt(b, " size=%llu%s", (unsigned long long)c->append_size,
		    c->append_plus ? "+" : "");
	if (c->charset.n > 0)
		buf_fmt(b, " charset=%.*s", SPAN_FMT(c->charset));
	show_fetch(c->fetch, b);
	if (c->search != NULL) {
		buf_byte(b, ' ');
		show_search(c->search, b);
	}
}

static enum parse
parse(struct span in, enum imap_state state, struct buf *b)
{
	struct imap_cmd c = { 0 };
	const char *why = NULL;
	struct arena a;
	enum parse got;

	arena_init(&a, LIMIT_IMAP_COMMAND);
	got = imap_cmd_parse(in, state, &a, &c, &why);
	if (got == PARSE_OK)
		show(&c, b);
	else
		buf_fmt(b, "%.*s BAD %s", SPAN_FMT(c.tag), why);
	arena_reset(&a);
	return got;
}

struct row {
	const char *in, *want;
};

static void
check(const struct row *rows, size_t count, enum imap_state state,
    enum parse want)
{
	for (size_t i = 0; i < count; i++) {
		enum parse got;
		struct buf b;

		buf_init(&b, 10000);
		got = parse(span_str(rows[i].in), state, &b);

		assert_string_equal(buf_cstr(&b), rows[i].want);
		assert_int_equal(got, want);
		buf_release(&b);
	}
}

static void
reads_commands_before_login(void **state)
{
	static const struct row rows[] = {
		{ "a1 CAPABILITY", "a1 CAPABILITY" },
		{ "A.1 noop", "A.1 NOOP" },
		{ "a login joe {6}\r\npa ss\"", "a LOGIN u=joe p=pa ss\"" },
		{ "a Login \"j\\\"oe\" {3+}\r\nabc", "a LOGIN u=j\"oe p=abc" },
		{ "a LOGIN {0}\r\n \"\"", "a LOGIN u= p=" },
		{ "a AUTHENTICATE plain", "a AUTHENTICATE plain" },
		{ "a AUTHENTICATE PLAIN =", "a AUTHENTICATE PLAIN=" },
		{ "a AUTHENTICATE PLAIN AGEAYg==",
		    "a AUTHENTICATE PLAIN=AGEAYg==" },
		{ "a STARTTLS", "a STARTTLS" },
		{ "a ID NIL", "a ID" },
		{ "a ID (\"name\" \"x\" \"os\" nil)", "a ID" },
		{ "a ID ()", "a ID" },
	};

	(void)state;
	check(rows, COUNT_OF(rows), IMAP_NOT_AUTHENTICATED, PARSE_OK);
}

static void
reads_mailbox_commands(void **state)
{
	static const struct row rows[] = {
		{ "a SELECT inbox", "a SELECT m=INBOX" },
		{ "a EXAMINE \"a b\"", "a EXAMINE m=a b" },
		{ "a CREATE x]y", "a CREATE m=x]y" },
		{ "a RENAME a {1}\r\nb", "a RENAME m=a m2=b" },
		{ "a LIST \"\" *", "a LIST m= <*>" },
		{ "a LIST \"\" \"%\"", "a LIST m= <%>" },
		{ "a lsub \"\" a/%", "a LSUB m= <a/%>" },
		{ "a list (subscribed) \"\" \"*\" return (special-use)",
		    "a LIST m= list=321 <*>" },
		{ "a LIST (SPECIAL-USE) \"\" \"*\" RETURN (SUBSCRIBED)",
		    "a LIST m= list=280 <*>" },
		{ "a LIST () \"\" (INBOX \"b%\") RETURN (CHILDREN "
		  "STATUS (MESSAGES UNSEEN))",
		    "a LIST m= status=17 list=416 <INBOX> <b%>" },
		{ "a STATUS x (messages UIDNEXT uidvalidity RECENT UNSEEN)",
		    "a STATUS m=x status=31" },
		{ "a APPEND x {10}", "a APPEND m=x size=10" },
		{ "a APPEND x (\\Seen $Junk) \"17-Jul-1996 02:44:25 -0700\" "
		  "{0+}",
		    "a APPEND m=x flags=8 <$Junk> date=837596665-420 size=0+" },
		{ "a IDLE", "a IDLE" },
		{ "a NAMESPACE", "a NAMESPACE" },
	};

	(void)state;
	check(rows, COUNT_OF(rows), IMAP_AUTHENTICATED, PARSE_OK);
}

static void
reads_message_commands(void **state)
{
	static const struct row rows[] = {
		{ "a COPY 1:2 x", "a COPY m=x set=1:2" },
		{ "a uid move 4,* inbox", "a UID MOVE m=INBOX set=4,*" },
		{ "a EXPUNGE", "a EXPUNGE" },
		{ "a UID EXPUNGE 3", "a UID EXPUNGE set=3" },
		{ "a uid store 135 +Flags (\\Flagged)",
		    "a UID STORE set=135 mode=1 flags=2" },
		{ "a STORE 1 flags.silent \\Seen kw",
		    "a STORE set=1 mode=0s flags=8 <kw>" },
		{ "a STORE 1 -FLAGS ()", "a STORE set=1 mode=2" },
		{ "a FETCH 1 fast", "a FETCH set=1 4 5 8" },
		{ "a FETCH 1 ALL", "a FETCH set=1 4 5 8 3" },
		{ "a FETCH 1 Full", "a FETCH set=1 4 5 8 3 1" },
		{ "a FETCH 1:* (UID RFC822 rfc822.text BODYSTRUCTURE)",
		    "a FETCH set=1:* 10 6! 9! 2" },
		{ "a FETCH 1 BODY[]<0.10>", "a FETCH set=1 0![|0|0]<0.10>" },
		{ "a FETCH 1 body.peek[1.2.mime]",
		    "a FETCH set=1 0[1.2.mime|1.2.5|0]" },
		{ "a FETCH 1 BODY[3]", "a FETCH set=1 0![3|3.0|0]" },
		{ "a FETCH 1 BODY[1.HEADER.FIELDS (To {4}\r\nDate)]",
		    "a FETCH set=1 0![1.HEADER.FIELDS (To "
		    "{4}\r\nDate)|1.2|2]" },
	};

	(void)state;
	check(rows, COUNT_OF(rows), IMAP_SELECTED, PARSE_OK);
}

static void
reads_searches(void **state)
{
	static const struct row rows[] = {
		{ "a SEARCH all", "a SEARCH (and (all))" },
		{ "a UID SEARCH CHARSET UTF-8 SUBJECT \"x y\"",
		    "a UID SEARCH charset=UTF-8 (and (header Subject x y))" },
		{ "a SEARCH UNSEEN not deleted",
		    "a SEARCH (and (not flag 8) (not flag 4))" },
		{ "a SEARCH NOT NOT UNSEEN", "a SEARCH (and (not flag 8))" },
		{ "a SEARCH NEW",
		    "a SEARCH (and (and (flag 32) (not flag 8)))" },
		{ "a SEARCH OR FROM a OR TO b CC c",
		    "a SEARCH (and (or (header From a) (header To b) "
		    "(header Cc c)))" },
		{ "a SEARCH OR (SEEN DRAFT) NOT 1:3,* LARGER 7",
		    "a SEARCH (and (or (and (flag 8) (flag 16)) "
		    "(not set 1:3 0:0)) (larger 7))" },
		{ "a SEARCH SINCE 1-Feb-1970 SENTON \"02-Jan-1970\"",
		    "a SEARCH (and (since 31) (senton 1))" },
		{ "a SEARCH HEADER X-Foo \"\" UID 5:9 KEYWORD k",
		    "a SEARCH (and (header X-Foo) (uid 5:9) (keyword k))" },
	};

	(void)state;
	check(rows, COUNT_OF(rows), IMAP_SELECTED, PARSE_OK);
}

static void
refuses_bad_grammar(void **state)
{
	static const struct row rows[] = {
		{ "", " BAD Invalid tag" },
		{ "a", "a BAD Missing arguments" },
		{ "a ", "a BAD Missing command" },
		{ "+ NOOP", " BAD Invalid tag" },
		{ "a XYZZY", "a BAD Unknown command" },
		{ "a UID NOOP", "a BAD Unknown command" },
		{ "a NOOP x", "a BAD Too many arguments" },
		{ "a LOGIN a b", "a BAD Already logged in" },
		{ "a SELECT", "a BAD Missing arguments" },
		{ "a SELECT \"x", "a BAD Missing closing quote" },
		{ "a SELECT \"\\n\"",
		    "a BAD Invalid escape in a quoted string" },
		{ "a SELECT x y", "a BAD Too many arguments" },
		{ "a SELECT *", "a BAD String expected" },
		{ "a SELECT {3}\r\nab", "a BAD Invalid literal" },
		{ "a FETCH 0 FLAGS", "a BAD Invalid message set" },
		{ "a FETCH 1 ()", "a BAD Word expected" },
		{ "a FETCH 1 (ALL)", "a BAD Unknown item to fetch" },
		{ "a FETCH 1 BODY[", "a BAD Word expected" },
		{ "a FETCH 1 BODY[1.]", "a BAD Word expected" },
		{ "a FETCH 1 BODY[MIME]", "a BAD MIME needs a part number" },
		{ "a FETCH 1 BODY[0]", "a BAD Number must not be zero" },
		{ "a FETCH 1 BODY[]<1>", "a BAD Partial range expected" },
		{ "a FETCH 1 BODY[]<0.0>", "a BAD Number must not be zero" },
		{ "a STORE 1 FLAGS (\\Recent)", "a BAD Invalid system flag" },
		{ "a STORE 1 FLAGS", "a BAD Missing arguments" },
		{ "a SEARCH", "a BAD Missing arguments" },
		{ "a SEARCH OR SEEN", "a BAD Missing arguments" },
		{ "a SEARCH (SEEN", "a BAD Closing parenthesis expected" },
		{ "a SEARCH SINCE 32-Feb-2020", "a BAD Invalid search date" },
		{ "a SEARCH LARGER 4294967296", "a BAD Number too large" },
		{ "a STATUS x ()", "a BAD Word expected" },
		{ "a STATUS x (SIZZE)", "a BAD Unknown status item" },
		{ "a APPEND x \"17-Jul-1996\" {3}", "a BAD Invalid date-time" },
		{ "a APPEND x \"abc\"", "a BAD Missing arguments" },
		{ "a LIST (RECURSIVEMATCH) \"\" *",
		    "a BAD RECURSIVEMATCH needs another selection option" },
	};

	(void)state;
	check(rows, COUNT_OF(rows), IMAP_SELECTED, PARSE_BAD);
}

static void
knows_where_commands_belong(void **state)
{
	static const struct row before[] = {
		{ "a SELECT x", "a BAD Please log in first" },
		{ "a IDLE", "a BAD Please log in first" },
	};
	static const struct row after[] = {
		{ "a FETCH 1 FLAGS", "a BAD No mailbox selected" },
		{ "a STARTTLS", "a BAD Already logged in" },
		{ "a CLOSE", "a BAD No mailbox selected" },
	};

	(void)state;
	check(before, COUNT_OF(before), IMAP_NOT_AUTHENTICATED, PARSE_BAD);
	check(after, COUNT_OF(after), IMAP_AUTHENTICATED, PARSE_BAD);
}

/* CVE-2026-27857 and its like: depth and size stay bounded. */
static void
survives_nesting(void **state)
{
	static const char *const pieces[] = { "(", "NOT ", "OR ", "OR (",
		"NOT (", "ALL ", "OR ALL ", ")" };
	struct buf in, out;

	(void)state;
	for (size_t i = 0; i < COUNT_OF(pieces); i++) {
		buf_init(&in, LIMIT_IMAP_LINE);
		buf_init(&out, 1 << 20);
		buf_str(&in, "a SEARCH ");
		while (buf_ok(&in))
			buf_str(&in, pieces[i]);
		assert_int_equal(
		    parse(buf_span(&in), IMAP_SELECTED, &out), PARSE_BAD);
		buf_release(&in);
		buf_release(&out);
	}
}

static void
takes_long_or_chains(void **state)
{
	struct buf in, out;

	(void)state;
	buf_init(&in, LIMIT_IMAP_LINE);
	buf_init(&out, 1 << 20);
	buf_str(&in, "a SEARCH ");
	for (int i = 0; i < 1000; i++)
		buf_str(&in, "OR FROM abc ");
	buf_str(&in, "ALL");
	assert_int_equal(parse(buf_span(&in), IMAP_SELECTED, &out), PARSE_OK);
	buf_release(&in);
	buf_release(&out);
}

/* Byte by byte more of a command: no read beyond the end, an answer each
 * time, and a reason with each refusal. */
static void
cut_anywhere(void **state)
{
	static const char *const rows[] = {
		"a FETCH 1:*,3 (BODY[1.HEADER.FIELDS (To {4}\r\nDate)]<0.10>)",
		"a UID SEARCH CHARSET UTF-8 OR (SUBJECT \"x \\\"y\") NOT 1:3",
		"a UID STORE 135 +FLAGS.SILENT (\\Flagged kw)",
		"a COPY 1:2 {3+}\r\nbox", "a LIST \"\" %*",
		"a STATUS \"a b\" (MESSAGES UIDNEXT)" };

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		for (size_t n = 0; n <= strlen(rows[i]); n++) {
			uint8_t *cut = mem_alloc(n > 0 ? n : 1);
			const char *why = NULL;
			struct imap_cmd cmd;
			struct arena a;
			enum parse got;

			memcpy(cut, rows[i], n);
			arena_init(&a, 65536);
			got = imap_cmd_parse(
			    span_of(cut, n), IMAP_SELECTED, &a, &cmd, &why);
			assert_true(got == PARSE_OK || got == PARSE_BAD);
			if (n == strlen(rows[i]) && got != PARSE_OK)
				fail_msg("%s: %s", rows[i], why);
			if (got == PARSE_BAD)
				assert_non_null(why);
			arena_reset(&a);
			mem_free(cut);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_commands_before_login),
		cmocka_unit_test(reads_mailbox_commands),
		cmocka_unit_test(reads_message_commands),
		cmocka_unit_test(reads_searches),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(refuses_bad_grammar),
		cmocka_unit_test(knows_where_commands_belong),
		cmocka_unit_test(survives_nesting),
		cmocka_unit_test(takes_long_or_chains),
	};

	return cmocka_run_group_tests_name("imap_cmd", tests, NULL, NULL);
}
