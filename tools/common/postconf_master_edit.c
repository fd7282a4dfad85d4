/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/common/postconf.h"

#include <string.h>

#include "lib/base/mem.h"
#include "lib/conf/master_cf.h"
#include "lib/map/text_file.h"
#include "tools/common/postconf_file.h"
#include "tools/common/tool.h"

enum { COLUMNS = 8, WORDS_MAX = 256, MASTER_CF_MAX = 1 << 20 };

/* ---- one service as words -------------------------------------------------
 */

struct entry {
	struct span word[WORDS_MAX];
	size_t count;
};

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* Cuts a row up; "{ ... }" is one word. */
static void
split_words(struct span text, struct entry *out)
{
	out->count = 0;
	for (text = span_trim(text); text.n > 0; text = span_trim(text)) {
		unsigned level = 0;
		size_t n = 0;
		for (; n < text.n && (level > 0 || !is_blank(text.p[n])); n++) {
			level += text.p[n] == '{';
			level -= text.p[n] == '}' && level > 0;
		}
		if (out->count == WORDS_MAX)
			tool_fatal("a service has too many words");
		out->word[out->count++] = span_slice(text, 0, n);
		text = span_skip(text, n);
	}
}

/* Postfix's layout: columns, then each -o on a line of its own. */
static void
put_entry(const struct entry *entry, struct buf *out)
{
	static const size_t at[COLUMNS] = { 0, 11, 17, 25, 33, 41, 49, 57 };
	const size_t begin = out->n;

	for (size_t i = 0; i < entry->count; i++) {
		const bool option =
		    i >= COLUMNS && span_starts(entry->word[i], SPAN("-o"));
		if (option)
			buf_str(out, "\n   ");
		if (i > 0)
			buf_byte(out, ' ');
		while (i < COLUMNS && out->n - begin < at[i])
			buf_byte(out, ' ');
		buf_add(out, entry->word[i]);
		if (option && entry->word[i].n == 2 && i + 1 < entry->count) {
			buf_byte(out, ' ');
			buf_add(out, entry->word[++i]);
		}
	}
	buf_byte(out, '\n');
}

/* ---- what to do -----------------------------------------------------------
 */

struct change {
	enum postconf_master what;
	enum postconf_edit how;
	struct span service, type, name; /* name: of -F and -P */
	struct span value;
	bool done;
};

/* Cuts "service/type/name" up; the service may hold a slash-free host:port. */
static bool
split_target(struct span text, struct change *c)
{
	const size_t first = span_chr(text, '/');
	const struct span rest =
	    first == SIZE_MAX ? SPAN_EMPTY : span_skip(text, first + 1);
	const size_t second = span_chr(rest, '/');

	c->service = span_slice(text, 0, first);
	c->type = span_slice(rest, 0, second);
	c->name = second == SIZE_MAX ? SPAN_EMPTY : span_skip(rest, second + 1);
	return c->service.n > 0 && c->type.n > 0 &&
	       (c->name.n > 0) == (c->what != POSTCONF_SERVICES);
}

static struct change
read_change(enum postconf_master what, enum postconf_edit how, const char *arg)
{
	struct change c = { .what = what, .how = how };
	const struct span text = span_str(arg);
	const size_t equals = span_chr(text, '=');

	if (span_chr(text, '\n') != SIZE_MAX)
		tool_fatal("-e, -X, or -# accepts no multi-line input");
	if ((how == POSTCONF_SET) != (equals != SIZE_MAX))
		tool_fatal(
		    how == POSTCONF_SET
			? "missing '=' after \"%s\""
			: "-X or -# requires names without value: \"%s\"",
		    arg);
	if (!split_target(span_trim(span_slice(text, 0, equals)), &c))
		tool_fatal("\"%s\" is not service/type%s", arg,
		    what == POSTCONF_SERVICES ? ""
		    : what == POSTCONF_FIELDS ? "/field"
					      : "/parameter");
	if (equals != SIZE_MAX)
		c.value = span_trim(span_skip(text, equals + 1));
	return c;
}

/* ---- changing an entry ----------------------------------------------------
 */

static size_t
field_index(struct span name)
{
	static const char *const names[COLUMNS] = { "service", "type",
		"private", "unprivileged", "chroot", "wakeup", "process_limit",
		"command" };

	for (size_t i = 0; i < COLUMNS; i++)
		if (span_eq(name, span_str(names[i])))
			return i;
	tool_fatal("no field \"%.*s\" in master.cf", SPAN_FMT(name));
}

static void
set_field(struct entry *entry, const struct change *c)
{
	const size_t i = field_index(c->name);

	if (c->how != POSTCONF_SET)
		tool_fatal("a field can't be removed");
	entry->word[i] = c->value;
	/* A command comes with its arguments. */
	if (i == COLUMNS - 1)
		entry->count = COLUMNS;
}

static void
remove_words(struct entry *entry, size_t at, size_t count)
{
	memmove(&entry->word[at], &entry->word[at + count],
	    (entry->count - at - count) * sizeof(entry->word[0]));
	entry->count -= count;
}

/* The name that an option's text sets. */
static struct span
option_name(struct span text)
{
	if (text.n >= 2 && text.p[0] == '{')
		text = span_slice(text, 1, text.n - 1);
	return span_trim(span_slice(text, 0, span_chr(text, '=')));
}

/* text: "-oNAME=VALUE" or "-o{ NAME = VALUE }", which lives on. */
static void
set_param(struct entry *entry, const struct change *c, struct span text)
{
	size_t at = COLUMNS;

	for (size_t i = COLUMNS; i < entry->count;) {
		const bool option =
		    span_eq(entry->word[i], SPAN("-o")) && i + 1 < entry->count;
		const bool glued =
		    !option && span_starts(entry->word[i], SPAN("-o"));
		const struct span set = option	? entry->word[i + 1]
					: glued ? span_skip(entry->word[i], 2)
						: SPAN_EMPTY;
		if (!option && !glued && entry->word[i].p[0] != '-')
			break; /* the program's own from here */
		if (set.n > 0 && span_eq(option_name(set), c->name)) {
			remove_words(entry, i, option ? 2 : 1);
			continue;
		}
		i += option ? 2 : 1;
		at = i;
	}
	if (c->how != POSTCONF_SET)
		return;
	if (entry->count + 2 > WORDS_MAX)
		tool_fatal("a service has too many words");
	memmove(&entry->word[at + 2], &entry->word[at],
	    (entry->count - at) * sizeof(entry->word[0]));
	entry->word[at] = SPAN("-o");
	entry->word[at + 1] = text;
	entry->count += 2;
}

static char *
option_text(const struct change *c)
{
	const bool blanks = span_chr(c->value, ' ') != SIZE_MAX ||
			    span_chr(c->value, '\t') != SIZE_MAX;

	return mem_printf(blanks ? "{ %.*s = %.*s }" : "%.*s=%.*s",
	    SPAN_FMT(c->name), SPAN_FMT(c->value));
}

/* Writes the changed service; the row is its text. */
static void
put_changed(struct span row, const struct change *c, struct buf *out)
{
	struct entry entry;
	char *option = option_text(c);

	split_words(c->what == POSTCONF_SERVICES ? c->value : row, &entry);
	if (entry.count < COLUMNS)
		tool_fatal(
		    "a service has 8 columns: \"%.*s\"", SPAN_FMT(c->value));
	if (c->what == POSTCONF_FIELDS)
		set_field(&entry, c);
	else if (c->what == POSTCONF_PARAMS)
		set_param(&entry, c, span_str(option));
	put_entry(&entry, out);
	mem_free(option);
}

/* ---- the file -------------------------------------------------------------
 */

static bool
is_target(struct span row, const struct change *c)
{
	struct span service = SPAN_EMPTY, type = SPAN_EMPTY;

	return span_token(&row, " \t", &service) &&
	       span_token(&row, " \t", &type) && span_eq(service, c->service) &&
	       span_eq(type, c->type);
}

/* Takes one logical row off: its physical lines (comments between them
 * included), and in joined the text of all but comments; or one line that is
 * blank or a comment, with joined empty. */
static struct span
take_row(struct span *text, struct buf *joined)
{
	const struct span all = *text;
	struct span rest = all;
	size_t row_end = 0; /* where the last line of the row ends */

	buf_reset(joined);
	while (rest.n > 0) {
		const size_t at = all.n - rest.n;
		const struct span line =
		    span_slice(rest, 0, span_chr(rest, '\n'));
		const struct span bare = span_trim(line);
		const bool nothing = bare.n == 0 || bare.p[0] == '#';
		if (!nothing && joined->n > 0 && !is_blank(line.p[0]))
			break;
		if (!nothing || joined->n == 0)
			row_end = at + line.n;
		if (nothing && joined->n == 0)
			break;
		if (!nothing)
			buf_add(joined, line);
		rest = span_skip(rest, line.n + 1);
	}
	*text = span_skip(all, row_end + 1);
	return span_slice(all, 0, row_end);
}

static void
put_comment(struct span rows, struct buf *out)
{
	struct span line;

	while (span_token(&rows, "\n", &line)) {
		buf_byte(out, '#');
		buf_add(out, line);
		buf_byte(out, '\n');
	}
}

static void
apply(struct change *c, struct span text, struct buf *out)
{
	struct buf joined;

	buf_init(&joined, MASTER_CF_MAX);
	while (text.n > 0) {
		const struct span row = take_row(&text, &joined);
		const bool hit =
		    joined.n > 0 && is_target(buf_span(&joined), c);
		if (!hit) {
			buf_add(out, row);
			buf_byte(out, '\n');
			continue;
		}
		if (c->what == POSTCONF_SERVICES && c->how == POSTCONF_COMMENT)
			put_comment(row, out);
		else if (c->what != POSTCONF_SERVICES ||
			 (c->how == POSTCONF_SET && !c->done))
			put_changed(buf_span(&joined), c, out);
		c->done = true;
	}
	if (!c->done && c->what == POSTCONF_SERVICES && c->how == POSTCONF_SET)
		put_changed(SPAN_EMPTY, c, out);
	else if (!c->done)
		tool_fatal("no service %.*s/%.*s in master.cf",
		    SPAN_FMT(c->service), SPAN_FMT(c->type));
	buf_release(&joined);
}

void
postconf_edit_master(const struct postconf *p, enum postconf_master what,
    enum postconf_edit how, char *const *args)
{
	char *path = mem_printf("%s/master.cf", p->dir);
	struct master_service *services;
	struct postconf_file file;
	struct arena a;
	struct err e;

	if (how == POSTCONF_COMMENT && what != POSTCONF_SERVICES)
		tool_fatal("only services can be made comments");
	postconf_file_read(&file, path, MASTER_CF_MAX);
	for (; *args != NULL; args++) {
		struct change c = read_change(what, how, *args);
		struct buf out;
		buf_init(&out, MASTER_CF_MAX);
		apply(&c, buf_span(&file.text), &out);
		if (!buf_ok(&out))
			tool_fatal("%s would become too long", path);
		buf_release(&file.text);
		file.text = out;
	}
	/* Nothing is written that master would not read. */
	arena_init(&a, 16 << 20);
	if (master_cf_parse(path, buf_span(&file.text), &a, &services, &e) < 0)
		tool_fatal("%s", e.text);
	arena_reset(&a);
	postconf_file_replace(&file);
	mem_free(path);
}
