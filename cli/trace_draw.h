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

/* In UTF-8 where the locale is, else in ASCII. */
lspo_status_t lspo_draw_write(const lspo_trace_t *trace, uint32_t first_iteration, uint32_t count, uint32_t width,
                              FILE *file);
/* The same to stdout, as wide as it is. */
lspo_status_t lspo_draw_print(const lspo_trace_t *trace, uint32_t first_iteration, uint32_t count);

extern const lspo_command_t lspo_command_trace_draw;

#endif
