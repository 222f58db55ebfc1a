/* SPDX-License-Identifier: MIT */
#pragma once
/* SipHash-2-4 (Aumasson, Bernstein: "SipHash: a fast short-input PRF", 2012): a hash whose values nobody can
 * foresee who does not know the key, so that nobody chooses where he lands in a table. Pure. */
#include <stddef.h>
#include <stdint.h>

#define SIPHASH_KEY_BYTES 16

uint64_t siphash24(const uint8_t key[static SIPHASH_KEY_BYTES], const void *data, size_t n);
