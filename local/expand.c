/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "local/expand.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/proto/address.h"
#include "local/targets.h"

enum {
	FORWARD_MAX = 65536,
	INCLUDE_MAX = 4 << 20,
	ARENA_MAX = 16 << 20,
	QUOTE_MAX = 200,
};

void
expansion_init(
    struct expansion *x, struct span own_name, struct span own_domain)
{
	*x = (struct expansion){ 0 };
	arena_init(&x->arena, ARENA_MAX);
	x->own_name = arena_dup(&x->arena, own_name);
	x->own_domain = arena_dup(&x->arena, own_domain);
}

void
expansion_release(struct expansion *x)
{
	mem_free(x->addresses.at);
	mem_free(x->users.at);
	mem_free(x->files.at);
	mem_free(x->commands.at);
	arena_reset(&x->arena);
}

bool
expansion_empty(const struct expansion *x)
{
	return !x->own && x->addresses.count == 0 && x->users.count == 0 &&
	    x->files.count == 0 && x->commands.count == 0;
}

static void
strings_add(struct strings *s, struct span text)
{
	if (s->count == s->cap) {
		s->cap = s->cap * 2 + 8;
		s->at = mem_resize(s->at, s->cap, sizeof(*s->at));
	}
	s->at[s->count++] = text;
}

/* ---- targets ---- */
static int add_include(struct expansion *x, struct span path, struct err *e);

/* Does the address mean the alias or the user itself? */
static bool
is_own(const struct expansion *x, struct span address)
{
	const struct span domain = address_domain_of(address);

	return span_ieq(address_local_of(address), x->own_name) &&
	    (domain.n == 0 || span_ieq(domain, x->own_domain));
}

static size_t
total(const struct expansion *x)
{
	return x->addresses.count + x->users.count + x->files.count +
	    x->commands.count;
}

static int
on_target(void *arg, const struct target *t, struct err *e)
{
	struct expansion *x = arg;

	if (total(x) >= EXPANSION_MAX || !arena_ok(&x->arena))
		return err_set(
		    e, ERR_TEMP, "4.3.5", "alias or .forward is too long");
	switch (t->kind) {
	case TARGET_ADDRESS:
		if (is_own(x, t->text))
			x->own = true;
		else
			strings_add(&x->addresses, t->text);
		break;
	case TARGET_USER:
		if (span_ieq(t->text, x->own_name))
			x->own = x->own_direct = true;
		else
			strings_add(&x->users, t->text);
		break;
	case TARGET_FILE:
		strings_add(&x->files, t->text);
		break;
	case TARGET_COMMAND:
		strings_add(&x->commands, t->text);
		break;
	case TARGET_INCLUDE:
		return add_include(x, t->text, e);
	case TARGET_BAD:
		log_warning(x->log, "%s: not an address, ignored: %s",
		    log_quote(x->own_name, QUOTE_MAX),
		    log_quote(t->text, QUOTE_MAX));
		break;
	}
	return 0;
}

int
expansion_add(struct expansion *x, struct span text, struct err *e)
{
	return targets_parse(text, &x->arena, on_target, x, e);
}

/* An include file that is gone for a moment must not lose anyone's mail: it
 * is waited for. */
static int
add_include(struct expansion *x, struct span path, struct err *e)
{
	char *name;
	struct buf b;
	int rc;

	if (x->depth >= EXPANSION_DEPTH)
		return err_set(e, ERR_TEMP, "4.3.5",
		    "include files nested too deeply");
	name = span_dup(path);
	buf_init(&b, INCLUDE_MAX);
	rc = fs_read_file(AT_FDCWD, name, INCLUDE_MAX, &b, e);
	if (rc == 0) {
		x->depth++;
		rc = expansion_add(x, arena_dup(&x->arena, buf_span(&b)), e);
		x->depth--;
	} else {
		err_wrap(e, "include file %s", name);
	}
	buf_release(&b);
	mem_free(name);
	return rc;
}

/* ---- .forward ---- */
/* May the open file say where the user's mail goes? */
static bool
trusted(const struct expansion *x, int fd, const char *path, uid_t uid)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return false;
	if (st.st_uid != uid && st.st_uid != 0) {
		log_warning(x->log, "file %s has bad owner uid %ld", path,
		    (long)st.st_uid);
		return false;
	}
	if ((st.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
		log_warning(x->log, "file %s is %s writable", path,
		    (st.st_mode & S_IWOTH) != 0 ? "world" : "group");
		return false;
	}
	return true;
}

static int
read_all(int fd, struct buf *out, const char *path, struct err *e)
{
	for (;;) {
		uint8_t *room = buf_room(out, FORWARD_MAX + 1 - out->n);
		const ssize_t n =
		    room == NULL ? 0 : read(fd, room, FORWARD_MAX + 1 - out->n);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_sys(e, "read %s", path);
		if (n == 0)
			break;
		buf_grown(out, (size_t)n);
	}
	if (out->n > FORWARD_MAX)
		return err_set(e, ERR_TEMP, "4.3.5", "%s is too large", path);
	return 0;
}

/* 1 it counts, 0 it doesn't. */
static int
add_forward(
    struct expansion *x, const char *path, uid_t uid, struct err *e)
{
	struct err why;
	struct buf b;
	int fd, rc = 0;

	if (fs_open(AT_FDCWD, path, O_RDONLY, &fd, &why) != 0) {
		/* A full table or a failing disk is no "not there". */
		if (why.sysno == ENOENT || why.sysno == ENOTDIR)
			return 0;
		if (why.sysno != EACCES && why.sysno != ELOOP &&
		    why.sysno != 0) {
			*e = why;
			return -1;
		}
		log_warning(x->log, "cannot open file %s: %s", path,
		    why.sysno != 0 ? strerror(why.sysno) :
				     "not a regular file");
		return 0;
	}
	buf_init(&b, FORWARD_MAX + 1);
	if (trusted(x, fd, path, uid)) {
		rc = read_all(fd, &b, path, e);
		if (rc == 0)
			rc = expansion_add(
			    x, arena_dup(&x->arena, buf_span(&b)), e);
		if (rc == 0)
			rc = !expansion_empty(x);
	}
	buf_release(&b);
	close(fd);
	return rc;
}

int
expansion_forward(struct expansion *x, const char *home, uid_t uid,
    const char *delimiter, struct span extension, struct err *e)
{
	char *path;
	int rc = 0;

	if (extension.n > 0 && extension.n < 100 && delimiter[0] != '\0' &&
	    span_chr(extension, '/') == SIZE_MAX &&
	    span_chr(extension, 0) == SIZE_MAX) {
		path = mem_printf("%s/.forward%c%.*s", home, delimiter[0],
		    SPAN_FMT(extension));
		rc = add_forward(x, path, uid, e);
		mem_free(path);
	}
	if (rc == 0) {
		path = mem_printf("%s/.forward", home);
		rc = add_forward(x, path, uid, e);
		mem_free(path);
	}
	return rc;
}
