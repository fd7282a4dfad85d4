/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAP_MAP_IMPL_H
#define CHAPPE_MAP_MAP_IMPL_H

/* Shared by the files of lib/map only: what a type of table provides. */

#include <sys/stat.h>
#include <time.h>

#include "lib/map/map.h"

struct map_ops {
	enum map_result (*get)(struct map *m, struct span key, struct buf *out,
	    struct err *e);
	/* NULL: can't be listed. */
	int (*each)(struct map *m, map_each_fn fn, void *arg, struct err *e);
	void (*free)(struct map *m);
};

/* The first member of each type's struct. */
struct map {
	const struct map_ops *ops;
	char *name;        /* "hash:/etc/aliases" */
	char *where;       /* of the last find; heap */
};

/* Each opens NAME, the part behind "type:". name is the whole spec. */
typedef int (*map_opener_fn)(const char *type, const char *name,
    struct map **out, struct err *e);
int map_open_index(const char *type, const char *name, struct map **out,
    struct err *e);
int map_open_texthash(const char *type, const char *name, struct map **out,
    struct err *e);
int map_open_inline(const char *type, const char *name, struct map **out,
    struct err *e);
int map_open_static(const char *type, const char *name, struct map **out,
    struct err *e);
int map_open_fail(const char *type, const char *name, struct map **out,
    struct err *e);
int map_open_cidr(const char *type, const char *name, struct map **out,
    struct err *e);
int map_open_pattern(const char *type, const char *name, struct map **out,
    struct err *e);
int map_open_unix(const char *type, const char *name, struct map **out,
    struct err *e);

/* Is there a table type of this name? */
bool map_type_known(struct span type);
/* Is it one whose tables are built (hash and its other spellings)? */
bool map_type_indexed(struct span type);

/* Remembers where the entry just found stands. */
void map_found_at(struct map *m, const char *file, unsigned line);

/* ---- a file that may change under a running daemon ---- */
struct map_file {
	char *path;
	struct stat seen; /* when it was last read */
	bool loaded;
	int64_t looked_ms; /* see map_clock_ms */
};
/* True when the file should be (re)read: never read, or it looks different.
 * Look-ups of the same tick of the clock share a look. */
bool map_file_stale(struct map_file *f);
/* The kernel's coarse clock, which ticks each 1 to 10 ms. */
int64_t map_clock_ms(void);

/* ---- the layout of an index entry (docs/FORMATS.md) ---- */
/* key \0format, value "1". */
extern const struct span map_index_format_key;
enum { MAP_INDEX_LINE = 4 }; /* bytes of line number before the value */

#endif
