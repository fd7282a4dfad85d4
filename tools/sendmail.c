/* SPDX-License-Identifier: GPL-3.0-or-later */

/*
 * sendmail, mailq and newaliases: what local programs hand mail over with.
 * It has no rights of its own: the message goes over public/submission, where
 * the suite sees who calls, or, while the suite is down, as a file into
 * maildrop/. Every failure gives status 75.
 */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/base/span.h"
#include "lib/mail/maildrop.h"
#include "tools/common/sendmail.h"

enum { STATUS_FAILED = 75 };

struct place {
	const char *dir;
	struct conf *conf;
	struct common_conf common;
};

static char *
submission_path(const struct place *p)
{
	return mem_printf("%s/public/submission", p->common.queue_directory);
}

static int
spool(const struct place *p, const struct sendmail_message *m,
    struct err *e)
{
	char *dir = mem_printf("%s/maildrop", p->common.queue_directory);
	char *name = NULL;
	int fd, result = -1;

	if (!maildrop_links_safe())
		return err_set(e, ERR_TEMP, "4.3.5",
		    "fs.protected_hardlinks is 0: maildrop is closed");
	fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(e, "%s", dir);
	result = maildrop_write(fd, &m->env, m->fd, m->size, &name, e);
	close(fd);
	mem_free(name);
	mem_free(dir);
	return result;
}

static int
deliver(const struct sendmail_options *o, const struct place *p)
{
	struct sendmail_message m;
	struct err why = { 0 }, e = { 0 };

	signal(SIGPIPE, SIG_IGN);
	sendmail_read(o, p->conf, &p->common, &m);
	switch (sendmail_submit(submission_path(p), &m, &why)) {
	case SENDMAIL_SENT:
		return 0;
	case SENDMAIL_REFUSED:
		tool_fatal("%s", why.text);
	case SENDMAIL_DOWN:
		if (spool(p, &m, &e) == 0)
			return 0;
		tool_fatal("mail system is down (%s), and no spooling: %s",
		    why.text, e.text);
	}
	return STATUS_FAILED;
}

static int
alias_database(const struct sendmail_options *o, const struct place *p)
{
	struct span rest = span_str(o->aliases != NULL ? o->aliases :
	    p->common.alias_database);
	const char *argv[20] = { "postalias", "--" };
	struct span word;
	size_t n = 2;

	while (span_token(&rest, ", \t\n", &word)) {
		if (n == COUNT_OF(argv) - 1)
			tool_fatal("alias_database has too many tables");
		argv[n++] = span_dup(word);
	}
	if (n == 2)
		return 0; /* nothing to build */
	tool_exec(&p->common, p->dir, argv);
}

static int
run(const struct sendmail_options *o, const struct place *p)
{
	const char *const list[] = { "postqueue", "-p", NULL };
	const char *const flush[] = { "postqueue", "-f", NULL };
	const char *const id[] = { "postqueue", "-i", o->flush, NULL };
	const char *const site[] = { "postqueue", "-s", o->flush, NULL };
	const char *const start[] = { "chappe", "start", NULL };
	struct err e;

	switch (o->mode) {
	case SENDMAIL_DELIVER:
		return deliver(o, p);
	case SENDMAIL_SMTP:
		if (sendmail_join(submission_path(p), &e) != 0)
			tool_fatal("%s", e.text);
		return 0;
	case SENDMAIL_LIST:
		tool_exec(&p->common, p->dir, list);
	case SENDMAIL_ALIASES:
		return alias_database(o, p);
	case SENDMAIL_DAEMON:
		tool_exec(&p->common, p->dir, start);
	case SENDMAIL_FLUSH:
		tool_exec(&p->common, p->dir, flush);
	case SENDMAIL_FLUSH_ID:
		tool_exec(&p->common, p->dir, id);
	case SENDMAIL_FLUSH_SITE:
		tool_exec(&p->common, p->dir, site);
	case SENDMAIL_NOTHING:
		return 0;
	}
	return STATUS_FAILED;
}

int
main(int argc, char *argv[])
{
	struct sendmail_options options;
	struct place place;

	tool_init(argv[0], STATUS_FAILED);
	/* Whatever a caller left open is no concern of the commands that may
	 * run in our place. */
	close_range(3, 99, 0);
	sendmail_options(argc, argv, &options);
	if (options.mode == SENDMAIL_NOTHING)
		return 0;
	place.dir = tool_conf_dir(options.conf_dir);
	place.conf = tool_conf(place.dir, &place.common);
	return run(&options, &place);
}
