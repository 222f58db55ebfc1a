/* SPDX-License-Identifier: MIT */
#pragma once
/* Replies of a daemon for the tests of top, with no more fields than top reads. */
#include <jansson.h>

typedef struct SampleService {
    const char *name, *state;
    json_int_t accepted, refused_rate, refused_access, spawned, exited, active;
} SampleService;

static inline json_t *sample_status(json_int_t pid, json_int_t uptime_usec, const SampleService *services) {
    json_t *list = json_array();
    for (; services->name; services++)
        (void)json_array_append_new(
            list,
            json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:{s:I, s:I}, s:{s:I}, s:I, s:n, s:n}", "name",
                      services->name, "state", services->state, "active", services->active, "instances_limit",
                      (json_int_t)50, "accepted", services->accepted, "spawned", services->spawned, "refused",
                      "rate", services->refused_rate, "access", services->refused_access, "exited", "ok",
                      services->exited, "since_usec", (json_int_t)1, "status", "last_error"));
    return json_pack("{s:i, s:{s:s, s:s, s:I, s:I, s:i, s:{s:b}}, s:o}", "api", 1, "daemon", "version",
                     "0.1.0", "state", "running", "pid", pid, "uptime_usec", uptime_usec, "generation", 7,
                     "last_reload", "ok", 1, "services", list);
}

static inline json_t *sample_instance(const char *service, json_int_t pid, const char *peer,
                                      json_int_t cpu_usec) {
    return json_pack("{s:s, s:I, s:I, s:s?, s:s, s:I, s:I, s:I, s:n, s:n}", "service", service, "instance",
                     pid + 1, "pid", pid, "peer", peer, "state", "running", "since_usec", (json_int_t)1,
                     "cpu_usec", cpu_usec, "memory", (json_int_t)(2 << 20), "status", "requests");
}
