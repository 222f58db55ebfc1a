/* SPDX-License-Identifier: MIT */
#include "daemon/gone.h"

#include <string.h>

/* The place of the first one that is not smaller. */
static size_t place_of(const Gone *g, uint32_t service) {
    size_t low = 0, high = g->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (g->services[middle] < service)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool gone_add(Gone *g, uint32_t service) {
    size_t at = place_of(g, service);
    if (at == g->n || g->services[at] != service) {
        memmove(&g->services[at + 1], &g->services[at], (g->n - at) * sizeof(g->services[0]));
        g->services[at] = service;
        g->n++;
    }
    return g->n == GONE_MAX;
}

bool gone_has(const Gone *g, uint32_t service) {
    size_t at = place_of(g, service);
    return at < g->n && g->services[at] == service;
}
