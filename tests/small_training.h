/* small_training.h - the workload of tests that train a few steps under every policy: all sizes and periods are
 * small. */
#ifndef LSPO_TESTS_SMALL_TRAINING_H
#define LSPO_TESTS_SMALL_TRAINING_H

#include "plan/policies/badam.h"
#include "plan/policies/galore.h"
#include "plan/policies/lsp.h"
#include "plan/policies/zenflow.h"
#include "plan/workload.h"
#include "tests/own_values.h"

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
    lspo_lsp_values_edit(&workload)->subspace = 16;
    lspo_lsp_values_edit(&workload)->nnz = 4;
    set_rank(&workload, 4);
    lspo_galore_values_edit(&workload)->project_every = 2;
    lspo_badam_values_edit(&workload)->switch_every = 2;
    lspo_zenflow_values_edit(&workload)->update_every = 2;
    lspo_zenflow_values_edit(&workload)->select_every = 2;
    return workload;
}

#endif
