/* SPDX-License-Identifier: MIT */
#pragma once
/* A knock: the datagram that is about to start a process of an on-demand service. Its sender is asked for
 * before that: who is refused has his datagram taken away, and nothing is started for him. What comes while a
 * process runs is that process's to judge. */
#include <stdbool.h>

#include "daemon/listener.h"

/* Whether datagrams with senders come in through @l. Pure. */
bool knock_is_asked(const Listener *l);
/* Before @l is polled: sees to it that senders can be told apart where the service wants to know. */
void knock_prepare(Listener *l);
/* Looks at what waits on @l and refuses what is to be refused, not more than some at once. True: the next one
 * may start a process, and is booked. False: nothing for now; who still waits makes @l readable again, or
 * waits until the service is polled again. */
bool knock_may_start(Listener *l);

/* Why a datagram with the sender @from can come from no honest client of a service that listens on the @n
 * addresses @own: forged, or from ourselves; @is_local: from this machine. NULL: it can. Pure. */
const char *knock_suspicion(const Addr *from, bool is_local, const Addr *own[], size_t n);
