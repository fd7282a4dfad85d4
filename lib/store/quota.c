/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/quota.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/os/fs.h"
#include "lib/os/loop.h"
#include "lib/store/maildir_name.h"

static const char file_name[] = "maildirsize";

enum {
	FILE_MAX = 5120,    /* then it is counted anew */
	FRESH_S = 15 * 60,  /* an excess is believed so long */
};

/* ---- the rule ---- */

/* "1G" in units of unit bytes when there is no suffix. */
static bool
parse_size(struct span s, uint64_t unit, uint64_t *out)
{
	static const char suffixes[] = "bkmgt";
	uint64_t n;

	if (s.n > 1 && !ascii_digit(s.p[s.n - 1])) {
		const uint8_t c = ascii_lower(s.p[s.n - 1]);
		size_t i = 0;

		while (suffixes[i] != '\0' && (uint8_t)suffixes[i] != c)
			i++;
		if (suffixes[i] == '\0')
			return false;
		unit = UINT64_C(1) << (10 * i);
		s = span_slice(s, 0, s.n - 1);
	}
	if (!span_u64(s, INT64_MAX / unit, &n))
		return false;
	*out = n * unit;
	return true;
}

static bool
parse_limit(struct span s, struct quota *q)
{
	const size_t eq = span_chr(s, '=');
	const struct span key = span_slice(s, 0, eq);
	const struct span value =
	    eq == SIZE_MAX ? SPAN_EMPTY : span_skip(s, eq + 1);

	if (span_ieq(s, SPAN("ignore"))) {
		*q = (struct quota){ 0 };
		return true;
	}
	if (span_ieq(key, SPAN("storage")))
		return parse_size(value, 1024, &q->bytes);
	if (span_ieq(key, SPAN("bytes")))
		return parse_size(value, 1, &q->bytes);
	return span_ieq(key, SPAN("messages")) &&
	       span_u64(value, INT64_MAX, &q->messages);
}

bool
quota_parse(const char *rule, struct quota *out)
{
	struct span rest = span_trim(span_str(rule)), word;
	struct quota q = { 0 };

	if (rest.n > 0) {
		if (!span_starts(rest, SPAN("*:")))
			return false;
		rest = span_skip(rest, 2);
		while (span_token(&rest, ":", &word))
			if (!parse_limit(word, &q))
				return false;
	}
	*out = q;
	return true;
}

bool
quota_limited(const struct quota *q)
{
	return q->bytes > 0 || q->messages > 0;
}

bool
quota_exceeds(const struct quota *limit, const struct quota *usage,
    uint64_t bytes, uint64_t messages)
{
	return (limit->bytes > 0 && usage->bytes + bytes > limit->bytes) ||
	       (limit->messages > 0 &&
		   usage->messages + messages > limit->messages);
}

bool
quota_full(const struct quota *limit, const struct quota *usage)
{
	return quota_exceeds(limit, usage, 1, 1);
}

/* ---- counting ---- */

static DIR *
open_dir(int at, const char *name)
{
	const int fd =
	    openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir;

	if (fd < 0)
		return NULL;
	dir = fdopendir(fd);
	if (dir == NULL)
		close(fd);
	return dir;
}

static void
count_file(int dir_fd, const char *name, struct quota *out)
{
	struct span base = span_str(name);
	struct stat st;
	uint64_t size;

	base = span_slice(base, 0, span_chr(base, ':'));
	if (!maildir_name_size(base, 'S', &size)) {
		if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
			return; /* gone meanwhile */
		size = (uint64_t)st.st_size;
	}
	out->bytes += size;
	out->messages++;
}

static void
count_files(int folder, const char *name, struct quota *out)
{
	DIR *dir = open_dir(folder, name);
	const struct dirent *d;

	if (dir == NULL)
		return;
	while ((d = readdir(dir)) != NULL)
		if (d->d_name[0] != '.')
			count_file(dirfd(dir), d->d_name, out);
	closedir(dir);
}

static void
count_folder(int root_fd, const char *name, struct quota *out)
{
	DIR *dir = open_dir(root_fd, name);

	if (dir == NULL)
		return;
	count_files(dirfd(dir), "cur", out);
	count_files(dirfd(dir), "new", out);
	closedir(dir);
}

/* The root is INBOX; its folders are the directories ".NAME" in it. */
static int
count_all(int root_fd, struct quota *out, struct err *e)
{
	DIR *dir = open_dir(root_fd, ".");
	const struct dirent *d;

	if (dir == NULL)
		return err_sys(e, "read the mailbox");
	*out = (struct quota){ 0 };
	while ((d = readdir(dir)) != NULL) {
		const struct span name = span_str(d->d_name);

		if (name.p[0] == '.' && !span_eq(name, SPAN("..")))
			count_folder(root_fd, d->d_name, out);
	}
	closedir(dir);
	return 0;
}

/* ---- the file ---- */

static void
print_limit(const struct quota *q, struct buf *out)
{
	if (q->bytes > 0)
		buf_fmt(out, "%lluS", (unsigned long long)q->bytes);
	if (q->messages > 0)
		buf_fmt(out, "%s%lluC", q->bytes > 0 ? "," : "",
		    (unsigned long long)q->messages);
	buf_str(out, "\n");
}

static bool
read_number(struct span *rest, int64_t *out)
{
	struct span word;
	uint64_t n;
	bool minus;

	if (!span_token(rest, " \t\r", &word))
		return false;
	minus = word.p[0] == '-';
	if (!span_u64(minus ? span_skip(word, 1) : word, INT64_MAX, &n))
		return false;
	*out = minus ? -(int64_t)n : (int64_t)n;
	return true;
}

/* The sum of the lines below the first. False: not to be believed. */
static bool
sum_lines(struct span rest, struct quota *out, unsigned *out_lines)
{
	struct span line;
	int64_t bytes = 0, messages = 0, b, n;

	*out_lines = 0;
	while (span_token(&rest, "\n", &line)) {
		if (!read_number(&line, &b) || !read_number(&line, &n) ||
		    __builtin_add_overflow(bytes, b, &bytes) ||
		    __builtin_add_overflow(messages, n, &messages))
			return false;
		++*out_lines;
	}
	if (bytes < 0 || messages < 0)
		return false;
	out->bytes = (uint64_t)bytes;
	out->messages = (uint64_t)messages;
	return true;
}

/* False: it must be counted. */
static bool
read_file(int root_fd, const struct quota *limit, struct quota *out)
{
	struct buf have, want;
	struct stat st;
	unsigned lines;
	bool good;

	if (fstatat(root_fd, file_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
	    st.st_size > FILE_MAX)
		return false;
	buf_init(&have, 2 * FILE_MAX);
	buf_init(&want, 100);
	print_limit(limit, &want);
	good = fs_read_file(root_fd, file_name, 2 * FILE_MAX, &have, NULL) ==
		   0 &&
	    span_starts(buf_span(&have), buf_span(&want)) &&
	    sum_lines(span_skip(buf_span(&have), want.n), out, &lines);
	/* Somebody may have removed mail without telling. */
	if (good && quota_full(limit, out) && (lines > 1 ||
		clock_wall_us() / 1000000 - st.st_mtim.tv_sec > FRESH_S))
		good = false;
	buf_release(&have);
	buf_release(&want);
	return good;
}

static int
write_file(int root_fd, const struct quota *limit, const struct quota *usage,
    struct err *e)
{
	struct buf b;
	int rc;

	buf_init(&b, 200);
	print_limit(limit, &b);
	buf_fmt(&b, "%llu %llu\n", (unsigned long long)usage->bytes,
	    (unsigned long long)usage->messages);
	rc = fs_replace(root_fd, file_name, 0600, buf_span(&b), e);
	buf_release(&b);
	return rc;
}

int
quota_usage(int root_fd, const struct quota *limit, struct quota *out,
    struct err *e)
{
	if (read_file(root_fd, limit, out))
		return 0;
	if (count_all(root_fd, out, e) != 0)
		return -1;
	return write_file(root_fd, limit, out, e);
}

void
quota_change(int root_fd, int64_t bytes, int64_t messages)
{
	char line[64];
	const int n = snprintf(line, sizeof(line), "%lld %lld\n",
	    (long long)bytes, (long long)messages);
	const int fd = openat(root_fd, file_name,
	    O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct err e;

	if (fd < 0)
		return;
	/* One that can't be written is out of date: it goes. */
	if (fs_write(fd, span_of(line, (size_t)n), &e) != 0)
		fs_unlink(root_fd, file_name, NULL);
	close(fd);
}

void
quota_forget(int root_fd)
{
	fs_unlink(root_fd, file_name, NULL);
}
