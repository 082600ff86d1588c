/* batch.h - a micro-batch of training data, and the functions that fill it. */
#ifndef LSPO_REAL_DATA_BATCH_H
#define LSPO_REAL_DATA_BATCH_H

#include <stdint.h>

#include "base/status.h"
#include "kernels/loss.h" /* LSPO_TARGET_IGNORED */

/* One micro-batch, row-major, to be filled.  Targets of LSPO_TARGET_IGNORED (a prompt, padding) do not count. */
typedef struct {
    uint32_t *tokens;  /* batch x sequence ids < vocabulary                                              */
    uint32_t *targets; /* batch x sequence: the next token or LSPO_TARGET_IGNORED; classifier: one class per row, or
                          the bits of a float if it has one class */
    uint32_t *lengths; /* batch: tokens without padding, 1..sequence; preset to sequence        */
} lspo_batch_t;

/* `step` counts optimizer steps from the start of the training.  Called on the GPU lane's thread, with accumulation
 * more than once for a batch; it must depend on its arguments only. */
typedef lspo_status_t (*lspo_batch_function_t)(void *context, uint32_t step, uint32_t micro, lspo_batch_t *batch);

#endif
