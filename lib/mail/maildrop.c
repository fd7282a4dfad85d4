/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/maildrop.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/crc.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/os/log.h"
#include "lib/os/loop.h"

static const uint8_t magic[8] = { 'C', 'H', 'D', 'R', 'O', 'P', '1', '\n' };

enum field {
	FIELD_SENDER = 1,
	FIELD_RCPT = 2,
	FIELD_NOTIFY = 3, /* one byte */
	FIELD_RET = 4,    /* one byte */
	FIELD_ENVID = 5,
	FIELD_8BIT = 6,   /* empty */
};
enum { FIELD_HEAD = 4, COPY_SIZE = 65536 };

/* Numbers stand least significant byte first. */
static void
put_number(uint8_t *p, unsigned bytes, uint64_t n)
{
	for (unsigned i = 0; i < bytes; i++)
		p[i] = (uint8_t)(n >> (8 * i));
}

static uint64_t
get_number(const uint8_t *p, unsigned bytes)
{
	uint64_t n = 0;

	for (unsigned i = bytes; i-- > 0;)
		n = n << 8 | p[i];
	return n;
}

/* ---- writing --------------------------------------------------------------- */

static void
put_field(struct buf *b, enum field f, struct span value)
{
	uint8_t head[FIELD_HEAD] = { (uint8_t)f };

	BUG_ON(value.n > UINT16_MAX);
	put_number(head + 2, 2, value.n);
	buf_add(b, span_of(head, sizeof(head)));
	buf_add(b, value);
}

static void
put_byte_field(struct buf *b, enum field f, uint32_t value)
{
	const uint8_t byte = (uint8_t)value;

	if (value != 0)
		put_field(b, f, span_of(&byte, 1));
}

static void
put_envelope(struct buf *b, const struct maildrop_envelope *env)
{
	put_field(b, FIELD_SENDER, env->sender);
	put_byte_field(b, FIELD_NOTIFY, env->dsn_notify);
	put_byte_field(b, FIELD_RET, (uint32_t)env->dsn_ret);
	if (env->dsn_envid.n > 0)
		put_field(b, FIELD_ENVID, env->dsn_envid);
	if (env->eight_bit)
		put_field(b, FIELD_8BIT, SPAN_EMPTY);
	for (size_t i = 0; i < env->rcpt_count; i++)
		put_field(b, FIELD_RCPT, env->rcpts[i]);
}

static int
copy_content(int to, int from, uint64_t size, uint32_t *crc, struct err *e)
{
	uint8_t *bytes = mem_alloc(COPY_SIZE);
	uint64_t at = 0;
	int result = 0;

	while (at < size && result == 0) {
		const ssize_t n = pread(from, bytes, COPY_SIZE, (off_t)at);

		if (n <= 0) {
			result = err_sys(e, "read the message");
			break;
		}
		*crc = crc32c(*crc, span_of(bytes, (size_t)n));
		result = fs_write(to, span_of(bytes, (size_t)n), e);
		at += (uint64_t)n;
	}
	mem_free(bytes);
	return result;
}

static int
write_all(int fd, struct span envelope, int content_fd, uint64_t content_size,
    struct err *e)
{
	uint8_t head[MAILDROP_HEAD] = { 0 };
	uint32_t crc = crc32c(0, envelope);

	/* The head comes last, so a torn file has none. */
	if (fs_write(fd, span_of(head, sizeof(head)), e) != 0 ||
	    fs_write(fd, envelope, e) != 0 ||
	    copy_content(fd, content_fd, content_size, &crc, e) != 0)
		return -1;
	memcpy(head, magic, sizeof(magic));
	put_number(head + 8, 4, envelope.n);
	put_number(head + 12, 4, crc);
	put_number(head + 16, 8, content_size);
	return fs_pwrite(fd, span_of(head, sizeof(head)), 0, e);
}

/* The directory may be entered and written, not read, so it can't be opened
 * for its own fsync: a second fsync of the file after the rename commits the
 * name on ext4, XFS and btrfs. */
static int
finish(int dir_fd, int fd, const char *tmp, const char *name, struct err *e)
{
	if (fchmod(fd, 0640) != 0)
		return err_sys(e, "set the mode of maildrop/%s", tmp);
	if (fs_sync(fd, e) != 0 ||
	    fs_rename(dir_fd, tmp, dir_fd, name, e) != 0)
		return -1;
	return fs_sync(fd, e);
}

int
maildrop_write(int dir_fd, const struct maildrop_envelope *env,
    int content_fd, uint64_t content_size, char **out_name, struct err *e)
{
	char *name = mem_printf("%014llX%08X",
	    (unsigned long long)clock_wall_us(),
	    (unsigned)(log_trace_new() >> 16));
	char *tmp = mem_printf(".%s", name);
	struct buf envelope;
	int fd = -1, result = -1;

	buf_init(&envelope, MAILDROP_ENVELOPE_MAX);
	put_envelope(&envelope, env);
	if (!buf_ok(&envelope)) {
		err_set(e, ERR_PERM, "5.5.3", "too many recipients");
		goto out;
	}
	if (fs_create(dir_fd, tmp, 0600, &fd, e) != 0)
		goto out;
	result = write_all(fd, buf_span(&envelope), content_fd, content_size,
	    e);
	if (result == 0)
		result = finish(dir_fd, fd, tmp, name, e);
	if (result != 0) {
		fs_unlink(dir_fd, tmp, NULL);
	} else {
		*out_name = name;
		name = NULL;
	}
out:
	if (fd >= 0)
		close(fd);
	buf_release(&envelope);
	mem_free(tmp);
	mem_free(name);
	return result;
}

/* ---- reading --------------------------------------------------------------- */

bool
maildrop_name_ok(const char *name)
{
	struct span s = span_str(name);
	uint64_t n;

	return s.n == 22 && span_hex64(span_slice(s, 0, 14), &n) &&
	    span_hex64(span_skip(s, 14), &n);
}

static int
damaged(struct err *e, const char *what)
{
	return err_set(e, ERR_PERM, "5.6.0", "no complete maildrop file: %s",
	    what);
}

static int
read_at(int fd, void *out, size_t size, off_t at, struct err *e)
{
	uint8_t *p = out;

	while (size > 0) {
		const ssize_t n = pread(fd, p, size, at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read");
		if (n == 0)
			return damaged(e, "it ended");
		p += n;
		at += n;
		size -= (size_t)n;
	}
	return 0;
}

/* One field; false when it is not one that may stand here. */
static bool
take_field(struct maildrop_envelope *env, unsigned field, struct span value)
{
	switch (field) {
	case FIELD_SENDER:
		env->sender = value;
		return value.n <= LIMIT_ADDRESS;
	case FIELD_RCPT:
		env->rcpts[env->rcpt_count++] = value;
		return value.n > 0 && value.n <= LIMIT_ADDRESS;
	case FIELD_NOTIFY:
		env->dsn_notify = value.n == 1 ? value.p[0] : 0;
		return value.n == 1 && value.p[0] < 16;
	case FIELD_RET:
		env->dsn_ret = value.n == 1 ? (enum dsn_ret)value.p[0] : 0;
		return value.n == 1 && value.p[0] <= DSN_RET_HDRS;
	case FIELD_ENVID:
		env->dsn_envid = value;
		return value.n <= 100;
	case FIELD_8BIT:
		env->eight_bit = true;
		return value.n == 0;
	}
	return false;
}

/* No control byte may come into an envelope this way. */
static bool
is_clean(struct span value)
{
	for (size_t i = 0; i < value.n; i++)
		if (value.p[i] < ' ' || value.p[i] == 0x7F)
			return false;
	return true;
}

static int
parse_envelope(struct maildrop_envelope *env, struct span s, struct arena *a,
    struct err *e)
{
	size_t most = s.n / (FIELD_HEAD + 1) + 1;

	if (most > LIMIT_RCPT)
		most = LIMIT_RCPT;
	env->rcpts = arena_alloc(a, most * sizeof(*env->rcpts));
	while (s.n > 0) {
		size_t n;
		struct span value;

		if (s.n < FIELD_HEAD)
			return damaged(e, "a field is cut off");
		n = (size_t)get_number(s.p + 2, 2);
		if (n > s.n - FIELD_HEAD || env->rcpt_count >= LIMIT_RCPT)
			return damaged(e, "a field is too long");
		value = span_slice(s, FIELD_HEAD, FIELD_HEAD + n);
		if (!take_field(env, s.p[0], value) ||
		    ((s.p[0] == FIELD_SENDER || s.p[0] == FIELD_RCPT ||
		      s.p[0] == FIELD_ENVID) && !is_clean(value)))
			return damaged(e, "a field has a wrong value");
		s = span_skip(s, FIELD_HEAD + n);
	}
	return env->rcpt_count > 0 ? 0 : damaged(e, "no recipient");
}

int
maildrop_open(int fd, uint64_t size, struct arena *a,
    struct maildrop_reader *out, struct err *e)
{
	struct maildrop_reader r = { .fd = fd };
	uint8_t head[MAILDROP_HEAD], *envelope;
	size_t n;

	if (size < MAILDROP_HEAD)
		return damaged(e, "too short");
	if (read_at(fd, head, sizeof(head), 0, e) != 0)
		return -1;
	if (memcmp(head, magic, sizeof(magic)) != 0)
		return damaged(e, "no head");
	n = (size_t)get_number(head + 8, 4);
	r.crc_wanted = (uint32_t)get_number(head + 12, 4);
	r.content_size = r.left = get_number(head + 16, 8);
	if (n > MAILDROP_ENVELOPE_MAX || size - MAILDROP_HEAD < n ||
	    size - MAILDROP_HEAD - n != r.content_size)
		return damaged(e, "wrong length");
	envelope = arena_alloc(a, n + 1);
	if (read_at(fd, envelope, n, MAILDROP_HEAD, e) != 0)
		return -1;
	r.crc = crc32c(0, span_of(envelope, n));
	if (parse_envelope(&r.env, span_of(envelope, n), a, e) != 0)
		return -1;
	if (lseek(fd, (off_t)(MAILDROP_HEAD + n), SEEK_SET) < 0)
		return err_sys(e, "seek");
	*out = r;
	return 0;
}

ssize_t
maildrop_read(struct maildrop_reader *r, void *out, size_t size,
    struct err *e)
{
	ssize_t n;

	if (r->left == 0)
		return r->crc == r->crc_wanted ? 0 :
		    damaged(e, "the checksum does not fit");
	if (size > r->left)
		size = (size_t)r->left;
	do {
		n = read(r->fd, out, size);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(e, "read");
	if (n == 0)
		return damaged(e, "it was shortened");
	r->crc = crc32c(r->crc, span_of(out, (size_t)n));
	r->left -= (uint64_t)n;
	return n;
}

bool
maildrop_links_safe(void)
{
	char c = '0';
	int fd = open("/proc/sys/fs/protected_hardlinks",
	    O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, &c, 1) != 1)
			c = '0';
		close(fd);
	}
	return c != '0';
}
