/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/ipc/channel.h"
#include "lib/mail/trace.h"
#include "lib/os/proc.h"
#include "tools/common/explain.h"
#include "tools/common/password_tool.h"
#include "tools/common/tool.h"

enum {
	ANSWER_MS = 30000, /* a reload waits for the new processes */
	STOP_MS = 40000,
	POLL_MS = 20,
	USAGE = 64,
};

struct env {
	const char *dir;
	struct conf *conf;
	struct common_conf common;
};

/* ---- the pid file ---- */
/* The pid of the running master, or 0. Its lock tells, not the number. */
static pid_t
running(const struct env *env)
{
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
	char *path =
	    mem_printf("%s/pid/master.pid", env->common.queue_directory);
	const int fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[32] = "";
	uint64_t pid = 0;

	mem_free(path);
	if (fd < 0)
		return 0;
	if (fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK &&
	    pread(fd, text, sizeof(text) - 1, 0) > 0)
		span_u64(span_trim(span_str(text)), INT32_MAX, &pid);
	close(fd);
	return (pid_t)pid;
}

static bool
wait_until_gone(const struct env *env, int ms)
{
	const struct timespec pause = { .tv_nsec = POLL_MS * 1000000 };

	for (; ms > 0; ms -= POLL_MS) {
		if (running(env) == 0)
			return true;
		nanosleep(&pause, NULL);
	}
	return false;
}

/* ---- asking ---- */
static int
connect_to(const struct env *env, const char *name, struct err *e)
{
	char *path =
	    mem_printf("%s/public/%s", env->common.queue_directory, name);
	int fd = -1;

	if (sync_connect(path, ANSWER_MS, &fd, e) != 0)
		fd = -1;
	mem_free(path);
	return fd;
}

/* Sends m to a service and waits for its answer. */
static int
ask(const struct env *env, const char *name, struct msg_out *m,
    struct buf *store, struct msg_in *out, struct err *e)
{
	const int fd = connect_to(env, name, e);
	int ret;

	if (fd < 0)
		return -1;
	buf_init(store, LIMIT_IPC_MESSAGE);
	ret = sync_call(fd, m, store, out, ANSWER_MS, e);
	close(fd);
	if (ret != 0)
		buf_release(store);
	return ret;
}

/* As ask, for requests that are answered with MSG_OK alone. */
static int
demand(
    const struct env *env, const char *name, struct msg_out *m, struct err *e)
{
	struct msg_in in;
	struct buf store;

	if (ask(env, name, m, &store, &in, e) != 0)
		return -1;
	msg_in_release(&in);
	buf_release(&store);
	return 0;
}

static void
need_running(const struct env *env)
{
	if (running(env) == 0)
		tool_fatal("the mail system is not running");
}

/* ---- start ---- */
static noreturn void
exec_master(const struct env *env, const char *option, const char *value)
{
	char *path = mem_printf("%s/master", env->common.daemon_directory);

	execl(path, path, "-c", env->dir, option, value, (char *)NULL);
	tool_fatal("%s: %s", path, strerror(errno));
}

static int
start_fg(const struct env *env, char *args[])
{
	(void)args;
	exec_master(env, NULL, NULL);
}

static int
check(const struct env *env, char *args[])
{
	(void)args;
	exec_master(env, "-t", NULL);
}

/* In the child: master, with a pipe on which it says that it is ready. */
static noreturn void
become_master(const struct env *env, int ready)
{
	const int null = open("/dev/null", O_RDWR);
	char number[16];

	setsid();
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	if (null > 2)
		close(null);
	fcntl(ready, F_SETFD, 0);
	snprintf(number, sizeof(number), "%d", ready);
	exec_master(env, "-r", number);
}

static int
start(const struct env *env, char *args[])
{
	char answer[2], text[PROC_STATUS_TEXT];
	int ready[2], status;
	struct err e;
	pid_t pid;
	ssize_t n;

	(void)args;
	if (pipe2(ready, O_CLOEXEC) != 0)
		tool_fatal("pipe: %s", strerror(errno));
	pid = fork();
	if (pid < 0)
		tool_fatal("fork: %s", strerror(errno));
	if (pid == 0)
		become_master(env, ready[1]);
	close(ready[1]);
	do
		n = read(ready[0], answer, sizeof(answer));
	while (n < 0 && errno == EINTR);
	if (n == sizeof(answer))
		return EXIT_SUCCESS;
	/* master has said why on the stderr that we share; if it could not,
	 * its status is all there is. */
	if (proc_wait(pid, &status, &e) != 0)
		tool_fatal("%s", e.text);
	proc_status_text(status, text);
	tool_fatal("the mail system did not start (master: %s)", text);
}

/* ---- stop ---- */
static int
stop_how(const struct env *env, const char *how)
{
	struct msg_out m;
	struct err e;
	int ret;

	need_running(env);
	msg_begin(&m, MSG_MASTER_STOP, 1, 0);
	msg_put_str(&m, F_OP, how);
	ret = demand(env, "master", &m, &e);
	msg_out_release(&m);
	if (ret != 0)
		tool_fatal("%s", e.text);
	if (!wait_until_gone(env, STOP_MS))
		tool_fatal("master does not end: PID: %d", (int)running(env));
	return EXIT_SUCCESS;
}

static int
stop(const struct env *env, char *args[])
{
	(void)args;
	return stop_how(env, "stop");
}

static int
abort_now(const struct env *env, char *args[])
{
	(void)args;
	return stop_how(env, "abort");
}

/* ---- reload, flush, status ---- */
static int
reload(const struct env *env, char *args[])
{
	struct msg_out m;
	struct err e;
	int ret;

	need_running(env);
	msg_begin(&m, MSG_MASTER_RELOAD, 1, 0);
	if (args[0] != NULL)
		msg_put_str(&m, F_SERVICE, args[0]);
	ret = demand(env, "master", &m, &e);
	msg_out_release(&m);
	if (ret != 0)
		tool_fatal("%s", e.text);
	return EXIT_SUCCESS;
}

static int
flush(const struct env *env, char *args[])
{
	struct msg_out m;
	struct err e;
	int ret;

	(void)args;
	need_running(env);
	msg_begin(&m, MSG_QUEUE_FLUSH, 1, 0);
	ret = demand(env, "qmgr", &m, &e);
	msg_out_release(&m);
	if (ret != 0)
		tool_fatal("%s", e.text);
	return EXIT_SUCCESS;
}

static void
print_lines(struct msg_in *in)
{
	struct span line;
	size_t cursor = 0;

	while (msg_next_value(in, F_LINE, &cursor, &line))
		printf("%.*s\n", SPAN_FMT(line));
}

/* The processes too, for those who may ask. */
static int
status(const struct env *env, char *args[])
{
	const pid_t pid = running(env);
	struct msg_in in;
	struct msg_out m;
	struct buf store;
	struct err e;

	(void)args;
	if (pid == 0) {
		printf("the mail system is not running\n");
		return EXIT_FAILURE;
	}
	printf("the mail system is running: PID: %d\n", (int)pid);
	msg_begin(&m, MSG_MASTER_STATUS, 1, 0);
	if (ask(env, "master", &m, &store, &in, &e) == 0) {
		print_lines(&in);
		msg_in_release(&in);
		buf_release(&store);
	} else if (e.sysno != EACCES) {
		tool_warning("%s", e.text);
	}
	msg_out_release(&m);
	return EXIT_SUCCESS;
}

/* ---- trace ---- */
/* A queue id, a trace id (16 hexadecimal digits) or an address. */
static struct trace_query
query_of(const char *what)
{
	const struct span s = span_str(what);
	struct trace_query q = { .trace = 0 };

	if (span_chr(s, '@') != SIZE_MAX)
		q.address = s;
	else if (s.n != 16 || !span_hex64(s, &q.trace))
		q.qid = s;
	return q;
}

/* Whoever may read the store needs no log daemon: the suite may be down. */
static int
search_store(const struct env *env, const struct trace_query *q,
    struct buf *out, struct err *e)
{
	char *path =
	    mem_printf("%s/trace", env->common.queue_directory);
	const int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int ret;

	mem_free(path);
	if (dir < 0)
		return -1;
	ret = trace_search(dir, q, out, e);
	close(dir);
	return ret;
}

static int
trace(const struct env *env, char *args[])
{
	struct trace_query q;
	struct buf lines;
	struct err e;
	char *path;

	if (args[0] == NULL)
		tool_fatal("trace: which queue id, trace id or address?");
	q = query_of(args[0]);
	buf_init(&lines, TRACE_RESULT_MAX);
	path = mem_printf("%s/public/trace", env->common.queue_directory);
	if (trace_ask(path, &q, &lines, &e) != 0 &&
	    search_store(env, &q, &lines, &e) != 0)
		tool_fatal("%s: %s", args[0], e.text);
	if (trace_print(stdout, buf_span(&lines)) == 0)
		tool_fatal("%s: nothing is known of it", args[0]);
	if (!buf_ok(&lines))
		fprintf(stderr, "chappe: %s: there is more than is shown\n",
		    args[0]);
	mem_free(path);
	buf_release(&lines);
	return EXIT_SUCCESS;
}

static int
explain(const struct env *env, char *args[])
{
	if (args[0] == NULL)
		tool_fatal("explain: which address?");
	return explain_address(env->conf, &env->common, args[0]);
}

/* ---- passwords ---- */
static int
app_password(const struct env *env, char *args[])
{
	return tool_app_password(env->conf, &env->common, args);
}

static int
password(const struct env *env, char *args[])
{
	(void)env;
	return tool_password(args);
}

/* ---- the table of commands ---- */
static const struct command {
	const char *name;
	int (*run)(const struct env *env, char *args[]);
	int args_max;
	const char *help;
} commands[] = {
	{ "start", start, 0, "start the mail system in the background" },
	{ "start-fg", start_fg, 0, "start it in the foreground" },
	{ "stop", stop, 0, "finish what is under way, and stop" },
	{ "abort", abort_now, 0, "stop at once" },
	{ "reload", reload, 1, "take the new configuration [of one service]" },
	{ "status", status, 0, "is it running, and which processes" },
	{ "check", check, 0, "look for errors in the configuration" },
	{ "flush", flush, 0, "try to deliver all queued mail now" },
	{ "trace", trace, 1, "what happened to a mail" },
	{ "explain", explain, 1, "where mail for an address would go, and why" },
	{ "app-password", app_password, 7,
	    "add, list, remove passwords of programs" },
	{ "password", password, 1, "hash a password [with a scheme]" },
};

static noreturn void
usage(void)
{
	fprintf(stderr, "usage: chappe [-c directory] command\n");
	for (size_t i = 0; i < COUNT_OF(commands); i++)
		fprintf(
		    stderr, "  %-12s %s\n", commands[i].name, commands[i].help);
	exit(USAGE);
}

int
main(int argc, char *argv[])
{
	const char *dir = NULL;
	struct env env;
	int c;

	tool_init(argv[0], EXIT_FAILURE);
	signal(SIGPIPE, SIG_IGN);
	while ((c = getopt(argc, argv, "+c:")) != -1) {
		if (c != 'c')
			usage();
		dir = optarg;
	}
	if (optind == argc)
		usage();
	for (size_t i = 0; i < COUNT_OF(commands); i++) {
		if (strcmp(commands[i].name, argv[optind]) != 0)
			continue;
		if (argc - optind - 1 > commands[i].args_max)
			usage();
		env.dir = tool_conf_dir(dir);
		env.conf = tool_conf(env.dir, &env.common);
		c = commands[i].run(&env, argv + optind + 1);
		conf_free(&env.conf);
		return c;
	}
	usage();
}
