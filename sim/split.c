/* split.c - see split.h. */
#include "sim/split.h"

#include <math.h>
#include <stdlib.h>

#include "plan/build_generate.h"
#include "plan/policies/kvpr.h"
#include "sim/cost.h"
#include "sim/pace.h"

/* Iterations of a trial, about as long texts as those of the middle of the plan. */
enum { TRIAL_ITERATIONS = 8 };

/* Durations of a block's ops of one micro-batch, in s. */
typedef struct {
    double inputs, cache, weights, recompute, forward;
    double share; /* that is rebuilt */
} block_times_t;

/* offset + slope u */
typedef struct {
    double offset, slope;
} line_t;

static lspo_workload_t trial_of(const lspo_fit_question_t *question, double share)
{
    lspo_workload_t w = question->workload;
    if (w.iterations > TRIAL_ITERATIONS) {
        w.sequence += (w.iterations - TRIAL_ITERATIONS) / 2;
        w.iterations = TRIAL_ITERATIONS;
    }
    *(double *)lspo_policy_slot(question->policy, &w, &lspo_parameter_recompute_share) = share;
    return w;
}

/* ---- the linear program ---- */

static void add_op(const lspo_op_t *op, double op_s, block_times_t *times)
{
    const bool in = op->kind == LSPO_OP_SWAP_IN;
    if (op->kind == LSPO_OP_FWD)
        times->forward += op_s;
    else if (op->kind == LSPO_OP_RECOMPUTE)
        times->recompute += op_s;
    else if (in && op->variant == LSPO_VARIANT_INPUTS)
        times->inputs += op_s;
    else if (in && op->variant == LSPO_VARIANT_CACHE)
        times->cache += op_s;
    else if (in && op->variant == LSPO_VARIANT_PARAMETERS)
        times->weights += op_s;
}

/* The first block in the middle iteration of a trial. */
static lspo_status_t profile(const lspo_fit_question_t *question, double share, block_times_t *times_out)
{
    const lspo_workload_t trial = trial_of(question, share);
    const uint32_t iteration = trial.iterations / 2;
    lspo_plan_t *plan = NULL;
    uint64_t *work_ns = NULL;
    lspo_status_t status = lspo_plan_build(question->model, &trial, question->policy, &plan);
    if (status != LSPO_OK)
        return status;
    status = lspo_cost_plan(question->machine, plan, &work_ns);
    block_times_t times = {.share =
                               (double)lspo_generate_rebuilt(plan, iteration) / lspo_generate_first(&trial, iteration)};
    for (uint32_t i = 0; status == LSPO_OK && i < plan->op_count; i++) {
        const lspo_op_t *op = &plan->ops[i];
        if (op->layer == 1 && op->micro == 0 && op->iteration == iteration)
            add_op(op, 1e-9 * (double)lspo_cost_op_ns(op, work_ns), &times);
    }
    free(work_ns);
    lspo_plan_destroy(plan);
    if (status == LSPO_OK)
        *times_out = times;
    return status;
}

/* What bounds the time per block: the largest of these. */
static void bounds_of(const lspo_workload_t *w, const block_times_t *t, double bounds[2])
{
    const double n = w->accumulation;
    if (lspo_kvpr_values_of(w)->schedule == LSPO_SCHEDULE_LATENCY) {
        bounds[0] = t->inputs + t->recompute;
        bounds[1] = t->inputs + t->cache;
    } else {
        bounds[0] = n * (t->recompute + t->forward);
        bounds[1] = t->weights + n * (t->inputs + t->cache);
    }
}

static line_t line_through(double u1, double t1, double u2, double t2)
{
    const double slope = (t2 - t1) / (u2 - u1);
    return (line_t){t1 - slope * u1, slope};
}

static double height(const line_t lines[2], double u)
{
    return fmax(lines[0].offset + lines[0].slope * u, lines[1].offset + lines[1].slope * u);
}

/* The lowest vertex; the first of equal ones rebuilds least.  A program of two lines has at most three vertices. */
static double solve(const line_t lines[2])
{
    const double crossing = (lines[1].offset - lines[0].offset) / (lines[0].slope - lines[1].slope);
    const double vertices[] = {0, crossing > 0 && crossing < 1 ? crossing : 0, 1};
    double best = 0;
    for (int i = 1; i < 3; i++)
        if (height(lines, vertices[i]) < height(lines, best) * (1 - 1e-9))
            best = vertices[i];
    return best;
}

lspo_status_t lspo_split_by_program(const lspo_fit_question_t *question, double *share_out)
{
    block_times_t low, high;
    double at_low[2], at_high[2];
    line_t lines[2];
    if (question->workload.iterations < 2) {
        *share_out = 0;
        return LSPO_OK;
    }
    lspo_status_t status = profile(question, 0.25, &low);
    if (status == LSPO_OK)
        status = profile(question, 0.75, &high);
    if (status != LSPO_OK)
        return status;
    bounds_of(&question->workload, &low, at_low);
    bounds_of(&question->workload, &high, at_high);
    for (int i = 0; i < 2; i++)
        lines[i] = line_through(low.share, at_low[i], high.share, at_high[i]);
    *share_out = high.share > low.share ? solve(lines) : 0;
    return LSPO_OK;
}

/* ---- the simulator ---- */

static lspo_status_t time_share(const lspo_fit_question_t *question, double share, double *token_s_out)
{
    const lspo_workload_t trial = trial_of(question, share);
    lspo_plan_t *plan = NULL;
    lspo_status_t status = lspo_plan_build(question->model, &trial, question->policy, &plan);
    if (status == LSPO_OK)
        status = lspo_pace_of(plan, question->machine, token_s_out);
    lspo_plan_destroy(plan);
    return status;
}

lspo_status_t lspo_split_by_simulation(const lspo_fit_question_t *question, double *share_out, double *token_s_out)
{
    static const double golden = 0.6180339887498949;
    const double tokens = question->workload.sequence, least = fmax(1.0 / 256, 1 / tokens);
    double low = 0, high = 1, left = 1 - golden, right = golden, left_s = 0, right_s = 0;
    lspo_status_t status = time_share(question, left, &left_s);
    if (status == LSPO_OK)
        status = time_share(question, right, &right_s);
    while (status == LSPO_OK && high - low > least) {
        if (left_s <= right_s) {
            high = right;
            right = left;
            right_s = left_s;
            left = high - golden * (high - low);
            status = time_share(question, left, &left_s);
        } else {
            low = left;
            left = right;
            left_s = right_s;
            right = low + golden * (high - low);
            status = time_share(question, right, &right_s);
        }
    }
    if (status != LSPO_OK)
        return status;
    *share_out = left_s <= right_s ? left : right;
    *token_s_out = fmin(left_s, right_s);
    return LSPO_OK;
}

/* ---- the choice ---- */

lspo_status_t lspo_split_tune(const lspo_model_t *model, const lspo_policy_t *policy, const lspo_machine_t *machine,
                              lspo_workload_t *workload)
{
    const lspo_fit_question_t question = {.model = model, .workload = *workload, .policy = policy, .machine = machine};
    double *share = lspo_policy_slot(policy, workload, &lspo_parameter_recompute_share);
    double shares[4] = {0, 0, 1, 0}, times_s[4] = {0};
    if (share == NULL || *share >= 0)
        return LSPO_OK;
    *share = 0;
    if (workload->iterations < 2)
        return LSPO_OK;
    lspo_status_t status = lspo_generate_check(model, workload); /* before trials with other numbers */
    if (status == LSPO_OK)
        status = lspo_split_by_program(&question, &shares[1]);
    if (status == LSPO_OK)
        status = lspo_split_by_simulation(&question, &shares[3], &times_s[3]);
    for (int i = 0; status == LSPO_OK && i < 3; i++)
        status = time_share(&question, shares[i], &times_s[i]);
    int best = 0;
    for (int i = 1; i < 4; i++)
        if (times_s[i] < times_s[best] * (1 - 1e-6))
            best = i;
    *share = shares[best];
    return status;
}
