/* search_axes.h - the settings that a search tries, and the candidates: all combinations of their values. */
#ifndef LSPO_SIM_SEARCH_AXES_H
#define LSPO_SIM_SEARCH_AXES_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "sim/search.h"

typedef struct {
    const lspo_policy_t *policy;
    lspo_workload_t workload;
    lspo_workload_t tuned; /* the same with products, lane and stride, once it is rated */
} lspo_candidate_t;

typedef struct {
    lspo_candidate_t *list; /* owned */
    size_t count, capacity;
} lspo_candidates_t;

/* Of generation: where the number of texts is free, at most so many micro-batches share the weights that come for them;
 * of more, which are held, plans are so large that no order is looked for. */
enum { LSPO_SEARCH_MICROS_MOST = 8 };

/* All candidates of the options, in the order of policies. */
lspo_status_t lspo_search_candidates(const lspo_search_options_t *options, lspo_candidates_t *candidates_out);
void lspo_search_candidates_release(lspo_candidates_t *candidates);

/* Shares of what a parameter divides are eighths, if candidates do not have others. */
enum { LSPO_SEARCH_SHARES = 8 };

/* Parameters that a search varies; no policy has all. */
enum { LSPO_SEARCH_AXES = 19 };

/* A parameter that divides something, such as the blocks, between two places: any value from 0 to `high`. */
typedef struct {
    const lspo_parameter_t *parameter;
    double high;
    double step;       /* half of the distance between the values of candidates */
    double least_step; /* no finer one is tried; of what is counted 1 */
} lspo_split_t;

/* Those of a policy; parameter NULL after the last. */
lspo_split_t lspo_search_split(const lspo_search_options_t *options, const lspo_policy_t *policy, size_t index);
/* Half of a step, or the least one. */
double lspo_search_halve(const lspo_split_t *split, double step);

/* A value of one of the policy's other parameters that candidates have; NaN: the machine has nothing for it. */
typedef struct {
    const lspo_parameter_t *parameter;
    double value;
} lspo_choice_t;

/* All of a policy; parameter NULL after the last. */
lspo_choice_t lspo_search_choice(const lspo_search_options_t *options, const lspo_policy_t *policy, size_t index);

/* The parameters that may be doubled for a better training: NULL after the last. */
const lspo_parameter_t *lspo_search_raised(const lspo_policy_t *policy, size_t index);
/* Is `value` allowed?  Nothing is logged. */
bool lspo_search_allows(const lspo_search_options_t *options, const lspo_candidate_t *candidate,
                        const lspo_parameter_t *parameter, double value);

#endif
