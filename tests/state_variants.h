/* state_variants.h - trainings for suites of policies whose state visits the GPU part by part. */
#ifndef LSPO_TESTS_STATE_VARIANTS_H
#define LSPO_TESTS_STATE_VARIANTS_H

#include "tests/session_fixture.h"

/* Each with and without checkpointing, clipping, micro-batches, and training of the rest. */
enum { VARIANTS = 16, SHORT = 5 };

static inline lspo_workload_t workload_of(int variant)
{
    lspo_workload_t workload = small_workload();
    workload.iterations = SHORT;
    workload.weight_decay = 0.1;
    workload.checkpointing = variant & 1;
    workload.clip_norm = variant & 2 ? 0.05 : 0;
    workload.accumulation = variant & 4 ? 3 : 1;
    workload.train_rest = variant & 8 ? LSPO_TRAIN_REST_OFF : LSPO_TRAIN_REST_ON;
    return workload;
}

/* Blocks of 32768 weights and more: some are several parts of 16384. */
static inline void widen(void)
{
    width_factor = 2;
}

static inline void narrow(void)
{
    width_factor = 1;
}

#endif
