# SPDX-License-Identifier: GPL-3.0-or-later
"""Configurations of restrictions, what a client says under each, and what is
answered. The answers are real Postfix's (tests/system/restrictions_oracle.py
asks it, and wrote them down): restriction_replies.txt beside this file.

A row: name, client's address, HELO, sender, recipient, settings. The reply is
the first that is not 2xx or 3xx, or that to RCPT. `DATA` in place of a word
of the row's end goes on to the end of data."""

import encodings.idna  # noqa: F401, not to be loaded as another user
import os
import socket

DOMAIN = "chappe.test"
ALICE = "alice@" + DOMAIN
TIMEOUT_S = 15
REPLIES = os.path.join(os.path.dirname(os.path.abspath(__file__)),
                       "restriction_replies.txt")

ZONE = [
    "ok.test A 192.0.2.1", "ok.test MX 10 mail.ok.test",
    "mail.ok.test A 192.0.2.1", "ok.test NS ns.ok.test",
    "ns.ok.test A 192.0.2.53", "a.ok.test A 192.0.2.7",
    "onlya.test A 192.0.2.2", "nullmx.test MX 0 .",
    "broken.test SERVFAIL", "empty.test TXT nothing",
    "own.test MX 10 first.own.test", "own.test MX 20 mx.chappe.test",
    "first.own.test A 192.0.2.80", "mx.chappe.test A 127.0.0.1",
    "badmx.test MX 10 evil.host.test", "evil.host.test A 192.0.2.66",
    "badns.test NS ns.evil.test", "badns.test A 192.0.2.5",
    "ns.evil.test A 192.0.2.67",
    # clients
    "2.0.0.127.in-addr.arpa PTR client2.ok.test",
    "client2.ok.test A 127.0.0.2",
    "3.0.0.127.in-addr.arpa PTR forged.ok.test",
    "forged.ok.test A 192.0.2.99",
    "4.0.0.127.in-addr.arpa PTR nowhere.ok.test",
    "6.0.0.127.in-addr.arpa SERVFAIL",
    # lists
    "2.0.0.127.rbl.test A 127.0.0.2",
    "2.0.0.127.rbl.test TXT Listed for a reason",
    "3.0.0.127.rbl.test A 127.0.0.10",
    "4.0.0.127.rbl.test SERVFAIL", "4.0.0.127.white.test SERVFAIL",
    "2.0.0.127.white.test A 127.0.0.1",
    "ok.test.rhs.test A 127.0.0.2", "ok.test.rhs.test TXT bad name",
    "client2.ok.test.rhs.test A 127.0.0.2",
    "forged.ok.test.rhs.test A 127.0.0.2",
]

TABLES = {
    "host": """
client2.ok.test   REJECT by name
.ok.test          REJECT by parent
127.0.0.5         550 5.7.9 by address
127.0.1           DEFER by network
127.0             DUNNO
unknown           DUNNO
""",
    "action": """
ok@a.test            OK
relay@a.test         RELAY
number@a.test        1234567
reject@a.test        REJECT
rejecttext@a.test    REJECT 5.1.1 with code
defer@a.test         DEFER
defertext@a.test     DEFER come again
ifpermit@a.test      DEFER_IF_PERMIT
ifpermittext@a.test  DEFER_IF_PERMIT 4.3.0 not now
ifreject@a.test      DEFER_IF_REJECT
code4@a.test         450 4.1.2 four
code5@a.test         599 five
code521@a.test       521 5.7.0 go
dunno@a.test         DUNNO
list@a.test          reject_unauth_destination, reject
class@a.test         strict
classes@a.test       strict, permit
unknown@a.test       no_such_restriction
table@a.test         check_client_access texthash:/x
info@a.test          INFO a note
warn@a.test          WARN a warning
hold@a.test          HOLD
discard@a.test       DISCARD
nested@a.test        defer_if_permit
warnlist@a.test      warn_if_reject reject
""",
    "mail": """
exact@a.test      REJECT exact
ext@a.test        REJECT without extension
b.test            REJECT domain
.c.test           REJECT subdomain
local@            REJECT local part
<>                REJECT null
""",
    "ok": "ok.test OK\nmail.ok.test OK\n192.0.2.1 OK\n",
    "ns": "ns.evil.test REJECT that name server\n"
          "192.0.2.53 REJECT that address\n",
    "mx": "evil.host.test REJECT that mail server\n"
          "192.0.2.2 REJECT that one\n",
    "helo": "bad.test REJECT bad greeting\n[127.0.0.2] REJECT literal\n",
    "reply": "rbl.test $rbl_code 5.7.8 <$client> ${rbl_reason?why:"
             " $rbl_reason} $sender_domain $recipient_name\n",
}

# Settings of all cases.
COMMON = {
    "myhostname": "mx.chappe.test", "mydomain": DOMAIN, "myorigin": DOMAIN,
    "mydestination": DOMAIN + ", localhost",
    "mynetworks": "127.0.0.1/32", "recipient_delimiter": "+",
    "relay_domains": "relayed.test, closed.test, shut.test, later.test",
    "virtual_mailbox_domains": "vbox.test",
    "transport_maps": "inline:{{closed.test = error:5.2.1 closed}, "
                      "{shut.test = error:shut for good}, "
                      "{later.test = retry:4.2.1 later}}",
    "relayhost": "[127.0.0.1]:1",
    "inet_interfaces": "127.0.0.1",
    "compatibility_level": "3.6",
    "smtpd_error_sleep_time": "0",
    "virtual_alias_domains": "valias.test",
    "smtpd_restriction_classes": "strict",
    "strict": "reject_non_fqdn_sender, reject",
}

RCPT = "smtpd_recipient_restrictions="
SENDER = "smtpd_sender_restrictions="
CLIENT = "smtpd_client_restrictions="
HELO = "smtpd_helo_restrictions="


def _rows():
    def row(name, client, helo, sender, rcpt, *settings):
        return name, client, helo, sender, rcpt, settings

    def client(name, addr, restriction, *more):
        return row(name, addr, "h.ok.test", "s@ok.test", ALICE,
                   CLIENT + restriction, *more)

    def helo(name, text, restriction, *more):
        return row(name, "127.0.0.2", text, "s@ok.test", ALICE,
                   HELO + restriction, *more)

    def sender(name, text, restriction, *more):
        return row(name, "127.0.0.2", "h.ok.test", text, ALICE,
                   SENDER + restriction, *more)

    def rcpt(name, text, restriction, *more):
        return row(name, "127.0.0.2", "h.ok.test", "s@ok.test", text,
                   RCPT + restriction, *more)

    def action(name, *more):
        return sender("action_" + name, name + "@a.test",
                      "check_sender_access texthash:{dir}/action", *more)

    far = "x@elsewhere.test"
    none = ("smtpd_relay_restrictions=",)
    yield rcpt("default_stranger", far, "")
    yield rcpt("default_local", ALICE, "")
    yield rcpt("default_relay_domain", "x@relayed.test", "")
    yield rcpt("default_relay_subdomain", "x@sub.relayed.test", "")
    yield row("default_mynetworks", "127.0.0.1", "h", "s@ok.test", far)
    yield rcpt("unknown_user", "nobody@" + DOMAIN, "")
    yield rcpt("unknown_user_short", "nobody@" + DOMAIN, "",
               "show_user_unknown_table_name=no")
    yield rcpt("unknown_user_code", "nobody@" + DOMAIN, "",
               "unknown_local_recipient_reject_code=450")
    yield rcpt("unknown_user_accepted", "nobody@" + DOMAIN, "",
               "smtpd_reject_unlisted_recipient=no")
    yield rcpt("unknown_alias", "nobody@valias.test", "")
    yield rcpt("postmaster", "postmaster", "reject")
    yield rcpt("percent", "x%elsewhere.test@" + DOMAIN, "")
    yield rcpt("reject_unauth", far, "reject_unauth_destination", *none)
    yield rcpt("defer_unauth", far, "defer_unauth_destination", *none)
    yield rcpt("unauth_code", far, "reject_unauth_destination",
               "relay_domains_reject_code=550", *none)
    yield rcpt("permit_auth", ALICE,
               "permit_auth_destination, reject", *none)
    yield rcpt("permit_auth_far", far,
               "permit_auth_destination, reject", *none)
    yield rcpt("recipient_first", "nobody@elsewhere.test",
               "reject_non_fqdn_recipient, reject",
               "smtpd_relay_before_recipient_restrictions=no")
    # words of their own
    yield client("reject", "127.0.0.2", "reject")
    yield client("reject_code", "127.0.0.2", "reject", "reject_code=521")
    yield client("defer", "127.0.0.2", "defer")
    yield client("permit", "127.0.0.2", "permit, reject")
    yield helo("helo_reject", "h.ok.test", "reject")
    yield sender("sender_reject", "s@ok.test", "reject")
    yield sender("null_reject", "", "reject")
    yield rcpt("rcpt_reject", ALICE, "reject")
    yield row("data_reject", "127.0.0.2", "h", "s@ok.test", ALICE,
              "smtpd_data_restrictions=reject", "DATA")
    yield row("end_reject", "127.0.0.2", "h", "s@ok.test", ALICE,
              "smtpd_end_of_data_restrictions=reject", "DATA")
    yield row("data_defer_if_permit", "127.0.0.2", "h", "s@ok.test", ALICE,
              "smtpd_data_restrictions=defer_if_permit", "DATA")
    yield client("warn", "127.0.0.2", "warn_if_reject reject, permit")
    yield client("warn_one_only", "127.0.0.2",
                 "warn_if_reject reject, defer")
    yield client("warn_class", "127.0.0.2",
                 "warn_if_reject strict, permit")
    yield client("if_permit", "127.0.0.2", "defer_if_permit")
    yield rcpt("if_permit_reject", ALICE, "defer_if_permit, reject")
    yield rcpt("if_reject", ALICE, "defer_if_reject, reject")
    yield rcpt("if_reject_permit", ALICE, "defer_if_reject, permit")
    yield rcpt("if_reject_4xx", ALICE, "defer_if_reject, defer")
    yield rcpt("both", ALICE, "defer_if_reject, defer_if_permit, reject")
    yield rcpt("warn_if_permit", ALICE, "warn_if_reject defer_if_permit")
    yield rcpt("stages_if_permit", ALICE, "permit",
               SENDER + "defer_if_permit")
    yield row("not_delayed_client", "127.0.0.2", "h", "s@ok.test", ALICE,
              "smtpd_delay_reject=no", HELO + "reject")
    yield row("not_delayed_sender", "127.0.0.2", "h", "s@ok.test", ALICE,
              "smtpd_delay_reject=no", SENDER + "reject")
    yield row("not_delayed_if_permit", "127.0.0.2", "h", "s@ok.test", ALICE,
              "smtpd_delay_reject=no", SENDER + "defer_if_permit")
    yield rcpt("class", ALICE, "strict")
    yield row("class_first", "127.0.0.2", "h", "nodot@local", ALICE,
              RCPT + "strict")
    yield row("multi_bounce", "127.0.0.2", "h", "",
              "%s boris@%s" % (ALICE, DOMAIN),
              RCPT + "reject_multi_recipient_bounce")
    yield row("multi_bounce_data", "127.0.0.2", "h", "",
              "%s boris@%s" % (ALICE, DOMAIN),
              "smtpd_data_restrictions=reject_multi_recipient_bounce",
              "DATA")
    yield row("no_bounce", "127.0.0.2", "h", "s@ok.test",
              "%s boris@%s" % (ALICE, DOMAIN),
              RCPT + "reject_multi_recipient_bounce")
    yield client("plaintext", "127.0.0.2", "reject_plaintext_session")
    yield rcpt("sleep", ALICE, "sleep 1, reject")
    # who exists
    yield rcpt("relay_listed", "x@relayed.test", "",
               "relay_recipient_maps=inline:{x@relayed.test=y}")
    yield rcpt("relay_unlisted", "z@relayed.test", "",
               "relay_recipient_maps=inline:{x@relayed.test=y}")
    yield rcpt("relay_unlisted_code", "z@relayed.test", "",
               "relay_recipient_maps=inline:{x@relayed.test=y}",
               "unknown_relay_recipient_reject_code=450")
    yield rcpt("mailbox_listed", "x@vbox.test", "",
               "virtual_mailbox_maps=inline:{x@vbox.test=y}")
    yield rcpt("mailbox_unlisted", "z@vbox.test", "",
               "virtual_mailbox_maps=inline:{x@vbox.test=y}")
    yield rcpt("mailbox_catchall", "z@vbox.test", "",
               "virtual_mailbox_maps=inline:{@vbox.test=y}")
    yield rcpt("mailbox_code", "z@vbox.test", "",
               "virtual_mailbox_maps=inline:{x@vbox.test=y}",
               "unknown_virtual_mailbox_reject_code=553")
    yield rcpt("local_listed", "other@" + DOMAIN, "",
               "local_recipient_maps=inline:{other=y}")
    yield rcpt("local_listed_extension", "other+x@" + DOMAIN, "",
               "local_recipient_maps=inline:{other=y}")
    yield rcpt("local_all", "other@" + DOMAIN, "", "local_recipient_maps=")
    yield rcpt("valias_listed", "x@valias.test", "",
               "virtual_alias_maps=inline:{x@valias.test=alice}")
    yield rcpt("valias_unlisted", "z@valias.test", "",
               "virtual_alias_maps=inline:{x@valias.test=alice}")
    yield rcpt("valias_code", "z@valias.test", "",
               "unknown_virtual_alias_reject_code=450")
    yield rcpt("transport_error", "x@closed.test", "")
    yield rcpt("transport_error_plain", "x@shut.test", "")
    yield rcpt("transport_retry", "x@later.test", "")
    yield rcpt("transport_unchecked", "x@closed.test", "",
               "smtpd_reject_unlisted_recipient=no")
    # clients
    for n in "23456":
        addr = "127.0.0." + n
        yield client("unknown_client_" + n, addr,
                     "reject_unknown_client_hostname")
        yield client("unknown_reverse_" + n, addr,
                     "reject_unknown_reverse_client_hostname")
    yield client("unknown_client_code", "127.0.0.3",
                 "reject_unknown_client_hostname",
                 "unknown_client_reject_code=550")
    yield client("mynetworks", "127.0.0.1", "permit_mynetworks, reject")
    yield client("inet", "127.0.0.2", "permit_inet_interfaces, reject")
    yield client("inet_own", "127.0.0.1", "permit_inet_interfaces, reject")
    for addr in ("127.0.0.2", "127.0.0.3", "127.0.0.5", "127.0.1.9",
                 "127.0.0.7"):
        yield client("access_" + addr, addr,
                     "check_client_access texthash:{dir}/host, permit")
        yield client("bare_" + addr, addr, "texthash:{dir}/host")
        yield client("reverse_" + addr, addr,
                     "check_reverse_client_hostname_access "
                     "texthash:{dir}/host")
    yield client("regexp", "127.0.0.2",
                 "check_client_access regexp:{dir}/regexp")
    yield client("cidr", "127.0.0.5", "check_client_access cidr:{dir}/cidr")
    yield client("no_table", "127.0.0.2",
                 "check_client_access texthash:{dir}/host",
                 "parent_domain_matches_subdomains=")
    # HELO
    for n, name in enumerate((
            "h.ok.test", "nodot", "under_score.test", "-bad.test", "bad..test",
            "192.0.2.1", "[192.0.2.1]", "[192.0.2.300]", "[ipv6:::1]",
            "nosuch.test", "broken.test", "nullmx.test", "onlya.test",
            "dot.test.", "a!b")):
        yield helo("invalid_helo_%d" % n, name,
                   "reject_invalid_helo_hostname")
        yield helo("non_fqdn_helo_%d" % n, name,
                   "reject_non_fqdn_helo_hostname")
        yield helo("unknown_helo_%d" % n, name,
                   "reject_unknown_helo_hostname")
    yield helo("helo_tempfail", "broken.test", "reject_unknown_helo_hostname",
               "unknown_helo_hostname_tempfail_action=defer")
    for n, name in enumerate(("bad.test", "sub.bad.test", "[127.0.0.2]")):
        yield helo("helo_access_%d" % n, name,
                   "check_helo_access texthash:{dir}/helo")
    yield helo("helo_parent", "sub.bad.test",
               "check_helo_access texthash:{dir}/helo",
               "parent_domain_matches_subdomains=")
    # senders and recipients
    for n, who in enumerate(("s@ok.test", "s", "s@nodot", "s@[192.0.2.1]",
                             "s@under_score.test", "")):
        yield sender("non_fqdn_sender_%d" % n, who, "reject_non_fqdn_sender")
    for n, who in enumerate(("x@ok.test", "x", "x@nodot")):
        yield rcpt("non_fqdn_rcpt_%d" % n, who, "reject_non_fqdn_recipient",
                   "smtpd_relay_restrictions=permit_auth_destination, "
                   "sleep 0, defer_if_permit")
    for n, domain in enumerate(("ok.test", "onlya.test", "nosuch.test",
                                "empty.test", "broken.test", "nullmx.test",
                                DOMAIN, "[192.0.2.1]")):
        yield sender("unknown_sender_%d" % n, "s@" + domain,
                     "reject_unknown_sender_domain")
        yield row("unknown_rcpt_%d" % n, "127.0.0.1", "h", "s@ok.test",
                  "x@" + domain, RCPT + "reject_unknown_recipient_domain",
                  "smtpd_reject_unlisted_recipient=no")
    yield sender("unknown_sender_code", "s@nosuch.test",
                 "reject_unknown_sender_domain",
                 "unknown_address_reject_code=550")
    yield sender("unknown_sender_tempfail", "s@broken.test",
                 "reject_unknown_sender_domain",
                 "reject_tempfail_action=defer")
    yield sender("unlisted_sender", "nobody@" + DOMAIN,
                 "reject_unlisted_sender")
    yield sender("unlisted_sender_ok", ALICE, "reject_unlisted_sender")
    yield sender("unlisted_sender_param", "nobody@" + DOMAIN, "",
                 "smtpd_reject_unlisted_sender=yes")
    yield rcpt("unlisted_rcpt", "nobody@" + DOMAIN,
               "reject_unlisted_recipient, reject")
    for n, who in enumerate((
            "exact@a.test", "EXACT@A.TEST", "ext+tag@a.test", "x@b.test",
            "x@sub.b.test", "x@c.test", "x@sub.c.test", "local@other.test",
            "local+t@other.test", "none@a.test", "")):
        for style, value in (("parent", "smtpd_access_maps"), ("dot", "")):
            yield sender("mail_%s_%d" % (style, n), who,
                         "check_sender_access texthash:{dir}/mail",
                         "parent_domain_matches_subdomains=" + value)
    yield sender("null_key", "", "check_sender_access texthash:{dir}/mail",
                 "smtpd_null_access_lookup_key=exact@a.test")
    yield rcpt("rcpt_access", "exact@a.test",
               "check_recipient_access texthash:{dir}/mail", *none[:0])
    # actions
    for name in ("ok", "relay", "number", "reject", "rejecttext", "defer",
                 "defertext", "ifpermit", "ifpermittext", "ifreject", "code4",
                 "code5", "code521", "dunno", "list", "class", "classes",
                 "unknown", "table", "info", "warn", "hold", "discard",
                 "nested", "warnlist"):
        yield action(name)
    yield action("ifreject", RCPT + "reject")
    yield action("discard", RCPT + "reject")
    yield action("reject", "access_map_reject_code=571")
    yield action("defer", "access_map_defer_code=421")
    yield rcpt("routed_ok", "x%elsewhere.test@relayed.test",
               "check_recipient_access static:OK, reject",
               "smtpd_relay_restrictions=")
    yield rcpt("static_ok", "x@relayed.test",
               "check_recipient_access static:OK, reject",
               "smtpd_relay_restrictions=")
    # servers
    for n, domain in enumerate(("ok.test", "onlya.test", "badmx.test",
                                "badns.test", "sub.badns.test",
                                "nosuch.test", "nullmx.test", "broken.test",
                                "[192.0.2.2]")):
        yield sender("sender_mx_%d" % n, "s@" + domain,
                     "check_sender_mx_access texthash:{dir}/mx")
        yield sender("sender_ns_%d" % n, "s@" + domain,
                     "check_sender_ns_access texthash:{dir}/ns")
        yield sender("sender_a_%d" % n, "s@" + domain,
                     "check_sender_a_access texthash:{dir}/mx")
    yield sender("mx_forbids_ok", "s@ok.test",
                 "check_sender_mx_access texthash:{dir}/ok")
    yield helo("helo_mx", "badmx.test",
               "check_helo_mx_access texthash:{dir}/mx")
    yield client("client_ns", "127.0.0.2",
                 "check_client_ns_access texthash:{dir}/ns")
    yield client("client_a", "127.0.0.2",
                 "check_client_a_access texthash:{dir}/host")
    # MX backup
    backup = "smtpd_relay_restrictions=permit_mx_backup, reject"
    yield row("mx_backup", "127.0.0.2", "h", "s@ok.test", "x@own.test",
              backup)
    yield row("mx_backup_not", "127.0.0.2", "h", "s@ok.test", "x@ok.test",
              backup)
    yield row("mx_backup_unknown", "127.0.0.2", "h", "s@ok.test",
              "x@nosuch.test", backup)
    yield row("mx_backup_broken", "127.0.0.2", "h", "s@ok.test",
              "x@broken.test", backup)
    yield row("mx_backup_networks", "127.0.0.2", "h", "s@ok.test",
              "x@own.test", backup, "permit_mx_backup_networks=192.0.2.80")
    yield row("mx_backup_networks_not", "127.0.0.2", "h", "s@ok.test",
              "x@own.test", backup, "permit_mx_backup_networks=192.0.2.81")
    # DNS lists
    for n in "234":
        yield client("rbl_" + n, "127.0.0." + n, "reject_rbl_client rbl.test")
        yield client("white_" + n, "127.0.0." + n,
                     "permit_dnswl_client white.test, reject")
    yield client("rbl_filter", "127.0.0.2",
                 "reject_rbl_client rbl.test=127.0.0.2")
    yield client("rbl_filter_not", "127.0.0.2",
                 "reject_rbl_client rbl.test=127.0.0.3")
    yield client("rbl_filter_list", "127.0.0.3",
                 "reject_rbl_client rbl.test=127.0.[0..1].[4;8..10]")
    yield client("rbl_code", "127.0.0.2", "reject_rbl_client rbl.test",
                 "maps_rbl_reject_code=450")
    yield client("rbl_default", "127.0.0.2", "reject_rbl_client rbl.test",
                 "default_rbl_reply=$rbl_code $rbl_domain said no")
    yield client("rbl_maps", "127.0.0.2", "reject_rbl_client rbl.test",
                 "rbl_reply_maps=texthash:{dir}/reply")
    yield client("rbl_bad_default", "127.0.0.2",
                 "reject_rbl_client rbl.test", "default_rbl_reply=go away")
    yield client("rhs_client", "127.0.0.2", "reject_rhsbl_client rhs.test")
    yield client("rhs_client_unknown", "127.0.0.3",
                 "reject_rhsbl_client rhs.test")
    yield client("rhs_reverse", "127.0.0.3",
                 "reject_rhsbl_reverse_client rhs.test")
    yield helo("rhs_helo", "ok.test", "reject_rhsbl_helo rhs.test")
    yield sender("rhs_sender", "s@ok.test", "reject_rhsbl_sender rhs.test")
    yield sender("rhs_sender_not", "s@other.test",
                 "reject_rhsbl_sender rhs.test")
    yield row("rhs_rcpt", "127.0.0.1", "h", "s@a.test", "x@ok.test",
              RCPT + "reject_rhsbl_recipient rhs.test")
    yield rcpt("white_far", "x@ok.test",
               "permit_dnswl_client white.test, reject", *none)


def rows():
    """Names are made unique by a number."""
    seen = {}
    for name, *rest in _rows():
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            name = "%s_%d" % (name, seen[name])
        yield (name, *rest)


def settings(row, folder):
    """name -> value of one row."""
    return dict(s.replace("{dir}", folder).split("=", 1)
                for s in row[5] if s != "DATA")


def write_tables(folder):
    tables = dict(TABLES, regexp="/client2/ REJECT by pattern\n",
                  cidr="127.0.0.0/29 REJECT by prefix\n")
    for name, text in tables.items():
        with open(os.path.join(folder, name), "w") as f:
            f.write(text)
        os.chmod(os.path.join(folder, name), 0o644)


class Talk:
    def __init__(self, port, source):
        self.sock = socket.create_connection(("127.0.0.1", port), TIMEOUT_S,
                                             (source, 0))
        self.file = self.sock.makefile("rb")

    def reply(self):
        lines = []
        while True:
            line = self.file.readline(10000)
            lines.append(line.decode("latin-1").rstrip("\r\n"))
            if not line or line[3:4] != b"-":
                return lines[-1]

    def say(self, text):
        self.sock.sendall(text.encode() + b"\r\n")
        return self.reply()

    def close(self):
        self.file.close()
        self.sock.close()


def ask(row, port):
    """What is answered."""
    _, source, helo, sender, rcpts, more = row
    talk = Talk(port, source)
    try:
        commands = ["EHLO " + helo, "MAIL FROM:<%s>" % sender]
        commands += ["RCPT TO:<%s>" % r for r in rcpts.split()]
        if "DATA" in more:
            commands += ["DATA", "Subject: a\r\n\r\nb\r\n."]
        reply = talk.reply()
        for command in commands:
            if reply[:1] not in "23":
                break
            reply = talk.say(command)
        return reply
    finally:
        talk.close()


def without_ids(reply):
    """Queue ids differ."""
    head, mark, _ = reply.partition("queued as ")
    return head + mark


def recorded():
    with open(REPLIES) as f:
        return dict(line.rstrip("\n").split(": ", 1) for line in f)
