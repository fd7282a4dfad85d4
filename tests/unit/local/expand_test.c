/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "local/expand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/buf.h"
#include "lib/base/mem.h"
#include "local/aliases.h"

struct home {
	char path[40];
	char heard[4096]; /* warnings */
};

static void
sink(const struct log_record *r, void *arg)
{
	struct home *h = arg;
	const size_t n = strlen(h->heard);

	snprintf(h->heard + n, sizeof(h->heard) - n, "%s\n", r->text);
}

static int
setup(void **state)
{
	struct home *h = MEM_NEW(h);

	snprintf(h->path, sizeof(h->path), "/tmp/chappe-expand-XXXXXX");
	assert_non_null(mkdtemp(h->path));
	log_set_sink(sink, h);
	*state = h;
	return 0;
}

static int
teardown(void **state)
{
	struct home *h = *state;
	char *command = mem_printf("rm -rf %s", h->path);

	log_set_sink(NULL, NULL);
	assert_int_equal(system(command), 0);
	mem_free(command);
	mem_free(h);
	return 0;
}

static void
put_file(const struct home *h, const char *name, const char *text, mode_t mode)
{
	char *path = mem_printf("%s/%s", h->path, name);
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(chmod(path, mode), 0);
	mem_free(path);
}

/* The whole as text: "own A<..> U<..> F<..> C<..>". */
static void
assert_expansion(const struct expansion *x, const char *want)
{
	const struct strings *const lists[] = { &x->addresses, &x->users,
		&x->files, &x->commands };
	struct buf b;

	buf_init(&b, 4000);
	if (x->own)
		buf_str(&b, "own ");
	for (size_t l = 0; l < 4; l++)
		for (size_t i = 0; i < lists[l]->count; i++)
			buf_fmt(&b, "%c<%.*s> ", "AUFC"[l],
			    SPAN_FMT(lists[l]->at[i]));
	assert_string_equal(buf_cstr(&b), want);
	buf_release(&b);
}

static int
forward(const struct home *h, struct expansion *x, struct span extension)
{
	struct err e;

	expansion_init(x, SPAN("bob"), SPAN("example.com"));
	return expansion_forward(
	    x, h->path, getuid(), "+", extension, &e);
}

static void
a_forward_file_counts(void **state)
{
	struct home *h = *state;
	struct expansion x;

	assert_int_equal(forward(h, &x, SPAN_EMPTY), 0);
	expansion_release(&x);
	put_file(h, ".forward",
	    "# away\ncarol@example.org, \\bob\n|/bin/x\n/tmp/f\nBOB\n"
	    "\\dan, bob@other.org\n",
	    0644);
	assert_int_equal(forward(h, &x, SPAN_EMPTY), 1);
	assert_expansion(&x,
	    "own A<carol@example.org> A<bob@other.org> U<dan> F</tmp/f> "
	    "C</bin/x> ");
	expansion_release(&x);
	assert_string_equal(h->heard, "");
}

static void
the_extension_has_its_own(void **state)
{
	struct home *h = *state;
	struct expansion x;

	put_file(h, ".forward", "a@b", 0600);
	put_file(h, ".forward+list", "c@d", 0600);
	assert_int_equal(forward(h, &x, SPAN("list")), 1);
	assert_expansion(&x, "A<c@d> ");
	expansion_release(&x);
	assert_int_equal(forward(h, &x, SPAN("x")), 1);
	assert_expansion(&x, "A<a@b> ");
	expansion_release(&x);
	assert_int_equal(forward(h, &x, SPAN("/../list")), 1);
	assert_expansion(&x, "A<a@b> ");
	expansion_release(&x);
}

static void
others_may_not_say_where_mail_goes(void **state)
{
	struct home *h = *state;
	struct expansion x;
	struct err e;
	char *path = mem_printf("%s/.forward", h->path);

	put_file(h, ".forward", "evil@example.org", 0622);
	assert_int_equal(forward(h, &x, SPAN_EMPTY), 0);
	expansion_release(&x);
	assert_non_null(strstr(h->heard, "is world writable"));
	assert_int_equal(chmod(path, 0660), 0);
	assert_int_equal(forward(h, &x, SPAN_EMPTY), 0);
	expansion_release(&x);
	assert_non_null(strstr(h->heard, "is group writable"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_int_equal(forward(h, &x, SPAN_EMPTY), 0);
	expansion_release(&x);
	assert_non_null(strstr(h->heard, "cannot open file"));
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(forward(h, &x, SPAN_EMPTY), 0);
	expansion_release(&x);
	assert_non_null(strstr(h->heard, "not a regular file"));
	assert_int_equal(rmdir(path), 0);
	put_file(h, ".forward", "evil@example.org", 0600);
	expansion_init(&x, SPAN("bob"), SPAN("example.com"));
	/* As another user's; root's would count. */
	if (getuid() != 0) {
		assert_int_equal(expansion_forward(&x, h->path, getuid() + 1,
				     "+", SPAN_EMPTY, &e),
		    0);
		assert_non_null(strstr(h->heard, "bad owner"));
	} else {
		assert_int_equal(chown(path, 1234, 1234), 0);
		assert_int_equal(expansion_forward(
				     &x, h->path, 4321, "+", SPAN_EMPTY, &e),
		    0);
		assert_non_null(strstr(h->heard, "bad owner uid 1234"));
	}
	expansion_release(&x);
	mem_free(path);
}

static void
includes_are_read_and_bounded(void **state)
{
	struct home *h = *state;
	struct expansion x;
	struct err e;
	char *text;

	put_file(h, "list", "# team\nx@y\nz@y, \\w\n", 0644);
	text = mem_printf(":include:%s/list, bob", h->path);
	expansion_init(&x, SPAN("bob"), SPAN("example.com"));
	assert_int_equal(expansion_add(&x, span_str(text), &e), 0);
	assert_expansion(&x, "own A<x@y> A<z@y> U<w> ");
	expansion_release(&x);
	mem_free(text);
	text = mem_printf(":include:%s/list", h->path);
	put_file(h, "list", text, 0644);
	expansion_init(&x, SPAN("bob"), SPAN("example.com"));
	assert_int_equal(expansion_add(&x, span_str(text), &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	expansion_release(&x);
	expansion_init(&x, SPAN("bob"), SPAN("example.com"));
	assert_int_equal(
	    expansion_add(&x, SPAN("a, :include:/no/such/list"), &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	expansion_release(&x);
	mem_free(text);
}

static void
a_list_has_an_end(void **state)
{
	struct expansion x;
	struct err e;
	struct buf b;

	(void)state;
	buf_init(&b, 1 << 20);
	for (int i = 0; i <= EXPANSION_MAX; i++)
		buf_fmt(&b, "a%d,\n ", i);
	expansion_init(&x, SPAN("bob"), SPAN("example.com"));
	assert_int_equal(expansion_add(&x, buf_span(&b), &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	expansion_release(&x);
	buf_release(&b);
}

static void
expand_one(const char *table, struct span address, const char *want,
    const char *owner)
{
	struct alias_result r;
	struct maps *maps;
	struct err e;

	assert_int_equal(maps_open(table, &maps, &e), 0);
	alias_result_init(&r, address, NULL);
	assert_int_equal(alias_expand(maps, "+", &r, &e), 0);
	assert_int_equal(r.found, want != NULL);
	if (want != NULL)
		assert_expansion(&r.expansion, want);
	assert_string_equal(buf_cstr(&r.owner), owner);
	alias_result_release(&r);
	maps_free(&maps);
}

static void
aliases_are_looked_up(void **state)
{
	const char *table = "inline:{{team = a, b@c, Team}, {owner-team = a}, "
			    "{me = \\me}, {odd name = x}}";

	(void)state;
	expand_one(table, SPAN("team@example.com"), "own A<a> A<b@c> ",
	    "owner-team@example.com");
	expand_one(table, SPAN("TEAM+x@example.com"), "own A<a> A<b@c> ",
	    "owner-team@example.com");
	expand_one(table, SPAN("me@example.com"), "own ", "");
	expand_one(table, SPAN("\"odd name\"@example.com"), "A<x> ", "");
	expand_one(table, SPAN("nobody@example.com"), NULL, "");
}

static void
a_failing_table_is_no_answer(void **state)
{
	struct alias_result r;
	struct maps *maps;
	struct err e;

	(void)state;
	assert_int_equal(maps_open("fail:now", &maps, &e), 0);
	alias_result_init(&r, SPAN("a@b"), NULL);
	assert_int_equal(alias_expand(maps, "+", &r, &e), -1);
	assert_int_equal(e.kind, ERR_TEMP);
	assert_string_equal(e.text, "alias database unavailable");
	alias_result_release(&r);
	maps_free(&maps);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(a_forward_file_counts),
		T(the_extension_has_its_own),
		T(others_may_not_say_where_mail_goes),
		T(includes_are_read_and_bounded),
		T(a_list_has_an_end),
		T(aliases_are_looked_up),
		T(a_failing_table_is_no_answer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
