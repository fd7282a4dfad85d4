/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/queue/queue.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/os/fs.h"
#include "lib/queue/queue_int.h"

/*
 * Files of long messages that are used again: making and removing one for each
 * costs some file systems more than all the rest. incoming/X/sID is the file of
 * the finished message ID. Only its maker fills it again, and only when it gets
 * a write lease on it: nobody else has it open then.
 *
 * It is written over and shortened at the end, not emptied first: ext4 takes a
 * file that was emptied for one that is being replaced, and writes it to the
 * disk when it is closed.
 */

static void
spare_name(struct queue_id id, char out[QUEUE_NAME])
{
	char text[QUEUE_ID_TEXT];

	queue_id_text(id, text);
	snprintf(out, QUEUE_NAME, "%s/%c/s%s", queue_dir_name(QUEUE_INCOMING),
	    queue_id_dir(id), text);
}

int
queue_spare_make(
    struct queue *q, enum queue_dir dir, struct queue_id id, struct err *e)
{
	char from[QUEUE_NAME], to[QUEUE_NAME];

	queue_name(dir, id, from);
	spare_name(id, to);
	return fs_rename(q->fd, from, q->fd, to, e);
}

bool
queue_spare_give(struct queue *q, struct queue_id id)
{
	if (queue_id_slot(id) != q->source.slot ||
	    q->spare_count == QUEUE_SPARES_MAX) {
		queue_spare_lost(q, id);
		return false;
	}
	q->spares[q->spare_count++] = id;
	return true;
}

struct queue_id
queue_spare_take(struct queue *q)
{
	return q->spare_count > 0 ? q->spares[--q->spare_count]
				  : (struct queue_id){ 0 };
}

void
queue_spare_lost(struct queue *q, struct queue_id spare)
{
	if (spare.n != 0 && q->gone_count < QUEUE_GONE_MAX)
		q->gone[q->gone_count++] = spare;
}

bool
queue_spare_gone(struct queue *q, struct queue_id *out)
{
	if (q->gone_count == 0)
		return false;
	*out = q->gone[--q->gone_count];
	return true;
}

/* A lease that somebody's open breaks comes with a signal, which would end
 * us: it is ignored (queue_group). The lease is given back at once: who opens
 * the file from now on finds a file that does not verify. The lock, until it
 * is closed, keeps those away who clean up. */
static bool
nobody_has_it(int fd)
{
	return fcntl(fd, F_SETLEASE, F_WRLCK) == 0 &&
	       fcntl(fd, F_SETLEASE, F_UNLCK) == 0 &&
	       flock(fd, LOCK_EX | LOCK_NB) == 0;
}

int
queue_spare_open(struct queue *q, struct queue_id spare, int *out_fd)
{
	char name[QUEUE_NAME];
	int fd;

	spare_name(spare, name);
	fd = openat(q->fd, name, O_RDWR | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (nobody_has_it(fd)) {
		*out_fd = fd;
		return 0;
	}
	close(fd);
	fs_unlink(q->fd, name, NULL);
	return -1;
}

int
queue_spare_fit(int fd, uint64_t size, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return err_sys(e, "stat queue file");
	return (uint64_t)st.st_size > size ? fs_truncate(fd, (off_t)size, e)
					   : 0;
}

int
queue_spare_done(struct queue *q, struct queue_id spare, enum queue_dir dir,
    struct queue_id id, struct err *e)
{
	char from[QUEUE_NAME], to[QUEUE_NAME];

	spare_name(spare, from);
	queue_name(dir, id, to);
	return fs_rename_new(q->fd, from, q->fd, to, e);
}

void
queue_spare_remove(struct queue *q, struct queue_id spare)
{
	char name[QUEUE_NAME];

	spare_name(spare, name);
	fs_unlink(q->fd, name, NULL);
}

/* ---- those that nobody will use ---- */
/* Its maker may be filling it, though qmgr does not know. */
static void
clean_one(int dir, const char *name)
{
	const int fd =
	    openat(dir, name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	if (flock(fd, LOCK_EX | LOCK_NB) == 0)
		fs_unlink(dir, name, NULL);
	close(fd);
}

static void
clean_dir(struct queue *q, const char *name, int slot)
{
	const int fd = openat(q->fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;
	struct queue_id id;

	if (dir == NULL) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] == 's' &&
		    queue_id_parse(span_str(entry->d_name + 1), &id) &&
		    (slot < 0 || queue_id_slot(id) == slot))
			clean_one(dirfd(dir), entry->d_name);
	closedir(dir);
}

void
queue_spare_clean(struct queue *q, int slot)
{
	char name[QUEUE_NAME];

	for (unsigned i = 0; i < QUEUE_HASH_DIRS; i++) {
		snprintf(name, sizeof(name), "%s/%X",
		    queue_dir_name(QUEUE_INCOMING), i);
		clean_dir(q, name, slot);
	}
}
