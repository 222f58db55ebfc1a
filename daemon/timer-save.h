/* SPDX-License-Identifier: MIT */
#pragma once
/* When a timer of the loop goes off, as a field of a blob. */
#include <systemd/sd-event.h>

#include "daemon/base/blob.h"

/* Puts its time, absolute, in microseconds of its clock; nothing when there is no timer, or it is off. */
void timer_put(BlobWriter *w, uint16_t tag, sd_event_source *timer);
