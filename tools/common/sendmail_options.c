/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "tools/common/sendmail.h"

#include <ctype.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "lib/base/mem.h"

/* Postfix's letters, in its order. */
#define LETTERS "A:B:C:F:GIL:N:O:R:UV:X:b:ce:f:h:imno:p:r:q:tvx"

static enum sendmail_mode
run_mode(const char *arg)
{
	if (strlen(arg) == 1) {
		switch (arg[0]) {
		case 'm':
			return SENDMAIL_DELIVER;
		case 's':
			return SENDMAIL_SMTP;
		case 'p':
			return SENDMAIL_LIST;
		case 'i':
			return SENDMAIL_ALIASES;
		case 'd':
		case 'l':
			return SENDMAIL_DAEMON;
		case 'h':
		case 'H':
			return SENDMAIL_NOTHING;
		}
	}
	tool_fatal("unsupported: -b%s", arg);
}

/* never, or success, failure, delay. A wrong list is ignored (RFC 3461). */
static uint32_t
notify_list(const char *arg)
{
	struct span rest = span_str(arg), word;
	uint32_t bits = 0;

	while (span_token(&rest, ",", &word)) {
		if (span_ieq(word, SPAN("never")))
			bits |= DSN_NOTIFY_NEVER;
		else if (span_ieq(word, SPAN("success")))
			bits |= DSN_NOTIFY_SUCCESS;
		else if (span_ieq(word, SPAN("failure")))
			bits |= DSN_NOTIFY_FAILURE;
		else if (span_ieq(word, SPAN("delay")))
			bits |= DSN_NOTIFY_DELAY;
		else
			bits = UINT32_MAX;
		if (bits == UINT32_MAX)
			break;
	}
	if (bits == 0 || (bits != DSN_NOTIFY_NEVER &&
	    (bits & DSN_NOTIFY_NEVER) != 0)) {
		tool_warning("bad -N option value -- ignored");
		return 0;
	}
	return bits;
}

static enum dsn_ret
return_word(const char *arg)
{
	if (strcasecmp(arg, "full") == 0)
		return DSN_RET_FULL;
	if (strcasecmp(arg, "hdrs") == 0)
		return DSN_RET_HDRS;
	tool_warning("bad -R option value -- ignored");
	return DSN_RET_UNSET;
}

static const char *
envelope_id(const char *arg)
{
	size_t n = strlen(arg);

	for (size_t i = 0; i < n; i++)
		if (arg[i] < ' ' || arg[i] > '~')
			n = 0;
	if (n == 0 || n > 100) {
		tool_warning("bad -V option value -- ignored");
		return NULL;
	}
	return arg;
}

static bool
body_type(const char *arg)
{
	if (strcasecmp(arg, "8BITMIME") == 0)
		return true;
	if (strcasecmp(arg, "7BIT") == 0)
		return false;
	tool_fatal("-B option needs 7BIT or 8BITMIME");
}

static void
queue_option(struct sendmail_options *o, const char *arg)
{
	if (isdigit((unsigned char)arg[0])) {
		if (o->mode != SENDMAIL_DAEMON)
			o->mode = SENDMAIL_NOTHING;
	} else if (arg[0] == 'R') {
		o->mode = SENDMAIL_FLUSH_SITE;
		o->flush = arg + 1;
	} else if (arg[0] == 'I') {
		o->mode = SENDMAIL_FLUSH_ID;
		o->flush = arg + 1;
	} else {
		tool_fatal("-q%c is not implemented", arg[0]);
	}
}

/* -oX: only i and A mean anything here. */
static void
o_option(struct sendmail_options *o, const char *arg)
{
	if (arg[0] == 'i' && arg[1] == '\0')
		o->dot_is_data = true;
	else if (arg[0] == 'A' && arg[1] != '\0')
		o->aliases = arg + 1;
}

static void
one_option(struct sendmail_options *o, int letter, const char *arg)
{
	switch (letter) {
	case 'b':
		o->mode = run_mode(arg);
		break;
	case 'B':
		o->eight_bit = body_type(arg);
		break;
	case 'C':
		o->conf_dir = arg;
		break;
	case 'f':
	case 'r':
		o->sender = arg;
		break;
	case 'F':
		o->full_name = arg;
		break;
	case 'i':
		o->dot_is_data = true;
		break;
	case 'I':
		o->mode = SENDMAIL_ALIASES;
		break;
	case 'N':
		o->dsn_notify = notify_list(arg);
		break;
	case 'R':
		o->dsn_ret = return_word(arg);
		break;
	case 'V':
		o->dsn_envid = envelope_id(arg);
		break;
	case 'o':
		o_option(o, arg);
		break;
	case 'q':
		queue_option(o, arg);
		break;
	case 't':
		o->extract = true;
		break;
	case 'n':
		tool_fatal("-n option not supported");
	case '?':
		tool_fatal("usage: %s [options]", tool_name());
	}
}

/* Taken out of the list first: "-q" alone, a flush, since getopt wants an
 * argument there; and sendmail's -d with its levels, which means nothing. */
static int
take_bare_q(int argc, char *argv[], bool *out_flush)
{
	int kept = 0;
	bool options = true;

	for (int i = 0; i < argc; i++) {
		if (strcmp(argv[i], "--") == 0)
			options = false;
		if (options && i > 0 && strcmp(argv[i], "-q") == 0)
			*out_flush = true;
		else if (!options || i == 0 ||
		    strncmp(argv[i], "-d", 2) != 0)
			argv[kept++] = argv[i];
	}
	argv[kept] = NULL;
	return kept;
}

static void
no_recipients_with(const struct sendmail_options *o)
{
	if (o->mode == SENDMAIL_LIST && o->rcpts[0] != NULL)
		tool_fatal("display queue mode requires no recipient");
	if (o->mode == SENDMAIL_ALIASES && o->rcpts[0] != NULL)
		tool_fatal("alias initialization mode requires no recipient");
	if (o->mode == SENDMAIL_SMTP && o->rcpts[0] != NULL)
		tool_fatal("stand-alone mode requires no recipient");
	if (o->extract && o->mode != SENDMAIL_DELIVER)
		tool_fatal("-t can be used only in delivery mode");
}

void
sendmail_options(int argc, char *argv[], struct sendmail_options *out)
{
	struct sendmail_options o = { .mode = SENDMAIL_DELIVER };
	bool flush = false;
	int letter;

	if (strcmp(tool_name(), "mailq") == 0)
		o.mode = SENDMAIL_LIST;
	else if (strcmp(tool_name(), "newaliases") == 0)
		o.mode = SENDMAIL_ALIASES;
	argc = take_bare_q(argc, argv, &flush);
	opterr = 0;
	while ((letter = getopt(argc, argv, LETTERS)) != -1) {
		if (letter == 'h' || letter == 'X' || letter == 'x')
			continue; /* taken and ignored, like some below */
		one_option(&o, letter, optarg);
	}
	if (flush && o.mode == SENDMAIL_DELIVER)
		o.mode = SENDMAIL_FLUSH;
	o.rcpts = argv + optind;
	no_recipients_with(&o);
	*out = o;
}
