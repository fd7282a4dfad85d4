/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/common/table_tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/map/map.h"
#include "lib/map/text_file.h"
#include "lib/os/log.h"
#include "lib/proto/base64.h"
#include "tools/common/tool.h"

struct options {
	const struct table_tool *tool;
	const char *query, *delete; /* a key, or "-" for stdin */
	bool dump, incremental, replace, ignore_duplicates;
	bool keep_case, keep_root, plain_mode;
	bool file_values; /* -F: values are files, in base 64 */
};

/* ---- names ----------------------------------------------------------------
 */

/* "type:name"; hash: where no type is given. Heap. */
static char *
full_spec(const char *arg)
{
	return strchr(arg, ':') == NULL ? mem_printf("hash:%s", arg)
					: mem_strdup(arg);
}

static const char *
text_path(const char *spec)
{
	return strchr(spec, ':') + 1;
}

static struct map *
open_table(const char *spec)
{
	struct map *m = NULL;
	struct err e;

	if (map_open(spec, &m, &e) < 0)
		tool_fatal("%s", e.text);
	return m;
}

static void
fold(const struct options *o, struct span key, struct buf *out)
{
	buf_reset(out);
	for (size_t i = 0; i < key.n; i++)
		buf_byte(out, o->keep_case ? key.p[i] : ascii_lower(key.p[i]));
}

/* The next line of stdin without its end; false at the end. */
static bool
read_key(char **line, size_t *size, struct span *out)
{
	const ssize_t n = getline(line, size, stdin);

	if (n < 0)
		return false;
	*out = span_of(*line, (size_t)n);
	if (out->n > 0 && out->p[out->n - 1] == '\n')
		out->n--;
	return true;
}

static void
print_value(const struct options *o, struct span key, struct span value)
{
	struct buf files;

	buf_init(&files, LIMIT_TABLE_VALUE);
	if (o->file_values && !base64_decode(value, &files))
		tool_fatal("the value of \"%s\" is no base 64: was the table "
			   "made with -F?", log_quote(key, 200));
	if (o->file_values)
		value = buf_span(&files);
	fwrite(value.p, 1, value.n, stdout);
	putchar('\n');
	buf_release(&files);
}

static void
print_entry(const struct options *o, struct span key, struct span value)
{
	fwrite(key.p, 1, key.n, stdout);
	fputs(o->tool->separator, stdout);
	print_value(o, key, value);
}

/* ---- -q -------------------------------------------------------------------
 */

static bool
query_key(
    const struct options *o, struct map *m, struct span key, bool with_key)
{
	struct buf folded, value;
	struct err e;

	buf_init(&folded, LIMIT_TABLE_VALUE);
	buf_init(&value, LIMIT_TABLE_VALUE);
	fold(o, key, &folded);
	const enum map_result r = map_get(m, buf_span(&folded), &value, &e);
	if (r == MAP_FAILED)
		tool_fatal("%s", e.text);
	if (r == MAP_FOUND && with_key) {
		print_entry(o, key, buf_span(&value));
	} else if (r == MAP_FOUND) {
		print_value(o, key, buf_span(&value));
	}
	buf_release(&folded);
	buf_release(&value);
	return r == MAP_FOUND;
}

static bool
query(const struct options *o, char *const *tables)
{
	bool found = false;
	char *line = NULL;
	size_t size = 0;
	struct span key;

	if (strcmp(o->query, "-") != 0) {
		for (; *tables != NULL && !found; tables++) {
			char *spec = full_spec(*tables);
			struct map *m = open_table(spec);
			found = query_key(o, m, span_str(o->query), false);
			map_free(&m);
			mem_free(spec);
		}
		return found;
	}
	struct map *list[50];
	size_t count = 0;
	for (; *tables != NULL && count < COUNT_OF(list); tables++) {
		char *spec = full_spec(*tables);
		list[count++] = open_table(spec);
		mem_free(spec);
	}
	while (read_key(&line, &size, &key)) {
		bool hit = false;
		for (size_t i = 0; i < count && !hit; i++)
			hit = query_key(o, list[i], key, true);
		found = found || hit;
	}
	free(line);
	for (size_t i = 0; i < count; i++)
		map_free(&list[i]);
	return found;
}

/* ---- -s -------------------------------------------------------------------
 */

static void
dump_entry(void *arg, struct span key, struct span value, unsigned line)
{
	(void)line;
	print_entry(arg, key, value);
}

static void
dump(struct options *o, const char *arg)
{
	char *spec = full_spec(arg);
	struct map *m = open_table(spec);
	struct err e;

	if (map_each(m, dump_entry, o, &e) < 0)
		tool_fatal("%s", e.text);
	map_free(&m);
	mem_free(spec);
}

/* ---- building -------------------------------------------------------------
 */

struct build {
	const struct options *o;
	const char *spec, *from; /* from: the text's name, for warnings */
	struct map_builder *b;
	struct span without; /* a key to leave out; nothing: p NULL */
	bool left_out;
};

/* The mode of the index: the text's without execute bits, so that what only
 * some may read stays so. As root, the rights of the text's owner are used,
 * who may be an ordinary user with links of his own. */
static mode_t
take_rights(const struct options *o, const char *path)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return 0644;
	if (geteuid() == 0 && !o->keep_root && st.st_uid != 0 &&
	    (setegid(st.st_gid) < 0 || seteuid(st.st_uid) < 0))
		tool_fatal("can't take the rights of the owner of %s", path);
	return o->plain_mode ? 0644 : st.st_mode & 0666;
}

static void
begin(struct build *b)
{
	char *index = mem_printf("%s.gdbm", text_path(b->spec));
	struct stat st;
	struct err e;
	mode_t mode;

	if (access(text_path(b->spec), F_OK) < 0 && stat(index, &st) == 0)
		mode = take_rights(b->o, index);
	else
		mode = take_rights(b->o, text_path(b->spec));
	if (map_builder_begin(b->spec, mode, &b->b, &e) < 0)
		tool_fatal("%s", e.text);
	mem_free(index);
}

static void
commit(struct build *b)
{
	struct err e;

	if (map_builder_commit(&b->b, &e) < 0)
		tool_fatal("%s", e.text);
}

static noreturn void
give_up(struct build *b, const struct err *e)
{
	map_builder_abort(&b->b);
	tool_fatal("%s", e->text);
}

static void
copy_entry(void *arg, struct span key, struct span value, unsigned line)
{
	struct build *b = arg;
	struct err e;
	bool duplicate;

	if (b->without.p != NULL && span_eq(b->without, key)) {
		b->left_out = true;
		return;
	}
	if (map_builder_add(b->b, key, value, line, true, &duplicate, &e) < 0)
		give_up(b, &e);
}

/* Brings over what the index has now; none yet is nothing. */
static void
copy_old(struct build *b, bool must_exist)
{
	char *index = mem_printf("%s.gdbm", text_path(b->spec));
	struct err e;

	if (must_exist || access(index, F_OK) == 0) {
		struct map *m = open_table(b->spec);
		if (map_each(m, copy_entry, b, &e) < 0)
			give_up(b, &e);
		map_free(&m);
	}
	mem_free(index);
}

/* What the files that a value names hold, in base 64. NULL, or what is
 * wrong. */
static const char *
read_values(struct span names, struct buf *out)
{
	static char why[sizeof(((struct err *)0)->text)];
	struct buf all, one;
	struct span name;
	struct err e;

	buf_init(&all, LIMIT_TABLE_VALUE);
	why[0] = '\0';
	while (why[0] == '\0' && span_token(&names, ", \t\r\n", &name)) {
		char *path = span_dup(name);

		if (all.n > 0)
			buf_byte(&all, '\n');
		if (text_file_read(path, LIMIT_TABLE_VALUE, &one, NULL, &e) !=
		    0)
			snprintf(why, sizeof(why), "%s", e.text);
		else
			buf_add(&all, buf_span(&one));
		buf_release(&one);
		mem_free(path);
	}
	base64_encode(buf_span(&all), out);
	if (why[0] == '\0' && !(buf_ok(&all) && buf_ok(out)))
		snprintf(why, sizeof(why), "the files are too long");
	buf_release(&all);
	return why[0] != '\0' ? why : NULL;
}

static void
add_row(struct build *b, struct span row, unsigned line, struct buf *key)
{
	struct buf folded, files;
	struct span value;
	struct err e;
	bool duplicate = false;

	buf_init(&files, LIMIT_TABLE_VALUE);
	buf_reset(key);
	const char *why = row.p[0] == ' ' || row.p[0] == '\t'
			      ? "the line continues nothing"
			      : b->o->tool->split(row, key, &value);
	if (why == NULL && b->o->file_values) {
		why = read_values(value, &files);
		value = buf_span(&files);
	}
	if (why != NULL) {
		tool_warning("%s, line %u: %s", b->from, line, why);
		buf_release(&files);
		return;
	}
	buf_init(&folded, LIMIT_TABLE_VALUE);
	fold(b->o, buf_span(key), &folded);
	if (map_builder_add(b->b, buf_span(&folded), value, line, b->o->replace,
		&duplicate, &e) < 0) {
		err_wrap(&e, "%s, line %u", b->from, line);
		give_up(b, &e);
	}
	if (duplicate && !b->o->replace && !b->o->ignore_duplicates)
		tool_warning("%s.gdbm: duplicate entry: \"%s\"",
		    text_path(b->spec), log_quote(buf_span(&folded), 200));
	buf_release(&folded);
	buf_release(&files);
}

static void
add_text(struct build *b, struct span text)
{
	struct table_text t;
	struct span row;
	struct buf key;

	buf_init(&key, LIMIT_TABLE_VALUE);
	table_text_init(&t, text);
	while (table_text_next(&t, &row)) {
		if (buf_ok(&t.row))
			add_row(b, row, t.line, &key);
		else
			tool_warning("%s, line %u: longer than %d bytes",
			    b->from, t.line, LIMIT_TABLE_ROW);
	}
	table_text_release(&t);
	buf_release(&key);
}

static void
read_stdin(struct buf *out)
{
	uint8_t part[65536];
	size_t n;

	buf_init(out, TEXT_FILE_MAX);
	while ((n = fread(part, 1, sizeof(part), stdin)) > 0)
		buf_add(out, span_of(part, n));
	if (!buf_ok(out))
		tool_fatal("standard input is too long");
}

static void
build_table(const struct options *o, const char *arg)
{
	char *spec = full_spec(arg);
	struct build b = { .o = o, .spec = spec, .from = text_path(spec) };
	struct map *known = open_table(spec);
	struct buf text;
	struct err e;

	map_free(&known);
	if (o->incremental) {
		read_stdin(&text);
		b.from = "stdin";
	} else if (text_file_read(
		       text_path(spec), TEXT_FILE_MAX, &text, NULL, &e) < 0) {
		tool_fatal("%s", e.text);
	}
	begin(&b);
	if (o->incremental)
		copy_old(&b, false);
	add_text(&b, buf_span(&text));
	commit(&b);
	buf_release(&text);
	mem_free(spec);
}

/* ---- -d -------------------------------------------------------------------
 */

static bool
delete_key(const struct options *o, const char *arg, struct span key)
{
	char *spec = full_spec(arg);
	struct build b = { .o = o, .spec = spec };
	struct buf folded;

	buf_init(&folded, LIMIT_TABLE_VALUE);
	fold(o, key, &folded);
	b.without = buf_span(&folded);
	begin(&b);
	copy_old(&b, true);
	if (b.left_out)
		commit(&b);
	else
		map_builder_abort(&b.b);
	buf_release(&folded);
	mem_free(spec);
	return b.left_out;
}

static bool delete (const struct options *o, char *const *tables)
{
	bool found = false;
	char *line = NULL;
	size_t size = 0;
	struct span key;

	for (; strcmp(o->delete, "-") != 0 && *tables != NULL; tables++)
		found = delete_key(o, *tables, span_str(o->delete)) || found;
	while (strcmp(o->delete, "-") == 0 && read_key(&line, &size, &key))
		for (char *const *t = tables; *t != NULL; t++)
			found = delete_key(o, *t, key) || found;
	free(line);
	return found;
}

/* ---- the command ----------------------------------------------------------
 */

static noreturn void
usage(void)
{
	tool_fatal("usage: %s [-fFinNoprsuUvw] [-c config_dir] [-d key] "
		   "[-q key] [map_type:]file...",
	    tool_name());
}

static void
read_options(struct options *o, int argc, char *argv[])
{
	int c;

	while ((c = getopt(argc, argv, "c:d:fFinNopq:rsuUvw")) != -1)
		switch (c) {
		case 'c':
			(void)tool_conf_dir(optarg);
			break;
		case 'd':
			o->delete = optarg;
			break;
		case 'f':
			o->keep_case = true;
			break;
		case 'F':
			if (!o->tool->file_values)
				usage();
			o->file_values = true;
			break;
		case 'i':
			o->incremental = true;
			break;
		case 'n':
		case 'N':
		case 'u':
		case 'U':
		case 'v':
			/* Postfix's, without effect here. */
			break;
		case 'o':
			o->keep_root = true;
			break;
		case 'p':
			o->plain_mode = true;
			break;
		case 'q':
			o->query = optarg;
			break;
		case 'r':
			o->replace = true;
			break;
		case 's':
			o->dump = true;
			break;
		case 'w':
			o->ignore_duplicates = true;
			break;
		default:
			usage();
		}
	if ((o->query != NULL) + (o->delete != NULL) + o->dump > 1)
		tool_fatal("only one of -d, -q and -s is allowed");
	if (optind == argc)
		usage();
}

/* The library's warnings, in a command's own shape. */
static void
print_warning(const struct log_record *r, void *arg)
{
	(void)arg;
	if (r->kind == LOG_K_LINE)
		tool_warning("%s", r->text);
}

int
table_tool_main(const struct table_tool *tool, int argc, char *argv[])
{
	struct options o = { .tool = tool };
	bool good = true;

	tool_init(argv[0], 1);
	log_set_sink(print_warning, NULL);
	read_options(&o, argc, argv);
	if (o.query != NULL)
		good = query(&o, argv + optind);
	else if (o.delete != NULL)
		good = delete (&o, argv + optind);
	else
		for (int i = optind; i < argc; i++) {
			if (o.dump)
				dump(&o, argv[i]);
			else
				build_table(&o, argv[i]);
		}
	if (fflush(stdout) != 0)
		tool_fatal("write to standard output");
	return good ? 0 : 1;
}
