/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/daemon/daemon.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/daemon/daemon_impl.h"
#include "lib/daemon/logsink.h"
#include "lib/os/log.h"

enum { CAPS_MAX = 16, EXIT_START = 1 };

/* ---- the steps, in the order of daemon_main ---- */

static int
configure(struct daemon *d, struct err *e)
{
	const struct daemon_options *o = &d->options;

	if (conf_load(o->conf_dir, o->overrides, o->override_count, &d->conf,
		e) != 0)
		return -1;
	programs_add_params(d->conf);
	if (d->spec->params != NULL)
		conf_add_params(d->conf, d->spec->params);
	if (conf_fill(d->conf, common_params, &d->common, e) != 0)
		return -1;
	if (d->spec->params != NULL &&
	    conf_fill(d->conf, d->spec->params, d->spec->conf, e) != 0)
		return -1;
	return d->spec->verify != NULL ? d->spec->verify(d, e) : 0;
}

static int
log_to_ring(struct daemon *d, struct err *e)
{
	char tag[128];

	snprintf(tag, sizeof(tag), "%s/%s", d->common.syslog_name,
	    d->spec->name);
	log_set_tag(tag);
	log_set_debug(d->options.debug != NULL ? d->options.debug :
	    d->common.debug_classes);
	return logsink_start(d->common.queue_directory, d->options.service,
	    e);
}

static int
inherit(struct daemon *d, struct err *e)
{
	const size_t count = d->options.listener_count;
	struct rlimit files;
	struct peer master;
	struct stat st;

	for (int fd = CONTROL_FD; fd <= CONTROL_FD + (int)count; fd++) {
		if (fstat(fd, &st) != 0 || !S_ISSOCK(st.st_mode))
			return err_set(e, ERR_PERM, "5.3.5",
			    "descriptor %d is no socket: this program is "
			    "started by master only", fd);
		if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 ||
		    sock_set_nonblock(fd, true, e) != 0)
			return err_sys(e, "descriptor %d", fd);
	}
	if (d->options.shared_fd >= 0 &&
	    fcntl(d->options.shared_fd, F_SETFD, FD_CLOEXEC) != 0)
		return err_sys(e, "descriptor %d", d->options.shared_fd);
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	umask(0007);
	if (sock_peer(CONTROL_FD, &master, e) != 0)
		return -1;
	d->root = master.uid == 0;
	return daemon_control_early(d, e);
}

/* Who may send us requests: the users of all programs. */
static int
trust_our_users(struct daemon *d, struct err *e)
{
	uid_t uids[32];
	size_t count = 0;

	for (const struct program *p = programs; p->name != NULL; p++) {
		struct priv_user user;

		if (p->user_param == NULL)
			continue;
		if (priv_lookup(conf_value(d->conf, p->user_param), &user,
			e) != 0)
			return -1;
		BUG_ON(count == COUNT_OF(uids));
		uids[count++] = user.uid;
	}
	if (d->common.auth_owner[0] != '\0') {
		struct priv_user user;

		if (priv_lookup(d->common.auth_owner, &user, e) != 0)
			return -1;
		uids[count++] = user.uid;
	}
	server_allow_uids(uids, count);
	return 0;
}

/* master has set the user already; a program that stays root keeps only the
 * capabilities of its row. */
static int
reduce(struct daemon *d, struct err *e)
{
	size_t count = 0;

	if (d->root && trust_our_users(d, e) != 0)
		return -1;
	if (d->program->user_param != NULL && priv_is_root())
		return err_set(e, ERR_PERM, "5.3.5",
		    "%s must not run as root", d->spec->name);
	if (d->program->user_param == NULL && priv_is_root()) {
		while (d->program->caps != NULL &&
		    d->program->caps[count] >= 0)
			count++;
		if (priv_keep_caps(d->program->caps, count, e) != 0)
			return -1;
	}
	if (priv_no_new_privs(e) != 0)
		return -1;
	return priv_not_dumpable(e);
}

static int
confine(struct daemon *d, struct err *e)
{
	struct sandbox *s = sandbox_new();
	bool partial;

	sandbox_dir(s, d->options.conf_dir, SANDBOX_READ);
	sandbox_dir(s, "/etc", SANDBOX_READ);
	sandbox_dir(s, "/usr", SANDBOX_READ);
	sandbox_dir(s, "/lib", SANDBOX_READ);
	sandbox_dir(s, "/proc", SANDBOX_READ);
	sandbox_dir(s, "/dev", SANDBOX_READ | SANDBOX_WRITE);
	if (d->spec->sandbox != NULL)
		d->spec->sandbox(d, s);
	if (sandbox_apply(&s, &partial, e) != 0)
		return -1;
	if (partial)
		log_info(NULL, "this kernel has no Landlock: "
		    "file access is not confined");
	return 0;
}

static int
prepare(struct daemon *d, int argc, char *argv[], struct err *e)
{
	if (daemon_options_parse(argc, argv, &d->options, e) != 0 ||
	    configure(d, e) != 0)
		return -1;
	if (d->options.test)
		return d->spec->check != NULL ? d->spec->check(d, e) : 0;
	if (log_to_ring(d, e) != 0 || inherit(d, e) != 0 ||
	    reduce(d, e) != 0 || confine(d, e) != 0)
		return -1;
	return 0;
}

static void
on_terminate(int signo, void *arg)
{
	(void)signo;
	daemon_leave(arg);
}

static void
on_ignored(int signo, void *arg)
{
	(void)signo;
	(void)arg;
}

static int
serve(struct daemon *d, struct err *e)
{
	d->loop = loop_new();
	loop_signal(d->loop, SIGTERM, on_terminate, d);
	/* From a terminal the interrupt goes to all: master decides. */
	loop_signal(d->loop, SIGINT, on_ignored, d);
	loop_signal(d->loop, SIGHUP, on_ignored, d);
	logsink_loop(d->loop);
	if (d->spec->start != NULL && d->spec->start(d, e) != 0)
		return -1;
	daemon_listen_start(d);
	daemon_control_start(d);
	daemon_control_ready(d);
	loop_run(d->loop);
	return 0;
}

int
daemon_main(const struct daemon_spec *spec, int argc, char *argv[])
{
	static struct daemon the_daemon;
	struct daemon *d = &the_daemon;
	struct err e;

	d->spec = spec;
	d->slot = -1;
	list_init(&d->early);
	d->program = program_find(spec->name);
	BUG_ON(d->program == NULL);
	log_set_tag(spec->name);
	const int rc = prepare(d, argc, argv, &e);

	if (d->options.test) {
		if (rc != 0)
			fprintf(stderr, "%s\n", e.text);
		return rc != 0 ? EXIT_START : 0;
	}
	if (rc != 0)
		log_fatal(EXIT_START, "%s", e.text);
	if (spec->run != NULL)
		return spec->run(d);
	if (serve(d, &e) != 0)
		log_fatal(EXIT_START, "%s", e.text);
	return d->status;
}

/* ---- what a daemon asks ---- */

struct loop *
daemon_loop(const struct daemon *d)
{
	return d->loop;
}

struct conf *
daemon_conf(const struct daemon *d)
{
	return d->conf;
}

const struct common_conf *
daemon_common(const struct daemon *d)
{
	return &d->common;
}

const char *
daemon_service(const struct daemon *d)
{
	return d->options.service;
}

char *const *
daemon_args(const struct daemon *d)
{
	return d->options.args;
}

bool
daemon_private(const struct daemon *d)
{
	return !d->root;
}

bool
daemon_leaving(const struct daemon *d)
{
	return d->leaving;
}

int
daemon_control_fd(const struct daemon *d)
{
	(void)d;
	return CONTROL_FD;
}

const struct daemon_listener *
daemon_listeners(const struct daemon *d, size_t *out_count)
{
	*out_count = d->options.listener_count;
	return d->options.listeners;
}

int
daemon_slot(const struct daemon *d)
{
	return d->slot;
}

int
daemon_fill_with(const struct daemon *d, const char *setting, void *out,
    struct err *e)
{
	const struct daemon_options *o = &d->options;
	const char *all[OVERRIDES_MAX + 1];
	struct conf *c;

	memcpy(all, o->overrides, sizeof(o->overrides));
	all[o->override_count] = setting;
	if (conf_load(o->conf_dir, all, o->override_count + 1, &c, e) != 0)
		return -1;
	programs_add_params(c);
	conf_add_params(c, d->spec->params);
	return conf_fill(c, d->spec->params, out, e);
}

int
daemon_shared_fd(const struct daemon *d)
{
	return d->options.shared_fd;
}

const char *
daemon_socket(const struct daemon *d, const char *name, bool public_,
    char out[LIMIT_PATH])
{
	snprintf(out, LIMIT_PATH, "%s/%s/%s", d->common.queue_directory,
	    public_ ? "public" : "private", name);
	return out;
}

struct client *
daemon_connect(struct daemon *d, const char *name)
{
	char path[LIMIT_PATH];
	const struct client_options o = {
		.path = daemon_socket(d, name, false, path),
		.peer = name,
	};

	return client_new(d->loop, &o);
}

void
daemon_sandbox_file(struct sandbox *s, const char *path, int rights)
{
	const char *slash = strrchr(path, '/');
	char dir[LIMIT_PATH];

	if (path[0] != '/')
		return;
	snprintf(dir, sizeof(dir), "%.*s",
	    slash == path ? 1 : (int)(slash - path), path);
	sandbox_dir(s, dir, rights);
}

void
daemon_exit(struct daemon *d, int status)
{
	d->status = status;
	loop_stop(d->loop);
}
