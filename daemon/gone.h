/* SPDX-License-Identifier: MIT */
#pragma once
/* Services that are gone, as a set of their numbers, so that one walk over a table forgets all of them. Pure.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A reload that takes more of them away has several walks. */
#define GONE_MAX 256

/* Starts as {0}. */
typedef struct Gone {
    uint32_t services[GONE_MAX]; /* Service.id, ascending */
    size_t n;
} Gone;

/* Whether it is full now. It must not be full already. */
bool gone_add(Gone *g, uint32_t service);
bool gone_has(const Gone *g, uint32_t service);
