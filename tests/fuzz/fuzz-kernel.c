/* SPDX-License-Identifier: MIT */
/* Any bytes as what the kernel answers: netlink's tables of sockets, /proc, the files of control groups. The
 * first byte says whose answer they are. It is not the kernel that is doubted, but how its answers are read:
 * cut off, with attributes of another size, of another version. */
#include <linux/netlink.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "daemon/cgroup-text.h"
#include "daemon/idle-connection.h"
#include "daemon/ledger.h"
#include "daemon/sock-diag.h"
#include "daemon/sock-ends.h"
#include "daemon/sock-query.h"
#include "daemon/unix-queue.h"
#include "tests/fuzz/require.h"

#define SEQUENCE 7U
#define INODE 0x01020304U

/* An answer begins with these, which no fuzzer would guess: where the last bit of the choice is set they are
 * put in, and the rest is the fuzzer's. */
static void put_head(char *answer, size_t n, uint16_t type) {
    struct nlmsghdr head = {.nlmsg_len = (uint32_t)n, .nlmsg_type = type, .nlmsg_seq = SEQUENCE};
    if (n >= sizeof(head))
        memcpy(answer, &head, sizeof(head));
}

static void try_query(const char *answer, size_t n) {
    static const SockName names[] = {
        {.family = AF_INET, .cookie = 0x0807060504030201, .inet = {.idiag_cookie = {0x04030201, 0x08070605}}},
        {.family = AF_INET6, .cookie = 0, .inet = {.idiag_if = 0}},
        {.family = AF_UNIX, .inode = INODE, .cookie = 0x0807060504030201},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char question[SOCK_QUERY_REQUEST_MAX];
        SockFate fate = SOCK_UNKNOWN;
        SockInfo info = {0};
        Movement m = {0};
        require(sock_query_request(&names[i], SEQUENCE, question) <= sizeof(question));
        if (!sock_query_answer(&names[i], SEQUENCE, answer, n, &fate, &info))
            continue;
        require(fate <= SOCK_GONE);
        for (uint64_t now = 1; now < 4; now++)
            (void)movement_look(&m, fate, &info, now * 1000000);
    }
}

static void try_info(const char *body, size_t n) {
    struct inet_diag_sockid id = {0};
    SockInfo info = {0};
    uint32_t inode = 0;
    if (sock_info_read(body, n, &info, &id, &inode))
        require(n >= sizeof(struct inet_diag_msg));
}

static void try_scan(const char *reply, size_t n) {
    Addr addrs[3] = {0};
    require(addr_parse_ip("127.0.0.1", 80, &addrs[0]) == 0 && addr_parse_ip("::", 80, &addrs[1]) == 0);
    require(addr_set_unix("/run/x.sock", &addrs[2]) == 0);
    for (size_t i = 0; i < sizeof(addrs) / sizeof(addrs[0]); i++) {
        char question[SOCK_DIAG_REQUEST_MAX];
        require(sock_diag_request(&addrs[i], question) <= sizeof(question));
        require(sock_diag_scan(&addrs[i], reply, n) <= SOCK_DIAG_PART_FAILED);
    }
}

static void try_end(const char *data, size_t n) {
    uint64_t cookie = 0;
    SockInfo last = {0};
    (void)sock_ends_parse(data, n, &cookie, &last);
}

static void try_queue(const char *data, size_t n) {
    int64_t queued = -1, backlog = -1;
    if (unix_queue_parse(INODE, data, n, &queued, &backlog) == 0)
        require(queued >= 0 && backlog >= 0);
    else
        require(queued == -1 && backlog == -1);
}

/* As it stands in /proc, NUL behind it. */
static void try_stat(const char *data, size_t n) {
    char *text = malloc(n + 1), state = 0;
    uint64_t ticks = 0;
    require(text != NULL);
    memcpy(text, data, n);
    text[n] = '\0';
    if (ledger_parse_stat(text, &state, &ticks)) {
        const LedgerRecord r = {.born_usec = 1000000, .known_usec = 2000000};
        (void)ledger_is_same(&r, ticks, 100);
        (void)ledger_is_same(&r, ticks, n % 3);
    }
    free(text);
}

static void try_cgroup(const char *data, size_t n) {
    static const char key[] = "oom_kill";
    char *copy = malloc(n + 1);
    require(copy != NULL);
    memcpy(copy, data, n);
    copy[n] = '\0';
    CLEANUP_TEXT Text group = {0}, path = {0};
    uint64_t number = 0;
    if (cgroup_parse_membership(copy, &group) == 0)
        require(!group.s || !strchr(group.s, '\n'));
    (void)cgroup_parse_mounts(copy, group.s ? group.s : "/", &path);
    (void)cgroup_parse_controllers(copy);
    (void)cgroup_parse_count(copy, key);
    (void)cgroup_parse_number(copy, &number);
    free(copy);
}

static void (*const readers[])(const char *data, size_t n) = {try_query, try_info, try_scan,  try_end,
                                                              try_queue, try_stat, try_cgroup};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint16_t types[] = {0, 20 /* SOCK_DIAG_BY_FAMILY */, NLMSG_DONE, NLMSG_ERROR};
    if (size < 1)
        return 0;
    char *answer = copy_of(data + 1, size - 1);
    if (data[0] & 0x80)
        put_head(answer, size - 1, types[(data[0] >> 4) & 3]);
    readers[(data[0] & 15) % (sizeof(readers) / sizeof(readers[0]))](answer, size - 1);
    free(answer);
    return 0;
}
