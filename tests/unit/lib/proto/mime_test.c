/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/mime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"

/* The tree as text: "M(L[body/lines] ...)", M multipart, R message. */
static void
show(const struct mime *m, uint32_t at, struct buf *b)
{
	const struct mime_part *p = &m->parts[at];

	buf_byte(b, p->kind == MIME_LEAF	? 'L'
		    : p->kind == MIME_MULTIPART ? 'M'
						: 'R');
	if (p->kind == MIME_LEAF)
		buf_fmt(b, "[%.*s/%u]", SPAN_FMT(mime_body(m, at)), p->lines);
	if (p->first == MIME_NONE)
		return;
	buf_byte(b, '(');
	for (uint32_t c = p->first; c != MIME_NONE; c = m->parts[c].next)
		show(m, c, b);
	buf_byte(b, ')');
}

static void
check(const char *in, const char *want)
{
	struct mime m;
	struct buf b;

	buf_init(&b, 10000);
	mime_parse(span_str(in), &m);
	show(&m, 0, &b);
	assert_string_equal(buf_cstr(&b), want);
	mime_release(&m);
	buf_release(&b);
}

#define MULTI(b) "Content-Type: multipart/mixed; boundary=" b "\r\n\r\n"

static void
finds_parts(void **state)
{
	(void)state;
	check("", "L[/0]");
	check("Subject: x", "L[/0]");
	check("Subject: x\r\n\r\nhi\r\nyou", "L[hi\r\nyou/1]");
	check("A: b\n\nhi\n", "L[hi\n/1]");
	check(MULTI("q") "pre\r\n--q\r\n\r\none\r\n--q\r\nA: b\r\n\r\n"
			 "two\r\n\r\n--q--\r\npost\r\n",
	    "M(L[one/0]L[two\r\n/1])");
	check(MULTI("\"a b\"") "--a b \t\r\n\r\nx\r\n--a bc\r\n--a b--",
	    "M(L[x\r\n--a bc/1])");
	/* No end, no blank line, nothing at all. */
	check(MULTI("q") "--q\r\n\r\none\r\n", "M(L[one\r\n/1])");
	check(
	    MULTI("q") "--q\r\nA: b\r\n--q\r\n\r\n--q--\r\n", "M(L[/0]L[/0])");
	check(MULTI("q") "nothing\r\n", "M");
	check("Content-Type: multipart/mixed\r\n\r\n--\r\n", "L[--\r\n/1]");
}

static void
nests(void **state)
{
	(void)state;
	check(MULTI("a") "--a\r\n" MULTI("b") "--b\r\n\r\n1\r\n--b--\r\n"
					      "--a\r\n\r\n2\r\n--a--\r\n",
	    "M(M(L[1/0])L[2/0])");
	/* The outer boundary ends the inner ones. */
	check(MULTI("a") "--a\r\n" MULTI("b") "--b\r\n\r\n1\r\n--a\r\n\r\n"
					      "2\r\n--b\r\n--a--\r\n",
	    "M(M(L[1/0])L[2\r\n--b/1])");
	check("Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\nbody",
	    "R(L[body/0])");
	check(MULTI("a") "--a\r\nContent-Type: message/rfc822\r\n\r\n"
			 "S: i\r\n\r\nbody\r\n--a--\r\n",
	    "M(R(L[body/0]))");
	check("Content-Type: multipart/digest; boundary=d\r\n\r\n--d\r\n\r\n"
	      "S: i\r\n\r\nbody\r\n--d--\r\n",
	    "M(R(L[body/0]))");
	check("Content-Type: message/rfc822\r\n"
	      "Content-Transfer-Encoding: base64\r\n\r\nU3ViamVjdDogaQ==",
	    "L[U3ViamVjdDogaQ==/0]");
}

static void
finds_sections(void **state)
{
	static const char text[] = MULTI(
	    "a") "--a\r\n\r\none\r\n--a\r\nContent-Type: message/rfc822\r\n\r\n"
		 "Subject: in\r\n" MULTI(
		     "b") "--b\r\n\r\ninner\r\n--b--\r\n--a--\r\n";
	static const struct {
		uint32_t numbers[3];
		size_t count;
		uint32_t part;
		bool message;
	} rows[] = {
		{ { 0 }, 0, 0, true },
		{ { 1 }, 1, 1, false },
		{ { 2 }, 1, 2, true },
		{ { 2, 1 }, 2, 4, false },
		{ { 3 }, 1, MIME_NONE, false },
		{ { 1, 1 }, 2, MIME_NONE, false },
		{ { 2, 1, 1 }, 3, MIME_NONE, false },
	};
	struct mime m;

	(void)state;
	mime_parse(span_str(text), &m);
	assert_int_equal(m.count, 5);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		bool message = false;
		uint32_t inner = 0;

		assert_int_equal(mime_find(&m, rows[i].numbers, rows[i].count,
				     &message, &inner),
		    rows[i].part);
		if (rows[i].part != MIME_NONE)
			assert_int_equal(message, rows[i].message);
		if (i == 2)
			assert_int_equal(inner, 3);
	}
	mime_release(&m);
}

static void
reads_types(void **state)
{
	static const struct {
		const char *in, *type, *subtype, *name, *value;
	} rows[] = {
		{ "text/plain", "text", "plain", NULL, NULL },
		{ " Text / HTML (c) ; charset = \"utf-8\"", "Text", "HTML",
		    "CHARSET", "utf-8" },
		{ "a/b; x; y=1;;z=\"q\\\"\\\\;\"", "a", "b", "z", "q\"\\;" },
		{ "a/b; x=(c)1", "a", "b", "x", "1" },
		{ "a/b; =1; x=\"unended", "a", "b", "x", "unended" },
	};
	struct mime_value v;
	struct arena a;

	(void)state;
	arena_init(&a, 100000);
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_true(mime_type_parse(span_str(rows[i].in), &a, &v));
		assert_true(span_eq(v.type, span_str(rows[i].type)));
		assert_true(span_eq(v.subtype, span_str(rows[i].subtype)));
		if (rows[i].name != NULL)
			assert_true(
			    span_eq(mime_param(&v, span_str(rows[i].name)),
				span_str(rows[i].value)));
	}
	assert_false(mime_type_parse(SPAN("text"), &a, &v));
	assert_false(mime_type_parse(SPAN("/plain"), &a, &v));
	assert_false(mime_type_parse(SPAN(""), &a, &v));
	arena_reset(&a);
}

/* CVE-2006-1173, CVE-2020-12100: depth and number stay bounded. */
static void
survives_bombs(void **state)
{
	struct mime m;
	struct buf b;

	(void)state;
	buf_init(&b, 64 << 20);
	for (int i = 0; i < 10000; i++)
		buf_fmt(&b, MULTI("b%d") "--b%d\r\n", i, i);
	mime_parse(buf_span(&b), &m);
	assert_true(m.truncated);
	assert_true(m.count <= LIMIT_MIME_DEPTH + 1);
	mime_release(&m);

	buf_reset(&b);
	for (int i = 0; i < 2000; i++)
		buf_str(&b, "Content-Type: message/rfc822\r\n\r\n");
	mime_parse(buf_span(&b), &m);
	assert_true(m.count <= LIMIT_MIME_DEPTH + 1);
	mime_release(&m);

	buf_reset(&b);
	buf_str(&b, MULTI("b"));
	for (int i = 0; i < 50000; i++)
		buf_str(&b, "--b\r\n\r\nx\r\n");
	mime_parse(buf_span(&b), &m);
	assert_true(m.truncated);
	assert_int_equal(m.count, LIMIT_MIME_PARTS);
	mime_release(&m);
	buf_release(&b);
}

/* Byte by byte more of a message: no read beyond the end, and each part lies
 * within what is there and within its parent. */
static void
cut_anywhere(void **state)
{
	static const char text[] =
	    MULTI("a") "--a\r\n" MULTI("\"b c\"") "--b c\r\n"
	    "Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\nhi\r\n"
	    "--b c--\r\n--a\nA: b\n\nlf\n--a--\r\nend\r\n";

	(void)state;
	for (size_t n = 0; n < sizeof(text); n++) {
		uint8_t *cut = mem_alloc(n > 0 ? n : 1);
		struct mime m;

		memcpy(cut, text, n);
		mime_parse(span_of(cut, n), &m);
		assert_false(m.truncated);
		for (uint32_t i = 0; i < m.count; i++) {
			const struct mime_part *p = &m.parts[i];

			assert_true(p->header <= p->body);
			assert_true(p->body <= p->end && p->end <= n);
			if (p->parent == MIME_NONE)
				continue;
			assert_true(p->parent < i);
			assert_true(m.parts[p->parent].body <= p->header);
			assert_true(p->end <= m.parts[p->parent].end);
		}
		if (n == sizeof(text) - 1)
			assert_int_equal(m.count, 5);
		mime_release(&m);
		mem_free(cut);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_parts),
		cmocka_unit_test(cut_anywhere),
		cmocka_unit_test(nests),
		cmocka_unit_test(finds_sections),
		cmocka_unit_test(reads_types),
		cmocka_unit_test(survives_bombs),
	};

	return cmocka_run_group_tests_name("mime", tests, NULL, NULL);
}
