/* SPDX-License-Identifier: MIT */
#pragma once
/* The table of services. */
#include "ctl/columns.h"

/* Chooses the columns, as view_init(). */
int status_table_init(View *v, Ctl *c);
void status_table_add(View *v, const Ctl *c, const json_t *service);
