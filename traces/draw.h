/* draw.h - the lanes of a trace as lines of text: what each lane does when. */
#ifndef LSPO_TRACES_DRAW_H
#define LSPO_TRACES_DRAW_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "traces/trace.h"

typedef struct {
    uint32_t first_iteration, iteration_count; /* from the first start of their ops to the last end */
    uint32_t named_from;                       /* what iteration 0 of the trace is called */
    uint32_t width;                            /* columns in all, at least LSPO_DRAW_WIDTH_LEAST */
    bool utf8;                                 /* else ASCII */
} lspo_draw_t;

enum { LSPO_DRAW_WIDTH_LEAST = 40 };

/* A line for the ends of iterations, one for each lane with ops there, and what the letters mean, wrapped.  A character
 * stands for an equal part of the time: a letter for the kind of op that takes most of it, small if the lane is busy
 * for less than half; a comma for less than a tenth, a dot for less than a hundredth.  LSPO_ERR_INPUT if the trace has
 * none of these iterations. */
lspo_status_t lspo_trace_draw(const lspo_trace_t *trace, const lspo_draw_t *draw, FILE *file);

#endif
