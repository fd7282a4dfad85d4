/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/os/priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* Runs fn in a child; its exit status. */
static int
in_child(int (*fn)(void))
{
	int status;
	const pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void
looks_users_up(void **state)
{
	struct priv_user u;
	struct err e;
	gid_t gid;

	(void)state;
	assert_int_equal(priv_lookup("root", &u, &e), 0);
	assert_int_equal(u.uid, 0);
	assert_int_equal(u.gid, 0);
	assert_int_equal(priv_lookup("no-such-user-here", &u, &e), -1);
	assert_int_equal(e.kind, ERR_PERM);
	assert_int_equal(priv_lookup_group("root", &gid, &e), 0);
	assert_int_equal(gid, 0);
	assert_int_equal(priv_lookup_group("no-such-group-here", &gid, &e), -1);
}

static bool
has(cap_value_t cap)
{
	cap_t set = cap_get_proc();
	cap_flag_value_t v = CAP_CLEAR;

	cap_get_flag(set, cap, CAP_PERMITTED, &v);
	cap_free(set);
	return v == CAP_SET;
}

static int
become_for_good(void)
{
	const struct priv_user u = { 1234, 2345 };
	const gid_t groups[] = { 3456 };
	gid_t now[4];

	if (priv_become(&u, groups, 1, NULL, 0, NULL) != 0)
		return 1;
	if (getuid() != 1234 || geteuid() != 1234 || getgid() != 2345)
		return 2;
	if (getgroups(4, now) != 1 || now[0] != 3456)
		return 3;
	if (seteuid(0) == 0 || setegid(0) == 0 || has(CAP_SETUID))
		return 4;
	return cap_get_bound(CAP_SETUID) != 0 ? 5 : 0;
}

static int
become_with_a_capability(void)
{
	const struct priv_user u = { 1234, 2345 };
	const int keep[] = { CAP_NET_BIND_SERVICE };

	if (priv_become(&u, NULL, 0, keep, 1, NULL) != 0)
		return 1;
	return has(CAP_NET_BIND_SERVICE) && !has(CAP_SETUID) && !has(CAP_KILL)
		   ? 0
		   : 2;
}

static int
keep_some(void)
{
	const int keep[] = { CAP_SETUID, CAP_SETGID };

	if (priv_keep_caps(keep, 2, NULL) != 0)
		return 1;
	if (!has(CAP_SETUID) || has(CAP_KILL) || has(CAP_DAC_OVERRIDE))
		return 2;
	if (cap_get_bound(CAP_KILL) != 0 || cap_get_bound(CAP_SETGID) != 1)
		return 3;
	return getuid() == 0 ? 0 : 4;
}

static int
limit_some(void)
{
	const int keep[] = { CAP_SETUID };

	if (priv_limit_caps(keep, 1, NULL) != 0)
		return 1;
	return has(CAP_SETUID) && !has(CAP_KILL) && cap_get_bound(CAP_KILL) == 1
		   ? 0
		   : 2;
}

static void
gives_rights_away(void **state)
{
	(void)state;
	if (!priv_is_root()) {
		print_message("skipped: needs root to change identity\n");
		skip();
	}
	assert_int_equal(in_child(become_for_good), 0);
	assert_int_equal(in_child(become_with_a_capability), 0);
	assert_int_equal(in_child(keep_some), 0);
	assert_int_equal(in_child(limit_some), 0);
}

static int
set_marks(void)
{
	if (priv_no_new_privs(NULL) != 0 || priv_not_dumpable(NULL) != 0)
		return 1;
	return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 &&
		       prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0
		   ? 0
		   : 2;
}

static void
sets_process_marks(void **state)
{
	(void)state;
	assert_int_equal(in_child(set_marks), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(looks_users_up),
		cmocka_unit_test(gives_rights_away),
		cmocka_unit_test(sets_process_marks),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
