/* project.c - check pairs of projectors and fit them again.  pairs.c creates them and handles new ones.
 *
 * A calibration pass (plan/build_projectors.c) computes G = X^T dY for each of its micro-batches.  The first gives the
 * bias of (P, Q) at its best scale.  If that is above the threshold, a new pair is fitted to the following ones, some
 * steps on each, and the last one, which was not used for either pair, decides between them.  A pair that several
 * weights share is judged by the mean of their biases, fitted to the gradients of all, and replaced at the end of the
 * pass. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "kernels/fit.h"
#include "plan/policies/lsp.h"
#include "real/methods/pairs.h"

/* The micro-batches of calibration passes have their own random stream, with a number for each. */
static const uint64_t calibration_number_stride = UINT64_C(0x9e3779b97f4a7c15);
static const uint64_t calibration_seed_stride = UINT64_C(0xd1342543de82ef95);

/* One weight's check: the host computes it, on gradients that an asynchronous device computes and transfers. */
typedef struct {
    float *gradient, *scratch;
    void *on_device;
} check_t;

static void release_check(lspo_session_t *session, check_t *check)
{
    lspo_session_give_back(session, &check->on_device);
    lspo_session_give_back_for_host(session, (void **)&check->scratch);
    lspo_session_give_back_for_host(session, (void **)&check->gradient);
}

void lspo_pairs_form_gradient(lspo_session_t *session, const lspo_projection_t *linear, uint32_t i, float beta, void *g)
{
    const lspo_gradient_factors_t *from = &session->operands.of[i];
    lspo_compute_gemm_tn(session->compute, &(lspo_gemm_t){.m = linear->rows,
                                                          .n = linear->cols,
                                                          .k = from->tokens,
                                                          .alpha = 1,
                                                          .a = from->x,
                                                          .a_stride = from->x_stride,
                                                          .b = from->dy,
                                                          .b_stride = from->dy_stride,
                                                          .beta = beta,
                                                          .c = g,
                                                          .c_stride = linear->cols});
}

static lspo_status_t form_gradient(lspo_session_t *session, uint32_t s, uint32_t i, check_t *check)
{
    const lspo_pairs_stage_t *own = lspo_pairs_of(session, s);
    const lspo_projection_t *linear = &session->stages[s].message.linear[i];
    size_t m = linear->rows, n = linear->cols;
    size_t scratch_bytes = lspo_fit_scratch(&own->p[i], &own->q[i]) * sizeof(float);
    lspo_status_t status = lspo_session_take_for_host(session, m * n * sizeof(float), (void **)&check->gradient);
    if (status != LSPO_OK)
        return status;
    status = lspo_session_take_for_host(session, scratch_bytes, (void **)&check->scratch);
    if (status != LSPO_OK)
        return status;
    if (session->asynchronous)
        status = lspo_session_take(session, m * n * session->number_bytes, &check->on_device);
    if (status != LSPO_OK)
        return status;
    lspo_pairs_form_gradient(session, linear, i, 0, check->on_device ? check->on_device : check->gradient);
    if (check->on_device)
        status = lspo_session_read_numbers(session, m * n, check->on_device, check->gradient);
    return status;
}

/* The arrays of one projector, in the memory of another. */
static lspo_projector_t copied_to(const lspo_projector_t *p, void *memory)
{
    memcpy(memory, p->index, lspo_pairs_block_bytes(p));
    return lspo_pairs_view_in(p, memory);
}

static double bias_of(const lspo_projector_t *p, const lspo_projector_t *q, const check_t *check)
{
    return lspo_fit_bias_scaled(p, q, check->gradient, NULL, check->scratch);
}

/* Zero gradients have no bias: their projectors are kept. */
static bool is_fitted(const lspo_session_t *session, const lspo_pair_t *pair)
{
    return pair->bias > lspo_lsp_values_of(&session->plan->workload)->bias_threshold;
}

/* Count one more weight of a pair; true if it is the last. */
static bool tally(lspo_pair_t *pair, double in_use, double renewed)
{
    if (isfinite(in_use)) {
        pair->counted++;
        pair->in_use += in_use;
        pair->renewed += renewed;
    }
    return ++pair->visits == pair->weights;
}

static void clear_tally(lspo_pair_t *pair)
{
    pair->visits = pair->counted = 0;
    pair->in_use = pair->renewed = 0;
}

/* Combine means over `count` weights into the means over all. */
static void count_check(lspo_session_bias_t *bias, uint32_t count, double before, double after)
{
    if (count == 0)
        return;
    bias->checked += count;
    bias->checked_total += count;
    bias->bias_before += (before - bias->bias_before) * count / bias->checked;
    bias->bias_after += (after - bias->bias_after) * count / bias->checked;
}

/* Weights that are not fitted are counted immediately, fitted ones after the decision. */
static void check_weight(lspo_session_t *session, lspo_pair_t *pair, const check_t *check)
{
    double bias = bias_of(&pair->host_p, &pair->host_q, check);
    if (!tally(pair, bias, bias))
        return;
    pair->bias = pair->in_use / pair->counted;
    if (is_fitted(session, pair))
        ((lspo_pairs_t *)session->own)->fits = true;
    else
        count_check(&session->bias, pair->counted, pair->bias, pair->bias);
    clear_tally(pair);
}

/* The number of all steps of a fit, on the gradients of all weights of the pair: the learning rate decreases over
 * them. */
static lspo_fit_options_t fit_options(const lspo_session_t *session, const lspo_pair_t *pair)
{
    lspo_fit_options_t options = lspo_fit_default();
    uint64_t steps = (uint64_t)lspo_lsp_values_of(&session->plan->workload)->fit_steps * pair->weights;
    options.beta = lspo_lsp_values_of(&session->plan->workload)->fit_beta;
    options.steps = steps < UINT32_MAX ? (uint32_t)steps : UINT32_MAX;
    return options;
}

static lspo_status_t take_candidate(lspo_session_t *session, lspo_pair_t *pair)
{
    const lspo_projector_t *p = &pair->p, *q = &pair->q;
    lspo_status_t status = lspo_session_take_for_host(session, lspo_pairs_block_bytes(p), &pair->candidate[0]);
    if (status != LSPO_OK)
        return status;
    status = lspo_session_take_for_host(session, lspo_pairs_block_bytes(q), &pair->candidate[1]);
    if (status != LSPO_OK)
        return status;
    return lspo_session_take_for_host(session, lspo_fit_moments(p, q) * sizeof(float), (void **)&pair->fit_moments);
}

/* The new pair starts as a copy of the one in use, so that moments transfer with little loss.  If the gradient is zero,
 * the next one begins the fit. */
static lspo_status_t begin_fit(lspo_session_t *session, lspo_pair_t *pair, const check_t *check)
{
    lspo_status_t status = pair->fit_moments ? LSPO_OK : take_candidate(session, pair);
    if (status != LSPO_OK)
        return status;
    lspo_projector_t p = copied_to(&pair->host_p, pair->candidate[0]), q = copied_to(&pair->host_q, pair->candidate[1]);
    lspo_fit_options_t options = fit_options(session, pair);
    pair->begun = lspo_fit_begin(&(lspo_fit_work_t){&options, &p, &q, pair->fit_moments}, check->gradient,
                                 check->scratch, &pair->fit);
    return LSPO_OK;
}

static lspo_status_t fit_weight(lspo_session_t *session, lspo_pair_t *pair, const check_t *check)
{
    lspo_status_t status = pair->begun ? LSPO_OK : begin_fit(session, pair, check);
    if (status != LSPO_OK || !pair->begun)
        return status;
    lspo_fit_options_t options = fit_options(session, pair);
    lspo_projector_t p = lspo_pairs_view_in(&pair->host_p, pair->candidate[0]),
                     q = lspo_pairs_view_in(&pair->host_q, pair->candidate[1]);
    uint32_t before = pair->fit.steps;
    lspo_fit_advance(&(lspo_fit_work_t){&options, &p, &q, pair->fit_moments}, lspo_plan_fit_steps(session->plan),
                     check->gradient, check->scratch, &pair->fit);
    session->bias.fit_steps += pair->fit.steps - before;
    return LSPO_OK;
}

/* Keep the pair with the lower mean bias. */
static lspo_status_t conclude(lspo_session_t *session, lspo_pair_t *pair)
{
    bool better = pair->begun && pair->renewed < pair->in_use;
    lspo_status_t status = LSPO_OK;
    if (better) {
        memcpy(pair->host_p.index, pair->candidate[0], lspo_pairs_block_bytes(&pair->p));
        memcpy(pair->host_q.index, pair->candidate[1], lspo_pairs_block_bytes(&pair->q));
        status = lspo_pairs_upload(session, pair);
        session->bias.fitted += pair->weights;
        session->bias.fitted_total += pair->weights;
    }
    count_check(&session->bias, pair->counted, pair->in_use / pair->counted,
                (better ? pair->renewed : pair->in_use) / pair->counted);
    lspo_pairs_drop_candidate(session, pair);
    return status;
}

/* On gradients that were not used for either pair. */
static lspo_status_t decide(lspo_session_t *session, lspo_pair_t *pair, const check_t *check)
{
    double in_use = bias_of(&pair->host_p, &pair->host_q, check), renewed = in_use;
    if (pair->begun) {
        lspo_projector_t p = lspo_pairs_view_in(&pair->host_p, pair->candidate[0]),
                         q = lspo_pairs_view_in(&pair->host_q, pair->candidate[1]);
        if (pair->visits == 0)
            lspo_fit_finish(&p, &q);
        renewed = bias_of(&p, &q, check);
    }
    return tally(pair, in_use, renewed) ? conclude(session, pair) : LSPO_OK;
}

static lspo_status_t project_weight(lspo_session_t *session, const lspo_op_t *op, uint32_t i, check_t *check)
{
    lspo_pair_t *pair = lspo_pairs_of(session, op->layer)->pair[i];
    lspo_status_t status = form_gradient(session, op->layer, i, check);
    if (status != LSPO_OK)
        return status;
    if (op->variant == LSPO_VARIANT_FIT)
        return fit_weight(session, pair, check);
    if (op->variant == LSPO_VARIANT_DECIDE)
        return decide(session, pair, check);
    check_weight(session, pair, check);
    return LSPO_OK;
}

/* Before the first PROJECT of a pass, that of the last block. */
static void begin_pass(lspo_session_t *session, uint32_t step)
{
    lspo_session_bias_t *bias = &session->bias;
    ((lspo_pairs_t *)session->own)->fits = false;
    *bias =
        (lspo_session_bias_t){.step = step, .checked_total = bias->checked_total, .fitted_total = bias->fitted_total};
}

lspo_status_t lspo_pairs_project(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_status_t status = LSPO_OK;
    if (op->variant == LSPO_VARIANT_NONE && op->layer + 2U == session->stage_count)
        begin_pass(session, lspo_session_step(session, op));
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        check_t check = {0};
        const lspo_pair_t *pair = lspo_pairs_of(session, op->layer)->pair[i];
        if (pair && (op->variant == LSPO_VARIANT_NONE || is_fitted(session, pair)))
            status = project_weight(session, op, i, &check);
        release_check(session, &check);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

void lspo_pairs_drop_candidate(lspo_session_t *session, lspo_pair_t *pair)
{
    lspo_session_give_back_for_host(session, (void **)&pair->fit_moments);
    lspo_session_give_back_for_host(session, &pair->candidate[1]);
    lspo_session_give_back_for_host(session, &pair->candidate[0]);
    pair->begun = false;
    clear_tally(pair);
}

bool lspo_pairs_skip_calibration(const lspo_session_t *session, const lspo_op_t *op)
{
    bool calibrates =
        op->variant == LSPO_VARIANT_CALIBRATE || op->variant == LSPO_VARIANT_FIT || op->variant == LSPO_VARIANT_DECIDE;
    return calibrates && op->micro > 0 && !((const lspo_pairs_t *)session->own)->fits;
}

/* Training data of a step chosen by the seed, so that the order of training does not change. */
lspo_status_t lspo_pairs_load_calibration(lspo_session_t *session, const lspo_op_t *op)
{
    uint64_t number =
        (uint64_t)lspo_session_step(session, op) * lspo_lsp_values_of(&session->plan->workload)->fit_batches +
        op->micro + 1;
    uint64_t drawn = (session->plan->workload.seed + number * calibration_number_stride) * calibration_seed_stride;
    return lspo_session_load_batch(session, (uint32_t)(drawn >> 33), 0);
}
