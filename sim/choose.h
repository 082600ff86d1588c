/* choose.h - simulate every policy on a machine: which fit, how fast they are, and which is best. */
#ifndef LSPO_SIM_CHOOSE_H
#define LSPO_SIM_CHOOSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/expect.h"
#include "plan/machine.h"
#include "plan/model.h"
#include "plan/policy.h"
#include "plan/workload.h"
#include "sim/sim.h"

typedef struct {
    const lspo_model_t *model;
    const lspo_machine_t *machine;
    lspo_workload_t workload; /* iterations 0: each policy's default, lspo_policy_iterations() */
    lspo_task_t task;         /* whose policies are compared */
    bool exact_only;
    bool largest_batch; /* use the largest batch that fits for each policy */
    /* Sets the policy's own values in the workload; NULL: the policy's defaults. */
    lspo_status_t (*prepare)(void *context, const lspo_policy_t *policy, lspo_workload_t *workload);
    void *prepare_context;
    /* Called after each policy; may be NULL. */
    void (*progress)(void *context, const char *label, uint32_t done, uint32_t of);
    void *progress_context;
} lspo_choose_options_t;

enum { LSPO_REFUSAL_BYTES = 256 };

typedef struct {
    const lspo_policy_t *policy;
    lspo_workload_t workload;     /* as simulated, with every AUTO resolved */
    uint32_t largest_batch;       /* that fits; 0: none does */
    lspo_prediction_t prediction; /* of lspo_simulate(), with its bound, without its samples */
    lspo_expect_t expect;         /* where a measured step may lie */
    uint64_t gpu_excess_bytes, host_excess_bytes;
    char refusal[LSPO_REFUSAL_BYTES]; /* why the policy cannot take this model or workload; "": it can.  Only `policy`
                                         and the workload as asked are set besides. */
} lspo_choice_t;

/* One choice per policy, malloc'd: first those that fit, the fastest first; then the others, the nearest to fitting
 * first; at the end those that refuse.  Equal ones are in the order of the table of policies.  If all refuse, that is
 * the first one's error. */
lspo_status_t lspo_choose(const lspo_choose_options_t *options, lspo_choice_t **choices_out, uint32_t *count_out);

/* The parts of lspo_choose(), for others that compare policies (sim/savers.h): is the policy one of those wanted; its
 * own values into the workload; its choice or refusal; is `a` the better one. */
bool lspo_choose_wants(const lspo_choose_options_t *options, const lspo_policy_t *policy);
lspo_status_t lspo_choose_prepare(const lspo_choose_options_t *options, const lspo_policy_t *policy,
                                  lspo_workload_t *workload);
lspo_status_t lspo_choose_policy(const lspo_choose_options_t *options, const lspo_policy_t *policy,
                                 lspo_choice_t *choice_out);
bool lspo_choice_precedes(const lspo_choice_t *a, const lspo_choice_t *b);

/* The classes by which people choose; stale policies are in OTHER. */
typedef enum { LSPO_CLASS_EXACT, LSPO_CLASS_COMPRESSED, LSPO_CLASS_OTHER, LSPO_CLASS_COUNT } lspo_choice_class_t;
lspo_choice_class_t lspo_choice_class(const lspo_policy_t *policy);

/* The best of a class: the fastest that fits; else the one that fits with the largest batch, though not with this
 * batch; else the nearest to fitting.  NULL: no policy of the class. */
const lspo_choice_t *lspo_choice_best(const lspo_choice_t *choices, uint32_t count, lspo_choice_class_t wanted);

#endif
