/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <string.h>

#include "lib/base/mem.h"
#include "lib/conf/master_cf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A file that is read has whole services; one that is not says why. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct master_service *list = NULL;
	struct arena a;
	struct err e = { .text = "" };

	arena_init(&a, 256 << 10);
	if (master_cf_parse("m.cf", span_of(data, size), &a, &list, &e) < 0)
		BUG_ON(strncmp(e.text, "m.cf: line ", 11) != 0);
	for (; list != NULL; list = list->next) {
		BUG_ON(list->name[0] == '\0' || list->program[0] == '\0');
		BUG_ON(list->line == 0 || strchr(list->program, '/') != NULL);
		for (const char **o = list->overrides; *o != NULL; o++)
			BUG_ON(strchr(*o, '=') == NULL || **o == '=');
	}
	arena_reset(&a);
	return 0;
}
