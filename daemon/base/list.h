/* SPDX-License-Identifier: MIT */
#pragma once
/* An intrusive doubly linked list with a sentinel. A link that is on no list points to itself after
 * list_init() or list_remove(), so removing twice is harmless. */
#include <stdbool.h>
#include <stddef.h>

typedef struct List {
    struct List *next;
    struct List *prev;
} List;

static inline void list_init(List *l) {
    l->next = l->prev = l;
}
static inline bool list_is_empty(const List *l) {
    return l->next == l;
}
static inline void list_append(List *head, List *item) {
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}
static inline void list_remove(List *item) {
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}

#define LIST_ENTRY(link, type, member) ((type *)(void *)((char *)(link)-offsetof(type, member)))
/* The body may not remove @it from the list; LIST_FOREACH_SAFE's body may. */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type and a name being declared take no parentheses */
#define LIST_FOREACH(it, head, type, member)                                                                 \
    for (type *it = LIST_ENTRY((head)->next, type, member); &(it)->member != (head);                         \
         (it) = LIST_ENTRY((it)->member.next, type, member))
#define LIST_FOREACH_SAFE(it, head, type, member)                                                            \
    for (type *it = LIST_ENTRY((head)->next, type, member),                                                  \
              *it##_next = LIST_ENTRY((it)->member.next, type, member);                                      \
         &(it)->member != (head); (it) = it##_next, it##_next = LIST_ENTRY((it)->member.next, type, member))
/* NOLINTEND(bugprone-macro-parentheses) */
