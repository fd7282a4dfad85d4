/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "auth/pam.h"

#include <security/pam_appl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Answers questions without echo with the password, those with echo with the
 * user's name, and lets messages pass. */
struct answers {
	const char *user, *password;
};

static int
converse(int count, const struct pam_message **questions,
    struct pam_response **out, void *arg)
{
	const struct answers *a = arg;
	struct pam_response *list;

	if (count <= 0 || count > PAM_MAX_NUM_MSG)
		return PAM_CONV_ERR;
	/* PAM frees these with free(3). */
	list = calloc((size_t)count, sizeof(*list));
	if (list == NULL)
		return PAM_BUF_ERR;
	for (int i = 0; i < count; i++) {
		if (questions[i]->msg_style == PAM_PROMPT_ECHO_OFF)
			list[i].resp = strdup(a->password);
		else if (questions[i]->msg_style == PAM_PROMPT_ECHO_ON)
			list[i].resp = strdup(a->user);
	}
	*out = list;
	return PAM_SUCCESS;
}

static void
no_delay(int status, unsigned delay_us, void *arg)
{
	(void)status;
	(void)delay_us;
	(void)arg;
}

/* What a failure of PAM means: the user's fault, or nobody can say. */
static enum worker_pam
meaning(int status)
{
	switch (status) {
	case PAM_SUCCESS:
		return WORKER_PAM_OK;
	case PAM_AUTH_ERR:
	case PAM_USER_UNKNOWN:
	case PAM_MAXTRIES:
	case PAM_PERM_DENIED:
	case PAM_ACCT_EXPIRED:
	case PAM_NEW_AUTHTOK_REQD:
	case PAM_CRED_INSUFFICIENT:
		return WORKER_PAM_NO;
	default:
		return WORKER_PAM_UNAVAILABLE;
	}
}

static int
run(pam_handle_t *pam, const char *addr)
{
	/* Delays are given to this function instead of being slept. */
	union {
		void (*delay)(int, unsigned, void *);
		const void *item;
	} f = { .delay = no_delay };

	int rc = pam_set_item(pam, PAM_FAIL_DELAY, f.item);
	if (rc == PAM_SUCCESS && addr[0] != '\0')
		rc = pam_set_item(pam, PAM_RHOST, addr);
	if (rc == PAM_SUCCESS)
		rc = pam_set_item(pam, PAM_TTY, "chappe");
	if (rc == PAM_SUCCESS)
		rc = pam_authenticate(
		    pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	if (rc == PAM_SUCCESS)
		rc = pam_acct_mgmt(pam, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	return rc;
}

enum worker_pam
pam_check(const char *service, const char *user, const char *password,
    const char *addr, char *why, size_t why_size)
{
	const struct answers answers = { user, password };
	union {
		const struct answers *from;
		void *to;
	} arg = { .from = &answers };
	const struct pam_conv conv = { converse, arg.to };
	pam_handle_t *pam = NULL;

	int rc = pam_start(service, user, &conv, &pam);
	if (rc == PAM_SUCCESS)
		rc = run(pam, addr);
	if (rc != PAM_SUCCESS)
		snprintf(why, why_size, "pam: %s", pam_strerror(pam, rc));
	if (pam != NULL)
		pam_end(pam, rc);
	return meaning(rc);
}
