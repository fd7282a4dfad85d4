/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_BASE_LIST_H
#define CHAPPE_BASE_LIST_H

/*
 * A doubly linked ring whose links live inside the elements; the head is a
 * link too. The list owns nothing. CONTAINER_OF (mem.h) leads from a link to
 * its element.
 */

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/mem.h"

struct list {
	struct list *prev, *next;
};

static inline void
list_init(struct list *head)
{
	head->prev = head->next = head;
}

static inline bool
list_empty(const struct list *head)
{
	return head->next == head;
}

static inline void
list_insert(struct list *before, struct list *link)
{
	link->prev = before->prev;
	link->next = before;
	before->prev->next = link;
	before->prev = link;
}

/* Adds at the end (the front) of the list. */
static inline void
list_push(struct list *head, struct list *link)
{
	list_insert(head, link);
}

static inline void
list_unshift(struct list *head, struct list *link)
{
	list_insert(head->next, link);
}

/* Takes the link out and makes it a list of its own, so that removing it
 * twice is harmless. */
static inline void
list_remove(struct list *link)
{
	link->prev->next = link->next;
	link->next->prev = link->prev;
	list_init(link);
}

/* The first link, or NULL. */
static inline struct list *
list_first(struct list *head)
{
	return list_empty(head) ? NULL : head->next;
}

/* Runs over all elements; the current one may be removed in the body. */
#define LIST_EACH(head, link)                                                  \
	for (struct list *link = (head)->next, *link##_next = link->next;      \
	     link != (head); link = link##_next, link##_next = link->next)

#endif
