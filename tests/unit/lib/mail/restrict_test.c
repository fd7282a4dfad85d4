/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/restrict.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/mail/verify_client.h"
#include "smtpd/smtpd_params.h"

/*
 * The lists by themselves, in a world that the test plays: at once, or each
 * answer only when everything has returned. The texts of the replies are
 * compared with Postfix's in tests/system/restrictions.py; here it is how the
 * machine runs.
 */

struct fixture {
	char dir[64];
	struct conf *conf;
	struct common_conf common;
	struct smtpd_conf smtpd;
	struct restrict_set *set;
	struct restrict_session *s;
	struct restrict_facts facts;
	struct log_ctx log;
	struct route_result route;
	/* the world */
	bool later;
	void (*pending)(struct fixture *f);
	dns_fn dns_fn;
	enum restrict_dns dns_kind;
	char dns_name[300];
	restrict_policy_fn policy_fn;
	const char *policy_answer;
	void (*sleep_fn)(void *arg);
	restrict_verify_fn verify_fn;
	int verify_status; /* -1: nobody is there */
	void *arg;
	unsigned questions, cancels;
	char asked[2000], logged[2000], acts[500], request[4000];
	/* the verdict */
	unsigned verdicts;
	char verdict[500];
};

/* ---- the world ---- */

static void
note(char *out, size_t size, const char *text)
{
	const size_t n = strlen(out);

	snprintf(out + n, size - n, "%s%s", n > 0 ? "|" : "", text);
}

static void
ask(struct fixture *f, const char *what, void (*answer)(struct fixture *f),
    void *arg)
{
	assert_null(f->pending); /* one at a time */
	f->questions++;
	note(f->asked, sizeof(f->asked), what);
	f->arg = arg;
	f->pending = answer;
	if (f->later)
		return;
	f->pending = NULL;
	answer(f);
}

/* listed.test has an address; *.rbl.test do; fail.* fail. */
static void
answer_dns(struct fixture *f)
{
	static const struct span texts[] = { { (const uint8_t *)"why", 3 } };
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct dns_mx mx = { 10, "mail.listed.test" };
	struct sockaddr_storage address = { 0 };
	struct dns_answer a = { .status = DNS_NXDOMAIN };
	const struct span name = span_str(f->dns_name);

	inet_pton(AF_INET, "127.0.0.2", &in.sin_addr);
	memcpy(&address, &in, sizeof(in));
	if (span_starts(name, SPAN("fail.")))
		a.status = DNS_FAILED;
	else if (span_ends(name, SPAN("listed.test")) ||
	    span_ends(name, SPAN(".rbl.test")))
		a.status = DNS_OK;
	if (a.status == DNS_OK && f->dns_kind == RESTRICT_DNS_TXT) {
		a.texts = texts;
		a.text_count = 1;
	} else if (a.status == DNS_OK && (f->dns_kind == RESTRICT_DNS_MX ||
	    f->dns_kind == RESTRICT_DNS_NS)) {
		a.mx = &mx;
		a.mx_count = 1;
	} else if (a.status == DNS_OK) {
		a.addresses = &address;
		a.address_count = 1;
	}
	f->dns_fn(f->arg, &a);
}

static void
world_dns(void *ctx, enum restrict_dns kind, const char *name, dns_fn fn,
    void *arg)
{
	static const char *const kinds[] = { "host", "address", "a", "mx",
		"ns", "txt" };
	struct fixture *f = ctx;
	char what[400];

	f->dns_kind = kind;
	f->dns_fn = fn;
	snprintf(f->dns_name, sizeof(f->dns_name), "%s", name);
	snprintf(what, sizeof(what), "%s %s", kinds[kind], name);
	ask(f, what, answer_dns, arg);
}

static void
answer_policy(struct fixture *f)
{
	const struct span action = span_str(f->policy_answer);

	f->policy_fn(f->arg, f->policy_answer != NULL ? &action : NULL);
}

static void
world_policy(void *ctx, const struct restrict_policy *service,
    struct span request, restrict_policy_fn fn, void *arg)
{
	struct fixture *f = ctx;

	f->policy_fn = fn;
	snprintf(f->request, sizeof(f->request), "%.*s", SPAN_FMT(request));
	ask(f, service->endpoint, answer_policy, arg);
}

static void
world_route(void *ctx, struct span address, unsigned flags, router_fn fn,
    void *arg)
{
	const struct route_result r = {
		.class_known = true,
		.class = span_iends(address, SPAN("@ours.test")) ?
		    ROUTE_LOCAL : ROUTE_DEFAULT,
		.ours = span_iends(address, SPAN("@ours.test")),
		.address = address,
	};

	(void)ctx;
	(void)flags;
	fn(arg, &r);
}

static void
answer_verify(struct fixture *f)
{
	const struct verify_answer a = {
		.status = (enum verify_status)f->verify_status,
		.text = SPAN("says who") };

	f->verify_fn(f->arg, f->verify_status < 0 ? NULL : &a);
}

static void
world_verify(void *ctx, struct span address, restrict_verify_fn fn, void *arg)
{
	struct fixture *f = ctx;
	char what[400];

	f->verify_fn = fn;
	snprintf(what, sizeof(what), "verify %.*s", SPAN_FMT(address));
	ask(f, what, answer_verify, arg);
}

static void
answer_sleep(struct fixture *f)
{
	f->sleep_fn(f->arg);
}

static void
world_sleep(void *ctx, unsigned seconds, void (*fn)(void *arg), void *arg)
{
	struct fixture *f = ctx;

	assert_int_equal(seconds, 7);
	f->sleep_fn = fn;
	ask(f, "sleep", answer_sleep, arg);
}

static bool
world_own_name(void *ctx, struct span name)
{
	(void)ctx;
	return span_eq(name, SPAN("mx.ours.test"));
}

static bool
world_own_address(void *ctx, const char *addr)
{
	(void)ctx;
	return strcmp(addr, "192.0.2.250") == 0;
}

static int
world_owner(void *ctx, struct span sender, const char *login, struct err *e)
{
	(void)ctx;
	if (span_starts(sender, SPAN("broken")))
		return err_set(e, ERR_TEMP, "4.3.0", "table is away");
	if (!span_starts(sender, SPAN("owned")))
		return 2;
	return login != NULL && strcmp(login, "owner") == 0;
}

static void
world_log(void *ctx, const char *what, struct span text)
{
	struct fixture *f = ctx;
	char line[600];

	snprintf(line, sizeof(line), "%s: %.*s", what, SPAN_FMT(text));
	note(f->logged, sizeof(f->logged), line);
}

static void
world_act(void *ctx, enum restrict_act act, struct span value)
{
	static const char *const names[] = { "filter", "hold", "discard",
		"redirect", "bcc", "prepend" };
	struct fixture *f = ctx;
	char line[200];

	snprintf(line, sizeof(line), "%s %.*s", names[act], SPAN_FMT(value));
	note(f->acts, sizeof(f->acts), line);
}

static void
world_cancel(void *ctx)
{
	struct fixture *f = ctx;

	f->cancels++;
	f->pending = NULL;
}

static const struct restrict_world world = { world_dns, world_policy,
	world_route, world_verify, world_sleep, world_own_name, world_own_address,
	world_owner, world_log, world_act, world_cancel };

/* ---- the fixture ---- */

static int
set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	snprintf(f->dir, sizeof(f->dir), "/tmp/restrict_test.XXXXXX");
	if (mkdtemp(f->dir) == NULL)
		return -1;
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	struct fixture *f = *state;
	char path[100];

	restrict_session_free(&f->s);
	restrict_free(&f->set);
	conf_free(&f->conf);
	snprintf(path, sizeof(path), "%s/main.cf", f->dir);
	unlink(path);
	rmdir(f->dir);
	free(f);
	return 0;
}

static void
set_facts(struct fixture *f)
{
	f->route = (struct route_result){ .class_known = true,
		.class = ROUTE_LOCAL, .ours = true,
		.address = SPAN("bob@ours.test") };
	f->facts = (struct restrict_facts){ .log = &f->log,
		.name = "client.test", .reverse_name = "client.test",
		.addr = "192.0.2.7", .port = 1234,
		.server_addr = "192.0.2.250", .server_port = 25,
		.helo = "helo.test", .protocol = "ESMTP",
		.sasl_enabled = true, .has_sender = true, .has_rcpt = true,
		.sender = SPAN("s@sender.test"),
		.rcpt = SPAN("bob@ours.test"), .route = &f->route,
		.qid = "", .instance = "123.456.7", .size = 99 };
}

static int
try_start(struct fixture *f, const char *text, struct err *e)
{
	char path[100];
	FILE *file;

	restrict_session_free(&f->s);
	restrict_free(&f->set);
	conf_free(&f->conf);
	snprintf(path, sizeof(path), "%s/main.cf", f->dir);
	file = fopen(path, "w");
	fprintf(file, "myhostname = mx.ours.test\n%s\n", text);
	fclose(file);
	if (conf_load(f->dir, NULL, 0, &f->conf, e) != 0 ||
	    conf_fill(f->conf, common_params, &f->common, e) != 0 ||
	    conf_fill(f->conf, smtpd_params, &f->smtpd, e) != 0)
		fail_msg("%s", e->text);
	set_facts(f);
	return restrict_new(f->conf, &f->smtpd.restrictions, &f->common,
	    &f->set, e);
}

static void
start(struct fixture *f, const char *text)
{
	struct err e;

	if (try_start(f, text, &e) != 0)
		fail_msg("%s", e.text);
	f->s = restrict_session_new(f->set, &world, f);
}

static void
decided(void *arg, const struct restrict_verdict *v)
{
	struct fixture *f = arg;

	f->verdicts++;
	if (v->code == 0)
		snprintf(f->verdict, sizeof(f->verdict), "ok");
	else
		snprintf(f->verdict, sizeof(f->verdict), "%u %s %.*s",
		    v->code, v->dsn, SPAN_FMT(v->text));
}

static void
pump(struct fixture *f)
{
	while (f->pending != NULL) {
		void (*answer)(struct fixture *) = f->pending;

		f->pending = NULL;
		answer(f);
	}
}

static const char *
run(struct fixture *f, enum restrict_stage stage)
{
	f->verdicts = f->questions = 0;
	f->asked[0] = f->logged[0] = f->acts[0] = '\0';
	restrict_ask(f->s, stage, &f->facts, decided, f);
	pump(f);
	assert_int_equal(f->verdicts, 1);
	return f->verdict;
}

/* One recipient under one list. */
static const char *
rcpt(struct fixture *f, const char *list)
{
	char text[1000];

	snprintf(text, sizeof(text), "smtpd_recipient_restrictions = %s\n"
	    "smtpd_relay_restrictions = permit_auth_destination, reject\n",
	    list);
	start(f, text);
	return run(f, RESTRICT_RCPT);
}

/* ---- the machine ---- */

static void
words(void **state)
{
	struct fixture *f = *state;

	for (int later = 0; later < 2; later++) {
		f->later = later == 1;
		assert_string_equal(rcpt(f, ""), "ok");
		assert_string_equal(rcpt(f, "reject"), "554 5.7.1 "
		    "<bob@ours.test>: Recipient address rejected: Access "
		    "denied");
		assert_string_equal(rcpt(f, "permit, reject"), "ok");
		assert_string_equal(rcpt(f, "sleep 7, warn_if_reject reject "
		    "sleep 7"), "ok");
		assert_string_equal(f->asked, "sleep|sleep");
		assert_string_equal(f->logged, "reject_warning: 554 5.7.1 "
		    "<bob@ours.test>: Recipient address rejected: Access "
		    "denied");
		assert_string_equal(rcpt(f, "defer_if_permit, sleep 7"),
		    "450 4.7.0 <bob@ours.test>: Recipient address rejected: "
		    "defer_if_permit requested");
		assert_string_equal(rcpt(f, "defer_if_permit, reject"),
		    "554 5.7.1 <bob@ours.test>: Recipient address rejected: "
		    "Access denied");
		assert_string_equal(rcpt(f, "defer_if_reject, sleep 7, "
		    "reject"), "450 4.7.0 <bob@ours.test>: Recipient address "
		    "rejected: defer_if_reject requested");
	}
}

/* What nobody could find out does not become a permission. */
static void
undecided_destination(void **state)
{
	struct fixture *f = *state;

	start(f, "smtpd_relay_restrictions = defer_unauth_destination\n");
	f->route.class_known = false;
	f->route.code = 451;
	assert_string_equal(run(f, RESTRICT_RCPT),
	    "451 4.3.0 <bob@ours.test>: Temporary lookup failure");
	f->route = (struct route_result){ .class_known = true,
		.class = ROUTE_DEFAULT, .address = SPAN("x@far.test") };
	assert_string_equal(run(f, RESTRICT_RCPT),
	    "454 4.7.1 <bob@ours.test>: Relay access denied");
	f->facts.trusted = true;
	start(f, "smtpd_relay_restrictions = permit_mynetworks, "
	    "permit_sasl_authenticated, reject_unauth_destination\n");
	f->route.ours = false;
	assert_string_equal(run(f, RESTRICT_RCPT),
	    "554 5.7.1 <bob@ours.test>: Relay access denied");
	f->facts.sasl_user = "bob";
	assert_string_equal(run(f, RESTRICT_RCPT), "ok");
}

static void
unknown_users(void **state)
{
	struct fixture *f = *state;
	struct err e;

	start(f, "");
	f->route.code = 550;
	err_set(&f->route.err, ERR_PERM, "5.1.1",
	    "User unknown in local recipient table");
	assert_string_equal(run(f, RESTRICT_RCPT), "550 5.1.1 "
	    "<bob@ours.test>: Recipient address rejected: User unknown in "
	    "local recipient table");
	e = f->route.err;
	start(f, "smtpd_reject_unlisted_recipient = no\n");
	f->route.code = 550;
	f->route.err = e;
	assert_string_equal(run(f, RESTRICT_RCPT), "ok");
	start(f, "smtpd_recipient_restrictions = "
	    "warn_if_reject reject_unlisted_recipient\n");
	f->route.code = 550;
	f->route.err = e;
	run(f, RESTRICT_RCPT);
	/* A warning is no check: the one at the end still comes. */
	assert_true(strstr(f->logged, "|reject: 550") != NULL);
}

static void
stages(void **state)
{
	struct fixture *f = *state;

	start(f, "smtpd_client_restrictions = defer_if_permit\n"
	    "smtpd_delay_reject = no\n");
	assert_string_equal(run(f, RESTRICT_CONNECT), "ok");
	assert_string_equal(run(f, RESTRICT_HELO), "ok");
	assert_string_equal(run(f, RESTRICT_MAIL), "ok");
	assert_string_equal(run(f, RESTRICT_RCPT), "450 4.7.0 "
	    "<client.test[192.0.2.7]>: Client host rejected: "
	    "defer_if_permit requested");
	start(f, "smtpd_client_restrictions = reject\n");
	assert_true(restrict_idle(f->set, RESTRICT_CONNECT));
	assert_true(restrict_idle(f->set, RESTRICT_DATA));
	assert_false(restrict_idle(f->set, RESTRICT_RCPT));
	assert_false(restrict_idle(f->set, RESTRICT_ETRN));
	assert_string_equal(run(f, RESTRICT_MAIL), "ok");
	f->facts.etrn = "site.test";
	assert_string_equal(run(f, RESTRICT_ETRN), "554 5.7.1 "
	    "<client.test[192.0.2.7]>: Client host rejected: Access denied");
	start(f, "smtpd_data_restrictions = reject\n"
	    "smtpd_end_of_data_restrictions = defer\n");
	assert_string_equal(run(f, RESTRICT_DATA),
	    "554 5.7.1 <DATA>: Data command rejected: Access denied");
	assert_string_equal(run(f, RESTRICT_END), "450 4.3.2 "
	    "<END-OF-MESSAGE>: End-of-data rejected: Try again later");
}

static void
classes(void **state)
{
	struct fixture *f = *state;

	for (int later = 0; later < 2; later++) {
		f->later = later == 1;
		start(f, "smtpd_restriction_classes = one, two, loop\n"
		    "one = sleep 7, two\ntwo = inline:{bob@ours.test=loop}\n"
		    "loop = sleep 7, check_sender_access "
		    "inline:{{sender.test=DUNNO}}, reject\n"
		    "smtpd_recipient_restrictions = one, permit\n");
		assert_string_equal(run(f, RESTRICT_RCPT), "554 5.7.1 "
		    "<bob@ours.test>: Recipient address rejected: Access "
		    "denied");
		assert_string_equal(f->asked, "sleep|sleep");
		/* One that names itself. */
		start(f, "smtpd_restriction_classes = self\n"
		    "self = check_recipient_access "
		    "inline:{bob@ours.test=self}\n"
		    "smtpd_recipient_restrictions = self\n");
		assert_string_equal(run(f, RESTRICT_RCPT),
		    "451 4.3.5 Server configuration error");
	}
}

static void
cancelled(void **state)
{
	struct fixture *f = *state;

	f->later = true;
	start(f, "smtpd_restriction_classes = c\n"
	    "c = reject_unknown_sender_domain, reject\n"
	    "smtpd_recipient_restrictions = c\n");
	f->verdicts = 0;
	restrict_ask(f->s, RESTRICT_RCPT, &f->facts, decided, f);
	assert_non_null(f->pending);
	restrict_cancel(f->s);
	assert_int_equal(f->cancels, 1);
	assert_int_equal(f->verdicts, 0);
	/* And again, in the midst of several questions. */
	start(f, "smtpd_recipient_restrictions = "
	    "check_sender_mx_access inline:{x=REJECT}, reject\n");
	f->facts.sender = SPAN("s@listed.test");
	restrict_ask(f->s, RESTRICT_RCPT, &f->facts, decided, f);
	void (*answer)(struct fixture *) = f->pending;
	f->pending = NULL;
	answer(f);
	assert_string_equal(f->dns_name, "mail.listed.test");
	restrict_cancel(f->s);
	assert_int_equal(f->verdicts, 0);
	assert_string_equal(run(f, RESTRICT_RCPT), "554 5.7.1 "
	    "<bob@ours.test>: Recipient address rejected: Access denied");
}

/* ---- tables, lists, services ---- */

static void
actions(void **state)
{
	struct fixture *f = *state;

	assert_string_equal(rcpt(f, "check_sender_access inline:{"
	    "{sender.test=FILTER smtp:[h]:25}}, check_sender_access inline:{"
	    "{sender.test=HOLD}}, check_sender_access inline:{{sender.test="
	    "REDIRECT r@x.test}}, check_sender_access inline:{{sender.test="
	    "BCC b@x.test}}, check_sender_access inline:{{sender.test="
	    "PREPEND X-A: b}}, check_sender_access inline:{{sender.test="
	    "WARN note}}"), "ok");
	assert_string_equal(f->acts, "filter smtp:[h]:25|hold |"
	    "redirect r@x.test|bcc b@x.test|prepend X-A: b");
	assert_string_equal(f->logged, "filter: <s@sender.test>: Sender "
	    "address triggers FILTER smtp:[h]:25|hold: <s@sender.test>: "
	    "Sender address triggers HOLD action|redirect: <s@sender.test>: "
	    "Sender address triggers REDIRECT r@x.test|bcc: "
	    "<s@sender.test>: Sender address triggers BCC b@x.test|warn: "
	    "note");
	/* What lacks its argument does nothing. */
	assert_string_equal(rcpt(f, "check_sender_access inline:{"
	    "{sender.test=FILTER smtp}}, check_sender_access inline:{"
	    "{sender.test=REDIRECT x}}, check_sender_access inline:{"
	    "{sender.test=PREPEND x}}"), "ok");
	assert_string_equal(f->acts, "");
	/* DISCARD ends everything well, until the message is over. */
	assert_string_equal(rcpt(f, "check_sender_access inline:{"
	    "{sender.test=DISCARD gone}}, reject"), "ok");
	assert_string_equal(f->acts, "discard gone");
	assert_string_equal(f->logged,
	    "discard: <s@sender.test>: Sender address gone");
	f->facts.sender = SPAN("s@other.test");
	assert_string_equal(run(f, RESTRICT_RCPT), "ok");
	restrict_reset(f->s);
	assert_string_equal(run(f, RESTRICT_RCPT), "554 5.7.1 "
	    "<bob@ours.test>: Recipient address rejected: Access denied");
}

static void
permissions_are_logged(void **state)
{
	struct fixture *f = *state;

	start(f, "smtpd_log_access_permit_actions = permit_mynetworks, OK\n"
	    "smtpd_client_restrictions = permit_mynetworks\n"
	    "smtpd_sender_restrictions = "
	    "check_sender_access inline:{sender.test=OK}\n"
	    "smtpd_recipient_restrictions = permit_auth_destination\n");
	f->facts.trusted = true;
	assert_string_equal(run(f, RESTRICT_RCPT), "ok");
	assert_string_equal(f->logged, "permit: action=permit_mynetworks for "
	    "Client host=client.test[192.0.2.7]|permit: action=OK for Sender "
	    "address=s@sender.test from inline:{sender.test=OK}|permit: "
	    "action=permit_mynetworks for Client host=client.test["
	    "192.0.2.7]");
}

static void
dns_lists(void **state)
{
	struct fixture *f = *state;

	for (int later = 0; later < 2; later++) {
		f->later = later == 1;
		assert_string_equal(rcpt(f, "reject_rbl_client other.test, "
		    "reject_rbl_client x.rbl.test=127.0.0.[3..9], "
		    "reject_rbl_client x.rbl.test"), "554 5.7.1 Service "
		    "unavailable; Client host [192.0.2.7] blocked using "
		    "x.rbl.test; why");
		assert_string_equal(f->asked, "a 7.2.0.192.other.test|"
		    "a 7.2.0.192.x.rbl.test|txt 7.2.0.192.x.rbl.test");
		/* Kept for the session. */
		assert_true(strncmp(run(f, RESTRICT_RCPT), "554", 3) == 0);
		assert_int_equal(f->questions, 0);
	}
	f->facts.addr = "2001:db8::5";
	start(f, "smtpd_client_restrictions = reject_rbl_client y.rbl.test\n");
	f->facts.addr = "2001:db8::5";
	run(f, RESTRICT_RCPT);
	assert_true(strstr(f->asked, "a 5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0."
	    "0.0.0.0.0.0.8.b.d.0.1.0.0.2.y.rbl.test") == f->asked);
	/* A list of good ones does not open the way to elsewhere. */
	start(f, "smtpd_relay_restrictions = permit_dnswl_client x.rbl.test, "
	    "reject_unauth_destination\n");
	f->route.ours = false;
	assert_string_equal(run(f, RESTRICT_RCPT),
	    "554 5.7.1 <bob@ours.test>: Relay access denied");
}

static void
services(void **state)
{
	struct fixture *f = *state;
	const char *list = "check_policy_service inet:127.0.0.1:10023";

	for (int later = 0; later < 2; later++) {
		f->later = later == 1;
		f->policy_answer = "dunno";
		assert_string_equal(rcpt(f, list), "ok");
		f->policy_answer = "451 4.7.1 Greylisted";
		assert_string_equal(rcpt(f, list), "451 4.7.1 "
		    "<bob@ours.test>: Recipient address rejected: "
		    "Greylisted");
		f->policy_answer = "defer_if_permit later";
		assert_string_equal(rcpt(f, list), "450 4.7.1 "
		    "<bob@ours.test>: Recipient address rejected: later");
		f->policy_answer = "warn_if_reject reject";
		assert_string_equal(rcpt(f, list), "ok");
		f->policy_answer = NULL;
		assert_string_equal(rcpt(f, list), "451 4.3.5 "
		    "<bob@ours.test>: Recipient address rejected: Server "
		    "configuration problem");
		f->policy_answer = NULL;
		assert_string_equal(rcpt(f, "check_policy_service { "
		    "inet:127.0.0.1:10023, timeout=7s, "
		    "{ default_action = dunno }, policy_context=here }"),
		    "ok");
		assert_non_null(strstr(f->request, "\npolicy_context=here\n"));
		f->policy_answer = "550 \xff";
		assert_non_null(strstr(rcpt(f, list), "451 4.3.5"));
	}
	assert_int_equal(restrict_policies(f->set)->timeout_ms, 100000);
	assert_null(restrict_policies(f->set)->next);
}

static void
unverified(void **state)
{
	static const struct {
		int status;
		const char *list, *verdict;
	} rows[] = {
		{ VERIFY_OK, "reject_unverified_recipient", "ok" },
		{ VERIFY_TODO, "reject_unverified_recipient", "451 4.1.1 "
		    "<bob@ours.test>: Recipient address rejected: unverified "
		    "address: says who" },
		{ VERIFY_DEFERRED, "reject_unverified_recipient", "451 4.1.1 "
		    "<bob@ours.test>: Recipient address rejected: unverified "
		    "address: says who" },
		{ VERIFY_REFUSED, "reject_unverified_recipient", "550 5.1.1 "
		    "<bob@ours.test>: Recipient address rejected: "
		    "undeliverable address: says who" },
		{ -1, "reject_unverified_recipient", "450 4.1.1 "
		    "<bob@ours.test>: Recipient address rejected: address "
		    "verification problem" },
		{ VERIFY_REFUSED, "reject_unverified_sender", "450 4.1.7 "
		    "<s@sender.test>: Sender address rejected: unverified "
		    "address: because" },
		/* Temporary: what permits comes first. */
		{ VERIFY_DEFERRED, "reject_unverified_recipient, reject",
		    "554 5.7.1 <bob@ours.test>: Recipient address rejected: "
		    "Access denied" },
		{ VERIFY_REFUSED, "warn_if_reject reject_unverified_recipient",
		    "ok" },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < 2 * COUNT_OF(rows); i++) {
		char list[300];

		f->later = i % 2 == 1;
		f->verify_status = rows[i / 2].status;
		snprintf(list, sizeof(list), "%s\n"
		    "unverified_recipient_reject_code = 550\n"
		    "unverified_recipient_defer_code = 451\n"
		    "unverified_sender_reject_reason = because\n",
		    rows[i / 2].list);
		assert_string_equal(rcpt(f, list), rows[i / 2].verdict);
	}
	f->verify_status = VERIFY_REFUSED;
	assert_string_equal(rcpt(f, "reject_unverified_recipient\n"
	    "unverified_recipient_reject_code = 250\n"), "ok");
	assert_string_equal(f->asked, "verify bob@ours.test");
	/* At once, if that is wanted. */
	f->verify_status = VERIFY_TODO;
	assert_string_equal(rcpt(f, "reject_unverified_recipient, sleep 7\n"
	    "unverified_recipient_tempfail_action = defer\n"), "450 4.1.1 "
	    "<bob@ours.test>: Recipient address rejected: unverified address: "
	    "says who");
	assert_int_equal(f->questions, 1);
}

/* Nobody asks about the null sender. */
static void
null_sender_is_not_verified(void **state)
{
	struct fixture *f = *state;

	start(f, "smtpd_recipient_restrictions = reject_unverified_sender\n");
	f->facts.sender = SPAN_EMPTY;
	f->verify_status = VERIFY_REFUSED;
	assert_string_equal(run(f, RESTRICT_RCPT), "ok");
	assert_int_equal(f->questions, 0);
}

static void
policy_request(void **state)
{
	struct fixture *f = *state;

	f->policy_answer = "ok";
	start(f, "smtpd_recipient_restrictions = "
	    "check_policy_service unix:private/policy\nmail_version = 1.2\n");
	f->facts.sasl_user = "evil\nrecipient=x";
	f->facts.tls_protocol = "TLSv1.3";
	f->facts.tls_cipher = "C";
	f->facts.tls_bits = 256;
	f->facts.cert_trusted = true;
	f->facts.cert_subject = "A B";
	f->facts.cert_print = "AA:BB";
	run(f, RESTRICT_RCPT);
	assert_string_equal(f->request, "request=smtpd_access_policy\n"
	    "protocol_state=RCPT\nprotocol_name=ESMTP\n"
	    "client_address=192.0.2.7\nclient_name=client.test\n"
	    "client_port=1234\nreverse_client_name=client.test\n"
	    "server_address=192.0.2.250\nserver_port=25\n"
	    "helo_name=helo.test\nsender=s@sender.test\n"
	    "recipient=bob@ours.test\nrecipient_count=0\nqueue_id=\n"
	    "instance=123.456.7\nsize=99\netrn_domain=\nstress=\n"
	    "sasl_method=\nsasl_username=evil?recipient=x\nsasl_sender=\n"
	    "ccert_subject=A+20B\nccert_issuer=\nccert_fingerprint=AA:BB\n"
	    "ccert_pubkey_fingerprint=\nencryption_protocol=TLSv1.3\n"
	    "encryption_cipher=C\nencryption_keysize=256\ntls_sni=\n"
	    "policy_context=\ncompatibility_level=3.6\nmail_version=1.2\n"
	    "\n");
}

static void
logins(void **state)
{
	static const struct {
		const char *word, *sender, *login;
		bool refused;
	} rows[] = {
		{ "reject_sender_login_mismatch", "owned@a", "owner", false },
		{ "reject_sender_login_mismatch", "owned@a", "thief", true },
		{ "reject_sender_login_mismatch", "free@a", "thief", true },
		{ "reject_sender_login_mismatch", "owned@a", NULL, true },
		{ "reject_sender_login_mismatch", "free@a", NULL, false },
		{ "reject_authenticated_sender_login_mismatch", "owned@a",
		    NULL, false },
		{ "reject_authenticated_sender_login_mismatch", "free@a",
		    "thief", true },
		{ "reject_known_sender_login_mismatch", "free@a", "thief",
		    false },
		{ "reject_known_sender_login_mismatch", "owned@a", "thief",
		    true },
		{ "reject_known_sender_login_mismatch", "owned@a", NULL,
		    true },
		{ "reject_unauthenticated_sender_login_mismatch", "owned@a",
		    "thief", false },
		{ "reject_unauthenticated_sender_login_mismatch", "owned@a",
		    NULL, true },
		{ "reject_sender_login_mismatch", "broken@a", NULL, true },
		{ "reject_sender_login_mismatch", "", "thief", false },
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		char text[200];

		snprintf(text, sizeof(text),
		    "smtpd_sender_restrictions = %s\n", rows[i].word);
		start(f, text);
		f->facts.sender = span_str(rows[i].sender);
		f->facts.sasl_user = rows[i].login;
		assert_int_equal(strcmp(run(f, RESTRICT_RCPT), "ok") != 0,
		    rows[i].refused);
	}
}

/* ---- start ---- */

static void
errors_at_start(void **state)
{
	static const struct {
		const char *text, *error;
	} rows[] = {
		{ "\n\nsmtpd_client_restrictions = rejct\n",
		    "line 4: parameter smtpd_client_restrictions: unknown "
		    "smtpd restriction: \"rejct\"; the nearest known is "
		    "reject" },
		{ "smtpd_helo_restrictions = check_helo_access\n",
		    "line 2: parameter smtpd_helo_restrictions: restriction "
		    "check_helo_access needs an argument" },
		{ "smtpd_helo_restrictions = check_helo_access foo\n",
		    "need maptype:mapname" },
		{ "smtpd_sender_restrictions = check_sender_access nope:x\n",
		    "no table type \"nope\"" },
		{ "smtpd_client_restrictions = reject_rbl_client\n",
		    "reject_rbl_client needs an argument" },
		{ "smtpd_client_restrictions = reject_rbl_client a.b=1.2.3\n",
		    "bad pattern" },
		{ "smtpd_client_restrictions = check_policy_service foo\n",
		    "need inet:host:port or unix:path" },
		{ "smtpd_client_restrictions = check_policy_service "
		  "inet:h:0\n", "need inet:host:port" },
		{ "smtpd_client_restrictions = check_policy_service "
		  "{ inet:h:1, foo=bar }\n", "no setting \"foo\"" },
		{ "smtpd_client_restrictions = check_policy_service "
		  "{ inet:h:1, timeout=bar }\n", "bad value of timeout" },
		{ "smtpd_client_restrictions = sleep x\n",
		    "must be followed by a number" },
		{ "smtpd_data_restrictions = inline:{a=b}\n",
		    "specify one of (check_client_access" },
		{ "smtpd_client_restrictions = permit, { \n",
		    "\"{\" without \"}\"" },
		{ "smtpd_restriction_classes = c\n",
		    "restriction class \"c\" needs a definition" },
		{ "smtpd_restriction_classes = c\nc = nonsense\n",
		    "line 3: parameter c: unknown smtpd restriction" },
		{ "smtpd_restriction_classes = reject\n",
		    "reject is a restriction already" },
		{ "default_rbl_reply = $nope\n",
		    "parameter default_rbl_reply: unknown name" },
		/* An open relay is refused. */
		{ "smtpd_relay_restrictions =\n",
		    "specify at least one working instance of" },
		{ "smtpd_relay_restrictions = permit_mynetworks, permit\n",
		    "specify at least one working instance of" },
		{ "smtpd_relay_restrictions = permit, reject\n",
		    "specify at least one working instance of" },
		{ "smtpd_relay_restrictions = warn_if_reject reject\n",
		    "specify at least one working instance of" },
		{ "smtpd_relay_restrictions = permit_auth_destination\n",
		    "specify at least one working instance of" },
	};
	static const char *const good[] = {
		"smtpd_relay_restrictions =\n"
		"smtpd_recipient_restrictions = reject_unauth_destination\n",
		"smtpd_relay_restrictions = c\nsmtpd_restriction_classes = c\n"
		"c = permit_mynetworks, defer\n",
		"smtpd_client_restrictions = PERMIT_MYNETWORKS, "
		"Reject_RBL_Client a.b=127.0.0.[1;2]\n",
	};
	struct fixture *f = *state;
	struct err e;

	for (size_t i = 0; i < COUNT_OF(rows); i++) {
		assert_int_equal(try_start(f, rows[i].text, &e), -1);
		if (strstr(e.text, rows[i].error) == NULL)
			fail_msg("%s", e.text);
	}
	for (size_t i = 0; i < COUNT_OF(good); i++)
		if (try_start(f, good[i], &e) != 0)
			fail_msg("%s", e.text);
}

int
main(void)
{
#define TEST(name)                                                             \
	cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(words),
		TEST(undecided_destination),
		TEST(unknown_users),
		TEST(stages),
		TEST(classes),
		TEST(cancelled),
		TEST(actions),
		TEST(permissions_are_logged),
		TEST(dns_lists),
		TEST(services),
		TEST(unverified),
		TEST(null_sender_is_not_verified),
		TEST(policy_request),
		TEST(logins),
		TEST(errors_at_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
