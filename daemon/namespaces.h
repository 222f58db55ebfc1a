/* SPDX-License-Identifier: MIT */
#pragma once
/* Namespaces that are made ahead and held by a descriptor: of users, which a process that shares its memory
 * can enter but not make, and of a network, which takes the kernel long to make and longer to take down. */
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

typedef struct NamespaceOrder {
    bool users, network; /* which are wanted */
    bool within;         /* the network belongs to the user namespace: who is not root can have none else */
    bool with_root;      /* root is there as well; setgroups(2) is possible */
    uid_t uid;           /* everybody stands for himself */
    gid_t gid;
    const gid_t *groups;
    size_t n_groups;
    int holder_fd; /* mp-init: what they are in until they are held by a descriptor */
} NamespaceOrder;

typedef struct NamespaceMaker NamespaceMaker;

/* Begins to make them, by a process that lives until they are there: about a millisecond, unless the kernel
 * is busy with others that are taken down. In the network there is nothing but a loopback interface, which is
 * up. What @order points to stays until the end. 0 with @ret, or a negative errno. */
int namespaces_begin(const NamespaceOrder *order, NamespaceMaker **ret);
/* Readable once there is something to take. */
int namespaces_fd(const NamespaceMaker *m);
/* The process, which is the caller's to reap. */
pid_t namespaces_pid(const NamespaceMaker *m);
/* Takes them, without waiting. 0; -EAGAIN: it is still at it; or another negative errno, *ret_of_network: it
 * was the network that could not be made. What is not wanted stays -EBADF. */
int namespaces_take(const NamespaceMaker *m, int *ret_user_fd, int *ret_network_fd, bool *ret_of_network);
/* Ends the process. Returns NULL; NULL is fine. */
NamespaceMaker *namespaces_free(NamespaceMaker *m);
