/* SPDX-License-Identifier: MIT */
#pragma once
/* How a peer is shown. */
#include "conf/config.h"
#include "conf/prefix.h"
#include "daemon/base/peer.h"

/* "192.0.2.1:80", "[2001:db8::1]:80", "uid:1000", "vsock:3:1024"; the longest has 46 + 17 + 8 characters. */
#define PEER_TEXT_MAX 80

/* As log.addresses wants it shown: in full; by its prefix of 24 or 48 bits, or its CID, without a port; or
 * NULL for none and for no peer. */
const char *peer_format(const Peer *p, LogAddresses how, char buf[static PEER_TEXT_MAX]);
/* The same of a prefix: "192.0.2.0/24", "uid:1000"; a longer one than the 24 or 48 bits is cut there. */
const char *peer_format_prefix(const Prefix *prefix, LogAddresses how, char buf[static PEER_TEXT_MAX]);
