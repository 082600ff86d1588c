/* uneven_rows.h - training rows with different numbers of targets, for any division of a step into micro-batches:
 * row number r of the training is row r mod 4 of a step.  Of these row 1 counts none at all, row 2 one. */
#ifndef LSPO_TESTS_UNEVEN_ROWS_H
#define LSPO_TESTS_UNEVEN_ROWS_H

#include <criterion/criterion.h>

#include "plan/model.h"
#include "plan/workload.h"
#include "real/session/session.h"

enum { UNEVEN_ROWS = 4, UNEVEN_SEQUENCE = 8 };

/* What a step is cut into; all are the same step. */
static const struct {
    uint32_t batch, accumulation;
} uneven_cuts[] = {{4, 1}, {2, 2}, {1, 4}};
enum { UNEVEN_CUTS = sizeof uneven_cuts / sizeof uneven_cuts[0] };

typedef struct {
    lspo_workload_t workload;
    uint32_t class_count;
    bool empty_step;   /* step 1 counts no target */
    bool always_empty; /* no step counts any */
    bool one_step;     /* all steps are the first */
} uneven_t;

static inline lspo_model_t uneven_model(lspo_family_t family)
{
    bool llama = family == LSPO_FAMILY_LLAMA, bert = family == LSPO_FAMILY_BERT;
    return (lspo_model_t){.name = "uneven",
                          .family = family,
                          .block_count = 2,
                          .width = 32,
                          .head_count = 2,
                          .kv_head_count = llama ? 1 : 2,
                          .mlp_width = 64,
                          .vocabulary = 64,
                          .max_sequence = UNEVEN_SEQUENCE,
                          .class_count = bert ? 3 : 0,
                          .tied_head = family == LSPO_FAMILY_GPT};
}

static inline uint32_t uneven_counted(uint32_t row)
{
    static const uint32_t counted[UNEVEN_ROWS] = {UNEVEN_SEQUENCE, 0, 1, 5};
    return counted[row];
}

/* The last targets of a row count, as those of a completion do; of a classifier the label of each row but number 1. */
static inline void uneven_row(const uneven_t *rows, uint32_t step, uint32_t row, uint32_t place, lspo_batch_t *batch)
{
    uint32_t *tokens = batch->tokens + place * UNEVEN_SEQUENCE, *targets = batch->targets + place * UNEVEN_SEQUENCE;
    bool empty = rows->always_empty || (rows->empty_step && step == 1);
    for (uint32_t i = 0; i < UNEVEN_SEQUENCE; i++) {
        bool counts = !empty && i >= UNEVEN_SEQUENCE - uneven_counted(row);
        tokens[i] = (17 * row + 5 * i + step % 2 * 7 + i * i) % 61;
        if (rows->class_count == 0)
            targets[i] = counts ? (tokens[i] + 11 * row + 3) % 61 : LSPO_TARGET_IGNORED;
    }
    if (rows->class_count > 0)
        batch->targets[place] =
            !empty && uneven_counted(row) > 0 ? (row + step) % rows->class_count : LSPO_TARGET_IGNORED;
    batch->lengths[place] = rows->class_count > 0 ? 3 + row : UNEVEN_SEQUENCE;
}

/* An lspo_batch_function_t; the context is an uneven_t. */
static inline lspo_status_t uneven_batch(void *context, uint32_t step, uint32_t micro, lspo_batch_t *batch)
{
    const uneven_t *rows = context;
    uint32_t count = rows->workload.batch;
    cr_assert_eq(count * rows->workload.accumulation, (uint32_t)UNEVEN_ROWS);
    for (uint32_t place = 0; place < count; place++)
        uneven_row(rows, rows->one_step ? 0 : step, micro * count + place, place, batch);
    return LSPO_OK;
}

/* The rows of step 0 as batches to be evaluated: their mean loss is what that of the step must be. */
static inline lspo_status_t uneven_evaluated(void *context, uint32_t index, uint32_t micro, lspo_batch_t *batch)
{
    (void)micro;
    return uneven_batch(&(uneven_t){.workload = ((const uneven_t *)context)->workload,
                                    .class_count = ((const uneven_t *)context)->class_count},
                        0, index, batch);
}

#endif
