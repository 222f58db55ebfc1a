/* SPDX-License-Identifier: MIT */
/* Lines as messages to the control socket of a daemon that runs, those with a '!' in front from a manager,
 * the others from somebody who may only look; beside a model of what each may do:
 *   - every reply is well formed, has the fields of its method or error, and answers the call that it should;
 *   - who may only look changes nothing, sends no signal, starts nothing;
 *   - a call that only looks changes nothing either, whoever makes it;
 *   - Set changes the limits of one service, to what the key table makes of them, or nothing;
 *   - an order reaches no service that it does not name. */
#include "conf/set.h"
#include "ctl/proto/methods.h"
#include "daemon/control-private.h"
#include "tests/fuzz/dispatch-world.h"
#include "tests/fuzz/require.h"

#include <errno.h>
#include <sys/socket.h>

#define MESSAGES_MAX 24
#define PENDING_MAX (2 * MESSAGES_MAX)
#define SERVICES_MAX 8
/* Rounds in which nothing has come: then nothing more does. */
#define QUIET_ROUNDS 3

/* A call that is to be answered. */
typedef struct Pending {
    Method method;
} Pending;

typedef struct Side {
    Text got; /* of replies that are not whole yet */
    Pending pending[PENDING_MAX];
    size_t n_pending;
    bool closes; /* what was sent last was no message: the daemon is to hang up */
    bool away;   /* it has */
} Side;

typedef struct Facts {
    size_t n_services;
    struct {
        ServiceOrder order;
        uint64_t n_orders;
        LimitsConfig limits;
    } services[SERVICES_MAX];
    size_t n_bans, n_instances;
    uint64_t generation;
    bool stopping;
} Facts;

typedef struct Run {
    const uint8_t *next, *end;
    unsigned n_messages, quiet;
    Side sides[_WORLD_CLIENTS];
    bool begun, sent;
    /* Of the message that was sent last. */
    WorldClient who;
    bool understood, alone; /* and nobody else's call was open */
    ApiRequest request;
    Facts before;
    bool refused; /* the newest reply to it was an error */
} Run;

static Facts look(World *w) {
    const ServiceSet *set = manager_services(w->manager);
    Runtime *rt = manager_runtime(w->manager);
    Facts f = {.n_services = set->n, .generation = manager_generation(w->manager), .stopping = rt->stopping};
    require(set->n <= SERVICES_MAX);
    for (size_t i = 0; i < set->n; i++) {
        f.services[i].order = set->items[i]->order;
        f.services[i].n_orders = set->items[i]->n_orders;
        f.services[i].limits = *set->items[i]->limits;
    }
    f.n_bans = bans_count(rt->bans, 1);
    f.n_instances = rt->instances.n;
    return f;
}

static bool same_orders(const Facts *a, const Facts *b, size_t i) {
    return a->services[i].order == b->services[i].order && a->services[i].n_orders == b->services[i].n_orders;
}

static bool same_limits(const Facts *a, const Facts *b, size_t i) {
    return limits_config_equal(&a->services[i].limits, &b->services[i].limits);
}

static void check_unchanged(const World *w, const Facts *a, const Facts *b) {
    require(a->n_services == b->n_services && a->generation == b->generation && a->stopping == b->stopping);
    require(a->n_bans == b->n_bans && a->n_instances == b->n_instances && w->n_signals == 0);
    for (size_t i = 0; i < a->n_services; i++)
        require(same_orders(a, b, i) && same_limits(a, b, i));
}

static void check_set(World *w, const Run *run, const Facts *now) {
    size_t at = service_set_index(manager_services(w->manager), run->request.service);
    for (size_t i = 0; i < now->n_services; i++)
        require(same_orders(&run->before, now, i) &&
                ((i == at && !run->refused) || same_limits(&run->before, now, i)));
    if (run->refused || at == now->n_services)
        return;
    LimitsConfig wanted = run->before.services[at].limits;
    CLEANUP_DIAGS DiagList diags = {0};
    for (char *const *pair = run->request.limits; *pair; pair++) {
        CLEANUP_FREE char *key = strdup(*pair);
        char *value = key ? strchr(key, '=') : NULL;
        require(value != NULL);
        *value++ = '\0';
        require(limits_config_set(&wanted, key, value, &diags) == 0);
    }
    require(limits_config_equal(&wanted, &now->services[at].limits));
}

static void check_order(World *w, const Run *run, const Facts *now) {
    const ServiceSet *set = manager_services(w->manager);
    Selection selection = {0};
    bool meant = selection_init(&selection, run->request.services) == 0 &&
                 selection_step(&selection, set, now->generation, SIZE_MAX) == 1;
    for (size_t i = 0; i < now->n_services; i++) {
        bool means = meant && selection.selected[i];
        require(means || same_orders(&run->before, now, i));
        require(same_limits(&run->before, now, i));
        if (means && !run->refused && !run->request.oneway) {
            require(run->request.method != METHOD_STOP || !service_order_listens(now->services[i].order));
            require(run->request.method != METHOD_PAUSE || now->services[i].order == ORDER_PAUSE);
        }
    }
    selection_done(&selection);
}

/* What the last message has done, once all of it is done. */
static void check(World *w, const Run *run) {
    Facts now = look(w);
    if (!run->understood || method_access(run->request.method) == METHOD_READS ||
        run->who != CLIENT_MANAGES) {
        if (run->alone)
            check_unchanged(w, &run->before, &now);
        require(!run->understood || run->who == CLIENT_MANAGES || run->request.oneway || run->refused ||
                method_access(run->request.method) == METHOD_READS || !run->alone);
        return;
    }
    if (!run->alone)
        return;
    Method m = run->request.method;
    if (m == METHOD_SET)
        check_set(w, run, &now);
    if (m == METHOD_START || m == METHOD_STOP || m == METHOD_RESTART || m == METHOD_PAUSE ||
        m == METHOD_RESUME || m == METHOD_DRAIN)
        check_order(w, run, &now);
    require(m != METHOD_SIGNAL || run->refused || w->n_signals > 0);
    require(now.n_bans <= run->before.n_bans && (m == METHOD_UNBAN || now.n_bans == run->before.n_bans));
    require(now.stopping == (run->before.stopping || m == METHOD_SHUTDOWN));
}

/* Replies */

static void check_fields(const ApiField *fields, const json_t *parameters) {
    size_t n = 0;
    for (const ApiField *f = fields; f->name; f++, n++)
        require(api_value_is(f->type, json_object_get(parameters, f->name), true));
    require(json_object_size(parameters) <= n);
}

static void take_reply(Run *run, Side *side, const char *json, size_t n) {
    json_t *root = json_loadb(json, n, JSON_REJECT_DUPLICATES, NULL);
    const char *error = json_string_value(json_object_get(root, "error"));
    const json_t *parameters = json_object_get(root, "parameters");
    bool continues = json_is_true(json_object_get(root, "continues"));
    require(root && json_is_object(parameters) && side->n_pending > 0);
    require(json_object_size(root) == 1U + (error != NULL) + (json_object_get(root, "continues") != NULL));
    Pending *first = &side->pending[0];
    if (error) {
        const ApiErrorRow *row = NULL;
        for (size_t e = 0; (row = api_error(e)) && !streq(row->name, error);)
            e++;
        require(row != NULL && !continues);
        check_fields(row->fields, parameters);
    } else {
        require(first->method < _METHOD_MAX);
        check_fields(api_method(first->method)->out, parameters);
    }
    run->refused = error != NULL;
    if (!continues) {
        side->n_pending--;
        memmove(side->pending, side->pending + 1, side->n_pending * sizeof(side->pending[0]));
    }
    json_decref(root);
}

/* Whether something has come. */
static bool receive(Run *run, Side *side, int fd) {
    char bytes[16384];
    bool any = false;
    for (ssize_t n = 1; n > 0;) {
        n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (n == 0)
            side->away = true;
        if (n > 0)
            text_add_n(&side->got, bytes, (size_t)n);
        any |= n > 0;
    }
    size_t start = 0;
    for (const char *end;
         start < side->got.len && (end = memchr(side->got.s + start, '\0', side->got.len - start));) {
        take_reply(run, side, side->got.s + start, (size_t)(end - side->got.s) - start);
        start = (size_t)(end - side->got.s) + 1;
    }
    if (start > 0) {
        memmove(side->got.s, side->got.s + start, side->got.len - start);
        side->got.len -= start;
    }
    return any;
}

/* Messages */

static bool is_free(const Run *run) {
    for (size_t i = 0; i < _WORLD_CLIENTS; i++)
        if (run->sides[i].n_pending > 0)
            return false;
    return true;
}

/* What is to come of these bytes. */
static void expect(Run *run, const char *json, size_t n) {
    Side *side = &run->sides[run->who];
    CLEANUP_TEXT Text reply = {0};
    api_request_done(&run->request);
    run->request = (ApiRequest){0};
    run->alone = is_free(run);
    /* Nothing is read behind a call that is still open. */
    bool queued = side->n_pending > 0;
    int r = api_decode(json, n, &run->request, &reply);
    run->understood = r == 0;
    side->closes = r < 0 && !queued;
    if (queued)
        run->understood = false;
    if (r >= 0 && (r == 0 ? !run->request.oneway : reply.len > 0))
        side->pending[side->n_pending++].method = r == 0 ? run->request.method : _METHOD_MAX;
}

static void send_next(World *w, Run *run) {
    const uint8_t *newline = memchr(run->next, '\n', (size_t)(run->end - run->next));
    const uint8_t *from = run->next, *to = newline ? newline : run->end;
    run->next = newline ? newline + 1 : run->end;
    run->who = from < to && *from == '!' ? CLIENT_MANAGES : CLIENT_LOOKS;
    from += run->who == CLIENT_MANAGES;
    Side *side = &run->sides[run->who];
    run->n_messages++;
    run->before = look(w);
    run->refused = false;
    world_forget(w);
    /* One that has begun with rubbish is not followed any further. */
    if (from == to || memchr(from, '\0', (size_t)(to - from)) || side->away || side->closes ||
        side->n_pending >= MESSAGES_MAX)
        return;
    char *message = copy_of(from, (size_t)(to - from));
    expect(run, message, (size_t)(to - from));
    struct iovec parts[] = {{message, (size_t)(to - from)}, {(char *)"", 1}};
    const struct msghdr both = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t sent = sendmsg(w->fds[run->who], &both, MSG_NOSIGNAL | MSG_DONTWAIT);
    side->away |= sent != (ssize_t)(parts[0].iov_len + 1);
    run->sent = true;
    free(message);
}

/* One step: what was sent is answered, is looked at, and the next one follows. */
static bool on_idle(World *w, void *userdata) {
    Run *run = userdata;
    bool any = world_end_processes(w);
    if (!run->begun) {
        run->begun = true;
        world_connect(w, CLIENT_MANAGES);
        return true;
    }
    if (w->fds[CLIENT_LOOKS] < 0) {
        world_connect(w, CLIENT_LOOKS);
        return true;
    }
    for (size_t i = 0; i < _WORLD_CLIENTS; i++)
        any |= receive(run, &run->sides[i], w->fds[i]);
    run->quiet = any ? 0 : run->quiet + 1;
    if (run->quiet < QUIET_ROUNDS)
        return true;
    run->quiet = 0;
    if (run->sent)
        check(w, run);
    run->sent = false;
    if (run->next == run->end || run->n_messages == MESSAGES_MAX)
        return false;
    send_next(w, run);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Run run = {.next = data, .end = data + size};
    world_run(on_idle, &run);
    for (size_t i = 0; i < _WORLD_CLIENTS; i++)
        free(run.sides[i].got.s);
    api_request_done(&run.request);
    return 0;
}
