/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/greylist.h"

#include "lib/base/buf.h"

/* Values of the two kinds of records. */
enum mail_value { FIRST_SEEN, PASSED };
enum client_value { COMEBACKS };

enum { KEY_MAX = 2048 };

static void
add_lower(struct buf *b, struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		buf_byte(b, ascii_lower(s.p[i]));
}

/* Senders that have a number or an address of the recipient in them, anew in
 * each mail, are one: numbers are all the same, and what follows a "+" does
 * not count. */
static void
add_sender(struct buf *b, struct span sender)
{
	const size_t at = span_rchr(sender, '@');
	struct span local = at == SIZE_MAX ? sender : span_slice(sender, 0, at);
	const size_t plus = span_chr(local, '+');

	if (plus != SIZE_MAX && plus > 0)
		local = span_slice(local, 0, plus);
	for (size_t i = 0; i < local.n; i++)
		if (!ascii_digit(local.p[i]))
			buf_byte(b, ascii_lower(local.p[i]));
		else if (i == 0 || !ascii_digit(local.p[i - 1]))
			buf_byte(b, '#');
	if (at != SIZE_MAX)
		add_lower(b, span_skip(sender, at));
}

static uint64_t
mail_key(const struct shared_table *t, const struct grey_mail *mail)
{
	struct buf text;
	uint64_t key;

	buf_init(&text, KEY_MAX);
	buf_add(&text, mail->client);
	buf_byte(&text, 0);
	add_sender(&text, span_slice(mail->sender, 0, KEY_MAX / 3));
	buf_byte(&text, 0);
	add_lower(&text, span_slice(mail->rcpt, 0, KEY_MAX / 3));
	key = shared_table_key(t, "grey mail", buf_span(&text));
	buf_release(&text);
	return key;
}

/* One mail more has come back. */
static void
count_comeback(struct shared_table *t, const struct greylist *conf,
    uint64_t client, int64_t now_s)
{
	uint64_t v[SHARED_WORDS] = { 0 };

	shared_table_get(t, SHARED_GREY, client, now_s, v);
	shared_table_put(t, SHARED_GREY, client, COMEBACKS, v[COMEBACKS] + 1,
	    now_s, conf->lifetime_s);
}

enum grey_answer
greylist_ask(struct shared_table *t, const struct greylist *conf,
    const struct grey_mail *mail, int64_t now_s, int64_t *out_s)
{
	const uint64_t client = shared_table_key(t, "grey client",
	    mail->client);
	const uint64_t key = mail_key(t, mail);
	uint64_t v[SHARED_WORDS] = { 0 };
	int64_t age;

	*out_s = 0;
	if (conf->auto_allow > 0 &&
	    shared_table_get(t, SHARED_GREY, client, now_s, v) &&
	    v[COMEBACKS] >= conf->auto_allow) {
		shared_table_put(t, SHARED_GREY, client, COMEBACKS,
		    v[COMEBACKS], now_s, conf->lifetime_s);
		return GREY_PASS;
	}
	if (!shared_table_get(t, SHARED_GREY, key, now_s, v)) {
		shared_table_put(t, SHARED_GREY, key, FIRST_SEEN,
		    (uint64_t)now_s, now_s, conf->retry_s);
		*out_s = conf->delay_s;
		return conf->delay_s > 0 ? GREY_WAIT : GREY_PASS;
	}
	age = now_s - (int64_t)v[FIRST_SEEN];
	if (v[PASSED] == 0 && age < conf->delay_s) {
		*out_s = conf->delay_s - age;
		return GREY_WAIT;
	}
	if (v[PASSED] == 0) {
		*out_s = age;
		count_comeback(t, conf, client, now_s);
	}
	shared_table_put(t, SHARED_GREY, key, PASSED, 1, now_s,
	    conf->lifetime_s);
	return GREY_PASS;
}
