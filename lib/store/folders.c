/* SPDX-License-Identifier: GPL-3.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/os/fs.h"
#include "lib/os/loop.h"
#include "lib/proto/utf7.h"
#include "lib/store/dotlock.h"
#include "lib/store/driver.h"

enum { FILE_MAX = 4 << 20, LOCK_WAIT_MS = 10000 };

/* ---- the list ---- */
struct entry {
	char *name;
	unsigned attributes;
};

struct entries {
	struct entry *at;
	size_t count, cap;
};

static struct entry *
entries_add(struct entries *l, struct span name, unsigned attributes)
{
	if (l->count == l->cap) {
		l->cap = l->cap * 2 + 32;
		l->at = mem_resize(l->at, l->cap, sizeof(*l->at));
	}
	l->at[l->count] =
	    (struct entry){ .name = span_dup(name), .attributes = attributes };
	return &l->at[l->count++];
}

static void
collect(void *arg, struct span name, unsigned attributes)
{
	entries_add(arg, name, attributes);
}

static void
entries_release(struct entries *l)
{
	for (size_t i = 0; i < l->count; i++)
		mem_free(l->at[i].name);
	mem_free(l->at);
	*l = (struct entries){ 0 };
}

static int
by_name(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	return strcmp(x->name, y->name);
}

/* Sorts; of equal names one stays, selectable if one was. */
static void
entries_sort(struct entries *l)
{
	size_t n = 0;

	if (l->count == 0)
		return;
	qsort(l->at, l->count, sizeof(*l->at), by_name);
	for (size_t i = 1; i < l->count; i++) {
		if (strcmp(l->at[n].name, l->at[i].name) != 0) {
			l->at[++n] = l->at[i];
			continue;
		}
		if ((l->at[i].attributes & BOX_NOSELECT) == 0)
			l->at[n].attributes &= ~(unsigned)BOX_NOSELECT;
		mem_free(l->at[i].name);
	}
	l->count = n + 1;
}

static struct entry *
entries_find(const struct entries *l, struct span name)
{
	struct entry key = { .name = span_dup(name) };
	struct entry *found = l->count == 0 ?
	    NULL :
	    bsearch(&key, l->at, l->count, sizeof(*l->at), by_name);

	mem_free(key.name);
	return found;
}

/* Every parent gets an entry. */
static void
add_parents(struct entries *l, char separator)
{
	const size_t count = l->count;

	for (size_t i = 0; i < count; i++) {
		const struct span name = span_str(l->at[i].name);

		for (size_t k = 1; k < name.n; k++)
			if (name.p[k] == (uint8_t)separator)
				entries_add(l, span_slice(name, 0, k),
				    BOX_NOSELECT | BOX_HASCHILDREN);
	}
}

static void
mark_children(struct entries *l, char separator)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct span name = span_str(l->at[i].name);
		const size_t at = span_rchr(name, (uint8_t)separator);
		struct entry *parent = at == SIZE_MAX ?
		    NULL :
		    entries_find(l, span_slice(name, 0, at));

		if (parent != NULL)
			parent->attributes |= BOX_HASCHILDREN;
	}
}

/* Folders by the names that clients agree on (RFC 6154). */
static unsigned
special_use(const char *name)
{
	static const struct {
		const char *name;
		unsigned attribute;
	} known[] = {
		{ "Archive", BOX_ARCHIVE },
		{ "Drafts", BOX_DRAFTS },
		{ "Junk", BOX_JUNK },
		{ "Sent", BOX_SENT },
		{ "Trash", BOX_TRASH },
	};

	for (size_t i = 0; i < COUNT_OF(known); i++)
		if (strcmp(known[i].name, name) == 0)
			return known[i].attribute;
	return 0;
}

/* ---- subscriptions ---- */
/* One name a line, in modified UTF-7; Dovecot's newer form begins with
 * "V\t2" and has tabs for separators. It is kept as it was found. */
struct subscriptions {
	struct entries names;
	bool tabs;
};

static void
parse_line(struct subscriptions *subs, struct span line, char separator)
{
	struct buf raw, name;

	buf_init(&raw, LIMIT_PATH);
	buf_init(&name, LIMIT_PATH);
	for (size_t i = 0; i < line.n; i++)
		buf_byte(&raw,
		    subs->tabs && line.p[i] == '\t' ? (uint8_t)separator :
						      line.p[i]);
	if (buf_ok(&raw) && utf7_decode(buf_span(&raw), &name))
		entries_add(&subs->names, buf_span(&name), BOX_SUBSCRIBED);
	buf_release(&raw);
	buf_release(&name);
}

static int
load_subscriptions(const struct store *s, int root,
    struct subscriptions *out, struct err *e)
{
	struct span rest, line;
	struct err why = { 0 };
	struct buf b;
	int rc;

	*out = (struct subscriptions){ 0 };
	buf_init(&b, FILE_MAX);
	rc = fs_read_file(root, s->driver->subscriptions, FILE_MAX, &b, &why);
	rest = buf_span(&b);
	out->tabs = span_starts(rest, SPAN("V\t2\n"));
	if (out->tabs)
		rest = span_skip(rest, 4);
	while (rc == 0 && span_token(&rest, "\n", &line))
		parse_line(out, line, s->driver->separator);
	buf_release(&b);
	if (rc != 0 && why.sysno != ENOENT) {
		err_copy(e, &why);
		return -1;
	}
	entries_sort(&out->names);
	return 0;
}

static int
save_subscriptions(const struct store *s, int root,
    const struct subscriptions *subs, struct err *e)
{
	struct buf b, name;
	int rc;

	buf_init(&b, FILE_MAX);
	buf_init(&name, LIMIT_PATH);
	if (subs->tabs)
		buf_str(&b, "V\t2\n\n");
	for (size_t i = 0; i < subs->names.count; i++) {
		buf_reset(&name);
		utf7_encode(span_str(subs->names.at[i].name), &name);
		for (size_t k = 0; subs->tabs && k < name.n; k++)
			if (name.p[k] == (uint8_t)s->driver->separator)
				name.p[k] = '\t';
		buf_add(&b, buf_span(&name));
		buf_byte(&b, '\n');
	}
	if (buf_ok(&b))
		rc = fs_replace(
		    root, s->driver->subscriptions, 0600, buf_span(&b), e);
	else
		rc = err_set(e, ERR_PERM, "5.2.0", "too many subscriptions");
	buf_release(&b);
	buf_release(&name);
	return rc;
}

static int
change_subscription(const struct store *s, int root, struct span name,
    bool on, struct err *e)
{
	struct subscriptions subs;
	struct entry *there;
	int rc = 0;

	if (load_subscriptions(s, root, &subs, e) != 0)
		return -1;
	there = entries_find(&subs.names, name);
	if (on && there == NULL) {
		entries_add(&subs.names, name, BOX_SUBSCRIBED);
		rc = save_subscriptions(s, root, &subs, e);
	} else if (!on && there != NULL) {
		mem_free(there->name);
		memmove(there, there + 1,
		    (size_t)(subs.names.at + --subs.names.count - there) *
			sizeof(*there));
		rc = save_subscriptions(s, root, &subs, e);
	}
	entries_release(&subs.names);
	return rc;
}

int
store_subscribe(struct store *s, struct span name, bool on, struct err *e)
{
	char *lock;
	int root, rc = -1;

	if (name_is_inbox(name))
		name = SPAN("INBOX");
	else if (name_check(s, name, e) != 0)
		return -1;
	if (store_root_open(s, true, &root, e) != 0)
		return -1;
	lock = mem_printf("%s.lock", s->driver->subscriptions);
	if (dotlock_take(root, lock, LOCK_WAIT_MS, e) == 0) {
		rc = change_subscription(s, root, name, on, e);
		dotlock_release(root, lock);
	}
	mem_free(lock);
	close(root);
	return rc;
}

/* ---- LIST and LSUB ---- */
/* All that exists, sorted, with its attributes. */
static int
list_all(struct store *s, struct entries *out, struct err *e)
{
	*out = (struct entries){ 0 };
	if (s->driver->list(s, collect, out, e) != 0) {
		entries_release(out);
		return -1;
	}
	entries_add(out, SPAN("INBOX"), 0);
	add_parents(out, s->driver->separator);
	entries_sort(out);
	mark_children(out, s->driver->separator);
	for (size_t i = 0; i < out->count; i++)
		out->at[i].attributes |= special_use(out->at[i].name);
	return 0;
}

static void
call_all(const struct entries *l, store_list_fn fn, void *arg)
{
	for (size_t i = 0; i < l->count; i++)
		fn(arg, span_str(l->at[i].name), l->at[i].attributes);
}

int
store_list(struct store *s, bool subscribed_only, store_list_fn fn,
    void *arg, struct err *e)
{
	struct subscriptions subs = { 0 };
	struct entries all;
	struct entry *found;
	int root;

	if (list_all(s, &all, e) != 0)
		return -1;
	if (store_root_open(s, false, &root, NULL) == 0) {
		const int rc = load_subscriptions(s, root, &subs, e);

		close(root);
		if (rc != 0) {
			entries_release(&all);
			return -1;
		}
	}
	for (size_t i = 0; i < subs.names.count; i++) {
		struct entry *sub = &subs.names.at[i];

		found = entries_find(&all, span_str(sub->name));
		if (found != NULL) {
			found->attributes |= BOX_SUBSCRIBED;
			sub->attributes |= found->attributes;
		} else {
			sub->attributes |= BOX_NONEXISTENT | BOX_NOSELECT;
		}
	}
	call_all(subscribed_only ? &subs.names : &all, fn, arg);
	entries_release(&subs.names);
	entries_release(&all);
	return 0;
}

/* ---- UIDVALIDITY across removals ---- */
/* A folder that is made anew under a name that was there before must have a
 * higher UIDVALIDITY, also within one second. */
uint32_t
store_validity(const struct store *s)
{
	uint64_t low = 0;
	const uint32_t now = (uint32_t)(clock_wall_us() / 1000000);
	struct buf b;
	int root;

	if (store_root_open(s, false, &root, NULL) != 0)
		return now;
	buf_init(&b, 64);
	if (fs_read_file(root, s->driver->validity, 64, &b, NULL) == 0 &&
	    !span_u64(span_trim(buf_span(&b)), UINT32_MAX - 1, &low))
		low = 0;
	buf_release(&b);
	close(root);
	return now > low ? now : (uint32_t)low;
}

static int
raise_validity(const struct store *s, uint32_t used, struct err *e)
{
	const uint32_t next = store_validity(s);
	char text[32];
	int root, n, rc;

	if (store_root_open(s, true, &root, e) != 0)
		return -1;
	n = snprintf(text, sizeof(text), "%u\n",
	    (next > used ? next : used) + 1);
	rc = fs_replace(
	    root, s->driver->validity, 0600, span_of(text, (size_t)n), e);
	close(root);
	return rc;
}

/* ---- changing folders ---- */
static int
refuse(struct err *e, int sysno, const char *text)
{
	err_set(e, ERR_PERM, "5.2.0", "%s", text);
	e->sysno = sysno;
	return -1;
}

static int
find(struct store *s, struct span name, bool *out_there,
    unsigned *out_attributes, struct err *e)
{
	struct entries all;
	const struct entry *found;

	if (list_all(s, &all, e) != 0)
		return -1;
	found = entries_find(&all, name);
	*out_there = found != NULL;
	*out_attributes = found != NULL ? found->attributes : 0;
	entries_release(&all);
	return 0;
}

int
store_create(struct store *s, struct span name, struct err *e)
{
	unsigned attributes;
	bool there, parent = false;

	/* A separator at the end says that folders will follow below
	 * (RFC 3501 6.3.3). */
	if (name.n > 0 && name.p[name.n - 1] == (uint8_t)s->driver->separator) {
		parent = s->driver->create_parent != NULL;
		name.n--;
	}
	if (name_is_inbox(name))
		return refuse(e, EEXIST, "INBOX exists");
	if (name_check(s, name, e) != 0 ||
	    find(s, name, &there, &attributes, e) != 0)
		return -1;
	if (there && (attributes & BOX_NOSELECT) == 0)
		return refuse(e, EEXIST, "the mailbox exists");
	return parent ? s->driver->create_parent(s, name, e) :
			s->driver->create(s, name, e);
}

/* The index's UIDVALIDITY, so that no later folder gets it again. */
static int
retire_validity(struct store *s, struct span name, struct err *e)
{
	struct mailbox_status st;

	if (store_status(s, name, &st, e) != 0)
		return -1;
	return raise_validity(s, st.uid_validity, e);
}

int
store_delete(struct store *s, struct span name, struct err *e)
{
	unsigned attributes;
	bool there;

	if (name_is_inbox(name))
		return refuse(e, 0, "INBOX can't be deleted");
	if (name_check(s, name, e) != 0 ||
	    find(s, name, &there, &attributes, e) != 0)
		return -1;
	if (!there)
		return refuse(e, ENOENT, "no such mailbox");
	if ((attributes & BOX_NOSELECT) != 0) {
		if ((attributes & BOX_HASCHILDREN) != 0)
			return refuse(e, 0, "the name has mailboxes below it");
		return s->driver->remove(s, name, e);
	}
	if (retire_validity(s, name, e) != 0)
		return -1;
	return s->driver->remove(s, name, e);
}

static int
rename_inbox(struct store *s, struct span to, struct err *e)
{
	struct mailbox *mb;
	uint32_t *seqs, *uids, validity, count;
	int rc;

	if (s->driver->create(s, to, e) != 0 ||
	    mailbox_open(s, SPAN("INBOX"), false, &mb, e) != 0)
		return -1;
	count = mailbox_count(mb);
	seqs = mem_alloc(count * sizeof(*seqs));
	uids = mem_alloc(count * sizeof(*uids));
	for (uint32_t i = 0; i < count; i++)
		seqs[i] = i + 1;
	rc = count == 0 ?
	    0 :
	    mailbox_copy(mb, seqs, count, to, true, uids, &validity, e);
	mem_free(seqs);
	mem_free(uids);
	mailbox_close(&mb);
	return rc;
}

int
store_rename(
    struct store *s, struct span from, struct span to, struct err *e)
{
	unsigned attributes;
	bool there;

	if (name_check(s, to, e) != 0 ||
	    (!name_is_inbox(from) && name_check(s, from, e) != 0))
		return -1;
	if (name_is_inbox(to))
		return refuse(e, EEXIST, "INBOX exists");
	if (find(s, to, &there, &attributes, e) != 0)
		return -1;
	if (there)
		return refuse(e, EEXIST, "the mailbox exists");
	if (name_is_inbox(from))
		return rename_inbox(s, to, e);
	if (find(s, from, &there, &attributes, e) != 0)
		return -1;
	if (!there)
		return refuse(e, ENOENT, "no such mailbox");
	if (to.n > from.n && span_starts(to, from) &&
	    to.p[from.n] == (uint8_t)s->driver->separator)
		return refuse(e, 0, "a mailbox can't move below itself");
	if ((attributes & BOX_NOSELECT) == 0 &&
	    retire_validity(s, from, e) != 0)
		return -1;
	return s->driver->rename(s, from, to, e);
}
