/* SPDX-License-Identifier: MIT */
#include "services/mq-name.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/text.h"

#define POSIX_PREFIX "mqueue:"
#define SYSV_PREFIX "sysv:"

static int wrong(const char **ret_why, const char *why) {
    *ret_why = why;
    return -EINVAL;
}

static int parse_sysv(const char *s, QueueName *ret, const char **ret_why) {
    const char *digits = s + strlen(SYSV_PREFIX);
    bool hex = starts_with(digits, "0x") || starts_with(digits, "0X");
    const char *allowed = hex ? "0123456789abcdefABCDEF" : "0123456789";
    digits += hex ? 2 : 0;
    size_t n = strspn(digits, allowed);
    if (n == 0 || digits[n] != '\0' || n > 10)
        return wrong(ret_why, "a key of System V is a number, such as sysv:42 or sysv:0x2a");
    unsigned long long key = strtoull(digits, NULL, hex ? 16 : 10);
    if (key == 0 || key > UINT_MAX)
        return wrong(ret_why,
                     "a key of System V is from 1 to 0xffffffff; 0 would be a queue that nobody else finds");
    *ret = (QueueName){.kind = QUEUE_SYSV, .key = (key_t)key};
    (void)stpcpy(ret->text, s);
    return 0;
}

int queue_name_parse(const char *s, QueueName *ret, const char **ret_why) {
    if (starts_with(s, SYSV_PREFIX))
        return parse_sysv(s, ret, ret_why);
    if (starts_with(s, POSIX_PREFIX))
        s += strlen(POSIX_PREFIX);
    if (*s != '/')
        return wrong(ret_why, "a queue is /NAME or sysv:KEY");
    if (s[1] == '\0' || strchr(s + 1, '/') || streq(s, "/.") || streq(s, "/.."))
        return wrong(ret_why, "the name of a queue is one '/' and a word");
    if (strlen(s + 1) > NAME_MAX)
        return wrong(ret_why, "the name of a queue has at most 255 bytes");
    *ret = (QueueName){.kind = QUEUE_POSIX};
    (void)stpcpy(ret->text, s);
    return 0;
}
