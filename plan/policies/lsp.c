/* lsp: LSP-Offload [Alg. 1, Fig. 3d].  Each block's gradient is compressed into its subspace on the GPU; the CPU runs
 * Adam there; the GPU adds P D Q^T.  Scheduled stage by stage around the transition. */
#include "plan/policies/lsp.h"
#include "plan/policies.h"
#include "plan/policies/shared.h"

static lspo_status_t build(lspo_builder_t *b)
{
    lspo_build_offloaded_memory(b, 1);
    return lspo_build_layerwise(b, lspo_lsp_values_of(b->workload)->transition);
}

static double subspace_of_model(const lspo_parameter_context_t *context)
{
    enum { USUAL = 512, BYTES = 256 };
    const lspo_model_t *model = context->model;
    uint32_t power = 1;
    if (model == NULL || (model->vocabulary > BYTES && model->width >= USUAL))
        return USUAL;
    while (power <= model->width / 4)
        power *= 2;
    return power;
}

static double subspace_given(const lspo_parameter_context_t *context)
{
    return lspo_lsp_values_of(context->workload)->subspace;
}

static double nnz_of_subspace(const lspo_parameter_context_t *context)
{
    return subspace_given(context) < 8 ? subspace_given(context) : 8;
}

static const char *const projectors_names[] = {
    [LSPO_PROJECTORS_WEIGHT] = "weight", [LSPO_PROJECTORS_SHAPE] = "shape", NULL};
static const char *const projector_values_names[] = {
    [LSPO_PROJECTOR_NORMAL] = "normal", [LSPO_PROJECTOR_SIGN] = "sign", NULL};

static const lspo_parameter_t subspace = {
    .key = "subspace",
    .value = "D",
    .help = "d: each weight's gradient is compressed to d x d",
    .kind = LSPO_RECORD_U32,
    .preset_of = subspace_of_model,
    .preset_is = "512; if byte-level or narrower: width / 2, rounded down to a power of two",
    .low = 1,
    .high_of = lspo_parameter_largest_dimension,
    .high_is = "the model's largest dimension",
    .affects = LSPO_AFFECTS_BOTH,
    .arrays = LSPO_ARRAYS_BY_VALUE,
    .column = 1,
};

static const lspo_parameter_t nnz = {
    .key = "nnz",
    .value = "R",
    .unit = "nonzeros per row",
    .help = "r: nonzeros in each row of a projector",
    .kind = LSPO_RECORD_U32,
    .preset_of = nnz_of_subspace,
    .preset_is = "8, at most d",
    .low = 1,
    .high_of = subspace_given,
    .high_is = "the subspace",
    .affects = LSPO_AFFECTS_BOTH,
    .arrays = LSPO_ARRAYS_BY_VALUE,
    .column = 2,
};

static const char *const products_by_names[] = {
    [LSPO_PRODUCTS_AUTO] = "auto", [LSPO_PRODUCTS_SPARSE] = "sparse", [LSPO_PRODUCTS_DENSE] = "dense", NULL};

const lspo_parameter_t lspo_parameter_compress_by = {
    .key = "compress-by",
    .value = "auto|sparse|dense",
    .help = "products of projectors with inputs and gradients: by sparse kernels, or by dense products of projectors "
            "that are written out; auto: dense where the machine's profile says that it is faster, or with lsp-paper",
    .kind = LSPO_RECORD_NAMED,
    .names = products_by_names,
    .preset = LSPO_PRODUCTS_AUTO,
    .affects = LSPO_AFFECTS_BOTH,
};

const lspo_parameter_t lspo_parameter_apply_by = {
    .key = "apply-by",
    .value = "auto|sparse|dense",
    .help = "products of projectors with the subspace's step; as --compress-by",
    .kind = LSPO_RECORD_NAMED,
    .names = products_by_names,
    .preset = LSPO_PRODUCTS_AUTO,
    .affects = LSPO_AFFECTS_BOTH,
};

const lspo_parameter_t lspo_parameter_check_every = {
    .key = "check-every",
    .value = "N",
    .unit = "steps",
    .help = "steps between checks of the projectors' bias; 0: projectors stay random. Checks and fits use single "
            "micro-batches, not the accumulated gradient",
    .kind = LSPO_RECORD_U32,
    .affects = LSPO_AFFECTS_BOTH,
    .arrays = LSPO_ARRAYS_BY_USE,
};

static const lspo_parameter_t first_check = {
    .key = "first-check",
    .value = "N",
    .unit = "steps",
    .help = "steps before the first check of the projectors, which are random until then",
    .kind = LSPO_RECORD_U32,
    .affects = LSPO_AFFECTS_BOTH,
};

static const lspo_parameter_t bias_threshold = {
    .key = "bias-threshold",
    .value = "ALPHA",
    .help = "projectors whose bias is above ALPHA are fitted again",
    .kind = LSPO_RECORD_REAL,
    .preset = 0.3,
    .affects = LSPO_AFFECTS_BOTH,
};

static const lspo_parameter_t fit_steps = {
    .key = "fit-steps",
    .value = "N",
    .unit = "steps",
    .help = "Adam steps per fit, divided among its micro-batches",
    .kind = LSPO_RECORD_U32,
    .preset = 100,
    .low = 1,
    .high = LSPO_STEPS_MAX,
    .affects = LSPO_AFFECTS_BOTH,
};

static const lspo_parameter_t fit_batches = {
    .key = "fit-batches",
    .value = "N",
    .unit = "micro-batches",
    .help = "micro-batches per projector check: one measures the bias, one accepts or rejects the fit, the rest are "
            "fitted to",
    .kind = LSPO_RECORD_U32,
    .preset = 8,
    .low = 3,
    .high = LSPO_MICROS_MAX,
    .affects = LSPO_AFFECTS_BOTH,
};

static const lspo_parameter_t fit_beta = {
    .key = "fit-beta",
    .value = "BETA",
    .help = "weight of the projectors' norms in the loss that a fit minimises",
    .kind = LSPO_RECORD_REAL,
    .preset = 1e-4,
    .affects = LSPO_AFFECTS_NUMBERS,
};

static const lspo_parameter_t projectors = {
    .key = "projectors",
    .value = "weight|shape",
    .help = "a pair of projectors for each weight, or one pair for all weights of the same shape",
    .kind = LSPO_RECORD_NAMED,
    .names = projectors_names,
    .preset = LSPO_PROJECTORS_WEIGHT,
    .affects = LSPO_AFFECTS_BOTH,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

static const lspo_parameter_t projector_values = {
    .key = "projector-values",
    .value = "normal|sign",
    .help = "initial values of projectors: normally distributed, or random signs",
    .kind = LSPO_RECORD_NAMED,
    .names = projector_values_names,
    .preset = LSPO_PROJECTOR_NORMAL,
    .affects = LSPO_AFFECTS_NUMBERS,
};

static const char *const basis_lane_names[] = {
    [LSPO_BASIS_LANE_AUTO] = "auto", [LSPO_BASIS_LANE_CPU] = "cpu", [LSPO_BASIS_LANE_GPU] = "gpu", NULL};

const lspo_parameter_t lspo_parameter_basis_lane = {
    .key = "basis-lane",
    .value = "auto|cpu|gpu",
    .help =
        "with --adam-basis fixed or eigen: the lane that turns gradients into the basis and steps out of it, in fp32 "
        "without --clip with the same result; auto: the faster one by simulation where a machine is named, or cpu",
    .kind = LSPO_RECORD_NAMED,
    .names = basis_lane_names,
    .preset = LSPO_BASIS_LANE_AUTO,
    .unnamed = "cpu",
    .affects = LSPO_AFFECTS_BOTH,
};

static const lspo_parameter_use_t uses[] = {
    {&subspace, offsetof(lspo_lsp_values_t, subspace), true, NULL},
    {&nnz, offsetof(lspo_lsp_values_t, nnz), true, NULL},
    {&lspo_parameter_compress_by, offsetof(lspo_lsp_values_t, compress_by), false, NULL},
    {&lspo_parameter_apply_by, offsetof(lspo_lsp_values_t, apply_by), false, NULL},
    /* A plan contains the complete calibration pass, regardless of what a check finds.  With a threshold of 0 every
     * check in a validation cell is followed by a fit. */
    {&lspo_parameter_check_every, offsetof(lspo_lsp_values_t, check_every), true, "--bias-threshold 0"},
    {&first_check, offsetof(lspo_lsp_values_t, first_check), false, NULL},
    {&bias_threshold, offsetof(lspo_lsp_values_t, bias_threshold), false, NULL},
    {&fit_steps, offsetof(lspo_lsp_values_t, fit_steps), false, NULL},
    {&fit_batches, offsetof(lspo_lsp_values_t, fit_batches), false, NULL},
    {&fit_beta, offsetof(lspo_lsp_values_t, fit_beta), false, NULL},
    {&projectors, offsetof(lspo_lsp_values_t, projectors), false, NULL},
    {&projector_values, offsetof(lspo_lsp_values_t, projector_values), false, NULL},
    {&lspo_parameter_adam_basis, offsetof(lspo_lsp_values_t, adam_basis), false, NULL},
    {&lspo_parameter_basis_every, offsetof(lspo_lsp_values_t, basis_every), false, NULL},
    {&lspo_parameter_basis_lane, offsetof(lspo_lsp_values_t, basis_lane), false, NULL},
    {&lspo_parameter_transition, offsetof(lspo_lsp_values_t, transition), false, NULL},
    {&lspo_parameter_native_layers, offsetof(lspo_lsp_values_t, native_layers), false, NULL},
    {&lspo_parameter_chunk_bytes, offsetof(lspo_lsp_values_t, chunk_bytes), false, NULL},
};
const lspo_parameters_t lspo_lsp_parameters = LSPO_PARAMETERS(uses, lspo_lsp_values_t);

/* For tests: every linear weight is compressed by P = Q = I, so its message is its whole gradient. */
static void identity_message(const lspo_stage_t *shape, bool train_rest, lspo_message_t *message)
{
    lspo_message_dense(shape, train_rest, message);
    for (uint32_t i = 0; i < message->linear_count; i++) {
        lspo_projection_t *l = &message->linear[i];
        l->compressed = true;
        l->d_rows = l->rows;
        l->d_cols = l->cols;
        l->nnz_rows = l->nnz_cols = 1;
    }
}

void lspo_lsp_message(const lspo_workload_t *workload, const lspo_stage_t *stage, bool train_rest,
                      lspo_message_t *message_out)
{
    const lspo_lsp_values_t *lsp = lspo_lsp_values_of(workload);
    if (workload->identity_projectors)
        identity_message(stage, train_rest, message_out);
    else
        lspo_message_projected(stage, lsp->subspace, lsp->nnz, train_rest, message_out);
}

const lspo_policy_t lspo_policy_lsp = {
    .name = "lsp",
    .help = "LSP-Offload: sparse projectors compress each gradient; Adam runs on the CPU in the d x d subspace, layer "
            "by layer; checks of the projectors use single micro-batches, not the accumulated gradient",
    .citation = "Chen et al., AAAI 2025, arXiv 2406.10181, Alg. 1",
    .example = "lspo sim --policy lsp --model llama-7b --machine rtx4090 --subspace 1024 --nnz 16",
    .parameters = &lspo_lsp_parameters,
    .semantics = LSPO_SEMANTICS_COMPRESSED,
    .periods = {{&lspo_parameter_check_every, 1, "checks of the projectors"}, LSPO_BASIS_PERIOD},
    .clip_help =
        "norm of the compressed gradients and of uncompressed ones (the full gradient is never formed); a barrier",
    .train_rest_default = false,
    .eigen_most =
        256, /* products of d^3 then take a small part of a step on the hosts of machines/, at 512 they do not */
    .gradient_form = LSPO_FORM_SUBSPACE,
    .method = "lsp",
    .return_form = LSPO_RETURN_DELTA,
    .build = build,
    .describe_message = lspo_lsp_message,
};
