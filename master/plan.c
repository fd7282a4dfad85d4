/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "master/master.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/buf.h"
#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/log.h"
#include "lib/os/tls.h"

enum {
	ARENA_MAX = 1 << 20,
	FINGERPRINT_MAX = 1 << 20,
	CORES_MAX = 32, /* there are but 256 slots for all who accept mail */
};

static int
at_line(const struct plan *p, struct err *e)
{
	return err_wrap(e, "%s: line %u", p->file, p->line);
}

static size_t
count(const char *const *list)
{
	size_t n = 0;

	while (list[n] != NULL)
		n++;
	return n;
}

/* ---- one service ---- */
static void
add_unix(struct plan *p, const struct common_conf *common,
    const struct master_service *line)
{
	struct socket_spec *s = MEM_NEW(s);

	s->key = mem_printf("unix:%s/%s/%s", common->queue_directory,
	    line->private_ ? "private" : "public", line->name);
	memcpy(s->kind, "unix", 5);
	list_push(&p->sockets, &s->link);
}

static int
add_sockets(struct plan *p, const struct common_conf *common,
    const struct master_service *line, struct err *e)
{
	if (line->type == SERVICE_UNIX) {
		add_unix(p, common, line);
		return 0;
	}
	if (strcmp(line->program, "imap-login") == 0)
		return err_set(e, ERR_PERM, "5.3.5",
		    "%s: line %u: IMAP's ports are not set here but by the "
		    "parameters protocols, listen, imap_port and imaps_port",
		    line->file, line->line);
	return plan_add_inet(p, common, line->name, e);
}

/* Those that this process, and so its children, may use. */
static int
cores(void)
{
	cpu_set_t set;
	const int n = sched_getaffinity(0, sizeof(set), &set) == 0 ?
	    CPU_COUNT(&set) : (int)sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : n > CORES_MAX ? CORES_MAX : n;
}

static int
process_limit(const struct plan *p, const struct config *c,
    const struct master_service *line)
{
	if (p->program->single)
		return 1;
	if (line->process_limit >= 0)
		return line->process_limit;
	if (p->program->per_core)
		return cores();
	return (int)c->common.default_process_limit;
}

/* More than the cores are of use only where one is full. */
static int
company(int limit)
{
	const int n = cores();

	return limit > 0 && limit < n ? limit : n;
}

static int
plan_new(struct config *c, const struct master_service *line,
    const struct program *program, struct plan **out, struct err *e)
{
	struct plan *p = MEM_NEW(p);

	list_init(&p->sockets);
	list_push(&c->plans, &p->link);
	p->name = line->name;
	p->program = program;
	p->file = line->file;
	p->line = line->line;
	p->overrides = line->overrides;
	p->args = line->args;
	p->path =
	    mem_printf("%s/%s", c->common.daemon_directory, program->name);
	p->key =
	    program->single && line->type == SERVICE_UNIX
		? mem_printf("single:%s", program->name)
		: mem_printf("%s:%s",
		      line->type == SERVICE_INET ? "inet" : "unix", line->name);
	p->limit = process_limit(p, c, line);
	p->company = company(p->limit);
	p->wakeup_s = line->wakeup_s;
	p->wakeup_if_used = line->wakeup_if_used;
	p->boot =
	    program->single || (line->wakeup_s > 0 && !line->wakeup_if_used);
	*out = p;
	return add_sockets(p, &c->common, line, e);
}

/* A single program serves all its unix lines with one process: the further
 * ones are sockets of the first. */
static struct plan *
plan_of_single(struct config *c, const struct master_service *line,
    const struct program *program)
{
	if (!program->single || line->type != SERVICE_UNIX)
		return NULL;
	LIST_EACH(&c->plans, link)
	{
		struct plan *p = CONTAINER_OF(link, struct plan, link);

		if (p->program == program)
			return p;
	}
	return NULL;
}

struct plan *
plan_by_key(struct config *c, const char *key)
{
	LIST_EACH(&c->plans, link)
	{
		struct plan *p = CONTAINER_OF(link, struct plan, link);

		if (strcmp(p->key, key) == 0)
			return p;
	}
	return NULL;
}

static int
add_line(struct config *c, const struct master_service *line, struct err *e)
{
	const struct program *program = program_find(line->program);
	char key[300];
	struct plan *p, *twin;

	if (program == NULL)
		return err_set(e, ERR_PERM, "5.3.5",
		    "%s: line %u: no such program: %s", line->file, line->line,
		    line->program);
	p = plan_of_single(c, line, program);
	if (p != NULL) {
		add_unix(p, &c->common, line);
		return 0;
	}
	snprintf(key, sizeof(key), "%s:%.250s",
	    line->type == SERVICE_INET ? "inet" : "unix", line->name);
	twin = plan_by_key(c, key);
	if (twin != NULL)
		return err_set(e, ERR_PERM, "5.3.5",
		    "%s: line %u: service %s is already on line %u", line->file,
		    line->line, line->name, twin->line);
	return plan_new(c, line, program, &p, e);
}

/* ---- what its processes will read ---- */
static bool
in_table(const struct param *table, const char *name)
{
	for (; table != NULL && table->name != NULL; table++)
		if (strcmp(table->name, name) == 0)
			return true;
	return false;
}

/* Values of the program's own parameters, of the common ones, and of names
 * that the administrator made up; and which program file it is, so that a
 * reload brings in an upgraded one. */
static void
take_fingerprint(struct plan *p, struct conf *c)
{
	const char *name = NULL;
	struct stat st = { 0 };
	struct buf b;

	buf_init(&b, FINGERPRINT_MAX);
	stat(p->path, &st);
	buf_fmt(&b, "%s %llu %lld.%09ld\n", p->path,
	    (unsigned long long)st.st_ino, (long long)st.st_mtim.tv_sec,
	    st.st_mtim.tv_nsec);
	for (size_t i = 0; p->args[i] != NULL; i++)
		buf_fmt(&b, "%s\n", p->args[i]);
	while ((name = conf_next(c, name)) != NULL) {
		const char *value = conf_value(c, name);

		if (conf_row(c, name) == NULL ||
		    in_table(common_params, name) ||
		    in_table(p->program->params, name))
			buf_fmt(
			    &b, "%s=%s\n", name, value != NULL ? value : "");
	}
	LIST_EACH(&p->sockets, link)
	buf_fmt(&b, "%s\n", CONTAINER_OF(link, struct socket_spec, link)->key);
	p->fingerprint = mem_strdup(buf_cstr(&b));
	buf_release(&b);
}

/* ---- certificates and keys (keys.c) ---- */
static const char *
file_of(struct conf *c, const char *name)
{
	const char *value = conf_value(c, name);

	if (value == NULL || strcmp(value, "none") == 0)
		return "";
	/* Dovecot's "ssl_cert = </etc/..." */
	return value[0] == '<' ? value + 1 : value;
}

static void
add_pair(struct buf *b, struct conf *c, const char *cert, const char *key)
{
	const char *cert_file = file_of(c, cert), *key_file = file_of(c, key);

	if (cert_file[0] == '\0')
		return;
	buf_fmt(b, "%c %s", KEYS_CHAIN, cert_file);
	if (key_file[0] != '\0' && strcmp(cert_file, key_file) != 0)
		buf_fmt(b, "\t%s", key_file);
	buf_str(b, "\n");
}

static void
add_words(struct buf *b, char kind, const char *list)
{
	static const char separators[] = " \t\r\n,";
	const char *at = list + strspn(list, separators);

	if (*at == '\0')
		return;
	buf_fmt(b, "%c ", kind);
	while (*at != '\0') {
		const size_t n = strcspn(at, separators);

		buf_fmt(b, "%.*s", (int)n, at);
		at += n;
		at += strspn(at, separators);
		if (*at != '\0')
			buf_str(b, "\t");
	}
	buf_str(b, "\n");
}

static char *
key_sources(struct conf *c, bool imap)
{
	const char *chains = conf_value(c, "smtpd_tls_chain_files");
	char *text;
	struct buf b;

	buf_init(&b, FINGERPRINT_MAX);
	if (imap) {
		add_pair(&b, c, "ssl_cert", "ssl_key");
	} else if (chains != NULL && chains[0] != '\0') {
		add_words(&b, KEYS_CHAIN, chains);
	} else {
		add_pair(&b, c, "smtpd_tls_cert_file", "smtpd_tls_key_file");
		add_pair(&b, c, "smtpd_tls_dcert_file", "smtpd_tls_dkey_file");
		add_pair(
		    &b, c, "smtpd_tls_eccert_file", "smtpd_tls_eckey_file");
	}
	/* Without a certificate of our own the rest means nothing. */
	if (b.n > 0 && !imap) {
		add_words(
		    &b, KEYS_NAMES, conf_value(c, "tls_server_sni_maps"));
		if (file_of(c, "smtpd_tls_CAfile")[0] != '\0')
			buf_fmt(&b, "%c %s\n", KEYS_CA_FILE,
			    file_of(c, "smtpd_tls_CAfile"));
		if (file_of(c, "smtpd_tls_CApath")[0] != '\0')
			buf_fmt(&b, "%c %s\n", KEYS_CA_DIR,
			    file_of(c, "smtpd_tls_CApath"));
		if (strcmp(file_of(c, "tls_append_default_CA"), "yes") == 0)
			buf_fmt(&b, "%c %s\n", KEYS_CA_DIR,
			    tls_default_anchors());
	}
	text = mem_strdup(buf_cstr(&b));
	buf_release(&b);
	return text;
}

/* May the files that main.cf names be read? Said at the start, and not by
 * clients that find no TLS. */
static int
check_keys(const struct plan *p, struct err *e)
{
	char *copy, *rest, *line;
	int ret = 0;

	if (!p->program->needs_keys)
		return 0;
	copy = rest = mem_strdup(p->keys);
	while (ret == 0 && (line = strsep(&rest, "\n")) != NULL) {
		char *file;

		if (line[0] == '\0' || line[0] == KEYS_NAMES)
			continue;
		line += 2;
		while (ret == 0 && (file = strsep(&line, "\t")) != NULL)
			if (access(file, R_OK) != 0)
				ret = err_sys(e,
				    "service %s: certificate or key %s",
				    p->name, file);
	}
	mem_free(copy);
	return ret;
}

/* The service as its processes see it: with its own -o. */
static int
read_parameters(struct plan *p, const char *dir, struct err *e)
{
	const bool imap = strcmp(p->program->name, "imap-login") == 0;
	struct conf *c = NULL;
	int ret = conf_load(dir, p->overrides, count(p->overrides), &c, e);

	if (ret != 0)
		return at_line(p, e);
	programs_add_params(c);
	ret = conf_check(c, NULL, NULL, e);
	if (ret == 0) {
		take_fingerprint(p, c);
		p->keys = key_sources(c, imap);
	} else {
		at_line(p, e);
	}
	conf_free(&c);
	return ret == 0 ? check_keys(p, e) : -1;
}

/* ---- identity ---- */
static int
find_user(struct plan *p, struct config *c, struct err *e)
{
	const char *param = p->program->user_param;
	const char *name;
	int n = GROUPS_MAX - 1;
	gid_t ipc;

	if (param == NULL)
		return 0;
	name = conf_value(c->conf, param);
	if (priv_lookup(name, &p->user, e) != 0)
		return err_wrap(e, "%s", param);
	if (p->user.uid == 0)
		return err_set(e, ERR_PERM, "5.3.5",
		    "%s = %s: %s may not run as root", param, name,
		    p->program->name);
	if (priv_lookup_group(c->common.ipc_group, &ipc, e) != 0)
		return err_wrap(e, "ipc_group");
	if (getgrouplist(name, p->user.gid, p->groups, &n) < 0)
		return err_set(e, ERR_PERM, "5.3.5", "%s: more than %d groups",
		    name, GROUPS_MAX - 1);
	p->group_count = (size_t)n;
	p->groups[p->group_count++] = ipc;
	return 0;
}

/* ---- all of it ---- */
static int
complete(struct config *c, const char *dir, struct err *e)
{
	LIST_EACH(&c->plans, link)
	{
		struct plan *p = CONTAINER_OF(link, struct plan, link);

		if (strcmp(p->program->name, "imap-login") == 0 &&
		    plan_add_imap(p, &c->common, e) != 0)
			return -1;
		if (read_parameters(p, dir, e) != 0)
			return -1;
		if (priv_is_root() && find_user(p, c, e) != 0)
			return -1;
	}
	return 0;
}

static int
load(struct config *c, const char *dir, struct err *e)
{
	struct master_service *lines = NULL;
	char *path;
	int ret;

	if (conf_load(dir, NULL, 0, &c->conf, e) != 0)
		return -1;
	programs_add_params(c->conf);
	if (conf_check(c->conf, NULL, NULL, e) != 0 ||
	    conf_fill(c->conf, common_params, &c->common, e) != 0)
		return -1;
	path = mem_printf("%s/master.cf", dir);
	ret = master_cf_load(path, &c->arena, &lines, e);
	for (; lines != NULL && ret == 0; lines = lines->next)
		ret = add_line(c, lines, e);
	if (ret == 0 && list_empty(&c->plans))
		ret = err_set(e, ERR_PERM, "5.3.5", "%s: no services", path);
	mem_free(path);
	return ret == 0 ? complete(c, dir, e) : -1;
}

int
config_load(const char *dir, struct config **out, struct err *e)
{
	struct config *c = MEM_NEW(c);

	arena_init(&c->arena, ARENA_MAX);
	list_init(&c->plans);
	if (load(c, dir, e) != 0) {
		config_free(&c);
		return -1;
	}
	*out = c;
	return 0;
}

void
config_warn(const struct config *c)
{
	static const char mark[] = "no effect:";

	for (const struct param *p = compat_params; p->name != NULL; p++) {
		const struct conf_origin o = conf_origin(c->conf, p->name);

		if (strncmp(p->help, mark, sizeof(mark) - 1) == 0 &&
		    strcmp(o.file, "default") != 0)
			log_warning(NULL, "%s: line %u: %s: %s", o.file,
			    o.line, p->name, p->help);
	}
}

static void
plan_free(struct plan *p)
{
	LIST_EACH(&p->sockets, link)
	{
		struct socket_spec *s =
		    CONTAINER_OF(link, struct socket_spec, link);

		mem_free(s->key);
		mem_free(s);
	}
	mem_free(p->key);
	mem_free(p->path);
	mem_free(p->fingerprint);
	mem_free(p->keys);
	mem_free(p);
}

void
config_free(struct config **ref)
{
	struct config *c = *ref;

	if (c == NULL)
		return;
	*ref = NULL;
	LIST_EACH(&c->plans, link)
	plan_free(CONTAINER_OF(link, struct plan, link));
	conf_free(&c->conf);
	arena_reset(&c->arena);
	mem_free(c);
}
