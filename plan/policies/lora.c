/* lora: W is frozen; adapters A (m x r) and B (n x r) are trained on the GPU: Y = X W + s (X A) B^T with
 * s = alpha / r = 2.  The schedule is native's. */
#include "plan/policies/lora.h"
#include "plan/policies.h"
#include "plan/policies/shared.h"

static const lspo_parameter_use_t uses[] = {
    {&lspo_parameter_rank, offsetof(lspo_lora_values_t, rank), true, NULL},
};
const lspo_parameters_t lspo_lora_parameters = LSPO_PARAMETERS(uses, lspo_lora_values_t);

static void describe_message(const lspo_workload_t *workload, const lspo_stage_t *stage, bool train_rest,
                             lspo_message_t *message_out)
{
    lspo_message_adapters(stage, lspo_lora_values_of(workload)->rank, train_rest, message_out);
}

const lspo_policy_t lspo_policy_lora = {
    .name = "lora",
    .help = "the GPU trains low-rank adapters on every linear layer; the weights are frozen",
    .citation = "Hu et al., ICLR 2022, arXiv 2106.09685",
    .example = "lspo sim --policy lora --model llama-7b --machine rtx4090 --rank 32",
    .parameters = &lspo_lora_parameters,
    .semantics = LSPO_SEMANTICS_COMPRESSED,
    .clip_help = "norm of the adapters' gradients; free",
    .gradient_form = LSPO_FORM_ADAPTER,
    .method = "lora",
    .return_form = LSPO_RETURN_NOTHING,
    .build = lspo_build_on_gpu,
    .describe_message = describe_message,
};
