/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/daemon/programs.h"
#include "tools/common/postconf.h"
#include "tools/common/tool.h"

enum { LINE_WIDTH = 80, OVERRIDES_MAX = 200 };

struct options {
	struct postconf p;
	const char *overrides[OVERRIDES_MAX];
	size_t override_count;
	char mode; /* M, F, P, m, R, or 0: main.cf */
	char edit; /* e, X, # or 0: print */
	char *const *args;
};

/* ---- printing -------------------------------------------------------------
 */

/* Words go to the next line, behind four blanks, where they would pass the
 * width. */
static void
print_folded(const char *name, const char *value)
{
	struct span rest = span_str(value), word;
	int column = printf("%s =", name);

	while (span_token(&rest, " \t", &word)) {
		if (column + 1 + (int)word.n > LINE_WIDTH && column > 4) {
			printf("\n   ");
			column = 3;
		}
		column += printf(" %.*s", SPAN_FMT(word));
	}
	putchar('\n');
}

void
postconf_print(const struct postconf *p, const char *name, const char *value)
{
	if (p->name_only)
		puts(name);
	else if (p->value_only)
		puts(value);
	else if (p->fold)
		print_folded(name, value);
	else
		printf("%s = %s\n", name, value);
}

/* The default of a row, or NULL for a user's own parameter. defaults: a conf
 * that nobody set anything in. */
static const char *
choose_value(const struct postconf *p, struct conf *c, struct conf *defaults,
    const char *name)
{
	struct conf *from = p->defaults ? defaults : c;

	return p->expand ? conf_value(from, name) : conf_raw(from, name);
}

static void
print_one(const struct postconf *p, struct conf *c, struct conf *defaults,
    const char *name)
{
	const char *value = choose_value(p, c, defaults, name);

	if (value == NULL) {
		if (!p->quiet)
			tool_warning("%s: unknown parameter", name);
		return;
	}
	if (p->explicit_only &&
	    strcmp(conf_origin(c, name).file, "default") == 0)
		return;
	postconf_print(p, name, value);
}

static void
report(void *arg, const struct err *e)
{
	(void)arg;
	tool_warning("%s", e->text);
}

static void
print_params(const struct options *o)
{
	const struct postconf *p = &o->p;
	struct conf *c = NULL, *defaults = NULL;
	struct err e;

	if (p->defaults) {
		defaults = conf_new(p->dir);
		programs_add_params(defaults);
		c = defaults;
	} else {
		if (conf_load(p->dir, o->overrides, o->override_count, &c, &e) <
		    0)
			tool_fatal("%s", e.text);
		programs_add_params(c);
	}
	for (char *const *name = o->args; *name != NULL; name++)
		print_one(p, c, defaults, *name);
	if (o->args[0] == NULL) {
		for (const char *name = conf_next(c, NULL); name != NULL;
		     name = conf_next(c, name))
			print_one(p, c, defaults, name);
		if (!p->defaults && !p->quiet)
			(void)conf_check(c, report, NULL, &e);
	}
	conf_free(&c);
}

/* ---- -R: the list in main.cf(5) -------------------------------------------
 */

/* mdoc: a word that begins with a dot or quote, or holds a backslash, would
 * be taken for a command. */
static void
print_mdoc(const char *text)
{
	if (text[0] == '.' || text[0] == '\'')
		fputs("\\&", stdout);
	for (; *text != '\0'; text++) {
		if (*text == '\\')
			fputs("\\e", stdout);
		else
			putchar(*text);
	}
}

static void
print_kind(const struct param *row)
{
	switch (row->type) {
	case PARAM_T_STR:
	case PARAM_T_RAW:
		break;
	case PARAM_T_BOOL:
		fputs("; yes or no", stdout);
		break;
	case PARAM_T_INT:
		if (row->max < INT64_MAX)
			printf("; %" PRId64 " to %" PRId64, row->min, row->max);
		else
			fputs("; a number", stdout);
		break;
	case PARAM_T_TIME:
		fputs("; a time", stdout);
		break;
	case PARAM_T_ENUM:
		fputs("; one of: ", stdout);
		print_mdoc(row->words);
		break;
	}
}

static void
print_manual(const struct options *o)
{
	struct conf *c = conf_new(o->p.dir);

	programs_add_params(c);
	for (const char *name = conf_next(c, NULL); name != NULL;
	     name = conf_next(c, name)) {
		const struct param *row = conf_row(c, name);
		const char *def = row->def != NULL ? row->def : "computed";
		printf(".It Va %s Pq ", name);
		print_mdoc(def[0] == '\0' ? "empty" : def);
		putchar('\n');
		print_mdoc(row->help);
		print_kind(row);
		putchar('\n');
	}
	conf_free(&c);
}

/* ---- the command ----------------------------------------------------------
 */

static noreturn void
usage(void)
{
	tool_fatal("usage: %s [-defhHnpqxX#MFPmR] [-c config_dir] "
		   "[-o name=value] [name[=value]...]",
	    tool_name());
}

static void
set_once(char *mode, char c)
{
	if (*mode != 0 && *mode != c)
		tool_fatal("-%c and -%c don't go together", *mode, c);
	*mode = c;
}

static void
read_option(struct options *o, int c, const char **dir)
{
	switch (c) {
	case 'c':
		*dir = optarg;
		break;
	case 'd':
		o->p.defaults = true;
		break;
	case 'f':
		o->p.fold = true;
		break;
	case 'h':
		o->p.value_only = true;
		break;
	case 'H':
		o->p.name_only = true;
		break;
	case 'n':
		o->p.explicit_only = true;
		break;
	case 'o':
		if (o->override_count == OVERRIDES_MAX)
			tool_fatal("too many -o options");
		o->overrides[o->override_count++] = optarg;
		break;
	case 'p':
	case 'v':
		break;
	case 'q':
		o->p.quiet = true;
		break;
	case 'x':
		o->p.expand = true;
		break;
	case 'e':
	case 'X':
	case '#':
		set_once(&o->edit, (char)c);
		break;
	case 'M':
	case 'F':
	case 'P':
	case 'm':
	case 'R':
		set_once(&o->mode, (char)c);
		break;
	default:
		usage();
	}
}

static void
edit(const struct options *o)
{
	const enum postconf_edit how = o->edit == 'e'	? POSTCONF_SET
				       : o->edit == 'X' ? POSTCONF_REMOVE
							: POSTCONF_COMMENT;

	switch (o->mode) {
	case 0:
		postconf_edit_main(&o->p, how, o->args);
		break;
	case 'M':
		postconf_edit_master(&o->p, POSTCONF_SERVICES, how, o->args);
		break;
	case 'F':
		postconf_edit_master(&o->p, POSTCONF_FIELDS, how, o->args);
		break;
	case 'P':
		postconf_edit_master(&o->p, POSTCONF_PARAMS, how, o->args);
		break;
	default:
		usage();
	}
}

static void
print(const struct options *o)
{
	static const char types[] =
	    "btree\ncdb\ncidr\ndbm\nfail\ngdbm\nhash\n"
	    "inline\nlmdb\npcre\nproxy\nregexp\nsdbm\nstatic\ntexthash\nunix\n";

	switch (o->mode) {
	case 'M':
		postconf_print_master(&o->p, POSTCONF_SERVICES, o->args);
		break;
	case 'F':
		postconf_print_master(&o->p, POSTCONF_FIELDS, o->args);
		break;
	case 'P':
		postconf_print_master(&o->p, POSTCONF_PARAMS, o->args);
		break;
	case 'm':
		fputs(types, stdout);
		break;
	case 'R':
		print_manual(o);
		break;
	default:
		print_params(o);
	}
}

int
main(int argc, char *argv[])
{
	static struct options o;
	const char *dir = NULL;
	int c;

	tool_init(argv[0], 1);
	while ((c = getopt(argc, argv, "#c:defFhHmMno:pPqRvxX")) != -1)
		read_option(&o, c, &dir);
	o.p.dir = tool_conf_dir(dir);
	o.args = argv + optind;
	/* "name=value" alone is an edit. */
	for (char *const *arg = o.args; *arg != NULL && o.edit == 0; arg++)
		if (strchr(*arg, '=') != NULL)
			o.edit = 'e';
	if (o.edit != 0)
		edit(&o);
	else
		print(&o);
	if (fflush(stdout) != 0)
		tool_fatal("write to standard output");
	return 0;
}
