/* SPDX-License-Identifier: MIT */
#include "daemon/report.h"

#include <math.h>
#include <string.h>

#include "daemon/base/text.h"

void report_init(Report *r) {
    *r = (Report){.active = -1, .requests = -1, .queued = -1, .capacity = -1};
}

void report_done(Report *r) {
    free(r->status);
    free(r->metrics);
    report_init(r);
}

/* Decimal digits only, up to INT64_MAX. */
static bool parse_count(const char *s, size_t n, int64_t *ret) {
    int64_t value = 0;
    if (n == 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, s[i] - '0', &value))
            return false;
    }
    *ret = value;
    return true;
}

static bool is_one(const char *s, size_t n) {
    return n == 1 && s[0] == '1';
}

static bool take_ready(Report *r, const char *s, size_t n) {
    if (!is_one(s, n))
        return false;
    r->ready = true;
    r->reloading = false;
    return true;
}

static bool take_stopping(Report *r, const char *s, size_t n) {
    if (!is_one(s, n))
        return false;
    r->stopping = true;
    return true;
}

static bool take_reloading(Report *r, const char *s, size_t n) {
    if (!is_one(s, n))
        return false;
    r->reloading = true;
    return true;
}

static bool take_one(Report *r, const char *s, size_t n) {
    (void)r;
    return is_one(s, n);
}

static bool take_status(Report *r, const char *s, size_t n) {
    if (n > REPORT_STATUS_MAX) {
        /* Cut between characters, so that what is shown stays UTF-8. */
        n = REPORT_STATUS_MAX;
        while (n > 0 && ((unsigned char)s[n] & 0xc0) == 0x80)
            n--;
    }
    if (!utf8_valid(s, n) || memchr(s, '\0', n))
        return false;
    char *status = strndup(s, n);
    if (!status)
        return true;
    free(r->status);
    r->status = status;
    return true;
}

static bool take_errno(Report *r, const char *s, size_t n) {
    int64_t value;
    if (!parse_count(s, n, &value) || value > 4095)
        return false;
    r->error = (int)value;
    return true;
}

static bool take_active(Report *r, const char *s, size_t n) {
    return parse_count(s, n, &r->active);
}

static bool take_requests(Report *r, const char *s, size_t n) {
    return parse_count(s, n, &r->requests);
}

static bool take_queued(Report *r, const char *s, size_t n) {
    return parse_count(s, n, &r->queued);
}

static bool take_capacity(Report *r, const char *s, size_t n) {
    int64_t value;
    if (!parse_count(s, n, &value) || value == 0)
        return false;
    r->capacity = value;
    return true;
}

static bool take_trigger(Report *r, const char *s, size_t n) {
    static const char trigger[] = "trigger";
    (void)r;
    return n == sizeof(trigger) - 1 && memcmp(s, trigger, n) == 0;
}

static const struct {
    const char *key;
    ReportKind kind;
    bool (*take)(Report *r, const char *value, size_t n);
} words[] = {
    {"READY", REPORT_READY, take_ready},
    {"STATUS", REPORT_STATUS, take_status},
    {"STOPPING", REPORT_STOPPING, take_stopping},
    {"RELOADING", REPORT_RELOADING, take_reloading},
    {"WATCHDOG", REPORT_WATCHDOG, take_one},
    {"WATCHDOG", REPORT_TRIGGER, take_trigger},
    {"ERRNO", REPORT_ERRNO, take_errno},
    {"ACTIVE", REPORT_ACTIVE, take_active},
    {"REQUESTS", REPORT_REQUESTS, take_requests},
    {"QUEUED", REPORT_QUEUED, take_queued},
    {"BAN", REPORT_BAN, take_one},
    {"CAPACITY", REPORT_CAPACITY, take_capacity},
};

bool report_metric_name_valid(const char *name, size_t n) {
    if (n == 0 || n >= REPORT_METRIC_NAME_MAX)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    return true;
}

static bool parse_number(const char *s, size_t n, double *ret) {
    char copy[64], *end = NULL;
    if (n == 0 || n >= sizeof(copy) || memchr(s, '\0', n) || !strchr("+-.0123456789", s[0]))
        return false;
    memcpy(copy, s, n);
    copy[n] = '\0';
    double value = strtod(copy, &end);
    if (end != copy + n || !isfinite(value))
        return false;
    *ret = value;
    return true;
}

static bool take_metric(Report *r, const char *name, size_t name_n, const char *value, size_t n) {
    double number;
    if (!report_metric_name_valid(name, name_n) || !parse_number(value, n, &number))
        return false;
    for (size_t i = 0; i < r->n_metrics; i++) {
        if (strlen(r->metrics[i].name) == name_n && memcmp(r->metrics[i].name, name, name_n) == 0) {
            r->metrics[i].value = number;
            return true;
        }
    }
    if (r->n_metrics == REPORT_METRICS_MAX)
        return false;
    if (!r->metrics) {
        r->metrics = calloc(REPORT_METRICS_MAX, sizeof(ReportMetric));
        if (!r->metrics)
            return true;
    }
    ReportMetric *m = &r->metrics[r->n_metrics++];
    memcpy(m->name, name, name_n);
    m->name[name_n] = '\0';
    m->value = number;
    return true;
}

bool report_is_foreign(const char *line, size_t n) {
    const char *equals = memchr(line, '=', n);
    size_t key_n = equals ? (size_t)(equals - line) : 0;
    if (key_n == 0 || (key_n > 1 && line[0] == 'X' && line[1] == '_'))
        return false;
    for (size_t i = 0; i < key_n; i++) {
        char c = line[i];
        if (!(c >= 'A' && c <= 'Z') && c != '_' && !(i > 0 && c >= '0' && c <= '9'))
            return false;
    }
    for (size_t i = 0; i < ELEMENTS(words); i++)
        if (strlen(words[i].key) == key_n && memcmp(words[i].key, line, key_n) == 0)
            return false;
    return true;
}

ReportKind report_line(Report *r, const char *line, size_t n) {
    const char *equals = memchr(line, '=', n);
    r->lines++;
    if (equals) {
        size_t key_n = (size_t)(equals - line), value_n = n - key_n - 1;
        const char *value = equals + 1;
        for (size_t i = 0; i < ELEMENTS(words); i++)
            if (strlen(words[i].key) == key_n && memcmp(words[i].key, line, key_n) == 0 &&
                words[i].take(r, value, value_n))
                return words[i].kind;
        if (key_n > 2 && line[0] == 'X' && line[1] == '_' &&
            take_metric(r, line + 2, key_n - 2, value, value_n))
            return REPORT_METRIC;
    }
    r->malformed++;
    return REPORT_MALFORMED;
}
