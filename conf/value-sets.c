/* SPDX-License-Identifier: MIT */
/* Values of the kernel's: signals, priorities of input and output, processors, exit codes. */
#include <errno.h>
#include <linux/ioprio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "conf/suggest.h"
#include "conf/value-scan.h"
#include "conf/value.h"

/* Signals with names of their own; those up to SIGRTMIN belong to libc. */
#define SIGNAL_NAMED_MAX 31

static int signal_by_name(const char *name) {
    for (int i = 1; i <= SIGNAL_NAMED_MAX; i++) {
        const char *known = sigabbrev_np(i);
        if (known && strcasecmp(known, name) == 0)
            return i;
    }
    return strcasecmp(name, "IO") == 0 ? SIGIO : -EINVAL;
}

/* "RTMIN", "RTMIN+3", "RTMAX-1". */
static int signal_by_realtime(const char *name) {
    bool from_min = strncasecmp(name, "RTMIN", 5) == 0;
    if (!from_min && strncasecmp(name, "RTMAX", 5) != 0)
        return -EINVAL;
    const char *p = name + 5;
    uint64_t offset = 0;
    if (*p) {
        if (*p != (from_min ? '+' : '-'))
            return -EINVAL;
        p++;
        if (value_scan(&p, &offset) < 0 || *p || offset > (uint64_t)(SIGRTMAX - SIGRTMIN))
            return -EINVAL;
    }
    return from_min ? SIGRTMIN + (int)offset : SIGRTMAX - (int)offset;
}

static void suggest_signal(const char *name, ValueError *error) {
    Suggestion s = {.word = name};
    for (int i = 1; i <= SIGNAL_NAMED_MAX; i++)
        if (sigabbrev_np(i))
            suggestion_offer(&s, sigabbrev_np(i));
    if (s.best)
        value_hint(error, "did you mean 'SIG%s'?", s.best);
}

int value_signal(const char *s, int *ret, ValueError *error) {
    if (*s >= '0' && *s <= '9') {
        uint64_t number = 0;
        int r = value_unsigned(s, 1, (uint64_t)SIGRTMAX, &number, error);
        if (r == 0)
            *ret = (int)number;
        return r;
    }
    const char *name = strncasecmp(s, "SIG", 3) == 0 ? s + 3 : s;
    int number = signal_by_name(name);
    if (number < 0)
        number = signal_by_realtime(name);
    if (number < 0) {
        char quoted[VALUE_QUOTE_MAX];
        value_fail(error, -EINVAL, "such as TERM, HUP or 15", "%s is not a signal", value_quote(s, quoted));
        suggest_signal(name, error);
        return -EINVAL;
    }
    *ret = number;
    return 0;
}

void value_signal_format(int number, Text *out) {
    const char *name = number > 0 && number <= SIGNAL_NAMED_MAX ? sigabbrev_np(number) : NULL;
    if (name)
        text_addf(out, "SIG%s", name);
    else if (number > SIGRTMIN && number <= SIGRTMAX)
        text_addf(out, "SIGRTMIN+%d", number - SIGRTMIN);
    else if (number == SIGRTMIN)
        text_add(out, "SIGRTMIN");
    else
        text_addf(out, "%d", number);
}

#define IO_LEVEL_MAX 7
#define IO_LEVEL_DEFAULT 4

static const struct {
    const char *name;
    int class;
    bool levels;
} io_classes[] = {
    {"realtime", IOPRIO_CLASS_RT, true},
    {"best-effort", IOPRIO_CLASS_BE, true},
    {"idle", IOPRIO_CLASS_IDLE, false},
};

/* ioprio_set(2): the class stands above the level. The kernel's own macros have other types in other
 * releases. */
#define IO_CLASS_SHIFT 13

int value_io_priority(const char *s, int *ret, ValueError *error) {
    size_t n = strcspn(s, ":");
    for (size_t i = 0; i < ELEMENTS(io_classes); i++) {
        if (strlen(io_classes[i].name) != n || memcmp(io_classes[i].name, s, n) != 0)
            continue;
        uint64_t level = io_classes[i].levels ? IO_LEVEL_DEFAULT : 0;
        if (s[n] == ':' && !io_classes[i].levels)
            return value_fail(error, -EINVAL, "write idle", "'idle' has no levels");
        if (s[n] == ':') {
            int r = value_unsigned(s + n + 1, 0, IO_LEVEL_MAX, &level, error);
            if (r < 0)
                return r;
        }
        *ret = (io_classes[i].class << IO_CLASS_SHIFT) | (int)level;
        return 0;
    }
    char quoted[VALUE_QUOTE_MAX];
    return value_fail(error, -EINVAL, "such as best-effort:4, idle or realtime:0",
                      "%s is not a priority of input and output", value_quote(s, quoted));
}

void value_io_priority_format(int value, Text *out) {
    int class = value >> IO_CLASS_SHIFT;
    for (size_t i = 0; i < ELEMENTS(io_classes); i++) {
        if (io_classes[i].class != class)
            continue;
        text_add(out, io_classes[i].name);
        if (io_classes[i].levels)
            text_addf(out, ":%d", value & ((1 << IO_CLASS_SHIFT) - 1));
        return;
    }
    text_addf(out, "%d", value);
}

static const char cpus_hint[] = "such as 0-3,8";

/* "3" or "0-3" at *@p: sets its bits. */
static int scan_cpu_range(const char **p, const char *s, uint64_t *cpus, ValueError *error) {
    const char *digits = *p;
    uint64_t first = 0, last = 0;
    int r = value_scan(p, &first);
    last = first;
    if (r == 0 && **p == '-') {
        (*p)++;
        digits = *p;
        r = value_scan(p, &last);
    }
    if (r == -EINVAL || r == -EDOM)
        return value_fail_scan(error, r, s, digits, "a list of processors", cpus_hint);
    if (r < 0 || first >= VALUE_CPUS_MAX || last >= VALUE_CPUS_MAX)
        return value_fail_range(error, s, "0", "1023");
    if (last < first)
        return value_fail(error, -EINVAL, cpus_hint, "the range %u-%u runs backwards", (unsigned)first,
                          (unsigned)last);
    for (uint64_t i = first; i <= last; i++)
        cpus[i / 64] |= (uint64_t)1 << (i % 64);
    return 0;
}

int value_cpus(const char *s, uint64_t ret[static VALUE_CPUS_MAX / 64], ValueError *error) {
    uint64_t cpus[VALUE_CPUS_MAX / 64] = {0};
    const char *p = s;
    for (;;) {
        int r = scan_cpu_range(&p, s, cpus, error);
        if (r < 0)
            return r;
        if (*p == '\0')
            break;
        if (*p != ',')
            return value_fail_scan(error, -EINVAL, s, s, "a list of processors", cpus_hint);
        p++;
        p += strspn(p, " ");
    }
    memcpy(ret, cpus, sizeof(cpus));
    return 0;
}

static bool has_cpu(const uint64_t *cpus, unsigned i) {
    return i < VALUE_CPUS_MAX && (cpus[i / 64] >> (i % 64) & 1) != 0;
}

void value_cpus_format(const uint64_t cpus[static VALUE_CPUS_MAX / 64], Text *out) {
    const char *separator = "";
    for (unsigned i = 0; i < VALUE_CPUS_MAX; i++) {
        if (!has_cpu(cpus, i))
            continue;
        unsigned first = i;
        while (has_cpu(cpus, i + 1))
            i++;
        text_addf(out, "%s%u", separator, first);
        if (i > first)
            text_addf(out, "-%u", i);
        separator = ",";
    }
}

#define EXIT_CODE_MAX 255

/* "64-78", as far as it is one. */
static int scan_codes(const char *s, uint64_t *first, uint64_t *last, ValueError *error) {
    const char *p = s, *digits = s;
    int r = value_scan(&p, first);
    if (r == 0 && *p == '-') {
        digits = ++p;
        r = value_scan(&p, last);
    }
    if (r == 0 && *p)
        r = -EINVAL;
    if (r == -EINVAL || r == -EDOM)
        return value_fail_scan(error, r, s, digits, "a range of exit codes", NULL);
    if (r < 0 || *first < 1 || *first > EXIT_CODE_MAX || *last < 1 || *last > EXIT_CODE_MAX)
        return value_fail_range(error, s, "1", "255");
    return 0;
}

int value_exit_codes(const char *s, uint64_t *ret_first, uint64_t *ret_last, ValueError *error) {
    static const char hint[] = "exit codes are 1 to 255; 0 is no failure";
    uint64_t first = 0, last = 0;
    const char *dash = strchr(s, '-');
    bool range = dash && dash > s;
    int r = range ? scan_codes(s, &first, &last, error) : value_unsigned(s, 1, EXIT_CODE_MAX, &first, error);
    if (r < 0) {
        value_hint(error, "%s", hint);
        return r;
    }
    if (range && last < first) {
        value_fail(error, -EINVAL, NULL, "the range %u-%u runs backwards", (unsigned)first, (unsigned)last);
        value_hint(error, "write %u-%u", (unsigned)last, (unsigned)first);
        return -EINVAL;
    }
    *ret_first = first;
    *ret_last = range ? last : first;
    return 0;
}

#define MILLIONTHS_PER_THOUSANDTH ((uint64_t)1000)
#define PERCENT ((uint64_t)100)

int value_processors(const char *s, uint64_t min, uint64_t max, uint64_t *ret, ValueError *error) {
    static const char hint[] = "such as 50% of one, or 1.5 processors";
    CLEANUP_TEXT Text digits = {0};
    char quoted[VALUE_QUOTE_MAX];
    size_t n = strlen(s);
    bool percent = n > 0 && s[n - 1] == '%';
    text_add_n(&digits, s, percent ? n - 1 : n);
    if (!text_ok(&digits))
        return -ENOMEM;
    uint64_t millionths = 0, unit = MILLIONTHS_PER_THOUSANDTH * (percent ? PERCENT : 1);
    int r = value_number(digits.s ? digits.s : "", max / (percent ? 10 : 1000), &millionths, NULL);
    if (r == -EINVAL)
        return value_fail(error, r, hint, "%s is no share of processors", value_quote(s, quoted));
    if (r < 0 || millionths / unit < min) {
        CLEANUP_TEXT Text low = {0};
        CLEANUP_TEXT Text high = {0};
        value_processors_format(min, &low);
        value_processors_format(max, &high);
        (void)value_fail_range(error, s, low.s ? low.s : "", high.s ? high.s : "");
        return -ERANGE;
    }
    if (millionths % unit != 0)
        return value_fail(error, -EINVAL, "a tenth of a percent is the finest", "%s is too fine",
                          value_quote(s, quoted));
    *ret = millionths / unit;
    return 0;
}

void value_processors_format(uint64_t thousandths, Text *out) {
    text_addf(out, "%llu", (unsigned long long)(thousandths / 10));
    if (thousandths % 10 > 0)
        text_addf(out, ".%llu", (unsigned long long)(thousandths % 10));
    text_addc(out, '%');
}
