/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/common/password_tool.h"

#include <crypt.h>
#include <fcntl.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/mail/app_password.h"
#include "lib/mail/passwd_edit.h"
#include "lib/mail/scram_key.h"
#include "lib/map/text_file.h"
#include "lib/os/fs.h"
#include "tools/common/tool.h"

enum { FILE_MAX = 64 << 20, WORDS = 4, WORD = 5, USAGE = 64 };

/* ---- the file ---- */

struct file {
	char *path;
	int dir_fd, lock_fd;
	struct stat st;
	struct buf text;
};

/* The first passwd-file of a list of databases (mem_free), or NULL. */
static char *
first_file(const char *list)
{
	struct span rest = span_str(list), word;

	while (span_token(&rest, ", \t", &word))
		if (span_starts(word, SPAN("passwd-file:/")))
			return span_dup(span_skip(word, 12));
	return NULL;
}

static const char *
base_name(const struct file *f)
{
	return strrchr(f->path, '/') + 1;
}

static void
file_close(struct file *f)
{
	buf_wipe(&f->text);
	if (f->dir_fd >= 0)
		close(f->dir_fd);
	if (f->lock_fd >= 0)
		close(f->lock_fd);
	mem_free(f->path);
}

/* path: taken over. Two editors wait for each other. */
static int
file_open(struct file *f, char *path, struct err *e)
{
	*f = (struct file){ .path = path, .dir_fd = -1, .lock_fd = -1 };
	buf_init(&f->text, 0);
	if (path == NULL || path[0] != '/')
		return err_set(e, ERR_PERM, "5.3.5",
		    "auth_passdb names no passwd-file; name one with -f");
	char *dir = span_dup(span_slice(
	    span_str(path), 0, (size_t)(base_name(f) - path)));
	f->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	f->lock_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	mem_free(dir);
	if (f->dir_fd < 0 || f->lock_fd < 0 ||
	    flock(f->lock_fd, LOCK_EX) != 0)
		return err_sys(e, "%s", path);
	buf_release(&f->text);
	return text_file_read(path, FILE_MAX, &f->text, &f->st, e);
}

/* Replaces the file whole, with its owner and mode. */
static int
file_replace(struct file *f, struct span text, struct err *e)
{
	char *tmp = mem_printf(".%s.new", base_name(f));
	int fd = -1, ret;

	fs_unlink(f->dir_fd, tmp, NULL);
	ret = fs_create(f->dir_fd, tmp, 0600, &fd, e);
	if (ret == 0 &&
	    ((fchown(fd, f->st.st_uid, f->st.st_gid) != 0 &&
		 geteuid() == 0) ||
		fchmod(fd, f->st.st_mode & 07777) != 0))
		ret = err_sys(e, "owner and mode of %s", tmp);
	if (ret == 0)
		ret = fs_write(fd, text, e);
	if (ret == 0)
		ret = fs_commit(
		    fd, f->dir_fd, tmp, f->dir_fd, base_name(f), e);
	if (fd >= 0)
		close(fd);
	mem_free(tmp);
	return ret;
}

/* ---- add ---- */

/* The salt that the user's other keys have, so that SCRAM works with all of
 * them; else a new one. */
static void
choose_salt(struct span line, struct scram_key *out)
{
	struct span extra = passwd_edit_extra(line), field, value;
	struct app_password app;
	const char *why;

	if (scram_key_parse(passwd_edit_password(line), out) &&
	    out->hash == SASL_HASH_SHA256)
		return;
	while (passwd_edit_next_app(&extra, &field, &value))
		if (app_password_parse(value, &app, &why) &&
		    scram_key_parse(app.stored, out) &&
		    out->hash == SASL_HASH_SHA256)
			return;
	*out = (struct scram_key){ .iterations = SCRAM_ITERATIONS,
		.salt_n = SCRAM_NEW_SALT };
	BUG_ON(RAND_bytes(out->salt, SCRAM_NEW_SALT) != 1);
}

/* "abcde-fghij-kmnpq-rstuv": 100 bits. */
static void
make_password(struct buf *out)
{
	static const char letters[] = "abcdefghijkmnpqrstuvwxyz23456789";
	uint8_t random[WORDS * WORD];

	BUG_ON(RAND_bytes(random, sizeof(random)) != 1);
	for (size_t i = 0; i < sizeof(random); i++) {
		if (i > 0 && i % WORD == 0)
			buf_byte(out, '-');
		buf_byte(out, (uint8_t)letters[random[i] % 32]);
	}
	explicit_bzero(random, sizeof(random));
}

/* The field of the app password of that name in a line; empty: none. */
static struct span
find_app(struct span line, struct span name, struct app_password *out)
{
	struct span extra = passwd_edit_extra(line), field, value;
	const char *why;

	while (passwd_edit_next_app(&extra, &field, &value))
		if (app_password_parse(value, out, &why) &&
		    span_eq(out->name, name))
			return field;
	return SPAN_EMPTY;
}

static int
add(struct file *f, const char *user, const char *name, const char *scopes,
    struct err *e)
{
	struct app_password app;
	struct buf password, field, text;
	struct scram_key key;
	struct span line;
	int ret;

	if (!app_password_name_ok(span_str(name)))
		return err_set(e, ERR_PERM, "5.3.5", "%s: a name is 1 to %d "
		    "letters, digits, \".\", \"_\" and \"-\"", name,
		    APP_PASSWORD_NAME_MAX);
	if (!app_password_scopes_ok(span_str(scopes)))
		return err_set(e, ERR_PERM, "5.3.5",
		    "%s: scopes are services such as imap,smtp or *", scopes);
	if (!passwd_edit_find(buf_span(&f->text), span_str(user), &line))
		return err_set(e, ERR_PERM, "5.3.5", "%s: no user %s",
		    f->path, user);
	if (find_app(line, span_str(name), &app).n > 0)
		return err_set(e, ERR_PERM, "5.3.5",
		    "%s has an app password %s already", user, name);
	buf_init(&password, 100);
	buf_init(&field, 1000);
	buf_init(&text, FILE_MAX + 1000);
	make_password(&password);
	choose_salt(line, &key);
	scram_key_derive(SASL_HASH_SHA256, buf_span(&password),
	    span_of(key.salt, key.salt_n), key.iterations, &key);
	buf_fmt(&field, "app_password=%s:%s:", name, scopes);
	scram_key_print(&key, &field);
	passwd_edit_add(
	    buf_span(&f->text), span_str(user), buf_span(&field), &text);
	ret = file_replace(f, buf_span(&text), e);
	if (ret == 0)
		printf("%s\n", buf_cstr(&password));
	buf_wipe(&password);
	buf_wipe(&field);
	buf_wipe(&text);
	return ret;
}

static int
drop(struct file *f, const char *user, const char *name, struct err *e)
{
	struct app_password app;
	struct span line, field = SPAN_EMPTY;
	struct buf text;
	int ret;

	if (passwd_edit_find(buf_span(&f->text), span_str(user), &line))
		field = find_app(line, span_str(name), &app);
	if (field.n == 0)
		return err_set(e, ERR_PERM, "5.3.5",
		    "%s has no app password %s", user, name);
	buf_init(&text, FILE_MAX);
	passwd_edit_remove(buf_span(&f->text), field, &text);
	ret = file_replace(f, buf_span(&text), e);
	buf_wipe(&text);
	return ret;
}

/* ---- list ---- */

/* "2026-11-22 20:15:02 imap 192.0.2.1", or "never". */
static void
print_use(struct span uses, struct span user, struct span name)
{
	struct app_password_use use;
	struct span line;
	char when[40];
	struct tm tm;

	while (span_token(&uses, "\n", &line)) {
		if (!app_password_use_parse(line, &use) ||
		    !span_eq(use.user, user) || !span_eq(use.name, name))
			continue;
		const time_t t = (time_t)use.time_s;
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%S",
		    localtime_r(&t, &tm));
		printf("last used %s %.*s %.*s\n", when,
		    SPAN_FMT(use.service), SPAN_FMT(use.addr));
		return;
	}
	printf("never used\n");
}

static void
list_line(struct span line, struct span uses)
{
	const struct span user = span_trim(
	    span_slice(line, 0, span_chr(line, ':')));
	struct span extra = passwd_edit_extra(line), field, value;
	struct app_password app;
	const char *why;

	while (passwd_edit_next_app(&extra, &field, &value)) {
		if (!app_password_parse(value, &app, &why))
			continue;
		printf("%.*s %.*s %.*s ", SPAN_FMT(user), SPAN_FMT(app.name),
		    SPAN_FMT(app.scopes));
		print_use(uses, user, app.name);
	}
}

static int
list(const struct file *f, const struct common_conf *common, const char *user,
    struct err *e)
{
	char *path = mem_printf("%s/%s/%s", common->queue_directory,
	    APP_PASSWORD_DIR, APP_PASSWORD_USES);
	struct span rest = buf_span(&f->text), line;
	struct buf uses;

	/* Before the first use there is no such file. */
	if (text_file_read(path, FILE_MAX, &uses, NULL, e) != 0)
		buf_reset(&uses);
	mem_free(path);
	if (user != NULL) {
		if (!passwd_edit_find(rest, span_str(user), &line)) {
			buf_release(&uses);
			return err_set(e, ERR_PERM, "5.3.5",
			    "%s: no user %s", f->path, user);
		}
		list_line(line, buf_span(&uses));
	}
	while (user == NULL && span_token(&rest, "\n", &line))
		if (span_trim(line).n > 0 && span_trim(line).p[0] != '#')
			list_line(line, buf_span(&uses));
	buf_release(&uses);
	return 0;
}

/* ---- commands ---- */

static int
usage(const char *text)
{
	fprintf(stderr, "usage: chappe %s\n", text);
	return USAGE;
}

static size_t
count(char *args[])
{
	size_t n = 0;

	while (args[n] != NULL)
		n++;
	return n;
}

int
tool_app_password(
    struct conf *conf, const struct common_conf *common, char *args[])
{
	static const char how[] =
	    "app-password [-f file] add [-s scopes] user name | list [user] "
	    "| remove user name";
	const char *scopes = "imap,smtp", *what, *path = NULL;
	struct file f;
	struct err e;
	int ret;

	if (args[0] != NULL && strcmp(args[0], "-f") == 0 && args[1] != NULL) {
		path = args[1];
		args += 2;
	}
	if (args[0] == NULL)
		return usage(how);
	what = *args++;
	if (strcmp(what, "add") == 0 && args[0] != NULL &&
	    strcmp(args[0], "-s") == 0 && args[1] != NULL) {
		scopes = args[1];
		args += 2;
	}
	const size_t n = count(args);
	if (!(strcmp(what, "list") == 0 && n <= 1) &&
	    !((strcmp(what, "add") == 0 || strcmp(what, "remove") == 0) &&
		n == 2))
		return usage(how);
	ret = file_open(&f, path != NULL ? mem_strdup(path) :
		first_file(conf_value(conf, "auth_passdb")), &e);
	if (ret == 0 && what[0] == 'a')
		ret = add(&f, args[0], args[1], scopes, &e);
	else if (ret == 0 && what[0] == 'r')
		ret = drop(&f, args[0], args[1], &e);
	else if (ret == 0)
		ret = list(&f, common, args[0], &e);
	file_close(&f);
	if (ret != 0)
		tool_warning("%s", e.text);
	return ret == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- hashes ---- */

/* One line from standard input, not shown if that is a terminal. */
static bool
read_password(struct buf *out)
{
	struct termios old, quiet;
	const bool terminal = tcgetattr(STDIN_FILENO, &old) == 0;
	int c;

	if (terminal) {
		fprintf(stderr, "Password: ");
		quiet = old;
		quiet.c_lflag &= ~(tcflag_t)ECHO;
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
	}
	while ((c = getchar()) != EOF && c != '\n')
		buf_byte(out, (uint8_t)c);
	if (terminal) {
		tcsetattr(STDIN_FILENO, TCSAFLUSH, &old);
		fprintf(stderr, "\n");
	}
	return buf_ok(out) && out->n > 0 &&
	    span_chr(buf_span(out), '\0') == SIZE_MAX;
}

static int
print_crypt(const char *scheme, const char *prefix, struct buf *password)
{
	struct crypt_data *data = MEM_NEW(data);
	char setting[CRYPT_GENSALT_OUTPUT_SIZE];
	const char *hash = NULL;

	if (crypt_gensalt_rn(
		prefix, 0, NULL, 0, setting, sizeof(setting)) != NULL)
		hash = crypt_rn(buf_cstr(password), setting, data,
		    (int)sizeof(*data));
	if (hash != NULL)
		printf("{%s}%s\n", scheme, hash);
	else
		tool_warning("%s: not known to crypt(3)", scheme);
	explicit_bzero(data, sizeof(*data));
	mem_free(data);
	return hash != NULL ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int
print_scram(enum sasl_hash hash, struct buf *password)
{
	uint8_t salt[SCRAM_NEW_SALT];
	struct scram_key k;
	struct buf text;

	BUG_ON(RAND_bytes(salt, sizeof(salt)) != 1);
	buf_init(&text, 1000);
	scram_key_derive(hash, buf_span(password),
	    span_of(salt, sizeof(salt)), SCRAM_ITERATIONS, &k);
	scram_key_print(&k, &text);
	printf("%s\n", buf_cstr(&text));
	buf_wipe(&text);
	return EXIT_SUCCESS;
}

static int
print_hash(const char *scheme, struct buf *password)
{
	static const struct {
		const char *name, *prefix;
		enum sasl_hash hash;
	} schemes[] = {
		{ "SCRAM-SHA-256", NULL, SASL_HASH_SHA256 },
		{ "SCRAM-SHA-1", NULL, SASL_HASH_SHA1 },
		{ "YESCRYPT", "$y$", SASL_HASH_NONE },
		{ "SHA512-CRYPT", "$6$", SASL_HASH_NONE },
		{ "BLF-CRYPT", "$2b$", SASL_HASH_NONE },
	};

	for (size_t i = 0; i < COUNT_OF(schemes); i++)
		if (span_ieq(span_str(scheme), span_str(schemes[i].name)))
			return schemes[i].prefix != NULL ?
			    print_crypt(schemes[i].name, schemes[i].prefix,
				password) :
			    print_scram(schemes[i].hash, password);
	tool_warning("%s: not one of SCRAM-SHA-256, SCRAM-SHA-1, YESCRYPT, "
	    "SHA512-CRYPT, BLF-CRYPT", scheme);
	return EXIT_FAILURE;
}

int
tool_password(char *args[])
{
	struct buf password;
	int status = EXIT_FAILURE;

	if (count(args) > 1)
		return usage("password [scheme]");
	buf_init(&password, SASL_PASSWORD_MAX);
	if (read_password(&password))
		status = print_hash(
		    args[0] != NULL ? args[0] : "SCRAM-SHA-256", &password);
	else
		tool_warning("no password, or one that is too long");
	buf_wipe(&password);
	return status;
}
