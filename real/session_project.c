/* session_project.c - lsp's projectors: made, checked, fitted anew, and the moments that follow them.
 *
 * A calibration pass (plan/build.c) forms G = X^T dY of every micro-batch of its own.  The first gives the bias of (P, Q)
 * at its best scale; where that is above the threshold, a new pair is fitted to the following ones, some steps each, and
 * the last, which neither pair has seen, decides between them.  The rows of the pair then in use go to the CPU, where the
 * update of the same step carries M and V over before Adam. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "kernels/fit.h"
#include "kernels/gemm.h"
#include "real/session_state.h"

/* Streams of the seed that projectors draw from; weights and batches have their own. */
static const uint64_t projector_seed_stride = UINT64_C(0x9e3779b97f4a7c15);
/* And the micro-batches of calibration passes. */
static const uint64_t calibration_seed_stride = UINT64_C(0xd1342543de82ef95);

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
    const lspo_workload_t *workload = &session->plan->workload;
    bool works;
    if (workload->identity_projectors)
        works = lspo_projector_identity(rows, &made);
    else if (workload->projector_values == LSPO_PROJECTOR_SIGN)
        works = lspo_projector_signs(rows, d, r, seed, &made);
    else
        works = lspo_projector_random(rows, d, r, seed, &made);
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
    float *gradient, *scratch;
} check_t;

static void release_check(lspo_session_t *session, check_t *check)
{
    lspo_session_give_back(session, (void **)&check->scratch);
    lspo_session_give_back(session, (void **)&check->gradient);
}

static lspo_status_t form_gradient(lspo_session_t *session, const lspo_session_stage_t *stage, uint32_t i,
                                   check_t *check)
{
    const lspo_linear_operands_t *from = &session->operands;
    const lspo_projection_t *linear = &stage->message.linear[i];
    size_t m = linear->rows, n = linear->cols;
    size_t scratch_bytes = lspo_fit_scratch(&stage->p[i], &stage->q[i]) * sizeof(float);
    lspo_status_t status = lspo_session_take(session, m * n * sizeof(float), (void **)&check->gradient);
    if (status == LSPO_OK)
        status = lspo_session_take(session, scratch_bytes, (void **)&check->scratch);
    if (status == LSPO_OK)
        lspo_gemm_tn(m, n, session->tokens, 1, from->x[i], from->x_stride[i], from->dy[i], from->dy_stride[i], 0,
                     check->gradient, n);
    return status;
}

static lspo_fit_options_t fit_options(const lspo_workload_t *workload)
{
    lspo_fit_options_t options = lspo_fit_default();
    options.beta = workload->fit_beta;
    options.steps = workload->fit_steps;
    return options;
}

static size_t device_bytes(const lspo_projector_t *p)
{
    return lspo_projector_bytes(p->rows, p->d, p->r);
}

/* The arrays of one projector, in another's memory. */
static lspo_projector_t placed_like(const lspo_projector_t *p, void *memory)
{
    lspo_projector_t view;
    memcpy(memory, p->index, device_bytes(p));
    place_projector(p, memory, &view);
    return view;
}

/* Memory of a projector whose arrays are there already. */
static lspo_projector_t view_in(const lspo_projector_t *shape, void *memory)
{
    lspo_projector_t view = *shape;
    const char *from = (const char *)shape->index;
    char *at = memory;
    view.index = memory;
    view.value = (float *)(at + ((const char *)shape->value - from));
    view.column_row = (uint32_t *)(at + ((const char *)shape->column_row - from));
    view.column_value = (float *)(at + ((const char *)shape->column_value - from));
    view.column_first = (uint32_t *)(at + ((const char *)shape->column_first - from));
    return view;
}

static double bias_of(const lspo_projector_t *p, const lspo_projector_t *q, const check_t *check)
{
    return lspo_fit_bias_scaled(p, q, check->gradient, 1, check->scratch);
}

/* A gradient that is zero has no bias: its projectors stay. */
static bool is_fitted(const lspo_session_t *session, const lspo_session_stage_t *stage, uint32_t i)
{
    return stage->bias[i] > session->plan->workload.bias_threshold;
}

static void count_check(lspo_session_bias_t *bias, double before, double after)
{
    if (!isfinite(before))
        return;
    bias->checked++;
    bias->checked_total++;
    bias->bias_before += (before - bias->bias_before) / bias->checked;
    bias->bias_after += (after - bias->bias_after) / bias->checked;
}

/* What is not fitted is counted at once, what is when its decision is known. */
static void check_weight(lspo_session_t *session, lspo_session_stage_t *stage, uint32_t i, const check_t *check)
{
    stage->bias[i] = bias_of(&stage->p[i], &stage->q[i], check);
    if (is_fitted(session, stage, i))
        session->fits = true;
    else
        count_check(&session->bias, stage->bias[i], stage->bias[i]);
}

/* The new pair begins as the one in use, so that moments carry over with little loss. */
static lspo_status_t begin_fit(lspo_session_t *session, lspo_session_stage_t *stage, uint32_t i, const check_t *check)
{
    const lspo_projector_t *p = &stage->p[i], *q = &stage->q[i];
    void **memory = &stage->candidate[(size_t)2 * i];
    lspo_status_t status = lspo_session_take(session, device_bytes(p), &memory[0]);
    if (status == LSPO_OK)
        status = lspo_session_take(session, device_bytes(q), &memory[1]);
    if (status == LSPO_OK)
        status = lspo_session_take(session, lspo_fit_moments(p, q) * sizeof(float), (void **)&stage->fit_moments[i]);
    if (status != LSPO_OK)
        return status;
    lspo_projector_t p_new = placed_like(p, memory[0]), q_new = placed_like(q, memory[1]);
    lspo_fit_options_t options = fit_options(&session->plan->workload);
    if (!lspo_fit_begin(&options, check->gradient, &p_new, &q_new, stage->fit_moments[i], check->scratch,
                        &stage->fit[i]))
        stage->bias[i] = 0; /* nothing to learn from: not fitted after all */
    return LSPO_OK;
}

static void advance_fit(lspo_session_t *session, lspo_session_stage_t *stage, uint32_t i, const check_t *check)
{
    const lspo_workload_t *workload = &session->plan->workload;
    lspo_fit_options_t options = fit_options(workload);
    lspo_projector_t p = view_in(&stage->p[i], stage->candidate[(size_t)2 * i]);
    lspo_projector_t q = view_in(&stage->q[i], stage->candidate[(size_t)2 * i + 1]);
    uint32_t before = stage->fit[i].steps;
    lspo_fit_advance(&options, lspo_workload_fit_share(workload), check->gradient, &p, &q, stage->fit_moments[i],
                     check->scratch, &stage->fit[i]);
    session->bias.fit_steps += stage->fit[i].steps - before;
}

/* On a gradient that neither pair has seen. */
static void decide(lspo_session_t *session, lspo_session_stage_t *stage, uint32_t i, const check_t *check)
{
    lspo_projector_t p = view_in(&stage->p[i], stage->candidate[(size_t)2 * i]);
    lspo_projector_t q = view_in(&stage->q[i], stage->candidate[(size_t)2 * i + 1]);
    lspo_fit_finish(&p, &q);
    double old = bias_of(&stage->p[i], &stage->q[i], check), new = bias_of(&p, &q, check);
    if (new < old) {
        memcpy(stage->p[i].index, p.index, device_bytes(&p));
        memcpy(stage->q[i].index, q.index, device_bytes(&q));
        session->bias.fitted++;
        session->bias.fitted_total++;
    }
    count_check(&session->bias, old, new < old ? new : old);
}

static lspo_status_t project_weight(lspo_session_t *session, const lspo_op_t *op, uint32_t i, check_t *check)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_status_t status = form_gradient(session, stage, i, check);
    if (status != LSPO_OK)
        return status;
    if (op->variant == LSPO_VARIANT_NONE)
        check_weight(session, stage, i, check);
    if (op->variant == LSPO_VARIANT_FIT && op->micro == 1)
        status = begin_fit(session, stage, i, check);
    if (status == LSPO_OK && op->variant == LSPO_VARIANT_FIT && is_fitted(session, stage, i))
        advance_fit(session, stage, i, check);
    if (op->variant == LSPO_VARIANT_DECIDE)
        decide(session, stage, i, check);
    return status;
}

/* Before the first PROJECT of a pass, that of the last block. */
static void begin_pass(lspo_session_t *session, uint32_t step)
{
    lspo_session_bias_t *bias = &session->bias;
    session->fits = false;
    *bias =
        (lspo_session_bias_t){.step = step, .checked_total = bias->checked_total, .fitted_total = bias->fitted_total};
}

lspo_status_t lspo_session_project(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_status_t status = LSPO_OK;
    if (op->variant == LSPO_VARIANT_NONE && op->layer + 2U == session->stage_count)
        begin_pass(session, lspo_session_step(session, op));
    for (uint32_t i = 0; status == LSPO_OK && i < stage->message.linear_count; i++) {
        check_t check = {0};
        if (stage->p[i].index && (op->variant == LSPO_VARIANT_NONE || is_fitted(session, stage, i)))
            status = project_weight(session, op, i, &check);
        release_check(session, &check);
    }
    if (op->variant == LSPO_VARIANT_DECIDE)
        lspo_session_drop_candidates(session, stage);
    return status;
}

void lspo_session_drop_candidates(lspo_session_t *session, lspo_session_stage_t *stage)
{
    for (uint32_t i = 0; i < LSPO_LINEAR_MAX; i++) {
        lspo_session_give_back(session, (void **)&stage->fit_moments[i]);
        lspo_session_give_back(session, &stage->candidate[(size_t)2 * i + 1]);
        lspo_session_give_back(session, &stage->candidate[(size_t)2 * i]);
    }
}

bool lspo_session_skips_calibration(const lspo_session_t *session, const lspo_op_t *op)
{
    bool calibrates =
        op->variant == LSPO_VARIANT_CALIBRATE || op->variant == LSPO_VARIANT_FIT || op->variant == LSPO_VARIANT_DECIDE;
    return calibrates && op->micro > 0 && !session->fits;
}

/* From the training data at a step of the seed's choice, so that the order of training does not change. */
lspo_status_t lspo_session_load_calibration(lspo_session_t *session, const lspo_op_t *op)
{
    uint64_t number = (uint64_t)lspo_session_step(session, op) * session->plan->workload.fit_batches + op->micro + 1;
    uint64_t drawn = (session->plan->workload.seed + number * projector_seed_stride) * calibration_seed_stride;
    return lspo_session_load_batch(session, (uint32_t)(drawn >> 33), 0);
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
