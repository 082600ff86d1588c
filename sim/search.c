/* search.c - the best settings of a training on a machine; see search.h. */
#include "sim/search.h"

#include <math.h>
#include <stdlib.h>

#include "sim/bound.h"
#include "sim/cost.h"
#include "sim/search_axes.h"
#include "sim/tune.h"

/* Rounding errors of bounds and times stay below this share. */
static const double tolerance = 1e-9;
static const double raise_most = 1.01, order_least = 0.999;

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
} searcher_t;

/* Bounds */

static lspo_status_t busy_of(const lspo_plan_t *plan, const lspo_machine_t *machine, double *busy_s_out)
{
    uint64_t *work_ns = NULL;
    lspo_status_t status = lspo_cost_plan(machine, plan, &work_ns);
    if (status == LSPO_OK)
        status = lspo_bound_busy(plan, work_ns, busy_s_out);
    free(work_ns);
    return status;
}

/* Adds the candidate to those that are simulated, unless its static memory alone is too much.  The plan has the
 * products of projectors that lspo_fit_try() takes: other ones may be busy for longer. */
static lspo_status_t rate(searcher_t *searcher, uint32_t index)
{
    const lspo_search_options_t *options = searcher->options;
    const lspo_candidate_t *candidate = &searcher->candidates.list[index];
    lspo_workload_t workload = candidate->workload;
    rated_t rated = {.candidate = index, .steps = 1};
    lspo_plan_t *plan = NULL;
    double busy_s = 0;
    if (options->objective == LSPO_OBJECTIVE_TIME_TO_LOSS)
        rated.steps = options->steps(options->context, candidate->policy, &candidate->workload);
    if (isnan(rated.steps))
        return LSPO_OK;
    lspo_tune_products(candidate->policy, options->machine, &workload);
    lspo_status_t status = lspo_plan_build(options->model, &workload, candidate->policy, &plan);
    if (status != LSPO_OK)
        return status;
    bool may_fit = lspo_fits(options->machine, plan->gpu_static_bytes, plan->host_static_bytes);
    if (may_fit && options->objective != LSPO_OBJECTIVE_MEMORY)
        status = busy_of(plan, options->machine, &busy_s);
    rated.bound = options->objective == LSPO_OBJECTIVE_MEMORY ? (double)plan->gpu_static_bytes : rated.steps * busy_s;
    searcher->result.unfit += !may_fit;
    if (may_fit)
        searcher->rated[searcher->rated_count++] = rated;
    lspo_plan_destroy(plan);
    return status;
}

static int compare_rated(const void *left, const void *right)
{
    const rated_t *a = left, *b = right;
    if (a->bound < b->bound || a->bound > b->bound)
        return a->bound < b->bound ? -1 : 1;
    return (a->candidate > b->candidate) - (a->candidate < b->candidate);
}

/* Results */

static double objective_of(const lspo_search_options_t *options, const lspo_found_t *found)
{
    if (options->objective == LSPO_OBJECTIVE_MEMORY)
        return (double)found->fit.gpu_bytes;
    return found->steps * found->fit.iteration_s;
}

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

/* Can a candidate of this policy with this bound still be among the results? */
static bool may_enter(const searcher_t *searcher, const lspo_policy_t *policy, double bound)
{
    const lspo_search_t *result = &searcher->result;
    uint32_t own = place_of(searcher, policy);
    double most = INFINITY;
    if (own < result->count)
        most = result->found[own].objective;
    else if (result->count == searcher->options->most)
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
    if (result->count == searcher->options->most) {
        if (!precedes(found, number, &result->found[result->count - 1], searcher->number[result->count - 1]))
            return;
        drop(searcher, result->count - 1);
    }
    uint32_t at = result->count++;
    for (; at > 0 && precedes(found, number, &result->found[at - 1], searcher->number[at - 1]); at--) {
        result->found[at] = result->found[at - 1];
        searcher->number[at] = searcher->number[at - 1];
    }
    result->found[at] = *found;
    searcher->number[at] = number;
}

static lspo_status_t simulate(const lspo_search_options_t *options, lspo_found_t *found)
{
    const lspo_fit_question_t question = {options->model, found->workload, found->policy, options->machine};
    lspo_status_t status = lspo_fit_try(&question, &found->fit);
    if (status == LSPO_OK)
        found->objective = objective_of(options, found);
    return status;
}

static lspo_status_t search_rated(searcher_t *searcher)
{
    const lspo_search_options_t *options = searcher->options;
    for (uint32_t i = 0; i < searcher->rated_count; i++) {
        const rated_t *rated = &searcher->rated[i];
        const lspo_candidate_t *candidate = &searcher->candidates.list[rated->candidate];
        lspo_found_t found = {.policy = candidate->policy, .workload = candidate->workload, .steps = rated->steps};
        if (!options->exhaustive && !may_enter(searcher, candidate->policy, rated->bound))
            continue;
        if (options->progress != NULL)
            options->progress(options->progress_context, candidate->policy->name, i, searcher->rated_count);
        lspo_status_t status = simulate(options, &found);
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

/* Double the parameter while that takes hardly longer. */
static lspo_status_t raise_parameter(const lspo_search_options_t *options, const lspo_parameter_t *parameter,
                                     double objective_most, lspo_found_t *found)
{
    lspo_status_t status = LSPO_OK;
    while (status == LSPO_OK) {
        lspo_found_t higher = *found;
        const lspo_candidate_t candidate = {found->policy, found->workload};
        void *slot = lspo_policy_slot(found->policy, &higher.workload, parameter);
        double value = 2 * lspo_parameter_number(parameter, slot);
        if (!lspo_search_allows(options, &candidate, parameter, value))
            break;
        lspo_parameter_store(parameter, value, slot);
        status = simulate(options, &higher);
        if (status != LSPO_OK || !higher.fit.fits || higher.objective > objective_most)
            break;
        *found = higher;
    }
    return status;
}

static lspo_status_t raise_all(const lspo_search_options_t *options, lspo_found_t *found)
{
    lspo_status_t status = LSPO_OK;
    const double objective_most = raise_most * found->objective;
    const lspo_parameter_t *parameter = lspo_search_raised(found->policy, 0);
    /* Another parameter of the numbers would need a loss curve of its own. */
    if (options->objective == LSPO_OBJECTIVE_TIME_TO_LOSS)
        return LSPO_OK;
    for (size_t i = 0; parameter != NULL && status == LSPO_OK; parameter = lspo_search_raised(found->policy, ++i))
        if (options->holds == NULL || !options->holds(options->context, parameter))
            status = raise_parameter(options, parameter, objective_most, found);
    return status;
}

static lspo_status_t try_order(const lspo_search_options_t *options, lspo_found_t *found)
{
    lspo_found_t ordered = *found;
    if (options->holds_order || options->objective == LSPO_OBJECTIVE_MEMORY)
        return LSPO_OK;
    ordered.workload.order = LSPO_ORDER_AUTO;
    lspo_status_t status = simulate(options, &ordered);
    if (status == LSPO_OK && ordered.fit.fits && ordered.objective < order_least * found->objective)
        *found = ordered;
    return status;
}

/* Each result by itself, then in the order of what they have become. */
static lspo_status_t refine(searcher_t *searcher)
{
    lspo_search_t *result = &searcher->result;
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; i < result->count && status == LSPO_OK; i++) {
        status = raise_all(searcher->options, &result->found[i]);
        if (status == LSPO_OK)
            status = try_order(searcher->options, &result->found[i]);
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

/* The search */

static lspo_status_t check(const lspo_search_options_t *options)
{
    const lspo_workload_t *workload = &options->workload;
    uint64_t held = (uint64_t)(options->holds_batch ? workload->batch : 1) *
                    (options->holds_accumulation ? workload->accumulation : 1);
    bool is_all = options->holds_batch && options->holds_accumulation;
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
    searcher->number = malloc(((size_t)searcher->options->most + 1) * sizeof *searcher->number);
    searcher->result.found = malloc(((size_t)searcher->options->most + 1) * sizeof *searcher->result.found);
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
    if (status == LSPO_OK) {
        qsort(searcher.rated, searcher.rated_count, sizeof *searcher.rated, compare_rated);
        status = search_rated(&searcher);
    }
    if (status == LSPO_OK)
        status = refine(&searcher);
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
