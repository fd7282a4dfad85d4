/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/os/memfd.h"
#include "lib/os/tls.h"

enum { PEM_MAX = 1 << 20, SETTLE_MS = 1000 };

/* What identifies a file's content without reading it. */
struct stamp {
	ino_t ino;
	off_t size;
	struct timespec mtime;
};

struct keys {
	struct stamp cert, key;
	int fds[2]; /* sealed memory; -1: none */
};

static struct stamp
stamp_of(const char *path)
{
	struct stat st;

	if (path[0] == '\0' || stat(path, &st) != 0)
		return (struct stamp){ 0 };
	return (struct stamp){ st.st_ino, st.st_size, st.st_mtim };
}

static bool
same(const struct stamp *a, const struct stamp *b)
{
	return a->ino == b->ino && a->size == b->size &&
	       a->mtime.tv_sec == b->mtime.tv_sec &&
	       a->mtime.tv_nsec == b->mtime.tv_nsec;
}

/* Symbolic links are followed: that is how certificates are renewed. */
static int
read_all(const char *path, struct buf *out, struct err *e)
{
	const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	uint8_t chunk[4096];
	ssize_t n;

	if (fd < 0)
		return err_sys(e, "open %s", path);
	while ((n = read(fd, chunk, sizeof(chunk))) > 0)
		buf_add(out, span_of(chunk, (size_t)n));
	if (n < 0)
		err_sys(e, "read %s", path);
	close(fd);
	explicit_bzero(chunk, sizeof(chunk));
	if (n == 0 && !buf_ok(out))
		return err_set(e, ERR_PERM, "5.3.5", "%s: too large", path);
	return n < 0 ? -1 : 0;
}

static int
seal(const char *path, const char *name, int *out_fd, struct err *e)
{
	struct buf b;
	int ret;

	buf_init(&b, PEM_MAX);
	ret = read_all(path, &b, e);
	if (ret == 0)
		ret = memfd_seal(name, buf_span(&b), out_fd, e);
	buf_wipe(&b);
	return ret;
}

static void
close_fds(struct keys *k)
{
	for (int i = 0; i < 2; i++) {
		if (k->fds[i] >= 0)
			close(k->fds[i]);
		k->fds[i] = -1;
	}
}

void
keys_free(struct keys **ref)
{
	struct keys *k = *ref;

	if (k == NULL)
		return;
	*ref = NULL;
	close_fds(k);
	mem_free(k);
}

void
keys_load(struct service *s, bool warn)
{
	const struct plan *p = s->plan;
	struct keys *k;
	struct err e;

	if (!p->program->needs_keys || p->cert_file[0] == '\0') {
		keys_free(&s->keys);
		return;
	}
	k = MEM_NEW(k);
	k->fds[0] = k->fds[1] = -1;
	k->cert = stamp_of(p->cert_file);
	k->key = stamp_of(p->key_file);
	if (seal(p->cert_file, "chain", &k->fds[0], &e) != 0 ||
	    seal(p->key_file, "key", &k->fds[1], &e) != 0) {
		if (warn)
			log_warning(NULL, "service %s: %s", p->name, e.text);
		close_fds(k);
		/* Those that served until now go on serving. */
		if (s->keys != NULL) {
			mem_free(k);
			return;
		}
	}
	keys_free(&s->keys);
	s->keys = k;
}

int
keys_fds(const struct service *s, int out_fd[2])
{
	if (s->keys == NULL || s->keys->fds[0] < 0 || s->keys->fds[1] < 0)
		return 0;
	out_fd[0] = s->keys->fds[0];
	out_fd[1] = s->keys->fds[1];
	return 2;
}

int
keys_verify(const struct plan *p, struct err *e)
{
	struct tls_ctx *ctx = NULL;
	struct buf chain, key;

	if (!p->program->needs_keys || p->cert_file[0] == '\0')
		return 0;
	buf_init(&chain, PEM_MAX);
	buf_init(&key, PEM_MAX);
	if (read_all(p->cert_file, &chain, e) == 0 &&
	    read_all(p->key_file, &key, e) == 0) {
		ctx = tls_server_new(buf_span(&chain), buf_span(&key), e);
		if (ctx == NULL)
			err_wrap(e, "%s and %s", p->cert_file, p->key_file);
	}
	buf_release(&chain);
	buf_wipe(&key);
	if (ctx == NULL)
		return -1;
	tls_ctx_free(&ctx);
	return 0;
}

static void
check(struct service *s)
{
	const struct stamp cert = stamp_of(s->plan->cert_file);
	const struct stamp key = stamp_of(s->plan->key_file);

	if (s->keys == NULL ||
	    (same(&cert, &s->keys->cert) && same(&key, &s->keys->key)))
		return;
	log_info(NULL, "service %s: new certificate or key", s->plan->name);
	keys_load(s, true);
	LIST_EACH(&s->children, link)
	child_send_keys(CONTAINER_OF(link, struct child, link));
}

void
keys_check_all(struct master *m)
{
	LIST_EACH(&m->services, link)
	check(CONTAINER_OF(link, struct service, link));
}

/* ---- noticing changes ---- */
static void
on_inotify(void *arg, int events)
{
	struct master *m = arg;
	char junk[4096];

	(void)events;
	while (read(m->inotify_fd, junk, sizeof(junk)) > 0)
		;
	/* Certificate and key are replaced one after the other: let both
	 * arrive. */
	timer_start(m->keys_timer, SETTLE_MS);
}

static void
watch_dir_of(struct master *m, const char *path)
{
	char copy[PATH_MAX], real[PATH_MAX];
	const uint32_t mask =
	    IN_CLOSE_WRITE | IN_MOVED_TO | IN_CREATE | IN_ONLYDIR;

	if (path == NULL || path[0] == '\0')
		return;
	snprintf(copy, sizeof(copy), "%s", path);
	(void)inotify_add_watch(m->inotify_fd, dirname(copy), mask);
	if (realpath(path, real) != NULL)
		(void)inotify_add_watch(m->inotify_fd, dirname(real), mask);
}

/* Where a directory cannot be watched the check of each minute remains. */
void
keys_watch(struct master *m)
{
	if (m->inotify_fd < 0) {
		m->inotify_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
		if (m->inotify_fd < 0)
			return;
		m->inotify = watch_new(m->loop, m->inotify_fd, on_inotify, m);
		watch_set(m->inotify, WATCH_READ);
	}
	LIST_EACH(&m->services, link)
	{
		const struct service *s =
		    CONTAINER_OF(link, struct service, link);

		if (!s->plan->program->needs_keys)
			continue;
		watch_dir_of(m, s->plan->cert_file);
		watch_dir_of(m, s->plan->key_file);
	}
}
