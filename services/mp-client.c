/* SPDX-License-Identifier: MIT */
/* mp-client: a client for people, and for load. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/clock.h"
#include "services/client-load.h"
#include "services/client-options.h"
#include "services/client-socket.h"
#include "services/client-talk.h"
#include "services/client-target.h"

static int fail(const Target *target, const char *what) {
    (void)fprintf(stderr, "mp-client: %s: %s\n", target->text, what);
    return EXIT_FAILURE;
}

static const char *describe_end(TalkEnd end, int error) {
    static const char *const texts[] = {
        [TALK_SERVER_FIRST] = "the server closed the connection before our input ended",
        [TALK_TIMEOUT] = "given up: nothing moved for so long",
        [TALK_RECEIVE] = "the connection failed",
        [TALK_READ] = "reading standard input failed",
        [TALK_WRITE] = "writing standard output failed",
        [TALK_SEND] = "a message is too long to be sent",
        [TALK_SYSTEM] = "failed",
    };
    _Static_assert(ELEMENTS(texts) == _TALK_END_MAX, "a text for each end");
    if (end == TALK_SERVER_FIRST && error)
        return "the server broke off the connection";
    return texts[end];
}

static int end_talk(const ClientOptions *o, const Target *target, const TalkResult *result) {
    if (result->end == TALK_DONE)
        return EXIT_SUCCESS;
    /* Who asked for quiet looks at the exit status to learn how the server behaved. */
    if (o->quiet && (result->end == TALK_SERVER_FIRST || result->end == TALK_TIMEOUT))
        return EXIT_FAILURE;
    (void)fprintf(stderr, "mp-client: %s: %s%s%s\n", target->text, describe_end(result->end, result->error),
                  result->error ? ": " : "", result->error ? strerror(result->error) : "");
    return EXIT_FAILURE;
}

static void greet(const ClientOptions *o, const Addr *address) {
    char text[TARGET_ADDRESS_TEXT_MAX];
    if (o->quiet || !isatty(STDIN_FILENO) || !isatty(STDERR_FILENO))
        return;
    (void)fprintf(stderr, "mp-client: connected to %s%s\n", target_format_address(address, text),
                  o->no_input ? "" : "; Ctrl-D ends the input");
}

static int talk(const ClientOptions *o, const Target *target, const TargetAddresses *addresses) {
    const Addr *address = NULL;
    uint64_t now = clock_monotonic_usec();
    uint64_t deadline = o->timeout_usec == USEC_INFINITY ? USEC_INFINITY : now + o->timeout_usec;
    CLEANUP_CLOSE int fd = client_connect(target, addresses, deadline, &address);
    if (fd < 0)
        return fail(target, strerror(-fd));
    greet(o, address);
    const TalkPlan plan = {
        .in = o->no_input ? -EBADF : STDIN_FILENO,
        .out = STDOUT_FILENO,
        .socket = fd,
        .records = target_has_records(target),
        .datagram = target_socket_type(target) == SOCK_DGRAM,
        .whole = o->whole,
        .half_close = !o->no_half_close,
        .timeout_usec = o->timeout_usec,
        .linger_usec = o->no_input ? USEC_INFINITY : USEC_PER_SEC,
    };
    TalkResult result = o->split ? talk_run_split(&plan) : talk_run(&plan);
    return end_talk(o, target, &result);
}

/* A socket on descriptor 0, 1 or 2 would be taken for a stream of this process. */
static bool fill_standard_streams(void) {
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd) // NOLINT: not close-on-exec on purpose
            return false;
    return true;
}

int main(int argc, char **argv) {
    ClientOptions options;
    Cli cli;
    if (!fill_standard_streams())
        return EXIT_FAILURE;
    bool go_on = client_options_parse(argc, argv, &options, &cli);
    int status = cli.status;
    const char *text = go_on ? cli.words[0] : NULL;
    cli_done(&cli);
    if (!go_on)
        return status;
    Target target;
    const char *why = NULL;
    if (target_parse(text, &target, &why) < 0)
        return cli_usage(&client_program, "'%s': %s", text, why);
    TargetAddresses addresses;
    if (target_resolve(&target, &addresses, &why) < 0)
        return fail(&target, why);
    return options.load ? load_main(&options, &target, &addresses) : talk(&options, &target, &addresses);
}
