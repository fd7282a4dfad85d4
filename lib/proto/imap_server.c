/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/proto/imap_server.h"

#include "lib/base/limits.h"
#include "lib/base/mem.h"
#include "lib/proto/imap_print.h"

enum {
	OUTPUT_MAX = 16 << 20, /* the driver stops long before */
	OUTPUT_HIGH = 65536,   /* no further command while so much waits */
	BAD_MAX = 20,	       /* malformed commands in a row */
};

enum mode {
	READ_LINE,    /* a command's text */
	READ_LITERAL, /* `left` bytes of a literal inside a command */
	SKIP_LINE,    /* the rest of a line that is too long */
	SKIP_LITERAL, /* `left` bytes that nobody wants, then a line */
	CONTINUE,     /* a line asked for */
	DATA,	      /* `left` bytes of APPEND's message */
	TAIL,	      /* the line end behind the message */
	CLOSED,
};

struct imap_server {
	enum imap_state state;
	enum mode mode;
	bool busy;     /* an event waits for its answer */
	bool answered; /* SKIP_*: the client has its tagged answer */
	uint64_t left;
	struct buf text; /* the command so far, literals included */
	struct buf line; /* CONTINUE, TAIL: a line behind it */
	size_t segment;	 /* where its last line begins */
	uint8_t last[2]; /* SKIP_LINE: the last bytes seen */
	struct arena arena;
	struct imap_cmd cmd;
	unsigned bad_count;
	struct buf out;
};

struct imap_server *
imap_server_new(enum imap_state state)
{
	struct imap_server *s = MEM_NEW(s);

	s->state = state;
	/* Two more than the limits, for the CRLF. */
	buf_init(&s->text, LIMIT_IMAP_LINE + 2);
	buf_init(&s->line, LIMIT_SASL_LINE + 2);
	arena_init(&s->arena, LIMIT_IMAP_COMMAND);
	buf_init(&s->out, OUTPUT_MAX);
	return s;
}

void
imap_server_free(struct imap_server **s)
{
	if (*s == NULL)
		return;
	buf_wipe(&(*s)->text);
	buf_wipe(&(*s)->line);
	buf_release(&(*s)->out);
	arena_reset(&(*s)->arena);
	mem_free(*s);
	*s = NULL;
}

enum imap_state
imap_server_state(const struct imap_server *s)
{
	return s->state;
}

void
imap_server_set_state(struct imap_server *s, enum imap_state state)
{
	s->state = state;
}

bool
imap_server_busy(const struct imap_server *s)
{
	return s->busy || s->mode == CONTINUE || s->mode == DATA ||
	       s->mode == TAIL;
}

const struct imap_cmd *
imap_server_cmd(const struct imap_server *s)
{
	return &s->cmd;
}

struct buf *
imap_server_out(struct imap_server *s)
{
	return &s->out;
}

struct span
imap_server_output(const struct imap_server *s)
{
	return buf_span(&s->out);
}

void
imap_server_sent(struct imap_server *s, size_t n)
{
	buf_consume(&s->out, n);
	if (s->out.n == 0 && s->out.cap > OUTPUT_HIGH)
		buf_release(&s->out);
}

static size_t
limit(const struct imap_server *s)
{
	return s->state == IMAP_NOT_AUTHENTICATED ? LIMIT_IMAP_PRELOGIN
						  : LIMIT_IMAP_LINE;
}

/* Ready for the next command; the text may have held a password. */
static void
next_command(struct imap_server *s, enum mode mode)
{
	arena_reset(&s->arena);
	buf_wipe(&s->text);
	buf_wipe(&s->line);
	s->segment = 0;
	s->cmd = (struct imap_cmd){ 0 };
	s->busy = false;
	s->mode = mode;
}

static void
answer(struct imap_server *s, struct span tag, enum imap_result result,
    const char *code, const char *text)
{
	static const char *const words[] = { "OK", "NO", "BAD" };

	buf_add(&s->out, tag.n > 0 ? tag : SPAN("*"));
	buf_fmt(&s->out, " %s ", words[result]);
	if (code != NULL)
		buf_fmt(&s->out, "[%s] ", code);
	imap_print_text(&s->out, span_str(text));
	buf_str(&s->out, "\r\n");
}

void
imap_server_bye(struct imap_server *s, const char *text)
{
	if (s->mode == CLOSED)
		return;
	buf_str(&s->out, "* BYE ");
	imap_print_text(&s->out, span_str(text));
	buf_str(&s->out, "\r\n");
	next_command(s, CLOSED);
}

/* The mode after a command that may end before all its bytes were read. */
static enum mode
rest_of(const struct imap_server *s)
{
	if (s->mode == DATA)
		return SKIP_LITERAL;
	if (s->mode == TAIL)
		return s->busy ? READ_LINE : SKIP_LINE;
	/* A refused APPEND whose message comes all the same. */
	if (s->mode == READ_LINE && s->cmd.verb == IMAP_APPEND &&
	    s->cmd.append_plus)
		return s->cmd.append_size > 0 ? SKIP_LITERAL : SKIP_LINE;
	return READ_LINE;
}

void
imap_server_done(struct imap_server *s, enum imap_result result,
    const char *code, const char *text)
{
	const enum mode next = rest_of(s);

	BUG_ON(!imap_server_busy(s));
	answer(s, s->cmd.tag, result, code, text);
	if (s->mode == READ_LINE && next == SKIP_LITERAL)
		s->left = s->cmd.append_size;
	if (result != IMAP_BAD)
		s->bad_count = 0;
	s->answered = true;
	next_command(s, next);
}

void
imap_server_continue(struct imap_server *s, struct span text)
{
	buf_str(&s->out, "+ ");
	buf_add(&s->out, text);
	buf_str(&s->out, "\r\n");
	buf_wipe(&s->line);
	s->busy = false;
	s->mode = CONTINUE;
}

void
imap_server_go(struct imap_server *s)
{
	BUG_ON(!s->busy || s->cmd.verb != IMAP_APPEND);
	if (!s->cmd.append_plus)
		buf_str(&s->out, "+ OK\r\n");
	s->busy = false;
	s->left = s->cmd.append_size;
	s->mode = DATA;
}

/* Refuses the command in hand; goes on in `next`. */
static void
refuse(struct imap_server *s, struct span tag, const char *why, enum mode next)
{
	answer(s, tag, IMAP_BAD, NULL, why);
	s->answered = true;
	next_command(s, next);
	if (++s->bad_count >= BAD_MAX)
		imap_server_bye(s, "Too many invalid commands");
}

/* The tag of an unfinished command, empty if there is none. */
static struct span
tag_of(const struct imap_server *s)
{
	const struct span text = buf_span(&s->text);
	const size_t space = span_chr(text, ' ');
	const char *why;
	struct imap_cmd cmd = { 0 };
	struct arena none;

	if (space == SIZE_MAX)
		return SPAN_EMPTY;
	arena_init(&none, 4096);
	(void)imap_cmd_parse(
	    span_slice(text, 0, space + 1), s->state, &none, &cmd, &why);
	arena_reset(&none);
	return cmd.tag;
}

/* Is the end of the line inside a quoted string? */
static bool
in_quotes(struct span line)
{
	bool quoted = false;

	for (size_t i = 0; i < line.n; i++) {
		if (line.p[i] == '"')
			quoted = !quoted;
		else if (line.p[i] == '\\' && quoted)
			i++;
	}
	return quoted;
}

/* What the end of a line says about a literal. */
enum mark { MARK_NONE, MARK_BAD, MARK_SYNC, MARK_PLUS };

static enum mark
literal_mark(struct span line, uint64_t *out_size)
{
	const size_t open = span_rchr(line, '{');
	struct span digits;
	bool plus;

	if (!span_ends(line, SPAN("}")) || open == SIZE_MAX || in_quotes(line))
		return MARK_NONE;
	digits = span_slice(line, open + 1, line.n - 1);
	plus = span_ends(digits, SPAN("+"));
	if (plus)
		digits.n--;
	if (!span_u64(digits, UINT32_MAX, out_size))
		return MARK_BAD;
	return plus ? MARK_PLUS : MARK_SYNC;
}

static void
parse_command(struct imap_server *s, struct imap_event *out)
{
	const char *why;

	if (imap_cmd_parse(buf_span(&s->text), s->state, &s->arena, &s->cmd,
		&why) == PARSE_BAD) {
		refuse(s, s->cmd.tag, why, READ_LINE);
		return;
	}
	s->busy = true;
	out->type = IMAP_EV_COMMAND;
	out->cmd = &s->cmd;
}

static void
begin_append(struct imap_server *s, struct imap_event *out)
{
	parse_command(s, out);
	if (out->type != IMAP_EV_COMMAND)
		return;
	out->type = IMAP_EV_APPEND;
}

static void
begin_literal(struct imap_server *s, enum mark mark, uint64_t size)
{
	if (s->text.n + 2 + size <= limit(s)) {
		if (mark == MARK_SYNC)
			buf_str(&s->out, "+ OK\r\n");
		buf_str(&s->text, "\r\n");
		s->left = size;
		s->segment = s->text.n;
		s->mode = size > 0 ? READ_LITERAL : READ_LINE;
		return;
	}
	s->left = size;
	refuse(s, tag_of(s), "Literal too large",
	    mark == MARK_PLUS ? SKIP_LITERAL : READ_LINE);
	if (mark == MARK_PLUS && s->state == IMAP_NOT_AUTHENTICATED)
		imap_server_bye(s, "Literal too large");
}

/* A whole line of a command is in s->text, without its line end. */
static void
line_ended(struct imap_server *s, struct imap_event *out)
{
	const struct span line = span_skip(buf_span(&s->text), s->segment);
	uint64_t size = 0;
	const enum mark mark = literal_mark(line, &size);
	const bool plus = span_ends(line, SPAN("+}"));

	switch (mark) {
	case MARK_NONE:
		if (s->text.n == 0)
			next_command(s, READ_LINE);
		else
			parse_command(s, out);
		return;
	case MARK_BAD:
		refuse(s, tag_of(s), "Invalid literal size", READ_LINE);
		/* How much would follow is unknown. */
		if (plus)
			imap_server_bye(s, "Invalid literal size");
		return;
	case MARK_SYNC:
	case MARK_PLUS:
		if (s->state != IMAP_NOT_AUTHENTICATED &&
		    imap_cmd_is_append(buf_span(&s->text), &s->arena))
			begin_append(s, out);
		else
			begin_literal(s, mark, size);
		return;
	}
}

/* Keeps the last two bytes that are no line end. */
static void
note_last(struct imap_server *s, struct span bytes)
{
	const size_t from = bytes.n > 8 ? bytes.n - 8 : 0;

	for (size_t i = from; i < bytes.n; i++) {
		if (bytes.p[i] == '\r' || bytes.p[i] == '\n')
			continue;
		s->last[0] = s->last[1];
		s->last[1] = bytes.p[i];
	}
}

/* Moves bytes up to the line's end into b, which may grow to max bytes. True
 * when the line is whole (its end dropped); *out_used says how many were
 * taken. A line that is too long is to be skipped. */
static bool
take_line(struct imap_server *s, struct buf *b, struct span in, size_t max,
    size_t *out_used)
{
	const size_t end = span_chr(in, '\n');
	const struct span part =
	    span_slice(in, 0, end == SIZE_MAX ? in.n : end + 1);

	*out_used = part.n;
	if (part.n > max + 2 - b->n) {
		/* Filled to the brim, for the tag in it. */
		*out_used = max + 2 - b->n;
		buf_add(b, span_slice(part, 0, *out_used));
		note_last(s, buf_span(b));
		s->mode = SKIP_LINE;
		s->answered = false;
		return false;
	}
	buf_add(b, part);
	if (end == SIZE_MAX)
		return false;
	buf_truncate(b, b->n - 1);
	if (b->n > 0 && b->p[b->n - 1] == '\r')
		buf_truncate(b, b->n - 1);
	return true;
}

static size_t
feed_line(struct imap_server *s, struct span in, struct imap_event *out)
{
	size_t used;

	if (take_line(s, &s->text, in, limit(s), &used))
		line_ended(s, out);
	else if (s->mode == SKIP_LINE && s->state == IMAP_NOT_AUTHENTICATED) {
		/* A stranger need not be waited for. */
		refuse(s, tag_of(s), "Command line too long", SKIP_LINE);
		imap_server_bye(s, "Command line too long");
	}
	return used;
}

static size_t
feed_literal(struct imap_server *s, struct span in)
{
	const struct span part = span_slice(in, 0, (size_t)s->left);

	buf_add(&s->text, part);
	s->left -= part.n;
	s->segment = s->text.n;
	if (s->left == 0)
		s->mode = READ_LINE;
	return part.n;
}

/* The rest of a line that is too long, or that follows skipped bytes. */
static size_t
feed_skip_line(struct imap_server *s, struct span in)
{
	const size_t end = span_chr(in, '\n');
	const size_t used = end == SIZE_MAX ? in.n : end + 1;
	bool more;

	note_last(s, span_slice(in, 0, used));
	if (end == SIZE_MAX)
		return used;
	/* A literal that follows unasked would be taken for commands. */
	more = s->last[0] == '+' && s->last[1] == '}';
	s->last[0] = s->last[1] = 0;
	if (s->answered)
		next_command(s, READ_LINE);
	else
		refuse(s, tag_of(s), "Command line too long", READ_LINE);
	if (more || s->state == IMAP_NOT_AUTHENTICATED)
		imap_server_bye(s, "Command line too long");
	return used;
}

static size_t
feed_skip_literal(struct imap_server *s, struct span in)
{
	const struct span part = span_slice(in, 0, (size_t)s->left);

	s->left -= part.n;
	if (s->left == 0)
		s->mode = SKIP_LINE;
	return part.n;
}

static size_t
feed_continue(struct imap_server *s, struct span in, struct imap_event *out)
{
	size_t used;

	if (!take_line(s, &s->line, in, LIMIT_SASL_LINE, &used)) {
		if (s->mode == SKIP_LINE)
			imap_server_bye(s, "Line too long");
		return used;
	}
	s->busy = true;
	out->type = IMAP_EV_LINE;
	out->cmd = &s->cmd;
	out->bytes = buf_span(&s->line);
	return used;
}

static size_t
feed_data(struct imap_server *s, struct span in, struct imap_event *out)
{
	const struct span part = span_slice(in, 0, (size_t)s->left);

	s->left -= part.n;
	if (part.n > 0) {
		out->type = IMAP_EV_DATA;
		out->cmd = &s->cmd;
		out->bytes = part;
	}
	if (s->left == 0)
		s->mode = TAIL;
	return part.n;
}

static size_t
feed_tail(struct imap_server *s, struct span in, struct imap_event *out)
{
	size_t used;

	if (take_line(s, &s->line, in, 0, &used) && s->line.n == 0) {
		s->busy = true;
		out->type = IMAP_EV_APPEND_END;
		out->cmd = &s->cmd;
	} else if (s->mode == SKIP_LINE || s->line.n > 1 ||
		   (s->line.n == 1 && s->line.p[0] != '\r')) {
		/* More than a line end: said now, the rest is skipped. */
		refuse(s, s->cmd.tag, "Line end expected after the message",
		    SKIP_LINE);
		out->type = IMAP_EV_APPEND_BAD;
		return 0;
	}
	return used;
}

static size_t
feed_mode(struct imap_server *s, struct span in, struct imap_event *out)
{
	switch (s->mode) {
	case READ_LINE:
		return feed_line(s, in, out);
	case READ_LITERAL:
		return feed_literal(s, in);
	case SKIP_LINE:
		return feed_skip_line(s, in);
	case SKIP_LITERAL:
		return feed_skip_literal(s, in);
	case CONTINUE:
		return feed_continue(s, in, out);
	case DATA:
		return feed_data(s, in, out);
	case TAIL:
		return feed_tail(s, in, out);
	case CLOSED:
		break;
	}
	out->type = IMAP_EV_CLOSE;
	return 0;
}

size_t
imap_server_feed(struct imap_server *s, struct span in, struct imap_event *out)
{
	size_t used = 0;

	*out = (struct imap_event){ .type = IMAP_EV_NONE };
	if (s->busy)
		return 0;
	while (out->type == IMAP_EV_NONE && !s->busy &&
	       s->out.n < OUTPUT_HIGH && (used < in.n || s->mode == CLOSED)) {
		const enum mode before = s->mode;
		const size_t n = feed_mode(s, span_skip(in, used), out);

		used += n;
		if (n == 0 && s->mode == before)
			break;
	}
	return used;
}
