/* tune.c - choose what a simulation or the profile can choose: see tune.h. */
#include "sim/tune.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "plan/build.h"
#include "plan/policies/deep_optimizer_states.h"
#include "plan/policies/kvpr.h"
#include "plan/policies/lsp.h"
#include "plan/policies/shared.h"
#include "sim/cost.h"
#include "sim/fit.h"
#include "sim/order.h"
#include "sim/pace.h"
#include "sim/partition_tune.h"
#include "sim/split.h"

enum { TRIAL_ITERATIONS = 8, TRIALS_MAX = 64 };

/* An op whose priority depends on the transition. */
typedef struct {
    lspo_op_id_t op;
    uint32_t iteration;
} ranked_t;

typedef struct {
    const lspo_model_t *model;
    const lspo_policy_t *policy;
    const lspo_machine_t *machine;
    lspo_workload_t workload; /* of the trials */
    lspo_plan_t *plan;        /* of the trials, if only its priorities change; owned */
    uint64_t *work_ns;        /* owned */
    lspo_pace_t *pace;        /* owned */
    ranked_t *ranked;         /* by stage; owned */
    uint32_t *ranked_first;   /* of each stage, and behind the last; owned */
    lspo_op_id_t *before;     /* by stage: the pass before its last one in the first iteration; owned */
    double best_s;            /* 0: none yet */
    int32_t best_stage;
} search_t;

static bool is_share_open(const lspo_policy_t *policy, const lspo_workload_t *workload)
{
    const double *share = lspo_policy_value(policy, workload, &lspo_parameter_recompute_share);
    return share != NULL && *share < 0;
}

static bool is_open(const lspo_policy_t *policy, const lspo_workload_t *workload, const lspo_parameter_t *parameter)
{
    const int32_t *value = lspo_policy_value(policy, workload, parameter);
    return value != NULL && *value < 0;
}

bool lspo_tune_is_open(const lspo_policy_t *policy, const lspo_workload_t *workload)
{
    return is_open(policy, workload, &lspo_parameter_transition) || is_open(policy, workload, &lspo_parameter_stride) ||
           is_share_open(policy, workload);
}

static int32_t *transition_of(const lspo_policy_t *policy, lspo_workload_t *workload)
{
    return lspo_policy_slot(policy, workload, &lspo_parameter_transition);
}

/* Changes the priorities of the stages between the plan's transition and the new one. */
static void set_transition(search_t *search, int32_t transition)
{
    uint32_t stages = search->plan->stage_count;
    int32_t *now = transition_of(search->policy, &search->plan->workload);
    int32_t low = *now < transition ? *now : transition, high = *now < transition ? transition : *now;
    for (uint32_t stage = (uint32_t)(low + 1); stage <= (uint32_t)high; stage++) {
        const uint32_t rank = lspo_build_layerwise_rank(stage, transition, stages);
        for (uint32_t i = search->ranked_first[stage]; i < search->ranked_first[stage + 1]; i++) {
            const ranked_t *it = &search->ranked[i];
            const uint32_t priority = lspo_build_priority(it->iteration, rank, stages);
            search->plan->ops[it->op].priority = priority;
            lspo_pace_set_priority(search->pace, it->op, priority);
        }
    }
    *now = transition;
}

static lspo_status_t time_stage(search_t *search, int32_t stage, lspo_pace_result_t *result_out)
{
    if (search->plan->layerwise) {
        set_transition(search, stage);
        lspo_pace_hold(search->pace, search->before[stage]);
        return lspo_pace_play(search->pace, search->plan->stage_count + 1, result_out);
    }
    lspo_plan_t *plan = NULL;
    lspo_pace_result_t result = {.overtook = search->plan->stage_count + 1};
    *transition_of(search->policy, &search->workload) = stage;
    lspo_status_t status = lspo_plan_build(search->model, &search->workload, search->policy, &plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_pace_of(plan, search->machine, &result.iteration_s);
    if (status == LSPO_OK)
        *result_out = result;
    lspo_plan_destroy(plan);
    return status;
}

/* Stages last, last - step, ... down to first.  After a stage, lower ones are left out that are played like it.  An op
 * of a lower stage than another one has a lower rank, unless both stages are above the transition: then the ranks are
 * equal.  So a lower transition changes the order of two ops only if it is below the stage of one that was served first
 * for its rank alone. */
static lspo_status_t try_stages(search_t *search, int32_t first, int32_t last, int32_t step)
{
    int64_t next = last; /* the highest stage that may differ */
    for (int32_t stage = last; stage >= first; stage -= step) {
        lspo_pace_result_t result = {0};
        if (stage > next)
            continue;
        lspo_status_t status = time_stage(search, stage, &result);
        if (status != LSPO_OK)
            return status;
        if (search->best_s <= 0 || result.iteration_s < search->best_s ||
            (result.iteration_s <= search->best_s && stage > search->best_stage)) {
            search->best_s = result.iteration_s;
            search->best_stage = stage;
        }
        next = (int64_t)result.overtook - 2; /* one below the stage of that op */
    }
    return LSPO_OK;
}

static lspo_status_t search_stage(search_t *search)
{
    int32_t last = (int32_t)search->plan->stage_count - 1;
    int32_t step = last / TRIALS_MAX + 1;
    lspo_status_t status = try_stages(search, 0, last - last % step, step);
    if (status != LSPO_OK || step == 1)
        return status;
    int32_t low = search->best_stage - step + 1, high = search->best_stage + step - 1;
    return try_stages(search, low > 0 ? low : 0, high < last ? high : last, 1);
}

/* By a counting sort: ranked_first[s + 2] counts the ops of stage s, then becomes the place of its next one. */
static lspo_status_t list_ranked(search_t *search)
{
    const lspo_plan_t *plan = search->plan;
    uint32_t *first = calloc((size_t)plan->stage_count + 2, sizeof *first);
    search->ranked_first = first;
    search->ranked = malloc(((size_t)plan->op_count + 1) * sizeof *search->ranked);
    if (!first || !search->ranked)
        return lspo_no_memory("the priorities of %u ops", plan->op_count);
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        if (lspo_op_is_ranked(&plan->ops[id]))
            first[plan->ops[id].layer + 2]++;
    for (uint32_t stage = 2; stage <= plan->stage_count + 1; stage++)
        first[stage] += first[stage - 1];
    for (lspo_op_id_t id = 0; id < plan->op_count; id++)
        if (lspo_op_is_ranked(&plan->ops[id]))
            search->ranked[first[plan->ops[id].layer + 1]++] = (ranked_t){id, plan->ops[id].iteration};
    return LSPO_OK;
}

/* Of each stage the pass before its last one.  A lower transition only changes ops that become ready behind that. */
static lspo_status_t list_passes(search_t *search)
{
    const lspo_plan_t *plan = search->plan;
    lspo_op_id_t before = 0;
    search->before = calloc(plan->stage_count, sizeof *search->before);
    if (!search->before)
        return lspo_no_memory("%u stages", plan->stage_count);
    for (lspo_op_id_t id = 0; id < plan->op_count && plan->ops[id].iteration == 0; id++)
        if (lspo_op_is_pass(&plan->ops[id])) {
            search->before[plan->ops[id].layer] = before;
            before = id;
        }
    return LSPO_OK;
}

static lspo_status_t prepare(search_t *search)
{
    lspo_status_t status = lspo_plan_build(search->model, &search->workload, search->policy, &search->plan);
    const lspo_plan_t *plan = search->plan;
    if (status != LSPO_OK || !plan->layerwise)
        return status;
    status = lspo_cost_plan(search->machine, plan, &search->work_ns);
    if (status != LSPO_OK)
        return status;
    status = list_ranked(search);
    if (status == LSPO_OK)
        status = list_passes(search);
    if (status != LSPO_OK)
        return status;
    return lspo_pace_create(plan, search->machine, search->work_ns, &search->pace);
}

static void release(search_t *search)
{
    free(search->before);
    free(search->ranked_first);
    free(search->ranked);
    lspo_pace_destroy(search->pace);
    free(search->work_ns);
    lspo_plan_destroy(search->plan);
}

/* The plan of the trials where it is the one that is wanted, or a new one. */
static lspo_status_t build_best(search_t *search, const lspo_workload_t *workload, lspo_plan_t **plan_out)
{
    if (search->plan->layerwise && workload->iterations == TRIAL_ITERATIONS) {
        set_transition(search, search->best_stage);
        *plan_out = search->plan;
        search->plan = NULL;
        return LSPO_OK;
    }
    lspo_workload_t tuned = *workload;
    *transition_of(search->policy, &tuned) = search->best_stage;
    return lspo_plan_build(search->model, &tuned, search->policy, plan_out);
}

static lspo_status_t tune_transition(const lspo_model_t *model, const lspo_workload_t *workload,
                                     const lspo_policy_t *policy, const lspo_machine_t *machine, lspo_plan_t **plan_out)
{
    if (!is_open(policy, workload, &lspo_parameter_transition))
        return lspo_plan_build(model, workload, policy, plan_out);

    /* The user's own values are checked before derived ones. */
    lspo_status_t status = lspo_model_check(model);
    if (status != LSPO_OK)
        return status;
    status = lspo_workload_check(workload, model);
    if (status != LSPO_OK)
        return status;
    status = lspo_policy_check(policy, model, workload);
    if (status != LSPO_OK)
        return status;
    search_t search = {.model = model, .policy = policy, .machine = machine, .workload = *workload};
    search.workload.iterations = TRIAL_ITERATIONS;
    status = prepare(&search);
    if (status == LSPO_OK)
        status = search_stage(&search);
    if (status == LSPO_OK)
        status = build_best(&search, workload, plan_out);
    release(&search);
    return status;
}

void lspo_tune_write_products(const lspo_policy_t *policy, const lspo_workload_t *asked, const lspo_workload_t *tuned,
                              size_t text_bytes, char *text)
{
    const struct {
        const lspo_parameter_t *parameter;
        uint32_t unknown; /* what is taken where the machine is not known */
    } choices[] = {{&lspo_parameter_compress_by, LSPO_PRODUCTS_AUTO},
                   {&lspo_parameter_apply_by, LSPO_PRODUCTS_AUTO},
                   {&lspo_parameter_basis_lane, LSPO_BASIS_LANE_CPU}};
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        const lspo_parameter_t *parameter = choices[i].parameter;
        const uint32_t *by = lspo_policy_value(policy, tuned, parameter);
        const uint32_t *was = asked != NULL ? lspo_policy_value(policy, asked, parameter) : NULL;
        size_t used = strlen(text);
        if (by != NULL && *by != (was != NULL && *was != 0 ? *was : choices[i].unknown))
            snprintf(text + used, text_bytes - used, " --%s %s", parameter->key, parameter->names[*by]);
    }
    const int32_t *stride = lspo_policy_value(policy, tuned, &lspo_parameter_stride);
    size_t used = strlen(text);
    if (stride != NULL && (asked == NULL || is_open(policy, asked, &lspo_parameter_stride)))
        snprintf(text + used, text_bytes - used, " --%s %" PRId32, lspo_parameter_stride.key, *stride);
}

void lspo_tune_products(const lspo_policy_t *policy, const lspo_machine_t *machine, lspo_workload_t *workload)
{
    const struct {
        const lspo_parameter_t *parameter;
        double ratio;
    } choices[] = {{&lspo_parameter_compress_by, machine->gpu.dense_compress_ratio},
                   {&lspo_parameter_apply_by, machine->gpu.dense_apply_ratio}};
    for (size_t i = 0; i < sizeof choices / sizeof choices[0]; i++) {
        uint32_t *by = lspo_policy_slot(policy, workload, choices[i].parameter);
        if (by == NULL || *by != LSPO_PRODUCTS_AUTO)
            continue;
        const lspo_lsp_values_t *lsp = lspo_lsp_values_of(workload);
        if (lsp->subspace <= choices[i].ratio * lsp->nnz)
            *by = LSPO_PRODUCTS_DENSE;
    }
}

/* The time per iteration with this lane; infinite if the machine has no room for its static memory. */
static lspo_status_t time_lane(const lspo_model_t *model, const lspo_policy_t *policy, const lspo_machine_t *machine,
                               const lspo_workload_t *workload, double *iteration_s_out)
{
    lspo_plan_t *plan = NULL;
    lspo_status_t status = lspo_plan_build(model, workload, policy, &plan);
    if (status != LSPO_OK)
        return status;
    *iteration_s_out = INFINITY;
    if (lspo_fits(machine, plan->gpu_static_bytes, plan->host_static_bytes))
        status = lspo_pace_of(plan, machine, iteration_s_out);
    lspo_plan_destroy(plan);
    return status;
}

lspo_status_t lspo_tune_lane(const lspo_model_t *model, const lspo_policy_t *policy, const lspo_machine_t *machine,
                             lspo_workload_t *workload)
{
    uint32_t *lane = lspo_policy_slot(policy, workload, &lspo_parameter_basis_lane);
    const uint32_t *basis = lspo_policy_value(policy, workload, &lspo_parameter_adam_basis);
    if (lane == NULL || *lane != LSPO_BASIS_LANE_AUTO)
        return LSPO_OK;
    *lane = LSPO_BASIS_LANE_CPU;
    if (*basis == LSPO_ADAM_BASIS_PLAIN || lspo_lsp_values_of(workload)->check_every > 0)
        return LSPO_OK;
    lspo_workload_t trial = *workload;
    double time_s[2] = {0, 0};
    trial.iterations = lspo_policy_iterations(policy, workload);
    for (int gpu = 0; gpu < 2; gpu++) {
        *(uint32_t *)lspo_policy_slot(policy, &trial, &lspo_parameter_basis_lane) =
            gpu ? LSPO_BASIS_LANE_GPU : LSPO_BASIS_LANE_CPU;
        lspo_status_t status = time_lane(model, policy, machine, &trial, &time_s[gpu]);
        if (status != LSPO_OK)
            return status;
    }
    if (time_s[1] < time_s[0])
        *lane = LSPO_BASIS_LANE_GPU;
    return LSPO_OK;
}

/* A stride and its time per iteration: at least, until it has been played. */
typedef struct {
    int32_t stride;
    double time_s;
    bool is_played, is_out; /* it does not fit */
} stride_t;

static const int32_t strides[] = {64, 32, 16, 10, 9, 8, 7, 6, 5, 4, 3, LSPO_STRIDE_LEAST};
enum { STRIDES = sizeof strides / sizeof strides[0] };

bool lspo_tune_stride_is_open(const lspo_policy_t *policy, const lspo_workload_t *workload)
{
    return is_open(policy, workload, &lspo_parameter_stride);
}

int32_t lspo_tune_stride_at(uint32_t index)
{
    return index < STRIDES ? strides[index] : 0;
}

static void ask_about(lspo_fit_question_t *question, int32_t stride)
{
    *(int32_t *)lspo_policy_slot(question->policy, &question->workload, &lspo_parameter_stride) = stride;
}

/* The least time of a stride, and whether it cannot fit. */
static lspo_status_t bound_stride(lspo_fit_question_t *question, stride_t *stride)
{
    lspo_fit_first_t first = {0};
    ask_about(question, stride->stride);
    lspo_status_t status = lspo_fit_first(question, true, &first);
    stride->time_s = first.least_s;
    stride->is_out = !first.may_fit;
    return status;
}

/* Whether it fits, and if so its time; of one that does not fit the time. */
static lspo_status_t play_stride(lspo_fit_question_t *question, stride_t *stride)
{
    lspo_plan_t *plan = NULL;
    lspo_fit_t fit = {0};
    ask_about(question, stride->stride);
    lspo_status_t status = lspo_plan_build(question->model, &question->workload, question->policy, &plan);
    if (status == LSPO_OK && stride->is_out)
        status = lspo_pace_of(plan, question->machine, &stride->time_s);
    else if (status == LSPO_OK)
        status = lspo_fit_plan_or_stop(plan, question->machine, &fit);
    stride->is_played = stride->is_out || fit.fits;
    stride->is_out = !fit.fits;
    stride->time_s = fit.fits ? fit.iteration_s : stride->time_s;
    lspo_plan_destroy(plan);
    return status;
}

/* The first of those with the least time, of those that may fit, or of all if none may. */
static stride_t *least_of(stride_t *found)
{
    stride_t *best = &found[0];
    for (int i = 1; i < STRIDES; i++)
        if (found[i].is_out != best->is_out ? best->is_out : found[i].time_s < best->time_s)
            best = &found[i];
    return best;
}

lspo_status_t lspo_tune_stride(const lspo_model_t *model, const lspo_policy_t *policy, const lspo_machine_t *machine,
                               lspo_workload_t *workload)
{
    lspo_fit_question_t question = {.model = model, .workload = *workload, .policy = policy, .machine = machine};
    stride_t found[STRIDES] = {{0}}, *best = NULL;
    lspo_status_t status = LSPO_OK;
    if (!lspo_tune_stride_is_open(policy, workload))
        return LSPO_OK;
    question.workload.iterations = lspo_policy_iterations(policy, workload);
    for (int i = 0; i < STRIDES && status == LSPO_OK; i++) {
        found[i].stride = strides[i];
        status = bound_stride(&question, &found[i]);
    }
    /* Plays the one that may be the fastest until the one with the least time has been played. */
    while (status == LSPO_OK && !(best = least_of(found))->is_played)
        status = play_stride(&question, best);
    if (status == LSPO_OK)
        *(int32_t *)lspo_policy_slot(policy, workload, &lspo_parameter_stride) = best->stride;
    return status;
}

lspo_status_t lspo_tune_transition(const lspo_model_t *model, const lspo_workload_t *workload,
                                   const lspo_policy_t *policy, const lspo_machine_t *machine, lspo_plan_t **plan_out)
{
    lspo_plan_t *plan = NULL;
    lspo_workload_t resolved = *workload;
    lspo_tune_products(policy, machine, &resolved);
    lspo_status_t status = lspo_tune_lane(model, policy, machine, &resolved);
    if (status == LSPO_OK)
        status = lspo_tune_stride(model, policy, machine, &resolved);
    if (status == LSPO_OK)
        status = lspo_split_tune(model, policy, machine, &resolved);
    if (status == LSPO_OK)
        status = lspo_partition_tune(model, policy, machine, &resolved);
    if (status == LSPO_OK)
        status = tune_transition(model, &resolved, policy, machine, &plan);
    if (status == LSPO_OK && workload->order == LSPO_ORDER_AUTO)
        status = lspo_order_plan(plan, machine);
    if (status == LSPO_OK)
        *plan_out = plan;
    else
        lspo_plan_destroy(plan);
    return status;
}
