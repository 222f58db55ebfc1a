/* SPDX-License-Identifier: MIT */
#include "daemon/plan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "conf/config-build.h"
#include "daemon/base/text.h"

#define MOST 4

/* A service as a case writes it; endpoints that begin with '!' have other options: a longer backlog. */
typedef struct Given {
    const char *name;
    const char *listen[MOST];
    Model model;
    bool disabled, quiet, removed, closed, limits_set;
    bool is_passed; /* connections are passed to its workers */
    uint64_t connections, holders;
    uint16_t port; /* that the kernel chose for the first */
    const char *description, *to, *user;
    char **exec; /* of the backend */
    uint64_t idle_usec;
} Given;

/* What is made of them. */
typedef struct Side {
    ServiceConfig *services[MOST];
    PlanService running[MOST];
    PlanListener listeners[MOST][2 * MOST];
    EndpointAddr addrs[MOST];
    Config config;
} Side;

static ListenConfig *new_listen(const char *text) {
    ListenConfig *l = calloc(1, sizeof(*l));
    listen_config_init(l);
    bool other = text[0] == '!';
    assert_int_equal(endpoint_parse(text + other, &l->endpoint, NULL, NULL), 0);
    l->backlog = other ? 99 : l->backlog;
    return l;
}

static ServiceConfig *new_service(const Given *g) {
    ServiceConfig *s = calloc(1, sizeof(*s));
    s->name = strdup(g->name);
    s->description = strdup(g->description ? g->description : "");
    s->working_directory = strdup("/");
    ServiceTerms *terms = calloc(1, sizeof(*terms));
    terms->timeout_idle_usec = g->idle_usec;
    s->to = g->to ? strdup(g->to) : NULL;
    s->user = g->user ? strdup(g->user) : NULL;
    s->exec = g->exec;
    terms->pool.handoff = g->is_passed ? POOL_HANDOFF_CONNECTION : POOL_HANDOFF_LISTENER;
    s->terms = terms;
    s->enabled = !g->disabled;
    s->model = g->model;
    s->listen = calloc(MOST, sizeof(ListenConfig));
    for (; s->n_listen < MOST && g->listen[s->n_listen]; s->n_listen++) {
        ListenConfig *l = new_listen(g->listen[s->n_listen]), *to = &s->listen[s->n_listen];
        *to = *l;
        free(l);
    }
    return s;
}

static void add_listeners(Side *side, size_t i, const Given *g) {
    PlanService *p = &side->running[i];
    p->listeners = side->listeners[i];
    for (size_t k = 0; k < p->config->n_listen; k++)
        for (size_t a = 0; a < p->config->listen[k].endpoint.n_addrs; a++) {
            const ListenConfig *l = &p->config->listen[k];
            PlanListener *to = &side->listeners[i][p->n_listeners++];
            *to = (PlanListener){.config = l, .index = a, .has_socket = !g->closed && !g->disabled};
            Addr addr = endpoint_addr(&l->endpoint, a);
            if (g->port)
                addr_set_port(&addr, g->port);
            side->addrs[i] = endpoint_addr_narrow(&addr);
            to->addr = to->has_socket && (g->port || k == 0) && a == 0 && k == 0 ? &side->addrs[i] : NULL;
        }
}

static void make_side(const Given *given, Side *side) {
    *side = (Side){0};
    for (size_t i = 0; i < MOST && given[i].name; i++) {
        const Given *g = &given[i];
        side->services[i] = new_service(g);
        side->running[i] = (PlanService){.name = side->services[i]->name,
                                         .config = side->services[i],
                                         .removed = g->removed,
                                         .quiet = g->quiet,
                                         .limits_set = g->limits_set,
                                         .connections = g->connections,
                                         .holders = g->holders};
        add_listeners(side, i, g);
        side->config.n_services++;
    }
    side->config.services = side->services;
}

static void free_side(Side *side) {
    for (size_t i = 0; i < side->config.n_services; i++) {
        ServiceConfig *s = side->services[i];
        free(s->listen);
        free(s->name);
        free(s->description);
        free(s->working_directory);
        free(s->to);
        free(s->user);
        free((void *)(uintptr_t)s->terms);
        free(s);
    }
}

/* The whole plan as text: "a listener tcp:80 open; …". */
static char *plan_text(const Side *from, const Config *to) {
    Plan plan = {0};
    PlanItems items = {0};
    Text t = {0};
    assert_int_equal(plan_make(from->running, from->config.n_services, to, &plan), 0);
    assert_int_equal(plan_items_make(&plan, from->running, to, &items), 0);
    for (size_t i = 0; i < items.n; i++) {
        const ApiPlanItem *item = &items.items[i];
        text_addf(&t, "%s%s %s %s", i > 0 ? "; " : "", item->service,
                  item->endpoint ? item->endpoint : item->object, item->action);
        if (streq(item->action, "change") || streq(item->action, "move"))
            text_addf(&t, "%s%s", item->detail ? " " : "", item->detail ? item->detail : "");
    }
    plan_items_done(&items);
    plan_done(&plan);
    return text_take(&t);
}

static char *one[] = {(char[]){"one"}, NULL}, *two[] = {(char[]){"two"}, NULL};

static const struct {
    const char *name;
    Given from[MOST], to[MOST];
    const char *plan;
} cases[] = {
    {"nothing", {{"a", {"tcp:80"}}}, {{"a", {"tcp:80"}}}, ""},
    {"nothing but words",
     {{"a", {"tcp:80"}, .connections = 2}},
     {{"a", {"tcp:80"}, .description = "x"}},
     "a service change; a processes keep"},
    {"limits that Set has changed",
     {{"a", {"tcp:80"}, .limits_set = true}},
     {{"a", {"tcp:80"}}},
     "a service change"},
    {"added", {{NULL}}, {{"a", {"tcp:80", "unix:/x"}}}, "a service add; a tcp:80 open; a unix:/x open"},
    {"added, disabled", {{NULL}}, {{"a", {"tcp:80"}, .disabled = true}}, "a service add"},
    {"removed",
     {{"a", {"tcp:80"}, .connections = 1}},
     {{NULL}},
     "a service remove; a tcp:80 close; a processes keep"},
    {"removed before", {{"a", {NULL}, .removed = true, .connections = 1}}, {{NULL}}, ""},
    {"removed before, and back",
     {{"a", {NULL}, .removed = true}},
     {{"a", {"tcp:80"}}},
     "a service change; a tcp:80 open"},
    {"disabled",
     {{"a", {"tcp:80"}, MODEL_ON_DEMAND, .holders = 1}},
     {{"a", {"tcp:80"}, MODEL_ON_DEMAND, .disabled = true}},
     "a service change; a tcp:80 close; a processes end"},
    {"enabled",
     {{"a", {"tcp:80"}, .disabled = true}},
     {{"a", {"tcp:80"}}},
     "a service change; a tcp:80 open"},
    {"an option", {{"a", {"tcp:80"}}}, {{"a", {"!tcp:80"}}}, "a service change; a tcp:80 change backlog"},
    {"another order of the same",
     {{"a", {"tcp:80", "tcp:81"}}},
     {{"a", {"tcp:81", "tcp:80"}}},
     "a service change"},
    {"another order, and a process that has them",
     {{"a", {"tcp:80", "tcp:81"}, MODEL_ON_DEMAND, .holders = 1}},
     {{"a", {"tcp:81", "tcp:80"}, MODEL_ON_DEMAND}},
     "a service change; a processes end"},
    {"* and one address",
     {{"a", {"tcp:0.0.0.0:80"}}},
     {{"a", {"tcp:127.0.0.1:80"}}},
     "a service change; a tcp:127.0.0.1:80 open; a tcp:0.0.0.0:80 close"},
    {"both families, and the one of them that is kept",
     {{"a", {"tcp:80"}}},
     {{"a", {"tcp:0.0.0.0:80"}}},
     "a service change; a tcp:80 close"},
    {"one socket, and two",
     {{"a", {"tcp:[::]:80"}}},
     {{"a", {"tcp:80"}}},
     "a service change; a tcp:80 open; a tcp:[::]:80 close"},
    {"to another service",
     {{"a", {"tcp:80", "tcp:81"}}, {"b", {"tcp:82"}}},
     {{"a", {"tcp:81"}}, {"b", {"tcp:82", "!tcp:80"}}},
     "a service change; b service change; b tcp:80 move from a, backlog"},
    {"changed for one another",
     {{"a", {"tcp:80"}}, {"b", {"unix:/x"}}},
     {{"a", {"unix:/x"}}, {"b", {"tcp:80"}}},
     "a service change; a unix:/x move from b; b service change; b tcp:80 move from a"},
    {"not to one that is stopped",
     {{"a", {"tcp:80"}}, {"b", {"tcp:82"}, .quiet = true, .closed = true}},
     {{"a", {"tcp:81"}}, {"b", {"tcp:80"}}},
     "a service change; a tcp:81 open; a tcp:80 close; b service change"},
    {"one that could not be opened is tried on",
     {{"a", {"tcp:80"}, .closed = true}},
     {{"a", {"tcp:80"}, .description = "x"}},
     "a service change"},
    {"a port that the kernel chose is named",
     {{"a", {"tcp:127.0.0.1:0"}, .port = 4711}},
     {{"a", {"tcp:127.0.0.1:4711"}}},
     "a service change"},
    {"a port that the kernel chose is nobody else's",
     {{"a", {"tcp:127.0.0.1:0"}, .port = 4711}},
     {{"b", {"tcp:127.0.0.1:0"}}},
     "a service remove; a tcp:127.0.0.1:0 close; b service add; b tcp:127.0.0.1:0 open"},
    {"it is still that port",
     {{"a", {"tcp:127.0.0.1:0"}, .port = 4711}},
     {{"b", {"tcp:127.0.0.1:4711"}}},
     "a service remove; b service add; b tcp:127.0.0.1:4711 move from a"},
    {"another model, the same path",
     {{"a", {"unix:/x"}, MODEL_ON_DEMAND, .holders = 1}},
     {{"a", {"unix:/x"}}},
     "a service change; a processes end"},
    {"workers",
     {{"a", {"tcp:80"}, MODEL_POOL, .holders = 3}},
     {{"a", {"tcp:81"}, MODEL_POOL}},
     "a service change; a tcp:81 open; a tcp:80 close; a workers roll"},
    {"workers that are to be passed connections",
     {{"a", {"tcp:80"}, MODEL_POOL, .holders = 3}},
     {{"a", {"tcp:80"}, MODEL_POOL, .is_passed = true}},
     "a service change; a workers end"},
    {"datagrams that are passed on, and nothing but words",
     {{"a", {"udp:80"}, MODEL_FORWARD, .to = "udp:1", .holders = 1}},
     {{"a", {"!udp:80"}, MODEL_FORWARD, .to = "udp:1", .description = "x"}},
     "a service change; a udp:80 change backlog; a processes keep"},
    {"datagrams that are passed on from elsewhere",
     {{"a", {"udp:80"}, MODEL_FORWARD, .to = "udp:1", .holders = 1}},
     {{"a", {"udp:81"}, MODEL_FORWARD, .to = "udp:1"}},
     "a service change; a udp:81 open; a udp:80 close; a processes end"},
    {"datagrams that are passed on from one more",
     {{"a", {"udp:80"}, MODEL_FORWARD, .to = "udp:1", .holders = 1}},
     {{"a", {"udp:80", "udp:81"}, MODEL_FORWARD, .to = "udp:1"}},
     "a service change; a udp:81 open; a processes end"},
    {"datagrams that are passed on to elsewhere",
     {{"a", {"udp:80"}, MODEL_FORWARD, .to = "udp:1", .holders = 1}},
     {{"a", {"udp:80"}, MODEL_FORWARD, .to = "udp:2"}},
     "a service change; a processes end"},
    {"datagrams that are passed on by another user",
     {{"a", {"udp:80"}, MODEL_FORWARD, .to = "udp:1", .user = "x", .holders = 1}},
     {{"a", {"udp:80"}, MODEL_FORWARD, .to = "udp:1", .user = "y"}},
     "a service change; a processes end"},
    {"senders of datagrams that are forgotten later",
     {{"a", {"udp:80"}, MODEL_FORWARD, .to = "udp:1", .idle_usec = 1, .holders = 1}},
     {{"a", {"udp:80"}, MODEL_FORWARD, .to = "udp:1", .idle_usec = 2}},
     "a service change; a processes end"},
    {"datagrams that are passed on to another backend",
     {{"a", {"udp:80"}, MODEL_FORWARD, .to = "udp:1", .exec = one, .holders = 1}},
     {{"a", {"udp:80"}, MODEL_FORWARD, .to = "udp:1", .exec = two}},
     "a service change; a processes end"},
    {"connections that are passed on",
     {{"a", {"tcp:80"}, MODEL_FORWARD, .to = "tcp:1", .user = "x", .idle_usec = 1, .connections = 1}},
     {{"a", {"tcp:81"}, MODEL_FORWARD, .to = "tcp:2", .user = "y", .idle_usec = 2}},
     "a service change; a tcp:81 open; a tcp:80 close; a processes keep"},
};

static void test_plans(void **state) {
    (void)state;
    for (size_t i = 0; i < ELEMENTS(cases); i++) {
        Side from, to;
        make_side(cases[i].from, &from);
        make_side(cases[i].to, &to);
        char *text = plan_text(&from, &to.config);
        if (!streq(text, cases[i].plan))
            fail_msg("%s: %s", cases[i].name, text);
        free(text);
        free_side(&from);
        free_side(&to);
    }
}

/* The very same config is not even looked at. */
static void test_shared(void **state) {
    static const Given given[MOST] = {{"a", {"tcp:80"}}, {"b", {"tcp:81"}}};
    Side side;
    Plan plan = {0};
    (void)state;
    make_side(given, &side);
    assert_int_equal(plan_make(side.running, 2, &side.config, &plan), 0);
    assert_int_equal(plan.n_entries, 2);
    assert_int_equal(plan.n_sockets, 0);
    for (size_t i = 0; i < plan.n_entries; i++)
        assert_int_equal(plan.entries[i].fate, FATE_SAME);
    plan_done(&plan);
    free_side(&side);
}

/* Whether an open socket will do for another config: the first of an endpoint that has two. */
static void test_serves(void **state) {
    static const struct {
        const char *a, *b;
        bool serves;
    } ends[] = {
        {"tcp:7", "tcp:7", true},
        {"tcp:7", "!tcp:7", true},
        {"tcp:7", "tcp:8", false},
        {"tcp:7", "udp:7", false},
        {"tcp:7", "tcp:0.0.0.0:7", true},
        {"tcp:7", "tcp:[::]:7", false},
        {"tcp:127.0.0.1:7", "tcp:127.0.0.1:7", true},
        {"tcp:127.0.0.1:7", "tcp:127.0.0.2:7", false},
        {"tcp:127.0.0.1:7", "tcp:[::1]:7", false},
        {"tcp:[::1]:7", "tcp:[0:0::1]:7", true},
        {"tcp:[fe80::1%lo]:7", "tcp:[fe80::1%lo]:7", true},
        {"tcp:[fe80::1%lo]:7", "tcp:[fe80::1%none0]:7", false},
        {"unix:/run/x", "unix:/run/x", true},
        {"unix:/run/x", "unix:/run/y", false},
        {"unix:/run/x", "unix-seqpacket:/run/x", false},
        {"unix:@x", "unix:/x", false},
    };
    (void)state;
    for (size_t i = 0; i < ELEMENTS(ends); i++) {
        ListenConfig *a = new_listen(ends[i].a), *b = new_listen(ends[i].b);
        if (plan_serves(a, 0, NULL, b, 0) != ends[i].serves ||
            plan_serves(b, 0, NULL, a, 0) != ends[i].serves)
            fail_msg("%s and %s", ends[i].a, ends[i].b);
        /* What only bind(2) can set. */
        b->device = (char[]){"lo"};
        assert_false(plan_serves(a, 0, NULL, b, 0));
        a->device = (char[]){"lo"};
        assert_int_equal(plan_serves(a, 0, NULL, b, 0), ends[i].serves);
        a->only_v6 = true;
        assert_int_equal(plan_serves(a, 0, NULL, b, 0), ends[i].serves && !strchr(ends[i].a, '['));
        free(a);
        free(b);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plans), cmocka_unit_test(test_shared),
                                       cmocka_unit_test(test_serves)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
