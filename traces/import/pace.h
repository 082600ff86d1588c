/* pace.h - read how long a step takes from the lines that trainings without timers print.
 *
 *     iter 120: loss 2.1034, time 135.21ms, mfu 31.02%                  nanoGPT: the time of that step
 *     step  120/19560 | loss 3.28 (+0.10z)| ... | 300.10 ms | ...       llm.c
 *     step 00120/21400 (0.56%) | loss: 3.28 | ... | dt: 338.19ms | ...  nanochat, build-nanogpt
 *       5%|5         | 25/500 [00:52<16:28,  2.08s/it]                  progress bar (tqdm) of Hugging Face's Trainer
 *      88%|########8 | 440/500 [14:52<02:01,  1.95it/s, loss=0.7]       ... whose rate is a moving average
 *
 * A bar has no words before its percentage (bars of loading and of data sets have), or those of a training: "Epoch 0: "
 * (Lightning), "1|25|Loss: 1.9: " (torchtune), "Train: ", "Training: ".  Of several bars, told apart by their totals
 * (training, evaluation), the one that took longest counts.  Any text before "iter " or "step " is ignored, but a line
 * with "val" before its loss is of an evaluation; a carriage return ends a line, too.
 */
#ifndef LSPO_TRACES_IMPORT_PACE_H
#define LSPO_TRACES_IMPORT_PACE_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef enum {
    LSPO_PACE_NONE,  /* no such lines */
    LSPO_PACE_STEPS, /* a line per step */
    LSPO_PACE_BAR    /* a bar, in a file without such lines */
} lspo_pace_kind_t;

typedef struct {
    lspo_pace_kind_t kind;
    double *seconds; /* owned: of a step, in the order of the file */
    uint32_t count;
    uint32_t bad_count;      /* lines left out: a time that is 0, not a number, or above 1e6 s */
    uint32_t repeated_count; /* lines left out: the same step as the line before */
    uint64_t bad_line;       /* the first */
} lspo_pace_t;

/* LSPO_ERR_INPUT only if the file cannot be read. */
lspo_status_t lspo_pace_read(const char *path, lspo_pace_t *pace_out);
void lspo_pace_release(lspo_pace_t *pace);

#endif
