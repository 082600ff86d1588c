#include "plan/workload.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/names.h"

enum { ITERATIONS_MAX = 1000000, ACCUMULATION_MAX = 65535, TOKENS_MAX = 1 << 26 };

/* No single buffer or sum over the stages may come near 2^63 bytes. */
static const double activation_elements_max = 0x1p46;

static const char *const precision_names[LSPO_PRECISION_COUNT] = {
    [LSPO_FP32] = "fp32", [LSPO_BF16] = "bf16", [LSPO_FP16] = "fp16"};

static const char *const train_rest_names[] = {"auto", "on", "off"};
static const char *const projectors_names[] = {"weight", "shape"};
static const char *const projector_values_names[] = {"normal", "sign"};

#define FIELD(flag, field, kind_name)                                                                                  \
    .name = flag, .offset_bytes = offsetof(lspo_workload_t, field), .kind = LSPO_RECORD_##kind_name

/* Recomputed activations are the same to the bit, and where an op waits does not change what it computes; but blocks
 * that stay on the GPU have their optimizer state there. */
const lspo_record_field_t lspo_workload_fields[] = {
    {FIELD("batch", batch, U32)},
    {FIELD("sequence", sequence, U32)},
    {FIELD("precision", precision, NAMED), .names = precision_names},
    {FIELD("transfer", transfer, NAMED), .names = precision_names},
    {FIELD("checkpointing", checkpointing, BOOL), .free = true},
    {FIELD("iterations", iterations, U32), .free = true},
    {FIELD("accumulation", accumulation, U32)},
    {FIELD("clip", clip_norm, REAL)},
    {FIELD("train-rest", train_rest, NAMED), .names = train_rest_names},
    {FIELD("subspace", subspace, U32)},
    {FIELD("nnz", nnz, U32)},
    {FIELD("rank", rank, U32)},
    {FIELD("project-every", project_every, U32)},
    {FIELD("critical", critical_fraction, REAL)},
    {FIELD("update-every", update_every, U32)},
    {FIELD("select-every", select_every, U32)},
    {FIELD("switch-every", switch_every, U32)},
    {FIELD("transition", transition, I32), .free = true},
    {FIELD("gradient-buffers", gradient_buffers, U32), .free = true},
    {FIELD("swap-slots", swap_slots, U32), .free = true},
    {FIELD("resident-blocks", resident_blocks, U32)},
    {FIELD("check-every", check_every, U32)},
    {FIELD("bias-threshold", bias_threshold, REAL)},
    {FIELD("fit-steps", fit_steps, U32)},
    {FIELD("fit-batches", fit_batches, U32)},
    {FIELD("projectors", projectors, NAMED), .names = projectors_names},
    {FIELD("projector-values", projector_values, NAMED), .names = projector_values_names},
    {FIELD("fit-beta", fit_beta, REAL)},
    {FIELD("first-step", first_step, U32), .free = true}, /* of a segment */
    {FIELD("open-end", open_end, BOOL), .free = true},
    {FIELD("seed", seed, U64)},
    {FIELD("learning-rate", learning_rate, REAL)},
    {FIELD("loss-scale", loss_scale, SCALE)},
    {FIELD("weight-decay", weight_decay, REAL)},
    {FIELD("identity-projectors", identity_projectors, BOOL)},
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
        .subspace = 512,
        .nnz = 8,
        .rank = 16,
        .project_every = 200,
        .switch_every = 50,
        .critical_fraction = 0.1,
        .update_every = 4,
        .select_every = 16,
        .transition = LSPO_TRANSITION_AUTO,
        .gradient_buffers = 2,
        .swap_slots = 2,
        .bias_threshold = 0.3,
        .fit_steps = 100,
        .fit_beta = 1e-4,
        .fit_batches = 8,
        .seed = 1,
        .learning_rate = 1e-4,
    };
}

static lspo_status_t check_range(const char *flag, int64_t value, int64_t low, int64_t high)
{
    if (value < low || value > high) {
        return lspo_error(LSPO_ERR_INPUT, "%s %" PRId64 " is outside %" PRId64 "..%" PRId64, flag, value, low, high);
    }
    return LSPO_OK;
}

/* The largest dimension of any weight that lsp may project. */
static uint32_t largest_dimension(const lspo_model_t *model)
{
    lspo_stage_t stage;
    lspo_model_stage(model, 1, &stage);
    uint32_t largest = 0;
    for (uint32_t i = 0; i < stage.linear_count; i++) {
        const lspo_tensor_t *tensor = &stage.tensors[i];
        largest = tensor->rows > largest ? tensor->rows : largest;
        largest = tensor->cols > largest ? tensor->cols : largest;
    }
    return largest;
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
    if (status != LSPO_OK) {
        return status;
    }
    return check_range("--batch", workload->batch, 1, lspo_workload_batch_most(workload, model));
}

static lspo_status_t check_subspaces(const lspo_workload_t *workload, const lspo_model_t *model)
{
    uint32_t largest = largest_dimension(model);
    if (workload->subspace < 1 || workload->subspace > largest) {
        return lspo_error(LSPO_ERR_INPUT,
                          "--subspace %" PRIu32 " is outside 1..%" PRIu32 ", the largest dimension of %s",
                          workload->subspace, largest, model->name);
    }
    if (workload->nnz < 1 || workload->nnz > workload->subspace) {
        return lspo_error(LSPO_ERR_INPUT, "--nnz %" PRIu32 " is outside 1..%" PRIu32 ", the subspace", workload->nnz,
                          workload->subspace);
    }
    if (workload->rank < 1 || workload->rank > largest) {
        return lspo_error(LSPO_ERR_INPUT, "--rank %" PRIu32 " is outside 1..%" PRIu32 ", the largest dimension of %s",
                          workload->rank, largest, model->name);
    }
    return LSPO_OK;
}

static lspo_status_t check_schedule(const lspo_workload_t *workload, const lspo_model_t *model)
{
    const struct {
        const char *flag;
        int64_t value, low, high;
    } ranges[] = {
        {"--iterations", workload->iterations, 1, ITERATIONS_MAX},
        {"--accumulation", workload->accumulation, 1, ACCUMULATION_MAX},
        {"--project-every", workload->project_every, 1, UINT32_MAX},
        {"--switch-every", workload->switch_every, 1, UINT32_MAX},
        {"--update-every", workload->update_every, 1, ITERATIONS_MAX},
        {"--select-every", workload->select_every, 1, ITERATIONS_MAX},
        {"--transition", workload->transition, LSPO_TRANSITION_AUTO, lspo_model_stage_count(model) - 1},
        {"--swap-slots", workload->swap_slots, 1, LSPO_BLOCKS_MAX},
        {"--gradient-buffers", workload->gradient_buffers, 0, LSPO_BLOCKS_MAX},
        {"--resident-blocks", workload->resident_blocks, 0, model->block_count},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        lspo_status_t status = check_range(ranges[i].flag, ranges[i].value, ranges[i].low, ranges[i].high);
        if (status != LSPO_OK) {
            return status;
        }
    }
    return LSPO_OK;
}

static const double loss_scale_largest = 0x1p24;

static lspo_status_t check_loss_scale(const lspo_workload_t *workload)
{
    int exponent;
    double scale = workload->loss_scale;
    if (scale == LSPO_LOSS_SCALE_AUTO)
        return LSPO_OK;
    if (scale == LSPO_LOSS_SCALE_DYNAMIC && !(workload->clip_norm > 0))
        return lspo_error(LSPO_ERR_INPUT,
                          "--loss-scale dynamic needs --clip: only the norm tells of an overflow before "
                          "the first update");
    if (scale != LSPO_LOSS_SCALE_DYNAMIC &&
        !(scale >= 1 && scale <= loss_scale_largest && frexp(scale, &exponent) == 0.5))
        return lspo_error(LSPO_ERR_INPUT, "--loss-scale %g is neither auto, dynamic nor a power of two from 1 to %.0f",
                          scale, loss_scale_largest);
    return LSPO_OK;
}

lspo_status_t lspo_loss_scale_parse(const char *what, const char *text, double *scale_out)
{
    char *end;
    double scale = strtod(text, &end);
    if (strcmp(text, "auto") == 0)
        scale = LSPO_LOSS_SCALE_AUTO;
    else if (strcmp(text, "dynamic") == 0)
        scale = LSPO_LOSS_SCALE_DYNAMIC;
    else if (end == text || *end != 0 || !(scale >= 1))
        return lspo_error(LSPO_ERR_INPUT, "%s '%s' is neither auto, dynamic nor a power of two from 1 to %.0f", what,
                          text, loss_scale_largest);
    *scale_out = scale;
    return LSPO_OK;
}

void lspo_loss_scale_format(double scale, char *text, size_t capacity)
{
    if (scale == LSPO_LOSS_SCALE_AUTO)
        snprintf(text, capacity, "auto");
    else if (scale == LSPO_LOSS_SCALE_DYNAMIC)
        snprintf(text, capacity, "dynamic");
    else
        snprintf(text, capacity, "%.0f", scale);
}

static lspo_status_t check_training(const lspo_workload_t *workload)
{
    if (!(workload->critical_fraction > 0.0 && workload->critical_fraction <= 1.0)) {
        return lspo_error(LSPO_ERR_INPUT, "--critical %g is not above 0 and at most 1", workload->critical_fraction);
    }
    const struct {
        const char *flag;
        double value;
    } amounts[] = {{"--bias-threshold", workload->bias_threshold},
                   {"--fit-beta", workload->fit_beta},
                   {"--weight-decay", workload->weight_decay}};
    for (size_t i = 0; i < sizeof amounts / sizeof amounts[0]; i++) {
        if (!isfinite(amounts[i].value) || amounts[i].value < 0.0) {
            return lspo_error(LSPO_ERR_INPUT, "%s %g is not a finite number of at least 0", amounts[i].flag,
                              amounts[i].value);
        }
    }
    if (workload->first_step > UINT32_MAX - workload->iterations) {
        return lspo_error(LSPO_ERR_INPUT, "step %" PRIu32 " and %" PRIu32 " more are beyond 32 bits",
                          workload->first_step, workload->iterations);
    }
    lspo_status_t status = check_loss_scale(workload);
    if (status == LSPO_OK)
        status = check_range("--fit-batches", workload->fit_batches, 3, ACCUMULATION_MAX);
    return status == LSPO_OK ? check_range("--fit-steps", workload->fit_steps, 1, ITERATIONS_MAX) : status;
}

lspo_status_t lspo_workload_check(const lspo_workload_t *workload, const lspo_model_t *model)
{
    if ((unsigned)workload->precision >= LSPO_PRECISION_COUNT || (unsigned)workload->transfer >= LSPO_PRECISION_COUNT ||
        (unsigned)workload->train_rest > LSPO_TRAIN_REST_OFF ||
        (unsigned)workload->projectors > LSPO_PROJECTORS_SHAPE ||
        (unsigned)workload->projector_values > LSPO_PROJECTOR_SIGN) {
        return lspo_error(
            LSPO_ERR_INPUT,
            "--precision, --transfer, --train-rest, --projectors or --projector-values holds no known value");
    }
    lspo_status_t status = check_sizes(workload, model);
    if (status != LSPO_OK) {
        return status;
    }
    status = check_subspaces(workload, model);
    if (status != LSPO_OK) {
        return status;
    }
    status = check_schedule(workload, model);
    if (status != LSPO_OK) {
        return status;
    }
    if (!isfinite(workload->clip_norm) || workload->clip_norm < 0.0) {
        return lspo_error(LSPO_ERR_INPUT, "--clip %g is not a finite number of at least 0", workload->clip_norm);
    }
    status = check_training(workload);
    if (status != LSPO_OK) {
        return status;
    }
    if (!isfinite(workload->learning_rate) || workload->learning_rate < 0.0) {
        return lspo_error(LSPO_ERR_INPUT, "the learning rate %g is not a finite number of at least 0",
                          workload->learning_rate);
    }
    return LSPO_OK;
}

uint32_t lspo_workload_fit_share(const lspo_workload_t *workload)
{
    uint32_t batches = workload->fit_batches - 2;
    return (workload->fit_steps + batches - 1) / batches;
}

uint64_t lspo_workload_tokens(const lspo_workload_t *workload)
{
    return (uint64_t)workload->batch * workload->sequence;
}

uint32_t lspo_precision_bytes(lspo_precision_t precision)
{
    return precision == LSPO_FP32 ? 4 : 2;
}

const char *lspo_precision_name(lspo_precision_t precision)
{
    return (unsigned)precision < LSPO_PRECISION_COUNT ? precision_names[precision] : "?";
}

lspo_status_t lspo_precision_parse(const char *what, const char *text, lspo_precision_t *precision_out)
{
    for (int i = 0; i < LSPO_PRECISION_COUNT; i++) {
        if (strcmp(text, precision_names[i]) == 0) {
            *precision_out = (lspo_precision_t)i;
            return LSPO_OK;
        }
    }
    return lspo_name_refuse(what, text, precision_names, LSPO_PRECISION_COUNT, NULL);
}
