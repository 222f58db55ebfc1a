/* SPDX-License-Identifier: MIT */
#include "daemon/control.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/base/clock.h"
#include "daemon/control-calls.h"
#include "daemon/control-socket.h"
#include "daemon/interpreter.h"

/* Connections at once: of one user, of all who may only look, and of all; the difference is kept free for
 * those who may change things. */
#define CLIENTS_PER_UID 64
#define CLIENTS_LOOKING 192
#define CLIENTS_MAX 256

/* Connections taken in a tenth of a second. */
#define CONNECT_INTERVAL_USEC 100000

/* Between two looks at how far an order is. */
#define PROGRESS_INTERVAL_USEC 100000

struct Control {
    Calls calls;
    sd_event *loop;
    EventLog *log;
    ControlSocket socket;
    sd_event_source *source;
    sd_event_source *state_changed; /* looks at who waits, in a turn of its own */
    sd_event_source *progress;      /* and again, for those who were told not long ago */
    /* Makes the next part of a long reply, or answers the next of several messages, of one client a turn,
     * however many there are. A timer that is always over: unlike a deferred source it takes its turn among
     * all others. */
    sd_event_source *parts;
    List clients;
    ClientHandler handler;
    /* Of those who may only look, and of those who may change things but are not root, nor the daemon's user.
     * Made with the first message of one of them. */
    Interpreter *interpreters[2];
    bool interprets_all; /* root's messages, too, and those of the daemon's user */
    bool asleep;         /* restored, and not ours yet: the node stays when it is freed */
};

Control *control_free(Control *c) {
    if (!c)
        return NULL;
    for (size_t i = 0; i < ELEMENTS(c->interpreters); i++)
        c->interpreters[i] = interpreter_free(c->interpreters[i]);
    LIST_FOREACH_SAFE (client, &c->clients, Client, link)
        client_free(client);
    sd_event_source_disable_unref(c->source);
    sd_event_source_disable_unref(c->state_changed);
    sd_event_source_disable_unref(c->progress);
    sd_event_source_disable_unref(c->parts);
    if (c->asleep)
        c->socket.ino = 0;
    control_socket_done(&c->socket);
    free(c);
    return NULL;
}

const char *control_path(const Control *c) {
    return c->socket.path;
}

static void wake_parts(Control *c) {
    (void)sd_event_source_set_enabled(c->parts, SD_EVENT_ONESHOT);
}

static void on_turn(Client *client, void *userdata) {
    (void)client;
    wake_parts(userdata);
}

static bool is_due(const Client *client) {
    if (client->failed)
        return false;
    return client->stream ? client_unsent(client) < CLIENT_STREAM_PAUSE : client_wants_turn(client);
}

/* One of those who are due goes first, then to the end of the queue. */
static int on_parts(sd_event_source *s, uint64_t usec, void *userdata) {
    Control *c = userdata;
    (void)s;
    (void)usec;
    LIST_FOREACH (client, &c->clients, Client, link) {
        if (!is_due(client))
            continue;
        list_remove(&client->link);
        list_append(&c->clients, &client->link);
        wake_parts(c);
        if (!client->stream) {
            client_take_turn(client);
            return 0;
        }
        calls_stream_part(&c->calls, client);
        client_go_on(client);
        return 0;
    }
    return 0;
}

static Interpreter *interpreter(Control *c, bool manages) {
    Manager *m = c->calls.manager;
    Interpreter **i = &c->interpreters[manages];
    if (!*i)
        *i = interpreter_new(c->loop, manager_helpers(m), c->log, manager_runtime(m)->environ,
                             manages ? "managers who are not root" : "who may only look",
                             &c->calls.interpreter_restarts);
    return *i;
}

/* Whether what it sends is read by the daemon itself: those who could do all that it can anyway. */
static bool is_read_here(const Control *c, const Client *client) {
    return !c->interprets_all && (client->uid == 0 || client->uid == geteuid());
}

static void on_read(RequestReply *reply, void *asker) {
    Client *client = asker;
    Control *c = client->handler->userdata;
    client_begin_turn(client);
    if (!reply || reply->result < 0)
        client->failed = true;
    else if (reply->result == 1)
        api_encode_refusal(client_out(client), &reply->refusal);
    else
        calls_make(&c->calls, client, &reply->request);
    if (client->stream)
        wake_parts(c);
    client_end_turn(client);
}

/* A process that has been taken over by somebody must not be able to speak for who may do more than he: so
 * managers have one of their own. */
static int read_elsewhere(Control *c, Client *client, const char *json, size_t n) {
    Interpreter *i = interpreter(c, client_may_change(client, manager_config(c->calls.manager)));
    if (!i || client_keep_reading(client, json, n) < 0)
        return -ENOMEM;
    return interpreter_ask(i, client->reading.s, n, on_read, client);
}

static int on_message(Client *client, const char *json, size_t n, void *userdata) {
    Control *c = userdata;
    /* Of no bytes there is nothing to read. */
    if (n > 0 && !is_read_here(c, client))
        return read_elsewhere(c, client, json, n);
    int r = calls_handle(&c->calls, client, json, n);
    if (client->stream)
        wake_parts(c);
    return r;
}

static void on_room(Client *client, void *userdata) {
    Control *c = userdata;
    if (client->stream)
        wake_parts(c);
    else
        calls_tell_missed(client);
}

static void on_gone(Client *client, void *userdata) {
    Control *c = userdata;
    for (size_t i = 0; i < ELEMENTS(c->interpreters); i++)
        if (c->interpreters[i])
            interpreter_forget(c->interpreters[i], client);
    c->calls.n_clients--;
    client_free(client);
}

/* Whether there is a place for one more of this user. */
static bool has_place(const Control *c, const Client *new_client) {
    size_t of_uid = 0;
    bool manages = client_may_change(new_client, manager_config(c->calls.manager));
    LIST_FOREACH (other, &c->clients, Client, link)
        of_uid += other->uid == new_client->uid;
    return of_uid < CLIENTS_PER_UID && c->calls.n_clients < (manages ? CLIENTS_MAX : CLIENTS_LOOKING);
}

static int on_connect(sd_event_source *s, int fd, uint32_t revents, void *userdata) {
    Control *c = userdata;
    (void)s;
    (void)revents;
    int client_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    /* Without a descriptor to spare it stays readable: then looking now and then is enough. */
    if (client_fd < 0) {
        (void)sd_event_source_set_ratelimit(s, CONNECT_INTERVAL_USEC, 1);
        return 0;
    }
    (void)sd_event_source_set_ratelimit(s, 0, 0);
    Client *client = NULL;
    memory_reserve_look(&manager_runtime(c->calls.manager)->memory);
    if (client_new(c->loop, client_fd, &c->handler, &client) < 0)
        return 0;
    if (!has_place(c, client)) {
        eventlog_say(c->log, LOG_LEVEL_DEBUG, "control",
                     "too many control clients of uid %u: one turned away", client->uid);
        client_free(client);
        return 0;
    }
    list_append(&c->clients, &client->link);
    c->calls.n_clients++;
    return 0;
}

static int on_progress(sd_event_source *s, uint64_t usec, void *userdata) {
    Control *c = userdata;
    (void)s;
    (void)usec;
    c->progress = sd_event_source_disable_unref(c->progress);
    control_on_state(c);
    return 0;
}

static int on_state_changed(sd_event_source *s, void *userdata) {
    Control *c = userdata;
    bool later = false;
    (void)s;
    LIST_FOREACH_SAFE (client, &c->clients, Client, link)
        if (client->wait == WAIT_ORDER)
            later |= calls_check_wait(&c->calls, client);
    if (later && !c->progress)
        (void)sd_event_add_time_relative(c->loop, &c->progress, CLOCK_MONOTONIC, PROGRESS_INTERVAL_USEC,
                                         USEC_PER_MSEC, on_progress, c);
    return 0;
}

static Control *alloc(Manager *m, sd_event *loop, EventLog *log) {
    Control *c = calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    const char *wanted = getenv("MPINETD_INTERPRETER");
    *c = (Control){.calls = {.manager = m, .log = log}, .loop = loop, .log = log};
    c->interprets_all = streq_null(wanted, "always");
    c->socket = (ControlSocket){.fd = -EBADF, .lock_fd = -EBADF};
    c->handler = (ClientHandler){.message = on_message,
                                 .turn = on_turn,
                                 .room = on_room,
                                 .gone = on_gone,
                                 .discard = manager_runtime(m)->discard,
                                 .userdata = c};
    list_init(&c->clients);
    return c;
}

int control_new(Manager *m, sd_event *loop, EventLog *log, const char *path, Control **ret,
                const char **ret_step) {
    Control *c = alloc(m, loop, log);
    if (!c)
        return -ENOMEM;
    int r = control_socket_take(&c->socket, path, ret_step);
    if (r < 0) {
        control_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

/* What it looks at, once there is a socket. */
static int add_sources(Control *c) {
    int r = sd_event_add_defer(c->loop, &c->state_changed, on_state_changed, c);
    if (r >= 0)
        r = sd_event_source_set_enabled(c->state_changed, SD_EVENT_OFF);
    if (r >= 0)
        r = sd_event_add_time(c->loop, &c->parts, CLOCK_MONOTONIC, 0, 1, on_parts, c);
    if (r >= 0)
        r = sd_event_source_set_enabled(c->parts, SD_EVENT_OFF);
    return r < 0 ? r : sd_event_add_io(c->loop, &c->source, c->socket.fd, EPOLLIN, on_connect, c);
}

/* Where others may connect, the first of them finds it ready; and that there is none would be told now. */
static void prepare_for_others(Control *c, const Config *config) {
    if (!control_socket_admits_others(config->control_mode, config->control_gid, config->manage_gids,
                                      config->n_manage_gids) ||
        c->interpreters[0])
        return;
    eventlog_say(c->log, LOG_LEVEL_INFO, "control",
                 "who may only look can connect: his requests are read by a process of their own");
    Interpreter *i = interpreter(c, false);
    if (i)
        interpreter_prepare(i);
}

int control_open(Control *c, const Config *config, const char **ret_step) {
    int r = control_socket_listen(&c->socket, config->control_mode, config->control_gid, ret_step);
    if (r >= 0)
        r = add_sources(c);
    if (r >= 0)
        prepare_for_others(c, config);
    return r;
}

void control_refresh(Control *c, const Config *config) {
    int r = control_socket_refresh(&c->socket, config->control_mode, config->control_gid);
    if (r < 0)
        eventlog_say(c->log, LOG_LEVEL_ERROR, "control",
                     "the control socket's mode and group could not be changed: %s", strerror(-r));
    prepare_for_others(c, config);
}

void control_answer(Control *c, ClientWait what, const Text *message) {
    LIST_FOREACH_SAFE (client, &c->clients, Client, link) {
        if (client->wait != what)
            continue;
        text_add_n(client_out(client), message->s ? message->s : "", message->len);
        client_forget_call(client);
        client_go_on(client);
    }
}

void control_on_state(Control *c) {
    if (c->state_changed)
        (void)sd_event_source_set_enabled(c->state_changed, SD_EVENT_ONESHOT);
}

void control_on_load(Control *c, bool applied, uint64_t number, const LoadReport *report) {
    ClientWait wait = applied ? WAIT_RELOAD : WAIT_CHECK;
    /* Long ones are made once. */
    Text whole CLEANUP_TEXT = {0}, part CLEANUP_TEXT = {0};
    LIST_FOREACH_SAFE (client, &c->clients, Client, link) {
        if (client->failed || client->wait != wait || client->load > number)
            continue;
        Text *text = client_may_change(client, manager_config(c->calls.manager)) ? &whole : &part;
        if (text->len == 0)
            calls_encode_load(text, report, applied, text == &part);
        text_add_n(client_out(client), text->s ? text->s : "", text->len);
        client->failed |= !text_ok(text);
        client_forget_call(client);
        client_go_on(client);
    }
}

void control_on_event(Control *c, const ApiEvent *e) {
    Text message CLEANUP_TEXT = {0};
    LIST_FOREACH (client, &c->clients, Client, link)
        if (client->following && !client->failed)
            calls_send_event(&c->calls, client, e, &message);
}

bool control_tell_suppressed(Control *c, uint64_t now_usec) {
    return calls_tell_suppressed(&c->calls, now_usec);
}

void control_say_goodbye(Control *c) {
    LIST_FOREACH_SAFE (client, &c->clients, Client, link) {
        if (client->wait == WAIT_ORDER) {
            (void)calls_check_wait(&c->calls, client);
            continue;
        }
        if (client->wait == WAIT_SHUTDOWN)
            api_encode_empty(client_out(client), false);
        client_flush(client);
    }
}

/* Never used again for something else. */
enum {
    CONTROL_SOCKET = 1,
    CONTROL_CLIENT,
    CONTROL_MISSED, /* events, by followers */
    CONTROL_DENIED,
    CONTROL_INTERPRETER_RESTARTS,
};

void control_save(BlobWriter *w, const Control *c) {
    size_t at = blob_open(w, CONTROL_SOCKET);
    control_socket_save(w, &c->socket);
    blob_close(w, at);
    blob_put_u64(w, CONTROL_MISSED, c->calls.events_missed);
    blob_put_u64(w, CONTROL_INTERPRETER_RESTARTS, c->calls.interpreter_restarts);
    at = blob_open(w, CONTROL_DENIED);
    ratelimit_save(w, &c->calls.denied);
    blob_close(w, at);
    LIST_FOREACH (client, &c->clients, const Client, link) {
        if (!client_can_be_saved(client))
            continue;
        at = blob_open(w, CONTROL_CLIENT);
        client_save(w, client);
        blob_close(w, at);
    }
}

static int restore_client(BlobReader r, Control *c) {
    Client *client = NULL;
    int e = client_restore(r, c->loop, &c->handler, &client);
    if (client) {
        list_append(&c->clients, &client->link);
        c->calls.n_clients++;
    }
    return e;
}

static int restore_fields(BlobReader r, Control *c) {
    BlobField f;
    int e = 0;
    while (e >= 0 && blob_next(&r, &f)) {
        if (f.tag == CONTROL_SOCKET && !c->socket.path)
            e = control_socket_restore(blob_enter(&f), &c->socket);
        else if (f.tag == CONTROL_MISSED)
            c->calls.events_missed = blob_u64(&f);
        else if (f.tag == CONTROL_INTERPRETER_RESTARTS)
            c->calls.interpreter_restarts = blob_u64(&f);
        else if (f.tag == CONTROL_DENIED)
            e = ratelimit_restore(blob_enter(&f), &c->calls.denied);
        else if (f.tag == CONTROL_CLIENT)
            e = restore_client(blob_enter(&f), c);
    }
    if (e >= 0 && !c->socket.path)
        blob_spoil(r.source, "the control socket is not in it");
    return blob_is_spoilt(r.source) ? -EBADMSG : e;
}

int control_restore(BlobReader r, Manager *m, sd_event *loop, EventLog *log, Control **ret) {
    Control *c = alloc(m, loop, log);
    if (!c)
        return -ENOMEM;
    c->asleep = true;
    int e = restore_fields(r, c);
    if (e >= 0)
        e = add_sources(c);
    if (e < 0) {
        control_free(c);
        return e;
    }
    *ret = c;
    return 0;
}

void control_resume(Control *c) {
    c->asleep = false;
    prepare_for_others(c, manager_config(c->calls.manager));
    LIST_FOREACH_SAFE (client, &c->clients, Client, link)
        client_resume(client);
    /* Whatever is due: a part of a reply, an order that was done meanwhile. */
    wake_parts(c);
    control_on_state(c);
}
