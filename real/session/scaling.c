/* scaling.c - factors between a gradient and its update: clipping, the loss scale of fp16, stochastic rounding. */
#include <inttypes.h>
#include <math.h>

#include "real/session/state.h"

/* fp16 represents 6e-8 to 65504.  Gradients of a mean loss are rarely above 1, so 2^10 preserves small values and stays
 * far below the upper limit. */
static const float static_scale = 1024.0F;

/* A dynamic scale starts high, is halved when the norm detects an overflow, and rises again. */
static const float dynamic_scale_first = 65536.0F, dynamic_scale_most = 16777216.0F;
enum { GOOD_STEPS = 200 };

lspo_session_scaling_t lspo_session_first_scaling(const lspo_session_t *session)
{
    const lspo_workload_t *workload = &session->plan->workload;
    lspo_number_t number = session->number;
    bool by_itself = workload->loss_scale == LSPO_LOSS_SCALE_AUTO;
    bool norm_comes_first = workload->clip_norm > 0 && !session->method->norm_comes_late;
    bool dynamic = workload->loss_scale == LSPO_LOSS_SCALE_DYNAMIC ||
                   (by_itself && number == LSPO_NUMBER_FP16 && norm_comes_first);
    if (dynamic)
        return (lspo_session_scaling_t){.now = dynamic_scale_first, .dynamic = true};
    if (by_itself)
        return (lspo_session_scaling_t){.now = number == LSPO_NUMBER_FP16 ? static_scale : 1.0F};
    return (lspo_session_scaling_t){.now = (float)workload->loss_scale};
}

float lspo_session_gradient_scale(const lspo_session_t *session, float norm, float scale)
{
    double clip = session->plan->workload.clip_norm;
    float clipped = clip > 0 && (double)norm > clip ? (float)(clip / (double)norm) : 1.0F;
    return clipped / scale; /* a power of two: exact */
}

float lspo_session_scale_of(const lspo_session_t *session, uint32_t parity, const lspo_session_norms_t *norms)
{
    return session->scaling.dynamic ? norms->scale[parity] : session->scaling.now;
}

float lspo_session_op_scale(const lspo_session_t *session, const lspo_op_t *op, const lspo_session_norms_t *norms)
{
    uint32_t parity = lspo_session_parity(session, op);
    return lspo_session_gradient_scale(session, norms->norm[parity], lspo_session_scale_of(session, parity, norms));
}

float lspo_session_kept(const lspo_session_t *session, float rate)
{
    return 1.0F - rate * (float)session->plan->workload.weight_decay;
}

bool lspo_session_skips_step(const lspo_session_t *session, const lspo_op_t *op, const lspo_session_norms_t *norms)
{
    return session->scaling.dynamic && !isfinite(norms->norm[lspo_session_parity(session, op)]);
}

bool lspo_session_forms_gradient(const lspo_session_t *session, const lspo_op_t *op, uint32_t s)
{
    return op->variant != LSPO_VARIANT_CALIBRATE && session->stages[s].trained &&
           lspo_plan_trains(session->plan, s, op->iteration);
}

static void follow_norm(lspo_session_scaling_t *scaling, bool overflowed)
{
    if (overflowed) {
        scaling->now = fmaxf(scaling->now / 2, 1.0F);
        scaling->good_steps = 0;
    } else if (++scaling->good_steps >= GOOD_STEPS) {
        scaling->now = fminf(scaling->now * 2, dynamic_scale_most);
        scaling->good_steps = 0;
    }
}

static lspo_status_t read_squares(lspo_session_t *session, uint32_t place)
{
    return lspo_device_read(session->device, session->squares_read, session->squares + place * session->stage_count,
                            session->stage_count * sizeof *session->squares_read);
}

/* Adam's basis does not change the norm that clips, but a number in it may overflow where none did before: then the sum
 * is not finite. */
static lspo_status_t check_turned(lspo_session_t *session, const lspo_op_t *op, double *sum)
{
    lspo_status_t status = read_squares(session, 2 + lspo_session_parity(session, op));
    for (uint32_t s = 0; status == LSPO_OK && s < session->stage_count; s++)
        if (lspo_session_turns(session, op, s) && !isfinite(session->squares_read[s]))
            *sum = INFINITY;
    return status;
}

/* Stages are summed in a fixed order, independent of the schedule, so clipping is the same under all schedules. */
static lspo_status_t sum_squares(lspo_session_t *session, const lspo_op_t *op, double *sum_out)
{
    double sum = 0;
    lspo_status_t status = read_squares(session, lspo_session_parity(session, op));
    if (status != LSPO_OK)
        return status;
    for (uint32_t s = 0; s < session->stage_count; s++)
        if (session->stages[s].here && lspo_session_forms_gradient(session, op, s))
            sum += session->squares_read[s];
    *sum_out = sum;
    return lspo_plan_turns_on_gpu(session->plan, op->iteration) ? check_turned(session, op, sum_out) : LSPO_OK;
}

/* The norm of this sum of squares is that of the op's step. */
static lspo_status_t keep_norm(lspo_session_t *session, const lspo_op_t *op, double sum)
{
    uint32_t parity = lspo_session_parity(session, op);
    double norm = sqrt(sum) / (double)lspo_session_scale_of(session, parity, &session->norms);
    session->norms.norm[parity] = (float)norm;
    session->gradient_norm = norm;
    bool finite = isfinite(session->norms.norm[parity]);
    if (!finite && (!session->scaling.dynamic || session->scaling.now <= 1))
        return lspo_error(LSPO_ERR_NUMERIC, "step %" PRIu32 ": the gradient's norm is %g",
                          lspo_session_step(session, op), norm);
    if (session->scaling.dynamic)
        follow_norm(&session->scaling, !finite);
    *session->norms_sent = session->norms;
    return lspo_device_write(session->device, session->gpu_norms, session->norms_sent, sizeof session->norms);
}

/* The squares of sums over replicas, which BWD does not know. */
static void square_sums(lspo_session_t *session, const lspo_op_t *op)
{
    const uint32_t parity = lspo_session_parity(session, op);
    for (uint32_t s = session->place.first_stage; s <= session->place.last_stage; s++)
        if (lspo_session_forms_gradient(session, op, s))
            lspo_compute_sum_of_squares(session->compute, session->stages[s].gradient_count,
                                        session->stages[s].gradient[parity],
                                        &session->squares[parity * session->stage_count + s]);
}

lspo_status_t lspo_session_norm(lspo_session_t *session, const lspo_op_t *op)
{
    double sum = 0;
    if (lspo_session_sums_replicas(session))
        square_sums(session, op);
    lspo_status_t status = sum_squares(session, op, &sum);
    if (status != LSPO_OK)
        return status;
    if (session->alone)
        return keep_norm(session, op, sum);
    session->partials[session->place.peer - session->place.first_peer] = sum;
    return LSPO_OK;
}

/* The scale of the next step is known from now on.  Only what begins behind an update uses it. */
lspo_status_t lspo_session_settle_norm(lspo_session_t *session, const lspo_op_t *op)
{
    const uint32_t step = lspo_session_step(session, op);
    double sum = 0;
    if (session->alone || !(session->plan->workload.clip_norm > 0) || session->settled_step == step + 1)
        return LSPO_OK;
    session->settled_step = step + 1;
    for (uint32_t i = 0; i < session->place.peer_count; i++)
        sum += session->partials[i];
    lspo_status_t status = keep_norm(session, op, sum);
    session->norms.scale[!lspo_session_parity(session, op)] = session->scaling.now;
    return status;
}

/* A mixing function of 64 bits: */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

uint64_t lspo_session_rounding_seed(const lspo_session_t *session, uint32_t step, uint32_t stage, uint32_t tensor,
                                    size_t row)
{
    uint64_t place = mix(session->plan->workload.seed + UINT64_C(0x9e3779b97f4a7c15));
    place = mix(place ^ step);
    place = mix(place ^ ((uint64_t)stage << 32 | tensor));
    return mix(place ^ row);
}

uint64_t lspo_session_op_seed(const lspo_session_t *session, const lspo_op_t *op, uint32_t tensor)
{
    return lspo_session_rounding_seed(session, lspo_session_step(session, op), op->layer, tensor, 0);
}
