/* SPDX-License-Identifier: GPL-3.0-or-later */
#include "lib/mail/screen_sites.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/mem.h"
#include "lib/mail/dns.h"
#include "lib/proto/ip_pattern.h"

enum { ENTRIES_MAX = 256, WEIGHT_MAX = 10000 };

struct entry {
	size_t list;
	bool filtered;
	struct ip_pattern filter;
	int weight;
};

struct screen_sites {
	char *lists[SCREEN_LISTS_MAX];
	size_t list_count;
	struct entry entries[ENTRIES_MAX];
	size_t entry_count;
};

/* ---- parsing ---- */
static bool
parse_weight(struct span text, int *out)
{
	const bool negative = text.n > 0 && text.p[0] == '-';
	uint64_t n;

	if (!span_u64(span_skip(text, negative), WEIGHT_MAX, &n))
		return false;
	*out = negative ? -(int)n : (int)n;
	return true;
}

static bool
parse_domain(const struct span name)
{
	for (size_t i = 0; i < name.n; i++)
		if (!ascii_alpha(name.p[i]) && !ascii_digit(name.p[i]) &&
		    name.p[i] != '.' && name.p[i] != '-' && name.p[i] != '_')
			return false;
	return name.n > 0 && name.n < DNS_NAME_MAX && name.p[0] != '.';
}

static bool
add_list(struct screen_sites *s, struct span name, size_t *out)
{
	for (size_t i = 0; i < s->list_count; i++)
		if (span_ieq(span_str(s->lists[i]), name)) {
			*out = i;
			return true;
		}
	if (s->list_count == SCREEN_LISTS_MAX)
		return false;
	s->lists[s->list_count] = span_dup(name);
	*out = s->list_count++;
	return true;
}

static int
add_entry(struct screen_sites *s, struct span text, struct err *e)
{
	const size_t star = span_rchr(text, '*');
	struct entry *entry = &s->entries[s->entry_count];
	struct span name = text;
	const char *why = "bad name of a list";
	size_t equals;

	if (s->entry_count == ENTRIES_MAX)
		return err_set(e, ERR_PERM, "5.3.5", "too many entries");
	entry->weight = 1;
	if (star != SIZE_MAX) {
		name = span_slice(text, 0, star);
		if (!parse_weight(span_skip(text, star + 1), &entry->weight))
			return err_set(e, ERR_PERM, "5.3.5",
			    "\"%.*s\": bad weight",
			    SPAN_FMT(span_slice(text, 0, 100)));
	}
	equals = span_chr(name, '=');
	if (equals != SIZE_MAX) {
		entry->filtered = true;
		if (!ip_pattern_parse(span_skip(name, equals + 1),
			&entry->filter, &why))
			goto bad;
		name = span_slice(name, 0, equals);
	}
	if (!parse_domain(name))
		goto bad;
	if (!add_list(s, name, &entry->list))
		return err_set(e, ERR_PERM, "5.3.5", "too many lists");
	s->entry_count++;
	return 0;
bad:
	return err_set(e, ERR_PERM, "5.3.5", "\"%.*s\": %s",
	    SPAN_FMT(span_slice(text, 0, 100)), why);
}

int
screen_sites_open(const char *text, struct screen_sites **out, struct err *e)
{
	struct screen_sites *s = MEM_NEW(s);
	struct span rest = span_str(text), word;

	while (span_token(&rest, ", \t\r\n", &word))
		if (add_entry(s, word, e) != 0) {
			screen_sites_free(&s);
			return -1;
		}
	*out = s;
	return 0;
}

void
screen_sites_free(struct screen_sites **ref)
{
	struct screen_sites *s = *ref;

	if (s == NULL)
		return;
	for (size_t i = 0; i < s->list_count; i++)
		mem_free(s->lists[i]);
	mem_free(s);
	*ref = NULL;
}

/* ---- asking ---- */
size_t
screen_sites_count(const struct screen_sites *s)
{
	return s->list_count;
}

const char *
screen_sites_name(const struct screen_sites *s, size_t list)
{
	return s->lists[list];
}

bool
screen_sites_query(const struct screen_sites *s, size_t list,
    const struct sockaddr *client, char *out, size_t size)
{
	char reversed[80];
	char *end;
	int n;

	/* As for PTR records, but in another zone. */
	dns_ptr_name(client, reversed);
	end = strstr(reversed, client->sa_family == AF_INET6 ?
		".ip6.arpa" : ".in-addr.arpa");
	if (end == NULL && (end = strstr(reversed, ".in-addr.arpa")) == NULL)
		return false;
	*end = '\0';
	n = snprintf(out, size, "%s.%s", reversed, s->lists[list]);
	return n > 0 && (size_t)n < size;
}

static bool
matches(const struct entry *entry, const struct sockaddr_storage *answers,
    size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct sockaddr_in *in =
		    (const struct sockaddr_in *)(const void *)&answers[i];
		uint8_t address[4];

		if (in->sin_family != AF_INET)
			continue;
		memcpy(address, &in->sin_addr, sizeof(address));
		if (!entry->filtered ||
		    ip_pattern_match(&entry->filter, address))
			return true;
	}
	return false;
}

int
screen_sites_score(const struct screen_sites *s, size_t list,
    const struct sockaddr_storage *answers, size_t count)
{
	int score = 0;

	for (size_t i = 0; i < s->entry_count; i++)
		if (s->entries[i].list == list &&
		    matches(&s->entries[i], answers, count))
			score += s->entries[i].weight;
	return score;
}
