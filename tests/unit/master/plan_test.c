/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "master/master.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base/mem.h"

static char dir[] = "/tmp/chappe-plan-XXXXXX";

static int
make_dir(void **state)
{
	(void)state;
	return mkdtemp(dir) != NULL ? 0 : -1;
}

static int
remove_dir(void **state)
{
	char command[100];

	(void)state;
	snprintf(command, sizeof(command), "rm -r %s", dir);
	return system(command);
}

static void
write_file(const char *name, const char *text)
{
	char path[100];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

/* User names that every host has: the test may run as root. */
static const char users[] = "mail_owner = nobody\n"
			    "smtpd_owner = nobody\n"
			    "net_owner = nobody\n"
			    "auth_owner = nobody\n"
			    "login_owner = nobody\n"
			    "log_owner = nobody\n"
			    "ipc_group = root\n"
			    "admin_group = root\n"
			    "queue_directory = /q\n"
			    "myhostname = mx.example.test\n";

static int
load(const char *main_cf, const char *master_cf, struct config **out,
    struct err *e)
{
	char *text = mem_printf("%s%s", users, main_cf);
	int ret;

	write_file("main.cf", text);
	write_file("master.cf", master_cf);
	mem_free(text);
	ret = config_load(dir, out, e);
	return ret;
}

static struct config *
loaded(const char *main_cf, const char *master_cf)
{
	struct config *c = NULL;
	struct err e = { 0 };

	if (load(main_cf, master_cf, &c, &e) != 0)
		fail_msg("%s", e.text);
	return c;
}

static size_t
plan_count(struct config *c)
{
	size_t n = 0;

	LIST_EACH(&c->plans, link)
	n++;
	return n;
}

static struct plan *
plan_at(struct config *c, size_t index)
{
	LIST_EACH(&c->plans, link)
	if (index-- == 0)
		return CONTAINER_OF(link, struct plan, link);
	mem_bug(__FILE__, __LINE__, "there is no such plan");
}

/* "KIND KEY, ..." of a plan's sockets. */
static const char *
sockets(struct plan *p)
{
	static char text[1000];
	size_t n = 0;

	text[0] = '\0';
	LIST_EACH(&p->sockets, link)
	{
		const struct socket_spec *s =
		    CONTAINER_OF(link, struct socket_spec, link);

		n += (size_t)snprintf(text + n, sizeof(text) - n, "%s%s %s",
		    n > 0 ? ", " : "", s->kind, s->key);
	}
	return text;
}

static void
inet_services_follow_the_interfaces(void **state)
{
	static const struct {
		const char *main_cf, *service, *sockets;
	} rows[] = {
		{ "", "smtp", "inet inet:[0.0.0.0]:25, inet inet:[::]:25" },
		{ "inet_protocols = ipv4\n", "submission",
		    "inet inet:[0.0.0.0]:587" },
		{ "inet_interfaces = loopback-only\n", "465",
		    "inet inet:[127.0.0.1]:465, inet inet:[::1]:465" },
		{ "inet_interfaces = 192.0.2.1, [2001:db8::1]\n", "smtp",
		    "inet inet:[192.0.2.1]:25, inet inet:[2001:db8::1]:25" },
		{ "inet_interfaces = 192.0.2.1\n", "127.0.0.1:2525",
		    "inet inet:[127.0.0.1]:2525" },
		{ "", "[::1]:submissions", "inet inet:[::1]:465" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char *line =
		    mem_printf("%s inet n - n - - smtpd\n", rows[i].service);
		struct config *c = loaded(rows[i].main_cf, line);

		assert_string_equal(sockets(plan_at(c, 0)), rows[i].sockets);
		assert_string_equal(plan_at(c, 0)->name, rows[i].service);
		config_free(&c);
		mem_free(line);
	}
}

static void
smtpd_has_a_process_for_each_core(void **state)
{
	struct config *c = loaded("", "25 inet n - n - - smtpd\n"
				      "26 inet n - n - 7 smtpd\n");
	cpu_set_t cores, one;

	(void)state;
	assert_int_equal(sched_getaffinity(0, sizeof(cores), &cores), 0);
	assert_int_equal(plan_at(c, 0)->limit,
	    CPU_COUNT(&cores) < 32 ? CPU_COUNT(&cores) : 32);
	assert_int_equal(plan_at(c, 1)->limit, 7);
	assert_int_equal(plan_at(c, 0)->company, plan_at(c, 0)->limit);
	assert_int_equal(plan_at(c, 1)->company,
	    plan_at(c, 0)->limit < 7 ? plan_at(c, 0)->limit : 7);
	config_free(&c);
	CPU_ZERO(&one);
	for (size_t i = 0; CPU_COUNT(&one) == 0; i++)
		if (CPU_ISSET(i, &cores))
			CPU_SET(i, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
	c = loaded("", "25 inet n - n - - smtpd\n"
		       "26 inet n - n - 0 smtpd\n");
	assert_int_equal(plan_at(c, 0)->limit, 1);
	assert_int_equal(plan_at(c, 1)->limit, 0);
	assert_int_equal(plan_at(c, 1)->company, 1);
	config_free(&c);
	assert_int_equal(sched_setaffinity(0, sizeof(cores), &cores), 0);
}

static void
single_programs_have_one_process_for_all_lines(void **state)
{
	struct config *c =
	    loaded("", "qmgr unix y - n - 1 qmgr\n"
		       "a unix y - n - - smtp\n"
		       "qmgr unix n - n - 1 qmgr\n"
		       "b unix - - n - 7 smtpd -o message_size_limit=5 x\n");
	struct plan *p;

	(void)state;
	assert_int_equal(plan_count(c), 3);
	p = plan_at(c, 0);
	assert_string_equal(
	    sockets(p), "unix unix:/q/private/qmgr, unix unix:/q/public/qmgr");
	assert_int_equal(p->limit, 1);
	assert_true(p->boot);
	p = plan_at(c, 1);
	assert_string_equal(sockets(p), "unix unix:/q/private/a");
	assert_int_equal(p->limit, 100);
	assert_false(p->boot);
	p = plan_at(c, 2);
	assert_int_equal(p->limit, 7);
	assert_string_equal(p->overrides[0], "message_size_limit=5");
	assert_string_equal(p->args[0], "x");
	config_free(&c);
}

static void
imap_listens_as_its_parameters_say(void **state)
{
	static const char line[] = "imap-login unix y - n - - imap-login\n";
	struct config *c;

	(void)state;
	c = loaded("", line);
	assert_string_equal(sockets(plan_at(c, 0)),
	    "unix unix:/q/private/imap-login, imap inet:[0.0.0.0]:143, "
	    "imap inet:[::]:143, imaps inet:[0.0.0.0]:993, "
	    "imaps inet:[::]:993");
	config_free(&c);
	c = loaded(
	    "listen = 127.0.0.1\nimap_port = 0\nimaps_port = 1993\n", line);
	assert_string_equal(sockets(plan_at(c, 0)),
	    "unix unix:/q/private/imap-login, imaps inet:[127.0.0.1]:1993");
	config_free(&c);
	c = loaded("protocols =\n", line);
	assert_string_equal(
	    sockets(plan_at(c, 0)), "unix unix:/q/private/imap-login");
	config_free(&c);
}

/* The fingerprint of the first service under a configuration. */
static char *
fingerprint(const char *main_cf, const char *master_cf)
{
	struct config *c = loaded(main_cf, master_cf);
	char *f = mem_strdup(plan_at(c, 0)->fingerprint);

	config_free(&c);
	return f;
}

static void
fingerprints_tell_what_changed(void **state)
{
	static const char line[] = "a unix - - n - - smtpd\n";
	static const struct {
		const char *main_cf, *master_cf;
		bool same;
	} rows[] = {
		{ "", "# a comment\na unix - - n - - smtpd\n", true },
		{ "message_size_limit = 5\n", line, false },
		{ "", "a unix - - n - - smtpd -o message_size_limit=5\n",
		    false },
		{ "", "a unix - - n - - smtpd x\n", false },
		{ "", "a unix - - n - 5 smtpd\n", true },
		{ "message_size_limit = 10240000\n", line, true },
		{ "message_size_limit = ${x?1}${x:10240000}\n", line, true },
	};
	char *before = fingerprint("", line);

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char *f = fingerprint(rows[i].main_cf, rows[i].master_cf);

		assert_int_equal(strcmp(before, f) == 0, rows[i].same);
		mem_free(f);
	}
	mem_free(before);
}

static void
errors_say_where(void **state)
{
	static const struct {
		const char *main_cf, *master_cf, *error;
	} rows[] = {
		{ "", "", "no services" },
		{ "", "a unix - - n - - nosuch\n",
		    "master.cf: line 1: no such program: nosuch" },
		{ "", "\nnosuchport inet n - n - - smtpd\n",
		    "master.cf: line 2: no such port: nosuchport" },
		{ "", "1143 inet n - n - - imap-login\n", "imaps_port" },
		{ "", "a unix - - n - - smtpd\na unix n - n - - smtpd\n",
		    "service a is already on line 1" },
		{ "", "a unix - - n - - smtpd -o nosuch=1\n", "line 1" },
		{ "nosuch = 1\n", "a unix - - n - - smtpd\n", "main.cf: line" },
		{ "inet_interfaces =\n", "smtp inet n - n - - smtpd\n",
		    "no address" },
		{ "smtpd_tls_cert_file = /nonexistent/cert.pem\n",
		    "a unix - - n - - smtpd\n", "/nonexistent/cert.pem" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct config *c = NULL;
		struct err e = { 0 };

		assert_int_equal(
		    load(rows[i].main_cf, rows[i].master_cf, &c, &e), -1);
		if (strstr(e.text, rows[i].error) == NULL)
			fail_msg("%zu: %s", i, e.text);
		assert_null(c);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(inet_services_follow_the_interfaces),
		cmocka_unit_test(smtpd_has_a_process_for_each_core),
		cmocka_unit_test(
		    single_programs_have_one_process_for_all_lines),
		cmocka_unit_test(imap_listens_as_its_parameters_say),
		cmocka_unit_test(fingerprints_tell_what_changed),
		cmocka_unit_test(errors_say_where),
	};

	return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
