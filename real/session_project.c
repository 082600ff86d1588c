/* session_project.c - lsp's projectors: made, checked, fitted anew, and the moments that follow them.
 *
 * A check forms G = X^T dY of the micro-batch at hand and takes the bias of (P, Q) on it at its best scale.  Above the
 * threshold a new random pair is drawn from the seed and the step, and fitted to G; it takes the place of the old one
 * if its bias is lower.  Its rows go to the CPU, where the update of the same step carries M and V over before Adam. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "kernels/fit.h"
#include "kernels/gemm.h"
#include "real/session_state.h"

/* Streams of the seed that projectors draw from; weights and batches have their own. */
static const uint64_t projector_seed_stride = UINT64_C(0x9e3779b97f4a7c15);
/* And those of a step's new ones. */
static const uint64_t step_seed_stride = UINT64_C(0xd1342543de82ef95);

static void place_array(char **at, const void *from, size_t bytes, void **array)
{
    memcpy(*at, from, bytes);
    *array = *at;
    *at += bytes;
}

/* A projector's arrays in one block of device memory: what goes to the CPU comes first. */
static void place_projector(const lspo_projector_t *made, void *memory, lspo_projector_t *on_device)
{
    size_t nonzeros = (size_t)made->rows * made->r;
    char *at = memory;
    *on_device = *made;
    place_array(&at, made->index, nonzeros * sizeof(uint32_t), (void **)&on_device->index);
    place_array(&at, made->value, nonzeros * sizeof(float), (void **)&on_device->value);
    place_array(&at, made->column_row, nonzeros * sizeof(uint32_t), (void **)&on_device->column_row);
    place_array(&at, made->column_value, nonzeros * sizeof(float), (void **)&on_device->column_value);
    place_array(&at, made->column_first, ((size_t)made->d + 1) * sizeof(uint32_t), (void **)&on_device->column_first);
}

/* Into `memory`, which is taken when NULL. */
static lspo_status_t make_projector(lspo_session_t *session, uint64_t seed, uint32_t rows, uint32_t d, uint32_t r,
                                    void **memory, lspo_projector_t *on_device)
{
    lspo_projector_t made;
    bool works = session->plan->workload.identity_projectors ? lspo_projector_identity(rows, &made)
                                                             : lspo_projector_random(rows, d, r, seed, &made);
    if (!works)
        return lspo_error(LSPO_ERR_MEMORY, "no memory for a projector of %u rows with %u nonzeros each", rows, r);
    lspo_status_t status = LSPO_OK;
    if (!*memory)
        status = lspo_session_take(session, lspo_projector_bytes(made.rows, made.d, made.r), memory);
    if (status == LSPO_OK)
        place_projector(&made, *memory, on_device);
    lspo_projector_release(&made);
    return status;
}

static lspo_status_t make_pair(lspo_session_t *session, uint32_t s, uint32_t weight, uint64_t seed, void **memory,
                               lspo_projector_t *p, lspo_projector_t *q)
{
    const lspo_projection_t *linear = &session->stages[s].message.linear[weight];
    uint64_t number = ((uint64_t)s * LSPO_LINEAR_MAX + weight) * 2 + 1;
    seed += number * projector_seed_stride;
    lspo_status_t status = make_projector(session, seed, linear->rows, linear->d_rows, linear->nnz_rows, memory, p);
    if (status == LSPO_OK)
        status = make_projector(session, seed + projector_seed_stride, linear->cols, linear->d_cols, linear->nnz_cols,
                                memory + 1, q);
    return status;
}

static bool checks(const lspo_session_t *session)
{
    const lspo_workload_t *workload = &session->plan->workload;
    return workload->check_every > 0 && !workload->identity_projectors;
}

/* Bytes of the rows: indices, then values. */
static size_t row_bytes(const lspo_projector_t *p)
{
    return (size_t)p->rows * p->r * (sizeof(uint32_t) + sizeof(float));
}

static const lspo_projector_t *side_of(const lspo_session_stage_t *stage, uint32_t side)
{
    return side % 2 == 0 ? &stage->p[side / 2] : &stage->q[side / 2];
}

void lspo_session_learn_projectors(lspo_session_t *session, lspo_session_stage_t *stage)
{
    for (uint32_t side = 0; checks(session) && side < 2 * stage->message.linear_count; side++)
        if (stage->known[side])
            memcpy(stage->known[side], side_of(stage, side)->index, row_bytes(side_of(stage, side)));
}

static lspo_status_t make_known(lspo_session_t *session, lspo_session_stage_t *stage)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t side = 0; status == LSPO_OK && side < 2 * stage->message.linear_count; side++) {
        const lspo_projector_t *p = side_of(stage, side);
        if (!p->index)
            continue;
        status = lspo_device_host_alloc(session->device, row_bytes(p), &stage->known[side]);
        if (status == LSPO_OK)
            status = lspo_device_host_alloc(session->device, row_bytes(p), &stage->arrived[side]);
    }
    return status;
}

lspo_status_t lspo_session_make_projectors(lspo_session_t *session, uint32_t s)
{
    lspo_session_stage_t *stage = &session->stages[s];
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < stage->message.linear_count; i++)
        if (stage->message.linear[i].compressed)
            status = make_pair(session, s, i, session->plan->workload.seed, &stage->projector_memory[(size_t)2 * i],
                               &stage->p[i], &stage->q[i]);
    return status == LSPO_OK && checks(session) ? make_known(session, stage) : status;
}

lspo_status_t lspo_session_reset_projectors(lspo_session_t *session, uint32_t s)
{
    lspo_session_stage_t *stage = &session->stages[s];
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; checks(session) && status == LSPO_OK && i < stage->message.linear_count; i++)
        if (stage->p[i].index)
            status = make_pair(session, s, i, session->plan->workload.seed, &stage->projector_memory[(size_t)2 * i],
                               &stage->p[i], &stage->q[i]);
    lspo_session_learn_projectors(session, stage);
    return status;
}

lspo_status_t lspo_session_make_carry(lspo_session_t *session)
{
    size_t largest = 0;
    for (uint32_t s = 0; checks(session) && s < session->stage_count; s++)
        for (uint32_t i = 0; i < session->stages[s].message.linear_count; i++) {
            const lspo_session_stage_t *stage = &session->stages[s];
            size_t count = stage->p[i].index ? lspo_fit_carry_scratch(&stage->p[i], &stage->q[i]) : 0;
            largest = count > largest ? count : largest;
        }
    if (largest == 0)
        return LSPO_OK;
    return lspo_device_host_alloc(session->device, largest * sizeof(float), (void **)&session->carry_scratch);
}

/* ---- PROJECT ---- */

/* Device memory of one weight's check. */
typedef struct {
    void *gradient, *scratch, *pair[2];
} check_t;

static void release_check(lspo_session_t *session, check_t *check)
{
    lspo_session_give_back(session, &check->pair[1]);
    lspo_session_give_back(session, &check->pair[0]);
    lspo_session_give_back(session, &check->scratch);
    lspo_session_give_back(session, &check->gradient);
}

static lspo_status_t form_gradient(lspo_session_t *session, const lspo_session_stage_t *stage, uint32_t i,
                                   check_t *check)
{
    const lspo_linear_operands_t *from = &session->operands;
    const lspo_projection_t *linear = &stage->message.linear[i];
    size_t m = linear->rows, n = linear->cols;
    size_t scratch_bytes = lspo_fit_scratch(&stage->p[i], &stage->q[i]) * sizeof(float);
    lspo_status_t status = lspo_session_take(session, m * n * sizeof(float), &check->gradient);
    if (status == LSPO_OK)
        status = lspo_session_take(session, scratch_bytes, &check->scratch);
    if (status == LSPO_OK)
        lspo_gemm_tn(m, n, session->tokens, 1, from->x[i], from->x_stride[i], from->dy[i], from->dy_stride[i], 0,
                     check->gradient, n);
    return status;
}

static lspo_fit_options_t fit_options(const lspo_workload_t *workload)
{
    lspo_fit_options_t options = lspo_fit_default();
    options.alpha = workload->bias_threshold;
    options.beta = workload->fit_beta;
    options.steps = workload->fit_steps;
    return options;
}

/* A new pair, fitted, in place of the old one where it is better; `bias` is that of the pair in use. */
static lspo_status_t fit_weight(lspo_session_t *session, const lspo_op_t *op, uint32_t i, check_t *check, double *bias)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_workload_t *workload = &session->plan->workload;
    uint64_t seed = workload->seed + (1 + (uint64_t)lspo_session_step(session, op)) * step_seed_stride;
    lspo_projector_t p, q;
    lspo_status_t status = make_pair(session, op->layer, i, seed, check->pair, &p, &q);
    if (status != LSPO_OK)
        return status;
    lspo_fit_options_t options = fit_options(workload);
    const float *gradient = check->gradient;
    lspo_fit_result_t result = lspo_fit(&options, 1, &gradient, &p, &q, check->scratch);
    session->bias.fit_steps += result.steps;
    if (result.reason == LSPO_FIT_NUMERIC || !(result.bias_after < *bias))
        return LSPO_OK;
    memcpy(stage->projector_memory[(size_t)2 * i], check->pair[0], lspo_projector_bytes(p.rows, p.d, p.r));
    memcpy(stage->projector_memory[(size_t)2 * i + 1], check->pair[1], lspo_projector_bytes(q.rows, q.d, q.r));
    *bias = result.bias_after;
    session->bias.fitted++;
    session->bias.fitted_total++;
    return LSPO_OK;
}

static void count_check(lspo_session_bias_t *bias, double before, double after)
{
    bias->checked++;
    bias->checked_total++;
    bias->bias_before += (before - bias->bias_before) / bias->checked;
    bias->bias_after += (after - bias->bias_after) / bias->checked;
}

/* A gradient that is zero has no bias: its projectors stay. */
static lspo_status_t check_weight(lspo_session_t *session, const lspo_op_t *op, uint32_t i, check_t *check)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_status_t status = form_gradient(session, stage, i, check);
    if (status != LSPO_OK)
        return status;
    double bias = lspo_fit_bias_scaled(&stage->p[i], &stage->q[i], check->gradient, 1, check->scratch), after = bias;
    if (bias > session->plan->workload.bias_threshold)
        status = fit_weight(session, op, i, check, &after);
    if (status == LSPO_OK && isfinite(bias))
        count_check(&session->bias, bias, after);
    return status;
}

static void begin_step(lspo_session_bias_t *bias, uint32_t step)
{
    if (bias->checked > 0 && bias->step == step)
        return;
    *bias =
        (lspo_session_bias_t){.step = step, .checked_total = bias->checked_total, .fitted_total = bias->fitted_total};
}

lspo_status_t lspo_session_project(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_status_t status = LSPO_OK;
    begin_step(&session->bias, lspo_session_step(session, op));
    for (uint32_t i = 0; status == LSPO_OK && i < stage->message.linear_count; i++) {
        check_t check = {0};
        if (stage->p[i].index)
            status = check_weight(session, op, i, &check);
        release_check(session, &check);
    }
    return status;
}

void lspo_session_send_projectors(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    for (uint32_t side = 0; side < 2 * stage->message.linear_count; side++)
        if (stage->arrived[side])
            lspo_device_copy(session->device, LSPO_COPY_D2H, stage->arrived[side], side_of(stage, side)->index,
                             row_bytes(side_of(stage, side)));
}

/* ---- moments ---- */

/* Rows of a projector as they lie on the host. */
static lspo_projector_t rows_on_host(const lspo_projector_t *shape, void *rows)
{
    size_t nonzeros = (size_t)shape->rows * shape->r;
    return (lspo_projector_t){.rows = shape->rows,
                              .d = shape->d,
                              .r = shape->r,
                              .index = rows,
                              .value = (float *)((uint32_t *)rows + nonzeros)};
}

static void carry_weight(lspo_session_t *session, lspo_session_stage_t *stage, uint32_t i)
{
    uint32_t p = 2 * i, q = p + 1;
    size_t p_bytes = row_bytes(&stage->p[i]), q_bytes = row_bytes(&stage->q[i]);
    if (memcmp(stage->known[p], stage->arrived[p], p_bytes) == 0 &&
        memcmp(stage->known[q], stage->arrived[q], q_bytes) == 0)
        return;
    lspo_projector_t p_old = rows_on_host(&stage->p[i], stage->known[p]);
    lspo_projector_t q_old = rows_on_host(&stage->q[i], stage->known[q]);
    lspo_projector_t p_new = rows_on_host(&stage->p[i], stage->arrived[p]);
    lspo_projector_t q_new = rows_on_host(&stage->q[i], stage->arrived[q]);
    float *m = stage->host_optimizer + stage->message.linear[i].message_offset_elements;
    float *v = m + stage->message.element_count;
    lspo_fit_carry(&p_old, &q_old, &p_new, &q_new, true, m, v, session->carry_scratch);
    memcpy(stage->known[p], stage->arrived[p], p_bytes);
    memcpy(stage->known[q], stage->arrived[q], q_bytes);
}

void lspo_session_carry_moments(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    if (!lspo_plan_checks_projectors(session->plan, op->iteration))
        return;
    for (uint32_t i = 0; i < stage->message.linear_count; i++)
        if (stage->known[(size_t)2 * i])
            carry_weight(session, stage, i);
}
