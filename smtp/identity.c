/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/base/limits.h"
#include "smtp/smtp.h"
#include "smtp/tls_policy.h"

static const enum smtp_client_tls levels[] = {
	[TLS_LEVEL_NONE] = SMTP_CLIENT_TLS_NONE,
	[TLS_LEVEL_MAY] = SMTP_CLIENT_TLS_MAY,
	[TLS_LEVEL_ENCRYPT] = SMTP_CLIENT_TLS_MUST,
	[TLS_LEVEL_FINGERPRINT] = SMTP_CLIENT_TLS_MUST,
	[TLS_LEVEL_VERIFY] = SMTP_CLIENT_TLS_MUST,
	[TLS_LEVEL_SECURE] = SMTP_CLIENT_TLS_MUST,
};

/* Splits "user:password" in place. */
static void
take_secret(struct identity *id)
{
	char *text = (char *)(uintptr_t)buf_cstr(&id->secret);
	char *colon = strchr(text, ':');

	if (colon == NULL)
		return;
	*colon = '\0';
	id->conf.user = text;
	id->conf.password = colon + 1;
	/* A password is never sent in clear. */
	id->conf.tls = SMTP_CLIENT_TLS_MUST;
}

int
identity_init(struct identity *id, struct smtp *s, struct span nexthop,
    const char *host, const struct tls_policy *tls, struct err *e)
{
	enum map_result found = MAP_ABSENT;

	*id = (struct identity){ .conf = {
		.helo_name = s->conf->smtp_helo_name,
		.lmtp = s->lmtp,
		.tls = levels[tls->level],
	} };
	buf_init(&id->secret, LIMIT_TABLE_VALUE);
	if (s->passwords != NULL)
		found = maps_get(s->passwords, nexthop, &id->secret, e);
	if (s->passwords != NULL && found == MAP_ABSENT)
		found = maps_get(s->passwords, span_str(host), &id->secret,
		    e);
	if (found == MAP_FAILED)
		return -1;
	if (found == MAP_FOUND)
		take_secret(id);
	return 0;
}

void
identity_release(struct identity *id)
{
	buf_wipe(&id->secret);
}
