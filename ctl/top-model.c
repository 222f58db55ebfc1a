/* SPDX-License-Identifier: MIT */
#include "ctl/top-model.h"

#include <string.h>

#include "ctl/fields.h"
#include "daemon/base/clock.h"

static const char *const column_names[_TOP_COLUMN_MAX] = {
    [TOP_SERVICE] = "SERVICE",
    [TOP_STATE] = "STATE",
    [TOP_NOW] = "NOW",
    [TOP_MAX] = "MAX",
    [TOP_ACCEPT_RATE] = "ACCEPT/S",
    [TOP_REFUSE_RATE] = "REFUSE/S",
    [TOP_SPAWN_RATE] = "SPAWN/S",
    [TOP_EXIT_RATE] = "EXIT/S",
    [TOP_REFUSED] = "REFUSED",
    [TOP_ACCEPTED] = "ACCEPTED",
    [TOP_QUEUED] = "QUEUED",
    [TOP_SINCE] = "SINCE",
};
DEFINE_STRTAB(top_column, TopColumn, column_names);

void top_model_init(TopModel *m, TopColumn sort) {
    *m = (TopModel){.sort = sort, .selected_pid = -1};
}

void top_model_done(TopModel *m) {
    json_decref(m->status);
    json_decref(m->parts);
    free(m->services);
    free(m->instances);
    free((void *)m->shown);
    free((void *)m->shown_instances);
    free(m->selected);
    text_done(&m->filter);
    *m = (TopModel){0};
}

/* Reading a service. */

static void read_counts(TopCounts *c, const json_t *json) {
    const json_t *refused = json_object_get(json, "refused"), *exited = json_object_get(json, "exited");
    c->accepted = field_count(json, "accepted");
    c->spawned = field_count(json, "spawned");
    for (size_t i = 0; i < _REFUSE_REASON_MAX; i++)
        c->refused[i] = field_count(refused, refuse_reason_to_string((RefuseReason)i));
    for (size_t i = 0; i < _EXIT_RESULT_MAX; i++)
        c->exited += field_count(exited, exit_result_to_string((ExitResult)i));
}

static void read_service(TopService *s, const json_t *json) {
    *s = (TopService){
        .json = json,
        .name = field_text(json, "name"),
        .state = field_text(json, "state"),
        .active = field_count(json, "active"),
        .limit = field_count(json, "instances_limit"),
        .queued = field_count(json, "queued"),
        .since_usec = field_count(json, "since_usec"),
    };
    read_counts(&s->counts, json);
    s->accepted = s->counts.accepted;
    for (size_t i = 0; i < _REFUSE_REASON_MAX; i++)
        s->refused += s->counts.refused[i];
}

/* Rates. */

static bool went_back(const TopCounts *now, const TopCounts *before) {
    bool back =
        now->accepted < before->accepted || now->spawned < before->spawned || now->exited < before->exited;
    for (size_t i = 0; i < _REFUSE_REASON_MAX; i++)
        back = back || now->refused[i] < before->refused[i];
    return back;
}

static TopRates rates_between(const TopCounts *now, const TopCounts *before, double seconds) {
    TopRates r = {
        .accepted = (double)(now->accepted - before->accepted) / seconds,
        .spawned = (double)(now->spawned - before->spawned) / seconds,
        .exited = (double)(now->exited - before->exited) / seconds,
    };
    for (size_t i = 0; i < _REFUSE_REASON_MAX; i++) {
        r.refused_by[i] = (double)(now->refused[i] - before->refused[i]) / seconds;
        r.refused += r.refused_by[i];
    }
    return r;
}

static void rates_add(TopRates *total, const TopRates *r) {
    total->accepted += r->accepted;
    total->refused += r->refused;
    total->spawned += r->spawned;
    total->exited += r->exited;
    for (size_t i = 0; i < _REFUSE_REASON_MAX; i++)
        total->refused_by[i] += r->refused_by[i];
}

static int compare_names(const void *a, const void *b) {
    return strcmp(((const TopService *)a)->name, ((const TopService *)b)->name);
}

static uint64_t uptime_of(const json_t *status) {
    return field_count(json_object_get(status, "daemon"), "uptime_usec");
}

static int64_t pid_of(const json_t *status) {
    return field_number(json_object_get(status, "daemon"), "pid");
}

/* What a counter has reached since the look before; all of it where it began anew in between: the service is
 * new, or was taken out and came back, or the daemon was restarted. */
static void rate_services(const TopModel *m, TopService *services, size_t n, const json_t *status,
                          uint64_t now_usec) {
    static const TopCounts none;
    uint64_t usec = now_usec - m->status_usec, uptime = uptime_of(status);
    bool restarted = pid_of(status) != pid_of(m->status) || uptime < uptime_of(m->status);
    if (restarted && uptime < usec)
        usec = uptime;
    double seconds = (double)(usec > 0 ? usec : 1) / (double)USEC_PER_SEC;
    for (size_t i = 0; i < n; i++) {
        const TopService *before = NULL;
        if (!restarted && m->n_services > 0)
            before = (const TopService *)bsearch(&services[i], m->services, m->n_services,
                                                 sizeof(*m->services), compare_names);
        bool anew = !before || went_back(&services[i].counts, &before->counts);
        services[i].rates = rates_between(&services[i].counts, anew ? &none : &before->counts, seconds);
    }
}

/* What is shown, and in which order. */

/* What needs a look comes first. */
static int urgency(const char *state) {
    static const int ranks[_SERVICE_STATE_MAX] = {
        [SERVICE_FAILED] = 1,   [SERVICE_BACKOFF] = 2,    [SERVICE_THROTTLED] = 3, [SERVICE_FULL] = 4,
        [SERVICE_DRAINING] = 5, [SERVICE_PAUSED] = 6,     [SERVICE_STARTING] = 7,  [SERVICE_STOPPED] = 8,
        [SERVICE_ACTIVE] = 9,   [SERVICE_LISTENING] = 10, [SERVICE_DISABLED] = 11,
    };
    int i = service_state_from_string(state);
    return i < 0 ? 0 : ranks[i];
}

/* Numbers; the greater comes first. */
static double number_of(const TopService *s, TopColumn column) {
    switch (column) {
    case TOP_NOW:
        return (double)s->active;
    case TOP_MAX:
        return (double)s->limit;
    case TOP_ACCEPT_RATE:
        return s->rates.accepted;
    case TOP_REFUSE_RATE:
        return s->rates.refused;
    case TOP_SPAWN_RATE:
        return s->rates.spawned;
    case TOP_EXIT_RATE:
        return s->rates.exited;
    case TOP_REFUSED:
        return (double)s->refused;
    case TOP_ACCEPTED:
        return (double)s->accepted;
    case TOP_QUEUED:
        return (double)s->queued;
    case TOP_SINCE: /* the newest change */
        return (double)s->since_usec;
    case TOP_STATE:
        return -(double)urgency(s->state);
    case TOP_SERVICE:
    case _TOP_COLUMN_MAX:
        break;
    }
    return 0;
}

typedef struct SortBy {
    TopColumn column;
    bool reverse;
} SortBy;

static int compare_shown(const void *a, const void *b, void *userdata) {
    const TopService *x = *(const TopService *const *)a, *y = *(const TopService *const *)b;
    const SortBy *by = userdata;
    double m = number_of(x, by->column), n = number_of(y, by->column);
    int order = m > n ? -1 : m < n ? 1 : 0, names = strcmp(x->name, y->name);
    if (order == 0)
        return by->reverse && by->column == TOP_SERVICE ? -names : names;
    return by->reverse ? -order : order;
}

bool top_model_descends(const TopModel *m) {
    bool text = m->sort == TOP_SERVICE || m->sort == TOP_STATE || m->sort == TOP_SINCE;
    return text == m->reverse;
}

static bool has_filter(const TopModel *m, const char *s) {
    return m->filter.len == 0 || strcasestr(s, m->filter.s) != NULL;
}

static bool filter_takes(const TopModel *m, const TopService *s) {
    if (!m->by_peer)
        return has_filter(m, s->name) || has_filter(m, s->state);
    for (size_t i = 0; i < m->n_instances; i++)
        if (streq(m->instances[i].service, s->name) && has_filter(m, m->instances[i].peer))
            return true;
    return false;
}

static void choose(TopModel *m, const char *name, size_t row) {
    if (!streq_null(m->selected, name)) {
        free(m->selected);
        m->selected = name ? strdup(name) : NULL;
    }
    m->selected_row = row;
}

/* The selection stays with its service; when that is gone, whatever stands in its row has it. */
static void find_selected(TopModel *m) {
    for (size_t i = 0; m->selected && i < m->n_shown; i++) {
        if (streq(m->shown[i]->name, m->selected)) {
            m->selected_row = i;
            return;
        }
    }
    if (m->n_shown == 0) {
        choose(m, NULL, 0);
        return;
    }
    size_t row = m->selected_row < m->n_shown ? m->selected_row : m->n_shown - 1;
    choose(m, m->shown[row]->name, row);
}

static void find_selected_instance(TopModel *m) {
    for (size_t i = 0; i < m->n_shown_instances; i++) {
        if (m->shown_instances[i]->pid == m->selected_pid) {
            m->selected_instance_row = i;
            return;
        }
    }
    if (m->selected_instance_row >= m->n_shown_instances)
        m->selected_instance_row = m->n_shown_instances > 0 ? m->n_shown_instances - 1 : 0;
    m->selected_pid = m->n_shown_instances > 0 ? m->shown_instances[m->selected_instance_row]->pid : -1;
}

static void arrange_instances(TopModel *m) {
    m->n_shown_instances = 0;
    for (size_t i = 0; m->selected && i < m->n_instances; i++) {
        const TopInstance *instance = &m->instances[i];
        if (streq(instance->service, m->selected) && (!m->by_peer || has_filter(m, instance->peer)))
            m->shown_instances[m->n_shown_instances++] = instance;
    }
    find_selected_instance(m);
}

static void arrange(TopModel *m) {
    SortBy by = {m->sort, m->reverse};
    m->by_peer = false;
    bool any = false;
    for (size_t i = 0; i < m->n_services && !any; i++)
        any = filter_takes(m, &m->services[i]);
    m->by_peer = !any && m->filter.len > 0;
    m->n_shown = 0;
    for (size_t i = 0; i < m->n_services; i++) {
        const TopService *s = &m->services[i];
        if (filter_takes(m, s) && (!m->only_failed || streq(s->state, "failed")))
            m->shown[m->n_shown++] = s;
    }
    if (m->n_shown > 0)
        qsort_r((void *)m->shown, m->n_shown, sizeof(const TopService *), compare_shown, &by);
    find_selected(m);
    arrange_instances(m);
}

int top_model_take_status(TopModel *m, json_t *status, uint64_t now_usec) {
    const json_t *list = json_object_get(status, "services");
    size_t n = json_array_size(list);
    TopService *services = (TopService *)calloc(n + 1, sizeof(*services));
    const TopService **shown = (const TopService **)calloc(n + 1, sizeof(const TopService *));
    if (!services || !shown) {
        free(services);
        free((void *)shown);
        json_decref(status);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        read_service(&services[i], json_array_get(list, i));
    if (n > 0)
        qsort(services, n, sizeof(*services), compare_names);
    m->rated = m->status != NULL;
    if (m->rated)
        rate_services(m, services, n, status, now_usec);
    m->total = (TopRates){0};
    for (size_t i = 0; i < n; i++)
        rates_add(&m->total, &services[i].rates);
    free(m->services);
    free((void *)m->shown);
    json_decref(m->status);
    m->services = services;
    m->n_services = n;
    m->shown = shown;
    m->status = status;
    m->status_usec = now_usec;
    arrange(m);
    return 0;
}

/* Instances. */

static int compare_pids(const void *a, const void *b) {
    int64_t x = ((const TopInstance *)a)->pid, y = ((const TopInstance *)b)->pid;
    return x < y ? -1 : x > y;
}

static void read_instance(const TopModel *m, TopInstance *i, const json_t *json, uint64_t now_usec) {
    *i = (TopInstance){
        .json = json,
        .service = field_text(json, "service"),
        .peer = field_text(json, "peer"),
        .pid = field_number(json, "pid"),
        .instance = field_count(json, "instance"),
        .cpu_usec = field_count(json, "cpu_usec"),
        .cpu_share = -1,
    };
    const TopInstance *before = NULL;
    if (m->n_instances > 0)
        before = (const TopInstance *)bsearch(i, m->instances, m->n_instances, sizeof(*i), compare_pids);
    /* The same pid may be another process by now. */
    if (before && before->instance == i->instance && before->cpu_usec <= i->cpu_usec &&
        now_usec > m->parts_usec)
        i->cpu_share = (double)(i->cpu_usec - before->cpu_usec) / (double)(now_usec - m->parts_usec);
}

int top_model_take_instances(TopModel *m, json_t *instances, uint64_t now_usec) {
    size_t n = json_array_size(instances);
    TopInstance *rows = (TopInstance *)calloc(n + 1, sizeof(*rows));
    const TopInstance **shown = (const TopInstance **)calloc(n + 1, sizeof(const TopInstance *));
    if (!rows || !shown) {
        free(rows);
        free((void *)shown);
        json_decref(instances);
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++)
        read_instance(m, &rows[i], json_array_get(instances, i), now_usec);
    if (n > 0)
        qsort(rows, n, sizeof(*rows), compare_pids);
    free(m->instances);
    free((void *)m->shown_instances);
    json_decref(m->parts);
    m->instances = rows;
    m->n_instances = n;
    m->shown_instances = shown;
    m->parts = instances;
    m->parts_usec = now_usec;
    arrange(m);
    return 0;
}

void top_model_sort(TopModel *m, TopColumn column, bool reverse) {
    m->sort = column;
    m->reverse = reverse;
    arrange(m);
}

void top_model_filter(TopModel *m, const char *filter) {
    text_reset(&m->filter);
    text_add(&m->filter, filter);
    arrange(m);
}

void top_model_only_failed(TopModel *m, bool only_failed) {
    m->only_failed = only_failed;
    arrange(m);
}

static size_t moved(size_t row, ssize_t by, size_t n) {
    if (by < 0)
        return row > (size_t)-by ? row - (size_t)-by : 0;
    return n > 0 && (size_t)by < n - row ? row + (size_t)by : n - (n > 0);
}

void top_model_move(TopModel *m, ssize_t by) {
    if (m->n_shown == 0)
        return;
    size_t row = moved(m->selected_row, by, m->n_shown);
    choose(m, m->shown[row]->name, row);
    arrange_instances(m);
}

void top_model_move_instance(TopModel *m, ssize_t by) {
    if (m->n_shown_instances == 0)
        return;
    m->selected_instance_row = moved(m->selected_instance_row, by, m->n_shown_instances);
    m->selected_pid = m->shown_instances[m->selected_instance_row]->pid;
}

const TopService *top_model_selected(const TopModel *m) {
    return m->selected_row < m->n_shown ? m->shown[m->selected_row] : NULL;
}

const TopInstance *top_model_selected_instance(const TopModel *m) {
    return m->selected_instance_row < m->n_shown_instances ? m->shown_instances[m->selected_instance_row]
                                                           : NULL;
}

bool top_model_wants_instances(const TopModel *m, const char **ret_service) {
    *ret_service = m->by_peer ? NULL : m->selected;
    return m->by_peer || m->selected;
}
