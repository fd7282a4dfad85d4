/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/conf/conf.h"
#include "lib/conf/conf_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads the bytes as main.cf; then every value expands or says why not, a
 * value without "$" to itself, and checking never changes one. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct conf *c = conf_new("/nonexistent");
	struct err e = { .text = "" };

	if (conf_read(c, "main.cf", span_of(data, size), &e) < 0)
		BUG_ON(e.text[0] == '\0' || e.kind != ERR_PERM);
	conf_add_params(c, common_params);
	for (const char *name = conf_next(c, NULL); name != NULL;
	     name = conf_next(c, name)) {
		const char *raw = conf_raw(c, name);
		const char *value = conf_value(c, name);
		BUG_ON(raw == NULL || value == NULL);
		BUG_ON(strlen(value) > LIMIT_CONFIG_LINE);
		BUG_ON(strchr(raw, '$') == NULL &&
		       strcmp(name, "myorigin") != 0 &&
		       strcmp(raw, value) != 0);
		BUG_ON(conf_value(c, name) != value);
	}
	(void)conf_check(c, NULL, NULL, &e);
	conf_free(&c);
	return 0;
}
