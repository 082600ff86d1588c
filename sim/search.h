/* search.h - the best settings of a training, or of generation, on a machine: policy, batch and the like.
 *
 * Candidates are all combinations of the values of these settings, except those that the user holds:
 *     policy
 *     batch x accumulation      all ways to divide the sequences of one step; the training is the same
 *     checkpointing             on, off
 *     transfer                  16 bits in place of fp32, of policies that are not exact
 *     the policy's own          sim/search_axes.h: what stays on the GPU, buffers, order of updates
 * Of generation, a step is a new token of each text, there are no gradients to check or send, and the policy's own
 * settings are where weights and caches are, how they come, and which share of a cache is rebuilt.
 * Candidates that do not fit in the memory of GPU and host are dropped.  For each, a bound is known at the cost of a
 * plan: no step is shorter than the busy time of its busiest lane (lspo_bound_busy()), no peak is below the plan's
 * static memory.  The candidates are simulated in the order of their bounds, without those whose bound is above what
 * has been found (branch and bound); the result is that of simulating all.  Settings that make a training less exact
 * than the policy's default are never tried.
 *
 * What has been found is then refined:
 *     subspace, nnz, rank       doubled as long as the step takes at most 1 % longer: a better training for nothing
 *     order                     auto, where that is faster (sim/order.h); of generation in up to 8 micro-batches
 *     recompute-share           auto, where that is faster (sim/split.h)
 *     swap-activations          eighths of the blocks: without checkpointing, where that does not fit otherwise and is
 *                               faster; where memory is the objective with all settings that were found; not for the
 *                               front
 *     native-layers             eighths of the blocks, of policies that are not compressed, where that is faster; not
 *                               for the front, since they take memory
 *     shares, blocks, experts   what candidates divide in eighths or quarters, and native-layers, in ever finer steps
 *                               up and down as long as one helps, also from the other values of what takes their
 *                               memory, such as slots, what the policy refuses left out; not for the front, nor where
                               memory is the objective
 */
#ifndef LSPO_SIM_SEARCH_H
#define LSPO_SIM_SEARCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "plan/machine.h"
#include "plan/model.h"
#include "plan/policy.h"
#include "plan/workload.h"
#include "sim/fit.h"

typedef enum {
    LSPO_OBJECTIVE_TIME,         /* of a step                                                        */
    LSPO_OBJECTIVE_TIME_TO_LOSS, /* of a step, times the number of steps that the policy needs       */
    LSPO_OBJECTIVE_MEMORY,       /* the peak of GPU memory; of equal ones the shorter step           */
    LSPO_OBJECTIVE_THROUGHPUT    /* of generation, of a step, over its texts, whose number is chosen */
} lspo_objective_t;

typedef struct {
    const lspo_model_t *model;
    const lspo_machine_t *machine;
    lspo_workload_t workload;    /* iterations 0: each policy's default */
    const lspo_policy_t *policy; /* NULL: all */
    lspo_task_t task;            /* whose policies */
    bool exact_only;             /* only policies that are exact */
    uint32_t sequences;          /* per step; for LSPO_OBJECTIVE_THROUGHPUT at most: 1, 2, 4 ... times what is held */
    bool holds_batch, holds_accumulation, holds_checkpointing, holds_swap, holds_transfer,
        holds_order; /* as in `workload` */
    lspo_objective_t objective;
    bool exhaustive;                                            /* simulate all that fit */
    uint32_t most;                                              /* results that are wanted */
    bool (*admits)(void *context, const lspo_policy_t *policy); /* only policies for which it is true; NULL: all */
    /* Sets the policy's own values in the workload, and says which parameters keep them. */
    lspo_status_t (*prepare)(void *context, const lspo_policy_t *policy, lspo_workload_t *workload);
    bool (*holds)(void *context, const lspo_parameter_t *parameter);
    /* Steps to the wanted loss, for LSPO_OBJECTIVE_TIME_TO_LOSS; NaN: unknown, the candidate is dropped. */
    double (*steps)(void *context, const lspo_policy_t *policy, const lspo_workload_t *workload);
    void *context;
    void (*progress)(void *context, const char *label, uint32_t done, uint32_t of); /* may be NULL */
    void *progress_context;
} lspo_search_options_t;

enum { LSPO_ALSO_MAX = 4 };

typedef struct {
    const lspo_policy_t *policy;
    lspo_workload_t workload;
    lspo_fit_t fit;
    double steps;                             /* 1, those to the wanted loss, or for the throughput 1 / texts */
    double objective;                         /* seconds, or bytes */
    const lspo_policy_t *also[LSPO_ALSO_MAX]; /* exact policies that have the same numbers; NULL after the last */
} lspo_found_t;

typedef struct {
    lspo_found_t *found; /* owned: at most `most`, the best first; of each policy the best, or of one policy several; of
                            those with the same time, memory and training only the first candidate */
    uint32_t count;
    uint32_t candidates, unfit, simulated; /* unfit: known from static memory alone, or simulated */
} lspo_search_t;

/* Is it the policy that is asked for, or one of all that are compared, whatever `admits` says? */
bool lspo_search_wants(const lspo_search_options_t *options, const lspo_policy_t *policy);

/* LSPO_ERR_INPUT if batch and accumulation are held and their product is not `sequences`, or more than that for the
 * throughput. */
lspo_status_t lspo_search(const lspo_search_options_t *options, lspo_search_t *search_out);
void lspo_search_release(lspo_search_t *search);

/* The front of time against memory: of the candidates that fit, refined as above, those than which no other one needs
 * less GPU memory and not more time.  The fastest first; each next one takes longer and needs less memory.  `objective`
 * is the time, to the loss for LSPO_OBJECTIVE_TIME_TO_LOSS, else of a step.  Candidates whose bounds of time and memory
 * are above a result are not simulated, except with `exhaustive`. */
lspo_status_t lspo_search_front(const lspo_search_options_t *options, lspo_search_t *front_out);
/* Of results in any order, such as those of several searches for the front, the front. */
void lspo_search_front_keep(lspo_search_t *front);

#endif
