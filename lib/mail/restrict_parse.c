/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/restrict.h"

#include <stdlib.h>

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/mail/restrict_impl.h"
#include "lib/os/priv.h"

enum { LIST_BYTES_MAX = 1 << 20, SLEEP_MAX_S = 600 };

/* ---- words ---- */

/* Cuts the next word off: what stands in braces is one. -1: they do not
 * fit. */
int
restrict_word(struct span *rest, struct span *out, struct err *e)
{
	unsigned level = 0;
	size_t i = 0, from;

	while (i < rest->n && strchr(", \t\r\n", rest->p[i]) != NULL)
		i++;
	from = i;
	for (; i < rest->n; i++) {
		const uint8_t c = rest->p[i];

		if (c == '{')
			level++;
		else if (c == '}' && level-- == 0)
			return err_set(e, ERR_PERM, "4.3.5",
			    "\"}\" without \"{\"");
		else if (level == 0 && strchr(", \t\r\n", c) != NULL)
			break;
	}
	if (level > 0)
		return err_set(e, ERR_PERM, "4.3.5", "\"{\" without \"}\"");
	*out = span_slice(*rest, from, i);
	*rest = span_skip(*rest, i);
	return out->n > 0;
}

bool
restrict_braces(struct span word)
{
	return word.n > 1 && word.p[0] == '{' && word.p[word.n - 1] == '}';
}

/* ---- tables ---- */

/* "type:name", or "{ type:name { search_order = ... } }" of which the order
 * is what it is anyway. */
static int
open_table(struct restrict_set *set, struct span word, struct map **out,
    struct err *e)
{
	struct named_table *t;
	char *name;

	if (restrict_braces(word)) {
		struct span inner = span_slice(word, 1, word.n - 1);

		if (restrict_word(&inner, &word, e) < 0)
			return -1;
	}
	if (span_chr(word, ':') == SIZE_MAX)
		return err_set(e, ERR_PERM, "4.3.5",
		    "bad argument \"%.*s\": need maptype:mapname",
		    SPAN_FMT(span_slice(word, 0, 100)));
	for (t = set->tables; t != NULL; t = t->next)
		if (span_eq(word, span_str(t->name)))
			break;
	if (t == NULL) {
		struct map *m;

		name = span_dup(word);
		if (map_open(name, &m, e) != 0) {
			mem_free(name);
			return -1;
		}
		t = MEM_NEW(t);
		t->name = name;
		t->map = m;
		t->next = set->tables;
		set->tables = t;
	}
	*out = t->map;
	return 0;
}

/* ---- DNS lists ---- */

static int
parse_zone(struct span word, struct arena *a, struct zone **out,
    struct err *e)
{
	const size_t equals = span_chr(word, '=');
	struct zone *z = ARENA_NEW(a, z);
	const char *why;

	z->text = arena_str(a, word);
	z->domain = arena_str(a, span_slice(word, 0, equals));
	if (!valid_hostname(span_str(z->domain)))
		return err_set(e, ERR_PERM, "4.3.5",
		    "bad argument \"%.*s\": need a domain name",
		    SPAN_FMT(span_slice(word, 0, 100)));
	z->filtered = equals != SIZE_MAX;
	if (z->filtered && !ip_pattern_parse(span_skip(word, equals + 1),
			       &z->filter, &why))
		return err_set(e, ERR_PERM, "4.3.5",
		    "bad pattern \"%.*s\": %s",
		    SPAN_FMT(span_slice(word, equals + 1, equals + 80)), why);
	*out = z;
	return 0;
}

/* ---- lists ---- */

static struct class *
find_class(const struct restrict_set *set, struct span name)
{
	for (struct class *c = set->classes; c != NULL; c = c->next)
		if (span_ieq(name, span_str(c->name)))
			return c;
	return NULL;
}

static int
parse_argument(struct restrict_set *set, int flags, struct span word,
    struct restrict_list *l, struct step *step, struct err *e)
{
	uint64_t n;

	switch (step->op->arg) {
	case ARG_NONE:
	case ARG_CLASS:
		return 0;
	case ARG_ZONE:
		return parse_zone(word, &l->arena, &step->arg.zone, e);
	case ARG_SECONDS:
		if (!span_u64(word, SLEEP_MAX_S, &n))
			return err_set(e, ERR_PERM, "4.3.5",
			    "must be followed by a number up to %d",
			    SLEEP_MAX_S);
		step->arg.seconds = (unsigned)n;
		return 0;
	case ARG_TABLE:
	case ARG_POLICY:
		break;
	}
	if ((flags & PARSE_TABLES) == 0)
		return err_set(e, ERR_PERM, "4.3.5",
		    "do not specify lookup tables inside SMTPD access maps; "
		    "define a restriction class and specify its name instead");
	if (step->op->arg == ARG_TABLE)
		return open_table(set, word, &step->arg.table, e);
	return policy_find(set, word, &step->arg.policy, e);
}

static int
unknown(struct span word, struct err *e)
{
	const char *near = op_nearest(word);

	return err_set(e, ERR_PERM, "4.3.5",
	    "unknown smtpd restriction: \"%.*s\"%s%s",
	    SPAN_FMT(span_slice(word, 0, 80)),
	    near != NULL ? "; the nearest known is " : "",
	    near != NULL ? near : "");
}

/* What kind of restriction a word begins; *out_bare: it is a table. */
static int
parse_name(struct restrict_set *set, int flags, struct span word,
    struct step *step, struct err *e)
{
	step->op = op_find(word);
	if (step->op != NULL)
		return 0;
	step->arg.class = find_class(set, word);
	if (step->arg.class != NULL) {
		step->op = &op_class;
		return 0;
	}
	if (span_chr(word, ':') == SIZE_MAX)
		return unknown(word, e);
	if ((flags & PARSE_BARE) == 0)
		return err_set(e, ERR_PERM, "4.3.5",
		    "specify one of (check_client_access, "
		    "check_helo_access, check_sender_access, "
		    "check_recipient_access) before \"%.*s\"",
		    SPAN_FMT(span_slice(word, 0, 80)));
	step->op = &op_bare;
	return 0;
}

static int
parse_step(struct restrict_set *set, int flags, struct span *rest,
    struct span word, struct restrict_list *l, struct err *e)
{
	struct step step = { .op = NULL };
	int more;

	if (parse_name(set, flags, word, &step, e) != 0 || step.op == NULL)
		return -1;
	step.name = arena_str(&l->arena, word);
	if (step.op->arg != ARG_NONE && step.op->arg != ARG_CLASS &&
	    step.op != &op_bare) {
		more = restrict_word(rest, &word, e);
		if (more < 0)
			return err_wrap(e, "restriction %s", step.name);
		if (more == 0)
			return err_set(e, ERR_PERM, "4.3.5",
			    "restriction %.60s needs an argument", step.name);
	}
	if (parse_argument(set, flags, word, l, &step, e) != 0)
		return err_wrap(e, "restriction %.60s", step.name);
	l->steps = mem_resize(l->steps, l->count + 1, sizeof(*l->steps));
	l->steps[l->count++] = step;
	return 0;
}

int
restrict_parse(struct restrict_set *set, struct span text, int flags,
    struct restrict_list *out, struct err *e)
{
	struct restrict_list l = { .steps = NULL };
	struct span word;
	int more;

	arena_init(&l.arena, LIST_BYTES_MAX);
	while ((more = restrict_word(&text, &word, e)) > 0)
		if (parse_step(set, flags, &text, word, &l, e) != 0) {
			more = -1;
			break;
		}
	if (more < 0) {
		restrict_list_release(&l);
		return -1;
	}
	*out = l;
	return 0;
}

/* ---- the set ---- */

static const char *const list_params[LIST_COUNT] = {
	[LIST_CLIENT] = "smtpd_client_restrictions",
	[LIST_HELO] = "smtpd_helo_restrictions",
	[LIST_SENDER] = "smtpd_sender_restrictions",
	[LIST_RELAY] = "smtpd_relay_restrictions",
	[LIST_RCPT] = "smtpd_recipient_restrictions",
	[LIST_DATA] = "smtpd_data_restrictions",
	[LIST_END] = "smtpd_end_of_data_restrictions",
	[LIST_ETRN] = "smtpd_etrn_restrictions",
};

/* Puts "FILE: line N: PARAMETER" in front. */
static int
wrap_param(const struct restrict_set *set, const char *param, struct err *e)
{
	const struct conf_origin o = conf_origin(set->c, param);

	if (o.line == 0)
		return err_wrap(e, "%s: parameter %s", o.file, param);
	return err_wrap(e, "%s: line %u: parameter %s", o.file, o.line,
	    param);
}

/* All names first: a class may name another one. */
static int
name_classes(struct restrict_set *set, struct err *e)
{
	struct span rest = span_str(set->conf->smtpd_restriction_classes);
	struct span name;

	while (span_token(&rest, ", \t\r\n", &name)) {
		struct class *c;

		if (op_find(name) != NULL)
			return err_set(e, ERR_PERM, "4.3.5",
			    "%.*s is a restriction already",
			    SPAN_FMT(span_slice(name, 0, 80)));
		c = MEM_NEW(c);
		c->name = span_dup(name);
		c->list = MEM_NEW(c->list);
		c->next = set->classes;
		set->classes = c;
	}
	return 0;
}

static int
parse_classes(struct restrict_set *set, struct err *e)
{
	if (name_classes(set, e) != 0)
		return wrap_param(set, "smtpd_restriction_classes", e);
	for (struct class *c = set->classes; c != NULL; c = c->next) {
		const char *text = conf_value(set->c, c->name);

		if (text == NULL || text[0] == '\0') {
			err_set(e, ERR_PERM, "4.3.5",
			    "restriction class \"%.80s\" needs a definition",
			    c->name);
			return wrap_param(set, "smtpd_restriction_classes",
			    e);
		}
		if (restrict_parse(set, span_str(text),
			PARSE_BARE | PARSE_TABLES, c->list, e) != 0)
			return wrap_param(set, c->name, e);
	}
	return 0;
}

static int
parse_lists(struct restrict_set *set, struct err *e)
{
	const char *const texts[LIST_COUNT] = {
		[LIST_CLIENT] = set->conf->smtpd_client_restrictions,
		[LIST_HELO] = set->conf->smtpd_helo_restrictions,
		[LIST_SENDER] = set->conf->smtpd_sender_restrictions,
		[LIST_RELAY] = set->conf->smtpd_relay_restrictions,
		[LIST_RCPT] = set->conf->smtpd_recipient_restrictions,
		[LIST_DATA] = set->conf->smtpd_data_restrictions,
		[LIST_END] = set->conf->smtpd_end_of_data_restrictions,
		[LIST_ETRN] = set->conf->smtpd_etrn_restrictions,
	};

	for (int i = 0; i < LIST_COUNT; i++) {
		const bool bare = i != LIST_DATA && i != LIST_END;

		if (restrict_parse(set, span_str(texts[i]),
			PARSE_TABLES | (bare ? PARSE_BARE : 0),
			&set->lists[i], e) != 0)
			return wrap_param(set, list_params[i], e);
	}
	return 0;
}

/* Does a list refuse strangers' mail to elsewhere? What stands behind
 * "permit" or "warn_if_reject" does not count. */
static bool
has_required(const struct restrict_list *l, unsigned depth)
{
	for (size_t i = 0; i < l->count; i++) {
		const struct step *s = &l->steps[i];

		if (s->op->run == run_warn_if_reject && i + 1 < l->count) {
			i++;
			continue;
		}
		if (s->op->run == run_permit)
			return false;
		if (s->op->run == run_reject || s->op->run == run_defer ||
		    s->op->run == run_defer_if_permit ||
		    (s->op->run == run_auth_destination &&
			s->op->detail != DEST_PERMIT))
			return true;
		if (s->op == &op_class && depth < DEPTH_MAX &&
		    has_required(s->arg.class->list, depth + 1))
			return true;
	}
	return false;
}

static int
check_relaying(const struct restrict_set *set, struct err *e)
{
	if (has_required(&set->lists[LIST_RELAY], 0) ||
	    has_required(&set->lists[LIST_RCPT], 0))
		return 0;
	err_set(e, ERR_PERM, "4.3.5",
	    "specify at least one working instance of: "
	    "reject_unauth_destination, defer_unauth_destination, reject, "
	    "defer or defer_if_permit");
	return err_wrap(e, "in parameter smtpd_relay_restrictions or "
			   "smtpd_recipient_restrictions");
}

static bool
list_has(const char *list, const char *name)
{
	struct span rest = span_str(list), word;

	while (span_token(&rest, ", \t\r\n", &word))
		if (span_eq(word, span_str(name)))
			return true;
	return false;
}

int
restrict_new(struct conf *c, const struct restrict_conf *conf,
    const struct common_conf *common, struct restrict_set **out,
    struct err *e)
{
	struct restrict_set *set = MEM_NEW(set);

	set->c = c;
	set->conf = conf;
	set->common = common;
	set->parents = list_has(conf->parent_domain_matches_subdomains,
	    "smtpd_access_maps");
	if (parse_classes(set, e) != 0 || parse_lists(set, e) != 0 ||
	    check_relaying(set, e) != 0)
		goto bad;
	if (maps_open(conf->rbl_reply_maps, &set->rbl_replies, e) != 0) {
		wrap_param(set, "rbl_reply_maps", e);
		goto bad;
	}
	if (match_list_open(conf->permit_mx_backup_networks,
		&set->mx_networks, e) != 0) {
		wrap_param(set, "permit_mx_backup_networks", e);
		goto bad;
	}
	if (dnsbl_check_reply(conf->default_rbl_reply, e) != 0) {
		wrap_param(set, "default_rbl_reply", e);
		goto bad;
	}
	*out = set;
	return 0;
bad:
	restrict_free(&set);
	return -1;
}

void
restrict_free(struct restrict_set **ref)
{
	struct restrict_set *set = *ref;

	if (set == NULL)
		return;
	for (int i = 0; i < LIST_COUNT; i++)
		restrict_list_release(&set->lists[i]);
	for (struct class *c = set->classes, *next; c != NULL; c = next) {
		next = c->next;
		restrict_list_release(c->list);
		mem_free(c->list);
		mem_free(c->name);
		mem_free(c);
	}
	for (struct named_table *t = set->tables, *next; t != NULL; t = next) {
		next = t->next;
		map_free(&t->map);
		mem_free(t->name);
		mem_free(t);
	}
	for (struct restrict_policy *p = set->policies, *next; p != NULL;
	     p = next) {
		next = p->next;
		policy_free(p);
	}
	maps_free(&set->rbl_replies);
	match_list_free(&set->mx_networks);
	mem_free(set);
	*ref = NULL;
}

/* ---- the sandbox ---- */

/* Opens the directories of what looks like a table's path in a list, and the
 * way to policy services. */
static void
allow_tables(struct sandbox *s, const char *list)
{
	struct span rest = span_str(list), word;

	while (span_token(&rest, ", \t\r\n{}", &word)) {
		if (span_starts(word, SPAN("inet:")))
			sandbox_syscalls(s, SANDBOX_SYS_NET);
		const size_t colon = span_rchr(word, ':');
		const struct span path =
		    span_skip(word, colon == SIZE_MAX ? 0 : colon + 1);
		const size_t slash = span_rchr(path, '/');

		if (path.n == 0 || path.p[0] != '/' || slash == SIZE_MAX ||
		    span_starts(word, SPAN("unix:")))
			continue;
		char *dir = span_dup(
		    slash == 0 ? SPAN("/") : span_slice(path, 0, slash));

		sandbox_dir(s, dir, SANDBOX_READ);
		mem_free(dir);
	}
}

void
restrict_sandbox(struct conf *c, struct sandbox *s)
{
	static const char *const others[] = { "rbl_reply_maps",
		"permit_mx_backup_networks" };
	struct span rest = span_str(conf_value(c,
	    "smtpd_restriction_classes"));
	struct span name;

	for (int i = 0; i < LIST_COUNT; i++)
		allow_tables(s, conf_value(c, list_params[i]));
	for (size_t i = 0; i < COUNT_OF(others); i++)
		allow_tables(s, conf_value(c, others[i]));
	while (span_token(&rest, ", \t\r\n", &name)) {
		char *word = span_dup(name);
		const char *text = conf_value(c, word);

		if (text != NULL)
			allow_tables(s, text);
		mem_free(word);
	}
}
