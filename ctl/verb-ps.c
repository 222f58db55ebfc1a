/* SPDX-License-Identifier: MIT */
/* mpctl ps: the processes of services. */
#include "ctl/columns.h"
#include "ctl/fields.h"
#include "ctl/names.h"
#include "ctl/verbs.h"
#include "daemon/base/clock.h"

/* Parts of a long list come one after the other; this is the longest silence between two. */
#define PART_TIMEOUT_USEC (30 * USEC_PER_SEC)

static void fill_pid(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    text_addf(&cell->full, "%lld", (long long)field_number(row, "pid"));
}

static void fill_service(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    field_show(&cell->full, row, "service");
}

static void fill_peer(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    field_show(&cell->full, row, "peer");
}

static void fill_state(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    field_show(&cell->full, row, "state");
}

static uint64_t age_usec(const Ctl *c, const json_t *row) {
    uint64_t since = field_count(row, "since_usec");
    return c->style.now_usec > since ? c->style.now_usec - since : 0;
}

static void fill_age(const Ctl *c, const json_t *row, TableCell *cell) {
    if (c->options.format == OUTPUT_PLAIN)
        text_addf(&cell->full, "%llu", (unsigned long long)(age_usec(c, row) / USEC_PER_SEC));
    else
        format_age(&cell->full, age_usec(c, row));
}

static void fill_cpu(const Ctl *c, const json_t *row, TableCell *cell) {
    uint64_t age = age_usec(c, row);
    double share = age > 0 ? 100.0 * (double)field_count(row, "cpu_usec") / (double)age : 0;
    text_addf(&cell->full, c->options.format == OUTPUT_PLAIN ? "%.1f" : "%.1f%%", share);
}

static void fill_time(const Ctl *c, const json_t *row, TableCell *cell) {
    uint64_t usec = field_count(row, "cpu_usec");
    if (c->options.format == OUTPUT_PLAIN)
        text_addf(&cell->full, "%.6f", (double)usec / (double)USEC_PER_SEC);
    else
        api_add_duration(&cell->full, usec);
}

static void fill_memory(const Ctl *c, const json_t *row, TableCell *cell) {
    if (c->options.format == OUTPUT_PLAIN)
        text_addf(&cell->full, "%llu", (unsigned long long)field_count(row, "memory"));
    else
        format_size(&cell->full, field_count(row, "memory"));
}

static void fill_status(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    field_show(&cell->full, row, "status");
}

static void fill_count(const json_t *row, const char *key, TableCell *cell) {
    if (field_given(row, key))
        text_addf(&cell->full, "%lld", (long long)field_number(row, key));
}

static void fill_instance(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    fill_count(row, "instance", cell);
}

static void fill_generation(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    fill_count(row, "generation", cell);
}

static void fill_requests(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    fill_count(row, "requests", cell);
}

static void fill_active(const Ctl *c, const json_t *row, TableCell *cell) {
    (void)c;
    fill_count(row, "active", cell);
}

static const Column columns[] = {
    {{"PID", 0, true, true, false}, "PID", "process", true, fill_pid},
    {{"SERVICE", 0, false, true, false}, "SERVICE", "name of its service", true, fill_service},
    {{"PEER", 1, false, true, false}, "PEER", "the other end of its connection", true, fill_peer},
    {{"STATE", 3, false, false, false}, "STATE", "starting, running or stopping", true, fill_state},
    {{"AGE", 2, true, false, false}, "AGE", "since its start", true, fill_age},
    {{"CPU", 4, true, false, false}, "CPU", "share of one processor since its start", true, fill_cpu},
    {{"MEM", 5, true, false, false}, "MEM", "resident memory", true, fill_memory},
    {{"STATUS", 6, false, false, true}, "STATUS", "what it says of itself", true, fill_status},
    {{"TIME", 9, true, false, false}, "TIME", "processor time used", false, fill_time},
    {{"INSTANCE", 9, true, false, false}, "INSTANCE", "its number, MP_INSTANCE", false, fill_instance},
    {{"GENERATION", 9, true, false, false},
     "GENERATION",
     "config that it was started with",
     false,
     fill_generation},
    {{"REQUESTS", 9, true, false, false}, "REQUESTS", "done, as it reports", false, fill_requests},
    {{"ACTIVE", 9, true, false, false}, "ACTIVE", "work in hand, as it reports", false, fill_active},
};

/* All parts of the answer, as one list; only those of @names. */
static int receive(Ctl *c, char *const *names, json_t *instances) {
    for (;;) {
        CLEANUP_REPLY Reply reply = {0};
        int status = ctl_receive(c, METHOD_INSTANCES, PART_TIMEOUT_USEC, &reply);
        if (status != 0)
            return status;
        const json_t *part = json_object_get(reply.parameters, "instances");
        for (size_t i = 0; i < json_array_size(part); i++) {
            json_t *instance = json_array_get(part, i);
            if (names_match(names, field_text(instance, "service")))
                (void)json_array_append(instances, instance);
        }
        if (!reply.continues)
            return CTL_DONE;
    }
}

static int show(Ctl *c, const json_t *instances) {
    CLEANUP_VIEW View view;
    int result = view_init(&view, c, columns, ELEMENTS(columns));
    if (result != 0)
        return result < 0 ? CTL_DONE : result;
    for (size_t i = 0; i < json_array_size(instances); i++)
        view_add(&view, c, json_array_get(instances, i), "", COLOR_NONE);
    if (c->options.format == OUTPUT_TEXT && view.table.n_rows == 0)
        text_add(&c->out, "no instances\n");
    else
        view_format(&view, c, &c->out);
    return CTL_DONE;
}

int verb_ps(Ctl *c, char *const *args) {
    const char *list = c->options.values[OPTION_COLUMNS];
    if (list && streq(list, "help"))
        return show(c, NULL);
    int result = CTL_DONE;
    if (*args) {
        /* Which services there are, so that a wrong name is told from a service without instances. */
        json_t *status = NULL;
        result = names_status(c, args, &status);
        if (!status)
            return result;
        json_decref(status);
    }
    json_t *document = json_pack("{s:[]}", "instances");
    json_t *instances = json_object_get(document, "instances");
    int status = ctl_send(c, METHOD_INSTANCES, NULL, true);
    if (status == 0)
        status = receive(c, args, instances);
    if (status == 0 && ctl_wants_json(c))
        ctl_add_json(c, document);
    else if (status == 0 && (result == 0 || json_array_size(instances) > 0))
        status = show(c, instances);
    json_decref(document);
    return result != 0 ? result : status;
}
