/* search_parts.h - what a search does with one candidate: rate it, simulate it, refine it. */
#ifndef LSPO_SIM_SEARCH_PARTS_H
#define LSPO_SIM_SEARCH_PARTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "sim/search.h"
#include "sim/search_axes.h"

/* What is known at the cost of a plan. */
typedef struct {
    bool unknown;              /* nobody knows how many steps it needs, or the policy refuses: the rest is 0 */
    bool may_fit;              /* static memory alone is not too much */
    double steps;              /* as in lspo_found_t */
    double busy_s;             /* no step is shorter; 0 if times are not asked for, or it cannot fit */
    uint64_t gpu_static_bytes; /* no peak is lower */
} lspo_rating_t;

/* Fills candidate->tuned. */
lspo_status_t lspo_search_rate(const lspo_search_options_t *options, lspo_candidate_t *candidate, bool times,
                               lspo_rating_t *rating_out);

/* Where all candidates that were rated are unknown, of generation with one policy: that policy's refusal of the first
 * one, logged. */
lspo_status_t lspo_search_check_taken(const lspo_search_options_t *options, const lspo_candidates_t *candidates);

/* Predicts a candidate that was rated, with these steps. */
lspo_status_t lspo_search_simulate(const lspo_search_options_t *options, const lspo_candidate_t *candidate,
                                   double steps, lspo_found_t *found_out);

/* Activations on the host, as search.h says: less memory, or less time in the same. */
lspo_status_t lspo_search_try_swapping(const lspo_search_options_t *options, lspo_found_t *found);
/* Native layers, as search.h says: less time for more memory. */
lspo_status_t lspo_search_try_native(const lspo_search_options_t *options, lspo_found_t *found);
/* Finer steps of what is divided, as search.h says. */
lspo_status_t lspo_search_climb(const lspo_search_options_t *options, lspo_found_t *found);
/* Subspace, nnz, rank and order, as search.h says. */
lspo_status_t lspo_search_refine(const lspo_search_options_t *options, lspo_found_t *found);

#endif
