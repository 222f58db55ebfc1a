/* SPDX-License-Identifier: MIT */
#pragma once
/* Diagnostics and changes as replies carry them, shown as the daemon and `check` show them. */
#include "ctl/ctl.h"

/* The text of @parameters.diagnostics as of a DiagList; @tail as diag_list_format() takes it. */
void diagnostics_format(const json_t *parameters, const char *tail, Text *out);
/* What InvalidConfig says: the diagnostics on stderr (not with --json, whose document has them). Returns the
 * status. */
int diagnostics_report_refusal(Ctl *c, const json_t *parameters);
/* "none → 50/s": the values of one of them; what is not set is none. */
void change_add_values(const Style *style, const json_t *change, Text *out);
/* "  ~ git  limits.instances 50 → 80", a line for each of @parameters.changes. */
void changes_format(const Ctl *c, const json_t *parameters, Text *out);
/* "  git  listener tcp:9418: change, backlog", a line for each step of @parameters.plan that the changes do
 * not say. */
void plan_format(const json_t *parameters, Text *out);
