/* fit.c - the plan of a question, and the largest batch that fits; see fit.h. */
#include "sim/fit.h"

#include <math.h>
#include <stdlib.h>

#include "plan/policies/deep_optimizer_states.h"
#include "plan/policies/fusion.h"
#include "plan/policies/kvpr.h"
#include "plan/policies/shared.h"
#include "sim/bound.h"
#include "sim/cost.h"
#include "sim/tune.h"

static const double tolerance = 1e-9; /* rounding errors of times stay below it */

lspo_status_t lspo_fit_try(const lspo_fit_question_t *question, lspo_fit_t *fit_out)
{
    lspo_plan_t *plan = NULL;
    lspo_status_t status =
        lspo_tune_transition(question->model, &question->workload, question->policy, question->machine, &plan);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_fit_plan(plan, question->machine, fit_out);
cleanup:
    lspo_plan_destroy(plan);
    return status;
}

/* Of the question's plan with this workload. */
static lspo_status_t held_excess(const lspo_fit_question_t *question, const lspo_workload_t *workload,
                                 uint64_t *bytes_out)
{
    uint64_t gpu_bytes, host_bytes;
    lspo_status_t status = lspo_plan_held(question->model, workload, question->policy, &gpu_bytes, &host_bytes);
    if (status == LSPO_OK)
        *bytes_out =
            lspo_fit_gpu_excess(question->machine, gpu_bytes) + lspo_fit_host_excess(question->machine, host_bytes);
    return status;
}

/* Has it peers, each with a machine of its own? */
static bool has_peers(const lspo_fit_question_t *question)
{
    const uint32_t *peers = lspo_policy_value(question->policy, &question->workload, &lspo_parameter_peers);
    return peers != NULL && *peers != 0;
}

/* An open share of tokens to rebuild becomes none, which holds least. */
static void close_share(const lspo_policy_t *policy, lspo_workload_t *workload)
{
    double *share = lspo_policy_slot(policy, workload, &lspo_parameter_recompute_share);
    if (share != NULL && *share < 0)
        *share = 0;
}

/* What a play would choose, as far as memory depends on it: all but the stride. */
static lspo_status_t settle(const lspo_fit_question_t *question, lspo_workload_t *workload)
{
    *workload = question->workload;
    close_share(question->policy, workload);
    lspo_tune_products(question->policy, question->machine, workload);
    return lspo_tune_lane(question->model, question->policy, question->machine, workload);
}

/* Gives the workload the stride of this number; false: there is none, or it is not open and the number is not 0. */
static bool take_stride(const lspo_fit_question_t *question, uint32_t index, lspo_workload_t *workload)
{
    if (!lspo_tune_stride_is_open(question->policy, &question->workload))
        return index == 0;
    if (lspo_tune_stride_at(index) > 0)
        *(int32_t *)lspo_policy_slot(question->policy, workload, &lspo_parameter_stride) = lspo_tune_stride_at(index);
    return lspo_tune_stride_at(index) > 0;
}

lspo_status_t lspo_fit_least_excess(const lspo_fit_question_t *question, uint64_t *bytes_out)
{
    lspo_workload_t workload;
    if (has_peers(question)) {
        *bytes_out = 0;
        return LSPO_OK;
    }
    lspo_status_t status = settle(question, &workload);
    uint64_t least_bytes = UINT64_MAX;
    for (uint32_t i = 0; status == LSPO_OK && least_bytes > 0 && take_stride(question, i, &workload); i++) {
        uint64_t bytes = 0;
        status = held_excess(question, &workload, &bytes);
        least_bytes = bytes < least_bytes ? bytes : least_bytes;
    }
    if (status == LSPO_OK)
        *bytes_out = least_bytes;
    return status;
}

/* Have the first steps of a plan the ops of all later ones?  Bases that stay are computed in the first step only. */
static bool has_alike_steps(const lspo_fit_question_t *question)
{
    const uint32_t *basis = lspo_policy_value(question->policy, &question->workload, &lspo_parameter_adam_basis);
    return question->policy->turn == NULL && lspo_policy_period(question->policy, &question->workload) == 1 &&
           (basis == NULL || *basis != LSPO_ADAM_BASIS_FIXED);
}

/* May it fit, and take less time than that?  By the first step of the workload's plan, or by two if time counts. */
static lspo_status_t may_fit(const lspo_fit_question_t *question, const lspo_workload_t *workload, double most_s,
                             bool *may_out)
{
    const bool times = isfinite(most_s) && has_alike_steps(question);
    lspo_plan_t *plan = NULL;
    uint64_t *work_ns = NULL;
    lspo_memory_t least;
    double least_s = 0;
    bool may = false;
    lspo_status_t status = lspo_plan_build_first(question->model, workload, question->policy, times ? 2 : 1, &plan);
    if (status == LSPO_OK)
        status = lspo_memory_predict_least(plan, question->machine, &least);
    if (status == LSPO_OK)
        may = lspo_fits(question->machine, least.gpu_bytes, least.host_bytes);
    if (status == LSPO_OK && may && times)
        status = lspo_cost_plan(question->machine, plan, &work_ns);
    if (work_ns != NULL)
        status = lspo_bound_step(plan, work_ns, &least_s);
    *may_out = may && (1 - tolerance) * least_s < most_s;
    free(work_ns);
    lspo_plan_destroy(plan);
    return status;
}

lspo_status_t lspo_fit_may(const lspo_fit_question_t *question, double most_s, bool *may_out)
{
    lspo_workload_t workload;
    bool may = has_peers(question) || question->policy->task != LSPO_TASK_TRAIN;
    lspo_status_t status = may ? LSPO_OK : settle(question, &workload);
    for (uint32_t i = 0; status == LSPO_OK && !may && take_stride(question, i, &workload); i++)
        status = may_fit(question, &workload, most_s, &may);
    if (status == LSPO_OK)
        *may_out = may;
    return status;
}

/* The largest batch: between what fits and what does not */

typedef struct {
    lspo_fit_question_t question;
    bool tunes;         /* chooses the transition for each batch */
    uint32_t low, high; /* low fits or is 0, high does not or is one more than the largest allowed */
    uint64_t failed;    /* a bit for each small batch that is known not to fit */
    lspo_status_t status;
} search_t;

/* Without choosing the transition. */
static lspo_status_t try_as_it_is(const lspo_fit_question_t *question, lspo_fit_t *fit_out)
{
    lspo_plan_t *plan = NULL;
    lspo_status_t status = lspo_plan_build(question->model, &question->workload, question->policy, &plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_fit_plan(plan, question->machine, fit_out);
    lspo_plan_destroy(plan);
    return status;
}

/* Moves low or high to `batch`, which lies between them. */
static bool try_batch(search_t *search, uint32_t batch)
{
    const uint64_t bit = batch < 64 ? (uint64_t)1 << batch : 0;
    lspo_fit_t fit = {0};
    bool may = false;
    search->question.workload.batch = batch;
    if ((search->failed & bit) == 0)
        search->status = lspo_fit_may(&search->question, INFINITY, &may);
    if (search->status == LSPO_OK && may)
        search->status = search->tunes ? lspo_fit_try(&search->question, &fit) : try_as_it_is(&search->question, &fit);
    *(fit.fits ? &search->low : &search->high) = batch;
    search->failed |= fit.fits ? 0 : bit;
    return fit.fits;
}

static bool goes_on(const search_t *search)
{
    return search->status == LSPO_OK && search->high - search->low > 1;
}

/* Search from `guess` in growing steps until both bounds are known, then by bisection. */
static void find_edge(search_t *search, uint32_t most, uint32_t guess)
{
    search->low = 0;
    search->high = most + 1;
    bool fits = try_batch(search, guess < 1 ? 1 : guess > most ? most : guess);
    for (uint32_t step = 1; goes_on(search); step *= 2) {
        uint32_t room = search->high - search->low - 1;
        if (step > room)
            break;
        if (try_batch(search, fits ? search->low + step : search->high - step) != fits)
            break;
    }
    while (goes_on(search))
        try_batch(search, search->low + (search->high - search->low) / 2);
}

static void look_beyond(search_t *search, uint32_t most)
{
    uint32_t best = search->low;
    for (uint32_t batch = best + 2; search->status == LSPO_OK && batch <= most && batch - best <= LSPO_FIT_BEYOND;
         batch++)
        if (try_batch(search, batch))
            best = batch;
    search->low = best;
}

lspo_status_t lspo_fit_largest_batch(const lspo_fit_question_t *question, uint32_t *batch_out)
{
    uint32_t most = lspo_workload_batch_most(&question->workload, question->model);
    search_t search = {.question = *question};
    lspo_tune_products(question->policy, question->machine, &search.question.workload);
    search.status = lspo_tune_lane(question->model, question->policy, question->machine, &search.question.workload);
    if (search.status != LSPO_OK)
        return search.status;
    /* Choosing the transition takes many times longer than checking whether one plan fits, so it is done only near the
     * answer. */
    find_edge(&search, most, question->workload.batch);
    if (search.status != LSPO_OK)
        return search.status;
    if (lspo_tune_is_open(question->policy, &question->workload)) {
        search.tunes = true;
        search.failed = 0;
        find_edge(&search, most, search.low);
    }
    look_beyond(&search, most);
    if (search.status != LSPO_OK)
        return search.status;
    *batch_out = search.low;
    return LSPO_OK;
}
