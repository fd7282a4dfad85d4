/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/conf/master_cf.h"

#include "lib/base/buf.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/map/map.h"
#include "lib/map/text_file.h"

enum { MASTER_CF_MAX = 1 << 20, COLUMNS = 8, WORDS_MAX = 256 };

/* ---- words ----------------------------------------------------------------
 */

static bool
is_blank(uint8_t c)
{
	return c == ' ' || c == '\t';
}

/* Length of a word at the front of s: up to a blank, or a whole "{ ... }".
 * SIZE_MAX when the brace is never closed. */
static size_t
word_length(struct span s)
{
	unsigned level = 0;
	size_t i;

	for (i = 0; i < s.n; i++) {
		if (level == 0 && is_blank(s.p[i]))
			return i;
		if (s.p[i] == '{' && (i == 0 || level > 0))
			level++;
		else if (s.p[i] == '}' && level > 0 && --level == 0)
			return i + 1;
	}
	return level > 0 ? SIZE_MAX : i;
}

/* The text without braces around it, and without blanks around that. */
static struct span
unbrace(struct span word)
{
	if (word.n >= 2 && word.p[0] == '{' && word.p[word.n - 1] == '}')
		return span_trim(span_slice(word, 1, word.n - 1));
	return word;
}

static int
split(struct span row, struct span *words, size_t *out_count, struct err *e)
{
	size_t count = 0;

	for (row = span_trim(row); row.n > 0; row = span_trim(row)) {
		const size_t n = word_length(row);
		if (n == SIZE_MAX)
			return err_set(
			    e, ERR_PERM, "4.3.5", "\"{\" without \"}\"");
		if (count == WORDS_MAX)
			return err_set(e, ERR_PERM, "4.3.5",
			    "more than %d words", WORDS_MAX);
		words[count++] = span_slice(row, 0, n);
		row = span_skip(row, n);
	}
	*out_count = count;
	return 0;
}

/* ---- columns --------------------------------------------------------------
 */

static int
bad_column(
    const char *column, struct span word, const char *what, struct err *e)
{
	return err_set(e, ERR_PERM, "4.3.5", "bad %s \"%.*s\": must be %s",
	    column, SPAN_FMT(span_slice(word, 0, 60)), what);
}

static bool
is_default(struct span word)
{
	return span_eq(word, SPAN("-"));
}

static int
take_yes(
    const char *column, struct span word, bool def, bool *out, struct err *e)
{
	if (is_default(word))
		*out = def;
	else if (span_eq(word, SPAN("y")))
		*out = true;
	else if (span_eq(word, SPAN("n")))
		*out = false;
	else
		return bad_column(column, word, "y, n or -", e);
	return 0;
}

static int
take_type(struct span word, struct master_service *s, struct err *e)
{
	if (span_eq(word, SPAN("inet")))
		s->type = SERVICE_INET;
	else if (span_eq(word, SPAN("unix")) || span_eq(word, SPAN("fifo")) ||
		 span_eq(word, SPAN("unix-dgram")))
		/* Postfix's other types of local socket are the same here. */
		s->type = SERVICE_UNIX;
	else
		return bad_column("type", word, "inet or unix", e);
	return 0;
}

static int
take_wakeup(struct span word, struct master_service *s, struct err *e)
{
	uint64_t seconds;

	if (is_default(word))
		return 0;
	s->wakeup_if_used = span_ends(word, SPAN("?"));
	if (!span_u64(span_slice(word, 0, word.n - s->wakeup_if_used), 1000000,
		&seconds))
		return bad_column("wakeup", word, "seconds, seconds? or -", e);
	s->wakeup_s = (int)seconds;
	return 0;
}

static int
take_limit(struct span word, struct master_service *s, struct err *e)
{
	uint64_t limit;

	s->process_limit = -1;
	if (is_default(word))
		return 0;
	if (!span_u64(word, 100000, &limit))
		return bad_column("maxproc", word, "a number or -", e);
	s->process_limit = (int)limit;
	return 0;
}

static bool
service_name_ok(struct span name, bool inet)
{
	for (size_t i = 0; i < name.n; i++) {
		const uint8_t c = name.p[i];
		if (c <= ' ' || c >= 0x7f || (!inet && c == '/'))
			return false;
	}
	return name.n > 0 && name.p[0] != '.' && name.p[0] != '-';
}

static int
take_columns(const struct span *words, struct arena *a,
    struct master_service *s, struct err *e)
{
	bool ignored;

	if (take_type(words[1], s, e) < 0)
		return -1;
	if (!service_name_ok(words[0], s->type == SERVICE_INET))
		return bad_column("service name", words[0],
		    "host:port, port or a file name", e);
	if (take_yes("private", words[2], true, &s->private_, e) < 0 ||
	    take_yes("unpriv", words[3], true, &ignored, e) < 0 ||
	    take_yes("chroot", words[4], false, &ignored, e) < 0 ||
	    take_wakeup(words[5], s, e) < 0 || take_limit(words[6], s, e) < 0)
		return -1;
	if (span_chr(words[7], '/') != SIZE_MAX || words[7].p[0] == '.')
		return bad_column("command", words[7],
		    "the name of a program in $daemon_directory", e);
	s->name = arena_str(a, words[0]);
	s->program = arena_str(a, words[7]);
	return 0;
}

/* ---- the command's arguments ----------------------------------------------
 */

/* "name=value", with blanks around the sign dropped. */
static int
take_override(
    struct span word, struct arena *a, const char **out, struct err *e)
{
	const struct span text = unbrace(word);
	const size_t equals = span_chr(text, '=');
	struct buf b;

	const struct span name = span_trim(span_slice(text, 0, equals));
	if (equals == SIZE_MAX || name.n == 0)
		return err_set(e, ERR_PERM, "4.3.5",
		    "bad \"-o %.*s\": must be name=value",
		    SPAN_FMT(span_slice(word, 0, 60)));
	buf_init(&b, LIMIT_TABLE_ROW);
	buf_add(&b, name);
	buf_byte(&b, '=');
	buf_add(&b, span_trim(span_skip(text, equals + 1)));
	*out = arena_str(a, buf_span(&b));
	buf_release(&b);
	return 0;
}

static int
take_arguments(const struct span *words, size_t count, struct arena *a,
    struct master_service *s, struct err *e)
{
	const size_t room = (count + 1) * sizeof(char *);
	size_t args = 0, overrides = 0;
	/* Behind a plain word, options are the program's own. */
	bool plain = false;

	s->args = arena_alloc(a, room);
	s->overrides = arena_alloc(a, room);
	for (size_t i = 0; i < count; i++) {
		const bool glued =
		    words[i].n > 2 && span_starts(words[i], SPAN("-o"));
		const bool option = span_eq(words[i], SPAN("-o"));
		if (plain || (!glued && !option)) {
			s->args[args++] = arena_str(a, unbrace(words[i]));
			plain = plain || words[i].p[0] != '-';
			continue;
		}
		if (option && i + 1 == count)
			return err_set(
			    e, ERR_PERM, "4.3.5", "\"-o\" without name=value");
		const struct span value =
		    glued ? span_skip(words[i], 2) : words[++i];
		if (take_override(value, a, &s->overrides[overrides], e) < 0)
			return -1;
		overrides++;
	}
	return 0;
}

/* ---- the file -------------------------------------------------------------
 */

static int
take_row(
    struct span row, struct arena *a, struct master_service *s, struct err *e)
{
	struct span words[WORDS_MAX];
	size_t count = 0;

	if (is_blank(row.p[0]))
		return err_set(
		    e, ERR_PERM, "4.3.5", "the first line continues nothing");
	if (span_chr(row, '\0') != SIZE_MAX)
		return err_set(e, ERR_PERM, "4.3.5", "a NUL byte in the line");
	if (split(row, words, &count, e) < 0)
		return -1;
	if (count < COLUMNS)
		return err_set(e, ERR_PERM, "4.3.5",
		    "only %zu of 8 columns (service type private unpriv "
		    "chroot wakeup maxproc command)",
		    count);
	if (take_columns(words, a, s, e) < 0)
		return -1;
	return take_arguments(words + COLUMNS, count - COLUMNS, a, s, e);
}

int
master_cf_parse(const char *file, struct span text, struct arena *a,
    struct master_service **out, struct err *e)
{
	struct master_service *first = NULL, **end = &first;
	const char *kept = arena_str(a, span_str(file));
	struct table_text rows;
	struct span row;
	int rc = 0;

	table_text_init(&rows, text);
	while (rc == 0 && table_text_next(&rows, &row)) {
		struct master_service *s = ARENA_NEW(a, s);
		s->file = kept;
		s->line = rows.line;
		if (!buf_ok(&rows.row) || row.n > LIMIT_CONFIG_LINE ||
		    !arena_ok(a))
			rc = err_set(e, ERR_PERM, "4.3.5", "too long");
		else
			rc = take_row(row, a, s, e);
		if (rc < 0)
			err_wrap(e, "%s: line %u", file, rows.line);
		*end = s;
		end = &s->next;
	}
	table_text_release(&rows);
	if (rc == 0)
		*out = first;
	return rc;
}

int
master_cf_load(const char *file, struct arena *a, struct master_service **out,
    struct err *e)
{
	struct buf text;

	int rc = text_file_read(file, MASTER_CF_MAX, &text, NULL, e);
	if (rc < 0 && e != NULL)
		e->kind = ERR_PERM;
	if (rc == 0)
		rc = master_cf_parse(file, buf_span(&text), a, out, e);
	buf_release(&text);
	return rc;
}
