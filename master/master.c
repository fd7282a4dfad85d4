/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "master/master.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/daemon/logsink.h"
#include "lib/os/log.h"
#include "lib/os/notify.h"
#include "lib/os/proc.h"
#include "lib/os/shared_table.h"

enum { LOG_LEAVES_MS = 3000 };

/*
 * What root keeps: to bind low ports, to start daemons as their users and to
 * signal them, and to read configuration and keys of whatever owner. The
 * bounding set stays whole, because local, imap-spawn and auth are started as
 * root and find their own few capabilities in it.
 */
static const int capabilities[] = { CAP_NET_BIND_SERVICE, CAP_SETUID,
	CAP_SETGID, CAP_KILL, CAP_DAC_READ_SEARCH };

/* ---- one master for a queue ---- */
/* A master that was killed this very moment may not have ended yet. */
static bool
take_lock(int fd)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	for (int tries = 0; tries < 15; tries++) {
		if (fcntl(fd, F_OFD_SETLK, &lock) == 0)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

/* The lock is the truth, the number in the file only tells who holds it. */
static int
lock_pid_file(const char *queue, int *out_fd, bool *out_killed, struct err *e)
{
	char *path = mem_printf("%s/pid/master.pid", queue);
	const int fd =
	    open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
	char text[32] = "";
	int ret = 0;

	if (fd < 0) {
		ret = err_sys(e, "open %s", path);
	} else if (!take_lock(fd)) {
		const ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
		const struct span pid = span_trim(span_str(text));

		ret = err_set(e, ERR_TEMP, "4.3.2",
		    "the mail system is already running: PID: %s",
		    n > 0 ? log_quote(pid, sizeof(text)) : "?");
	} else {
		*out_killed = pread(fd, text, sizeof(text), 0) > 0;
		snprintf(text, sizeof(text), "%10d\n", (int)getpid());
		if (ftruncate(fd, 0) != 0 ||
		    pwrite(fd, text, strlen(text), 0) < 0)
			ret = err_sys(e, "write %s", path);
	}
	if (ret == 0)
		*out_fd = fd;
	if (ret != 0 && fd >= 0)
		close(fd);
	mem_free(path);
	return ret;
}

/* An empty file says that this end was no accident. */
static void
unlock_pid_file(struct master *m)
{
	if (m->lock_fd < 0)
		return;
	if (ftruncate(m->lock_fd, 0) != 0)
		log_warning(NULL, "pid file: %s", strerror(errno));
	close(m->lock_fd);
	m->lock_fd = -1;
}

/* ---- starting ---- */
void
master_started(struct master *m)
{
	ssize_t put;
	int null;

	m->started = true;
	if (m->ready_fd < 0)
		return;
	put = write(m->ready_fd, "OK", 2);
	(void)put;
	close(m->ready_fd);
	m->ready_fd = -1;
	/* Whoever started us goes on; do not keep a terminal or pipe. */
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (int fd = 0; fd <= 2 && null >= 0; fd++)
		dup2(null, fd);
	if (null >= 0)
		close(null);
}

/* The log daemon first: the others have things to say. */
static void
start_services(struct master *m)
{
	LIST_EACH(&m->config->plans, link)
	{
		struct plan *p = CONTAINER_OF(link, struct plan, link);

		service_new(m, p);
	}
	for (int round = 0; round < 2; round++) {
		LIST_EACH(&m->services, link)
		{
			struct service *s =
			    CONTAINER_OF(link, struct service, link);
			const bool log =
			    strcmp(s->plan->program->name, "log") == 0;

			if (log == (round == 0))
				service_tend(s);
		}
	}
}

/* ---- stopping ---- */
static bool
is_log(const struct service *s)
{
	return strcmp(s->plan->program->name, "log") == 0;
}

/* Calls fn for each living child, those of the log daemon apart. */
static unsigned
each_child(struct master *m, bool log, void (*fn)(struct child *c))
{
	unsigned n = 0;

	LIST_EACH(&m->services, link)
	{
		struct service *s = CONTAINER_OF(link, struct service, link);

		if (is_log(s) != log)
			continue;
		LIST_EACH(&s->children, one)
		{
			if (fn != NULL)
				fn(CONTAINER_OF(one, struct child, link));
			n++;
		}
	}
	return n;
}

static void
send_off(struct child *c)
{
	child_leave(c);
	child_hurry(c);
}

static void
kill_child(struct child *c)
{
	child_kill(c, SIGKILL);
}

void
master_quit_if_done(struct master *m)
{
	if (!m->stopping || each_child(m, false, NULL) > 0)
		return;
	if (!m->log_last) {
		m->log_last = true;
		timer_start(m->stop_timer, LOG_LEAVES_MS);
		each_child(m, true, child_leave);
	}
	if (each_child(m, true, NULL) == 0)
		loop_stop(m->loop);
}

static void
on_stop_timer(void *arg)
{
	struct master *m = arg;

	if (m->log_last)
		each_child(m, true, kill_child);
	else
		log_warning(NULL, "%u processes do not leave -- killed",
		    each_child(m, false, kill_child));
}

void
master_stop(struct master *m, bool at_once)
{
	if (!m->stopping) {
		m->stopping = true;
		log_info(NULL, at_once ? "aborting" : "stopping");
		notify_stopping();
		LIST_EACH(&m->services, link)
		service_tend(CONTAINER_OF(link, struct service, link));
		timer_start(m->stop_timer, STOP_MS);
	}
	each_child(m, false, at_once ? kill_child : send_off);
	master_quit_if_done(m);
}

/* ---- signals and timers ---- */
static void
on_sigchld(int signo, void *arg)
{
	int status;
	pid_t pid;

	(void)signo;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		child_ended(arg, pid, status);
}

static void
on_terminate(int signo, void *arg)
{
	log_info(NULL, "terminating on signal %d", signo);
	master_stop(arg, false);
}

static void
on_hangup(int signo, void *arg)
{
	struct err e;

	(void)signo;
	(void)reload(arg, NULL, &e); /* says itself what went wrong */
}

/* Enough waited for: say for whom in vain. */
static void
on_settle_timer(void *arg)
{
	struct master *m = arg;

	LIST_EACH(&m->services, link)
	{
		struct service *s = CONTAINER_OF(link, struct service, link);

		if (!service_settled(s))
			log_warning(NULL, "service %s: not ready after %d s",
			    s->plan->name, START_MS / 1000);
	}
	settle(m);
}

static void
on_keys_timer(void *arg)
{
	struct master *m = arg;

	keys_check_all(m);
	keys_watch(m);
	timer_start(m->keys_timer, KEYS_CHECK_MS);
}

static void
make_timers(struct master *m)
{
	m->settle_timer = timer_new(m->loop, on_settle_timer, m);
	m->stop_timer = timer_new(m->loop, on_stop_timer, m);
	m->keys_timer = timer_new(m->loop, on_keys_timer, m);
	timer_start(m->settle_timer, START_MS);
	timer_start(m->keys_timer, KEYS_CHECK_MS);
}

/* ---- the whole ---- */
/* The system's own configuration is for root; so nobody gets a suite that
 * looks like the host's and is not. */
static int
check_directory(const char *dir, char real[PATH_MAX], struct err *e)
{
	if (realpath(dir, real) == NULL)
		return err_sys(e, "configuration directory %s", dir);
	if (!priv_is_root() && strcmp(real, "/etc/chappe") == 0)
		return err_set(e, ERR_PERM, "5.3.5",
		    "the system's own configuration %s is for root only", real);
	return 0;
}

/* Processes of a master that was killed notice it and let go of the ports;
 * give them a moment. */
static int
bind_listeners(struct master *m, bool predecessor_killed, struct err *e)
{
	const struct timespec pause = { .tv_nsec = 20000000 };
	int tries = predecessor_killed ? 100 : 1;

	for (;;) {
		if (listeners_bind(m, m->config, e) == 0)
			return 0;
		if (e->sysno != EADDRINUSE || --tries == 0)
			return -1;
		nanosleep(&pause, NULL);
	}
}

static int
prepare(struct master *m, struct err *e)
{
	static char real[PATH_MAX], tag[128];
	bool killed = false;

	if (check_directory(m->dir, real, e) != 0)
		return -1;
	m->dir = real;
	if (config_load(m->dir, &m->config, e) != 0)
		return -1;
	snprintf(tag, sizeof(tag), "%s/master", m->config->common.syslog_name);
	log_set_tag(tag);
	umask(022);
	if (tree_make(m->config, m->root, e) != 0 ||
	    (m->root && tree_make_logs(m->config, e) != 0) ||
	    lock_pid_file(m->config->common.queue_directory, &m->lock_fd,
		&killed, e) != 0 ||
	    bind_listeners(m, killed, e) != 0 ||
	    shared_table_create(&m->shared_fd, e) != 0)
		return -1;
	proc_raise_files(NULL);
	if (priv_not_dumpable(e) != 0)
		return -1;
	return m->root
		   ? priv_limit_caps(capabilities, COUNT_OF(capabilities), e)
		   : 0;
}

static int
serve(struct master *m, struct err *e)
{
	m->loop = loop_new();
	make_timers(m);
	if (stderr_start(m, e) != 0 || admin_start(m, e) != 0 ||
	    logsink_start(m->config->common.queue_directory, "master", e) != 0)
		return -1;
	logsink_loop(m->loop);
	loop_signal(m->loop, SIGCHLD, on_sigchld, m);
	loop_signal(m->loop, SIGTERM, on_terminate, m);
	loop_signal(m->loop, SIGINT, on_terminate, m);
	loop_signal(m->loop, SIGHUP, on_hangup, m);
	log_info(NULL, "daemon started -- version %s, configuration %s",
	    m->config->common.mail_version, m->dir);
	if (!m->root)
		log_info(NULL,
		    "not started as root: a private instance, "
		    "all processes run as user %u",
		    (unsigned)getuid());
	config_warn(m->config);
	tickets_start(m);
	start_services(m);
	keys_watch(m);
	settle(m);
	loop_run(m->loop);
	return 0;
}

static void
release(struct master *m)
{
	struct list *link;

	admin_stop(m);
	while ((link = list_first(&m->services)) != NULL) {
		struct service *s = CONTAINER_OF(link, struct service, link);

		service_free(&s);
	}
	LIST_EACH(&m->listeners, l)
	CONTAINER_OF(l, struct listener, link)->wanted = false;
	listeners_trim(m);
	logsink_stop();
	timer_free(&m->settle_timer);
	timer_free(&m->stop_timer);
	timer_free(&m->keys_timer);
	tickets_stop(m);
	watch_free(&m->stderr_watch);
	watch_free(&m->inotify);
	loop_free(&m->loop);
	config_free(&m->config);
	unlock_pid_file(m);
}

/* chappe check: all faults that can be found without starting anything. */
static void
print_fault(void *arg, const struct err *e)
{
	unsigned *faults = arg;

	fprintf(stderr, "%s\n", e->text);
	++*faults;
}

static void
check_plan(const struct plan *p, unsigned *faults)
{
	struct err e;

	if (access(p->path, X_OK) != 0) {
		err_sys(&e, "%s: line %u: %s", p->file, p->line, p->path);
		print_fault(faults, &e);
	}
	if (keys_verify(p, &e) != 0)
		print_fault(faults, &e);
}

/* What the programs find themselves: each fault once, though several services
 * have it. */
static void
check_programs(
    const struct config *config, const char *dir, unsigned *faults)
{
	struct buf said, one;
	struct err e;

	buf_init(&said, 1 << 20);
	buf_init(&one, 1 << 16);
	LIST_EACH(&config->plans, link)
	{
		const struct plan *p = CONTAINER_OF(link, struct plan, link);

		buf_reset(&one);
		if (access(p->path, X_OK) != 0)
			continue; /* said already */
		if (child_check(p, dir, &one, &e) != 0)
			print_fault(faults, &e);
		if (one.n == 0 ||
		    span_find(buf_span(&said), buf_span(&one)) != SIZE_MAX)
			continue;
		buf_add(&said, buf_span(&one));
		fwrite(one.p, 1, one.n, stderr);
		++*faults;
	}
	buf_release(&said);
	buf_release(&one);
}

static int
check_only(const char *dir)
{
	struct config *config = NULL;
	struct conf *c = NULL;
	unsigned faults = 0;
	char real[PATH_MAX];
	struct err e;

	if (check_directory(dir, real, &e) != 0 ||
	    conf_load(real, NULL, 0, &c, &e) != 0) {
		print_fault(&faults, &e);
		return EXIT_FAILURE;
	}
	programs_add_params(c);
	if (conf_check(c, print_fault, &faults, &e) == 0 &&
	    config_load(real, &config, &e) != 0)
		print_fault(&faults, &e);
	if (config != NULL)
		LIST_EACH(&config->plans, link)
	check_plan(CONTAINER_OF(link, struct plan, link), &faults);
	/* Else they would all repeat it. */
	if (config != NULL && faults == 0)
		check_programs(config, real, &faults);
	config_free(&config);
	conf_free(&c);
	return faults > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static noreturn void
usage(void)
{
	fprintf(stderr,
	    "usage: master -c configuration-directory [-r fd | -t]\n"
	    "chappe start, or chappe start-fg, starts it.\n");
	exit(64);
}

int
main(int argc, char *argv[])
{
	static struct master the_master;
	struct master *m = &the_master;
	struct err e;
	bool test = false;
	uint64_t fd;
	int c;

	m->lock_fd = m->ready_fd = m->inotify_fd = m->admin_fd = -1;
	m->root = priv_is_root();
	list_init(&m->services);
	list_init(&m->listeners);
	list_init(&m->keys);
	list_init(&m->waiting);
	log_set_tag("postfix/master");
	while ((c = getopt(argc, argv, "c:r:t")) != -1) {
		if (c == 'c')
			m->dir = optarg;
		else if (c == 't')
			test = true;
		else if (c == 'r' && span_u64(span_str(optarg), 1000, &fd))
			m->ready_fd = (int)fd;
		else
			usage();
	}
	if (m->dir == NULL || optind != argc)
		usage();
	if (test)
		return check_only(m->dir);
	if (m->ready_fd >= 0)
		fcntl(m->ready_fd, F_SETFD, FD_CLOEXEC);
	if (prepare(m, &e) != 0 || serve(m, &e) != 0) {
		failure_report(m->dir, e.text);
		unlock_pid_file(m);
		return EXIT_FAILURE;
	}
	release(m);
	return EXIT_SUCCESS;
}
