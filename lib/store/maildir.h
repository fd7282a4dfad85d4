/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_STORE_MAILDIR_H
#define CHAPPE_STORE_MAILDIR_H

/*
 * Private to the Maildir driver. A mailbox is a directory with cur/, new/
 * and tmp/; the table of its files is filled from dovecot-uidlist and from
 * reading the directories, and the index is brought into line with it.
 */

#include <time.h>

#include "lib/store/driver.h"
#include "lib/store/uidlist.h"

struct maildir_file {
	uint32_t uid;    /* 0: none yet */
	uint32_t base_n; /* length of the base in name */
	char *name;      /* as last seen */
	bool in_new;     /* else in cur/ */
	bool seen;       /* by the last scan */
};

/* What a directory looked like when it was read. */
struct dir_stamp {
	struct timespec mtime;
	bool settled; /* its clock had moved on since: no change can hide */
};

struct maildir {
	char *path, *new_path, *cur_path;
	int fd, new_fd, cur_fd, tmp_fd;
	bool loaded; /* the table below is filled */
	struct maildir_file *files; /* by uid; without one at the end */
	uint32_t count, cap;
	uint32_t *slots; /* hash by base: index + 1, 0 free */
	uint32_t slot_count;
	struct uidlist_stamp list_stamp;
	uint32_t validity;
	char guid[33];
	struct dir_stamp new_stamp, cur_stamp;
	struct keyword_letters letters;
};

/* ---- maildir_files.c ---- */
void maildir_files_clear(struct maildir *m);
/* The file with the base (a name up to its colon), or NULL. */
struct maildir_file *maildir_files_find(struct maildir *m, struct span base);
/* The file with the uid, or NULL. */
struct maildir_file *maildir_files_uid(struct maildir *m, uint32_t uid);
/* Adds one that is not there; the pointer is good until the next addition. */
struct maildir_file *maildir_files_add(struct maildir *m, struct span name);
/* Drops those for which seen is false; order by uid. */
void maildir_files_settle(struct maildir *m);
void maildir_file_rename(struct maildir_file *f, struct span name);
struct span maildir_file_base(const struct maildir_file *f);
/* Reads new/ and cur/: sets seen, names and places, adds what is new with
 * uid 0. With again the marks of the scan before stay. */
int maildir_scan(struct maildir *m, bool again, struct err *e);
/* Did new/ or cur/ change, or may they have, since they were read? */
bool maildir_dirs_changed(const struct maildir *m);

/* ---- maildir_merge.c ---- */
int maildir_merge(struct mailbox *mb, struct err *e);
bool maildir_changed(struct mailbox *mb);
/* Gives uids to n base names (uids of entries are filled in) and writes them
 * to the list. Under the lock, after a merge, or when the index is known to
 * be in line with the list (maildir_list_current). */
int maildir_assign(struct mailbox *mb, struct uidlist_entry *entries,
    uint32_t n, struct err *e);
/* Is what the index knows still what the list says, with room for n more? */
bool maildir_list_current(struct mailbox *mb, uint32_t n);
/* Bytes with CRLF; reads the file unless its name tells. */
int maildir_file_size(int dir_fd, const char *name, uint64_t *out_size,
    int64_t *out_mtime, struct err *e);

/* ---- maildir_save.c ---- */
int maildir_save_begin(struct mailbox *mb, bool delivery, struct save **out,
    struct err *e);
int maildir_save_message(struct save *sv, const struct append_meta *meta,
    struct err *e);
int maildir_save_write(struct save *sv, struct span bytes, struct err *e);
int maildir_save_end(struct save *sv, struct err *e);
int maildir_save_commit(struct save **sv, uint32_t *out_uids,
    uint32_t *out_validity, struct err *e);
void maildir_save_abort(struct save **sv);

/* ---- maildir_folders.c ---- */
/* The directory of a mailbox below the root: "." or ".A.B". */
int maildir_folder(const struct store *s, struct span name, struct buf *out,
    struct err *e);
/* Makes cur/, new/ and tmp/ in a directory, durably. */
int maildir_make_dirs(int dir_fd, struct err *e);
int maildir_list(struct store *s, store_list_fn fn, void *arg,
    struct err *e);
int maildir_create(struct store *s, struct span name, struct err *e);
int maildir_remove(struct store *s, struct span name, struct err *e);
int maildir_rename(struct store *s, struct span from, struct span to,
    struct err *e);

#endif
