/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/daemon/daemon_impl.h"
#include "lib/os/sock.h"

/* Asks as a session would; 0, or the errno that came back (-1: another
 * error). */
static int
ask(struct spawner *sp, struct spawned *s, int session, const char *op,
    const char *path)
{
	struct buf store;
	struct msg_out out;
	struct msg_in m;
	struct err e;
	int result = 0;

	buf_init(&store, LIMIT_IPC_MESSAGE);
	msg_begin(&out, MSG_LOCKFILE, 7, 0);
	msg_put_str(&out, F_OP, op);
	msg_put_str(&out, F_PATH, path);
	assert_int_equal(sync_send(session, &out, 1000, &e), 0);
	msg_out_release(&out);
	assert_int_equal(sync_receive(s->control, &store, &m, 1000, &e), 1);
	assert_int_equal(spawn_lockfile(sp, s, &m), 0);
	msg_in_release(&m);
	assert_int_equal(sync_receive(session, &store, &m, 1000, &e), 1);
	assert_int_equal(m.id, 7);
	if (m.type == MSG_ERROR)
		result = msg_get_u64(&m, F_STATUS) > 0
			     ? (int)msg_get_u64(&m, F_STATUS)
			     : -1;
	msg_in_release(&m);
	buf_release(&store);
	return result;
}

static char *
in(const char *dir, const char *name)
{
	return mem_printf("%s/%s", dir, name);
}

static void
only_the_users_own_files(void **state)
{
	char dir[] = "/tmp/spawn_lock_test.XXXXXX";
	struct daemon d = { .common = { .mail_spool_directory = dir } };
	struct spawner sp = { .daemon = &d };
	static char user[] = "bob", evil[] = "../bob";
	struct spawned s = { .user = user, .uid = getuid(), .pid = 77 };
	char *lock, *box, *other;
	struct err e;
	int pair[2];

	(void)state;
	assert_non_null(mkdtemp(dir));
	lock = in(dir, "bob.lock");
	box = in(dir, "bob");
	other = in(dir, "eve.lock");
	assert_int_equal(sock_pair(SOCK_SEQPACKET, pair, &e), 0);
	s.control = pair[0];
	assert_int_equal(ask(&sp, &s, pair[1], "make", lock), 0);
	assert_int_equal(access(lock, F_OK), 0);
	assert_int_equal(ask(&sp, &s, pair[1], "make", lock), EEXIST);
	assert_int_equal(ask(&sp, &s, pair[1], "touch", lock), 0);
	assert_int_equal(ask(&sp, &s, pair[1], "remove", lock), 0);
	assert_int_not_equal(access(lock, F_OK), 0);
	assert_int_equal(ask(&sp, &s, pair[1], "touch", lock), ENOENT);
	assert_int_equal(ask(&sp, &s, pair[1], "create", box), 0);
	assert_int_equal(access(box, F_OK), 0);
	/* Never another's, never its own mailbox's removal. */
	assert_int_equal(ask(&sp, &s, pair[1], "make", other), -1);
	assert_int_equal(ask(&sp, &s, pair[1], "remove", box), -1);
	assert_int_equal(ask(&sp, &s, pair[1], "create", lock), -1);
	assert_int_equal(ask(&sp, &s, pair[1], "chmod", lock), -1);
	assert_int_equal(ask(&sp, &s, pair[1], "make", "/etc/bob.lock"), -1);
	s.user = evil;
	mem_free(lock);
	lock = in(dir, "../bob.lock");
	assert_int_equal(ask(&sp, &s, pair[1], "make", lock), -1);
	unlink(box);
	rmdir(dir);
	mem_free(lock);
	mem_free(box);
	mem_free(other);
	close(pair[0]);
	close(pair[1]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_users_own_files),
	};

	return cmocka_run_group_tests_name("spawn_lock", tests, NULL, NULL);
}
