/* columns.c - zenflow's ops: a gradient split by columns, updated in part on either side.  See
 * plan/policies/zenflow.c for when.  A split of a weight, first the columns of the GPU, then those of the CPU, lies
 * where the host reads it and where the device does; there are two, since the gradients of the selection before are
 * still under way.
 *
 * 16-bit weights have no master here: a column changes sides while updates of either are under way, so both step along
 * the weights themselves, rounded at random. */
#include "kernels/adam.h"
#include "kernels/columns.h"
#include "real/session/state.h"

static uint32_t critical_count(const lspo_projection_t *linear)
{
    return linear->cols - linear->d_cols;
}

/* Elements that the host device takes at a time: columns picked out stay in cache until they are put back. */
enum { HOST_CHUNK_ELEMENTS = 16384 };

static uint32_t *split_of(const lspo_session_t *session, const lspo_session_stage_t *stage, uint32_t weight,
                          uint32_t step)
{
    return stage->columns[step / session->plan->workload.select_every & 1][weight];
}

static const uint32_t *gpu_split_of(const lspo_session_t *session, const lspo_session_stage_t *stage, uint32_t weight,
                                    uint32_t step)
{
    return stage->gpu_columns[step / session->plan->workload.select_every & 1][weight];
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

static lspo_status_t make_splits(lspo_session_t *session, lspo_session_stage_t *stage, uint32_t i)
{
    size_t bytes = stage->message.linear[i].cols * sizeof(uint32_t);
    lspo_status_t status = LSPO_OK;
    for (int slot = 0; status == LSPO_OK && slot < 2; slot++) {
        status = lspo_device_host_alloc(session->device, bytes, (void **)&stage->columns[slot][i]);
        stage->gpu_columns[slot][i] = stage->columns[slot][i];
        if (status != LSPO_OK || !session->asynchronous)
            continue;
        stage->gpu_columns[slot][i] = NULL;
        status = lspo_device_alloc_uncounted(session->device, bytes, (void **)&stage->gpu_columns[slot][i]);
    }
    return status;
}

lspo_status_t lspo_session_columns_create(lspo_session_t *session)
{
    size_t scratch = 0;
    lspo_status_t status = LSPO_OK;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_session_stage_t *stage = &session->stages[s];
        for (uint32_t i = 0; status == LSPO_OK && i < stage->message.linear_count; i++) {
            const lspo_projection_t *linear = &stage->message.linear[i];
            size_t critical = (size_t)linear->rows * critical_count(linear), needed = 2 * (size_t)linear->cols;
            needed = critical > needed ? critical : needed;
            scratch = needed > scratch ? needed : scratch;
            session->widest_row = linear->cols > session->widest_row ? linear->cols : session->widest_row;
            status = make_splits(session, stage, i);
        }
        for (int slot = 0; status == LSPO_OK && stage->sent_count > 0 && slot < 2; slot++)
            status = lspo_device_host_alloc(session->device, stage->sent_count * sizeof(float),
                                            (void **)&stage->window_sum[slot]);
    }
    session->scratch_elements = scratch;
    return status == LSPO_OK ? lspo_session_take(session, scratch * sizeof(float), &session->scratch) : status;
}

void lspo_session_columns_release(lspo_session_t *session, lspo_session_stage_t *stage)
{
    for (int slot = 0; slot < 2; slot++) {
        for (int i = 0; i < LSPO_LINEAR_MAX; i++) {
            if (session->asynchronous)
                lspo_session_give_back(session, (void **)&stage->gpu_columns[slot][i]);
            lspo_device_host_free(session->device, stage->columns[slot][i]);
        }
        lspo_device_host_free(session->device, stage->window_sum[slot]);
    }
}

lspo_status_t lspo_session_columns_written(lspo_session_t *session, lspo_session_stage_t *stage)
{
    lspo_status_t status = LSPO_OK;
    for (int slot = 0; session->asynchronous && slot < 2; slot++)
        for (uint32_t i = 0; status == LSPO_OK && stage->columns[slot][i] && i < stage->message.linear_count; i++)
            status = lspo_device_write(session->device, stage->gpu_columns[slot][i], stage->columns[slot][i],
                                       stage->message.linear[i].cols * sizeof(uint32_t));
    return status;
}

/* The host's copy follows: its update of the window picks out the same columns. */
static lspo_status_t select_columns(lspo_session_t *session, lspo_session_stage_t *stage, uint32_t i, uint32_t step,
                                    const void *gradient)
{
    const lspo_projection_t *linear = &stage->message.linear[i];
    uint32_t *columns = stage->gpu_columns[step / session->plan->workload.select_every & 1][i];
    lspo_compute_columns_split(session->compute, linear->rows, linear->cols, critical_count(linear),
                               lspo_session_at(session, gradient, stage->shape.tensors[i].offset_elements),
                               session->scratch, columns);
    if (!session->asynchronous)
        return LSPO_OK;
    return lspo_device_read(session->device, split_of(session, stage, i, step), columns,
                            linear->cols * sizeof *columns);
}

lspo_status_t lspo_session_columns_select(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    const void *gradient = stage->gradient[lspo_session_parity(session, op)];
    lspo_status_t status = LSPO_OK;
    for (uint32_t i = 0; status == LSPO_OK && i < stage->message.linear_count; i++)
        status = select_columns(session, stage, i, lspo_session_step(session, op), gradient);
    /* The moments lie by column: those of other columns mean nothing here. */
    lspo_compute_zero(session->compute, 2 * (stage->linear_elements - stage->sent_count) * sizeof(float),
                      stage->optimizer);
    return status;
}

/* Rows of `count` columns that scratch has room for. */
static size_t chunk_rows(const lspo_session_t *session, size_t count)
{
    size_t room = session->scratch_elements;
    if (!session->asynchronous && room > HOST_CHUNK_ELEMENTS)
        room = HOST_CHUNK_ELEMENTS;
    return room > count ? room / count : 1;
}

/* The CPU's columns of one weight into what the link carries, some rows at a time where that is another format. */
static void pack_sent(lspo_session_t *session, const lspo_projection_t *linear, const uint32_t *columns,
                      const void *gradient, void *out)
{
    size_t count = linear->d_cols, at = linear->message_offset_elements;
    if (session->link == session->number) {
        lspo_compute_columns_gather(session->compute, linear->rows, linear->cols, count, columns, gradient,
                                    lspo_session_link_at(session, out, at));
        return;
    }
    size_t some = chunk_rows(session, count);
    for (size_t row = 0; row < linear->rows; row += some) {
        size_t rows = linear->rows - row < some ? linear->rows - row : some;
        lspo_compute_columns_gather(session->compute, rows, linear->cols, count, columns,
                                    lspo_session_at(session, gradient, row * linear->cols), session->scratch);
        lspo_compute_convert(session->compute, rows * count, session->number, session->scratch, session->link,
                             lspo_session_link_at(session, out, at + row * count));
    }
}

lspo_status_t lspo_session_columns_compress(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    void **full = &stage->gradient[lspo_session_parity(session, op)];
    lspo_status_t status = lspo_session_take(session, stage->link_bytes, &stage->sending);
    if (status == LSPO_OK)
        status = lspo_session_take(session, (stage->gradient_count - stage->sent_count) * session->number_bytes,
                                   &stage->critical);
    if (status != LSPO_OK)
        return status;
    size_t at = 0;
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        const void *gradient = lspo_session_at(session, *full, stage->shape.tensors[i].offset_elements);
        const uint32_t *columns = gpu_split_of(session, stage, i, lspo_session_step(session, op));
        size_t critical = critical_count(linear);
        lspo_compute_columns_gather(session->compute, linear->rows, linear->cols, critical, columns, gradient,
                                    lspo_session_at(session, stage->critical, at));
        pack_sent(session, linear, columns + critical, gradient, stage->sending);
        at += linear->rows * critical;
    }
    lspo_compute_copy(session->compute, stage->message.rest_elements * session->number_bytes,
                      lspo_session_at(session, *full, stage->linear_elements),
                      lspo_session_at(session, stage->critical, at));
    lspo_session_give_back(session, full);
    return LSPO_OK;
}

/* Adam on n weights: in 16 bits along the direction, which takes the gradient's place. */
static void step_weights(lspo_session_t *session, const lspo_adam_t *adam, size_t n, void *gradient, float *m, float *v,
                         uint64_t seed, void *w)
{
    if (n == 0)
        return;
    if (session->number == LSPO_NUMBER_FP32) {
        lspo_compute_adam_parameters(session->compute, adam, n, gradient, m, v, NULL, w);
        return;
    }
    lspo_compute_adam_direction(session->compute, adam, n, gradient, m, v, gradient);
    lspo_compute_step_along(session->compute, n, 1.0F - adam->learning_rate * adam->weight_decay, adam->learning_rate,
                            session->number, gradient, seed, w);
}

static void step_critical(lspo_session_t *session, const lspo_op_t *op, const lspo_adam_t *adam, uint32_t i,
                          void *gradient, float *m, float *v)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_projection_t *linear = &stage->message.linear[i];
    uint32_t step = lspo_session_step(session, op);
    const uint32_t *columns = gpu_split_of(session, stage, i, step);
    size_t critical = critical_count(linear);
    void *w = lspo_session_at(session, stage->weights, stage->shape.tensors[i].offset_elements);
    lspo_compute_columns_gather(session->compute, linear->rows, linear->cols, critical, columns, w, session->scratch);
    step_weights(session, adam, linear->rows * critical, gradient, m, v,
                 lspo_session_rounding_seed(session, step, op->layer, i, 0), session->scratch);
    lspo_compute_columns_scatter(session->compute, linear->rows, linear->cols, critical, columns, session->scratch, w);
}

static void step_stage(lspo_session_t *session, const lspo_op_t *op, void *gradient)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t step = lspo_session_step(session, op), parity = lspo_session_parity(session, op);
    size_t linear_count = stage->linear_elements - stage->sent_count, at = 0;
    float *m = stage->optimizer, *v = m + linear_count, *rest = v + linear_count;
    lspo_adam_t adam =
        lspo_adam_default(lspo_session_rate(session, op), step % session->plan->workload.select_every + 1);
    adam.weight_decay = (float)session->plan->workload.weight_decay;
    adam.gradient_scale = lspo_session_gradient_scale(session, session->norms.norm[parity],
                                                      lspo_session_scale_of(session, parity, &session->norms));
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        step_critical(session, op, &adam, i, lspo_session_at(session, gradient, at), m + at, v + at);
        at += linear->rows * critical_count(linear);
    }
    adam.step = step + 1;
    step_weights(session, &adam, stage->message.rest_elements, lspo_session_at(session, gradient, at), rest,
                 rest + stage->message.rest_elements,
                 lspo_session_rounding_seed(session, step, op->layer, LSPO_LINEAR_MAX, 0),
                 lspo_session_at(session, stage->weights, stage->linear_elements));
}

lspo_status_t lspo_session_columns_update_gpu(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    void **gradient = stage->sent_count > 0 ? &stage->critical : &stage->gradient[lspo_session_parity(session, op)];
    if (!lspo_session_skips_step(session, op, &session->norms))
        step_stage(session, op, *gradient);
    lspo_session_give_back(session, gradient);
    return LSPO_OK;
}

/* One UPD, shared out among the workers: an accumulation by blocks, the update of a weight by rows. */
typedef struct {
    lspo_session_t *session;
    lspo_session_stage_t *stage;
    float *sum; /* of the window */
    bool first; /* nothing is in it yet */
    bool skips; /* a step that adds nothing */
    float scale;
    lspo_adam_t adam;
    uint32_t weight;
    const uint32_t *columns;
} window_t;

static void accumulate_block(void *context, uint32_t worker, size_t block)
{
    const window_t *work = context;
    size_t at = block * LSPO_UPDATE_BLOCK, rest = work->stage->sent_count - at;
    size_t n = rest < LSPO_UPDATE_BLOCK ? rest : LSPO_UPDATE_BLOCK;
    const float *gradient = lspo_session_landed(work->session, worker, work->stage->landing[0], at, n);
    float *sum = work->sum + at;
    for (size_t i = 0; i < n; i++)
        sum[i] = (work->first ? 0.0F : sum[i]) + (work->skips ? 0.0F : work->scale * gradient[i]);
}

static void accumulate(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t step = lspo_session_step(session, op), every = session->plan->workload.update_every;
    uint32_t parity = lspo_session_parity(session, op);
    const lspo_session_norms_t *norms = session->host_norms;
    window_t work = {.session = session,
                     .stage = stage,
                     .sum = stage->window_sum[step / every & 1],
                     .first = step % every == 0,
                     .skips = lspo_session_skips_step(session, op, norms),
                     .scale = lspo_session_gradient_scale(session, norms->norm[parity],
                                                          lspo_session_scale_of(session, parity, norms))};
    lspo_workers_run(session->workers, (stage->sent_count + LSPO_UPDATE_BLOCK - 1) / LSPO_UPDATE_BLOCK,
                     accumulate_block, &work);
}

/* One row of a weight: the moments of the CPU's columns are picked out of those of all and put back. */
static void update_row(void *context, uint32_t worker, size_t row)
{
    const window_t *work = context;
    lspo_session_t *session = work->session;
    const lspo_projection_t *linear = &work->stage->message.linear[work->weight];
    size_t count = linear->d_cols, n = linear->cols, at = linear->message_offset_elements + row * count;
    float *m = work->stage->host_optimizer + work->stage->shape.tensors[work->weight].offset_elements + row * n;
    float *v = m + work->stage->linear_elements;
    float *row_m = session->row_scratch + (size_t)worker * 3 * session->widest_row;
    float *row_v = row_m + n, *row_out = row_v + n;
    lspo_columns_gather(1, n, count, work->columns, m, row_m);
    lspo_columns_gather(1, n, count, work->columns, v, row_v);
    lspo_adam_direction(&work->adam, count, work->sum + at, row_m, row_v, row_out);
    lspo_columns_scatter(1, n, count, work->columns, row_m, m);
    lspo_columns_scatter(1, n, count, work->columns, row_v, v);
    lspo_session_pack_numbers(session->link, count, row_out,
                              lspo_session_link_at(session, work->stage->outgoing[0], at));
}

static void update_window(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t window = window_of(session, op), first = window * session->plan->workload.update_every;
    window_t work = {.session = session, .stage = stage, .sum = stage->window_sum[window & 1]};
    work.adam = lspo_adam_default(0, window + 1);
    work.adam.gradient_scale = 1.0F / (float)(window_end(session, op) - first + 1);
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        work.weight = i;
        work.columns = split_of(session, stage, i, first) + critical_count(linear);
        lspo_workers_run(session->workers, linear->rows, update_row, &work);
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
        lspo_device_pace(session->device, start_ns, (double)session->stages[op->layer].sent_count / cpu_pps);
    return LSPO_OK;
}

/* W <- keep W - eta direction in the CPU's columns, some rows at a time. */
static void apply_columns(lspo_session_t *session, const lspo_op_t *op, uint32_t i, const uint32_t *columns, float rate,
                          const void *staging)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_projection_t *linear = &stage->message.linear[i];
    size_t count = linear->d_cols, some = chunk_rows(session, count);
    void *w = lspo_session_at(session, stage->weights, stage->shape.tensors[i].offset_elements);
    float keep = 1.0F - rate * (float)session->plan->workload.weight_decay;
    for (size_t row = 0; row < linear->rows; row += some) {
        size_t rows = linear->rows - row < some ? linear->rows - row : some;
        void *part = lspo_session_at(session, w, row * linear->cols);
        uint64_t seed = lspo_session_rounding_seed(session, lspo_session_step(session, op), op->layer, i, row + 1);
        lspo_compute_columns_gather(session->compute, rows, linear->cols, count, columns, part, session->scratch);
        lspo_compute_step_along(session->compute, rows * count, keep, rate, session->link,
                                lspo_session_link_at(session, staging, linear->message_offset_elements + row * count),
                                seed, session->scratch);
        lspo_compute_columns_scatter(session->compute, rows, linear->cols, count, columns, session->scratch, part);
    }
}

void lspo_session_columns_apply(lspo_session_t *session, const lspo_op_t *op, const void *staging)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t first = window_of(session, op) * session->plan->workload.update_every;
    float rate = lspo_session_rate_at(session, window_end(session, op));
    for (uint32_t i = 0; i < stage->message.linear_count; i++)
        apply_columns(session, op, i,
                      gpu_split_of(session, stage, i, first) + critical_count(&stage->message.linear[i]), rate,
                      staging);
}
