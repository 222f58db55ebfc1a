/* SPDX-License-Identifier: MIT */
#pragma once
/* One diagnostic as a field of fields of a blob, and back. A list of them: config-blob.h. Pure. */
#include "conf/diag.h"
#include "daemon/base/blob.h"

void diag_put(BlobWriter *w, uint16_t tag, const Diag *d);
/* With all its texts, the caller's; else the blob is spoilt, and it is all zero. */
void diag_get(const BlobField *f, Diag *ret);
