/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "pickup/actions.h"

enum { ACTIONS_MAX = 1 << 20 };

void
actions_init(struct actions *a)
{
	*a = (struct actions){ .discard = false };
	arena_init(&a->arena, ACTIONS_MAX);
}

void
actions_release(struct actions *a)
{
	arena_reset(&a->arena);
}

void
actions_add(struct actions *a, struct span address)
{
	struct added_rcpt *one, **at = &a->added;

	if (!arena_ok(&a->arena))
		return;
	one = ARENA_NEW(&a->arena, one);
	one->address = arena_dup(&a->arena, address);
	while (*at != NULL)
		at = &(*at)->next;
	*at = one;
}

/* "QID: reject: header Subject: x from local; from=<s>: 5.7.1 text", as
 * Postfix has it. */
static void
log_hit(const struct check_hit *hit, const struct log_ctx *log,
    struct span sender)
{
	const bool reject = hit->action == CHECK_REJECT;

	log_info(log, "%s: %s %s from local; from=<%s>%s%s%s%s",
	    check_action_name(hit->action), hit->kind,
	    log_quote(hit->line, 200), log_quote(sender, 500),
	    reject || hit->text.n > 0 ? ": " : "", reject ? hit->dsn : "",
	    reject ? " " : "",
	    reject && hit->text.n == 0 ? "message content rejected" :
					 log_quote(hit->text, 500));
}

static void
refuse(struct actions *a, const struct check_hit *hit)
{
	a->refused = true;
	err_set(&a->why, ERR_PERM, hit->dsn, "%s", hit->text.n == 0 ?
	    "message content rejected" : log_quote(hit->text, 200));
}

void
actions_note(struct actions *a, const struct check_hit *hit,
    const struct log_ctx *log, struct span sender)
{
	if (a->refused || a->discard)
		return; /* decided */
	log_hit(hit, log, sender);
	switch (hit->action) {
	case CHECK_REJECT:
		refuse(a, hit);
		break;
	case CHECK_DISCARD:
		a->discard = true;
		break;
	case CHECK_HOLD:
		a->hold = true;
		break;
	case CHECK_FILTER:
		a->filter = arena_dup(&a->arena, hit->text);
		break;
	case CHECK_REDIRECT:
		a->redirect = arena_dup(&a->arena, hit->text);
		break;
	case CHECK_BCC:
		actions_add(a, hit->text);
		break;
	case CHECK_WARN:
	case CHECK_INFO:
	case CHECK_PREPEND:
	case CHECK_REPLACE:
	case CHECK_STRIP:
	case CHECK_IGNORE:
	case CHECK_NOTHING:
	case CHECK_FAILED:
		break;
	}
}
