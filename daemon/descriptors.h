/* SPDX-License-Identifier: MIT */
#pragma once
/* Descriptors: how many there may be, and how many of them are kept free of connections, so that the control
 * socket, other services and whatever is under way go on when one service has taken all it can get. */
#include "daemon/runtime.h"

struct Config;
struct Service;

/* Raises the limit as far as it goes; processes get what we were started with. */
void descriptors_init(Runtime *rt);
/* How many @config needs at least, and the limit if that is lower, else 0. */
size_t descriptors_lacking(const struct Config *config, uint64_t *ret_limit);
/* Gives @fd, which will be open for long, a number out of the way of what comes and goes with each
 * connection: a child then copies a short table. Returns the number that it has from now on; where there are
 * none below @ceiling to choose from, the same. */
int descriptors_lift(int fd, int ceiling);
/* While it stands, what is opened has such a number from the first: it costs as much as moving some hundred.
 */
typedef struct DescriptorFence {
    int fds[192];
    size_t n;
} DescriptorFence;
void descriptors_fence(DescriptorFence *f, const Runtime *rt);
void descriptors_unfence(DescriptorFence *f);
/* They have run out: the limit may have been changed from outside. */
void descriptors_refresh(Runtime *rt);
/* Whether only what is kept free is left for @s. Costs nothing as long as there are plenty. */
bool descriptors_are_scarce(const struct Service *s);
