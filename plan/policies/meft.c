/* meft: beside the MLP of each block stands an adapter of r rows, in host memory with its Adam state; W is frozen.
 *     out = MLP(h) + sum over u in S(h) of ReLU(h . k_u) v_u              k_u: a column of W_A, v_u: a row of W_B
 * Rows belong to E experts.  Of a token, the GPU keeps the experts with the largest gates g = h W_g (--probes); the CPU
 * scores their rows, |g_e| (h . k), and chooses the K best (--keys).  W_g is drawn from the seed and stays: it only
 * chooses, so that with K = r the adapter is the dense one.  The authors' score is g_e (h . k).  With many experts the
 * kept gates are positive, and both are the same.  With few a kept gate may be negative; its sign would then prefer
 * the rows that ReLU sets to 0.
 *
 * The union U of a micro-batch's rows crosses the link, and the gradients of the same rows return:
 *     gpu   FWD to the MLP's input, gates | FWD mlp ...............| FWD rows | next block
 *     d2h                                 | h, experts |
 *     cpu                                              | SELECT |
 *     h2d                                                       | 2 |U| d |
 * BWD has the rows on the GPU since then and gives them back; D2H of their gradients, 2 |U| d; UPD is Adam on these
 * rows only (with micro-batches UPD accumulate adds them up, and UPD updates all that were added to).  SELECT of the
 * next step waits for UPD of its block; nothing else does.
 *
 * The plan's |U| is what is expected of tokens that are --alike (plan/policies/meft.h), its memory that of the most
 * rows. */
#include "plan/policies/meft.h"

#include <stdlib.h>

#include "plan/family.h"
#include "plan/policies.h"
#include "plan/stage_work.h"

/* ---- sizes ---- */

typedef struct {
    lspo_meft_shape_t shape;
    uint64_t tokens, d, p, q;
    uint64_t rows;      /* |U| of a micro-batch, as expected */
    uint64_t step_rows; /* of all of a step                  */
    uint64_t most;      /* of a micro-batch                  */
} sizes_t;

static sizes_t sizes_of(const lspo_workload_t *w, const lspo_model_t *model)
{
    sizes_t sizes = {.shape = lspo_meft_shape(lspo_meft_values_of(w)),
                     .tokens = lspo_workload_tokens(w),
                     .d = model->width,
                     .p = lspo_precision_bytes(w->precision),
                     .q = lspo_precision_bytes(w->transfer)};
    const double alike = lspo_meft_values_of(w)->alike;
    sizes.rows = (uint64_t)(lspo_meft_rows_expected(&sizes.shape, sizes.tokens, alike) + 0.5);
    sizes.step_rows = (uint64_t)(lspo_meft_rows_expected(&sizes.shape, sizes.tokens * w->accumulation, alike) + 0.5);
    sizes.most = lspo_meft_rows_most(&sizes.shape, sizes.tokens);
    return sizes;
}

/* The memory of a block's rows where H2D brings them, and where the GPU reads them. */
static uint64_t arriving_bytes(const sizes_t *s)
{
    return s->most * 2 * s->d * s->q + lspo_meft_list_bytes(&s->shape, s->tokens, s->most);
}

static uint64_t unpacked_bytes(const sizes_t *s)
{
    return s->p != s->q ? s->most * 2 * s->d * s->p : 0;
}

static uint64_t resting_bytes(const sizes_t *s)
{
    return s->most * 2 * s->d * s->p + lspo_meft_list_bytes(&s->shape, s->tokens, s->most);
}

/* Gradients of the rows, and their copy in the link's format. */
static uint64_t gradient_bytes(const sizes_t *s)
{
    return s->most * 2 * s->d * (s->p + (s->p != s->q ? s->q : 0));
}

/* The rows of the adapter, then the tensors of the rest; rows are no linear weights of the model. */
static void describe_message(const lspo_workload_t *workload, const lspo_stage_t *stage, bool train_rest,
                             lspo_message_t *message_out)
{
    lspo_message_dense(stage, train_rest, message_out);
    message_out->linear_count = 0;
    message_out->rest_offset_elements = 0;
    message_out->element_count = message_out->rest_elements;
    if (stage->kind == LSPO_STAGE_BLOCK) {
        message_out->rest_offset_elements =
            2 * (uint64_t)stage->tensors[0].rows * lspo_meft_values_of(workload)->adapter_width;
        message_out->element_count += message_out->rest_offset_elements;
    }
}

/* The GPU updates the rest. */
static void describe_stage(const lspo_builder_t *b, lspo_build_stage_t *stage)
{
    const sizes_t sizes = sizes_of(b->workload, b->model);
    const uint64_t rest = stage->message.rest_elements;
    stage->gradient_bytes = rest * sizes.p;
    stage->packed_bytes = 0;
    stage->moments_bytes = 2 * rest * sizeof(float);
    stage->optimizer_bytes = stage->moments_bytes + (b->workload->precision != LSPO_FP32 ? rest * sizeof(float) : 0);
    stage->sent_bytes = stage->link_bytes =
        stage->shape.kind == LSPO_STAGE_BLOCK ? sizes.rows * 2 * sizes.d * sizes.q : 0;
}

/* ---- works ---- */

static void add_stream(lspo_work_t *work, uint64_t bytes)
{
    lspo_work_t one;
    lspo_work_stream(bytes, &one);
    lspo_work_append(work, &one.kernels[0]);
}

/* Rows of d numbers read, one for each of so many entries of tokens' lists. */
static void add_rows(lspo_work_t *work, const sizes_t *s, uint32_t launches, uint64_t reads, uint64_t flop)
{
    const uint64_t entries = s->tokens * s->shape.chosen;
    lspo_work_append(work, &(lspo_kernel_t){.kernel_class = LSPO_KERNEL_ROWS,
                                            .count = launches,
                                            .flop = (double)(flop * entries * s->d),
                                            .bytes = reads * entries * s->d * s->p,
                                            .far_bytes = s->rows * 2 * s->d * s->p});
}

static void add_rows_forward(lspo_work_t *work, const sizes_t *s)
{
    add_rows(work, s, 2, 2, 4);
}

/* All before the MLP, and the gates. */
static void describe_begin(const lspo_builder_t *b, const sizes_t *s, uint32_t stage, lspo_work_t *work)
{
    lspo_stage_work_before_mlp(b->model, b->workload, stage, work);
    lspo_work_append_gemm(work, s->p, LSPO_LAYOUT_NN, s->tokens, s->shape.experts, s->d);
    add_stream(work, s->tokens * s->shape.experts * s->p + lspo_meft_route_bytes(&s->shape, s->tokens));
    if (s->p != s->q)
        add_stream(work, s->tokens * s->d * (s->p + s->q));
}

static void describe_forward(const lspo_builder_t *b, const sizes_t *s, lspo_op_variant_t variant, uint32_t stage,
                             lspo_work_t *work)
{
    if (variant == LSPO_VARIANT_MLP) {
        lspo_stage_work_mlp(b->model, b->workload, stage, work);
    } else if (variant == LSPO_VARIANT_ROWS) {
        if (s->p != s->q)
            add_stream(work, s->rows * 2 * s->d * (s->p + s->q));
        add_rows_forward(work, s);
    } else {
        describe_begin(b, s, stage, work);
    }
}

static void describe_backward(const lspo_builder_t *b, const sizes_t *s, uint32_t stage, lspo_work_t *work)
{
    const lspo_build_stage_t *st = &b->stages[stage];
    lspo_stage_work_backward(b->model, b->workload, stage, false, st->message.rest_elements > 0, work);
    add_rows(work, s, 3, 5, 12);
    if (s->p != s->q)
        add_stream(work, s->rows * 2 * s->d * (s->p + s->q));
    if (b->workload->clip_norm > 0)
        add_stream(work, st->gradient_bytes + s->rows * 2 * s->d * s->p);
}

/* The scores of the rows that tokens may use, expert by expert; the rows read, and sent in the link's format. */
static void describe_select(const sizes_t *s, lspo_work_t *work)
{
    const uint64_t probed = s->tokens * s->shape.probes, to = (probed + s->shape.experts - 1) / s->shape.experts;
    lspo_work_append_gemm(work, sizeof(float), LSPO_LAYOUT_NT, to, s->shape.each, s->d);
    lspo_kernel_t *scores = &work->kernels[0];
    scores->count = s->shape.experts;
    scores->flop = 2.0 * (double)(probed * s->shape.each * s->d);
    scores->bytes = probed * s->d * sizeof(float) + s->shape.width * s->d * sizeof(float);
    add_stream(work, 2 * probed * s->d * sizeof(float));
    add_stream(work, s->rows * 2 * s->d * (sizeof(float) + s->q));
}

static void describe_update(const lspo_builder_t *b, const sizes_t *s, lspo_op_variant_t variant, lspo_work_t *work)
{
    const uint64_t row_bytes = 2 * s->d * sizeof(float);
    if (variant == LSPO_VARIANT_ACCUMULATE) {
        lspo_work_stream(s->rows * (2 * s->d * s->q + 2 * row_bytes), work);
        return;
    }
    lspo_work_adam(s->step_rows * 2 * s->d, work);
    work->kernels[0].of_elements = s->shape.width * 2 * s->d;
    if (b->workload->accumulation > 1) /* sums start again from zero */
        add_stream(work, s->step_rows * row_bytes);
}

/* Several copies are one op. */
static void describe_copies(uint64_t bytes, lspo_work_t *work)
{
    lspo_work_copy(bytes, work);
    work->kernels[0].count = 2;
}

static bool describe_block(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t stage,
                           lspo_work_t *work)
{
    const sizes_t s = sizes_of(b->workload, b->model);
    switch (kind) {
    case LSPO_OP_FWD:
        describe_forward(b, &s, variant, stage, work);
        return true;
    case LSPO_OP_RECOMPUTE:
        lspo_stage_work_recompute(b->model, b->workload, stage, work);
        if (lspo_model_ends_with_norm(b->model))
            add_rows_forward(work, &s);
        return true;
    case LSPO_OP_BWD:
        describe_backward(b, &s, stage, work);
        return true;
    case LSPO_OP_SELECT:
        describe_select(&s, work);
        return true;
    case LSPO_OP_H2D:
        describe_copies(s.rows * 2 * s.d * s.q + lspo_meft_list_bytes(&s.shape, s.tokens, s.rows), work);
        return true;
    case LSPO_OP_D2H:
        if (variant != LSPO_VARIANT_ROWS)
            return false;
        describe_copies(s.tokens * s.d * s.q + lspo_meft_route_bytes(&s.shape, s.tokens), work);
        return true;
    case LSPO_OP_UPD:
        describe_update(b, &s, variant, work);
        return true;
    default:
        return false;
    }
}

static bool describe_work(const lspo_builder_t *b, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t stage,
                          lspo_work_t *work)
{
    if (kind == LSPO_OP_UPD_GPU) {
        lspo_work_adam_in(LSPO_OPTIMIZER_STATE_FP32, b->workload->precision, b->stages[stage].message.rest_elements,
                          work);
        return true;
    }
    return b->stages[stage].shape.kind == LSPO_STAGE_BLOCK && describe_block(b, kind, variant, stage, work);
}

/* ---- schedule ---- */

typedef struct {
    lspo_builder_t *b;
    sizes_t sizes;
    lspo_op_id_t *added; /* by stage: the latest UPD accumulate of this step; LSPO_NO_OP: none */
} meft_t;

/* The GPU waits for these as for nothing else: they come before what is left of the step before. */
static lspo_op_id_t emit_urgent(meft_t *m, lspo_op_kind_t kind, lspo_op_variant_t variant, uint32_t stage,
                                uint32_t iteration)
{
    lspo_builder_t *b = m->b;
    lspo_op_id_t id = lspo_build_op(b, kind, variant, stage, iteration);
    if (b->status == LSPO_OK)
        b->plan->ops[id].priority = lspo_build_priority(iteration > 0 ? iteration - 1 : 0, 0, b->stage_count);
    return id;
}

static void forward_block(meft_t *m, uint32_t iteration, uint32_t micro, uint32_t stage)
{
    lspo_builder_t *b = m->b;
    lspo_op_id_t begun = lspo_build_forward(b, iteration, micro, stage);
    lspo_op_id_t asked = emit_urgent(m, LSPO_OP_D2H, LSPO_VARIANT_ROWS, stage, iteration);
    lspo_build_micro(b, micro);
    lspo_build_depend(b, begun);
    lspo_op_id_t selected = emit_urgent(m, LSPO_OP_SELECT, LSPO_VARIANT_NONE, stage, iteration);
    lspo_build_micro(b, micro);
    lspo_build_depend(b, asked);
    lspo_build_depend(b, b->stages[stage].updated);
    lspo_build_depend(b, m->added[stage]);
    lspo_op_id_t arrived = emit_urgent(m, LSPO_OP_H2D, LSPO_VARIANT_NONE, stage, iteration);
    lspo_build_micro(b, micro);
    lspo_build_depend(b, selected);
    lspo_build_gpu_memory(b, arriving_bytes(&m->sizes), 0);
    lspo_op_id_t mlp = lspo_build_op(b, LSPO_OP_FWD, LSPO_VARIANT_MLP, stage, iteration);
    lspo_build_micro(b, micro);
    lspo_build_depend(b, begun);
    b->last_compute = lspo_build_op(b, LSPO_OP_FWD, LSPO_VARIANT_ROWS, stage, iteration);
    lspo_build_micro(b, micro);
    lspo_build_depend(b, mlp);
    lspo_build_depend(b, arrived);
    lspo_build_gpu_memory(b, unpacked_bytes(&m->sizes),
                          (m->sizes.p != m->sizes.q ? m->sizes.most * 2 * m->sizes.d * m->sizes.q : 0) +
                              (b->workload->checkpointing ? b->activations.saved_bytes : 0));
}

/* The gradients of a block's rows leave; with micro-batches they are added up. */
static void backward_block(meft_t *m, uint32_t iteration, uint32_t micro, uint32_t stage)
{
    lspo_builder_t *b = m->b;
    lspo_op_id_t backward = lspo_build_backward(b, iteration, micro, stage, LSPO_NO_OP);
    lspo_build_gpu_memory(b, gradient_bytes(&m->sizes), resting_bytes(&m->sizes));
    b->stages[stage].sent = lspo_build_op(b, LSPO_OP_D2H, LSPO_VARIANT_NONE, stage, iteration);
    lspo_build_micro(b, micro);
    lspo_build_depend(b, backward);
    lspo_build_gpu_memory(b, 0, gradient_bytes(&m->sizes));
    if (b->workload->accumulation == 1)
        return;
    m->added[stage] = lspo_build_op(b, LSPO_OP_UPD, LSPO_VARIANT_ACCUMULATE, stage, iteration);
    lspo_build_micro(b, micro);
    lspo_build_depend(b, b->stages[stage].sent);
}

static bool is_block(const meft_t *m, uint32_t stage)
{
    return m->b->stages[stage].shape.kind == LSPO_STAGE_BLOCK;
}

/* In the order in which gradients arrive, unless the norm is waited for; the shallow ones, which are needed first, go
 * before others that are ready. */
static void update(meft_t *m, uint32_t iteration)
{
    lspo_builder_t *b = m->b;
    lspo_op_id_t gradients = b->last_compute, norm = lspo_build_norm(b, iteration);
    for (uint32_t s = 0; norm != LSPO_NO_OP && s < b->stage_count; s++)
        lspo_build_depend(b, m->added[s]);
    lspo_op_id_t scalar = lspo_build_norm_to_host(b, iteration, norm);
    for (uint32_t s = b->stage_count; s-- > 0;) {
        if (b->stages[s].message.rest_elements > 0)
            lspo_build_update_gpu(b, iteration, s, norm == LSPO_NO_OP ? gradients : norm);
        if (!is_block(m, s))
            continue;
        lspo_build_update(b, iteration, s, scalar);
        lspo_build_depend(b, m->added[s]);
        m->added[s] = LSPO_NO_OP;
    }
}

static void step(meft_t *m, uint32_t iteration)
{
    lspo_builder_t *b = m->b;
    for (uint32_t micro = 0; micro < b->workload->accumulation; micro++) {
        for (uint32_t s = 0; s < b->stage_count; s++)
            if (is_block(m, s))
                forward_block(m, iteration, micro, s);
            else
                lspo_build_forward(b, iteration, micro, s);
        for (uint32_t s = b->stage_count; s-- > 0;)
            if (is_block(m, s))
                backward_block(m, iteration, micro, s);
            else
                lspo_build_backward(b, iteration, micro, s, LSPO_NO_OP);
    }
    update(m, iteration);
}

/* ---- memory ---- */

/* GPU: routers; gates, what is sent to choose rows, and activations of chosen rows.  Host: rows, their moments and
 * counts of steps, landing buffers, with micro-batches sums and their squares; for one block after the other what rows
 * are chosen by and the rows that leave. */
static void static_memory(const meft_t *m)
{
    lspo_footprint_t *f = &m->b->plan->footprint;
    const sizes_t *s = &m->sizes;
    const uint64_t routes = lspo_meft_route_bytes(&s->shape, s->tokens), numbers = s->shape.width * 2 * s->d;
    const bool sums = m->b->workload->accumulation > 1, packs = s->p != s->q;
    f->gpu_workspace_bytes = m->b->activations.workspace_bytes + s->tokens * s->shape.experts * s->p + routes +
                             (packs ? s->tokens * s->d * s->q : 0) + 2 * s->tokens * s->shape.chosen * sizeof(float);
    for (uint32_t stage = 0; stage < m->b->stage_count; stage++) {
        f->gpu_parameters_bytes += m->b->stages[stage].parameter_bytes;
        f->gpu_optimizer_bytes += m->b->stages[stage].optimizer_bytes;
        if (!is_block(m, stage))
            continue;
        f->gpu_projectors_bytes += s->d * s->shape.experts * s->p;
        f->host_optimizer_bytes += 2 * numbers * sizeof(float) + s->shape.width * sizeof(uint32_t);
        f->host_master_bytes += numbers * sizeof(float);
        f->host_gradients_bytes += s->most * (2 * s->d * s->q + sizeof(uint32_t));
        f->host_gradients_bytes += sums ? numbers * sizeof(float) + s->shape.width : 0;
    }
    f->host_gradients_bytes += sums ? s->shape.width * sizeof(double) : 0;
    f->host_gradients_bytes += s->tokens * s->d * s->q + routes;
    f->host_outgoing_bytes = arriving_bytes(s) + lspo_meft_choice_bytes(&s->shape, s->tokens);
    f->host_outgoing_bytes += s->q != sizeof(float) ? s->tokens * s->d * sizeof(float) : 0;
}

static lspo_status_t check(const lspo_meft_shape_t *shape)
{
    if (shape->width % shape->experts == 0)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT,
                      "--experts %u does not divide --adapter-width %u: each expert has the same number of rows",
                      shape->experts, shape->width);
}

static lspo_status_t build(lspo_builder_t *b)
{
    meft_t m = {.b = b, .sizes = sizes_of(b->workload, b->model)};
    lspo_status_t status = check(&m.sizes.shape);
    if (status != LSPO_OK)
        return status;
    m.added = malloc(b->stage_count * sizeof *m.added);
    if (!m.added)
        return lspo_no_memory("a plan");
    for (uint32_t s = 0; s < b->stage_count; s++) {
        m.added[s] = LSPO_NO_OP;
        b->stages[s].priority_rank = is_block(&m, s) ? s : 0;
    }
    b->splits_forward = true;
    static_memory(&m);
    for (uint32_t i = 0; b->status == LSPO_OK && i < b->workload->iterations; i++)
        step(&m, i);
    free(m.added);
    return b->status;
}

static void resolve(lspo_workload_t *workload)
{
    lspo_meft_values_t *values = lspo_meft_values_edit(workload);
    const lspo_meft_shape_t shape = lspo_meft_shape(values);
    values->experts = (int32_t)shape.experts;
    values->probes = (int32_t)shape.probes;
    values->keys = (int32_t)shape.chosen;
}

/* ---- parameters of the policy ---- */

static double width_of_model(const lspo_parameter_context_t *context)
{
    enum { USUAL = 4096 };
    return context->model != NULL ? context->model->width : USUAL;
}

static lspo_meft_shape_t shape_given(const lspo_parameter_context_t *context)
{
    return lspo_meft_shape(lspo_meft_values_of(context->workload));
}

static double width_given(const lspo_parameter_context_t *context)
{
    return shape_given(context).width;
}

static double experts_given(const lspo_parameter_context_t *context)
{
    return shape_given(context).experts;
}

static double probed_rows(const lspo_parameter_context_t *context)
{
    const lspo_meft_shape_t shape = shape_given(context);
    return (double)shape.probes * shape.each;
}

static const lspo_parameter_t adapter_width = {
    .key = "adapter-width",
    .value = "R",
    .unit = "rows",
    .help = "r: rows of the adapter beside each MLP, each a key and a value as long as the model is wide",
    .kind = LSPO_RECORD_U32,
    .preset_of = width_of_model,
    .preset_is = "the model's width",
    .low = 1,
    .high = 1 << 24,
    .affects = LSPO_AFFECTS_BOTH,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

static const lspo_parameter_t keys = {
    .key = "keys",
    .value = "auto|K",
    .unit = "rows per token",
    .help = "rows that each token uses: the best of its experts' rows; auto: half of them",
    .kind = LSPO_RECORD_I32,
    .preset = LSPO_MEFT_AUTO,
    .low = 1,
    .high_of = probed_rows,
    .high_is = "the rows of --probes experts",
    .affects = LSPO_AFFECTS_BOTH,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

static const lspo_parameter_t experts = {
    .key = "experts",
    .value = "auto|E",
    .help = "groups of rows; a token uses rows of few of them; auto: the largest divisor of r up to 4 sqrt(r)",
    .kind = LSPO_RECORD_I32,
    .preset = LSPO_MEFT_AUTO,
    .low = 1,
    .high_of = width_given,
    .high_is = "--adapter-width",
    .affects = LSPO_AFFECTS_BOTH,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

static const lspo_parameter_t probes = {
    .key = "probes",
    .value = "auto|N",
    .unit = "experts per token",
    .help = "experts of a token whose rows are scored; auto: 8, or all if there are fewer",
    .kind = LSPO_RECORD_I32,
    .preset = LSPO_MEFT_AUTO,
    .low = 1,
    .high_of = experts_given,
    .high_is = "--experts",
    .affects = LSPO_AFFECTS_BOTH,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

static const lspo_parameter_t alike = {
    .key = "alike",
    .value = "RHO",
    .help = "how alike two tokens of a batch are where they choose rows: the more, the fewer rows they use; the trace "
            "of a short `lspo run` tells it ('alike by rows')",
    .kind = LSPO_RECORD_REAL,
    .low = 0,
    .high = LSPO_MEFT_ALIKE_MAX,
    .affects = LSPO_AFFECTS_PLAN,
};

static const lspo_parameter_use_t uses[] = {
    {&adapter_width, offsetof(lspo_meft_values_t, adapter_width), true, NULL},
    {&experts, offsetof(lspo_meft_values_t, experts), true, NULL},
    {&probes, offsetof(lspo_meft_values_t, probes), true, NULL},
    {&keys, offsetof(lspo_meft_values_t, keys), true, NULL},
    {&alike, offsetof(lspo_meft_values_t, alike), false, NULL},
};
const lspo_parameters_t lspo_meft_parameters = LSPO_PARAMETERS(uses, lspo_meft_values_t);

const lspo_policy_t lspo_policy_meft = {
    .name = "meft",
    .help = "a wide adapter beside each MLP, on the CPU with its optimizer; only the rows that a batch uses cross the "
            "link; the weights are frozen",
    .citation = "Hao et al., MEFT, ACL 2024, arXiv 2406.04984",
    .example = "lspo sim --policy meft --model llama-7b --machine rtx4090 --adapter-width 3600",
    .parameters = &lspo_meft_parameters,
    .semantics = LSPO_SEMANTICS_COMPRESSED,
    .clip_help = "norm of the gradients of the rows in use; a barrier before the updates",
    .stands_apart = true,
    .gradient_form = LSPO_FORM_ROWS,
    .method = "meft",
    .return_form = LSPO_RETURN_PARAMETERS,
    .build = build,
    .resolve = resolve,
    .describe_message = describe_message,
    .describe_stage = describe_stage,
    .describe_work = describe_work,
};
