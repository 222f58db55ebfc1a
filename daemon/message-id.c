/* SPDX-License-Identifier: MIT */
#include "daemon/message-id.h"

#include <string.h>

#include "daemon/base/cleanup.h"
#include "daemon/base/text.h"

static const struct {
    const char *event, *id;
    bool of_daemon;      /* the event of a service is another one */
    const char *message; /* and this in it */
} ids[] = {
    {"running", "3de10efe6ca14bb987d5c04961c69222", true, NULL},
    {"stopped", "6b4d125f2ae34cbebce0f0d73628dd4f", true, NULL},
    {"reload_failed", "861bf764601a469aa7bd63cef272f9df", true, NULL},
    {"upgrade_failed", "9e2fa2f23ebf4c95ad12a71a5719ce25", true, NULL},
    {"upgraded", "f9a1cec5299143d7bf74b9c3a6350e87", true, NULL},
    {"adopted", "66756949a9454dfa9ff8e68c007ce77a", true, NULL},
    {"state", "7c471c247e9243fb82ba2bef7c047f8f", false, "-> failed"},
    {"spawn_failed", "e0bd2a8ae80e4a79a39772ebbfc1395b", false, NULL},
    {"banned", "96f3b0608c1e41c5bc41d2ae7d563ed3", false, NULL},
};

const char *message_id(const ApiEvent *e) {
    for (size_t i = 0; i < ELEMENTS(ids); i++) {
        if (!streq(ids[i].event, e->event) || ids[i].of_daemon != (e->service == NULL))
            continue;
        if (!ids[i].message || (e->message && strstr(e->message, ids[i].message)))
            return ids[i].id;
    }
    return NULL;
}
