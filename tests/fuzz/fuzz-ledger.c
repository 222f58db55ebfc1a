/* SPDX-License-Identifier: MIT */
/* Any bytes in the memory that an earlier daemon has left of its processes: refused, or records whose values
 * are in range; what is struck out is gone, what is added is there. With the first byte odd the header is
 * right, and the rest is records; with its next bit they count as valid. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/ledger.h"
#include "tests/fuzz/require.h"

#define HEADER_BYTES 128U
#define N_USED 20U /* where the header says how many places were used */
#define VALID 0x76616c69U
#define ALL_BYTES (HEADER_BYTES + (size_t)LEDGER_RECORDS * sizeof(LedgerRecord))

/* A header as it is to be, and how long it was made before: never. */
static void read_header(char ret[static HEADER_BYTES]) {
    Ledger *l = NULL;
    require(ledger_new(&l) == 0 && pread(ledger_fd(l), ret, HEADER_BYTES, 0) == HEADER_BYTES);
    ledger_free(l);
}

static void put(int fd, const void *data, size_t n, size_t at) {
    require(pwrite(fd, data, n, (off_t)at) == (ssize_t)n);
}

static int make(const uint8_t *data, size_t size) {
    static char header[HEADER_BYTES];
    const uint32_t valid = VALID;
    int fd = memfd_create("fuzz-ledger", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    size_t n = size - 1 < 16 * sizeof(LedgerRecord) ? size - 1 : 16 * sizeof(LedgerRecord);
    uint32_t n_used = (uint32_t)((n + sizeof(LedgerRecord) - 1) / sizeof(LedgerRecord));
    require(fd >= 0 && ftruncate(fd, (off_t)ALL_BYTES) == 0);
    if (header[0] == '\0')
        read_header(header);
    if (!(data[0] & 1)) {
        put(fd, data + 1, n, 0);
    } else {
        put(fd, header, HEADER_BYTES, 0);
        put(fd, &n_used, sizeof(n_used), N_USED);
        put(fd, data + 1, n, HEADER_BYTES);
        for (size_t i = 0; (data[0] & 2) && i < n_used; i++)
            put(fd, &valid, sizeof(valid), HEADER_BYTES + i * sizeof(LedgerRecord));
    }
    require(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
    return fd;
}

static size_t count(const Ledger *l) {
    LedgerRecord r;
    size_t n = 0;
    for (uint32_t place = 0; ledger_next(l, &place, &r); n++) {
        require(place >= 1 && place <= LEDGER_RECORDS && r.pid > 1 && r.kind < _LEDGER_KIND_MAX);
        require(memchr(r.name, '\0', sizeof(r.name)) && r.peer.kind <= PEER_VSOCK);
    }
    return n;
}

static void use(Ledger *l) {
    size_t n = count(l);
    const LedgerRecord mine = {.pid = 4711, .kind = LEDGER_SLOT, .name = "mine"};
    uint32_t place = ledger_add(l, &mine), next = 0;
    LedgerRecord r;
    if (place > 0) {
        require(count(l) == n + 1);
        next = place - 1;
        require(ledger_next(l, &next, &r) && next == place && r.pid == 4711 && strcmp(r.name, "mine") == 0);
        ledger_remove(l, &place);
    }
    require(place == 0 && count(l) == n);
    for (next = 0; ledger_next(l, &next, &r);) {
        uint32_t gone = next;
        ledger_remove(l, &gone);
    }
    require(count(l) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    Ledger *l = NULL;
    if (size < 1)
        return 0;
    int r = ledger_open(make(data, size), &l);
    require((r == 0) == (l != NULL) && (r == 0 || r == -EBADMSG || r == -ESTALE));
    if (l)
        use(l);
    ledger_free(l);
    return 0;
}
