/* SPDX-License-Identifier: MIT */
#include "daemon/resolver.h"

#include <stdlib.h>
#include <string.h>

#include "conf/config-blob.h"
#include "daemon/service-private.h"

/* Services in one look-up. */
#define AT_ONCE 256

/* Services that are looked at one look-up after the other. */
typedef struct Lane {
    ConfigLoads *loads;
    List waiting, served; /* by their look_link: of the next look-up, and of the one under way */
    size_t at_once;
    bool running;
    bool under_way;     /* then: the helper has what it is to look for, and nothing of it has been taken */
    struct Lane *alone; /* where those go of whom one has spoilt a look-up; NULL: this is that one */
} Lane;

struct Resolver {
    Lane together, alone;
};

static void lane_init(Lane *lane, ConfigLoads *loads, size_t at_once, Lane *alone) {
    *lane = (Lane){.loads = loads, .at_once = at_once, .alone = alone};
    list_init(&lane->waiting);
    list_init(&lane->served);
}

Resolver *resolver_new(ConfigLoads *together, ConfigLoads *alone) {
    Resolver *r = malloc(sizeof(*r));
    if (!r)
        return NULL;
    lane_init(&r->together, together, AT_ONCE, &r->alone);
    lane_init(&r->alone, alone, 1, NULL);
    return r;
}

Resolver *resolver_free(Resolver *r) {
    free(r);
    return NULL;
}

static Service *first_of(const List *list) {
    return LIST_ENTRY(list->next, Service, look_link);
}

static void move_all(List *from, List *to) {
    while (!list_is_empty(from)) {
        Service *s = first_of(from);
        list_remove(&s->look_link);
        list_append(to, &s->look_link);
    }
}

static int compare_names(const void *a, const void *b) {
    return strcmp((*(ServiceConfig *const *)a)->name, (*(ServiceConfig *const *)b)->name);
}

/* Those of the next look-up, which are served from here on. */
static size_t take_some(Lane *lane, ServiceConfig *configs[static AT_ONCE]) {
    const Config *generation = first_of(&lane->waiting)->generation_config;
    size_t n = 0;
    LIST_FOREACH_SAFE (s, &lane->waiting, Service, look_link) {
        if (n == lane->at_once)
            break;
        if (s->generation_config != generation)
            continue;
        list_remove(&s->look_link);
        list_append(&lane->served, &s->look_link);
        configs[n++] = s->config;
    }
    return n;
}

static int put(BlobWriter *w, void *userdata) {
    Lane *lane = userdata;
    ServiceConfig *configs[AT_ONCE];
    if (list_is_empty(&lane->waiting))
        return -ECANCELED;
    size_t n = take_some(lane, configs);
    qsort((void *)configs, n, sizeof(ServiceConfig *), compare_names);
    config_put_some(w, first_of(&lane->served)->generation_config, configs, n);
    lane->under_way = true;
    return 0;
}

/* One at a time: each may open listeners. */
static bool give_next(const Config *next, void *userdata) {
    Lane *lane = userdata;
    lane->under_way = false;
    if (list_is_empty(&lane->served))
        return false;
    Service *s = first_of(&lane->served);
    ServiceConfig *found = config_find(next, s->name);
    list_remove(&s->look_link);
    s->look_alone = false;
    if (found)
        service_take_found(s, found);
    else
        service_fail_look(s, EBADMSG, strerror(EBADMSG));
    return !list_is_empty(&lane->served);
}

static void fail_all(List *list, int error, const char *why) {
    while (!list_is_empty(list)) {
        Service *s = first_of(list);
        list_remove(&s->look_link);
        service_fail_look(s, error, why);
    }
}

static int begin(Lane *lane);

static void begin_next(Lane *lane) {
    if (lane->running || list_is_empty(&lane->waiting))
        return;
    int e = begin(lane);
    if (e < 0)
        fail_all(&lane->waiting, -e, strerror(-e));
}

/* From here on each is by itself. When there are several nobody knows whose fault it was, so that each has
 * another try at once. */
static void take_apart(Lane *lane) {
    bool several = lane->served.next != lane->served.prev;
    LIST_FOREACH (s, &lane->served, Service, look_link)
        s->look_alone = true;
    if (several)
        move_all(&lane->served, &lane->alone->waiting);
    begin_next(lane->alone);
}

/* The helper was there, and has been killed, had not enough of something, did not come back, or has written
 * what nobody understands. */
static bool is_by_one_of_them(int error) {
    return error == -EIO || error == -ENOMEM || error == -ETIMEDOUT || error == -EBADMSG;
}

static void on_done(const LoadResult *result, void *userdata) {
    Lane *lane = userdata;
    lane->running = lane->under_way = false;
    if (lane->alone && is_by_one_of_them(result->error))
        take_apart(lane);
    fail_all(&lane->served, -result->error, result->why ? result->why : strerror(-result->error));
    begin_next(lane);
}

static int begin(Lane *lane) {
    int e = config_loads_look_again(lane->loads, put, give_next, on_done, lane);
    lane->running = e >= 0;
    return e;
}

static void call_off(Lane *lane) {
    config_loads_forget(lane->loads, lane);
    config_loads_cancel(lane->loads);
    lane->running = lane->under_way = false;
}

int resolver_ask(Resolver *r, Service *s) {
    Lane *lane = s->look_alone ? &r->alone : &r->together;
    if (service_is_looked_for(s))
        return 0;
    /* Nobody waits any more for what it may never find. */
    if (lane->under_way && list_is_empty(&lane->served))
        call_off(lane);
    list_append(&lane->waiting, &s->look_link);
    int e = lane->running ? 0 : begin(lane);
    if (e < 0)
        list_remove(&s->look_link);
    return e;
}

static void suspend(Lane *lane) {
    if (!lane->running)
        return;
    call_off(lane);
    move_all(&lane->served, &lane->waiting);
}

void resolver_suspend(Resolver *r) {
    suspend(&r->together);
    suspend(&r->alone);
}

void resolver_resume(Resolver *r) {
    begin_next(&r->together);
    begin_next(&r->alone);
}
