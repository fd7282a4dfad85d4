/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * Runs a fuzz target over the files, and the files of the directories, named
 * on the command line: what libFuzzer would do with a corpus, for builds
 * without it. Exit status 0 when all ran, 1 when one could not be read or
 * there was none.
 */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned ran;

static int
run_file(const char *path, off_t size)
{
	uint8_t *data = mem_alloc((size_t)size);
	FILE *f = fopen(path, "rb");
	size_t n;

	if (f == NULL) {
		perror(path);
		mem_free(data);
		return 1;
	}
	n = fread(data, 1, (size_t)size, f);
	fclose(f);
	/* A copy of the exact size, so that reading past it is noticed. */
	data = mem_resize(data, n == 0 ? 1 : n, 1);
	LLVMFuzzerTestOneInput(data, n);
	mem_free(data);
	ran++;
	return 0;
}

static int
run_path(const char *path)
{
	struct dirent *e;
	struct stat st;
	int bad = 0;
	DIR *d;

	if (stat(path, &st) < 0) {
		perror(path);
		return 1;
	}
	if (!S_ISDIR(st.st_mode))
		return run_file(path, st.st_size);
	d = opendir(path);
	if (d == NULL) {
		perror(path);
		return 1;
	}
	while ((e = readdir(d)) != NULL) {
		char *name = mem_printf("%s/%s", path, e->d_name);

		if (e->d_name[0] != '.')
			bad |= run_path(name);
		mem_free(name);
	}
	closedir(d);
	return bad;
}

int
main(int argc, char *argv[])
{
	int bad = 0;

	for (int i = 1; i < argc; i++)
		bad |= run_path(argv[i]);
	printf("%u inputs\n", ran);
	return bad != 0 || ran == 0;
}
