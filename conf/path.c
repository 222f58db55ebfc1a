/* SPDX-License-Identifier: MIT */
#include "conf/path.h"

#include <string.h>

const char *path_of_item(const char *item) {
    return *item == '-' ? item + 1 : item;
}

bool path_is_below(const char *path, const char *folder) {
    size_t n = strlen(folder);
    n -= n > 0 && folder[n - 1] == '/'; /* "/" */
    return strncmp(path, folder, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

ssize_t path_find_above(const char *path, char *const *folders) {
    for (size_t i = 0; folders && folders[i]; i++)
        if (path_is_below(path, path_of_item(folders[i])))
            return (ssize_t)i;
    return -1;
}
