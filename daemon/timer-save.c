/* SPDX-License-Identifier: MIT */
#include "daemon/timer-save.h"

void timer_put(BlobWriter *w, uint16_t tag, sd_event_source *timer) {
    int enabled = SD_EVENT_OFF;
    uint64_t usec = 0;
    if (!timer || sd_event_source_get_enabled(timer, &enabled) < 0 || enabled == SD_EVENT_OFF ||
        sd_event_source_get_time(timer, &usec) < 0)
        return;
    blob_put_u64(w, tag, usec);
}
