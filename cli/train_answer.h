/* train_answer.h - what `lspo train` prints when it ends. */
#ifndef LSPO_CLI_TRAIN_ANSWER_H
#define LSPO_CLI_TRAIN_ANSWER_H

#include <stdint.h>

#include "base/status.h"
#include "base/table.h"
#include "real/train/train.h"

/* NULL, NaN and LSPO_MISSING: not known. */
typedef struct {
    const char *model, *policy, *device, *data, *tokenizer, *ended, *output, *export_path, *version;
    const char *sample;
    uint64_t steps, steps_run, resumed_from, seed, best_step, refits, cut_rows, dropped_rows, peak_gpu_bytes,
        checkpoint_copy_bytes;
    uint64_t evaluated_rows; /* of the held-out ones, in each evaluation */
    double epochs, load_s, train_s, step_s, predicted_step_s, fit_s, checkpoint_s, tokens_per_s, loss_first, loss_last,
        held_out_before, held_out_after, perplexity_before, perplexity_after, best_loss;
    lspo_scores_t before, after, best; /* of a classifier */
} lspo_train_answer_t;

/* One record on standard output. */
lspo_status_t lspo_train_answer_write(const lspo_train_answer_t *answer, lspo_format_t format);

#endif
