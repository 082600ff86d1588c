/* shared.c - see shared.h. */
#include "plan/policies/shared.h"

#include "plan/adam_basis.h"
#include "plan/optimizer_state.h"
#include "plan/policies/lsp.h"
#include "plan/policy.h"

static double layers_of_model(const lspo_parameter_context_t *context)
{
    return lspo_model_stage_count(context->model);
}

static double last_layer(const lspo_parameter_context_t *context)
{
    return lspo_model_stage_count(context->model) - 1.0;
}

double lspo_parameter_largest_dimension(const lspo_parameter_context_t *context)
{
    lspo_stage_t stage;
    lspo_model_stage(context->model, 1, &stage);
    uint32_t largest = 0;
    for (uint32_t i = 0; i < stage.linear_count; i++) {
        const lspo_tensor_t *tensor = &stage.tensors[i];
        largest = tensor->rows > largest ? tensor->rows : largest;
        largest = tensor->cols > largest ? tensor->cols : largest;
    }
    return largest;
}

const lspo_parameter_t lspo_parameter_transition = {
    .key = "transition",
    .value = "auto|LAYER",
    .unit = "layers",
    .help = "layers up to LAYER are served last in, first out; deeper ones first in, first out; auto: the fastest by "
            "simulation",
    .kind = LSPO_RECORD_I32,
    .preset = LSPO_TRANSITION_AUTO,
    .high = LSPO_BLOCKS_MAX + 1,
    .high_of = last_layer,
    .high_is = "the model's last layer",
    .affects = LSPO_AFFECTS_PLAN,
    .column = 4,
};

const lspo_parameter_t lspo_parameter_gradient_buffers = {
    .key = "gradient-buffers",
    .value = "N",
    .unit = "layers",
    .help = "layers whose gradients may wait on the GPU for the link; 1: each copy blocks backward; 0: no limit; sums "
            "of --accumulation that stay on the GPU are never limited",
    .kind = LSPO_RECORD_U32,
    .preset = 2,
    .high = LSPO_BLOCKS_MAX,
    .affects = LSPO_AFFECTS_PLAN,
};

static const char *const accumulate_on_names[] = {"gpu", "host", NULL};

const lspo_parameter_t lspo_parameter_accumulate_on = {
    .key = "accumulate-on",
    .value = "gpu|host",
    .help = "where the gradients of --accumulation's micro-batches wait for the next one; host: they leave the GPU and "
            "come back, as in DeepSpeed",
    .kind = LSPO_RECORD_NAMED,
    .names = accumulate_on_names,
    .preset = LSPO_ACCUMULATE_ON_GPU,
    .affects = LSPO_AFFECTS_PLAN,
};

/* Backward reaches the first layers last, and the next forward needs them first, so that nothing else of a step can
 * hide their gradients' way to the CPU and back; and their state on the GPU is of no use before the backward pass ends,
 * so that updates as those of native cost no time that a lane waits for. */
const lspo_parameter_t lspo_parameter_native_layers = {
    .key = "native-layers",
    .value = "N",
    .unit = "layers",
    .help = "the first N layers, of which the embedding is the first, have their optimizer state on the GPU, which "
            "updates them in full, as native",
    .kind = LSPO_RECORD_U32,
    .high = LSPO_BLOCKS_MAX + 2,
    .high_of = layers_of_model,
    .high_is = "the model's number of layers",
    .affects = LSPO_AFFECTS_BOTH,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

const lspo_parameter_t lspo_parameter_chunk_bytes = {
    .key = "chunk-bytes",
    .value = "SIZE",
    .unit = "bytes",
    .help = "a layer's message crosses the link in parts of at most SIZE, which the CPU updates one after the other as "
            "they arrive; others may overtake between two parts; 0: whole",
    .kind = LSPO_RECORD_REAL,
    .quantity = LSPO_UNIT_BYTES,
    .affects = LSPO_AFFECTS_PLAN,
};

static const char *const speculate_names[] = {"off", "on", NULL};

const lspo_parameter_t lspo_parameter_speculate_clip = {
    .key = "speculate-clip",
    .value = "off|on",
    .help =
        "with --clip, the CPU updates as gradients arrive, before their norm is known, into a second copy of weights "
        "and state (12 bytes of host memory each), and does it again where the step clips",
    .kind = LSPO_RECORD_NAMED,
    .names = speculate_names,
    .preset = LSPO_SPECULATE_OFF,
    .affects = LSPO_AFFECTS_PLAN,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

/* Nobody knows before a training how often it clips: unless told, predictions promise nothing. */
const lspo_parameter_t lspo_parameter_clip_every = {
    .key = "clip-every",
    .value = "N",
    .unit = "steps",
    .help = "with --speculate-clip on, predictions assume that one of N steps clips; 0: none.  Changes no run",
    .kind = LSPO_RECORD_U32,
    .preset = 1,
    .high = LSPO_STEPS_MAX,
    .affects = LSPO_AFFECTS_PLAN,
};

const lspo_parameter_t lspo_parameter_rank = {
    .key = "rank",
    .value = "N",
    .help = "rank of each weight's adapter or basis",
    .kind = LSPO_RECORD_U32,
    .preset = 16,
    .low = 1,
    .high_of = lspo_parameter_largest_dimension,
    .high_is = "the model's largest dimension",
    .affects = LSPO_AFFECTS_BOTH,
    .arrays = LSPO_ARRAYS_BY_VALUE,
    .column = 3,
};

const lspo_parameter_t lspo_parameter_optimizer_state = {
    .key = "optimizer-state",
    .value = "fp32|bf16|8bit",
    .help =
        "format of Adam's m and v; with fp32, 16-bit weights have an fp32 copy, without it they are rounded randomly; "
        "8bit: in blocks of 256",
    .kind = LSPO_RECORD_NAMED,
    .names = lspo_optimizer_state_names,
    .preset = LSPO_OPTIMIZER_STATE_FP32,
    .affects = LSPO_AFFECTS_BOTH,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

static double basis_of_training(const lspo_parameter_context_t *context)
{
    bool eigen = context->training && lspo_lsp_values_of(context->workload)->subspace <= context->policy->eigen_most;
    return eigen ? LSPO_ADAM_BASIS_EIGEN : LSPO_ADAM_BASIS_PLAIN;
}

const lspo_parameter_t lspo_parameter_adam_basis = {
    .key = "adam-basis",
    .value = "plain|fixed|eigen",
    .help = "coordinates of Adam for each linear weight: its own; the eigenbasis of its first gradient; that of its "
            "gradients' running second moments (SOAP, arXiv 2409.11321; lsp: in the whitened subspace)",
    .kind = LSPO_RECORD_NAMED,
    .names = lspo_adam_basis_names,
    .preset_of = basis_of_training,
    .preset_is = "plain; train: eigen under lsp up to --subspace 256",
    .unnamed = "plain",
    .affects = LSPO_AFFECTS_BOTH,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

const lspo_parameter_t lspo_parameter_basis_every = {
    .key = "basis-every",
    .value = "N",
    .unit = "steps",
    .help = "steps between renewals of each layer's eigenbasis, layer after layer, with --adam-basis eigen",
    .kind = LSPO_RECORD_U32,
    .preset = 10,
    .low = 1,
    .affects = LSPO_AFFECTS_BOTH,
};

static const lspo_parameter_use_t offload_uses[] = {
    {&lspo_parameter_gradient_buffers, offsetof(lspo_offload_values_t, gradient_buffers), false, NULL},
    {&lspo_parameter_accumulate_on, offsetof(lspo_offload_values_t, accumulate_on), false, NULL},
    {&lspo_parameter_optimizer_state, offsetof(lspo_offload_values_t, optimizer_state), true, NULL},
    {&lspo_parameter_native_layers, offsetof(lspo_offload_values_t, native_layers), false, NULL},
    {&lspo_parameter_chunk_bytes, offsetof(lspo_offload_values_t, chunk_bytes), false, NULL},
};
const lspo_parameters_t lspo_offload_parameters = LSPO_PARAMETERS(offload_uses, lspo_offload_values_t);

static const lspo_parameter_use_t layerwise_uses[] = {
    {&lspo_parameter_transition, offsetof(lspo_layerwise_values_t, transition), false, NULL},
    {&lspo_parameter_gradient_buffers, offsetof(lspo_layerwise_values_t, gradient_buffers), false, NULL},
    {&lspo_parameter_accumulate_on, offsetof(lspo_layerwise_values_t, accumulate_on), false, NULL},
    {&lspo_parameter_optimizer_state, offsetof(lspo_layerwise_values_t, optimizer_state), true, NULL},
    {&lspo_parameter_native_layers, offsetof(lspo_layerwise_values_t, native_layers), false, NULL},
    {&lspo_parameter_chunk_bytes, offsetof(lspo_layerwise_values_t, chunk_bytes), false, NULL},
    {&lspo_parameter_speculate_clip, offsetof(lspo_layerwise_values_t, speculate_clip), false, NULL},
    {&lspo_parameter_clip_every, offsetof(lspo_layerwise_values_t, clip_every), false, NULL},
};
const lspo_parameters_t lspo_layerwise_parameters = LSPO_PARAMETERS(layerwise_uses, lspo_layerwise_values_t);
