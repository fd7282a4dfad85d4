/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/keywords.h"

#include <errno.h>

#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/store/driver.h"
#include "lib/store/dotlock.h"

enum { NAME_MAX_LENGTH = 100, FILE_MAX = 65536, LOCK_WAIT_MS = 10000 };

static const char letters_file[] = "dovecot-keywords";
static const char letters_lock[] = "dovecot-keywords.lock";

void
keywords_release(struct keywords *k)
{
	for (unsigned i = 0; i < k->count; i++)
		mem_free(k->names[i]);
	*k = (struct keywords){ 0 };
}

int
keywords_find(const struct keywords *k, struct span name)
{
	for (unsigned i = 0; i < k->count; i++)
		if (span_ieq(span_str(k->names[i]), name))
			return (int)i;
	return -1;
}

static bool
name_ok(struct span name)
{
	if (name.n == 0 || name.n > NAME_MAX_LENGTH)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= ' ' || name.p[i] == 0x7f)
			return false;
	return true;
}

int
keywords_add(struct keywords *k, struct span name)
{
	if (k->count == KEYWORDS_MAX || !name_ok(name))
		return -1;
	k->names[k->count] = span_dup(name);
	return (int)k->count++;
}

/* Reads a file that may be missing into b. */
static int
read_optional(int dir_fd, const char *file, struct buf *b, struct err *e)
{
	struct err why;

	if (fs_read_file(dir_fd, file, FILE_MAX, b, &why) == 0 ||
	    why.sysno == ENOENT)
		return 0;
	err_copy(e, &why);
	return -1;
}

char **
keywords_copy(const char *const *words)
{
	char **copy;
	size_t n = 0;

	if (words == NULL)
		return NULL;
	while (words[n] != NULL)
		n++;
	copy = mem_zalloc((n + 1) * sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = mem_strdup(words[i]);
	return copy;
}

void
keywords_copy_free(char **words)
{
	for (size_t i = 0; words != NULL && words[i] != NULL; i++)
		mem_free(words[i]);
	mem_free(words);
}

int
keywords_load(
    struct keywords *k, int dir_fd, const char *file, struct err *e)
{
	struct span rest, line;
	struct buf b;
	unsigned n = 0;
	int rc;

	if (dir_fd < 0)
		return 0;
	buf_init(&b, FILE_MAX);
	rc = read_optional(dir_fd, file, &b, e);
	rest = buf_span(&b);
	/* Numbers never change, so what stands here before is the same. */
	while (rc == 0 && span_token(&rest, "\n", &line))
		if (n++ >= k->count)
			keywords_add(k, line);
	buf_release(&b);
	return rc;
}

int
keywords_save(
    const struct keywords *k, int dir_fd, const char *file, struct err *e)
{
	struct buf b;
	int rc;

	if (dir_fd < 0)
		return 0;
	buf_init(&b, FILE_MAX);
	for (unsigned i = 0; i < k->count; i++)
		buf_fmt(&b, "%s\n", k->names[i]);
	rc = fs_replace(dir_fd, file, 0600, buf_span(&b), e);
	buf_release(&b);
	return rc;
}

/* ---- letters ---- */
void
keyword_letters_parse(
    struct span text, struct keywords *k, struct keyword_letters *out)
{
	struct span line;

	for (int i = 0; i < 26; i++)
		out->number[i] = -1;
	while (span_token(&text, "\n", &line)) {
		const size_t space = span_chr(line, ' ');
		const struct span name =
		    space == SIZE_MAX ? SPAN_EMPTY : span_skip(line, space + 1);
		uint64_t letter;
		int n;

		if (!span_u64(span_slice(line, 0, space), 25, &letter) ||
		    !name_ok(name))
			continue;
		n = keywords_find(k, name);
		out->number[letter] = n >= 0 ? n : keywords_add(k, name);
	}
}

int
keyword_letters_load(struct keyword_letters *l, struct keywords *k,
    int dir_fd, struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, FILE_MAX);
	rc = read_optional(dir_fd, letters_file, &b, e);
	if (rc == 0)
		keyword_letters_parse(buf_span(&b), k, l);
	buf_release(&b);
	return rc;
}

static int
save_letters(const struct keyword_letters *l, const struct keywords *k,
    int dir_fd, struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, FILE_MAX);
	for (int i = 0; i < 26; i++)
		if (l->number[i] >= 0)
			buf_fmt(&b, "%d %s\n", i, k->names[l->number[i]]);
	rc = fs_replace(dir_fd, letters_file, 0600, buf_span(&b), e);
	buf_release(&b);
	return rc;
}

/* Puts the keywords without a letter on free ones; were there any? */
static bool
assign_letters(struct keyword_letters *l, uint64_t set)
{
	bool changed = false;

	for (int i = 0; i < 26; i++)
		if (l->number[i] >= 0)
			set &= ~((uint64_t)1 << l->number[i]);
	for (int n = 0; n < KEYWORDS_MAX; n++) {
		if ((set >> n & 1) == 0)
			continue;
		for (int i = 0; i < 26; i++) {
			if (l->number[i] < 0) {
				l->number[i] = n;
				changed = true;
				break;
			}
		}
	}
	return changed;
}

int
keyword_letters_give(struct keyword_letters *l, const struct keywords *k,
    uint64_t set, int dir_fd, struct err *e)
{
	struct keyword_letters next = *l;
	int rc;

	if (!assign_letters(&next, set))
		return 0;
	if (dotlock_take(dir_fd, letters_lock, LOCK_WAIT_MS, e) != 0)
		return -1;
	rc = save_letters(&next, k, dir_fd, e);
	dotlock_release(dir_fd, letters_lock);
	if (rc == 0)
		*l = next;
	return rc;
}

uint64_t
keyword_letters_to_set(const struct keyword_letters *l, uint32_t letters)
{
	uint64_t set = 0;

	for (int i = 0; i < 26; i++)
		if ((letters >> i & 1) != 0 && l->number[i] >= 0)
			set |= (uint64_t)1 << l->number[i];
	return set;
}

uint32_t
keyword_letters_from_set(const struct keyword_letters *l, uint64_t set)
{
	uint32_t letters = 0;

	for (int i = 0; i < 26; i++)
		if (l->number[i] >= 0 && (set >> l->number[i] & 1) != 0)
			letters |= (uint32_t)1 << i;
	return letters;
}
