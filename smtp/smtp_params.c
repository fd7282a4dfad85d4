/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "smtp/smtp.h"

#define S struct smtp_conf

const struct param smtp_params[] = {
	PARAM_TIME(S, smtp_connect_timeout, "30s", "for a connection"),
	PARAM_TIME(S, smtp_helo_timeout, "300s", "for greeting and EHLO"),
	PARAM_TIME(S, smtp_mail_timeout, "300s", "for the reply to MAIL"),
	PARAM_TIME(S, smtp_rcpt_timeout, "300s", "for the reply to RCPT"),
	PARAM_TIME(S, smtp_data_init_timeout, "120s",
	    "for the reply to DATA"),
	PARAM_TIME(S, smtp_data_xfer_timeout, "180s",
	    "for progress while the message is sent"),
	PARAM_TIME(S, smtp_data_done_timeout, "600s",
	    "for the reply to the end of data"),
	PARAM_TIME(S, smtp_quit_timeout, "300s", "for the reply to QUIT"),
	PARAM_TIME(S, smtp_starttls_timeout, "300s",
	    "for STARTTLS and the handshake"),
	PARAM_TIME(S, smtp_xforward_timeout, "300s",
	    "for the reply to XFORWARD"),
	PARAM_BOOL(S, smtp_send_xforward_command, "no",
	    "tell a server that offers XFORWARD who the original client was: "
	    "for content filters"),
	PARAM_TIME(S, smtp_connection_cache_time_limit, "2s",
	    "an idle connection is kept"),
	PARAM_TIME(S, smtp_connection_reuse_time_limit, "300s",
	    "a connection is used again"),
	PARAM_INT(S, smtp_mx_address_limit, "5", 0, 50,
	    "addresses of a destination that are tried; 0: all"),
	PARAM_INT(S, smtp_mx_session_limit, "2", 0, 50,
	    "sessions with a destination before deferring; 0: no limit"),
	PARAM_INT(S, smtp_tcp_port, "25", 1, 65535,
	    "port for destinations that name none"),
	PARAM_INT(S, lmtp_tcp_port, "24", 1, 65535,
	    "port for LMTP destinations that name none"),
	PARAM_BOOL(S, smtp_lmtp, "no", "speak LMTP (RFC 2033)"),
	PARAM_BOOL(S, disable_mime_output_conversion, "no",
	    "do not encode 8-bit and binary parts for servers that can't take "
	    "them"),
	PARAM_BOOL(S, smtp_sasl_auth_enable, "no",
	    "log in to next hops that smtp_sasl_password_maps names"),
	PARAM_STR(S, smtp_sasl_password_maps, "",
	    "tables from next hops or hosts to user:password"),
	PARAM_INT(S, smtp_tls_loglevel, "0", 0, 4,
	    "1: log each TLS connection; 2: the certificates too"),
	PARAM_WORD(S, smtp_tls_security_level, "may",
	    "none may encrypt fingerprint verify secure",
	    "none; may: when offered; encrypt: or not at all; with a "
	    "certificate of smtp_tls_fingerprint_cert_match; verify, secure: "
	    "with one that an authority vouches for, and that "
	    "smtp_tls_verify_cert_match, smtp_tls_secure_cert_match fits"),
	PARAM_STR(S, smtp_tls_policy_maps, "",
	    "tables from next hops to \"LEVEL [match=WORD:WORD...]\""),
	PARAM_STR(S, smtp_tls_CAfile, "",
	    "PEM file of trusted authorities; empty, as smtp_tls_CApath: the "
	    "system's"),
	PARAM_STR(S, smtp_tls_CApath, "",
	    "directory of trusted authorities, with names by hash"),
	PARAM_STR(S, smtp_tls_verify_cert_match, "hostname",
	    "names for the level verify: hostname (of the MX record), nexthop "
	    "(the domain), dot-nexthop (below it), or a name or .domain"),
	PARAM_STR(S, smtp_tls_secure_cert_match, "nexthop, dot-nexthop",
	    "names for the level secure"),
	PARAM_STR(S, smtp_tls_fingerprint_cert_match, "",
	    "fingerprints for the level fingerprint, of certificates or "
	    "public keys"),
	PARAM_STR(S, smtp_tls_fingerprint_digest, "sha256",
	    "how they are made"),
	PARAM_STR(S, smtp_helo_name, "$myhostname", "name in EHLO"),
	PARAM_STR(S, smtp_bind_address, "", "own address to connect from"),
	PARAM_END,
};
