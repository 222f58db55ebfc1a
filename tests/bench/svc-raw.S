/* SPDX-License-Identifier: MIT */
/* The smallest service: writes "hello" to descriptor 1 and ends, by two system calls and without libc, so that what is
 * measured is the daemon. */
    .section .rodata
text:
    .ascii "hello\n"
    .text
    .globl _start
_start:
#if defined(__x86_64__)
    mov $1, %eax            /* write */
    mov $1, %edi
    lea text(%rip), %rsi
    mov $6, %edx
    syscall
    mov $231, %eax          /* exit_group */
    xor %edi, %edi
    syscall
#elif defined(__aarch64__)
    mov x8, #64             /* write */
    mov x0, #1
    adrp x1, text
    add x1, x1, :lo12:text
    mov x2, #6
    svc #0
    mov x8, #94             /* exit_group */
    mov x0, #0
    svc #0
#else
#error "svc-raw.S is written for x86_64 and aarch64"
#endif
    .section .note.GNU-stack, "", %progbits
