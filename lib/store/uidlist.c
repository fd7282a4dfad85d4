/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/uidlist.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/store/dotlock.h"

static const char file_name[] = "dovecot-uidlist";
static const char lock_name[] = "dovecot-uidlist.lock";

enum { LOCK_WAIT_MS = 30000, NAME_LENGTH_MAX = 255 };
static const size_t file_max = (size_t)1 << 30;

/* ---- parsing ---- */
static bool
parse_u32(struct span s, uint32_t *out)
{
	uint64_t v;

	if (!span_u64(s, UINT32_MAX, &v))
		return false;
	*out = (uint32_t)v;
	return true;
}

static void
parse_header_3(struct span rest, struct uidlist *l)
{
	struct span word;

	while (span_token(&rest, " ", &word)) {
		const struct span value = span_skip(word, 1);

		if (word.p[0] == 'V')
			parse_u32(value, &l->validity);
		else if (word.p[0] == 'N')
			parse_u32(value, &l->next);
		else if (word.p[0] == 'G')
			span_copy(value, l->guid, sizeof(l->guid));
	}
}

static bool
parse_header(struct span line, struct uidlist *l, unsigned *out_version)
{
	struct span word;

	if (!span_token(&line, " ", &word))
		return false;
	if (span_eq(word, SPAN("3"))) {
		*out_version = 3;
		parse_header_3(line, l);
	} else if (span_eq(word, SPAN("1"))) {
		*out_version = 1;
		if (!span_token(&line, " ", &word) ||
		    !parse_u32(word, &l->validity) ||
		    !span_token(&line, " ", &word) ||
		    !parse_u32(word, &l->next))
			return false;
	} else {
		return false;
	}
	return l->validity != 0;
}

static bool
name_ok(struct span name)
{
	return name.n > 0 && name.n <= NAME_LENGTH_MAX && name.p[0] != '.' &&
	    span_chr(name, '/') == SIZE_MAX && span_chr(name, 0) == SIZE_MAX;
}

/* "12 W345 :name" or, version 1, "12 name". */
static void
parse_line(struct span line, unsigned version, struct uidlist *l,
    uint32_t *cap)
{
	const size_t space = span_chr(line, ' ');
	const uint32_t last = l->count > 0 ? l->entries[l->count - 1].uid : 0;
	struct span name;
	uint32_t uid;

	if (space == SIZE_MAX || !parse_u32(span_slice(line, 0, space), &uid) ||
	    uid <= last || uid == UINT32_MAX)
		return;
	name = span_skip(line, space + 1);
	if (version == 3) {
		const size_t colon = name.n > 0 && name.p[0] == ':' ?
		    0 :
		    span_find(name, SPAN(" :"));

		if (colon == SIZE_MAX)
			return;
		name = span_skip(name, colon == 0 ? 1 : colon + 2);
	}
	name = span_slice(name, 0, span_chr(name, ':'));
	if (!name_ok(name))
		return;
	if (l->count == *cap) {
		*cap = *cap * 2 + 64;
		l->entries = mem_resize(l->entries, *cap, sizeof(*l->entries));
	}
	l->entries[l->count].uid = uid;
	l->entries[l->count++].name = span_dup(name);
}

bool
uidlist_parse(struct span text, struct uidlist *out)
{
	size_t end = span_chr(text, '\n');
	unsigned version;
	uint32_t cap = 0;

	*out = (struct uidlist){ 0 };
	if (end == SIZE_MAX ||
	    !parse_header(span_slice(text, 0, end), out, &version)) {
		*out = (struct uidlist){ 0 };
		return false;
	}
	for (;;) {
		text = span_skip(text, end + 1);
		end = span_chr(text, '\n');
		if (end == SIZE_MAX)
			break;
		parse_line(span_slice(text, 0, end), version, out, &cap);
	}
	if (out->count > 0 && out->next <= out->entries[out->count - 1].uid)
		out->next = out->entries[out->count - 1].uid + 1;
	if (out->next == 0)
		out->next = 1;
	return true;
}

void
uidlist_release(struct uidlist *l)
{
	for (uint32_t i = 0; i < l->count; i++)
		mem_free(l->entries[i].name);
	mem_free(l->entries);
	*l = (struct uidlist){ 0 };
}

/* ---- printing ---- */
static void
print_entry(const struct uidlist_entry *entry, struct buf *out)
{
	buf_fmt(out, "%u :%s\n", entry->uid, entry->name);
}

void
uidlist_print(const struct uidlist *l, struct buf *out)
{
	buf_fmt(out, "3 V%u N%u", l->validity, l->next);
	if (l->guid[0] != '\0')
		buf_fmt(out, " G%s", l->guid);
	buf_byte(out, '\n');
	for (uint32_t i = 0; i < l->count; i++)
		print_entry(&l->entries[i], out);
}

/* ---- the file ---- */
struct uidlist_stamp
uidlist_stamp(int dir_fd)
{
	struct stat st;

	if (fstatat(dir_fd, file_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
		return (struct uidlist_stamp){ 0 };
	return (struct uidlist_stamp){
		.inode = st.st_ino,
		.size = (uint64_t)st.st_size,
		.mtime_ns = (uint64_t)st.st_mtim.tv_sec * 1000000000 +
		    (uint64_t)st.st_mtim.tv_nsec,
	};
}

bool
uidlist_stamp_eq(struct uidlist_stamp a, struct uidlist_stamp b)
{
	return a.inode == b.inode && a.size == b.size &&
	    a.mtime_ns == b.mtime_ns;
}

int
uidlist_load(int dir_fd, struct uidlist *out, struct err *e)
{
	/* The stamp first: a change in between is seen the next time. */
	const struct uidlist_stamp stamp = uidlist_stamp(dir_fd);
	struct buf b;
	int rc;

	*out = (struct uidlist){ 0 };
	buf_init(&b, file_max);
	rc = fs_read_file(dir_fd, file_name, file_max, &b, e);
	if (rc == 0) {
		uidlist_parse(buf_span(&b), out);
		out->stamp = stamp;
	} else if (e->sysno == ENOENT) {
		rc = 0;
	}
	buf_release(&b);
	return rc;
}

int
uidlist_lock(int dir_fd, struct err *e)
{
	return dotlock_take(dir_fd, lock_name, LOCK_WAIT_MS, e);
}

void
uidlist_unlock(int dir_fd)
{
	dotlock_release(dir_fd, lock_name);
}

int
uidlist_save(int dir_fd, const struct uidlist *l, struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, file_max);
	uidlist_print(l, &b);
	rc = fs_replace(dir_fd, file_name, 0600, buf_span(&b), e);
	buf_release(&b);
	return rc;
}

/* A line that an earlier writer left unfinished must not swallow ours. */
static void
end_last_line(int fd, struct buf *out)
{
	struct stat st;
	char c = '\n';

	if (fstat(fd, &st) == 0 && st.st_size > 0 &&
	    pread(fd, &c, 1, st.st_size - 1) == 1 && c != '\n')
		buf_byte(out, '\n');
}

int
uidlist_append(int dir_fd, const struct uidlist_entry *entries,
    uint32_t count, struct err *e)
{
	struct buf b;
	int fd, rc;

	if (count == 0)
		return 0;
	if (fs_open(dir_fd, file_name, O_RDWR | O_APPEND, &fd, e) != 0)
		return -1;
	buf_init(&b, file_max);
	end_last_line(fd, &b);
	for (uint32_t i = 0; i < count; i++)
		print_entry(&entries[i], &b);
	rc = fs_write(fd, buf_span(&b), e);
	buf_release(&b);
	close(fd);
	return rc;
}
