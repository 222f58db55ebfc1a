/* SPDX-License-Identifier: MIT */
#pragma once
/* The terminal of top, by ncurses: full screen from terminal_start() to terminal_stop(), and given back as it
 * was found on every other way out too. There is one terminal, so there is one of these, without an object.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum TerminalError {
    TERMINAL_OK,
    TERMINAL_NO_NAME, /* TERM is not set */
    TERMINAL_UNKNOWN, /* terminfo does not know it */
    TERMINAL_DUMB,    /* its cursor cannot be moved */
    TERMINAL_FAILED,
} TerminalError;

/* How a run of text looks. */
typedef struct TerminalInk {
    short foreground; /* ANSI number of a colour; negative: the terminal's own. Not where there are none. */
    bool bold, dim, reverse;
} TerminalInk;

#define TERMINAL_COLORS 8

/* Takes over stdin and stdout, which are terminals. @color: colours may be used, if it has some. */
TerminalError terminal_start(bool color);
/* Does nothing where it was not started. */
void terminal_stop(void);
/* Gives the terminal back, stops this process as Ctrl-Z does, and takes it again when the process goes on.
 * SIGTSTP and SIGCONT are blocked. */
void terminal_suspend(void);
/* Takes the terminal again after a stop that nobody told of: SIGSTOP. */
void terminal_resume(void);
/* Asks for the window's size, which may have changed. */
void terminal_size(size_t *ret_width, size_t *ret_height);

/* A frame: begun, lines written from the left to the right, shown. Only what differs goes out. */
void terminal_begin(void);
/* All of a line in one ink. */
void terminal_fill(size_t line, TerminalInk ink);
/* Returns the column behind the text. @text is no longer than the line. */
size_t terminal_put(size_t line, size_t column, const char *text, size_t n, TerminalInk ink);
void terminal_show(void);

/* The next key, a code point or a TopKey; 0 when there is none. */
uint32_t terminal_key(void);
