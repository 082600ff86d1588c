/* lora: W is frozen; adapters A (m x r) and B (n x r) are trained on the GPU: Y = X W + s (X A) B^T with
 * s = alpha / r (--lora-scaling).  The schedule is native's.
 *
 * With --base-weights nf4 (QLoRA), W of each linear layer of a block is kept as 4-bit codes.  FWD, RECOMPUTE and BWD
 * expand one weight after the other into one buffer, in the workload's precision, right before its product. */
#include "plan/policies/lora.h"
#include "plan/policies.h"
#include "plan/policies/shared.h"

static const char *const base_weights_names[] = {
    [LSPO_BASE_WEIGHTS_PRECISION] = "precision", [LSPO_BASE_WEIGHTS_NF4] = "nf4", NULL};

const lspo_parameter_t lspo_parameter_base_weights = {
    .key = "base-weights",
    .value = "precision|nf4",
    .help = "format of the blocks' frozen linear weights: the workload's precision, or 4-bit NormalFloat (QLoRA, "
            "arXiv 2305.14314), expanded before each use",
    .kind = LSPO_RECORD_NAMED,
    .names = base_weights_names,
    .preset = LSPO_BASE_WEIGHTS_PRECISION,
    .affects = LSPO_AFFECTS_BOTH,
    .arrays = LSPO_ARRAYS_BY_VALUE,
};

static const lspo_parameter_t scaling = {
    .key = "lora-scaling",
    .value = "S",
    .help = "S = alpha / rank, the factor of the adapters: Y = X W + S (X A) B^T; 0: they do nothing, and only "
            "--train-rest on trains",
    .kind = LSPO_RECORD_REAL,
    .preset = 2,
    .high = 1e4,
    .affects = LSPO_AFFECTS_NUMBERS,
};

static const lspo_parameter_use_t uses[] = {
    {&lspo_parameter_rank, offsetof(lspo_lora_values_t, rank), true, NULL},
    {&scaling, offsetof(lspo_lora_values_t, scaling), false, NULL},
    {&lspo_parameter_base_weights, offsetof(lspo_lora_values_t, base_weights), true, NULL},
    {&lspo_parameter_optimizer_state, offsetof(lspo_lora_values_t, optimizer_state), true, NULL},
    {&lspo_parameter_adam_basis, offsetof(lspo_lora_values_t, adam_basis), false, NULL},
    {&lspo_parameter_basis_every, offsetof(lspo_lora_values_t, basis_every), false, NULL},
};
const lspo_parameters_t lspo_lora_parameters = LSPO_PARAMETERS(uses, lspo_lora_values_t);

static void describe_message(const lspo_workload_t *workload, const lspo_stage_t *stage, bool train_rest,
                             lspo_message_t *message_out)
{
    lspo_message_adapters(stage, lspo_lora_values_of(workload)->rank, train_rest, message_out);
}

static void describe_stage(const lspo_builder_t *b, lspo_build_stage_t *stage)
{
    if (!lspo_plan_quantizes(b->plan))
        return;
    for (uint32_t i = 0; i < stage->message.linear_count; i++) {
        uint64_t elements = (uint64_t)stage->message.linear[i].rows * stage->message.linear[i].cols;
        stage->parameter_bytes -= elements * lspo_precision_bytes(b->workload->precision);
        stage->parameter_bytes += lspo_nf4_weight_bytes(elements);
    }
}

const lspo_policy_t lspo_policy_lora = {
    .name = "lora",
    .help = "the GPU trains low-rank adapters on every linear layer; the weights are frozen",
    .citation = "Hu et al., ICLR 2022, arXiv 2106.09685",
    .example = "lspo sim --policy lora --model llama-7b --machine rtx4090 --rank 32",
    .parameters = &lspo_lora_parameters,
    .semantics = LSPO_SEMANTICS_COMPRESSED,
    .periods = {LSPO_BASIS_PERIOD},
    .clip_help = "norm of the adapters' gradients; free",
    .gradient_form = LSPO_FORM_ADAPTER,
    .method = "lora",
    .return_form = LSPO_RETURN_NOTHING,
    .build = lspo_build_on_gpu,
    .describe_message = describe_message,
    .describe_stage = describe_stage,
};
