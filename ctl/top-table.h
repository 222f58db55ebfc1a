/* SPDX-License-Identifier: MIT */
#pragma once
/* The two tables of top, services and instances, as text. Pure. */
#include "ctl/table.h"
#include "ctl/top-model.h"

/* "12.4"; from a hundred on without a fraction: "1 204". */
void top_add_rate(Text *out, double rate);
/* All that are shown; the column by which they are sorted has an arrow in its title. */
void top_services_format(const TopModel *m, const Style *style, Text *out);
/* Those that are shown from row @first up to @last, which is left out. */
void top_instances_format(const TopModel *m, size_t first, size_t last, const Style *style, Text *out);
/* The names and meanings of the columns, for -o help. */
void top_list_columns(Text *out);
