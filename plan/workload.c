/* workload.c - the fields of a workload, their defaults and their ranges. */
#include "plan/workload.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/names.h"
#include "plan/policy.h"

enum { TOKENS_MAX = 1 << 26 };

/* No single buffer or sum over the stages may come near 2^63 bytes. */
static const double activation_elements_max = 0x1p46;

const char *const lspo_lane_order_names[] = {"policy", "auto", NULL};
static const char *const train_rest_names[] = {"auto", "on", "off"};

#define FIELD(flag, field, kind_name)                                                                                  \
    .name = flag, .offset_bytes = offsetof(lspo_workload_t, field), .kind = LSPO_RECORD_##kind_name

/* Recomputed and swapped activations are the same to the bit. */
const lspo_record_field_t lspo_workload_fields[] = {
    {FIELD("batch", batch, U32)},
    {FIELD("sequence", sequence, U32)},
    {FIELD("precision", precision, NAMED), .names = lspo_precision_names},
    {FIELD("transfer", transfer, NAMED), .names = lspo_precision_names},
    {FIELD("checkpointing", checkpointing, BOOL), .free = true},
    {FIELD("swap-activations", swap_activations, U32), .free = true},
    {FIELD("iterations", iterations, U32), .free = true},
    {FIELD("accumulation", accumulation, U32)},
    {FIELD("clip", clip_norm, REAL)},
    {FIELD("order", order, NAMED), .names = lspo_lane_order_names, .free = true},
    {FIELD("train-rest", train_rest, NAMED), .names = train_rest_names},
    {FIELD("first-step", first_step, U32), .free = true, .hidden = true}, /* of a segment */
    {FIELD("open-end", open_end, BOOL), .free = true, .hidden = true},
    {FIELD("seed", seed, U64)},
    {FIELD("learning-rate", learning_rate, REAL)},
    {FIELD("loss-scale", loss_scale, SCALE)},
    {FIELD("weight-decay", weight_decay, REAL)},
    {FIELD("adam-epsilon", adam_epsilon, REAL)},
    {FIELD("adam-root-epsilon", adam_root_epsilon, REAL)},
    {FIELD("identity-projectors", identity_projectors, BOOL), .hidden = true},
};
const size_t lspo_workload_field_count = sizeof lspo_workload_fields / sizeof lspo_workload_fields[0];

void lspo_workload_default(lspo_workload_t *workload_out)
{
    *workload_out = (lspo_workload_t){
        .batch = 4,
        .sequence = 512,
        .precision = LSPO_FP16,
        .transfer = LSPO_FP16,
        .checkpointing = true,
        .iterations = 8,
        .accumulation = 1,
        .train_rest = LSPO_TRAIN_REST_AUTO,
        .seed = 1,
        .learning_rate = 1e-4,
        .adam_epsilon = 1e-8,
    };
    for (uint32_t i = 0; i < lspo_any_policy_count(); i++)
        lspo_policy_set_defaults(lspo_any_policy_at(i), NULL, false, workload_out);
}

static lspo_status_t check_range(const char *flag, int64_t value, int64_t low, int64_t high)
{
    if (value < low || value > high)
        return lspo_error(LSPO_ERR_INPUT, "%s %" PRId64 " is outside %" PRId64 "..%" PRId64, flag, value, low, high);
    return LSPO_OK;
}

static double activation_elements_per_token(const lspo_workload_t *workload, const lspo_model_t *model)
{
    return 32.0 * model->width + 8.0 * model->mlp_width + model->vocabulary +
           (double)model->head_count * workload->sequence;
}

uint32_t lspo_workload_batch_most(const lspo_workload_t *workload, const lspo_model_t *model)
{
    double per_batch = activation_elements_per_token(workload, model) * workload->sequence;
    return (uint32_t)fmin(activation_elements_max / per_batch, TOKENS_MAX / workload->sequence);
}

static lspo_status_t check_sizes(const lspo_workload_t *workload, const lspo_model_t *model)
{
    lspo_status_t status = check_range("--sequence", workload->sequence, 1, model->max_sequence);
    if (status != LSPO_OK)
        return status;
    return check_range("--batch", workload->batch, 1, lspo_workload_batch_most(workload, model));
}

/* A block's activations are on the GPU while it computes. */
static lspo_status_t check_swap(const lspo_workload_t *workload, const lspo_model_t *model)
{
    if (workload->swap_activations < model->block_count)
        return LSPO_OK;
    return lspo_error(LSPO_ERR_INPUT,
                      "--swap-activations %" PRIu32 " is outside 0..%" PRIu32
                      ": the GPU must hold the activations of one of the model's %" PRIu32 " blocks",
                      workload->swap_activations, model->block_count - 1, model->block_count);
}

static lspo_status_t check_schedule(const lspo_workload_t *workload)
{
    lspo_status_t status = check_range("--iterations", workload->iterations, 1, LSPO_STEPS_MAX);
    if (status != LSPO_OK)
        return status;
    return check_range("--accumulation", workload->accumulation, 1, LSPO_MICROS_MAX);
}

static lspo_status_t check_loss_scale(const lspo_workload_t *workload)
{
    int exponent;
    double scale = workload->loss_scale;
    if (scale == LSPO_LOSS_SCALE_AUTO)
        return LSPO_OK;
    if (scale == LSPO_LOSS_SCALE_DYNAMIC && !(workload->clip_norm > 0))
        return lspo_error(
            LSPO_ERR_INPUT,
            "--loss-scale dynamic needs --clip, because only the norm shows an overflow before the first update");
    if (scale != LSPO_LOSS_SCALE_DYNAMIC &&
        !(scale >= 1 && scale <= LSPO_LOSS_SCALE_LARGEST && frexp(scale, &exponent) == 0.5))
        return lspo_error(LSPO_ERR_INPUT, "--loss-scale %g is neither auto, dynamic nor a power of two from 1 to %.0f",
                          scale, LSPO_LOSS_SCALE_LARGEST);
    return LSPO_OK;
}

static lspo_status_t check_training(const lspo_workload_t *workload)
{
    if (!isfinite(workload->weight_decay) || workload->weight_decay < 0.0) {
        return lspo_error(LSPO_ERR_INPUT, "--weight-decay %g must be a finite number of at least 0",
                          workload->weight_decay);
    }
    if (!(workload->adam_epsilon >= 0 && workload->adam_epsilon <= 1))
        return lspo_error(LSPO_ERR_INPUT, "--adam-epsilon %g is outside 0..1", workload->adam_epsilon);
    if (!(workload->adam_root_epsilon >= 0 && workload->adam_root_epsilon <= 1))
        return lspo_error(LSPO_ERR_INPUT, "--adam-root-epsilon %g is outside 0..1", workload->adam_root_epsilon);
    if (workload->first_step > UINT32_MAX - workload->iterations) {
        return lspo_error(LSPO_ERR_INPUT, "step %" PRIu32 " and %" PRIu32 " more are beyond 32 bits",
                          workload->first_step, workload->iterations);
    }
    return check_loss_scale(workload);
}

lspo_status_t lspo_workload_check(const lspo_workload_t *workload, const lspo_model_t *model)
{
    if ((unsigned)workload->precision >= LSPO_PRECISION_COUNT || (unsigned)workload->transfer >= LSPO_PRECISION_COUNT ||
        (unsigned)workload->train_rest > LSPO_TRAIN_REST_OFF) {
        return lspo_error(LSPO_ERR_INPUT, "--precision, --transfer or --train-rest has an unknown value");
    }
    lspo_status_t status = check_sizes(workload, model);
    if (status != LSPO_OK)
        return status;
    status = check_swap(workload, model);
    if (status != LSPO_OK)
        return status;
    status = check_schedule(workload);
    if (status != LSPO_OK)
        return status;
    if (!isfinite(workload->clip_norm) || workload->clip_norm < 0.0)
        return lspo_error(LSPO_ERR_INPUT, "--clip %g must be a finite number of at least 0", workload->clip_norm);
    status = check_training(workload);
    if (status != LSPO_OK)
        return status;
    if (!isfinite(workload->learning_rate) || workload->learning_rate < 0.0) {
        return lspo_error(LSPO_ERR_INPUT, "--learning-rate %g must be a finite number of at least 0",
                          workload->learning_rate);
    }
    return LSPO_OK;
}

uint64_t lspo_workload_tokens(const lspo_workload_t *workload)
{
    return (uint64_t)workload->batch * workload->sequence;
}
