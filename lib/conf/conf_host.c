/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/conf/conf_impl.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/map/text_file.h"

/* The first line of a file such as /etc/mailname, the domain of unqualified
 * senders on Debian; NULL where there is none. */
static char *
first_line(const char *path)
{
	struct buf text;
	char *name = NULL;

	if (text_file_read(path, 4096, &text, NULL, NULL) == 0) {
		const struct span all = buf_span(&text);
		const struct span line =
		    span_trim(span_slice(all, 0, span_chr(all, '\n')));
		if (line.n > 0 && span_chr(line, '\0') == SIZE_MAX)
			name = span_dup(line);
	}
	buf_release(&text);
	return name;
}

/* The host's name, made fully qualified: with the domain of /etc/mailname,
 * else "localdomain". DNS is not asked: a start must not hang on it. */
static char *
host_name(void)
{
	char host[HOST_NAME_MAX + 1] = "localhost";

	if (gethostname(host, sizeof(host) - 1) < 0 || host[0] == '\0')
		memcpy(host, "localhost", sizeof("localhost"));
	if (strchr(host, '.') != NULL)
		return mem_strdup(host);
	char *mail = first_line("/etc/mailname"), *full;
	const size_t n = strlen(host);
	if (mail == NULL || strchr(mail, '.') == NULL)
		full = mem_printf("%s.localdomain", host);
	else if (strncmp(mail, host, n) == 0 && mail[n] == '.')
		full = mem_strdup(mail);
	else
		full = mem_printf("%s.%s", host, mail);
	mem_free(mail);
	return full;
}

static char *
domain_name(struct conf *c)
{
	const char *host = conf_value(c, "myhostname");
	const char *dot = host == NULL ? NULL : strchr(host, '.');

	return mem_strdup(dot == NULL ? "localdomain" : dot + 1);
}

char *
conf_computed_default(struct conf *c, const char *name)
{
	if (strcmp(name, "myhostname") == 0)
		return host_name();
	if (strcmp(name, "mydomain") == 0)
		return domain_name(c);
	if (strcmp(name, "config_directory") == 0)
		return mem_strdup(c->dir);
	return mem_strdup("");
}

char *
conf_final_value(const char *name, const char *expanded)
{
	char *line = NULL;

	if (expanded[0] == '/' && strcmp(name, "myorigin") == 0)
		line = first_line(expanded);
	return line != NULL ? line : mem_strdup(expanded);
}
