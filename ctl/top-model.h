/* SPDX-License-Identifier: MIT */
#pragma once
/* What top shows: the newest replies of the daemon, what happened a second since those before, which services
 * are shown in which order, and which is selected. Pure: replies and times in, rows out. */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ctl/proto/api.h"
#include "daemon/base/text.h"

/* Columns, by which services can be sorted. The names are the titles. */
typedef enum TopColumn {
    TOP_SERVICE,
    TOP_STATE,
    TOP_NOW,
    TOP_MAX,
    TOP_ACCEPT_RATE,
    TOP_REFUSE_RATE,
    TOP_SPAWN_RATE,
    TOP_EXIT_RATE,
    TOP_REFUSED,
    TOP_ACCEPTED,
    TOP_QUEUED,
    TOP_SINCE,
    _TOP_COLUMN_MAX,
} TopColumn;
DECLARE_STRTAB(top_column, TopColumn);

/* Counters since the daemon's start. */
typedef struct TopCounts {
    uint64_t accepted, refused[_REFUSE_REASON_MAX], spawned, exited;
} TopCounts;

/* The same a second. */
typedef struct TopRates {
    double accepted, refused, refused_by[_REFUSE_REASON_MAX], spawned, exited;
} TopRates;

typedef struct TopService {
    const json_t *json; /* as the daemon gave it, as are name and state */
    const char *name, *state;
    uint64_t active, limit, queued, since_usec, accepted, refused;
    TopCounts counts;
    TopRates rates;
} TopService;

typedef struct TopInstance {
    const json_t *json;
    const char *service, *peer; /* "" where there is none */
    int64_t pid;
    uint64_t instance, cpu_usec;
    double cpu_share; /* of one processor since the last look; negative: not known */
} TopInstance;

typedef struct TopModel {
    json_t *status; /* NULL before the first */
    uint64_t status_usec;
    TopService *services; /* by name */
    size_t n_services;
    TopRates total;
    bool rated; /* there was a look before, so rates mean something */

    json_t *parts; /* the array of instances */
    uint64_t parts_usec;
    TopInstance *instances; /* by pid */
    size_t n_instances;

    TopColumn sort;
    bool reverse; /* against the column's own direction */
    bool only_failed;
    Text filter;
    bool by_peer; /* no service's name or state has the filter in it: peers are asked */

    const TopService **shown; /* in the order of the screen */
    size_t n_shown;
    char *selected; /* its name; NULL: none */
    size_t selected_row;
    const TopInstance **shown_instances; /* of the selected service */
    size_t n_shown_instances;
    int64_t selected_pid;
    size_t selected_instance_row;
} TopModel;

void top_model_init(TopModel *m, TopColumn sort);
void top_model_done(TopModel *m);
#define CLEANUP_TOP_MODEL CLEANUP(top_model_done)

/* A reply to Status, taken over, got at @now_usec (monotonic). 0 or -ENOMEM, with the model as it was. */
int top_model_take_status(TopModel *m, json_t *status, uint64_t now_usec);
/* An array of instances of the selected service, or of all; the rest as above. */
int top_model_take_instances(TopModel *m, json_t *instances, uint64_t now_usec);

void top_model_sort(TopModel *m, TopColumn column, bool reverse);
/* Whether the column's greater values come first. */
bool top_model_descends(const TopModel *m);
/* Services with @filter in their name or state, in whatever case; if there are none, those with a peer that
 * has it. "": all. */
void top_model_filter(TopModel *m, const char *filter);
void top_model_only_failed(TopModel *m, bool only_failed);

/* Moves the selection by so many rows, as far as there are some. */
void top_model_move(TopModel *m, ssize_t by);
void top_model_move_instance(TopModel *m, ssize_t by);
/* NULL where there is none. */
const TopService *top_model_selected(const TopModel *m);
const TopInstance *top_model_selected_instance(const TopModel *m);
/* Whose instances are worth asking for: false: nobody's; true with NULL: of all services. */
bool top_model_wants_instances(const TopModel *m, const char **ret_service);
