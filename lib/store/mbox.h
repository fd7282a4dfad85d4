/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_STORE_MBOX_H
#define CHAPPE_STORE_MBOX_H

/*
 * Private to the mbox driver. The file is locked with fcntl (an open file
 * description lock) and, to write, with NAME.lock; it is never replaced, only
 * changed in place, since other programs may wait for its lock. Whoever is to
 * move bytes writes them to a repair file beside the index first.
 */

#include <sys/stat.h>

#include "lib/store/driver.h"
#include "lib/store/mbox_parse.h"

struct mbox {
	char *path;
	int index_fd; /* directory of index and repair file, -1: none */
	/* The file as it was when the index was last brought into line. */
	struct stat seen;
};

/* ---- mbox_lock.c ---- */
struct mbox_lock {
	const struct store *s;
	char *path;
	int fd; /* -1: there is no file */
	bool dotlock;
};
/* Opens and locks; create: makes the file when it is not there. Waits at most
 * half a minute. A file that is not the user's own regular file with one
 * name is refused (4.2.0). */
int mbox_lock(const struct store *s, const char *path, bool write,
    bool create, struct mbox_lock *out, struct err *e);
void mbox_unlock(struct mbox_lock *l);

/* ---- mbox_repair.c ---- */
/* Replaces all from offset at on, so that a crash at any point leaves either
 * the old or the new, once mbox_repair was called. Under the write lock.
 * index_fd -1: without that promise. */
int mbox_replace_tail(int index_fd, int fd, off_t at, struct span tail,
    struct err *e);
/* Is there something to repair? */
bool mbox_repair_needed(int index_fd);
/* Finishes what mbox_replace_tail began; when another program changed the
 * file since, both are kept, and the log says so. Under the write lock. */
int mbox_repair(int index_fd, int fd, const char *path, struct err *e);

/* ---- mbox_note.c ---- */
/* Notes that messages are being appended, and the bytes that will be: the
 * whole file `added`. index_fd -1: nothing is noted. */
int mbox_note_begin(int index_fd, int fd, int added, struct err *e);
/* Before anyone is told that the append succeeded. */
int mbox_note_end(int index_fd, struct err *e);
bool mbox_note_there(int index_fd);
/* Takes away what an append that was interrupted left. Under the write lock. */
int mbox_note_recover(int index_fd, int fd, const char *path, struct err *e);

/* ---- mbox.c ---- */
/* Locks, repairs, merges. The index is locked by the caller. */
int mbox_begin(struct mailbox *mb, bool write, bool create,
    struct mbox_lock *out, struct err *e);
/* After own changes: merges again, before the unlock. */
int mbox_merge_locked(struct mailbox *mb, int fd, struct err *e);
/* Reads the whole file, or from an offset on. */
int mbox_read(int fd, struct buf *out, struct err *e);
int mbox_read_from(int fd, uint64_t from, struct buf *out);
/* Is there something to put right before anyone reads or writes? */
bool mbox_unfinished(int index_fd);
/* Does that, under the write lock. */
int mbox_finish(int index_fd, int fd, const char *path, struct err *e);
/* The names of keywords, with spaces between. */
void mbox_keyword_words(const struct mailbox *mb, uint64_t set,
    struct buf *out);

/* ---- mbox_change.c ---- */
int mbox_set_flags(struct mailbox *mb, const uint32_t *uids, size_t count,
    const struct flag_change *change, struct err *e);
int mbox_expunge(struct mailbox *mb, const uint32_t *uids, size_t count,
    struct err *e);

/* ---- mbox_save.c ---- */
int mbox_save_begin(struct mailbox *mb, bool delivery, struct save **out,
    struct err *e);
int mbox_save_message(struct save *sv, const struct append_meta *meta,
    struct err *e);
int mbox_save_write(struct save *sv, struct span bytes, struct err *e);
int mbox_save_end(struct save *sv, struct err *e);
int mbox_save_commit(struct save **sv, uint32_t *out_uids,
    uint32_t *out_validity, struct err *e);
void mbox_save_abort(struct save **sv);

/* ---- mbox_folders.c ---- */
/* The file of a mailbox. */
int mbox_path(const struct store *s, struct span name, char **out,
    struct err *e);
/* The directory of its index: -1 in *out_fd for an index in memory, and,
 * without create, where there is none. */
int mbox_index_dir(const struct store *s, struct span name, bool create,
    int *out_fd, struct err *e);
int mbox_list_boxes(struct store *s, store_list_fn fn, void *arg,
    struct err *e);
int mbox_create(struct store *s, struct span name, struct err *e);
int mbox_create_parent(struct store *s, struct span name, struct err *e);
int mbox_remove(struct store *s, struct span name, struct err *e);
int mbox_rename(struct store *s, struct span from, struct span to,
    struct err *e);

#endif
