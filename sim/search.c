/* search.c - the best settings of a training on a machine; see search.h. */
#include "sim/search.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#include "sim/search_axes.h"
#include "sim/search_parts.h"

/* Rounding errors of bounds and times stay below this share. */
static const double tolerance = 1e-9;

typedef struct {
    uint32_t candidate;
    double steps;
    double bound; /* of the objective */
} rated_t;

typedef struct {
    const lspo_search_options_t *options;
    lspo_candidates_t candidates;
    rated_t *rated; /* those that may fit */
    uint32_t rated_count;
    uint32_t *number; /* of the candidate of each result */
    lspo_search_t result;
    uint32_t room; /* for results: those that are wanted, others like them, and one more */
} searcher_t;

/* Bounds */

/* Adds the candidate to those that are simulated, unless its static memory alone is too much. */
static lspo_status_t rate(searcher_t *searcher, uint32_t index)
{
    const lspo_search_options_t *options = searcher->options;
    const bool times = options->objective != LSPO_OBJECTIVE_MEMORY;
    lspo_rating_t rating;
    lspo_status_t status = lspo_search_rate(options, &searcher->candidates.list[index], times, &rating);
    if (status != LSPO_OK || rating.unknown)
        return status;
    searcher->result.unfit += !rating.may_fit;
    if (rating.may_fit)
        searcher->rated[searcher->rated_count++] =
            (rated_t){index, rating.steps, times ? rating.steps * rating.busy_s : (double)rating.gpu_static_bytes};
    return LSPO_OK;
}

static int compare_rated(const void *left, const void *right)
{
    const rated_t *a = left, *b = right;
    if (a->bound < b->bound || a->bound > b->bound)
        return a->bound < b->bound ? -1 : 1;
    return (a->candidate > b->candidate) - (a->candidate < b->candidate);
}

/* Results */

/* Equal ones in the order of time, then of candidates. */
static bool precedes(const lspo_found_t *a, uint32_t a_number, const lspo_found_t *b, uint32_t b_number)
{
    if (a->objective < b->objective || a->objective > b->objective)
        return a->objective < b->objective;
    if (a->fit.iteration_s < b->fit.iteration_s || a->fit.iteration_s > b->fit.iteration_s)
        return a->fit.iteration_s < b->fit.iteration_s;
    return a_number < b_number;
}

/* The result of this policy that a better one replaces; count: none does, all policies share the places. */
static uint32_t place_of(const searcher_t *searcher, const lspo_policy_t *policy)
{
    uint32_t at = 0;
    while (at < searcher->result.count &&
           (searcher->options->policy != NULL || searcher->result.found[at].policy != policy))
        at++;
    return at;
}

/* The same time, memory and training, by whatever settings. */
static bool are_alike(const lspo_found_t *a, const lspo_found_t *b)
{
    bool trains_alike = a->policy == b->policy ||
                        (a->policy->semantics == LSPO_SEMANTICS_EXACT && b->policy->semantics == LSPO_SEMANTICS_EXACT);
    return trains_alike && a->workload.batch == b->workload.batch &&
           a->workload.checkpointing == b->workload.checkpointing &&
           a->workload.swap_activations == b->workload.swap_activations &&
           a->workload.transfer == b->workload.transfer && a->workload.order == b->workload.order &&
           a->fit.gpu_bytes == b->fit.gpu_bytes && a->fit.host_bytes == b->fit.host_bytes &&
           !(a->fit.iteration_s < b->fit.iteration_s) && !(a->fit.iteration_s > b->fit.iteration_s) &&
           !(a->steps < b->steps) && !(a->steps > b->steps);
}

/* The first result that is like the one at this place. */
static uint32_t first_alike(const lspo_search_t *result, uint32_t at)
{
    uint32_t first = 0;
    while (first < at && !are_alike(&result->found[first], &result->found[at]))
        first++;
    return first;
}

/* Results that are not like one before them. */
static uint32_t count_different(const lspo_search_t *result)
{
    uint32_t different = 0;
    for (uint32_t i = 0; i < result->count; i++)
        different += first_alike(result, i) == i;
    return different;
}

/* Can a candidate of this policy with this bound still be among the results? */
static bool may_enter(const searcher_t *searcher, const lspo_policy_t *policy, double bound)
{
    const lspo_search_t *result = &searcher->result;
    uint32_t own = place_of(searcher, policy);
    double most = INFINITY;
    if (own < result->count)
        most = result->found[own].objective;
    else if (count_different(result) == searcher->options->most)
        most = result->found[result->count - 1].objective;
    return bound <= most * (1 + tolerance);
}

static void drop(searcher_t *searcher, uint32_t at)
{
    for (searcher->result.count--; at < searcher->result.count; at++) {
        searcher->result.found[at] = searcher->result.found[at + 1];
        searcher->number[at] = searcher->number[at + 1];
    }
}

static void enter(searcher_t *searcher, const lspo_found_t *found, uint32_t number)
{
    lspo_search_t *result = &searcher->result;
    uint32_t own = place_of(searcher, found->policy);
    if (own < result->count) {
        if (!precedes(found, number, &result->found[own], searcher->number[own]))
            return;
        drop(searcher, own);
    }
    uint32_t at = result->count++;
    for (; at > 0 && precedes(found, number, &result->found[at - 1], searcher->number[at - 1]); at--) {
        result->found[at] = result->found[at - 1];
        searcher->number[at] = searcher->number[at - 1];
    }
    result->found[at] = *found;
    searcher->number[at] = number;
    while (count_different(result) > searcher->options->most || result->count == searcher->room)
        drop(searcher, result->count - 1);
}

static lspo_status_t search_rated(searcher_t *searcher)
{
    const lspo_search_options_t *options = searcher->options;
    for (uint32_t i = 0; i < searcher->rated_count; i++) {
        const rated_t *rated = &searcher->rated[i];
        const lspo_candidate_t *candidate = &searcher->candidates.list[rated->candidate];
        lspo_found_t found;
        if (!options->exhaustive && !may_enter(searcher, candidate->policy, rated->bound))
            continue;
        if (options->progress != NULL)
            options->progress(options->progress_context, candidate->policy->name, i, searcher->rated_count);
        lspo_status_t status = lspo_search_simulate(options, candidate, rated->steps, &found);
        if (status != LSPO_OK)
            return status;
        searcher->result.simulated++;
        searcher->result.unfit += !found.fit.fits;
        if (found.fit.fits)
            enter(searcher, &found, rated->candidate);
    }
    return LSPO_OK;
}

/* Refinement */

/* Each result by itself, then in the order of what they have become. */
static lspo_status_t refine(searcher_t *searcher)
{
    lspo_search_t *result = &searcher->result;
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; i < result->count && status == LSPO_OK; i++) {
        status = lspo_search_try_swapping(searcher->options, &result->found[i]);
        if (status == LSPO_OK)
            status = lspo_search_try_native(searcher->options, &result->found[i]);
        if (status == LSPO_OK)
            status = lspo_search_climb(searcher->options, &result->found[i]);
        if (status == LSPO_OK)
            status = lspo_search_refine(searcher->options, &result->found[i]);
    }
    for (uint32_t i = 1; i < result->count; i++) {
        lspo_found_t found = result->found[i];
        uint32_t number = searcher->number[i], at = i;
        for (; at > 0 && precedes(&found, number, &result->found[at - 1], searcher->number[at - 1]); at--) {
            result->found[at] = result->found[at - 1];
            searcher->number[at] = searcher->number[at - 1];
        }
        result->found[at] = found;
        searcher->number[at] = number;
    }
    return status;
}

/* One result of those that are alike, which names the policies of the others. */
static void join_alike(lspo_search_t *result)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < result->count; i++) {
        const lspo_found_t found = result->found[i];
        uint32_t first = 0, also = 0;
        while (first < kept && !are_alike(&result->found[first], &found))
            first++;
        if (first == kept) {
            result->found[kept++] = found;
            continue;
        }
        lspo_found_t *joined = &result->found[first];
        while (also < LSPO_ALSO_MAX && joined->also[also] != NULL && joined->also[also] != found.policy)
            also++;
        if (also < LSPO_ALSO_MAX && joined->policy != found.policy)
            joined->also[also] = found.policy;
    }
    result->count = kept;
}

/* The search */

static lspo_status_t check(const lspo_search_options_t *options)
{
    const lspo_workload_t *workload = &options->workload;
    uint64_t held = (uint64_t)(options->holds_batch ? workload->batch : 1) *
                    (options->holds_accumulation ? workload->accumulation : 1);
    bool is_all = options->holds_batch && options->holds_accumulation;
    if (options->objective == LSPO_OBJECTIVE_THROUGHPUT && held <= options->sequences)
        return LSPO_OK;
    if (options->objective == LSPO_OBJECTIVE_THROUGHPUT)
        return lspo_error(LSPO_ERR_INPUT,
                          "--sequences %u is less than the %" PRIu64 " that --batch and --accumulation "
                          "hold",
                          options->sequences, held);
    if (options->sequences > 0 && options->sequences % held == 0 && (!is_all || held == options->sequences))
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT, "--sequences %u is not %s%s%s", options->sequences,
                      is_all ? "--batch times --accumulation" : "a multiple of ",
                      !is_all && options->holds_batch ? "--batch" : "",
                      !is_all && options->holds_accumulation ? "--accumulation" : "");
}

static lspo_status_t create(searcher_t *searcher)
{
    lspo_status_t status = check(searcher->options);
    if (status == LSPO_OK)
        status = lspo_search_candidates(searcher->options, &searcher->candidates);
    if (status != LSPO_OK)
        return status;
    searcher->result.candidates = (uint32_t)searcher->candidates.count;
    searcher->rated = malloc((searcher->candidates.count + 1) * sizeof *searcher->rated);
    searcher->room = 4 * searcher->options->most + lspo_any_policy_count() + 1;
    searcher->number = malloc(searcher->room * sizeof *searcher->number);
    searcher->result.found = malloc(searcher->room * sizeof *searcher->result.found);
    if (!searcher->rated || !searcher->number || !searcher->result.found)
        return lspo_no_memory("%zu candidates", searcher->candidates.count);
    return LSPO_OK;
}

lspo_status_t lspo_search(const lspo_search_options_t *options, lspo_search_t *search_out)
{
    searcher_t searcher = {.options = options};
    lspo_status_t status = create(&searcher);
    for (uint32_t i = 0; i < searcher.candidates.count && status == LSPO_OK; i++)
        status = rate(&searcher, i);
    if (status == LSPO_OK && searcher.rated_count + searcher.result.unfit == 0)
        status = lspo_search_check_taken(options, &searcher.candidates);
    if (status == LSPO_OK) {
        qsort(searcher.rated, searcher.rated_count, sizeof *searcher.rated, compare_rated);
        status = search_rated(&searcher);
    }
    if (status == LSPO_OK)
        status = refine(&searcher);
    join_alike(&searcher.result);
    if (status == LSPO_OK)
        *search_out = searcher.result;
    else
        lspo_search_release(&searcher.result);
    free(searcher.number);
    free(searcher.rated);
    lspo_search_candidates_release(&searcher.candidates);
    return status;
}

void lspo_search_release(lspo_search_t *search)
{
    free(search->found);
    *search = (lspo_search_t){0};
}
