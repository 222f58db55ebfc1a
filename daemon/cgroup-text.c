/* SPDX-License-Identifier: MIT */
#include "daemon/cgroup-text.h"

#include <inttypes.h>
#include <string.h>

/* cpu.max: so much of each 100 ms; the kernel takes no less than 1 ms. */
#define CPU_PERIOD_USEC 100000
#define CPU_QUOTA_MIN_USEC 1000
#define IO_WEIGHT_STANDARD 100

static const char *const controller_table[_CGROUP_CONTROLLER_MAX] = {
    [CGROUP_CPU] = "cpu",
    [CGROUP_IO] = "io",
    [CGROUP_MEMORY] = "memory",
    [CGROUP_PIDS] = "pids",
};
DEFINE_STRTAB(cgroup_controller, CgroupController, controller_table);

/* The next line of *@at, without its end; false when there is none. */
static bool next_line(const char **at, const char **ret, size_t *ret_n) {
    if (!**at)
        return false;
    *ret = *at;
    *ret_n = strcspn(*at, "\n");
    *at += *ret_n + ((*at)[*ret_n] == '\n');
    return true;
}

int cgroup_parse_membership(const char *text, Text *ret) {
    static const char before[] = "0::", gone[] = " (deleted)";
    const char *line;
    size_t n, n_before = sizeof(before) - 1, n_gone = sizeof(gone) - 1;
    while (next_line(&text, &line, &n)) {
        if (n <= n_before || memcmp(line, before, n_before) != 0)
            continue;
        if (n >= n_gone && memcmp(line + n - n_gone, gone, n_gone) == 0)
            return -ENOENT;
        text_add_n(ret, line + n_before, n - n_before);
        return text_ok(ret) ? 0 : -ENOMEM;
    }
    return -ENODATA;
}

/* proc_pid_mountinfo(5): space, tab, newline and backslash are written as \040 and so on. */
static void add_unescaped(Text *out, const char *s, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\\' && n - i > 3 && strspn(s + i + 1, "01234567") >= 3) {
            text_addc(out, (char)((s[i + 1] - '0') * 64 + (s[i + 2] - '0') * 8 + (s[i + 3] - '0')));
            i += 3;
        } else {
            text_addc(out, s[i]);
        }
    }
}

/* Field @number, from 0, of a line with blanks between. */
static bool field_of(const char *line, size_t n, unsigned number, const char **ret, size_t *ret_n) {
    const char *end = line + n;
    for (; number > 0; number--) {
        line = memchr(line, ' ', (size_t)(end - line));
        if (!line)
            return false;
        line++;
    }
    const char *blank = memchr(line, ' ', (size_t)(end - line));
    *ret = line;
    *ret_n = (size_t)((blank ? blank : end) - line);
    return true;
}

/* What of @path lies below @root; NULL: it does not. */
static const char *below(const char *path, const char *root) {
    size_t n = strlen(root);
    if (streq(root, "/"))
        return path;
    if (strncmp(path, root, n) != 0 || (path[n] != '/' && path[n] != '\0'))
        return NULL;
    return path + n;
}

/* Whether the line is of version 2, and where. */
static bool take_mount(const char *line, size_t n, Text *root, Text *folder) {
    static const char type[] = " - cgroup2 ";
    const char *at;
    size_t length;
    if (!memmem(line, n, type, sizeof(type) - 1))
        return false;
    text_reset(root);
    text_reset(folder);
    if (!field_of(line, n, 3, &at, &length))
        return false;
    add_unescaped(root, at, length);
    if (!field_of(line, n, 4, &at, &length))
        return false;
    add_unescaped(folder, at, length);
    return root->s && folder->s && root->len > 0 && folder->len > 0;
}

int cgroup_parse_mounts(const char *mountinfo, const char *path, Text *ret) {
    CLEANUP_TEXT Text root = {0}, folder = {0};
    const char *line;
    size_t n;
    int r = -ENODEV;
    if (!path)
        return -EINVAL;
    while (next_line(&mountinfo, &line, &n)) {
        if (!take_mount(line, n, &root, &folder))
            continue;
        const char *rest = root.s && folder.s ? below(path, root.s) : NULL;
        if (!rest) {
            r = -ENXIO;
            continue;
        }
        text_add(ret, folder.s);
        text_add(ret, streq(rest, "/") ? "" : rest);
        return text_ok(ret) ? 0 : -ENOMEM;
    }
    return r;
}

unsigned cgroup_parse_controllers(const char *text) {
    unsigned set = 0;
    while (*text) {
        size_t n = strcspn(text, " \n");
        for (size_t i = 0; i < _CGROUP_CONTROLLER_MAX; i++)
            if (strlen(controller_table[i]) == n && memcmp(controller_table[i], text, n) == 0)
                set |= CGROUP_BIT(i);
        text += n + (text[n] != '\0');
    }
    return set;
}

void cgroup_format_controllers(unsigned set, Text *out) {
    for (size_t i = 0; i < _CGROUP_CONTROLLER_MAX; i++) {
        if (!(set & CGROUP_BIT(i)))
            continue;
        bool last = set < CGROUP_BIT(i + 1), first = (set & (CGROUP_BIT(i) - 1)) == 0;
        text_add(out, first ? "" : last ? " and " : ", ");
        text_add(out, controller_table[i]);
    }
}

uint64_t cgroup_parse_count(const char *text, const char *key) {
    const char *line;
    size_t n, n_key = strlen(key);
    while (next_line(&text, &line, &n))
        if (n > n_key && memcmp(line, key, n_key) == 0 && line[n_key] == ' ')
            return strtoull(line + n_key + 1, NULL, 10);
    return 0;
}

/* Files of a group begin with "cgroup." or with the name of a controller and a dot. Names of services begin
 * with a letter or a digit, so that none is met by the underscore. */
static bool is_taken(const char *name) {
    static const char *const prefixes[] = {"cgroup",  "cpu",     "cpuset", "io",   "memory",
                                           "hugetlb", "pids",    "rdma",   "misc", "perf_event",
                                           "devices", "freezer", "debug",  "irq",  "dmem"};
    size_t n = strcspn(name, ".");
    for (size_t i = 0; name[n] == '.' && i < ELEMENTS(prefixes); i++)
        if (strlen(prefixes[i]) == n && memcmp(name, prefixes[i], n) == 0)
            return true;
    return streq(name, CGROUP_LEAF);
}

void cgroup_format_name(const char *service, Text *out) {
    text_add(out, is_taken(service) ? "_" : "");
    text_add(out, service);
}

bool cgroup_is_of(const char *name, const char *service) {
    CLEANUP_TEXT Text own = {0};
    static const char digits[] = "0123456789abcdef";
    cgroup_format_name(service, &own);
    if (name[0] == '_' && strspn(name + 1, digits) == 8 && name[9] == '.')
        name = streq_null(own.s, name) ? name : name + 10;
    return streq_null(own.s, name);
}

bool cgroup_parse_number(const char *name, uint64_t *ret) {
    size_t n = strspn(name, "0123456789");
    if (n == 0 || n > 18 || name[n] || name[0] == '0')
        return false;
    *ret = strtoull(name, NULL, 10);
    return true;
}

unsigned cgroup_controllers_of(const CgroupConfig *c) {
    unsigned set = 0;
    if (c->memory_max != UINT64_MAX || c->memory_high != UINT64_MAX)
        set |= CGROUP_BIT(CGROUP_MEMORY);
    if (c->cpu_max != UINT64_MAX)
        set |= CGROUP_BIT(CGROUP_CPU);
    if (c->pids_max != UINT64_MAX)
        set |= CGROUP_BIT(CGROUP_PIDS);
    if (c->io_weight > 0)
        set |= CGROUP_BIT(CGROUP_IO);
    return set;
}

/* Settings */

static const CgroupConfig nothing = {
    .memory_max = UINT64_MAX, .memory_high = UINT64_MAX, .cpu_max = UINT64_MAX, .pids_max = UINT64_MAX};

/* It is known by its place: whatever it held could be what a config asks for. */
const CgroupConfig cgroup_limits_unknown;

static void format_number(char *value, size_t size, uint64_t n) {
    if (n == UINT64_MAX)
        (void)snprintf(value, size, "max");
    else
        (void)snprintf(value, size, "%" PRIu64, n);
}

static void format_memory_max(const CgroupConfig *c, bool alone, char *value, size_t size) {
    (void)alone;
    format_number(value, size, c->memory_max);
}

static void format_memory_high(const CgroupConfig *c, bool alone, char *value, size_t size) {
    (void)alone;
    format_number(value, size, c->memory_high);
}

static void format_oom_group(const CgroupConfig *c, bool alone, char *value, size_t size) {
    (void)snprintf(value, size, "%d", alone && c->memory_max != UINT64_MAX);
}

static void format_cpu_max(const CgroupConfig *c, bool alone, char *value, size_t size) {
    (void)alone;
    if (c->cpu_max >= UINT64_MAX / CPU_PERIOD_USEC) {
        (void)snprintf(value, size, "max %d", CPU_PERIOD_USEC);
        return;
    }
    uint64_t quota = c->cpu_max * CPU_PERIOD_USEC / 1000;
    (void)snprintf(value, size, "%" PRIu64 " %d", quota < CPU_QUOTA_MIN_USEC ? CPU_QUOTA_MIN_USEC : quota,
                   CPU_PERIOD_USEC);
}

static void format_pids_max(const CgroupConfig *c, bool alone, char *value, size_t size) {
    (void)alone;
    format_number(value, size, c->pids_max);
}

static void format_io_weight(const CgroupConfig *c, bool alone, char *value, size_t size) {
    (void)alone;
    (void)snprintf(value, size, "default %u", c->io_weight > 0 ? c->io_weight : IO_WEIGHT_STANDARD);
}

/* memory.high before memory.max, so that what is over both is throttled rather than killed. */
static const struct {
    const char *file;
    CgroupController controller;
    void (*format)(const CgroupConfig *c, bool alone, char *value, size_t size);
} rows[CGROUP_SETTINGS_MAX] = {
    {"memory.oom.group", CGROUP_MEMORY, format_oom_group},
    {"memory.high", CGROUP_MEMORY, format_memory_high},
    {"memory.max", CGROUP_MEMORY, format_memory_max},
    {"cpu.max", CGROUP_CPU, format_cpu_max},
    {"pids.max", CGROUP_PIDS, format_pids_max},
    {"io.weight", CGROUP_IO, format_io_weight},
};

size_t cgroup_settings(const CgroupConfig *from, const CgroupConfig *to, bool alone,
                       CgroupSetting ret[static CGROUP_SETTINGS_MAX]) {
    size_t n = 0;
    for (size_t i = 0; i < ELEMENTS(rows); i++) {
        char before[sizeof(ret[0].value)], none[sizeof(before)];
        CgroupSetting *s = &ret[n];
        rows[i].format(from ? from : &nothing, from && alone, before, sizeof(before));
        rows[i].format(to ? to : &nothing, alone, s->value, sizeof(s->value));
        if (from != &cgroup_limits_unknown && streq(before, s->value))
            continue;
        rows[i].format(&nothing, alone, none, sizeof(none));
        s->file = rows[i].file;
        s->controller = rows[i].controller;
        s->lifts = streq(none, s->value);
        n++;
    }
    return n;
}

bool cgroup_is_unit(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && (streq(dot, ".service") || streq(dot, ".scope"));
}

CgroupClaim cgroup_claim(const CgroupFacts *f) {
    if (f->machine)
        return CGROUP_CLAIM_BELOW;
    if (f->in_leaf && f->parent_delegated)
        return CGROUP_CLAIM_ABOVE;
    if (f->delegated || f->namespace_root || (f->alone && !f->unit))
        return CGROUP_CLAIM_HERE;
    return CGROUP_CLAIM_NONE;
}
