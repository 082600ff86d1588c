/* choose.h - every policy on one machine: what fits, how fast it is, and which is best. */
#ifndef LSPO_SIM_CHOOSE_H
#define LSPO_SIM_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/model.h"
#include "plan/policy.h"
#include "plan/workload.h"
#include "sim/sim.h"

typedef struct {
    const lspo_model_t *model;
    const lspo_machine_t *machine;
    lspo_workload_t workload; /* iterations 0: as each policy takes them, lspo_policy_iterations() */
    bool exact_only;
    bool largest_batch; /* each policy at the largest batch that fits, in place of the workload's */
    /* Gives the workload the policy's own values; NULL: the policy's defaults. */
    lspo_status_t (*prepare)(void *context, const lspo_policy_t *policy, lspo_workload_t *workload);
    void *prepare_context;
    /* After each policy; may be NULL. */
    void (*progress)(void *context, const char *label, uint32_t done, uint32_t of);
    void *progress_context;
} lspo_choose_options_t;

typedef struct {
    const lspo_policy_t *policy;
    lspo_workload_t workload;     /* that was simulated, with every AUTO resolved */
    uint32_t largest_batch;       /* that fits; 0: none does */
    lspo_prediction_t prediction; /* as lspo_simulate() makes it; its samples are released */
    uint64_t gpu_excess_bytes, host_excess_bytes;
} lspo_choice_t;

/* One a policy, malloc'd: those that fit, the fastest first, then the others, those that miss least first.  Of
 * equals, as in the table of policies. */
lspo_status_t lspo_choose(const lspo_choose_options_t *options, lspo_choice_t **choices_out, uint32_t *count_out);

/* What people choose by; stale policies are among the others. */
typedef enum { LSPO_CLASS_EXACT, LSPO_CLASS_COMPRESSED, LSPO_CLASS_OTHER, LSPO_CLASS_COUNT } lspo_choice_class_t;
lspo_choice_class_t lspo_choice_class(const lspo_policy_t *policy);

/* The best of a class: the fastest that fits; else what fits with the largest batch, though not with this one; else
 * what misses least.  NULL: there is no policy of the class among them. */
const lspo_choice_t *lspo_choice_best(const lspo_choice_t *choices, uint32_t count, lspo_choice_class_t wanted);

#endif
