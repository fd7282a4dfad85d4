/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/mem.h"
#include "lib/mail/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_of(data, size);
	char name[DNS_NAME_MAX];
	size_t before = rest.n;

	while (rest.n > 0 && dns_name_parse(&rest, name)) {
		BUG_ON(strlen(name) > 253);
		BUG_ON(rest.n >= before);
		before = rest.n;
		for (const char *p = name; *p != '\0'; p++)
			BUG_ON(*p <= ' ' || *p > '~');
	}
	BUG_ON(rest.n > before);
	return 0;
}
