/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/setup.h"

#include <fcntl.h>
#include <openssl/rand.h>
#include <string.h>
#include <unistd.h>

#include "auth/app_uses.h"
#include "auth/quotas.h"
#include "auth/oauth.h"
#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/os/log.h"

/* ---- the lists of databases -----------------------------------------------
 */

static int
parse_db(struct span word, bool passwords, struct auth_db *out, struct err *e)
{
	const size_t colon = span_chr(word, ':');
	const struct span kind = span_slice(word, 0, colon);
	const struct span rest =
	    colon == SIZE_MAX ? SPAN_EMPTY : span_skip(word, colon + 1);

	*out = (struct auth_db){ 0 };
	if (span_eq(kind, SPAN("passwd-file")) && rest.n > 0 &&
	    rest.p[0] == '/') {
		char *path = span_dup(rest);
		out->kind = AUTH_DB_FILE;
		out->file = passwd_file_new(path);
		mem_free(path);
		return 0;
	}
	if (passwords && span_eq(kind, SPAN("pam"))) {
		out->kind = AUTH_DB_PAM;
		out->service = rest.n > 0 ? span_dup(rest) : NULL;
		return 0;
	}
	if (!passwords && span_eq(word, SPAN("passwd"))) {
		out->kind = AUTH_DB_NSS;
		return 0;
	}
	return err_set(e, ERR_PERM, "4.3.5",
	    "%s: \"%.*s\" is not one of: passwd-file:/path, %s",
	    passwords ? "auth_passdb" : "auth_userdb",
	    SPAN_FMT(span_slice(word, 0, 80)),
	    passwords ? "pam, pam:service" : "passwd");
}

static void
release_dbs(struct auth_db *list, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		passwd_file_free(&list[i].file);
		mem_free(list[i].service);
	}
}

static int
parse_list(const char *text, bool passwords, struct auth_db *list,
    size_t *out_count, struct err *e)
{
	struct span rest = span_str(text), word;
	size_t count = 0;

	while (span_token(&rest, ", \t", &word)) {
		if (count == AUTH_DB_MAX) {
			release_dbs(list, count);
			return err_set(e, ERR_PERM, "4.3.5",
			    "%s: more than %d databases",
			    passwords ? "auth_passdb" : "auth_userdb",
			    AUTH_DB_MAX);
		}
		if (parse_db(word, passwords, &list[count], e) < 0) {
			release_dbs(list, count);
			return -1;
		}
		count++;
	}
	*out_count = count;
	return 0;
}

int
auth_verify(const struct auth_conf *conf, struct err *e)
{
	struct auth_db list[AUTH_DB_MAX];
	size_t count;

	if (parse_list(conf->auth_passdb, true, list, &count, e) < 0)
		return -1;
	release_dbs(list, count);
	if (parse_list(conf->auth_userdb, false, list, &count, e) < 0)
		return -1;
	release_dbs(list, count);
	struct oauth *oauth = oauth_new(NULL, conf, e);
	if (oauth == NULL)
		return -1;
	oauth_free(&oauth);
	return 0;
}

/* The directory that a file stands in. */
static void
sandbox_file(struct sandbox *s, struct span path)
{
	const size_t slash = span_rchr(path, '/');

	if (path.n == 0 || path.p[0] != '/')
		return;
	char *dir = span_dup(span_slice(path, 0, slash > 0 ? slash : 1));
	sandbox_dir(s, dir, SANDBOX_READ);
	mem_free(dir);
}

/* The directories of tables "type:/file". */
static void
sandbox_tables(struct sandbox *s, const char *list)
{
	struct span rest = span_str(list), word;

	while (span_token(&rest, ", \t", &word)) {
		const size_t colon = span_chr(word, ':');
		if (colon != SIZE_MAX)
			sandbox_file(s, span_skip(word, colon + 1));
	}
}

void
auth_sandbox_files(const struct auth_conf *conf, struct sandbox *s)
{
	const char *const lists[] = { conf->auth_passdb, conf->auth_userdb };

	for (size_t i = 0; i < COUNT_OF(lists); i++) {
		struct span rest = span_str(lists[i]), word;
		while (span_token(&rest, ", \t", &word))
			if (span_starts(word, SPAN("passwd-file:")))
				sandbox_file(s, span_skip(word, 12));
	}
	sandbox_tables(s, conf->auth_external_maps);
	sandbox_file(s, span_str(conf->auth_oauth2_keys));
}

/* ---- the start ------------------------------------------------------------
 */

static int
resolve_defaults(struct auth *a, struct err *e)
{
	struct priv_user user;
	uint64_t id;

	a->default_uid = (uid_t)-1;
	a->default_gid = (gid_t)-1;
	if (daemon_private(a->daemon)) {
		a->default_uid = getuid();
		a->default_gid = getgid();
	}
	if (span_u64(span_str(a->conf->mail_uid), UINT32_MAX - 1, &id)) {
		a->default_uid = (uid_t)id;
	} else if (a->conf->mail_uid[0] != '\0') {
		if (priv_lookup(a->conf->mail_uid, &user, e) < 0)
			return err_wrap(e, "mail_uid");
		a->default_uid = user.uid;
		a->default_gid = user.gid;
	}
	if (span_u64(span_str(a->conf->mail_gid), UINT32_MAX - 1, &id)) {
		a->default_gid = (gid_t)id;
	} else if (a->conf->mail_gid[0] != '\0') {
		if (priv_lookup_group(a->conf->mail_gid, &a->default_gid, e) <
		    0)
			return err_wrap(e, "mail_gid");
	}
	return 0;
}

int
auth_setup(struct auth *a, struct err *e)
{
	if (parse_list(a->conf->auth_passdb, true, a->passdb, &a->passdb_count,
		e) < 0 ||
	    parse_list(a->conf->auth_userdb, false, a->userdb, &a->userdb_count,
		e) < 0)
		return -1;
	for (size_t i = 0; i < a->passdb_count; i++)
		if (a->passdb[i].kind == AUTH_DB_PAM &&
		    a->passdb[i].service == NULL)
			a->passdb[i].service =
			    mem_strdup(a->conf->auth_pam_service_name);
	if (maps_open(a->conf->auth_external_maps, &a->external, e) < 0)
		return err_wrap(e, "auth_external_maps");
	return resolve_defaults(a, e);
}

void
auth_setup_release(struct auth *a)
{
	release_dbs(a->passdb, a->passdb_count);
	release_dbs(a->userdb, a->userdb_count);
	a->passdb_count = a->userdb_count = 0;
	maps_free(&a->external);
}

static int
become_owner(const struct common_conf *common, struct err *e)
{
	struct priv_user owner;
	gid_t groups[1];
	size_t count = 0;

	if (priv_lookup(common->auth_owner, &owner, e) < 0)
		return -1;
	/* The sockets of other daemons (log) are open to this group. */
	if (priv_lookup_group(common->ipc_group, &groups[0], e) == 0)
		count = 1;
	if (priv_become(&owner, groups, count, NULL, 0, e) < 0)
		return -1;
	return priv_not_dumpable(e);
}

void
auth_sandbox_own(const struct common_conf *common, struct sandbox *s)
{
	char *own = mem_printf(
	    "%s/%s", common->queue_directory, APP_PASSWORD_DIR);

	sandbox_dir(s, own,
	    SANDBOX_READ | SANDBOX_WRITE | SANDBOX_MAKE | SANDBOX_REMOVE);
	mem_free(own);
}

int
auth_drop_rights(struct auth *a, struct err *e)
{
	const struct common_conf *common = daemon_common(a->daemon);
	struct sandbox *s;
	bool partial;

	if (priv_is_root() && become_owner(common, e) < 0)
		return -1;
	s = sandbox_new();
	sandbox_dir(s, "/etc", SANDBOX_READ);
	sandbox_dir(s, "/usr", SANDBOX_READ);
	sandbox_dir(s, "/lib", SANDBOX_READ);
	sandbox_dir(s, "/dev", SANDBOX_READ | SANDBOX_WRITE);
	sandbox_dir(s, common->queue_directory, SANDBOX_READ | SANDBOX_WRITE);
	auth_sandbox_own(common, s);
	auth_sandbox_files(a->conf, s);
	return sandbox_apply(&s, &partial, e);
}

/* ---- what is ours on the disk ---------------------------------------------
 */

/* Reads the secret, or makes one that stays. */
static int
keep_secret(struct auth *a, int dir, struct err *e)
{
	struct buf text;

	buf_init(&text, AUTH_SECRET);
	if (fs_read_file(dir, "secret", AUTH_SECRET, &text, e) == 0 &&
	    text.n == AUTH_SECRET) {
		memcpy(a->secret, text.p, AUTH_SECRET);
		buf_wipe(&text);
		return 0;
	}
	buf_wipe(&text);
	return fs_replace(dir, "secret", 0600,
	    span_of(a->secret, sizeof(a->secret)), e);
}

int
auth_open_own(struct auth *a, struct err *e)
{
	const char *queue = daemon_common(a->daemon)->queue_directory;
	char *path = mem_printf("%s/%s", queue, APP_PASSWORD_DIR);
	const int dir =
	    open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (RAND_bytes(a->secret, sizeof(a->secret)) != 1) {
		mem_free(path);
		return err_set(e, ERR_TEMP, "4.3.0", "no randomness");
	}
	if (dir < 0)
		err_sys(e, "open directory %s", path);
	if (dir < 0 || keep_secret(a, dir, e) < 0)
		log_warning(NULL,
		    "%s: salts change with each start, and the last uses of "
		    "app passwords are not kept", e->text);
	a->uses = app_uses_new(a->loop, dir);
	a->quotas = quotas_new(a->loop, dir);
	mem_free(path);
	return 0;
}
