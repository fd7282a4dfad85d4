/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/conf/conf.h"

#define S struct common_conf

#ifndef CHAPPE_LIBEXEC
#define CHAPPE_LIBEXEC "/usr/lib/chappe"
#endif
#ifndef CHAPPE_SBIN
#define CHAPPE_SBIN "/usr/sbin"
#endif

const struct param common_params[] = {
	/* places */
	PARAM_STR(S, queue_directory, "/var/spool/chappe",
	    "the queue, and the sockets of the daemons"),
	PARAM_STR(S, daemon_directory, CHAPPE_LIBEXEC, "where the daemons are"),
	PARAM_STR(S, command_directory, CHAPPE_SBIN,
	    "where sendmail, postqueue and the other commands are"),
	PARAM_STR(S, config_directory, NULL, "where main.cf and master.cf are"),

	/* who we are */
	PARAM_STR(S, myhostname, NULL,
	    "this host's fully qualified name (default: from the system)"),
	PARAM_STR(S, mydomain, NULL,
	    "this host's domain (default: $myhostname less its first label)"),
	PARAM_STR(S, myorigin, "$myhostname",
	    "domain of locally posted mail; a file name: its first line"),
	PARAM_STR(S, mydestination,
	    "$myhostname, localhost.$mydomain, localhost",
	    "domains delivered by $local_transport to system users"),
	PARAM_STR(
	    S, mynetworks, "127.0.0.0/8 [::1]/128", "clients that may relay"),
	PARAM_STR(S, inet_interfaces, "all",
	    "addresses to receive mail on: all, loopback-only, or a list"),
	PARAM_STR(S, inet_protocols, "all", "ipv4, ipv6 or all"),
	PARAM_STR(S, proxy_interfaces, "",
	    "addresses at which a proxy receives our mail"),

	/* routing */
	PARAM_STR(S, relay_domains, "",
	    "domains (and subdomains) to relay for, by $relay_transport"),
	PARAM_STR(S, relayhost, "", "next hop of all mail for elsewhere"),
	PARAM_STR(S, transport_maps, "",
	    "tables from addresses and domains to transport:nexthop"),
	PARAM_STR(S, virtual_alias_maps, "",
	    "tables from addresses to addresses, for all mail"),
	PARAM_STR(S, virtual_alias_domains, "$virtual_alias_maps",
	    "domains in which every address is a virtual alias"),
	PARAM_STR(S, virtual_mailbox_domains, "",
	    "domains delivered by $virtual_transport to virtual users"),
	PARAM_INT(S, virtual_alias_expansion_limit, "1000", 1, 50000,
	    "addresses one recipient may become"),
	PARAM_INT(S, virtual_alias_recursion_limit, "1000", 1, 50000,
	    "depth of virtual aliases of virtual aliases"),
	PARAM_STR(S, local_transport, "local:$myhostname",
	    "delivery for $mydestination"),
	PARAM_STR(S, virtual_transport, "virtual",
	    "delivery for $virtual_mailbox_domains"),
	PARAM_STR(S, relay_transport, "relay", "delivery for $relay_domains"),
	PARAM_STR(S, default_transport, "smtp",
	    "delivery for all other destinations"),
	PARAM_STR(S, alias_maps, "hash:/etc/aliases",
	    "aliases(5) tables of local delivery"),
	PARAM_STR(
	    S, alias_database, "hash:/etc/aliases", "what newaliases builds"),
	PARAM_STR(S, local_recipient_maps, "unix:passwd.byname $alias_maps",
	    "who exists in mydestination: tables, with unix:passwd.byname for "
	    "the users whom auth knows; empty: everyone"),
	PARAM_STR(S, relay_recipient_maps, "",
	    "who exists in relay_domains; empty: everyone"),
	PARAM_STR(S, virtual_mailbox_maps, "",
	    "who exists in virtual_mailbox_domains; empty: the users whom auth "
	    "knows by their address"),
	PARAM_STR(S, recipient_delimiter, "",
	    "characters between user and extension"),
	PARAM_BOOL(S, append_at_myorigin, "yes",
	    "an address without domain gets @$myorigin"),
	PARAM_BOOL(S, append_dot_mydomain, "no",
	    "a domain without dot gets .$mydomain"),
	PARAM_BOOL(S, swap_bangpath, "yes", "site!user is read as user@site"),
	PARAM_BOOL(S, allow_percent_hack, "yes",
	    "user%site without domain is read as user@site"),
	PARAM_BOOL(S, allow_untrusted_routing, "no",
	    "relay user%site@ours and site!user@ours for strangers"),

	/* addresses of ours that nobody reads */
	PARAM_STR(S, double_bounce_sender, "double-bounce",
	    "a local user: mail to it is accepted and thrown away"),
	PARAM_STR(S, address_verify_sender, "$double_bounce_sender",
	    "sender of the probes that find out whether an address exists; "
	    "empty or <>: nobody, which some hosts refuse"),
	PARAM_TIME(S, address_verify_sender_ttl, "0s",
	    "how often that sender changes, so that it is of no use to those "
	    "who collect addresses; 0: never"),

	/* content and addresses on their way in */
	PARAM_STR(S, header_checks, "",
	    "tables asked with each field of a message's header"),
	PARAM_STR(S, mime_header_checks, "$header_checks",
	    "the same for the fields of MIME parts"),
	PARAM_STR(S, nested_header_checks, "$header_checks",
	    "the same for the fields of messages within messages"),
	PARAM_STR(S, body_checks, "", "tables asked with each line of text"),
	PARAM_INT(S, body_checks_size_limit, "51200", 0, INT64_MAX,
	    "bytes of each part's text that body_checks looks at"),
	PARAM_STR(S, canonical_maps, "",
	    "tables from addresses to addresses, in envelopes and headers"),
	PARAM_STR(S, sender_canonical_maps, "",
	    "the same for senders, before canonical_maps"),
	PARAM_STR(S, recipient_canonical_maps, "",
	    "the same for recipients, before canonical_maps"),
	PARAM_STR(S, canonical_classes,
	    "envelope_sender, envelope_recipient, header_sender, "
	    "header_recipient", "what canonical_maps applies to"),
	PARAM_STR(S, sender_canonical_classes,
	    "envelope_sender, header_sender",
	    "what sender_canonical_maps applies to"),
	PARAM_STR(S, recipient_canonical_classes,
	    "envelope_recipient, header_recipient",
	    "what recipient_canonical_maps applies to"),
	PARAM_STR(S, masquerade_domains, "",
	    "domains whose subdomains are cut off; !domain: not these"),
	PARAM_STR(S, masquerade_exceptions, "",
	    "users whose domain is never cut"),
	PARAM_STR(S, masquerade_classes,
	    "envelope_sender, header_sender, header_recipient",
	    "what masquerade_domains applies to"),
	PARAM_STR(S, propagate_unmatched_extensions, "canonical, virtual",
	    "tables whose results keep an address extension that the entry "
	    "did not name"),
	PARAM_STR(S, local_header_rewrite_clients, "permit_inet_interfaces",
	    "clients whose headers' bare names get $myorigin"),
	PARAM_STR(S, remote_header_rewrite_domain, "",
	    "what bare names in other clients' headers get; empty: nothing"),
	PARAM_STR(S, always_bcc, "", "a copy of all mail goes there"),
	PARAM_STR(S, sender_bcc_maps, "",
	    "tables from senders to who gets a copy"),
	PARAM_STR(S, recipient_bcc_maps, "",
	    "tables from recipients to who gets a copy"),
	PARAM_STR(S, message_drop_headers,
	    "bcc, content-length, resent-bcc, return-path",
	    "fields that are left out"),
	PARAM_STR(S, undisclosed_recipients_header, "",
	    "field for messages without To, Cc and Bcc; empty: none"),
	PARAM_BOOL(S, soft_bounce, "no",
	    "nothing is refused for good or returned: smtpd says 4xx for "
	    "5xx, mail that fails stays in the queue"),
	PARAM_BOOL(S, tls_required_enable, "yes",
	    "heed the field \"TLS-Required: No\" (RFC 8689): such mail goes "
	    "out whatever TLS policy there is"),
	PARAM_BOOL(S, always_add_missing_headers, "no",
	    "complete the headers of mail from other hosts too"),

	/* limits */
	PARAM_INT(S, message_size_limit, "10240000", 0, INT64_MAX,
	    "largest message, with headers; 0: no limit"),
	PARAM_INT(S, mailbox_size_limit, "51200000", 0, INT64_MAX,
	    "largest mbox or maildir file; 0: no limit"),
	PARAM_INT(S, default_process_limit, "100", 1, 10000,
	    "processes of one service where master.cf says nothing"),
	PARAM_WORD(S, queue_commit, "group", "file group",
	    "how mail becomes durable: each file is flushed, or one journal "
	    "for all that arrives meanwhile"),
	PARAM_TIME(S, ipc_timeout, "3600s", "wait for another daemon's answer"),

	/* users of ours */
	PARAM_STR(S, mail_owner, "chappe", "owner of the queue"),
	PARAM_STR(S, smtpd_owner, "chappe-smtpd", "user of smtpd"),
	PARAM_STR(S, net_owner, "chappe-net", "user of smtp and resolver"),
	PARAM_STR(S, auth_owner, "chappe-auth", "user of auth"),
	PARAM_STR(S, login_owner, "chappe-login", "user of IMAP logins"),
	PARAM_STR(S, log_owner, "chappe-log", "user of log"),
	PARAM_STR(S, ipc_group, "chappe-ipc",
	    "group that may connect to private sockets"),
	PARAM_STR(S, admin_group, "chappe-adm",
	    "group that may read traces and status"),
	PARAM_STR(S, default_privs, "nobody",
	    "user for delivery to commands and files of root's aliases"),

	/* log */
	PARAM_STR(S, syslog_name, "postfix", "what log tags begin with"),
	PARAM_STR(S, maillog_file, "", "log file; empty: the system's log"),
	PARAM_STR(S, debug_classes, "",
	    "debug lines to write: smtp, ipc, queue, ..."),
	PARAM_STR(S, mail_name, "Chappe",
	    "name of the mail system in greetings and headers"),
	PARAM_STR(S, mail_version, "0.1", "release, as $mail_version"),

	/* mailboxes */
	PARAM_STR(S, home_mailbox, "",
	    "mailbox below the home directory; with a last /: Maildir"),
	PARAM_STR(S, mail_spool_directory, "/var/mail",
	    "where mailboxes are, unless in the home directory"),
	PARAM_STR(S, mail_location, "",
	    "Dovecot's setting for all of a user's mail; empty: from "
	    "home_mailbox and mail_spool_directory"),

	PARAM_STR(S, quota_rule, "",
	    "what a user may keep in a Maildir and its folders: "
	    "*:storage=1G:messages=10000 (Dovecot's setting); empty: no "
	    "limit; userdb_quota_rule= in the passwd-file goes before it"),

	/* IMAP listeners, which master.cf does not have */
	PARAM_STR(S, protocols, "imap", "imap, or empty for none"),
	PARAM_STR(S, listen, "*, ::", "addresses for IMAP"),
	PARAM_INT(S, imap_port, "143", 0, 65535,
	    "port of IMAP with STARTTLS; 0: off"),
	PARAM_INT(
	    S, imaps_port, "993", 0, 65535, "port of IMAP over TLS; 0: off"),

	/* certificate and key, read by master */
	PARAM_STR(S, smtpd_tls_cert_file, "",
	    "PEM file with the certificate chain; empty: no TLS"),
	PARAM_STR(S, smtpd_tls_key_file, "$smtpd_tls_cert_file",
	    "PEM file with the private key"),
	PARAM_STR(S, ssl_cert, "$smtpd_tls_cert_file",
	    "certificate chain for IMAP; a first < is ignored"),
	PARAM_STR(S, ssl_key, "$smtpd_tls_key_file",
	    "private key for IMAP; a first < is ignored"),

	/* accepted from files written for Postfix */
	PARAM_BOOL(S, biff, "no", "no effect"),
	PARAM_STR(S, compatibility_level, "3.6", "no effect"),
	PARAM_END,
};
