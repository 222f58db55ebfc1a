/* SPDX-License-Identifier: MIT */
#include "daemon/config-child.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "conf/config-blob.h"
#include "daemon/base/clock.h"
#include "daemon/base/text.h"
#include "daemon/handover.h"

#define LOAD_WORD "--load-config"
#define LOOK_WORD "--look-again"
#define EUID_WORD "--euid="
#define EGID_WORD "--egid="

/* A turn of the loop takes so long a part of the result. */
#define SLICE_USEC USEC_PER_MSEC
#define SERVICES_AT_ONCE 4

static const HelperLimits limits = {
    .time_usec = 30 * USEC_PER_SEC,
    .cpu_seconds = 20,
    .memory = (rlim_t)1 << 30,
    .file_size = (rlim_t)256 << 20,
    .descriptors = 256,
};

/* The fields of what the helper writes. */
typedef enum LoadTag {
    LOAD_ERROR = 1, /* as config_load() gave it */
    LOAD_DIAGS,
    LOAD_CONFIG,
} LoadTag;

/* Somebody who wants to have a file loaded, or services looked up again. */
typedef struct Asker {
    List link;
    char *path;  /* NULL: services */
    LoadPut put; /* those */
    LoadPrepare prepare;
    LoadDone done;
    void *userdata;
} Asker;

struct ConfigLoads {
    sd_event *loop;
    Helpers *helpers;
    LoadContext context;
    Config *old;
    Config *dying;         /* not in force any more: given up in steps */
    List waiting, served;  /* of the next load, and of the one under way */
    sd_event_source *turn; /* off, unless there is something to begin, to take or to give up */
    bool running;
    bool looks; /* then: up what services lack */
    Helper *helper;
    const uint8_t *data; /* mapped: what it has written */
    size_t n;
    BlobSource source;
    ConfigDecoder *decoder;
    Config *ready; /* whole: its askers prepare themselves */
    DiagList diags;
};

static Asker *asker_free(Asker *a) {
    list_remove(&a->link);
    free(a->path);
    free(a);
    return NULL;
}

static void wake(ConfigLoads *l) {
    (void)sd_event_source_set_enabled(l->turn, SD_EVENT_ONESHOT);
}

/* What a load has left, so that there is room for the next one. */
static void clear(ConfigLoads *l) {
    l->decoder = config_decoder_free(l->decoder);
    if (!l->dying)
        l->dying = TAKE_PTR(l->ready);
    l->ready = config_unref(l->ready);
    blob_source_done(&l->source);
    diag_list_done(&l->diags);
    if (l->data)
        (void)munmap((void *)(uintptr_t)l->data, l->n);
    l->data = NULL;
    l->running = false;
}

static void tell(ConfigLoads *l, Asker *a, int error, const char *why, Config *config) {
    const LoadResult result = {
        .error = error, .why = error < 0 ? why : NULL, .config = config, .diags = &l->diags};
    LoadDone done = a->done;
    void *userdata = a->userdata;
    asker_free(a);
    done(&result, userdata);
}

static void end_load(ConfigLoads *l) {
    clear(l);
    if (!list_is_empty(&l->waiting))
        wake(l);
}

static void conclude(ConfigLoads *l, int error, const char *why) {
    while (!list_is_empty(&l->served))
        tell(l, LIST_ENTRY(l->served.next, Asker, link), error, why, NULL);
    end_load(l);
}

/* One after the other: what the first one does with it changes what the next one is to prepare. */
static void prepare_slice(ConfigLoads *l) {
    uint64_t end = clock_monotonic_usec() + SLICE_USEC;
    if (list_is_empty(&l->served)) {
        end_load(l);
        return;
    }
    Asker *a = LIST_ENTRY(l->served.next, Asker, link);
    bool more = a->prepare != NULL;
    while (more && clock_monotonic_usec() < end)
        more = a->prepare(l->ready, a->userdata);
    if (!more)
        tell(l, a, 0, NULL, l->ready);
    wake(l);
}

static void fail(ConfigLoads *l, int error, const char *what) {
    char why[256];
    (void)snprintf(why, sizeof(why), "the helper that %s %s",
                   l->looks ? "looks for users and programs" : "reads the config", what);
    conclude(l, error, why);
}

static void fail_by_blob(ConfigLoads *l) {
    char what[200];
    (void)snprintf(what, sizeof(what), "has written what cannot be used: %s", l->source.why);
    fail(l, -EBADMSG, what);
}

/* Reads the result but for the config, which is taken in steps. */
static void take_result(ConfigLoads *l) {
    int64_t error = -EBADMSG;
    BlobReader r;
    BlobField f;
    if (blob_source_init(&l->source, l->data, l->n, BLOB_CONFIG, &r) < 0) {
        fail_by_blob(l);
        return;
    }
    while (blob_next(&r, &f)) {
        if (f.tag == LOAD_ERROR) {
            error = blob_i64_range(&f, -4095, 0);
        } else if (f.tag == LOAD_DIAGS) {
            diags_get(&f, &l->diags);
        } else if (f.tag == LOAD_CONFIG && !l->decoder) {
            BlobReader fields = blob_enter(&f);
            l->decoder = config_decoder_new(&fields, l->old);
            if (!l->decoder)
                blob_spoil(&l->source, "out of memory");
        }
    }
    if ((error == 0) != (l->decoder != NULL) || (error == -EINVAL) != (l->diags.n_errors > 0))
        blob_spoil(&l->source, "it is incomplete");
    if (blob_is_spoilt(&l->source))
        fail_by_blob(l);
    else if (error == 0)
        wake(l);
    else if (error == -EINVAL)
        conclude(l, -EINVAL, NULL);
    else
        fail(l, (int)error, error == -ENOMEM ? "ran out of memory" : strerror((int)-error));
}

static void take_slice(ConfigLoads *l) {
    uint64_t end = clock_monotonic_usec() + SLICE_USEC;
    int r = 1;
    while (r == 1 && clock_monotonic_usec() < end)
        r = config_decoder_step(l->decoder, SERVICES_AT_ONCE);
    if (r == 1) {
        wake(l);
    } else if (r == -EBADMSG) {
        fail_by_blob(l);
    } else if (r < 0) {
        conclude(l, r, strerror(-r));
    } else {
        l->ready = config_decoder_take(l->decoder);
        l->decoder = config_decoder_free(l->decoder);
        wake(l);
    }
}

static void on_end(const HelperEnd *end, void *userdata) {
    ConfigLoads *l = userdata;
    char what[128];
    l->helper = NULL;
    if (end->result) {
        *end->kept = true;
        l->data = end->result;
        l->n = end->n;
        take_result(l);
        return;
    }
    bool well = end->error == 0 && !end->too_late && WIFEXITED(end->status) && WEXITSTATUS(end->status) == 0;
    fail(l,
         end->error < 0  ? end->error
         : end->too_late ? -ETIMEDOUT
                         : -EIO,
         well ? "has written nothing" : helper_end_text(end, what, sizeof(what)));
}

/* @what: the file, or the descriptor @fd of services; -EBADF: none. */
static int start(ConfigLoads *l, const char *word, const char *what, int fd) {
    char euid[32], egid[32];
    (void)snprintf(euid, sizeof(euid), EUID_WORD "%u", (unsigned)l->context.euid);
    (void)snprintf(egid, sizeof(egid), EGID_WORD "%u", (unsigned)getegid());
    char *const argv[] = {
        (char[]){"mpinetd"}, (char *)(uintptr_t)word, (char *)(uintptr_t)what, euid, egid, NULL};
    const HelperPlan plan = {.argv = argv,
                             .environ = l->context.environ,
                             .fds = &fd,
                             .n_fds = fd >= 0,
                             .drop_root = true,
                             .limits = limits};
    return helper_start(l->helpers, l->loop, &plan, on_end, l, &l->helper);
}

static int start_looking(ConfigLoads *l, const Asker *a) {
    CLEANUP_BLOB BlobWriter w = {0};
    char number[16];
    blob_begin(&w, BLOB_CONFIG);
    size_t at = blob_open(&w, LOAD_CONFIG);
    int r = a->put(&w, a->userdata);
    blob_close(&w, at);
    if (r >= 0)
        r = blob_end(&w);
    CLEANUP_CLOSE int fd = r < 0 ? r : handover_write(&w);
    (void)snprintf(number, sizeof(number), "%d", fd);
    return fd < 0 ? fd : start(l, LOOK_WORD, number, fd);
}

/* One load for all who want the same file as the first. */
static void begin(ConfigLoads *l) {
    const Asker *first = LIST_ENTRY(l->waiting.next, Asker, link);
    LIST_FOREACH_SAFE (a, &l->waiting, Asker, link) {
        if (a != first && (a->put || first->put || !streq(a->path, first->path)))
            continue;
        list_remove(&a->link);
        list_append(&l->served, &a->link);
    }
    l->running = true;
    l->looks = first->put;
    int r = first->put ? start_looking(l, first) : start(l, LOAD_WORD, first->path, -EBADF);
    if (r >= 0)
        return;
    const HelperEnd end = {.error = r};
    char what[128];
    fail(l, r, helper_end_text(&end, what, sizeof(what)));
}

static void give_up_slice(ConfigLoads *l) {
    uint64_t end = clock_monotonic_usec() + SLICE_USEC;
    while (l->dying && clock_monotonic_usec() < end)
        l->dying = config_unref_some(l->dying, SERVICES_AT_ONCE);
}

static int on_turn(sd_event_source *s, void *userdata) {
    ConfigLoads *l = userdata;
    (void)s;
    if (l->decoder)
        take_slice(l);
    else if (l->ready)
        prepare_slice(l);
    else if (!l->running && !list_is_empty(&l->waiting))
        begin(l);
    else
        give_up_slice(l);
    if (l->dying)
        wake(l);
    return 0;
}

ConfigLoads *config_loads_new(sd_event *loop, Helpers *helpers, const LoadContext *context) {
    ConfigLoads *l = calloc(1, sizeof(*l));
    if (!l)
        return NULL;
    list_init(&l->waiting);
    list_init(&l->served);
    l->loop = loop;
    l->helpers = helpers;
    l->context = *context;
    if (sd_event_add_defer(loop, &l->turn, on_turn, l) < 0 ||
        sd_event_source_set_enabled(l->turn, SD_EVENT_OFF) < 0)
        return config_loads_free(l);
    (void)sd_event_source_set_description(l->turn, "config");
    return l;
}

ConfigLoads *config_loads_free(ConfigLoads *l) {
    if (!l)
        return NULL;
    List *const lists[] = {&l->waiting, &l->served};
    for (size_t i = 0; i < ELEMENTS(lists); i++)
        LIST_FOREACH_SAFE (a, lists[i], Asker, link)
            asker_free(a);
    helper_free(l->helper);
    sd_event_source_disable_unref(l->turn);
    clear(l);
    config_unref(l->old);
    config_unref(l->dying);
    free(l);
    return NULL;
}

static int ask(ConfigLoads *l, const Asker *wish) {
    Asker *a = malloc(sizeof(*a));
    if (!a)
        return -ENOMEM;
    *a = *wish;
    list_init(&a->link);
    list_append(&l->waiting, &a->link);
    if (!l->running)
        wake(l);
    return 0;
}

int config_loads_ask(ConfigLoads *l, const char *path, LoadPrepare prepare, LoadDone done, void *userdata) {
    CLEANUP_FREE char *copy = strdup(path);
    const Asker wish = {.path = copy, .prepare = prepare, .done = done, .userdata = userdata};
    int r = copy ? ask(l, &wish) : -ENOMEM;
    if (r >= 0)
        (void)TAKE_PTR(copy);
    return r;
}

int config_loads_look_again(ConfigLoads *l, LoadPut put, LoadPrepare prepare, LoadDone done, void *userdata) {
    const Asker wish = {.put = put, .prepare = prepare, .done = done, .userdata = userdata};
    return ask(l, &wish);
}

void config_loads_cancel(ConfigLoads *l) {
    LIST_FOREACH_SAFE (a, &l->served, Asker, link)
        asker_free(a);
    l->helper = helper_free(l->helper);
    end_load(l);
    if (l->dying)
        wake(l);
}

void config_loads_forget(ConfigLoads *l, const void *userdata) {
    List *const lists[] = {&l->waiting, &l->served};
    for (size_t i = 0; i < ELEMENTS(lists); i++)
        LIST_FOREACH_SAFE (a, lists[i], Asker, link)
            if (a->userdata == userdata)
                asker_free(a);
}

void config_loads_set_old(ConfigLoads *l, Config *old) {
    if (old)
        config_ref(old);
    config_unref(l->dying);
    l->dying = l->old;
    l->old = old;
    if (l->dying)
        wake(l);
}

/* In the helper */

bool config_child_is_asked(int argc, char *const *argv) {
    return argc > 1 && (streq(argv[1], LOAD_WORD) || streq(argv[1], LOOK_WORD));
}

static int parse_id(const char *word, const char *head, uint32_t *ret) {
    char *end = NULL;
    if (!starts_with(word, head))
        return -EINVAL;
    const char *number = word + strlen(head);
    unsigned long long v = strtoull(number, &end, 10);
    if (*number < '0' || *number > '9' || *end || v > UINT32_MAX)
        return -EINVAL;
    *ret = (uint32_t)v;
    return 0;
}

/* The services that were sent, as they were. */
static int read_services(const char *word, Config **ret) {
    Handover h CLEANUP_HANDOVER = {0};
    BlobField f;
    uint32_t fd = 0;
    int r = parse_id(word, "", &fd);
    if (r >= 0)
        r = handover_read(&h, (int)fd, BLOB_CONFIG);
    if (r < 0 || !blob_next(&h.reader, &f) || f.tag != LOAD_CONFIG)
        return r < 0 ? r : -EBADMSG;
    BlobReader fields = blob_enter(&f);
    ConfigDecoder *d = config_decoder_new(&fields, NULL);
    r = d ? config_decoder_step(d, SIZE_MAX) : -ENOMEM;
    if (r == 0)
        *ret = config_decoder_take(d);
    config_decoder_free(d);
    return r;
}

/* Looks for what each of them lacks: what still does has a problem. */
static int look_again(const char *word, const LoadContext *context, Config **ret) {
    CLEANUP_CONFIG Config *c = NULL;
    int r = read_services(word, &c);
    for (size_t i = 0; c && r >= 0 && i < c->n_services; i++)
        if (service_config_resolve(c->services[i], context) == -ENOMEM)
            r = -ENOMEM;
    if (r >= 0)
        *ret = TAKE_PTR(c);
    return r;
}

static int write_result(int fd, int error, const DiagList *diags, const Config *config) {
    CLEANUP_BLOB BlobWriter w = {0};
    blob_begin(&w, BLOB_CONFIG);
    blob_put_i64(&w, LOAD_ERROR, error);
    diags_put(&w, LOAD_DIAGS, diags);
    if (config) {
        size_t at = blob_open(&w, LOAD_CONFIG);
        config_put(&w, config);
        blob_close(&w, at);
    }
    int r = blob_end(&w);
    return r < 0 ? r : helper_write_result(fd, w.data, w.n);
}

int config_child_main(int argc, char *const *argv) {
    LoadContext context = {
        .libexecdir = config_libexecdir(environ),
        .environ = environ,
        .absolute_names = true,
        .has_egid = true,
        .tolerate_missing = argc > 1 && streq(argv[1], LOOK_WORD),
    };
    CLEANUP_DIAGS DiagList diags = {0};
    CLEANUP_CONFIG Config *config = NULL;
    int fd = helper_result_fd(argc, argv);
    if (argc != 6 || fd < 0 || parse_id(argv[3], EUID_WORD, &context.euid) < 0 ||
        parse_id(argv[4], EGID_WORD, &context.egid) < 0)
        return 2;
    helper_settle();
    int r = context.tolerate_missing ? look_again(argv[2], &context, &config)
                                     : config_load(argv[2], &context, &diags, &config);
    r = write_result(fd, r, &diags, config);
    /* Without memory for the whole of it there is still room to say so. */
    const DiagList none = {0};
    if (r == -ENOMEM)
        r = write_result(fd, -ENOMEM, &none, NULL);
    return r < 0 ? helper_tell_unwritten(fd, r) : EXIT_SUCCESS;
}
