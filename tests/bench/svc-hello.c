/* SPDX-License-Identifier: MIT */
/* The same as an ordinary program: what users see. Linked statically and dynamically. */
#include <unistd.h>

int main(void) {
    return write(STDOUT_FILENO, "hello\n", 6) == 6 ? 0 : 1;
}
