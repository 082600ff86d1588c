/* session_columns.c - zenflow's ops: a gradient split by columns, updated in part on either side.  See plan/policies/zenflow.c
 * for when.  The split of a weight lies in host memory that both sides read: first the columns of the GPU, then those of
 * the CPU; there are two of each, since the gradients of the selection before are still under way. */
#include <string.h>

#include "kernels/adam.h"
#include "kernels/columns.h"
#include "real/session_state.h"

static uint32_t critical_count(const lspo_projection_t *linear)
{
    return linear->cols - linear->d_cols;
}

static uint32_t *split_of(const lspo_session_t *session, const lspo_session_stage_t *stage, uint32_t weight,
                          uint32_t step)
{
    return stage->columns[step / session->plan->workload.select_every & 1][weight];
}

/* The window of which an UPD or an APPLY brings the update. */
static uint32_t window_of(const lspo_session_t *session, const lspo_op_t *op)
{
    uint32_t window = lspo_session_step(session, op) / session->plan->workload.update_every;
    if (op->variant == LSPO_VARIANT_DRAIN_LAST)
        return window;
    return op->kind == LSPO_OP_UPD || op->variant == LSPO_VARIANT_DRAIN ? window - 1 : window - 2;
}

/* Its last step; a training may end before the window does. */
static uint32_t window_end(const lspo_session_t *session, const lspo_op_t *op)
{
    if (op->variant == LSPO_VARIANT_DRAIN_LAST)
        return lspo_session_step(session, op);
    uint32_t every = session->plan->workload.update_every;
    return window_of(session, op) * every + every - 1;
}

lspo_status_t lspo_session_columns_create(lspo_session_t *session)
{
    size_t scratch = 0, widest = 0;
    lspo_status_t status = LSPO_OK;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_session_stage_t *stage = &session->stages[s];
        for (uint32_t i = 0; status == LSPO_OK && i < stage->message.linear_count; i++) {
            const lspo_projection_t *linear = &stage->message.linear[i];
            size_t critical = (size_t)linear->rows * critical_count(linear), needed = 2 * (size_t)linear->cols;
            needed = critical > needed ? critical : needed;
            scratch = needed > scratch ? needed : scratch;
            widest = linear->cols > widest ? linear->cols : widest;
            for (int slot = 0; status == LSPO_OK && slot < 2; slot++)
                status = lspo_device_host_alloc(session->device, linear->cols * sizeof(uint32_t),
                                                (void **)&stage->columns[slot][i]);
        }
        for (int slot = 0; status == LSPO_OK && stage->sent_count > 0 && slot < 2; slot++)
            status = lspo_device_host_alloc(session->device, stage->sent_count * sizeof(float),
                                            (void **)&stage->window_sum[slot]);
    }
    if (status == LSPO_OK)
        status = lspo_session_take(session, scratch * sizeof(float), (void **)&session->scratch);
    if (status == LSPO_OK)
        status = lspo_device_host_alloc(session->device, 3 * widest * sizeof(float), (void **)&session->row_scratch);
    return status;
}

void lspo_session_columns_release(lspo_session_t *session, lspo_session_stage_t *stage)
{
    for (int slot = 0; slot < 2; slot++) {
        for (int i = 0; i < LSPO_LINEAR_MAX; i++)
            lspo_device_host_free(session->device, stage->columns[slot][i]);
        lspo_device_host_free(session->device, stage->window_sum[slot]);
    }
}

void lspo_session_columns_select(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t step = lspo_session_step(session, op);
    const float *gradient = stage->gradient[lspo_session_parity(session, op)];
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        lspo_columns_split(linear->rows, linear->cols, critical_count(linear),
                           gradient + stage->shape.tensors[i].offset_elements, session->scratch,
                           split_of(session, stage, i, step));
    }
    /* The moments lie by column: those of other columns mean nothing here. */
    memset(stage->optimizer, 0, 2 * (stage->linear_elements - stage->sent_count) * sizeof(float));
}

/* The CPU's columns of one weight into what the link carries, row by row. */
static void pack_sent(const lspo_session_t *session, const lspo_projection_t *linear, const uint32_t *columns,
                      const float *gradient, void *out)
{
    size_t count = linear->d_cols;
    for (size_t i = 0; i < linear->rows; i++) {
        size_t at = linear->message_offset_elements + i * count;
        bool packs = lspo_session_packs(session);
        float *row = packs ? session->scratch : (float *)out + at;
        lspo_columns_gather(1, linear->cols, count, columns, gradient + i * linear->cols, row);
        if (packs)
            lspo_session_pack(session, count, row, (uint16_t *)out + at);
    }
}

lspo_status_t lspo_session_columns_compress(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    float **full = &stage->gradient[lspo_session_parity(session, op)];
    lspo_status_t status = lspo_session_take(session, stage->link_bytes, &stage->sending);
    if (status == LSPO_OK)
        status = lspo_session_take(session, (stage->gradient_count - stage->sent_count) * sizeof(float),
                                   (void **)&stage->critical);
    if (status != LSPO_OK)
        return status;
    float *at = stage->critical;
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        const float *gradient = *full + stage->shape.tensors[i].offset_elements;
        const uint32_t *columns = split_of(session, stage, i, lspo_session_step(session, op));
        size_t critical = critical_count(linear);
        lspo_columns_gather(linear->rows, linear->cols, critical, columns, gradient, at);
        pack_sent(session, linear, columns + critical, gradient, stage->sending);
        at += linear->rows * critical;
    }
    memcpy(at, *full + stage->linear_elements, stage->message.rest_elements * sizeof(float));
    lspo_session_give_back(session, (void **)full);
    return LSPO_OK;
}

lspo_status_t lspo_session_columns_update_gpu(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t step = lspo_session_step(session, op), parity = lspo_session_parity(session, op);
    float **gradient = stage->sent_count > 0 ? &stage->critical : &stage->gradient[parity];
    size_t linear_count = stage->linear_elements - stage->sent_count;
    float *m = stage->optimizer, *v = m + linear_count, *rest = v + linear_count;
    lspo_adam_t adam =
        lspo_adam_default(lspo_session_rate(session, op), step % session->plan->workload.select_every + 1);
    adam.weight_decay = (float)session->plan->workload.weight_decay;
    adam.gradient_scale = lspo_session_clip_scale(session, session->norm_gpu[parity]);
    size_t at = 0;
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        size_t critical = critical_count(linear), n = linear->rows * critical;
        const uint32_t *columns = split_of(session, stage, i, step);
        float *w = stage->weights + stage->shape.tensors[i].offset_elements;
        lspo_columns_gather(linear->rows, linear->cols, critical, columns, w, session->scratch);
        lspo_adam_parameters(&adam, n, *gradient + at, m + at, v + at, session->scratch);
        lspo_columns_scatter(linear->rows, linear->cols, critical, columns, session->scratch, w);
        at += n;
    }
    adam.step = step + 1;
    lspo_adam_parameters(&adam, stage->message.rest_elements, *gradient + at, rest, rest + stage->message.rest_elements,
                         stage->weights + stage->linear_elements);
    lspo_session_give_back(session, (void **)gradient);
    return LSPO_OK;
}

static void accumulate(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t step = lspo_session_step(session, op), every = session->plan->workload.update_every;
    float *sum = stage->window_sum[step / every & 1];
    float scale = lspo_session_clip_scale(session, session->norm_host[lspo_session_parity(session, op)]);
    float keep = step % every == 0 ? 0.0F : 1.0F;
    for (size_t at = 0; at < stage->sent_count; at += LSPO_UPDATE_BLOCK) {
        size_t n = stage->sent_count - at < LSPO_UPDATE_BLOCK ? stage->sent_count - at : LSPO_UPDATE_BLOCK;
        const float *gradient = lspo_session_landed(session, stage->landing[0], at, n);
        for (size_t i = 0; i < n; i++)
            sum[at + i] = (keep > 0 ? sum[at + i] : 0.0F) + scale * gradient[i];
    }
}

/* One row of a weight: the moments of the CPU's columns are picked out of those of all and put back. */
static void update_row(lspo_session_t *session, const lspo_adam_t *adam, const lspo_projection_t *linear,
                       const uint32_t *columns, const float *sum, float *m, float *v, void *out, size_t out_at)
{
    size_t count = linear->d_cols, n = linear->cols;
    float *row_m = session->row_scratch, *row_v = row_m + n, *row_out = row_v + n;
    lspo_columns_gather(1, n, count, columns, m, row_m);
    lspo_columns_gather(1, n, count, columns, v, row_v);
    lspo_adam_direction(adam, count, sum, row_m, row_v, row_out);
    lspo_columns_scatter(1, n, count, columns, row_m, m);
    lspo_columns_scatter(1, n, count, columns, row_v, v);
    if (lspo_session_packs(session))
        lspo_session_pack(session, count, row_out, (uint16_t *)out + out_at);
    else
        memcpy((float *)out + out_at, row_out, count * sizeof(float));
}

static void update_window(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t window = window_of(session, op), first = window * session->plan->workload.update_every;
    float *m = stage->host_optimizer, *v = m + stage->linear_elements;
    lspo_adam_t adam = lspo_adam_default(0, window + 1);
    adam.gradient_scale = 1.0F / (float)(window_end(session, op) - first + 1);
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        const uint32_t *columns = split_of(session, stage, i, first) + critical_count(linear);
        size_t offset = stage->shape.tensors[i].offset_elements;
        for (size_t row = 0; row < linear->rows; row++) {
            size_t at = linear->message_offset_elements + row * linear->d_cols, full = offset + row * linear->cols;
            update_row(session, &adam, linear, columns, stage->window_sum[window & 1] + at, m + full, v + full,
                       stage->outgoing[0], at);
        }
    }
}

lspo_status_t lspo_session_columns_update_host(lspo_session_t *session, const lspo_op_t *op)
{
    if (op->variant == LSPO_VARIANT_ACCUMULATE) {
        accumulate(session, op);
        return LSPO_OK;
    }
    uint64_t start_ns = lspo_now_ns();
    update_window(session, op);
    double cpu_pps = lspo_device_caps(session->device)->cpu_pps;
    if (cpu_pps > 0)
        lspo_pace(start_ns, (double)session->stages[op->layer].sent_count / cpu_pps);
    return LSPO_OK;
}

/* W <- keep W - eta direction in the CPU's columns. */
static void apply_row(lspo_session_t *session, const lspo_projection_t *linear, const uint32_t *columns, float rate,
                      const void *staging, size_t at, float *w)
{
    const float *direction = (const float *)staging + at;
    float keep = 1.0F - rate * (float)session->plan->workload.weight_decay;
    if (lspo_session_packs(session)) {
        lspo_session_unpack(session, linear->d_cols, (const uint16_t *)staging + at, session->scratch);
        direction = session->scratch;
    }
    for (size_t j = 0; j < linear->d_cols; j++)
        w[columns[j]] = keep * w[columns[j]] - rate * direction[j];
}

void lspo_session_columns_apply(lspo_session_t *session, const lspo_op_t *op, const void *staging)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t first = window_of(session, op) * session->plan->workload.update_every;
    float rate = lspo_session_rate_at(session, window_end(session, op));
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        const uint32_t *columns = split_of(session, stage, i, first) + critical_count(linear);
        float *w = stage->weights + stage->shape.tensors[i].offset_elements;
        for (size_t row = 0; row < linear->rows; row++)
            apply_row(session, linear, columns, rate, staging, linear->message_offset_elements + row * linear->d_cols,
                      w + row * linear->cols);
    }
}
