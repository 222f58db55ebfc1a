/* SPDX-License-Identifier: MIT */
/* mp-forward: passes connections and datagrams on to a backend. */
#include <stdio.h>
#include <string.h>

#include "daemon/base/cleanup.h"
#include "services/forward-server.h"

DEFINE_CLEANUP(Forwarder *, forwarder_free);

int main(int argc, char **argv) {
    ForwardOptions options;
    int status;
    if (!forward_options_parse(argc, argv, &options, &status))
        return status;
    CLEANUP(forwarder_freep) Forwarder *f = forwarder_new(&options);
    if (!f) {
        (void)fprintf(stderr, "mp-forward: start: %s\n", strerror(errno));
        return EXIT_FAILURE;
    }
    return forwarder_take_given(f) < 0 ? EXIT_FAILURE : forwarder_run(f);
}
