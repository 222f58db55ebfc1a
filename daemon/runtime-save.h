/* SPDX-License-Identifier: MIT */
#pragma once
/* What the runtime hands on: its counters, and the limits with which the daemon was first started. The tables
 * that it holds save themselves. */
#include "daemon/base/blob.h"
#include "daemon/runtime.h"

void runtime_save(BlobWriter *w, const Runtime *rt);
int runtime_restore(BlobReader r, Runtime *rt); /* 0, or -EBADMSG */
