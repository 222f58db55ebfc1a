/* SPDX-License-Identifier: MIT */
/* The smallest service: writes "hello" to descriptor 1 and ends, by two system calls and without libc, so that what is
 * measured is the daemon. With LINES it writes two lines to descriptor 2 before, with HOLD it waits
 * until its peer has said something, or has ended. */
    .section .rodata
text:
    .ascii "hello\n"
lines:
    .ascii "one\n"
    .ascii "two\n"
    .text
    .globl _start
_start:
#if defined(__x86_64__)
#ifdef LINES
    mov $1, %eax            /* write */
    mov $2, %edi
    lea lines(%rip), %rsi
    mov $4, %edx
    syscall
    mov $1, %eax            /* write */
    mov $2, %edi
    lea lines + 4(%rip), %rsi
    mov $4, %edx
    syscall
#endif
#ifdef HOLD
    xor %eax, %eax          /* read */
    xor %edi, %edi
    lea -512(%rsp), %rsi
    mov $512, %edx
    syscall
#endif
    mov $1, %eax            /* write */
    mov $1, %edi
    lea text(%rip), %rsi
    mov $6, %edx
    syscall
    mov $231, %eax          /* exit_group */
    xor %edi, %edi
    syscall
#elif defined(__aarch64__)
#ifdef LINES
    mov x8, #64             /* write */
    mov x0, #2
    adrp x1, lines
    add x1, x1, :lo12:lines
    mov x2, #4
    svc #0
    mov x8, #64             /* write */
    mov x0, #2
    adrp x1, lines
    add x1, x1, :lo12:lines
    add x1, x1, #4
    mov x2, #4
    svc #0
#endif
#ifdef HOLD
    mov x8, #63             /* read */
    mov x0, #0
    sub x1, sp, #512
    mov x2, #512
    svc #0
#endif
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
