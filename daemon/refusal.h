/* SPDX-License-Identifier: MIT */
#pragma once
/* A refusal: who is not served is counted, told of, and sent away as limits.refuse_with says. Never blocks.
 */
#include "daemon/admission.h"
#include "daemon/base/peer.h"

struct Connection;
struct Service;

/* Refuses @c, whose descriptor is closed by it, for the reason of @a; @detail (or NULL) is put behind it.
 * "refused: access (deny 192.0.2.0/24)" */
void refusal_refuse(struct Service *s, struct Connection *c, const Admission *a, const char *detail);
/* The same of one who has no connection: counts it, and says so. */
void refusal_tell(struct Service *s, const Peer *peer, const Admission *a, const char *detail);
