/* SPDX-License-Identifier: MIT */
#pragma once
/* The daemon's log: events go to stderr (as text or JSON lines), to the journal with fields, or to syslog.
 * Lines for stderr are collected and written once per turn of the loop; writing never blocks: what a full
 * pipe or disk does not take is counted, and told once there is room again. */
#include "conf/config.h"
#include "ctl/proto/api.h"
#include "daemon/base/blob.h"

typedef enum LogTarget {
    LOG_TARGET_AUTO, /* the journal when stderr leads there (JOURNAL_STREAM), else stderr */
    LOG_TARGET_STDERR,
    LOG_TARGET_JOURNAL,
    LOG_TARGET_SYSLOG,
    _LOG_TARGET_MAX,
} LogTarget;
DECLARE_STRTAB(log_target, LogTarget);

typedef struct Logger Logger;

/* 0 or -ENOMEM. */
int logger_new(LogTarget target, Logger **ret);
Logger *logger_free(Logger *l); /* flushes; returns NULL */
DEFINE_CLEANUP(Logger *, logger_free);
void logger_set_level(Logger *l, LogLevel level);
void logger_set_format(Logger *l, LogFormat format);
bool logger_wants(const Logger *l, LogLevel level);
void logger_event(Logger *l, LogLevel level, const ApiEvent *e);
void logger_flush(Logger *l);
/* The upgrade in place: what could not be written yet. */
void logger_save(BlobWriter *w, const Logger *l);
void logger_restore(BlobReader r, Logger *l);
