/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_TESTS_UNIT_LIB_MAIL_CONF_DIR_H
#define CHAPPE_TESTS_UNIT_LIB_MAIL_CONF_DIR_H

/*
 * The configuration directory of a test: main.cf, and tables beside it that
 * parameters name without a path, for it is the working directory meanwhile.
 * Included after cmocka.h.
 */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/conf/conf.h"

struct conf_dir {
	char path[40];
	const char *files[8];
	size_t count;
};

/* name lives as long. */
static inline void
conf_dir_file(struct conf_dir *d, const char *name, const char *text)
{
	FILE *file = fopen(name, "w");

	assert_non_null(file);
	fputs(text, file);
	fclose(file);
	assert_true(d->count < COUNT_OF(d->files));
	d->files[d->count++] = name;
}

static inline void
conf_dir_open(struct conf_dir *d, const char *main_cf)
{
	*d = (struct conf_dir){ .path = "/tmp/chappe-conf-XXXXXX" };
	assert_non_null(mkdtemp(d->path));
	assert_int_equal(chdir(d->path), 0);
	conf_dir_file(d, "main.cf", main_cf);
}

/* With the parameters of lines, as -o has them, before those of main.cf;
 * common: NULL, or filled. */
static inline struct conf *
conf_dir_load(const struct conf_dir *d, const char *const *lines, size_t n,
    struct common_conf *common)
{
	struct conf *c = NULL;
	struct err e;

	if (conf_load(d->path, lines, n, &c, &e) != 0 ||
	    (common != NULL &&
		conf_fill(c, common_params, common, &e) != 0))
		fail_msg("%s", e.text);
	return c;
}

static inline void
conf_dir_close(struct conf_dir *d)
{
	for (size_t i = 0; i < d->count; i++)
		unlink(d->files[i]);
	assert_int_equal(chdir("/"), 0);
	assert_int_equal(rmdir(d->path), 0);
}

#endif
