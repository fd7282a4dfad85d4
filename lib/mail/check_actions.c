/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/check_actions.h"

#include "lib/base/mem.h"

void
check_actions_add(struct check_actions *a, struct span address)
{
	struct check_rcpt *one, **at = &a->added;

	if (!arena_ok(a->arena))
		return;
	one = ARENA_NEW(a->arena, one);
	one->address = arena_dup(a->arena, address);
	while (*at != NULL)
		at = &(*at)->next;
	*at = one;
}

const char *
check_reject_text(const struct check_hit *hit)
{
	return hit->text.n == 0 ? "message content rejected"
				: log_quote(hit->text, 500);
}

static void
log_hit(const struct check_hit *hit, const struct log_ctx *log,
    const char *whose, const char *where)
{
	const bool reject = hit->action == CHECK_REJECT;

	if (check_action_name(hit->action)[0] == '\0')
		return;
	log_info(log, "%s%s: %s %s %s%s%s%s%s", whose,
	    check_action_name(hit->action), hit->kind,
	    log_quote(hit->line, 200), where,
	    reject || hit->text.n > 0 ? ": " : "", reject ? hit->dsn : "",
	    reject ? " " : "",
	    reject ? check_reject_text(hit) : log_quote(hit->text, 500));
}

bool
check_actions_note(struct check_actions *a, const struct check_hit *hit,
    const struct log_ctx *log, const char *whose, const char *where)
{
	if (a->refused || a->discard)
		return false;
	log_hit(hit, log, whose, where);
	switch (hit->action) {
	case CHECK_REJECT:
		a->refused = true;
		return true;
	case CHECK_DISCARD:
		a->discard = true;
		break;
	case CHECK_HOLD:
		a->hold = true;
		break;
	case CHECK_FILTER:
		a->filter = arena_dup(a->arena, hit->text);
		break;
	case CHECK_REDIRECT:
		a->redirect = arena_dup(a->arena, hit->text);
		break;
	case CHECK_BCC:
		check_actions_add(a, hit->text);
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
	return false;
}
