/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/restrict_impl.h"

/* Every restriction by name; old names at the end. */

#define CLIENT SUBJECT_CLIENT
#define REVERSE SUBJECT_REVERSE
#define HELO SUBJECT_HELO
#define SENDER SUBJECT_SENDER
#define RCPT SUBJECT_RCPT

#define SERVERS(prefix, subject)                                               \
	{ prefix "_a_access", ARG_TABLE, run_server_access, subject,           \
	    RESTRICT_DNS_HOST },                                               \
	{ prefix "_mx_access", ARG_TABLE, run_server_access, subject,          \
	    RESTRICT_DNS_MX },                                                 \
	{ prefix "_ns_access", ARG_TABLE, run_server_access, subject,          \
	    RESTRICT_DNS_NS }

static const struct op ops[] = {
	{ "permit", ARG_NONE, run_permit, CLIENT, 0 },
	{ "reject", ARG_NONE, run_reject, CLIENT, 0 },
	{ "defer", ARG_NONE, run_defer, CLIENT, 0 },
	{ "defer_if_permit", ARG_NONE, run_defer_if_permit, CLIENT, 0 },
	{ "defer_if_reject", ARG_NONE, run_defer_if_reject, CLIENT, 0 },
	{ "warn_if_reject", ARG_NONE, run_warn_if_reject, CLIENT, 0 },
	{ "sleep", ARG_SECONDS, run_sleep, CLIENT, 0 },
	{ "check_policy_service", ARG_POLICY, run_policy, CLIENT, 0 },
	{ "reject_unauth_pipelining", ARG_NONE, run_pipelining, CLIENT, 0 },
	{ "reject_plaintext_session", ARG_NONE, run_plaintext, CLIENT, 0 },
	{ "reject_multi_recipient_bounce", ARG_NONE, run_multi_bounce, SENDER,
	    0 },

	/* the client */
	{ "permit_mynetworks", ARG_NONE, run_permit_client, CLIENT,
	    PERMIT_MYNETWORKS },
	{ "permit_inet_interfaces", ARG_NONE, run_permit_client, CLIENT,
	    PERMIT_OWN },
	{ "permit_sasl_authenticated", ARG_NONE, run_permit_client, CLIENT,
	    PERMIT_SASL },
	{ "permit_tls_clientcerts", ARG_NONE, run_permit_client, CLIENT,
	    PERMIT_CERT },
	{ "permit_tls_all_clientcerts", ARG_NONE, run_permit_client, CLIENT,
	    PERMIT_ANY_CERT },
	{ "reject_unknown_client_hostname", ARG_NONE, run_unknown_client,
	    CLIENT, 0 },
	{ "reject_unknown_reverse_client_hostname", ARG_NONE,
	    run_unknown_client, REVERSE, 0 },
	{ "reject_unknown_forward_client_hostname", ARG_NONE,
	    run_unknown_client, REVERSE, 1 },
	{ "check_client_access", ARG_TABLE, run_access, CLIENT, 0 },
	{ "check_reverse_client_hostname_access", ARG_TABLE, run_access,
	    REVERSE, 0 },
	{ "check_sasl_access", ARG_TABLE, run_access, SUBJECT_SASL, 0 },
	{ "check_ccert_access", ARG_TABLE, run_access, SUBJECT_CCERT, 0 },
	SERVERS("check_client", CLIENT),
	SERVERS("check_reverse_client_hostname", REVERSE),
	{ "reject_rbl_client", ARG_ZONE, run_dns_list, CLIENT,
	    DNSBL_ADDRESS },
	{ "reject_rhsbl_client", ARG_ZONE, run_dns_list, CLIENT, 0 },
	{ "reject_rhsbl_reverse_client", ARG_ZONE, run_dns_list, REVERSE, 0 },
	{ "permit_dnswl_client", ARG_ZONE, run_dns_list, CLIENT,
	    DNSBL_ADDRESS | DNSBL_PERMIT },
	{ "permit_rhswl_client", ARG_ZONE, run_dns_list, CLIENT,
	    DNSBL_PERMIT },

	/* HELO */
	{ "reject_invalid_helo_hostname", ARG_NONE, run_bad_helo, HELO,
	    HELO_INVALID },
	{ "reject_non_fqdn_helo_hostname", ARG_NONE, run_bad_helo, HELO,
	    HELO_NON_FQDN },
	{ "reject_unknown_helo_hostname", ARG_NONE, run_unknown_helo, HELO,
	    0 },
	{ "check_helo_access", ARG_TABLE, run_access, HELO, 0 },
	SERVERS("check_helo", HELO),
	{ "reject_rhsbl_helo", ARG_ZONE, run_dns_list, HELO, 0 },

	/* the sender */
	{ "check_sender_access", ARG_TABLE, run_access, SENDER, 0 },
	SERVERS("check_sender", SENDER),
	{ "reject_unknown_sender_domain", ARG_NONE, run_unknown_address,
	    SENDER, 0 },
	{ "reject_non_fqdn_sender", ARG_NONE, run_non_fqdn_address, SENDER,
	    0 },
	{ "reject_unlisted_sender", ARG_NONE, run_unlisted, SENDER, 0 },
	{ "reject_unverified_sender", ARG_NONE, run_unverified, SENDER, 0 },
	{ "reject_rhsbl_sender", ARG_ZONE, run_dns_list, SENDER, 0 },
	{ "reject_sender_login_mismatch", ARG_NONE, run_login_mismatch,
	    SENDER, MISMATCH_BOTH },
	{ "reject_authenticated_sender_login_mismatch", ARG_NONE,
	    run_login_mismatch, SENDER, MISMATCH_AUTH },
	{ "reject_known_sender_login_mismatch", ARG_NONE, run_login_mismatch,
	    SENDER, MISMATCH_KNOWN },
	{ "reject_unauthenticated_sender_login_mismatch", ARG_NONE,
	    run_login_mismatch, SENDER, MISMATCH_UNAUTH },

	/* the recipient */
	{ "check_recipient_access", ARG_TABLE, run_access, RCPT, 0 },
	SERVERS("check_recipient", RCPT),
	{ "permit_auth_destination", ARG_NONE, run_auth_destination, RCPT,
	    DEST_PERMIT },
	{ "reject_unauth_destination", ARG_NONE, run_auth_destination, RCPT,
	    DEST_REJECT },
	{ "defer_unauth_destination", ARG_NONE, run_auth_destination, RCPT,
	    DEST_DEFER },
	{ "permit_mx_backup", ARG_NONE, run_mx_backup, RCPT, 0 },
	{ "reject_unknown_recipient_domain", ARG_NONE, run_unknown_address,
	    RCPT, 0 },
	{ "reject_non_fqdn_recipient", ARG_NONE, run_non_fqdn_address, RCPT,
	    0 },
	{ "reject_unlisted_recipient", ARG_NONE, run_unlisted, RCPT, 0 },
	{ "reject_unverified_recipient", ARG_NONE, run_unverified, RCPT, 0 },
	{ "reject_rhsbl_recipient", ARG_ZONE, run_dns_list, RCPT, 0 },

	/* ETRN */
	{ "check_etrn_access", ARG_TABLE, run_access, SUBJECT_ETRN, 0 },

	/* old names */
	{ "reject_unknown_client", ARG_NONE, run_unknown_client, CLIENT, 0 },
	{ "reject_rbl", ARG_ZONE, run_dns_list, CLIENT, DNSBL_ADDRESS },
	{ "reject_invalid_hostname", ARG_NONE, run_bad_helo, HELO,
	    HELO_INVALID },
	{ "reject_non_fqdn_hostname", ARG_NONE, run_bad_helo, HELO,
	    HELO_NON_FQDN },
	{ "reject_unknown_hostname", ARG_NONE, run_unknown_helo, HELO, 0 },
	{ "reject_unknown_address", ARG_NONE, run_unknown_address, SENDER, 0 },
	{ "check_recipient_maps", ARG_NONE, run_unlisted, RCPT, 0 },
};

const struct op op_class = { "class", ARG_CLASS, run_class, CLIENT, 0 };
/* A table without check_..._access: of what the list is about. */
const struct op op_bare = { "table", ARG_TABLE, run_access, CLIENT, 1 };

const struct op *
op_find(struct span name)
{
	for (size_t i = 0; i < COUNT_OF(ops); i++)
		if (span_ieq(name, span_str(ops[i].name)))
			return &ops[i];
	return NULL;
}

/* How many bytes at the front and at the end are the same. */
static size_t
likeness(struct span a, struct span b)
{
	size_t front = 0, back = 0;

	while (front < a.n && front < b.n && a.p[front] == b.p[front])
		front++;
	while (front + back < a.n && front + back < b.n &&
	       a.p[a.n - 1 - back] == b.p[b.n - 1 - back])
		back++;
	return front + back;
}

const char *
op_nearest(struct span name)
{
	const char *best = NULL;
	size_t most = 0;

	for (size_t i = 0; i < COUNT_OF(ops); i++) {
		const struct span known = span_str(ops[i].name);
		const size_t alike = likeness(name, known);

		/* A letter or three wrong, missing or swapped. */
		if (alike > most && alike + 3 >= name.n &&
		    alike + 3 >= known.n) {
			most = alike;
			best = ops[i].name;
		}
	}
	return most >= 4 ? best : NULL;
}
