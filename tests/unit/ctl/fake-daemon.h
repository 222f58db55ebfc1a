/* SPDX-License-Identifier: MIT */
#pragma once
/* A daemon that only talks: serves the sample over a control socket, one client after the other. */

#include <stdint.h>

typedef enum FakeMode {
    FAKE_NORMAL,
    FAKE_DENIED,  /* what changes things is NotAllowed */
    FAKE_INVALID, /* the config has errors */
    FAKE_FAILED,  /* what changes things fails */
    FAKE_HANGUP,  /* closes every connection at once */
    FAKE_SILENT,  /* reads, and never answers */
    FAKE_GARBAGE, /* answers with no JSON */
    FAKE_SLOW,    /* what changes things is begun, and never done */
} FakeMode;

/* Listens at @path; the descriptor, or a negative errno. */
int fake_listen(const char *path);
/* Serves until Shutdown. */
void fake_serve(int listen_fd, FakeMode mode);
/* The same, with a sample whose ages count from @now_usec. */
void fake_serve_at(int listen_fd, FakeMode mode, uint64_t now_usec);
