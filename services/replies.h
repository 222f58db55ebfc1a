/* SPDX-License-Identifier: MIT */
#pragma once
/* What the small services say, byte for byte. Pure. */
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* RFC 864: the 95 printable ASCII characters in a ring, 72 a line, each line beginning one character further
 * on. */
#define CHARGEN_LINE 74U
/* RFC 864: a datagram carries 0 to 512 characters. */
#define CHARGEN_DATAGRAM_MAX 512U
/* Writes @n bytes of the endless pattern, beginning at @offset. */
void chargen_fill(uint64_t offset, unsigned char *buf, size_t n);

/* RFC 867, in the form of the inetds: ctime(3)'s text, English in any locale, and CRLF. Room for the NUL
 * included. */
#define DAYTIME_MAX 64U
size_t daytime_format(const struct tm *tm, char buf[static DAYTIME_MAX]);

/* RFC 868: seconds since 1900, 32 bits, big-endian; begins anew in 2036. */
#define TIME_LENGTH 4U
void time_encode(time_t now, unsigned char buf[static TIME_LENGTH]);
