/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_TESTS_STORE_TEST_H
#define CHAPPE_TESTS_STORE_TEST_H

/* What the tests of lib/store share: a home in a temporary directory, and
 * short ways to do what sessions and other programs do. cmocka's header and
 * what it needs must stand before this one. */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base/mem.h"
#include "lib/store/store.h"

struct home {
	char path[64];
	struct store *store;
};

static inline void
home_open_store(struct home *h, const char *location)
{
	struct store_user user = { .name = "bob", .home = h->path,
		.location = location };
	struct err e;

	store_close(&h->store);
	if (store_open(&user, &h->store, &e) != 0)
		fail_msg("store_open: %s", e.text);
}

static inline struct home *
home_new(const char *location)
{
	struct home *h = MEM_NEW(h);

	snprintf(h->path, sizeof(h->path), "/tmp/chappe-store-XXXXXX");
	assert_non_null(mkdtemp(h->path));
	home_open_store(h, location);
	return h;
}

/* Runs a shell script in the home. */
static inline void
run(const struct home *h, const char *script)
{
	char *command = mem_printf("cd %s && { %s\n}", h->path, script);

	if (system(command) != 0)
		fail_msg("%s", command);
	mem_free(command);
}

static inline void
home_free(struct home **h)
{
	store_close(&(*h)->store);
	run(*h, "chmod -R u+w . && rm -rf $PWD");
	mem_free(*h);
	*h = NULL;
}

/* A file below the home with this text. */
static inline void
home_write(const struct home *h, const char *path, const char *text)
{
	char full[400];
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", h->path, path);
	f = fopen(full, "w");
	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

static inline char *
home_read(const struct home *h, const char *path)
{
	char full[400];
	char *text = mem_zalloc(1 << 20);
	FILE *f;

	snprintf(full, sizeof(full), "%s/%s", h->path, path);
	f = fopen(full, "r");
	assert_non_null(f);
	text[fread(text, 1, (1 << 20) - 1, f)] = '\0';
	fclose(f);
	return text;
}

/* Names in a directory below the home that hold the word; the last one is
 * copied to out if that is not NULL. */
static inline unsigned
home_count(const struct home *h, const char *dir, const char *word, char *out)
{
	char full[400];
	struct dirent *d;
	unsigned n = 0;
	DIR *stream;

	snprintf(full, sizeof(full), "%s/%s", h->path, dir);
	stream = opendir(full);
	if (stream == NULL)
		return 0;
	while ((d = readdir(stream)) != NULL) {
		if (d->d_name[0] == '.' || strstr(d->d_name, word) == NULL)
			continue;
		if (out != NULL)
			snprintf(out, 300, "%s", d->d_name);
		n++;
	}
	closedir(stream);
	return n;
}

static inline struct mailbox *
open_box(struct home *h, const char *name)
{
	struct mailbox *mb;
	struct err e;

	if (mailbox_open(h->store, span_str(name), false, &mb, &e) != 0)
		fail_msg("open %s: %s", name, e.text);
	return mb;
}

/* Appends; returns the uid. */
static inline uint32_t
append_with(struct home *h, const char *box, const char *text,
    const struct append_meta *meta)
{
	struct append *a;
	uint32_t uid, validity;
	struct err e;

	if (append_begin(h->store, span_str(box), meta, &a, &e) != 0)
		fail_msg("append_begin: %s", e.text);
	if (append_write(a, span_str(text), &e) != 0)
		fail_msg("append_write: %s", e.text);
	if (append_commit(&a, &uid, &validity, &e) != 0)
		fail_msg("append_commit: %s", e.text);
	assert_null(a);
	return uid;
}

static inline uint32_t
append_text(struct home *h, const char *box, const char *text)
{
	const struct append_meta meta = { 0 };

	return append_with(h, box, text, &meta);
}

static inline void
deliver_text(struct home *h, const char *text, const char *qid)
{
	const struct append_meta meta = { .delivery = true, .queue_id = qid,
		.envelope_sender = SPAN("a@example.com") };

	append_with(h, "INBOX", text, &meta);
}

static inline void
assert_text(struct mailbox *mb, uint32_t seq, const char *want)
{
	struct message_text t;
	struct err e;

	if (mailbox_text(mb, seq, &t, &e) != 0)
		fail_msg("mailbox_text: %s", e.text);
	assert_int_equal(t.bytes.n, strlen(want));
	assert_memory_equal(t.bytes.p, want, t.bytes.n);
	assert_int_equal(mailbox_message(mb, seq)->size, t.bytes.n);
	message_text_release(&t);
}

/* What a sync told, as text: "E3 *5/1 F2 ". */
struct heard {
	char text[4096];
};

#define HEAR(arg, ...)                                                         \
	do {                                                                   \
		char *const heard_text = ((struct heard *)(arg))->text;        \
		const size_t heard_n = strlen(heard_text);                     \
		snprintf(heard_text + heard_n, 4096 - heard_n, __VA_ARGS__);   \
	} while (0)

static inline void
hear_expunged(void *arg, uint32_t seq, uint32_t uid)
{
	(void)uid;
	HEAR(arg, "E%u ", seq);
}

static inline void
hear_exists(void *arg, uint32_t count, uint32_t recent)
{
	HEAR(arg, "*%u/%u ", count, recent);
}

static inline void
hear_flags(void *arg, uint32_t seq)
{
	HEAR(arg, "F%u ", seq);
}

static inline void
assert_sync(struct mailbox *mb, bool with_expunge, const char *want)
{
	static const struct mailbox_sync_handler handler = { hear_expunged,
		hear_exists, hear_flags };
	struct heard h = { "" };
	struct err e;

	if (mailbox_sync(mb, with_expunge, &handler, &h, &e) != 0)
		fail_msg("mailbox_sync: %s", e.text);
	assert_string_equal(h.text, want);
}

static inline void
set_flags(struct mailbox *mb, uint32_t seq, enum flag_op op, uint8_t flags,
    uint64_t keywords)
{
	struct err e;

	if (mailbox_set_flags(mb, &seq, 1, op, flags, keywords, &e) != 0)
		fail_msg("mailbox_set_flags: %s", e.text);
}

static inline void
expunge_uid(struct mailbox *mb, uint32_t uid)
{
	struct err e;

	if (mailbox_expunge(mb, &uid, 1, &e) != 0)
		fail_msg("mailbox_expunge: %s", e.text);
}

#endif
