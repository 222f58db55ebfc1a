/* SPDX-License-Identifier: MIT */
#pragma once
/* Adoption: processes of an earlier daemon that live on are instances of their services again. They are not
 * our children: a descriptor of each (pidfd) tells when it is gone, and how it ended nobody is told. What
 * they write to stderr or report goes nowhere, since the pipes ended with the earlier daemon. */
#include "daemon/ledger.h"
#include "daemon/service.h"

/* Takes the processes that stand in @l as instances of @services, those that are still the ones that were
 * meant; strikes out the others. Listeners and slots of the services are there by then. Returns how many. */
size_t adopt_processes(Runtime *rt, Ledger *l, Service *const *services, size_t n);
/* After an upgrade in place: the instances of @rt find their places in its ledger again; what is nobody's
 * there is struck out. */
void adopt_find_places(Runtime *rt);
/* From now on its end is told by @pidfd, which is taken over in any case. 0 or a negative errno. */
int adopt_watch(Instance *i, int pidfd);
/* Takes @i, which has just been given work, into the ledger, so that it can be adopted. */
void adopt_note(Instance *i);
