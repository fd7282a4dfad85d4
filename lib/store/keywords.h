/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_STORE_KEYWORDS_H
#define CHAPPE_STORE_KEYWORDS_H

/*
 * The keywords of a mailbox: names with numbers from 0 to KEYWORDS_MAX-1 that
 * never change once given. They are kept in a file beside the index, one line
 * a name, the line's number being the keyword's. Names compare without case.
 */

#include <stdbool.h>

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/span.h"
#include "lib/store/store.h"

struct keywords {
	char *names[KEYWORDS_MAX];
	unsigned count;
};

void keywords_release(struct keywords *k);
/* Its number, or -1. */
int keywords_find(const struct keywords *k, struct span name);
/* Adds a name that is not there; -1 when there is no room, or it is no word
 * of printable bytes (at most 100). */
int keywords_add(struct keywords *k, struct span name);

/* A copy of a list of names that ends with NULL; NULL of NULL. */
char **keywords_copy(const char *const *words);
void keywords_copy_free(char **words);

/* Reads the file in the directory (missing: none). Names known already keep
 * their numbers. dir_fd -1: does nothing. */
int keywords_load(struct keywords *k, int dir_fd, const char *file,
    struct err *e);
int keywords_save(const struct keywords *k, int dir_fd, const char *file,
    struct err *e);

/* dovecot-keywords of a Maildir: which keyword the letters a..z in file names
 * mean. letter[i]: the keyword's number, or -1. */
struct keyword_letters {
	int number[26];
};
/* Parses the file; names not known yet are added to k. */
void keyword_letters_parse(struct span text, struct keywords *k,
    struct keyword_letters *out);
int keyword_letters_load(struct keyword_letters *l, struct keywords *k,
    int dir_fd, struct err *e);
/* Gives letters to those keywords of the set that have none, as far as there
 * are letters, and makes that durable. */
int keyword_letters_give(struct keyword_letters *l, const struct keywords *k,
    uint64_t set, int dir_fd, struct err *e);
/* From and to a set of letters (bit 0: a). */
uint64_t keyword_letters_to_set(const struct keyword_letters *l,
    uint32_t letters);
uint32_t keyword_letters_from_set(const struct keyword_letters *l,
    uint64_t set);

#endif
