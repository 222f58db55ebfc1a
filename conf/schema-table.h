/* SPDX-License-Identifier: MIT */
#pragma once
/* The rows of the key table, for schema.c alone: it has the calls that everybody else uses. */
#include "conf/schema.h"

extern const Key schema_table[];
extern const size_t schema_table_size;
