/* trace_draw.h - print the lanes of a trace as text, as wide as the terminal. */
#ifndef LSPO_CLI_TRACE_DRAW_H
#define LSPO_CLI_TRACE_DRAW_H

#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "cli/command.h"
#include "traces/trace.h"

/* The width of the terminal, or a usual one for a file. */
uint32_t lspo_draw_width(FILE *terminal);

/* To stdout, as wide as it is; in UTF-8 where the locale is, else in ASCII. */
lspo_status_t lspo_draw_print(const lspo_trace_t *trace, uint32_t first_iteration, uint32_t count);

/* Iteration 0 of a trace, which the text calls `named`. */
lspo_status_t lspo_draw_one(const lspo_trace_t *trace, uint32_t named, uint32_t width, FILE *file);

extern const lspo_command_t lspo_command_trace_draw;

#endif
