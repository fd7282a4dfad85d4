/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/daemon/daemon_impl.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static int
listeners_parse(const char *kinds, struct daemon_options *o, struct err *e)
{
	struct span rest = span_str(kinds), kind;

	while (span_token(&rest, ",", &kind)) {
		struct daemon_listener *l = &o->listeners[o->listener_count];

		if (o->listener_count == LISTENERS_MAX ||
		    !span_copy(kind, l->kind, sizeof(l->kind)))
			return err_set(e, ERR_PERM, "5.3.5",
			    "bad list of listeners: %s", kinds);
		l->index = (unsigned)o->listener_count;
		l->fd = CONTROL_FD + 1 + (int)o->listener_count;
		l->inet = strcmp(l->kind, "unix") != 0;
		o->listener_count++;
	}
	return 0;
}

int
daemon_options_parse(int argc, char *argv[], struct daemon_options *out,
    struct err *e)
{
	uint64_t number;
	int c;

	memset(out, 0, sizeof(*out));
	out->shared_fd = -1;
	optind = 1;
	opterr = 0;
	while ((c = getopt(argc, argv, "+c:d:g:l:m:n:o:tw")) != -1) {
		switch (c) {
		case 'c':
			out->conf_dir = optarg;
			break;
		case 'd':
			out->debug = optarg;
			break;
		case 'g':
			out->generation = optarg;
			break;
		case 'l':
			if (listeners_parse(optarg, out, e) != 0)
				return -1;
			break;
		case 'm':
			if (!span_u64(span_str(optarg), FD_MAX, &number) ||
			    number <= CONTROL_FD)
				return err_set(e, ERR_PERM, "5.3.5",
				    "bad descriptor: %s", optarg);
			out->shared_fd = (int)number;
			break;
		case 'n':
			out->service = optarg;
			break;
		case 't':
			out->test = true;
			break;
		case 'w':
			out->standby = true;
			break;
		case 'o':
			if (out->override_count == OVERRIDES_MAX)
				return err_set(e, ERR_PERM, "5.3.5",
				    "too many -o options");
			out->overrides[out->override_count++] = optarg;
			break;
		default:
			return err_set(e, ERR_PERM, "5.3.5",
			    "unknown option or missing value: -%c", optopt);
		}
	}
	if (out->conf_dir == NULL || out->service == NULL)
		return err_set(e, ERR_PERM, "5.3.5",
		    "this program is started by master only");
	out->args = argv + optind;
	return 0;
}
