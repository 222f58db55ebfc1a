/* SPDX-License-Identifier: MIT */
#pragma once
/* The plan of a reload: what runs compared with what the new config wants. For each socket that is wanted
 * whether one that is open serves for it, as it is or with options changed in place, its service's own or one
 * that another gives up, or whether a new one is opened; what is left over is closed. For each service what
 * becomes of it and of its processes. Pure; the same whether it is carried out (reload.c) or only shown.
 * Costs next to nothing for services whose config is the very same object, and n log n for the others. */
#include "conf/config.h"
#include "ctl/proto/api.h"

#define PLAN_NONE SIZE_MAX

/* What runs, as the caller sees it. */
typedef struct PlanListener {
    const ListenConfig *config;
    size_t index;             /* which of the endpoint's addresses */
    const EndpointAddr *addr; /* as it is bound; NULL: not known */
    bool has_socket;          /* open, or put aside and to be had again at once */
} PlanListener;

typedef struct PlanService {
    const char *name;
    const ServiceConfig *config;
    const ServiceConfig *compared; /* what it has been compared with; NULL: nothing */
    bool differs;                  /* from that one */
    const PlanListener *listeners;
    size_t n_listeners;
    bool removed;         /* by an earlier reload: what is left of it ends by itself */
    bool quiet;           /* an order says that it does not listen */
    bool limits_set;      /* by Set: they are to be as configured again */
    uint64_t connections; /* processes that have one each */
    uint64_t holders;     /* processes that have the listeners themselves, and workers */
} PlanService;

typedef enum ServiceFate {
    FATE_SAME,    /* nothing that it is made of has changed */
    FATE_CHANGED, /* in the config, or in what was looked up for it */
    FATE_ADDED,
    FATE_REMOVED,
    FATE_ENDING, /* removed before */
} ServiceFate;

typedef enum SocketFate {
    SOCKET_CLOSED, /* the service does not listen; or it is tried by itself, since it could not be opened */
    SOCKET_KEPT,
    SOCKET_CHANGED, /* kept, and `options` are set on it */
    SOCKET_MOVED,   /* another service's until now; `options` as well */
    SOCKET_OPENED,
} SocketFate;

/* What becomes of the processes that have the listeners themselves, and of workers. */
typedef enum HolderFate {
    HOLDERS_GO_ON,
    HOLDERS_ROLL, /* workers: replaced one after the other */
    HOLDERS_END,  /* told to, when what is queued where they listen has been served */
} HolderFate;

/* A socket that the new config wants. */
typedef struct PlanSocket {
    const ListenConfig *config;
    size_t index;
    SocketFate fate;
    size_t service, listener; /* of what runs: the one that serves for it; PLAN_NONE */
    uint32_t options;         /* changed: bits of plan_option_name() */
} PlanSocket;

/* A service of either side, in the order of their names. */
typedef struct PlanEntry {
    size_t from, to; /* its place in what runs, and in the new config; PLAN_NONE */
    ServiceFate fate;
    HolderFate holders;
    size_t first_socket, n_sockets;     /* of a changed or added one that is enabled */
    size_t first_listener, n_listeners; /* of what runs, in `left` */
} PlanEntry;

typedef struct Plan {
    PlanEntry *entries;
    size_t n_entries;
    PlanSocket *sockets;
    size_t n_sockets;
    bool *left; /* of each listener of those that run, one service after the other: nobody takes it */
} Plan;

/* @running is in the order of the names. 0 or -ENOMEM. */
int plan_make(const PlanService *running, size_t n, const Config *to, Plan *ret);
void plan_done(Plan *p);
#define CLEANUP_PLAN CLEANUP(plan_done)

/* Whether a socket that is open for address @a_index of @a, bound to @bound (NULL: not known), is the one
 * that address @b_index of @b asks for. */
bool plan_serves(const ListenConfig *a, size_t a_index, const EndpointAddr *bound, const ListenConfig *b,
                 size_t b_index);
/* The options of an open socket that differ, a bit each; and their names. NULL past the last. */
uint32_t plan_options(const ListenConfig *a, const ListenConfig *b);
const char *plan_option_name(size_t i);

/* The plan in words, for the control socket, owning its strings. */
typedef struct PlanItems {
    ApiPlanItem *items;
    size_t n, capacity;
} PlanItems;
/* 0 or -ENOMEM. */
int plan_items_make(const Plan *p, const PlanService *running, const Config *to, PlanItems *ret);
void plan_items_done(PlanItems *items);
