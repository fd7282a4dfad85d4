/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_OS_FS_H
#define CHAPPE_OS_FS_H

/*
 * The durable steps: the only callers of write (to mail and queue files),
 * fsync, rename, link, unlink, truncate and directory fsync. All block; in a
 * daemon with a loop they are called from lib/os/work only. Each is a place
 * where a fault test hooks in: the environment variable CHAPPE_FAULT, read
 * once, is "N:kill" (SIGKILL to the process at its N-th step), "N:ERRNO"
 * (that step fails, e.g. 3:ENOSPC) or "N+:ERRNO" (from there on), or with
 * 1500ms for ERRNO (it takes that much longer), and CHAPPE_FAULT_PROC limits
 * it to one program name.
 *
 * Results are 0 or -1 with err, always temporary. After a failed fs_sync the
 * file's content is undefined (Linux drops the dirty pages): throw it away,
 * never sync again.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "lib/base/err.h"
#include "lib/base/span.h"

/* Creates dir/name for reading and writing (O_EXCL, O_NOFOLLOW, O_CLOEXEC). */
int fs_create(int dir_fd, const char *name, mode_t mode, int *out_fd,
    struct err *e);

/* Opens a regular file that is there, without following a last symlink or
 * waiting on a FIFO. flags: O_RDONLY or O_RDWR. */
int fs_open(int dir_fd, const char *name, int flags, int *out_fd,
    struct err *e);

/* Writes all bytes, at the file position, or at `at`. */
int fs_write(int fd, struct span bytes, struct err *e);
int fs_pwrite(int fd, struct span bytes, off_t at, struct err *e);
/* The pieces one after the other, from `at` on: at most FS_PIECES of them,
 * which are used up. One step. */
struct iovec;
enum { FS_PIECES = 1000 };
int fs_pwritev(int fd, struct iovec *pieces, size_t count, off_t at,
    struct err *e);

/* sync_file_range(2): the kernel begins to write these bytes to the disk, so
 * that fs_sync has less to wait for. It promises nothing. */
int fs_write_early(int fd, off_t at, size_t n, struct err *e);

/* fsync(2); fdatasync(2) for files whose size is already durable. */
int fs_sync(int fd, struct err *e);
int fs_datasync(int fd, struct err *e);

/* fsync of a directory: names made and removed in it become durable. */
int fs_sync_dir(int dir_fd, struct err *e);

/* syncfs(2): all of the file system that fd is on. Reports what went wrong
 * there since fd was opened. */
int fs_sync_all(int fd, struct err *e);

/* Is this, as far as can be seen, the same file with the same content? */
struct stat;
bool fs_same(const struct stat *a, const struct stat *b);

int fs_truncate(int fd, off_t size, struct err *e);
/* posix_fallocate(3): the file has that size, and its blocks are its own.
 * Nothing is written, so this is no step. */
int fs_allocate(int fd, off_t size, struct err *e);
int fs_rename(int from_dir, const char *from, int to_dir, const char *to,
    struct err *e);
/* The same, but fails with EEXIST (e->sysno) when the new name is taken. */
int fs_rename_new(int from_dir, const char *from, int to_dir, const char *to,
    struct err *e);
/* link(2): fails with EEXIST (e->sysno) when the name is taken. */
int fs_link(int from_dir, const char *from, int to_dir, const char *to,
    struct err *e);
/* A name that is not there (ENOENT) is a success. */
int fs_unlink(int dir_fd, const char *name, struct err *e);
int fs_mkdir(int dir_fd, const char *name, mode_t mode, struct err *e);
int fs_rmdir(int dir_fd, const char *name, struct err *e);

/* Makes a written file durable under a new name in one go: sync the file,
 * rename, sync the target directory. 0: survives power loss. */
int fs_commit(int fd, int from_dir, const char *from, int to_dir,
    const char *to, struct err *e);

/* Replaces dir/name whole: writes a temporary file beside it, fs_commit. */
int fs_replace(int dir_fd, const char *name, mode_t mode, struct span bytes,
    struct err *e);

/* Reads a whole file of at most max bytes into out (initialised by the
 * caller with a maximum of at least max). Not a durable step. */
struct buf;
int fs_read_file(int dir_fd, const char *name, size_t max, struct buf *out,
    struct err *e);

/* The number of steps this process has made. */
unsigned fs_steps(void);

#endif
