/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_MIME_H
#define CHAPPE_PROTO_MIME_H

/*
 * The structure of a message (RFC 2045, RFC 2046): a tree of parts, as
 * offsets into the message, found in one pass over it. Depth and number of
 * parts are limited; what lies beyond is content of the part that holds it.
 * No recursion: nesting costs no C stack. Nothing is decoded.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/span.h"

enum mime_kind {
	MIME_LEAF,
	MIME_MULTIPART,
	MIME_MESSAGE, /* message/rfc822: one child, the message inside */
};

#define MIME_NONE UINT32_MAX /* no such part */

struct mime_part {
	enum mime_kind kind;
	bool digest; /* multipart/digest: its parts are messages */
	bool opaque; /* a multipart or message that was not taken apart */
	uint32_t parent, first, last, next; /* indices, or MIME_NONE */
	uint32_t depth;
	size_t header;	/* where its header begins */
	size_t body;	/* where its body begins */
	size_t end;	/* where its body ends */
	uint32_t lines; /* line ends in the body */
};

/* parts[0] is the message itself. */
struct mime {
	struct span message;
	struct mime_part *parts;
	uint32_t count;
	bool truncated; /* a limit was met */
};

/* Takes the message (line ends CRLF or LF) apart; it must outlive *out, which
 * mime_release frees. */
void mime_parse(struct span message, struct mime *out);
void mime_release(struct mime *m);

/* The header of a part, with its empty line; its body. */
struct span mime_header(const struct mime *m, uint32_t part);
struct span mime_body(const struct mime *m, uint32_t part);

/* The part that a section number names (RFC 3501 6.4.5), or MIME_NONE;
 * count 0 is the message. *out_message says whether it is a message with a
 * header of its own, for HEADER and TEXT: then *out_inner is the part that
 * has them. */
uint32_t mime_find(const struct mime *m, const uint32_t *numbers, size_t count,
    bool *out_message, uint32_t *out_inner);

/* ---- Content-* fields ------------------------------------------------------
 */

struct mime_param {
	struct span name, value; /* value without its quotes */
};

struct mime_value {
	struct span type, subtype; /* "text" "plain"; or "attachment" alone */
	struct mime_param *params;
	size_t param_count; /* at most MIME_PARAMS_MAX are kept */
};

enum { MIME_PARAMS_MAX = 100 };

/* Parses the body of Content-Type: "text/plain; charset=utf-8", comments and
 * folds allowed. False when there is no type/subtype. Spans live in the
 * arena or in s. */
bool mime_type_parse(struct span s, struct arena *a, struct mime_value *out);

/* The same for fields with one word: Content-Disposition. */
bool mime_disposition_parse(
    struct span s, struct arena *a, struct mime_value *out);

/* A parameter's value; an empty span with p NULL when there is none. */
struct span mime_param(const struct mime_value *v, struct span name);

/* The next token or quoted string of a structured field, past comments and
 * white space. Quoted strings lose their quotes. False at the end or before a
 * special, which then stands at the front of *rest. */
bool mime_token(struct span *rest, struct arena *a, struct span *out);

#endif
