/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_TOOLS_TOOL_H
#define CHAPPE_TOOLS_TOOL_H

/*
 * What the commands share: their name, where the configuration is, and how
 * they end. State: the name and the exit status for fatal errors, set once.
 */

#include <stdnoreturn.h>

#include "lib/conf/conf.h"

/* Takes the last part of argv[0] as the name; fatal is the status that
 * tool_fatal exits with (75 for sendmail, 69 for postqueue, else 1). Opens
 * /dev/null on 0-2 where they are closed. */
void tool_init(const char *argv0, int fatal);
const char *tool_name(void);

/* Prints "NAME: fatal: TEXT" ("NAME: warning: TEXT") on stderr. */
noreturn void tool_fatal(const char *fmt, ...)
    __attribute__((format(printf, 1, 2)));
void tool_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The configuration directory: option if not NULL (a -c option; a path of
 * main.cf itself will do), else $CHAPPE_CONFIG, $MAIL_CONFIG, /etc/chappe.
 * Lives as long as the process. */
const char *tool_conf_dir(const char *option);

/* Reads it, and fills out from the common parameters; fatal when it can't.
 * The conf must outlive out. */
struct conf *tool_conf(const char *dir, struct common_conf *out);

/* Becomes another command of ours, from $command_directory; fatal when it
 * can't. CHAPPE_CONFIG is set for it. */
noreturn void tool_exec(const struct common_conf *common, const char *dir,
    const char *const argv[]);

#endif
