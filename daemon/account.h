/* SPDX-License-Identifier: MIT */
#pragma once
/* What the kernel is asked about the connection of an instance: whether it moves (timeouts.idle), and how
 * much has passed over it (the fact `traffic` of the service's `log`). The daemon has its descriptor only
 * until the process has it: then its name is taken. */
#include "daemon/launch.h"
#include "daemon/sock-query.h"

typedef struct AccountName {
    bool wanted;
    int error; /* of sock_query_name() */
    SockName name;
} AccountName;

/* Whether the traffic of this service's connections is to be counted. Pure. */
bool service_config_counts_traffic(const ServiceConfig *c);
/* Takes the name of the connection @fd, if @s has anything to ask about it. */
AccountName account_name(const Service *s, int fd);
/* Begins to look after the connection of @i (NULL: nothing). */
void account_begin(Instance *i, const AccountName *name);
