/* zenflow.c - split gradients by columns and update one part on the GPU, the other on the CPU.  plan/policies/zenflow.c
 * has the schedule.
 *     UPD_GPU  Adam on the selected columns and on all but linear weights, in the same step
 *     UPD      direction = adam(mean gradient of a window) in the CPU's columns; APPLY  w <- w - eta direction
 * The split of a weight, first the GPU's columns, then the CPU's, is in host memory and in device memory.  There are
 * two splits, because gradients of the previous selection are still in transit.
 *
 * 16-bit weights have no master weights here: a column changes sides while updates of both sides are in transit, so
 * both update the weights directly, rounded stochastically. */
#include "plan/policies/zenflow.h"
#include "real/methods/zenflow.h"

#include <inttypes.h>

#include "kernels/adam.h"
#include "kernels/columns.h"
#include "real/methods/methods.h"

static lspo_zenflow_stage_t *stage_of(const lspo_session_t *session, uint32_t s)
{
    return session->stages[s].own;
}

static const lspo_zenflow_t *zenflow_of(const lspo_session_t *session)
{
    return session->own;
}

static uint32_t critical_count(const lspo_projection_t *linear)
{
    return linear->cols - linear->d_cols;
}

/* Elements that the host device processes at a time: gathered columns stay in cache until they are scattered. */
enum { HOST_CHUNK_ELEMENTS = 16384 };

static uint32_t *split_of(const lspo_session_t *session, uint32_t s, uint32_t weight, uint32_t step)
{
    return stage_of(session, s)
        ->columns[step / lspo_zenflow_values_of(&session->plan->workload)->select_every & 1][weight];
}

static uint32_t *gpu_split_of(const lspo_session_t *session, uint32_t s, uint32_t weight, uint32_t step)
{
    return stage_of(session, s)
        ->gpu_columns[step / lspo_zenflow_values_of(&session->plan->workload)->select_every & 1][weight];
}

/* The window whose update an UPD or an APPLY handles. */
static uint32_t window_of(const lspo_session_t *session, const lspo_op_t *op)
{
    uint32_t window = lspo_session_step(session, op) / lspo_zenflow_values_of(&session->plan->workload)->update_every;
    if (op->variant == LSPO_VARIANT_DRAIN_LAST)
        return window;
    return op->kind == LSPO_OP_UPD || op->variant == LSPO_VARIANT_DRAIN ? window - 1 : window - 2;
}

/* Its last step; a training may end earlier. */
static uint32_t window_end(const lspo_session_t *session, const lspo_op_t *op)
{
    if (op->variant == LSPO_VARIANT_DRAIN_LAST)
        return lspo_session_step(session, op);
    uint32_t every = lspo_zenflow_values_of(&session->plan->workload)->update_every;
    return window_of(session, op) * every + every - 1;
}

/* The message has the CPU's columns; the CPU has memory for the moments of all columns, because any may come. */
static void describe(lspo_session_t *session)
{
    lspo_zenflow_t *zenflow = session->own;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_session_stage_t *stage = &session->stages[s];
        lspo_zenflow_stage_t *own = stage_of(session, s);
        own->sent_count = stage->message.element_count - stage->message.rest_elements;
        stage->sent_bytes = stage->returned_bytes = own->sent_count * lspo_number_bytes(session->link);
        stage->packed_bytes = 0;
        stage->gradient_count = stage->trained ? stage->linear_elements + stage->message.rest_elements : 0;
        own->gpu.moments.places = stage->gradient_count - own->sent_count;
        own->host.count = own->host.moments.places = stage->linear_elements;
        for (uint32_t i = 0; i < stage->message.linear_count; i++)
            if (stage->message.linear[i].cols > zenflow->widest_row)
                zenflow->widest_row = stage->message.linear[i].cols;
    }
    session->method_scratch_count = 3 * zenflow->widest_row;
}

static lspo_status_t take_windows(lspo_session_t *session, uint32_t s, lspo_host_count_t *count)
{
    const lspo_message_t *message = &session->stages[s].message;
    lspo_zenflow_stage_t *own = stage_of(session, s);
    lspo_status_t status = LSPO_OK;
    for (int slot = 0; slot < 2; slot++) {
        for (uint32_t i = 0; i < message->linear_count; i++) {
            status =
                lspo_session_take_host(session, count, LSPO_HOST_WINDOWS, message->linear[i].cols * sizeof(uint32_t),
                                       (void **)&own->columns[slot][i]);
            if (status != LSPO_OK)
                return status;
        }
        if (own->sent_count > 0)
            status = lspo_session_take_host(session, count, LSPO_HOST_WINDOWS, own->sent_count * sizeof(float),
                                            (void **)&own->window_sum[slot]);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static lspo_status_t take_host(lspo_session_t *session, uint32_t s, lspo_host_count_t *count)
{
    lspo_host_adam_t *host = &stage_of(session, s)->host;
    lspo_status_t status = LSPO_OK;
    if (session->stages[s].updated_on_host) {
        status = lspo_host_adam_take_moments(session, host, 0, count);
        if (status != LSPO_OK)
            return status;
        status = lspo_host_adam_take_outgoing(session, s, host, false, count);
    }
    if (status != LSPO_OK)
        return status;
    return take_windows(session, s, count);
}

static lspo_status_t take_device(lspo_session_t *session, uint32_t s)
{
    return lspo_gpu_adam_take(session, &session->stages[s], &stage_of(session, s)->gpu);
}

/* The splits of a weight in device memory. */
static lspo_status_t make_gpu_splits(lspo_session_t *session, uint32_t s, uint32_t i)
{
    lspo_zenflow_stage_t *own = stage_of(session, s);
    size_t bytes = session->stages[s].message.linear[i].cols * sizeof(uint32_t);
    lspo_status_t status = LSPO_OK;
    for (int slot = 0; slot < 2; slot++) {
        if (session->asynchronous)
            status = lspo_device_alloc_uncounted(session->device, bytes, (void **)&own->gpu_columns[slot][i]);
        else
            own->gpu_columns[slot][i] = own->columns[slot][i];
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static lspo_status_t create(lspo_session_t *session)
{
    lspo_zenflow_t *zenflow = session->own;
    size_t scratch = 0;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        const lspo_session_stage_t *stage = &session->stages[s];
        for (uint32_t i = 0; i < stage->message.linear_count; i++) {
            const lspo_projection_t *linear = &stage->message.linear[i];
            size_t critical = (size_t)linear->rows * critical_count(linear), needed = 2 * (size_t)linear->cols;
            needed = critical > needed ? critical : needed;
            scratch = needed > scratch ? needed : scratch;
            lspo_status_t status = make_gpu_splits(session, s, i);
            if (status != LSPO_OK)
                return status;
        }
    }
    zenflow->scratch_elements = scratch;
    return lspo_session_take(session, scratch * sizeof(float), &zenflow->scratch);
}

static lspo_status_t reset(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_host_adam_clear(&stage_of(session, s)->host);
        lspo_gpu_adam_clear(session, &stage_of(session, s)->gpu);
    }
    return LSPO_OK;
}

static void drop(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        lspo_session_give_back(session, &stage_of(session, s)->critical);
}

static void release_stage(lspo_session_t *session, lspo_zenflow_stage_t *own)
{
    lspo_gpu_adam_give_back(session, &own->gpu);
    lspo_host_adam_give_back(session, &own->host);
    for (int slot = 0; slot < 2; slot++) {
        for (int i = 0; i < LSPO_LINEAR_MAX; i++) {
            if (session->asynchronous)
                lspo_session_give_back(session, (void **)&own->gpu_columns[slot][i]);
            lspo_device_host_free(session->device, own->columns[slot][i]);
        }
        lspo_device_host_free(session->device, own->window_sum[slot]);
    }
}

static void release(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        release_stage(session, stage_of(session, s));
    lspo_session_give_back(session, &((lspo_zenflow_t *)session->own)->scratch);
}

/* Other tensors come after all linear weights, not after the CPU's columns as in the message. */
static lspo_status_t begin_backward(lspo_session_t *session, const lspo_op_t *op, lspo_session_backward_t *backward)
{
    if (backward->sink.rest)
        backward->sink.rest = lspo_session_at(session, backward->gradient, session->stages[op->layer].linear_elements);
    return LSPO_OK;
}

/* Copy to the host: its update of the window uses the same columns. */
static lspo_status_t select_weight(lspo_session_t *session, const lspo_op_t *op, uint32_t i)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_projection_t *linear = &stage->message.linear[i];
    const void *gradient = stage->gradient[lspo_session_parity(session, op)];
    uint32_t step = lspo_session_step(session, op);
    uint32_t *columns = gpu_split_of(session, op->layer, i, step);
    lspo_compute_columns_split(session->compute, &(lspo_columns_t){linear->rows, linear->cols, critical_count(linear)},
                               lspo_session_at(session, gradient, stage->shape.tensors[i].offset_elements),
                               zenflow_of(session)->scratch, columns);
    if (!session->asynchronous)
        return LSPO_OK;
    return lspo_device_read(session->device, split_of(session, op->layer, i, step), columns,
                            linear->cols * sizeof *columns);
}

static lspo_status_t select_columns(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_zenflow_stage_t *own = stage->own;
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        lspo_status_t status = select_weight(session, op, i);
        if (status != LSPO_OK)
            return status;
    }
    /* Moments are stored by column: those of other columns are meaningless here. */
    lspo_compute_zero(session->compute, 2 * (stage->linear_elements - own->sent_count) * sizeof(float),
                      own->gpu.moments.memory);
    return LSPO_OK;
}

/* The number of rows of `count` columns that fit in scratch. */
static size_t chunk_rows(const lspo_session_t *session, size_t count)
{
    size_t room = zenflow_of(session)->scratch_elements;
    if (!session->asynchronous && room > HOST_CHUNK_ELEMENTS)
        room = HOST_CHUNK_ELEMENTS;
    return room > count ? room / count : 1;
}

/* Gather the CPU's columns of one weight into the message, some rows at a time if the link has another format. */
static void pack_sent(lspo_session_t *session, const lspo_projection_t *linear, const uint32_t *columns,
                      const void *gradient, void *out)
{
    size_t count = linear->d_cols, at = linear->message_offset_elements;
    if (session->link == session->number) {
        lspo_compute_columns_gather(session->compute, &(lspo_columns_t){linear->rows, linear->cols, count}, columns,
                                    gradient, lspo_session_link_at(session, out, at));
        return;
    }
    size_t some = chunk_rows(session, count);
    for (size_t row = 0; row < linear->rows; row += some) {
        size_t rows = linear->rows - row < some ? linear->rows - row : some;
        lspo_compute_columns_gather(session->compute, &(lspo_columns_t){rows, linear->cols, count}, columns,
                                    lspo_session_at(session, gradient, row * linear->cols),
                                    zenflow_of(session)->scratch);
        lspo_compute_convert(session->compute, rows * count, session->number, zenflow_of(session)->scratch,
                             session->link, lspo_session_link_at(session, out, at + row * count));
    }
}

static lspo_status_t compress(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_zenflow_stage_t *own = stage->own;
    void **full = &stage->gradient[lspo_session_parity(session, op)];
    lspo_status_t status = lspo_session_take(session, stage->sent_bytes, &stage->sending);
    if (status != LSPO_OK)
        return status;
    status =
        lspo_session_take(session, (stage->gradient_count - own->sent_count) * session->number_bytes, &own->critical);
    if (status != LSPO_OK)
        return status;
    size_t at = 0;
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        const void *gradient = lspo_session_at(session, *full, stage->shape.tensors[i].offset_elements);
        const uint32_t *columns = gpu_split_of(session, op->layer, i, lspo_session_step(session, op));
        size_t critical = critical_count(linear);
        lspo_compute_columns_gather(session->compute, &(lspo_columns_t){linear->rows, linear->cols, critical}, columns,
                                    gradient, lspo_session_at(session, own->critical, at));
        pack_sent(session, linear, columns + critical, gradient, stage->sending);
        at += linear->rows * critical;
    }
    lspo_compute_copy(session->compute, stage->message.rest_elements * session->number_bytes,
                      lspo_session_at(session, *full, stage->linear_elements),
                      lspo_session_at(session, own->critical, at));
    lspo_session_give_back(session, full);
    return LSPO_OK;
}

/* Weights of one tensor that the GPU updates, and their state. */
typedef struct {
    lspo_adam_t adam;
    lspo_adam_state_t state;
    void *gradient;
    uint32_t tensor; /* for the random bits */
} part_t;

/* Adam on the part's weights; in 16 bits along the direction, which replaces the gradient. */
static void step_weights(lspo_session_t *session, const lspo_op_t *op, const part_t *part, void *w)
{
    const lspo_adam_t *adam = &part->adam;
    if (part->state.count == 0)
        return;
    if (session->number == LSPO_NUMBER_FP32) {
        lspo_compute_adam_parameters(session->compute, adam, &part->state, part->gradient, w);
        return;
    }
    const lspo_vector_step_t step =
        lspo_vector_step(adam->learning_rate, adam->weight_decay, lspo_session_op_seed(session, op, part->tensor));
    lspo_compute_adam_direction(session->compute, adam, &part->state, part->gradient, part->gradient);
    lspo_compute_step_along(session->compute, part->state.count, &step, session->number, part->gradient, w);
}

/* The selected columns of a weight. */
static void step_critical(lspo_session_t *session, const lspo_op_t *op, const part_t *part)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_projection_t *linear = &stage->message.linear[part->tensor];
    const uint32_t *columns = gpu_split_of(session, op->layer, part->tensor, lspo_session_step(session, op));
    const lspo_columns_t critical = {linear->rows, linear->cols, critical_count(linear)};
    void *w = lspo_session_linear_weight(session, stage, part->tensor), *scratch = zenflow_of(session)->scratch;
    lspo_compute_columns_gather(session->compute, &critical, columns, w, scratch);
    step_weights(session, op, part, scratch);
    lspo_compute_columns_scatter(session->compute, &critical, columns, scratch, w);
}

static void step_stage(lspo_session_t *session, const lspo_op_t *op, void *gradient)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t step = lspo_session_step(session, op);
    const lspo_zenflow_stage_t *own = stage->own;
    size_t linear_count = stage->linear_elements - own->sent_count;
    float *m = own->gpu.moments.memory, *v = m + linear_count;
    part_t part = {.gradient = gradient};
    part.adam = lspo_session_adam(session, lspo_session_rate(session, op),
                                  step % lspo_zenflow_values_of(&session->plan->workload)->select_every + 1);
    part.adam.gradient_scale = lspo_session_op_scale(session, op, &session->norms);
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        part.tensor = i;
        part.state.count = (size_t)stage->message.linear[i].rows * critical_count(&stage->message.linear[i]);
        part.state.m = m;
        part.state.v = v;
        step_critical(session, op, &part);
        part.gradient = lspo_session_at(session, part.gradient, part.state.count);
        m += part.state.count;
        v += part.state.count;
    }
    part.adam.step = step + 1;
    part.tensor = LSPO_LINEAR_MAX;
    part.state.count = stage->message.rest_elements;
    part.state.m = v; /* behind those of the linear weights */
    part.state.v = v + part.state.count;
    step_weights(session, op, &part, lspo_session_at(session, stage->weights, stage->linear_elements));
}

static lspo_status_t update_gpu(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    lspo_zenflow_stage_t *own = stage->own;
    void **gradient = own->sent_count > 0 ? &own->critical : &stage->gradient[lspo_session_parity(session, op)];
    if (!lspo_session_skips_step(session, op, &session->norms))
        step_stage(session, op, *gradient);
    lspo_session_give_back(session, gradient);
    return LSPO_OK;
}

/* One UPD, shared by the workers: an accumulation by blocks, the update of a weight by rows. */
typedef struct {
    lspo_session_t *session;
    lspo_session_stage_t *stage;
    const lspo_zenflow_stage_t *own;
    float *sum; /* of the window */
    bool first; /* it is still empty */
    bool skips; /* skip a step */
    float scale;
    lspo_adam_t adam;
    uint32_t weight;
    const uint32_t *columns;
} window_t;

static void accumulate_block(void *context, uint32_t worker, size_t block)
{
    const window_t *work = context;
    size_t at = block * LSPO_UPDATE_BLOCK, rest = work->own->sent_count - at;
    size_t n = rest < LSPO_UPDATE_BLOCK ? rest : LSPO_UPDATE_BLOCK;
    const float *gradient = lspo_session_landed(work->session, worker, work->stage->landing[0], at, n);
    float *sum = work->sum + at;
    for (size_t i = 0; i < n; i++)
        sum[i] = (work->first ? 0.0F : sum[i]) + (work->skips ? 0.0F : work->scale * gradient[i]);
}

static void accumulate(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_zenflow_stage_t *own = stage_of(session, op->layer);
    uint32_t step = lspo_session_step(session, op),
             every = lspo_zenflow_values_of(&session->plan->workload)->update_every;
    window_t work = {.session = session,
                     .stage = &session->stages[op->layer],
                     .own = own,
                     .sum = own->window_sum[step / every & 1],
                     .first = step % every == 0,
                     .skips = lspo_session_skips_step(session, op, session->host_norms),
                     .scale = lspo_session_op_scale(session, op, session->host_norms)};
    lspo_workers_run(session->workers, (own->sent_count + LSPO_UPDATE_BLOCK - 1) / LSPO_UPDATE_BLOCK, accumulate_block,
                     &work);
}

/* One row of a weight: gathers the moments of the CPU's columns and scatters them back. */
static void update_row(void *context, uint32_t worker, size_t row)
{
    const window_t *work = context;
    lspo_session_t *session = work->session;
    const lspo_projection_t *linear = &work->stage->message.linear[work->weight];
    size_t count = linear->d_cols, n = linear->cols, at = linear->message_offset_elements + row * count;
    float *m =
        (float *)work->own->host.moments.memory + work->stage->shape.tensors[work->weight].offset_elements + row * n;
    float *v = m + work->stage->linear_elements;
    float *row_m = session->method_scratch + worker * session->method_scratch_count;
    float *row_v = row_m + n, *row_out = row_v + n;
    const lspo_columns_t sent = {.m = 1, .n = n, .count = count};
    const lspo_adam_state_t moments = {.count = count, .m = row_m, .v = row_v};
    lspo_columns_gather(&sent, work->columns, m, row_m);
    lspo_columns_gather(&sent, work->columns, v, row_v);
    lspo_adam_direction(&work->adam, &moments, work->sum + at, row_out);
    lspo_columns_scatter(&sent, work->columns, row_m, m);
    lspo_columns_scatter(&sent, work->columns, row_v, v);
    lspo_session_pack_numbers(session->link, count, row_out,
                              lspo_session_link_at(session, work->stage->outgoing[0], at));
}

static void update_window(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    uint32_t window = window_of(session, op),
             first = window * lspo_zenflow_values_of(&session->plan->workload)->update_every;
    const lspo_zenflow_stage_t *own = stage->own;
    window_t work = {.session = session, .stage = stage, .own = own, .sum = own->window_sum[window & 1]};
    work.adam = lspo_session_adam(session, 0, window + 1);
    work.adam.gradient_scale = 1.0F / (float)(window_end(session, op) - first + 1);
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        work.weight = i;
        work.columns = split_of(session, op->layer, i, first) + critical_count(linear);
        lspo_workers_run(session->workers, linear->rows, update_row, &work);
    }
}

static lspo_status_t update_host(lspo_session_t *session, const lspo_op_t *op)
{
    if (op->variant == LSPO_VARIANT_ACCUMULATE) {
        accumulate(session, op);
        return LSPO_OK;
    }
    uint64_t start_ns = lspo_now_ns();
    update_window(session, op);
    lspo_session_pace_update(session, start_ns, stage_of(session, op->layer)->sent_count);
    return LSPO_OK;
}

/* W <- keep W - eta direction in the CPU's columns, some rows at a time. */
static void apply_weight(lspo_session_t *session, const lspo_op_t *op, uint32_t i, const void *staging)
{
    uint32_t first = window_of(session, op) * lspo_zenflow_values_of(&session->plan->workload)->update_every;
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const lspo_projection_t *linear = &stage->message.linear[i];
    size_t count = linear->d_cols, some = chunk_rows(session, count);
    const uint32_t *columns = gpu_split_of(session, op->layer, i, first) + critical_count(linear);
    void *w = lspo_session_linear_weight(session, stage, i);
    float rate = lspo_session_rate_at(session, window_end(session, op)), keep = lspo_session_kept(session, rate);
    for (size_t row = 0; row < linear->rows; row += some) {
        size_t rows = linear->rows - row < some ? linear->rows - row : some;
        void *part = lspo_session_at(session, w, row * linear->cols);
        uint64_t seed = lspo_session_rounding_seed(session, lspo_session_step(session, op), op->layer, i, row + 1);
        const lspo_columns_t sent = {.m = rows, .n = linear->cols, .count = count};
        lspo_compute_columns_gather(session->compute, &sent, columns, part, zenflow_of(session)->scratch);
        lspo_compute_step_along(session->compute, rows * count, &(lspo_vector_step_t){keep, rate, seed}, session->link,
                                lspo_session_link_at(session, staging, linear->message_offset_elements + row * count),
                                zenflow_of(session)->scratch);
        lspo_compute_columns_scatter(session->compute, &sent, columns, zenflow_of(session)->scratch, part);
    }
}

static lspo_status_t apply(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    void **staging = &stage->staging[lspo_session_parity(session, op)];
    for (uint32_t i = 0; i < stage->message.linear_count; i++)
        apply_weight(session, op, i, *staging);
    lspo_session_give_back(session, staging);
    return LSPO_OK;
}

/* Two selections, the sums of two windows and the update of the previous one. */
static void visit_stage(const lspo_session_t *session, uint32_t s, const char *name, lspo_state_walk_t *walk)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    const lspo_zenflow_stage_t *own = stage->own;
    lspo_host_adam_visit(&own->host, name, walk);
    lspo_gpu_adam_visit(&own->gpu, name, walk);
    if (own->sent_count == 0)
        return;
    for (uint32_t slot = 0; slot < 2; slot++) {
        for (uint32_t i = 0; i < stage->message.linear_count; i++)
            lspo_walk_host(walk, own->columns[slot][i], stage->message.linear[i].cols, LSPO_STATE_U32,
                           "%s.columns%" PRIu32 ".%" PRIu32, name, slot, i);
        lspo_walk_host(walk, own->window_sum[slot], own->sent_count, LSPO_STATE_F32, "%s.window%" PRIu32, name, slot);
    }
    lspo_walk_host(walk, stage->outgoing[0], own->sent_count, lspo_session_message_type(session), "%s.update", name);
}

/* A selection that has not been made yet is all zeros. */
static bool split_is_sound(const uint32_t *columns, uint32_t count)
{
    for (uint32_t i = 0; columns && i < count; i++)
        if (columns[i] >= count)
            return false;
    return true;
}

static lspo_status_t split_written(lspo_session_t *session, uint32_t s, uint32_t slot, uint32_t i)
{
    const lspo_zenflow_stage_t *own = stage_of(session, s);
    uint32_t count = session->stages[s].message.linear[i].cols;
    if (!split_is_sound(own->columns[slot][i], count))
        return lspo_error(LSPO_ERR_INPUT, "the state's columns of stage %" PRIu32 " are out of range", s);
    if (!session->asynchronous || !own->columns[slot][i])
        return LSPO_OK;
    return lspo_device_write(session->device, own->gpu_columns[slot][i], own->columns[slot][i],
                             count * sizeof(uint32_t));
}

static lspo_status_t written(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        for (uint32_t slot = 0; slot < 2; slot++)
            for (uint32_t i = 0; i < session->stages[s].message.linear_count; i++) {
                lspo_status_t status = split_written(session, s, slot, i);
                if (status != LSPO_OK)
                    return status;
            }
    return LSPO_OK;
}

const lspo_method_t lspo_method_zenflow = {
    .name = "zenflow",
    .state_bytes = sizeof(lspo_zenflow_t),
    .stage_bytes = sizeof(lspo_zenflow_stage_t),
    .landing_slots = 1, /* windows have their own buffers */
    .describe = describe,
    .take_host = take_host,
    .take_device = take_device,
    .create = create,
    .reset = reset,
    .drop = drop,
    .release = release,
    .ops = {[LSPO_OP_PROJECT] = select_columns,
            [LSPO_OP_COMPRESS] = compress,
            [LSPO_OP_UPD] = update_host,
            [LSPO_OP_UPD_GPU] = update_gpu,
            [LSPO_OP_APPLY] = apply},
    .begin_backward = begin_backward,
    .visit_stage = visit_stage,
    .written = written,
};
