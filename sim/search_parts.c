/* search_parts.c - see search_parts.h. */
#include "sim/search_parts.h"

#include <math.h>
#include <stdlib.h>

#include "plan/policies/kvpr.h"
#include "plan/policies/shared.h"
#include "sim/bound.h"
#include "sim/cost.h"
#include "sim/tune.h"

static const double raise_most = 1.01, faster_least = 0.999;
enum { SHARES = 8 }; /* of the blocks */

static lspo_status_t busy_of(const lspo_plan_t *plan, const lspo_machine_t *machine, double *busy_s_out)
{
    uint64_t *work_ns = NULL;
    lspo_status_t status = lspo_cost_plan(machine, plan, &work_ns);
    if (status == LSPO_OK)
        status = lspo_bound_busy(plan, work_ns, busy_s_out);
    free(work_ns);
    return status;
}

/* The plan; of generation, where all policies are compared, NULL if the policy refuses the model or the workload, which
 * the yardstick takes. */
static lspo_status_t build(const lspo_search_options_t *options, const lspo_policy_t *policy,
                           const lspo_workload_t *workload, lspo_plan_t **plan_out)
{
    char refusal[256] = "";
    if (options->task != LSPO_TASK_GENERATE || options->policy != NULL ||
        policy == lspo_policy_baseline(LSPO_TASK_GENERATE))
        return lspo_plan_build(options->model, workload, policy, plan_out);
    lspo_messages_t before = lspo_messages_send((lspo_messages_t){.text = refusal, .capacity = sizeof refusal});
    lspo_status_t status = lspo_plan_build(options->model, workload, policy, plan_out);
    lspo_messages_send(before);
    if (status == LSPO_ERR_INPUT)
        return LSPO_OK;
    return status == LSPO_OK ? status : lspo_error(status, "%s", refusal);
}

/* The plan has the products of projectors, the lane and the stride that lspo_fit_try() takes: other ones may be busy
 * for longer. */
lspo_status_t lspo_search_rate(const lspo_search_options_t *options, lspo_candidate_t *candidate, bool times,
                               lspo_rating_t *rating_out)
{
    lspo_workload_t *workload = &candidate->tuned;
    lspo_rating_t rating = {.steps = 1};
    lspo_plan_t *plan = NULL;
    *workload = candidate->workload;
    if (options->objective == LSPO_OBJECTIVE_TIME_TO_LOSS)
        rating.steps = options->steps(options->context, candidate->policy, &candidate->workload);
    if (options->objective == LSPO_OBJECTIVE_THROUGHPUT)
        rating.steps = 1.0 / ((double)workload->batch * workload->accumulation);
    rating.unknown = isnan(rating.steps);
    if (rating.unknown) {
        *rating_out = rating;
        return LSPO_OK;
    }
    lspo_tune_products(candidate->policy, options->machine, workload);
    lspo_status_t status = lspo_tune_lane(options->model, candidate->policy, options->machine, workload);
    if (status == LSPO_OK)
        status = lspo_tune_stride(options->model, candidate->policy, options->machine, workload);
    if (status == LSPO_OK)
        status = build(options, candidate->policy, workload, &plan);
    rating.unknown = status == LSPO_OK && plan == NULL;
    if (rating.unknown)
        *rating_out = rating;
    if (status != LSPO_OK || rating.unknown)
        return status;
    rating.gpu_static_bytes = plan->gpu_static_bytes;
    rating.may_fit = lspo_fits(options->machine, plan->gpu_static_bytes, plan->host_static_bytes);
    if (rating.may_fit && times)
        status = busy_of(plan, options->machine, &rating.busy_s);
    lspo_plan_destroy(plan);
    if (status == LSPO_OK)
        *rating_out = rating;
    return status;
}

static double objective_of(const lspo_search_options_t *options, const lspo_found_t *found)
{
    if (options->objective == LSPO_OBJECTIVE_MEMORY)
        return (double)found->fit.gpu_bytes;
    return found->steps * found->fit.iteration_s;
}

/* Predicts found->policy with this workload: sets found->fit and found->objective. */
static lspo_status_t predict(const lspo_search_options_t *options, const lspo_workload_t *workload, lspo_found_t *found)
{
    const lspo_fit_question_t question = {options->model, *workload, found->policy, options->machine};
    lspo_status_t status = lspo_fit_try(&question, &found->fit);
    if (status == LSPO_OK)
        found->objective = objective_of(options, found);
    return status;
}

static lspo_status_t simulate(const lspo_search_options_t *options, lspo_found_t *found)
{
    return predict(options, &found->workload, found);
}

lspo_status_t lspo_search_simulate(const lspo_search_options_t *options, const lspo_candidate_t *candidate,
                                   double steps, lspo_found_t *found_out)
{
    *found_out = (lspo_found_t){.policy = candidate->policy, .workload = candidate->workload, .steps = steps};
    return predict(options, &candidate->tuned, found_out);
}

/* Refinement */

static bool holds(const lspo_search_options_t *options, const lspo_parameter_t *parameter)
{
    return options->holds != NULL && options->holds(options->context, parameter);
}

/* Double the parameter while that takes hardly longer. */
static lspo_status_t raise_parameter(const lspo_search_options_t *options, const lspo_parameter_t *parameter,
                                     double objective_most, lspo_found_t *found)
{
    lspo_status_t status = LSPO_OK;
    while (status == LSPO_OK) {
        lspo_found_t higher = *found;
        const lspo_candidate_t candidate = {.policy = found->policy, .workload = found->workload};
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
        if (!holds(options, parameter))
            status = raise_parameter(options, parameter, objective_most, found);
    return status;
}

static uint32_t share_of_blocks(const lspo_search_options_t *options, uint32_t share)
{
    return (uint32_t)((uint64_t)options->model->block_count * share / SHARES);
}

/* More and more blocks, until what they are swapped for is had: less memory, or that the training fits. */
static lspo_status_t try_shares(const lspo_search_options_t *options, const lspo_found_t *without, lspo_found_t *found)
{
    const bool memory = options->objective == LSPO_OBJECTIVE_MEMORY;
    lspo_status_t status = LSPO_OK;
    for (uint32_t share = 1, fits = 0; share < SHARES && (memory || !fits) && status == LSPO_OK; share++) {
        lspo_found_t swapping = *without;
        swapping.workload.swap_activations = share_of_blocks(options, share);
        status = simulate(options, &swapping);
        fits = swapping.fit.fits;
        if (status == LSPO_OK && fits && swapping.objective < faster_least * found->objective)
            *found = swapping;
    }
    return status;
}

/* For less memory as it is; for less time without checkpointing, where that does not fit otherwise. */
lspo_status_t lspo_search_try_swapping(const lspo_search_options_t *options, lspo_found_t *found)
{
    lspo_found_t without = *found;
    if (options->holds_swap || options->task == LSPO_TASK_GENERATE)
        return LSPO_OK;
    if (options->objective == LSPO_OBJECTIVE_MEMORY)
        return try_shares(options, &without, found);
    if (options->holds_checkpointing || !found->workload.checkpointing)
        return LSPO_OK;
    without.workload.checkpointing = false;
    lspo_status_t status = simulate(options, &without);
    return status == LSPO_OK && !without.fit.fits ? try_shares(options, &without, found) : status;
}

/* The first layers take the place of the last ones, where the search found those worth their memory. */
static void give_last_layers_to_cpu(const lspo_search_options_t *options, lspo_found_t *found)
{
    static const char key[] = "cpu-share";
    const lspo_parameter_use_t *use = lspo_policy_named_use(found->policy, key, sizeof key - 1);
    if (use != NULL && !holds(options, use->parameter))
        lspo_parameter_store(use->parameter, use->parameter->preset,
                             lspo_policy_slot(found->policy, &found->workload, use->parameter));
}

/* More and more layers native: what does not fit or is not faster is no end, since a step may get longer before the CPU
 * has less to do than the GPU.  A loss curve is one of all layers. */
lspo_status_t lspo_search_try_native(const lspo_search_options_t *options, lspo_found_t *found)
{
    const lspo_parameter_t *parameter = &lspo_parameter_native_layers;
    const lspo_found_t without = *found;
    lspo_status_t status = LSPO_OK;
    if (lspo_policy_use(found->policy, parameter) == NULL || found->policy->semantics == LSPO_SEMANTICS_COMPRESSED ||
        options->objective != LSPO_OBJECTIVE_TIME || holds(options, parameter))
        return LSPO_OK;
    for (uint32_t share = 1; share <= SHARES && status == LSPO_OK; share++) {
        lspo_found_t native = without;
        give_last_layers_to_cpu(options, &native);
        uint32_t *layers = lspo_policy_slot(found->policy, &native.workload, parameter);
        *layers = share_of_blocks(options, share);
        status = simulate(options, &native);
        if (status == LSPO_OK && native.fit.fits && native.objective < faster_least * found->objective)
            *found = native;
    }
    return status;
}

static lspo_status_t try_order(const lspo_search_options_t *options, lspo_found_t *found)
{
    lspo_found_t ordered = *found;
    const bool too_large =
        options->task == LSPO_TASK_GENERATE && found->workload.accumulation > LSPO_SEARCH_MICROS_MOST;
    if (options->holds_order || options->objective == LSPO_OBJECTIVE_MEMORY || too_large)
        return LSPO_OK;
    ordered.workload.order = LSPO_ORDER_AUTO;
    lspo_status_t status = simulate(options, &ordered);
    if (status == LSPO_OK && ordered.fit.fits && ordered.objective < faster_least * found->objective)
        *found = ordered;
    return status;
}

/* Between the eighths. */
static lspo_status_t try_share(const lspo_search_options_t *options, lspo_found_t *found)
{
    const lspo_parameter_t *parameter = &lspo_parameter_recompute_share;
    lspo_found_t open = *found;
    void *slot = lspo_policy_slot(found->policy, &open.workload, parameter);
    if (slot == NULL || holds(options, parameter) || options->objective == LSPO_OBJECTIVE_MEMORY)
        return LSPO_OK;
    lspo_parameter_store(parameter, parameter->preset, slot);
    lspo_status_t status = simulate(options, &open);
    if (status == LSPO_OK && open.fit.fits && open.objective < faster_least * found->objective)
        *found = open;
    return status;
}

lspo_status_t lspo_search_refine(const lspo_search_options_t *options, lspo_found_t *found)
{
    lspo_status_t status = raise_all(options, found);
    if (status == LSPO_OK)
        status = try_share(options, found);
    return status == LSPO_OK ? try_order(options, found) : status;
}
