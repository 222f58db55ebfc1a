/* SPDX-License-Identifier: MIT */
#pragma once
/* The limits of a service as somebody has set them, in a blob. Pure. */
#include "conf/config.h"
#include "daemon/base/blob.h"

void limits_save(BlobWriter *w, const LimitsConfig *l);
/* What is missing stays as it is. 0, or -EBADMSG: then some of it may be taken. */
int limits_restore(BlobReader r, LimitsConfig *l);
