/* SPDX-License-Identifier: MIT */
#include "conf/rule-word.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static int fail(RuleWordError *error, DiagCode code, const char *s, const char *what, const char *hint) {
    CLEANUP_TEXT Text shown = {0};
    text_add_escaped(&shown, s, strnlen(s, 80));
    error->code = code;
    (void)snprintf(error->text.why, sizeof(error->text.why), "'%.120s' %s", shown.s ? shown.s : "", what);
    (void)snprintf(error->text.hint, sizeof(error->text.hint), "%s", hint ? hint : "");
    return -EINVAL;
}

/* Words of others for what has a name here. */
static const struct {
    const char *word, *hint;
} foreign_words[] = {
    {"all", "write any"},
    {"*", "write any"},
    {"everybody", "write any"},
    {"0/0", "write any"},
    {"localhost", "write 127.0.0.0/8 and ::1"},
    {"local", "names are not looked up; write prefixes such as 192.168.0.0/16"},
    {"link-local", "write 169.254.0.0/16 and fe80::/64"},
    {"multicast", "write 224.0.0.0/4 and ff00::/8"},
    {"unknown", "names are not looked up; write addresses"},
    {"none", "for nobody write an empty list: []"},
};

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* How many numbers of an IPv4 address @s begins with, "192.168." being two; what follows goes to @ret_rest.
 */
static unsigned count_octets(const char *s, uint8_t octets[static 4], const char **ret_rest) {
    unsigned n = 0;
    while (n < 4 && is_digit(*s)) {
        unsigned value = 0;
        const char *p = s;
        while (is_digit(*p) && value < 256)
            value = value * 10 + (unsigned)(*p++ - '0');
        if (value > 255)
            break;
        octets[n++] = (uint8_t)value;
        s = *p == '.' ? p + 1 : p;
        if (*p != '.')
            break;
    }
    *ret_rest = s;
    return n;
}

static void network_hint(const uint8_t octets[static 4], unsigned n, unsigned bits, char hint[static 192]) {
    uint8_t all[4] = {0};
    memcpy(all, octets, n);
    (void)snprintf(hint, 192, "for the network write %u.%u.%u.%u/%u", all[0], all[1], all[2], all[3], bits);
}

/* "255.255.255.0": 24; -1 for what is no mask. */
static int mask_bits(const char *s) {
    struct in_addr mask;
    if (inet_pton(AF_INET, s, &mask) != 1)
        return -1;
    uint32_t m = ntohl(mask.s_addr);
    int bits = m == 0 ? 0 : 32 - __builtin_ctz(m);
    uint32_t full = bits == 0 ? 0 : UINT32_MAX << (32 - bits);
    return m == full ? bits : -1;
}

/* "10.0.0.0/33". */
static bool is_too_long(const char *s, char hint[static 192]) {
    const char *slash = strchr(s, '/');
    char host[64];
    Addr address;
    if (!slash || !is_digit(slash[1]) || (size_t)(slash - s) >= sizeof(host) ||
        slash[1 + strspn(slash + 1, "0123456789")] != '\0')
        return false;
    (void)snprintf(host, sizeof(host), "%.*s", (int)(slash - s), s);
    if (addr_parse_ip(host, 0, &address) < 0)
        return false;
    (void)snprintf(hint, 192, "an %s prefix has 0 to %d bits, without leading zeros",
                   address.sa.sa_family == AF_INET ? "IPv4" : "IPv6",
                   address.sa.sa_family == AF_INET ? 32 : 128);
    return true;
}

/* A network as xinetd, tcpd or a netmask have it; whether there is something better to write. */
static bool hint_network(const char *s, char hint[static 192]) {
    uint8_t octets[4] = {0};
    const char *rest;
    unsigned n = count_octets(s, octets, &rest);
    if (n == 0)
        return false;
    if (*rest == '{') {
        (void)snprintf(hint, 192, "write one item for each: %.*sN", (int)(rest - s), s);
        return true;
    }
    if (n == 4 && *rest == '/') {
        int bits = mask_bits(rest + 1);
        if (bits >= 0)
            network_hint(octets, 4, (unsigned)bits, hint);
        return bits >= 0;
    }
    if (n == 4 && *rest == '-') {
        (void)snprintf(hint, 192, "write prefixes such as %u.%u.%u.0/24 instead of a range", octets[0],
                       octets[1], octets[2]);
        return true;
    }
    bool open = *rest == '\0' || streq(rest, "*") || streq(rest, "*.*") || streq(rest, "x");
    if (n == 4 && *rest == ':') {
        (void)snprintf(hint, 192, "write the address without a port");
        return true;
    }
    if (n < 4 && (open || *rest == '/')) {
        network_hint(octets, n, 8 * n, hint);
        return true;
    }
    return false;
}

static int refuse(const char *s, RuleWordError *error) {
    char hint[192] = "";
    for (size_t i = 0; i < ELEMENTS(foreign_words); i++)
        if (strcasecmp(s, foreign_words[i].word) == 0)
            return fail(error, DIAG_BAD_VALUE, s, "is not a rule", foreign_words[i].hint);
    if (*s == '[')
        (void)snprintf(hint, sizeof(hint), "write an IPv6 address without brackets");
    else if (strcasecmp(s, "any") == 0)
        (void)snprintf(hint, sizeof(hint), "write any");
    else if (*s == '!' || *s == '-')
        (void)snprintf(hint, sizeof(hint), "what is not allowed stands in access.deny");
    else if (starts_with(s, "file:"))
        (void)snprintf(hint, sizeof(hint), "write file: and the whole path, as in file:/etc/mpinetd/allow");
    else if (!is_too_long(s, hint))
        (void)hint_network(s, hint);
    if (*hint)
        return fail(error, DIAG_BAD_VALUE, s, "is not an address or a prefix", hint);
    bool name = *s &&
                strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_") == strlen(s) &&
                !is_digit(*s);
    if (name || starts_with(s, "."))
        return fail(error, DIAG_BAD_VALUE, s, "is not an address",
                    "names of hosts are not looked up; write addresses or prefixes");
    return fail(error, DIAG_BAD_VALUE, s, "is not a rule",
                "192.0.2.1, 192.0.2.0/24, 2001:db8::/32, any, uid:USER, gid:GROUP, vsock:CID or file:/path");
}

static int look_up(const char *s, Lookups *lookups, AccessRule *ret, RuleWordError *error) {
    const char *name = s + strlen("uid:");
    bool group = *s == 'g';
    uid_t number;
    int r = 0;
    *ret = (AccessRule){.kind = group ? ACCESS_RULE_GROUP : ACCESS_RULE_PREFIX};
    ret->prefix.kind = PEER_UNIX;
    if (lookups_is_number(name, &number)) {
        ret->gid = (gid_t)number;
        ret->prefix.uid = number;
    } else if (!*name) {
        return fail(error, DIAG_BAD_VALUE, s, "has no name", group ? "such as gid:adm" : "such as uid:alice");
    } else if (group) {
        r = lookups_group(lookups, name, &ret->gid);
    } else {
        const UserEntry *entry = NULL;
        r = lookups_user(lookups, name, &entry);
        if (entry)
            ret->prefix.uid = entry->uid;
    }
    if (r == 0 || r == -ENOMEM)
        return r;
    return fail(error, DIAG_NOT_FOUND, name, group ? "is not a group" : "is not a user",
                "a number is taken as it is");
}

int rule_word_parse(const char *s, Lookups *lookups, AccessRule *ret, RuleWordError *error) {
    if (streq(s, "any")) {
        *ret = (AccessRule){.kind = ACCESS_RULE_ANY};
        return 0;
    }
    if (starts_with(s, "uid:") || starts_with(s, "gid:"))
        return look_up(s, lookups, ret, error);
    *ret = (AccessRule){.kind = ACCESS_RULE_PREFIX};
    int r = prefix_parse(s, &ret->prefix);
    if (r == -ENODEV)
        return fail(error, DIAG_NOT_FOUND, strchr(s, '%') + 1, "is not a network interface", NULL);
    return r < 0 ? refuse(s, error) : 0;
}

bool rule_word_is_doubtful(const char *s, const AccessRule *rule, char hint[static 192]) {
    const Prefix *p = &rule->prefix;
    unsigned n = 4;
    if (rule->kind != ACCESS_RULE_PREFIX || p->kind != PEER_INET || p->bits != 32 || strchr(s, '/') ||
        strchr(s, ':'))
        return false;
    while (n > 0 && p->bytes[n - 1] == 0)
        n--;
    if (n == 4)
        return false;
    if (n == 0)
        (void)snprintf(hint, 192, "for everybody write any; for this address 0.0.0.0/32");
    else
        (void)snprintf(hint, 192, "for the network write %s/%u; for this address %s/32", s, 8 * n, s);
    return true;
}
