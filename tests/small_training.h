/* small_training.h - the workload of tests that train a few steps under every policy: all that a policy may need is small, and
 * whatever comes round comes round within a few steps. */
#ifndef LSPO_TESTS_SMALL_TRAINING_H
#define LSPO_TESTS_SMALL_TRAINING_H

#include "plan/workload.h"

static inline lspo_workload_t small_training(uint32_t batch, uint32_t sequence, uint32_t iterations,
                                             lspo_precision_t precision)
{
    lspo_workload_t workload;
    lspo_workload_default(&workload);
    workload.batch = batch;
    workload.sequence = sequence;
    workload.precision = workload.transfer = precision;
    workload.iterations = iterations;
    workload.learning_rate = 3e-3;
    workload.subspace = 16;
    workload.nnz = 4;
    workload.rank = 4;
    workload.project_every = 2;
    workload.switch_every = 2;
    workload.update_every = 2;
    workload.select_every = 2;
    return workload;
}

#endif
