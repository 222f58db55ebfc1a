/* SPDX-License-Identifier: MIT */
#pragma once
/* A datagram socket of a service: takes requests in, asks the guard, and answers from the address that was
 * asked. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Makes the answer to a request of @n bytes in place, in the @size bytes at @data; @number counts the
 * datagrams that were answered before. Returns its length, which may be 0, or -1: no answer. */
typedef ssize_t DatagramReply(unsigned char *data, size_t n, size_t size, uint64_t number);

typedef struct Datagram Datagram;

typedef struct DatagramCount {
    uint64_t served;  /* taken in, and answered where the service answers */
    uint64_t refused; /* by the guard */
} DatagramCount;

/* Serves the socket @fd, which it does not own. Asks the kernel to tell each datagram's own address. NULL: no
 * memory. */
Datagram *datagram_new(DatagramReply *reply, int fd);
Datagram *datagram_free(Datagram *d);
int datagram_fd(const Datagram *d);
DatagramCount datagram_count(const Datagram *d);

/* Serves what is queued, a bounded number at a time, without blocking. Returns whether it did anything, or a
 * negative errno when the socket is of no use any more. */
int datagram_serve(Datagram *d);
