/* SPDX-License-Identifier: MIT */
#pragma once
/* One table for an enum gives x_to_string() and x_from_string(). */
#include <errno.h>
#include <string.h>

#include "daemon/base/cleanup.h"

#define DECLARE_STRTAB(name, type)                                                                           \
    const char *name##_to_string(type value);                                                                \
    int name##_from_string(const char *s) /* the enum's value, or -EINVAL */

#define DEFINE_STRTAB(name, type, table)                                                                     \
    const char *name##_to_string(type value) {                                                               \
        return (size_t)value < ELEMENTS(table) ? (table)[value] : NULL;                                      \
    }                                                                                                        \
    int name##_from_string(const char *s) {                                                                  \
        for (size_t i = 0; i < ELEMENTS(table); i++)                                                         \
            if ((table)[i] && strcmp((table)[i], s) == 0)                                                    \
                return (int)i;                                                                               \
        return -EINVAL;                                                                                      \
    }                                                                                                        \
    struct name##_strtab_semicolon
