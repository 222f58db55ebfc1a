/* SPDX-License-Identifier: MIT */
#include "ctl/event-words.h"

#include "daemon/base/cleanup.h"

static const EventWord words[] = {
    {"listening", "a service has opened its listeners"},
    {"started", "an instance was started"},
    {"ended", "an instance has ended: exit status or signal, after how long, and why"},
    {"refused", "a connection was refused: the reason, and whose"},
    {"banned", "a source is not served any more: why, by which service, and for how long"},
    {"dismissed", "an instance was told to end: its peer is no longer admitted after a reload"},
    {"unbanned", "bans were lifted: how many, and the uid that asked for it"},
    {"gone", "a connection ended before it could be served"},
    {"spawn_failed", "an instance could not be started: the step, and the error"},
    {"ready", "an instance has said that it is ready"},
    {"status", "an instance has said something of itself"},
    {"state", "a service has gone from one state to another"},
    {"reloaded", "the config was loaded again"},
    {"reload_failed", "the config was not loaded again: what is wrong with it"},
    {"set", "limits of a service were changed, until the next reload"},
    {"upgraded", "another program runs in the daemon's place: which, and how long it took"},
    {"upgrade_failed", "no other program runs in the daemon's place, and why"},
    {"upgrade", "another program is to run in the daemon's place, and proves itself"},
    {"control", "somebody asked for a change: the verb, and the uid"},
    {"error", "something went wrong in the daemon, or for a service"},
    {"inherit", "a socket that was passed in was not used"},
    {"adopted", "a process of an earlier daemon goes on as an instance of this one"},
    {"running", "the daemon has started"},
    {"stopping", "the daemon ends"},
    {"stopped", "the daemon has ended its services"},
    {"summary", "the state of a service, asked for by SIGUSR1"},
    {"stderr", "a line that an instance wrote to stderr, shown by logs only", true},
};

const EventWord *event_word(size_t i) {
    return i < ELEMENTS(words) ? &words[i] : NULL;
}
