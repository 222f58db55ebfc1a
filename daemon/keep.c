/* SPDX-License-Identifier: MIT */
#include "daemon/keep.h"

#include <inttypes.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon/base/siphash.h"
#include "daemon/base/text.h"

#define KEEP_PREFIX FD_STORE_PREFIX "listener."
#define KEEP_NODE ".node"

/* Some are alike as written: ports that the kernel chooses, one port on several devices, or one that is
 * shared. Which of them it is. */
static size_t occurrence(const Service *s, const Listener *l) {
    size_t n = 0;
    for (size_t i = 0; i < s->n_listeners && s->listeners[i] != l; i++)
        n += s->listeners[i]->index == l->index &&
             streq(s->listeners[i]->config->endpoint.text, l->config->endpoint.text);
    return n;
}

uint64_t keep_digest(const Service *s, const Listener *l) {
    /* No secret: who can choose names may choose addresses as well. */
    static const uint8_t key[SIPHASH_KEY_BYTES] = "mpinetd listener";
    const Endpoint *e = &l->config->endpoint;
    CLEANUP_TEXT Text t = {0};
    text_addf(&t, "%s\n%s\n%u %zu", s->name, e->text, l->index, occurrence(s, l));
    return siphash24(key, t.s ? t.s : "", t.len);
}

const char *keep_name_format(const KeptName *name, char buf[static FD_STORE_NAME_MAX]) {
    (void)snprintf(buf, FD_STORE_NAME_MAX, KEEP_PREFIX "%016" PRIx64 "%s", name->digest,
                   name->node ? KEEP_NODE : "");
    return buf;
}

bool keep_name_parse(const char *name, KeptName *ret) {
    size_t prefix = strlen(KEEP_PREFIX);
    char written[FD_STORE_NAME_MAX];
    int n = 0;
    if (strncmp(name, KEEP_PREFIX, prefix) != 0 ||
        sscanf(name + prefix, "%16" SCNx64 "%n", &ret->digest, &n) != 1)
        return false;
    ret->node = streq(name + prefix + n, KEEP_NODE);
    /* What was read may have signs, spaces, capitals, 0x. */
    return streq(name, keep_name_format(ret, written));
}

static bool int_is(int fd, int level, int option, int wanted) {
    int value = -1;
    socklen_t n = sizeof(value);
    return getsockopt(fd, level, option, &value, &n) == 0 && (value != 0) == (wanted != 0);
}

bool keep_fits(int fd, const ListenConfig *c) {
    char device[IF_NAMESIZE] = "";
    socklen_t n = sizeof(device);
    if (!endpoint_kind_is_inet(c->endpoint.kind))
        return true;
    if (getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, &n) < 0 || n == 0)
        device[0] = '\0';
    device[sizeof(device) - 1] = '\0';
    if (!streq(device, c->device ? c->device : "") || !int_is(fd, SOL_SOCKET, SO_REUSEPORT, c->reuse_port))
        return false;
    int family = AF_UNSPEC;
    n = sizeof(family);
    (void)getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &n);
    return family != AF_INET6 ||
           int_is(fd, IPPROTO_IPV6, IPV6_V6ONLY, c->endpoint.both_families || c->only_v6);
}

static bool is_kept(const Service *s, const Listener *l, char name[static FD_STORE_NAME_MAX]) {
    KeptName kept = {.digest = keep_digest(s, l), .node = l->ino != 0};
    return listener_is_open(l) && !l->adopted && keep_name_format(&kept, name);
}

/* All names that are given up go first: another listener may be the one that has them next. */
static void release(const Service *s, Listener *l) {
    char name[FD_STORE_NAME_MAX];
    if (l->kept && is_kept(s, l, name) && !streq(stored_fd_name(l->kept), name))
        l->kept = stored_fd_release(l->kept);
}

static void keep(FdStore *store, const Service *s, Listener *l) {
    char name[FD_STORE_NAME_MAX];
    if (!l->kept && is_kept(s, l, name))
        l->kept = fd_store_keep(store, name, l->fd);
}

void keep_update(FdStore *store, Service *const *services, size_t n) {
    if (!store)
        return;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < services[i]->n_listeners; k++)
            release(services[i], services[i]->listeners[k]);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < services[i]->n_listeners; k++)
            keep(store, services[i], services[i]->listeners[k]);
    fd_store_settle(store);
}
