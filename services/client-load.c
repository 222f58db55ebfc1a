/* SPDX-License-Identifier: MIT */
#include "services/client-load.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "services/client-engine.h"

/* Descriptors of this process that are no connections, generously. */
#define OWN_DESCRIPTORS 32U
/* udp(7): what IPv4 can carry. */
#define RECORD_MAX 65507U
#define FILE_PREFIX "file:"
#define FILE_MAX (64U << 20)

DEFINE_CLEANUP(Engine *, engine_free);

static int fail(const char *what, int error) {
    (void)fprintf(stderr, "mp-client: %s: %s\n", what, strerror(error));
    return EXIT_FAILURE;
}

static int read_file(const char *path, Text *ret) {
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    char buf[16384];
    ssize_t n;
    while ((n = read(fd, buf, sizeof(buf))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        text_add_n(ret, buf, (size_t)n);
        if (ret->len > FILE_MAX)
            return -EFBIG;
    }
    return text_ok(ret) ? 0 : -ENOMEM;
}

/* A text of the command line, or what is in the file that it names. */
static bool load_text(const char *s, Text *ret) {
    text_add(ret, "");
    if (!starts_with(s, FILE_PREFIX)) {
        text_add(ret, s);
        return text_ok(ret);
    }
    const char *path = s + strlen(FILE_PREFIX);
    int r = read_file(path, ret);
    if (r < 0)
        (void)fail(path, -r);
    return r >= 0;
}

static int make_script(const ClientOptions *o, const Target *target, Text *send, Text *expect, Script *ret) {
    *ret = (Script){.requests = o->read ? 0 : o->requests,
                    .size = o->size,
                    .seed = o->seed,
                    .records = target_has_records(target)};
    if (o->send) {
        if (!load_text(o->send, send))
            return EXIT_FAILURE;
        ret->send = send->s ? send->s : "";
        ret->size = send->len;
    }
    if (o->expect) {
        if (!load_text(o->expect, expect))
            return EXIT_FAILURE;
        ret->expect = expect->s ? expect->s : "";
        ret->expect_size = expect->len;
    }
    if (o->send && send->len == 0)
        return cli_usage(&client_program, "--send: there is nothing in it; see --read");
    if (o->send && expect->len == 0)
        return cli_usage(&client_program, "--expect: there is nothing in it, so that a reply cannot be told");
    if (target_socket_type(target) == SOCK_DGRAM && o->read)
        return cli_usage(&client_program, "datagrams have no end: --read does not go with %s", target->text);
    if (ret->records && (ret->size > RECORD_MAX || ret->expect_size > RECORD_MAX))
        return cli_usage(&client_program, "a message of %s has at most %u bytes", target->text, RECORD_MAX);
    return EXIT_SUCCESS;
}

/* Each connection is a descriptor. Who may raises the limit. */
static int raise_limit(uint64_t at_once) {
    rlim_t need = at_once + OWN_DESCRIPTORS;
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return fail("limit of open files", errno);
    if (limit.rlim_cur >= need)
        return EXIT_SUCCESS;
    struct rlimit more = {need, limit.rlim_max > need ? limit.rlim_max : need};
    if (setrlimit(RLIMIT_NOFILE, &more) == 0)
        return EXIT_SUCCESS;
    (void)fprintf(stderr,
                  "mp-client: %" PRIu64
                  " at once need as many open files, and the limit here is %ju (ulimit -Hn):"
                  " at most -c %ju, or more by root\n",
                  at_once, (uintmax_t)limit.rlim_max,
                  (uintmax_t)(limit.rlim_max > OWN_DESCRIPTORS ? limit.rlim_max - OWN_DESCRIPTORS : 0));
    return EXIT_FAILURE;
}

static int print(const ClientOptions *o, const Target *target, const Engine *e, const Tally *tally,
                 const Script *script) {
    CLEANUP_TEXT Text out = {0};
    char address[TARGET_ADDRESS_TEXT_MAX];
    const TallyFacts facts = {.endpoint = target->text,
                              .address = target_format_address(engine_address(e), address),
                              .at_once = o->at_once,
                              .requests = script->requests,
                              .size = script->size,
                              .read = o->read};
    (o->json ? tally_json : tally_text)(tally, &facts, &out);
    if (!text_ok(&out))
        return fail("result", ENOMEM);
    if (fputs(out.s, stdout) < 0 || fflush(stdout) != 0)
        return fail("standard output", errno);
    return tally_failures(tally) == 0 && tally->answered > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* Ends as the signal would have, now that the result is told. */
static void end_by(int number) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    (void)raise(number);
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
}

static int run(const ClientOptions *o, const Target *target, const TargetAddresses *addresses,
               const Script *script) {
    const EnginePlan plan = {
        .target = target,
        .addresses = addresses,
        .script = *script,
        .at_once = o->at_once < o->connections ? o->at_once : o->connections,
        .connections = o->connections,
        .time_usec = o->time_usec,
        .timeout_usec = o->timeout_usec,
        .hold_usec = o->hold_usec,
        .half_close = !o->no_half_close,
        .progress = !o->quiet && isatty(STDERR_FILENO) ? STDERR_FILENO : -EBADF,
    };
    CLEANUP_FREE Tally *tally = calloc(1, sizeof(*tally));
    if (!tally)
        return fail("load", ENOMEM);
    CLEANUP(engine_freep) Engine *engine = engine_new(&plan, tally);
    if (!engine)
        return fail("load", errno);
    int r = engine_run(engine);
    if (r < 0)
        return fail("load", -r);
    int status = print(o, target, engine, tally, script);
    if (r > 0)
        end_by(r);
    return status;
}

int load_main(const ClientOptions *o, const Target *target, const TargetAddresses *addresses) {
    CLEANUP_TEXT Text send = {0};
    CLEANUP_TEXT Text expect = {0};
    Script script;
    int status = make_script(o, target, &send, &expect, &script);
    if (status == EXIT_SUCCESS)
        status = raise_limit(o->at_once);
    return status != EXIT_SUCCESS ? status : run(o, target, addresses, &script);
}
