/* SPDX-License-Identifier: MIT */
#pragma once
/* Groups of errno values that are handled alike, with where each group is written down. */
#include <errno.h>
#include <stdbool.h>

/* accept(2), "Error handling": this connection is gone or the network had a hiccup; the listener is fine. */
static inline bool errno_is_accept_transient(int e) {
    return e == EAGAIN || e == EINTR || e == ECONNABORTED || e == EPROTO || e == ENETDOWN ||
           e == ENOPROTOOPT || e == EHOSTDOWN || e == ENONET || e == EHOSTUNREACH || e == EOPNOTSUPP ||
           e == ENETUNREACH || e == EPERM /* a firewall rule forbade this one */ || e == ETIMEDOUT;
}
/* Descriptors or memory ran out: it goes away by itself, and trying again at once only burns the CPU. */
static inline bool errno_is_resource(int e) {
    return e == EMFILE || e == ENFILE || e == ENOBUFS || e == ENOMEM || e == ENOSPC;
}
