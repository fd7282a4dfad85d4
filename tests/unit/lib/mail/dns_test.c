/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"

/* What the stand-in for the resolver answers. */
struct row {
	const char *name;
	unsigned type, rcode, secure, ttl;
	struct span rr[3];
};

struct world {
	struct loop *loop;
	char dir[64], path[80];
	int listen_fd;
	struct watch *watch;
	struct server *server;
	struct client *client;
	struct timer *deadline;
	const struct row *rows;
	unsigned asked, flags, answers;
	/* The last answer. */
	enum dns_status status;
	struct err err;
	bool secure;
	uint32_t ttl;
	char text[512]; /* its hosts, addresses or name */
};

static void
out_of_time(void *arg)
{
	(void)arg;
	fail_msg("nothing happened for 10 seconds");
}

static int
handle_dns(struct request *r, struct msg_in *m, void *arg)
{
	struct world *w = arg;
	struct span name = msg_get(m, F_NAME, 255);
	unsigned type = msg_get_u32(m, F_RRTYPE);
	const struct row *row = w->rows;
	struct msg_out out;
	struct err e;

	w->asked++;
	w->flags = msg_get_u32(m, F_FLAGS);
	while (row->name != NULL && (row->type != type ||
	    !span_eq(name, span_str(row->name))))
		row++;
	if (row->name == NULL || row->rcode == 99) {
		err_set(&e, ERR_TEMP, "4.4.3", "name service: no answer");
		request_error(&r, &e);
		return 0;
	}
	request_begin(r, &out, MSG_DNS_ANSWER);
	msg_put_u64(&out, F_RCODE, row->rcode);
	msg_put_u64(&out, F_SECURE, row->secure);
	msg_put_u64(&out, F_TTL, row->ttl);
	for (int i = 0; i < 3 && row->rr[i].p != NULL; i++)
		msg_put(&out, F_RR, row->rr[i]);
	request_answer(&r, &out);
	msg_out_release(&out);
	return 0;
}

static void
on_listen(void *arg, int events)
{
	struct world *w = arg;
	int fd;

	(void)events;
	while (sock_accept(w->listen_fd, &fd, NULL, NULL) == 1)
		server_client(w->server, fd);
}

static int
setup(void **state)
{
	static const struct server_handler handlers[] = {
		{ MSG_DNS, handle_dns },
		{ 0, NULL },
	};
	struct world *w = MEM_NEW(w);
	const struct server_options so = { .handlers = handlers, .arg = w };
	const struct client_options co = { .path = w->path,
		.peer = "resolver" };

	w->loop = loop_new();
	snprintf(w->dir, sizeof(w->dir), "/tmp/chappe-dns-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/s", w->dir);
	assert_int_equal(sock_listen_unix(w->path, SOCK_SEQPACKET, 0600,
	    &w->listen_fd, NULL), 0);
	w->server = server_new(w->loop, &so);
	w->watch = watch_new(w->loop, w->listen_fd, on_listen, w);
	watch_set(w->watch, WATCH_READ);
	w->client = client_new(w->loop, &co);
	w->deadline = timer_new(w->loop, out_of_time, w);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	client_free(&w->client);
	server_free(&w->server);
	watch_free(&w->watch);
	close(w->listen_fd);
	timer_free(&w->deadline);
	loop_free(&w->loop);
	unlink(w->path);
	rmdir(w->dir);
	mem_free(w);
	return 0;
}

static void
on_answer(void *arg, const struct dns_answer *a)
{
	struct world *w = arg;
	size_t n = 0;

	w->answers++;
	w->status = a->status;
	w->err = a->err;
	w->secure = a->secure;
	w->ttl = a->ttl;
	w->text[0] = '\0';
	for (size_t i = 0; i < a->mx_count; i++)
		n += (size_t)snprintf(w->text + n, sizeof(w->text) - n,
		    "%u %s,", a->mx[i].preference, a->mx[i].host);
	for (size_t i = 0; i < a->address_count; i++) {
		char text[SOCK_ADDR_TEXT];

		sock_addr_text((const struct sockaddr *)&a->addresses[i],
		    text);
		n += (size_t)snprintf(w->text + n, sizeof(w->text) - n,
		    "%s,", text);
	}
	if (a->name != NULL)
		snprintf(w->text, sizeof(w->text), "%s", a->name);
	loop_stop(w->loop);
}

static void
run(struct world *w)
{
	unsigned before = w->answers;

	timer_start(w->deadline, 10000);
	loop_run(w->loop);
	assert_int_equal(w->answers, before + 1);
}

static void
mx(struct world *w, const char *name)
{
	assert_non_null(dns_query_mx(w->client, name, 1, on_answer, w));
	run(w);
}

static void
addresses(struct world *w, const char *name, int families)
{
	assert_non_null(dns_query_addresses(w->client, name, families,
	    DNS_HOSTS_FIRST, 1, on_answer, w));
	run(w);
}

static void
exchanges_in_order(void **state)
{
	const struct row rows[] = {
		{ "d.test", DNS_MX, 0, 1, 300,
		    { SPAN("\0\24\1b\4test\0"), SPAN("\0\12\1a\4test\0"),
			SPAN("\0\1\1x\300\14") } },
		{ "none.test", DNS_MX, 0, 0, 1, { { NULL, 0 } } },
		{ "gone.test", DNS_MX, 3, 0, 1, { { NULL, 0 } } },
		{ "null.test", DNS_MX, 0, 0, 1, { SPAN("\0\0\0") } },
		{ "bad.test", DNS_MX, 0, 0, 1, { SPAN("\0\1") } },
		{ "servfail.test", DNS_MX, 2, 0, 1, { { NULL, 0 } } },
		{ NULL, 0, 0, 0, 0, { { NULL, 0 } } },
	};
	struct world *w = *state;

	w->rows = rows;
	mx(w, "d.test");
	assert_int_equal(w->status, DNS_OK);
	assert_string_equal(w->text, "10 a.test,20 b.test,");
	assert_true(w->secure);
	assert_int_equal(w->ttl, 300);
	mx(w, "none.test");
	assert_int_equal(w->status, DNS_NODATA);
	assert_int_equal(w->err.kind, ERR_PERM);
	mx(w, "gone.test");
	assert_int_equal(w->status, DNS_NXDOMAIN);
	assert_int_equal(w->err.kind, ERR_PERM);
	assert_string_equal(w->err.dsn, "5.4.4");
	assert_string_equal(w->err.text,
	    "Host or domain name not found. Name service error for "
	    "name=gone.test type=MX: Host not found");
	mx(w, "null.test");
	assert_int_equal(w->status, DNS_NULL_MX);
	assert_string_equal(w->err.text,
	    "Domain null.test does not accept mail (nullMX)");
	mx(w, "bad.test");
	assert_int_equal(w->status, DNS_FAILED);
	mx(w, "servfail.test");
	assert_int_equal(w->status, DNS_FAILED);
	assert_int_equal(w->err.kind, ERR_TEMP);
	assert_string_equal(w->err.dsn, "4.4.3");
	mx(w, "unanswered.test");
	assert_int_equal(w->status, DNS_FAILED);
	assert_int_equal(w->err.kind, ERR_TEMP);
	assert_false(w->secure);
}

#define V4(last) SPAN("\300\0\2" last)
#define V6(last) SPAN("\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0" last)

static void
families_are_merged(void **state)
{
	const struct row rows[] = {
		{ "both.test", DNS_A, 0, 1, 60, { V4("\1"), V4("\2"),
						    V4("\3") } },
		{ "both.test", DNS_AAAA, 0, 0, 30, { V6("\1") } },
		{ "four.test", DNS_A, 0, 1, 60, { V4("\1") } },
		{ "four.test", DNS_AAAA, 99, 0, 0, { { NULL, 0 } } },
		{ "half.test", DNS_A, 0, 0, 0, { { NULL, 0 } } },
		{ "half.test", DNS_AAAA, 99, 0, 0, { { NULL, 0 } } },
		{ "no.test", DNS_A, 0, 0, 0, { { NULL, 0 } } },
		{ "no.test", DNS_AAAA, 0, 0, 0, { { NULL, 0 } } },
		{ "odd.test", DNS_A, 0, 0, 0, { SPAN("abc") } },
		{ NULL, 0, 0, 0, 0, { { NULL, 0 } } },
	};
	struct world *w = *state;

	w->rows = rows;
	addresses(w, "both.test", DNS_INET | DNS_INET6);
	assert_string_equal(w->text,
	    "2001:db8::1,192.0.2.1,192.0.2.2,192.0.2.3,");
	assert_false(w->secure);
	assert_int_equal(w->ttl, 30);
	assert_int_equal(w->flags, DNS_HOSTS_FIRST);
	addresses(w, "both.test", DNS_INET);
	assert_string_equal(w->text, "192.0.2.1,192.0.2.2,192.0.2.3,");
	assert_true(w->secure);
	addresses(w, "four.test", DNS_INET | DNS_INET6);
	assert_int_equal(w->status, DNS_OK);
	assert_string_equal(w->text, "192.0.2.1,");
	addresses(w, "half.test", DNS_INET | DNS_INET6);
	assert_int_equal(w->status, DNS_FAILED);
	addresses(w, "no.test", DNS_INET | DNS_INET6);
	assert_int_equal(w->status, DNS_NODATA);
	addresses(w, "odd.test", DNS_INET);
	assert_int_equal(w->status, DNS_FAILED);
}

static void
client_name(struct world *w, const char *address)
{
	struct sockaddr_storage s;
	socklen_t len;

	assert_true(sock_addr_parse(address, 25, &s, &len));
	assert_non_null(dns_query_client(w->client,
	    (const struct sockaddr *)&s, 1, on_answer, w));
	run(w);
}

static void
a_client_name_must_lead_back(void **state)
{
	const struct row rows[] = {
		{ "1.2.0.192.in-addr.arpa", DNS_PTR, 0, 1, 9,
		    { SPAN("\4good\4test\0") } },
		{ "2.2.0.192.in-addr.arpa", DNS_PTR, 0, 1, 9,
		    { SPAN("\4good\4test\0") } },
		{ "3.2.0.192.in-addr.arpa", DNS_PTR, 3, 0, 9,
		    { { NULL, 0 } } },
		{ "4.2.0.192.in-addr.arpa", DNS_PTR, 0, 0, 9,
		    { SPAN("\4ba\x1b!\4test\0") } },
		{ "good.test", DNS_A, 0, 1, 5, { V4("\1") } },
		{ "good.test", DNS_AAAA, 0, 1, 5, { { NULL, 0 } } },
		{ NULL, 0, 0, 0, 0, { { NULL, 0 } } },
	};
	struct world *w = *state;

	w->rows = rows;
	client_name(w, "192.0.2.1");
	assert_int_equal(w->status, DNS_OK);
	assert_string_equal(w->text, "good.test");
	client_name(w, "::ffff:192.0.2.1");
	assert_string_equal(w->text, "good.test");
	client_name(w, "192.0.2.2");
	assert_int_equal(w->status, DNS_NODATA);
	assert_string_equal(w->text, "");
	client_name(w, "192.0.2.3");
	assert_int_equal(w->status, DNS_NXDOMAIN);
	client_name(w, "192.0.2.4");
	assert_int_equal(w->status, DNS_NODATA);
	client_name(w, "192.0.2.5");
	assert_int_equal(w->status, DNS_FAILED);
}

static void
cancelled_questions_are_silent(void **state)
{
	const struct row rows[] = {
		{ "d.test", DNS_MX, 0, 1, 300, { SPAN("\0\24\1b\4test\0") } },
		{ NULL, 0, 0, 0, 0, { { NULL, 0 } } },
	};
	struct world *w = *state;
	struct dns_query *q;

	w->rows = rows;
	q = dns_query_addresses(w->client, "x", DNS_INET | DNS_INET6, 0, 1,
	    on_answer, w);
	dns_cancel(&q);
	assert_null(q);
	dns_cancel(&q);
	mx(w, "d.test");
	assert_int_equal(w->answers, 1);
}

static void
names_are_checked(void **state)
{
	static const struct {
		struct span wire;
		const char *name;
	} rows[] = {
		{ { (const uint8_t *)"\1a\2bc\0x", 7 }, "a.bc" },
		{ { (const uint8_t *)"\0", 1 }, "" },
		{ { (const uint8_t *)"\1a\2bc", 5 }, NULL },
		{ { (const uint8_t *)"\1a\2b", 4 }, NULL },
		{ { (const uint8_t *)"\300\14", 2 }, NULL },
		{ { (const uint8_t *)"\1 \0", 3 }, NULL },
		{ { (const uint8_t *)"\1.\0", 3 }, NULL },
		{ { (const uint8_t *)"", 0 }, NULL },
	};
	char name[DNS_NAME_MAX];
	uint8_t longest[400];

	(void)state;
	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		struct span rest = rows[i].wire;

		assert_int_equal(dns_name_parse(&rest, name),
		    rows[i].name != NULL);
		if (rows[i].name != NULL) {
			assert_string_equal(name, rows[i].name);
			assert_int_equal(rest.n, i == 0 ? 1 : 0);
		}
	}
	memset(longest, 'a', sizeof(longest));
	for (size_t i = 0; i < sizeof(longest); i += 64)
		longest[i] = 63;
	longest[64 * 4] = 0;
	assert_false(dns_name_parse(
	    &(struct span){ longest, sizeof(longest) }, name));
	longest[64 * 3] = 61;
	longest[64 * 3 + 62] = 0;
	assert_true(dns_name_parse(
	    &(struct span){ longest, sizeof(longest) }, name));
	assert_int_equal(strlen(name), 253);
}

int
main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		T(exchanges_in_order),
		T(families_are_merged),
		T(a_client_name_must_lead_back),
		T(cancelled_questions_are_silent),
		cmocka_unit_test(names_are_checked),
	};

	return cmocka_run_group_tests_name("dns", tests, NULL, NULL);
}
