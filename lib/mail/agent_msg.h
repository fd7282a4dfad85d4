/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_MAIL_AGENT_MSG_H
#define CHAPPE_MAIL_AGENT_MSG_H

/* Numbers and limits that both ends of the agents' protocol share. */

enum {
	AGENT_MORE = 1,	   /* F_FLAGS of MSG_AGENT: another one follows */
	AGENT_TEXT = 1000, /* longest F_TEXT and F_DIAGNOSTIC of a result */
	/* F_FLAGS of MSG_RESULT, for landing: delivered, not yet on disk.
	 * MSG_ON_DISK follows; qmgr does not mark before. */
	RESULT_NOT_ON_DISK = 1,
};

#endif
