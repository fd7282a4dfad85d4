/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_CONF_CONF_IMPL_H
#define CHAPPE_CONF_CONF_IMPL_H

/* Shared by the files of lib/conf only. */

#include "lib/base/list.h"
#include "lib/base/table.h"
#include "lib/conf/conf.h"

/* One name: known by a row, set in a file, or both. */
struct conf_entry {
	char *name;
	const struct param *row; /* NULL: a user's own name */
	char *raw;               /* as set; NULL: the default counts */
	const char *file;        /* of raw; owned by the conf */
	unsigned line;
	char *computed; /* a default that is found out, not written */
	char *expanded; /* cache; NULL until asked for */
	bool referred;  /* some value says $name */
};

struct conf {
	char *dir;
	struct table entries;       /* name -> conf_entry */
	struct conf_entry **sorted; /* by name */
	size_t count, cap;
	char **files; /* names of files read */
	size_t file_count;
	char **retired; /* expanded values that may still be held */
	size_t retired_count;
};

/* Reads text as a main.cf of that name; for conf_load and fuzzing. */
int conf_read(struct conf *c, const char *file, struct span text,
    struct err *e);
struct conf_entry *conf_entry_get(const struct conf *c, struct span name);
/* The text that counts, unexpanded; never NULL for an entry with a row. */
const char *conf_entry_text(struct conf *c, struct conf_entry *entry);
/* The expanded value, cached. */
int conf_entry_value(struct conf *c, struct conf_entry *entry,
    const char **out, struct err *e);
/* Puts "FILE: line N: " in front. Always -1. */
int conf_entry_wrap(const struct conf_entry *entry, struct err *e);

/* Calls fn for each name that the text refers to; plain: "$name" rather
 * than "${name?...}", so an unknown one is likely a mistake. */
typedef void (*conf_ref_fn)(void *arg, struct span name, bool plain);
void conf_refs(struct span text, conf_ref_fn fn, void *arg);

/* A default without text, found out from the host; heap. */
char *conf_computed_default(struct conf *c, const char *name);

/* The heap text that users of a name get: the expanded one, but for myorigin
 * as a file name the first line of that file (Debian's /etc/mailname). */
char *conf_final_value(const char *name, const char *expanded);

/* Parses an expanded value by its row's type. */
union conf_parsed {
	bool yes;
	int64_t number;
	int word;
};
int conf_parse(const struct param *row, const char *text,
    union conf_parsed *out, struct err *e);

#endif
