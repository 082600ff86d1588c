/* search_parts.c - see search_parts.h. */
#include "sim/search_parts.h"

#include <math.h>
#include <stdlib.h>

#include "plan/policies/kvpr.h"
#include "plan/policies/shared.h"
#include "sim/bound.h"
#include "sim/cost.h"
#include "sim/tune.h"

/* Rounding errors of times stay below the tolerance. */
static const double raise_most = 1.01, faster_least = 0.999, tolerance = 1e-6;

static lspo_status_t busy_of(const lspo_plan_t *plan, const lspo_machine_t *machine, double *busy_s_out)
{
    uint64_t *work_ns = NULL;
    lspo_status_t status = lspo_cost_plan(machine, plan, &work_ns);
    if (status == LSPO_OK)
        status = lspo_bound_busy(plan, work_ns, busy_s_out);
    free(work_ns);
    return status;
}

/* Messages that are kept from the log, because what is tried may be refused. */
typedef struct {
    lspo_messages_t before;
    char text[256];
} trial_messages_t;

static void keep_messages(trial_messages_t *trial)
{
    trial->text[0] = '\0';
    trial->before = lspo_messages_send((lspo_messages_t){.text = trial->text, .capacity = sizeof trial->text});
}

/* A refusal is no error, only *refused_out; another error is logged. */
static lspo_status_t end_trial(const trial_messages_t *trial, lspo_status_t status, bool *refused_out)
{
    lspo_messages_send(trial->before);
    *refused_out = status == LSPO_ERR_INPUT;
    return status == LSPO_OK || *refused_out ? LSPO_OK : lspo_error(status, "%s", trial->text);
}

/* The plan; of generation NULL if the policy refuses the model or the workload, since another candidate may be taken.
 * Where all policies are compared, what the yardstick refuses is an error. */
static lspo_status_t build(const lspo_search_options_t *options, const lspo_policy_t *policy,
                           const lspo_workload_t *workload, lspo_plan_t **plan_out)
{
    trial_messages_t trial;
    bool refused;
    if (options->task != LSPO_TASK_GENERATE ||
        (options->policy == NULL && policy == lspo_policy_baseline(LSPO_TASK_GENERATE)))
        return lspo_plan_build(options->model, workload, policy, plan_out);
    keep_messages(&trial);
    return end_trial(&trial, lspo_plan_build(options->model, workload, policy, plan_out), &refused);
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

/* What is tried in the place of a result: a refusal by the policy is no better, and no error. */
static lspo_status_t simulate(const lspo_search_options_t *options, lspo_found_t *found)
{
    trial_messages_t trial;
    bool refused;
    keep_messages(&trial);
    lspo_status_t status = end_trial(&trial, predict(options, &found->workload, found), &refused);
    if (!refused)
        return status;
    found->fit.fits = false;
    found->objective = INFINITY;
    return LSPO_OK;
}

lspo_status_t lspo_search_check_taken(const lspo_search_options_t *options, const lspo_candidates_t *candidates)
{
    lspo_plan_t *plan = NULL;
    if (options->task != LSPO_TASK_GENERATE || options->policy == NULL || candidates->count == 0)
        return LSPO_OK;
    const lspo_candidate_t *first = &candidates->list[0];
    lspo_status_t status = lspo_plan_build(options->model, &first->tuned, first->policy, &plan);
    lspo_plan_destroy(plan);
    return status;
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
    return (uint32_t)((uint64_t)options->model->block_count * share / LSPO_SEARCH_SHARES);
}

/* More and more blocks, until what they are swapped for is had: less memory, or that the training fits. */
static lspo_status_t try_shares(const lspo_search_options_t *options, const lspo_found_t *without, lspo_found_t *found)
{
    const bool memory = options->objective == LSPO_OBJECTIVE_MEMORY;
    lspo_status_t status = LSPO_OK;
    for (uint32_t share = 1, fits = 0; share < LSPO_SEARCH_SHARES && (memory || !fits) && status == LSPO_OK; share++) {
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

/* Is the value free?  One that decides numbers is not where a loss curve stands for them, or a policy is compressed. */
static bool may_vary(const lspo_search_options_t *options, const lspo_policy_t *policy,
                     const lspo_parameter_t *parameter)
{
    const bool numbers = parameter->affects != LSPO_AFFECTS_PLAN;
    return !holds(options, parameter) &&
           !(numbers && (policy->semantics == LSPO_SEMANTICS_COMPRESSED || options->objective != LSPO_OBJECTIVE_TIME));
}

/* More and more layers native: what does not fit or is not faster is no end, since a step may get longer before the CPU
 * has less to do than the GPU. */
lspo_status_t lspo_search_try_native(const lspo_search_options_t *options, lspo_found_t *found)
{
    const lspo_parameter_t *parameter = &lspo_parameter_native_layers;
    const lspo_found_t without = *found;
    lspo_status_t status = LSPO_OK;
    if (lspo_policy_use(found->policy, parameter) == NULL || !may_vary(options, found->policy, parameter))
        return LSPO_OK;
    for (uint32_t share = 1; share <= LSPO_SEARCH_SHARES && status == LSPO_OK; share++) {
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

/* One step up or down, as far as the ends; is that better?  Of a share it must be worth its digits. */
static lspo_status_t try_step(const lspo_search_options_t *options, const lspo_split_t *split, double step,
                              lspo_found_t *found, bool *better_out)
{
    lspo_found_t next = *found;
    const lspo_candidate_t candidate = {.policy = found->policy, .workload = found->workload};
    void *slot = lspo_policy_slot(found->policy, &next.workload, split->parameter);
    const double before = lspo_parameter_number(split->parameter, slot);
    const double value = fmin(fmax(before + step, 0), split->high);
    const double enough = split->least_step < 1 ? faster_least : 1 - tolerance;
    *better_out = false;
    if (value == before || !lspo_search_allows(options, &candidate, split->parameter, value))
        return LSPO_OK;
    lspo_parameter_store(split->parameter, value, slot);
    lspo_status_t status = simulate(options, &next);
    *better_out = status == LSPO_OK && next.fit.fits && next.objective < enough * found->objective;
    if (*better_out)
        *found = next;
    return status;
}

/* As many steps as help, in the direction that does. */
static lspo_status_t try_steps(const lspo_search_options_t *options, const lspo_split_t *split, lspo_found_t *found,
                               bool *moved)
{
    lspo_status_t status = LSPO_OK;
    for (int direction = 1; direction >= -1 && status == LSPO_OK; direction -= 2) {
        bool better = true, any = false;
        while (better && status == LSPO_OK) {
            status = try_step(options, split, direction * split->step, found, &better);
            any = any || better;
        }
        *moved = *moved || any;
        if (any)
            break;
    }
    return status;
}

/* Each split in turn, until no step of it or of another one helps. */
static lspo_status_t try_splits(const lspo_search_options_t *options, const lspo_split_t *splits, size_t count,
                                lspo_found_t *found)
{
    lspo_status_t status = LSPO_OK;
    bool moved = count > 0;
    while (moved && status == LSPO_OK) {
        moved = false;
        for (size_t i = 0; i < count && status == LSPO_OK; i++)
            status = try_steps(options, &splits[i], found, &moved);
    }
    return status;
}

typedef struct {
    lspo_split_t list[LSPO_SEARCH_AXES];
    size_t count;
} splits_t;

static splits_t splits_of(const lspo_search_options_t *options, const lspo_policy_t *policy)
{
    splits_t splits = {.count = 0};
    lspo_split_t split = lspo_search_split(options, policy, 0);
    for (size_t i = 0; split.parameter != NULL; split = lspo_search_split(options, policy, ++i))
        if (may_vary(options, policy, split.parameter))
            splits.list[splits.count++] = split;
    return splits;
}

/* Steps of all splits, finer and finer. */
static lspo_status_t climb(const lspo_search_options_t *options, splits_t splits, lspo_found_t *found)
{
    lspo_status_t status = LSPO_OK;
    for (bool finer = true; finer && status == LSPO_OK;) {
        status = try_splits(options, splits.list, splits.count, found);
        finer = false;
        for (size_t i = 0; i < splits.count; i++) {
            finer = finer || splits.list[i].step > splits.list[i].least_step;
            splits.list[i].step = lspo_search_halve(&splits.list[i], splits.list[i].step);
        }
    }
    return status;
}

/* The same from another value of a parameter that divides nothing, such as the slots that take the place of a block. */
static lspo_status_t climb_beside(const lspo_search_options_t *options, const splits_t *splits, lspo_choice_t choice,
                                  lspo_found_t *found)
{
    lspo_found_t other = *found;
    const lspo_candidate_t candidate = {.policy = found->policy, .workload = found->workload};
    void *slot = lspo_policy_slot(found->policy, &other.workload, choice.parameter);
    if (isnan(choice.value) || choice.value == lspo_parameter_number(choice.parameter, slot) ||
        !may_vary(options, found->policy, choice.parameter) ||
        !lspo_search_allows(options, &candidate, choice.parameter, choice.value))
        return LSPO_OK;
    lspo_parameter_store(choice.parameter, choice.value, slot);
    lspo_status_t status = simulate(options, &other);
    if (!other.fit.fits)
        other.objective = INFINITY; /* until a step makes it fit */
    if (status == LSPO_OK)
        status = climb(options, *splits, &other);
    if (status == LSPO_OK && other.objective < (1 - tolerance) * found->objective)
        *found = other;
    return status;
}

/* Memory grows with what is on the GPU, so its least is where candidates are: at an end. */
lspo_status_t lspo_search_climb(const lspo_search_options_t *options, lspo_found_t *found)
{
    const splits_t splits = splits_of(options, found->policy);
    if (splits.count == 0 || options->objective == LSPO_OBJECTIVE_MEMORY)
        return LSPO_OK;
    lspo_status_t status = climb(options, splits, found);
    lspo_choice_t choice = lspo_search_choice(options, found->policy, 0);
    for (size_t i = 0; choice.parameter != NULL && status == LSPO_OK;
         choice = lspo_search_choice(options, found->policy, ++i))
        status = climb_beside(options, &splits, choice, found);
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

/* The policy's own choice. */
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
