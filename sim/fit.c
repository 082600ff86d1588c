/* fit.c - the plan of a question, and the largest batch that fits; see fit.h. */
#include "sim/fit.h"

#include <math.h>

#include "plan/policies/deep_optimizer_states.h"
#include "plan/policies/fusion.h"
#include "plan/policies/kvpr.h"
#include "plan/policies/shared.h"
#include "sim/tune.h"

/* With the transition of lspo_tune_transition(), or as it is. */
static lspo_status_t build(const lspo_fit_question_t *question, bool tunes, lspo_plan_t **plan_out)
{
    return tunes ? lspo_tune_transition(question->model, &question->workload, question->policy, question->machine,
                                        plan_out)
                 : lspo_plan_build(question->model, &question->workload, question->policy, plan_out);
}

static lspo_status_t try(const lspo_fit_question_t *question, bool tunes, bool stops, lspo_fit_t *fit_out)
{
    lspo_plan_t *plan = NULL;
    lspo_status_t status = build(question, tunes, &plan);
    if (status == LSPO_OK)
        status = (stops ? lspo_fit_plan_or_stop : lspo_fit_plan)(plan, question->machine, fit_out);
    lspo_plan_destroy(plan);
    return status;
}

lspo_status_t lspo_fit_try(const lspo_fit_question_t *question, lspo_fit_t *fit_out)
{
    return try(question, true, false, fit_out);
}

lspo_status_t lspo_fit_try_or_stop(const lspo_fit_question_t *question, lspo_fit_t *fit_out)
{
    return try(question, true, true, fit_out);
}

/* Of the question's plan, as its framework implements it. */
static lspo_status_t held_excess(const lspo_fit_question_t *question, uint64_t *bytes_out)
{
    lspo_plan_t *plan = NULL;
    lspo_memory_t least;
    lspo_status_t status = lspo_plan_build_first(question->model, &question->workload, question->policy, 0, &plan);
    if (status == LSPO_OK)
        status = lspo_memory_predict_least(plan, question->machine, &least);
    if (status == LSPO_OK)
        *bytes_out = lspo_fit_gpu_excess(question->machine, least.gpu_static_bytes + least.gpu_library_bytes) +
                     lspo_fit_host_excess(question->machine, least.host_bytes);
    lspo_plan_destroy(plan);
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
static lspo_status_t settle(lspo_fit_question_t *question)
{
    close_share(question->policy, &question->workload);
    lspo_tune_products(question->policy, question->machine, &question->workload);
    return lspo_tune_lane(question->model, question->policy, question->machine, &question->workload);
}

/* Asks about the stride of this number; false: there is none, or `asked` has one and the number is not 0. */
static bool take_stride(const lspo_fit_question_t *asked, uint32_t index, lspo_fit_question_t *question)
{
    if (!lspo_tune_stride_is_open(asked->policy, &asked->workload))
        return index == 0;
    const int32_t stride = lspo_tune_stride_at(index);
    if (stride > 0)
        *(int32_t *)lspo_policy_slot(question->policy, &question->workload, &lspo_parameter_stride) = stride;
    return stride > 0;
}

lspo_status_t lspo_fit_least_excess(const lspo_fit_question_t *question, uint64_t *bytes_out)
{
    lspo_fit_question_t settled = *question;
    if (has_peers(question)) {
        *bytes_out = 0;
        return LSPO_OK;
    }
    lspo_status_t status = settle(&settled);
    uint64_t least_bytes = UINT64_MAX;
    for (uint32_t i = 0; status == LSPO_OK && least_bytes > 0 && take_stride(question, i, &settled); i++) {
        uint64_t bytes = 0;
        status = held_excess(&settled, &bytes);
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

lspo_status_t lspo_fit_may(const lspo_fit_question_t *question, double most_s, bool *may_out)
{
    const bool times = isfinite(most_s) && has_alike_steps(question);
    lspo_fit_question_t settled = *question;
    bool may = has_peers(question) || question->policy->task != LSPO_TASK_TRAIN;
    lspo_status_t status = may ? LSPO_OK : settle(&settled);
    for (uint32_t i = 0; status == LSPO_OK && !may && take_stride(question, i, &settled); i++) {
        lspo_fit_first_t first = {0};
        status = lspo_fit_first(&settled, times, &first);
        may = first.may_fit && first.least_s < most_s;
    }
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
        search->status = try(&search->question, search->tunes, true, &fit);
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
