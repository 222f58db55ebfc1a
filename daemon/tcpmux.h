/* SPDX-License-Identifier: MIT */
#pragma once
/* tcpmux (RFC 1078): the names by which services are reached through one port, those of model tcpmux. Who
 * asks for one is a client of both, the one that he connected to and the one that he named. */
#include <stdbool.h>
#include <stddef.h>

#include "daemon/base/text.h"

struct Runtime;
struct Service;
struct ServiceSet;

typedef struct TcpmuxName {
    const char *name; /* without the '+', of the service's config */
    struct Service *service;
} TcpmuxName;

/* What the daemon has of both kinds. Starts as {0}. */
typedef struct Tcpmux {
    TcpmuxName *names; /* in their order, which is that of ASCII without case */
    size_t n_names;
    struct Service **doors; /* services of model tcpmux */
    size_t n_doors;
} Tcpmux;

/* What a client is told whose name nobody has, or who is not served. */
#define TCPMUX_REFUSAL "-Service not available\r\n"
/* What the daemon answers for a service that says "+NAME". */
#define TCPMUX_GO "+Go\r\n"

/* Collects them anew: the services have come, or changed. Without memory there are none. */
void tcpmux_collect(struct Runtime *rt, struct Service *const *services, size_t n);
/* The config of @s is another, which says the same. */
void tcpmux_renew(struct Service *s);
void tcpmux_done(Tcpmux *t);

/* Whose @name it is, in upper or lower case; NULL: nobody's. */
struct Service *tcpmux_find(const Tcpmux *t, const char *name);
/* Whether @name asks for the list of names. */
bool tcpmux_is_help(const char *name);
/* The names of services that are there, one a line. */
void tcpmux_list(const Tcpmux *t, Text *out);

/* Whether @s takes those who name it, and in *ret_why, unless NULL, why not. */
bool tcpmux_is_available(const struct Service *s, const char **ret_why);
/* Whether @s can be named by anybody: a service of model tcpmux listens, and @s has a name. */
bool tcpmux_reaches(const struct Service *s);
/* The state of @door has changed: those who are reached by it are looked at. */
void tcpmux_update(const struct Service *door);
