/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/common/postconf.h"

#include <string.h>

#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "tools/common/postconf_file.h"
#include "tools/common/tool.h"

enum { EDITS_MAX = 1000, MAIN_CF_MAX = 4 << 20 };

struct edit {
	struct span name, value;
	bool done; /* its line is written */
};

struct edits {
	enum postconf_edit how;
	struct edit list[EDITS_MAX];
	size_t count;
};

static void
take_args(struct edits *x, char *const *args)
{
	for (; *args != NULL; args++) {
		const struct span arg = span_str(*args);
		const size_t equals = span_chr(arg, '=');
		struct edit *edit = &x->list[x->count];
		if (span_chr(arg, '\n') != SIZE_MAX)
			tool_fatal("-e, -X, or -# accepts no multi-line input");
		if (x->how == POSTCONF_SET && equals == SIZE_MAX)
			tool_fatal(
			    "missing '=' after attribute name: \"%s\"", *args);
		if (x->how != POSTCONF_SET && equals != SIZE_MAX)
			tool_fatal("-X or -# requires names without value");
		edit->name = span_trim(span_slice(arg, 0, equals));
		edit->value = equals == SIZE_MAX
				  ? SPAN_EMPTY
				  : span_trim(span_skip(arg, equals + 1));
		if (edit->name.n == 0)
			tool_fatal("missing attribute name: \"%s\"", *args);
		if (++x->count == EDITS_MAX)
			tool_fatal("too many edits");
	}
}

/* Of two edits of one name, the last counts. */
static struct edit *
find(struct edits *x, struct span name)
{
	for (size_t i = x->count; i > 0; i--)
		if (span_eq(x->list[i - 1].name, name))
			return &x->list[i - 1];
	return NULL;
}

static void
put_setting(const struct edit *edit, struct buf *out)
{
	buf_add(out, edit->name);
	buf_str(out, " = ");
	buf_add(out, edit->value);
	buf_byte(out, '\n');
}

static void
put_line(struct span line, bool comment, struct buf *out)
{
	if (comment)
		buf_byte(out, '#');
	buf_add(out, line);
	buf_byte(out, '\n');
}

/* Copies the text; the lines of a setting and those that continue it are
 * replaced, dropped or made comments, everything else stays as it is. */
static void
edit_text(struct edits *x, struct span text, struct buf *out)
{
	struct edit *current = NULL; /* the setting that we are in */

	while (text.n > 0) {
		const size_t end = span_chr(text, '\n');
		const struct span line = span_slice(text, 0, end);
		const struct span bare = span_trim(line);
		text = end == SIZE_MAX ? SPAN_EMPTY : span_skip(text, end + 1);
		const bool nothing = bare.n == 0 || bare.p[0] == '#';
		const bool more =
		    !nothing && (line.p[0] == ' ' || line.p[0] == '\t');
		if (!nothing && !more) {
			current = find(x, span_trim(span_slice(
					      line, 0, span_chr(line, '='))));
			if (current != NULL && x->how == POSTCONF_SET &&
			    !current->done)
				put_setting(current, out);
			if (current != NULL)
				current->done = true;
		}
		if (nothing || current == NULL)
			put_line(line, false, out);
		else if (x->how == POSTCONF_COMMENT)
			put_line(line, true, out);
	}
	for (size_t i = 0; x->how == POSTCONF_SET && i < x->count; i++) {
		struct edit *edit = find(x, x->list[i].name);
		BUG_ON(edit == NULL);
		if (!edit->done)
			put_setting(edit, out);
		edit->done = true;
	}
}

/* A drop-in that sets the same name hides what was edited here. */
static void
warn_of_drop_ins(const struct postconf *p, struct edits *x)
{
	struct conf *c = NULL;

	if (conf_load(p->dir, NULL, 0, &c, NULL) < 0)
		return;
	for (size_t i = 0; i < x->count; i++) {
		char *name = span_dup(x->list[i].name);
		const struct conf_origin o = conf_origin(c, name);
		if (strstr(o.file, "/conf.d/") != NULL)
			tool_warning("%s is also set in %s: line %u, which "
				     "wins over main.cf",
			    name, o.file, o.line);
		mem_free(name);
	}
	conf_free(&c);
}

void
postconf_edit_main(
    const struct postconf *p, enum postconf_edit how, char *const *args)
{
	struct edits *x = MEM_NEW(x);
	char *path = mem_printf("%s/main.cf", p->dir);
	struct postconf_file file;
	struct buf out;

	x->how = how;
	take_args(x, args);
	postconf_file_read(&file, path, MAIN_CF_MAX);
	buf_init(&out, 2 * MAIN_CF_MAX);
	edit_text(x, buf_span(&file.text), &out);
	if (!buf_ok(&out))
		tool_fatal("%s would become too long", path);
	buf_release(&file.text);
	file.text = out;
	postconf_file_replace(&file);
	if (how == POSTCONF_SET)
		warn_of_drop_ins(p, x);
	mem_free(path);
	mem_free(x);
}
