/* SPDX-License-Identifier: MIT */
#pragma once
/* What sources do wrong, and the bans that follow. */
#include "ctl/proto/api.h"
#include "daemon/bans.h"

struct Instance;
struct Service;

/* Bans @peer, from all services if @s is a sensor. Told unless he is banned already. Returns for how long he
 * is, from now, in microseconds. */
uint64_t offence_ban(struct Service *s, const Peer *peer, BanCause cause);
/* @peer has been refused, or its process has failed: one strike, and with too many of them (ban.after) a
 * ban. */
void offence_count(struct Service *s, const Peer *peer, BanCause cause);
/* Whether being refused for @reason is an offence: not that of who came outside of the hours, is banned
 * already, or passes on what others send. Pure. */
bool offence_is_refusal(RefuseReason reason);
/* @i has ended with @status, from wait(2): one of ban.exit_codes is an offence of its peer. */
void offence_on_end(const struct Instance *i, int status);
