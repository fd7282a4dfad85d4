/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/store/driver.h"

static int
mbox_open(struct mailbox *mb, struct err *e)
{
	(void)mb;
	return err_set(e, ERR_TEMP, "4.3.5", "mbox is not supported yet");
}

static int
mbox_list(struct store *s, store_list_fn fn, void *arg, struct err *e)
{
	(void)s;
	(void)fn;
	(void)arg;
	return err_set(e, ERR_TEMP, "4.3.5", "mbox is not supported yet");
}

const struct store_driver mbox_driver = {
	.separator = '/',
	.open = mbox_open,
	.list = mbox_list,
};
