/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "imapd/session.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/mem.h"
#include "lib/os/sock.h"

/*
 * A session in a child process, on a Maildir of its own; the parent is its
 * client. Lines that the client waits for are given by their beginning.
 */
struct talk {
	char dir[64];
	pid_t pid;
	int fd, control;
	struct buf in;
};

_Noreturn static void
child(const char *home, int client, int control)
{
	static char user[] = "bob", tag[] = "a", address[] = "192.0.2.1";
	struct session s = {
		.user = { .name = user,
		    .tag = tag,
		    .address = address,
		    .message_size_max = 1000000,
		    .idle_notify_ms = 60000 },
	};
	const struct store_user u = {
		.name = user,
		.home = home,
		.location = "maildir:~/Maildir",
	};
	struct err e;

	dup2(client, SESSION_CLIENT_FD);
	dup2(control, SESSION_CONTROL_FD);
	if (sock_set_nonblock(SESSION_CLIENT_FD, true, &e) != 0 ||
	    store_open(&u, &s.store, &e) != 0)
		_exit(3);
	session_run(&s);
	store_close(&s.store);
	_exit(0);
}

static int
setup(void **state)
{
	struct talk *t = MEM_NEW(t);
	int client[2], control[2];
	struct err e;

	snprintf(t->dir, sizeof(t->dir), "/tmp/session_test.XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	/* Above the two numbers that the child moves them to. */
	assert_int_not_equal(dup2(0, 3), -1);
	assert_int_not_equal(dup2(0, 4), -1);
	assert_int_equal(sock_pair(SOCK_STREAM, client, &e), 0);
	assert_int_equal(sock_pair(SOCK_SEQPACKET, control, &e), 0);
	t->pid = fork();
	if (t->pid == 0) {
		/* Else it would never see its client go. */
		close(client[0]);
		close(control[0]);
		child(t->dir, client[1], control[1]);
	}
	close(client[1]);
	close(control[1]);
	t->fd = client[0];
	t->control = control[0];
	buf_init(&t->in, 1 << 20);
	*state = t;
	return 0;
}

static int
teardown(void **state)
{
	struct talk *t = *state;
	char command[128];
	int status;

	close(t->fd);
	close(t->control);
	assert_int_equal(waitpid(t->pid, &status, 0), t->pid);
	assert_int_equal(status, 0);
	snprintf(command, sizeof(command), "rm -rf %s", t->dir);
	assert_int_equal(system(command), 0);
	buf_release(&t->in);
	mem_free(t);
	return 0;
}

static void
say(struct talk *t, const char *text)
{
	const size_t n = strlen(text);

	assert_int_equal(write(t->fd, text, n), n);
}

/* The next line, with its CRLF, as a C string of the heap. */
static char *
next_line(struct talk *t)
{
	struct pollfd p = { .fd = t->fd, .events = POLLIN };
	size_t end;
	char *line;

	while ((end = span_chr(buf_span(&t->in), '\n')) == SIZE_MAX) {
		uint8_t *room = buf_room(&t->in, 4096);
		ssize_t n;

		assert_int_equal(poll(&p, 1, 20000), 1);
		n = read(t->fd, room, 4096);
		assert_true(n > 0);
		buf_grown(&t->in, (size_t)n);
	}
	line = span_dup(span_slice(buf_span(&t->in), 0, end + 1));
	buf_consume(&t->in, end + 1);
	return line;
}

/* Every line up to the one that begins with `last` must be in this order
 * among those wanted; other lines may stand between. */
static void
expect(struct talk *t, const char *const *wanted)
{
	while (*wanted != NULL) {
		char *line = next_line(t);

		if (span_starts(span_str(line), span_str(*wanted)))
			wanted++;
		else if (strncmp(line, "t ", 2) == 0)
			fail_msg("%s, wanted %s", line, *wanted);
		mem_free(line);
	}
}

#define EXPECT(t, ...) expect((t), (const char *const[]){ __VA_ARGS__, NULL })

static void
append(struct talk *t, const char *flags, const char *message)
{
	char *head =
	    mem_printf("t APPEND INBOX %s{%zu+}\r\n", flags, strlen(message));

	say(t, head);
	say(t, message);
	say(t, "\r\n");
	EXPECT(t, "t OK [APPENDUID ");
	mem_free(head);
}

static void
keeps_messages(void **state)
{
	struct talk *t = *state;

	EXPECT(t, "a OK [CAPABILITY IMAP4rev1 ");
	append(t, "(\\Seen kw) \"17-Jul-1996 02:44:25 -0700\" ",
	    "Subject: one\r\n\r\nbody\r\n");
	append(t, "", "Subject: two\r\nTo: a@b\r\n\r\nother\r\n");
	say(t, "t SELECT inbox\r\n");
	EXPECT(t, "* FLAGS (", "* OK [PERMANENTFLAGS (", "* 2 EXISTS",
	    "* 2 RECENT", "* OK [UNSEEN 2]", "* OK [UIDVALIDITY ",
	    "* OK [UIDNEXT 3]", "t OK [READ-WRITE]");
	say(t, "t FETCH 1 (UID FLAGS INTERNALDATE RFC822.SIZE BODY[TEXT])\r\n");
	EXPECT(t,
	    "* 1 FETCH (UID 1 FLAGS (\\Seen \\Recent kw) INTERNALDATE "
	    "\"17-Jul-1996 02:44:25 -0700\" RFC822.SIZE 22 BODY[TEXT] {6}",
	    "body", ")", "t OK");
	say(t, "t UID FETCH 2 BODY[HEADER.FIELDS (to)]<1.3>\r\n");
	EXPECT(t, "* 2 FETCH (UID 2 BODY[HEADER.FIELDS (to)]<1> {3}",
	    "o:  FLAGS (\\Seen \\Recent))", "t OK");
	say(t, "t FETCH 3 FLAGS\r\n");
	EXPECT(t, "t BAD Message number out of range");
}

static void
searches(void **state)
{
	struct talk *t = *state;

	append(t, "(\\Seen) ", "Subject: one\r\n\r\nbody\r\n");
	append(t, "", "Subject: =?utf-8?q?zw=C3=B6?=\r\n\r\nother\r\n");
	say(t, "t SELECT INBOX\r\n");
	EXPECT(t, "t OK");
	say(t, "t SEARCH UNSEEN\r\n");
	EXPECT(t, "* SEARCH 2\r\n", "t OK");
	say(t, "t UID SEARCH CHARSET iso-8859-1 SUBJECT {3+}\r\nZW\xd6\r\n");
	EXPECT(t, "* SEARCH 2\r\n", "t OK");
	say(t, "t SEARCH OR BODY BODY NOT ALL\r\n");
	EXPECT(t, "* SEARCH 1\r\n", "t OK");
	say(t, "t SEARCH CHARSET x-none SUBJECT a\r\n");
	EXPECT(t, "t NO [BADCHARSET (US-ASCII UTF-8)]");
}

static void
changes_and_moves(void **state)
{
	struct talk *t = *state;

	append(t, "", "Subject: one\r\n\r\nbody\r\n");
	append(t, "", "Subject: two\r\n\r\nbody\r\n");
	say(t, "t SELECT INBOX\r\nt STORE 1 +FLAGS (\\Deleted new)\r\n");
	EXPECT(t, "t OK [READ-WRITE]", "* FLAGS (",
	    "* 1 FETCH (FLAGS (\\Deleted \\Recent new))", "t OK");
	say(t, "t UID EXPUNGE 2\r\n");
	EXPECT(t, "t OK");
	say(t, "t COPY 1 Sent\r\n");
	EXPECT(t, "t NO [TRYCREATE]");
	say(t, "t CREATE Sent\r\nt UID MOVE 2 Sent\r\n");
	EXPECT(t, "t OK", "* OK [COPYUID ", "* 2 EXPUNGE", "t OK");
	say(t, "t LIST \"\" %\r\n");
	EXPECT(t, "* LIST (\\HasNoChildren) \".\" \"INBOX\"",
	    "* LIST (\\Sent \\HasNoChildren) \".\" \"Sent\"", "t OK");
	say(t, "t STATUS Sent (MESSAGES UIDNEXT UNSEEN)\r\n");
	EXPECT(t, "* STATUS \"Sent\" (MESSAGES 1 UIDNEXT 2 UNSEEN 1)", "t OK");
	say(t, "t EXAMINE INBOX\r\nt EXPUNGE\r\n");
	EXPECT(t, "t OK [READ-ONLY]", "t NO [READ-ONLY]");
	say(t, "t SELECT INBOX\r\nt CLOSE\r\nt STATUS INBOX (MESSAGES)\r\n");
	EXPECT(
	    t, "t OK", "t OK Close", "* STATUS \"INBOX\" (MESSAGES 0)", "t OK");
}

static void
refuses_names(void **state)
{
	static const char *const names[] = { "\"../x\"", "/etc/passwd",
		"\"&AC4ALg-\"", "\"&AAA-\"", "\"a..b\"", "cur" };
	struct talk *t = *state;

	for (size_t i = 0; i < COUNT_OF(names); i++) {
		char *line = mem_printf("t CREATE %s\r\n", names[i]);

		say(t, line);
		EXPECT(t, "t NO");
		mem_free(line);
	}
	say(t, "t APPEND INBOX {1000001}\r\n");
	EXPECT(t, "t NO [TOOBIG]");
	say(t, "t DELETE INBOX\r\n");
	EXPECT(t, "t NO");
}

/* Another program's delivery shows while IDLE lasts. */
static void
idles(void **state)
{
	struct talk *t = *state;
	char command[512];

	say(t, "t SELECT INBOX\r\nt IDLE\r\n");
	EXPECT(t, "t OK", "+ idling");
	snprintf(command, sizeof(command),
	    "echo 'Subject: x' > %s/Maildir/tmp/1.2.x && "
	    "mv %s/Maildir/tmp/1.2.x %s/Maildir/new/",
	    t->dir, t->dir, t->dir);
	assert_int_equal(system(command), 0);
	EXPECT(t, "* 1 EXISTS", "* 1 RECENT");
	say(t, "DONE\r\nt LOGOUT\r\n");
	EXPECT(t, "t OK Idle", "* BYE", "t OK");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    keeps_messages, setup, teardown),
		cmocka_unit_test_setup_teardown(searches, setup, teardown),
		cmocka_unit_test_setup_teardown(
		    changes_and_moves, setup, teardown),
		cmocka_unit_test_setup_teardown(refuses_names, setup, teardown),
		cmocka_unit_test_setup_teardown(idles, setup, teardown),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests_name("session", tests, NULL, NULL);
}
