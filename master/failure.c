/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "master/master.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "lib/os/log.h"

/* The log daemon does not run yet, so the one line is written here, in the
 * shape that it would have. */
static void
append(struct conf *c, const char *path, const char *text)
{
	const int fd = open(
	    path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
	const time_t now = (time_t)(clock_wall_us() / 1000000);
	char stamp[32], host[256] = "localhost";
	struct priv_user owner;
	struct tm tm;
	gid_t group;

	if (fd < 0)
		return;
	/* The log daemon must be able to go on with a file made here. */
	if (priv_is_root() &&
	    priv_lookup(conf_value(c, "log_owner"), &owner, NULL) == 0 &&
	    priv_lookup_group(conf_value(c, "admin_group"), &group, NULL) ==
		0 &&
	    fchown(fd, owner.uid, group) != 0)
		fprintf(stderr, "%s: owner not changed\n", path);
	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%b %e %H:%M:%S", &tm);
	gethostname(host, sizeof(host) - 1);
	host[strcspn(host, ".")] = '\0';
	dprintf(fd, "%s %s %s[%d]: fatal: %s\n", stamp, host, log_tag(),
	    (int)getpid(), text);
	close(fd);
}

static void
to_syslog(const char *text)
{
	openlog(log_tag(), LOG_PID, LOG_MAIL);
	syslog(LOG_CRIT, "fatal: %s", text);
	closelog();
}

void
failure_report(const char *dir, const char *text)
{
	struct conf *c = NULL;
	const char *path = NULL;

	fprintf(stderr, "%s[%d]: fatal: %s\n", log_tag(), (int)getpid(), text);
	/* Whatever is wrong with the configuration, where the log is may
	 * well be legible. */
	if (conf_load(dir, NULL, 0, &c, NULL) == 0) {
		programs_add_params(c);
		path = conf_value(c, "maillog_file");
	}
	if (path != NULL && path[0] != '\0')
		append(c, path, text);
	else
		to_syslog(text);
	conf_free(&c);
}
