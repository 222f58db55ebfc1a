/* SPDX-License-Identifier: MIT */
#pragma once
/* Rules between the keys of sandbox and cgroup, and those that they meet. */
#include "conf/reader.h"

void validate_isolation(Reader *r, const ServiceConfig *s);
