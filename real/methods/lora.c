/* lora.c - low-rank adapters: W is frozen, UPD_GPU runs Adam on the factors A (m x r) and B (n x r) of each linear
 * weight: Y = X W + b + s (X A) B^T. */
#include <math.h>
#include <stdlib.h>

#include "kernels/gemm.h"
#include "kernels/random.h"
#include "plan/policies/lora.h"
#include "real/methods/eigen.h"
#include "real/methods/methods.h"

typedef struct {
    lspo_eigen_scratch_t eigen;
    void *scratch; /* device: X A and dY B; shared, since blocks are alike and run one at a time */
} lora_t;

typedef struct {
    lspo_eigen_t eigen; /* of the factors */
    lspo_gpu_adam_t gpu;
    void *factors; /* device: A and B of each linear weight, as in the message */
    lspo_adapters_t adapters;
} lora_stage_t;

static lora_stage_t *stage_of(const lspo_session_t *session, uint32_t s)
{
    return session->stages[s].own;
}

/* The number of elements in the first part of the message, which belongs to the linear weights: that of the factors. */
static size_t factor_count(const lspo_session_stage_t *stage)
{
    return stage->message.element_count - stage->message.rest_elements;
}

static void describe(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++)
        lspo_gpu_adam_describe(session, &session->stages[s], true, &stage_of(session, s)->gpu);
}

static lspo_status_t make_adapters(lspo_session_t *session, lspo_session_stage_t *stage)
{
    lora_t *lora = session->own;
    lora_stage_t *own = stage->own;
    const lspo_lora_values_t *values = lspo_lora_values_of(&session->plan->workload);
    lspo_status_t status = lspo_session_take(session, factor_count(stage) * session->number_bytes, &own->factors);
    if (status != LSPO_OK)
        return status;
    if (!lora->scratch)
        status = lspo_session_take(session, 2 * session->tokens * values->rank * session->number_bytes, &lora->scratch);
    if (status != LSPO_OK)
        return status;
    own->adapters = (lspo_adapters_t){
        .factors = own->factors, .rank = values->rank, .scale = (float)values->scaling, .scratch = lora->scratch};
    stage->adapters = &own->adapters;
    return LSPO_OK;
}

static lspo_status_t take_device(lspo_session_t *session, uint32_t s)
{
    lspo_session_stage_t *stage = &session->stages[s];
    lspo_status_t status = lspo_gpu_adam_take(session, stage, &stage_of(session, s)->gpu);
    if (status != LSPO_OK)
        return status;
    status = lspo_eigen_take_device(session, s, &stage_of(session, s)->eigen);
    if (status != LSPO_OK)
        return status;
    if (stage->message.linear_count > 0)
        status = make_adapters(session, stage);
    return status;
}

static lspo_status_t create(lspo_session_t *session)
{
    return lspo_eigen_take_device_scratch(session, &((lora_t *)session->own)->eigen);
}

/* A ~ N(0, 1 / m), so that X A of a normalised X is of order one; B = 0, so that training starts at the frozen
 * model. */
static lspo_status_t seed_adapters(lspo_session_t *session, uint32_t s)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    const lora_stage_t *own = stage_of(session, s);
    size_t rank = lspo_lora_values_of(&session->plan->workload)->rank, count = factor_count(stage);
    float *factors = calloc(count + 1, sizeof *factors);
    if (!factors)
        return lspo_no_memory("the first adapters of stage %u", s);
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_projection_t *linear = &stage->message.linear[i];
        uint64_t stream = ((uint64_t)s << 8) | 0x80U | i; /* apart from those of the weights, real/transformer/init.c */
        lspo_random_normal_fill(session->plan->workload.seed, stream, 1.0 / sqrt((double)linear->rows),
                                linear->rows * rank, factors + linear->message_offset_elements);
    }
    lspo_status_t status = lspo_session_write_numbers(session, count, factors, own->factors);
    if (status != LSPO_OK)
        goto cleanup;
    status = lspo_gpu_adam_write_master(session, &own->gpu, 0, count, factors);
cleanup:
    free(factors);
    return status;
}

static lspo_status_t reset(lspo_session_t *session)
{
    lspo_status_t status = LSPO_OK;
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_gpu_adam_clear(session, &stage_of(session, s)->gpu);
        lspo_eigen_begin(session, s, &stage_of(session, s)->eigen);
        if (stage_of(session, s)->factors)
            status = seed_adapters(session, s);
        if (status != LSPO_OK)
            return status;
    }
    return LSPO_OK;
}

static void release(lspo_session_t *session)
{
    for (uint32_t s = 0; s < session->stage_count; s++) {
        lspo_eigen_give_back(session, &stage_of(session, s)->eigen);
        lspo_gpu_adam_give_back(session, &stage_of(session, s)->gpu);
        lspo_session_give_back(session, &stage_of(session, s)->factors);
    }
    lspo_eigen_give_back_scratch(session, &(lspo_eigen_scratch_t){0}, &((lora_t *)session->own)->eigen);
    lspo_session_give_back(session, &((lora_t *)session->own)->scratch);
}

/* For the rest of the message, if it is trained. */
static lspo_status_t weights_stored(lspo_session_t *session, uint32_t s, const float *weights)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    const lora_stage_t *own = stage_of(session, s);
    size_t factors = own->factors ? factor_count(stage) : 0;
    return lspo_gpu_adam_write_master(session, &own->gpu, factors, stage->message.element_count - factors,
                                      weights + (own->factors ? stage->linear_elements : 0));
}

static lspo_status_t begin_backward(lspo_session_t *session, const lspo_op_t *op, lspo_session_backward_t *backward)
{
    (void)session;
    (void)op;
    backward->sink.linear = NULL;
    backward->sink.adapters = backward->gradient;
    return LSPO_OK;
}

/* A part of the message: `n` numbers from number `at` on, which update `weights`. */
static void step_part(lspo_session_t *session, const lspo_op_t *op, size_t at, size_t n, void *weights)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const void *gradient = lspo_session_at(session, stage->gradient[lspo_session_parity(session, op)], at);
    lspo_adam_t adam = lspo_gpu_adam_of(session, op);
    const lspo_adam_state_t state = lspo_gpu_adam_at(session, op, &stage_of(session, op->layer)->gpu, at, n);
    lspo_compute_adam_parameters(session->compute, &adam, &state, gradient, weights);
}

/* In eigenbases the factors step along their directions. */
static void step_factors(lspo_session_t *session, const lspo_op_t *op)
{
    const lspo_session_stage_t *stage = &session->stages[op->layer];
    const lora_stage_t *own = stage_of(session, op->layer);
    float rate = lspo_session_rate(session, op);
    const lspo_vector_step_t along = {.keep = lspo_session_kept(session, rate), .rate = rate};
    size_t count = lspo_eigen_update_device(session, op, &own->gpu, &own->eigen, &((lora_t *)session->own)->eigen);
    lspo_compute_step_along(session->compute, count, &along, LSPO_NUMBER_FP32,
                            stage->gradient[lspo_session_parity(session, op)], own->factors);
}

/* The first part of the message updates the adapters; the rest, if trained, the stage's other tensors. */
static lspo_status_t update(lspo_session_t *session, const lspo_op_t *op)
{
    lspo_session_stage_t *stage = &session->stages[op->layer];
    const lora_stage_t *own = stage_of(session, op->layer);
    bool skips = lspo_session_skips_step(session, op, &session->norms);
    size_t factors = own->factors ? factor_count(stage) : 0, rest = stage->message.element_count - factors;
    if (!skips && own->eigen.device)
        step_factors(session, op);
    else if (!skips && factors > 0)
        step_part(session, op, 0, factors, own->factors);
    if (!skips && rest > 0)
        step_part(session, op, factors, rest, lspo_session_rest(session, stage));
    lspo_session_give_back(session, &stage->gradient[lspo_session_parity(session, op)]);
    return LSPO_OK;
}

/* W + s A B^T. */
static lspo_status_t merge(lspo_session_t *session, uint32_t s, float *out)
{
    const lspo_session_stage_t *stage = &session->stages[s];
    const lora_stage_t *own = stage_of(session, s);
    size_t rank = own->adapters.rank, count = factor_count(stage);
    if (!own->factors)
        return LSPO_OK;
    float *factors = malloc((count + 1) * sizeof *factors);
    if (!factors)
        return lspo_no_memory("a copy of the adapters");
    lspo_status_t status = lspo_session_read_numbers(session, count, own->factors, factors);
    if (status != LSPO_OK)
        goto cleanup;
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        const lspo_tensor_t *tensor = &stage->shape.tensors[i];
        const float *a = factors + stage->message.linear[i].message_offset_elements;
        const float *b = a + tensor->rows * rank;
        lspo_gemm_nt(tensor->rows, tensor->cols, rank, own->adapters.scale, a, rank, b, rank, 1,
                     out + tensor->offset_elements, tensor->cols);
    }
cleanup:
    free(factors);
    return status;
}

static void visit_stage(const lspo_session_t *session, uint32_t s, const char *name, lspo_state_walk_t *walk)
{
    const lora_stage_t *own = stage_of(session, s);
    lspo_gpu_adam_visit(&own->gpu, name, walk);
    lspo_eigen_visit(session, s, &own->eigen, name, walk);
    lspo_walk_device(walk, own->factors, factor_count(&session->stages[s]), lspo_state_type_of(session->number),
                     "%s.adapters", name);
}

const lspo_method_t lspo_method_lora = {
    .name = "lora",
    .state_bytes = sizeof(lora_t),
    .stage_bytes = sizeof(lora_stage_t),
    .describe = describe,
    .take_device = take_device,
    .create = create,
    .reset = reset,
    .release = release,
    .ops = {[LSPO_OP_UPD_GPU] = update},
    .begin_backward = begin_backward,
    .weights_stored = weights_stored,
    .merge = merge,
    .visit_stage = visit_stage,
};
