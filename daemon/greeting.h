/* SPDX-License-Identifier: MIT */
#pragma once
/* What a peer hears before its service starts: the answer to its tcpmux name, and banner.greeting. */

struct Connection;
struct Service;

/* Sends it over @c, which @s has admitted, without waiting. 0, or a negative errno when not all of it could
 * be sent: the peer has gone, and the connection is of no use. */
int greeting_send(const struct Service *s, const struct Connection *c);
