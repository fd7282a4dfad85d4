/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_TOOLS_POSTCONF_H
#define CHAPPE_TOOLS_POSTCONF_H

/* The parts of postconf(1). All end the process with a message on a fault. */

#include <stdbool.h>
#include <stddef.h>

struct postconf {
	const char *dir;
	bool defaults;      /* -d */
	bool explicit_only; /* -n */
	bool expand;        /* -x */
	bool fold;          /* -f */
	bool value_only;    /* -h */
	bool name_only;     /* -H */
	bool quiet;         /* -q */
};

enum postconf_edit { POSTCONF_SET, POSTCONF_REMOVE, POSTCONF_COMMENT };
/* Edits main.cf: args are "name=value" (SET) or names. */
void postconf_edit_main(const struct postconf *p, enum postconf_edit how,
    char *const *args);

/* -M: services; -F: their fields; -P: their -o parameters. args, which may be
 * none, choose: service, service/type, service/type/field or parameter. */
enum postconf_master { POSTCONF_SERVICES, POSTCONF_FIELDS, POSTCONF_PARAMS };
void postconf_print_master(const struct postconf *p,
    enum postconf_master what, char *const *args);

/* Edits master.cf. SET: "service/type=row", "service/type/field=value" or
 * "service/type/parameter=value"; REMOVE and COMMENT: the part before "=". */
void postconf_edit_master(const struct postconf *p,
    enum postconf_master what, enum postconf_edit how, char *const *args);

/* One line of output, folded if asked for: continuation lines begin with
 * four blanks. */
void postconf_print(const struct postconf *p, const char *name,
    const char *value);

#endif
