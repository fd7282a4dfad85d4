/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/common/tool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/mem.h"

#define DEFAULT_DIR "/etc/chappe"

static const char *name = "chappe";
static int fatal_status = 1;

void
tool_init(const char *argv0, int fatal)
{
	const char *slash = argv0 != NULL ? strrchr(argv0, '/') : NULL;
	int fd;

	do {
		fd = open("/dev/null", O_RDWR);
	} while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
	if (slash != NULL)
		name = slash + 1;
	else if (argv0 != NULL)
		name = argv0;
	fatal_status = fatal;
}

const char *
tool_name(void)
{
	return name;
}

static void say(const char *level, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));

static void
say(const char *level, const char *fmt, va_list ap)
{
	fprintf(stderr, "%s: %s: ", name, level);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void
tool_fatal(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("fatal", fmt, ap);
	va_end(ap);
	exit(fatal_status);
}

void
tool_warning(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say("warning", fmt, ap);
	va_end(ap);
}

const char *
tool_conf_dir(const char *option)
{
	struct span dir = span_str(option);

	if (option == NULL)
		option = getenv("CHAPPE_CONFIG");
	if (option == NULL || option[0] == '\0')
		option = getenv("MAIL_CONFIG");
	if (option == NULL || option[0] == '\0')
		return DEFAULT_DIR;
	dir = span_str(option);
	if (span_ends(dir, SPAN("/main.cf")))
		return span_dup(span_slice(dir, 0, dir.n - 8));
	return option;
}

struct conf *
tool_conf(const char *dir, struct common_conf *out)
{
	struct conf *c = NULL;
	struct err e;

	if (conf_load(dir, NULL, 0, &c, &e) != 0 ||
	    conf_fill(c, common_params, out, &e) != 0)
		tool_fatal("%s", e.text);
	return c;
}

void
tool_exec(const struct common_conf *common, const char *dir,
    const char *const argv[])
{
	char *path = mem_printf("%s/%s", common->command_directory, argv[0]);

	setenv("CHAPPE_CONFIG", dir, 1);
	/* execv takes pointers to bytes that it does not change. */
	execv(path, (char *const *)(uintptr_t)argv);
	tool_fatal("%s: %s", path, strerror(errno));
}
