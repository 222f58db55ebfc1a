/* SPDX-License-Identifier: MIT */
#pragma once
/* A worker of the prefork shape: a process that waits on the listeners with its siblings, and serves what it
 * accepts, one connection at a time. */
#include "services/shape-scoreboard.h"
#include "services/shape.h"

/* The whole life of the worker in @slot, right after @parent has forked it. @signals, the parent's
 * descriptor, is closed. Ends by SIGTERM, when the connection in hand has ended or its time is over, or with
 * the parent. */
_Noreturn void worker_run(const ShapeJob *job, Scoreboard *board, size_t slot, pid_t parent, int signals);
