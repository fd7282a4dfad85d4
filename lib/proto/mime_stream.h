/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef CHAPPE_PROTO_MIME_STREAM_H
#define CHAPPE_PROTO_MIME_STREAM_H

/*
 * A message body as it goes by, cut into what content checks look at: the
 * fields of its parts' headers and of the messages inside it (RFC 2045, 2046),
 * and the lines of everything else. Bytes in, events out by callback. Every
 * byte comes out in exactly one event and in order, so that a driver that
 * passes on what it gets passes on the body. Lines end in CRLF or LF; the
 * last one may have no end.
 *
 * Memory: one field (LIMIT_HEADER_FIELD) and a boundary for each level of
 * nesting, LIMIT_MIME_DEPTH at most; what lies deeper, and multiparts with a
 * boundary of more than 255 bytes, are text.
 */

#include <stdbool.h>
#include <stdint.h>

#include "lib/proto/header.h"

/* Whose header a field stands in. */
enum mime_stream_class {
	MIME_STREAM_PART,   /* a part of a multipart */
	MIME_STREAM_NESTED, /* a message within the message */
};

struct mime_stream_handler {
	/* A field; name is empty for a line among the fields that is none.
	 * A field of more than LIMIT_HEADER_FIELD bytes comes cut, and its
	 * rest by `other`. */
	void (*field)(void *arg, enum mime_stream_class c,
	    const struct header_field *field);
	/* A line of text, boundaries and closing text of multiparts included,
	 * with its end; a line of more than LIMIT_SMTP_TEXT_LINE bytes in
	 * pieces. at: bytes of this part's text before it. */
	void (*line)(void *arg, struct span line, uint64_t at);
	/* What is neither: the empty line behind a header. */
	void (*other)(void *arg, struct span bytes);
};

struct mime_stream;
/* content_type, encoding: bodies of the message's own Content-Type and
 * Content-Transfer-Encoding, empty if it has none. handler must outlive the
 * stream. */
struct mime_stream *mime_stream_new(struct span content_type,
    struct span encoding, const struct mime_stream_handler *handler,
    void *arg);
void mime_stream_free(struct mime_stream **s);

/* The next bytes, cut anywhere; then the end. */
void mime_stream_feed(struct mime_stream *s, struct span bytes);
void mime_stream_end(struct mime_stream *s);

#endif
