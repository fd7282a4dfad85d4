/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/oauth.h"

#include <jansson.h>
#include <string.h>
#include <sys/stat.h>

#include "auth/introspect.h"
#include "auth/jwt.h"
#include "lib/base/mem.h"
#include "lib/map/text_file.h"
#include "lib/os/fs.h"
#include "lib/os/log.h"

enum { KEYS_FILE_MAX = 1 << 20 };

struct oauth {
	struct loop *loop;
	const struct auth_conf *conf;
	struct jwt_claims claims;
	struct jwt_keys *keys; /* NULL: not read */
	struct stat seen;
	struct introspect_place place;
	bool asks; /* place is set */
};

struct oauth *
oauth_new(struct loop *loop, const struct auth_conf *conf, struct err *e)
{
	struct oauth *o = MEM_NEW(o);
	const char *where = conf->auth_oauth2_introspection;

	o->loop = loop;
	o->conf = conf;
	o->claims = (struct jwt_claims){
		.issuers = conf->auth_oauth2_issuers,
		.audience = conf->auth_oauth2_audience,
		.scope = conf->auth_oauth2_scope,
		.username = conf->auth_oauth2_username_claim,
	};
	o->asks = where[0] != '\0';
	if (o->asks && !introspect_place_parse(span_str(where), &o->place)) {
		mem_free(o);
		err_set(e, ERR_PERM, "4.3.5",
		    "auth_oauth2_introspection: \"%.80s\" is not one of: "
		    "http://127.0.0.1:port/path, http://[::1]:port/path, "
		    "unix:/socket:/path", where);
		return NULL;
	}
	return o;
}

void
oauth_free(struct oauth **o)
{
	if (*o == NULL)
		return;
	jwt_keys_free(&(*o)->keys);
	mem_free(*o);
	*o = NULL;
}

/* ---- the set of keys ---- */

/* A changed file is read again; while the new one is unusable the old keys
 * stay. -1: there are none. */
static int
refresh(struct oauth *o, struct err *e)
{
	const char *path = o->conf->auth_oauth2_keys;
	struct jwt_keys *keys = NULL;
	struct stat st;
	struct buf text;

	if (o->keys != NULL &&
	    (stat(path, &st) < 0 || fs_same(&st, &o->seen)))
		return 0;
	if (text_file_read(path, KEYS_FILE_MAX, &text, &st, e) == 0) {
		keys = jwt_keys_parse(buf_span(&text), e);
		if (keys == NULL)
			err_wrap(e, "%s", path);
	}
	buf_wipe(&text);
	if (keys != NULL) {
		jwt_keys_free(&o->keys);
		o->keys = keys;
		o->seen = st;
	} else if (o->keys != NULL) {
		log_warning(NULL, "%s", e->text);
	}
	return o->keys != NULL ? 0 : -1;
}

/* ---- checks ---- */

static void
conclude(enum jwt_result r, struct buf *user, const char *why, oauth_fn fn,
    void *arg)
{
	switch (r) {
	case JWT_OK:
		fn(arg, OAUTH_OK, buf_cstr(user), "");
		break;
	case JWT_NONE:
	case JWT_REFUSED:
		fn(arg, OAUTH_REFUSED, NULL, why);
		break;
	case JWT_SCOPE:
		fn(arg, OAUTH_SCOPE, NULL, why);
		break;
	}
}

struct inquiry {
	struct oauth *o;
	oauth_fn fn;
	void *arg;
};

static void
answered(void *arg, struct span body, const struct err *e)
{
	struct inquiry *q = arg;
	const char *why;
	struct buf user;
	enum jwt_result r;

	buf_init(&user, AUTH_NAME_MAX);
	if (e != NULL) {
		q->fn(q->arg, OAUTH_FAILED, NULL, e->text);
	} else {
		r = jwt_check_answer(body, &q->o->claims,
		    clock_wall_us() / 1000000, &user, &why);
		if (r == JWT_NONE)
			q->fn(q->arg, OAUTH_FAILED, NULL, why);
		else
			conclude(r, &user, why, q->fn, q->arg);
	}
	buf_release(&user);
	mem_free(q);
}

static void
ask(struct oauth *o, struct span token, oauth_fn fn, void *arg)
{
	struct inquiry *q = MEM_NEW(q);

	q->o = o;
	q->fn = fn;
	q->arg = arg;
	introspect_ask(o->loop, &o->place, token,
	    o->conf->auth_oauth2_authorization, answered, q);
}

/* By our keys. False: it is not theirs, ask elsewhere. */
static bool
check_keys(struct oauth *o, struct span token, oauth_fn fn, void *arg)
{
	const char *why;
	struct buf user;
	enum jwt_result r;
	struct err e;

	if (refresh(o, &e) < 0) {
		if (!o->asks)
			fn(arg, OAUTH_FAILED, NULL, e.text);
		return !o->asks;
	}
	buf_init(&user, AUTH_NAME_MAX);
	r = jwt_check(o->keys, token, &o->claims, clock_wall_us() / 1000000,
	    &user, &why);
	if (r == JWT_NONE && o->asks) {
		buf_release(&user);
		return false;
	}
	conclude(r, &user, why, fn, arg);
	buf_release(&user);
	return true;
}

void
oauth_check(struct oauth *o, struct span token, oauth_fn fn, void *arg)
{
	if (o->conf->auth_oauth2_keys[0] != '\0' &&
	    check_keys(o, token, fn, arg))
		return;
	if (o->asks)
		ask(o, token, fn, arg);
	else
		fn(arg, OAUTH_FAILED, NULL,
		    "neither auth_oauth2_keys nor auth_oauth2_introspection "
		    "is set");
}

void
oauth_error(const struct oauth *o, enum oauth_result result, struct buf *out)
{
	const char *scope = o->conf->auth_oauth2_scope;
	const char *url = o->conf->auth_oauth2_openid_configuration;
	json_t *root = json_object();
	char *text;

	json_object_set_new(root, "status",
	    json_string(result == OAUTH_SCOPE ? "insufficient_scope" :
						"invalid_token"));
	json_object_set_new(root, "schemes", json_string("bearer"));
	if (scope[0] != '\0')
		json_object_set_new(root, "scope", json_string(scope));
	if (url[0] != '\0')
		json_object_set_new(
		    root, "openid-configuration", json_string(url));
	text = json_dumps(root, JSON_COMPACT | JSON_PRESERVE_ORDER);
	buf_str(out, text != NULL ? text : "{}");
	free(text);
	json_decref(root);
}
